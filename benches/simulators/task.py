"""What every simulator of the comparison offers. A module of this package has

    PACKAGE                       the distribution whose version is reported ('' = nothing but Python, NumPy, Numba)
    NOTE                          what it does otherwise than the definition in rule.py
    export(day, folder)           write the day in the engine's own format
    prepare(folder, latency_s)    load it and make everything ready (compile, too); returns run(setting, detector) -> Outcome: the part that is timed
"""

from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    trades: int
    net: float                    # quote currency, after fees


Run = Callable[..., Outcome]
