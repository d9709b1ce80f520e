from decimal import Decimal
from enum import IntEnum
from typing import Literal

from typing_extensions import disjoint_base

from liqcore.instrument import Instrument

class TrailBasis(IntEnum):
    TRAIL_PRICE = 0
    TRAIL_PROFIT = 1

@disjoint_base
class Bracket:
    def __init__(
        self,
        side: int,
        *,
        stop_loss: float | Decimal | str,
        take_profit: float | Decimal | str = 0,
        entry: Literal["post_only", "market"] = "post_only",
        entry_offset: float | Decimal | str = 0,
        reference: int = 0,
        trail: float | Decimal | str = 0,
        entry_ttl_s: float = 1800,
        max_hold_s: float = 1800,
        cooldown_s: float = 300,
        notional: float = 0.0,
        equity_share: float = 0.0,
        confidence: int = 0,
        exit_phase: int = 0,
        requotes: int = 0,
        judge_s: float = 0.0,
        replaces: bool = False,
        trail_basis: Literal["price", "profit"] = "price",
        trail_from: float | Decimal | str = 0,
        with_news: str | int = "enter",
        without_news: str | int = "enter",
    ) -> None: ...
    @property
    def side(self) -> int: ...
    @property
    def confidence(self) -> int: ...
    @property
    def outcomes(self) -> dict[str, tuple[str, int]]: ...
    @property
    def reference(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def turned(self, side: int) -> Bracket: ...
    def prices(self, instrument: Instrument, reference_price: float) -> dict[str, str]: ...
