"""The keys of a configuration file, section by section. Each field states its range and its unit; load.py reads, merges and checks them."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liqcore.detectors.registry import Parameter, parameters
from liqcore.fees import MAKER_FEE, TAKER_FEE
from liqshell.errors import ConfigError
from liqshell.fields import SCALE, Rule, choice, flag, fraction, integer, names, number, plain_table, shown, tables, text
from liqshell.plugins import is_file
from liqshell.venues.adapter import Adapter, Addresses
from liqshell.venues.adapters import ENVIRONMENTS, NAMES, OWN_VENUES, adapter_of, is_known, use_venue

SYMBOL = r"[A-Za-z0-9]{1,30}([-_][A-Z0-9]{1,12})*"
SYMBOL_TEXT = "a contract name of the venue such as 'ETHUSDT'"
VENUE_TEXT = f"a venue: {', '.join(NAMES)}"
SYMBOLS_MAX = 1024
ALL = "all"  # [feed] symbols: a whole market
DETECTOR_NAME = r"[a-z][a-z0-9_-]{0,29}"
FEATURES_MAX = 256
GRADES = ("claimed", "contradicted")  # that a preset may have: the third, "verified", is given by `liqcore verify` only


@dataclass(frozen=True)
class RunConfig:
    name: str = text("", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name of letters, digits, '.', '_' or '-' (it becomes a folder)")
    out: str = text("runs", r"[^\0]+", "a folder")
    trials: str = text("", r"[^\0]+", "a file: the trial log, shared by all runs that name it")
    mode: str = choice("paper", "paper", "live")
    seed: int = integer(0, 0, 2**63 - 1)
    spin: bool = flag(False)  # busy polling: the process takes a core, and an order leaves some tens of microseconds earlier


def _venue_field() -> Any:
    """A venue that ships, or one of the user's that [venues] has made known."""
    shipped: Rule = choice("bybit", *NAMES).metadata["rule"]

    def read(found: Any) -> Any:
        return found if isinstance(found, str) and found in OWN_VENUES else shipped.read(found)

    return field(default="bybit", metadata={"rule": Rule(shipped.expected, read, shipped.schema)})


def code_problems(found: Mapping[str, Any], file: str, table: str, expected: str, make: Callable[[str, str], object]) -> list[ConfigError]:
    """Problems of a table that names user code. make(name, code): use it; ConfigError."""
    out = []
    for name, code in found.items():
        if not isinstance(code, str):
            out.append(ConfigError(f"{file}: {table}.{name}", f"found {shown(code)}", expected))
            continue
        try:
            make(name, code)
        except ConfigError as why:
            where = "" if why.where.startswith(f"{table}.") else f"{why.where}: "
            out.append(ConfigError(f"{file}: {table}.{name}", f"{where}{why.found}", why.expected, why.action))
    return out


def own_venue_problems(found: Any, file: str, folder: Path) -> list[ConfigError]:
    """Make the venues of a table [venues] known; what is wrong with it."""
    if not isinstance(found, Mapping):
        return []  # said where sections are read
    return code_problems(
        found, file, "venues", "'file.py:ADAPTER'", lambda name, code: use_venue(name, str(folder / code) if is_file(code) else code)
    )


def venue_named(name: str) -> str:
    """A venue under the name that instruments and recordings have for it."""
    return adapter_of(name).venue


