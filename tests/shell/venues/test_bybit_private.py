"""Frames of the private stream and of the order-entry socket: every fact of the venue's that is easily misread, and rubbish."""

import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fuzz_decode import mutate

import account_frames as af
from campaigns import cases
from campaigns import seed as campaign_seed
from liqshell.venues.bybit import private_stream as private
from liqshell.venues.bybit import rest_responses as answers
from liqshell.venues.bybit.private_stream import Report, ReportKind, read_frame
from liqshell.venues.bybit.rows import STANDINGS
from liqshell.venues.reports import ENDED, Execution, OrderReply, OrderState, Position, Standing, Wallet


def read(message: object) -> Report:
    return read_frame(orjson.dumps(message))


def test_an_order():
    report = read(af.frame("order", af.ORDER))
    assert report.kind == ReportKind.ORDERS and report.ts_ms == 1700000000600 and not report.refused
    assert report.orders == (
        OrderState(
            order_id="5cf98598-39a7-459e-97bf-76ca765ee020",
            link_id="fade_k2x9-1a2",
            symbol="ETHUSDT",
            side=1,
            standing=Standing.LIVE,
            market=False,
            price=2496.25,
            qty=0.8,
            executed=0.0,
            reduce_only=False,
            stop_kind="",
            trigger=0.0,
            stop_loss=2490.01,
            reason="",
            cancel="",
            creator="CreateByUser",
            index=0,
            created_ms=1700000000100,
            updated_ms=1700000000101,
        ),
    )


@pytest.mark.parametrize(("side", "sign"), [("Buy", 1), ("Sell", -1)])
@pytest.mark.parametrize(
    ("status", "standing"),
    [
        ("Untriggered", Standing.WAITING),
        ("New", Standing.LIVE),
        ("PartiallyFilled", Standing.LIVE),
        ("Triggered", Standing.TRIGGERED),
        ("Filled", Standing.FILLED),
        ("Cancelled", Standing.CANCELLED),
        ("PartiallyFilledCanceled", Standing.CANCELLED),
        ("Deactivated", Standing.CANCELLED),
        ("Rejected", Standing.REJECTED),
    ],
)
def test_where_an_order_stands(status, standing, side, sign):
    (order,) = read(af.frame("order.linear", af.ORDER, orderStatus=status, side=side, cumExecQty="0.3")).orders
    # the venue cancels and even rejects orders with executions: both must keep them
    assert (order.standing, order.side, order.executed) == (standing, sign, 0.3)
    assert (standing in ENDED) == (status in ("Filled", "Cancelled", "PartiallyFilledCanceled", "Deactivated", "Rejected"))
    assert set(STANDINGS.values()) == set(Standing)


@pytest.mark.parametrize("status", ["Cancelled", "Rejected"])
def test_a_post_only_order_that_would_take_is_known_by_its_reason(status):
    (order,) = read(af.frame("order", af.ORDER, orderStatus=status, rejectReason="EC_PostOnlyWillTakeLiquidity")).orders
    assert order.reason == private.POST_ONLY_WOULD_TAKE


def test_two_filled_messages_are_both_read():
    second = af.ORDER | {"cancelType": "CancelByUser", "rejectReason": "EC_OrigClOrdIDDoesNotExist"}
    orders = read(af.frame("order", af.ORDER, second, orderStatus="Filled", cumExecQty="0.80")).orders
    assert [(o.standing, o.executed, o.cancel, o.reason) for o in orders] == [
        (Standing.FILLED, 0.8, "", ""),
        (Standing.FILLED, 0.8, "CancelByUser", "EC_OrigClOrdIDDoesNotExist"),
    ]


def test_the_stop_of_a_position_is_an_order_without_our_id():
    (order,) = read(
        af.frame(
            "order",
            af.ORDER,
            orderStatus="Untriggered",
            orderLinkId="",
            stopOrderType="StopLoss",
            createType="CreateByStopLoss",
            orderType="Market",
            price="0",
            triggerPrice="2490.01",
            side="Sell",
            reduceOnly=True,
        )
    ).orders
    assert (order.link_id, order.stop_kind, order.creator, order.market, order.price, order.trigger, order.reduce_only, order.side) == (
        "",
        "StopLoss",
        "CreateByStopLoss",
        True,
        0.0,
        2490.01,
        True,
        -1,
    )


