"""One venue's public data for the engine: the decoder of its frames, and the instruments affected by its silences and interruptions.

Live trading, replay and all readers of recordings use this object, so the same bytes give the same events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from itertools import groupby
from operator import or_
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import liqcore as lc
from liqshell.errors import DataError
from liqshell.recording.feeds import use_venues
from liqshell.recording.marks import Concern
from liqshell.run.sink import EngineSink, VenueSink
from liqshell.venues.adapter import ALL_STREAMS, Adapter, Connection
from liqshell.venues.adapters import OWN_VENUES, adapter_of, gap_s_of
from liqshell.venues.frames import TICKER, Frame, FrameDecoder, FrameKind

Named = TypeVar("Named")
TICKERS = sum(TICKER.values())
ROOM = 4096  # events of one frame on the fast way; a frame with more goes the general way


def feeds_of(instruments: Sequence[lc.Instrument], speed: float = 1.0, watched: Collection[str] = (), late_s: float = 1.0) -> list[dict[str, Any]]:
    """The feeds of a run as settings: venue, its instruments (first, count), the silence that means a gap, how much later than usual a trade is late,
    and whether they are watched only. DataError where the instruments of a venue are not neighbours. A market that runs faster than the wall
    multiplies our own delays, so what counts as silence, and as late, grows with it."""
    out, first = [], 0
    for venue, group in groupby(instruments, key=lambda i: i.venue):
        count = len(list(group))
        gap_s = max(gap_s_of(venue), 0.1 * speed)
        out.append(
            {
                "venue": venue,
                "first": first,
                "count": count,
                "gap_ns": int(gap_s * lc.SECOND),
                "watched": venue in watched,
                "late_ns": int(max(late_s, 0.1 * speed) * lc.SECOND),
                **({"adapter": own.code, "sha256": own.sha256} if (own := OWN_VENUES.get(venue)) is not None else {}),
            }
        )
        first += count
    if len({one["venue"] for one in out}) != len(out):
        raise DataError("settings", "the instruments of a venue are not in one group", "each venue's together")
    return out


class Source:
    """spec: of feeds_of. symbols: of all instruments of the engine. sink: of the engine; None = decode only. alone: it is the only venue, so that its
    marks concern all instruments at once."""

    def __init__(self, spec: Mapping[str, Any], symbols: Sequence[str], sink: EngineSink | None, alone: bool):
        first = self.first = int(spec["first"])
        self.venue, self.symbols, self.gap_ns = str(spec["venue"]), tuple(symbols[first : first + spec["count"]]), int(spec["gap_ns"])
        self.each = range(first, first + len(self.symbols))
        self.watched, self.alone = bool(spec["watched"]), alone
        self.adapter: Adapter = adapter_of(self.venue)
        self.decoder: FrameDecoder = self.adapter.decoder(self.symbols, first)
        self.late_ns = int(spec.get("late_ns", 0))  # 0: a run from before lateness was watched
        self.sink = VenueSink(sink, self.gap_ns, first, -1 if alone else len(self.symbols), self.watched, self.late_ns) if sink is not None else None
        self.counters: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()  # frames that gave no event, by kind and reason
        self._rows = np.zeros(ROOM, lc.EVENT_DTYPE)

    @property
    def instruments(self) -> tuple[int, ...]:
        """Which instrument a mark of this feed names: -1 = all."""
        return (-1,) if self.alone else tuple(range(self.first, self.first + len(self.symbols)))

    def concerns(self, connections: Sequence[Connection]) -> list[tuple[Concern, ...]]:
        """Whom each connection of the venue's plan concerns. Where it carries all that there is of a contract, its marks are of all streams (0);
        never where no connection carries liquidations, because such a mark says that they are received."""
        carried = [self.adapter.carries(one, self.symbols) for one in connections]
        whole = {symbol: reduce(or_, (one.get(symbol, 0) for one in carried), int(lc.Stream.STREAM_LIQUIDATION)) for symbol in self.symbols}
        out: list[tuple[Concern, ...]] = []
        for one in carried:
            found = tuple(
                (n, 0 if one[symbol] == whole[symbol] else one[symbol]) for n, symbol in enumerate(self.symbols, self.first) if symbol in one
            )
            alike = self.alone and len(found) == len(self.symbols) and len({streams for _, streams in found}) == 1
            out.append(((-1, found[0][1]),) if alike else found)
        return out

    def split(self, concerns: Sequence[Concern], args: Collection[str]) -> tuple[tuple[Concern, ...], tuple[Concern, ...]]:
        """What these args of subscriptions would bring of what is concerned, and the rest."""
        if not args:
            return (), tuple(concerns)
        bits: Counter[str] = Counter()
        for arg in args:
            whose, brings = self.adapter.streams(arg, self.symbols)
            for symbol in whose:
                bits[symbol] |= brings
        each = [
            (k, streams or ALL_STREAMS, bits[self.symbols[k - self.first]])
            for n, streams in concerns
            for k in (range(self.first, self.first + len(self.symbols)) if n < 0 else (n,))
        ]
        return (
            tuple((k, streams & lost) for k, streams, lost in each if streams & lost),
            tuple((k, streams & ~lost) for k, streams, lost in each if streams & ~lost),
        )

    def forget(self, concerns: Sequence[Concern]) -> None:
        """A connection was lost: a new one begins with whole values, which may come before it counts as up."""
        lost = [n for n, streams in concerns if not streams or streams & TICKERS]
        self.decoder.forget(None if -1 in lost else lost)

    def feed(self, state: lc.FeedState, ts_event: int, ts_recv: int, concerns: Sequence[Concern] | None = None) -> None:
        """The feed, or what `concerns` says of it, came up, went down or is known to have a gap. ts_event: last good data, ns."""
        assert self.sink is not None
        if state == lc.FeedState.FEED_DOWN:
            self.forget(concerns if concerns is not None else ((-1, 0),))
        self.sink.feed(int(state), ts_event, ts_recv, concerns)

    def other(self, raw: bytes, ts_recv: int, polled: bool = False, into: Any = None) -> Frame:
        """A frame that the fast scanner handed back, or the answer to a poll. Its events go into the engine, those of a connection through its own
        sink; what it was is counted and returned."""
        frame = self.decoder.read(raw, ts_recv)
        self.count(frame)
        if frame.events and self.sink is not None:
            events = np.array(frame.events, lc.EVENT_DTYPE)
            if polled:
                self.sink.polled(events)
            else:
                (into or self.sink).rows(events)
        return frame

    def count(self, frame: Frame) -> None:
        """Into the counters."""
        if not frame.events:
            self.unread[frame.kind.name.lower() + (f": {frame.reason}" if frame.reason else "")] += 1
        self.counters[frame.kind.name.lower()] += 1
        if frame.kind == FrameKind.MALFORMED:
            self.counters[f"malformed: {frame.reason}"] += 1
        for reason, rows in frame.dropped.items():
            self.counters[f"dropped rows: {reason}"] += rows

    def frame(self, raw: bytes, ts_recv: int, polled: bool = False) -> None:
        """Any frame, as the listener (or the poll) would treat it."""
        assert self.sink is not None
        count = -1 if polled else self.decoder.scan.decode(raw, ts_recv, self._rows)
        if count > 0:
            self.sink.rows(self._rows[:count])
        elif count < 0:
            self.other(raw, ts_recv, polled)

    def events(self, raw: bytes, ts_recv: int) -> np.ndarray:
        """The events of a frame, without an engine; valid until the next call."""
        count = self.decoder.scan.decode(raw, ts_recv, self._rows)
        if count >= 0:
            return self._rows[:count]
        frame = self.decoder.read(raw, ts_recv)
        self.count(frame)
        return np.array(frame.events, lc.EVENT_DTYPE)


def sources_of(values: Mapping[str, Any], sink: EngineSink | None, where: str | Path = "settings", *, trust: bool = False) -> dict[str, Source]:
    """The sources of a run's settings by venue, in the order of their instruments. where, trust: see recording.feeds.use_venues."""
    feeds = use_venues(values, where, trust=trust)
    symbols = [i["symbol"] for i in values["instruments"]]
    return {one["venue"]: Source(one, symbols, sink, len(feeds) == 1) for one in feeds}


def source_named(sources: Mapping[str, Named], venue: str, where: str) -> Named:
    """The source of a recorded frame or mark, or what else there is of each venue; '' = the only one. DataError where the run had no such feed."""
    found = sources.get(venue) or (next(iter(sources.values())) if len(sources) == 1 else None)
    if found is None:
        raise DataError(where, f"a frame of {venue or 'no venue'!r}", f"frames of {', '.join(sources)}")
    return found
