"""The price path for drawing: recorded frames, decoded by the venue's own decoder, or the tape of a backtest, reduced to buckets of low, high, last.

Memory does not grow with the recording: which spans of time will be drawn is known from the audit stream before the first frame is read.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liqcore import EVENT_DTYPE, AuditKind, Kind, Tape
from liqshell.errors import LiqshellError
from liqshell.recording.reader import read
from liqshell.report.run import Run
from liqshell.report.stories import Cascade, Ledger

OVERVIEW_BUCKETS = 2000
WINDOW_BUCKETS = 480
CASCADES_DRAWN = 160
BEFORE_NS, AFTER_NS = 60_000_000_000, 120_000_000_000
CHUNK = 1 << 17
TAPE_PIECE = 1 << 20
FRAME_EVENTS = 4096
MS = 1_000_000
NO_FRAMES = "The run kept no frames, so the chart has no price path: it shows orders, fills and signals only."


@dataclass
class Series:
    """One span of time in equal buckets; ticks as integers, TICKS_NONE where nothing was traded. Notional by liquidated side beside it."""

    start: int
    end: int
    count: int
    low: np.ndarray = field(init=False)
    high: np.ndarray = field(init=False)
    last: np.ndarray = field(init=False)
    longs: np.ndarray = field(init=False)
    shorts: np.ndarray = field(init=False)

    def __post_init__(self):
        self.low = np.full(self.count, np.iinfo(np.int64).max)
        self.high = np.full(self.count, -1, np.int64)
        self.last = np.full(self.count, -1, np.int64)
        self.longs, self.shorts = np.zeros(self.count), np.zeros(self.count)

    def bucket(self, ts: np.ndarray) -> np.ndarray:
        span = max(1, self.end - self.start)
        return np.minimum(((ts - self.start) / span * self.count).astype(np.int64), self.count - 1)

    def add_trades(self, ts: np.ndarray, ticks: np.ndarray) -> None:
        """Trades in order of time."""
        first, last = np.searchsorted(ts, (self.start, self.end + 1))
        if last <= first:
            return
        ticks = ticks[first:last]
        at = self.bucket(ts[first:last])
        starts = np.flatnonzero(np.diff(at, prepend=-1))
        where = at[starts]
        self.low[where] = np.minimum(self.low[where], np.minimum.reduceat(ticks, starts))
        self.high[where] = np.maximum(self.high[where], np.maximum.reduceat(ticks, starts))
        self.last[where] = ticks[np.append(starts[1:], len(at)) - 1]

    def add_liquidations(self, ts: np.ndarray, side: np.ndarray, notional: np.ndarray) -> None:
        inside = (ts >= self.start) & (ts <= self.end)
        at, side, notional = self.bucket(ts[inside]), side[inside], notional[inside]
        np.add.at(self.longs, at[side > 0], notional[side > 0])
        np.add.at(self.shorts, at[side < 0], notional[side < 0])

    def as_dict(self, origin: int) -> dict[str, Any] | None:
        """Small JSON: only buckets that hold something, ticks counted from the lowest; None where nothing was traded."""
        at = np.flatnonzero(self.high >= 0)
        if not len(at):
            return None
        base = int(self.low[at].min())
        liquidated = np.flatnonzero((self.longs > 0) | (self.shorts > 0))
        return {
            "t0": (self.start - origin) / MS,
            "dt": (self.end - self.start) / MS / self.count,
            "base": base,
            "i": np.diff(at, prepend=0).tolist(),
            "lo": (self.low[at] - base).tolist(),
            "hi": (self.high[at] - self.low[at]).tolist(),
            "c": (self.last[at] - base).tolist(),
            "li": liquidated.tolist(),
            "l": np.rint(self.longs[liquidated]).astype(int).tolist(),
            "s": np.rint(self.shorts[liquidated]).astype(int).tolist(),
        }


@dataclass
class Paths:
    """Prices per instrument: first the overview, then the windows; `last` trade price; `problem` says why data is missing."""

    series: list[list[Series]]
    last: dict[int, tuple[int, float]] = field(default_factory=dict)
    trades: int = 0
    problem: str = ""


def drawn(ledger: Ledger) -> list[Cascade]:
    """The cascades that get a drawing of their own, in order of time: those that were traded first, then the largest."""
    at = ledger.seen_at
    rows = ledger.cascade_rows[at]
    filled = np.append(ledger.bracket_rows["fills"] > 0, False)[rows["bracket"]]
    order = np.lexsort((-(rows["long_notional"] + rows["short_notional"]), rows["bracket"] < 0, ~filled))[:CASCADES_DRAWN]
    return sorted((ledger.cascade(k) for k in at[order].tolist()), key=lambda c: (c.start, c.instrument))


def windows(run: Run, ledger: Ledger) -> list[list[Series]]:
    """The spans to be filled: the whole run, each drawn cascade, and each bracket that outlives its cascade's span."""
    out = [[Series(run.started_ns, run.ended_ns, OVERVIEW_BUCKETS)] for _ in run.instruments]
    for c in drawn(ledger):
        start, end = max(run.started_ns, c.start - BEFORE_NS), min(run.ended_ns, c.last_large + AFTER_NS)
        spans = [(start, end)]
        if c.bracket is not None:
            over = min(run.ended_ns, (c.bracket.flat or run.ended_ns) + AFTER_NS // 2)
            if over - start <= 2 * (end - start):
                spans = [(start, max(end, over))]
            else:
                spans.append((start, over))
        out[c.instrument] += [Series(a, b, WINDOW_BUCKETS) for a, b in spans if b > a]
    return out


DRAWN = ("publicTrade", "allLiquidation", "liquidation", "aggTrade", "forceOrder", "trades")  # streams of what is drawn, whatever the venue


VALUES = ("price", "qty", "aux_price", "aux_qty")  # of an event, and of the record of its refusal


class _Refused:
    """The events that validation refused, by the audit stream. They changed nothing, so they are not drawn. Each record is one event."""

    def __init__(self, run: Run):
        rows = run.of_kind(int(AuditKind.AUDIT_REFUSED))
        rows = rows[np.isin(rows["phase"], (int(Kind.TRADE), int(Kind.LIQUIDATION)))]
        self._ts = np.unique(rows["id"])
        self.left = Counter(
            zip(
                rows["phase"].tolist(),
                rows["instrument"].tolist(),
                rows["id"].tolist(),
                rows["side"].tolist(),
                (values.tobytes() for values in np.stack([rows[name] for name in VALUES], axis=1)),
                strict=True,
            )
        )
        trades = rows[rows["phase"] == int(Kind.TRADE)]
        self._trades = {int(n): trades[trades["instrument"] == n] for n in np.unique(trades["instrument"])}

    def kept(self, events: np.ndarray) -> np.ndarray:
        """The events without those that were refused."""
        if not self.left:
            return events
        good = np.ones(len(events), bool)
        for row in np.flatnonzero(np.isin(events["ts_event"], self._ts)).tolist():
            e = events[row]
            values = np.array([e[name] for name in VALUES]).tobytes()
            key = int(e["kind"]), int(e["instrument"]), int(e["ts_event"]), int(e["side"]), values
            if self.left.get(key, 0):
                self.left[key] -= 1
                good[row] = False
        return events[good]

    def of_tape(self, n: int, ts: np.ndarray, ticks: np.ndarray, tick: float) -> np.ndarray:
        """Which trades of a tape were refused: a tape has the time of receipt and the price of each."""
        bad = np.zeros(len(ts), bool)
        for e in self._trades.get(n, ()):
            first, last = np.searchsorted(ts, (int(e["ts"]), int(e["ts"]) + 1))
            same = np.flatnonzero(~bad[first:last] & (np.asarray(ticks[first:last]) == round(float(e["price"]) / tick)))[:1]
            bad[first + same] = True
        return bad


class _Reduction:
    """Events into series, a chunk at a time."""

    def __init__(self, run: Run, paths: Paths):
        self.run, self.paths, self.refused = run, paths, _Refused(run)

    def add(self, events: np.ndarray) -> None:
        events = self.refused.kept(events)
        for n, instrument in enumerate(self.run.instruments):
            mine = events[events["instrument"] == n]
            trades = mine[mine["kind"] == Kind.TRADE]
            # also of a run whose audit stream is cut: a NaN or a zero would spoil the axis
            trades = trades[np.isfinite(trades["price"]) & (trades["price"] > 0)]
            if len(trades):
                ts = np.maximum.accumulate(trades["ts_recv"])
                ticks = np.rint(trades["price"] / float(instrument.tick_size)).astype(np.int64)
                for series in self.paths.series[n]:
                    series.add_trades(ts, ticks)
                self.paths.last[n] = (int(ts[-1]), float(trades["price"][-1]))
                self.paths.trades += len(trades)
            forced = mine[mine["kind"] == Kind.LIQUIDATION]
            if len(forced):
                notional = np.where(forced["aux_price"] > 0, forced["aux_price"], forced["price"] * forced["qty"] * instrument.multiplier)
                notional = np.where(np.isfinite(notional) & (notional > 0), notional, 0.0)
                for series in self.paths.series[n]:
                    series.add_liquidations(forced["ts_recv"], forced["side"], notional)


def tape_paths(run: Run, ledger: Ledger, tape: Tape) -> Paths:
    """The price path of every instrument from the tape of a backtest, a piece at a time."""
    paths = Paths(windows(run, ledger))
    reduction = _Reduction(run, paths)
    for n, instrument in enumerate(run.instruments):
        found = tape.trades(n)
        ts, ticks = found["ts"], found["price"]
        bad = reduction.refused.of_tape(n, ts, ticks, float(instrument.tick_size))
        if bad.any():
            ts, ticks = np.asarray(ts)[~bad], np.asarray(ticks)[~bad]
        for series in paths.series[n]:
            first, last = np.searchsorted(ts, (series.start, series.end + 1)).tolist()
            for at in range(first, last, TAPE_PIECE):
                stop = min(at + TAPE_PIECE, last)
                series.add_trades(np.asarray(ts[at:stop]), np.asarray(ticks[at:stop], np.int64))
        if len(ts):
            paths.last[n] = (int(ts[-1]), float(ticks[-1]) * float(instrument.tick_size))
            paths.trades += len(ts)
    rare = tape.rare
    forced = np.flatnonzero(rare["kind"] == int(Kind.LIQUIDATION))
    for at in range(0, len(forced), CHUNK):
        reduction.add(rare.take(forced[at : at + CHUNK]))
    return paths


def read_paths(run: Run, ledger: Ledger) -> Paths:
    """The price path of every instrument from the recorded frames. `problem` names missing or damaged data."""
    paths = Paths(windows(run, ledger))
    folder = run.folder / "frames"
    if not run.frames:
        paths.problem = NO_FRAMES
        return paths
    reduction = _Reduction(run, paths)
    events, used = np.zeros(CHUNK + FRAME_EVENTS, EVENT_DTYPE), 0
    reader = read(folder)
    try:
        from liqshell.run.venue_source import source_named, sources_of  # sockets: not for those who draw a tape
        from liqshell.venues.adapters import OWN_VENUES

        sources = sources_of(
            {"instruments": [i.as_dict() for i in run.instruments], "gap_ns": 1, "feeds": run.table("settings").get("feeds")}, None, folder
        )
        own = {name for name in sources if name in OWN_VENUES}  # whose frames have no label
        for record in reader:
            if record.stream.startswith(DRAWN) or record.exchange in own:
                found = source_named(sources, record.exchange, str(folder)).events(record.frame, record.ts_recv)
                events[used : used + len(found)] = found
                used += len(found)
                if used >= CHUNK:
                    reduction.add(events[:used])
                    used = 0
    except (LiqshellError, OSError, ValueError) as error:
        paths.problem = f"Only a part of the frames is readable: {error}"
    reduction.add(events[:used])
    if reader.damage and not paths.problem:
        paths.problem = f"A part of the recording is damaged: {reader.damage_text()}"
    return paths
