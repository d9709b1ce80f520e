"""Whether a campaign looked: its scripts draw what there is to draw and leave out what there is to leave out, and its runs did what the scripts say.

A campaign that finds nothing proves something only where this finds nothing, too. `generator.py` has bugs of the campaign itself, each of which must be
found here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from . import agreement, script
from .books import Books, Finding
from .clock import NS, Clock
from .kinds import ALL
from .laws import LAWS
from .states import STATES, needed
from .trace import Trace
from .truth import Broken, Caps, Truth, Violation

if TYPE_CHECKING:
    from .campaign import Summary

SCRIPTS, SCRIPT_HOURS = 300, 2.0
SHARES = (0.2, 0.95)  # of the scripts: what is left out by some seeds is not left out by all
RATES = {"faults": (20.0, 42.0), "kills": (3.0, 8.0)}  # an hour, over all seeds
HOURS_ASKED = 25.0  # simulated, from which on every law that is often asked must have been
SECOND_LAWS = ("day loss", "week loss")  # whose limits are on in every run of the second campaign
HOURS_EVER = 5_000.0  # and every other law
OFTEN = 6.0  # faults of a kind that waited for nothing and of which one at least must have acted
MARKET = {"entries": 0.5, "fills": 0.5}  # an hour, at least
BUSY = (
    "entry fills",
    "stop fills",
    "query fault during a start",
    "query fault with an open position",
    "kill -9 with an open position",
    "kill -9 during a start",
    "entry fills in pieces",
)
BUSY_HOURS = 25.0  # simulated, from which on each of these must have been reached
# what a fault of the venue does to requests and frames shows in the venue's own count of strikes
STRIKES = ("lose_ack", "http_error", "error", "rate_limit", "lose_request", "delay_private", "duplicate_private")
FELT = ("disk_full", "names_lost", "budget")  # what of these reaches the program is counted where it does
STRIKE_HOURS = 25.0
OPTIONS: dict[str, tuple[str, int]] = {
    "queries": ("how", 7),
    "error": ("code", 3),
    "reset": ("channel", 4),
    "adl": ("share", 2),
    "http_error": ("code", 5),
}


def of_scripts(draw: Callable[[int, float], script.Script] | None = None) -> list[str]:
    """What is wrong with the scripts of the second campaign, in words."""
    draw = draw or script.draw
    scripts = [draw(script.SECOND_FROM + n, SCRIPT_HOURS) for n in range(SCRIPTS)]
    faults = [fault for one in scripts for fault in one.faults]
    kills = [kill for one in scripts for kill in one.kills]
    hours, seconds = SCRIPTS * SCRIPT_HOURS, SCRIPT_HOURS * 3600.0 - script.QUIET_S
    has: Counter[str] = Counter()
    for one in scripts:
        has.update(
            {f"fault {fault.kind}" for fault in one.faults}
            | {f"feature {name}" for name in one.features or ()}
            | {f"preset {one.preset or 'none'}", f"profile {one.profile or 'none'}", f"symbols {one.symbols}", "kills" if one.kills else "no kills"}
        )
    found = [
        f"{name}: in {has[name]} of {SCRIPTS} scripts"
        for name in [*(f"fault {kind}" for kind in ALL), *(f"feature {name}" for name in script.FEATURES)]
        if not SHARES[0] * _least(name) <= has[name] / SCRIPTS <= SHARES[1]
    ]
    wanted = [
        *(f"preset {name}" for name in (*script.PRESETS, "none")),
        *(f"profile {name}" for name in (*script.PROFILES, "none")),
        *(f"symbols {n}" for n in (2, 3, 4)),
        "kills",
        "no kills",
    ]
    found += [f"{name}: in none of {SCRIPTS} scripts" for name in wanted if not has[name]]
    for what, values, all_of in (
        ("fault waits for", {fault.on for fault in faults}, set(script.ON_SECOND)),
        ("kill waits for", {kill.on for kill in kills}, set(script.ON_SECOND)),
        ("kill before", {kill.effect for kill in kills}, {*script.EFFECTS, script.ASKED}),
        ("image", {kill.image for kill in kills}, {"kept", "lost", "torn"}),
        ("store", {kill.store for kill in kills}, {"kept", "lost", "torn"}),
    ):
        found += [f"{what} {value}: never drawn" for value in sorted(all_of - values)]
    for kind, (option, least) in OPTIONS.items():
        told = {str(fault.options.get(option)) for fault in faults if fault.kind == kind}
        if len(told) < least:
            found.append(f"{kind}: only {len(told)} values of {option}")
    for name, count in (("faults", len(faults)), ("kills", len(kills))):
        if not RATES[name][0] <= count / hours <= RATES[name][1]:
            found.append(f"{count / hours:.1f} {name} an hour, expected {RATES[name][0]:g} to {RATES[name][1]:g}")
    late = [fault.at_s / seconds for fault in faults]
    if not late or min(late) > 0.1 or max(late) < 0.9 or not 0.4 < sum(late) / len(late) < 0.6:
        found.append("faults are not spread over the run")
    found += [
        f"{kind}: always over at once"
        for kind in ALL
        if ALL[kind].duration_s[1] > 0.0 and not any(fault.duration_s > 0.0 for fault in faults if fault.kind == kind) and has[f"fault {kind}"]
    ]
    if not any(kill.pause_s > 30.0 for kill in kills) or not any(kill.pause_s < 3.0 for kill in kills):
        found.append("pauses between two lives are all alike")
    if len({one.to_json() for one in scripts}) < SCRIPTS or draw(script.SECOND_FROM, SCRIPT_HOURS) != scripts[0]:
        found.append("scripts are not a function of their seeds")
    return found


def _least(name: str) -> float:
    """Rare on purpose: features that end the trading of a run, kinds of a small weight."""
    rare = name in ("feature day_loss", "feature week_loss") or name.startswith("fault ") and ALL[name[6:]].weight <= 1.0
    return 0.2 if rare else 1.0


def of_judges() -> list[str]:
    """Whether the judges judge at all, and whether anybody compares them."""
    found = []
    books, alone = Books(1.0, 1, 0), Books(1.0, 1, 0)
    alone.findings.append(Finding("naked", NS, "planted"))
    if not agreement.disagreement(None, alone, 0) or not agreement.disagreement(Violation("protected", 1.0, "X without a stop"), books, 0):
        found.append("a disagreement of the judges is not noticed")
    truth = Truth(Clock(0), Trace(0), Caps(1.0, 1.0, 1, 1, 1), dict, "", lambda: 0)
    silent = []
    for law in LAWS:
        try:
            truth.fail(law, "planted")
        except Broken:
            continue
        silent.append(law)
    return [*found, *(f"law {law!r}: breaking it ends nothing, and it is not said to be off" for law in silent if LAWS[law].on)]


def of_runs(summary: Summary) -> list[str]:
    """What the runs of a campaign have not done, in words; what can be expected grows with its simulated hours."""
    hours, counts = summary.hours, summary.counts
    found = [f"state {name!r}: reached {count} times, needed {needed(hours)}" for name, count in summary.missing().items()]
    if hours >= HOURS_ASKED:
        found += [
            f"law {name!r}: never asked"
            for name, law in LAWS.items()
            if law.often and not summary.asked[name] and (summary.second or name not in SECOND_LAWS)
        ]
        found += [f"{name}: {counts[name] / hours:.2f} an hour, expected {least:g}" for name, least in MARKET.items() if counts[name] < least * hours]
        found += [f"nothing sprang on {on!r}" for on in sorted(set(script.ON_SECOND)) if not counts[f"sprung {on}"]] if summary.second else []
        found += [f"{name}: none" for name in ("kills", "lives") if not counts[name]]
        found += [f"the second judge: no {name}" for name in ("judge frames", "judge covered") if not counts[name]]
    if hours >= HOURS_EVER and summary.second == summary.seeds:
        found += [f"law {name!r}: never asked" for name, law in LAWS.items() if law.ever and not law.often and not summary.asked[name]]
    if counts["after the calm"]:
        found.append(f"{counts['after the calm']} faults after the calm")
    found += [f"fault {kind}: {count} due, none acted" for kind, count in sorted(summary.due.items()) if count >= OFTEN and not summary.fired[kind]]
    if hours >= STRIKE_HOURS:
        found += [f"fault {kind}: has hit nothing" for kind in STRIKES if summary.fired[kind] >= OFTEN and not counts[f"struck {kind}"]]
        found += [f"fault {kind}: nobody has felt it" for kind in FELT if summary.fired[kind] >= OFTEN and not counts[f"felt {kind}"]]
    if hours >= BUSY_HOURS and summary.second == summary.seeds:
        found += [f"state {name!r}: never reached" for name in BUSY if not summary.states[name]]
    if len(summary.digests) < summary.seeds:
        found.append("two seeds are one run")
    return found


def reached(summary: Summary) -> Iterable[str]:
    """Lines for people: the states and how often each was reached."""
    return (f"{summary.states[name]:>8} {name}" for name in STATES)
