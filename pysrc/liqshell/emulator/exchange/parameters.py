"""Fields of a private request: texts to ticks, lots and choices, or the venue's refusal."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from liqcore.simulation.matcher import Watch
from liqshell.emulator.exchange.refusals import NOT_TRADING, bad, refused
from liqshell.emulator.market.contracts import Contract

Fields = Mapping[str, Any]
_DECIMAL = re.compile(r"\d{1,15}(\.\d{1,15})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)
WATCHES = {"LastPrice": int(Watch.WATCH_LAST), "MarkPrice": int(Watch.WATCH_MARK), "IndexPrice": int(Watch.WATCH_INDEX)}
SIDES = {"Buy": 1, "Sell": -1}


def text(fields: Fields, name: str) -> str:
    """A field as text; "" where it is missing or null."""
    value = fields.get(name)
    return "" if value is None else value if isinstance(value, str) else str(value)


def flag(fields: Fields, name: str) -> bool:
    """A boolean, also as text (query strings, careless clients)."""
    value = fields.get(name)
    return value is True or (isinstance(value, str) and value.lower() == "true")


def whole(fields: Fields, name: str, default: int) -> int:
    """An integer, also as text."""
    value = text(fields, name)
    if not value:
        return default
    if not _WHOLE.fullmatch(value):
        raise bad(f"params error: {name} invalid")
    return int(value)


def choice(fields: Fields, name: str, known: Mapping[str, Any] | tuple[str, ...], default: str = "") -> str:
    """One of the known words."""
    value = text(fields, name) or default
    if value not in known:
        raise bad(f"params error: {name} invalid")
    return value


def ticks(contract: Contract, fields: Fields, name: str) -> int:
    """A price in ticks; 0 where it is missing, empty or zero."""
    value = text(fields, name)
    if not value:
        return 0
    if not _DECIMAL.fullmatch(value):
        raise bad(f"params error: {name} invalid")
    exact = float(value) * contract.tick_power
    whole_ticks = round(exact)
    if abs(exact - whole_ticks) > 1e-6 * max(1.0, exact * 1e-6) or whole_ticks > contract.ticks_max:
        raise bad(f"params error: {name} invalid")
    return whole_ticks


def lots(contract: Contract, fields: Fields, name: str) -> int:
    """A quantity in lots; -1 where it is missing or empty."""
    value = text(fields, name)
    if not value:
        return -1
    if not _DECIMAL.fullmatch(value):
        raise bad("params error: Qty invalid" if name == "qty" else f"params error: {name} invalid")
    exact = float(value) * contract.lot_power
    whole_lots = round(exact)
    if abs(exact - whole_lots) > 1e-6 * max(1.0, exact * 1e-6):
        raise bad("Qty invalid")
    return whole_lots


def link_id(fields: Fields) -> str:
    """orderLinkId, "" where there is none."""
    value = text(fields, "orderLinkId")
    if value and not _LINK_ID.fullmatch(value):
        raise bad("params error: OrderLinkId invalid, expected at most 36 letters, digits, - and _")
    return value


class Listing:
    """The venue's contracts. index: symbol -> place among them. halted: symbols that are not trading; "" = all of them."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self.contracts = tuple(contracts)
        self.index = {contract.symbol: n for n, contract in enumerate(self.contracts)}
        self.halted: set[str] = set()

    def number(self, fields: Fields, trading: bool = True) -> int:
        """Place of the symbol that a request is for; refused where it is halted, unless `trading` is False."""
        if text(fields, "category") != "linear":
            raise bad("Illegal category")
        symbol = text(fields, "symbol")
        n = self.index.get(symbol)
        if n is None:
            raise bad("params error: symbol invalid " + symbol)
        if trading and (symbol in self.halted or "" in self.halted):
            raise refused(NOT_TRADING)
        return n
