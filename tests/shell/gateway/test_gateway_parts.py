"""The gateway's parts alone: budgets, epochs, the table of requests, translation."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqcore as lc
from liqcore.event import FillReason, OrderStatus, Reason, Role
from liqshell.gateway.budget import QUEUE_MAX, Budget, Urgency
from liqshell.gateway.events import execution_number, fill_event, instrument_of, order_number, role_of, sequence_of, state_event
from liqshell.gateway.executions import Epochs
from liqshell.gateway.inflight import FLIGHTS_MAX, Flight, Flights
from liqshell.gateway.settings import Settings
from liqshell.venues.effects import Answer, Call
from liqshell.venues.order_port import Ask
from liqshell.venues.reports import Execution, OrderState, Standing

S = lc.SECOND


def budget(**rates: float) -> tuple[Budget, list[Call]]:
    calls: list[Call] = []
    return Budget(calls.append, {"query": 10.0, "order": 10.0} | rates, S, 5.0), calls


def ask(weight: str = "order", path: str = "/x") -> Ask:
    return Ask("GET", path, weight=weight)


@given(st.lists(st.tuples(st.sampled_from(list(Urgency)), st.integers(0, S // 2)), max_size=60))
def test_never_more_in_a_second_than_is_allowed(wishes):
    b, calls = budget()
    times: list[int] = []
    now = 0
    for urgency, pause in wishes:
        now += pause
        b.submit(ask(), lambda answer: None, now, urgency)
        times += [now] * (len(calls) - len(times))
    while (due := b.due(now)) is not None:
        assert due > now
        now = due
        b.pump(now)
        times += [now] * (len(calls) - len(times))
    assert len(calls) == len(wishes) and all(sum(t - S < u <= t for u in times) <= 10 for t in times)


def test_what_protects_goes_first_and_may_use_what_entries_may_not():
    b, calls = budget()
    for n in range(10):
        b.submit(ask(path=f"/enter{n}"), lambda answer: None, 0, Urgency.ENTER)
    assert len(calls) == 5
    for n in range(5):
        b.submit(ask(path=f"/save{n}"), lambda answer: None, 0, Urgency.SAVE)
    assert [call.path for call in calls[5:]] == [f"/save{n}" for n in range(5)]
    b.pump(S + 1)
    assert len(calls) == 15


def test_a_full_queue_drops_and_says_so():
    b, calls = budget(order=1.0)
    dropped = []
    b.block(100 * S)
    for n in range(QUEUE_MAX + 3):
        b.submit(ask(), lambda answer: None, 0, on_dropped=lambda n=n: dropped.append(n))
    assert not calls and dropped == [QUEUE_MAX, QUEUE_MAX + 1, QUEUE_MAX + 2] and b.waiting == QUEUE_MAX


def test_in_a_full_queue_what_protects_takes_the_place_of_what_only_watches():
    """A thousand questions of a start, held up by a block, left no place for a stop."""
    b, calls = budget(order=1.0)
    dropped = []
    b.block(100 * S)
    for n in range(QUEUE_MAX):
        b.submit(ask(), lambda answer: None, 0, Urgency.WATCH if n else Urgency.ASK, on_dropped=lambda n=n: dropped.append(n))
    for n in (-1, -2):
        b.submit(ask(path="/stop"), lambda answer: None, 0, Urgency.SAVE, on_dropped=lambda n=n: dropped.append(n))
    assert dropped == [QUEUE_MAX - 1, QUEUE_MAX - 2] and b.waiting == QUEUE_MAX
    b.pump(101 * S)
    assert [call.path for call in calls] == ["/stop"]


def test_what_is_no_longer_wanted_or_too_late_is_not_sent():
    b, calls = budget()
    dropped = []
    b.block(S)
    b.submit(ask(), lambda answer: None, 0, until=S // 2, on_dropped=lambda: dropped.append("late"))
    b.submit(ask(), lambda answer: None, 0, wanted=lambda: False, on_dropped=lambda: dropped.append("unwanted"))
    b.pump(2 * S)
    assert not calls and sorted(dropped) == ["late", "unwanted"]


def test_an_answer_is_handled_once_and_a_lost_call_is_given_up():
    b, calls = budget()
    got: list[Answer] = []
    b.submit(ask(), got.append, 0)
    assert b.answered(calls[0]) is not None and b.answered(calls[0]) is None
    b.submit(ask(), got.append, S)
    assert b.given_up(S) == [] and len(b.given_up(2 * S)) == 1 and b.answered(calls[1]) is None


def test_one_request_tries_whether_a_ban_is_over():
    b, calls = budget()
    for _ in range(3):
        b.submit(ask(), lambda answer: None, 0)
    for call in calls[:]:
        b.answered(call)
        b.ban(0)  # those on their way when it began count once
    for _ in range(3):
        b.submit(ask(), lambda answer: None, S)
    assert len(calls) == 3 and b.blocked_until(S) == 30 * S
    b.pump(31 * S)
    assert len(calls) == 4
    b.answered(calls[3])
    b.ban(31 * S)
    assert b.blocked_until(31 * S) == 91 * S
    b.pump(92 * S)
    b.answered(calls[4])
    b.unban()
    b.pump(92 * S)
    assert len(calls) == 6


def test_to_which_bracket_a_time_belongs():
    e = Epochs()
    assert e.at(0, 5, 7) == 7  # nothing is known: the present one
    e.opened(0, 1, 1_000)
    e.executed(0, 1, 5_000, 1)  # its last execution
    e.opened(0, 2, 4_000)  # by our clock, which may be wrong
    assert [e.at(0, t, 2) for t in (999, 1_000, 5_000, 5_001)] == [-1, 1, 1, 2]
    e.refine(0, 2, 6_000)
    assert e.at(0, 5_500, 2) == 1 and e.at(0, 6_000, 2) == 2 and e.first_ms(0) == 6_000
    e.refine(0, 2, 5_900)  # never earlier
    e.refine(0, 1, 9_000)  # nor another one's
    assert e.first_ms(0) == 6_000
    e.executed(1, 3, 8_000, 3)  # its own executions do not delay an epoch that is learnt of after them
    e.opened(1, 3, 7_000)
    assert e.first_ms(1) == 7_000
    e.opened(2, 4, 9_000)  # by the time of its latest question, which came after its entry was filled
    e.executed(2, 4, 8_000, 4)
    assert e.first_ms(2) == 8_000 and e.at(2, 8_500, 4) == 4


def test_the_table_of_requests_is_bounded():
    f = Flights()
    for n in range(FLIGHTS_MAX + 10):
        f.add(Flight(n, 1, 0, None, 0, 0))
    assert len(f) == FLIGHTS_MAX and f.get(9, 1) is None and f.get(10, 1) is not None and f.get(FLIGHTS_MAX, 1) is not None
    again = Flight(FLIGHTS_MAX, 1, 5, None, 0, 0)
    assert f.add(again) is not None and len(f) == FLIGHTS_MAX
    f.drop(Flight(FLIGHTS_MAX, 1, 0, None, 0, 0))  # an older one of the same name
    assert f.get(FLIGHTS_MAX, 1) is again


@given(st.integers(0, 1000), st.integers(0, 2**28 - 1), st.sampled_from(list(Role)))
def test_numbers(instrument, sequence, role):
    number = order_number(instrument, sequence, role)
    assert (instrument_of(number), sequence_of(number), role_of(number)) == (instrument, sequence, role)


@given(st.text(min_size=1, max_size=60))
def test_execution_numbers_fit_a_double(text):
    number = execution_number(text)
    assert 0 <= number < 2**53 and int(float(number)) == number and number == execution_number(text)


def _execution(**over) -> Execution:
    return Execution(
        **(
            {
                "id": "e",
                "order_id": "o",
                "link_id": "",
                "symbol": "X",
                "side": 1,
                "price": 10.0,
                "qty": 2.0,
                "fee": 0.01,
                "maker": False,
                "kind": "Trade",
                "stop_kind": "",
                "creator": "",
                "sequence": 1,
                "ts_ms": 5,
            }
            | over
        )
    )


@pytest.mark.parametrize(
    ("role", "maker", "end", "code"),
    [
        (Role.ROLE_ENTRY, True, 0, FillReason.FILL_THROUGH),
        (Role.ROLE_ENTRY, False, 0, FillReason.FILL_CROSS),
        (Role.ROLE_STOP, False, 0, FillReason.FILL_STOP),
        (Role.ROLE_CLOSE, False, Reason.END_MAX_HOLD, FillReason.FILL_TIMEOUT),
        (Role.ROLE_CLOSE, False, Reason.END_PHASE, FillReason.FILL_CLOSE),
        (Role.ROLE_LIQUIDATION, False, 0, FillReason.FILL_LIQUIDATED),
    ],
)
def test_why_an_execution_happened(role, maker, end, code):
    event = SimpleNamespace(**dict(zip(lc.EVENT_DTYPE.names, fill_event(9, order_number(3, 4, role), _execution(maker=maker), end), strict=True)))
    assert (event.code, event.flags, event.instrument, event.ts_event, event.ts_recv) == (code, int(maker), 3, 5_000_000, 9)
    assert (event.price, event.qty, event.aux_price) == (10.0, 2.0, 0.01)


@pytest.mark.parametrize(
    ("standing", "created", "status"),
    [
        (Standing.LIVE, True, OrderStatus.ORDER_NEW),
        (Standing.FILLED, True, OrderStatus.ORDER_DONE),
        (Standing.CANCELLED, False, OrderStatus.ORDER_CANCELLED),
        (Standing.REJECTED, False, OrderStatus.ORDER_REJECTED),
        (Standing.REJECTED, True, OrderStatus.ORDER_CANCELLED),
    ],
)
def test_what_is_said_of_an_order(standing, created, status):
    state = OrderState("o", "l", "X", 1, standing, False, 10.0, 5.0, 2.0, False, "", 0.0, 0.0, "", "", "", 0, 1, 2)
    event = SimpleNamespace(**dict(zip(lc.EVENT_DTYPE.names, state_event(9, 4097, state, Reason.END_VENUE, created=created), strict=True)))
    assert (event.code, event.qty, event.aux_qty, event.ts_event) == (status, 3.0, 2.0, 2_000_000)
    assert event.flags == (0 if standing in (Standing.LIVE, Standing.FILLED) else Reason.END_VENUE)


@pytest.mark.parametrize("pause", [lambda s, n: s.timeout_s(n), lambda s, n: s.again_ns(n)])
def test_a_question_may_be_asked_for_days(pause):
    """The 1,500th try raised OverflowError, and with it the loop that serves the gateway."""
    found = [pause(Settings("abcdefgh", "name"), tries) for tries in (0, 1, 5, 100, 1_500, 10_000_000)]
    assert found == sorted(found) and found[-1] == found[-2] > 0
