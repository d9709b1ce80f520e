"""Detectors by kind: make_detector(kind, name, **parameters), and the table of the parameters of each kind.

Modules are imported when a kind is asked for, so a kind costs nothing to those who do not use it.
"""

from typing import Any

from liqcore.detectors.custom import CustomDetector
from liqcore.detectors.detector import Detector
from liqcore.detectors.parameters import Parameter, Table, resolve_parameters

#: kind -> (module, class, its signal in words). The class is called as CLASS(name, **parameters); the module's PARAMETERS is the table.
_KINDS = {
    "cascade": ("detectors.cascade", "CascadeDetector", "large liquidations (rolling quantile) that follow each other within a window: `fade`"),
    "anomaly": ("detectors.segment_anomaly", "Anomaly", "a time segment with far more liquidated than usual, nearly all of one side: `trend`"),
    "dollar": ("detectors.usd_window", "Dollar", "more than a given sum of dollars of one side within a rolling window: `momentum`, `cascade-fade`"),
    "imbalance": ("detectors.imbalance", "Imbalance", "most of the liquidated notional is of one side: `imbalance`"),
    "rate": ("detectors.event_rate", "Rate", "the rate of liquidations is far above usual: `breakout`"),
    "zone": ("detectors.price_zone", "Zone", "price returns to a range in which much was liquidated: `zone`"),
    "hawkes": ("detectors.self_excitation", "SelfExcitation", "self-excitation: intensity or branching ratio above its own history"),
    "bars": ("detectors.bar_clock", "Bars", "a signal at every multiple of a period, for policies that use bars"),
}
KINDS = tuple(_KINDS)


def _module(kind: str) -> Any:
    from importlib import import_module  # not at import: the core starts in milliseconds

    return import_module(f"liqcore.{_known(kind)[0]}")


def _known(kind: str) -> tuple[str, str, str]:
    if kind not in KINDS:
        raise ValueError(f"detector kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    return _KINDS[kind]


def meaning(kind: str) -> str:
    """What detectors of the kind find, and which published systems use it."""
    return _known(kind)[2]


def parameters(kind: str) -> Table:
    """The parameters of a kind: name, default, range, unit, meaning. ValueError for an unknown kind."""
    table: Table = _module(kind).PARAMETERS
    return table


def make_detector(kind: str | type[CustomDetector], name: str = "", **params: Any) -> Detector:
    """A fresh detector of one Engine (or Standalone): `name` identifies it in policies, signals and reports; by default the kind.

    kind: one of KINDS, or a class of your own that derives from liqcore.CustomDetector.
    ValueError for an unknown kind or parameter and for a value out of its range; it names the expected values.
    """
    if isinstance(kind, type):
        from liqcore.detectors.python_detector import PythonDetector  # not at import: few runs have one

        own: Detector = PythonDetector(kind, name or kind.__name__.lower(), params)
        return own
    _, cls, _ = _known(kind)
    if not isinstance(name, str) or name != name.strip() or len(name) > 64:
        raise ValueError(f"detector {kind}, name: expected a word of at most 64 characters, got {name!r}")
    made: Detector = getattr(_module(kind), cls)(name=name or kind, **resolve_parameters(kind, parameters(kind), params))
    return made


__all__ = ["KINDS", "Parameter", "Table", "make_detector", "meaning", "parameters", "resolve_parameters"]
