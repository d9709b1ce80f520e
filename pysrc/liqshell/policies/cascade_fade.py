"""Cascade fade: against a cascade of more than $5M once it slows (S4's first strategy, by liquidated side: C2).

Longs flushed -> buy, shorts flushed -> sell, when the cascade reaches enter_phase. Out between 5 and 15 minutes: from 5 on as soon as price is
better than at entry, at 15 in any case. The stop is the cascade itself: more liquidations of the same side close the trade; a hard stop stands
behind. While one may be out, a cascade of the other side is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.policies.ruled import BARS, Ruled
from liqshell.toml import choice, number

PHASES = {"active": lc.Phase.ACTIVE, "decelerating": lc.Phase.DECELERATING, "exhausted": lc.Phase.EXHAUSTED}


@dataclass(frozen=True)
class Parameters:
    enter_phase: str = choice(None, *PHASES)
    hold_min_s: float = number(None, 0.0, 86_400.0, "seconds before which a better price is no reason to leave")
    revert_min: float = number(None, 0.0, 0.5, "share of price that it must be better by")


class CascadeFade(Ruled):
    """Memory: the wish that is out."""

    numbers_type = Parameters
    detectors = ("cascade-fade", "cascade-fade-more", BARS)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Leave | None:
        n, wish = self.numbers(market), self.wish(signal, market)
        if wish is not None and market.detector == BARS:
            better = wish["side"] * (market.last / wish["price"] - 1.0)
            if market.now - wish["ts"] >= n.hold_min_s * lc.SECOND and better > n.revert_min:
                return self.leave(signal)
        elif wish is not None and signal.phase == lc.Phase.ACTIVE and signal.side == wish["side"]:
            return self.leave(signal)           # it goes on: the side that we bought is flushed again, by either detector
        elif wish is None and market.detector == "cascade-fade" and signal.phase == PHASES[n.enter_phase]:
            # with one out, a cascade of the other side would be refused, and its note would stand for a trade of the wrong side
            return self.ask(signal, market, signal.side)
        return None
