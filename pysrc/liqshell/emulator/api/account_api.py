"""The account side of the emulated venue without sockets: bytes in, bytes out, faults applied. The socket server and simulations in one process share
it.

All times are market ns of the caller's clock and must not run backwards. What the venue says comes out of `take(now_ns)` when it is due:

    desk = AccountApi(exchange, Faults(seed, start_ns, script), times=Times(market_ns, utc_ns, speed), seed=seed)
    key = desk.open_account(10_000.0)                        # key.key, key.secret, key.account
    session = desk.connect("/v5/trade", now_ns)              # None: the connection is refused
    desk.receive(session, b'{"op":"auth",...}', now_ns)      # one websocket text message of the client
    desk.request(7, Request("GET", "/v5/order/realtime", "category=linear", b"", headers), now_ns)
    desk.on_events(rows)                                     # market data (EVENT_DTYPE), before requests of the same time
    for to, what in desk.take(now_ns):                       # to: a Session, or the ticket (here 7) of a request
        ...                                                  # what: bytes = a text message; Response; Ending = the connection ends, without an answer
    desk.next_ns                                             # when to look again if nothing comes in; None = never
"""

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

import orjson

from liqshell.emulator.api.account_faults import Interference, PrivateMessage
from liqshell.emulator.api.account_websocket import PrivateSession, Session, TradeSession
from liqshell.emulator.api.faults import Fault, Faults
from liqshell.emulator.api.order_requests import OrderRequests
from liqshell.emulator.api.types import PRIVATE_PATH, TRADE_PATH, Delivery, Ending, Request, Response
from liqshell.emulator.exchange.exchange import Exchange
from liqshell.emulator.exchange.keys import Key, Times
from liqshell.emulator.exchange.rate_limits import Limits
from liqshell.emulator.exchange.refusals import Refused
from liqshell.emulator.market.contracts import Contract

MS = 1_000_000
NS = 1_000_000_000
FOR_EVER = 1 << 62
IDLE_S = (30.0, 600.0)  # of max_active_time


