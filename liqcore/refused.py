"""The return value of a call whose event validation has refused: the reason, in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from liqcore.event import Kind, Reason, Signal

NS_1990, NS_2015, NS_2040 = 631_152_000_000_000_000, 1_420_070_400_000_000_000, 2_208_988_800_000_000_000
UNITS = {"seconds": 1_000_000_000, "milliseconds": 1_000_000, "microseconds": 1_000}


class Refused(tuple[Signal, ...]):
    """A tuple of the signals that were due before the event, nearly always empty, so that a loop over the signals of a call needs no
    special case. `reason`: a Reason; `kind`: a Kind; `text`: what was found and what was expected."""

    reason: Reason
    kind: Kind
    text: str

    def __new__(cls, signals: tuple[Signal, ...], reason: Reason, kind: Kind, event: Mapping[str, Any], now: int, names: Sequence[str]) -> Self:
        """event: the fields of an event_t; now: the engine's time, ns; names: of its instruments."""
        out = super().__new__(cls, signals)
        out.reason, out.kind = reason, kind
        out.text = f"{kind.name} refused, {reason.name}: {_describe(reason, event, now, names)}"
        return out

    def __repr__(self) -> str:
        return f"Refused({self.text!r})"


def unit_of(ts: int) -> str:
    """The unit in which a number is a time from 2015 to 2040; "" if there is none, or it is in ns."""
    return next((name for name, factor in UNITS.items() if NS_2015 <= ts * factor < NS_2040), "")


def times_text(ts_event: int, ts_recv: int, now: int) -> str:
    """What is wrong with the times of an event."""
    for name, ts in (("ts_recv", ts_recv), ("ts_event", ts_event)):
        if unit := unit_of(ts):
            return f"{name} = {ts} looks like {unit}; expected nanoseconds UTC: multiply by {UNITS[unit]:,}"
    for name, ts in (("ts_recv", ts_recv), ("ts_event", ts_event)):
        if not 0 <= ts < 2**62:
            return f"{name} = {ts}; expected nanoseconds UTC from 1970 to 2116"
    if ts_recv < now:
        return f"ts_recv = {ts_recv} lies {now - ts_recv:,} ns before the engine's time; expected times of receipt that do not go back"
    if min(ts_event, ts_recv) < NS_1990 <= max(ts_event, ts_recv):
        return f"ts_event = {ts_event} beside ts_recv = {ts_recv}; expected both in nanoseconds UTC (where only one is known, give it twice)"
    return f"ts_recv = {ts_recv}, while an earlier call said that it is {now}; expected all times in nanoseconds UTC"


def _describe(reason: Reason, event: Mapping[str, Any], now: int, names: Sequence[str]) -> str:
    price, qty, code = event["price"], event["qty"], event["code"]
    shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    beside = f", and {event['aux_price']:g}, {event['aux_qty']:g}" if event["aux_price"] or event["aux_qty"] else ""
    numbers = f"price {price:g}, qty {qty:g}{beside}"
    return {
        Reason.BAD_TIME: times_text(event["ts_event"], event["ts_recv"], now),
        Reason.BAD_INSTRUMENT: f"no such instrument; expected {shown}, or an index from 0 to {len(names) - 1}",
        Reason.BAD_SIDE: f"side {event['side']}; expected LONG (1) or SHORT (-1)",
        Reason.BAD_PRICE: f"{numbers}; expected finite prices above 0 that lie on the tick grid",
        Reason.BAD_QTY: f"{numbers}; expected quantities above 0 that the contract can have",
        Reason.BAD_BAND: f"{numbers}; the price is too far from the last good one to be believed",
        Reason.BAD_BOOK: f"bid {price:g}, ask {event['aux_price']:g}; expected an ask above the bid",
        Reason.BAD_CODE: f"code {code}; expected one of the values that this kind of event has",
    }.get(reason, "expected an event of a known kind")
