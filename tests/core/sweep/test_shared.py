"""What all settings share of a call: the sweep that looks it up gives, to the last bit of every column, what the same brackets give one by one, event by
event (which test_sweep compares with step and oracle), and what the kernel in Numba gives."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import test_sweep
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_simulate import detector, table
from test_sweep_markets import VENUES, draw_settings
from test_walk import recorded  # noqa: F401

import liqcore as lc
from campaigns import cases
from campaigns import seed as campaign_seed
from captures import ABSENT, streams
from liqcore.event import Kind
from liqcore.sweep import Grid, fade, signals_of
from numba_sweep import numba_sweep, prepared

S, MS = lc.SECOND, lc.SECOND // 1000
HALF = Fraction(1, 2)


def around(g, rng: random.Random) -> dict:
    """A setting beside the drawn one: mostly of the kind whose outcomes are shared, and near enough that they are."""

    def times(x: Fraction, *factors: int) -> Fraction:
        return min(HALF, Fraction(int(x * 10**6 * rng.choice(factors) // 2), 10**6))

    if rng.random() < 0.7:
        g = replace(g, market=False)
    if rng.random() < 0.7:
        g = replace(g, trail=Fraction(0))
    if rng.random() < 0.7:
        g = replace(g, exit_phase=0)
    if rng.random() < 0.5:
        g = replace(g, loss=max(Fraction(1, 10**6), times(g.loss, 1, 2, 3)))
    if rng.random() < 0.5:
        g = replace(g, profit=times(g.profit, 0, 1, 2, 3))
    if rng.random() < 0.3 and not g.market:
        g = replace(g, offset=times(g.offset, 0, 1, 2))
    if rng.random() < 0.4:
        g = replace(g, ttl=max(1, int(g.ttl * rng.choice([0.3, 1, 2]))), hold=max(1, int(g.hold * rng.choice([0.3, 1, 2]))))
    if rng.random() < 0.3:
        g = replace(g, requotes=rng.choice([0, 1, 3]), notional=g.notional * rng.choice([0.3, 1, 3]))
    if rng.random() < 0.3:
        g = replace(g, cooldown=rng.choice([0, 1, g.cooldown, S]))
    if rng.random() < 0.2:  # over while the answer to its target is still on its way, and near enough for a stop by then
        g = replace(
            g,
            hold=max(1, g.order_latency + int(g.ack_latency * rng.random() * 1.2) + rng.choice([-1, 0, 1])),
            cooldown=rng.choice([0, 1]),
            profit=rng.choice([g.profit, Fraction(1, 10**6), Fraction(1, 10**4)]),
            loss=rng.choice([g.loss, Fraction(1, 10**6), Fraction(1, 10**4)]),
        )
    return test_sweep.bracket_options(replace(g, loss=min(g.loss, HALF), profit=min(g.profit, HALF)))


def drawn(seed: int, count: int = 12):
    """A hard, tied or coarse market, cut anywhere, and settings for it: arguments of sweep."""
    rng = random.Random(seed)
    make = (test_sweep.hard, test_sweep.tied, lambda seed: test_sweep.draw(seed, feeds=True, coarse=seed % 4 == 0))[seed % 3]
    g, instrument, events = make(seed)
    if rng.random() < 0.3:
        events = events[: max(2, int(len(events) * rng.random()))]
    if rng.random() < 0.3:
        g = replace(g, order_latency=rng.choice([0, 1, MS, 50 * MS, 2 * S]), ack_latency=rng.choice([0, 1, MS, 50 * MS, 2 * S]))
    end = events[-1][0] + rng.choice([1, MS, S, 3600 * S])
    tape = lc.Tape.of([instrument], table(instrument, events))
    signals, places = signals_of(tape, 0, detector(), event_age_max_s=test_sweep.LIMITS["event_age_max_s"], end=end)
    options = {"places": places, "end": end} | test_sweep.venue_options(g) | test_sweep.FREE
    if rng.random() < 0.4:
        options |= {
            "data_age_max_s": rng.choice([0.03, 0.3, 60.0]),
            "collar": rng.choice([0.0005, 0.002, 1.0]),
            "orders_per_signal_max": rng.choice([1, 2, 3, 4]),
        }
    if rng.random() < 0.2:
        stamps = np.unique(table(instrument, events)["ts_recv"])
        options["closed"] = np.array(sorted(rng.sample(stamps.tolist(), min(12, len(stamps) // 2 * 2))), np.int64)
    return (tape, 0, signals, fade(signals), Grid.of([around(g, rng) for _ in range(count)])), options


def swept(arguments, options, shared: bool) -> tuple[np.ndarray, np.ndarray]:
    """Results, and those by day, with shared outcomes or one by one."""
    market, terms, calls, phases, results, days, first_day = prepared(*arguments, **options)
    daily = np.zeros((len(results), days))
    market.sweep(terms, arguments[-1].rows, calls, phases, results, first_day, daily, shared)
    return results, daily


def same(arguments, options, label: object, by_numba: bool = False) -> np.ndarray:
    results, daily = swept(arguments, options, True)
    others = {"one by one": swept(arguments, options, False)}
    if by_numba:
        others["numba"] = numba_sweep(*arguments, **options)
    for name, (expected, by_day) in others.items():
        for n in np.flatnonzero([a.tobytes() != b.tobytes() for a, b in zip(results, expected, strict=True)]):
            columns = {k: (results[n][k].item(), expected[n][k].item()) for k in results.dtype.names if results[n][k] != expected[n][k]}
            raise AssertionError(f"{label}: setting {n}, shared against {name}: {columns}; {arguments[-1].setting(int(n))}, {options}")
        assert daily.tobytes() == by_day.tobytes(), (label, name)
    return results


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(404)  # a stop fires, the hold is over, and only then it is heard that the target was rejected
def test_shared_outcomes_are_those_of_each_bracket(seed):
    same(*drawn(seed), seed)


def test_every_end_of_a_bracket_is_among_those_compared():
    found = np.concatenate([same(*drawn(seed), seed) for seed in range(90)])
    for column in (
        "refused_open",
        "refused_cooldown",
        "refused_data",
        "refused_risk",
        "targets",
        "stops",
        "max_holds",
        "phases",
        "unfilled_ttl",
        "unfilled_post_only",
        "open_side",
    ):
        assert np.count_nonzero(found[column]) > 20, column


@pytest.mark.campaign
def test_shared_outcomes_campaign():
    """As many markets as time allows, against Numba too. Found equal when this was written: 6,000 markets, 72,000 settings, 260,000 trades."""
    base, trades = campaign_seed(), 0
    for case in cases(60.0, 5000):
        trades += int(same(*drawn(base + case), base + case, by_numba=True)["trades"].sum())
    assert trades > 20 * case


@pytest.mark.parametrize("venue", VENUES)
def test_recorded_ticks(recorded, venue):
    config = lc.CascadeConfig(window_events=200, warmup=50, quantile=0.8, window_s=5.0, decay_s=2.0)
    signals, places = signals_of(recorded, 0, config)
    grid = Grid.of(draw_settings(5, 150, small=True))
    found = same((recorded, 0, signals, fade(signals), grid), {"places": places, "data_age_max_s": 60.0} | venue, venue)
    assert found["trades"].sum() > 500


def test_more_settings_and_calls_than_go_through_at_a_time(recorded):
    """Many settings of one entry, whose exits are made in a row, and many entries with few: levels and places of one call are not those of another."""
    config = lc.CascadeConfig(window_events=200, warmup=50, quantile=0.5, window_s=5.0, decay_s=2.0)
    signals, places = signals_of(recorded, 0, config)
    near = {"notional": 1000.0, "entry_ttl_s": 20.0, "max_hold_s": 30.0, "cooldown_s": 1.0}
    steps = [n / 10_000 for n in range(1, 34)]
    grids = [
        Grid.product(entry_offset=2e-4, take_profit=steps, stop_loss=steps, **near),
        Grid.product(entry_offset=steps, take_profit=[2e-4, 1e-3], stop_loss=[5e-4, 2e-3], **near),
    ]
    for grid in grids:
        arguments = (recorded, 0, signals, fade(signals), Grid(np.concatenate([grid.rows, grid.rows[:7]])))
        found = same(arguments, {"places": places, "data_age_max_s": 60.0, "fills": "touch", "order_latency_s": 0.005}, len(grid))
        assert found["signals"][0] > 32 and found["trades"].sum() > len(grid)


def test_recorded_liquidations():
    """Every capture, each liquidation with the trade that it was: no quotes, long silences."""
    if not streams():
        pytest.skip(ABSENT)
    trades = 0
    for n, stream in enumerate(streams()):
        forced = stream.events()
        printed = forced.copy()
        printed["kind"], printed["side"], printed["aux_price"] = Kind.TRADE, -forced["side"], 0.0
        builder = lc.TapeBuilder([lc.Instrument(stream.symbol, tick_size="0.01" if stream.price.max() > 100 else "0.000001")])
        builder.push(np.stack([forced, printed], axis=1).ravel())
        tape = lc.Tape(builder.instruments, builder.take())
        signals, places = signals_of(tape, 0, lc.CascadeConfig(window_events=50, warmup=10, quantile=0.5, min_events=1))
        grid = Grid.of(draw_settings(n, 60, small=False))
        options = {"places": places, "data_age_max_s": 1e6, "collar": 1.0, "order_notional_max": 1e9} | VENUES[n % 3]
        trades += int(same((tape, 0, signals, fade(signals), grid), options, stream.name)["trades"].sum())
    assert trades > 1000


def test_a_sweep_imports_no_compiler():
    """What a sweep needs is compiled in the wheel: its first run on a machine is as fast as its second."""
    code = (
        "import sys\nfrom test_shared import drawn\nfrom liqcore.sweep import sweep, trades_of\nimport liqshell.commands.sweep, liqshell.sweep.run\n"
        "arguments, options = drawn(4)\nassert len(sweep(*arguments, **options)) == 12\ntrades_of(*arguments, 3, **options)\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": ":".join(path or "." for path in sys.path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
