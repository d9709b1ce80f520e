"""The effect of an execution on an account of the emulated venue: position, fees, money, and the row that reports it."""

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import Closing, Holding
from liqshell.emulator.exchange.orders import Ids, Order, lots_text, number, ticks_text
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.settings import Settings


class Ledger:
    """Books executions and payments."""

    def __init__(self, settings: Settings, matcher: Matcher, ids: Ids, positions: Positions, stream: PrivateStream) -> None:
        self.settings, self.matcher, self.ids, self.positions, self.stream = settings, matcher, ids, positions, stream

    def execute(self, order: Order, ticks: int, lots: int, maker: bool, now_ns: int, kind: str = "Trade") -> Holding:
        """An execution of an order: position, fee, profit, and the row of the execution stream."""
        account, c = order.account, order.contract
        h = self.positions.holding(account, order.n, order.idx)
        before, price, qty = h.size, ticks / c.tick_power, lots / c.lot_power
        self.positions.release(order)
        pnl, closed = h.move(order.side, price, lots)
        if h.size:
            self.positions.held_now.add(h)
        else:
            self.positions.held_now.discard(h)
        rate = self.settings.maker_fee if maker else self.settings.taker_fee
        value = price * qty
        fee = value * rate
        order.done += lots
        order.avg_value += value
        order.fee += fee
        opening, closing = h.charge(fee, lots, closed)
        order.closed_pnl += pnl - opening - closing
        self.positions.reserve(order)
        self.pay(h, pnl - fee)
        if before == 0 or (before > 0) != (h.size > 0) and h.size:
            h.created_ms, h.realised = now_ns // 1_000_000, closing - fee
        self.ids.sequence += 1
        h.sequence = self.ids.sequence
        _, mark, index = self.matcher.prices(order.n)
        row = {
            "category": "linear",
            "symbol": c.symbol,
            "execId": self.ids.uid(),
            "orderId": order.id,
            "orderLinkId": order.link_id,
            "side": "Buy" if order.side > 0 else "Sell",
            "orderPrice": ticks_text(c, order.price or order.cap),
            "orderQty": lots_text(c, order.qty),
            "leavesQty": lots_text(c, order.left),
            "createType": order.creator,
            "orderType": "Market" if order.market else "Limit",
            "stopOrderType": order.kind or "UNKNOWN",
            "execFee": number(fee),
            "execFeeV2": "",
            "feeCurrency": "",
            "feeCoin": "USDT",
            "execPrice": ticks_text(c, ticks),
            "execQty": lots_text(c, lots),
            "execPnl": number(pnl),
            "execType": kind,
            "execValue": number(value),
            "execTime": str(now_ns // 1_000_000),
            "isMaker": maker,
            "feeRate": number(rate),
            "isLeverage": "0",
            "tradeIv": "",
            "markIv": "",
            "markPrice": number(mark),
            "indexPrice": number(index),
            "underlyingPrice": "",
            "blockTradeId": "",
            "closedSize": lots_text(c, closed),
            "seq": self.ids.sequence,
            "marketUnit": "",
            "extraFees": "",
        }
        account.executions.append((now_ns, row))
        account.log.append((now_ns, row, account.balance, h.qty))
        if closed:
            account.closings.append((now_ns, row, Closing(closed / c.lot_power, pnl, opening, closing, h.leverage)))
        self.stream.filled.append((account, row))
        return h

    def pay(self, h: Holding, amount: float) -> None:
        """Money that a position earned (or cost, < 0)."""
        h.account.balance += amount
        h.account.realised += amount
        h.realised += amount
        h.realised_total += amount
        self.stream.moved[h] = None
        self.stream.paid[h.account] = None
