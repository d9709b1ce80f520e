"""Two servers share one store and one state folder, and are killed in the middle of what they write. Every answer is right to the bit."""

import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from api_rig import DAY, NAMES, SECOND, T0, Oracle, bits, fill, market

SECONDS, SERVERS = 20.0, 2
PATIENCE_S = 300.0  # a server takes long to come up on a machine that has no time for it


class Server:
    """`liqcore serve` in a process of its own, on a port that it says."""

    def __init__(self, store, state):
        self._command = [
            sys.executable,
            "-m",
            "liqshell",
            "serve",
            str(store),
            "--port",
            "0",
            "--no-auth",
            "--state",
            str(state),
            "--live-limit",
            "0",
            "--history-limit",
            "0",
        ]
        self.begin()

    def begin(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ, text=True)
        self.address = self.process.stdout.readline().strip()

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
def test_two_servers_that_are_killed_answer_right(tmp_path):
    store = fill(tmp_path / "store", *(market(tmp_path / str(day), day, 3000) for day in range(3)))
    rng = random.Random(3)
    times = sorted({rng.randrange(T0 + SECOND, T0 + 3 * DAY - SECOND) for _ in range(300)})
    wanted = Oracle(store).at(times)
    servers, wrong, right = [Server(store, tmp_path / "state") for _ in range(SERVERS)], [], []
    kills, began = 0, time.monotonic()

    def goes_on():
        passed = time.monotonic() - began
        return passed < SECONDS or passed < PATIENCE_S and not (kills >= 2 and len(right) > 10)

    def ask(server, rng):
        moments, asset = rng.sample(times, 20), rng.choice(["BTC", "ETH"])
        body = json.dumps({"features": NAMES, "asset": asset, "at": moments}).encode()
        request = urllib.request.Request(f"{server.address}/v1/features/historical", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                columns = json.loads(answer.read())["columns"]
        except urllib.error.HTTPError as why:
            with why:
                wrong.append((why.code, why.read()[:200]))
            return
        except (OSError, ValueError):  # it was killed, or is not up yet
            time.sleep(0.05)
            return
        n = ["BTC", "ETH"].index(asset)
        wrong.extend(
            (name, ts) for k, ts in enumerate(moments) for j, name in enumerate(NAMES) if bits(columns[name][k]) != bits(float(wanted[ts][n, j]))
        )
        right.append(asset)

    def client(server, seed):
        own = random.Random(seed)
        while goes_on():
            ask(server, own)

    clients = [threading.Thread(target=client, args=(server, seed)) for seed, server in enumerate(servers * 2)]
    for one in clients:
        one.start()
    while goes_on():
        time.sleep(rng.uniform(0.2, 2.0) * (1 if kills < 10 else 5))
        server = rng.choice(servers)
        server.kill()
        server.begin()
        kills += 1
    for one in clients:
        one.join()
    for server in servers:
        server.kill()
    assert not wrong and kills >= 2 and len(right) > 10, (wrong[:3], kills, len(right))
