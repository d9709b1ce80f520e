"""The public feed of one symbol from its price path and forced orders: quotes, trades, liquidations, ticker values.

The quote is a sample of the price: it is refreshed about 2.5 times a second in calm and at every step under stress, and every trade in
between happens at the quote in force. A forced order prints from the touch to where it leaves the price, and the quote follows it.
"""

import numpy as np
from numpy.typing import NDArray

from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.leveraged_positions import LONG, NS, Forced
from liqshell.emulator.market.random_draws import Draws, Floats, on_grid

KIND_LIQUIDATION, KIND_TRADE, KIND_BBO, KIND_TICKER = 1, 2, 3, 4  # as liqcore.event.Kind
# prices in ticks, quantities in lots: exact, so that equal seeds give equal bytes
RECORD_DTYPE = np.dtype(
    [
        ("t", "<i8"),  # ns UTC
        ("price", "<i8"),  # liquidation: bankruptcy price; trade; bbo: bid; ticker: mark
        ("qty", "<i8"),  # liquidation, trade; bbo: bid size; ticker: open interest of both sides
        ("aux_price", "<i8"),  # bbo: ask; ticker: index
        ("aux_qty", "<i8"),  # bbo: ask size; ticker: funding rate in 1e-8
        ("cascade", "<i4"),  # liquidation: ground truth, 0 = isolated
        ("symbol", "<i2"),  # position in Parameters.symbols
        ("kind", "u1"),
        ("side", "i1"),  # liquidation: of the position; trade: of the taker (+1 = buy)
    ]
)
STRESS_HALF_LIFE_S = 4.0
STRESS_SPREAD, STRESS_DEPTH, STRESS_TRADES = 0.25, 0.9, 1.0  # what one unit of stress does
PERSISTENCE = 0.1  # of the side of orders that follow one another
PRINTS_MAX = 50  # of one calm order
SWEEP_MAX = 4  # prints of one forced order


