"""How cost grows: one thing after the other made ten times larger, everything else left as it is.

    python -m benches.growth [AXIS ...] [--quick]

Each step is a process of its own, so that its peak memory is its own. What is counted is processor time of all its threads, not time of the clock: a
busy machine changes it little. The cost of a unit (a frame, a bracket, a row) that stays the same from step to step is growth in proportion.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benches import build, market
from benches.backtest import case
from benches.worker import memory_mb

Timed = Callable[[], float]  # does the work once; how many units that was
SETTINGS = 1_000


@dataclass(frozen=True)
class Axis:
    """make(step): prepares the work of a step and returns it. unit: what the cost is divided by."""

    title: str
    unit: str
    steps: tuple[int, ...]
    quick: tuple[int, ...]
    make: Callable[[int], Timed]


def flood(contracts: int, distinct: int) -> tuple:
    """(loop, engine): contracts of three venues, decoder, eight features and three detectors, each contract seen."""
    from benches import venue_streams, venues

    each = contracts // len(venues.FLOOD_VENUES)
    mixed = venue_streams.mixed(list(venues.FLOOD_VENUES), each, distinct, venues.RATE)
    made = venues.loop_of(mixed, venues.FEATURES, venues.DETECTORS, each)
    made[0].run(len(mixed))
    return made


def frames(count: int) -> Timed:
    loop, _ = flood(150, 20_000)

    def run() -> float:
        loop.run(count)
        return count

    return run


def contracts(count: int) -> Timed:
    loop, _ = flood(count, 100_000)

    def run() -> float:
        loop.run(200_000)
        return 200_000

    return run


def snapshots(count: int) -> Timed:
    _, engine = flood(count, 100_000)

    def run() -> float:
        engine.snapshot()
        return count

    return run


def swept(tapes: list, count: int) -> Timed:
    """`count` settings over each tape, signals included, on one core."""
    from benches.simulators import liqcore_sweep

    grid = liqcore_sweep.grid(market.settings(count))

    def run() -> float:
        return float(sum(liqcore_sweep.execute(tape, grid, 1)["entries"].sum() for tape in tapes))

    return run


def settings(count: int) -> Timed:
    from benches.simulators import liqcore_step

    return swept([liqcore_step.tape_of_days(market.day(1_000_000), 1)], count)


def days(count: int) -> Timed:
    from benches.simulators import liqcore_step

    return swept([liqcore_step.tape_of_days(market.day(250_000), count)], SETTINGS)


def trades(count: int) -> Timed:
    from benches.simulators import liqcore_step

    return swept([liqcore_step.tape_of_days(market.day(count), 1)], SETTINGS)


def symbols(count: int) -> Timed:
    from benches.simulators import liqcore_step

    day = market.day(250_000)
    return swept([liqcore_step.tape_of_days(day, 1) for _ in range(count)], SETTINGS)


def rows(count: int) -> Timed:
    """A CSV of so many trades into a new store: read, checked, sorted, written, reported on."""
    from benches import imports
    from liqshell import store

    folder = Path(tempfile.mkdtemp())
    file = folder / "BTCUSDT-trades-2025-06-01.csv"
    imports.generate(file, count)
    stores = iter(range(100))

    def run() -> float:
        outcome = store.fill(folder / f"store{next(stores)}", [file])
        if outcome.broken:
            raise AssertionError(outcome.broken)
        return count

    return run


AXES = {
    "frames": Axis(
        "Frames, 150 contracts of three venues, features and detectors", "frame", (100_000, 1_000_000, 10_000_000), (1_000, 10_000), frames
    ),
    "contracts": Axis("Contracts live, 200,000 frames, features and detectors", "frame", (15, 150, 1_500), (15, 150), contracts),
    "snapshots": Axis("Contracts live, the engine's state as bytes", "contract", (15, 150, 1_500), (15, 150), snapshots),
    "settings": Axis("Settings of a sweep, one day of 1 M trades", "bracket", (100, 1_000, 10_000, 100_000), (10, 100), settings),
    "symbols": Axis("Symbols of a sweep, a quarter of a day each, 1,000 settings", "bracket", (1, 10, 100), (1, 2), symbols),
    "days": Axis("Days of a sweep, 250,000 trades each, 1,000 settings", "bracket", (1, 10, 100), (1, 2), days),
    "trades": Axis("Trades a day on the same price path, 1,000 settings", "bracket", (1_000_000, 10_000_000), (1_000_000,), trades),
    "rows": Axis("Rows of a CSV of trades, imported", "row", (100_000, 1_000_000, 10_000_000), (1_000, 10_000), rows),
}
ROUNDS = 3


def measured(name: str, step: int) -> dict:
    """In a process of its own: ns of processor time a unit, each round, and the peak memory in MB, preparation included."""
    work, costs = AXES[name].make(step), []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        count = work()
        costs.append((time.process_time_ns() - began) / max(count, 1.0))
    return {"ns": costs, "mb": memory_mb("VmHWM")}


def run(quick: bool, names: Sequence[str] = ()) -> list[dict]:
    out = []
    for name, axis in AXES.items():
        if names and name not in names:
            continue
        samples, notes = {}, {}
        for step in axis.quick if quick else axis.steps:
            done = subprocess.run(
                [sys.executable, "-m", "benches.growth", name, "--step", str(step)],
                capture_output=True,
                text=True,
                cwd=build.ROOT,
                env=build.environment(),
                timeout=3600,
            )
            if done.returncode:
                raise RuntimeError(f"benches.growth {name} {step} failed:\n{done.stderr[-3000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            samples[f"{step:,}"], notes[f"{step:,}"] = found["ns"], f"{found['mb']:.0f} MB at most"
        out.append(case(f"growth.{name}", axis.title, f"ns/{axis.unit}", samples, {}, notes))
    return out


def section(cases: list[dict]) -> list[str]:
    """The table of the page: cost of a unit at each step, and how much more of it the last step costs than the first."""
    found = [one for one in cases if one["id"].startswith("growth.")]
    if not found:
        return []
    text = [
        "## How cost grows",
        "",
        "In each row one size grows tenfold from step to step. A cost is the processor time of one unit, the median of three rounds; 1.0x "
        "is growth in proportion. Behind it is the peak memory of the process, preparation included. [scale.md](scale.md) lists the "
        "limits.",
        "",
        "| what grows | steps | cost of a unit, peak memory | last / first |",
        "|---|---|---|---|",
    ]
    for one in found:
        steps = one["contestants"]
        costs = [f"{step['median']:,.0f} ns, {step['note'].removesuffix(' at most')}" for step in steps.values()]
        first, last = (steps[name]["median"] for name in (next(iter(steps)), next(reversed(steps))))
        text.append(f"| {one['title']} | {', '.join(steps)} | a {one['unit'].removeprefix('ns/')}: {'; '.join(costs)} | {last / first:.2f}x |")
    return [*text, ""]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axis", nargs="*", metavar="AXIS", help=", ".join(AXES))
    parser.add_argument("--step", type=int, help="only this step, in this process; one JSON line")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.axis) - set(AXES):
        parser.error(f"{sorted(unknown)}: expected of {list(AXES)}")
    if options.step is not None:
        print(json.dumps(measured(options.axis[0], options.step)))
    else:
        print("\n".join(section(run(options.quick, options.axis))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
