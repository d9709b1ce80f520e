from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

EVENT_DTYPE: np.dtype[np.void]
SIGNAL_DTYPE: np.dtype[np.void]
REQUEST_DTYPE: np.dtype[np.void]
AUDIT_DTYPE: np.dtype[np.void]

def as_events(events: NDArray[np.void]) -> NDArray[np.void]: ...
def abi_version() -> int: ...
def reads_abi(number: object) -> bool: ...

class Side(IntEnum):
    SHORT = -1
    LONG = 1

class Kind(IntEnum):
    LIQUIDATION = 1
    TRADE = 2
    BBO = 3
    TICKER = 4
    TIMER = 5
    FEED = 6
    ORDER = 7
    FILL = 8
    CONTROL = 9
    FUNDING = 10
    VERDICT = 11
    DELEVERAGE = 12
    VENUE_STATE = 13

class Stream(IntEnum):
    STREAM_LIQUIDATION = 1
    STREAM_TRADE = 2
    STREAM_QUOTE = 4
    STREAM_MARK = 8
    STREAM_INDEX = 16
    STREAM_FUNDING = 32
    STREAM_OPEN_INTEREST = 64
    STREAM_VENUE = 128

class Statement(IntEnum):
    STATES_LIMITS = 1
    STATES_POOL = 2

class PoolFlag(IntEnum):
    POOL_NO_BALANCE = 1
    POOL_NO_DRAWDOWN = 2
    POOL_NO_DISTANCE = 4

class Judgment(IntEnum):
    JUDGE_CONFIRM = 1
    JUDGE_VETO = 2
    JUDGE_HOLD = 3
    JUDGE_FAILED = 4

class Phase(IntEnum):
    IDLE = 0
    BUILDING = 1
    ACTIVE = 2
    DECELERATING = 3
    EXHAUSTED = 4

class Completeness(IntEnum):
    COMPLETENESS_UNKNOWN = 0
    COMPLETENESS_FULL = 1
    COMPLETENESS_CENSORED = 2

class FeedState(IntEnum):
    FEED_UP = 1
    FEED_DOWN = 2
    FEED_GAP = 3

class Control(IntEnum):
    CONTROL_HALT = 1
    CONTROL_RESUME = 2
    CONTROL_FLATTEN = 3
    CONTROL_PAUSE = 4
    CONTROL_READY = 5
    CONTROL_LOWER = 6

class Limit(IntEnum):
    LIMIT_ORDER_NOTIONAL = 1
    LIMIT_EXPOSURE = 2
    LIMIT_LEVERAGE = 3
    LIMIT_POSITIONS = 4
    LIMIT_ORDERS_PER_MINUTE = 5
    LIMIT_ORDERS_PER_SIGNAL = 6
    LIMIT_DAILY_LOSS = 7
    LIMIT_WEEKLY_LOSS = 8
    LIMIT_DATA_AGE = 9
    LIMIT_EVENT_AGE = 10
    LIMIT_COLLAR = 11
    LIMIT_SIZE = 12

class Gate(IntEnum):
    GATE_START = 1
    GATE_PRIVATE = 2
    GATE_ORDERS = 3
    GATE_RECONCILE = 4
    GATE_UNKNOWN = 5
    GATE_CLOCK = 6
    GATE_RATE = 7
    GATE_DISK = 8
    GATE_STALL = 9
    GATE_SYMBOL = 10
    GATE_MARKET = 11
    GATE_LATE = 12
    GATE_HOURS = 13
    GATE_BLACKOUT = 14

class OrderStatus(IntEnum):
    ORDER_NEW = 1
    ORDER_REJECTED = 2
    ORDER_CANCELLED = 3
    ORDER_TRIGGERED = 4
    ORDER_DONE = 5
    ORDER_UNKNOWN = 6
    ORDER_REFUSED = 7

