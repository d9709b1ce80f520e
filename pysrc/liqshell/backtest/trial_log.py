"""The trial log: every setting tried on a market, so that reports can correct the best of many for selection.

    log = TrialLog("trials.jsonl")
    log.add(Trials(what="sweep", market=market, each=identities, grid={"policy.take_profit": [...]}), daily)
    log.tried(market)                # settings tried on this data, or on data that share a day of the same trades

Settings and data are known by content: a new store of the same data, another folder or another walk over one grid adds no trial. One JSON object a
line, appended whole under a lock; each holds the hash of the line before it. The content of the log at the end of a run is noted beside the run and
in its store, so that the next report names a log that lost lines or is gone. Lines of before (without a chain, by source and time) still count.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liqshell import private
from liqshell.config.load import Config
from liqshell.errors import DataError
from liqshell.input_file import address_of

TRIALS = "trials.jsonl"
HEAD = "trials.head.json"  # beside runs and stores: what the log held last
VARIABLE = "LIQCORE_TRIALS"
DAILY_MAX = 50_000_000  # numbers kept of one sweep


@dataclass(frozen=True)
class Market:
    """Data by its content. data: fingerprint of exactly this data; source: its name; pieces: hashes of the trades of each contract in each whole day
    (or hour) of the span; first_day, days: UTC days that the span touches."""

    data: str
    source: str
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    pieces: frozenset[str] = frozenset()
    first_day: int = 0
    days: int = 0

    def same(self, other: Market) -> bool:
        """Whether both are, in part, the same data. By content if both have it in pieces of one length, else by name, contract and time."""
        if self.data == other.data or self.pieces & other.pieces:
            return True
        if {piece[0] for piece in self.pieces} & {piece[0] for piece in other.pieces}:
            return False
        return bool(
            self.source == other.source and set(self.symbols) & set(other.symbols) and self.start_ns < other.end_ns and other.start_ns < self.end_ns
        )


@dataclass(frozen=True)
class Trials:
    """Settings tried together on one market. what: backtest, sweep, forward. each: a number by which each setting is known (backtest/trials.py); None
    in lines of before, which say only how many `settings` and their `key`. daily: name of the file with their daily results, '' = not kept."""

    what: str
    market: Market
    each: np.ndarray | None
    settings: int
    grid: Mapping[str, Any] = field(default_factory=dict)
    daily: str = ""
    key: str = ""


@dataclass(frozen=True)
class Tried:
    """n: settings tried on a market. each, daily: those whose result of each of its days is kept, (days, settings). problems: what is wrong with the
    log, in sentences: the number may be too small."""

    n: int
    each: np.ndarray
    daily: np.ndarray
    problems: tuple[str, ...] = ()


def digest_of(value: Any) -> str:
    """A short name of settings."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


