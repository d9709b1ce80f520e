from typing import Any

from typing_extensions import disjoint_base

from liqcore.detector import Detector
from liqcore.parameters import Parameter

SNAPSHOT_NAME: bytes
PARAMETERS: tuple[Parameter, ...]

@disjoint_base
class Bars(Detector):
    def __init__(self, name: str = "bars", **parameters: float) -> None: ...
