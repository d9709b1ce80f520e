"""liqcore inside a ccxt.pro loop: liquidations and trades of one market from ccxt, signals from liqcore.

    python examples/ccxt_loop.py [SECONDS] [REST WS]          (the addresses are for a loopback venue such as `liqcore emulate`)

ccxt passes the venue's side through: on Bybit it is the side of the position, on Binance and OKX the side of the forced order, so the mapping
below is per exchange. `watch_liquidations` returns one row of a frame that can hold many; all of them are in `exchange.liquidations`.
"""

import asyncio
import sys
import time

import ccxt.pro

import liqcore as lc

LIQUIDATED = {"bybit": {"buy": lc.LONG, "sell": lc.SHORT}, "binance": {"sell": lc.LONG, "buy": lc.SHORT}, "okx": {"sell": lc.LONG, "buy": lc.SHORT}}


def make_exchange(rest=None, ws=None):
    """ccxt's Bybit client, at the venue or at a loopback address."""
    exchange = ccxt.pro.bybit({"options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}}, "newUpdates": False})
    if rest and ws:
        for name in list(exchange.urls["api"]):
            if name != "ws":
                exchange.urls["api"][name] = rest
        exchange.urls["api"]["ws"]["public"] = {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")}
    return exchange


async def watch(exchange, symbol, engine, seconds, on_signal):
    """Feed the engine for some seconds; the number of liquidations seen."""
    seen = set()
    sides = LIQUIDATED[exchange.id]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            rows = await asyncio.wait_for(exchange.watch_liquidations(symbol), max(0.1, end - time.monotonic()))
        except TimeoutError:
            break
        for row in rows:
            info = row["info"]
            key = (info["T"], info["S"], info["v"], info["p"])  # the cache repeats old rows; equal rows of one millisecond are rare and lost here
            if key in seen:
                continue
            seen.add(key)
            for signal in engine.on_liquidation(
                int(info["T"]) * 1_000_000, time.time_ns(), 0, sides[info["S"].lower()], float(info["p"]), float(info["v"])
            ):
                on_signal(signal)
    return len(seen)


async def main(seconds=60.0, rest=None, ws=None, symbol="BTC/USDT:USDT"):
    exchange = make_exchange(rest, ws)
    try:
        await exchange.load_markets()
        engine = lc.Engine([symbol])
        seen = await watch(exchange, symbol, engine, seconds, print)
        print(f"{seen} liquidations of {symbol}, next threshold {engine.threshold(0):,.0f}")
        return seen
    finally:
        await exchange.close()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(main(float(arguments[0]) if arguments else 60.0, *arguments[1:3]))
