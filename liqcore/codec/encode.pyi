from collections.abc import Callable, Sequence
from typing import final

from typing_extensions import Buffer

from liqcore.instrument import Instrument

class Hole:
    SYMBOL: int
    PRICE: int
    QTY: int
    STOP: int
    ID: int
    CAUSE: int
    NOW_MS: int

class Variant:
    action: int
    type: int
    side: int
    post_only: bool
    reduce_only: bool
    has_price: bool
    has_qty: bool
    has_stop: bool
    def __init__(
        self, action: int, type: int, side: int, post_only: bool, reduce_only: bool, has_price: bool, has_qty: bool, has_stop: bool
    ) -> None: ...

@final
class OrderEncoder:
    size_max: int
    symbols: tuple[str, ...]
    def __init__(self, template: Callable[[Variant], list[str | int] | None], instruments: Sequence[Instrument]) -> None: ...
    def encode(self, request: Buffer, ts_ms: int) -> bytes: ...
