"""The venues' own filters of the configured contracts."""

from __future__ import annotations

import difflib
import ssl
from collections.abc import Sequence

import aiohttp

import liqcore as lc
from liqshell.errors import ConfigError, VenueError
from liqshell.live.rest import tls_context
from liqshell.sections import FeedConfig
from liqshell.venues.adapters import adapter_of

PAGES_MAX = 100                 # of the instrument list; a venue that never ends it would hold the start for ever
REST_TIMEOUT_S = 10.0


async def fetch_instruments(feed: FeedConfig, tls: ssl.SSLContext | None = None) -> tuple[lc.Instrument, ...]:
    """The venue's filters of the configured symbols. VenueError where it does not answer, ConfigError for a symbol that it does not trade."""
    adapter, rest = adapter_of(feed.venue), feed.rest_url
    found: dict[str, lc.Instrument] = {}
    cursor = ""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_TIMEOUT_S)) as session:
            for _ in range(PAGES_MAX):
                request = adapter.instruments(cursor)
                async with session.request(request.method, rest + request.path, data=request.body or None, ssl=tls or True,
                                           headers={"Content-Type": "application/json"} if request.body else None) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        raise VenueError(rest, f"HTTP {answer.status}: {body[:200]!r}", "the list of instruments")
                page = adapter.parse_instruments(body)
                found |= {i.symbol: i for i in page.instruments}
                cursor = page.cursor
                if not cursor:
                    break
    except (aiohttp.ClientError, TimeoutError, ValueError) as why:
        raise VenueError(rest, f"no list of instruments: {type(why).__name__} {why}", "", "Check [feed] and the network") from None
    problems = []
    for symbol in feed.symbols:
        if symbol not in found:
            near = difflib.get_close_matches(symbol, found, 1)
            problems.append(ConfigError(f"feed.symbols: {symbol}", f"{feed.venue} does not trade it", f"such as {near[0]!r}" if near else ""))
    if problems:
        raise ConfigError("[feed] symbols", problems=problems)
    return tuple(found[symbol] for symbol in feed.symbols)


async def fetch_all(feeds: Sequence[FeedConfig]) -> tuple[lc.Instrument, ...]:
    """Those of every venue, in the order of the feeds."""
    out: list[lc.Instrument] = []
    for feed in feeds:
        out += await fetch_instruments(feed, tls_context(feed.ca, feed.rest_url))
    return tuple(out)
