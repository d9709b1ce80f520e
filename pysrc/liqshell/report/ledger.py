"""From audit records to stories: cascades, and brackets with their orders and fills. Only what the stream says, nothing estimated.

A backtest leaves millions of records, most of them large liquidations and refused events. These are handled as columns; only what tells a story is
walked, in pieces, so that memory does not grow with the stream.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from liqcore import AuditKind, FeedState, OrderStatus, Phase, Reason, Role

from liqshell.report.run import Run

ACTION_CREATE, ORDER_MARKET = 1, 2
BRACKET_FLAT = 0
PIECE = 1 << 17
#: one large liquidation: `price` is the reported one, on most venues the bankruptcy price
LARGE_DTYPE = np.dtype([("ts", "i8"), ("ts_event", "i8"), ("side", "i1"), ("price", "f8"), ("notional", "f8")])
ENDED = (OrderStatus.ORDER_CANCELLED, OrderStatus.ORDER_REJECTED, OrderStatus.ORDER_DONE)


@dataclass(slots=True)
class Order:
    """One order of ours. `steps`: (ts, price) whenever its price changed. Times in ns, 0 = never."""

    id: int
    role: int
    side: int
    created: int
    qty: float = 0.0
    type: int = 0
    last_price: float = 0.0          # the market when it was asked for
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
    """One execution."""

    ts: int
    order: int
    role: int
    side: int
    price: float
    qty: float
    fee: float
    maker: bool
    reason: int


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
    verdicts: list[tuple[int, int]] = field(default_factory=list)      # (ts, Reason) of every answer by policy and risk
    bracket: "Bracket | None" = None

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
    flat: int = 0                    # ns at which it was over, 0 = still open
    end: int = 0                     # Reason
    position: float = 0.0            # signed
    qty: float = 0.0
    stop_price: float = 0.0
    target_price: float = 0.0
    take_profit: float = 0.0
    stop_loss: float = 0.0
    threshold: float = 0.0           # of the signal behind it, as they stood when the entry was decided
    score: float = 0.0
    z: float = 0.0
    cascade_notional: float = 0.0
    funding: float = 0.0             # paid > 0
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
    funding: float = 0.0             # paid > 0
    slippage: float = 0.0            # cost (> 0) of stop and market orders against the price they were decided at

    @property
    def net(self) -> float:
        """gross - fees - funding; slippage is inside gross."""
        return self.gross - self.fees - self.funding

    @property
    def bps(self) -> float:
        """Net return on the entry's notional."""
        return self.net / self.entry_notional * 1e4 if self.entry_notional else 0.0


@dataclass
class Ledger:
    """All stories of a run, and the counts of what was not done."""

    cascades: list[Cascade] = field(default_factory=list)
    brackets: list[Bracket] = field(default_factory=list)
    refusals: Counter = field(default_factory=Counter)                  # Reason -> verdicts of policy and risk against an entry
    door: Counter = field(default_factory=Counter)                      # Reason -> events refused
    lapsed: int = 0
    larges: int = 0
    funding: float = 0.0                                                # of all positions, closed or not; paid > 0
    alarms: list[tuple[int, int, int, float, float]] = field(default_factory=list)   # ts, instrument, Alarm, value, limit
    limits: list[tuple[int, int, int, float, float]] = field(default_factory=list)   # ts, Control, Reason, value, limit
    feed: list[tuple[int, int, int, float]] = field(default_factory=list)            # ts, instrument, FeedState, seconds missed
    equity_start: float = 0.0
    marks: dict[int, tuple[int, float]] = field(default_factory=dict)   # instrument -> (ts, last market price that the audit mentions)

    @cached_property
    def trades(self) -> list[Bracket]:
        """Closed round trips in the order in which they ended."""
        return sorted((b for b in self.brackets if b.closed is not None), key=lambda b: (b.flat, b.instrument))

    @cached_property
    def seen(self) -> list[Cascade]:
        """Cascades that became ACTIVE."""
        return [c for c in self.cascades if c.active]


