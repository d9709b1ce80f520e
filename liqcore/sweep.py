"""Sweeps: thousands of bracket settings over the same signals, at the cost of their trades and not of the market's ticks (Numba, all cores).

    signals, places = signals_of(tape, 0, CascadeConfig())
    grid = Grid.product(entry_offset=[0.001, 0.0015], take_profit=[0.001, 0.002], stop_loss=0.0025, notional=1000)
    results = sweep(tape, 0, signals, fade(signals), grid, places=places, fills="through")

Every setting gives the trades that Paper.run (and Walk) give for the same events: times, prices, quantities, reasons, fees and result to the last
bit. It is written apart from that machine on purpose, so that each proves the other. What it does not know is refused, not approximated: one
instrument at a time; fills 'through' and 'touch'; stops at the next price; constant latencies; a fixed notional. Of the engine's risk rules it
keeps those that look at one order (flags and age of the signal's data, collar, quantity, notional, requotes); those that look at the account or at
other orders are a backtest's business: exposure, leverage, positions, loss limits, orders a minute. Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqcore.batch_cascade import CENSORED, STALE, _run
from liqcore.detect import CascadeConfig
from liqcore.event import SIGNAL_DTYPE, Completeness, FeedState, Kind, Phase
from liqcore.instrument import Instrument
from liqcore.sweep_columns import Columns, columns, ended_at
from liqcore.sweep_grid import GRID_DTYPE, Grid
from liqcore.sweep_kernel import DAY_NS, run
from liqcore.sweep_state import (
    ANSWER_NS,
    CALL,
    PHASES,
    REASON_STALE_EVENT,
    REASON_UNCERTAIN,
    RESULT_DTYPE,
    SCALE,
    TERMS,
    TRADE_DTYPE,
)
from liqcore.tape import Tape

__all__ = ["GRID_DTYPE", "RESULT_DTYPE", "TRADE_DTYPE", "Grid", "daily_sharpe", "fade", "locate", "signals_of", "sweep", "sweep_detectors",
           "trades_of"]

UNCERTAIN_FLAG, STALE_FLAG = 1, 2
TIMED = -1
EVENT_AGE_MAX_S = 2.0            # what Tape.signals assumes, the default of Risk


def fade(signals: NDArray) -> NDArray[np.int8]:
    """Sides of a policy that answers every ACTIVE signal with a bracket on the liquidated side (buys where longs were closed by force)."""
    return np.where(signals["phase"] == Phase.ACTIVE, signals["side"], 0).astype(np.int8)


# ---- signals ----

def signals_of(tape: Tape, instrument: int, config: CascadeConfig | None = None, *, event_age_max_s: float = 2.0, band: float = 10.0,
               end: int | None = None) -> tuple[NDArray, NDArray]:
    """The cascade detector's signals of one instrument of a tape, and their places: what `sweep` wants as `signals` and `places`.

    The same signals as the engine's (SIGNAL_DTYPE), all phases. end: let time pass until then, ns (None = end of the tape). event_age_max_s: as Risk;
    band: as Engine. ValueError where their places cannot be known, see locate.
    """
    config = CascadeConfig() if config is None else config
    end = int(tape.end) if end is None else end
    at_risk = (tape.rare["kind"] == Kind.FEED) & (tape.rare["code"] != FeedState.FEED_UP)
    batch = not (at_risk & np.isin(tape.rare["instrument"], (instrument, -1))).any() and config.as_dict()["notional"] == "reported"
    if end > tape.end or event_age_max_s != EVENT_AGE_MAX_S:
        if not batch:
            raise ValueError("signals_of: with feed marks, or a notional at mark or last price, end and event_age_max_s must be left as they are")
        return _batch_signals(tape, instrument, config, event_age_max_s, end)
    signals = tape.signals(config, band)
    signals = signals[(signals["instrument"] == instrument) & (signals["ts"] <= end)]
    places, unknown = _places(tape, instrument, signals)
    if unknown is None:
        return signals, places
    if not batch:
        raise ValueError(unknown)
    exact, places = _batch_signals(tape, instrument, config, event_age_max_s, int(tape.end))
    exact, places = exact[exact["ts"] <= end], places[exact["ts"] <= end]
    if exact.tobytes() != signals.tobytes():        # a liquidation that only the door knows to refuse
        raise ValueError(unknown)
    return exact, places


def _batch_signals(tape: Tape, instrument: int, config: CascadeConfig, event_age_max_s: float, end: int) -> tuple[NDArray, NDArray]:
    """By the batch detector, which knows the very liquidation behind every signal."""
    known: Instrument = tape.instruments[instrument]
    own = _own_rare(tape, instrument)
    e, place = tape.rare[own], tape.place[own]
    ticks = tape.trades(instrument)["price"]
    last = np.where(place["trades_before"] > 0, ticks[np.maximum(place["trades_before"] - 1, 0)] if len(ticks) else 0, 0)
    terms = _terms(known)
    price = np.where(last > 0, (last.astype(np.int64) * terms["tick_mantissa"]).astype(np.float64) / terms["tick_power"], e["price"])
    notional = np.where(e["aux_price"] > 0.0, e["aux_price"], e["qty"] * known.multiplier * e["price"])
    stale = e["ts_recv"] - e["ts_event"] > int(event_age_max_s * 1e9)
    always = CENSORED if known.completeness == Completeness.COMPLETENESS_CENSORED else 0
    flags = np.append(np.where(stale, STALE, 0), 0).astype(np.uint8) | np.uint8(always)
    ts, side, notional = (np.ascontiguousarray(column) for column in (e["ts_recv"], e["side"], notional))
    signals, cause = _run(ts, side, notional, price, flags, config, end)
    signals["instrument"] = instrument
    places = np.full((len(signals), 2), TIMED, np.int64)
    caused = cause >= 0
    places[caused, 0], places[caused, 1] = place["trades_before"][cause[caused]], place["quotes_before"][cause[caused]]
    return signals, places


def _own_rare(tape: Tape, instrument: int) -> NDArray[np.int64]:
    return np.flatnonzero((tape.rare["kind"] == Kind.LIQUIDATION) & (tape.rare["instrument"] == instrument))


def locate(tape: Tape, instrument: int, signals: NDArray) -> NDArray[np.int64]:
    """Where signals stand in the instrument's history: rows (trades before, quotes before), or -1 for signals that came with the passing of time.

    ValueError where the times do not tell: several liquidations of one nanosecond with market data between them, which signals_of can tell apart
    unless the feed has marks (FEED) or the notional is taken at mark or last price.
    """
    places, unknown = _places(tape, instrument, signals)
    if unknown is not None:
        raise ValueError(unknown)
    return places


def _places(tape: Tape, instrument: int, signals: NDArray) -> tuple[NDArray[np.int64], str | None]:
    """Places, and what is wrong with them."""
    own = _own_rare(tape, instrument)
    ts, place = tape.rare["ts_recv"][own], tape.place[own]
    out = np.full((len(signals), 2), TIMED, np.int64)
    caused = np.flatnonzero((signals["phase"] == Phase.BUILDING) | (signals["phase"] == Phase.ACTIVE))
    first, last = np.searchsorted(ts, signals["ts"][caused], "left"), np.searchsorted(ts, signals["ts"][caused], "right") - 1
    if (first > last).any():
        return out, (f"signals, row {caused[np.argmax(first > last)]}: no liquidation of the tape has its time: are these the signals of this "
                     "tape and instrument?")
    for n, name in enumerate(("trades_before", "quotes_before")):
        out[caused, n] = place[name][first]
        apart = place[name][first] != place[name][last]
        if apart.any():
            return out, (f"signals, row {caused[np.argmax(apart)]}: several liquidations of its time stand at different places among the trades and "
                         "quotes; give places=, which signals_of returns")
    return out, None


# ---- what the kernel reads ----

def _terms(instrument: Instrument) -> dict[str, float | int]:
    """Tick and lot as exact integers over powers of ten."""
    out: dict[str, float | int] = {}
    for name, text in (("tick", instrument.tick_size), ("lot", instrument.lot_size)):
        whole, _, fraction = text.partition(".")
        out[name + "_mantissa"], out[name + "_power"] = int(whole + fraction), 10.0 ** len(fraction)
        out[name] = out[name + "_mantissa"] / out[name + "_power"]
    return out


def _settings(instrument: Instrument, end: int, *, fills: str, maker_fee: float, taker_fee: float, order_latency_s: float, ack_latency_s: float,
              half_spread: float | None, print_wait_s: float, quote_age_s: float, data_age_max_s: float, collar: float,
              order_notional_max: float, orders_per_signal_max: int) -> NDArray:
    if fills not in ("through", "touch"):
        raise ValueError(f"fills: a sweep knows 'through' and 'touch', got {fills!r}; for queue models use a backtest")
    for name, value, low, high in (("maker_fee", maker_fee, -0.01, 0.01), ("taker_fee", taker_fee, -0.01, 0.01),
                                   ("order_latency_s", order_latency_s, 0.0, 3600.0), ("ack_latency_s", ack_latency_s, 0.0, 3600.0),
                                   ("half_spread", 0.0 if half_spread is None else half_spread, 0.0, 0.1),
                                   ("print_wait_s", print_wait_s, 0.0, 3600.0), ("quote_age_s", quote_age_s, 0.001, 1e9),
                                   ("data_age_max_s", data_age_max_s, 1e-9, 1e6), ("collar", collar, 1e-12, 1.0),
                                   ("order_notional_max", order_notional_max, 1e-12, 1e15), ("orders_per_signal_max", orders_per_signal_max, 1, 4)):
        if not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name}: expected a number from {low:g} to {high:g} (constant for the whole sweep), got {value!r}")
    t = np.zeros(1, TERMS)
    for name, value in (_terms(instrument) | {
            "touch": fills == "touch", "order_latency": round(order_latency_s * 1e9), "ack_latency": round(ack_latency_s * 1e9),
            "half_spread": -1 if half_spread is None else round(half_spread * SCALE), "print_wait": round(print_wait_s * 1e9),
            "quote_age": round(quote_age_s * 1e9), "data_age_max": int(data_age_max_s * 1e9),
            "lots_min": instrument.min_lots, "lots_max": instrument.max_lots,
            "requotes_max": orders_per_signal_max - 1, "end": end, "maker_fee": maker_fee, "taker_fee": taker_fee,
            "multiplier": instrument.multiplier, "notional_min": instrument.min_notional, "notional_max": order_notional_max,
            "collar": collar}).items():
        t[name] = value
    t["slow"] = t["order_latency"] + t["ack_latency"] >= ANSWER_NS
    return t


def _calls(m: Columns, signals: NDArray, sides: NDArray, places: NDArray, reference: NDArray | None, terms: NDArray) -> tuple[NDArray, NDArray]:
    """Signals as the kernel wants them: those that the policy acts on, and all of them for exits by phase."""
    ts = signals["ts"]
    timed = places[:, 0] < 0
    trade = np.where(timed, np.searchsorted(m.ts, ts, "left"), places[:, 0])
    quote = np.where(timed, np.searchsorted(m.quote_ts, ts, "left"), places[:, 1])
    phases = np.zeros(len(signals), PHASES)
    for name, value in (("ts", ts), ("timed", timed), ("trade", trade), ("quote", quote)):
        phases[name] = value
    for name in ("phase", "sequence"):
        phases[name] = signals[name]
    at = np.flatnonzero(sides)
    calls = np.zeros(len(at), CALL)
    for name in ("ts", "timed", "trade", "quote", "sequence"):
        calls[name] = phases[name][at]
    trade, quote = trade[at], quote[at]
    calls["row"], calls["side"] = at, np.sign(sides[at])
    calls["last"] = np.where(trade > 0, m.price[np.maximum(trade - 1, 0)] if len(m.price) else 0, 0)
    calls["reference"] = calls["last"] if reference is None else np.where(reference[at] > 0, reference[at], calls["last"])
    fresh = np.where(trade > 0, m.ts[np.maximum(trade - 1, 0)] if len(m.ts) else 0, 0)
    calls["stale"] = calls["ts"] - fresh > terms["data_age_max"][0]
    ended_at(m, terms[0], trade, quote, ts[at], timed[at], calls["ended"])
    flags = signals["flags"][at]
    calls["reason"] = np.where(flags & UNCERTAIN_FLAG, REASON_UNCERTAIN, np.where(flags & STALE_FLAG, REASON_STALE_EVENT, 0))
    return calls, phases


def _prepare(tape, instrument, signals, sides, places, reference, end, options):
    """Check what the caller gave, and put it into the kernel's words: (columns, terms, calls, phases)."""
    if not 0 <= instrument < len(tape.instruments):
        raise ValueError(f"instrument: expected 0 to {len(tape.instruments) - 1}, got {instrument!r}")
    signals, sides = np.asarray(signals), np.asarray(sides)
    if signals.dtype != SIGNAL_DTYPE or signals.ndim != 1 or (signals["instrument"] != instrument).any() or (np.diff(signals["ts"]) < 0).any():
        raise ValueError(f"signals: expected a one-dimensional array of SIGNAL_DTYPE of instrument {instrument}, in order of time")
    if sides.shape != signals.shape or not np.isin(sides, (-1, 0, 1)).all():
        raise ValueError(f"sides: expected {len(signals)} values of +1, -1 or 0 (nothing wanted), one a signal")
    places = locate(tape, instrument, signals) if places is None else np.asarray(places)
    if places.shape != (len(signals), 2):
        raise ValueError(f"places: expected shape ({len(signals)}, 2), got {places.shape}")
    if reference is not None:
        reference = np.asarray(reference)
        if reference.shape != signals.shape or reference.dtype.kind not in "iu" or (reference < 0).any() or (reference >= 2 ** 31).any():
            raise ValueError(f"reference: expected {len(signals)} prices in ticks (integers from 0 to 2**31 - 1, 0 = last trade), one a signal")
    m = columns(tape, instrument)
    terms = _settings(tape.instruments[instrument], tape.end if end is None else end, **options)
    return m, terms, *_calls(m, signals, sides, places, reference, terms)


