"""The simulator on the one task (benches.market), beside its rivals: every engine in a process of its own, in turn, round after round. Figures,
rows 17, 18, 23 to 26.

Before anything is timed, all of them must have made the same trades; those whose orders mean something else say so in their note and are not held to
it.
"""

import json
import math
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benches import build
from benches.simulators import task
from benches.simulators.liqcore_step import DELAY_S
from benches.timing import spread
from benches.worker import ELSEWHERE, Worker

OURS = "ours"  # latency of DELAY_S, queue
FIRST = "ours, first run of a turn"  # behind the others: nothing of it is in a cache
TURN_MS = 50.0  # a turn's sample is the mean of so many runs as fit into this, at least one
PLAIN = "ours, no latency"
DELAYED = "hftbacktest, 10 ms"
FIELD = (
    (OURS, "liqcore_step", DELAY_S),
    (PLAIN, "liqcore_step", 0.0),
    ("ours, policy in Cython", "liqcore_native", DELAY_S),
    ("hftbacktest", "hftbacktest", 0.0),
    (DELAYED, "hftbacktest", DELAY_S),
    ("Numba loop", "numba_loop", 0.0),
    ("plain Python", "plain", 0.0),
    ("vectorbt", "vectorbt", 0.0),
    ("NautilusTrader", "nautilus", 0.0),
)
SLOW = {"plain Python": 3, "vectorbt": 3, "NautilusTrader": 1}  # rounds that these take part in
APART = {"NautilusTrader", DELAYED}  # their orders mean something else: see their notes
LARGE = 20_000_000


def run(quick: bool) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        day, large = Path(folder) / "day", Path(folder) / "large"
        count = 200_000 if quick else 2_000_000
        export(count, day, [module for _, module, _ in FIELD])
        out = contest("backtest.day", f"A backtest of one day, {count:,} trades, one setting", FIELD, day, 2 if quick else 7)
        out += [policy(out[0]), *load(day, count, 3 if quick else 9), *cold(2 if quick else 5)]
        for path in day.iterdir():
            if path.is_file():
                path.unlink()
        count = 1_000_000 if quick else LARGE
        field = [entry for entry in FIELD if entry[0] in (OURS, DELAYED, "hftbacktest", PLAIN)]
        export(count, large, [module for _, module, _ in field])
        return out + contest("backtest.large", f"A backtest of {count:,} trades, one setting", field, large, 2 if quick else 3)


def export(count: int, folder: Path, modules: list[str]) -> None:
    """The day in every engine's own format, by processes that are gone when the clock starts."""
    folder.mkdir()
    for module in dict.fromkeys(modules):
        script = (
            f"import sys; from pathlib import Path; from benches import market; from benches.simulators import {module} as m; "
            "m.export(market.day(int(sys.argv[1])), Path(sys.argv[2]))"
        )
        environment, python = task.environment(module, ELSEWHERE)
        done = subprocess.run(
            [python, "-c", script, str(count), str(folder)], capture_output=True, text=True, check=False, cwd=build.ROOT, env=environment
        )
        if done.returncode and "ImportError" not in done.stderr and "ModuleNotFoundError" not in done.stderr:
            raise RuntimeError(f"benches: export for {module} failed:\n{done.stderr[-3000:]}")


def contest(case_id: str, title: str, field, folder: Path, rounds: int) -> list[dict]:
    """Times and peak memory of one setting."""
    samples: dict[str, list[float]] = {FIRST: []}
    notes, skipped, peaks, outcomes, runs = {FIRST: "as `ours`"}, {}, {}, {}, {}
    with ExitStack() as stack:
        workers = {}
        for name, module, latency_s in field:
            worker = stack.enter_context(Worker(module, folder, latency_s))
            reason = worker.ready()
            if reason:
                skipped[name] = reason
                continue
            workers[name], notes[name], samples[name] = worker, worker.prepared["note"], []
            outcomes[name] = worker.run([0])
            runs[name] = max(1, int(TURN_MS / worker.run([0])["ms"]))
        agree(outcomes)
        for turn in range(rounds):
            names = [name for name in workers if turn < SLOW.get(name, rounds)]
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                if name == OURS:
                    samples[FIRST].append(workers[name].run([0])["ms"])
                answer = workers[name].run([0] * runs[name])
                samples[name].append(answer["ms"] / runs[name])
                peaks[name] = answer["peak_mb"]
    for name, outcome in outcomes.items():
        notes[name] = f"{outcome['trades']} trades, net {outcome['net']:.4f}; {notes[name]}" + f"; {runs[name]} runs a sample" * (runs[name] > 1)
    return [
        case(case_id, title, "ms/run", samples, skipped, notes),
        case(case_id + ".memory", f"{title}: peak memory of the process", "MB", {name: [x] for name, x in peaks.items()}, skipped, {}),
    ]


def case(case_id: str, title: str, unit: str, samples: dict[str, list[float]], skipped: dict[str, str], notes: dict[str, str]) -> dict:
    return {
        "id": case_id,
        "title": title,
        "unit": unit,
        "skipped": skipped,
        "contestants": {name: {**spread(x), "items": 1, "note": notes.get(name, "")} for name, x in samples.items()},
    }


