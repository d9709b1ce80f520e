"""Does a run feel who reads it? `python -m benches.readers`.

A paper run of five contracts goes on over loopback sockets, with its recording and its view page. In turns of some seconds nobody reads it, or
`liqcore serve` follows it with a hundred clients that stream and one request for history a second. The run's event loop is asked every millisecond how
late it is: that is what a frame would have waited. Both conditions are measured in the same run, and the replay of its recording must give its audit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

import liqcore as lc

ROOT = Path(__file__).parents[1]
CLIENTS, PORT, WARM_S = 100, 8797, 8.0
FEATURES = "liquidations.liq_imbalance@15m:zscore,flow.ofi@5m:zscore,price.last"

READERS = """
import asyncio, json, os, sys, time
os.nice(10)
port, clients, features = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
events = 0
async def stream():
    global events
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/features/stream?asset=BTC&features={features}&every=1s HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n".encode())
    while piece := await reader.read(1 << 16):
        events += piece.count(b"event: features")
async def past():
    body = json.dumps({"features": features.split(","), "asset": "BTC", "every": "10s", "start": int(time.time()) - 60, "end": int(time.time()) - 5})
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST /v1/features/historical HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\n"
                     f"Content-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
        await reader.read()
        writer.close()
        await asyncio.sleep(1)
async def tell():
    while True:
        await asyncio.sleep(1)
        print(events, flush=True)
async def main():
    await asyncio.gather(tell(), past(), *(stream() for _ in range(clients)))
asyncio.run(main())
"""


class Readers:
    """`liqcore serve` and its clients, in processes of their own."""

    def __init__(self, folder: Path, state: Path):
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"}
        self.server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "liqshell",
                "serve",
                str(folder),
                "--port",
                str(PORT),
                "--no-auth",
                "--state",
                str(state),
                "--live-limit",
                "0",
                "--history-limit",
                "0",
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        self.clients = subprocess.Popen([sys.executable, "-c", READERS, str(PORT), str(CLIENTS), FEATURES], stdout=subprocess.PIPE, text=True)

    def close(self) -> int:
        """Events that the clients got."""
        self.clients.kill()
        self.server.terminate()
        said = self.clients.communicate()[0].split()
        self.server.wait()
        return int(said[-1]) if said else 0


async def lateness(seconds: float) -> np.ndarray:
    """us, asked every millisecond."""
    late, clock = [], time.perf_counter  # the loop's own clock counts whole milliseconds
    end = clock() + seconds
    while (due := clock() + 0.001) < end:
        await asyncio.sleep(0.001)
        late.append(max(clock() - due, 0.0) * 1e6)
    return np.array(late)


async def turns(folder: Path, state: Path, rounds: int, seconds: float) -> dict[str, list[np.ndarray]]:
    from liqshell.config.load import loads
    from liqshell.emulator.server import Config, serve
    from liqshell.live import Session

    out: dict[str, list[np.ndarray]] = {"nobody": [], "readers": []}
    async with await serve(Config(seed=6, at_now=True)) as emulator:
        config = loads(
            f'[run]\nname = "read"\n[feed]\nrest = "{emulator.rest}"\nws = "{emulator.ws}"\n'
            'symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT"]\n[detector]\nwarmup = 30\n'
        )
        session = Session(config, folder, emulator.clock, {"synthetic": True})
        running = asyncio.create_task(session.run())
        await asyncio.sleep(WARM_S)
        for _ in range(rounds):
            out["nobody"].append(await lateness(seconds))
            readers = await asyncio.to_thread(Readers, folder, state)
            await asyncio.sleep(2.0)
            out["readers"].append(await lateness(seconds))
            events = await asyncio.to_thread(readers.close)
            print(f"  {events} events to {CLIENTS} clients", file=sys.stderr)
            assert events > CLIENTS
        session.stop()
        await running
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    import uvloop

    from liqshell.run import replay

    with tempfile.TemporaryDirectory() as scratch, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        folder = Path(scratch) / "run"
        found = runner.run(turns(folder, Path(scratch) / "state", arguments.rounds, arguments.seconds))
        same = replay.prove(folder).identical
    print(json.dumps({"load": os.getloadavg()[0], "replay identical": same, "liqcore": lc.__version__}))
    for name, rounds in found.items():
        for word, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
            each = [float(np.quantile(late, q)) for late in rounds]
            print(f"{name:8} {word:6} {np.median(each):9.0f} us   of {len(each)} rounds {min(each):.0f} to {max(each):.0f}")


if __name__ == "__main__":
    main()
