"""The guard of the last hop: what it lets pass, what latches, its budget, its kill word; and against an oracle that looks everything up anew."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import guard as oracle

import liqcore as lc
from desk import ETH, Desk, both
from liqcore.event import REQUEST_DTYPE, Action, OrderType, Reason, RequestFlag, Role
from liqcore.guard import Breach

pytestmark = pytest.mark.core

S, LONG, SHORT = lc.SECOND, 1, -1
T0 = 1_700_000_000 * S
NAMES = [lc.Instrument(name, tick_size="1", lot_size="1") for name in ("A", "B", "C")]
LAST = 1000.0
WIDE = {
    "order_notional_max": 1e9,
    "total_notional_max": 1e9,
    "collar": 0.5,
    "orders_per_minute_max": 256,
    "orders_per_signal_max": 16,
    "rate_max": 256,
    "rate_reserve": 1,
    "entry_age_s": 4e9,
}
PASS, LATER = (lc.Verdict.PASS, Reason.OK), (lc.Verdict.LATER, Reason.RISK_RATE)


def refused(reason: Reason) -> tuple:
    return lc.Verdict.REFUSE, reason


def request(
    role=Role.ROLE_ENTRY,
    action=Action.ACTION_CREATE,
    *,
    instrument=0,
    sequence=1,
    attempt=0,
    side=LONG,
    price=1000,
    qty=1,
    stop=None,
    flags=None,
    type=OrderType.ORDER_LIMIT,
    id=None,
    ts=T0,
    sized=0,
):
    row = np.zeros((), REQUEST_DTYPE)
    row["ts"], row["reserved"] = ts, sized
    row["id"] = instrument << 40 | sequence << 12 | attempt << 4 | role if id is None else id
    row["instrument"], row["side"], row["action"], row["type"], row["price"], row["qty"] = instrument, side, action, type, price, qty
    row["stop"] = (price or int(LAST)) - 10 * side if stop is None and role == Role.ROLE_ENTRY else stop or 0
    row["flags"] = (0 if role == Role.ROLE_ENTRY else RequestFlag.REDUCE_ONLY) if flags is None else flags
    return row


def guard(**over) -> lc.Guard:
    return lc.Guard(NAMES, **(WIDE | over))


# ---- what an engine really asks for ----


@both
@pytest.mark.parametrize("entry", ["post_only", "market"])
def test_everything_that_an_engine_asks_for_passes(side, entry):
    desk = Desk(side, entry=entry, entry_offset="0.0015" if entry == "post_only" else 0, trail="0.002", max_hold_s=60)
    asked = []
    first = desk.enter(0.1)
    target = desk.requests[-1]
    desk.order(target.id, lc.OrderStatus.ORDER_NEW)
    desk.fill(first.id, 2500.0, 0.1)
    desk.trade(2500.0 * (1 + side * 0.01))
    desk.wait(60.0)
    asked = desk.requests
    roles = {(r.role, r.action) for r in asked}
    assert {
        (Role.ROLE_ENTRY, Action.ACTION_CREATE),
        (Role.ROLE_TARGET, Action.ACTION_AMEND),
        (Role.ROLE_STOP, Action.ACTION_AMEND),
        (Role.ROLE_CLOSE, Action.ACTION_CREATE),
    } <= roles
    second_line = lc.Guard([ETH])
    second_line.follow(desk.engine)
    for n, r in enumerate(asked):
        assert second_line.check(r, T0 + n * S, 2500.0) == PASS, r


# ---- form ----

#: what no engine in good health asks for: arguments of request(), the breach, and the two numbers that are said of it (long side)
WRONG = [
    ({"instrument": 3}, Breach.BREACH_ADDRESS, 3, 3),
    ({"instrument": -1}, Breach.BREACH_ADDRESS, -1, 3),
    ({"id": 1 << 40 | 1 << 12 | 1}, Breach.BREACH_ADDRESS, 0, 3),
    ({"action": 0}, Breach.BREACH_ADDRESS, 0, 3),
    ({"action": 4}, Breach.BREACH_ADDRESS, 0, 3),
    ({"qty": 0}, Breach.BREACH_QTY, 0, 1),
    ({"price": -1, "stop": 5}, Breach.BREACH_QTY, 1, 1),
    ({"side": 0}, Breach.BREACH_QTY, 1, 1),
    ({"flags": RequestFlag.REDUCE_ONLY}, Breach.BREACH_EXIT, Role.ROLE_ENTRY, 0),
    ({"flags": 0, "role": Role.ROLE_TARGET}, Breach.BREACH_ENTRY, Role.ROLE_TARGET, Role.ROLE_ENTRY),
    ({"flags": 0, "role": Role.ROLE_CLOSE}, Breach.BREACH_ENTRY, Role.ROLE_CLOSE, Role.ROLE_ENTRY),
    ({"action": Action.ACTION_AMEND}, Breach.BREACH_ENTRY, Role.ROLE_ENTRY, Role.ROLE_ENTRY),
    ({"price": 0}, Breach.BREACH_ENTRY, Role.ROLE_ENTRY, Role.ROLE_ENTRY),
    ({"type": OrderType.ORDER_MARKET}, Breach.BREACH_ENTRY, Role.ROLE_ENTRY, Role.ROLE_ENTRY),
    ({"stop": 0}, Breach.BREACH_NO_STOP, 0, 1),
    ({"stop": -5}, Breach.BREACH_NO_STOP, -5, 1),
    ({"stop": 1010}, Breach.BREACH_STOP_SIDE, 1010, 1000),
    ({"stop": 1000}, Breach.BREACH_STOP_SIDE, 1000, 1000),
    ({"stop": 1010, "price": 0, "type": OrderType.ORDER_MARKET, "sized": 1000}, Breach.BREACH_STOP_SIDE, 1010, 1000),
]


@both
@pytest.mark.parametrize(("wrong", "breach", "found", "allowed"), WRONG)
def test_what_no_healthy_engine_asks_for_latches_by_name(side, wrong, breach, found, allowed):
    g = guard()
    wrong = {"side": side} | wrong
    if side == SHORT and breach == Breach.BREACH_STOP_SIDE:
        wrong["stop"] = found = 2000 - wrong["stop"]
    assert g.check(request(**wrong), T0, LAST) == refused(Reason.RISK_GUARD)
    assert g.latched == Reason.RISK_GUARD and g.latched_ns == T0
    assert g.breach == (breach, wrong.get("instrument", 0), found, allowed)
    assert g.check(request(side=side), T0 + 1, LAST) == refused(Reason.RISK_GUARD)
    assert g.check(request(Role.ROLE_CLOSE, side=-side, price=0, type=OrderType.ORDER_MARKET), T0 + 2, LAST) == PASS
    assert g.check(request(action=Action.ACTION_CANCEL), T0 + 3, LAST) == PASS
    g.lift()
    assert g.breach is None and g.check(request(side=side), T0 + 4, LAST) == PASS


@pytest.mark.parametrize("wrong", [{"instrument": 3}, {"instrument": -1}, {"id": 1 << 40 | 1 << 12 | 1}, {"action": 0}, {"action": 4}])
def test_an_exit_that_names_no_order_does_not_pass_either(wrong):
    g = guard()
    assert g.check(request(Role.ROLE_CLOSE, **wrong), T0, LAST) == refused(Reason.RISK_GUARD) and g.breach[0] == Breach.BREACH_ADDRESS


def test_the_first_breach_is_kept():
    g = guard()
    g.check(request(stop=0), T0, LAST), g.check(request(Role.ROLE_CLOSE, side=SHORT, qty=0), T0 + 1, LAST)
    assert g.breach == (Breach.BREACH_NO_STOP, 0, 0, 1) and g.latched_ns == T0


# ---- an entry that is late, and a market that has moved: refused, and no more ----


@both
@pytest.mark.parametrize("market", [False, True])
def test_a_stop_that_the_market_has_passed_is_a_plain_refusal(side, market):
    """The entry waited for the rate budget, or the line was down. Nothing is wrong with the engine: the next one passes."""
    g = guard()
    entry = request(
        side=side, price=0 if market else 1000, stop=1000 - 10 * side, sized=1000, type=OrderType.ORDER_MARKET if market else OrderType.ORDER_LIMIT
    )
    for last in (1000.0 - 10 * side, 1000.0 - 30 * side):
        assert g.check(entry, T0 + S, last) == refused(Reason.STOP_PASSED)
    assert not g.latched and g.breach is None
    assert g.check(entry, T0 + S, 1000.0 - 9.9 * side) == PASS
    assert g.check(request(side=side, sequence=2, price=990, ts=T0 + 2 * S), T0 + 2 * S, 990.0) == PASS


@both
@pytest.mark.parametrize("wrong", [wrong for wrong, breach, _, _ in WRONG if breach not in (Breach.BREACH_ADDRESS, Breach.BREACH_EXIT)])
def test_age_comes_before_form(side, wrong):
    """Whatever waited too long is refused for its age alone."""
    g = guard(entry_age_s=2.0)
    old = request(**{"side": side, "ts": T0} | wrong)
    assert g.check(old, T0 + 2 * S + 1, LAST) == refused(Reason.STALE_EVENT) and not g.latched


@both
def test_a_market_order_whose_price_moved_is_refused_at_the_collar_and_never_latches(side):
    g = guard(order_notional_max=5000.0, collar=0.02)
    entry = request(side=side, qty=5, price=0, type=OrderType.ORDER_MARKET, sized=1000, stop=1000 - 50 * side)
    assert g.check(entry, T0, 975.0) == refused(Reason.RISK_COLLAR) and g.check(entry, T0, 1025.0) == refused(Reason.RISK_COLLAR)
    assert not g.latched and g.check(entry, T0, 1015.0) == PASS  # sized at the limit; what the market did since is no breach of it


def test_used_up_budgets_are_plain_refusals():
    """Entries that waited leave together: more of them in a minute, or more exposure as sent, than when they were decided."""
    g = guard(orders_per_minute_max=2, total_notional_max=2500.0)
    assert [g.check(request(sequence=n), T0 + n, LAST)[1] for n in (1, 2, 3)] == [Reason.OK, Reason.OK, Reason.RISK_RATE]
    assert g.check(request(instrument=1, qty=2), T0 + 61 * S, LAST) == refused(Reason.RISK_EXPOSURE)
    assert not g.latched and g.refused == {Reason.RISK_RATE: 1, Reason.RISK_EXPOSURE: 1}


def test_a_limit_that_went_down_meanwhile_latches_nothing():
    g = guard(orders_per_signal_max=3)
    first, second = request(qty=5), request(qty=5, attempt=1, ts=T0 + 1)
    assert g.check(first, T0, LAST) == PASS
    g.lower({"order_notional_max": 4000.0, "orders_per_signal_max": 1}, T0 + 1)
    assert g.check(second, T0 + 2, LAST) == refused(Reason.RISK_NOTIONAL)
    assert g.check(request(qty=1, attempt=1, ts=T0 + 1), T0 + 2, LAST) == refused(Reason.RISK_PER_SIGNAL) and not g.latched
    assert g.check(request(qty=5, attempt=2, ts=T0 + 2), T0 + 2, LAST) == refused(Reason.RISK_NOTIONAL)  # decided under the new limit
    assert g.breach == (Breach.BREACH_NOTIONAL, 0, 5000.0, 4000.0)


# ---- limits, each at its edge ----


@both
def test_one_order(side):
    g = guard(order_notional_max=5000.0)
    assert g.check(request(side=side, qty=5), T0, LAST) == PASS
    assert g.check(request(side=side, qty=6, sequence=2), T0, LAST) == refused(Reason.RISK_NOTIONAL)
    assert g.breach == (Breach.BREACH_NOTIONAL, 0, 6000.0, 5000.0)
    g.lift()
    market = {"side": side, "price": 0, "type": OrderType.ORDER_MARKET, "sequence": 3}
    assert g.check(request(qty=5, **market), T0, 1000.1) == refused(Reason.RISK_NOTIONAL) and not g.latched  # sized by nothing: at the last price
    assert g.check(request(qty=6, sized=1000, **market), T0, LAST) == refused(Reason.RISK_NOTIONAL) and g.breach[0] == Breach.BREACH_NOTIONAL


def test_all_orders_as_sent():
    g = guard(total_notional_max=10_000.0)
    assert [g.check(request(instrument=n, qty=4), T0, LAST)[0] for n in range(3)] == [lc.Verdict.PASS, lc.Verdict.PASS, lc.Verdict.REFUSE]
    assert not g.latched
    g.release(0)
    assert g.check(request(instrument=2, qty=4, attempt=1), T0, LAST) == PASS
    assert [g.as_sent(n)["notional"] for n in range(3)] == [0.0, 4000.0, 4000.0]
    assert g.check(request(instrument=1, sequence=2, qty=6), T0, LAST) == PASS  # its first bracket is over: the engine has a new one


def test_a_following_guard_forgets_what_is_over():
    desk = Desk(1, cooldown_s=0, notional=100.0)
    g = lc.Guard([ETH], total_notional_max=150.0)
    g.follow(desk.engine)
    for n in range(1, 4):
        (entry,) = desk.liquidate()
        assert g.check(entry, T0 + n, 2500.0) == PASS
        desk.order(entry.id, lc.OrderStatus.ORDER_REJECTED, Reason.END_VENUE)
        desk.wait(1.0)
    with pytest.raises(ValueError, match="same instruments in the same order"):
        guard().follow(desk.engine)


def test_the_second_order_of_a_retry_that_nobody_answered_counts_twice():
    """The classic: no answer, so it is sent again under another id. As sent, both are exposure."""
    g = guard(total_notional_max=15_000.0)
    assert g.check(request(qty=10), T0, LAST) == PASS
    assert g.check(request(qty=10), T0 + S, LAST) == PASS  # the same id could not be sent: still one order
    assert g.as_sent(0) == {"sequence": 1, "entries": 1, "requests": 2, "notional": 10_000.0}
    assert g.check(request(qty=10, attempt=1), T0 + 2 * S, LAST) == refused(Reason.RISK_EXPOSURE)


def test_entries_of_one_signal_and_of_one_minute():
    g = guard(orders_per_signal_max=2, orders_per_minute_max=4)
    assert [g.check(request(attempt=n), T0 + n, LAST)[1] for n in range(3)] == [Reason.OK, Reason.OK, Reason.RISK_PER_SIGNAL]
    assert g.breach == (Breach.BREACH_PER_SIGNAL, 0, 3, 2)
    g.lift()
    assert [g.check(request(sequence=2, attempt=n), T0 + 10 + n, LAST)[1] for n in range(2)] == [Reason.OK, Reason.OK]
    assert g.check(request(sequence=3), T0 + 60 * S - 1, LAST) == refused(Reason.RISK_RATE) and not g.latched
    assert g.check(request(sequence=3), T0 + 60 * S, LAST) == PASS


def test_an_old_bracket_does_not_enter_again():
    g = guard()
    assert g.check(request(sequence=7), T0, LAST) == PASS
    assert g.check(request(sequence=6), T0 + 1, LAST) == refused(Reason.STALE_EVENT) and not g.latched  # it waited while the next one entered
    assert g.check(request(sequence=6, ts=T0 + 1), T0 + 1, LAST) == refused(Reason.RISK_GUARD)  # decided just now: no
    assert g.breach == (Breach.BREACH_OLD_BRACKET, 0, 6, 7)


def test_requests_of_one_bracket_latch_and_exits_go_on():
    g = guard(requests_per_bracket_max=5)
    g.check(request(), T0, LAST)
    amend = request(Role.ROLE_STOP, Action.ACTION_AMEND, side=SHORT, price=990)
    assert [g.check(amend, T0 + n, LAST) for n in range(10)] == [PASS] * 10
    assert g.latched == Reason.RISK_PER_SIGNAL and g.breach == (Breach.BREACH_REQUESTS, 0, 6, 5)
    assert g.check(request(instrument=1), T0 + 20, LAST) == refused(Reason.RISK_PER_SIGNAL)


@both
def test_collar_and_price_do_not_latch(side):
    g = guard(collar=0.02)
    for price in (979, 1021):
        assert g.check(request(side=side, price=price), T0, LAST) == refused(Reason.RISK_COLLAR)
    for last in (0.0, float("nan"), -1.0):
        assert g.check(request(side=side), T0, last) == refused(Reason.NO_PRICE)
    assert (
        g.latched == Reason.OK
        and [g.check(request(side=side, price=p, attempt=p, stop=1000 - 50 * side), T0, LAST) for p in (980, 1020)] == [PASS] * 2
    )
    assert g.refused == {Reason.RISK_COLLAR: 2, Reason.NO_PRICE: 3}


# ---- the kill word ----


def test_kill_word_is_read_each_time():
    g, word = guard(), np.zeros(1, np.int64)
    g.watch(word.ctypes.data, word)
    assert not g.killed and g.check(request(), T0, LAST) == PASS
    word[0] = 1
    assert g.killed and g.check(request(instrument=1), T0, LAST) == refused(Reason.HALTED)
    assert g.check(request(action=Action.ACTION_CANCEL), T0, LAST) == PASS
    assert g.check(request(Role.ROLE_CLOSE, side=SHORT, price=0, type=OrderType.ORDER_MARKET), T0, LAST) == PASS
    word[0] = 0
    assert g.check(request(instrument=1), T0, LAST) == PASS and g.latched == Reason.OK
    with pytest.raises(ValueError, match="multiple of 8"):
        g.watch(word.ctypes.data + 1)
    g.watch(0)
    assert not g.killed


def test_entries_off():
    g = guard()
    g.entries_off = True
    assert g.check(request(), T0, LAST) == refused(Reason.HALTED)
    assert g.check(request(Role.ROLE_TARGET, side=SHORT), T0, LAST) == PASS


# ---- the venue's budget ----


def test_budget_slides_and_keeps_a_reserve():
    g = guard(rate_max=5, rate_reserve=2, rate_window_s=1.0)
    entries = [g.check(request(sequence=n + 1), T0 + n, LAST) for n in range(4)]
    assert entries == [PASS, PASS, PASS, LATER] and (g.room(T0 + 4), g.room(T0 + 4, True)) == (2, 0)
    cancel = request(action=Action.ACTION_CANCEL)
    assert [g.check(cancel, T0 + 10, LAST) for _ in range(3)] == [PASS, PASS, LATER]
    assert (g.room_at(T0 + 10), g.room_at(T0 + 10, True)) == (T0 + S, T0 + S + 2)
    assert g.check(cancel, T0 + S - 1, LAST) == LATER and g.check(cancel, T0 + S, LAST) == PASS
    assert g.as_sent(0)["entries"] == 1 and g.later == 3 and g.passed == 6
    g.spend(T0 + 5 * S)
    assert g.room(T0 + 5 * S) == 4


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400_000_000), st.booleans()), max_size=120), st.integers(2, 12), st.data())
def test_no_window_ever_holds_more_than_the_budget(steps, most, data):
    reserve = data.draw(st.integers(0, most - 1))
    g = guard(rate_max=most, rate_reserve=reserve, rate_window_s=1.0)
    now, sent = T0, []
    for n, (step, entry) in enumerate(steps):
        now += step
        asked = request(sequence=n + 1) if entry else request(action=Action.ACTION_CANCEL)
        room, at = g.room(now, entry), g.room_at(now, entry)
        verdict = g.check(asked, now, LAST)
        assert (verdict == PASS) == (room > 0) == (at == now) and verdict in (PASS, LATER)
        if verdict == PASS:
            assert sum(now - t < S for t in sent) < (most - reserve if entry else most)
            sent.append(now)


# ---- lowering, snapshots ----


def test_limits_go_down_only():
    g = guard(order_notional_max=1000.0, rate_max=10, rate_reserve=3)
    said = g.lower(
        {
            "order_notional_max": 500,
            "total_notional_max": 2e9,
            "rate_reserve": 2,
            "rate_max": 3,
            "collar": float("nan"),
            "nonsense": 1,
            "orders_per_minute_max": 2.5,
            "orders_per_signal_max": True,
            "entries_off": False,
        }
    )
    assert [line.split(":")[0] for line in said] == [
        "total_notional_max",
        "rate_reserve",
        "rate_max",
        "collar",
        "nonsense",
        "orders_per_minute_max",
        "orders_per_signal_max",
        "entries_off",
    ]
    wide = {name: value for name, value in WIDE.items() if name != "entry_age_s"}  # of the process, not of the trader: not reloaded
    assert g.limits_now == wide | {"order_notional_max": 500.0, "rate_max": 10, "rate_reserve": 3, "requests_per_bracket_max": 700}
    assert g.lower({"rate_max": 6, "rate_reserve": 5, "entries_off": True}) == [] and g.entries_off
    assert g.check(request(), T0, LAST) == refused(Reason.HALTED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order_notional_max", 0.0),
        ("collar", 1.5),
        ("rate_max", 0),
        ("rate_max", 257),
        ("rate_reserve", 10),
        ("orders_per_signal_max", 17),
        ("total_notional_max", float("inf")),
        ("rate_window_s", 0.0),
        ("entry_age_s", 0.0),
    ],
)
def test_bad_limits_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        guard(**({"rate_max": 10} | {name: value}))


def test_latches_survive():
    g, twin = guard(orders_per_signal_max=1, orders_per_minute_max=3), guard(orders_per_signal_max=1, orders_per_minute_max=3)
    g.check(request(qty=3), T0, LAST), g.check(request(attempt=1), T0 + 1, LAST), g.lower({"entries_off": True})
    twin.restore(g.snapshot())
    assert (twin.latched, twin.latched_ns, twin.entries_off, twin.as_sent(0)) == (Reason.RISK_PER_SIGNAL, T0 + 1, True, g.as_sent(0))
    assert twin.breach == g.breach == (Breach.BREACH_PER_SIGNAL, 0, 2, 1)
    twin.lift()
    twin.entries_off = False
    assert twin.check(request(attempt=2), T0 + 2, LAST) == refused(Reason.RISK_PER_SIGNAL)
    more = lc.Guard([*NAMES, lc.Instrument("D")])
    more.restore(g.snapshot())
    assert more.as_sent(0) == g.as_sent(0) and more.snapshot() != g.snapshot()
    for wrong, words in ((g.snapshot()[:-1], "guard snapshot: truncated"), (b"x", "guard snapshot: not one")):
        with pytest.raises(ValueError, match=words):
            twin.restore(wrong)


def test_latches_survive_another_list_of_contracts():
    """Symbols may be taken out, added and moved while nothing is open; a start must not fail for it, and what was sent stays with its contract."""
    limits = {"orders_per_signal_max": 1, "total_notional_max": 9000.0}
    g = guard(**limits)
    g.check(request(instrument=0, qty=2), T0, LAST), g.check(request(instrument=2, qty=4, sequence=5), T0, LAST)
    g.check(request(instrument=2, sequence=5, attempt=1), T0 + 1, LAST)
    other = lc.Guard([NAMES[2], lc.Instrument("D", tick_size="1", lot_size="1"), NAMES[0]], **(WIDE | limits))
    other.restore(g.snapshot())
    assert other.latched == Reason.RISK_PER_SIGNAL
    assert [other.as_sent(n) for n in range(3)] == [g.as_sent(2), {"sequence": 0, "entries": 0, "requests": 0, "notional": 0.0}, g.as_sent(0)]
    other.lift()
    assert other.check(request(instrument=0, sequence=5, attempt=2), T0 + 2, LAST) == refused(Reason.RISK_PER_SIGNAL)
    other.lift()
    assert other.check(request(instrument=1, qty=4), T0 + 2, LAST) == refused(Reason.RISK_EXPOSURE)  # 2000 and 4000 were sent
    less = lc.Guard(NAMES[1:2], **(WIDE | limits))
    less.restore(g.snapshot())
    assert less.latched == Reason.RISK_PER_SIGNAL and less.as_sent(0)["notional"] == 0.0
    twice = [lc.Instrument("A", venue=venue, tick_size="1", lot_size="1") for venue in "xy"]  # one symbol at two venues
    one, two = (lc.Guard(twice, **WIDE) for _ in range(2))
    one.check(request(instrument=1, qty=3), T0, LAST)
    two.restore(one.snapshot())
    assert [two.as_sent(n)["notional"] for n in range(2)] == [one.as_sent(n)["notional"] for n in range(2)] and two.as_sent(1)["notional"] > 0.0


# ---- the oracle ----


def random_request(draw: random.Random, sequences: list[int]):
    """Mostly what an engine would ask for, now and then what only a broken one would."""
    instrument, rare = draw.randrange(3), draw.random() < 0.05
    if draw.random() < 0.15 and sequences[instrument] < 200:
        sequences[instrument] += 1
    role = draw.choice([Role.ROLE_ENTRY] * 3 + [Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE])
    entry = role == Role.ROLE_ENTRY
    action = Action.ACTION_CREATE if entry and not rare else draw.choice(list(Action))
    market = {"price": 0, "type": OrderType.ORDER_MARKET, "sized": draw.choice([1000, 1000, 990, 0])}
    priced = market if entry and draw.random() < 0.3 else {"price": draw.choice([1000] * 8 + [985, 1010, 1020, 900])}
    return request(
        role,
        action,
        instrument=instrument,
        sequence=sequences[instrument] - (draw.random() < 0.03),
        attempt=draw.randrange(4),
        side=0 if rare and draw.random() < 0.1 else draw.choice([1, -1]),
        qty=draw.choice([1, 1, 2, 5, 10, 11] if entry else [1, 500]),
        flags=draw.choice([None] * 9 + [0, 2]) if rare else None,
        **priced,
    )


def test_guard_is_its_oracle():
    met, breaches = set(), set()
    for seed in range(150):
        draw, sequences = random.Random(seed), [1, 1, 1]
        limits = {
            "order_notional_max": 10_000.0,
            "total_notional_max": draw.choice([16_000.0, 60_000.0]),
            "collar": 0.02,
            "orders_per_minute_max": draw.choice([5, 12]),
            "orders_per_signal_max": draw.choice([2, 3]),
            "requests_per_bracket_max": draw.choice([6, 40]),
            "rate_max": draw.randrange(3, 9),
            "rate_reserve": 2,
            "entry_age_s": 3.0,
        }
        g, word, now = lc.Guard(NAMES, **limits), np.zeros(1, np.int64), T0
        twin = oracle.Guard(3, 1.0, limits | {"window": 1_050_000_000, "entry_age": 3 * S})
        g.watch(word.ctypes.data, word)
        for n in range(120):
            now += draw.choice([0, 1, 1, 300_000_000, 1_050_000_000, 2 * S, 20 * S, 60 * S])
            event = draw.choice(["lift"] * 12 + ["kill", "revive", "revive", "revive", "off", "on", "on", "on", "release", "restart"] + [""] * 10)
            if event in ("kill", "revive"):
                word[0] = twin.killed = event == "kill"
            elif event in ("off", "on"):
                g.entries_off = twin.entries_off = event == "off"
            elif event == "lift":
                g.lift()
                twin.latched, twin.breach = Reason.OK, "NONE"
            elif event == "release":
                g.release(0)
                twin.release(0)
            elif event == "restart":
                now += 2 * S  # longer than the budget's window, which is not part of a snapshot
                data, g = g.snapshot(), lc.Guard(NAMES, **limits)
                g.restore(data)
                g.watch(word.ctypes.data, word)
            asked, last = random_request(draw, sequences), draw.choice([LAST] * 20 + [0.0, 990.0, 991.0, 1010.0, 985.0])
            asked["ts"] = now - draw.choice([0] * 10 + [S, 3 * S, 3 * S + 1])
            expected = twin.check(asked, now, last)
            wanted = LATER if expected == oracle.LATER else PASS if expected == Reason.OK else refused(expected)
            assert g.check(asked, now, last) == wanted, f"{seed=} step {n}: {asked} after {event!r}"
            assert g.latched == twin.latched and (g.breach or [Breach.BREACH_NONE])[0].name == f"BREACH_{twin.breach}", f"{seed=} step {n}"
            met.add(expected)
            breaches.add(Breach[f"BREACH_{twin.breach}"])
    assert met == {
        Reason.OK,
        oracle.LATER,
        Reason.HALTED,
        Reason.NO_PRICE,
        Reason.RISK_COLLAR,
        Reason.RISK_NOTIONAL,
        Reason.RISK_GUARD,
        Reason.RISK_PER_SIGNAL,
        Reason.RISK_RATE,
        Reason.RISK_EXPOSURE,
        Reason.STALE_EVENT,
        Reason.STOP_PASSED,
    }
    assert breaches >= set(Breach) - {Breach.BREACH_NO_STOP, Breach.BREACH_STOP_SIDE, Breach.BREACH_ADDRESS}


@both
def test_an_entry_decided_long_ago_does_not_leave_but_an_exit_does(side):
    """A process that stood still serves deadlines at their own, past moments: what it wants to enter then is old."""
    g = guard(entry_age_s=2.0)
    late, close = request(side=side), request(Role.ROLE_CLOSE, side=-side, price=0, type=OrderType.ORDER_MARKET)
    late["ts"] = close["ts"] = T0
    assert g.check(late, T0 + 2 * S + 1, LAST) == refused(Reason.STALE_EVENT) and not g.latched
    assert g.check(close, T0 + 60 * S, LAST) == PASS
    fresh = request(side=side, sequence=2)
    fresh["ts"] = T0 + 60 * S
    assert g.check(fresh, T0 + 61 * S, LAST) == PASS
