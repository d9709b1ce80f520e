"""Fade: rest a post-only order beyond the cascade and take the snap-back (written system S2).

Longs flushed -> the price was pushed down -> buy below the market. Shorts flushed -> sell above it. It acts when the cascade becomes ACTIVE, while it
still runs, and asks for the same bracket every time; risk decides whether it may.
"""

from __future__ import annotations

import liqcore as lc


class Fade(lc.Policy):
    """One bracket per liquidated side. `brackets`: symbol -> keyword arguments of liqcore.Bracket (without side); `default` for the others."""

    def __init__(self, default: dict, brackets: dict[str, dict] | None = None):
        self._default = self._sides(default)
        self._brackets = {symbol: self._sides(settings) for symbol, settings in (brackets or {}).items()}

    @staticmethod
    def _sides(settings: dict) -> dict[int, lc.Bracket]:
        return {int(side): lc.Bracket(side, **settings) for side in (lc.LONG, lc.SHORT)}

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        if signal.phase != lc.Phase.ACTIVE:
            return None
        return self._brackets.get(market.instrument.symbol, self._default)[signal.side]
