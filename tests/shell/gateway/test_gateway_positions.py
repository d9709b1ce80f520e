"""The gateway against the venue's model: stops and other people, for longs and for shorts."""

from __future__ import annotations

import orjson
import pytest

import liqcore as lc
from desk import both
from gateway_rig import PRICE, SYMBOL, Rig, S, at_rest, take_profit, take_stop_away
from liqcore.event import Kind, Role
from liqshell.venues.effects import Answer, Channel

ENTRY, STOP, TARGET, CLOSE = Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE


@both
def test_a_stop_that_a_person_removes_is_put_back(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    stop = rig.order_of(STOP)["price"]
    take_stop_away(rig)
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
    take_stop_away(rig)
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

    rig.exchange.order = without_stop  # type: ignore[method-assign]
    rig.enter()
    rig.fill_entry(wait_s=2.0)
    assert rig.truth()[1] != 0.0 and rig.state() == lc.BracketState.BRACKET_HOLDING
    assert rig.worst_naked_ns < S


@both
@pytest.mark.parametrize("first_cancel_is_lost", [False, True])
def test_an_entry_that_rests_without_its_stop_is_cancelled(side, first_cancel_is_lost):
    """The venue has shown that it echoes an entry's stop, and drops the next one's: nothing fills naked, not even while nobody can reach the venue
    (found by fault simulation, seed 2016)."""
    rig = Rig(side, cooldown_s=0.0)
    rig.enter()
    rig.fill_entry()
    take_profit(rig)
    at_rest(rig)
    order = rig.exchange.order

    def without_stop(operation, args, account, now):
        return order(operation, [{k: v for k, v in a.items() if k not in ("stopLoss", "slTriggerBy", "tpslMode")} for a in args], account, now)

    rig.exchange.order = without_stop  # type: ignore[method-assign]
    cancels = []
    if first_cancel_is_lost:
        rig.on_rest = lambda call: not call.path.endswith("cancel") or cancels.append(call) or len(cancels) > 1
    rig.enter(wait_s=0.2)
    if first_cancel_is_lost:
        rig.wait(40.0)  # the account is read every half minute: it shows the entry again
    assert "entry without stop" in rig.alarms() and sum(n.kind == "entry without stop" for n in rig.notices) == 1
    rig.fill_entry()
    at_rest(rig)
    assert rig.worst_naked_ns == 0


@both
def test_an_entry_whose_stop_a_venue_never_shows_is_left_alone(side):
    """Not every venue echoes it: without having seen one, its absence says nothing."""
    rig = Rig(side)
    rig.on_push = lambda topic, rows: [row.update(stopLoss="") for row in rows if topic == "order" and row["orderLinkId"]] or True
    rig.enter()
    rig.fill_entry()
    assert rig.truth()[1] != 0.0 and rig.state() == lc.BracketState.BRACKET_HOLDING and "entry without stop" not in rig.alarms()


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
    for row in old:  # repeated much later, and the cancel once more
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
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))  # what is left is not what was wanted: it is closed
    rig.wait(2.0)
    at_rest(rig)
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
def test_a_liquidation_goes_on_over_a_deleveraging(side):
    """The venue withdraws our orders first, not its own: else what is left could never be closed by anybody (fault seed 1374)."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.exchange.liquidate(rig.account, rig.venue_now)
    rig.exchange.deleverage(rig.account, SYMBOL, rig.venue_now, share=0.5)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(5.0)
    assert rig.truth()[0] == 0.0
    at_rest(rig)


@both
def test_a_market_close_whose_end_was_not_heard_of_is_asked_for(side):
    """Half of the position was gone before the close, so half of it ended at the venue; the stream does not say so, and nothing is held any more that
    would be looked at every 5 s (fault seed 1283)."""
    rig = Rig(side, max_hold_s=8)
    rig.enter()
    rig.fill_entry()
    rig.wait(7.3)
    rig.on_push = lambda topic, rows: False
    rig.exchange.deleverage(rig.account, SYMBOL, rig.venue_now, share=0.5)
    while not any(m["op"] == "order.create" and m["args"][0].get("orderType") == "Market" for m in rig.orders):
        rig.wait(0.1)
    assert rig.order_of(CLOSE)["qty"] > abs(rig.truth()[0])
    rig.wait(15.0)
    assert rig.truth()[0] == 0.0
    at_rest(rig)


@both
def test_somebody_else_adds_to_our_position(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.exchange.manual_trade(rig.account, SYMBOL, "Buy" if side > 0 else "Sell", "0.3", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(8.0)
    assert "foreign position" in rig.alarms() and "GATE_RECONCILE" in rig.gates()
    assert rig.truth()[1] != 0.0  # the stop is the whole position's
    rig.wait(400.0)
    rig.trade(PRICE)
    rig.liquidate()
    assert sum(m["op"] == "order.create" for m in rig.orders) == 2  # nothing new


@both
def test_a_stop_that_the_market_has_passed_is_placed_further_away(side):
    """The stop is gone, the market beyond it, and the close at market does not get through: any stop is better than none."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    stop = rig.order_of(STOP)["price"]
    rig.on_request = lambda op, message: not op.startswith("order.")
    take_stop_away(rig)
    rig.trade(round(PRICE * (1 - 0.008 * side), 2))
    rig.wait(1.5)
    assert rig.state() == lc.BracketState.BRACKET_LEAVING
    assert rig.truth()[1] and (stop - rig.truth()[1]) * side > 0
    rig.on_request = lambda op, message: True
    for _ in range(15):
        rig.trade(round(PRICE * (1 - 0.008 * side), 2))
        rig.wait(1.0)
    assert rig.truth()[0] == rig.held() == 0.0


