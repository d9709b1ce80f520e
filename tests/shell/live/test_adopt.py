"""A position that we did not open, taken over: the stop that it gets, and the trade that it is booked as."""

from __future__ import annotations

from decimal import Decimal

import pytest

import liqcore as lc
from desk import both
from gateway_rig import PRICE, SYMBOL, MemoryStore, Rig, at_rest
from liqcore.event import Role
from liqshell.emulator.market.contracts import contracts_of
from liqshell.errors import ConfigError, VenueError
from liqshell.live.adoption import Adoption, adoptions, book, stop_of
from liqshell.venues.reports import Position

TWO = (SYMBOL, "SOLUSDT")
EXITS = {"take_profit": "0.0015", "max_hold_s": 120.0, "cooldown_s": 5.0, "notional": 7.0, "entry": "post_only"}
UNIT = lc.Instrument(SYMBOL, venue="bybit", tick_size="0.01", lot_size="0.001")


def row(side: int, *, qty: float = 0.3, mark: float = PRICE, stop: float = 0.0, entry: float = PRICE) -> Position:
    return Position(SYMBOL, side, qty, entry, stop, 0.0, 0.0, 5.0, 0.0, mark, "Normal", 0, 1, 1_772_452_800_000)


def test_what_the_command_line_may_say():
    assert adoptions(["ETHUSDT", "SOLUSDT=120.5"]) == (Adoption("ETHUSDT"), Adoption("SOLUSDT", 120.5))
    for bad in ("", "ETH=", "ETH=-1", "ETH=x", "A B", "ETHUSDT=0"):
        with pytest.raises(ConfigError, match="SYMBOL=PRICE"):
            adoptions([bad])


@both
def test_its_stop_is_the_price_given_or_the_tighter_of_its_own_and_the_policys(side):
    def at(adoption, position):
        return UNIT.price(stop_of(adoption, position, Decimal("0.01"), UNIT))

    usual = PRICE * (1 - 0.01 * side)
    assert at(Adoption(SYMBOL), row(side)) == pytest.approx(usual)
    assert at(Adoption(SYMBOL), row(side, mark=PRICE * 1.1)) == pytest.approx(PRICE * 1.1 * (1 - 0.01 * side)), (
        "from the mark, not from what was paid"
    )
    tighter, looser = PRICE * (1 - 0.005 * side), PRICE * (1 - 0.05 * side)
    assert at(Adoption(SYMBOL), row(side, stop=tighter)) == pytest.approx(tighter) and at(Adoption(SYMBOL), row(side, stop=looser)) == pytest.approx(
        usual
    )
    assert at(Adoption(SYMBOL, looser), row(side, stop=tighter)) == pytest.approx(looser), "a person's word"
    for wrong in (PRICE * (1 + 0.01 * side), PRICE, PRICE * (1 - 0.6 * side) if side > 0 else PRICE * 1.6):
        with pytest.raises(VenueError, match="does not protect"):
            at(Adoption(SYMBOL, wrong), row(side))


def opened(rig: Rig, side: int, qty: str = "0.3") -> None:
    rig.exchange.manual_trade(rig.account, SYMBOL, "Buy" if side > 0 else "Sell", qty, rig.venue_now)
    rig.trade(PRICE)


def adopted(rig: Rig, side: int, *, share: float = 0.0025, snapshot: bytes | None = None) -> Rig:
    """Another life of the process, which has taken over what the venue holds of the first contract; its stop is at the venue."""
    import orjson

    price = round(PRICE * (1 - share * side), 2)
    rig.exchange.rest(
        "POST",
        "/v5/position/trading-stop",
        "",
        orjson.dumps({"category": "linear", "symbol": SYMBOL, "stopLoss": f"{price:.2f}", "tpslMode": "Full", "positionIdx": 0}),
        rig.account,
        rig.venue_now,
    )
    qty = abs(rig.truth()[0])
    rig.now += 5 * 10**9
    new = Rig(side, exchange=rig.exchange, now=rig.now, store=rig.store, symbols=tuple(rig.gateway.context.symbols), start=False, max_hold_s=120.0)
    before = snapshot if snapshot is not None else new.engine.trade_snapshot()
    data = book(before, new.instruments, 0, row(side, qty=qty), new.instruments[0].ticks(price), EXITS, new.now)
    new.engine.trade_restore(data)
    new.engine.resume(new.now)
    new.exchange.take()
    new.gateway.start(new.now)
    new.wait(10.0)
    return new


@both
def test_it_is_supervised_like_a_trade_of_ours(side):
    """Stop confirmed, target placed, gates open, and its time limit, which counts from now, closes it."""
    rig = Rig(side, start=False)
    opened(rig, side)
    new = adopted(rig, side)
    assert new.held() == new.truth()[0] == 0.3 * side and not new.gates() and not new.alarms()
    assert new.order_of(Role.ROLE_STOP)["status"] == "live" and new.truth()[1] == pytest.approx(PRICE * (1 - 0.0025 * side))
    (target,) = new.live()
    assert not new.notices, "what the booking engine asked for is not looked for at the venue"
    assert target["reduce_only"] and new.order_of(Role.ROLE_TARGET)["price"] == pytest.approx(PRICE * (1 + 0.0015 * side), abs=0.011)
    assert new.engine.account.equity == pytest.approx(100_000.0), "what it had earned before is no result of ours"
    for _ in range(25):
        new.wait(5.0)
        new.trade(PRICE)
    at_rest(new)
    assert not new.gates()


