"""The bugs of the published backtests, each written as the wrong backtest that has it, and markets on which it shows. Nothing here is used by liqcore.

A wrong backtest returns what every trade made as a fraction of its entry price, before fees. All trade the same rule: an entry OFFSET away from the
price, take profit PROFIT, stop LOSS, alive TTL seconds, held HOLD seconds at most.
"""

from dataclasses import dataclass

import numpy as np

import liqcore as lc

OFFSET, PROFIT, LOSS, TTL, HOLD, BAR = 0.0015, 0.0015, 0.0025, 120, 300, 60
START = 1_772_409_600  # seconds; a full minute
GAP = 900  # seconds from one cascade to the next: longer than TTL + HOLD, so that trades never overlap


@dataclass(frozen=True)
class Market:
    """A trade every second, and before it a quote a tick on either side of it: no spread to speak of. start, end: seconds (index of the trade) of each cascade's first and last liquidation; side: who was closed."""

    price: np.ndarray
    start: np.ndarray
    end: np.ndarray
    side: np.ndarray
    liquidations: np.ndarray  # (second, side, notional) in order

    def events(self) -> np.ndarray:
        """Trades, quotes and liquidations as the engine takes them; a liquidation comes before the trade of its second."""
        n = len(self.price)
        out = np.zeros(2 * n + len(self.liquidations), lc.EVENT_DTYPE)
        at = np.argsort(np.concatenate([np.arange(n) + 0.5, np.arange(n) + 0.4, self.liquidations["second"]]), kind="stable")
        trades, quotes, forced = out[:n], out[n : 2 * n], out[2 * n :]
        trades["ts_recv"] = quotes["ts_recv"] = (START + np.arange(n)) * lc.SECOND + lc.SECOND // 2
        quotes["kind"], quotes["price"], quotes["aux_price"] = lc.Kind.BBO, np.round(self.price - 0.01, 2), np.round(self.price + 0.01, 2)
        quotes["qty"] = quotes["aux_qty"] = 1000.0
        trades["kind"], trades["price"], trades["side"], trades["qty"] = lc.Kind.TRADE, self.price, 1, 1000.0
        forced["ts_recv"] = (START + self.liquidations["second"]) * lc.SECOND
        forced["kind"], forced["side"] = lc.Kind.LIQUIDATION, self.liquidations["side"]
        forced["price"], forced["qty"] = self.price[self.liquidations["second"]], 1.0
        forced["aux_price"] = self.liquidations["notional"]
        out["ts_event"] = out["ts_recv"]
        return out[at]


