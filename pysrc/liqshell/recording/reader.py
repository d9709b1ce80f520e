"""Reading recordings: our own, the research plan's hourly files, captures of other collectors, and raw frames (lines.py). A torn tail is
counted, not fatal.

    for record in (recording := read("runs/2026-11-21")):
        record.ts_recv, record.frame, record.stream, record.symbol
    recording.damage                       # what could not be read, file by file
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from liqshell.errors import DataError
from liqshell.input_file import LINE_BYTES_MAX, regular
from liqshell.recording import packing
from liqshell.recording.lines import RAW, SKIP, Lines, Part, Record, parts_of

__all__ = ["RAW", "SKIP", "BadLines", "Continuity", "Damage", "Reader", "Record", "adjoins", "earlier", "follows", "hour_of", "merge", "read"]

Scan = Callable[[bytes, int], tuple[int, int]]
FRAMES = "frames"  # where a run keeps its recording: the folder of a run is as good as that of its frames
DAMAGE_SHOWN = 20  # bad lines of a file that are named one by one
BAD_LINES_MIN = 20  # from so many on, a file of which most lines cannot be read is no recording
SUFFIXES = (".jsonl.gz", ".jsonl", ".json.gz", ".ndjson", ".ndjson.gz", ".jsonl.zst")
_BEFORE_FRAME = re.compile(rb"^[^{\[]*")  # collectors write the time there
_HOURLY = re.compile(r"(.*?)(\d{4}-\d\d-\d\d)[_T-](\d\d)(?!\d)")  # BTCUSDT_2024-08-05_00.jsonl.gz: of what, and which hour


@dataclass
class Damage:
    """A part of a file that could not be read."""

    file: str
    bytes_dropped: int  # bytes of the file, packed as they are, that gave nothing; of a cut last line its own
    lines_dropped: int  # lines begun and not finished, or whole ones that are no frame
    reason: str

    @property
    def text(self) -> str:
        """The loss in words, without the name of the file."""
        lost = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in ((self.bytes_dropped, "byte"), (self.lines_dropped, "line")) if count]
        return f"{self.reason}: {' and '.join(lost) or 'nothing'} dropped"


class Reader:
    """Iterates once over the records of one file, or of the recording files in a folder in name order. market: of frames that do not say theirs
    (recording_lines.parts_of)."""

    def __init__(self, path: str | Path, market: str = ""):
        self.path, self.market = Path(path), market
        self.damage: list[Damage] = []
        self.tears = 0  # places at which something was lost; damage names those of bad lines together from DAMAGE_SHOWN on
        self.lines = 0
        self.file: Path | None = None  # the one that the last record is from
        self._begun: list[bytes] = []  # of the line that has not ended
        self.scan: Scan | None = None  # reads what it can of a text of whole lines itself, from an offset on: (offset behind it, lines)
        if self.path.is_dir():
            self.files = _recordings(self.path / FRAMES) or _recordings(self.path)  # beside the frames of a run its judge.jsonl may lie
            if not self.files:
                raise DataError(str(path), "no recording in this folder", f"files named {', '.join('*' + s for s in SUFFIXES)}")
        elif self.path.exists():
            self.files = [regular(self.path, "a recording")]
        else:
            raise DataError(str(path), "no such file or folder", "a recording", "Check the path")

    def __iter__(self) -> Iterator[Record]:
        for file in self.files:
            self.file = file
            self._begun = []
            parts, bad = parts_of(Reader(file)._lines(file), file, self.market), BadLines(self, file)
            if parts:
                yield from heapq.merge(*(self._part(file, part, bad) for part in parts), key=lambda record: record.ts_recv)
                self.lines += parts[-1].end - 1
            else:
                yield from self._records(Lines(file), self._texts(file), bad)
            bad.conclude()

    def _records(self, lines: Lines, texts: Iterator[bytes], bad: BadLines, before: int = 0) -> Iterator[Record]:
        """Of texts of whole lines; `before` them are so many in their file."""
        number = before
        for text in texts:
            at = 0
            while at < len(text):
                if self.scan is not None:
                    at, taken = self.scan(text, at)
                    number, bad.good = number + taken, bad.good + taken
                    if at == len(text):
                        break
                end = text.find(b"\n", at)
                line = text[at:end] if end >= 0 else text[at:]
                at, number = at + len(line) + 1, number + 1
                if line and not line.isspace():
                    yield from bad.passed(lines, line, number)
        self.lines += number - before

    def _part(self, file: Path, part: Part, bad: BadLines) -> Iterator[Record]:
        """One of several connections that stand one behind the other in a file; damage counts once."""
        lines = Lines(file, part.addresses)
        reader = self if part.start == 1 else Reader(file)
        for number, line in enumerate(reader._lines(file), 1):
            if number >= part.start and line and not line.isspace() and number < part.end:
                yield from bad.passed(lines, line, number)

    def _lines(self, file: Path) -> Iterator[bytes]:
        for text in self._texts(file):
            yield from text.removesuffix(b"\n").split(b"\n")

    def _texts(self, file: Path) -> Iterator[bytes]:
        """Complete lines, many at once; the last one of a file may lack its newline. Incomplete records at a tear are added to `damage`."""
        if (document := _document(file)) is not None:
            yield from document
            return
        yield from self._joined(file, packing.Place())

    def _joined(self, file: Path, place: packing.Place) -> Iterator[bytes]:
        """The same, of lines from a place in a file on. The bytes after the last newline of a file that is still written are kept in `_begun`."""
        size = 0
        for piece in packing.pieces(file, place):
            if isinstance(piece, packing.Tear):  # the line across it is gone
                self.lose(Damage(str(file), piece.bytes_dropped, 0, piece.reason))
                self.damage[-1].lines_dropped += any(self._begun)
                self._begun, size = [], 0
                continue
            if (end := piece.rfind(b"\n") + 1) > 0:
                yield b"".join([*self._begun, piece[:end]])
                self._begun = [piece[end:]] if end < len(piece) else []
                size = len(piece) - end
            else:
                self._begun.append(piece)
                size += len(piece)
            if size > LINE_BYTES_MAX:
                raise DataError(str(file), f"a line longer than {LINE_BYTES_MAX} bytes", "JSON lines")
        if not place.ended:
            return
        tail, self._begun = b"".join(self._begun), []
        if tail:
            try:
                orjson.loads(_BEFORE_FRAME.sub(b"", tail))  # the last line of a file may lack its newline
            except orjson.JSONDecodeError:
                if not self.damage or self.damage[-1].file != str(file):
                    self.lose(Damage(str(file), len(tail), 0, "the last line is cut"))
                self.damage[-1].lines_dropped += 1
            else:
                yield tail

    def lose(self, damage: Damage) -> None:
        """Note a place at which something was lost."""
        self.damage.append(damage)
        self.tears += 1

    def damage_text(self) -> str:
        """One line a damage, '' where there is none."""
        return "\n".join(f"{d.file}: {d.text}" for d in self.damage)


class BadLines:
    """Lines of one file that cannot be read: each is lost, counted and noted, the first ones by number. DataError, as of the first of them, where no
    line can be read, or most cannot: then the file is no recording."""

    def __init__(self, reader: Reader, file: Path):
        self.reader, self.file = reader, file
        self.good = self.bad = 0
        self._first: DataError | None = None
        self._more: Damage | None = None

    def passed(self, lines: Lines, line: bytes, number: int) -> Iterator[Record]:
        """The records of a line, or nothing."""
        try:
            yield from lines.records(line, number)
            self.good += 1
        except UnicodeDecodeError as why:
            self._lose(DataError(f"{self.file}:{number}", f"not UTF-8 ({why.reason}): {line[:60]!r}", "a recording: lines of UTF-8 text"), number)
        except DataError as why:
            self._lose(why, number)

    def _lose(self, why: DataError, number: int) -> None:
        self.bad += 1
        self._first = self._first or why
        if self.bad >= BAD_LINES_MIN and self.bad > self.good:
            raise self._first
        if self.bad <= DAMAGE_SHOWN:
            self.reader.lose(Damage(str(self.file), 0, 1, f"line {number} cannot be read: {why.found[:120]}"))
            return
        self.reader.tears += 1
        if self._more is None:
            self._more = Damage(str(self.file), 0, 0, f"more lines that cannot be read, from line {number} on")
            self.reader.damage.append(self._more)
        self._more.lines_dropped += 1

    def conclude(self) -> None:
        """At the end of the file."""
        if self._first is not None and (not self.good or self.bad >= BAD_LINES_MIN and self.bad > self.good):
            raise self._first


def read(path: str | Path, market: str = "") -> Reader:
    """The records of a file or folder; raises DataError where it is no recording. Reading is lazy: one block at a time. market: as of Reader."""
    return Reader(path, market)


def hour_of(path: Path) -> tuple[str, int] | None:
    """Of an hourly file: whose it is (what stands before the date), and its hour since 1970; None where its name says no hour."""
    found = _HOURLY.match(path.name)
    try:
        return (found[1], int(datetime.fromisoformat(f"{found[2]}T{found[3]}:00:00+00:00").timestamp()) // 3600) if found else None
    except ValueError:
        return None


def follows(path: Path, before: Path) -> bool:
    """Whether a file is the hour after another one of the same recording."""
    mine, theirs = hour_of(path), hour_of(before)
    return mine is not None and theirs is not None and path.parent == before.parent and mine[0] == theirs[0] and mine[1] == theirs[1] + 1


def adjoins(path: Path, before: Path) -> bool:
    """Whether nothing is missing between two files of a run, as far as their names say."""
    return hour_of(path) is None or follows(path, before)


class Continuity:
    """Whether something is missing between two records of a run: a place that could not be read, or an hour."""

    def __init__(self, reader: Reader):
        self._reader, self._tears, self._file = reader, reader.tears, reader.file

    def broken(self) -> bool:
        """Before the record that the reader has just given; to be asked of each."""
        torn, before = self._reader.tears > self._tears, self._file
        self._tears, self._file = self._reader.tears, self._reader.file
        return torn or before is not self._file and before is not None and self._file is not None and not adjoins(self._file, before)


def earlier(path: Path) -> list[Path]:
    """The hourly files of the same recording that lie beside a file and before it, in order of time."""
    mine = hour_of(path)
    if mine is None or not path.is_file():
        return []
    found = [(other[1], file) for file in _recordings(path.parent) if (other := hour_of(file)) is not None and other[0] == mine[0]]
    return [file for hour, file in sorted(found) if hour < mine[1]]


def _recordings(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.endswith(SUFFIXES)) if folder.is_dir() else []


def merge(paths: Sequence[str | Path], damage: list[Damage]) -> Iterator[Record]:
    """The records of many recordings in order of receipt; each is in order itself.

    Files are opened when their first record is due, so that hundreds of hourly files need few open ones. A record without a time of its own
    (an acknowledgement among raw frames) stays behind the one before it.
    """
    files = [file for path in paths for file in Reader(path).files]
    waiting: list[tuple[int, int, Path]] = []
    for order, file in enumerate(files):
        first = next((record.ts_recv for record in Reader(file) if record.ts_recv), None)
        if first is not None:
            waiting.append((first, order, file))
    heapq.heapify(waiting)
    running: list[tuple[int, int, Record, Iterator[Record]]] = []
    while waiting or running:
        if waiting and (not running or waiting[0][:2] < running[0][:2]):
            ts, order, file = heapq.heappop(waiting)
            reader = Reader(file)
            reader.damage = damage
            records = iter(reader)
        else:
            ts, order, record, records = heapq.heappop(running)
            yield record
        following = next(records, None)
        if following is not None:
            heapq.heappush(running, (max(ts, following.ts_recv), order, following, records))


def _document(file: Path) -> list[bytes] | None:
    """The rows of a file that is one JSON document over many lines, or an array; None where it is lines."""
    head = b""
    for piece in packing.pieces(file):
        if isinstance(piece, packing.Tear):
            return None
        head += piece
        if b"\n" in head.lstrip() or len(head) > packing.BLOCK:
            break
    first = head.lstrip().split(b"\n", 1)[0].strip()
    if first not in (b"{", b"[") and not first.startswith(b"[{"):
        return None
    data = b""
    for piece in packing.pieces(file):
        if isinstance(piece, packing.Tear) or len(data) > LINE_BYTES_MAX:
            return None
        data += piece
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return [orjson.dumps(found)]