@both
def test_its_target_and_its_stop_end_it(side):
    for goal in (0.003, -0.006):
        rig = Rig(side, start=False)
        opened(rig, side)
        new = adopted(rig, side)
        for _ in range(2):
            new.trade(round(PRICE * (1 + goal * side), 2))
            new.wait(1.0)
        new.wait(5.0)
        at_rest(new)
        assert (new.engine.account.equity > 100_000.0) == (goal > 0) and not new.alarms()


@both
def test_a_restart_after_it_goes_on_with_it(side):
    rig = Rig(side, start=False)
    opened(rig, side)
    new = adopted(rig, side)
    new.now += 60 * 10**9
    image = new.engine.trade_snapshot()
    again = Rig(side, exchange=new.exchange, now=new.now, store=new.store, start=False, max_hold_s=120.0)
    again.engine.trade_restore(image)
    again.engine.resume(again.now)
    again.exchange.take()
    again.gateway.start(again.now)
    again.wait(8.0)
    assert again.held() == again.truth()[0] == 0.3 * side and not again.gates() and not again.alarms()
    assert again.order_of(Role.ROLE_STOP)["status"] == "live"


@both
def test_a_stop_that_somebody_takes_away_is_put_back(side):
    from gateway_rig import take_stop_away

    rig = Rig(side, start=False)
    opened(rig, side)
    new = adopted(rig, side)
    take_stop_away(new)
    new.wait(5.0)
    assert new.truth() == (0.3 * side, pytest.approx(PRICE * (1 - 0.0025 * side))) and new.worst_naked_ns <= 2 * lc.SECOND


@both
def test_what_else_the_snapshot_holds_stays_as_it_is(side):
    """An open trade of ours on another contract, its account, a latched halt."""
    engine = Rig(side, symbols=TWO, max_hold_s=600.0)
    sol = contracts_of(TWO)[1].price
    for _ in range(2):
        engine.trade(sol, n=1)
        engine.engine.on_liquidation(engine.now, engine.now, 1, side, sol, 1e5 / sol)
        engine.dispatch.pump(engine.now)
        engine.gateway.collect(engine.now)
        engine.wait(1.0)
    engine.trade(round(sol * (1 - 0.003 * side), 2), n=1)
    engine.wait(1.0)
    held = engine.engine.bracket(1)["held"]
    assert held > 0
    engine.engine.on_control(engine.now, lc.Control.CONTROL_HALT)
    before = engine.engine.trade_snapshot()
    data = book(before, engine.instruments, 0, row(-side), UNIT.ticks(PRICE * (1 + 0.01 * side)), EXITS, engine.now)
    other = Rig(side, symbols=TWO, start=False, store=MemoryStore()).engine
    other.trade_restore(data)
    other.resume(engine.now)
    assert other.bracket(1)["held"] == held and other.bracket(0)["held"] == pytest.approx(0.3) and other.bracket(0)["side"] == -side
    assert other.risk.halted == lc.Reason.HALTED and other.account.equity == engine.engine.account.equity
    assert other.bracket(0)["sequence"] == engine.engine.bracket(0)["sequence"] + 1, "no id is used twice"
    with pytest.raises(ValueError, match="our own trade is open"):
        book(data, engine.instruments, 0, row(side), UNIT.ticks(PRICE * (1 - 0.01 * side)), EXITS, engine.now)


@both
def test_one_larger_than_an_order_may_be_is_booked_too(side):
    small = [lc.Instrument(SYMBOL, venue="bybit", tick_size="0.01", lot_size="0.001", max_qty="0.1", min_notional=5.0)]
    engine = lc.Engine(small, lc.CascadeConfig(), None, lc.Risk(), equity=100.0)
    data = book(engine.trade_snapshot(), small, 0, row(side, qty=50.0), UNIT.ticks(PRICE * (1 - 0.01 * side)), EXITS, 1_772_452_800 * lc.SECOND)
    engine.trade_restore(data)
    engine.resume(1_772_452_800 * lc.SECOND)
    assert engine.bracket(0)["held"] == pytest.approx(50.0)


@both
def test_while_the_contract_cools_down_it_is_not_booked(side):
    rig = Rig(side, cooldown_s=3600.0)
    rig.enter()
    rig.fill_entry()
    rig.trade(round(PRICE * (1 + 0.003 * side), 2))
    rig.wait(5.0)
    with pytest.raises(ValueError, match="its cooldown after our last trade"):
        book(rig.engine.trade_snapshot(), rig.instruments, 0, row(side), UNIT.ticks(PRICE * (1 - 0.01 * side)), EXITS, rig.now)
