"""The policies that ship, by their numbers: every preset is complete, says where its numbers come from, and agrees with the written systems."""

import dataclasses
import json
import math
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore import LONG, SECOND, SHORT, Bracket, Instrument
from liqcore.detectors.registry import parameters as told_of
from liqshell.config.load import loads, presets
from liqshell.config.sections import PolicyOverride
from liqshell.errors import ConfigError
from liqshell.fields import SCALE, plain
from liqshell.policies import RULES
from liqshell.policies.momentum_terms import PARTS, Parameters, score_of, size_of, stop_of
from liqshell.policies.reversal import Parameters as ReversalParameters
from liqshell.policies.reversal import Reversal, fires
from liqshell.policies.trend import CONFIDENCE, decide
from liqshell.run.pipeline import make_policies, settings

NAMES = ("fade", "fade-btc", "reversal", "trend", "momentum", "cascade-fade", "imbalance", "zone", "breakout")
MINUTE = 60 * SECOND
REVERSAL = ReversalParameters(**plain(presets()["reversal"].policy.parameters))
MIRROR = dataclasses.replace(REVERSAL, mirror=True)
MOMENTUM = Parameters(**plain(presets()["momentum"].policy.parameters))


def policy_of(name, extra=""):
    (found,) = make_policies(settings(loads(f"[policy]\npreset = '{name}'\n{extra}"), [Instrument("BTCUSDT")]))
    return found


# ---- presets ----


def test_the_presets_of_the_ship_rule_are_there():
    assert sorted(presets()) == sorted(NAMES)
    assert {preset.rule for preset in presets().values()} == set(RULES)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "fade-btc"])
def test_a_preset_leaves_nothing_to_another_one(name):
    """Every number of the bracket and of the rule stands in its own file; nothing is taken from `fade` by accident."""
    preset = presets()[name]
    open_ones = [f.name for f in dataclasses.fields(PolicyOverride) if getattr(preset.policy, f.name) is None]
    assert set(open_ones) <= {"preset", "equity_share", "parameters"}
    wanted = {f.name for f in dataclasses.fields(RULES[preset.rule].numbers_type)} - {"maker_fee"}  # [paper] says it
    assert set(preset.policy.parameters or {}) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_preset_says_where_it_is_from(name):
    """The header names the document once. Beside every number that is not zero stands what it means or its unit; one that is not the document's says
    'ours' and why. No code that only a table of requirements explains; the evidence says what speaks against it."""
    preset, text = presets()[name], (resources.files("liqshell.policies") / f"{name}.toml").read_text()
    lines = text.splitlines()
    assert lines[0] == f'# From "{preset.source}".' and "ours" in lines[1]
    silent = [line for line in lines if re.match(r"[a-z_]+ = [0-9._]*[1-9]", line) and "#" not in line]
    assert set(silent) <= {"period_s = 60"}, silent
    unexplained = [line for line in lines if re.search(r"# *ours *$", line)]
    assert not unexplained, unexplained
    assert not re.search(r"\b(S[0-4]-\d|S[0-4]\b|C\d{1,2}[ab]?\b|L\d)", text)
    assert preset.grade in ("claimed", "contradicted") and len(preset.evidence) > 150 and preset.summary


