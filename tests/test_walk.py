"""The law of the walk: whatever the market, the policy and the venue are, skipping equals stepping, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liqcore.event import Kind
from markets import EAGER, START, Fade, instruments, market, paper

from liqcore import EVENT_DTYPE, SECOND, AuditKind, CascadeConfig, Phase, Tape, Walk


def drained(desk) -> bytes:
    assert desk.engine.audit.lost == 0
    return desk.engine.audit.drain().tobytes()


def stepped(desk, events: np.ndarray, until: int | None = None) -> bytes:
    """The audit stream of the slow path."""
    out = b""
    for piece in np.array_split(events if until is None else events[events["ts_recv"] <= until], max(1, len(events) // 400)):
        desk.run(piece)
        out += drained(desk)
    if until is not None:
        desk.advance(until)
    return out + drained(desk)


def walked(walk: Walk, until: int | None = None) -> bytes:
    out = b""
    while not walk.run(until):
        out += drained(walk.paper)
    return out + drained(walk.paper)


def same_run(tape: Tape, make, until: int | None = None) -> tuple[bytes, Walk]:
    slow, fast = make(), make()
    expected = stepped(slow, tape.events(), until)
    walk = Walk(fast, tape)
    actual = walked(walk, until)
    if actual != expected:
        from liqcore import AUDIT_DTYPE

        a, b = np.frombuffer(actual, AUDIT_DTYPE), np.frombuffer(expected, AUDIT_DTYPE)
        n = next((k for k in range(min(len(a), len(b))) if a[k].tobytes() != b[k].tobytes()), min(len(a), len(b)))
        raise AssertionError(f"record {n}: walked {a[n:n + 3]}, stepped {b[n:n + 3]}")
    assert fast.snapshot() == slow.snapshot()
    return actual, walk


def kinds(stream: bytes) -> np.ndarray:
    from liqcore import AUDIT_DTYPE

    return np.bincount(np.frombuffer(stream, AUDIT_DTYPE)["kind"], minlength=32)


BRACKETS = st.fixed_dictionaries({}, optional={
    "trail": st.sampled_from([0.0003, 0.001, 0.004]), "entry_offset": st.sampled_from([0.0, 0.0002, 0.002]), "stop_loss": st.sampled_from([0.0004, 0.002, 0.02]),
    "take_profit": st.sampled_from([0.0, 0.0003, 0.003]), "requotes": st.integers(1, 2), "exit_phase": st.sampled_from([Phase.DECELERATING, Phase.EXHAUSTED]),
    "entry": st.just("market"), "entry_ttl_s": st.sampled_from([0.5, 20.0, 600.0]), "max_hold_s": st.sampled_from([1.0, 60.0, 3600.0]),
    "cooldown_s": st.sampled_from([0.0, 30.0])})
LATENCIES = st.sampled_from([0.0, 1e-9, 0.05, 0.7])
VENUES = st.fixed_dictionaries({"fills": st.sampled_from(["through", "touch", "queue"]), "taker": st.sampled_from(["next", "walk"]),
                                "order_latency_s": LATENCIES, "ack_latency_s": LATENCIES, "leverage": st.sampled_from([0.0, 0.0, 50.0, 150.0]),
                                "funding_interval_s": st.sampled_from([0.0, 60.0, 28800.0])})
MARKETS = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 1500), st.integers(1, 3), st.booleans(), st.booleans(), st.booleans())


def tape_of(case) -> Tape:
    seed, count, size, feed, ties, tickers = case
    events = market(seed, count, size, feed=feed)
    if ties:
        events["ts_recv"] -= events["ts_recv"] % (SECOND // 2)
    if not tickers:
        events = events[events["kind"] != Kind.TICKER]
    return Tape.of(instruments(size), events[events["ts_recv"] >= START])


@settings(deadline=None, max_examples=400)
@given(MARKETS, BRACKETS, VENUES)
def test_skipping_equals_stepping(case, bracket, venue):
    tape = tape_of(case)
    same_run(tape, lambda: paper(Fade(**bracket), size=case[2], **venue))


@settings(deadline=None, max_examples=100)
@given(MARKETS, BRACKETS, VENUES, st.lists(st.integers(-5, 1600), max_size=5))
def test_interrupted_anywhere(case, bracket, venue, cuts):
    """run(until) is Paper.run of what was received by then and Paper.advance(until), however often; the Paper is whole at each stop."""
    tape = tape_of(case)
    slow, fast = (paper(Fade(**bracket), size=case[2], **venue) for _ in range(2))
    events, walk, done = tape.events(), Walk(fast, tape), START - 10 * SECOND
    for cut in sorted(START + cut * (SECOND // 2) for cut in cuts):
        assert walked(walk, cut) == stepped(slow, events[(events["ts_recv"] > done)], cut)
        assert fast.snapshot() == slow.snapshot()
        done = cut
    assert walked(walk) == stepped(slow, events[events["ts_recv"] > done])
    assert fast.snapshot() == slow.snapshot()
    assert walked(walk, tape.end + 5000 * SECOND) == stepped(slow, events[:0], tape.end + 5000 * SECOND)
    assert fast.snapshot() == slow.snapshot()
