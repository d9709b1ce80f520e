"""Market REST of the emulated venue: a path and a raw query to a result. No sockets."""

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import parse_qsl

from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.bars import Bars
from liqshell.emulator.market.candles import INTERVALS
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.public_frames import mixed
from liqshell.emulator.market.safety import COIN, POOL

MS = 1_000_000
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
            "time": self.time,
            "instruments-info": self.instruments,
            "tickers": self.tickers,
            "orderbook": self.orderbook,
            "recent-trade": self.trades,
            "kline": partial(self.kline, "bars"),
            "open-interest": self.open_interest,
            "mark-price-kline": partial(self.kline, "mark"),
            "index-price-kline": partial(self.kline, "index"),
            "premium-index-price-kline": partial(self.kline, "premium"),
            "funding/history": self.funding,
            "risk-limit": self.risk_limit,
            "price-limit": self.price_limit,
            "account-ratio": self.account_ratio,
            "insurance": self.insurance,
        }

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
        return {"category": category, "list": infos[first : first + limit], "nextPageCursor": f"page{first + limit}" if left else ""}

    def tickers(self, query: Mapping[str, str], now_ns: int) -> object:
        """Full ticker of one symbol, or of all."""
        self._linear(query)
        states = [self._state(query)] if query.get("symbol") else list(self.states.values())
        return {"category": "linear", "list": [state.full_ticker(now_ns // MS) for state in states]}

    def orderbook(self, query: Mapping[str, str], now_ns: int) -> object:
        """The book: one level, as that is all the synthetic market has."""
        state = self._state(query)
        self._number(query, "limit", 25, 1, 1000)
        return {
            "s": state.contract.symbol,
            "b": [list(state.bid)] if state.bid else [],
            "a": [list(state.ask)] if state.ask else [],
            "ts": now_ns // 1_000_000,
            "u": state.u,
            "seq": state.seq,
            "cts": state.book_ms,
        }

    def trades(self, query: Mapping[str, str], now_ns: int) -> object:
        """Latest trades, newest first."""
        state = self._state(query)
        limit = self._number(query, "limit", 500, 1, 1000)
        rows = [state.trades[-1 - k] for k in range(min(limit, len(state.trades)))]
        return {
            "category": "linear",
            "list": [
                {
                    "execId": uid,
                    "symbol": state.contract.symbol,
                    "price": p,
                    "size": v,
                    "side": side,
                    "time": str(t),
                    "isBlockTrade": False,
                    "isRPITrade": False,
                    "seq": str(seq),
                }
                for t, side, v, p, uid, seq in rows
            ],
        }

    def kline(self, name: str, query: Mapping[str, str], now_ns: int) -> object:
        """Bars, newest first: with `start` alone the first ones from there, else the last ones. name: of the SymbolState's bars (trades, mark, index,
        or how far the mark is from the index, as a share)."""
        bars: Bars = getattr(self._state(query), name)
        interval = INTERVALS.get(query.get("interval", ""))
        if interval is None:
            raise Refused(BAD_PARAMETER, "params error: interval invalid, expected one of " + ", ".join(INTERVALS))
        start, end = (self._number(query, name, 0, 0, 1 << 62) if query.get(name) else None for name in ("start", "end"))
        found = bars.klines(interval, now_ns // MS, start, end, self._number(query, "limit", 200, 1, 1000))
        return {"category": "linear", "symbol": query["symbol"], "list": found}

    def _span(self, query: Mapping[str, str], last_ms: int, step_ms: int, limit: int) -> list[int]:
        """Multiples of step_ms within startTime and endTime, newest first, at most `limit`; of a generated market, as far as its past goes."""
        state = self._state(query)
        end = min(self._number(query, "endTime", last_ms, 0, 1 << 62), last_ms)
        start = self._number(query, "startTime", 0, 0, 1 << 62)
        known = state.bars.rows(86_400_000, last_ms, limit=1_000)
        start = max(start, int(known[0, 0]) if len(known) else last_ms)
        top = end - end % step_ms
        return [ts for ts in range(top, top - limit * step_ms, -step_ms) if ts >= start]

    def funding(self, query: Mapping[str, str], now_ns: int) -> object:
        """The funding of the past, at the rate in force, newest first. A start without an end is refused, as the venue says."""
        state = self._state(query)
        if query.get("startTime") and not query.get("endTime"):
            raise Refused(BAD_PARAMETER, "params error: startTime without endTime")
        rate = state.ticker.get("fundingRate", "0.0001")
        times = self._span(query, now_ns // MS, FUNDING_MS, self._number(query, "limit", 200, 1, 200))
        return {
            "category": "linear",
            "list": [{"symbol": state.contract.symbol, "fundingRate": rate, "fundingRateTimestamp": str(ts)} for ts in times],
        }

    def account_ratio(self, query: Mapping[str, str], now_ns: int) -> object:
        """Shares of accounts that are long and short, made up like the market: about even."""
        state = self._state(query)
        period = OPEN_INTEREST_MS.get(query.get("period", ""))
        if period is None:
            raise Refused(BAD_PARAMETER, "params error: period invalid, expected one of " + ", ".join(OPEN_INTEREST_MS))
        limit, before = self._number(query, "limit", 50, 1, 500), query.get("cursor", "").removeprefix("before")
        asked = {**query, "endTime": str(int(before) - 1)} if before.isdigit() else query
        times, symbol, rows = self._span(asked, now_ns // MS, period, limit), state.contract.symbol, []
        for ts in times:
            long = 4_500 + mixed(*symbol.encode(), ts) % 1_001
            rows.append({"symbol": symbol, "buyRatio": f"{long / 1e4:.4f}", "sellRatio": f"{1.0 - long / 1e4:.4f}", "timestamp": str(ts)})
        return {"list": rows, "nextPageCursor": f"before{times[-1]}" if len(times) == limit else ""}

    def insurance(self, query: Mapping[str, str], now_ns: int) -> object:
        """The pool that all contracts share."""
        rows = [{"coin": COIN, "symbols": ",".join(self.states), "balance": f"{POOL:.8f}", "value": f"{POOL:.8f}"}]
        day = now_ns // MS // 86_400_000 * 86_400_000  # a shared pool is told once a day
        return {"updatedTime": str(day), "list": rows if query.get("coin", "") in ("", COIN) else []}

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
        return {
            "category": "linear",
            "nextPageCursor": "",
            "list": [
                {
                    "id": k + 1,
                    "symbol": state.contract.symbol,
                    "riskLimitValue": "2000000",
                    "isLowestRisk": 1,
                    "mmDeduction": "",
                    "maintenanceMargin": f"{state.contract.maintenance_bps / 1e4:g}",
                    "initialMargin": f"{1 / state.contract.leverage_max:g}",
                    "maxLeverage": f"{state.contract.leverage_max}.00",
                }
                for k, state in enumerate(states)
            ],
        }

    def price_limit(self, query: Mapping[str, str], now_ns: int) -> object:
        """The highest bid and the lowest ask that are accepted: 5 % around the mark."""
        state = self._state(query)
        mark, decimals = float(state.ticker.get("markPrice") or 0.0), state.contract.price_decimals
        return {
            "symbol": state.contract.symbol,
            "buyLmt": f"{mark * 1.05:.{decimals}f}",
            "sellLmt": f"{mark * 0.95:.{decimals}f}",
            "ts": str(now_ns // 1_000_000),
        }