def market(
    seed: int, cascades: int, push: float = 0.0, rebound: float = 0.0, growth: float = 0.0, late_reversal: float = 0.0, reversal: float = 0.0
) -> Market:
    """A driftless walk (2.5 bps a second) with cascades of 2 to 8 large liquidations, one a second, in the noise of small ones.

    push: what each large liquidation moves the price (fraction), rebound: share of it that comes back within a minute of the last one. growth: the
    sizes grow by this factor over the sample. late_reversal: in the second half of the sample the price goes back by this fraction in the two minutes
    after a cascade, in the first half it goes on by as much. reversal: what comes back in the five minutes after every cascade.
    """
    r = np.random.default_rng(seed)
    seconds = (cascades + 1) * GAP
    step = r.normal(0.0, 0.00025, seconds)
    start = np.arange(cascades) * GAP + 600 + r.integers(0, BAR, cascades)
    count = r.integers(2, 9, cascades)
    side = r.choice([1, -1], cascades)
    rows = []
    for n, (s, k) in enumerate(zip(start, count, strict=True)):
        scale = 1.0 + growth * n / cascades
        rows += [(s + j, side[n], 100_000.0 * scale * (1.0 + 0.1 * r.random())) for j in range(k)]
        step[s : s + k] -= side[n] * push
        step[s + k : s + k + 60] += side[n] * push * k * rebound / 60
        step[s + k : s + k + 120] += side[n] * late_reversal / 120 * (1 if n >= cascades // 2 else -1)
        step[s + k : s + k + 300] += side[n] * reversal / 300
    for second in r.integers(0, seconds - 60, 60 * cascades):
        rows.append((second, r.choice([1, -1]), 500.0 * np.exp(r.normal(0.0, 0.5)) * (1.0 + growth * second / seconds)))
    liquidations = np.array(sorted(rows), [("second", "i8"), ("side", "i8"), ("notional", "f8")])
    return Market(np.round(2000.0 * np.exp(np.cumsum(step)), 2), start, start + count - 1, side, liquidations)


def exit_by_ticks(price: np.ndarray, at: int, side: int, entry: float) -> float:
    """An honest exit, trade by trade from `at` on: the target when a trade goes beyond it, the stop at the trade after the one that reached it, or the
    last price known when HOLD seconds are over."""
    for n in range(at, min(at + HOLD - 1, len(price) - 1)):
        if (price[n] - entry * (1.0 + PROFIT * side)) * side > 0:
            return PROFIT
        if (price[n] - entry * (1.0 - LOSS * side)) * side <= 0:
            return (price[n + 1] / entry - 1.0) * side
    return (price[min(at + HOLD - 2, len(price) - 1)] / entry - 1.0) * side


def enter_by_ticks(price: np.ndarray, at: int, side: int) -> float | None:
    """The honest rule from second `at` on: what the trade made, or None where the entry was not reached."""
    entry = side * np.floor(side * round(price[at] * (1.0 - OFFSET * side) * 100.0, 6)) / 100.0  # a tick away from the market, as orders must be
    beyond = np.flatnonzero((price[at + 1 : at + 1 + TTL] - entry) * side < 0)
    return exit_by_ticks(price, at + 2 + int(beyond[0]), side, entry) if len(beyond) else None


def close_as_price(m: Market, signals: list[tuple[int, int]]) -> list[float]:
    """Bug: the CLOSE of the minute is "the current price", and the LOW of the same minute fills the order that was derived from it."""
    out = []
    for second, side in signals:
        first = second // BAR * BAR
        bar = m.price[first : first + BAR]
        entry = bar[-1] * (1.0 - OFFSET * side)
        if (bar.min() < entry) if side > 0 else (bar.max() > entry):
            out.append(exit_by_ticks(m.price, first + BAR, side, entry))
    return out


def fill_and_exit_in_one_bar(m: Market, signals: list[tuple[int, int]]) -> list[float]:
    """Bug: the price is right, but within the minute of the fill the high decides that the target was reached, though it may have come first."""
    out = []
    for second, side in signals:
        entry = m.price[second] * (1.0 - OFFSET * side)
        for first in range(second // BAR * BAR, second + TTL, BAR):
            bar = m.price[first : first + BAR]
            worst, best = (bar.min(), bar.max()) if side > 0 else (bar.max(), bar.min())
            if (worst - entry) * side < 0:
                won = (best - entry * (1.0 + PROFIT * side)) * side > 0
                out.append(PROFIT if won else exit_by_ticks(m.price, first + BAR, side, entry))
                break
    return out


def threshold_of_the_whole_sample(m: Market, quantile: float) -> list[float]:
    """Bug: what is large is learnt from all liquidations, also from those that had not happened yet; the rest is honest."""
    large = m.liquidations[m.liquidations["notional"] >= np.quantile(m.liquidations["notional"], quantile)]
    out, before, busy = [], -GAP, -GAP
    for second, side, _ in large:
        if second - before <= 60 and second > busy:
            made = enter_by_ticks(m.price, second, side)
            busy = second + TTL + HOLD
            if made is not None:
                out.append(made)
        before = second
    return out


def end_known_in_advance(m: Market) -> list[float]:
    """Bug: the order is placed at the last liquidation of the cascade, which is known to be the last only a minute later."""
    return [made for second, side in zip(m.end, m.side, strict=True) if (made := enter_by_ticks(m.price, int(second), int(side))) is not None]
