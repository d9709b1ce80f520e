"""A detector in plain Python: derive from CustomDetector, and let the engine run it like one of its own.

class Streak(lc.CustomDetector):
    PARAMETERS = (lc.Parameter("length", 5, 2, 1000, "liquidations", "so many of one side in a row"),)

    def start(self):
        self.side, self.count = 0, 0

    def on_event(self, event):
        self.count = self.count + 1 if event.side == self.side else 1
        self.side = event.side
        if self.count == self.parameters["length"]:
            return lc.PhaseChange(lc.Phase.ACTIVE, event.side, count=self.count)

engine = lc.Engine(["BTCUSDT"], detectors=[lc.make_detector(Streak, "streak", length=3)])
"""

from ast import literal_eval
from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

from liqcore.detectors.parameters import Table
from liqcore.event import Kind
from liqcore.instrument import Instrument
from liqcore.user_state import attributes, set_attributes


class MarketEvent(NamedTuple):
    """One market event as a CustomDetector sees it. Times are ns UTC; prices and notional are in quote currency; liqcore/event.pxd has the
    meaning of the other fields for each kind.

    ts: when we received it (engine time); ts_event: the venue's time. side: of a liquidation the liquidated position (+1 = long), of a trade the
    aggressor. notional: of a liquidation, at the price that the engine is configured to use; else 0. last: last trade price, 0 = not known.
    """

    kind: Kind
    ts: int
    ts_event: int
    side: int
    price: float
    qty: float
    notional: float
    aux_price: float
    aux_qty: float
    last: float


class PhaseChange(NamedTuple):
    """Answer of a CustomDetector: a phase begins. The engine makes a Signal of it and adds time, instrument, price and flags.

    phase: a Phase but IDLE; EXHAUSTED ends the episode, and the next PhaseChange begins another one. side: the liquidated side (+1 = longs),
    0 = none. count: liquidations of the episode. long_notional, short_notional: of the episode, quote currency. threshold: the value exceeded;
    z: the value compared with it; score: 0 to 10; rolling: notional of its window.
    """

    phase: int
    side: int
    count: int = 0
    long_notional: float = 0.0
    short_notional: float = 0.0
    threshold: float = 0.0
    z: float = 0.0
    score: float = 0.0
    rolling: float = 0.0


for _type, _fields in (
    (
        MarketEvent,
        {
            "kind": "The Kind of the event: LIQUIDATION, TRADE, BBO or TICKER.",
            "ts": "Time of receipt (engine time), ns UTC.",
            "ts_event": "The venue's time of the event, ns UTC.",
            "side": "Liquidated position of a liquidation (+1 = long), aggressor of a trade.",
            "price": "Price of a liquidation or trade, best bid of a quote, mark price of a ticker; quote currency.",
            "qty": "Quantity at `price`, of a ticker the open interest; the venue's quantity units.",
            "notional": "Notional of a liquidation, quote currency; else 0.",
            "aux_price": "Stated notional of a liquidation (0 = not stated), best ask of a quote, index price of a ticker; quote currency.",
            "aux_qty": "Limit of a liquidation's forced order (0 = not stated), quantity at the best ask, funding rate of a ticker.",
            "last": "Price of the last trade, quote currency; 0 = not known.",
        },
    ),
    (
        PhaseChange,
        {
            "phase": "The Phase that begins, not IDLE.",
            "side": "Liquidated side: +1 = longs, -1 = shorts, 0 = none.",
            "count": "Liquidations of the episode.",
            "long_notional": "Notional of liquidated longs of the episode, quote currency.",
            "short_notional": "Notional of liquidated shorts of the episode, quote currency.",
            "threshold": "The value that was exceeded.",
            "z": "The value that was compared with the threshold.",
            "score": "Strength from 0 to 10.",
            "rolling": "Notional of the detector's window, quote currency.",
        },
    ),
):
    for _name, _text in _fields.items():
        getattr(_type, _name).__doc__ = _text

Said = PhaseChange | list[PhaseChange] | tuple[PhaseChange, ...] | None
PHASES_AT_ONCE_MAX = 4  # phase changes that one event or deadline may give
TIMERS_MAX = 100_000  # calls of on_timer of one instrument between two events, and one more for each millisecond between them


