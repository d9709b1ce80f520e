"""Strips of several contracts -> one tape. The rare events of all contracts are merged by time: tickers come ten times a second and contract, so
"rare" can be many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.event import EVENT_DTYPE, FeedState, Kind
from liqcore.simulation.columns import PLACE_DTYPE, merge_rare
from liqshell.store.cache import Contract, rows_before
from liqshell.store.catalogue import CACHE
from liqshell.store.partition import read
from liqshell.store.rows import DAY_NS, day_number
from liqshell.store.strip import free_memory, read_ahead, room

ALL_INSTRUMENTS = -1  # event_t.instrument of what concerns all of them
MEMORY_BYTES = 1 << 30  # of the columns of all contracts; more are put together in memory only where MEMORY_TIMES as much is free
MEMORY_TIMES = 3
ROW_BYTES = {"trades": 17, "quotes": 32}  # of the columns of a row; else a rare event and its place
THREADS = 4  # copies and merges need no interpreter
_EMPTY = np.zeros(0, EVENT_DTYPE)
Run = tuple[np.ndarray, np.ndarray, int, int, int]  # rare events in order of time, their places, the index of their instrument: see merge_rare


def tape_of(root: Path, contracts: Sequence[Contract], marks: dict[str, Contract], start: int, end: int) -> lc.Tape:
    """The tape of start <= ts_recv < end. marks: venue -> the feed marks that concern every contract of it."""
    size = sum(
        content.rows * ROW_BYTES.get(key.kind, EVENT_DTYPE.itemsize + PLACE_DTYPE.itemsize)
        for c in contracts
        for key, content in c.contents.items()
        if key.start < end and key.start + DAY_NS > start
    )
    aside = root / CACHE if size > MEMORY_BYTES and size * MEMORY_TIMES > free_memory() else None
    with ThreadPoolExecutor(THREADS + 1) as pool:
        if aside is None:
            pool.submit(read_ahead, [file for c in contracts for file in c.range_files(start, end)])
        return _tape(contracts, marks, start, end, aside, pool)


def _tape(contracts: Sequence[Contract], marks: dict[str, Contract], start: int, end: int, aside: Path | None, pool: ThreadPoolExecutor) -> lc.Tape:
    strips: list[dict[str, Any]] = []
    runs: list[Run] = []
    shared = len({contract.venue for contract in contracts}) == 1  # then a mark of the venue is one event that concerns all instruments
    if shared:
        events = _marks(marks.get(contracts[0].venue), start, end)
        runs.append((events, np.zeros(len(events), PLACE_DTYPE), ALL_INSTRUMENTS, 0, 0))
    ranges = pool.map(lambda contract: contract.range_columns(start, end, aside), contracts)
    for n, (contract, found_columns) in enumerate(zip(contracts, ranges, strict=True)):
        trades, quotes, rare = found_columns or (*_no_columns(contract), [])
        own = _EMPTY if shared else _marks(marks.get(contract.venue), start, end)
        found = [m for m in (own, holes(contract, start, end)) if len(m)]
        if found:  # before all else of their moment
            events = np.concatenate(found)
            runs.append((events, _places(events, trades["ts"], quotes["ts"]), n, 0, 0))
        runs += [(events, place, n, trades_before, quotes_before) for events, place, trades_before, quotes_before in rare]
        strips.append({"trades": trades, "quotes": quotes})
    events, place = _merged(runs, aside, pool)
    return lc.Tape([c.rules.instrument for c in contracts], {"strips": strips, "rare": events, "place": place}, trusted=True)


def _merged(runs: list[Run], aside: Path | None, pool: ThreadPoolExecutor) -> tuple[np.ndarray, np.ndarray]:
    """All runs as one, in order of (time, instrument); runs of one instrument at one time in the order of the list. Days are merged side by side."""
    days: defaultdict[int, list[Run]] = defaultdict(list)
    for events, place, n, trades_before, quotes_before in runs:
        if len(events):
            first, last = (int(events["ts_recv"][k]) // DAY_NS for k in (0, -1))
            cuts = [0, *(rows_before(events, day * DAY_NS) for day in range(first + 1, last + 1)), len(events)]
            for day, a, b in zip(range(first, last + 1), cuts, cuts[1:], strict=False):
                days[day].append((events[a:b], place[a:b], n, trades_before, quotes_before))
    ends = np.cumsum([0, *(sum(len(run[0]) for run in days[day]) for day in sorted(days))]).tolist()
    rare, places = room(EVENT_DTYPE, ends[-1], aside), room(PLACE_DTYPE, ends[-1], aside)
    spans = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    list(pool.map(merge_rare, [days[day] for day in sorted(days)], [rare[span] for span in spans], [places[span] for span in spans]))
    return rare, places


def _no_columns(contract: Contract) -> tuple[dict[str, Any], dict[str, Any]]:
    nothing = lc.TapeBuilder([contract.rules.instrument]).take()["strips"][0]
    return nothing["trades"], nothing["quotes"]


def _places(events: np.ndarray, trades: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """Before everything else of their moment."""
    out = np.zeros(len(events), PLACE_DTYPE)
    out["trades_before"] = np.searchsorted(trades, events["ts_recv"])
    out["quotes_before"] = np.searchsorted(quotes, events["ts_recv"])
    return out


def _marks(whole: Contract | None, start: int, end: int) -> np.ndarray:
    """Feed marks of a venue."""
    found: list[np.ndarray] = [_EMPTY]
    for key in sorted(whole.contents) if whole is not None else ():
        if key.start < end and key.start + DAY_NS > start and whole is not None:
            found += [e[(e["ts_recv"] >= start) & (e["ts_recv"] < end)] for e in read(whole.file(key), key)]
    return np.concatenate(found)


def holes(contract: Contract, start: int, end: int) -> np.ndarray:
    """A mark at the end of every run of days of which the contract has nothing: what happened meanwhile is unknown."""
    there = {day_number(day) for day in contract.days()}
    days = [d for d in range(start // DAY_NS + 1, (end - 1) // DAY_NS + 1) if d in there and d - 1 not in there]
    events = np.zeros(len(days), EVENT_DTYPE)
    events["ts_event"] = events["ts_recv"] = np.array(days, np.int64) * DAY_NS
    events["kind"], events["code"] = Kind.FEED, FeedState.FEED_GAP
    return events
