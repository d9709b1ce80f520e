"""The audit stream: the ring, and that every record holds what audit.FIELDS says, computed here from what was done."""

import numpy as np
import pytest

from liqcore import (
    AUDIT_DTYPE,
    AUDIT_FIELDS,
    LONG,
    SECOND,
    Alarm,
    AuditKind,
    BracketState,
    Control,
    Engine,
    FeedState,
    OrderStatus,
    Phase,
    Reason,
    Risk,
    audit,
)
from liqcore.audit import AuditRing
from liqcore.event import Action, FillFlag, FillReason, OrderType, Role
from markets import EAGER, START, Fade, instruments, market, paper
from scene import PRICE, SIDES, Scene

pytestmark = pytest.mark.core
HEADER = AUDIT_DTYPE.names[:-1]


def named(record) -> dict:
    """The record's own fields by name."""
    found = audit.named(record)
    return {name: found[name].item() for name in found.dtype.names if name not in AUDIT_DTYPE.names}


def test_every_kind_has_a_form_of_its_own_inside_the_96_bytes():
    assert set(AUDIT_FIELDS) == set(audit.VIEWS) == set(AuditKind)
    for kind, dtype in [*audit.VIEWS.items(), (AuditKind.AUDIT_POLICY, audit.DECLINED_DTYPE), (AuditKind.AUDIT_RISK, audit.GAVE_WAY_DTYPE)]:
        assert dtype.itemsize == AUDIT_DTYPE.itemsize == 96
        assert {name: dtype.fields[name] for name in HEADER} == {name: AUDIT_DTYPE.fields[name] for name in HEADER}, kind
        ends = [(offset, offset + field.itemsize) for field, offset in dtype.fields.values()]
        assert all(end <= begin for (_, end), (begin, _) in zip(ends, ends[1:], strict=False)) and ends[-1][1] <= 96, f"{kind}: fields overlap"
    assert AUDIT_FIELDS[AuditKind.AUDIT_LAPSED] == ("Phase", ("long_notional", "short_notional", "threshold", "count", "detector"))
    assert audit.DECLINED_DTYPE["condition"] == np.dtype("S32") and audit.VIEWS[AuditKind.AUDIT_SIGNAL]["detector"] == np.dtype("i4")


def test_records_of_struct_version_6_are_read_as_those_of_today():
    """There one double held the number and, as a fraction, whose it was: count + (place - 1) / 256."""
    places = (
        (AuditKind.AUDIT_SIGNAL, 0, 6, "count", "detector"),
        (AuditKind.AUDIT_LARGE, 0, 2, "count", "detector"),
        (AuditKind.AUDIT_LAPSED, 0, 3, "count", "detector"),
        (AuditKind.AUDIT_POLICY, 0, 7, "confidence", "policy"),
        (AuditKind.AUDIT_JUDGE, Reason.JUDGING, 3, "confidence", "policy"),
        (AuditKind.AUDIT_RISK, Reason.WEAKER, 1, "other_confidence", "other_policy"),
    )
    for kind, reason, place, number, of in places:
        old = np.zeros(3, AUDIT_DTYPE)
        old["kind"], old["reason"], old["x"] = kind, reason, 2.5
        old["x"][:, place] = [7.0, 200.0 + 1 / 256, 65_000 + 254 / 256]
        new = audit.rows(audit.converted(old))
        assert [(getattr(r, number), getattr(r, of)) for r in new] == [(7, 1), (200, 2), (65_000, 255)], kind
        assert all(value == 2.5 for r in new for value in r[len(HEADER) :] if isinstance(value, float)), f"{kind}: nothing else has changed"
    same = np.zeros(3, AUDIT_DTYPE)
    same["kind"] = AuditKind.AUDIT_RISK, AuditKind.AUDIT_FILL, AuditKind.AUDIT_JUDGE
    same["x"], same["instrument"] = 2.5, -1  # limits, fills, an answer to no question: no number of a policy in them
    assert audit.converted(same).tobytes() == same.tobytes()


def test_rows_keep_the_order_and_name_the_fields_of_each():
    p = paper(funding_interval_s=60.0)
    p.run(market(3, 3000, rubbish=0.01, feed=True))
    records = p.engine.audit.drain()
    told = audit.rows(records)
    assert [r.seq for r in told] == records["seq"].tolist() and len({r.kind for r in told}) > 8
    for record, row in zip(records, told, strict=True):
        assert repr(tuple(row)) == repr(audit.named(record).item())  # nan is not nan
    for kind in AuditKind:
        assert audit.view(records, kind)["seq"].tolist() == [r.seq for r in told if r.kind == kind]


