"""What outlives a process, and what holds entries back: gates, the list of orders, trade snapshots, resuming after a downtime, patience."""

from __future__ import annotations

import numpy as np
import pytest

import liqcore as lc
from desk import ALARM, CANCELLED, ETH, NEW, REJECTED, STATE, Answer, Desk, S, both, limits
from liqcore.audit import AuditKind
from liqcore.event import Action
from model_venue import CLOSE, ENTRY, TARGET

pytestmark = pytest.mark.core

PAUSE, READY = lc.Control.CONTROL_PAUSE, lc.Control.CONTROL_READY


def control(desk: Desk, code: int, gate: int = 0, instrument: int | str = -1) -> list:
    desk.now += 1
    desk.engine.on_control(desk.now, code, gate, instrument)
    return desk.collect()


def verdicts(desk: Desk) -> list:
    return [lc.Reason(int(r["reason"])) for r in desk.kinds(AuditKind.AUDIT_RISK)]


# ---- gates ----


@both
@pytest.mark.parametrize("gate", [gate for gate in lc.Gate if gate not in (lc.Gate.GATE_HOURS, lc.Gate.GATE_BLACKOUT)])  # those follow from the time
def test_any_closed_gate_refuses_entries_and_says_which(side, gate):
    desk = Desk(side, cooldown_s=0)
    control(desk, PAUSE, gate)
    assert desk.engine.gates("ETHUSDT") == (gate,)
    assert desk.liquidate() == [] and verdicts(desk)[-1] == lc.Reason.NOT_READY
    assert desk.kinds(AuditKind.AUDIT_RISK)[-1]["x"][1] == gate
    control(desk, READY, gate)
    desk.wait(1.0)
    assert desk.engine.gates(0) == () and len(desk.liquidate()) == 1


@both
def test_every_gate_must_open(side):
    desk = Desk(side)
    control(desk, PAUSE, lc.Gate.GATE_START)
    control(desk, PAUSE, lc.Gate.GATE_CLOCK)
    control(desk, READY, lc.Gate.GATE_START)
    assert desk.liquidate() == [] and desk.engine.gates(0) == (lc.Gate.GATE_CLOCK,)
    changes = [(int(r["phase"]), lc.Reason(int(r["reason"])), *r["x"][3:5]) for r in desk.kinds(AuditKind.AUDIT_LIMIT)]
    assert changes == [(PAUSE, lc.Reason.NOT_READY, 1.0, 2.0), (PAUSE, lc.Reason.NOT_READY, 6.0, 66.0), (READY, lc.Reason.NOT_READY, 1.0, 64.0)]
    control(desk, READY, lc.Gate.GATE_START)  # open already: no record
    assert len(desk.kinds(AuditKind.AUDIT_LIMIT)) == 3


def test_a_gate_of_one_instrument_leaves_the_others_alone():
    engine = lc.Engine(["A", "B", "C"])
    engine.on_control(1, PAUSE, lc.Gate.GATE_SYMBOL, "B")
    engine.on_control(2, PAUSE, lc.Gate.GATE_RATE)
    assert [engine.gates(n) for n in range(3)] == [(7,), (7, 10), (7,)]
    engine.on_control(3, READY, lc.Gate.GATE_SYMBOL)
    engine.on_control(4, READY, lc.Gate.GATE_RATE, 2)
    assert [engine.gates(n) for n in range(3)] == [(7,), (7,), ()]


@pytest.mark.parametrize(("code", "gate"), [(PAUSE, 0), (READY, 0), (PAUSE, 13), (READY, 255), (7, 1), (0, 1)])
def test_the_door_knows_codes_and_gates(code, gate):
    engine = lc.Engine(["A"])
    engine.on_control(1, code, gate)
    assert engine.refused == {lc.Reason.BAD_CODE: 1} and engine.gates(0) == ()


@both
def test_gates_touch_neither_what_rests_nor_what_is_held(side):
    desk = Desk(side, entry_ttl_s=20, max_hold_s=60)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    assert control(desk, PAUSE, lc.Gate.GATE_PRIVATE) == []
    desk.order(entry.stop_id, NEW)
    (target,) = desk.fill(entry.id, entry.price, 0.1)  # exits go on
    assert target.role == TARGET
    desk.order(target.id, NEW)
    assert [(r.role, r.action) for r in desk.wait(20.0)] == [(ENTRY, Action.ACTION_CANCEL)]
    desk.order(entry.id, CANCELLED, filled=0.1)
    assert CLOSE in [r.role for r in desk.wait(60.0)]


@both
def test_a_requote_is_an_entry(side):
    desk = Desk(side, requotes=2)
    (first,) = desk.liquidate()
    control(desk, PAUSE, lc.Gate.GATE_UNKNOWN)
    assert desk.order(first.id, REJECTED, lc.Reason.END_POST_ONLY) == [] and desk.state == STATE.BRACKET_FLAT


