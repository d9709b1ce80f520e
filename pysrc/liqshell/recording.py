"""Reading recordings: our own, S4's hourly files, and plain JSON lines of raw frames. A torn tail is counted, not fatal.

    for record in (recording := read("runs/2026-11-21")):
        record.ts_recv, record.frame, record.stream, record.symbol
    recording.damage                       # what could not be read, file by file
"""

import base64
import binascii
import heapq
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from liqshell.errors import DataError
from liqshell.record import TOPIC, label

BLOCK = 1 << 18
HELD_BYTES = 16 << 20           # of a member whose end, and with it its sum, is still to come: more than one of ours holds
FRAMES = "frames"               # where a run keeps its recording: the folder of a run is as good as that of its frames
LINE_BYTES_MAX = 64 << 20
GZIP_MAGIC = b"\x1f\x8b\x08"
SKIP = "liqcore.skip"                # stream of lines that hold no frame
RAW = "raw"                          # source of frames by themselves: nobody says when they were received
SUFFIXES = (".jsonl.gz", ".jsonl", ".json.gz", ".ndjson", ".ndjson.gz")
_HOURLY = re.compile(r"(.*?)(\d{4}-\d\d-\d\d)[_T-](\d\d)(?!\d)")      # BTCUSDT_2024-08-05_00.jsonl.gz: of what, and which hour
_OURS = re.compile(rb'\{"ts":-?\d{1,18},"ts_recv":(-?\d{1,19}),"exchange":"([^"\\]*)","source":"([^"\\]*)","stream":"([^"\\]*)",'
                   rb'"symbol":"([^"\\]*)",(?:"raw":"(text|base64)",)?"result":')


class Record(NamedTuple):
    ts_recv: int                # ns UTC; from a recording that kept only milliseconds, that many; from raw frames the venue's own time
    frame: bytes                # as it came over the wire; of a foreign recording, a frame of the same content
    stream: str                 # topic, or liqcore.meta / .feed / .end / .gap for the recorder's own lines
    symbol: str
    exchange: str
    source: str = "ws"          # "rest": the answer to a poll; RAW


@dataclass
class Damage:
    """A part of a file that could not be read."""

    file: str
    bytes_dropped: int          # compressed bytes that gave nothing
    lines_dropped: int          # lines begun and not finished
    reason: str


