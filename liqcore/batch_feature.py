"""Features over whole histories: the same names, at any times, in any order, without a stream (Numba; like liqcore.batch it is for research only).

Every value is found by searching the arrays: what an event changed is looked up, never carried along. So this is also the proof that the stream,
which carries everything along, does not know more than it should: the two agree to the bit. Only hawkes.* and map.*, whose state depends on every
event before, are walked from the beginning, by batch_excitation and batch_maps.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqcore.batch_excitation import plan_of, readings, shape_of, state_of
from liqcore.batch_feature_kernels import (
    Course,
    Sums,
    bars,
    burst_states,
    correlations,
    judge,
    mean_ends,
    realised,
)
from liqcore.batch_maps import estimated_near, estimated_of, realised_near, realised_of
from liqcore.density import DensityConfig
from liqcore.event import FeedState, Kind, as_events
from liqcore.feature_spec import Feature, parse, slots
from liqcore.feature_table import LARGE_SHARE, MORE_KINDS
from liqcore.hawkes import HawkesConfig
from liqcore.instrument import Instrument
from liqcore.pending import PendingConfig

GAP, DOWN = 100, 101             # marks in an instrument's log, beside its events' kinds
NEVER = np.iinfo(np.int64).max
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
EXCITED = ("intensity_long", "intensity_short", "branching", "next_large")       # as batch_excitation.readings numbers them
CANDLES = ("open", "high", "low", "close")


def _upto(ts: Times, at: Times, before: bool) -> NDArray[np.int64]:
    """How many of ts have come by each time: or, of a history's sample, before it."""
    return np.searchsorted(ts, at, "left" if before else "right")


