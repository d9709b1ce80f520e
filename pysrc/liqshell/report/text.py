"""Numbers and times as text, the same in the terminal and on the page."""

import math
from datetime import UTC, datetime
from typing import Any

NONE = "–"
DAY_NS = 86_400_000_000_000


def money(value: float | None, sign: bool = False) -> str:
    """Quote currency, two decimals below ten thousand, none above."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    text = f"${size:,.2f}" if size < 10_000 else f"${size:,.0f}"
    if text in ("$0.00", "$0"):
        return "$0.00"
    return ("−" if value < 0 else "+" if sign else "") + text


def short_money(value: float) -> str:
    """For axes and labels of pictures, where there is little room: cents only below a hundred, thousands as k from a hundred thousand."""
    size = abs(value)
    cents = f"${size:.2f}".removesuffix(".00")
    text = "$0" if size < 0.005 else cents if size < 100 else f"${size:,.0f}" if size < 100_000 else f"${size / 1e3:,.0f}k"
    return ("−" if value < 0 and text != "$0" else "") + text


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
    scaled, unit = (value * 1e3, "µs") if value < 0.9995 else (value, "ms") if value < 999.5 else (value / 1e3, "s")
    return f"{scaled:.3g} {unit}" if scaled < 1000 else f"{scaled:,.0f} {unit}"


def when(ns: int, date: bool = True) -> str:
    """UTC, to the second."""
    if not ns:
        return NONE
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def between(start_ns: int, end_ns: int) -> str:
    """A span of time: dates where both ends are midnights, else to the minute, the second date where it is another."""
    if not (start_ns % DAY_NS or end_ns % DAY_NS):
        return f"{when(start_ns)[:10]} to {when(end_ns)[:10]}"
    first, last = when(start_ns)[:16], when(end_ns)[:16]
    return f"{first} to {last[11:] if last[:10] == first[:10] else last}"


def plural(n: int, word: str, many: str = "") -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {many or word + 's'}"


def count(value: Any) -> str:
    """An integer with thousands apart, anything else as it is."""
    return f"{value:,}" if isinstance(value, int) else NONE if value is None else str(value)


def interval(low: float | None, high: float | None, show: Any = number) -> str:
    return NONE if low is None or high is None else f"{show(low)} to {show(high)}"


def evidence(text: str | None) -> tuple[str, str, str]:
    """(grade, first sentence, the rest) of a preset's evidence, '' where there is none."""
    grade, _, why = (text or "").strip().partition(":")
    if not why:
        grade, _, why = grade.partition(" ")
    first, stop, rest = " ".join(why.split()).partition(". ")
    return grade.strip(), first + ("." if stop else ""), rest


ASSUMPTIONS = (
    "Gross in the waterfall uses the price at which each exit was decided. Slippage is the loss of stops against their trigger and of market orders "
    "against the last trade. Resting limit orders fill at their price, without slippage.",
    "Net = gross − fees − slippage − funding. Returns are given on notional and on the account: a trade uses only a part of the account.",
    "Break-even win rate = mean loss / (mean win + mean loss), after costs. The planned one uses the bracket's own distances with the fees of "
    "its entry, a maker target and a taker stop.",
    "Rates are per hour covered by the feed; gaps do not count. Intervals are 95 %: Poisson for rates, Wilson for shares, Student's t for means. "
    "Trades of one cascade share one price path: means are clustered by day. With fewer than five days they are clustered by stretches of at least "
    "an hour and twice the longest time held; with fewer than five stretches there is no interval. Rates and shares count each trade as one "
    "observation, so their intervals are too narrow where trades come in bursts.",
    "The per-trade Sharpe ratio is never annualised. A yearly figure needs whole days of returns on the account, at least two.",
    "Deflated Sharpe: the probability that the true ratio exceeds the best of as many settings without an edge (Bailey, Lopez de Prado). The "
    "verdict rests on two other tests: Hansen's SPA and the shape of all days.",
    "Times are times of receipt, in UTC. Sides are those of the liquidated positions.",
    "Prices of liquidations are as the venue reports them, on most venues the bankruptcy price. The price path consists of trades.",
)
