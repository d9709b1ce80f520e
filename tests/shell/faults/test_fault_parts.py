"""The fault simulator's own parts: a judge that sees nothing, or a network that loses nothing, would prove nothing."""

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from faults import market, script
from faults.clock import MS, NS, Clock
from faults.network import Connection, Network, Weather
from faults.script import Script
from faults.shrink import shrink
from faults.trace import Trace
from faults.truth import Broken, Caps, Truth
from faults.world import World

import liqcore as lc

RUN = "sim00000000"


# ---- time and wires ----


def test_the_clock_serves_in_order_of_time_then_of_asking_and_what_is_called_off_never_comes():
    clock, seen = Clock(100), []
    clock.at(300, seen.append, "c")
    clock.at(200, seen.append, "a")
    clock.at(200, seen.append, "b")
    gone = clock.at(250, seen.append, "never")
    clock.call_off(gone)
    clock.at(200, lambda: clock.after(0, seen.append, "now"))
    clock.at(900, seen.append, "too late")
    clock.run(400)
    assert seen == ["a", "b", "now", "c"] and clock.now == 400


def a_wire(loss: float = 0.0, seed: int = 1) -> tuple[Clock, Connection, list]:
    clock, got = Clock(0), []
    wire = Connection("private", 1, clock, Weather(3 * MS, 2 * MS, loss), Random(seed))
    wire.on_client = lambda frame: got.append((clock.now, frame))
    return clock, wire, got


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_connection_keeps_the_order_and_loss_is_only_delay(loss):
    clock, wire, got = a_wire(loss)
    for n in range(200):
        clock.at(n * MS, wire.to_client, n)
    clock.run(60 * NS)
    assert [frame for _, frame in got] == list(range(200))
    times = [at for at, _ in got]
    assert times == sorted(times) and all(at - n * MS >= 3 * MS for n, at in enumerate(times))
    assert (max(at - n * MS for n, at in enumerate(times)) > 200 * MS) == (loss > 0)


def test_what_is_on_its_way_when_a_connection_dies_is_lost_and_both_sides_learn_of_it():
    clock, wire, got = a_wire()
    told = []
    wire.on_lost, wire.on_gone = lambda: told.append("client"), lambda: told.append("server")
    wire.to_client(b"lost")
    clock.at(1, wire.die)
    clock.run(NS)
    assert got == [] and told == ["server", "client"]
    wire.to_client(b"dead")
    clock.run(2 * NS)
    assert got == []


def test_a_hole_swallows_and_a_stall_holds_back():
    clock, wire, got = a_wire()
    wire.stall_until = 5 * NS
    wire.to_client(b"held")
    clock.run(4 * NS)
    assert got == []
    clock.run(6 * NS)
    assert [frame for _, frame in got] == [b"held"] and got[0][0] >= 5 * NS
    wire.hole_down = True
    wire.to_client(b"swallowed")
    clock.run(10 * NS)
    assert len(got) == 1 and wire.alive


@pytest.mark.parametrize("up, down, acted, statuses", [(0.0, 0.0, 1, [200]), (1.0, 0.0, 0, [0]), (0.0, 1.0, 1, [0])])
def test_a_rest_call_is_answered_exactly_once_whatever_is_lost(up, down, acted, statuses):
    clock = Clock(0)
    network = Network(clock, 1, Trace(0), Weather())
    network.rest_lost_up, network.rest_lost_down = up, down
    asked, got = [], []

    def ask(reply):
        asked.append(1)
        reply(200, b"{}", {})
        reply(200, b"twice", {})

    network.rest(ask, 5.0, lambda status, body, headers, why: got.append(status))
    clock.run(20 * NS)
    assert len(asked) == acted and got == statuses


# ---- the market and the scripts ----


def test_the_market_is_a_function_of_its_seed_and_good_data():
    one, two, other = market.hour(7, 0, 3), market.hour(7, 0, 3), market.hour(8, 0, 3)
    assert one.rows.tobytes() == two.rows.tobytes() != other.rows.tobytes()
    assert (np.diff(one.rows["ts_event"]) >= 0).all() and one.times == sorted(set(one.times)) and one.starts[-1] == len(one.rows)
    engine = lc.Engine(market.SYMBOLS[:3], lc.CascadeConfig(warmup=20, quantile=0.9, window_events=100, window_s=20.0, decay_s=5.0))
    signals = engine.run(one.rows)
    assert not engine.refused and len({(s.instrument, s.sequence) for s in signals if s.phase == lc.Phase.ACTIVE}) >= 4
    assert {int(s.side) for n in range(3) for s in engine.run(market.hour(7, n + 1, 3, start_ns=market.HOUR_NS).rows)} == {1, -1}


