"""Features inside an engine: what a policy reads is what a Features object of its own, fed with the same events, says at that moment."""

from __future__ import annotations

import math

import pytest

import liqcore as lc
from markets import EAGER, instruments, market

NAMES = (
    "flow.trade_imbalance@30s",
    "flow.spread_bps",
    "liquidations.liq_imbalance@1m",
    "liquidations.liq_volume@60s",
    "price.last",
    "oi.oi",
    "liquidations.liq_rate@1m:mean",
)


class Reader(lc.Policy):
    features = NAMES[:4]

    def __init__(self):
        self.read, self.check = [], None

    def on_signal(self, signal, market):
        self.read.append((market.now, signal.instrument, {name: market.feature(name) for name in (*NAMES[:4], "price.last")}))


@pytest.mark.parametrize("seed", [3, 8])
def test_a_policy_reads_what_a_features_object_says(seed):
    size = 2
    events = market(seed, 4000, size, feed=True)
    reader = Reader()
    engine = lc.Engine(instruments(size), EAGER, reader, features=NAMES[4:])
    alone = lc.Features(NAMES, engine.instruments)
    same = checked = 0
    for n in range(len(events)):
        before = len(reader.read)
        engine.advance(int(events["ts_recv"][n]))
        timed, accepted = len(reader.read), engine.events
        for now, i, seen in reader.read[before:timed]:
            for name, value in seen.items():
                wanted = alone.read(name, i, now)
                same, checked = same + (value == wanted or (math.isnan(value) and math.isnan(wanted))), checked + 1
        engine.run(events[n : n + 1])
        if engine.events > accepted:
            alone.push(events[n : n + 1])
        for now, i, seen in reader.read[timed:]:
            for name, value in seen.items():
                wanted = alone.read(name, i, now)
                same, checked = same + (value == wanted or (math.isnan(value) and math.isnan(wanted))), checked + 1
    assert checked == same > 200
    for name in NAMES:
        for i in range(size):
            a, b = engine.feature(name, i), alone.read(name, i, engine.now)
            assert a == b or (math.isnan(a) and math.isnan(b))
    twin = lc.Engine(instruments(size), EAGER, Reader(), features=NAMES[4:])
    engine.drain()
    twin.restore(engine.snapshot())
    assert twin.snapshot() == engine.snapshot() and twin.feature("oi.oi", 0) == pytest.approx(engine.feature("oi.oi", 0), nan_ok=True)


def test_only_what_is_declared_can_be_read():
    class Curious(lc.Policy):
        features = ("price.last",)

        def on_signal(self, signal, market):
            assert market.feature("price.last") == 100.0
            with pytest.raises(KeyError, match="expected one of price.last"):
                market.feature("flow.spread_bps")  # another policy's

    class Other(lc.Policy):
        features = ("flow.spread_bps", "liquidations.liq_volume@60s")

        def on_signal(self, signal, market):
            with pytest.raises(KeyError, match="price.last"):
                market.feature("price.last")

    engine = lc.Engine(["A"], lc.CascadeConfig(warmup=1, min_events=1, window_events=2), [Curious(), Other()])
    now = 1_700_000_000 * lc.SECOND
    for n in range(4):
        engine.on_trade(now + n, now + n, 0, 1, 100.0, 1.0)
        engine.on_liquidation(now + n, now + n, 0, 1, 100.0, 1.0)
    assert engine.features.names == ("price.last", "flow.spread_bps", "liquidations.liq_volume@1m")
    engine.advance(now + 120 * lc.SECOND)
    assert engine.feature("liquidations.liq_volume@60s", "A") == engine.feature("liquidations.liq_volume@1m", "A") == 0.0  # either spelling
    with pytest.raises(KeyError, match="expected one of price.last"):
        engine.feature("price.first", "A")
    with pytest.raises(ValueError, match="price.first"):
        lc.Engine(["A"], features=("price.first",))
    with pytest.raises(TypeError, match="features: expected several, such as a list"):
        lc.Engine(["A"], features="price.last")
