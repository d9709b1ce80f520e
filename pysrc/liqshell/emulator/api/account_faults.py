"""Faults of requests and of the private stream, applied at a place common to the socket server and a simulation.

The module has no socket and no clock: it decides the faults of a request (`plan`) and of a private frame (`deliveries`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liqshell.emulator.api.faults import Fault, Faults

STOP_REFUSED = 110093
TOO_MANY = 10006
MESSAGES = {
    10000: "Server Timeout",
    10003: "API key is invalid.",
    10004: "error sign!",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits! Exceeded the API Rate Limit.",
    10010: "Unmatched IP",
    10016: "Internal server error.",
    10019: "Service is restarting, please reconnect.",
    10429: "System level frequency protection",
    110093: "expect Falling, but trigger_price is wrong",
    110079: "The order is processing and can not be operated, please try again later.",
}
OPERATION_OF_PATH = {
    "/v5/order/create": "create",
    "/v5/order/create-batch": "create",
    "/v5/order/amend": "amend",
    "/v5/order/amend-batch": "amend",
    "/v5/order/cancel": "cancel",
    "/v5/order/cancel-batch": "cancel",
    "/v5/order/cancel-all": "cancel",
    "/v5/position/trading-stop": "stop",
}
REFUSED_BEFORE = (401, 403, 404)  # a gateway in front of the venue says so: the request has gone no further
STOP_FIELDS = ("stopLoss", "takeProfit", "trailingStop", "triggerPrice")
ATTACHED = ("stopLoss", "takeProfit", "slTriggerBy", "tpTriggerBy", "tpslMode", "slOrderType", "tpOrderType", "slLimitPrice", "tpLimitPrice")
# not numbers, though they may look so
NOT_EMPTIED = {
    "positionIdx",
    "createdTime",
    "updatedTime",
    "execTime",
    "seq",
    "orderId",
    "execId",
    "orderLinkId",
    "triggerDirection",
    "adlRankIndicator",
    "autoAddMargin",
    "smpGroup",
    "riskId",
    "tradeMode",
    "size",
    "qty",
    "leavesQty",
    "cumExecQty",
    "execQty",
    "execPrice",
}
GARBAGE = (
    b"{",
    b'{"topic":"order","data":[{',
    b"[]",
    b'""',
    b"null",
    b"\xff\xfe\x00",
    b'{"topic":"order","data":{}}',
    b'{"topic":"order","data":[7]}',
    b'{"topic":"execution","data":[{"execQty":"NaN","execPrice":"Infinity","symbol":"BTCUSDT"}]}',
    b'{"topic":"position","data":[{"size":"-1e999"}]}',
    b'{"topic":"wallet"}',
    b'{"op":"auth"}',
    b"[" * 5000,
    b'{"topic":"order","id":' + b"9" * 400 + b"}",
)


def operation_of(method: str, path: str) -> str:
    """The word of a fault's `operation` for a REST request."""
    return OPERATION_OF_PATH.get(path, "query" if method == "GET" else "set")


@dataclass(slots=True)
class Plan:
    """The faults planned for a request. act: the exchange gets it. answer: the client gets an answer. code: the answer's retCode instead of the
    exchange's. status: of HTTP. late_s: wall seconds that the answer waits. forget: acknowledged, but nothing is done."""

    act: bool = True
    answer: bool = True
    code: int | None = None
    status: int | None = None
    late_s: float = 0.0
    reset_header: bool = True
    forget: bool = False


