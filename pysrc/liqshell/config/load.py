"""The configuration of a run: strict TOML -> frozen dataclasses.

    config = load("fade.toml")               # ConfigError names every fault: file, key, found, allowed range, nearest right name
    config.limits.positions_max
    config.policy_for("BTCUSDT")             # preset, [policy] and [policy.symbols.BTCUSDT] merged: a complete PolicyValues

Fractions (offsets, fees, limits) are integers in units of 1e-8, read from the text: 0.0015 is exactly 150000. Durations are
seconds. Notionals are in quote currency. What is left out takes the preset's value, then the default; presets are data in
policies/*.toml.
"""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from liqshell.config import components as wiring
from liqshell.config.judge_sections import JudgeConfig, NewsConfig, judge_problems
from liqshell.config.line_numbers import line_of, lines_of
from liqshell.config.sections import (
    ALL,
    CASCADE_TABLE,
    GRADES,
    VENUE_TEXT,
    DetectorConfig,
    EngineConfig,
    FeaturesConfig,
    FeedConfig,
    LimitsConfig,
    LiveConfig,
    PaperConfig,
    PolicyConfig,
    PolicyOverride,
    RecordConfig,
    RunConfig,
    WarmConfig,
    detector_tables,
    feed_problems,
    own_venue_problems,
    venue_named,
)
from liqshell.config.study_sections import CONTROLS, BacktestConfig, DataConfig, ForwardConfig, Setting, SweepConfig
from liqshell.config.timetable import BlackoutConfig, HoursConfig, read_windows
from liqshell.errors import ConfigError, DataError, LiqshellError
from liqshell.fields import SCALE, choice, credentials, decode, plain, plain_table, set_values, table, tables, text
from liqshell.input_file import address_of, regular
from liqshell.plugins import is_file
from liqshell.venues.adapters import VENUE_NAME


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
    equity_share: float
    exit_phase: str
    requotes: int
    trail_basis: str
    trail_from: int
    replaces: bool
    judge_s: float
    without_news: str

    def bracket_arguments(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.Bracket, but for its side; fractions as exact Decimals."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "preset"}
        for name in ("entry_offset", "take_profit", "stop_loss", "trail", "trail_from"):
            out[name] = Decimal(out[name]) / SCALE
        if self.trail_basis == "price":  # it is about a trail of profit
            del out["trail_from"]
        out["exit_phase"] = {"none": 0, "decelerating": 3, "exhausted": 4}[self.exit_phase]
        if self.judge_s == 0.0:
            out["without_news"] = "enter"  # nobody is asked
        for name, usual in (("trail_basis", "price"), ("replaces", False), ("judge_s", 0.0), ("without_news", "enter")):
            if out[name] == usual:  # a bracket is written with what is special about it
                del out[name]
        return out


ADDED_LATER = ("segment_s", "baseline")
#: (where it is kept, another place where it may be written)
ALIASES = (("detector.", "detectors.cascade."), ("detector.decay_s", "detector.decay_window_s"))


@dataclass(frozen=True)
class Preset:
    """A named set of numbers with its evidence, from policies/NAME.toml."""

    name: str = text("", r"[a-z0-9][a-z0-9-]*", "a name of small letters, digits and '-'")
    rule: str = text("", r"[a-z_]+", "the name of a module under liqshell/policies")
    title: str = text("", r".+", "the title of the documented system that it comes from")
    page: str = text("", r"docs/[a-z0-9-]+\.md", "the page about that system")
    source: str = text("", r"[\s\S]+", "the document that it is from")
    summary: str = text("", r"[\s\S]+", "one sentence")
    grade: str = choice("claimed", *GRADES)
    evidence: str = text("", r"[\s\S]+", "why it has this grade")
    detector: Any = table(DetectorConfig)
    detectors: Mapping[str, Mapping[str, Any]] = detector_tables()
    policy: PolicyOverride = table(PolicyOverride)
    limits: LimitsConfig = table(LimitsConfig)
    exceptions: Mapping[str, str] | None = plain_table("coins with presets of their own, such as BTC = 'fade-btc'")


@dataclass(frozen=True)
class Config:
    run: RunConfig = table(RunConfig)
    feed: FeedConfig = table(FeedConfig)
    feeds: Mapping[str, FeedConfig] = tables(FeedConfig, VENUE_NAME, VENUE_TEXT)
    venues: Mapping[str, str] | None = plain_table("venues of your own by name, each 'file.py:ADAPTER'")
    engine: EngineConfig = table(EngineConfig)
    detector: Any = table(DetectorConfig)
    detectors: Mapping[str, Mapping[str, Any]] = detector_tables()
    features: FeaturesConfig = table(FeaturesConfig)
    policy: PolicyConfig = table(PolicyConfig)
    limits: LimitsConfig = table(LimitsConfig)
    hours: HoursConfig = table(HoursConfig)
    blackout: BlackoutConfig = table(BlackoutConfig)
    judge: JudgeConfig = table(JudgeConfig)
    news: NewsConfig = table(NewsConfig)
    paper: PaperConfig = table(PaperConfig)
    record: RecordConfig = table(RecordConfig)
    warm: WarmConfig = table(WarmConfig)
    live: LiveConfig = table(LiveConfig)
    data: DataConfig = table(DataConfig)
    backtest: BacktestConfig = table(BacktestConfig)
    sweep: SweepConfig = table(SweepConfig)
    forward: ForwardConfig = table(ForwardConfig)

    @property
    def signed_urls(self) -> tuple[str, ...]:
        """All that something signed is sent to, where real orders are."""
        feed = self.feed
        own = feed.own_account and self.live.via != "ccxt"
        return tuple(url for url in (feed.rest_url, feed.private_url, feed.trade_url) if url) if own else (feed.rest_url,)

    def all_feeds(self) -> tuple[FeedConfig, ...]:
        """Every venue of the run, the one of [feed] first: so lie its instruments in the engine."""
        every = {self.feed.venue: self.feed} | dict(self.feeds)
        return tuple(dataclasses.replace(one, venue=venue_named(name)) for name, one in every.items())

    def preset_of(self, symbol: str | None = None) -> Preset:
        """The preset of a symbol, or of [policy] where none is given. A preset may have an exception for a coin: a contract on it that names no
        preset takes that one."""
        override = self.policy.symbols.get(symbol) if symbol else None
        found = presets()[(override and override.preset) or self.policy.preset or "fade"]
        if symbol and not (override and override.preset) and not self.policy.rule:
            return next((presets()[name] for coin, name in (found.exceptions or {}).items() if on_coin(symbol, coin)), found)
        return found

    def policy_for(self, symbol: str) -> PolicyValues:
        """The numbers with which `symbol` is traded.

        [policy.symbols.NAME] wins over its own preset where it names one; else over [policy]; [policy] wins over its preset. A symbol that
        names a preset of its own takes from [policy] only what is about money (notional, equity_share): offsets belong to their preset. Where the
        preset of [policy] has an exception for the symbol's coin, that stands between the preset and [policy].
        """
        own = self.policy.symbols.get(symbol, PolicyOverride())
        layers: list[PolicyOverride] = [presets()["fade"].policy, self.preset_of(symbol).policy]
        layers += [PolicyOverride(notional=self.policy.notional, equity_share=self.policy.equity_share) if own.preset else self.policy, own]
        values = _merged(layers, PolicyOverride)
        size: dict[str, Any] = {"equity_share": 0.0}  # one way of sizing: the last layer that says one replaces the other
        for layer in layers:
            if layer.equity_share is not None:
                size = {"equity_share": layer.equity_share, "notional": 0.0}
            elif layer.notional is not None:
                size = {"equity_share": 0.0, "notional": layer.notional}
        values.pop("parameters", None)
        return PolicyValues(**values | size | {"preset": self.preset_of(symbol).name})

    def unknown_symbols(self, contracts: Iterable[str]) -> list[str]:
        """Names of [policy.symbols] that are not among these contracts, those of the data. [feed] symbols may name others: it decides where it is
        given."""
        return [] if self.feed.symbols else sorted(self.policy.symbols.keys() - set(contracts))

    def refuse_unknown_symbols(self, contracts: Sequence[str]) -> None:
        """ConfigError where there are such names."""
        if unknown := self.unknown_symbols(contracts):
            raise ConfigError(f"[policy.symbols.{unknown[0]}]", "not one of the contracts of the data", ", ".join(contracts))

    def rule_for(self, symbol: str | None = None) -> str:
        """The rule that trades `symbol`: a name of policies.RULES, or file.py:Class."""
        return self.policy.rule or self.preset_of(symbol).rule

    def parameters_for(self, symbol: str) -> dict[str, Any]:
        """The numbers of that rule: those of the preset, changed by [policy.parameters] and [policy.symbols.NAME.parameters]. A symbol with a
        preset of its own takes none from [policy]."""
        own = self.policy.symbols.get(symbol, PolicyOverride())
        preset = None if self.policy.rule else self.preset_of(symbol).policy.parameters
        row = {} if self.policy.rule else {"maker_fee": Decimal(self.paper.maker_fee) / SCALE}
        return wiring.parameters(self.rule_for(symbol), [preset, None if own.preset else self.policy.parameters, own.parameters], row)

    def detectors_for(self, symbols: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The detectors of a run of these symbols beside the cascade detector, by name: arguments of liqcore.detectors.registry.make_detector."""
        used = {} if self.policy.rule else {(found := self.preset_of(symbol)).name: found.detectors for symbol in symbols}
        return wiring.detectors([*used.items(), ("the configuration", self.detectors)])

    def detector_values(self) -> Any:
        """The cascade detector of the run, with nothing left open: [detector] over the preset of [policy] over `fade`, over the detector's own
        defaults. A DetectorConfig: shares in units of 1e-8."""
        usual = decode(DetectorConfig, {row.name: _parsed(row.default) for row in CASCADE_TABLE}, "", "", [])
        return DetectorConfig(**_merged([usual, presets()["fade"].detector, self.preset_of().detector, self.detector], DetectorConfig))

    def cascade_arguments(self) -> dict[str, Any]:
        """The same as keyword arguments of liqcore.CascadeConfig. Arguments that earlier versions could not set are included only if they differ from
        the default, so an old configuration keeps its hash."""
        found = set_values(self.detector_values())
        return {row.name: found[row.name] for row in CASCADE_TABLE if row.name not in ADDED_LATER or found[row.name] != row.default}

    def with_setting(self, setting: Setting) -> "Config":
        """This configuration with the values of one cell of its grid; they win over [policy.symbols] too."""

        def changed(own: PolicyOverride) -> dict[str, Any]:
            return {**setting.policy, **({"parameters": {**(own.parameters or {}), **setting.parameters}} if setting.parameters else {})}

        symbols = {name: dataclasses.replace(own, **changed(own)) for name, own in self.policy.symbols.items()}
        detectors = {**self.detectors, **{name: {**self.detectors.get(name, {}), **own} for name, own in setting.detectors.items()}}
        return dataclasses.replace(
            self,
            policy=dataclasses.replace(self.policy, **changed(self.policy), symbols=symbols),
            detector=dataclasses.replace(self.detector, **setting.detector),
            detectors=detectors,
            hours=dataclasses.replace(self.hours, **setting.hours),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a report or a manifest; fractions stay integers in units of 1e-8."""
        out: dict[str, Any] = _plain(self)
        return out


def _parsed(value: Any) -> Any:
    """A number of the program as a file would have it."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def on_coin(symbol: str, coin: str) -> bool:
    """Whether a contract's name says that it is on this coin: 'BTCUSDT', 'BTC-USDT-SWAP', 'BTCUSD_PERP', 'BTC', not 'BTCDOMUSDT'."""
    return re.fullmatch(rf"{re.escape(coin)}(|[-_/]?(USDT|USDC|USD|PERP)([-_/:].*)?)", symbol.upper()) is not None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return {name: _plain(inner) for name, inner in value.items()} if isinstance(value, Mapping) else plain(value)


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
            preset = decode(Preset, _joined(_parse(item.read_bytes(), item.name), item.name, problems), item.name, "", problems)
            if problems:
                raise ConfigError(item.name, problems=problems)
            out[preset.name] = preset
    return out


def _parse(raw: bytes, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"), parse_float=Decimal)
    except UnicodeDecodeError as why:
        raise ConfigError(file, f"byte {why.start} is not UTF-8", "a TOML file in UTF-8", "Save it as UTF-8") from None
    except tomllib.TOMLDecodeError as why:
        raise ConfigError(file, f"not valid TOML: {why}", "", "Correct that line") from None
    except RecursionError:
        raise ConfigError(file, "nested too deeply", "tables of at most three levels") from None


CONFIG_BYTES_MAX = 1_048_576
#: what is relative to the folder of the file, beside [data] store
PATHS = {
    "run": ("trials",),
    "feed": ("ca",),
    "policy": ("rule",),
    "judge": ("ca", "recordings"),
    "news": ("ca",),
    "paper": ("latency_samples",),
    "blackout": ("files",),
    "warm": ("sources",),
    "data": ("files",),
}


def load(path: str | Path, changes: Sequence[str] = (), *, files: bool = True) -> Config:
    """Read a configuration file; ConfigError lists everything that is wrong with it. changes: `section.key=value` that win over the file. files:
    whether the files that it names for entries (blackouts, a policy) must be there; not for who stops what runs."""
    path = Path(path)
    try:
        regular(path, "a TOML file", ConfigError)
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(str(path), f"{path.stat().st_size} bytes", f"at most {CONFIG_BYTES_MAX}", "Is it a configuration file?")
        raw = path.read_bytes()
    except OSError as why:
        raise ConfigError(str(path), f"cannot be read: {why.strerror or why}", "a TOML file") from None
    folder = path.resolve().parent
    config = loads(raw, str(path), changes, folder if files else None)
    placed = {name: _beside(folder, getattr(config, name), *paths) for name, paths in PATHS.items()}
    if not (store := address_of(config.data.store)):
        store = str(folder / config.data.store) if config.data.store else ""
    placed["data"] = dataclasses.replace(placed["data"], store=store)
    feeds = {name: _beside(folder, one, "ca") for name, one in config.feeds.items()}
    return dataclasses.replace(config, **placed, feeds=MappingProxyType(feeds))


def _changed(found: dict[str, Any], change: str) -> None:
    """Apply one `section.key=value`; the value as TOML writes it, or plain text."""
    key, equals, value = change.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last or not tables:
        raise ConfigError(f"--set {change}", "not a change", "section.key=value, such as policy.take_profit=0.002")
    at = found
    for name in tables:
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise ConfigError(f"--set {change}", f"{name} is not a table", "section.key=value")
    try:
        at[last] = tomllib.loads(f"value = {value}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        at[last] = value.strip()


def loads(raw: bytes | str, file: str = "<config>", changes: Sequence[str] = (), folder: Path | None = None) -> Config:
    """As `load`, from text; paths stay as they are written. `file` is the name that messages use. folder: from which paths count; None = what they
    name is not looked at."""
    found = _parse(raw.encode() if isinstance(raw, str) else raw, file)
    twice: list[ConfigError] = []
    _joined(found, file, twice)
    for change in changes:
        _changed(found, change)
        _joined(found, file, [])  # what the command line says wins, however it is written
    problems = credentials(found, file)
    if problems:  # nothing else is said of such a file: other messages quote what they found
        raise ConfigError(file, problems=_placed(problems, raw, file, changes))
    problems += twice + _misplaced(found, file)
    problems += own_venue_problems(found.get("venues"), file, folder) if folder is not None else []
    config: Config = decode(Config, found, file, "", problems)
    if folder is not None:
        config = _placed_plugins(config, folder)
    faulty = {_path(why, file).partition(".")[0] for why in problems}
    problems += _contradictions(config, file, faulty)
    problems += _file_problems(config, file, folder, faulty) if folder is not None else []
    if problems:
        raise ConfigError(file, problems=_placed(problems, raw, file, changes))
    config = dataclasses.replace(config, feed=dataclasses.replace(config.feed, venue=venue_named(config.feed.venue)))
    # limits that the file leaves out come from the preset, so that naming a preset is enough to be inside its rules
    from_preset = config.preset_of().limits
    given = found.get("limits", {})
    limits = dataclasses.replace(from_preset, **{key: getattr(config.limits, key) for key in given})
    return dataclasses.replace(config, limits=limits)


def _joined(found: dict[str, Any], file: str, problems: list[ConfigError]) -> dict[str, Any]:
    """In place: [detectors.cascade] is [detector], decay_window_s is decay_s, in [sweep] alike; what is written in both ways is a problem."""
    for at, path in ((found, ""), (found.get("sweep"), "sweep.")):
        if not isinstance(at, dict):
            continue
        others = at.get("detectors")
        if not isinstance(others, dict):
            others = {}
        own = others.get(wiring.CASCADE)
        if isinstance(own, dict) and (path or own.get("kind", wiring.CASCADE) == wiring.CASCADE) and isinstance(at.setdefault("detector", {}), dict):
            moved = {key: value for key, value in others.pop(wiring.CASCADE).items() if path or key != "kind"}
            problems += [_twice(file, f"{path}detectors.{wiring.CASCADE}.{key}", f"[{path}detector]") for key in moved.keys() & at["detector"].keys()]
            at["detector"] |= moved
        row = at.get("detector")
        if isinstance(row, dict) and "decay_window_s" in row:
            if "decay_s" in row:
                problems.append(_twice(file, f"{path}detector.decay_window_s", "decay_s"))
            row["decay_s"] = row.pop("decay_window_s")
    return found


def _misplaced(found: dict[str, Any], file: str) -> list[ConfigError]:
    """Tables below [detector], which are taken out: detectors by name are below [detectors]."""
    out = []
    for at, path in ((found, ""), (found.get("sweep"), "sweep.")):
        row = at.get("detector") if isinstance(at, dict) else None
        if not isinstance(row, dict):
            continue
        for name in [name for name, inner in row.items() if isinstance(inner, dict)]:
            out.append(ConfigError(f"{file}: {path}detector.{name}", "a table", "", f"Did you mean [{path}detectors.{name}]?"))
            del row[name]
    return out


def _twice(file: str, key: str, other: str) -> ConfigError:
    return ConfigError(f"{file}: {key}", f"also set in {other}", "one of the two: they mean the same", "Remove one")


def _ways(path: str) -> list[str]:
    """A key as it is kept, and in the other ways in which a file may write it."""
    ways = [path]
    for kept, written in reversed(ALIASES):
        ways += [way.replace(kept, written) for way in ways if kept in way]
    return ways


def _beside(folder: Path, section: Any, *names: str) -> Any:
    """The section with these paths of it counted from the folder."""

    def placed(found: Any) -> Any:
        return tuple(str(folder / one) for one in found) if isinstance(found, tuple) else str(folder / found) if found else found

    return dataclasses.replace(section, **{name: placed(getattr(section, name)) for name in names})


def _placed_plugins(config: Config, folder: Path) -> Config:
    """Detectors and features in files of the user's by their whole path; before they are looked at, because that runs the file."""

    def placed(name: Any) -> Any:
        return str(folder / name) if isinstance(name, str) and is_file(name) else name

    detectors = {name: {**row, **({"kind": placed(row["kind"])} if "kind" in row else {})} for name, row in config.detectors.items()}
    own = {name: placed(code) for name, code in (config.features.own or {}).items()}
    return dataclasses.replace(
        config,
        detectors=MappingProxyType(detectors),
        features=dataclasses.replace(config.features, own=MappingProxyType(own) if own else config.features.own),
    )


def _path(why: LiqshellError, file: str) -> str:
    """The key that a problem is about."""
    return why.where.removeprefix(f"{file}: ")


def _placed(problems: Sequence[ConfigError], raw: bytes | str, file: str, changes: Sequence[str]) -> list[ConfigError]:
    """The same problems, in order of their lines, each with the line of its key; what the command line has changed, with that."""
    lines = lines_of(raw.decode("utf-8-sig") if isinstance(raw, bytes) else raw)
    changed = {change.partition("=")[0].strip(): change for change in changes}
    out = []
    for why in problems:
        path = _path(why, file)
        ways = _ways(path)
        path = next((way for way in ways if tuple(way.split(".")) in lines), path)
        line = next((line for way in (path, *ways) if (line := line_of(lines, way))), 0)
        setting = next((key for key in changed if any(way == key or way.startswith(f"{key}.") for way in ways)), None)
        place = f"--set {setting}" if setting else f"{file}:{line}: {path}" if line else f"{file}: {path}"
        out.append((0 if setting else line, ConfigError(place, why.found, why.expected, why.action)))
    return [why for _, why in sorted(out, key=lambda pair: pair[0])]


Wrong = Callable[..., None]  # (key, found, expected, action = "")


def _contradictions(config: Config, file: str, faulty: Collection[str]) -> list[ConfigError]:
    """Problems that concern several fields. faulty: sections with a field that could not be read: what depends on them is not judged."""
    out = []

    def wrong(key: str, found: str, expected: str, action: str = "") -> None:
        out.append(ConfigError(f"{file}: {key}", found, expected, action))

    def sound(*sections: str) -> bool:
        return not any(section in faulty for section in sections)

    if sound("feed", "feeds"):
        out += feed_problems(config.feed, config.feeds, file)
    unknown = _unknown_presets(config, file)
    out += unknown
    if sound("run", "feed") and config.run.mode == "live" and config.feed.whole:
        wrong(
            "feed.symbols",
            f"found {ALL!r} with run.mode = 'live'",
            "the names of the contracts that may be traded for real",
            f"List the names; a second venue may be watched whole ([feeds.NAME] symbols = {ALL!r}, trade = false)",
        )
    if 0.0 < config.live.leverage < 1.0:
        wrong("live.leverage", f"found {config.live.leverage:g}", "1 or more, or 0 for no change")
    for symbol in config.policy.symbols if sound("feed", "feeds") else ():
        if config.feed.symbols and not any(symbol in one.symbols or one.whole and symbol not in one.exclude for one in config.all_feeds()):
            wrong(f"policy.symbols.{symbol}", "this symbol is not subscribed", "one of feed.symbols", "Add it to [feed] symbols or remove the table")
    for symbol in config.unknown_symbols(config.data.symbols) if config.data.symbols and sound("feed", "data") else ():
        wrong(f"policy.symbols.{symbol}", "not one of the contracts of [data] symbols", ", ".join(config.data.symbols))
    if sound("limits") and config.limits.weekly_loss_max < config.limits.daily_loss_max:
        wrong("limits.weekly_loss_max", "smaller than limits.daily_loss_max", "at least the daily limit")
    out += judge_problems(config.judge, config.news, file) if sound("judge", "news") else []
    _study_contradictions(config, wrong, sound)
    out += wiring.own_feature_problems(config.features.own or {}, file)
    out += wiring.feature_problems(
        [name for name in config.features.names if name.removeprefix("own.") not in (config.features.own or {})], file, "features.names"
    )
    if not unknown and sound("policy", "detector", "detectors"):
        _detector_contradictions(config, wrong)
        out += _rule_contradictions(config, file, sound("sweep"))
    return out


def _file_problems(config: Config, file: str, folder: Path, faulty: Collection[str]) -> list[ConfigError]:
    """Files that must be there before anything starts."""
    out = []
    for name in config.blackout.files if "blackout" not in faulty else ():
        try:
            read_windows(folder / name)
        except DataError as why:
            out.append(ConfigError(f"{file}: blackout.files", f"{why.where}: {why.found}", why.expected, why.action))
    rule = folder / config.policy.rule.rpartition(":")[0]
    if config.policy.rule and "policy" not in faulty and not rule.is_file():
        out.append(
            ConfigError(
                f"{file}: policy.rule",
                f"{rule} {'is not a file' if rule.exists() else 'does not exist'}",
                "a Python file with a policy",
                "A relative path counts from the folder of this file",
            )
        )
    return out


def _unknown_presets(config: Config, file: str) -> list[ConfigError]:
    known = presets()
    named = {"policy.preset": config.policy.preset} | {f"policy.symbols.{s}.preset": o.preset for s, o in config.policy.symbols.items()}
    out = []
    for key, name in named.items():
        if name is not None and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            out.append(
                ConfigError(
                    f"{file}: {key}",
                    f"found {name!r}",
                    f"one of {', '.join(map(repr, known))}",
                    (f"Did you mean {near[0]!r}? " if near else "") + "`liqcore presets` prints them",
                )
            )
    return out


def _rule_contradictions(config: Config, file: str, grid: bool) -> list[ConfigError]:
    """Problems of the rules' numbers and of detectors; grid: also of the values of a sweep."""
    out = wiring.parameter_problems(config.rule_for(), config.policy.parameters, file, "policy.parameters")
    for symbol, own in config.policy.symbols.items():
        out += wiring.parameter_problems(config.rule_for(symbol), own.parameters, file, f"policy.symbols.{symbol}.parameters")
    try:
        found = config.detectors_for(["", *config.policy.symbols])
    except ConfigError as why:
        return [*out, ConfigError(f"{file}: {why.where}", why.found, why.expected, why.action)]
    out += wiring.detector_problems(found, file) if found else []
    return out + (_axis_contradictions(config, file, bool(out)) if grid else [])


def _axis_contradictions(config: Config, file: str, faulty: bool) -> list[ConfigError]:
    """Problems of each value that a sweep tries for parameters and detectors. faulty: so is what they are tried on top of; then
    only the values themselves are judged."""
    tried_of = config.sweep.parameters.items()
    out = [
        why
        for name, values in tried_of
        for value in values
        for why in wiring.parameter_problems(config.rule_for(), {name: value}, file, "sweep.parameters")
    ]
    for key, values in config.sweep.axes.items() if not faulty and not out else ():
        if not key.startswith(("parameters.", "detectors.")):
            continue
        for value in values:
            tried, here = config.with_setting(Setting.of({key: value})), f"{file}: sweep.{key}"
            try:
                found = tried.detectors_for(["", *config.policy.symbols])
                tried.parameters_for("")
            except ConfigError as why:
                wrong: list[Any] = [*(why.problems or [why])]
            else:
                wrong = [*(wiring.detector_problems(found, file) if found else [])]
            out += [ConfigError(here, why.found, why.expected, why.action) for why in wrong]
    return list({str(why): why for why in out}.values())  # what is wrong with every value is said once


def _venue_contradictions(config: Config, wrong: Wrong) -> None:
    paper = config.paper
    if 0.0 < paper.funding_interval_s < 60.0:
        wrong("paper.funding_interval_s", f"found {paper.funding_interval_s:g}", "60 seconds or more, or 0 for no funding")
    if 0.0 < paper.leverage < 1.0:
        wrong("paper.leverage", f"found {paper.leverage:g}", "1 or more, or 0 for a position that is never liquidated")
    elif paper.leverage and paper.maintenance_margin / SCALE >= 1.0 / paper.leverage:
        wrong(
            "paper.maintenance_margin",
            f"found {paper.maintenance_margin / SCALE:g} at leverage {paper.leverage:g}",
            f"less than 1 / leverage ({1.0 / paper.leverage:g})",
            "Every position would be liquidated when it is opened",
        )
    if (paper.latency == "empirical") != bool(paper.latency_samples):
        found = "set, but latency is 'constant'" if paper.latency_samples else "not set"
        wrong("paper.latency_samples", found, "a file only with latency = 'empirical'")


def _study_contradictions(config: Config, wrong: Wrong, sound: Callable[..., bool]) -> None:
    if sound("paper"):
        _venue_contradictions(config, wrong)
    sizes: dict[str, PolicyOverride] = {"policy": config.policy} | {f"policy.symbols.{s}": o for s, o in config.policy.symbols.items()}
    for where, given in sizes.items():
        if given.notional is not None and given.equity_share is not None:
            wrong(f"{where}.equity_share", "set together with notional", "one of the two", "Remove the other")
    data = config.data
    if data.store and data.files:
        action = "Import the files into the store, or name files only"
        wrong("data.files", "set together with data.store", "one of the two", action)
    if data.start and data.end and data.start >= data.end:
        wrong("data.end", "not after data.start", "a later time: the span is [start, end)")
    for name in config.backtest.controls:
        if name not in CONTROLS:
            wrong("backtest.controls", f"found {name!r}", f"of {', '.join(CONTROLS)}")
    for name in config.sweep.heatmap if sound("sweep") else ():
        if name not in config.sweep.axes:
            known = ", ".join(config.sweep.axes) or "none is"
            wrong("sweep.heatmap", f"{name} is not varied", f"parameters of the grid ({known})")
    if config.sweep.size > config.sweep.settings_max and sound("sweep"):
        most = f"at most sweep.settings_max ({config.sweep.settings_max})"
        wrong("sweep", f"a grid of {config.sweep.size} settings", most, "Vary fewer values, or raise sweep.settings_max")


def _detector_contradictions(config: Config, wrong: Wrong) -> None:
    detector = config.detector_values()
    if detector.warmup > detector.window_events:
        most = f"at most detector.window_events ({detector.window_events})"
        wrong("detector.warmup", f"found {detector.warmup}", most, "The threshold needs a window with at least warmup events")
