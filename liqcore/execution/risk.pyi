from typing_extensions import disjoint_base

from liqcore.event import Limit, Reason

LIMIT_NAMES: dict[Limit, str]

@disjoint_base
class Risk:
    def __init__(
        self,
        *,
        order_notional_max: float = 25_000.0,
        exposure_max: float = 100_000.0,
        leverage_max: float = 10.0,
        positions_max: int = 4,
        orders_per_minute_max: int = 30,
        orders_per_signal_max: int = 3,
        daily_loss_max: float = 0.01,
        weekly_loss_max: float = 0.02,
        data_age_max_s: float = 1.0,
        event_age_max_s: float = 2.0,
        collar: float = 0.02,
        fill_rate_min: float = 0.0,
        fill_rate_size: float = 0.5,
    ) -> None: ...
    @property
    def size(self) -> float: ...
    def fills(self, now: int) -> tuple[int, int]: ...
    @property
    def halted(self) -> Reason: ...
    @property
    def limits_now(self) -> dict[str, float]: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...