@pytest.mark.parametrize("word", ["CancelByDCP", "CancelAllBeforeLiq", "SomethingOfNextYear"])
def test_words_that_are_only_handed_on_may_be_new(word):
    (order,) = read(af.frame("order", af.ORDER, cancelType=word, rejectReason=word, stopOrderType=word)).orders
    assert (order.cancel, order.reason, order.stop_kind) == (word, word, word)


def test_an_execution():
    report = read(af.frame("execution", af.EXECUTION))
    assert report.executions == (
        Execution(
            id="7e2ae69c-4edf-5800-a352-893d52b446aa",
            order_id="5cf98598-39a7-459e-97bf-76ca765ee020",
            link_id="fade_k2x9-1a2",
            symbol="ETHUSDT",
            side=1,
            price=2496.25,
            qty=0.3,
            fee=0.149775,
            maker=True,
            kind="Trade",
            stop_kind="",
            creator="CreateByUser",
            sequence=4688002127,
            ts_ms=1700000000500,
        ),
    )


def test_executions_that_are_no_trades():
    funding = af.EXECUTION | {"execType": "Funding", "orderId": "", "orderLinkId": "", "side": "", "execFee": "-0.02", "isMaker": False}
    adl = af.EXECUTION | {"execType": "AdlTrade", "side": "Sell", "orderLinkId": ""}
    found = read(af.frame("execution", funding, adl)).executions
    assert [(e.kind, e.side, e.fee) for e in found] == [("Funding", 0, -0.02), ("AdlTrade", -1, 0.149775)]
    assert read(af.frame("execution", af.EXECUTION, side="")).kind == ReportKind.MALFORMED  # a trade has a side


def test_several_fills_in_one_frame_with_one_sequence():
    rows = [af.EXECUTION | {"execId": f"id{n}"} for n in range(5)]
    assert [e.id for e in read(af.frame("execution", *rows)).executions] == [f"id{n}" for n in range(5)]


def test_execution_fast_is_not_used():
    # it has no fee, and no id of ours for maker fills: counting it too would count every fill twice
    assert read(af.frame("execution.fast", af.EXECUTION)).kind == ReportKind.OTHER


def test_a_position_and_a_flat_one():
    held, flat = read(af.frame("position", af.POSITION, af.FLAT)).positions
    assert held == Position("ETHUSDT", 1, 0.3, 2496.25, 2490.01, 0.0, 0.0, 5.0, 0.0, 2496.4, "Normal", 0, 8327597863, 1700000000501)
    assert flat == Position("ETHUSDT", 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, "Normal", 0, -1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"side": ""},
        {"side": "None"},
        {"size": ""},
        {"size": None},
        {"size": "-1"},
        {"size": 0.3},
        {"size": "nan"},
        {"size": "1e999"},
        {"symbol": ""},
        {"stopLoss": "x"},
    ],
)
def test_a_position_that_contradicts_itself_is_not_flat(changes):
    report = read(af.frame("position", af.POSITION, **changes))
    assert report.kind == ReportKind.MALFORMED and report.refused == 1 and not report.positions


def test_wallets():
    report = read(af.frame("wallet", af.WALLET, af.ISOLATED, af.WALLET | {"accountType": "FUND"}))
    assert report.wallets == (Wallet(10262.91, 9556.6, 9684.46, 1700000000600), Wallet(9000.5, 8550.0, 8800.0, 1700000000600))
    assert read(af.frame("wallet", af.ISOLATED, coin=[])).kind == ReportKind.MALFORMED  # no equity is not an equity of 0


def test_a_bad_row_does_not_take_the_good_ones_along():
    report = read(af.frame("order", af.ORDER | {"qty": ".1", "leavesQty": ".1"}, af.ORDER | {"qty": "."}))
    assert [state.qty for state in report.orders] == [0.1] and report.refused == 1
    report = read(af.frame("execution", af.EXECUTION, af.EXECUTION | {"execPrice": "NaN"}, af.EXECUTION | {"execId": "z"}))
    assert report.kind == ReportKind.EXECUTIONS and [e.id for e in report.executions] == [af.EXECUTION["execId"], "z"]
    assert report.refused == 1 and report.reason == "bad number" and "execPrice" in report.detail


