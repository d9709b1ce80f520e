"""From audit records to stories: cascades, and brackets with their orders and fills. Only what the stream says, nothing estimated.

A backtest leaves millions of records, most of them large liquidations and refused events. These are handled as columns; only what tells a story is
walked, in pieces, so that memory does not grow with the stream.
"""

import gc

import numpy as np

from liqcore import AuditKind, Control, FeedState, OrderStatus, Phase, Reason, Role
from liqcore.audit import whose
from liqcore.event import Stream

from liqshell.report.run import Run
from liqshell.report.stories import LARGE_DTYPE, ORDER_MARKET, Bracket, Cascade, Fill, Ledger, Order, Trade

ACTION_CREATE = 1
BRACKET_FLAT = 0
PIECE = 1 << 17
#: a policy is asked at every phase; that it wants nothing is news only while the cascade is ACTIVE
UNASKED = (int(Reason.NO_TRADE), int(Reason.PHASE), int(Reason.ASK_LATER), int(Reason.POLICY_LEAVE))
NONE_LARGE = np.zeros(0, LARGE_DTYPE)
ENDED = (OrderStatus.ORDER_CANCELLED, OrderStatus.ORDER_REJECTED, OrderStatus.ORDER_DONE)


class _Reader:
    """Walks the stream once; one method a kind."""

    def __init__(self, run: Run):
        self.run = run
        self.ledger = Ledger()
        self.current: dict[tuple[int, int], Cascade] = {}       # by instrument and detector
        self.by_start: dict[tuple[int, int], Cascade] = {}      # by instrument and first event: what an answer says it is about
        self.at = 0                      # position of the record at hand
        self.asking: dict[int, tuple[Cascade | None, float, float]] = {}     # policy wants a bracket, risk has not answered yet
        self.granted: dict[int, tuple[Cascade | None, float, float]] = {}
        self.by_key: dict[tuple[int, int], Bracket] = {}
        self.handlers = {
            AuditKind.AUDIT_SIGNAL: self.signal, AuditKind.AUDIT_POLICY: self.policy,
            AuditKind.AUDIT_RISK: self.risk, AuditKind.AUDIT_REQUEST: self.request, AuditKind.AUDIT_ORDER: self.order,
            AuditKind.AUDIT_FILL: self.fill, AuditKind.AUDIT_BRACKET: self.bracket, AuditKind.AUDIT_TRADE: self.trade,
            AuditKind.AUDIT_FEED: self.feed, AuditKind.AUDIT_LIMIT: self.limit, AuditKind.AUDIT_LAPSED: self.lapse,
            AuditKind.AUDIT_ALARM: self.alarm, AuditKind.AUDIT_FUNDING: self.funding, AuditKind.AUDIT_JUDGE: self.judge}

    def read(self) -> Ledger:
        handlers = {int(kind): handler for kind, handler in self.handlers.items()}
        audit = self.run.audit
        kinds = audit["kind"]
        doors = np.bincount(audit["reason"][kinds == AuditKind.AUDIT_REFUSED])
        self.ledger.door.update({code: int(doors[code]) for code in np.flatnonzero(doors).tolist()})
        self.with_larges: set[int] = set()       # detectors that name their large liquidations: the cascade's
        self.chains = [self.chains_of(n) for n in range(len(self.run.instruments))]
        silent = (kinds == AuditKind.AUDIT_POLICY) & (audit["phase"] != Phase.ACTIVE) & np.isin(audit["reason"], UNASKED)
        told = np.flatnonzero((kinds != AuditKind.AUDIT_LARGE) & (kinds != AuditKind.AUDIT_REFUSED) & ~silent)
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
        count, detector = whose(found["x"][:, 2])
        self.with_larges.update(detector.tolist())
        first = count == 1
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
        if side == 0:                # a bar: a moment at which a policy is asked, and no event of the market
            return
        count, detector = whose(x[6])
        c = self.current.get((n, detector))
        if c is None or c.start != id_ or c.ended:
            c = Cascade(n, id_, self.chain(n) if detector in self.with_larges else NONE_LARGE)
            self.current[n, detector] = self.by_start[n, id_] = c
            self.ledger.cascades.append(c)
        c.phases.append((ts, phase))
        c.side, c.count = side, count
        c.long_notional, c.short_notional, c.threshold, c.z, c.score, c.price = x[:6]
        self.ledger.marks[n] = (ts, x[5])
        if phase == Phase.ACTIVE and not c.active:
            c.active = ts
        if phase == Phase.EXHAUSTED:
            c.ended = ts

    def lapse(self, ts, id_, n, reason, phase, side, x):
        self.ledger.lapsed += 1
        c = self.current.get((n, whose(x[3])[1]))
        if c is not None and not c.active:
            c.ended = ts

    def policy(self, ts, id_, n, reason, phase, side, x):
        c = self.by_start.get((n, id_))
        if reason in UNASKED:
            if c is not None:
                self.answer(c, ts, reason)
        elif reason != Reason.OK:
            self.answer(c, ts, reason)
        else:
            self.asking[n] = (c, x[2], x[3])

    def risk(self, ts, id_, n, reason, phase, side, x):
        asked = self.asking.pop(n, (self.by_start.get((n, id_)), 0.0, 0.0))
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
                b.cascade_side = c.side
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
        b.fills.append(Fill(ts, id_, role, side, x[0], x[1], x[2], int(x[3]), phase))
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
        streams = int(x[2])
        self.ledger.feed.append((ts, n, phase, x[0], streams))
        if phase != FeedState.FEED_UP and (not streams or streams & Stream.STREAM_LIQUIDATION):
            for c in self.current.values():
                if n in (-1, c.instrument) and not c.ended:
                    c.ended, c.interrupted = ts, True

    def limit(self, ts, id_, n, reason, phase, side, x):
        if phase == Control.CONTROL_PAUSE or phase == Control.CONTROL_READY:
            self.ledger.gates.append((ts, n, phase, int(x[3])))
        else:
            self.ledger.limits.append((ts, phase, reason, x[0], x[1]))

    def judge(self, ts, id_, n, reason, phase, side, x):
        if reason != Reason.OK:
            self.answer(self.by_start.get((n, id_)), ts, reason)

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
    collecting = gc.isenabled()
    gc.disable()             # millions of short-lived lists and nothing that is garbage only by a cycle: the collector would take half of the time
    try:
        return _Reader(run).read()
    finally:
        if collecting:
            gc.enable()
