"""The venue's side of the Bybit V5 public linear protocol: frames, acknowledgements and REST answers as the venue writes them.

Field order, text of numbers and the peculiarities (a pong whose op is `ping`, one bad topic failing its whole batch) follow real captures
and the venue's documentation. Pure functions: no clock, no socket.
"""

from collections.abc import Sequence

import orjson

from liqshell.emulator.market.contracts import Contract

LONG = 1
CATEGORY = "linear"
SERVED = ("allLiquidation", "publicTrade", "orderbook.1", "tickers")


def price_text(contract: Contract, ticks: int) -> str:
    """A price as the venue writes it."""
    return f"{ticks / contract.tick_power:.{contract.price_decimals}f}"


def qty_text(contract: Contract, lots: int) -> str:
    """A quantity as the venue writes it."""
    return f"{lots / contract.lot_power:.{contract.lot_decimals}f}"


def liquidation_frame(symbol: str, ts: int, rows: Sequence[tuple[int, int, str, str]]) -> bytes:
    """rows: (T ms, side of the POSITION, size, bankruptcy price). On this venue "Buy" means that a long was liquidated."""
    data = ",".join([f'{{"T":{t},"s":"{symbol}","S":"{"Buy" if side == LONG else "Sell"}","v":"{v}","p":"{p}"}}' for t, side, v, p in rows])
    return f'{{"topic":"allLiquidation.{symbol}","type":"snapshot","ts":{ts},"data":[{data}]}}'.encode()


def trade_row(symbol: str, t: int, side: str, v: str, p: str, direction: str, uid: str, seq: int) -> str:
    """One entry of a publicTrade frame; side is the taker's."""
    return f'{{"T":{t},"s":"{symbol}","S":"{side}","v":"{v}","p":"{p}","L":"{direction}","i":"{uid}","BT":false,"RPI":false,"seq":{seq}}}'


def trade_frame(symbol: str, ts: int, rows: Sequence[str]) -> bytes:
    """A publicTrade frame from rows of `trade_row`, at most 1024."""
    return f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{ts},"data":[{",".join(rows)}]}}'.encode()


def book1_frame(symbol: str, ts: int, bid: str, bid_size: str, ask: str, ask_size: str, u: int, seq: int, cts: int) -> bytes:
    """An orderbook.1 frame: always a snapshot."""
    return (
        f'{{"topic":"orderbook.1.{symbol}","ts":{ts},"type":"snapshot","data":{{"s":"{symbol}","b":[["{bid}","{bid_size}"]],'
        f'"a":[["{ask}","{ask_size}"]],"u":{u},"seq":{seq}}},"cts":{cts}}}'
    ).encode()


def ticker_frame(symbol: str, ts: int, kind: str, fields: dict[str, str], cs: int) -> bytes:
    """A tickers frame: a snapshot, or a delta that carries only what has changed."""
    return orjson.dumps({"topic": f"tickers.{symbol}", "type": kind, "data": {"symbol": symbol, **fields}, "cs": cs, "ts": ts})


def ack(op: str, conn_id: str, req_id: object, success: bool = True, message: str = "") -> bytes:
    """Answer to subscribe, unsubscribe and ping. req_id is echoed as it came, and left out where the request had none."""
    body: dict[str, object] = {"success": success, "ret_msg": message, "conn_id": conn_id}
    if req_id is not None:
        body["req_id"] = req_id
    return orjson.dumps({**body, "op": op})


def option_ack(conn_id: str, failed: Sequence[str]) -> bytes:
    """Answer to subscribe and unsubscribe on the option stream, which says it differently: this emulator has no options, so every topic fails."""
    return orjson.dumps({"success": not failed, "conn_id": conn_id, "data": {"failTopics": failed, "successTopics": []}, "type": "COMMAND_RESP"})


def refusal(topic: str) -> str:
    """ret_msg of a subscribe that names a topic the venue does not know."""
    return f"error:handler not found,topic:{topic}"


def envelope(result: object, time_ms: int, code: int = 0, message: str = "OK") -> bytes:
    """A REST answer."""
    return orjson.dumps({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": time_ms})


def instrument_info(contract: Contract) -> dict[str, object]:
    """One entry of instruments-info."""
    tick = f"{10.0**-contract.tick_decimals:.{contract.price_decimals}f}"
    lot = f"{10.0**-contract.lot_decimals:.{contract.lot_decimals}f}"
    highest = price_text(contract, contract.ticks_max)
    largest = qty_text(contract, contract.lots_max)
    return {
        "symbol": contract.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": contract.base,
        "quoteCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(contract.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{contract.leverage_max}.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": highest, "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": largest,
            "minOrderQty": lot,
            "qtyStep": lot,
            "postOnlyMaxOrderQty": largest,
            "maxMktOrderQty": largest,
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": "USDT",
        "copyTrading": "both",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        "displayName": "",
        "symbolType": "",
    }