class AccountApi:
    """See the module. refused, answered, pushed: counters. on_fault: called with every fault that begins and its time, once the desk has acted on it.

    times: UTC beside market time. ack_delay_s, stream_delay_s: wall seconds from a request to its answer, and from an event to its private frame,
    drawn from the span each time. market: answers /v5/market/...: (path, raw query, now_ns) -> (retCode, retMsg, result). contracts: for trades by
    hand.
    """

    def __init__(
        self,
        exchange: Exchange,
        faults: Faults | None = None,
        *,
        times: Times | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        ack_delay_s: tuple[float, float] = (0.001, 0.003),
        stream_delay_s: tuple[float, float] = (0.001, 0.004),
        idle_s: float = 600.0,
        market: Callable[[str, str, int], tuple[int, str, object]] | None = None,
        contracts: Iterable[Contract] = (),
    ) -> None:
        self.exchange, self.faults = exchange, faults or Faults(seed, 0)
        self.times, self.limits, self.market = times or Times(), limits or Limits(), market
        self.ack_delay_s, self.stream_delay_s, self.idle_s = ack_delay_s, stream_delay_s, idle_s
        self.contracts = {contract.symbol: contract for contract in contracts}
        self.interference = Interference(self.faults)
        self.intake = OrderRequests(self)
        self.keys: dict[str, Key] = {}
        self.sessions: set[Session] = set()
        self.refused: Counter[int] = Counter()
        self.answered: Counter[str] = Counter()
        self.pushed: Counter[str] = Counter()
        self.connected = self.turned_away = 0
        self.on_fault: Callable[[Fault, int], None] = lambda fault, now_ns: None
        self._seed = seed
        self._random = random.Random(f"desk {seed}")
        self._due: list[tuple[int, int, Callable[..., None], tuple]] = []
        self._count = 0
        self._out: list[Delivery] = []
        self._idle_check = 0
        self._afflicted = False  # something of a fault may be left to undo
        self._torn_booked = 0.5  # of the last drop: whether a request survives its connection

    # ---- accounts ----

    def open_account(self, equity: float = 10_000.0, *, name: str = "", **rights: Any) -> Key:
        """A funded account and its key, the same for the same seed and number of accounts. rights: fields of Key (trade, withdraw, ips, valid)."""
        digest = hashlib.sha256(f"liqcore emulator {self._seed} {len(self.keys)}".encode()).hexdigest()
        key, secret = f"emu{digest[:15]}", digest[15:51]
        account = self.exchange.open_account(key, secret, equity, name=name or f"account{len(self.keys)}")
        self.keys[key] = Key(key, secret, account, uid=getattr(account, "uid", 0), **rights)
        return self.keys[key]

    # ---- in ----

    def connect(self, path: str, now_ns: int, *, ip: str = "127.0.0.1", max_active_s: float | None = None) -> Session | None:
        """A websocket connection to PRIVATE_PATH or TRADE_PATH; None where it is refused (reset it). ValueError for other paths."""
        made: dict[str, type[Session]] = {PRIVATE_PATH: PrivateSession, TRADE_PATH: TradeSession}
        if path not in made:
            raise ValueError(f"this API serves {PRIVATE_PATH} and {TRADE_PATH}, got {path!r}")
        self.begin(now_ns)
        kind = made[path].kind
        if self.faults.active("refuse", now_ns, kind) or self.faults.active("maintenance", now_ns):
            self.turned_away += 1
            return None
        self.connected += 1
        idle_s = self.idle_s if max_active_s is None else min(max(max_active_s, IDLE_S[0]), IDLE_S[1])
        session = made[path](self, self.intake, f"emulated-{kind}-{self.connected:06d}", ip, idle_s)
        session.read_ns = now_ns
        self.sessions.add(session)
        return session

    def disconnect(self, session: Session) -> None:
        """The client is gone. Its requests are still executed."""
        session.alive = False
        self.sessions.discard(session)

    def receive(self, session: Session, data: bytes, now_ns: int) -> None:
        """One text message of the client."""
        self.begin(now_ns)
        if not session.alive:
            return
        session.read_ns = now_ns
        if now_ns < session.frozen_until:
            fault = self.faults.active("half_open", now_ns)
            if fault is None or not self.faults.happens(fault.booked):
                return
        session.receive(data, now_ns)
        self.publish(now_ns)

    def request(self, ticket: Hashable, request: Request, now_ns: int) -> None:
        """A REST request; its answer carries the ticket. None may come: an answer that is lost is lost."""
        self.begin(now_ns)
        self.intake.rest(ticket, request, now_ns)
        self.publish(now_ns)

    def arrived(self, now_ns: int, session: Session | None = None) -> bool:
        """An order request has been received: faults may begin with it (on_order). False where it is lost with the connection that it came by."""
        self.faults.orders += 1
        self.begin(now_ns)
        return session is None or session.alive or self.faults.happens(self._torn_booked)

    def on_events(self, rows: Any) -> None:
        """Market data for the exchange, in order of ts_recv."""
        if len(rows):
            self.exchange.on_events(rows)
            self.publish(int(rows[-1]["ts_recv"]))

    # ---- out ----

    def take(self, now_ns: int) -> list[Delivery]:
        """Everything that leaves the venue by now, in order; also lets its time pass."""
        self.begin(now_ns)
        self.exchange.advance(now_ns)
        self.publish(now_ns)
        due = self._due
        while due and due[0][0] <= now_ns:
            _, _, act, arguments = heapq.heappop(due)
            act(*arguments, now_ns)
        if now_ns >= self._idle_check:
            self._cut_idle(now_ns)
        out, self._out = self._out, []
        return out

    @property
    def next_ns(self) -> int | None:
        """When take() has something to do although nothing comes in; None = never."""
        times = [t for t in (self._due[0][0] if self._due else None, self.exchange.next_ns, self.faults.next_ns) if t is not None]
        return min(times, default=None)

    def later(self, due_ns: int, act: Callable[..., None], *arguments: Any) -> None:
        """Call act(*arguments, now_ns) when it is due."""
        self._count += 1
        heapq.heappush(self._due, (due_ns, self._count, act, arguments))

    def answer(self, to: Hashable, what: bytes | Response | Ending, now_ns: int, wait_s: float = 0.0) -> None:
        """Send an answer after the configured delay and wait_s."""
        self._send(to, what, now_ns, self._delay(self.ack_delay_s) + wait_s, True)

    def _delay(self, span: tuple[float, float]) -> float:
        return span[0] + (span[1] - span[0]) * self._random.random() if span[1] > span[0] else span[0]

    def _send(self, to: Hashable, what: bytes | Response | Ending, now_ns: int, wait_s: float, ordered: bool) -> None:
        due = now_ns + self.times.wall(wait_s)
        if isinstance(to, Session) and ordered:
            due = to.due_ns = max(due, to.due_ns)
        self.later(due, self._deliver, to, what)

    def _deliver(self, to: Hashable, what: bytes | Response | Ending, now_ns: int) -> None:
        if isinstance(to, Session):
            if not to.alive or now_ns < to.frozen_until:
                return
            held = self.faults.until("stall", now_ns, to.kind)
        else:
            held = self.faults.until("stall", now_ns, "rest") if self.faults.named("stall", now_ns, "rest") else now_ns
        if held > now_ns:
            self.later(held, self._deliver, to, what)
            return
        self._out.append(Delivery(to, what))

    # ---- the private stream ----

    def publish(self, now_ns: int) -> None:
        """Send the exchange's messages to the subscribers."""
        for account, topic, ts_ns, rows in self.exchange.take():
            for message in self.interference.deliveries(topic, rows, now_ns):
                self.pushed[message.topic] += 1
                wait_s = self._delay(self.stream_delay_s) + message.wait_s
                for session in self._listeners(account):
                    self._publish_one(session, message, ts_ns, now_ns, wait_s)
            self._consequences(account, topic, rows, now_ns)

    def _listeners(self, account: Any) -> list[Session]:
        found = [session for session in self.sessions if session.topics and session.key is not None and session.key.account is account]
        return sorted(found, key=lambda session: session.conn_id)

    def _publish_one(self, session: Session, message: PrivateMessage, ts_ns: int, now_ns: int, wait_s: float) -> None:
        if isinstance(message.rows, bytes):
            self._send(session, message.rows, now_ns, wait_s, message.ordered)
            return
        for name, rows in self._named(session.topics, message.topic, message.rows):
            frame = {"id": f"{session.conn_id}_{ts_ns // MS}_{self._count}", "topic": name, "creationTime": ts_ns // MS, "data": rows}
            self._send(session, orjson.dumps(frame), now_ns, wait_s, message.ordered)

    @staticmethod
    def _named(topics: set[str], topic: str, rows: list[dict[str, Any]]) -> "list[tuple[str, list[dict[str, Any]]]]":
        """The frames that a session's subscriptions make of one message: (topic, rows)."""
        out = [(topic, rows)] if topic in topics else []
        out += [(f"{topic}.{category}", rows) for category in {row.get("category", "linear") for row in rows} if f"{topic}.{category}" in topics]
        if topic == "execution":
            fast = [_fast(row) for row in rows if row.get("execType") == "Trade"]
            out += [(name, fast) for name in ("execution.fast", "execution.fast.linear") if name in topics and fast]
        return out

    # ---- faults ----

    def begin(self, now_ns: int, cascade: int = 0) -> None:
        """Let the faults begin that are due. cascade: size of the largest cascade that is going on, for on_cascade."""
        faults = self.faults
        if faults.idle and not self._afflicted:  # the common case must cost nothing: simulations come here at every event
            return
        faults.expire(now_ns)
        for fault in faults.begin(now_ns, cascade):
            self._act(fault, now_ns)
            self.on_fault(fault, now_ns)
        self._afflicted = not faults.idle
        if self.exchange.halted or faults.active("halt", now_ns):
            self.exchange.halted = faults.symbols("halt", now_ns)
        skew = faults.active("clock_skew", now_ns)
        self.times.skew_ns = 0 if skew is None else int(skew.delay_s * NS) * (-1 if skew.backward else 1)

    def _act(self, fault: Fault, now_ns: int) -> None:
        kind = fault.kind
        if kind in ("drop", "maintenance"):
            self._torn_booked = fault.booked
            for session in sorted(self.sessions, key=lambda one: one.conn_id):
                if kind == "maintenance" or fault.channel in ("", session.kind):
                    self.disconnect(session)
                    self._out.append(Delivery(session, Ending.RESET if kind == "drop" else Ending.CLOSE))
        elif kind == "half_open":
            for session in self.sessions:
                if fault.channel in ("", session.kind):
                    session.frozen_until = now_ns + int(fault.duration_s * NS) if fault.duration_s else FOR_EVER
        elif kind in ("adl", "liquidate", "manual_trade", "cancel_stops"):
            for key in list(self.keys.values()):
                self._harm(fault, key.account, now_ns)
            self.publish(now_ns)

    def _harm(self, fault: Fault, account: Any, now_ns: int) -> None:
        """Applies an event that another party causes in an account."""
        exchange = self.exchange
        if fault.kind == "liquidate":
            exchange.liquidate(account, now_ns)
            return
        truth = exchange.truth(account)
        held = {place: one for place, one in truth["positions"].items() if one["qty"] and fault.symbol in ("", place[0])}
        for (symbol, index), one in sorted(held.items()):
            if fault.kind == "adl":
                exchange.deleverage(account, symbol, now_ns, share=fault.share, position_idx=index)
            elif fault.kind == "manual_trade":
                self._by_hand(account, symbol, "Sell" if one["qty"] > 0 else "Buy", abs(one["qty"]) * fault.share, now_ns)
        if fault.kind == "manual_trade" and not held and (contract := self.contracts.get(fault.symbol)):
            self._by_hand(account, fault.symbol, "Buy", 20.0 / contract.price, now_ns)
        if fault.kind == "cancel_stops":
            for order in truth["orders"]:
                if order["trigger"] and fault.symbol in ("", order["symbol"]):
                    order_ref = {"category": "linear", "symbol": order["symbol"], "orderId": order["order_id"]}
                    exchange.order("order.cancel", [order_ref], account, now_ns)

    def _by_hand(self, account: Any, symbol: str, side: Literal["Buy", "Sell"], qty: float, now_ns: int) -> None:
        """A person trades about so much, in whole lots; where the venue refuses that, nothing happens."""
        contract = self.contracts[symbol]
        lots = max(1, round(qty * contract.lot_power))
        try:
            self.exchange.manual_trade(account, symbol, side, f"{lots / contract.lot_power:.{contract.lot_decimals}f}", now_ns)
        except Refused as why:
            self.refused[why.code] += 1

    def _consequences(self, account: Any, topic: str, rows: Sequence[Mapping[str, Any]], now_ns: int) -> None:
        """The venue's actions after its own message: cancel_rest."""
        if topic != "order" or self.faults.quiet:
            return
        for row in rows:
            partly = row.get("orderStatus") == "PartiallyFilled" and not row.get("reduceOnly")
            if partly and self.faults.strike("cancel_rest", now_ns, topic=topic):
                order_ref = {"category": "linear", "symbol": row["symbol"], "orderId": row["orderId"]}
                self.later(now_ns, self._cancel, order_ref, account)

    def _cancel(self, order_ref: dict[str, Any], account: Any, now_ns: int) -> None:
        self.exchange.order("order.cancel", [order_ref], account, now_ns)
        self.publish(now_ns)

    def _cut_idle(self, now_ns: int) -> None:
        self._idle_check = now_ns + self.times.wall(1.0)
        for session in sorted(self.sessions, key=lambda one: one.conn_id):
            if now_ns - session.read_ns > self.times.wall(session.idle_s):
                self.disconnect(session)
                self._out.append(Delivery(session, Ending.CLOSE))

    def status(self) -> dict[str, object]:
        """Counters."""
        return {
            "sessions": len(self.sessions),
            "connected": self.connected,
            "turned_away": self.turned_away,
            "orders": self.faults.orders,
            "answered": dict(self.answered),
            "refused": {str(code): n for code, n in sorted(self.refused.items())},
            "told": dict(self.pushed),
        }


def _fast(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of execution.fast: fewer fields, and no orderLinkId for a maker."""
    maker = bool(row.get("isMaker"))
    names = ("category", "symbol", "orderId", "execId", "execPrice", "execQty", "side", "execTime", "seq")
    return {name: row[name] for name in names if name in row} | {"isMaker": maker, "orderLinkId": "" if maker else row.get("orderLinkId", "")}
