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

from .kinds import ALL, KINDS, LATER, SECOND, WEIGHTS, Options

__all__ = ["ALL", "KINDS", "LATER", "SECOND", "Fault", "Kill", "Options", "Script", "draw", "has_later", "is_second"]
ON = ("time", "order", "fill")
ON_SECOND = ("time", "time", "order", "order", "fill", "fill", "start", "death", "cascade")  # start: a process begins; death: it has died
EFFECTS = ("any", "report", "call", "send", "connect", "notice", "image", "wire", "sent")  # sent: between a send and whatever follows it
ASKED = "asked"  # an effect of a kill of the second campaign: the process is asked to stop in good order (SIGTERM)
SECOND_FROM = 3_000_000  # seeds of the second campaign
# What a bot can do, and the share of the seeds that have it. market, limit: entries, at least one of them. day_loss, week_loss: limits so low that they
# are reached, after which nothing enters for long.
FEATURES = {"market": 0.6, "limit": 0.6, "target": 0.6, "trail": 0.6, "exit_phase": 0.6, "requotes": 0.6, "day_loss": 0.25, "week_loss": 0.25}
PRESETS = ("breakout", "cascade-fade", "fade", "fade-btc", "imbalance", "momentum", "reversal", "trend", "zone")
DEFERRED_PER_HOUR = 12.0
COMBINED_PER_HOUR = 1.5
DIRECTED = 2  # every so many seeds of the second campaign make one of PROFILES likely, besides what else they draw
QUIET_S = 240.0  # at the end of a run nothing goes wrong any more: everything must come to rest


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
    features: list[str] | None = None  # of FEATURES, those that the bot of the run has; None = a run of the first campaign
    preset: str = ""  # a preset that ships instead of the bot's own policy
    profile: str = ""  # of PROFILES: what the script makes likely besides what it draws

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


def is_second(seed: int) -> bool:
    """Whether it is a seed of the second campaign."""
    return seed >= SECOND_FROM


def _when(r: Random, seconds: float, second: bool = False) -> tuple[float, str, float]:
    on = r.choice(ON_SECOND) if second else r.choices(ON, (2, 5, 3))[0]
    after_ms = 0.0 if r.random() < 0.3 else r.expovariate(1.0) * r.choice((1.0, 10.0, 200.0, 3000.0))
    return round(r.uniform(1.0, max(2.0, seconds - QUIET_S)), 3), on, round(after_ms, 3)


def _fault(r: Random, kinds: list[str], seconds: float, second: bool = False) -> Fault:
    name = r.choices(kinds, [WEIGHTS[k] if second else ALL[k].weight for k in kinds])[0]
    at_s, on, after_ms = _when(r, seconds, second)
    kind = ALL[name]
    return Fault(name, at_s, on, after_ms, round(r.uniform(*kind.duration_s), 3), kind.options(r))


def draw(seed: int, hours: float, *, faults_per_hour: float = 30.0, kills_per_hour: float = 5.0, only: tuple[str, ...] = ()) -> Script:
    """The script of a seed. only: these kinds of faults (and kills where "kill" is among them), for tests of one thing."""
    if is_second(seed):
        return draw_second(seed, hours, faults_per_hour=faults_per_hour, kills_per_hour=kills_per_hour, only=only)
    r = Random(f"script/{seed}")
    seconds = hours * 3600.0
    far = r.random()
    script = Script(
        seed,
        hours,
        symbols=r.randint(2, 4),
        base_ms=round(0.3 + 60.0 * far**3, 3),
        spread_ms=round(r.uniform(0.1, 20.0 * far), 3),
        loss=r.choice((0.0, 0.001, 0.01)),
    )
    kinds = [kind for kind in KINDS if r.random() < 0.5] if not only else [kind for kind in only if kind != "kill"]
    rate = faults_per_hour * r.uniform(0.2, 1.8)
    for _ in range(round(rate * hours) if kinds else 0):
        script.faults.append(_fault(r, kinds, seconds))
    if not only or "kill" in only:
        for _ in range(max(1, round(kills_per_hour * hours * r.uniform(0.3, 1.7)))):
            at_s, on, _after = _when(r, seconds)
            pause = r.uniform(0.1, 3.0) if r.random() < 0.6 else min(600.0, 3.0 + r.expovariate(0.02))
            script.kills.append(
                Kill(
                    at_s,
                    on,
                    r.choice(EFFECTS),
                    int(r.expovariate(0.25)),
                    round(pause, 3),
                    r.choices(("kept", "lost", "torn"), (90, 4, 6))[0],
                    r.choices(("kept", "lost", "torn"), (90, 5, 5))[0],
                )
            )
    if not only and has_later(seed):
        r = Random(f"later/{seed}")
        kinds = [kind for kind in LATER if r.random() < 0.6]
        script.faults += [_fault(r, kinds, seconds) for _ in range(round(0.3 * rate * hours) if kinds else 0)]
    script.faults.sort(key=lambda f: f.at_s)
    script.kills.sort(key=lambda k: k.at_s)
    return script


