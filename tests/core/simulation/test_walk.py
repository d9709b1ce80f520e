"""The law of the walk: whatever the market, the policy and the venue are, skipping equals stepping, byte for byte."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import ABSENT, DATA
from liqcore import (
    AUDIT_DTYPE,
    EVENT_DTYPE,
    SECOND,
    AuditKind,
    Bracket,
    CascadeConfig,
    Engine,
    Instrument,
    Latency,
    Paper,
    Phase,
    Reason,
    Risk,
    Role,
    SimVenue,
    Tape,
    TapeBuilder,
    Walk,
)
from liqcore.event import Kind
from markets import EAGER, START, Fade, instruments, market, paper

pytestmark = pytest.mark.core


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
        a, b = np.frombuffer(actual, AUDIT_DTYPE), np.frombuffer(expected, AUDIT_DTYPE)
        n = next((k for k in range(min(len(a), len(b))) if a[k].tobytes() != b[k].tobytes()), min(len(a), len(b)))
        raise AssertionError(f"record {n}: walked {a[n : n + 3]}, stepped {b[n : n + 3]}")
    assert fast.snapshot() == slow.snapshot()
    return actual, walk


def kinds(stream: bytes) -> np.ndarray:
    return np.bincount(np.frombuffer(stream, AUDIT_DTYPE)["kind"], minlength=32)


BRACKETS = st.fixed_dictionaries(
    {},
    optional={
        "trail": st.sampled_from([0.0003, 0.001, 0.004]),
        "entry_offset": st.sampled_from([0.0, 0.0002, 0.002]),
        "stop_loss": st.sampled_from([0.0004, 0.002, 0.02]),
        "take_profit": st.sampled_from([0.0, 0.0003, 0.003]),
        "requotes": st.integers(1, 2),
        "exit_phase": st.sampled_from([Phase.DECELERATING, Phase.EXHAUSTED]),
        "entry": st.just("market"),
        "entry_ttl_s": st.sampled_from([0.5, 20.0, 600.0]),
        "max_hold_s": st.sampled_from([1.0, 60.0, 3600.0]),
        "cooldown_s": st.sampled_from([0.0, 30.0]),
    },
)
LATENCIES = st.sampled_from([0.0, 1e-9, 0.05, 0.7])
DRAWN = Latency(order_samples=np.array([0.0, 0.004, 0.3, 2.0]), ack_samples=np.array([0.0, 0.01, 1.5]), seed=5)
VENUES = st.fixed_dictionaries(
    {
        "fills": st.sampled_from(["through", "touch", "queue"]),
        "taker": st.sampled_from(["next", "walk"]),
        "order_latency_s": LATENCIES,
        "ack_latency_s": LATENCIES,
        "hidden": st.sampled_from(["none", "wait"]),
        "latency": st.sampled_from([None, None, DRAWN]),
        "leverage": st.sampled_from([0.0, 0.0, 50.0, 150.0]),
        "funding_interval_s": st.sampled_from([0.0, 60.0, 28800.0]),
        "print_wait_s": st.sampled_from([0.01, 1.0, 5.0]),
        "half_spread": st.sampled_from([None, None, 0.0, 0.0003]),
    }
)
MARKETS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 1500),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.01, 2.0, 10.0]),
)
AGES = st.sampled_from([0.2, 3.0, 10.0, 1e6])


def tape_of(case) -> Tape:
    seed, count, size, feed, ties, tickers, *spread = case
    events = market(seed, count, size, feed=feed, masks=feed, spread=spread[0] if spread else 0.01)
    if ties:
        events["ts_recv"] -= events["ts_recv"] % (SECOND // 2)
    if not tickers:
        events = events[events["kind"] != Kind.TICKER]
    return Tape.of(instruments(size), events[events["ts_recv"] >= START])


@settings(deadline=None, max_examples=400)
@given(MARKETS, BRACKETS, VENUES, AGES)
def test_skipping_equals_stepping(case, bracket, venue, age):
    tape = tape_of(case)
    same_run(tape, lambda: paper(Fade(**bracket), size=case[2], quote_age_s=age, **venue))


@settings(deadline=None, max_examples=200)
@given(MARKETS, BRACKETS, VENUES, AGES, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 40.0]))
def test_liquidations_beside_a_tape_are_walked_as_if_they_stood_on_it(case, bracket, venue, age, seed, jump):
    """Tape.with_liquidations copies nothing: the walk reads two tables of rare events. jump: prices that the door doubts."""
    tape, r = tape_of(case), np.random.default_rng(seed)
    moved = tape.rare[tape.rare["kind"] == Kind.LIQUIDATION]
    moved["ts_recv"] = moved["ts_event"] = START + r.integers(0, 2000, len(moved)) * (SECOND // 4)
    moved["side"] = r.choice([1, -1], len(moved))
    if jump and len(moved):
        moved["price"][r.integers(len(moved))] *= jump
        moved["qty"][r.integers(len(moved))] *= -1.0
    joined, beside = tape.with_liquidations(moved), tape.with_liquidations(moved)
    slow, fast = (paper(Fade(**bracket), size=case[2], quote_age_s=age, **venue) for _ in range(2))
    expected = stepped(slow, joined.events())
    again = Tape(tape.instruments, joined.parts())  # measured anew, from one table
    assert walked(Walk(fast, beside)) == expected and fast.snapshot() == slow.snapshot()
    assert (len(beside), beside.start, beside.end) == (len(again), again.start, again.end)
    assert walked(Walk(paper(Fade(**bracket), size=case[2], quote_age_s=age, **venue), again)) == expected


def test_skipping_equals_stepping_in_every_state_of_a_quote():
    """Quotes that end by age, by prints and by their connection: entries refused, takers by quote, by print and moved, with others around them."""
    seen: Counter = Counter()
    for n, (spread, age, taker, market_order) in enumerate(itertools.product((0.01, 2.0, 10.0), (0.2, 10.0, 1e6), ("next", "walk"), (False, True))):
        tape = tape_of((n, 2500, 2, n % 3 == 0, n % 4 == 0, n % 2 == 0, spread))
        fade = {"cooldown_s": 0, "entry_ttl_s": 60} | ({"entry": "market", "entry_offset": 0} if market_order else {})
        stream, _ = same_run(tape, lambda: paper(Fade(**fade), quote_age_s=age, taker=taker, leverage=150.0 * (n % 4 < 2)))  # noqa: B023
        records = np.frombuffer(stream, AUDIT_DTYPE)
        fills = records[records["kind"] == AuditKind.AUDIT_FILL]["x"]
        seen.update((int(role), int(flags)) for flags, role in fills[:, [3, 7]])
        seen["refused"] += int((records["reason"] == Reason.QUOTE_ENDED).sum())
    roles = Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_CLOSE, Role.ROLE_LIQUIDATION
    assert seen["refused"] > 100 and min(seen[role, flags] for role in roles for flags in (0, 2, 4)) > 0, seen


@settings(deadline=None, max_examples=100)
@given(MARKETS, BRACKETS, VENUES, AGES, st.lists(st.integers(-5, 1600), max_size=5))
def test_interrupted_anywhere(case, bracket, venue, age, cuts):
    """run(until) is Paper.run of what was received by then and Paper.advance(until), however often; the Paper is whole at each stop."""
    tape = tape_of(case)
    slow, fast = (paper(Fade(**bracket), size=case[2], quote_age_s=age, **venue) for _ in range(2))
    events, walk, done = tape.events(), Walk(fast, tape), START - 10 * SECOND
    for cut in sorted(START + cut * (SECOND // 2) for cut in cuts):
        assert walked(walk, cut) == stepped(slow, events[(events["ts_recv"] > done)], cut)
        assert fast.snapshot() == slow.snapshot()
        done = cut
    assert walked(walk) == stepped(slow, events[events["ts_recv"] > done])
    assert fast.snapshot() == slow.snapshot()
    assert walked(walk, tape.end + 5000 * SECOND) == stepped(slow, events[:0], tape.end + 5000 * SECOND)
    assert fast.snapshot() == slow.snapshot()


@settings(deadline=None, max_examples=60)
@given(MARKETS, BRACKETS, VENUES, st.sampled_from([1.5, 3.0]), st.floats(0.2, 5.0))
def test_rows_that_the_door_doubts_are_not_skipped(case, bracket, venue, band, jump):
    """A market that jumps beyond the engine's band: some trades are refused and audited until enough of them agree."""
    seed, count, size, *_ = case
    events = tape_of(case).events()
    beyond = np.arange(len(events)) > len(events) // 2
    for name in ("price", "aux_price"):
        events[name] = np.where(beyond & (events["kind"] != Kind.LIQUIDATION), np.round(events[name] * jump, 2), events[name])
    tape = Tape.of(instruments(size), events, band=1e6)
    stream, _ = same_run(tape, lambda: desk_for(instruments(size), bracket, EAGER, band=band, **venue))
    if len(tape) > 200 and (jump > band * 1.5 or jump * band * 1.5 < 1.0):
        assert kinds(stream)[AuditKind.AUDIT_REFUSED] > 0


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_feed_with_its_sides_swapped_halts_at_the_same_moment(seed):
    """The engine's own check of sides: the halt withdraws entries of all instruments, and what it asks says the last prices."""
    events = market(seed, 6000, 3)
    forced = events["kind"] == Kind.LIQUIDATION
    events["side"][forced] *= -1
    tape = Tape.of(instruments(3), events)
    stream, _ = same_run(tape, lambda: paper(Fade(entry_ttl_s=600.0, entry_offset=0.004), size=3))
    assert kinds(stream)[AuditKind.AUDIT_LIMIT] > 0 and kinds(stream)[AuditKind.AUDIT_REQUEST] > 10


