"""A client of the emulated venue's account side without sockets, for tests: it signs on its own and keeps everything that it is told."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from liqcore.event import EVENT_DTYPE, Kind
from liqshell.emulator.api.account_api import AccountApi, Request, Response, Session, Times
from liqshell.emulator.api.faults import Faults
from liqshell.emulator.exchange import Exchange, Settings
from liqshell.emulator.market.contracts import contracts_of
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.server.market_queries import MarketQueries

MS, NS = 1_000_000, 1_000_000_000
T0 = 1_772_629_200 * NS
UTC0 = 1_780_000_000 * NS
SYMBOLS = ("BTCUSDT", "ETHUSDT")
PRICES = {"BTCUSDT": 68_000.0, "ETHUSDT": 2_000.0}
CONTRACTS = contracts_of(SYMBOLS)


def sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class DeskClient:
    """One account, a market that stands still until told, and time that passes when told."""

    def __init__(self, *script: Mapping[str, Any], seed: int = 1, speed: float = 1.0, venue: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.now, self.speed = T0, speed
        self.faults = Faults(seed, T0, script)
        self.states = {contract.symbol: SymbolState(contract) for contract in CONTRACTS}
        self.exchange = Exchange(CONTRACTS, Settings(**(venue or {})), seed)
        self.desk = AccountApi(
            self.exchange, self.faults, times=Times(T0, UTC0, speed), seed=seed, market=MarketQueries(self.states), contracts=CONTRACTS, **options
        )
        self.key = self.desk.open_account(10_000.0)
        self.said: list[tuple[int, Any, Any]] = []  # (time, to, what)
        self.tickets = 0
        for symbol, price in PRICES.items():
            self.quote(symbol, price)

    # ---- the market and time ----

    def quote(self, symbol: str, price: float, size: float = 1e6) -> None:
        """Quote and mark one tick around a price, and a trade at the bid."""
        n, tick = SYMBOLS.index(symbol), 1.0 / CONTRACTS[SYMBOLS.index(symbol)].tick_power
        rows = np.zeros(3, EVENT_DTYPE)
        rows["ts_event"] = rows["ts_recv"] = self.now
        rows["instrument"] = n
        rows["kind"] = [int(Kind.TICKER), int(Kind.BBO), int(Kind.TRADE)]
        rows["price"], rows["qty"] = price, [1e6, size, 0.001]
        rows["aux_price"], rows["aux_qty"] = [price, price + tick, 0.0], [1e-4, size, 0.0]
        rows["side"][2] = -1
        self.desk.on_events(rows)

    def wait(self, seconds: float = 0.02) -> list[Any]:
        """Let wall seconds pass; what is said meanwhile."""
        end, before = self.now + int(seconds * NS * self.speed), len(self.said)
        while (due := self.desk.next_ns) is not None and due <= end:
            self.now = max(self.now, due)
            self.said += [(self.now, to, what) for to, what in self.desk.take(self.now)]
            if self.desk.next_ns == due:
                self.now += 1
        self.now = max(self.now, end)
        self.said += [(self.now, to, what) for to, what in self.desk.take(self.now)]
        return [what for _, _, what in self.said[before:]]

    def utc_ms(self) -> int:
        return self.desk.times.utc(self.now) // MS

    # ---- websockets ----

    def open(self, path: str, auth: bool = True, **options: Any) -> Session:
        session = self.desk.connect(path, self.now, **options)
        assert session is not None, "the connection was refused"
        if auth:
            expires = self.utc_ms() + 5_000
            name = "req_id" if session.kind == "private" else "reqId"
            reply = self.ask(session, {"op": "auth", "args": [self.key.key, expires, sign(self.key.secret, f"GET/realtime{expires}")], name: "auth"})
            assert reply.get("success", reply.get("retCode") == 0), reply
        return session

    def private(self, *topics: str) -> Session:
        session = self.open("/v5/private")
        assert self.ask(session, {"op": "subscribe", "args": list(topics or ("order", "execution", "position", "wallet")), "req_id": "1"})["success"]
        return session

    def send(self, session: Session, body: Any) -> None:
        self.desk.receive(session, body if isinstance(body, bytes) else json.dumps(body).encode(), self.now)

    def ask(self, session: Session, body: Any, seconds: float = 0.02) -> dict[str, Any]:
        """The first answer on that connection that is no push."""
        self.send(session, body)
        before = len(self.said)
        self.wait(seconds)
        for _, to, what in self.said[before:]:
            if to is session and isinstance(what, bytes) and "topic" not in (frame := json.loads(what)):
                return frame
        raise AssertionError("no answer")

    def order(self, session: Session, op: str, seconds: float = 0.02, req_id: str | None = None, header: Any = None, **fields: Any) -> dict[str, Any]:
        """An order operation and its answer; category, ids and header are filled in."""
        self.tickets += 1
        body = {
            "reqId": req_id or f"r{self.tickets}",
            "op": f"order.{op}",
            "args": [{"category": "linear", "symbol": "BTCUSDT", **fields}],
            "header": header or {"X-BAPI-TIMESTAMP": str(self.utc_ms()), "X-BAPI-RECV-WINDOW": "5000"},
        }
        return self.ask(session, body, seconds)

    def frames(self, session: Session, topic: str = "") -> list[dict[str, Any]]:
        """What was pushed on a connection so far."""
        found = [json.loads(what) for _, to, what in self.said if to is session and isinstance(what, bytes)]
        return [frame for frame in found if "topic" in frame and topic in ("", frame["topic"])]

    def rows(self, session: Session, topic: str) -> list[dict[str, Any]]:
        return [row for frame in self.frames(session, topic) for row in frame["data"]]

    # ---- REST ----

    def request(
        self,
        method: str,
        path: str,
        text: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        signed: bool = True,
        seconds: float = 0.02,
        stamp_ms: int | None = None,
        window: str = "5000",
        secret: str = "",
        ip: str = "127.0.0.1",
    ) -> Response | Any | None:
        """The raw answer: a Response, an Ending, or None where none comes within `seconds`. text: query or body as sent."""
        self.tickets += 1
        ticket = self.tickets
        stamp = self.utc_ms() if stamp_ms is None else stamp_ms
        made = (
            {}
            if not signed
            else {
                "X-BAPI-API-KEY": self.key.key,
                "X-BAPI-TIMESTAMP": str(stamp),
                "X-BAPI-RECV-WINDOW": window,
                "X-BAPI-SIGN": sign(secret or self.key.secret, f"{stamp}{self.key.key}{window}{text}"),
            }
        )
        query, body = (text, b"") if method == "GET" else ("", text.encode())
        self.desk.request(ticket, Request(method, path, query, body, {**made, **(headers or {})}, ip), self.now)
        before = len(self.said)
        self.wait(seconds)
        return next((what for _, to, what in self.said[before:] if to == ticket), None)

    def rest(self, method: str, path: str, text: str | Mapping[str, Any] = "", **options: Any) -> dict[str, Any]:
        """The JSON of an answer."""
        answer = self.request(method, path, text if isinstance(text, str) else json.dumps(text), **options)
        assert isinstance(answer, Response), answer
        return json.loads(answer.body)

    def held(self, symbol: str = "BTCUSDT") -> float:
        """What the venue knows to be held."""
        return sum(one["qty"] for (name, _), one in self.exchange.truth(self.key.account)["positions"].items() if name == symbol)

    def orders(self) -> list[dict[str, Any]]:
        """The orders that the venue knows to be open."""
        return self.exchange.truth(self.key.account)["orders"]


ENTRY = {"side": "Buy", "orderType": "Limit", "qty": "0.010", "price": "67900.0", "timeInForce": "PostOnly"}
MARKET = {"side": "Buy", "orderType": "Market", "qty": "0.010"}


def kinds(rows: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
