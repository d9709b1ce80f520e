"""liqcore, sweep: all settings over one tape, by the first-passage index. fills='touch' and no latency, as the loops have it."""

from pathlib import Path

import numpy as np

import liqcore as lc
from benches import market
from benches.simulators import liqcore_step, ours
from liqcore.sweep import RESULT_DTYPE, Grid, Task, fade, signals_of, sweep, sweep_detectors
from liqcore.sweep.grid import GRID_DTYPE, LIMIT

OPTIONS = {
    "fills": "touch",
    "maker_fee": market.MAKER,
    "taker_fee": market.TAKER,
    "order_latency_s": 0.0,
    "ack_latency_s": 0.0,
    "data_age_max_s": 3600.0,
}


def grid(settings: list[market.Setting]) -> Grid:
    rows = np.zeros(len(settings), GRID_DTYPE)
    rows["entry_type"], rows["notional"] = LIMIT, ours.NOTIONAL
    for column, name, scale in (
        ("entry_offset", "offset", 1),
        ("take_profit", "take_profit", 1),
        ("stop_loss", "stop_loss", 1),
        ("entry_ttl_ns", "ttl_s", 10**9),
        ("max_hold_ns", "hold_s", 10**9),
        ("cooldown_ns", "cooldown_s", 10**9),
    ):
        rows[column] = [getattr(s, name) * scale for s in settings]
    return Grid(rows)


def columns(folder: Path) -> dict:
    """The day's columns in memory, without their index."""
    saved = liqcore_step.load(folder / "tape")
    strip = {name: {k: np.array(v) for k, v in table.items() if k != "index"} for name, table in saved["strips"]["0"].items()}
    return {"strips": [strip], "rare": np.array(saved["rare"]), "place": np.array(saved["place"])}


def whole(parts: dict, settings: Grid, threads: int = 1) -> np.ndarray:
    """From columns to results: check them, build the index, find the signals, run every setting."""
    tape = lc.Tape([ours.instrument()], parts, threads=threads)
    return execute(tape, settings, threads)


def execute(tape: lc.Tape, settings: Grid, threads: int) -> np.ndarray:
    signals, places = signals_of(tape, 0, ours.config(market.Detector()))
    return sweep(tape, 0, signals, fade(signals), settings, places=places, threads=threads, **OPTIONS)


def task(tape: lc.Tape) -> Task:
    """Market and calls, found before what is timed."""
    signals, places = signals_of(tape, 0, ours.config(market.Detector()))
    return Task(tape, 0, signals, fade(signals), places=places, **OPTIONS)


def one_by_one(made: Task, settings: Grid) -> np.ndarray:
    """Every bracket by itself, event by event, on one core: what settings share is found again for each of them."""
    results = np.zeros(len(settings), RESULT_DTYPE)
    results["days"] = made.days
    made.market.sweep(made.terms, settings.rows, made.calls, made.phases, results, made.first_day, np.zeros((len(settings), 0)), False)
    return results


def detectors(tape: lc.Tape, count: int, settings: Grid, threads: int) -> np.ndarray:
    return sweep_detectors(tape, 0, [ours.config(d) for d in market.detectors(count)], settings, threads=threads, **OPTIONS)