def _combination(r: Random, at_s: float) -> list[Fault | Kill]:
    """What seldom meets by chance: the kill switch, a line that is down, a death, an entry."""
    on, moment = r.choice(("order", "fill")), round(r.uniform(0.0, 400.0), 3)
    down = Fault("refuse", at_s, on, 0.0, 10.0, {"channel": r.choice(("orders", "private"))})
    return r.choice(
        (
            [down, Fault("kill_word", at_s, on, 900.0, 6.0)],
            [Fault("kill_word", at_s, "fill", moment, 2.0)],
            [Fault("kill_word", at_s, "order", 0.0, 6.0)],
            [Fault("orders_down", at_s, "time", 0.0, 6.0), Kill(at_s + 1.5, "time", ASKED)],
            [Kill(at_s, "order", "any", r.randint(1, 8), 1.0), Fault("queries", at_s, "death", 0.0, 12.0, SECOND["queries"].options(r))],
            [Kill(at_s, "fill", "any", r.randint(0, 6), 8.0), Fault("manual_reduce", at_s, "death", 1500.0, 0.0, {"share": 0.5, "size": 0.0})],
            [Fault("kill_word", at_s, "fill", moment, 20.0), Kill(at_s, "fill", "any", 12, 1.0)],
        )
    )


@dataclass(frozen=True, slots=True)
class Profile:
    """states: those that its scripts are to reach (of states.STATES; "*" is the preset). per_hour: of events(draw, at_s), each a few faults and kills
    that belong together. features: of the bot, instead of those that were drawn; none = as drawn. preset: whether one trades."""

    states: tuple[str, ...]
    per_hour: float
    events: Callable[[Random, float], list[Fault | Kill]]
    features: tuple[tuple[str, ...], ...] = ()
    preset: bool = False


def _dead_line(r: Random, at_s: float) -> list[Fault | Kill]:
    """A burst finds the order line half open: what leaves arrives nowhere."""
    return [Fault("half_open", at_s, "cascade", 0.0, round(r.uniform(20.0, 50.0), 3), {"channel": "orders", "up": True})]


def _full_disk(r: Random, at_s: float) -> list[Fault | Kill]:
    """The disk is full as soon as an entry rests, and the process dies of it, or later."""
    full = Fault("disk_full", at_s, "order", round(r.uniform(50.0, 900.0), 3), round(r.uniform(20.0, 90.0), 3))
    return [full, Kill(at_s, "order", "any", r.randint(4, 30), round(r.uniform(0.2, 4.0), 3))] if r.random() < 0.6 else [full]


def _torn_image(r: Random, at_s: float) -> list[Fault | Kill]:
    """Dead soon after a fill, and what it believed is damaged."""
    return [Kill(at_s, "fill", "any", r.randint(1, 8), round(r.uniform(0.2, 2.0), 3), r.choice(("torn", "torn", "lost")))]


def _asked_in_vain(r: Random, at_s: float) -> list[Fault | Kill]:
    """Dead while an entry rests, or the rest of one; the questions of the next start fail, and what rests fills meanwhile."""
    fault = Fault("queries", at_s, "death", 0.0, round(r.uniform(3.0, 20.0), 3), SECOND["queries"].options(r) | {"probability": 1.0})
    return [Kill(at_s, r.choice(("order", "fill")), "any", r.randint(2, 8), round(r.uniform(0.1, 0.6), 3)), fault]


def _account(r: Random, at_s: float) -> list[Fault | Kill]:
    """Something happens to a position that was just opened."""
    kind = r.choice(("dividend", "dividend", "split", "adl_winner", "adl_winner", "manual_add"))
    return [Fault(kind, at_s, "fill", round(r.uniform(20.0, 2_000.0), 3), round(r.uniform(*ALL[kind].duration_s), 3), ALL[kind].options(r))]


def _no_budget(r: Random, at_s: float) -> list[Fault | Kill]:
    """No room for entries in a burst, or across full minutes, at which rules of bars decide."""
    if r.random() < 0.4:
        return [Fault("budget", at_s, "cascade", 0.0, round(r.uniform(2.0, 12.0), 3))]
    return [Fault("budget", max(0.0, round(at_s - at_s % 60.0 - r.uniform(0.5, 20.0), 3)), "time", 0.0, round(r.uniform(21.0, 200.0), 3))]