@dataclass(frozen=True)
class FeedConfig:
    """[feed]: the venue that is traded. venue: in [feeds.NAME] it is the name of the table. trade: False = its contracts are watched only.

    symbols "all": every contract that trades at the start, without `exclude`, whose prices are in `quote` and whose turnover of 24 h is known and at
    least min_turnover_usd. every: these symbols were found so (not a key of the file). list_every_s: how often the venue's list is looked at for
    contracts that trade no more, and for new ones. special_treatment: also enter contracts that the venue watches over (Bybit's tag ST).
    """

    venue: str = _venue_field()
    environment: str = choice("mainnet", *ENVIRONMENTS)
    rest: str = text("", r"https?://[^\s/@]+(/\S*)?", "an address such as 'http://127.0.0.1:8080', without user name")
    ws: str = text("", r"wss?://[^\s/@]+(/\S*)?", "an address such as 'ws://127.0.0.1:8081', without user name")
    symbols: tuple[str, ...] = names(SYMBOL, "contract names of the venue such as 'ETHUSDT'", most=SYMBOLS_MAX, word=ALL)
    exclude: tuple[str, ...] = names(SYMBOL, "contract names of the venue such as 'ETHUSDT'", most=SYMBOLS_MAX)
    quote: str = text("", r"[A-Z0-9]{2,10}", "a currency such as 'USDT'")
    min_turnover_usd: float = number(0.0, 0.0, 1e15, "US dollars in 24 hours")
    list_every_s: float = number(300.0, 10.0, 86_400.0, "seconds between two reads of the venue's list of contracts")
    special_treatment: bool = flag(False)
    ca: str = text("", r"[^\0]+", "a PEM file: the only trusted TLS authority, for a venue of your own")
    stale_after_s: float = number(25.0, 1.0, 3600.0, "seconds")
    trade: bool = flag(True)
    node: str = text("", r"[^\0]+", "the data folder of your own Hyperliquid node, whose files have the liquidations")
    every: bool = False

    @property
    def whole(self) -> bool:
        """Every contract of the venue is meant, and they are not known yet."""
        return self.symbols == (ALL,)

    @property
    def named(self) -> tuple[str, ...]:
        """The contracts that the file names; () where it means a whole market."""
        return () if self.whole else self.symbols

    @property
    def adapter(self) -> Adapter:
        """Of the venue."""
        return adapter_of(self.venue)

    @property
    def own_account(self) -> bool:
        """Whether the account at this venue is ours to speak to, without ccxt."""
        return bool(self.adapter.private_path)

    @property
    def _place(self) -> Addresses:
        """load.py has checked that the venue has this environment."""
        places = self.adapter.environments
        return places.get(self.environment) or places["mainnet"]

    @property
    def rest_url(self) -> str:
        return (self.rest or self._place.rest).rstrip("/")

    @property
    def ws_url(self) -> str:
        return (self.ws or self._place.ws).rstrip("/")

    @property
    def private_url(self) -> str:
        """Of the account's stream; "" where the account is not ours to speak to."""
        return (self.ws or self._place.private).rstrip("/") + self.adapter.private_path if self.own_account else ""

    @property
    def trade_url(self) -> str:
        """Of order entry by websocket; "" where this environment has none (orders go by REST then)."""
        base = self._place.trade
        return (self.ws or base).rstrip("/") + self.adapter.trade_path if base else ""


def feed_problems(feed: FeedConfig, feeds: Mapping[str, FeedConfig], file: str) -> list[ConfigError]:
    """Problems of [feed] and [feeds.NAME] that concern several fields."""
    out = []

    def wrong(key: str, found: str, expected: str, action: str = "") -> None:
        out.append(ConfigError(f"{file}: {key}", found, expected, action))

    every = {"feed": feed} | {f"feeds.{venue}": one for venue, one in feeds.items()}
    for name, one in every.items():
        venue = name.removeprefix("feeds.") if name != "feed" else feed.venue
        if not is_known(venue):
            wrong(name, f"found the name {venue!r}", VENUE_TEXT)
            continue
        if bool(one.rest) != bool(one.ws):
            both = f"both rest and ws, or neither (then [{name}] environment decides)"
            wrong(f"{name}.{'ws' if one.rest else 'rest'}", "not set, though the other address is", both)
        if one.node and venue_named(venue) != "hyperliquid":
            wrong(f"{name}.node", f"set for {venue}", "hyperliquid: only its nodes write fills", "Remove the key")
        places = adapter_of(venue).environments
        if not one.rest and one.environment not in places:
            wrong(f"{name}.environment", f"found {one.environment!r}", f"one of {', '.join(map(repr, places))} at {venue}")
        for key, value in (("exclude", list(one.exclude)), ("quote", one.quote), ("min_turnover_usd", one.min_turnover_usd)):
            if value and not one.whole:
                action = "Remove the key, or remove contracts from the list"
                wrong(f"{name}.{key}", f"found {value!r} together with a list of symbols", f"it only with symbols = {ALL!r}", action)
        if name == "feed":
            continue
        if venue_named(venue) == venue_named(feed.venue):
            wrong(name, "the venue of [feed] again", "another venue", "Put its symbols into [feed]")
        if one.venue not in (venue, "bybit"):
            wrong(f"{name}.venue", f"found {one.venue!r}", "no key: the table's name gives it", "Remove the key")
        if not one.symbols:
            wrong(f"{name}.symbols", "empty", "at least one contract name of the venue")
    return out


def parameter(row: Parameter) -> Any:
    """The rule of one parameter of a detector, of the detectors' own table; None = not set."""
    if row.choices:
        return choice(None, *row.choices)
    if row.unit == "share":
        return fraction(None, repr(row.low), repr(row.high))
    return integer(None, int(row.low), int(row.high), row.unit) if isinstance(row.default, int) else number(None, row.low, row.high, row.unit)


