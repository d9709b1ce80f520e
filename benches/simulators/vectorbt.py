"""vectorbt: the rule in an order function, called for every row by its simulator in Numba. It has no resting orders, so the function itself decides
when an order is filled and hands over the fill; what vectorbt does is cash, fees and records."""

from pathlib import Path

import numpy as np
import vectorbt as vbt
from numba import njit
from vectorbt.portfolio import nb
from vectorbt.portfolio.enums import NoOrder

from benches import market
from benches.simulators.numba_loop import FLAT, FORCED, HOLDING, NEVER, PENDING, QUOTE, entry_price, reached, stop_price, target_price
from benches.simulators.plain import Cascades
from benches.simulators.rows import merged
from benches.simulators.task import Outcome, Run

PACKAGE = "vectorbt"
NOTE = "order function that fills its own limits; signals apart"
SIDE, ENTRY, STOP, TARGET, REFERENCE, STATE, DEADLINE, COOLDOWN, TRIGGERED, LAST, BID, ASK = range(12)


def export(day: market.Day, folder: Path) -> None:
    np.savez(folder / "vectorbt.npz", **merged(day))


def prepare(folder: Path, latency_s: float) -> Run:
    with np.load(folder / "vectorbt.npz") as z:
        ts, kind, a, b = (z[k] for k in ("ts", "kind", "a", "b"))
    said = np.zeros(len(ts), np.int8)
    cascades = Cascades(market.Detector())
    for n in np.flatnonzero(kind == FORCED).tolist():
        said[n] = cascades.push(int(ts[n]), int(a[n]), float(b[n]))
    close = np.where(kind == FORCED, np.nan, a * market.TICK)
    close = close[np.maximum.accumulate(np.where(np.isnan(close), 0, np.arange(len(close))))]
    ask = np.where(kind == QUOTE, b, 0).astype(np.int64)
    price = a.astype(np.int64)

    def run(s: market.Setting, d: market.Detector | None = None) -> Outcome:
        times = np.array([s.ttl_s, s.hold_s, s.cooldown_s]) * market.SECOND
        state = np.zeros(12, np.int64)
        state[DEADLINE] = NEVER
        portfolio = vbt.Portfolio.from_order_func(
            close,
            decide,
            ts,
            kind,
            price,
            ask,
            said,
            state,
            s.offset,
            s.take_profit,
            s.stop_loss,
            times,
            market.TICK,
            market.MAKER,
            market.TAKER,
            init_cash=1e6,
        )
        return Outcome(len(portfolio.orders.values) // 2, float(portfolio.final_value() - 1e6))

    run(market.Setting())
    return run


@njit
def decide(c, ts_, kind_, price_, ask_, said_, v, offset, profit, loss, times, tick, maker, taker):
    ts, kind, a, i = ts_[c.i], kind_[c.i], price_[c.i], c.i
    if v[STATE] == PENDING and ts >= v[DEADLINE]:
        v[STATE], v[DEADLINE] = FLAT, NEVER
    late = v[STATE] == HOLDING and ts >= v[DEADLINE]
    out, fee = v[BID] if v[SIDE] > 0 else v[ASK], taker
    if late:  # an order a row: what else happens at this one is noted below
        v[COOLDOWN] = v[DEADLINE] + times[2]
        v[STATE], v[DEADLINE] = FLAT, NEVER
    if kind == FORCED:
        if said_[i] != 0 and v[STATE] == FLAT and ts >= v[COOLDOWN] and v[LAST] > 0:
            v[STATE], v[SIDE], v[REFERENCE], v[DEADLINE] = PENDING, said_[i], v[LAST], ts + times[0]
            v[ENTRY] = entry_price(v[SIDE], v[LAST], offset)
    elif kind == QUOTE:
        v[BID], v[ASK] = a, ask_[i]
    else:
        v[LAST] = a
    if late:
        return nb.order_nb(-float(c.position_now), out * tick, fees=fee)
    if kind == FORCED or v[STATE] == FLAT:
        return NoOrder
    side = v[SIDE]
    if v[STATE] == PENDING:
        if not reached(kind, a, v[BID], v[ASK], side, v[ENTRY]):
            return NoOrder
        v[STATE], v[DEADLINE] = HOLDING, ts + times[1]
        v[STOP], v[TARGET] = stop_price(side, v[ENTRY], loss), target_price(side, v[ENTRY], profit, v[REFERENCE])
        v[TRIGGERED] = (v[LAST] - v[STOP]) * side <= 0
        return nb.order_nb(float(side), v[ENTRY] * tick, fees=maker)
    if v[TRIGGERED]:
        out = v[BID] if side > 0 else v[ASK]
    elif reached(kind, a, v[BID], v[ASK], -side, v[TARGET]):
        out, fee = v[TARGET], maker
    else:
        v[TRIGGERED] = kind != QUOTE and (v[LAST] - v[STOP]) * side <= 0
        return NoOrder
    v[STATE], v[DEADLINE], v[COOLDOWN] = FLAT, NEVER, ts + times[2]
    return nb.order_nb(-float(c.position_now), out * tick, fees=fee)
