"""REST of a Bybit account: what is sent, what is believed of the answers, and the table of result codes."""

import json
from urllib.parse import parse_qsl

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import account_frames as af
from liqcore.event import REQUEST_DTYPE, Action, OrderType, RequestFlag
from liqcore.instrument import Instrument
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit import rest_responses as answers
from liqshell.venues.bybit.error_codes import CODES, HTTP, http_outcome, meaning, outcome
from liqshell.venues.bybit.orders import order_encoder
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.effects import Call
from liqshell.venues.outcome import Asked, Outcome

WRITES = [Asked.CREATE, Asked.AMEND, Asked.CANCEL, Asked.STOP, Asked.SETTING]


def bytes_of(message: object) -> bytes:
    return orjson.dumps(message)


def body(made: Request) -> dict:
    assert made.method == "POST" and not made.query
    return json.loads(made.body)


def query(made: Request) -> dict:
    assert made.method == "GET" and not made.body
    return dict(parse_qsl(made.query, strict_parsing=bool(made.query)))


@pytest.mark.parametrize(("side", "word", "direction"), [(1, "Buy", 1), (-1, "Sell", 2)])
def test_created_orders(side, word, direction):
    plain = body(bybit_rest.create("ETHUSDT", "r-1", side, "0.80", "2496.25", post_only=True, stop_loss="2490.01"))
    assert plain == {
        "category": "linear",
        "symbol": "ETHUSDT",
        "orderLinkId": "r-1",
        "side": word,
        "orderType": "Limit",
        "qty": "0.80",
        "price": "2496.25",
        "timeInForce": "PostOnly",
        "stopLoss": "2490.01",
        "slTriggerBy": "LastPrice",
        "tpslMode": "Full",
        "positionIdx": 0,
    }
    stop = body(bybit_rest.create("ETHUSDT", "r-2", side, "0.80", trigger="2490.01", reduce_only=True))
    assert stop == {
        "category": "linear",
        "symbol": "ETHUSDT",
        "orderLinkId": "r-2",
        "side": word,
        "orderType": "Market",
        "qty": "0.80",
        "triggerPrice": "2490.01",
        "triggerDirection": direction,
        "triggerBy": "LastPrice",
        "reduceOnly": True,
        "closeOnTrigger": True,
        "positionIdx": 0,
    }
    close = body(bybit_rest.create("ETHUSDT", "r-3", side, "0", reduce_only=True))
    assert close["reduceOnly"] is close["closeOnTrigger"] is True and close["qty"] == "0" and close["orderType"] == "Market"
    assert "closeOnTrigger" not in body(bybit_rest.create("ETHUSDT", "r-3", side, "0.1", "2500", reduce_only=True))


def test_what_changes_something():
    assert body(bybit_rest.amend("ETHUSDT", "r-1", stop_loss="0")) == {
        "category": "linear",
        "symbol": "ETHUSDT",
        "orderLinkId": "r-1",
        "stopLoss": "0",
    }
    assert body(bybit_rest.cancel("ETHUSDT", "r-1")) == {"category": "linear", "symbol": "ETHUSDT", "orderLinkId": "r-1"}
    assert body(bybit_rest.cancel("ETHUSDT", "r-1", "77")) == {"category": "linear", "symbol": "ETHUSDT", "orderId": "77"}
    assert body(bybit_rest.trading_stop("ETHUSDT", stop_loss="2490.01")) == {
        "category": "linear",
        "symbol": "ETHUSDT",
        "tpslMode": "Full",
        "stopLoss": "2490.01",
        "slTriggerBy": "LastPrice",
        "positionIdx": 0,
    }
    assert body(bybit_rest.trading_stop("ETHUSDT", stop_loss="0", trailing="5.5", activation="2510"))["trailingStop"] == "5.5"
    assert body(bybit_rest.set_leverage("ETHUSDT", "5"))["buyLeverage"] == body(bybit_rest.set_leverage("ETHUSDT", "5"))["sellLeverage"] == "5"


