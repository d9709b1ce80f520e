"""The generator as a feed: records of `market.Market` become frames at the moment they are due."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.agents import BLOCK_NS, Market
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.quotes import KIND_BBO, KIND_LIQUIDATION, KIND_TRADE

MS = 1_000_000
BATCH_MS = 500  # liquidations are sent in batches
BOOK_MS = 10  # at most one quote in so many ms
BOOK_SILENCE_MS = 3_000  # then the last one is sent again, with the same u
TRADES_PER_FRAME = 1_024
SIDES = {1: "Buy", -1: "Sell"}


# sees the rows of one contract, kind and moment as they become due: what the other venues make of the same market
Tap = Callable[[Sequence[tuple[int, ...]]], None]


class Frame(NamedTuple):
    """A frame that is due."""

    topic: str
    payload: bytes
    cascade: int = 0  # ground truth: size so far of the largest cascade in it


class SyntheticFeed:
    """Frames of a generated market, in order of time.

    `wanted` is the set of subscribed topics: frames of others are not built, but their state is kept.
    """

    synthetic = True

    def __init__(self, market: Market, end_ns: int | None = None) -> None:
        self.market, self.end_ns = market, end_ns
        self.wanted: set[str] = set()
        self.taps: list[Tap] = []
        self.states = {c.symbol: SymbolState(c, market.parameters.seed) for c in market.contracts}
        self._lanes = [_Lane(i, state, self.wanted) for i, state in enumerate(self.states.values())]
        self._rows: list[tuple[int, ...]] = []
        self._at = 0
        self._next: list[tuple[int, ...]] | None = None
        self._due = [0] * len(self._lanes)  # ms at which a lane must be looked at though no record has come
        self._earliest = 0
        self._first: dict[int, tuple[int, ...]] = {}  # the first quote of each symbol

    @property
    def start_ns(self) -> int:
        """Market time of the first block."""
        return self.market.parameters.start_ns

    def prepare(self) -> bool:
        """Generate a part of the next block, about a millisecond; False if it is ready."""
        if self._next is not None:
            return False
        if self.end_ns is not None and self.market.now_ns >= self.end_ns:
            self._next = []
        elif self.market.work():
            self._next = self.market.block().tolist()
        return True

    def _load(self) -> bool:
        """True if a record is ready."""
        if self._at >= len(self._rows):
            while self.prepare():
                pass
            if not self._next:
                return False
            self._rows, self._at, self._next = self._next, 0, None
        return True

    @property
    def next_ns(self) -> int | None:
        """When the next frame may be due, or None at the end."""
        waiting = self._earliest * MS if self._earliest else None
        if not self._load():
            return waiting
        first = self._rows[self._at][0]
        return first if waiting is None else min(first, waiting)

    def until(self, now_ns: int) -> list[Frame]:
        """Every frame due by now."""
        out: list[Frame] = []
        while self._load() and self._rows[self._at][0] <= now_ns:
            self._consume(now_ns, out)
        if self._earliest and self._earliest * MS <= now_ns:
            self._flush(now_ns // MS, out)
        return out

    def opening(self, now_ns: int) -> list[Frame]:
        """The books before the market begins: a venue is never silent, and a client takes a silent one for lost."""
        if not self._first and self._load():
            for row in self._rows:
                if row[7] == KIND_BBO:
                    self._first.setdefault(row[6], row)
        out: list[Frame] = []
        for symbol, row in self._first.items():
            again = (now_ns, *row[1:])
            self._lanes[symbol].quote(again, out)
            for tap in self.taps:
                tap((again,))
        return out

    def _consume(self, now_ns: int, out: list[Frame]) -> None:
        rows, at, n, lanes = self._rows, self._at, len(self._rows), self._lanes
        while at < n and rows[at][0] <= now_ns:
            row = rows[at]
            at += 1
            t, symbol, kind = row[0], row[6], row[7]
            if self._earliest and t >= self._earliest * MS:
                self._flush(t // MS, out)
            lane = lanes[symbol]
            if kind == KIND_TRADE:
                last = at
                while last < n and rows[last][0] == t and rows[last][7] == KIND_TRADE and rows[last][6] == symbol:
                    last += 1
                lane.trades(rows[at - 1 : last], out)
                for tap in self.taps:
                    tap(rows[at - 1 : last])
                at = last
            elif kind == KIND_BBO:
                lane.quote(row, out)
            elif kind == KIND_LIQUIDATION:
                lane.liquidation(row)
            else:
                lane.ticker(row, out)
            if kind != KIND_TRADE:
                for tap in self.taps:
                    tap((row,))
            if lane.due and (not self._earliest or lane.due < self._earliest):
                self._earliest = lane.due
        self._at = at

    def _flush(self, now_ms: int, out: list[Frame]) -> None:
        """Sends the frames due without a record: batches of liquidations, and delayed quotes."""
        for lane in sorted((lane for lane in self._lanes if lane.due and lane.due <= now_ms), key=lambda lane: lane.due):
            lane.flush(now_ms, out)
        self._earliest = min((lane.due for lane in self._lanes if lane.due), default=0)


class _Lane:
    """One symbol: its state, and what waits to be sent."""

    def __init__(self, index: int, state: SymbolState, wanted: set[str]) -> None:
        self.index, self.state, self.contract, self.wanted = index, state, state.contract, wanted
        symbol = self.contract.symbol
        self.topics = {name: f"{name}.{symbol}" for name in bybit.SERVED}
        self.phase = index * 97 % BATCH_MS  # batches of different symbols do not coincide
        self.batch: list[tuple[int, int, str, str]] = []
        self.batch_ms = 0
        self.batch_cascade = 0
        self.cascades: dict[int, int] = {}  # id -> prints so far
        self.held = False  # a quote waits for the 10 ms to pass
        self.sent_ms = 0
        self.due = 0

    def _later(self) -> None:
        times = ([self.batch_ms] if self.batch else []) + ([self.sent_ms + BOOK_MS] if self.held else [])
        self.due = min(times, default=0)

    def trades(self, rows: list[tuple[int, ...]], out: list[Frame]) -> None:
        """Prints of one moment."""
        c, state, topic = self.contract, self.state, self.topics["publicTrade"]
        listened, t_ms = topic in self.wanted, rows[0][0] // MS
        texts = []
        for _, price, lots, _, _, _, _, _, side in rows:
            if price != state.last_ticks:
                state.direction = "PlusTick" if price > state.last_ticks else "MinusTick"
            elif not state.direction.startswith("Zero"):
                state.direction = "Zero" + state.direction
            state.last_ticks = price
            state.seq += 3
            word, p, v = SIDES[side], bybit.price_text(c, price), bybit.qty_text(c, lots)
            mixed = state.seq * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
            uid = f"{mixed >> 32:08x}-{self.index:04x}-5{mixed >> 20 & 0xFFF:03x}-8{mixed & 0xFFF:03x}-{state.seq:012x}"
            state.on_trade(t_ms, word, v, p, uid, state.seq)
            if listened:
                texts.append(bybit.trade_row(c.symbol, t_ms, word, v, p, state.direction, uid, state.seq))
        for i in range(0, len(texts), TRADES_PER_FRAME):
            out.append(Frame(topic, bybit.trade_frame(c.symbol, t_ms + 1, texts[i : i + TRADES_PER_FRAME])))

    def quote(self, row: tuple[int, ...], out: list[Frame]) -> None:
        """A new best bid and ask; sent at once unless one was sent less than 10 ms ago."""
        c, state = self.contract, self.state
        t, bid, bid_size, ask, ask_size = row[:5]
        state.bid = bybit.price_text(c, bid), bybit.qty_text(c, bid_size)
        state.ask = bybit.price_text(c, ask), bybit.qty_text(c, ask_size)
        state.u += 1
        state.seq += 1
        state.book_ms = t // MS
        if state.book_ms >= self.sent_ms + BOOK_MS:
            self._send_quote(state.book_ms, out)
        else:
            self.held = True
            self._later()

    def _send_quote(self, now_ms: int, out: list[Frame]) -> None:
        self.sent_ms, self.held = now_ms, False
        topic = self.topics["orderbook.1"]
        if topic in self.wanted:
            frame = self.state.book_frame(now_ms)
            if frame is not None:
                out.append(Frame(topic, frame))

    def liquidation(self, row: tuple[int, ...]) -> None:
        """Joins the batch of its half second."""
        t, price, lots, cascade, side = row[0], row[1], row[2], row[5], row[8]
        t_ms = t // MS
        if not self.batch:
            self.batch_ms = t_ms - (t_ms - self.phase) % BATCH_MS + BATCH_MS
            self.batch_cascade = 0
        self.batch.append((t_ms, side, bybit.qty_text(self.contract, lots), bybit.price_text(self.contract, price)))
        if cascade:
            size = self.cascades[cascade] = self.cascades.pop(cascade, 0) + 1
            self.batch_cascade = max(self.batch_cascade, size)
            if len(self.cascades) > 8:
                self.cascades.pop(next(iter(self.cascades)))
        self._later()

    def ticker(self, row: tuple[int, ...], out: list[Frame]) -> None:
        """Once a second; only what changed is sent."""
        c, state, now_ms = self.contract, self.state, row[0] // MS
        _, mark, interest, index, funding = row[:5]
        mark_text, oi = bybit.price_text(c, mark), bybit.qty_text(c, interest)
        state.on_marks(now_ms, mark / c.tick_power, index / c.tick_power)
        last = bybit.price_text(c, state.last_ticks or mark)
        value = f"{interest / c.lot_power * mark / c.tick_power:.2f}"
        new = {
            "tickDirection": state.direction,
            "lastPrice": last,
            "markPrice": mark_text,
            "indexPrice": bybit.price_text(c, index),
            "openInterest": oi,
            "openInterestValue": value,
            "fundingRate": f"{funding / 1e8:.8f}".rstrip("0"),
            "fundingIntervalHour": "8",
            "nextFundingTime": str((now_ms // 28_800_000 + 1) * 28_800_000),
            "fundingCap": "0.005",
        }
        new |= state.day(now_ms)
        old, topic = state.ticker, self.topics["tickers"]
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        kind = "delta" if old else "snapshot"
        old |= new
        if topic in self.wanted and changed:
            if state.bid and state.ask:
                changed |= {"bid1Price": state.bid[0], "bid1Size": state.bid[1], "ask1Price": state.ask[0], "ask1Size": state.ask[1]}
            out.append(Frame(topic, bybit.ticker_frame(c.symbol, now_ms, kind, changed, state.seq)))
        if state.bid and now_ms >= self.sent_ms + BOOK_SILENCE_MS:
            self._send_quote(now_ms, out)

    def flush(self, now_ms: int, out: list[Frame]) -> None:
        """Send what has become due."""
        if self.held and self.sent_ms + BOOK_MS <= now_ms:
            self._send_quote(self.sent_ms + BOOK_MS, out)
        if self.batch and self.batch_ms <= now_ms:
            topic = self.topics["allLiquidation"]
            if topic in self.wanted:
                out.append(Frame(topic, bybit.liquidation_frame(self.contract.symbol, self.batch_ms, self.batch), self.batch_cascade))
            self.batch = []
        self._later()


__all__ = ["BLOCK_NS", "Frame", "SyntheticFeed"]
