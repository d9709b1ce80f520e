"""The equity at the start of a live run with an open trade.

Money may have come and gone since the last run, so the venue's word counts, not our books. But the venue's balance already includes executions of the
open trade from the time without a connection. The engine will receive them too; they are recognised by their ids. So what these will change is taken
out of the balance first. If the executions do not explain the present position, nothing is changed and a notice says so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import liqcore as lc
from liqshell.gateway.executions import DELIVERIES, FUNDING, TRADES, with_fee
from liqshell.gateway.settings import Settings
from liqshell.live.opening import State
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit import rest_responses as bybit_answers
from liqshell.venues.bybit.orders import parse_order_link_id
from liqshell.venues.bybit.rest_responses import Parsed
from liqshell.venues.reports import Execution

TRIES = 3  # readings, until none is disturbed by a new execution
PAGES_MAX = 40
DAY_MS = 86_400_000
SPAN_MS = 6 * DAY_MS  # the venue answers for at most seven days at once
OVERLAP_MS = int(Settings("").overlap_s * 1000)
Ask = Callable[[int, bybit_rest.Request], Awaitable[bytes]]
T = TypeVar("T")
_log = logging.getLogger("liqshell.live")


def cash(account: lc.Account, count: int) -> float:
    """Equity without what open positions would bring."""
    return account.equity - sum(account.position(n)["unrealized"] for n in range(count))


def unheard(
    engine: lc.Engine,
    instruments: Sequence[lc.Instrument],
    found: Sequence[Execution],
    held: dict[str, float],
    known: set[str],
    ours: Callable[[str], bool],
    maker_fee: float = 0.0,
    taker_fee: float = 0.0,
) -> float | None:
    """The change of cash by executions that the engine has not counted; None if they do not explain the venue's position. engine: as
    restored. found: executions of the venue, with those that may have been missed. held: signed quantity by symbol, as the venue has it now. known:
    ids that were counted. maker_fee, taker_fee: for executions whose fee the venue does not say."""
    count = len(instruments)
    account = lc.Account(instruments, 1.0)
    account.restore(engine.account.snapshot())
    before, funding = cash(account, count), 0.0
    for n, instrument in enumerate(instruments):
        symbol = instrument.symbol
        if instrument.venue != instruments[0].venue:
            continue  # watched only
        lots, has = _lots(instrument, account.position(n)["qty"]), _lots(instrument, held.get(symbol, 0.0))
        new = sorted(
            (with_fee(x, instrument, maker_fee, taker_fee) for x in found if x.symbol == symbol and x.id not in known),
            key=lambda x: (x.ts_ms, x.sequence),
        )
        fills = [x for x in new if (x.kind in TRADES or x.kind in DELIVERIES and not has) and x.qty > 0.0]
        if lots + sum(x.side * instrument.lots(x.qty) for x in fills) != has:
            if lots != has:
                return None
            fills = []  # counted before the end, and the store had not come to it
        for x in fills:
            if not ours(x.link_id) and lots * x.side >= 0:
                return None  # another party has added: the engine will not count it
            account.on_fill(n, x.side, instrument.ticks(x.price), instrument.lots(x.qty), x.fee)
            lots += x.side * instrument.lots(x.qty)
        funding += sum(x.fee for x in new if x.kind == FUNDING)
    return cash(account, count) - before - funding


def _lots(instrument: lc.Instrument, qty: float) -> int:
    return int(instrument.lots(abs(qty))) * (1 if qty >= 0.0 else -1)


class Books(Protocol):
    """The venue's data of the account; None = not completely readable."""

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[Execution] | None:
        """Of all contracts."""

    async def held(self) -> dict[str, float] | None:
        """Signed quantity by symbol; what is not there is 0."""

    async def cash(self) -> float | None:
        """The cash of the account without the result of open positions, in quote currency."""

    def ours(self, link_id: str) -> bool:
        """Whether a client order id is of this state folder's run."""


async def take_up(
    state: State,
    engine: lc.Engine,
    instruments: Sequence[lc.Instrument],
    books: Books,
    now_ms: int,
    patience: float,
    rates: tuple[float, float] = (0.0, 0.0),
) -> bool:
    """Give an engine restored with an open trade the equity that the account has by the venue's word; False where it keeps the one that was believed.
    Raises what `books` raises. now_ms: the venue's time; patience: as of the run; rates: maker and taker fee, where an execution says none."""
    reconciled_ms, _ = state.store.reconciled_ms()
    since = max((reconciled_ms or now_ms - DAY_MS) - int(OVERLAP_MS * patience), now_ms - SPAN_MS)
    known = state.store.execution_ids(since)
    why = "executions arrived while the account was read"
    for _ in range(TRIES):
        before = await books.executions(since, now_ms + DAY_MS)
        held = await books.held()
        money = await books.cash()
        after = await books.executions(since, now_ms + DAY_MS)
        if before is None or after is None or held is None or money is None:
            why = "the account could not be read"
            continue
        if {x.id for x in before} != {x.id for x in after}:
            continue
        change = unheard(engine, instruments, after, held, known, books.ours, *rates)
        if change is None:
            why = "the executions since the last run do not explain the present positions"
            break
        correction = money - change - cash(engine.account, len(instruments))
        if abs(correction) > 1e-9:
            _log.info(
                "equity: %.2f by our books, %.2f at the venue; the venue's value is used", engine.account.equity, engine.account.equity + correction
            )
            state.image.at_equity(engine, engine.account.equity + correction)
        return True
    _log.warning("equity stays %.2f, the value at the end of the last run: %s. Limits are shares of it", engine.account.equity, why)
    return False


class BybitBooks:
    """ask(number, request): the body of an answer. prefix: of our client order ids."""

    def __init__(self, ask: Ask, prefix: str):
        self._ask, self._prefix = ask, prefix

    def ours(self, link_id: str) -> bool:
        found = parse_order_link_id(link_id) if link_id else None
        return found is not None and found[0] == self._prefix

    async def cash(self) -> float | None:
        wallet = bybit_answers.parse_wallet(await self._ask(22, bybit_rest.wallet()))
        return wallet.value.balance if wallet.ok and wallet.value is not None else None

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[Execution] | None:
        return await self._all(20, lambda cursor: bybit_rest.executions(since_ms, until_ms, cursor=cursor), bybit_answers.parse_executions)

    async def held(self) -> dict[str, float] | None:
        rows = await self._all(21, lambda cursor: bybit_rest.positions(cursor=cursor), bybit_answers.parse_positions)
        return None if rows is None else {p.symbol: p.qty * p.side for p in rows if p.index == 0 and p.qty > 0.0}

    async def _all(self, number: int, build: Callable[[str], bybit_rest.Request], parse: Callable[[bytes], Parsed[tuple[T, ...]]]) -> list[T] | None:
        """The rows of all pages; None where one cannot be read, or they do not end."""
        out: list[T] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            page = parse(await self._ask(number, build(cursor)))
            if not page.ok or page.value is None:
                return None
            out += page.value
            if not page.cursor or page.cursor == cursor or not page.value:
                return out
            cursor = page.cursor
        return None
