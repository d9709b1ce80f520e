from collections.abc import Iterable

from typing_extensions import disjoint_base

@disjoint_base
class Features:
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def wants(self) -> int: ...
    def __init__(self, names: Iterable[str] = ()) -> None: ...