# ---- the sweep ----

def sweep(tape: Tape, instrument: int, signals: NDArray, sides: ArrayLike, grid: Grid, *, places: NDArray | None = None,
          reference: ArrayLike | None = None, end: int | None = None, threads: int | None = None, chunk: int = 4096,
          on_progress: Callable[[int, int], None] | None = None,
          fills: str = "through", maker_fee: float = 0.0002, taker_fee: float = 0.00055, order_latency_s: float = 0.05, ack_latency_s: float = 0.05,
          half_spread: float | None = None, print_wait_s: float = 5.0, quote_age_s: float = 10.0, data_age_max_s: float = 1.0,
          collar: float = 0.02, order_notional_max: float = 25_000.0, orders_per_signal_max: int = 3) -> NDArray:
    """Run every setting of a grid over the same signals: an array of RESULT_DTYPE, one row a setting.

    tape: liqcore.Tape. signals: SIGNAL_DTYPE, all of one instrument's (all phases), in order; sides: +1 or -1 where the policy wants a bracket of
    that side, else 0. places: where the signals stand (signals_of returns them; None = found by their times). reference: ticks that entry offsets
    count from; 0 or None = last trade. end: stop there, ns (None = end of the tape): what is due by then is served, then positions stay open.
    fills, fees, latencies, half_spread, print_wait_s: as SimVenue; quote_age_s: as Engine; data_age_max_s, collar, order_notional_max,
    orders_per_signal_max: as Risk.
    threads: None = all. on_progress(done, total) is called after every `chunk` settings. The result does not depend on threads or chunk.
    ValueError for what makes no sense; RuntimeError where a setting had more than 4096 reports under way.
    """
    options = {"fills": fills, "maker_fee": maker_fee, "taker_fee": taker_fee, "order_latency_s": order_latency_s, "ack_latency_s": ack_latency_s,
               "half_spread": half_spread, "print_wait_s": print_wait_s, "quote_age_s": quote_age_s,
               "data_age_max_s": data_age_max_s, "collar": collar, "order_notional_max": order_notional_max,
               "orders_per_signal_max": orders_per_signal_max}
    m, terms, calls, phases = _prepare(tape, instrument, signals, sides, places, reference, end, options)
    results = np.zeros(len(grid), RESULT_DTYPE)
    results["days"] = max(0, int(terms["end"][0]) // DAY_NS - int(tape.start) // DAY_NS + 1)
    _run_chunks(m, terms, grid.rows, calls, phases, results, threads, chunk, on_progress)
    return results


def _run_chunks(m, terms, rows, calls, phases, results, threads, chunk, on_progress):
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if chunk < 1 or threads is not None and not 1 <= threads <= most:
        raise ValueError(f"chunk: expected at least 1; threads: None or 1 to {most}; got {chunk!r}, {threads!r}")
    before, none, counts = numba.get_num_threads(), np.zeros(0, TRADE_DTYPE), np.zeros(len(rows), np.int64)
    numba.set_num_threads(before if threads is None else threads)
    try:
        for first in range(0, len(rows), chunk):
            last = min(first + chunk, len(rows))
            run(m, terms, rows[first:last], calls, phases, results[first:last], none, counts[first:last])
            if on_progress is not None:
                on_progress(last, len(rows))
    finally:
        numba.set_num_threads(before)
    if results["lost"].any():
        raise RuntimeError(f"setting {int(np.argmax(results['lost'] > 0))}: more than 4096 reports were under way at once; shorten the ack latency")


OPTIONS = {name: parameter.default for name, parameter in list(signature(sweep).parameters.items())[-12:]}


def trades_of(tape: Tape, instrument: int, signals: NDArray, sides: ArrayLike, grid: Grid, setting: int = 0, *, places: NDArray | None = None,
              reference: ArrayLike | None = None, end: int | None = None, **options: Any) -> NDArray:
    """The trades of one setting of a grid: an array of TRADE_DTYPE, in order of time. Arguments as for sweep.

    signal: row of `signals`; ts_open, ts_exit: first entry and last exit fill as the engine heard of them; ts_flat: when all was confirmed; prices
    are averages; reason: Reason. A position left open at the end has open = 1, ts_flat = 0 and no result (nan).
    """
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown:
        raise TypeError(f"trades_of: unknown argument {', '.join(unknown)}; expected {', '.join(OPTIONS)}")
    m, terms, calls, phases = _prepare(tape, instrument, signals, sides, places, reference, end, OPTIONS | options)
    trades, counts = np.zeros(len(calls), TRADE_DTYPE), np.zeros(1, np.int64)
    run(m, terms, grid[setting].rows, calls, phases, np.zeros(1, RESULT_DTYPE), trades, counts)
    return trades[:counts[0]]


def sweep_detectors(tape: Tape, instrument: int, detectors: Sequence[CascadeConfig], grid: Grid, *, sides: Callable[[NDArray], ArrayLike] = fade,
                    on_progress: Callable[[int, int], None] | None = None, **options: Any) -> NDArray:
    """Every detector with every setting: RESULT_DTYPE of shape (detectors, settings). Signals are computed once a detector, the market's index once.

    sides: signals -> sides, the policy. on_progress(done, total) counts settings. Other options as for sweep.
    """
    out = np.zeros((len(detectors), len(grid)), RESULT_DTYPE)
    for n, config in enumerate(detectors):
        signals, places = signals_of(tape, instrument, config)
        out[n] = sweep(tape, instrument, signals, sides(signals), grid, places=places, **options)
        if on_progress is not None:
            on_progress((n + 1) * len(grid), out.size)
    return out


def daily_sharpe(results: NDArray) -> NDArray[np.float64]:
    """Sharpe ratio of the daily net results, a year being 365 days; days without a trade count as 0. nan below two days."""
    days = np.asarray(results["days"], np.float64)
    with np.errstate(all="ignore"):
        mean = results["net"] / days
        deviation = np.sqrt(np.maximum(results["daily_squares"] - days * mean * mean, 0.0) / (days - 1.0))
        return np.where((days > 1) & (deviation > 0.0), mean / deviation * np.sqrt(365.0), np.nan)
