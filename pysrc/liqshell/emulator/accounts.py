"""One account of the emulated venue: its money, orders and positions."""

from collections import deque
from typing import Any, NamedTuple

from .holdings import Holding
from .orders import Order, number

TOPICS = ("order", "execution", "position", "wallet")
ROWS_KEPT = 16


class Closing(NamedTuple):
    """The part of an execution that closed: quantity, price profit, what opening that part had cost, the closing fee; leverage at the time."""

    qty: float
    profit: float
    open_fee: float
    close_fee: float
    leverage: float


class Account:
    """A unified account in cross margin. Created by Exchange.open_account.

    key, secret: for whoever checks signatures. topics: what anybody listens to; the rest is not said. hedge: indices of the symbols in hedge mode.
    balance: wallet, USDT. open: orders that have not ended, oldest first. ended: oldest first. links: orders by orderLinkId. closings: (time,
    execution, its part that closed something). log: (time, execution, balance and signed position after it).
    """

    def __init__(self, key: str, secret: str, uid: int, name: str, equity: float, history_max: int) -> None:
        self.key, self.secret, self.uid, self.name = key, secret, uid, name
        self.balance, self.start, self.realised = equity, equity, 0.0
        self.topics: set[str] = set(TOPICS)
        self.hedge: set[int] = set()
        self.holdings: dict[tuple[int, int], Holding] = {}
        self.orders: dict[str, Order] = {}
        self.links: dict[str, Order] = {}
        self.open: dict[str, Order] = {}
        self.ended: deque[Order] = deque()
        self.used_links: set[str] = set()
        self.ended_links: dict[str, str] = {}        # orderLinkId -> how it ended
        self.executions: deque[tuple[int, dict[str, Any]]] = deque(maxlen=history_max)
        self.log: deque[tuple[int, dict[str, Any], float, float]] = deque(maxlen=history_max)
        self.closings: deque[tuple[int, dict[str, Any], Closing]] = deque(maxlen=history_max)
        self.wallets: list[tuple[int, dict[str, Any]]] = []
        self.liquidating = False
        self._rows: dict[tuple[float, ...], dict[str, Any]] = {}          # wallets written lately: orders come and go, and leave the same behind
        self.rights: dict[str, list[str]] = {}       # of the API key, where they differ from those of a trading key
        self.ips: tuple[str, ...] = ("*",)

    def __repr__(self) -> str:
        return f"Account({self.name!r}, uid={self.uid})"

    def active(self, n: int, waiting: bool) -> int:
        """Open orders of a symbol, conditional or not; a position's own stops are not counted."""
        return sum(1 for order in self.open.values() if order.n == n and order.kind in ("", "Stop") and order.waiting == waiting)

    def wallet_row(self, equity: float, unrealised: float, position_margin: float, order_margin: float, maintenance: float) -> dict[str, Any]:
        """The account as the wallet stream and wallet-balance write it."""
        key = (self.balance, self.realised, equity, unrealised, position_margin, order_margin, maintenance)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= ROWS_KEPT:
                self._rows.clear()
            row = self._rows[key] = self._wallet(equity, unrealised, position_margin, order_margin, maintenance)
        return row

    def _wallet(self, equity: float, unrealised: float, position_margin: float, order_margin: float, maintenance: float) -> dict[str, Any]:
        balance, margin = number(self.balance), position_margin + order_margin
        total, upl, im, mm = number(equity), number(unrealised), number(margin), number(maintenance)
        available = number(max(equity - margin, 0.0))
        share = (number(margin / equity), number(maintenance / equity)) if equity > 0.0 else ("0", "0")
        return {
            "accountType": "UNIFIED", "accountLTV": "0", "accountIMRate": share[0], "accountIMRateByMp": share[0], "accountMMRate": share[1],
            "accountMMRateByMp": share[1], "totalEquity": total, "totalWalletBalance": balance, "totalMarginBalance": total,
            "totalAvailableBalance": available, "totalPerpUPL": upl, "totalInitialMargin": im, "totalInitialMarginByMp": im,
            "totalMaintenanceMargin": mm, "totalMaintenanceMarginByMp": mm,
            "coin": [{
                "coin": "USDT", "equity": total, "usdValue": total, "walletBalance": balance, "locked": "0", "spotHedgingQty": "0",
                "borrowAmount": "0", "spotBorrow": "0", "availableToBorrow": "", "availableToWithdraw": "", "accruedInterest": "0",
                "totalOrderIM": number(order_margin), "totalPositionIM": number(position_margin), "totalPositionMM": mm, "unrealisedPnl": upl,
                "cumRealisedPnl": number(self.realised), "bonus": "0", "collateralSwitch": True, "marginCollateral": True}]}
