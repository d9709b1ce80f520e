"""Every run, sweep and comparison under a folder: its settings, its result, and the differences between two of them.

Read from what they left: run.json with report.json, sweep.json with summary.json, compare.json. Nothing is kept besides.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from liqshell.errors import ConfigError, DataError
from liqshell.fields import SCALE
from liqshell.recording import journal
from liqshell.report.verdicts import Measured, bps, of_mean

DEPTH = 4
#: what each kind is known by, and everything that it may hold: a folder that holds anything else is not deleted
LEAVES = {
    "run": {
        "run.json",
        "run.json.new",
        "audit.bin",
        "truth.json",
        "frames",
        "study.json",
        "report.html",
        "report.json",
        "trades.csv",
        "trades.parquet",
        "returns.npy",
        "gate.json",
        "gate.html",
    },
    "sweep": {"sweep.json", "sweep.json.new", "sweep.parquet", "sweep.html", "summary.json", "parts", "rows"},
    "compare": {"compare.json", "compare.html", "compare.csv", "events.csv", "runs"},
}
KNOWN_BY = {"run": "run.json", "sweep": "sweep.json", "compare": "compare.json"}
RESULT = {"run": "report.json", "sweep": "summary.json", "compare": "compare.json"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One of them. name: its folder, seen from where the search began. what: mode of a run, else "sweep" or "compare". result: net bps of a trade,
    with n and interval; verdict: its verdict, or why there is none. settings: by dotted name, to be compared."""

    name: str
    folder: Path
    kind: str
    what: str
    preset: str = ""
    symbols: tuple[str, ...] = ()
    started_ns: int = 0
    ended_ns: int = 0
    data: str = ""
    synthetic: bool = False
    bytes: int = 0
    verdict: str = ""
    result: Measured = Measured(None)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        r, plain = self.result, {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name not in ("result", "settings")}
        plain |= {"folder": str(self.folder), "symbols": list(self.symbols)}
        return plain | {"net_bps": r.value, "low_bps": r.low, "high_bps": r.high, "trades": r.n}


def index(root: str | Path) -> list[Entry]:
    """All under a folder, the newest market time last. DataError where there is no such folder; what cannot be read says so in its verdict."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(str(root), "no such folder", "a folder with runs, such as [run] out")
    return sorted((_entry(root, folder, kind) for folder, kind in _found(root, DEPTH)), key=lambda e: (e.ended_ns, e.name))


def _found(folder: Path, depth: int) -> Iterator[tuple[Path, str]]:
    kind = next((kind for kind, name in KNOWN_BY.items() if (folder / name).is_file()), "")
    if kind:
        yield folder, kind
    if depth:
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink() and inner.name not in ("frames", "parts"):
                yield from _found(inner, depth - 1)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _entry(root: Path, folder: Path, kind: str) -> Entry:
    about, result = _json(folder / KNOWN_BY[kind]), _json(folder / RESULT[kind])
    name = "." if folder == root else folder.relative_to(root).as_posix()
    read = {"run": _run, "sweep": _sweep, "compare": _compare}[kind]
    try:
        values = read(about, result)
    except (KeyError, TypeError, AttributeError) as why:
        values = {"verdict": f"cannot be read: {why!r}"}
    if kind == "run" and (damage := journal.damage_of(folder, about, whole=False)):  # every byte is looked at where results are compared
        values["verdict"] = f"DAMAGED: {damage}. {values['verdict']}"
    held = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return Entry(name=name, folder=folder, kind=kind, bytes=held, **({"what": kind} | values))


def _run(run: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    mean = of_mean(report["per_trade"]) if report else Measured(None, why="no report.json")
    verdict = report.get("verdict", "") if report else "no report.json: the run was cut off, or its report was not made"
    if run.get("finished") is False:
        verdict = "UNFINISHED. " + verdict
    return {
        "what": str(run.get("mode", "run")),
        "preset": str(run.get("preset") or ""),
        "symbols": tuple(i["symbol"] for i in run.get("instruments", ())),
        "started_ns": int(run.get("started_ns") or 0),
        "ended_ns": int(run.get("ended_ns") or 0),
        "data": str(run.get("data_hash") or ""),
        "synthetic": bool(run.get("synthetic")),
        "verdict": verdict,
        "result": mean,
        "settings": dict(_flat(run.get("config") or {})),
    }


def _sweep(plan: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    settings = plan["plan"]["settings"]
    return {
        "preset": str(settings.get("rule") or ""),
        "symbols": tuple(i["symbol"] for i in settings["instruments"]),
        "data": plan["plan"]["data"],
        "synthetic": bool(summary.get("synthetic")),
        "verdict": summary.get("verdict", "not finished"),
        "settings": dict(_flat({"axes": summary.get("axes", {})})),
    }


def _compare(found: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return {
        "preset": ", ".join(r["preset"] for r in found["presets"]),
        "symbols": tuple(found["symbols"]),
        "started_ns": found["started_ns"],
        "ended_ns": found["ended_ns"],
        "data": found["data"],
        "synthetic": found["synthetic"],
        "verdict": found["conclusion"],
    }


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def search(found: Iterable[Entry], terms: Sequence[str]) -> list[Entry]:
    """Those in which every word is found: in name, kind, mode, preset, symbols or verdict; or KEY=VALUE of the settings, such as
    policy.take_profit=0.002."""

    def holds(e: Entry, term: str) -> bool:
        key, equals, value = term.partition("=")
        if equals:
            return any(name.endswith(key) and _shown(name, held) == value for name, held in e.settings.items())
        text = " ".join((e.name, e.kind, e.what, e.preset, *e.symbols, e.data, e.verdict, "synthetic" if e.synthetic else "real"))
        return term.lower() in text.lower()

    return [e for e in found if all(holds(e, term) for term in terms)]


def _shown(name: str, value: Any) -> str:
    """A setting as the file has it."""
    if isinstance(value, int) and not isinstance(value, bool) and name.rpartition(".")[2] in _fractions():
        value /= SCALE
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _fractions() -> frozenset[str]:
    """Names of the settings that are kept in units of 1e-8."""
    from liqshell.config import sections

    tables = [one for one in vars(sections).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]
    rules = [(f.name, f.metadata["rule"]) for one in tables for f in dataclasses.fields(one) if "rule" in f.metadata]
    return frozenset(name for name, rule in rules if "a fraction" in rule.expected)


def named(found: Sequence[Entry], name: str) -> Entry:
    """The one of that name, or of a folder's path. ConfigError where there is none, or several."""
    mine = [e for e in found if name in (e.name, str(e.folder), Path(e.name).name) or Path(name).resolve() == e.folder.resolve()]
    if len(mine) != 1:
        raise ConfigError(
            name,
            "several have that name" if mine else "no run, sweep or comparison has that name",
            ", ".join(e.name for e in mine or found) or "one from the list of `liqcore runs`",
        )
    return mine[0]


