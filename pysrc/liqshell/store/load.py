"""A store from the outside: what it has, and the tape of some contracts over some time."""

from __future__ import annotations

import difflib
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

import liqcore as lc
from liqcore.columns import PLACE_DTYPE
from liqcore.event import EVENT_DTYPE, FeedState, Kind
from liqshell.errors import ConfigError, DataError
from liqshell.store.cache import Contract
from liqshell.store.catalogue import Catalogue, Lock
from liqshell.store.partition import Content, Key, read
from liqshell.store.rows import DAY_NS, VENUE_WIDE, day_number, day_text
from liqshell.store.rules import effective

WAIT_S = 10.0                   # for an import that is moving its files
SHOWN_MAX = 8
Moment = int | str | datetime | None


@dataclass(frozen=True)
class Selection:
    """Some contracts over some time: start <= ts_recv < end."""

    contracts: tuple[Contract, ...]
    start: int
    end: int
    fingerprint: str            # of the content: the same rows under the same rules have the same fingerprint in every store

    @property
    def instruments(self) -> tuple[lc.Instrument, ...]:
        return tuple(contract.rules.instrument for contract in self.contracts)

    def stamp(self) -> dict[str, Any]:
        """For the reproducibility stamp of whatever is computed from it."""
        return {"fingerprint": self.fingerprint, "start_ns": self.start, "end_ns": self.end,
                "contracts": [f"{c.venue}:{c.symbol}" for c in self.contracts],
                "rules": {f"{c.venue}:{c.symbol}": c.rules.as_dict() for c in self.contracts}}


