"""Raw frames to disk, and back, byte for byte.

One JSON object a line, hourly files `YYYY-MM-DD_HH.jsonl.zst` (hour of ts_recv, UTC) in the folder of the run:

    {"ts":<receipt, ms>,"ts_recv":<receipt, ns>,"exchange":"bybit","source":"ws","stream":"<topic>","symbol":"<symbol>","result":<frame>}

The frame's own bytes are the value of "result", not a re-serialised copy, so a reader that knows nothing of liqcore sees JSON
and `read()` gives back exactly what came over the wire. A frame that is not JSON on one line is kept as a string with "raw":"text"
or "raw":"base64" before "result". Lines of our own have the streams liqcore.meta, .feed, .report, .image, .end and .gap.

What survives: every flush (0.5 s) appends one complete zstandard frame with its checksum (packing.py), so a killed process loses at most one
flush interval and a torn tail at most one frame. Lines are built and packed in a thread of their own, without the interpreter's lock
(frames.pyx). The queue is bounded in bytes: beyond the bound the NEWEST frames are dropped and counted, and a liqcore.gap line marks the place. A
full disk is an alarm and a count, never an exception on the hot path; the member that could not be written is tried again.
"""

import atexit
import base64
import contextlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from liqshell import private
from liqshell.errors import DataError
from liqshell.recording.frames import FrameBuffer, LineWriter, TaggedTap
from liqshell.recording.packing import SUFFIX, Packer
from liqshell.venues.adapters import ADAPTERS

FORMAT = "liqcore-recording"
VERSION = 1
META, FEED, END, GAP = "liqcore.meta", "liqcore.feed", "liqcore.end", "liqcore.gap"
WS, REST = "ws", "rest"  # source of a frame: a websocket, or the answer to a poll
IMAGE = "liqcore.image"  # here what had been learnt was kept (liqshell.state.learnt), {"n": which}: it tells nothing to a reader
REPORT = "liqcore.report"  # of a live run: one event of the venue or the operator, {"row": its bytes in hexadecimal}
PENDING_BYTES_MAX = 256 << 20
MEMBER_BYTES_MAX = 8 << 20  # of lines in one member: bounds what a torn tail can cost, and the memory of a flush
HOUR_NS = 3_600_000_000_000
OWN_HEAD = b',"exchange":"liqcore","source":"liqcore","stream":"%b","symbol":"","result":'
TOPIC = re.compile(rb'"topic"\s*:\s*"([A-Za-z0-9_.:@!-]{1,120})"')
_log = logging.getLogger("liqshell.recording.recorder")


