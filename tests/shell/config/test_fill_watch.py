"""The watch on fills: where fewer than 40 % of a month's resting entries were filled, the next ones are smaller, and it is said."""

from __future__ import annotations

import numpy as np
import pytest

import liqcore as lc
from desk import CANCELLED, NEW
from liqcore.event import Control, Limit
from liqshell.config.load import loads
from markets import Fade, instruments

S = lc.SECOND
DAY = 86_400 * S
START = 1_772_409_600 * S  # a midnight UTC
CONFIG = lc.CascadeConfig(warmup=12, quantile=0.6, window_events=50, window_s=20.0, decay_s=5.0)


class Month:
    """One contract; entries are asked for and filled, or not, by hand."""

    def __init__(self, **limits):
        risk = lc.Risk(
            data_age_max_s=1e6,
            event_age_max_s=1e6,
            daily_loss_max=1.0,
            weekly_loss_max=1.0,
            orders_per_minute_max=1024,
            order_notional_max=1e6,
            **limits,
        )
        self.engine = lc.Engine(instruments(1), CONFIG, Fade(notional=1000.0, cooldown_s=0, take_profit=0.001), risk, equity=1e6)
        self.now, self.records = START, []
        self.number = 0
        for n in range(12):
            self.liquidate(1.0 + n % 3)
        self.engine.drain()

    def liquidate(self, qty: float) -> None:
        self.now += S // 10
        self.engine.on_trade(self.now, self.now, 0, lc.LONG, 2000.0, 1.0)
        self.engine.on_liquidation(self.now, self.now, 0, lc.LONG, 2000.0, qty)

    def take(self) -> list:
        self.records += list(self.engine.audit.drain())
        return self.engine.drain()

    def entry(self, filled: bool) -> float:
        """One cascade and its entry: filled and closed by its stop, or cancelled. Returns the notional asked for."""
        self.now += 600 * S
        self.engine.advance(self.now)
        self.take()
        for _ in range(2):
            self.liquidate(50.0)
        wanted = [r for r in self.take() if r.role == lc.Role.ROLE_ENTRY]
        assert len(wanted) == 1
        entry = wanted[0]
        self.engine.on_order(self.now, self.now, entry.id, NEW)
        if not filled:
            self.engine.on_order(self.now, self.now, entry.id, CANCELLED)
        else:
            self.number += 2
            self.engine.on_order(self.now, self.now, entry.stop_id, NEW)
            self.engine.on_fill(self.now, self.now, entry.id, entry.price, entry.qty, 0.0, self.number, True)
            self.engine.on_fill(self.now, self.now, entry.stop_id, 1990.0, entry.qty, 0.0, self.number + 1)
            for r in self.take():
                if r.action != lc.event.Action.ACTION_AMEND:
                    self.engine.on_order(self.now, self.now, r.id, CANCELLED)
        self.take()
        assert self.engine.bracket(0)["state"] == lc.BracketState.BRACKET_FLAT
        return entry.price * entry.qty

    def night(self, days: int = 1) -> None:
        """To a minute after midnight."""
        self.now = (self.now // DAY + days) * DAY + 60 * S
        self.engine.advance(self.now)
        self.take()

    def said(self) -> list[tuple[float, float]]:
        return [
            (float(r["x"][0]), float(r["x"][1]))
            for r in self.records
            if r["kind"] == lc.AuditKind.AUDIT_LIMIT and r["phase"] == Control.CONTROL_LOWER and r["x"][5] == Limit.LIMIT_SIZE
        ]


@pytest.mark.parametrize(("filled", "cut"), [(7, True), (8, False)])
def test_below_forty_percent_the_next_entries_are_half_as_large(filled, cut):
    """7 of 20 are 35 %, 8 of 20 are 40 %: not below."""
    desk = Month(fill_rate_min=0.4)
    for n in range(20):
        assert desk.entry(n < filled) == pytest.approx(1000.0, rel=2e-3)
    assert desk.engine.risk.fills(desk.now) == (20, filled) and desk.engine.risk.size == 1.0
    desk.night()
    assert desk.engine.risk.size == (0.5 if cut else 1.0)
    assert desk.said() == ([(1.0, 0.5)] if cut else [])
    alarms = [r for r in desk.records if r["kind"] == lc.AuditKind.AUDIT_ALARM and r["phase"] == lc.Alarm.ALARM_FILLS]
    assert [r["x"][:3].tolist() for r in alarms] == ([[filled / 20, 0.4, 20.0]] if cut else [])
    assert desk.entry(False) == pytest.approx(500.0 if cut else 1000.0, rel=4e-3)


def test_nineteen_entries_say_nothing_and_the_watch_is_off_unless_it_is_asked_for():
    few, off = Month(fill_rate_min=0.4), Month()
    for _ in range(19):
        few.entry(False)
    for _ in range(30):
        off.entry(False)
    few.night()
    off.night()
    assert few.engine.risk.size == off.engine.risk.size == 1.0 and not few.said() and not off.said()


def test_after_a_month_the_old_entries_are_forgotten_and_the_size_is_whole_again():
    desk = Month(fill_rate_min=0.4)
    for _ in range(20):
        desk.entry(False)
    desk.night()
    assert desk.engine.risk.size == 0.5
    desk.night(29)
    assert desk.engine.risk.size == 0.5
    desk.night()  # the day of the entries is more than 30 days ago
    assert desk.engine.risk.size == 1.0 and desk.said() == [(1.0, 0.5), (0.5, 1.0)]
    assert desk.engine.risk.fills(desk.now) == (0, 0)


def test_it_survives_a_restart_with_the_trades():
    desk = Month(fill_rate_min=0.4)
    for _ in range(20):
        desk.entry(False)
    desk.night()
    again = Month(fill_rate_min=0.4)
    again.engine.trade_restore(desk.engine.trade_snapshot())
    assert again.engine.risk.size == 0.5 and again.engine.risk.fills(desk.now) == (20, 0)


@pytest.mark.parametrize("wrong", [{"fill_rate_min": 1.5}, {"fill_rate_size": 0.0}, {"fill_rate_min": -0.1}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        lc.Risk(**wrong)


def test_the_fade_has_it_and_the_others_have_not():
    for preset, share in (("fade", 0.4), ("momentum", 0.0)):
        limits = loads(f'[policy]\npreset = "{preset}"\n').limits.risk_arguments()
        assert (limits["fill_rate_min"], limits["fill_rate_size"]) == (share, 0.5)
        assert lc.Risk(**limits).limits_now["fill_rate_min"] == share
    assert np.isclose(lc.Risk(**loads("[limits]\nfill_rate_min = 0.25\n").limits.risk_arguments()).limits_now["fill_rate_min"], 0.25)
