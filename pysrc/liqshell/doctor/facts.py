"""The facts of doctor, from the venue and from this machine, without verdicts. Unknown facts are None, and `missing` has the reason."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import picows

from liqcore.detectors.registry import KINDS
from liqshell import plugins
from liqshell.clock import Clock
from liqshell.config.judge_sections import MODELS
from liqshell.config.load import Config
from liqshell.config.sections import FeedConfig
from liqshell.doctor.construct import Made, construct
from liqshell.doctor.kept import Kept, read_kept
from liqshell.errors import ConfigError, VenueError
from liqshell.judge.trial import Trial, try_judge
from liqshell.live.instruments import fetch_instruments
from liqshell.live.rest import Rest
from liqshell.live.start import AccountFacts, ask_account
from liqshell.live.venue_clock import venue_clock
from liqshell.rest import paged, walk_async
from liqshell.state.folder import read_state
from liqshell.transport import endpoints, tls_context
from liqshell.venues.adapters import BY_NAME
from liqshell.venues.bybit import instruments as bybit_instruments
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit import rest_responses as answers
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.bybit.rest_responses import FeeRate, Parsed
from liqshell.venues.bybit.signing import RECV_WINDOW_MS, Keys
from liqshell.venues.effects import Answer, Call
from liqshell.venues.reports import OrderState

T = TypeVar("T")
TIMEOUT_S = 5.0
PAUSE_S = 0.05  # between samples of the clock: ten samples stay far from every rate limit


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
class Facts(AccountFacts):
    """All facts: those that decide a start (Said), and more for the operator. The mappings by symbol lack those for
    which there was no usable answer (reason in `missing` under "instruments.SYMBOL" and the like)."""

    with_keys: bool = False
    rest: str = ""
    hidden: list[str] = field(default_factory=list)  # of installed packages, by a name that liqcore ships: sentences
    emulator: str = ""  # label of an emulated market, "" = a real venue (or paper without one)
    speed: float = 1.0
    samples: list[Sample] = field(default_factory=list)
    prices: dict[str, float] = field(default_factory=dict)
    fees: dict[str, FeeRate] = field(default_factory=dict)
    orders: tuple[OrderState, ...] | None = None
    dead_man: Mapping[str, float] | None = None
    disks: list[Disk] = field(default_factory=list)
    kept: Kept | None = None
    now_ns: int = 0  # of the market
    markets: dict[str, str] = field(default_factory=dict)  # venue -> the contracts of a whole market, in words
    made: list[Made] = field(default_factory=list)  # what a start would construct
    trial: Trial | ConfigError | None = None  # of the judge; None = there is none to ask
    offline: bool = False  # the venue was not queried


class Venue:
    """The queries, one at a time, each signed with the venue's time (the measured offset), so that a wrong local clock does not hide the other
    answers. keys None: nothing is signed."""

    def __init__(self, rest: str, keys: Keys | None, clock: Clock | None, tls: ssl.SSLContext | None):
        self.offset_ns = 0
        self._public = Rest(rest, None, RECV_WINDOW_MS, tls, clock.now_ns if clock else time.time_ns)
        # an emulated venue judges signatures on wall time, whatever its market's speed
        self._private = Rest(rest, keys, RECV_WINDOW_MS, tls, time.time_ns, lambda: 0 if clock else self.offset_ns // 1_000_000)

    async def close(self) -> None:
        await self._public.close()
        await self._private.close()

    async def ask(self, request: Request, *, signed: bool = True) -> Answer:
        """Status 0 where there is none."""
        return await (self._private if signed else self._public).call(Call(0, *request[:4], timeout_s=TIMEOUT_S, weight=request.weight))

    async def get(self, request: Request, parse: Callable[[bytes], Parsed[T]], *, signed: bool = True) -> Parsed[T]:
        """An answer, read."""
        answer = await self.ask(request, signed=signed)
        found = parse(answer.body)
        if not found.ok and found.code == answers.NO_CODE:
            return Parsed(False, reason=answer.why or f"HTTP {answer.status}: {found.reason}")
        return found


async def gather(config: Config, keys: Keys | None, *, samples: int = 10, offline: bool = False) -> Facts:
    """Gather all facts of the doctor. offline: only of this machine. Raises nothing for what a venue may do; ConfigError where [feed] ca
    cannot be used."""
    facts = Facts(rest=config.feed.rest_url, with_keys=keys is not None, offline=offline)
    facts.state = read_state(config)
    facts.disks = [_disk(path) for path in dict.fromkeys((config.run.out, facts.state.path))]
    facts.now_ns = time.time_ns()
    if offline:
        facts.missing["samples"] = "not asked (--offline)"
    else:
        await _venue(config, keys, facts, samples)
        if config.judge.kind in (*MODELS, "command", "rules"):
            try:
                facts.trial = await try_judge(config.judge, config.news)
            except ConfigError as why:
                facts.trial = why
    facts.hidden = [*plugins.hidden(plugins.DETECTOR, KINDS), *plugins.hidden(plugins.VENUE, BY_NAME)]
    facts.made = construct(config, facts.instruments, facts.speed)
    return facts


async def _venue(config: Config, keys: Keys | None, facts: Facts, samples: int) -> None:
    feed = config.feed
    await _whole_markets(config, facts)
    try:
        endpoints(config.signed_urls, feed.ca)
    except ConfigError as why:
        facts.unsafe = why
    if not feed.own_account:
        facts.kept = read_kept(config, facts.now_ns) if config.warm.keep else None
        facts.missing["samples"] = f"doctor supports the REST of Bybit only, not of {feed.venue}: clock, contracts and account are not checked"
        return
    tls = tls_context(feed.ca, feed.rest_url)
    try:
        clock, labels = await venue_clock(feed.rest_url, tls)
    except ConfigError as why:
        facts.missing["samples"] = str(why)
        return
    if clock is not None:
        facts.emulator, facts.speed = str(labels.get("market", "emulator")), clock.speed
    facts.now_ns = clock.now_ns() if clock is not None else time.time_ns()
    facts.kept = read_kept(config, facts.now_ns, facts.speed) if config.warm.keep else None
    signed = keys is not None and facts.unsafe is None  # else examine() says why nothing was
    venue = Venue(feed.rest_url, keys if signed else None, clock, tls)
    try:
        await _clock(venue, facts, samples)
        if facts.samples:
            venue.offset_ns = offset(facts.samples)[0]
            await _market(venue, facts, feed.named)
            if signed:
                await _account(venue, facts, feed.named)
                await _connections(feed, facts)
    finally:
        await venue.close()


async def _connections(feed: FeedConfig, facts: Facts) -> None:
    """Open what a live start opens, and close it again. No login."""
    for name, url in (("the account's stream", feed.private_url), ("the order connection", feed.trade_url)):
        if url:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    transport, _ = await picows.ws_connect(
                        picows.WSListener, url, max_redirects=0, ssl_context=tls_context(feed.ca, url) if url.startswith("wss:") else None
                    )
                transport.disconnect()
            except (OSError, picows.WSError, TimeoutError) as why:
                facts.closed[name] = f"{url}: {type(why).__name__}: {why}".rstrip(": ")


async def _whole_markets(config: Config, facts: Facts) -> None:
    for feed in config.all_feeds():
        if feed.whole:
            try:
                found = await fetch_instruments(feed, tls_context(feed.ca, feed.rest_url))
            except (ConfigError, VenueError) as why:
                facts.missing[f"markets.{feed.venue}"] = str(why)
            else:
                names = [one.symbol for one in found]
                facts.markets[feed.venue] = f"{len(names)} contracts, {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"


def offset(samples: list[Sample]) -> tuple[int, int]:
    """(venue's clock - ours, uncertainty), ns: of the fastest sample, whose error is at most half its round trip."""
    best = min(samples, key=lambda s: s.received_ns - s.sent_ns)
    return best.server_ns - (best.sent_ns + best.received_ns) // 2, (best.received_ns - best.sent_ns + 1) // 2


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
        began = time.monotonic_ns()
        answer = await venue.ask(bybit_rest.server_time(), signed=False)
        wall = time.monotonic_ns() - began
        found = answers.parse_server_time(answer.body)
        if found.ok and found.value is not None:
            if n:
                facts.samples.append(Sample(answer.sent_ns, answer.received_ns, found.value, wall))
        else:
            facts.missing["samples"] = answer.why or f"HTTP {answer.status}: {found.reason}"
            if n == 0:
                return
        await asyncio.sleep(PAUSE_S)


async def _market(venue: Venue, facts: Facts, symbols: tuple[str, ...]) -> None:
    for symbol in symbols:
        answer = await venue.ask(bybit_rest.instruments(symbol), signed=False)
        try:
            page = bybit_instruments.parse_instruments(answer.body)
        except ValueError as error:
            facts.missing[f"instruments.{symbol}"] = answer.why or f"HTTP {answer.status}: {error}"
            continue
        found = next((one for one in page.instruments if one.symbol == symbol), None)
        if found is None:
            facts.missing[f"instruments.{symbol}"] = "; ".join(page.refused) or "the venue does not trade it at present"
            facts.lasting.add(f"instruments.{symbol}")
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

    async def ask(request: Request, number: int) -> tuple[int, bytes, str]:
        answer = await venue.ask(request)
        return answer.status, answer.body, answer.why

    await ask_account(facts, ask, symbols)
    for symbol in symbols:
        rates = take(f"fees.{symbol}", await venue.get(bybit_rest.fee_rates(symbol), answers.parse_fee_rates)) or ()
        facts.fees |= {rate.symbol: rate for rate in rates if rate.symbol == symbol}
    facts.orders = take(
        "orders",
        await walk_async(paged(lambda cursor: bybit_rest.open_orders(cursor=cursor)), lambda request: venue.get(request, answers.parse_orders)),
    )
    facts.dead_man = take("dead_man", await venue.get(bybit_rest.dcp_info(), answers.parse_dcp_info))
