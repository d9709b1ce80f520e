"""The sections of a study of history: [data], [backtest], [sweep] and [forward] of a configuration.

    [data]                                    [sweep.policy]
    store = "store"                           take_profit = [0.001, 0.0015, 0.002]
    symbols = ["SOLUSDT"]                     stop_loss = {from = 0.002, to = 0.005, step = 0.0005}
    start = 2026-03-04                        [sweep.detector]
    end = "2026-03-18T12:00"                  quantile = [0.9, 0.95]
    [sweep.parameters]                        [sweep.detectors.dollar]
    score_min = [6, 7, 8]                     amount = {from = 1e6, to = 5e6, step = 1e6}

Times are UTC, spans [start, end), paths relative to the folder of the configuration file.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType
from typing import Any

from liqshell.config.sections import CASCADE_TABLE, DETECTOR_NAME, SYMBOL, SYMBOLS_MAX, DetectorConfig, PolicyOverride, made
from liqshell.config.timetable import HoursConfig
from liqshell.fields import Complaint, Rule, choice, flag, integer, names, number, paths, shown, table, tables, text, timestamp

CONTROLS = ("inverted_side", "random_side", "random_time", "every_30_min")
OBJECTIVES = ("net", "mean_bps", "sharpe")
AXIS_MAX = 10_000  # values of one parameter
DELAYS_MAX = 20


def rising(default: tuple[float, ...], low: float, high: float, unit: str, most: int) -> Any:
    """A list of numbers, each larger than the one before."""
    one: Rule = number(None, low, high, unit).metadata["rule"]

    def read(value: Any) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError
        out = tuple(one.read(item) for item in value)
        if any(b <= a for a, b in itertools.pairwise(out)):
            raise Complaint("numbers that rise")
        return out

    return dataclasses.field(
        default=default,
        metadata={
            "rule": Rule(
                f"a list of at most {most} rising values, each {one.expected}", read, {"type": "array", "maxItems": most, "items": one.schema}
            )
        },
    )


def stepped(value: Any, expected: str) -> list[Any]:
    """The values of an axis: a list as it is, or {from, to, step} with both ends."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping) or value.keys() != {"from", "to", "step"}:
        raise Complaint(f"a list of values, or {{from = …, to = …, step = …}}; {expected}")
    low, high, step = value["from"], value["to"], value["step"]
    if any(isinstance(v, bool) or not isinstance(v, int | Decimal) for v in (low, high, step)):
        raise Complaint("numbers for from, to and step")
    if not step > 0 or high < low:
        raise Complaint("a step above 0 and from at most to")
    count = math.floor((high - low) / step) + 1
    if count > AXIS_MAX:
        raise Complaint(f"at most {AXIS_MAX} values, this range has {count}")
    return [low + k * step for k in range(count)]


