"""Orders, stops and executions that are not of a bracket under way: strays of ours, and what somebody else does in the same account."""

from __future__ import annotations

import orjson
import pytest

import liqcore as lc
from desk import LONG, both
from gateway_rig import PRICE, SYMBOL, Rig
from liqcore.event import Role
from liqshell.venues.effects import Channel

STOP = Role.ROLE_STOP


@both
def test_strays_of_our_own_are_cancelled(side):
    rig = Rig(side)
    for number, reduce_only in ((0x5001, False), (0x5003, True)):
        rig.exchange.order(
            "order.create",
            [
                {
                    "category": "linear",
                    "symbol": SYMBOL,
                    "side": "Buy" if side > 0 else "Sell",
                    "orderType": "Limit",
                    "qty": "0.1",
                    "price": f"{PRICE * (1 - 0.02 * side):.2f}",
                    "timeInForce": "GTC",
                    "orderLinkId": f"{rig.run}-{number:x}",
                    "positionIdx": 0,
                    **({"reduceOnly": True} if reduce_only else {}),
                }
            ],
            rig.account,
            rig.venue_now,
        )
    rig.pushes()
    rig.wait(5.0)
    assert rig.live() == [] and rig.state() == lc.BracketState.BRACKET_FLAT
    rig.wait(40.0)
    assert not rig.gates()


def test_somebody_elses_orders_are_left_alone():
    rig = Rig(LONG)
    rig.exchange.order(
        "order.create",
        [
            {
                "category": "linear",
                "symbol": SYMBOL,
                "side": "Buy",
                "orderType": "Limit",
                "qty": "0.1",
                "price": "1900",
                "timeInForce": "GTC",
                "orderLinkId": "a-person",
                "positionIdx": 0,
            }
        ],
        rig.account,
        rig.venue_now,
    )
    rig.pushes()
    rig.wait(40.0)
    assert len(rig.live()) == 1 and any(n.kind == "foreign order" for n in rig.notices) and not rig.gates()


@both
def test_the_stop_of_somebody_elses_position_is_not_ours(side):
    """An execution by a stop, on the side that would add to what we hold."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    held = rig.held()
    rig.frame(
        Channel.PRIVATE,
        {
            "topic": "execution",
            "creationTime": 1,
            "data": [
                {
                    "category": "linear",
                    "symbol": SYMBOL,
                    "execId": "theirs",
                    "orderId": "theirs",
                    "orderLinkId": "",
                    "side": "Buy" if side > 0 else "Sell",
                    "execPrice": str(PRICE),
                    "execQty": "0.3",
                    "execFee": "0.1",
                    "execType": "Trade",
                    "stopOrderType": "StopLoss",
                    "createType": "CreateByStopLoss",
                    "isMaker": False,
                    "seq": 1,
                    "execTime": str(rig.venue_now // 1_000_000),
                }
            ],
        },
    )
    assert rig.held() == held and rig.order_of(STOP)["status"] == "live"


@both
def test_the_stop_of_a_position_of_the_other_side_is_no_exit_of_ours(side):
    """A person sells more than we hold, and something stops out what that has opened: our bracket has no part in it (found by fault simulation)."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    held = abs(rig.engine.account.position(0)["qty"])
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if side == LONG else "Buy", f"{2 * held:.10g}", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.0017 * side), 2))  # nobody quotes here: the next trade tells a market order's price
    rig.wait(1.0)
    assert rig.truth()[0] == pytest.approx(-held * side)
    stop = round(PRICE * (1 + 0.002 * side), 2)
    rig.exchange.rest(
        "POST",
        "/v5/position/trading-stop",
        "",
        orjson.dumps({"category": "linear", "symbol": SYMBOL, "stopLoss": f"{stop:.2f}", "tpslMode": "Full", "positionIdx": 0}),
        rig.account,
        rig.venue_now,
    )
    rig.pushes()
    for step in (1.003, 1.004):
        rig.trade(round(PRICE * (1 + (step - 1) * side), 2))
    rig.wait(40.0)
    assert rig.truth()[0] == 0.0 and rig.engine.account.position(0)["qty"] == 0.0


@both
def test_what_somebody_else_bought_is_no_exit_of_a_belief_that_is_below_nothing(side):
    """Our entry rests; a person buys, and a stop closes that: it looks like the stop of our bracket, which then has sold more than it bought. What the
    person bought must not be counted as a reduction of that (found by fault simulation)."""
    rig = Rig(side)
    rig.enter()
    for id, sign, kind in (("bought", side, ""), ("stopped", -side, "StopLoss")):
        rig.frame(
            Channel.PRIVATE,
            {
                "topic": "execution",
                "creationTime": 1,
                "data": [
                    {
                        "category": "linear",
                        "symbol": SYMBOL,
                        "execId": id,
                        "orderId": id,
                        "orderLinkId": "",
                        "side": "Buy" if sign > 0 else "Sell",
                        "execPrice": str(PRICE),
                        "execQty": "0.3",
                        "execFee": "0.1",
                        "execType": "Trade",
                        "stopOrderType": kind,
                        "createType": "CreateByStopLoss" if kind else "CreateByUser",
                        "isMaker": False,
                        "seq": 1,
                        "execTime": str(rig.venue_now // 1_000_000),
                    }
                ],
            },
        )
        rig.wait(0.05)
    assert abs(rig.engine.account.position(0)["qty"]) == pytest.approx(0.3)
    rig.wait(120.0)
    assert rig.state() == lc.BracketState.BRACKET_FLAT and rig.truth()[0] == rig.engine.account.position(0)["qty"] == 0.0
