"""Sweeps: thousands of bracket settings over the same signals, at the cost of their trades and not of the market's ticks (all cores).

    signals, places = signals_of(tape, 0, CascadeConfig())
    grid = Grid.product(entry_offset=[0.001, 0.0015], take_profit=[0.001, 0.002], stop_loss=0.0025, notional=1000)
    results = sweep(tape, 0, signals, fade(signals), grid, places=places, fills="through")

Every setting gives the trades of Paper.run (and Walk) for the same events: times, prices, quantities, reasons, fees and result to the last bit. Its
code is separate from that of the engine, so that each tests the other. It supports one instrument at a time; fills 'through' and 'touch'; stops at
the next price; constant latencies; a fixed notional. Anything else is refused, not approximated. Of the engine's risk rules it applies those of a
single order (flags and age of the signal's data, collar, quantity, notional, requotes). Rules of the account or of other orders need a backtest:
exposure, leverage, positions, loss limits, orders a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqcore.detectors.cascade import CascadeConfig
from liqcore.event import SIGNAL_DTYPE, Kind, Phase, Stream
from liqcore.fees import MAKER_FEE, TAKER_FEE
from liqcore.instrument import Instrument
from liqcore.parallel import cores
from liqcore.simulation.tape import Tape
from liqcore.sweep.blocks import run_blocks
from liqcore.sweep.columns import Columns, columns, interruptions, of_stream
from liqcore.sweep.grid import GRID_DTYPE, Grid
from liqcore.sweep.kernel import Market
from liqcore.sweep.records import (
    ANSWER_NS,
    CALL,
    DAY_NS,
    PHASES,
    REASON_STALE_EVENT,
    REASON_UNCERTAIN,
    RESULT_DTYPE,
    SCALE,
    TERMS,
    TRADE_DTYPE,
)

__all__ = [
    "GRID_DTYPE",
    "RESULT_DTYPE",
    "TRADE_DTYPE",
    "Grid",
    "Task",
    "daily_sharpe",
    "fade",
    "locate",
    "signals_of",
    "sweep",
    "sweep_detectors",
    "trades_of",
]

CHUNK = 1 << 14  # settings between two calls of on_progress
UNCERTAIN_FLAG, STALE_FLAG = 1, 2
TIMED = -1


def fade(signals: NDArray) -> NDArray[np.int8]:
    """Sides of a policy that answers every ACTIVE signal with a bracket on the liquidated side (it buys if longs were closed by force)."""
    return np.where(signals["phase"] == Phase.ACTIVE, signals["side"], 0).astype(np.int8)


# ---- signals ----


def signals_of(
    tape: Tape, instrument: int, config: CascadeConfig | None = None, *, event_age_max_s: float = 2.0, band: float = 10.0, end: int | None = None
) -> tuple[NDArray, NDArray]:
    """The cascade detector's signals of one instrument of a tape, and their places, as `sweep` takes them in `signals` and `places`.

    The same signals as the engine's (SIGNAL_DTYPE), all phases. end: let time pass until then, ns (None = end of the tape). event_age_max_s: as Risk;
    band: as Engine.
    """
    signals, where = tape.signals(config, band, event_age_max_s=event_age_max_s, end=end, places=True)
    own = signals["instrument"] == instrument
    return signals[own], where[own].view(np.int64).reshape(-1, 3)


def locate(tape: Tape, instrument: int, signals: NDArray) -> NDArray[np.int64]:
    """Places of signals in the instrument's history, by their times: rows (trades before, quotes before, interruptions of the quotes before), or -1
    for signals caused by a deadline.

    ValueError if the times are ambiguous: several liquidations of one nanosecond with market data between them, which signals_of can distinguish.
    """
    own = np.flatnonzero((tape.rare["kind"] == Kind.LIQUIDATION) & (tape.rare["instrument"] == instrument))
    ts, place = tape.rare["ts_recv"][own], tape.place[own]
    out = np.full((len(signals), 3), TIMED, np.int64)
    caused = np.flatnonzero((signals["phase"] == Phase.BUILDING) | (signals["phase"] == Phase.ACTIVE))
    first, last = np.searchsorted(ts, signals["ts"][caused], "left"), np.searchsorted(ts, signals["ts"][caused], "right") - 1
    if (first > last).any():
        raise ValueError(
            f"signals, row {caused[np.argmax(first > last)]}: no liquidation of the tape has its time: are these the signals of this "
            "tape and instrument?"
        )
    for n, name in enumerate(("trades_before", "quotes_before")):
        out[caused, n] = place[name][first]
        apart = place[name][first] != place[name][last]
        if apart.any():
            raise ValueError(
                f"signals, row {caused[np.argmax(apart)]}: several liquidations of its time stand at different places among the trades "
                "and quotes; give places=, which signals_of returns"
            )
    out[caused, 2] = np.searchsorted(of_stream(tape, interruptions(tape, instrument), Stream.STREAM_QUOTE), own[last])
    return out


# ---- input of the kernel ----


def _terms(instrument: Instrument) -> dict[str, float | int]:
    """Tick and lot as exact integers over powers of ten."""
    out: dict[str, float | int] = {}
    for name, text in (("tick", instrument.tick_size), ("lot", instrument.lot_size)):
        whole, _, fraction = text.partition(".")
        out[name + "_mantissa"], out[name + "_power"] = int(whole + fraction), 10.0 ** len(fraction)
        out[name] = out[name + "_mantissa"] / out[name + "_power"]
    return out


def _settings(
    instrument: Instrument,
    end: int,
    *,
    fills: str,
    maker_fee: float,
    taker_fee: float,
    order_latency_s: float,
    ack_latency_s: float,
    half_spread: float | None,
    print_wait_s: float,
    quote_age_s: float,
    data_age_max_s: float,
    collar: float,
    order_notional_max: float,
    orders_per_signal_max: int,
) -> NDArray:
    if fills not in ("through", "touch"):
        raise ValueError(f"fills: a sweep knows 'through' and 'touch', got {fills!r}; for queue models use a backtest")
    for name, value, low, high in (
        ("maker_fee", maker_fee, -0.01, 0.01),
        ("taker_fee", taker_fee, -0.01, 0.01),
        ("order_latency_s", order_latency_s, 0.0, 3600.0),
        ("ack_latency_s", ack_latency_s, 0.0, 3600.0),
        ("half_spread", 0.0 if half_spread is None else half_spread, 0.0, 0.1),
        ("print_wait_s", print_wait_s, 1e-12, 3600.0),
        ("quote_age_s", quote_age_s, 0.001, 1e9),
        ("data_age_max_s", data_age_max_s, 1e-9, 1e6),
        ("collar", collar, 1e-12, 1.0),
        ("order_notional_max", order_notional_max, 1e-12, 1e15),
        ("orders_per_signal_max", orders_per_signal_max, 1, 4),
    ):
        if not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name}: expected a number from {low:g} to {high:g} (constant for the whole sweep), got {value!r}")
    t = np.zeros(1, TERMS)
    for name, value in (
        _terms(instrument)
        | {
            "touch": fills == "touch",
            "order_latency": round(order_latency_s * 1e9),
            "ack_latency": round(ack_latency_s * 1e9),
            "half_spread": -1 if half_spread is None else round(half_spread * SCALE),
            "print_wait": max(round(print_wait_s * 1e9), 1),
            "quote_age": round(quote_age_s * 1e9),
            "data_age_max": int(data_age_max_s * 1e9),
            "lots_min": instrument.min_lots,
            "lots_max": instrument.max_lots,
            "requotes_max": orders_per_signal_max - 1,
            "end": end,
            "maker_fee": maker_fee,
            "taker_fee": taker_fee,
            "multiplier": instrument.multiplier,
            "notional_min": instrument.min_notional,
            "notional_max": order_notional_max,
            "collar": collar,
        }
    ).items():
        t[name] = value
    t["slow"] = t["order_latency"] + t["ack_latency"] >= ANSWER_NS
    return t


def _calls(market: Market, signals: NDArray, sides: NDArray, places: NDArray, reference: NDArray | None, terms: NDArray) -> tuple[NDArray, NDArray]:
    """Signals in the kernel's form: those that the policy acts on, and all of them for exits by phase."""
    m: Columns = market.columns
    ts = signals["ts"]
    timed = places[:, 0] < 0
    trade, quote = np.array(places[:, :2].T, np.int64)
    lost = np.flatnonzero(timed & (sides != 0))  # other signals caused by a deadline need no place
    trade[lost], quote[lost] = np.searchsorted(m.ts, ts[lost], "left"), np.searchsorted(m.quote_ts, ts[lost], "left")
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
    later = np.zeros(len(at), np.int64)  # 1: an interruption of the signal's own moment and place stands before it
    for n in np.flatnonzero(np.isin(ts[at], m.gap_ts)) if len(m.gap_ts) else ():
        same = (m.gap_ts == ts[at[n]]) & (m.gap_trades == trade[n]) & (m.gap_quotes == quote[n])
        later[n] = same.any() and np.argmax(same) >= places[at[n], 2]
    calls["ended"] = market.ended_at(terms, trade, quote, ts[at], np.where(timed[at], 0, trade + 1 - later))
    calls["closed"] = np.searchsorted(m.closed, ts[at], side="right") & 1
    flags = signals["flags"][at]
    calls["reason"] = np.where(flags & UNCERTAIN_FLAG, REASON_UNCERTAIN, np.where(flags & STALE_FLAG, REASON_STALE_EVENT, 0))
    return calls, phases


