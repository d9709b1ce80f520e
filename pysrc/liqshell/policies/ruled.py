"""What the policies that ship have in common: their numbers come from a preset, symbol by symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import liqcore as lc


@dataclass(frozen=True)
class NoParameters:
    """Of a rule whose only numbers are its bracket and its detector."""


class Ruled(lc.Policy):
    """default: keyword arguments of liqcore.Bracket (without side); brackets: the same by symbol; parameters: fields of `Parameters` by symbol.

    A subclass names what it listens to in `detectors`, and in `Parameters` the numbers of its rule; a field `feature_*` holds the name of a feature
    that it reads. It may remember signals, features and prices, by signal.instrument; never fills.
    """

    Parameters: ClassVar[type] = NoParameters
    detectors: tuple[str, ...] = ()

    def __init__(self, default: Mapping[str, Any], brackets: Mapping[str, Mapping[str, Any]] | None = None,
                 parameters: Mapping[str, Mapping[str, Any]] | None = None):
        self._default = dict(default)
        self._brackets = {symbol: dict(terms) for symbol, terms in (brackets or {}).items()}
        self._numbers = {symbol: self.Parameters(**found) for symbol, found in (parameters or {}).items()}
        self.features: tuple[str, ...] = tuple(dict.fromkeys(getattr(numbers, f.name) for numbers in self._numbers.values() for f in fields(numbers)
                                                             if f.name.startswith("feature_")))
        self.symbols: tuple[str, ...] = ()          # all

    def numbers(self, market: lc.Market) -> Any:
        """The parameters of this market's symbol."""
        return self._numbers[market.instrument.symbol]

    def bracket(self, market: lc.Market, side: int, **changed: Any) -> lc.Bracket:
        """The bracket of [policy] for this market's symbol, with what the rule says otherwise this time."""
        return lc.Bracket(side, **(self._brackets.get(market.instrument.symbol, self._default) | changed))