def differences(found: Sequence[Entry]) -> dict[str, list[str]]:
    """Settings in which they differ, name -> their values in order; where each keeps its results is none."""
    names = dict.fromkeys(name for e in found for name in e.settings)
    out = {name: [_shown(name, e.settings[name]) if name in e.settings else "not set" for e in found] for name in names}
    return {name: values for name, values in out.items() if len(set(values)) > 1 and not name.startswith(("run.", "data."))}


def damage(found: Sequence[Entry]) -> dict[str, str]:
    """Runs whose audit stream is not what their run.json says, by name: what their results were made from cannot be looked at any more."""
    return {e.name: text for e in found if e.kind == "run" and (text := journal.damage_of(e.folder, _json(e.folder / KNOWN_BY["run"])))}


def beside(found: Sequence[Entry]) -> str:
    """Statements that a comparison of several results allows."""
    traded = [e for e in found if e.result.value is not None]
    text = "; ".join(f"{e.name} {e.result.describe(bps, ' bps a trade')}" for e in traded) or "none of them has a trade"
    if len({e.data for e in found}) > 1:
        return f"{text}. Their data differ, so a difference between them does not come from the settings alone."
    spans = [(e.result.low, e.result.high) for e in traded if e.result.low is not None and e.result.high is not None and not e.result.missing]
    if len(spans) < 2:
        return f"{text}. Fewer than two of them have enough trades to show a difference."
    apart = max(low for low, _ in spans) > min(high for _, high in spans)
    return (
        f"{text}. "
        + ("The intervals of at least two do not overlap." if apart else "Their intervals overlap: no difference is shown.")
        + " They trade on the same events, and the best of several overstates what will follow."
    )


def delete(entry: Entry) -> None:
    """Remove its folder. ConfigError where it holds anything that no run, sweep or comparison leaves, or where it is running."""
    strange = sorted(item.name for item in entry.folder.iterdir() if item.name not in LEAVES[entry.kind])
    if strange:
        raise ConfigError(
            str(entry.folder), f"holds {', '.join(strange[:4])}, which no {entry.kind} writes", f"the folder of a {entry.kind}", "Remove it by hand"
        )
    if entry.kind == "run" and entry.what in ("live", "paper") and not journal.load_manifest(entry.folder).get("ended_ns"):
        raise ConfigError(str(entry.folder), "has no end; it may still run", "a run that has ended", "If it was cut off, remove it by hand")
    shutil.rmtree(entry.folder)


def size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.0f} kB"


def page_of(entry: Entry) -> str:
    """The page to open, "" where there is none."""
    name = {"run": "report.html", "sweep": "sweep.html", "compare": "compare.html"}[entry.kind]
    return os.fspath(entry.folder / name) if (entry.folder / name).is_file() else ""
