"""From a failing script to the smallest that still fails in the same way: fewer faults, fewer kills, less time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .script import Fault, Kill, Script

Event = Fault | Kill


def _with(script: Script, events: list[Event]) -> Script:
    return replace(script, faults=[e for e in events if isinstance(e, Fault)], kills=[e for e in events if isinstance(e, Kill)])


def shrink(script: Script, fails: Callable[[Script], float | None], tries_max: int = 200) -> tuple[Script, int]:
    """The smallest script found, and how many runs it took. fails(script): when (in s from the start) it fails as the first one did, or None.

    Delta debugging over the list of faults and kills (Zeller: halves, then ever smaller pieces), after the time behind the failure has been cut off.
    """
    tries = 0

    def attempt(candidate: Script) -> float | None:
        nonlocal tries
        tries += 1
        return fails(candidate)

    at_s = attempt(script)
    if at_s is None:
        raise ValueError("the script does not fail: there is nothing to shrink")
    shorter = replace(script, hours=max(0.02, (at_s + 5.0) / 3600.0))
    shorter = _with(shorter, [e for e in [*script.faults, *script.kills] if e.at_s <= at_s])
    if shorter.hours < script.hours and (found := attempt(shorter)) is not None:
        script, at_s = shorter, found
    events: list[Event] = sorted([*script.faults, *script.kills], key=lambda e: e.at_s)
    pieces = 2
    while len(events) > 0 and tries < tries_max:
        size = max(1, len(events) // pieces)
        for first in range(0, len(events), size):
            rest = events[:first] + events[first + size :]
            candidate = _with(script, rest)
            if tries >= tries_max:
                break
            if (found := attempt(candidate)) is not None:
                events, script, at_s = rest, candidate, found
                pieces = max(pieces - 1, 2)
                break
        else:
            if size == 1:
                break
            pieces = min(len(events), pieces * 2)
    last = replace(script, hours=max(0.02, (at_s + 5.0) / 3600.0))
    if last.hours < script.hours and tries < tries_max and attempt(last) is not None:
        script = last
    return script, tries
