"""The variants of a run on the same data with the same settings: reaction delays, and controls that trade without information."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import EVERY_DETECTOR, History
from liqshell.backtest.past_judge import asker, later, unjudged
from liqshell.report.study import Delay, Outcome, outcome_of, trades_of
from liqshell.run.pipeline import make_paper
from liqshell.run.tape_driver import drive

Wrap = Callable[[lc.Policy], lc.Policy]
DELAY = "delay"


class Around(lc.Policy):
    """A policy around another one: it receives the same calls and has the same properties."""

    def __init__(self, inner: lc.Policy):
        self.inner = inner
        for name in ("detectors", "features", "symbols"):
            setattr(self, name, tuple(getattr(inner, name, ())))
        self.would = 0  # side of the inner policy's latest bracket

    def question(self, signal: lc.Signal, market: lc.Market) -> dict[str, Any]:
        """The inner policy's question: a judge answers a control as it answers the policy."""
        told = self.inner.question(signal, market)
        return told | {"direction": "LONG" if self.would > 0 else "SHORT"} if self.would else told

    def snapshot(self) -> bytes:
        return self.inner.snapshot()

    def restore(self, data: bytes) -> None:
        self.inner.restore(data)


class Turned(Around):
    """Trades the opposite side of a policy's entries, with the same distances, sizes and times, and leaves when it does."""

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> Any:
        wanted = self.inner.answer(signal, market)
        self.would = wanted.side if isinstance(wanted, lc.Bracket) else 0
        return wanted.turned(-wanted.side) if isinstance(wanted, lc.Bracket) else wanted


class RandomSide(Around):
    """Trades when a policy does, on a random side that depends only on the seed, the contract, the detector and the number of the cascade."""

    def __init__(self, inner: lc.Policy, seed: int):
        super().__init__(inner)
        self._seed = seed

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> Any:
        wanted = self.inner.answer(signal, market)
        if not isinstance(wanted, lc.Bracket):
            return wanted
        self.would = wanted.side
        of = f"{signal.detector} " if signal.detector > 1 else ""
        drawn = hashlib.blake2b(f"{self._seed} {market.instrument.symbol} {of}{signal.sequence}".encode(), digest_size=1).digest()[0]
        return wanted.turned(1 if drawn & 1 else -1)


class Within(Around):
    """A policy that enters on signals in [start_ns, end_ns) only; what is behind it, detectors and its own memory, learns from all there is."""

    def __init__(self, inner: lc.Policy, start_ns: int, end_ns: int):
        super().__init__(inner)
        self._start, self._end = start_ns, end_ns

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> Any:
        wanted = self.inner.answer(signal, market)
        if not isinstance(wanted, lc.Bracket) or self._start <= signal.ts < self._end:
            return wanted
        if signal.ts < self._start:
            return self.decline("s into the span at least", (signal.ts - self._start) / lc.SECOND, 0.0)
        return self.decline("s left of the span more than", (self._end - signal.ts) / lc.SECOND, 0.0)


def trade(values: dict[str, Any], history: History, wrap: Wrap | None = None) -> np.ndarray:
    """The audit stream of one run of `values` over the history."""
    return drive(lc.Walk(make_paper(values, wrap, trust=True), history.tape, asker(values, history.instruments)), history.end_ns)


def outcome(audit: np.ndarray, history: History) -> Outcome:
    return outcome_of(audit, history.multipliers)


def delayed(values: dict[str, Any], history: History, delay_s: float, delay_of: str) -> Delay:
    """The run again with a delay on top of the latency model."""
    changed, moved = values, history
    if delay_of == "reaction" and values.get("judge"):  # the same questions, with an answer that comes later
        changed = later(values, delay_s)
    elif delay_of == "reaction":
        moved = history.delayed(round(delay_s * lc.SECOND)) if delay_s else history
    else:
        changed = copy.deepcopy(values)
        changed["paper"] = slower(changed["paper"], delay_s)
    audit = trade(changed, moved)
    return {"delay_s": delay_s, "outcome": outcome(audit, history), "trades": trades_of(audit, history.multipliers)}


def slower(venue: dict[str, Any], delay_s: float) -> dict[str, Any]:
    """Venue arguments of settings, with this delay added to every request."""
    out = venue | {"order_latency_s": venue["order_latency_s"] + delay_s}
    if "latency" in venue:
        samples = {"order_samples": [s + delay_s for s in venue["latency"]["order_samples"]]} if "order_samples" in venue["latency"] else {}
        out["latency"] = venue["latency"] | {"order_s": venue["latency"]["order_s"] + delay_s} | samples
    return out


@dataclass(frozen=True)
class Draw:
    """One run of a control: its settings, its data, and what stands around the policy."""

    values: dict[str, Any]
    history: History
    wrap: Wrap | None = None


def draw_of(kind: str, values: dict[str, Any], history: History, seed: int, k: int) -> Draw:
    """Run number k of one control (study.CONTROLS)."""
    if kind == "inverted_side":
        return Draw(values, history, Turned)
    if kind == "random_side":
        return Draw(values, history, lambda inner: RandomSide(inner, seed + k))
    if kind == "random_time":
        span = history.end_ns - history.start_ns
        # at least a hundredth of the span away from where they were, either way round
        return Draw(unjudged(values), history.shifted(int(np.random.default_rng([seed + k, 1]).integers(span // 100, span - span // 100))))
    return Draw(by_the_clock(values), history.every_half_hour(k))


def by_the_clock(values: dict[str, Any]) -> dict[str, Any]:
    """Settings in which each liquidation of History.every_half_hour is answered with the bracket of [policy], whatever the rule: what the
    bracket alone earns."""
    symbols = [instrument["symbol"] for instrument in values["instruments"]]
    values = unjudged(values)
    return values | {
        "cascade": (values["cascade"] or {}) | EVERY_DETECTOR,
        "detectors": [],
        "features": [],
        "rule": "fade",
        "policies": [{"rule": "fade", "symbols": symbols, "parameters": {symbol: {} for symbol in symbols}}],
    }


def count_of(kind: str, draws: int) -> int:
    """How many runs a control has."""
    return {"inverted_side": 1, "every_30_min": 2}.get(kind, draws)


@dataclass(frozen=True)
class Study:
    """The data that all comparison runs share."""

    values: dict[str, Any]
    history: History
    seed: int
    delay_of: str


def one(study: Study, item: tuple[str, float]) -> Delay | Outcome:
    """One of them: ("delay", seconds), or a control and the number of its run."""
    kind, of = item
    if kind == DELAY:
        return delayed(study.values, study.history, of, study.delay_of)
    draw = draw_of(kind, study.values, study.history, study.seed, int(of))
    return outcome(trade(draw.values, draw.history, draw.wrap), study.history)


def items_of(delays_s: Sequence[float], controls: Sequence[str], draws: int) -> list[tuple[str, float]]:
    """All runs of a study; those that take longest begin first."""
    return [*((kind, k) for kind in controls for k in range(count_of(kind, draws))), *((DELAY, delay_s) for delay_s in delays_s)]


def seed_of(kind: str, seed: int) -> int | None:
    """The seed of a control; None if it draws nothing."""
    return seed if kind in ("random_side", "random_time") else None
