from typing_extensions import disjoint_base

from liqcore.detectors.detector import Detector
from liqcore.detectors.parameters import Parameter

SNAPSHOT_NAME: bytes
PARAMETERS: tuple[Parameter, ...]

@disjoint_base
class Imbalance(Detector):
    def __init__(self, name: str = "imbalance", **parameters: float) -> None: ...

def long_share_of(imbalance: float) -> float: ...
def imbalance_of(long_share: float) -> float: ...
