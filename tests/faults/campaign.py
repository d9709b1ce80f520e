"""Many seeds, one after the other or on several cores, with a line of progress and a summary that can be read by a program."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import script as scripts
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

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.hours += outcome.hours
        self.cpu_s += outcome.cpu_s
        self.counts.update(outcome.counts)
        self.fired.update(outcome.fired)
        self.worst_naked_s = max(self.worst_naked_s, outcome.worst_naked_s)
        if outcome.violation is not None:
            found = outcome.violation
            self.violations.append({"seed": outcome.seed, "law": found.law, "at_s": found.at_s, "text": found.text, "tail": outcome.tail,
                                    "reproduce": f"python -m tests.faults reproduce {outcome.seed} --hours {outcome.asked_hours:g}"})

    def line(self) -> str:
        per_hour = self.cpu_s / self.hours if self.hours else 0.0
        c = self.counts
        return (f"{self.seeds} seeds, {self.hours:.1f} h, {c['entries']} entries, {c['fills']} fills, {c['kills']} kills, {sum(self.fired.values())} faults, "
                f"{len(self.violations)} violations, {per_hour:.3f} s CPU an hour")

    def to_json(self) -> str:
        return json.dumps({"commit": self.commit, "seeds": self.seeds, "hours": round(self.hours, 3), "cpu_s": round(self.cpu_s, 1),
                           "seconds": round(self.seconds, 1), "counts": dict(sorted(self.counts.items())), "faults": dict(sorted(self.fired.items())),
                           "worst_naked_s": round(self.worst_naked_s, 3), "violations": self.violations}, indent=1)


def commit() -> str:
    """seed + commit is a bug report; "+" where the tree has changes."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _one(task: tuple[int, float]) -> Outcome:
    seed, hours = task
    return run(scripts.draw(seed, hours))


def outcomes(seeds: Iterable[int], hours: float, workers: int = 1) -> Iterator[Outcome]:
    """Runs in order of the seeds."""
    tasks = [(seed, hours) for seed in seeds]
    if workers <= 1:
        yield from map(_one, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=50) as pool:
        yield from pool.map(_one, tasks)


def campaign(seeds: Iterable[int], hours: float, *, workers: int = 1, seconds_max: float = float("inf"), violations_max: int = 20,
             progress: bool = False) -> Summary:
    """Run the seeds until they, the time, or the number of violations worth looking at are used up."""
    summary = Summary(commit())
    began = time.perf_counter()
    for outcome in outcomes(seeds, hours, workers):
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
