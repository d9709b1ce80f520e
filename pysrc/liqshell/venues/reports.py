"""A venue's reports about an account, in one vocabulary for all venues, channels (stream or REST) and spellings.

Prices, quantities and fees are floats of the exact decimal texts; an empty text is 0. Times are the venue's, in ms UTC.
"""

from dataclasses import dataclass
from enum import IntEnum


class Standing(IntEnum):
    """Where an order stands."""

    WAITING = 1  # conditional, its trigger has not been reached
    LIVE = 2  # resting, perhaps partly executed
    TRIGGERED = 3  # conditional, on its way into the book
    FILLED = 4
    CANCELLED = 5  # may have executions
    REJECTED = 6  # may have executions, too: seen in the wild


ENDED = (Standing.FILLED, Standing.CANCELLED, Standing.REJECTED)
# the kinds of execution that are trades of a position. Venues add kinds without notice: one that is not here changes nothing by itself, and the venue
# is asked
TRADES = ("Trade", "AdlTrade", "BustTrade", "BlockTrade")


@dataclass(frozen=True, slots=True)
class OrderState:
    """One order as of `updated_ms`.

    side: +1 buy, -1 sell. executed: cumulative. stop_kind: "" for a plain order, else what the venue calls it ("StopLoss", "TrailingStop",
    "TakeProfit", "Stop"). trigger: of a conditional order. stop_loss: attached to an entry. reason, cancel, creator: the venue's words for why it was
    rejected, who cancelled it and who created it. index: position index of hedge mode, 0 = one-way. average: price
    of what was executed, 0 = not said.
    """

    order_id: str
    link_id: str
    symbol: str
    side: int
    standing: Standing
    market: bool
    price: float
    qty: float
    executed: float
    reduce_only: bool
    stop_kind: str
    trigger: float
    stop_loss: float
    reason: str
    cancel: str
    creator: str
    index: int
    created_ms: int
    updated_ms: int
    average: float = 0.0


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution. kind: the venue's word ("Trade", "Funding", "AdlTrade", "BustTrade", "Settle", ...); fee > 0 = paid, NaN = not known. fee_said:
    False where the venue left the fee out: it is its stated rate times the value then, or NaN. link_id may be empty.
    stop_kind, creator: as in OrderState. sequence: may be the same for several."""

    id: str
    order_id: str
    link_id: str
    symbol: str
    side: int
    price: float
    qty: float
    fee: float
    maker: bool
    kind: str
    stop_kind: str
    creator: str
    sequence: int
    ts_ms: int
    fee_said: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """The position of one symbol; side 0 = flat. stop_loss, take_profit, trailing: of the position, 0 = none. liquidation: 0 = unknown or never.
    status: the venue's word ("Normal", "Liq", "Adl")."""

    symbol: str
    side: int
    qty: float
    entry: float
    stop_loss: float
    take_profit: float
    trailing: float
    leverage: float
    liquidation: float
    mark: float
    status: str
    index: int
    sequence: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Wallet:
    """Money of the account in quote currency: equity (wallet balance and unrealised profit), what may be used for new orders, wallet balance."""

    equity: float
    available: float
    balance: float
    updated_ms: int


@dataclass(frozen=True, slots=True)
class OrderReply:
    """The answer to one order request on the order-entry socket. It says that the venue took the request, not that the order exists.

    request_id: ours, "" where the venue left it out. code, message: the venue's. reset_ms: of the rate limit, 0 where not said.
    """

    request_id: str
    operation: str
    code: int
    message: str
    order_id: str
    link_id: str
    reset_ms: int