def test_a_script_is_a_function_of_its_seed_and_survives_json():
    one = script.draw(5, 2.0)
    assert one == script.draw(5, 2.0) != script.draw(6, 2.0) and Script.of_json(one.to_json()) == one
    kinds = {fault.kind for seed in range(40) for fault in script.draw(seed, 2.0).faults}
    assert kinds == set(script.KINDS) | set(script.LATER)
    assert not any(fault.kind in script.LATER for seed in (600, 912, 1417, 2441) for fault in script.draw(seed, 4.0).faults)
    assert {kill.effect for seed in range(60) for kill in script.draw(seed, 2.0).kills} == set(script.EFFECTS)


def test_shrinking_finds_the_two_events_that_matter_and_cuts_the_time():
    whole = script.draw(11, 2.0)
    whole.faults[3].kind, whole.faults[3].at_s = "reset", 1000.0
    needed_kill = replace(whole.kills[0], at_s=900.0, pause_s=77.0)
    whole.kills[0] = needed_kill

    def fails(candidate):
        found = [f for f in candidate.faults if f.kind == "reset" and f.at_s == 1000.0]
        return 1200.0 if found and needed_kill in candidate.kills and candidate.hours * 3600 >= 1200 else None

    small, tries = shrink(whole, fails)
    assert [f.at_s for f in small.faults] == [1000.0] and small.kills == [needed_kill] and small.hours < 0.34 and tries < 200
    with pytest.raises(ValueError, match="does not fail"):
        shrink(whole, lambda candidate: None)


# ---- the judge ----


def link(role: int, sequence: int = 1, attempt: int = 0, instrument: int = 0) -> str:
    return f"{RUN}-{(instrument << 40) | (sequence << 12) | (attempt << 4) | role:x}"


def position(qty: float, stop_loss: float = 0.0, stop_qty: float = 0.0, entry: float = 2000.0) -> dict:
    return {"qty": qty, "entry": entry, "stop_loss": stop_loss, "take_profit": 0.0, "trailing": 0.0, "stop_qty": stop_qty}


def order(role: int, left: float = 0.1, price: float = 2000.0, symbol: str = "ETHUSDT", side: int = 1, reduce_only: bool = False, **over) -> dict:
    made = {
        "order_id": "x",
        "link_id": link(role),
        "symbol": symbol,
        "idx": 0,
        "side": side,
        "qty": left,
        "left": left,
        "price": price,
        "trigger": 0.0,
        "reduce_only": reduce_only,
        "status": "New",
        "kind": "",
    }
    return made | over


class Judge:
    """A Truth before books that the test writes."""

    def __init__(self, able_since: int | None = 0):
        self.clock, self.able_since = Clock(0), able_since
        self.positions, self.orders = {}, []
        self.truth = Truth(
            self.clock,
            Trace(0),
            Caps(1200.0, 2500.0, 2, 3, 2),
            lambda: {"positions": self.positions, "orders": self.orders},
            "sim",
            lambda: self.able_since,
        )

    def hold(self, *args, **options):
        self.positions = {("ETHUSDT", 0): position(*args, **options)}
        self.truth.look()

    def law(self, seconds: float = 0.0) -> str:
        with pytest.raises(Broken) as broken:
            self.clock.run(self.clock.now + int(seconds * NS))
            self.truth.look()
        return broken.value.violation.law


@pytest.mark.parametrize("qty", [0.1, -0.1])
def test_a_position_without_a_stop_is_seen_after_two_seconds(qty):
    judge = Judge()
    judge.hold(qty)
    judge.clock.run(int(1.99 * NS))
    assert judge.law(0.1) == "protected"


@pytest.mark.parametrize("qty", [0.1, -0.1])
@pytest.mark.parametrize("stop_loss, stop_qty", [(1990.0, 0.0), (0.0, 0.1)])
def test_a_covered_position_is_none_and_a_stop_for_less_than_all_of_it_is(qty, stop_loss, stop_qty):
    judge = Judge()
    judge.hold(qty, stop_loss, stop_qty)
    judge.clock.run(60 * NS)
    judge.truth.look()
    judge.hold(2 * qty, 0.0, 0.1)
    assert judge.law(2.1) == "protected"


