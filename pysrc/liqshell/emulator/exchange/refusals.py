"""The venue's answers to refused requests."""


class Refused(Exception):
    """A request that the venue refuses; `code` is its retCode, `text` its retMsg."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


BAD_PARAMETER = 10001
NOT_PERMITTED = 10005
NO_ROUTE = 10017
NO_ORDER = 110001
OUT_OF_RANGE = 110003
NO_MARGIN = 110007
ORDER_FILLED = 110008
TOO_MANY_CONDITIONAL = 110009
ORDER_CANCELLED = 110010
WOULD_LIQUIDATE = 110011
NO_BALANCE = 110012
LEVERAGE_LIMIT = 110013
NOTHING_TO_REDUCE = 110017
TOO_MANY_ORDERS = 110020
MODE_BLOCKED_BY_POSITION = 110024
MODE_NOT_MODIFIED = 110025
MODE_BLOCKED_BY_ORDERS = 110028
LEVERAGE_NOT_MODIFIED = 110043
TOO_MANY_PARTIAL = 110061
LINK_ID_TAKEN = 110072
NOT_TRADING = 110074
TRIGGER_MUST_RISE = 110092
TRIGGER_MUST_FALL = 110093
NOTIONAL_TOO_SMALL = 110094
TOLERANCE_OUT_OF_RANGE = 110108
STOPS_NOT_MODIFIED = 34040
UNIFIED_FORBIDDEN = 100028
MARGIN_MODE_FAILED = 3400045

TEXTS = {
    NO_ORDER: "order not exists or too late to cancel",
    OUT_OF_RANGE: "Order price exceeds the allowable range.",
    NO_MARGIN: "ab not enough for new order",
    ORDER_FILLED: "Order has been completed or cancelled.",
    TOO_MANY_CONDITIONAL: "The number of stop orders exceeds the maximum allowable limit.",
    ORDER_CANCELLED: "The order has been cancelled",
    WOULD_LIQUIDATE: "Liquidation will be triggered immediately by this operation.",
    NO_BALANCE: "Insufficient available balance.",
    LEVERAGE_LIMIT: "cannot set leverage gt maxLeverage by risk limit",
    NOTHING_TO_REDUCE: "current position is zero, cannot fix reduce-only order qty",
    TOO_MANY_ORDERS: "No more than 500 orders per symbol",
    MODE_BLOCKED_BY_POSITION: "You have an existing position, so position mode cannot be switched",
    MODE_NOT_MODIFIED: "Position mode is not modified",
    MODE_BLOCKED_BY_ORDERS: "You have existing orders, so position mode cannot be switched",
    LEVERAGE_NOT_MODIFIED: "leverage not modified",
    TOO_MANY_PARTIAL: "The number of partial take profit and stop loss orders exceeds the limit",
    LINK_ID_TAKEN: "OrderLinkedID is duplicate",
    NOT_TRADING: "This contract is not live",
    NOTIONAL_TOO_SMALL: "Order does not meet minimum order value 5USDT",
    TOLERANCE_OUT_OF_RANGE: "Slippage tolerance is out of range",
    TRIGGER_MUST_RISE: "trigger price should be higher than the current price",
    TRIGGER_MUST_FALL: "trigger price should be lower than the current price",
    STOPS_NOT_MODIFIED: "not modified",
    UNIFIED_FORBIDDEN: "unified account is forbidden",
    MARGIN_MODE_FAILED: "Set margin mode failed",
}


def refused(code: int, text: str = "") -> Refused:
    """The refusal with this code, in the venue's own words unless `text` is given."""
    return Refused(code, text or TEXTS[code])


def bad(what: str) -> Refused:
    """10001: a parameter is missing, malformed or does not fit."""
    return Refused(BAD_PARAMETER, what)
