"""The venues' own lists of contracts: the filters of configured contracts, whole markets, and listings and delistings during a run."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import difflib
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal
from types import MappingProxyType

import aiohttp

import liqcore as lc
from liqshell.config.load import Config
from liqshell.config.sections import ALL, SYMBOLS_MAX, FeedConfig, venue_named
from liqshell.errors import ConfigError, VenueError
from liqshell.transport import tls_context
from liqshell.venues.adapter import InstrumentPage, Request
from liqshell.venues.adapters import adapter_of

PAGES_MAX = 100  # of the instrument list; a venue that never ends it would hold the start for ever
REST_TIMEOUT_S = 10.0
DOLLARS = frozenset(("USD", "USDT", "USDC", "FDUSD", "BFUSD", "USDE", "USD1", "RLUSD"))  # currencies taken as US dollars
_log = logging.getLogger("liqshell.live")


def passes(status: int) -> bool:
    """Whether an HTTP status may be another one when the venue is asked again."""
    return status not in (401, 404)  # keys or an address that it does not know stay so


async def _ask(http: aiohttp.ClientSession, rest: str, request: Request, tls: ssl.SSLContext | None, what: str) -> bytes:
    async with http.request(
        request.method,
        rest + request.path,
        data=request.body or None,
        ssl=tls or True,
        allow_redirects=False,
        headers={"Content-Type": "application/json"} if request.body else None,
    ) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise VenueError(rest, f"HTTP {answer.status}: {body[:200]!r}", what, code=answer.status, passing=passes(answer.status))
    return body


async def fetch_list(feed: FeedConfig, tls: ssl.SSLContext | None = None, wanted: Set[str] | None = None) -> InstrumentPage:
    """The contracts that trade at the venue now, as one page; with `wanted`, no further than to the last of these. VenueError where it does not
    answer."""
    adapter, rest = adapter_of(feed.venue), feed.rest_url
    found = InstrumentPage([], "", [])
    names: set[str] = set()
    cursor = ""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_TIMEOUT_S)) as http:
            for _ in range(PAGES_MAX):
                page = adapter.parse_instruments(await _ask(http, rest, adapter.instruments(cursor), tls, "the list of instruments"), cursor)
                found.instruments.extend(one for one in page.instruments if one.symbol not in names)
                names.update(one.symbol for one in page.instruments)
                found.faces.update(page.faces)
                found.quotes.update(page.quotes)
                found.states.update(page.states)
                found.special.update(page.special)
                found.codes.update(page.codes)
                cursor = page.cursor
                if not cursor or wanted is not None and names >= wanted:
                    return found
    except (aiohttp.ClientError, TimeoutError, ValueError) as why:
        raise VenueError(rest, f"no list of instruments: {type(why).__name__} {why}", "", "Check [feed] and the network", passing=True) from None
    raise VenueError(rest, f"a list of instruments of more than {PAGES_MAX} pages", "one that ends")


async def fetch_turnover(feed: FeedConfig, tls: ssl.SSLContext | None = None) -> dict[str, float]:
    """Turnover of 24 h by symbol, in quote currency. VenueError where the venue does not answer."""
    adapter, rest = adapter_of(feed.venue), feed.rest_url
    out: dict[str, float] = {}
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_TIMEOUT_S)) as http:
            for request in adapter.turnovers:
                out |= adapter.parse_turnover(await _ask(http, rest, request, tls, "the turnover of its contracts"))
    except (aiohttp.ClientError, TimeoutError, ValueError) as why:
        raise VenueError(
            rest, f"no turnover of its contracts: {type(why).__name__} {why}", "", "Remove min_turnover_usd, or try again", passing=True
        ) from None
    return out


async def choose(feed: FeedConfig, page: InstrumentPage, tls: ssl.SSLContext | None = None) -> list[lc.Instrument]:
    """Those contracts of the list that [feed] with symbols "all" means, by name. The turnover is asked for where it is needed; one that is not in US
    dollars, or not known, is not enough."""
    found = [one for one in page.instruments if one.symbol not in feed.exclude and feed.quote in ("", page.quotes.get(one.symbol, ""))]
    if feed.min_turnover_usd and found:
        turnover = await fetch_turnover(feed, tls)
        found = [one for one in found if page.quotes.get(one.symbol) in DOLLARS and turnover.get(one.symbol, 0.0) >= feed.min_turnover_usd]
    return sorted(found, key=lambda one: one.symbol)


async def fetch_instruments(feed: FeedConfig, tls: ssl.SSLContext | None = None) -> tuple[lc.Instrument, ...]:
    """The venue's filters of the configured symbols, or of a whole market. VenueError where it does not answer, ConfigError for a symbol that it does
    not trade, and for a whole market of none or of too many."""
    if feed.whole:
        return await _whole(feed, tls)
    listed = await fetch_list(feed, tls, set(feed.symbols))
    found = {one.symbol: one for one in listed.instruments}
    problems = []
    for symbol in feed.symbols:
        if symbol not in found:
            near = difflib.get_close_matches(symbol, found, 1)
            problems.append(ConfigError(f"feed.symbols: {symbol}", f"{feed.venue} does not trade it", f"such as {near[0]!r}" if near else ""))
    if problems:
        raise ConfigError("[feed] symbols", problems=problems)
    return tuple(found[symbol] for symbol in feed.symbols)


async def _whole(feed: FeedConfig, tls: ssl.SSLContext | None) -> tuple[lc.Instrument, ...]:
    page = await fetch_list(feed, tls)
    found = await choose(feed, page, tls)
    asked = (("quote", feed.quote), ("min_turnover_usd", f"{feed.min_turnover_usd:g}"))
    query = ", ".join(f"{key} {value}" for key, value in asked if value not in ("", "0"))
    where = f"feed.symbols: {ALL!r} of {feed.venue}"
    if not found:
        known = ", ".join(sorted({name for name in page.quotes.values() if name})[:8])
        raise ConfigError(
            where,
            f"{query or 'exclude'} leaves none of its {len(page.instruments)} contracts",
            f"a quote such as {known}" if known else "",
            "Lower min_turnover_usd, or name another quote",
        )
    if len(found) > SYMBOLS_MAX:
        raise ConfigError(where, f"{len(found)} contracts", f"at most {SYMBOLS_MAX}", "Name a quote, min_turnover_usd or exclude")
    unknown = set(feed.exclude).difference(one.symbol for one in page.instruments)
    if unknown:
        _log.warning("feed.exclude: %s does not trade %s", feed.venue, ", ".join(sorted(unknown)))
    _log.info("%s: %d of %d contracts", feed.venue, len(found), len(page.instruments))
    return tuple(found)


async def resolve(config: Config) -> tuple[Config, tuple[lc.Instrument, ...]]:
    """The configuration with the names of every contract in the place of whole markets, and the contracts of every venue, in the order of the
    feeds."""
    return named_by(config, {feed.venue: await fetch_instruments(feed, tls_context(feed.ca, feed.rest_url)) for feed in config.all_feeds()})


def named_by(config: Config, found: Mapping[str, Sequence[lc.Instrument]]) -> tuple[Config, tuple[lc.Instrument, ...]]:
    """The same from the contracts of each feed's venue; ConfigError where one that is configured by name is not among them, or stands elsewhere."""
    out: list[lc.Instrument] = []
    for feed in config.all_feeds():
        if not feed.whole and tuple(one.symbol for one in found[feed.venue]) != tuple(feed.symbols):
            raise ConfigError("[feed] symbols", "other contracts", ", ".join(feed.symbols))
        full = {"completeness": lc.Completeness.COMPLETENESS_FULL} if feed.node else {}  # the files of a node have every liquidation
        out += [lc.Instrument(**(i.as_dict() | full)) for i in found[feed.venue]] if full else found[feed.venue]

    def named(feed: FeedConfig, venue: str) -> FeedConfig:
        return dataclasses.replace(feed, symbols=tuple(one.symbol for one in found[venue_named(venue)]), every=True) if feed.whole else feed

    feeds = {venue: named(feed, venue) for venue, feed in config.feeds.items()}
    return dataclasses.replace(config, feed=named(config.feed, config.feed.venue), feeds=MappingProxyType(feeds)), tuple(out)


