"""Schema drift: the venue changes one field of one kind of private frame, without notice, while an entry is on its way.

Every field of every kind of frame in turn is dropped, renamed, given another type, given a word that nobody knows, made null, or gets a stranger in
front of it. What must hold
whatever a frame says: the position has its stop, and is closed. REST answers stay as they are: that is what a program can fall back on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .clock import NS
from .script import Fault, Script
from .world import Outcome, World, run

HOWS = ("dropped", "renamed", "retyped", "reworded", "null", "added")
SEEDS = (3, 14)  # calm runs with an entry within the first minutes: a limit order, and one at market
AFTER_S = 420.0  # that long the drift lasts, from the first entry on
STRANGER = {"since": 2027, "of": [1, None, {"deep": "er"}]}
REACHED = "drifted"  # frames that were changed


@dataclass(frozen=True, slots=True)
class Drift:
    """frame: a topic, or several joined by "+", "reply" (to an order request), "login" (auth and subscribe), "pong". path: keys down to the field;
    "*" = of every row."""

    frame: str
    path: tuple[str, ...]
    how: str

    def __str__(self) -> str:
        return f"{self.frame} {'.'.join(self.path)} {self.how}"


def frame_of(message: dict[str, Any]) -> str:
    """The kind of a frame that the venue sends on a connection of the account."""
    if "topic" in message:
        return str(message["topic"]).partition(".")[0]
    operation = str(message.get("op", ""))
    return "reply" if operation.startswith("order.") else "pong" if operation in ("ping", "pong") else "login"


def paths(message: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of a message."""
    if isinstance(message, list):
        for one in message:
            yield from paths(one, (*before, "*"))
    elif isinstance(message, dict):
        for name, value in message.items():
            yield (*before, name)
            yield from paths(value, (*before, name))


def changed(message: Any, path: tuple[str, ...], how: str) -> Any:
    """The message with that field changed wherever it is."""
    if path[0] == "*":
        return [changed(one, path[1:], how) for one in message] if isinstance(message, list) else message
    if not isinstance(message, dict) or path[0] not in message:
        return message
    if len(path) > 1:
        return message | {path[0]: changed(message[path[0]], path[1:], how)}
    out: dict[str, Any] = {}
    for name, value in message.items():
        if name != path[0]:
            out[name] = value
        elif how == "renamed":
            out[name + "V2"] = value
        elif how == "retyped":
            out[name] = _retyped(value)
        elif how == "reworded":
            out[name] = f"{value}V2"
        elif how == "null":
            out[name] = None
        elif how == "added":
            out |= {"addedField": STRANGER, name: value}
    return out


def _retyped(value: Any) -> Any:
    """The same, said otherwise: numbers as texts, texts as numbers where they are, lists and objects as the text of them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return [value]
    return str(value) if isinstance(value, int | float) else orjson.dumps(value).decode()


def script_of(seed: int, first_s: float) -> Script:
    """A calm run, but for one reset of everything when there is something to lose: so that frames of a login are drifted, too."""
    made = Script(seed, (first_s + AFTER_S + 300.0) / 3600.0)
    made.faults = [Fault("reset", max(0.0, first_s - 1.0), "fill", 1500.0, 0.0, {"channel": "all"})]
    return made


def plant(drift: Drift | None, seen: dict[str, set[tuple[str, ...]]] | None = None) -> Any:
    """For faults.world.run: changes the frames of a world from its first entry on. seen: collects the fields of each kind of frame instead."""

    def planted(world: World) -> None:
        began: list[int] = []
        venue = world.venue
        arrives = world.truth.create_arrives

        def create(arguments: Mapping[str, Any]) -> None:
            if not began:
                began.append(world.clock.now)
                world.truth.trace.say(world.clock.now, "drift", str(drift))
            arrives(arguments)

        def deliver(frame: bytes) -> bytes:
            if seen is None and (drift is None or not began or world.clock.now > min(began[0] + int(AFTER_S * NS), world.quiet)):
                return frame
            message = orjson.loads(frame)
            kind = frame_of(message)
            if seen is not None:
                seen.setdefault(kind, set()).update(paths(message))
            if drift is None or kind not in drift.frame.split("+"):
                return frame
            world.counts[REACHED] += 1
            return orjson.dumps(changed(message, drift.path, drift.how))

        world.truth.create_arrives = create  # type: ignore[method-assign]
        venue.written = deliver

    return planted


def fields_of(seed: int, first_s: float) -> dict[str, list[tuple[str, ...]]]:
    """Every field of every kind of frame that the venue sends in such a run."""
    seen: dict[str, set[tuple[str, ...]]] = {}
    run(script_of(seed, first_s), plant=plant(None, seen))
    return {kind: sorted(path for path in found if path[-1] != "*") for kind, found in sorted(seen.items())}


def drifts(fields: dict[str, list[tuple[str, ...]]]) -> list[Drift]:
    return [Drift(kind, path, how) for kind, found in fields.items() for path in found for how in HOWS]


def judge(drift: Drift, seed: int, first_s: float) -> Outcome:
    return run(script_of(seed, first_s), plant=plant(drift))