def agree(outcomes: dict[str, dict]) -> None:
    """The same trades and the same result, or nothing is timed."""
    expected = outcomes[PLAIN]
    for name, got in outcomes.items():
        same = got["trades"] == expected["trades"] and math.isclose(got["net"], expected["net"], abs_tol=1e-4)
        if not same and name not in APART and not name.startswith(OURS):
            raise AssertionError(f"{name}: {got['trades']} trades, net {got['net']!r}; liqcore {expected['trades']}, {expected['net']!r}")
        if abs(got["trades"] - expected["trades"]) > 0.1 * expected["trades"]:
            raise AssertionError(f"{name}: {got['trades']} trades, liqcore {expected['trades']}: this is not the same task")


def policy(day: dict) -> dict:
    """What a policy in Python costs, from the same rounds."""
    chosen = {name: day["contestants"][name] for name in (OURS, "ours, policy in Cython") if name in day["contestants"]}
    return {
        "id": "backtest.policy",
        "title": "The same backtest, the policy in Python and in Cython",
        "unit": "ms/run",
        "skipped": day["skipped"],
        "contestants": {"python": chosen[OURS], **({"cython": chosen["ours, policy in Cython"]} if len(chosen) > 1 else {})},
    }


LOAD = {
    "ours": "from benches.simulators import liqcore_step as m; from pathlib import Path; import liqcore\n"
    "def load(): t = m.tape(Path(sys.argv[1])); return t, [t.nbytes, sum(x.nbytes for x in t.trades(0).values())]",
    "ours, checked": "from benches.simulators import liqcore_step as m; from pathlib import Path; import liqcore\n"
    "def load(): t = m.tape(Path(sys.argv[1]), False); return t, []",
    "hftbacktest": "import numpy as np\ndef load(): x = np.load(sys.argv[1] + '/hftbacktest.npz')['data']; return x, [x.nbytes]",
}
MEASURE = (
    "\nimport time, json\nload()\nstart = time.perf_counter_ns()\nx, size = load()\nprint(json.dumps([(time.perf_counter_ns() - start) / 1e6, size]))"
)


def load(folder: Path, count: int, rounds: int) -> list[dict]:
    """From files to something that can run; each time in a fresh process, the files in the system's cache for everybody."""
    samples: dict[str, list[float]] = {name: [] for name in LOAD}
    sizes, skipped = {}, {}
    for _ in range(rounds):
        for name, script in LOAD.items():
            if name == "hftbacktest" and not (folder / "hftbacktest.npz").exists():
                skipped[name] = "not installed here"
                continue
            done = subprocess.run(
                [sys.executable, "-c", "import sys\n" + script + MEASURE, str(folder)],
                capture_output=True,
                text=True,
                check=True,
                cwd=build.ROOT,
                env=build.environment(),
            )
            ms, sizes[name] = json.loads(done.stdout)
            samples[name].append(ms)
    samples = {name: x for name, x in samples.items() if x}
    notes = {
        "ours": "memory-mapped, checked when it was written",
        "ours, checked": "memory-mapped, every column and pyramid read through",
        "hftbacktest": "np.load of its npz",
    }
    return [
        case("backtest.load", f"From disk to running, {count:,} trades", "ms", samples, skipped, notes),
        case(
            "backtest.bytes",
            "Bytes in memory a trade: trades, quotes, liquidations and their index",
            "B/trade",
            {name: [x[0] / count] for name, x in sizes.items() if x} | {"ours, trade columns": [sizes["ours"][1] / count]},
            skipped,
            {"ours, trade columns": "what a trade itself takes"},
        ),
    ]


COLD = (
    "import sys; from pathlib import Path; from benches.simulators import {module} as m; from benches import market; "
    "print(m.prepare(Path(sys.argv[1]), 0.0)(market.Setting()))"
)


def cold(rounds: int) -> list[dict]:
    """A new process to its first result, 200,000 trades: interpreter, imports, loading, compilation where there is any."""
    samples, skipped = {}, {}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "day"
        field = {
            "ours": "liqcore_step",
            "hftbacktest": "hftbacktest",
            "Numba loop": "numba_loop",
            "plain Python": "plain",
            "vectorbt": "vectorbt",
            "NautilusTrader": "nautilus",
        }
        export(200_000, folder, list(field.values()))
        for turn in range(rounds):
            for name, module in field.items():
                if turn >= 2 and name not in ("ours", "plain Python"):
                    continue
                environment, python = task.environment(module, ELSEWHERE)
                start = task.now_ns()
                done = subprocess.run(
                    [python, "-c", COLD.format(module=module), str(folder)],
                    capture_output=True,
                    text=True,
                    check=False,
                    cwd=build.ROOT,
                    env=environment,
                )
                if done.returncode:
                    skipped[name] = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"ended with code {done.returncode}"
                else:
                    samples.setdefault(name, []).append((task.now_ns() - start) / 1e9)
    if "ours" not in samples:
        raise RuntimeError(f"benches: the cold start failed: {skipped}")
    return [case("backtest.cold", "Cold process to the first result, 200,000 trades", "s", samples, skipped, {})]
