"""The sweep: the trades of step (Paper) and of the plain-Python oracle, to the last bit, over hard markets and settings; and what a sweep must keep."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import test_simulate
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_simulate import (
    BIG,
    INSTRUMENTS,
    PRICES,
    Answer,
    decimal,
    detector,
    rows,
    table,
    told,
)

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import Stream
from liqcore.sweep import (
    Grid,
    fade,
    signals_of,
    sweep,
    trades_of,
)

S = lc.SECOND
FREE = {"data_age_max_s": 1e6, "collar": 1.0, "order_notional_max": 1e9, "orders_per_signal_max": 4}
LIMITS = BIG | {"orders_per_signal_max": 4}


def draw(seed: int, feeds: bool = False, **how):
    """As test_simulate draws it, but for trails on profit, which the kernel does not know (a sweep of such a policy walks). feeds: with marks of a
    feed whose liquidations stay whole; with any marks, signals of one moment have no places of their own."""
    g, instrument, events = test_simulate.draw(seed, **how)
    events = [event for event in events if event[1] != "feed" or feeds and event[3] and not event[3] & Stream.STREAM_LIQUIDATION]
    if any(event[1] == "feed" for event in events):
        g = replace(g, exit_phase=0)  # with marks, the kernel's signals end with the tape
    return (replace(g, basis="price", trail=g.trail / 150) if g.basis == "profit" else g), instrument, events


def bracket_options(g) -> dict:
    return {
        "stop_loss": decimal(g.loss),
        "take_profit": decimal(g.profit),
        "trail": decimal(g.trail),
        "entry_offset": decimal(g.offset),
        "entry": "market" if g.market else "post_only",
        "entry_ttl_s": g.ttl / S,
        "max_hold_s": g.hold / S,
        "cooldown_s": g.cooldown / S,
        "requotes": g.requotes,
        "exit_phase": g.exit_phase,
        "notional": g.notional,
    }


def venue_options(g) -> dict:
    return {
        "fills": g.fills,
        "maker_fee": g.maker_fee,
        "taker_fee": g.taker_fee,
        "order_latency_s": g.order_latency / S,
        "ack_latency_s": g.ack_latency / S,
        "print_wait_s": g.print_wait / S,
        "quote_age_s": g.quote_age / S,
        "half_spread": None if g.half_spread is None else float(g.half_spread),
    }


def stepped(
    instruments, events, policy, config, *, end: int, limits: dict, quote_age_s: float, timetable: lc.Timetable | None = None, **venue
) -> tuple[np.ndarray, lc.Paper]:
    """The audit stream of Paper.run, and the machine as it was left."""
    engine = lc.Engine(
        instruments, config, policy, lc.Risk(**limits), equity=1e6, audit_capacity=1 << 17, quote_age_s=quote_age_s, timetable=timetable
    )
    desk = lc.Paper(engine, lc.SimVenue(engine.instruments, **venue))
    desk.run(events)
    desk.advance(end)
    assert engine.audit.lost == desk.venue.lost == 0
    return engine.audit.drain(), desk


def step_trades(records, instrument: int = 0) -> list[tuple]:
    """(ts flat, reason, side, entry, exit, qty, gross, fees, net, hold s, entry is maker) of every trade."""
    return [
        (int(r["ts"]), int(r["reason"]), int(r["side"]), *r["x"].tolist())
        for r in rows(records, AuditKind.AUDIT_TRADE)
        if r["instrument"] == instrument
    ]


def sweep_trades(trades, instrument) -> list[tuple]:
    return [
        (
            int(t["ts_flat"]),
            int(t["reason"]),
            int(t["side"]),
            t["entry_price"].item(),
            t["exit_price"].item(),
            instrument.qty(int(t["lots"])),
            t["gross"].item(),
            t["fees"].item(),
            t["net"].item(),
            int(t["ts_exit"] - t["ts_open"]) / 1e9,
            float(t["entry_is_maker"]),
        )
        for t in trades
        if not t["open"]
    ]


def agree(
    g, instrument, events, *, end: int, config=None, reference=None, limits=LIMITS, free=FREE, label="", timetable=None
) -> tuple[int, np.ndarray]:
    """One setting by step and by sweep: every trade, what was left open, and the row of results. Returns the trades and the step's records."""
    events = table(instrument, events)
    config = detector() if config is None else config
    policy = Answer(**bracket_options(g) | ({} if reference is None else {"reference": reference}))
    records, desk = stepped([instrument], events, policy, config, end=end, limits=limits, timetable=timetable, **venue_options(g))
    tape = lc.Tape.of([instrument], events)
    signals, places = signals_of(tape, 0, config, event_age_max_s=limits["event_age_max_s"], end=end)
    grid, sides = Grid.of([bracket_options(g)]), fade(signals)
    options = {"places": places, "end": end, "reference": None if reference is None else np.full(len(signals), reference)} | venue_options(g) | free
    if timetable is not None:
        options["closed"] = timetable.closed(0, 0, end + 1)
    trades = trades_of(tape, 0, signals, sides, grid, **options)
    expected, got = step_trades(records), sweep_trades(trades, instrument)
    for n, (a, b) in enumerate(zip(expected, got, strict=False)):
        assert a == b, f"{label}: trade {n}: step {a}, sweep {b}; {g}"
    assert len(expected) == len(got), f"{label}: {len(expected)} trades by step, {len(got)} by sweep; {g}"
    result = sweep(tape, 0, signals, sides, grid, **options)[0]
    check_result(result, trades, records, desk, instrument, label)
    return len(expected), records


