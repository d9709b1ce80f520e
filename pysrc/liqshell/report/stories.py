"""The stories of a run: cascades, brackets with their orders and fills, trades. The reader of the audit stream (ledger.py) fills them."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from liqcore import AUDIT_DTYPE, Role
from liqcore.audit import declined
from liqcore.event import FillFlag
from liqshell.report.unmet import sentence

ORDER_MARKET = 2
#: one large liquidation: `price` is the reported one, on most venues the bankruptcy price
LARGE_DTYPE = np.dtype([("ts", "i8"), ("ts_event", "i8"), ("side", "i1"), ("price", "f8"), ("notional", "f8")])

STEP_DTYPE = np.dtype([("order", "i8"), ("ts", "i8"), ("price", "f8")])
PHASE_DTYPE = np.dtype([("cascade", "i8"), ("ts", "i8"), ("phase", "u1")])
VERDICT_DTYPE = np.dtype([("cascade", "i8"), ("ts", "i8"), ("reason", "u1")])
_FORMATS: dict[Any, str] = {int: "i8", float: "f8", bool: "?"}


@dataclass(slots=True)
class Order:
    """One of our orders. `steps`: (ts, price) whenever its price changed. Times in ns, 0 = never."""

    id: int
    role: int
    side: int
    created: int
    qty: float = 0.0
    type: int = 0
    last_price: float = 0.0  # the market when it was asked for
    steps: list[tuple[int, float]] = field(default_factory=list)
    acked: int = 0
    triggered: int = 0
    ended: int = 0
    reason: int = 0
    filled: float = 0.0
    rejected: bool = False
    ack_ms: float = 0.0

    @property
    def price(self) -> float:
        return self.steps[-1][1] if self.steps else 0.0


@dataclass(slots=True)
class Fill:
    """One execution. flags: FillFlag bits."""

    ts: int
    order: int
    role: int
    side: int
    price: float
    qty: float
    fee: float
    flags: int
    reason: int

    @property
    def maker(self) -> bool:
        return bool(self.flags & FillFlag.FILL_MAKER)

    @property
    def rule(self) -> str:
        """The rule that decided the price; see words.RULES."""
        if self.maker:
            return "maker"
        return "print" if self.flags & FillFlag.FILL_PRINT else "moved" if self.flags & FillFlag.FILL_MOVED else "quote"


@dataclass(slots=True)
class Cascade:
    """One cascade that the detector saw. active: ns, 0 where it never had a second large event. larges: LARGE_DTYPE."""

    instrument: int
    start: int
    larges: np.ndarray
    phases: list[tuple[int, int]] = field(default_factory=list)
    side: int = 0
    long_notional: float = 0.0
    short_notional: float = 0.0
    count: int = 0
    threshold: float = 0.0
    score: float = 0.0
    z: float = 0.0
    price: float = 0.0
    active: int = 0
    ended: int = 0
    interrupted: bool = False
    verdicts: list[tuple[int, int]] = field(default_factory=list)  # (ts, Reason) of every answer by policy and risk
    unmet: str = ""  # the first condition for which a policy wanted nothing, in words
    awaited: str = ""  # likewise, the last for which it put its answer off
    bracket: "Bracket | None" = None
    detector: int = 1  # place of the detector, from 1

    @property
    def last_large(self) -> int:
        return int(self.larges["ts"][-1]) if len(self.larges) else self.start

    @property
    def notional(self) -> float:
        return self.long_notional + self.short_notional


@dataclass(slots=True)
class Bracket:
    """One attempt at a trade, from the entry request to flat. `closed` is None until an AUDIT_TRADE ended it."""

    instrument: int
    sequence: int
    side: int
    opened: int
    cascade: Cascade | None = None
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    state: int = 1
    flat: int = 0  # ns at which it was over, 0 = still open
    end: int = 0  # Reason
    position: float = 0.0  # signed
    qty: float = 0.0
    stop_price: float = 0.0
    target_price: float = 0.0
    take_profit: float = 0.0
    stop_loss: float = 0.0
    threshold: float = 0.0  # of the signal behind it, as they stood when the entry was decided
    score: float = 0.0
    z: float = 0.0
    cascade_notional: float = 0.0
    cascade_side: int = 0  # the side that was liquidated by then; the cascade may turn later
    funding: float = 0.0  # paid > 0
    closed: "Trade | None" = None

    def first(self, role: int) -> Order | None:
        return next((o for o in self.orders.values() if o.role == role), None)

    @property
    def entry_limit(self) -> bool:
        """Whether the entry is a limit order (else: market)."""
        return next((o.type != ORDER_MARKET for o in self.orders.values() if o.role == Role.ROLE_ENTRY), True)

    @property
    def entry_fills(self) -> list[Fill]:
        return [f for f in self.fills if f.role == Role.ROLE_ENTRY]

    @property
    def entry_price(self) -> float:
        """Average price of the entry fills, 0 before the first."""
        fills = self.entry_fills
        return sum(f.price * f.qty for f in fills) / sum(f.qty for f in fills) if fills else 0.0


@dataclass(slots=True)
class Trade:
    """A closed round trip as the engine booked it (AUDIT_TRADE), plus the slippage inside its gross, and the funding that is paid beside it."""

    ts: int
    reason: int
    side: int
    entry: float
    exit: float
    qty: float
    gross: float
    fees: float
    hold_s: float
    entry_maker: bool
    entry_notional: float
    funding: float = 0.0  # paid > 0
    slippage: float = 0.0  # cost (> 0) of stop and market orders against the price they were decided at

    @property
    def net(self) -> float:
        """gross - fees - funding; slippage is inside gross."""
        return self.gross - self.fees - self.funding

    @property
    def bps(self) -> float:
        """Net return on the entry's notional."""
        return self.net / self.entry_notional * 1e4 if self.entry_notional else 0.0


