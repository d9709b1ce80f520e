"""The walk beside every event, when several detectors, features and policies look at everything: the same audit stream and state to the last byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_walk import MARKETS, VENUES, kinds, same_run, stepped, tape_of

import liqcore as lc
from liqcore import AuditKind, Engine, Paper, Policy, Risk, SimVenue, Tape
from liqcore.event import EVENT_DTYPE, Judgment, Kind
from markets import instruments, market

FLOW = ("flow.trade_imbalance@30s", "flow.spread_bps", "liquidations.liq_imbalance@1m", "price.return@1m:zscore")
CASCADES = (
    {"kind": "cascade", "warmup": 20, "window_s": 20.0, "quantile": 0.8},
    {"kind": "cascade", "name": "quick", "warmup": 5, "min_events": 1, "quantile": 0.5, "window_s": 2.0},
)
OTHERS = ({"kind": "bars", "period_s": 15.0}, {"kind": "imbalance"}, {"kind": "dollar", "window_s": 60.0, "trigger_usd": 2000.0, "min_usd": 10.0})


class Busy(Policy):
    """Every kind of answer, chosen by what it is shown: the signal, the time, the market, its features."""

    def __init__(self, salt, judge=False, features=(), **bracket):
        self.salt, self.judge, self.features, self.bracket = salt, judge, features, bracket

    def on_signal(self, signal, market):
        seen = [market.feature(name) for name in self.features] + [market.bid, market.ask, market.mark, market.last]
        draw = hash((self.salt, signal.ts, signal.detector, market.now, signal.sequence, *(round(x, 6) for x in seen if x == x))) % 16
        if draw < 3:
            return lc.Later(market.now + (draw + 1) * 700_000_001)
        if draw == 3:
            return lc.Leave()
        if draw < 6:
            return None
        if draw < 8:
            return self.decline(f"seen {draw}", seen[0], threshold=market.last)
        return lc.Bracket(
            lc.LONG if draw % 2 else lc.SHORT,
            entry="market" if draw == 12 else "post_only",
            entry_offset=0 if draw == 12 else "0.0002",
            take_profit="0.001",
            stop_loss="0.002",
            notional=500.0 * draw,
            confidence=draw,
            replaces=draw > 9,
            cooldown_s=1,
            max_hold_s=30,
            entry_ttl_s=10,
            judge_s=8.0 if self.judge and draw % 3 else 0.0,
            trail=self.bracket.get("trail", 0),
            trail_basis=self.bracket.get("trail_basis", "price"),
            trail_from=self.bracket.get("trail_from", 0),
        )


def busy(size, venue, detectors, features=(), judge=False, **bracket):
    limits = {"data_age_max_s": 60.0, "orders_per_minute_max": 1000, "daily_loss_max": 0.5, "weekly_loss_max": 0.5, "positions_max": 2}
    engine = Engine(
        instruments(size),
        policy=[Busy(1, judge, features, **bracket), Busy(2, judge, (), **bracket)],
        risk=Risk(**limits),
        audit_capacity=1 << 17,
        detectors=[lc.make_detector(**d) for d in detectors],
    )
    return Paper(engine, SimVenue(engine.instruments, **venue))


TRAILS = st.sampled_from(
    [
        {},
        {"trail": 0.001},
        {"trail": 0.3, "trail_basis": "profit"},
        {"trail": 0.9, "trail_basis": "profit"},
        {"trail": 0.5, "trail_basis": "profit", "trail_from": 0.0005},
    ]
)


@settings(deadline=None, max_examples=60)
@given(MARKETS, VENUES, st.sampled_from([CASCADES, CASCADES + OTHERS, OTHERS[:1]]), st.sampled_from([(), FLOW]), TRAILS)
def test_skipping_equals_stepping_whoever_looks(case, venue, detectors, features, trail):
    same_run(tape_of(case), lambda: busy(case[2], venue, detectors, features, **trail))


@settings(deadline=None, max_examples=25)
@given(MARKETS, VENUES, st.sampled_from([CASCADES, CASCADES + OTHERS]), st.randoms(use_true_random=False))
def test_verdicts_on_the_tape(case, venue, detectors, draw):
    tape = tape_of(case)
    records = np.frombuffer(stepped(busy(case[2], venue, detectors, judge=True), tape.events()), lc.AUDIT_DTYPE)
    asked = records[(records["kind"] == AuditKind.AUDIT_JUDGE) & (records["reason"] == lc.Reason.JUDGING)]
    verdicts = np.zeros(len(asked), EVENT_DTYPE)
    verdicts["kind"], verdicts["instrument"], verdicts["id"] = Kind.VERDICT, -1, asked["x"][:, 0]
    verdicts["code"] = [draw.choice([Judgment.JUDGE_CONFIRM, Judgment.JUDGE_CONFIRM, Judgment.JUDGE_VETO]) for _ in asked]
    verdicts["ts_recv"] = verdicts["ts_event"] = asked["ts"] + np.array([draw.randrange(1, 10 * lc.SECOND) for _ in asked], np.int64)
    events = np.concatenate([tape.events(), verdicts])
    judged = Tape.of(instruments(case[2]), events[np.argsort(events["ts_recv"], kind="stable")])
    same_run(judged, lambda: busy(case[2], venue, detectors, judge=True))


@pytest.mark.parametrize("seed", [1, 4])
def test_it_is_not_an_empty_proof(seed):
    """A market in which every kind of answer leads to something."""
    tape = Tape.of(instruments(2), market(seed, 6000, 2))
    stream, walk = same_run(tape, lambda: busy(2, {}, CASCADES + OTHERS, FLOW, trail=0.3, trail_basis="profit"))
    records = np.frombuffer(stream, lc.AUDIT_DTYPE)
    reasons = {lc.Reason(int(r)).name for r in records["reason"]}
    assert kinds(stream)[AuditKind.AUDIT_TRADE] > 5
    declined = [lc.audit.declined(x) for x in records["x"][(records["kind"] == AuditKind.AUDIT_POLICY) & (records["reason"] == lc.Reason.NO_TRADE)]]
    assert {found and found[0] for found in declined} == {None, "seen 6", "seen 7"}
    assert {"NETTED", "ASK_LATER", "POLICY_LEAVE", "REPLACING", "WEAKER", "END_REPLACED", "END_POLICY"} <= reasons
    assert walk.stops >= np.isin(tape.events()["kind"], [Kind.TRADE, Kind.BBO]).sum()  # features and detectors want all of them


@settings(deadline=None, max_examples=25)
@given(MARKETS, VENUES, st.sampled_from([CASCADES, CASCADES + OTHERS]), st.integers(0, 99))
def test_a_judge_of_the_walk_equals_its_verdicts_on_the_tape(case, venue, detectors, salt):
    """Asked while the tape runs, a judge gives the run that the events with its verdicts among them give, byte for byte."""
    tape, said = tape_of(case), []
    assume(len(tape))

    def judge(question):
        draw = hash((salt, question["id"])) % 9
        if draw == 8:
            return None
        ts = question["ts"] + 1 + draw * 1_700_000_003
        said.append((ts, question["id"], 1 + draw % 3, draw % 4 if draw % 3 == 0 else 0))
        return said[-1][0], said[-1][2], said[-1][3]

    walk = lc.Walk(busy(case[2], venue, detectors, judge=True), tape, judge)
    stream = b""
    while not walk.run(int(tape.events()["ts_recv"][-1]) + 20 * lc.SECOND):
        stream += walk.paper.engine.audit.drain().tobytes()
    stream += walk.paper.engine.audit.drain().tobytes()
    verdicts = np.zeros(len(said), EVENT_DTYPE)
    verdicts["kind"], verdicts["instrument"] = Kind.VERDICT, -1
    for row, (ts, number, code, confidence) in zip(verdicts, said, strict=True):
        row["ts_recv"] = row["ts_event"] = ts
        row["id"], row["code"], row["aux_qty"] = number, code, confidence
    events = np.concatenate([verdicts, tape.events()])
    events = events[np.argsort(events["ts_recv"], kind="stable")]
    last = int(tape.events()["ts_recv"][-1]) + 20 * lc.SECOND
    same = busy(case[2], venue, detectors, judge=True)
    assert stream == stepped(same, events[events["ts_recv"] <= last], last)
    assert walk.paper.snapshot() == same.snapshot()
