"""The bracket against a venue that may do anything: answer late, twice, in any order, refuse, cancel, or fill while it is being cancelled."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import liqcore as lc
from desk import CANCELLED, DONE, ETH, LONG, NEW, REJECTED, SHORT, STATE, T0, TRIGGERED, UNKNOWN, Desk, S, limits
from liqcore.event import Action
from model_venue import CLOSE, ENTRY, STOP, TARGET, ModelVenue

pytestmark = pytest.mark.core


class Market(RuleBasedStateMachine):
    """One rule = one thing that can happen at the venue, on the wire or in time. Between them nothing may ever break; at the end, when everything has
    been answered, the engine and the venue must agree and be flat."""

    def __init__(self):
        super().__init__()
        self.exposed_since = None
        self.asked_times = []
        self.ended = set()
        self.delivered = []
        self.best_stop = {}
        self.fills_seen = 0
        self.waking_until = 0  # after a restart the venue is asked first
        self.image = None  # the trades as they stood when something was sent last

    @initialize(
        side=st.sampled_from([LONG, SHORT]),
        tell=st.booleans(),
        entry=st.sampled_from(["post_only", "market"]),
        trail=st.sampled_from([0, "0.002"]),
        requotes=st.integers(0, 2),
        hold=st.sampled_from([5, 1800]),
        cooldown=st.sampled_from([0, 60]),
    )
    def start(self, side, tell, entry, trail, requotes, hold, cooldown):
        offset = "0.0015" if entry == "post_only" else 0
        self.desk = Desk(
            side,
            entry=entry,
            entry_offset=offset,
            trail=trail,
            requotes=requotes,
            max_hold_s=hold,
            entry_ttl_s=20,
            cooldown_s=cooldown,
            notional=100.0,
        )
        self.venue = ModelVenue(ETH, tell)
        self.venue.now = T0
        self.take(self.desk.requests)
        self.image = self.desk.engine.trade_snapshot()

    # -- bookkeeping --

    def take(self, requests):
        """What the engine asks for is checked against what it may know, and put on the wire."""
        for r in requests:
            self.asked_times.append(self.desk.now)
            side, position = self.desk.side, round(self.desk.held / 0.001)
            if r.action == Action.ACTION_CREATE:
                earlier = [q for q in self.created(r.role) if q.id >> 12 == r.id >> 12]
                assert all(q.id in self.ended for q in earlier), f"{r} is sent while {earlier} may be alive"
                self.desk.created.setdefault(r.role, []).append(r)
                if r.role == ENTRY:
                    assert r.side == side and r.stop and (r.post_only == (r.price is not None))
                    self.best_stop[r.id >> 12] = r.stop
            if r.role in (TARGET, CLOSE) and r.action != Action.ACTION_CANCEL:
                assert r.reduce_only and r.side == -side
            if r.role in (TARGET, CLOSE) and r.action == Action.ACTION_CREATE:
                assert round(r.qty / 0.001) <= position, f"{r} exceeds the position of {position} lots"
            if r.role == STOP and r.action == Action.ACTION_AMEND:
                assert (r.price - self.best_stop[r.id >> 12]) * side > -1e-9, "a stop was loosened"
            self.venue.inbox.append(r)
        if requests:
            self.image = self.desk.engine.trade_snapshot()

    def created(self, role):
        if not hasattr(self.desk, "created"):
            self.desk.created = {}
        return self.desk.created.get(role, [])

    def deliver(self, report):
        desk, (kind, ts, order) = self.desk, report[:3]
        desk.now = max(desk.now + 1, ts)
        if kind == "order":
            _, _, _, status, reason, left, filled, price = report
            if status in (REJECTED, CANCELLED, DONE):
                self.ended.add(order)
            desk.engine.on_order(ts, desk.now, order, status, reason, left, price, filled)
        else:
            _, _, _, price, qty, execution = report
            self.fills_seen += 1
            known = self.venue.orders.get(order)
            if known is not None and known.filled >= known.qty:
                self.ended.add(order)
            desk.engine.on_fill(ts, desk.now, order, price, qty, 0.01, execution)
        self.delivered.append(report)
        self.take(desk.collect())

    def pick(self, items, k):
        return items[k % len(items)]

    # -- what can happen --

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.5, 1.0, 3.0, 21.0, 61.0]))
    def time_passes(self, seconds):
        self.take(self.desk.wait(seconds))
        self.venue.now = max(self.venue.now, self.desk.now)

    @rule(bps=st.integers(-100, 100))
    def price_moves(self, bps):
        self.take(self.desk.trade(round(2500.0 * (1 + bps / 1e4), 2)))

    @precondition(lambda self: self.venue.tell or not (self.venue.reports or self.venue.inbox or self.venue.live()))
    @rule()
    def signal(self):
        self.take(self.desk.wait(0.01))
        self.take(self.desk.liquidate())

    @precondition(lambda self: self.venue.inbox)
    @rule(
        k=st.integers(0, 9),
        verdict=st.sampled_from(["accept", "accept", "accept", "reject"]),
        reason=st.sampled_from([lc.Reason.END_POST_ONLY, lc.Reason.END_VENUE]),
    )
    def request_arrives(self, k, verdict, reason):
        self.venue.now = max(self.venue.now, self.desk.now)
        self.venue.process(k % len(self.venue.inbox), verdict, reason)

    @precondition(lambda self: self.venue.live())
    @rule(k=st.integers(0, 9), lots=st.sampled_from([1, 7, 1000]))
    def order_is_filled(self, k, lots):
        self.venue.now = max(self.venue.now, self.desk.now)
        order = self.pick(self.venue.live(), k)
        self.venue.fill(order, lots)

    @precondition(lambda self: self.venue.live())
    @rule(k=st.integers(0, 9))
    def venue_cancels(self, k):
        self.venue.now = max(self.venue.now, self.desk.now)
        self.venue.end(self.pick(self.venue.live(), k), lc.Reason.END_VENUE)

    @precondition(lambda self: self.venue.reports)
    @rule(k=st.integers(0, 9))
    def report_arrives(self, k):
        self.deliver(self.venue.reports.pop(k % len(self.venue.reports)))

    @precondition(lambda self: self.venue.reports)
    @rule()
    def reports_arrive_in_order(self):
        while self.venue.reports:
            self.deliver(self.venue.reports.pop(0))

    @precondition(lambda self: self.delivered)
    @rule(k=st.integers(0, 99))
    def report_is_repeated(self, k):
        self.deliver(self.pick(self.delivered, k))

    @precondition(lambda self: self.venue.inbox)
    @rule(k=st.integers(0, 9))
    def request_is_lost(self, k):
        self.venue.inbox.pop(k % len(self.venue.inbox))

    @precondition(lambda self: self.desk.engine.orders())
    @rule(k=st.integers(0, 9))
    def outcome_is_unknown(self, k):
        """The gateway has lost sight of an order: a timeout, a 5xx, a reply that could not be read."""
        order = self.pick(self.desk.engine.orders(), k)
        self.desk.now += 1
        self.desk.engine.on_order(self.desk.now, self.desk.now, order["id"], UNKNOWN)
        self.take(self.desk.collect())

    @rule()
    def gateway_asks(self):
        """A targeted query for each unknown order, believed where nothing about it is on its way."""
        self.venue.now = max(self.venue.now, self.desk.now)
        for order in self.desk.engine.orders():
            if order["unknown"] and order["id"] not in {r.id for r in self.venue.inbox} | {report[2] for report in self.venue.reports}:
                self.venue.truth(order["id"])

    @precondition(lambda self: self.venue.position and self.desk.state != STATE.BRACKET_FLAT)
    @rule(lots=st.sampled_from([1, 5, 1000]))
    def somebody_else_reduces(self, lots):
        self.venue.now = max(self.venue.now, self.desk.now)
        self.venue.outside(self.desk.engine.bracket(0)["sequence"] << 12, lots)

    @rule(seconds=st.sampled_from([0.1, 3.0, 60.0, 3600.0]), stale=st.booleans())
    def killed_and_restarted(self, seconds, stale):
        """Only the trades survive, as they are or (stale) as they were at the last send; requests and reports that were on their way still are."""
        desk, old = self.desk, self.desk.engine
        kept = old.orders()
        desk.engine = lc.Engine([ETH], old.config, old.policy, limits(), equity=100_000.0)
        desk.engine.trade_restore(self.image if stale else old.trade_snapshot())
        if stale:
            kept = desk.engine.orders()
        assert desk.engine.orders() == kept and (stale or desk.engine.account.position(0)["qty"] == old.account.position(0)["qty"])
        desk.now += round(seconds * S)
        desk.engine.resume(desk.now)
        for before, after in zip(kept, desk.engine.orders(), strict=False):
            assert after["unknown"] or (before["status"] == "live" and not before["asked"]) or before["status"] == "ended"
        self.waking_until, self.exposed_since = desk.now + 3 * S, None
        self.take(desk.trade(2500.0))
        self.venue.now = max(self.venue.now, desk.now)
        if stale:  # the gateway asks for executions, and for every order that is believed in
            for report in [report for report in self.delivered if report[0] == "fill"]:
                self.deliver(report)
            assert desk.engine.account.position(0)["qty"] == old.account.position(0)["qty"]
            for order in desk.engine.orders():
                if order["id"] not in {r.id for r in self.venue.inbox} | {report[2] for report in self.venue.reports}:
                    self.venue.truth(order["id"])

    @rule()
    def flatten(self):
        self.desk.now += 1
        self.desk.engine.on_control(self.desk.now, lc.Control.CONTROL_FLATTEN)
        self.take(self.desk.collect())
        self.desk.now += 1
        self.desk.engine.on_control(self.desk.now, lc.Control.CONTROL_RESUME)

    # -- what must hold --

    @invariant()
    def protected_or_closing(self):
        """A position that is known of has a stop that is known of, or is being closed, within two seconds."""
        if not hasattr(self, "desk"):
            return
        desk = self.desk
        stops = [r for r in self.delivered if r[2] & 15 == STOP and r[2] >> 12 == self.current()]
        last = max(stops, key=lambda r: r[1], default=None)
        alive = last is not None and last[0] == "order" and last[3] in (NEW, TRIGGERED)
        if desk.held <= 0 or alive or desk.state == STATE.BRACKET_LEAVING:
            self.exposed_since = None
        elif self.exposed_since is None:
            self.exposed_since = desk.now
        assert self.exposed_since is None or desk.now - self.exposed_since <= 2 * S or desk.now <= self.waking_until, "a naked position"

    def current(self):
        return self.desk.engine.bracket(0)["sequence"]

    @invariant()
    def one_entry(self):
        if hasattr(self, "venue"):
            waiting = {r.id for r in self.venue.inbox if r.action == Action.ACTION_CREATE and r.role == ENTRY}
            live = {o.id for o in self.venue.live() if o.role == ENTRY}
            assert len(waiting | live) <= 1, "two live entries"

    @invariant()
    def no_storm(self):
        recent = [t for t in self.asked_times[-60:] if t > self.desk.now - S // 10] if hasattr(self, "desk") else []
        assert len(recent) < 40

    def teardown(self):
        """Everything is answered, honestly and in order; time passes. Then all is flat, and both sides tell the same story."""
        if not hasattr(self, "desk"):
            return
        desk, venue = self.desk, self.venue
        for _ in range(400):
            venue.now = max(venue.now, desk.now)
            while venue.inbox:
                venue.process(0)
            for order in [o for o in venue.live() if o.role == CLOSE]:
                venue.fill(order, order.qty)
                if order.live:
                    venue.end(order, lc.Reason.END_REDUCE_ONLY)
            if not venue.reports and not venue.inbox and desk.state == STATE.BRACKET_FLAT:
                break
            while venue.reports:
                self.deliver(venue.reports.pop(0))
            self.take(desk.wait(10.0))
            self.reconcile()
        total = sum(side * lots for _, side, _, lots in venue.fills)
        position = round(desk.engine.account.position(0)["qty"] / 0.001)
        assert position == total == venue.position, f"engine {position}, sum of fills {total}, venue {venue.position}"
        assert desk.state == STATE.BRACKET_FLAT and position == 0, f"{desk.state!r}, {position} lots held"
        assert not [o for o in venue.live() if o.role != STOP], "an order was left at the venue"

    def reconcile(self):
        """What a gateway does with an order of unknown outcome: ask, and report what is true."""
        on_its_way = {r.id for r in self.venue.inbox}  # of such a one an absence says nothing
        for order in self.desk.engine.orders():
            if order["id"] not in self.venue.orders and order["id"] not in on_its_way and order["status"] == "sent":
                self.venue.truth(order["id"])
        for order in list(self.venue.orders.values()):
            if order.live:
                self.venue.say(order, NEW)
            elif order.role != STOP:
                self.venue.say(order, CANCELLED)


Market.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))
TestMarket = Market.TestCase
