"""The history of a configuration in SQLite: runs, orders, executions, notices, limits, kills, and how far the venue's history has been reconciled.

The trading thread only appends to a queue; a worker writes it in batches, so a slow disk never delays an order. What an order needs for its safety is
not here but in the image: the store is for finding out afterwards, and for knowing after a restart from when on executions have to be asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from liqshell import private
from liqshell.errors import DataError
from liqshell.input_file import odd_there
from liqshell.log import redact

STORE = "store.sqlite"
VERSION = 1
ROOM_MIN = 500 * 2**20  # bytes free; below, entries are off
QUEUE_MAX = 65_536  # rows waiting; more is an alarm, and what is dropped is counted
ROWS_MAX = 2_000_000  # of a table; older ones go at the next start
BUSY_S = 5.0  # that long another process may hold the file
_BATCH = 2_000
_RETRY_S = 0.5
_log = logging.getLogger("liqshell.state")
ASIDE = "a damaged store"
_LOOK = "Look at the account at the venue, then move the file out of the folder; the next start creates a new one"

# table -> columns; every table has a number of its own, and when and in which run (its prefix) a row was written
TABLES: Mapping[str, str] = {
    "runs": "prefix TEXT, started_ns INTEGER, ended_ns INTEGER, version TEXT, config TEXT, config_hash TEXT, environment TEXT, ended TEXT",
    "orders": "ts_ns INTEGER, prefix TEXT, id INTEGER, symbol TEXT, action TEXT, type TEXT, side INTEGER, price TEXT, qty TEXT, stop TEXT, "
    "flags INTEGER, fate TEXT, reason TEXT",
    "executions": "id TEXT UNIQUE, ts_ms INTEGER, prefix TEXT, order_id INTEGER, venue_order TEXT, symbol TEXT, side INTEGER, price TEXT, qty TEXT, "
    "fee TEXT, maker INTEGER, kind TEXT, code INTEGER",
    "notices": "ts_ns INTEGER, prefix TEXT, level INTEGER, kind TEXT, symbol TEXT, text TEXT",
    "limits": "ts_ns INTEGER, prefix TEXT, name TEXT, before REAL, after REAL, source TEXT, verdict TEXT",
    "kills": "ts_ns INTEGER, action TEXT, reason TEXT, by TEXT, done TEXT",
    "reconciled": "ts_ns INTEGER, prefix TEXT, venue_ms INTEGER, execution_ms INTEGER, differences INTEGER, text TEXT",
}
_COLUMNS = {table: [column.split()[0] for column in columns.split(", ")] for table, columns in TABLES.items()}


class Store:
    """The store of a state folder, made if there is none. Hold the folder's Lock.

    durable: wait for the disk at each batch (synchronous FULL) instead of at checkpoints: loses nothing in a power cut; a killed process loses at
    most what was queued in either case. DataError for a damaged file (renamed to store.sqlite.damaged-TIME; as long as such a file lies there nothing
    starts) or one of another version (it stays).

    Rows are the columns of TABLES; what is left out is NULL. put() never blocks and never raises for the disk: see `trouble` and `entries_off()`.
    """

    def __init__(self, folder: str | Path, *, durable: bool = False, room_min: int = ROOM_MIN):
        self.path = Path(folder) / STORE
        self.room_min = room_min
        self.dropped = 0  # rows that found the queue full
        self.written = 0
        self.trouble = ""  # why rows cannot be written now; "" = they can
        self._durable = durable
        self._queue: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue(QUEUE_MAX)
        self._pending: list[tuple[str, Mapping[str, Any]]] = []
        self._offered = 0
        self._closing = False
        if aside := set_aside(self.path):
            raise DataError(str(aside), ASIDE, "", _LOOK)
        private.folder(self.path.parent)
        prepare(self.path)
        self._worker = threading.Thread(target=self._work, name="store", daemon=True)
        self._worker.start()

    # ---- writing ----

    def put(self, table: str, **row: Any) -> None:
        """Queue one row. ValueError for a table or column that there is not."""
        unknown = set(row) - set(_COLUMNS.get(table, ()))
        if table not in TABLES or unknown:
            raise ValueError(f"store: no table {table!r}" if table not in TABLES else f"{table}: no column {', '.join(sorted(unknown))}")
        try:
            self._queue.put_nowait((table, row))
        except queue.Full:
            self.dropped += 1
        else:
            self._offered += 1

    def note_kill(self, action: str, reason: str, by: str, at_ns: int) -> str:
        """As the function, without waiting for the disk: for who has no time."""
        self.put("kills", ts_ns=at_ns, action=action, reason=reason, by=by)
        return self.trouble

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything queued so far is written; False if it is not in time."""
        wanted, until = self._offered, time.monotonic() + timeout_s
        while self.written < wanted:
            if time.monotonic() > until:
                return False
            time.sleep(0.001)
        return True

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued and end; False where not all could be written in time."""
        if self._closing:
            return self.written == self._offered
        whole = self.flush(timeout_s)
        self._closing = True
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._worker.join(timeout_s)
        return whole

    def entries_off(self) -> str:
        """Why no entry should be sent because of the disk, "" = none. Cheap; ask once a second."""
        if self.trouble:
            return f"the store cannot be written: {self.trouble}"
        if self.dropped:
            return f"the store is behind: {self.dropped} rows were dropped"
        free = free_bytes(self.path.parent)
        return f"{free // 2**20} MiB free on the disk, at least {self.room_min // 2**20} are needed" if free < self.room_min else ""

    def _work(self) -> None:
        database: sqlite3.Connection | None = None
        while True:
            if not self._pending:
                if self._closing and self._queue.empty():
                    break
                item = self._queue.get()
                if item is None:
                    break
                self._pending.append(item)
            while len(self._pending) < _BATCH and not self._queue.empty():
                item = self._queue.get()
                if item is not None:
                    self._pending.append(item)
            try:
                database = database or connect(self.path, durable=self._durable)
                write_rows(database, self._pending)
            except (sqlite3.Error, OSError) as why:
                self.trouble = str(why) or type(why).__name__
                if database is not None:
                    with contextlib.suppress(sqlite3.Error):
                        database.close()
                    database = None
                if self._closing:
                    break
                time.sleep(_RETRY_S)
                continue
            self.written += len(self._pending)
            self._pending.clear()
            self.trouble = ""
        if database is not None:
            database.close()

    # ---- reading ----

    def rows(self, table: str, where: str = "", parameters: Iterable[Any] = (), *, last: int = 10_000) -> list[dict[str, Any]]:
        """Rows that are written (see flush), oldest first; at most the `last` ones. `where` is SQL with ? for each parameter."""
        if table not in TABLES:
            raise ValueError(f"store: no table {table!r}")
        with contextlib.closing(connect(self.path)) as database:
            database.row_factory = sqlite3.Row
            found = database.execute(
                f"SELECT * FROM {table}{' WHERE ' + where if where else ''} ORDER BY number DESC LIMIT ?", (*parameters, last)
            ).fetchall()
        return [dict(row) for row in reversed(found)]

    def reconciled_ms(self) -> tuple[int, int]:
        """(venue time of the last whole reconciliation, time of the latest execution seen by then), ms on the venue's clock; zeros = never."""
        found = self.rows("reconciled", last=1)
        return (found[0]["venue_ms"] or 0, found[0]["execution_ms"] or 0) if found else (0, 0)

    def execution_ids(self, since_ms: int) -> set[str]:
        """The venue's ids of the executions stored since."""
        return {row["id"] for row in self.rows("executions", "ts_ms >= ?", (since_ms,), last=1_000_000)}

    def prefixes(self) -> list[str]:
        """Every prefix that this folder has traded under, oldest first."""
        return list(dict.fromkeys(row["prefix"] for row in self.rows("runs", "prefix IS NOT NULL")))


