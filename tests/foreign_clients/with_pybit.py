"""pybit: four public streams, orders by REST and by websocket, the private stream, positions, wallet. The address is all that is changed."""

import json
import os
import sys
import threading
import time

import pybit._websocket_trading as trading
import pybit.unified_trading as unified

line = json.loads(sys.argv[1])
rest, ws, keys = line["rest"], line["ws"], {"api_key": line["api_key"], "api_secret": line["api_secret"]}
unified.PUBLIC_WSS = ws + "/v5/public/{CHANNEL_TYPE}"
unified.PRIVATE_WSS = ws + "/v5/private"
trading.TRADE_WSS = ws + "/v5/trade"


def wait_for(true, what: str) -> None:
    end = time.monotonic() + 30.0
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.01)


# public
seen, done = {}, threading.Event()


def on_public(frame) -> None:
    seen.setdefault(frame["topic"].split(".")[0], frame)
    if len(seen) == 4:
        done.set()


public = unified.WebSocket(testnet=False, channel_type="linear")
public.all_liquidation_stream(["BTCUSDT", "SOLUSDT"], on_public)
public.trade_stream("BTCUSDT", on_public)
public.orderbook_stream(50, "SOLUSDT", on_public)
public.ticker_stream("BTCUSDT", on_public)
assert done.wait(60), seen.keys()

# REST
session = unified.HTTP(testnet=False, **keys)
session.endpoint = rest
infos = session.get_instruments_info(category="linear")["result"]["list"]
assert int(session.get_server_time()["result"]["timeNano"]) > 0
session.set_leverage(category="linear", symbol="BTCUSDT", buyLeverage="5", sellLeverage="5")
last = float(session.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"][0]["lastPrice"])

# private
orders, executions, positions, wallets = [], [], [], []
private = unified.WebSocket(testnet=False, channel_type="private", **keys)
private.order_stream(lambda frame: orders.extend(frame["data"]))
private.execution_stream(lambda frame: executions.extend(frame["data"]))
private.position_stream(lambda frame: positions.extend(frame["data"]))
private.wallet_stream(lambda frame: wallets.extend(frame["data"]))

one = {"category": "linear", "symbol": "BTCUSDT"}
low, lower = f"{last * 0.98:.1f}", f"{last * 0.97:.1f}"
by_rest = []
session.place_order(**one, side="Buy", orderType="Limit", qty="0.01", price=low, timeInForce="PostOnly", orderLinkId="rest-1")
wait_for(lambda: any(row["orderLinkId"] == "rest-1" for row in orders), "the order by REST on the stream")
by_rest.append(session.get_open_orders(**one, orderLinkId="rest-1")["result"]["list"][0]["orderStatus"])
session.amend_order(**one, orderLinkId="rest-1", price=lower)
wait_for(lambda: any(float(row["price"]) == float(lower) for row in orders), "the amended price")
by_rest.append("Amended")
session.cancel_order(**one, orderLinkId="rest-1")
wait_for(lambda: any(row["orderStatus"] == "Cancelled" for row in orders), "the cancel")
by_rest.append(session.get_order_history(**one, orderLinkId="rest-1")["result"]["list"][0]["orderStatus"])

# websocket order entry: in with a stop, out, and a resting order that is cancelled
acks = []
trade = unified.WebSocketTrading(testnet=False, **keys)
trade.place_order(acks.append, **one, side="Buy", orderType="Market", qty="0.01", stopLoss=f"{last * 0.9:.1f}", orderLinkId="in")
wait_for(lambda: any(float(row["size"]) == 0.01 for row in positions), "the position")
held = [float(session.get_positions(**one)["result"]["list"][0]["size"])]
trade.place_order(acks.append, **one, side="Buy", orderType="Limit", qty="0.01", price=lower, orderLinkId="resting")
wait_for(lambda: any(row["orderLinkId"] == "resting" for row in orders), "the resting order")
trade.cancel_order(acks.append, **one, orderLinkId="resting")
wait_for(lambda: len(acks) == 3, "three acknowledgements")
trade.cancel_order(acks.append, error_callback=acks.append, **one, orderLinkId="resting")
wait_for(lambda: len(acks) == 4, "the refusal")
session.place_order(**one, side="Sell", orderType="Market", qty="0.01", reduceOnly=True, orderLinkId="out")
wait_for(lambda: positions and float(positions[-1]["size"]) == 0.0, "flat")
held.append(float(session.get_positions(**one)["result"]["list"][0]["size"] or 0))
session.cancel_all_orders(category="linear", settleCoin="USDT")
found = session.get_executions(**one)["result"]["list"]
equity = float(session.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["totalEquity"])
wait_for(lambda: wallets, "a wallet")
print(
    json.dumps(
        {
            "public": sorted(seen),
            "infos": len(infos),
            "rest": by_rest,
            "acks": [ack["retCode"] for ack in acks],
            "statuses": sorted({row["orderStatus"] for row in orders}),
            "executions": len(found),
            "position": held,
            "equity": equity,
        }
    ),
    flush=True,
)
os._exit(0)
