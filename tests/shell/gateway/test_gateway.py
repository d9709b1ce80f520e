"""The gateway against the venue's model: requests, replies and channels, for longs and for shorts."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import both
from gateway_rig import PRICE, SYMBOL, Rig, S, at_rest, stop_out, take_profit
from liqcore.event import Kind, OrderStatus, Role
from liqshell.venues.effects import Channel

ENTRY, STOP, TARGET, CLOSE = Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE


@both
@pytest.mark.parametrize("leave", [take_profit, stop_out])
def test_a_whole_trade(side, leave):
    rig = Rig(side)
    assert rig.gateway.ready and not rig.gates()
    rig.enter()
    assert rig.order_of(ENTRY)["status"] == "live" and rig.order_of(ENTRY)["side"] == side
    rig.fill_entry()
    assert rig.truth()[0] * side > 0 and rig.truth()[0] == rig.held()
    assert rig.order_of(STOP)["status"] == "live" and rig.order_of(TARGET)["status"] == "live"
    assert rig.truth()[1] == rig.order_of(STOP)["price"]
    leave(rig)
    at_rest(rig)
    rig.wait(60.0)
    assert rig.gateway.quiet and rig.gateway.ready and rig.notices == []


@both
def test_an_accepted_order_is_not_yet_booked(side):
    rig = Rig(side)
    rig.on_push = lambda topic, rows: topic != "order"
    rig.enter(wait_s=0.3)
    assert rig.order_of(ENTRY)["status"] == "sent"  # the venue said yes, and nothing more
    rig.wait(3.0)  # so it is asked
    assert rig.order_of(ENTRY)["status"] == "live"


@both
@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_reply_to_an_entry_is_asked_for_and_never_sent_again(side, arrived):
    rig = Rig(side)
    rig.on_request = lambda op, message: arrived or not op.startswith("order.")
    rig.on_reply = lambda reply: False
    rig.on_push = lambda topic, rows: False
    rig.enter(wait_s=2.2)
    if not arrived:
        assert rig.order_of(ENTRY)["unknown"] and "GATE_UNKNOWN" in rig.gates()
        rig.wait(4.0)  # the receive window has not passed: not found proves nothing
        assert rig.order_of(ENTRY)["unknown"] and rig.state() == lc.BracketState.BRACKET_ENTERING
        rig.wait(6.0)
        assert rig.state() == lc.BracketState.BRACKET_FLAT and "GATE_UNKNOWN" not in rig.gates()
    else:
        rig.wait(1.0)
        assert rig.order_of(ENTRY)["status"] == "live" and "GATE_UNKNOWN" not in rig.gates()
    assert sum(m["op"] == "order.create" for m in rig.orders) == 1 and rig.counts["/v5/order/create"] == 0


@both
def test_an_unknown_entry_that_filled_is_found_with_its_fills_and_its_stop(side):
    rig = Rig(side)
    rig.on_push = lambda topic, rows: False
    rig.on_reply = lambda reply: False
    rig.enter(wait_s=0.1)
    rig.trade(round(PRICE * (1 - 0.0017 * side), 2))  # filled before anybody has heard of it
    rig.wait(6.0)
    assert rig.held() == rig.truth()[0] != 0.0
    assert rig.order_of(STOP)["status"] == "live" and rig.worst_naked_ns == 0


@both
def test_the_socket_dies_with_an_entry_on_it(side):
    rig = Rig(side)
    rig.on_request = lambda op, message: op != "order.create"
    rig.trade(PRICE)
    rig.liquidate()
    rig.drop(Channel.ORDERS)
    assert rig.order_of(ENTRY)["unknown"] and {"GATE_UNKNOWN", "GATE_ORDERS"} <= rig.gates()
    rig.wait(12.0)
    assert rig.state() == lc.BracketState.BRACKET_FLAT and not rig.gates()
    assert rig.counts["/v5/order/create"] == 0 and len(rig.orders) == 1


@both
def test_a_venue_that_cannot_be_asked_is_no_answer(side):
    rig = Rig(side)
    rig.on_request = lambda op, message: not op.startswith("order.")
    rig.on_rest = lambda call: not call.path.startswith("/v5/order")
    rig.enter(wait_s=29.0)
    assert rig.order_of(ENTRY)["unknown"] and "unresolved" not in rig.alarms()
    rig.wait(5.0)
    assert rig.order_of(ENTRY)["unknown"] and "unresolved" in rig.alarms()
    rig.wait(5.0)
    assert {"GATE_UNKNOWN", "GATE_RECONCILE"} <= rig.gates()
    asked = rig.counts["/v5/order/realtime"]
    rig.wait(600.0)
    assert rig.counts["/v5/order/realtime"] - asked < 150  # bounded, and at a falling rate
    rig.on_rest = lambda call: True
    rig.wait(70.0)
    assert rig.state() == lc.BracketState.BRACKET_FLAT and not rig.gates()


@both
def test_fills_that_the_venue_counts_and_nobody_can_learn_of_are_an_alarm(side):
    """Its end is known, so nobody asks about the order any more: only its executions are missing (fault simulation, seed 430)."""
    rig = Rig(side)
    rig.enter()
    rig.on_push = lambda topic, rows: topic != "execution"
    rig.on_rest = lambda call: call.path != "/v5/execution/list"
    rig.fill_entry(wait_s=29.0)
    assert rig.order_of(ENTRY)["status"] == "ended" and rig.order_of(ENTRY)["executed"] > 0.0 and "unresolved" not in rig.alarms()
    rig.wait(5.0)
    assert "unresolved" in rig.alarms()
    rig.on_rest = lambda call: True
    rig.wait(10.0)
    assert rig.held() == rig.truth()[0] != 0.0


@both
@pytest.mark.parametrize(
    ("code", "status"),
    [(10001, "rejected"), (110007, "rejected"), (10002, "rejected"), (10016, "unknown"), (99999, "unknown"), (110072, "asked"), (10006, "rejected")],
)
def test_result_codes_of_an_entry(side, code, status):
    rig = Rig(side)
    rig.on_request = lambda op, message: (
        not op.startswith("order.")
        or bool(
            rig.after(
                rig.latency,
                lambda: rig.frame(
                    Channel.ORDERS, {"reqId": message["reqId"], "retCode": code, "retMsg": "no", "op": op, "data": {}, "header": {}, "connId": "c"}
                ),
            )
        )
    )
    rig.enter(wait_s=0.1)
    if status == "rejected":
        assert rig.state() == lc.BracketState.BRACKET_FLAT
        assert len(rig.reports(Kind.ORDER, OrderStatus.ORDER_REJECTED)) == 1
    else:
        assert rig.state() == lc.BracketState.BRACKET_ENTERING
        rig.wait(0.5)
        assert rig.counts["/v5/order/realtime"] >= 2
        rig.wait(12.0)  # the venue knows nothing of it: it never was
        assert rig.state() == lc.BracketState.BRACKET_FLAT
    rig.wait(5.0)
    assert len(rig.orders) == 1 and rig.counts["/v5/order/create"] == 0, "an entry is never sent again"
    if code == 10002:
        assert rig.counts["/v5/market/time"] > 3  # the clock was measured
    assert not rig.gates()


@both
def test_a_fatal_code_halts(side):
    rig = Rig(side)
    rig.alter_reply = lambda reply: reply | {"retCode": 10005, "retMsg": "Permission denied"}
    rig.exchange.halted.add(SYMBOL)
    rig.enter()
    assert rig.state() == lc.BracketState.BRACKET_FLAT and "rights" in rig.alarms()
    rig.alter_reply = lambda reply: reply
    rig.exchange.halted.clear()
    rig.wait(400.0)
    rig.enter()
    assert len(rig.orders) == 1  # until a person resumes


@both
def test_a_halted_contract_closes_its_gate(side):
    rig = Rig(side)
    rig.exchange.halted.add(SYMBOL)
    rig.enter()
    assert rig.state() == lc.BracketState.BRACKET_FLAT and rig.gates() == {"GATE_SYMBOL"}


@both
def test_a_reply_without_request_id_puts_everything_outstanding_in_doubt(side):
    rig = Rig(side)

    def refuse(op, message):
        if op.startswith("order."):
            rig.after(rig.latency, lambda: rig.frame(Channel.ORDERS, {"retCode": 10001, "retMsg": "?", "op": op, "connId": "c"}))
        return not op.startswith("order.")

    rig.on_request = refuse
    rig.enter(wait_s=0.1)
    assert rig.state() == lc.BracketState.BRACKET_FLAT  # one candidate: the reply is its
    two = Rig(side, symbols=(SYMBOL, "SOLUSDT"))
    two.on_request = lambda op, message: not op.startswith("order.")
    two.trade(PRICE)
    two.liquidate()
    two.trade(89.0, 1)
    two.engine.on_liquidation(two.now, two.now, 1, side, 89.0, 100.0)
    two.engine.on_liquidation(two.now + 2_000_000, two.now + 2_000_000, 1, side, 89.0, 100.0)
    two.now += 2_000_000
    two.dispatch.pump(two.now)
    two.gateway.collect(two.now)
    assert len(two.orders) == 2
    two.frame(Channel.ORDERS, {"retCode": 10001, "retMsg": "?", "op": "order.create", "connId": "c"})
    assert [order["unknown"] for order in two.engine.orders()] == [True, True] and "GATE_UNKNOWN" in two.gates()


@both
def test_post_only_reject_storm_is_bounded(side):
    rig = Rig(side, requotes=3)
    rig.trade(PRICE)
    rig.liquidate()
    rig.trade(round(PRICE * (1 - 0.004 * side), 2))  # the market runs through the entry's price before it arrives
    rig.wait(0.04)
    rig.wait(5.0)
    assert sum(m["op"] == "order.create" for m in rig.orders) <= 3
    assert rig.worst_naked_ns <= 2 * S


@both
@pytest.mark.parametrize(("late_s", "creates"), [(0.5, 2), (2.5, 1)])
def test_a_post_only_reject_that_is_old_news_is_not_answered_by_a_new_price(side, late_s, creates):
    """The process stood still, and hears of the reject before it hears of the market (fault simulation, seed 142)."""
    rig = Rig(side, requotes=3)
    late = []
    rig.on_push = lambda topic, rows: topic != "order" or late.append(rows)
    rig.on_rest = lambda call: not call.path.startswith("/v5/order")
    rig.trade(PRICE)
    rig.liquidate()
    rig.trade(round(PRICE * (1 - 0.004 * side), 2))
    rig.wait(0.04 + late_s)
    assert len(late) == 1 and sum(m["op"] == "order.create" for m in rig.orders) == 1
    rig.on_push, rig.on_rest = lambda topic, rows: True, lambda call: True
    rig.frame(Channel.PRIVATE, {"id": "x", "topic": "order", "creationTime": rig.venue_now // 1_000_000, "data": late[0]})
    rig.wait(5.0)
    assert sum(m["op"] == "order.create" for m in rig.orders) == creates and not rig.gates()


@both
def test_exits_go_by_rest_while_the_order_socket_is_down(side):
    rig = Rig(side)
    rig.enter()
    rig.reachable[Channel.ORDERS] = False
    rig.drop(Channel.ORDERS)
    rig.fill_entry(wait_s=1.0)
    assert rig.counts["/v5/order/create"] == 1 and rig.order_of(TARGET)["status"] == "live"
    rig.engine.on_control(rig.now, lc.Control.CONTROL_FLATTEN)
    rig.dispatch.pump(rig.now)
    rig.gateway.collect(rig.now)
    rig.wait(0.5)
    rig.trade(PRICE)
    rig.wait(2.0)
    at_rest(rig)


@both
def test_no_entry_while_the_private_stream_is_down(side):
    rig = Rig(side)
    rig.reachable[Channel.PRIVATE] = False
    rig.drop(Channel.PRIVATE)
    assert "GATE_PRIVATE" in rig.gates()
    rig.enter()
    assert rig.orders == []
    rig.reachable[Channel.PRIVATE] = True
    rig.wait(5.0)
    assert not rig.gates()
    rig.wait(400.0)
    rig.enter()
    assert len(rig.orders) == 1


@both
def test_what_happened_while_the_private_stream_was_down_is_found(side):
    rig = Rig(side)
    rig.enter()
    rig.reachable[Channel.PRIVATE] = False
    rig.drop(Channel.PRIVATE)
    rig.fill_entry(wait_s=0.0)
    rig.wait(8.0)  # read over REST, though nothing is heard
    assert rig.held() == rig.truth()[0] != 0.0 and rig.order_of(STOP)["status"] == "live"
    stop_out(rig)
    rig.reachable[Channel.PRIVATE] = True
    rig.wait(8.0)
    at_rest(rig)
    assert not rig.gates()


@both
def test_half_open_channels_are_found_by_pings(side):
    rig = Rig(side)
    deaf = {"now": True}
    rig.on_request = lambda op, message: not (deaf["now"] and op == "ping")
    before = rig.counts["connect PRIVATE"]
    rig.wait(25.0)
    assert rig.counts["connect PRIVATE"] == before + 1 and rig.counts["connect ORDERS"] == 2
    deaf["now"] = False
    rig.wait(30.0)
    assert rig.gateway.ready and rig.counts["connect PRIVATE"] <= before + 2


@both
def test_executions_are_counted_once_however_they_come(side):
    rig = Rig(side)
    push = rig.raw

    def twice(channel: Channel, raw: bytes) -> None:
        push(channel, raw)
        push(channel, raw)
        rig.after(S // 10, lambda: push(channel, raw))

    rig.raw = twice  # type: ignore[method-assign]
    rig.enter()
    rig.fill_entry(qty=0.2)
    rig.wait(2.0)
    rig.fill_entry()
    assert rig.held() == rig.truth()[0] != 0.0
    take_profit(rig)
    rig.wait(2.0)
    at_rest(rig)


@both
@pytest.mark.parametrize("lost", ["execution", "order", "position"])
def test_a_topic_that_is_lost_is_made_up_for(side, lost):
    rig = Rig(side)
    rig.on_push = lambda topic, rows: topic != lost
    rig.enter(wait_s=3.0)
    rig.fill_entry(wait_s=3.0)
    assert rig.held() == rig.truth()[0] != 0.0 and rig.order_of(STOP)["status"] == "live"
    take_profit(rig)
    rig.wait(40.0)
    at_rest(rig)


@both
def test_partly_filled_then_cancelled(side):
    rig = Rig(side, entry_ttl_s=2.0, venue=None)
    rig.enter()
    rig.trade(round(PRICE * (1 - 0.0017 * side), 2))
    rig.wait(3.0)
    assert rig.held() == rig.truth()[0]
    take_profit(rig)
    at_rest(rig)


# ---- what the last hop says ----


def used_up(rig):
    """The rate budget: nothing leaves for a second."""
    for _ in range(10):
        rig.guard.spend(rig.now)


def created(rig):
    return sum(message["op"] == "order.create" for message in rig.orders)


@both
@pytest.mark.parametrize("what", ["nothing", "gate", "price", "age"])
def test_an_entry_that_waited_for_the_budget_is_judged_when_it_leaves(side, what):
    """While it waited nothing happened, or a gate closed, or the price passed its stop, or it grew old. Nothing latches, and the next entry leaves."""
    rig = Rig(side, guarded=True, settings={"entry_age_s": 0.5 if what == "age" else 2.0})
    used_up(rig)
    rig.enter(wait_s=0.2)
    assert rig.gateway.status()["held_back"] == 1 and not rig.live()
    if what == "gate":
        rig.engine.on_control(rig.now, lc.Control.CONTROL_PAUSE, lc.Gate.GATE_STALL)
    elif what == "price":
        rig.trade(PRICE * (1 - side * 0.015))
    rig.wait(1.5)
    assert rig.gateway.status()["held_back"] == 0 and not rig.guard.latched
    assert created(rig) == (what == "nothing") and (rig.state() == lc.BracketState.BRACKET_FLAT) is (what != "nothing")
    if what == "price":
        assert [notice.text.rpartition(": ")[2] for notice in rig.notices if notice.kind == "guard"] == [lc.Reason.STOP_PASSED.name]
        assert [report.flags for report in rig.reports(Kind.ORDER, OrderStatus.ORDER_REJECTED)] == [lc.Reason.STOP_PASSED]
    if what != "nothing":
        rig.engine.on_control(rig.now, lc.Control.CONTROL_READY, lc.Gate.GATE_STALL)
        rig.wait(3600.0)
        rig.enter()
        assert created(rig) == 1
