"""The gateway against the venue's model: every fault that the requirements name, for longs and for shorts."""

from __future__ import annotations

import orjson
import pytest

import liqcore as lc
from liqcore.event import Kind, OrderStatus, Role
from liqshell.gateway.effects import Answer, Channel

from desk import LONG, SHORT, both
from gateway_rig import PRICE, S, SYMBOL, MemoryStore, Rig

ENTRY, STOP, TARGET, CLOSE = Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE


def at_rest(rig: Rig) -> None:
    """Nothing is held, nothing rests, and both sides know it."""
    assert rig.truth()[0] == 0.0 and rig.held() == 0.0 and rig.live() == []
    assert rig.state() == lc.BracketState.BRACKET_FLAT
    assert rig.worst_naked_ns <= 2 * S


def take_profit(rig: Rig) -> None:
    rig.trade(round(PRICE * (1 + 0.003 * rig.side), 2))
    rig.wait(1.0)


def stop_out(rig: Rig) -> None:
    rig.trade(round(PRICE * (1 - 0.006 * rig.side), 2))
    rig.trade(round(PRICE * (1 - 0.006 * rig.side), 2))
    rig.wait(1.0)


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
    assert rig.order_of(ENTRY)["status"] == "sent"      # the venue said yes, and nothing more
    rig.wait(3.0)                                       # so it is asked
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
        rig.wait(4.0)                                   # the receive window has not passed: not found proves nothing
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
    rig.trade(round(PRICE * (1 - 0.0017 * side), 2))    # filled before anybody has heard of it
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
    assert rig.counts["/v5/order/realtime"] - asked < 80                    # at a falling rate
    rig.on_rest = lambda call: True
    rig.wait(70.0)
    assert rig.state() == lc.BracketState.BRACKET_FLAT and not rig.gates()


@both
@pytest.mark.parametrize(("code", "status"), [(10001, "rejected"), (110007, "rejected"), (10002, "rejected"), (10016, "unknown"), (99999, "unknown"),
                                              (110072, "asked"), (10006, "rejected")])
def test_result_codes_of_an_entry(side, code, status):
    rig = Rig(side)
    rig.on_request = lambda op, message: not op.startswith("order.") or bool(rig.after(rig.latency, lambda: rig.frame(Channel.ORDERS, {
        "reqId": message["reqId"], "retCode": code, "retMsg": "no", "op": op, "data": {}, "header": {}, "connId": "c"})))
    rig.enter(wait_s=0.1)
    if status == "rejected":
        assert rig.state() == lc.BracketState.BRACKET_FLAT
        assert len(rig.reports(Kind.ORDER, OrderStatus.ORDER_REJECTED)) == 1
    else:
        assert rig.state() == lc.BracketState.BRACKET_ENTERING
        rig.wait(0.5)
        assert rig.counts["/v5/order/realtime"] >= 2
        rig.wait(12.0)                                  # the venue knows nothing of it: it never was
        assert rig.state() == lc.BracketState.BRACKET_FLAT
    rig.wait(5.0)
    assert len(rig.orders) == 1 and rig.counts["/v5/order/create"] == 0, "an entry is never sent again"
    if code == 10002:
        assert rig.counts["/v5/market/time"] > 3        # the clock was measured
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
    assert len(rig.orders) == 1                         # until a person resumes


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
    assert rig.state() == lc.BracketState.BRACKET_FLAT              # one candidate: the reply is its
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
    rig.trade(round(PRICE * (1 - 0.004 * side), 2))     # the market runs through the entry's price before it arrives
    rig.wait(0.04)
    rig.wait(5.0)
    assert sum(m["op"] == "order.create" for m in rig.orders) <= 3
    assert rig.worst_naked_ns <= 2 * S


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
    rig.wait(8.0)                                       # read over REST, though nothing is heard
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

    rig.raw = twice                                     # type: ignore[method-assign]
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


