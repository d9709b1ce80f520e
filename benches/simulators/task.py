"""What every simulator of the comparison offers. A module of this package has

PACKAGE                       the distribution whose version is reported ('' = nothing but Python, NumPy, Numba)
NOTE                          what it does otherwise than the definition in rule.py
export(day, folder)           write the day in the engine's own format
prepare(folder, latency_s)    load it and make everything ready (compile, too); returns run(setting, detector) -> Outcome: the part that is timed
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from benches import build

PYTHON = "LIQCORE_RIVALS_PYTHON"  # names the Python of rivals that cannot live beside the others
now_ns = time.perf_counter_ns


class Outcome(NamedTuple):
    trades: int
    net: float  # quote currency, after fees


Run = Callable[..., Outcome]


def environment(module: str, elsewhere: Iterable[str]) -> tuple[dict[str, str], str]:
    """Variables and Python of a process for this simulator. One core for everybody."""
    variables = build.environment() | {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if module not in elsewhere:
        return variables, sys.executable
    return variables | {"PYTHONPATH": str(build.ROOT)}, os.environ.get(PYTHON, sys.executable)