@pytest.mark.parametrize("key", ["execPrice", "execQty"])
@pytest.mark.parametrize("value", [None, "", "0"])
def test_a_trade_without_price_or_quantity_is_no_trade_at_zero(key, value):
    """Its id would hide the row that REST has (schema drift of the fault simulation)."""
    report = read(af.frame("execution", af.EXECUTION | {key: value}))
    assert report.refused == 1 and not report.executions and key in report.detail
    funding = af.EXECUTION | {"execType": "Funding", "orderId": "", "orderLinkId": "", "side": ""}
    assert read(af.frame("execution", funding | {key: value})).executions


def test_other_markets_of_the_account_are_left_out():
    report = read(af.frame("order", af.ORDER, af.ORDER | {"category": "spot", "orderStatus": "PartiallyFilledCanceled", "positionIdx": "x"}))
    assert len(report.orders) == 1 and not report.refused
    assert read(af.frame("order.spot", af.ORDER)).kind == ReportKind.OTHER


def test_a_reply():
    report = read(af.REPLY)
    assert report.reply == OrderReply("c1f-1a2", "order.create", 0, "OK", af.ORDER["orderId"], "fade_k2x9-1a2", 1700000000300)


@pytest.mark.parametrize("left_out", [("reqId",), ("header",), ("data",), ("reqId", "op", "header", "data")])
def test_a_reply_may_lack_nearly_everything(left_out):
    report = read({k: v for k, v in af.REPLY.items() if k not in left_out} | {"retCode": 10005, "retMsg": "denied"})
    assert report.kind == ReportKind.REPLY and report.reply is not None and report.reply.code == 10005
    assert report.reply.request_id == ("" if "reqId" in left_out else "c1f-1a2")


@pytest.mark.parametrize(
    ("message", "kind", "operation"),
    [
        ({"success": True, "ret_msg": "", "op": "auth", "conn_id": "c"}, ReportKind.ACK, "auth"),
        ({"success": False, "ret_msg": "Params Error", "op": "auth", "conn_id": "c"}, ReportKind.ACK_FAILED, "auth"),
        ({"retCode": 0, "retMsg": "OK", "op": "auth", "connId": "c"}, ReportKind.ACK, "auth"),
        ({"retCode": 10004, "retMsg": "Invalid sign", "op": "auth", "connId": "c"}, ReportKind.ACK_FAILED, "auth"),
        ({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "c", "req_id": "sub"}, ReportKind.ACK, "subscribe"),
        ({"req_id": "ping-1", "op": "pong", "args": ["1675418560633"], "conn_id": "c"}, ReportKind.PONG, "pong"),
        ({"retCode": 0, "retMsg": "OK", "op": "pong", "data": ["1711002002529"], "connId": "c"}, ReportKind.PONG, "pong"),
        ({"success": True, "ret_msg": "pong", "conn_id": "c", "req_id": "x", "op": "ping"}, ReportKind.PONG, "ping"),
        ({"op": "greeting"}, ReportKind.OTHER, "greeting"),
        ({}, ReportKind.OTHER, ""),
    ],
)
def test_control_frames(message, kind, operation):
    report = read(message)
    assert (report.kind, report.operation) == (kind, operation)


def test_the_code_of_a_refused_auth_is_kept():
    assert read({"retCode": 10003, "retMsg": "Too many sessions", "op": "auth"}).code == 10003


def test_what_the_venue_repeats_of_a_bad_signature_is_masked():
    said = "error sign! origin_string[1658384314791Zk3xCanaryKey09aQp5000symbol=X]"
    for message in (
        af.REPLY | {"retCode": 10004, "retMsg": said},
        {"retCode": 10004, "retMsg": said, "op": "auth"},
        {"success": False, "ret_msg": said, "op": "auth"},
    ):
        assert "Zk3xCanaryKey09aQp" not in repr(read(message)), message


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "bad structure"),
        (b'"x"', "bad structure"),
        (b"null", "bad structure"),
        (b'{"topic":3}', "bad structure"),
        (b'{"topic":"order"}', "bad structure"),
        (b'{"topic":"order","data":{}}', "bad structure"),
        (b'{"topic":"order","data":[3]}', "bad structure"),
        (b'{"op":3}', "bad structure"),
        (b'{"op":"order.create","retCode":"x"}', "bad integer"),
        (b'{"topic":"order","data":' + b"[" * 5000 + b"]" * 5000 + b"}", "not JSON"),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', "too large"),
    ],
)
def test_rubbish(raw, reason):
    for form in (raw, bytearray(raw), memoryview(raw)):
        report = read_frame(form)
        assert report.kind == ReportKind.MALFORMED and report.reason == reason and len(report.detail) < 400


