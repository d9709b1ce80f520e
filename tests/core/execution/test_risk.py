"""Limits, one by one and both sides; latches; what lifts them."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import FADE, LONG, SHORT, T0, WIDE, Answer, Desk, limits
from liqcore.audit import AuditKind

pytestmark = pytest.mark.core

S = lc.SECOND
both = pytest.mark.parametrize("side", [LONG, SHORT])


def verdict(desk) -> lc.Reason:
    return lc.Reason(int(desk.kinds(AuditKind.AUDIT_RISK)[-1]["reason"]))


@both
@pytest.mark.parametrize(
    ("over", "bracket", "reason"),
    [
        ({"order_notional_max": 500.0}, {}, "RISK_NOTIONAL"),
        ({"exposure_max": 900.0}, {}, "RISK_EXPOSURE"),
        ({"leverage_max": 0.005}, {}, "RISK_LEVERAGE"),
        ({"collar": 0.001}, {}, "RISK_COLLAR"),
        ({"data_age_max_s": 0.5}, {}, "RISK_STALE_DATA"),
        ({}, {"notional": 0.5}, "RISK_QTY"),
        ({}, {}, "OK"),
    ],
)
def test_each_limit_refuses_and_says_why(side, over, bracket, reason):
    desk = Desk(side, risk=limits(**over), **bracket)
    assert bool(desk.liquidate()) == (reason == "OK") and verdict(desk).name == reason


@both
def test_positions_and_rate(side):
    instruments = [lc.Instrument(name, tick_size="0.01", lot_size="0.001") for name in "ABCDEF"]
    for over, allowed, reason in (
        ({"positions_max": 4}, 4, lc.Reason.RISK_POSITIONS),
        ({"orders_per_minute_max": 2, "positions_max": 9}, 2, lc.Reason.RISK_RATE),
    ):
        engine = lc.Engine(
            instruments,
            lc.CascadeConfig(warmup=1, min_events=1, window_events=2, window_s=0.001, decay_s=0.001),
            Answer(**FADE),
            lc.Risk(**(WIDE | over)),
            equity=100_000.0,
        )
        for step in (0, 1):
            for n in range(6):
                now = T0 + step * S + n
                engine.on_trade(now, now, n, 1, 2500.0, 1.0)
                engine.on_liquidation(now, now, n, side, 2500.0, 10.0)
        records = engine.audit.drain()
        verdicts = [lc.Reason(int(r["reason"])) for r in records[records["kind"] == AuditKind.AUDIT_RISK]]
        assert len(engine.drain()) == allowed and verdicts == [lc.Reason.OK] * allowed + [reason] * (6 - allowed)


@both
@pytest.mark.parametrize(
    ("over", "reason"), [({"daily_loss_max": 0.0001}, lc.Reason.RISK_DAILY_LOSS), ({"weekly_loss_max": 0.0001}, lc.Reason.RISK_WEEKLY_LOSS)]
)
def test_loss_limit_latches_at_mark_and_ends_with_the_day_or_an_operator(side, over, reason):
    """An open loss counts. The day's limit ends at 00:00 UTC; the week's asks for a person."""
    desk = Desk(side, cooldown_s=0, max_hold_s=10, risk=limits(**over))
    entry = desk.enter()
    desk.trade(entry.price * (1 - side * 0.02))
    close = [r for r in desk.wait(10.0) if r.role == 4][0]
    desk.fill(close.id, entry.price * (1 - side * 0.02), entry.qty, maker=False)
    for r in [r for r in desk.requests if r.role == 3]:
        desk.order(r.id, lc.OrderStatus.ORDER_CANCELLED)
    assert desk.engine.risk.halted == reason
    assert desk.liquidate() == [] and verdict(desk) == reason
    desk.wait(86_400.0)
    desk.trade(2500.0)
    assert bool(desk.liquidate()) == (reason == lc.Reason.RISK_DAILY_LOSS)
    desk.now += 1
    desk.engine.on_control(desk.now, lc.Control.CONTROL_RESUME)
    assert desk.engine.risk.halted == lc.Reason.OK


@both
def test_halt_refuses_entries_and_never_exits(side):
    desk = Desk(side, max_hold_s=5)
    entry = desk.enter()
    desk.now += 1
    desk.engine.on_control(desk.now, lc.Control.CONTROL_HALT)
    assert desk.engine.risk.halted == lc.Reason.HALTED
    close = [r for r in desk.wait(5.0) if r.role == 4]
    assert [r.qty for r in close] == [pytest.approx(entry.qty)]


def test_bad_limits_are_named():
    for name, value in (
        ("daily_loss_max", 0.0),
        ("collar", 2.0),
        ("leverage_max", float("nan")),
        ("positions_max", 0),
        ("orders_per_minute_max", 5000),
        ("orders_per_signal_max", 9),
    ):
        with pytest.raises(ValueError, match=name):
            lc.Risk(**{name: value})
    with pytest.raises(ValueError, match="risk snapshot"):
        lc.Risk().restore(b"x")
