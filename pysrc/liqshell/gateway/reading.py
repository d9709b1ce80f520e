"""One reading of the account over REST: positions, open orders and executions, all pages of each, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.venues.effects import Answer
from liqshell.venues.order_port import Ask, Page
from liqshell.venues.outcome import Outcome
from liqshell.venues.reports import Execution, OrderState, Position

PAGES_MAX = 40
TRIES_MAX = 5  # of one page; with pauses and timeouts that is half a minute
MORE_TRIES = 2  # of a venue that answers others: one page more is less to ask than all of them anew
SPAN_MS = 6 * 24 * 3_600_000  # the venue answers for at most seven days at once


class Reading:
    """done(reading) is called once, when every page is there or one could not be had (failed says why). A page that failed is requested again alone,
    and on_trouble(why) is called. entries: orders to ask for besides, ended ones too: (symbol, link id). silent: readings before, in a row, after
    which a venue is not pressed. answered: pages that were there."""

    def __init__(
        self,
        context: Context,
        since_ms: int,
        entries: list[tuple[str, str]],
        done: Callable[[Reading], None],
        on_positions: Callable[[list[Position]], None],
        on_trouble: Callable[[str], None],
        silent: int = 0,
    ) -> None:
        self.c = context
        self.began = context.now
        self.began_venue_ms = context.venue_ns() // 1_000_000
        self.since_ms = max(since_ms, self.began_venue_ms - SPAN_MS)
        self.positions: list[Position] = []
        self.orders: list[OrderState] = []
        self.executions: list[Execution] = []
        self.entries: list[OrderState] = []
        self.failed = ""
        self._entries = entries
        self._done = done
        self._on_positions = on_positions
        self._on_trouble = on_trouble
        self._tries_max = max(1, TRIES_MAX - 2 * silent)  # a venue that has not answered the readings before is not pressed
        self._patient = 2 * silent
        self.answered = 0
        self._again: list[tuple[int, Callable[[], None]]] = []  # (when, what to ask)
        self._pending = 0

    def start(self) -> None:
        """Ask; positions first, because a position without a stop cannot wait."""
        port = self.c.port
        self._pending = 3 + len(self._entries)
        self._chain(self.positions, "positions", lambda cursor: port.ask_positions(cursor=cursor), port.positions_of)
        self._chain(self.orders, "open orders", lambda cursor: port.ask_open_orders(cursor), port.orders_of)
        self._chain(
            self.executions,
            "executions",
            lambda cursor: port.ask_executions(self.since_ms, self.began_venue_ms + SPAN_MS // 6, cursor),
            port.executions_of,
        )
        for symbol, link in self._entries:
            self._entry(symbol, link, past=False)

    def due(self) -> int | None:
        """When sweep() has something to ask again."""
        return min((when for when, _ in self._again), default=None)

    def sweep(self) -> None:
        ready = [ask for when, ask in self._again if when <= self.c.now]
        self._again = [one for one in self._again if one[0] > self.c.now]
        for ask in ready:
            ask()

    def hurry(self) -> None:
        """The way to the venue is back."""
        self._again = [(self.c.now, ask) for _, ask in self._again]

    def abandon(self) -> None:
        """No caller waits for it any more: nothing is requested again, and missing pages are no trouble."""
        self.failed = "abandoned"

    def _failed(self, what: str, page: Page, tries: int, asked: int, again: Callable[[], None]) -> None:
        """One page could not be had: the others wait for it."""
        why = f"{what}: {page.text or page.code}"
        enough = self._tries_max + (MORE_TRIES if self.c.talks and not self._patient else 0)
        if tries + 1 >= enough or page.outcome == Outcome.FATAL or self.failed:
            self._fail(why)
            return
        self._on_trouble(why)
        self.c.counters["questions asked again"] += 1
        self._again.append((self.c.again_at(tries, asked), again))

    def _chain(
        self, out: list[Any], what: str, ask: Callable[[str], Ask], read: Callable[[Answer], Page], cursor: str = "", pages: int = 1, tries: int = 0
    ) -> None:
        def answered(answer: Answer) -> None:
            page = read(answer)
            self.c.note_answer(page, "query")
            if not page.ok:
                self._failed(what, page, tries, answer.sent_ns or self.c.now, lambda: self._chain(out, what, ask, read, cursor, pages, tries + 1))
                return
            self.answered += 1
            out.extend(page.items)
            if page.cursor and page.cursor != cursor and page.items:
                if pages >= PAGES_MAX:
                    self._fail(f"{what}: more than {PAGES_MAX} pages")
                else:
                    self._chain(out, what, ask, read, page.cursor, pages + 1)
                return
            if out is self.positions:
                self._on_positions(self.positions)  # a position without a stop does not wait for the other answers
            self._one_less()

        if self.failed:
            self._one_less()
            return
        self.c.ask(
            ask(cursor),
            answered,
            Urgency.WATCH,
            what,
            on_dropped=lambda: self._fail(f"{what}: not sent"),
            timeout_s=self.c.timeout_s(tries + self._patient),
        )

    def _entry(self, symbol: str, link: str, *, past: bool, tries: int = 0) -> None:
        def answered(answer: Answer) -> None:
            page = self.c.port.orders_of(answer)
            self.c.note_answer(page, "query")
            if not page.ok:
                self._failed(
                    f"order {link}", page, tries, answer.sent_ns or self.c.now, lambda: self._entry(symbol, link, past=past, tries=tries + 1)
                )
                return
            self.answered += 1
            found = [state for state in page.items if isinstance(state, OrderState) and state.link_id == link]
            if not found and not past:
                self._entry(symbol, link, past=True)
                return
            self.entries.extend(found)
            self._one_less()

        self.c.ask(
            self.c.port.ask_order(symbol, link, past=past),
            answered,
            Urgency.WATCH,
            f"entry {link}",
            on_dropped=lambda: self._fail(f"order {link}: not sent"),
            timeout_s=self.c.timeout_s(tries + self._patient),
        )

    def _fail(self, why: str) -> None:
        self.failed = self.failed or why
        self._one_less()

    def _one_less(self) -> None:
        self._pending -= 1
        if self._pending == 0:
            self._done(self)
