"""The packing of recordings: members one after another, each complete in itself. Recordings are written as zstandard, each member a frame with size
and checksum that any zstandard tool can read; older ones are gzip. Both are read, and so are files packed by other programs.
"""

from __future__ import annotations

import codecs
import io
import zipfile
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from liqshell.errors import DataError
from liqshell.input_file import Meter, regular
from liqshell.recording.frames import LineWriter

SUFFIX = ".jsonl.zst"  # of the files of a run
BLOCK = 1 << 18
HELD_BYTES = 16 << 20  # of a member whose end, and with it its sum, is still to come: more than one of ours holds
GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAGIC_BYTES = 4  # that say how a file is packed
ZSTD_LEVEL = 1
_HEAD_MAX = 18  # bytes of the head of a zstandard frame
_CUT = "Truncated"  # how pyarrow says that a frame has not ended


def frame_files(folder: Path) -> list[Path]:
    """The recording of a run, hour by hour: as it is packed now, or as it was."""
    return sorted(path for suffix in (SUFFIX, ".jsonl.gz") for path in folder.glob("*" + suffix))


class Packer:
    """Makes members. The interpreter's lock is free while it packs."""

    def __init__(self) -> None:
        import pyarrow  # not at import: who only reads names does not need it

        self._codec = pyarrow.Codec("zstd", compression_level=ZSTD_LEVEL)

    def member(self, lines: LineWriter) -> bytes:
        """One zstandard frame. pyarrow writes it without a checksum: its head is made to say that one follows."""
        frame = self._codec.compress(lines, asbytes=True)
        return b"".join((ZSTD_MAGIC, bytes([frame[4] | 4]), frame[5:], lines.digest))


class Tear:
    """A place in a file that could not be unpacked: so many bytes of it gave nothing."""

    def __init__(self, bytes_dropped: int, reason: str):
        self.bytes_dropped, self.reason = bytes_dropped, reason


@dataclass
class Place:
    """Where the reading of a file stands: of one that is packed at the head of a member. While the file has not `ended`, a member that
    has no end and none behind it is one that is being written: it is left for later."""

    offset: int = 0
    ended: bool = True


def pieces(file: Path, place: Place | None = None) -> Iterator[bytes | Tear]:
    """A file unpacked, piece by piece, whatever it is packed with; without the byte order mark that some editors put before UTF-8. place: from where
    on, of a file of members; it is moved on."""
    place = place or Place()
    whole, found = place.offset == 0, _pieces(file, place)
    for first in found:
        yield first.removeprefix(codecs.BOM_UTF8) if whole and isinstance(first, bytes) else first
        break
    yield from found


def _pieces(file: Path, place: Place) -> Iterator[bytes | Tear]:
    regular(file, "a recording")
    try:
        with file.open("rb") as stream:
            magic = stream.read(MAGIC_BYTES)
    except OSError as why:
        raise DataError(str(file), f"cannot be read: {why.strerror}") from None
    if magic[:3] == GZIP_MAGIC:
        return _gunzip(file, Meter(file), place)
    if magic == ZSTD_MAGIC or _is_skippable(magic):
        return _unzstd(file, Meter(file), place)
    return _unzipped(file, Meter(file)) if magic == b"PK\x03\x04" else _blocks(file, place)


def _blocks(file: Path, place: Place) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(place.offset)
        while block := stream.read(BLOCK):
            place.offset += len(block)
            yield block


