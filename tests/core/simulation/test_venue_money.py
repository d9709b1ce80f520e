"""Funding and the venue's liquidation of our own position, by hand and for both sides: from the venue through the engine to account and audit."""

from __future__ import annotations

import numpy as np
import pytest
from test_paper import Floor, both
from test_simulate import LONG, SHORT, T0, S

import liqcore as lc
from desk import ALARM, CANCELLED, NEW, REJECTED, STATE, Desk
from liqcore.audit import AuditKind
from liqcore.event import FillReason, Reason, Role

pytestmark = pytest.mark.core

HOUR = 3600 * S
WIDE = {"stop_loss": "0.1", "take_profit": 0, "max_hold_s": 40_000, "entry_ttl_s": 20_000}
FORCED = Role.ROLE_LIQUIDATION


def holding(side: int, venue: dict, **options) -> Floor:
    """Long (or short) 0.40 at 2496.25 since T0 + 2 s, in a market whose quote holds for long."""
    floor = Floor(side, venue=venue, quote_age_s=1e6, **(WIDE | options))
    floor.quote(2496.0, 2500.01)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2496.0)
    return floor


def funded(floor: Floor) -> list:
    return [(int(r["ts"]), int(r["side"]), *np.round(r["x"][:4], 9)) for r in floor.kinds(AuditKind.AUDIT_FUNDING)]


# ---- funding ----


