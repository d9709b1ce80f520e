"""Reversal on real bars: what it does after a long and after a short flush; and what it must not do."""

import pytest

from liqcore import LONG, SECOND, SHORT, Reason
from stage import BOTH, START, Stage

HOUR = 3600
PARAMETERS = "[policy.parameters]\n"
MIRROR = PARAMETERS + "mirror = true\n"
#: what the preset asks for is known from 30 independent windows on; here from what an hour holds
HASTY = 'feature_liquidations = "liquidations.liq_imbalance@15m:zscore(min=4)"\nfeature_flow = "flow.ofi@5m:zscore(min=10)"\n'


class Flow(Stage):
    """A stage whose best quotes step up and down: a step up takes the ask and refills the bid, which is what order-flow imbalance measures."""

    def steps(self, count, up, every=1.0):
        """`count` seconds; each step moves price one tick up (up = 1), down (-1), or to and fro (0)."""
        for k in range(count):
            self.wait(every, price=round(self.price + 0.1 * (up or (1 if k % 2 else -1)), 1), every=every)


def learnt(side=LONG, extra="", funding=-0.0001, hasty=HASTY):
    """70 minutes behind it: mixed liquidations, flow that goes a little to and fro."""
    s = Flow("reversal", (extra or PARAMETERS) + hasty, funding=funding * side)
    for minute in range(70):
        mixed(s, minute)
        s.steps(30, 1 if minute % 2 else -1, every=2.0)
    return s


def mixed(stage, minute):
    """Liquidations of both sides, now more of one and now of the other."""
    stage.forced(LONG, 10_000.0 * (1 + minute % 7))
    stage.forced(SHORT, 10_000.0 * (1 + 3 * minute % 7))


def flush(stage, side, minutes=3):
    """Longs are flushed while price falls (or shorts while it rises)."""
    for _ in range(minutes):
        stage.forced(side, 400_000.0)
        stage.steps(60, -side)


@BOTH
def test_reversal_buys_after_longs_were_flushed_and_flow_turned(side):
    """After a flush of longs, when flow turns up, with funding below zero, it BUYS at market and holds for at most an hour. After a flush of shorts it
    does NOTHING: S0 buys UP only; `mirror` sells then."""
    for extra, acts in (("", side == LONG), (MIRROR, True)):
        s = learnt(side, extra)
        flush(s, side)
        assert s.asked == [], "flushed, but flow still goes with it"
        turned_at = (s.now - START) / SECOND
        s.steps(600, side)
        if not acts:
            assert s.asked == []
            continue
        ((at, way, terms),) = s.asked
        assert way == side and at % 60 == 0.0 and turned_at < at <= turned_at + 600, "on a bar, when flow has turned"
        assert (terms["max_hold_s"], terms["stop_loss"], terms["take_profit"], terms["notional"]) == (3600.0, 0.01, 0.0, 2000.0)
        assert s.risk == [Reason.OK]
        s.wait(3700, every=5)
        ((why, way, *_, held),) = s.trades
        assert (why, way) == (Reason.END_MAX_HOLD, side) and held == pytest.approx(3600, abs=2), "within the hour"


@BOTH
def test_c20_a_crowd_on_the_other_side_is_no_reason(side):
    """Funding must be below zero (above, for the mirror); Liquidation Hunting wants the opposite before its trades."""
    for funding in (0.0, 0.0001):
        s = learnt(side, MIRROR, funding=funding)
        flush(s, side)
        s.steps(600, side)
        assert s.asked == []
        names = [name for name, *_ in s.unmet]
        assert len(names) >= 80 and names[0] == "liq z within arm_s below", "at every bar, told of the side that the document trades"
        if side == LONG:
            assert set(names) == {"liq z within arm_s below", "flow z crosses upwards", "funding below"}
            assert [(value, most) for name, value, most in s.unmet if name == "funding below"] == [(pytest.approx(funding), 0.0)]


@BOTH
def test_c20_base_rate_of_the_conjunction_can_be_counted(side):
    """Each condition of the conjunction is told at every bar without changing what the policy does."""
    s = learnt(side, MIRROR)
    (policy,) = s.engine.policies
    told, decide = [], policy.on_signal

    def both(signal, market):
        before = policy.snapshot()
        told.append(policy.conditions(signal, market))
        assert policy.snapshot() == before
        return decide(signal, market)

    policy.on_signal = both
    flush(s, side)
    s.steps(600, side)
    assert len(s.asked) == 1
    assert list(told[0]) == ["liq z < -2", "armed", "ofi z crosses +1", "funding < 0"]
    fired = [row for row in told if all(row.values())]
    assert len(fired) == (1 if side == LONG else 0), "the conjunction as the playbook writes it: buys only"


@BOTH
def test_reversal_needs_the_flush_before_the_turn_and_forgets_it(side):
    calm = learnt(side, MIRROR)
    for minute in range(10):
        mixed(calm, minute)
        calm.steps(60, side)
    assert calm.asked == [], "flow without a flush"
    late = learnt(side, MIRROR + "arm_s = 60\n")
    flush(late, side)
    late.steps(1200, 0)
    for _ in range(10):
        late.forced(-side, 150_000.0)  # the imbalance is normal again
        late.steps(60, 0)
    late.steps(600, side)
    assert late.asked == [], "the flush has expired"


def test_reversal_waits_for_thirty_independent_windows():
    """A z-score of 15-minute windows that has seen 70 minutes stands on four of them: it is not known, unless it is asked for."""
    s = learnt(hasty="")
    flush(s, LONG)
    s.steps(600, 1)
    assert s.asked == []


def test_reversal_trades_once_an_hour():
    """One trade an hour: a second flush within it is refused by the cooldown, or by the open bracket."""
    s = learnt()
    for _ in range(2):
        flush(s, LONG)
        s.steps(600, 1)
        s.steps(300, -1)
    assert s.risk.count(Reason.OK) == 1
