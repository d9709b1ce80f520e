"""hftbacktest: the rule as its users write it, in Numba against its market depth. ROI vector depth, risk-averse queue, no partial fills.

It takes its fastest way through the data: while nothing is open it elapses from liquidation to liquidation, while an entry rests it waits for the
answer, and only while something is held it looks at every row, because it has no stop order: the stop is the strategy's, sent when a trade has
reached its trigger, at the row after it. With a latency that order takes its time like any other, where liqcore's stop rests at the venue; without
latency both make the same trades.
"""

from pathlib import Path

import numpy as np
from hftbacktest import (
    ALL_ASSETS,
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from hftbacktest.order import EXPIRED, FILLED
from hftbacktest.types import event_dtype
from numba import njit

from benches import market
from benches.simulators.numba_loop import entry_price, quantile, slide, stop_price, target_price
from benches.simulators.task import Outcome, Run

PACKAGE = "hftbacktest"
NOTE = "ROI vector depth, risk-averse queue"
BOTH = EXCH_EVENT | LOCAL_EVENT
END = 1
LOOK_BACK = 30 * 10**9  # ns; there is always a trade within


def rows(day: market.Day) -> np.ndarray:
    """The day as hftbacktest's events: a quote is the removal of the levels it leaves and the levels it shows; ours is a book of one level a side.
    What the venue has is what we receive, as on liqcore's tape."""
    q, t = day.quotes, day.trades
    depth = []
    for flag, price, lots in ((BUY_EVENT, q["bid"], q["bid_lots"]), (SELL_EVENT, q["ask"], q["ask_lots"])):
        gone = np.flatnonzero(np.diff(price)) + 1
        depth.append((q["ts"][gone], 0, flag, price[gone - 1], np.zeros(len(gone))))
        depth.append((q["ts"], 1, flag, price, lots * day.lot))
    out = np.zeros(sum(len(part[0]) for part in depth) + len(t["ts"]), event_dtype)
    rank, n = np.zeros(len(out), np.int8), 0
    for ts, order, flag, price, qty in depth:
        part = out[n : n + len(ts)]
        part["ev"], part["exch_ts"], part["px"], part["qty"] = DEPTH_EVENT | BOTH | flag, ts, price * day.tick, qty
        rank[n : n + len(ts)] = order
        n += len(ts)
    part = out[n:]
    part["ev"] = TRADE_EVENT | BOTH | np.where(t["side"] > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    part["exch_ts"], part["px"], part["qty"] = t["ts"], t["price"] * day.tick, t["lots"] * day.lot
    out["local_ts"] = out["exch_ts"]
    return out[np.lexsort((rank, out["exch_ts"]))]


def export(day: market.Day, folder: Path) -> None:
    np.savez(folder / "hftbacktest.npz", data=rows(day))
    np.savez(folder / "forced.npz", **{k: day.forced[k] for k in ("ts", "side", "notional")})


def asset(data: np.ndarray, latency_ns: int, response_ns: int, tick: float = market.TICK, lot: float = market.LOT) -> BacktestAsset:
    low, high = data["px"].min() - 100 * tick, data["px"].max() + 100 * tick
    return (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(latency_ns, response_ns)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(market.MAKER, market.TAKER)
        .tick_size(tick)
        .lot_size(lot)
        .roi_lb(low)
        .roi_ub(high)
        .last_trades_capacity(1024)
    )


def prepare(folder: Path, latency_s: float) -> Run:
    with np.load(folder / "hftbacktest.npz") as z:
        data = z["data"]
    with np.load(folder / "forced.npz") as z:
        forced = z["ts"], z["side"], z["notional"]
    latency = round(latency_s * 1e9)

    def run(s: market.Setting, d: market.Detector | None = None) -> Outcome:
        d = d or market.Detector()
        times = np.array([d.window_s, s.ttl_s, s.hold_s, s.cooldown_s]) * market.SECOND
        hbt = ROIVectorMarketDepthBacktest([asset(data, latency, latency)])
        trades = strategy(hbt, *forced, s.offset, s.take_profit, s.stop_loss, times, d.quantile, d.window_events, d.warmup)
        v = hbt.state_values(0)
        net = v.balance - v.fee
        if v.position:
            raise AssertionError(f"hftbacktest: the run ended with a position of {v.position}")
        hbt.close()
        return Outcome(trades, net)

    run(market.Setting())
    return run


@njit
def strategy(hbt, forced_ts, forced_side, forced_notional, offset, profit, loss, times, q, size, warmup):
    """Number of trades."""
    ordered, ring, seen, count = np.empty(size + 1), np.empty(size), 0, 0
    tick = hbt.depth(0).tick_size
    cooldown_until, trades, number, last = 0, 0, 0, 0
    chain, forced, large_before = 0, 0.0, -(1 << 62)
    if hbt.wait_next_feed(False, 1 << 62) == END:  # the clock starts at the first row
        return trades
    for i in range(len(forced_ts)):
        ts, notional = forced_ts[i], forced_notional[i]
        large = seen >= warmup and notional >= quantile(ordered, count, q)
        count = slide(ordered, count, ring[seen % size], notional, seen >= size)
        ring[seen % size] = notional
        seen += 1
        if not large:
            continue
        if ts - large_before > times[0]:
            chain, forced = 0, 0.0
        chain, forced, large_before = chain + 1, forced + forced_side[i] * notional, ts
        if chain != 2 or ts < cooldown_until or ts < hbt.current_timestamp:
            continue
        if ts - LOOK_BACK > hbt.current_timestamp and hbt.elapse(ts - LOOK_BACK - hbt.current_timestamp) == END:
            return trades
        hbt.clear_last_trades(0)  # or the trades of an hour would be kept for their last price
        if hbt.elapse(ts - hbt.current_timestamp) == END:
            return trades
        seen_trades = hbt.last_trades(0)
        if len(seen_trades):
            last = round(seen_trades[-1].px / tick)
        if last == 0:
            continue
        side = 1 if forced > 0 else -1
        entry = entry_price(side, last, offset)
        number += 1
        if not enter(hbt, number, side, entry, tick, times[1]):
            continue
        number += 2
        if hold(hbt, number, side, target_price(side, entry, profit, last), stop_price(side, entry, loss), tick, times[2]):
            trades += 1
        cooldown_until = hbt.current_timestamp + times[3]
    return trades


@njit
def send(hbt, number, side, price, force, kind):
    if side > 0:
        hbt.submit_buy_order(0, number, price, 1.0, force, kind, False)
    else:
        hbt.submit_sell_order(0, number, price, 1.0, force, kind, False)


@njit
def enter(hbt, number, side, entry, tick, ttl):
    """Was the entry filled?"""
    deadline = hbt.current_timestamp + ttl
    send(hbt, number, side, entry * tick, GTX, LIMIT)
    asked = False
    while True:
        order = hbt.orders(0).get(number)
        if order.status == FILLED:
            return True
        if order.status == EXPIRED or (asked and order.req == 0):
            break
        if not asked and hbt.current_timestamp >= deadline:
            hbt.cancel(0, number, False)
            asked = True
        if hbt.wait_order_response(0, number, 10**9 if asked else deadline - hbt.current_timestamp) == END:
            break
    hbt.clear_inactive_orders(0)
    return False


@njit
def hold(hbt, number, side, target, stop, tick, limit):
    """From the fill to flat. False: the data ended before."""
    deadline = hbt.current_timestamp + limit
    send(hbt, number, -side, target * tick, GTX, LIMIT)
    leaving = False
    trades = hbt.last_trades(0)
    triggered = len(trades) > 0 and (round(trades[-1].px / tick) - stop) * side <= 0
    hbt.clear_last_trades(0)
    while True:
        woken = hbt.wait_next_feed(True, max(deadline - hbt.current_timestamp, 0) if not leaving else 1 << 60)
        if woken == END:
            return False
        if hbt.position(0) == 0.0:
            break
        if leaving:
            continue
        if (triggered and woken == 2) or hbt.current_timestamp >= deadline:
            order = hbt.orders(0).get(number)
            if order.cancellable:
                hbt.cancel(0, number, False)
            send(hbt, number + 1, -side, 0.0, GTC, MARKET)
            leaving = True
            continue
        trades = hbt.last_trades(0)
        if len(trades):
            triggered = (round(trades[-1].px / tick) - stop) * side <= 0
            hbt.clear_last_trades(0)
    hbt.clear_inactive_orders(ALL_ASSETS)
    return True
