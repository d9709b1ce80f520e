"""Stricter limits during a run: [limits] of its configuration, read again on SIGHUP and when the file changes.

Downward only. A looser limit is refused and said; it takes a restart. Each change reaches the engine as an event (CONTROL_LOWER), which is recorded
like the venue's reports, so that the run can be replayed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from liqcore.engine import Engine
from liqcore.event import Control, Kind
from liqcore.execution.risk import LIMIT_NAMES
from liqcore.guard import Breach, Guard
from liqshell import input_file
from liqshell.config.sections import LimitsConfig
from liqshell.errors import ConfigError
from liqshell.fields import decode
from liqshell.state.store import Store
from liqshell.venues.effects import Effects, Level, Notice

NUMBER_OF = {name: limit for limit, name in LIMIT_NAMES.items()}
# what the last hop's own line calls the same limit (liqcore.Guard.lower)
GUARD_NAMES = {
    "order_notional_max": "order_notional_max",
    "exposure_max": "total_notional_max",
    "collar": "collar",
    "orders_per_minute_max": "orders_per_minute_max",
    "orders_per_signal_max": "orders_per_signal_max",
}


@dataclass(frozen=True)
class Reading:
    """The limits of a file. wanted: the limits that it states, in the units of Risk's arguments. problems: its faults; with one, the file has no
    effect."""

    wanted: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


class LimitsFile:
    """The configuration file of a run, watched. Cheap to ask a few times a second."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._seen = self._mark()

    def changed(self, *, force: bool = False) -> Reading | None:
        """The reading of the file if it has changed since the last look (or force: SIGHUP); else None. A file that is being written is read when it
        has come to rest, or is refused as a whole and read again at its next change."""
        mark = self._mark()
        if mark == self._seen and not force:
            return None
        self._seen = mark
        return read_limits(self.path)

    def _mark(self) -> tuple[int, ...]:
        try:
            found = os.stat(self.path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino


def read_limits(path: Path) -> Reading:
    """[limits] of a configuration file, and nothing else of it."""
    try:
        found = tomllib.loads(input_file.content(path).decode(), parse_float=Decimal)
    except (OSError, ValueError) as why:
        return Reading(problems=(f"{path}: cannot be read: {why}",))
    problems: list[ConfigError] = []
    stated = found.get("limits", {})
    section: LimitsConfig = decode(LimitsConfig, stated, str(path), "limits", problems)
    if problems:
        return Reading(problems=tuple(map(str, problems)))
    arguments = section.risk_arguments()
    return Reading({name: float(arguments[name]) for name in stated})


#: what a Breach means, as it stands in an alarm; {found} and {allowed} as the guard gives them
BREACHES = {
    Breach.BREACH_ADDRESS: "a request for instrument {found:g} of {allowed:g} with a foreign id or action",
    Breach.BREACH_QTY: "an order of quantity {found:g} lots, or without a price or side; at least {allowed:g} lot",
    Breach.BREACH_EXIT: "an order of role {found:g} marked reduce-only; only a stop, a target or a close may be",
    Breach.BREACH_ENTRY: "a request of role {found:g} that opens a position; only a new entry (role {allowed:g}) with a valid price may",
    Breach.BREACH_NO_STOP: "an entry without a stop (stop {found:g} ticks)",
    Breach.BREACH_STOP_SIDE: "an entry with its stop {found:g} on the wrong side of its price {allowed:g}",
    Breach.BREACH_NOTIONAL: "an entry of {found:,.2f}; order_notional_max is {allowed:,.2f}",
    Breach.BREACH_OLD_BRACKET: "a new entry of bracket {found:.0f}, which has ended; bracket {allowed:.0f} has entered since",
    Breach.BREACH_PER_SIGNAL: "entry {found:g} of one signal; orders_per_signal_max is {allowed:g}",
    Breach.BREACH_REQUESTS: "request {found:g} of one bracket; requests_per_bracket_max is {allowed:g}",
}


def breach_of(guard: Guard) -> str:
    """The reason for the latch of the last hop, with contract, finding and limit; '' without a latch."""
    if guard.breach is None:
        return ""
    breach, n, found, allowed = guard.breach
    contract = guard.instruments[n].key if 0 <= n < len(guard.instruments) else f"instrument {n}"
    text = BREACHES.get(breach, f"a limit was broken ({guard.latched.name})").format(found=found, allowed=allowed)
    return f"{contract}: the guard refused {text}. Entries are blocked; exits continue. Find the cause, then restart with --resume"


@dataclass(frozen=True)
class Plan:
    """events: rows for the engine, as the venue's reports are given to it. guard: for liqcore.Guard.lower. lowered: (name, before, after).
    refused: sentences."""

    events: tuple[tuple[Any, ...], ...]
    guard: Mapping[str, float]
    lowered: tuple[tuple[str, float, float], ...]
    refused: tuple[str, ...]


def plan(reading: Reading, now_limits: Mapping[str, float], now: int) -> Plan:
    """The actions that follow from a reading. now_limits: Risk.limits_now; what the file states as it is in force already is passed over."""
    events, guard, lowered = [], {}, []
    refused = [f"{problem}: the limits are unchanged" for problem in reading.problems]
    for name, value in reading.wanted.items():
        before = now_limits[name]
        if name not in NUMBER_OF:
            refused += [f"limits.{name}: read at the start only; a change needs a restart"] if value != before else []
        elif value < before:
            events.append((now, now, value, 0.0, 0.0, 0.0, 0, -1, int(Kind.CONTROL), 0, int(NUMBER_OF[name]), int(Control.CONTROL_LOWER)))
            lowered.append((name, before, value))
            if name in GUARD_NAMES:
                guard[GUARD_NAMES[name]] = int(value) if name.startswith("orders_per") else value
        elif value > before:
            refused.append(f"limits.{name}: {value:g} is looser than the {before:g} in force; a restart is needed")
    return Plan(tuple(events), guard, tuple(lowered), tuple(refused))


def apply(reading: Reading, engine: Engine, guard: Guard, store: Store, effects: Effects, now: int, source: str) -> Plan:
    """Do it: events into the engine, the guard, a row of the store and a notice for everything that was lowered or refused."""
    found = plan(reading, engine.risk.limits_now, now)
    for event in found.events:
        effects.report(event)
    for name, before, after in found.lowered:
        store.put("limits", ts_ns=now, name=name, before=before, after=after, source=source, verdict="lowered")
        effects.notice(Notice(Level.WARNING, "limits", f"{name}: {before:g} -> {after:g}"))
    stricter = {name: value for name, value in found.guard.items() if value < guard.limits_now[name]}  # its own may be lower already
    for sentence in [*found.refused, *guard.lower(stricter, now)]:
        store.put("limits", ts_ns=now, source=source, verdict=sentence)
        effects.notice(Notice(Level.WARNING, "limits", sentence))
    return found
