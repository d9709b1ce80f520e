from enum import IntEnum
from typing import Self

from typing_extensions import disjoint_base

from liqcore.audit import AuditRing

class BracketState(IntEnum):
    BRACKET_FLAT = 0
    BRACKET_ENTERING = 1
    BRACKET_HOLDING = 2
    BRACKET_LEAVING = 3
    BRACKET_WINDING = 4

class Alarm(IntEnum):
    ALARM_UNPROTECTED = 1
    ALARM_UNKNOWN = 2
    ALARM_STUCK = 3
    ALARM_OVERFILL = 4
    ALARM_FOREIGN = 5
    ALARM_SIDE = 6
    ALARM_EXECUTIONS = 7
    ALARM_POLICY = 9
    ALARM_LATE = 8
    ALARM_LIQUIDATED = 10
    ALARM_OUTSIDE = 11
    ALARM_WAITING = 12
    ALARM_FILLS = 13

ORDER_STATUS: tuple[str, ...]
ORDER_ASKED: tuple[str, ...]

@disjoint_base
class RequestQueue:
    def __new__(cls, audit: AuditRing, capacity: int = 1024, patience: float = 1.0) -> Self: ...
