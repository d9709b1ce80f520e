"""A remote store, on any file system that pyarrow knows: s3://BUCKET/PATH, gs://, hdfs://, file:///PATH.

It has the folders of any store. Here it becomes a folder whose catalogue was fetched and whose partitions are fetched when they are read first, each
by the fingerprint of what it holds: once for all stores, and never again. Columns are made here.

To publish is to send partitions first and the catalogue last, each under another name until it is whole. A reader compares fetched partitions with
its catalogue, so it never mixes partitions of two catalogues.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from liqshell import private
from liqshell.errors import ConfigError, DataError
from liqshell.input_file import address_of
from liqshell.store.catalogue import FILE, STAGING, Catalogue, Lock
from liqshell.store.partition import Content, Key, about

ADDRESS = ".address"  # in the folder of a store elsewhere: where it is
PIECE_BYTES = 16 << 20
_SECRET = re.compile(r"@|[?&][^=&]*(key|secret|token|password)[^=&]*=", re.IGNORECASE)
EXAMPLE = "s3://BUCKET/PATH, gs://BUCKET/PATH or file:///PATH"


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "liqcore"


def local(path: str | Path) -> Path:
    """The folder here of a store elsewhere, with its newest catalogue; of any other path the path."""
    address = address_of(path)
    if not address:
        return Path(path)
    found = Remote(address)
    root = private.folder(cache() / "stores" / hashlib.sha256(address.encode()).hexdigest()[:24])
    if not (root / ADDRESS).exists():  # several processes may open it at once
        aside = _aside(root / ADDRESS)
        private.write(aside, address)
        os.replace(aside, root / ADDRESS)
    found.fetch(FILE, root / FILE, "a store", "Publish one: liqcore data put STORE ADDRESS")
    return root


class Remote:
    """The files of a store at an address."""

    def __init__(self, address: str):
        from pyarrow import fs

        self.address = address.partition("?")[0]
        if _SECRET.search(address):
            raise ConfigError("the address of a store", "with credentials in it", EXAMPLE, "Put them into the environment, such as AWS_PROFILE")
        with self._told("an address"):
            self._fs, self._root = fs.FileSystem.from_uri(address)

    @classmethod
    def of(cls, root: Path) -> Remote | None:
        """Of a folder that `local` made, None of others."""
        try:
            return cls((root / ADDRESS).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def partition(self, key: Key, content: Content) -> Path:
        """The file of a partition, fetched where it is not here."""
        path = cache() / "partitions" / content.fingerprint[:2] / f"{content.fingerprint}.parquet"
        if not path.exists():

            def check(fetched: Path) -> None:
                if about(fetched)["fingerprint"] != content.fingerprint:
                    raise DataError(
                        f"{self.address}/{_name(key)}",
                        "holds other rows than the catalogue says",
                        "a store at rest",
                        "It may just be published: try again. Where that was stopped, publish again",
                    )

            private.folder(path.parent)
            self.fetch(_name(key), path, "a partition", "Publish the store again", check)
        return path

    def fetch(self, name: str, path: Path, what: str, action: str, check: Callable[[Path], None] = lambda fetched: None) -> None:
        """One file, whole or not at all. check: raises where it is not what it should be."""
        aside = _aside(path)
        try:
            with self._told(what, name, action), self._fs.open_input_stream(f"{self._root}/{name}") as stream, private.opened(aside, "wb") as out:
                shutil.copyfileobj(stream, out, PIECE_BYTES)
            check(aside)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)

    def send(self, path: Path, name: str) -> None:
        """One file, under another name until it is whole."""
        target = f"{self._root}/{name}"
        with self._told("a place to write", name), path.open("rb") as stream:
            self._fs.create_dir(target.rpartition("/")[0], recursive=True)
            with self._fs.open_output_stream(f"{target}.new") as out:
                shutil.copyfileobj(stream, out, PIECE_BYTES)
            self._fs.move(f"{target}.new", target)

    def has(self, name: str) -> bool:
        from pyarrow import fs

        with self._told("a store"):
            return bool(self._fs.get_file_info(f"{self._root}/{name}").type == fs.FileType.File)

    @contextmanager
    def _told(self, expected: str, name: str = "", action: str = "") -> Iterator[None]:
        """Errors of file systems as ours."""
        where = f"{self.address}/{name}" if name else self.address
        try:
            yield
        except FileNotFoundError:
            raise DataError(where, "is not there", expected, action) from None
        except (OSError, ValueError, NotImplementedError) as why:
            raise DataError(
                where, f"cannot be used ({str(why)[:200]})", f"{expected}; addresses are {EXAMPLE}", "Credentials are taken from the environment"
            ) from None


def publish(root: Path, address: str, notify: Callable[[str, float], None] = lambda name, done: None) -> tuple[int, int]:
    """Send what the place does not have of the store in a folder, its catalogue last: (partitions, bytes). ConfigError where the place has what this
    store has not."""
    there, aside = Remote(address), root / STAGING / f"publish-{os.getpid()}"
    with Lock(root):
        catalogue = Catalogue(root)
        catalogue.finish()
        private.folder(aside)
        try:
            mine, theirs = catalogue.partitions(), _partitions(there, aside)
            if lost := sorted(theirs.keys() - mine.keys()):
                raise ConfigError(
                    there.address,
                    f"has {len(lost)} partitions that {root} has not, such as {_name(lost[0])}",
                    "an empty place, or this store",
                    "Import their files into this store first, or choose another address",
                )
            new = [key for key, content in mine.items() if key not in theirs or theirs[key].fingerprint != content.fingerprint]
            total, done = sum(mine[key].bytes for key in new), 0
            for key in new:
                notify(_name(key), done / max(total, 1))
                there.send(key.file(root), _name(key))
                done += mine[key].bytes
            with closing(sqlite3.connect(root / FILE)) as source, closing(sqlite3.connect(aside / FILE)) as copy:
                source.backup(copy)  # at rest, whatever its journal says
            there.send(aside / FILE, FILE)
            return len(new), total
        finally:
            catalogue.close()
            shutil.rmtree(aside, ignore_errors=True)


def _partitions(there: Remote, aside: Path) -> dict[Key, Content]:
    if not there.has(FILE):
        return {}
    folder = private.folder(aside / "theirs")
    there.fetch(FILE, folder / FILE, "a store", "")
    with closing(Catalogue(folder)) as found:
        return found.partitions()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")


def _name(key: Key) -> str:
    return key.file(Path()).as_posix()
