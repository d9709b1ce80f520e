"""Live trading over real sockets against the emulated venue, in one process: what the tests of the live path share."""

import asyncio
import json

from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.live import Session
from liqshell.live.account import LiveAccount
from liqshell.recording import journal
from liqshell.run import replay
from liqshell.venues.bybit.signing import Keys

SPEED = 60.0
NS = 1_000_000_000


def configuration(rest, ws, out, symbols=("ETHUSDT", "SOLUSDT"), policy="entry_offset = 0.0003\n", record="", ca="", **limits):
    """A configuration that trades often: a short warm-up, every threshold fresh."""
    ages = {"data_age_max_s": 30.0, "event_age_max_s": 30.0, "daily_loss_max": 0.5, "weekly_loss_max": 0.5} | limits
    lines = "\n".join(f"{key} = {value}" for key, value in ages.items())
    return loads(
        f'[run]\nname = "test"\nmode = "live"\nout = {json.dumps(str(out))}\n[feed]\nrest = {json.dumps(rest)}\nws = {json.dumps(ws)}\nsymbols = {json.dumps(list(symbols))}\n{"ca = " + json.dumps(ca) if ca else ""}\n'
        f"[detector]\nrefresh_s = 0\nwarmup = 20\nquantile = 0.7\n[policy]\n{policy}[record]\n{record}\n"
        f"[live]\nwatchdog = false\n[limits]\n{lines}\n"
    )


async def trade(emulator, folder, out, minutes, *, policy="entry_offset = 0.0003\n", during=None, start_patience_s=300.0, rest=None, **account):
    """Trade for some market minutes; the session and its manifest. during(session): a coroutine beside it. rest: another way to the venue's REST."""
    place = emulator.ready().get("tls") or {"rest": emulator.rest, "ws": emulator.ws, "ca": ""}
    config = configuration(rest or place["rest"], place["ws"], out, tuple(emulator.states)[:3], policy, ca=place["ca"])
    key = emulator.keys[0]
    account = LiveAccount(config, Keys(key.key, key.secret), **account)
    session = Session(config, folder, emulator.clock, {"synthetic": True}, account=account, start_patience_s=start_patience_s)
    beside = asyncio.create_task(during(session)) if during else None
    try:
        manifest = await session.run(emulator.clock.now_ns() + int(minutes * 60 * NS))
    finally:
        if beside is not None:
            beside.cancel()
    return session, manifest


async def until_held(session):
    """Ends a run once the engine holds a position. How many minutes of the market that takes depends on how busy the machine is."""
    while session.pipeline is None or not any(session.pipeline.engine.bracket(n)["held"] for n in range(len(session.pipeline.engine.instruments))):
        await asyncio.sleep(0.01)
    session.stop()


def live(folder, minutes, *, seed=1, speed=SPEED, faults=(), venue=None, **options):
    """(session, manifest, audit, replay's verdict, the venue's truth) of one run against a venue of its own. venue: more of the emulator's Config."""

    async def main():
        async with await serve(Config(seed=seed, speed=speed, faults=tuple(faults), lead_s=0.3, **(venue or {}))) as emulator:
            session, manifest = await trade(emulator, folder, folder.parent, minutes, **options)
            return session, manifest, emulator.desk.exchange.truth(emulator.keys[0].account)

    session, manifest, truth = asyncio.run(main())
    return session, manifest, journal.load_audit(folder), replay.prove(folder), truth
