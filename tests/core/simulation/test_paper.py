"""Paper trading by hand, both sides: the rules that a simulated venue and a bracket must keep, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from test_simulate import BIG, LONG, SHORT, T0, Answer, S, detector, rows, table

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import Action

pytestmark = pytest.mark.core

both = pytest.mark.parametrize("side", [LONG, SHORT])
ETH = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.01")  # 1002 are 0.40 at the entry of either side


class Floor:
    """Paper trading by hand: prices are given for a long and mirrored about 2500 for a short."""

    def __init__(
        self,
        side: int = LONG,
        fills: str = "through",
        latency_s: float = 0.05,
        risk: dict | None = None,
        venue: dict | None = None,
        instrument: lc.Instrument = ETH,
        quotes: bool = True,
        quote_age_s: float = 10.0,
        **bracket,
    ):
        self.side, self.now = side, T0
        bracket = {"stop_loss": "0.0025", "take_profit": "0.0015", "entry_offset": "0.0015", "notional": 1002.0, "cooldown_s": 300} | bracket
        engine = lc.Engine(
            [instrument],
            detector(0.001 if not bracket.get("exit_phase") else 60.0),
            Answer(**bracket),
            lc.Risk(**(BIG | (risk or {}))),
            equity=1e5,
            quote_age_s=quote_age_s,
        )
        self.paper = lc.Paper(engine, lc.SimVenue([instrument], fills=fills, order_latency_s=latency_s, ack_latency_s=latency_s, **(venue or {})))
        self.records = []
        if quotes:
            self.quote(2499.99, 2500.01)
        self.trade(2500.0)
        self.liquidate()
        self.wait(1.0)

    def put(self, **fields):
        row = np.zeros(1, lc.EVENT_DTYPE)
        self.now += 1
        row["ts_event"] = row["ts_recv"] = self.now
        for name, value in fields.items():
            row[name] = value
        self.paper.run(row)
        self.records += list(self.paper.engine.audit.drain())

    def price(self, long: float) -> float:
        return ETH.price(ETH.ticks(long if self.side > 0 else 5000.0 - long))

    def trade(self, price: float, qty: float = 1.0, aggressor: int = -1):
        """aggressor: +1 = the side that we enter with, -1 = the other."""
        self.put(kind=lc.Kind.TRADE, side=aggressor * self.side, price=self.price(price), qty=qty)

    def quote(self, bid: float, ask: float, bid_qty: float = 1.0, ask_qty: float = 1.0):
        (low, low_qty), (high, high_qty) = sorted(((self.price(bid), bid_qty), (self.price(ask), ask_qty)))
        self.put(kind=lc.Kind.BBO, price=low, qty=low_qty, aux_price=high, aux_qty=high_qty)

    def ticker(self, mark: float, rate: float = 0.0):
        self.put(kind=lc.Kind.TICKER, price=self.price(mark) if mark else 0.0, aux_qty=rate)

    def liquidate(self):
        self.put(kind=lc.Kind.LIQUIDATION, side=self.side, price=2500.0, qty=10.0, aux_price=1000.0)

    def wait(self, seconds: float):
        self.now += round(seconds * 1e9)
        self.paper.advance(self.now)
        self.records += list(self.paper.engine.audit.drain())

    def kinds(self, kind):
        return [r for r in self.records if r["kind"] == kind]

    def fills(self):
        """(role, price as for a long, qty, maker, reason)"""
        return [
            (int(r["x"][7]), round(self.price(r["x"][0]), 2), round(r["x"][1], 3), bool(int(r["x"][3]) & 1), int(r["phase"]))
            for r in self.kinds(AuditKind.AUDIT_FILL)
        ]

    @property
    def trades(self):
        return self.kinds(AuditKind.AUDIT_TRADE)


@pytest.mark.parametrize(
    ("side", "reference", "tick", "expected"), [(LONG, 2500.0, "0.01", (2496.25, 2500.0, 2490.01)), (SHORT, 180.0, "0.01", (180.27, 180.0, 180.72))]
)
@pytest.mark.parametrize("exit_by", ["target", "stop"])
def test_golden_prices_through_paper(side, reference, tick, expected, exit_by):
    """The guide's example through the whole engine: what is asked for, and what the fills are."""
    instrument = lc.Instrument("ETHUSDT", tick_size=tick, lot_size="0.001")
    policy = Answer(stop_loss="0.0025", take_profit="0.0015", entry_offset="0.0015", notional=1000.0)
    desk = lc.Paper(lc.Engine([instrument], detector(), policy, lc.Risk(**BIG)), lc.SimVenue([instrument]))
    entry, target, stop = (instrument.ticks(price) for price in expected)
    beyond = target + side if exit_by == "target" else stop
    events = [
        (T0, "trade", instrument.ticks(reference), 9),
        (T0 + 1, "signal", side, 0),
        (T0 + 10 * S, "signal", side, 0),
        (T0 + 11 * S, "trade", entry - side, 9),
        (T0 + 12 * S, "trade", beyond, 9),
        (T0 + 13 * S, "trade", beyond - side, 9, -side),
    ]
    rows_ = table(instrument, events)
    rows_["price"][1:3] = reference
    desk.run(rows_)
    desk.advance(T0 + 20 * S)
    records = desk.engine.audit.drain()
    asked = [r for r in rows(records, AuditKind.AUDIT_REQUEST) if r["phase"] == Action.ACTION_CREATE]
    assert [r["x"][0] for r in asked] == [expected[0], expected[1]] and asked[0]["x"][2] == expected[2]
    fills = [r["x"][0] for r in rows(records, AuditKind.AUDIT_FILL)]
    assert fills == [expected[0], expected[1] if exit_by == "target" else instrument.price(stop - side)]


