"""Numbers and times as a person reads them; the same in the terminal and on the page."""

import math
from datetime import UTC, datetime
from typing import Any

NONE = "–"


def money(value: float | None, sign: bool = False) -> str:
    """Quote currency, two decimals below ten thousand, none above."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    text = f"${size:,.2f}" if size < 10_000 else f"${size:,.0f}"
    if text in ("$0.00", "$0"):
        return "$0.00"
    return ("−" if value < 0 else "+" if sign else "") + text


def compact(value: float | None) -> str:
    """A notional in a glance: $412k."""
    if value is None or not math.isfinite(value):
        return NONE
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / {"B": 1e9, "M": 1e6, "k": 1e3}[unit]
            return f"${scaled:,.0f}{unit}" if unit == "k" else f"${scaled:,.2f}{unit}"
    return f"${value:,.0f}"


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 1, sign: bool = False) -> str:
    return NONE if value is None else number(value * 100, digits, sign) + " %"


def price(value: float | None) -> str:
    """A price without the noise of floating point."""
    return NONE if not value else f"{value:.10g}"


def seconds(value: float | None) -> str:
    """A duration with the unit that suits it."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def millis(value: float | None) -> str:
    """A latency given in ms, from microseconds to seconds, three significant digits."""
    if value is None:
        return NONE
    scaled, unit = (value * 1e3, "µs") if value < 1 else (value, "ms") if value < 1000 else (value / 1e3, "s")
    return f"{scaled:.3g} {unit}" if scaled < 1000 else f"{scaled:,.0f} {unit}"


def when(ns: int, date: bool = True) -> str:
    """UTC, to the second."""
    if not ns:
        return NONE
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def iso(ns: int) -> str:
    """UTC to the microsecond, for files; '' for never."""
    if not ns:
        return ""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 1_000_000_000 // 1000:06d}Z"


def interval(low: float | None, high: float | None, show: Any = number) -> str:
    return NONE if low is None or high is None else f"{show(low)} to {show(high)}"


def evidence(text: str | None) -> tuple[str, str, str]:
    """(grade, first sentence, the rest) of a preset's evidence, '' where there is none."""
    grade, _, why = (text or "").strip().partition(":")
    if not why:
        grade, _, why = grade.partition(" ")
    first, stop, rest = " ".join(why.split()).partition(". ")
    return grade.strip(), first + ("." if stop else ""), rest


def verdict(s: dict[str, Any]) -> str:
    """The result of a run in a sentence that claims no more than its n allows."""
    t = s["per_trade"]
    if not t["n"]:
        return "No trade was closed, so nothing can be said about the policy."
    trades = f"{t['n']} closed trade" + ("s" if t["n"] != 1 else "")
    if t["t"] is None:
        return f"{trades}, mean net {number(t['mean'], 1, True)} bps of notional: too few to say more."
    head = (f"{trades}, mean net {number(t['mean'], 1, True)} bps of notional per trade "
            f"(95 % interval {number(t['low'], 1, True)} to {number(t['high'], 1, True)}, t = {number(t['t'], 2)}): ")
    if t["low"] <= 0 <= t["high"]:
        return head + "not distinguishable from zero."
    return head + ("a gain" if t["mean"] > 0 else "a loss") + " beyond chance at this level, on this run only."


ASSUMPTIONS = (
    "Gross in the waterfall is at the prices at which each exit was decided; slippage is what stops lost against their trigger and "
    "market orders against the last trade. Resting limit orders fill at their price and have none.",
    "Net = gross − fees − slippage − funding. Funding is not charged by the simulated venue; trades held across 00:00, 08:00 or 16:00 UTC "
    "are counted.",
    "Break-even win rate = mean loss / (mean win + mean loss), after fees. The planned one uses the bracket's own distances with a "
    "maker entry, a maker target and a taker stop.",
    "Rates are per hour that the feed covered; gaps do not count. Intervals are 95 %: Poisson for rates, Wilson for shares, Student's t "
    "for means. Trades that overlap in time are not independent, so true intervals are wider.",
    "The per-trade Sharpe ratio is never annualised. A yearly figure needs whole days of returns on the account, at least two.",
    "Times are UTC and are those of receipt. Sides are of the positions that were closed by force.",
    "Prices of liquidations are those the venue reports, on most venues the bankruptcy price; the price path is made of trades.",
)
