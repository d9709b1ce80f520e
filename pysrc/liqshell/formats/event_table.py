"""Our CSV event tables (liqshell.formats.event_tables): liquidations, one time a row. The whole file is read at once: tables are small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from liqshell.errors import DataError
from liqshell.formats import delimited
from liqshell.formats.event_tables import COLUMNS, read_tables
from liqshell.formats.reading import Reading
from liqshell.formats.validate import Block


class EventTable(Reading):
    """ts_event is the time of the table; ts_recv is that time and the feed latency."""

    format = "event_table"
    received = "modelled"
    in_base = True

    def prepare(self) -> None:
        names = delimited.columns_of(delimited.first_line(self.path))
        if lacking := delimited.missing(COLUMNS, names):
            raise DataError(f"{self.path}:1", f"no column {', '.join(lacking)}", f"an event table: {','.join(COLUMNS)}")

    def blocks(self) -> Iterator[Block]:
        table = read_tables([self.path], self.options.feed_latency_ms)
        for venue, symbol in zip(table.venues, table.symbols, strict=True):
            self.instrument(venue or self.options.venue or "unknown", symbol)
        for reason, count in table.skipped.items():
            self.findings.refuse(reason, 0, rows=count)
        self.findings.shown[:] = table.shown
        self.findings.rows += table.rows - len(table.events)
        self.note(f"no time of receipt: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")
        yield Block(table.events, 0)


def sniff(path: Path, first: str) -> bool:
    return not delimited.missing(COLUMNS, delimited.columns_of(first))