class Early(Fade):
    def on_signal(self, signal, market):
        return Bracket(signal.side, **self.bracket) if signal.phase == Phase.BUILDING else None


@pytest.mark.parametrize("seed", range(6))
def test_a_liquidation_that_ends_a_bracket_by_its_phase(seed):
    """What is asked for then says the last price, which a liquidation otherwise needs not bring up."""
    tape = Tape.of(instruments(2), market(seed, 4000, 2))
    stream, _ = same_run(tape, lambda: paper(Early(exit_phase=Phase.ACTIVE, entry_ttl_s=600.0, cooldown_s=0), size=2))
    records = np.frombuffer(stream, AUDIT_DTYPE)
    assert (records["reason"][records["kind"] == AuditKind.AUDIT_BRACKET] == Reason.END_PHASE).sum() > 5


def test_a_small_ring_is_drained_in_time():
    """2,000 events and a ring of 256 records: many interruptions, nothing lost, the same stream."""
    tape = tape_of((3, 2000, 2, True, True, True))
    slow = paper(Fade())
    limits = Risk(data_age_max_s=60.0, orders_per_minute_max=1000, daily_loss_max=0.5, weekly_loss_max=0.5)
    fast = Paper(Engine(instruments(2), EAGER, Fade(), limits, audit_capacity=256), SimVenue(slow.engine.instruments))
    walk, pieces = Walk(fast, tape), []
    while not walk.run():
        pieces.append(drained(fast))
    pieces.append(drained(fast))
    assert len(pieces) > 5 and max(map(len, pieces)) <= 256 * 96
    assert b"".join(pieces) == stepped(slow, tape.events())


