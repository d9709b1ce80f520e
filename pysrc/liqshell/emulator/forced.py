"""What the emulated venue does to positions by itself: funding, liquidation, auto-deleveraging."""

from .accounts import Account
from .amending import Amending
from .holdings import Holding
from .orders import Order, lots_text, number, ticks_text

NEVER = 0x7FFFFFFFFFFFFFFF


class Forced(Amending):
    """Funding at its hours, and positions closed by force."""

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
        # nobody holds anything: the settlements until now have nothing to settle
        self.matcher.wake = (at if at > 0 and self.held_now else now_ns) // interval * interval + interval

    def fund(self, now_ns: int) -> None:
        """Longs pay shorts when the rate is positive; the money comes from and goes to everybody else."""
        for account in self.accounts.values():
            for h in account.holdings.values():
                if h.size:
                    self._fund(h, now_ns)
        self.watch_margin()
        self.flush(now_ns)

    def _fund(self, h: Holding, now_ns: int) -> None:
        c, mark = h.contract, self.mark(h.n)
        rate = self.matcher.rate(h.n) * (1 if h.size > 0 else -1)            # as the venue says it: of a short with the sign turned
        value = abs(h.qty) * mark
        fee = value * rate
        self._sequence += 1
        h.sequence = self._sequence
        self.pay(h, -fee)
        text = ticks_text(c, round(mark * c.tick_power))
        row = {
            "category": "linear", "symbol": c.symbol, "execId": self.uid(), "orderId": f"{now_ns // 1_000_000_000}-8-{h.account.uid}-{h.idx}-{h.n}",
            "orderLinkId": "", "side": "Buy" if h.size > 0 else "Sell", "orderPrice": "0", "orderQty": "0", "leavesQty": "0",
            "createType": "", "orderType": "UNKNOWN", "stopOrderType": "UNKNOWN", "execFee": number(fee), "execFeeV2": "", "feeCurrency": "",
            "feeCoin": "USDT", "execPrice": text, "execQty": lots_text(c, abs(h.size)), "execPnl": "0", "execType": "Funding",
            "execValue": number(value), "execTime": str(now_ns // 1_000_000), "isMaker": False, "feeRate": number(rate), "isLeverage": "0",
            "tradeIv": "", "markIv": "", "markPrice": text, "indexPrice": "", "underlyingPrice": "", "blockTradeId": "", "closedSize": "0",
            "seq": self._sequence, "marketUnit": "", "extraFees": ""}
        h.account.executions.append((now_ns, row))
        h.account.log.append((now_ns, row, h.account.balance, h.qty))
        self._filled.append((h.account, row))

    # ---- liquidation ----

    def on_mark(self, n: int, now_ns: int) -> None:
        """A mark has come near somebody's liquidation."""
        for account in self.accounts.values():
            if account.liquidating or not any(h.size for h in account.holdings.values()):
                continue
            equity, _, _, _, kept = self.totals(account)
            if equity <= kept:
                self.liquidate(account, now_ns)
        self.watch_margin()
        self.flush(now_ns)

    def liquidate(self, account: Account, now_ns: int) -> bool:
        """Close everything by force at the next prices (execType BustTrade), as happens by itself when the margin is used up. False where nothing is
        held."""
        held = [h for h in account.holdings.values() if h.size]
        if not held or account.liquidating:
            return False
        account.liquidating = True
        self.withdraw(list(account.open.values()), now_ns, "CancelAllBeforeLiq")
        for h in held:
            h.status = "Liq"
            order = self._close(h, "CreateByLiq", abs(h.size), now_ns)
            self.enter(order, self.room(self.matcher.place(h.n, order.side, 0)))
            self.say_order(order, now_ns)
            self._moved[h] = None
        self.watch_margin()
        self.flush(now_ns)
        return True

    def _close(self, h: Holding, creator: str, qty: int, now_ns: int) -> Order:
        """An order of the venue's own against a position."""
        order = Order(h.account, self.uid(), h.n, h.contract, -1 if h.size > 0 else 1, True, qty, now_ns)
        order.idx, order.creator, order.reduce = h.idx, creator, True
        order.cap = round(self.mark(h.n) * h.contract.tick_power)
        self.admit(order)
        return order

    # ---- auto-deleveraging ----

    def deleverage(self, account: Account, symbol: str, now_ns: int, *, share: float = 1.0, position_idx: int = 0) -> bool:
        """Auto-deleveraging: `share` of the position is closed at the mark (execType AdlTrade); orders of the symbol are cancelled first
        (CancelAllBeforeAdl), what protects the position stays. False where nothing is held."""
        n = self.index[symbol]
        h = account.holdings.get((n, position_idx))
        if h is None or h.size == 0:
            return False
        # (a liquidation under way goes on: were its order withdrawn, nothing would ever end it)
        mine = [o for o in account.open.values() if o.n == n and o.idx == position_idx and o.kind in ("", "Stop") and o.creator != "CreateByLiq"]
        self.withdraw(mine, now_ns, "CancelAllBeforeAdl")
        order = self._close(h, "CreateByAdl_PassThrough", max(1, min(abs(h.size), round(abs(h.size) * share))), now_ns)
        self.execute(order, order.cap, order.qty, False, now_ns, "AdlTrade")
        self.after_fill(order, 0, now_ns)
        return True
