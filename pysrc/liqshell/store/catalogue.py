"""The catalogue of a store: one SQLite file. An import takes effect at its transaction here.

A commit is in three steps: the new partitions are written and synced aside; one transaction books them together with the list of files to move
(`moves`); the files are moved and the list is emptied. If the process is killed before the transaction, nothing has changed; if after it, the next
process that opens the store finishes the moves.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from liqshell import private
from liqshell.errors import DataError
from liqshell.store.partition import Content, Key

FILE = "catalogue.sqlite"
VERSION = 2  # 2: what partitions hold is told by stream
STAGING = ".staging"
CACHE = ".cache"
_TABLES = """
create table about (name text primary key, value text not null);
create table sources (fingerprint text primary key, name text not null, about text not null);
create table partitions (venue text, symbol text, kind text, day text, about text not null, primary key (venue, symbol, kind, day));
create table origins (venue text, symbol text, kind text, day text, source text not null, rows integer not null, duplicates integer not null,
    primary key (venue, symbol, kind, day, source));
create table rules (venue text, symbol text, about text not null, primary key (venue, symbol));
create table refused (name text primary key, about text not null);
create table moves (staged text primary key, final text not null);
"""


@dataclass
class Source:
    """A file that was imported."""

    fingerprint: str  # of its bytes
    name: str
    bytes: int
    format: str = ""
    rows: int = 0  # that went into the store, duplicates of earlier files included
    duplicates: int = 0  # of them, were there already
    first: int = 0
    last: int = 0
    received: str = ""  # "recorded": ts_recv is when a recorder had it; "modelled": made from the venue's time; "" unknown
    counts: dict[str, int] = field(default_factory=dict)  # what the reader refused or repaired, by reason
    notes: list[str] = field(default_factory=list)


class Lock:
    """One writer at a time. The system drops it when the process ends, however it ends."""

    def __init__(self, root: Path):
        self._path = root / ".lock"
        self._file: Any = None

    def __enter__(self) -> Self:
        if not self.take():
            pid = self._path.read_text().strip()
            raise DataError(
                str(self._path.parent),
                f"another import is running in this store{f' (process {pid})' if pid else ''}",
                "one writer at a time",
                "Wait for its end",
            )
        return self

    def take(self) -> bool:
        """Try to get it; False where another process has it."""
        self._file = private.opened(self._path, "a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            return False
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return True

    def release(self) -> None:
        self._file.close()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Catalogue:
    """The tables as Python values. Every write is one transaction."""

    def __init__(self, root: Path, create: bool = False):
        self.root = root
        self.path = root / FILE
        if not self.path.exists():
            if not create:
                raise DataError(str(root), "no store", f"a folder with {FILE}", "Create one with `liqcore import FILES… --store DIR`")
            self._create()
        self._base = self._open()

    def close(self) -> None:
        self._base.close()

    def _create(self) -> None:
        """Whole or not at all: a store that was killed while it was made is made again."""
        aside = self.path.with_suffix(f".{os.getpid()}")
        aside.unlink(missing_ok=True)
        private.opened(aside).close()  # SQLite keeps the mode of a file that is there, for its journal, too
        base = sqlite3.connect(aside)
        base.executescript(f"begin; {_TABLES} commit;")
        base.execute("insert into about values ('version', ?)", (str(VERSION),))
        base.commit()
        base.close()
        os.replace(aside, self.path)

    def _open(self) -> sqlite3.Connection:
        try:
            base = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            base.execute("pragma synchronous = full")
            version = int(base.execute("select value from about where name = 'version'").fetchone()[0])
        except (sqlite3.DatabaseError, TypeError, ValueError) as why:
            raise self._damaged(why) from None
        if version > VERSION:
            raise DataError(str(self.path), f"version {version}", f"{VERSION} or less", "A newer liqcore wrote it: upgrade")
        return base

    def _damaged(self, why: BaseException) -> DataError:
        return DataError(
            str(self.path),
            f"the catalogue cannot be read ({why})",
            "an SQLite file of liqcore",
            "`liqcore data STORE --rebuild` rebuilds it from the partitions; a new import of the same files then restores their names",
        )

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._base.execute(query, values).fetchall()
        except sqlite3.DatabaseError as why:
            raise self._damaged(why) from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._base.execute("begin immediate")
            try:
                yield self._base
            except BaseException:
                self._base.execute("rollback")
                raise
            self._base.execute("commit")
        except sqlite3.DatabaseError as why:
            raise self._damaged(why) from None

    # what is known

    def sources(self) -> dict[str, Source]:
        return {
            fingerprint: Source(**json.loads(about))
            for fingerprint, about in self._rows("select fingerprint, about from sources order by name, fingerprint")
        }

    def partitions(self) -> dict[Key, Content]:
        return {
            Key(*row[:4]): Content(**orjson.loads(row[4]))
            for row in self._rows("select venue, symbol, kind, day, about from partitions order by venue, symbol, kind, day")
        }

    def origins(self, key: Key) -> dict[str, tuple[int, int]]:
        """source -> (rows, duplicates) that it gave to a partition."""
        return {
            source: (rows, duplicates)
            for source, rows, duplicates in self._rows(
                "select source, rows, duplicates from origins where venue=? and symbol=? and kind=? and day=? order by source",
                (key.venue, key.symbol, key.kind, key.day),
            )
        }

    def all_origins(self) -> list[tuple[Key, str]]:
        """Every (partition, source)."""
        return [(Key(*row[:4]), row[4]) for row in self._rows("select venue, symbol, kind, day, source from origins")]

    def rules(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The data of contracts: {"files": from the files, "given": from the user}. The rest is inferred from the partitions."""
        return {
            (venue, symbol): json.loads(about) for venue, symbol, about in self._rows("select venue, symbol, about from rules order by venue, symbol")
        }

    def refused(self) -> dict[str, dict[str, Any]]:
        """Files that could not be imported, by name: {bytes, reason}."""
        return {name: json.loads(about) for name, about in self._rows("select name, about from refused order by name")}

    def moving(self) -> bool:
        return bool(self._rows("select 1 from moves limit 1"))

    # what changes

    def commit(
        self,
        sources: Iterable[Source],
        written: dict[Key, tuple[Path, Content]],
        origins: Iterable[tuple[Key, str, int, int]],
        rules: dict[tuple[str, str], dict[str, Any]] | None = None,
    ) -> None:
        """Book an import and move its files. written: key -> (staged file, what is in it)."""
        with self._transaction() as base:
            base.execute("update about set value = ? where name = 'version'", (str(VERSION),))
            for source in sources:
                base.execute("insert or replace into sources values (?, ?, ?)", (source.fingerprint, source.name, json.dumps(asdict(source))))
                base.execute("delete from refused where name = ?", (source.name,))
            for key, (staged, content) in written.items():
                base.execute("insert or replace into partitions values (?, ?, ?, ?, ?)", (*asdict(key).values(), json.dumps(content.as_dict())))
                base.execute("insert into moves values (?, ?)", (str(staged.relative_to(self.root)), str(key.file(self.root).relative_to(self.root))))
            for key, name, rows, duplicates in origins:
                base.execute("insert or replace into origins values (?, ?, ?, ?, ?, ?, ?)", (*asdict(key).values(), name, rows, duplicates))
            self._merge_rules(base, "files", rules or {})
        self.finish()

    def set_rules(self, rules: dict[tuple[str, str], dict[str, Any]]) -> None:
        """Sets the user's data of contracts; they override those of files."""
        with self._transaction() as base:
            self._merge_rules(base, "given", rules)

    def _merge_rules(self, base: sqlite3.Connection, who: str, rules: dict[tuple[str, str], dict[str, Any]]) -> None:
        known = self.rules()
        for (venue, symbol), about in rules.items():
            known_rules = known.get((venue, symbol), {"files": {}, "given": {}})
            known_rules[who] = {**known_rules[who], **about}
            base.execute("insert or replace into rules values (?, ?, ?)", (venue, symbol, json.dumps(known_rules, sort_keys=True, default=str)))

    def refuse(self, name: str, size: int, reason: str) -> None:
        with self._transaction() as base:
            base.execute("insert or replace into refused values (?, ?)", (name, json.dumps({"bytes": size, "reason": reason})))

    def finish(self) -> None:
        """Move what a commit has booked. Only the holder of the lock may."""
        for staged, final in self._rows("select staged, final from moves order by staged"):
            target = self.root / final
            private.folder(target.parent)
            if (self.root / staged).exists():
                os.replace(self.root / staged, target)
            elif not target.exists():
                raise DataError(
                    str(target),
                    "recorded in the catalogue, but missing on disk",
                    "a file of the last import",
                    "Import its sources again after `liqcore data STORE --rebuild`",
                )
        if self.moving():
            sync_folders({(self.root / final).parent for _, final in self._rows("select staged, final from moves")})
            with self._transaction() as base:
                base.execute("delete from moves")

    def clear(self) -> None:
        """Drop what was staged and never booked: `finish` first."""
        shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def restore_rules(self, name: tuple[str, str], known_rules: dict[str, Any]) -> None:
        with self._transaction() as base:
            base.execute("insert or replace into rules values (?, ?, ?)", (*name, json.dumps(known_rules, sort_keys=True)))

    def replace_partitions(self, found: dict[Key, Content]) -> None:
        """After a rebuild: these and no others. Sources are forgotten, because a damaged catalogue cannot say that one was imported whole."""
        with self._transaction() as base:
            base.execute("update about set value = ? where name = 'version'", (str(VERSION),))
            for table in ("partitions", "origins", "sources", "refused", "moves"):
                base.execute(f"delete from {table}")
            for key, content in found.items():
                base.execute("insert into partitions values (?, ?, ?, ?, ?)", (*asdict(key).values(), json.dumps(content.as_dict())))


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(folders: Iterable[Path]) -> None:
    for folder in sorted(folders):
        sync(folder)
