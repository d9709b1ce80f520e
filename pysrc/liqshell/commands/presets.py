"""`liqcore presets`."""

import dataclasses
import json
import textwrap
from typing import Annotated

from cyclopts import Parameter

from liqshell.config import Preset
from liqshell.config import presets as load_presets
from liqshell.errors import ConfigError
from liqshell.sections import DetectorConfig, LimitsConfig, PolicyOverride
from liqshell.toml import SCALE, plain

WIDTH = 100


def presets(*names: str, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """The policies that ship: where each comes from, its exact numbers, and how good its evidence is.

    claimed: its author says so. contradicted: checks speak against it. verified: it held on your own recording.

    Parameters
    ----------
    names
        Presets to show; all where none is named.
    as_json
        One JSON object a preset, fractions as numbers.
    """
    known = load_presets()
    for name in names:
        if name not in known:
            raise ConfigError("presets", f"no preset is called {name!r}", f"one of {', '.join(known)}")
    for name in names or known:
        if as_json:
            print(json.dumps(_plain(known[name])))
        else:
            _print(known[name])
    return 0


def _section(section: DetectorConfig | PolicyOverride | LimitsConfig) -> dict[str, object]:
    """What a preset sets, fractions as numbers again."""
    out: dict[str, object] = {}
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if value is None or "rule" not in item.metadata or item.name == "parameters":
            continue
        out[item.name] = value / SCALE if item.metadata["rule"].expected.startswith("a fraction") else value
    return out


def _sections(preset: Preset) -> dict[str, dict[str, object]]:
    """Everything a preset says in numbers, by the section of a configuration where it could be said otherwise."""
    out = {"detector": _section(preset.detector)}
    out |= {f"detectors.{name}": plain(told) for name, told in preset.detectors.items()}
    out |= {"policy": _section(preset.policy), "policy.parameters": plain(preset.policy.parameters or {})}
    return out | {"limits": {name: value for name, value in _section(preset.limits).items() if value != _section(LimitsConfig())[name]}}


def _plain(preset: Preset) -> dict[str, object]:
    return {"name": preset.name, "grade": preset.grade, "rule": preset.rule, "source": preset.source, "summary": preset.summary,
            "evidence": preset.evidence.strip(), **_sections(preset)}


def _word(value: object) -> str:
    """A number or word as TOML would have it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:.15g}" if isinstance(value, float) else str(value)


def _print(preset: Preset) -> None:
    print(f"{preset.name}  [{preset.grade.upper()}]  from {preset.source}")
    print(textwrap.fill(preset.summary, WIDTH, initial_indent="  ", subsequent_indent="  "))
    for title, values in _sections(preset).items():
        if values:
            text = ", ".join(f"{name} {_word(value)}" for name, value in values.items())
            print(textwrap.fill(text, WIDTH, initial_indent=f"  {title}: ", subsequent_indent="    "))
    print(textwrap.fill(preset.evidence.strip(), WIDTH, initial_indent="  evidence: ", subsequent_indent="    "))
    print()
