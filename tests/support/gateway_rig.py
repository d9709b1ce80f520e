"""A rig for tests of the gateway: engine, Dispatch, Gateway and the venue's model on one virtual clock, with ways to lose, delay and falsify whatever passes
between them. No sockets, no sleeping."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from desk import FADE, LONG, WIDE
from desk import Answer as Policy
from liqshell.emulator.exchange import Exchange
from liqshell.emulator.exchange import Settings as VenueSettings
from liqshell.emulator.market.contracts import contracts_of
from liqshell.gateway.gateway import Gateway
from liqshell.gateway.settings import Settings
from liqshell.run.dispatch import Dispatch, Wire
from liqshell.transport import Endpoint
from liqshell.venues.bybit.orders import order_encoder
from liqshell.venues.bybit.port import BybitPort
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.effects import Answer, Call, Channel, Level, Notice

MS, S = 1_000_000, lc.SECOND
T0 = 1_772_452_800 * S
RUN = "test0000a1b2"
SYMBOL = "ETHUSDT"
PRICE = 2000.0


class MemoryStore:
    """The Store's methods that the gateway uses, in memory."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, dict[str, Any]]] = []

    def put(self, table: str, **row: Any) -> None:
        self.kept.append((table, row))

    def reconciled_ms(self) -> tuple[int, int]:
        rows = [row for table, row in self.kept if table == "reconciled"]
        return (rows[-1]["venue_ms"], rows[-1]["execution_ms"]) if rows else (0, 0)


class Line(Wire):
    def __init__(self, rig: Rig):
        self.rig = rig

    def send(self, frame: Any) -> bool:
        return self.rig.send_order(bytes(frame))


