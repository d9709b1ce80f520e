"""The emulated venue's account model behind a plain HTTP port: enough of a venue for those who talk REST without an event loop, with faults by request.

The model is the real one (liqshell.emulator.exchange); signatures are checked against its account's secret.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqshell.emulator.exchange import Exchange, Settings
from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.contracts import BY_SYMBOL
from liqshell.venues.bybit.rest_requests import Request

KEY, SECRET = "canarykey000000001", "canarysecret9f8e7d6c5b4a39281706"
Fault = Callable[[str, str], Any]  # (method, path) -> None (nothing), "lose" (done, not answered), "down", (status, body, headers)


class LoopbackVenue:
    """A running venue with one account of 100,000 USDT. `requests`: (seconds since the start, method, path, status)."""

    def __init__(self, *symbols: str, price: float = 2000.0):
        self.contracts = tuple(BY_SYMBOL[symbol] for symbol in symbols or ("ETHUSDT", "SOLUSDT"))
        self.exchange = Exchange(self.contracts, Settings(), seed=1)
        self.account = self.exchange.open_account(KEY, SECRET, 100_000.0)
        self.requests: list[tuple[float, str, str, int]] = []
        self.fault: Fault | None = None
        self.clock_ahead_ms = 0
        self._lock = threading.Lock()
        self.begun = time.monotonic()
        for n, contract in enumerate(self.contracts):
            self.market(n, price if contract.symbol == "ETHUSDT" else contract.price)
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                venue.answer(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self) -> LoopbackVenue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- behind the venue's back ----

    def market(self, n: int, price: float) -> None:
        """Quotes around a price, a trade at it."""
        rows = np.zeros(3, lc.EVENT_DTYPE)
        now = time.time_ns()
        for row, (kind, first, second) in zip(
            rows, ((lc.Kind.TICKER, price, price), (lc.Kind.BBO, price - 0.01, price + 0.01), (lc.Kind.TRADE, price, 0.0)), strict=True
        ):
            row["ts_event"] = row["ts_recv"] = now
            row["kind"], row["instrument"], row["price"], row["aux_price"] = kind, n, first, second
            row["qty"] = row["aux_qty"] = 1000.0
            row["side"] = 1
            if kind == lc.Kind.TICKER:
                row["qty"] = row["aux_qty"] = 0.0
        with self._lock:
            self.exchange.on_events(rows)

    def ask(self, request: Request) -> dict[str, Any]:
        """A request of the account's owner, not over the wire; it must succeed."""
        code, text, result = self.exchange.rest(request.method, request.path, request.query, request.body.encode(), self.account, time.time_ns())
        assert code == 0, (code, text)
        return result

    def list(self, path: str, **query: str) -> list[dict[str, Any]]:
        text = "&".join(f"{key}={value}" for key, value in ({"category": "linear", "settleCoin": "USDT"} | query).items())
        code, why, result = self.exchange.rest("GET", path, text, b"", self.account, time.time_ns())
        assert code == 0, why
        return result["list"]

    @property
    def links(self) -> set[str]:
        """Our ids (the venue's where there are none) of the open orders."""
        return {row["orderLinkId"] or row["stopOrderType"] for row in self.list("/v5/order/realtime")}

    def position(self, symbol: str = "ETHUSDT") -> tuple[float, float]:
        """(signed size, stop-loss)."""
        (row,) = self.list("/v5/position/list", symbol=symbol)
        return float(row["size"]) * (-1 if row["side"] == "Sell" else 1), float(row["stopLoss"] or 0)

    # ---- the wire ----

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        path, _, query = handler.path.partition("?")
        fault = self.fault(handler.command, path) if self.fault else None
        status, answer, headers = 200, b"", {}
        if isinstance(fault, tuple):
            status, answer, headers = fault
        elif fault != "down":
            answer = self._serve(handler, path, query, body)
        self.requests.append((time.monotonic() - self.begun, handler.command, path, status if answer else 0))
        if fault in ("down", "lose"):
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(answer))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)

    def _serve(self, handler: BaseHTTPRequestHandler, path: str, query: str, body: bytes) -> bytes:
        now_ns = time.time_ns() + self.clock_ahead_ms * 1_000_000
        now_ms = now_ns // 1_000_000
        if path == "/v5/market/time":
            return bybit.envelope({"timeSecond": str(now_ns // 10**9), "timeNano": str(now_ns)}, now_ms)
        if path == "/v5/market/instruments-info":
            return bybit.envelope(
                {
                    "category": "linear",
                    "nextPageCursor": "",
                    "list": [bybit.instrument_info(c) for c in self.contracts if f"symbol={c.symbol}" in query or "symbol=" not in query],
                },
                now_ms,
            )
        stamp, window = handler.headers["X-BAPI-TIMESTAMP"], handler.headers["X-BAPI-RECV-WINDOW"]
        text = stamp.encode() + KEY.encode() + window.encode() + (query.encode() if handler.command == "GET" else body)
        if not hmac.compare_digest(hmac.new(SECRET.encode(), text, "sha256").hexdigest(), handler.headers["X-BAPI-SIGN"]):
            return bybit.envelope({}, now_ms, 10004, "error sign!")
        if not now_ms - int(window) <= int(stamp) < now_ms + 1000:
            return bybit.envelope({}, now_ms, 10002, "invalid request, please check your server timestamp or recv_window param")
        with self._lock:
            code, why, result = self.exchange.rest(handler.command, path, query, body, self.account, time.time_ns())
        return bybit.envelope(result, now_ms, code, why)


def ok(**result: object) -> tuple[int, bytes, dict[str, str]]:
    return 200, orjson.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 0}), {}


def refusal(code: int, text: str = "no", status: int = 200, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    return status, orjson.dumps({"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": 0}), headers