class Moody(Fade):
    def on_signal(self, signal, market):
        if signal.sequence % 7 == 3:
            raise RuntimeError(f"cascade {signal.sequence}")
        self.seen.append(
            (
                signal.ts,
                market.last,
                market.bid,
                market.ask,
                market.bid_qty,
                market.ask_qty,
                market.mark,
                market.index,
                market.open_interest,
                market.funding,
            )
        )
        return super().on_signal(signal, market)


def test_a_policy_sees_the_same_market_and_may_raise():
    tape = tape_of((5, 3000, 3, False, True, True))
    slow, fast = (paper(Moody(), size=3) for _ in range(2))
    raised, events, n = [[], []], tape.events(), 0
    while n < len(events):
        try:
            slow.advance(int(events["ts_recv"][n]))  # a deadline may raise too: then the event is still to come
            n += 1
            slow.run(events[n - 1 : n])
        except RuntimeError as error:
            raised[0].append(str(error))
    walk, done = Walk(fast, tape), False
    while not done:
        try:
            done = walk.run()
        except RuntimeError as error:
            raised[1].append(str(error))
    assert raised[0] == raised[1] != []
    assert drained(fast) == drained(slow) and slow.engine.policy.seen == fast.engine.policy.seen
    assert fast.snapshot() == slow.snapshot()


