"""The emulated OKX feed: the market's rows become its pushes.

liquidation-orders comes for the whole market: rows of 100 ms in the `details` of one push, not always in order of time. Older copies of the venue's
page state at most one row per contract and second. It is not known whether that still holds; one_per_second selects it.
"""

from collections.abc import Sequence

from liqshell.emulator.market import okx_frames as okx
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.public_frames import Board, Lane, mixed
from liqshell.emulator.market.synthetic_feed import Frame

BATCH_MS = 100
BOOK_MS = 10
TICKER_MS = 100
INTEREST_MS = 3_000
FUNDING_MS = 60_000
LIMIT = 0.05  # how far from the mark the price limits are
SEED, BASIS_BPS = 0x0CB, 0.5
LIQUIDATIONS = "liquidation-orders:SWAP"


class OkxLane(Lane):
    """One swap."""

    def __init__(self, index: int, contract: Contract, wanted: set[str], one_per_second: bool) -> None:
        super().__init__(index, contract, SEED, BASIS_BPS)
        self.wanted, self.one_per_second = wanted, one_per_second
        self.inst = okx.inst_id(contract)
        self.topics = {channel: f"{channel}:{self.inst}" for channel in okx.CHANNELS}
        self.topics["index-tickers"] = f"index-tickers:{self.inst.removesuffix('-SWAP')}"
        self.details: list[dict[str, object]] = []
        self.details_ms = self.book_due_ms = self.ticker_due_ms = 0
        self.book_sent_ms = self.ticker_sent_ms = self.interest_sent_ms = self.funding_sent_ms = 0
        self.detail_second = -1
        self.last_lots = 0
        self.decimals = contract.tick_decimals
        self.begin(None)

    def arg(self, channel: str) -> dict[str, str]:
        """The `arg` of a push of that channel."""
        return {"channel": channel, "instId": self.topics[channel].partition(":")[2]}

    def _later(self) -> None:
        self.due = min((ms for ms in (self.details_ms, self.book_due_ms, self.ticker_due_ms) if ms), default=0)

    def trades(self, now_ms: int, prints: list[tuple[int, int, int]], out: list[Frame]) -> None:
        topic, single = self.topics["trades"], self.topics["trades-all"]
        merged: list[list[int]] = []  # side, ticks, lots, count
        for side, ticks, lots in prints:
            self.last_lots = lots
            self.trade_id += 1
            if single in self.wanted:
                out.append(self._trade("trades-all", now_ms, self.trade_id, side, ticks, lots, 1))
            if merged and merged[-1][:2] == [side, ticks]:
                merged[-1][2] += lots
                merged[-1][3] += 1
            else:
                merged.append([side, ticks, lots, 1])
        if topic in self.wanted:
            for k, (side, ticks, lots, count) in enumerate(merged):
                out.append(self._trade("trades", now_ms, self.trade_id - len(merged) + 1 + k, side, ticks, lots, count))
        self._ticker_soon(now_ms)

    def _trade(self, channel: str, now_ms: int, number: int, side: int, ticks: int, lots: int, count: int) -> Frame:
        c = self.contract
        row = okx.trade_row(self.inst, number, okx.price_text(c, ticks), okx.size_text(c, lots), side, now_ms, count)
        return Frame(self.topics[channel], okx.frame(self.arg(channel), [row]))

    def _ticker_soon(self, now_ms: int) -> None:
        if not self.ticker_due_ms and self.topics["tickers"] in self.wanted:
            self.ticker_due_ms = max(now_ms, self.ticker_sent_ms + TICKER_MS)
        self._later()

    def quote(self, now_ms: int, out: list[Frame]) -> None:
        if not self.book_due_ms:
            if now_ms >= self.book_sent_ms + BOOK_MS:
                self._send_book(now_ms, out)
            else:
                self.book_due_ms = self.book_sent_ms + BOOK_MS
        self._ticker_soon(now_ms)

    def book_frame(self, channel: str) -> bytes:
        """bbo-tbt or books5 in force."""
        return okx.frame(self.arg(channel), [okx.book_row(*self.texts(), self.quote_ms, self.update_id)])

    def texts(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Bid and ask: (price, contracts)."""
        c = self.contract
        return (okx.price_text(c, self.bid), okx.size_text(c, self.bid_lots)), (okx.price_text(c, self.ask), okx.size_text(c, self.ask_lots))

    def _send_book(self, now_ms: int, out: list[Frame]) -> None:
        self.book_sent_ms, self.book_due_ms = now_ms, 0
        out += [Frame(self.topics[channel], self.book_frame(channel)) for channel in ("bbo-tbt", "books5") if self.topics[channel] in self.wanted]

    def liquidation(self, now_ms: int, side: int, lots: int, bankruptcy: int, fill: int, cascade: int) -> None:
        if self.one_per_second:
            if now_ms // 1_000 == self.detail_second:
                return
            self.detail_second = now_ms // 1_000
        c, dice = self.contract, mixed(SEED, self.index, now_ms, lots)
        self.details.append(okx.liquidation_detail(side, dice % 2 == 0, okx.price_text(c, max(bankruptcy, 1)), okx.size_text(c, lots), now_ms))
        if not self.details_ms:
            self.details_ms = now_ms - now_ms % BATCH_MS + BATCH_MS
        self._later()

    def ticker(self, now_ms: int, out: list[Frame]) -> None:
        for channel in ("mark-price", "index-tickers", "price-limit"):
            if self.topics[channel] in self.wanted:
                out.append(Frame(self.topics[channel], self.value_frame(channel, now_ms)))
        for channel, sent, every in (("open-interest", self.interest_sent_ms, INTEREST_MS), ("funding-rate", self.funding_sent_ms, FUNDING_MS)):
            if now_ms >= sent + every and self.topics[channel] in self.wanted:
                setattr(self, "interest_sent_ms" if channel == "open-interest" else "funding_sent_ms", now_ms)
                out.append(Frame(self.topics[channel], self.value_frame(channel, now_ms)))

    def value_frame(self, channel: str, now_ms: int) -> bytes:
        """The frame with the channel's current value."""
        return okx.frame(self.arg(channel), [self.value_row(channel, now_ms)])

    def value_row(self, channel: str, now_ms: int) -> dict[str, object]:
        """The row of a channel of values, which REST gives too."""
        c = self.contract
        named: dict[str, object] = {"instType": "SWAP", "instId": self.inst}
        if channel == "mark-price":
            return named | {"markPx": okx.price_text(c, self.mark), "ts": str(now_ms)}
        if channel == "price-limit":
            high, low = int(self.mark * (1.0 + LIMIT)), -int(-self.mark * (1.0 - LIMIT))
            return named | {"buyLmt": okx.price_text(c, high), "sellLmt": okx.price_text(c, low), "enabled": True, "ts": str(now_ms)}
        if channel == "index-tickers":
            price = okx.price_text(c, self.index_price)
            return {
                "instId": self.inst.removesuffix("-SWAP"),
                "idxPx": price,
                "high24h": price,
                "low24h": price,
                "open24h": price,
                "sodUtc0": price,
                "sodUtc8": price,
                "ts": str(now_ms),
            }
        if channel == "open-interest":
            base = self.interest / c.lot_power
            return named | {
                "oi": okx.size_text(c, self.interest),
                "oiCcy": f"{base:.4f}",
                "oiUsd": f"{base * self.mark / c.tick_power:.2f}",
                "ts": str(now_ms),
            }
        if channel == "funding-rate":
            due = (now_ms // 28_800_000 + 1) * 28_800_000
            return named | {
                "fundingRate": f"{self.funding / 1e8:.10f}",
                "fundingTime": str(due),
                "method": "current_period",
                "maxFundingRate": "0.00375",
                "minFundingRate": "-0.00375",
                "nextFundingRate": "",
                "nextFundingTime": str(due + 28_800_000),
                "premium": "0",
                "settFundingRate": f"{self.funding / 1e8:.10f}",
                "settState": "settled",
                "ts": str(now_ms),
            }
        return named | self._ticker_values(now_ms) | {"ts": str(max(self.trade_ms, self.quote_ms))}

    def _ticker_values(self, now_ms: int) -> dict[str, object]:
        """Prices, and the statistics of 24 hours as they follow from the candles."""
        c = self.contract
        out: dict[str, object] = {
            key: okx.price_text(c, ticks) if ticks else "" for key, ticks in (("last", self.last), ("askPx", self.ask), ("bidPx", self.bid))
        }
        out |= {"lastSz": okx.size_text(c, self.last_lots), "askSz": okx.size_text(c, self.ask_lots), "bidSz": okx.size_text(c, self.bid_lots)}
        if not self.bars.known:
            return out | dict.fromkeys(("open24h", "high24h", "low24h", "sodUtc0", "sodUtc8", "vol24h", "volCcy24h"), "")
        day = self.bars.day(now_ms)
        for key, price in (
            ("open24h", day.before),
            ("high24h", day.high),
            ("low24h", day.low),
            ("sodUtc0", self._since(now_ms, 0)),
            ("sodUtc8", self._since(now_ms, 16 * 3_600_000)),
        ):
            out[key] = f"{price:.{c.tick_decimals}f}"
        return out | {"vol24h": okx.size_text(c, round(day.volume * c.lot_power)), "volCcy24h": f"{day.volume:.4f}"}

    def _since(self, now_ms: int, offset_ms: int) -> float:
        """The price at which the day that begins at this offset opened; where nothing is known of that time, the first one known."""
        return float(self.bars.rows(86_400_000, now_ms, limit=1, offset_ms=offset_ms)[-1, 1])

    def flush(self, now_ms: int, out: list[Frame]) -> None:
        if self.book_due_ms and self.book_due_ms <= now_ms:
            self._send_book(self.book_due_ms, out)
        if self.ticker_due_ms and self.ticker_due_ms <= now_ms:
            self.ticker_sent_ms, self.ticker_due_ms = self.ticker_due_ms, 0
            if self.topics["tickers"] in self.wanted:
                out.append(Frame(self.topics["tickers"], self.value_frame("tickers", now_ms)))
        if self.details_ms and self.details_ms <= now_ms:
            if LIQUIDATIONS in self.wanted:
                if mixed(SEED, self.details_ms) % 4 == 0:
                    self.details.reverse()  # the venue promises no order
                out.append(Frame(LIQUIDATIONS, okx.liquidation_frame(self.inst, self.details)))
            self.details, self.details_ms = [], 0
        self._later()


def okx_board(contracts: Sequence[Contract], wanted: set[str], one_per_second: bool = False) -> Board[OkxLane]:
    """The venue's feed of these contracts."""
    return Board([OkxLane(n, contract, wanted, one_per_second) for n, contract in enumerate(contracts)], wanted)
