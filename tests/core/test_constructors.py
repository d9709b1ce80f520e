"""Every constructor of liqcore.__all__, by its stub: a wrong type for any argument is an error that names the argument."""

import ast
import enum
import inspect
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc

CORE = Path(lc.__file__).parent
MADE_BY_THE_ENGINE = {
    "Market",
    "Signal",
    "Request",
    "Refused",
    "Detector",
    "Verdict",
    "MarketEvent",
    "CustomDetector",
}  # the last: what derives from it


def given(name: str) -> dict:
    """What a constructor must be given, of a right kind; new objects each time."""
    i = lc.Instrument("ETHUSDT")
    tape = lc.Tape.of([i], np.zeros(0, lc.EVENT_DTYPE)) if name == "Walk" else None
    paper = lc.Paper(lc.Engine([i], audit_capacity=1 << 20), lc.SimVenue([i])) if name == "Walk" else None
    return {
        "Account": {"instruments": [i]},
        "Bracket": {"side": lc.LONG, "stop_loss": 0.01, "notional": 100.0},
        "Declined": {"condition": "x"},
        "CustomFeature": {"name": "own.x", "function": lc.needs("flow.volume@1m")(lambda volume: volume)},
        "Engine": {"instruments": [i]},
        "Guard": {"instruments": [i]},
        "Instrument": {"symbol": "ETHUSDT"},
        "Later": {"at_ns": 5},
        "Paper": {"engine": lc.Engine([i]), "venue": lc.SimVenue([i])},
        "Passage": {"low": np.ones(3, np.int32)},
        "Parameter": {"name": "x", "default": 1.0, "low": 0.0, "high": 2.0, "unit": "s", "meaning": "how long"},
        "PhaseChange": {"phase": lc.Phase.ACTIVE, "side": lc.LONG},
        "SegmentZ": {"segment_ns": 5},
        "SimVenue": {"instruments": [i]},
        "Standalone": {"detector": lc.CascadeDetector()},
        "Tape": {"instruments": [i], "parts": lc.TapeBuilder([i]).take()},
        "TapeBuilder": {"instruments": [i]},
        "Walk": {"paper": paper, "tape": tape},
        "Window": {"horizon_ns": 5},
    }.get(name, {})


def stated(cls: type) -> dict[str, str]:
    """Argument -> type, as the stub of the class, or of the class that it takes its constructor from, says."""
    for base in cls.__mro__:
        file = CORE.joinpath(*base.__module__.split(".")[1:]).with_suffix(".pyi")
        for node in ast.parse(file.read_text()).body if file.exists() else ():
            for d in node.body if isinstance(node, ast.ClassDef) and node.name == base.__name__ else ():
                if isinstance(d, ast.FunctionDef) and d.name == "__init__":
                    return {a.arg: ast.unparse(a.annotation) for a in [*d.args.args[1:], *d.args.kwonlyargs]}
    return {}


CLASSES = [
    name
    for name in lc.__all__
    if inspect.isclass(getattr(lc, name)) and not issubclass(getattr(lc, name), enum.Enum) and name not in MADE_BY_THE_ENGINE
]
ARGUMENTS = [(name, argument, kind) for name in CLASSES for argument, kind in stated(getattr(lc, name)).items()]


def test_nobody_is_left_out():
    assert {name for name, _, _ in ARGUMENTS} >= {
        "Account",
        "Bracket",
        "CascadeConfig",
        "Engine",
        "Guard",
        "Instrument",
        "Latency",
        "Risk",
        "SimVenue",
        "Timetable",
        "Window",
        "Walk",
        "Tape",
    }
    assert len(ARGUMENTS) > 120
    for name in CLASSES:
        getattr(lc, name)(**given(name))


@pytest.mark.parametrize(("name", "argument", "kind"), ARGUMENTS, ids=[f"{name}-{argument}" for name, argument, _ in ARGUMENTS])
def test_a_wrong_type_names_the_argument(name, argument, kind):
    wrongs = [object(), [object()], *(["no"] if "str" not in kind or "float" in kind else [5]), *([None] if "None" not in kind else [])]
    wrongs += [True] if kind in ("int", "float") or "Decimal" in kind else []
    wrongs += [1.5] if kind in ("int", "bool") else []
    for wrong in wrongs:
        right = given(name)
        with pytest.raises((TypeError, ValueError)) as caught:
            getattr(lc, name)(**{**right, argument: wrong})
        assert argument in str(caught.value), f"{name}({argument}={wrong!r}): {caught.value!r}"
        if kind in ("int", "float", "bool") and name != "Guard":  # its limits are judged as those of a file: ValueError
            assert isinstance(caught.value, TypeError), f"{name}({argument}={wrong!r}): {caught.value!r}"


def test_what_a_file_or_numpy_gives_is_taken():
    assert lc.Bracket(np.int8(1), stop_loss=np.float64(0.01), notional=np.float32(50), confidence=np.int64(2), replaces=np.True_).confidence == 2
    assert lc.CascadeConfig(window_s=60, floor=0, warmup=np.int64(5)).as_dict()["warmup"] == 5
    assert lc.Risk(order_notional_max=1000, leverage_max=np.float32(2)).limits_now["order_notional_max"] == 1000.0
    assert lc.Engine(["A"], strict=np.True_).strict and not lc.Engine(["A"], strict=False).strict
    with pytest.raises(TypeError, match="strict: expected True or False, got 'no'"):
        lc.Engine(["A"], strict="no")
    with pytest.raises(ValueError, match="stop_loss: expected a fraction .* got 'x'"):
        lc.Bracket(1, stop_loss="x")
