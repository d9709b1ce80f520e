"""States of features on disk: one SQLite file, so that a moment of the past is read from the state a quarter of an hour before it.

A row belongs to a list of names and contracts, to the code that made it, and to the data up to its time (`prefix`). A row whose prefix is not that of
the data any more (a later import changed a day before it) is never used, and is deleted. Each carries a hash of itself: one that is damaged, or that
belongs elsewhere, is as if it were not there. So is everything where SQLite fails: an answer never depends on this file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import liqcore as lc
from liqshell import private
from liqshell.errors import DataError
from liqshell.recording.journal import code_hash

_log = logging.getLogger(__name__)
FILE = "checkpoints.sqlite"
BYTES_MAX = 4 << 30  # of all states; the lists of names that were used least recently go first
SEAL_BYTES = 16
_TABLES = """
create table if not exists series (key text primary key, about text not null, used integer not null);
create table if not exists states (key text not null, ts integer not null, prefix text not null, state blob not null, primary key (key, ts));
create table if not exists ledgers (prefix text primary key, about blob not null);
"""


def key_of(dataset: str, names: Iterable[str], instruments: Iterable[lc.Instrument]) -> str:
    """The key of a state of features: the data set, the names, the contracts, and the code."""
    about = [dataset, list(names), [i.as_dict() for i in instruments], code_hash()]
    return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:32]


def _seal(*about: object) -> bytes:
    return hashlib.blake2b(b"\0".join(x if isinstance(x, bytes) else str(x).encode() for x in about), digest_size=SEAL_BYTES).digest()


def _opened(found: list[tuple[object, ...]], *about: object) -> bytes | None:
    """The stored content without its checksum; None if missing or damaged."""
    kept = found[0][0] if found else None
    if not isinstance(kept, bytes):
        return None
    state = kept[SEAL_BYTES:]
    return state if kept[:SEAL_BYTES] == _seal(*about, state) else None


class Checkpoints:
    """The file. Any thread may use it."""

    def __init__(self, folder: Path):
        private.folder(folder)
        path = folder / FILE
        if not path.exists():
            private.opened(path, "ab").close()  # SQLite keeps the mode of a file that is there
        self._lock, self._path, self._failed = threading.Lock(), path, False
        self.ended = False  # the server ends: the running computation has no reader
        try:
            self._base = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = off")  # what a power cut loses is made again
            self._base.executescript(_TABLES)
        except sqlite3.DatabaseError as why:
            raise DataError(
                str(path), f"cannot be read ({why})", "the checkpoints of `liqcore serve`", "Delete the file; it is created again"
            ) from None

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._base.execute(query, values).fetchall()
            except sqlite3.DatabaseError as why:
                if not self._failed:
                    _log.warning("%s fails (%s): answers are slower without it; delete it and start again", self._path, why)
                self._failed = True
                return []

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
        return _opened(found, key, ts)

    def write(self, key: str, ts: int, prefix: str, state: bytes) -> None:
        self._all("insert or replace into states values (?, ?, ?, ?)", (key, ts, prefix, _seal(key, ts, state) + state))

    def ledger(self, prefix: str) -> bytes | None:
        """The state of a Ledger of the data up to here."""
        found = self._all("select about from ledgers where prefix = ?", (prefix,))
        return _opened(found, prefix)

    def write_ledger(self, prefix: str, about: bytes) -> None:
        self._all("insert or replace into ledgers values (?, ?)", (prefix, _seal(prefix, about) + about))

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
