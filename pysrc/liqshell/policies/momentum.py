"""Momentum: trade with a cascade of dollars while it has fuel (published system "Liquidation Hunting").

More than $5M of one side within 90 s: longs flushed -> sell at market, shorts flushed -> buy; 5 to 15 s after the first large print, at the first
look at which others have followed, the score is 7 of 10 and no filter objects. Out when the rolling volume has fallen by 60 % ([policy] exit_phase),
or after 10 minutes without a significant move. The document handles longs only; the other side is its mirror. The score is transparent and
UNCALIBRATED.

What is ahead of price is two things. Fuel is the ESTIMATED pending liquidations of the side that burns: it raises the score. An obstacle is the
REALISED density of the other side's zones, where the forced flow of the other side has traded before: it forbids the trade.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Any

import liqcore as lc
from liqshell.policies.momentum_terms import PARTS, Parameters, score_of, size_of, stop_of
from liqshell.policies.ruled import BARS, Ruled

DAY = 86_400 * lc.SECOND
FOLLOWERS = "followers' volume above", "liquidations at least"
OURS = "own wishes out, at most", "trades of the day below"  # nothing of the market changes these while the cascade runs
Check = tuple[str, float, float, bool]  # condition, value, threshold, whether it is met


class Momentum(Ruled):
    """Memory: the phase of each side's cascade and whether it was followed, the wish that is out, and the day's count of wishes."""

    numbers_type = Parameters
    detectors = ("momentum", BARS)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Leave | lc.Later | lc.Declined | None:
        n, memory = self.numbers(market), self.remembered(signal)
        if market.detector == BARS:
            return self.leave_when_quiet(n, signal, market)
        running, now = f"phase {signal.side.name}", [signal.sequence, int(signal.phase)]
        if market.now == signal.ts:  # first told; asked again, `now` is later and the signal is the old one
            memory[running] = now
            if signal.phase >= lc.Phase.DECELERATING and memory.get("wish", {}).get("side") == -signal.side:
                del memory["wish"]  # the bracket leaves at this phase
        if signal.phase != lc.Phase.ACTIVE or memory.get(running) != now:
            return self.wrong_phase(signal, latest=memory.get(running))
        first = signal.ts_start if n.entry_from == "first" else signal.ts
        at, until = (first + round(s * lc.SECOND) for s in (n.entry_after_s, n.entry_until_s))
        if market.now < at:
            return lc.Later(at, self.aside("s since the first, at least", (market.now - first) / lc.SECOND, n.entry_after_s))
        if market.now > until:  # too late, much of the move has happened
            return self.unmet("s since the first, at most", (market.now - first) / lc.SECOND, n.entry_until_s)
        unmet = next((one for one in self.checks(n, memory, signal, market) if not one[3]), None)
        if unmet is None:
            return self.enter(n, memory, signal, market)
        name, value, threshold, _ = unmet
        again = market.now + round(n.recheck_s * lc.SECOND)
        if again <= until and (name in FOLLOWERS or n.look_again == "all" and name not in OURS):
            return lc.Later(again, self.aside(name, value, threshold))
        return self.unmet(name, value, threshold)

    def checks(self, n: Parameters, memory: dict[str, Any], signal: lc.Signal, market: lc.Market) -> Iterator[Check]:
        """All conditions of an entry between 5 and 15 s, in the order in which they are looked at."""
        volume, count = market.feature(n.feature_long_follow if signal.side == lc.LONG else n.feature_short_follow), market.feature(n.feature_count)
        followed = f"followed {signal.side.name}"
        if volume > 0.0 and n.look_again == "all":
            memory[followed] = signal.sequence  # seen once is enough: at a later look of this cascade they may have ceased
        yield FOLLOWERS[0], volume, 0.0, volume > 0.0 or memory.get(followed) == signal.sequence
        yield FOLLOWERS[1], count, n.several, count >= n.several
        # one that is refused must not take the place of the note of one that is open
        yield OURS[0], 1, 0, self.intent(signal, market) is None
        yield "last price above", market.last, 0.0, market.last > 0.0
        score = self.score(n, signal, market)
        yield "score at least", score, n.score_min, score >= n.score_min
        size = self.size(n, score, signal, market)
        yield "size at least", size, n.size_min, size > 0.0
        done = self.done(memory, market)
        yield OURS[1], done, n.trades_per_day, done < n.trades_per_day
        yield from self.filters(n, signal, market)

    def enter(self, n: Parameters, memory: dict[str, Any], signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Declined | None:
        """Everything is met: size, stop, and one more of the day."""
        score = self.score(n, signal, market)
        size = self.size(n, score, signal, market)
        memory["day"] = [market.now // DAY, self.done(memory, market) + 1]
        stop = stop_of(n, market.feature(n.feature_volatility), float(self.terms(market)["stop_loss"]))
        terms = {"stop_loss": stop, "confidence": int(score), **self.sized(market, size * market.last)}
        if n.target == "ratio":
            terms["take_profit"] = min(round(n.ratio * stop, 6), 0.5)  # a bracket has no target further away
        return self.ask(signal, market, -signal.side, terms)

    def done(self, memory: dict[str, Any], market: lc.Market) -> int:
        """Trades asked for on this UTC day."""
        day, count = memory.get("day", [0, 0])
        return int(count) if day == market.now // DAY else 0

    def size(self, n: Parameters, score: float, signal: lc.Signal, market: lc.Market) -> float:
        """Base units; 0 = too little."""
        return size_of(n, score, signal.rolling, 0.5 if isnan(market.feature(n.feature_funding)) and n.funding_unknown == "half" else 1.0)

    def score(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> float:
        """Speed, size, fuel, stretch. The crowd that is burnt is the liquidated side: a high funding rate stretches longs, a low one shorts."""
        longs = signal.side == lc.LONG
        stretch = market.feature(n.feature_stretch)
        parts = {
            "speed": market.feature(n.feature_speed),
            "size": market.feature(n.feature_size),
            "fuel": market.feature(n.feature_fuel_below if longs else n.feature_fuel_above),
            "stretch": stretch if longs else 1.0 - stretch,
        }
        return score_of(parts, {name: getattr(n, f"weight_{name}") for name in PARTS}, n.known_min)

    def filters(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> list[Check]:
        """The document's filters: (condition, value, threshold, whether it is met). A cluster that is not known objects to nothing; whether
        funding that is not known does, says funding_unknown."""
        longs, funding = signal.side == lc.LONG, market.feature(n.feature_funding)
        count, fuel = market.feature(n.feature_count), n.feature_fuel_below if longs else n.feature_fuel_above
        out = [
            ("liquidations at least", count, float(n.several), count >= n.several),
            (
                "crowd's funding above",
                signal.side * funding,
                n.funding_min,
                n.funding_unknown != "refuse" if isnan(funding) else signal.side * funding > n.funding_min,
            ),
        ]
        if n.cluster_use == "obstacle":  # old settings name no feature for it: there one number was fuel and obstacle
            ahead = market.feature((n.feature_obstacle_below if longs else n.feature_obstacle_above) or fuel)
            out.append(("obstacle ahead below", ahead, n.cluster_rank, not ahead >= n.cluster_rank))
        elif n.cluster_use == "fuel":
            pending = market.feature(fuel)
            out.append(("fuel ahead at least", pending, n.cluster_rank, isnan(pending) or pending >= n.cluster_rank))
        return out

    def leave_when_quiet(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> lc.Leave | lc.Declined | None:
        """No significant move, seen at the first bar after quiet_s."""
        intent = self.intent(signal, market)
        if intent is None:
            return self.stay()
        if market.now - intent["ts"] < n.quiet_s * lc.SECOND:
            return self.stay("s since asked, at least", (market.now - intent["ts"]) / lc.SECOND, n.quiet_s)
        quiet = "price move below", abs(market.last / intent["price"] - 1.0), n.move_min
        return self.leave(signal, *quiet) if quiet[1] < n.move_min else self.stay(*quiet)

    def conditions(self, signal: lc.Signal, market: lc.Market) -> dict[str, bool | None]:
        """Each condition at the trigger, for its base rate; none on bars, in other phases, and when it looks again. Changes nothing."""
        if market.detector == BARS or signal.phase != lc.Phase.ACTIVE or market.now != signal.ts:
            return {}
        n = self.numbers(market)
        score = self.score(n, signal, market)
        return {
            f"score >= {n.score_min:g}": None if isnan(score) else score >= n.score_min,
            **{f"{name} {threshold:g}": met for name, _, threshold, met in self.filters(n, signal, market)},
        }