@pytest.mark.parametrize(
    ("values", "made"),
    [
        (
            {"flags": RequestFlag.POST_ONLY, "stop": 650000},
            bybit_rest.create("BTCUSDT", "r1-123", 1, "0.020", "65114.20", post_only=True, stop_loss="65000.00"),
        ),
        ({"side": -1}, bybit_rest.create("BTCUSDT", "r1-123", -1, "0.020", "65114.20")),
        ({"side": -1, "flags": RequestFlag.REDUCE_ONLY}, bybit_rest.create("BTCUSDT", "r1-123", -1, "0.020", "65114.20", reduce_only=True)),
        (
            {"type": OrderType.ORDER_MARKET, "price": 0, "flags": RequestFlag.REDUCE_ONLY},
            bybit_rest.create("BTCUSDT", "r1-123", 1, "0.020", reduce_only=True),
        ),
        *(
            (
                {"side": side, "type": OrderType.ORDER_STOP_MARKET, "flags": RequestFlag.REDUCE_ONLY},
                bybit_rest.create("BTCUSDT", "r1-123", side, "0.020", trigger="65114.20", reduce_only=True),
            )
            for side in (1, -1)
        ),
        ({"action": Action.ACTION_AMEND, "qty": 0}, bybit_rest.amend("BTCUSDT", "r1-123", price="65114.20")),
        ({"action": Action.ACTION_AMEND, "price": 0}, bybit_rest.amend("BTCUSDT", "r1-123", qty="0.020")),
        ({"action": Action.ACTION_AMEND, "type": OrderType.ORDER_STOP_MARKET, "qty": 0}, bybit_rest.amend("BTCUSDT", "r1-123", trigger="65114.20")),
        ({"action": Action.ACTION_CANCEL}, bybit_rest.cancel("BTCUSDT", "r1-123")),
    ],
)
def test_an_order_is_the_same_over_rest_and_over_the_socket(values, made):
    row = np.zeros(1, REQUEST_DTYPE)
    for name, value in {
        "id": 0x123,
        "price": 651142,
        "qty": 20,
        "side": 1,
        "action": Action.ACTION_CREATE,
        "type": OrderType.ORDER_LIMIT,
        **values,
    }.items():
        row[name] = value
    encoder = order_encoder("r1", [Instrument("BTCUSDT", tick_size="0.10", lot_size="0.001")])
    message = json.loads(encoder.encode(row[0], 1_711_001_595_207))
    assert message["args"] == [body(made)] and made.path == "/v5/" + message["op"].replace(".", "/")


def test_what_asks():
    assert query(bybit_rest.open_orders()) == {"category": "linear", "settleCoin": "USDT", "openOnly": "0", "limit": "50"}
    assert query(bybit_rest.order_now("ETHUSDT", "r-1")) == {"category": "linear", "symbol": "ETHUSDT", "orderLinkId": "r-1"}
    assert query(bybit_rest.order_past("ETHUSDT", "r-1", "77"))["orderId"] == "77"
    assert query(bybit_rest.executions(1, 2, symbol="ETHUSDT")) == {
        "category": "linear",
        "symbol": "ETHUSDT",
        "startTime": "1",
        "endTime": "2",
        "limit": "100",
    }
    assert query(bybit_rest.executions(0))["startTime"] == "0"
    assert query(bybit_rest.positions())["limit"] == "200" and "settleCoin" not in query(bybit_rest.positions("ETHUSDT"))
    assert query(bybit_rest.wallet()) == {"accountType": "UNIFIED"} and bybit_rest.key_info().query == ""
    assert query(bybit_rest.instruments())["limit"] == "1000" and "status" not in query(bybit_rest.instruments("ETHUSDT"))


def test_a_cursor_goes_back_as_it_came():
    # the venue hands it out quoted; quoting it again asks for a page that does not exist
    came = "page_args%3Dfd4300ae-7847-404e-b947-b46980a4d140%26symbol%3D6%26"
    assert bybit_rest.open_orders(cursor=came).query.endswith("&cursor=" + came)
    assert bybit_rest.open_orders(cursor="a&b c#\u00e9").query.endswith("&cursor=a%26b%20c%23%C3%A9")


def test_a_request_fits_into_a_call():
    made = bybit_rest.executions(5)
    call = Call(7, *made[:4], weight=made.weight)
    assert (call.number, call.method, call.path, call.query, call.body, call.weight) == (7, *made)
    everything = [bybit_rest.server_time(), bybit_rest.fee_rates(), bybit_rest.set_leverage("X", "1"), bybit_rest.cancel("X", "y"), made]
    assert [one.weight for one in everything] == ["market", "fees", "setting", "order", "query"]


