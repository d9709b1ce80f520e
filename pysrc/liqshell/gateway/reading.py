"""One reading of the account over REST: positions, open orders and executions, all pages of each, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.gateway.effects import Answer
from liqshell.gateway.port import Ask, Page
from liqshell.venues.reports import Execution, OrderState, Position

PAGES_MAX = 40
SPAN_MS = 6 * 24 * 3_600_000            # the venue answers for at most seven days at once


class Reading:
    """done(reading) is called once, when every page is there or one could not be had (failed says why). entries: orders to ask for besides, ended
    ones too: (symbol, link id)."""

    def __init__(self, context: Context, since_ms: int, entries: list[tuple[str, str]], done: Callable[[Reading], None],
                 on_positions: Callable[[list[Position]], None]) -> None:
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
        self._pending = 0

    def start(self) -> None:
        """Ask; positions first, because a position without a stop cannot wait."""
        port = self.c.port
        self._pending = 3 + len(self._entries)
        self._chain(self.positions, "positions", lambda cursor: port.ask_positions(cursor=cursor), port.positions_of)
        self._chain(self.orders, "open orders", lambda cursor: port.ask_open_orders(cursor), port.orders_of)
        self._chain(self.executions, "executions",
                    lambda cursor: port.ask_executions(self.since_ms, self.began_venue_ms + SPAN_MS // 6, cursor), port.executions_of)
        for symbol, link in self._entries:
            self._entry(symbol, link, past=False)

    def _chain(self, out: list[Any], what: str, ask: Callable[[str], Ask], read: Callable[[Answer], Page], cursor: str = "", pages: int = 1) -> None:
        def answered(answer: Answer) -> None:
            page = read(answer)
            self.c.heed(page, "query")
            if not page.ok:
                self._fail(f"{what}: {page.text or page.code}")
                return
            out.extend(page.items)
            if page.cursor and page.cursor != cursor and page.items:
                if pages >= PAGES_MAX:
                    self._fail(f"{what}: more than {PAGES_MAX} pages")
                else:
                    self._chain(out, what, ask, read, page.cursor, pages + 1)
                return
            if out is self.positions:
                self._on_positions(self.positions)      # a position without a stop does not wait for the other answers
            self._one_less()

        if self.failed:
            self._one_less()
            return
        self.c.ask(ask(cursor), answered, Urgency.WATCH, what, on_dropped=lambda: self._fail(f"{what}: not sent"))

    def _entry(self, symbol: str, link: str, *, past: bool) -> None:
        def answered(answer: Answer) -> None:
            page = self.c.port.orders_of(answer)
            self.c.heed(page, "query")
            if not page.ok:
                self._fail(f"order {link}: {page.text or page.code}")
                return
            found = [state for state in page.items if isinstance(state, OrderState) and state.link_id == link]
            if not found and not past:
                self._entry(symbol, link, past=True)
                return
            self.entries.extend(found)
            self._one_less()

        self.c.ask(self.c.port.ask_order(symbol, link, past=past), answered, Urgency.WATCH, f"entry {link}",
                   on_dropped=lambda: self._fail(f"order {link}: not sent"))

    def _fail(self, why: str) -> None:
        self.failed = self.failed or why
        self._one_less()

    def _one_less(self) -> None:
        self._pending -= 1
        if self._pending == 0:
            self._done(self)
