"""Every fault of the account side, against a raw client: what the client sees, and what is really so at the venue."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from desk_client import ENTRY, MARKET, NS, T0, DeskClient
from liqcore.event import EVENT_DTYPE, Kind
from liqshell.emulator.api.account_api import Ending, Response
from liqshell.emulator.api.faults import ACCOUNT, CONNECTION, PRIVATE, PUBLIC, REQUEST, Fault

LONG = {"duration_s": 1e6}
CANCEL = json.dumps({"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "x"})
CREATE = json.dumps({"category": "linear", "symbol": "BTCUSDT", **MARKET})
POSITIONS = "category=linear&symbol=BTCUSDT"
COVERED: set[str] = set()


def client_with(kind: str, **fault: Any) -> DeskClient:
    COVERED.add(kind)
    return DeskClient({"kind": kind, **LONG, **fault})


def silent(client: DeskClient, *order: Any, **fields: Any) -> None:
    with pytest.raises(AssertionError, match="no answer"):
        client.order(*order, seconds=1.0, **fields)


# ---- requests


@pytest.mark.parametrize(("kind", "booked"), [("lose_ack", True), ("lose_request", False)])
@pytest.mark.parametrize("channel", ["trade", "rest"])
def test_a_lost_answer_and_a_lost_request_look_the_same(kind: str, booked: bool, channel: str) -> None:
    client = client_with(kind, operation="create", channel=channel, count=1)
    trade = client.open("/v5/trade")
    if channel == "trade":
        silent(client, trade, "create", **MARKET)
    else:
        assert client.request("POST", "/v5/order/create", CREATE, seconds=1.0) is None
    assert client.held() == (0.01 if booked else 0.0)
    assert client.order(trade, "create", **MARKET)["retCode"] == 0  # once only
    assert client.faults.struck == {kind: 1}


@pytest.mark.parametrize("code", [10000, 10016, 10019])
@pytest.mark.parametrize("booked", [0.0, 1.0])
def test_an_error_after_which_nobody_knows(code: int, booked: float) -> None:
    client = client_with("error", code=code, booked=booked, operation="create")
    reply = client.order(client.open("/v5/trade"), "create", **MARKET)
    assert reply["retCode"] == code and reply["retMsg"] and reply["reqId"] and reply["data"] == {}
    assert client.rest("POST", "/v5/order/create", CREATE)["retCode"] == code
    assert client.held() == 0.02 * booked
    assert client.rest("GET", "/v5/position/list", POSITIONS)["retCode"] == 0


@pytest.mark.parametrize("status", [500, 502, 503, 403, 429])
@pytest.mark.parametrize("booked", [0.0, 1.0])
def test_http_errors(status: int, booked: float) -> None:
    client = client_with("http_error", code=status, booked=booked, operation="create")
    answer = client.request("POST", "/v5/order/create", CREATE)
    assert isinstance(answer, Response) and answer.status == status and client.held() == 0.01 * booked * (status != 403)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    assert client.order(client.open("/v5/trade"), "create", **MARKET)["retCode"] == 0  # no HTTP there
    assert client.request("GET", "/v5/market/time", signed=False).status == 200  # type: ignore[union-attr]


@pytest.mark.parametrize("with_header", [True, False])
def test_rate_limit_with_and_without_the_reset_header(with_header: bool) -> None:
    client = client_with("rate_limit", operation="create", reset_header=with_header)
    reply = client.order(client.open("/v5/trade"), "create", **MARKET)
    answer = client.request("POST", "/v5/order/create", CREATE)
    assert reply["retCode"] == 10006 and isinstance(answer, Response) and json.loads(answer.body)["retCode"] == 10006
    for headers in (reply["header"], answer.headers):
        assert ("X-Bapi-Limit-Reset-Timestamp" in headers) == with_header
    assert client.held() == 0.0


def test_a_slow_server_lets_the_window_pass() -> None:
    client = client_with("slow_server", delay_s=6.0, operation="create")
    trade = client.open("/v5/trade")
    assert client.order(trade, "create", seconds=7.0, **MARKET)["retCode"] == 10002
    assert json.loads(client.request("POST", "/v5/order/create", CREATE, seconds=7.0).body)["retCode"] == 10002  # type: ignore[union-attr]
    client.quote("BTCUSDT", 68_000.0)  # the one from the start has ended meanwhile
    wide = {"X-BAPI-TIMESTAMP": str(client.utc_ms()), "X-BAPI-RECV-WINDOW": "20000"}
    assert client.order(trade, "create", seconds=7.0, header=wide, **MARKET)["retCode"] == 0
    assert client.held() == 0.01


def test_the_stream_tells_before_the_answer() -> None:
    client = client_with("late_ack", delay_s=0.5, operation="create")
    trade, private = client.open("/v5/trade"), client.private("order")
    silent_until = client.now
    assert client.order(trade, "create", seconds=1.0, **MARKET)["retCode"] == 0
    told = [at for at, to, _ in client.said if to is private and at > silent_until]
    answered = [at for at, to, what in client.said if to is trade and b"order.create" in what]
    assert max(told) < answered[0] - NS // 4


def test_refusals_without_req_id() -> None:
    client = client_with("no_req_id")
    reply = client.order(client.open("/v5/trade"), "cancel", orderLinkId="x")
    assert reply["retCode"] == 110001 and "reqId" not in reply


def test_a_stop_that_is_refused() -> None:
    client = client_with("reject_stop", code=110017)
    trade = client.open("/v5/trade")
    assert client.order(trade, "create", **MARKET, stopLoss="67000")["retCode"] == 110017 and client.held() == 0.0
    assert client.order(trade, "create", **MARKET)["retCode"] == 0
    assert (
        client.rest(
            "POST",
            "/v5/position/trading-stop",
            {"category": "linear", "symbol": "BTCUSDT", "stopLoss": "67000", "tpslMode": "Full", "positionIdx": 0},
        )["retCode"]
        == 110017
    )
    conditional = MARKET | {"side": "Sell", "triggerPrice": "67000", "triggerDirection": 2, "reduceOnly": True}
    assert client.order(trade, "create", **conditional)["retCode"] == 110017
    assert client.orders() == []


def test_a_stop_that_is_forgotten() -> None:
    client = client_with("drop_stop")
    trade = client.open("/v5/trade")
    assert client.order(trade, "create", **MARKET, stopLoss="67000", tpslMode="Full")["retCode"] == 0
    assert client.held() == 0.01 and client.orders() == []  # in, and naked
    assert (
        client.rest(
            "POST",
            "/v5/position/trading-stop",
            {"category": "linear", "symbol": "BTCUSDT", "stopLoss": "67000", "tpslMode": "Full", "positionIdx": 0},
        )["retCode"]
        == 0
    )
    conditional = MARKET | {"side": "Sell", "triggerPrice": "67000", "triggerDirection": 2, "reduceOnly": True, "orderLinkId": "s"}
    assert client.order(trade, "create", **conditional)["data"]["orderLinkId"] == "s"
    assert client.orders() == []


def test_stale_rest() -> None:
    client = client_with("stale_rest", delay_s=5.0, at_s=10.0)
    client.wait(9.0)
    client.order(client.open("/v5/trade"), "create", **MARKET)
    client.wait(2.0)

    def size() -> float:
        return float(client.rest("GET", "/v5/position/list", POSITIONS)["result"]["list"][0]["size"] or 0)

    assert size() == 0.0 and client.held() == 0.01
    client.wait(5.0)
    assert size() == 0.01


# ---- the private stream


def test_private_frames_late_lost_and_twice() -> None:
    client = client_with("duplicate_private", topic="execution")
    trade, private = client.open("/v5/trade"), client.private()
    client.order(trade, "create", **MARKET)
    executions = client.rows(private, "execution")
    assert len(executions) == 2 and executions[0] == executions[1] and len(client.rows(private, "position")) == 1

    client = client_with("lose_private", topic="order")
    trade, private = client.open("/v5/trade"), client.private()
    client.order(trade, "create", **MARKET)
    assert client.rows(private, "order") == [] and len(client.rows(private, "execution")) == 1

    client = client_with("delay_private", delay_s=1.0)
    trade, private = client.open("/v5/trade"), client.private()
    client.order(trade, "create", **MARKET)
    assert client.frames(private) == []
    client.wait(1.1)
    assert [frame["topic"] for frame in client.frames(private)] == ["order", "execution", "position", "wallet"]


def test_private_frames_out_of_order() -> None:
    client = client_with("reorder_private", jitter_s=0.5)
    trade, private = client.open("/v5/trade"), client.private("order")
    for _ in range(4):
        client.order(trade, "create", **ENTRY)
        client.order(trade, "create", **MARKET)
    client.wait(1.0)
    times = [frame["creationTime"] for frame in client.frames(private)]
    assert len(times) == 8 and times != sorted(times)


def test_execution_before_the_order() -> None:
    client = client_with("execution_first", delay_s=0.3)
    trade, private = client.open("/v5/trade"), client.private("order", "execution")
    client.order(trade, "create", **MARKET)
    client.wait(1.0)
    assert [frame["topic"] for frame in client.frames(private)] == ["execution", "order"]


def test_two_filled() -> None:
    client = client_with("double_filled")
    trade, private = client.open("/v5/trade"), client.private("order")
    client.order(trade, "create", **MARKET)
    first, second = client.rows(private, "order")
    assert first["orderStatus"] == second["orderStatus"] == "Filled" and first["cancelType"] != "CancelByUser"
    assert second["cancelType"] == "CancelByUser" and second["rejectReason"] == "EC_OrigClOrdIDDoesNotExist"
    assert client.rest("GET", "/v5/order/history", POSITIONS)["result"]["list"][0]["rejectReason"] == first["rejectReason"]


@pytest.mark.parametrize(("flip", "status"), [(False, "Cancelled"), (True, "Rejected")])
def test_post_only_ends_as_cancelled_or_rejected(flip: bool, status: str) -> None:
    client = client_with("post_only_rejected", probability=float(flip))
    trade, private = client.open("/v5/trade"), client.private("order")
    assert client.order(trade, "create", **ENTRY | {"price": "68100.0"})["retCode"] == 0  # accepted, then refused on the stream
    last = client.rows(private, "order")[-1]
    assert last["orderStatus"] == status and last["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"


def test_empty_numbers() -> None:
    def zeros(client: DeskClient) -> set[str]:
        trade, private = client.open("/v5/trade"), client.private()
        client.order(trade, "create", **ENTRY)
        return {name for frame in client.frames(private) for row in frame["data"] for name, value in row.items() if value in ("0", "0.0")}

    assert zeros(client_with("empty_numbers")) == {"createdTime", "cumExecQty", "size"} and len(zeros(DeskClient())) > 15


def test_damaged_private_frames() -> None:
    client = client_with("garbage_private")
    trade, private = client.open("/v5/trade"), client.private()
    for _ in range(5):
        client.order(trade, "create", **MARKET)
    told = [what for _, to, what in client.said if to is private]
    good = [what for what in told if what.startswith(b'{"id":')]
    assert len(good) == 5 * 4 and len(told) - len(good) > 10


# ---- connections


def test_drop_of_one_channel() -> None:
    client = client_with("drop", channel="private", at_s=5.0)
    trade, private = client.open("/v5/trade"), client.private()
    client.wait(6.0)
    assert [(to, what) for _, to, what in client.said if isinstance(what, Ending)] == [(private, Ending.RESET)]
    assert client.order(trade, "create", **MARKET)["retCode"] == 0 and client.frames(private) == []


@pytest.mark.parametrize("booked", [0.0, 1.0])
def test_a_drop_with_an_order_on_its_way(booked: float) -> None:
    client = client_with("drop", on_order=2, booked=booked)
    trade = client.open("/v5/trade")
    assert client.order(trade, "create", **MARKET)["retCode"] == 0
    silent(client, trade, "create", **MARKET)
    assert client.held() == 0.01 + 0.01 * booked and not trade.alive


@pytest.mark.parametrize("booked", [0.0, 1.0])
def test_half_open(booked: float) -> None:
    client = client_with("half_open", at_s=5.0, booked=booked, duration_s=20.0)
    trade, private = client.open("/v5/trade"), client.private()
    client.wait(6.0)
    silent(client, trade, "create", **MARKET)
    client.send(private, {"op": "ping"})
    client.wait(10.0)
    assert client.held() == 0.01 * booked and client.frames(private) == [] and trade.alive
    other = client.open("/v5/trade")
    assert client.order(other, "cancel", orderLinkId="x")["retCode"] == 110001
    client.wait(10.0)
    assert client.order(trade, "create", **MARKET)["retCode"] == 0  # it can come back


def test_a_stall_says_everything_at_once_and_in_order() -> None:
    client = client_with("stall", at_s=5.0, duration_s=10.0, channel="private")
    trade, private = client.open("/v5/trade"), client.private("order")
    client.wait(6.0)
    for _ in range(3):
        client.order(trade, "create", **MARKET)
    assert client.frames(private) == []
    client.wait(10.0)
    times = [frame["creationTime"] for frame in client.frames(private)]
    assert len(times) == 3 and times == sorted(times)


def test_refuse() -> None:
    client = client_with("refuse", at_s=5.0, duration_s=10.0)
    client.wait(6.0)
    assert client.desk.connect("/v5/private", client.now) is None and client.desk.turned_away == 1
    assert client.rest("GET", "/v5/market/time", signed=False)["retCode"] == 0
    client.wait(10.0)
    assert client.open("/v5/private")
    client = client_with("refuse", channel="rest")
    assert client.open("/v5/private") and client.request("GET", "/v5/market/time", signed=False) is Ending.RESET


def test_maintenance_keeps_the_orders() -> None:
    client = client_with("maintenance", at_s=5.0, duration_s=3_600.0)
    trade = client.open("/v5/trade")
    client.order(trade, "create", **ENTRY)
    client.wait(6.0)
    assert [what for _, _, what in client.said if isinstance(what, Ending)] == [Ending.CLOSE]
    assert client.desk.connect("/v5/trade", client.now) is None
    answer = client.request("GET", "/v5/order/realtime", POSITIONS)
    assert isinstance(answer, Response) and answer.status == 503
    client.wait(3_600.0)
    assert len(client.rest("GET", "/v5/order/realtime", POSITIONS)["result"]["list"]) == 1 and client.open("/v5/trade")


@pytest.mark.parametrize(("backward", "late"), [(False, 6.0), (True, 1.5)])
def test_a_clock_that_is_wrong(backward: bool, late: float) -> None:
    client = client_with("clock_skew", delay_s=late, backward=backward, at_s=1.0, duration_s=10.0)
    stamp = client.utc_ms
    client.utc_ms = lambda: stamp() - client.desk.times.skew_ns // 1_000_000  # type: ignore[method-assign]
    client.wait(2.0)
    assert client.rest("GET", "/v5/position/list", POSITIONS)["retCode"] == 10002
    shown = int(client.rest("GET", "/v5/market/time", signed=False)["result"]["timeNano"])
    assert abs(shown - client.now - (-1 if backward else 1) * int(late * NS)) < NS // 10  # and the venue shows it
    client.wait(10.0)
    assert client.rest("GET", "/v5/position/list", POSITIONS)["retCode"] == 0


# ---- the account


def entered(client: DeskClient, side: str = "Buy") -> Any:
    trade = client.open("/v5/trade")
    stop = "67000" if side == "Buy" else "69000"
    assert client.order(trade, "create", **MARKET | {"side": side, "stopLoss": stop, "tpslMode": "Full"})["retCode"] == 0
    return trade


@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_deleveraged_liquidated_and_traded_by_hand(side: str) -> None:
    sign = 1 if side == "Buy" else -1
    for kind, kept, word in (("adl", 0.005, "AdlTrade"), ("manual_trade", 0.005, "Trade"), ("liquidate", 0.0, "BustTrade")):
        client = client_with(kind, at_s=5.0, share=0.5)
        private = client.private()
        entered(client, side)
        client.wait(6.0)
        client.quote("BTCUSDT", 68_001.0)
        client.wait()
        assert client.held() == pytest.approx(sign * kept), kind
        last = client.rows(private, "execution")[-1]
        assert last["execType"] == word and last["orderLinkId"] == "" and last["side"] == ("Sell" if side == "Buy" else "Buy")


@pytest.mark.parametrize("fault", [{"share": 0.33}, {"share": 0.0001}, {"share": 1.0, "halted": True}])
def test_a_person_who_asks_for_what_the_venue_does_not_take_ends_nothing(fault: dict[str, Any]) -> None:
    """A share of the position that is no whole number of lots, and a contract that is halted: the whole emulator ended."""
    halted = fault.pop("halted", False)
    client = client_with("manual_trade", at_s=5.0, **fault)
    entered(client)
    if halted:
        client.desk.faults.add({"kind": "halt", "duration_s": 100.0})
    client.wait(6.0)
    client.quote("BTCUSDT", 68_001.0)
    client.wait()
    assert client.held() == pytest.approx(0.01 if halted else 0.01 - max(0.001, round(0.01 * fault["share"], 3)))


def test_a_person_opens_a_position() -> None:
    client = client_with("manual_trade", at_s=5.0, symbol="BTCUSDT")
    private = client.private("order")
    client.wait(6.0)
    assert client.held() > 0.0 and [row["orderLinkId"] for row in client.rows(private, "order")] == [""]


def test_stops_that_the_venue_cancels() -> None:
    client = client_with("cancel_stops", at_s=5.0)
    entered(client)
    assert len(client.orders()) == 1
    client.wait(6.0)
    assert client.orders() == [] and client.held() == 0.01


def test_a_partly_executed_entry_that_is_cancelled() -> None:
    client = DeskClient({"kind": "cancel_rest", **LONG}, venue={"fills": "queue", "hidden": "none"})  # queue fills can be partial
    trade, private = client.open("/v5/trade"), client.private("order")
    assert client.order(trade, "create", **ENTRY | {"qty": "1"})["retCode"] == 0
    sell_through(client, 67_900.0, 0.4)
    last = client.rows(private, "order")[-1]
    assert last["orderStatus"] == "Cancelled" and 0.4 <= float(last["cumExecQty"]) < 1.0 and client.orders() == []
    assert client.held() == pytest.approx(float(last["cumExecQty"]))


def sell_through(client: DeskClient, price: float, qty: float) -> None:
    """The bid falls to a price, and so much is sold there."""
    client.quote("BTCUSDT", price, size=0.0)
    rows = np.zeros(1, EVENT_DTYPE)
    rows["ts_event"] = rows["ts_recv"] = client.now
    rows["kind"], rows["price"], rows["qty"], rows["side"] = int(Kind.TRADE), price, qty, -1
    client.desk.on_events(rows)
    client.wait(0.1)


def test_a_symbol_that_stops_trading() -> None:
    client = client_with("halt", symbol="BTCUSDT", at_s=5.0, duration_s=10.0)
    trade = client.open("/v5/trade")
    client.wait(6.0)
    assert client.order(trade, "create", **MARKET)["retCode"] == 110074
    assert client.order(trade, "create", **MARKET | {"symbol": "ETHUSDT", "qty": "0.1"})["retCode"] == 0
    client.wait(10.0)
    assert client.order(trade, "create", **MARKET)["retCode"] == 0


def test_scripts_begin_when_they_say() -> None:
    client = DeskClient(
        {"kind": "lose_request", "on_order": 2, "count": 1, **LONG}, {"kind": "error", "code": 10016, "at_s": 3.0, "duration_s": 1.0, "booked": 0}
    )
    trade = client.open("/v5/trade")
    assert client.order(trade, "cancel", orderLinkId="x")["retCode"] == 110001
    silent(client, trade, "cancel", orderLinkId="x")
    client.wait(T0 / NS + 3.5 - client.now / NS)
    assert client.order(trade, "cancel", orderLinkId="x")["retCode"] == 10016
    client.wait(1.0)
    assert client.order(trade, "cancel", orderLinkId="x")["retCode"] == 110001
    assert [one["kind"] for one in client.faults.fired] == ["lose_request", "error"]
    for spec, words in (
        ({"kind": "lose_ack", "channel": "x"}, "channel"),
        ({"kind": "lose_ack", "operation": "buy"}, "operation"),
        ({"kind": "adl", "symbol": 5}, "symbol"),
        ({"kind": "rate_limit", "reset_header": 1}, "reset_header"),
        ({"kind": "drop", "at_s": 1, "on_order": 1}, "not both"),
    ):
        with pytest.raises(ValueError, match=words):
            Fault.of(spec)


def test_every_fault_of_the_account_side_is_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    missing = [kind for kind in CONNECTION | REQUEST | PRIVATE | ACCOUNT if f'"{kind}"' not in source]
    assert not missing and not set(PUBLIC) & COVERED
