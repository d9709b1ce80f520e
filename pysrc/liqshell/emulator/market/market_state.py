"""The venue's present state of each symbol, for REST answers and the first frames after a subscription."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.bars import MINUTE_MS, PAST_MINUTES, Bars, MadePast
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.random_draws import Floats

TRADES_KEPT = 1_000
INDEX_BPS = 0.3  # how far the index was from the price in the made-up past, of a minute
# what a linear perpetual has nothing to say to; the venue writes the keys all the same
EMPTY = dict.fromkeys(
    ("predictedDeliveryPrice", "basisRate", "deliveryFeeRate", "basis", "preOpenPrice", "preQty", "curPreListingPhase", "basisRateYear"), ""
) | {"deliveryTime": "0"}


@dataclass(slots=True)
class SymbolState:
    """Public state of one symbol. Prices and quantities are the venue's texts. seed: of a generated market, which has a past; None = a recording,
    of which nothing is known before it begins. bars, mark, index, premium: candles of what was traded, of the mark, of the index, and of the mark's
    distance from it."""

    contract: Contract
    seed: int | None = None
    bid: tuple[str, str] | None = None  # price, size
    ask: tuple[str, str] | None = None
    u: int = 1_000_000
    seq: int = 5_000_000_000
    book_ms: int = 0
    last_ticks: int = 0
    direction: str = "ZeroPlusTick"
    ticker: dict[str, str] = field(default_factory=dict)
    # T, side, v, p, id, seq
    trades: deque[tuple[int, str, str, str, str, int]] = field(default_factory=lambda: deque(maxlen=TRADES_KEPT))
    bars: Bars = field(init=False)
    mark: Bars = field(init=False)
    index: Bars = field(init=False)
    premium: Bars = field(init=False)

    def __post_init__(self) -> None:
        c, past = self.contract, None if self.seed is None else MadePast(self.contract, self.seed)
        self.bars, self.mark = Bars(c.price_decimals, c.lot_decimals, past), Bars(c.price_decimals, None, past)
        self.index = Bars(c.price_decimals, None, None if self.seed is None else MadePast(c, self.seed, INDEX_BPS))
        self.premium = Bars(6, None, None if self.seed is None else self._past_premium)

    def _past_premium(self, price: float, before_ms: int) -> Floats:
        mark, index = (bars.rows(MINUTE_MS, before_ms, end=before_ms - MINUTE_MS, limit=PAST_MINUTES) for bars in (self.mark, self.index))
        out = mark.copy()
        out[:, 1:5] = (mark[:, 1:5] - index[:, 1:5]) / index[:, 1:5]
        ends = np.sort(out[:, [1, 4]], axis=1)
        out[:, 3], out[:, 2] = ends[:, 0], ends[:, 1]
        return out

    def on_trade(self, t_ms: int, side: str, v: str, p: str, uid: str, seq: int) -> None:
        """A trade has been printed."""
        self.trades.append((t_ms, side, v, p, uid, seq))
        self.bars.push(t_ms, float(p), float(v))

    def on_marks(self, t_ms: int, mark: float, index: float) -> None:
        """Mark and index have changed."""
        self.mark.push(t_ms, mark)
        self.index.push(t_ms, index)
        self.premium.push(t_ms, (mark - index) / index)

    def day(self, now_ms: int) -> dict[str, str]:
        """The statistics of 24 hours, as they follow from the candles; nothing before the first trade."""
        if not self.bars.known:
            return {}
        c, day = self.contract, self.bars.day(now_ms)
        last = self.last_ticks / c.tick_power if self.last_ticks else float(self.trades[-1][3])
        high, low, before, hour = (f"{price:.{c.price_decimals}f}" for price in (day.high, day.low, day.before, day.hour))
        return {
            "highPrice24h": high,
            "lowPrice24h": low,
            "prevPrice24h": before,
            "prevPrice1h": hour,
            "price24hPcnt": f"{last / day.before - 1.0:.6f}",
            "volume24h": f"{day.volume:.4f}",
            "turnover24h": f"{day.turnover:.4f}",
        }

    def book_frame(self, ts: int) -> bytes | None:
        """The orderbook.1 snapshot in force, or None before the first quote."""
        if self.bid is None or self.ask is None:
            return None
        return bybit.book1_frame(self.contract.symbol, ts, *self.bid, *self.ask, self.u, self.seq, self.book_ms)

    def full_ticker(self, now_ms: int | None = None) -> dict[str, str]:
        """All ticker fields: the last of the stream, or of a generated market the present ones."""
        c = self.contract
        out = {"symbol": c.symbol, **EMPTY, **self.ticker}
        if now_ms is not None and self.seed is not None and self.last_ticks:
            out |= {"lastPrice": bybit.price_text(c, self.last_ticks), **self.day(now_ms)}
        for name, decimals in (("openInterest", c.lot_decimals), ("openInterestValue", 2)):
            if name in out:  # of both sides; so is half of it of one
                out.setdefault("single" + name[0].upper() + name[1:], f"{float(out[name]) / 2.0:.{decimals}f}")
        if self.bid and self.ask:
            out |= {"bid1Price": self.bid[0], "bid1Size": self.bid[1], "ask1Price": self.ask[0], "ask1Size": self.ask[1]}
        return out

    def first_frame(self, topic: str, ts: int) -> bytes | None:
        """The first frame of a new subscriber."""
        if topic.startswith("orderbook.1."):
            return self.book_frame(ts)
        if topic.startswith("tickers.") and self.ticker:
            fields = self.full_ticker()
            del fields["symbol"]
            return bybit.ticker_frame(self.contract.symbol, ts, "snapshot", fields, self.seq)
        return None