class Interference:
    """The faults as they meet one account's traffic."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def arrival(self, channel: str, operation: str, now_ns: int) -> float | None:
        """Wall seconds until a request is looked at; None: it never arrives."""
        faults = self.faults
        if faults.strike("lose_request", now_ns, channel, operation):
            return None
        slow = faults.strike("slow_server", now_ns, channel, operation)
        return self._wait(slow) if slow else 0.0

    def plan(self, channel: str, operation: str, args: Sequence[Any], now_ns: int) -> Plan:
        """The planned faults of a valid request. args: what it asks for (JSON objects); an attached stop may be taken out of them."""
        faults, plan = self.faults, Plan()
        if faults.quiet:
            return plan
        if fault := faults.strike("rate_limit", now_ns, channel, operation):
            return Plan(act=False, code=TOO_MANY, reset_header=fault.reset_header)
        if fault := faults.strike("http_error", now_ns, channel, operation) if channel == "rest" else None:
            plan.act, plan.status = fault.code not in REFUSED_BEFORE and faults.happens(fault.booked), fault.code or 503
        elif fault := faults.strike("error", now_ns, channel, operation):
            plan.act, plan.code = faults.happens(fault.booked), fault.code or 10016
        if operation in ("create", "amend", "stop") and any(_about_stop(operation, one) for one in args):
            if fault := faults.strike("reject_stop", now_ns, channel, operation):
                plan.act, plan.code = False, fault.code or STOP_REFUSED
            elif faults.strike("drop_stop", now_ns, channel, operation):
                plan.forget = not _strip(args)
        if faults.strike("lose_ack", now_ns, channel, operation):
            plan.answer = False
        if fault := faults.strike("late_ack", now_ns, channel, operation):
            plan.late_s = self._wait(fault)
        return plan

    def _wait(self, fault: Fault) -> float:
        return fault.delay_s + (fault.jitter_s * self.faults.random.random() if fault.jitter_s else 0.0)

    def deliveries(self, topic: str, rows: list[dict[str, Any]], now_ns: int) -> "list[PrivateMessage]":
        """The messages that the private stream sends for one message: usually itself."""
        faults = self.faults
        if faults.quiet:
            return [PrivateMessage(topic, rows)]
        if faults.strike("lose_private", now_ns, topic=topic):
            return []
        rows = self._rewritten(topic, rows, now_ns)
        out = [PrivateMessage(topic, rows)]
        if topic == "order":
            if faults.strike("execution_first", now_ns, topic=topic) and (fault := faults.active("execution_first", now_ns)):
                out[0].wait_s = self._wait(fault)
                out[0].ordered = False
            filled = [row for row in rows if row.get("orderStatus") == "Filled"]
            if filled and faults.strike("double_filled", now_ns, topic=topic):
                again = {"cancelType": "CancelByUser", "rejectReason": "EC_OrigClOrdIDDoesNotExist"}
                out.append(PrivateMessage(topic, [row | again for row in filled], out[0].wait_s, out[0].ordered))
        if faults.strike("duplicate_private", now_ns, topic=topic):
            out += [PrivateMessage(one.topic, one.rows, one.wait_s, one.ordered) for one in out]
        if fault := faults.strike("delay_private", now_ns, topic=topic):
            wait = self._wait(fault)
            for one in out:
                one.wait_s += wait
        if fault := faults.strike("reorder_private", now_ns, topic=topic):
            for one in out:
                one.wait_s += (fault.jitter_s or 0.5) * faults.random.random()
                one.ordered = False
        if faults.strike("garbage_private", now_ns, topic=topic):
            out.insert(faults.random.randrange(len(out) + 1), PrivateMessage("", GARBAGE[faults.random.randrange(len(GARBAGE))]))
        return out

    def _rewritten(self, topic: str, rows: list[dict[str, Any]], now_ns: int) -> list[dict[str, Any]]:
        faults = self.faults
        refused = [row.get("rejectReason") == "EC_PostOnlyWillTakeLiquidity" for row in rows]
        if topic == "order" and any(refused) and faults.strike("post_only_rejected", now_ns, topic=topic):
            other = {"Cancelled": "Rejected", "Rejected": "Cancelled"}
            rows = [
                row | {"orderStatus": other.get(row["orderStatus"], row["orderStatus"])} if post_only else row
                for row, post_only in zip(rows, refused, strict=True)
            ]
        if faults.strike("empty_numbers", now_ns, topic=topic):
            rows = [_emptied(row) for row in rows]
        return rows


@dataclass(slots=True)
class PrivateMessage:
    """A private message on its way: rows of JSON objects, or damaged bytes. ordered: it may not overtake earlier messages."""

    topic: str
    rows: list[dict[str, Any]] | bytes
    wait_s: float = 0.0
    ordered: bool = True


def _about_stop(operation: str, one: Any) -> bool:
    """Whether a request places or moves a stop."""
    if not isinstance(one, Mapping):
        return False
    return operation == "stop" or any(str(one.get(name) or "0").strip("0.") for name in STOP_FIELDS)


def _strip(args: Sequence[Any]) -> bool:
    """Take attached stops out; False where the request was for nothing else."""
    stripped = False
    for one in args:
        if isinstance(one, dict) and not one.get("triggerPrice") and (one.get("side") and one.get("qty")):
            for name in ATTACHED:
                one.pop(name, None)
            stripped = True
    return stripped


def _emptied(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: ""
        if isinstance(value, str) and name not in NOT_EMPTIED and value and not value.strip("0.")
        else [_emptied(one) if isinstance(one, dict) else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in row.items()
    }
