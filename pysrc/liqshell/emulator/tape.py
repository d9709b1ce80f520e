"""A recording as a feed: frames leave at their recorded times (the market clock starts at the first of them), or shifted to another start.

Read are, in any mixture and compressed or not: raw frames {"ts_recv": ns, "raw": "..."}, hourly collector lines
{ts, exchange, source, stream, symbol, result{...}}, and captures {"t": "recv", "ts": seconds, "data": "..."}.
"""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from .contracts import BY_SYMBOL
from .state import SymbolState
from .synthetic import Frame

NS = 1_000_000_000
LINE_MAX = 32 << 20


def _seconds_to_ns(value: float | int) -> int:
    """Epoch seconds, milliseconds, microseconds or nanoseconds -> ns, by magnitude."""
    for limit, factor in ((1e11, NS), (1e14, 1_000_000), (1e17, 1_000)):
        if value < limit:
            return int(value * factor)
    return int(value)


def frame_of(row: object) -> tuple[int, bytes] | None:
    """(ns, frame) of one decoded line, or None where it is no market-data frame."""
    if not isinstance(row, dict):
        return None
    if "raw" in row and isinstance(row.get("ts_recv"), int):
        return row["ts_recv"], str(row["raw"]).encode()
    if row.get("t") == "recv" and isinstance(row.get("data"), str):
        return _seconds_to_ns(row["ts"]), row["data"].encode()
    result = row.get("result")
    if isinstance(result, dict) and "ts" in row:
        if "topic" not in result:
            stream, symbol = str(row.get("stream", "")), str(row.get("symbol", ""))
            result = {"topic": stream if stream.endswith("." + symbol) else f"{stream}.{symbol}", "type": "snapshot", **result}
        return _seconds_to_ns(row["ts"]), orjson.dumps(result)
    return None


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Frames of one file in its order. A last line or gzip member that was cut off ends the file; any other bad line is an error."""
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    with opener(path, "rb") as file:
        while True:
            try:
                line = file.readline(LINE_MAX)
            except (EOFError, gzip.BadGzipFile) as error:
                if number == 0:
                    raise ValueError(f"{path}: not a readable gzip file: {error}") from error
                return
            if not line:
                return
            number += 1
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if not line.endswith(b"\n"):
                    return
                raise ValueError(f"{path}:{number}: not a JSON line ({error}); expected a recording of raw frames") from error
            found = frame_of(row)
            if found is not None:
                yield found


class TapeFeed:
    """Frames of recordings in the order of the files; several hours of several symbols are read as they are needed."""

    synthetic = False

    def __init__(self, paths: Iterable[Path], symbols: Iterable[str], start_ns: int | None = None) -> None:
        self.wanted: set[str] = set()
        self.paths = list(paths)
        missing = [str(path) for path in self.paths if not path.is_file()]
        if missing:
            raise ValueError(f"no such recording: {', '.join(missing)}")
        self.topics: set[str] = set()
        self._frames = self._read()
        self._ahead: list[tuple[int, str, bytes, dict]] = []
        self._peek()
        if not self._ahead:
            raise ValueError(f"no market-data frame in {', '.join(map(str, self.paths))}")
        self._shift = 0 if start_ns is None else start_ns - self._ahead[0][0]
        self._last = 0
        self.states = {symbol: SymbolState(BY_SYMBOL[symbol]) for symbol in symbols if symbol in BY_SYMBOL}

    @property
    def start_ns(self) -> int:
        """Market time of the first frame."""
        return self._ahead[0][0] + self._shift if self._ahead else self._last

    def _read(self) -> Iterator[tuple[int, str, bytes, dict]]:
        import heapq
        for ts, raw in heapq.merge(*(lines(path) for path in self.paths), key=lambda item: item[0]):
            frame = orjson.loads(raw)
            topic = frame.get("topic") if isinstance(frame, dict) else None
            if isinstance(topic, str) and "data" in frame:
                yield ts, topic, raw, frame

    def _peek(self) -> None:
        if not self._ahead:
            self._ahead.extend(item for item in [next(self._frames, None)] if item is not None)

    def prepare(self) -> bool:
        """Nothing is generated ahead."""
        return False

    @property
    def next_ns(self) -> int | None:
        """When the next frame is due, or None at the end."""
        self._peek()
        return self._ahead[0][0] + self._shift if self._ahead else None

    def until(self, now_ns: int) -> list[Frame]:
        """Every frame due by now."""
        out = []
        while (due := self.next_ns) is not None and due <= now_ns:
            _, topic, raw, frame = self._ahead.pop()
            out.append(Frame(topic, raw))
        return out
