"""The lines of a recording in plain Python: the oracle of liqshell.recording.frames. And files of lines, packed and unpacked."""

import base64
import gzip
import json
import re
from pathlib import Path

import orjson

from liqshell.recording import packing
from liqshell.recording.frames import FrameBuffer, LineWriter
from liqshell.venues.adapters import ADAPTERS

TOPIC = re.compile(rb'"topic"\s*:\s*"([A-Za-z0-9_.:@!-]{1,120})"')


def line(ts_recv: int, frame: bytes, exchange: str, source: str = "ws") -> bytes:
    """The line of a frame."""
    topic, symbol = label(exchange, frame)
    return b'{"ts":%d,"ts_recv":%d,"exchange":"%b","source":"%b","stream":"%b","symbol":"%b",%b}\n' % (
        ts_recv // 1_000_000,
        ts_recv,
        exchange.encode(),
        source.encode(),
        topic,
        symbol,
        result(frame),
    )


def own(ts_recv: int, stream: str, value: object) -> bytes:
    """A line of the recorder's own."""
    return b'{"ts":%d,"ts_recv":%d,"exchange":"liqcore","source":"liqcore","stream":"%b","symbol":"","result":%b}\n' % (
        ts_recv // 1_000_000,
        ts_recv,
        stream.encode(),
        json.dumps(value, separators=(",", ":")).encode(),
    )


def label(exchange: str, frame: bytes) -> tuple[bytes, bytes]:
    """(stream, symbol) of a frame."""
    adapter = ADAPTERS.get(exchange)
    if adapter is not None and adapter.labels is not None:
        what, whose = (pattern.search(frame, 0, 400) for pattern in adapter.labels)
        return what[1] if what else b"", whose[1] if whose else b""
    found = TOPIC.search(frame, 0, 400)
    topic = found[1] if found and not found[1].startswith(b"liqcore.") else b""
    return topic, topic.rpartition(b".")[2] if b"." in topic else b""


def result(frame: bytes) -> bytes:
    """The tail of a line: the frame verbatim where it is JSON on one line, else as a string with a mark that says so."""
    if b"\n" not in frame and b"\r" not in frame:
        try:
            orjson.loads(frame)
            return b'"result":' + frame
        except orjson.JSONDecodeError:
            pass
    try:
        return b'"raw":"text","result":' + json.dumps(frame.decode("utf-8")).encode()
    except UnicodeDecodeError:
        return b'"raw":"base64","result":"' + base64.b64encode(frame) + b'"'


def unpacked(file: Path) -> bytes:
    """The lines of a file of a recording, which is whole."""
    return b"".join(piece for piece in packing.pieces(file) if isinstance(piece, bytes))


def member(lines: bytes, suffix: str = packing.SUFFIX) -> bytes:
    """Lines packed as the recorder packs them now, or packed them before (.jsonl.gz)."""
    if suffix != packing.SUFFIX:
        return gzip.compress(lines, 3, mtime=0)
    writer = LineWriter(FrameBuffer())
    writer.add(lines)
    return packing.Packer().member(writer)


def as_before(frames: Path) -> None:
    """Pack the recording of a run as it was packed before there was zstandard."""
    for file in packing.frame_files(frames):
        (frames / file.name.replace(packing.SUFFIX, ".jsonl.gz")).write_bytes(member(unpacked(file), ".jsonl.gz"))
        file.unlink()