class Store:
    """A folder of market data. Reads only; `liqcore import` writes."""

    def __init__(self, path: str | Path):
        self.root = Path(path)
        if not self.root.is_dir():
            raise DataError(str(path), "no such folder", "a store", "Make one with `liqcore import FILES… --store DIR`")
        self.catalogue = Catalogue(self.root)
        self._settle()
        self._contracts = self._known()

    def _settle(self) -> None:
        """Finish what a killed import had booked; wait for one that is just doing it."""
        until = time.monotonic() + WAIT_S
        while self.catalogue.moving():
            lock = Lock(self.root)
            if lock.take():
                try:
                    self.catalogue.finish()
                finally:
                    lock.release()
            elif time.monotonic() > until:
                raise DataError(str(self.root), "an import is being committed", "a store at rest", "Try again when it has finished")
            else:
                time.sleep(0.05)

    def _known(self) -> dict[tuple[str, str], Contract]:
        contents: dict[tuple[str, str], dict[Key, Content]] = {}
        for key, content in self.catalogue.partitions().items():
            contents.setdefault((key.venue, key.symbol), {})[key] = content
        said = self.catalogue.rules()
        return {(venue, symbol): Contract(self.root, venue, symbol, effective(venue, symbol, said.get((venue, symbol), {}), held), held)
                for (venue, symbol), held in contents.items()}

    def refresh(self) -> None:
        """Look again at what is there."""
        self._settle()
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
            raise ConfigError(str(self.root), f"{name} of more than one venue", " or ".join(f"{c.venue}:{c.symbol}" for c in found))
        near = difflib.get_close_matches(name.upper(), [n.rpartition(":")[2].upper() for n in names] + [n.upper() for n in names], 3, 0.5)
        shown = [n for n in names if n.rpartition(":")[2].upper() in near or n.upper() in near] or names[:SHOWN_MAX]
        raise ConfigError(str(self.root), f"no contract {name!r}", ", ".join(shown) + (" …" if len(names) > len(shown) else "") if names
                          else "a store that is not empty", "`liqcore data STORE` lists what there is")

    def select(self, symbols: Sequence[str] = (), start: Moment = None, end: Moment = None, *,
               missing: Literal["error", "gap"] = "error") -> Selection:
        """symbols: () = all. start, end: ns, ISO text (UTC where it says no zone) or datetime; a date as `end` means the end of that day;
        None or 0 = as far as the store reaches. missing: days of which a contract has nothing raise a DataError, or become a gap of the feed."""
        chosen = tuple(self.contract(name) for name in ([symbols] if isinstance(symbols, str) else symbols)) or self.contracts
        if not chosen:
            raise DataError(str(self.root), "the store is empty", "at least one contract", "`liqcore import FILES… --store DIR` fills it")
        if len({(c.venue, c.symbol) for c in chosen}) < len(chosen):
            raise ConfigError(str(self.root), "a contract twice: " + ", ".join(symbols))
        first = min(day_number(c.days()[0]) for c in chosen) * DAY_NS
        last = (max(day_number(c.days()[-1]) for c in chosen) + 1) * DAY_NS
        low, high = _nanoseconds(start, "start", False, first), _nanoseconds(end, "end", True, last)
        if low >= high:
            raise ConfigError("start, end", f"{_when(low)} to {_when(high)}", "a start before the end")
        if missing == "error":
            self._complain_of_missing(chosen, low, high)
        parts = [[c.venue, c.symbol, c.rules.instrument.as_dict(), [[key.kind, key.day, content.fingerprint] for key, content in
                 sorted(c.contents.items()) if key.start < high and key.start + DAY_NS > low]] for c in chosen]
        digest = hashlib.sha256(json.dumps([parts, low, high], default=str).encode()).hexdigest()[:32]
        return Selection(chosen, low, high, digest)

    def _complain_of_missing(self, contracts: Sequence[Contract], start: int, end: int) -> None:
        wanted = range(start // DAY_NS, (end - 1) // DAY_NS + 1)
        lines = []
        for contract in contracts:
            there = {day_number(day) for day in contract.days()}
            missing = [day for day in wanted if day not in there]
            if missing:
                lines.append(f"{contract.venue}:{contract.symbol} has no {_spans(missing)}; the store has {_spans(sorted(there))}")
        if lines:
            raise DataError(str(self.root), "; ".join(lines[:SHOWN_MAX]) + (" …" if len(lines) > SHOWN_MAX else ""), "every day of the range",
                            "Import the missing days, choose a shorter range, or allow gaps")

    def tape(self, symbols: Sequence[str] = (), start: Moment = None, end: Moment = None, *,
             missing: Literal["error", "gap"] = "error") -> lc.Tape:
        """The tape of a selection (see `select`). Its columns are mapped files: nothing is copied, however long the range."""
        return self.tape_of(self.select(symbols, start, end, missing=missing))

    def tape_of(self, selection: Selection) -> lc.Tape:
        strips: list[dict[str, Any]] = []
        rare: list[np.ndarray] = []
        place: list[np.ndarray] = []
        for n, contract in enumerate(selection.contracts):
            strip = contract.range_strip(selection.start, selection.end)
            if strip is None:
                nothing = lc.TapeBuilder([contract.rules.instrument]).take()["strips"][0]
                trades, quotes = nothing["trades"], nothing["quotes"]
            else:
                trades, quotes = strip.trades, strip.quotes
                mine = np.array(strip.rare)
                mine["instrument"] = n
                rare.append(mine)
                place.append(np.array(strip.place))
            strips.append({"trades": trades, "quotes": quotes})
            self._add_marks(n, contract, selection, trades["ts"], quotes["ts"], rare, place)
        events = np.concatenate(rare) if rare else np.zeros(0, EVENT_DTYPE)
        places = np.concatenate(place) if place else np.zeros(0, PLACE_DTYPE)
        order = np.lexsort((events["kind"] != Kind.FEED, events["instrument"], events["ts_recv"]))
        return lc.Tape(selection.instruments, {"strips": strips, "rare": events[order], "place": places[order]}, trusted=True)

    def _add_marks(self, n: int, contract: Contract, selection: Selection, trades: np.ndarray, quotes: np.ndarray,
                   rare: list[np.ndarray], place: list[np.ndarray]) -> None:
        """Feed marks of the whole venue, and a gap after each missing day, as events of this contract: before all else of their moment."""
        marks = [self._venue_marks(contract.venue, selection), _holes(contract, selection)]
        events = np.concatenate([m for m in marks if len(m)]) if any(len(m) for m in marks) else marks[0]
        if len(events):
            events["instrument"] = n
            at = np.zeros(len(events), PLACE_DTYPE)
            at["trades_before"] = np.searchsorted(trades, events["ts_recv"])
            at["quotes_before"] = np.searchsorted(quotes, events["ts_recv"])
            rare.append(events)
            place.append(at)

    def _venue_marks(self, venue: str, selection: Selection) -> np.ndarray:
        whole = self._contracts.get((venue, VENUE_WIDE))
        found: list[np.ndarray] = [np.zeros(0, EVENT_DTYPE)]
        for key in sorted(whole.contents) if whole else ():
            if key.start < selection.end and key.start + DAY_NS > selection.start:
                found += [e[(e["ts_recv"] >= selection.start) & (e["ts_recv"] < selection.end)] for e in read(key.file(self.root), key)]
        return np.concatenate(found)

    def close(self) -> None:
        self.catalogue.close()


def open(path: str | Path) -> Store:
    """The store in a folder. DataError where there is none, or where its catalogue is damaged."""
    return Store(path)


def _holes(contract: Contract, selection: Selection) -> np.ndarray:
    """A mark at the end of every run of days of which the contract has nothing: what happened meanwhile is unknown."""
    there = {day_number(day) for day in contract.days()}
    days = [d for d in range(selection.start // DAY_NS + 1, (selection.end - 1) // DAY_NS + 1) if d in there and d - 1 not in there]
    events = np.zeros(len(days), EVENT_DTYPE)
    events["ts_event"] = events["ts_recv"] = np.array(days, np.int64) * DAY_NS
    events["kind"], events["code"] = Kind.FEED, FeedState.FEED_GAP
    return events


def _nanoseconds(moment: Moment, where: str, ends: bool, default: int) -> int:
    if moment is None or moment == 0:
        return default
    if isinstance(moment, int):
        return moment
    try:
        when = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment.strip())
    except (ValueError, AttributeError):
        raise ConfigError(where, f"{moment!r} is not a time", "YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS, UTC") from None
    since = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
    return ns + DAY_NS if ends and isinstance(moment, str) and len(moment.strip()) == 10 else ns


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
