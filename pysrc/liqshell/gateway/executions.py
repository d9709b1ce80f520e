"""The owner of an execution: one of our orders, the attached stop, the venue's liquidation, or another party."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from liqcore.event import Kind, Role
from liqcore.instrument import Instrument
from liqshell.gateway.context import Context
from liqshell.gateway.events import fill_event, funding_event, instrument_of, order_number, role_of, sequence_of
from liqshell.gateway.inquiry import Inquiries
from liqshell.gateway.settings import MS
from liqshell.venues.effects import Level
from liqshell.venues.reports import TRADES, Execution, Position

# To which bracket a venue's time belongs. An attached stop and actions of others carry none of our ids: only the time distinguishes them.
# All times are the venue's, in ms. A bracket's epoch begins after the last execution of the one before it: what was created by then was that
# one's.
EPOCHS_KEPT = 16


class Epochs:
    """Of each instrument: (sequence, first ms), oldest first."""

    def __init__(self) -> None:
        self._of: dict[int, deque[tuple[int, int]]] = {}
        self._executed: dict[int, tuple[int, int]] = {}  # (sequence, ms) of the latest execution

    def opened(self, n: int, sequence: int, at_ms: int) -> None:
        """A bracket's entry was sent, not before at_ms."""
        known = self._of.setdefault(n, deque(maxlen=EPOCHS_KEPT))
        if not known or known[-1][0] != sequence:
            last, ts_ms = self._executed.get(n, (sequence, 0))
            known.append((sequence, at_ms if last == sequence else max(at_ms, ts_ms + 1)))

    def refine(self, n: int, sequence: int, created_ms: int) -> None:
        """The venue says when it made the entry; only later than what is known helps."""
        known = self._of.get(n)
        if known and known[-1][0] == sequence and created_ms > known[-1][1]:
            known[-1] = (sequence, created_ms)

    def executed(self, n: int, sequence: int, ts_ms: int, current: int) -> None:
        """An execution of a bracket: its epoch has begun by then, and while it is the latest, the next begins after it."""
        known = self._of.get(n)
        if known and known[-1][0] == sequence and ts_ms < known[-1][1]:
            known[-1] = (sequence, ts_ms)
        if sequence == current:
            last, before_ms = self._executed.get(n, (sequence, 0))
            self._executed[n] = (sequence, max(ts_ms, before_ms) if last == sequence else ts_ms)

    def first_ms(self, n: int) -> int:
        """Where the latest epoch begins; 0 = not known."""
        known = self._of.get(n)
        return known[-1][1] if known else 0

    def at(self, n: int, ts_ms: int, current: int) -> int:
        """Sequence of the bracket that something of that time belongs to; what is older than all that is known belongs to none (-1)."""
        known = self._of.get(n)
        if not known:
            return current
        for sequence, first in reversed(known):
            if ts_ms >= first:
                return sequence
        return -1


# Reductions that nothing explained when they were found: booked at the mark, and put right when the venue's record of them is learnt after all.
# The engine has counted the quantity by then and counts no execution twice, so only money is left to move: it goes the way of funding, the one
# report about money alone.
KEPT_MS = 3_600_000  # that long a record may turn up
LONG_AGO_NS = 10**17  # 1973: before all funding, and still a time in ns
GUESSES_MAX = 16  # of one contract


@dataclass(slots=True)
class Guess:
    """lots of them are not explained yet; price: by which they were booked; side: of the execution; from_ms .. to_ms: when it can have been.
    order: ours, by whose report they were booked, 0 = none. fee: booked with each lot."""

    side: int
    lots: int
    price: float
    from_ms: int
    to_ms: int
    order: int = 0
    fee: float = 0.0


