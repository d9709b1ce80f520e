"""Features of recorded events at chosen times: the one way in which `liqcore features` and `liqcore serve` read them.

Events go through liqcore.Features in the order in which they were received. A Walk that is taken to a time holds what a live engine would have known
then, so what is read from it does not depend on the times that were asked for before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

import liqcore as lc
from liqshell.errors import ConfigError

PUSH_MAX = 16_384  # events pushed in one piece: signals of the process are handled between two of them


class Parts(Sequence[NDArray[np.void]]):
    """Arrays of events that are made when they are asked for; so many bytes of the last ones stay in memory, at least one of them; None = they are
    kept by others. bounds: the first time that each of them may hold."""

    def __init__(self, bounds: Sequence[int], load: Callable[[int], NDArray[np.void]], keep_bytes: int | None = 0):
        self.bounds, self._load, self._keep_bytes = bounds, load, keep_bytes
        self._lock = threading.Lock()
        self._held: dict[int, NDArray[np.void]] = {}

    def __len__(self) -> int:
        return len(self.bounds)

    @overload
    def __getitem__(self, k: int) -> NDArray[np.void]: ...
    @overload
    def __getitem__(self, k: slice) -> list[NDArray[np.void]]: ...

    def __getitem__(self, k: int | slice) -> NDArray[np.void] | list[NDArray[np.void]]:
        if isinstance(k, slice):
            return [self[n] for n in range(*k.indices(len(self)))]
        if not 0 <= k < len(self):
            raise IndexError(k)
        if self._keep_bytes is None:
            return self._load(k)
        with self._lock:
            if (found := self._held.pop(k, None)) is not None:
                self._held[k] = found  # asked for last
                return found
            self._held[k] = found = self._load(k)
            while len(self._held) > 1 and sum(part.nbytes for part in self._held.values()) > self._keep_bytes:
                del self._held[next(iter(self._held))]
            return found


@dataclass
class Data:
    """Events in the order of receipt, in arrays that follow each other; instrument = index into instruments. notes: what a person should know."""

    instruments: tuple[lc.Instrument, ...]
    parts: Sequence[NDArray[np.void]]
    start: int  # ns: of the first event, and of the last
    end: int
    notes: list[str] = field(default_factory=list)

    @cached_property
    def bounds(self) -> Sequence[int]:
        """The first time that each part may hold."""
        if isinstance(self.parts, Parts):
            return self.parts.bounds
        out = [self.start] * len(self.parts)
        for k, part in enumerate(self.parts):
            out[k] = int(part["ts_recv"][0]) if len(part) else out[k - 1] if k else self.start
        return out


def place(bounds: Sequence[int], ts: int) -> int:
    """The part that holds the last event up to ts, were there one in each."""
    return max(int(np.searchsorted(np.asarray(bounds, np.int64), ts, "right")) - 1, 0)


def between(data: Data, after: int, until: int) -> Iterator[tuple[int, NDArray[np.void]]]:
    """(part, events) of after < ts_recv <= until, in their order, never empty."""
    for k in range(place(data.bounds, after), len(data.parts)):
        if k and data.bounds[k] > until:
            return
        part = data.parts[k]
        low, high = np.searchsorted(part["ts_recv"], (after, until), "right")
        if low < high:
            yield k, part[low:high]


class Walk:
    """The features of some names, taken along the events. at: every event up to it has been pushed, -1 = none. seen[instrument, kind]: of which of
    the kinds to `watch` there were events. ConfigError for a name that is none, or that looks at an asset of which there is no contract."""

    def __init__(self, names: Iterable[str], data: Data, watch: Iterable[int] = ()):
        self.data = data
        try:
            self.features = lc.Features(names, data.instruments)
        except ValueError as why:
            raise ConfigError("--features", str(why)) from None
        self.at = -1
        self._part, self._done = -1, 0  # where the next event stands
        self.watch = tuple(watch)
        self.seen = np.zeros((len(data.instruments), max(self.watch, default=0) + 1), bool)

    def to(self, ts: int) -> int:
        """Push every event up to ts, that ns included; how many these were. ts must not be before `at`."""
        count = 0
        for events in self._until(ts):
            count += len(events)
            for low in range(0, len(events), PUSH_MAX):
                piece = events[low : low + PUSH_MAX]
                self.features.push(piece)
                for kind in self.watch:
                    self.seen[piece["instrument"][piece["kind"] == kind], kind] = True
        return count

    def rows(
        self, times: Sequence[int] | NDArray[np.int64], instruments: Sequence[int] | NDArray[np.int64], names: Sequence[str]
    ) -> NDArray[np.float64]:
        """Push every event up to the last of these rising times, and read these names of a contract at each of them: (times, names)."""
        pieces = list(self._until(int(times[-1])))
        events = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return self.features.rows(events, np.array(times, np.int64), np.array(instruments, np.int32), names)

    def _until(self, ts: int) -> Iterator[NDArray[np.void]]:
        """The events after `at`, up to ts, by part; at least one array, which may be empty."""
        bounds = self.data.bounds
        if self._part < 0:
            self._part = place(bounds, self.at)
            self._done = int(self.data.parts[self._part]["ts_recv"].searchsorted(self.at, "right"))
        while True:
            events = self.data.parts[self._part]  # of a run that is followed, a longer one than before
            first, self._done = self._done, self._done + int(events["ts_recv"][self._done :].searchsorted(ts, "right"))
            yield events[first : self._done]
            if self._done < len(events) or self._part + 1 >= len(bounds) or bounds[self._part + 1] > ts:
                break
            self._part, self._done = self._part + 1, 0
        self.at = ts

    def restore(self, state: bytes, at: int) -> None:
        """Continue from a snapshot of the same names and contracts that was taken at a time."""
        self.features.restore(state)
        self.at, self._part = at, -1
