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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from liqshell import wiring
from liqshell.errors import ConfigError
from liqshell.sections import (GRADES, VENUE_NAMES, DetectorConfig, EngineConfig, FeaturesConfig, FeedConfig, LimitsConfig, LiveConfig, PaperConfig,
                               PolicyConfig, PolicyOverride, RecordConfig, RunConfig, detector_tables, feed_problems, venue_named)
from liqshell.study import CONTROLS, BacktestConfig, DataConfig, ForwardConfig, Setting, SweepConfig
from liqshell.toml import SCALE, choice, credentials, decode, plain, table, tables, text


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
    replaces: bool
    judge_s: float

    def bracket_arguments(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.Bracket, but for its side; fractions as exact Decimals."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "preset"}
        for name in ("entry_offset", "take_profit", "stop_loss", "trail"):
            out[name] = Decimal(out[name]) / SCALE
        out["exit_phase"] = {"none": 0, "decelerating": 3, "exhausted": 4}[self.exit_phase]
        for name, usual in (("trail_basis", "price"), ("replaces", False), ("judge_s", 0.0)):
            if out[name] == usual:                # a bracket is written with what is special about it
                del out[name]
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
    detectors: Mapping[str, Mapping[str, Any]] = detector_tables()
    policy: PolicyOverride = table(PolicyOverride)
    limits: LimitsConfig = table(LimitsConfig)


@dataclass(frozen=True)
class Config:
    run: RunConfig = table(RunConfig)
    feed: FeedConfig = table(FeedConfig)
    feeds: Mapping[str, FeedConfig] = tables(FeedConfig, "|".join(VENUE_NAMES), f"a venue: {', '.join(VENUE_NAMES)}")
    engine: EngineConfig = table(EngineConfig)
    detector: DetectorConfig = table(DetectorConfig)
    detectors: Mapping[str, Mapping[str, Any]] = detector_tables()
    features: FeaturesConfig = table(FeaturesConfig)
    policy: PolicyConfig = table(PolicyConfig)
    limits: LimitsConfig = table(LimitsConfig)
    paper: PaperConfig = table(PaperConfig)
    record: RecordConfig = table(RecordConfig)
    live: LiveConfig = table(LiveConfig)
    data: DataConfig = table(DataConfig)
    backtest: BacktestConfig = table(BacktestConfig)
    sweep: SweepConfig = table(SweepConfig)
    forward: ForwardConfig = table(ForwardConfig)

    def all_feeds(self) -> tuple[FeedConfig, ...]:
        """Every venue of the run, the one of [feed] first: so lie its instruments in the engine."""
        every = {self.feed.venue: self.feed} | dict(self.feeds)
        return tuple(dataclasses.replace(one, venue=venue_named(name)) for name, one in every.items())

    def preset_of(self, symbol: str | None = None) -> Preset:
        """The preset of a symbol, or of [policy] where none is given."""
        override = self.policy.symbols.get(symbol) if symbol else None
        return presets()[(override and override.preset) or self.policy.preset or "fade"]

    def policy_for(self, symbol: str) -> PolicyValues:
        """The numbers with which `symbol` is traded.

        [policy.symbols.NAME] wins over its own preset where it names one; else over [policy]; [policy] wins over its preset. A symbol that
        names a preset of its own takes from [policy] only what is about money (notional, equity_share): offsets belong to their preset.
        """
        own = self.policy.symbols.get(symbol, PolicyOverride())
        layers: list[PolicyOverride] = [presets()["fade"].policy, self.preset_of(symbol).policy]
        layers += [PolicyOverride(notional=self.policy.notional, equity_share=self.policy.equity_share) if own.preset else self.policy, own]
        values = _merged(layers, PolicyOverride)
        size: dict[str, Any] = {"equity_share": 0.0}          # one way of sizing: the last layer that says one replaces the other
        for layer in layers:
            if layer.equity_share is not None:
                size = {"equity_share": layer.equity_share, "notional": 0.0}
            elif layer.notional is not None:
                size = {"equity_share": 0.0, "notional": layer.notional}
        values.pop("parameters", None)
        return PolicyValues(**values | size | {"preset": self.preset_of(symbol).name})

    def rule_for(self, symbol: str | None = None) -> str:
        """The rule that trades `symbol`: a name of policies.RULES, or file.py:Class."""
        return self.policy.rule or self.preset_of(symbol).rule

    def parameters_for(self, symbol: str) -> dict[str, Any]:
        """The numbers of that rule: those of the preset, changed by [policy.parameters] and [policy.symbols.NAME.parameters]. A symbol with a
        preset of its own takes none from [policy]."""
        own = self.policy.symbols.get(symbol, PolicyOverride())
        preset = None if self.policy.rule else self.preset_of(symbol).policy.parameters
        return wiring.parameters(self.rule_for(symbol), [preset, None if own.preset else self.policy.parameters, own.parameters])

    def detectors_for(self, symbols: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The detectors of a run of these symbols beside the cascade detector, by name: arguments of liqcore.registry.make_detector."""
        used = {} if self.policy.rule else {(found := self.preset_of(symbol)).name: found.detectors for symbol in symbols}
        return wiring.detectors([*used.items(), ("the configuration", self.detectors)])

    def detector_values(self) -> DetectorValues:
        """The detector of the run: [detector] over the preset of [policy] over `fade`."""
        return DetectorValues(**_merged([presets()["fade"].detector, self.preset_of().detector, self.detector], DetectorConfig))

    def with_setting(self, setting: Setting) -> "Config":
        """This configuration with the values of one cell of its grid; they win over [policy.symbols] too."""
        def changed(own: PolicyOverride) -> dict[str, Any]:
            return {**setting.policy, **({"parameters": {**(own.parameters or {}), **setting.parameters}} if setting.parameters else {})}

        symbols = {name: dataclasses.replace(own, **changed(own)) for name, own in self.policy.symbols.items()}
        detectors = {**self.detectors, **{name: {**self.detectors.get(name, {}), **own} for name, own in setting.detectors.items()}}
        return dataclasses.replace(self, policy=dataclasses.replace(self.policy, **changed(self.policy), symbols=symbols),
                                   detector=dataclasses.replace(self.detector, **setting.detector), detectors=detectors)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a report or a manifest; fractions stay integers in units of 1e-8."""
        out: dict[str, Any] = _plain(self)
        return out


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


def load(path: str | Path, changes: Sequence[str] = ()) -> Config:
    """Read a configuration file; ConfigError lists everything that is wrong with it. changes: `section.key=value` that win over the file."""
    path = Path(path)
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(str(path), f"{path.stat().st_size} bytes", f"at most {CONFIG_BYTES_MAX}", "Is it a configuration file?")
        raw = path.read_bytes()
    except OSError as why:
        raise ConfigError(str(path), f"cannot be read: {why.strerror or why}", "a TOML file") from None
    config = loads(raw, str(path), changes)
    folder = path.resolve().parent
    rule = f"{folder / config.policy.rule}" if config.policy.rule else ""
    data = dataclasses.replace(config.data, store=str(folder / config.data.store) if config.data.store else "",
                               files=tuple(str(folder / file) for file in config.data.files))
    feeds = {name: dataclasses.replace(one, ca=str(folder / one.ca) if one.ca else "") for name, one in {"": config.feed, **config.feeds}.items()}
    samples = str(folder / config.paper.latency_samples) if config.paper.latency_samples else ""
    return dataclasses.replace(config, policy=dataclasses.replace(config.policy, rule=rule), data=data, feed=feeds.pop(""),
                               feeds=MappingProxyType(feeds), paper=dataclasses.replace(config.paper, latency_samples=samples))


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


def loads(raw: bytes | str, file: str = "<config>", changes: Sequence[str] = ()) -> Config:
    """As `load`, from text; paths stay as they are written. `file` is the name that messages use."""
    found = _parse(raw.encode() if isinstance(raw, str) else raw, file)
    for change in changes:
        _changed(found, change)
    problems = credentials(found, file)
    if problems:                            # nothing else is said of such a file: other messages quote what they found
        raise ConfigError(file, problems=problems)
    config = decode(Config, found, file, "", problems)
    problems += _contradictions(config, file, not problems)
    if problems:
        raise ConfigError(file, problems=problems)
    config = dataclasses.replace(config, feed=dataclasses.replace(config.feed, venue=venue_named(config.feed.venue)))
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

    if not sound:
        return out
    out += feed_problems(config.feed, config.feeds, file)
    known = presets()
    named = {"policy.preset": config.policy.preset} | {f"policy.symbols.{s}.preset": o.preset for s, o in config.policy.symbols.items()}
    for key, name in named.items():
        if name is not None and name not in known:
            wrong(key, f"found {name!r}", f"one of {', '.join(map(repr, known))}", "`liqcore presets` prints them")
    if 0.0 < config.live.leverage < 1.0:
        wrong("live.leverage", f"found {config.live.leverage:g}", "from 1 on, or 0 to leave it as it is")
    for symbol in config.policy.symbols:
        if config.feed.symbols and not any(symbol in one.symbols for one in config.all_feeds()):
            wrong(f"policy.symbols.{symbol}", "this symbol is not subscribed", "one of feed.symbols",
                  "Add it to [feed] symbols or remove the table")
    if config.limits.weekly_loss_max < config.limits.daily_loss_max:
        wrong("limits.weekly_loss_max", "smaller than limits.daily_loss_max", "at least the daily limit")
    out += _study_contradictions(config, file)
    if not out:
        out += _detector_contradictions(config, file) + _rule_contradictions(config, file)
    return out


def _rule_contradictions(config: Config, file: str) -> list[ConfigError]:
    """What is wrong with the numbers of rules, with detectors and with features."""
    out = wiring.parameter_problems(config.rule_for(), config.policy.parameters, file, "policy.parameters")
    for symbol, own in config.policy.symbols.items():
        out += wiring.parameter_problems(config.rule_for(symbol), own.parameters, file, f"policy.symbols.{symbol}.parameters")
    out += wiring.feature_problems(config.features.names, file, "features.names")
    try:
        found = config.detectors_for(["", *config.policy.symbols])
    except ConfigError as why:
        return [*out, ConfigError(f"{file}: {why.where}", why.found, why.expected, why.action)]
    out += wiring.detector_problems(found, file) if found else []
    return out or _axis_contradictions(config, file)


def _axis_contradictions(config: Config, file: str) -> list[ConfigError]:
    """What is wrong with the values that a sweep tries of parameters and detectors, each alone."""
    out: list[ConfigError] = []
    for key, values in config.sweep.axes.items():
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
    return out


def _venue_contradictions(config: Config, file: str) -> list[ConfigError]:
    out = []
    paper = config.paper
    if 0.0 < paper.funding_interval_s < 60.0:
        out.append(ConfigError(f"{file}: paper.funding_interval_s", f"found {paper.funding_interval_s:g}", "seconds from 60 on, or 0 for no funding"))
    if 0.0 < paper.leverage < 1.0:
        out.append(ConfigError(f"{file}: paper.leverage", f"found {paper.leverage:g}", "from 1 on, or 0 for a position that is never liquidated"))
    elif paper.leverage and paper.maintenance_margin / SCALE >= 1.0 / paper.leverage:
        out.append(ConfigError(f"{file}: paper.maintenance_margin", f"found {paper.maintenance_margin / SCALE:g} at leverage {paper.leverage:g}",
                               f"less than 1 / leverage ({1.0 / paper.leverage:g})", "A position would be liquidated as it is opened"))
    if (paper.latency == "empirical") != bool(paper.latency_samples):
        out.append(ConfigError(f"{file}: paper.latency_samples", "set, but latency is 'constant'" if paper.latency_samples else "not set",
                               "a file where latency = 'empirical', and nothing else"))
    return out


def _study_contradictions(config: Config, file: str) -> list[ConfigError]:
    out = _venue_contradictions(config, file)
    sizes: dict[str, PolicyOverride] = {"policy": config.policy} | {f"policy.symbols.{s}": o for s, o in config.policy.symbols.items()}
    for where, given in sizes.items():
        if given.notional is not None and given.equity_share is not None:
            out.append(ConfigError(f"{file}: {where}.equity_share", "set beside notional", "one of the two", "Remove the other"))
    data = config.data
    if data.store and data.files:
        out.append(ConfigError(f"{file}: data.files", "set beside data.store", "one of the two",
                               "Import the files into the store, or name files only"))
    if data.start and data.end and data.start >= data.end:
        out.append(ConfigError(f"{file}: data.end", "not after data.start", "a later time: the span is [start, end)"))
    for name in config.backtest.controls:
        if name not in CONTROLS:
            out.append(ConfigError(f"{file}: backtest.controls", f"found {name!r}", f"of {', '.join(CONTROLS)}"))
    for name in config.sweep.heatmap:
        if name not in config.sweep.axes:
            known = ", ".join(config.sweep.axes) or "none is"
            out.append(ConfigError(f"{file}: sweep.heatmap", f"{name} is not varied", f"parameters of the grid ({known})"))
    if config.sweep.size > config.sweep.settings_max:
        out.append(ConfigError(f"{file}: sweep", f"a grid of {config.sweep.size} settings",
                               f"at most sweep.settings_max ({config.sweep.settings_max})", "Vary less, or raise sweep.settings_max"))
    return out


def _detector_contradictions(config: Config, file: str) -> list[ConfigError]:
    detector = config.detector_values()
    if detector.warmup > detector.window_events:
        return [ConfigError(f"{file}: detector.warmup", f"found {detector.warmup}",
                            f"at most detector.window_events ({detector.window_events})",
                            "A window that never holds warmup events never gives a threshold")]
    return []
