"""What the policies that ship have in common: their numbers come from a preset, symbol by symbol, and what they remember is plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import liqcore as lc
from liqshell.toml import text

BARS = "bars"           # name of the detector that makes a policy look at every new minute


def feature(group: str) -> Any:
    """A parameter that holds the name of a feature. group: for the message."""
    return text(None, r"[A-Za-z0-9_.@:()/,=-]{3,120}", f"the name of a feature, such as '{group}'")


@dataclass(frozen=True)
class NoParameters:
    """Of a rule whose only numbers are its bracket and its detector."""


class Ruled(lc.Policy):
    """default: keyword arguments of liqcore.Bracket (without side); brackets: the same by symbol; parameters: fields of `numbers_type` by symbol.

    A subclass names what it listens to in `detectors`, and the dataclass of its rule's numbers in `numbers_type`; a field `feature_*` holds the name
    of a feature that it reads. What it remembers (signals, features, prices, its own wishes; never fills) is in `memory`, by signal.instrument, as
    JSON values.
    """

    numbers_type: ClassVar[type] = NoParameters
    detectors: tuple[str, ...] = ()

    def __init__(self, default: Mapping[str, Any], brackets: Mapping[str, Mapping[str, Any]] | None = None,
                 parameters: Mapping[str, Mapping[str, Any]] | None = None):
        self._default = dict(default)
        self._brackets = {symbol: dict(terms) for symbol, terms in (brackets or {}).items()}
        self._numbers = {symbol: self.numbers_type(**found) for symbol, found in (parameters or {}).items()}
        self.features: tuple[str, ...] = tuple(dict.fromkeys(getattr(numbers, f.name) for numbers in self._numbers.values() for f in fields(numbers)
                                                             if f.name.startswith("feature_")))
        self.symbols: tuple[str, ...] = ()          # all
        self.memory: dict[int, dict[str, Any]] = {}

    def numbers(self, market: lc.Market) -> Any:
        """The parameters of this market's symbol."""
        return self._numbers[market.instrument.symbol]

    def terms(self, market: lc.Market) -> dict[str, Any]:
        """[policy] for this market's symbol: keyword arguments of liqcore.Bracket."""
        return self._brackets.get(market.instrument.symbol, self._default)

    def bracket(self, market: lc.Market, side: int, **changed: Any) -> lc.Bracket:
        """The bracket of [policy] for this market's symbol, with what the rule says otherwise this time."""
        return lc.Bracket(side, **(self.terms(market) | changed))

    def sized(self, market: lc.Market, notional: float) -> dict[str, float]:
        """A size of the rule's own, quote currency. [policy] notional is its ceiling, so that what a person agreed to is never exceeded; where
        [policy] says equity_share, that is the size."""
        terms = self.terms(market)
        return {} if terms.get("equity_share") else {"notional": min(notional, terms["notional"])}

    def remembered(self, signal: lc.Signal) -> dict[str, Any]:
        """What this policy remembers of the signal's instrument; may be changed."""
        return self.memory.setdefault(signal.instrument, {})

    def ask(self, signal: lc.Signal, market: lc.Market, side: int, bracket: Mapping[str, Any] | None = None, **noted: Any) -> lc.Bracket | None:
        """A bracket, and a note of when, where and why it was asked for: see wish(). None before any price is known."""
        if not market.last > 0.0:
            return None
        out = self.bracket(market, side, **(bracket or {}))
        self.remembered(signal)["wish"] = {"ts": market.now, "side": int(side), "price": market.last, **noted}
        return out

    def wish(self, signal: lc.Signal, market: lc.Market) -> dict[str, Any] | None:
        """The latest bracket asked for on this instrument, as long as what came of it may still be open. Whether it is, a policy does not know."""
        found: dict[str, Any] | None = self.remembered(signal).get("wish")
        if found is not None and market.now - found["ts"] > (self.terms(market)["max_hold_s"] + self.terms(market)["entry_ttl_s"]) * lc.SECOND:
            del self.remembered(signal)["wish"]
            return None
        return found

    def leave(self, signal: lc.Signal) -> lc.Leave:
        """Leave, and forget the wish."""
        self.remembered(signal).pop("wish", None)
        return lc.Leave()

    def snapshot(self) -> bytes:
        known = {str(instrument): told for instrument, told in sorted(self.memory.items()) if told}
        return json.dumps(known, sort_keys=True).encode() if known else b""

    def restore(self, data: bytes) -> None:
        try:
            self.memory = {int(instrument): dict(told) for instrument, told in json.loads(data or b"{}").items()}
        except (ValueError, AttributeError, TypeError) as why:
            raise ValueError(f"{type(self).__name__}: this is not a snapshot of it: {why}") from None