def test_gates_are_part_of_a_snapshot():
    engine, twin = lc.Engine(["A", "B"]), lc.Engine(["A", "B"])
    engine.on_control(1, PAUSE, lc.Gate.GATE_DISK, "B")
    twin.restore(engine.snapshot())
    assert twin.gates("B") == (lc.Gate.GATE_DISK,) and twin.gates("A") == ()


# ---- patience ----


@both
@pytest.mark.parametrize("patience", [1.0, 50.0])
def test_patience_stretches_what_measures_the_machine(side, patience):
    desk = Desk(side)
    engine = lc.Engine([ETH], desk.engine.config, desk.engine.policy, limits(), equity=100_000.0, patience=patience)
    engine.restore(lc.Engine([ETH], desk.engine.config, patience=patience).snapshot())
    desk.engine = engine
    desk.trade(2500.0), desk.liquidate(), desk.wait(1.0)
    (entry,) = desk.liquidate()
    desk.order(entry.id, NEW)
    desk.fill(entry.id, entry.price, entry.qty)
    assert CLOSE not in [r.role for r in desk.wait(patience - 1e-6)]
    assert CLOSE in [r.role for r in desk.wait(1e-6)]


@pytest.mark.parametrize("patience", [0.5, 0.0, 1001.0, float("nan")])
def test_patience_below_one_or_absurd_is_refused(patience):
    with pytest.raises(ValueError, match="patience: expected a factor from 1 to 1000"):
        lc.Engine(["A"], patience=patience)


def test_patience_is_part_of_the_identity():
    with pytest.raises(ValueError, match="other instruments or settings"):
        lc.Engine(["A"], patience=2.0).restore(lc.Engine(["A"]).snapshot())


# ---- orders ----


@both
def test_orders_say_what_is_believed(side):
    desk = Desk(side)
    assert desk.engine.orders() == []
    (entry,) = desk.liquidate()
    asked = desk.now
    (only,) = desk.engine.orders("ETHUSDT")
    assert only == {
        "id": entry.id,
        "role": lc.Role.ROLE_ENTRY,
        "instrument": 0,
        "symbol": "ETHUSDT",
        "side": side,
        "status": "sent",
        "asked": "",
        "unknown": False,
        "price": entry.price,
        "stop_price": entry.stop,
        "qty": entry.qty,
        "filled": 0.0,
        "executed": 0.0,
        "attempt": 0,
        "ts_asked": asked,
    }
    desk.order(entry.id, NEW)
    desk.order(entry.stop_id, NEW)
    (target,) = desk.fill(entry.id, entry.price, 0.1)
    desk.order(target.id, NEW)
    desk.fill(entry.id, entry.price, 0.1)  # the target is to be amended
    told = {order["role"]: order for order in desk.engine.orders()}
    assert [(role.name, o["status"], o["asked"], o["side"]) for role, o in told.items()] == [
        ("ROLE_ENTRY", "live", "", side),
        ("ROLE_STOP", "live", "", -side),
        ("ROLE_TARGET", "live", "amend", -side),
    ]
    assert (told[lc.Role.ROLE_ENTRY]["filled"], told[lc.Role.ROLE_TARGET]["qty"]) == (0.2, 0.2)
    desk.wait(6.0)
    assert [o["unknown"] for o in desk.engine.orders()] == [False, False, True]


# ---- trade snapshots ----


def later(desk: Desk, seconds: float, symbols=(ETH,)) -> Desk:
    """The same desk after a kill and a restart: another process, another engine, only the trades survived."""
    data = desk.engine.trade_snapshot()
    engine = lc.Engine(symbols, desk.engine.config, Answer(**desk.bracket), limits(), equity=100_000.0)
    engine.trade_restore(data)
    assert engine.trade_snapshot() == data or len(symbols) > 1
    desk.engine, desk.now = engine, desk.now + round(seconds * 1e9)
    engine.resume(desk.now)
    desk.requests.clear(), desk.collect(), desk.trade(2500.0)
    return desk


class Survivor(Desk):
    """A desk that remembers what its policy answers, for the next process."""

    def __init__(self, side, **bracket):
        super().__init__(side, **bracket)
        self.bracket = {"stop_loss": "0.0025", "take_profit": "0.0015", "entry_offset": "0.0015", "notional": 1000.0} | bracket


@both
def test_a_trade_goes_on_after_a_restart(side):
    desk = Survivor(side)
    entry = desk.enter()
    target = desk.requests[-1]
    desk.order(target.id, NEW)
    held, equity = desk.held, desk.engine.account.equity
    later(desk, 30.0)
    assert desk.held == held and desk.engine.account.equity == equity and desk.wait(5.0) == [] and desk.alarms() == []
    desk.fill(entry.id, entry.price, entry.qty, execution=1)  # the venue repeats what was counted before the kill
    assert desk.held == held
    desk.fill(target.id, target.price, held, execution=2)
    assert desk.state == STATE.BRACKET_FLAT and desk.engine.account.position(0)["qty"] == 0.0
    assert desk.engine.bracket(0)["end"] == lc.Reason.END_TARGET and desk.alarms() == []


