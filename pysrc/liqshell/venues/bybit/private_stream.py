"""Frames of Bybit's private stream and of its order-entry socket, to venues/reports.py. Pure functions, no sockets; nothing is ever raised.

Facts that a reader of these reports has to know: two FILLED reports of one order are legal (a cancel that raced a fill); CANCELLED and REJECTED may
have executions; a post-only order that would have taken is CANCELLED or REJECTED with reason EC_PostOnlyWillTakeLiquidity after a reply that said 0;
positions are pushed at every order, changed or not; nothing is sent on subscribing, so the state after a (re)connect has to be asked by REST.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

from liqshell.venues.bybit import rows
from liqshell.venues.bybit.decoder import control_frame
from liqshell.venues.bybit.rows import Refused
from liqshell.venues.frames import FRAME_BYTES_MAX, FrameKind, shown
from liqshell.venues.reports import Execution, OrderReply, OrderState, Position, Wallet

PRIVATE_TOPICS = ("order", "execution", "position", "wallet")
POST_ONLY_WOULD_TAKE = "EC_PostOnlyWillTakeLiquidity"
_CATEGORY = "linear"
# of a known kind and not used: execution.fast has no fee and, for maker fills, none of our ids
_OTHER_TOPICS = frozenset(("execution.fast", "greeks", "dcp.future", "dcp", "order.spot", "order.inverse", "order.option"))


class ReportKind(IntEnum):
    """The kind of a frame."""

    ORDERS = 1
    EXECUTIONS = 2
    POSITIONS = 3
    WALLETS = 4
    REPLY = 5  # to an order request
    ACK = 6  # auth or subscribe succeeded: see operation
    ACK_FAILED = 7
    PONG = 8
    OTHER = 9  # well-formed and not for us
    MALFORMED = 10


@dataclass(frozen=True, slots=True)
class Report:
    """One frame. Of the tuples at most one is filled; `reply` for REPLY only.

    refused: unreadable rows of the frame, which are NOT in the tuple: their content must be queried. reason: of MALFORMED, OTHER and
    refused rows, one of a small set of words, for counters; detail: for people. operation, req_id, code, message: of ACK and ACK_FAILED.
    ts_ms: the venue's time of the frame, 0 where it has none.
    """

    kind: ReportKind
    orders: tuple[OrderState, ...] = ()
    executions: tuple[Execution, ...] = ()
    positions: tuple[Position, ...] = ()
    wallets: tuple[Wallet, ...] = ()
    reply: OrderReply | None = None
    refused: int = 0
    reason: str = ""
    detail: str = ""
    operation: str = ""
    req_id: str = ""
    code: int = 0
    message: str = ""
    ts_ms: int = 0


def read_frame(frame: bytes | bytearray | memoryview | str) -> Report:
    """One message of either socket."""
    size = len(frame) if not isinstance(frame, memoryview) else frame.nbytes
    if size > FRAME_BYTES_MAX:
        return Report(ReportKind.MALFORMED, reason="too large", detail=f"{size} bytes, at most {FRAME_BYTES_MAX} are read")
    try:
        message = orjson.loads(frame)
    except (orjson.JSONDecodeError, TypeError, BufferError):
        return Report(ReportKind.MALFORMED, reason="not JSON", detail=shown(bytes(frame[:60]) if not isinstance(frame, str) else frame[:60]))
    if type(message) is not dict:
        return Report(ReportKind.MALFORMED, reason="bad structure", detail=f"expected an object, got {shown(message)}")
    try:
        return _topic(message) if "topic" in message else _answer(message)
    except Refused as why:
        return Report(ReportKind.MALFORMED, reason=why.args[0], detail=why.args[1])


def _topic(message: dict[str, Any]) -> Report:
    name = message["topic"]
    if type(name) is not str:
        raise Refused("bad structure", f"topic: expected text, got {shown(name)}")
    stem, _, category = name.partition(".")
    if name in _OTHER_TOPICS or stem not in _READERS or category not in ("", _CATEGORY):
        return Report(ReportKind.OTHER, reason=f"topic {name}" if name in _OTHER_TOPICS else "unknown topic", detail=shown(name))
    data = message.get("data")
    if type(data) is not list:
        raise Refused("bad structure", f"data: expected an array, got {shown(data)}")
    ts_ms = rows.digits(message.get("creationTime"))
    out: list[Any] = []
    faults: list[Refused] = []
    for row in data:
        try:
            if type(row) is not dict:
                raise Refused("bad structure", f"data[]: expected an object, got {shown(row)}")
            if row.get("category", _CATEGORY) == _CATEGORY and row.get("accountType", "UNIFIED") == "UNIFIED":  # the rest is another market's
                out.append(_READERS[stem](row, ts_ms))
        except Refused as why:
            faults.append(why)
    reason, detail = faults[0].args if faults else ("", "")
    if faults and not out:
        return Report(ReportKind.MALFORMED, refused=len(faults), reason=reason, detail=detail, ts_ms=ts_ms)
    found: dict[str, Any] = {f"{stem}s": tuple(out)}
    return Report(_KINDS[stem], refused=len(faults), reason=reason, detail=detail, ts_ms=ts_ms, **found)


_READERS: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "order": lambda row, ts_ms: rows.order_state(row),
    "execution": lambda row, ts_ms: rows.execution_report(row),
    "position": lambda row, ts_ms: rows.position(row),
    "wallet": rows.wallet,
}
_KINDS = {"order": ReportKind.ORDERS, "execution": ReportKind.EXECUTIONS, "position": ReportKind.POSITIONS, "wallet": ReportKind.WALLETS}
_CONTROL = {FrameKind.ACK: ReportKind.ACK, FrameKind.ACK_FAILED: ReportKind.ACK_FAILED, FrameKind.PONG: ReportKind.PONG}


def _answer(message: dict[str, Any]) -> Report:
    """A frame without a topic. Some rejections come without reqId, or even without op (absent or ""): they are a REPLY with request_id "", so that
    the order is queried."""
    request = message.get("request")  # repeated by some refusals, which then have no op of their own
    operation = message.get("op", request.get("op") if type(request) is dict else None)
    if operation is not None and type(operation) is not str:
        raise Refused("bad structure", f"op: expected text, got {shown(operation)}")
    if operation and operation.startswith("order.") or not operation and "retCode" in message:
        return Report(ReportKind.REPLY, reply=_reply(message, operation or ""))
    frame = control_frame(message)
    kind = _CONTROL.get(frame.kind, ReportKind.OTHER)
    code = message.get("retCode", 0)
    message_text = rows.message_text(message.get("retMsg", message.get("ret_msg", "")))
    detail = "" if kind in (ReportKind.ACK, ReportKind.ACK_FAILED) else frame.detail  # theirs is the unmasked message
    return Report(
        kind,
        reason=frame.reason,
        detail=detail or message_text,
        operation=(operation or "")[: rows.TEXT_MAX],
        req_id=frame.req_id,
        code=code if type(code) is int else 0,
        message=message_text,
    )


def _reply(message: dict[str, Any], operation: str) -> OrderReply:
    code = message.get("retCode")
    if type(code) is not int:
        raise Refused("bad integer", f"retCode: expected an integer, got {shown(code)}")
    data, header = message.get("data"), message.get("header")
    data = data if type(data) is dict else {}
    limits = {name.lower(): value for name, value in header.items()} if type(header) is dict else {}
    return OrderReply(
        request_id=rows.text(message, "reqId"),
        operation=operation[: rows.TEXT_MAX],
        code=code,
        message=rows.message_text(message.get("retMsg")),
        order_id=rows.text(data, "orderId"),
        link_id=rows.text(data, "orderLinkId"),
        reset_ms=rows.digits(limits.get("x-bapi-limit-reset-timestamp")),
    )


def subscribe_frame(topics: Sequence[str] = PRIVATE_TOPICS, req_id: str = "sub") -> bytes:
    """Topics of /v5/private. All-in-one topics and those of one category must be in separate requests."""
    return orjson.dumps({"req_id": req_id, "op": "subscribe", "args": list(topics)})


def trade_ping(sequence: int) -> bytes:
    """Due every bybit.PING_INTERVAL_S."""
    return orjson.dumps({"reqId": f"ping-{sequence}", "op": "ping"})
