"""One order of an account at the emulated venue, and its form in messages."""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from random import Random
from typing import Any

from liqshell.emulator.market.contracts import Contract

OPEN = frozenset(("New", "PartiallyFilled", "Untriggered", "Triggered"))
NO_ERROR = "EC_NoError"
UNKNOWN = "UNKNOWN"
CREATORS = {
    "Stop": "CreateByStopOrder",
    "StopLoss": "CreateByStopLoss",
    "TakeProfit": "CreateByTakeProfit",
    "TrailingStop": "CreateByTrailingStop",
    "PartialStopLoss": "CreateByPartialStopLoss",
    "PartialTakeProfit": "CreateByPartialTakeProfit",
}
VERSIONS_MAX = 64  # of one order, behind a REST answer that is stale


def number(x: float) -> str:
    """A sum of money as the venue writes it: at most eight decimals, no zeros at the end."""
    if not x:  # most of them
        return "0"
    text = f"{x:.8f}".rstrip("0").rstrip(".")
    return text if text not in ("-0", "") else "0"


def ticks_text(contract: Contract, ticks: int) -> str:
    """A price without zeros at the end; "0" for none."""
    text = f"{ticks / contract.tick_power:.{contract.tick_decimals}f}"
    return text.rstrip("0").rstrip(".") if contract.tick_decimals else text


def lots_text(contract: Contract, lots: int) -> str:
    """A quantity without zeros at the end."""
    text = f"{lots / contract.lot_power:.{contract.lot_decimals}f}"
    return text.rstrip("0").rstrip(".") if contract.lot_decimals else text


def status_at(versions: list[tuple[int, dict[str, Any]]], ts_ns: int) -> dict[str, Any] | None:
    """The latest of (time, object) that is not after ts_ns."""
    for ts, row in reversed(versions):
        if ts <= ts_ns:
            return row
    return None