class _Reader:
    """Walks the stream once; one method a kind."""

    def __init__(self, run: Run):
        self.run = run
        self.ledger = Ledger()
        self.current: dict[int, Cascade] = {}
        self.at = 0                      # position of the record at hand
        self.asking: dict[int, tuple[Cascade | None, float, float]] = {}     # policy wants a bracket, risk has not answered yet
        self.granted: dict[int, tuple[Cascade | None, float, float]] = {}
        self.by_key: dict[tuple[int, int], Bracket] = {}
        self.handlers = {
            AuditKind.AUDIT_SIGNAL: self.signal, AuditKind.AUDIT_POLICY: self.policy,
            AuditKind.AUDIT_RISK: self.risk, AuditKind.AUDIT_REQUEST: self.request, AuditKind.AUDIT_ORDER: self.order,
            AuditKind.AUDIT_FILL: self.fill, AuditKind.AUDIT_BRACKET: self.bracket, AuditKind.AUDIT_TRADE: self.trade,
            AuditKind.AUDIT_FEED: self.feed, AuditKind.AUDIT_LIMIT: self.limit, AuditKind.AUDIT_LAPSED: self.lapse,
            AuditKind.AUDIT_ALARM: self.alarm, AuditKind.AUDIT_FUNDING: self.funding}

    def read(self) -> Ledger:
        handlers = {int(kind): handler for kind, handler in self.handlers.items()}
        audit = self.run.audit
        kinds = audit["kind"]
        doors = np.bincount(audit["reason"][kinds == AuditKind.AUDIT_REFUSED])
        self.ledger.door.update({code: int(doors[code]) for code in np.flatnonzero(doors).tolist()})
        self.chains = [self.chains_of(n) for n in range(len(self.run.instruments))]
        told = np.flatnonzero((kinds != AuditKind.AUDIT_LARGE) & (kinds != AuditKind.AUDIT_REFUSED))
        for first in range(0, len(told), PIECE):
            at = told[first:first + PIECE]
            part = audit[at]
            columns = [part[name].tolist() for name in ("ts", "id", "instrument", "kind", "reason", "phase", "side", "x")]
            for self.at, ts, id_, n, kind, reason, phase, side, x in zip(at.tolist(), *columns, strict=True):
                handlers[kind](ts, id_, n, reason, phase, side, x)
        return self.ledger

    def chains_of(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The large liquidations of an instrument, the index at which each chain begins (the detector counts from 1 again), and its place in the
        stream."""
        audit = self.run.audit
        places = np.flatnonzero((audit["kind"] == AuditKind.AUDIT_LARGE) & (audit["instrument"] == n))
        found = audit[places]
        larges = np.empty(len(found), LARGE_DTYPE)
        larges["ts"], larges["ts_event"], larges["side"] = found["ts"], found["id"], found["side"]
        larges["price"], larges["notional"] = found["x"][:, 5], found["x"][:, 0]
        first = found["x"][:, 2] == 1
        if len(first):
            first[0] = True
        starts = np.flatnonzero(first)
        self.ledger.larges += len(larges)
        return larges, np.append(starts, len(larges)), places[starts]

    def chain(self, n: int) -> np.ndarray:
        """The large liquidations of the chain that runs at this record."""
        larges, starts, places = self.chains[n]
        k = int(places.searchsorted(self.at)) - 1
        return larges[starts[k]:starts[k + 1]] if k >= 0 else larges[:0]

    def signal(self, ts, id_, n, reason, phase, side, x):
        c = self.current.get(n)
        if c is None or c.start != id_ or c.ended:
            c = self.current[n] = Cascade(n, id_, self.chain(n))
            self.ledger.cascades.append(c)
        c.phases.append((ts, phase))
        c.side, c.count = side, int(x[6])
        c.long_notional, c.short_notional, c.threshold, c.z, c.score, c.price = x[:6]
        self.ledger.marks[n] = (ts, x[5])
        if phase == Phase.ACTIVE and not c.active:
            c.active = ts
        if phase == Phase.EXHAUSTED:
            c.ended = ts

    def lapse(self, ts, id_, n, reason, phase, side, x):
        self.ledger.lapsed += 1
        if n in self.current and not self.current[n].active:
            self.current[n].ended = ts

    def policy(self, ts, id_, n, reason, phase, side, x):
        c = self.current.get(n)
        if reason in (Reason.NO_TRADE, Reason.PHASE):        # asked at every phase; that it wants nothing is news only while the cascade is ACTIVE
            if phase == Phase.ACTIVE and c is not None:
                self.answer(c, ts, reason)
        elif reason != Reason.OK:
            self.answer(c, ts, reason)
        else:
            self.asking[n] = (c, x[2], x[3])

    def risk(self, ts, id_, n, reason, phase, side, x):
        asked = self.asking.pop(n, (self.current.get(n), 0.0, 0.0))
        if not self.ledger.equity_start and x[5] > 0:
            self.ledger.equity_start = x[5]
        self.answer(asked[0], ts, reason)
        if reason == Reason.OK:
            self.granted[n] = asked

    def answer(self, cascade: Cascade | None, ts: int, reason: int) -> None:
        if cascade is not None:
            cascade.verdicts.append((ts, reason))
        if reason != Reason.OK:
            self.ledger.refusals[reason] += 1

    def story(self, n: int, id_: int) -> Bracket | None:
        return self.by_key.get((n, (id_ >> 12) & 0xFFFFFFF))

    def request(self, ts, id_, n, reason, phase, side, x):
        role = id_ & 15
        b = self.story(n, id_)
        if b is None:
            if role != Role.ROLE_ENTRY or phase != ACTION_CREATE:
                return
            b = self.by_key[n, (id_ >> 12) & 0xFFFFFFF] = Bracket(n, (id_ >> 12) & 0xFFFFFFF, side, ts)
            b.qty = x[1]
            b.cascade, b.take_profit, b.stop_loss = self.granted.pop(n, (None, 0.0, 0.0))
            if b.cascade is not None:
                c = b.cascade
                b.threshold, b.score, b.z, b.cascade_notional = c.threshold, c.score, c.z, c.notional
                c.bracket = c.bracket or b
            self.ledger.brackets.append(b)
        if x[6] > 0:
            self.ledger.marks[n] = (ts, x[6])
        if phase == ACTION_CREATE:
            b.orders[id_] = Order(id_, role, side, ts, x[1], int(x[3]), x[6], [(ts, x[0])] if x[0] > 0 else [])
        elif id_ in b.orders and x[1] > 0:
            b.orders[id_].qty = x[1]

    def order(self, ts, id_, n, reason, phase, side, x):
        b = self.story(n, id_)
        if b is None:
            return
        o = b.orders.get(id_)
        if o is None:                # a stop attached to an entry has no request of its own
            o = b.orders[id_] = Order(id_, id_ & 15, side, ts, x[1])
        if phase == OrderStatus.ORDER_NEW:
            if not o.acked:
                o.acked, o.ack_ms = ts, x[3] if o.role != Role.ROLE_STOP else 0.0
            if x[0] > 0 and (not o.steps or o.steps[-1][1] != x[0]):
                o.steps.append((ts, x[0]))
        elif phase == OrderStatus.ORDER_TRIGGERED:
            o.triggered = ts
        elif phase in ENDED and not o.ended:
            if phase == OrderStatus.ORDER_REJECTED and o.acked:
                return               # an amend or a cancel was refused, the order lives on
            o.ended, o.reason, o.rejected = ts, reason, phase == OrderStatus.ORDER_REJECTED

    def fill(self, ts, id_, n, reason, phase, side, x):
        b = self.story(n, id_)
        if b is None:
            return
        role = int(x[7])
        b.fills.append(Fill(ts, id_, role, side, x[0], x[1], x[2], bool(x[3]), phase))
        b.position = x[4]
        self.ledger.marks[n] = (ts, x[0])
        o = b.orders.get(id_)
        if o is not None:
            o.filled += x[1]
            if not o.ended and (role == Role.ROLE_STOP or o.filled >= o.qty * (1 - 1e-9)):
                o.ended = ts

    def bracket(self, ts, id_, n, reason, phase, side, x):
        b = self.story(n, id_)
        if b is None:
            return
        b.state, b.end, b.position = phase, reason, x[5]
        b.stop_price, b.target_price = x[2] or b.stop_price, x[1] or b.target_price
        if phase == BRACKET_FLAT:
            b.flat = ts
            for o in b.orders.values():
                o.ended = o.ended or ts

    def trade(self, ts, id_, n, reason, phase, side, x):
        b = self.story(n, id_)
        if b is None:
            return
        multiplier = self.run.instruments[n].multiplier
        b.closed = Trade(ts, reason, side, x[0], x[1], x[2], x[3], x[4], x[6], bool(x[7]), x[0] * x[2] * multiplier, b.funding,
                         slippage(b, multiplier))

    def funding(self, ts, id_, n, reason, phase, side, x):
        self.ledger.funding += x[2]
        b = self.story(n, id_)
        if b is not None:
            b.funding += x[2]
            if b.closed is not None:     # settled while it was held, told after it was closed
                b.closed.funding += x[2]

    def feed(self, ts, id_, n, reason, phase, side, x):
        self.ledger.feed.append((ts, n, phase, x[0]))
        if phase != FeedState.FEED_UP:
            for c in self.current.values() if n < 0 else [self.current[n]] if n in self.current else []:
                if not c.ended:
                    c.ended, c.interrupted = ts, True

    def limit(self, ts, id_, n, reason, phase, side, x):
        self.ledger.limits.append((ts, phase, reason, x[0], x[1]))

    def alarm(self, ts, id_, n, reason, phase, side, x):
        self.ledger.alarms.append((ts, n, phase, x[0], x[1]))


def slippage(b: Bracket, multiplier: float) -> float:
    """Quote currency lost (> 0) or won against the price at which a taker order was decided: stops against their trigger, market orders
    against the last trade when they were asked for. Limit orders have none: they fill at their price."""
    cost = 0.0
    for f in b.fills:
        o = b.orders.get(f.order)
        if o is None:
            continue
        if f.role == Role.ROLE_STOP:
            meant = o.price or b.stop_price
        elif o.type == ORDER_MARKET:
            meant = o.last_price
        else:
            continue
        if meant > 0:
            cost += (f.price - meant) * f.side * f.qty * multiplier
    return cost


def read_ledger(run: Run) -> Ledger:
    """The stories of a run."""
    return _Reader(run).read()