def _filled(index: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of each row, the last row up to it that is marked; -1 = none."""
    return np.maximum.accumulate(np.where(index, np.arange(index.size), -1)) if index.size else np.zeros(0, np.int64)


class Log:
    """What one instrument was told: its events of the wanted kinds, and the marks of its feed, in their order."""

    def __init__(self, events: NDArray[np.void], n: int, wanted: frozenset[int], multiplier: float) -> None:
        feed = events["kind"] == int(Kind.FEED)
        mine = np.where(feed, (events["instrument"] == n) | (events["instrument"] < 0),
                        np.isin(events["kind"], list(wanted)) & (events["instrument"] == n))
        self.rows, self.place = events[mine], np.flatnonzero(mine)
        self.kind = self.rows["kind"].astype(np.int64)
        down = False
        for k in np.flatnonzero(self.kind == int(Kind.FEED)):
            code = self.rows["code"][k]
            if code == FeedState.FEED_DOWN:
                self.kind[k], down = DOWN, True
            elif (code == FeedState.FEED_UP) == down:
                self.kind[k], down = GAP, False
            else:
                self.kind[k] = 0
        self.rows, self.place, self.kind = (each[self.kind > 0] for each in (self.rows, self.place, self.kind))
        self.ts = np.ascontiguousarray(self.rows["ts_recv"])
        self.mark = _filled(self.kind >= GAP)        # the last gap up to each row
        self.multiplier = multiplier
        self.known: dict[str, Any] = {}           # what has been worked out once

    def since(self, at: Times, before: bool, start: int) -> Times:
        """From when on nothing is missing, as known at each time; NEVER while it is."""
        row = _upto(self.ts, at, before) - 1
        mark = np.where(row >= 0, self.mark[row], -1) if self.ts.size else np.full(at.size, -1)
        if self.ts.size:
            told = np.where(mark >= 0, np.where(self.kind[mark] == DOWN, NEVER, self.ts[mark]), start)
        else:
            told = np.full(at.size, start)
        return np.where((at <= start) if before else (at < start), NEVER, told)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.known:
            self.known[name] = make()
        return self.known[name]

    def chain(self) -> tuple[Times, Floats]:
        """Notionals of liquidations, and 0 at each gap."""
        rows = (self.kind == int(Kind.LIQUIDATION)) | (self.kind >= GAP)
        out = np.zeros(self.ts.size)
        out[self.kind == int(Kind.LIQUIDATION)] = np.abs(self.entries("liquidations").x)
        return self.ts[rows], out[rows]

    # ---- streams of entries ----

    def entries(self, source: str) -> Sums:
        return self.once(source, lambda: Sums(*getattr(self, f"_{source}")()))

    def _liquidations(self) -> tuple[Times, Floats]:
        rows = self.rows[self.kind == int(Kind.LIQUIDATION)]
        notional = np.where(rows["aux_price"] > 0, rows["aux_price"], rows["qty"] * self.multiplier * rows["price"])
        return np.ascontiguousarray(rows["ts_recv"]), notional * rows["side"]

    def _trades(self) -> tuple[Times, Floats]:
        rows = self.rows[self.kind == int(Kind.TRADE)]
        return np.ascontiguousarray(rows["ts_recv"]), rows["qty"] * self.multiplier * rows["price"] * rows["side"]

    def _ofi(self) -> tuple[Times, Floats]:
        """Two entries a quote that follows another without a gap: of the bid, of the ask; those without a change are left out."""
        quote = self.kind == int(Kind.BBO)
        rows, mark = self.rows[quote], self.mark[quote]
        row = np.flatnonzero(quote)
        if rows.size < 2:
            return np.zeros(0, np.int64), np.zeros(0)
        a, b, follows = rows[:-1], rows[1:], mark[1:] < row[:-1]
        bid = np.where(b["price"] >= a["price"], b["qty"], 0.0) - np.where(b["price"] <= a["price"], a["qty"], 0.0)
        ask = np.where(b["aux_price"] >= a["aux_price"], a["aux_qty"], 0.0) - np.where(b["aux_price"] <= a["aux_price"], b["aux_qty"], 0.0)
        x = np.stack((bid, ask), 1)[follows].ravel()
        ts = np.repeat(b["ts_recv"][follows], 2)
        return ts[x != 0], x[x != 0] * self.multiplier

    # ---- courses of values ----

    def course(self, name: str) -> Course:
        """The value each time that it is said, and nan at each gap."""
        return self.once("course " + name, lambda: Course(*self._said(name)))

    def _said(self, name: str) -> tuple[Times, Floats]:
        ticker, rows = self.kind == int(Kind.TICKER), self.rows
        field, said = {
            "price": ("price", self.kind == int(Kind.TRADE)), "bid": ("price", self.kind == int(Kind.BBO)),
            "ask": ("aux_price", self.kind == int(Kind.BBO)), "mark": ("price", ticker & (rows["price"] > 0)),
            "index": ("aux_price", ticker & (rows["aux_price"] > 0)), "oi": ("qty", ticker & (rows["qty"] > 0)),
            "funding": ("aux_qty", ticker & (_filled(ticker & (rows["aux_qty"] != 0)) > self.mark))}[name]
        told = said | (self.kind >= GAP)
        values = rows[field] * self.multiplier if name == "oi" else rows[field]
        return self.ts[told], np.where(said, values, np.nan)[told]


class History:
    """The logs of all instruments, and each base feature at any times."""

    def __init__(self, events: NDArray[np.void], instruments: Sequence[Instrument], features: Sequence[Feature]) -> None:
        wanted = frozenset(kind for f in features for kind in (f.entry.kind, *MORE_KINDS.get(f.entry.source, ())))
        self.instruments = instruments
        self.logs = [Log(events, n, wanted, i.multiplier) for n, i in enumerate(instruments)]
        self.start = min((int(log.ts[0]) for log in self.logs if log.ts.size), default=NEVER)
        self.walked: dict[tuple[str, int, bool, bytes], dict[int, Floats]] = {}       # readings of excitation, of all instruments at once

    def place(self, asset: str, n: int) -> int:
        same = [k for k, i in enumerate(self.instruments) if i.asset.upper() == asset]
        if not same:
            raise ValueError(f"no instrument of {asset} among {', '.join(i.key for i in self.instruments)}; add one")
        return next((k for k in same if self.instruments[k].venue == self.instruments[n].venue), same[0])

    def base(self, f: Feature, n: int, at: Times, before: bool = False) -> Floats:
        """A feature without its transform, at increasing times."""
        key, log, w = f.entry.key, self.logs[n], f.window_ns
        since = log.since(at, before, self.start)
        if key == "funding.funding_avg":
            return self._funding(w, n, at, before)
        if f.entry.source == "state":
            return np.where(since <= at, self._state(key, log, at, before), np.nan)
        if f.entry.source == "hawkes":
            return np.where(since <= at, self._excited(f, n, at, before), np.nan)
        if f.entry.group == "map":
            return np.where(since <= at, self._near(f, log, at, before), np.nan)
        if f.entry.source == "candles":
            return self._candles(f.entry.name, log, w, at, since, before)
        if f.entry.source == "cascade":
            seen, flag, size = burst_states(log.once("chain", log.chain), w, at, before)
            return np.where((seen < 100) | (since > at) | (at - w < since), np.nan, flag if f.entry.name == "liq_cascade_flag" else size)
        count = slots(w)
        step = w // count
        first = at // step - count       # slot in which the window begins
        known = (first >= 0) & (first * step >= since)
        if key == "liquidations.liq_correlation":
            other = self.place("BTC", n)
            known &= first * step >= self.logs[other].since(at, before, self.start)
            values = correlations(log.entries("liquidations"), self.logs[other].entries("liquidations"), first, count, step)
            return np.where(known, values, np.nan)
        if f.entry.source in ("price", "oi"):
            values = self._course(f.entry.name, log.course(f.entry.source), first, count, step, at, before)
            return np.where(known & (first * step > since), values, np.nan)
        return np.where(known, log.entries(f.entry.source).read(f.entry.name, first * step, at, before, w), np.nan)

    def _funding(self, w: int, n: int, at: Times, before: bool) -> Floats:
        count = slots(w)
        step = w // count
        first = at // step - count
        total: Floats = np.zeros(at.size)
        venues: Floats = np.zeros(at.size)
        for k, i in enumerate(self.instruments):
            if i.asset.upper() == self.instruments[n].asset.upper():
                log = self.logs[k]
                mean = mean_ends(log.course("funding"), first, count, step)
                here = (first >= 0) & (first * step > log.since(at, before, self.start)) & ~np.isnan(mean)
                total, venues = np.where(here, total + mean, total), venues + here
        with np.errstate(invalid="ignore"):
            return np.where(venues > 0, total / venues, np.nan)

    def _excited(self, f: Feature, n: int, at: Times, before: bool) -> Floats:
        """One walk reads a venue's instruments together: they excite each other."""
        venue = self.instruments[n].venue
        key = (venue + f.entry.key, f.window_ns, before, at.tobytes())
        if key not in self.walked:
            if len(self.walked) > 3:                 # of the feature before
                self.walked.clear()
            members = [k for k, i in enumerate(self.instruments) if i.venue == venue]
            g = shape_of(HawkesConfig().as_dict())
            quiet = plan_of(g, f.window_ns / 1e9, 1.0 - LARGE_SHARE) if f.window_ns else np.zeros(6)
            values = readings(state_of([0] * len(members), g), g, *self._prints(members), at, before, EXCITED.index(f.entry.name), quiet)
            self.walked[key] = dict(zip(members, values, strict=True))
        return self.walked[key][n]

    def _prints(self, members: Sequence[int]) -> tuple[Times, NDArray[np.int64], NDArray[np.int8], Floats]:
        """Liquidations of several instruments, and gaps (side 0), as they came: ts, place among the members, side, notional."""
        logs = [self.logs[k] for k in members]
        told = [(log.kind == int(Kind.LIQUIDATION)) | (log.kind >= GAP) for log in logs]
        order = np.argsort(np.concatenate([log.place[rows] for log, rows in zip(logs, told, strict=True)]), kind="stable")
        signed = [log.chain() for log in logs]
        sides = [np.where(log.kind >= GAP, 0, log.rows["side"])[rows] for log, rows in zip(logs, told, strict=True)]
        who = np.concatenate([np.full(len(ts), k, np.int64) for k, (ts, _) in enumerate(signed)])
        return (np.concatenate([ts for ts, _ in signed])[order], who[order], np.concatenate(sides).astype(np.int8)[order],
                np.concatenate([x for _, x in signed])[order])

    def _near(self, f: Feature, log: Log, at: Times, before: bool) -> Floats:
        """Notional of a map within a share of the last trade's price."""
        last, share, below = log.course("price").at(at, before), f.window_ns * 1e-6, f.entry.name.endswith("below")
        if f.entry.source == "density":
            forced, traded = log.kind == int(Kind.LIQUIDATION), _filled(log.kind == int(Kind.TRADE))
            price = np.where(traded > log.mark, log.rows["price"][traded], log.rows["price"])      # where the market stood
            seen = log.entries("liquidations")
            return realised_near(realised_of(DensityConfig().as_dict()), seen.ts, np.ascontiguousarray(log.rows["side"][forced]), price[forced],
                                 np.abs(seen.x), last, at, before, share, below)
        said = (log.kind == int(Kind.TICKER)) & (log.rows["qty"] > 0)
        told = said | (log.kind == int(Kind.TRADE))
        rows = log.rows[told]
        return estimated_near(estimated_of(PendingConfig().as_dict()), log.ts[told], np.where(said[told], 0, rows["side"]).astype(np.int8),
                              np.ascontiguousarray(rows["price"]), rows["qty"] * log.multiplier, last, at, before, share, below)

    def _state(self, key: str, log: Log, at: Times, before: bool) -> Floats:
        read = {name: log.course(name).at(at, before) for name in
                {"flow.spread_bps": ("bid", "ask"), "price.last": ("price",), "price.mark": ("mark",), "price.basis": ("mark", "index"),
                 "funding.funding": ("funding",), "oi.oi": ("oi",), "oi.oi_value": ("oi", "mark")}[key]}
        if key == "flow.spread_bps":
            return (read["ask"] - read["bid"]) / ((read["ask"] + read["bid"]) * 0.5) * 1e4
        if key == "price.basis":
            return read["mark"] / read["index"] - 1.0
        return read["oi"] * read["mark"] if key == "oi.oi_value" else next(iter(read.values()))

    def _course(self, name: str, course: Course, first: Times, count: int, step: int, at: Times, before: bool) -> Floats:
        now = course.at(at, before)
        start = course.at(first * step, True)
        if name in ("return", "oi_change"):
            return now / start - 1.0
        if name == "range":
            return course.spread(first * step, at, before) / np.where(np.isnan(start), np.nan, now)
        return np.where(np.isnan(now), np.nan, realised(course, first, count, step))

    def _candles(self, name: str, log: Log, w: int, at: Times, since: Times, before: bool) -> Floats:
        back = 15 if "atr" in name else 1
        bar = at // w
        known = (bar >= back) & (since <= at) & ((bar - back) * w >= np.minimum(since, at + 1))
        values = bars(log.course("price"), w, bar, back)
        out = values[:, CANDLES.index(name)] if back == 1 else values[:, 4] if name == "atr" else values[:, 4] / values[:, 3]
        return np.where(known, out, np.nan)

    def read(self, f: Feature, n: int, at: Times) -> Floats:
        """A feature of an instrument at increasing times."""
        n = self.place(f.asset, n) if f.asset else n
        if not f.transform:
            return self.base(f, n, at)
        step = f.step_ns
        lags = f.transform in ("lag", "change")
        last = (at - f.time_ns) // step if lags else at // step
        first = last if lags else last - f.samples + 1
        moments = np.unique((first[:, None] + np.arange(1 if lags else f.samples)[None, :]).ravel())
        moments = moments[(moments * step > self.start) & (moments > 0)]
        history = self.base(f, n, moments * step, True)
        now = self.base(f, n, at) if f.transform in ("zscore", "rank", "change") else np.full(at.size, np.nan)
        out = judge(f.transform, np.searchsorted(moments, first), np.searchsorted(moments, last, "right"), history, now,
                    min(30, f.samples) if f.transform in ("zscore", "rank") else 1 if lags else f.samples)
        spans = (first * step - f.window_ns < self.logs[n].since(at, False, self.start)) & (f.transform in ("mean", "std", "max", "min"))
        return np.where((at >= self.start) & ~spans, out, np.nan)     # plain statistics need a history without a gap


def features(names: Iterable[str], events: NDArray[np.void], instruments: Sequence[str | Instrument], at: ArrayLike) -> Floats:
    """The features at each of the times: float64 of shape (times, instruments, names); nan where not known.

    events: EVENT_DTYPE in order of ts_recv, such as a door has accepted (liqcore.Features counts what it refuses; here a bad row is a ValueError).
    instruments: of the indices that events carry. at: ns, in any order; each is answered with what had been received until then, that ns included.
    """
    rows = as_events(events)
    names = list(names)
    parsed = [parse(name) for name in names]
    several = [i if isinstance(i, Instrument) else Instrument(i) for i in instruments]
    _check(rows, len(several))
    times = np.ascontiguousarray(at, np.int64)
    if times.ndim != 1 or (times < 0).any():
        raise ValueError("at: expected one dimension of times in ns, not negative")
    moments, place = np.unique(times, return_inverse=True)
    history = History(rows, several, parsed)
    out = np.empty((moments.size, len(several), len(parsed)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for r, f in enumerate(parsed):
            for n in range(len(several)):
                out[:, n, r] = history.read(f, n, moments)
    return out[place]


def _check(rows: NDArray[np.void], count: int) -> None:
    kind = rows["kind"]
    market = (kind >= int(Kind.LIQUIDATION)) & (kind <= int(Kind.TICKER))
    priced = (kind == int(Kind.LIQUIDATION)) | (kind == int(Kind.TRADE))
    numbers = np.all([np.isfinite(rows[name]) for name in ("price", "qty", "aux_price", "aux_qty")], axis=0)
    for bad, what in ((np.concatenate(([False], np.diff(rows["ts_recv"]) < 0)), "ts_recv that does not go back"),
                      (rows["ts_recv"] < 0, "ts_recv after 1970"),
                      (market & ((rows["instrument"] < 0) | (rows["instrument"] >= count)), f"an instrument below {count}"),
                      (market & ~numbers, "finite numbers"),
                      (priced & ~((rows["price"] > 0) & (rows["qty"] > 0)), "a positive price and quantity"),
                      (priced & (abs(rows["side"].astype(int)) != 1), "side 1 or -1")):
        if bad.any():
            i = int(np.argmax(bad))
            raise ValueError(f"events[{i}]: expected {what}, got {rows[i]}")