def test_a_position_that_is_covered_in_time_and_one_that_is_being_closed_are_good():
    judge = Judge()
    judge.hold(0.1)
    judge.clock.run(NS)
    judge.hold(0.1, 1990.0)
    judge.clock.run(10 * NS)
    assert judge.truth.worst_naked_ns == NS
    judge.orders = [order(4, price=0.0, side=-1, reduce_only=True)]
    judge.hold(0.1)
    judge.clock.run(20 * NS)
    judge.truth.look()


def test_a_stop_that_was_taken_away_counts_from_when_that_can_be_known():
    judge = Judge(able_since=None)
    judge.truth.strip("ETHUSDT", NS)
    judge.hold(0.1)
    judge.clock.run(60 * NS)
    judge.able_since = 60 * NS
    judge.clock.run(69 * NS)
    assert judge.law(3.0) == "protected"
    judge = Judge(able_since=0)
    judge.truth.strip("ETHUSDT", NS)
    judge.hold(0.1)
    assert judge.law(2.1) == "protected"


def test_a_stop_that_was_triggered_in_vain_counts_from_when_somebody_is_there():
    """The venue cancels what it cannot execute within its slippage: nobody can mend that who is not alive. Who is, has the two seconds."""
    spent = {"symbol": "ETHUSDT", "stopOrderType": "StopLoss", "orderStatus": "Cancelled", "rejectReason": "EC_NoImmediateQtyToFill"}
    for able_since, row, later in (
        (None, spent, True),
        (0, spent, False),
        (None, spent | {"symbol": "SOLUSDT"}, False),
        (None, spent | {"rejectReason": "EC_PerCancelRequest"}, False),
    ):
        judge = Judge(able_since)
        judge.truth.stop_ordered(row)
        judge.hold(0.1)
        if later:
            judge.clock.run(60 * NS)
            judge.able_since = 60 * NS
            judge.clock.run(69 * NS)
        assert judge.law(2.1) == "protected"
    judge = Judge(None)
    judge.truth.stop_ordered(spent)
    judge.clock.run(NS)
    judge.hold(0.1)  # that was another stop's position: this one is naked for a reason of its own
    assert judge.law(2.1) == "protected"


@pytest.mark.parametrize("qty", [0.1, -0.1])
def test_a_stop_far_away_is_none(qty):
    side = 1 if qty > 0 else -1
    judge = Judge()
    judge.hold(qty, 2000.0 * (1 - 0.05 * side))
    judge.positions = {("ETHUSDT", 0): position(qty, 2000.0 * (1 - 0.07 * side))}
    assert judge.law() == "protected"


def test_market_entries_are_judged_by_what_they_filled():
    """The venue never calls them New."""
    row = {"orderLinkId": link(1), "orderType": "Market", "orderStatus": "Filled", "qty": "0.7", "price": "1500", "avgPrice": "2000"}
    for status in ("Filled", "PartiallyFilled"):
        with pytest.raises(Broken, match="an entry of 1400"):
            Judge().truth.ordered(row | {"orderStatus": status})
    judge = Judge()
    judge.truth.executed({"execId": "a", "orderLinkId": link(1), "execQty": "0.3", "execPrice": "2000", "symbol": "ETHUSDT"})
    with pytest.raises(Broken, match="approved were 0.2"):
        judge.truth.ordered(row | {"qty": "0.2"})


def test_how_long_something_is_held_or_rests_is_counted_from_its_beginning():
    judge = Judge()
    judge.hold(0.1, 1990.0)
    judge.clock.now = 5 * NS
    judge.orders = [order(1), order(3, reduce_only=True)]
    judge.hold(0.2, 1990.0)
    assert judge.truth.since == {("ETHUSDT", "long"): 0, ("ETHUSDT", link(1)): 5 * NS}
    judge.orders = []
    judge.hold(-0.2, 2010.0)
    assert judge.truth.since == {("ETHUSDT", "short"): 5 * NS}


@pytest.mark.parametrize(
    "orders",
    [
        [order(1), order(1)],
        [order(3, reduce_only=True), order(3, reduce_only=True, link_id=link(3, attempt=1))],
        [order(1), order(1, link_id=link(1, sequence=2))],
    ],
)
def test_two_live_orders_of_one_role_are_seen(orders):
    judge = Judge()
    judge.orders = orders
    assert judge.law() == "duplicate"


