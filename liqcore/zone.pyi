from typing import Any

from typing_extensions import disjoint_base

from liqcore.detector import Detector
from liqcore.parameters import Parameter

SNAPSHOT_NAME: bytes
PARAMETERS: tuple[Parameter, ...]

@disjoint_base
class Zone(Detector):
    @property
    def parameters(self) -> dict[str, Any]: ...
    def __init__(self, name: str = "zone", **parameters: Any) -> None: ...
    def as_dict(self) -> dict[str, Any]: ...
