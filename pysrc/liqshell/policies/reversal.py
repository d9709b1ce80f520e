"""Reversal: buy when the forced selling of longs has ended and flow turns, while the crowd is short.

The published system is "Trading the post-liquidation-cascade reversal".

On every new bar. Longs flushed (z of the liquidation imbalance below -2) arms the rule for some minutes; the upward cross of order flow's z through
+1 fires it, if funding is below zero; unarmed or too late, nothing happens. The document buys only. `mirror` adds the other side: shorts flushed
(z above +2), flow crosses -1 downward, funding above zero -> sell. hourly.py judges the same moment as a bet on the hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

import liqcore as lc
from liqshell.fields import flag, number
from liqshell.policies.ruled import BARS, Ruled, feature


@dataclass(frozen=True)
class Parameters:
    feature_liquidations: str = feature("liquidations.liq_imbalance@15m:zscore")
    feature_flow: str = feature("flow.ofi@5m:zscore")
    feature_funding: str = feature("funding.funding_avg@1h")
    liq_z: float = number(None, 0.0, 100.0, "standard deviations: longs count as liquidated below minus this")
    flow_z: float = number(None, -100.0, 100.0, "standard deviations: flow has turned when it crosses this upwards")
    funding_max: float = number(None, -1.0, 1.0, "funding rate: the crowd is short below it")
    arm_s: float = number(None, 1.0, 86_400.0, "seconds in which the rule stays armed")
    mirror: bool = flag(None)


def fires(n: Parameters, memory: dict[str, Any], now: int, liq: float, flow: float, funding: float) -> lc.Side | None:
    """One bar of the rule; the side to take, or None. memory: what the bars before left behind, is brought up to this one."""
    before, wanted = memory.get("flow", float("nan")), None
    for side in (lc.LONG, lc.SHORT) if n.mirror else (lc.LONG,):
        armed = f"armed {side.name}"
        if side * liq < -n.liq_z:
            memory[armed] = now + round(n.arm_s * lc.SECOND)
        turned = side * before <= n.flow_z < side * flow
        if turned and now <= memory.get(armed, -1) and side * funding < side * n.funding_max:
            del memory[armed]
            wanted = side
    memory["flow"] = flow
    return wanted


class Reversal(Ruled):
    """Memory: the flow's z of the bar before, and until when each side is armed."""

    numbers_type = Parameters
    detectors = (BARS,)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Declined | None:
        n, memory = self.numbers(market), self.remembered(signal)
        liq, flow, funding = (market.feature(name) for name in (n.feature_liquidations, n.feature_flow, n.feature_funding))
        before, until = memory.get("flow", float("nan")), memory.get("armed LONG", -1)
        side = fires(n, memory, market.now, liq, flow, funding)
        if side is not None:
            return self.bracket(market, side)
        # told of the side that the document trades
        if not (liq < -n.liq_z or market.now <= until):
            return self.unmet("liq z within arm_s below", liq, -n.liq_z)
        if not before <= n.flow_z < flow:
            return self.unmet("flow z crosses upwards", flow, n.flow_z)
        return self.unmet("funding below", funding, n.funding_max)

    def conditions(self, signal: lc.Signal, market: lc.Market) -> dict[str, bool | None]:
        """Each condition of the conjunction at this bar, for its base rate; None = not known. Changes nothing."""
        n, memory = self.numbers(market), self.memory.get(signal.instrument, {})
        liq, flow, funding = (market.feature(name) for name in (n.feature_liquidations, n.feature_flow, n.feature_funding))
        before = memory.get("flow", float("nan"))
        return {
            f"liq z < {-n.liq_z:g}": None if isnan(liq) else liq < -n.liq_z,
            "armed": None if isnan(liq) else liq < -n.liq_z or market.now <= memory.get("armed LONG", -1),
            f"ofi z crosses {n.flow_z:+g}": None if isnan(flow) or isnan(before) else before <= n.flow_z < flow,
            f"funding < {n.funding_max:g}": None if isnan(funding) else funding < n.funding_max,
        }
