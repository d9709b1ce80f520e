"""Accounts and positions of the emulated venue: holdings, value at the mark, and required margin."""

from typing import Any

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import Account, Holding
from liqshell.emulator.exchange.orders import Order
from liqshell.emulator.exchange.parameters import Listing
from liqshell.emulator.exchange.settings import Settings


class Positions:
    """accounts: by API key. held_now: positions that are not flat."""

    def __init__(self, listing: Listing, settings: Settings, matcher: Matcher) -> None:
        self.listing, self.settings, self.matcher = listing, settings, matcher
        self.accounts: dict[str, Account] = {}
        self.held_now: set[Holding] = set()  # positions that are not flat

    # ---- money ----

    def maintenance(self, n: int) -> float:
        """Maintenance margin rate."""
        return self.listing.contracts[n].maintenance_bps * 1e-4

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
        """The balance available for new orders."""
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
        slope = sum(both) - rate * sum(map(abs, both))  # what the account has to spare changes so with the mark
        return mark - (equity - kept) / slope if slope * h.size > 0 else 0.0

    def watch_margin(self) -> None:
        """Give the matcher the range of marks without a liquidation: each position may lose its share of the account's free margin."""
        low, high = [0.0] * len(self.listing.contracts), [float("inf")] * len(self.listing.contracts)
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
        for n in range(len(self.listing.contracts)):
            self.matcher.guard(n, low[n], high[n])

    # ---- executions ----

    def holding(self, account: Account, n: int, idx: int) -> Holding:
        """The position of a symbol and index; made where there is none yet."""
        found = account.holdings.get((n, idx))
        if found is None:
            leverage = next((h.leverage for (m, _), h in account.holdings.items() if m == n), self.settings.leverage)
            found = account.holdings[n, idx] = Holding(account, n, self.listing.contracts[n], idx, leverage)
        return found

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
            if h.buys < 1e-6:  # binary fractions of what has gone
                h.buys = 0.0
            if h.sells < 1e-6:
                h.sells = 0.0
