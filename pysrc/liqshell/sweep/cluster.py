"""The units of a sweep on a Ray cluster: `--cluster` starts one on this machine, `--address` names a running one.

No column goes over the wire. A task is one contract with all its settings; the worker opens that contract itself and checks that the data is the
same, so the results are bit-identical to those of one machine. A whole backtest is one task with all contracts. The driver alone writes: a
worker that dies costs its task, and Ray gives that to another.
"""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.origin import Origin
from liqshell.errors import ConfigError, DataError, LiqshellError
from liqshell.sweep.by_backtest import Walks
from liqshell.sweep.work import Unit, Work

IN_FLIGHT = 2  # tasks a processor: enough that none is idle
_held: dict[tuple[Origin, int | None], lc.Tape] = {}  # in a process of the cluster: what it opened last


def connect(address: str) -> Any:
    """A Ray runtime: '' = one on this machine, for this command."""
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "--cluster", "Ray is not installed", "pip install 'liqcore[cluster]'", "Without --cluster the sweep uses all cores of this machine"
        ) from None
    try:
        ray.init(address=address or None, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, RuntimeError, OSError, ValueError) as why:
        raise ConfigError(
            "--cluster",
            f"no cluster at {address or 'this machine'} ({why})",
            "the address of a running Ray cluster",
            "`ray start --head` starts one and prints its address",
        ) from None
    return ray


def compute(origin: Origin, contract: int | None, work: Work | Walks, units: list[Unit], version: str) -> list[np.ndarray] | DataError:
    """In a process of the cluster: rows of the units, or why it cannot compute them."""
    try:
        if version != lc.__version__:
            raise DataError("liqcore", f"version {lc.__version__}", version)
        if (origin, contract) not in _held:
            _held.clear()  # before the next is opened: there may be room for one
            _held[origin, contract] = origin.open(contract)
        work.tape = _held[origin, contract]
    except LiqshellError as why:
        return DataError(
            f"worker {socket.gethostname()}",
            str(why),
            "",
            "Each worker opens the data itself: give every node the same data under the "
            "same path (a shared file system or a copy) and the same liqcore, or leave out --cluster",
        )
    return [work.compute(unit, threads=1) for unit in units]


def tasks_of(work: Work | Walks, units: list[Unit], processors: int) -> Iterator[tuple[int | None, Work | Walks, list[list[Unit]]]]:
    """The contract that is to be opened (None = all), what is to be done with it, and its units in tasks. To open a contract takes longer than most
    settings do: two processors open one only where others would be idle."""
    if isinstance(work, Walks):
        for unit in units:
            yield None, Walks(None, work.cells[unit.first : unit.last], work.span), [[replace(unit, first=0, last=unit.last - unit.first)]]
        return
    contracts = sorted({unit.instrument for unit in units})
    pieces = -(-processors // len(contracts))
    for n in contracts:
        own = [replace(unit, instrument=0) for unit in units if unit.instrument == n]
        cuts = [len(own) * k // pieces for k in range(pieces + 1)]
        yield n, work.alone(n), [own[a:b] for a, b in itertools.pairwise(cuts) if a < b]


def run(work: Work | Walks, units: list[Unit], origin: Origin, keep: Callable[[Unit, np.ndarray], None], address: str = "") -> None:
    """Compute the units on a cluster; keep(unit, rows) is called here, in whatever order they end."""
    ray = connect(address)
    try:
        remote = ray.remote(num_cpus=1, max_retries=3)(compute)
        processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting = (
            (contract, shared, task) for contract, own, tasks in tasks_of(work, units, processors) for shared in [ray.put(own)] for task in tasks
        )
        flying: dict[Any, list[Unit]] = {}

        def launch() -> None:
            for contract, shared, task in itertools.islice(waiting, 1):
                flying[remote.remote(origin, contract, shared, task, lc.__version__)] = task

        for _ in range(IN_FLIGHT * processors):
            launch()
        while flying:
            (done, *_), _ = ray.wait(list(flying), num_returns=1)
            task, found = flying.pop(done), ray.get(done)
            if isinstance(found, DataError):
                raise found
            for unit, rows in zip(task, found, strict=True):
                keep(unit, rows)
            launch()
    finally:
        ray.shutdown()
