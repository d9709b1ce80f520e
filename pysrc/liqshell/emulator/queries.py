"""Market REST of the emulated venue: a path and a raw query to a result. No sockets."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from . import bybit
from .state import SymbolState

INTERVALS = {**{str(m): m * 60_000 for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}, "D": 86_400_000}
BAD_PARAMETER, UNKNOWN_ROUTE = 10001, 10017
CATEGORIES = ("linear", "inverse", "spot", "option")
OPEN_INTEREST_MS = {"5min": 300_000, "15min": 900_000, "30min": 1_800_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}
FUNDING_MS = 28_800_000


class Refused(Exception):
    """A request that the venue would refuse; args = (retCode, retMsg)."""


class MarketQueries:
    """What /v5/market/... answers about these symbols."""

    def __init__(self, states: Mapping[str, SymbolState]) -> None:
        self.states = states
        self._answers: dict[str, Callable[[Mapping[str, str], int], object]] = {
            "time": self.time, "instruments-info": self.instruments, "tickers": self.tickers, "orderbook": self.orderbook,
            "recent-trade": self.trades, "kline": self.kline, "open-interest": self.open_interest,
            "funding/history": self.funding, "risk-limit": self.risk_limit, "price-limit": self.price_limit}

    def __call__(self, path: str, query: str, now_ns: int) -> tuple[int, str, object]:
        """(retCode, retMsg, result) of a path below /v5/market/; nothing is raised."""
        answer = self._answers.get(path.removeprefix("/v5/market/"))
        if answer is None:
            return UNKNOWN_ROUTE, f"Route not found: {path}", {}
        try:
            return 0, "OK", answer(dict(parse_qsl(query, keep_blank_values=True)), now_ns)
        except Refused as error:
            code, message = error.args
            return code, message, {}

    def _state(self, query: Mapping[str, str]) -> SymbolState:
        self._linear(query)
        state = self.states.get(query.get("symbol", ""))
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

    def time(self, query: Mapping[str, str], now_ns: int) -> object:
        """Market time."""
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    def instruments(self, query: Mapping[str, str], now_ns: int) -> object:
        """Filters of each contract, paged by limit and cursor."""
        category = query.get("category", "")
        if category not in CATEGORIES:
            raise Refused(BAD_PARAMETER, "params error: category invalid")
        limit = self._number(query, "limit", 500, 1, 1000)
        infos = []
        if category == "linear" and query.get("status", "Trading") == "Trading":
            infos = [bybit.instrument_info(state.contract) for state in self.states.values()]
        for key, name in (("symbol", "symbol"), ("baseCoin", "baseCoin")):
            if query.get(key):
                infos = [info for info in infos if info[name] == query[key]]
        if query.get("symbol") and not infos and category == "linear" and query.get("status", "Trading") == "Trading":
            raise Refused(BAD_PARAMETER, "params error: symbol invalid " + query["symbol"])
        cursor = query.get("cursor", "")
        first = int(cursor.removeprefix("page")) if cursor.removeprefix("page").isdigit() else 0
        left = len(infos) > first + limit
        return {"category": category, "list": infos[first:first + limit], "nextPageCursor": f"page{first + limit}" if left else ""}

    def tickers(self, query: Mapping[str, str], now_ns: int) -> object:
        """Full ticker of one symbol, or of all."""
        self._linear(query)
        states = [self._state(query)] if query.get("symbol") else list(self.states.values())
        return {"category": "linear", "list": [state.full_ticker() for state in states]}

    def orderbook(self, query: Mapping[str, str], now_ns: int) -> object:
        """The book: one level, as that is all the synthetic market has."""
        state = self._state(query)
        self._number(query, "limit", 25, 1, 1000)
        return {"s": state.contract.symbol, "b": [list(state.bid)] if state.bid else [], "a": [list(state.ask)] if state.ask else [],
                "ts": now_ns // 1_000_000, "u": state.u, "seq": state.seq, "cts": state.book_ms}

    def trades(self, query: Mapping[str, str], now_ns: int) -> object:
        """Latest trades, newest first."""
        state = self._state(query)
        limit = self._number(query, "limit", 500, 1, 1000)
        rows = [state.trades[-1 - k] for k in range(min(limit, len(state.trades)))]
        return {"category": "linear", "list": [
            {"execId": uid, "symbol": state.contract.symbol, "price": p, "size": v, "side": side, "time": str(t), "isBlockTrade": False,
             "isRPITrade": False, "seq": str(seq)} for t, side, v, p, uid, seq in rows]}

    def kline(self, query: Mapping[str, str], now_ns: int) -> object:
        """Bars of what was traded since the start, newest first."""
        state = self._state(query)
        interval = INTERVALS.get(query.get("interval", ""))
        if interval is None:
            raise Refused(BAD_PARAMETER, "params error: interval invalid, expected one of " + ", ".join(INTERVALS))
        start, end = self._number(query, "start", 0, 0, 1 << 62), self._number(query, "end", 1 << 62, 0, 1 << 62)
        bars = state.klines(interval, start, end, self._number(query, "limit", 200, 1, 1000))
        return {"category": "linear", "symbol": state.contract.symbol, "list": bars}

    def funding(self, query: Mapping[str, str], now_ns: int) -> object:
        """The funding of the last moments, at the rate in force, newest first."""
        state = self._state(query)
        rate, last = state.ticker.get("fundingRate", "0.0001"), now_ns // 1_000_000 // FUNDING_MS * FUNDING_MS
        count = self._number(query, "limit", 200, 1, 200)
        return {"category": "linear", "list": [
            {"symbol": state.contract.symbol, "fundingRate": rate, "fundingRateTimestamp": str(last - k * FUNDING_MS)} for k in range(min(count, 3))]}

    def open_interest(self, query: Mapping[str, str], now_ns: int) -> object:
        """The open interest as it is, at the last full interval; of the time before the start nothing is known."""
        state = self._state(query)
        interval = OPEN_INTEREST_MS.get(query.get("intervalTime", ""))
        if interval is None:
            raise Refused(BAD_PARAMETER, "params error: intervalTime invalid, expected one of " + ", ".join(OPEN_INTEREST_MS))
        now_ms, found = now_ns // 1_000_000, state.ticker.get("openInterest")
        rows = [{"openInterest": found, "timestamp": str(now_ms - now_ms % interval)}] if found else []
        return {"category": "linear", "symbol": state.contract.symbol, "list": rows, "nextPageCursor": ""}

    def risk_limit(self, query: Mapping[str, str], now_ns: int) -> object:
        """One tier a symbol."""
        self._linear(query)
        states = [self._state(query)] if query.get("symbol") else list(self.states.values())
        return {"category": "linear", "nextPageCursor": "", "list": [
            {"id": k + 1, "symbol": state.contract.symbol, "riskLimitValue": "2000000", "isLowestRisk": 1, "mmDeduction": "",
             "maintenanceMargin": f"{state.contract.maintenance_bps / 1e4:g}", "initialMargin": f"{1 / state.contract.leverage_max:g}",
             "maxLeverage": f"{state.contract.leverage_max}.00"} for k, state in enumerate(states)]}

    def price_limit(self, query: Mapping[str, str], now_ns: int) -> object:
        """The highest bid and the lowest ask that are accepted: 5 % around the mark."""
        state = self._state(query)
        mark, decimals = float(state.ticker.get("markPrice") or 0.0), state.contract.price_decimals
        return {"symbol": state.contract.symbol, "buyLmt": f"{mark * 1.05:.{decimals}f}", "sellLmt": f"{mark * 0.95:.{decimals}f}",
                "ts": str(now_ns // 1_000_000)}
