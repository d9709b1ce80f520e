from typing_extensions import disjoint_base

from liqcore.detectors.detector import Detector
from liqcore.detectors.parameters import Parameter

SNAPSHOT_NAME: bytes
PARAMETERS: tuple[Parameter, ...]

@disjoint_base
class Rate(Detector):
    def __init__(self, name: str = "rate", **parameters: float) -> None: ...