class Reader:
    """Iterates once over the records of one file, or of the recording files in a folder in name order."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.damage: list[Damage] = []
        self.lines = 0
        self.file: Path | None = None   # the one that the last record is from
        if self.path.is_dir():
            self.files = _recordings(self.path) or _recordings(self.path / FRAMES)
            if not self.files:
                raise DataError(str(path), "no recording in this folder", f"files named {', '.join('*' + s for s in SUFFIXES)}")
        elif self.path.is_file():
            self.files = [self.path]
        else:
            raise DataError(str(path), "no such file or folder", "a recording", "Check the path")

    def __iter__(self) -> Iterator[Record]:
        for file in self.files:
            number, self.file = 0, file
            for line in self._lines(file):
                number += 1
                if line and not line.isspace():
                    yield _record(line, file, number)
            self.lines += number

    def _lines(self, file: Path) -> Iterator[bytes]:
        """Complete lines. What a tear leaves unfinished goes to `damage`."""
        tail = b""
        for piece in _gunzip(file) if _is_gzip(file) else _blocks(file):
            if isinstance(piece, Damage):           # a tear: the line across it is gone
                self.damage.append(piece)
                self._tear(file, tail)
                tail = b""
                continue
            lines = (tail + piece if tail else piece).split(b"\n")
            tail = lines.pop()
            yield from lines
            if len(tail) > LINE_BYTES_MAX:
                raise DataError(str(file), f"a line longer than {LINE_BYTES_MAX} bytes", "JSON lines")
        if tail:
            try:
                orjson.loads(tail)                  # the last line of a file may lack its newline
            except orjson.JSONDecodeError:
                if not self.damage or self.damage[-1].file != str(file):
                    self.damage.append(Damage(str(file), 0, 0, "the last line is cut"))
                self._tear(file, tail)
            else:
                yield tail

    def _tear(self, file: Path, tail: bytes) -> None:
        if tail:
            self.damage[-1].lines_dropped += 1

    def damage_text(self) -> str:
        """One line a damage, '' where there is none."""
        return "\n".join(f"{d.file}: {d.reason}: {d.bytes_dropped} bytes and {d.lines_dropped} unfinished lines dropped"
                         for d in self.damage)


def read(path: str | Path) -> Reader:
    """The records of a file or folder; raises DataError where it is no recording. Reading is lazy: one block at a time."""
    return Reader(path)


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


def _is_gzip(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(3) == GZIP_MAGIC
    except OSError as why:
        raise DataError(str(file), f"cannot be read: {why.strerror}") from None


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block


def _gunzip(file: Path) -> Iterator[bytes | Damage]:
    """Decompressed pieces, member after member. Of a damaged member nothing is handed on, because any of it may be wrong; of one that is cut, what
    stands before the cut. Then the damage, and on from the next member that can be read."""
    with file.open("rb") as stream:
        offset, size = 0, file.stat().st_size       # start of the member
        while offset < size:
            held, bytes_held, given, reason = deque[bytes](), 0, 0, ""
            member = zlib.decompressobj(31)
            stream.seek(offset)
            try:
                for piece in _inflated(stream, member, size - offset):
                    held.append(piece)
                    bytes_held += len(piece)
                    while bytes_held > HELD_BYTES:          # members of others may be as large as their file
                        bytes_held, given = bytes_held - len(held[0]), given + len(held[0])
                        yield held.popleft()
            except zlib.error as why:
                reason = f"the gzip member is damaged ({why})"
            if member.eof:
                yield from held
                offset = stream.tell() - len(member.unused_data)
                continue
            start, offset = offset, _next_member(stream, offset + 1, size)
            if not reason:
                yield from held
            elif (before := _cut(stream, start, offset)) is not None:
                reason = "the gzip member is cut"
                yield before[given:]
            yield Damage(str(file), offset - start, 0, reason or "the gzip member is cut")


def _inflated(stream: BinaryIO, member: Any, room: int) -> Iterator[bytes]:
    """What the next `room` bytes hold, up to the end of the member."""
    while not member.eof:
        block = member.unconsumed_tail
        if not block:
            block = stream.read(min(BLOCK, room))
            room -= len(block)
        if not block:
            return
        yield member.decompress(block, BLOCK)


def _cut(stream: BinaryIO, start: int, end: int) -> bytes | None:
    """What a member holds that another one follows before its end; None where it is not that, but damaged."""
    stream.seek(start)
    try:
        return b"".join(_inflated(stream, zlib.decompressobj(31), end - start))
    except zlib.error:
        return None


def _next_member(stream: Any, offset: int, size: int) -> int:
    """Offset of the next place that starts like a gzip member and decompresses without an error; `size` where there is none."""
    while offset < size:
        stream.seek(offset)
        block = stream.read(BLOCK)
        at = block.find(GZIP_MAGIC)
        if at < 0:
            offset += max(len(block) - 2, 1)
            continue
        stream.seek(offset + at)
        try:
            if zlib.decompressobj(31).decompress(stream.read(BLOCK), BLOCK):
                return offset + at
        except zlib.error:
            pass
        offset += at + 1
    return size


def _record(line: bytes, file: Path, number: int) -> Record:
    ours = _OURS.match(line)
    if ours and line.endswith(b"}"):
        ts, exchange, source, stream, symbol, raw = ours.groups()
        frame = line[ours.end():-1]
        if raw:
            frame = _unwrap(frame, raw, file, number)
        return Record(int(ts), frame, stream.decode(), symbol.decode(), exchange.decode(), source.decode())
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as why:
        raise DataError(f"{file}:{number}", f"not JSON ({why}): {line[:60]!r}", "a recording: one JSON object a line") from None
    if not isinstance(found, dict):
        raise DataError(f"{file}:{number}", f"found {type(found).__name__}", "a JSON object a line: a recording or raw venue frames")
    if "result" in found:
        return _foreign(found, file, number)
    if found.get("t") in ("header", "connect", "send", "http", "recv", "close"):
        return _cryptofeed(found, file, number)
    if (venue := _venue_of(found)) is not None:
        stream, symbol = label(venue, line)
        ts = _said(found)
        return Record(0 if ts is None else _nanoseconds(ts, file, number), line.strip(), stream.decode(), symbol.decode(), venue, RAW)
    ts = found.get("ts")
    if ts is None and not {"topic", "data", "op", "success"} & found.keys():
        raise DataError(f"{file}:{number}", f"an object with the keys {', '.join(map(repr, list(found)[:6]))}",
                        "a recording line (ts, exchange, stream, symbol, result) or a raw venue frame (topic, ts, data)")
    topic = str(found.get("topic", ""))
    return Record(0 if ts is None else _nanoseconds(ts, file, number), line.strip(), topic, topic.rpartition(".")[2], "", RAW)


def _venue_of(frame: dict[str, Any]) -> str | None:
    """Whose a frame by itself is, where it is one of these; None: Bybit's, or none."""
    if "e" in frame or "stream" in frame or "openInterest" in frame and "symbol" in frame:
        return "binance_um"
    if "arg" in frame or "event" in frame:
        return "okx"
    return "hyperliquid" if "channel" in frame else None


