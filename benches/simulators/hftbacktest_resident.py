"""hftbacktest with liqcore's semantics in full, latency included: the reference of the parity test. Not timed.

What differs between the two, and how it is made to coincide:

- The stop. liqcore's rests at the venue and covers the position from the fill on; hftbacktest has no stop orders. So exits go to a second asset,
  which has the same data and no latency: the strategy plays the venue there. A stop is triggered by a trade at or beyond it, also by the one that
  filled the entry, and sold at the next row.
- Reduce-only. hftbacktest has none. Target and close are sent to the second asset at the moment when they would arrive, if something is held then;
  when a position is gone its other orders are gone with it.
- Reports. The entry, its cancel and their race with the market go through hftbacktest's own order latency. Its answers come without delay, since the
  strategy is the venue, too, and its other half acts on them one latency later, as liqcore's engine does.
- The queue. A book of one level a side; risk-averse model: what was shown at our price on arrival goes first, less when less is shown, nothing when
  the level is not the best. That is fills='queue', hidden='none'. liqcore's hidden='wait' is more careful.
- Partial fills. The no-partial-fill exchange fills an order whole. Orders are of one lot, so there is nothing to divide.
- Simultaneous events. liqcore lets orders arrive before the tick of the same moment, hftbacktest after it: rows stand on a grid that no latency
  meets.
- A trade off the quote. liqcore's stop sells to the worse of the two, hftbacktest's to the quote; a trade beyond an order fills it in
  liqcore, in hftbacktest only if its aggressor is of the other side. Where trades are at the quote there is no difference; recordings are made so by
  consistent().
- Rounding of prices, time to live, cooldown: the bracket's rules, written out below in integers.
"""

from dataclasses import replace

import numpy as np
from hftbacktest import GTC, GTX, LIMIT, MARKET, ROIVectorMarketDepthBacktest
from hftbacktest.order import EXPIRED, FILLED, NEW
from numba import njit

from benches import market
from benches.simulators import hftbacktest
from benches.simulators.hftbacktest import END
from benches.simulators.numba_loop import entry_price, stop_price, target_price

NEVER = 1 << 62
FILL = np.dtype([("ts", "i8"), ("price", "i8"), ("qty", "f8"), ("side", "i1"), ("maker", "?")])
FLAT, ENTERING, HOLDING, WINDING = range(4)


def consistent(day: market.Day) -> market.Day:
    """The same day where every trade that is not at the quote is preceded by the quote that it implies: recordings carry trades and quotes in streams
    of their own, and one is late."""
    q, t = day.quotes, day.trades
    start = np.searchsorted(t["ts"], q["ts"])  # the first trade after each quote
    if start[0] > 0:
        raise ValueError("consistent: expected a quote before the first trade")
    added: list[tuple[int, ...]] = []
    for n, end in enumerate(np.append(start[1:], len(t["ts"])).tolist()):
        bid, ask = int(q["bid"][n]), int(q["ask"][n])
        for k in range(start[n], end):
            price, side = int(t["price"][k]), int(t["side"][k])
            if price != (bid if side < 0 else ask):
                bid, ask = (price, max(ask, price + 1)) if side < 0 else (min(bid, price - 1), price)
                added.append((int(t["ts"][k]) - 3, bid, ask, int(q["bid_lots"][n]), int(q["ask_lots"][n])))
    names = ("ts", "bid", "ask", "bid_lots", "ask_lots")
    rows = [np.concatenate([q[k], np.array([row[n] for row in added], q[k].dtype)]) for n, k in enumerate(names)]
    order = np.argsort(rows[0], kind="stable")
    quotes = dict(zip(names, (x[order] for x in rows), strict=True))
    quotes["trades_before"] = np.searchsorted(t["ts"], quotes["ts"])
    return replace(day, quotes=quotes)


def fills(day: market.Day, signals: np.ndarray, s: market.Setting, latency_s: float) -> tuple[np.ndarray, float]:
    """Fills in order of time, and cash less fees. signals: ts, side, reference (ticks)."""
    data = hftbacktest.rows(day)
    latency = round(latency_s * 1e9)
    hbt = ROIVectorMarketDepthBacktest([hftbacktest.asset(data, entry, 0, day.tick, day.lot) for entry in (latency, 0)])
    out = np.zeros(4 * len(signals) + 4, FILL)
    times = np.array([s.ttl_s, s.hold_s, s.cooldown_s]) * market.SECOND
    n = strategy(hbt, signals["ts"], signals["side"], signals["reference"], s.offset, s.take_profit, s.stop_loss, times, latency, day.lot, out)
    cash = sum(hbt.state_values(k).balance - hbt.state_values(k).fee for k in (0, 1))
    hbt.close()
    return out[:n], cash


