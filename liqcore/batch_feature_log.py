"""What one contract was told, as arrays, under batch_feature: since when each stream is whole, what was entered, what stood, how it changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqcore.batch_feature_kernels import Course, Sums, quote_ends
from liqcore.event import FeedState, Kind
from liqcore.feature_table import (
    FORCED,
    FUNDED,
    INDEXED,
    MARKED,
    OPEN,
    QUOTED,
    TRADED,
)
from liqcore.instrument import Instrument

NEVER = np.iinfo(np.int64).max
QUOTE_AGE_NS = 10_000_000_000    # market.pxd
MARKET = (int(Kind.LIQUIDATION), int(Kind.TRADE), int(Kind.BBO), int(Kind.TICKER))
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Rows = NDArray[np.bool_]
#: what stands: its stream, and the field that says it
STANDS = {"last": (TRADED, "price"), "mark": (MARKED, "price"), "index": (INDEXED, "aux_price"), "rate": (FUNDED, "aux_qty"),
          "interest": (OPEN, "qty")}
#: by name of the feature
LATEST = {"price.last": ("last",), "price.mark": ("mark",), "price.basis": ("mark", "index"), "funding.funding": ("rate",), "oi.oi": ("interest",),
          "oi.oi_value": ("interest", "mark")}
COURSES = {"price": (TRADED, "price"), "oi": (OPEN, "qty"), "funding": (FUNDED, "aux_qty")}


def upto(ts: Times, at: Times, before: bool) -> NDArray[np.int64]:
    """How many of ts have come by each time: or, of a history's sample, before it."""
    return np.searchsorted(ts, at, "left" if before else "right")


def _alike(a: Floats, b: Floats) -> Rows:
    return (a == b) | (np.isnan(a) & np.isnan(b))


