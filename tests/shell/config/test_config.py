"""The configuration: exact numbers in, every fault named at once, nothing silently ignored."""

import dataclasses
import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqcore as lc
from liqcore.detectors.registry import parameters
from liqshell.config import components as wiring
from liqshell.config import line_numbers as toml_lines
from liqshell.config import load as config
from liqshell.config.load import SCALE, Config, loads, presets
from liqshell.errors import ConfigError, DataError
from liqshell.run import pipeline
from liqshell.run.pipeline import make_paper, settings
from liqshell.venues.adapters import ADAPTERS

FADE = """
[run]
name = "first"
[feed]
symbols = ["ETHUSDT", "BTCUSDT"]
[policy]
preset = "fade"
notional = 3000
[policy.symbols.BTCUSDT]
preset = "fade-btc"
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "my.toml")
    return [str(problem) for problem in caught.value.problems]


def test_empty_file_is_paper_with_limits_on():
    read = loads("")
    assert read.run.mode == "paper"
    assert read.limits.positions_max == 4
    assert read.limits.daily_loss_max == SCALE // 100
    assert read.limits.weekly_loss_max == 2 * SCALE // 100


def test_presets_have_the_written_numbers():
    fade = loads(FADE).policy_for("ETHUSDT")
    assert (fade.entry_offset, fade.take_profit, fade.stop_loss) == (150_000, 150_000, 250_000)  # 0.15, 0.15, 0.25 %
    assert (fade.entry_ttl_s, fade.max_hold_s, fade.cooldown_s, fade.entry) == (1800.0, 1800.0, 300.0, "post_only")
    btc = loads(FADE).policy_for("BTCUSDT")
    assert (btc.entry_offset, btc.take_profit, btc.stop_loss) == (100_000, 500_000, 250_000)
    assert btc.notional == fade.notional == 3000.0
    detector = loads(FADE).detector_values()
    assert (detector.quantile, detector.window_events, detector.window_s, detector.min_events) == (95_000_000, 1000, 60.0, 2)
    assert (detector.refresh_s, detector.warmup, detector.mode, detector.fall) == (3600.0, 100, "chain", 60_000_000)


def test_presets_say_that_their_claims_were_contradicted():
    for name in ("fade", "fade-btc"):
        assert presets()[name].grade == "contradicted"
    assert "annualises per-trade returns" in presets()["fade"].evidence and "The objections to `fade`" in presets()["fade-btc"].evidence


@pytest.mark.parametrize(
    ("symbol", "side", "price", "expected"),
    [
        ("ETHUSDT", lc.LONG, 2500.0, {"entry": "2496.25", "take_profit": "2500.00", "stop_loss": "2490.01"}),
        ("SOLUSDT", lc.SHORT, 180.0, {"entry": "180.27", "take_profit": "180.00", "stop_loss": "180.72"}),
    ],
)
def test_preset_through_the_core_gives_the_golden_prices(symbol, side, price, expected):
    bracket = lc.Bracket(side, **loads(FADE).policy_for(symbol).bracket_arguments())
    assert bracket.prices(lc.Instrument(symbol, tick_size="0.01", lot_size="0.01"), price) == expected


def test_values_are_accepted_by_the_core():
    read = loads(FADE)
    assert lc.CascadeConfig(**read.cascade_arguments()).as_dict()["decay_s"] == 10.0
    lc.Risk(**read.limits.risk_arguments())


def test_the_file_takes_what_the_table_of_the_detector_takes():
    """One statement of range and default: every parameter at both ends of its range, in TOML and in the core."""
    rows = parameters("cascade")
    assert list(loads("").cascade_arguments()) == [row.name for row in rows if row.name not in ("segment_s", "baseline")]
    for row in rows:
        for value in row.choices or (row.low, row.high):
            value = value if row.choices or row.unit != "share" else min(max(value, 1e-8), 1 - 1e-8)  # shares have 8 decimals in a file
            given = int(value) if isinstance(row.default, int) else value
            beside = "" if row.name == "warmup" else "warmup = 1\n"
            beside += "window_events = 1_000_000\n" if row.name == "warmup" else ""
            if row.name == "warmup" and given > 1_000_000:
                continue  # more than any window holds
            read = loads(f"[detectors.cascade]\n{beside}{row.name} = {given!r}\n").cascade_arguments()
            assert read.get(row.name, row.default) == given and lc.CascadeConfig(**read).as_dict()[row.name] == given


def test_detector_is_short_for_detectors_cascade_and_the_old_name_of_decay_s_is_read():
    short, whole = loads("[detector]\ndecay_window_s = 5\nwarmup = 20"), loads("[detectors.cascade]\nkind = 'cascade'\ndecay_s = 5\nwarmup = 20")
    assert short == whole and short.cascade_arguments()["decay_s"] == 5.0 and not whole.detectors
    swept = loads("[sweep.detectors.cascade]\ndecay_window_s = [5, 6]\nsegment_s = [30]")
    assert swept == loads("[sweep.detector]\ndecay_s = [5, 6]\nsegment_s = [30]") and swept.sweep.axes == {
        "detector.decay_s": (5.0, 6.0),
        "detector.segment_s": (30.0,),
    }
    assert loads("[detector]\nwarmup = 20", changes=["detectors.cascade.warmup=30"]).cascade_arguments()["warmup"] == 30


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[detector]\nwarmup = 20\n[detectors.cascade]\nwarmup = 30", "my.toml:4: detectors.cascade.warmup: also set in [detector]"),
        ("[detector]\ndecay_s = 5\ndecay_window_s = 5", "my.toml:3: detector.decay_window_s: also set in decay_s"),
        ("[detectors.cascade]\nwarmup = 0", "my.toml:2: detectors.cascade.warmup: found 0; expected a whole number from 1 to 1000000000"),
        ("[detectors.cascade]\ndecay_window_s = 0", "my.toml:2: detectors.cascade.decay_window_s: found 0"),
        ("[detectors.cascade]\nkind = 'dollar'", "my.toml:2: detectors.cascade.kind: found 'dollar'; expected 'cascade', or no kind"),
    ],
)
def test_faults_of_the_cascade_stand_where_they_were_written(text, says):
    found = faults(text)
    assert len(found) == 1 and says in found[0], found


def test_own_preset_of_a_symbol_is_not_mixed_with_the_offsets_of_policy():
    text = FADE.replace("notional = 3000", "notional = 3000\nentry_offset = 0.003\ncooldown_s = 60")
    read = loads(text)
    assert read.policy_for("ETHUSDT").entry_offset == 300_000
    assert read.policy_for("BTCUSDT").entry_offset == 100_000
    assert read.policy_for("BTCUSDT").notional == 3000.0
    assert loads(text + "take_profit = 0.004\n").policy_for("BTCUSDT").take_profit == 400_000


def test_every_fault_is_reported_with_file_key_value_range_and_suggestion():
    found = faults("""
