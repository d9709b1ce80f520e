"""Frames of the other venues from the same market: input is rows of the generator (or of a recording), output frames of the venue.

One market, several venues: every venue has the same quotes, trades and forced orders, moved by its own small basis, and publishes those that its
rules allow. A row is quotes.RECORD_DTYPE as a tuple (t, price, qty, aux_price, aux_qty, cascade, symbol, kind, side).
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from liqshell.emulator.market.bars import Bars, Past
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.quotes import KIND_BBO, KIND_LIQUIDATION, KIND_TICKER, KIND_TRADE
from liqshell.emulator.market.synthetic_feed import MS, Frame

Row = tuple[int, ...]
BASIS_PERIOD_NS = 60_000_000_000  # for so long a basis stays as it is
BASIS_STEPS = 5


def mixed(*numbers: int) -> int:
    """64 well-mixed bits of some integers: choices that are the same in every run and cost no random stream (splitmix64)."""
    out = 0x9E3779B97F4A7C15
    for number in numbers:
        out = (out ^ number) & 0xFFFFFFFFFFFFFFFF
        out = (out ^ out >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        out = (out ^ out >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        out ^= out >> 31
    return out


def decimal_text(value: int, decimals: int) -> str:
    """value / 10**decimals as text, exactly."""
    if not decimals:
        return str(value)
    digits = str(value).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


class Lane:
    """One contract on one venue. seed: what makes the basis its own; basis_bps: its mean."""

    def __init__(self, index: int, contract: Contract, seed: int, basis_bps: float) -> None:
        self.index, self.contract, self.seed, self.basis_bps = index, contract, seed, basis_bps
        self.bid = self.ask = self.last = self.mark = self.index_price = self.interest = self.funding = 0  # ticks, lots, 1e-8
        self.bid_lots = self.ask_lots = 0
        self.quote_ms = self.ticker_ms = self.trade_ms = 0
        self.trade_id = 1_000_000 * (index + 1)
        self.update_id = 7_000_000_000 * (index + 1)
        self.prints: list[tuple[int, int, int]] = []  # side of the taker, ticks, lots: of the last moment that had any
        self.prints_ns = 0
        self.decimals = contract.price_decimals  # in the text of its candles' prices
        self.bars = self.marks = Bars(0, None)  # candles of its own prices; see begin()
        self.begin(None)
        self.due = 0  # ms at which flush must be called, 0 = never
        self._basis_at = -1
        self._basis = 0

    def begin(self, past: Past | None) -> None:
        """Candles, before the first row comes. past: of a generated market."""
        c = self.contract
        self.bars, self.marks = Bars(self.decimals, c.lot_decimals, past), Bars(self.decimals, None, past)

    def shift(self, t: int) -> int:
        """The basis at that time in ticks."""
        period = t // BASIS_PERIOD_NS
        if period != self._basis_at and (self.last or self.bid):
            self._basis_at = period
            bps = self.basis_bps + 0.1 * (mixed(self.seed, self.index, period) % (2 * BASIS_STEPS + 1) - BASIS_STEPS)
            self._basis = round((self.last or self.bid) * bps * 1e-4)
        return self._basis

    def take(self, rows: Sequence[Row], out: list[Frame]) -> None:
        """Rows of one kind and moment."""
        row = rows[0]
        t, kind = row[0], row[7]
        shift = self.shift(t)
        if kind == KIND_TRADE:
            if t != self.prints_ns:
                self.prints_ns, self.prints = t, []
            self.prints += [(one[8], one[1] + shift, one[2]) for one in rows]
            self.last, self.trade_ms = rows[-1][1] + shift, t // MS
            for one in rows:
                self.bars.push(self.trade_ms, (one[1] + shift) / self.contract.tick_power, one[2] / self.contract.lot_power)
            self.trades(t // MS, [(one[8], one[1] + shift, one[2]) for one in rows], out)
        elif kind == KIND_BBO:
            self.bid, self.bid_lots, self.ask, self.ask_lots = row[1] + shift, row[2], row[3] + shift, row[4]
            self.update_id += 1
            self.quote_ms = t // MS
            self.quote(t // MS, out)
        elif kind == KIND_LIQUIDATION:
            self.liquidation(t // MS, row[8], row[2], row[1] + shift, self.fill_price(t, -row[8]), row[5])
        elif kind == KIND_TICKER:
            self.mark, self.interest, self.index_price, self.funding = row[1] + shift, row[2], row[3], row[4]
            self.ticker_ms = t // MS
            self.marks.push(self.ticker_ms, self.mark / self.contract.tick_power)
            self.ticker(t // MS, out)

    def fill_price(self, t: int, taker: int) -> int:
        """Average price of the forced order that prints at that moment; the last trade's where its prints are not known."""
        own = [(price, lots) for side, price, lots in self.prints if side == taker] if t == self.prints_ns else []
        return round(sum(price * lots for price, lots in own) / sum(lots for _, lots in own)) if own else self.last or self.bid

    def trades(self, now_ms: int, prints: list[tuple[int, int, int]], out: list[Frame]) -> None:
        """Prints of one moment: (side of the taker, ticks, lots)."""
        raise NotImplementedError

    def quote(self, now_ms: int, out: list[Frame]) -> None:
        """Bid and ask have changed."""
        raise NotImplementedError

    def liquidation(self, now_ms: int, side: int, lots: int, bankruptcy: int, fill: int, cascade: int) -> None:
        """A forced order; side: of the position."""
        raise NotImplementedError

    def ticker(self, now_ms: int, out: list[Frame]) -> None:
        """Mark, index, open interest and funding have changed."""
        raise NotImplementedError

    def flush(self, now_ms: int, out: list[Frame]) -> None:
        """`due` has come."""
        raise NotImplementedError


L = TypeVar("L", bound=Lane)


class Board(Generic[L]):
    """All contracts of one venue. `wanted`: the subscribed streams; frames of others are not built."""

    def __init__(self, lanes: Sequence[L], wanted: set[str]) -> None:
        self.lanes, self.wanted = lanes, wanted
        self._out: list[Frame] = []
        self._due = 0

    def take(self, rows: Sequence[Row]) -> None:
        """Rows of one contract, kind and moment, in order of time."""
        t = rows[0][0]
        if self._due and t >= self._due * MS:
            self._flush(t // MS)
        lane = self.lanes[rows[0][6]]
        lane.take(rows, self._out)
        if lane.due and (not self._due or lane.due < self._due):
            self._due = lane.due

    def _flush(self, now_ms: int) -> None:
        for lane in sorted((lane for lane in self.lanes if lane.due and lane.due <= now_ms), key=lambda lane: lane.due):
            lane.flush(now_ms, self._out)
        self._due = min((lane.due for lane in self.lanes if lane.due), default=0)

    @property
    def next_ns(self) -> int | None:
        """When something is due though no row comes."""
        return self._due * MS if self._due else None

    def until(self, now_ns: int) -> list[Frame]:
        """Every frame due by now."""
        if self._due and self._due * MS <= now_ns:
            self._flush(now_ns // MS)
        out, self._out = self._out, []
        return out
