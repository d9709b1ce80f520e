"""Fade ("Liquidation Cascade Market-Making") on hand-made tapes, written from the document: what it does after a long and after a short flush, and when."""

import pytest

from liqcore import LONG, SHORT, Reason
from liqcore.event import Role
from stage import BOTH, PRICE, Stage


def quiet(symbol="SOLUSDT", extra=""):
    """Two hours of small liquidations of both sides, farther apart than the 60 s of a cascade: the 95th percentile is learnt, nothing is a cascade."""
    s = Stage("fade", extra, symbols=(symbol,))
    for k in range(110):
        s.forced(LONG if k % 2 else SHORT, 1000.0 + 37.0 * k % 900.0)
        s.wait(70, every=10)
    assert s.asked == []
    return s


def flush(stage, side, count=2):
    """Large liquidations of one side, a second apart; price stands still until the last."""
    for k in range(count):
        stage.forced(side, 100_000.0 + 10_000.0 * k)
        stage.wait(1 if k < count - 1 else 0.1)


def at(side, share):
    """A price so far beyond PRICE in the direction of the flush of `side` (negative: against it)."""
    return PRICE * (1 - side * share)


@BOTH
@pytest.mark.parametrize(("symbol", "offset", "target", "stop"), [("SOLUSDT", 0.0015, 0.0015, 0.0025), ("BTCUSDT", 0.001, 0.005, 0.0025)])
def test_fade_rests_beyond_the_cascade_and_takes_the_snap_back(side, symbol, offset, target, stop):
    """Buy-dominant: LIMIT BUY 0.15 % below, out 0.15 % above the fill, stop 0.25 % below it; sell-dominant: the mirror. BTC has its own numbers, by
    itself. It asks at the second large liquidation, while the cascade runs, not before."""
    s = quiet(symbol)
    s.forced(side, 100_000.0)
    s.wait(1)
    assert s.asked == [], "one is not a cascade"
    s.forced(side, 110_000.0)
    ((_, way, terms),) = s.asked
    assert way == side and [terms[name] for name in ("entry_offset", "take_profit", "stop_loss", "entry_ttl_s", "max_hold_s")] == [
        offset,
        target,
        stop,
        1800.0,
        1800.0,
    ]
    entry = at(side, offset)
    s.wait(1)
    assert s.held == 0.0 and s.order(Role.ROLE_ENTRY) == pytest.approx(entry, abs=0.1), "it rests"
    s.wait(1, price=round(at(side, offset + 0.0001), 1))
    assert s.held * side > 0.0 and s.entry == pytest.approx(entry, abs=0.1)
    assert s.order(Role.ROLE_STOP) == pytest.approx(entry * (1 - side * stop), abs=0.2)
    assert s.order(Role.ROLE_TARGET) == pytest.approx(entry * (1 + side * target), abs=0.2)
    s.wait(2, price=round(entry * (1 + side * (target + 0.0002)), 1))
    ((why, way, bought, sold, _),) = s.trades
    assert (why, way) == (Reason.END_TARGET, side) and side * (sold / bought - 1) == pytest.approx(target, abs=1e-5)


@BOTH
def test_fade_cuts_the_loss_where_the_cascade_goes_on(side):
    s = quiet()
    flush(s, side)
    s.wait(1, price=round(at(side, 0.0016), 1))
    s.wait(2, price=round(at(side, 0.0045), 1))
    ((why, way, *_),) = s.trades
    assert (why, way) == (Reason.END_STOP, side)


@BOTH
def test_fade_gives_up_after_thirty_minutes_filled_or_not(side):
    """An entry that is not filled is cancelled after 30 minutes; a position that met neither target nor stop is closed 30 minutes after its fill."""
    s = quiet()
    flush(s, side)
    s.wait(1795, every=5)
    assert s.order(Role.ROLE_ENTRY) > 0.0
    s.wait(10)
    assert s.order(Role.ROLE_ENTRY) == 0.0 and s.trades == [] and s.held == 0.0
    s = quiet()
    flush(s, side)
    s.wait(60)
    s.wait(1790, price=round(at(side, 0.00152), 1), every=5)
    assert s.held * side > 0.0
    s.wait(20)
    ((why, way, *_, held),) = s.trades
    assert (why, way) == (Reason.END_MAX_HOLD, side) and held == pytest.approx(1800.0, abs=2.0)


@BOTH
@pytest.mark.parametrize("same", [True, False], ids=["same side", "opposite side"])
def test_fade_does_nothing_about_a_cascade_while_it_is_in_a_trade(side, same):
    s = quiet()
    flush(s, side)
    s.wait(1, price=round(at(side, 0.0016), 1))
    held = s.held
    s.wait(70)
    flush(s, side if same else -side)
    s.wait(5)
    assert s.risk == [Reason.OK, Reason.BRACKET_OPEN] and s.held == held


@BOTH
def test_fade_cools_down_for_five_minutes(side):
    """From the moment the trade is over."""
    for wait, verdict in ((280, Reason.COOLDOWN), (310, Reason.OK)):
        s = quiet()
        flush(s, side)
        s.wait(1, price=round(at(side, 0.0016), 1))
        s.wait(1, price=round(at(side, -0.0005), 1))
        assert [t[0] for t in s.trades] == [Reason.END_TARGET]
        s.wait(wait, every=5, price=PRICE)
        flush(s, side)
        assert s.risk == [Reason.OK, verdict]
