"""Shadow brackets: the result that each question of a run would have had as a trade of its own, with any verdict; and the answers of the controls.

A shadow is entered at the time when the engine received the verdict. No other position, limit or cooldown affects it. The tape is run again and
again; each time every question that is asked while its contract is free is confirmed, until each has had its turn. Policies see no fills, so they
ask the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.audit import AuditKind, view
from liqshell.backtest.history import History
from liqshell.backtest.past_judge import Told
from liqshell.judge.asked import question_of
from liqshell.judge.types import Question
from liqshell.judge.validation import stated
from liqshell.news.items import Item
from liqshell.report.study import Judged, funding_of
from liqshell.run.pipeline import make_paper
from liqshell.run.tape_driver import drive

PASSES = 200  # runs of the tape at most; what is left then has no shadow
WIDE = {
    "order_notional_max": 1e12,
    "exposure_max": 1e12,
    "leverage_max": 1000.0,
    "positions_max": 10_000,
    "orders_per_minute_max": 1024,
    "daily_loss_max": 1.0,
    "weekly_loss_max": 1.0,
}
Key = tuple[int, str, str]


def key_of(question: Question) -> Key:
    return question.asked_ns, question.contract, question.direction


def enterable(question: Question) -> bool:
    """Whether some answer would have entered it."""
    return any(stated(question, grade).action == "enter" for grade in ("supports", "none"))


class _Confirming:
    """Confirms questions that had no turn yet, while their contract is free, at the time of the run's own verdict. done: (key, instrument, heard)."""

    def __init__(self, waiting: dict[Key, int], instruments: Sequence[lc.Instrument]):
        self._waiting, self._instruments = waiting, instruments
        self._free = [0] * len(instruments)
        self.done: list[tuple[Key, int, int]] = []

    def __call__(self, asked: Mapping[str, Any]) -> tuple[int, int, int] | None:
        n = asked["instrument"]
        key = key_of(question_of(asked, self._instruments[n]))
        if key not in self._waiting or asked["ts"] < self._free[n]:
            return None
        heard = min(max(self._waiting.pop(key), asked["ts"]), asked["deadline"] - 1)
        self._free[n] = heard
        self.done.append((key, n, heard))
        return heard, lc.Judgment.JUDGE_CONFIRM, 0


def alone(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in which only its own bracket can refuse a wish."""
    brackets = {
        symbol: {name: value for name, value in terms.items() if name != "replaces"} | {"cooldown_s": 0.0}
        for symbol, terms in values["brackets"].items()
    }
    return {**values, "brackets": brackets, "limits": {**values["limits"], **WIDE}}


def shadows_of(values: Mapping[str, Any], history: History, told: Sequence[Told]) -> dict[Key, tuple[float, float, int]]:
    """(net in quote currency, net in bps of the entry's notional, closed at ns) by question; without those whose entry was not filled, or
    whose trade was still open at the end."""
    free, found = alone(values), dict[Key, tuple[float, float, int]]()
    waiting = {key_of(one.question): one.question.asked_ns if one.heard_ns is None else one.heard_ns for one in told if enterable(one.question)}
    for _ in range(PASSES):
        if not waiting:
            break
        confirming = _Confirming(waiting, history.instruments)
        audit = drive(lc.Walk(make_paper(free, trust=True), history.tape, confirming), history.end_ns)
        found |= _trades(audit, history, confirming.done)
        if not confirming.done:
            break
    return found


def _trades(audit: np.ndarray, history: History, done: Sequence[tuple[Key, int, int]]) -> dict[Key, tuple[float, float, int]]:
    """The trade of each confirmed question: the one that ended before the next of its contract was confirmed."""
    trades = view(audit, AuditKind.AUDIT_TRADE)
    net = trades["net"] - funding_of(audit, trades)
    notional = trades["entry_price"] * trades["qty"] * history.multipliers[trades["instrument"]]
    out = {}
    for n in range(len(history.instruments)):
        mine, own = [(heard, key) for key, of, heard in done if of == n], np.flatnonzero(trades["instrument"] == n)
        heard = np.array([at for at, _ in mine], np.int64)
        for k in own.tolist():
            place = int(np.searchsorted(heard, trades["ts"][k])) - 1
            if place >= 0:
                out[mine[place][1]] = float(net[k]), float(net[k] / notional[k] * 1e4), int(trades["ts"][k])
    return out


def controls_of(told: Sequence[Told], seed: int) -> dict[str, list[bool]]:
    """The rules' answers to each question, from the news of its judge and from the news of another question."""
    given = [tuple(Item.from_dict(row) for row in one.answer.news) for one in told]
    order = np.random.default_rng([seed, 18]).permutation(len(told)).tolist()
    return {
        "rules": [_by_rules(one, items) for one, items in zip(told, given, strict=True)],
        "shuffled": [_by_rules(one, given[k]) for one, k in zip(told, order, strict=True)],
    }


def _by_rules(one: Told, items: Sequence[Item]) -> bool:
    at = one.question.asked_ns
    moved = [("", replace(item, received_ns=at, published_ns=0, title=f"{one.question.asset} {item.title}")) for item in items]
    from liqshell.judge.build import make_past_judge  # what a live judge needs: not for those who ask nobody
    from liqshell.news.sources import RecordedNews

    judge = make_past_judge("rules", news=RecordedNews(moved, {}))
    return judge.answer_past(one.question).action == "enter"


def judged(values: Mapping[str, Any], history: History, audit: np.ndarray, told: Sequence[Told], seed: int, contaminated: bool) -> Judged:
    """The report's data for the evaluation of the judge; see study.Judged."""
    found, others = shadows_of(values, history, told), controls_of(told, seed)
    asked = [found.get(key_of(one.question)) for one in told]
    words = view(audit, AuditKind.AUDIT_JUDGE)
    price = {}
    for question, reason, last in zip(words["question"].tolist(), words["reason"].tolist(), words["last_price"].tolist(), strict=True):
        price[int(question), reason == lc.Reason.JUDGING] = last
    drift = []
    for one in told:
        before, after = price.get((one.question.number, True), 0.0), price.get((one.question.number, False), 0.0)
        side = 1 if one.question.direction == "LONG" else -1
        drift.append(side * (after / before - 1.0) * 1e4 if before > 0.0 and after > 0.0 else None)
    return {
        "contaminated": contaminated,
        "seed": seed,
        "asked_ns": [one.question.asked_ns for one in told],
        "contract": [one.question.contract for one in told],
        "direction": [one.question.direction for one in told],
        "status": [one.answer.status for one in told],
        "action": [one.answer.action for one in told],
        "confidence": [one.answer.confidence for one in told],
        "enterable": [enterable(one.question) for one in told],
        "waited_s": [None if one.heard_ns is None else (one.heard_ns - one.question.asked_ns) / lc.SECOND for one in told],
        "cost": [one.answer.cost for one in told],
        "drift_bps": drift,
        "net": [x[0] if x else None for x in asked],
        "net_bps": [x[1] if x else None for x in asked],
        "closed_ns": [x[2] if x else None for x in asked],
        "rules": others["rules"],
        "shuffled": others["shuffled"],
    }
