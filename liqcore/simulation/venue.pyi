from collections.abc import Iterable, Sequence
from typing import Any, Literal

from typing_extensions import disjoint_base

from liqcore.fees import MAKER_FEE, TAKER_FEE
from liqcore.instrument import Instrument
from liqcore.simulation.latency import Latency

@disjoint_base
class SimVenue:
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def latency(self) -> Latency: ...
    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        fills: Literal["through", "touch", "queue"] = "through",
        taker: Literal["next", "walk"] = "next",
        hidden: Literal["wait", "none"] = "wait",
        maker_fee: float = MAKER_FEE,
        taker_fee: float = TAKER_FEE,
        latency: Latency | None = None,
        order_latency_s: float = 0.05,
        ack_latency_s: float = 0.05,
        funding_interval_s: float = 28800.0,
        leverage: float = 0.0,
        maintenance_margin: float = 0.005,
        half_spread: float | None | Sequence[float | None] = None,
        print_wait_s: float = 5.0,
        capacity: int = 4096,
    ) -> None: ...
    def orders(self, instrument: int) -> list[dict[str, Any]]: ...
    def position(self, instrument: int) -> float: ...
    def reach(self, instrument: int) -> tuple[float, float, bool]: ...
    def liquidation_price(self, instrument: int) -> float: ...
    @property
    def lost(self) -> int: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...
