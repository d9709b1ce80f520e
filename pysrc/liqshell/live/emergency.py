"""Actions at the venue without the live process: cancel our working entries, give each of our positions a stop, close positions on request. Positions
of others are not touched (liqshell.live.whose); a position of an unknown owner gets a stop and is not closed.

Used by `liqcore kill` and by the watchdog. It reads the state folder (image, sheet) and queries the venue for the rest. It may run beside a live
process, because a repetition of its actions does no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from liqcore.event import Role
from liqshell.errors import DataError
from liqshell.live.blocking_rest import Reply, RestClient
from liqshell.live.whose import NEAR, Known, Share, share
from liqshell.rest import paged, walk
from liqshell.state.image import IMAGE
from liqshell.state.image_file import inspect
from liqshell.state.prefix import is_ours
from liqshell.state.sheet import Sheet
from liqshell.state.store import set_aside
from liqshell.venues.bybit import instruments as bybit_instruments
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit.orders import LINK_ID_CHARS_MAX, order_link_id, parse_order_link_id
from liqshell.venues.bybit.rest_responses import parse_executions, parse_orders, parse_positions
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import ENDED, Execution, OrderState, Position

ROUNDS = 4  # of looking again
FLAT_WAIT_S = 0.25  # between closing and looking
LATE_WAIT_S, LATE_MARGIN_S = 0.5, 1.0  # between two looks for what may still be on its way; beyond the receive window
WORKERS = 4
EXECUTION_PAGES_MAX = 10  # of a contract, newest first; what was executed before is for the image to know
FLATTENED_WAIT_S = 1.0  # that long it is asked whose a position was that has been closed
EXECUTIONS_WAIT_S = 0.5  # the wait of a position without a stop for the report whether we have closed it before
STOP_KINDS = ("StopLoss", "TrailingStop", "Stop")
_GOOD = (Outcome.ACCEPTED, Outcome.DONE, Outcome.GONE)


@dataclass
class Result:
    """The actions of a rescue and the open rest. reached: the venue answered. remains: what a person must look at; empty = nothing."""

    reached: bool = False
    cancelled: list[str] = field(default_factory=list)
    protected: list[str] = field(default_factory=list)  # positions that have a stop, as found or placed
    placed: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # orders and positions that are not ours
    doubts: list[str] = field(default_factory=list)  # positions of an unknown owner
    remains: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return self.reached and not self.remains

    def lines(self) -> list[str]:
        """For people."""
        out = [f"cancelled: {text}" for text in self.cancelled] + [f"stop placed: {text}" for text in self.placed]
        out += [f"closed: {text}" for text in self.closed] + [f"has a stop: {text}" for text in self.protected]
        out += [f"not ours, left alone: {text}" for text in self.left] + [f"owner unknown: {text}" for text in self.doubts]
        out += [f"REMAINS: {text}" for text in self.remains]
        return out if out else ["no entry is working and no position is open"]


class Rescue:
    """One rescue of one state folder. log_line: called with each line as it happens."""

    def __init__(
        self,
        folder: str | Path,
        sheet: Sheet,
        keys: Keys,
        *,
        flatten: bool = False,
        within_s: float = 30.0,
        log_line: Callable[[str], None] | None = None,
    ):
        self.folder, self.sheet, self.flatten = Path(folder), sheet, flatten
        self.client = RestClient(sheet.rest, keys, recv_window_ms=sheet.recv_window_ms, until=time.monotonic() + within_s, ca=sheet.ca)
        self.result = Result()
        self.log_line = log_line or (lambda line: None)
        self.image = read_image(self.folder, self.log_line)
        self.run: str = self.image.get("run", "")
        self.trades: dict[str, dict[str, Any]] = {trade["symbol"]: trade for trade in self.image.get("trades", ())}
        self.symbols = set(sheet.symbols) | {symbol for symbol, trade in self.trades.items() if trade["state"] != "flat"}
        self.whole = bool(self.image) and set_aside(self.folder / IMAGE) is None  # with one aside, this one is of a later folder
        self.late: set[str] = set()  # entries that had been sent, and that the venue knows nothing of yet
        self._fatal = ""
        self._ticks: dict[str, Decimal] = {}
        self._shares: dict[tuple[str, int], Share] = {}  # of each position looked at last, by contract and index
        self._closing: dict[tuple[str, int], tuple[float, float]] = {}  # before the first close of our part: signed quantity, our part
        self._flattened: set[str] = set()  # ids of our closes
        self._unread: set[str] = set()  # contracts whose executions were not answered, or not yet

    def act(self) -> Result:
        """Do it. Never raises for the venue or the network.

        An entry that left just before may still be on its way: the venue takes it until its receive window is over, and nobody else will be there to
        cancel it then. So as long as one is unheard of, it is looked for."""
        begun = time.monotonic()
        with ThreadPoolExecutor(WORKERS) as pool, ThreadPoolExecutor(1) as self._reader:
            known = [pool.submit(self.cancel_known, *entry) for entry in self.entries_of_image()]
            orders, positions = pool.submit(self.open_orders), pool.submit(self.positions)
            for one in known:  # these left first: nothing had to be asked for them
                one.result()
            found, held, turn = orders.result(), positions.result(), 0
            while found is not None and held is not None and not self._fatal:
                self.result.reached = True
                entries = [order for order in found if self.is_entry(order)]
                self.late -= {order.link_id for order in found}
                list(pool.map(lambda order: self.cancel(order.symbol, order.link_id, order.order_id), entries))
                again = bool(entries) | bool(known)
                if again:  # an entry may have filled while it was being cancelled
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
        """(symbol, our id, whether the venue has confirmed it)."""
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
        return number is not None and number & 15 == Role.ROLE_ENTRY and not order.reduce_only and not order.stop_kind and order.standing not in ENDED

    # ---- acts ----

    def cancel_known(self, symbol: str, link_id: str, had: bool) -> None:
        """An entry of the image, without asking first."""
        reply = self.client.ask(bybit_rest.cancel(symbol, link_id), Asked.CANCEL)
        self._cancelled(reply, symbol, link_id)
        if not had and reply.outcome not in (Outcome.ACCEPTED, Outcome.DONE) and self.order(symbol, link_id) is None:
            self.late.add(link_id)

    def cancel(self, symbol: str, link_id: str, order_id: str) -> bool:
        return self._cancelled(self.client.ask(bybit_rest.cancel(symbol, link_id, order_id), Asked.CANCEL), symbol, link_id or order_id)

    def _cancelled(self, reply: Reply, symbol: str, name: str) -> bool:
        self._note_refusal(reply)
        if reply.outcome in _GOOD:
            if reply.outcome != Outcome.GONE:
                self._done(self.result.cancelled, f"{symbol} entry {name}")
            return True
        self.log_line(f"{symbol} {name}: not cancelled yet ({reply.text})")
        return False

    def attend(self, orders: list[OrderState], held: list[Position]) -> bool:
        """Stops and closes. True where it is worth looking again."""
        again = False
        self.result.protected.clear()
        held = [position for position in held if position.qty and position.symbol in self.symbols]
        if self.flatten:
            return self.flat(orders, held)
        # what needs no question first: ours without a stop
        for position in sorted(held, key=lambda p: (not self.known(p.symbol).expected(p), stop_of(p, orders) > 0.0)):
            name = _name(position)
            if stop := stop_of(position, orders):
                if self.whole and not self.known(position.symbol).expected(position) and self.whose(position).foreign:
                    continue
                self.result.protected.append(f"{name}, stop at {stop:g}")
            else:
                again |= self.secure(position, name)
        return again

    def secure(self, position: Position, name: str) -> bool:
        """A position without a stop: one is placed unless it is somebody else's; where the venue takes none, our part is closed. What may be ours
        gets its stop though executions are not answered at once: only what is closed must be ours."""
        known = self.known(position.symbol)
        nothing = known.whole and not known.net * position.side > 0.0 and not known.entries_out()
        mine = self.whose(position, None if nothing else EXECUTIONS_WAIT_S)
        if mine.foreign:
            return False
        placed = self.protect(position, name)
        if not placed and position.symbol in self._unread and not known.expected(position):
            mine = self.whose(position)
        if mine.doubt and mine.qty < position.qty:
            part = f"; {mine.qty:g} of it is ours" if mine.qty else ""
            done = "a stop was placed" if placed else "the venue accepted no stop, and a position that may not be ours is not closed"
            self._done(self.result.doubts, f"{name}: {mine.doubt}{part}; {done}", "owner unknown: ")
        if not placed and mine.qty:
            self.close(position, name, mine.qty)
        return True

    def flat(self, orders: list[OrderState], held: list[Position]) -> bool:
        """All are closed; only then the foreign part is queried and reported."""
        replies = [self.send_close(position, "0") for position in held]
        for position, reply in zip(held, replies, strict=True):
            if reply.outcome not in (Outcome.ACCEPTED, Outcome.DONE, Outcome.LANDED):
                self.log_line(f"{_name(position)}: not closed yet ({reply.text})")
                continue
            mine = self.whose(position, FLATTENED_WAIT_S)
            word = ", owner unknown" if mine.doubt else f", of which {mine.qty:g} ours" if mine.qty else ", not ours"
            self._done(self.result.closed, f"{_name(position)} at market{word if mine.qty < position.qty else ''}")
        again = bool(held)
        if not held:
            for order in orders:  # targets of positions that are gone
                if self.ours(order) is not None and order.reduce_only and not order.stop_kind and order.standing not in ENDED:
                    again |= self.cancel(order.symbol, order.link_id, order.order_id)
        return again

    # ---- whose a position is ----

    def known(self, symbol: str) -> Known:
        """The state folder's data of a contract. A damaged name may be any contract's."""
        trade = self.trades.get(symbol)
        whole = self.whole and (trade is not None or not set(self.image["damaged"]) - {"account"})
        return Known(self.sheet.name, self.run, whole, trade, self.image.get("created_ns", 0) // 1_000_000)

    def whose(self, position: Position, wait_s: float | None = None) -> Share:
        """wait_s: for the venue's executions, None = as long as it takes. Positions that this rescue has closed no longer count as ours."""
        known, key = self.known(position.symbol), (position.symbol, position.index)
        try:
            executions, executed = self._reader.submit(self.evidence, known, position).result(wait_s)
        except Late:  # a stop does not wait
            executions, executed = None, {}
        (self._unread.add if executions is None else self._unread.discard)(position.symbol)
        found = share(known, position, executions, executed)
        if key in self._closing:
            before, mine = self._closing[key]
            left = max(0.0, mine - max(0.0, abs(before) - position.qty))
            found = replace(found, qty=0.0 if left <= NEAR * mine else min(found.qty, left))
        self._shares[key] = found
        return found

    def evidence(self, known: Known, position: Position) -> tuple[list[Execution] | None, dict[int, float | None]]:
        """Executions of a contract, and what was executed of our entries that were on their way."""
        executions, executed = self.executions(position.symbol), {}
        if known.whole and not known.expected(position):
            for number in known.entries_out():
                found = self.order(position.symbol, order_link_id(self.run, number))
                executed[number] = found.executed if found is not None else None
        return executions, executed

    def executions(self, symbol: str) -> list[Execution] | None:
        """The latest of a contract, newest first, without what this rescue has flattened; None where they cannot be read."""
        out: list[Execution] = []
        cursor = ""
        for _ in range(EXECUTION_PAGES_MAX):
            reply = self.client.ask(bybit_rest.executions(symbol=symbol, cursor=cursor))
            found = parse_executions(reply.body)
            if not found.ok or found.value is None:
                self.log_line(f"{symbol}: its executions cannot be read ({reply.text})")
                return None
            out += found.value
            cursor = found.cursor
            if not cursor or not found.value:
                break
        return [x for x in out if not (self.flatten and x.link_id in self._flattened)]

    def protect(self, position: Position, name: str) -> bool:
        price = self.stop_price(position)
        if not price:
            self.log_line(f"{name}: no stop, and no known price for one")
            return False
        reply = self.client.ask(bybit_rest.trading_stop(position.symbol, stop_loss=price, index=position.index), Asked.STOP)
        self._note_refusal(reply)
        if reply.outcome in (Outcome.ACCEPTED, Outcome.DONE):
            self._done(self.result.placed, f"{name}, stop at {price}")
            return True
        self.log_line(f"{name}: the venue did not accept the stop at {price} ({reply.text})")
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

    def close(self, position: Position, name: str, qty: float) -> None:
        """At market, reduce-only, our part of it: repeated, it cannot do more than close that."""
        part = qty < position.qty
        self._closing.setdefault((position.symbol, position.index), (position.side * position.qty, qty))
        reply = self.send_close(position, format(Decimal(str(round(qty, 9))), "f") if part else "0")
        text = f"{name}: our {qty:g} of it" if part else name
        if reply.outcome in (Outcome.ACCEPTED, Outcome.DONE, Outcome.LANDED):
            self._done(self.result.closed, f"{text} at market")
        else:
            self.log_line(f"{text} not closed yet ({reply.text})")

    def send_close(self, position: Position, qty: str) -> Reply:
        """qty "0": all of it. The id is not in our pattern: a live process, or the next one, sees that somebody else reduced its position. It says of
        which bracket it is, so that a later rescue knows what is ours no more."""
        sequence = self.trades[position.symbol]["sequence"] if position.symbol in self.trades else 0
        link = f"liqcore-kill-{time.time_ns() // 1_000_000:x}-{sequence:x}-{position.symbol}"[:LINK_ID_CHARS_MAX]
        self._flattened.add(link)
        reply = self.client.ask(bybit_rest.create(position.symbol, link, -position.side, qty, reduce_only=True, index=position.index), Asked.CREATE)
        self._note_refusal(reply)
        return reply

    # ---- questions ----

    def order(self, symbol: str, link_id: str) -> OrderState | None:
        """As the venue has it, open or ended."""
        for build in (bybit_rest.order_now, bybit_rest.order_past):
            found = parse_orders(self.client.ask(build(symbol, link_id)).body)
            if found.ok and (order := next((order for order in found.value or () if order.link_id == link_id), None)) is not None:
                return order
        return None

    def open_orders(self) -> list[OrderState] | None:
        return self._pages(bybit_rest.open_orders, parse_orders, "open orders")

    def positions(self) -> list[Position] | None:
        return self._pages(bybit_rest.positions, parse_positions, "positions")

    def _pages(self, build: Callable[..., bybit_rest.Request], parse: Callable[[bytes], Any], what: str) -> list[Any] | None:
        """All pages, or None: half a list is not an account's list."""

        def ask(request: bybit_rest.Request) -> Any:
            reply = self.client.ask(request)
            self._note_refusal(reply)
            found = parse(reply.body)
            return found if reply.status or found.ok else replace(found, reason=reply.text)

        found = walk(paged(lambda cursor: build(cursor=cursor)), ask)
        if found.value is None or not found.ok:
            self.log_line(f"the {what} cannot be read ({found.reason})")
            return None
        return list(found.value)

    # ---- telling ----

    def report(self, orders: list[OrderState] | None, held: list[Position] | None) -> None:
        out = self.result
        if orders is None or held is None or self._fatal:
            out.reached = out.reached and not self._fatal
            out.remains.append(
                self._fatal
                or f"the venue ({self.sheet.rest}) did not answer, so working entries and missing stops are not known. "
                "Look at the account at the venue, and run this again"
            )
            return
        for order in orders:
            if self.is_entry(order):
                out.remains.append(f"{order.symbol} entry {order.link_id} is still working")
            elif self.ours(order) is None and not order.stop_kind and order.symbol in self.symbols:
                out.left.append(f"{order.symbol} order {order.link_id or order.order_id}")
        for position in held:
            name, mine = _name(position), self._shares.get((position.symbol, position.index))
            if not position.qty:
                continue
            if position.symbol not in self.symbols:
                out.left.append(f"position {name}")
            elif self.flatten:
                out.remains.append(f"position {name} is still open")
            elif mine is not None and mine.foreign:
                out.left.append(f"position {name}")
                if position.symbol in self._unread:
                    out.remains.append(f"position {name}: not ours by the state image, and its executions cannot be read")
            elif not stop_of(position, orders):
                out.remains.append(f"position {name} has no stop")

    def _done(self, where: list[str], text: str, said: str = "") -> None:
        if text not in where:
            where.append(text)
            self.log_line(said + text)

    def _note_refusal(self, reply: Reply) -> None:
        if reply.outcome == Outcome.FATAL and not self._fatal:
            self._fatal = f"the venue refuses our key or account ({reply.text}): cancel and protect by hand at the venue"


