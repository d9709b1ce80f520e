"""The text of a new configuration: the requested settings, and the keys that are often changed as comments, with default and range."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from liqshell.config.load import Preset
from liqshell.config.sections import EngineConfig, FeedConfig, LimitsConfig, PaperConfig, PolicyOverride, RunConfig
from liqshell.config.study_sections import DataConfig
from liqshell.fields import SCALE, plain, set_values, written

SCHEMA_FILE = "liqcore.schema.json"
TAKEN = ("take_profit", "stop_loss")  # of a preset: what the example of a grid varies
HEAD = """\
#:schema ./{schema}
# {summary}
# Evidence: {grade}. `liqcore presets {preset}` says why.
#
# A line that begins with `# key =` shows the default; remove the `#` to change it. docs/operate.md has every section.
"""


def text_of(name: str, venue: str, symbols: Sequence[str], preset: Preset, store: str = "", environment: str = "mainnet") -> str:
    """The file. name: of the run; store: the folder of a store relative to the file, "" = none."""
    parts = [HEAD.format(schema=SCHEMA_FILE, summary=" ".join(preset.summary.split()), grade=preset.grade, preset=preset.name)]
    parts.append(_section("run", RunConfig, {"name": name}, skip=("spin", "seed")))
    parts.append(_section("feed", FeedConfig, {"venue": venue, "environment": environment, "symbols": list(symbols)}, only=("stale_after_s",)))
    if store:
        span = "# start = 2026-03-04      # UTC; the span is [start, end)\n# end = 2026-03-05\n"
        parts.append(_section("data", DataConfig, {"store": store}) + span)
    parts.append(_section("policy", PolicyOverride, {"preset": preset.name}, shown=set_values(preset.policy)))
    parts += _rest(preset)
    parts.append(_section("limits", LimitsConfig, {}, shown=set_values(preset.limits)))
    parts.append(_section("paper", PaperConfig, {}))
    parts.append(_section("engine", EngineConfig, {}))
    if store and (grid := _grid(preset)):
        parts.append(grid)
    return "\n".join(parts)


def _rest(preset: Preset) -> Iterator[str]:
    """Numbers of the rule and of the detectors, which only the preset has."""
    if preset.policy.parameters:
        yield _plain("policy.parameters", preset.policy.parameters)
    if detector := set_values(preset.detector):
        yield _plain("detector", detector)
    for name, values in preset.detectors.items():
        yield _plain(f"detectors.{name}", values)


def _plain(title: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"# [{title}]", *(f"# {key} = {_toml(plain(value))}" for key, value in values.items())]) + "\n"


def _section(
    title: str,
    section: type,
    given: Mapping[str, Any],
    *,
    shown: Mapping[str, Any] = MappingProxyType({}),
    only: Sequence[str] | None = None,
    skip: Sequence[str] = (),
) -> str:
    """One table: what is given as it is, the rest commented. shown: values that hold instead of the defaults."""
    lines = [f"[{title}]", *(f"{key} = {_toml(value)}" for key, value in given.items())]
    for one in dataclasses.fields(section):
        if not one.metadata or "rule" not in one.metadata or one.name in given or one.name in skip or only is not None and one.name not in only:
            continue
        value = shown.get(one.name, written(one))
        if value is not None:
            line = f"# {one.name} = {_toml(value)}"
            lines.append(f"{line:<34}# {one.metadata['rule'].expected}")
    return "\n".join(lines) + "\n"


def _grid(preset: Preset) -> str:
    """A small grid around the preset's own distances, so that `liqcore sweep` has something to do."""
    lines = []
    for key in TAKEN:
        value = getattr(preset.policy, key)
        if value:
            lines.append(f"{key} = {_toml([float(Decimal(value) / SCALE * Decimal(times)) for times in ('0.5', '1', '1.5', '2')])}")
    return "\n".join(["# every combination of these is tried by `liqcore sweep`", "[sweep.policy]", *lines]) + "\n" if lines else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, float):
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.15g}")
    return json.dumps(value)
