"""A whole market live: contracts of three emulated venues at once, recorded and watched by one process; nothing may be lost.

    python benches/whole_markets.py --contracts 200 --minutes 30

The emulator runs in a process of its own, with as many copies of its five contracts as are asked for, each offered by Bybit, Binance and OKX. The
live process takes all of them in by symbols = "all". What the venues have sent is compared with what was received, decoded and recorded. One JSON line.
"""

import argparse
import asyncio
import dataclasses
import json
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

VENUES = ("bybit", "binance", "okx")
LEAD_S = 5.0  # wall, to connect before the first frame


def emulate(count: int, share: float, minutes: float, pipe: Connection) -> None:
    """The emulator's process. share: trades of a copy beside its original's: the copies are the small contracts of a market."""
    from liqshell.emulator.market import contracts
    from liqshell.emulator.server import Config, serve

    names = []
    for n in range(count):
        one = contracts.CONTRACTS[n % len(contracts.CONTRACTS)]
        name = one.symbol if n < len(contracts.CONTRACTS) else f"{one.base}{chr(65 + n // 26 % 26)}{chr(65 + n % 26)}USDT"
        rate = 1.0 if n < len(contracts.CONTRACTS) else share
        contracts.BY_SYMBOL[name] = dataclasses.replace(one, symbol=name, trades_per_s=one.trades_per_s * rate)
        names.append(name)

    async def main() -> None:
        config = Config(
            seed=7,
            hours=minutes / 60.0,
            venues=VENUES,
            symbols=tuple(names),
            lead_s=LEAD_S,
            limit_factor=1000.0,
            parameters={"warmup_hours": 0.1},
            buffer_max=64 << 20,
        )
        async with await serve(config) as emulator:
            hubs = {"bybit": emulator.hub} | {one.name: one.hub for one in emulator.neighbours}
            first = dict.fromkeys(hubs, 0)

            def counting(name: str, made: Any) -> Any:
                def make(topic: str, ms: int) -> bytes | None:
                    frame: bytes | None = made(topic, ms)
                    first[name] += frame is not None and topic in hubs[name].wanted | hubs[name].topics
                    return frame

                return make

            for name, hub in hubs.items():
                hub.first_frame = counting(name, hub.first_frame)
            pipe.send(emulator.ready()["venues"])
            while not await asyncio.to_thread(pipe.poll, 1.0):
                pass
            usage = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(
                {
                    "sent": {name: hub.frames_sent + first[name] for name, hub in hubs.items()},
                    "cpu_s": usage.ru_utime + usage.ru_stime,
                    "lag_ms_max": emulator.lag_ns_max / 1e6,
                }
            )

    asyncio.run(main())


def configuration(places: dict[str, Any]) -> str:
    """Three venues whole."""
    text = '[run]\nname = "markets"\n'
    for n, name in enumerate(VENUES):
        text += f"[{'feeds.' + name if n else 'feed'}]\n" + (f'venue = "{name}"\n' if not n else "")
        text += f'rest = "{places[name]["rest"]}"\nws = "{places[name]["ws"]}"\nsymbols = "all"\nquote = "USDT"\nlist_every_s = 60\n'
    return text


async def watch(places: dict[str, Any], minutes: float, folder: Path) -> dict[str, Any]:
    """The live process: what it received (acknowledgements and pongs apart), and what it cost."""
    from liqshell.config.load import loads
    from liqshell.live import Session
    from liqshell.live.venue_clock import venue_clock

    config = loads(configuration(places))
    clock, labels = await venue_clock(config.feed.rest_url)
    session = Session(config, folder, clock, labels, trade=False)
    begun = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF)
    every: list[tuple[float, float]] = []

    def tell(one: Session) -> None:
        now = time.monotonic() - begun
        if not every or now - every[-1][0] >= 60.0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            every.append((now, pages * 4096 / 2**20))

    manifest = await session.run(session.wire_clock.now_ns() + int((minutes * 60 + LEAD_S + 8) * 1e9), tell)
    after = resource.getrusage(resource.RUSAGE_SELF)
    counters, spent = manifest["counters"], time.monotonic() - begun
    venues = counters["venues"]
    return {
        "minutes": round(spent / 60, 1),
        "contracts": sum(one["symbols"] for one in venues.values()),
        "connections": sum(len(one["connections"]) for one in venues.values()),
        "received": {
            name.removesuffix("_um"): sum(each["frames"] for each in one["connections"].values())
            - one["decode"].get("ack", 0)
            - one["decode"].get("pong", 0)
            for name, one in venues.items()
        },
        "events": counters["events"],
        "events_a_second": round(counters["events"] / spent),
        "reconnects": counters["reconnects"],
        "gaps": counters["gaps"],
        "recorded": counters["record"],
        "malformed": counters["decode"].get("malformed", 0),
        "cpu_share": round((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / spent, 3),
        "rss_mib_by_minute": [round(mib) for _, mib in every],
        "rss_mib_max": round(after.ru_maxrss / 1024),
        "latency": manifest["latency"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contracts", type=int, default=200, help="of each venue")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.1, help="trades of a copied contract beside its original's")
    given = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=emulate, args=(given.contracts, given.share, given.minutes, theirs), daemon=True)
    process.start()
    places = ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(watch(places, given.minutes, Path(folder) / "run"))
    ours.send(None)
    emulator = ours.recv()
    process.join(10.0)
    lost = {name: emulator["sent"][name] - count for name, count in found["received"].items()}
    print(json.dumps(found | {"emulator": emulator, "sent_less_received": lost}))


if __name__ == "__main__":
    main()
