"""An outside judge: its verdict is an event, it can confirm or veto only, and whatever is not a confirmation in time is no entry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import liqcore as lc
from desk import T0, both, limits
from liqcore.audit import AuditKind
from liqcore.event import EVENT_DTYPE, Kind
from script import Play, S, Script, bracket

CONFIRM, VETO = lc.Judgment.JUDGE_CONFIRM, lc.Judgment.JUDGE_VETO
ENTRY = lc.Role.ROLE_ENTRY


def asked(side, risk=None, **over):
    """A desk with one open question."""
    desk = Play(side, Script(), risk=risk)
    assert desk.wish(bracket(side, judge_s=10.0, **over)) == []
    (question,) = desk.engine.questions()
    return desk, question


def say(desk, question, judgment):
    desk.now += 1
    desk.engine.on_verdict(desk.now, question["id"] if isinstance(question, dict) else question, judgment)
    return desk.collect()


@both
def test_a_question_says_what_is_wanted(side):
    desk, q = asked(side, confidence=70, notional=2000.0)
    assert (q["symbol"], q["instrument"], q["side"], q["confidence"], q["notional"], q["policy"], q["detector"]) == (
        "ETHUSDT",
        0,
        side,
        70,
        2000.0,
        0,
        "cascade",
    )
    assert q["deadline"] == q["ts"] + 10 * S and q["signal"].phase == lc.Phase.ACTIVE and q["id"] == q["ts"] // 1000
    record = desk.kinds(AuditKind.AUDIT_JUDGE)[-1]
    assert (record["reason"], record["x"][0], record["x"][2]) == (lc.Reason.JUDGING, q["id"], 10.0) and desk.engine.verdicts["asked"] == 1


@both
def test_a_confirmation_enters_at_the_price_of_its_moment(side):
    desk, q = asked(side)
    desk.wait(4.0)
    desk.trade(2600.0)
    (entry,) = say(desk, q, CONFIRM)
    assert entry.side == side and entry.ts == desk.now and entry.price == pytest.approx(2600.0 * (1 - side * 0.0015), abs=0.011)
    assert desk.engine.questions() == [] and desk.reasons(AuditKind.AUDIT_JUDGE) == ["JUDGING", "OK"] and desk.engine.verdicts["confirmed"] == 1


@both
@pytest.mark.parametrize(
    ("how", "reason"), [("veto", "VETOED"), ("silence", "UNJUDGED"), ("halt", "HALTED"), ("gate", "NOT_READY"), ("leave", "POLICY_LEAVE")]
)
def test_everything_else_is_no_entry(side, how, reason):
    desk, q = asked(side)
    if how == "veto":
        say(desk, q, VETO)
    elif how == "silence":
        assert desk.engine.next_deadline == q["deadline"]
        desk.wait(10.0)
    elif how == "leave":
        desk.wish(lc.Leave())
    else:
        desk.engine.on_control(desk.now, lc.Control.CONTROL_HALT if how == "halt" else lc.Control.CONTROL_PAUSE, lc.Gate.GATE_CLOCK)
        desk.engine.on_control(desk.now, lc.Control.CONTROL_RESUME)
        desk.engine.on_control(desk.now, lc.Control.CONTROL_READY, lc.Gate.GATE_CLOCK)
        desk.collect()
    assert desk.engine.questions() == [] and desk.reasons(AuditKind.AUDIT_JUDGE)[-1] == reason
    ignored = desk.engine.verdicts["ignored"]
    assert say(desk, q, CONFIRM) == [] and desk.engine.verdicts["ignored"] == ignored + 1  # too late now
    assert not [r for r in desk.requests if r.role == ENTRY]


@both
@pytest.mark.parametrize(
    ("what", "reason"), [("gap", "UNCERTAIN"), ("stale", "RISK_STALE_DATA"), ("open", "BRACKET_OPEN"), ("collar", "RISK_COLLAR")]
)
def test_hurdle_and_risk_are_asked_at_the_moment_of_the_verdict(side, what, reason):
    desk, q = asked(side, risk=limits(data_age_max_s=3.0, collar=0.01), reference=250_000 if what == "collar" else 0)
    if what == "gap":
        desk.engine.on_feed(desk.now, desk.now, lc.FeedState.FEED_GAP)
    elif what == "stale":
        desk.wait(4.0)
    elif what == "open":
        assert len(desk.wish(bracket(side))) == 1
    else:
        desk.trade(2600.0)
    before = len([r for r in desk.requests if r.role == ENTRY])
    assert say(desk, q, CONFIRM) == [] and desk.reasons()[-1] == reason
    assert len([r for r in desk.requests if r.role == ENTRY]) == before


@both
@pytest.mark.parametrize(("why", "reason"), [("halted", "HALTED"), ("gate", "NOT_READY"), ("open", "BRACKET_OPEN"), ("weaker", "WEAKER")])
def test_nobody_is_asked_about_what_could_not_be_entered(side, why, reason):
    desk = Play(side, Script())
    if why == "halted":
        desk.engine.on_control(desk.now, lc.Control.CONTROL_HALT)
    elif why == "gate":
        desk.engine.on_control(desk.now, lc.Control.CONTROL_PAUSE, lc.Gate.GATE_DISK)
    else:
        desk.wish(bracket(side, confidence=5))
    desk.wish(bracket(side, judge_s=5.0, confidence=5, replaces=why == "weaker"))
    assert desk.engine.questions() == [] and desk.reasons()[-1] == reason


@both
def test_a_verdict_first_then_the_place(side):
    """judge_s and replaces together: the weaker bracket stays until the judge has confirmed."""
    desk = Play(side, Script())
    (old,) = desk.wish(bracket(side, confidence=1))
    desk.order(old.id, lc.OrderStatus.ORDER_NEW)
    assert desk.wish(bracket(side, confidence=2, judge_s=5.0, replaces=True)) == []
    (cancel,) = say(desk, desk.engine.questions()[0], CONFIRM)
    assert cancel.id == old.id and desk.reasons()[-1] == "REPLACING"
    (new,) = desk.order(old.id, lc.OrderStatus.ORDER_CANCELLED)
    assert new.role == ENTRY and desk.ended() == ["END_REPLACED"]


def test_the_door_refuses_what_is_no_verdict():
    engine = lc.Engine(["A"])
    row = np.zeros(5, EVENT_DTYPE)
    row["kind"], row["ts_event"], row["ts_recv"], row["id"], row["instrument"], row["code"] = (
        Kind.VERDICT,
        T0,
        T0,
        [0, 5, 5, 5, 5],
        [-1, -1, 0, -1, -1],
        [1, 5, 1, 1, 1],
    )
    row["aux_qty"] = [0, 0, 0, 0, 4]
    engine.run(row)
    assert engine.refused == {lc.Reason.BAD_CODE: 2, lc.Reason.BAD_INSTRUMENT: 1, lc.Reason.BAD_QTY: 1} and engine.verdicts["ignored"] == 1


class Judged(RuleBasedStateMachine):
    """Wishes with and without a judge, verdicts of any kind at any time, halts, gates, gaps, snapshots. A plain list is the model of what is open; an
    entry leaves only for a wish without judge or for a confirmed question; the recorded events, fed again, give the same records."""

    @initialize(side=st.sampled_from([1, -1]))
    def start(self, side):
        self.side = side
        self.desk = Play(side, Script())
        self.open, self.done, self.ignored = [], [], 0  # (id, deadline)
        self.allowed = 0
        self.log = []

    def entries(self):
        return sum(r.role == ENTRY and r.action == 1 for r in self.desk.requests)

    def flat(self):
        return self.desk.state == 0

    def expire(self):
        self.done += [q for q in self.open if q[1] <= self.desk.now]
        self.open = [q for q in self.open if q[1] > self.desk.now]

    @rule(judge_s=st.sampled_from([0.0, 0.5, 30.0]))
    def wish(self, judge_s):
        may = self.flat() and self.desk.engine.risk.halted == 0 and not self.desk.engine.gates(0) and not self.uncertain()
        before = {q["id"] for q in self.desk.engine.questions()}
        self.desk.wish(bracket(self.side, judge_s=judge_s, cooldown_s=0), later_s=0.002)
        fresh = [q for q in self.desk.engine.questions() if q["id"] not in before]
        assert len(fresh) == (may and judge_s > 0)
        self.open += [(q["id"], q["deadline"]) for q in fresh]
        self.allowed += may and judge_s == 0
        self.expire()

    def uncertain(self):
        return self.desk.now < getattr(self, "sure_from", 0)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 5), judgment=st.sampled_from([CONFIRM, VETO]))
    def verdict(self, which, judgment):
        number, deadline = self.open.pop(which % len(self.open))
        late = self.desk.now + 1 >= deadline
        mark = self.entries()
        say(self.desk, number, judgment)
        self.ignored += late
        self.done.append((number, deadline))
        self.allowed += self.entries() - mark if judgment == CONFIRM and not late else 0

    @rule(which=st.integers(0, 5))
    def nonsense(self, which):
        say(self.desk, self.done[which % len(self.done)][0] if self.done else 77, CONFIRM)
        self.ignored += 1
        self.expire()

    @rule(seconds=st.sampled_from([0.1, 1.0, 40.0]))
    def wait(self, seconds):
        self.desk.wait(seconds)
        self.expire()

    @rule(what=st.sampled_from(["halt", "pause"]))
    def stop_and_go(self, what):
        engine, now = self.desk.engine, self.desk.now
        engine.on_control(now, lc.Control.CONTROL_HALT if what == "halt" else lc.Control.CONTROL_PAUSE, lc.Gate.GATE_RATE)
        engine.on_control(now, lc.Control.CONTROL_RESUME if what == "halt" else lc.Control.CONTROL_READY, lc.Gate.GATE_RATE)
        self.done += self.open
        self.open = []
        self.desk.collect()

    @rule()
    def gap(self):
        self.desk.engine.on_feed(self.desk.now, self.desk.now, lc.FeedState.FEED_GAP)
        self.sure_from = self.desk.now + 10**6
        self.desk.wait(0.002)
        self.expire()

    @precondition(lambda self: not self.flat())
    @rule()
    def entry_dies(self):
        last = [r for r in self.desk.requests if r.role == ENTRY and r.action == 1][-1]
        self.desk.order(last.id, lc.OrderStatus.ORDER_CANCELLED)
        self.expire()

    @rule()
    def restart(self):
        data, old = self.desk.engine.snapshot(), self.desk.engine
        self.desk.engine = self.desk.fresh()
        self.desk.engine.restore(data)
        assert self.desk.engine.snapshot() == data and self.desk.engine.questions().__len__() == len(old.questions())

    @invariant()
    def model_holds(self):
        if hasattr(self, "open"):
            assert [q["id"] for q in self.desk.engine.questions()] == sorted(number for number, _ in self.open)
            assert self.desk.engine.verdicts["ignored"] == self.ignored and self.entries() == self.allowed


Judged.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
TestJudged = Judged.TestCase


def test_recorded_verdicts_replay_to_the_byte():
    """The judge answered in its own time; fed again as events, the run is the same to the last byte."""
    draw = np.random.default_rng(3)

    def make():
        policy = Script(
            lambda signal, market: bracket(signal.side, judge_s=2.0, cooldown_s=0, entry_ttl_s=1) if signal.phase == lc.Phase.ACTIVE else None
        )
        engine = lc.Engine(["A"], lc.CascadeConfig(warmup=1, min_events=1, window_events=2, window_s=0.001, decay_s=0.001), policy, limits())
        return lc.Paper(engine, lc.SimVenue(engine.instruments))

    live, log = make(), []

    def push(ts, kind, **fields):
        row = np.zeros(1, EVENT_DTYPE)
        row["ts_event"] = row["ts_recv"] = ts
        row["kind"] = kind
        for name, value in fields.items():
            row[name] = value
        log.append(row)
        live.run(row)

    now = T0
    for _ in range(400):
        now += int(draw.integers(1, 700)) * 10**6
        price = 100.0 + int(draw.integers(-5, 6)) * 0.01
        push(now, Kind.TRADE, side=1, price=price, qty=1.0)
        push(now, Kind.LIQUIDATION, side=int(draw.choice([1, -1])), price=price, qty=1.0)
        for q in live.engine.questions():
            if draw.random() < 0.4:
                push(now + 5, Kind.VERDICT, instrument=-1, id=q["id"], code=int(draw.choice([CONFIRM, VETO])))
        now += 10
    again = make()
    again.run(np.concatenate(log))
    records = live.engine.audit.drain()
    assert {"confirmed", "vetoed", "unjudged"} <= {k for k, v in live.engine.verdicts.items() if v}
    assert records.tobytes() == again.engine.audit.drain().tobytes() and live.snapshot() == again.snapshot()