class Log:
    """What one instrument was told: its events of the wanted kinds, and what was said of its feed, in their order."""

    def __init__(self, events: NDArray[np.void], n: int, wanted: frozenset[int], instrument: Instrument) -> None:
        feed = events["kind"] == int(Kind.FEED)
        own = events["instrument"] == n
        mine = np.where(feed, own | (events["instrument"] < 0), np.isin(events["kind"], list(wanted)) & own)
        heard = np.flatnonzero(np.isin(events["kind"], MARKET) & own)
        self.heard = int(heard[0]) if heard.size else -1            # place of its first event of any kind
        self.heard_ts = int(events["ts_recv"][heard[0]]) if heard.size else NEVER
        self.rows, self.place = events[mine], np.flatnonzero(mine)
        self.kind = self.rows["kind"].astype(np.int64)
        self.ts = np.ascontiguousarray(self.rows["ts_recv"])
        self.multiplier, self.tick = instrument.multiplier, float(instrument.tick_size)
        self.feed = np.flatnonzero(self.kind == int(Kind.FEED))
        self.known: dict[Any, Any] = {}           # what has been worked out once

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        if name not in self.known:
            self.known[name] = make()
        return self.known[name]

    def filled(self, index: Rows) -> NDArray[np.int64]:
        """Of each row, the last row up to it that is marked; -1 = none."""
        return np.maximum.accumulate(np.where(index, np.arange(index.size), -1)) if index.size else np.zeros(0, np.int64)

    def says(self, stream: int) -> Rows:
        """Rows that say something of a stream."""
        plain = {FORCED: Kind.LIQUIDATION, TRADED: Kind.TRADE, QUOTED: Kind.BBO}.get(stream)
        if plain is not None:
            return self.kind == int(plain)
        field = {MARKED: "price", INDEXED: "aux_price", OPEN: "qty"}.get(stream)
        told = (self.kind == int(Kind.TICKER)) & (self.rows["flags"] & stream == 0)
        return told if field is None else told & (self.rows[field] > 0)

    # ---- the feed ----

    def _feed(self, stream: int) -> list[tuple[int, int, bool]]:
        """(row, FeedState, whether something was lost) of what was said of a stream's feed, without what changes nothing."""
        out, down = [], False
        for k in self.feed:
            code, streams = int(self.rows["code"][k]), int(self.rows["flags"][k])
            if streams == 0 or streams & stream:
                out.append((int(k), code, code != FeedState.FEED_UP or down))
                down = code == FeedState.FEED_DOWN or (down and code == FeedState.FEED_GAP)
        return out

    def lost(self, stream: int) -> Rows:
        """Rows at which windows of a stream begin anew."""
        out = np.zeros(self.ts.size, bool)
        out[[k for k, _, lost in self._feed(stream) if lost]] = True
        return out

    def broken(self, stream: int) -> NDArray[np.int64]:
        """Of each row, the last one up to it after which what stood of a stream held no longer."""
        out = np.zeros(self.ts.size, bool)
        out[[k for k, code, _ in self._feed(stream) if code != FeedState.FEED_UP]] = True
        return self.filled(out)

    def _spans(self, stream: int) -> tuple[Times, Times]:
        """From when on a stream is whole, and at which times that changes."""
        spoken = np.flatnonzero(self.says(stream))
        first = self.heard_ts
        out: list[tuple[int, int]] = []
        told, down, at = -1, False, -1            # since when its feed is up; whether it is down; row of that

        def speak(stop: int) -> None:
            """The first word behind row `at`, if it comes before row `stop`."""
            if down or (out and out[-1][1] != NEVER):
                return
            if stream == FORCED:
                if told < 0 and (stop >= self.ts.size or self.heard < self.place[stop]) and self.heard >= 0 and at < 0:
                    out.append((first, first))
                return
            k = int(np.searchsorted(spoken, at, "right"))
            if k < spoken.size and spoken[k] < stop:
                ts = int(self.ts[spoken[k]])
                out.append((ts, told if told >= 0 else ts))
        for k, code, _ in self._feed(stream):
            speak(k)
            ts, whole = int(self.ts[k]), bool(out) and out[-1][1] != NEVER
            if code == FeedState.FEED_DOWN:
                told, down, at = -1, True, k
            elif (code == FeedState.FEED_GAP and not down) or (code == FeedState.FEED_UP and (down or (told < 0 and not whole))):
                told, down, at = ts, False, k
            else:
                continue
            out.append((ts, told if told >= 0 and stream == FORCED else NEVER))
        speak(self.ts.size)
        moments: dict[int, int] = dict(out)          # after all that came at that ns
        kept = [(ts, since) for k, (ts, since) in enumerate(moments.items())
                if since != (list(moments.values())[k - 1] if k else NEVER)]
        return np.array([ts for ts, _ in kept], np.int64), np.array([since for _, since in kept], np.int64)

    def since(self, streams: int, at: Times, before: bool) -> Times:
        """From when on nothing of some streams is missing, as known at each time; NEVER while it is not known."""
        out: Times = np.zeros(at.size, np.int64)
        for stream in (1 << bit for bit in range(7)):
            if streams & stream:
                ts, whole = self.once(("spans", stream), lambda stream=stream: self._spans(stream))
                k = upto(ts, at, before)
                out = np.maximum(out, np.where(k > 0, whole[np.maximum(k - 1, 0)], NEVER) if ts.size else NEVER)
        return out

    def turns(self, stream: int, then: Times, now: Times) -> NDArray[np.int64]:
        """How often that changed between two times."""
        ts, _ = self.once(("spans", stream), lambda: self._spans(stream))
        return upto(ts, now, False) - upto(ts, then, False)

    # ---- streams of entries ----

    def chain(self) -> tuple[Times, Floats]:
        """Notionals of liquidations, and 0 where something was lost."""
        rows = (self.kind == int(Kind.LIQUIDATION)) | self.lost(FORCED)
        out = np.zeros(self.ts.size)
        out[self.kind == int(Kind.LIQUIDATION)] = np.abs(self.entries("liquidations").x)
        return self.ts[rows], out[rows]

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
        rows, mark = self.rows[quote], self.filled(self.lost(QUOTED))[quote]
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
        """What windows are made of: the value each time that it is said, and nan where something was lost."""
        stream, field = COURSES[name]
        return self.once("course " + name, lambda: Course(*self._said(stream, field, self.lost(stream))))

    def _said(self, stream: int, field: str, lost: Rows) -> tuple[Times, Floats]:
        said = self.says(stream)
        told = said | lost
        values = self.rows[field] * self.multiplier if stream == OPEN else self.rows[field]
        return self.ts[told], np.where(said, values, np.nan)[told]

    def _stands(self, name: str) -> Course:
        stream, field = STANDS[name]
        broken = self.broken(stream) == np.arange(self.ts.size)
        return self.once(name, lambda: Course(*self._said(stream, field, broken)))

    def _spread(self) -> tuple[Times, Floats, Times]:
        """Each time that a quote comes, is traded against or is interrupted: the spread in basis points, and until when it holds."""
        told = self.says(QUOTED) | self.says(TRADED) | (self.broken(QUOTED) == np.arange(self.ts.size))
        rows = self.rows[told]
        spread, until = quote_ends(self.kind[told], np.ascontiguousarray(rows["price"]), np.ascontiguousarray(rows["aux_price"]), self.ts[told],
                                   self.tick, QUOTE_AGE_NS)
        return self.ts[told], spread, until

    def latest(self, key: str, at: Times, before: bool) -> Floats:
        """What stands at each time; of a quote, what has not ended by then."""
        if key == "flow.spread_bps":
            ts, spread, until = self.once("spread", self._spread)
            k = np.maximum(upto(ts, at, before) - 1, 0)
            return np.where((upto(ts, at, before) > 0) & (at <= until[k]), spread[k], np.nan) if ts.size else np.full(at.size, np.nan)
        read = [self._stands(name).at(at, before) for name in LATEST[key]]
        return read[0] / read[1] - 1.0 if key == "price.basis" else read[0] * read[1] if key == "oi.oi_value" else read[0]

    # ---- how often it changed ----

    def between(self, source: str, then: Times, now: Times) -> NDArray[np.int64]:
        """How many changes of a source, or of what stands under a name, came between two times."""
        ts = self.once(("changes", source), lambda: self._changes(source))
        return upto(ts, now, False) - upto(ts, then, False)

    def _changes(self, source: str) -> Times:
        if source == "liquidations":
            return self.chain()[0]
        if source in ("trades", "ofi"):
            return self.entries(source).ts
        if source in COURSES:
            course = self.course(source)
            return course.ts[~_alike(course.values, np.append(np.nan, course.values[:-1]))] if course.ts.size else course.ts
        if source in ("pending", "density"):
            return self.ts[self.says(FORCED) if source == "density" else self.says(TRADED) | self.says(OPEN)]
        if source == "flow.spread_bps":
            ts, _, until = self.once("spread", self._spread)
            moments = np.unique(np.concatenate([ts, until[until > 0] + 1]))
        else:
            moments = np.unique(np.concatenate([self._stands(name).ts for name in LATEST[source]]))
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self.latest(source, moments, False)
        return moments[~_alike(values, np.append(np.nan, values[:-1]))] if moments.size else moments