def _prepare(tape, instrument, signals, sides, places, reference, end, closed, options):
    """Check the arguments and convert them to the kernel's form: (market, terms, calls, phases)."""
    if not 0 <= instrument < len(tape.instruments):
        raise ValueError(f"instrument: expected 0 to {len(tape.instruments) - 1}, got {instrument!r}")
    signals, sides = np.asarray(signals), np.asarray(sides)
    if signals.dtype != SIGNAL_DTYPE or signals.ndim != 1 or (signals["instrument"] != instrument).any() or (np.diff(signals["ts"]) < 0).any():
        raise ValueError(f"signals: expected a one-dimensional array of SIGNAL_DTYPE of instrument {instrument}, in order of time")
    if sides.shape != signals.shape or not ((sides == 0) | (sides == 1) | (sides == -1)).all():
        raise ValueError(f"sides: expected {len(signals)} values of +1, -1 or 0 (nothing wanted), one a signal")
    places = locate(tape, instrument, signals) if places is None else np.asarray(places)
    if places.shape != (len(signals), 3):
        raise ValueError(f"places: expected shape ({len(signals)}, 3), got {places.shape}")
    if reference is not None:
        reference = np.asarray(reference)
        if reference.shape != signals.shape or reference.dtype.kind not in "iu" or (reference < 0).any() or (reference >= 2**31).any():
            raise ValueError(f"reference: expected {len(signals)} prices in ticks (integers from 0 to 2**31 - 1, 0 = last trade), one a signal")
    closed = np.zeros(0, np.int64) if closed is None else np.ascontiguousarray(closed)
    if closed.dtype != np.int64 or len(closed) % 2 or (np.diff(closed) <= 0).any():
        raise ValueError("closed: expected rising int64 times in pairs, from and to: what Timetable.closed() returns")
    market = Market(columns(tape, instrument, closed))
    terms = _settings(tape.instruments[instrument], tape.end if end is None else end, **options)
    return market, terms, *_calls(market, signals, sides, places, reference, terms)


