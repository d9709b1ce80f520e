"""The model of a Bybit-V5 unified account on linear perpetuals: what the venue believes, and what it says about it. No sockets, no clock, no signatures.

Time is what the caller says: `now_ns` of a call, ts_recv of market data (a driver with a network of its own hands in market data at the venue's time).
Times must not run backwards. Two exchanges with the same seed that are told the same say the same, to the last id.

    exchange = Exchange(CONTRACTS, Settings(), seed=7)
    account = exchange.open_account("key", "secret", equity=10_000.0)
    exchange.on_events(rows)                                   # rows of EVENT_DTYPE; instrument = index into the contracts
    code, text, data, extra = exchange.order("order.create", [{"category": "linear", ...}], account, now_ns)
    code, text, result = exchange.rest("GET", "/v5/order/realtime", "category=linear&symbol=ETHUSDT", b"", account, now_ns)
    for account, topic, ts_ns, rows in exchange.take(): ...    # private stream, in the order in which the venue says it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .accounts import Account
from .contracts import Contract

OPERATIONS = ("order.create", "order.amend", "order.cancel", "order.create-batch", "order.amend-batch", "order.cancel-batch")
TOPICS = ("order", "execution", "position", "wallet")


@dataclass(frozen=True, slots=True)
class Settings:
    """How this venue behaves where the real one may differ from day to day.

    fills, taker, hidden: the fill models of liqcore.SimVenue. post_only_status: how a post-only order that would take liquidity ends.
    conditional_survives: conditional reduce-only orders stay when the position is closed. stops_replace: moving a position's stop ends the old order
    and creates another; else the order is amended. filled_twice_s: a cancel that comes within so many seconds after the complete fill is accepted and
    answered by a second Filled message (0 = refused, 110001). ended_codes: cancel and amend of an order that has ended are refused with 110008 or
    110010 instead of 110001. slippage: share of the price that a market order pays at most, unless it says so itself. price_limit: share of the mark
    within which limit prices are accepted. history_max: ended orders and executions kept per account.
    """

    fills: Literal["through", "touch", "queue"] = "through"
    taker: Literal["next", "walk"] = "next"
    hidden: Literal["wait", "none"] = "wait"
    maker_fee: float = 0.0002
    taker_fee: float = 0.00055
    leverage: float = 10.0
    funding_interval_s: float = 28_800.0
    slippage: float = 0.05
    price_limit: float = 0.05
    post_only_status: Literal["Cancelled", "Rejected"] = "Cancelled"
    conditional_survives: bool = True
    stops_replace: bool = False
    filled_twice_s: float = 0.0
    ended_codes: bool = False
    liquidation: bool = True
    orders_max: int = 500                        # active orders of one account and symbol
    conditional_max: int = 10
    history_max: int = 20_000


class Exchange:
    """The venue. `accounts`: by API key. `stale_ns`: GET answers about an account come from its state so long ago (0 = now); may be set at any time.
    `halted`: symbols that are not trading (orders are refused with 110074)."""

    accounts: dict[str, Account]
    stale_ns: int
    halted: set[str]

    def __init__(self, contracts: Sequence[Contract], settings: Settings | None = None, seed: int = 0) -> None:
        raise NotImplementedError

    def open_account(self, key: str, secret: str, equity: float = 10_000.0, *, name: str = "") -> Account:
        """A funded account; the secret is kept for whoever checks signatures (account.secret), and shows in no repr."""
        raise NotImplementedError

    # ---- the market and time ----

    def on_events(self, rows: NDArray[np.void]) -> None:
        """Market data in order of ts_recv (TRADE, BBO, TICKER; other kinds pass by). What is due before a row is done before it."""
        raise NotImplementedError

    def advance(self, now_ns: int) -> None:
        """Time passes: funding that is due by now_ns is settled."""
        raise NotImplementedError

    @property
    def next_ns(self) -> int | None:
        """When advance() has something to do; None = never, as things stand."""
        raise NotImplementedError

    # ---- requests ----

    def rest(self, method: str, path: str, query: str, body: bytes, account: Account | None, now_ns: int) -> tuple[int, str, dict[str, Any]]:
        """A REST request whose signature has been checked -> retCode, retMsg, result. query: raw, without '?'. account None: public paths only (others
        answer 10005). Unknown paths answer 10017; nothing is raised. The batch paths put their per-item codes into result["retExtInfo"], which the
        server moves to its place in the envelope."""
        raise NotImplementedError

    def order(self, operation: str, args: Sequence[Mapping[str, Any]], account: Account, now_ns: int
              ) -> tuple[int, str, dict[str, Any], dict[str, Any]]:
        """An operation of the order-entry websocket (OPERATIONS) -> retCode, retMsg, data, retExtInfo. Unknown operations answer 10404."""
        raise NotImplementedError

    def take(self) -> list[tuple[Account, str, int, list[dict[str, Any]]]]:
        """Everything said on the private streams since the last call: (account, topic, time ns, rows of `data`), in order. The rows are the venue's JSON
        objects; they are shared with the model: encode or copy, never change them."""
        raise NotImplementedError

    # ---- what a test, or a person, does to an account ----

    def manual_trade(self, account: Account, symbol: str, side: Literal["Buy", "Sell"], qty: str, now_ns: int) -> str:
        """A market order from the venue's own app (no orderLinkId): returns its orderId."""
        raise NotImplementedError

    def deleverage(self, account: Account, symbol: str, now_ns: int, *, share: float = 1.0, position_idx: int = 0) -> bool:
        """Auto-deleveraging: `share` of the position is closed at the mark (execType AdlTrade); orders of the symbol are cancelled first
        (CancelAllBeforeAdl). False where nothing is held."""
        raise NotImplementedError

    def liquidate(self, account: Account, now_ns: int) -> bool:
        """Close everything by force (execType BustTrade), as happens by itself when the margin is used up. False where nothing is held."""
        raise NotImplementedError

    def truth(self, account: Account) -> dict[str, Any]:
        """For tests: what is really so now, as numbers and without any staleness: {"positions": {(symbol, idx): {"qty" (signed), "entry", "stop_loss",
        "take_profit", "trailing", "stop_qty" (what resting stops would close)}}, "orders": [{"order_id", "link_id", "symbol", "idx", "side", "qty", "left",
        "price", "trigger", "reduce_only", "status", "kind"}], "balance", "equity", "available", "ended": {link_id: status}}."""
        raise NotImplementedError
