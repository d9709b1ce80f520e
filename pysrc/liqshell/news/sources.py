"""Sources of news: a search (Brave), a venue's announcements (Bybit), feeds (RSS, Atom); several at once, and the news of a recording."""

from __future__ import annotations

import asyncio
import bisect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from liqshell.news.feed_xml import entries
from liqshell.news.items import SEARCH, Item, NewsError, NewsSource, host_of
from liqshell.news.pace import Pace
from liqshell.venues.adapters import adapter_of
from liqshell.web import AGENT, Reply, Web

Now = Callable[[], int]
BRAVE = "https://api.search.brave.com"
EVENTS = {"delistings": "delisting", "new_crypto": "listing", "maintenance_updates": "outage"}
ENTRIES_MAX = 200


def terms_of(asset: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Ticker and name of an asset: 1000PEPE -> (PEPE, Pepe). The ticker replaces an unknown name."""
    ticker = re.sub(r"^1(000)+(?=[A-Z])|^k(?=[A-Z]{3})", "", asset).upper()
    return ticker, names.get(ticker, "")


def mentions(text: str, ticker: str, name: str) -> bool:
    """Whether a text has the ticker as a word in capitals, or the name as a word."""
    return bool(
        re.search(rf"(?<![A-Za-z0-9]){re.escape(ticker)}(USDT|USDC|USD|PERP)?(?![A-Za-z0-9])", text)
        or name
        and re.search(rf"\b{re.escape(name)}\b", text, re.I)
    )


def moment(text: Any) -> int:
    """ns UTC of an ISO or RFC 822 time, UTC where it names no zone; 0 = not readable."""
    if not isinstance(text, str) or not text:
        return 0
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(text.strip())
            return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
        except (ValueError, TypeError, OverflowError, OSError, IndexError):
            continue
    return 0


_ESCAPE = re.compile(rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|u[dD][89a-fA-F][0-9a-fA-F]{2}|(.))", re.S)


def _json(body: bytes) -> Any:
    """Half of a surrogate pair in the title of one story is no reason to lose the others: it is read as U+FFFD."""
    return orjson.loads(_ESCAPE.sub(lambda found: found[0] if found[1] or found[2] else rb"\ufffd", body))


class _Asked:
    """The shared part of sources: a cache, one request at a time."""

    def __init__(self, name: str, web: Web, names: Mapping[str, str], now: Now, interval_s: float, cache_s: float, timeout_s: float):
        self.name, self._web, self._names, self._now, self._cache_s, self._timeout_s = name, web, names, now, cache_s, timeout_s
        self._pace = Pace(interval_s)
        self._kept: dict[str, tuple[float, list[Item]]] = {}

    async def close(self) -> None:
        await self._web.close()

    async def _listed(self, asset: str, target: str, read: Callable[[Reply, int], list[Item]]) -> list[Item]:
        """Those of a list for all assets that mention this one."""
        ticker, name = terms_of(asset, self._names)
        return [item for item in await self._items("", target, read) if mentions(f"{item.title} {item.description}", ticker, name)]

    async def _items(self, key: str, target: str, read: Callable[[Reply, int], list[Item]]) -> list[Item]:
        """Items of the cache, or of a request. NewsError where neither has any answer in time."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._timeout_s
        if (kept := self._fresh(key)) is not None:
            return kept
        if self._pace.wait_s() > until_s - loop.time():
            raise NewsError(f"{self.name}: its rate limit allows the next request in {self._pace.wait_s():.1f} s")
        try:
            async with asyncio.timeout_at(until_s), self._pace:
                if (kept := self._fresh(key)) is not None:  # another task has asked in the meantime
                    return kept
                reply = await self._web.ask("GET", target, until_s)
        except TimeoutError:
            raise NewsError(f"{self.name}: no answer in time") from None
        received = self._now()
        self._pace.learn(reply.status, reply.headers)
        try:
            items = read(reply, received) if reply.status == 200 else None
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise NewsError(f"{self.name}: an answer of unexpected form: {type(why).__name__}") from None
        if items is None:
            raise NewsError(f"{self.name}: {reply.why or f'HTTP {reply.status}'}")
        self._kept[key] = (loop.time() + self._cache_s, items)
        return items

    def _fresh(self, key: str) -> list[Item] | None:
        until, items = self._kept.get(key, (0.0, []))
        return items if until > asyncio.get_running_loop().time() else None


class Brave(_Asked):
    """Brave's news search. names: ticker -> name. A request a second and none in parallel, unless its headers say less."""

    def __init__(
        self,
        token: str,
        names: Mapping[str, str],
        now: Now,
        *,
        base: str = "",
        cache_s: float = 120.0,
        timeout_s: float = 1.5,
        ca: str = "",
        interval_s: float = 1.0,
    ):
        web = Web(
            base or BRAVE,
            {"X-Subscription-Token": token, "Accept": "application/json", "Cache-Control": "no-cache"} | AGENT,
            ca,
            secret=True,
        )
        super().__init__(SEARCH, web, names, now, interval_s, cache_s, timeout_s)

    async def about(self, asset: str, as_of_ns: int) -> list[Item]:
        ticker, name = terms_of(asset, self._names)
        words = f'"{name}" OR {ticker} crypto' if name else f"{ticker} crypto"
        query = urlencode({"q": words, "freshness": "pd", "count": 10, "spellcheck": "false", "search_lang": "en", "safesearch": "off"})
        return await self._items(ticker, f"/res/v1/news/search?{query}", self._read)

    @staticmethod
    def _read(reply: Reply, received_ns: int) -> list[Item]:
        return [
            Item(
                received_ns,
                SEARCH,
                host_of(str(row.get("url", ""))),
                str(row.get("title", "")),
                str(row.get("description", "")),
                moment(row.get("page_age")),
            )
            for row in _json(reply.body)["results"][:50]
            if isinstance(row, dict)
        ]


class Announcements(_Asked):
    """Bybit's announcements of listings, delistings and maintenance. The list is read for all assets at once."""

    def __init__(self, names: Mapping[str, str], now: Now, *, base: str = "", cache_s: float = 60.0, timeout_s: float = 1.5, ca: str = ""):
        web = Web(base or adapter_of("bybit").environments["mainnet"].rest, AGENT, ca)
        super().__init__("bybit", web, names, now, 0.2, cache_s, timeout_s)

    async def about(self, asset: str, as_of_ns: int) -> list[Item]:
        return await self._listed(asset, "/v5/announcements/index?locale=en-US&limit=50", self._read)

    @staticmethod
    def _read(reply: Reply, received_ns: int) -> list[Item]:
        answer = _json(reply.body)
        if answer["retCode"] != 0:
            raise ValueError
        return [
            Item(
                received_ns,
                "bybit",
                host_of(str(row.get("url", ""))) or "bybit.com",
                str(row.get("title", "")),
                str(row.get("description", "")),
                int(row.get("dateTimestamp", 0)) * 1_000_000,
                EVENTS.get((row.get("type") or {}).get("key", ""), ""),
            )
            for row in answer["result"]["list"][:ENTRIES_MAX]
        ]


class Feeds(_Asked):
    """One RSS or Atom feed, read for all assets at once. address: of the feed."""

    def __init__(self, address: str, names: Mapping[str, str], now: Now, *, cache_s: float = 120.0, timeout_s: float = 1.5, ca: str = ""):
        web = Web(address, {"Accept": "application/rss+xml, application/xml"} | AGENT, ca)
        super().__init__(host_of(address) or urlsplit(address).hostname or "rss", web, names, now, 1.0, cache_s, timeout_s)

    async def about(self, asset: str, as_of_ns: int) -> list[Item]:
        return await self._listed(asset, "", self._read)

    def _read(self, reply: Reply, received_ns: int) -> list[Item]:
        return [
            Item(
                received_ns,
                self.name,
                host_of(row.get("link", "")) or self.name,
                row.get("title", ""),
                row.get("description", ""),
                moment(row.get("date", "")),
            )
            for row in entries(reply.body)[:ENTRIES_MAX]
        ]


class Several:
    """Sources asked at once. A source that fails is named and its items are missing; if all fail, the news is unknown."""

    name = "several"

    def __init__(self, sources: Sequence[NewsSource]):
        self.sources = tuple(sources)
        self.failures: list[str] = []  # of the latest call

    async def about(self, asset: str, as_of_ns: int) -> list[Item]:
        found = await asyncio.gather(*(source.about(asset, as_of_ns) for source in self.sources), return_exceptions=True)
        failures = [one for one in found if isinstance(one, BaseException)]
        for one in failures:
            if not isinstance(one, NewsError):
                raise one
        self.failures = [str(one) for one in failures]
        if failures and len(failures) == len(found):
            raise NewsError("; ".join(self.failures))
        return [item for one in found if not isinstance(one, BaseException) for item in one]

    async def close(self) -> None:
        await asyncio.gather(*(source.close() for source in self.sources))


class RecordedNews:
    """Items of a recording, each from its time of receipt on. `rows`: (asset, item), asset '' = of a list that names no asset."""

    def __init__(self, rows: Iterable[tuple[str, Item]], names: Mapping[str, str], keep_s: float = 86_400.0):
        self._rows = sorted(rows, key=lambda row: row[1].received_ns)
        self._times = [item.received_ns for _, item in self._rows]
        self._names, self._keep_ns = names, int(keep_s * 1_000_000_000)

    def known(self, asset: str, as_of_ns: int) -> list[Item]:
        """The items about an asset received by a time, of the last `keep_s`."""
        ticker, name = terms_of(asset, self._names)
        first, last = bisect.bisect_left(self._times, as_of_ns - self._keep_ns), bisect.bisect_right(self._times, as_of_ns)
        return [
            item
            for whose, item in self._rows[first:last]
            if whose == ticker or not whose and mentions(f"{item.title} {item.description}", ticker, name)
        ]
