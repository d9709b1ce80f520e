"""Cascade fade: against a cascade of more than $5M once it slows, by liquidated side.

The Research Plan's first strategy.

Longs flushed -> buy, shorts flushed -> sell, when the cascade reaches enter_phase. Out between 5 and 15 minutes: from 5 on as soon as price is
better than at entry, at 15 in any case. The stop is the cascade itself: more liquidations of the same side close the trade; a hard stop stands
behind. While one may be out, a cascade of the other side is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import liqcore as lc
from liqshell.fields import choice, number
from liqshell.policies.ruled import BARS, PHASE_IS, SIDE_IS, Ruled

PHASES = {"active": lc.Phase.ACTIVE, "decelerating": lc.Phase.DECELERATING, "exhausted": lc.Phase.EXHAUSTED}


@dataclass(frozen=True)
class Parameters:
    enter_phase: str = choice(None, *PHASES)
    hold_min_s: float = number(None, 0.0, 86_400.0, "seconds in which a better price does not end the trade")
    revert_min: float = number(None, 0.0, 0.5, "least gain of the price, a share of it")


class CascadeFade(Ruled):
    """Memory: the wish that is out."""

    numbers_type = Parameters
    detectors = ("cascade-fade", "cascade-fade-more", BARS)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Leave | lc.Declined | None:
        n, intent = self.numbers(market), self.intent(signal, market)
        if market.detector == BARS:
            return self.look(n, intent, signal, market)
        if intent is not None and signal.phase == lc.Phase.ACTIVE and signal.side == intent["side"]:
            return self.leave(signal, SIDE_IS, int(signal.side), intent["side"])  # it goes on: our side is flushed again, by either detector
        if market.detector == "cascade-fade" and signal.phase == PHASES[n.enter_phase]:
            # with one out, a cascade of the other side would be refused, and its note would stand for a trade of the wrong side
            return self.ask(signal, market, signal.side) if intent is None else self.unmet("own wishes out, at most", 1, 0)
        if market.detector == "cascade-fade":
            return self.wrong_phase(signal, PHASES[n.enter_phase])
        if intent is None:
            return self.stay()
        if signal.phase != lc.Phase.ACTIVE:
            return self.stay(PHASE_IS, signal.phase, lc.Phase.ACTIVE)
        return self.stay(SIDE_IS, int(signal.side), intent["side"])

    def look(self, n: Parameters, intent: dict[str, Any] | None, signal: lc.Signal, market: lc.Market) -> lc.Leave | lc.Declined | None:
        """At every bar: whether price has reverted."""
        if intent is None:
            return self.stay()
        better, held = intent["side"] * (market.last / intent["price"] - 1.0), (market.now - intent["ts"]) / lc.SECOND
        if market.now - intent["ts"] < n.hold_min_s * lc.SECOND:
            return self.stay("s since asked, at least", held, n.hold_min_s)
        reverted = "price better by over", better, n.revert_min
        return self.leave(signal, *reverted) if better > n.revert_min else self.stay(*reverted)
