"""For tests of `liqcore serve`: stores with a seeded market, the ASGI application asked without a socket, and a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import liqcore as lc
import store_files
from liqshell.service import keys
from liqshell.service.server import Options, application, server_of
from liqshell.service.sources import Library
from liqshell.store import importer

T0, DAY, HOUR, SECOND = store_files.T0, store_files.DAY, store_files.HOUR, store_files.SECOND
SCOPES = tuple(keys.SCOPES)
NAMES = (
    "liquidations.liq_imbalance@15m:zscore(4h,min=4)",
    "flow.ofi@5m:zscore(2h,min=4)",
    "funding.funding_avg@1h",
    "price.last",
    "liquidations.liq_volume@1m",
    "price.return@1h:lag(10m)",
    "BTC/flow.volume@1m:change(5m)",
)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def market(path: Path, day: int, rows: int = 1500, symbols=("BTCUSDT", "ETHUSDT"), seed: int = 0, start: int = 0) -> Path:
    """A file of one day of events of some contracts."""
    found = {
        f"bybit~{symbol}": store_files.market(rows, 100 * seed + 10 * day + n + 1, T0 + day * DAY + start, DAY - start, price=2000.0 + 100 * n)
        for n, symbol in enumerate(symbols)
    }
    return store_files.save(path, found)


def fill(store: Path, *files: Path) -> Path:
    assert not importer.run(store, list(files), store_files.opener, overlap=True).broken
    return store


class Oracle:
    """What features are at times, by pushing the events of a store up to each of them into new lc.Features: nothing of the service."""

    def __init__(self, store: Path, names=NAMES):
        from liqshell import store as stores

        tape = stores.open(store).tape(missing="gap")
        self.events, self.instruments, self.names = tape.events(), tape.instruments, tuple(names)

    def at(self, times) -> dict[int, np.ndarray]:
        """time -> values[instrument, name]"""
        features, out, done = lc.Features(self.names, self.instruments), {}, 0
        for ts in sorted(set(times)):
            stop = int(np.searchsorted(self.events["ts_recv"], ts, "right"))
            features.push(self.events[done:stop])
            out[ts], done = features.table(ts), stop
        return out


def bits(value) -> bytes:
    """Of a float, or of null."""
    return b"null" if value is None or value != value else np.float64(value).tobytes()


class Asked:
    """The application without sockets, on an event loop of its own."""

    def __init__(self, data: Path, state: Path, **options):
        pytest.importorskip("uvicorn")
        self.state = state
        self.token = keys.new(state, SCOPES, "now")
        self.library = Library(data, state)
        self.site = application(self.library, state, Options(**{"live_limit": 0, "history_limit": 0} | options))
        self.loop = asyncio.new_event_loop()
        self._running = self.site.run()
        self.loop.run_until_complete(self._running.__aenter__())

    def close(self):
        self.loop.run_until_complete(self._running.__aexit__(None, None, None))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.library.close()

    def ask(
        self, method: str, path: str, query: str = "", body: bytes | dict | None = None, headers: dict | None = None, key: str | None = ""
    ) -> Answer:
        return self.loop.run_until_complete(self.asking(method, path, query, body, headers, key))

    async def asking(self, method, path, query="", body=None, headers=None, key="") -> Answer:
        given = {"host": "127.0.0.1:8710"} | ({} if key is None else {"authorization": f"Bearer {key or self.token}"})
        given |= {"content-type": "application/json"} if isinstance(body, dict) else {}
        given |= headers or {}
        data = json.dumps(body).encode() if isinstance(body, dict) else body or b""
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode("ascii", "replace"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items() if value is not None],
        }
        sent, parts = [], [{"type": "http.request", "body": data}]

        async def receive():
            return parts.pop() if parts else await asyncio.Event().wait()  # a client that stays

        async def send(message):
            sent.append(message)

        await self.site(scope, receive, send)
        start, pieces = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, pieces)

    def history(self, **body) -> Answer:
        headers = body.pop("headers", None)
        return self.ask("POST", "/v1/features/historical", body=body, headers=headers)


@contextlib.contextmanager
def asked(data: Path, state: Path, **options) -> Iterator[Asked]:
    one = Asked(data, state, **options)
    try:
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def served(data: Path, state: Path, **options) -> Iterator[tuple[str, str]]:
    """A server on a free port of loopback: (address, key)."""
    pytest.importorskip("uvicorn")
    token, library = keys.new(state, SCOPES, "now"), Library(data, state)
    server = server_of(library, state, Options(port=0, **{"live_limit": 0, "history_limit": 0} | options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", token
    finally:
        server.should_exit = True
        thread.join()
        library.close()
