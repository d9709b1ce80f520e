"""Terminal tables for narrow terminals: a table whose words do not fit is shown row by row, each number beside its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich import table
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

PLAIN_WIDTH = 130
MEASURED = 10_000  # columns: wide enough for every table


class Table(table.Table):
    """rich's table, which breaks no word."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update(width=MEASURED, max_width=MEASURED)
        each = [self._measure_column(console, wide, column) for column in self.columns]
        spare = options.max_width - self._extra_width - sum(one.minimum for one in each)
        if spare < 0:
            yield from self._stacked(console)
            return
        widths = [one.minimum for one in each]  # what is left over goes to the narrowest that has use for it
        while spare and (room := [n for n, one in enumerate(each) if widths[n] < one.maximum]):
            widths[min(room, key=widths.__getitem__)] += 1
            spare -= 1
        before = [column.width for column in self.columns]
        for column, width, index in zip(self.columns, widths, range(len(widths)), strict=True):
            column.width = width - self._get_padding_width(index)
        yield from super().__rich_console__(console, options)
        for column, was in zip(self.columns, before, strict=True):
            column.width = was

    def _stacked(self, console: Console) -> Iterator[Text | Padding]:
        if self.title:
            yield _text(console, self.title)
        for cells in zip(*(list(column.cells) for column in self.columns), strict=True):
            heads = [_text(console, column.header) for column in self.columns]
            first, *rest = [_text(console, cell) for cell in cells]
            first.stylize("bold")
            yield first if heads[0].plain in ("", " ") else Text.assemble((f"{heads[0].plain} ", "dim"), first)
            for head, cell in zip(heads[1:], rest, strict=True):
                if cell.plain.strip():
                    yield Padding(Text.assemble((f"{head.plain}: " if head.plain.strip() else "", "dim"), cell), (0, 0, 0, 2))
        if self.caption:
            yield _text(console, self.caption)


def table_of(title: str, *columns: str, note: str = "", rows: Iterable[Sequence[Any]] = (), whole: Callable[[str], bool] = "symbol".__eq__) -> Table:
    """Columns that begin with '>' hold numbers. whole: of which columns no cell is broken."""
    out = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
        caption=Text(note, style="dim") if note else None,
        caption_justify="left",
    )
    for column in columns:
        out.add_column(Text(column.lstrip(">")), justify="right" if column.startswith(">") else "left", overflow="fold", no_wrap=whole(column))
    for row in rows:
        out.add_row(*row)
    return out


def console() -> Console:
    """That of the terminal; what goes to a file or another program is PLAIN_WIDTH wide where COLUMNS does not say otherwise."""
    found = Console()
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = PLAIN_WIDTH
    return found


def _text(console: Console, cell: object) -> Text:
    return cell.copy() if isinstance(cell, Text) else console.render_str(cell) if isinstance(cell, str) else Text(str(cell))


def width(most: int) -> int:
    """Columns for lines that we wrap ourselves."""
    return max(40, min(most, shutil.get_terminal_size((most, 24)).columns))
