from typing import Any

from numpy.typing import NDArray
from typing_extensions import disjoint_base

from liqcore.sweep.columns import Columns

@disjoint_base
class Market:
    columns: Columns
    def __init__(self, columns: Columns) -> None: ...
    def ended_at(self, terms: NDArray[Any], trades: NDArray[Any], quotes: NDArray[Any], ts: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]: ...
    def sweep(
        self,
        terms: NDArray[Any],
        settings: NDArray[Any],
        calls: NDArray[Any],
        phases: NDArray[Any],
        results: NDArray[Any],
        first_day: int,
        daily: NDArray[Any],
        shared: bool = True,
        which: NDArray[Any] | None = None,
    ) -> None: ...
    def trades_of(self, terms: NDArray[Any], setting: NDArray[Any], calls: NDArray[Any], phases: NDArray[Any], trades: NDArray[Any]) -> int: ...