def test_one_of_each_role_and_orders_of_others_are_good():
    judge = Judge()
    judge.orders = [
        order(1),
        order(3, reduce_only=True),
        order(4, reduce_only=True),
        order(1, symbol="SOLUSDT", link_id=link(1, instrument=1), price=1.0),
        order(1, reduce_only=True, link_id="somebody"),
        order(1, reduce_only=True, link_id="somebody"),
    ]
    judge.truth.look()


@pytest.mark.parametrize(
    "positions, orders",
    [
        ({("ETHUSDT", 0): position(1.0, 1990.0), ("SOLUSDT", 0): position(10.0, 98.0, entry=100.0)}, []),
        ({}, [order(1, left=1.4, price=2000.0)]),
        ({("A", 0): position(0.1, 1990.0), ("B", 0): position(-0.1, 2010.0)}, [order(1, left=0.1, symbol="C")]),
    ],
)
def test_exposure_and_the_number_of_positions_are_counted_at_the_venue(positions, orders):
    judge = Judge()
    judge.positions, judge.orders = positions, orders
    assert judge.law() == "limits"


def test_entries_a_minute_and_entries_of_one_signal_are_counted_where_they_leave():
    judge = Judge()
    for n in range(3):
        judge.clock.now = n * NS
        judge.truth.entry_leaves(link(1, sequence=n))
    judge.clock.now = 59 * NS
    with pytest.raises(Broken, match="within a minute"):
        judge.truth.entry_leaves(link(1, sequence=9))
    judge = Judge()
    for n in range(2):
        judge.truth.entry_leaves(link(1, attempt=n))
    with pytest.raises(Broken, match="for one signal"):
        judge.truth.entry_leaves(link(1, attempt=2))


def test_a_create_that_reaches_the_venue_twice_is_seen():
    judge = Judge()
    judge.truth.create_arrives({"orderLinkId": link(1)})
    judge.truth.create_arrives({"orderLinkId": link(1, attempt=1)})
    with pytest.raises(Broken, match="2 times"):
        judge.truth.create_arrives({"orderLinkId": link(1)})


def test_more_filled_than_approved_is_seen_and_an_execution_told_twice_counts_once():
    judge = Judge()
    judge.truth.entry_accepted(link(1), 0.3, 2000.0)
    row = {"execId": "a", "orderLinkId": link(1), "execQty": "0.2", "execPrice": "2000"}
    judge.truth.executed(row)
    judge.truth.executed(row)
    with pytest.raises(Broken, match="approved were 0.3"):
        judge.truth.executed(row | {"execId": "b", "orderLinkId": link(1, attempt=1)})
    with pytest.raises(Broken, match="an entry of 1400"):
        judge.truth.entry_accepted(link(1, sequence=5), 0.7, 2000.0)


def test_faults_have_options_that_the_emulator_takes():
    from faults.venue import FIELDS

    from liqshell.emulator.api.faults import Fault as Emulated

    for seed in range(30):
        for fault in script.draw(seed, 2.0).faults:
            if script.ALL[fault.kind].layer == "venue":
                Emulated.of(
                    {"kind": "error" if fault.kind == "rights" else fault.kind, "duration_s": fault.duration_s}
                    | {k: v for k, v in fault.options.items() if k in FIELDS}
                )


@pytest.mark.parametrize(("banned_s", "readmitted_s", "expected_s"), [(0, 0, 50), (100, 0, None), (0, 120, 120)])
def test_a_program_that_the_venue_keeps_away_cannot_ask_for_what_it_did_not_hear(banned_s, readmitted_s, expected_s):
    link = SimpleNamespace(alive=True)
    process = SimpleNamespace(
        alive=True,
        links={1: link},
        gateway=SimpleNamespace(orders_ready=True),
        up_ns=50 * NS,
        banned_ns=banned_s * NS,
        readmitted_ns=readmitted_s * NS,
    )
    world = SimpleNamespace(process=process, disturbed_ns=0, born_ns=0, clock=SimpleNamespace(now=130 * NS))
    assert World.able_since(world) == (None if expected_s is None else expected_s * NS)
    world.clock.now = 1_000 * NS  # ten minutes are the longest that a ban excuses
    assert World.able_since(world) is not None