def check_decision(s, side) -> tuple[float, float]:
    """The records from a large liquidation to the bracket; limit price and quantity of its entry."""
    s.liquidation(side, qty=40.0)
    s.records()
    (signal,) = s.liquidation(side, qty=60.0, after=0.5)
    large, said, answer, risk, request, bracket = s.records()
    price = PRICE * (1 - 0.003 * side)
    sums = (price * 100.0, 0.0) if side == LONG else (0.0, price * 100.0)
    assert named(large) == {
        "notional": 60.0 * price,
        "threshold": signal.threshold,
        "count": 2,
        "detector": 1,
        "long_notional": sums[0],
        "short_notional": sums[1],
        "price": price,
        "qty": 60.0,
        "rolling": pytest.approx(100.0 * price),
    }
    assert (large["side"], large["phase"], large["id"], large["ts"]) == (side, Phase.ACTIVE, s.now, s.now)
    assert named(said) == {name: float(getattr(signal, name)) for name in AUDIT_FIELDS[AuditKind.AUDIT_SIGNAL][1]}
    assert (said["side"], said["phase"], said["id"]) == (side, Phase.ACTIVE, signal.ts_start)
    assert named(answer) == {
        "reference_price": PRICE,
        "entry_offset": 0.0015,
        "take_profit": 0.0015,
        "stop_loss": 0.0025,
        "notional": 2000.0,
        "entry_ttl_s": 20.0,
        "max_hold_s": 30.0,
        "confidence": 7,
        "policy": 1,
    }
    limit = PRICE * (1 - 0.0015 * side)
    assert named(risk) == {
        "notional": pytest.approx(limit * 1.001 if side == LONG else limit * 0.998),
        "limit": 0.0,
        "exposure": 0.0,
        "open_brackets": 0,
        "orders_last_minute": 0,
        "equity": 50_000.0,
        "day_loss": 0.0,
        "week_loss": 0.0,
    }
    assert (risk["side"], risk["phase"], risk["id"]) == (side, Phase.ACTIVE, signal.ts_start)
    qty = 1.001 if side == LONG else 0.998
    stop = {LONG: 1992.01, -1: 2008.0}[int(side)]
    assert named(request) == {
        "price": limit,
        "qty": qty,
        "stop_price": stop,
        "order_type": OrderType.ORDER_LIMIT,
        "request_flags": 1.0,
        "sequence": 1.0,
        "last_price": PRICE,
        "role": Role.ROLE_ENTRY,
    }
    assert (request["phase"], request["side"]) == (Action.ACTION_CREATE, side)
    assert named(bracket) == {
        "entry_price": limit,
        "target_price": 0.0,
        "stop_price": stop,
        "qty": qty,
        "filled": 0.0,
        "position": 0.0,
        "deadline_s": 5.0,
        "sequence": 1.0,
    }
    return limit, qty


@SIDES
def test_every_record_of_a_trade_holds_what_it_documents(side):
    s = Scene(Fade(entry_offset=0.0015, take_profit=0.0015, stop_loss=0.0025, notional=2000.0, confidence=7, cooldown_s=5), equity=50_000.0)
    s.trade()
    limit, qty = check_decision(s, side)
    (entry,) = s.engine.drain()
    s.pass_time(0.25)
    s.engine.on_order(s.now, s.now, entry.id, OrderStatus.ORDER_NEW, qty=qty, price=limit)
    (report,) = s.records()
    assert named(report) | {"role": 1.0} == named(report)
    assert (report["phase"], report["id"]) == (OrderStatus.ORDER_NEW, entry.id)
    assert {k: named(report)[k] for k in ("price", "qty", "latency_ms")} == {"price": limit, "qty": qty, "latency_ms": 250.0}
    s.engine.on_fill(s.now, s.now, entry.id, limit, qty, 0.4, 77, True, FillReason.FILL_THROUGH)
    fill = next(r for r in s.records() if r["kind"] == AuditKind.AUDIT_FILL)
    assert named(fill) == {
        "price": limit,
        "qty": qty,
        "fee": 0.4,
        "flags": float(FillFlag.FILL_MAKER),
        "position": qty * side,
        "entry_price": pytest.approx(limit),
        "execution_id": 77.0,
        "role": Role.ROLE_ENTRY,
    }
    assert (fill["phase"], fill["side"]) == (FillReason.FILL_THROUGH, side)
    s.engine.on_order(s.now, s.now, entry.stop_id, OrderStatus.ORDER_NEW)
    (target,) = s.engine.drain()
    s.pass_time(2.0)
    s.engine.on_fill(s.now, s.now, target.id, target.price, qty, 0.6, 78, False)
    s.engine.on_order(s.now, s.now, entry.stop_id, OrderStatus.ORDER_CANCELLED, Reason.END_REDUCE_ONLY)
    records = s.records()
    trade = next(r for r in records if r["kind"] == AuditKind.AUDIT_TRADE)
    gross = (target.price - limit) * side * qty
    assert named(trade) == {
        "entry_price": pytest.approx(limit),
        "exit_price": pytest.approx(target.price),
        "qty": qty,
        "gross": pytest.approx(gross),
        "fees": 1.0,
        "net": pytest.approx(gross - 1.0),
        "hold_s": 2.0,
        "entry_is_maker": 1.0,
    }
    assert (trade["reason"], trade["side"]) == (Reason.END_TARGET, side)
    assert s.engine.account.equity == pytest.approx(50_000.0 + gross - 1.0)
    flat = [r for r in records if r["kind"] == AuditKind.AUDIT_BRACKET][-1]
    assert (flat["phase"], flat["reason"]) == (BracketState.BRACKET_FLAT, Reason.END_TARGET)