def check_result(r, trades, records, desk, instrument, label) -> None:
    """The row of results is the sum of its trades, and counts what step's audit counts."""
    closed = trades[trades["open"] == 0]
    hold = closed["ts_exit"] - closed["ts_open"]
    assert (r["trades"], r["gross"], r["fees"], r["net"]) == (len(closed), *(sum(closed[k].tolist(), 0.0) for k in ("gross", "fees", "net"))), label
    assert r["net_squares"] == sum((x * x for x in closed["net"].tolist()), 0.0) and r["wins"] == (closed["net"] > 0).sum(), label
    assert (r["hold_ns"], r["hold_ns_max"]) == (hold.sum(), hold.max(initial=0)) and r["entry_makers"] == closed["entry_is_maker"].sum(), label
    cumulative = np.concatenate([[0.0], np.cumsum(closed["net"])])
    assert r["drawdown_max"] == (np.maximum.accumulate(cumulative) - cumulative).max(), label
    risk = rows(records, AuditKind.AUDIT_RISK)
    assert r["signals"] == r["entries"] + r["refused_open"] + r["refused_cooldown"] + r["refused_data"] + r["refused_risk"], label
    ends = [int(x["reason"]) for x in rows(records, AuditKind.AUDIT_BRACKET) if x["phase"] == lc.BracketState.BRACKET_FLAT]
    assert r["unfilled_ttl"] + r["unfilled_post_only"] + r["unfilled_other"] == len(ends) - len(closed), label
    assert r["targets"] == ends.count(lc.Reason.END_TARGET) and r["max_holds"] == ends.count(lc.Reason.END_MAX_HOLD), label
    assert r["unfilled_ttl"] == ends.count(lc.Reason.END_TTL) and r["unfilled_post_only"] == ends.count(lc.Reason.END_POST_ONLY), label
    for column, reason in (("refused_open", lc.Reason.BRACKET_OPEN), ("refused_cooldown", lc.Reason.COOLDOWN)):
        assert r[column] == (risk["reason"] == reason).sum(), (label, column)
    state = desk.engine.bracket(0)
    left = state["state"] != lc.BracketState.BRACKET_FLAT
    assert (r["open_side"] != 0) == left, (label, state)
    assert not left or (r["open_side"], instrument.qty(int(r["open_lots"]))) == (state["side"], state["held"]), (label, state)
    assert r["lost"] == 0


def share(rng, low, high) -> Fraction:
    return Fraction(rng.randrange(low, high), 10**6)