class Rig:
    """side: of the cascades, and so of the brackets (a liquidated LONG is bought). latency_ms: one way. Filters, each called with what passes and
    answering whether it may (guarded: with the last hop's limits and the venue's rate budget): on_request(path or operation, args), on_reply(message), on_push(topic, rows), on_rest(call), on_rest_answer(call)."""

    def __init__(
        self,
        side: int = LONG,
        *,
        latency_ms: float = 20.0,
        venue: VenueSettings | None = None,
        store: MemoryStore | None = None,
        exchange: Exchange | None = None,
        now: int = T0,
        symbols: tuple[str, ...] = (SYMBOL,),
        settings: dict[str, Any] | None = None,
        run: str = RUN,
        start: bool = True,
        risk: lc.Risk | None = None,
        guarded: bool = False,
        **bracket: Any,
    ) -> None:
        self.side, self.now, self.latency = side, now, int(latency_ms * MS)
        self.store = store or MemoryStore()
        contracts = contracts_of(symbols)
        self.exchange = exchange or Exchange(contracts, venue or VenueSettings(), seed=1)
        self.account = self.exchange.accounts.get("rigkey00") or self.exchange.open_account("rigkey00", "rigsecret0", equity=100_000.0)
        self.instruments = [
            lc.Instrument(
                c.symbol,
                venue="bybit",
                tick_size=f"{10.0**-c.tick_decimals:.{c.tick_decimals}f}",
                lot_size=f"{10.0**-c.lot_decimals:.{c.lot_decimals}f}",
                min_notional=5.0,
            )
            for c in contracts
        ]
        config = lc.CascadeConfig(warmup=1, min_events=1, window_events=2, decay_s=0.001, window_s=0.001)
        self.engine = lc.Engine(self.instruments, config, Policy(**(FADE | bracket)), risk or lc.Risk(**WIDE), equity=100_000.0)
        self.run = run
        self.guard = lc.Guard(self.instruments, order_notional_max=1e9, total_notional_max=1e12) if guarded else None
        self.dispatch = Dispatch(self.engine, self.guard, order_encoder(run, self.instruments), None, Line(self), lambda: self.now // MS)
        port = BybitPort(Keys("rigkey00", "rigsecret0"), run, self.instruments, dict.fromkeys(Channel, Endpoint("ws://127.0.0.1:1")))
        self.gateway = Gateway(self.engine, self.dispatch, self.store, port, Settings(run, "test", **(settings or {})), self)
        self.up = {Channel.PRIVATE: False, Channel.ORDERS: False}
        self.reachable = {Channel.PRIVATE: True, Channel.ORDERS: True}
        self.events: list[tuple] = []
        self.notices: list[Notice] = []
        self.calls: list[Call] = []
        self.orders: list[dict[str, Any]] = []  # order messages that reached the wire
        self.counts: Counter[str] = Counter()
        self.offset = 0  # venue - us, ns
        self.on_request: Callable[[str, dict], bool] = lambda what, args: True
        self.on_reply: Callable[[dict], bool] = lambda message: True
        self.on_push: Callable[[str, list], bool] = lambda topic, rows: True
        self.on_rest: Callable[[Call], bool] = lambda call: True
        self.on_rest_answer: Callable[[Call], bool] = lambda call: True
        self.alter_reply: Callable[[dict], dict] = lambda message: message
        self.alter_answer: Callable[[Call, dict], dict | Answer] = lambda call, answer: answer
        self._row = np.zeros(1, lc.EVENT_DTYPE)
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._n = 0
        self.naked_ns = 0
        self.worst_naked_ns = 0
        for n in range(len(symbols)):
            if exchange is None:
                self.trade(contracts[n].price, n)
            else:  # another life: the market is where it is
                self.now += 1
                self.engine.on_trade(self.now, self.now, n, 1, round(PRICE * (1 - 0.001 * side), 2), 1.0)
        if exchange is None:
            self.liquidate()
        if start:
            self.gateway.start(self.now)
            self.wait(1.0)

    # ---- time ----

    def after(self, ns: int, what: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._agenda, (self.now + max(0, ns), self._n, what))

    def wait(self, seconds: float) -> None:
        """Let time pass: arrivals, deadlines of the engine and of the gateway, each at its moment."""
        end = self.now + int(seconds * S)
        while True:
            due = [t for t in (self._agenda[0][0] if self._agenda else None, self.engine.next_deadline, self.gateway.next_deadline) if t is not None]
            at = min(due, default=end + 1)
            if at > end:
                break
            self._pass(max(at, self.now))
            if self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
            else:
                self.engine.advance(self.now)
                self.dispatch.pump(self.now)
                self.gateway.on_time(self.now)
            if self.dispatch.waiting:
                self.gateway.collect(self.now)
        self._pass(end)

    def _pass(self, at: int) -> None:
        held = self.truth()[0] != 0
        if held and self.truth()[1] == 0.0 and at > self.now:
            self.naked_ns += at - self.now
            self.worst_naked_ns = max(self.worst_naked_ns, self.naked_ns)
        elif not held or self.truth()[1]:
            self.naked_ns = 0
        self.now = at
        self.exchange.advance(self.venue_now)

    @property
    def venue_now(self) -> int:
        return self.now + self.offset

    # ---- the market ----

    def trade(self, price: float, n: int = 0, qty: float = 1000.0) -> None:
        """A trade of both sides at this price: whatever rests there is filled."""
        self._pass(self.now + 1)
        for side in (1, -1):
            row = np.zeros(1, lc.EVENT_DTYPE)
            row[0] = (self.venue_now, self.venue_now, price, qty, 0.0, 0.0, 0, n, int(lc.Kind.TRADE), side, 0, 0)
            self.exchange.on_events(row)
        self.pushes()
        self.engine.on_trade(self.now, self.now, n, 1, price, qty)
        self.dispatch.pump(self.now)

    def liquidate(self, n: int = 0) -> None:
        """A cascade: the policy answers it if it may."""
        self._pass(self.now + 1)
        self.engine.on_liquidation(self.now, self.now, n, self.side, PRICE, 10.0)
        self.dispatch.pump(self.now)
        if self.gateway.context.now:
            self.gateway.collect(self.now)

    def enter(self, wait_s: float = 0.5) -> dict:
        """A cascade whose entry reaches the book; the entry order's belief."""
        self.trade(PRICE)
        self.liquidate()
        self.wait(wait_s)
        return next((o for o in self.engine.orders() if o["role"] == 1), {})

    def fill_entry(self, wait_s: float = 0.5, qty: float = 1000.0) -> None:
        """The market goes through the entry."""
        self.trade(round(PRICE * (1 - 0.0017 * self.side), 2), qty=qty)
        self.wait(wait_s)

    # ---- Effects ----

    def report(self, event: tuple) -> None:
        self.events.append(event)
        self._row[0] = event
        self.engine.run(self._row)
        self.dispatch.pump(self.now)

    def call(self, call: Call) -> None:
        self.calls.append(call)
        self.counts[call.path] += 1
        sent = self.now
        if not self.on_rest(call):
            self.after(
                int(call.timeout_s * S), lambda: self.gateway.on_answer(call, Answer(0, why="timeout", sent_ns=sent, received_ns=self.now), self.now)
            )
            return

        def arrive() -> None:
            if call.path == "/v5/market/time":
                body: dict = {"retCode": 0, "retMsg": "OK", "result": {"timeSecond": str(self.venue_now // S), "timeNano": str(self.venue_now)}}
            elif call.path == "/v5/market/instruments-info":
                body = {
                    "retCode": 0,
                    "retMsg": "OK",
                    "result": {"category": "linear", "list": [listing(i) for i in self.instruments], "nextPageCursor": ""},
                }
            else:
                code, text, result = self.exchange.rest(call.method, call.path, call.query, call.body.encode(), self.account, self.venue_now)
                body = {"retCode": code, "retMsg": text, "result": result}
            body |= {"retExtInfo": {}, "time": self.venue_now // MS}
            self.pushes()
            answer = self.alter_answer(call, body)
            if not isinstance(answer, Answer):
                answer = Answer(200, orjson.dumps(answer), {}, "", sent, self.now + self.latency)
            if not self.on_rest_answer(call):
                lost = Answer(0, why="timeout", sent_ns=sent)
                self.after(int(call.timeout_s * S), lambda: self.gateway.on_answer(call, lost, self.now))
            else:
                self.after(self.latency, lambda: self.gateway.on_answer(call, answer, self.now))

        self.after(self.latency, arrive)

    def send(self, channel: Channel, frame: bytes) -> bool:
        if not self.up[channel]:
            return False
        message = orjson.loads(frame)
        self.after(2 * self.latency, lambda: self._answer(channel, message))
        return True

    def _answer(self, channel: Channel, message: dict) -> None:
        if not self.up[channel] or not self.on_request(message["op"], message):
            return
        if channel == Channel.PRIVATE:
            op = {"ping": "pong"}.get(message["op"], message["op"])
            self.frame(channel, {"success": True, "ret_msg": "", "op": op, "req_id": message.get("req_id", ""), "conn_id": "c"})
        else:
            op = {"ping": "pong"}.get(message["op"], message["op"])
            self.frame(channel, {"retCode": 0, "retMsg": "OK", "op": op, "connId": "c", "reqId": message.get("reqId", "")})

    def send_order(self, frame: bytes) -> bool:
        if not self.up[Channel.ORDERS] or not self.gateway.orders_ready:
            return False
        message = orjson.loads(frame)
        self.orders.append(message)
        if not self.on_request(message["op"], message):
            return True

        def arrive() -> None:
            code, text, data, extra = self.exchange.order(message["op"], message["args"], self.account, self.venue_now)
            reply = {
                "reqId": message["reqId"],
                "retCode": code,
                "retMsg": text,
                "op": message["op"],
                "data": data,
                "retExtInfo": extra,
                "header": {},
                "connId": "c",
            }
            self.pushes()
            if self.on_reply(reply):
                self.after(self.latency, lambda: self.frame(Channel.ORDERS, self.alter_reply(reply)))

        self.after(self.latency, arrive)
        return True

    def pushes(self) -> None:
        """What the venue says on the private stream goes on its way."""
        for _, topic, ts, rows in self.exchange.take():
            if self.up[Channel.PRIVATE] and self.on_push(topic, rows):
                raw = orjson.dumps({"id": "x", "topic": topic, "creationTime": ts // MS, "data": rows})
                self.after(self.latency, lambda raw=raw: self.raw(Channel.PRIVATE, raw))

    def frame(self, channel: Channel, message: dict) -> None:
        self.raw(channel, orjson.dumps(message))

    def raw(self, channel: Channel, raw: bytes) -> None:
        if self.up[channel]:
            self.gateway.on_frame(channel, raw, self.now)

    def connect(self, channel: Channel) -> None:
        self.counts[f"connect {channel.name}"] += 1
        self.up[channel] = False

        def connected() -> None:
            if self.reachable[channel]:
                self.up[channel] = True
                self.gateway.on_channel(channel, True, self.now)
            else:
                self.after(S, connected)

        self.after(2 * self.latency, connected)

    def drop(self, channel: Channel) -> None:
        """The connection breaks; the driver reconnects."""
        self.up[channel] = False
        self.gateway.on_channel(channel, False, self.now)
        self.connect(channel)

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    # ---- looking ----

    def alarms(self) -> set[str]:
        return {n.kind for n in self.notices if n.level == Level.ALARM}

    def truth(self) -> tuple[float, float]:
        """(signed quantity, stop) that the venue really has of the first symbol."""
        position = self.exchange.truth(self.account)["positions"].get((self.instruments[0].symbol, 0), {})
        return position.get("qty", 0.0), position.get("stop_loss", 0.0)

    def live(self) -> list[dict]:
        """Orders that really rest, without the position's own stop."""
        return [o for o in self.exchange.truth(self.account)["orders"] if o["link_id"]]

    def held(self) -> float:
        bracket = self.engine.bracket(0)
        return bracket["held"] * bracket["side"]

    def state(self) -> lc.BracketState:
        return lc.BracketState(self.engine.bracket(0)["state"])

    def gates(self) -> set[str]:
        return {g.name for g in self.engine.gates(0)}

    def order_of(self, role: int) -> dict:
        return next((o for o in self.engine.orders() if o["role"] == role), {})

    def reports(self, kind: int, status: int | None = None) -> list[SimpleNamespace]:
        rows = [SimpleNamespace(**dict(zip(lc.EVENT_DTYPE.names, e, strict=True))) for e in self.events]
        return [r for r in rows if r.kind == kind and (status is None or r.code == status)]


def listing(i: lc.Instrument) -> dict[str, Any]:
    return {
        "symbol": i.symbol,
        "status": "Trading",
        "contractType": "LinearPerpetual",
        "priceFilter": {"tickSize": i.tick_size},
        "lotSizeFilter": {"qtyStep": i.lot_size, "minOrderQty": i.lot_size, "maxOrderQty": "100000", "minNotionalValue": "5"},
    }


def at_rest(rig: Rig) -> None:
    """Nothing is held, nothing rests, and both sides know it."""
    assert rig.truth()[0] == 0.0 and rig.held() == 0.0 and rig.live() == []
    assert rig.state() == lc.BracketState.BRACKET_FLAT
    assert rig.worst_naked_ns <= 2 * S


def take_profit(rig: Rig) -> None:
    rig.trade(round(PRICE * (1 + 0.003 * rig.side), 2))
    rig.wait(1.0)


def stop_out(rig: Rig) -> None:
    rig.trade(round(PRICE * (1 - 0.006 * rig.side), 2))
    rig.trade(round(PRICE * (1 - 0.006 * rig.side), 2))
    rig.wait(1.0)


def take_stop_away(rig: Rig) -> None:
    """A person, in the venue's app."""
    rig.exchange.rest(
        "POST",
        "/v5/position/trading-stop",
        "",
        orjson.dumps({"category": "linear", "symbol": SYMBOL, "stopLoss": "0", "tpslMode": "Full", "positionIdx": 0}),
        rig.account,
        rig.venue_now,
    )
    rig.pushes()
