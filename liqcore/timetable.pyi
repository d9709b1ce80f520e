from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

WINDOWS_MAX: int

@disjoint_base
class Timetable:
    def __init__(
        self, *, hours: Sequence[int] = (), weekdays: Sequence[int] = (), windows: Sequence[tuple[int, int] | tuple[int, int, int]] = ()
    ) -> None: ...
    @property
    def closes(self) -> bool: ...
    def allows(self, now: int, instrument: int = -1) -> bool: ...
    def closed(self, instrument: int, start: int, end: int) -> NDArray[np.int64]: ...