# ---- the sweep ----


class Task:
    """Data shared by all settings: the market of one instrument, and the calls of a policy on it. Arguments as for sweep. start: days count from its
    day on (None = of the tape's first row); no event may be before it."""

    def __init__(
        self,
        tape: Tape,
        instrument: int,
        signals: NDArray,
        sides: ArrayLike,
        *,
        places: NDArray | None = None,
        reference: ArrayLike | None = None,
        start: int | None = None,
        end: int | None = None,
        closed: NDArray[np.int64] | None = None,
        **options: Any,
    ) -> None:
        unknown = sorted(options.keys() - OPTIONS.keys())
        if unknown:
            raise TypeError(f"unknown argument {', '.join(unknown)}; expected {', '.join(OPTIONS)}")
        self.market, self.terms, self.calls, self.phases = _prepare(
            tape, instrument, signals, sides, places, reference, end, closed, OPTIONS | options
        )
        self.first_day = int(tape.start if start is None else start) // DAY_NS
        self.days = max(0, int(self.terms["end"][0]) // DAY_NS - self.first_day + 1)

    def sweep(
        self,
        grid: Grid,
        *,
        threads: int | None = None,
        chunk: int = CHUNK,
        on_progress: Callable[[int, int], None] | None = None,
        daily: NDArray[np.float64] | None = None,
    ) -> NDArray:
        """Run every setting of a grid: see sweep."""
        if chunk < 1 or threads is not None and not 1 <= threads <= cores():
            raise ValueError(f"chunk: expected at least 1; threads: None or 1 to {cores()}; got {chunk!r}, {threads!r}")
        results = np.zeros(len(grid), RESULT_DTYPE)
        results["days"] = self.days
        if daily is not None and (daily.dtype != np.float64 or daily.shape != (len(grid), self.days)):
            raise ValueError(f"daily: expected float64 of shape ({len(grid)}, {self.days}), got {daily.dtype} of {daily.shape}")
        kept = np.zeros((len(grid), 0 if daily is None else self.days))

        def block(which: NDArray[np.intp]) -> None:
            self.market.sweep(self.terms, grid.rows, self.calls, self.phases, results, self.first_day, kept, which=which)

        run_blocks(block, grid.rows, cores() if threads is None else threads, chunk, on_progress)
        if results["lost"].any():
            raise RuntimeError(
                f"setting {int(np.argmax(results['lost'] > 0))}: more than 4096 reports were under way at once; shorten the ack latency"
            )
        if daily is not None:
            daily[:] = kept
        return results

    def trades(self, setting: Grid) -> NDArray:
        """The trades of one setting: see trades_of."""
        trades = np.zeros(len(self.calls), TRADE_DTYPE)
        return trades[: self.market.trades_of(self.terms, setting.rows, self.calls, self.phases, trades)]


def sweep(
    tape: Tape,
    instrument: int,
    signals: NDArray,
    sides: ArrayLike,
    grid: Grid,
    *,
    places: NDArray | None = None,
    reference: ArrayLike | None = None,
    end: int | None = None,
    threads: int | None = None,
    chunk: int = CHUNK,
    on_progress: Callable[[int, int], None] | None = None,
    daily: NDArray[np.float64] | None = None,
    closed: NDArray[np.int64] | None = None,
    fills: str = "through",
    maker_fee: float = MAKER_FEE,
    taker_fee: float = TAKER_FEE,
    order_latency_s: float = 0.05,
    ack_latency_s: float = 0.05,
    half_spread: float | None = None,
    print_wait_s: float = 5.0,
    quote_age_s: float = 10.0,
    data_age_max_s: float = 1.0,
    collar: float = 0.02,
    order_notional_max: float = 25_000.0,
    orders_per_signal_max: int = 3,
) -> NDArray:
    """Run every setting of a grid over the same signals: an array of RESULT_DTYPE, one row a setting.

    tape: liqcore.Tape. signals: SIGNAL_DTYPE, all of one instrument's (all phases), in order; sides: +1 or -1 if the policy wants a bracket of that
    side, else 0. places: the places of the signals (signals_of returns them; None = found by their times). reference: ticks that entry offsets count
    from; 0 or None = last trade. end: stop there, ns (None = end of the tape): deadlines until then are served, and positions stay open. fills, fees,
    latencies, half_spread, print_wait_s: as SimVenue; quote_age_s: as Engine; data_age_max_s, collar, order_notional_max, orders_per_signal_max: as
    Risk.
    threads: None = all. on_progress(done, total) is called after every `chunk` settings. The result does not depend on threads or chunk.
    daily: float64 of shape (settings, days), to be filled with the net result of each day (UTC, by the end of the trade) from the tape's first on.
    closed: times without entries (Timetable.closed of the instrument), None = none. ValueError for invalid arguments; RuntimeError if a setting had
    more than 4096 reports on their way.
    """
    options: dict[str, Any] = {
        "fills": fills,
        "maker_fee": maker_fee,
        "taker_fee": taker_fee,
        "order_latency_s": order_latency_s,
        "ack_latency_s": ack_latency_s,
        "half_spread": half_spread,
        "print_wait_s": print_wait_s,
        "quote_age_s": quote_age_s,
        "data_age_max_s": data_age_max_s,
        "collar": collar,
        "order_notional_max": order_notional_max,
        "orders_per_signal_max": orders_per_signal_max,
    }
    task = Task(tape, instrument, signals, sides, places=places, reference=reference, end=end, closed=closed, **options)
    return task.sweep(grid, threads=threads, chunk=chunk, on_progress=on_progress, daily=daily)


OPTIONS = {name: parameter.default for name, parameter in list(signature(sweep).parameters.items())[-12:]}


def trades_of(
    tape: Tape,
    instrument: int,
    signals: NDArray,
    sides: ArrayLike,
    grid: Grid,
    setting: int = 0,
    *,
    places: NDArray | None = None,
    reference: ArrayLike | None = None,
    end: int | None = None,
    closed: NDArray[np.int64] | None = None,
    **options: Any,
) -> NDArray:
    """The trades of one setting of a grid: an array of TRADE_DTYPE, in order of time. Arguments as for sweep.

    signal: row of `signals`; ts_open, ts_exit: first entry and last exit fill at the time of their reports; ts_flat: when all was confirmed; prices
    are averages; reason: Reason. A position left open at the end has open = 1, ts_flat = 0 and no result (nan).
    """
    return Task(tape, instrument, signals, sides, places=places, reference=reference, end=end, closed=closed, **options).trades(grid[setting])


def sweep_detectors(
    tape: Tape,
    instrument: int,
    detectors: Sequence[CascadeConfig],
    grid: Grid,
    *,
    sides: Callable[[NDArray], ArrayLike] = fade,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> NDArray:
    """Run every detector with every setting: RESULT_DTYPE of shape (detectors, settings). Signals are computed once for each detector, the market's
    index once.

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
    """Sharpe ratio of the daily net results, for a year of 365 days; days without a trade count as 0. nan below two days."""
    days = np.asarray(results["days"], np.float64)
    with np.errstate(all="ignore"):
        mean = results["net"] / days
        deviation = np.sqrt(np.maximum(results["daily_squares"] - days * mean * mean, 0.0) / (days - 1.0))
        return np.where((days > 1) & (deviation > 0.0), mean / deviation * np.sqrt(365.0), np.nan)
