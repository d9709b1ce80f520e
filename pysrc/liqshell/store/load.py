"""The interface of a store: its content, and the tape of some contracts over some time."""

from __future__ import annotations

import difflib
import functools
import hashlib
import itertools
import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

import liqcore as lc
from liqshell.errors import ConfigError, DataError
from liqshell.formats.reading import SEED, SYNTHETIC
from liqshell.iso import written_ns
from liqshell.store import remote
from liqshell.store.assemble import tape_of
from liqshell.store.cache import Contract
from liqshell.store.catalogue import CACHE, Catalogue, Lock, Source
from liqshell.store.partition import Content, Key
from liqshell.store.rows import DAY_NS, VENUE_WIDE, day_number, day_text
from liqshell.store.rules import effective

WAIT_S = 10.0  # for an import that is moving its files
SHOWN_MAX = 8
TimeLike = int | str | datetime | None


@dataclass(frozen=True)
class Selection:
    """Some contracts over some time: start <= ts_recv < end."""

    contracts: tuple[Contract, ...]
    start: int
    end: int
    fingerprint: str  # of the content: the same rows under the same rules have the same fingerprint in every store
    received: tuple[str, ...] = ()  # how ts_recv came about: "recorded", "modelled", or both
    synthetic: bool = False  # a source of it says that a generator made it
    market_seeds: tuple[int, ...] = ()  # of the generators, where the sources say them

    @property
    def instruments(self) -> tuple[lc.Instrument, ...]:
        return tuple(contract.rules.instrument for contract in self.contracts)

    def stamp(self) -> dict[str, Any]:
        """For the reproducibility stamp of whatever is computed from it."""
        return {
            "fingerprint": self.fingerprint,
            "start_ns": self.start,
            "end_ns": self.end,
            "contracts": [f"{c.venue}:{c.symbol}" for c in self.contracts],
            "received": list(self.received),
            "rules": {f"{c.venue}:{c.symbol}": c.rules.as_dict() for c in self.contracts},
        }


