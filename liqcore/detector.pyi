from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Detector:
    @property
    def name(self) -> str: ...
    @property
    def wants(self) -> int: ...
    def as_dict(self) -> dict[str, Any]: ...
