"""The engine as its audit stream tells it: the eight steps, both sides, feed faults, the side alarm, every reason of risk, snapshots."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore import (
    LONG,
    SECOND,
    SHORT,
    Alarm,
    AuditKind,
    BracketState,
    CascadeConfig,
    Control,
    Engine,
    FeedState,
    Instrument,
    OrderStatus,
    Phase,
    Reason,
    Risk,
)
from liqcore.audit import rows
from liqcore.event import Kind, OrderType, RequestFlag, Role, SignalFlag
from liqcore.snapshot import pack, unpack
from markets import EAGER, START, Fade, instruments, market, paper, state
from scene import SIDES, Scene

pytestmark = pytest.mark.core


def kinds(records):
    return [AuditKind(r["kind"]).name.removeprefix("AUDIT_") for r in records]


# ---- prices and validation ----


@SIDES
def test_the_eight_steps_are_each_in_the_audit_stream(side):
    """P95 test, tracker, two within 60 s, cooldown, open position?, direction, post-only, timers."""
    s = Scene(Fade(entry_offset=0.0015, take_profit=0.0015, stop_loss=0.0025, notional=2000.0, entry_ttl_s=1800, max_hold_s=1800, cooldown_s=300))
    s.trade()
    s.liquidation(side, qty=0.0001)
    assert s.records()["kind"].tolist() == [], "1: below the threshold: not large"
    s.liquidation(side, qty=50.0)
    large, signal, answer = rows(s.records())
    assert [AuditKind(r.kind).name[6:] for r in (large, signal, answer)] == ["LARGE", "SIGNAL", "POLICY"]
    assert large.notional >= large.threshold > 0 and large.count == 1, "1: at or above its P95; 2: the tracker counts one"
    assert (signal.phase, signal.reason) == (Phase.BUILDING, Reason.OK)
    assert answer.reason == Reason.NO_TRADE, "one is not a cascade"
    s.liquidation(side, after=0.5)
    large, signal, answer, risk, request, bracket = rows(s.records())
    assert [AuditKind(r.kind).name[6:] for r in (large, signal, answer, risk, request, bracket)] == [
        "LARGE",
        "SIGNAL",
        "POLICY",
        "RISK",
        "REQUEST",
        "BRACKET",
    ]
    assert large.count == 2 and signal.phase == Phase.ACTIVE, "3: the second within 60 s"
    own, other = (signal.long_notional, signal.short_notional)[::side]
    assert own == (large.long_notional, large.short_notional)[::side][0] > 0 == other
    assert risk.reason == Reason.OK and risk.side == side, "4, 5: no cooldown, no open position"
    assert answer.side == side and answer.phase == Phase.ACTIVE, "6: longs liquidated -> buy; shorts -> sell"
    expected = 1997.0 if side == LONG else 2003.0
    assert request.price == expected and request.order_type == OrderType.ORDER_LIMIT, "7: a limit order beyond the market"
    assert request.request_flags == RequestFlag.POST_ONLY, "7: post-only"
    assert (bracket.phase, answer.entry_ttl_s, answer.max_hold_s) == (BracketState.BRACKET_ENTERING, 1800.0, 1800.0), "8: the timers"
    assert bracket.deadline_s == 5.0, "8: the nearest one: the venue has 5 s to answer"
    (entry,) = s.engine.drain()
    assert (entry.side, entry.price, entry.post_only, entry.stop) == (side, expected, True, {LONG: 1992.01, SHORT: 2008.0}[side])
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW)
    s.fill(entry)
    s.engine.on_order(s.now, s.now, entry.stop_id, OrderStatus.ORDER_NEW)
    (target,) = s.engine.drain()
    assert (target.role, target.side, target.reduce_only, target.post_only) == (Role.ROLE_TARGET, -side, True, True)
    s.records()
    s.trade()
    s.liquidation(side, after=0.1)
    s.pass_time(100)
    s.trade()
    s.liquidation(-side, qty=60.0)
    s.liquidation(-side, qty=60.0, after=0.1)
    risks = s.only(AuditKind.AUDIT_RISK)
    assert [r["reason"] for r in risks] == [Reason.BRACKET_OPEN], "5: an open position: same or opposite cascade changes nothing"
    s.fill(target)
    s.engine.on_order(s.now, s.now, entry.stop_id, OrderStatus.ORDER_CANCELLED, Reason.END_REDUCE_ONLY)
    (trade,) = s.only(AuditKind.AUDIT_TRADE)
    assert trade["reason"] == Reason.END_TARGET and trade["x"][5] > 0
    s.pass_time(250)
    s.cascade(side, qty=500.0)
    assert s.verdict() == Reason.COOLDOWN, "4: 300 s after the trade"
    s.pass_time(100)
    s.cascade(side, qty=5000.0)
    assert s.verdict() == Reason.OK


@SIDES
def test_c16_the_entry_dies_after_its_time_and_a_position_after_its_own(side):
    s = Scene(Fade(entry_ttl_s=30, max_hold_s=60))
    s.cascade(side)
    (entry,) = s.engine.drain()
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW)
    s.pass_time(30)
    (cancel,) = s.engine.drain()
    assert (cancel.action.name, cancel.id) == ("ACTION_CANCEL", entry.id)
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_CANCELLED)
    ended = s.only(AuditKind.AUDIT_BRACKET)[-1]
    assert (ended["phase"], ended["reason"]) == (BracketState.BRACKET_FLAT, Reason.END_TTL)
    s.pass_time(100)
    s.enter(side)
    s.engine.drain()
    s.pass_time(60)
    assert [(r.role, r.type) for r in s.engine.drain() if r.action.name == "ACTION_CREATE"] == [(Role.ROLE_CLOSE, OrderType.ORDER_MARKET)]


# ---- sides ----


def test_c03_c11b_flipping_the_side_map_flips_every_trade_and_trips_the_side_alarm():
    """An adapter that reads sides the wrong way round trades the opposite, and is found out by its prices."""
    rows = market(4, 6000)
    rows = rows[np.isin(rows["kind"], (Kind.LIQUIDATION, Kind.TRADE, Kind.BBO))]
    tickers = rows[rows["kind"] == Kind.TRADE].copy()
    tickers["kind"], tickers["qty"], tickers["side"] = Kind.TICKER, 0.0, 0
    honest = np.concatenate([rows, tickers])
    honest = honest[np.argsort(honest["ts_recv"], kind="stable")]
    flipped = honest.copy()
    flipped["side"] = np.where(flipped["kind"] == Kind.LIQUIDATION, -flipped["side"], flipped["side"])
    stories = {}
    for name, events in (("honest", honest), ("flipped", flipped)):
        p = paper()
        p.run(events)
        stories[name] = p.engine.audit.drain(), p.engine.risk.halted
    records, halted = stories["honest"]
    assert halted == Reason.OK and not any(r["phase"] == Alarm.ALARM_SIDE for r in records if r["kind"] == AuditKind.AUDIT_ALARM)
    wrong, halted = stories["flipped"]
    alarms = [r for r in wrong if r["kind"] == AuditKind.AUDIT_ALARM and r["phase"] == Alarm.ALARM_SIDE]
    assert alarms and halted == Reason.HALTED
    assert alarms[0]["x"][0] < 0.1 and alarms[0]["x"][2] >= 64
    latch = next(r for r in wrong if r["kind"] == AuditKind.AUDIT_LIMIT)
    assert (latch["reason"], latch["phase"], latch["ts"]) == (Reason.HALTED, Control.CONTROL_HALT, alarms[0]["ts"])
    assert not any(r["kind"] == AuditKind.AUDIT_RISK and r["reason"] == Reason.OK and r["ts"] > alarms[0]["ts"] for r in wrong)

    def answers(story):
        return [(int(r["ts"]), int(r["side"])) for r in story if r["kind"] == AuditKind.AUDIT_POLICY and r["reason"] == Reason.OK]

    until = alarms[0]["ts"]
    right, turned = ([a for a in answers(story) if a[0] < until] for story in (records, wrong))
    assert len(right) >= 3 and {a[1] for a in answers(records)} == {1, -1}
    assert turned == [(ts, -side) for ts, side in right]


def test_half_a_sample_of_the_side_check_survives_a_restart():
    """100 liquidations on the wrong side of mark before a snapshot and 28 after it are one sample of 128: the alarm comes, and the halt."""
    engine = Engine(instruments(1), EAGER)
    for n in range(128):
        if n == 100:
            data, engine = engine.snapshot(), Engine(instruments(1), EAGER)
            engine.restore(data)
        assert engine.risk.halted == Reason.OK, n
        engine.on_ticker(START + n * SECOND, START + n * SECOND, 0, 2000.0)
        engine.on_liquidation(START + n * SECOND, START + n * SECOND, 0, LONG, 2008.0, 1.0)
    (alarm,) = [r for r in engine.audit.drain() if r["kind"] == AuditKind.AUDIT_ALARM]
    assert alarm["phase"] == Alarm.ALARM_SIDE and (alarm["x"][0], alarm["x"][2]) == (0.0, 128.0) and engine.risk.halted == Reason.HALTED


@SIDES
def test_signal_side_imbalance_and_order_side(side):
    """After a long flush the fade buys, after a short flush it sells; imbalance = (short - long) / total."""
    s = Scene()
    (signal,) = s.cascade(side)
    assert (signal.side, signal.imbalance) == (side, -float(side))
    assert s.engine.drain()[0].side == side


# ---- feed ----


@pytest.mark.parametrize("instrument", [-1, 0], ids=["all", "one"])
@pytest.mark.parametrize("fault", [FeedState.FEED_DOWN, FeedState.FEED_GAP])
@SIDES
def test_a_feed_fault_in_a_cascade_forgets_it_and_nothing_is_entered_until_a_window_after_it_is_back(side, fault, instrument):
    s = Scene()
    s.trade()
    s.liquidation(side)
    assert s.engine.phase(0) == Phase.BUILDING
    threshold = s.engine.threshold(0)
    s.now += 10 * SECOND
    s.engine.on_feed(s.now - 10 * SECOND, s.now, fault, instrument)
    record = s.records()[-1]
    assert (record["kind"], record["phase"], record["instrument"], record["x"][0]) == (AuditKind.AUDIT_FEED, fault, instrument, 10.0)
    assert record["x"][1] == (-1.0 if fault == FeedState.FEED_DOWN else 60.0)
    assert s.engine.phase(0) == Phase.IDLE and s.engine.threshold(0) == threshold, "the cascade is forgotten, what was learnt is not"
    (signal,) = s.cascade(side)
    assert signal.flags & SignalFlag.SIGNAL_UNCERTAIN and signal.phase == Phase.ACTIVE
    records = s.records()
    assert {r["reason"] for r in records if r["kind"] == AuditKind.AUDIT_SIGNAL} == {Reason.UNCERTAIN}
    assert [r["reason"] for r in records if r["kind"] == AuditKind.AUDIT_RISK] == [Reason.UNCERTAIN] and s.engine.drain() == []
    s.pass_time(20)
    s.engine.on_feed(s.now, s.now, FeedState.FEED_UP, instrument)
    up = s.now
    s.pass_time(58)
    s.records()
    s.cascade(side)
    assert s.verdict() == Reason.UNCERTAIN
    s.now = up + 60 * SECOND
    s.pass_time(61)
    s.records()
    s.cascade(side)
    assert s.verdict() == Reason.OK, "recovered without a restart"


def test_a_gap_reported_while_the_feed_is_down_does_not_bring_it_up():
    s = Scene()
    s.engine.on_feed(s.now, s.now, FeedState.FEED_DOWN)
    s.engine.on_feed(s.now, s.now, FeedState.FEED_GAP)
    s.pass_time(1000)
    s.records()
    s.cascade(LONG)
    assert s.verdict() == Reason.UNCERTAIN


def test_the_fault_of_one_instrument_leaves_the_others_alone():
    s = Scene()
    s.engine.on_feed(s.now, s.now, FeedState.FEED_DOWN, 1)
    s.records()
    s.cascade(LONG, index=0)
    assert s.verdict() == Reason.OK
    s.cascade(LONG, index=1)
    assert s.verdict() == Reason.UNCERTAIN


@SIDES
def test_an_old_event_is_counted_but_never_entered_on(side):
    s = Scene(risk=Risk(event_age_max_s=2.0))
    first = s.engine.events
    (signal,) = s.cascade(side, age=2.001)
    assert s.engine.events > first and signal.flags & SignalFlag.SIGNAL_STALE
    assert s.verdict() == Reason.STALE_EVENT
    s.pass_time(100)
    s.records()
    (signal,) = s.cascade(side, age=2.0)
    assert not signal.flags & SignalFlag.SIGNAL_STALE and s.verdict() == Reason.OK


@pytest.mark.parametrize("age", [-3600.0, -1.27, 1.5])
def test_venue_times_may_lie_ahead_or_run_backwards(age):
    """Clocks of venues and recorders disagree by seconds (data.md 1.8); only the time of receipt decides."""
    plain, odd = Scene(), Scene()
    assert plain.cascade(LONG) == odd.cascade(LONG, age=age)
    assert odd.verdict() == Reason.OK and odd.engine.refused == {}


# ---- snapshots ----


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 10**9), st.integers(0, 255))
def test_any_damage_to_a_snapshot_is_found_and_nothing_changes(seed, where, value):
    p = paper(size=1)
    p.run(market(seed, 300, 1))
    engine = p.engine
    before = engine.snapshot()
    damaged = bytearray(before)
    damaged[where % len(before)] ^= value or 1
    for bad in (bytes(damaged), before[: where % len(before)], before + b"\0", b""):
        with pytest.raises(ValueError, match="snapshot"):
            engine.restore(bad)
        assert engine.snapshot() == before


@pytest.mark.parametrize(
    "other",
    [
        lambda: Engine(instruments(1), EAGER),
        lambda: Engine(instruments(2), CascadeConfig(warmup=11)),
        lambda: Engine(instruments(2), EAGER, band=5.0),
        lambda: Engine([Instrument("ETHUSDT", tick_size="0.1"), "SOLUSDT"], EAGER),
    ],
)
def test_a_snapshot_of_another_engine_is_refused_and_changes_nothing(other):
    mine, its = Engine(instruments(2), EAGER), other()
    its.run(market(1, 100, 1))
    before = its.snapshot()
    with pytest.raises(ValueError, match="other instruments or settings"):
        its.restore(mine.snapshot())
    assert its.snapshot() == before


def written_out(data: bytes, size: int, block: int = 64) -> bytes:
    """The brackets of a snapshot in full: a bit says whether a block stands here; one that does not is like the one before it, the first one zero."""
    blocks = -(-size // block)
    bits, at, out = int.from_bytes(data[: -(-blocks // 8)], "little"), -(-blocks // 8), b""
    for k in range(blocks):
        length = min(block, size - k * block)
        if bits >> k & 1:
            out, at = out + data[at : at + length], at + length
        else:
            out += out[(k - 1) * block :][:length] if k else bytes(length)
    assert at == len(data)
    return out


def test_a_snapshot_of_an_earlier_build_that_wrote_brackets_out_is_read():
    p = paper(size=2)
    p.run(market(3, 300, 2))
    now = p.engine.snapshot()
    parts = unpack(b"liqcore-engine-5\n", now, "engine")
    size = len(unpack(b"liqcore-trade-1\n", p.engine.trade_snapshot(), "trade")[2])
    parts[4] = written_out(parts[4], size)
    again = paper(size=2).engine
    again.restore(pack(b"liqcore-engine-4\n", parts))
    assert again.snapshot() == now and parts[4] == unpack(b"liqcore-trade-1\n", again.trade_snapshot(), "trade")[2] and any(parts[4])
    for wrong in (parts[4] + b"x", b"", parts[4]):
        with pytest.raises(ValueError, match="another version|not one of this version"):
            again.restore(pack(b"liqcore-engine-5\n", [*parts[:4], wrong, *parts[5:]]))
        assert again.snapshot() == now


def test_a_snapshot_with_requests_that_nobody_has_taken_is_not_made():
    s = Scene()
    s.cascade(LONG)
    with pytest.raises(RuntimeError, match="drain"):
        s.engine.snapshot()


# ---- the rest of what a caller meets ----


def test_misuse_is_said_clearly():
    with pytest.raises(ValueError, match="1 to 100000"):
        Engine([])
    with pytest.raises(ValueError, match="twice"):
        Engine(["A", "A"])
    with pytest.raises(ValueError, match="band"):
        Engine(["A"], band=1.0)
    with pytest.raises(TypeError, match="policy"):
        Engine(["A"], policy=object())
    with pytest.raises(TypeError, match="EVENT_DTYPE"):
        Engine(["A"]).run(np.zeros(3))
    with pytest.raises(KeyError, match="expected one of"):
        Engine(["A"]).threshold("B")
    with pytest.raises(ValueError, match="power of two"):
        Engine(["A"], audit_capacity=1000)


def test_deadlines_tell_when_to_wake():
    s = Scene()
    midnight = START // (86_400 * SECOND) * 86_400 * SECOND + 86_400 * SECOND
    assert s.engine.next_deadline == midnight
    s.trade()
    s.liquidation(LONG)
    assert s.engine.next_deadline == s.now + 60 * SECOND + 1
    s.engine.advance(s.now + 60 * SECOND)
    assert s.engine.phase(0) == Phase.BUILDING
    s.engine.advance(s.now + 60 * SECOND + 1)
    assert s.engine.phase(0) == Phase.IDLE
    assert kinds(s.records())[-1] == "LAPSED"


def test_arrays_of_any_layout_give_the_same():
    rows = market(3, 500)
    whole = Engine(instruments(), EAGER)
    expected = whole.run(rows)
    strided = np.repeat(rows, 2)[::2]
    strided.flags.writeable = False
    assert Engine(instruments(), EAGER).run(strided) == expected
    assert not math.isnan(whole.threshold("ETHUSDT"))
    other = Engine(instruments(), EAGER)
    other.run(rows)
    assert state(other) == state(whole)
