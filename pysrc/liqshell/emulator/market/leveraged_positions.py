"""The leveraged positions of one symbol, and the mechanics that close them by force.

Returns, levels and impacts are fractions of the contract's starting price. A position is liquidated when the price crosses
entry * (1 -+ (1/leverage - maintenance)); its order is executed some tens of milliseconds later, moves the price by
impact * sqrt(notional), and may so trip the next position. What of that move is not permanent decays with a half-life.
"""

from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np

from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.random_draws import Draws, Floats, on_grid

LONG, SHORT = 1, -1
NS = 1_000_000_000
POOL = 512  # random numbers are drawn in blocks of this many


class Position(NamedTuple):
    """An open position. Ordered by trigger so that the nearest one is on top of its side's heap."""

    trigger: float  # -level for longs (highest first), +level for shorts
    serial: int
    lots: int
    bankruptcy: float
    expires: int  # ns: the owner closes it by then


class Forced(NamedTuple):
    """One executed liquidation."""

    ts: int  # ns
    side: int  # of the position
    lots: int
    bankruptcy: float
    before: float  # price before and after the forced order
    after: float
    caused: bool  # without the forced orders of the running cascade the price would not have crossed


class Mechanics(NamedTuple):
    """The part of market.Parameters that this module uses."""

    step_ns: int
    permanent_share: float
    half_life_s: float
    delay_median_s: float
    delay_sigma: float
    herd_width_bps: float
    herd_sigma: float
    lifetime_s: float
    tail_index: float
    size_max: float
    long_share: float
    impact_scale: float
    margin_spread: float
    leverages: tuple[tuple[float, float], ...]  # (leverage, weight)


