"""liqcore: detect and trade crypto liquidation cascades, one engine for live, paper, replay and backtest.

The core does no I/O and reads no clock: hand it events, take signals and order requests out. `import liqcore` needs NumPy only.
"""

from os.path import dirname as _dirname

from liqcore._version import __version__
from liqcore.account import Account
from liqcore.audit import FIELDS as AUDIT_FIELDS
from liqcore.audit import AuditKind, whose
from liqcore.detect import Cascade, CascadeConfig, CascadeDetector
from liqcore.detector import Detector
from liqcore.engine import Engine
from liqcore.event import (
    AUDIT_DTYPE,
    EVENT_DTYPE,
    SIGNAL_DTYPE,
    Completeness,
    Control,
    FeedState,
    FillReason,
    Gate,
    Judgment,
    Kind,
    Limit,
    OrderStatus,
    Phase,
    Reason,
    Role,
    Side,
    Signal,
    abi_version,
)
from liqcore.feature import Features
from liqcore.guard import Guard, Verdict
from liqcore.instrument import Instrument
from liqcore.latency import Latency
from liqcore.paper import Paper
from liqcore.passage import Passage
from liqcore.policy import Later, Leave, Market, Policy
from liqcore.quantile import QuantileSketch, RollingQuantile
from liqcore.registry import make_detector
from liqcore.request import Request
from liqcore.risk import Risk
from liqcore.simulate import SimVenue
from liqcore.slot import Alarm, BracketState
from liqcore.standalone import Standalone
from liqcore.tape import Tape
from liqcore.tape_builder import TapeBuilder
from liqcore.terms import Bracket
from liqcore.walk import Walk
from liqcore.window import Window
from liqcore.zscore import SegmentZ

LONG = Side.LONG
SHORT = Side.SHORT
SECOND = 1_000_000_000


def get_include() -> str:
    """Folder for `include_path` of a Cython build that cimports liqcore (see examples/bot_cython)."""
    return _dirname(_dirname(__file__))


__all__ = [
    "AUDIT_DTYPE", "AUDIT_FIELDS", "EVENT_DTYPE", "LONG", "SECOND", "SHORT", "SIGNAL_DTYPE", "Account", "Alarm", "AuditKind", "Bracket",
    "BracketState", "Cascade", "CascadeConfig", "CascadeDetector", "Completeness", "Control", "Detector", "Engine", "Features", "FeedState",
    "FillReason", "Gate", "Guard", "Instrument", "Judgment", "Kind", "Latency", "Later", "Leave", "Limit", "Market", "OrderStatus", "Paper",
    "Passage", "Phase", "Policy", "QuantileSketch", "Reason", "Request", "Risk", "Role", "RollingQuantile", "SegmentZ", "Side", "Signal",
    "SimVenue", "Standalone", "Tape", "TapeBuilder", "Verdict", "Walk", "Window", "__version__", "abi_version", "get_include", "make_detector",
    "whose",
]