def test_presets_agree_on_what_a_detector_of_one_name_is():
    seen = {}
    for preset in presets().values():
        for name, told in preset.detectors.items():
            assert seen.setdefault(name, plain(told)) == plain(told), f"[detectors.{name}] of {preset.name}"


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_makes_its_policy_and_its_bracket_for_both_sides(name):
    policy = policy_of(name)
    assert type(policy) is RULES[presets()[name].rule]
    terms = loads(f"[policy]\npreset = '{name}'").policy_for("BTCUSDT").bracket_arguments()
    for side in (LONG, -LONG):
        assert Bracket(side, **terms).side == side
    own = set(presets()[name].detectors)
    assert set(policy.detectors) <= own | {"cascade"} and own <= set(policy.detectors)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reversal", {"max_hold_s": 3600.0, "cooldown_s": 3600.0, "entry": "market"}),
        ("trend", {"entry": "market", "stop_loss": 0.03, "trail": 0.02, "trail_basis": "price", "replaces": True, "take_profit": 0.0}),
        ("momentum", {"entry": "market", "stop_loss": 0.015, "take_profit": 0.02, "exit_phase": "decelerating", "replaces": False}),
        ("cascade-fade", {"entry": "market", "max_hold_s": 900.0}),
        ("imbalance", {"max_hold_s": 3600.0, "exit_phase": "exhausted"}),
        ("zone", {"take_profit": 0.005}),
        ("breakout", {"exit_phase": "exhausted"}),
    ],
)
def test_brackets_have_the_written_numbers(name, expected):
    values = loads(f"[policy]\npreset = '{name}'").policy_for("BTCUSDT")
    found = {key: getattr(values, key) for key in expected}
    assert {k: v / SCALE if isinstance(v, int) and not isinstance(v, bool) else v for k, v in found.items()} == expected


@pytest.mark.parametrize(
    ("name", "detector", "expected"),
    [
        ("trend", "anomaly", {"kind": "anomaly", "purity": 0.75}),
        ("momentum", "momentum", {"kind": "dollar", "min_usd": 50_000, "window_s": 90, "trigger_usd": 5_000_000, "fall": 0.6}),
        ("cascade-fade", "cascade-fade", {"kind": "dollar", "trigger_usd": 5_000_000}),
        ("imbalance", "imbalance", {"kind": "imbalance", "share": 0.7, "window_s": 300}),
        ("zone", "zone", {"kind": "zone", "leave_bps": 50, "sides": "matching"}),
        ("breakout", "breakout", {"kind": "rate", "sigma": 3.0, "window_s": 60}),
        ("reversal", "bars", {"kind": "bars", "period_s": 60}),
    ],
)
def test_detectors_have_the_written_numbers(name, detector, expected):
    found = plain(presets()[name].detectors[detector])
    assert {key: found[key] for key in expected} == expected
    assert set(found) - {"kind"} <= {row.name for row in told_of(found["kind"])}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "reversal",
            {
                "liq_z": 2.0,
                "flow_z": 1.0,
                "funding_max": 0.0,
                "mirror": False,
                "feature_liquidations": "liquidations.liq_imbalance@15m:zscore",
                "feature_flow": "flow.ofi@5m:zscore",
                "feature_funding": "funding.funding_avg@1h",
            },
        ),
        (
            "momentum",
            {
                "score_min": 7.0,
                "entry_from": "first",
                "entry_after_s": 5,
                "entry_until_s": 15,
                "volume_unit": 10_000_000,
                "volume_factor_max": 2.0,
                "size_decimals": 4,
                "size_min": 0.001,
                "size": 0.1,
                "stop_min": 0.008,
                "ratio": 2.5,
                "target": "fixed",
                "quiet_s": 600,
                "trades_per_day": 8,
            },
        ),
        (
            "momentum",
            {
                "feature_speed": "hawkes.next_large@15s",
                "feature_size": "liquidations.liq_volume@90s:rank",
                "feature_stretch": "funding.funding:rank",
                "feature_fuel_below": "map.pending_below@3pct:rank",
                "feature_fuel_above": "map.pending_above@3pct:rank",
                "feature_count": "liquidations.liq_count@90s",
                "cluster_use": "obstacle",
            },
        ),  # 60 to 120 s, next 3 %
        ("imbalance", {"feature_long_volume": "liquidations.liq_long_volume@5m", "feature_short_volume": "liquidations.liq_short_volume@5m"}),
        ("cascade-fade", {"hold_min_s": 300}),
    ],
)
def test_parameters_have_the_written_numbers(name, expected):
    found = plain(presets()[name].policy.parameters)
    assert {key: found[key] for key in expected} == expected


