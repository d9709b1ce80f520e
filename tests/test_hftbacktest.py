"""The same ticks through liqcore's step and through hftbacktest: the same fills, one by one (time, price, quantity, side, maker), and the same cash.

How each side is set up so that their meanings coincide is written in benches/simulators/hftbacktest_resident.py; what it says of partial fills, and
what hftbacktest#316 is about, is tested in test_peers.py.
"""

import gzip
import json
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest

import liqcore as lc
from benches import market
from benches.simulators import ours
from tests import captures

LATENCIES_S = (0.0, 0.01, 0.1)


@pytest.fixture(scope="module")
def twin():
    pytest.importorskip("hftbacktest", reason="hftbacktest is not installed: pip install 'liqcore[bench]'")
    from benches.simulators import hftbacktest_resident
    return hftbacktest_resident


class Watched(lc.Policy):
    """The task's rule, at the touch or away from it; it remembers what it was asked, for the other engine."""

    def __init__(self, setting: market.Setting, tick: float, notional: float, touch: bool):
        self.setting, self.tick, self.notional, self.touch, self.seen = setting, tick, notional, touch, []

    def on_signal(self, signal, now):
        if signal.phase != lc.Phase.ACTIVE:
            return None
        near = now.bid if signal.side > 0 else now.ask
        self.seen.append((signal.ts, signal.side, round((near if self.touch else now.last) / self.tick)))
        return ours.bracket(self.setting, signal.side, self.notional, self.seen[-1][2])


@dataclass(frozen=True)
class Scene:
    day: market.Day
    instrument: lc.Instrument
    config: lc.CascadeConfig
    notional: float

    @cached_property
    def tape(self) -> lc.Tape:
        return lc.Tape.of([self.instrument], ours.events(self.day))


def step(scene, setting, latency_s, touch):
    """liqcore: (fills as of hftbacktest_resident.FILL, cash less fees, signals)."""
    day = scene.day
    policy = Watched(setting, day.tick, scene.notional, touch)
    engine = lc.Engine([scene.instrument], scene.config, policy, ours.risk(), equity=1e6, audit_capacity=1 << 17)
    paper = lc.Paper(engine, lc.SimVenue([scene.instrument], fills="queue", hidden="none", maker_fee=market.MAKER, taker_fee=market.TAKER,
                                         order_latency_s=latency_s, ack_latency_s=latency_s, funding_interval_s=0))
    assert lc.Walk(paper, scene.tape).run(scene.tape.end + round(latency_s * 1e9))
    audit = engine.audit.drain()
    assert not engine.audit.lost and not engine.refused and not paper.venue.lost
    fills = audit[audit["kind"] == lc.AuditKind.AUDIT_FILL]
    x = fills["x"]
    rows = [(int(ts) - round(latency_s * 1e9), round(p / day.tick), q, s, bool(m))
            for ts, p, q, s, m in zip(fills["ts"], x[:, 0], x[:, 1], fills["side"], x[:, 3], strict=True)]
    assert_position_is_the_sum_of_fills(engine, paper, fills)
    cash = -(x[:, 0] * x[:, 1] * fills["side"]).sum() - x[:, 2].sum()
    return rows, cash, np.array(policy.seen, [("ts", "i8"), ("side", "i8"), ("reference", "i8")])


def assert_position_is_the_sum_of_fills(engine, paper, fills):
    held = (fills["x"][:, 1] * fills["side"]).sum()
    assert paper.venue.position(0) == pytest.approx(held, abs=1e-9)
    assert engine.account.position(0)["qty"] == pytest.approx(held, abs=1e-9)


def compare(twin, scene, setting, latency_s, touch):
    """Returns the number of fills; fails at the first that differs."""
    setting = replace(setting, offset=0) if touch else setting
    mine, cash, signals = step(scene, setting, latency_s, touch)
    theirs, their_cash = twin.fills(scene.day, signals, setting, latency_s)
    theirs = [(int(f["ts"]), int(f["price"]), float(f["qty"]), int(f["side"]), bool(f["maker"])) for f in theirs]
    where = f"{setting}, {latency_s} s, {'touch' if touch else 'away'}"
    for n, (a, b) in enumerate(zip(mine, theirs)):
        assert a == b, f"fill {n} of {len(mine)}: {where}"
    assert len(mine) == len(theirs), where
    assert cash == pytest.approx(their_cash, abs=1e-4), where
    return len(mine)


