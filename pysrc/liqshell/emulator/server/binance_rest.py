"""REST answers of the emulated Binance USD-M about one contract. Field names: the venue's page of each path, 2026-07."""

from collections.abc import Callable, Mapping
from functools import partial

from liqshell.emulator.market import binance_frames as binance
from liqshell.emulator.market.public_frames import decimal_text
from liqshell.emulator.server.binance_public import BinanceLane

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FUNDING_MS = 8 * HOUR_MS
INTERVALS = {
    **{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR_MS for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
}
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
ORDER_PATHS = ("/fapi/v1/order", "/fapi/v1/order/test", "/fapi/v1/algoOrder")
Query = Mapping[str, str]


class Refused(Exception):
    """A request that the venue refuses; args = (HTTP status, code, msg)."""


def missing(name: str) -> Refused:
    """A parameter that must be there is not, or is not readable."""
    return Refused(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _number(query: Query, name: str, most: int = 1 << 62) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise missing(name)
    return min(int(text), most)


def order(path: str, query: Query) -> Refused:
    """The reason why an order is refused: its parameters, or else the missing key, because there are no keys here. Conditional orders have a path of
    their own since 2025-12-09."""
    kind = query.get("type", "")
    for name in ("symbol", "side", "type"):
        if not query.get(name):
            return missing(name)
    if path == "/fapi/v1/algoOrder":
        if kind in CONDITIONAL and kind != "TRAILING_STOP_MARKET" and not query.get("triggerPrice"):
            return missing("triggerPrice")
    elif kind in CONDITIONAL:
        return Refused(400, -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
    return Refused(401, -2015, "Invalid API-key, IP, or permissions for action")


def interest(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """openInterest."""
    return {"symbol": lane.contract.symbol, "openInterest": decimal_text(lane.interest, lane.contract.lot_decimals), "time": lane.ticker_ms or now_ms}


def premium(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """premiumIndex."""
    c, mark = lane.contract, binance.price_text(lane.contract, lane.mark)
    return {
        "symbol": c.symbol,
        "markPrice": mark,
        "indexPrice": binance.price_text(c, lane.index_price),
        "estimatedSettlePrice": mark,
        "lastFundingRate": binance.rate_text(lane.funding),
        "interestRate": "0.00010000",
        "nextFundingTime": (now_ms // FUNDING_MS + 1) * FUNDING_MS,
        "time": lane.ticker_ms or now_ms,
    }


def depth(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """depth: one level."""
    bid, ask = lane.texts()
    return {"lastUpdateId": lane.update_id, "E": now_ms, "T": lane.quote_ms, "bids": [bid] if lane.bid else [], "asks": [ask] if lane.ask else []}


def book_ticker(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """ticker/bookTicker."""
    bid, ask = lane.texts()
    return {
        "symbol": lane.contract.symbol,
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        "time": lane.quote_ms,
        "lastUpdateId": lane.update_id,
    }


def price(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """ticker/price."""
    return {"symbol": lane.contract.symbol, "price": binance.price_text(lane.contract, lane.last), "time": lane.trade_ms or now_ms}


def day(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """ticker/24hr, as it follows from the candles. Trades are counted from the start of the market: of its made-up past there are candles only."""
    c = lane.contract
    out: dict[str, object] = {
        "symbol": c.symbol,
        "lastPrice": binance.price_text(c, lane.last),
        "closeTime": now_ms,
        "openTime": now_ms - now_ms % MINUTE_MS - DAY_MS + MINUTE_MS,
    }
    if not lane.bars.known:
        return out
    found, last = lane.bars.day(now_ms), lane.last / c.tick_power
    prices = {
        "openPrice": found.before,
        "highPrice": found.high,
        "lowPrice": found.low,
        "priceChange": last - found.before,
        "weightedAvgPrice": found.turnover / found.volume if found.volume else last,
    }
    return (
        out
        | {name: f"{value:.{c.price_decimals}f}" for name, value in prices.items()}
        | {
            "priceChangePercent": f"{(last / found.before - 1.0) * 100.0:.3f}",
            "lastQty": binance.qty_text(c, lane.prints[-1][2]),
            "volume": f"{found.volume:.{c.lot_decimals}f}",
            "quoteVolume": f"{found.turnover:.2f}",
            "firstId": lane.first_id,
            "lastId": lane.trade_id,
            "count": lane.trade_id - lane.first_id + 1,
        }
    )


def trades(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """trades: of the last moment with trades; more is not kept."""
    c = lane.contract
    return [
        {
            "id": lane.trade_id - k,
            "price": binance.price_text(c, ticks),
            "qty": binance.qty_text(c, lots),
            "quoteQty": f"{ticks / c.tick_power * lots / c.lot_power:.2f}",
            "time": lane.trade_ms,
            "isBuyerMaker": side < 0,
        }
        for k, (side, ticks, lots) in enumerate(reversed(lane.prints))
    ][::-1]


def aggregates(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """aggTrades: the last thousand are kept. From an id or a time on, the oldest first; else the latest."""
    limit, start, end, first = _number(query, "limit", 1_000) or 500, *(_number(query, name) for name in ("startTime", "endTime", "fromId"))
    found = [
        one
        for one in lane.kept
        if (first is None or int(str(one["a"])) >= first)
        and (start is None or int(str(one["T"])) >= start)
        and (end is None or int(str(one["T"])) <= end)
    ]
    return found[-limit:] if first is None and start is None else found[:limit]


def funding(lane: BinanceLane, now_ms: int, query: Query) -> object:
    """fundingRate: at the rate in force, oldest first, as far back as there are candles; with neither time the latest."""
    limit, start, end = _number(query, "limit", 1_000) or 100, _number(query, "startTime"), _number(query, "endTime")
    last = now_ms if end is None else min(end, now_ms)
    times = [int(row[0]) for row in lane.bars.rows(FUNDING_MS, now_ms, limit=1_000).tolist() if (start or 0) <= row[0] <= last]
    chosen = times[:limit] if start is not None else times[-limit:]
    out = []
    for ts in chosen:
        mark = lane.marks.klines(MINUTE_MS, now_ms, end=ts, limit=1)
        if mark:
            out.append({"symbol": lane.contract.symbol, "fundingTime": ts, "fundingRate": binance.rate_text(lane.funding), "markPrice": mark[0][1]})
    return out


def candles(lane: BinanceLane, now_ms: int, query: Query, marks: bool) -> object:
    """klines of the venue's own prices: how many trades, and who took, is not known of a minute: 1 trade, half of it bought. markPriceKlines: no
    quantities."""
    interval = INTERVALS.get(query.get("interval", ""))
    if not query.get("interval"):
        raise missing("interval")
    if interval is None:
        raise Refused(400, -1120, "Invalid interval.")
    limit, start, end = _number(query, "limit", 1_500) or 500, _number(query, "startTime"), _number(query, "endTime")
    if start is not None:  # the first that begins at it or later
        start += -start % interval
    bars = lane.marks if marks else lane.bars
    found = bars.klines(interval, now_ms, start, None if start is not None else end, limit)
    out: list[list[object]] = []
    for bar in reversed(found):
        begin = int(bar[0])
        if end is None or begin <= end:
            volume, turnover = (bar[5], bar[6]) if not marks else ("0", "0")
            half = (f"{float(volume) / 2.0:.{lane.contract.lot_decimals}f}", f"{float(turnover) / 2.0:.4f}") if not marks else ("0", "0")
            out.append([begin, *bar[1:5], volume, begin + interval - 1, turnover, 1, *half, "0"])
    return out


MAKERS: dict[str, Callable[[BinanceLane, int, Query], object]] = {
    "/fapi/v1/openInterest": interest,
    "/fapi/v1/premiumIndex": premium,
    "/fapi/v1/depth": depth,
    "/fapi/v1/ticker/bookTicker": book_ticker,
    "/fapi/v1/trades": trades,
    "/fapi/v1/klines": partial(candles, marks=False),
    "/fapi/v1/markPriceKlines": partial(candles, marks=True),
    "/fapi/v1/ticker/24hr": day,
    "/fapi/v1/ticker/price": price,
    "/fapi/v2/ticker/price": price,
    "/fapi/v1/aggTrades": aggregates,
    "/fapi/v1/fundingRate": funding,
}
OF_ALL = ("/fapi/v1/premiumIndex", "/fapi/v1/ticker/bookTicker", "/fapi/v1/ticker/24hr", "/fapi/v1/ticker/price", "/fapi/v2/ticker/price")
