"""Detectors by kind: make_detector(kind, name, **parameters), and the table of what each kind can be told.

Modules are imported when a kind is asked for, so a kind costs nothing to those who do not use it.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from liqcore.detector import Detector
from liqcore.parameters import Parameter, Table, settled

#: kind -> (module, class, what it finds). The class is called as CLASS(name, **parameters); the module's PARAMETERS is the table.
_KINDS = {
    "cascade": ("cascade", "CascadeDetector", "large liquidations (rolling quantile) that follow each other within a window: S0, S2"),
    "anomaly": ("anomaly", "Anomaly", "a time segment with far more liquidated than usual, nearly all of one side: S1-06, S1-07"),
    "dollar": ("dollar", "Dollar", "more than so many dollars of one side within a rolling window: S3-01, S3-02, S4-10"),
    "imbalance": ("imbalance", "Imbalance", "most of what is liquidated is of one side: S4-11"),
    "rate": ("rate", "Rate", "liquidations come far faster than usual: S4-13"),
    "zone": ("zone", "Zone", "price comes back to where much was liquidated: S4-12"),
    "hawkes": ("excited", "Hawkes", "self-excitation: intensity or branching ratio above its own history"),
    "bars": ("bars", "Bars", "a signal at every multiple of a period, for policies that look at bars"),
}
KINDS = tuple(kind for kind, (module, _, _) in _KINDS.items() if find_spec(f"liqcore.{module}") is not None)


def _known(kind: str) -> tuple[str, str, str]:
    if kind not in KINDS:
        raise ValueError(f"detector kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    return _KINDS[kind]


def meaning(kind: str) -> str:
    """What detectors of the kind find, and which written systems ask for it."""
    return _known(kind)[2]


def parameters(kind: str) -> Table:
    """The parameters of a kind: name, default, range, unit, meaning. ValueError for an unknown kind."""
    table: Table = import_module(f"liqcore.{_known(kind)[0]}").PARAMETERS
    return table


def make_detector(kind: str, name: str = "", **params: Any) -> Detector:
    """A fresh detector of one Engine (or Standalone): `name` is what policies, signals and reports call it, the kind where none is given.

    ValueError, naming what is expected, for an unknown kind or parameter and for a value out of its range.
    """
    module, cls, _ = _known(kind)
    if not isinstance(name, str) or name != name.strip() or len(name) > 64:
        raise ValueError(f"detector {kind}, name: expected a word of at most 64 characters, got {name!r}")
    made: Detector = getattr(import_module(f"liqcore.{module}"), cls)(name or kind, **params)
    return made


__all__ = ["KINDS", "Parameter", "Table", "make_detector", "meaning", "parameters", "settled"]