class Positions:
    """All open positions of one symbol, and the state of the price impact."""

    def __init__(self, contract: Contract, mechanics: Mechanics, draws: Draws, steps: int) -> None:
        self.contract, self.mechanics, self.draws = contract, mechanics, draws
        self.longs: list[Position] = []
        self.shorts: list[Position] = []
        self.pending: list[tuple[int, int, int, Position, bool]] = []  # (execution time, serial, side, position, caused)
        self.permanent = self.temporary = 0.0
        self.cascade = {LONG: 0.0, SHORT: 0.0}  # impact of the running cascade of each side that is still in the price
        self.open_lots = 0
        self.serial = 0
        # the square root of a notional in USD, per lot: exact arithmetic from lots to impact
        self._impact = on_grid(np.array(contract.impact_bps * 1e-4 * mechanics.impact_scale)).item()
        self._lot_usd = contract.price / contract.lot_power
        rate = np.log(2.0) / (mechanics.half_life_s * NS) * mechanics.step_ns
        self._decay = on_grid(np.exp(-rate * np.arange(steps + 1)))
        self._delays: list[int] = []
        weights = np.array([weight for _, weight in mechanics.leverages])
        self._leverage_edges = np.cumsum(weights) / weights.sum()
        self._leverages = [min(leverage, float(contract.leverage_max)) for leverage, _ in mechanics.leverages]

    def _delay(self) -> int:
        """From crossing to execution, ns."""
        if not self._delays:
            m = self.mechanics
            seconds = np.clip(self.draws.lognormal(POOL, m.delay_median_s, m.delay_sigma), 0.001, 4.0)
            self._delays = (seconds * 1e6).astype(np.int64).tolist()
        return self._delays.pop() * 1_000

    def _sizes(self, n: int, scale: float) -> list[int]:
        """Lots of n positions: a lognormal body and a Pareto tail above its 90 % quantile."""
        c, m = self.contract, self.mechanics
        z, v = self.draws.normal(n), 1.0 - self.draws.uniform(n)
        edge = c.size_median * np.exp(1.2816 * c.size_sigma)
        usd = np.where(z < 1.2816, c.size_median * np.exp(c.size_sigma * z), edge * v ** (-1.0 / m.tail_index))
        usd = np.minimum(usd * scale, m.size_max)
        return np.clip(np.rint(usd / self._lot_usd), 1, c.lots_max).astype(np.int64).tolist()

    def open(self, now: int, price: float, hours: float) -> None:
        """Positions opened during `hours` before now, around `price`."""
        c, m, d = self.contract, self.mechanics, self.draws
        groups = [1] * d.poisson(c.loners_per_hour * hours)
        herds = d.poisson(c.herds_per_hour * hours)
        if herds:
            groups += np.clip(np.rint(d.lognormal(herds, c.herd_median, m.herd_sigma)), 2, 160).astype(int).tolist()
        for count in groups:
            u = d.uniform(5).tolist()
            side = LONG if u[0] < m.long_share else SHORT
            leverage = self._leverages[int(np.searchsorted(self._leverage_edges, u[1], side="right"))]
            # margin added by hand, and tiers of the maintenance rate: levels of one leverage are not all at one distance
            maintenance = c.maintenance_bps * 1e-4 * (1.0 + 0.3 * u[2])
            distance = max((1.0 + m.margin_spread * u[3]) / leverage - maintenance, 0.001)
            entries = price + (1.0 + price) * m.herd_width_bps * 1e-4 * d.normal(count)
            scale = float(on_grid(np.exp(0.5 * d.normal(1)))[0])
            lots, life = self._sizes(count, scale), (m.lifetime_s * d.exponential(count) * 1e9).astype(np.int64).tolist()
            for entry, size, age in zip(entries.tolist(), lots, life, strict=True):
                self._add(now, side, 1.0 + entry, distance, maintenance, size, age)

    def _add(self, now: int, side: int, entry: float, distance: float, maintenance: float, lots: int, age: int) -> None:
        level = entry * (1.0 - side * distance) - 1.0
        bankruptcy = entry * (1.0 - side * (distance + maintenance)) - 1.0
        self.serial += 1
        self.open_lots += lots
        heappush(self.longs if side == LONG else self.shorts, Position(-side * level, self.serial, lots, bankruptcy, now + age))

    def purge(self, now: int) -> None:
        """Forget positions that their owners have closed."""
        for heap in (self.longs, self.shorts):
            kept = [position for position in heap if position.expires > now]
            if len(kept) < len(heap):
                heap[:] = kept
                heapify(heap)
        self.open_lots = sum(p.lots for p in self.longs) + sum(p.lots for p in self.shorts)

    def _levels(self) -> tuple[float, float]:
        """Highest long and lowest short liquidation level."""
        return (-self.longs[0].trigger if self.longs else -9.0), (self.shorts[0].trigger if self.shorts else 9.0)

    def _trip(self, price: float, now: int) -> None:
        """Everything that the price has crossed goes to the liquidation engine."""
        for side, heap in ((LONG, self.longs), (SHORT, self.shorts)):
            without = side * (price + side * self.cascade[side])  # the price had the running cascade not moved it
            while heap and -side * price >= heap[0].trigger:
                position = heappop(heap)
                if position.expires > now:
                    caused = -without < position.trigger
                    heappush(self.pending, (now + self._delay(), position.serial, side, position, caused))

    def _execute(self, exogenous: float, forced: list[Forced]) -> None:
        ts, _, side, position, caused = heappop(self.pending)
        before = exogenous + self.permanent + self.temporary
        move = self._impact * (position.lots * self._lot_usd * 1e-3) ** 0.5
        share = self.mechanics.permanent_share
        self.permanent -= side * move * share
        self.temporary -= side * move * (1.0 - share)
        self.cascade[side] += move
        self.open_lots -= position.lots
        after = exogenous + self.permanent + self.temporary
        forced.append(Forced(ts, side, position.lots, position.bankruptcy, before, after, caused))
        self._trip(after, ts)

    def advance(self, exogenous: Floats, start: int) -> tuple[Floats, list[Forced]]:
        """Run one block: exogenous price at each step from `start` on -> price at each step, liquidations in order of execution."""
        n, step, i = len(exogenous), self.mechanics.step_ns, 0
        price = np.empty(n)
        forced: list[Forced] = []
        calm = self._decay[1:].tolist()
        while i < n:
            if not self.pending:
                path = exogenous[i:] + (self.permanent + self.temporary * self._decay[: n - i])
                low, high = self._levels()
                crossed = np.flatnonzero((path <= low) | (path >= high))
                k = int(crossed[0]) if len(crossed) else n - i
                price[i : i + k] = path[:k]
                i += k
                self._relax(self._decay[k] if k else 1.0)
                if i == n:
                    break
            now, outside = start + i * step, float(exogenous[i])
            price[i] = outside + self.permanent + self.temporary
            self._trip(float(price[i]), now)
            while self.pending and self.pending[0][0] < now + step:
                self._execute(outside, forced)
            self._relax(calm[0])
            i += 1
        return price, forced

    def _relax(self, factor: float) -> None:
        factor = float(factor)
        self.temporary *= factor
        # a cascade's move is remembered for about as long as the temporary part of it lives, permanent or not
        self.cascade[LONG] *= factor
        self.cascade[SHORT] *= factor
