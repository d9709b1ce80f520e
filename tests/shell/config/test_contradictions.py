"""What the written systems get wrong or say against each other, one named test each; the others are tested with the
thing itself: policies, detectors, brackets, the hourly binary."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_policies_dollar import SIZE_ONLY

import liqcore as lc
from liqcore import LONG, SECOND, SHORT
from liqcore.event import Kind
from liqshell.config.load import presets
from liqshell.fields import plain
from liqshell.policies.momentum import Momentum
from liqshell.policies.momentum_terms import Parameters
from stage import BOTH, PRICE, START, Stage

TESTS = Path(__file__).parents[2]
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 14, 16, 19, 20, 21, 22, 23, 24)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_contradiction_has_its_test(number):
    named = re.compile(rf"def test_(?:c\d\d[a-z]?_)*c{number:02}_")
    assert any(named.search(file.read_text()) for file in TESTS.rglob("test_*.py")), f"no test_c{number:02}_…"


def flush(stage, side, count=4, usd=1_500_000.0):
    for _ in range(count):
        stage.forced(side, usd)
        stage.wait(1)


@BOTH
def test_c02_rules_go_by_the_liquidated_side(side):
    """The research plan writes 'buy after sell liquidations' with Buy = long liquidated: that would follow. By liquidated side its strategies fade: longs -> buy."""
    fade, imbalance = Stage("cascade-fade"), Stage("imbalance")
    for stage in (fade, imbalance):
        stage.wait(60)
        flush(stage, side, count=6)
        stage.wait(100)
        assert {way for _, way, _ in stage.asked} == {int(side)}


@pytest.mark.parametrize("name", ["cascade-fade", "imbalance", "momentum"])
def test_c03_c11b_flipping_the_sides_flips_the_policy(name):
    """The same prices, every liquidation on the other side: what was bought is sold. (breakout goes by price alone; trend's candles and reversal's flow
    then disagree, so they do nothing; the alarm that finds a flipped adapter is test_engine's.)"""
    extra = f"{SIZE_ONLY}funding_min = -1\n" if name == "momentum" else ""
    ways = []
    for side in (LONG, SHORT):
        s = Stage(name, extra, funding=0.0001)
        for minute in range(65):
            s.forced(LONG if minute % 2 else SHORT, 1000.0 + minute)
            s.wait(60, every=5)
        flush(s, side, count=6)
        s.wait(100)
        ways.append([(at, way) for at, way, _ in s.asked])
    assert ways[0] and ways[0] == [(at, -way) for at, way in ways[1]]


def test_c05_the_topic_is_the_one_that_is_alive():
    """The guide's topic `liquidation.` errors since its end; `allLiquidation.` has every event, and all rows of a frame count."""
    from liqshell.venues.bybit import decoder as bybit

    ((_, asked),) = bybit.subscribe_frames(["ETHUSDT"])
    assert re.findall(rb'"(\w*[lL]iquidation\.\w+)"', asked) == [b"allLiquidation.ETHUSDT"]
    decoder = bybit.PublicDecoder(["ETHUSDT"])
    rows = ",".join(f'{{"T":1700000000{k:03},"s":"ETHUSDT","S":"Buy","v":"{k + 1}","p":"2000"}}' for k in range(3))
    frame = decoder.read(f'{{"topic":"allLiquidation.ETHUSDT","type":"snapshot","ts":1700000000500,"data":[{rows}]}}'.encode(), START)
    found = np.array(frame.events, lc.EVENT_DTYPE)
    assert found["qty"].tolist() == [1.0, 2.0, 3.0] and set(found["side"]) == {LONG} and set(found["kind"]) == {Kind.LIQUIDATION}


@BOTH
def test_c06_liquidation_prices_are_bankruptcy_prices_and_no_market(side):
    """The reported price is not where the market traded: it makes the notional, and moves neither the last price nor a price feature."""
    s = Stage("cascade-fade", "[features]\nnames = ['price.last', 'price.return@1m']\n")
    s.wait(120)
    s.forced(side, 6_000_000.0, price=PRICE * (1 - 0.05 * side))
    (policy,) = s.engine.policies
    seen, decide = [], policy.on_signal

    def look(signal, market):
        seen.append((market.last, market.feature("price.last"), market.feature("price.return@1m")))
        return decide(signal, market)

    policy.on_signal = look
    s.forced(side, 10.0)
    s.wait(100)
    assert [said[:2] for said in s.said if said[1] == "ACTIVE" and said[0] == "cascade-fade"] == [("cascade-fade", "ACTIVE")], "it makes the notional"
    assert seen and set(seen) == {(PRICE, PRICE, 0.0)}
    assert s.asked[0][2]["reference"] == PRICE


def test_c07_a_sampled_feed_is_marked_wherever_it_goes():
    """Binance shows one order per symbol and second: its signals say CENSORED, at the same threshold; a full feed's do not."""
    from liqcore.event import SignalFlag

    for completeness, marked in ((lc.Completeness.COMPLETENESS_CENSORED, True), (lc.Completeness.COMPLETENESS_FULL, False)):
        instrument = lc.Instrument("BTCUSDT", tick_size="0.1", lot_size="0.001", completeness=completeness)
        engine = lc.Engine([instrument], detectors=[lc.make_detector("dollar", name="big", trigger_usd=1e6)])
        found = []
        for k in range(3):
            found += engine.on_liquidation(START + k * SECOND, START + k * SECOND, 0, LONG, PRICE, 10.0)
        assert found and all(bool(signal.flags & SignalFlag.SIGNAL_CENSORED) is marked for signal in found)


def test_c14_what_a_cascade_is_differs_and_every_detector_has_a_floor():
    """Side by side in one engine, each under its own name; what one calls a cascade the other need not. An absolute floor keeps trifles out."""
    values = {
        name: presets()[preset].detectors[name]
        for name, preset in (("anomaly", "trend"), ("momentum", "momentum"), ("imbalance", "imbalance"), ("breakout", "breakout"))
    }
    made = [lc.make_detector(name=name, **plain(told)) for name, told in values.items()]
    engine = lc.Engine([lc.Instrument("BTCUSDT")], detectors=[lc.make_detector("cascade", warmup=10), *made])
    said = set()
    for k in range(400):  # trifles of one side, thick and fast
        ts = START + k * SECOND
        for signal in engine.on_liquidation(ts, ts, 0, LONG, PRICE, 0.0001 * (1 + k % 7)):
            if signal.phase == lc.Phase.ACTIVE:
                said.add(engine.detectors[signal.detector - 1].name)
    assert said == {"cascade"}, "a rolling quantile of trifles calls trifles large; the others have a floor"


@BOTH
@pytest.mark.parametrize(
    ("use", "small", "large", "unknown"), [("obstacle", True, False, True), ("fuel", False, True, True), ("ignore", True, True, True)]
)
def test_c19_fuel_and_obstacle_are_two_objects_and_their_use_is_a_parameter(side, use, small, large, unknown):
    """One document calls a cluster fuel in its score and obstacle in its filter; another calls realised clusters bounce zones. Fuel is what is estimated
    to be pending on the burning side; an obstacle is where the other side was liquidated. A long flush looks below price, a short flush above."""
    told = plain(presets()["momentum"].policy.parameters)
    numbers = Parameters(**(told | {"cluster_use": use}))
    here, there = ("below", "above") if side == LONG else ("above", "below")
    looked = "feature_fuel" if use == "fuel" else "feature_obstacle"
    for rank, passes in ((0.89, small), (0.9, large), (float("nan"), unknown)):
        known = {told[f"feature_{what}_{where}"]: 0.5 for what in ("fuel", "obstacle") for where in (here, there)}
        known |= {told[f"{looked}_{here}"]: rank, told["feature_count"]: 3.0, told["feature_funding"]: 0.0002 * side}
        found = Momentum.filters(None, numbers, SimpleNamespace(side=side), SimpleNamespace(feature=known.__getitem__))
        assert [met for *_, met in found] == [True, True, passes][: 2 + (use != "ignore")]
    burning, other = ("long", "short") if side == LONG else ("short", "long")
    assert (
        told[f"feature_fuel_{here}"] == f"map.pending_{here}@3pct:rank"
        and told[f"feature_obstacle_{here}"] == f"map.realised_{other}_{here}@3pct:rank"
    )
    assert burning not in told[f"feature_obstacle_{here}"]


@pytest.mark.parametrize("name", sorted(presets()))
def test_c24_no_preset_looks_at_the_hour(name):
    """The authors contradict each other about hours: no default filter. The numbers of a preset name none, and nothing in a policy reads one."""
    told = {**plain(presets()[name].policy.parameters or {}), **{k: v for d in presets()[name].detectors.values() for k, v in plain(d).items()}}
    assert not [key for key in told if "hour" in key or "weekday" in key]


@pytest.mark.parametrize("hour", [0, 4, 8, 9, 13, 16, 21])
def test_c24_it_trades_the_same_at_every_hour(hour, monkeypatch):
    import stage

    monkeypatch.setattr(stage, "START", START + (hour - 12) * 3600 * SECOND)
    s = Stage("cascade-fade")
    s.wait(60)
    flush(s, LONG)
    s.wait(100)
    assert [(way, terms["stop_loss"]) for _, way, terms in s.asked] == [(LONG, 0.02)] and s.now > stage.START
