"""Liquidations that stop while other streams continue: connects liqshell.run.stream_silence with the feeds of a run and their marks.

It runs beside the frames, never before one. What it finds is a mark of the feed, so that a replay reads it and judges nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import liqcore as lc
from liqcore.event import Stream
from liqshell.recording.marks import Concern
from liqshell.recording.streams import when
from liqshell.run.sink import PULSE_DTYPE
from liqshell.run.stream_silence import BIN_NS, IMPROBABLE, Alive, Change
from liqshell.run.venue_source import Source

LIQUIDATIONS = int(Stream.STREAM_LIQUIDATION)
CONNECTION = "liquidations"  # of the marks that come from here
SUSPICIONS_MAX = 100  # suspicions that are kept for run.json
Mark = Callable[[str, lc.FeedState, int, tuple[Concern, ...], str], None]
_log = logging.getLogger("liqshell.live")


class Silence:
    """sources: of a run; those whose venue states liquidations are watched. mark(venue, state, ts_event, concerns, connection): called when a stream
    becomes suspect (FEED_DOWN since its last event) and when it sends again (FEED_UP). alarm(text): called once a suspicion."""

    def __init__(self, sources: Mapping[str, Source], instruments: Sequence[lc.Instrument], mark: Mark, alarm: Callable[[str], object]):
        self._sources = {venue: one for venue, one in sources.items() if one.adapter.liquidations}
        self._mark, self._alarm = mark, alarm
        self._places = [n for one in self._sources.values() for n in range(one.first, one.first + len(one.symbols))]  # of the engine
        self._row = {n: k for k, n in enumerate(self._places)}
        self.alive = Alive([(instruments[n].venue, instruments[n].symbol, instruments[n].asset or instruments[n].symbol) for n in self._places])
        self.suspicions: deque[dict[str, Any]] = deque(maxlen=SUSPICIONS_MAX)
        self._open: dict[int, dict[str, Any]] = {}
        self._bins: dict[int, dict[str, NDArray[np.void]]] = {}
        self._reached = 0  # begin of the last bin that was judged, ns
        if self._places:
            self.alive.cut(range(len(self._places)), 0, True)  # until connections come up
        for venue, one in self._sources.items():
            assert one.sink is not None
            one.sink.watch(BIN_NS, partial(self._on_bin, venue))

    def _on_bin(self, venue: str, start_ns: int, rows: NDArray[np.void]) -> None:
        """A bin of a venue is over. It waits, because this is the way of a frame."""
        if start_ns > self._reached:
            self._bins.setdefault(start_ns, {})[venue] = rows

    def turn(self) -> None:
        """Judge what is complete: bins that all venues have told, or that lie before one that some venue has."""
        while self._bins:
            start = min(self._bins)
            if len(self._bins[start]) < len(self._sources) and len(self._bins) == 1:
                return
            self._evaluate(start, self._bins.pop(start))

    def _evaluate(self, start_ns: int, by_venue: Mapping[str, NDArray[np.void]]) -> None:
        self._reached = start_ns
        rows = np.concatenate([by_venue.get(venue, np.zeros(len(one.symbols), PULSE_DTYPE)) for venue, one in self._sources.items()])
        for change in self.alive.push(start_ns, rows):
            places = tuple(self._places[k] for k in change.contracts)
            source = self._sources[change.venue]
            if change.suspect:
                self._raise_suspicion(change, source, places)
                self._mark(change.venue, lc.FeedState.FEED_DOWN, change.since, self._concerns(change, places), CONNECTION)
            else:
                silent_s = (change.at - change.since) / 1e9
                for stream in (change.stream, *(change.contracts if change.whole else ())):  # streams of contracts have their places
                    self._close(stream, change.at, "an event came")
                _log.warning("%s: liquidations of %s arrive again after %.0f min", change.venue, self._names(source, places), silent_s / 60.0)
                self._mark(change.venue, lc.FeedState.FEED_UP, change.at, self._concerns(change, places), CONNECTION)

    def _concerns(self, change: Change, places: tuple[int, ...]) -> tuple[Concern, ...]:
        """As a connection that carries only liquidations would say it."""
        if change.whole and self._sources[change.venue].alone:
            return ((-1, LIQUIDATIONS),)
        return tuple((n, LIQUIDATIONS) for n in places)

    def _raise_suspicion(self, change: Change, source: Source, places: tuple[int, ...]) -> None:
        names = self._names(source, places)
        minutes = (change.at - change.since) / 6e10
        text = (
            f"liquidations of {names} have stopped: none since {when(change.since)} ({minutes:.0f} min) while trades continued. The probability "
            f"of such a silence of this stream is below 1 in {1 / IMPROBABLE:,.0f}. No entries on it until one arrives"
        )
        self._alarm(f"{change.venue}: {text}")
        found = {
            "venue": change.venue,
            "symbols": [source.symbols[n - source.first] for n in places],
            "since": change.since,
            "at": change.at,
            "until": None,
            "ended": "",
            "text": text,
        }
        self._open[change.stream] = found
        self.suspicions.append(found)

    def _names(self, source: Source, places: tuple[int, ...]) -> str:
        if len(places) == len(source.symbols) > 1:
            return f"all {len(places)} contracts"
        return ", ".join(source.symbols[n - source.first] for n in places)

    def _close(self, stream: int, ts: int, why: str) -> None:
        found = self._open.pop(stream, None)
        if found is not None:
            found |= {"until": ts, "ended": why}

    def marked(self, state: lc.FeedState, concerns: Iterable[Concern], ts: int) -> None:
        """A connection was lost, came up, or dropped something: the silences of the liquidations that it carries begin anew. ts: ns. Suspect streams
        stay suspect when a subscription is dropped, until the connection is reopened."""
        concerned = [n for n, streams in concerns if not streams or streams & LIQUIDATIONS]
        rows = list(self._row.values()) if -1 in concerned else [self._row[n] for n in concerned if n in self._row]
        if state == lc.FeedState.FEED_GAP:
            rows = [row for row in rows if not self.alive.down[row] and not self.alive.held[row]]
        if rows:
            for stream in self.alive.cut(rows, ts, state == lc.FeedState.FEED_DOWN):
                self._close(stream, ts, "the connection was lost" if state == lc.FeedState.FEED_DOWN else "the connection was reopened")

    def suspects(self, venue: str) -> list[str]:
        """Contracts of a venue whose liquidations are suspect now."""
        return sorted({symbol for one in self._open.values() if one["venue"] == venue for symbol in one["symbols"]})

    def health(self, venue: str) -> list[dict[str, Any]]:
        """Suspicions so far, the latest TOLD_MAX of the run: since when, found at, until when (None = still), ns."""
        return [dict(one) for one in self.suspicions if one["venue"] == venue]
