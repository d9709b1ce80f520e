"""How far a campaign goes: as far as its time reaches, from a new seed each time. `.ci/run` asks for the gate: the same cases on every machine, so that
what stops a change there can be repeated, and a faster machine looks no further than the author could.

LIQCORE_CAMPAIGN_SECONDS  how long a campaign may take
LIQCORE_CAMPAIGN_SEED     repeats one
LIQCORE_CAMPAIGN_GATE=1   the seed is fixed, and a campaign ends after the number of cases that it names as its gate"""

import os
import random
import time
from collections.abc import Iterator

GATE = os.environ.get("LIQCORE_CAMPAIGN_GATE") == "1"


def seed() -> int:
    given = os.environ.get("LIQCORE_CAMPAIGN_SEED", "20261121" if GATE else "")
    return int(given) if given else random.SystemRandom().randrange(1 << 40)


def seconds(without: float) -> float:
    """Of one campaign; `without` where nobody says how long."""
    return float(os.environ.get("LIQCORE_CAMPAIGN_SECONDS", without))


def most(gate: int, otherwise: int = 1 << 62) -> int:
    """So many cases at most."""
    return min(gate, otherwise) if GATE else otherwise


def cases(without: float, gate: int, share: float = 1.0) -> Iterator[int]:
    """0, 1, 2 and so on, at least the first, until the time or the gate ends the campaign. share: of the time, where parts of a campaign divide it."""
    until = time.monotonic() + seconds(without) * share
    for case in range(most(gate)):
        yield case
        if time.monotonic() >= until:
            return