[run]
mode = "lve"
sed = 3
[detector]
quantile = 1.0
window_events = true
mode = "chian"
[policy]
entry_offet = 0.001
stop_loss = 0
take_profit = "0.1"
notional = nan
[policy.symbols."b c"]
preset = "fade"
[limits]
positions_max = 2.5
[polcy]
""")
    joined = "\n".join(found)
    assert len(found) == 12
    lines = [int(re.match(r"my\.toml:(\d+): ", text)[1]) for text in found]
    assert lines == sorted(lines) == [3, 4, 6, 7, 8, 10, 11, 12, 13, 14, 17, 18]
    assert "run.sed: unknown key. Did you mean 'seed'?" in joined
    assert "detector.quantile: found 1.0; expected a fraction from 1e-09 to 0.999999999" in joined
    assert "detector.window_events: found true; expected a whole number from 2 to 1000000" in joined
    assert "detector.mode: found 'chian'; expected one of 'chain', 'anchored'; did you mean 'chain'?" in joined
    assert "policy.entry_offet: unknown key. Did you mean 'entry_offset'?" in joined
    assert "policy.stop_loss: found 0; expected a fraction above 0 and at most 0.5" in joined
    assert "policy.take_profit: found '0.1'" in joined
    assert "policy.notional: found NaN" in joined
    assert "policy.symbols.b c: found the name 'b c'; expected a contract name" in joined
    assert "limits.positions_max: found 2.5" in joined
    assert "polcy: unknown key. Did you mean 'policy'?" in joined
    assert "run.mode: found 'lve'; expected one of 'paper', 'live'; did you mean 'live'?" in joined


def test_contradictions_and_an_unknown_preset_stand_beside_what_cannot_be_read():
    found = faults("""
