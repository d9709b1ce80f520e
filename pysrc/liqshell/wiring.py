"""Which policies, detectors and features a run is made of: what [policy], [detectors.NAME] and the presets say together, as plain values.

The numbers of a bracket are config.py's; here is everything that a rule needs besides. What is wrong is reported by file and key.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from liqcore.feature import Features
from liqcore.registry import KINDS, make_detector, settled
from liqcore.registry import parameters as parameters_of
from liqshell.errors import ConfigError
from liqshell.policies import RULES
from liqshell.toml import decode, plain, shown

CASCADE = "cascade"         # the detector of [detector]: always there by this name, made only where somebody listens to it
Tables = Mapping[str, Mapping[str, Any]]


def parameters(rule: str, layers: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """The numbers of a rule, the last layer that says one wins; as plain values. A rule in a file of the user's judges its own."""
    found: dict[str, Any] = {}
    for layer in layers:
        found |= layer or {}
    if rule not in RULES:
        return {name: plain(value) for name, value in found.items()}
    problems: list[ConfigError] = []
    read = decode(RULES[rule].numbers_type, found, f"rule {rule}", "parameters", problems)
    out = dataclasses.asdict(read)
    problems += [ConfigError(f"rule {rule}: parameters.{name}", "not set") for name, value in out.items() if value is None]
    if problems:
        raise ConfigError(f"rule {rule}", problems=problems)
    return out


def parameter_problems(rule: str, found: Mapping[str, Any] | None, file: str, path: str) -> list[ConfigError]:
    """What is wrong with one table of parameters."""
    problems: list[ConfigError] = []
    if found and rule in RULES:
        decode(RULES[rule].numbers_type, found, file, path, problems)
        for name, value in found.items():
            if name.startswith("feature_") and isinstance(value, str):
                problems += feature_problems((value,), file, f"{path}.{name}")
    return problems


def detectors(layers: Sequence[tuple[str, Tables]]) -> dict[str, dict[str, Any]]:
    """Detectors by name. layers: (where it is said, its tables), presets first and the configuration last: there, a table changes what a preset
    says of the same name, or adds a detector. Two presets may share a detector; they may not mean two by one name."""
    out: dict[str, dict[str, Any]] = {}
    said_by: dict[str, str] = {}
    for n, (where, found) in enumerate(layers):
        for name, table in found.items():
            told = {key: plain(value) for key, value in table.items()}
            if n == len(layers) - 1:
                known = out.get(name, {})
                out[name] = known | told if told.get("kind", known.get("kind")) == known.get("kind") else told
            elif out.setdefault(name, told) != told:
                raise ConfigError(f"[detectors.{name}]", f"preset {where} means another detector than preset {said_by[name]}",
                                  "one meaning of a name", "Give [policy.symbols] presets that agree, or run them one after the other")
            said_by.setdefault(name, where)
    return out


def detector_problems(found: Mapping[str, Mapping[str, Any]], file: str) -> list[ConfigError]:
    """What is wrong with detectors as they are after merging; each is made once to see it."""
    out: list[ConfigError] = []
    for name, told in found.items():
        here = f"{file}: detectors.{name}"
        if name == CASCADE:
            out.append(ConfigError(here, "the cascade detector has a section of its own", "", "Set it in [detector]"))
            continue
        if told.get("kind") not in KINDS:
            near = difflib.get_close_matches(str(told.get("kind")), KINDS, 1)
            wrong = f"found {shown(told['kind'])}" if "kind" in told else "not set, and no preset of this run has a detector of this name"
            out.append(ConfigError(f"{here}.kind", wrong, f"one of {', '.join(map(repr, KINDS))}", f"Did you mean {near[0]!r}?" if near else ""))
            continue
        wrong_keys = _detector_keys(here, told["kind"], {key: value for key, value in told.items() if key != "kind"})
        try:
            if not wrong_keys:
                make_detector(name=name, **told)
        except (ValueError, TypeError) as why:          # what several of them say together
            wrong_keys.append(ConfigError(here, str(why)))
        out += wrong_keys
    return out


def _detector_keys(here: str, kind: str, told: Mapping[str, Any]) -> list[ConfigError]:
    """What is wrong with single parameters of a detector."""
    known, out = {row.name: row for row in parameters_of(kind)}, []
    for key, value in told.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            out.append(ConfigError(f"{here}.{key}", "unknown key", "", f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}"))
            continue
        try:
            settled(kind, (known[key],), {key: value})
        except ValueError:
            out.append(ConfigError(f"{here}.{key}", f"found {shown(value)}", known[key].accepts))
    return out


def feature_problems(names: Iterable[str], file: str, path: str) -> list[ConfigError]:
    """Names that are no features."""
    out = []
    for name in names:
        try:
            Features((name,))
        except ValueError as why:
            out.append(ConfigError(f"{file}: {path}", str(why)))
    return out
