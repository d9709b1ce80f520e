"""The gateway against the venue's model: stops, other people, and new lives, for longs and for shorts."""

from __future__ import annotations

import orjson
import pytest
from desk import LONG, both
from gateway_rig import PRICE, SYMBOL, MemoryStore, Rig, S, at_rest, take_profit
from liqshell.gateway.effects import Channel

import liqcore as lc
from liqcore.event import Kind, Role

ENTRY, STOP, TARGET, CLOSE = Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE


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
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))     # what is left is not what was wanted: it is closed
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