LIMIT = {"value": 0.0, "limit": 0.0, "equity": 10_000.0, "gate": 0.0, "gates_closed": 0.0, "which": 0.0}


def test_feed_limit_lapsed_alarm_and_refused_hold_what_they_document():
    s = Scene()
    s.engine.on_feed(s.now - 3 * SECOND, s.now, FeedState.FEED_GAP)
    s.engine.on_control(s.now, Control.CONTROL_HALT)
    s.engine.on_control(s.now, Control.CONTROL_RESUME)
    feed, halt, resume = s.records()
    assert (feed["phase"], named(feed)) == (FeedState.FEED_GAP, {"gap_s": 3.0, "uncertain_until_s": 60.0, "streams": 0.0})
    assert (halt["phase"], halt["reason"], named(halt)) == (Control.CONTROL_HALT, Reason.HALTED, LIMIT)
    assert (resume["phase"], resume["reason"], named(resume)["equity"]) == (Control.CONTROL_RESUME, Reason.HALTED, 10_000.0)
    s.pass_time(100)
    threshold, since = s.engine.threshold(0), s.now
    s.liquidation(LONG, qty=90.0)
    s.pass_time(61)
    lapsed = s.records()[-1]
    assert (lapsed["kind"], lapsed["phase"], lapsed["ts"]) == (AuditKind.AUDIT_LAPSED, Phase.BUILDING, since + 60 * SECOND + 1)
    assert named(lapsed) == {"long_notional": 90.0 * PRICE * 0.997, "short_notional": 0.0, "threshold": threshold, "count": 1, "detector": 1}
    s.engine.on_fill(s.now, s.now, (5 << 12) | 1, 1999.0, 3.0, 0.0, 1)
    alarm = next(r for r in s.records() if r["kind"] == AuditKind.AUDIT_ALARM)
    assert (alarm["phase"], alarm["id"], named(alarm)["value"], named(alarm)["limit"]) == (Alarm.ALARM_FOREIGN, (5 << 12) | 1, 1999.0, 3.0)
    assert s.engine.risk.halted == Reason.HALTED, "a position that is not ours: stop"


def test_a_loss_limit_record_holds_the_loss_and_the_limit():
    s = Scene(Fade(notional=10_000.0), Risk(daily_loss_max=0.01, weekly_loss_max=0.5))
    s.lose(LONG, PRICE * 0.98)
    latch = s.only(AuditKind.AUDIT_LIMIT)[0]
    equity = s.engine.account.equity
    assert named(latch) == LIMIT | {"value": pytest.approx(10_000.0 - equity), "limit": 100.0, "equity": pytest.approx(equity)}


def test_a_random_market_uses_every_kind_that_a_market_can_cause():
    seen = set()
    for seed in range(4):
        p = paper(funding_interval_s=60.0)
        p.run(market(seed, 3000, rubbish=0.01, feed=True))
        for record in p.engine.audit.drain():
            named(record)
            seen.add(AuditKind(record["kind"]))
    assert seen >= set(AuditKind) - {AuditKind.AUDIT_LIMIT, AuditKind.AUDIT_ALARM, AuditKind.AUDIT_JUDGE}


# ---- the ring ----


def test_sequence_numbers_have_no_holes_and_a_slow_reader_loses_the_oldest_and_is_told():
    engine = Engine(instruments(1), EAGER, audit_capacity=16)
    for n in range(40):
        engine.on_trade(START, START + n, 0, LONG, -1.0, 1.0)
    ring = engine.audit
    assert (len(ring), ring.lost, ring.next_sequence, ring.capacity) == (16, 24, 40, 16)
    records = ring.drain()
    assert records["seq"].tolist() == list(range(24, 40)) and records.dtype == AUDIT_DTYPE
    assert len(ring) == 0 and len(ring.drain()) == 0
    engine.on_trade(START, START + 50, 0, LONG, -1.0, 1.0)
    again = ring.drain()
    assert again["seq"].tolist() == [40] and ring.lost == 24
    again["seq"] = 0
    assert records["seq"][0] == 24, "what was drained is a copy"


@pytest.mark.parametrize("capacity", [0, 8, 17, 1000, -16])
def test_a_ring_is_a_power_of_two(capacity):
    with pytest.raises(ValueError, match="power of two"):
        AuditRing(capacity)


def test_times_and_sequences_never_go_back():
    p = paper()
    p.run(market(9, 3000, rubbish=0.02, feed=True))
    records = p.engine.audit.drain()
    assert np.all(np.diff(records["seq"]) == 1) and np.all(np.diff(records["ts"]) >= 0)
