"""The view page of a live or paper run: `view` in its folder, a memory-mapped file with the current values of each contract, updated ten times a
second.

The run writes it and never waits for a reader. A reader copies it, and takes the copy only if the page was not written meanwhile: the number of the
publication is even and the same before and after, and the checksum is right. The file exists during the run; a file without its process belongs to a
killed run.

    magic (8 bytes) | size of the head (4) | head: JSON, written once | page
    page: number (8, odd = being written) | checksum (4) | size of the text (4) | heartbeat (8, CLOCK_MONOTONIC ns) | ts (8, ns of the market)
          | wall clock (8, ns) | rows of VIEW_DTYPE | features, float64 (contracts, names) | text: JSON
"""

from __future__ import annotations

import contextlib
import logging
import math
import mmap
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqcore.engine import VIEW_DTYPE
from liqcore.user_error import told
from liqshell import private
from liqshell.errors import DataError
from liqshell.state.control import boot_id, process_start

VIEW = "view"
MAGIC = b"LQVIEW01"
TEXT_MAX = 16 << 10
TEXT_EVERY = 10  # publications
ALIVE_NS = 3_000_000_000  # without a publication for so long, the process does not serve its timers
TRIES = 50
_HEAD, _PAGE = struct.Struct("<8sI"), struct.Struct("<QIIqqq")
_log = logging.getLogger("liqshell.run.view_page")


class ViewWriter:
    """Publishes what an engine knows. folder: of the run. about: for the head (mode, started_ns ...). status: for the text, asked once a second.
    If the disk has no room for the page, the run continues without it."""

    def __init__(self, folder: Path, engine: lc.Engine, about: dict[str, Any], status: Callable[[], dict[str, Any]]):
        self.path = folder / VIEW
        self._engine, self._status = engine, status
        self._rows = np.zeros(len(engine.instruments), VIEW_DTYPE)
        self._text, self._count, self._number = b"{}", 0, 0
        head = orjson.dumps(
            about
            | {
                "pid": os.getpid(),
                "pid_started": process_start(os.getpid()),
                "boot": boot_id(),
                "contracts": [i.key for i in engine.instruments],
                "assets": [i.asset for i in engine.instruments],
                "features": list(engine.features.names),
                "row": [(name, VIEW_DTYPE[name].str) for name in VIEW_DTYPE.names or ()],
            }
        )
        self._at = _HEAD.size + len(head)
        size = self._at + _PAGE.size + self._rows.nbytes + 8 * len(self._rows) * len(engine.features.names) + TEXT_MAX
        self._map: mmap.mmap | None = None
        new = self.path.with_suffix(".new")
        try:
            with private.opened(new, "w+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # a page that the disk has no room for would end the process when it is written
                file.write(_HEAD.pack(MAGIC, len(head)) + head)
                file.flush()
                self._map = mmap.mmap(file.fileno(), size)
            os.replace(new, self.path)  # a reader never finds an incomplete page
        except OSError as why:
            _log.error("%s cannot be written: %s; the run continues without it", self.path, why.strerror or why)

    def publish(self, now: int) -> None:
        """now: ns of the market's clock. The values are those of the ns before: everything received by then is included."""
        page, engine = self._map, self._engine
        if page is None or now - 1 < engine.now:
            return
        if self._count % TEXT_EVERY == 0:
            text = orjson.dumps(self._status(), default=str)
            self._text = text if len(text) <= TEXT_MAX else orjson.dumps({"left_out": f"{len(text)} bytes, more than {TEXT_MAX}"})
        self._count += 1
        body = engine.view(self._rows).tobytes() + self._features(now - 1) + self._text
        self._number += 2
        page[self._at : self._at + 8] = struct.pack("<Q", self._number - 1)
        page[self._at + _PAGE.size : self._at + _PAGE.size + len(body)] = body
        fields = self._number, zlib.crc32(body), len(self._text), time.monotonic_ns(), now - 1, time.time_ns()
        page[self._at : self._at + _PAGE.size] = _PAGE.pack(*fields)

    def _features(self, ts: int) -> bytes:
        if not self._engine.features.names:
            return b""
        try:
            return self._engine.features.table(ts).tobytes()
        except Exception as why:  # a feature of the user's own: its error is raised where the engine reads it
            _log.debug("features of the view page: %s", told(why))
            return np.full((len(self._rows), len(self._engine.features.names)), math.nan).tobytes()

    def close(self) -> None:
        """The run has ended in good order: run.json says how."""
        if self._map is not None:
            self._map.close()
            self._map = None
            with contextlib.suppress(OSError):
                self.path.unlink()


class View:
    """One publication. head: the run's description of itself. number: of the publication. ts: ns as of which it is. wall_ns: when it was made. rows:
    of VIEW_DTYPE, one for each of head["contracts"]. features: float64, (contracts, head["features"]), nan = not known. status: of the last
    second."""

    def __init__(self, head: dict[str, Any], fields: tuple[int, ...], body: bytes):
        self.head = head
        self.number, _, size, self._beat, self.ts, self.wall_ns = fields
        count, names = len(head["contracts"]), len(head["features"])
        row = np.dtype([(name, form) for name, form in head["row"]])
        self.rows = np.frombuffer(body, row, count)
        self.features = np.frombuffer(body, np.float64, count * names, count * row.itemsize).reshape(count, names)
        self.status: dict[str, Any] = orjson.loads(body[len(body) - size :])

    @property
    def alive(self) -> bool:
        """The process is there, and has published in the last three seconds."""
        return self.running and time.monotonic_ns() - self._beat < ALIVE_NS

    @property
    def running(self) -> bool:
        """The process is there: of this boot, with this number, started then."""
        return self.head["boot"] == boot_id() and process_start(self.head["pid"]) == self.head["pid_started"]


def read(folder: Path) -> View | None:
    """The current values of a run; None if it has ended or is a backtest. DataError for a damaged page."""
    path = folder / VIEW
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as page:
            return _copy(page)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, struct.error) as why:
        raise DataError(str(path), f"cannot be read: {why}", "the view page of a run", "The run makes it again when it starts") from None


def _copy(page: mmap.mmap) -> View | None:
    magic, size = _HEAD.unpack_from(page)
    if magic != MAGIC:
        raise ValueError(f"begins with {bytes(magic)!r}")
    at = _HEAD.size + size
    head = orjson.loads(page[_HEAD.size : at])
    row = np.dtype([(name, form) for name, form in head["row"]])
    fixed = len(head["contracts"]) * (row.itemsize + 8 * len(head["features"]))
    for _ in range(TRIES):
        fields = _PAGE.unpack_from(page, at)
        if fields[0] == 0:
            return None  # nothing has been published yet
        if fields[0] % 2 == 0 and fields[2] <= TEXT_MAX:
            body = page[at + _PAGE.size : at + _PAGE.size + fixed + fields[2]]
            if _PAGE.unpack_from(page, at)[0] == fields[0] and zlib.crc32(body) == fields[1]:
                return View(head, fields, body)
        time.sleep(0.001)
    raise ValueError("no whole publication in 50 tries")