@both
def test_a_stop_that_a_person_removes_is_put_back(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    stop = rig.order_of(STOP)["price"]
    rig.exchange.rest("POST", "/v5/position/trading-stop", "", orjson.dumps({
        "category": "linear", "symbol": SYMBOL, "stopLoss": "0", "tpslMode": "Full", "positionIdx": 0}), rig.account, rig.venue_now)
    rig.pushes()
    assert rig.truth()[1] == 0.0
    rig.wait(1.0)
    assert rig.truth()[1] == stop and rig.worst_naked_ns < S // 2
    assert rig.state() == lc.BracketState.BRACKET_HOLDING and rig.order_of(STOP)["status"] == "live"


@both
def test_a_stop_that_cannot_be_put_back_ends_the_position(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.alter_answer = lambda call, answer: answer | {"retCode": 10001, "retMsg": "no"} if call.path.endswith("trading-stop") else answer
    rig.on_rest = lambda call: not call.path.endswith("trading-stop")
    rig.exchange.rest("POST", "/v5/position/trading-stop", "", orjson.dumps({
        "category": "linear", "symbol": SYMBOL, "stopLoss": "0", "tpslMode": "Full", "positionIdx": 0}), rig.account, rig.venue_now)
    rig.pushes()
    for _ in range(20):
        rig.wait(0.2)
        rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    at_rest(rig)


@both
def test_a_stop_that_was_never_attached(side):
    """The venue takes the entry and drops its stop: found by asking, placed, before the machine gives the position up."""
    rig = Rig(side)
    order = rig.exchange.order

    def without_stop(operation, args, account, now):
        return order(operation, [{k: v for k, v in a.items() if k not in ("stopLoss", "slTriggerBy", "tpslMode")} for a in args], account, now)

    rig.exchange.order = without_stop                   # type: ignore[method-assign]
    rig.enter()
    rig.fill_entry(wait_s=2.0)
    assert rig.truth()[1] != 0.0 and rig.state() == lc.BracketState.BRACKET_HOLDING
    assert rig.worst_naked_ns < S


@both
def test_moving_the_stop(side):
    rig = Rig(side, trail="0.002")
    rig.enter()
    rig.fill_entry()
    first = rig.truth()[1]
    rig.trade(round(PRICE * (1 - 0.0003 * side), 2))
    rig.wait(1.0)
    assert (rig.truth()[1] - first) * side > 0 and rig.order_of(STOP)["price"] == rig.truth()[1]
    assert rig.order_of(STOP)["asked"] == ""


@both
@pytest.mark.parametrize("arrives", [True, False])
def test_a_move_of_the_stop_without_an_answer(side, arrives):
    rig = Rig(side, trail="0.002")
    rig.enter()
    rig.fill_entry()
    before = rig.truth()[1]
    rig.on_rest = lambda call: arrives or not call.path.endswith("trading-stop")
    rig.on_rest_answer = lambda call: not call.path.endswith("trading-stop")
    rig.on_push = lambda topic, rows: False
    rig.trade(round(PRICE * (1 - 0.0003 * side), 2))
    rig.wait(20.0)
    assert rig.order_of(STOP)["status"] == "live" and (rig.truth()[1] != before) == arrives
    assert rig.order_of(STOP)["price"] == rig.truth()[1] and rig.worst_naked_ns == 0


@both
def test_the_old_brackets_stop_says_nothing_about_the_new_position(side):
    rig = Rig(side, cooldown_s=0.0)
    kept = []

    def keep(topic, rows):
        if topic == "order":
            kept.extend(row for row in rows if row.get("stopOrderType") == "StopLoss")
        return True

    rig.on_push = keep
    rig.enter()
    rig.fill_entry()
    take_profit(rig)
    at_rest(rig)
    old = [dict(row) for row in kept]
    assert {row["orderStatus"] for row in old} >= {"Untriggered"}
    rig.enter()
    order = rig.exchange.order
    assert rig.engine.bracket(0)["sequence"] == 2
    rig.fill_entry()
    stop = rig.order_of(STOP)
    count = len(rig.reports(Kind.ORDER))
    for row in old:                                     # repeated much later, and the cancel once more
        rig.frame(Channel.PRIVATE, {"topic": "order", "creationTime": 1, "data": [row]})
        rig.frame(Channel.PRIVATE, {"topic": "order", "creationTime": 1, "data": [row | {"orderStatus": "Cancelled"}]})
    assert rig.order_of(STOP) == stop and len(rig.reports(Kind.ORDER)) == count
    assert order == rig.exchange.order


@both
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_somebody_else_reduces_our_position(side, share):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    qty = abs(rig.truth()[0])
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if side > 0 else "Buy", f"{round(qty * share, 2)}", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(2.0)
    assert rig.held() == rig.truth()[0]
    if share == 1.0:
        at_rest(rig)
    else:
        target = rig.order_of(TARGET)
        assert target["qty"] - target["filled"] == pytest.approx(abs(rig.held()))
    assert "outside" in rig.alarms()


@both
@pytest.mark.parametrize("kind", ["adl", "liquidation"])
def test_the_venue_takes_the_position(side, kind):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    if kind == "adl":
        rig.exchange.deleverage(rig.account, SYMBOL, rig.venue_now)
    else:
        rig.exchange.liquidate(rig.account, rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(5.0)
    at_rest(rig)
    assert "outside" in rig.alarms()


@both
def test_somebody_else_adds_to_our_position(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.exchange.manual_trade(rig.account, SYMBOL, "Buy" if side > 0 else "Sell", "0.3", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(8.0)
    assert "foreign position" in rig.alarms() and "GATE_RECONCILE" in rig.gates()
    assert rig.truth()[1] != 0.0                        # the stop is the whole position's
    rig.wait(400.0)
    rig.trade(PRICE)
    rig.liquidate()
    assert sum(m["op"] == "order.create" for m in rig.orders) == 2          # nothing new


@both
def test_stale_answers_are_not_believed(side):
    rig = Rig(side)
    rig.enter()
    rig.exchange.stale_ns = 20 * S
    rig.fill_entry()
    rig.wait(30.0)
    assert rig.held() == rig.truth()[0] != 0.0 and rig.order_of(STOP)["status"] == "live"
    assert "foreign position" not in rig.alarms() and "outside" not in rig.alarms()
    take_profit(rig)
    rig.wait(60.0)
    at_rest(rig)
    assert "foreign position" not in rig.alarms()


@both
def test_clock_offset(side):
    rig = Rig(side)
    rig.offset = 400_000_000
    rig.wait(61.0)
    assert "GATE_CLOCK" not in rig.gates() and any(n.kind == "clock" for n in rig.notices)
    assert rig.gateway.status()["clock_offset_ms"] == pytest.approx(400.0, abs=1.0) and rig.dispatch.offset_ms == 400
    rig.offset = 1_500_000_000
    rig.wait(61.0)
    assert "GATE_CLOCK" in rig.gates() and "clock" in rig.alarms()
    rig.offset = 0
    rig.wait(61.0)
    assert not rig.gates()


def test_a_rate_limit_waits_and_then_sends_what_protects():
    rig = Rig(LONG)
    rig.enter()
    limited = {"on": True}

    def reply(message):
        return message | {"retCode": 10006, "retMsg": "Too many visits!"} if limited["on"] else message

    request = rig.on_request

    def refuse(op, message):
        if limited["on"] and op.startswith("order."):
            rig.after(rig.latency, lambda: rig.frame(Channel.ORDERS, reply({"reqId": message["reqId"], "op": op, "data": {}, "header": {}})))
            return False
        return request(op, message)

    rig.on_request = refuse
    rig.fill_entry(wait_s=0.15)
    assert "GATE_RATE" in rig.gates() and rig.order_of(TARGET)["status"] == "sent"
    limited["on"] = False
    rig.wait(2.0)
    assert rig.order_of(TARGET)["status"] == "live" and not rig.gates()
    assert len({o["link_id"] for o in rig.live()}) == 1


def test_an_address_that_is_banned_is_left_alone():
    rig = Rig(LONG)
    banned = Answer(403, b"access too frequent", {}, "")
    rig.alter_answer = lambda call, answer: banned
    rig.wait(31.0)
    assert {"GATE_RATE", "GATE_RECONCILE"} <= rig.gates()
    calls = len(rig.calls)
    rig.wait(500.0)
    assert len(rig.calls) - calls <= 3
    rig.alter_answer = lambda call, answer: answer
    rig.wait(200.0)
    assert not rig.gates()


def test_maintenance_for_an_hour():
    rig = Rig(SHORT)
    down = Answer(503, b"<html>maintenance</html>", {}, "")
    rig.alter_answer = lambda call, answer: down
    rig.reachable = dict.fromkeys(Channel, False)
    for channel in Channel:
        rig.drop(channel)
    calls = len(rig.calls)
    rig.wait(3600.0)
    assert {"GATE_PRIVATE", "GATE_ORDERS", "GATE_RECONCILE"} <= rig.gates()
    assert len(rig.calls) - calls < 4000 and len(rig.notices) < 1000
    rig.alter_answer = lambda call, answer: answer
    rig.reachable = dict.fromkeys(Channel, True)
    rig.wait(40.0)
    assert not rig.gates() and rig.gateway.quiet


def test_hedge_mode_refuses_the_start():
    def hedge(call, answer):
        if call.path.endswith("position/list") and "symbol=" in call.query:
            row = {"symbol": SYMBOL, "side": "", "size": "0", "positionIdx": 1, "leverage": "10", "updatedTime": "1", "seq": 1}
            return answer | {"result": {"list": [row, row | {"positionIdx": 2}], "nextPageCursor": "", "category": "linear"}}
        return answer

    rig = Rig(LONG, start=False)
    rig.alter_answer = hedge
    rig.gateway.start(rig.now)
    rig.wait(60.0)
    assert rig.gates() == {"GATE_START"} and "hedge" in rig.gateway.problems()[0]


def test_leverage_is_set_where_it_is_configured():
    rig = Rig(LONG, settings={"leverage": {"": 5.0}})
    rig.wait(5.0)
    assert rig.counts["/v5/position/set-leverage"] == 1 and rig.gateway.ready


def test_contracts_that_change_are_not_traded():
    rig = Rig(LONG, settings={"instruments_period_s": 60.0})
    real = {"tick": "0.05"}

    def changed(call, answer):
        if call.path.endswith("instruments-info"):
            row = answer["result"]["list"][0]
            row["priceFilter"] = {"tickSize": real["tick"]}
        return answer

    rig.alter_answer = changed
    rig.wait(61.0)
    assert rig.gates() == {"GATE_SYMBOL"} and any("tick" in n.text for n in rig.notices)
    real["tick"] = "0.010"
    rig.wait(61.0)
    assert not rig.gates()


@both
def test_the_same_inputs_give_the_same_run(side):
    def once() -> tuple:
        rig = Rig(side)
        rig.on_push = lambda topic, rows: len(rig.events) % 3 != 0
        rig.enter()
        rig.fill_entry(wait_s=5.0)
        take_profit(rig)
        rig.wait(40.0)
        return rig.events, rig.calls, rig.orders, rig.notices

    assert once() == once()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"topic":"order"}', b'{"topic":"execution","data":[{}]}', b'{"op":"auth"}', b"\xff" * 50,
                                 b'{"retCode":"x","op":"order.create"}', b"[" * 5000])
def test_no_frame_raises(raw):
    rig = Rig(LONG)
    for channel in Channel:
        rig.raw(channel, raw)
        rig.wait(0.1)
    rig.wait(30.0)
    assert not rig.gates()


# ---- a new life ----


def reborn(rig: Rig, *, image: bytes | None = None, run: str | None = None, store: MemoryStore | None = None, wait_s: float = 2.0) -> Rig:
    """Another process on the same account. image: Engine.trade_snapshot of the old one; None = lost."""
    other = Rig(rig.side, exchange=rig.exchange, now=rig.now, store=store if store is not None else rig.store, run=run or rig.run, start=False)
    if image is not None:
        other.engine.trade_restore(image)
        other.engine.resume(other.now)
    other.exchange.take()
    other.gateway.start(other.now)
    other.wait(wait_s)
    return other


@both
def test_a_restart_while_holding(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    new = reborn(rig, image=rig.engine.trade_snapshot())
    assert new.held() == new.truth()[0] != 0.0 and not new.gates()
    assert new.order_of(STOP)["status"] == "live" and new.order_of(TARGET)["status"] == "live"
    take_profit(new)
    at_rest(new)
    assert new.orders == []


@both
def test_a_restart_after_which_the_position_is_gone(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    image = rig.engine.trade_snapshot()
    for _ in range(2):
        rig.trade(round(PRICE * (1 - 0.006 * side), 2))
    rig.now += 5 * S
    new = reborn(rig, image=image, wait_s=5.0)
    at_rest(new)
    assert not new.gates() and "outside" not in new.alarms()


@both
@pytest.mark.parametrize("fate", ["unsent", "rests", "filled"])
def test_a_restart_between_image_and_reply(side, fate):
    rig = Rig(side)
    rig.on_request = lambda op, message: fate != "unsent" or not op.startswith("order.")
    rig.on_push = lambda topic, rows: False
    rig.trade(PRICE)
    rig.liquidate()
    image = rig.engine.trade_snapshot()
    rig.wait(0.1)
    if fate == "filled":
        rig.trade(round(PRICE * (1 - 0.0017 * side), 2))
    new = reborn(rig, image=image, wait_s=1.0)
    if fate == "unsent":
        new.wait(12.0)
        assert new.state() == lc.BracketState.BRACKET_FLAT and not new.gates()
        return
    new.wait(4.0)
    assert new.held() == new.truth()[0] and new.worst_naked_ns == 0 and new.orders == [] or fate == "filled"
    if fate == "filled":
        assert new.held() == new.truth()[0] != 0.0 and new.order_of(STOP)["status"] == "live"


@both
@pytest.mark.parametrize("filled", [False, True])
def test_a_lost_image(side, filled):
    """Another prefix of the same name: entries of the old one are cancelled, its position keeps its stop and its exit, and a person is called."""
    rig = Rig(side)
    rig.enter()
    if filled:
        rig.fill_entry()
    before = rig.truth()
    new = reborn(rig, run="test0000zzzz", store=MemoryStore(), wait_s=8.0)
    assert new.truth() == before
    if filled:
        assert "foreign position" in new.alarms() and len(new.live()) == 1 and "GATE_START" in new.gates()
    else:
        assert new.live() == [] and not new.gates()


@both
def test_a_lost_image_and_a_lost_stop(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.exchange.rest("POST", "/v5/position/trading-stop", "", orjson.dumps({
        "category": "linear", "symbol": SYMBOL, "stopLoss": "0", "tpslMode": "Full", "positionIdx": 0}), rig.account, rig.venue_now)
    new = reborn(rig, run="test0000zzzz", store=MemoryStore(), wait_s=8.0)
    quantity, stop = new.truth()
    assert quantity and stop and (quantity > 0) == (stop < PRICE)
    assert {"lost bracket", "foreign position"} <= new.alarms()


def test_a_foreign_position_is_left_alone():
    rig = Rig(LONG, start=False)
    rig.exchange.manual_trade(rig.account, SYMBOL, "Buy", "0.3", rig.venue_now)
    rig.trade(PRICE)
    rig.gateway.start(rig.now)
    rig.wait(8.0)
    assert "foreign position" in rig.alarms() and {"GATE_START", "GATE_RECONCILE"} <= rig.gates()
    assert rig.truth() == (0.3, 0.0) and rig.counts["/v5/position/trading-stop"] == 0 and rig.counts["/v5/order/create"] == 0


def test_a_start_without_an_answer_stays_closed():
    rig = Rig(LONG, start=False)
    rig.on_rest = lambda call: False
    rig.gateway.start(rig.now)
    rig.wait(120.0)
    assert {"GATE_START", "GATE_RECONCILE", "GATE_CLOCK", "GATE_SYMBOL"} <= rig.gates()
    rig.on_rest = lambda call: True
    rig.wait(60.0)
    assert not rig.gates()