class Recorder:
    """Writes a run's frames. `tap` and `append` are for the hot path: they copy the frame, touch no file and never raise.

    folder       of the run; created. Files that are there already are appended to
    exchange     goes into every line
    meta         goes into manifest.json: what the run was (name, versions). What a replay needs belongs into a mark(ts, META, ...) line
    flush_s      how much a killed process loses; fsync: also survive a power cut, at the price of disk waits (in the background)
    on_alarm     called from the flusher thread with a DataError, once per failure period
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        exchange: str = "bybit",
        meta: dict[str, Any] | None = None,
        flush_s: float = 0.5,
        fsync: bool = False,
        pending_bytes_max: int = PENDING_BYTES_MAX,
        on_alarm: Callable[[DataError], None] | None = None,
    ):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", exchange):
            raise ValueError(f"exchange: expected a short name such as 'bybit', got {exchange!r}")
        if not 0.0 < flush_s <= 3600.0:
            raise ValueError(f"flush_s: expected seconds above 0 and at most 3600, got {flush_s!r}")
        self.folder = Path(folder)
        self.unusable = 0  # frames that are not bytes: a fault of the caller
        self.written = 0  # lines that the operating system has
        self.alarms = 0  # failed writes
        self.error = ""  # the present failure, "" when all is well
        self._exchange = exchange
        self._buffer = FrameBuffer(pending_bytes_max)
        self._lines = LineWriter(self._buffer)
        self._packer = Packer()
        self._taps: dict[tuple[str, str], TaggedTap] = {}
        self._dropped_recorded = self._unusable_told = 0
        self._hour = -1
        self._unwritten: tuple[str, bytes, int] | None = None
        self._files: dict[str, dict[str, int]] = {}
        self._meta = meta or {}
        self._fsync = fsync
        self._on_alarm = on_alarm
        self._closed = False
        self._wake = threading.Event()
        self._flushing = threading.Lock()  # flusher thread and flush() callers
        private.folder(self.folder)
        self._write_manifest()
        self._thread = threading.Thread(target=self._run, args=(flush_s,), name="liqcore-record", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def dropped(self) -> int:
        """Frames that found no room."""
        return self._buffer.dropped

    def tap(self, exchange: str, source: str = WS) -> TaggedTap:
        """The function to which a feed listener gives its frames. exchange: whose they are; source: WS, or REST for answers to polls."""
        found = self._taps.get((exchange, source))
        if found is None:
            head = b',"exchange":"%b","source":"%b","stream":"' % (exchange.encode(), source.encode())
            adapter = ADAPTERS.get(exchange)
            found = self._lines.source(head, *((adapter.kind_key, adapter.symbol_keys) if adapter is not None else ()))
            self._taps[exchange, source] = found
        return found

    def append(self, ts_recv: int, frame: bytes, exchange: str | None = None, source: str = WS) -> None:
        """Keep one frame. exchange: whose it is, where a run has several venues; source: WS, or REST for the answer to a poll."""
        if type(frame) is not bytes:  # a fault of the caller must not cost the frames around it
            self.unusable += 1
            return
        self.tap(exchange or self._exchange, source).keep(frame, ts_recv)

    def mark(self, ts_recv: int, stream: str, value: dict[str, Any]) -> None:
        """Keep one line of our own, in order with the frames. Call it from the thread that appends."""
        if not stream.startswith("liqcore."):
            raise ValueError(f"stream: expected a name that starts with 'liqcore.', got {stream!r}")
        tap = self._taps.get((stream, ""))
        if tap is None:
            tap = self._taps[stream, ""] = self._lines.own(OWN_HEAD % stream.encode())
        tap.put(json.dumps(value, separators=(",", ":")).encode(), ts_recv)  # marks are few and needed for replay: they ignore the bound

    def flush(self) -> bool:
        """Write everything that waits; True when the operating system has all of it."""
        with self._flushing:
            try:
                while self._unwritten is None or self._write():
                    if not self._take():
                        self._recovered()
                        return True
                return False
            except Exception as why:  # the recorder must not take the run down with it, whatever the file system does
                self._failed(f"{type(why).__name__}: {why}")
                return False

    def close(self) -> bool:
        """Flush, finish the manifest, stop the thread; True when nothing was lost. A second call does nothing."""
        if self._closed:
            return not (self.dropped or self.unusable or self._buffer.used or self._unwritten)
        self._closed = True
        self._wake.set()
        self._thread.join()
        atexit.unregister(self.close)
        whole = self.flush()
        with contextlib.suppress(OSError):
            self._write_manifest()
        return whole and not (self.dropped or self.unusable)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, flush_s: float) -> None:
        while not self._wake.wait(flush_s):
            self.flush()

    def _take(self) -> bool:
        """Turn waiting frames of one hour into one member; False when nothing waits."""
        lines, dropped = self._lines, self.dropped
        # ts_recv that goes back stays in the current file: files in name order are the frames in order of receipt
        hour = lines.begin(self._hour)
        if self.unusable != self._unusable_told:
            self._unusable_told = self.unusable
            self._failed("a frame could not be kept: TypeError: it is not bytes")
        if hour < 0:
            return False
        while (frame := lines.run(hour, MEMBER_BYTES_MAX)) is not None:
            lines.end(_result(frame))
        if dropped != self._dropped_recorded:
            lines.add(
                b'{"ts":%d,"ts_recv":%d%b{"dropped":%d}}\n'
                % (lines.last // 1_000_000, lines.last, OWN_HEAD % GAP.encode(), dropped - self._dropped_recorded)
            )
            self._dropped_recorded = dropped
        name = time.strftime("%Y-%m-%d_%H", time.gmtime(hour * 3600)) + SUFFIX
        turned, self._hour = hour != self._hour, hour
        self._unwritten = (name, self._packer.member(lines), lines.lines)
        if turned and self._files:
            self._write_manifest()
        return True

    def _write(self) -> bool:
        """Append the waiting member whole, or leave the file as it was."""
        name, member, lines = self._unwritten or ("", b"", 0)
        try:
            fd = private.descriptor(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                start = os.fstat(fd).st_size
                try:
                    view = memoryview(member)
                    while view:
                        view = view[os.write(fd, view) :]
                except OSError:
                    os.ftruncate(fd, start)
                    raise
                if self._fsync:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as why:
            self._failed(f"{why.strerror or why} ({name})")
            return False
        file = self._files.setdefault(name, {"members": 0, "lines": 0, "bytes": 0})
        file["members"] += 1
        file["lines"] += lines
        file["bytes"] += len(member)
        self.written += lines
        self._unwritten = None
        return True

    def _failed(self, text: str) -> None:
        self.alarms += 1
        first, self.error = not self.error, text
        if first:
            why = DataError(
                str(self.folder),
                f"recording stopped: {text}",
                "free space and permission to write",
                "Frames wait in memory up to a limit; further frames are dropped and counted",
            )
            _log.error("%s", why)
            if self._on_alarm:
                self._on_alarm(why)

    def _recovered(self) -> None:
        if self.error:
            self.error = ""
            _log.warning("%s: recording continues; %d frames were dropped so far", self.folder, self.dropped)

    def _write_manifest(self) -> None:
        """Replace manifest.json at once: a reader sees the old one or the new one."""
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "meta": self._meta,
            "files": self._files,
            "lines": self.written,
            "dropped": self.dropped,
            "alarms": self.alarms,
            "closed": self._closed,
        }
        draft = self.folder / ".manifest.json.new"
        with private.opened(draft, encoding="utf-8") as out:
            json.dump(manifest, out, indent=1)
            out.flush()
            if self._fsync:
                os.fsync(out.fileno())
        draft.replace(self.folder / "manifest.json")


def label(exchange: str, frame: bytes) -> tuple[bytes, bytes]:
    """(stream, symbol) of a frame, as they go into its line; b"" where it says neither. Of a frame of several contracts the first."""
    adapter = ADAPTERS.get(exchange)
    if adapter is not None and adapter.labels is not None:
        what, whose = (pattern.search(frame, 0, 400) for pattern in adapter.labels)
        return what[1] if what else b"", whose[1] if whose else b""
    found = TOPIC.search(frame, 0, 400)
    topic = found[1] if found and not found[1].startswith(b"liqcore.") else b""  # a venue cannot forge a line of the recorder
    return topic, topic.rpartition(b".")[2] if b"." in topic else b""


def _result(frame: bytes) -> bytes:
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
