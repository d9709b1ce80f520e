"""Bybit order messages: each request as the venue wants it, numbers exact, ids that come back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore.event import REQUEST_DTYPE, Action, OrderType, RequestFlag
from liqcore.instrument import Instrument
from liqshell.venues.bybit import orders as bybit_orders

INSTRUMENTS = [Instrument("BTCUSDT", tick_size="0.10", lot_size="0.001"), Instrument("1000PEPEUSDT", tick_size="0.0000001", lot_size="100")]


def request(**values) -> np.ndarray:
    row = np.zeros(1, REQUEST_DTYPE)
    for name, value in {
        "id": 0x123,
        "cause": 7,
        "price": 651142,
        "qty": 20,
        "side": 1,
        "action": Action.ACTION_CREATE,
        "type": OrderType.ORDER_LIMIT,
        **values,
    }.items():
        row[name] = value
    return row


@pytest.mark.parametrize(
    ("values", "operation", "args"),
    [
        (
            {"flags": RequestFlag.POST_ONLY, "stop": 650000},
            "order.create",
            {
                "side": "Buy",
                "orderType": "Limit",
                "qty": "0.020",
                "price": "65114.20",
                "timeInForce": "PostOnly",
                "stopLoss": "65000.00",
                "slTriggerBy": "LastPrice",
                "tpslMode": "Full",
                "positionIdx": 0,
            },
        ),
        (
            {"side": -1, "flags": RequestFlag.REDUCE_ONLY},
            "order.create",
            {"side": "Sell", "orderType": "Limit", "qty": "0.020", "price": "65114.20", "timeInForce": "GTC", "reduceOnly": True, "positionIdx": 0},
        ),
        (
            {"side": -1, "type": OrderType.ORDER_STOP_MARKET, "flags": RequestFlag.REDUCE_ONLY},
            "order.create",
            {
                "side": "Sell",
                "orderType": "Market",
                "qty": "0.020",
                "triggerPrice": "65114.20",
                "triggerDirection": 2,
                "triggerBy": "LastPrice",
                "reduceOnly": True,
                "closeOnTrigger": True,
                "positionIdx": 0,
            },
        ),
        (
            {"type": OrderType.ORDER_STOP_MARKET, "flags": RequestFlag.REDUCE_ONLY},
            "order.create",
            {
                "side": "Buy",
                "orderType": "Market",
                "qty": "0.020",
                "triggerPrice": "65114.20",
                "triggerDirection": 1,
                "triggerBy": "LastPrice",
                "reduceOnly": True,
                "closeOnTrigger": True,
                "positionIdx": 0,
            },
        ),
        (
            {"type": OrderType.ORDER_MARKET, "price": 0, "flags": RequestFlag.REDUCE_ONLY},
            "order.create",
            {"side": "Buy", "orderType": "Market", "qty": "0.020", "reduceOnly": True, "positionIdx": 0},
        ),
        ({"action": Action.ACTION_AMEND, "qty": 0}, "order.amend", {"price": "65114.20"}),
        ({"action": Action.ACTION_AMEND, "price": 0, "qty": 5}, "order.amend", {"qty": "0.005"}),
        ({"action": Action.ACTION_AMEND, "type": OrderType.ORDER_STOP_MARKET, "qty": 0}, "order.amend", {"triggerPrice": "65114.20"}),
        ({"action": Action.ACTION_CANCEL}, "order.cancel", {}),
        ({"action": Action.ACTION_CANCEL, "type": 0, "price": 0, "qty": 0}, "order.cancel", {}),
        (
            {"instrument": 1, "price": 123, "qty": 7},
            "order.create",
            {"side": "Buy", "orderType": "Limit", "qty": "700", "price": "0.0000123", "timeInForce": "GTC", "positionIdx": 0},
        ),
    ],
)
def test_order_messages(values, operation, args):
    encoder = bybit_orders.order_encoder("r1", INSTRUMENTS, recv_window_ms=8000)
    message = json.loads(encoder.encode(request(**values)[0], 1_711_001_595_207))
    letter = {"order.create": "c", "order.amend": "a", "order.cancel": "x"}[operation]
    assert message == {
        "reqId": f"{letter}7-123",
        "header": {"X-BAPI-TIMESTAMP": "1711001595207", "X-BAPI-RECV-WINDOW": "8000"},
        "op": operation,
        "args": [{"category": "linear", "symbol": INSTRUMENTS[values.get("instrument", 0)].symbol, "orderLinkId": "r1-123", **args}],
    }


@pytest.mark.parametrize(
    "values",
    [
        {"qty": 0},
        {"price": 0},
        {"type": OrderType.ORDER_MARKET, "flags": RequestFlag.POST_ONLY},
        {"flags": RequestFlag.REDUCE_ONLY, "stop": 1},
        {"instrument": 2},
        {"instrument": -1},
        {"price": -1},
        {"action": 0},
        {"action": 5},
        {"type": 6},
        {"type": 0},
        {"action": Action.ACTION_AMEND, "price": 0, "qty": 0},
        {"price": 2**62, "instrument": 1, "qty": 2**62},
    ],
)
def test_requests_without_a_message(values):
    encoder = bybit_orders.order_encoder("r1", INSTRUMENTS)
    with pytest.raises(ValueError, match="no message for action"):
        encoder.encode(request(**values), 1)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([("0.10", "0.001"), ("0.05", "1"), ("0.000001", "100"), ("1", "0.5"), ("5", "25"), ("0.000000000001", "0.1")]),
    st.integers(1, 2**35 - 1),
    st.integers(1, 2**35 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**62),
)
def test_printed_numbers_are_exact(steps, price, qty, order_id, cause, now):
    instrument = Instrument("A" * 31, tick_size=steps[0], lot_size=steps[1])
    encoder = bybit_orders.order_encoder("run_1", [instrument])
    frame = encoder.encode(request(price=price, qty=qty, id=order_id, cause=cause), now)
    message = json.loads(frame)
    order = message["args"][0]
    assert (order["price"], order["qty"]) == (instrument.price_text(price), instrument.qty_text(qty))
    assert bybit_orders.parse_order_link_id(order["orderLinkId"]) == ("run_1", order_id)
    assert bybit_orders.parse_request_id(message["reqId"]) == (Action.ACTION_CREATE, cause, order_id)
    assert message["header"]["X-BAPI-TIMESTAMP"] == str(now)
    assert len(message["reqId"]) <= 36 and len(order["orderLinkId"]) <= 36 and len(frame) <= encoder.size_max


def test_link_ids():
    assert bybit_orders.order_link_id("20261121_a", 0x10) == "20261121_a-10"
    assert len(bybit_orders.order_link_id("x" * 19, 2**63 - 1)) <= bybit_orders.LINK_ID_CHARS_MAX
    for foreign in ("", "abc", "-1", "run-", "run-G", "run-1 ", "a-b-1", "run-00000000000000001", "run-1\n"):
        assert bybit_orders.parse_order_link_id(foreign) is None
    for run in ("", "a-b", "x" * 20, "é"):
        with pytest.raises(ValueError, match="run"):
            bybit_orders.order_encoder(run, INSTRUMENTS)