class TrialLog:
    """The log in one file; it need not exist yet. notes: folders where it is noted what the log held; older: logs of before, which are read and never
    written."""

    def __init__(self, path: str | Path, notes: Sequence[str | Path] = (), older: Sequence[str | Path] = ()):
        self.path, self.notes = Path(path), [Path(folder) for folder in notes]
        self.older = [own for own in map(Path, older) if own != self.path]

    @classmethod
    def of(cls, config: Config) -> TrialLog:
        """The log of a configuration: [run] trials, else $LIQCORE_TRIALS, else one for all that this user tries. It does not lie in a store or among
        runs: those are made anew."""
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        path = config.run.trials or os.environ.get(VARIABLE) or Path(state).expanduser() / "liqcore" / TRIALS
        beside = list(dict.fromkeys(folder for folder in (config.data.store, config.run.out) if folder and not address_of(folder)))
        return cls(path, beside, [Path(folder) / TRIALS for folder in beside])

    @property
    def kept(self) -> Path:
        """Folder of the daily results."""
        return self.path.with_suffix(".daily")

    def add(self, trials: Trials, daily: np.ndarray | None = None) -> None:
        """Append, if it says something new. daily: result of each day and setting, in the order of `each`. OSError as opening a file."""
        each = trials.each if trials.each is not None else np.zeros(0, np.uint64)
        name = digest_of([trials.market.data, hashlib.sha256(each.tobytes()).hexdigest()])
        keep = daily is not None and daily.size <= DAILY_MAX
        private.folder(self.path.parent)
        handle = private.descriptor(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # two runs that end together do not mix their lines, nor break the chain
            lines = self._lines()
            known = [t for t in self._read(self.path, lines) if t.key == name]
            if not known or keep and not any(t.daily for t in known):
                if keep and daily is not None:
                    private.folder(self.kept)
                    with private.opened(self.kept / f"{name}.npy", "wb") as out:
                        np.save(out, daily.astype(np.float32))
                line = self._line(trials, name, each, f"{name}.npy" if keep else "", lines[-1] if lines else "")
                torn = bool(lines) and not self._ends()
                os.write(handle, (b"\n" if torn else b"") + line.encode() + b"\n")
                lines.append(line)
        finally:
            os.close(handle)
        self._note(lines)

    def _line(self, trials: Trials, name: str, each: np.ndarray, daily: str, before: str) -> str:
        market = trials.market
        return json.dumps(
            {
                "at": _now(),
                "before": _hash(before),
                "what": trials.what,
                "data": market.data,
                "source": market.source,
                "symbols": market.symbols,
                "start_ns": market.start_ns,
                "end_ns": market.end_ns,
                "first_day": market.first_day,
                "days": market.days,
                "pieces": sorted(market.pieces),
                "settings": len(each),
                "key": name,
                "each": base64.b64encode(each.astype("<u8").tobytes()).decode(),
                "daily": daily,
                "grid": dict(trials.grid),
            }
        )

    def _lines(self) -> list[str]:
        """All lines of the file, including an incomplete last line."""
        try:
            return [line for line in self.path.read_text().split("\n") if line]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _ends(self) -> bool:
        return self.path.read_bytes().endswith(b"\n")

    def _note(self, lines: Sequence[str]) -> None:
        """Beside runs and stores, as far as they can be written: the last line of the log by its hash. A note that the log contradicts stays."""
        head = json.dumps({"log": str(self.path.resolve()), "lines": len(lines), "head": _hash(lines[-1]) if lines else "", "at": _now()}) + "\n"
        hashes = {_hash(line) for line in lines}
        for folder in self.notes:
            noted = _noted(folder)
            if noted is not None and noted["head"] not in hashes:
                continue
            try:
                private.folder(folder)
                private.write(folder / f"{HEAD}.{os.getpid()}", head)
                (folder / f"{HEAD}.{os.getpid()}").replace(folder / HEAD)
            except OSError:
                continue  # a store on a read-only disk: the folder of runs has it

    def __iter__(self) -> Iterator[Trials]:
        yield from self._read(self.path, self._lines())

    @staticmethod
    def _read(path: Path, lines: Sequence[str]) -> Iterator[Trials]:
        for number, line in enumerate(lines, 1):
            try:
                yield _trials(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as why:
                # the torn line of a killed run: nothing follows it, or what does was written knowing it
                if number == len(lines) or f'"before": "{_hash(line)}"' in lines[number]:
                    continue
                raise DataError(
                    f"{path}:{number}",
                    f"not a line of the trial log ({why})",
                    "what liqcore appended",
                    "Repair the line; without it the number of trials is wrong",
                ) from None

    def problems(self) -> list[str]:
        """The faults of the log, as sentences."""
        lines, out = self._lines(), []
        hashes = [_hash(line) for line in lines]
        for number in range(len(lines)):
            at = lines[number].find('"before": "')
            if at >= 0 and lines[number][at + 11 :].partition('"')[0] != (hashes[number - 1] if number else _hash("")):
                out.append(f"the trial log {self.path} was changed before line {number + 1}: trials may be missing")
        for folder in self.notes:
            noted = _noted(folder)
            if noted is not None and noted["head"] not in hashes:
                where = "it" if noted["log"] == str(self.path.resolve()) else f"another log, {noted['log']},"
                out.append(
                    f"the trial log {self.path} {'lacks lines' if lines else 'is empty or gone'}: {where} had {noted['lines']} when a run "
                    f"ended at {noted['at']}. Earlier trials no longer count (remove {folder / HEAD} to begin again)"
                )
        return list(dict.fromkeys(out))

    def tried(self, market: Market) -> Tried:
        """All that was tried on this market, whatever the span or folder."""
        each: list[np.ndarray] = []
        before: dict[tuple[str, int], int] = {}
        kept: dict[int, np.ndarray] = {}
        for t in [*self, *(t for own in self.older for t in TrialLog(own))]:
            if not market.same(t.market):
                continue
            if t.each is None:
                before[t.key, t.settings] = t.settings
                continue
            each.append(t.each)
            found = self._daily(t, market) if t.daily else None
            for column, identity in enumerate(t.each.tolist() if found is not None else ()):
                kept.setdefault(identity, found[:, column])  # type: ignore[index]
        known = np.fromiter(kept, np.uint64, len(kept))
        daily = np.stack(list(kept.values()), axis=1) if kept else np.zeros((market.days, 0), np.float32)
        n = len(np.unique(np.concatenate(each))) if each else 0
        return Tried(n + sum(before.values()), known, daily, tuple(self.problems()))

    def _daily(self, t: Trials, market: Market) -> np.ndarray | None:
        """The days of `market` in kept results; None where they are gone, damaged or do not cover it."""
        skip = market.first_day - t.market.first_day
        if skip < 0 or skip + market.days > t.market.days or t.each is None:
            return None
        try:
            found = np.load(self.kept / Path(t.daily).name, allow_pickle=False)
        except (OSError, ValueError):
            return None
        if found.shape != (t.market.days, len(t.each)) or found.dtype != np.float32 or not np.isfinite(found).all():
            return None
        return np.asarray(found[skip : skip + market.days])


def _noted(folder: Path) -> dict[str, Any] | None:
    """The content of a note about the log; None if it is missing or incomplete."""
    try:
        found = json.loads((folder / HEAD).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"log", "lines", "head", "at"} <= found.keys() else None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:32]


def _trials(found: dict[str, Any]) -> Trials:
    market = Market(
        found["data"],
        found["source"],
        tuple(found["symbols"]),
        int(found["start_ns"]),
        int(found["end_ns"]),
        frozenset(found.get("pieces", ())),
        int(found.get("first_day", 0)),
        int(found.get("days", 0)),
    )
    each = np.frombuffer(base64.b64decode(found["each"], validate=True), "<u8").astype(np.uint64) if "each" in found else None
    if each is not None and len(each) != found["settings"]:
        raise ValueError(f"{len(each)} settings, but {found['settings']} are announced")
    return Trials(found["what"], market, each, int(found["settings"]), found.get("grid", {}), found.get("daily", ""), found["key"])
