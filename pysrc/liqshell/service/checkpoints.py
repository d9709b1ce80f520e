"""States of features on disk: one SQLite file, so that a moment of the past is read from the state a quarter of an hour before it.

A row belongs to a list of names and contracts, to the code that made it, and to the data up to its time (`prefix`). A row whose prefix is not that of
the data any more (a later import changed a day before it) is never used, and is deleted.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import liqcore as lc
from liqshell import private
from liqshell.errors import DataError
from liqshell.recording.journal import code_hash

FILE = "checkpoints.sqlite"
BYTES_MAX = 4 << 30  # of all states; the lists of names that were used least recently go first
_TABLES = """
create table if not exists series (key text primary key, about text not null, used integer not null);
create table if not exists states (key text not null, ts integer not null, prefix text not null, state blob not null, primary key (key, ts));
create table if not exists ledgers (prefix text primary key, about blob not null);
"""


def key_of(dataset: str, names: Iterable[str], instruments: Iterable[lc.Instrument]) -> str:
    """What a state of features fits: the data set, the names, the contracts, and the code."""
    about = [dataset, list(names), [i.as_dict() for i in instruments], code_hash()]
    return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:32]


class Checkpoints:
    """The file. Any thread may use it."""

    def __init__(self, folder: Path):
        private.folder(folder)
        path = folder / FILE
        if not path.exists():
            private.opened(path, "ab").close()  # SQLite keeps the mode of a file that is there
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = off")  # what a power cut loses is made again
            self._base.executescript(_TABLES)
        except sqlite3.DatabaseError as why:
            raise DataError(str(path), f"cannot be read ({why})", "the checkpoints of `liqcore serve`", "Delete the file: it is made again") from None

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def times(self, key: str, prefix_at: Callable[[int], str], about: str = "") -> list[int]:
        """Times of which there is a state, in order; those whose data have changed are deleted."""
        rows = self._all("select ts, prefix from states where key = ? order by ts", (key,))
        good = [int(str(ts)) for ts, prefix in rows if prefix_at(int(str(ts))) == prefix]
        for ts in {int(str(ts)) for ts, _ in rows} - set(good):
            self._all("delete from states where key = ? and ts = ?", (key, ts))
        self._all(
            "insert into series values (?, ?, (select coalesce(max(used), 0) + 1 from series)) on conflict (key) do update set used = excluded.used",
            (key, about),
        )
        return good

    def read(self, key: str, ts: int) -> bytes | None:
        found = self._all("select state from states where key = ? and ts = ?", (key, ts))
        return bytes(found[0][0]) if found else None  # type: ignore[call-overload]

    def write(self, key: str, ts: int, prefix: str, state: bytes) -> None:
        self._all("insert or replace into states values (?, ?, ?, ?)", (key, ts, prefix, state))

    def ledger(self, prefix: str) -> bytes | None:
        """What a Ledger kept of the data up to here."""
        found = self._all("select about from ledgers where prefix = ?", (prefix,))
        return bytes(found[0][0]) if found else None  # type: ignore[call-overload]

    def write_ledger(self, prefix: str, about: bytes) -> None:
        self._all("insert or replace into ledgers values (?, ?)", (prefix, about))

    def trim(self) -> None:
        """Keep no more than BYTES_MAX."""
        sizes = self._all("select s.key, sum(length(state)) from states s join series using (key) group by s.key order by max(used) desc")
        held = 0
        for key, size in sizes:
            held += int(str(size))
            if held > BYTES_MAX:
                self._all("delete from states where key = ?", (key,))

    def close(self) -> None:
        with self._lock:
            self._base.close()