def test_no_preset_is_live_by_itself():
    for name in NAMES:
        assert loads(f"[policy]\npreset = '{name}'").run.mode == "paper"


# ---- configuration of rules ----


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[policy]\npreset = 'momentum'\n[policy.parameters]\nscore_mim = 8", "policy.parameters.score_mim: unknown key. Did you mean 'score_min'?"),
        (
            "[policy]\npreset = 'momentum'\n[policy.parameters]\nscore_min = 11",
            "policy.parameters.score_min: found 11; expected a number from 0 to 10 (of 10)",
        ),
        ("[policy]\npreset = 'momentum'\n[policy.parameters]\ncluster_use = 'fule'", "did you mean 'fuel'?"),
        ("[policy.symbols.BTCUSDT]\npreset = 'trend'\n[policy.symbols.BTCUSDT.parameters]\nz_stron = 3", "policy.symbols.BTCUSDT.parameters.z_stron"),
        (
            "[policy]\npreset = 'momentum'\n[detectors.momentum]\ntriger_usd = 1",
            "detectors.momentum.triger_usd: unknown key. Did you mean 'trigger_usd'?",
        ),
        ("[policy]\npreset = 'momentum'\n[detectors.momentum]\nfall = 2", "detectors.momentum.fall: found 2; expected 0 to 1 (share)"),
        ("[detectors.more]\nwindow_s = 3", "detectors.more.kind: not set, and no preset of this run has a detector of this name; expected one of"),
        ("[detectors.more]\nkind = 'dolar'", "detectors.more.kind: found 'dolar'"),
        ("[detectors.cascade]\nkind = 'rate'", "detectors.cascade.kind: found 'rate'; expected 'cascade', or no kind: the name is reserved for it"),
        ("[policy]\npreset = 'reversal'\n[policy.parameters]\nfeature_flow = 'flow.off@5m'", "policy.parameters.feature_flow: "),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(text, part):
    with pytest.raises(ConfigError) as caught:
        loads(text, "my.toml")
    assert any(part in str(problem) and str(problem).startswith("my.toml:") for problem in caught.value.problems), caught.value