class ListWatch:
    """Looks at a venue's list of contracts now and then. known: the names that we have; the owner may add to it. contracts: those of them that are
    traded, as they were at the start: a changed tick, lot or multiplier (a split), and special treatment unless [feed] special_treatment, are faults
    of these. on_change(gone, back, new): names of ours that may not be entered any more, each with why; names that trade again; and the contracts
    that were not listed before, as a page. A list without more than half of what was listed is not believed: it changes nothing."""

    def __init__(
        self,
        feed: FeedConfig,
        tls: ssl.SSLContext | None,
        speed: float,
        stop: asyncio.Event,
        known: Sequence[str],
        on_change: Callable[[dict[str, str], list[str], InstrumentPage], object],
        contracts: Sequence[lc.Instrument] = (),
    ):
        self.feed, self.known = feed, set(known)
        self.looks = self.failures = 0
        self.gone: dict[str, str] = {}
        self._tls, self._stop, self._every_s = tls, stop, max(feed.list_every_s / speed, 0.25)
        self._listed: set[str] = set()
        self._contracts = {one.symbol: one for one in contracts}
        self._codes: dict[str, str] = {}
        self._on_change = on_change

    async def run(self) -> None:
        """Until the end of the run. The first look is at once: what is new is what comes after it."""
        while not self._stop.is_set():
            try:
                self.look(await fetch_list(self.feed, self._tls))
            except VenueError as why:
                self.failures += 1
                _log.warning("%s: the list of contracts cannot be read: %s", self.feed.venue, why)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._every_s)

    def look(self, page: InstrumentPage) -> None:
        """Compare with what was listed before."""
        found = {one.symbol: one for one in page.instruments}
        names, before = set(found), self._listed or self.known
        self.looks += 1
        if len(names & before) < len(before) / 2:
            self.failures += 1
            _log.warning("%s: the list lacks %d of %d contracts and is not used", self.feed.venue, len(before - names), len(before))
            return
        faults = {name: why for name in sorted(self.known) if (why := self._fault(name, found.get(name), page))}
        gone = {name: why for name, why in faults.items() if name not in self.gone}
        back = sorted(name for name in self.gone if name not in faults)
        new = names - self._listed - self.known if self._listed else set()
        self.gone, self._listed = faults, names
        self._codes |= page.codes
        if gone or back or new:
            self._on_change(gone, back, InstrumentPage([one for one in page.instruments if one.symbol in new], "", [], page.faces, page.quotes))

    def _fault(self, name: str, found: lc.Instrument | None, page: InstrumentPage) -> str:
        """Why a contract may not be entered; "" where nothing is wrong with it."""
        ours = self._contracts.get(name)
        if found is None:
            code = self._codes.get(name)
            heir = next((other for other, one in page.codes.items() if one == code), "") if code else ""
            if heir:
                return f"its name is {heir} now; configure that name and start again"
            return f"its state is {page.states[name]!r}" if name in page.states else "it does not trade any more"
        if ours is not None and _terms(found) != _terms(ours):
            return f"its contract terms changed to {_describe(found)} from {_describe(ours)}; start again to trade it"
        if ours is not None and name in page.special and not self.feed.special_treatment:
            return f"the venue lists it under {page.special[name]}"
        return ""


def _terms(one: lc.Instrument) -> tuple[Decimal, Decimal, float]:
    return Decimal(one.tick_size), Decimal(one.lot_size), one.multiplier


def _describe(one: lc.Instrument) -> str:
    return f"tick {one.tick_size}, lot {one.lot_size}, multiplier {one.multiplier:g}"
