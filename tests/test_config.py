"""The configuration: exact numbers in, every fault named at once, nothing silently ignored."""

import dataclasses
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqcore as lc
from liqshell import config, pipeline, wiring
from liqshell.config import SCALE, Config, loads, presets
from liqshell.errors import ConfigError, DataError
from liqshell.pipeline import make_paper, settings
from liqshell.sections import ENVIRONMENTS

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
    assert (fade.entry_offset, fade.take_profit, fade.stop_loss) == (150_000, 150_000, 250_000)      # S2-08, S2-09: 0.15, 0.15, 0.25 %
    assert (fade.entry_ttl_s, fade.max_hold_s, fade.cooldown_s, fade.entry) == (1800.0, 1800.0, 300.0, "post_only")      # S2-10, S2-14b
    btc = loads(FADE).policy_for("BTCUSDT")
    assert (btc.entry_offset, btc.take_profit, btc.stop_loss) == (100_000, 500_000, 250_000)         # S2-11
    assert btc.notional == fade.notional == 3000.0
    detector = loads(FADE).detector_values()
    assert (detector.quantile, detector.window_events, detector.window_s, detector.min_events) == (95_000_000, 1000, 60.0, 2)
    assert (detector.refresh_s, detector.warmup, detector.mode, detector.fall) == (3600.0, 100, "chain", 60_000_000)


def test_presets_say_that_their_claims_were_contradicted():
    for name in ("fade", "fade-btc"):
        assert presets()[name].grade == "contradicted"
        assert "C9" in presets()[name].evidence


@pytest.mark.parametrize(("symbol", "side", "price", "expected"), [
    ("ETHUSDT", lc.LONG, 2500.0, {"entry": "2496.25", "take_profit": "2500.00", "stop_loss": "2490.01"}),      # S2-12
    ("SOLUSDT", lc.SHORT, 180.0, {"entry": "180.27", "take_profit": "180.00", "stop_loss": "180.72"}),
])
def test_preset_through_the_core_gives_the_golden_prices(symbol, side, price, expected):
    bracket = lc.Bracket(side, **loads(FADE).policy_for(symbol).bracket_arguments())
    assert bracket.prices(lc.Instrument(symbol, tick_size="0.01", lot_size="0.01"), price) == expected


def test_values_are_accepted_by_the_core():
    read = loads(FADE)
    assert lc.CascadeConfig(**read.detector_values().cascade_arguments()).as_dict()["decay_s"] == 10.0
    lc.Risk(**read.limits.risk_arguments())


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
    assert all(text.startswith("my.toml: ") for text in found)
    assert "run.sed: unknown key. Did you mean 'seed'?" in joined
    assert "detector.quantile: found 1.0; expected a fraction above 0 and at most 0.9999" in joined
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


def test_a_password_in_an_address_is_refused_and_not_repeated():
    found = faults("[feed]\nrest = 'http://user:hunter22@127.0.0.1:1'\nws = 'ws://127.0.0.1:1'")
    assert len(found) == 1 and "without user name" in found[0] and "hunter22" not in found[0]


def test_live_has_to_be_said():
    assert loads("").run.mode == "paper" and loads('[run]\nmode = "live"').run.mode == "live"


@pytest.mark.parametrize(("text", "part"), [
    ("[policy]\npreset = 'fad'", "policy.preset: found 'fad'; expected one of 'breakout', 'cascade-fade', 'fade', 'fade-btc', "),
    ("[feed]\nws = 'ws://127.0.0.1:1'", "feed.rest: not set, though the other address is"),
    ("[feed]\nrest = 'http://user:pw@127.0.0.1:1'\nws = 'ws://127.0.0.1:1'", "feed.rest: found"),
    ("[feed]\nsymbols = ['ETHUSDT', 'ETHUSDT']", "ETHUSDT stands there more than once"),
    ("[feed]\nsymbols = []", "a list of 1 to 1024"),
    ("[feed]\nsymbols = ['ETHUSDT']\n[policy.symbols.BTCUSDT]\nnotional = 1", "policy.symbols.BTCUSDT: this symbol is not subscribed"),
    ("[limits]\ndaily_loss_max = 0.05", "limits.weekly_loss_max: smaller than"),
    ("[detector]\nwarmup = 2000", "detector.warmup: found 2000; expected at most detector.window_events (1000)"),
    ("run = 3", "run: found 3; expected a table. Write it as [run]"),
    ("[run]\nname = '../../etc'", "run.name: found '../../etc'"),
    ("[policy]\nentry_offset = 0.000000001", "with at most 8 decimals"),
    ("[limits]\nleverage_max = inf", "limits.leverage_max: found Infinity"),
])
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


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8),
       st.sampled_from(["run", "feed", "detector", "policy", "limits", "paper", "record"]), st.data())
