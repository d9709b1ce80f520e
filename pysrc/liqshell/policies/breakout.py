"""Breakout: follow price when liquidations come far faster than usual (the Research Plan's fourth strategy).

A rate more than 3 sigma above its mean, whichever side is flushed -> in the direction that price has moved. Usually that is the direction of the
flush: longs flushed -> price fell -> sell; shorts flushed -> price rose -> buy. Price may move after the rate has risen, and a burst of small
liquidations is no cascade: while the rate stays high it looks again until price has moved and enough has been liquidated. Out when the rate is
normal again ([policy] exit_phase). Stop: price reverses first, that is, it is back where the move began.
"""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.fields import number
from liqshell.policies.ruled import Ruled, feature


@dataclass(frozen=True)
class Parameters:
    feature_move: str = feature("price.return@1m")
    move_min: float = number(None, 0.0, 0.5, "share of price that it must have moved to have a direction")
    stop_min: float = number(None, 0.0001, 0.5, "share of price")
    feature_volume: str = feature("liquidations.liq_volume@1m", "")
    volume_min: float = number(0.0, 0.0, 1e12, "quote currency of liquidations within the minute")
    recheck_s: float = number(0.0, 0.0, 600.0, "seconds between two checks while the rate is high; 0 = one check")
    recheck_until_s: float = number(600.0, 0.0, 86_400.0, "seconds after the rise of the rate in which it checks again")


class Breakout(Ruled):
    """Memory: the number and phase of the latest spike, so that it stops looking when the rate is normal."""

    numbers_type = Parameters
    detectors = ("breakout",)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Later | lc.Declined | None:
        n, memory, spike = self.numbers(market), self.remembered(signal), [signal.sequence, int(signal.phase)]
        if n.recheck_s > 0.0 and market.now == signal.ts:  # first told; asked again, `now` is later and the signal is the old one
            memory["spike"] = spike
        if signal.phase != lc.Phase.ACTIVE or memory.get("spike", spike) != spike:
            return self.wrong_phase(signal, latest=memory.get("spike"))
        move = market.feature(n.feature_move)
        volume = market.feature(n.feature_volume) if n.feature_volume else n.volume_min
        if not (abs(move) > n.move_min and volume >= n.volume_min):
            missing = (
                ("liquidated in the minute, least", volume, n.volume_min)
                if not volume >= n.volume_min
                else ("price move above", abs(move), n.move_min)
            )
            again = market.now + round(n.recheck_s * lc.SECOND)
            if n.recheck_s > 0.0 and again - signal.ts <= n.recheck_until_s * lc.SECOND:
                return lc.Later(again, self.aside(*missing))
            return self.unmet(*missing)
        back = abs(move) / (1.0 + move)  # from here to where it began, as a share of the price here
        stop = min(round(max(back, n.stop_min), 6), float(self.terms(market)["stop_loss"]))
        return self.bracket(market, lc.LONG if move > 0.0 else lc.SHORT, stop_loss=stop)
