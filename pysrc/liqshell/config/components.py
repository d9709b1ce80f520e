"""The policies, detectors and features of a run: [policy], [detectors.NAME] and the presets merged, as plain values.

load.py has the numbers of a bracket, this module everything else that a rule needs. What is wrong is reported by file and key.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import liqcore as lc
from liqcore.detectors import registry
from liqcore.detectors.parameters import Table, own_table, resolve_parameters
from liqcore.detectors.python_detector import PythonDetector
from liqcore.detectors.registry import KINDS
from liqcore.features.features import Features
from liqcore.features.spec import parse
from liqshell import plugins
from liqshell.config.sections import code_problems
from liqshell.errors import ConfigError
from liqshell.fields import decode, plain, shown
from liqshell.plugins import DETECTOR, FEATURE
from liqshell.policies import RULES

CASCADE = "cascade"  # the detector of [detectors.cascade], for short [detector]: made only where somebody listens to it
Tables = Mapping[str, Mapping[str, Any]]


def parameters(rule: str, layers: Iterable[Mapping[str, Any] | None], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The numbers of a rule, the last layer that says one wins; as plain values. given: what other sections say, for a rule that asks for it. A rule
    in a file of the user's judges its own."""
    found: dict[str, Any] = {}
    if given and rule in RULES:
        found |= {f.name: given[f.name] for f in dataclasses.fields(RULES[rule].numbers_type) if f.name in given}
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
    """Problems of one table of parameters."""
    problems: list[ConfigError] = []
    if found and rule in RULES:
        decode(RULES[rule].numbers_type, found, file, path, problems)
        for name, value in found.items():
            if name.startswith("feature_") and isinstance(value, str):
                problems += feature_problems((value,) if not value.startswith("own.") else (), file, f"{path}.{name}")
    return problems


def detectors(layers: Sequence[tuple[str, Tables]]) -> dict[str, dict[str, Any]]:
    """Detectors by name. layers: (place, tables), presets first and the configuration last: its tables change a preset's detector of the same name or
    add one. Two presets may share a detector; they may not mean two by one name."""
    out: dict[str, dict[str, Any]] = {}
    stated_by: dict[str, str] = {}
    for n, (where, found) in enumerate(layers):
        for name, table in found.items():
            stated = {key: plain(value) for key, value in table.items()}
            if n == len(layers) - 1:
                known = out.get(name, {})
                out[name] = known | stated if stated.get("kind", known.get("kind")) == known.get("kind") else stated
            elif out.setdefault(name, stated) != stated:
                raise ConfigError(
                    f"[detectors.{name}]",
                    f"preset {where} defines this detector differently from preset {stated_by[name]}",
                    "one definition of a name",
                    "Choose presets with the same definition in [policy.symbols], or run them one after the other",
                )
            stated_by.setdefault(name, where)
    return out