@pytest.mark.parametrize("block", range(4))
def test_sweep_equals_step_and_oracle(block):
    """The markets and settings on which paper trading is compared with its oracle: all three tell the same trades."""
    count = 0
    for seed in range(20_000 + block * 20, 20_020 + block * 20):
        g, instrument, events = draw(seed, feeds=True, coarse=seed % 4 == 0)
        end = events[-1][0] + 3600 * S
        trades, records = agree(g, instrument, events, end=end, label=f"seed={seed}")
        oracle = told(g, instrument, events)
        assert oracle.trades == [(t[0], t[1], *t[6:10]) for t in step_trades(records)], f"seed={seed}"
        count += trades
    assert count > 50


def tied(seed: int):
    """Everything on a grid of 10 ms, latencies and deadlines too: arrivals, reports, deadlines, signals and trades fall on the same moments. No odd
    quotes: where one stands between two liquidations of one moment, the columns do not say which of both it came before."""
    rng = random.Random(seed)
    g, instrument, events = draw(seed, coarse=rng.random() < 0.3)
    grid = 10**7
    events = [(ts // grid * grid, kind, *rest) for ts, kind, *rest in events if kind != "quote" or 0 < rest[0] < rest[1]]
    g = replace(
        g,
        order_latency=rng.choice([0, grid, 5 * grid]),
        ack_latency=rng.choice([0, grid, 5 * grid]),
        ttl=rng.choice([1, 5, 50]) * grid * 10,
        hold=rng.choice([1, 3, 20]) * grid * 10,
        cooldown=rng.choice([0, 0, 10 * grid]),
        exit_phase=rng.choice([0, 2, 3, 4]),
    )
    return g, instrument, events


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sweep_equals_step_where_everything_falls_on_the_same_moments(seed):
    g, instrument, events = tied(seed)
    agree(g, instrument, events, end=events[-1][0] + 3600 * S, label=f"seed={seed}")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 1.0))
@example(384819, 0.0625)  # two quotes that are refused at the moment of a liquidation, one before it and one after it
@example(4719, 1.0)  # the attached stop ends with a position, an amend of it on its way, and lives again with the next fill
def test_sweep_leaves_open_what_step_leaves_open(seed, part):
    """The data end anywhere; what is due by then is served, no more."""
    g, instrument, events = draw(seed, coarse=seed % 3 == 0)
    events = events[: max(2, int(len(events) * part))]
    agree(g, instrument, events, end=events[-1][0] + random.Random(seed).choice([1, 10**6, S]), label=f"seed={seed}")


