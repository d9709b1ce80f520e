"""Questions of one moment: entered together, by the confidence that is left, when all are answered or at the deadline; what a grade of the news gives."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle.answers import Asked, entered

import liqcore as lc
from desk import LONG, T0, both, limits
from liqcore.audit import AuditKind, view
from liqcore.event import Judgment
from script import Play, S, Script, bracket

MINUTE = 60 * S
START = T0 // MINUTE * MINUTE
ASKED = START + MINUTE
OLD = Path(__file__).with_name("questions_abi7.json")
WORDS = {"CONFIRM": Judgment.JUDGE_CONFIRM, "VETO": Judgment.JUDGE_VETO, "HOLD": Judgment.JUDGE_HOLD, "FAILED": Judgment.JUDGE_FAILED}


def engine_of(side, batch, **risk):
    """An engine whose policy asks about all of the batch at one nanosecond, ASKED."""
    names = [lc.Instrument(f"C{n}USDT", tick_size="0.01", lot_size="0.001") for n in range(len(batch))]
    wishes = {
        q.instrument: bracket(side, confidence=q.confidence, judge_s=(q.deadline - ASKED) / S, with_news=q.gives[0], without_news=q.gives[1])
        for q in batch
    }
    engine = lc.Engine(
        names,
        policy=Script(lambda signal, market: wishes.get(signal.instrument)),
        risk=limits(**{"positions_max": 1000} | risk),
        equity=1e6,
        detectors=[lc.make_detector("bars", period_s=60.0)],
    )
    for n in range(len(names)):
        engine.on_trade(START + n + 1, START + n + 1, n, 1, 2500.0, 1.0)
        engine.on_ticker(START + n + 1, START + n + 1, n, 2500.0)
    engine.advance(ASKED)
    engine.audit.drain()
    return engine


def heard(engine, said, until=ASKED + 20 * S):
    """Records after these words were said."""
    numbers = {q["instrument"]: q["id"] for q in engine.questions()}
    for ts, k, word, stated in said:
        engine.on_verdict(ts, numbers[k], WORDS[word], stated)
    engine.advance(until)
    return engine.audit.drain()


def judged(side, batch, said, **risk):
    engine = engine_of(side, batch, **risk)
    return heard(engine, said), engine


GIVES = st.sampled_from(["enter", "enter", 1, 2, 3, "hold", "don't enter"])
BATCH = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([5, 5, 8]), GIVES, GIVES), min_size=1, max_size=5)
SAID = st.lists(
    st.tuples(
        st.integers(1, 10 * S), st.integers(0, 4), st.sampled_from(["CONFIRM", "CONFIRM", "CONFIRM", "VETO", "HOLD", "FAILED"]), st.integers(0, 3)
    ),
    max_size=10,
)


@settings(deadline=None, max_examples=250)
@given(BATCH, SAID, st.sampled_from([1, -1]))
@example([(1, 5, "enter", "enter"), (3, 5, "enter", "enter")], [(1 * S, 0, "CONFIRM", 1), (2 * S, 1, "CONFIRM", 3)], 1)
@example([(3, 5, "enter", "enter"), (3, 5, "enter", "enter")], [(1 * S, 0, "CONFIRM", 1), (2 * S, 1, "CONFIRM", 2)], -1)
@example([(3, 5, "hold", "don't enter"), (3, 8, "enter", 2)], [(1 * S, 0, "CONFIRM", 3), (2 * S, 1, "CONFIRM", 3)], 1)
def test_a_batch_is_entered_as_the_oracle_says(drawn, words, side):
    batch = [Asked(n, c, ASKED + s * S, (with_news, without)) for n, (c, s, with_news, without) in enumerate(drawn)]
    said = sorted((ASKED + ts, k % len(batch), word, stated) for ts, k, word, stated in words)
    records, engine = judged(side, batch, said)
    risk = records[records["kind"] == AuditKind.AUDIT_RISK]
    expected = entered(batch, said)
    assert [(int(r["ts"]), int(r["instrument"])) for r in risk] == [(ts, n) for ts, n, _ in expected]
    found = view(records, AuditKind.AUDIT_JUDGE)
    confirmed = found[found["reason"] == lc.Reason.OK]
    assert {int(r["instrument"]): int(r["confidence"]) for r in confirmed} == {n: c for _, n, c in expected}
    assert set(risk["reason"].tolist()) <= {int(lc.Reason.OK)} and engine.questions() == []
    counts = engine.verdicts
    assert counts["confirmed"] == len(expected) and counts["asked"] == len(batch) == counts["confirmed"] + counts["vetoed"] + counts["unjudged"]


@settings(deadline=None, max_examples=40)
@given(BATCH, SAID, st.integers(0, 9))
def test_a_snapshot_between_the_words_changes_nothing(drawn, words, cut):
    """An engine that is restored in the middle of a batch goes on to the same records."""
    batch = [Asked(n, c, ASKED + s * S, (with_news, without)) for n, (c, s, with_news, without) in enumerate(drawn)]
    said = sorted((ASKED + ts, k % len(batch), word, stated) for ts, k, word, stated in words)
    whole, _ = judged(1, batch, said)
    first, second = engine_of(1, batch), engine_of(1, batch)
    numbers = {q["instrument"]: q["id"] for q in first.questions()}
    before = b""
    for n, (ts, k, word, stated) in enumerate(said):
        if n == cut:
            first.drain()
            before += first.audit.drain().tobytes()
            second.restore(first.snapshot())
            assert second.snapshot() == first.snapshot() and second.questions().__len__() == len(first.questions())
            first = second
        first.on_verdict(ts, numbers[k], WORDS[word], stated)
    first.advance(ASKED + 20 * S)
    assert before + first.audit.drain().tobytes() == whole.tobytes()


@both
def test_the_last_place_goes_to_the_highest_confidence_not_to_the_first_word(side):
    """Signals are sorted by confidence, high first. All want 3; the judge says low first, high last."""
    batch = [Asked(n, 3, ASKED + 5 * S) for n in range(3)]
    records, engine = judged(
        side, batch, [(ASKED + 1 * S, 0, "CONFIRM", 1), (ASKED + 2 * S, 1, "CONFIRM", 2), (ASKED + 3 * S, 2, "CONFIRM", 3)], positions_max=1
    )
    risk = records[records["kind"] == AuditKind.AUDIT_RISK]
    assert risk["instrument"].tolist() == [2, 1, 0] and (risk["ts"] == ASKED + 3 * S).all()
    assert [lc.Reason(int(r)).name for r in risk["reason"]] == ["OK", "RISK_POSITIONS", "RISK_POSITIONS"]
    assert engine.bracket(2)["side"] == side


@both
def test_confidence_only_falls(side):
    for wish, stated, left in ((1, 3, 1), (3, 1, 1), (2, 2, 2), (3, 3, 3), (70, 2, 2), (0, 3, 0)):
        records, _ = judged(side, [Asked(0, wish, ASKED + 5 * S)], [(ASKED + S, 0, "CONFIRM", stated)])
        (confirmed,) = view(records, AuditKind.AUDIT_JUDGE)
        assert confirmed["confidence"] == left
        opened = [r for r in view(records, AuditKind.AUDIT_RISK) if r["reason"] == lc.Reason.OK]
        assert len(opened) == 1


@both
def test_a_question_that_is_taken_back_lets_the_others_go(side):
    """A gate that closes for the one that is open: the confirmed one does not wait for it."""
    engine = engine_of(side, [Asked(0, 3, ASKED + 5 * S), Asked(1, 3, ASKED + 5 * S)])
    first, second = engine.questions()
    engine.on_verdict(ASKED + S, first["id"], Judgment.JUDGE_CONFIRM, 3)
    assert engine.drain() == []
    engine.on_control(ASKED + 2 * S, lc.Control.CONTROL_PAUSE, lc.Gate.GATE_SYMBOL, 1)
    (entry,) = engine.drain()
    assert entry.instrument.symbol == "C0USDT" and entry.ts == ASKED + 2 * S


@both
@pytest.mark.parametrize("stop", ["halt", "gate"])
def test_what_is_confirmed_and_waits_is_withdrawn_with_its_instrument(side, stop):
    engine = engine_of(side, [Asked(0, 3, ASKED + 5 * S), Asked(1, 3, ASKED + 5 * S)])
    first, second = engine.questions()
    engine.on_verdict(ASKED + S, first["id"], Judgment.JUDGE_CONFIRM, 3)
    control = lc.Control.CONTROL_HALT if stop == "halt" else lc.Control.CONTROL_PAUSE
    engine.on_control(ASKED + 2 * S, control, 0 if stop == "halt" else lc.Gate.GATE_SYMBOL)
    engine.on_control(ASKED + 2 * S, lc.Control.CONTROL_RESUME)
    engine.advance(ASKED + 20 * S)
    assert engine.drain() == [] and engine.questions() == []
    assert engine.audit.drain()["reason"].tolist().count(int(lc.Reason.HALTED if stop == "halt" else lc.Reason.NOT_READY)) >= 2


@both
def test_who_only_looks_on_takes_nothing_off_another_wish(side):
    """A wish that no answer can turn into an entry is not netted."""
    hold = bracket(-side, judge_s=5.0, with_news="hold", without_news="don't enter", notional=1000.0)
    scripts = (Script(), Script())
    desk = Play(side, *scripts)
    scripts[1].says = lambda signal, market: bracket(side, notional=1000.0) if signal.phase == lc.Phase.ACTIVE else None
    (entry,) = desk.wish(hold)
    assert entry.side == side and entry.qty * entry.price == pytest.approx(1000.0, rel=0.01) and len(desk.engine.questions()) == 1


class Telling(Script):
    def question(self, signal, market):
        return {"z": signal.z, "price": market.last, "symbol": market.instrument.symbol, "now": market.now}


@both
def test_what_the_policy_tells_is_carried_as_it_was_at_the_moment(side):
    policy = Telling()
    desk = Play(side, policy)
    desk.wish(bracket(side, judge_s=10.0, confidence=3, without_news=2))
    asked = desk.engine.questions()[0]
    told = asked["content"]
    assert told == {"z": asked["signal"].z, "price": 2500.0, "symbol": "ETHUSDT", "now": asked["ts"]} and asked["batch"] == asked["id"]
    assert asked["outcomes"] == {"supports": ("enter", 3), "none": ("enter", 2), "contradicts": ("don't enter", 0)}
    desk.trade(2600.0)
    assert desk.engine.questions()[0]["content"] == told
    again = lc.Engine(
        [desk.instrument],
        lc.CascadeConfig(warmup=1, min_events=1, window_events=2, window_s=0.001, decay_s=0.001),
        Telling(),
        limits(),
        equity=100_000.0,
    )
    again.restore(desk.engine.snapshot())
    assert again.questions()[0]["content"] == told


@pytest.mark.parametrize("told", [{"z": float("nan")}, {"x": object()}, [1], None])
def test_what_is_no_json_stops_the_policy(told):
    policy_type = type("Bad", (Script,), {"question": lambda self, signal, market: told})
    desk = Play(LONG, policy_type())
    with pytest.raises((TypeError, ValueError), match="Bad.question: expected"):
        desk.wish(bracket(LONG, judge_s=10.0))
    assert desk.engine.risk.halted == lc.Reason.HALTED


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"judge_s": 1.0, "with_news": 4}, "with_news: expected"),
        ({"judge_s": 1.0, "without_news": "yes"}, "without_news: expected"),
        ({"judge_s": 1.0, "without_news": True}, "without_news: expected"),
        ({"without_news": 2}, "judge_s must be above 0"),
    ],
)
def test_a_bracket_says_what_is_wrong_with_its_grades(terms, message):
    with pytest.raises(ValueError, match=message):
        bracket(LONG, **terms)
    assert json.dumps(bracket(LONG, judge_s=1.0, with_news="hold", without_news="don't enter").outcomes)


@both
@pytest.mark.parametrize("restored", [False, True])
def test_words_and_snapshots_of_before_there_were_batches(side, restored):
    """questions_abi7.json holds a snapshot that version 0.2.0 with abi 7 wrote with three open questions of one moment, and the hash of the records
    that it gave for the words below, which state no confidence: each is entered at once, the first takes the last place."""
    found = json.loads(OLD.read_text())[str(side)]
    names = [lc.Instrument(f"C{n}USDT", tick_size="0.01", lot_size="0.001") for n in range(3)]
    engine = lc.Engine(
        names,
        policy=Script(lambda signal, market: bracket(side, confidence=signal.instrument + 1, judge_s=5.0)),
        risk=limits(positions_max=1),
        equity=1e6,
        detectors=[lc.make_detector("bars", period_s=60.0)],
    )
    if restored:
        engine.restore(zlib.decompress(base64.b64decode(found["snapshot"])))
    else:
        for n in range(3):
            engine.on_trade(START + n + 1, START + n + 1, n, 1, 2500.0, 1.0)
            engine.on_ticker(START + n + 1, START + n + 1, n, 2500.0)
        engine.advance(ASKED)
        engine.audit.drain()
    assert [q["id"] for q in engine.questions()] == found["questions"]
    for n, judgment in enumerate((Judgment.JUDGE_CONFIRM, Judgment.JUDGE_CONFIRM, Judgment.JUDGE_VETO)):
        engine.on_verdict(ASKED + (n + 1) * S, found["questions"][n], judgment)
    engine.advance(ASKED + 20 * S)
    records = engine.audit.drain()
    assert len(records) == found["records"] and hashlib.sha256(records.tobytes()).hexdigest() == found["audit"]
    assert [lc.Reason(int(r)).name for r in records["reason"][records["kind"] == AuditKind.AUDIT_RISK]] == ["OK", "RISK_POSITIONS"]
