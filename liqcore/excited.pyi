from typing import Any

from typing_extensions import disjoint_base

from liqcore.detector import Detector
from liqcore.hawkes import Hawkes
from liqcore.parameters import Parameter

SNAPSHOT_NAME: bytes
PARAMETERS: tuple[Parameter, ...]

@disjoint_base
class Excited(Detector):
    @property
    def kernel(self) -> Hawkes | None: ...
    def __init__(self, name: str = "hawkes", **parameters: Any) -> None: ...
