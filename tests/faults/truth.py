"""What must never happen, judged by the venue's own books and by what crossed the wires, not by what the program believes."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from liqcore.event import Role
from liqshell.venues.bybit.orders import parse_order_link_id

from .clock import NEVER, NS, Clock
from .laws import LAWS
from .trace import Trace

NAKED_MAX_NS = 2 * NS
STOP_AWAY = 0.06  # share of the entry price: the widest stop of the bot, and a gap between decision and fill
FIND_NS = 10 * NS  # what was done to a position while we could not know it: to be found and mended within, from when we can
SINGLE_ROLES = (Role.ROLE_ENTRY, Role.ROLE_TARGET, Role.ROLE_CLOSE)
NO_COUNTERPART = "EC_NoImmediateQtyToFill"
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken law: which, when, and what was seen."""

    law: str
    at_s: float
    text: str

    def __str__(self) -> str:
        return f"{self.law} at {self.at_s:.6f} s: {self.text}"


class Broken(BaseException):
    """A law was broken: the run ends here. Not an Exception: nothing in the program may catch it."""

    def __init__(self, violation: Violation):
        super().__init__(str(violation))
        self.violation = violation


@dataclass(slots=True)
class Caps:
    """What the run's limits allow (settings of liqcore.Risk). slack: share by which prices may have moved between decision and arrival."""

    order_notional: float
    exposure: float
    positions: int
    per_minute: int
    per_signal: int
    slack: float = 0.03


