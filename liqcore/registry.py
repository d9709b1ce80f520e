"""Detectors by kind: make_detector(kind, name, **parameters), and the table of what each kind can be told.

Modules are imported when a kind is asked for, so a kind costs nothing to those who do not use it.
"""

from typing import Any

from liqcore.detector import Detector
from liqcore.parameters import Parameter, Table, settled

#: those of CascadeConfig, which checks them once more
CASCADE = (
    Parameter("quantile", 0.95, 1e-9, 1 - 1e-9, "", "a liquidation is large from this quantile of the instrument's last ones on (S2-02)"),
    Parameter("window_events", 1000, 2, 1_000_000, "liquidations", "how many last ones"),
    Parameter("window_s", 60.0, 1e-3, 1e6, "s", "large liquidations this close together make a cascade (S2-04)"),
    Parameter("min_events", 2, 1, 1_000_000, "liquidations", "how many large ones make it ACTIVE (S2-04)"),
    Parameter("warmup", 100, 1, 1_000_000_000, "liquidations", "liquidations of an instrument before its first can be large (S2-02)"),
    Parameter("refresh_s", 0.0, 0.0, 1e8, "s", "learn the threshold anew after this time; 0 = before every event"),
    Parameter("mode", "chain", 0, 0, "", "within the window of the last large liquidation, or of the first (C14)", ("chain", "anchored")),
    Parameter("floor", 0.0, 0.0, 1e15, "quote currency", "least notional of a large liquidation (C14)"),
    Parameter("decay_s", 10.0, 1e-3, 1e5, "s", "horizon of the rolling notional"),
    Parameter("fall", 0.6, 0.0, 1.0, "share", "DECELERATING when the rolling notional has fallen by more than this from its peak"),
    Parameter("segment_s", 60.0, 1e-3, 1e6, "s", "time segments of the z-score"),
    Parameter("baseline", 288, 2, 100_000, "segments", "baseline of the z-score"),
    Parameter("notional", "reported", 0, 0, "", "price that the notional is taken at", ("reported", "mark", "last")),
)

#: kind -> (module, class, what it finds). The class is called as CLASS(name, **parameters); the module's PARAMETERS is the table.
_KINDS = {
    "cascade": ("detect", "CascadeDetector", "large liquidations (rolling quantile) that follow each other within a window: S0, S2"),
    "anomaly": ("anomaly", "Anomaly", "a time segment with far more liquidated than usual, nearly all of one side: S1-06, S1-07"),
    "dollar": ("dollar", "Dollar", "more than so many dollars of one side within a rolling window: S3-01, S3-02, S4-10"),
    "imbalance": ("imbalance", "Imbalance", "most of what is liquidated is of one side: S4-11"),
    "rate": ("rate", "Rate", "liquidations come far faster than usual: S4-13"),
    "zone": ("zone", "Zone", "price comes back to where much was liquidated: S4-12"),
    "hawkes": ("excited", "Excited", "self-excitation: intensity or branching ratio above its own history"),
    "bars": ("bars", "Bars", "a signal at every multiple of a period, for policies that look at bars"),
}
KINDS = tuple(_KINDS)


def _module(kind: str) -> Any:
    from importlib import import_module     # not at import: the core starts in milliseconds

    return import_module(f"liqcore.{_known(kind)[0]}")


def _known(kind: str) -> tuple[str, str, str]:
    if kind not in KINDS:
        raise ValueError(f"detector kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    return _KINDS[kind]


def meaning(kind: str) -> str:
    """What detectors of the kind find, and which written systems ask for it."""
    return _known(kind)[2]


def parameters(kind: str) -> Table:
    """The parameters of a kind: name, default, range, unit, meaning. ValueError for an unknown kind."""
    if kind == "cascade":
        return CASCADE
    table: Table = _module(kind).PARAMETERS
    return table


def make_detector(kind: str, name: str = "", **params: Any) -> Detector:
    """A fresh detector of one Engine (or Standalone): `name` is what policies, signals and reports call it, the kind where none is given.

    ValueError, naming what is expected, for an unknown kind or parameter and for a value out of its range.
    """
    _, cls, _ = _known(kind)
    if not isinstance(name, str) or name != name.strip() or len(name) > 64:
        raise ValueError(f"detector {kind}, name: expected a word of at most 64 characters, got {name!r}")
    made: Detector = getattr(_module(kind), cls)(name=name or kind, **settled(kind, parameters(kind), params))
    return made


__all__ = ["KINDS", "Parameter", "Table", "make_detector", "meaning", "parameters", "settled"]
