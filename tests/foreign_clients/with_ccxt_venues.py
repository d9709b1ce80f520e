"""ccxt.pro binanceusdm and okx against the emulated public sides: contracts, trades, quotes, liquidations, open interest."""

import asyncio
import json
import sys

import ccxt.pro

READY = json.loads(sys.argv[1])
WAIT_S = 40.0


async def heard(exchange, symbol):
    """What both venues are asked."""
    markets = await exchange.load_markets()
    trades = await asyncio.wait_for(exchange.watch_trades(symbol), WAIT_S)
    quotes = await asyncio.wait_for(exchange.watch_bids_asks([symbol]), WAIT_S)
    return {
        "markets": sorted(markets),
        "size": markets[symbol]["contractSize"],
        "tick": markets[symbol]["precision"]["price"],
        "trade": trades[0]["price"],
        "bid": quotes[symbol]["bid"],
        "ask": quotes[symbol]["ask"],
    }


async def liquidation(exchange, symbol):
    """ccxt hands the venue's side of the order through; the first of a frame only."""
    for _ in range(3):
        rows = await asyncio.wait_for(exchange.watch_liquidations(symbol), WAIT_S)
        if rows:
            return {"symbol": rows[0]["symbol"], "side": rows[0]["side"], "price": rows[0]["price"], "contracts": rows[0]["contracts"]}
    return {}


async def binance(place):
    exchange = ccxt.pro.binanceusdm({"options": {"fetchMarkets": {"types": ["linear"]}}})
    for name in list(exchange.urls["api"]):
        if name.startswith("fapi"):
            exchange.urls["api"][name] = f"{place['rest']}/fapi/{'v' + name[-1] if name[-1] in '23' else 'v1'}"
    exchange.urls["api"]["ws"]["future"] = exchange.urls["api"]["ws"]["linear"] = place["ws"] + "/ws"
    try:
        out = await heard(exchange, "SOL/USDT:USDT")
        book = await asyncio.wait_for(exchange.watch_order_book("SOL/USDT:USDT"), WAIT_S)
        out["interest"] = (await exchange.fetch_open_interest("SOL/USDT:USDT"))["openInterestAmount"]
        out["book"] = [book["bids"][0][0], book["asks"][0][0]]
        return out | {"liquidation": await liquidation(exchange, "SOL/USDT:USDT")}
    finally:
        await exchange.close()


async def okx(place):
    exchange = ccxt.pro.okx({"options": {"fetchMarkets": {"types": ["swap"]}}})
    exchange.urls["api"]["rest"] = place["rest"]
    exchange.urls["api"]["ws"] = place["ws"] + "/ws/v5"
    try:
        out = await heard(exchange, "SOL/USDT:USDT")
        out["interest"] = (await exchange.fetch_open_interest("SOL/USDT:USDT"))["openInterestAmount"]
        return out | {"liquidation": await liquidation(exchange, "SOL/USDT:USDT")}
    finally:
        await exchange.close()


async def main():
    venues = READY["venues"]
    print(json.dumps({"binance": await binance(venues["binance"]), "okx": await okx(venues["okx"])}))


asyncio.run(main())
