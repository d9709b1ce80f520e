"""ccxt.pro: markets, public streams, orders by REST and by websocket, watch_orders, positions, balance. The address is all that is changed."""

import asyncio
import json
import sys

import ccxt.pro

line = json.loads(sys.argv[1])
rest, ws = line["rest"], line["ws"]


def exchange() -> ccxt.pro.bybit:
    made = ccxt.pro.bybit(
        {"apiKey": line["api_key"], "secret": line["api_secret"], "options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}}}
    )
    for key in list(made.urls["api"]):
        if key != "ws":
            made.urls["api"][key] = rest
    private = ws + "/v5/private"
    made.urls["api"]["ws"]["public"] = {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")}
    made.urls["api"]["ws"]["private"] = {
        "spot": {"unified": private, "nonUnified": private},
        "contract": private,
        "usdc": private,
        "trade": ws + "/v5/trade",
    }
    return made


async def main() -> dict:
    ex, btc, sol = exchange(), "BTC/USDT:USDT", "SOL/USDT:USDT"
    try:
        await ex.load_markets()
        liquidations = await ex.watch_liquidations(sol)
        trades = await ex.watch_trades(btc)
        book = await ex.watch_order_book(btc)
        ticker = await ex.fetch_ticker(btc)
        last = ticker["last"]

        seen: list[dict] = []

        async def listen() -> None:
            while True:
                seen.extend(dict(order) for order in await ex.watch_orders(btc))

        listener = asyncio.create_task(listen())

        async def until(order_id: str, status: str) -> str:
            async with asyncio.timeout(30):
                while not any(order["id"] == order_id and order["status"] == status for order in seen):
                    await asyncio.sleep(0.01)
            return status

        await asyncio.sleep(0.5)  # subscribed: there is no snapshot that would say so
        order = await ex.create_order(btc, "limit", "buy", 0.01, last * 0.98, {"postOnly": True})
        statuses = [await until(order["id"], "open")]
        changed = await ex.edit_order(order["id"], btc, "limit", "buy", 0.01, last * 0.97)
        statuses.append((await ex.fetch_open_order(changed["id"], btc))["status"])
        await ex.cancel_order(order["id"], btc)
        statuses.append(await until(order["id"], "canceled"))

        order = await ex.create_order_ws(btc, "limit", "buy", 0.01, last * 0.98, {"postOnly": True})
        by_socket = [await until(order["id"], "open")]
        await ex.cancel_order_ws(order["id"], btc)
        by_socket.append(await until(order["id"], "canceled"))

        entry = await ex.create_order_ws(btc, "market", "buy", 0.01, None, {"stopLoss": {"triggerPrice": last * 0.9, "type": "market"}})
        opened = [await until(entry["id"], "closed")]
        held = (await ex.fetch_positions([btc]))[0]
        out = await ex.create_order(btc, "market", "sell", 0.01, None, {"reduceOnly": True})
        await until(out["id"], "closed")
        assert not [one for one in await ex.fetch_positions([btc]) if one["contracts"]]
        equity = (await ex.fetch_balance())["total"]["USDT"]
        listener.cancel()
        return {
            "liquidation": liquidations[0]["symbol"],
            "trade": trades[0]["price"],
            "last": last,
            "tick": ex.market(btc)["precision"]["price"],
            "book": [book["bids"][0][0], book["asks"][0][0]],
            "statuses": statuses,
            "ws": by_socket,
            "open": opened,
            "position": [held["contracts"], held["side"]],
            "equity": equity,
        }
    finally:
        await ex.close()


print(json.dumps(asyncio.run(asyncio.wait_for(main(), 80))), flush=True)
