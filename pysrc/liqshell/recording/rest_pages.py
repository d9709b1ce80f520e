"""Stored pages of REST answers: public trades and liquidations of Bybit, OKX, Binance and Hyperliquid. Each row becomes the frame that
the venue's websocket sends for it, so that one decoder reads both. Rows are newest first and are reversed. The time of receipt of a page is
unknown."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson


class Row(NamedTuple):
    """A row as a frame: its market, and the venue's time, ns."""

    market: str
    frame: bytes
    ts: int


_BYBIT = {"linear": "bybit", "inverse": "bybit", "spot": "bybit_spot", "option": "bybit_option"}


def frames_of(found: Any) -> list[Row] | None:
    """The rows of a page in order of time; None where it is no page of trades or liquidations."""
    if isinstance(found, list):
        if found and all(isinstance(row, dict) for row in found):
            rows, make = found, next((make for keys, without, make in _LISTS if keys <= found[0].keys() and not without & found[0].keys()), None)
        else:
            return None
    elif isinstance(found, dict) and isinstance(found.get("result"), dict) and "retCode" in found:
        market = _BYBIT.get(str(found["result"].get("category")))
        rows, make = found["result"].get("list"), _bybit(market) if market else None
    elif isinstance(found, dict) and "code" in found and "data" in found and "arg" not in found:
        rows, make = found["data"], _okx
    else:
        return None
    if make is None or not isinstance(rows, list) or not rows:
        return None
    try:
        made = [one for row in rows for one in make(row)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return sorted(made, key=lambda row: row.ts)


def _row(market: str, frame: Mapping[str, Any], ms: Any) -> Row:
    ts = int(ms) * 1_000_000
    if not 0 <= ts < 1 << 62:
        raise ValueError("time")
    return Row(market, orjson.dumps(frame), ts)


def _bybit(market: str) -> Callable[[dict[str, Any]], list[Row]]:
    def make(row: dict[str, Any]) -> list[Row]:
        if "orderId" in row or "orderLinkId" in row:
            raise KeyError("executions of an account")
        data = {
            "T": int(row["time"]),
            "s": row["symbol"],
            "S": row["side"],
            "v": row["size"],
            "p": row["price"],
            "i": row["execId"],
            "BT": bool(row.get("isBlockTrade", False)),
        }
        return [_row(market, {"topic": f"publicTrade.{row['symbol']}", "type": "snapshot", "ts": data["T"], "data": [data]}, data["T"])]

    return make


def _okx(row: dict[str, Any]) -> list[Row]:
    if "details" in row:
        arg = {"channel": "liquidation-orders", "instType": row["instType"]}
        return [_row("okx", {"arg": arg, "data": [{**row, "details": [one]}]}, one["ts"]) for one in row["details"]]
    channel = next((channel for key, channel in (("tradeId", "trades"), ("markPx", "mark-price"), ("oi", "open-interest")) if key in row), "")
    if not channel or "ordId" in row:
        raise KeyError("no page of market data")
    return [_row("okx", {"arg": {"channel": channel, "instId": row["instId"]}, "data": [row]}, row["ts"])]


def _hyperliquid(row: dict[str, Any]) -> list[Row]:
    return [_row("hyperliquid", {"channel": "trades", "data": [row]}, row["time"])]


def _binance(row: dict[str, Any]) -> list[Row]:
    order = {
        "s": row["symbol"],
        "S": row["side"],
        "o": row.get("type", "LIMIT"),
        "f": row.get("timeInForce", "IOC"),
        "q": row["origQty"],
        "p": row["price"],
        "ap": row["averagePrice"],
        "X": row["status"],
        "l": row["executedQty"],
        "z": row["executedQty"],
        "T": row["time"],
    }
    market = "binance_cm" if "USD_" in row["symbol"] else "binance_um"
    return [_row(market, {"e": "forceOrder", "E": row["time"], "o": order}, row["time"])]


# what the rows of a list hold, what they must not hold, and how they become frames
_LISTS: tuple[tuple[set[str], set[str], Callable[[dict[str, Any]], list[Row]]], ...] = (
    ({"coin", "side", "px", "sz", "time", "tid"}, {"oid", "dir"}, _hyperliquid),
    ({"symbol", "origQty", "executedQty", "averagePrice", "status", "time"}, {"orderId", "clientOrderId"}, _binance),
)