def _unzipped(file: Path, meter: Meter) -> Iterator[bytes | Tear]:
    """The only file of a zip."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise DataError(str(file), f"a zip with {len(names)} files", "a zip with one file", "Unpack it, then import the files")
            with archive.open(names[0]) as stream:
                while block := stream.read(BLOCK):
                    meter.add(len(block))
                    yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as why:
        yield Tear(file.stat().st_size, f"the zip is damaged ({why})")


# ---- zstandard (RFC 8878)


def _is_skippable(magic: bytes) -> bool:
    return magic[1:4] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5


def _zstd_end(stream: BinaryIO, offset: int) -> tuple[int | None, int]:
    """Where the frame ends that begins at `offset`, by the sizes that its blocks state, None where they lead nowhere; and the size of its content,
    0 = not stated."""
    stream.seek(offset)
    head = stream.read(_HEAD_MAX)
    if _is_skippable(head) and len(head) >= 8:
        return offset + 8 + int.from_bytes(head[4:8], "little"), 0
    if head[:4] != ZSTD_MAGIC or len(head) < 6:
        return None, 0
    said = head[4]
    single = said >> 5 & 1
    at, width = 5 + (1 - single) + (0, 1, 2, 4)[said & 3], (single, 2, 4, 8)[said >> 6]
    content = int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0) if len(head) == _HEAD_MAX else 0
    at += offset + width
    while True:
        stream.seek(at)
        raw = stream.read(3)
        block = int.from_bytes(raw, "little")
        if len(raw) < 3 or block >> 1 & 3 == 3:
            return None, 0
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
        if block & 1:
            return at + (4 if said & 4 else 0), content


class _Slice(io.RawIOBase):
    """Bytes of a file from one place to another."""

    def __init__(self, stream: BinaryIO, start: int, stop: int):
        self._stream, self._at, self._stop = stream, start, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._stream.seek(self._at)
        data = self._stream.read(min(len(buffer), self._stop - self._at))
        self._at += len(data)
        buffer[: len(data)] = data
        return len(data)


def _unpacked(stream: BinaryIO, start: int, stop: int, content: int = 0) -> Iterator[bytes]:
    """Piece by piece; a whole frame that says that its content is small, at once."""
    import pyarrow

    if 0 < content <= HELD_BYTES:
        stream.seek(start)
        yield pyarrow.Codec("zstd").decompress(stream.read(stop - start), content, asbytes=True)
        return
    with pyarrow.CompressedInputStream(pyarrow.PythonFile(_Slice(stream, start, stop), mode="r"), "zstd") as unpacking:
        while True:
            block = bytearray(BLOCK >> 2)
            try:
                size = unpacking.readinto(block)
            except OSError:
                yield bytes(block).rstrip(b"\0")  # what it had unpacked before the cut; lines have no NUL
                raise
            if not size:
                return
            yield bytes(memoryview(block)[:size])


def _unzstd(file: Path, meter: Meter, place: Place) -> Iterator[bytes | Tear]:
    """As _gunzip."""
    with file.open("rb") as stream:
        size = file.stat().st_size
        while (offset := place.offset) < size:
            end, content = _zstd_end(stream, offset)
            whole = end is not None and end <= size
            stop = end if end is not None and whole else _next_frame(stream, offset + 1, size)
            if not whole and stop == size and not place.ended:
                return
            given, reason = yield from _held_back(stream, offset, stop, meter, whole, content if whole else 0)
            if reason and whole:  # its blocks may lead into what follows the place where it was cut
                stop = _next_frame(stream, offset + 1, size)
                if not given:
                    _, reason = yield from _held_back(stream, offset, stop, meter, False)
            if reason or not whole:
                yield Tear(stop - offset, reason or "the zstandard frame is cut")
            place.offset = stop


def _held_back(stream: BinaryIO, start: int, stop: int, meter: Meter, whole: bool, content: int = 0) -> Generator[bytes, None, tuple[int, str]]:
    """The content of a frame after its end was reached; of a cut frame (not `whole`), the content before the cut. Returns how many bytes were
    handed on, and why not all were."""
    import pyarrow

    held, bytes_held, given, reason = deque[bytes](), 0, 0, ""
    try:
        for piece in _unpacked(stream, start, stop, content):
            meter.add(len(piece))
            held.append(piece)
            bytes_held += len(piece)
            while bytes_held > HELD_BYTES:
                bytes_held, given = bytes_held - len(held[0]), given + len(held[0])
                yield held.popleft()
    except (OSError, pyarrow.ArrowException) as why:
        reason = "the zstandard frame is cut" if str(why).startswith(_CUT) else f"the zstandard frame is damaged ({str(why)[:80]})"
        if whole or not str(why).startswith(_CUT):
            return given, reason
    yield from held
    return given + bytes_held, reason


def _next_frame(stream: BinaryIO, offset: int, size: int) -> int:
    """Offset of the next place at which a frame begins whose first block unpacks; `size` where there is none."""
    import pyarrow

    while offset < size:
        stream.seek(offset)
        at = stream.read(BLOCK).find(ZSTD_MAGIC)
        if at < 0:
            offset += BLOCK - 3
            continue
        offset += at
        try:
            next(_unpacked(stream, offset, size), b"")
            return offset
        except (OSError, pyarrow.ArrowException) as why:
            if str(why).startswith(_CUT):  # it begins well, and the file ends in it
                return offset
        offset += 1
    return size


# ---- gzip


def _gunzip(file: Path, meter: Meter, place: Place) -> Iterator[bytes | Tear]:
    """Decompressed pieces, member after member. Of a damaged member nothing is handed on, because any of it may be wrong; of one that is cut, what
    stands before the cut. Then the damage, and on from the next member that can be read."""
    with file.open("rb") as stream:
        size = file.stat().st_size
        while (offset := place.offset) < size:  # start of the member
            held, bytes_held, given, reason = deque[bytes](), 0, 0, ""
            member = zlib.decompressobj(31)
            stream.seek(offset)
            try:
                for piece in _inflated(stream, member, size - offset):
                    meter.add(len(piece))
                    held.append(piece)
                    bytes_held += len(piece)
                    while bytes_held > HELD_BYTES:  # members of others may be as large as their file
                        bytes_held, given = bytes_held - len(held[0]), given + len(held[0])
                        yield held.popleft()
            except zlib.error as why:
                reason = f"the gzip member is damaged ({why})"
            if member.eof:
                place.offset = stream.tell() - len(member.unused_data)
                yield from held
                continue
            start, offset = offset, _next_member(stream, offset + 1, size)
            if offset == size and not place.ended:
                return
            place.offset = offset
            if not reason and offset == size:  # else what follows the cut may have been read as if it were the member's own
                yield from held
            elif (before := _cut(stream, start, offset, meter)) is not None:
                reason = "the gzip member is cut"
                yield before[given:]
            yield Tear(offset - start, reason or "the gzip member is cut")


def _inflated(stream: BinaryIO, member: Any, room: int) -> Iterator[bytes]:
    """The content of the next `room` bytes, up to the end of the member."""
    while not member.eof:
        block = member.unconsumed_tail
        if not block:
            block = stream.read(min(BLOCK, room))
            room -= len(block)
        if not block:
            return
        yield member.decompress(block, BLOCK)


def _cut(stream: BinaryIO, start: int, end: int, meter: Meter) -> bytes | None:
    """The content of a member that another one cut off; None if the member is damaged."""
    stream.seek(start)
    out = bytearray()
    try:
        for piece in _inflated(stream, zlib.decompressobj(31), end - start):
            meter.add(len(piece))
            out += piece
        return bytes(out)
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
