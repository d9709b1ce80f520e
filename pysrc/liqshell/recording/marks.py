"""Marks of the feed: the contracts of a mark, its form in a recording, and the data missing between marks.

A connection carries some streams of some contracts. When it is lost, comes back, or was silent for too long, the mark concerns these alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from liqcore.event import FeedState
from liqshell.errors import DataError

Concern = tuple[int, int]  # an instrument of the engine (-1 = all), and its Stream bits (0 = all)
STREAMS = 7  # bits of Stream
ALL = (1 << STREAMS) - 1


def parts_of(concerns: Sequence[Concern], symbols: Sequence[str], first: int) -> list[dict[str, Any]]:
    """As a recording has it, streams by streams. symbols: of the venue, whose first one is instrument `first` of the engine."""
    out: dict[int, list[str]] = {}
    for n, streams in concerns:
        out.setdefault(streams, []).extend(symbols if n < 0 else [symbols[n - first]])
    return [{"streams": streams} | ({} if len(names) == len(symbols) else {"symbols": names}) for streams, names in out.items()]


def concerns_of(mark: Mapping[str, Any], whole: Sequence[int], symbols: Sequence[str], first: int) -> tuple[Concern, ...]:
    """Of a mark in a recording. whole: the instruments of its feed, which it concerns where it does not say whom."""
    parts = mark.get("parts")
    if parts is None:
        return tuple((n, 0) for n in whole)
    try:
        place = {symbol: n for n, symbol in enumerate(symbols, first)}
        found = tuple(
            (n, part["streams"])
            for part in parts
            for n in ([place[name] for name in part["symbols"] if name in place] if "symbols" in part else whole)
        )
        if all(type(streams) is int and 0 <= streams < 1 << STREAMS for _, streams in found):
            return found
    except (TypeError, KeyError):
        pass
    raise DataError("feed mark", f"parts {str(parts)[:60]!r}", '[{"streams": bits, "symbols": [...]}]')


class Standing:
    """Which streams are down, by the marks of a recording. Missing parts of its own span count as an outage of all the others."""

    def __init__(self, down: Mapping[int, int] | None = None):
        self.down = dict(down or {})  # instrument -> Stream bits

    def take(self, state: int, concerns: Sequence[Concern], each: Sequence[int]) -> None:
        """The next mark. each: the instruments that -1 means."""
        for n, streams in concerns if state != FeedState.FEED_GAP else ():
            bits = streams or ALL
            for k in each if n < 0 else (n,):
                before = self.down.get(k, 0)
                self.down[k] = before | bits if state == FeedState.FEED_DOWN else before & ~bits

    def up(self, whole: Sequence[int], each: Sequence[int]) -> tuple[Concern, ...]:
        """The parts of a feed that are not down. whole: the instruments that its marks name, one by one `each`."""
        if not any(self.down.get(n) for n in each):
            return tuple((n, 0) for n in whole)
        left = ((n, ALL & ~self.down.get(n, 0)) for n in each)
        return tuple((n, bits if bits != ALL else 0) for n, bits in left if bits)


def outages(marks: Iterable[tuple[int, int, int, int]], end_ns: int, streams: int = ALL) -> list[tuple[int, int]]:
    """Spans (ns, not merged) in which one of these streams of a contract is known to have been incomplete, from its marks in order, each (since when,
    time of receipt, FeedState, Stream bits): each stream from DOWN to its next UP, and what a GAP says that lies behind it."""
    out: set[tuple[int, int]] = set()
    down: dict[int, int] = {}
    for since, ts, state, concerned in marks:
        bits = [bit for bit in (1 << k for k in range(STREAMS)) if bit & streams and (not concerned or bit & concerned)]
        if state == FeedState.FEED_GAP and bits:
            out.add((since, ts))
        for bit in bits:
            if state == FeedState.FEED_DOWN:
                down.setdefault(bit, since)
            elif state == FeedState.FEED_UP and bit in down:
                out.add((down.pop(bit), ts))
    return sorted(out | {(since, end_ns) for since in down.values()})


def union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping spans of time merged."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(s for s in spans if s[1] > s[0]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def without(spans: Iterable[tuple[int, int]], holes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of the spans outside the holes."""
    out, ordered = [], sorted(holes)
    for start, end in spans:
        for first, last in ordered:
            if last > start and first < end:
                if first > start:
                    out.append((start, first))
                start = max(start, last)
        if start < end:
            out.append((start, end))
    return out