def several(one: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of the values of an axis."""
    bounds = {name: {"type": "number"} for name in ("from", "to", "step")}
    return {
        "anyOf": [
            {"type": "array", "items": one, "minItems": 1, "maxItems": AXIS_MAX, "uniqueItems": True},
            {"type": "object", "properties": bounds, "required": list(bounds), "additionalProperties": False},
        ]
    }


def axis(section: type, name: str) -> Any:
    """Values of one parameter to try: a list, or {from, to, step} with both ends; each as the parameter itself may be. () = not varied."""
    one: Rule = {f.name: f for f in dataclasses.fields(section)}[name].metadata["rule"]

    def read(value: Any) -> tuple[Any, ...]:
        out = []
        for item in stepped(value, f"each value {one.expected}"):
            try:
                out.append(one.read(item))
            except Complaint:
                raise
            except (ValueError, ArithmeticError):
                raise Complaint(f"{shown(item)} to be {one.expected}") from None
        if not 1 <= len(out) <= AXIS_MAX or len(set(out)) != len(out):
            raise Complaint(f"1 to {AXIS_MAX} values, each once")
        return tuple(out)

    expected = f"a list of values or {{from, to, step}}; each value {one.expected}"
    return dataclasses.field(default=(), metadata={"rule": Rule(expected, read, several(one.schema))})


@dataclass(frozen=True)
class DataConfig:
    """store: what `liqcore import` made; or files: folders of runs, recordings, vendor files. symbols: () = [feed] symbols, or all there are.
    venue: of files that do not say it."""

    store: str = text("", r"[^\0]+", "the folder of a store (see `liqcore import`)")
    files: tuple[str, ...] = paths(100_000)
    venue: str = text("", r"[a-z0-9_]{1,30}", "the name of a venue such as 'bybit' or 'binance_um'")
    symbols: tuple[str, ...] = names(SYMBOL, "contract names of the venue such as 'ETHUSDT'", most=SYMBOLS_MAX)
    start: int = timestamp()
    end: int = timestamp()


@dataclass(frozen=True)
class BacktestConfig:
    """controls: what is traded on the same events without knowledge. delays_s: reaction delays on top of the latency model.

    delay_of: 'reaction' = every liquidation becomes known later by the delay, all else unchanged; 'orders' = each of our requests takes longer by it.
    """

    controls: tuple[str, ...] = names(r"[a-z0-9_]+", f"of {', '.join(CONTROLS)}", most=len(CONTROLS))
    study: bool = flag(True)
    random_draws: int = integer(20, 1, 10_000)
    delays_s: tuple[float, ...] = rising((0.05, 0.25, 1.0, 5.0, 15.0, 60.0), 0.0, 3600.0, "seconds", DELAYS_MAX)
    delay_of: str = choice("reaction", "reaction", "orders")

    @property
    def controls_wanted(self) -> tuple[str, ...]:
        return self.controls or CONTROLS


@dataclass(frozen=True)
class PolicyGrid:
    """Bracket parameters to try; each () = as [policy] says."""

    entry: tuple[str, ...] = axis(PolicyOverride, "entry")
    entry_offset: tuple[int, ...] = axis(PolicyOverride, "entry_offset")
    take_profit: tuple[int, ...] = axis(PolicyOverride, "take_profit")
    stop_loss: tuple[int, ...] = axis(PolicyOverride, "stop_loss")
    trail: tuple[int, ...] = axis(PolicyOverride, "trail")
    entry_ttl_s: tuple[float, ...] = axis(PolicyOverride, "entry_ttl_s")
    max_hold_s: tuple[float, ...] = axis(PolicyOverride, "max_hold_s")
    cooldown_s: tuple[float, ...] = axis(PolicyOverride, "cooldown_s")
    exit_phase: tuple[str, ...] = axis(PolicyOverride, "exit_phase")
    requotes: tuple[int, ...] = axis(PolicyOverride, "requotes")


DetectorGrid = made(
    "DetectorGrid",
    "Parameters of the cascade detector to try; each () = as [detector] says.",
    ((row.name, axis(DetectorConfig, row.name)) for row in CASCADE_TABLE),
)


@dataclass(frozen=True)
class HoursGrid:
    """Values of [hours] to try; each () = as [hours] says."""

    utc: tuple[str, ...] = axis(HoursConfig, "utc")
    weekdays: tuple[str, ...] = axis(HoursConfig, "weekdays")


def axis_tables(expected: str) -> Any:
    """A table of values to try with keys unknown here: the caller, who knows the keys, checks them. Each a list, or {from, to, step}."""

    def read(value: Any) -> Mapping[str, tuple[Any, ...]]:
        if not isinstance(value, Mapping):
            raise ValueError
        out = {}
        for name, found in value.items():
            listed = stepped(found, "each value as the parameter may be")
            if not 1 <= len(listed) <= AXIS_MAX or any(isinstance(v, list | Mapping) for v in listed) or len(set(map(repr, listed))) != len(listed):
                raise Complaint(f"1 to {AXIS_MAX} values of {name}, each once")
            out[name] = tuple(listed)
        return MappingProxyType(out)

    rule = Rule(f"a table of {expected}", read, {"type": "object", "additionalProperties": several({"type": ["number", "string", "boolean"]})})
    return dataclasses.field(default_factory=lambda: MappingProxyType({}), metadata={"rule": rule})


@dataclass(frozen=True)
class Setting:
    """One cell of a grid: what it sets on top of [policy] and [detector], in the units of the configuration (fractions: integers of 1e-8), and on
    top of [policy.parameters] and [detectors.NAME], as it was written."""

    policy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    detector: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    detectors: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    hours: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, named: Mapping[str, Any]) -> "Setting":
        """From what `named` gives."""
        parts: dict[str, dict[str, Any]] = {"policy": {}, "detector": {}, "parameters": {}, "detectors": {}, "hours": {}}
        for key, value in named.items():
            part, _, name = key.partition(".")
            if part == "detectors":
                whose, _, name = name.partition(".")
                parts[part].setdefault(whose, {})[name] = value
            else:
                parts[part][name] = value
        return cls(**parts)

    @cached_property
    def named(self) -> dict[str, Any]:
        """detector.quantile -> value, detectors.dollar.amount -> value, parameters.score_min -> value, hours.utc -> value,
        policy.take_profit -> value: what decides first, what is done about it last."""
        out = {f"detector.{k}": v for k, v in self.detector.items()}
        out |= {f"detectors.{name}.{k}": v for name, own in self.detectors.items() for k, v in own.items()}
        out |= {f"parameters.{k}": v for k, v in self.parameters.items()} | {f"hours.{k}": v for k, v in self.hours.items()}
        return out | {f"policy.{k}": v for k, v in self.policy.items()}


@dataclass(frozen=True)
class SweepConfig:
    """A grid. objective: what `best` means. heatmap: the two parameters drawn first. top: rows of the table in the terminal.

    parameters: of the rule ([policy.parameters]); detectors: of [detectors.NAME]; hours: of [hours], which nothing else
    learns. by: kernel = liqcore.sweep, where every answer of the policy is the
    bracket of [policy]; backtest = each setting a whole backtest; auto = the kernel where it trades as the engine does. unit: settings computed and
    kept together by the kernel: what an interruption may cost (a backtest is a unit of its own).
    """

    policy: PolicyGrid = table(PolicyGrid)
    detector: Any = table(DetectorGrid)
    parameters: Mapping[str, tuple[Any, ...]] = axis_tables("values to try by name")
    detectors: Mapping[str, Mapping[str, tuple[Any, ...]]] = tables(axis_tables("values to try by name"), DETECTOR_NAME, "the name of a detector")
    hours: HoursGrid = table(HoursGrid)
    by: str = choice("auto", "auto", "kernel", "backtest")
    objective: str = choice("net", *OBJECTIVES)
    heatmap: tuple[str, ...] = names(
        r"(policy|detector|parameters|hours|detectors\.[a-z][a-z0-9_-]*)\.[a-z][a-z0-9_]*", "parameters such as 'policy.take_profit'", most=2
    )
    top: int = integer(10, 1, 1000)
    settings_max: int = integer(1_000_000, 1, 100_000_000)
    workers: int = integer(0, 0, 1024, "threads, 0 = one a core")
    unit: int = integer(4096, 1, 1_000_000, "settings")

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The varied settings: 'policy.take_profit' -> values, in a fixed order: detectors first, because the rest shares signals."""

        def of(part: str, grid: Any) -> dict[str, tuple[Any, ...]]:
            return {f"{part}.{f.name}": found for f in dataclasses.fields(grid) if (found := getattr(grid, f.name))}

        out = of("detector", self.detector)
        out |= {f"detectors.{name}.{key}": values for name, own in self.detectors.items() for key, values in own.items()}
        out |= {f"parameters.{key}": values for key, values in self.parameters.items()}
        return out | of("hours", self.hours) | of("policy", self.policy)

    @property
    def size(self) -> int:
        """Settings of the grid; 1 where nothing is varied."""
        return math.prod(len(values) for values in self.axes.values())

    def settings(self) -> Iterator[Setting]:
        """Every cell, the last axis fastest."""
        axes = self.axes
        for cell in itertools.product(*axes.values()):
            yield Setting.of(dict(zip(axes, cell, strict=True)))


@dataclass(frozen=True)
class ForwardConfig:
    """Walk-forward: parameters of [sweep] chosen on train_days, judged on the test_days after them. embargo_s: between the two; 0 = max_hold_s +
    entry_ttl_s, the least that keeps a train trade from living in the test span. trades_min: a setting with fewer on train is not chosen. judge_all:
    after the choice, run every setting on the test span too: its rank there and the probability of overfitting need that. by: what judges the
    settings; auto = the sweep from 500 settings on, where it trades as the engine does."""

    train_days: float = number(7.0, 0.0, 3650.0, "days", above=True)
    test_days: float = number(1.0, 0.0, 3650.0, "days", above=True)
    scheme: str = choice("rolling", "rolling", "anchored")
    embargo_s: float = number(0.0, 0.0, 864_000.0, "seconds, 0 = max_hold_s + entry_ttl_s")
    trades_min: int = integer(5, 0, 1_000_000)
    judge_all: bool = flag(True)
    by: str = choice("auto", "auto", "backtest", "sweep")
    folds_max: int = integer(1000, 1, 100_000)
