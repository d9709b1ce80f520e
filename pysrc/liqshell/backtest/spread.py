"""Independent runs over one history, on all cores: processes are forked, so that each has the history without a copy."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from liqcore.parallel import cores

Item = TypeVar("Item")
Shared = TypeVar("Shared")
_shared: Any = None  # in a forked process


def spread(task: Callable[[Shared, Item], Any], shared: Shared, items: Sequence[Item], workers: int = 0) -> Iterator[tuple[Item, Any]]:
    """task(shared, item) for every item, each result as it comes. task: a function of a module. workers: processes, 0 = one a core; with one, or
    where a process cannot be forked, everything runs here."""
    count = min(workers or cores(), len(items))
    if count <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        for item in items:
            yield item, task(shared, item)
        return
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), _share, (shared,)) as pool:
        waiting = {pool.submit(_one, task, item): item for item in items}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _share(shared: Any) -> None:
    global _shared
    _shared = shared


def _one(task: Callable[[Any, Item], Any], item: Item) -> Any:
    return task(_shared, item)