class Guessed:
    """By instrument."""

    def __init__(self, context: Context) -> None:
        self.c = context
        self._of: dict[int, list[Guess]] = {}
        self._funded: dict[int, int] = {}  # instrument -> time of the newest report about money alone, ns

    def book(self, n: int, x: Execution, from_ms: int, order: int = 0) -> None:
        """With order, x is an estimated execution of that order of ours."""
        lots = self.c.lots(n, x.qty)
        self._of.setdefault(n, []).append(Guess(x.side, lots, x.price, from_ms, x.ts_ms, order, x.fee / max(lots, 1)))
        del self._of[n][:-GUESSES_MAX]

    def funded(self, n: int, ts_ms: int) -> None:
        """Funding was reported."""
        self._funded[n] = max(self._funded.get(n, 0), ts_ms * MS)

    def since_ms(self) -> int | None:
        """From when on records are still wanted; None = from no particular time."""
        old_ms = self.c.venue_ns() // MS - KEPT_MS
        for n, found in list(self._of.items()):
            self._of[n] = [guess for guess in found if guess.to_ms > old_ms]
            if not self._of[n]:
                del self._of[n]
        return min((guess.from_ms for found in self._of.values() for guess in found), default=None)

    def explain(self, n: int, x: Execution, order: int = 0) -> bool:
        """True if this record, of one of our orders or (0) of none, describes an execution that was booked without it. Then what it says differently
        has been booked."""
        guess = next((g for g in self._of.get(n, ()) if g.side == x.side and g.order == order and g.from_ms <= x.ts_ms <= g.to_ms), None)
        lots = self.c.lots(n, x.qty)
        if guess is None or lots <= 0:
            return False
        part = min(lots, guess.lots)
        unit = self.c.engine.instruments[n]
        paid = (x.fee / lots - guess.fee) * part + x.side * (x.price - guess.price) * unit.qty(part) * unit.multiplier
        guess.lots -= part
        if not guess.lots:
            self._of[n].remove(guess)
            if not self._of[n]:
                del self._of[n]
        self._pay(n, x, paid, unit.qty(part))
        self.c.counters["guesses put right"] += 1
        self.c.notice(
            Level.WARNING,
            "put right",
            f"{x.kind} of {unit.qty(part):g} was at {x.price:g}; it was booked at {guess.price:g} before the "
            f"record arrived. The difference of {-paid:+.4f} is booked under funding",
            x.symbol,
        )
        return True

    def _pay(self, n: int, x: Execution, paid: float, qty: float) -> None:
        """The engine takes such reports in the order of their times, and real funding of any time must still be taken: as early as will do."""
        c = self.c
        for ts_ns in (self._funded.get(n, LONG_AGO_NS) + 1, x.ts_ms * MS):
            before = c.engine.account.position(n)["funding"]
            event = funding_event(c.stamp(), n, -x.side, unlisted(x.id, x.symbol, 0, x.price, qty, paid, x.kind, 0))
            c.report((ts_ns, *event[1:]))
            if not paid or c.engine.account.position(n)["funding"] != before:
                self._funded[n] = ts_ns
                return


# A table of the latest so many names in memory that is allocated once: a process that trades for months does not grow by filling it.
class Recent:
    """capacity: names kept; the oldest is dropped. Names are known by a 64-bit fingerprint: of 16,384 of them two coincide once in 10**11 tables."""

    def __init__(self, capacity: int):
        self._marks = np.zeros(capacity, np.int64)  # 0 = nothing here
        self._values = np.zeros(capacity, np.int64)
        self._values.fill(0)  # touched now: zeros() alone leaves the pages to be committed one by one
        self._marks.fill(0)
        self._next = 0

    def __contains__(self, name: str) -> bool:
        return self._at(self._mark(name)) is not None

    def get(self, name: str) -> int | None:
        """The number kept with a name, None where it is not known (any more)."""
        at = self._at(self._mark(name))
        return None if at is None else int(self._values[at])

    def put(self, name: str, value: int = 0) -> None:
        """Keep a name; where it is known already, its number becomes this one and its age stays."""
        mark = self._mark(name)
        at = self._at(mark)
        if at is None:
            at, self._next = self._next, (self._next + 1) % len(self._marks)
            self._marks[at] = mark
        self._values[at] = value

    def _at(self, mark: int) -> int | None:
        found = self._marks == mark
        at = int(found.argmax())
        return at if found[at] else None

    @staticmethod
    def _mark(name: str) -> int:
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little", signed=True) or 1


SEEN_MAX = 16_384
ORDERS_MAX = 16_384  # two names of each: its id, and that it has one
STRAYS_MAX = 256
STRAY_S = 120.0  # a fill of ours that explains it may be reported this much later
FUNDING = "Funding"
LIQUIDATION = ("BustTrade",)
MISSING = "Missing"  # our own words: the venue holds less and nothing says why;
REPORTED = "Reported"  # no execution is listed, but the order says that it was executed
EXITS = (Role.ROLE_TARGET, Role.ROLE_CLOSE)
# the venue reduces in steps before it takes over: such an execution may be a plain Trade
BY_LIQUIDATION = ("CreateByLiq", "CreateByTakeOver_PassThrough")
BY_STOP = ("StopLoss",)
BY_STOP_CREATOR = ("CreateByStopLoss",)
# the venue closes the whole position at a price of its own, because the contract ends
DELIVERIES = ("Delivery", "Settle")
DELIVERIES_MAX = 64