def test_unknown_order_status_is_refused_by_name():
    report = read(af.frame("order", af.ORDER, orderStatus="Frozen"))
    assert report.kind == ReportKind.MALFORMED and report.reason == "unknown order status" and "Frozen" in report.detail


SEEDS = [
    af.frame("order", af.ORDER),
    af.frame("execution", af.EXECUTION),
    af.frame("position", af.POSITION, af.FLAT),
    af.frame("wallet", af.WALLET, af.ISOLATED),
    af.REPLY,
    {"success": True, "op": "auth", "ret_msg": ""},
    {"type": "COMMAND_RESP", "success": True, "data": {"failTopics": 5, "successTopics": {}}},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(seed=st.sampled_from(range(len(SEEDS))), path=st.lists(st.integers(0, 60), max_size=4), value=JSON)
@settings(max_examples=300)
def test_a_frame_with_anything_anywhere_never_raises(seed, path, value):
    message = orjson.loads(orjson.dumps(SEEDS[seed]))
    at = message
    for step in path[:-1]:
        keys = list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else []
        if not keys or not isinstance(at[keys[step % len(keys)]], dict | list):
            break
        at = at[keys[step % len(keys)]]
    keys = list(at) if isinstance(at, dict) else list(range(len(at)))
    if path and keys:
        at[keys[path[-1] % len(keys)]] = value
    try:
        raw = orjson.dumps(message)
    except TypeError:
        return
    assert isinstance(read_frame(raw), Report)


def test_damaged_bytes_never_raise():
    rng = random.Random(4)
    raws = [orjson.dumps(message) for message in SEEDS]
    for _ in range(10_000):
        raw = bytearray(rng.choice(raws))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(raw))
            act = rng.randrange(3)
            if act == 0:
                raw[at] = rng.randrange(256)
            elif act == 1:
                del raw[at : at + rng.randrange(1, 20)]
            else:
                raw[at:at] = raw[at : at + rng.randrange(1, 20)]
            if not raw:
                break
        report = read_frame(raw)
        for number in (n for order in report.orders for n in (order.price, order.qty, order.executed, order.trigger, order.stop_loss)):
            assert 0.0 <= number < float("inf")


@pytest.mark.campaign
def test_campaign():
    """Injured frames and answers: nothing raises, no number is impossible."""
    seed = campaign_seed()
    rng = random.Random(seed)
    raws = [orjson.dumps(message) for message in SEEDS]
    lists = [
        (answers.parse_orders, orjson.dumps(af.listing(af.ORDER_REST))),
        (answers.parse_executions, orjson.dumps(af.listing(af.EXECUTION_REST))),
        (answers.parse_positions, orjson.dumps(af.listing(af.POSITION_REST))),
        (answers.parse_wallet, orjson.dumps(af.listing(af.WALLET))),
    ]
    count = usable = 0
    for _ in cases(3.0, gate=400):
        for _ in range(500):
            report = read_frame(mutate(rng.choice(raws), raws, rng))
            usable += report.kind < ReportKind.OTHER
            parse, raw = rng.choice(lists)
            found = parse(mutate(raw, raws, rng))
            assert found.ok == (found.value is not None)
            for row in (*report.orders, *report.executions, *report.positions):
                assert 0.0 <= row.qty < float("inf"), f"seed={seed} count={count}"
            count += 2
    print(f"campaign: seed={seed} inputs={count} usable={usable}")
    assert count >= 1000 and usable > 0


def test_what_is_sent():
    assert orjson.loads(private.subscribe_frame()) == {"req_id": "sub", "op": "subscribe", "args": ["order", "execution", "position", "wallet"]}
    assert orjson.loads(private.trade_ping(3)) == {"reqId": "ping-3", "op": "ping"}
