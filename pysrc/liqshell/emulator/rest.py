"""Market REST of the emulated venue, and the emulator's own paths (/emulator/...), which no venue has."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from . import bybit
from .state import SymbolState

if TYPE_CHECKING:
    from .server import Emulator

LABEL = "X-Liqcore-Market"                           # SYNTHETIC or RECORDING on every answer
INTERVALS = {**{str(m): m * 60_000 for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}, "D": 86_400_000}
BAD_PARAMETER = 10001


class Refused(Exception):
    """A request that the venue would refuse; args = (retCode, retMsg)."""


class Rest:
    """Routes of one emulator."""

    def __init__(self, emulator: "Emulator") -> None:
        self.emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        """Everything served by http."""
        market = {"instruments-info": self.instruments, "tickers": self.tickers, "orderbook": self.orderbook,
                  "recent-trade": self.trades, "kline": self.kline, "time": self.time}
        return [*(web.get(f"/v5/market/{name}", self._venue(answer)) for name, answer in market.items()),
                web.get("/emulator/truth", self.truth), web.get("/emulator/status", self.status), web.post("/emulator/fault", self.fault)]

    def _venue(self, answer: Callable[[Mapping[str, str]], object]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            now_ms = self.emulator.clock.now_ns() // 1_000_000
            try:
                body = bybit.envelope(answer(request.query), now_ms)
            except Refused as error:
                body = bybit.envelope({}, now_ms, *error.args)
            return self._json(body)
        return handler

    def _json(self, body: bytes, status: int = 200) -> web.Response:
        return web.Response(body=body, status=status, content_type="application/json", headers={LABEL: self.emulator.label})

    def _state(self, query: Mapping[str, str]) -> SymbolState:
        self._linear(query)
        state = self.emulator.states.get(query.get("symbol", ""))
        if state is None:
            raise Refused(BAD_PARAMETER, "params error: symbol invalid " + query.get("symbol", ""))
        return state

    @staticmethod
    def _linear(query: Mapping[str, str]) -> None:
        if query.get("category", bybit.CATEGORY) not in ("linear",):
            raise Refused(BAD_PARAMETER, "params error: this emulator serves category linear only")

    @staticmethod
    def _number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
        text = query.get(name) or str(default)
        if not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise Refused(BAD_PARAMETER, f"params error: {name} invalid")
        return int(text)

    def time(self, query: Mapping[str, str]) -> object:
        """Market time."""
        now = self.emulator.clock.now_ns()
        return {"timeSecond": str(now // 1_000_000_000), "timeNano": str(now)}

    def instruments(self, query: Mapping[str, str]) -> object:
        """Filters of each contract, paged by limit and cursor."""
        category = query.get("category", "")
        if category not in ("linear", "inverse", "spot", "option"):
            raise Refused(BAD_PARAMETER, "params error: category invalid")
        limit = self._number(query, "limit", 500, 1, 1000)
        infos = []
        if category == "linear" and query.get("status", "Trading") == "Trading":
            infos = [bybit.instrument_info(state.contract) for state in self.emulator.states.values()]
        for key, name in (("symbol", "symbol"), ("baseCoin", "baseCoin")):
            if query.get(key):
                infos = [info for info in infos if info[name] == query[key]]
        if query.get("symbol") and not infos and category == "linear" and query.get("status", "Trading") == "Trading":
            raise Refused(BAD_PARAMETER, "params error: symbol invalid " + query["symbol"])
        cursor = query.get("cursor", "")
        first = int(cursor.removeprefix("page")) if cursor.removeprefix("page").isdigit() else 0
        left = len(infos) > first + limit
        return {"category": category, "list": infos[first:first + limit], "nextPageCursor": f"page{first + limit}" if left else ""}

    def tickers(self, query: Mapping[str, str]) -> object:
        """Full ticker of one symbol, or of all."""
        self._linear(query)
        states = [self._state(query)] if query.get("symbol") else list(self.emulator.states.values())
        return {"category": "linear", "list": [state.full_ticker() for state in states]}

    def orderbook(self, query: Mapping[str, str]) -> object:
        """The book: one level, as that is all the synthetic market has."""
        state = self._state(query)
        self._number(query, "limit", 25, 1, 1000)
        now_ms = self.emulator.clock.now_ns() // 1_000_000
        return {"s": state.contract.symbol, "b": [list(state.bid)] if state.bid else [], "a": [list(state.ask)] if state.ask else [],
                "ts": now_ms, "u": state.u, "seq": state.seq, "cts": state.book_ms}

    def trades(self, query: Mapping[str, str]) -> object:
        """Latest trades, newest first."""
        state = self._state(query)
        limit = self._number(query, "limit", 500, 1, 1000)
        rows = [state.trades[-1 - k] for k in range(min(limit, len(state.trades)))]
        return {"category": "linear", "list": [
            {"execId": uid, "symbol": state.contract.symbol, "price": p, "size": v, "side": side, "time": str(t), "isBlockTrade": False,
             "isRPITrade": False, "seq": str(seq)} for t, side, v, p, uid, seq in rows]}

    def kline(self, query: Mapping[str, str]) -> object:
        """Bars of what was traded since the start, newest first."""
        state = self._state(query)
        interval = INTERVALS.get(query.get("interval", ""))
        if interval is None:
            raise Refused(BAD_PARAMETER, "params error: interval invalid, expected one of " + ", ".join(INTERVALS))
        start, end = self._number(query, "start", 0, 0, 1 << 62), self._number(query, "end", 1 << 62, 0, 1 << 62)
        bars = state.klines(interval, start, end, self._number(query, "limit", 200, 1, 1000))
        return {"category": "linear", "symbol": state.contract.symbol, "list": bars}

    async def truth(self, request: web.Request) -> web.Response:
        """Ground truth of the generator: the cascades that have ended. Not part of the venue's API."""
        found = [asdict(cascade) for cascade in self.emulator.truth()]
        return self._json(orjson.dumps({"synthetic": self.emulator.synthetic, "cascades": found}))

    async def status(self, request: web.Request) -> web.Response:
        """Counters of the emulator, its clock and the faults so far."""
        return self._json(orjson.dumps(self.emulator.status()))

    async def fault(self, request: web.Request) -> web.Response:
        """POST a fault, or a list of them; see faults.KINDS."""
        try:
            specs = orjson.loads(await request.read())
            for spec in specs if isinstance(specs, list) else [specs]:
                self.emulator.faults.add(spec)
        except (orjson.JSONDecodeError, ValueError, TypeError) as error:
            return self._json(orjson.dumps({"error": str(error)}), 400)
        self.emulator.wake()
        await asyncio.sleep(0)
        return self._json(orjson.dumps({"ok": True}))
