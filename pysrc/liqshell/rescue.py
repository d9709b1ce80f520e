"""What is done at the venue without the live process: cancel our working entries, see that every position has a stop, close positions if asked to.

Used by `liqcore kill` and by the watchdog. It knows what the state folder says (image, sheet) and asks the venue for everything else; it may run
beside a live process, because nothing that it does is harmful twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from liqcore.event import Role
from liqshell.blocking import Reply, RestClient
from liqshell.errors import DataError
from liqshell.state.image import IMAGE
from liqshell.state.image_file import inspect
from liqshell.state.prefix import is_ours
from liqshell.state.sheet import Sheet
from liqshell.venues import bybit_instruments, bybit_rest
from liqshell.venues.bybit_answers import parse_orders, parse_positions
from liqshell.venues.bybit_codes import Asked, Outcome
from liqshell.venues.bybit_orders import order_link_id, parse_order_link_id
from liqshell.venues.bybit_signing import Keys
from liqshell.venues.reports import ENDED, OrderState, Position

ROUNDS = 4                      # of looking again
FLAT_WAIT_S = 0.25              # between closing and looking
LATE_WAIT_S, LATE_MARGIN_S = 0.5, 1.0       # between two looks for what may still be on its way; beyond the receive window
WORKERS = 4
PAGES_MAX = 50
STOP_KINDS = ("StopLoss", "TrailingStop", "Stop")
_GOOD = (Outcome.ACCEPTED, Outcome.DONE, Outcome.GONE)
_log = logging.getLogger("liqshell.rescue")


@dataclass
class Result:
    """What a rescue did and what remains. reached: the venue answered. remains: what a person must look at; empty = nothing."""

    reached: bool = False
    cancelled: list[str] = field(default_factory=list)
    protected: list[str] = field(default_factory=list)      # positions that have a stop, as found or placed
    placed: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)           # orders and positions that are not ours
    remains: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return self.reached and not self.remains

    def lines(self) -> list[str]:
        """For people."""
        out = [f"cancelled: {text}" for text in self.cancelled] + [f"stop placed: {text}" for text in self.placed]
        out += [f"closed: {text}" for text in self.closed] + [f"has a stop: {text}" for text in self.protected]
        out += [f"not ours, left alone: {text}" for text in self.left] + [f"REMAINS: {text}" for text in self.remains]
        return out if out else ["no entry was working and no position is open"]


class Rescue:
    """One rescue of one state folder. say: called with each line as it happens."""

    def __init__(self, folder: str | Path, sheet: Sheet, keys: Keys, *, flatten: bool = False, within_s: float = 30.0,
                 say: Callable[[str], None] | None = None):
        self.folder, self.sheet, self.flatten = Path(folder), sheet, flatten
        self.client = RestClient(sheet.rest, keys, recv_window_ms=sheet.recv_window_ms, until=time.monotonic() + within_s, ca=sheet.ca)
        self.result = Result()
        self.say = say or (lambda line: None)
        self.image = read_image(self.folder, self.say)
        self.run: str = self.image.get("run", "")
        self.trades: dict[str, dict[str, Any]] = {trade["symbol"]: trade for trade in self.image.get("trades", ())}
        self.symbols = set(sheet.symbols) | {symbol for symbol, trade in self.trades.items() if trade["state"] != "flat"}
        self.late: set[str] = set()             # entries that had been sent, and that the venue knows nothing of yet
        self._fatal = ""
        self._ticks: dict[str, Decimal] = {}

    def act(self) -> Result:
        """Do it. Never raises for the venue or the network.

        An entry that left just before may still be on its way: the venue takes it until its receive window is over, and nobody else will be there to
        cancel it then. So as long as one is unheard of, it is looked for."""
        begun = time.monotonic()
        with ThreadPoolExecutor(WORKERS) as pool:
            known = [pool.submit(self.cancel_known, *entry) for entry in self.entries_of_image()]
            orders, positions = pool.submit(self.open_orders), pool.submit(self.positions)
            for one in known:           # these left first: nothing had to be asked for them
                one.result()
            found, held, turn = orders.result(), positions.result(), 0
            while found is not None and held is not None and not self._fatal:
                self.result.reached = True
                entries = [order for order in found if self.is_entry(order)]
                self.late -= {order.link_id for order in found}
                list(pool.map(lambda order: self.cancel(order.symbol, order.link_id, order.order_id), entries))
                again = bool(entries) | bool(known)
                if again:               # an entry may have filled while it was being cancelled
                    found, held, known = self.open_orders(), self.positions(), []
                    if found is None or held is None:
                        break
                again = self.attend(found, held) or any(self.is_entry(order) for order in found)
                late = bool(self.late) and time.monotonic() - begun < self.sheet.recv_window_ms / 1000.0 + LATE_MARGIN_S
                if not late and (not again or turn == ROUNDS):
                    break
                time.sleep(LATE_WAIT_S if not again else FLAT_WAIT_S if turn else 0.05)
                turn = min(turn + again, ROUNDS)
                found, held = self.open_orders(), self.positions()
        self.client.close()
        self.report(found, held)
        self.result.seconds = time.monotonic() - begun
        return self.result

    # ---- what is ours ----

    def entries_of_image(self) -> Iterable[tuple[str, str, bool]]:
        """(symbol, our id, whether the venue has said that it has it)."""
        for symbol, trade in self.trades.items():
            for order in trade["orders"]:
                if order["role"] == "entry" and order["status"] in ("sent", "live"):
                    yield symbol, order_link_id(self.run, order["id"]), order["status"] == "live"

    def ours(self, order: OrderState) -> int | None:
        """Our order id, None where it is not ours by its name."""
        parsed = parse_order_link_id(order.link_id)
        return parsed[1] if parsed and (parsed[0] == self.run or is_ours(parsed[0], self.sheet.name)) else None

    def is_entry(self, order: OrderState) -> bool:
        """A working order of ours that can open or add to a position."""
        number = self.ours(order)
        return (number is not None and number & 15 == Role.ROLE_ENTRY and not order.reduce_only and not order.stop_kind
                and order.standing not in ENDED)

    # ---- acts ----

    def cancel_known(self, symbol: str, link_id: str, had: bool) -> None:
        """An entry of the image, without asking first."""
        reply = self.client.ask(bybit_rest.cancel(symbol, link_id), Asked.CANCEL)
        self._cancelled(reply, symbol, link_id)
        if not had and reply.outcome not in (Outcome.ACCEPTED, Outcome.DONE) and not self.heard_of(symbol, link_id):
            self.late.add(link_id)

    def cancel(self, symbol: str, link_id: str, order_id: str) -> bool:
        return self._cancelled(self.client.ask(bybit_rest.cancel(symbol, link_id, order_id), Asked.CANCEL), symbol, link_id or order_id)

    def _cancelled(self, reply: Reply, symbol: str, name: str) -> bool:
        self._heed(reply)
        if reply.outcome in _GOOD:
            if reply.outcome != Outcome.GONE:
                self._done(self.result.cancelled, f"{symbol} entry {name}")
            return True
        self.say(f"{symbol} {name}: not cancelled yet ({reply.text})")
        return False

    def attend(self, orders: list[OrderState], held: list[Position]) -> bool:
        """Stops and closes. True where it is worth looking again."""
        again = False
        self.result.protected.clear()
        for position in held:
            if position.symbol not in self.symbols or not position.qty:
                continue
            name = f"{position.symbol} {'long' if position.side > 0 else 'short'} {position.qty:g}"
            if self.flatten:
                again |= self.close(position, name)
                continue
            stop = stop_of(position, orders)
            if stop:
                self.result.protected.append(f"{name}, stop at {stop:g}")
            elif self.protect(position, name):
                again = True
            else:
                again |= self.close(position, name)
        if self.flatten and not any(p.qty for p in held if p.symbol in self.symbols):
            for order in orders:        # targets of positions that are gone
                if self.ours(order) is not None and order.reduce_only and not order.stop_kind and order.standing not in ENDED:
                    again |= self.cancel(order.symbol, order.link_id, order.order_id)
        return again

    def protect(self, position: Position, name: str) -> bool:
        price = self.stop_price(position)
        if not price:
            self.say(f"{name}: no stop, and no price for one is known")
            return False
        reply = self.client.ask(bybit_rest.trading_stop(position.symbol, stop_loss=price, index=position.index), Asked.STOP)
        self._heed(reply)
        if reply.outcome in (Outcome.ACCEPTED, Outcome.DONE):
            self._done(self.result.placed, f"{name}, stop at {price}")
            return True
        self.say(f"{name}: the stop at {price} was not taken ({reply.text}); the position is closed instead")
        return False

    def stop_price(self, position: Position) -> str:
        """The bracket's own stop, else the sheet's distance from the entry, on the tick on the side of less loss; "" where neither is possible."""
        trade = self.trades.get(position.symbol)
        if trade and trade["side"] == position.side and Decimal(trade["stop_price"]) > 0 and holds(trade):
            return str(trade["stop_price"])
        tick = self.tick(position.symbol)
        if not tick or not self.sheet.stop_share or position.entry <= 0.0:
            return ""
        price = Decimal(str(position.entry)) * (1 - position.side * Decimal(str(self.sheet.stop_share)))
        return format((price / tick).to_integral_value(ROUND_CEILING if position.side > 0 else ROUND_FLOOR) * tick, "f")

    def tick(self, symbol: str) -> Decimal:
        if symbol in self.trades:
            return Decimal(self.trades[symbol]["tick"])
        if symbol not in self._ticks:
            reply = self.client.ask(bybit_rest.instruments(symbol))
            try:
                page = bybit_instruments.parse_instruments(reply.body)
                self._ticks |= {i.symbol: Decimal(i.tick_size) for i in page.instruments}
            except ValueError:
                pass
        return self._ticks.get(symbol, Decimal(0))

    def close(self, position: Position, name: str) -> bool:
        """At market, reduce-only, all of it: repeated, it cannot do more than close. The id is not in our pattern: a live process, or the next one,
        sees that somebody else reduced its position."""
        link = f"liqcore-kill-{time.time_ns() // 1_000_000:x}-{position.symbol[:10]}"       # at most 36
        reply = self.client.ask(bybit_rest.create(position.symbol, link, -position.side, "0", reduce_only=True, index=position.index), Asked.CREATE)
        self._heed(reply)
        if reply.outcome in (Outcome.ACCEPTED, Outcome.DONE, Outcome.LANDED):
            self._done(self.result.closed, f"{name} at market")
        else:
            self.say(f"{name}: not closed yet ({reply.text})")
        return True

    # ---- questions ----

    def heard_of(self, symbol: str, link_id: str) -> bool:
        """Whether the venue has, or had, an order of this id."""
        for build in (bybit_rest.order_now, bybit_rest.order_past):
            found = parse_orders(self.client.ask(build(symbol, link_id)).body)
            if found.ok and any(order.link_id == link_id for order in found.value or ()):
                return True
        return False

    def open_orders(self) -> list[OrderState] | None:
        return self._pages(bybit_rest.open_orders, parse_orders, "open orders")

    def positions(self) -> list[Position] | None:
        return self._pages(bybit_rest.positions, parse_positions, "positions")

    def _pages(self, build: Callable[..., bybit_rest.Request], parse: Callable[[bytes], Any], what: str) -> list[Any] | None:
        """All pages, or None: half a list is not an account's list."""
        rows: list[Any] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            reply = self.client.ask(build(cursor=cursor))
            self._heed(reply)
            found = parse(reply.body)
            if not found.ok:
                self.say(f"the {what} cannot be read ({reply.text if reply.status == 0 else found.reason})")
                return None
            rows += found.value
            cursor = found.cursor
            if not cursor or not found.value:
                return rows
        self.say(f"the list of {what} has no end")
        return None

    # ---- telling ----

    def report(self, orders: list[OrderState] | None, held: list[Position] | None) -> None:
        out = self.result
        if orders is None or held is None or self._fatal:
            out.reached = out.reached and not self._fatal
            out.remains.append(self._fatal or f"the venue ({self.sheet.rest}) could not be asked: whether entries are working and positions have "
                               "stops is not known. Look at the account at the venue, and run this again")
            return
        for order in orders:
            if self.is_entry(order):
                out.remains.append(f"{order.symbol} entry {order.link_id} is still working")
            elif self.ours(order) is None and not order.stop_kind and order.symbol in self.symbols:
                out.left.append(f"{order.symbol} order {order.link_id or order.order_id}")
        for position in held:
            name = f"{position.symbol} {'long' if position.side > 0 else 'short'} {position.qty:g}"
            if not position.qty:
                continue
            if position.symbol not in self.symbols:
                out.left.append(f"position {name}")
            elif self.flatten:
                out.remains.append(f"position {name} is still open")
            elif not stop_of(position, orders):
                out.remains.append(f"position {name} has no stop")

    def _done(self, where: list[str], text: str) -> None:
        if text not in where:
            where.append(text)
            self.say(text)

    def _heed(self, reply: Reply) -> None:
        if reply.outcome == Outcome.FATAL and not self._fatal:
            self._fatal = f"the venue refuses our key or account ({reply.text}): cancel and protect by hand at the venue"