@both
def test_nothing_fills_before_arrival_or_on_arrival(side):
    floor = Floor(side, latency_s=0.5)
    floor.liquidate()
    floor.wait(0.4)
    floor.trade(2490.0)  # far beyond the entry while it is on its way
    floor.trade(2500.0)
    assert floor.fills() == [] and floor.paper.venue.orders(0) == []
    floor.wait(0.2)
    assert len(floor.paper.venue.orders(0)) == 1
    floor.wait(1.0)
    assert floor.fills() == []


@both
def test_through_needs_a_price_strictly_beyond(side):
    for fills in ("through", "touch"):
        floor = Floor(side, fills)
        floor.liquidate()
        floor.wait(1.0)
        floor.trade(2496.25, qty=0.1)
        floor.wait(1.0)
        assert floor.fills() == ([] if fills == "through" else [(1, 2496.25, 0.1, True, int(lc.FillReason.FILL_TOUCH))])
        floor.trade(2496.24, qty=0.001)
        floor.wait(1.0)
        assert sum(fill[2] for fill in floor.fills() if fill[0] == 1) == pytest.approx(0.4)
        targets = [r for r in floor.kinds(AuditKind.AUDIT_REQUEST) if int(r["id"]) & 15 == 3]
        assert [round(r["x"][1], 3) for r in targets] == ([0.4] if fills == "through" else [0.1, 0.4])  # amended to what was filled


@both
def test_post_only_is_judged_on_arrival_and_requoted_within_bounds(side):
    for requotes in (0, 1, 2):
        floor = Floor(side, requotes=requotes)
        floor.liquidate()
        for n in range(6):  # the market falls faster than the quotes follow
            floor.quote(2490.0 - 10 * n, 2490.01 - 10 * n)
            floor.trade(2490.0 - 10 * n)
            floor.wait(0.1)
        entries = [r for r in floor.kinds(AuditKind.AUDIT_REQUEST) if int(r["id"]) & 15 == 1]
        rejects = [r for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["reason"] == lc.Reason.END_POST_ONLY]
        assert len(entries) == len(rejects) == requotes + 1 or len(rejects) < requotes + 1 == len(entries)
        assert len({int(r["id"]) for r in entries}) == len(entries)


@both
def test_stop_fills_at_the_next_price_through_a_jump(side):
    floor = Floor(side)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2496.0)
    floor.wait(1.0)
    floor.quote(2460.0, 2471.0)
    floor.trade(2470.0)  # the jump: trigger
    assert len(floor.paper.venue.orders(0)) == 2
    floor.trade(2465.0)  # the next price is worse than the trigger, and so is the bid
    floor.wait(1.0)
    assert floor.fills()[-1] == (2, 2460.0, 0.4, False, int(lc.FillReason.FILL_STOP))
    (trade,) = floor.trades
    assert trade["reason"] == lc.Reason.END_STOP and trade["x"][3] == pytest.approx(0.4 * (2460.0 - 2496.25))


@both
def test_a_sweep_through_entry_and_stop_takes_both(side):
    """The wick case: one trade beyond the entry and its stop. A simulator that forgets the stop here invents the whole profit of a fade."""
    floor = Floor(side)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2480.0)  # entry 2496.25, stop 2490.01
    assert floor.paper.venue.orders(0)[0]["triggered"]
    floor.trade(2485.0)
    floor.wait(1.0)
    assert [fill[0] for fill in floor.fills()] == [1, 2] and floor.fills()[1][1] == 2485.0
    entered, left = (int(r["ts"]) for r in floor.kinds(AuditKind.AUDIT_FILL))
    assert left > entered  # not from the same event


