"""The gateway against the venue's model: a new life of the process, for longs and for shorts."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import LONG, both
from gateway_rig import MS, PRICE, SYMBOL, MemoryStore, Rig, S, at_rest, take_profit, take_stop_away
from liqcore.event import Kind, Role

ENTRY, STOP, TARGET, CLOSE = Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE


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
        assert "foreign position" in new.alarms() and len(new.live()) == 1 and new.gates() == {"GATE_RECONCILE"}
        assert new.engine.risk.halted == lc.Reason.HALTED  # nobody knows what else that state folder knew
    else:
        assert new.live() == [] and not new.gates()


@both
def test_a_lost_image_and_a_lost_stop(side):
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    take_stop_away(rig)
    new = reborn(rig, run="test0000zzzz", store=MemoryStore(), wait_s=8.0)
    quantity, stop = new.truth()
    assert quantity and stop and (quantity > 0) == (stop < PRICE)
    assert {"lost bracket", "foreign position"} <= new.alarms()


def test_a_start_without_an_answer_stays_closed():
    rig = Rig(LONG, start=False)
    rig.on_rest = lambda call: False
    rig.gateway.start(rig.now)
    rig.wait(120.0)
    assert {"GATE_START", "GATE_RECONCILE", "GATE_CLOCK", "GATE_SYMBOL"} <= rig.gates()
    rig.on_rest = lambda call: True
    rig.wait(60.0)
    assert not rig.gates()


@both
@pytest.mark.parametrize("paid", [12.5, -12.5])
def test_funding_from_before_the_first_start_is_in_the_equity_already(side, paid):
    """It was counted once more, as a loss or a gain of the day."""
    rig = Rig(side, start=False)
    row = {
        "symbol": SYMBOL,
        "execId": "f-1",
        "orderId": "o-1",
        "orderLinkId": "",
        "side": "Buy",
        "execType": "Funding",
        "execPrice": "2000",
        "execQty": "5",
        "execFee": str(paid),
        "isMaker": False,
        "seq": 5,
        "execTime": str(rig.now // MS - 3_600_000),
        "stopOrderType": "UNKNOWN",
    }
    later = row | {"execId": "f-2"}
    old = [row]

    def add(call, answer):
        if call.path.endswith("execution/list"):
            answer["result"]["list"] = [*answer["result"]["list"], *old]
        return answer

    rig.alter_answer = add
    rig.gateway.start(rig.now)
    rig.wait(5.0)
    assert rig.gateway.ready and rig.engine.account.equity == 100_000.0 and not rig.reports(Kind.FUNDING)
    old.append(later | {"execTime": str(rig.now // MS)})
    rig.wait(61.0)
    assert rig.engine.account.equity == 100_000.0 - paid and len(rig.reports(Kind.FUNDING)) == 1


@both
def test_a_lost_bracket_at_no_price_gets_its_stop_as_soon_as_there_is_one(side):
    """The venue left mark and average price empty: the gateway raised, with a position without a stop."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    take_stop_away(rig)
    other = reborn(rig, run="test1111c3d4", store=MemoryStore(), wait_s=0.0)

    def empty(call, answer):
        if call.path.endswith("position/list"):
            for row in answer["result"]["list"]:
                row["markPrice"] = row["avgPrice"] = ""
        return answer

    other.alter_answer = empty
    other.wait(5.0)
    assert "lost bracket" in other.alarms() and not other.truth()[1]
    other.alter_answer = lambda call, answer: answer
    other.wait(5.0)
    assert other.truth()[1] > 0.0


@both
def test_what_a_person_closed_while_no_process_lived_is_booked_as_it_was_executed(side):
    """The entry was filled unheard, the venue has forgotten the order, and the restart asks anew: the bracket seemed to begin after the person's trade."""
    rig = Rig(side)
    rig.enter()
    rig.on_push = lambda topic, rows: topic == "order"
    rig.on_rest = lambda call: False
    rig.fill_entry()
    image = rig.engine.trade_snapshot()
    quantity = rig.truth()[0]
    rig.now += 2 * S
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if side > 0 else "Buy", f"{abs(quantity) / 2:.2f}", rig.now, reduce=True)
    for order in rig.account.ended:
        rig.account.orders.pop(order.id)
        rig.account.links.pop(order.link_id, None)
    rig.account.ended.clear()
    rig.account.ended_links.clear()
    rig.now += 20 * S
    new = reborn(rig, image=image, wait_s=60.0)
    assert new.held() == new.truth()[0] != quantity and new.gateway.context.counters["reductions without execution"] == 0
    take_profit(new)
    at_rest(new)
    assert abs(new.engine.account.equity - new.exchange.truth(new.account)["equity"]) < 1e-6