def _name(position: Position) -> str:
    return f"{position.symbol} {'long' if position.side > 0 else 'short'} {position.qty:g}"


def read_image(folder: Path, log_line: Callable[[str], None]) -> dict[str, Any]:
    """The content of the image; {} if it is missing or unreadable: a rescue continues without it."""
    if not (folder / IMAGE).exists():
        return {}
    try:
        found: dict[str, Any] = inspect(folder / IMAGE)
    except DataError as why:
        log_line(f"{why}; the venue is asked for everything")
        return {}
    if found["damaged"]:
        log_line(f"{folder / IMAGE}: {', '.join(found['damaged'])}: damaged; the venue is asked")
    return found


def holds(trade: dict[str, Any]) -> bool:
    """True if a trade of the image has or may have a position: the stop of an ended trade does not belong to another position."""
    return Decimal(trade["position"]) > 0 or any(order["role"] == "entry" and order["status"] in ("sent", "live") for order in trade["orders"])


def stop_of(position: Position, orders: Iterable[OrderState]) -> float:
    """Price of what protects all of a position: its own stop, or reduce-only conditional orders that together close it; 0 = nothing does."""
    if position.stop_loss > 0.0:
        return position.stop_loss
    covered, price = 0.0, 0.0
    for order in orders:
        if (
            order.symbol == position.symbol
            and order.side == -position.side
            and order.standing not in ENDED
            and order.trigger > 0.0
            and order.stop_kind in STOP_KINDS
            and (order.reduce_only or order.stop_kind != "Stop")
        ):
            covered += order.qty - order.executed if order.qty > 0.0 else position.qty
            price = order.trigger
    return price if covered >= position.qty * (1.0 - 1e-9) else 0.0
