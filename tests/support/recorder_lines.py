"""The lines of a recording in plain Python: the oracle of liqshell.recording.frames."""

import base64
import json
import re

import orjson

from liqshell.venues.adapters import ADAPTERS

TOPIC = re.compile(rb'"topic"\s*:\s*"([A-Za-z0-9_.:@!-]{1,120})"')


def line(ts_recv: int, frame: bytes, exchange: str, source: str = "ws") -> bytes:
    """The line of a frame."""
    topic, symbol = label(exchange, frame)
    return b'{"ts":%d,"ts_recv":%d,"exchange":"%b","source":"%b","stream":"%b","symbol":"%b",%b}\n' % (
        ts_recv // 1_000_000, ts_recv, exchange.encode(), source.encode(), topic, symbol, result(frame))


def own(ts_recv: int, stream: str, value: object) -> bytes:
    """A line of the recorder's own."""
    return b'{"ts":%d,"ts_recv":%d,"exchange":"liqcore","source":"liqcore","stream":"%b","symbol":"","result":%b}\n' % (
        ts_recv // 1_000_000, ts_recv, stream.encode(), json.dumps(value, separators=(",", ":")).encode())


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
