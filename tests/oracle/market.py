"""What is known of the market of one instrument, and for how long it holds. Prices in ticks, times in ns."""

from __future__ import annotations

from fractions import Fraction

TRADE, QUOTE, MARK, FUNDING, LIQUIDATION = 2, 4, 8, 32, 1  # bits of streams
UP, DOWN, GAP = 1, 2, 3  # of a feed
REMEMBERED = 16  # quotes whose spread counts
MARK_AGE = 60 * 10**9
DOUBT = 10**9  # so long a quote may follow a trade that contradicts the one before


def concerns(streams: int, one: int) -> bool:
    """0 = all of them."""
    return streams == 0 or bool(streams & one)


class MarketOracle:
    """half_spread: share of the price, or None: as measured."""

    def __init__(self, quote_age: int, half_spread: Fraction | None = None):
        self.quote_age, self.half_spread = quote_age, half_spread
        self.last = self.last_side = self.bid = self.ask = self.bid_lots = self.ask_lots = 0
        self.mark = self.rate = 0.0
        self.spreads: list[int] = []
        self.quote_until = self.mark_until = self.doubt_until = self.last_at = self.mark_at = -1
        self.stopped = False  # trades were interrupted, and none has come since
        self.ended_by = ""  # the quote: '' = it holds, or was too old

    # ---- what happens ----

    def trade(self, ts: int, ticks: int, lots: int, aggressor: int) -> None:
        self.last, self.last_at, self.last_side, self.stopped = ticks, ts, aggressor, False
        beyond = max(ticks - self.ask, self.bid - ticks)
        latest = self.spreads[-REMEMBERED:]
        if latest and beyond > 0 and beyond > Fraction(sum(latest), len(latest)):
            if self.alive(ts):
                self.doubt_until = ts + DOUBT  # perhaps a quote follows
            self.end("print", ts)

    def quote(self, ts: int, bid: int, ask: int, bid_lots: int, ask_lots: int) -> None:
        self.bid, self.ask, self.bid_lots, self.ask_lots = bid, ask, bid_lots, ask_lots
        self.spreads.append(ask - bid)
        self.quote_until, self.ended_by, self.doubt_until = ts + self.quote_age, "", -1

    def ticker(self, ts: int, mark: float, rate: float, unstated: int = 0) -> None:
        if self.states_mark(mark, unstated):
            self.mark, self.mark_at, self.mark_until = mark, ts, ts + MARK_AGE
        if not unstated & FUNDING:
            self.rate = rate

    @staticmethod
    def states_mark(mark: float, unstated: int) -> bool:
        return mark > 0 and not unstated & MARK

    def feed(self, ts: int, state: int, streams: int, instrument: int = 0) -> None:
        if state == UP:
            return
        if concerns(streams, QUOTE):
            self.end("feed", ts)
            self.doubt_until = -1
        if concerns(streams, TRADE):
            self.stopped = True
        if concerns(streams, MARK):
            self.mark_until = -1

    def end(self, why: str, ts: int) -> None:
        if self.alive(ts):
            self.ended_by = why
        self.quote_until = -1

    # ---- what holds ----

    def alive(self, now: int) -> bool:
        return now <= self.quote_until

    def ended(self, now: int) -> bool:
        return bool(self.spreads) and not self.alive(now)

    def forbids_entries(self, now: int) -> bool:
        return self.ended(now) and now > self.doubt_until

    def mark_alive(self, now: int) -> bool:
        return now <= self.mark_until

    @property
    def half(self) -> int:
        """Half of the spread, rounded up; where nothing is known of it, a tick."""
        if self.half_spread is not None:
            return -(-self.last * round(self.half_spread * 10**8) // 10**8)
        latest = self.spreads[-REMEMBERED:]
        return -(-sum(latest) // (2 * len(latest))) if latest else 1

    def touch(self, side: int, now: int) -> int:
        """What an order of this side meets; 0 = no live quote."""
        return (self.ask if side > 0 else self.bid) if self.alive(now) else 0

    def moved(self, side: int) -> int:
        """The last trade, moved against an order of this side; 0 = there was none. Its aggressor met the market half a spread from the middle; whoever
        takes the other way meets it a whole spread from there, and whoever takes the same way meets it there: but that trade has passed, so a tick."""
        if not self.last:
            return 0
        return max(1, self.last + side * (1 if self.last_side == side else max(1, 2 * self.half)))

    def estimate(self, side: int, now: int) -> int:
        return self.touch(side, now) or self.moved(side)
