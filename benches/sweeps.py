"""The sweep on the one task, the cost of a setting from 1 M to 100 M trades, detection over arrays, and parity with hftbacktest. Rows 19 to
22, 27, 28."""

import importlib.util
import itertools
import math
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import numpy as np

import liqcore as lc
from benches import market, ours, streams
from benches.backtest import case, export
from benches.simulators import liqcore_step, liqcore_sweep
from benches.simulators import ours as simulated
from benches.worker import Worker
from liqcore.detectors.registry import make_detector

ROOM_GB = 14.0  # what making and holding 100 M trades takes
COUNT = 100


def run(quick: bool) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        day = Path(folder) / "day"
        export(200_000 if quick else 2_000_000, day, ["liqcore_step", "hftbacktest", "numba_loop"])
        out = hundred(day, 2 if quick else 5)
        out += many(day, quick)
    out += scale((1_000_000, 2_000_000) if quick else (1_000_000, 10_000_000, 100_000_000), 1 if quick else 3)
    out += days((1, 2) if quick else (1, 10), 200 if quick else 10_000, 1 if quick else 3)
    return [*out, detection(20_000 if quick else 100_000, 2 if quick else 7), *parity(1 if quick else 10)]


def timed(function, *arguments) -> tuple[float, object]:
    start = time.perf_counter_ns()
    result = function(*arguments)
    return (time.perf_counter_ns() - start) / 1e6, result


def hundred(folder: Path, rounds: int) -> list[dict]:
    """100 settings: every engine must sum to the same profit and loss."""
    settings = liqcore_sweep.grid(market.settings(COUNT))
    parts = liqcore_sweep.columns(folder)
    expected = liqcore_sweep.whole(parts, settings)
    samples: dict[str, list[float]] = {
        "ours": [timed(liqcore_sweep.whole, parts, settings)[0] for _ in range(rounds)],
        "ours, two cores": [timed(liqcore_sweep.whole, parts, settings, 2)[0] for _ in range(rounds)],
    }
    note = f"{expected['trades'].sum()} trades, net {expected['net'].sum():.4f}"
    notes, skipped = {"ours": f"{note}; index, signals and settings, one core", "ours, two cores": note}, {}
    for name, module in (("Numba loop", "numba_loop"), ("hftbacktest", "hftbacktest")):
        with Worker(module, folder) as worker:
            reason = worker.ready()
            if reason:
                skipped[name] = reason
                continue
            got = worker.run(list(range(COUNT)))
        if got["trades"] != expected["trades"].sum() or not math.isclose(got["net"], expected["net"].sum(), abs_tol=1e-2):
            raise AssertionError(f"{name}: {got['trades']} trades, net {got['net']!r} over {COUNT} settings; sweep: {note}")
        samples[name], notes[name] = [got["ms"]], f"{got['trades']} trades, net {got['net']:.4f}; {COUNT} runs"
    for name, threads in (("ours", 1), ("ours, two cores", 2)):
        samples[name] += [timed(liqcore_sweep.whole, parts, settings, threads)[0] for _ in range(rounds)]
    return [case("sweep.100", f"{COUNT} settings on one day, from columns to results", "ms", samples, skipped, notes)]


def many(folder: Path, quick: bool) -> list[dict]:
    tape = liqcore_step.tape(folder)
    settings = liqcore_sweep.grid(market.settings(1_000 if quick else 10_000))
    rounds = 2 if quick else 5
    samples: dict[str, list[float]] = {"ours": [], "ours, two cores": []}
    for _ in range(rounds):
        for name, threads in (("ours", 1), ("ours, two cores", 2)):
            samples[name].append(timed(liqcore_sweep.execute, tape, settings, threads)[0])
    detectors, few = (10, 10) if quick else (100, 100)
    grid = liqcore_sweep.grid(market.settings(few))
    both = [timed(liqcore_sweep.detectors, tape, detectors, grid, 1)[0] for _ in range(1 if quick else 3)]
    return [
        case("sweep.10000", f"{len(settings):,} settings on one day, signals included", "ms", samples, {}, {}),
        case("sweep.grid", f"{detectors} detector settings x {few} execution settings", "ms", {"ours": both}, {}, {}),
    ]


def one_core(made, grid) -> np.ndarray:
    return made.sweep(grid, threads=1)


def days(counts: tuple[int, ...], settings: int, rounds: int) -> list[dict]:
    """Settings over days of 1 M trades each: what they share found once, against every bracket by itself; both must give the same bytes."""
    grid, day = liqcore_sweep.grid(market.settings(settings)), market.day(100_000 if rounds == 1 else 1_000_000)
    samples: dict[str, list[float]] = {}
    for count in counts:
        made = liqcore_sweep.task(liqcore_step.tape_of_days(day, count))
        alone, expected = timed(liqcore_sweep.one_by_one, made, grid)
        samples[f"one by one, {count} days"] = [1e6 * alone / expected["entries"].sum()]
        samples[f"shared, {count} days"] = []
        for _ in range(rounds):
            took, results = timed(one_core, made, grid)
            if results.tobytes() != expected.tobytes():
                raise AssertionError(f"{count} days: the sweep that shares gives other results than bracket by bracket")
            samples[f"shared, {count} days"].append(1e6 * took / results["entries"].sum())
    return [case("sweep.days", f"{settings:,} settings over days of {len(day.trades['ts']):,} trades, one core", "ns/bracket", samples, {}, {})]


