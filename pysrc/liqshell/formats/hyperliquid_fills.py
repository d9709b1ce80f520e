"""Files of a Hyperliquid node: `node_fills_by_block` (a block a line) and `node_fills` (a fill a line), LZ4 frames or plain. Both legs of every trade
are in them.

They hold every liquidation of the venue: FULL. Deleveraging of winners is a DELEVERAGE. Backstops are a kind of their own (liqshell.backstops) and
come only where the caller asks for them (`Options.backstops`). liqshell.venues.hyperliquid.fills documents the meaning of a line.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import orjson

from liqcore.event import EVENT_DTYPE
from liqshell import backstops
from liqshell.errors import DataError
from liqshell.formats.compression import head, line_blocks, opened
from liqshell.formats.reading import FULL, Reading
from liqshell.formats.validate import Block
from liqshell.iso import written_ns
from liqshell.venues.hyperliquid.fills import VENUE, Fills, Row, unknown_keys

READ_BYTES = 4 << 20
BLOCK_EVENTS = 1 << 17
MS_MAX = 1 << 42  # in 2109
BLOCKS_KEPT = 4096  # numbers of blocks, for finding one again
LEGS_MAX = 1 << 20  # of one moment in a file that has a fill a line
HOURLY = re.compile(r"node_fills(_by_block)?/hourly/\d{8}/\d{1,2}(\.lz4)?")
_HEAD = 4096
_BY_FILL = re.compile(rb'\s*\[\s*"0x[0-9a-fA-F]{1,64}"\s*,\s*\{')
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z|\+00:00)?", re.ASCII)


def nanoseconds(text: Any) -> int:
    """A node's time, UTC to the ns. ValueError where it is none."""
    found = _TIME.fullmatch(text) if type(text) is str else None
    if found is None:
        raise ValueError(f"expected a time such as 2026-07-15T14:00:00.123456789, got {text!r:.60}")
    return written_ns(found[0])


class LegGroup(NamedTuple):
    """The legs of one block, or of one ms. line: of the first of them."""

    ts_recv: int
    legs: list[Any]
    line: int


class Lines:
    """Lines of a node, of either generation -> event rows in order. What a line holds is given one line later, because a time that is wrong shows
    only against those before and behind it; `rest` gives the last rows."""

    def __init__(self, reading: Reading):
        self._reading = reading
        self._fills = Fills(lambda coin: reading.instrument(VENUE, reading.options.symbol or coin, completeness=FULL))
        self.counts = self._fills.counts
        self.line = 0  # of the file
        self.first = 0  # line of the rows that were given last
        self._window = round(reading.options.limits.window_s * 1e9)
        self._legs: list[Any] = []  # of a file with a fill a line: those of the ms `_ms`, of which more may come
        self._ms: Any = None
        self._from = 0
        self._held: LegGroup | None = None
        self._last = 0  # ts_recv of what was given
        self._blocks: set[int] = set()
        self._order: deque[int] = deque()

    def rows(self, found: Any) -> list[Row]:
        """found: what the next line holds."""
        if type(found) is list and len(found) == 2:
            return self._leg(found)
        before = self._gathered()
        if type(found) is dict and type(found.get("events")) is list:
            return before + self._block(found)
        self._refuse("no fills", repr(found))
        return before

    def rest(self) -> list[Row]:
        return self._gathered() + self._give(None)

    def _leg(self, leg: list[Any]) -> list[Row]:
        ms = leg[1].get("time") if type(leg[1]) is dict else None
        before = self._gathered() if ms != self._ms or len(self._legs) >= LEGS_MAX else []
        if not self._legs:
            self._ms, self._from = ms, self.line
        self._legs.append(leg)
        return before

    def _gathered(self) -> list[Row]:
        """The moment whose legs have come line by line is over. They do not say when the node had them."""
        legs, ms, self._legs, self._ms = self._legs, self._ms, [], None
        if not legs:
            return []
        known = type(ms) is int and 0 <= ms < MS_MAX
        return self._give(LegGroup(ms * 1_000_000 + self._reading.options.feed_latency_ns if known else self._last, legs, self._from))

    def _block(self, found: dict[str, Any]) -> list[Row]:
        number, legs = found.get("block_number"), found["events"]
        if type(number) is int:
            if number in self._blocks:
                self.counts["a block again: its fills are counted once"] += 1
                return []
            self._blocks.add(number)
            self._order.append(number)
            if len(self._order) > BLOCKS_KEPT:
                self._blocks.discard(self._order.popleft())
        if not legs:
            return []
        for key in unknown_keys(legs):
            self._reading.note(f"fills have a key {key[:40]!r} that is not read")
        try:
            ts_recv = nanoseconds(found.get("local_time"))
        except ValueError as why:
            self._refuse("local_time", str(why))
            return []
        return self._give(LegGroup(ts_recv, legs, self.line))

    def _give(self, new: LegGroup | None) -> list[Row]:
        """The rows of the moment before the new one, unless its time is far ahead of those before and behind it, or far behind them."""
        held, self._held = self._held, new
        if held is None:
            return []
        around = [ts for ts in (self._last, new.ts_recv if new is not None else 0) if ts]
        ahead, behind = (all(sign * (held.ts_recv - ts) > self._window for ts in around) for sign in (1, -1))
        if around and (ahead and new is not None or behind and self._last):
            self._refuse("a time far from those before and after it", f"ts_recv {held.ts_recv}", held.line)
            return []
        self._last, self.first = max(self._last, held.ts_recv), held.line
        return self._fills.rows(held.legs, held.ts_recv, self._refuse_leg)

    def _refuse_leg(self, reason: str, text: str) -> None:
        self._refuse(reason, text, self.first)

    def _refuse(self, reason: str, text: str, line: int = 0) -> None:
        self._reading.findings.rows += 1
        self._reading.findings.refuse(reason, line or self.line, text)


