from enum import IntEnum
from typing import Any, Literal

from typing_extensions import disjoint_base

from liqcore.detectors.detector import Detector
from liqcore.detectors.parameters import Table
from liqcore.detectors.single import Standalone
from liqcore.event import Phase

BASES: tuple[str, ...]
PARAMETERS: Table

class NotionalBasis(IntEnum):
    NOTIONAL_REPORTED = 0
    NOTIONAL_MARK = 1
    NOTIONAL_LAST = 2

@disjoint_base
class CascadeConfig:
    def __init__(
        self,
        *,
        quantile: float = 0.95,
        window_events: int = 1000,
        window_s: float = 60.0,
        min_events: int = 2,
        warmup: int = 100,
        refresh_s: float = 0.0,
        mode: Literal["chain", "anchored"] = "chain",
        floor: float = 0.0,
        decay_s: float = 10.0,
        fall: float = 0.6,
        segment_s: float = 60.0,
        baseline: int = 288,
        notional: Literal["reported", "mark", "last"] = "reported",
    ) -> None: ...
    def as_dict(self) -> dict[str, Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@disjoint_base
class CascadeDetector(Detector):
    @property
    def config(self) -> CascadeConfig: ...
    def __init__(self, config: CascadeConfig | None = None, *, name: str = "cascade", **settings: Any) -> None: ...

class Cascade(Standalone):
    def __init__(self, config: CascadeConfig | None = None) -> None: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def threshold(self) -> float: ...
