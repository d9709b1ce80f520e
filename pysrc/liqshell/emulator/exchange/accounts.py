"""One account of the emulated venue: its money, orders and positions, and their form in messages."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from liqshell.emulator.exchange.orders import Order, lots_text, number, ticks_text
from liqshell.emulator.market.contracts import Contract

TOPICS = ("order", "execution", "position", "wallet")
ROWS_KEPT = 16
STOP_LOSS, TAKE_PROFIT, TRAILING = "StopLoss", "TakeProfit", "TrailingStop"
VERSIONS_MAX = 64  # of one position, behind a REST answer that is stale


class Closing(NamedTuple):
    """The part of an execution that closed: quantity, price profit, what opening that part had cost, the closing fee; leverage at the time."""

    qty: float
    profit: float
    open_fee: float
    close_fee: float
    leverage: float


@dataclass(slots=True, eq=False, repr=False)
class Holding:
    """The position of one symbol and index (0 = one-way; 1 long, 2 short in hedge mode).

    size: lots, signed. entry: average price. buys, sells: value of the open orders that may add to it. stops: what protects all of it, by kind;
    partial: the pairs attached to entries, in order of creation. fees: what opening the part that is still held has cost.
    """

    account: "Account"
    n: int
    contract: Contract
    idx: int
    leverage: float
    size: int = 0
    active: int = 0
    created_ms: int = 0
    updated_ms: int = 0
    sequence: int = -1
    entry: float = 0.0
    fees: float = 0.0
    realised: float = 0.0
    realised_total: float = 0.0
    status: str = "Normal"
    sl_by: str = ""
    tp_by: str = ""
    buys: float = 0.0
    sells: float = 0.0
    stops: dict[str, Order] = field(default_factory=dict)
    partial: list[Order] = field(default_factory=list)
    versions: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    @property
    def qty(self) -> float:
        """Signed, in base units."""
        return self.size / self.contract.lot_power

    def reducible(self, side: int) -> int:
        """Lots that an order of this side would close."""
        return -self.size * side if self.size * side < 0 else 0

    def unrealised(self, mark: float) -> float:
        """Profit at the mark."""
        return (mark - self.entry) * self.qty if self.size else 0.0

    def exposure(self, mark: float) -> float:
        """Value of the position as it would be after all orders of the worse side."""
        held = self.qty * mark
        return max(abs(held), abs(held + self.buys), abs(held - self.sells))

    def move(self, side: int, price: float, lots: int) -> tuple[float, int]:
        """An execution: (profit realised by what it closed, lots closed)."""
        closed = min(lots, self.reducible(side))
        pnl = 0.0
        if closed:
            pnl = (price - self.entry) * closed / self.contract.lot_power * (1 if self.size > 0 else -1)
            self.size += side * closed
        opened = lots - closed
        if opened:
            held = abs(self.size)
            self.entry = (self.entry * held + price * opened) / (held + opened) if held else price
            self.size += side * opened
        if self.size == 0:
            self.entry = 0.0
        return pnl, closed

    def charge(self, fee: float, lots: int, closed: int) -> tuple[float, float]:
        """The fee of an execution that move() has just booked: (what opening the closed part had cost, the fee's share that closes)."""
        closing = fee * closed / lots
        before = abs(self.size) + closed if closed == lots else closed  # lots held before: what turns a position closes all of it
        opening = self.fees * closed / before if closed else 0.0
        self.fees = self.fees - opening + fee - closing if self.size else 0.0
        return opening, closing

    def row(self, mark: float, liquidation: float, maintenance: float, fee: float) -> dict[str, Any]:
        """The position as the private stream writes it; the REST spelling differs in listed()."""
        c, held, flat = self.contract, self.size, self._flat(mark)
        if not held:
            return flat
        value = abs(self.qty) * mark
        margin = number(value / self.leverage + value * fee)
        mm = number(value * maintenance + value * fee)
        stop, target, trail = self.stops.get(STOP_LOSS), self.stops.get(TAKE_PROFIT), self.stops.get(TRAILING)
        entry, level = number(self.entry), round(liquidation * c.tick_power)
        return flat | {
            "side": "Buy" if held > 0 else "Sell",
            "size": lots_text(c, abs(held)),
            "entryPrice": entry,
            "breakEvenPrice": entry,
            "positionValue": number(abs(self.qty) * self.entry),
            "positionIM": margin,
            "positionIMByMp": margin,
            "positionMM": mm,
            "positionMMByMp": mm,
            "takeProfit": ticks_text(c, target.trigger) if target else "0",
            "stopLoss": ticks_text(c, stop.trigger) if stop else "0",
            "trailingStop": ticks_text(c, trail.trail) if trail else "0",
            "unrealisedPnl": number(self.unrealised(mark)),
            "liqPrice": ticks_text(c, level) if 0 < level < c.ticks_max else "",
            "adlRankIndicator": 2,
        }

    def _flat(self, mark: float) -> dict[str, Any]:
        """The row of a flat position, the most frequent row, because every order sends it."""
        c, total = self.contract, self.realised_total
        return {
            "category": "linear",
            "symbol": c.symbol,
            "positionIdx": self.idx,
            "side": "",
            "size": "0",
            "entryPrice": "0",
            "sessionAvgPrice": "",
            "breakEvenPrice": "",
            "leverage": number(self.leverage),
            "positionValue": "0",
            "positionBalance": "0",
            "markPrice": ticks_text(c, round(mark * c.tick_power)),
            "positionIM": "0",
            "positionIMByMp": "0",
            "positionMM": "0",
            "positionMMByMp": "0",
            "takeProfit": "0",
            "stopLoss": "0",
            "trailingStop": "0",
            "tpslMode": "Full",
            "unrealisedPnl": "0",
            "curRealisedPnl": number(self.realised),
            "cumRealisedPnl": number(total),
            "liqPrice": "",
            "bustPrice": "",
            "positionStatus": self.status,
            "adlRankIndicator": 0,
            "autoAddMargin": 0,
            "isReduceOnly": False,
            "tradeMode": 0,
            "riskId": 1,
            "riskLimitValue": "2000000",
            "mmrSysUpdatedTime": "",
            "leverageSysUpdatedTime": "",
            "delta": "",
            "createdTime": str(self.created_ms),
            "updatedTime": str(self.updated_ms),
            "seq": self.sequence,
        }

    def remember(self, now_ns: int, row: dict[str, Any]) -> None:
        """Keep a row for answers that are stale."""
        self.versions.append((now_ns, row))
        if len(self.versions) > VERSIONS_MAX:
            del self.versions[0]


def listed(row: dict[str, Any]) -> dict[str, Any]:
    """A position as position/list writes it."""
    out = row.copy()
    out["avgPrice"] = out.pop("entryPrice")
    del out["category"]
    for name in ("takeProfit", "stopLoss"):
        if out[name] == "0":
            out[name] = ""
    return out


class Account:
    """A unified account in cross margin. Created by Exchange.open_account.

    key, secret: for the check of signatures. topics: the subscribed topics; others are not sent. hedge: indices of the symbols in hedge mode.
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
        self.ended_links: dict[str, str] = {}  # orderLinkId -> how it ended
        self.executions: deque[tuple[int, dict[str, Any]]] = deque(maxlen=history_max)
        self.log: deque[tuple[int, dict[str, Any], float, float]] = deque(maxlen=history_max)
        self.closings: deque[tuple[int, dict[str, Any], Closing]] = deque(maxlen=history_max)
        self.wallets: list[tuple[int, dict[str, Any]]] = []
        self.liquidating = False
        self._rows: dict[tuple[float, ...], dict[str, Any]] = {}  # wallets written lately: orders come and go, and leave the same behind

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
            "accountType": "UNIFIED",
            "accountLTV": "0",
            "accountIMRate": share[0],
            "accountIMRateByMp": share[0],
            "accountMMRate": share[1],
            "accountMMRateByMp": share[1],
            "totalEquity": total,
            "totalWalletBalance": balance,
            "totalMarginBalance": total,
            "totalAvailableBalance": available,
            "totalPerpUPL": upl,
            "totalInitialMargin": im,
            "totalInitialMarginByMp": im,
            "totalMaintenanceMargin": mm,
            "totalMaintenanceMarginByMp": mm,
            "coin": [
                {
                    "coin": "USDT",
                    "equity": total,
                    "usdValue": total,
                    "walletBalance": balance,
                    "locked": "0",
                    "spotHedgingQty": "0",
                    "borrowAmount": "0",
                    "spotBorrow": "0",
                    "availableToBorrow": "",
                    "availableToWithdraw": "",
                    "accruedInterest": "0",
                    "totalOrderIM": number(order_margin),
                    "totalPositionIM": number(position_margin),
                    "totalPositionMM": mm,
                    "unrealisedPnl": upl,
                    "cumRealisedPnl": number(self.realised),
                    "bonus": "0",
                    "collateralSwitch": True,
                    "marginCollateral": True,
                }
            ],
        }
