"""What an execution does to an account of the emulated venue: position, fees, margin; and what is said about it on the private stream."""

from collections.abc import Sequence
from random import Random
from typing import Any

from liqcore.instrument import Instrument
from liqcore.matcher import Matcher

from .accounts import Account, Closing
from .contracts import Contract
from .holdings import Holding
from .orders import Order, lots_text, number, ticks_text
from .venue_settings import Settings

Said = tuple[Account, str, int, list[dict[str, Any]]]
CAPACITY = 8192                                      # orders at rest, of all accounts
RESERVED = 1024                                      # of them for what protects positions
WALLETS_KEPT = 64
REALTIME_ENDED = 500                                 # ended orders that order/realtime still knows
HEDGE_LONG, HEDGE_SHORT = 1, 2


def instrument_of(contract: Contract) -> Instrument:
    """A contract as the core wants it."""
    return Instrument(contract.symbol, venue="bybit", tick_size=f"{10.0 ** -contract.tick_decimals:.{contract.tick_decimals}f}",
                      lot_size=f"{10.0 ** -contract.lot_decimals:.{contract.lot_decimals}f}", min_notional=5.0)


class Ledger:
    """Accounts, positions, money, messages. The base of Exchange."""

    def __init__(self, contracts: Sequence[Contract], settings: Settings | None = None, seed: int = 0) -> None:
        self.settings = settings or Settings()
        self.contracts = tuple(contracts)
        self.index = {contract.symbol: n for n, contract in enumerate(self.contracts)}
        s = self.settings
        self.matcher = Matcher([instrument_of(contract) for contract in self.contracts], self, fills=s.fills, taker=s.taker, hidden=s.hidden,
                               half_spread=s.half_spread, print_wait_s=s.print_wait_s, quote_age_s=s.quote_age_s, capacity=CAPACITY)
        self.matcher.wake = 0                        # the first event or request tells the time
        self.slots: list[Order | None] = [None] * CAPACITY
        self.accounts: dict[str, Account] = {}
        self.halted: set[str] = set()
        self.stale_ns = 0
        self.held = False                            # a request is being handled: messages wait for its end
        self.resting = 0                             # orders in the matcher
        self._serial = 0
        self._random = Random(seed)
        self._sequence = 10_000_000 + (seed % 1000) * 1000
        self.held_now: set[Holding] = set()          # positions that are not flat
        self._said: list[Said] = []
        self._filled: list[tuple[Account, dict[str, Any]]] = []           # executions that have not been said yet
        self._moved: dict[Holding, None] = {}                             # positions to be said
        self._paid: dict[Account, None] = {}                              # wallets to be said

    def uid(self) -> str:
        """An id as the venue makes them; the seed decides which."""
        h = f"{self._random.getrandbits(128):032x}"
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"

    # ---- messages ----

    def say_order(self, order: Order, now_ns: int) -> None:
        """The order has changed."""
        row = order.remember(now_ns)
        if "order" in order.account.topics:
            self._said.append((order.account, "order", now_ns, [row]))

    def flush(self, now_ns: int) -> None:
        """Say what an operation has done, once: executions, positions, the wallet."""
        if self.held:
            return
        if self._filled:
            for account in dict.fromkeys(account for account, _ in self._filled):
                if "execution" in account.topics:
                    self._said.append((account, "execution", now_ns, [row for who, row in self._filled if who is account]))
            self._filled.clear()
        if self._moved:
            for holding in self._moved:
                self.say_position(holding, now_ns)
            self._moved.clear()
        if self._paid:
            for account in self._paid:
                row = self.wallet_row(account)
                account.wallets.append((now_ns, row))
                if len(account.wallets) > WALLETS_KEPT:
                    del account.wallets[0]
                if "wallet" in account.topics:
                    self._said.append((account, "wallet", now_ns, [row]))
            self._paid.clear()

    def say_position(self, holding: Holding, now_ns: int) -> None:
        """One position, now."""
        holding.updated_ms = now_ns // 1_000_000
        row = self.position_row(holding)
        holding.remember(now_ns, row)
        if "position" in holding.account.topics:
            self._said.append((holding.account, "position", now_ns, [row]))

    def take(self) -> list[Said]:
        """Everything said on the private streams since the last call: (account, topic, time ns, rows of `data`), in order.
        The rows are the venue's JSON objects; they are shared with the model: encode or copy, never change them."""
        said, self._said = self._said, []
        return said

    # ---- money ----

    def maintenance(self, n: int) -> float:
        """Maintenance margin rate."""
        return self.contracts[n].maintenance_bps * 1e-4

    def mark(self, n: int) -> float:
        """Mark price; the last price where no mark is known."""
        return self.matcher.prices(n)[1]

    def totals(self, account: Account) -> tuple[float, float, float, float, float]:
        """(equity, unrealised profit, margin of positions, margin of orders, maintenance margin)."""
        unrealised = held = orders = kept = 0.0
        fee = self.settings.taker_fee
        for h in account.holdings.values():
            if not (h.size or h.buys or h.sells):
                continue
            mark = self.mark(h.n)
            value = abs(h.qty) * mark
            margin = value / h.leverage + value * fee
            unrealised += h.unrealised(mark)
            held += margin
            more = h.exposure(mark) - value
            orders += more / h.leverage + 2.0 * more * fee
            kept += value * (self.maintenance(h.n) + fee)
        return account.balance + unrealised, unrealised, held, orders, kept

    def available(self, account: Account) -> float:
        """What may be used for new orders."""
        equity, _, held, orders, _ = self.totals(account)
        return equity - held - orders

    def wallet_row(self, account: Account) -> dict[str, Any]:
        """The account as the venue writes it now."""
        return account.wallet_row(*self.totals(account))

    def position_row(self, h: Holding) -> dict[str, Any]:
        """A position as the private stream writes it now."""
        mark = self.matcher.prices(h.n)[1]
        return h.row(mark, self.liquidation_price(h, mark) if h.size else 0.0, self.maintenance(h.n), self.settings.taker_fee)

    def liquidation_price(self, h: Holding, mark: float) -> float:
        """The mark at which the account has no more than its maintenance margin, all other marks as they are; <= 0 = never. Both sides of a hedge
        move with it: the side that gains by that move has none."""
        equity, _, _, _, kept = self.totals(h.account)
        rate = self.maintenance(h.n) + self.settings.taker_fee
        both = [one.qty for (n, _), one in h.account.holdings.items() if n == h.n and one.size]
        slope = sum(both) - rate * sum(map(abs, both))                       # what the account has to spare changes so with the mark
        return mark - (equity - kept) / slope if slope * h.size > 0 else 0.0

    def watch_margin(self) -> None:
        """Tell the matcher within which marks nobody can be liquidated: each position may lose its share of what the account has to spare."""
        low, high = [0.0] * len(self.contracts), [float("inf")] * len(self.contracts)
        for account in self.accounts.values() if self.settings.liquidation else ():
            held = [h for h in account.holdings.values() if h.size] if self.held_now else []
            if not held or account.liquidating:
                continue
            equity, _, _, _, kept = self.totals(account)
            share = max(equity - kept, 0.0) / len(held)
            for h in held:
                mark, n = self.mark(h.n), h.n
                room = max(share / (abs(h.qty) * (1.0 + self.maintenance(n))), 1.0 / h.contract.tick_power)
                if h.size > 0:
                    low[n] = max(low[n], mark - room)
                else:
                    high[n] = min(high[n], mark + room)
        for n in range(len(self.contracts)):
            self.matcher.guard(n, low[n], high[n])

    # ---- executions ----

    def holding(self, account: Account, n: int, idx: int) -> Holding:
        """The position of a symbol and index; made where there is none yet."""
        found = account.holdings.get((n, idx))
        if found is None:
            leverage = next((h.leverage for (m, _), h in account.holdings.items() if m == n), self.settings.leverage)
            found = account.holdings[n, idx] = Holding(account, n, self.contracts[n], idx, leverage)
        return found

    def execute(self, order: Order, ticks: int, lots: int, maker: bool, now_ns: int, kind: str = "Trade") -> Holding:
        """An execution of an order: position, fee, profit, and the row of the execution stream."""
        account, c = order.account, order.contract
        h = self.holding(account, order.n, order.idx)
        before, price, qty = h.size, ticks / c.tick_power, lots / c.lot_power
        self.release(order)
        pnl, closed = h.move(order.side, price, lots)
        if h.size:
            self.held_now.add(h)
        else:
            self.held_now.discard(h)
        rate = self.settings.maker_fee if maker else self.settings.taker_fee
        value = price * qty
        fee = value * rate
        order.done += lots
        order.avg_value += value
        order.fee += fee
        opening, closing = h.charge(fee, lots, closed)
        order.closed_pnl += pnl - opening - closing
        self.reserve(order)
        self.pay(h, pnl - fee)
        if before == 0 or (before > 0) != (h.size > 0) and h.size:
            h.created_ms, h.realised = now_ns // 1_000_000, closing - fee
        self._sequence += 1
        h.sequence = self._sequence
        _, mark, index = self.matcher.prices(order.n)
        row = {
            "category": "linear", "symbol": c.symbol, "execId": self.uid(), "orderId": order.id, "orderLinkId": order.link_id,
            "side": "Buy" if order.side > 0 else "Sell", "orderPrice": ticks_text(c, order.price or order.cap),
            "orderQty": lots_text(c, order.qty), "leavesQty": lots_text(c, order.left), "createType": order.creator,
            "orderType": "Market" if order.market else "Limit", "stopOrderType": order.kind or "UNKNOWN", "execFee": number(fee), "execFeeV2": "",
            "feeCurrency": "", "feeCoin": "USDT", "execPrice": ticks_text(c, ticks), "execQty": lots_text(c, lots), "execPnl": number(pnl),
            "execType": kind, "execValue": number(value), "execTime": str(now_ns // 1_000_000), "isMaker": maker, "feeRate": number(rate),
            "isLeverage": "0", "tradeIv": "", "markIv": "", "markPrice": number(mark), "indexPrice": number(index), "underlyingPrice": "",
            "blockTradeId": "", "closedSize": lots_text(c, closed), "seq": self._sequence, "marketUnit": "", "extraFees": ""}
        account.executions.append((now_ns, row))
        account.log.append((now_ns, row, account.balance, h.qty))
        if closed:
            account.closings.append((now_ns, row, Closing(closed / c.lot_power, pnl, opening, closing, h.leverage)))
        self._filled.append((account, row))
        return h

    def pay(self, h: Holding, amount: float) -> None:
        """Money that a position earned (or cost, < 0)."""
        h.account.balance += amount
        h.account.realised += amount
        h.realised += amount
        h.realised_total += amount
        self._moved[h] = None
        self._paid[h.account] = None

    # ---- what open orders reserve ----

    def reserve(self, order: Order) -> None:
        """Count what an open order may add to its position."""
        if order.left and not order.reduce and not order.waiting and order.open:
            h = self.holding(order.account, order.n, order.idx)
            if order.side > 0:
                h.buys += order.value()
            else:
                h.sells += order.value()

    def release(self, order: Order) -> None:
        """The opposite of reserve(), before anything about the order changes."""
        if order.left and not order.reduce and not order.waiting and order.open:
            h = self.holding(order.account, order.n, order.idx)
            if order.side > 0:
                h.buys = max(h.buys - order.value(), 0.0)
            else:
                h.sells = max(h.sells - order.value(), 0.0)
            if h.buys < 1e-6:                        # binary fractions of what has gone
                h.buys = 0.0
            if h.sells < 1e-6:
                h.sells = 0.0

    # ---- the life of an order ----

    def _forget(self, account: Account) -> None:
        """What is long over is kept short, and then not at all."""
        if len(account.ended) > REALTIME_ENDED:
            del account.ended[-REALTIME_ENDED - 1].versions[:-1]
        if len(account.ended) > self.settings.history_max:
            old = account.ended.popleft()
            account.orders.pop(old.id, None)
            if old.link_id:
                account.links.pop(old.link_id, None)
                account.ended_links.pop(old.link_id, None)

    def admit(self, order: Order) -> None:
        """A new order is the account's."""
        account = order.account
        self._serial += 1
        order.serial = self._serial
        account.orders[order.id] = account.open[order.id] = order
        if order.link_id:
            account.links[order.link_id] = order
            account.used_links.add(order.link_id)

    def enter(self, order: Order, slot: int) -> None:
        """Its place in the matcher."""
        order.slot = slot
        self.slots[slot] = order
        self.resting += 1

    def leave(self, order: Order) -> None:
        """Out of the matcher."""
        if order.slot >= 0:
            self.matcher.remove(order.slot)
            self.slots[order.slot] = None
            self.resting -= 1
            order.slot = -1

    def finish(self, order: Order, status: str, now_ns: int, *, cancel: str = "", reject: str = "") -> None:
        """The order ends."""
        account = order.account
        self.release(order)
        self.leave(order)
        order.status = status
        order.cancel_type, order.reject = cancel or order.cancel_type, reject or order.reject
        account.open.pop(order.id, None)
        account.ended.append(order)
        if order.link_id:
            account.ended_links[order.link_id] = status
        self._forget(account)
        self.say_order(order, now_ns)
        h = account.holdings.get((order.n, order.idx))
        if h is not None:
            self._moved[h] = None