def with_changing_sizes(day: market.Day, seed: int) -> market.Day:
    """More quotes: the same prices, other sizes, so that queues shrink between trades and grow again."""
    r = np.random.default_rng(seed)
    q = day.quotes
    room = np.flatnonzero(np.diff(q["ts"]) > 7_000)
    at = np.sort(r.choice(room, len(room) // 2, replace=False))
    ts = q["ts"][at] + 7 * r.integers(1, np.diff(q["ts"])[at] // 7)
    ts = ts[~np.isin(ts, day.trades["ts"])]
    at = np.searchsorted(q["ts"], ts) - 1
    rows = [np.concatenate([q["ts"], ts])] + [np.concatenate([q[k], q[k][at]]) for k in ("bid", "ask")]
    rows += [np.concatenate([q[k], np.maximum(q[k][at] * r.choice([0.1, 0.5, 0.9, 2.0], len(at)), 1).astype(np.int32)])
             for k in ("bid_lots", "ask_lots")]
    order = np.argsort(rows[0], kind="stable")
    quotes = dict(zip(("ts", "bid", "ask", "bid_lots", "ask_lots"), (x[order] for x in rows), strict=True))
    quotes["trades_before"] = np.searchsorted(day.trades["ts"], quotes["ts"])
    return replace(day, quotes=quotes)


def generated(twin, settings, trades=200_000):
    scene = Scene(with_changing_sizes(market.day(trades), 1), ours.instrument(), ours.config(market.Detector()), ours.NOTIONAL)
    fills = [compare(twin, scene, s, latency_s, touch)
             for s in settings for latency_s in LATENCIES_S for touch in (True, False)]
    assert min(fills) >= 20, fills          # nobody can be right by not trading


def test_on_generated_ticks(twin):
    generated(twin, market.settings(2))


@pytest.mark.slow
def test_on_generated_ticks_a_hundred_settings(twin):
    generated(twin, market.settings(100))


# ---- real ticks ----

CAPTURE = captures.DATA / "market-hftbacktest-binance-2024-08"
needs_capture = pytest.mark.skipif(not CAPTURE.is_dir(), reason=captures.ABSENT)


def recorded(name: str, tick: float, lot: float, seed: int) -> market.Day:
    """Quotes and trades of a recording in order of receipt, on the grid; liquidations are in none of them, so seeded ones stand in."""
    quotes, trades = [], []
    with gzip.open(CAPTURE / name, "rt") as lines:
        for line in lines:
            at, _, frame = line.partition(" ")
            data = json.loads(frame).get("data", {})
            if data.get("e", "bookTicker") == "bookTicker" and "B" in data:
                quotes.append((int(at), *(float(data[k]) for k in "baBA")))
            elif data.get("e") == "trade" and data.get("X", "MARKET") == "MARKET":
                trades.append((int(at), float(data["p"]), float(data["q"]), -1 if data["m"] else 1))
    q, t = np.array(quotes), np.array(trades)
    received = np.array([x[0] for x in quotes + trades])
    order = np.argsort(received, kind="stable")
    slot, room = (received[order] - received.min()) // 14, np.arange(len(received))
    grid = np.empty(len(received), np.int64)
    grid[order] = market.START + 14 * (np.maximum.accumulate(slot - room) + room)    # every second slot: room for the quotes of consistent()
    bid, ask = (np.round(q[:, k] / tick).astype(np.int32) for k in (1, 2))
    lots = [np.maximum(np.round(x / lot), 1).astype(np.int32) for x in (q[:, 3], q[:, 4], t[:, 2])]
    quotes = {"ts": grid[:len(q)], "bid": bid, "ask": ask, "bid_lots": lots[0], "ask_lots": lots[1]}
    trades = {"ts": grid[len(q):], "price": np.round(t[:, 1] / tick).astype(np.int32), "lots": lots[2], "side": t[:, 3].astype(np.int8)}
    first = np.searchsorted(trades["ts"], quotes["ts"][0])
    trades = {k: v[first:] for k, v in trades.items()}
    end = int(max(quotes["ts"][-1], trades["ts"][-1]))
    r = np.random.default_rng(seed)
    ts = np.unique(r.integers(trades["ts"][10], end - 60 * 10**9, 600) // 7 * 7 + 1)
    price = trades["price"][np.searchsorted(trades["ts"], ts) - 1] * tick
    forced = {"ts": ts, "side": np.repeat(r.choice([1, -1], len(ts) // 6 + 1), 6)[:len(ts)].astype(np.int8), "price": np.round(price, 8),
              "notional": np.round(np.exp(r.normal(7, 2, len(ts))), 2)}
    return market.Day(trades, quotes, forced, tick, lot)


def real(twin, count):
    """Settings of the size of five minutes: fractions of a basis point up to some, seconds."""
    config = lc.CascadeConfig(quantile=0.6, window_events=50, window_s=3, warmup=10, fall=1.0)
    r = np.random.default_rng(7)
    for name, symbol, tick, lot in (("usdm_btcusdt_20240808.gz", "BTCUSDT", 0.1, 0.001), ("spot_btcusdt_20240808.gz", "BTCUSDT", 0.01, 0.00001)):
        day = twin.consistent(recorded(name, tick, lot, 3))
        instrument = lc.Instrument(symbol, tick_size=str(tick), lot_size=f"{lot:f}", min_qty=f"{lot:f}")
        notional = 1.5 * lot * float(np.median(day.trades["price"])) * tick
        scene, fills = Scene(day, instrument, config, notional), 0
        for _ in range(count):
            setting = market.Setting(*(int(x) for x in r.integers((500, 1_000, 1_000, 2, 3, 1), (20_000, 40_000, 50_000, 20, 30, 10))))
            for latency_s in LATENCIES_S:
                for touch in (True, False):
                    fills += compare(twin, scene, setting, latency_s, touch)
        assert fills >= 20 * count, fills


@needs_capture
def test_on_recorded_ticks(twin):
    real(twin, 2)


@needs_capture
@pytest.mark.slow
def test_on_recorded_ticks_a_hundred_settings(twin):
    real(twin, 100)