def read_image(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What the image says, {} where there is none that can be read: a rescue goes on without it."""
    if not (folder / IMAGE).exists():
        return {}
    try:
        found: dict[str, Any] = inspect(folder / IMAGE)
    except DataError as why:
        say(f"{why}; the venue is asked for everything")
        return {}
    if found["damaged"]:
        say(f"{folder / IMAGE}: {', '.join(found['damaged'])}: damaged; the venue is asked")
    return found


def holds(trade: dict[str, Any]) -> bool:
    """Whether a trade of the image has a position, or may have: the stop of one that is over says nothing of another position."""
    return Decimal(trade["position"]) > 0 or any(order["role"] == "entry" and order["status"] in ("sent", "live") for order in trade["orders"])


def stop_of(position: Position, orders: Iterable[OrderState]) -> float:
    """Price of what protects all of a position: its own stop, or reduce-only conditional orders that together close it; 0 = nothing does."""
    if position.stop_loss > 0.0:
        return position.stop_loss
    covered, price = 0.0, 0.0
    for order in orders:
        if (order.symbol == position.symbol and order.side == -position.side and order.standing not in ENDED and order.trigger > 0.0
                and order.stop_kind in STOP_KINDS and (order.reduce_only or order.stop_kind != "Stop")):
            covered += order.qty - order.executed if order.qty > 0.0 else position.qty
            price = order.trigger
    return price if covered >= position.qty * (1.0 - 1e-9) else 0.0