def made(name: str, doc: str, fields: Iterable[tuple[str, Any]]) -> Any:
    """A section whose fields are known to a table only."""
    return dataclasses.make_dataclass(name, [(key, Any, one) for key, one in fields], frozen=True, namespace={"__module__": __name__, "__doc__": doc})


CASCADE_TABLE = parameters("cascade")
DetectorConfig = made(
    "DetectorConfig",
    "[detectors.cascade], for short [detector]: its parameters as the detector's own table has them. Values "
    "that are None were not set: see `Config.detector_values()`.",
    ((row.name, parameter(row)) for row in CASCADE_TABLE),
)


@dataclass(frozen=True)
class PolicyOverride:
    """The keys of [policy] and [policy.symbols.NAME]; None = not set here."""

    preset: str | None = text(None, r"[a-z0-9][a-z0-9-]*", "the name of a preset: see `liqcore presets`")
    entry: str | None = choice(None, "post_only", "market")
    entry_offset: int | None = fraction(None, "0", "0.5")
    take_profit: int | None = fraction(None, "0", "0.5")
    stop_loss: int | None = fraction(None, "0", "0.5", above=True)
    trail: int | None = fraction(None, "0", "0.5")
    entry_ttl_s: float | None = number(None, 0.0, 604_800.0, "seconds", above=True)
    max_hold_s: float | None = number(None, 0.0, 604_800.0, "seconds", above=True)
    cooldown_s: float | None = number(None, 0.0, 604_800.0, "seconds")
    notional: float | None = number(None, 0.0, 1e9, "quote currency per trade", above=True)
    equity_share: float | None = number(None, 0.0, 1000.0, "notional per trade / equity of the account, instead of notional", above=True)
    exit_phase: str | None = choice(None, "none", "decelerating", "exhausted")
    requotes: int | None = integer(None, 0, 3)
    trail_basis: str | None = choice(None, "price", "profit")
    trail_from: int | None = fraction(None, "0", "0.5")
    replaces: bool | None = flag(None)
    judge_s: float | None = number(None, 0.0, 3600.0, "seconds for the judge's answer, 0 = no judge is asked")
    without_news: str | None = choice(None, "enter", "hold", "don't enter")
    parameters: Mapping[str, Any] | None = plain_table("the numbers of the rule itself: see `liqcore presets`")


@dataclass(frozen=True)
class PolicyConfig(PolicyOverride):
    """rule: a policy of your own instead of the preset's: Python code of this machine that runs with your rights. Relative to this file."""

    rule: str = text("", r"[^\0:]+\.py:[A-Za-z_][A-Za-z_0-9]*", "a class in a Python file, such as 'my_policy.py:MyPolicy'")
    symbols: Mapping[str, PolicyOverride] = tables(PolicyOverride, SYMBOL, SYMBOL_TEXT)


def detector_tables() -> Any:
    """[detectors.NAME]: `kind` and the parameters of that kind, as liqcore.detectors.registry.make_detector takes them."""
    return tables(plain_table("a kind and its parameters"), DETECTOR_NAME, "the name of a detector: small letters, digits, '-' and '_'")


@dataclass(frozen=True)
class FeaturesConfig:
    """Features to compute beside those of the policies; readers of the engine can get their values. own: features of your own by
    name: `squeeze = "mine.py:squeeze"` is known as own.squeeze; relative to this file."""

    own: Mapping[str, str] = plain_table("names of your own, each 'file.py:function'")
    names: tuple[str, ...] = names(r"[A-Za-z0-9_.@:()/,-]{3,120}", "features such as 'liquidations.liq_imbalance@15m:zscore'", most=FEATURES_MAX)


