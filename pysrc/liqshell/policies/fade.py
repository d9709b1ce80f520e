"""Fade: rest a post-only order beyond the cascade and take the snap-back (written system S2).

Longs flushed -> the price was pushed down -> buy below the market. Shorts flushed -> sell above it. It acts when the cascade becomes ACTIVE, while
it still runs, and asks for the same bracket every time; risk decides whether it may.
"""

from __future__ import annotations

import liqcore as lc
from liqshell.policies.ruled import Ruled


class Fade(Ruled):
    """One bracket per liquidated side."""

    detectors = ("cascade",)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        return self.bracket(market, signal.side) if signal.phase == lc.Phase.ACTIVE else None