class FillReason(IntEnum):
    FILL_CROSS = 1
    FILL_THROUGH = 2
    FILL_TOUCH = 3
    FILL_QUEUE = 4
    FILL_STOP = 5
    FILL_TIMEOUT = 6
    FILL_LIQUIDATED = 7
    FILL_CLOSE = 8

class FillFlag(IntEnum):
    FILL_MAKER = 1
    FILL_PRINT = 2
    FILL_MOVED = 4

class Role(IntEnum):
    ROLE_ENTRY = 1
    ROLE_STOP = 2
    ROLE_TARGET = 3
    ROLE_CLOSE = 4
    ROLE_LIQUIDATION = 5
    ROLE_OUTSIDE = 6

class Action(IntEnum):
    ACTION_CREATE = 1
    ACTION_AMEND = 2
    ACTION_CANCEL = 3

class OrderType(IntEnum):
    ORDER_LIMIT = 1
    ORDER_MARKET = 2
    ORDER_STOP_MARKET = 3

class RequestFlag(IntEnum):
    POST_ONLY = 1
    REDUCE_ONLY = 2

class SignalFlag(IntEnum):
    SIGNAL_UNCERTAIN = 1
    SIGNAL_STALE = 2
    SIGNAL_CENSORED = 4
    SIGNAL_MARK_NOTIONAL = 8

class Reason(IntEnum):
    OK = 0
    BAD_INSTRUMENT = 1
    BAD_KIND = 2
    BAD_SIDE = 3
    BAD_PRICE = 4
    BAD_QTY = 5
    BAD_TIME = 6
    BAD_BAND = 7
    BAD_BOOK = 8
    BAD_CODE = 9
    NO_TRADE = 20
    PHASE = 21
    BRACKET_OPEN = 22
    COOLDOWN = 23
    UNCERTAIN = 24
    STALE_EVENT = 25
    NO_PRICE = 26
    BAD_BRACKET = 27
    NETTED = 28
    ASK_LATER = 29
    POLICY_LEAVE = 30
    WEAKER = 31
    JUDGING = 32
    VETOED = 33
    UNJUDGED = 34
    REPLACING = 35
    HALTED = 40
    RISK_QTY = 41
    RISK_NOTIONAL = 42
    RISK_EXPOSURE = 43
    RISK_POSITIONS = 44
    RISK_RATE = 45
    RISK_PER_SIGNAL = 46
    RISK_DAILY_LOSS = 47
    RISK_WEEKLY_LOSS = 48
    RISK_STALE_DATA = 49
    RISK_COLLAR = 50
    RISK_LEVERAGE = 51
    NOT_READY = 52
    RISK_GUARD = 53
    QUOTE_ENDED = 54
    STOP_PASSED = 55
    END_TTL = 60
    END_TARGET = 61
    END_STOP = 62
    END_MAX_HOLD = 63
    END_PHASE = 64
    END_POST_ONLY = 65
    END_CONTROL = 66
    END_UNPROTECTED = 67
    END_REPLACED = 68
    END_VENUE = 69
    END_REDUCE_ONLY = 70
    END_LIQUIDATED = 71
    END_OUTSIDE = 72
    END_POLICY = 73

PHASES: tuple[Phase, ...]
LONG_SIDE: Side
SHORT_SIDE: Side

@disjoint_base
class Signal:
    @property
    def ts(self) -> int: ...
    @property
    def ts_start(self) -> int: ...
    @property
    def instrument(self) -> int: ...
    @property
    def detector(self) -> int: ...
    @property
    def phase(self) -> Phase: ...
    @property
    def side(self) -> Side: ...  # NO_SIDE, which is 0, of a signal that has none: a bar
    @property
    def flags(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def long_notional(self) -> float: ...
    @property
    def short_notional(self) -> float: ...
    @property
    def notional(self) -> float: ...
    @property
    def imbalance(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def z(self) -> float: ...
    @property
    def score(self) -> float: ...
    @property
    def price(self) -> float: ...
    @property
    def rolling(self) -> float: ...
    def as_dict(self) -> dict[str, Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
