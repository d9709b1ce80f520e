"""The settings of a sweep in blocks, and the blocks in threads: the kernel runs without the GIL."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from liqcore.parallel import in_threads

BLOCK = 1 << 14  # largest number of settings that a thread takes at a time: some ten megabytes of state
ORDER = ("entry_ttl_ns", "requotes", "notional", "entry_offset")  # the last one counts most


def in_order(rows: NDArray) -> NDArray[np.intp]:
    """Order that puts settings with the same entry beside each other; of these, at each call, first those not filled in time, then all others."""
    columns = [rows[name] for name in ORDER]
    differing = [column for column in columns if len(column) and (column != column[0]).any()]
    return np.lexsort(differing) if differing else np.arange(len(rows))


def run_blocks(
    block: Callable[[NDArray[np.intp]], None], rows: NDArray, threads: int, chunk: int, on_progress: Callable[[int, int], None] | None
) -> None:
    """Call `block` with parts of the grid until all rows are done. Rows with the same entry are beside each other, because they share most results.
    on_progress(done, total) after every `chunk` settings."""
    order = in_order(rows)
    for first in range(0, len(order), chunk):
        part = order[first : first + chunk]
        size = max(1, min(BLOCK, -(-len(part) // threads)))
        in_threads(block, [part[n : n + size] for n in range(0, len(part), size)], threads)
        if on_progress is not None:
            on_progress(first + len(part), len(order))
