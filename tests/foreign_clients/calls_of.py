"""Every call of a client library that the emulated venues should answer, one after the other: prints {"version", "calls": {name: "" or why not}}.

python calls_of.py CLIENT READY_LINE
"""

import importlib.metadata
import json
import logging
import re
import sys
import time

CLIENT, LINE = sys.argv[1], json.loads(sys.argv[2])
KEYS = {"api_key": LINE["api_key"], "api_secret": LINE["api_secret"]}
BTC, SOL = "BTC/USDT:USDT", "SOL/USDT:USDT"
logging.disable(logging.CRITICAL)


CODE = re.compile(r"""(?:retCode|ErrCode|code)["']?: *["']?(-?\d+)|\(\d{3}, (-?\d+)|^(\d{5}) """)


class Calls:
    """Each is tried. What went wrong is the venue's code where it gave one, else the name of the error; an answer that says nothing is a fault, too,
    but of what only sets something."""

    def __init__(self):
        self.done = {}

    def __call__(self, name, call, *given, label="", **named):
        try:
            found = call(*given, **named)
        except Exception as why:
            code = CODE.search(str(why))
            self.done[label or name] = next(part for part in code.groups() if part) if code else type(why).__name__
            return None
        result = found.get("result", found) if isinstance(found, dict) else found
        empty = result in (None, [], {}) or isinstance(result, dict) and result.get("list") == []
        self.done[label or name] = "empty" if empty and not name.startswith(("set_", "switch_", "cancel_")) else ""
        return found


def pybit(do):
    from pybit.unified_trading import HTTP

    http = HTTP(testnet=False, **KEYS)
    http.endpoint = LINE["rest"]
    one = {"category": "linear", "symbol": "BTCUSDT"}
    for name, more in (
        ("get_server_time", {}),
        ("get_kline", {**one, "interval": "5", "limit": 1000}),
        ("get_mark_price_kline", {**one, "interval": "5"}),
        ("get_index_price_kline", {**one, "interval": "5"}),
        ("get_premium_index_price_kline", {**one, "interval": "5"}),
        ("get_instruments_info", {"category": "linear"}),
        ("get_orderbook", one),
        ("get_tickers", one),
        ("get_funding_rate_history", one),
        ("get_public_trade_history", one),
        ("get_open_interest", {**one, "intervalTime": "5min"}),
        ("get_insurance", {"coin": "USDT"}),
        ("get_risk_limit", one),
        ("get_long_short_ratio", {**one, "period": "1h"}),
        ("get_price_limit", one),
        ("get_wallet_balance", {"accountType": "UNIFIED"}),
        ("get_collateral_info", {}),
        ("get_coin_greeks", {}),
        ("get_fee_rates", one),
        ("get_account_info", {}),
        ("get_positions", one),
        ("get_api_key_information", {}),
        ("get_coin_info", {}),
        ("get_historical_volatility", {"category": "option"}),
        ("get_new_delivery_price", one),
        ("get_borrow_history", {}),
        ("get_mmp_state", {"baseCoin": "BTC"}),
    ):
        do(name, getattr(http, name), **more)
    last = float(http.get_tickers(**one)["result"]["list"][0]["lastPrice"])
    low, lower = f"{last * 0.97:.1f}", f"{last * 0.96:.1f}"
    do("set_leverage", http.set_leverage, **one, buyLeverage="7", sellLeverage="7")
    do("place_order", http.place_order, **one, side="Buy", orderType="Limit", qty="0.01", price=low, orderLinkId="a")
    do("get_open_orders", http.get_open_orders, **one)
    do("amend_order", http.amend_order, **one, orderLinkId="a", price=lower)
    do("cancel_order", http.cancel_order, **one, orderLinkId="a")
    wish = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": low}
    do("place_batch_order", http.place_batch_order, category="linear", request=[{**wish, "orderLinkId": "b"}])
    do("amend_batch_order", http.amend_batch_order, category="linear", request=[{"symbol": "BTCUSDT", "orderLinkId": "b", "price": lower}])
    do("cancel_batch_order", http.cancel_batch_order, category="linear", request=[{"symbol": "BTCUSDT", "orderLinkId": "b"}])
    do("place_order", http.place_order, **one, side="Buy", orderType="Market", qty="0.01", label="place_order (market)")
    do(
        "place_order",
        http.place_order,
        **one,
        side="Sell",
        orderType="Market",
        qty="0.01",
        triggerPrice=lower,
        triggerDirection=2,
        reduceOnly=True,
        label="place_order (conditional)",
    )
    time.sleep(0.5)
    do("set_trading_stop", http.set_trading_stop, **one, stopLoss=f"{last * 0.9:.1f}", positionIdx=0)
    do("cancel_all_orders", http.cancel_all_orders, category="linear", settleCoin="USDT")
    do("place_order", http.place_order, **one, side="Sell", orderType="Market", qty="0.01", reduceOnly=True, label="place_order (reduce only)")
    time.sleep(0.5)
    for name in ("get_order_history", "get_executions", "get_closed_pnl"):
        do(name, getattr(http, name), **one)
    do("get_transaction_log", http.get_transaction_log)
    do("switch_position_mode", http.switch_position_mode, category="linear", symbol="SOLUSDT", mode=3)


