"""Features over whole histories: the same names, at any times, in any order, without a stream (Numba; like liqcore.batch it is for research only).

Every value is found by searching the arrays: what an event changed is looked up, never carried along. So this is also the proof that the stream,
which carries everything along, does not know more than it should: the two agree to the bit. Only hawkes.* and map.*, whose state depends on every
event before, are walked from the beginning, by batch_excitation and batch_maps.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqcore.batch_excitation import plan_of, readings, shape_of, state_of
from liqcore.batch_feature_kernels import (
    Course,
    bars,
    burst_states,
    correlations,
    judge,
    mean_ends,
    realised,
)
from liqcore.batch_feature_log import MARKET, Log
from liqcore.batch_maps import estimated_near, estimated_of, realised_near, realised_of
from liqcore.density import DensityConfig
from liqcore.event import Kind, as_events
from liqcore.feature_spec import SAMPLES_KNOWN, TURNS_MAX, Feature, parse, room, slots
from liqcore.feature_table import FORCED, FUNDED, LARGE_SHARE, OPEN, TRADED
from liqcore.hawkes import HawkesConfig
from liqcore.instrument import Instrument
from liqcore.pending import PendingConfig

NEVER = np.iinfo(np.int64).max
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
EXCITED = ("intensity_long", "intensity_short", "branching", "next_large")       # as batch_excitation.readings numbers them
CANDLES = ("open", "high", "low", "close")


class History:
    """The logs of all instruments, and each base feature at any times."""

    def __init__(self, events: NDArray[np.void], instruments: Sequence[Instrument], features: Sequence[Feature]) -> None:
        wanted = frozenset(kind for f in features for kind in f.entry.kinds)
        self.instruments = instruments
        self.logs = [Log(events, n, wanted, i) for n, i in enumerate(instruments)]
        heard = np.isin(events["kind"], MARKET) | (events["kind"] == int(Kind.FEED))
        self.start = int(events["ts_recv"][np.argmax(heard)]) if heard.any() else NEVER
        self.walked: dict[tuple[str, int, bool, bytes], dict[int, Floats]] = {}       # readings of excitation, of all instruments at once

    def place(self, asset: str, n: int) -> int:
        same = [k for k, i in enumerate(self.instruments) if i.asset.upper() == asset]
        if not same:
            raise ValueError(f"no instrument of {asset} among {', '.join(i.key for i in self.instruments)}; add one")
        return next((k for k in same if self.instruments[k].venue == self.instruments[n].venue), same[0])

    def base(self, f: Feature, n: int, at: Times, before: bool = False) -> Floats:
        """A feature without its transform, at increasing times."""
        key, log, w = f.entry.key, self.logs[n], f.window_ns
        if key == "funding.funding_avg":
            return self._funding(w, n, at, before)
        if f.entry.source == "state":
            return log.latest(key, at, before)
        if f.entry.group == "map":
            return self._near(f, log, at, before)
        since = log.since(f.entry.streams, at, before)
        if f.entry.source == "hawkes":
            return np.where(since <= at, self._excited(f, n, at, before), np.nan)
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
            known &= first * step >= self.logs[other].since(f.entry.streams, at, before)
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
        for k in self.fellows(n):
            log = self.logs[k]
            mean = mean_ends(log.course("funding"), first, count, step)
            here = (first >= 0) & (first * step > log.since(FUNDED, at, before)) & ~np.isnan(mean)
            total, venues = np.where(here, total + mean, total), venues + here
        with np.errstate(invalid="ignore"):
            return np.where(venues > 0, total / venues, np.nan)

    def fellows(self, n: int) -> list[int]:
        """The contracts of the same asset."""
        return [k for k, i in enumerate(self.instruments) if i.asset.upper() == self.instruments[n].asset.upper()]

    # ---- what was known some time ago ----

    def lagged(self, f: Feature, n: int, at: Times) -> Floats:
        """As a reader at that time would have read it; nan where more has come since than a stream remembers."""
        then, known = at - f.time_ns, at >= f.time_ns
        ask = then[known]                # increasing, as at is
        out = np.full(at.size, np.nan)
        if ask.size:
            out[known] = np.where(self._since(f, n, ask, at[known]), np.nan, self.base(f, n, ask))
        return out

    def _since(self, f: Feature, n: int, then: Times, now: Times) -> NDArray[np.bool_]:
        """Whether more has come between two times than is remembered."""
        most, source, over = room(f.time_ns), f.entry.source, np.zeros(then.size, bool)
        if source == "candles":
            return over
        if source == "state":
            return self.logs[n].between(f.entry.key, then, now) > most
        members = ([k for k, i in enumerate(self.instruments) if i.venue == self.instruments[n].venue] if source == "hawkes" else self.fellows(n)
                   if f.entry.key == "funding.funding_avg" else [n, self.place("BTC", n)] if f.entry.key == "liquidations.liq_correlation" else [n])
        if source == "hawkes":
            over |= sum(self.logs[k].between("liquidations", then, now) for k in members) > most
            members = [n]
        else:
            for k in members:
                over |= self.logs[k].between({"cascade": "liquidations"}.get(source, source), then, now) > most
        for key in {"pending": ("price.last", "oi.oi"), "density": ("price.last",)}.get(source, ()):
            over |= self.logs[n].between(key, then, now) > most
        for k in members:
            over |= self.logs[k].turns(f.entry.streams & -f.entry.streams, then, now) > TURNS_MAX
        return over

    # ---- excitation and maps ----

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
        lost = [log.lost(FORCED) for log in logs]
        told = [(log.kind == int(Kind.LIQUIDATION)) | gaps for log, gaps in zip(logs, lost, strict=True)]
        order = np.argsort(np.concatenate([log.place[rows] for log, rows in zip(logs, told, strict=True)]), kind="stable")
        signed = [log.chain() for log in logs]
        sides = [np.where(gaps, 0, log.rows["side"])[rows] for log, gaps, rows in zip(logs, lost, told, strict=True)]
        who = np.concatenate([np.full(len(ts), k, np.int64) for k, (ts, _) in enumerate(signed)])
        return (np.concatenate([ts for ts, _ in signed])[order], who[order], np.concatenate(sides).astype(np.int8)[order],
                np.concatenate([x for _, x in signed])[order])

    def _near(self, f: Feature, log: Log, at: Times, before: bool) -> Floats:
        """Notional of a map within a share of the last trade's price."""
        last, share, below = log.latest("price.last", at, before), f.window_ns * 1e-6, f.entry.name.endswith("below")
        if f.entry.source == "density":
            forced, traded = log.kind == int(Kind.LIQUIDATION), log.filled(log.kind == int(Kind.TRADE))
            price = np.where(traded > log.broken(TRADED), log.rows["price"][traded], log.rows["price"])      # where the market stood
            seen = log.entries("liquidations")
            last = np.where(log.since(FORCED, at, before) <= at, last, np.nan)
            return realised_near(realised_of(DensityConfig().as_dict()), seen.ts, np.ascontiguousarray(log.rows["side"][forced]), price[forced],
                                 np.abs(seen.x), last, at, before, share, below)
        said = log.says(OPEN)
        told = said | (log.kind == int(Kind.TRADE))
        rows = log.rows[told]
        last = np.where(np.isnan(log.latest("oi.oi", at, before)), np.nan, last)
        return estimated_near(estimated_of(PendingConfig().as_dict()), log.ts[told], np.where(said[told], 0, rows["side"]).astype(np.int8),
                              np.ascontiguousarray(rows["price"]), rows["qty"] * log.multiplier, last, at, before, share, below)

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
        if f.transform == "lag":
            return self.lagged(f, n, at)
        if f.transform == "change":
            return self.base(f, n, at) - self.lagged(f, n, at)
        step = f.step_ns
        last = at // step
        first = last - f.samples + 1
        moments = np.unique((first[:, None] + np.arange(f.samples)[None, :]).ravel())
        moments = moments[(moments * step > self.start) & (moments > 0)]
        history = self.base(f, n, moments * step, True)
        now = self.base(f, n, at) if f.transform in ("zscore", "rank") else np.full(at.size, np.nan)
        apart = f.transform == "zscore" or f.least > 0
        least = (f.least or SAMPLES_KNOWN if apart else min(SAMPLES_KNOWN, f.samples) if f.transform == "rank"
                 else 1 if f.transform in ("n", "n_eff") else f.samples)
        out = judge(f.transform, np.searchsorted(moments, first), np.searchsorted(moments, last, "right"), history, now, least, apart,
                    moments * step, f.reach_ns)
        spans = (first * step - f.window_ns < self.logs[n].since(f.entry.streams, at, False)) & (f.transform in ("mean", "std", "max", "min"))
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
