"""Changing orders at the emulated venue: as a whole or not at all; and how an order with a trigger is called and ends."""

from __future__ import annotations

import pytest

from exchange_floor import LONG, SHORT, Floor

both = pytest.mark.parametrize("side", [LONG, SHORT])


@both
def test_an_order_with_a_trigger_is_the_stop_order_kind(side):
    floor = Floor(side)
    _, link = floor.create(triggerPrice=floor.text(2450.0), triggerDirection=2 if side == LONG else 1)
    assert floor.amend(link, qty="2") == 0 and floor.cancel(link) == 0
    assert floor.states(link) == ["Untriggered", "Untriggered", "Deactivated"]
    row = floor.rows["order"][-1]
    assert (row["createType"], row["stopOrderType"], row["cancelType"]) == ("CreateByStopOrder", "Stop", "CancelByUser")


@both
def test_an_amendment_is_done_as_a_whole_or_not_at_all(side):
    floor = Floor(side)
    _, link = floor.limit(2490.0, stopLoss=floor.text(2480.0))
    asked = "/v5/order/realtime", f"category=linear&symbol=ETHUSDT&orderLinkId={link}"
    before = floor.get(*asked)["list"]
    far = floor.text(2700.0)  # outside the price limits
    assert floor.amend(link, price=far, stopLoss=floor.text(2470.0)) == 110003
    assert floor.amend(link, stopLoss=floor.text(2470.0), takeProfit=floor.text(2400.0)) == 10001
    assert floor.get(*asked)["list"] == before
    for nothing in (
        {},
        {"price": floor.text(2490.0)},
        {"qty": "1"},
        {"price": floor.text(2490.0), "stopLoss": floor.text(2480.0)},
        {"takeProfit": "0"},
    ):
        said = len(floor.rows["order"])
        assert floor.amend(link, **nothing) == 10001 and len(floor.rows["order"]) == said, "the order remains unchanged"
    assert floor.amend(link, price=floor.text(2491.0), stopLoss=floor.text(2475.0)) == 0
    row = floor.get(*asked)["list"][0]
    assert (row["price"], float(row["stopLoss"])) == (floor.text(2491.0).rstrip("0").rstrip("."), floor.price(2475.0))
