"""Facts about a data set beside its features: the hash of its events up to a time, the last one received, interruptions of its feeds.

It reads the events once, in their order, and no further than a question needs. The hash of the events up to T depends on nothing that was received
later, so an import of later data leaves it as it is: blake2b over the contracts, then chained over quarters of an hour (UTC) that hold events.
"""

from __future__ import annotations

import hashlib
import json
import threading
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

import liqcore as lc
from liqcore.features.spec import LAGS, Feature
from liqshell.research.feature_walk import Data, between

STEP_NS = 15 * 60 * lc.SECOND
NEVER = 0x7FFFFFFFFFFFFFFF
STREAMS, KINDS, ANY = 8, 16, 0  # of liqcore.Stream; of liqcore.Kind; the column of a contract's first event of any kind
FORCED = int(lc.Stream.STREAM_LIQUIDATION)
FEED, LIQUIDATION, DELEVERAGE, TICKER = int(lc.Kind.FEED), int(lc.Kind.LIQUIDATION), int(lc.Kind.DELEVERAGE), int(lc.Kind.TICKER)


class Unknown(NamedTuple):
    """Why a value is not known: no_data, gap, warming, not_varying. until: ns from which on it can be known, 0 = not stated."""

    reason: str
    until: int = 0


class Ledger:
    """at: every event up to it has been read. keep, kept: where its state is kept behind each part, and where it was."""

    def __init__(
        self, data: Data, kept: Callable[[int], bytes | None] = lambda part: None, keep: Callable[[int, bytes], None] = lambda part, state: None
    ):
        self.data, self._keep, self._kept = data, keep, kept
        about = json.dumps([i.as_dict() for i in data.instruments], default=str).encode()
        self.at, self.last = -1, 0
        self._chain: list[tuple[int, bytes]] = [(-1, hashlib.blake2b(about, digest_size=16).digest())]  # (end of the quarter, digest)
        self._open: hashlib.blake2b | None = None  # of the quarter that has not ended
        self._first = np.zeros((len(data.instruments), KINDS), np.int64)
        self._published = [i.completeness != lc.Completeness.COMPLETENESS_UNKNOWN for i in data.instruments]  # liquidations, as far as is known
        self._breaks: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (instrument, stream) -> (since when, whole again at: NEVER = not yet)
        self._part = -1
        self._lock = threading.RLock()

    # ---- reading on ----

    def to(self, ts: int) -> None:
        """Read every event up to ts."""
        with self._lock:
            self._to(ts)

    def _to(self, ts: int) -> None:
        if self.at < 0:
            self._resume(ts)
        ts = min(ts, self.data.end)
        for part, events in between(self.data, self.at, ts) if ts > self.at else ():
            if part != self._part:
                self._ended()
                self._part = part
            self._read(events)
            self.at = int(events["ts_recv"][-1])
        self.at = max(self.at, ts)

    def _resume(self, ts: int) -> None:
        """From what was kept behind the last part that lies wholly before ts."""
        for k in range(len(self.data.parts) - 1, 0, -1):
            if self.data.bounds[k] <= ts and (found := self._kept(k - 1)) is not None:
                about = orjson.loads(found)
                self.at, self.last, self._part = about["at"], about["last"], k - 1
                self._chain = [(end, bytes.fromhex(digest)) for end, digest in about["chain"]]
                self._first[:] = about["first"]
                self._breaks = {(n, s): [(a, b) for a, b in found] for n, s, found in about["breaks"]}
                return

    def _ended(self) -> None:
        """A part is behind us. Parts of a store are days, so no quarter is open between two of them."""
        if self._part >= 0 and self._part + 1 < len(self.data.parts) and self.data.bounds[self._part + 1] % STEP_NS == 0:
            self._close()
            about = {
                "at": self.data.bounds[self._part + 1] - 1,
                "last": self.last,
                "chain": [(end, d.hex()) for end, d in self._chain],
                "first": self._first.tolist(),
                "breaks": [(n, s, found) for (n, s), found in self._breaks.items()],
            }
            self._keep(self._part, orjson.dumps(about))

    def _close(self) -> None:
        if self._open is not None:
            self._chain.append(((self.last // STEP_NS + 1) * STEP_NS - 1, self._open.digest()))
            self._open = None

    def _read(self, events: NDArray[np.void]) -> None:
        ts = events["ts_recv"]
        low = 0
        while low < len(events):
            end = (int(ts[low]) // STEP_NS + 1) * STEP_NS
            if self._open is not None and int(ts[low]) // STEP_NS != self.last // STEP_NS:
                self._close()
            high = low + int(np.searchsorted(ts[low:], end))
            if self._open is None:
                self._open = hashlib.blake2b(self._chain[-1][1], digest_size=16)
            self._open.update(np.ascontiguousarray(events[low:high]).data)
            self.last = int(ts[high - 1])
            low = high
        kinds = events["kind"]
        for event in events[kinds == FEED]:
            self._feed(event)
        for kind in np.flatnonzero(np.bincount(kinds, minlength=KINDS)[:KINDS]).tolist():
            if kind in (FEED, 0) or TICKER < kind < DELEVERAGE or self._first[:, kind].all():
                continue
            rows = np.flatnonzero(kinds == kind)[::-1]
            place = events["instrument"][rows]
            found = np.full(len(self._first), NEVER, np.int64)
            found[place] = ts[rows]  # backwards: the first one stays
            for column in (kind, ANY):
                new = (self._first[:, column] == 0) | (self._first[:, column] > found)
                self._first[new & (found < NEVER), column] = found[new & (found < NEVER)]

    def _feed(self, event: np.void) -> None:
        n, code, named, ts = int(event["instrument"]), int(event["code"]), int(event["flags"]), int(event["ts_recv"])
        for k in range(len(self._first)) if n < 0 else (n,):
            lost = (self._breaks.get((k, 0)) or [(0, 0)])[-1][1] == NEVER
            up = code == lc.FeedState.FEED_UP and (named & FORCED or not named and not lost)
            if up and not self._published[k] and not self._first[k, LIQUIDATION]:
                self._first[k, LIQUIDATION] = ts  # liquidations are listened to from now on, as liqcore.Features has it
            for s in range(STREAMS):
                if named and not named >> s & 1:
                    continue
                found = self._breaks.setdefault((k, s), [])
                down = bool(found) and found[-1][1] == NEVER
                if code == lc.FeedState.FEED_DOWN and not down:
                    found.append((ts, NEVER))
                elif code == lc.FeedState.FEED_GAP and not down:
                    found.append((ts, ts))
                elif code == lc.FeedState.FEED_UP and down:
                    found[-1] = (found[-1][0], ts)

    # ---- what it says ----

    def hash_at(self, ts: int) -> str:
        """Of the contracts and all that was received up to ts."""
        with self._lock:
            self._to(ts)
            if ts >= self.last:  # nothing later has been read
                return (self._open.copy().digest() if self._open is not None else self._chain[-1][1]).hex()
            end, digest = self._chain[bisect_right(self._chain, ts, key=lambda row: row[0]) - 1]
        tail = hashlib.blake2b(digest, digest_size=16)
        some = False
        for _, events in between(self.data, end, ts):
            tail.update(np.ascontiguousarray(events).data)
            some = True
        return (tail.digest() if some else digest).hex()

    def received_through(self, ts: int) -> int:
        """The time of the last event up to ts; 0 where there is none."""
        k = len(self.data.parts) - 1
        while k >= 0:
            if self.data.bounds[k] <= ts:
                part = self.data.parts[k]
                if count := int(np.searchsorted(part["ts_recv"], ts, "right")):
                    return int(part["ts_recv"][count - 1])
            k -= 1
        return 0

    def why(self, feature: Feature, instrument: int, ts: int) -> Unknown:
        """Why a feature of the contract that it looks at is not known at ts."""
        self.to(ts)
        entry = feature.entry
        seen = [int(self._first[instrument, ANY if kind == LIQUIDATION and self._published[instrument] else kind]) for kind in entry.kinds]
        if any(first == 0 or first > ts for first in seen):
            return Unknown("no_data")
        reach = feature.reach_ns + (feature.time_ns if feature.transform in LAGS else feature.step_ns * feature.samples)
        streams = [s for s in range(STREAMS) if (entry.streams & 0xFF or 1) >> s & 1]
        last = [
            found[k - 1][1] if found[k - 1][1] <= ts else NEVER
            for s in streams
            if (found := self._breaks.get((instrument, s), [])) and (k := bisect_right(found, ts, key=lambda row: row[0]))
        ]
        if last and (max(last) == NEVER or not reach or max(last) + reach > ts):
            return Unknown("gap", 0 if max(last) == NEVER or not reach else max(last) + reach)
        until = max(seen) + feature.reach_ns + (feature.time_ns if feature.transform in LAGS else 0)
        if until <= ts and entry.key == "liquidations.liq_correlation":
            return Unknown("not_varying")
        if until <= ts and not feature.transform:
            return Unknown("no_data")  # a quote that has ended
        return Unknown("warming", until if until > ts else 0)
