"""The Binance USD-M public protocol as the venue writes it: streams, acknowledgements, REST answers. Pure functions, no clock, no socket.

Side of a forceOrder is that of the ORDER: a long that is closed by force is a SELL. st and ps stand beside `o` (st 1 = USD-M, 2 = COIN-M). Sources:
the venue's change log until 2026-07 and its page "Important WebSocket Change Notice".
"""

import orjson

from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.public_frames import decimal_text

LONG = 1
COIN_M_USD = {"BTC": 100}  # one contract of BTCUSD_PERP; others are 10 USD
# which root serves a stream: the part after the first @
PUBLIC_STREAMS = ("bookTicker", "depth", "trade")
MARKET_STREAMS = ("aggTrade", "markPrice", "forceOrder", "ticker", "miniTicker", "kline", "contractInfo")


def root_of(stream: str) -> str:
    """public or market: where the venue serves a stream since 2026-04-23; '' for a name that it does not know."""
    name = stream.removeprefix("!").partition("@")[0] if stream.startswith("!") else stream.partition("@")[2].partition("@")[0]
    if name.startswith(PUBLIC_STREAMS):
        return "public"
    return "market" if name.startswith(MARKET_STREAMS) else ""


def price_text(contract: Contract, ticks: int) -> str:
    """A price as the venue writes it."""
    return decimal_text(ticks * 10 ** (contract.price_decimals - contract.tick_decimals), contract.price_decimals)


def qty_text(contract: Contract, lots: int) -> str:
    """A quantity as the venue writes it."""
    return decimal_text(lots, contract.lot_decimals)


def agg_trade(symbol: str, event_ms: int, number: int, price: str, qty: str, first: int, last: int, trade_ms: int, sell: bool) -> bytes:
    """aggTrade; m: the buyer was the maker, so the taker sold. nq: quantity without retail price improvement."""
    return (
        f'{{"e":"aggTrade","E":{event_ms},"a":{number},"s":"{symbol}","p":"{price}","q":"{qty}","nq":"{qty}","f":{first},"l":{last},'
        f'"T":{trade_ms},"m":{"true" if sell else "false"}}}'
    ).encode()


def trade(symbol: str, event_ms: int, number: int, price: str, qty: str, trade_ms: int, sell: bool) -> bytes:
    """trade: every print."""
    return (
        f'{{"e":"trade","E":{event_ms},"T":{trade_ms},"s":"{symbol}","t":{number},"p":"{price}","q":"{qty}","X":"MARKET",'
        f'"m":{"true" if sell else "false"}}}'
    ).encode()


def book_ticker(symbol: str, update: int, bid: tuple[str, str], ask: tuple[str, str], ms: int) -> bytes:
    """bookTicker."""
    return (
        f'{{"e":"bookTicker","u":{update},"s":"{symbol}","ps":"{symbol}","b":"{bid[0]}","B":"{bid[1]}","a":"{ask[0]}","A":"{ask[1]}",'
        f'"T":{ms},"E":{ms},"st":1}}'
    ).encode()


def depth_update(symbol: str, ms: int, first: int, last: int, before: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    """depth: what changed since the update `before`."""
    return orjson.dumps({"e": "depthUpdate", "E": ms, "T": ms, "s": symbol, "U": first, "u": last, "pu": before, "b": bids, "a": asks})


def mark_price(symbol: str, ms: int, mark: str, index: str, rate: str, next_ms: int) -> bytes:
    """markPrice; ap: its moving average; P: estimated settlement."""
    return (
        f'{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}","p":"{mark}","ap":"{mark}","P":"{mark}","i":"{index}","r":"{rate}","T":{next_ms}}}'
    ).encode()


def force_order(symbol: str, pair: str, kind: int, event_ms: int, side: int, qty: str, price: str, average: str, trade_ms: int) -> bytes:
    """forceOrder; side: of the POSITION. kind: 1 = USD-M, 2 = COIN-M. price: the order's limit; average: what it was filled at."""
    return (
        f'{{"e":"forceOrder","E":{event_ms},"st":{kind},"ps":"{pair}","o":{{"s":"{symbol}","S":"{"SELL" if side == LONG else "BUY"}",'
        f'"o":"LIMIT","f":"IOC","q":"{qty}","p":"{price}","ap":"{average}","X":"FILLED","l":"{qty}","z":"{qty}","T":{trade_ms}}}}}'
    ).encode()


def wrapped(stream: str, payload: bytes) -> bytes:
    """A frame of a combined stream."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), payload)


def rate_text(rate: int) -> str:
    """A funding rate given in 1e-8."""
    return ("-" if rate < 0 else "") + decimal_text(abs(rate), 8)


def exchange_info(contracts: list[Contract], ms: int) -> bytes:
    """GET /fapi/v1/exchangeInfo."""
    return orjson.dumps(
        {
            "timezone": "UTC",
            "serverTime": ms,
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
            ],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [_symbol_info(contract) for contract in contracts],
        }
    )


def _symbol_info(c: Contract) -> dict[str, object]:
    tick, lot = price_text(c, 1), qty_text(c, 1)
    highest, largest = price_text(c, round(c.price * c.tick_power * 20)), qty_text(c, c.lots_max)
    return {
        "symbol": c.symbol,
        "pair": c.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": c.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": c.price_decimals,
        "quantityPrecision": c.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": highest, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": largest, "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": largest, "stepSize": lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def error(code: int, message: str) -> bytes:
    """A REST error."""
    return orjson.dumps({"code": code, "msg": message})
