"""The venue's own filters of the configured contracts."""

from __future__ import annotations

import difflib
import ssl

import aiohttp

import liqcore as lc
from liqshell.errors import ConfigError, VenueError
from liqshell.venues import bybit_instruments

PAGES_MAX = 100                 # of the instrument list; a venue that never ends it would hold the start for ever
REST_TIMEOUT_S = 10.0


async def fetch_instruments(rest: str, symbols: tuple[str, ...], tls: ssl.SSLContext | None = None) -> tuple[lc.Instrument, ...]:
    """The venue's filters of the configured symbols. VenueError where it does not answer, ConfigError for a symbol that it does not trade."""
    found: dict[str, lc.Instrument] = {}
    cursor = ""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REST_TIMEOUT_S)) as session:
            for _ in range(PAGES_MAX):
                async with session.get(rest + bybit_instruments.instruments_path(cursor), ssl=tls or True) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        raise VenueError(rest, f"HTTP {answer.status}: {body[:200]!r}", "the list of instruments")
                page = bybit_instruments.parse_instruments(body)
                found |= {i.symbol: i for i in page.instruments}
                cursor = page.cursor
                if not cursor:
                    break
    except (aiohttp.ClientError, TimeoutError, ValueError) as why:
        raise VenueError(rest, f"no list of instruments: {type(why).__name__} {why}", "", "Check [feed] and the network") from None
    problems = []
    for symbol in symbols:
        if symbol not in found:
            near = difflib.get_close_matches(symbol, found, 1)
            problems.append(ConfigError(f"feed.symbols: {symbol}", "the venue does not trade it", f"such as {near[0]!r}" if near else ""))
    if problems:
        raise ConfigError("[feed] symbols", problems=problems)
    return tuple(found[symbol] for symbol in symbols)