def recorded_detectors(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of settings of a run: its detectors in the order of their numbers, as arguments of liqcore.detectors.registry.make_detector."""
    cascade = values.get(CASCADE)
    return [*([{"kind": CASCADE, "name": CASCADE, **cascade}] if isinstance(cascade, Mapping) else []), *(values.get("detectors") or ())]


def parameters_of(kind: str, key: str = "kind") -> Table:
    """The parameters of a kind of detector: one of liqcore's kinds, or a user's class. ConfigError where there is no such class."""
    return registry.parameters(kind) if _ships(kind) else own_table(kind, plugins.load(kind, DETECTOR, key).PARAMETERS)


def _ships(kind: str) -> bool:
    """Whether liqcore ships detectors of this kind: then no entry point of its name is looked at."""
    if kind in KINDS:
        plugins.warn_hidden(DETECTOR, kind)
    return kind in KINDS


def make_detector(kind: str, name: str, sha256: str | None = None, **params: Any) -> lc.Detector:
    """A detector of a run from its settings. sha256: of the file of a class of the user's, None = whatever it is now."""
    if _ships(kind):
        return lc.make_detector(kind, name, **params)
    key = f"detectors.{name}"
    own = plugins.load(kind, DETECTOR, f"{key}.kind", sha256)
    try:
        return PythonDetector(own, name, params, kind)
    except BaseException as why:
        raise ConfigError(f"[{key}] {kind}", f"cannot be made: {plugins.fault(why, kind.rpartition(':')[0])}") from why


def own_detectors(specs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Kinds among these detectors that are classes of the user's."""
    return [one["kind"] for one in specs if one["kind"] not in KINDS]


def with_digest(spec: dict[str, Any]) -> dict[str, Any]:
    """A detector's settings with the SHA-256 of its file, where it is a class of the user's."""
    if spec["kind"] in KINDS:
        return spec
    return spec | {"sha256": plugins.digest_of(spec["kind"], DETECTOR, f"detectors.{spec['name']}.kind")}


def _own_problems(here: str, name: str, spec: Mapping[str, Any]) -> list[ConfigError]:
    """Problems of a user's detector: its class, its parameters, and whether an engine accepts it."""
    kind = str(spec["kind"])
    try:
        wrong = _detector_keys(here, kind, {key: value for key, value in spec.items() if key != "kind"})
        if not wrong:
            lc.Standalone(make_detector(name=name, **spec))
    except ConfigError as why:
        file = "" if why.where.startswith(("detectors.", "kind")) else f"{why.where}: "
        return [ConfigError(f"{here}.kind", f"{file}{why.found}", why.expected, why.action)]
    except BaseException as why:  # of the user's code: its start(), or what it says of its deadline
        return [ConfigError(here, f"{kind} cannot be started: {plugins.fault(why, kind.rpartition(':')[0])}")]
    return wrong


def detector_problems(found: Mapping[str, Mapping[str, Any]], file: str) -> list[ConfigError]:
    """Problems of the merged detectors; each is constructed once as a check."""
    out: list[ConfigError] = []
    for name, spec in found.items():
        here = f"{file}: detectors.{name}"
        if name == CASCADE:
            out.append(
                ConfigError(
                    f"{here}.kind",
                    f"found {shown(spec.get('kind'))}",
                    f"{CASCADE!r}, or no kind: the name is reserved for it",
                    "Give a detector of another kind another name",
                )
            )
            continue
        kind = spec.get("kind")
        if isinstance(kind, str) and plugins.is_file(kind):
            if Path(kind).is_absolute():  # else it is not known here where its path counts from
                out += _own_problems(here, name, spec)
            continue
        if kind in plugins.names(DETECTOR):
            out += _own_problems(here, name, spec)
            continue
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, KINDS, 1) if isinstance(kind, str) else []
            wrong = f"found {shown(spec['kind'])}" if "kind" in spec else "not set, and no preset of this run has a detector of this name"
            out.append(
                ConfigError(
                    f"{here}.kind", wrong, f"one of {', '.join(map(repr, KINDS))}, or 'file.py:Class'", f"Did you mean {near[0]!r}?" if near else ""
                )
            )
            continue
        wrong_keys = _detector_keys(here, kind, {key: value for key, value in spec.items() if key != "kind"})
        try:
            if not wrong_keys:
                make_detector(name=name, **spec)
        except (ValueError, TypeError) as why:  # what several of them say together
            wrong_keys.append(ConfigError(here, str(why)))
        out += wrong_keys
    return out


def _detector_keys(here: str, kind: str, spec: Mapping[str, Any]) -> list[ConfigError]:
    """Problems of single parameters of a detector."""
    known, out = {row.name: row for row in parameters_of(kind)}, []
    for key, value in spec.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            out.append(
                ConfigError(
                    f"{here}.{key}", "unknown key", "", f"Did you mean {near[0]!r}?" if near else f"Known names: {', '.join(known) or 'none'}"
                )
            )
            continue
        try:
            resolve_parameters(kind, (known[key],), {key: value})
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
            continue
        if parse(name).never:
            out.append(ConfigError(f"{file}: {path}", parse(name).never))
    return out


def make_feature(name: str, code: str, sha256: str | None = None) -> lc.CustomFeature:
    """A feature of the user's, known as own.NAME, from the settings of a run. code: file.py:function, or an entry point."""
    key = f"features.own.{name}"
    found = plugins.load(code, FEATURE, key, sha256)
    try:
        return lc.CustomFeature(f"own.{name}", found)
    except BaseException as why:
        raise ConfigError(f"{key} = {code!r}", plugins.fault(why, code.rpartition(":")[0])) from why


def own_features(own: Mapping[str, Any]) -> list[dict[str, str]]:
    """Arguments of make_feature, with the SHA-256 of each file."""
    return [{"name": name, "code": str(code), "sha256": plugins.digest_of(str(code), FEATURE, f"features.own.{name}")} for name, code in own.items()]


def own_feature_problems(own: Mapping[str, Any], file: str) -> list[ConfigError]:
    """Problems of [features.own]."""
    placed = {
        name: code
        for name, code in own.items()
        if not isinstance(code, str) or not plugins.is_file(code) or Path(code.rpartition(":")[0]).is_absolute()
    }
    return code_problems(placed, file, "features.own", "'file.py:function'", make_feature)
