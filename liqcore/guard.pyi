from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from typing_extensions import Buffer, disjoint_base

from liqcore.engine import Engine
from liqcore.event import Reason
from liqcore.instrument import Instrument
from liqcore.request import Request

SNAPSHOT_NAME: bytes
SNAPSHOTS: dict[bytes, tuple[int, int]]
LIMITS: dict[str, tuple[float, float, bool]]

class Breach(IntEnum):
    BREACH_NONE = 0
    BREACH_ADDRESS = 1
    BREACH_QTY = 2
    BREACH_EXIT = 3
    BREACH_ENTRY = 4
    BREACH_NO_STOP = 5
    BREACH_STOP_SIDE = 6
    BREACH_NOTIONAL = 7
    BREACH_OLD_BRACKET = 8
    BREACH_PER_SIGNAL = 9
    BREACH_REQUESTS = 10

class Verdict(IntEnum):
    PASS = 0
    REFUSE = 1
    LATER = 2

@disjoint_base
class Guard:
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def passed(self) -> int: ...
    @property
    def later(self) -> int: ...
    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        order_notional_max: float = 25_000.0,
        total_notional_max: float = 100_000.0,
        collar: float = 0.02,
        orders_per_minute_max: int = 30,
        orders_per_signal_max: int = 3,
        requests_per_bracket_max: int = 700,
        rate_max: int = 10,
        rate_reserve: int = 4,
        rate_window_s: float = 1.05,
        entry_age_s: float = 2.0,
    ) -> None: ...
    def check(self, request: Request | Buffer, now: int, last_price: float) -> tuple[Verdict, Reason]: ...
    def follow(self, engine: Engine) -> None: ...
    def release(self, instrument: int) -> None: ...
    def watch(self, address: int, owner: object = None) -> None: ...
    def spend(self, now: int) -> None: ...
    def room(self, now: int, entry: bool = False) -> int: ...
    def room_at(self, now: int, entry: bool = False) -> int: ...
    @property
    def killed(self) -> bool: ...
    @property
    def latched(self) -> Reason: ...
    @property
    def latched_ns(self) -> int: ...
    @property
    def breach(self) -> tuple[Breach, int, float, float] | None: ...
    @property
    def entries_off(self) -> bool: ...
    @entries_off.setter
    def entries_off(self, value: bool) -> None: ...
    @property
    def refused(self) -> dict[Reason, int]: ...
    def lift(self) -> None: ...
    def as_sent(self, instrument: int) -> dict[str, Any]: ...
    @property
    def limits_now(self) -> dict[str, Any]: ...
    def lower(self, limits: Mapping[str, object], now: int = 0) -> list[str]: ...
    def snapshot(self) -> bytes: ...
    def restore(self, data: bytes) -> None: ...
