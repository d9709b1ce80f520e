"""Coin-margined (inverse) contracts: each is worth a fixed number of dollars. Their liquidations need a stated notional, because quantity x price has
no meaning for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liqcore.event import Kind

NOTE = (
    "inverse contracts: quantities are contracts, each worth dollars; liquidations state their notional, quantity x that value; of trades, "
    "quotes and open interest quantity x price is no notional"
)


def dollars(venue: str, symbol: str) -> float:
    """The value of one contract, USD; 0 if it is not inverse or not known to be. Sources: the venues' contract pages."""
    if venue == "binance_cm":
        return 100.0 if symbol.startswith("BTCUSD") else 10.0
    if venue == "okx":
        return (100.0 if symbol.startswith("BTC-") else 10.0) if "-USD-" in symbol else 0.0
    if venue == "bybit":
        return 1.0 if symbol.endswith("USD") or symbol[:-3].endswith("USD") and symbol[-2:].isdigit() else 0.0  # BTCUSD, BTCUSDZ24
    if venue == "bitmex":
        return 1.0 if symbol == "XBTUSD" or symbol.startswith("XBT") and symbol[-2:].isdigit() else 0.0
    if venue == "deribit":
        return 1.0 if symbol.startswith(("BTC-", "ETH-")) and "_" not in symbol else 0.0
    return 0.0


def state_notional(events: np.ndarray, contracts: Sequence[tuple[str, str]]) -> bool:
    """Write the notional of liquidations of inverse contracts into aux_price where none is stated; whether there were any."""
    open_ = np.flatnonzero((events["kind"] == int(Kind.LIQUIDATION)) & (events["aux_price"] == 0.0))
    values = np.array([dollars(*contract) for contract in contracts]) if len(open_) else np.zeros(0)
    if not values.any():
        return False
    worth = values[events["instrument"][open_]]
    stated = events["aux_price"].copy()
    stated[open_] = events["qty"][open_] * worth
    events["aux_price"] = stated
    return bool(worth.any())