def test_lists():
    orders = answers.parse_orders(bytes_of(af.listing(af.ORDER_REST, af.ORDER_REST, cursor="next%3D1")))
    assert orders.ok and len(orders.value) == 2 and orders.cursor == "next%3D1" and orders.ts_ms == 1700000000700
    executions = answers.parse_executions(bytes_of(af.listing(af.EXECUTION_REST)))
    assert executions.value[0].id == af.EXECUTION["execId"]
    held, flat = answers.parse_positions(bytes_of(af.listing(af.POSITION_REST, af.POSITION_REST | {"side": "", "size": "0", "avgPrice": "0"}))).value
    assert held.entry == 2496.25 and (flat.side, flat.qty) == (0, 0.0)
    wallet = answers.parse_wallet(bytes_of(af.listing(af.WALLET)))
    assert wallet.value.equity == 10262.91 and wallet.value.updated_ms == 1700000000700
    assert answers.parse_orders(bytes_of(af.listing())).value == () == answers.parse_orders(bytes_of(af.envelope({"list": None}))).value
    assert answers.parse_orders(bytes_of(af.listing(cursor="c" * 4096))).cursor == "c" * 4096
    assert not answers.parse_orders(bytes_of(af.listing(cursor="c" * 4097))).ok
    empty = answers.parse_orders(bytes_of(af.listing(af.ORDER_REST, reduceOnly=None, orderType="UNKNOWN"))).value[0]
    assert not empty.reduce_only and not empty.market


@pytest.mark.parametrize(
    ("parse", "message"),
    [
        (answers.parse_positions, af.listing(af.POSITION_REST, af.POSITION_REST | {"size": None})),
        (answers.parse_orders, af.listing(af.ORDER_REST, af.ORDER_REST | {"orderStatus": "Frozen"})),
        (answers.parse_executions, af.listing(af.EXECUTION_REST, af.EXECUTION_REST | {"execId": ""})),
        (answers.parse_orders, af.envelope({"list": {}})),
        (answers.parse_orders, af.envelope({"list": [3]})),
        (answers.parse_orders, af.envelope(None)),
        (answers.parse_orders, af.envelope({"category": "inverse", "list": []})),
        (answers.parse_wallet, af.listing()),
        (answers.parse_wallet, af.listing(af.WALLET, af.WALLET)),
        (answers.parse_server_time, af.envelope({})),
        (answers.parse_positions, [1]),
        (answers.parse_fee_rates, af.listing({"symbol": "X", "makerFeeRate": "", "takerFeeRate": "0.0005"})),
        (answers.parse_positions, {"retCode": "0", "result": {"list": []}}),
        (answers.parse_key_info, af.envelope(af.KEY_INFO | {"readOnly": 7})),
        (answers.parse_key_info, af.envelope({k: v for k, v in af.KEY_INFO.items() if k != "permissions"})),
    ],
)
def test_an_answer_with_one_unreadable_row_is_no_answer(parse, message):
    found = parse(bytes_of(message))
    assert not found.ok and found.value is None and found.reason


def test_a_failed_query_says_what_the_venue_said():
    found = answers.parse_positions(bytes_of(af.envelope({}, 10006, "Too many visits!")))
    assert (found.ok, found.code, found.value) == (False, 10006, None) and "10006" in found.reason and "Too many visits" in found.reason


@pytest.mark.parametrize("raw", [b"", b"<html>502</html>", b"{", b"null", b"\xff", b"[" * 100_000])
def test_what_is_not_an_answer(raw):
    found = answers.parse_positions(raw)
    assert not found.ok and found.code == answers.NO_CODE and len(found.reason) < 300


def test_key_info():
    key = answers.parse_key_info(bytes_of(af.envelope(af.KEY_INFO))).value
    assert key.may_trade and not key.may_withdraw and key.ips == ("203.0.113.7",) and key.expires == "2027-02-15T03:13:24Z" and key.unified
    assert "Zk3xCanaryKey09aQp" not in repr(key)

    def with_(**changes):
        return answers.parse_key_info(bytes_of(af.envelope(af.KEY_INFO | changes))).value

    rights = af.KEY_INFO["permissions"]
    assert not with_(readOnly=1).may_trade and not with_(permissions={}).may_trade
    assert not with_(permissions=rights | {"ContractTrade": ["Position"], "Derivatives": []}).may_trade
    assert with_(permissions=rights | {"Derivatives": []}).may_trade
    assert with_(permissions=rights | {"Wallet": ["AccountTransfer", "Withdraw"]}).may_withdraw
    assert with_(permissions=rights | {"Wallet": ["AccountTransfer"]}).may_transfer == ("AccountTransfer",)
    assert with_(ips=["*"], expiredAt="1970-01-01T00:00:00Z").ips == () and with_(expiredAt="1970-01-01T00:00:00Z").expires == ""


