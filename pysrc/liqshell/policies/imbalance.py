"""Imbalance: against liquidations of which more than 70 % are of one side (the Research Plan's second strategy).

Mostly longs liquidated -> buy; mostly shorts -> sell. Out when the imbalance is normal again ([policy] exit_phase), after an hour, or, as its stop,
when the imbalance worsens: the net liquidated notional has grown by `worse` since the entry. A hard stop stands behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.fields import number
from liqshell.policies.ruled import BARS, SIDE_IS, Ruled, feature


@dataclass(frozen=True)
class Parameters:
    feature_long_volume: str = feature("liquidations.liq_long_volume@5m")
    feature_short_volume: str = feature("liquidations.liq_short_volume@5m")
    worse: float = number(None, 0.0, 100.0, "growth of the net notional (0.5 = half as much again) that ends the trade")


class Imbalance(Ruled):
    """Memory: the wish that is out, with the net notional at that time."""

    numbers_type = Parameters
    detectors = ("imbalance", BARS)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Leave | lc.Declined | None:
        n, intent = self.numbers(market), self.intent(signal, market)
        if market.detector != BARS:
            if signal.phase == lc.Phase.ACTIVE and intent is not None and intent["side"] == -signal.side:
                return self.leave(signal, SIDE_IS, int(signal.side), -intent["side"])  # it has been normal in between: behind a gap, unseen
            if signal.phase == lc.Phase.ACTIVE:
                return self.ask(signal, market, signal.side, net=signal.side * (signal.long_notional - signal.short_notional))
            if signal.phase == lc.Phase.EXHAUSTED:
                self.remembered(signal).pop("wish", None)  # normal again: the bracket leaves at this phase
            return self.wrong_phase(signal)
        if intent is None:
            return self.stay()
        net = intent["side"] * (market.feature(n.feature_long_volume) - market.feature(n.feature_short_volume))
        worse = "net notional above", net, intent["net"] * (1.0 + n.worse)
        return self.leave(signal, *worse) if net > worse[2] else self.stay(*worse)
