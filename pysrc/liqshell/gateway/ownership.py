"""The owner of a position at the venue: one decision for the start, for `liqcore doctor` and for every reading of the account during a run."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from liqshell.venues.reports import Position

HEDGE = "the account is in hedge mode for this symbol; close the position and switch to one-way (Position mode) at the venue"


class Ownership(StrEnum):
    """AGREED: equal to the engine's. LESS: smaller than the engine's, on the same side: our exits, or another party, reduced it. FOREIGN: larger than
    we opened, or on the other side: its contract is read-only."""

    AGREED = "agreed"
    LESS = "less"
    FOREIGN = "foreign"


def ownership(venue: float, belief: float, side: int) -> Ownership:
    """venue, belief: signed quantities in one unit, such as lots. side: of our bracket on the contract (0 = never any)."""
    if venue == belief:
        return Ownership.AGREED
    sane = belief * side > 0  # more sold than bought is nothing that could be reduced
    return Ownership.LESS if sane and belief * venue >= 0 and abs(venue) < abs(belief) else Ownership.FOREIGN


def mode_fault(rows: Sequence[Position]) -> str:
    """Why the account's rows of one contract cannot be traded; "" = they can."""
    return HEDGE if any(row.index for row in rows) else ""
