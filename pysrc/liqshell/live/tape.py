"""The liquidations of several venues as plain objects, without an account: connect, read, leave.

    async with liqshell.stream(venues=("bybit", "binance", "okx"), min_usd=50_000) as events:
        async for event in events:
            print(event)

It runs on the feeds of a live run: the same connections, reconnects, decoders and side rules. It needs no configuration file and leaves none behind.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

import liqcore as lc
from liqcore.event import Stream
from liqshell.config.sections import ALL, FeedConfig
from liqshell.errors import ConfigError
from liqshell.live.feed import VenueFeed
from liqshell.live.instruments import DOLLARS, ListWatch, choose, fetch_list
from liqshell.live.stream import Tee
from liqshell.live.venue_clock import venue_clock
from liqshell.run.feed_listener import WireClock
from liqshell.run.sink import LiveSink
from liqshell.run.venue_source import Source, feeds_of
from liqshell.transport import tls_context
from liqshell.venues.adapter import InstrumentPage
from liqshell.venues.adapters import ADAPTERS, adapter_of

QUEUE = 10_000  # events that wait for a slow reader
HANG_UP_S = 1.5
TICK_S = 0.1  # of the deadlines of detection: the end of a cascade is a silence
LIQUIDATION = int(lc.Kind.LIQUIDATION)
_log = logging.getLogger("liqshell.live")


class Liquidation(NamedTuple):
    """One liquidation. ts: received, ts_event: as the venue says, both ns UTC (market time at an emulated venue). side: LONG or SHORT, of the
    position that was closed by force. price: as reported. qty: base units. usd: notional; currencies pegged to the dollar count as dollars, of others
    it is nan. completeness: of what the venue publishes: FULL, CENSORED (a part) or UNKNOWN."""

    ts: int
    ts_event: int
    venue: str
    symbol: str
    asset: str
    side: str
    price: float
    qty: float
    usd: float
    completeness: str


class Cascade(NamedTuple):
    """One change of phase of a cascade, as the detector of the preset `fade` sees it. side, completeness: as in Liquidation. phase: BUILDING, ACTIVE,
    DECELERATING or EXHAUSTED. notional: quote currency, of the cascade so far; large: how many large
    liquidations; threshold: from which on one of the contract is large."""

    ts: int
    venue: str
    symbol: str
    asset: str
    side: str
    phase: str
    notional: float
    large: int
    threshold: float
    completeness: str


Event = Liquidation | Cascade


class _Group:
    """Contracts of one venue that were taken in together: connections, decoder and detection of their own."""

    def __init__(self, events: Events, feed: FeedConfig, clock: WireClock, speed: float, page: InstrumentPage, found: Sequence[lc.Instrument]):
        self.events, self.feed, self.clock, self.found, self.quotes = events, feed, clock, found, page.quotes
        (spec,) = feeds_of(found, speed)
        self.engine = lc.Engine(found)
        self.sink = LiveSink(self.engine, spec["gap_ns"], self._signals if events.signals else None)
        self.source = Source(spec, [one.symbol for one in found], self.sink, True)
        self.completeness = self.source.adapter.completeness.name.removeprefix("COMPLETENESS_")
        self.venue_feed = VenueFeed(
            feed,
            self.source,
            clock,
            speed,
            tls_context(feed.ca, feed.rest_url, feed.ws_url),
            None,
            self._mark,
            events.ended,
            only=int(Stream.STREAM_LIQUIDATION),
            tee=partial(Tee, see=self._see),
        )

    def _mark(self, state: lc.FeedState, ts_event: int, ts_recv: int | None, concerns: Any, connection: str) -> None:
        self.source.feed(state, ts_event, self.clock.now_ns() if ts_recv is None else ts_recv, concerns)

    def _see(self, rows: np.ndarray) -> None:
        for row in rows[rows["kind"] == LIQUIDATION]:
            one = self.found[int(row["instrument"])]
            price, qty, stated = float(row["price"]), float(f"{row['qty'] * one.multiplier:.12g}"), float(row["aux_price"])
            if stated > 0.0:  # an inverse contract is worth dollars, not base units
                qty = stated / price
            usd = round(price * qty, 2) if self.quotes.get(one.symbol) in DOLLARS else math.nan
            self.events.put(
                Liquidation(
                    int(row["ts_recv"]),
                    int(row["ts_event"]),
                    one.venue,
                    one.symbol,
                    one.asset,
                    lc.Side(int(row["side"])).name,
                    price,
                    qty,
                    usd,
                    self.completeness,
                )
            )

    def _signals(self, signals: tuple[lc.Signal, ...]) -> None:
        for one in signals:
            of = self.found[one.instrument]
            self.events.put(
                Cascade(
                    one.ts, of.venue, of.symbol, of.asset, one.side.name, one.phase.name, one.notional, one.count, one.threshold, self.completeness
                )
            )

    def tick(self) -> None:
        """Serve deadlines."""
        now, due = self.clock.now_ns(), self.sink.next_deadline
        if due is not None and due <= now:
            self.sink.advance(now)


class Events:
    """Made by `stream`. received: liquidations that passed no filter yet; dropped: events that gave way because the reader was slow: of a full queue
    the oldest goes."""

    def __init__(self, feeds: Sequence[FeedConfig], symbols: tuple[str, ...], side: str, min_usd: float, signals: bool, queue: int):
        self.signals = signals
        self.received = self.dropped = 0
        self.ended = asyncio.Event()
        self._feeds, self._symbols, self._side, self._min_usd = feeds, symbols, side, min_usd
        self._queue: deque[Event] = deque(maxlen=queue)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._groups: list[_Group] = []
        self._failed: BaseException | None = None

    # ---- what a reader does ----

    async def __aenter__(self) -> Events:
        """VenueError where a venue does not answer, ConfigError for a name that it does not trade; then nothing is left open."""
        try:
            pages = await asyncio.gather(*(fetch_list(feed, tls_context(feed.ca, feed.rest_url)) for feed in self._feeds))
            self._check(pages)
            for feed, page in zip(self._feeds, pages, strict=True):
                await self._open(feed, page)
        except BaseException:
            await self._close()
            raise
        if self.signals:
            self._start(self._ticks())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._failed is not None:
                raise self._failed
            if self.ended.is_set():
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    def stop(self) -> None:
        """No more events; those that wait are still given. Safe to call from a signal handler."""
        self.ended.set()
        self._wake.set()

    @property
    def up(self) -> bool:
        """Every connection of every venue delivers."""
        return bool(self._groups) and all(group.venue_feed.up for group in self._groups)

    def health(self) -> dict[str, dict[str, Any]]:
        """By venue: up, contracts, connections, frames, reconnects, and why connections were lost."""
        out: dict[str, dict[str, Any]] = {}
        for group in self._groups:
            found = group.venue_feed.health()
            one = out.setdefault(
                group.feed.venue,
                {
                    "up": True,
                    "contracts": 0,
                    "connections": 0,
                    "frames": 0,
                    "reconnects": 0,
                    "drops": [],
                    "refused": [],
                    "completeness": group.completeness,
                },
            )
            one["up"] &= found["up"]
            one["contracts"] += found["symbols"]
            one["connections"] += len(found["connections"])
            one["frames"] += sum(each["frames"] for each in found["connections"].values())
            one["reconnects"] += found["reconnects"]
            one["drops"] += found["drops"]
            one["refused"] += found["refused"]
        return out

    # ---- inside ----

    def put(self, event: Event) -> None:
        """Into the queue, where it passes."""
        if isinstance(event, Liquidation):
            self.received += 1
            if self._min_usd and not event.usd >= self._min_usd:
                return
        if self._side and event.side != self._side:
            return
        self.dropped += len(self._queue) == self._queue.maxlen
        self._queue.append(event)
        self._wake.set()

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.ended.is_set():
            self._failed = task.exception()
            self.stop()

    async def _ticks(self) -> None:
        while not self.ended.is_set():
            for group in self._groups:
                group.tick()
            await asyncio.sleep(TICK_S)

    def _check(self, pages: Sequence[InstrumentPage]) -> None:
        """Every configured name is known to a venue, and every venue knows one."""
        names = {name for page in pages for one in page.instruments for name in (one.symbol, one.asset)}
        for name in () if self._symbols == (ALL,) else self._symbols:
            if name not in names:
                near = difflib.get_close_matches(name, sorted(names), 1)
                raise ConfigError(
                    f"symbols: {name!r}",
                    f"{', '.join(feed.venue for feed in self._feeds)}: no such contract or asset",
                    f"such as {near[0]!r}" if near else "",
                )

    async def _wanted(self, feed: FeedConfig, page: InstrumentPage) -> list[lc.Instrument]:
        if feed.every:
            return await choose(feed, page, tls_context(feed.ca, feed.rest_url))
        return [one for one in page.instruments if one.symbol in self._symbols or one.asset in self._symbols]

    async def _open(self, feed: FeedConfig, page: InstrumentPage) -> None:
        found = await self._wanted(feed, page)
        if not found:
            raise ConfigError(
                f"symbols of {feed.venue}",
                f"none of its {len(page.instruments)} contracts is named",
                "one at least: its own name of a contract, an asset such as 'BTC', or 'all'",
                "Remove the venue",
            )
        clock, _ = await venue_clock(feed.rest_url, tls_context(feed.ca, feed.rest_url), waiting=True)
        wire = WireClock(clock.speed, clock.market_ns, clock.wall_ns) if clock else WireClock()
        speed = clock.speed if clock else 1.0
        self._take_in(feed, wire, speed, page, found)

        def changed(gone: dict[str, str], back: list[str], new: InstrumentPage) -> None:
            if gone or back:
                _log.warning(
                    "%s: %s",
                    feed.venue,
                    "; ".join(f"{', '.join(names)} {what}" for names, what in ((gone, "trade no more"), (back, "trade again")) if names),
                )
            if new.instruments and not feed.min_turnover_usd:
                self._start(self._listed(feed, wire, speed, new, watch))

        watch = ListWatch(feed, tls_context(feed.ca, feed.rest_url), speed, self.ended, [one.symbol for one in found], changed)
        self._start(watch.run())

    def _take_in(self, feed: FeedConfig, clock: WireClock, speed: float, page: InstrumentPage, found: Sequence[lc.Instrument]) -> None:
        symbols = tuple(one.symbol for one in found)
        group = _Group(self, dataclasses.replace(feed, symbols=symbols), clock, speed, page, found)
        self._groups.append(group)
        self._start(group.venue_feed.run())

    async def _listed(self, feed: FeedConfig, clock: WireClock, speed: float, page: InstrumentPage, watch: ListWatch) -> None:
        """New contracts get connections of their own: those that are there are not disturbed."""
        found = await self._wanted(feed, page)
        if found and not self.ended.is_set():
            _log.warning("%s lists %s: added", feed.venue, ", ".join(one.symbol for one in found))
            watch.known.update(one.symbol for one in found)
            self._take_in(feed, clock, speed, page, found)

    async def _close(self) -> None:
        self.stop()
        for group in self._groups:
            group.venue_feed.hang_up()
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=HANG_UP_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def stream(
    venues: Iterable[str] | Mapping[str, tuple[str, str]] = ("bybit", "binance", "okx"),
    *,
    symbols: str | Iterable[str] = ALL,
    exclude: Iterable[str] = (),
    quote: str = "",
    min_turnover_usd: float = 0.0,
    min_usd: float = 0.0,
    side: str | None = None,
    signals: bool = False,
    environment: str = "mainnet",
    queue: int = QUEUE,
    list_every_s: float = 300.0,
) -> Events:
    """The liquidations of these venues from now on: an asynchronous context manager whose value is an asynchronous iterator of Liquidation, with
    signals=True of Cascade, too. ConfigError for what cannot be meant, here or at the start.

    venues: names, or name -> (REST address, websocket address) for an emulator or a proxy. symbols: "all", or names of contracts as the venues write
    them and assets ("BTC" = every contract of it). exclude, quote, min_turnover_usd: of "all", as in [feed]. min_usd: of one liquidation; one whose
    usd is not known does not pass. side: "long" or "short". queue: events that wait for the reader; of a full queue the oldest is dropped and
    counted. list_every_s: how often the lists of contracts are looked at; new ones are taken in (not with min_turnover_usd).
    """
    places = dict(venues) if isinstance(venues, Mapping) else dict.fromkeys((venues,) if isinstance(venues, str) else venues, ("", ""))
    names = tuple(dict.fromkeys((symbols,) if isinstance(symbols, str) else symbols))
    if not places:
        raise ConfigError("venues", "none", f"one of {', '.join(ADAPTERS)} at least")
    if not names:
        raise ConfigError("symbols", "none", f"{ALL!r}, or names of contracts or assets")
    if names != (ALL,) and (tuple(exclude) or quote or min_turnover_usd):
        raise ConfigError("exclude, quote, min_turnover_usd", "given together with a list of symbols", f"them only with symbols = {ALL!r}")
    if side is not None and side.upper() not in ("LONG", "SHORT"):
        raise ConfigError("side", f"found {side!r}", "'long' or 'short': of the liquidated position, or None")
    bounds = (("min_usd", min_usd, 0.0), ("min_turnover_usd", min_turnover_usd, 0.0), ("queue", queue, 1), ("list_every_s", list_every_s, 1.0))
    for key, value, least in bounds:
        if not least <= value < math.inf:
            raise ConfigError(key, f"found {value!r}", f"a number of at least {least:g}")
    feeds = []
    for name, (rest, ws) in places.items():
        try:
            venue = adapter_of(name)
        except ValueError as why:
            raise ConfigError("venues", str(why)) from None
        if not venue.liquidations:
            raise ConfigError(
                f"venues: {name!r}",
                "it has no public feed of liquidations",
                "a venue with such a feed",
                "Remove it; `liqcore record` records its other data",
            )
        if not rest and environment not in venue.environments:
            raise ConfigError("environment", f"found {environment!r}", f"one of {', '.join(venue.environments)} at {venue.venue}")
        feeds.append(
            FeedConfig(
                venue=venue.venue,
                environment=environment,
                rest=rest,
                ws=ws,
                symbols=names,
                exclude=tuple(exclude),
                quote=quote,
                min_turnover_usd=min_turnover_usd,
                list_every_s=list_every_s,
                every=names == (ALL,),
            )
        )
    return Events(feeds, names, (side or "").upper(), min_usd, signals, int(queue))
