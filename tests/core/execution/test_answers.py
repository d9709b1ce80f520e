"""Several policies and detectors: who is asked, in which order wishes are judged, what is netted, and what is asked again later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle.answers import Wish, settled

import liqcore as lc
from desk import LONG, SHORT, T0, both, limits
from liqcore.audit import AuditKind
from script import QUICK, Play, S, Script, bracket

MINUTE = 60 * S
START = T0 // MINUTE * MINUTE


def at_one_moment(count, wishes, policies=1, risk=None):
    """An engine of `count` instruments in which every policy hears one signal of each at the same nanosecond; wishes[policy][instrument] is what it
    says. -> its records of that moment, and the requests."""
    names = [lc.Instrument(f"C{n}USDT", tick_size="0.01", lot_size="0.001") for n in range(count)]

    def answer_of(p):
        return lambda signal, market: wishes[p].get(signal.instrument)

    scripts = [Script(answer_of(p)) for p in range(policies)]
    engine = lc.Engine(
        names, policy=scripts, risk=risk or limits(positions_max=1000), equity=1e6, detectors=[lc.make_detector("bars", period_s=60.0)]
    )
    for n in range(count):
        engine.on_trade(START + n + 1, START + n + 1, n, 1, 2500.0, 1.0)
        engine.on_ticker(START + n + 1, START + n + 1, n, 2500.0)  # bars begin with it
    engine.audit.drain()
    engine.advance(START + MINUTE)
    return engine, engine.audit.drain(), engine.drain()


@both
def test_seven_signals_of_one_moment_and_room_for_five(side):
    """The five with the highest confidence are entered, whatever their place; the two others are refused for want of room."""
    confidence = [40, 90, 10, 70, 60, 20, 80]
    wishes = [{n: bracket(side, confidence=c) for n, c in enumerate(confidence)}]
    _, records, requests = at_one_moment(7, wishes, risk=limits(positions_max=5))
    verdicts = records[records["kind"] == AuditKind.AUDIT_RISK]
    assert verdicts["instrument"].tolist() == [1, 6, 3, 4, 0, 5, 2]
    assert [lc.Reason(int(r)).name for r in verdicts["reason"]] == ["OK"] * 5 + ["RISK_POSITIONS"] * 2
    assert [r.instrument.symbol for r in requests] == ["C1USDT", "C6USDT", "C3USDT", "C4USDT", "C0USDT"] and {r.side for r in requests} == {side}


WISHES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([LONG, SHORT]), st.integers(-3, 3), st.integers(1, 40)),
    unique_by=lambda w: w[:2],
    max_size=12,
)


@settings(deadline=None, max_examples=150)
@given(WISHES)
@example([(0, 0, LONG, 1, 10), (1, 0, SHORT, 2, 10)])
@example([(0, 0, LONG, 1, 30), (1, 0, LONG, 2, 10), (2, 0, SHORT, 3, 20)])
def test_order_and_netting_are_the_oracles(drawn):
    """Engine and oracle agree on who goes on to risk, in which order, with which notional, and who is netted away; bit for bit."""
    wishes = [{n: bracket(side, notional=1000.0 * lots, confidence=c) for p, n, side, c, lots in drawn if p == policy} for policy in range(3)]
    asked = [Wish(n, side, 1000.0 * lots, c) for n in range(4) for p in range(3) for q, m, side, c, lots in drawn if (q, m) == (p, n)]
    goes_on, netted = settled(asked)
    _, records, requests = at_one_moment(4, wishes, policies=3)
    risk = records[records["kind"] == AuditKind.AUDIT_RISK]
    judged = risk[risk["reason"] != lc.Reason.NETTED]
    assert [(r["instrument"], r["side"]) for r in judged] == [(w.instrument, w.side) for w in goes_on]
    assert sorted((r["instrument"], r["side"]) for r in risk[risk["reason"] == lc.Reason.NETTED]) == sorted((w.instrument, w.side) for w in netted)
    first = {}
    for w in goes_on:
        first.setdefault(w.instrument, w)
    assert [(r.instrument.symbol, r.side) for r in requests] == [(f"C{w.instrument}USDT", w.side) for w in first.values()]
    for r, w in zip(requests, first.values(), strict=True):
        assert abs(r.qty * r.price - w.notional) <= 0.001 * r.price + 1e-6  # whole lots of what is left


@both
def test_who_listens_to_what(side):
    """`detectors` and `symbols` limit what a policy hears; a signal says which detector it is of, and so does the audit."""
    eth = lc.Instrument("ETHUSDT", venue="bybit")
    scripts = [Script(), Script(detectors=("slow",)), Script(symbols=("bybit:ETHUSDT",)), Script(symbols=("BTCUSDT",))]
    engine = lc.Engine(
        [eth, "BTCUSDT", lc.Instrument("ETHUSDT", venue="okx")],
        policy=scripts,
        detectors=[lc.CascadeDetector(**QUICK), lc.CascadeDetector(name="slow", **(QUICK | {"warmup": 3}))],
    )
    for n in range(6):
        engine.on_liquidation(T0 + n * S, T0 + n * S, n % 3, side, 2500.0, 1.0)
        engine.on_liquidation(T0 + n * S + 1, T0 + n * S + 1, n % 3, side, 2500.0, 2.0)
    engine.advance(T0 + 60 * S)
    heard = [[(detector, phase) for _, detector, phase, _ in s.heard] for s in scripts]
    assert {d for d, _ in heard[0]} == {"cascade", "slow"} and {d for d, _ in heard[1]} == {"slow"} and heard[1]
    records = engine.audit.drain()
    said = lc.audit.view(records, AuditKind.AUDIT_SIGNAL)
    assert [("cascade", "slow")[d - 1] for d in said["detector"]] == [d for d, _ in heard[0]] and (said["count"] >= 1).all()
    assert len(heard[2]) == len(heard[3]) == len(heard[0]) / 3
    assert engine.phase("BTCUSDT", "slow") == lc.Phase.IDLE and engine.threshold("okx:ETHUSDT", 2) > 0
    with pytest.raises(KeyError, match="bybit:ETHUSDT"):
        engine.phase("ETHUSDT")  # two venues: the symbol alone is not enough


def test_misuse_is_named():
    with pytest.raises(ValueError, match="'nobody' is not in this engine; expected some of cascade"):
        lc.Engine(["A"], policy=Script(detectors=("nobody",)))
    with pytest.raises(ValueError, match="'B' is not in this engine"):
        lc.Engine(["A"], policy=Script(symbols=("B",)))
    with pytest.raises(TypeError, match="expected a tuple of names, got 'cascade'"):
        lc.Engine(["A"], policy=Script(detectors="cascade"))
    with pytest.raises(ValueError, match="same name twice: cascade, cascade"):
        lc.Engine(["A"], detectors=[lc.CascadeDetector(), lc.CascadeDetector()])
    with pytest.raises(ValueError, match="not both"):
        lc.Engine(["A"], lc.CascadeConfig(), detectors=[lc.CascadeDetector()])
    used = lc.CascadeDetector()
    lc.Engine(["A"], detectors=[used])
    with pytest.raises(RuntimeError, match="already serves"):
        lc.Engine(["A"], detectors=[used])
    with pytest.raises(ValueError, match="different Policy objects"):
        same = Script()
        lc.Engine(["A"], policy=[same, same])


@both
def test_asked_again_at_the_exact_moment(side):
    """Later: the same signal, the very nanosecond, whether or not anything arrives then; the bracket is priced and judged then."""
    script = Script()
    desk = Play(side, script)
    due = []

    def says(signal, market):
        if signal.phase != lc.Phase.ACTIVE:
            return None
        due.append(market.now)
        return lc.Later(market.now + 7 * S) if len(due) < 3 else bracket(side)

    script.says = says
    desk.trade(2500.0)
    assert desk.liquidate() == [] and desk.engine.next_deadline is not None
    started = desk.now
    desk.wait(8.0)
    desk.trade(2600.0)
    (entry,) = desk.wait(20.0)
    assert due == [started, started + 7 * S, started + 14 * S] and entry.ts == started + 14 * S
    assert entry.price == pytest.approx(2600.0 * (1 - side * 0.0015), abs=0.011)
    assert desk.reasons(AuditKind.AUDIT_POLICY)[-4:].count("ASK_LATER") == 2


def test_a_later_that_is_not_later_stops_the_policy():
    script = Script(lambda signal, market: lc.Later(market.now))
    engine = lc.Engine(["A"], lc.CascadeConfig(**QUICK), script)
    engine.on_liquidation(T0, T0, 0, LONG, 100.0, 1.0)
    with pytest.raises(ValueError, match="expected a time after market.now"):
        engine.on_liquidation(T0 + 1, T0 + 1, 0, LONG, 100.0, 1.0)
    assert engine.risk.halted == lc.Reason.HALTED


@both
def test_a_gap_makes_what_waits_uncertain(side):
    script = Script()
    desk = Play(side, script)
    desk.trade(2500.0)
    script.says = lambda signal, market: lc.Later(signal.ts + S) if market.now < signal.ts + S else bracket(side)
    desk.liquidate()
    desk.engine.on_feed(desk.now + 1, desk.now + 1, lc.FeedState.FEED_GAP)
    assert desk.wait(2.0) == [] and desk.reasons()[-1] == "UNCERTAIN"
    assert script.heard[-1][3] & 1  # SIGNAL_UNCERTAIN: the policy is told


@both
def test_leave_closes_what_this_policy_opened_and_nothing_else(side):
    mine, other = Script(detectors=("cascade",)), Script()
    desk = Play(side, mine, other)
    (entry,) = desk.wish(bracket(side), 0)
    desk.order(entry.id, lc.OrderStatus.ORDER_NEW)
    desk.order(entry.stop_id, lc.OrderStatus.ORDER_NEW)
    desk.fill(entry.id, entry.price, entry.qty)
    assert desk.wish(lc.Leave(), 1) == []  # not its bracket
    closing = desk.wish(lc.Leave(), 0)
    close = [r for r in closing if r.role == lc.Role.ROLE_CLOSE]
    assert len(close) == 1 and close[0].side == -side and close[0].qty == entry.qty
    desk.fill(close[0].id, 2500.0, entry.qty, maker=False)
    for r in desk.requests:
        if r.role == lc.Role.ROLE_TARGET:
            desk.order(r.id, lc.OrderStatus.ORDER_CANCELLED)
    assert desk.ended() == ["END_POLICY"] and desk.reasons(AuditKind.AUDIT_POLICY).count("POLICY_LEAVE") == 2


@pytest.mark.parametrize("other", [False, True], ids=["its own", "another's"])
def test_leave_takes_back_what_the_policy_has_asked_for_at_this_moment(other):
    """Two detectors speak at one moment: enter, then leave. The later word holds, for this policy and this instrument only."""

    def says(signal, market):
        return bracket(LONG, notional=1000.0) if market.detector == "first" else lc.Leave() if signal.instrument == 0 else None

    names, detectors = ["A", "B"], [lc.make_detector("bars", name, period_s=60.0) for name in ("first", "second")]
    policies = [Script(says)] + [Script(lambda s, m: bracket(LONG, notional=500.0) if m.detector == "second" and s.instrument == 0 else None)] * other
    engine = lc.Engine(names, policy=policies, risk=limits(), detectors=detectors)
    for n in range(2):
        engine.on_trade(START + 1, START + 1, n, 1, 2500.0, 1.0)
        engine.on_ticker(START + 1, START + 1, n, 2500.0)
    for n in range(2):
        engine.on_trade(START + MINUTE - 1, START + MINUTE - 1, n, 1, 2500.0, 1.0)
    engine.advance(START + MINUTE)
    entries = [r for r in engine.drain() if r.role == lc.Role.ROLE_ENTRY]
    assert [r.instrument.symbol for r in entries] == (["A", "B"] if other else ["B"])
    reasons = [(int(r["instrument"]), lc.Reason(int(r["reason"])).name) for r in engine.audit.drain() if r["kind"] == AuditKind.AUDIT_RISK]
    assert sorted(reasons) == sorted([(0, "POLICY_LEAVE"), (1, "OK")] + [(0, "OK")] * other)


def test_what_a_policy_remembers_survives_and_is_refused_by_one_that_cannot():
    class Counts(Script):
        def __init__(self):
            super().__init__(lambda signal, market: lc.Later(market.now + 3 * S) if signal.phase == 2 else None)
            self.seen = 0

        def on_signal(self, signal, market):
            self.seen += 1
            return super().on_signal(signal, market)

        def snapshot(self):
            return self.seen.to_bytes(8, "little")

        def restore(self, data):
            self.seen = int.from_bytes(data, "little")

    def make(policy):
        return lc.Engine(["A"], lc.CascadeConfig(**QUICK), policy, risk=limits())

    engine = make(Counts())
    for n in range(5):
        engine.on_liquidation(T0 + n * S, T0 + n * S, 0, LONG, 100.0, 1.0)
    data = engine.snapshot()
    twin = make(Counts())
    twin.restore(data)
    assert twin.policy.seen == engine.policy.seen > 0 and twin.snapshot() == data
    engine.audit.drain()
    for each in (engine, twin):
        each.advance(T0 + 60 * S)
    a, b = engine.audit.drain(), twin.audit.drain()
    assert len(a) and a.tobytes() == b.tobytes() and twin.snapshot() == engine.snapshot()
    plain = make(Script())
    before = plain.snapshot()
    with pytest.raises(ValueError, match="has no restore"):
        plain.restore(data)
    assert plain.snapshot() == before


def test_when_one_policy_raises_the_wishes_of_the_moment_meet_the_halt():
    def broken(signal, market):
        raise RuntimeError("broken")

    names = ["A", "B"]
    engine = lc.Engine(
        names, policy=[Script(lambda s, m: bracket(LONG)), Script(broken)], risk=limits(), detectors=[lc.make_detector("bars", period_s=60.0)]
    )
    for n in range(2):
        engine.on_trade(START + 1, START + 1, n, 1, 2500.0, 1.0)
        engine.on_ticker(START + 1, START + 1, n, 2500.0)
    with pytest.raises(RuntimeError, match="broken"):
        engine.advance(START + MINUTE)
    records = engine.audit.drain()
    assert engine.drain() == [] and np.isin(records[records["kind"] == AuditKind.AUDIT_RISK]["reason"], [lc.Reason.HALTED]).all()
    with pytest.raises(RuntimeError, match="broken"):  # the second instrument's signal of that moment
        engine.advance(START + MINUTE)
    assert engine.next_deadline > START + MINUTE  # time goes on
