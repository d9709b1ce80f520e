"""liqcore: detect and trade crypto liquidation cascades, one engine for live, paper, replay and backtest.

The core does no I/O and reads no clock: hand it events, take signals and order requests out. `import liqcore` needs NumPy only.
"""

from importlib import import_module as _import_module
from os.path import dirname as _dirname

import liqcore.old_paths as _old_paths
from liqcore._version import __version__
from liqcore.audit import FIELDS as AUDIT_FIELDS
from liqcore.audit import AuditKind, whose
from liqcore.bracket_spec import Bracket
from liqcore.detectors.cascade import Cascade, CascadeConfig, CascadeDetector
from liqcore.detectors.custom import CustomDetector, MarketEvent, PhaseChange
from liqcore.detectors.detector import Detector
from liqcore.detectors.parameters import Parameter
from liqcore.detectors.registry import make_detector
from liqcore.detectors.single import Standalone
from liqcore.engine import Engine
from liqcore.event import (
    AUDIT_DTYPE,
    EVENT_DTYPE,
    SIGNAL_DTYPE,
    Completeness,
    Control,
    FeedState,
    FillFlag,
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
    Stream,
    abi_version,
)
from liqcore.execution.account import Account
from liqcore.execution.order_state import Alarm, BracketState
from liqcore.execution.risk import Risk
from liqcore.features.custom import CustomFeature, needs
from liqcore.features.features import Features
from liqcore.instrument import Instrument
from liqcore.kernels.quantile import QuantileSketch, RollingQuantile
from liqcore.kernels.window import Window
from liqcore.kernels.zscore import SegmentZ
from liqcore.policy import Declined, Later, Leave, Market, Policy
from liqcore.refused import Refused
from liqcore.request import Request
from liqcore.timetable import Timetable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from liqcore.guard import Guard, Verdict
    from liqcore.kernels.first_passage import Passage
    from liqcore.simulation.latency import Latency
    from liqcore.simulation.paper import Paper
    from liqcore.simulation.tape import Tape
    from liqcore.simulation.tape_builder import TapeBuilder
    from liqcore.simulation.tape_runner import Walk
    from liqcore.simulation.venue import SimVenue

LONG = Side.LONG
SHORT = Side.SHORT
SECOND = 1_000_000_000

# what a live engine does not need: imported at its first use
_LATER = {
    "Guard": "guard",
    "Latency": "simulation.latency",
    "Paper": "simulation.paper",
    "Passage": "kernels.first_passage",
    "SimVenue": "simulation.venue",
    "Tape": "simulation.tape",
    "TapeBuilder": "simulation.tape_builder",
    "Verdict": "guard",
    "Walk": "simulation.tape_runner",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        return _old_paths.moved(name, stacklevel=3)
    found = globals()[name] = getattr(_import_module(f"{__name__}.{_LATER[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


def get_include() -> str:
    """Folder for `include_path` of a Cython build that cimports liqcore (see examples/bot_cython)."""
    return _dirname(_dirname(__file__))


__all__ = [
    "AUDIT_DTYPE",
    "AUDIT_FIELDS",
    "EVENT_DTYPE",
    "LONG",
    "SECOND",
    "SHORT",
    "SIGNAL_DTYPE",
    "Account",
    "Alarm",
    "AuditKind",
    "Bracket",
    "BracketState",
    "Cascade",
    "CascadeConfig",
    "CascadeDetector",
    "Completeness",
    "Control",
    "CustomDetector",
    "CustomFeature",
    "Declined",
    "Detector",
    "Engine",
    "Features",
    "FeedState",
    "FillFlag",
    "FillReason",
    "Gate",
    "Guard",
    "Instrument",
    "Judgment",
    "Kind",
    "Latency",
    "Later",
    "Leave",
    "Limit",
    "Market",
    "MarketEvent",
    "OrderStatus",
    "Paper",
    "Parameter",
    "Passage",
    "Phase",
    "PhaseChange",
    "Policy",
    "QuantileSketch",
    "Reason",
    "Refused",
    "Request",
    "Risk",
    "Role",
    "RollingQuantile",
    "SegmentZ",
    "Side",
    "Signal",
    "SimVenue",
    "Standalone",
    "Stream",
    "Tape",
    "TapeBuilder",
    "Timetable",
    "Verdict",
    "Walk",
    "Window",
    "__version__",
    "abi_version",
    "get_include",
    "make_detector",
    "needs",
    "whose",
]
