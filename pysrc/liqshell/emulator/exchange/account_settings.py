"""Settings of an account at the emulated venue: leverage, position mode, margin mode."""

from typing import Any

from liqshell.emulator.exchange.accounts import Account
from liqshell.emulator.exchange.parameters import Fields, Listing, text, whole
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.refusals import (
    LEVERAGE_LIMIT,
    LEVERAGE_NOT_MODIFIED,
    MARGIN_MODE_FAILED,
    MODE_BLOCKED_BY_ORDERS,
    MODE_BLOCKED_BY_POSITION,
    MODE_NOT_MODIFIED,
    NO_BALANCE,
    NOT_PERMITTED,
    UNIFIED_FORBIDDEN,
    bad,
    refused,
)


class AccountSettings:
    """Requests that change how an account trades."""

    def __init__(self, listing: Listing, positions: Positions, stream: PrivateStream) -> None:
        self.listing, self.positions, self.stream = listing, positions, stream

    def set_leverage(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/position/set-leverage."""
        n = self.listing.number(fields, trading=False)
        try:
            leverage, sell = float(text(fields, "buyLeverage")), float(text(fields, "sellLeverage"))
        except ValueError:
            raise bad("params error: buyLeverage or sellLeverage invalid") from None
        if leverage != sell or not leverage >= 1.0:
            raise bad("buy leverage not equal sell leverage" if leverage != sell else "leverage invalid")
        if leverage > self.listing.contracts[n].leverage_max:
            raise refused(LEVERAGE_LIMIT)
        held = [self.positions.holding(account, n, idx) for idx in ((1, 2) if n in account.hedge else (0,))]
        before = held[0].leverage
        if leverage == before:
            raise refused(LEVERAGE_NOT_MODIFIED)
        for h in held:
            h.leverage = leverage
        if leverage < before and self.positions.available(account) < 0.0:
            for h in held:
                h.leverage = before
            raise refused(NO_BALANCE)
        self.stream.moved.update(dict.fromkeys(held))
        return {}

    def switch_mode(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/position/switch-mode: 0 one-way, 3 hedge; of a symbol, or of all of a coin."""
        if text(fields, "category") != "linear":
            raise bad("Illegal category")
        mode, symbol = whole(fields, "mode", -1), text(fields, "symbol")
        if mode not in (0, 3) or not (symbol or text(fields, "coin")) or symbol and symbol not in self.listing.index:
            raise bad("params error: " + ("mode" if mode not in (0, 3) else "symbol") + " invalid")
        chosen = {self.listing.index[symbol]} if symbol else set(range(len(self.listing.contracts)))
        changing = {n for n in chosen if (n in account.hedge) != (mode == 3)}
        if not changing:
            raise refused(MODE_NOT_MODIFIED)
        if any(h.size for (n, _), h in account.holdings.items() if n in changing):
            raise refused(MODE_BLOCKED_BY_POSITION)
        if any(order.n in changing for order in account.open.values()):
            raise refused(MODE_BLOCKED_BY_ORDERS)
        account.hedge = account.hedge | changing if mode == 3 else account.hedge - changing
        return {}

    def set_margin_mode(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/account/set-margin-mode: the account is in cross margin and stays so."""
        mode = text(fields, "setMarginMode")
        if mode not in ("REGULAR_MARGIN", "ISOLATED_MARGIN", "PORTFOLIO_MARGIN"):
            raise bad("params error: setMarginMode invalid")
        if mode != "REGULAR_MARGIN":
            raise refused(MARGIN_MODE_FAILED)
        return {"reasons": []}

    def no_isolation(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/position/switch-isolated: not of a unified account."""
        raise refused(UNIFIED_FORBIDDEN)

    def dead_man_switch(self, account: Account, fields: Fields, now_ns: int) -> dict[str, Any]:
        """POST /v5/order/disconnected-cancel-all: institutions only."""
        raise refused(NOT_PERMITTED, "Permission denied, please check your API key permissions.")