@both
def test_a_stop_that_a_person_moves_away_is_moved_back_or_the_position_closed(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    stop = rig.order_of(STOP)["price"]

    def away() -> None:
        rig.exchange.rest(
            "POST",
            "/v5/position/trading-stop",
            "",
            orjson.dumps(
                {"category": "linear", "symbol": SYMBOL, "stopLoss": f"{PRICE * (1 - 0.05 * side):.2f}", "tpslMode": "Full", "positionIdx": 0}
            ),
            rig.account,
            rig.venue_now,
        )

    away()
    rig.pushes()
    rig.wait(1.0)
    assert rig.truth()[1] == stop
    away()
    rig.exchange.take()  # nobody is told, and the market goes through
    for _ in range(45):
        rig.trade(round(PRICE * (1 - 0.008 * side), 2))
        rig.wait(1.0)
    at_rest(rig)


@both
def test_a_close_that_was_lost_is_closed_again_once_that_is_known(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.on_request = lambda op, message: not op.startswith("order.")
    rig.engine.on_control(rig.now, lc.Control.CONTROL_FLATTEN)
    rig.dispatch.pump(rig.now)
    rig.gateway.collect(rig.now)
    rig.wait(1.0)
    rig.on_request = lambda op, message: True
    for _ in range(24):
        rig.wait(0.5)
        rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    at_rest(rig)
    closes = [m for m in rig.orders if m["op"] == "order.create" and int(m["args"][0]["orderLinkId"].split("-")[1], 16) & 15 == CLOSE]
    assert len({m["args"][0]["orderLinkId"] for m in closes}) == len(closes), "each under an id of its own"


@both
def test_a_failed_reading_is_never_flat(side):
    """Positions cannot be read, and an empty list without its envelope is not an answer."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.alter_answer = lambda call, answer: (
        Answer(200, b'{"retCode":0,"result":{"list":[{"symbol":""}]}}') if "position/list" in call.path else answer
    )
    rig.wait(120.0)
    assert rig.held() == rig.truth()[0] != 0.0 and "GATE_RECONCILE" in rig.gates() and "outside" not in rig.alarms()
    rig.alter_answer = lambda call, answer: answer
    rig.wait(40.0)
    assert not rig.gates()


@both
def test_a_position_that_shrank_without_an_execution(side):
    """The venue forgets to list why; after readings that agree the engine is told all the same."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.on_push = lambda topic, rows: False
    hidden: set[str] = set()

    def hide(call, answer):
        if "execution/list" in call.path:
            answer["result"]["list"] = [row for row in answer["result"]["list"] if row["orderLinkId"]]
        return answer

    rig.alter_answer = hide
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if side > 0 else "Buy", f"{abs(rig.truth()[0])}", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(60.0)
    assert not hidden and rig.held() == rig.truth()[0] == 0.0 and "outside" in rig.alarms()
