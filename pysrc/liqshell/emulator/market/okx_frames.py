"""The OKX V5 public protocol as the venue writes it: channels, acknowledgements, REST answers. Pure functions, no clock, no socket.

Quantities are contracts: base = sz x ctVal. `side` of a liquidation is that of the ORDER (a long that is closed by force is a sell), posSide is net
in one-way mode. Source: the venue's documentation of 2026-07.
"""

from collections.abc import Sequence

import orjson

from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.public_frames import decimal_text

LONG = 1
CONTRACT_VALUE = {"BTC": ("0.01", 2), "ETH": ("0.1", 1), "SOL": ("1", 0), "XRP": ("100", -2), "DOGE": ("1000", -3)}  # base units; its decimals
SIZE_DECIMALS = 2  # lotSz 0.01
CHANNELS = ("trades", "trades-all", "bbo-tbt", "books5", "mark-price", "funding-rate", "open-interest", "tickers", "index-tickers", "price-limit")
BY_TYPE = ("liquidation-orders", "instruments", "adl-warning")
TYPES = ("SWAP", "FUTURES", "MARGIN", "OPTION", "SPOT")


def contract_value(contract: Contract) -> tuple[str, int]:
    """ctVal as text, and n where it is 10**-n; one base unit for a coin that the table does not know."""
    return CONTRACT_VALUE.get(contract.base, ("1", 0))


def inst_id(contract: Contract) -> str:
    """BTC-USDT-SWAP."""
    return f"{contract.base}-USDT-SWAP"


def price_text(contract: Contract, ticks: int) -> str:
    """A price as the venue writes it."""
    return decimal_text(ticks, contract.tick_decimals)


def size_text(contract: Contract, lots: int) -> str:
    """A quantity in contracts, at least the smallest: 0.01."""
    power = contract_value(contract)[1] + SIZE_DECIMALS - contract.lot_decimals
    size = lots * 10**power if power >= 0 else max(1, (2 * lots + 10**-power) // (2 * 10**-power))
    text = decimal_text(size, SIZE_DECIMALS)
    return text.rstrip("0").rstrip(".") if "." in text else text


def frame(arg: dict[str, str], data: Sequence[dict[str, object]]) -> bytes:
    """A push."""
    return orjson.dumps({"arg": arg, "data": data})


def trade_row(inst: str, number: int, price: str, size: str, taker: int, ms: int, count: int) -> dict[str, object]:
    """One entry of trades; side is the taker's."""
    return {
        "instId": inst,
        "tradeId": str(number),
        "px": price,
        "sz": size,
        "side": "buy" if taker > 0 else "sell",
        "ts": str(ms),
        "count": str(count),
        "source": "0",
        "seqId": number,
    }


def book_row(bid: tuple[str, str], ask: tuple[str, str], ms: int, sequence: int) -> dict[str, object]:
    """bbo-tbt and books5: [price, contracts, deprecated, orders]."""
    return {"asks": [[*ask, "0", "1"]], "bids": [[*bid, "0", "1"]], "ts": str(ms), "seqId": sequence}


def liquidation_detail(side: int, net: bool, price: str, size: str, ms: int) -> dict[str, object]:
    """One row of details; side: of the POSITION."""
    position = "net" if net else "long" if side == LONG else "short"
    return {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": position, "side": "sell" if side == LONG else "buy", "sz": size, "ts": str(ms)}


def liquidation_frame(inst: str, details: Sequence[dict[str, object]]) -> bytes:
    """A push of liquidation-orders of one instrument, whose details may hold several rows."""
    family = inst.removesuffix("-SWAP")
    return frame(
        {"channel": "liquidation-orders", "instType": "SWAP"},
        [{"details": list(details), "instFamily": family, "instId": inst, "instType": "SWAP", "uly": family}],
    )


def event(name: str, conn_id: str, request_id: object = None, **fields: object) -> bytes:
    """subscribe, unsubscribe, error, notice."""
    return orjson.dumps(({} if request_id is None else {"id": request_id}) | {"event": name, **fields, "connId": conn_id})


def notice(conn_id: str) -> bytes:
    """A disconnect is coming."""
    return event("notice", conn_id, code="64008", msg="The connection will soon be closed for a service upgrade. Please reconnect.")


def envelope(data: Sequence[object], code: str = "0", message: str = "") -> bytes:
    """A REST answer."""
    return orjson.dumps({"code": code, "msg": message, "data": data})


def instrument(c: Contract) -> dict[str, object]:
    """One entry of public/instruments."""
    inst = inst_id(c)
    largest = size_text(c, c.lots_max)
    return {
        "alias": "",
        "baseCcy": "",
        "category": "1",
        "ctMult": "1",
        "ctType": "linear",
        "ctVal": contract_value(c)[0],
        "ctValCcy": c.base,
        "expTime": "",
        "instFamily": inst.removesuffix("-SWAP"),
        "instId": inst,
        "instType": "SWAP",
        "lever": str(c.leverage_max),
        "listTime": "1597026383085",
        "lotSz": "0.01",
        "maxIcebergSz": largest,
        "maxLmtAmt": "20000000",
        "maxLmtSz": largest,
        "maxMktAmt": "",
        "maxMktSz": largest,
        "maxStopSz": largest,
        "maxTriggerSz": largest,
        "maxTwapSz": largest,
        "minSz": "0.01",
        "optType": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": "USDT",
        "state": "live",
        "stk": "",
        "tickSz": price_text(c, 1),
        "uly": inst.removesuffix("-SWAP"),
    }
