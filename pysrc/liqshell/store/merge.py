"""Two records of one contract and kind -> one, independent of the order of the imports.

Rows of one file keep their order. The rule for what two files both have:

1. Rows that are equal in every field, ts_recv included, are the same row. Where one file holds it m times and the other n times, the store holds
   it max(m, n) times.
2. Rows that the store has keep their order, and a file's own rows keep theirs. At one ts_recv, rows that both have are anchors, in the longest order
   that both agree on: between them each one's own rows stand as they stand there.
3. Where both have rows of their own between the same anchors, and one file ends where the other begins, the cut went through a moment: the earlier
   file's rows come first.
4. Else the next row that is first by content (the venue's time, its number, every other field) goes first.
5. Where the two disagree about the order of what they share, that of the store counts: of the file that was imported first.

`Overlap` says how much of the shared time the two agree on. Two files of one recorder agree on all of it; files of two recorders (or a vendor's and
our own) disagree on nearly every ts_recv, and together they would count every trade twice: the importer refuses those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqshell.event_columns import Events, joined
from liqshell.store.rows import Layout

Span = tuple[int, int]
CELLS_MAX = 1 << 24  # rows of a moment in the one file times those in the other, that are compared each with each


@dataclass
class Overlap:
    """The overlap of a source with the data in the store."""

    duplicates: int = 0  # rows of the source that were there already
    stored: int = 0  # rows of the store strictly inside the span of the source
    offered: int = 0  # rows of the source strictly inside the span of the store
    same: int = 0  # of those, rows that both have

    @property
    def conflict(self) -> bool:
        """The two contradict each other about the same time."""
        return self.same * 2 < min(self.stored, self.offered)


def identity(layout: Layout, events: Events) -> np.ndarray:
    """Rows as one void each: equal where every field that is stored is equal."""
    packed = np.empty(len(events), np.dtype([(field, EVENT_DTYPE[field]) for field in layout.fields]))
    for field in layout.fields:
        packed[field] = events[field]
    return packed.view(np.dtype((np.void, packed.dtype.itemsize)))


def in_order(events: Events) -> Events:
    """By ts_recv; rows of one moment as they came."""
    ts = events["ts_recv"]
    return events if len(ts) < 2 or bool((ts[1:] >= ts[:-1]).all()) else events.take(np.argsort(ts, kind="stable"))


def merge(layout: Layout, old: Events, new: Events, held: Span, span: Span, overlap: Overlap) -> Events:
    """The rows of a slice of time that never cuts a moment in two. held, span: first and last ts_recv of all that `old` and `new` are slices of, so
    that the overlap does not depend on where the slices end."""
    new = in_order(new)
    overlap.stored += _inside(old, span)
    overlap.offered += _inside(new, held)
    if not len(old) or not len(new):
        return new if len(new) else old
    if old["ts_recv"][-1] < new["ts_recv"][0]:
        return joined([old, new])
    if new["ts_recv"][-1] < old["ts_recv"][0]:
        return joined([new, old])
    return _mixed(layout, old, new, span, overlap)


def _inside(events: Events, span: Span) -> int:
    ts = events["ts_recv"]
    return max(0, int(np.searchsorted(ts, span[1], "left")) - int(np.searchsorted(ts, span[0], "right")))


def _mixed(layout: Layout, old: Events, new: Events, span: Span, overlap: Overlap) -> Events:
    rows = joined([old, new])
    ts = rows["ts_recv"]
    is_new = np.arange(len(rows)) >= len(old)
    _, who = np.unique(identity(layout, rows), return_inverse=True)
    _, instant = np.unique(ts, return_inverse=True)
    # the one file begins, or ends, within this moment: the other one's rows were before it, or behind it
    cut = np.where(span[0] < span[1], (ts == span[0]).astype(np.int8) - (ts == span[1]), 0)
    shared, duplicate = _paired(who, instant, is_new, cut)
    overlap.duplicates += int(duplicate.sum())
    overlap.same += int(duplicate.sum())
    # what both have are anchors: a row stands behind the anchors that stand before it in its own file
    anchors = _before(instant, shared, is_new)
    place = np.where(is_new, np.arange(len(rows)) - len(old), np.arange(len(rows)))
    later = np.zeros(len(rows), np.int8)
    _, between = np.unique(np.stack([instant, anchors]), axis=1, return_inverse=True)
    own = ~shared & ~duplicate
    mine, theirs = (np.bincount(between[own & of], minlength=len(rows))[between] > 0 for of in (~is_new, is_new))
    torn = own & mine & theirs
    later[torn & (cut == np.where(is_new, 1, -1))] = 1
    unclear = torn & (cut == 0)
    if unclear.any():
        # the next row of either: a row that is small by content waits for those before it in its own file
        waits = between[unclear] * len(rows) + _by_content(layout, rows.compress(unclear))
        old_ones = int(np.count_nonzero(unclear & ~is_new))
        place[unclear] = np.concatenate([np.maximum.accumulate(waits[:old_ones]), np.maximum.accumulate(waits[old_ones:])])
    order = np.lexsort((place, later, ~shared, anchors, ts))
    return rows.take(order[~duplicate[order]])


def _paired(who: np.ndarray, instant: np.ndarray, is_new: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows that both files have, in one order; rows of the new file that the old one has)"""
    # the n-th copy of a row in the one file is the n-th copy in the other, where that leaves them in order
    pair, shared = _by_number(who, is_new)
    duplicate = shared & is_new
    mine, theirs = np.flatnonzero(shared & ~is_new), np.flatnonzero(duplicate)
    tangled = np.isin(instant, instant[mine][pair[mine] != pair[theirs]])  # as many of each, and both in order of time
    if tangled.any():
        shared[tangled] = False
        held = int(np.count_nonzero(~is_new))  # the old file's rows stand before the new one's, both in order of time
        for moment in np.unique(instant[tangled]).tolist():
            ours = np.arange(*np.searchsorted(instant[:held], (moment, moment + 1)))
            others = np.arange(*np.searchsorted(instant[held:], (moment, moment + 1))) + held
            a, b = _aligned(who[ours], who[others], int(cut[ours[0]]))
            shared[ours[a]] = shared[others[b]] = True
        rest = np.flatnonzero(tangled & ~shared)  # copies that only another order could pair: the store has them already
        duplicate[tangled] = shared[tangled] & is_new[tangled]
        duplicate[rest] = _by_number(who[rest], is_new[rest])[1] & is_new[rest]
    return shared, duplicate


