"""The arithmetic of the task's rule, for the contestants that are loops: prices in integer ticks, fractions in 1e-8. Plain functions, so that Python
and Numba run the same lines.

The rule. The second of a chain of liquidations at or above the rolling P95 of the last 1000, none later than 60 s after the one before: a post-only
limit of one lot `offset` away from the last trade, against the side on which more was closed by force. On its fill a target and a stop; the order
lives `ttl_s`, the position `hold_s`; after a trade nothing for `cooldown_s`; one position.

Fills. A resting order is filled at its price by a trade of the other side at or beyond it, or by an opposite quote at or beyond it: it stands away
from the market when it is placed, so nobody is ahead of it. A stop is triggered by a trade and filled at the quote of the next row. Whatever is
placed at one row meets the next.
"""

SCALE = 10**8


def entry_price(side, last, offset):
    """Rounded away from the market."""
    return last * (SCALE - offset) // SCALE if side > 0 else -(-last * (SCALE + offset) // SCALE)


def stop_price(side, entry, loss):
    """Rounded towards the entry."""
    return -(-entry * (SCALE - loss) // SCALE) if side > 0 else entry * (SCALE + loss) // SCALE


def target_price(side, entry, profit, reference):
    """Rounded towards the price before the cascade."""
    product = entry * (SCALE + side * profit)
    return -(-product // SCALE) if product < reference * SCALE else product // SCALE