def test_presets_of_different_rules_trade_side_by_side():
    config = loads(
        "[policy]\npreset = 'momentum'\n[policy.symbols.ETHUSDT]\npreset = 'cascade-fade'\n[policy.symbols.SOLUSDT]\npreset = 'fade'\n"
        "[policy.symbols.SOLUSDT.parameters]\n[policy.symbols.XRPUSDT.parameters]\nscore_min = 9"
    )
    values = settings(config, [Instrument(s) for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")])
    assert [(t["rule"], t["symbols"]) for t in values["policies"]] == [
        ("momentum", ["BTCUSDT", "XRPUSDT"]),
        ("cascade_fade", ["ETHUSDT"]),
        ("fade", ["SOLUSDT"]),
    ]
    assert [t["name"] for t in values["detectors"]] == ["momentum", "bars", "cascade-fade", "cascade-fade-more"] and values["cascade"] is not None
    momentum, against, fade = make_policies(values)
    assert (momentum.symbols, against.symbols, fade.symbols) == (("BTCUSDT", "XRPUSDT"), ("ETHUSDT",), ("SOLUSDT",))
    assert values["policies"][0]["parameters"]["XRPUSDT"]["score_min"] == 9.0 and values["policies"][0]["parameters"]["BTCUSDT"]["score_min"] == 7.0


# ---- reversal, bar by bar ----


def bars(numbers, *rows, every=MINUTE):
    """Sides that fire, by bar. rows: (liq z, flow z, funding)."""
    memory = {}
    return [fires(numbers, memory, k * every, *row) for k, row in enumerate(rows)]


def test_c22_armed_by_the_flush_fired_by_the_upward_cross_of_flow():
    flushed, turned = (-2.1, 0.0, -0.0001), (0.0, 1.1, -0.0001)
    assert bars(REVERSAL, flushed, turned) == [None, LONG]
    assert bars(REVERSAL, (-2.0, 0.0, -0.0001), turned) == [None, None], "below -2, not at it"
    assert bars(REVERSAL, flushed, (0.0, 1.0, -0.0001), turned) == [None, None, LONG], "above +1, not at it"
    assert bars(REVERSAL, flushed, (0.0, 1.1, 0.0)) == [None, None], "funding below zero, not at it"
    assert bars(REVERSAL, (0.0, 1.1, -0.0001), (-2.1, 1.2, -0.0001), (-2.1, 1.3, -0.0001)) == [None] * 3, "a level is not a cross"
    assert bars(REVERSAL, (-2.1, 1.2, -0.0001), turned) == [None, None], "nothing is known of the bar before the first"
    assert bars(REVERSAL, (0.0, 0.5, -0.0001), (-2.1, 1.2, -0.0001)) == [None, LONG], "both at one bar: the flush is known when flow crosses"
    assert bars(REVERSAL, turned, (0.0, 0.0, -0.0001), flushed, (0.0, 0.9, -0.0001)) == [None] * 4, "the cross came before the flush"


def test_c22_a_flush_expires_and_fires_once():
    quiet = (0.0, 0.0, -0.0001)
    assert bars(REVERSAL, (-3.0, 0.0, -0.0001), *[quiet] * 14, (0.0, 2.0, -0.0001))[-1] == LONG, "15 minutes later"
    assert bars(REVERSAL, (-3.0, 0.0, -0.0001), *[quiet] * 15, (0.0, 2.0, -0.0001))[-1] is None, "16 minutes later: expired"
    twice = bars(REVERSAL, (-3.0, 0.0, -0.0001), (0.0, 2.0, -0.0001), quiet, (0.0, 2.0, -0.0001))
    assert twice == [None, LONG, None, None], "fired: it takes another flush"


def test_c22_what_is_not_known_neither_arms_nor_crosses():
    nan = float("nan")
    assert bars(REVERSAL, (nan, 0.0, -0.0001), (nan, 2.0, -0.0001)) == [None, None]
    assert bars(REVERSAL, (-3.0, nan, -0.0001), (0.0, 2.0, -0.0001)) == [None, None]
    assert bars(REVERSAL, (-3.0, 0.0, -0.0001), (0.0, 2.0, nan)) == [None, None]


def test_the_mirror_sells_after_shorts_were_flushed_and_is_off_by_default():
    flushed, turned = (2.1, 0.0, 0.0001), (0.0, -1.1, 0.0001)
    assert bars(REVERSAL, flushed, turned) == [None, None], "S0 buys UP only"
    assert bars(MIRROR, flushed, turned) == [None, SHORT] and bars(MIRROR, (-2.1, 0.0, -0.0001), (0.0, 1.1, -0.0001)) == [None, LONG]


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-3, 3), st.floats(-0.001, 0.001)), max_size=60))
def test_the_mirror_is_exact(rows):
    turned = [tuple(-x for x in row) for row in rows]
    there, back = bars(MIRROR, *rows), bars(MIRROR, *turned)
    assert [None if side is None else -side for side in there] == back


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_json_and_a_recording_alone_makes_the_same_policies(name):
    values = settings(loads(f"[policy]\npreset = '{name}'"), [Instrument("BTCUSDT")])
    again = json.loads(json.dumps(values))
    assert again == values
    one, other = make_policies(values)[0], make_policies(again)[0]
    assert (one.features, one.detectors, one.symbols) == (other.features, other.detectors, other.symbols)


# ---- what policies remember ----


