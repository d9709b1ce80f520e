from typing import Any

from typing_extensions import disjoint_base

from liqcore.detectors.detector import Detector
from liqcore.detectors.parameters import Parameter
from liqcore.kernels.hawkes import Hawkes

SNAPSHOT_NAME: bytes
PARAMETERS: tuple[Parameter, ...]

@disjoint_base
class SelfExcitation(Detector):
    @property
    def kernel(self) -> Hawkes | None: ...
    def __init__(self, name: str = "hawkes", **parameters: Any) -> None: ...