def _rows_of(kind: type, before: str = "", behind: str = "") -> np.dtype[Any]:
    """The plain fields of an object as the columns of a table; before, behind: further columns of whole numbers."""
    plain = [(one.name, _FORMATS[one.type]) for one in fields(kind) if one.type in _FORMATS]
    return np.dtype([*((name, "i8") for name in before.split()), *plain, *((name, "i8") for name in behind.split())])


#: the rows of a Ledger: the fields of Cascade, Bracket, Order, Fill and Trade, and which row of another table they belong to (-1 = none)
#: first, last: its large liquidations; unmet, awaited: the record of the audit that says it
CASCADE_DTYPE = _rows_of(Cascade, behind="unmet awaited bracket first last")
#: fills, entries: how many fills, and of the entry; filled, entered: when it had the first of them (entered: else when it was opened)
BRACKET_DTYPE = _rows_of(Bracket, behind="cascade trade fills filled entries entered")
ORDER_DTYPE = _rows_of(Order, before="bracket")
FILL_DTYPE = _rows_of(Fill, before="bracket")
TRADE_DTYPE = np.dtype([*_rows_of(Trade, before="bracket").descr, ("net", "f8"), ("bps", "f8")])


@dataclass
class Ledger:
    """The actions of a run by columns, and the counts of actions not taken.

    `*_rows` are arrays, one row each: cascades and brackets in order of their beginning, trades in the order in which they ended, orders and fills by
    bracket. `cascades`, `brackets`, `trades` and `seen` are the same one by one, made when they are asked for: for a gate, a picture, a test.
    """

    audit: np.ndarray = field(default_factory=lambda: np.zeros(0, AUDIT_DTYPE))
    cascade_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, CASCADE_DTYPE))
    bracket_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, BRACKET_DTYPE))
    order_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, ORDER_DTYPE))
    fill_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, FILL_DTYPE))
    trade_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, TRADE_DTYPE))
    step_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, STEP_DTYPE))
    phase_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, PHASE_DTYPE))
    verdict_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, VERDICT_DTYPE))
    large_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, LARGE_DTYPE))
    refusals: Counter = field(default_factory=Counter)  # Reason -> verdicts of policy and risk against an entry
    named: Counter = field(default_factory=Counter)  # of these, those with the policy's condition: see unmet.py
    refused_events: Counter = field(default_factory=Counter)  # Reason -> events refused
    lapsed: int = 0
    larges: int = 0
    paid: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.zeros(0, np.int32), np.zeros(0)))  # funding: instrument, paid > 0
    alarms: list[tuple[int, int, int, float, float]] = field(default_factory=list)  # ts, instrument, Alarm, value, limit
    limits: list[tuple[int, int, int, float, float]] = field(default_factory=list)  # ts, Control, Reason, value, limit
    gates: list[tuple[int, int, int, int]] = field(default_factory=list)  # ts, instrument, PAUSE or READY, Gate
    feed: list[tuple[int, int, int, float, int]] = field(default_factory=list)  # ts, instrument, FeedState, seconds missed, Stream bits
    equities: dict[int, float] = field(default_factory=dict)  # instrument -> as risk saw it at its first verdict there, the first on top
    marks: dict[int, tuple[int, float]] = field(default_factory=dict)  # instrument -> (ts, last market price that the audit mentions)
    _cascades: dict[int, Cascade] = field(default_factory=dict)
    _brackets: dict[int, Bracket] = field(default_factory=dict)

    def cascade(self, k: int) -> Cascade:
        """The cascade of a row."""
        if k not in self._cascades:
            row = self.cascade_rows[k]
            found = dict(zip(CASCADE_DTYPE.names or (), row.tolist(), strict=True))
            bracket, first, last = found.pop("bracket"), found.pop("first"), found.pop("last")
            for name in ("unmet", "awaited"):
                said = declined(self.audit[found[name]]) if found[name] >= 0 else None
                found[name] = sentence(*said) if said is not None else ""
            made = self._cascades[k] = Cascade(larges=self.large_rows[first:last], **found)
            made.phases, made.verdicts = self._of("phase", self.phase_rows, k), self._of("verdict", self.verdict_rows, k)
            made.bracket = self.bracket(bracket) if bracket >= 0 else None
        return self._cascades[k]

    def bracket(self, k: int) -> Bracket:
        """The bracket of a row, with its orders, fills and trade."""
        if k not in self._brackets:
            found = dict(zip(BRACKET_DTYPE.names or (), self.bracket_rows[k].tolist(), strict=True))
            cascade, trade = found["cascade"], found.pop("trade")
            for name in ("fills", "filled", "entries", "entered", "cascade"):
                del found[name]
            made = self._brackets[k] = Bracket(**found)
            if cascade >= 0:
                made.cascade = self.cascade(cascade)
            for n, values in enumerate(self._of("order", self.order_rows, k), self._bounds["order"][k]):
                order = Order(**dict(zip((ORDER_DTYPE.names or ())[1:], values, strict=True)), steps=self._of("step", self.step_rows, n))
                made.orders[order.id] = order
            made.fills = [Fill(*values) for values in self._of("fill", self.fill_rows, k)]
            if trade >= 0:
                row = self.trade_rows[trade]
                made.closed = Trade(**{name: row[name].item() for name in Trade.__dataclass_fields__})
        return self._brackets[k]

    @cached_property
    def cascades(self) -> list[Cascade]:
        return [self.cascade(k) for k in range(len(self.cascade_rows))]

    @cached_property
    def brackets(self) -> list[Bracket]:
        return [self.bracket(k) for k in range(len(self.bracket_rows))]

    @cached_property
    def trades(self) -> list[Bracket]:
        """Closed round trips in the order in which they ended."""
        return [self.bracket(k) for k in self.trade_rows["bracket"].tolist()]

    @property
    def funding(self) -> float:
        """Of all positions, closed or not; paid > 0."""
        return sum(self.paid[1].tolist(), 0.0)

    @property
    def equity_start(self) -> float:
        return next(iter(self.equities.values()), 0.0)

    def of_instruments(self, own: list[int]) -> "Ledger":
        """The actions on some instruments. The counts of what was not done, and the list of large liquidations, stay those of all."""
        keep = {name: np.isin(rows["instrument"], own) for name, rows in (("cascade", self.cascade_rows), ("bracket", self.bracket_rows))}
        keep |= {name: keep["bracket"][rows["bracket"]] for name, rows in (("order", self.order_rows), ("trade", self.trade_rows))}
        number = {name: np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1) for name, kept in keep.items()}

        def part(rows: np.ndarray, kept: np.ndarray, *of: str) -> np.ndarray:
            out = rows[kept]
            for name in of:
                out[name] = number[name][out[name]]
            return out

        return replace(
            self,
            cascade_rows=part(self.cascade_rows, keep["cascade"], "bracket"),
            order_rows=part(self.order_rows, keep["order"], "bracket"),
            bracket_rows=part(self.bracket_rows, keep["bracket"], "cascade", "trade"),
            trade_rows=part(self.trade_rows, keep["trade"], "bracket"),
            fill_rows=part(self.fill_rows, keep["bracket"][self.fill_rows["bracket"]], "bracket"),
            step_rows=part(self.step_rows, keep["order"][self.step_rows["order"]], "order"),
            phase_rows=part(self.phase_rows, keep["cascade"][self.phase_rows["cascade"]], "cascade"),
            verdict_rows=part(self.verdict_rows, keep["cascade"][self.verdict_rows["cascade"]], "cascade"),
            feed=[row for row in self.feed if row[1] in (-1, *own)],
            equities={n: v for n, v in self.equities.items() if n in own},
            paid=(self.paid[0][np.isin(self.paid[0], own)], self.paid[1][np.isin(self.paid[0], own)]),
            _cascades={},
            _brackets={},
        )

    def of_trades(self, name: str) -> np.ndarray:
        """A column of the brackets, for each closed trade."""
        out: np.ndarray = self.bracket_rows[name][self.trade_rows["bracket"]]
        return out

    @cached_property
    def trade_fills(self) -> np.ndarray:
        """The fills of the closed trades."""
        return self.fill_rows[self.bracket_rows["trade"][self.fill_rows["bracket"]] >= 0]

    @cached_property
    def _bounds(self) -> dict[str, list[int]]:
        """Where the rows begin that belong to each row of another table."""
        parts = (
            ("phase", self.phase_rows, "cascade", self.cascade_rows),
            ("verdict", self.verdict_rows, "cascade", self.cascade_rows),
            ("order", self.order_rows, "bracket", self.bracket_rows),
            ("fill", self.fill_rows, "bracket", self.bracket_rows),
            ("step", self.step_rows, "order", self.order_rows),
        )
        return {name: np.searchsorted(rows[of], np.arange(len(owners) + 1)).tolist() for name, rows, of, owners in parts}

    def _of(self, name: str, table: np.ndarray, k: int) -> list[tuple[Any, ...]]:
        """The rows of a table that belong to row k, without the number of their owner."""
        first, last = self._bounds[name][k : k + 2]
        return [row[1:] for row in table[first:last].tolist()]

    @property
    def seen_at(self) -> np.ndarray:
        """The rows of the cascades that became ACTIVE."""
        return np.flatnonzero(self.cascade_rows["active"])

    @cached_property
    def seen(self) -> list[Cascade]:
        """Cascades that became ACTIVE."""
        return [self.cascade(k) for k in self.seen_at.tolist()]
