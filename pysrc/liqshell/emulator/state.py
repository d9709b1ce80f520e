"""What the venue knows about each symbol at this moment: behind its REST answers and the first frames after a subscribe."""

from collections import deque
from dataclasses import dataclass, field

from . import bybit
from .contracts import Contract

MINUTE_MS = 60_000
TRADES_KEPT = 1_000
BARS_KEPT = 1_440


@dataclass(slots=True)
class SymbolState:
    """Public state of one symbol. Prices and quantities are the venue's texts."""

    contract: Contract
    bid: tuple[str, str] | None = None               # price, size
    ask: tuple[str, str] | None = None
    u: int = 1_000_000
    seq: int = 5_000_000_000
    book_ms: int = 0
    last_ticks: int = 0
    direction: str = "ZeroPlusTick"
    ticker: dict[str, str] = field(default_factory=dict)
    # T, side, v, p, id, seq
    trades: deque[tuple[int, str, str, str, str, int]] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    # start ms, open, high, low, close, volume, turnover
    bars: deque[list[float]] = field(default_factory=lambda: deque(maxlen=BARS_KEPT))

    def on_trade(self, t_ms: int, side: str, v: str, p: str, uid: str, seq: int) -> None:
        """A trade has been printed."""
        self.trades.append((t_ms, side, v, p, uid, seq))
        price, qty = float(p), float(v)
        start = t_ms - t_ms % MINUTE_MS
        bar = self.bars[-1] if self.bars else None
        if bar is None or bar[0] < start:
            self.bars.append([start, price, price, price, price, qty, qty * price])
            return
        bar[2], bar[3], bar[4] = max(bar[2], price), min(bar[3], price), price
        bar[5] += qty
        bar[6] += qty * price

    def book_frame(self, ts: int) -> bytes | None:
        """The orderbook.1 snapshot in force, or None before the first quote."""
        if self.bid is None or self.ask is None:
            return None
        return bybit.book1_frame(self.contract.symbol, ts, *self.bid, *self.ask, self.u, self.seq, self.book_ms)

    def full_ticker(self) -> dict[str, str]:
        """All ticker fields."""
        out = {"symbol": self.contract.symbol, **self.ticker}
        if self.bid and self.ask:
            out |= {"bid1Price": self.bid[0], "bid1Size": self.bid[1], "ask1Price": self.ask[0], "ask1Size": self.ask[1]}
        return out

    def first_frame(self, topic: str, ts: int) -> bytes | None:
        """What a new subscriber gets at once."""
        if topic.startswith("orderbook.1."):
            return self.book_frame(ts)
        if topic.startswith("tickers.") and self.ticker:
            fields = self.full_ticker()
            del fields["symbol"]
            return bybit.ticker_frame(self.contract.symbol, ts, "snapshot", fields, self.seq)
        return None

    def klines(self, interval_ms: int, start: int, end: int, limit: int) -> list[list[str]]:
        """Bars newest first, as REST gives them."""
        merged: dict[int, list[float]] = {}
        for t, o, h, low, c, v, turnover in reversed(self.bars):
            key = int(t) - int(t) % interval_ms
            bar = merged.get(key)
            if key < start or bar is None and len(merged) == limit:
                break
            if key > end:
                continue
            if bar is None:
                merged[key] = [key, o, h, low, c, v, turnover]
            else:
                bar[1], bar[2], bar[3] = o, max(bar[2], h), min(bar[3], low)
                bar[5] += v
                bar[6] += turnover
        decimals = self.contract.price_decimals
        return [[str(int(bar[0])), *(f"{x:.{decimals}f}" for x in bar[1:5]), f"{bar[5]:.{self.contract.lot_decimals}f}", f"{bar[6]:.4f}"]
                for bar in merged.values()]