@both
@pytest.mark.parametrize("rate", [0.0003, -0.0002])
def test_funding_is_settled_at_multiples_on_what_is_held(side, rate):
    floor = holding(side, {"funding_interval_s": 3600.0})
    floor.ticker(2510.0, rate)
    first = (T0 // HOUR + 1) * HOUR
    floor.wait((first - floor.now) / 1e9 - 0.001)
    assert funded(floor) == [] and floor.paper.next_deadline == first
    for n in range(3):
        floor.wait((first + n * HOUR - floor.now) / 1e9 - 0.001)
        floor.ticker(2510.0, rate)  # a mark holds for a minute
    floor.wait(1.0)
    mark = floor.price(2510.0)
    paid = round(0.4 * mark * rate * side, 9)  # longs pay when the rate is positive
    assert funded(floor) == [(first + n * HOUR + S // 20, side, mark, 0.4, paid, rate) for n in range(3)]
    assert {int(r["id"]) for r in floor.kinds(AuditKind.AUDIT_FUNDING)} == {1 << 12 | Role.ROLE_ENTRY}
    assert {int(r["phase"]) for r in floor.kinds(AuditKind.AUDIT_FUNDING)} == {int(side > 0)}
    account = floor.paper.engine.account
    assert account.position(0)["funding"] == pytest.approx(3 * paid)
    assert account.equity == pytest.approx(1e5 + account.position(0)["unrealized"] - account.position(0)["fees"] - 3 * paid, abs=1e-9)


@both
def test_funding_without_a_ticker_says_rate_0_and_values_at_the_last_trade(side):
    floor = holding(side, {"funding_interval_s": 3600.0})
    floor.wait(3600.0)
    ((_, who, price, qty, paid, rate),) = funded(floor)
    assert (who, price, qty, paid, rate) == (side, floor.price(2496.0), 0.4, 0.0, 0.0)


@both
def test_at_the_very_moment_arrivals_come_before_funding_and_decisions_after_it(side):
    """The close arrives a nanosecond before, at, and a nanosecond after the settlement; then one that is only decided at it."""
    moment = (T0 // HOUR + 1) * HOUR
    for latency, arrives, expected in ((0.05, moment - 1, 0), (0.05, moment, 0), (0.05, moment + 1, 1), (0.0, moment, 1)):
        known = holding(side, {"funding_interval_s": 3600.0}, latency_s=latency)
        known.wait(1.0)
        (entry,) = known.kinds(AuditKind.AUDIT_FILL)
        hold = arrives - round(latency * 1e9) - int(entry["ts"])
        floor = holding(side, {"funding_interval_s": 3600.0}, latency_s=latency, max_hold_s=hold / 1e9)
        floor.ticker(2500.0, 0.001)
        floor.wait(4000.0)
        assert int(floor.kinds(AuditKind.AUDIT_FILL)[-1]["ts"]) == arrives + round(latency * 1e9) and floor.paper.venue.position(0) == 0.0
        assert len(funded(floor)) == expected, (latency, arrives - moment)


@both
def test_who_opens_at_the_very_moment_pays_the_next_time(side):
    moment = (T0 // HOUR + 1) * HOUR
    floor = Floor(side, venue={"funding_interval_s": 3600.0}, latency_s=0.0, **WIDE)
    floor.liquidate()
    floor.wait((moment - floor.now - 1) / 1e9)
    floor.trade(2496.0)  # at the moment itself
    assert floor.now == moment
    floor.wait(1.0)
    assert funded(floor) == [] and floor.paper.next_deadline == moment + HOUR


def test_funding_off_and_its_loss_is_seen_by_risk():
    floor = holding(LONG, {"funding_interval_s": 0.0})
    floor.ticker(2500.0, 0.01)
    floor.wait(9 * 3600.0)
    assert funded(floor) == []
    floor = holding(LONG, {"funding_interval_s": 3600.0}, risk={"daily_loss_max": 0.00005})
    floor.ticker(2500.0, 0.01)  # 10 a settlement, the limit is 5
    floor.wait(3600.0)
    assert floor.paper.engine.risk.halted == Reason.RISK_DAILY_LOSS


@both
def test_a_settlement_is_counted_once(side):
    """Reports of funding may be repeated; `ts_event` is the settlement."""
    engine = lc.Engine(["ETHUSDT"])
    for ts, paid in ((T0, 3.0), (T0, 3.0), (T0 + HOUR, -1.0), (T0, 3.0)):
        engine.on_funding(ts, T0 + 2 * HOUR, 0, side, 2500.0, 0.4, paid, 0.001)
    assert engine.account.position(0)["funding"] == 2.0 and engine.account.equity == 9_998.0
    records = engine.audit.drain()
    assert [(r["kind"], r["side"], r["x"][2], r["x"][3]) for r in records] == [(AuditKind.AUDIT_FUNDING, side, paid, 0.001) for paid in (3.0, -1.0)]
    twin = lc.Engine(["ETHUSDT"])
    twin.restore(engine.snapshot())
    twin.on_funding(T0 + HOUR, T0 + 2 * HOUR, 0, side, 2500.0, 0.4, -1.0)
    assert twin.account.equity == 9_998.0


# ---- liquidation at the venue ----


def level(side: int, leverage: float, maintenance: float, entry: float = 2496.25) -> float:
    return entry * (1 - 1 / leverage + maintenance) if side > 0 else 5000 - (5000 - entry) * (1 + 1 / leverage - maintenance)


@both
@pytest.mark.parametrize(("leverage", "maintenance"), [(50.0, 0.005), (10.0, 0.0), (125.0, 0.004)])
def test_liquidated_by_the_mark_and_closed_at_the_next_price(side, leverage, maintenance):
    floor = holding(side, {"leverage": leverage, "maintenance_margin": maintenance, "funding_interval_s": 0.0}, stop_loss="0.3")
    floor.ticker(2496.0)
    floor.wait(1.0)
    at = floor.price(floor.paper.venue.liquidation_price(0))
    assert 0.0 <= at - level(side, leverage, maintenance) < 0.0101  # towards the entry: never later than stated
    floor.trade(at - 50.0)  # the last trade does not decide where a mark is known
    floor.ticker(at + 0.02)
    assert floor.fills()[-1][0] == Role.ROLE_ENTRY and len(floor.paper.venue.orders(0)) == 1
    floor.ticker(at)
    (forced,) = floor.paper.venue.orders(0)
    assert forced["id"] & 15 == FORCED and floor.paper.venue.position(0) == 0.4 * side
    floor.wait(0.3)
    floor.quote(at - 3.0, at - 2.98)
    floor.wait(1.0)
    assert floor.fills()[-1] == (FORCED, round(at - 3.0, 2), 0.4, False, FillReason.FILL_LIQUIDATED)
    (trade,) = floor.trades
    account = floor.paper.engine.account
    assert trade["reason"] == Reason.END_LIQUIDATED and floor.paper.engine.bracket(0)["end"] == Reason.END_LIQUIDATED
    assert trade["x"][3] == pytest.approx(0.4 * (at - 3.0 - 2496.25)) and account.equity == pytest.approx(1e5 + trade["x"][5])
    (alarm,) = floor.kinds(AuditKind.AUDIT_ALARM)
    assert alarm["phase"] == ALARM.ALARM_LIQUIDATED and int(alarm["id"]) >> 12 == 1
    assert (
        floor.paper.venue.liquidation_price(0) == 0.0 and floor.paper.venue.orders(0) == [] and floor.paper.engine.account.position(0)["qty"] == 0.0
    )
    floor.wait(400.0)
    floor.liquidate()  # it trades on
    floor.wait(1.0)
    assert len(floor.paper.venue.orders(0)) == 1


@both
def test_liquidated_by_the_last_trade_where_no_mark_is_known(side):
    floor = holding(side, {"leverage": 50.0, "funding_interval_s": 0.0})
    floor.wait(1.0)
    at = floor.price(floor.paper.venue.liquidation_price(0))
    floor.quote(at - 5.0, at + 2.0)  # quotes do not decide
    floor.trade(at + 0.01)
    assert [o["id"] & 15 for o in floor.paper.venue.orders(0)] == [Role.ROLE_STOP]
    floor.trade(at)
    assert [o["id"] & 15 for o in floor.paper.venue.orders(0)] == [FORCED]
    floor.trade(at + 1.0)
    floor.wait(1.0)
    assert floor.fills()[-1][:2] == (FORCED, round(at - 5.0, 2))  # never better than the quote


@both
def test_a_stop_that_has_fired_goes_before_the_liquidation(side):
    floor = holding(side, {"leverage": 50.0, "funding_interval_s": 0.0}, stop_loss="0.01")
    floor.wait(1.0)
    floor.trade(2400.0)  # beyond both: 2471.29 and 2458.81
    assert [o["id"] & 15 for o in floor.paper.venue.orders(0)] == [Role.ROLE_STOP]
    floor.trade(2399.0)
    floor.wait(1.0)
    assert floor.trades[0]["reason"] == Reason.END_STOP and not floor.kinds(AuditKind.AUDIT_ALARM)


@both
def test_exits_that_arrive_during_a_liquidation_are_refused_and_nothing_is_sold_twice(side):
    """The market stands still for a while after the mark has taken us: our own close is refused, the venue's fill ends it."""
    floor = holding(side, {"leverage": 50.0, "funding_interval_s": 0.0}, take_profit="0.05")
    floor.ticker(2496.0)
    floor.wait(1.0)
    assert len(floor.paper.venue.orders(0)) == 2
    floor.ticker(2450.0)
    floor.wait(2.5)
    refused = [r for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["phase"] == lc.OrderStatus.ORDER_REJECTED]
    assert {int(r["reason"]) for r in refused} == {Reason.END_LIQUIDATED} and {int(r["id"]) & 15 for r in refused} == {Role.ROLE_CLOSE}
    cancelled = [int(r["reason"]) for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["phase"] == lc.OrderStatus.ORDER_CANCELLED]
    assert cancelled == [Reason.END_LIQUIDATED] * 2 and floor.paper.venue.position(0) == 0.4 * side
    floor.trade(2449.0)
    floor.wait(5.0)
    assert [fill[0] for fill in floor.fills()] == [Role.ROLE_ENTRY, FORCED] and floor.paper.engine.bracket(0)["state"] == STATE.BRACKET_FLAT
    assert [int(r["phase"]) for r in floor.kinds(AuditKind.AUDIT_ALARM)] == [ALARM.ALARM_LIQUIDATED]


@both
def test_a_liquidation_that_walks_takes_what_is_there(side):
    floor = holding(side, {"leverage": 50.0, "funding_interval_s": 0.0, "taker": "walk"})
    floor.ticker(2450.0)
    for n in range(4):
        floor.trade(2449.0 - n, 0.15)
    floor.wait(1.0)
    assert [fill[:3] for fill in floor.fills()[1:]] == [(FORCED, 2449.0, 0.15), (FORCED, 2448.0, 0.15), (FORCED, 2447.0, 0.1)]
    assert len(floor.kinds(AuditKind.AUDIT_ALARM)) == 1 and floor.trades[0]["reason"] == Reason.END_LIQUIDATED


@both
def test_the_average_entry_decides(side):
    floor = Floor(
        side,
        entry="market",
        entry_offset=0,
        venue={"taker": "walk", "leverage": 20.0, "funding_interval_s": 0.0, "maintenance_margin": 0.01},
        **(WIDE | {"stop_loss": "0.2"}),
    )
    floor.quote(2499.99, 2500.01, ask_qty=0.1)
    floor.liquidate()
    assert floor.paper.venue.liquidation_price(0) == 0.0
    floor.wait(1.0)
    assert floor.price(floor.paper.venue.liquidation_price(0)) == pytest.approx(level(side, 20.0, 0.01, 2500.01), abs=0.0101)
    floor.quote(2599.9, 2600.0, ask_qty=5.0)
    mean = (0.1 * 2500.01 + 0.3 * 2600.0) / 0.4
    assert floor.price(floor.paper.venue.liquidation_price(0)) == pytest.approx(level(side, 20.0, 0.01, mean), abs=0.0101)


def test_long_and_short_level_are_as_far():
    for leverage in (2.0, 20.0, 100.0):
        gaps = []
        for side in (LONG, SHORT):
            floor = holding(side, {"leverage": leverage, "maintenance_margin": 0.002}, stop_loss="0.4")
            price = 2496.25 if side > 0 else 2503.75
            gaps.append(abs(floor.paper.venue.liquidation_price(0) - price) / price)
        assert gaps[0] == pytest.approx(gaps[1], rel=1e-3) == pytest.approx(1 / leverage - 0.002, rel=1e-3)


# ---- reports of a liquidation at the engine, as a real venue may send them ----


@both
@pytest.mark.parametrize("told", ["orders first", "fill first", "fill only"])
def test_reports_of_a_liquidation_in_any_order_and_twice(side, told):
    desk = Desk(side)
    entry = desk.enter()
    target = desk.requests[-1]
    desk.order(target.id, NEW)
    forced = entry.id & ~0xFFF | FORCED
    price = desk.price * (1 - 0.02 * side)
    ends = [(target.id, CANCELLED, Reason.END_LIQUIDATED), (entry.stop_id, CANCELLED, Reason.END_LIQUIDATED)] if told != "fill only" else []
    if told == "orders first":
        for end in ends:
            desk.order(*end)
        assert not [r for r in desk.requests if r.role == Role.ROLE_CLOSE]
    for execution in (70, 71, 70, 71, 71):  # two pieces, repeated
        desk.fill(forced, price, 0.1 if execution == 70 else round(entry.qty - 0.1, 3), maker=False, fee=0.5, execution=execution)
    if told == "fill first":
        for end in ends * 2:
            desk.order(*end)
    if told == "fill only":
        desk.order(target.id, CANCELLED, Reason.END_REDUCE_ONLY)
    assert desk.state == STATE.BRACKET_FLAT and desk.held == 0.0 and desk.alarms() == [ALARM.ALARM_LIQUIDATED]
    (trade,) = desk.kinds(AuditKind.AUDIT_TRADE)
    assert trade["reason"] == Reason.END_LIQUIDATED and trade["x"][4] == 1.0
    assert trade["x"][3] == pytest.approx(entry.qty * (price - entry.price) * side)
    position = desk.engine.account.position(0)
    assert position["qty"] == 0.0 and position["fees"] == 1.0 and position["realized"] == pytest.approx(trade["x"][3])
    desk.fill(forced, price, round(entry.qty - 0.1, 3), maker=False, execution=71)  # and once more, long after
    assert desk.engine.account.position(0)["qty"] == 0.0 and desk.alarms() == [ALARM.ALARM_LIQUIDATED]


@both
def test_what_a_partial_liquidation_leaves_is_closed_by_ourselves(side):
    """Venues reduce a position step by step: nobody knows when the rest comes, so it is ours to close, but not at once."""
    desk = Desk(side)
    entry = desk.enter()
    desk.order(desk.requests[-1].id, CANCELLED, Reason.END_LIQUIDATED)
    desk.order(entry.stop_id, CANCELLED, Reason.END_LIQUIDATED)
    desk.fill(entry.id & ~0xFFF | FORCED, desk.price * (1 - 0.02 * side), 0.1, maker=False)
    assert desk.state == STATE.BRACKET_LEAVING and [r.role for r in desk.wait(0.9)] == []
    (close,) = desk.wait(0.2)
    assert close.role == Role.ROLE_CLOSE and close.reduce_only and close.qty == pytest.approx(entry.qty - 0.1)
    again = desk.order(close.id, REJECTED, Reason.END_LIQUIDATED) + desk.wait(1.1)
    assert [r.role for r in again] == [Role.ROLE_CLOSE]
    desk.fill(again[0].id, desk.price * (1 - 0.03 * side), close.qty, maker=False)
    assert desk.state == STATE.BRACKET_FLAT and desk.kinds(AuditKind.AUDIT_TRADE)[0]["reason"] == Reason.END_LIQUIDATED


@both
def test_a_liquidation_of_a_bracket_that_is_not_ours_halts(side):
    desk = Desk(side)
    desk.enter()
    desk.fill((77 << 12) | FORCED, desk.price, 0.1, maker=False)
    assert desk.alarms() == [ALARM.ALARM_FOREIGN] and desk.engine.risk.halted == Reason.HALTED