def hard(seed: int):
    """Trades only or with quotes, jumps through several levels, thin lots, slow venues, tiny and huge fractions."""
    rng = random.Random(seed)
    instrument = rng.choice(INSTRUMENTS)
    ts, mid, events = 1_700_000_000 * S, instrument.ticks(PRICES[instrument.symbol]), []
    quotes, pace, step = rng.random() < 0.5, rng.choice([10**6, 10**8, S]), rng.choice([0.00005, 0.0005, 0.003])
    thin = rng.random() < 0.5
    for _ in range(rng.choice([200, 1500])):
        ts += rng.choice([0, 0, 1, rng.randrange(2 * pace)])
        mid = max(50, mid + round(mid * rng.gauss(0.0, step) * (20 if rng.random() < 0.01 else 1)))
        what = rng.random()
        if what < 0.5 or what < 0.9 and not quotes:
            events.append(
                (
                    ts,
                    "trade",
                    max(40, mid + rng.choice([0, 0, 0, 1, -1, 5, -5])),
                    rng.choice([1, 1, 2] if thin else [1, 1000, 10**6]),
                    rng.choice([1, -1]),
                )
            )
        elif what < 0.9:
            events.append((ts, "quote", max(40, mid - rng.randrange(1, 4)), mid + rng.randrange(1, 4), 1, 1))
        else:
            events.append((ts, "signal", rng.choice([1, -1]), 0))
    ms = 10**6
    wide = [share(rng, 1, 50), share(rng, 50, 5000), share(rng, 5000, 400_000)]
    g = draw(seed)[0]
    g = replace(
        g,
        fills=rng.choice(["through", "touch"]),
        offset=Fraction(0) if g.market else rng.choice([Fraction(0), *wide]),
        profit=rng.choice([Fraction(0), *wide]),
        loss=rng.choice(wide),
        trail=rng.choice([Fraction(0), Fraction(0), *wide]),
        ttl=rng.choice([1, 50 * ms, S, 60 * S]),
        hold=rng.choice([1, 50 * ms, S, 60 * S]),
        cooldown=rng.choice([0, 1, S]),
        requotes=rng.choice([0, 1, 3]),
        exit_phase=rng.randrange(5),
        order_latency=rng.choice([0, 1, 20 * ms, S, 7 * S]),
        ack_latency=rng.choice([0, 1, 20 * ms, S, 7 * S]),
        notional=rng.choice([5.0, 1000.0, 1e6]),
    )
    return g, instrument, events


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(222605401)  # two liquidations of one nanosecond with a refused quote between them
def test_sweep_equals_step_on_hard_markets(seed):
    g, instrument, events = hard(seed)
    agree(g, instrument, events, end=events[-1][0] + 3600 * S, label=f"seed={seed}")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_rules_about_one_order_are_those_of_risk(seed):
    """Small collars, old data, large minima, a limit on the notional and on new tries, stale liquidations, a reference of the policy's own."""
    rng = random.Random(seed)
    g, instrument, events = draw(seed)
    instrument = lc.Instrument(
        instrument.symbol,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        multiplier=instrument.multiplier,
        min_qty=instrument.qty(rng.choice([1, 40, 400])),
        max_qty=instrument.qty(rng.choice([400, 10**6])),
        min_notional=rng.choice([0.0, g.notional * 0.9995, g.notional]),
    )
    g = replace(g, requotes=3, ttl=30 * S, market=rng.random() < 0.3, offset=rng.choice([Fraction(0), Fraction(1, 10_000), Fraction(1, 1000)]))
    rules = {
        "data_age_max_s": rng.choice([0.03, 0.3, 60.0]),
        "collar": rng.choice([0.0005, 0.002, 1.0]),
        "orders_per_signal_max": rng.choice([1, 2, 3, 4]),
        "order_notional_max": rng.choice([g.notional * 0.9999, g.notional * 2]),
    }
    reference = rng.choice([None, events[0][2]])
    if rng.random() < 0.5:  # no exits by time, so that no signal after the last trade matters; the tape's own detector
        g = replace(g, exit_phase=0)
    agree(
        g,
        instrument,
        events,
        end=events[-1][0] + 3600 * S,
        reference=reference,
        limits=LIMITS | rules | {"event_age_max_s": 2.0},
        free=FREE | rules,
        label=f"seed={seed}",
    )


@pytest.mark.parametrize("seed", range(12))
def test_windows_in_which_nothing_is_entered(seed):
    """By step and by sweep: also the next try of an entry that was rejected as post-only is one, and an edge belongs to what begins there."""
    g, instrument, events = hard(seed)
    table_of = table(instrument, events)
    stamps = np.unique(table_of["ts_recv"])
    rng = random.Random(seed)
    edges = sorted(rng.sample(stamps.tolist(), min(12, len(stamps) // 2 * 2)))
    timetable = lc.Timetable(windows=list(zip(edges[::2], edges[1::2], strict=False)))
    end = int(stamps[-1]) + 3600 * S
    _, records = agree(g, instrument, events, end=end, label=f"seed {seed}", timetable=timetable)
    asked = rows(records, AuditKind.AUDIT_RISK)
    shut = [bool(np.searchsorted(edges, r["ts"], "right") & 1) for r in asked]
    assert not any(s and r["reason"] == lc.Reason.OK for s, r in zip(shut, asked, strict=True))
    assert all(s or r["reason"] != lc.Reason.NOT_READY for s, r in zip(shut, asked, strict=True))
