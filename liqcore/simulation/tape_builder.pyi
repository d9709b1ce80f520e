from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from liqcore.event import Kind, Reason
from liqcore.instrument import Instrument

MARKET_KINDS: tuple[Kind, ...]

@disjoint_base
class TapeBuilder:
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    def __init__(self, instruments: str | Instrument | Sequence[str | Instrument], *, band: float = 10.0) -> None: ...
    def push(self, events: NDArray[np.void]) -> None: ...
    def take(self) -> dict[str, Any]: ...
    @property
    def refused(self) -> dict[Reason, int]: ...
    @property
    def off_grid(self) -> dict[str, int]: ...