class Ids:
    """Ids and numbers that the venue gives out; the seed decides which. serial: of the last order; sequence: of the last execution."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.serial = 0
        self.sequence = 10_000_000 + (seed % 1000) * 1000

    def uid(self) -> str:
        """An id as the venue makes them."""
        h = f"{self._random.getrandbits(128):032x}"
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"

    def counters(self) -> dict[str, int]:
        """How far orders and the sequence of the venue have come; for recount()."""
        return {"serial": self.serial, "sequence": self.sequence}

    def recount(self, counters: Mapping[str, int], random: Random) -> None:
        """Continue from counters(), with new ids."""
        self.serial, self.sequence, self._random = int(counters["serial"]), int(counters["sequence"]), random


@dataclass(slots=True, eq=False, repr=False)
class Order:
    """An order. Prices are ticks, quantities lots; `side` +1 buy. `slot`: its place in the matcher, -1 = none.

    kind: stopOrderType of a conditional order ("Stop", or what protects a position: "StopLoss", ...), "" for a plain one. `owner`: of a partial
    take-profit or stop-loss, the order that it was attached to; `twin`: the other one of the pair.
    """

    account: Any
    id: str
    n: int
    contract: Contract
    side: int
    market: bool
    qty: int
    now_ns: InitVar[int]
    link_id: str = ""
    parent: str = ""
    kind: str = ""
    serial: int = 0
    idx: int = 0
    price: int = 0
    done: int = 0
    trigger: int = 0
    direction: int = 0
    cap: int = 0
    trail: int = 0
    last_created: int = 0
    sl: int = 0
    tp: int = 0
    sl_limit: int = 0
    tp_limit: int = 0
    sl_by: str = ""
    tp_by: str = ""
    trigger_by: str = ""
    tpsl_mode: str = ""
    tif: str = ""
    status: str = "New"
    cancel_type: str = UNKNOWN
    reject: str = NO_ERROR
    creator: str = "CreateByUser"
    reduce: bool = False
    close_on_trigger: bool = False
    avg_value: float = 0.0
    fee: float = 0.0
    closed_pnl: float = 0.0
    created_ms: int = 0
    updated_ms: int = 0
    slot: int = -1
    slippage: tuple[str, str] = (UNKNOWN, "")
    owner: "Order | None" = None
    twin: "Order | None" = None
    versions: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    sent: dict[str, Any] | None = None

    def __post_init__(self, now_ns: int) -> None:
        self.tif = "IOC" if self.market else "GTC"
        self.created_ms = self.updated_ms = now_ns // 1_000_000

    @property
    def left(self) -> int:
        """Lots not executed yet."""
        return self.qty - self.done

    @property
    def open(self) -> bool:
        """Not ended."""
        return self.status in OPEN

    @property
    def waiting(self) -> bool:
        """Conditional, and not triggered."""
        return self.status == "Untriggered"

    def value(self) -> float:
        """The value of the open part at its price, in quote currency; the basis of its margin."""
        c = self.contract
        return self.left / c.lot_power * (self.price or self.cap) / c.tick_power

    def row(self) -> dict[str, Any]:
        """The order as it is now, in the venue's spelling."""
        c, left = self.contract, self.qty - self.done if self.status in OPEN else 0
        done = self.done / c.lot_power
        # fields that only an amendment changes come from the previous row, which no longer changes
        row = self.sent = self._fixed() if self.sent is None else self.sent.copy()
        row["orderStatus"] = self.status
        row["cancelType"] = self.cancel_type
        row["rejectReason"] = self.reject
        row["updatedTime"] = str(self.updated_ms)
        row["leavesQty"] = lots_text(c, left)
        row["leavesValue"] = number(left / c.lot_power * self.price / c.tick_power) if left else "0"
        if self.done:
            row["avgPrice"] = number(self.avg_value / done)
            row["cumExecQty"] = lots_text(c, self.done)
            row["cumExecValue"] = number(self.avg_value)
            row["cumExecFee"] = fee = number(self.fee)
            row["cumFeeDetail"] = {"USDT": fee}
            row["closedPnl"] = number(self.closed_pnl)
        return row

    def _fixed(self) -> dict[str, Any]:
        c = self.contract
        price, last = ticks_text(c, self.price or self.cap), ticks_text(c, self.last_created) if self.last_created else ""
        return {
            "category": "linear",
            "symbol": c.symbol,
            "orderId": self.id,
            "orderLinkId": self.link_id,
            "blockTradeId": "",
            "side": "Buy" if self.side > 0 else "Sell",
            "positionIdx": self.idx,
            "orderStatus": self.status,
            "createType": self.creator,
            "cancelType": self.cancel_type,
            "rejectReason": self.reject,
            "timeInForce": self.tif,
            "isLeverage": "",
            "price": price,
            "qty": lots_text(c, self.qty),
            "avgPrice": "",
            "leavesQty": "0",
            "leavesValue": "0",
            "cumExecQty": "0",
            "cumExecValue": "0",
            "cumExecFee": "0",
            "cumFeeDetail": {},
            "closedPnl": "0",
            "feeCurrency": "",
            "orderType": "Market" if self.market else "Limit",
            "stopOrderType": self.kind,
            "orderIv": "",
            "marketUnit": "",
            "triggerPrice": ticks_text(c, self.trigger) if self.trigger else "",
            "takeProfit": ticks_text(c, self.tp) if self.tp else "",
            "stopLoss": ticks_text(c, self.sl) if self.sl else "",
            "tpslMode": self.tpsl_mode,
            "ocoTriggerBy": "",
            "tpLimitPrice": ticks_text(c, self.tp_limit) if self.tp_limit else "",
            "slLimitPrice": ticks_text(c, self.sl_limit) if self.sl_limit else "",
            "triggerBy": self.trigger_by,
            "tpTriggerBy": self.tp_by,
            "slTriggerBy": self.sl_by,
            "triggerDirection": 0 if not self.direction else 1 if self.direction > 0 else 2,
            "placeType": "",
            "lastPriceOnCreated": last,
            "basePrice": last,
            "closeOnTrigger": self.close_on_trigger,
            "reduceOnly": self.reduce,
            "smpGroup": 0,
            "smpType": "None",
            "smpOrderId": "",
            "slippageToleranceType": self.slippage[0],
            "slippageTolerance": self.slippage[1],
            "parentOrderLinkId": self.parent,
            "createdTime": str(self.created_ms),
            "updatedTime": str(self.updated_ms),
        }

    def remember(self, now_ns: int) -> dict[str, Any]:
        """The row of this moment, kept for answers that are stale."""
        self.updated_ms = now_ns // 1_000_000
        row = self.row()
        self.versions.append((now_ns, row))
        if len(self.versions) > VERSIONS_MAX:
            del self.versions[0]
        return row


def acknowledgement(order: Order) -> Mapping[str, str]:
    """The order's part of the answer to a request."""
    return {"orderId": order.id, "orderLinkId": order.link_id}
