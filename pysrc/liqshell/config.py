"""The configuration of a run: strict TOML -> frozen dataclasses.

    config = load("fade.toml")               # ConfigError names every fault: file, key, found, allowed range, nearest right name
    config.limits.positions_max
    config.policy_for("BTCUSDT")             # preset, [policy] and [policy.symbols.BTCUSDT] merged: a complete PolicyValues

Fractions (offsets, fees, limits) are integers in units of 1e-8, read from the text: 0.0015 is exactly 150000. Durations are
seconds. Notionals are in quote currency. What is left out takes the preset's value, then the default; presets are data in
policies/*.toml.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from liqshell.toml import SCALE, choice, decode, flag, fraction, integer, names, number, table, tables, text
from liqshell.errors import ConfigError

SYMBOL = r"[A-Z0-9]{2,30}(-[A-Z0-9]{1,12})*"
SYMBOL_TEXT = "a contract name of the venue such as 'ETHUSDT'"
ENVIRONMENTS: Mapping[str, tuple[str, str]] = {          # venues.md 2.1; the public feed of the demo environment is mainnet's
    "mainnet": ("https://api.bybit.com", "wss://stream.bybit.com"),
    "testnet": ("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
}
SYMBOLS_MAX = 1024
GRADES = ("claimed", "contradicted", "verified")


@dataclass(frozen=True)
class RunConfig:
    name: str = text("", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a name of letters, digits, '.', '_' or '-' (it becomes a folder)")
    out: str = text("runs", r"[^\0]+", "a folder")
    mode: str = choice("paper", "paper", "live")
    seed: int = integer(0, 0, 2**63 - 1)


@dataclass(frozen=True)
class FeedConfig:
    venue: str = choice("bybit", "bybit")
    environment: str = choice("mainnet", *ENVIRONMENTS)
    rest: str = text("", r"https?://[^\s/@]+(/\S*)?", "an address such as 'http://127.0.0.1:8080', without user name")
    ws: str = text("", r"wss?://[^\s/@]+(/\S*)?", "an address such as 'ws://127.0.0.1:8081', without user name")
    symbols: tuple[str, ...] = names(SYMBOL, "contract names of the venue such as 'ETHUSDT'", most=SYMBOLS_MAX)
    stale_after_s: float = number(25.0, 1.0, 3600.0, "seconds")

    @property
    def rest_url(self) -> str:
        return (self.rest or ENVIRONMENTS[self.environment][0]).rstrip("/")

    @property
    def ws_url(self) -> str:
        return (self.ws or ENVIRONMENTS[self.environment][1]).rstrip("/")


@dataclass(frozen=True)
class DetectorConfig:
    """Values that are None were not set: see `Config.detector_values()`."""

    quantile: int | None = fraction(None, "0", "0.9999", above=True)
    window_events: int | None = integer(None, 2, 1_000_000, "events")
    window_s: float | None = number(None, 0.001, 86_400.0, "seconds")
    min_events: int | None = integer(None, 1, 10_000, "events")
    warmup: int | None = integer(None, 1, 1_000_000, "events")
    refresh_s: float | None = number(None, 0.0, 604_800.0, "seconds, 0 = after every event")
    mode: str | None = choice(None, "chain", "anchored")
    floor: float | None = number(None, 0.0, 1e12, "quote currency, 0 = none")
    decay_window_s: float | None = number(None, 0.001, 86_400.0, "seconds")
    fall: int | None = fraction(None, "0", "1", above=True)
    notional: str | None = choice(None, "reported", "mark", "last")


@dataclass(frozen=True)
class PolicyOverride:
    """What [policy] and [policy.symbols.NAME] may set; None = not set here."""

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
    exit_phase: str | None = choice(None, "none", "decelerating", "exhausted")
    requotes: int | None = integer(None, 0, 3)


@dataclass(frozen=True)
class PolicyConfig(PolicyOverride):
    symbols: Mapping[str, PolicyOverride] = tables(PolicyOverride, SYMBOL, SYMBOL_TEXT)


@dataclass(frozen=True)
class LimitsConfig:
    order_notional_max: float = number(25_000.0, 0.0, 1e12, "quote currency", above=True)
    exposure_max: float = number(100_000.0, 0.0, 1e12, "quote currency", above=True)
    leverage_max: float = number(10.0, 0.0, 1000.0, "exposure / equity", above=True)
    positions_max: int = integer(4, 1, 100_000)
    orders_per_minute_max: int = integer(30, 1, 1024)
    orders_per_signal_max: int = integer(3, 1, 100)
    daily_loss_max: int = fraction("0.01", "0", "1", above=True)
    weekly_loss_max: int = fraction("0.02", "0", "1", above=True)
    data_age_max_s: float = number(1.0, 0.0, 1e6, "seconds", above=True)
    event_age_max_s: float = number(2.0, 0.0, 1e6, "seconds", above=True)
    collar: int = fraction("0.02", "0", "1", above=True)

    def risk_arguments(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.Risk."""
        return vars(self) | {name: getattr(self, name) / SCALE for name in ("daily_loss_max", "weekly_loss_max", "collar")}


