"""Events as columns: the content of EVENT_DTYPE rows, one contiguous array per field. Readers of tables make them, the store takes them.

A trade is 21 of the 64 bytes of a row, and a column is read at the speed of memory. Code that takes both reads `events["price"]` and assigns whole
columns: a field without an assignment is 0 and cannot be written into. It chooses rows with `take` and `compress`: NumPy copies rows by their bytes
there, and field by field, 30 times as slowly, in `events[rows]`, in copies and in `np.concatenate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from liqcore.event import EVENT_DTYPE

NAMES = tuple(EVENT_DTYPE.names or ())
Events = Any  # rows of EVENT_DTYPE, or EventColumns
_BYTES = np.dtype(f"V{EVENT_DTYPE.itemsize}")


class EventColumns:
    """len(events); events["price"] is a column; events[3:5] are some of the events, with views of the columns."""

    __slots__ = ("_columns", "_rows")

    def __init__(self, rows: int, **columns: Any):
        self._rows = rows
        self._columns: dict[str, np.ndarray] = {}
        for name, values in columns.items():
            self[name] = values

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, what: str) -> np.ndarray: ...

    @overload
    def __getitem__(self, what: slice) -> EventColumns: ...

    def __getitem__(self, what: str | slice) -> np.ndarray | EventColumns:
        if isinstance(what, str):
            column = self._columns.get(what)
            return column if column is not None else np.broadcast_to(np.zeros((), EVENT_DTYPE[what]), self._rows)
        return EventColumns(len(range(*what.indices(self._rows))), **{name: column[what] for name, column in self._columns.items()})

    def __setitem__(self, name: str, values: Any) -> None:
        column = np.asarray(values)
        constant = single(column) if column.ndim else column[()]
        column = (
            column.astype(EVENT_DTYPE[name], copy=False)
            if constant is None
            else np.broadcast_to(np.asarray(constant).astype(EVENT_DTYPE[name]), self._rows)
        )
        if column.shape != (self._rows,):
            raise ValueError(f"{name}: expected {self._rows} values, got {column.shape}")
        self._columns[name] = column

    def __iter__(self) -> Iterator[str]:
        """The fields that are not 0 throughout by being left out."""
        return iter(self._columns)

    def take(self, rows: np.ndarray) -> EventColumns:
        """The events of some rows, in that order."""
        out = EventColumns(len(rows))
        for name, column in self._columns.items():
            constant = single(column)
            out[name] = column[rows] if constant is None else constant
        return out

    def compress(self, which: np.ndarray) -> EventColumns:
        """The events of a mask."""
        return self.take(np.flatnonzero(which))  # read once instead of once a column

    def copy(self) -> EventColumns:
        """The same columns; assigning one changes the copy only."""
        return EventColumns(self._rows, **self._columns)

    def rows(self) -> np.ndarray:
        """As EVENT_DTYPE."""
        out = np.zeros(self._rows, EVENT_DTYPE)
        for name, column in self._columns.items():
            out[name] = column
        return out


def single(column: np.ndarray) -> Any:
    """The value of a column that is one value repeated, None of others."""
    return column[0] if len(column) and column.strides == (0,) else None


def kinds_in(events: Events) -> list[int]:
    """The different kinds, rising."""
    column = events["kind"]
    one = single(column)
    if one is None and len(column) and column.min() == column.max():
        one = column[0]
    return [int(one)] if one is not None else np.unique(column).tolist()


def rows_of(events: Events) -> np.ndarray:
    """As EVENT_DTYPE, whichever it is."""
    return events.rows() if isinstance(events, EventColumns) else events


def joined(pieces: Sequence[Events]) -> Events:
    """One after the other."""
    if len(pieces) == 1:
        return pieces[0]
    if not any(isinstance(piece, EventColumns) for piece in pieces):
        return np.concatenate([piece.view(_BYTES) for piece in pieces]).view(EVENT_DTYPE)
    total = sum(len(piece) for piece in pieces)
    return EventColumns(total, **{name: _column([piece[name] for piece in pieces if len(piece)]) for name in _fields(pieces)})


def _fields(pieces: Iterable[Events]) -> dict[str, None]:
    return dict.fromkeys(name for piece in pieces for name in (piece if isinstance(piece, EventColumns) else NAMES))


def _column(columns: list[np.ndarray]) -> Any:
    values = {single(column) for column in columns}
    if len(values) == 1 and None not in values:
        return values.pop()
    return np.concatenate(columns) if columns else 0