class NodeFills(Reading):
    """One file of either generation, plain or packed."""

    format = "hyperliquid_fills"

    def prepare(self) -> None:
        start = head(self.path, _HEAD)
        if not _is_fills(start):
            raise DataError(f"{self.path}:1", f"begins {start[:60]!r}", "fills of a Hyperliquid node: a block, or [user, fill], as JSON a line")
        self.validator.unique = True
        if start.lstrip().startswith(b"["):
            self.received = "modelled"
            self.note(f"no time of receipt: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")

    def blocks(self) -> Iterator[Block]:
        lines = Lines(self)
        rows: list[Row] = []
        numbers: list[int] = []
        with opened(self.path) as stream:
            for found in self._lines(stream, lines):
                rows += found
                numbers += [lines.first] * len(found)
                if len(rows) >= BLOCK_EVENTS:
                    yield from self._by_contract(rows, numbers)
                    rows, numbers = [], []
        rest = lines.rest()
        yield from self._by_contract(rows + rest, numbers + [lines.first] * len(rest))
        self.counts.update(lines.counts)

    def _lines(self, stream: IO[bytes], lines: Lines) -> Iterator[list[Row]]:
        for data in line_blocks(stream, self.path, READ_BYTES):
            ends = data.endswith(b"\n")
            for text in data.split(b"\n"):
                lines.line += 1
                if not text or text.isspace():
                    lines.line -= text == b"" and ends  # behind the last newline stands no line
                    continue
                try:
                    found = orjson.loads(text)
                except orjson.JSONDecodeError as why:
                    if not ends and data.endswith(text):
                        self.counts["the last line is not finished"] += 1
                    else:
                        self.findings.rows += 1
                        self.findings.refuse("no JSON", lines.line, f"{why}: {text[:60]!r}")
                    continue
                yield lines.rows(found)

    def _by_contract(self, rows: list[Row], numbers: list[int]) -> Iterator[Block]:
        """Contract after contract, each in the order of the file: venues have hundreds of them, and a block of one is checked much faster."""
        if not rows:
            return
        events, lines = np.array(rows, EVENT_DTYPE), np.array(numbers, np.int64)
        taken_over = events["kind"] == backstops.BACKSTOP
        if found := int(np.count_nonzero(taken_over)):
            self.counts[f"kept apart: {backstops.NAME}"] += found
        if not self.options.backstops:
            events, lines = events.compress(~taken_over), lines[~taken_over]
        order = np.argsort(events["instrument"], kind="stable")
        events, lines = events.take(order), lines[order]
        cuts = np.flatnonzero(np.diff(events["instrument"])) + 1
        for mine, where in zip(np.split(events, cuts), np.split(lines, cuts), strict=True):
            yield Block(mine, where)


def _is_fills(start: bytes) -> bool:
    text = start.lstrip()
    if text.startswith(b"{"):
        return b'"events"' in text and (b'"block_number"' in text or b'"block_time"' in text or b'"local_time"' in text)
    return _BY_FILL.match(text) is not None


def is_hourly(path: Path) -> bool:
    """True if the file's path is that of a node's, or of the venue's archive's, fills of an hour: the name has no suffix, or .lz4."""
    return HOURLY.fullmatch("/".join(path.absolute().parts[-4:])) is not None


def sniff(path: Path, first: str) -> bool:
    return path.is_file() and _is_fills(head(path, _HEAD))
