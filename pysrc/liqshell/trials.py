"""The trial log: every setting that was ever tried on a market, so that the best of many is not taken for the only one.

    log = TrialLog("runs/trials.jsonl")
    log.add(Trials(what="sweep", data=fingerprint, ..., settings=1200, grid={"policy.take_profit": [...]}))
    log.count(fingerprint, symbols, start_ns, end_ns)     # settings tried on this data, or on the same contracts at overlapping times

One JSON object a line, appended whole. The same grid on the same data, run again, is no new trial.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from liqshell.config import Config
from liqshell.errors import DataError

TRIALS = "trials.jsonl"


@dataclass(frozen=True)
class Trials:
    """Settings tried together. sharpe_sum and sharpe_squares: sums over those whose daily Sharpe ratio (not annualised) exists, sharpe_n of them."""

    what: str                        # backtest, sweep, forward
    data: str                        # fingerprint of exactly this data
    source: str                      # of what it was taken from
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    settings: int
    key: str                         # of the settings: digest_of(...)
    grid: dict[str, Any] = field(default_factory=dict)
    sharpe_n: int = 0
    sharpe_sum: float = 0.0
    sharpe_squares: float = 0.0


def digest_of(value: Any) -> str:
    """A short name of settings."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


class SharpeSums(TypedDict):
    """The last three fields of Trials."""

    sharpe_n: int
    sharpe_sum: float
    sharpe_squares: float


def sharpe_sums(ratios: Sequence[float | None]) -> SharpeSums:
    """Sums of daily Sharpe ratios as Trials keeps them."""
    known = [r for r in ratios if r is not None and math.isfinite(r)]
    return {"sharpe_n": len(known), "sharpe_sum": math.fsum(known), "sharpe_squares": math.fsum(r * r for r in known)}


@dataclass(frozen=True)
class Tried:
    """n settings; sharpe_daily_sd: standard deviation of their daily Sharpe ratios, None below two."""

    n: int
    sharpe_daily_sd: float | None


class TrialLog:
    """The log in one file; it need not exist yet."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def of(cls, config: Config) -> TrialLog:
        """The log of a configuration: in its store, which all that is tried on that data shares; without one in its folder of runs."""
        return cls(Path(config.data.store or config.run.out) / TRIALS)

    def add(self, trials: Trials) -> None:
        """Append, if it is new."""
        if any(known.key == trials.key and known.data == trials.data and known.settings == trials.settings for known in self):
            return
        line = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} | asdict(trials)) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # one write to a file opened for appending: two runs that end together do not mix their lines
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def __iter__(self) -> Iterator[Trials]:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                found = json.loads(line)
                found.pop("at", None)
                yield Trials(**found | {"symbols": tuple(found["symbols"])})
            except (ValueError, TypeError, KeyError) as why:
                if number == len(lines):
                    return                       # a torn last line of a killed run
                raise DataError(f"{self.path}:{number}", f"not a line of the trial log ({why})", "what liqcore appended",
                                "Repair or remove the line; the number of trials would be wrong without it") from None

    def count(self, data: str, source: str, symbols: Sequence[str], start_ns: int, end_ns: int) -> Tried:
        """Settings tried on this data, or on the same source with a contract in common and at overlapping times."""
        n, known, total, squares = 0, 0, 0.0, 0.0
        for t in self:
            same = t.source == source and set(t.symbols) & set(symbols) and t.start_ns < end_ns and start_ns < t.end_ns
            if t.data == data or same:
                n += t.settings
                known, total, squares = known + t.sharpe_n, total + t.sharpe_sum, squares + t.sharpe_squares
        variance = (squares - total * total / known) / (known - 1) if known > 1 else None
        return Tried(n, math.sqrt(max(0.0, variance)) if variance is not None else None)
