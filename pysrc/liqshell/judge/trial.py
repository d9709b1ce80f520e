"""One fixed question to the configured judge: whether it answers, in the form that was asked for, how fast and at what cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from liqshell.clock import NS, Clock
from liqshell.config.judge_sections import JudgeConfig, NewsConfig
from liqshell.judge.asking import Asking, Model
from liqshell.judge.build import make_judge
from liqshell.judge.types import Answer, News, Outcome, Question

OUTCOMES: Mapping[News, Outcome] = {"supports": Outcome("enter", 3), "none": Outcome("enter", 2), "contradicts": Outcome("don't enter", 0)}
JUDGE_S = 10.0


@dataclass(frozen=True)
class Trial:
    """answer: to the fixed question. ms: until it came. strict: whether the server takes the schema; None = not a model."""

    answer: Answer
    ms: float
    strict: bool | None


def fixed_question(now_ns: int, contract: str = "bybit:BTCUSDT", asset: str = "BTC", direction: Literal["LONG", "SHORT"] = "SHORT") -> Question:
    """A strong anomaly of liquidated longs, candles falling; the matrix of the published system for it."""
    closes = (100_000.0, 99_800.0, 99_500.0, 99_400.0, 99_100.0, 98_900.0)
    candles = [[a, a + 20.0, b - 30.0, b] for a, b in pairwise(closes)]
    facts = {
        "anomaly": "strong",
        "candles_aligned": True,
        "candles_1m": candles,
        "change_5m": -0.011,
        "complete": True,
        "long_notional": 4_200_000.0,
        "purity": 0.97,
        "short_notional": 130_000.0,
        "volatility_5m": 0.004,
        "z": 4.6,
    }
    return Question(
        1,
        1,
        contract,
        asset,
        direction,
        now_ns,
        now_ns + int(JUDGE_S * NS),
        json.dumps(facts, sort_keys=True, separators=(",", ":")).encode(),
        OUTCOMES,
    )


async def try_judge(judge: JudgeConfig, news: NewsConfig, question: Question | None = None) -> Trial:
    """Ask once; once more where a server does not take the schema. ConfigError where something is missing for the judge."""
    clock = Clock()
    made = make_judge(judge, news, clock, None)
    way = made.way if isinstance(made, Asking) else None
    try:
        asked, begun = question or fixed_question(clock.now_ns()), time.monotonic()
        answer = await made.answer(asked)
        if isinstance(way, Model) and not way.strict and answer.status.startswith("http_4"):
            begun = time.monotonic()
            answer = await made.answer(asked)
        return Trial(answer, (time.monotonic() - begun) * 1e3, way.strict if isinstance(way, Model) else None)
    finally:
        await made.close()
