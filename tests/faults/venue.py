"""The venue of a run: the emulator's own exchange and desk, with the wires tied to them, and an observer on its books."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import orjson

from liqshell.emulator.api.account_api import AccountApi, Ending, Request, Response, Session
from liqshell.emulator.api.faults import Faults
from liqshell.emulator.exchange import Exchange
from liqshell.emulator.exchange import Settings as VenueSettings
from liqshell.emulator.exchange.keys import Times
from liqshell.emulator.exchange.refusals import BAD_PARAMETER, Refused
from liqshell.emulator.market.bybit_frames import instrument_info

from .account_acts import between
from .bot import EQUITY
from .clock import NS, Appointment
from .market import contracts
from .network import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from .world import World

PATHS = {"private": "/v5/private", "orders": "/v5/trade"}
CREATE_PATHS = ("/v5/order/create", "/v5/order/create-batch")
STOP_PATH = "/v5/position/trading-stop"
FIELDS = (
    "duration_s",
    "delay_s",
    "jitter_s",
    "probability",
    "channel",
    "operation",
    "topic",
    "symbol",
    "code",
    "booked",
    "count",
    "share",
    "reset_header",
    "backward",
)


class Observed(Exchange):
    """The exchange; what is asked of it and what it says is shown to the judge. Nothing is changed."""

    venue: Venue

    def order(self, operation: str, args: Sequence[Mapping[str, Any]], account: Any, now_ns: int) -> tuple[int, str, dict[str, Any], dict[str, Any]]:
        if operation.startswith("order.create") and self.venue.coarse and between(self.venue.world, args[0]):
            found: tuple[int, str, dict[str, Any], dict[str, Any]] = (BAD_PARAMETER, "params error: price invalid", {}, {})
        else:
            found = super().order(operation, args, account, now_ns)
        self.venue.asked(operation, args, found[0], found[1])
        return found

    def rest(self, method: str, path: str, query: str, body: bytes, account: Any, now_ns: int) -> tuple[int, str, dict[str, Any]]:
        if path == STOP_PATH and self.venue.coarse and between(self.venue.world, _object(body)):
            return BAD_PARAMETER, "params error: price invalid", {}
        found = super().rest(method, path, query, body, account, now_ns)
        if method == "POST":
            self.venue.asked(path, [_object(body)], found[0], found[1])
        return found

    def take(self) -> list[tuple[Any, str, int, list[dict[str, Any]]]]:
        said = super().take()
        if said:
            self.venue.said(said)
        return said


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


class Venue:
    """One account at the emulated venue."""

    def __init__(self, world: World, symbols: int, settings: VenueSettings):
        self.world, self.clock, self.trace = world, world.clock, world.trace
        self.contracts = contracts(symbols)
        self.listing: list[dict[str, Any]] = [instrument_info(contract) for contract in self.contracts]
        self.exchange = Observed(self.contracts, settings, seed=world.script.seed)
        self.exchange.venue = self
        if world.script.features is not None:  # (the seeds of the first campaign keep their runs)
            # what the market's last quote has filled happens now: a venue's time does not run back
            flush = self.exchange.stream.flush
            self.exchange.stream.flush = lambda now_ns: flush(max(now_ns, self.clock.now))
        self.faults = Faults(world.script.seed, self.clock.now)
        self.desk = AccountApi(
            self.exchange, self.faults, times=Times(self.clock.now, self.clock.now, 1.0), seed=world.script.seed, market=self._public
        )
        self.key = self.desk.open_account(EQUITY)
        self.links: dict[Session, Connection] = {}
        self.replies: dict[int, Callable[[int, bytes, dict[str, str]], None]] = {}
        self.coarse: dict[str, int] = {}  # symbol -> how many of the contract's own ticks make one now
        self.hedged: set[str] = set()
        self.written: Callable[[bytes], bytes] = lambda frame: frame  # what a frame of the account is changed to on its way out
        self.tickets = 0
        self.changed = False
        self.changed_ns = self.clock.now
        self._next: Appointment | None = None

    def _public(self, path: str, query: str, now_ns: int) -> tuple[int, str, object]:
        """Public REST paths, as far as the account's side needs them."""
        if path == "/v5/market/time":
            return 0, "OK", {"timeSecond": str(now_ns // NS), "timeNano": str(now_ns)}
        if path == "/v5/market/instruments-info":
            return 0, "OK", {"category": "linear", "list": self.listing, "nextPageCursor": ""}
        return 10017, "Route not found", {}

    # ---- in ----

    def accept(self, name: str, link: Connection) -> bool:
        """A connection of the account's; False: refused."""
        session = self.desk.connect(PATHS[name], self.clock.now)
        if session is None:
            return False
        self.links[session] = link
        link.on_server = lambda frame: self._frame(session, frame)
        link.on_gone = lambda: self._gone(session)
        self.serve()
        return True

    def _frame(self, session: Session, frame: bytes) -> None:
        self.trace.say(self.clock.now, "in", session.kind, frame)
        self.desk.receive(session, frame, self.clock.now)
        if session.key is not None and (session.topics or session.kind != "private"):
            self.world.second.line(self.clock.now, session.kind, True)
        self.serve()

    def _gone(self, session: Session) -> None:
        self.links.pop(session, None)
        if not any(other.kind == session.kind for other in self.links):
            self.world.second.line(self.clock.now, session.kind, False)
        self.desk.disconnect(session)

    def request(self, request: Request, reply: Callable[[int, bytes, dict[str, str]], None]) -> None:
        self.tickets += 1
        self.replies[self.tickets] = reply
        self.desk.request(self.tickets, request, self.clock.now)
        self.serve()

    def on_market(self, rows: np.ndarray) -> None:
        self.desk.on_events(rows)
        due = self.desk.next_ns
        if self.changed or (due is not None and due <= self.clock.now):
            self.serve()
        elif due is not None:
            self._schedule(due)

    def fault(self, kind: str, duration_s: float, options: Mapping[str, Any]) -> None:
        self.faults.add({"kind": kind, "duration_s": duration_s, **{name: value for name, value in options.items() if name in FIELDS}})
        self.serve()

    # ---- out ----

    def serve(self) -> None:
        """Everything that leaves the venue now goes onto the wires; then the books are judged."""
        for to, what in self.desk.take(self.clock.now):
            if isinstance(to, Session):
                link = self.links.get(to)
                if link is None:
                    continue
                if isinstance(what, Ending):
                    link.die()
                elif isinstance(what, bytes):
                    what = self.written(what)
                    self.trace.say(self.clock.now, "out", to.kind, what)
                    link.to_client(what)
            else:
                reply = self.replies.pop(to, None)  # type: ignore[call-overload]
                if reply is not None:
                    if isinstance(what, Response):
                        reply(what.status, what.body, what.headers)
                    else:
                        reply(0, b"", {})
        if self.changed:
            self.changed = False
            self.changed_ns = self.clock.now
            self.world.truth.look()
        due = self.desk.next_ns
        if due is not None:
            self._schedule(due)

    def _schedule(self, due: int) -> None:
        if self._next is None or self._next[2] is None or due < self._next[0] or self._next[0] < self.clock.now:
            self.clock.call_off(self._next)
            self._next = self.clock.at(max(due, self.clock.now + 1), self._wake)

    def _wake(self) -> None:
        self._next = None
        self.serve()

    # ---- seen ----

    def asked(self, operation: str, args: Sequence[Mapping[str, Any]], code: int, text: str) -> None:
        self.changed = True
        for one in args:
            wishes = one.get("request", [one])
            for wish in wishes if isinstance(wishes, list) else []:
                self.world.second.asked(self.clock.now, operation, wish, code)
                if code:
                    self.world.states.refused(str(wish.get("symbol")), code)
                self.trace.say(self.clock.now, "asked", operation, json.dumps(wish), code, text)
                if operation in ("order.create", "order.create-batch", *CREATE_PATHS):
                    self.world.truth.create_arrives(wish)
                    self.world.happens("order")

    def said(self, said: Sequence[tuple[Any, str, int, list[dict[str, Any]]]]) -> None:
        self.changed = True
        truth, second, now = self.world.truth, self.world.second, self.clock.now
        for _, topic, _, rows in said:
            for row in rows:
                second.said(now, topic, row)
                if topic == "execution":
                    self.trace.say(
                        self.clock.now,
                        "executed",
                        row.get("orderLinkId", ""),
                        row.get("symbol", ""),
                        row.get("side", ""),
                        row["execQty"],
                        row["execPrice"],
                        row.get("execType", ""),
                    )
                    truth.executed(row)
                    if row.get("execType") == "Trade":
                        self.world.states.filled(row)
                        self.world.happens("fill")
                elif topic == "order":
                    truth.ordered(row)
                    truth.stop_ordered(row)
        second.settle(now)

    def close_manually(self, symbol: str) -> bool:
        """A person closes what is held of a symbol, and cancels what rests. False: the venue refuses it, in a halt."""
        now, account = self.clock.now, self.key.account
        for order in self.books()["orders"]:
            if order["symbol"] == symbol and order["link_id"]:
                self.exchange.order("order.cancel", [{"category": "linear", "symbol": symbol, "orderId": order["order_id"]}], account, now)
        return self.reduce_manually(symbol, 1.0)

    def reduce_manually(self, symbol: str, share: float) -> bool:
        """A person closes some of what is held of a symbol, in whole lots. False: the venue refuses it."""
        done = True
        power = next(contract.lot_power for contract in self.contracts if contract.symbol == symbol)
        for (found, _), position in sorted(self.books()["positions"].items()):
            lots = max(1, int(abs(position["qty"]) * share * power + 1e-6))
            if found == symbol and position["qty"]:
                done = self.trade_manually(symbol, "Sell" if position["qty"] > 0 else "Buy", f"{lots / power:.10g}", reduce=True) and done
        return done

    def trade_manually(self, symbol: str, side: Literal["Buy", "Sell"], qty: str, *, reduce: bool = False) -> bool:
        """A market order from the venue's own app; False: the venue refuses it."""
        try:
            self.exchange.manual_trade(self.key.account, symbol, side, qty, self.clock.now, reduce=reduce)
        except Refused:
            return False
        self.desk.publish(self.clock.now)
        self.serve()
        return True

    def books(self) -> Mapping[str, Any]:
        return self.exchange.truth(self.key.account)
