"""The gateway and whatever a venue can say: well-formed frames and answers with odd values anywhere. It never raises, for longs and for shorts."""

from __future__ import annotations

import random

import pytest

import account_frames as af
from desk import LONG, SHORT, both
from gateway_rig import MS, SYMBOL, Rig
from liqshell.venues.effects import Channel

ODD = (
    "",
    "0",
    "-1",
    "1e-9",
    "1e15",
    "9e18",
    "1e30",
    "NaN",
    "0.00",
    "UNKNOWN",
    "None",
    None,
    0,
    1,
    -1,
    True,
    "Buy",
    "Sell",
    [],
    {},
    "2000",
    "0.5",
    "1",
    "9" * 19,
    str(2**62),
)
STANDINGS = ("New", "Filled", "Cancelled", "Rejected", "Untriggered", "Triggered", "PartiallyFilled", "Deactivated")
PATHS = {"order": "/v5/order/", "execution": "/v5/execution/list", "position": "/v5/position/list"}


def row_of(rig: Rig, topic: str, r: random.Random) -> dict:
    row = {"order": af.ORDER, "execution": af.EXECUTION, "position": af.POSITION}[topic] | {"symbol": SYMBOL}
    if "orderLinkId" in row:
        row["orderLinkId"] = r.choice([*(o["link_id"] for o in rig.live()), "", f"{rig.run}-{r.getrandbits(44):x}"])
    for key in r.sample(list(row), r.randint(0, 3)):
        row[key] = r.choice(ODD)
    for key in ("updatedTime", "execTime", "createdTime"):
        if key in row and r.random() < 0.7:
            row[key] = str(rig.now // MS)
    if "execId" in row:
        row["execId"] = str(r.random())
    if "orderStatus" in row:
        row |= {"orderStatus": r.choice(STANDINGS), "stopOrderType": r.choice(["StopLoss", ""])}
    return row


@pytest.mark.parametrize("seed", range(16))
def test_odd_values_anywhere(seed):
    r = random.Random(seed)
    rig = Rig((LONG, SHORT)[seed % 2])
    rig.enter()
    if seed % 3:
        rig.fill_entry()
    for _ in range(100):
        topic = r.choice(list(PATHS))
        row = row_of(rig, topic, r)
        if r.random() < 0.5:
            rig.frame(Channel.PRIVATE, {"id": "x", "topic": topic, "creationTime": 1, "data": [row]})
        else:
            rig.alter_answer = lambda call, answer, row=row, topic=topic: (
                answer | {"result": {"list": [row], "nextPageCursor": ""}} if call.path.startswith(PATHS[topic]) and call.method == "GET" else answer
            )
        rig.wait(r.choice([0.01, 0.1, 0.5]))


@both
def test_a_stop_without_its_trigger_price_is_read_from_the_position(side):
    """Numbers may be empty; this one ended the run."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    asked = rig.counts["/v5/position/list"]
    rig.frame(
        Channel.PRIVATE,
        {
            "id": "x",
            "topic": "order",
            "creationTime": 1,
            "data": [
                af.ORDER
                | {
                    "symbol": SYMBOL,
                    "orderLinkId": "",
                    "orderId": "stop-7",
                    "orderStatus": "Untriggered",
                    "stopOrderType": "StopLoss",
                    "triggerPrice": "",
                    "createdTime": str(rig.now // MS),
                    "updatedTime": str(rig.now // MS),
                }
            ],
        },
    )
    rig.wait(0.5)
    assert rig.counts["/v5/position/list"] > asked and rig.order_of(2)["status"] == "live" and not rig.alarms()


@both
def test_a_fill_under_another_id_is_counted_once_and_two_alike_are_two(side):
    """Two halves of an order may be filled in one millisecond at one price; a third that says the same would be more than the order asks for."""
    rig = Rig(side)
    rig.enter()
    order = rig.live()[0]
    whole = int(abs(order["qty"]) * 50) / 50  # of two alike
    row = af.EXECUTION | {
        "symbol": SYMBOL,
        "orderLinkId": order["link_id"],
        "orderId": order["order_id"],
        "side": "Buy" if side == LONG else "Sell",
        "execQty": f"{whole / 2:.10g}",
        "execPrice": str(order["price"]),
        "execTime": str(rig.now // MS),
    }
    for n, (held, alarms) in enumerate([(whole / 2, False), (whole, False), (whole, True)]):
        rig.frame(Channel.PRIVATE, {"id": "x", "topic": "execution", "creationTime": 1, "data": [row | {"execId": f"id-{n}"}]})
        rig.wait(0.003)
        assert rig.held() == pytest.approx(side * held) and ("repeated" in rig.alarms()) == alarms, n


@both
def test_an_order_that_the_venue_does_not_know_is_over_however_often_it_is_missed(side):
    """Readings that lack it come faster than its own askings: each of them began the asking anew, and it was in doubt for ever."""
    rig = Rig(side)
    order = rig.enter()["id"]
    rig.on_push = lambda topic, rows: False  # nobody says so
    rig.exchange.order(
        "order.cancel", [{"category": "linear", "symbol": SYMBOL, "orderLinkId": rig.live()[0]["link_id"]}], rig.account, rig.venue_now
    )
    rig.alter_answer = lambda call, answer: answer | {"result": {"list": [], "nextPageCursor": ""}} if call.path.startswith("/v5/order/") else answer
    for _ in range(200):
        rig.gateway.inquiries.begin(order, rig.gateway.context.now, "not in the venue's list of open orders")
        rig.wait(0.4)
    assert not [o for o in rig.engine.orders() if o["id"] == order and o["status"] != "ended"]
