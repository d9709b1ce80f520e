"""From audit records to stories: cascades, and brackets with their orders and fills. Only what the stream says, nothing estimated.

A backtest leaves millions of records, most of them large liquidations and refused events. These are handled as columns; only what tells a story is
walked, in pieces, so that memory does not grow with the stream.
"""

import gc
from typing import Any

import numpy as np

from liqcore import AuditKind, Control, FeedState, OrderStatus, Phase, Reason, Role
from liqcore.audit import VIEWS, GAVE_WAY, declined, rows
from liqcore.event import Stream

from liqshell.report.run import Run
from liqshell.report.unmet import REASONS, asides, named, sentence
from liqshell.report.stories import LARGE_DTYPE, ORDER_MARKET, Bracket, Cascade, Fill, Ledger, Order, Trade

ACTION_CREATE = 1
BRACKET_FLAT = 0
PIECE = 1 << 17
#: a policy is asked at every phase; that it wants nothing is news only while the cascade is ACTIVE
UNASKED = (int(Reason.NO_TRADE), int(Reason.PHASE), int(Reason.ASK_LATER), int(Reason.POLICY_LEAVE))
NONE_LARGE = np.zeros(0, LARGE_DTYPE)
Row = Any                # a record as liqcore.audit.rows() gives it: its fields are those of its kind
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
        refused = np.bincount(audit["reason"][kinds == AuditKind.AUDIT_REFUSED])
        self.ledger.refused_events.update({code: int(refused[code]) for code in np.flatnonzero(refused).tolist()})
        self.with_larges: set[int] = set()       # detectors that name their large liquidations: the cascade's
        self.chains = [self.chains_of(n) for n in range(len(self.run.instruments))]
        silent = (kinds == AuditKind.AUDIT_POLICY) & (audit["phase"] != Phase.ACTIVE) & np.isin(audit["reason"], UNASKED) & ~named(audit)
        silent |= asides(audit)
        at_audit = np.flatnonzero((kinds != AuditKind.AUDIT_LARGE) & (kinds != AuditKind.AUDIT_REFUSED) & ~silent)
        for first in range(0, len(at_audit), PIECE):
            at = at_audit[first:first + PIECE]
            for self.at, r in zip(at.tolist(), rows(audit[at]), strict=True):
                handlers[r.kind](r)
        return self.ledger

    def chains_of(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The large liquidations of an instrument, the index at which each chain begins (the detector counts from 1 again), and its place in the
        stream."""
        audit = self.run.audit
        places = np.flatnonzero((audit["kind"] == AuditKind.AUDIT_LARGE) & (audit["instrument"] == n))
        found = audit[places].view(VIEWS[AuditKind.AUDIT_LARGE])
        larges = np.empty(len(found), LARGE_DTYPE)
        larges["ts"], larges["ts_event"], larges["side"] = found["ts"], found["id"], found["side"]
        larges["price"], larges["notional"] = found["price"], found["notional"]
        self.with_larges.update(found["detector"].tolist())
        first = found["count"] == 1
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

    def signal(self, r: Row) -> None:
        if r.side == 0:                # a bar: a moment at which a policy is asked, and no event of the market
            return
        c = self.current.get((r.instrument, r.detector))
        if c is None or c.start != r.id or c.ended:
            c = Cascade(r.instrument, r.id, self.chain(r.instrument) if r.detector in self.with_larges else NONE_LARGE, detector=r.detector)
            self.current[r.instrument, r.detector] = self.by_start[r.instrument, r.id] = c
            self.ledger.cascades.append(c)
        c.phases.append((r.ts, r.phase))
        c.side, c.count = r.side, r.count
        c.long_notional, c.short_notional, c.threshold = r.long_notional, r.short_notional, r.threshold
        c.z, c.score, c.price = r.z, r.score, r.price
        self.ledger.marks[r.instrument] = (r.ts, r.price)
        if r.phase == Phase.ACTIVE and not c.active:
            c.active = r.ts
        if r.phase == Phase.EXHAUSTED:
            c.ended = r.ts

    def lapse(self, r: Row) -> None:
        self.ledger.lapsed += 1
        c = self.current.get((r.instrument, r.detector))
        if c is not None and not c.active:
            c.ended = r.ts

    def policy(self, r: Row) -> None:
        c = self.by_start.get((r.instrument, r.id))
        if r.reason in UNASKED:
            if c is not None:
                if r.reason in REASONS and (found := declined(r)) is not None:
                    if r.reason == Reason.ASK_LATER:
                        c.awaited = sentence(*found)
                    else:
                        c.unmet = c.unmet or sentence(*found)
                    self.ledger.named[r.reason] += 1
                self.answer(c, r.ts, r.reason)
        elif r.reason != Reason.OK:
            self.answer(c, r.ts, r.reason)
        else:
            self.asking[r.instrument] = (c, r.take_profit, r.stop_loss)

    def risk(self, r: Row) -> None:
        asked = self.asking.pop(r.instrument, (self.by_start.get((r.instrument, r.id)), 0.0, 0.0))
        if not self.ledger.equity_start and r.reason not in GAVE_WAY and r.equity > 0:
            self.ledger.equity_start = r.equity
        self.answer(asked[0], r.ts, r.reason)
        if r.reason == Reason.OK:
            self.granted[r.instrument] = asked

    def answer(self, cascade: Cascade | None, ts: int, reason: int) -> None:
        if cascade is not None:
            cascade.verdicts.append((ts, reason))
        if reason != Reason.OK:
            self.ledger.refusals[reason] += 1

    def story(self, n: int, id_: int) -> Bracket | None:
        return self.by_key.get((n, (id_ >> 12) & 0xFFFFFFF))

    def request(self, r: Row) -> None:
        role = r.id & 15
        b = self.story(r.instrument, r.id)
        if b is None:
            if role != Role.ROLE_ENTRY or r.phase != ACTION_CREATE:
                return
            b = self.by_key[r.instrument, (r.id >> 12) & 0xFFFFFFF] = Bracket(r.instrument, (r.id >> 12) & 0xFFFFFFF, r.side, r.ts)
            b.qty = r.qty
            b.cascade, b.take_profit, b.stop_loss = self.granted.pop(r.instrument, (None, 0.0, 0.0))
            if b.cascade is not None:
                c = b.cascade
                b.threshold, b.score, b.z, b.cascade_notional = c.threshold, c.score, c.z, c.notional
                b.cascade_side = c.side
                c.bracket = c.bracket or b
            self.ledger.brackets.append(b)
        if r.last_price > 0:
            self.ledger.marks[r.instrument] = (r.ts, r.last_price)
        if r.phase == ACTION_CREATE:
            b.orders[r.id] = Order(r.id, role, r.side, r.ts, r.qty, int(r.order_type), r.last_price, [(r.ts, r.price)] if r.price > 0 else [])
        elif r.id in b.orders and r.qty > 0:
            b.orders[r.id].qty = r.qty

    def order(self, r: Row) -> None:
        b = self.story(r.instrument, r.id)
        if b is None:
            return
        o = b.orders.get(r.id)
        if o is None:                # a stop attached to an entry has no request of its own
            o = b.orders[r.id] = Order(r.id, r.id & 15, r.side, r.ts, r.qty)
        if r.phase == OrderStatus.ORDER_NEW:
            if not o.acked:
                o.acked, o.ack_ms = r.ts, r.latency_ms if o.role != Role.ROLE_STOP else 0.0
            if r.price > 0 and (not o.steps or o.steps[-1][1] != r.price):
                o.steps.append((r.ts, r.price))
        elif r.phase == OrderStatus.ORDER_TRIGGERED:
            o.triggered = r.ts
        elif r.phase in ENDED and not o.ended:
            if r.phase == OrderStatus.ORDER_REJECTED and o.acked:
                return               # an amend or a cancel was refused, the order lives on
            o.ended, o.reason, o.rejected = r.ts, r.reason, r.phase == OrderStatus.ORDER_REJECTED

    def fill(self, r: Row) -> None:
        b = self.story(r.instrument, r.id)
        if b is None:
            return
        role = int(r.role)
        b.fills.append(Fill(r.ts, r.id, role, r.side, r.price, r.qty, r.fee, int(r.flags), r.phase))
        b.position = r.position
        self.ledger.marks[r.instrument] = (r.ts, r.price)
        o = b.orders.get(r.id)
        if o is not None:
            o.filled += r.qty
            if not o.ended and (role == Role.ROLE_STOP or o.filled >= o.qty * (1 - 1e-9)):
                o.ended = r.ts

    def bracket(self, r: Row) -> None:
        b = self.story(r.instrument, r.id)
        if b is None:
            return
        b.state, b.end, b.position = r.phase, r.reason, r.position
        b.stop_price, b.target_price = r.stop_price or b.stop_price, r.target_price or b.target_price
        if r.phase == BRACKET_FLAT:
            b.flat = r.ts
            for o in b.orders.values():
                o.ended = o.ended or r.ts

    def trade(self, r: Row) -> None:
        b = self.story(r.instrument, r.id)
        if b is None:
            return
        multiplier = self.run.instruments[r.instrument].multiplier
        b.closed = Trade(r.ts, r.reason, r.side, r.entry_price, r.exit_price, r.qty, r.gross, r.fees, r.hold_s, bool(r.entry_is_maker),
                         r.entry_price * r.qty * multiplier, b.funding, slippage(b, multiplier))

    def funding(self, r: Row) -> None:
        self.ledger.funding += r.paid
        b = self.story(r.instrument, r.id)
        if b is not None:
            b.funding += r.paid
            if b.closed is not None:     # settled while it was held, told after it was closed
                b.closed.funding += r.paid

    def feed(self, r: Row) -> None:
        streams = int(r.streams)
        self.ledger.feed.append((r.ts, r.instrument, r.phase, r.gap_s, streams))
        if r.phase != FeedState.FEED_UP and (not streams or streams & Stream.STREAM_LIQUIDATION):
            for c in self.current.values():
                if r.instrument in (-1, c.instrument) and not c.ended:
                    c.ended, c.interrupted = r.ts, True

    def limit(self, r: Row) -> None:
        if r.phase == Control.CONTROL_PAUSE or r.phase == Control.CONTROL_READY:
            self.ledger.gates.append((r.ts, r.instrument, r.phase, int(r.gate)))
        else:
            self.ledger.limits.append((r.ts, r.phase, r.reason, r.value, r.limit))

    def judge(self, r: Row) -> None:
        if r.reason != Reason.OK:
            self.answer(self.by_start.get((r.instrument, r.id)), r.ts, r.reason)

    def alarm(self, r: Row) -> None:
        self.ledger.alarms.append((r.ts, r.instrument, r.phase, r.value, r.limit))


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