def candles(do, exchange, symbol, *prices):
    since = int(time.time() * 1e3) - 90_000_000
    do("fetch_ohlcv", exchange.fetch_ohlcv, symbol, "5m", since, 100, label="fetch_ohlcv (since)")
    do("fetch_ohlcv", exchange.fetch_ohlcv, symbol, "1d")
    for price in prices:
        do("fetch_ohlcv", exchange.fetch_ohlcv, symbol, "1h", None, 20, {"price": price}, label=f"fetch_ohlcv ({price})")


def ccxt_bybit(do):
    import ccxt

    exchange = ccxt.bybit(
        {"apiKey": KEYS["api_key"], "secret": KEYS["api_secret"], "options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}}}
    )
    for key in list(exchange.urls["api"]):
        exchange.urls["api"][key] = LINE["rest"]
    do("load_markets", exchange.load_markets)
    candles(do, exchange, BTC, "mark", "index", "premiumIndex")
    for name, given in (
        ("fetch_time", ()),
        ("fetch_ticker", (BTC,)),
        ("fetch_tickers", ([BTC, SOL],)),
        ("fetch_trades", (BTC,)),
        ("fetch_order_book", (BTC,)),
        ("fetch_funding_rate", (BTC,)),
        ("fetch_funding_rates", ([BTC],)),
        ("fetch_funding_rate_history", (BTC,)),
        ("fetch_open_interest", (BTC,)),
        ("fetch_open_interest_history", (BTC, "1h")),
        ("fetch_long_short_ratio_history", (BTC, "1h")),
        ("fetch_leverage_tiers", ([BTC],)),
        ("fetch_market_leverage_tiers", (BTC,)),
        ("fetch_currencies", ()),
        ("fetch_balance", ()),
        ("fetch_trading_fee", (BTC,)),
        ("fetch_trading_fees", ()),
        ("fetch_position", (BTC,)),
        ("fetch_leverage", (BTC,)),
        ("set_leverage", (6, BTC)),
    ):
        do(name, getattr(exchange, name), *given)
    ccxt_bybit_orders(do, exchange)


def ccxt_bybit_orders(do, exchange):
    last = exchange.fetch_ticker(BTC)["last"]
    order = do("create_order", exchange.create_order, BTC, "limit", "buy", 0.01, last * 0.97)
    if order:
        do("fetch_open_orders", exchange.fetch_open_orders, BTC)
        do("fetch_open_order", exchange.fetch_open_order, order["id"], BTC)
        do("edit_order", exchange.edit_order, order["id"], BTC, "limit", "buy", 0.01, last * 0.96)
        do("cancel_order", exchange.cancel_order, order["id"], BTC)
        do("fetch_canceled_orders", exchange.fetch_canceled_orders, BTC)
    do(
        "create_order",
        exchange.create_order,
        BTC,
        "market",
        "buy",
        0.01,
        None,
        {"stopLoss": {"triggerPrice": last * 0.9}},
        label="create_order (stop loss)",
    )
    time.sleep(0.5)
    do("fetch_positions", exchange.fetch_positions, [BTC])
    do(
        "create_order",
        exchange.create_order,
        BTC,
        "market",
        "sell",
        0.01,
        None,
        {"triggerPrice": last * 0.92, "triggerDirection": "descending", "reduceOnly": True},
        label="create_order (trigger)",
    )
    do("cancel_all_orders", exchange.cancel_all_orders, BTC)
    do("create_order", exchange.create_order, BTC, "market", "sell", 0.01, None, {"reduceOnly": True}, label="create_order (reduce only)")
    time.sleep(0.5)
    for name, given in (("fetch_closed_orders", (BTC,)), ("fetch_my_trades", (BTC,)), ("fetch_ledger", ()), ("fetch_positions_history", ([BTC],))):
        do(name, getattr(exchange, name), *given)
    do("set_position_mode", exchange.set_position_mode, True, SOL)


def ccxt_binanceusdm(do):
    import ccxt

    exchange, place = ccxt.binanceusdm({"options": {"fetchMarkets": {"types": ["linear"]}}}), LINE["venues"]["binance"]["rest"]
    for name in list(exchange.urls["api"]):
        if name.startswith("fapi"):
            exchange.urls["api"][name] = f"{place}/fapi/{'v' + name[-1] if name[-1] in '23' else 'v1'}"
    do("load_markets", exchange.load_markets)
    candles(do, exchange, BTC, "mark")
    for name, given in (
        ("fetch_time", ()),
        ("fetch_ticker", (BTC,)),
        ("fetch_tickers", ([BTC, SOL],)),
        ("fetch_last_prices", ([BTC],)),
        ("fetch_bids_asks", ([BTC],)),
        ("fetch_trades", (BTC,)),
        ("fetch_order_book", (BTC,)),
        ("fetch_funding_rate", (BTC,)),
        ("fetch_funding_rate_history", (BTC,)),
        ("fetch_mark_price", (BTC,)),
        ("fetch_open_interest", (BTC,)),
        ("fetch_open_interest_history", (BTC, "1h")),
        ("fetch_long_short_ratio_history", (BTC, "1h")),
    ):
        do(name, getattr(exchange, name), *given)


def ccxt_okx(do):
    import ccxt

    exchange = ccxt.okx({"options": {"fetchMarkets": {"types": ["swap"]}}})
    exchange.urls["api"]["rest"] = LINE["venues"]["okx"]["rest"]
    do("load_markets", exchange.load_markets)
    candles(do, exchange, BTC, "mark", "index")
    for name, given in (
        ("fetch_time", ()),
        ("fetch_ticker", (BTC,)),
        ("fetch_tickers", ([BTC, SOL],)),
        ("fetch_trades", (BTC,)),
        ("fetch_order_book", (BTC,)),
        ("fetch_funding_rate", (BTC,)),
        ("fetch_funding_rate_history", (BTC,)),
        ("fetch_mark_price", (BTC,)),
        ("fetch_open_interest", (BTC,)),
        ("fetch_open_interest_history", ("BTC", "1h")),
    ):
        do(name, getattr(exchange, name), *given)


def python_okx(do):
    import okx.MarketData as market
    import okx.PublicData as public

    place, inst = LINE["venues"]["okx"]["rest"], "BTC-USDT-SWAP"
    asked, said = market.MarketAPI(domain=place, flag="0"), public.PublicAPI(domain=place, flag="0")

    def call(method, *given, **named):
        answer = method(*given, **named)
        if answer.get("code") != "0":
            raise ValueError(f"{answer.get('code')} {answer.get('msg')}")
        return answer["data"]

    for name, given in (
        ("get_ticker", (inst,)),
        ("get_tickers", ("SWAP",)),
        ("get_index_tickers", ("", "BTC-USDT")),
        ("get_orderbook", (inst,)),
        ("get_trades", (inst,)),
        ("get_candlesticks", (inst,)),
        ("get_history_candlesticks", (inst,)),
        ("get_mark_price_candlesticks", (inst,)),
        ("get_index_candlesticks", ("BTC-USDT",)),
        ("get_history_trades", (inst,)),
    ):
        do(name, call, getattr(asked, name), *given)
    for name, given in (
        ("get_instruments", ("SWAP",)),
        ("get_open_interest", ("SWAP",)),
        ("get_funding_rate", (inst,)),
        ("funding_rate_history", (inst,)),
        ("get_price_limit", (inst,)),
        ("get_system_time", ()),
        ("get_mark_price", ("SWAP",)),
        ("get_underlying", ("SWAP",)),
    ):
        do(name, call, getattr(said, name), *given)


def binance_futures_connector(do):
    from binance.um_futures import UMFutures

    client, one = UMFutures(key="none", secret="none", base_url=LINE["venues"]["binance"]["rest"]), "BTCUSDT"
    for name, given in (
        ("time", ()),
        ("exchange_info", ()),
        ("depth", (one,)),
        ("trades", (one,)),
        ("agg_trades", (one,)),
        ("klines", (one, "5m")),
        ("mark_price_klines", (one, "5m")),
        ("index_price_klines", (one, "5m")),
        ("mark_price", (one,)),
        ("funding_rate", (one,)),
        ("ticker_24hr_price_change", (one,)),
        ("ticker_price", (one,)),
        ("book_ticker", (one,)),
        ("open_interest", (one,)),
        ("open_interest_hist", (one, "5m")),
        ("long_short_account_ratio", (one, "5m")),
    ):
        do(name, getattr(client, name), *given)
    do("new_order", client.new_order, symbol=one, side="SELL", type="STOP_MARKET", quantity=0.01, label="new_order (STOP_MARKET)")


PACKAGES = {
    "pybit": pybit,
    "ccxt bybit": ccxt_bybit,
    "ccxt binanceusdm": ccxt_binanceusdm,
    "ccxt okx": ccxt_okx,
    "python-okx": python_okx,
    "binance-futures-connector": binance_futures_connector,
}
calls = Calls()
PACKAGES[CLIENT](calls)
print(json.dumps({"version": importlib.metadata.version(CLIENT.split()[0]), "calls": calls.done}), flush=True)