[run]
mode = "lve"
[feed]
symbols = [
    "ETHUSDT",
]
[policy]
preset = "fad"
notional = 5
equity_share = 0.1
[limits]
daily_loss_max = 0.03
[features]
names = ['liquidations.liq_cnt@5m']
[data]
start = 2026-03-05
end = 2026-03-05
[paper]
latency = "empirical"
latency_sample = "x.csv"
[policy.symbols.XRPUSDT]
preset = "nosuch"
""")
    assert [text.split(": ")[0] + " " + text.split(": ")[1] for text in found] == [
        "my.toml:3 run.mode",
        "my.toml:9 policy.preset",
        "my.toml:11 policy.equity_share",
        "my.toml:12 limits.weekly_loss_max",
        "my.toml:15 features.names",
        "my.toml:18 data.end",
        "my.toml:21 paper.latency_sample",
        "my.toml:22 policy.symbols.XRPUSDT",
        "my.toml:23 policy.symbols.XRPUSDT.preset",
    ]
    assert "found 'fad'; expected one of 'breakout', " in found[1] and "Did you mean 'fade'? `liqcore presets` prints them" in found[1]


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\n\n# [b]\n[b]\nc = 2\n", "b.c", 5),
        ("[b]\nc.d = 1\n'e f' = 2\n", "b.e f", 3),
        ("[b]\nc.d = 1\n", "b.c.d", 2),
        ('x = """\n[b]\nc = 1\n"""\n[b]\nc = 2', "b.c", 6),
        ("[b]\nx = [\n  1,\n  [2,\n 3]\n]\ny = 1\n", "b.y", 7),
        ("[b.c]\n[b]\nz = 1\n", "b.z", 3),
        ("[b]\nx = {p = 1, q = {r = 2}}\n", "b.x.q.r", 2),
        ("[[b]]\nx = 1\n[[b]]\ny = 2\n", "b.y", 4),
        ("[b]\r\nc = 1\r\n", "b.c", 2),
        ("[b]\nc = 1\n", "b.nosuch", 1),
        ("[b]\n", "other", 0),
        ("", "b", 0),
    ],
)
def test_lines_of_keys(text, path, line):
    assert toml_lines.line_of(toml_lines.lines_of(text), path) == line


def test_a_fault_of_the_command_line_is_named_as_such():
    with pytest.raises(ConfigError) as caught:
        loads("[run]\nmode = 'lve'\n[policy]\npreset = 'fade'", "my.toml", ["policy.preset=fad"])
    assert [why.where for why in caught.value.problems] == ["--set policy.preset", "my.toml:2: run.mode"]


def test_a_password_in_an_address_is_refused_and_not_repeated():
    found = faults("[feed]\nrest = 'http://user:hunter22@127.0.0.1:1'\nws = 'ws://127.0.0.1:1'")
    assert len(found) == 1 and "without user name" in found[0] and "hunter22" not in found[0]


def test_live_has_to_be_said():
    assert loads("").run.mode == "paper" and loads('[run]\nmode = "live"').run.mode == "live"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[policy]\npreset = 'fad'", "policy.preset: found 'fad'; expected one of 'breakout', 'cascade-fade', 'fade', 'fade-btc', "),
        ("[feed]\nws = 'ws://127.0.0.1:1'", "feed.rest: not set, though the other address is"),
        ("[feed]\nrest = 'http://user:pw@127.0.0.1:1'\nws = 'ws://127.0.0.1:1'", "feed.rest: found"),
        ("[feed]\nsymbols = ['ETHUSDT', 'ETHUSDT']", "ETHUSDT appears more than once"),
        ("[feed]\nsymbols = []", "a list of 1 to 1024"),
        ("[feed]\nsymbols = ['ETHUSDT']\n[policy.symbols.BTCUSDT]\nnotional = 1", "policy.symbols.BTCUSDT: this symbol is not subscribed"),
        (
            "[data]\nsymbols = ['ETHUSDT']\n[policy.symbols.ETHUSD]\nnotional = 1\n[policy.symbols.ETHUSDT]\nnotional = 1",
            "policy.symbols.ETHUSD: not one of the contracts of [data] symbols; expected ETHUSDT",
        ),
        ("[limits]\ndaily_loss_max = 0.05", "limits.weekly_loss_max: smaller than"),
        ("[detector]\nwarmup = 2000", "detector.warmup: found 2000; expected at most detector.window_events (1000)"),
        ("run = 3", "run: found 3; expected a table. Write it as [run]"),
        ("[run]\nname = '../../etc'", "run.name: found '../../etc'"),
        ("[policy]\nentry_offset = 0.000000001", "with at most 8 decimals"),
        ("[limits]\nleverage_max = inf", "limits.leverage_max: found Infinity"),
    ],
)
def test_single_faults(text, part):
    found = faults(text)
    assert len(found) == 1, found
    assert part in found[0]


@pytest.mark.parametrize("raw", [b"[run", b"\xff\xfe", b"a = 1\na = 2", b"x = " + b"[" * 5000])
def test_what_is_not_toml_is_a_config_error(raw):
    with pytest.raises(ConfigError, match=r"my\.toml"):
        loads(raw, "my.toml")


def test_unreadable_and_huge_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "absent.toml")
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * (config.CONFIG_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="at most"):
        config.load(huge)


@given(st.integers(0, SCALE // 2))
def test_fractions_are_exact(units):
    text = f"{Decimal(units) / SCALE:.8f}"
    assert loads(f"[policy]\nentry_offset = {text}").policy_for("ETHUSDT").entry_offset == units
    assert loads(f"[policy]\nentry_offset = {text}").policy_for("ETHUSDT").bracket_arguments()["entry_offset"] * SCALE == units


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["run", "feed", "detector", "policy", "limits", "paper", "record"]),
    st.data(),
)
def test_any_value_anywhere_is_accepted_or_named(value, section, data):
    from liqshell.fields import decode

    fields = [f.name for f in dataclasses.fields(next(f.metadata["section"] for f in dataclasses.fields(Config) if f.name == section))]
    key = data.draw(st.sampled_from(fields))
    problems: list[ConfigError] = []
    decode(Config, {section: {key: value}}, "f", "", problems)
    assert all(str(problem).startswith(f"f: {section}.{key}") for problem in problems)


def test_configuration_is_frozen_and_prints():
    read = loads(FADE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.limits.positions_max = 9  # type: ignore[misc]
    assert read.as_dict()["policy"]["symbols"]["BTCUSDT"]["preset"] == "fade-btc"
    assert read.feed.ws_url.startswith("wss://")


# ---- studies of history ----

STUDY = """
[data]
store = "store"
start = 2026-03-04
end = "2026-03-05T12:30:00+02:00"
[sweep]
heatmap = ["policy.take_profit", "detector.quantile"]
[sweep.policy]
take_profit = [0.001, 0.002]
stop_loss = {from = 0.001, to = 0.003, step = 0.001}
exit_phase = ["none", "exhausted"]
[sweep.detector]
quantile = [0.9, 0.95]
"""


def test_spans_are_utc_and_exact():
    data = loads(STUDY).data
    assert (data.start, data.end) == (1_772_582_400 * 10**9, 1_772_706_600 * 10**9)  # 2026-03-04 00:00 and 2026-03-05 10:30 UTC
    assert loads("[data]\nstart = 2026-03-04T01:00:00.5Z").data.start == 1_772_586_000 * 10**9 + 500_000_000
    assert loads("").data.start == 0


def test_a_grid_has_every_cell_once_and_ranges_are_exact():
    sweep = loads(STUDY).sweep
    assert sweep.axes == {
        "detector.quantile": (90_000_000, 95_000_000),
        "policy.take_profit": (100_000, 200_000),
        "policy.stop_loss": (100_000, 200_000, 300_000),
        "policy.exit_phase": ("none", "exhausted"),
    }
    cells = [tuple(cell.named.values()) for cell in sweep.settings()]
    assert sweep.size == len(cells) == len(set(cells)) == 24
    assert (
        cells[0] == (90_000_000, 100_000, 100_000, "none") and cells[1][3] == "exhausted" and cells[-1] == (95_000_000, 200_000, 300_000, "exhausted")
    )
    tenths = loads("[sweep.policy]\ntrail = {from = 0.1, to = 0.3, step = 0.1}").sweep.policy.trail
    assert tenths == (10_000_000, 20_000_000, 30_000_000)  # 0.1 + 0.1 + 0.1 is 0.3 here
    assert loads("").sweep.axes == {} and loads("").sweep.size == 1


def test_a_cell_wins_over_every_table():
    read = loads(STUDY + "[policy.symbols.BTCUSDT]\ntake_profit = 0.1\n[feed]\nsymbols = ['BTCUSDT']\n[policy]\ntake_profit = 0.2\n")
    for cell in read.sweep.settings():
        made = read.with_setting(cell)
        assert made.policy_for("BTCUSDT").take_profit == made.policy_for("ETHUSDT").take_profit == cell.policy["take_profit"]
        assert made.detector_values().quantile == cell.detector["quantile"]
    assert read.policy_for("BTCUSDT").take_profit == 10_000_000


def test_the_last_word_on_size_wins():
    read = loads("[policy]\nequity_share = 0.3\n[policy.symbols.BTCUSDT]\nnotional = 500\n[policy.symbols.ETHUSDT]\npreset = 'fade-btc'\n")
    sizes = {s: (read.policy_for(s).notional, read.policy_for(s).equity_share) for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT")}
    assert sizes == {"BTCUSDT": (500.0, 0.0), "ETHUSDT": (0.0, 0.3), "SOLUSDT": (0.0, 0.3)}
    for symbol in sizes:
        lc.Bracket(1, **read.policy_for(symbol).bracket_arguments())


def test_changes_of_the_command_line_win_and_are_checked_alike(tmp_path):
    file = tmp_path / "c.toml"
    (tmp_path / "mine.py").touch()
    file.write_text(
        '[policy]\ntake_profit = 0.001\nrule = "mine.py:Mine"\n[data]\nfiles = ["a", "/b"]\n[paper]\nlatency = "empirical"\n'
        'latency_samples = "l.csv"\n'
    )
    read = config.load(file, ["policy.take_profit=0.002", "data.symbols=['ETHUSDT']", "paper.fills=queue", "policy.symbols.ETHUSDT.trail = 0.01"])
    assert read.policy.take_profit == 200_000 and read.data.symbols == ("ETHUSDT",) and read.paper.fills == "queue"
    assert read.policy_for("ETHUSDT").trail == 1_000_000
    # paths count from the folder of the file
    assert read.policy.rule == f"{tmp_path / 'mine.py'}:Mine" and read.data.files == (str(tmp_path / "a"), "/b")
    assert read.paper.latency_samples == str(tmp_path / "l.csv")
    for change, says in (("take_profit", "not a change"), ("policy.take_profit.x=1", "not a table"), ("=1", "not a change")):
        with pytest.raises(ConfigError, match=says):
            config.load(file, [change])
    with pytest.raises(ConfigError, match="policy.take_profit: found 2"):
        config.load(file, ["policy.take_profit=2"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[data]\nstart = 'soon'", "data.start: found 'soon'; expected a date or a time such as 2026-03-04"),
        ("[data]\nstart = 2026-03-05\nend = 2026-03-05", "data.end: not after data.start"),
        ("[data]\nstore = 'a'\nfiles = ['b']", "data.files: set together with data.store; expected one of the two"),
        ("[data]\nfiles = []", "data.files: found []; expected a list of 1 to 100000 files or folders"),
        ("[backtest]\ncontrols = ['random']", "backtest.controls: found 'random'; expected of inverted_side, random_side, random_time, every_30_min"),
        ("[backtest]\ndelays_s = [1, 0.5]", "backtest.delays_s: found [1, 0.5]; expected numbers that rise"),
        ("[sweep.policy]\ntake_profit = [0.9]", "sweep.policy.take_profit: found [0.9]; expected 0.9 to be a fraction from 0 to 0.5"),
        ("[sweep.policy]\ntake_profit = [0.1, 0.1]", "expected 1 to 10000 values, each once"),
        ("[sweep.policy]\nstop_loss = {from = 0.2, to = 0.1, step = 0.1}", "expected a step above 0 and from at most to"),
        ("[sweep.policy]\nstop_loss = {from = 0.1, to = 0.4, step = 0.00001}", "expected at most 10000 values, this range has 30001"),
        ("[sweep.policy]\nstop_loss = {from = 0.1, until = 0.4}", "expected a list of values, or {from"),
        ("[sweep.policy]\nentry = ['limit']", "one of 'post_only', 'market'"),
        ("[sweep.detector]\nquantil = [0.9]", "sweep.detector.quantil: unknown key. Did you mean 'quantile'?"),
        (
            "[sweep]\nheatmap = ['policy.trail']\n[sweep.policy]\ntake_profit = [0.1]",
            "policy.trail is not varied; expected parameters of the grid (policy.take",
        ),
        ("[sweep]\nsettings_max = 3\n[sweep.policy]\ntrail = [0.1, 0.2]\ntake_profit = [0.1, 0.2]", "sweep: a grid of 4 settings; expected at most"),
        ("[forward]\ntrain_days = 0", "forward.train_days: found 0; expected a number above 0"),
        ("[policy]\nnotional = 5\nequity_share = 0.1", "policy.equity_share: set together with notional; expected one of the two"),
        ("[policy]\nrule = 'mine'", "policy.rule: found 'mine'; expected a class in a Python file, such as 'my_policy.py:MyPolicy'"),
        ("[paper]\nfunding_interval_s = 5", "paper.funding_interval_s: found 5; expected 60 seconds or more, or 0"),
        ("[paper]\nleverage = 0.5", "paper.leverage: found 0.5; expected 1 or more, or 0"),
        ("[paper]\nleverage = 100\nmaintenance_margin = 0.01", "less than 1 / leverage (0.01)"),
        ("[paper]\nlatency = 'empirical'", "paper.latency_samples: not set"),
        ("[paper]\nlatency_samples = 'x.csv'", "paper.latency_samples: set, but latency is 'constant'"),
    ],
)
def test_faults_of_a_study_name_key_and_range(text, says):
    assert says in "\n".join(faults(text))


def test_measured_latencies_go_into_the_settings(tmp_path):
    samples = tmp_path / "latency.csv"
    samples.write_text("order_ms,ack_ms\n" + "".join(f"{20 + n % 50},{'' if n % 2 else 10}\n" for n in range(5000)))
    (tmp_path / "c.toml").write_text(
        '[paper]\nlatency = "empirical"\nlatency_samples = "latency.csv"\nlatency_seed = 7\nleverage = 5\nfills = "queue"\n'
    )
    values = settings(config.load(tmp_path / "c.toml"), [lc.Instrument("ETHUSDT")])
    found = values["paper"]["latency"]
    assert len(found["order_samples"]) == 1000 and min(found["order_samples"]) == 0.02 and max(found["order_samples"]) == 0.069
    assert set(found["ack_samples"]) == {0.01} and found["seed"] == 7
    assert values == json.loads(json.dumps(values))
    venue = make_paper(values).venue
    assert venue.latency.seed == 7 and 20_000_000 <= venue.latency.order_ns(5, 1) <= 69_000_000
    for text, says in (
        ("order_ms\n-1\n", "latency.csv:2: order_ms: found '-1'; expected milliseconds"),
        ("a,b\n1,2\n", "no latency under a, b"),
        ("", "no header"),
    ):
        samples.write_text(text)
        with pytest.raises(DataError, match=says):
            settings(config.load(tmp_path / "c.toml"), [lc.Instrument("ETHUSDT")])


def test_everything_that_paper_may_say_is_taken_by_the_venue():
    for fills in ("through", "touch", "queue"):
        for taker in ("next", "walk"):
            read = loads(
                f"[paper]\nfills = '{fills}'\ntaker = '{taker}'\nhidden = 'none'\nleverage = 20\nmaintenance_margin = 0.01\n"
                "funding_interval_s = 3600\nmaker_fee = -0.01\ntaker_fee = 0.01\n"
            )
            make_paper(settings(read, [lc.Instrument("ETHUSDT")]))


SECRET = "cAnArYsEcReT0123456789abcdefABCDEF77"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f'[feed]\napi_key = "{SECRET}"', "feed.api_key"),
        (f'[live]\napiSecret = "{SECRET}"', "live.apiSecret"),
        (f'api_secret = "{SECRET}"', "api_secret"),
        (f'[run]\nname = "{SECRET}"', "run.name"),
        (f'[feed]\nsymbols = ["{SECRET}"]', "feed.symbols"),
        (f"[{SECRET}]\nx = 1\n[a]\ntoken = 3", "a.token"),
        ('[policy.symbols.ETHUSDT]\npassword = "abc"', "policy.symbols.ETHUSDT.password"),
    ],
)
def test_a_configuration_with_a_key_in_it_is_refused_and_the_key_not_shown(text, where):
    with pytest.raises(ConfigError) as caught:
        loads(text, "my.toml")
    said = str(caught.value)
    assert (
        SECRET not in said
        and re.search(rf"my\.toml:\d+: {re.escape(where)}: a value that looks like a credential \(not shown\)", said)
        and "LIQCORE_API_KEY" in said
    )


def test_a_known_secret_is_refused_wherever_it_stands():
    from liqshell import log

    log.protect("my-own-secret")
    try:
        with pytest.raises(ConfigError) as caught:
            loads("[run]\nname = 'my-own-secret'", "my.toml")
    finally:
        log._secrets.clear()
        log._known = None
    assert "my-own-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rest", "private", "trade"),
    [
        ("", "https://api.bybit.com", "wss://stream.bybit.com/v5/private", "wss://stream.bybit.com/v5/trade"),
        (
            "environment = 'testnet'",
            "https://api-testnet.bybit.com",
            "wss://stream-testnet.bybit.com/v5/private",
            "wss://stream-testnet.bybit.com/v5/trade",
        ),
        ("environment = 'demo'", "https://api-demo.bybit.com", "wss://stream-demo.bybit.com/v5/private", ""),
        ("rest = 'http://127.0.0.1:1'\nws = 'ws://127.0.0.1:2/'", "http://127.0.0.1:1", "ws://127.0.0.1:2/v5/private", "ws://127.0.0.1:2/v5/trade"),
    ],
)
def test_addresses_of_the_account(text, rest, private, trade):
    feed = loads(f"[feed]\n{text}").feed
    assert (feed.rest_url, feed.private_url, feed.trade_url) == (rest, private, trade)
    assert feed.ws_url == ("ws://127.0.0.1:2" if "127" in text else ADAPTERS["bybit"].environments[feed.environment].ws)


# ---- detectors, parameters, features ----


def test_the_cascade_detector_runs_where_somebody_listens_to_it():
    values = pipeline.settings(loads("[policy]\npreset = 'fade'"), [lc.Instrument("ETHUSDT")])
    assert values["cascade"]["quantile"] == 0.95 and values["detectors"] == [] and values["rule"] == "fade"
    assert values["policies"] == [
        {"rule": "fade", "symbols": ["ETHUSDT"], "parameters": {"ETHUSDT": {"skip_unless_free": False, "maker_fee": 0.0002}}}
    ]
    assert [type(p).__name__ for p in pipeline.make_policies(values)] == ["Fade"]
    signals_only = pipeline.settings(loads(""), [lc.Instrument("ETHUSDT")], trade=False)
    assert signals_only["policies"] == [] and signals_only["rule"] is None and signals_only["cascade"] is not None


NUMBERS = ("entry_offset", "take_profit", "stop_loss")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSDC", "BTC-USDT-SWAP", "BTC", "BTC/USDT:USDT", "BTCPERP", "BTCUSD_PERP"])
def test_fade_takes_the_exception_for_btc_by_itself(symbol):
    """Offset 0.10 %, target 0.50 %, stop 0.25 %, under the exception's name; what a person says of [policy] or of the contract wins over it."""

    def numbers(text):
        values = loads(text).policy_for(symbol)
        return [getattr(values, name) / 1e8 for name in NUMBERS], values.preset

    assert numbers("") == numbers("[policy]\npreset = 'fade'") == ([0.001, 0.005, 0.0025], "fade-btc")
    assert numbers("[policy]\ntake_profit = 0.002") == ([0.001, 0.002, 0.0025], "fade-btc")
    if symbol.isalnum():
        assert numbers(f"[policy.symbols.{symbol}]\nentry_offset = 0.003")[0] == [0.003, 0.005, 0.0025]
    assert numbers("[policy]\npreset = 'zone'")[1] == "zone"
    if symbol == "BTCUSDT":
        assert numbers("[policy.symbols.BTCUSDT]\npreset = 'fade'") == ([0.0015, 0.0015, 0.0025], "fade"), (
            "named for the contract itself: as it was said"
        )


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCDOMUSDT", "WBTCUSDT", "1000BTTUSDT", "BTCSTUSDT"])
def test_other_coins_keep_the_numbers_of_fade(symbol):
    values = loads("").policy_for(symbol)
    assert ([getattr(values, name) / 1e8 for name in NUMBERS], values.preset) == ([0.0015, 0.0015, 0.0025], "fade")


