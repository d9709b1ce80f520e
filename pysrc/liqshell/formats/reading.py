"""The interface of all readers of market data: chunks of events in the order of the file, and notes about the file.

with formats.read("BTCUSDT-aggTrades-2024-08-05.zip") as reading:
    for venue, symbol, events in reading:       # EVENT_DTYPE; instrument = index into reading.contracts
        ...
reading.counts, reading.shown, reading.notes    # rows refused, with the first of them by file and line
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np

from liqcore.event import Completeness
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns, Events, rows_of
from liqshell.formats import inverse
from liqshell.formats.carried_state import Carried
from liqshell.formats.column_map import ColumnMap
from liqshell.formats.event_tables import FEED_LATENCY_MS
from liqshell.formats.markets import MARKETS
from liqshell.formats.validate import Block, Findings, Limits, Validator, groups
from liqshell.recording.lines import BINANCE_CM
from liqshell.venues.adapters import BY_NAME

SYNTHETIC = "SYNTHETIC: made by a generator, no evidence about a real market"  # a note of Reading.notes
SEED = "seed of the generated market: "  # another, with the seed behind it
ALL = "_all"  # the symbol of marks that concern every contract of a venue; their instrument is -1
CONTRACTS_MAX = 100_000
ID_MAX = (1 << 63) - 1
# a contract in the name of a file, as Binance and Bybit write them: letters of any script, digits; no small Latin letters
SYMBOL = r"[^\Wa-z]{2,40}"
FULL, CENSORED, UNKNOWN = "FULL", "CENSORED", "UNKNOWN"
# what the liquidations of a venue's public feed are worth, wherever they were written down: every one, or at most one a second and contract. Of all
# others it is not known. aster has no adapter; its feed is Binance's
COMPLETENESS = {
    name: one.completeness.name.removeprefix("COMPLETENESS_")
    for name, one in ({BINANCE_CM: MARKETS[BINANCE_CM]} | dict(BY_NAME)).items()
    if one.completeness != Completeness.COMPLETENESS_UNKNOWN
} | {"aster": CENSORED}


@dataclass(frozen=True)
class Options:
    """Information that a file lacks.

    venue, symbol       instead of what the file or its name says; needed where neither does
    kind                trades | liquidations, where two kinds have one layout (Tardis) and the file name does not tell
    feed_latency_ms     of sources without a time of receipt: ts_recv = ts_event + this. A model, and marked as one (`received`)
    backstops           also rows of a kind that no engine takes (liqshell.backstops)
    multipliers         (venue, symbol) or symbol -> base units of one quantity unit, for venues that count in contracts
    limits              of the validation
    columns             what the columns of a table mean (column_map.py); the file is read by it, whatever it looks like
    """

    venue: str = ""
    symbol: str = ""
    kind: str = ""
    feed_latency_ms: float = FEED_LATENCY_MS
    backstops: bool = False
    multipliers: dict[Any, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    columns: ColumnMap | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.feed_latency_ms <= 60_000.0:
            raise ValueError(f"feed_latency_ms: expected 0 to 60000, got {self.feed_latency_ms!r}")

    @property
    def feed_latency_ns(self) -> int:
        return round(self.feed_latency_ms * 1e6)


class Reading:
    """One file, or one folder of a run. Iterates once; memory is bounded by the block size, not by the file.

    Subclasses set `format` and `received` and write `blocks`.

    format      name of the format
    received    "recorded": ts_recv is a measured time of receipt. "modelled": ts_recv = ts_event + feed latency
    contracts   (venue, symbol) by instrument index; grows while reading
    counts      rows refused or repaired, by reason; complete after the last chunk
    shown       the first refused rows, "file:line: reason: text"
    notes       what a person should know of the file: assumptions made, sides, units
    rules       (venue, symbol) -> what the file says of the contract: completeness, multiplier
    """

    format: ClassVar[str] = ""
    received: str = "recorded"
    in_base: ClassVar[bool] = False  # quantities of inverse contracts are coins, not contracts
    columnar: bool = False  # hand out EventColumns where they are made, in place of EVENT_DTYPE rows: for the store
    faithful: ClassVar[bool] = False  # nothing may be changed: what is wrong with a row is counted, and the row kept, as live kept it

    def __init__(self, path: str | Path, options: Options | None = None):
        self.path = Path(path)
        self.options = options or Options()
        self.contracts: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.findings = Findings(str(path))
        self._index: dict[tuple[str, str], int] = {}
        self._rules: dict[tuple[str, str], dict[str, Any]] = {}
        self.validator = Validator(self.findings, self.options.limits, self.faithful)
        self.prepare()

    def prepare(self) -> None:
        """Read as much as is needed to refuse a file that is none of this format: subclasses."""

    def blocks(self) -> Iterator[Block]:
        """Events of all contracts in the order of the file, before validation: subclasses."""
        raise NotImplementedError

    # ---- what the importer asks

    @property
    def counts(self) -> Counter[str]:
        return self.findings.counts

    @property
    def shown(self) -> list[str]:
        return self.findings.shown

    @property
    def rules(self) -> dict[tuple[str, str], dict[str, Any]]:
        return self._rules

    @property
    def symbols(self) -> list[str]:
        return [symbol for _, symbol in self.contracts]

    @property
    def kinds(self) -> tuple[int, ...]:
        """Kinds of events met so far (liqcore.Kind)."""
        return tuple(sorted(self.findings.kinds))

    def stated(self) -> Iterator[Block]:
        """The same, where liquidations of inverse contracts state what they are worth. Values that the live run received are not changed."""
        for block in self.blocks():
            if not self.validator.faithful and not self.in_base:
                inverse.state_notional(block.events, self.contracts)
            yield block

    def ordered(self) -> Iterator[np.ndarray]:
        """Validated events; those of a contract are non-decreasing in ts_recv (of a faithful reading: as they were received)."""
        return map(rows_of, self._validated())

    def _validated(self) -> Iterator[Events]:
        for block in self.stated():
            yield from self.validator.push(block)
        yield from self.validator.finish()

    def __iter__(self) -> Iterator[tuple[str, str, Events]]:
        for block in self._validated() if self.columnar else self.ordered():
            for n, own in groups(block["instrument"]):
                yield *self._name(n), block if isinstance(own, slice) else block.take(own)

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ---- of one file after the other

    @property
    def carried(self) -> Carried | None:
        """The state for the next file of the same recording, after the last event. None: nothing."""
        return None

    def after(self, before: Carried) -> None:
        """To be called before the first event, with `carried` of the file before this one."""

    def close(self) -> None:
        """Let go of the file. Files are open only while `blocks` runs, so most have nothing to do."""

    # ---- what subclasses use

    def instrument(self, venue: str, symbol: str, **rules: Any) -> int:
        """Index of a contract, new or known."""
        key = venue, symbol
        found = self._index.get(key)
        if found is None:
            if not symbol or len(self.contracts) >= CONTRACTS_MAX:
                raise DataError(
                    str(self.path),
                    f"{'more than ' + str(CONTRACTS_MAX) + ' symbols' if symbol else 'no symbol'}",
                    "the contract of the rows",
                    "" if symbol else "Give it: symbol=...",
                )
            found = self._index[key] = len(self.contracts)
            self.contracts.append(key)
            if not self.in_base and inverse.dollars(venue, symbol):
                self.note(inverse.NOTE)
            multiplier = self.options.multipliers.get(key, self.options.multipliers.get(symbol))
            if multiplier is not None:
                rules["multiplier"] = multiplier
            self._rules[key] = {"completeness": COMPLETENESS.get(venue, UNKNOWN)} | rules
            if self._rules[key]["completeness"] == CENSORED:
                self.validator.censored.add(found)
        return found

    def kept_ids(self, numbers: np.ndarray) -> np.ndarray:
        """The venue's numbers as events have them; 0 for one that they have no room for, and counted."""
        large = numbers > np.uint64(ID_MAX)
        if large.any():
            self.counts["kept: an id of 2^63 or more, without it"] += int(np.count_nonzero(large))
        return np.where(large, np.uint64(0), numbers).astype(np.int64)

    def synthetic(self, seeds: Iterable[int] = ()) -> None:
        """The source was generated with these seeds: all results made from it must state that."""
        self.note(SYNTHETIC)
        for seed in seeds:
            self.note(f"{SEED}{seed}")

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _name(self, instrument: int) -> tuple[str, str]:
        if instrument >= 0:
            return self.contracts[instrument]
        return (self.contracts[0][0] if self.contracts else self.options.venue), ALL


def tick_for(price: float) -> str:
    """A tick size for a contract of which only a price is known: 9 significant digits, with room for 100 times the price.

    Detection and features need no exact ticks, but validation refuses prices that are less than half a tick.
    """
    decimals = min(12, max(0, 8 - math.floor(math.log10(price)))) if price > 0 else 8
    return f"0.{'1':0>{decimals}}" if decimals else "1"


def blank(rows: int, kind: int) -> EventColumns:
    """Rows of one kind, all else 0."""
    return EventColumns(rows, kind=kind)
