"""`liqcore serve` on this machine: live reads beside FastAPI that serves the same values, and history from kept states. `python -m benches.service`.

Each server is a process of its own, asked over kept connections by one client process that does as little as it can; they take turns, round after
round. History is 1,000 moments over two million events of three days: by the walk of `liqcore features` over a store whose columns are made, and through
the API once the states of every quarter of an hour are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

import liqcore as lc

ROOT = Path(__file__).parents[1]
NAMES = ("liquidations.liq_imbalance@15m:zscore", "flow.ofi@5m:zscore", "funding.funding_avg@1h")
T0, DAY = 1_770_595_200 * lc.SECOND, 86_400 * lc.SECOND
EVENTS, DAYS, MOMENTS, CONNECTIONS, ROUNDS = 2_000_000, 3, 1000, 16, 3


def market(rows: int, seed: int, start: int, span: int) -> np.ndarray:
    """Trades, quotes, liquidations and tickers of one contract, in order of receipt."""
    rng = np.random.default_rng(seed)
    out = np.zeros(rows, lc.EVENT_DTYPE)
    out["ts_recv"] = out["ts_event"] = start + np.sort(rng.integers(0, span // 1_000_000, rows)) * 1_000_000
    kinds = (lc.Kind.TRADE, lc.Kind.BBO, lc.Kind.LIQUIDATION, lc.Kind.TICKER)
    out["kind"] = rng.choice([int(kind) for kind in kinds], rows, p=[0.5, 0.4, 0.07, 0.03])
    mid = 6_000_000 + np.cumsum(rng.integers(-2, 3, rows))
    out["price"], out["qty"], out["id"] = mid / 100, rng.integers(1, 5000, rows) / 1000, np.arange(1, rows + 1) + seed * 10_000_000
    traded = np.isin(out["kind"], [int(lc.Kind.TRADE), int(lc.Kind.LIQUIDATION)])
    out["side"][traded] = rng.choice([-1, 1], traded.sum())
    book, ticker = out["kind"] == int(lc.Kind.BBO), out["kind"] == int(lc.Kind.TICKER)
    out["aux_price"][book], out["aux_qty"][book] = (mid[book] + 1) / 100, rng.integers(1, 5000, book.sum()) / 1000
    out["aux_price"][ticker], out["aux_qty"][ticker] = out["price"][ticker], 1e-4
    return out


class _Reading:
    """One .npy of a contract, as the importer reads files."""

    format, received, notes, rules = "npy", "recorded", (), {}

    def __init__(self, path: Path):
        self._path, self.counts = path, {}

    def __enter__(self):
        return self

    def __exit__(self, *why):
        pass

    def __iter__(self):
        rows = np.load(self._path)
        for low in range(0, len(rows), 65_536):
            yield "bybit", "BTCUSDT", rows[low : low + 65_536]


def make_store(folder: Path, events: int) -> Path:
    from liqshell.store import importer

    files = []
    for day in range(DAYS):
        files.append(folder / f"{day}.npy")
        np.save(files[-1], market(events // DAYS, day + 1, T0 + day * DAY, DAY))
    importer.run(folder / "store", files, _Reading)
    return folder / "store"


# ---- servers ----

RIVAL = """
import sys
from pathlib import Path
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
import liqcore as lc
from liqshell.research import feature_rows

store, token, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
data = feature_rows.open_data([Path(store)])
features = lc.Features(names, data.instruments)
for part in data.parts:
    features.push(part)
features.table(data.end)
app = FastAPI()

def key(given: HTTPAuthorizationCredentials = Depends(HTTPBearer())):
    if given.credentials != token:
        raise HTTPException(401)

@app.get("/v1/features/live")
async def live(asset: str, features_: str = "", who: None = Depends(key)):
    n = next(k for k, i in enumerate(data.instruments) if i.asset == asset)
    asked = names
    return {"as_of_ns": data.end, "asset": asset, "contract": data.instruments[n].key,
            "features": {name: {"value": features.read(name, n), "unit": "x", "completeness": "full"} for name in asked}}

