"""Options of the emulator: the venues, and the source of their frames."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

from liqshell.clock import NS
from liqshell.emulator.exchange.saved_accounts import Saved
from liqshell.emulator.market.agents import BLOCK_NS, START_NS, Market, Parameters
from liqshell.emulator.market.contracts import CONTRACTS
from liqshell.emulator.market.recording_feed import TapeFeed
from liqshell.emulator.market.synthetic_feed import SyntheticFeed

VENUES = ("bybit", "binance", "okx")
SYMBOLS = tuple(contract.symbol for contract in CONTRACTS)


Feed = SyntheticFeed | TapeFeed  # where frames come from


@dataclass(frozen=True, slots=True)
class Config:
    """The options of an emulated venue. Port 0 = any free one; start_ns None = the generator's default, or the recording's own first time.

    equity: of each of the `accounts` that are opened; their keys depend on the seed only. venue: fields of exchange.Settings (fees, leverage,
    fill models). latency_s: one way, wall, on every connection, the public one included; loss: share of messages whose packet is lost.
    limit_factor: the venue's rate limits times this.
    """

    seed: int = 0
    speed: float = 1.0
    symbols: tuple[str, ...] = SYMBOLS
    hours: float | None = None  # stop sending after so much market time; None = never, or at the end of the recording
    start_ns: int | None = None
    state: str = ""  # file that keeps accounts and orders over restarts; "" = none
    at_now: bool = False  # market time is UTC now (and runs on at `speed`): the market is under way when clients come
    from_: tuple[str, ...] = ()  # recordings; empty = generated market
    host: str = "127.0.0.1"
    port: int = 0
    faults: tuple[Mapping[str, object], ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)  # further fields of market.Parameters
    ack_delay_s: tuple[float, float] = (0.001, 0.003)
    buffer_max: int = 8 << 20
    idle_s: float = 600.0
    wait_for_client: bool = False  # market time stands still until the first subscription
    lead_s: float = 0.0  # wall seconds from being ready to the first frame: time to connect without missing any
    equity: float = 10_000.0
    accounts: int = 1
    venue: Mapping[str, object] = field(default_factory=dict)
    latency_s: float = 0.0
    loss: float = 0.0
    limit_factor: float = 1.0
    orderbook_500: bool = False  # accept a topic that the venue has removed
    tls: bool = False
    tls_port: int = 0
    stream_delay_s: tuple[float, float] = (0.001, 0.004)
    venues: tuple[str, ...] = ("bybit",)  # whose protocols are spoken, each at an address of its own; bybit always is
    judge: bool = False  # models to ask, OpenAI's and Anthropic's protocol, at an address of their own
    news: bool = False  # news search, announcements and a feed, at the same address
    outside_faults: tuple[Mapping[str, object], ...] = ()  # of judge and news
    binary: bool = False  # the venue of the hourly binary, at an address of its own
    binary_faults: tuple[Mapping[str, object], ...] = ()
    binary_lag_s: float = 20.0  # by which its makers' prices lag behind the spot price
    okx_one_per_second: bool = False  # liquidation-orders with the throttle that older copies of the venue's page tell of

    def __post_init__(self) -> None:
        try:
            loopback = ip_address(self.host).is_loopback
        except ValueError:
            loopback = self.host == "localhost"
        if not loopback:
            raise ValueError(f"the emulator serves loopback addresses only, got host {self.host!r}; use 127.0.0.1")
        if self.at_now and (self.start_ns is not None or self.wait_for_client or self.lead_s):
            raise ValueError("a market at the present time already runs: it has no start, no wait and no lead-in")
        if self.hours is not None and not self.hours > 0:
            raise ValueError(f"hours must be positive, got {self.hours!r}")
        if self.binary and self.wait_for_client:
            raise ValueError("the hourly binary needs a running clock and excludes wait")
        if unknown := [name for name in self.venues if name not in VENUES]:
            raise ValueError(f"venues are {', '.join(VENUES)}; got {', '.join(unknown)}")
        for name, low, high in (("equity", 0.0, 1e12), ("latency_s", 0.0, 60.0), ("loss", 0.0, 0.9), ("limit_factor", 0.0, 1e6)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {getattr(self, name)!r}")


def feed_of(config: Config, saved: Saved | None = None) -> Feed:
    """The market of a configuration: generated, or recordings. A generated market continues at the state in `saved`."""
    if config.at_now:
        now = time.time_ns()
        start = (now // BLOCK_NS - 1) * BLOCK_NS  # every contract has traded when the first client asks; hours count from now
        config = replace(config, start_ns=start, at_now=False, hours=None if config.hours is None else config.hours + (now - start) / NS / 3600.0)
    elif saved is not None and not config.from_:
        config = replace(config, start_ns=max(config.start_ns or START_NS, -(-saved.market_ns // BLOCK_NS) * BLOCK_NS))
    if config.from_:
        return TapeFeed(map(Path, config.from_), config.start_ns, () if config.symbols == SYMBOLS else config.symbols, config.hours)
    start = START_NS if config.start_ns is None else config.start_ns
    prices = {} if saved is None else saved.prices
    given = {"seed": config.seed, "symbols": config.symbols, "start_ns": start, "prices": prices, **config.parameters}
    market = Market(Parameters(**given))  # type: ignore[arg-type]
    return SyntheticFeed(market, None if config.hours is None else start + int(config.hours * 3600 * NS))