def connect(path: Path, *, durable: bool = False) -> sqlite3.Connection:
    """A connection with the house's settings. sqlite3.Error where it cannot be opened, or a file of it is no regular one."""
    for name in (path, *(path.with_name(path.name + more) for more in ("-wal", "-shm", "-journal"))):
        if what := odd_there(name):  # only looked at: closing one of our handles would release SQLite's locks
            raise sqlite3.OperationalError(f"{name.name}: {what}")
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    until = time.monotonic() + BUSY_S
    while database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as why:  # two processes that change it at once: SQLite refuses one without waiting
            if "locked" not in str(why) or time.monotonic() > until:
                raise
            time.sleep(0.01)
    database.execute("PRAGMA cache_size=-256")  # KiB: rows are written once and not looked up; the default fills to 2 MiB as the file grows
    database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    return database


def prepare(path: Path) -> None:
    """Make the tables, or check those that are there."""
    try:
        if not os.path.lexists(path):
            _make(path)
        with contextlib.closing(connect(path)) as database:
            fault, version = check_database(database)
            if not fault and version:
                raise DataError(
                    str(path), f"a store of version {version}", f"version {VERSION}", "Use the version of liqcore that wrote it, or move the file"
                )
            if not fault:
                _tables(database)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as why:  # Python cannot read what a damaged schema makes SQLite say
        if isinstance(why, sqlite3.OperationalError) and "malformed" not in str(why):
            raise DataError(str(path), f"cannot be used: {why}", "a writable folder on a disk with free space") from None
        fault = str(why)
    except OSError as why:
        raise DataError(str(path), f"cannot be made: {why.strerror}", "a writable folder on a disk with free space") from None
    if fault:
        quarantine(path, fault)


