"""The growing folder of a Hyperliquid node (`--write-fills`) as frames for the venue's decoder: the liquidations of the contracts of a run.

The websocket gives trades, quotes and marks, and no liquidations; the node's files have them. Only legs that name a liquidation are handed on: trades
come by the websocket, and must not come twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from liqshell.errors import ConfigError
from liqshell.venues.hyperliquid.fills import DELEVERAGED

POLL_S = 0.02  # how often the file is looked at, at most
READ_BYTES = 4 << 20  # of one look
LINE_BYTES_MAX = 256 << 20
LEGS_MAX = 2000  # of one frame: below the decoder's limits of bytes and of events
BLOCKS_KEPT = 4096  # numbers of blocks, for finding one again after the node was started anew
EVENT_KEY = b'"liquidation"'
KEPT = ("coin", "px", "sz", "side", "time", "dir", "crossed", "tid", "liquidation")
FOLDERS = ("node_fills_by_block", "node_fills")


class NodeTail:
    """Reads on from the end of what is there. folder: the node's data folder, or one of its folders of fills. lines: so far. unread: lines that are
    no JSON. ConfigError where there is no such folder."""

    def __init__(self, folder: Path, symbols: Collection[str]):
        if not folder.is_dir():
            raise ConfigError(
                "[feed] node", f"{folder}: no such folder", "the data folder of a Hyperliquid node", "Does the node run with --write-fills?"
            )
        self._folder = folder
        self._symbols = frozenset(symbols)
        self.lines = self.unread = 0
        self._file: Path | None = None
        self._stream: BinaryIO | None = None
        self._tail = b""
        self._blocks: set[int] = set()
        self._order: deque[int] = deque()
        found = self._newest()
        if found is not None:
            self._open(found)
            self._to_end()

    def read(self) -> list[bytes]:
        """Frames of what has come since the last call. OSError where the folder cannot be read."""
        data = self._stream.read(READ_BYTES) if self._stream is not None else b""
        if not data:
            newest = self._newest()
            if newest is None or newest == self._file and not self._shrunk():
                return []
            self._open(newest)
            assert self._stream is not None
            data = self._stream.read(READ_BYTES)
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > LINE_BYTES_MAX:
            self._tail = b""
            self.unread += 1
        self.lines += len(lines)
        return self._frames(line for line in lines if EVENT_KEY in line)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _frames(self, lines: Any) -> list[bytes]:
        out, group, ms = [], list[Any](), None
        for line in lines:
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                self.unread += 1
                continue
            if type(found) is list and len(found) == 2:  # a fill a line: those of one ms are one moment
                at = found[1].get("time") if type(found[1]) is dict else None
                if at != ms:
                    out += self._split(group)
                    group, ms = [], at
                group.append(found)
            elif type(found) is dict and type(found.get("events")) is list:
                if not self._again(found.get("block_number")):
                    out += self._split(found["events"])
            else:
                self.unread += 1
        return out + self._split(group)

    def _again(self, number: Any) -> bool:
        if type(number) is not int:
            return False
        if number in self._blocks:
            return True
        self._blocks.add(number)
        self._order.append(number)
        if len(self._order) > BLOCKS_KEPT:
            self._blocks.discard(self._order.popleft())
        return False

    def _split(self, legs: list[Any]) -> list[bytes]:
        """Frames of one moment. Closings of one user in one contract stay together."""
        mine = [
            leg
            for leg in legs
            if type(leg) is list
            and len(leg) == 2
            and type(leg[1]) is dict
            and type(leg[1].get("coin")) is str
            and leg[1]["coin"] in self._symbols
            and (type(leg[1].get("liquidation")) is dict or leg[1].get("dir") == DELEVERAGED)
        ]
        whose = {
            (fill["coin"], str(fill.get("tid"))): str(fill["liquidation"].get("liquidatedUser")).lower()
            for _, fill in mine
            if type(fill.get("liquidation")) is dict
        }
        groups: dict[tuple[str, str], list[Any]] = {}
        for user, fill in mine:
            tid = str(fill.get("tid"))
            groups.setdefault((fill["coin"], whose.get((fill["coin"], tid), tid)), []).append([user, {key: fill[key] for key in KEPT if key in fill}])
        out, frame = [], list[Any]()
        for group in groups.values():
            if frame and len(frame) + len(group) > LEGS_MAX:
                out.append(frame)
                frame = []
            frame += group
        return [orjson.dumps({"channel": "node_fills", "data": one}) for one in (*out, frame) if one]

    def _newest(self) -> Path | None:
        """The file of the latest hour: hourly/YYYYMMDD/H."""
        for folder in (*(self._folder / name for name in FOLDERS), self._folder):
            days = [day for day in folder.glob("hourly/*") if day.name.isdigit() and day.is_dir()]
            for day in sorted(days, key=lambda one: one.name, reverse=True):
                hours = [hour for hour in day.iterdir() if hour.name.isdigit()]
                if hours:
                    return max(hours, key=lambda one: int(one.name))
        return None

    def _open(self, file: Path) -> None:
        self.close()
        self._file, self._stream, self._tail = file, file.open("rb"), b""

    def _shrunk(self) -> bool:
        assert self._file is not None and self._stream is not None
        return self._file.stat().st_size < self._stream.tell()

    def _to_end(self) -> None:
        """Behind the last whole line: a line that is being written is read when it is whole."""
        assert self._stream is not None
        at = self._stream.seek(0, 2)
        while at:
            start = max(0, at - (1 << 16))
            self._stream.seek(start)
            found = self._stream.read(at - start).rfind(b"\n")
            if found >= 0:
                self._stream.seek(start + found + 1)
                return
            at = start
        self._stream.seek(0)
