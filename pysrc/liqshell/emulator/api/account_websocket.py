"""One websocket of an account as the venue sees it: /v5/private (the stream) and /v5/trade (order entry). JSON in, JSON out; no sockets.

What a request means for the account is the AccountApi's business; here is the protocol around it: who is who, the shapes of the answers, the
refusals that come before the exchange is asked. The two paths answer in different shapes, as the real ones do.
"""

from collections import deque
from typing import Any

import orjson

from liqshell.emulator.api.account_faults import operation_of
from liqshell.emulator.api.order_requests import PATH, OrderRequests
from liqshell.emulator.api.types import AccountHost
from liqshell.emulator.exchange.keys import BAD_PARAMETER, KEY_INVALID, PERMISSION, Key, Refusal, check_auth, check_window
from liqshell.emulator.exchange.rate_limits import Rolling

TOPICS = ("order", "execution", "execution.fast", "position", "wallet", "greeks", "dcp", "dcp.future")
CATEGORIES = ("linear", "inverse", "spot", "option")
BY_CATEGORY = {f"{topic}.{category}" for topic in ("order", "execution", "execution.fast", "position") for category in CATEGORIES}
REPEATED_AUTH, TOO_FREQUENT, DUPLICATE_ID, IP_TOO_FREQUENT, UNKNOWN_OPERATION = 20001, 20003, 20006, 10403, 10404
REQUEST_ID_CHARS_MAX = 36
IDS_KEPT = 20_000
REQUESTS_PER_S = 500  # on one order-entry connection


class Session:
    """One connection. Made by AccountApi.connect; `frozen_until` and `alive` are the AccountApi's."""

    kind = ""

    def __init__(self, desk: AccountHost, intake: OrderRequests, conn_id: str, ip: str, idle_s: float) -> None:
        self.desk, self.intake, self.conn_id, self.ip, self.idle_s = desk, intake, conn_id, ip, idle_s
        self.key: Key | None = None
        self.utc = True  # the client stamps UTC, not market time
        self.topics: set[str] = set()
        self.alive = True
        self.frozen_until = 0
        self.due_ns = 0  # of the last frame on its way: later ones do not overtake it
        self.read_ns = 0  # when the client last said something

    def receive(self, data: bytes, now_ns: int) -> None:
        """One text message of the client."""
        try:
            request = orjson.loads(data)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            self.malformed(now_ns)
        else:
            self.request(request, str(request.get("op", "")), now_ns)

    def request(self, request: dict[str, Any], op: str, now_ns: int) -> None:
        """A JSON object of the client."""
        raise NotImplementedError

    def malformed(self, now_ns: int) -> None:
        """The answer to a text that is not a JSON object."""
        raise NotImplementedError

    def authenticate(self, args: object, now_ns: int) -> tuple[int, str]:
        """Sign in: (retCode, what speaks against it)."""
        try:
            self.key, self.utc = check_auth(self.desk.keys, args, self.desk.times, now_ns)
        except Refusal as refusal:
            self.desk.refused[refusal.code] += 1
            return refusal.code, refusal.message
        return 0, ""

    def reply(self, body: dict[str, Any], now_ns: int, wait_s: float = 0.0) -> None:
        """Send an answer after the configured delay."""
        self.desk.answer(self, orjson.dumps(body), now_ns, wait_s)


class PrivateSession(Session):
    """/v5/private."""

    kind = "private"

    def malformed(self, now_ns: int) -> None:
        """As the venue does."""
        self.reply({"success": False, "ret_msg": "Invalid JSON", "conn_id": self.conn_id, "op": ""}, now_ns)

    def request(self, request: dict[str, Any], op: str, now_ns: int) -> None:
        """ping, auth, subscribe, unsubscribe."""
        req_id, args = request.get("req_id"), request.get("args") or []
        echo = {} if req_id is None else {"req_id": req_id}
        if op == "ping":
            self.reply({**echo, "op": "pong", "args": [str(self.desk.times.stamp(now_ns, self.utc))], "conn_id": self.conn_id}, now_ns)
            return
        problem = ""
        if op == "auth":
            problem = "Repeated authentication" if self.key is not None else self.authenticate(args, now_ns)[1]
        elif op in ("subscribe", "unsubscribe"):
            problem = self._subscribe(op, args)
        else:
            problem = f"error:request not supported,op:{op}"
        self.reply({"success": not problem, "ret_msg": problem, "op": op, "conn_id": self.conn_id, **echo}, now_ns)

    def _subscribe(self, op: str, args: object) -> str:
        if self.key is None:
            return "Request not authorized"
        if not isinstance(args, list) or not args or not all(isinstance(topic, str) for topic in args):
            return "error:args invalid"
        for topic in args:
            if topic not in TOPICS and topic not in BY_CATEGORY:
                return f"error:handler not found,topic:{topic}"
        if any(topic in BY_CATEGORY for topic in args) and any(topic in TOPICS for topic in args):
            return "error:all-in-one and per-category topics cannot be in one request"
        if op == "subscribe":
            self.topics.update(args)  # no snapshot follows: what is so now has to be asked by REST
        else:
            self.topics.difference_update(args)
        return ""


