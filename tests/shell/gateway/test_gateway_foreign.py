"""A position that we did not open closes its contract's gate, not the door: everything else trades, own trades go on, and the gate opens by itself."""

from __future__ import annotations

import pytest
from test_gateway_restart import reborn

import liqcore as lc
from desk import LONG, both
from gateway_rig import PRICE, SYMBOL, Rig, at_rest
from liqcore.event import Role
from liqshell.emulator.market.contracts import contracts_of
from liqshell.gateway.ownership import Ownership, mode_fault, ownership
from liqshell.venues.reports import Position

TWO = (SYMBOL, "SOLUSDT")
SOL = contracts_of(TWO)[1].price


def person(rig: Rig, sign: int, qty: str, symbol: str = SYMBOL) -> None:
    """Somebody trades in the venue's app; nobody quotes here, so the next trade fills it."""
    rig.exchange.manual_trade(rig.account, symbol, "Buy" if sign > 0 else "Sell", qty, rig.venue_now)
    rig.trade(PRICE if symbol == SYMBOL else SOL, n=rig.gateway.context.index[symbol])


def gates(rig: Rig, n: int) -> set[str]:
    return {gate.name for gate in rig.engine.gates(n)}


def enter(rig: Rig, n: int, price: float) -> int:
    """Entries that a cascade on a contract brings."""
    before = len(rig.orders)
    rig.trade(price, n=n)
    rig.engine.on_liquidation(rig.now, rig.now, n, rig.side, price, 1e5 / price)
    rig.dispatch.pump(rig.now)
    rig.gateway.collect(rig.now)
    rig.wait(0.5)
    return len(rig.orders) - before


@both
def test_at_a_start_its_contract_is_read_only_and_the_others_trade(side):
    rig = Rig(side, symbols=TWO, start=False)
    person(rig, side, "0.3")
    rig.gateway.start(rig.now)
    rig.wait(8.0)
    assert rig.gateway.ready and gates(rig, 0) == {"GATE_RECONCILE"} and gates(rig, 1) == set()
    assert rig.engine.risk.halted == lc.Reason.OK and rig.gateway.status()["foreign"] == {SYMBOL: 0.3 * side}
    assert [n.symbol for n in rig.notices if n.kind == "foreign position"] == [SYMBOL] and "--adopt ETHUSDT" in rig.notices[-1].text
    enter(rig, 1, SOL)  # warms its detector up
    assert enter(rig, 0, PRICE) == 0 and enter(rig, 1, SOL) == 1
    assert rig.truth() == (0.3 * side, 0.0) and rig.counts["/v5/position/trading-stop"] == 0, "it is left as it is"


@both
def test_while_running_it_does_the_same_and_the_gate_opens_when_it_is_gone(side):
    rig = Rig(side, symbols=TWO)
    rig.wait(5.0)
    person(rig, -side, "0.3")
    rig.wait(8.0)
    assert gates(rig, 0) == {"GATE_RECONCILE"} and gates(rig, 1) == set() and rig.engine.risk.halted == lc.Reason.OK
    person(rig, -side, "0.2")  # more of it is still somebody else's
    rig.wait(0.1)
    assert gates(rig, 0) == {"GATE_RECONCILE"}
    rig.wait(60.0)
    assert rig.gateway.ready and rig.gateway.status()["foreign"] == {SYMBOL: -0.5 * side} and gates(rig, 1) == set()
    person(rig, side, "0.5")
    rig.wait(40.0)
    assert gates(rig, 0) == set() and rig.gateway.status()["foreign"] == {}