class Store:
    """A folder of market data, or an address (see remote.py). Reads only; `liqcore import` writes."""

    def __init__(self, path: str | Path):
        self.root = remote.local(path)
        if not self.root.is_dir():
            raise DataError(str(path), "no such folder", "a store", "Create one with `liqcore import FILES… --store DIR`")
        self.catalogue, self._remote = Catalogue(self.root), remote.Remote.of(self.root)
        self.name = self._remote.address if self._remote is not None else str(path)
        self._finish_imports()
        self._contracts = self._known()

    def _finish_imports(self) -> None:
        """Finish what a killed import had booked; wait for one that is just doing it."""
        if self._remote is not None:
            return
        until = time.monotonic() + WAIT_S
        while self.catalogue.moving():
            lock = Lock(self.root)
            if lock.take():
                try:
                    self.catalogue.finish()
                finally:
                    lock.release()
            elif time.monotonic() > until:
                raise DataError(self.name, "an import is in progress", "a store without an import in progress", "Try again after its end")
            else:
                time.sleep(0.05)

    def _known(self) -> dict[tuple[str, str], Contract]:
        contents: dict[tuple[str, str], dict[Key, Content]] = {}
        for key, content in self.catalogue.partitions().items():
            contents.setdefault((key.venue, key.symbol), {})[key] = content
        rules = self.catalogue.rules()
        marks = {venue: held for (venue, symbol), held in contents.items() if symbol == VENUE_WIDE}
        return {
            name: Contract(self.root, *name, effective(*name, rules.get(name, {}), held | marks.get(name[0], {})), held, self._remote)
            for name, held in contents.items()
        }

    def refresh(self) -> None:
        """Look again at what is there."""
        self._finish_imports()
        self._contracts = self._known()

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Every contract, by venue and symbol."""
        return tuple(contract for (_, symbol), contract in sorted(self._contracts.items()) if symbol != VENUE_WIDE)

    def contract(self, name: str) -> Contract:
        """By symbol, or venue:symbol where two venues have it. ConfigError with the nearest names where there is none."""
        found = [c for c in self.contracts if name in (c.symbol, f"{c.venue}:{c.symbol}")]
        if len(found) == 1:
            return found[0]
        names = [f"{c.venue}:{c.symbol}" for c in self.contracts]
        if found:
            raise ConfigError(self.name, f"{name} of more than one venue", " or ".join(f"{c.venue}:{c.symbol}" for c in found))
        near = difflib.get_close_matches(name.upper(), [n.rpartition(":")[2].upper() for n in names] + [n.upper() for n in names], 3, 0.5)
        shown = [n for n in names if n.rpartition(":")[2].upper() in near or n.upper() in near] or names[:SHOWN_MAX]
        raise ConfigError(
            self.name,
            f"no contract {name!r}",
            ", ".join(shown) + (" …" if len(names) > len(shown) else "") if names else "a store that is not empty",
            "`liqcore data STORE` lists the contracts",
        )

    def select(
        self, symbols: Sequence[str] = (), start: TimeLike = None, end: TimeLike = None, *, missing: Literal["error", "gap"] = "error"
    ) -> Selection:
        """symbols: () = all. start, end: ns, ISO text (UTC where it says no zone) or datetime; a date as `end` means the end of that day;
        None or 0 = as far as the store reaches. missing: days of which a contract has nothing raise a DataError, or become a gap of the feed."""
        chosen = tuple(self.contract(name) for name in ([symbols] if isinstance(symbols, str) else symbols)) or self.contracts
        if not chosen:
            raise DataError(self.name, "the store is empty", "at least one contract", "`liqcore import FILES… --store DIR` fills it")
        if len({(c.venue, c.symbol) for c in chosen}) < len(chosen):
            raise ConfigError(self.name, "a contract twice: " + ", ".join(symbols))
        first = min(day_number(c.days()[0]) for c in chosen) * DAY_NS
        last = (max(day_number(c.days()[-1]) for c in chosen) + 1) * DAY_NS
        low, high = _nanoseconds(start, "start", False, first), _nanoseconds(end, "end", True, last)
        if low >= high:
            raise ConfigError("start, end", f"{_when(low)} to {_when(high)}", "a start before the end")
        if missing == "error":
            self._complain_of_missing(chosen, low, high)
        parts = [
            [
                c.venue,
                c.symbol,
                c.rules.instrument.as_dict(),
                [
                    [key.kind, key.day, content.fingerprint]
                    for key, content in sorted(c.contents.items())
                    if key.start < high and key.start + DAY_NS > low
                ],
            ]
            for c in chosen
        ]
        digest = hashlib.sha256(json.dumps([parts, low, high], default=str).encode()).hexdigest()[:32]
        behind = self._sources(chosen, low, high)
        seeds = {int(note.removeprefix(SEED)) for s in behind for note in s.notes if note.startswith(SEED)}
        return Selection(
            chosen,
            low,
            high,
            digest,
            tuple(sorted({s.received for s in behind if s.received})),
            any(SYNTHETIC in s.notes for s in behind),
            tuple(sorted(seeds)),
        )

    def _sources(self, contracts: Sequence[Contract], start: int, end: int) -> list[Source]:
        """The sources of the partitions of a selection."""
        names = {(c.venue, c.symbol) for c in contracts}
        sources, origins = self.catalogue.sources(), self.catalogue.all_origins()
        used = {s for key, s in origins if (key.venue, key.symbol) in names and key.start < end and key.start + DAY_NS > start}
        return [source for fingerprint, source in sources.items() if fingerprint in used]

    def _complain_of_missing(self, contracts: Sequence[Contract], start: int, end: int) -> None:
        wanted = range(start // DAY_NS, (end - 1) // DAY_NS + 1)
        lines = []
        for contract in contracts:
            there = {day_number(day) for day in contract.days()}
            missing = [day for day in wanted if day not in there]
            if missing:
                lines.append(f"{contract.venue}:{contract.symbol} has no {_spans(missing)}; the store has {_spans(sorted(there))}")
        if lines:
            raise DataError(
                self.name,
                "; ".join(lines[:SHOWN_MAX]) + (" …" if len(lines) > SHOWN_MAX else ""),
                "every day of the range",
                "Import the missing days, choose a shorter range, or allow gaps",
            )

    def tape(
        self, symbols: Sequence[str] = (), start: TimeLike = None, end: TimeLike = None, *, missing: Literal["error", "gap"] = "error"
    ) -> lc.Tape:
        """The tape of a selection (see `select`). A day is a mapped file; several are put behind each other, in memory or, where they are many, in a
        file without a name."""
        return self.tape_of(self.select(symbols, start, end, missing=missing))

    def tape_of(self, selection: Selection) -> lc.Tape:
        """The tape of what was selected."""
        marks = {venue: whole for (venue, symbol), whole in self._contracts.items() if symbol == VENUE_WIDE}
        return tape_of(self.root, selection.contracts, marks, selection.start, selection.end)

    def make_columns(self, jobs: int = 1, notify: Callable[[str, float], None] | None = None) -> int:
        """Make the strips of days that are missing or stale, in `jobs` processes; returns how many. notify: called with (what, share done).

        A tape makes what it needs by itself; an import does it ahead."""
        for left in (*(self.root / CACHE).glob("_merged"), *(self.root / CACHE).glob("*/*/ranges")):
            shutil.rmtree(left, ignore_errors=True)  # of an earlier version, which kept ranges beside the days
        todo = [(c.venue, c.symbol, day) for c in self.contracts for day in c.days() if not c.has_day(day)]
        notify = notify or (lambda what, done: None)
        if jobs < 2 or len(todo) < 2:
            for n, (venue, symbol, day) in enumerate(todo):
                notify(f"columns of {symbol} {day}", n / len(todo))
                self._contracts[venue, symbol].day_strip(day)
        else:
            with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
                made = pool.map(_make_day, itertools.repeat(self.root), *zip(*todo, strict=True))
                for n, ((_, symbol, day), _) in enumerate(zip(todo, made, strict=True)):
                    notify(f"columns of {symbol} {day}", n / len(todo))
        return len(todo)

    def close(self) -> None:
        self.catalogue.close()


_opened = functools.lru_cache(1)(Store)  # in a process that makes days: to open a store of 90 days takes about as long as to make a day


def _make_day(root: Path, venue: str, symbol: str, day: str) -> None:
    """In a process of its own."""
    _opened(root)._contracts[venue, symbol].day_strip(day)


def open(path: str | Path) -> Store:
    """The store in a folder. DataError where there is none, or where its catalogue is damaged."""
    return Store(path)


def _nanoseconds(value: TimeLike, where: str, ends: bool, default: int) -> int:
    if value is None or value == 0:
        return default
    if isinstance(value, int):
        return value
    try:
        ns = written_ns(value.isoformat() if isinstance(value, datetime) else value)
    except (ValueError, AttributeError):
        raise ConfigError(where, f"{value!r} is not a time", "YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS, UTC") from None
    return ns + DAY_NS if ends and isinstance(value, str) and len(value.strip()) == 10 else ns


def _spans(days: Sequence[int]) -> str:
    """2026-02-09 to 2026-02-11, 2026-02-14."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][1] == day - 1:
            runs[-1][1] = day
        else:
            runs.append([day, day])
    texts = [day_text(a) if a == b else f"{day_text(a)} to {day_text(b)}" for a, b in runs]
    return ", ".join(texts[:SHOWN_MAX]) + (f" and {len(texts) - SHOWN_MAX} more" if len(texts) > SHOWN_MAX else "")


def _when(ns: int) -> str:
    return str(np.datetime64(ns, "ns").astype("datetime64[s]"))
