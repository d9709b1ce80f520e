from typing import Any

from typing_extensions import disjoint_base

from liqcore.detectors.custom import CustomDetector
from liqcore.detectors.detector import Detector

SNAPSHOT_NAME: bytes

@disjoint_base
class PythonDetector(Detector):
    def __init__(self, rule: type[CustomDetector], name: str, parameters: dict[str, Any], kind: str = "") -> None: ...
    @property
    def rule(self) -> type[CustomDetector]: ...
