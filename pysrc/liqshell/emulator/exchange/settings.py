"""Settings of the emulated venue's behaviour."""

from dataclasses import dataclass
from typing import Literal

from liqcore.fees import MAKER_FEE, TAKER_FEE


@dataclass(frozen=True, slots=True)
class Settings:
    """How this venue behaves where the real one may differ from day to day.

    fills, taker, hidden, half_spread, print_wait_s: the fill models of liqcore.SimVenue; quote_age_s: as in liqcore.Engine. post_only_status: how a
    post-only order that would take liquidity ends.
    reduce_only_total: reduce-only orders together may not be for more than the position: a new one gets what is left, or 110017.
    conditional_survives: conditional reduce-only orders stay when the position is closed. stops_replace: moving a position's stop ends the old order
    and creates another; else the order is amended. filled_twice_s: a cancel that comes within so many seconds after the complete fill is accepted and
    answered by a second Filled message (0 = refused, 110001). ended_codes: cancel and amend of an order that has ended are refused with 110008 or
    110010 instead of 110001. wrong_side_stops: a stop on the wrong side of the price is refused, as Bybit does, or taken and fires at once, as
    SimVenue does. slippage: share of the price that a market order pays at most, unless it says so itself. price_limit: share of the mark
    within which limit prices are accepted. history_max: ended orders and executions kept per account.
    liquidation: an account is liquidated when its margin is used up.
    """

    fills: Literal["through", "touch", "queue"] = "through"
    taker: Literal["next", "walk"] = "next"
    hidden: Literal["wait", "none"] = "wait"
    half_spread: float | None = None
    print_wait_s: float = 5.0
    quote_age_s: float = 10.0
    maker_fee: float = MAKER_FEE
    taker_fee: float = TAKER_FEE
    leverage: float = 10.0
    funding_interval_s: float = 28_800.0
    slippage: float = 0.05
    price_limit: float = 0.05
    post_only_status: Literal["Cancelled", "Rejected"] = "Cancelled"
    reduce_only_total: bool = False
    conditional_survives: bool = True
    stops_replace: bool = False
    wrong_side_stops: Literal["refuse", "fire"] = "refuse"
    filled_twice_s: float = 0.0
    ended_codes: bool = False
    liquidation: bool = True
    orders_max: int = 500  # active orders of one account and symbol
    conditional_max: int = 10
    history_max: int = 20_000
