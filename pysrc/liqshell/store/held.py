"""The time over which each stream of a contract was complete, from the catalogue's data on its partitions: by the age of rows and the marks of the
feed. Trades that contradict a quote are found in a tape only (liqshell.recording.streams.of_tape)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from liqcore.event import EVENT_DTYPE, FeedState
from liqshell.recording import streams
from liqshell.store.cache import Contract
from liqshell.store.partition import read
from liqshell.store.rows import DAY_NS, HOUR_NS, day_number, day_text

GAPS_MAX = 100  # listed of one stream of a contract; the longest
LEAST_NS = {"quotes": 60_000_000_000}
HOURLY = ("trades", "quotes")
OTHERS_NS = 300_000_000_000  # a silence that is listed, beyond the age at which a stream no longer holds
KINDS = {name: "tickers" if name in streams.FIELDS else name for name in streams.STREAMS}
Interval = tuple[int, int]


def by_stream(contract: Contract, feeds: Sequence[np.ndarray]) -> tuple[dict[str, Any], dict[str, dict[str, list[float]]]]:
    """Of one contract: each stream's rows, times and silences; and of trades and quotes day -> the share of its 24 hours in which they held. A stream
    that is in no partition, or was not measured by the earlier version that wrote it, is left out. feeds: the marks that concern the contract."""
    totals: dict[str, Any] = {}
    hours: dict[str, dict[str, list[float]]] = {day: {} for day in contract.days()}
    for name in streams.STREAMS:
        parts = [
            (key.day, content.streams[name])
            for key, content in sorted(contract.contents.items())
            if key.kind == KINDS[name] and name in content.streams
        ]
        if not any(part["rows"] for _, part in parts):
            continue
        parts = [(day, part) for day, part in parts if part["rows"]]
        lost = [span for feed in feeds for span in down(feed, streams.BITS[name])]
        held = _held(parts, name, lost)
        for day, of_day in held.items() if name in HOURLY else ():
            hours.setdefault(day, {})[name] = [round(ns / HOUR_NS, 4) for ns in of_day]
        judged = name in streams.AGE_NS
        gaps = _gaps(contract, parts, name, lost) if judged else []
        totals[name] = {
            "rows": sum(part["rows"] for _, part in parts),
            "first": parts[0][1]["first"],
            "last": parts[-1][1]["last"],
            "judged": judged,
            "covered_hours": round(sum(map(sum, held.values())) / HOUR_NS, 4) if judged else None,
            "gap_count": len(gaps),
            "gaps": sorted(sorted(gaps, key=lambda g: g[0] - g[1])[:GAPS_MAX]),
        }
    return totals, hours


def _held(parts: list[tuple[str, dict[str, Any]]], name: str, lost: Iterable[Interval]) -> dict[str, list[int]]:
    """day -> ns of each hour. What a row vouches for ends where the feed was lost: to within that age, because rows are not looked at again."""
    out = {day: list(part["held"]) for day, part in parts}
    before = None
    for day, part in parts:  # the last row before midnight holds on into the day after it
        if before is not None and before[0] == day_number(day) - 1:
            out[day][0] += max(0, min(before[1] + streams.AGE_NS.get(name, 0), part["first"]) - day_number(day) * DAY_NS)
        before = day_number(day), part["last"]
    for a, b in lost:
        for at in (a, (a // HOUR_NS + 1) * HOUR_NS):
            day, hour = day_text(at // DAY_NS), at % DAY_NS // HOUR_NS
            end = min(b, a + streams.AGE_NS.get(name, 0), (at // HOUR_NS + 1) * HOUR_NS)
            if day in out:
                out[day][hour] = max(0, out[day][hour] - max(0, end - at))
    return out


def _gaps(contract: Contract, parts: list[tuple[str, dict[str, Any]]], name: str, lost: Iterable[Interval]) -> list[Interval]:
    """Times without it, from the first row of any kind to the last: between its rows, before its first and after its last, and lost ones."""
    age, least = streams.AGE_NS[name], LEAST_NS.get(name, OTHERS_NS)
    start, end = min(c.first for c in contract.contents.values()), max(c.last for c in contract.contents.values())
    found, last = [], start - age
    for _, part in parts:
        found += [(last + age, part["first"]), *((int(a), int(b)) for a, b in part["dark"])]
        last = part["last"]
    found += [(last + age, end), *lost]
    united = streams.union(np.array(sorted(found), np.int64).reshape(-1, 2))
    return [(a, b) for a, b in united.tolist() if b - a >= least]


def feed_of(of: Contract | None) -> np.ndarray:
    """The marks of the feed of a contract, or of a whole venue."""
    keys = sorted(key for key in of.contents if key.kind == "feed") if of is not None else []
    parts = [events for key in keys for events in read(of.file(key), key)] if of is not None else []
    return np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)


def down(feed: np.ndarray, bit: int = 0) -> list[Interval]:
    """From each DOWN mark to the next UP; a GAP mark says since when (ts_event). bit: only marks that concern this stream."""
    out: list[Interval] = []
    since = None
    mine = feed[(feed["flags"] == 0) | (feed["flags"] & bit != 0)] if bit else feed
    for began, ts, state in zip(mine["ts_event"].tolist(), mine["ts_recv"].tolist(), mine["code"].tolist(), strict=True):
        if state == FeedState.FEED_DOWN:
            since = ts if since is None else since
        elif state == FeedState.FEED_GAP:
            out.append((min(began, ts), ts))
        elif state == FeedState.FEED_UP and since is not None:
            out.append((since, ts))
            since = None
    return out


def stream_warnings(name: str, totals: dict[str, Any]) -> list[str]:
    """The first warnings of a contract; see streams.shortfalls. The hours of each stream by itself: whether a quote held just
    where it traded is seen in a tape only (streams.quoted)."""
    trades, quotes = totals.get("trades"), totals.get("quotes")
    if trades is None or quotes is None:
        return []
    out = streams.shortfalls(name, (trades["first"], trades["last"]), (quotes["first"], quotes["last"]))
    traded, quoted = trades["covered_hours"], quotes["covered_hours"]
    return out + ([f"{name}: quotes are valid for {quoted:,.1f} h, trades for {traded:,.1f} h"] if quoted < (1.0 - streams.SHORT) * traded else [])
