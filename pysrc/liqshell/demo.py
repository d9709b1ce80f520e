"""`liqcore demo`: a loopback venue in its own process, live trading against it, the report, and the replay that verifies it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from liqshell import private
from liqshell.clock import NS, Clock
from liqshell.config.load import Config, loads
from liqshell.errors import ConfigError, VenueError
from liqshell.live import Session
from liqshell.live.account import UNBEGUN, LiveAccount
from liqshell.live.keys import KEY, SECRET, load_keys
from liqshell.recording import journal
from liqshell.run import replay

READY_TIMEOUT_S = 60.0
GRACE_S = 10.0  # for a run to end by itself behind the end of its market
LEAD_S = 1.0  # below the second after which a connection that is silent counts as lost (live/stream.py)
NEWS_KEY = "LIQCORE_NEWS_KEY"
JUDGE_S = 2.0  # of the wall, for an answer of the judge on loopback
SPEED, HOURS = 120.0, 2.0  # about a minute; slow enough that an order's way over sockets stays far below the market's own times


class Needs(NamedTuple):
    """Conditions that a preset waits for and that are rare in the real market: the generated one has them. The preset's numbers stay its own."""

    scale: float = 1.0  # emulate --scale
    funding: float = 1e-4  # emulate --funding
    hours: float = HOURS
    long_share: float = 0.55  # emulate --long-share
    why: str = ""
    seed: int = 9  # emulate --seed: a market whose first cascade comes after eleven minutes


NEEDS = {
    "momentum": Needs(40.0, 3e-4, 6.0, why="it waits for more than $5M of one side in 90 s, and elevated funding"),
    "cascade-fade": Needs(40.0, why="it waits for a cascade of more than $5M"),
    "trend": Needs(hours=8.0, why="it learns for hours, and trades rarely"),
    "zone": Needs(hours=8.0, why="it waits for the price to return to levels of many liquidations"),
    # most 15 minutes have liquidations of one side only, so that the imbalance is near -1 or +1: one of longs is unusual where most are of shorts
    "reversal": Needs(
        1.0, -1e-4, 10.0, 0.03, "it waits for negative funding and for liquidated longs in a market of mostly shorts, and learns for hours", seed=1
    ),
}

#: of momentum, base units: on the generated market about as much money as its preset's 0.1 of a BTC
SIZES = {"ETHUSDT": 3.4, "SOLUSDT": 76, "XRPUSDT": 4_857, "DOGEUSDT": 71_580}


@dataclass(frozen=True)
class Plan:
    """The plan of a demo. hours: market hours of the generated market; speed: market seconds in a second; from_: recordings instead of it. paper: the
    simulated venue of this process instead of an account at the loopback venue. scale, funding, long_share: of the generated market, see NEEDS.
    venues: beside bybit, whose feeds are read too. judge: "stub" = a model and news on loopback are asked before each entry, "" = no judge."""

    folder: Path
    seed: int = 1
    speed: float = SPEED
    hours: float = HOURS
    from_: tuple[Path, ...] = ()
    preset: str = "fade"
    paper: bool = False
    venues: tuple[str, ...] = ()
    scale: float = 1.0
    funding: float = 1e-4
    long_share: float = 0.55
    judge: str = ""


@contextlib.asynccontextmanager
async def emulator(plan: Plan) -> AsyncIterator[dict[str, Any]]:
    """The loopback venue as a child process; yields its JSON line."""
    # -P: the current folder must not shadow the installed package (a checkout holds a liqcore/ without compiled modules)
    command = [
        sys.executable,
        "-P",
        "-m",
        "liqshell",
        "emulate",
        "--seed",
        str(plan.seed),
        "--speed",
        str(plan.speed),
        "--lead-s",
        str(LEAD_S),
        "--parent",
        str(os.getpid()),
        "--venues",
        ",".join(("bybit", *plan.venues)),
    ]
    command += (
        ["--from", *map(str, plan.from_)]
        if plan.from_
        else ["--hours", str(plan.hours + 1.0), "--scale", str(plan.scale), "--funding", str(plan.funding), "--long-share", str(plan.long_share)]
    )
    command += ["--judge", "--news"] if plan.judge else []
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stderr is not None
        try:
            line = await asyncio.wait_for(child.stdout.readline(), READY_TIMEOUT_S)
            ready = json.loads(line)
        except (TimeoutError, ValueError):
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            why = (await child.stderr.read()).decode(errors="replace").strip()
            raise VenueError("loopback market", why or "it did not start", "one JSON line") from None
        yield ready
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.communicate(), 5.0)
        if child.returncode is None:
            child.kill()
            await child.wait()


def configure(plan: Plan, ready: dict[str, Any], state: str = "") -> Config:
    """Trading of the plan's preset on everything the market offers; state: folder for what a live run keeps, "" = paper. Ages are
    limited in market time, and a market that runs faster than the wall makes everything on this machine look older: those two limits grow with the
    speed, the others are the preset's."""
    age_s = max(2.0, 0.1 * plan.speed)
    others = "".join(
        f"[feeds.{name}]\nrest = {json.dumps(one['rest'])}\nws = {json.dumps(one['ws'])}\nsymbols = {json.dumps(one['symbols'])}\n"
        for name, one in ready.get("venues", {}).items()
        if name != "bybit"
    )
    sizes = "".join(
        f"[policy.symbols.{symbol}.parameters]\nsize = {SIZES[symbol]}\n"
        for symbol in ready["symbols"]
        if plan.preset == "momentum" and symbol in SIZES
    )
    asks, judge = _judge(plan, ready) if plan.judge else ("", "")
    return loads(
        f"""
[run]
name = "demo"
seed = {plan.seed}
mode = {json.dumps("live" if state else "paper")}
out = {json.dumps(state or "runs")}
[feed]
rest = {json.dumps(ready["rest"])}
ws = {json.dumps(ready["ws"])}
symbols = {json.dumps(ready["symbols"])}
{others}
[policy]
preset = {json.dumps(plan.preset)}
{asks}
{sizes}
{judge}
[limits]
data_age_max_s = {age_s}
event_age_max_s = {age_s}
[live]
watchdog = false
""",
        "demo",
    )


