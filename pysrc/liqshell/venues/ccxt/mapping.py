"""ccxt's unified structures and errors in our terms. Pure functions: a structure in, plain values out."""

from __future__ import annotations

from typing import Any

from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Standing

_STANDING = {
    "closed": Standing.FILLED,
    "canceled": Standing.CANCELLED,
    "expired": Standing.CANCELLED,
    "canceling": Standing.CANCELLED,
    "rejected": Standing.REJECTED,
}
POST_ONLY_MS = 3_000  # an order that may only rest and is gone unfilled within so long would have taken liquidity

# by the name of ccxt's class or of one that it derives from, the nearest first
_ERRORS: dict[str, Outcome] = {
    "AuthenticationError": Outcome.FATAL,
    "PermissionDenied": Outcome.FATAL,
    "AccountNotEnabled": Outcome.FATAL,
    "AccountSuspended": Outcome.FATAL,
    "RateLimitExceeded": Outcome.LATER,
    "DDoSProtection": Outcome.LATER,
    "InvalidNonce": Outcome.CLOCK,
    "OrderNotFound": Outcome.GONE,
    "DuplicateOrderId": Outcome.LANDED,
    "MarketClosed": Outcome.HALT_SYMBOL,
    "InsufficientFunds": Outcome.REJECTED,
    "InvalidOrder": Outcome.REJECTED,
    "BadSymbol": Outcome.REJECTED,
    "BadRequest": Outcome.REJECTED,
    "ArgumentsRequired": Outcome.REJECTED,
    "NotSupported": Outcome.REJECTED,
    "OperationRejected": Outcome.REJECTED,
    "NoChange": Outcome.DONE,
}


def outcome_of(error: BaseException, asked: Asked) -> Outcome:
    """The outcome that an error gives a request. An error that is not listed is UNKNOWN for a request that changes something: a time-out, a refusal
    without its own class, an answer that ccxt could not read. A question that failed is asked again LATER."""
    for kind in type(error).__mro__:
        found = _ERRORS.get(kind.__name__)
        if found is not None:
            if found == Outcome.GONE and asked in (Asked.CREATE, Asked.STOP):
                return Outcome.UNKNOWN
            return found
    return Outcome.LATER if asked == Asked.QUERY else Outcome.UNKNOWN


def _number(value: Any) -> float:
    return float(value) if value not in (None, "") else 0.0


def order_row(order: dict[str, Any], symbol: str, link: str, is_stop: bool, now_ms: int) -> dict[str, Any]:
    """Fields of reports.OrderState."""
    created = int(order.get("timestamp") or now_ms)
    updated = int(order.get("lastUpdateTimestamp") or order.get("lastTradeTimestamp") or created)
    trigger = _number(order.get("stopLossPrice") or order.get("triggerPrice") or order.get("stopPrice"))
    executed, qty = _number(order.get("filled")), _number(order.get("amount"))
    standing = _STANDING.get(order.get("status") or "open", Standing.LIVE)
    if standing == Standing.LIVE and trigger:
        standing = Standing.WAITING
    if standing == Standing.FILLED and qty and executed < qty * (1.0 - 1e-9):
        standing = Standing.CANCELLED
    hasty = bool(order.get("postOnly")) and standing in (Standing.CANCELLED, Standing.REJECTED) and not executed and updated - created < POST_ONLY_MS
    return {
        "order_id": order["id"],
        "link_id": "" if is_stop else link,
        "symbol": symbol,
        "side": 1 if order["side"] == "buy" else -1,
        "standing": int(standing),
        "market": order.get("type") == "market",
        "price": _number(order.get("price")),
        "qty": qty,
        "executed": executed,
        "reduce_only": bool(order.get("reduceOnly")),
        "stop_kind": "StopLoss" if is_stop else "Stop" if trigger else "",
        "trigger": trigger,
        "stop_loss": 0.0,
        "reason": "post only" if hasty else "",
        "cancel": "",
        "creator": "",
        "index": 0,
        "created_ms": created,
        "updated_ms": updated,
    }


def fee_of(trade: dict[str, Any], market: dict[str, Any]) -> float:
    """In the currency that the contract settles in. A fee paid in another (BNB at Binance) is taken at the contract's rate: what it was worth, ccxt
    does not say. So is one that is not said."""
    fee = trade.get("fee") or {}
    if fee.get("currency") in (None, market.get("settle")) and fee.get("cost") is not None:
        return _number(fee.get("cost"))
    rate = _number(market.get("maker" if trade.get("takerOrMaker") == "maker" else "taker"))
    return _number(trade["price"]) * _number(trade["amount"]) * (_number(market.get("contractSize")) or 1.0) * rate


def trade_row(trade: dict[str, Any], symbol: str, link: str, is_stop: bool, market: dict[str, Any]) -> dict[str, Any]:
    """Fields of reports.Execution. market: ccxt's, of the contract."""
    return {
        "id": str(trade["id"]),
        "order_id": trade.get("order") or "",
        "link_id": link,
        "symbol": symbol,
        "side": 1 if trade["side"] == "buy" else -1,
        "price": _number(trade["price"]),
        "qty": _number(trade["amount"]),
        "fee": fee_of(trade, market),
        "maker": trade.get("takerOrMaker") == "maker",
        "kind": "Trade",
        "stop_kind": "StopLoss" if is_stop else "",
        "creator": "",
        "sequence": 0,
        "ts_ms": int(trade["timestamp"]),
        "fee_said": (trade.get("fee") or {}).get("cost") is not None,
    }


def position_row(position: dict[str, Any], symbol: str, now_ms: int) -> dict[str, Any]:
    """Fields of reports.Position; {} = flat. It is as of now: what ccxt calls its time is often that of its opening."""
    qty = abs(_number(position.get("contracts")))
    side = 0 if not qty else 1 if position.get("side") == "long" else -1
    return {
        "symbol": symbol,
        "side": side,
        "qty": qty,
        "entry": _number(position.get("entryPrice")),
        "stop_loss": 0.0,
        "take_profit": 0.0,
        "trailing": 0.0,
        "leverage": _number(position.get("leverage")),
        "liquidation": _number(position.get("liquidationPrice")),
        "mark": _number(position.get("markPrice")),
        "status": "Normal",
        "index": 0,
        "sequence": 0,
        "updated_ms": now_ms,
    }
