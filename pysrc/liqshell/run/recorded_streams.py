"""Recordings of any origin as a live engine would have received them: their contracts, and their events in blocks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.errors import DataError
from liqshell.formats.event_tables import FEED_LATENCY_MS
from liqshell.formats.markets import BESIDE, UNREAD
from liqshell.input_file import is_name
from liqshell.recording import reader as recording
from liqshell.recording.feeds import recorded_feeds, use_venues
from liqshell.recording.reader import Record
from liqshell.recording.recorder import END, FEED, GAP, META, REST, label
from liqshell.run.recorded_events import Collector, VenueReplay
from liqshell.run.venue_source import Source
from liqshell.venues.adapters import ADAPTERS, BY_NAME, adapter_of

BLOCK_EVENTS = 65_536
FRAME_EVENTS_MAX = 4096
LATENCY_NS = round(FEED_LATENCY_MS * 1e6)  # of data without a time of receipt
NEVER_NS = 1 << 62  # a silence that means nothing: of recordings that say none
NAMES_SHOWN, STRANGE_MAX = 3, 10_000
_PRICE = re.compile(rb'"(?:p|ap|px|bkPx|markPx)"\s*:\s*"([0-9]{1,12}(?:\.[0-9]{1,12})?)"')


def _venue(record: Record, where: str = "") -> str:
    """Of a frame; "" = one of our own lines. where: what has it, for messages."""
    if record.exchange == "liqcore" or record.stream == recording.SKIP or record.exchange in BESIDE:
        return ""
    name = record.exchange or "bybit"
    return (BY_NAME.get(name) or adapter_of(name, where)).venue


def contracts_of(paths: list[Path], strange: Counter[str]) -> tuple[dict[str, dict[str, float]], dict[tuple[str, str], dict[str, Any]], bool]:
    """Venue -> symbol -> a first price, 0 where none was seen; what runs say of their contracts; whether there are runs. strange: counts frames of
    names that are none of a contract."""
    out: dict[str, dict[str, float]] = {}
    runs = False
    stated: dict[tuple[str, str], dict[str, Any]] = {}
    foreign: Counter[str] = Counter()
    where = ", ".join(map(str, paths))
    for record in recording.merge(paths, []):
        if record.exchange in UNREAD:
            foreign[UNREAD[record.exchange]] += 1
        if record.stream == META:
            told, runs = _settings(record), True
            stated |= {(one["venue"], one["symbol"]): one for one in told["instruments"]}
            own = {one["venue"] for one in use_venues(told, where) if "adapter" in one} if told["feeds"] else ()
            for one in told["instruments"]:  # frames of a venue of the user's need not name their contract where we look
                if one["venue"] in own:
                    out.setdefault(one["venue"], {})[one["symbol"]] = 0.0
        venue = _venue(record, where)
        if not venue:
            continue
        adapter = ADAPTERS.get(venue) or adapter_of(venue)
        stream = label(venue, record.frame)[0].decode() if adapter.kind_key else record.stream
        if not stream.startswith(adapter.channels):
            continue
        named = adapter.names_in.findall(record.frame) if adapter.names_in else [record.symbol.encode()]
        price = _PRICE.search(record.frame)
        for symbol in {raw.decode("utf-8", "replace") for raw in named if raw}:
            if not is_name(symbol) or adapter.names_in and not re.fullmatch(adapter.symbol, symbol):
                strange[symbol] += 1
                if len(strange) > STRANGE_MAX:
                    del strange[symbol]
                continue
            found = out.setdefault(venue, {})
            found[symbol] = found.get(symbol) or (float(price[1]) if price and len(named) == 1 else 0.0)
    if not out:
        beside = "".join(f" ({count} x {what})" for what, count in foreign.most_common(2))
        raise DataError(
            where,
            refused_names(strange) if strange else f"no frame with a topic of the detector{beside}",
            "; ".join(f"of {venue} {', '.join(one.channels)}" for venue, one in ADAPTERS.items()),
        )
    return out, stated, runs


def _settings(record: Record) -> dict[str, Any]:
    """Of a run: its `instruments` and `feeds`, each perhaps empty."""
    try:
        head = json.loads(record.frame)
        instruments = [dict(one) for one in head.get("instruments", ())]
        feeds = recorded_feeds(head) if instruments and head.keys() & {"feeds", "gap_ns"} else []
        if all(type(one["venue"]) is str and type(one["symbol"]) is str and float(one.get("multiplier") or 1.0) for one in instruments) and all(
            type(one["venue"]) is str and type(one["gap_ns"]) is int for one in feeds
        ):
            return {"instruments": instruments, "feeds": feeds}
        why: Exception | None = None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = error
    raise DataError(f"the settings of a run at {record.ts_recv}", f"{record.frame[:60]!r}", "the form that a run of liqcore writes") from why


class Blocks:
    """Recordings as a live engine would have seen them. contracts: venue -> symbols. unread: frames that gave no event; ended_ns: where a run
    ended."""

    def __init__(self, contracts: Mapping[str, Iterable[str]]):
        symbols = [symbol for own in contracts.values() for symbol in own]
        self._into = Collector()
        self._replays: dict[str, VenueReplay] = {}
        self.ended_ns, self._beside = 0, Counter[str]()
        first = 0
        for venue, own in contracts.items():
            count = len(list(own))
            head = {"venue": venue, "first": first, "count": count, "gap_ns": NEVER_NS, "watched": False}
            self._replays[venue] = VenueReplay(Source(head, symbols, None, len(contracts) == 1), self._into)
            first += count

    @property
    def unread(self) -> Counter[str]:
        return sum((one.source.unread for one in self._replays.values()), Counter(self._beside))

    def blocks(self, records: Iterable[Record]) -> Iterator[np.ndarray]:
        """Their events; each block is overwritten by the next."""
        into, last = self._into, 0
        for record in records:
            # raw frames have the venue's time: receipt is modelled, as by import; those without a time take that of the one before
            ts = record.ts_recv + (LATENCY_NS if record.source == recording.RAW else 0) if record.ts_recv else last
            last = max(last, ts)
            if record.stream == META:
                for one in _settings(record)["feeds"]:
                    if one["venue"] in self._replays:
                        self._replays[one["venue"]].source.gap_ns = one["gap_ns"]
            elif record.stream == END:
                self.ended_ns = record.ts_recv
            elif record.stream in (FEED, GAP) and record.exchange == "liqcore":
                self._feed(record)
            elif (venue := _venue(record)) in self._replays:
                self._replays[venue].take(record.frame, ts, record.source == REST)
            elif record.exchange in BESIDE:
                self._beside[f"of {record.exchange}"] += 1
            if into.count > BLOCK_EVENTS - FRAME_EVENTS_MAX:
                yield into.rows[: into.count]
                into.count = 0
        if into.count:
            yield into.rows[: into.count]

    def _feed(self, record: Record) -> None:
        """A feed mark of the recorder, or frames that it had to drop (then all that came before is uncertain)."""
        ts = record.ts_recv
        try:
            dropped = {"state": lc.FeedState.FEED_GAP, "ts_event": self._into.now or ts}
            found: dict[str, Any] = json.loads(record.frame) if record.stream == FEED else dropped
            mark = found | {"state": int(lc.FeedState(found["state"])), "ts_event": int(found.get("ts_event", ts))}
            venue = mark.get("venue") or (next(iter(self._replays)) if len(self._replays) == 1 and record.stream == FEED else "")
        except (ValueError, KeyError, TypeError, AttributeError) as why:
            raise DataError(f"feed mark at {ts}", f"{record.frame[:60]!r}", '{"state": 1, 2 or 3}') from why
        if venue in self._replays:
            self._replays[venue].feed(mark, ts)
        elif not venue:
            for one in self._replays.values():
                one.source.forget(((-1, 0),))
            self._into.mark(lc.Kind.FEED, mark["state"], mark["ts_event"], ts, (-1,))


def refused_names(strange: Counter[str]) -> str:
    """Names that can be none of a contract, and in how many frames."""
    shown = ", ".join(ascii(name[:40]) for name, _ in strange.most_common(NAMES_SHOWN))
    return (
        f"refused names: {len(strange)} in {strange.total()} frames, such as {shown}: at most 64 bytes of UTF-8, none of them a control "
        "character or a quote, and as the venue names its contracts"
    )