config = uvicorn.Config(app, port=int(sys.argv[4]), loop="uvloop", http="httptools", access_log=False, log_config=None)
uvicorn.Server(config).run()
"""


def start(command: list[str], port: int) -> subprocess.Popen:
    """Until it takes connections."""
    import socket

    process = subprocess.Popen(command, cwd=ROOT, env=None, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        if process.poll() is not None:
            raise SystemExit(f"{command[:4]} ended with {process.returncode}")
        time.sleep(0.05)
    raise SystemExit("a server does not listen")


class _Client(asyncio.Protocol):
    """One kept connection: the next request when the answer is whole."""

    def __init__(self, request: bytes, until: float, times: list[float]):
        self.request, self.until, self.times, self.done, self.held = request, until, times, asyncio.Event(), b""

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data):
        self.held += data
        head = self.held.find(b"\r\n\r\n")
        if head < 0:
            return
        length = int(self.held[:head].lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self.held) < head + 4 + length:
            return
        assert self.held.startswith(b"HTTP/1.1 200"), self.held[:300]
        self.held = b""
        now = time.perf_counter()
        self.times.append(now - self.began)
        if now < self.until:
            self.ask()
        else:
            self.transport.close()
            self.done.set()


async def load(port: int, request: bytes, seconds: float, connections: int) -> list[float]:
    """Time of each answer."""
    loop, times = asyncio.get_running_loop(), []
    until = time.perf_counter() + seconds
    clients = [(await loop.create_connection(lambda: _Client(request, until, times), "127.0.0.1", port))[1] for _ in range(connections)]
    await asyncio.gather(*(client.done.wait() for client in clients))
    return times


def live(store: Path, folder: Path, seconds: float) -> dict:
    """Requests a second of both, in turns."""
    import uvloop

    from liqshell.service import keys

    token = keys.new(folder / "state", tuple(keys.SCOPES), "now")
    rival = folder / "rival.py"
    rival.write_text(RIVAL)
    ours = start(
        [
            sys.executable,
            "-m",
            "liqshell",
            "serve",
            str(store),
            "--state",
            str(folder / "state"),
            "--port",
            "8731",
            "--live-limit",
            "0",
            "--features",
            ",".join(NAMES),
        ],
        8731,
    )
    theirs = start([sys.executable, "-P", str(rival), str(store), token, ",".join(NAMES), "8732"], 8732)
    found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "fastapi": []}
    try:
        for _ in range(ROUNDS):
            for name, port in (("ours", 8731), ("fastapi", 8732)):
                request = (
                    f"GET /v1/features/live?asset=BTC&features={','.join(NAMES)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                    f"Authorization: Bearer {token}\r\n\r\n"
                ).encode()
                uvloop.run(load(port, request, 0.3, 1))
                alone = uvloop.run(load(port, request, seconds / 2, 1))
                many = uvloop.run(load(port, request, seconds, CONNECTIONS))
                found[name].append((len(many) / seconds, statistics.median(alone) * 1e6, sorted(alone)[int(len(alone) * 0.99)] * 1e6))
    finally:
        ours.terminate()
        theirs.terminate()
        ours.wait()
        theirs.wait()
    return {
        name: {"requests_per_s": max(r[0] for r in rows), "p50_us": min(r[1] for r in rows), "p99_us": min(r[2] for r in rows)}
        for name, rows in found.items()
    }


def history(store: Path, folder: Path) -> dict:
    """Seconds of 1,000 moments: each way in turns, the best of the rounds; and of one moment."""
    from liqshell.research import feature_rows
    from liqshell.service import keys

    token = keys.new(folder / "state", tuple(keys.SCOPES), "now")
    rng = np.random.default_rng(1)
    data = feature_rows.open_data([store])
    times = np.unique(rng.integers(data.start, data.end, MOMENTS))
    server = start(
        [sys.executable, "-m", "liqshell", "serve", str(store), "--state", str(folder / "state"), "--port", "8733", "--history-limit", "0"], 8733
    )

    def ask(at: list[int], accept: str = "application/json") -> tuple[float, bytes]:
        body = json.dumps({"asset": "BTC", "features": NAMES, "at": at}).encode()
        request = urllib.request.Request(
            "http://127.0.0.1:8733/v1/features/historical",
            body,
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": accept},
        )
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=120) as answer:
            return time.perf_counter() - began, answer.read()

    try:
        first, _ = ask(times.tolist())
        walks, asked, plain, single = [], [], [], []
        for n in range(ROUNDS * 2):
            began = time.perf_counter()
            rows = feature_rows.rows_of(NAMES, feature_rows.open_data([store]), times)
            walks.append(time.perf_counter() - began)
            fresh = np.unique(rng.integers(data.start, data.end, MOMENTS)) if n else times
            took, body = ask(fresh.tolist())
            asked.append(took)
            plain.append(ask(fresh.tolist(), "application/vnd.apache.arrow.stream")[0])
            if not n:
                columns = json.loads(body)["columns"]
                same = all(np.array_equal(np.array(columns[name], float), rows.values[:, 0, k], equal_nan=True) for k, name in enumerate(NAMES))
                assert same, "the API and the walk differ"
            single += [ask([int(ts)])[0] for ts in fresh[:50]]
    finally:
        server.terminate()
        server.wait()
    return {
        "walk_s": min(walks),
        "api_first_s": first,
        "api_s": min(asked),
        "api_median_s": statistics.median(asked),
        "api_arrow_s": min(plain),
        "one_moment_ms": statistics.median(single) * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.service")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--events", type=int, default=EVENTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder, options.events)
        found = {"history": history(store, folder), "live": live(store, folder, options.seconds)}
    found["live"]["ratio"] = found["live"]["ours"]["requests_per_s"] / found["live"]["fastapi"]["requests_per_s"]
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