def available_gb() -> float:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return 0.0


def scale(counts: tuple[int, ...], rounds: int) -> list[dict]:
    """The same price path with more and more trades: only checking the columns and building the index may grow."""
    settings = liqcore_sweep.grid(market.settings(1_000))
    build: dict[str, list[float]] = {}
    each: dict[str, list[float]] = {}
    walk: dict[str, list[float]] = {}
    size: dict[str, list[float]] = {}
    skipped, notes = {}, {}
    for count in counts:
        name = f"{count // 10**6} M trades"
        if count >= 10**8 and available_gb() < ROOM_GB:
            skipped[name] = f"needs {ROOM_GB:.0f} GB of free memory, there are {available_gb():.1f}"
            continue
        parts = liqcore_step.parts(market.day(count))
        build[name] = [timed(lc.Tape, [simulated.instrument()], parts)[0] for _ in range(rounds)]
        tape = lc.Tape([simulated.instrument()], parts)
        size[name] = [tape.nbytes / count]
        results = liqcore_sweep.execute(tape, settings, 1)
        notes[name] = f"{results['trades'].mean():.1f} trades a setting"
        each[name] = [1e3 * timed(liqcore_sweep.execute, tape, settings, 1)[0] / len(settings) for _ in range(rounds)]
        one = (tape, market.Setting(), market.Detector(), liqcore_step.DELAY_S)
        walk[name] = [timed(liqcore_step.one, *one)[0] for _ in range(2 * rounds)]
        del tape, parts, one
    return [
        case("scale.sweep", "Sweep: cost of a setting (1,000 settings, signals included), same price path", "us/setting", each, skipped, notes),
        case("scale.walk", "Walk: one setting, everything included, same price path", "ms/run", walk, skipped, {}),
        case("scale.build", "Tape from columns: checks and index", "ms", build, skipped, {}),
        case("scale.bytes", "Tape: bytes a trade, quotes, liquidations and index included", "B/trade", size, skipped, {}),
    ]


def detection(count: int, rounds: int) -> dict:
    """Exact P95 of the last 1000, two in 60 s, over an array of liquidations: of one contract, and of eight in two threads."""
    events, config, contracts = ours.events(count), lc.CascadeConfig(), 8
    many = events.copy()
    many["instrument"] = np.random.default_rng(7).integers(0, contracts, count)
    tape = lc.Tape.of([lc.Instrument("ETHUSDT")], events)
    few = min(count, 3_000)
    samples: dict[str, list[float]] = {
        "ours": [],
        "ours, one stream": [],
        "ours, 8 streams": [],
        "ours, 8 streams, 2 threads": [],
        "plain Python": [],
    }
    for _ in range(rounds):
        samples["ours"].append(1e6 * timed(tape.signals, config)[0] / count)
        samples["ours, one stream"].append(1e6 * timed(cascades(1)[0].run, events)[0] / count)
        samples["ours, 8 streams"].append(1e6 * timed(lc.Standalone.run_all, cascades(contracts), many, 1)[0] / count)
        samples["ours, 8 streams, 2 threads"].append(1e6 * timed(lc.Standalone.run_all, cascades(contracts), many, 2)[0] / count)
    samples["plain Python"].append(1e6 * timed(by_percentile, (events["qty"] * events["price"])[:few])[0] / few)
    return case(
        "detect.batch",
        f"Cascade detector over {count:,} liquidations: P95 of 1000, z-score, phases",
        "ns/liquidation",
        samples,
        {},
        {
            "ours": "Tape.signals",
            "ours, one stream": "Standalone.run",
            "ours, 8 streams": "Standalone.run_all, signals as objects",
            "ours, 8 streams, 2 threads": "the same without the GIL",
            "plain Python": "the P95 alone: deque and numpy.percentile",
        },
    )


def cascades(count: int) -> list[lc.Standalone]:
    return [lc.Standalone(make_detector("cascade"), f"X{n}USDT") for n in range(count)]


def by_percentile(notional: np.ndarray) -> int:
    sizes: deque[float] = deque(maxlen=1000)
    large = 0
    for x in notional.tolist():
        large += len(sizes) >= 100 and x >= np.percentile(sizes, 95.0)
        sizes.append(x)
    return large


def parity(count: int) -> list[dict]:
    from benches import parity as twins

    title = f"{count} settings x 3 latencies x touch and away: runs whose fills or cash differ from hftbacktest's"
    if importlib.util.find_spec("hftbacktest") is None:
        return [case("backtest.parity", title, "runs", {}, {"ours": "hftbacktest is not installed here"}, {})]
    scene = twins.Scene(market.day(500_000), simulated.instrument(), simulated.config(market.Detector()), simulated.NOTIONAL)
    wrong, fills = 0, 0
    for setting, latency_s, touch in itertools.product(market.settings(count), twins.LATENCIES_S, (True, False)):
        words, made = twins.difference(scene, setting, latency_s, touch)
        wrong, fills = wrong + bool(words), fills + made
    return [case("backtest.parity", title, "runs", {"ours": [wrong]}, {}, {"ours": f"of {6 * count}, {fills:,} fills, seed {streams.SEED}"})]