def test_any_value_anywhere_is_accepted_or_named(value, section, data):
    from liqshell.toml import decode

    fields = [f.name for f in dataclasses.fields(next(f.metadata["section"] for f in dataclasses.fields(Config) if f.name == section))]
    key = data.draw(st.sampled_from(fields))
    problems: list[ConfigError] = []
    decode(Config, {section: {key: value}}, "f", "", problems)
    assert all(str(problem).startswith(f"f: {section}.{key}") for problem in problems)


def test_configuration_is_frozen_and_prints():
    read = loads(FADE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.limits.positions_max = 9      # type: ignore[misc]
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
    assert (data.start, data.end) == (1_772_582_400 * 10**9, 1_772_706_600 * 10**9)       # 2026-03-04 00:00 and 2026-03-05 10:30 UTC
    assert loads("[data]\nstart = 2026-03-04T01:00:00.5Z").data.start == 1_772_586_000 * 10**9 + 500_000_000
    assert loads("").data.start == 0


def test_a_grid_has_every_cell_once_and_ranges_are_exact():
    sweep = loads(STUDY).sweep
    assert sweep.axes == {"detector.quantile": (90_000_000, 95_000_000), "policy.take_profit": (100_000, 200_000),
                          "policy.stop_loss": (100_000, 200_000, 300_000), "policy.exit_phase": ("none", "exhausted")}
    cells = [tuple(cell.named.values()) for cell in sweep.settings()]
    assert sweep.size == len(cells) == len(set(cells)) == 24
    assert cells[0] == (90_000_000, 100_000, 100_000, "none") and cells[1][3] == "exhausted" and cells[-1] == (95_000_000, 200_000, 300_000, "exhausted")
    tenths = loads("[sweep.policy]\ntrail = {from = 0.1, to = 0.3, step = 0.1}").sweep.policy.trail
    assert tenths == (10_000_000, 20_000_000, 30_000_000)          # 0.1 + 0.1 + 0.1 is 0.3 here
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
    file.write_text('[policy]\ntake_profit = 0.001\nrule = "mine.py:Mine"\n[data]\nfiles = ["a", "/b"]\n[paper]\nlatency = "empirical"\n'
                    'latency_samples = "l.csv"\n')
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


@pytest.mark.parametrize(("text", "says"), [
    ("[data]\nstart = 'soon'", 'data.start: found \'soon\'; expected a date or a time such as 2026-03-04'),
    ("[data]\nstart = 2026-03-05\nend = 2026-03-05", "data.end: not after data.start"),
    ("[data]\nstore = 'a'\nfiles = ['b']", "data.files: set beside data.store; expected one of the two"),
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
    ("[sweep]\nheatmap = ['policy.trail']\n[sweep.policy]\ntake_profit = [0.1]", "policy.trail is not varied; expected parameters of the grid (policy.take"),
    ("[sweep]\nsettings_max = 3\n[sweep.policy]\ntrail = [0.1, 0.2]\ntake_profit = [0.1, 0.2]", "sweep: a grid of 4 settings; expected at most"),
    ("[forward]\ntrain_days = 0", "forward.train_days: found 0; expected a number above 0"),
    ("[policy]\nnotional = 5\nequity_share = 0.1", "policy.equity_share: set beside notional; expected one of the two"),
    ("[policy]\nrule = 'mine'", "policy.rule: found 'mine'; expected a class in a Python file, such as 'my_policy.py:MyPolicy'"),
    ("[paper]\nfunding_interval_s = 5", "paper.funding_interval_s: found 5; expected seconds from 60 on, or 0"),
    ("[paper]\nleverage = 0.5", "paper.leverage: found 0.5; expected from 1 on, or 0"),
    ("[paper]\nleverage = 100\nmaintenance_margin = 0.01", "less than 1 / leverage (0.01)"),
    ("[paper]\nlatency = 'empirical'", "paper.latency_samples: not set"),
    ("[paper]\nlatency_samples = 'x.csv'", "paper.latency_samples: set, but latency is 'constant'"),
])
def test_faults_of_a_study_name_key_and_range(text, says):
    assert says in "\n".join(faults(text))


def test_measured_latencies_go_into_the_settings(tmp_path):
    samples = tmp_path / "latency.csv"
    samples.write_text("order_ms,ack_ms\n" + "".join(f"{20 + n % 50},{'' if n % 2 else 10}\n" for n in range(5000)))
    (tmp_path / "c.toml").write_text('[paper]\nlatency = "empirical"\nlatency_samples = "latency.csv"\nlatency_seed = 7\nleverage = 5\nfills = "queue"\n')
    values = settings(config.load(tmp_path / "c.toml"), [lc.Instrument("ETHUSDT")])
    found = values["paper"]["latency"]
    assert len(found["order_samples"]) == 1000 and min(found["order_samples"]) == 0.02 and max(found["order_samples"]) == 0.069
    assert set(found["ack_samples"]) == {0.01} and found["seed"] == 7
    assert values == json.loads(json.dumps(values))
    venue = make_paper(values).venue
    assert venue.latency.seed == 7 and 20_000_000 <= venue.latency.order_ns(5, 1) <= 69_000_000
    for text, says in (("order_ms\n-1\n", "latency.csv:2: order_ms: found '-1'; expected milliseconds"), ("a,b\n1,2\n", "no latency under a, b"), ("", "no header")):
        samples.write_text(text)
        with pytest.raises(DataError, match=says):
            settings(config.load(tmp_path / "c.toml"), [lc.Instrument("ETHUSDT")])


def test_everything_that_paper_may_say_is_taken_by_the_venue():
    for fills in ("through", "touch", "queue"):
        for taker in ("next", "walk"):
            read = loads(f"[paper]\nfills = '{fills}'\ntaker = '{taker}'\nhidden = 'none'\nleverage = 20\nmaintenance_margin = 0.01\n"
                         "funding_interval_s = 3600\nmaker_fee = -0.01\ntaker_fee = 0.01\n")
            make_paper(settings(read, [lc.Instrument("ETHUSDT")]))


SECRET = "cAnArYsEcReT0123456789abcdefABCDEF77"


@pytest.mark.parametrize(("text", "where"), [
    (f'[feed]\napi_key = "{SECRET}"', "feed.api_key"), (f'[live]\napiSecret = "{SECRET}"', "live.apiSecret"), (f'api_secret = "{SECRET}"', "api_secret"),
    (f'[run]\nname = "{SECRET}"', "run.name"), (f'[feed]\nsymbols = ["{SECRET}"]', "feed.symbols"), (f'[{SECRET}]\nx = 1\n[a]\ntoken = 3', "a.token"),
    ('[policy.symbols.ETHUSDT]\npassword = "abc"', "policy.symbols.ETHUSDT.password"),
])
def test_a_configuration_with_a_key_in_it_is_refused_and_the_key_not_shown(text, where):
    with pytest.raises(ConfigError) as caught:
        loads(text, "my.toml")
    said = str(caught.value)
    assert SECRET not in said and f"my.toml: {where}: this looks like a credential (not shown)" in said and "LIQCORE_API_KEY" in said


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


@pytest.mark.parametrize(("text", "rest", "private", "trade"), [
    ("", "https://api.bybit.com", "wss://stream.bybit.com/v5/private", "wss://stream.bybit.com/v5/trade"),
    ("environment = 'testnet'", "https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com/v5/private", "wss://stream-testnet.bybit.com/v5/trade"),
    ("environment = 'demo'", "https://api-demo.bybit.com", "wss://stream-demo.bybit.com/v5/private", ""),
    ("rest = 'http://127.0.0.1:1'\nws = 'ws://127.0.0.1:2/'", "http://127.0.0.1:1", "ws://127.0.0.1:2/v5/private", "ws://127.0.0.1:2/v5/trade"),
])
def test_addresses_of_the_account(text, rest, private, trade):
    feed = loads(f"[feed]\n{text}").feed
    assert (feed.rest_url, feed.private_url, feed.trade_url) == (rest, private, trade)
    assert feed.ws_url == ("ws://127.0.0.1:2" if "127" in text else ENVIRONMENTS[feed.environment].ws)


# ---- detectors, parameters, features ----

def test_the_cascade_detector_runs_where_somebody_listens_to_it():
    values = pipeline.settings(loads("[policy]\npreset = 'fade'"), [lc.Instrument("ETHUSDT")])
    assert values["cascade"]["quantile"] == 0.95 and values["detectors"] == [] and values["rule"] == "fade"
    assert values["policies"] == [{"rule": "fade", "symbols": ["ETHUSDT"], "parameters": {"ETHUSDT": {}}}]
    assert [type(p).__name__ for p in pipeline.make_policies(values)] == ["Fade"]
    signals_only = pipeline.settings(loads(""), [lc.Instrument("ETHUSDT")], trade=False)
    assert signals_only["policies"] == [] and signals_only["rule"] is None and signals_only["cascade"] is not None


def test_a_symbol_with_a_preset_of_the_same_rule_shares_the_policy():
    values = pipeline.settings(loads(FADE), [lc.Instrument(s) for s in ("ETHUSDT", "BTCUSDT")])
    assert [(told["rule"], told["symbols"]) for told in values["policies"]] == [("fade", ["ETHUSDT", "BTCUSDT"])]


def test_detectors_of_presets_and_of_the_configuration_are_merged_by_name():
    presets_say = {"flush": {"kind": "dollar", "window_s": 90, "trigger_usd": Decimal("5e6")}}
    out = wiring.detectors([("one", presets_say), ("two", presets_say), ("here", {"flush": {"window_s": 30}, "own": {"kind": "rate"}})])
    assert out == {"flush": {"kind": "dollar", "window_s": 30, "trigger_usd": 5e6}, "own": {"kind": "rate"}}
    assert wiring.detectors([("one", presets_say), ("here", {"flush": {"kind": "rate"}})]) == {"flush": {"kind": "rate"}}, "another kind starts anew"
    with pytest.raises(ConfigError, match="means another detector than preset one"):
        wiring.detectors([("one", presets_say), ("two", {"flush": {"kind": "dollar", "window_s": 60}}), ("here", {})])


@pytest.mark.parametrize(("text", "part"), [
    ("[detectors.Big]\nkind = 'dollar'", "detectors.Big: found the name 'Big'; expected the name of a detector"),
    ("[detectors.big]\nkind = {a = 1}", "detectors.big: found a table; expected a table of a kind and its parameters"),
    ("[policy.parameters]\nz_min = 3", "policy.parameters.z_min: unknown key"),
    ("[policy]\nparameters = 3", "policy.parameters: found 3; expected a table of the numbers of the rule itself"),
    ("[features]\nnames = ['liquidations.liq_cnt@5m']", "features.names: feature 'liquidations.liq_cnt@5m'"),
    ("[policy]\ntrail_basis = 'prize'", "policy.trail_basis: found 'prize'; expected one of 'price', 'profit'; did you mean 'price'?"),
])
def test_what_is_wrong_with_detectors_parameters_and_features_is_named(text, part):
    found, = faults(text)
    assert part in found