def _judge(plan: Plan, ready: dict[str, Any]) -> tuple[str, str]:
    """The judge's keys of [policy] on loopback, and its sections. Two seconds of the wall for an answer, whatever the market's speed is."""
    return (
        f"judge_s = {JUDGE_S * plan.speed}",
        f"""
[judge]
kind = "openai"
base_url = {json.dumps(ready["judge"])}
model = "stub"
questions_minute = 10000
[news]
brave = true
brave_url = {json.dumps(ready["news"])}
announcements = true
announcements_url = {json.dumps(ready["news"])}
feeds = [{json.dumps(ready["news"] + "/rss")}]
""",
    )


@contextlib.contextmanager
def account(plan: Plan, ready: dict[str, Any]) -> Iterator[tuple[Config, LiveAccount | None]]:
    """The configuration of the run, and its side of the account: keys as any run finds them, in the environment, of this process only."""
    if plan.paper:
        yield configure(plan, ready), None
        return
    with tempfile.TemporaryDirectory(prefix="liqcore-demo-state-") as state, environment(**{KEY: ready["api_key"], SECRET: ready["api_secret"]}):
        config = configure(plan, ready, state)
        keys = load_keys(config.feed.environment, {name: os.environ[name] for name in (KEY, SECRET)})
        yield config, LiveAccount(config, keys)


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables of this process, as any run finds its keys, until the end."""
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


async def run(plan: Plan, progress: Callable[[Session, float], None] | None = None) -> dict[str, Any]:
    """Run the demo's market and the live path; the manifest. progress(session, share done) is called ten times a second. ConfigError where the market
    was over before the run could begin."""
    async with emulator(plan) as ready:
        clock = Clock.from_dict(ready["clock"])
        start = clock.market_ns + int(LEAD_S * plan.speed * NS)
        until = None if plan.from_ else start + int(plan.hours * 3600 * NS)
        made = {"market_scale": plan.scale, "market_funding": plan.funding, "market_long_share": plan.long_share}
        labels = {
            "synthetic": ready["synthetic"],
            "market": ready["market"],
            "seed": ready["seed"],
            "market_seeds": [ready["seed"]] if ready["synthetic"] else [],
            **(made if ready["synthetic"] else {}),
        }
        with environment(**({NEWS_KEY: "loopback"} if plan.judge else {})), account(plan, ready) as (config, side):
            manifest = await _session(plan, Session(config, plan.folder, clock, labels, account=side), ready, start, until, progress)
        if ready["synthetic"]:
            private.write(plan.folder / journal.TRUTH, json.dumps(await _truth(ready["rest"], manifest["ended_ns"])))
    return manifest


async def _session(
    plan: Plan, session: Session, ready: dict[str, Any], start: int, until: int | None, progress: Callable[[Session, float], None] | None
) -> dict[str, Any]:
    watcher = asyncio.create_task(_stop_at_end(session, ready["rest"]) if until is None else _stop_after(session, until))
    slow = ConfigError(
        f"--speed {plan.speed:g}",
        "this machine is too slow: the market ended before the account was reconciled, so there was no trade",
        "a speed that this machine can sustain",
        f"Try --speed {min(SPEED, plan.speed / 4):g}",
    )

    def over() -> bool:
        return watcher.done() or until is not None and session.wire_clock.now_ns() >= until

    def show(session: Session) -> None:
        if progress is not None:
            elapsed = session.wire_clock.now_ns() - start
            progress(session, min(1.0, max(0.0, elapsed / (until - start))) if until else 0.0)

    try:
        manifest = await session.run(until, show)
        if over() and manifest.get("ended") == UNBEGUN:
            raise slow
        return manifest
    except VenueError:  # the market has gone, and with it the account that was to be asked
        if over():
            raise slow from None
        raise
    finally:
        watcher.cancel()


async def _stop_at_end(session: Session, rest: str) -> None:
    """A recording ends when the emulator has sent all of it, and has perhaps gone already."""
    async with aiohttp.ClientSession() as http:
        try:
            while True:
                await asyncio.sleep(0.05)
                async with http.get(rest + "/emulator/status", allow_redirects=False) as answer:
                    if (await answer.json()).get("finished"):
                        break
        except aiohttp.ClientError:
            pass
    session.stop()


async def _stop_after(session: Session, until: int) -> None:
    """A generated market is over at a time. A run that has begun ends there by itself; one that has not would continue to ask for an account."""
    while session.wire_clock.now_ns() < until:
        await asyncio.sleep(0.05)
    await asyncio.sleep(GRACE_S)
    session.stop()


async def _truth(rest: str, ended_ns: int) -> list[dict[str, Any]]:
    """The generator's own cascades that ended within the run; none where the market has died."""
    try:
        async with aiohttp.ClientSession() as http, http.get(rest + "/emulator/truth", allow_redirects=False) as answer:
            found: Sequence[dict[str, Any]] = (await answer.json())["cascades"]
    except aiohttp.ClientError:
        return []
    return [cascade for cascade in found if cascade["end_ns"] <= ended_ns]


def prove(folder: Path) -> replay.Verdict:
    """Replay the demo's own recording, and keep the verdict in its run.json."""
    verdict = replay.prove(folder)
    journal.update(folder, replay=verdict.as_dict())
    return verdict