class Truth:
    """Looks at the venue's books after each of its events. able_since(): since when the program can hear and act (alive, wires up, nothing
    disturbed); None = it cannot."""

    def __init__(
        self, clock: Clock, trace: Trace, caps: Caps, books: Callable[[], Mapping[str, Any]], name: str, able_since: Callable[[], int | None]
    ):
        self.clock, self.trace, self.caps, self.books, self.name, self.able_since = clock, trace, caps, books, name, able_since
        self.start = clock.now
        self.naked: dict[str, int] = {}  # symbol -> since
        self.stripped: dict[str, int] = {}  # symbol -> until when its stops may vanish at the venue
        self.spent: dict[str, int] = {}  # symbol -> when its stop was triggered in vain
        self.bare: set[str] = set()  # entries whose stop the venue has left out
        self.exposed: set[str] = set()  # naked because of one of these: by no deed of the program
        self.foreign: set[str] = set()  # symbols that somebody else trades, too
        self.split = False  # a split has happened
        self.resized: set[str] = set()  # symbols whose position was split: its size was never asked for
        self.created: Counter[str] = Counter()  # link id -> how often a create of it arrived
        self.first_qty: dict[tuple[str, int, int], float] = {}  # (run, instrument, bracket) -> quantity of the first entry
        self.minute: deque[int] = deque()  # times at which entries left
        self.per_signal: Counter[tuple[str, int, int]] = Counter()
        self.filled: defaultdict[tuple[str, int, int], float] = defaultdict(float)
        self.seen: set[str] = set()  # execution ids
        self.booked: set[str] = set()  # entries that the venue has taken into its book
        self.flat = True  # nothing rests and nothing is held
        self.since: dict[tuple[str, str], int] = {}  # (symbol, "held" or an entry's link id) -> since when the books have it
        self.worst_naked_ns = 0
        self.counts: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()  # laws

    def fail(self, law: str, text: str) -> None:
        """A law is broken: the run ends here, if the law is on."""
        self.counts[f"broken: {law}"] += 1
        if LAWS[law].on:
            raise Broken(Violation(law, (self.clock.now - self.start) / NS, text))

    def ask(self, *laws: str) -> None:
        """These laws are being asked, whatever comes of it."""
        self.asked.update(laws)

    # ---- what leaves the program ----

    def entry_leaves(self, link_id: str) -> None:
        """An entry is being handed to the wire."""
        self.ask("limits")
        now = self.clock.now
        self.minute.append(now)
        while self.minute and self.minute[0] <= now - 60 * NS:
            self.minute.popleft()
        if len(self.minute) > self.caps.per_minute:
            self.fail("limits", f"{len(self.minute)} entries within a minute, {self.caps.per_minute} are allowed")
        run, order = _of(link_id)
        key = (run, order >> 40, (order >> 12) & 0xFFFFFFF)
        self.per_signal[key] += 1
        if self.per_signal[key] > self.caps.per_signal:
            self.fail("limits", f"{self.per_signal[key]} entries for one signal, {self.caps.per_signal} are allowed: {link_id}")

    # ---- what reaches the venue ----

    def create_arrives(self, arguments: Mapping[str, Any]) -> None:
        """A create reaches the venue, whatever becomes of it."""
        link_id = str(arguments.get("orderLinkId", ""))
        self.ask("sent twice")
        self.created[link_id] += 1
        self.counts["creates"] += 1
        if parse_order_link_id(link_id) and _of(link_id)[1] & 15 == Role.ROLE_ENTRY:
            self.counts["entries"] += 1
        if self.created[link_id] > 1:
            self.fail("sent twice", f"a create of {link_id} has reached the venue {self.created[link_id]} times")
        if parse_order_link_id(link_id) and _of(link_id)[1] & 15 == Role.ROLE_ENTRY and not float(arguments.get("stopLoss") or 0.0):
            self.bare.add(link_id)

    # ---- the books ----

    def look(self) -> None:
        """After every event of the venue."""
        books = self.books()
        self.resized = {symbol for (symbol, _), position in books["positions"].items() if position["qty"] and symbol in self.resized}
        self.flat = not books["orders"] and not any(position["qty"] for position in books["positions"].values())
        self._count_time(books)
        self.ask("duplicate")
        self._protected(books)
        self._single(books)
        self._limits(books)

    def _count_time(self, books: Mapping[str, Any]) -> None:
        """Since when each position is held, and each entry rests."""
        now = self.clock.now
        seen = {(symbol, "long" if position["qty"] > 0 else "short") for (symbol, _), position in books["positions"].items() if position["qty"]}
        for order in books["orders"]:
            found = parse_order_link_id(order["link_id"])
            if found is not None and found[0].startswith(self.name) and found[1] & 15 == Role.ROLE_ENTRY:
                seen.add((order["symbol"], order["link_id"]))
        self.since = {key: self.since.get(key, now) for key in seen}

    def _protected(self, books: Mapping[str, Any]) -> None:
        now = self.clock.now
        held: set[str] = set()
        for (symbol, _), position in books["positions"].items():
            qty = position["qty"]
            if abs(qty) < EPSILON or symbol in self.foreign:
                continue
            self.ask("protected")
            covered = abs(qty) if position["stop_loss"] else position["stop_qty"]
            away = (position["entry"] - position["stop_loss"]) * (1 if qty > 0 else -1)
            if position["stop_loss"] and away > STOP_AWAY * position["entry"]:
                self.fail(
                    "protected", f"{symbol}: the stop at {position['stop_loss']:g} is too far from the entry at {position['entry']:g} to be one"
                )
            closing = sum(
                o["left"]
                for o in books["orders"]
                if o["symbol"] == symbol
                and o["reduce_only"]
                and o["side"] * qty < 0
                and (o["status"] == "Triggered" or not o["price"] and not o["trigger"])
            )
            if covered + closing >= abs(qty) - EPSILON:
                continue
            held.add(symbol)
            if symbol not in self.naked:
                self.naked[symbol] = now
                if now <= self.stripped.get(symbol, -1) or self.spent.get(symbol) == now:
                    self.exposed.add(symbol)
                self.trace.say(now, "naked", symbol, qty, position["stop_loss"], position["stop_qty"])
                self.clock.after(NAKED_MAX_NS + 1, self._check, symbol, now)
        for symbol in [s for s in self.naked if s not in held]:
            since = self.naked.pop(symbol)
            able_since = self.able_since()
            if symbol not in self.exposed or (able_since is not None and able_since <= since):
                self.worst_naked_ns = max(self.worst_naked_ns, now - since)
            self.exposed.discard(symbol)
            self.trace.say(now, "covered", symbol, (now - since) / 1e6)

    def _check(self, symbol: str, since: int) -> None:
        if self.naked.get(symbol) != since:
            return
        limit = since + NAKED_MAX_NS
        if symbol in self.exposed:
            able_since = self.able_since()
            limit = NEVER if able_since is None else limit if able_since <= since else able_since + FIND_NS
        if self.clock.now <= limit:
            self.clock.at(min(limit + 1, self.clock.now + NS), self._check, symbol, since)
            return
        self.fail("protected", f"{symbol}: a position has been without a stop for {(self.clock.now - since) / NS:.3f} s")

    def resize(self, symbol: str) -> None:
        """A split: what the position is more by was asked for by nobody. Where no stop covers it, too, it is somebody else's, as the second judge says."""
        self.resized.add(symbol)
        self.split = True
        if self.naked.pop(symbol, None) is not None:
            self.foreign.add(symbol)

    def strip(self, symbol: str, until_ns: int) -> None:
        """Until then somebody, or the venue, takes stops of that symbol away against its own rules: to be noticed and mended, in the time that this
        takes once it can be noticed."""
        self.stripped[symbol] = max(until_ns, self.stripped.get(symbol, 0))

    def stop_ordered(self, row: Mapping[str, Any]) -> None:
        """What the venue says of an attached stop. One that is triggered and finds nobody within the slippage that the venue allows is cancelled, and
        leaves the position naked at the venue: nobody can prevent that, and only who is there can mend it. Whoever is, has the two seconds of the law."""
        if row.get("stopOrderType") == "StopLoss" and row.get("orderStatus") == "Cancelled" and row.get("rejectReason") == NO_COUNTERPART:
            self.spent[row["symbol"]] = self.clock.now

    def _single(self, books: Mapping[str, Any]) -> None:
        live: Counter[tuple[str, int]] = Counter()
        entries: Counter[str] = Counter()
        for order in books["orders"]:
            found = parse_order_link_id(order["link_id"])
            if found is None or not found[0].startswith(self.name):
                continue
            live[found[0], found[1] & ~0xFF0] += 1  # whatever the attempt
            if found[1] & 15 == Role.ROLE_ENTRY:
                entries[order["symbol"]] += 1
        for (_run, order_id), count in live.items():
            if count > 1 and order_id & 15 in SINGLE_ROLES:
                self.fail("duplicate", f"{count} live orders of one role of one bracket: {order_id:x}")
        for symbol, count in entries.items():
            if count > 1:
                self.fail("duplicate", f"{symbol}: {count} live entries")

    def _limits(self, books: Mapping[str, Any]) -> None:
        exposure, symbols = 0.0, set()
        for (symbol, _), position in books["positions"].items():
            if abs(position["qty"]) > EPSILON and symbol not in self.foreign and symbol not in self.resized:
                exposure += abs(position["qty"]) * position["entry"]
                symbols.add(symbol)
        for order in books["orders"]:
            if not order["reduce_only"] and order["symbol"] not in self.foreign and not order["trigger"]:
                exposure += order["left"] * order["price"]
                symbols.add(order["symbol"])
        if exposure > self.caps.exposure * (1.0 + self.caps.slack):
            self.fail("limits", f"exposure of {exposure:.2f}, {self.caps.exposure:.2f} are allowed")
        if len(symbols) > self.caps.positions:
            self.fail("limits", f"positions or entries in {', '.join(sorted(symbols))}, {self.caps.positions} are allowed")

    # ---- what the venue says ----

    def executed(self, row: Mapping[str, Any]) -> None:
        """An execution, as the venue books it (once)."""
        if row["execId"] in self.seen:
            return
        self.seen.add(row["execId"])
        found = parse_order_link_id(row.get("orderLinkId") or "")
        if found is None:
            return
        self.counts["fills"] += 1
        if row["orderLinkId"] in self.bare:  # the order's own stop: whoever can reach the venue has seen it, and has the two seconds of the law
            self.spent[row["symbol"]] = self.clock.now
        run, order = found
        if order & 15 == Role.ROLE_ENTRY:
            key = (run, order >> 40, (order >> 12) & 0xFFFFFFF)
            self.ask("overfilled")
            self.filled[key] += float(row["execQty"])
            allowed = self.first_qty.get(key, float("inf"))
            if self.filled[key] > allowed + EPSILON:
                self.fail("overfilled", f"entries of one bracket filled {self.filled[key]}, approved were {allowed}: {row['orderLinkId']}")

    def ordered(self, row: Mapping[str, Any]) -> None:
        """What the venue says of an order, as it says it."""
        found = parse_order_link_id(row.get("orderLinkId") or "")
        if found is None or found[1] & 15 != Role.ROLE_ENTRY or row.get("orderStatus") not in ("New", "PartiallyFilled", "Filled"):
            return  # a market order is never New: what the venue says first of it is its fill
        if row["orderLinkId"] not in self.booked:
            self.booked.add(row["orderLinkId"])
            price = row.get("avgPrice") if row.get("orderType") == "Market" else row.get("price")
            self.entry_accepted(row["orderLinkId"], float(row["qty"]), float(price or 0.0))

    def entry_accepted(self, link_id: str, qty: float, price: float) -> None:
        """The venue has booked an entry; price: its limit, or what it was worth."""
        run, order = _of(link_id)
        key = (run, order >> 40, (order >> 12) & 0xFFFFFFF)
        if self.filled[key] > self.first_qty.setdefault(key, qty) + EPSILON:
            self.fail("overfilled", f"entries of one bracket filled {self.filled[key]}, approved were {self.first_qty[key]}: {link_id}")
        if qty * price > self.caps.order_notional * (1.0 + self.caps.slack):
            self.fail("limits", f"an entry of {qty * price:.2f}, {self.caps.order_notional:.2f} are allowed: {link_id}")


def _of(link_id: str) -> tuple[str, int]:
    found = parse_order_link_id(link_id)
    if found is None:
        raise Broken(Violation("ids", 0.0, f"a link id of ours that cannot be read back: {link_id!r}"))
    return found