def _by_stop(x: Execution) -> bool:
    return x.stop_kind in BY_STOP or x.creator in BY_STOP_CREATOR


def _content(x: Execution, number: int) -> str:
    """The content of a fill without its id."""
    return f"{number} {x.ts_ms} {x.side} {x.price!r} {x.qty!r}"


def unlisted(
    name: str, symbol: str, side: int, price: float, qty: float, fee: float, kind: str, ts_ms: int, link_id: str = "", fee_said: bool = True
) -> Execution:
    """One that is booked without a record of the venue."""
    return Execution(name, "", link_id, symbol, side, price, qty, fee, False, kind, "", "", 0, ts_ms, fee_said)


def with_fee(x: Execution, unit: Instrument, maker: float, taker: float) -> Execution:
    """The same with a fee by these rates, where the venue does not say what was paid. Funding has no rate that could be known: nothing."""
    if not math.isnan(x.fee):
        return x
    return replace(x, fee=0.0 if x.kind == FUNDING else x.price * x.qty * unit.multiplier * (maker if x.maker else taker))


class Executions:
    """The engine counts an execution once by (id, role); this table sees to it that the same one never comes under two roles."""

    def __init__(self, context: Context, epochs: Epochs, inquiries: Inquiries) -> None:
        self.c = context
        self.epochs = epochs
        self.inquiries = inquiries
        self._seen = Recent(SEEN_MAX)
        self._orders = Recent(ORDERS_MAX)  # the venue's order id -> ours
        self.strays: OrderedDict[str, Execution] = OrderedDict()
        self.guessed = Guessed(context)
        self.positions: Mapping[int, Position] = {}  # the latest that the venue has said
        self._deliveries: OrderedDict[str, Execution] = OrderedDict()  # reported, and no position has changed by them yet
        self.latest_ms = 0
        self.baseline_ms = 0  # what others did before is history
        self.funds_from_ms = 0  # the equity of a first start is what funding before it has left

    def learn(self, order_id: str, number: int) -> None:
        """The venue's id of an order of ours."""
        if order_id and order_id not in self._orders:
            self._orders.put(order_id, number)
            self._orders.put(f"#{number}")

    def on_execution(self, x: Execution, *, listed: bool = False) -> None:
        """One execution, from the stream or (listed) from an answer, however often."""
        c = self.c
        n = c.index.get(x.symbol)
        if n is None:
            c.counters["executions elsewhere"] += 1
            return
        if f"{x.symbol} {x.id}" in self._seen:
            c.counters["executions repeated"] += 1
            return
        if x.kind not in TRADES and x.kind != FUNDING:
            self._no_trade(n, x)
            return
        if x.qty <= 0.0:
            return
        x = with_fee(x, c.engine.instruments[n], c.settings.maker_fee, c.settings.taker_fee)
        if x.kind == FUNDING:
            self._fund(n, x)
            return
        if self._explained(n, x):
            return
        if not listed and self._is_unnamed(n, x):
            c.counters["executions without an owner"] += 1
            c.touch(n)
            self.inquiries.doubt_position(n)
            return
        number = self._whose(n, x)
        current = c.bracket(n)["sequence"] & 0xFFFFFFF
        if number is not None and x.ts_ms < self.baseline_ms and sequence_of(number) != current:
            c.counters["executions of history"] += 1  # of a bracket that was over when this life began: the positions agreed since
        elif number is None:
            self._stray(n, x)
        elif self._is_repeated(n, x, number):
            c.counters["executions repeated"] += 1
            self._remember(x)
            c.notice(
                Level.ALARM,
                "repeated",
                f"{x.kind} of {x.qty:g} at {x.price:g} came again as {x.id}: a second id of the same fill, or more "
                "executed than ordered. It is not counted; liqcore asks the venue for the position",
                x.symbol,
            )
            self.inquiries.doubt_position(n)
        else:
            self.report(n, x, number)

    def _remember(self, x: Execution) -> None:
        self._seen.put(f"{x.symbol} {x.id}")
        self.strays.pop(x.id, None)
        self.latest_ms = max(self.latest_ms, x.ts_ms)

    def _is_repeated(self, n: int, x: Execution, number: int) -> bool:
        """Whether the same fill was booked under another id: with it, the order would have executed more than it asks for. (Alone, neither is a sign:
        two fills of a millisecond may be alike, and a change of the order's size may not have been heard of. The attached stop has no size of
        its own.)"""
        belief = self.c.belief(number)
        if role_of(number) == Role.ROLE_STOP or _content(x, number) not in self._seen:
            return False
        return belief is None or self.c.lots(n, belief["filled"]) + self.c.lots(n, x.qty) > self.c.lots(n, belief["qty"])

    def _explained(self, n: int, x: Execution) -> bool:
        """Whether it was booked already, without this record."""
        mine, number = self.c.ours(x.link_id)
        order = number if mine else self._order_of(n, x)
        # (an unexplained one may have been our exit, but no entry)
        if not (order and self.guessed.explain(n, x, order)) and not ((not mine or role_of(number) in EXITS) and self.guessed.explain(n, x)):
            return False
        self._remember(x)
        self._keep(x, number if mine else order_number(n, self.c.bracket(n)["sequence"], Role.ROLE_OUTSIDE), int(Kind.FUNDING))
        return True

    def _is_unnamed(self, n: int, x: Execution) -> bool:
        """True if the stream names no owner and it may belong to an order of ours that the venue has not named yet. An exit that was counted as
        another party's could no longer be counted as ours: the list of executions decides."""
        c = self.c
        if x.kind != TRADES[0] or c.ours(x.link_id)[0] or x.order_id in self._orders or _by_stop(x) or x.creator in BY_LIQUIDATION:
            return False
        roles = EXITS if c.held(n) * x.side < 0 else (Role.ROLE_ENTRY,) if x.side == c.bracket(n)["side"] else ()
        mine = [
            order
            for order, b in c.beliefs().items()
            if b["instrument"] == n and b["role"] in roles and (b["status"] != "ended" or b["executed"] > b["filled"])
        ]
        return any(not x.order_id or f"#{order}" not in self._orders for order in mine)

    def _no_trade(self, n: int, x: Execution) -> None:
        """A dividend, a split, a settlement, a kind that we do not know: the venue's own word on the position decides, not this row. Its id stays
        free: reported again with a known kind, it counts."""
        c = self.c
        refused = f"{x.symbol} {x.id} {x.kind}"
        if refused in self._seen:
            c.counters["executions repeated"] += 1
            return
        self._seen.put(refused)
        delivery = x.kind in DELIVERIES and x.qty > 0.0 and x.price > 0.0
        if x.ts_ms < self.baseline_ms and not (delivery and c.is_open(n) and 0 < self.epochs.first_ms(n) <= x.ts_ms):
            c.counters["executions of history"] += 1  # (a delivery of the open bracket is news, also where the store is lost)
            return
        c.counters["executions that are no trades"] += 1
        if delivery:
            x = with_fee(x, c.engine.instruments[n], 0.0, 0.0)
            if self.guessed.explain(n, x):
                self._keep(x, 0, int(Kind.FUNDING))
            else:
                self._deliveries[x.id] = x
                if len(self._deliveries) > DELIVERIES_MAX:
                    self._deliveries.popitem(last=False)
        c.touch(n)
        c.notice(
            Level.ALARM,
            "no trade",
            f"{x.kind} of {x.qty:g} at {x.price:g}: not one of {', '.join(TRADES)}, so our position is unchanged. "
            "liqcore asks the venue for the position",
            x.symbol,
        )
        self.inquiries.doubt_position(n)

    def delivered(self, n: int) -> bool:
        """The venue has no position any more: book its delivery at the delivery price. Whether the engine holds nothing then, either."""
        c = self.c
        for x in [x for x in self._deliveries.values() if c.index[x.symbol] == n]:
            del self._deliveries[x.id]
            if c.held(n) * x.side < 0 and x.ts_ms >= self.epochs.first_ms(n):
                self.report(n, x, order_number(n, c.bracket(n)["sequence"], Role.ROLE_OUTSIDE))
        return c.held(n) == 0

    def _fund(self, n: int, x: Execution) -> None:
        c = self.c
        self._remember(x)
        if x.ts_ms < self.funds_from_ms:
            c.counters["executions of history"] += 1
            return
        held = c.held(n)
        side = (1 if held > 0 else -1) if held else x.side
        if side and x.price > 0.0:
            self._report_estimated_fee(x)
            self.guessed.funded(n, x.ts_ms)
            c.report(funding_event(c.stamp(), n, side, x))
        self._keep(x, 0, int(Kind.FUNDING))

    def _whose(self, n: int, x: Execution) -> int | None:
        """The engine's id of the executed order; None if the engine does not know it."""
        number = self._order_of(n, x)
        if number is not None and role_of(number) == Role.ROLE_STOP and self._is_over(n, number):
            return None  # it closed another party's addition: our part is closed and counted
        return number

    def _is_over(self, n: int, number: int) -> bool:
        """Whether nothing is held of a bracket, and no fill of its entry can be missing."""
        c = self.c
        if c.held(n) * c.bracket(n)["side"] > 0 or sequence_of(number) != c.bracket(n)["sequence"] & 0xFFFFFFF:
            return False
        entry = next((b for b in c.beliefs().values() if b["instrument"] == n and b["role"] == Role.ROLE_ENTRY), None)
        return entry is None or (entry["status"] == "ended" and entry["executed"] <= entry["filled"])

    def _order_of(self, n: int, x: Execution) -> int | None:
        c = self.c
        mine, number = c.ours(x.link_id)
        if number >= 0:
            return number if instrument_of(number) == n else None
        if mine:
            return None  # of a lost state folder: its bracket is unknown
        known = self._orders.get(x.order_id)
        if known is not None:
            return known
        current = c.bracket(n)["sequence"]
        if not current:
            return None
        if _by_stop(x):
            if x.side == c.bracket(n)["side"] or (not self.epochs.first_ms(n) and not c.is_open(n)):
                return None  # the stop of another party's position, or of a bracket older than the state of this process
            sequence = self.epochs.at(n, x.ts_ms, current)
            return order_number(n, sequence, Role.ROLE_STOP) if sequence > 0 else None
        held = c.held(n)
        # a position of the wrong sign (more exits than entries) cannot have been reduced by another party
        if held * c.bracket(n)["side"] <= 0 or held * x.side >= 0 or x.ts_ms < self.epochs.first_ms(n):
            return None
        taken = x.kind in LIQUIDATION or x.creator in BY_LIQUIDATION
        return order_number(n, current, Role.ROLE_LIQUIDATION if taken else Role.ROLE_OUTSIDE)

    def report(self, n: int, x: Execution, number: int) -> None:
        """Book an execution of this order, also one that the venue does not list, though its position says that it took place."""
        c = self.c
        role = role_of(number)
        bracket = c.bracket(n)
        outside = role in (Role.ROLE_OUTSIDE, Role.ROLE_LIQUIDATION)
        held = max(0, c.held(n) * bracket["side"])
        # the attached stop covers the whole position, another party's addition included
        shared = role == Role.ROLE_STOP and held > 0 and sequence_of(number) == bracket["sequence"] & 0xFFFFFFF
        rest = c.lots(n, x.qty) - held if outside or shared else 0
        whole = x
        if rest > 0:
            x = replace(x, qty=c.engine.instruments[n].qty(held))
        c.touch(n)
        self._remember(x)
        if not outside:
            self._seen.put(_content(whole, number))
            self.learn(x.order_id, number)
        self.epochs.executed(n, sequence_of(number), x.ts_ms, bracket["sequence"] & 0xFFFFFFF)
        c.counters["executions"] += 1
        self._report_estimated_fee(x)
        self._keep(x, number, int(Kind.FILL))
        c.report(fill_event(c.stamp(), number, x, int(bracket["end"])))
        counted = max(0, c.held(n) * bracket["side"]) != held
        if outside and not counted:
            c.counters["executions from before the start"] += 1  # the engine had counted it, all of it that there was to count
        elif outside:
            c.counters["outside executions"] += 1
            c.notice(
                Level.ALARM,
                "outside",
                f"{x.qty:g} of our position is gone, and no execution of the venue explains it: booked at {x.price:g}"
                if x.kind == MISSING
                else f"{x.kind}: another party closed {x.qty:g} of our position at {x.price:g}",
                x.symbol,
            )
        if rest > 0 and counted:
            # an unreported entry, or another party opened a position: the comparison of positions decides
            self._stray(n, replace(whole, id=x.id + "+", qty=c.engine.instruments[n].qty(rest), fee=0.0))
        if self.strays:
            self.match_strays(n)

    def _stray(self, n: int, x: Execution) -> None:
        """It belongs to no order that the engine knows. The entry that it closes may be reported later, or it is foreign: the comparison of positions
        decides."""
        c = self.c
        if x.id not in self.strays and x.ts_ms >= self.baseline_ms:
            c.counters["executions of others"] += 1
            c.touch(n)
            c.notice(Level.WARNING, "foreign execution", f"{x.kind} of {x.qty:g} at {x.price:g}, order {x.link_id or x.order_id}: not ours", x.symbol)
            self.strays[x.id] = x
            if len(self.strays) > STRAYS_MAX:
                self.strays.popitem(last=False)
            self.inquiries.doubt_position(n)

    def match_strays(self, n: int) -> None:
        """After something was learnt about an instrument's position."""
        for x in sorted((x for x in self.strays.values() if self.c.index.get(x.symbol) == n), key=lambda x: x.ts_ms):
            number = self._whose(n, x) if x.id in self.strays else None  # what one explains may explain others, too
            if number is not None and sequence_of(number) == self.c.bracket(n)["sequence"] & 0xFFFFFFF:
                self.strays.pop(x.id, None)
                self.report(n, x, number)

    def by_order(self, order: int, price: float, executed: float = 0.0) -> bool:
        """More of one of our orders was executed than could be learnt: the rest is booked by the order's report, at its price (0 = not stated) and an
        estimated fee. executed: of an order that still rests; 0 = it has ended, as the engine knows. Whether there was a price for it."""
        c = self.c
        belief, n = c.belief(order), instrument_of(order)
        known = self.positions.get(n)
        price = price or (known.entry if known is not None and role_of(order) == Role.ROLE_ENTRY else known.mark if known is not None else 0.0)
        if belief is None or price <= 0.0:
            return False
        unit = c.engine.instruments[n]
        done, whole = c.lots(n, belief["filled"]), c.lots(n, executed or belief["executed"])
        side = int(c.bracket(n)["side"]) * (1 if role_of(order) == Role.ROLE_ENTRY else -1)
        name, ts_ms, link = f"reported-{c.symbols[n]}-{order}-{done}-{whole}", c.venue_ns() // 1_000_000, c.port.link_id(order)
        x = unlisted(name, c.symbols[n], side, price, unit.qty(whole - done), math.nan, REPORTED, ts_ms, link, fee_said=False)
        x = with_fee(x, unit, c.settings.maker_fee, c.settings.taker_fee)
        c.counters["fills by report"] += 1
        c.notice(
            Level.ALARM,
            "fill by report",
            f"order {order:#x} reports {executed or belief['executed']:g} executed, the venue lists "
            f"{belief['filled']:g} as executions: {x.qty:g} are booked at {price:g} by the order's report, and corrected when the executions "
            "are listed",
            x.symbol,
        )
        self.guessed.book(n, x, self.epochs.first_ms(n), order)
        self.report(n, x, order)
        return True

    def forget_strays(self, n: int) -> None:
        """The positions agree, and have had time to: what others did has cancelled itself out, what was delivered was not ours."""
        old_ms = (self.c.venue_ns() - self.c.settings.ns(STRAY_S)) // 1_000_000
        for key in [key for key, x in self.strays.items() if self.c.index.get(x.symbol) == n and x.ts_ms < old_ms]:
            x = self.strays.pop(key)
            self._remember(x)
        for x in [x for x in self._deliveries.values() if self.c.index[x.symbol] == n and x.ts_ms < old_ms]:
            del self._deliveries[x.id]

    def _report_estimated_fee(self, x: Execution) -> None:
        """A fee that the venue did not say is not lost silently."""
        if not x.fee_said:
            self.c.counters["fees estimated"] += 1
            self.c.notice(
                Level.ALARM,
                "fee",
                f"the venue gives no fee for {x.kind} {x.id} of {x.qty:g} at {x.price:g}: the estimate {x.fee:g} is "
                "booked. Compare with the account at the venue",
                x.symbol,
            )

    def _keep(self, x: Execution, number: int, code: int) -> None:
        if self.c.store is not None:
            self.c.store.put(
                "executions",
                id=x.id,
                ts_ms=x.ts_ms,
                prefix=self.c.settings.run,
                order_id=number,
                venue_order=x.order_id,
                symbol=x.symbol,
                side=x.side,
                price=repr(x.price),
                qty=repr(x.qty),
                fee=repr(x.fee) if x.fee_said else f"~{x.fee!r}",
                maker=int(x.maker),
                kind=x.kind,
                code=code,
            )
