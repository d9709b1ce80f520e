"""Fade: rest a post-only order beyond the cascade and take the snap-back (published system "Liquidation Cascade Market-Making").

Longs flushed -> the price was pushed down -> buy below the market. Shorts flushed -> sell above it. It acts when the cascade becomes ACTIVE, while
it still runs, and asks for the same bracket every time; risk decides whether it may. The document would skip BTC unless the maker fee is 0: that is
`skip_unless_free`, contract by contract.
"""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.fields import flag, number
from liqshell.policies.ruled import Ruled


@dataclass(frozen=True)
class Parameters:
    """maker_fee: what the venue takes from a maker, share of the notional; by default [paper] maker_fee."""

    skip_unless_free: bool = flag(False)
    maker_fee: float = number(0.0, -0.01, 0.01, "share of the notional")


class Fade(Ruled):
    """One bracket per liquidated side."""

    numbers_type = Parameters
    detectors = ("cascade",)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Declined | None:
        if signal.phase != lc.Phase.ACTIVE:
            return self.wrong_phase(signal)
        n = self._numbers.get(market.instrument.symbol, Parameters())
        if n.skip_unless_free and n.maker_fee > 0.0:
            return self.unmet("maker fee at most", n.maker_fee, 0.0)
        return self.bracket(market, signal.side)