@both
def test_an_open_trade_of_ours_is_supervised_beside_it(side):
    """A restart with a trade on one contract and a person's position on another: its stop and target are looked after, and its time limit closes it."""
    rig = Rig(side, symbols=TWO, max_hold_s=120.0)
    rig.enter()
    rig.fill_entry()
    image = rig.engine.trade_snapshot()
    rig.exchange.manual_trade(rig.account, "SOLUSDT", "Sell", "10", rig.venue_now)
    rig.trade(SOL, n=1)
    new = Rig(side, symbols=TWO, exchange=rig.exchange, now=rig.now, store=rig.store, start=False, max_hold_s=120.0)
    new.engine.trade_restore(image)
    new.engine.resume(new.now)
    new.exchange.take()
    new.gateway.start(new.now)
    new.wait(10.0)
    assert new.gateway.ready and gates(new, 0) == set() and gates(new, 1) == {"GATE_RECONCILE"}
    assert (
        new.order_of(Role.ROLE_STOP)["status"] == "live" and new.order_of(Role.ROLE_TARGET)["status"] == "live" and new.held() == new.truth()[0] != 0
    )
    for _ in range(30):
        new.wait(5.0)
        new.trade(PRICE)
    at_rest(new)
    assert gates(new, 1) == {"GATE_RECONCILE"}


@both
def test_what_concerns_all_opens_without_the_contract_that_is_closed(side):
    """The private stream is lost and comes back: the gate of all opens again, that of the contract stays shut."""
    rig = Rig(side, symbols=TWO)
    person(rig, side, "0.3")
    rig.wait(8.0)
    rig.drop(next(c for c in rig.up if c.name == "PRIVATE"))
    seen = set()
    for _ in range(50):
        rig.wait(0.01)
        seen |= gates(rig, 1)
    assert {"GATE_RECONCILE", "GATE_PRIVATE"} <= seen
    rig.wait(30.0)
    assert gates(rig, 0) == {"GATE_RECONCILE"} and gates(rig, 1) == set()


@both
def test_the_alarm_is_said_again_but_not_every_minute(side):
    rig = Rig(side)
    rig.wait(5.0)
    person(rig, side, "0.3")
    rig.wait(1300.0)
    assert sum(n.kind == "foreign position" for n in rig.notices) == 3


def test_executions_are_asked_for_from_before_it_and_not_without_end():
    """One of ours may explain it late; but not of all the days that it may last."""
    rig = Rig(LONG)
    rig.wait(5.0)
    first = rig.gateway.reconciler.reconciled_ms
    person(rig, 1, "0.3")
    rig.wait(600.0)
    begun = rig.gateway.reconciler.reconciled_ms
    assert begun < first + 10_000
    rig.wait(2 * 3600.0)
    assert rig.venue_now // 10**6 - 3_700_000 < rig.gateway.reconciler.reconciled_ms < rig.venue_now // 10**6 - 3_500_000


@both
def test_a_lost_state_folder_still_halts(side):
    """What it knew nobody knows any more: positions of its name may be anywhere."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    new = reborn(rig, run="test0000zzzz", wait_s=8.0)
    assert new.engine.risk.halted == lc.Reason.HALTED and new.gateway.ready


@pytest.mark.parametrize(
    ("venue", "belief", "side", "verdict"),
    [
        (0, 0, 0, Ownership.AGREED),
        (5, 5, 1, Ownership.AGREED),
        (-5, -5, -1, Ownership.AGREED),
        (3, 5, 1, Ownership.LESS),
        (-3, -5, -1, Ownership.LESS),
        (0, 5, 1, Ownership.LESS),
        (0, -5, -1, Ownership.LESS),
        (7, 5, 1, Ownership.FOREIGN),
        (-7, -5, -1, Ownership.FOREIGN),
        (-1, 5, 1, Ownership.FOREIGN),
        (1, -5, -1, Ownership.FOREIGN),
        (3, 0, 0, Ownership.FOREIGN),
        (-3, 0, 1, Ownership.FOREIGN),
        (0, -5, 1, Ownership.FOREIGN),
    ],
)
def test_whose_a_position_is(venue, belief, side, verdict):
    assert ownership(venue, belief, side) == verdict


def test_hedge_mode_is_a_fault_of_the_account():
    row = Position(SYMBOL, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, "Normal", 0, -1, 0)
    hedge = Position(SYMBOL, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, "Normal", 1, -1, 0)
    assert mode_fault([row]) == "" and "hedge mode" in mode_fault([hedge])
