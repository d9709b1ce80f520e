"""Work in threads: every argument once, in order, and the first failure."""

import signal
import threading
import time

import pytest

from liqcore.parallel import in_threads


@pytest.mark.parametrize("threads", (1, 2, 7))
@pytest.mark.parametrize("count", (0, 1, 2, 50))
def test_results_come_in_the_order_of_the_arguments(threads, count):
    seen = []

    def work(n):
        seen.append(n)
        time.sleep(0.0002 * (n % 3))
        return n * n

    assert in_threads(work, range(count), threads) == [n * n for n in range(count)] and sorted(seen) == list(range(count))


def test_the_caller_is_one_of_the_threads():
    both, names = threading.Barrier(2), []

    def work(_):
        both.wait(10)  # ends only where two are at work at once
        names.append(threading.current_thread())

    in_threads(work, range(2), 2)
    assert len(set(names)) == 2 and threading.current_thread() in names


@pytest.mark.parametrize("threads", (1, 3))
def test_a_failure_is_raised_and_nothing_more_is_begun(threads):
    begun = []

    def work(n):
        begun.append(n)
        if n == 4:
            raise ValueError("number 4")
        time.sleep(0.002)

    with pytest.raises(ValueError, match="number 4"):
        in_threads(work, range(100), threads)
    assert 4 in begun and len(begun) < 20 and threading.active_count() == len(threading.enumerate())


def test_an_interrupt_while_the_caller_waits_ends_all_threads():
    """The caller has done its share; the other thread is in the middle of its own, and more would follow."""
    begun, ended = [], []

    def work(n):
        begun.append(n)
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.05)
            return
        if n < 2:
            time.sleep(0.2)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.2)
            ended.append(n)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker of xdist hears no Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            in_threads(work, range(2), 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(begun) == [0, 1] and len(ended) == 1
