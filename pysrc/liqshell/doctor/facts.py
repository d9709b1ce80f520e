"""What doctor asks, of the venue and of this machine. Nothing is judged here; what could not be learnt is None, and `missing` says why."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from liqcore.instrument import Instrument
from liqshell.clock import Clock
from liqshell.config import Config
from liqshell.doctor.folder import StateFolder, read_state
from liqshell.live.rest import tls_context
from liqshell.log import redact
from liqshell.venue_clock import is_loopback, venue_clock
from liqshell.venues import bybit_answers as answers
from liqshell.venues import bybit_instruments, bybit_rest
from liqshell.venues.bybit_answers import AccountInfo, FeeRate, KeyInfo, Parsed
from liqshell.venues.bybit_rest import Request
from liqshell.venues.bybit_signing import Keys, rest_headers
from liqshell.venues.reports import OrderState, Position, Wallet

T = TypeVar("T")
TIMEOUT_S = 5.0
PAGES_MAX = 40
PAUSE_S = 0.05                      # between samples of the clock: ten samples stay far from every rate limit


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of the venue's clock. sent_ns, received_ns: the clock that the run will use; wall_ns: what the round trip took on this machine."""

    sent_ns: int
    received_ns: int
    server_ns: int
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder that will be written to. path: as configured; free: bytes; writable: whether a file can be made in it, or it can be made."""

    path: str
    free: int
    writable: bool


@dataclass(slots=True)
class Facts:
    """Everything that was learnt. None = not asked or not answered; then `missing` has the reason under the field's name. The mappings by symbol
    lack those for which there was no usable answer (reason under "instruments.SYMBOL" and the like)."""

    rest: str = ""
    emulator: str = ""                                             # label of an emulated market, "" = a real venue (or paper without one)
    speed: float = 1.0
    samples: list[Sample] = field(default_factory=list)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    key: KeyInfo | None = None
    account: AccountInfo | None = None
    wallet: Wallet | None = None
    fees: dict[str, FeeRate] = field(default_factory=dict)
    positions: tuple[Position, ...] | None = None
    modes: dict[str, tuple[Position, ...]] = field(default_factory=dict)       # rows of one symbol, flat ones included
    orders: tuple[OrderState, ...] | None = None
    dead_man: Mapping[str, float] | None = None
    disks: list[Disk] = field(default_factory=list)
    state: StateFolder | None = None
    missing: dict[str, str] = field(default_factory=dict)
    with_keys: bool = False


class Venue:
    """The questions, one at a time, each signed at its moment with the venue's time (the measured offset), so that a wrong clock of ours does not
    hide the answers to everything else."""

    def __init__(self, http: aiohttp.ClientSession, rest: str, keys: Keys | None, clock: Clock | None):
        self.http, self.rest, self.keys, self.clock = http, rest, keys, clock
        self.offset_ns = 0

    async def ask(self, request: Request, *, signed: bool = True) -> tuple[int, bytes, str, int, int, int]:
        """(HTTP status or 0, body, why, sent, received, wall ns). Redirects are not followed: a signed request is for one host."""
        headers = {}
        if signed and self.keys is not None:
            # an emulated venue judges signatures on wall time, whatever its market's speed
            headers = rest_headers(self.keys, (time.time_ns() + (0 if self.clock else self.offset_ns)) // 1_000_000, request.query)
        url = URL(self.rest + request.path + (f"?{request.query}" if request.query else ""), encoded=True)
        now = self.clock.now_ns if self.clock else time.time_ns
        sent, began = now(), time.monotonic_ns()
        status, body, why = 0, b"", ""
        try:
            async with self.http.get(url, headers=headers, allow_redirects=False) as answer:
                body, status = await answer.read(), answer.status
        except TimeoutError:
            why = f"no answer within {TIMEOUT_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = redact(f"{type(error).__name__}: {error}")
        return status, body, why, sent, now(), time.monotonic_ns() - began

    async def get(self, request: Request, parse: Callable[[bytes], Parsed[T]], *, signed: bool = True) -> Parsed[T]:
        """An answer, read."""
        status, body, why, *_ = await self.ask(request, signed=signed)
        found = parse(body)
        if found.ok:
            return found
        if found.code == answers.NO_CODE:
            return Parsed(False, reason=why or f"HTTP {status}: {found.reason}")
        return found

    async def pages(self, make: Callable[[str], Request], parse: Callable[[bytes], Parsed[tuple[T, ...]]]) -> Parsed[tuple[T, ...]]:
        """All pages of a list, or why there is none. A cursor that does not end is not a list."""
        out: list[T] = []
        cursor = ""
        for _ in range(PAGES_MAX):
            found = await self.get(make(cursor), parse)
            if not found.ok or found.value is None:
                return found
            out += found.value
            if not found.cursor or not found.value:
                return Parsed(True, tuple(out), 0)
            cursor = found.cursor
        return Parsed(False, reason=f"more than {PAGES_MAX} pages")


async def gather(config: Config, keys: Keys | None, *, samples: int = 10) -> Facts:
    """Ask everything that doctor wants to know. Raises nothing for what a venue may do; ConfigError where [feed] ca cannot be used."""
    feed = config.feed
    facts = Facts(rest=feed.rest_url, with_keys=keys is not None)
    facts.state = read_state(config)
    facts.disks = [_disk(path) for path in dict.fromkeys((config.run.out, facts.state.path))]
    if feed.venue != "bybit":
        facts.missing["samples"] = f"doctor knows Bybit's REST only, not that of {feed.venue}: neither clock nor contracts nor account were looked at"
        return facts
    tls = tls_context(feed.ca, feed.rest_url)
    clock, labels = await venue_clock(feed.rest_url, tls)
    if clock is not None:
        facts.emulator, facts.speed = str(labels.get("market", "emulator")), clock.speed
    connector = aiohttp.TCPConnector(ssl=tls or True)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), connector=connector) as http:
        venue = Venue(http, feed.rest_url, keys, clock)
        await _clock(venue, facts, samples)
        if facts.samples:
            venue.offset_ns = offset(facts.samples)[0]
            await _market(venue, facts, feed.symbols)
            if keys is not None and is_secure(feed.rest_url):     # else examine() says why nothing was signed
                await _account(venue, facts, feed.symbols)
    return facts


def offset(samples: list[Sample]) -> tuple[int, int]:
    """(venue's clock - ours, uncertainty), ns: of the fastest sample, whose error is at most half its round trip."""
    best = min(samples, key=lambda s: s.received_ns - s.sent_ns)
    return best.server_ns - (best.sent_ns + best.received_ns) // 2, (best.received_ns - best.sent_ns + 1) // 2


def is_secure(rest: str) -> bool:
    """https, or an address of this machine."""
    return urlsplit(rest).scheme == "https" or is_loopback(rest)


def _disk(path: str) -> Disk:
    at = Path(path).resolve()
    while not at.exists() and at != at.parent:
        at = at.parent
    try:
        free = shutil.disk_usage(at).free
    except OSError:
        return Disk(path, 0, False)
    try:
        probe = at / f".liqcore-doctor-{time.monotonic_ns()}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return Disk(path, free, False)
    return Disk(path, free, at.is_dir())


async def _clock(venue: Venue, facts: Facts, count: int) -> None:
    # the first request also opens the connection: it is asked, and not measured
    for n in range(count + 1):
        status, body, why, sent, received, wall = await venue.ask(bybit_rest.server_time(), signed=False)
        found = answers.parse_server_time(body)
        if found.ok and found.value is not None:
            if n:
                facts.samples.append(Sample(sent, received, found.value, wall))
        else:
            facts.missing["samples"] = why or f"HTTP {status}: {found.reason}"
            if n == 0:
                return
        await asyncio.sleep(PAUSE_S)


async def _market(venue: Venue, facts: Facts, symbols: tuple[str, ...]) -> None:
    for symbol in symbols:
        status, body, why, *_ = await venue.ask(bybit_rest.instruments(symbol), signed=False)
        try:
            page = bybit_instruments.parse_instruments(body)
        except ValueError as error:
            facts.missing[f"instruments.{symbol}"] = why or f"HTTP {status}: {error}"
            continue
        found = next((one for one in page.instruments if one.symbol == symbol), None)
        if found is None:
            facts.missing[f"instruments.{symbol}"] = "; ".join(page.refused) or "the venue does not trade it now"
            continue
        facts.instruments[symbol] = found
        price = await venue.get(bybit_rest.tickers(symbol), answers.parse_last_price, signed=False)
        if price.ok and price.value is not None:
            facts.prices[symbol] = price.value
        else:
            facts.missing[f"prices.{symbol}"] = price.reason


async def _account(venue: Venue, facts: Facts, symbols: tuple[str, ...]) -> None:
    def take(name: str, found: Parsed[Any]) -> Any:
        if not found.ok:
            facts.missing[name] = found.reason
        return found.value

    facts.key = take("key", await venue.get(bybit_rest.key_info(), answers.parse_key_info))
    facts.account = take("account", await venue.get(bybit_rest.account_info(), answers.parse_account_info))
    facts.wallet = take("wallet", await venue.get(bybit_rest.wallet(), answers.parse_wallet))
    for symbol in symbols:
        rates = take(f"fees.{symbol}", await venue.get(bybit_rest.fee_rates(symbol), answers.parse_fee_rates)) or ()
        facts.fees |= {rate.symbol: rate for rate in rates if rate.symbol == symbol}
        if rows := take(f"modes.{symbol}", await venue.get(bybit_rest.positions(symbol), answers.parse_positions)):
            facts.modes[symbol] = rows
    positions = await venue.pages(lambda cursor: bybit_rest.positions(cursor=cursor), answers.parse_positions)
    facts.positions = take("positions", positions)
    facts.orders = take("orders", await venue.pages(lambda cursor: bybit_rest.open_orders(cursor=cursor), answers.parse_orders))
    facts.dead_man = take("dead_man", await venue.get(bybit_rest.dcp_info(), answers.parse_dcp_info))
