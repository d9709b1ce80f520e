"""One interleaved measurement: every contestant takes its turn in every round, so that a noisy second hits all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Run = Callable[[], object]
Prepare = Callable[[int], Run]  # number of items -> a function that processes that many


@dataclass
class Contestant:
    """name: 'ours' or a rival's. prepare(n) returns a function that processes n items. items: fixed count of a batch, None = calibrated."""

    name: str
    prepare: Prepare
    items: int | None = None
    note: str = ""  # what it computes, where that differs from the others


@dataclass
class Case:
    """One comparison. `id` is what figures.py refers to; `unit` is what one item is."""

    id: str
    title: str
    unit: str
    contestants: list[Contestant]
    skipped: dict[str, str] = field(default_factory=dict)


def per_item(function: Callable[[object], object], pool: list) -> Prepare:
    """A contestant that is one Python call an item, over a pool walked round and round; the loop's own cost stays in (see 'empty call')."""
    cursor = 0

    def prepare(n: int) -> Run:
        nonlocal cursor
        batch = [pool[(cursor + i) % len(pool)] for i in range(n)]
        cursor += n

        def run() -> None:
            for item in batch:
                function(item)

        return run

    return prepare


def _timed(run: Run) -> int:
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start


def _calibrated(contestant: Contestant, target_ns: int) -> int:
    """Number of items that takes about target_ns; also warms caches and the contestant's own state."""
    n = 8
    while True:
        elapsed = _timed(contestant.prepare(n))
        if elapsed >= target_ns // 8 or n >= 1 << 22:
            return max(1, min(1 << 22, n * target_ns // max(elapsed, 1)))
        n *= 4


def measure(case: Case, repeats: int, target_ms: float) -> dict:
    """Run the case: `repeats` rounds, about target_ms a sample. Returns the JSON form, ns per item: min, median, max."""
    target_ns = int(target_ms * 1e6)
    items = {c.name: c.items or _calibrated(c, target_ns) for c in case.contestants}
    samples: dict[str, list[float]] = {c.name: [] for c in case.contestants}
    enabled = gc.isenabled()
    gc.disable()
    try:
        for turn in range(repeats):
            start = turn % len(case.contestants)
            for c in case.contestants[start:] + case.contestants[:start]:
                samples[c.name].append(_timed(c.prepare(items[c.name])) / items[c.name])
    finally:
        if enabled:
            gc.enable()
    return {
        "id": case.id,
        "title": case.title,
        "unit": f"ns/{case.unit}",
        "skipped": case.skipped,
        "contestants": {c.name: {**spread(samples[c.name]), "items": items[c.name], "note": c.note} for c in case.contestants},
    }


def spread(samples: list[float]) -> dict[str, float | int]:
    return {"min": min(samples), "median": statistics.median(samples), "max": max(samples), "samples": len(samples)}