@njit
def send(hbt, asset, number, side, price, qty, force, kind):
    if side > 0:
        hbt.submit_buy_order(asset, number, price, qty, force, kind, False)
    else:
        hbt.submit_sell_order(asset, number, price, qty, force, kind, False)


@njit
def note(out, n, order, side):
    out[n].ts, out[n].price, out[n].qty = order.exch_timestamp, order.exec_price_tick, order.exec_qty
    out[n].side, out[n].maker = side, order.arr[0].maker
    return n + 1


@njit
def strategy(hbt, ts, side_, reference_, offset, profit, loss, times, latency, qty, out):
    """One signal after the other; returns the number of fills."""
    n, number, free = 0, 0, 0
    if hbt.wait_next_feed(False, NEVER) == END:
        return n
    for i in range(len(ts)):
        if ts[i] < free or ts[i] < hbt.current_timestamp:
            continue
        hbt.clear_last_trades(0)
        if hbt.elapse(ts[i] - hbt.current_timestamp) == END:
            return n
        number += 4
        n, free = bracket(hbt, number, side_[i], reference_[i], offset, profit, loss, times, latency, qty, out, n)
    return n


@njit
def bracket(hbt, number, side, reference, offset, profit, loss, times, latency, qty, out, n):
    """From signal to flat. Returns the number of fills and when the next signal may be heeded."""
    tick = hbt.depth(0).tick_size
    entry = entry_price(side, reference, offset)
    stop = stop_price(side, entry, loss)
    target = target_price(side, entry, profit, reference)
    send(hbt, 0, number, side, entry * tick, qty, GTX, LIMIT)
    expire = hbt.current_timestamp + times[0]
    held, triggered, asked = False, False, False
    place, close, leave, target_end = NEVER, NEVER, NEVER, 0
    attempt, last = 0, 0
    while True:
        timer = min(min(NEVER if asked or held else expire, place), min(close, leave))
        woken = hbt.wait_next_feed(True, max(timer - hbt.current_timestamp, 0))
        if woken == END:
            return n, NEVER
        now = hbt.current_timestamp
        trades = hbt.last_trades(0)
        traded = len(trades) > 0
        if traded:
            last = round(trades[-1].px / tick)
            hbt.clear_last_trades(0)
        if not held:
            order = hbt.orders(0).get(number)
            if order.status == FILLED:
                held, n = True, note(out, n, order, side)
                triggered = last > 0 and (last - stop) * side <= 0
                place, close = now + 2 * latency, now + latency + times[1] + latency
            elif order.status == EXPIRED or asked and order.status != NEW and order.req == 0:
                return n, now + latency
            elif not asked and now >= expire:
                asked = True
                hbt.cancel(0, number, False)
                continue
            else:
                continue
        elif attempt > 0 and hbt.orders(1).get(number + attempt).status == FILLED:
            n = note(out, n, hbt.orders(1).get(number + attempt), -side)
            return n, finished(now, close, latency, 0) + times[2]
        elif triggered and woken == 2:
            n = sell(hbt, number, attempt, side, qty, out, n)
            return n, finished(now, close, latency, max(place if place != NEVER else 0, target_end)) + times[2]
        elif traded:
            triggered = triggered or (last - stop) * side <= 0
        if now >= place:
            place, attempt = NEVER, attempt + 1
            send(hbt, 1, number + attempt, -side, target * tick, qty, GTX if attempt == 1 else GTC, LIMIT)
            hbt.elapse(0)
            order = hbt.orders(1).get(number + attempt)
            if order.status == EXPIRED:
                place, attempt = (now + 2 * latency if attempt == 1 else NEVER), 1 if attempt == 1 else 0
            elif order.status == FILLED:
                n = note(out, n, order, -side)
                return n, finished(now, close, latency, 0) + times[2]
        if now >= close:
            n = sell(hbt, number, attempt, side, qty, out, n)
            return n, now + latency + times[2]


@njit
def sell(hbt, number, attempt, side, qty, out, n):
    """Out at market, the target with it."""
    if attempt > 0:
        order = hbt.orders(1).get(number + attempt)
        if order.status == NEW:
            hbt.cancel(1, number + attempt, False)
    send(hbt, 1, number + 3, -side, 0.0, qty, GTC, MARKET)
    hbt.elapse(0)
    return note(out, n, hbt.orders(1).get(number + 3), -side)


@njit
def finished(now, close, latency, in_flight):
    """When the last report of this bracket is in: of the exit, of a close that was on its way, of a target that came too late."""
    done = now + latency
    if close - latency < done:
        done = close + latency
    return max(done, in_flight + latency)