def test_skip_btc_unless_the_maker_fee_is_zero_is_a_rule_with_a_switch():
    """Off as it ships; on, it declines where [paper] maker_fee is above 0, and says so; a rebate or 0 lets it trade."""
    for fee, on, trades in (("0.0002", False, True), ("0.0002", True, False), ("0", True, True), ("-0.0001", True, True)):
        config = loads(f"[paper]\nmaker_fee = {fee}\n[policy.symbols.BTCUSDT.parameters]\nskip_unless_free = {str(on).lower()}")
        stage = [lc.Instrument(s, tick_size="0.1", lot_size="0.001") for s in ("BTCUSDT", "ETHUSDT")]
        engine = pipeline.make_engine(pipeline.settings(config, stage))
        start = 1_772_452_800 * lc.SECOND
        for n in range(2):
            engine.on_trade(start, start, n, 1, 50_000.0, 1.0)
            for k in range(120):
                engine.on_liquidation(start + k * lc.SECOND, start + k * lc.SECOND, n, lc.LONG, 49_000.0, 0.1 + 0.01 * k) if n == 0 else None
        for k in range(120):
            ts = start + (200 + k) * lc.SECOND
            engine.on_liquidation(ts, ts, 1, lc.LONG, 49_000.0, 0.1 + 0.01 * k)
        audit = engine.audit.drain()
        answers = audit[(audit["kind"] == lc.AuditKind.AUDIT_POLICY) & (audit["phase"] == lc.Phase.ACTIVE)]
        wanted = {n: bool((answers["reason"][answers["instrument"] == n] == 0).any()) for n in (0, 1)}
        assert wanted == {0: trades, 1: True}, "the other contract has no such rule"
        told = {lc.audit.declined(r["x"]) for r in answers if r["reason"] == lc.Reason.NO_TRADE}
        assert told == (set() if trades else {("maker fee at most", 0.0002, 0.0)})


