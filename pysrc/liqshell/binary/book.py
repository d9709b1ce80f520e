"""The book of one token, and the price for a taker."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from liqshell.venues.polymarket.decoder import Book, Change
from liqshell.venues.polymarket.market import taker_fee

CENT, LEAST = Decimal("0.01"), Decimal("0.0001")
ZERO = Decimal(0)


@dataclass(frozen=True)
class Taken:
    """The result of a taker order: shares, their cost without fee, the fee."""

    shares: Decimal
    cost: Decimal
    fee: Decimal

    @property
    def price(self) -> Decimal:
        """Mean, without fee; 0 where nothing was taken."""
        return self.cost / self.shares if self.shares else ZERO


@dataclass
class TokenBook:
    """known: a whole book has come and nothing has put it in doubt since. ts: receipt of the last message about it, ns."""

    known: bool = False
    ts: int = 0
    tick: Decimal | None = None
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    def replace(self, book: Book, ts: int) -> None:
        self.bids, self.asks = dict(book.bids), dict(book.asks)
        self.known, self.ts, self.tick = True, ts, book.tick or self.tick

    def change(self, one: Change, ts: int) -> None:
        """A level. Before the whole book has come it says nothing. Where the venue states another best price than what we then have, we have missed
        something: nothing is known until a whole book comes."""
        if not self.known:
            return
        side, other = (self.bids, self.asks) if one.buy else (self.asks, self.bids)
        if one.size:
            side[one.price] = one.size
            # frames of one moment come level by level: what the new level has met is gone
            for price in [p for p in other if (p <= one.price if one.buy else p >= one.price)]:
                del other[price]
        else:
            side.pop(one.price, None)
        self.ts = ts
        if any(said is not None and said != (ours or ZERO) for said, ours in ((one.best_bid, self.bid), (one.best_ask, self.ask))):
            self.drop()

    def drop(self) -> None:
        """Nothing is known any more until a whole book comes."""
        self.known = False
        self.bids.clear()
        self.asks.clear()

    @property
    def bid(self) -> Decimal | None:
        return max(self.bids, default=None)

    @property
    def ask(self) -> Decimal | None:
        return min(self.asks, default=None)

    @property
    def mid(self) -> float | None:
        """None where one side is empty."""
        return float(self.bid + self.ask) / 2.0 if self.bid is not None and self.ask is not None else None

    def depth(self, limit: Decimal) -> Decimal:
        """Shares offered at the limit or below."""
        return sum((size for price, size in self.asks.items() if price <= limit), ZERO)

    def take(self, money: Decimal, limit: Decimal, rate: Decimal) -> Taken:
        """The fill of a buyer for up to this much money at the limit or better, the fee of each level on top, as the venue fills a FAK.
        The book is not changed: the venue reports its new state."""
        shares, cost, fee = ZERO, ZERO, ZERO
        for price in sorted(self.asks):
            if price > limit:
                break
            some = min(((money - cost) / price).quantize(LEAST, ROUND_DOWN), self.asks[price])
            shares, cost, fee = shares + some, cost + some * price, fee + taker_fee(some, price, rate)
        return Taken(shares, cost, fee)
