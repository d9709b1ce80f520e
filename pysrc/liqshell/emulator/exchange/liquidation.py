"""Actions of the emulated venue on positions: funding, liquidation, auto-deleveraging."""

from dataclasses import dataclass

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import Account, Holding
from liqshell.emulator.exchange.ledger import Ledger
from liqshell.emulator.exchange.matching import Matching
from liqshell.emulator.exchange.order_books import Books
from liqshell.emulator.exchange.order_changes import OrderChanges
from liqshell.emulator.exchange.orders import Ids, Order, lots_text, number, ticks_text
from liqshell.emulator.exchange.parameters import Listing
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.settings import Settings

NEVER = 0x7FFFFFFFFFFFFFFF


@dataclass(eq=False)
class Liquidation:
    """Funding at its hours, and positions closed by force."""

    listing: Listing
    settings: Settings
    matcher: Matcher
    ids: Ids
    positions: Positions
    stream: PrivateStream
    books: Books
    ledger: Ledger
    matching: Matching
    changes: OrderChanges

    # ---- funding ----

    def on_time(self, now_ns: int) -> None:
        """The matcher's clock has reached `wake`."""
        interval = round(self.settings.funding_interval_s * 1e9)
        at = self.matcher.wake
        if interval <= 0:
            self.matcher.wake = NEVER
            return
        if at > 0:
            self.fund(at)
        # no positions: the settlements until now have nothing to settle
        self.matcher.wake = (at if at > 0 and self.positions.held_now else now_ns) // interval * interval + interval

    def fund(self, now_ns: int) -> None:
        """Longs pay shorts when the rate is positive; the money comes from and goes to everybody else."""
        for account in self.positions.accounts.values():
            for h in account.holdings.values():
                if h.size:
                    self.charge_funding(h, now_ns)
        self.positions.watch_margin()
        self.stream.flush(now_ns)

    def charge_funding(self, h: Holding, now_ns: int) -> None:
        """Funding of one position."""
        c, mark = h.contract, self.positions.mark(h.n)
        rate = self.matcher.rate(h.n) * (1 if h.size > 0 else -1)  # as the venue says it: of a short with the sign turned
        value = abs(h.qty) * mark
        fee = value * rate
        self.ids.sequence += 1
        h.sequence = self.ids.sequence
        self.ledger.pay(h, -fee)
        text = ticks_text(c, round(mark * c.tick_power))
        row = {
            "category": "linear",
            "symbol": c.symbol,
            "execId": self.ids.uid(),
            "orderId": f"{now_ns // 1_000_000_000}-8-{h.account.uid}-{h.idx}-{h.n}",
            "orderLinkId": "",
            "side": "Buy" if h.size > 0 else "Sell",
            "orderPrice": "0",
            "orderQty": "0",
            "leavesQty": "0",
            "createType": "",
            "orderType": "UNKNOWN",
            "stopOrderType": "UNKNOWN",
            "execFee": number(fee),
            "execFeeV2": "",
            "feeCurrency": "",
            "feeCoin": "USDT",
            "execPrice": text,
            "execQty": lots_text(c, abs(h.size)),
            "execPnl": "0",
            "execType": "Funding",
            "execValue": number(value),
            "execTime": str(now_ns // 1_000_000),
            "isMaker": False,
            "feeRate": number(rate),
            "isLeverage": "0",
            "tradeIv": "",
            "markIv": "",
            "markPrice": text,
            "indexPrice": "",
            "underlyingPrice": "",
            "blockTradeId": "",
            "closedSize": "0",
            "seq": self.ids.sequence,
            "marketUnit": "",
            "extraFees": "",
        }
        h.account.executions.append((now_ns, row))
        h.account.log.append((now_ns, row, h.account.balance, h.qty))
        self.stream.filled.append((h.account, row))

    # ---- liquidation ----

    def on_mark(self, n: int, now_ns: int) -> None:
        """A mark has come near a liquidation price."""
        for account in self.positions.accounts.values():
            if account.liquidating or not any(h.size for h in account.holdings.values()):
                continue
            equity, _, _, _, kept = self.positions.totals(account)
            if equity <= kept:
                self.liquidate(account, now_ns)
        self.positions.watch_margin()
        self.stream.flush(now_ns)

    def liquidate(self, account: Account, now_ns: int) -> bool:
        """Close everything by force at the next prices (execType BustTrade), as happens by itself when the margin is used up. False where nothing is
        held."""
        held = [h for h in account.holdings.values() if h.size]
        if not held or account.liquidating:
            return False
        account.liquidating = True
        self.changes.withdraw(list(account.open.values()), now_ns, "CancelAllBeforeLiq")
        for h in held:
            h.status = "Liq"
            order = self.close(h, "CreateByLiq", abs(h.size), now_ns)
            self.books.enter(order, self.books.room(self.matcher.place(h.n, order.side, 0)))
            self.stream.emit_order(order, now_ns)
            self.stream.moved[h] = None
        self.positions.watch_margin()
        self.stream.flush(now_ns)
        return True

    def close(self, h: Holding, creator: str, qty: int, now_ns: int) -> Order:
        """An order of the venue's own against a position."""
        order = Order(h.account, self.ids.uid(), h.n, h.contract, -1 if h.size > 0 else 1, True, qty, now_ns)
        order.idx, order.creator, order.reduce = h.idx, creator, True
        order.cap = round(self.positions.mark(h.n) * h.contract.tick_power)
        self.books.admit(order)
        return order

    # ---- auto-deleveraging ----

    def deleverage(self, account: Account, symbol: str, now_ns: int, *, share: float = 1.0, position_idx: int = 0) -> bool:
        """Auto-deleveraging: `share` of the position is closed at the mark (execType AdlTrade); orders of the symbol are cancelled first
        (CancelAllBeforeAdl), what protects the position stays. False where nothing is held."""
        n = self.listing.index[symbol]
        h = account.holdings.get((n, position_idx))
        if h is None or h.size == 0:
            return False
        # (a liquidation under way goes on: were its order withdrawn, nothing would ever end it)
        mine = [o for o in account.open.values() if o.n == n and o.idx == position_idx and o.kind in ("", "Stop") and o.creator != "CreateByLiq"]
        self.changes.withdraw(mine, now_ns, "CancelAllBeforeAdl")
        order = self.close(h, "CreateByAdl_PassThrough", max(1, min(abs(h.size), round(abs(h.size) * share))), now_ns)
        self.ledger.execute(order, order.cap, order.qty, False, now_ns, "AdlTrade")
        self.matching.after_fill(order, 0, now_ns)
        return True
