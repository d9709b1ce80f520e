"""Zone: bet on a bounce where much was liquidated before (S4's third strategy, on REALISED density).

Price falls into a zone (support: longs are being hurt there) -> buy; price rises into one (resistance) -> sell. Out when price has moved more than
0.5 % away ([policy] take_profit). Stop: the zone breaks, that is, a cascade of the side that is hurt begins while price is inside or through; a
hard stop stands behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.policies.ruled import Ruled
from liqshell.toml import number


@dataclass(frozen=True)
class Parameters:
    wrong_min: float = number(None, 0.0, 0.5, "share of price: a cascade breaks the zone when price is worse than at entry by more")


class Zone(Ruled):
    """Memory: the wish that is out."""

    Parameters = Parameters
    detectors = ("zone", "cascade")

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Leave | None:
        memory = self.remembered(signal)
        if signal.phase != lc.Phase.ACTIVE:
            return None
        if market.detector == "zone":
            return self.ask(signal, market, signal.side)
        wish = memory.get("wish")
        if wish is None or signal.side != wish["side"]:         # we bought: only a cascade of longs goes through the zone
            return None
        if wish["side"] * (1.0 - market.last / wish["price"]) <= self.numbers(market).wrong_min:
            return None
        del memory["wish"]
        return lc.Leave()
