"""Common part of the built-in policies: their numbers come from a preset, symbol by symbol, and their memory is plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite, nan
from typing import Any, ClassVar

import liqcore as lc
from liqcore.event import SignalFlag
from liqshell.fields import text

BARS = "bars"  # name of the detector that makes a policy look at every new minute

PHASE_IS = "phase is"  # a condition whose values are liqcore.Phase
SIDE_IS = "liquidated side is"  # a condition whose values are liqcore.Side
LEAVE = "leave: "  # before the name of a condition for which a rule leaves, or does not

#: settings["declines"] of a new run: 1 = conditions of entries, 2 = also of what is put off, left, or no moment to enter, 3 = and a judge is asked
#: about what it may only hold
EXPLAINS = 3


def feature(group: str, default: str | None = None) -> Any:
    """A parameter that holds the name of a feature. group: for the message; default: for settings that were kept before there was this one."""
    return text(default, r"[A-Za-z0-9_.@:()/,=-]{3,120}", f"the name of a feature, such as '{group}'")


def known(value: float) -> float | None:
    """A number as JSON has it."""
    return value if isfinite(value) else None


@dataclass(frozen=True)
class NoParameters:
    """Of a rule whose only numbers are its bracket and its detector."""


class Ruled(lc.Policy):
    """default: keyword arguments of liqcore.Bracket (without side); brackets: the same by symbol; parameters: fields of `numbers_type` by symbol.

    A subclass names what it listens to in `detectors`, and the dataclass of its rule's numbers in `numbers_type`; a field `feature_*` holds the name
    of a feature that it reads. `memory` keeps its signals, features, prices and wishes (never fills) by signal.instrument, as JSON values.
    """

    numbers_type: ClassVar[type] = NoParameters
    detectors: tuple[str, ...] = ()

    def __init__(
        self,
        default: Mapping[str, Any],
        brackets: Mapping[str, Mapping[str, Any]] | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        self._default = dict(default)
        self._brackets = {symbol: dict(terms) for symbol, terms in (brackets or {}).items()}
        self._usual: dict[tuple[str, int], lc.Bracket] = {}  # made once
        self._numbers = {symbol: self.numbers_type(**found) for symbol, found in (parameters or {}).items()}
        self.features: tuple[str, ...] = tuple(
            dict.fromkeys(
                getattr(numbers, f.name)
                for numbers in self._numbers.values()
                for f in fields(numbers)
                if f.name.startswith("feature_") and getattr(numbers, f.name)
            )
        )
        self.symbols: tuple[str, ...] = ()  # all
        self.explains = EXPLAINS  # less in the replay of a recording from before all conditions were written down
        self.memory: dict[int, dict[str, Any]] = {}

    def numbers(self, market: lc.Market) -> Any:
        """The parameters of this market's symbol."""
        return self._numbers[market.instrument.symbol]

    def terms(self, market: lc.Market) -> dict[str, Any]:
        """[policy] for this market's symbol: keyword arguments of liqcore.Bracket."""
        return self._brackets.get(market.instrument.symbol, self._default)

    def unmet(self, condition: str, value: float, threshold: float, since: int = 1) -> lc.Declined | None:
        """The answer without an entry, with its condition: see liqcore.Policy.decline. since: see EXPLAINS."""
        return self.decline(condition, value, threshold) if self.explains >= since else None

    def aside(self, condition: str, value: float, threshold: float) -> lc.Declined | None:
        """The condition of an answer that puts off, or at no moment to enter."""
        return self.unmet(condition, value, threshold, 2)

    def stay(self, condition: str = "own wishes out, at least", value: float = 0, threshold: float = 1) -> lc.Declined | None:
        """The condition to leave that is not met; that of a wish, where there is none."""
        return self.aside(LEAVE + condition, value, threshold)

    def wrong_phase(self, signal: lc.Signal, wanted: int = lc.Phase.ACTIVE, latest: Sequence[int] | None = None) -> lc.Declined | None:
        """It is not the phase to enter in. latest: number and phase of the detector's last signal, where a rule that is asked again remembers it."""
        number, phase = latest or (signal.sequence, signal.phase)
        if number != signal.sequence:
            return self.aside("episodes since, at most", number - signal.sequence, 0)
        return self.aside(PHASE_IS, int(phase), int(wanted))

    def bracket(self, market: lc.Market, side: int, **changed: Any) -> lc.Bracket:
        """The bracket of [policy] for this market's symbol, with what the rule says otherwise this time."""
        if changed:
            return lc.Bracket(side, **(self.terms(market) | changed))
        key = market.instrument.symbol, side
        if key not in self._usual:
            self._usual[key] = lc.Bracket(side, **self.terms(market))
        return self._usual[key]

    def sized(self, market: lc.Market, notional: float) -> dict[str, float]:
        """A size of the rule's own, quote currency. [policy] notional is its ceiling, so that what a person agreed to is never exceeded; where
        [policy] says equity_share, that is the size."""
        terms = self.terms(market)
        return {} if terms.get("equity_share") else {"notional": min(notional, terms["notional"])}

    def remembered(self, signal: lc.Signal) -> dict[str, Any]:
        """The policy's memory of the signal's instrument; may be changed."""
        return self.memory.setdefault(signal.instrument, {})

    def ask(
        self, signal: lc.Signal, market: lc.Market, side: int, bracket: Mapping[str, Any] | None = None, **noted: Any
    ) -> lc.Bracket | lc.Declined | None:
        """A bracket, and a note of when, where and why it was asked for: see intent(). Declined before any price is known."""
        if not market.last > 0.0:
            return self.unmet("last price above", market.last, 0.0)
        out = self.bracket(market, side, **(bracket or {}))
        self.remembered(signal)["wish"] = {"ts": market.now, "side": int(side), "price": market.last, **noted}
        return out

    def intent(self, signal: lc.Signal, market: lc.Market) -> dict[str, Any] | None:
        """The latest bracket asked for on this instrument, as long as its bracket may still be open. Whether it is, a policy does not know."""
        found: dict[str, Any] | None = self.remembered(signal).get("wish")
        if found is not None and market.now - found["ts"] > (self.terms(market)["max_hold_s"] + self.terms(market)["entry_ttl_s"]) * lc.SECOND:
            del self.remembered(signal)["wish"]
            return None
        return found

    def leave(self, signal: lc.Signal, condition: str, value: float, threshold: float) -> lc.Leave:
        """Leave for this condition, and forget the wish."""
        self.remembered(signal).pop("wish", None)
        return lc.Leave(self.aside(LEAVE + condition, value, threshold))

    def question(self, signal: lc.Signal, market: lc.Market) -> dict[str, Any]:
        """The content of the question beside the signal; an unknown number is null."""
        purity = max(signal.long_notional, signal.short_notional) / signal.notional if signal.notional > 0.0 else nan
        return {"purity": known(purity), "funding": known(market.funding), "complete": not signal.flags & SignalFlag.SIGNAL_CENSORED}

    def snapshot(self) -> bytes:
        kept = {str(instrument): values for instrument, values in sorted(self.memory.items()) if values}
        return json.dumps(kept, sort_keys=True).encode() if kept else b""

    def restore(self, data: bytes) -> None:
        try:
            self.memory = {int(instrument): dict(values) for instrument, values in json.loads(data or b"{}").items()}
        except (ValueError, AttributeError, TypeError) as why:
            raise ValueError(f"{type(self).__name__}: this is not a snapshot of it: {why}") from None
