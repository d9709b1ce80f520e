"""Periodic queries of the venue: its clock and its contracts."""

from __future__ import annotations

from collections.abc import Callable

from liqcore.event import Gate, Role
from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.venues.effects import Answer, Level
from liqshell.venues.frames import plain
from liqshell.venues.order_port import Listing

MS = 1_000_000
SAMPLES = 3  # of one measurement; the smallest round trip says most
SHUT_PERIOD_S = 10.0  # between two measurements while the clock blocks entries: a corrected clock should be seen soon
PAGES_MAX = 50


class ClockWatch:
    """How far the venue's clock is from ours: measured from the middle of the smallest round trip."""

    def __init__(self, context: Context, on_offset: Callable[[int], None]) -> None:
        self.c = context
        self.offset_ns = 0
        self.rtt_ns = 0
        self.measured = 0  # when, ns; 0 = never
        self._on_offset = on_offset
        self._samples: list[tuple[int, int]] = []  # (round trip, offset)
        self._left = 0
        self._failures = 0  # measurements without an answer, in a row
        self._due: int | None = None

    def start(self) -> None:
        if self.c.settings.watch_clock:
            self._due = self.c.now

    def measure_now(self) -> None:
        """A time stamp was refused."""
        if self._due is not None and not self._left:
            self._due = self.c.now

    def sweep(self) -> None:
        c = self.c
        if self._due is None or c.now < self._due:
            return
        self._due = c.now + c.settings.ns(c.settings.clock_period_s)
        if self._left:
            self._doubt()  # the last question still waits to be sent, or for its answer: one is enough
            return
        self._samples.clear()
        self._left = SAMPLES
        self._ask()

    def due(self) -> int | None:
        return self._due

    def _ask(self) -> None:
        self.c.ask(
            self.c.port.ask_time(),
            self._answered,
            Urgency.WATCH,
            "the venue's clock",
            on_dropped=self._done,
            timeout_s=self.c.timeout_s(self._failures),
        )

    def _answered(self, answer: Answer) -> None:
        found = self.c.port.time_of(answer)
        if found is None and self._samples:
            self._done()  # what is there will do
            return
        if found is not None and 0 <= answer.sent_ns <= answer.received_ns:
            rtt = answer.received_ns - answer.sent_ns
            self._samples.append((rtt, found - (answer.sent_ns + rtt // 2)))
        self._left -= 1
        if self._left > 0 and self._samples:
            self._ask()
        else:
            self._done()

    def _doubt(self) -> None:
        c = self.c
        if not self.measured or c.now > self.measured + c.settings.ns(5 * c.settings.clock_period_s):
            c.gates.close(Gate.GATE_CLOCK, "the venue's clock does not answer", c.now)

    def _done(self) -> None:
        c, s = self.c, self.c.settings
        self._left = 0
        if not self._samples:
            # as long as it is not known it is as good as the last time, but not for ever
            self._due = c.now + s.again_ns(self._failures, min(5.0, s.clock_period_s))
            self._failures += 1
            self._doubt()
            return
        self._failures = 0
        self.rtt_ns, self.offset_ns = min(self._samples)
        self.measured = c.now
        c.offset_ns = self.offset_ns
        self._on_offset(self.offset_ns)
        off_ms = max(0.0, abs(self.offset_ns) - self.rtt_ns / 2) / MS  # what cannot be explained by the way
        if off_ms > s.clock_max_ms:
            news = c.gates.close(Gate.GATE_CLOCK, f"our clock is {off_ms:.0f} ms from the venue's", c.now)
            c.notice(
                Level.ALARM if news else Level.WARNING,
                "clock",
                f"our clock is {off_ms:.0f} ms from the venue's: no entries until the clock is correct",
            )
            self._due = c.now + s.ns(min(SHUT_PERIOD_S, s.clock_period_s))
            return
        if off_ms > s.clock_warn_ms:
            c.notice(Level.WARNING, "clock", f"our clock is {off_ms:.0f} ms from the venue's")
        c.gates.open(Gate.GATE_CLOCK)


class ContractWatch:
    """Whether the contracts are still those that the engine was made with, and trading."""

    def __init__(self, context: Context) -> None:
        self.c = context
        self.listed: dict[str, Listing] = {}
        self.known = False  # the list was read once
        self._pages: dict[str, Listing] = {}
        self._count = self._failures = 0
        self._asking = False
        self._due: int | None = None

    def start(self) -> None:
        self._due = self.c.now

    def refresh_soon(self) -> None:
        """The venue refused orders for a contract."""
        if self._due is not None:
            self._due = min(self._due, self.c.now + self.c.settings.ns(10.0))

    def sweep(self) -> None:
        if self._due is None or self._asking or self.c.now < self._due:
            return
        self._asking = True
        self._pages = {}
        self._count = 0
        self._ask("")

    def due(self) -> int | None:
        return None if self._asking else self._due

    def _ask(self, cursor: str) -> None:
        self.c.ask(
            self.c.port.ask_instruments(cursor),
            self._answered,
            Urgency.WATCH,
            "contracts",
            on_dropped=lambda: self._end(5.0),
            timeout_s=self.c.timeout_s(self._failures),
        )

    def _end(self, pause_s: float) -> None:
        self._asking = False
        self._due = self.c.now + self.c.settings.ns(pause_s)

    def _answered(self, answer: Answer) -> None:
        c = self.c
        page = c.port.instruments_of(answer)
        if not page.ok:
            c.counters["questions failed"] += 1
            again = c.again_at(self._failures, answer.sent_ns or c.now)
            self._asking, self._due = False, min(again, c.now + c.settings.ns(c.settings.instruments_period_s))
            self._failures += 1
            return
        self._failures = 0
        self._count += 1
        self._pages.update({item.symbol: item for item in page.items if item.symbol in c.index})
        if page.cursor and self._count < PAGES_MAX and len(self._pages) < len(c.symbols):
            self._ask(page.cursor)
            return
        self.listed, self.known = self._pages, True
        self._end(c.settings.instruments_period_s)
        self._check_listings()

    def _check_listings(self) -> None:
        c = self.c
        for n, instrument in enumerate(c.engine.instruments[: len(c.symbols)]):
            listing = self.listed.get(instrument.symbol)
            fault = ""
            if listing is None:
                fault = "the venue does not trade it at present"
            elif (plain(listing.tick_size), plain(listing.lot_size)) != (plain(instrument.tick_size), plain(instrument.lot_size)):
                fault = (
                    f"its tick and lot changed to {listing.tick_size} and {listing.lot_size} from {instrument.tick_size} and "
                    f"{instrument.lot_size}; restart to trade it again"
                )
            elif listing.special and not c.settings.special_treatment:
                fault = f"the venue lists it under {listing.special}"
            if not fault:
                c.gates.open(Gate.GATE_SYMBOL, n)
                continue
            c.gates.close(Gate.GATE_SYMBOL, fault, c.now, n)
            held = f"; {c.bracket(n)['held']:g} is open: look at it" if c.held(n) else ""
            c.notice(Level.ALARM if held else Level.WARNING, "symbol", fault + held, instrument.symbol)
            self._withdraw(n)

    def _withdraw(self, n: int) -> None:
        """An entry that rests was made for another contract than this has become. Exits stay: they only reduce."""
        c = self.c
        entry = next((b for b in c.beliefs().values() if b["instrument"] == n and b["role"] == Role.ROLE_ENTRY and b["status"] != "ended"), None)
        if entry is not None:
            c.counters["entries withdrawn"] += 1
            c.cancel_entry(entry["id"], c.port.link_id(entry["id"]), f"cancel entry of {c.symbols[n]}")
