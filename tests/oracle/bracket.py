"""Plain-Python oracle of a bracket's prices, in exact fractions."""

from fractions import Fraction
from math import ceil, floor


def entry_ticks(side: int, reference: int, offset: Fraction, market: bool = False) -> int:
    """Away from the market: a resting order gives no more than it must."""
    if market:
        return reference
    exact = reference * (1 - side * offset)
    return floor(exact) if side > 0 else ceil(exact)


def stop_ticks(side: int, fill: int, fraction: Fraction) -> int:
    """Towards the fill: never risk more than stated."""
    exact = fill * (1 - side * fraction)
    return ceil(exact) if side > 0 else floor(exact)


def target_ticks(side: int, fill: int, fraction: Fraction, reference: int) -> int:
    """Towards the price that the entry was offset from."""
    exact = fill * (1 + side * fraction)
    return ceil(exact) if exact < reference else floor(exact)


def original_trail(side: int, peak: float, entry: float, trail: float, fall: float) -> float:
    """The formula of the written system as it stands: min() for a long. Kept to show what it does; the engine does the opposite."""
    loosest = min if side > 0 else max
    return loosest(peak * (1 - side * trail), entry * (1 - side * fall))


def fixed_trail(side: int, peak: float, entry: float, trail: float, fall: float) -> float:
    tightest = max if side > 0 else min
    return tightest(peak * (1 - side * trail), entry * (1 - side * fall))


def profit_trail_ticks(side: int, entry: int, best: int, trail: Fraction) -> int:
    """The stop that gives back at most this share of the best profit, and a tick; the entry where there was none."""
    return entry + side * floor(max((best - entry) * side, 0) * (1 - trail))