def _by_number(who: np.ndarray, is_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pair of each row, whether it has two rows), where the n-th copy of a row in the one file is the n-th copy in the other."""
    copy = _copies(who, is_new)
    _, pair, count = np.unique(who * (int(copy.max(initial=0)) + 1) + copy, return_inverse=True, return_counts=True)
    return pair, count[pair] == 2


def _aligned(ours: np.ndarray, others: np.ndarray, cut: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a longest common subsequence in both; of several one that leaves over the begin of the earlier file and the end of the later one, by
    `cut`, or else the same whichever comes first. A moment with too many rows for that has none."""
    if len(ours) * len(others) > CELLS_MAX:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    length = np.zeros((len(ours) + 1, len(others) + 1), np.int32)
    for n, row in enumerate(ours):
        np.maximum.accumulate(np.maximum(length[n, 1:], length[n, :-1] + (others == row)), out=length[n + 1, 1:])
    found: list[tuple[int, int]] = []
    a, b = len(ours), len(others)
    while a and b:
        if ours[a - 1] == others[b - 1]:
            a, b = a - 1, b - 1
            found.append((a, b))
        elif (length[a - 1, b], -cut, ours[a - 1]) > (length[a, b - 1], 0, others[b - 1]):
            a -= 1
        else:
            b -= 1
    places = np.array(found[::-1], np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1]


def _before(instant: np.ndarray, shared: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """How many shared rows of its moment stand before each row or are it, in its own file."""
    out = np.zeros(len(instant), np.int64)
    for mine in (is_new, ~is_new):
        here = np.flatnonzero(mine)
        total = np.cumsum(shared[here])
        starts = np.flatnonzero(np.r_[True, instant[here][1:] != instant[here][:-1]])
        base = np.repeat(total[starts] - shared[here][starts], np.diff(np.r_[starts, len(here)]))
        out[here] = total - base
    return out


def _copies(who: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """How many equal rows of the same file stand before each row."""
    key = who * 2 + is_new
    order = np.argsort(key, kind="stable")
    run = np.r_[True, key[order][1:] != key[order][:-1]]
    start = np.maximum.accumulate(np.where(run, np.arange(len(key)), 0))
    out = np.empty(len(key), np.int64)
    out[order] = np.arange(len(key)) - start
    return out


def _by_content(layout: Layout, rows: Events) -> np.ndarray:
    """Rank of each row by venue time, number, then every other field: the same whatever order they come in."""
    keys = [rows[field] for field in layout.fields if field not in ("ts_event", "ts_recv", "id")]
    order = np.lexsort((*keys[::-1], rows["id"], rows["ts_event"]))
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows))
    return rank
