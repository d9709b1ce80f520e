from typing import Any

from numpy.typing import ArrayLike
from typing_extensions import disjoint_base

@disjoint_base
class Latency:
    @property
    def seed(self) -> int: ...
    def __init__(
        self,
        *,
        order_s: float = 0.05,
        ack_s: float = 0.05,
        order_samples: ArrayLike | None = None,
        ack_samples: ArrayLike | None = None,
        seed: int = 0,
    ) -> None: ...
    def order_ns(self, order: int, action: int) -> int: ...
    def ack_ns(self, order: int, report: int) -> int: ...
    def as_dict(self) -> dict[str, Any]: ...
