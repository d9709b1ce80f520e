"""`liqcore demo`: a loopback market in a process of its own, the live path against it, the report, and the replay that proves it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from liqshell import journal, replay
from liqshell.clock import NS, Clock
from liqshell.config import Config, loads
from liqshell.errors import VenueError
from liqshell.live import Session

READY_TIMEOUT_S = 60.0
LEAD_S = 1.5


@dataclass(frozen=True)
class Plan:
    """What to show. hours: market hours of the generated market; speed: market seconds in a second; from_: recordings instead of it."""

    folder: Path
    seed: int = 1
    speed: float = 240.0
    hours: float = 4.0
    from_: tuple[Path, ...] = ()
    preset: str = "fade"


@contextlib.asynccontextmanager
async def emulator(plan: Plan) -> AsyncIterator[dict[str, Any]]:
    """The loopback venue as a child process; yields its JSON line."""
    # -P: the current folder must not shadow the installed package (a checkout holds a liqcore/ without compiled modules)
    command = [sys.executable, "-P", "-m", "liqshell", "emulate", "--seed", str(plan.seed), "--speed", str(plan.speed), "--lead-s", str(LEAD_S),
               "--parent", str(os.getpid())]
    command += ["--from", *map(str, plan.from_)] if plan.from_ else ["--hours", str(plan.hours + 1.0)]
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


def configure(plan: Plan, ready: dict[str, Any]) -> Config:
    """Paper trading of the plan's preset on everything the market offers. Ages are limited in market time, and a market that runs faster than the
    wall makes everything on this machine look older: those two limits grow with the speed, the others are the preset's."""
    age_s = max(2.0, 0.1 * plan.speed)
    btc = '\n[policy.symbols.BTCUSDT]\npreset = "fade-btc"\n' if plan.preset == "fade" and "BTCUSDT" in ready["symbols"] else ""
    return loads(f"""
[run]
name = "demo"
seed = {plan.seed}
[feed]
rest = {json.dumps(ready["rest"])}
ws = {json.dumps(ready["ws"])}
symbols = {json.dumps(ready["symbols"])}
[policy]
preset = {json.dumps(plan.preset)}
{btc}
[limits]
data_age_max_s = {age_s}
event_age_max_s = {age_s}
""", "demo")


async def run(plan: Plan, progress: Callable[[Session, float], None] | None = None) -> dict[str, Any]:
    """Run the demo's market and the live path; the manifest. progress(session, share done) is called ten times a second."""
    async with emulator(plan) as ready:
        clock = Clock.from_dict(ready["clock"])
        start = clock.market_ns + int(LEAD_S * plan.speed * NS)
        until = None if plan.from_ else start + int(plan.hours * 3600 * NS)
        session = Session(configure(plan, ready), plan.folder, clock,
                          {"synthetic": ready["synthetic"], "market": ready["market"], "seed": ready["seed"]})
        watcher = asyncio.create_task(_stop_at_end(session, ready["rest"])) if plan.from_ else None

        def tell(session: Session) -> None:
            if progress is not None:
                elapsed = session.wire_clock.now_ns() - start
                progress(session, min(1.0, max(0.0, elapsed / (until - start))) if until else 0.0)

        try:
            manifest = await session.run(until, tell)
        finally:
            if watcher is not None:
                watcher.cancel()
        if ready["synthetic"]:
            (plan.folder / journal.TRUTH).write_text(json.dumps(await _truth(ready["rest"], manifest["ended_ns"])))
    return manifest


async def _stop_at_end(session: Session, rest: str) -> None:
    """A recording ends when the emulator has sent all of it, and has perhaps gone already."""
    async with aiohttp.ClientSession() as http:
        try:
            while True:
                await asyncio.sleep(0.05)
                async with http.get(rest + "/emulator/status") as answer:
                    if (await answer.json()).get("finished"):
                        break
        except aiohttp.ClientError:
            pass
    session.stop()


async def _truth(rest: str, ended_ns: int) -> list[dict[str, Any]]:
    """The generator's own cascades that ended within the run; none where the market has died."""
    try:
        async with aiohttp.ClientSession() as http, http.get(rest + "/emulator/truth") as answer:
            found: Sequence[dict[str, Any]] = (await answer.json())["cascades"]
    except aiohttp.ClientError:
        return []
    return [cascade for cascade in found if cascade["end_ns"] <= ended_ns]


def prove(folder: Path) -> replay.Verdict:
    """Replay the demo's own recording, and keep the verdict in its run.json."""
    verdict = replay.prove(folder)
    journal.update(folder, replay=verdict.as_dict())
    return verdict
