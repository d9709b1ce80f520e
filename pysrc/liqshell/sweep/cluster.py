"""The units of a sweep on a Ray cluster: `--cluster` starts one on this machine, `--cluster ADDRESS` uses a running one.

Every worker gets the columns once (Ray shares them between the processes of a node without a copy) and computes whole units, so the results are
those of one machine, bit for bit. The driver alone writes: a worker that dies costs its unit, and Ray gives that to another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from liqshell.errors import ConfigError
from liqshell.sweep.by_backtest import Walks
from liqshell.sweep.work import Unit, Work

IN_FLIGHT = 4                       # units a worker waits with: enough that none is idle, few enough to lose little


def connect(address: str) -> Any:
    """A Ray runtime: '' = one on this machine, for this command."""
    try:
        import ray
    except ImportError:
        raise ConfigError("--cluster", "Ray is not installed", "pip install 'liqcore[cluster]'",
                          "Without --cluster the sweep uses all cores of this machine") from None
    try:
        ray.init(address=address or None, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, OSError, ValueError) as why:
        raise ConfigError("--cluster", f"no cluster at {address or 'this machine'} ({why})", "the address of a running Ray cluster",
                          "`ray start --head` starts one and prints its address") from None
    return ray


class Worker:
    """One process of the cluster."""

    def __init__(self, kind: type[Work] | type[Walks], payload: dict[str, Any]):
        self.work = kind(**payload)

    def compute(self, unit: Unit) -> np.ndarray:
        return self.work.compute(unit, threads=1)


def run(work: Work | Walks, units: list[Unit], keep: Callable[[Unit, np.ndarray], None], address: str = "") -> None:
    """Compute the units on a cluster; keep(unit, rows) is called here, in whatever order they end."""
    ray = connect(address)
    try:
        hired: Any = ray.remote(num_cpus=1, max_restarts=3, max_task_retries=3)(Worker)
        payload = ray.put(work.payload())
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        workers = [hired.remote(type(work), payload) for _ in range(min(count, len(units)))]
        waiting = list(reversed(units))
        flying: dict[Any, tuple[Unit, Any]] = {}

        def launch(worker: Any) -> None:
            if waiting:
                unit = waiting.pop()
                flying[worker.compute.remote(unit)] = unit, worker

        for _ in range(IN_FLIGHT):
            for worker in workers:
                launch(worker)
        while flying:
            (done, *_), _ = ray.wait(list(flying), num_returns=1)
            unit, worker = flying.pop(done)
            keep(unit, ray.get(done))
            launch(worker)
    finally:
        ray.shutdown()
