"""Breakout: follow price when liquidations come far faster than usual (S4's fourth strategy).

A rate more than 3 sigma above its mean, whichever side is flushed -> in the direction that price has moved. Usually that is the direction of the
flush: longs flushed -> price fell -> sell; shorts flushed -> price rose -> buy. Out when the rate is normal again ([policy] exit_phase). Stop:
price reverses first, that is, it is back where the move began.
"""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.policies.ruled import Ruled, feature
from liqshell.toml import number


@dataclass(frozen=True)
class Parameters:
    feature_move: str = feature("price.return@1m")
    move_min: float = number(None, 0.0, 0.5, "share of price that it must have moved to have a direction")
    stop_min: float = number(None, 0.0001, 0.5, "share of price")


class Breakout(Ruled):
    """Remembers nothing: everything is in the bracket."""

    numbers_type = Parameters
    detectors = ("breakout",)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        n = self.numbers(market)
        move = market.feature(n.feature_move)
        if signal.phase != lc.Phase.ACTIVE or not abs(move) > n.move_min:
            return None
        back = abs(move) / (1.0 + move)                     # from here to where it began, as a share of the price here
        stop = min(round(max(back, n.stop_min), 6), float(self.terms(market)["stop_loss"]))
        return self.bracket(market, lc.LONG if move > 0.0 else lc.SHORT, stop_loss=stop)
