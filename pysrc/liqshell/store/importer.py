"""Files -> partitions. A file is in the store completely or not at all, also after a crash at any moment.

Files are read one after the other into plain files aside (spill.py), and committed together when enough has gathered, so that 24 hourly files write
the partition of their day once. Results do not depend on where the commits fall.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liqshell import formats, private
from liqshell.errors import ConfigError, DataError, LiqshellError, listed
from liqshell.formats.carried_state import Carried
from liqshell.input_file import address_of, regular
from liqshell.recording import reader as recording
from liqshell.store.catalogue import STAGING, Catalogue, Lock, Source, sync
from liqshell.store.merge import Overlap, merge
from liqshell.store.partition import Content, Key, Writer, columns
from liqshell.store.spill import BUFFER_BYTES, Cursor, Spill, reach
from liqshell.venues.adapters import own_venues, use_own

BATCH_BYTES = 1 << 30  # of spilled events before a commit
AHEAD = 4  # chains a process that wait to be taken: what is read while a commit is written
READ_BYTES = 1 << 22  # of a file whose fingerprint is taken, at once: each time the interpreter is wanted
CHAIN = 8  # hourly files that follow each other which one process reads: the first of them has to look back


# A chunk of columns belongs to the importer from then on, one of rows until the next one is asked for. Any exception means that the file is broken.
Opener = Callable[[Path], formats.Reading]


@dataclass(frozen=True)
class FormatOpener:
    """Makes the reader of a file by what the file looks like; goes to other processes as it is."""

    options: formats.Options = field(default_factory=formats.Options)

    def __call__(self, path: Path) -> formats.Reading:
        return _by_columns(formats.read(path, self.options))

    def following(self, path: Path, before: Carried) -> formats.Reading:
        """The same of a file whose predecessor has just been read."""
        return _by_columns(formats.read(path, self.options, before=before))


def _by_columns(reading: formats.Reading) -> formats.Reading:
    reading.columnar = True
    return reading


Notify = Callable[[str, int, int], None]  # (file, bytes done, bytes in all)


@dataclass
class Outcome:
    """The result of an import. `broken`: file -> why; the others were not harmed by it."""

    imported: list[Source] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)  # file -> the name under which the store has it
    broken: dict[str, str] = field(default_factory=dict)
    written: set[Key] = field(default_factory=set)

    def refusals(self) -> str:
        """Why files were left out, a line each with the name of the file."""
        return listed(why if why.startswith(name) else f"{name}: {why}" for name, why in self.broken.items())


@dataclass
class _Taken:
    """One file, spilled and waiting for its commit."""

    source: Source
    spill: Spill
    rules: dict[tuple[str, str], dict[str, Any]]
    overlaps: dict[Key, Overlap] = field(default_factory=dict)


def fill(
    root: str | Path,
    files: Iterable[str | Path],
    options: formats.Options | None = None,
    *,
    jobs: int = 1,
    overlap: bool = False,
    given: Mapping[tuple[str, str], dict[str, Any]] | None = None,
    notify: Notify | None = None,
) -> Outcome:
    """Import recordings and vendor files into the store at `root`, as `liqcore import` does: see `run`, and formats.Options."""
    paths = [Path(file) for file in files]
    opener = FormatOpener(replace(options or formats.Options(), backstops=True))
    return run(Path(root), paths, opener, jobs=jobs, overlap=overlap, given=given, notify=notify)


def run(
    root: Path,
    files: Sequence[Path],
    opener: Opener,
    *,
    jobs: int = 1,
    overlap: bool = False,
    given: Mapping[tuple[str, str], dict[str, Any]] | None = None,
    notify: Notify | None = None,
) -> Outcome:
    """Import files into the store at `root`, which is made where there is none. Raises DataError where another import is running, and where none of
    the files exists and there is no store yet.

    opener   makes a Reading of a file; with jobs > 1 it is called in other processes and must be a function of a module
    overlap  also take files that contradict what the store has of the same time (see merge.py): both records are kept
    given    what the user says of contracts: it stands above what files say and what is inferred
    notify   called with the progress
    """
    if address_of(root):
        raise ConfigError("the store", str(root), "a folder of this machine", "Import into one, then publish it: liqcore data put STORE ADDRESS")
    if files and not root.exists() and not any(path.exists() for path in files):
        raise DataError(", ".join(map(str, files[:3])), "no such file or folder", "market data", "Check the path; no store was created")
    private.folder(root)
    with Lock(root):
        catalogue = Catalogue(root, create=True)
        try:
            catalogue.finish()
            catalogue.clear()
            catalogue.set_rules(dict(given or {}))
            return _Import(root, catalogue, opener, overlap, notify).run(list(files), jobs)
        except OSError as why:
            raise DataError(
                str(root),
                f"cannot be written: {why.strerror or why}",
                "a folder with free space for the data",
                "Finished files are kept: free some space, then run the same command again",
            ) from None
        finally:
            with contextlib.suppress(OSError):
                catalogue.clear()
            catalogue.close()


class _Import:
    def __init__(self, root: Path, catalogue: Catalogue, opener: Opener, overlap: bool, notify: Notify | None):
        self._root, self._catalogue, self._opener, self._overlap = root, catalogue, opener, overlap
        self._notify = notify or (lambda name, done, total: None)
        self._outcome = Outcome()
        self._batch: list[_Taken] = []
        self._number = itertools.count()
        self._seen: dict[str, str] = {}  # fingerprints of the files of this run
        self._sizes: Counter[int] = Counter(source.bytes for source in catalogue.sources().values())  # of files there are and to come

    def run(self, files: list[Path], jobs: int) -> Outcome:
        sizes = {path: path.stat().st_size for path in files if path.is_file()}
        total, done = sum(sizes.values()), 0
        self._sizes.update(sizes[path] for path in files if path in sizes)  # a file may be named twice
        for path, taken in self._spilled(files, jobs):
            done += sizes.get(path, 0)
            if isinstance(taken, str):
                self._broken(str(path), sizes.get(path, 0), taken)
            elif taken is not None:
                self._batch.append(taken)
                if sum(t.spill.held for t in self._batch) >= BUFFER_BYTES:
                    for waiting in self._batch:
                        waiting.spill.flush()
                if sum(t.spill.bytes for t in self._batch) >= BATCH_BYTES:
                    self._commit()
            self._notify(path.name, done, total)
        self._commit()
        broken = self._outcome.broken
        for name, twin in list(self._outcome.known.items()):
            if twin in broken:  # the same bytes under another name are as broken
                broken[name] = broken[twin]
                del self._outcome.known[name]
        return self._outcome

    def _broken(self, name: str, size: int, reason: str) -> None:
        self._outcome.broken[name] = reason
        self._catalogue.refuse(name, size, reason)

    def _spilled(self, files: list[Path], jobs: int) -> Iterator[tuple[Path, _Taken | str | None]]:
        """Each file in order: what it gave, why it is broken, or None where the store has it."""
        work = self._work(files)
        if jobs < 2:
            for step in work:
                if isinstance(step, _Chain):
                    yield from zip(step.paths, map(_taken, step.spill(self._opener)), strict=True)
                else:
                    yield step
            return
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), use_own, (own_venues(),)) as pool:
            ahead: list[tuple[_Chain | tuple[Path, str | None], Future[Any] | None]] = []
            for coming in itertools.chain(work, (None,)):
                if coming is not None:
                    ahead.append((coming, pool.submit(_spill_chain, coming, self._opener) if isinstance(coming, _Chain) else None))
                while ahead and (coming is None or len(ahead) > AHEAD * jobs):
                    first, found = ahead.pop(0)
                    if isinstance(first, _Chain):
                        yield from zip(first.paths, map(_taken, found.result() if found else ()), strict=True)
                    else:
                        yield first

    def _work(self, files: list[Path]) -> Iterator[_Chain | tuple[Path, str | None]]:
        """The files to read, in groups that follow each other; for the others the reason, None if the store has them."""
        chain = _Chain()
        for path in files:
            fingerprint, reason = self._fresh(path)
            if chain.paths and (reason is not None or len(chain.paths) == CHAIN or not recording.follows(path, chain.paths[-1])):
                yield chain
                chain = _Chain()
            if reason is not None:
                yield path, reason or None
            else:
                chain.add(path, fingerprint, self._folder())
        if chain.paths:
            yield chain

    def _folder(self) -> Path:
        return self._root / STAGING / f"source-{next(self._number):06}"

    def _fresh(self, path: Path) -> tuple[str, str | None]:
        """Fingerprint of a file, and '' where the store has it, the reason where it cannot be read, None where it is to be read. A file of a size
        that no other has is new: then the fingerprint is '', to be taken while the file is read."""
        try:
            with regular(path, "market data").open("rb") as stream:
                if self._sizes[os.fstat(stream.fileno()).st_size] == 1:
                    return "", None
            fingerprint = fingerprint_of(path)
        except DataError as why:
            return "", str(why)
        except OSError as why:
            return "", f"cannot be read: {why.strerror or why}"
        known = self._catalogue.sources().get(fingerprint)
        name = known.name if known else self._seen.get(fingerprint, "")
        self._seen[fingerprint] = str(path)
        if name:
            self._outcome.known[str(path)] = name
            return fingerprint, ""
        return fingerprint, None

    def _commit(self) -> None:
        """Merge what the waiting files give, partition by partition, and book it in one transaction."""
        written: dict[Key, tuple[Path, Content]] = {}
        while self._batch:
            written = self._merge()
            bad = None if self._overlap else next((t for t in self._batch if _conflicts(t)), None)
            if bad is None:
                break
            self._broken(bad.source.name, bad.source.bytes, self._conflict_text(bad))
            self._batch.remove(bad)  # what comes after it may be fine: merge again without it
        if not self._batch:
            return
        for staged, _ in written.values():
            sync(staged)
        rules: dict[tuple[str, str], dict[str, Any]] = {}
        for taken in self._batch:
            rules |= taken.rules
            taken.source.duplicates = sum(o.duplicates for o in taken.overlaps.values())
        origins = [(key, t.source.fingerprint, part.rows, t.overlaps[key].duplicates) for t in self._batch for key, part in t.spill.parts.items()]
        self._catalogue.commit([t.source for t in self._batch], written, origins, rules)
        self._outcome.imported += [t.source for t in self._batch]
        self._outcome.written |= set(written)
        for taken in self._batch:
            shutil.rmtree(taken.spill.folder, ignore_errors=True)
        self._batch = []

    def _merge(self) -> dict[Key, tuple[Path, Content]]:
        stored = self._catalogue.partitions()
        written: dict[Key, tuple[Path, Content]] = {}
        for key in sorted({key for t in self._batch for key in t.spill.parts}):
            parts = [t for t in self._batch if key in t.spill.parts]
            for taken in parts:
                taken.overlaps[key] = Overlap()
            origins = set(self._catalogue.origins(key)) | {t.source.fingerprint for t in parts}
            staged = self._root / STAGING / "out" / f"{next(self._number):06}.parquet"
            writer = Writer(staged, key, sorted(origins))
            try:
                self._merge_one(key, parts, stored.get(key), writer)
                content = writer.close()
            except BaseException:
                writer.abandon()
                raise
            if key in stored and content.fingerprint == stored[key].fingerprint:
                staged.unlink()  # nothing new: the file that is there stays, and so do the caches made from it
            else:
                written[key] = staged, content
        return written

    def _merge_one(self, key: Key, parts: list[_Taken], there: Content | None, writer: Writer) -> None:
        old = Cursor(columns(key.file(self._root), key) if there else ())
        new = [t.spill.cursor(key) for t in parts]
        spans = [t.spill.spans[key.venue, key.symbol, key.kind] for t in parts]
        reached = [(there.first, there.last)] if there else []
        held = []  # of each part: the span of this day that is there before it
        for taken in parts:
            held.append((min(first for first, _ in reached), max(last for _, last in reached)) if reached else (0, 0))
            reached.append((taken.spill.parts[key].first, taken.spill.parts[key].last))
        while (end := reach((old, *new))) is not None:
            rows = old.take(end)
            for taken, cursor, before, span in zip(parts, new, held, spans, strict=True):
                rows = merge(key.layout, rows, cursor.take(end), before, span, taken.overlaps[key])
            writer.push(rows)

    def _conflict_text(self, taken: _Taken) -> str:
        key = _conflicts(taken)[0]
        overlap = taken.overlaps[key]
        names = [source.name for fingerprint, source in self._catalogue.sources().items() if fingerprint in self._catalogue.origins(key)]
        names += [t.source.name for t in self._batch if t is not taken and key in t.spill.parts]
        return (
            f"holds another record of {key.symbol} {key.kind} on {key.day}: of {overlap.offered} rows in the time shared with "
            f"{', '.join(Path(name).name for name in names[:3])}{' and others' if len(names) > 3 else ''} only {overlap.same} are the same. "
            "Together they would count the market twice. Import it into a separate store, or give --overlap to keep both"
        )


def _conflicts(taken: _Taken) -> list[Key]:
    totals: dict[tuple[str, str, str], Overlap] = defaultdict(Overlap)
    for key, overlap in taken.overlaps.items():
        whole = totals[key.venue, key.symbol, key.kind]
        whole.stored, whole.offered, whole.same = whole.stored + overlap.stored, whole.offered + overlap.offered, whole.same + overlap.same
    return [
        key
        for key, overlap in sorted(taken.overlaps.items())
        if key.kind != "feed" and overlap.stored and totals[key.venue, key.symbol, key.kind].conflict
    ]


Spilled = tuple[Source, Spill, dict[tuple[str, str], dict[str, Any]]]


@dataclass
class _Chain:
    """Files to be read one after the other, what one knows at its end handed to the next."""

    paths: list[Path] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def add(self, path: Path, fingerprint: str, folder: Path) -> None:
        self.paths.append(path)
        self.fingerprints.append(fingerprint)
        self.folders.append(folder)

    def spill(self, opener: Opener) -> Iterator[Spilled | str]:
        before = None
        for path, fingerprint, folder in zip(self.paths, self.fingerprints, self.folders, strict=True):
            found, before = spill_file(path, fingerprint, folder, opener, before)
            yield found


def _spill_chain(chain: _Chain, opener: Opener) -> list[Spilled | str]:
    """In a process of its own: what it read goes to files."""
    out = []
    for found in chain.spill(opener):
        if not isinstance(found, str):
            found[1].flush()
        out.append(found)
    return out


def _taken(found: Spilled | str) -> _Taken | str:
    return found if isinstance(found, str) else _Taken(*found)


def fingerprint_of(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    digest, block = hashlib.sha256(), memoryview(bytearray(READ_BYTES))
    with path.open("rb", buffering=0) as stream:
        while read := stream.readinto(block):
            digest.update(block[:read])
    return digest.hexdigest()[:32]


def spill_file(path: Path, fingerprint: str, folder: Path, opener: Opener, before: Carried | None = None) -> tuple[Spilled | str, Carried | None]:
    """Read one file aside; and what the file after it has to know. Returns, instead of raising, why the file is broken. fingerprint: '' = to
    be taken, which a thread does meanwhile."""
    spill = Spill(folder)
    try:
        state = path.stat()
        with ThreadPoolExecutor(1) as beside:
            taken = None if fingerprint else beside.submit(fingerprint_of, path)
            with opener(path) if before is None or not isinstance(opener, FormatOpener) else opener.following(path, before) as reading:
                for venue, symbol, events in reading:
                    spill.add(venue, symbol, events)
                carried = getattr(reading, "carried", None)
            fingerprint = taken.result() if taken else fingerprint
        changed = (now := path.stat()).st_size != state.st_size or now.st_mtime_ns != state.st_mtime_ns
        if changed:
            fingerprint = hashlib.sha256(f"{fingerprint} while it changed".encode()).hexdigest()[:32]  # of no file: it is read again
    except LiqshellError as why:
        return str(why), None
    except Exception as why:  # whatever a reader trips over, the other files must not suffer from it
        return f"cannot be read in its apparent format ({type(why).__name__}: {why})", None
    rules = dict(reading.rules)
    spans = list(spill.spans.values())
    if not spill.rows and carried is not None and carried.run:
        spans = [(carried.last, carried.last)]  # the hour in which a run ended
    if not spans:
        return f"{path}: no market events in it", carried
    counts = dict(reading.counts)
    for reason, count in spill.unusable.items():
        counts[reason] = counts.get(reason, 0) + count
    notes = [*reading.notes, *(f"the first row that was counted: {row}" for row in getattr(reading, "shown", [])[:1])]
    notes += ["the file changed while it was read: import it again for the rest"] if changed else []
    source = Source(
        fingerprint,
        str(path),
        now.st_size,
        reading.format,
        spill.rows,
        0,
        min(s[0] for s in spans),
        max(s[1] for s in spans),
        reading.received,
        counts,
        notes,
    )
    return (source, spill, rules), carried