def test_a_recording_from_before_conditions_were_written_down_replays_without_them():
    """Its settings say nothing of them, nor of numbers that came later: the rule decides as it did, and the records are those of then."""
    values = pipeline.settings(loads("[policy]\npreset = 'momentum'"), [lc.Instrument("ETHUSDT")])
    assert values["declines"] and pipeline.make_policies(values)[0].explains
    later = ("feature_obstacle_below", "feature_obstacle_above", "funding_unknown", "look_again")
    old = {name: value for name, value in values["policies"][0]["parameters"]["ETHUSDT"].items() if name not in later}
    before = values | {"policies": [values["policies"][0] | {"parameters": {"ETHUSDT": old}}]}
    del before["declines"]
    (policy,) = pipeline.make_policies(before)
    assert not policy.explains and policy.unmet("score at least", 1.0, 7.0) is None
    assert policy._numbers["ETHUSDT"].look_again == "followers"
    (policy,) = pipeline.make_policies(before | {"declines": True})  # then conditions of entries were written down, and no others
    assert policy.unmet("score at least", 1.0, 7.0) is not None and policy.aside("phase is", 3, 2) is None
    assert not any("map.realised" in name for name in policy.features) and "map.pending_below@3pct:rank" in policy.features


def test_a_symbol_with_a_preset_of_the_same_rule_shares_the_policy():
    values = pipeline.settings(loads(FADE), [lc.Instrument(s) for s in ("ETHUSDT", "BTCUSDT")])
    assert [(told["rule"], told["symbols"]) for told in values["policies"]] == [("fade", ["ETHUSDT", "BTCUSDT"])]