@dataclass(frozen=True)
class PaperConfig:
    equity: float = number(10_000.0, 0.0, 1e12, "quote currency", above=True)
    maker_fee: int = fraction("0.0002", "-0.01", "0.1")
    taker_fee: int = fraction("0.00055", "-0.01", "0.1")
    order_latency_ms: float = number(50.0, 0.0, 60_000.0, "milliseconds")
    ack_latency_ms: float = number(50.0, 0.0, 60_000.0, "milliseconds")
    fills: str = choice("through", "through", "touch")


@dataclass(frozen=True)
class RecordConfig:
    enabled: bool = flag(True)
    fsync: bool = flag(False)
    flush_s: float = number(0.5, 0.01, 60.0, "seconds")


@dataclass(frozen=True)
class PolicyValues:
    """A policy for one symbol with nothing left open. Fractions in units of 1e-8."""

    preset: str
    entry: str
    entry_offset: int
    take_profit: int
    stop_loss: int
    trail: int
    entry_ttl_s: float
    max_hold_s: float
    cooldown_s: float
    notional: float
    exit_phase: str
    requotes: int

    def bracket_arguments(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.Bracket, but for its side; fractions as exact Decimals."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "preset"}
        for name in ("entry_offset", "take_profit", "stop_loss", "trail"):
            out[name] = Decimal(out[name]) / SCALE
        out["exit_phase"] = {"none": 0, "decelerating": 3, "exhausted": 4}[self.exit_phase]
        return out


@dataclass(frozen=True)
class DetectorValues:
    """The cascade detector with nothing left open. quantile and fall in units of 1e-8."""

    quantile: int
    window_events: int
    window_s: float
    min_events: int
    warmup: int
    refresh_s: float
    mode: str
    floor: float
    decay_window_s: float
    fall: int
    notional: str

    def cascade_arguments(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.CascadeConfig."""
        out = dataclasses.asdict(self) | {"quantile": self.quantile / SCALE, "fall": self.fall / SCALE}
        out["decay_s"] = out.pop("decay_window_s")
        return out


@dataclass(frozen=True)
class Preset:
    """A named set of numbers with its evidence, from policies/NAME.toml."""

    name: str = text("", r"[a-z0-9][a-z0-9-]*", "a name of small letters, digits and '-'")
    rule: str = text("", r"[a-z_]+", "the name of a module under liqshell/policies")
    source: str = text("", r"[\s\S]+", "the requirement it implements")
    summary: str = text("", r"[\s\S]+", "one sentence")
    grade: str = choice("claimed", *GRADES)
    evidence: str = text("", r"[\s\S]+", "why it has this grade")
    detector: DetectorConfig = table(DetectorConfig)
    policy: PolicyOverride = table(PolicyOverride)
    limits: LimitsConfig = table(LimitsConfig)


@dataclass(frozen=True)
class Config:
    run: RunConfig = table(RunConfig)
    feed: FeedConfig = table(FeedConfig)
    detector: DetectorConfig = table(DetectorConfig)
    policy: PolicyConfig = table(PolicyConfig)
    limits: LimitsConfig = table(LimitsConfig)
    paper: PaperConfig = table(PaperConfig)
    record: RecordConfig = table(RecordConfig)

    def preset_of(self, symbol: str | None = None) -> Preset:
        """The preset of a symbol, or of [policy] where none is given."""
        override = self.policy.symbols.get(symbol) if symbol else None
        return presets()[(override and override.preset) or self.policy.preset or "fade"]

    def policy_for(self, symbol: str) -> PolicyValues:
        """The numbers with which `symbol` is traded.

        [policy.symbols.NAME] wins over its own preset where it names one; else over [policy]; [policy] wins over its preset. A symbol that
        names a preset of its own takes from [policy] only what is about money, not about prices (notional): offsets belong to their preset.
        """
        own = self.policy.symbols.get(symbol, PolicyOverride())
        layers: list[PolicyOverride] = [presets()["fade"].policy, self.preset_of(symbol).policy]
        layers += [PolicyOverride(notional=self.policy.notional) if own.preset else self.policy, own]
        values = _merged(layers, PolicyOverride)
        return PolicyValues(**values | {"preset": self.preset_of(symbol).name})

    def detector_values(self) -> DetectorValues:
        """The detector of the run: [detector] over the preset of [policy] over `fade`."""
        return DetectorValues(**_merged([presets()["fade"].detector, self.preset_of().detector, self.detector], DetectorConfig))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a report or a manifest; fractions stay integers in units of 1e-8."""
        out = {f.name: dict(vars(getattr(self, f.name))) for f in dataclasses.fields(self)}
        out["policy"]["symbols"] = {name: dict(vars(inner)) for name, inner in self.policy.symbols.items()}
        return out


def _merged(layers: list[Any], section: type) -> dict[str, Any]:
    """Field by field the last value that is set."""
    out: dict[str, Any] = {}
    for layer in layers:
        out |= {f.name: value for f in dataclasses.fields(section) if (value := getattr(layer, f.name)) is not None}
    return out


@cache
def presets() -> Mapping[str, Preset]:
    """The presets that ship, by name."""
    out = {}
    for item in sorted(resources.files("liqshell.policies").iterdir(), key=lambda entry: entry.name.removesuffix(".toml")):
        if item.name.endswith(".toml"):
            problems: list[ConfigError] = []
            preset = decode(Preset, _parse(item.read_bytes(), item.name), item.name, "", problems)
            if problems:
                raise ConfigError(item.name, problems=problems)
            out[preset.name] = preset
    return out


def _parse(raw: bytes, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as why:
        raise ConfigError(file, f"byte {why.start} is not UTF-8", "a TOML file in UTF-8", "Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(file, f"not valid TOML: {why}", "", "Correct the line that it names") from None
    except RecursionError:
        raise ConfigError(file, "nested too deeply", "tables of at most three levels") from None


CONFIG_BYTES_MAX = 1_048_576


def load(path: str | Path) -> Config:
    """Read a configuration file; ConfigError lists everything that is wrong with it."""
    path = Path(path)
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(str(path), f"{path.stat().st_size} bytes", f"at most {CONFIG_BYTES_MAX}", "Is it a configuration file?")
        raw = path.read_bytes()
    except OSError as why:
        raise ConfigError(str(path), f"cannot be read: {why.strerror or why}", "a TOML file") from None
    return loads(raw, str(path))


def loads(raw: bytes | str, file: str = "<config>") -> Config:
    """As `load`, from text. `file` is the name that messages use."""
    found = _parse(raw.encode() if isinstance(raw, str) else raw, file)
    problems: list[ConfigError] = []
    config = decode(Config, found, file, "", problems)
    problems += _contradictions(config, file, not problems)
    if problems:
        raise ConfigError(file, problems=problems)
    # limits that the file leaves out come from the preset (S2-18), so that naming a preset is enough to be inside its rules
    from_preset = config.preset_of().limits
    given = found.get("limits", {})
    limits = dataclasses.replace(from_preset, **{key: getattr(config.limits, key) for key in given})
    return dataclasses.replace(config, limits=limits)


def _contradictions(config: Config, file: str, sound: bool) -> list[ConfigError]:
    """What single fields cannot show. sound: every field was read, so that what depends on several of them can be judged."""
    out = []

    def wrong(key: str, found: str, expected: str, action: str = "") -> None:
        out.append(ConfigError(f"{file}: {key}", found, expected, action))

    if config.run.mode == "live":
        wrong("run.mode", "found 'live'", "'paper'", "Order entry does not exist in this version: no real order can be sent")
    if not sound:
        return out
    if bool(config.feed.rest) != bool(config.feed.ws):
        missing = "ws" if config.feed.rest else "rest"
        wrong(f"feed.{missing}", "not set, though the other address is", "both rest and ws, or neither (then [feed] environment decides)")
    known = presets()
    named = {"policy.preset": config.policy.preset} | {f"policy.symbols.{s}.preset": o.preset for s, o in config.policy.symbols.items()}
    for key, name in named.items():
        if name is not None and name not in known:
            wrong(key, f"found {name!r}", f"one of {', '.join(map(repr, known))}", "`liqcore presets` prints them")
    for symbol in config.policy.symbols:
        if config.feed.symbols and symbol not in config.feed.symbols:
            wrong(f"policy.symbols.{symbol}", "this symbol is not subscribed", "one of feed.symbols",
                  "Add it to [feed] symbols or remove the table")
    if config.limits.weekly_loss_max < config.limits.daily_loss_max:
        wrong("limits.weekly_loss_max", "smaller than limits.daily_loss_max", "at least the daily limit")
    if not out:
        out += _detector_contradictions(config, file)
    return out


def _detector_contradictions(config: Config, file: str) -> list[ConfigError]:
    detector = config.detector_values()
    if detector.warmup > detector.window_events:
        return [ConfigError(f"{file}: detector.warmup", f"found {detector.warmup}",
                            f"at most detector.window_events ({detector.window_events})",
                            "A window that never holds warmup events never gives a threshold")]
    return []
