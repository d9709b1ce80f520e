"""Bugs of the campaign itself, planted one at a time: a fault never drawn, a law never asked, a state never reached. The campaign's own check
(selfcheck.py) must find each; what it does not find could hide in a campaign that finds nothing."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from unittest.mock import patch

from liqcore.event import Kind

from . import agreement, campaign, kinds, script, selfcheck
from .books import Books
from .market import Hour
from .states import States
from .truth import Truth
from .world import World, run

SEEDS, HOURS = range(script.SECOND_FROM + 900, script.SECOND_FROM + 911), 2.5
STEPS = 4, len(SEEDS)  # what a few hours do not show, more may
Plant = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Bug:
    """runs: found by running scripts; else the scripts alone, or the judges alone, show it."""

    name: str
    what: str
    plant: Plant
    runs: bool = False


def _drawn(change: Callable[[script.Script], script.Script | None]) -> Plant:
    """Every script is changed after it was drawn."""

    def plant() -> AbstractContextManager[Any]:
        original = script.draw

        def draw(seed: int, hours: float, **rest: Any) -> script.Script:
            made = original(seed, hours, **rest)
            return change(made) or made

        return patch.object(script, "draw", draw)

    return plant


def _faults(change: Callable[[script.Fault], script.Fault | None]) -> Plant:
    def changed(made: script.Script) -> None:
        made.faults = [new for fault in made.faults if (new := change(fault)) is not None]

    return _drawn(changed)


def _kills(change: Callable[[script.Kill], script.Kill]) -> Plant:
    def changed(made: script.Script) -> None:
        made.kills = [change(kill) for kill in made.kills]

    return _drawn(changed)


def _nothing(owner: Any, name: str, result: Any = None) -> Plant:
    """owner.name does nothing."""
    return lambda: patch.object(owner, name, lambda *arguments, **named: result)


def _no_swarm(made: script.Script) -> None:
    """Every script has a fault of every kind."""
    have = {fault.kind for fault in made.faults}
    made.faults += [script.Fault(kind, 60.0, duration_s=5.0, options=kinds.ALL[kind].options(Random(kind))) for kind in kinds.ALL if kind not in have]


def _all_features(made: script.Script) -> None:
    made.features = list(script.FEATURES)


def _without(name: str) -> Callable[[script.Script], None]:
    def changed(made: script.Script) -> None:
        made.features = [one for one in made.features or [] if one != name]

    return changed


def _no_presets(made: script.Script) -> None:
    made.preset = ""


def _one_size(made: script.Script) -> None:
    made.symbols = 3


def _early(made: script.Script) -> None:
    for fault in made.faults:
        fault.at_s *= 0.3


def _few(made: script.Script) -> None:
    made.faults = made.faults[::10]


@contextmanager
def _seed_ignored() -> Iterator[None]:
    original = script.draw_second
    with patch.object(script, "draw_second", lambda seed, hours, **rest: original(script.SECOND_FROM, hours, **rest)):
        yield


def _deaf_to(what: str) -> Plant:
    """What is armed for this never springs."""

    def plant() -> AbstractContextManager[Any]:
        original = World.happens
        return patch.object(World, "happens", lambda self, on: None if on == what else original(self, on))

    return plant


@contextmanager
def _no_calm() -> Iterator[None]:
    """Faults go on to the end of a run."""
    original = World.__init__

    def init(self: World, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.quiet = self.end

    with patch.object(World, "__init__", init):
        yield


@contextmanager
def _calm_market() -> Iterator[None]:
    """Nobody is liquidated."""
    from . import market, world

    def calm(*arguments: Any) -> Hour:
        made = market.hour(*arguments)
        made.rows["kind"][made.rows["kind"] == int(Kind.LIQUIDATION)] = int(Kind.TICKER)
        return made

    with patch.object(world, "hour", calm):
        yield


@contextmanager
def _faults_hit_nothing() -> Iterator[None]:
    """Faults of the venue are noted, and meet no request and no frame."""
    from liqshell.emulator.api.account_faults import Interference, Plan, PrivateMessage

    with (
        patch.object(Interference, "plan", lambda self, *arguments: Plan()),
        patch.object(Interference, "arrival", lambda self, *arguments: 0.0),
        patch.object(Interference, "deliveries", lambda self, topic, rows, now: [PrivateMessage(topic, rows)]),
    ):
        yield


@contextmanager
def _one_run() -> Iterator[None]:
    """Every seed runs the script of the first."""
    with patch.object(campaign, "run", lambda made: replace(run(script.draw(SEEDS[0], made.hours)), seed=made.seed)):
        yield


def _nothing_fails() -> AbstractContextManager[Any]:
    return patch.object(Truth, "fail", lambda self, law, text: self.counts.update({f"broken: {law}": 1}))


BUGS: dict[str, Bug] = {
    bug.name: bug
    for bug in (
        Bug("kind_missing", "a kind of fault is never drawn", _faults(lambda f: f if f.kind != "queries" else None)),
        Bug("rare_kind_missing", "a kind of a small weight is never drawn", _faults(lambda f: f if f.kind != "liquidate" else None)),
        Bug("no_swarm", "no kind is ever left out", _drawn(_no_swarm)),
        Bug("all_features", "no feature is ever left out", _drawn(_all_features)),
        Bug("feature_missing", "a feature is never there", _drawn(_without("trail"))),
        Bug("no_presets", "no preset ever runs", _drawn(_no_presets)),
        Bug("undirected", "nothing is made likely", lambda: patch.object(script, "direct", lambda made, profile, preset="": made)),
        Bug("one_size", "every run has three contracts", _drawn(_one_size)),
        Bug("never_at_start", "no fault waits for a start", _faults(lambda f: replace(f, on="time") if f.on == "start" else f)),
        Bug("never_in_cascade", "no fault waits for a cascade", _faults(lambda f: replace(f, on="fill") if f.on == "cascade" else f)),
        Bug("never_asked_to_stop", "no process is asked to stop", _kills(lambda k: replace(k, effect="any") if k.effect == script.ASKED else k)),
        Bug(
            "never_between",
            "no kill strikes between a send and what follows",
            _kills(lambda k: replace(k, effect="any") if k.effect == "sent" else k),
        ),
        Bug("images_kept", "no image is ever lost", _kills(lambda k: replace(k, image="kept"))),
        Bug("stores_kept", "no store is ever torn", _kills(lambda k: replace(k, store="kept"))),
        Bug("short_pauses", "every process is back at once", _kills(lambda k: replace(k, pause_s=0.5))),
        Bug("early_faults", "the later part of a run is calm", _drawn(_early)),
        Bug("moments_only", "faults that should last are over at once", _faults(lambda f: replace(f, duration_s=0.0))),
        Bug(
            "one_answer",
            "questions fail in one way only",
            _faults(lambda f: replace(f, options=f.options | {"how": "http_error"}) if f.kind == "queries" else f),
        ),
        Bug("few_faults", "a tenth of the faults", _drawn(_few)),
        Bug("seed_ignored", "all seeds have one script", _seed_ignored),
        Bug("no_comparison", "nobody compares the judges", _nothing(agreement, "disagreement", "")),
        Bug("nothing_fails", "a broken law ends nothing", _nothing_fails),
        Bug("one_run", "all seeds run one script", _one_run, True),
        Bug("second_blind", "the second judge sees no frames", _nothing(Books, "said"), True),
        Bug("deaf_to_fills", "what waits for a fill never comes", _deaf_to("fill"), True),
        Bug("deaf_to_deaths", "what waits for a death never comes", _deaf_to("death"), True),
        Bug("kills_miss", "no kill ever strikes", _nothing(World, "strikes", False), True),
        Bug("faults_hit_nothing", "faults of the venue meet no request", _faults_hit_nothing, True),
        Bug("protected_not_asked", "nobody looks for stops", _nothing(Truth, "_protected"), True),
        Bug("entries_not_judged", "nobody judges an entry that leaves", _nothing(World, "_judge"), True),
        Bug("fills_not_counted", "states of executions are not counted", _nothing(States, "filled"), True),
        Bug("no_calm", "faults go on to the end", _no_calm, True),
        Bug("calm_market", "the market has no cascades", _calm_market, True),
        Bug("disk_never_full", "the disk is never full", _nothing(World, "disk_is_full", False), True),
    )
}


def found_by(bug: Bug | None) -> list[str]:
    """What the campaign's own check says with a bug planted; None = without one, of all that can be asked."""
    with bug.plant() if bug is not None else _healthy():
        problems = selfcheck.of_scripts(lambda seed, hours: script.draw(seed, hours)) + selfcheck.of_judges()
        if problems or bug is not None and not bug.runs:
            return problems
        for count in STEPS:
            summary = campaign.campaign(SEEDS[:count], HOURS)
            problems = summary.blind() + [f"seed {one['seed']}: {one['law']}: {one['text']}" for one in summary.violations]
            if problems:
                return problems
        return []


@contextmanager
def _healthy() -> Iterator[None]:
    yield


def judge(names: list[str]) -> int:
    """Plant all of them, or those named, and say what the check finds. The number of those that got away."""
    away: Counter[str] = Counter()
    for name in names or ["", *BUGS]:
        bug = BUGS[name] if name else None
        began = time.perf_counter()
        found = found_by(bug)
        away[name] = bool(found) == (bug is None)
        print(
            f"{name or 'no bug':<20} {bug.what if bug else 'the campaign as it is'}: {found[0] if found else 'nothing found'} "
            f"{time.perf_counter() - began:.1f} s"[:250],
            flush=True,
        )
    print(f"{sum(not one for one in away.values())} of {len(away)} as expected", file=sys.stderr)
    return sum(away.values())