class TradeSession(Session):
    """/v5/trade."""

    kind = "trade"

    def __init__(self, desk: AccountHost, intake: OrderRequests, conn_id: str, ip: str, idle_s: float) -> None:
        super().__init__(desk, intake, conn_id, ip, idle_s)
        self._ids: set[str] = set()
        self._kept: deque[str] = deque()
        self._rate = Rolling(REQUESTS_PER_S)

    def malformed(self, now_ns: int) -> None:
        """As the venue does."""
        self.refuse({}, "", BAD_PARAMETER, "params error: invalid JSON", now_ns)

    def request(self, request: dict[str, Any], op: str, now_ns: int) -> None:
        """ping, auth, and the order operations."""
        echo = {} if request.get("reqId") is None else {"reqId": request["reqId"]}
        if op == "ping":
            stamp = str(self.desk.times.stamp(now_ns, self.utc))
            self.reply({**echo, "retCode": 0, "retMsg": "OK", "op": "pong", "data": [stamp], "connId": self.conn_id}, now_ns)
        elif op == "auth":
            code, why = (REPEATED_AUTH, "Repeat auth") if self.key is not None else self.authenticate(request.get("args"), now_ns)
            self.reply({**echo, "retCode": code, "retMsg": why or "OK", "op": "auth", "connId": self.conn_id}, now_ns)
        else:
            if not self.desk.arrived(now_ns, self):
                return
            wait_s = self.desk.interference.arrival("trade", operation_of("POST", PATH.get(op, "")), now_ns)
            if wait_s:
                self.desk.later(now_ns + self.desk.times.wall(wait_s), self._order, request, echo, op)
            elif wait_s is not None:
                self._order(request, echo, op, now_ns)

    def _order(self, request: dict[str, Any], echo: dict[str, Any], op: str, now_ns: int) -> None:
        """The moment at which the venue looks at an order request."""
        try:
            self._check(request, op, now_ns)
        except Refusal as refusal:
            self.refuse(echo, op, refusal.code, refusal.message, now_ns)
            return
        assert self.key is not None
        answer = self.intake.trade(self.key, op, request["args"], self.utc, now_ns)
        if answer is not None and answer.code:
            self.refuse(echo, op, answer.code, answer.message, now_ns, answer.header, answer.late_s)
        elif answer is not None:
            self.reply(
                {
                    **echo,
                    "retCode": 0,
                    "retMsg": answer.message,
                    "op": op,
                    "data": answer.data,
                    "retExtInfo": answer.extra,
                    "header": answer.header,
                    "connId": self.conn_id,
                },
                now_ns,
                answer.late_s,
            )
        self.desk.publish(now_ns)

    def _check(self, request: dict[str, Any], op: str, now_ns: int) -> None:
        """The checks before a request reaches the exchange; raises Refusal."""
        desk, req_id, args, header = self.desk, request.get("reqId"), request.get("args"), request.get("header")
        if not desk.limits.socket(self.ip, now_ns):
            raise Refusal(IP_TOO_FREQUENT, "Too many visits. Exceeded IP rate limit.")
        if not self._rate.take(now_ns).granted:
            raise Refusal(TOO_FREQUENT, "Too frequent requests under the same session")
        if op not in PATH:
            raise Refusal(UNKNOWN_OPERATION, "op type is not found")
        if req_id is not None:
            if not isinstance(req_id, str) or not 0 < len(req_id) <= REQUEST_ID_CHARS_MAX:
                raise Refusal(BAD_PARAMETER, "params error: reqId must be a text of at most 36 characters")
            if req_id in self._ids:
                raise Refusal(DUPLICATE_ID, "Duplicate reqId")
            self._ids.add(req_id)
            self._kept.append(req_id)
            if len(self._kept) > IDS_KEPT:
                self._ids.discard(self._kept.popleft())
        if self.key is None:
            raise Refusal(KEY_INVALID, "Request not authorized: auth first")
        if not self.key.trade or not self.key.valid:
            raise Refusal(PERMISSION, "Permission denied, please check your API key permissions.")
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise Refusal(BAD_PARAMETER, "params error: args must hold exactly one object")
        if not isinstance(header, dict):
            raise Refusal(BAD_PARAMETER, "params error: header is missing")
        lower = {str(name).lower(): value for name, value in header.items()}
        self.utc = check_window(lower.get("x-bapi-timestamp"), lower.get("x-bapi-recv-window"), desk.times, now_ns)

    def refuse(
        self, echo: dict[str, Any], op: str, code: int, message: str, now_ns: int, header: dict[str, str] | None = None, wait_s: float = 0.0
    ) -> None:
        """An order request that the exchange did not accept, or never saw."""
        desk = self.desk
        desk.refused[code] += 1
        if desk.faults.strike("no_req_id", now_ns, "trade"):
            echo = {}
        self.reply(
            {
                **echo,
                "retCode": code,
                "retMsg": message,
                "op": op,
                "data": {},
                "retExtInfo": {},
                "header": header or self.intake.headers(None, now_ns, self.utc),
                "connId": self.conn_id,
            },
            now_ns,
            wait_s,
        )
