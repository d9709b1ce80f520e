"""What a policy is handed, what it may answer, and what becomes of its mistakes."""

import math

import numpy as np
import pytest

import liqcore as lc
from liqcore import (
    LONG,
    SHORT,
    Alarm,
    AuditKind,
    Bracket,
    Engine,
    Market,
    Phase,
    Policy,
    Reason,
)
from markets import EAGER, START, instruments

pytestmark = pytest.mark.core


def fed(policy, count=14):
    engine = Engine(instruments(1), EAGER, policy)
    engine.on_bbo(START, START, 0, 1999.0, 3.0, 2001.0, 4.0)
    engine.on_trade(START, START, 0, LONG, 2000.0, 1.0)
    engine.on_ticker(START, START, 0, 2000.5, 2000.25, 123.0, 0.0001)
    for n in range(count):
        engine.on_liquidation(START + n, START + n, 0, LONG, 1999.0, 1.0 + n)
    return engine


def test_the_market_view_is_of_this_moment_and_only_valid_during_the_call():
    class Look(Policy):
        def on_signal(self, signal, market):
            self.market = market
            self.seen = [getattr(market, name) for name in NAMES]
            self.symbol = market.instrument.symbol

    NAMES = ("last", "bid", "bid_qty", "ask", "ask_qty", "mark", "index", "open_interest", "funding")
    look = Look()
    fed(look)
    assert look.seen == [2000.0, 1999.0, 3.0, 2001.0, 4.0, 2000.5, 2000.25, 123.0, 0.0001]
    assert look.symbol == "ETHUSDT"
    assert [getattr(look.market, name) for name in NAMES] == [0.0] * 9
    with pytest.raises(TypeError, match="made by the engine"):
        Market()


def test_the_base_class_wants_nothing_and_the_audit_says_so():
    records = fed(Policy()).audit.drain()
    answers = [r for r in records if r["kind"] == AuditKind.AUDIT_POLICY]
    signals = [r for r in records if r["kind"] == AuditKind.AUDIT_SIGNAL]
    assert [(r["reason"], r["phase"], r["id"]) for r in answers] == [(Reason.NO_TRADE, s["phase"], s["id"]) for s in signals] and signals
    assert not [r for r in fed(None).audit.drain() if r["kind"] == AuditKind.AUDIT_POLICY]


def test_a_policy_that_raises_stops_the_call_and_the_engine_goes_on_after_it():
    class Broken(Policy):
        def on_signal(self, signal, market):
            raise ZeroDivisionError("the policy's own")

    engine = fed(Broken(), 0)
    raised = 0
    for n in range(14):
        try:
            engine.on_liquidation(START + n, START + n, 0, LONG, 1999.0, 1.0 + n)
        except ZeroDivisionError:
            raised += 1
    assert raised == 2 and engine.phase(0) == Phase.ACTIVE
    records = engine.audit.drain()
    alarms = records[(records["kind"] == int(AuditKind.AUDIT_ALARM)) & (records["phase"] == int(Alarm.ALARM_POLICY))]
    assert len(alarms) == raised and engine.risk.halted == Reason.HALTED and not engine.drain()


def test_an_answer_of_another_type_is_named():
    class Odd(Policy):
        def on_signal(self, signal, market):
            return {"side": 1}

    with pytest.raises(TypeError, match=r"Odd.on_signal: expected a liqcore.Bracket, Leave, Later, Declined or None, got dict"):
        fed(Odd())


@pytest.mark.parametrize(
    "bad",
    [
        {"stop_loss": 0},
        {"stop_loss": 0.6},
        {"stop_loss": -0.1},
        {"stop_loss": 1e-9},
        {"entry": "twap"},
        {"notional": 0.0},
        {"entry_ttl_s": 0},
        {"max_hold_s": 0},
        {"cooldown_s": -1},
        {"take_profit": float("nan")},
        {"requotes": 4},
        {"exit_phase": 5},
        {"reference": -1},
    ],
)
def test_a_bracket_that_contradicts_itself_is_refused_where_it_is_made(bad):
    with pytest.raises((ValueError, OverflowError)):
        Bracket(LONG, **({"stop_loss": 0.0025, "notional": 100.0} | bad))
    with pytest.raises(ValueError, match="side"):
        Bracket(0, stop_loss=0.01, notional=1.0)


@pytest.mark.parametrize(
    ("instrument", "side", "options", "reference", "prices"),
    [
        ("0.01", LONG, {}, 2500.0, ("2496.25", "2500.00", "2490.01")),
        ("0.01", SHORT, {}, 180.0, ("180.27", "180.00", "180.72")),
    ],
)
def test_golden_prices_of_the_written_system(instrument, side, options, reference, prices):
    """The guide's example, exact to the tick."""
    from liqcore import Instrument

    bracket = Bracket(side, entry_offset=0.0015, take_profit=0.0015, stop_loss=0.0025, notional=1000.0, **options)
    got = bracket.prices(Instrument("X", tick_size=instrument), reference)
    assert (got["entry"], got["take_profit"], got["stop_loss"]) == prices


# ---- why not ----


class Choosy(lc.Policy):
    """Declines in each way that there is, in turn."""

    def __init__(self):
        self.answers = [
            self.decline("notional at least", 7.5, 100.0),
            lc.Declined("über 32 B wäre zu viel"),
            None,
            self.decline("mood above", threshold=1.0),
        ]
        self.asked = 0

    def on_signal(self, signal, market):
        self.asked += 1
        return self.answers[(self.asked - 1) % len(self.answers)]