def test_one_paper_over_several_tapes():
    """Day after day: orders, positions and the detector's memory go on."""
    tape = tape_of((8, 4000, 2, True, True, True))
    slow, fast = paper(Fade(trail=0.001)), paper(Fade(trail=0.001))
    middle = (tape.start + tape.end) // 2
    expected = stepped(slow, tape.events())
    assert b"".join(walked(Walk(fast, part)) for part in (tape.between(0, middle), tape.between(middle, 2**61))) == expected
    assert fast.snapshot() == slow.snapshot()


def test_the_operator_between_two_calls():
    tape = tape_of((9, 3000, 2, False, True, True))
    slow, fast = paper(Fade()), paper(Fade())
    walk, events = Walk(fast, tape), tape.events()
    cut = int(events["ts_recv"][1500])
    assert walked(walk, cut) == stepped(slow, events, cut)
    for desk in (slow, fast):
        desk.engine.on_control(cut, 3)
    assert walked(walk) == stepped(slow, events[events["ts_recv"] > cut])
    assert fast.snapshot() == slow.snapshot()


def test_refusals():
    tape = tape_of((1, 100, 2, False, False, False))
    with pytest.raises(ValueError, match="same instruments"):
        Walk(paper(size=1), tape)
    small = Engine(instruments(2), audit_capacity=128)
    with pytest.raises(ValueError, match="audit_capacity of at least 256"):
        Walk(Paper(small, SimVenue(small.instruments)), tape)
    late = paper()
    late.advance(tape.end)
    with pytest.raises(ValueError, match="before the engine's time"):
        Walk(late, tape).run()
    walk = Walk(paper(), tape)
    walk.run(tape.start + SECOND)
    walk.paper.advance(tape.end)
    with pytest.raises(ValueError, match="before the engine's time"):
        walk.run()
    empty = Walk(paper(), Tape.of(instruments(2), np.zeros(0, EVENT_DTYPE)))
    assert empty.run() and empty.run(START) and empty.paper.engine.now == START


# ---- markets that are like real ones ----

# the preset
PRESET = {
    "entry_offset": 0.0015,
    "take_profit": 0.0015,
    "stop_loss": 0.0025,
    "entry_ttl_s": 1800,
    "max_hold_s": 1800,
    "cooldown_s": 300,
    "notional": 2000.0,
    "requotes": 1,
}
CLOSE = PRESET | {"entry_offset": 0.0001, "take_profit": 0.0002, "stop_loss": 0.0002, "trail": 0.0002, "cooldown_s": 5, "requotes": 2}
REAL_VENUES = [
    {"fills": "queue", "taker": "walk", "hidden": "none", "leverage": 20.0},
    {"fills": "touch", "order_latency_s": 0.0, "ack_latency_s": 0.0},
    {"fills": "through", "order_latency_s": 0.2, "ack_latency_s": 0.01},
]


def desk_for(names, bracket, config, band=10.0, **venue) -> Paper:
    risk = Risk(data_age_max_s=60.0, daily_loss_max=0.5, weekly_loss_max=0.5, orders_per_minute_max=1000)
    engine = Engine(names, config, Fade(**bracket), risk, audit_capacity=1 << 14, band=band)
    return Paper(engine, SimVenue(engine.instruments, **venue))


@pytest.fixture(scope="module")
def synthetic() -> Tape:
    """The emulator's agents: two contracts for four hours."""
    pytest.importorskip("orjson")
    from liqshell.emulator.market import Market
    from liqshell.emulator.market.contracts import BY_SYMBOL

    source = Market(symbols=("BTCUSDT", "SOLUSDT"))
    records = source.take(4.0)
    contracts = [BY_SYMBOL[name] for name in source.parameters.symbols]
    names = [
        Instrument(
            c.symbol, tick_size=f"{1 / c.tick_power:.{len(str(c.tick_power)) - 1}f}", lot_size=f"{1 / c.lot_power:.{len(str(c.lot_power)) - 1}f}"
        )
        for c in contracts
    ]
    tick, lot = (np.array([getattr(c, name) for c in contracts], float)[records["symbol"]] for name in ("tick_power", "lot_power"))
    events = np.zeros(len(records), EVENT_DTYPE)
    ticker = records["kind"] == Kind.TICKER
    for name in ("kind", "side"):
        events[name] = records[name]
    events["ts_event"] = events["ts_recv"] = records["t"]
    events["instrument"] = records["symbol"]
    events["price"], events["aux_price"] = records["price"] / tick, records["aux_price"] / tick
    events["qty"] = records["qty"] / lot
    events["aux_qty"] = np.where(ticker, records["aux_qty"] / 1e8, records["aux_qty"] / lot)
    builder = TapeBuilder(names)
    builder.push(events)
    assert not builder.refused and not any(builder.off_grid.values())
    return Tape(names, builder.take())


