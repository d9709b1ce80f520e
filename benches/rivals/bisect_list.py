"""A sorted list kept by bisect, and a deque that says what leaves."""

from bisect import bisect_left, insort
from collections import deque

PACKAGE = ""


def quantile_push(window, q):
    held, ordered = deque(), []

    def push(x):
        held.append(x)
        insort(ordered, x)
        if len(held) > window:
            del ordered[bisect_left(ordered, held.popleft())]
        h = (len(ordered) - 1) * q
        k = int(h)
        return ordered[k] + (h - k) * (ordered[min(k + 1, len(ordered) - 1)] - ordered[k])

    return push
