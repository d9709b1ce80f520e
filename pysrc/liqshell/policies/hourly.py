"""reversal-binary: settlement and value of the hourly binary, the decision to pay the ask, and the stake. Pure functions;
liqshell.binary trades it.

It pays 1 if the SPOT candle BTC/USDT of the hour closes at or above its OPEN, else 0 (market rules: Binance, 1H, a tie is up). A bounce inside the
hour wins nothing by itself: price must stand at or above the open when the hour ends, and the ask with its fee is the hurdle, not one half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import copysign, erf, inf, isfinite, isnan, log, nan, sqrt

import liqcore as lc

HOUR = 3600 * lc.SECOND


def hour_of(ts: int) -> int:
    """Start (ns UTC) of the hour of ts: the candle that settles a bet made at ts."""
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
    return away / deviation if deviation > 0.0 else copysign(inf, away) if away else inf  # at the open with nothing left: a tie, up


@dataclass(frozen=True)
class Shift:
    """A measured correction of the baseline towards the side that is bought, in standard deviations, with the number of hours behind it. 0 of 0:
    uncalibrated."""

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
    """The shift that makes the mean probability of past fires equal to their share of hits. Each has price, open, volatility, left_s, side (1: UP was
    to be bought, -1: DOWN) and won (whether that side was paid).

    Fit it on hours before those that it judges: a shift learnt from the hours it is tried on has seen the answer. Fires whose volatility was not
    known are left out.
    """
    rows = [(f["side"] * distance(f["price"], f["open"], f["volatility"], f["left_s"]), bool(f["won"])) for f in fires if not isnan(f["volatility"])]
    if not rows:
        return Shift(hours_min=hours_min)
    share, low, high = sum(won for _, won in rows) / len(rows), -5.0, 5.0
    for _ in range(60):  # bisection: the mean probability rises with the shift
        middle = (low + high) / 2.0
        mean = sum((1.0 + erf((d + middle) / sqrt(2.0))) / 2.0 for d, _ in rows) / len(rows)
        low, high = (middle, high) if mean < share else (low, middle)
    return Shift((low + high) / 2.0, len(rows), hours_min)


@dataclass(frozen=True)
class Offer:
    """One decision. fee: per share at the ask; value: EV per share that pays 1 = P - ask - fee. share: of the equity to stake, 0 where nothing is
    bought. why: "" = buy."""

    probability: float
    fee: float
    value: float
    share: float
    calibrated: bool
    why: str

    @property
    def buy(self) -> bool:
        return not self.why


def fee_per_share(price: float, rate: float) -> float:
    """The fee of a taker per share."""
    return rate * price * (1.0 - price)


class HourlyUp:
    """reversal-binary: whether to buy UP at the ask (DOWN after a flush of shorts), once an hour, and how much of it.

    fee_rate: of the market, see fee_per_share. value_min: least EV per share. kelly: share of the Kelly stake, at most cap of the equity. An hour is
    used by `made`, when an order for it is really out; a decision alone uses nothing.
    """

    def __init__(self, fee_rate: float = 0.07, value_min: float = 0.0, shift: Shift = Shift(), kelly: float = 0.25, cap: float = 0.02):
        self.fee_rate, self.value_min, self.shift, self.kelly, self.cap = fee_rate, value_min, shift, kelly, cap
        self.hour = -1  # of the last order

    def judge(self, now: int, fired: bool, price: float, open_price: float, volatility: float, ask: float, up: bool = True) -> Offer:
        """fired: whether the reversal's rule fired at this bar. price, open_price: SPOT, of the hour that now lies in. ask: of the token that is
        bought, DOWN's where not up. volatility or ask nan = not known: no buy. ValueError where a price is none. Changes nothing."""
        hour = hour_of(now)
        shift = self.shift if up else replace(self.shift, deviations=-self.shift.deviations)
        probability = probability_up(price, open_price, volatility, (hour + HOUR - now) / lc.SECOND, shift)
        chance = probability if up else 1.0 - probability
        fee = fee_per_share(ask, self.fee_rate)
        value = chance - ask - fee
        why = (
            "the rule did not fire"
            if not fired
            else "this hour has had its trade"
            if hour == self.hour
            else "volatility or ask not known"
            if isnan(value)
            else ""
            if value > self.value_min
            else f"not worth the ask: {chance:.3f} - {ask:.3f} - {fee:.3f} = {value:.3f}"
        )
        return Offer(chance, fee, value, 0.0 if why else self.share(chance, ask), self.shift.calibrated, why)

    def share(self, chance: float, price: float) -> float:
        """Of the equity that may be spent, fee and all, where all of it is filled at `price`; 0.0 where that is not worth it. It falls with the
        price."""
        cost = price + fee_per_share(price, self.fee_rate)
        value = chance - cost
        # Kelly's stake of a bet that costs c and pays 1: (p - c) / (1 - c)
        return min(self.cap, self.kelly * value / (1.0 - cost)) if value > max(self.value_min, 0.0) else 0.0

    def highest(self, chance: float, tick: float, share: float) -> float:
        """The highest price on the tick's grid at which `share` (> 0) of the equity may still be spent; 0.0 = there is none."""
        low, high = 0, round(1.0 / tick)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.share(chance, middle * tick) >= share else (low, middle)
        return low * tick

    def made(self, now: int) -> None:
        """An order of this hour is out, whatever comes of it."""
        self.hour = hour_of(now)
