"""First passage in plain Python: look at every row."""

from collections.abc import Sequence


def first_below(column: Sequence[int], start: int, stop: int, level: int) -> int:
    return next((row for row in range(start, stop) if column[row] <= level), stop)


def first_above(column: Sequence[int], start: int, stop: int, level: int) -> int:
    return next((row for row in range(start, stop) if column[row] >= level), stop)


def first_outside(lows: Sequence[int], highs: Sequence[int], start: int, stop: int, low: int, high: int) -> int:
    return next((row for row in range(start, stop) if lows[row] <= low or highs[row] >= high), stop)


def rows_before(ts: Sequence[int], start: int, stop: int, t: int) -> int:
    return next((row for row in range(start, stop) if ts[row] >= t), stop)


def pyramid(column: Sequence[int], pick) -> tuple[list[int], list[int]]:
    """The levels above a column one behind the other, and where each begins (and the last ends). pick: min or max."""
    flat: list[int] = []
    offsets, level = [0], list(column)
    while len(level) > 64:
        level = [pick(level[k : k + 64]) for k in range(0, len(level), 64)]
        flat += level
        offsets.append(len(flat))
    return flat, offsets
