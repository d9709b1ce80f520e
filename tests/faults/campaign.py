"""Many seeds, one after the other or on several cores, with a line of progress and a summary that can be read by a program."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import script as scripts
from .laws import LAWS
from .selfcheck import of_runs
from .states import STATES, missing
from .world import Outcome, run

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Summary:
    """Of a campaign. worst_naked_s: the longest that any position was without a stop."""

    commit: str
    seeds: int = 0
    hours: float = 0.0
    cpu_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    worst_naked_s: float = 0.0
    violations: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    starts: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)
    due: Counter[str] = field(default_factory=Counter)  # faults that waited for nothing, by kind
    digests: set[str] = field(default_factory=set)
    second: int = 0

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.second += scripts.is_second(outcome.seed)
        self.hours += outcome.hours
        self.cpu_s += outcome.cpu_s
        self.counts.update(outcome.counts)
        self.fired.update(outcome.fired)
        self.worst_naked_s = max(self.worst_naked_s, outcome.worst_naked_s)
        self.states.update(outcome.states)
        self.starts += outcome.starts
        self.asked.update(outcome.asked)
        self.digests.add(outcome.digest)
        if outcome.violation is None:
            self.due.update(
                fault.kind
                for fault in scripts.draw(outcome.seed, outcome.asked_hours).faults
                if fault.on == "time" and fault.at_s < outcome.hours * 3600.0 - scripts.QUIET_S - 20.0
            )
        if outcome.disagreement:
            self.disagreements.append(f"seed {outcome.seed}: {outcome.disagreement}")
        if outcome.violation is not None:
            found = outcome.violation
            self.violations.append(
                {
                    "seed": outcome.seed,
                    "law": found.law,
                    "at_s": found.at_s,
                    "text": found.text,
                    "tail": outcome.tail,
                    "reproduce": f"python -m tests.faults reproduce {outcome.seed} --hours {outcome.asked_hours:g}",
                }
            )

    def line(self) -> str:
        per_hour = self.cpu_s / self.hours if self.hours else 0.0
        c = self.counts
        return (
            f"{self.seeds} seeds, {self.hours:.1f} h, {c['entries']} entries, {c['fills']} fills, {c['kills']} kills, "
            f"{sum(self.fired.values())} faults, "
            f"{len(self.violations)} violations, {per_hour:.3f} s CPU an hour"
        )

    def to_json(self) -> str:
        return json.dumps(
            {
                "commit": self.commit,
                "seeds": self.seeds,
                "hours": round(self.hours, 3),
                "cpu_s": round(self.cpu_s, 1),
                "seconds": round(self.seconds, 1),
                "counts": dict(sorted(self.counts.items())),
                "faults": dict(sorted(self.fired.items())),
                "worst_naked_s": round(self.worst_naked_s, 3),
                "starts_s": self.start_quantiles(),
                "states": {name: self.states[name] for name in STATES},
                "missing": self.missing(),
                "blind": self.blind(),
                "asked": {name: self.asked[name] for name in LAWS},
                "off": [name for name, law in LAWS.items() if not law.on],
                "disagreements": self.disagreements,
                "violations": self.violations,
            },
            indent=1,
        )

    def start_quantiles(self) -> dict[str, float]:
        """Seconds from the birth of a process, or the end of the faults after it, until all its gates were open."""
        found = sorted(self.starts)
        return {f"p{q}": round(found[min(len(found) - 1, len(found) * q // 100)], 3) for q in (50, 95, 100)} if found else {}

    def missing(self) -> dict[str, int]:
        """States that have not been reached often enough; those of the second campaign are asked of its seeds alone."""
        return missing(self.states, self.hours) if self.second == self.seeds else {}

    def blind(self) -> list[str]:
        """Where the campaign has not looked, in words."""
        return of_runs(self)


def commit() -> str:
    """seed + commit is a bug report; "+" where the tree has changes."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _one(task: tuple[int, float, tuple[str, ...]]) -> Outcome:
    seed, hours, only = task
    return run(scripts.draw(seed, hours, only=only))


def outcomes(seeds: Iterable[int], hours: float, workers: int = 1, only: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Runs in order of the seeds. only: see script.draw."""
    tasks = [(seed, hours, only) for seed in seeds]
    if workers <= 1:
        yield from map(_one, tasks)
        return
    # (a ProcessPoolExecutor with max_tasks_per_child stands still for ever on Python 3.11 and 3.12 when its children are used up)
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=50) as pool:
        yield from pool.imap(_one, tasks)


def campaign(
    seeds: Iterable[int],
    hours: float,
    *,
    workers: int = 1,
    seconds_max: float = float("inf"),
    violations_max: int = 20,
    progress: bool = False,
    only: tuple[str, ...] = (),
) -> Summary:
    """Run the seeds until they, the time, or the number of violations worth looking at are used up. only: these kinds of faults."""
    summary = Summary(commit())
    began = time.perf_counter()
    for outcome in outcomes(seeds, hours, workers, only):
        summary.add(outcome)
        summary.seconds = time.perf_counter() - began
        if progress and outcome.violation is not None:
            print(f"seed {outcome.seed}: {outcome.violation}"[:400], file=sys.stderr, flush=True)
        if progress:
            end = "\n" if not sys.stderr.isatty() and summary.seeds % 25 == 0 else "\r" if sys.stderr.isatty() else ""
            if end:
                print(summary.line(), end=end, file=sys.stderr, flush=True)
        if summary.seconds >= seconds_max or len(summary.violations) >= violations_max:
            break
    if progress:
        print(summary.line(), file=sys.stderr)
    return summary
