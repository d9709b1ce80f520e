from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from liqcore.policy import Policy
from liqcore.simulation.paper import Paper
from liqcore.simulation.tape import Tape

@disjoint_base
class Walk:
    @property
    def paper(self) -> Paper: ...
    @property
    def tape(self) -> Tape: ...
    @property
    def stops(self) -> int: ...
    def __init__(self, paper: Paper, tape: Tape, judge: Callable[[dict[str, Any]], tuple[int, int, int] | None] | None = None) -> None: ...
    def run(self, until: int | None = None) -> bool: ...

@disjoint_base
class MarketRefresh(Policy): ...
