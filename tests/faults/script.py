"""What goes wrong in a run, drawn from its seed before it begins: a list that can be read, cut down and run again.

A fault is armed at a time and fires at once, or with the next order that reaches the venue, or the next execution: most of what is interesting
happens within a second of those. A kill is armed likewise and takes the process at the n-th of its effects after that. Each seed uses its own
subset of the kinds (swarm testing), so that none hides what another would show.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

Options = dict[str, Any]
CHANNELS = ("private", "orders")
UNKNOWN_CODES, FATAL_CODES = (10000, 10016, 10019), (10003, 10005, 10010, 33004, 401)      # 401: an HTTP status


def _plain(r: Random) -> Options:
    return {}


def _wire(r: Random) -> Options:
    return {"channel": r.choice(("private", "orders", "public", "all"))}


def _refuse(r: Random) -> Options:
    return {"channel": r.choice(("private", "orders", "rest", "all"))}


def _hole(r: Random) -> Options:
    return {"channel": r.choice(("private", "orders", "all")), "up": r.random() < 0.7}


def _request(r: Random) -> Options:
    return {"channel": r.choice(("trade", "trade", "rest")), "operation": r.choice(("", "create", "cancel", "amend", "query")),
            "probability": r.choice((1.0, 1.0, 0.5)), "count": r.choice((0, 1, 2))}


def _error(r: Random) -> Options:
    return _request(r) | {"code": r.choice(UNKNOWN_CODES), "booked": r.choice((0.0, 0.5, 1.0))}


def _http(r: Random) -> Options:
    return {"channel": "rest", "code": r.choice((500, 502, 503, 429, 403)), "booked": r.choice((0.0, 1.0)), "probability": r.choice((1.0, 0.5))}


def _limit(r: Random) -> Options:
    return _request(r) | {"reset_header": r.random() < 0.5}


def _late(r: Random) -> Options:
    return {"delay_s": round(r.expovariate(1.0) * 0.5, 3), "jitter_s": round(r.expovariate(1.0) * 0.3, 3)}


def _slow(r: Random) -> Options:
    return _request(r) | {"delay_s": round(r.uniform(0.2, 9.0), 3)}


def _topic(r: Random) -> Options:
    return {"topic": r.choice(("", "order", "execution", "position")), "probability": r.choice((1.0, 0.5, 0.2))}


def _stale(r: Random) -> Options:
    return {"channel": "rest", "operation": "query", "delay_s": round(r.uniform(0.1, 5.0), 3)}


def _account(r: Random) -> Options:
    return {"share": r.choice((1.0, 0.5)), "size": round(r.random(), 3)}


def _rights(r: Random) -> Options:
    return {"channel": r.choice(("", "trade", "rest")), "code": r.choice(FATAL_CODES), "booked": 0.0, "probability": r.choice((1.0, 0.5))}


def _clock(r: Random) -> Options:
    return {"offset_s": round(r.choice((-1, 1)) * r.choice((0.2, 0.5, 1.5, 4.0, 30.0)) * r.uniform(0.5, 1.0), 3)}


@dataclass(frozen=True, slots=True)
class Kind:
    """layer: "wires" (network.py), "venue" (the emulator's own faults), "people" (somebody does something to the account, or to us)."""

    layer: str
    duration_s: tuple[float, float]
    weight: float
    options: Callable[[Random], Options] = _plain


KINDS: dict[str, Kind] = {
    "reset": Kind("wires", (0, 0), 8, _wire), "refuse": Kind("wires", (1, 60), 5, _refuse), "half_open": Kind("wires", (30, 60), 4, _hole),
    "stall": Kind("wires", (0.3, 15), 6, _wire), "slow_wires": Kind("wires", (1, 60), 3), "lossy_wires": Kind("wires", (1, 120), 2),
    "rest_requests_lost": Kind("wires", (1, 60), 3), "rest_answers_lost": Kind("wires", (1, 60), 3), "maintenance": Kind("wires", (10, 300), 1.5),
    "lose_ack": Kind("venue", (0.5, 20), 5, _request), "lose_request": Kind("venue", (0.5, 20), 4, _request),
    "error": Kind("venue", (0.5, 10), 5, _error),
    "http_error": Kind("venue", (0.5, 30), 3, _http), "rate_limit": Kind("venue", (0.5, 5), 4, _limit),
    "slow_server": Kind("venue", (0.5, 10), 3, _slow),
    "late_ack": Kind("venue", (0.5, 30), 3, _late), "no_req_id": Kind("venue", (5, 60), 1), "reject_stop": Kind("venue", (1, 10), 1),
    "drop_stop": Kind("venue", (1, 10), 1), "stale_rest": Kind("venue", (0.5, 20), 3, _stale),
    "delay_private": Kind("venue", (0.5, 20), 3, _late), "reorder_private": Kind("venue", (0.5, 30), 4, _late),
    "duplicate_private": Kind("venue", (1, 60), 3, _topic), "lose_private": Kind("venue", (0.2, 10), 3, _topic),
    "execution_first": Kind("venue", (5, 60), 2, _late), "double_filled": Kind("venue", (5, 120), 2),
    "post_only_rejected": Kind("venue", (5, 300), 2),
    "empty_numbers": Kind("venue", (5, 60), 2), "garbage_private": Kind("venue", (0.5, 10), 2, _topic),
    "cancel_rest": Kind("venue", (5, 60), 1.5), "cancel_stops": Kind("venue", (0, 0), 1), "adl": Kind("venue", (0, 0), 1, _account),
    "liquidate": Kind("venue", (0, 0), 0.5), "halt": Kind("venue", (5, 60), 1, _account),
    "manual_reduce": Kind("people", (0, 0), 1.5, _account), "manual_open": Kind("people", (50, 120), 0.4, _account),
    "clock_step": Kind("people", (5, 60), 2, _clock), "kill_word": Kind("people", (5, 240), 0.7),
}
# Kinds that came later, drawn by a generator of their own and only where has_later(seed) says so: the other seeds are the runs that they were when
# they found something, and tests quote them.
LATER: dict[str, Kind] = {
    "freeze": Kind("people", (0.3, 12), 4), "rights": Kind("venue", (5, 60), 1, _rights), "bad_market": Kind("wires", (1, 30), 3),
}
ALL = KINDS | LATER
ON = ("time", "order", "fill")
EFFECTS = ("any", "report", "call", "send", "connect", "notice", "image", "wire", "sent")     # sent: between a send and whatever follows it
QUIET_S = 240.0             # at the end of a run nothing goes wrong any more: everything must come to rest


@dataclass(slots=True)
class Fault:
    """kind: of ALL. at_s: armed, from the start. on: what it waits for then. after_ms: from that moment."""

    kind: str
    at_s: float
    on: str = "time"
    after_ms: float = 0.0
    duration_s: float = 0.0
    options: Options = field(default_factory=dict)


@dataclass(slots=True)
class Kill:
    """at_s: armed. on: as of a fault. effect: which of EFFECTS, skip: how many of them pass first. pause_s: until the restart. image, store: what the
    next process finds of the state image and of the database: "kept", "lost", "torn"."""

    at_s: float
    on: str = "time"
    effect: str = "any"
    skip: int = 0
    pause_s: float = 1.0
    image: str = "kept"
    store: str = "kept"


@dataclass(slots=True)
class Script:
    """One run: the seed of everything that is not listed, and what goes wrong when."""

    seed: int
    hours: float
    symbols: int = 3
    base_ms: float = 3.0
    spread_ms: float = 1.0
    loss: float = 0.001
    faults: list[Fault] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of_json(cls, text: str) -> Script:
        value: dict[str, Any] = json.loads(text)
        value["faults"] = [Fault(**fault) for fault in value["faults"]]
        value["kills"] = [Kill(**kill) for kill in value["kills"]]
        return cls(**value)


def has_later(seed: int) -> bool:
    """Every fourth seed."""
    return seed % 4 == 2


def _when(r: Random, seconds: float) -> tuple[float, str, float]:
    on = r.choices(ON, (2, 5, 3))[0]
    after_ms = 0.0 if r.random() < 0.3 else r.expovariate(1.0) * r.choice((1.0, 10.0, 200.0, 3000.0))
    return round(r.uniform(1.0, max(2.0, seconds - QUIET_S)), 3), on, round(after_ms, 3)


def _fault(r: Random, kinds: list[str], seconds: float) -> Fault:
    name = r.choices(kinds, [ALL[k].weight for k in kinds])[0]
    at_s, on, after_ms = _when(r, seconds)
    kind = ALL[name]
    return Fault(name, at_s, on, after_ms, round(r.uniform(*kind.duration_s), 3), kind.options(r))


def draw(seed: int, hours: float, *, faults_per_hour: float = 30.0, kills_per_hour: float = 5.0, only: tuple[str, ...] = ()) -> Script:
    """The script of a seed. only: these kinds of faults (and kills where "kill" is among them), for tests of one thing."""
    r = Random(f"script/{seed}")
    seconds = hours * 3600.0
    far = r.random()
    script = Script(seed, hours, symbols=r.randint(2, 4), base_ms=round(0.3 + 60.0 * far ** 3, 3), spread_ms=round(r.uniform(0.1, 20.0 * far), 3),
                    loss=r.choice((0.0, 0.001, 0.01)))
    kinds = [kind for kind in KINDS if r.random() < 0.5] if not only else [kind for kind in only if kind != "kill"]
    rate = faults_per_hour * r.uniform(0.2, 1.8)
    for _ in range(round(rate * hours) if kinds else 0):
        script.faults.append(_fault(r, kinds, seconds))
    if not only or "kill" in only:
        for _ in range(max(1, round(kills_per_hour * hours * r.uniform(0.3, 1.7)))):
            at_s, on, _after = _when(r, seconds)
            pause = r.uniform(0.1, 3.0) if r.random() < 0.6 else min(600.0, 3.0 + r.expovariate(0.02))
            script.kills.append(Kill(at_s, on, r.choice(EFFECTS), int(r.expovariate(0.25)), round(pause, 3),
                                     r.choices(("kept", "lost", "torn"), (90, 4, 6))[0], r.choices(("kept", "lost", "torn"), (90, 5, 5))[0]))
    if not only and has_later(seed):
        r = Random(f"later/{seed}")
        kinds = [kind for kind in LATER if r.random() < 0.6]
        script.faults += [_fault(r, kinds, seconds) for _ in range(round(0.3 * rate * hours) if kinds else 0)]
    script.faults.sort(key=lambda f: f.at_s)
    script.kills.sort(key=lambda k: k.at_s)
    return script