def test_memory_comes_back_from_a_snapshot_and_rubbish_does_not():
    one, other = policy_of("reversal"), policy_of("reversal")
    assert one.snapshot() == b""
    one.memory[0] = {"flow": float("nan"), "armed LONG": 5}
    other.restore(one.snapshot())
    assert math.isnan(other.memory[0]["flow"]) and other.memory[0]["armed LONG"] == 5 and other.snapshot() == one.snapshot()
    other.restore(b"")
    assert other.memory == {}
    for bad in (b"rubbish", b"[1]", b'{"x": 1}'):
        with pytest.raises(ValueError, match="Reversal: this is not a snapshot of it"):
            Reversal({}).restore(bad)


# ---- decisions that need no market ----


@pytest.mark.parametrize(
    ("strong", "aligned", "news", "action", "confidence"),
    [
        (True, True, True, "enter", "high"),
        (True, True, False, "enter", "medium"),
        (True, False, True, "hold", "low"),
        (False, True, True, "enter", "medium"),
        (False, False, True, "don't enter", "low"),
        (False, True, False, "don't enter", "low"),
        (False, False, False, "don't enter", "low"),
        (True, False, False, "don't enter", "low"),
    ],
)
def test_decision_matrix_of_s1_12(strong, aligned, news, action, confidence):
    assert decide(strong, aligned, news) == (action, confidence)


def test_confidence_is_ordered():
    assert CONFIDENCE["low"] < CONFIDENCE["medium"] < CONFIDENCE["high"]


@pytest.mark.parametrize(
    ("score", "volume", "expected"),
    [
        (7.0, 5_000_000, 0.035),
        (10.0, 10_000_000, 0.1),
        (8.0, 20_000_000, 0.16),
        (8.0, 900_000_000, 0.16),  # capped at 2x from $20M on
        (7.3333, 6_170_000, 0.0452),
        (10.0, 100_000, 0.001),
        (10.0, 99_000, 0.001),
        (10.0, 94_000, 0.0),  # rounded to 4 places, then skipped
    ],
)
def test_size_of_s3_09(score, volume, expected):
    assert size_of(MOMENTUM, score, volume) == expected


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_score_is_ten_times_a_weighted_mean_and_each_part_can_only_raise_it(speed, size, fuel, stretch):
    weights = {name: getattr(MOMENTUM, f"weight_{name}") for name in PARTS}
    assert math.isclose(sum(weights.values()), 1.0) and min(weights, key=weights.get) == "fuel", (
        "its map has added next to nothing where it was measured"
    )
    parts = dict(zip(PARTS, (speed, size, fuel, stretch), strict=True))
    found = score_of(parts, weights, MOMENTUM.known_min)
    assert found == pytest.approx(10 * (0.35 * speed + 0.35 * size + 0.1 * fuel + 0.2 * stretch)) and 0.0 <= found <= 10.0 + 1e-12
    for name in PARTS:
        assert score_of(parts | {name: 1.0}, weights, 0.5) >= found - 1e-12


def test_score_leaves_out_what_is_not_known_and_says_nothing_where_too_little_is():
    weights, nan = dict(zip(PARTS, (0.35, 0.35, 0.1, 0.2), strict=True)), float("nan")
    assert score_of({"speed": 1.0, "size": 0.5, "fuel": nan, "stretch": nan}, weights, 0.5) == pytest.approx(7.5)
    assert math.isnan(score_of({"speed": 1.0, "size": nan, "fuel": nan, "stretch": nan}, weights, 0.5))
    assert math.isnan(score_of(dict.fromkeys(PARTS, nan), weights, 0.0))
    assert score_of({"speed": 2.0, "size": -1.0, "fuel": 0.0, "stretch": 0.0}, weights, 0.5) == pytest.approx(3.5), "a part counts 0 to 1"


@pytest.mark.parametrize(("volatility", "stop"), [(0.0, 0.008), (0.004, 0.008), (0.005, 0.01), (0.0075, 0.015), (0.5, 0.015), (float("nan"), 0.008)])
def test_hard_stop_of_s3_10_widens_with_volatility_from_0_8_to_1_5_percent(volatility, stop):
    assert stop_of(MOMENTUM, volatility, widest=0.015) == stop
