"""Rows of Bybit's account data, as the private stream and REST both spell them, to the types of venues/reports.py.

A row that cannot be relied on raises Refused, which names the field; nothing else leaves these functions. Enumerations that are only passed on
(execution type, reasons, position status) are kept as the venue's text; those that a decision depends on (side, order status) must be known.
"""

import math
import re
from typing import Any

from liqshell.venues.bybit.decoder import shown
from liqshell.venues.reports import Execution, OrderState, Position, Standing, Wallet

# the venue writes some quantities without the zero before the point (seen: ".1" of a stop that came with an entry)
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{1,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_SIGNED = re.compile(r"origin_string\s*\[[^\]]*\]?", re.IGNORECASE)
TEXT_MAX = 256
_INT_MAX = 2**63 - 1
# words by which the venue says nothing
_NOTHING = frozenset(("", "UNKNOWN", "EC_NoError", "None"))

_TRADES = ("Trade", "AdlTrade", "BustTrade")  # execTypes that have a price and a quantity, always

SIDES = {"Buy": 1, "Sell": -1}
STANDINGS = {
    "Untriggered": Standing.WAITING,
    "New": Standing.LIVE,
    "PartiallyFilled": Standing.LIVE,
    "Triggered": Standing.TRIGGERED,
    "Filled": Standing.FILLED,
    "Cancelled": Standing.CANCELLED,
    "PartiallyFilledCanceled": Standing.CANCELLED,
    "Deactivated": Standing.CANCELLED,
    "Rejected": Standing.REJECTED,
}


class Refused(Exception):
    """(reason of a small set, detail): a row or an answer cannot be used."""


def text(row: dict, key: str, longest: int = TEXT_MAX) -> str:
    """A text; "" where it is absent or null."""
    value = row.get(key)
    if value is None:
        return ""
    if type(value) is not str or len(value) > longest:
        raise Refused("bad text", f"{key}: expected text of at most {longest} characters, got {shown(value)}")
    return value


def word(row: dict, key: str) -> str:
    """A text of an enumeration, "" where the venue says nothing by it."""
    value = text(row, key)
    return "" if value in _NOTHING else value


def number(row: dict, key: str, *, signed: bool = False) -> float:
    """A decimal number as text; 0 where it is absent, null or empty."""
    value = row.get(key)
    if value is None or value == "":
        return 0.0
    if type(value) is not str or not _NUMBER.fullmatch(value):
        raise Refused("bad number", f"{key}: expected a decimal number as text, got {shown(value)}")
    out = float(value)
    if not math.isfinite(out) or (out < 0.0 and not signed):
        raise Refused("bad number", f"{key}: expected a finite number{'' if signed else ' from 0 on'}, got {shown(value)}")
    return out


def integer(row: dict, key: str, *, low: int = 0) -> int:
    """A whole number, or digits as text; 0 where it is absent, null or empty."""
    value = row.get(key)
    if value is None or value == "":
        return 0
    if type(value) is str and _DIGITS.fullmatch(value):
        value = int(value)
    if type(value) is not int or not low <= value <= _INT_MAX:
        raise Refused("bad integer", f"{key}: expected a whole number from {low} on, got {shown(row.get(key))}")
    return value


def message_text(value: Any) -> str:
    """A message of the venue for people. That of a bad signature repeats what was signed, key included: not here."""
    return _SIGNED.sub("origin_string[redacted]", value)[:TEXT_MAX] if type(value) is str else ""


def digits(value: Any) -> int:
    """A whole number that is only for information: 0 where it is none."""
    if type(value) is str and _DIGITS.fullmatch(value):
        value = int(value)
    return value if type(value) is int and 0 <= value <= _INT_MAX else 0


def flag(row: dict, key: str) -> bool:
    """A boolean; False where it is absent, null or empty."""
    value = row.get(key)
    if value is None or value == "":
        return False
    if type(value) is not bool:
        raise Refused("bad flag", f"{key}: expected true or false, got {shown(value)}")
    return value


def named(row: dict, key: str = "symbol") -> str:
    """A text that must be there."""
    value = text(row, key)
    if not value:
        raise Refused("bad text", f"{key}: empty or absent")
    return value


def side(row: dict) -> int:
    value = row.get("side")
    if type(value) is not str or value not in SIDES:
        raise Refused("bad side", f"side: expected Buy or Sell, got {shown(value)}")
    return SIDES[value]


def order_state(row: dict) -> OrderState:
    """A row of the order stream, of order/realtime or of order/history."""
    status = row.get("orderStatus")
    if type(status) is not str or status not in STANDINGS:
        raise Refused("unknown order status", f"orderStatus: expected one of {', '.join(STANDINGS)}, got {shown(status)}")
    return OrderState(
        order_id=named(row, "orderId"),
        link_id=text(row, "orderLinkId"),
        symbol=named(row),
        side=side(row),
        standing=STANDINGS[status],
        market=text(row, "orderType") == "Market",
        price=number(row, "price"),
        qty=number(row, "qty"),
        executed=number(row, "cumExecQty"),
        reduce_only=flag(row, "reduceOnly"),
        stop_kind=word(row, "stopOrderType"),
        trigger=number(row, "triggerPrice"),
        stop_loss=number(row, "stopLoss"),
        reason=word(row, "rejectReason"),
        cancel=word(row, "cancelType"),
        creator=word(row, "createType"),
        index=integer(row, "positionIdx"),
        created_ms=integer(row, "createdTime"),
        updated_ms=integer(row, "updatedTime"),
        average=_average(row),
    )


def _average(row: dict) -> float:
    """The average price of an order; 0 if it cannot be read, because nothing depends on it."""
    try:
        return number(row, "avgPrice")
    except Refused:
        return 0.0


def _fee(row: dict, kind: str) -> float:
    """The fee paid; if missing, by the rate of the same row; NaN if that is missing too."""
    if row.get("execFee") not in (None, ""):
        return number(row, "execFee", signed=True)
    if kind not in _TRADES or row.get("feeRate") in (None, ""):
        return math.nan
    return number(row, "feeRate", signed=True) * (number(row, "execValue") or number(row, "execPrice") * number(row, "execQty"))


def execution_report(row: dict) -> Execution:
    """A row of the execution stream. One that moves money and does not say how much is refused: REST is asked for it."""
    found = execution(row)
    if math.isnan(found.fee) and found.kind in (*_TRADES, "Funding"):
        raise Refused("bad number", f"execFee: expected a number, got {shown(row.get('execFee'))}, and no feeRate")
    return found


def execution(row: dict) -> Execution:
    """A row of the execution stream or of execution/list. Funding has no order and perhaps no side (0). A trade without price or quantity is refused:
    booked at 0 it would be no fill to anybody, and its id would hide the whole row that REST has."""
    kind = named(row, "execType")
    if kind in _TRADES:
        for key in ("execPrice", "execQty"):
            if not number(row, key) > 0.0:
                raise Refused("bad number", f"{key}: expected a number above 0, got {shown(row.get(key))}")
    return Execution(
        id=named(row, "execId"),
        order_id=text(row, "orderId"),
        link_id=text(row, "orderLinkId"),
        symbol=named(row),
        side=0 if kind != "Trade" and text(row, "side") in _NOTHING else side(row),
        price=number(row, "execPrice"),
        qty=number(row, "execQty"),
        fee=_fee(row, kind),
        maker=flag(row, "isMaker"),
        kind=kind,
        stop_kind=word(row, "stopOrderType"),
        creator=word(row, "createType"),
        sequence=integer(row, "seq", low=-1),
        ts_ms=integer(row, "execTime"),
        fee_said=row.get("execFee") not in (None, ""),
    )


def position(row: dict) -> Position:
    """A row of the position stream (entryPrice) or of position/list (avgPrice). Size 0 is flat with any side."""
    qty = number(row, "size")
    if row.get("size") in (None, ""):  # an absent size is not a flat position
        raise Refused("bad number", "size: empty or absent")
    held = side(row) if qty else 0
    return Position(
        symbol=named(row),
        side=held,
        qty=qty,
        entry=number(row, "entryPrice" if "entryPrice" in row else "avgPrice"),
        stop_loss=number(row, "stopLoss"),
        take_profit=number(row, "takeProfit"),
        trailing=number(row, "trailingStop"),
        leverage=number(row, "leverage"),
        liquidation=number(row, "liqPrice"),
        mark=number(row, "markPrice"),
        status=text(row, "positionStatus"),
        index=integer(row, "positionIdx"),
        sequence=integer(row, "seq", low=-1),
        updated_ms=integer(row, "updatedTime"),
    )


def wallet(row: dict, updated_ms: int, coin: str = "USDT") -> Wallet:
    """A row of the wallet stream or of wallet-balance. Account totals where the venue gives them (in isolated margin it leaves some empty), else what
    it says of the one coin."""
    coins = row.get("coin") or ()
    if type(coins) not in (list, tuple) or not all(type(one) is dict for one in coins):
        raise Refused("bad structure", f"coin: expected an array of objects, got {shown(coins)}")
    own: dict[str, Any] = next((one for one in coins if one.get("coin") == coin), {})

    def either(total: str, single: str) -> float | None:
        if row.get(total) not in (None, ""):
            return number(row, total, signed=True)
        return number(own, single, signed=True) if own.get(single) not in (None, "") else None

    equity, balance = either("totalEquity", "equity"), either("totalWalletBalance", "walletBalance")
    if equity is None or balance is None:
        raise Refused("no equity", f"neither totalEquity and totalWalletBalance nor equity and walletBalance of {coin}")
    available = either("totalAvailableBalance", "availableToWithdraw")
    if available is None:
        available = max(0.0, balance - number(own, "totalPositionIM", signed=True) - number(own, "totalOrderIM", signed=True))
    return Wallet(equity=equity, available=available, balance=balance, updated_ms=updated_ms)