def test_the_small_facts():
    fees = answers.parse_fee_rates(bytes_of(af.listing({"symbol": "ETHUSDT", "makerFeeRate": "-0.00005", "takerFeeRate": "0.00055"}))).value
    assert (fees[0].maker, fees[0].taker) == (-0.00005, 0.00055)
    assert (
        answers.parse_server_time(bytes_of(af.envelope({"timeSecond": "1700000000", "timeNano": "1700000000123456789"}))).value == 1700000000123456789
    )
    assert answers.parse_server_time(bytes_of(af.envelope({"timeSecond": "1700000000", "timeNano": ""}))).value == 1700000000 * 10**9
    switches = [{"product": "SPOT", "dcpStatus": "ON", "timeWindow": "10"}, {"product": "DERIVATIVES", "dcpStatus": "OFF", "timeWindow": "10"}]
    assert answers.parse_dcp_info(bytes_of(af.envelope({"dcpInfos": switches}))).value == {"SPOT": 10.0}
    info = answers.parse_account_info(bytes_of(af.envelope({"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6}))).value
    assert (info.margin, info.unified) == ("REGULAR_MARGIN", 6)


def test_when_the_rate_limit_begins_anew():
    headers = {"X-Bapi-Limit": "10", "x-bapi-limit-status": "9", "X-BAPI-LIMIT-RESET-TIMESTAMP": "1700000000300"}
    assert answers.reset_ms(headers) == 1700000000300
    # the venue leaves them out, sometimes exactly where they are wanted
    assert (
        answers.reset_ms({})
        == answers.reset_ms({"X-Bapi-Limit-Reset-Timestamp": "soon"})
        == answers.reset_ms({"X-Bapi-Limit-Reset-Timestamp": "-1"})
        == 0
    )


@pytest.mark.parametrize(
    ("status", "raw", "asked", "expected"),
    [
        (200, af.envelope({"orderId": "1", "orderLinkId": "r-1"}), Asked.CREATE, Outcome.ACCEPTED),
        (200, af.envelope({}, 110007, "ab not enough"), Asked.CREATE, Outcome.REJECTED),
        (200, af.envelope({}, 4711, "?"), Asked.CREATE, Outcome.UNKNOWN),
        (500, af.envelope({}, 110001, "?"), Asked.CANCEL, Outcome.GONE),
        (200, None, Asked.CREATE, Outcome.UNKNOWN),
        (0, None, Asked.CREATE, Outcome.UNKNOWN),
        (502, None, Asked.CANCEL, Outcome.UNKNOWN),
        (503, None, Asked.STOP, Outcome.UNKNOWN),
        (429, None, Asked.CREATE, Outcome.UNKNOWN),
        (403, None, Asked.CREATE, Outcome.LATER),
        (401, None, Asked.CREATE, Outcome.FATAL),
        (404, None, Asked.CREATE, Outcome.FATAL),
        (0, None, Asked.QUERY, Outcome.LATER),
        (302, None, Asked.CREATE, Outcome.UNKNOWN),
    ],
)
def test_judgement_of_an_answer(status, raw, asked, expected):
    verdict = answers.interpret_reply(status, b"<html>" if raw is None and status else b"" if raw is None else bytes_of(raw), asked)
    assert verdict.outcome == expected and verdict.message
    assert verdict.order_id == ("1" if expected == Outcome.ACCEPTED else "")


def test_a_bad_signature_does_not_leak_the_key():
    said = "error sign! please check your signature generation algorithm. origin_string[1658384314791Zk3xCanaryKey09aQp5000a=b]"
    for found in (
        answers.interpret_reply(200, bytes_of(af.envelope({}, 10004, said)), Asked.CREATE),
        answers.parse_orders(bytes_of(af.envelope({}, 10004, said))),
    ):
        assert "Zk3xCanary" not in repr(found) and "origin_string[redacted]" in repr(found)


# The table, against venues.md 3.4 row by row. What a row says for one request must not be assumed of another.
DOCUMENTED = [
    (0, Asked.CREATE, Outcome.ACCEPTED),
    (10000, Asked.CREATE, Outcome.UNKNOWN),
    (10001, Asked.CREATE, Outcome.REJECTED),
    (10002, Asked.CREATE, Outcome.CLOCK),
    (10003, Asked.CREATE, Outcome.FATAL),
    (10004, Asked.CREATE, Outcome.FATAL),
    (10005, Asked.CREATE, Outcome.FATAL),
    (10010, Asked.CREATE, Outcome.FATAL),
    (10006, Asked.CREATE, Outcome.LATER),
    (10014, Asked.CREATE, Outcome.UNKNOWN),
    (10016, Asked.CREATE, Outcome.UNKNOWN),
    (10019, Asked.CREATE, Outcome.UNKNOWN),
    (429, Asked.CREATE, Outcome.UNKNOWN),
    (10017, Asked.CREATE, Outcome.FATAL),
    (10027, Asked.CREATE, Outcome.FATAL),
    (10029, Asked.CREATE, Outcome.FATAL),
    (110001, Asked.CANCEL, Outcome.GONE),
    (110001, Asked.AMEND, Outcome.GONE),
    *[(code, Asked.CREATE, Outcome.REPRICE) for code in (110003, 110120, 110121, 30208, 30209)],
    *[
        (code, Asked.CREATE, Outcome.REJECTED)
        for code in (110004, 110006, 110007, 110012, 110044, 110045, 110009, 110020, 110061, 110092, 110093, 110094, 110118, 110108, 110109)
    ],
    (110008, Asked.CANCEL, Outcome.GONE),
    (110010, Asked.CANCEL, Outcome.GONE),
    (110017, Asked.CREATE, Outcome.DONE),
    (110034, Asked.CREATE, Outcome.DONE),
    (110034, Asked.CANCEL, Outcome.UNKNOWN),
    (110072, Asked.CREATE, Outcome.LANDED),
    (110030, Asked.CREATE, Outcome.LANDED),
    *[(code, Asked.SETTING, Outcome.DONE) for code in (110043, 110025, 110026, 34040)],
    (34040, Asked.STOP, Outcome.DONE),
    *[(code, Asked.CREATE, Outcome.HALT_SYMBOL) for code in (110074, 110042, 110063, 30228)],
    (110079, Asked.CANCEL, Outcome.LATER),
    (10403, Asked.CREATE, Outcome.LATER),
    (10404, Asked.CREATE, Outcome.FATAL),
    (20003, Asked.CREATE, Outcome.LATER),
    (20006, Asked.CREATE, Outcome.UNKNOWN),
    (20001, Asked.AUTH, Outcome.DONE),
]


@pytest.mark.parametrize(("code", "asked", "expected"), DOCUMENTED)
def test_the_table(code, asked, expected):
    assert outcome(code, asked) == expected
    assert meaning(code) != "not listed"


@given(code=st.integers(-(10**6), 10**6), asked=st.sampled_from(WRITES))
@settings(max_examples=200)
def test_an_unlisted_code_is_never_a_refusal(code, asked):
    if code not in CODES:
        assert outcome(code, asked) == Outcome.UNKNOWN and outcome(code, Asked.QUERY) == Outcome.LATER


def test_laws_of_the_table():
    definite = {Outcome.REJECTED, Outcome.REPRICE, Outcome.LATER, Outcome.CLOCK, Outcome.HALT_SYMBOL, Outcome.FATAL}
    for code in CODES:
        assert outcome(code, Asked.QUERY) != Outcome.UNKNOWN  # a question has no outcome that could be unknown
        # of an order to be created nothing may be concluded from "no such order", and a duplicate was not refused: it is there
        assert outcome(code, Asked.CREATE) != Outcome.GONE
        assert outcome(code, Asked.CANCEL) not in (Outcome.LANDED, Outcome.REPRICE) or code in (170141, 110003, 110120, 110121, 30208, 30209)
    assert all(outcome(code, Asked.CREATE) not in definite for code in (10000, 10014, 10016, 10019, 429, 10429, 20006, 110079))
    assert {int(Asked.CREATE), int(Asked.AMEND), int(Asked.CANCEL)} == {Action.ACTION_CREATE, Action.ACTION_AMEND, Action.ACTION_CANCEL}
    for status in range(600):
        assert status in HTTP or http_outcome(status, Asked.CREATE) == Outcome.UNKNOWN


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["retCode", "result", "list", "time", *af.ORDER, *af.POSITION, *af.WALLET, *af.KEY_INFO]), inner, max_size=5
            )
        ),
    )
)
@settings(max_examples=200)
def test_no_parser_ever_raises(message):
    try:
        raw = orjson.dumps({"retCode": 0, "result": message, "time": 1})
    except TypeError:
        return
    for name in dir(answers):
        if name.startswith("parse_"):
            found = getattr(answers, name)(raw)
            assert found.ok == (found.value is not None) and (found.ok or found.reason)