def _said(frame: Any) -> Any:
    """The first time that a frame states, from outside in; None where it states none."""
    while isinstance(frame, dict):
        ts = next((frame[key] for key in ("ts", "E", "T", "time") if isinstance(frame.get(key), int | str)), None)
        if ts is not None:
            return ts
        inner = next((frame[key] for key in ("data", "details", "o") if key in frame), None)
        frame = inner[0] if isinstance(inner, list) and inner else inner
    return None


def _unwrap(text: bytes, raw: bytes, file: Path, number: int) -> bytes:
    try:
        value = json.loads(text)
        return value.encode() if raw == b"text" else base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error, AttributeError, TypeError) as why:
        raise DataError(f"{file}:{number}", f"a frame kept as {raw.decode()} cannot be decoded ({why})", "what Recorder wrote") from None


def _cryptofeed(found: dict[str, Any], file: Path, number: int) -> Record:
    """A line of cryptofeed's raw capture: t = recv has the frame as text in data and the time of receipt in seconds; the others are not ours."""
    ts = found.get("ts", 0)
    if type(ts) not in (int, float):
        raise DataError(f"{file}:{number}", f"ts: found {ts!r}", "the time of receipt in seconds")
    if found["t"] != "recv" or type(found.get("data")) is not str:
        return Record(round(ts * 1e9), b"{}", SKIP, "", "")
    frame = found["data"].encode()
    named = TOPIC.search(frame, 0, 400)
    topic = named[1].decode() if named else ""
    return Record(round(ts * 1e9), frame, topic, topic.rpartition(".")[2], str(found.get("conn", "")).partition(".")[0].lower())


def _foreign(found: dict[str, Any], file: Path, number: int) -> Record:
    """A line of S4's schema: {ts, exchange, source, stream, symbol, result}; result is the frame, or its payload {ts, data}, or text."""
    stream, symbol = str(found.get("stream") or ""), str(found.get("symbol") or "")
    ts = found.get("ts_recv", found.get("ts"))
    if ts is None:
        raise DataError(f"{file}:{number}", "no 'ts' beside 'result'", "the time of receipt in milliseconds")
    result = found["result"]
    if isinstance(result, dict) and "topic" not in result and "data" in result and _venue_of(result) is None:
        data = result["data"]
        rows = data if isinstance(data, list) else [data]
        if not symbol and rows and isinstance(rows[0], dict):
            symbol = str(rows[0].get("s", ""))
        # the stream is the topic itself, or only its kind: S4 writes both
        kind = "allLiquidation" if not stream or "liquidation" in stream.lower() else stream
        result = {"topic": stream if "." in stream else f"{kind}.{symbol}", "type": result.get("type", "snapshot"),
                  "ts": result.get("ts", ts), "data": rows if kind == "allLiquidation" else data}
    frame = result.encode() if isinstance(result, str) else orjson.dumps(result)
    named = TOPIC.search(frame, 0, 400)
    topic = named[1].decode() if named else stream
    return Record(_nanoseconds(ts, file, number), frame, topic, symbol or topic.rpartition(".")[2], str(found.get("exchange", "")),
                  str(found.get("source", "ws")))


def _nanoseconds(value: Any, file: Path, number: int) -> int:
    """A time stamp in whatever unit its size says (s, ms, us or ns since 1970), or ISO 8601 text."""
    try:
        if isinstance(value, str):
            if not value.isdigit():
                when = datetime.fromisoformat(value)
                since = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
                return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 9.2e18:
            unit = 1_000_000_000 if value < 1e11 else 1_000_000 if value < 1e14 else 1000 if value < 1e17 else 1
            if isinstance(value, int):
                return value * unit
            whole = int(value)                  # a double of 1.7e9 seconds is good to 0.2 us: keep what it says and no more
            return whole * unit + round((value - whole) * 1e6) * unit // 1_000_000
    except (ValueError, OverflowError):
        pass
    raise DataError(f"{file}:{number}", f"{value!r} is not a time", "milliseconds since 1970")