@both
def test_fired_stop_goes_before_the_target(side):
    """A rebound beyond the target after the trigger: the stop was on its way first. (The target must not depend on the place its order lies in.)"""
    for slots in (0, 1):
        floor = Floor(side, "touch" if slots else "through", take_profit="0.0005")
        floor.quote(2497.1, 2497.2)
        floor.liquidate()
        floor.wait(1.0)
        if slots:
            floor.trade(2496.25, qty=0.1)
            floor.wait(1.0)
        floor.trade(2496.0)
        floor.wait(1.0)
        floor.trade(2490.0)
        floor.trade(2510.0)
        floor.wait(1.0)
        assert floor.fills()[-1][0] == 2, floor.fills()


@both
def test_market_entry_keeps_its_stop_and_anchors_it_at_the_fill(side):
    """The stop counts from the fill. The ask is 0.2 % above the last trade."""
    floor = Floor(side, entry="market", entry_offset=0, take_profit=0)
    floor.quote(2504.99, 2505.0)
    floor.liquidate()
    floor.wait(1.0)
    assert floor.fills() == [(1, 2505.0, 0.4, False, int(lc.FillReason.FILL_CROSS))]
    (stop,) = floor.paper.venue.orders(0)
    assert floor.price(stop["price"]) == pytest.approx(2498.74 if side > 0 else 2498.77, abs=0.001) and stop["type"] == 3
    assert not floor.kinds(AuditKind.AUDIT_ALARM)


@both
def test_ttl_max_hold_and_cooldown(side):
    floor = Floor(side, entry_ttl_s=10, max_hold_s=20, cooldown_s=300, quote_age_s=1e6)
    floor.quote(2496.0, 2500.01)  # holds throughout: no print contradicts it
    floor.liquidate()
    sent = floor.now
    floor.wait(11.0)
    assert floor.paper.engine.bracket(0)["end"] == lc.Reason.END_TTL and floor.paper.venue.orders(0) == []
    cancel = [r for r in floor.kinds(AuditKind.AUDIT_REQUEST) if r["phase"] == Action.ACTION_CANCEL]
    assert [int(r["ts"]) - sent for r in cancel] == [10 * S]
    floor.liquidate()  # no cooldown after an entry that never filled
    floor.wait(1.0)
    floor.trade(2496.0)
    floor.trade(2499.0)
    floor.wait(30.0)
    assert floor.fills()[-1][0] == 4 and floor.fills()[-1][4] == lc.FillReason.FILL_TIMEOUT
    (trade,) = floor.trades
    entry, close = (int(r["ts"]) for r in floor.kinds(AuditKind.AUDIT_FILL))
    assert trade["reason"] == lc.Reason.END_MAX_HOLD and close - entry == 20 * S + 10**8  # to the venue and back
    floor.now = close + 299 * S
    floor.trade(2500.0)
    floor.liquidate()
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.COOLDOWN
    floor.wait(2.0)
    floor.liquidate()
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.OK
    floor.liquidate()
    floor.wait(0.01)
    floor.liquidate()
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.BRACKET_OPEN


def test_c10_fees_per_leg_and_role():
    """The published result charges one maker leg of 2 bps. Both legs are charged here, each by the role it had."""
    one_leg = 2e-4
    for exit_price, exit_fee, name in ((2500.5, 2e-4, lc.Reason.END_TARGET), (2485.0, 5.5e-4, lc.Reason.END_STOP)):
        floor = Floor(LONG)
        floor.liquidate()
        floor.wait(1.0)
        floor.trade(2496.0)
        floor.wait(1.0)
        floor.trade(exit_price)
        floor.trade(exit_price)
        floor.wait(1.0)
        (trade,) = floor.trades
        out = floor.fills()[-1][1]
        assert trade["reason"] == name and trade["x"][4] == pytest.approx(0.4 * (2496.25 * 2e-4 + out * exit_fee), rel=1e-12)
        assert trade["x"][5] == trade["x"][3] - trade["x"][4] and trade["x"][4] > 1.9 * 0.4 * 2496.25 * one_leg
        assert floor.paper.engine.account.equity == pytest.approx(1e5 + trade["x"][5], abs=1e-9)


@both
def test_refused_events_never_reach_the_venue(side):
    """A trade of a thousandth of the price, refused at the door while a report is being delivered, must not fill or stop anything."""
    floor = Floor(side)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2496.0)  # the fill's report is under way
    floor.now += 10**9
    floor.put(kind=lc.Kind.TRADE, side=1, price=2.5 if side > 0 else 2.5e6, qty=1.0)
    floor.put(kind=lc.Kind.TRADE, side=1, price=float("nan"), qty=1.0)
    assert sum(floor.paper.engine.refused.values()) == 2
    floor.trade(2499.0)
    floor.wait(1.0)
    assert [fill[0] for fill in floor.fills()] == [1]
