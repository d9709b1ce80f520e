"""Requests of an account to the emulated venue, by REST and on the order-entry websocket: checks, limits, faults, the exchange, the answer."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import orjson

from liqshell.emulator.api.account_faults import MESSAGES, TOO_MANY, Plan, operation_of
from liqshell.emulator.api.types import AccountHost, Ending, OrderAnswer, Request, Response
from liqshell.emulator.exchange.exchange import BATCH_MAX
from liqshell.emulator.exchange.keys import BAD_PARAMETER, PERMISSION, Key, Refusal, check_rest
from liqshell.emulator.exchange.rate_limits import Room

UNKNOWN_ROUTE = 10017
FORBIDDEN = "access too frequent"
KEY_PATH = "/v5/user/query-api"
OPERATION = {f"/v5/order/{name}": f"order.{name}" for name in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")}
PATH = {operation: path for path, operation in OPERATION.items()}
ORDERS = ("create", "amend", "cancel", "stop")
JSON = {"Content-Type": "application/json"}


class OrderRequests:
    """Requests of one desk."""

    def __init__(self, desk: AccountHost) -> None:
        self.desk = desk
        self._traces = 0

    # ---- the order-entry websocket ----

    def trade(self, key: Key, op: str, args: list[Any], utc: bool, now_ns: int) -> OrderAnswer | None:
        """An order operation that has passed the checks of its connection; None: its answer is lost. utc: the client stamps UTC."""
        desk = self.desk
        room, args, left_out = self._room(key, PATH[op], args, now_ns)
        if not room.granted:
            return OrderAnswer(TOO_MANY, MESSAGES[TOO_MANY], {}, {}, self.headers(room, now_ns, utc))
        plan = desk.interference.plan("trade", operation_of("POST", PATH[op]), _each(args), now_ns)
        code, message, data, extra = self._act(plan, op, args, left_out, key, now_ns)
        if not plan.answer:
            return None
        if not code:
            desk.answered[op] += 1
        return OrderAnswer(code, message, data, extra, self.headers(room, now_ns, utc, plan), plan.late_s)

    def _room(self, key: Key, path: str, args: Sequence[Any], now_ns: int) -> tuple[Room, list[Any], int]:
        """(what the rate limit leaves, the arguments that it lets through, how many orders of a batch it does not): a batch draws a unit an order."""
        limits, batch = self.desk.limits, path.endswith("-batch")
        orders = args[0].get("request") if batch and args and isinstance(args[0], Mapping) else None
        if not isinstance(orders, list) or not 1 <= len(orders) <= BATCH_MAX:  # refused as a whole, whatever the limit leaves
            return limits.endpoint(key.uid, path, now_ns), list(args), 0
        room = limits.endpoint(key.uid, path, now_ns, len(orders))
        return room, [{**args[0], "request": orders[: room.granted]}], len(orders) - room.granted

    def _act(self, plan: Plan, op: str, args: list[Any], left_out: int, key: Key, now_ns: int) -> tuple[int, str, dict[str, Any], dict[str, Any]]:
        """Do it, as far as the faults let us; -> retCode, retMsg, data, retExtInfo."""
        code, message = 0, "OK"
        data: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        if plan.forget:
            data = {"orderId": "", "orderLinkId": str(args[0].get("orderLinkId", ""))}
        elif plan.act:
            code, message, data, extra = self.desk.exchange.order(op, args, key.account, now_ns)
            if left_out and "list" in extra:
                data = {**data, "list": [*data.get("list", []), *({} for _ in range(left_out))]}
                extra = {**extra, "list": [*extra["list"], *({"code": TOO_MANY, "msg": MESSAGES[TOO_MANY]} for _ in range(left_out))]}
        if plan.code is not None:
            return plan.code, MESSAGES.get(plan.code, "error"), {}, {}
        return code, message, data, extra

    def headers(self, room: Room | None, now_ns: int, utc: bool, plan: Plan | None = None) -> dict[str, str]:
        """The header of an answer, in the client's clock."""
        self._traces += 1
        times = self.desk.times
        out = {"Traceid": f"{self._traces:032x}", "Timenow": str(times.stamp(now_ns, utc))}
        if room is not None:
            out |= {"X-Bapi-Limit": str(room.limit), "X-Bapi-Limit-Status": str(room.left)}
            if plan is None or plan.reset_header:
                out["X-Bapi-Limit-Reset-Timestamp"] = str(times.stamp(room.reset_ns, utc))
        return out

    # ---- REST ----

    def rest(self, ticket: Hashable, request: Request, now_ns: int) -> None:
        """A request that has been received."""
        desk, faults = self.desk, self.desk.faults
        if faults.active("maintenance", now_ns):
            desk.answer(ticket, Response(503, dict(JSON), b"<html>Service Unavailable</html>"), now_ns)
        elif faults.named("refuse", now_ns, "rest"):
            desk.turned_away += 1
            desk.answer(ticket, Ending.RESET, now_ns)
        elif not _encodable(request.path + request.query):
            desk.answer(ticket, Response(400, dict(JSON), b"<html>Bad Request</html>"), now_ns)
        elif not desk.limits.ip(request.ip, now_ns):
            desk.refused[403] += 1
            desk.answer(ticket, Response(403, dict(JSON), orjson.dumps({"retCode": 10018, "retMsg": FORBIDDEN})), now_ns)
        else:
            operation = operation_of(request.method, request.path)
            if operation in ORDERS and not desk.arrived(now_ns):
                return
            wait_s = desk.interference.arrival("rest", operation, now_ns)
            if wait_s is None:
                return
            if wait_s:
                desk.later(now_ns + desk.times.wall(wait_s), self._look, ticket, request)
            else:
                self._look(ticket, request, now_ns)

    def _look(self, ticket: Hashable, request: Request, now_ns: int) -> None:
        """The moment at which the venue looks at a request: its time and signature are judged now."""
        desk = self.desk
        utc = False
        extra: dict[str, Any] = {}
        try:
            if request.path.startswith("/v5/market/") and desk.market is not None:
                plan = desk.interference.plan("rest", operation_of(request.method, request.path), (), now_ns)
                room, (code, message, result) = None, desk.market(request.path, request.query, now_ns + desk.times.skew_ns)
            else:
                headers = {name.lower(): value for name, value in request.headers.items()}
                text = request.query if request.method == "GET" else request.body.decode("utf-8", "surrogateescape")
                key, utc = check_rest(desk.keys, headers, text, request.ip, desk.times, now_ns)
                plan, room, (code, message, result), extra = self._signed(request, key, utc, now_ns)
        except Refusal as refusal:
            plan, room, result = Plan(), None, {}
            code, message, utc = refusal.code, refusal.message.encode("utf-8", "replace").decode(), refusal.utc
            if refusal.status != 200:
                plan.status = refusal.status
        if not plan.answer:
            return
        if plan.code is not None:
            code, message, result, extra = plan.code, MESSAGES.get(plan.code, "error"), {}, {}
        if code:
            desk.refused[code] += 1
        else:
            desk.answered[request.path] += 1
        body = orjson.dumps({"retCode": code, "retMsg": message, "result": result, "retExtInfo": extra, "time": desk.times.stamp(now_ns, utc)})
        if plan.status is not None:
            body = body if plan.status == 401 else b"<html>" + str(plan.status).encode() + b"</html>"
        answer = Response(plan.status or (404 if code == UNKNOWN_ROUTE else 200), {**JSON, **self.headers(room, now_ns, utc, plan)}, body)
        desk.answer(ticket, answer, now_ns, plan.late_s)
        desk.publish(now_ns)

    def _signed(self, request: Request, key: Key, utc: bool, now_ns: int) -> tuple[Plan, Room, tuple[int, str, object], dict[str, Any]]:
        """A request whose signature is right: (what the faults make of it, the rate limit, the exchange's answer, retExtInfo)."""
        desk, path = self.desk, request.path
        op = OPERATION.get(path) if request.method == "POST" else None
        args: list[Any] = []
        if request.method == "POST":
            try:
                args = [orjson.loads(request.body or b"{}")]
            except orjson.JSONDecodeError:
                raise Refusal(BAD_PARAMETER, "params error: the body is not JSON", utc=utc) from None
            if not key.trade:
                raise Refusal(PERMISSION, MESSAGES[PERMISSION], utc=utc)
        room, args, left_out = self._room(key, path, args, now_ns)
        if not room.granted:
            return Plan(), room, (TOO_MANY, MESSAGES[TOO_MANY], {}), {}
        plan = desk.interference.plan("rest", operation_of(request.method, path), _each(args), now_ns)
        if op is not None and isinstance(args[0], dict):
            code, message, data, extra = self._act(plan, op, args, left_out, key, now_ns)
            return plan, room, (code, message, data), extra
        if not plan.act or plan.forget:
            return plan, room, (0, "OK", {}), {}
        if path == KEY_PATH and request.method == "GET":
            return plan, room, (0, "", key.describe(desk.times.stamp(now_ns, utc))), {}
        body = orjson.dumps(args[0]) if args else request.body
        stale = desk.faults.strike("stale_rest", now_ns, "rest") if request.method == "GET" else None
        desk.exchange.stale_ns = int(stale.delay_s * 1e9) if stale else 0
        code, message, result = desk.exchange.rest(request.method, path, request.query, body, key.account, now_ns)
        desk.exchange.stale_ns = 0
        extra = result.pop("retExtInfo", {}) if isinstance(result, dict) else {}
        return plan, room, (code, message, result), extra


def _encodable(text: str) -> bool:
    """Whether an address is text at all: bytes that are none come as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _each(args: Sequence[Any]) -> list[Any]:
    """The orders of a request, whether one or a batch."""
    first = args[0] if args and isinstance(args[0], Mapping) else {}
    batch = first.get("request")
    return batch if isinstance(batch, list) else list(args)