def test_detectors_of_presets_and_of_the_configuration_are_merged_by_name():
    presets_say = {"flush": {"kind": "dollar", "window_s": 90, "trigger_usd": Decimal("5e6")}}
    out = wiring.detectors([("one", presets_say), ("two", presets_say), ("here", {"flush": {"window_s": 30}, "own": {"kind": "rate"}})])
    assert out == {"flush": {"kind": "dollar", "window_s": 30, "trigger_usd": 5e6}, "own": {"kind": "rate"}}
    assert wiring.detectors([("one", presets_say), ("here", {"flush": {"kind": "rate"}})]) == {"flush": {"kind": "rate"}}, "another kind starts anew"
    with pytest.raises(ConfigError, match="defines this detector differently from preset one"):
        wiring.detectors([("one", presets_say), ("two", {"flush": {"kind": "dollar", "window_s": 60}}), ("here", {})])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[detectors.Big]\nkind = 'dollar'", "detectors.Big: found the name 'Big'; expected the name of a detector"),
        ("[detectors.big]\nkind = {a = 1}", "detectors.big: found a table; expected a table of a kind and its parameters"),
        ("[policy.parameters]\nz_min = 3", "policy.parameters.z_min: unknown key"),
        ("[policy]\nparameters = 3", "policy.parameters: found 3; expected a table of the numbers of the rule itself"),
        ("[features]\nnames = ['flow.ofi@15m:zscore(4h)']", "is never known: its history holds at most 16 independent samples of 30"),
        ("[features]\nnames = ['liquidations.liq_cnt@5m']", "features.names: feature 'liquidations.liq_cnt@5m'"),
        ("[policy]\ntrail_basis = 'prize'", "policy.trail_basis: found 'prize'; expected one of 'price', 'profit'; did you mean 'price'?"),
    ],
)
def test_what_is_wrong_with_detectors_parameters_and_features_is_named(text, part):
    (found,) = faults(text)
    assert part in found