LOSING = "losses"
LIMITS, BOTH = ("limit", "target", "requotes"), ("market", "limit", "target", "trail")
# What seldom happens by chance. The laws are the same; only the odds are others.
PROFILES: dict[str, Profile] = {
    "dead line": Profile(("entry leaves into a line that is dead", "entry leaves soon after the order line came back"), 8.0, _dead_line, (BOTH,)),
    "full disk": Profile(
        ("disk full with a resting entry", "disk full with an open position", "kill -9 with a disk that is full", "start with a disk that is full"),
        10.0,
        _full_disk,
        (LIMITS, BOTH),
    ),
    "torn image": Profile(
        ("start with an image torn and an open position", "start with an image lost and an open position"), 8.0, _torn_image, (BOTH,)
    ),
    "asked in vain": Profile(
        (
            "query fault during a start with a resting entry",
            "entry fills during a start",
            "kill -9 with a resting entry",
            "query fault during a start with an open position and a late fill",
        ),
        12.0,
        _asked_in_vain,
        (LIMITS,),
    ),
    "account": Profile(
        ("position is paid a dividend", "position is split", "our winner is deleveraged", "somebody adds to our position"), 8.0, _account, (BOTH,)
    ),
    LOSING: Profile(
        ("loss limit of the day reached", "loss limit of the week reached"), 0.0, _no_budget, ((*BOTH, "day_loss"), (*BOTH, "week_loss"))
    ),
    "no budget": Profile(("entry deferred under *", "entry decided that waits for rate budget"), 24.0, _no_budget, preset=True),
}


def direct(script: Script, profile: str, preset: str = "") -> Script:
    """Make a profile's states likely in a script: changed in place. A function of its seed and of the profile. preset: the one that trades, where
    the profile has one ("" = the script's own, or any)."""
    found, r = PROFILES[profile], Random(f"directed/{script.seed}/{profile}")
    script.profile = profile
    script.preset = (preset or script.preset or r.choice(PRESETS)) if found.preset else ""
    script.features = list(r.choice(found.features)) if found.features else script.features
    for _ in range(round(found.per_hour * script.hours)):
        for event in found.events(r, _when(r, script.hours * 3600.0, True)[0]):
            if isinstance(event, Fault):
                script.faults.append(event)
            else:
                script.kills.append(event)
    script.faults.sort(key=lambda f: f.at_s)
    script.kills.sort(key=lambda k: k.at_s)
    return script


def draw_second(seed: int, hours: float, *, faults_per_hour: float = 30.0, kills_per_hour: float = 5.0, only: tuple[str, ...] = ()) -> Script:
    """The same for the second campaign: all kinds, each left out by half of the seeds; features and presets; kills and orderly stops mixed."""
    r = Random(f"second/{seed}")
    seconds, far = hours * 3600.0, r.random()
    script = Script(
        seed,
        hours,
        symbols=r.randint(2, 4),
        base_ms=round(0.3 + 60.0 * far**3, 3),
        spread_ms=round(r.uniform(0.1, 20.0 * far), 3),
        loss=r.choice((0.0, 0.001, 0.01)),
    )
    features = [name for name, share in FEATURES.items() if r.random() < share]
    script.features = features if {"market", "limit"} & set(features) else [r.choice(("market", "limit")), *features]
    script.preset = r.choice(PRESETS) if r.random() < 0.5 else ""
    kinds = [kind for kind in ALL if r.random() < 0.5] if not only else [kind for kind in only if kind in ALL]
    rate = faults_per_hour * r.uniform(0.2, 1.8)
    kills = "kill" in only if only else r.random() < 0.85
    script.faults += [_fault(r, kinds, seconds, True) for _ in range(round(rate * hours) if kinds else 0)]
    if script.preset and not only:  # its entries have to wait, in its cascades and after them
        for n in range(round(DEFERRED_PER_HOUR * hours)):
            at_s = _when(r, seconds, True)[0]
            script.faults.append(Fault("budget", at_s, ("time", "cascade")[n % 2], 0.0, round(r.uniform(*((10.0, 60.0), (2.0, 12.0))[n % 2]), 3)))
    for _ in range(round(COMBINED_PER_HOUR * hours) if not only else 0):
        for event in _combination(r, _when(r, seconds, True)[0]):
            if isinstance(event, Fault):
                script.faults.append(event)
            elif kills:
                script.kills.append(event)
    if kills:
        for _ in range(max(1, round(kills_per_hour * hours * r.uniform(0.3, 1.7)))):
            at_s, on, _after = _when(r, seconds, True)
            effect = ASKED if r.random() < 0.3 else r.choice(EFFECTS)
            pause = r.uniform(0.1, 3.0) if r.random() < 0.4 else min(600.0, 3.0 + r.expovariate(0.03))
            fates = (
                ("kept", "kept")
                if effect == ASKED
                else (r.choices(("kept", "lost", "torn"), (90, 4, 6))[0], r.choices(("kept", "lost", "torn"), (90, 5, 5))[0])
            )
            script.kills.append(Kill(at_s, on, effect, int(r.expovariate(0.25)), round(pause, 3), *fates))
    script.faults.sort(key=lambda f: f.at_s)
    script.kills.sort(key=lambda k: k.at_s)
    return direct(script, Random(f"profile/{seed}").choice(list(PROFILES))) if seed % DIRECTED == 0 and not only else script
