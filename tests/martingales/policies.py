"""A user's policy file: run by the backtest as any other."""

from __future__ import annotations

import liqcore as lc
from liqshell.policies.ruled import Ruled


class Follow(Ruled):
    """Longs flushed -> sell: the other side of the fade."""

    detectors = ("cascade",)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        return self.bracket(market, -signal.side) if signal.phase == lc.Phase.ACTIVE else None
