from enum import IntEnum
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

class AuditKind(IntEnum):
    AUDIT_REFUSED = 1
    AUDIT_SIGNAL = 2
    AUDIT_POLICY = 3
    AUDIT_RISK = 4
    AUDIT_REQUEST = 5
    AUDIT_ORDER = 6
    AUDIT_FILL = 7
    AUDIT_BRACKET = 8
    AUDIT_TRADE = 9
    AUDIT_FEED = 10
    AUDIT_LIMIT = 11
    AUDIT_LAPSED = 12
    AUDIT_LARGE = 13
    AUDIT_ALARM = 14
    AUDIT_FUNDING = 15
    AUDIT_JUDGE = 16

FIELDS: dict[AuditKind, tuple[str, tuple[str, ...]]]
VIEWS: dict[AuditKind, np.dtype[np.void]]
DECLINED: frozenset[int]
GAVE_WAY: frozenset[int]
DECLINED_DTYPE: np.dtype[np.void]
GAVE_WAY_DTYPE: np.dtype[np.void]

def form(kind: int, reason: int = 0) -> np.dtype[np.void]: ...
def view(records: NDArray[np.void], kind: int) -> NDArray[np.void]: ...
def named(record: np.void) -> np.void: ...
def rows(records: NDArray[np.void]) -> list[Any]: ...
def converted(records: NDArray[np.void]) -> NDArray[np.void]: ...
@overload
def whose(numbered: float) -> tuple[int, int]: ...
@overload
def whose(numbered: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def declined(record: Any) -> tuple[str, float, float] | None: ...

@disjoint_base
class AuditRing:
    @property
    def lost(self) -> int: ...
    def __init__(self, capacity: int = 65536) -> None: ...
    def __len__(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def next_sequence(self) -> int: ...
    def touch(self) -> None: ...
    def drain(self) -> NDArray[np.void]: ...
