"""sortedcontainers.SortedList and a deque."""

from collections import deque

from sortedcontainers import SortedList

PACKAGE = "sortedcontainers"


def quantile_push(window, q):
    held, ordered = deque(), SortedList()

    def push(x):
        held.append(x)
        ordered.add(x)
        if len(held) > window:
            ordered.remove(held.popleft())
        h = (len(ordered) - 1) * q
        k = int(h)
        return ordered[k] + (h - k) * (ordered[min(k + 1, len(ordered) - 1)] - ordered[k])

    return push