@pytest.mark.parametrize("venue", REAL_VENUES)
@pytest.mark.parametrize("bracket", [PRESET, CLOSE], ids=["preset", "close"])
def test_the_synthetic_market(synthetic, bracket, venue):
    config = CascadeConfig(window_events=200, warmup=50, refresh_s=600.0, quantile=0.9)
    stream, walk = same_run(synthetic, lambda: desk_for(synthetic.instruments, bracket, config, **venue))
    assert kinds(stream)[AuditKind.AUDIT_BRACKET] > 0
    if bracket is CLOSE:
        assert kinds(stream)[AuditKind.AUDIT_TRADE] > 0


@pytest.fixture(scope="module")
def recorded() -> Tape:
    """Binance BTCUSDT as recorded: 66,000 best bids and asks, 21,000 trades in 345 s; with liquidations put in, the capture has none."""
    path = DATA / "market-hftbacktest-binance-2024-08" / "usdm_btcusdt_20240808.gz"
    if not path.is_file():
        pytest.skip(ABSENT)
    rows = []
    with gzip.open(path, "rt") as file:
        for line in file:
            ts, _, text = line.partition(" ")
            if '"e":"bookTicker"' in text or '"e":"trade"' in text:
                d = json.loads(text)["data"]
                if d["e"] == "trade" and float(d["p"]) > 0:
                    rows.append((d["T"] * 10**6, int(ts), float(d["p"]), float(d["q"]), 0.0, 0.0, 0, 0, Kind.TRADE, -1 if d["m"] else 1, 0, 0))
                elif d["e"] == "bookTicker":
                    rows.append((d["T"] * 10**6, int(ts), float(d["b"]), float(d["B"]), float(d["a"]), float(d["A"]), 0, 0, Kind.BBO, 0, 0, 0))
    events = np.array(rows, EVENT_DTYPE)
    r = np.random.default_rng(7)
    forced = np.zeros(900, EVENT_DTYPE)
    bursts = np.sort(r.choice(events["ts_recv"], 60))
    forced["ts_recv"] = forced["ts_event"] = (bursts[:, None] + np.cumsum(r.exponential(3e8, (60, 15)), axis=1).astype(np.int64)).ravel()
    forced["kind"], forced["side"] = Kind.LIQUIDATION, np.repeat(r.choice([1, -1], 60), 15)
    forced["price"], forced["qty"] = 61_800.0, np.round(np.exp(r.normal(-3, 1.5, 900)) + 0.001, 3)
    events = np.concatenate([events, forced])
    builder = TapeBuilder([Instrument("BTCUSDT", tick_size="0.1", lot_size="0.001")])
    builder.push(events[np.argsort(events["ts_recv"], kind="stable")])
    assert sum(builder.refused.values()) < 100 and builder.off_grid["price"] == 0
    return Tape(builder.instruments, builder.take())


@pytest.mark.parametrize("venue", REAL_VENUES)
@pytest.mark.parametrize("bracket", [PRESET, CLOSE, CLOSE | {"entry": "market", "exit_phase": Phase.DECELERATING}], ids=["preset", "close", "market"])
def test_recorded_ticks(recorded, bracket, venue):
    config = CascadeConfig(window_events=200, warmup=50, quantile=0.8, window_s=5.0, decay_s=2.0)
    stream, walk = same_run(recorded, lambda: desk_for(recorded.instruments, bracket, config, **venue))
    assert kinds(stream)[AuditKind.AUDIT_BRACKET] > 0
    if bracket is not PRESET:
        assert kinds(stream)[AuditKind.AUDIT_TRADE] > 5
    elif venue["fills"] != "queue":  # or all of the above would hold for a loop over everything
        assert walk.stops < 2 * len(recorded.rare) < len(recorded) / 40