class Wrapped(lc.Policy):
    def __init__(self, inner):
        self.inner = inner

    def on_signal(self, signal, market):
        return self.inner.answer(signal, market)


@pytest.mark.parametrize("policy", [Choosy(), Wrapped(Choosy())], ids=["itself", "wrapped"])
def test_the_condition_that_was_not_met_stands_in_the_audit(policy):
    """Name, value and threshold of each declined question; nothing where the policy said nothing; nan = not known, or no threshold."""
    engine = fed(policy)
    for round_ in range(1, 4):  # a cascade every ten minutes: two questions each, and those of its end
        for n in range(4):
            ts = START + round_ * 600 * lc.SECOND + n
            engine.on_liquidation(ts, ts, 0, LONG, 1999.0, 30.0 + n)
    records = engine.audit.drain()
    told = [lc.audit.declined(r["x"]) for r in records if r["kind"] == AuditKind.AUDIT_POLICY]
    assert len(told) >= 4 and all(r["reason"] == Reason.NO_TRADE for r in records if r["kind"] == AuditKind.AUDIT_POLICY)
    assert told[0] == ("notional at least", 7.5, 100.0)
    assert told[1][0] == "über 32 B wäre zu viel" and math.isnan(told[1][1]) and math.isnan(told[1][2])
    assert told[2] is None
    assert told[3][0] == "mood above" and math.isnan(told[3][1]) and told[3][2] == 1.0
    assert np.isfinite(np.stack([r["x"][2:6] for r in records])).all(), "a name is a number that survives every format"


class Patient(lc.Policy):
    """Puts off its first answer, and then leaves; each for a condition, or for none."""

    def __init__(self, why=True):
        self.why = why

    def on_signal(self, signal, market):
        if market.now == signal.ts:
            return lc.Later(market.now + lc.SECOND, self.decline("score at least", 6.2, 7.0) if self.why else None)
        return lc.Leave(self.decline("price move below", 0.001, 0.003) if self.why else None)


@pytest.mark.parametrize("policy", [Patient(), Wrapped(Patient()), Patient(False)], ids=["itself", "wrapped", "silent"])
def test_what_is_put_off_and_what_leaves_say_their_condition(policy):
    engine = fed(policy)
    engine.advance(START + 10 * lc.SECOND)
    records = [r for r in engine.audit.drain() if r["kind"] == AuditKind.AUDIT_POLICY]
    later, left = ([r for r in records if r["reason"] == reason] for reason in (Reason.ASK_LATER, Reason.POLICY_LEAVE))
    assert later and len(left) == len(later) == len(records) / 2 and all((r.later_s, r.policy) == (1.0, 1) for r in lc.audit.rows(np.array(later)))
    named = getattr(policy, "why", True)
    assert {lc.audit.declined(r["x"]) for r in later} == {("score at least", 6.2, 7.0) if named else None}
    assert {lc.audit.declined(r["x"]) for r in left} == {("price move below", 0.001, 0.003) if named else None}
    why = lc.Declined("a", 1.0, 2.0)
    assert lc.Later(5, why).why is why and lc.Leave(why).why is why and lc.Leave().why is None is lc.Later(5).why
    assert (repr(lc.Leave()), repr(lc.Later(5, why))) == ("Leave()", "Later(5, Declined('a', 1.0, 2.0))")
    with pytest.raises(TypeError):
        lc.Later(5, "score")


@pytest.mark.parametrize("name", ["", "x" * 33, "é" * 17, "a\nb", "a\0b"])
def test_a_condition_that_does_not_fit_its_record_is_refused(name):
    with pytest.raises(ValueError, match="condition: expected a name of 1 to 32 printable bytes"):
        lc.Declined(name)


def test_a_policy_sees_what_is_valid_and_no_more():
    """Mark and index: 60 s, and until their connection is interrupted; open interest: until that; the funding rate is the one last stated."""
    seen = []

    class Watch(lc.Policy):
        def on_signal(self, signal, market):
            seen.append((market.mark, market.index, market.open_interest, market.funding))

    class Every(lc.CustomDetector):
        def on_event(self, event):
            return lc.PhaseChange(lc.Phase.ACTIVE, event.side, z=event.notional)

    ticker, start = {"mark": 101.0, "index": 100.5, "open_interest": 77.0, "funding": 0.0003}, 1_700_000_000 * lc.SECOND
    stated = (101.0, 100.5, 77.0, 0.0003)
    for after_s, gap, expected in (
        (60, None, stated),
        (61, None, (0.0, 0.0, 77.0, 0.0003)),
        (2, 0, (0.0, 0.0, 0.0, 0.0003)),
        (2, lc.Stream.STREAM_INDEX, (101.0, 0.0, 77.0, 0.0003)),
        (2, lc.Stream.STREAM_OPEN_INTEREST, (101.0, 100.5, 0.0, 0.0003)),
        (2, lc.Stream.STREAM_QUOTE, stated),
    ):
        engine = lc.Engine(["A"], detectors=[lc.make_detector(Every, "every")], policy=Watch())
        engine.on_trade(start, start, "A", lc.LONG, 100.0, 5.0)
        engine.on_ticker(start, start, "A", **ticker)
        if gap is not None:
            engine.on_feed(start, start, lc.FeedState.FEED_GAP, streams=gap)
        at = start + after_s * lc.SECOND
        engine.on_liquidation(at, at, "A", lc.LONG, 100.0, 50.0)
        assert seen.pop() == expected and not seen, (after_s, gap)
