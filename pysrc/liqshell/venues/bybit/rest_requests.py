"""Bybit V5 linear REST: requests to be signed. Pure functions, no sockets. rest_responses.py reads their answers.

An Ask is sent as it stands: its query is what is signed, so the driver must not quote it again (aiohttp: yarl.URL(..., encoded=True)).
"""

import re

import orjson

from liqshell.venues.order_port import Ask as Request

CATEGORY, SETTLE = "linear", "USDT"
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.~%:,*/=+-]")


def _query(**values: object) -> str:
    def quoted(value: object) -> str:  # a cursor comes quoted by the venue and goes back as it came
        return _UNSAFE.sub(lambda m: b"%%%02X" % m[0][0], str(value).encode()).decode()

    return "&".join(f"{key}={quoted(value)}" for key, value in values.items() if value not in (None, ""))


def _post(path: str, weight: str, **values: object) -> Request:
    body = orjson.dumps({"category": CATEGORY} | {key: value for key, value in values.items() if value not in (None, "")})
    return Request("POST", path, "", body.decode(), weight)


def create(
    symbol: str,
    link_id: str,
    side: int,
    qty: str,
    price: str = "",
    *,
    post_only: bool = False,
    reduce_only: bool = False,
    trigger: str = "",
    stop_loss: str = "",
    index: int = 0,
) -> Request:
    """A new order. side +1 buy, -1 sell; numbers as exact decimal text; no price = market; trigger: conditional, at the last price, in the direction
    in which `side` is a stop (a buy when it rises, a sell when it falls). Quantity "0" with reduce_only closes the position, whatever its size."""
    market = not price
    return _post(
        "/v5/order/create",
        "order",
        symbol=symbol,
        orderLinkId=link_id,
        side="Buy" if side > 0 else "Sell",
        orderType="Market" if market else "Limit",
        qty=qty,
        price=price,
        timeInForce=None if market else "PostOnly" if post_only else "GTC",
        triggerPrice=trigger,
        triggerDirection=(1 if side > 0 else 2) if trigger else None,
        triggerBy="LastPrice" if trigger else None,
        reduceOnly=True if reduce_only else None,
        closeOnTrigger=True if reduce_only and (trigger or qty == "0") else None,
        stopLoss=stop_loss,
        slTriggerBy="LastPrice" if stop_loss else None,
        tpslMode="Full" if stop_loss else None,
        positionIdx=index,
    )


def amend(symbol: str, link_id: str, *, qty: str = "", price: str = "", trigger: str = "", stop_loss: str = "") -> Request:
    """Change what is given. stop_loss "0" takes the attached stop away."""
    return _post("/v5/order/amend", "order", symbol=symbol, orderLinkId=link_id, qty=qty, price=price, triggerPrice=trigger, stopLoss=stop_loss)


def cancel(symbol: str, link_id: str = "", order_id: str = "") -> Request:
    """By our id, or by the venue's (which wins; for orders without one of our ids)."""
    return _post("/v5/order/cancel", "order", symbol=symbol, orderId=order_id, orderLinkId="" if order_id else link_id)


def trading_stop(symbol: str, *, stop_loss: str = "", take_profit: str = "", trailing: str = "", activation: str = "", index: int = 0) -> Request:
    """Stops of the whole position, at the last price. "0" takes one away, "" leaves it. trailing, activation: distance and starting price."""
    return _post(
        "/v5/position/trading-stop",
        "setting",
        symbol=symbol,
        tpslMode="Full",
        stopLoss=stop_loss,
        slTriggerBy="LastPrice" if stop_loss else None,
        takeProfit=take_profit,
        tpTriggerBy="LastPrice" if take_profit else None,
        trailingStop=trailing,
        activePrice=activation,
        positionIdx=index,
    )


def set_leverage(symbol: str, leverage: str) -> Request:
    """For both sides."""
    return _post("/v5/position/set-leverage", "setting", symbol=symbol, buyLeverage=leverage, sellLeverage=leverage)


def _get(path: str, weight: str = "query", **values: object) -> Request:
    return Request("GET", path, _query(**values), "", weight)


def open_orders(symbol: str = "", settle: str = SETTLE, cursor: str = "") -> Request:
    """Open orders of every kind: also conditional ones and the stops of positions."""
    return _get("/v5/order/realtime", category=CATEGORY, symbol=symbol, settleCoin="" if symbol else settle, openOnly=0, limit=50, cursor=cursor)


def order_now(symbol: str, link_id: str = "", order_id: str = "") -> Request:
    """One order, open or ended lately. Empty does not prove that it does not exist: after a restart the venue has forgotten the ended ones here."""
    return _get("/v5/order/realtime", category=CATEGORY, symbol=symbol, orderId=order_id, orderLinkId="" if order_id else link_id)


def order_past(symbol: str, link_id: str = "", order_id: str = "") -> Request:
    """One order in the history. It may lag behind."""
    return _get("/v5/order/history", category=CATEGORY, symbol=symbol, orderId=order_id, orderLinkId="" if order_id else link_id, limit=50)


def executions(
    start_ms: int | None = None, end_ms: int | None = None, *, symbol: str = "", order_id: str = "", link_id: str = "", cursor: str = ""
) -> Request:
    """Executions of a span (at most 7 days), newest first, 100 a page; of one order by its ids."""
    return _get(
        "/v5/execution/list",
        category=CATEGORY,
        symbol=symbol,
        orderId=order_id,
        orderLinkId="" if order_id else link_id,
        startTime=start_ms,
        endTime=end_ms,
        limit=100,
        cursor=cursor,
    )


def positions(symbol: str = "", settle: str = SETTLE, cursor: str = "") -> Request:
    """Positions that are held; of one symbol also a flat one. By coin there may be several pages."""
    return _get("/v5/position/list", category=CATEGORY, symbol=symbol, settleCoin="" if symbol else settle, limit=200, cursor=cursor)


def wallet() -> Request:
    """Money of the unified account."""
    return _get("/v5/account/wallet-balance", accountType="UNIFIED")


def account_info() -> Request:
    """Margin mode and account status."""
    return _get("/v5/account/info")


def fee_rates(symbol: str = "") -> Request:
    """Fee rates of the account, of one symbol or of all."""
    return _get("/v5/account/fee-rate", "fees", category=CATEGORY, symbol=symbol)


def key_info() -> Request:
    """Asks for the rights of the key."""
    return _get("/v5/user/query-api")


def dcp_info() -> Request:
    """The venue's dead-man switch, where this account has one."""
    return _get("/v5/account/query-dcp-info")


def server_time() -> Request:
    """Public."""
    return _get("/v5/market/time", "market")


def instruments(symbol: str = "", cursor: str = "") -> Request:
    """Public; answers are for bybit_instruments.parse_instruments."""
    return _get(
        "/v5/market/instruments-info",
        "market",
        category=CATEGORY,
        symbol=symbol,
        status="" if symbol else "Trading",
        limit="" if symbol else 1000,
        cursor=cursor,
    )


def tickers(symbol: str) -> Request:
    """Public: last price and the like."""
    return _get("/v5/market/tickers", "market", category=CATEGORY, symbol=symbol)