@dataclass(frozen=True)
class LimitsConfig:
    order_notional_max: float = number(25_000.0, 0.0, 1e12, "quote currency", above=True)
    exposure_max: float = number(100_000.0, 0.0, 1e12, "quote currency", above=True)
    leverage_max: float = number(10.0, 0.0, 1000.0, "exposure / equity", above=True)
    positions_max: int = integer(4, 1, 100_000)
    orders_per_minute_max: int = integer(30, 1, 1024, "with real orders at most 256")
    orders_per_signal_max: int = integer(3, 1, 4)
    daily_loss_max: int = fraction("0.01", "0", "1", above=True)
    weekly_loss_max: int = fraction("0.02", "0", "1", above=True)
    data_age_max_s: float = number(1.0, 0.0, 1e6, "seconds", above=True)
    event_age_max_s: float = number(2.0, 0.0, 1e6, "seconds", above=True)
    collar: int = fraction("0.02", "0", "1", above=True)
    fill_rate_min: int = fraction("0", "0", "1")
    fill_rate_size: int = fraction("0.5", "0", "1", above=True)

    def risk_arguments(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.Risk."""
        return vars(self) | {
            name: getattr(self, name) / SCALE for name in ("daily_loss_max", "weekly_loss_max", "collar", "fill_rate_min", "fill_rate_size")
        }


@dataclass(frozen=True)
class EngineConfig:
    """quote_age_s: a best bid and ask that is older is none, for engine, risk, guard and the simulated venue alike."""

    quote_age_s: float = number(10.0, 0.001, 3600.0, "seconds")


@dataclass(frozen=True)
class PaperConfig:
    """The account and the simulated venue (docs/engine.md says what each model does).

    latency_samples: a CSV file with the columns order_ms and ack_ms (either may be missing: then its constant holds), relative to this file.
    half_spread: what a taker pays beyond the last trade where no quote holds; not set = what the last quotes, else the trades, show.
    print_wait_s: how long such a taker waits for a trade of an aggressor of its own side.
    """

    equity: float = number(10_000.0, 0.0, 1e12, "quote currency", above=True)
    maker_fee: int = fraction(str(MAKER_FEE), "-0.01", "0.01")
    taker_fee: int = fraction(str(TAKER_FEE), "-0.01", "0.01")
    order_latency_ms: float = number(50.0, 0.0, 60_000.0, "milliseconds")
    ack_latency_ms: float = number(50.0, 0.0, 60_000.0, "milliseconds")
    latency: str = choice("constant", "constant", "empirical")
    latency_samples: str = text("", r"[^\0]+", "a CSV file with the columns order_ms and ack_ms")
    latency_seed: int = integer(0, 0, 2**62)
    fills: str = choice("through", "through", "touch", "queue")
    taker: str = choice("next", "next", "walk")
    hidden: str = choice("wait", "wait", "none")
    half_spread: int | None = fraction(None, "0", "0.1")
    print_wait_s: float = number(5.0, 0.0, 3600.0, "seconds", above=True)
    funding_interval_s: float = number(28_800.0, 0.0, 604_800.0, "60 seconds or more, 0 = no funding")
    leverage: float = number(0.0, 0.0, 1000.0, "1 or more, 0 = our position is never liquidated")
    maintenance_margin: int = fraction("0.005", "0", "0.99")


@dataclass(frozen=True)
class RecordConfig:
    enabled: bool = flag(True)
    fsync: bool = flag(False)
    flush_s: float = number(0.5, 0.01, 60.0, "seconds")


@dataclass(frozen=True)
class WarmConfig:
    """The learnt state is in [run] out / learnt / name.bin; the next run of that name begins with it.

    keep: False = every run begins cold and leaves nothing. every_s: between two images of a running run; data after the last one is learnt from the
    recording. age_max_h: what ended longer ago is refused. sources: learnt from where no image fits: folders of runs, stores, files of market data,
    oldest first, relative to this file.
    """

    keep: bool = flag(True)
    every_s: float = number(300.0, 1.0, 86_400.0, "seconds between two images")
    age_max_h: float = number(168.0, 0.01, 8760.0, "hours")
    sources: tuple[str, ...] = names(r"[^\0]+", "paths of runs, stores or recordings", most=64)


@dataclass(frozen=True)
class LiveConfig:
    """Trading at the venue. State that must survive the process is in [run] out / state / name: one name per account.

    leverage: set at the venue for every symbol at the start, 0 = left as it is. stop_rescue: distance of the stop that is placed for one of our
    positions whose bracket is lost. divergence_max: of mark and last price, above it no entries. durable: the store waits for the disk. via: "ccxt" =
    orders go through ccxt, at venues without an account adapter of ours; exchange: its name of the venue, where it is not the feed's.
    accept_watched_stop: there, no stop travels with an entry.
    """

    recv_window_ms: int = integer(5000, 1000, 60_000, "milliseconds")
    period_s: float = number(30.0, 1.0, 3600.0, "seconds between reconciliations")
    leverage: float = number(0.0, 0.0, 100.0, "1 or more, 0 = as set at the venue")
    stop_rescue: int = fraction("0.005", "0", "0.5", above=True)
    divergence_max: int = fraction("0.02", "0", "1", above=True)
    patience: float = number(1.0, 1.0, 1000.0, "factor on network time limits: above 1 for rehearsals only")
    durable: bool = flag(False)
    watchdog: bool = flag(True)
    via: str = choice("own", "own", "ccxt")
    exchange: str = text("", r"[a-z0-9]+", "ccxt's name of an exchange, such as 'binanceusdm'")
    accept_watched_stop: bool = flag(False)
