"""Momentum: trade with a cascade of dollars while it has fuel (written system S3).

More than $5M of one side within 90 s: longs flushed -> sell at market, shorts flushed -> buy; 5 to 15 s after the first large print, once others
have followed, if the score is 7 of 10 and no filter objects. Out when the rolling volume has fallen by 60 % ([policy] exit_phase), or after 10
minutes without a significant move. S3 handles longs only; the other side is its mirror (C23). The score is transparent and UNCALIBRATED.
"""

from __future__ import annotations

from math import isnan
from typing import Any

import liqcore as lc
from liqshell.policies.momentum_terms import PARTS, Parameters, score_of, size_of, stop_of
from liqshell.policies.ruled import BARS, Ruled

DAY = 86_400 * lc.SECOND


class Momentum(Ruled):
    """Memory: the phase of each side's cascade, the wish that is out, and the day's count of wishes."""

    numbers_type = Parameters
    detectors = ("momentum", BARS)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Leave | lc.Later | None:
        n, memory = self.numbers(market), self.remembered(signal)
        if market.detector == BARS:
            return self.leave_when_quiet(n, signal, market)
        running, now = f"phase {signal.side.name}", [signal.sequence, int(signal.phase)]
        if market.now == signal.ts:                         # first told; asked again, `now` is later and the signal is the old one
            memory[running] = now
            if signal.phase >= lc.Phase.DECELERATING and memory.get("wish", {}).get("side") == -signal.side:
                del memory["wish"]                          # S3-11: the bracket leaves at this phase
        if signal.phase != lc.Phase.ACTIVE or memory.get(running) != now:
            return None
        first = signal.ts_start if n.entry_from == "first" else signal.ts
        at, until = (first + round(s * lc.SECOND) for s in (n.entry_after_s, n.entry_until_s))
        if market.now < at:
            return lc.Later(at)
        if market.now > until:
            return None                                     # S3-08: too late, much of the move has happened
        followed = market.feature(n.feature_long_follow if signal.side == lc.LONG else n.feature_short_follow) > 0.0
        if not (followed and market.feature(n.feature_count) >= n.several):
            again = market.now + round(n.recheck_s * lc.SECOND)
            return lc.Later(again) if again <= until else None
        return self.enter(n, memory, signal, market)

    def enter(self, n: Parameters, memory: dict[str, Any], signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        """Filters, score, size, stop (S3-04 to S3-10)."""
        if self.wish(signal, market) is not None or not market.last > 0.0:
            return None                                     # S3-12c; and one that is refused must not take the place of the note of one that is open
        score = self.score(n, signal, market)
        size = size_of(n, score, signal.rolling) if score >= n.score_min else 0.0
        day, count = memory.get("day", [0, 0])
        count = count if day == market.now // DAY else 0
        if not size or count >= n.trades_per_day or not all(self.filters(n, signal, market).values()):
            return None
        memory["day"] = [market.now // DAY, count + 1]
        stop = stop_of(n, market.feature(n.feature_volatility), float(self.terms(market)["stop_loss"]))
        terms = {"stop_loss": stop, "confidence": int(score), **self.sized(market, size * market.last)}
        if n.target == "ratio":
            terms["take_profit"] = min(round(n.ratio * stop, 6), 0.5)       # a bracket has no target further away
        return self.ask(signal, market, -signal.side, terms)

    def score(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> float:
        """Speed, size, fuel, stretch. The crowd that is burnt is the liquidated side: a high funding rate stretches longs, a low one shorts."""
        longs = signal.side == lc.LONG
        stretch = market.feature(n.feature_stretch)
        parts = {"speed": market.feature(n.feature_speed), "size": market.feature(n.feature_size),
                 "fuel": market.feature(n.feature_fuel_below if longs else n.feature_fuel_above), "stretch": stretch if longs else 1.0 - stretch}
        return score_of(parts, {name: getattr(n, f"weight_{name}") for name in PARTS}, n.known_min)

    def filters(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> dict[str, bool]:
        """S3-06. A pending cluster that is not known (no open interest, no map) objects to nothing; all else must be known."""
        cluster = market.feature(n.feature_fuel_below if signal.side == lc.LONG else n.feature_fuel_above)
        wanted = {"obstacle": not cluster >= n.cluster_rank, "fuel": isnan(cluster) or cluster >= n.cluster_rank, "ignore": True}
        return {f"{n.several} liquidations": market.feature(n.feature_count) >= n.several,
                "funding elevated": signal.side * market.feature(n.feature_funding) > n.funding_min,
                f"cluster ahead as {n.cluster_use}": wanted[n.cluster_use]}

    def leave_when_quiet(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> lc.Leave | None:
        """S3-12a, at the first bar after quiet_s."""
        wish = self.wish(signal, market)
        if wish is None or market.now - wish["ts"] < n.quiet_s * lc.SECOND or abs(market.last / wish["price"] - 1.0) >= n.move_min:
            return None
        return self.leave(signal)

    def conditions(self, signal: lc.Signal, market: lc.Market) -> dict[str, bool | None]:
        """Each condition at the trigger, for its base rate (C20); none on bars and in other phases. Changes nothing."""
        if market.detector == BARS or signal.phase != lc.Phase.ACTIVE:
            return {}
        n = self.numbers(market)
        score = self.score(n, signal, market)
        return {f"score >= {n.score_min:g}": None if isnan(score) else score >= n.score_min, **self.filters(n, signal, market)}