def _make(path: Path) -> None:
    """A store without rows, under another name until it is whole: a process that is killed meanwhile leaves none, not one that looks damaged to the
    kill switch. Of several that make it at once one does, and the others wait."""
    new = path.with_name(path.name + ".new")
    handle = private.descriptor(new, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.lexists(path):
            new.unlink(missing_ok=True)
            return
        new.with_name(new.name + "-journal").unlink(missing_ok=True)  # of one that was killed, as what is in the file
        os.ftruncate(handle, 0)
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as database:
            _tables(database)
        os.rename(new, path)
    finally:
        os.close(handle)


def _tables(database: sqlite3.Connection) -> None:
    """Those that are missing, and no more rows in any than it may have."""
    database.execute("BEGIN IMMEDIATE")
    for table, columns in TABLES.items():
        database.execute(f"CREATE TABLE IF NOT EXISTS {table} (number INTEGER PRIMARY KEY, {columns})")
        database.execute(f"DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?", (ROWS_MAX,))
    database.execute("CREATE INDEX IF NOT EXISTS executions_by_time ON executions (ts_ms)")
    database.execute(f"PRAGMA user_version={VERSION}")
    database.execute("COMMIT")


def check_database(database: sqlite3.Connection) -> tuple[str, int]:
    """(what SQLite finds wrong, "" = nothing; the version where it is not ours, else 0)."""
    found = [str(row[0]) for row in database.execute("PRAGMA quick_check(5)")]
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    return "" if found == ["ok"] else "; ".join(found), version if version not in (0, VERSION) else 0


def set_aside(path: Path) -> Path | None:
    """The latest damaged file in the folder of this one; no run starts beside it."""
    return max(path.parent.glob(path.name + ".damaged-*"), default=None)


def fault_of(path: Path) -> str:
    """The reason why a start refuses a store, "" = none; does not change the store."""
    if aside := set_aside(path):
        return f"{aside}: {ASIDE}"
    if not os.path.lexists(path):
        return ""
    try:
        with contextlib.closing(connect(path)) as database:
            fault, version = check_database(database)
    except (sqlite3.Error, UnicodeDecodeError) as why:
        fault, version = str(why), 0
    return f"{path}: damaged: {fault}" if fault else f"{path}: a store of version {version}; expected version {VERSION}" if version else ""


def quarantine(path: Path, fault: str) -> None:
    """Rename a damaged store and its log aside, and say so."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    os.rename(path, aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
    raise DataError(str(path), f"damaged ({fault}). It has been renamed to {aside.name}", "a complete SQLite database", _LOOK)


def write_rows(database: sqlite3.Connection, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """All of them or none. An execution that is there already stays as it is. A row that SQLite cannot hold whatever the disk (a number beyond 64
    bits, half a surrogate pair in a text of the venue's) is left out and logged: it must not keep the others from the disk."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for table, row in rows:
            names = ", ".join(row)
            try:
                database.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
            except (OverflowError, ValueError, sqlite3.ProgrammingError) as why:
                _log.error("store: a row of %s cannot be written: %s", table, redact(f"{type(why).__name__}: {why}"))
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


def note_kill(folder: str | Path, action: str, reason: str, by: str, done: str, log_line: Callable[[str], None] | None = None, at_ns: int = 0) -> str:
    """Write a row of `kills`, beside a live process or without one, or `done` into the one of that action and at_ns. Returns (and says) what keeps it
    from being written, "" = nothing, also where there is no store; it is never a reason not to kill."""
    path = Path(folder) / STORE
    if not path.exists():
        return ""
    try:
        with contextlib.closing(connect(path)) as database:
            changed = database.execute("UPDATE kills SET done = ? WHERE ts_ns = ? AND action = ?", (done, at_ns, action)) if at_ns and done else None
            if changed is None or not changed.rowcount:
                write_rows(database, [("kills", {"ts_ns": at_ns or time.time_ns(), "action": action, "reason": reason, "by": by, "done": done})])
    except (sqlite3.Error, UnicodeDecodeError) as why:
        if log_line is not None:
            log_line(f"{path}: the kill cannot be recorded there: {why}")
        return str(why)
    return ""


def halt_reason(path: Path) -> str:
    """Why entries were halted last, in the words of that moment; "" = it is not known."""
    if not path.exists():
        return ""
    try:
        with contextlib.closing(connect(path)) as database:
            row = database.execute(
                "SELECT symbol, text FROM notices WHERE level = 3 AND (kind IN ('halted', 'killed') OR text LIKE '%a person "
                "resumes%') ORDER BY number DESC LIMIT 1"
            ).fetchone()
    except (sqlite3.Error, UnicodeDecodeError, OSError):
        return ""
    return f"{row[0] + ': ' if row[0] else ''}{row[1]}" if row is not None else ""


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder; a disk that cannot be asked has none."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
