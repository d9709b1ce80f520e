"""Work in threads, for functions that release the GIL."""

import _thread
import os
from collections.abc import Callable, Iterable
from typing import Any


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[Any], Any], arguments: Iterable[Any], threads: int) -> list[Any]:
    """Call work(argument) for each argument in several threads; results in the order of the arguments. After an exception no more work is begun, and
    it is raised when all threads have ended.

    The caller is one of the threads. Two new threads may begin on the same processor; short work then takes as long as in one thread.
    """
    import threading  # not at import: the core starts in milliseconds

    arguments = list(arguments)
    results, failures = [None] * len(arguments), list[BaseException]()
    todo = iter(range(len(arguments)))

    def run() -> None:
        for n in todo:
            try:
                results[n] = work(arguments[n])
            except BaseException as why:
                failures.append(why)
            if failures:
                return

    def beside(ended: threading.Event) -> None:
        run()
        ended.set()

    ends = [threading.Event() for _ in range(min(threads, len(arguments)) - 1)]
    for ended in ends:
        _thread.start_new_thread(beside, (ended,))  # Thread.start waits until the new thread runs, and then for the GIL
    run()
    for ended in ends:
        while not ended.is_set():  # not Thread.join: after an interrupt in it the thread counts as ended
            try:
                ended.wait()
            except BaseException as why:  # Ctrl-C: no thread continues after the call
                failures.append(why)
    if failures:
        raise failures[0]
    return results
