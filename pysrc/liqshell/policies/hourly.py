"""The hourly binary of `reversal`: what it settles on, what it is worth, and whether to pay the ask. Pure functions; no venue of ours trades it.

It pays 1 if the SPOT candle BTC/USDT of the hour closes at or above its OPEN, else 0 (market rules: Binance, 1H, a tie is up). A bounce inside the
hour wins nothing by itself: price must stand at or above the open when the hour ends, and the ask with its fee is the hurdle, not one half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import copysign, erf, inf, isfinite, isnan, log, nan, sqrt

import liqcore as lc

HOUR = 3600 * lc.SECOND
EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)      # of the distance to the open, in standard deviations of what is left of the hour


def hour_of(ts: int) -> int:
    """Start (ns UTC) of the hour that ts lies in: the candle that settles a bet made at ts."""
    return ts - ts % HOUR


def settled_up(open_price: float, close_price: float) -> bool:
    """Whether UP is paid: close at or above the open of the spot candle; a tie is up."""
    if not (isfinite(open_price) and isfinite(close_price) and open_price > 0.0 and close_price > 0.0):
        raise ValueError(f"expected the open and the close of a spot candle, got {open_price!r} and {close_price!r}")
    return close_price >= open_price


def distance(price: float, open_price: float, volatility: float, left_s: float) -> float:
    """log(price / open) in standard deviations of what is left of the hour. volatility: of log price, per hour; nan = not known, and so is the
    distance. ValueError where a price is none."""
    if not (price > 0.0 and open_price > 0.0 and isfinite(price) and isfinite(open_price)) or volatility < 0.0:
        raise ValueError(f"expected the price and the open of a spot candle and a volatility, got {price!r}, {open_price!r} and {volatility!r}")
    if isnan(volatility):
        return nan
    away, deviation = log(price / open_price), volatility * sqrt(max(left_s, 0.0) / 3600.0)
    return away / deviation if deviation > 0.0 else copysign(inf, away) if away else inf         # at the open with nothing left: a tie, up


@dataclass(frozen=True)
class Shift:
    """A measured correction of the baseline, in standard deviations, with the number of hours behind it. 0 of 0: uncalibrated."""

    deviations: float = 0.0
    hours: int = 0
    hours_min: int = 100

    @property
    def calibrated(self) -> bool:
        return self.hours >= self.hours_min


def probability_up(price: float, open_price: float, volatility: float, left_s: float, shift: Shift = Shift()) -> float:
    """P(UP) with log price a driftless Brownian motion of the realised volatility, moved by a shift if that is calibrated."""
    return (1.0 + erf((distance(price, open_price, volatility, left_s) + (shift.deviations if shift.calibrated else 0.0)) / sqrt(2.0))) / 2.0


def measured_shift(fires: Iterable[Mapping[str, float]], hours_min: int = 100) -> Shift:
    """The shift that makes the mean probability of past fires equal to their share of UP; each has price, open, close, volatility, left_s.

    Fit it on hours before those that it judges: a shift learnt from the hours it is tried on has seen the answer. Fires whose volatility was not
    known are left out.
    """
    rows = [(distance(f["price"], f["open"], f["volatility"], f["left_s"]), settled_up(f["open"], f["close"])) for f in fires
            if not isnan(f["volatility"])]
    if not rows:
        return Shift(hours_min=hours_min)
    share, low, high = sum(up for _, up in rows) / len(rows), -5.0, 5.0
    for _ in range(60):                     # bisection: the mean probability rises with the shift
        middle = (low + high) / 2.0
        mean = sum((1.0 + erf((d + middle) / sqrt(2.0))) / 2.0 for d, _ in rows) / len(rows)
        low, high = (middle, high) if mean < share else (low, middle)
    return Shift((low + high) / 2.0, len(rows), hours_min)


@dataclass(frozen=True)
class Offer:
    """One decision. value: EV per contract that pays 1 = P(up) - ask - fee. why: "" = buy."""

    probability: float
    value: float
    calibrated: bool
    why: str

    @property
    def buy(self) -> bool:
        return not self.why


class HourlyUp:
    """Whether to buy UP at the ask, once an hour. value_min: least EV per contract; fee: per contract, in the same money as the ask."""

    def __init__(self, fee: float, value_min: float = 0.0, shift: Shift = Shift()):
        self.fee, self.value_min, self.shift = fee, value_min, shift
        self.hour = -1              # of the last trade

    def judge(self, now: int, fired: bool, price: float, open_price: float, volatility: float, ask: float) -> Offer:
        """fired: whether the reversal's rule fired at this bar. price, open_price: SPOT, of the hour that now lies in. A buy uses the hour up.
        volatility or ask nan = not known: no buy. ValueError where a price is none."""
        hour = hour_of(now)
        up = probability_up(price, open_price, volatility, (hour + HOUR - now) / lc.SECOND, self.shift)
        value = up - ask - self.fee
        why = ("the rule did not fire" if not fired else "this hour has had its trade" if hour == self.hour
               else "volatility or ask not known" if isnan(value) else "" if value > self.value_min
               else f"not worth the ask: {up:.3f} - {ask:.3f} - {self.fee:.3f} = {value:.3f}")
        if not why:
            self.hour = hour
        return Offer(up, value, self.shift.calibrated, why)


def hit_rate(fires: Sequence[int], candles: Mapping[int, tuple[float, float]]) -> dict[str, float]:
    """How often UP was right at past fires, first fire of an hour only, with its 95 % interval (Wilson), beside all hours.

    fires: times, ns. candles: hour start -> (open, close) of the spot candle. The 50/50 prior is all_up, measured; what has to be beaten is the ask.
    """
    hours = sorted({hour_of(ts) for ts in fires} & candles.keys())
    hits, n = sum(settled_up(*candles[hour]) for hour in hours), len(hours)
    out = {"hours": float(n), "hits": float(hits), "unsettled": float(len({hour_of(ts) for ts in fires} - candles.keys())),
           "all_hours": float(len(candles)), "all_up": sum(settled_up(*c) for c in candles.values()) / len(candles) if candles else float("nan")}
    if not n:
        return out | {"rate": float("nan"), "low": 0.0, "high": 1.0}
    z, share = 1.959963984540054, hits / n
    centre, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return out | {"rate": share, "low": (centre - half) / (1 + z * z / n), "high": (centre + half) / (1 + z * z / n)}
