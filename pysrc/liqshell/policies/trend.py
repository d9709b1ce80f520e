"""Trend: follow liquidations of one side far above the usual, if candles agree.

The published system is "Quantitative Trading with Liquidation Data".

Longs flushed -> sell; shorts flushed -> buy: weak positions have not finished clearing. The decision matrix is the document's, in plain code. Its
news column is "no" unless a judge is asked (judge_s): then the bracket says what "yes" and "no" give, and the judge which of them it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal

import liqcore as lc
from liqshell.fields import choice, number
from liqshell.policies.ruled import Ruled, feature, known

CANDLE = ("open", "high", "low", "close")
CANDLES = 5  # complete ones of one minute: what a judge is shown
CONFIDENCE = {"low": 1, "medium": 2, "high": 3}
HOLDS = 3  # Ruled.explains of runs in which the judge is also asked about what it may only hold
Action = Literal["enter", "hold", "don't enter"]


@dataclass(frozen=True)
class Parameters:
    feature_open: str = feature("price.open@1m:lag(4m)")
    feature_close: str = feature("price.close@1m")
    feature_volatility: str = feature("volatility.realised@5m")
    z_strong: float = number(None, 0.0, 1000.0, "standard deviations above which an anomaly is strong")
    purity_strong: float = number(None, 0.5, 1.0, "share of one side above which an anomaly is strong")
    trend_min: float = number(None, 0.0, 100.0, "share of the volatility that the candles must have moved to have a direction")
    confidence_min: str = choice(None, *CONFIDENCE)
    open_money: float = number(None, 0.0, 1e9, "quote currency of margin per trade", above=True)
    leverage: float = number(None, 0.0, 100.0, "notional / margin", above=True)


def candle_feature(part: str, ago: int) -> str:
    """Name of the feature that holds a part of the candle of so many minutes ago."""
    return f"price.{part}@1m" + (f":lag({ago}m)" if ago else "")


def decide(strong: bool, aligned: bool, news: bool) -> tuple[Action, str]:
    """The document's matrix: intensity, candles, news -> action and confidence."""
    if strong and aligned:
        return "enter", "high" if news else "medium"
    if strong:
        return ("hold", "low") if news else ("don't enter", "low")  # S/no/no is not in the table: nothing speaks for it
    return ("enter", "medium") if aligned and news else ("don't enter", "low")


class Trend(Ruled):
    """Acts when an anomaly begins. A signal of higher confidence replaces an open bracket: [policy] replaces."""

    numbers_type = Parameters
    detectors = ("anomaly",)

    def __init__(
        self,
        default: Mapping[str, Any],
        brackets: Mapping[str, Mapping[str, Any]] | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        super().__init__(default, brackets, parameters)
        if any(terms.get("judge_s", 0.0) > 0.0 for terms in (self._default, *self._brackets.values())):
            shown = (candle_feature(part, ago) for ago in range(CANDLES) for part in CANDLE)
            self.features = tuple(dict.fromkeys((*self.features, *shown)))

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Declined | None:
        if signal.phase != lc.Phase.ACTIVE:
            return self.wrong_phase(signal)
        n, side = self.numbers(market), lc.SHORT if signal.side == lc.LONG else lc.LONG
        judged = self.terms(market).get("judge_s", 0.0) > 0.0
        action, confidence = decide(*self.seen(n, signal, market), news=judged)
        if action != "enter" and not (action == "hold" and self.explains >= HOLDS):
            return self.why_not(n, signal, market)
        if action == "enter" and CONFIDENCE[confidence] < CONFIDENCE[n.confidence_min]:
            return self.unmet("confidence at least", CONFIDENCE[confidence], CONFIDENCE[n.confidence_min])
        # the price of the present depth; a judge answers later, and then it is the last price of that moment
        depth = 0.0 if judged else market.ask if side == lc.LONG else market.bid
        given = {grade: self.gives(n, signal, market, news) for grade, news in (("with_news", True), ("without_news", False))} if judged else {}
        return self.bracket(
            market,
            side,
            **self.sized(market, n.open_money * n.leverage),
            confidence=CONFIDENCE[confidence],
            reference=market.instrument.ticks(depth) if depth > 0.0 else 0,
            **given,
        )

    def gives(self, n: Parameters, signal: lc.Signal, market: lc.Market, news: bool) -> str | int:
        """The matrix's value for one grade of the judge, in the form of liqcore.Bracket."""
        action, confidence = decide(*self.seen(n, signal, market), news)
        if action != "enter":
            return action
        return CONFIDENCE[confidence] if CONFIDENCE[confidence] >= CONFIDENCE[n.confidence_min] else "don't enter"

    def question(self, signal: lc.Signal, market: lc.Market) -> dict[str, Any]:
        n = self.numbers(market)
        strong, aligned = self.seen(n, signal, market)
        change = market.feature(n.feature_close) / market.feature(n.feature_open) - 1.0
        return super().question(signal, market) | {
            "anomaly": "strong" if strong else "medium",
            "candles_aligned": aligned,
            "change_5m": known(change),
            "volatility_5m": known(market.feature(n.feature_volatility)),
            "candles_1m": [[known(market.feature(candle_feature(part, ago))) for part in CANDLE] for ago in reversed(range(CANDLES))],
        }

    def why_not(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> lc.Declined | None:
        """The condition that is not met: candles first; where they agree, what is missing for a strong anomaly."""
        moved, least = self.moved(n, signal, market)
        if not moved > least:
            return self.unmet("candles' move our way above", moved, least)
        purity = max(signal.long_notional, signal.short_notional) / signal.notional
        return (
            self.unmet("z without news above", signal.z, n.z_strong)
            if not signal.z > n.z_strong
            else self.unmet("purity without news above", purity, n.purity_strong)
        )

    def moved(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> tuple[float, float]:
        """How far the candles have gone the way that we would, share of price; and what they must have."""
        change = market.feature(n.feature_close) / market.feature(n.feature_open) - 1.0
        return -signal.side * change, n.trend_min * market.feature(n.feature_volatility)

    def seen(self, n: Parameters, signal: lc.Signal, market: lc.Market) -> tuple[bool, bool]:
        """Whether the anomaly is strong, and whether candles go the way that we would; what is not known yet (nan) does not."""
        purity = max(signal.long_notional, signal.short_notional) / signal.notional
        moved, least = self.moved(n, signal, market)
        return signal.z > n.z_strong and purity > n.purity_strong, moved > least

    def conditions(self, signal: lc.Signal, market: lc.Market) -> dict[str, bool | None]:
        """Each condition at an anomaly, for its base rate; None = not known. Changes nothing."""
        if signal.phase != lc.Phase.ACTIVE:
            return {}
        n = self.numbers(market)
        strong, aligned = self.seen(n, signal, market)
        unknown = any(isnan(market.feature(name)) for name in (n.feature_open, n.feature_close, n.feature_volatility))
        return {"strong": strong, "candles aligned": None if unknown else aligned}
