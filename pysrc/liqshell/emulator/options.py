"""What to emulate, and where its frames come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from ..clock import NS
from .contracts import CONTRACTS
from .market import START_NS, Market, Parameters
from .state import SymbolState
from .synthetic import Frame, SyntheticFeed, Tap
from .tape import TapeFeed

VENUES = ("bybit", "binance", "okx")
SYMBOLS = tuple(contract.symbol for contract in CONTRACTS)


class Feed(Protocol):
    """Where frames come from."""

    synthetic: bool
    wanted: set[str]
    states: dict[str, SymbolState]
    taps: list[Tap]

    @property
    def start_ns(self) -> int: ...
    @property
    def next_ns(self) -> int | None: ...
    def until(self, now_ns: int) -> list[Frame]: ...
    def prepare(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Config:
    """What to emulate. Port 0 = any free one; start_ns None = the generator's default, or the recording's own first time.

    equity: of each of the `accounts` that are opened; their keys depend on the seed only. venue: fields of venue_settings.Settings (fees, leverage,
    fill models). latency_s: one way, wall, on every connection, the public one included; loss: share of messages whose packet is lost.
    limit_factor: the venue's rate limits times this.
    """

    seed: int = 0
    speed: float = 1.0
    symbols: tuple[str, ...] = SYMBOLS
    hours: float | None = None                       # stop sending after so much market time; None = never, or at the end of the recording
    start_ns: int | None = None
    from_: tuple[str, ...] = ()                      # recordings; empty = generated market
    host: str = "127.0.0.1"
    port: int = 0
    faults: tuple[Mapping[str, object], ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)        # further fields of market.Parameters
    ack_delay_s: tuple[float, float] = (0.001, 0.003)
    buffer_max: int = 8 << 20
    idle_s: float = 600.0
    wait_for_client: bool = False                    # market time stands still until somebody has subscribed
    lead_s: float = 0.0                              # wall seconds from being ready to the first frame: time to connect without missing any
    equity: float = 10_000.0
    accounts: int = 1
    venue: Mapping[str, object] = field(default_factory=dict)
    latency_s: float = 0.0
    loss: float = 0.0
    limit_factor: float = 1.0
    orderbook_500: bool = False                      # accept a topic that the venue has removed
    tls: bool = False
    tls_port: int = 0
    stream_delay_s: tuple[float, float] = (0.001, 0.004)
    venues: tuple[str, ...] = ("bybit",)             # whose protocols are spoken, each at an address of its own; bybit always is
    okx_one_per_second: bool = False                 # liquidation-orders with the throttle that older copies of the venue's page tell of

    def __post_init__(self) -> None:
        try:
            loopback = ip_address(self.host).is_loopback
        except ValueError:
            loopback = self.host == "localhost"
        if not loopback:
            raise ValueError(f"the emulator serves loopback addresses only, got host {self.host!r}; use 127.0.0.1")
        if self.hours is not None and not self.hours > 0:
            raise ValueError(f"hours must be positive, got {self.hours!r}")
        if unknown := [name for name in self.venues if name not in VENUES]:
            raise ValueError(f"venues are {', '.join(VENUES)}; got {', '.join(unknown)}")
        for name, low, high in (("equity", 0.0, 1e12), ("latency_s", 0.0, 60.0), ("loss", 0.0, 0.9), ("limit_factor", 0.0, 1e6)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {getattr(self, name)!r}")


def feed_of(config: Config) -> Feed:
    """The market of a configuration: generated, or recordings."""
    if config.from_:
        return TapeFeed(map(Path, config.from_), config.start_ns, () if config.symbols == SYMBOLS else config.symbols, config.hours)
    start = START_NS if config.start_ns is None else config.start_ns
    market = Market(Parameters(seed=config.seed, symbols=config.symbols, start_ns=start, **config.parameters))      # type: ignore[arg-type]
    return SyntheticFeed(market, None if config.hours is None else start + int(config.hours * 3600 * NS))
