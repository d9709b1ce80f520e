"""The same ticks through liqcore's step and through hftbacktest: the same fills, one by one (time, price, quantity, side, maker), and the same cash.

How each side is set up so that their meanings coincide is written in benches/simulators/hftbacktest_resident.py; what it says of partial fills, and
what hftbacktest#316 is about, is tested in test_peers.py.
"""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

import captures
import liqcore as lc
from benches import market
from benches.parity import LATENCIES_S, Scene, difference
from benches.simulators import ours


@pytest.fixture(scope="module")
def twin():
    pytest.importorskip("hftbacktest", reason="hftbacktest is not installed: pip install 'liqcore[bench]'")
    from benches.simulators import hftbacktest_resident

    return hftbacktest_resident


def compare(*which) -> int:
    """Returns the number of fills."""
    wrong, fills = difference(*which)
    assert not wrong
    return fills


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
    rows += [
        np.concatenate([q[k], np.maximum(q[k][at] * r.choice([0.1, 0.5, 0.9, 2.0], len(at)), 1).astype(np.int32)]) for k in ("bid_lots", "ask_lots")
    ]
    order = np.argsort(rows[0], kind="stable")
    quotes = dict(zip(("ts", "bid", "ask", "bid_lots", "ask_lots"), (x[order] for x in rows), strict=True))
    quotes["trades_before"] = np.searchsorted(day.trades["ts"], quotes["ts"])
    return replace(day, quotes=quotes)


def generated(settings, trades=500_000):
    scene = Scene(with_changing_sizes(market.day(trades), 1), ours.instrument(), ours.config(market.Detector()), ours.NOTIONAL)
    fills = [compare(scene, s, latency_s, touch) for s in settings for latency_s in LATENCIES_S for touch in (True, False)]
    assert min(fills) >= 20, fills  # nobody can be right by not trading


def test_on_generated_ticks(twin):
    generated(market.settings(2))


@pytest.mark.slow
def test_on_generated_ticks_a_hundred_settings(twin):
    generated(market.settings(100))


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
    grid[order] = market.START + 14 * (np.maximum.accumulate(slot - room) + room)  # every second slot: room for the quotes of consistent()
    bid, ask = (np.round(q[:, k] / tick).astype(np.int32) for k in (1, 2))
    lots = [np.maximum(np.round(x / lot), 1).astype(np.int32) for x in (q[:, 3], q[:, 4], t[:, 2])]
    quotes = {"ts": grid[: len(q)], "bid": bid, "ask": ask, "bid_lots": lots[0], "ask_lots": lots[1]}
    trades = {"ts": grid[len(q) :], "price": np.round(t[:, 1] / tick).astype(np.int32), "lots": lots[2], "side": t[:, 3].astype(np.int8)}
    first = np.searchsorted(trades["ts"], quotes["ts"][0])
    trades = {k: v[first:] for k, v in trades.items()}
    end = int(max(quotes["ts"][-1], trades["ts"][-1]))
    r = np.random.default_rng(seed)
    ts = np.unique(r.integers(trades["ts"][10], end - 60 * 10**9, 600) // 7 * 7 + 1)
    price = trades["price"][np.searchsorted(trades["ts"], ts) - 1] * tick
    forced = {
        "ts": ts,
        "side": np.repeat(r.choice([1, -1], len(ts) // 6 + 1), 6)[: len(ts)].astype(np.int8),
        "price": np.round(price, 8),
        "notional": np.round(np.exp(r.normal(7, 2, len(ts))), 2),
    }
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
                    fills += compare(scene, setting, latency_s, touch)
        assert fills >= 20 * count, fills


@needs_capture
def test_on_recorded_ticks(twin):
    real(twin, 2)


@needs_capture
@pytest.mark.slow
def test_on_recorded_ticks_a_hundred_settings(twin):
    real(twin, 100)
