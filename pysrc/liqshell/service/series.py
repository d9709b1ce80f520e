"""The values of one list of features at any times of a data set: from the state a quarter of an hour before, not from the beginning."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from liqcore.features.spec import parse
from liqcore.parallel import cores, in_threads
from liqshell.errors import ConfigError
from liqshell.research.feature_walk import Walk, place
from liqshell.service.checkpoints import Checkpoints, key_of
from liqshell.service.ledger import NEVER, STEP_NS
from liqshell.service.problems import Problem
from liqshell.service.sources import Dataset

STATE_BYTES = 4 << 20  # a larger state is kept less often: as many bytes a quarter of an hour in all
HELD_BYTES = 32 << 20  # of states that stay in memory
SERIES_MAX = 16  # lists of names of one data set that stay in memory
WALKS = min(cores(), 4)
ROWS_OF_A_WALK = 64  # a question of fewer rows a walk is answered by fewer walks


class Series:
    """names: in full, in their order. Any thread may ask; one question is answered at a time."""

    def __init__(self, dataset: Dataset, names: Sequence[str], saved: Checkpoints):
        self.dataset, self._saved = dataset, saved
        self._asked = tuple(names)
        self._walks, self._head = [Walk(names, dataset.data)], Walk(names, dataset.data)
        self.names: tuple[str, ...] = self._head.features.names
        self.column = {name: n for n, name in enumerate(self.names)}
        self.about = self._head.features.describe()
        self._key = key_of(dataset.name, self.names, dataset.data.instruments)
        self._times = saved.times(self._key, dataset.prefix_at, " ".join(self.names))
        self._step = STEP_NS
        self._states: dict[int, bytes] = {}  # the ones that were used last
        self._lock, self._head_lock = threading.Lock(), threading.Lock()
        self._keeping = threading.Lock()  # of the kept states

    def rows(
        self,
        wanted: Sequence[tuple[int, int]] | NDArray[np.int64],
        names: Sequence[str] = (),
        notify: Callable[[int], None] | None = None,
        until: int = NEVER,
    ) -> NDArray[np.float64]:
        """One row for each (ts, instrument), which come in order of ts, one column for each of these names (() = all); nan where it was not known
        then, outside the data, and after `until`. notify: called with how many are done. Several walks at a time answer a long question of kept
        states."""
        names, counter = tuple(names) or self.names, itertools.count(1)
        ts, instruments = np.array(wanted, np.int64).reshape(-1, 2).T
        out = np.full((len(ts), len(names)), np.nan)
        low, high = int(ts.searchsorted(self.dataset.data.start)), int(ts.searchsorted(min(until, self.dataset.complete), "right"))

        def read(share: tuple[int, int, int]) -> None:
            k, first, end = share
            while first < end:
                self.check()
                last = min(first + int(ts[first:end].searchsorted((ts[first] // self._step + 1) * self._step)), end)
                if ts[first] != self._walks[k].at:  # no state is kept between two of these rows
                    self._walks[k] = self._seek(self._walks[k], int(ts[first]))
                out[first:last] = self._walks[k].rows(ts[first:last], instruments[first:last], names)
                if notify is not None:
                    notify(next(itertools.islice(counter, last - first - 1, None)))
                first = last

        with self._lock:
            each = max(ROWS_OF_A_WALK, -(-(high - low) // WALKS))
            parts = [(k, first, min(first + each, high)) for k, first in enumerate(range(low, high, each))]
            if any((at := int(ts[first])) - self._latest(at) > self._step for _, first, _ in parts[1:]):
                parts = [(0, low, high)]  # no state is kept there yet: one walk passes all of it
            while len(self._walks) < len(parts):
                self._walks.append(Walk(self._asked, self.dataset.data))
            in_threads(read, parts, WALKS)
        return out

    def now(self, instrument: int) -> tuple[int, list[float]]:
        """(as of, values) of all that has been received: what rows() gives for that time, for ever."""
        with self._head_lock:
            ts = self.dataset.complete
            if ts > self._head.at:
                self._advance(self._head, ts)
                self._head.to(ts)
            read = self._head.features.read
            return self._head.at, [read(name, instrument, self._head.at) for name in self.names]

    def check(self) -> None:
        """Problem where the server ends: a walk over months would keep its process alive."""
        if self._saved.ended:
            raise Problem("not-ready", "the server ends")

    def _latest(self, ts: int) -> int:
        """The time of the last kept state up to ts; -1 = there is none."""
        with self._keeping:
            best = bisect_right(self._times, ts) - 1
            return self._times[best] if best >= 0 else -1

    def _seek(self, walk: Walk, ts: int) -> Walk:
        """Near ts, as _advance: this walk, or another one where no kept state leads back."""
        if ts < walk.at and not self._restore(walk, ts, -1):
            walk = Walk(self._asked, self.dataset.data)
        self._advance(walk, ts)
        return walk

    def _advance(self, walk: Walk, ts: int) -> None:
        """To the last quarter before ts that holds an event, and keep the states that are passed on the way; what reads at ts pushes the rest."""
        self._restore(walk, ts, walk.at)
        data = self.dataset.data
        at = (max(walk.at, data.start) // self._step + 1) * self._step
        while at <= ts:
            self.check()
            if walk.to(at):
                self._keep(walk, at)
                at = (at // self._step + 1) * self._step
            else:  # nothing happened: on to the quarter of the next event
                at = max(_next_event(walk, ts) // self._step + 1, at // self._step + 1) * self._step

    def _restore(self, walk: Walk, ts: int, after: int) -> bool:
        """To the last kept state of after < at <= ts that is still whole, if there is one."""
        while (at := self._latest(ts)) > after:
            with self._keeping:
                state = self._states.pop(at, None) or self._saved.read(self._key, at)
                if state is None:
                    self._times = [one for one in self._times if one != at]  # damaged: it is made again on the way
                    continue
                self._states[at] = state
                while len(self._states) * len(state) > HELD_BYTES:
                    del self._states[next(iter(self._states))]
            walk.restore(state, at)
            return True
        return False

    def _keep(self, walk: Walk, at: int) -> None:
        if at > self.dataset.complete or self._latest(at) == at:
            return
        state = walk.features.snapshot()
        with self._keeping:
            self._step = STEP_NS * max(1, -(-len(state) // STATE_BYTES))
            self._saved.write(self._key, at, self.dataset.prefix_at(at), state)
            place_of = bisect_left(self._times, at)
            if self._times[place_of : place_of + 1] != [at]:  # the newest values are walked beside a question
                self._times.insert(place_of, at)


def _next_event(walk: Walk, until: int) -> int:
    """The time of the first event after a walk's; `until` where there is none before."""
    data = walk.data
    for k in range(place(data.bounds, walk.at), len(data.parts)):
        if data.bounds[k] > until:
            break
        ts = data.parts[k]["ts_recv"]
        low = int(np.searchsorted(ts, walk.at, "right"))
        if low < len(ts):
            return min(int(ts[low]), until)
    return until


def series_of(dataset: Dataset, names: Sequence[str], saved: Checkpoints) -> Series:
    """The one that has these names and perhaps others; a new one where there is none. Problem for a name that looks at an asset
    which is not there."""
    wanted = set(names)
    found: Series
    with dataset.lock:
        for key, found in reversed(list(dataset.series.items())):
            if wanted <= set(found.column):
                dataset.series[key] = dataset.series.pop(key)  # used last
                return found
        more = dict.fromkeys([*names, *(counted for name in names for counted in counts_of(name))])
        try:
            made = Series(dataset, list(more), saved)
        except ConfigError as why:  # the names are right
            raise Problem("unknown-asset", str(why).removeprefix(f"{why.where}: ")) from None
        saved.trim()
        dataset.series[" ".join(made.names)] = made
        while len(dataset.series) > SERIES_MAX:
            del dataset.series[next(iter(dataset.series))]
        return made


def counts_of(name: str) -> tuple[str, ...]:
    """Of a z-score: the names of the samples behind it, and of the independent ones."""
    feature = parse(name)
    return tuple(feature._replace(transform=count, least=0).text for count in ("n", "n_eff")) if feature.transform == "zscore" else ()
