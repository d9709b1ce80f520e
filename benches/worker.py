"""A simulator in a process of its own, so that its memory is its own: python -m benches.worker NAME FOLDER LATENCY_S

It loads what NAME's export() left in FOLDER, then answers requests, a line of JSON each: {"settings": [numbers of market.settings]} runs them, one
after the other, and says how long that took.
"""

import gc
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benches import build, market
from benches.simulators import task

ELSEWHERE = ("vectorbt", "nautilus")
TIMEOUT_S = 600


def memory_mb(field: str) -> float:
    """VmRSS or VmHWM (peak) of this process; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")), 0.0)


def main(name: str, folder: str, latency_s: str) -> None:
    """The child's end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a rival prints is no answer

    def say(**answer) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        simulator = importlib.import_module(f"benches.simulators.{name}")
    except ImportError as e:
        say(skipped=f"not installed here: {e}")
        return
    before = time.perf_counter()
    run = simulator.prepare(Path(folder), float(latency_s))
    version = f"{simulator.PACKAGE} {importlib.metadata.version(simulator.PACKAGE)}; " if simulator.PACKAGE not in ("", "liqcore") else ""
    say(prepared_s=time.perf_counter() - before, rss_mb=memory_mb("VmRSS"), peak_mb=memory_mb("VmHWM"), note=version + simulator.NOTE)
    settings = market.settings(100)
    gc.disable()
    for line in sys.stdin:
        chosen = [settings[n] for n in json.loads(line)["settings"]]
        start = time.perf_counter_ns()
        outcomes = [run(s) for s in chosen]
        ns = time.perf_counter_ns() - start
        gc.collect()
        say(ms=ns / 1e6, trades=sum(o.trades for o in outcomes), net=sum(o.net for o in outcomes), peak_mb=memory_mb("VmHWM"))


class Worker:
    """The parent's end."""

    def __init__(self, name: str, folder: Path, latency_s: float = 0.0):
        environment, python = task.environment(name, ELSEWHERE)
        self.name = name
        self.prepared: dict = {}
        self.process = subprocess.Popen(
            [python, "-m", "benches.worker", name, str(folder), repr(latency_s)],
            cwd=build.ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"benches: the worker of {self.name} ended with code {self.process.wait(TIMEOUT_S)}")
        return json.loads(line)

    def ready(self) -> str:
        """Why it does not take part, or ''."""
        self.prepared = self.answer()
        return self.prepared.get("skipped", "")

    def run(self, settings: list[int]) -> dict:
        print(json.dumps({"settings": settings}), file=self.process.stdin, flush=True)
        return self.answer()


if __name__ == "__main__":
    main(*sys.argv[1:])