@both
def test_ids_go_on_after_a_restart(side):
    desk = Survivor(side, cooldown_s=0)
    (entry,) = desk.liquidate()
    desk.order(entry.id, REJECTED, lc.Reason.END_VENUE)
    later(desk, 5.0)
    desk.liquidate(), desk.wait(1.0)  # the detector warms up anew
    (again,) = desk.liquidate()
    assert again.id >> 12 == (entry.id >> 12) + 1


@both
def test_what_was_outstanding_is_unknown_and_not_sent_again(side):
    desk = Survivor(side, entry_ttl_s=1800)
    (entry,) = desk.liquidate()
    later(desk, 3.0)
    (order,) = desk.engine.orders()
    assert order["unknown"] and order["status"] == "sent" and desk.alarms() == [ALARM.ALARM_UNKNOWN]
    assert desk.wait(60.0) == []
    desk.order(entry.id, REJECTED, lc.Reason.END_VENUE)  # asked: it never existed
    assert desk.state == STATE.BRACKET_FLAT


@both
@pytest.mark.parametrize("gone", [True, False])
def test_max_hold_passed_while_nobody_was_there(side, gone):
    """Two seconds to ask: what the stop has closed meanwhile must not be closed again; what is still there goes."""
    desk = Survivor(side, max_hold_s=60)
    entry = desk.enter()
    desk.order(desk.requests[-1].id, NEW)
    later(desk, 600.0)
    assert desk.wait(1.9) == []
    if gone:
        desk.fill(entry.stop_id, entry.stop, entry.qty, maker=False)
        assert desk.state == STATE.BRACKET_WINDING
    sent = desk.wait(0.2)
    assert [r.role for r in sent if r.action == Action.ACTION_CREATE] == ([] if gone else [CLOSE])


@both
@pytest.mark.parametrize("confirmed", [True, False])
def test_a_fill_whose_stop_was_not_confirmed_before_the_kill(side, confirmed):
    desk = Survivor(side)
    (entry,) = desk.liquidate()
    desk.fill(entry.id, entry.price, entry.qty)
    later(desk, 600.0)
    assert desk.wait(1.5) == []
    if confirmed:
        desk.order(entry.stop_id, NEW)
    sent = desk.wait(1.0)
    assert [r.role for r in sent if r.action == Action.ACTION_CREATE] == ([] if confirmed else [CLOSE])


@both
def test_what_the_venue_no_longer_takes_at_once_is_closed_in_pieces(side):
    """Venues re-tune their largest orders; a position from before may be above it. A market order above it is refused, however often it is asked."""
    desk = Survivor(side, max_hold_s=60)
    held = round(desk.enter().qty, 3)
    later(desk, 100.0, (lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", max_qty="0.15"), lc.Instrument("SOLUSDT")))
    pieces = []
    while desk.held > 0 and len(pieces) < 9:
        desk.wait(5.0)
        close = [r for r in desk.requests if r.role == CLOSE][-1]
        pieces.append(close.qty)
        desk.fill(close.id, 2500.0, close.qty, maker=False)
    assert 0.3 < held < 0.45 and pieces == [0.15, 0.15, pytest.approx(held - 0.3)]


def test_instruments_may_be_added_at_the_end_only():
    desk = Survivor(1)
    desk.enter()
    data = desk.engine.trade_snapshot()
    later(desk, 1.0, (ETH, lc.Instrument("SOLUSDT")))
    assert desk.held > 0
    for wrong in ([lc.Instrument("SOLUSDT"), ETH], [lc.Instrument("ETHUSDT", tick_size="0.1", lot_size="0.001")]):
        engine = lc.Engine(wrong)
        before = engine.trade_snapshot()
        with pytest.raises(ValueError, match="instrument 0 was ETHUSDT with"):
            engine.trade_restore(data)
        assert engine.trade_snapshot() == before
    more = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", min_qty=0.01, max_qty=5.0)
    lc.Engine([more]).trade_restore(data)  # what the venue allows may change


def test_damage_is_refused():
    data = bytearray(lc.Engine([ETH]).trade_snapshot())
    for at in np.linspace(0, len(data) - 1, 40).astype(int):
        bad = data.copy()
        bad[at] ^= 0x55
        with pytest.raises(ValueError, match="trade snapshot"):
            lc.Engine([ETH]).trade_restore(bytes(bad))


def test_resume_refuses_a_clock_that_went_back():
    desk = Desk(1)
    with pytest.raises(ValueError, match="resume: expected a time from"):
        desk.engine.resume(desk.now - S)