class Quotes:
    """The tape of one symbol."""

    def __init__(self, index: int, contract: Contract, draws: Draws, step_ns: int) -> None:
        self.index, self.contract, self.draws, self.step_ns = index, contract, draws, step_ns
        self._ticks = contract.price * contract.tick_power  # ticks at return 0
        self._lot_usd = contract.price / contract.lot_power
        self._stress = 0.0
        self._pressure = 0.0  # stress with the sign of the forced flow
        self._last = (0, 0)  # bid, ask in force at the end of the last block
        self._mark = 0.0
        self._buy = True  # side of the last order
        # P(an order prints at least k times) = k ** -index: share of orders that print 1, 2, ... times at most
        more = on_grid(np.arange(2.0, PRINTS_MAX + 1.0) ** -contract.prints_index)
        self._prints_share, self._prints_mean = 1.0 - more, 1.0 + float(more.sum())
        steps = np.arange(601)
        self._fade = on_grid(np.exp(-np.log(2.0) / STRESS_HALF_LIFE_S * step_ns / NS * steps))

    def begin_at(self, price: float, at: float) -> None:
        """Set this price for the return `at`: a market that continues after a restart."""
        self._ticks = price * self.contract.tick_power / (1.0 + at)

    def _stressed(self, start: int, n: int, forced: list[Forced]) -> tuple[Floats, Floats]:
        """How much the forced orders of the last seconds occupy the market at each step, and with which sign."""
        stress, pressure = self._stress * self._fade[: n + 1], self._pressure * self._fade[: n + 1]
        for order in forced:
            at = min(max((order.ts - start) // self.step_ns, 0), n)
            bump = 0.15 + 0.1 * (order.lots * self._lot_usd * 1e-3 / self.contract.scale) ** 0.5
            stress[at:] += bump * self._fade[: n + 1 - at]
            pressure[at:] -= order.side * bump * self._fade[: n + 1 - at]
        self._stress, self._pressure = float(stress[n]), float(pressure[n])
        return np.minimum(stress[:n], 4.0), np.clip(pressure[:n], -4.0, 4.0)

    def _sizes(self, n: int, median_usd: float, sigma: float) -> NDArray[np.int64]:
        usd = self.draws.lognormal(n, median_usd, sigma)
        return np.clip(np.rint(usd / self._lot_usd), 1, self.contract.lots_max).astype(np.int64)

    def _quote(self, price: Floats, stress: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bid and ask in ticks around a price: one tick apart in calm, about 1.5 times that under stress (more where ticks are fine)."""
        unit = max(1.0, self._ticks * 0.02e-4)
        spread = np.maximum(1, np.rint(1.0 + self.draws.exponential(len(price)) * STRESS_SPREAD * np.minimum(stress, 2.0) * unit)).astype(np.int64)
        bid = np.maximum(1, np.floor(self._ticks * (1.0 + price) - 0.5 * (spread - 1)).astype(np.int64))
        return bid, bid + spread

    def _shown(self, stress: Floats, pressure: Floats, side: int) -> NDArray[np.int64]:
        """Quantities at one side of the touch: thin under stress, thinner still at the side that the forced orders hit."""
        hit = side * pressure < 0.0
        left = 1.0 / (1.0 + STRESS_DEPTH * stress * np.where(hit, 1.0, 0.4))
        usd = 20_000.0 * self.contract.scale * left * self.draws.lognormal(len(stress), 1.0, 1.0)
        return np.clip(np.rint(usd / self._lot_usd), 1, self.contract.lots_max).astype(np.int64)

    def block(
        self, start: int, price: Floats, index: Floats, forced: list[Forced], open_lots: int, profile: float, funding: float
    ) -> NDArray[np.void]:
        """Records of one block, in time order."""
        n, step = len(price), self.step_ns
        stress, pressure = self._stressed(start, n, forced)
        # quotes: some of the steps, and after every forced order
        refresh = self.draws.uniform(n) < np.where(stress > 0.1, 1.0, 0.5)
        refresh[0] |= self._last == (0, 0)
        at = np.flatnonzero(refresh)
        order_ts = np.array([order.ts for order in forced], np.int64)
        order_at = np.clip((order_ts - start) // step, 0, n - 1)
        times = np.concatenate([start + at * step, order_ts + 1_000])
        values = np.concatenate([price[at], np.array([order.after for order in forced])])
        by_time = np.argsort(times, kind="stable")
        step_of = np.concatenate([at, order_at])[by_time]
        times, levels, flow = times[by_time], stress[step_of], pressure[step_of]
        bid, ask = self._quote(values[by_time], levels)
        bid_size, ask_size = self._shown(levels, flow, 1), self._shown(levels, flow, -1)
        all_times = np.concatenate([[start - 1], times])
        all_bid, all_ask = np.concatenate([[self._last[0]], bid]), np.concatenate([[self._last[1]], ask])
        fresh = np.ones(len(times), bool)
        fresh[1:] = (np.diff(bid) != 0) | (np.diff(ask) != 0) | (self.draws.uniform(max(len(times) - 1, 0)) < 0.3)
        parts = [self._records(times[fresh], KIND_BBO, 0, bid[fresh], bid_size[fresh], ask[fresh], ask_size[fresh])]
        parts.append(self._calm_trades(start, stress, pressure, profile, all_times, all_bid, all_ask))
        parts += self._sweeps(forced, all_times, all_bid, all_ask)
        if len(times):
            self._last = (int(bid[-1]), int(ask[-1]))
        parts.append(self._tickers(start, price, index, open_lots, funding))
        records = np.concatenate(parts)
        return records[np.argsort(records["t"], kind="stable")]

    def _calm_trades(
        self, start: int, stress: Floats, pressure: Floats, profile: float, times: NDArray[np.int64], bid: NDArray[np.int64], ask: NDArray[np.int64]
    ) -> NDArray[np.void]:
        """Everybody else's orders: more of them, and with the forced flow, while the market is under stress. An order that meets several resting
        ones prints several times in its millisecond; the next one is often a piece of the same plan, on the same side."""
        prints = self.contract.trades_per_s * self.step_ns / NS * profile / 1.6 * (1.0 + np.minimum(STRESS_TRADES * stress, 2.0))
        counts = self.draws.counts(prints / self._prints_mean)
        at = np.repeat(np.arange(len(prints)), counts)
        ts = start + at * self.step_ns + (self.draws.uniform(len(at)) * (self.step_ns - 2_000_000)).astype(np.int64) + 1_000_000
        ts = np.sort(ts)
        at = (ts - start) // self.step_ns
        buy = np.concatenate([[self._buy], self.draws.uniform(len(ts)) < 0.5 + 0.35 * np.clip(pressure[at], -1.0, 1.0)])
        decided = np.where(self.draws.uniform(len(ts)) < PERSISTENCE, 0, np.arange(1, len(buy)))
        buy = buy[np.maximum.accumulate(decided)]
        if len(buy):
            self._buy = bool(buy[-1])
        where = np.searchsorted(times, ts, side="right") - 1
        many = 1 + np.searchsorted(self._prints_share, self.draws.uniform(len(ts)), side="right")
        price, buy, ts = (np.repeat(column, many) for column in (np.where(buy, ask[where], bid[where]), buy, ts))
        return self._records(ts, KIND_TRADE, np.where(buy, 1, -1), price, self._sizes(len(ts), self.contract.trade_size_median, 1.5), 0, 0)

    def _sweeps(self, forced: list[Forced], times: NDArray[np.int64], bid: NDArray[np.int64], ask: NDArray[np.int64]) -> list[NDArray[np.void]]:
        """Prints and liquidation record of each forced order, in the order of `forced`."""
        if not forced:
            return []
        prints: list[tuple[int, int, int, int]] = []  # t, side, price, qty
        bankruptcies = []
        for order in forced:
            taker = -order.side
            touch = int((bid if order.side == LONG else ask)[np.searchsorted(times, order.ts, side="right") - 1])
            end = int(np.floor(self._ticks * (1.0 + order.after))) + (taker > 0)
            reach = max(0, (end - touch) * taker)
            count = min(SWEEP_MAX, order.lots, reach + 1)
            share = order.lots // count
            for k in range(count):
                qty = share if k else order.lots - share * (count - 1)
                prints.append((order.ts, taker, max(1, touch + taker * (reach * k // max(1, count - 1))), qty))
            bankruptcies.append(max(1, round(self._ticks * (1.0 + order.bankruptcy))))
        t, taker_side, price, lots_printed = (np.array(column, np.int64) for column in zip(*prints, strict=True))
        sides = np.array([order.side for order in forced])
        lots = np.array([order.lots for order in forced], np.int64)
        ts = np.array([order.ts for order in forced], np.int64)
        return [
            self._records(t, KIND_TRADE, taker_side, price, lots_printed, 0, 0),
            self._records(ts, KIND_LIQUIDATION, sides, np.array(bankruptcies, np.int64), lots, 0, 0),
        ]

    def _tickers(self, start: int, price: Floats, index: Floats, open_lots: int, funding: float) -> NDArray[np.void]:
        """Mark and index once a second. The mark price follows the mid with a lag of about a second."""
        every = NS // self.step_ns
        at = np.arange(every - 1, len(price), every)
        seconds = price.reshape(-1, every).mean(axis=1)
        mark = np.rint(self._ticks * (1.0 + seconds)).astype(np.int64)
        base = round(self.contract.open_interest * self.contract.lot_power)
        interest = np.full(len(at), base + 2 * open_lots, np.int64)
        return self._records(
            start + at * self.step_ns + self.step_ns // 2,
            KIND_TICKER,
            0,
            mark,
            interest,
            np.rint(self._ticks * (1.0 + index[at])).astype(np.int64),
            round(funding * 1e8),
        )

    def _records(self, t: object, kind: int, side: object, price: object, qty: object, aux_price: object, aux_qty: object) -> NDArray[np.void]:
        out = np.zeros(len(t), RECORD_DTYPE)  # type: ignore[arg-type]
        for name, value in (
            ("t", t),
            ("kind", kind),
            ("side", side),
            ("price", price),
            ("qty", qty),
            ("aux_price", aux_price),
            ("aux_qty", aux_qty),
            ("symbol", self.index),
        ):
            out[name] = value
        return out