class CustomDetector:
    """Base class of detectors written in Python. The engine makes one object for each instrument and calls it in order of receipt.

    Override `start`, `on_event` and, if needed, `on_timer`, `deadline`, `on_gap`, `snapshot` and `restore`. What a method decides may
    depend on its arguments, on `parameters`, `instrument` and on attributes of the object alone: no clock, no random number, no file. Then live,
    paper, replay and backtest agree. An exception halts entries and is raised to the caller of the engine.

    PARAMETERS: its settings, as rows of liqcore.Parameter. KINDS: the kinds of events that it receives: LIQUIDATION, TRADE, BBO or TICKER. window_s:
    length of the time that its values depend on, in seconds; a parameter of this name takes precedence. Its signals are uncertain for this time after
    a gap in the feed.
    """

    PARAMETERS: Table = ()
    KINDS: tuple[int, ...] = (Kind.LIQUIDATION,)
    window_s: float = 60.0

    def __init__(self, parameters: Mapping[str, Any], instrument: Instrument):
        self.parameters = MappingProxyType(dict(parameters))  # read-only: settings are not part of the state
        self.instrument = instrument
        self.start()

    def start(self) -> None:
        """Set the attributes that hold its state. Called once, before the first event."""

    def on_event(self, event: MarketEvent) -> Said:
        """One market event of a kind in KINDS. Returns a PhaseChange, several of them (at most 4), or None."""
        raise NotImplementedError(f"{type(self).__name__}: a detector overrides on_event")

    def on_timer(self, now: int) -> Said:
        """The time of `deadline` has come (ns UTC). Returns what on_event returns. Afterwards `deadline` must lie in the future. Between two events
        it is called at most 100,000 times, plus once for each millisecond between them; more calls are an error."""
        return None

    def deadline(self) -> int | None:
        """Time of the next call of on_timer, ns UTC; None = none. It is called after each call of another method."""
        return None

    def on_gap(self, until: int) -> None:
        """The feed was interrupted, so counts may be too low. The episode has ended without a signal. until: the time at which the data will have
        been complete for window_s (ns UTC); the largest possible time while the feed is down. The default calls start()."""
        self.start()

    def snapshot(self) -> bytes:
        """Its whole state. By default all attributes, also those of __slots__. They must be plain: numbers (not nan or inf), text, bytes, True,
        False, None, and lists, tuples and dicts of them (not a set, whose order is not kept). TypeError names an attribute that is not plain."""
        given = [
            one for one in (getattr(self, "parameters", None), getattr(self, "instrument", None)) if isinstance(one, MappingProxyType | Instrument)
        ]
        kept = {name: value for name, value in attributes(self).items() if not any(value is one for one in given)}
        for name, value in kept.items():
            if not _plain(value):
                raise TypeError(
                    f"{type(self).__name__}.{name}: a {type(value).__name__} with this content cannot be kept; expected plain values, or "
                    f"snapshot() and restore() of your own (found {repr(value)[:80]})"
                )
        return repr(kept).encode()

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot() of the same class with the same parameters; called on a new object. ValueError for anything else."""
        try:
            found = literal_eval(data.decode())
            named = {str(name): value for name, value in found.items()}
        except (ValueError, SyntaxError, AttributeError, MemoryError, RecursionError) as why:
            raise ValueError(f"{type(self).__name__}: this is no snapshot of it: {why}") from None
        set_attributes(self, named)


def _plain(value: Any) -> bool:
    """Whether the text of the value gives the same value again. A set does not: its order changes, also between processes."""
    try:
        return _of_plain_types(value) and bool(literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _of_plain_types(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_of_plain_types, value))
    if type(value) is dict:
        return all(_of_plain_types(key) and _of_plain_types(one) for key, one in value.items())
    return value is None or type(value) in (bool, int, str, bytes) or type(value) is float and isfinite(value)


#: methods that the engine calls, with their arguments after self
CALLS = {
    "start": "",
    "on_event": "event",
    "on_timer": "now",
    "deadline": "",
    "on_gap": "until",
    "snapshot": "",
    "restore": "data",
    "__init__": "parameters, instrument",
}

__all__ = ["CALLS", "PHASES_AT_ONCE_MAX", "TIMERS_MAX", "CustomDetector", "MarketEvent", "PhaseChange", "Said"]
