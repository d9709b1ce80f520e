"""A small agent market, SYNTHETIC: leveraged positions, a price path with bursts of volatility, forced orders that move the price.

The exogenous price is a martingale: its variance has bursts, shared by all symbols or one symbol's own, but its drift is zero always. All
that is predictable comes from the forced orders: one trips the next, and the part of their impact that is not permanent decays
(`Parameters.permanent_share = 1` switches that off: a control market in which nothing reverts). Liquidations follow the public OKX tape
(test_market.py); trades, prices, books and the way back after cascades follow captures and published studies (test_generator.py; both in
tests/shell/emulator).
Same seed, same bytes, on any machine and however the stream is consumed; memory is that of the open positions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqshell.emulator.market.contracts import CONTRACTS, SCALE_MAX, Contract, contracts_of, scaled
from liqshell.emulator.market.leveraged_positions import LONG, NS, SHORT, Forced, Mechanics, Positions
from liqshell.emulator.market.quotes import KIND_LIQUIDATION, RECORD_DTYPE, Quotes
from liqshell.emulator.market.random_draws import Draws, Floats, on_grid

STEP_NS = 200_000_000
STEPS = 150  # a block is 30 s
BLOCK_NS = STEP_NS * STEPS
START_NS = 1_772_629_200_000_000_000  # 2026-03-04 13:00 UTC: a busy hour


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of the market. Defaults are calibrated to the statistics named in test_market.py and test_generator.py of
    tests/shell/emulator."""

    seed: int = 0
    symbols: tuple[str, ...] = tuple(contract.symbol for contract in CONTRACTS)
    start_ns: int = START_NS
    permanent_share: float = 0.1  # of the impact of a forced order; 1 = no reversal at all
    half_life_s: float = 45.0  # of the rest
    impact_scale: float = 1.0
    market_bps: float = 0.42  # shared noise, per square root of a second
    bursts_per_hour: float = 18.0  # of the shared variance, at the peak of the day
    own_bursts_per_hour: float = 2.5  # of one symbol's
    burst_bps: float = 2.6  # smallest standard deviation of a shared burst's move; Pareto above
    own_burst: float = 11.0  # the same of one symbol's, in multiples of its own noise of a second
    burst_index: float = 2.4  # of the Pareto
    burst_range: float = 10.0  # largest burst, in multiples of the smallest
    burst_s: tuple[float, float] = (5.0, 40.0)
    delay_median_s: float = 0.1  # from crossing the level to the execution of the forced order
    delay_sigma: float = 1.6
    herd_width_bps: float = 10.0  # spread of entry prices within a group of positions
    herd_sigma: float = 0.7  # of log group size
    lifetime_s: float = 7_200.0  # of a position that is not liquidated
    tail_index: float = 1.1
    size_max: float = 3e6
    long_share: float = 0.55
    margin_spread: float = 0.8  # margin added by hand: up to this share of the initial margin
    leverages: tuple[tuple[float, float], ...] = ((100.0, 0.5), (75.0, 0.2), (50.0, 0.2), (25.0, 0.07), (10.0, 0.03))
    swing: float = 0.6  # of the daily profile: 1 +- swing, highest at 15 UTC
    regime_sigma: float = 0.3  # of log volatility, the slow part: autocorrelation 0.4 at one hour
    pulse_sigma: float = 0.6  # of log volatility, the quick part
    pulse_half_life_s: float = 420.0
    warmup_hours: float = 3.0  # simulated before the start, unseen
    cascade_gap_s: float = 10.0  # ground truth: forced orders of one side with shorter gaps are one cascade
    funding_rate: float = 1e-4
    prices: Mapping[str, float] = field(default_factory=dict)  # at which symbols begin; else where the warm-up leaves them
    scale: float = 1.0  # the money in the market; prices move as at 1 (contracts.scaled)

    def __post_init__(self) -> None:
        if not 0.0 <= self.permanent_share <= 1.0:
            raise ValueError(f"permanent_share must lie in [0, 1], got {self.permanent_share!r}")
        if not 0.0 < self.scale <= SCALE_MAX:
            raise ValueError(f"scale must lie in (0, {SCALE_MAX:g}], got {self.scale!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed!r}")
        if not 0.0 < self.cascade_gap_s <= BLOCK_NS / NS:
            raise ValueError(f"cascade_gap_s must lie in (0, {BLOCK_NS // NS}], got {self.cascade_gap_s!r}")

    def mechanics(self) -> Mechanics:
        """The part that leveraged_positions.py works with."""
        own = Mechanics(STEP_NS, *(getattr(self, name) for name in Mechanics._fields[1:]))
        return own._replace(size_max=self.size_max * self.scale)


@dataclass(slots=True)
class Cascade:
    """Ground truth: one chain of forced orders."""

    id: int
    symbol: str
    side: int  # of the positions: LONG = +1
    start_ns: int
    end_ns: int
    count: int
    notional: float  # USD at the price of execution
    caused: int  # how many would not have been tripped without the others' impact


@dataclass(slots=True)
class Lane:
    """One symbol at work."""

    index: int
    contract: Contract
    draws: Draws
    positions: Positions
    quotes: Quotes
    price: float = 0.0  # exogenous
    quiet: list[float] = field(default_factory=list)
    current: dict[int, Cascade] = field(default_factory=dict)


class Market:
    """Blocks of time-ordered records (quotes.RECORD_DTYPE), 30 s each, without end.

    `truth` lists the cascades (two forced orders or more) that ended before the last block handed out. A record's `cascade` is the id
    there, or 0 for an isolated liquidation; to know that, blocks leave one behind the simulation.
    """

    def __init__(self, parameters: Parameters | None = None, **changes: Any) -> None:
        p = self.parameters = replace(parameters or Parameters(), **changes)
        self.contracts = tuple(scaled(contract, p.scale) for contract in contracts_of(p.symbols))
        self.truth: list[Cascade] = []
        self._shared = Draws(p.seed, "market")
        self._regime = self._pulse = 0.0  # of log volatility
        self._burst_left: list[tuple[int, float]] = []  # (steps left, variance per step)
        self._own_bursts: list[list[tuple[int, float]]] = [[] for _ in self.contracts]
        self._lanes = [self._lane(i, contract) for i, contract in enumerate(self.contracts)]
        self._handed = p.start_ns
        self._next_id = 1
        self._open: dict[int, Cascade] = {}  # by id: cascades that may still grow
        self._parts: list[NDArray[np.void]] = []  # of the block at work: one for each symbol that is done
        self._held: NDArray[np.void] | None = None  # the next block to hand out
        self._coming: NDArray[np.void] | None = None  # a block that is complete but for the ids of isolated liquidations
        self._now = p.start_ns - int(p.warmup_hours * 3600) * NS // BLOCK_NS * BLOCK_NS
        self._shape: tuple[Floats, float, float] | None = None
        while self._now < p.start_ns:
            self.work(emit=False)
        for lane in self._lanes:
            if price := p.prices.get(lane.contract.symbol, 0.0):
                lane.quotes.begin_at(price, lane.price + lane.positions.permanent + lane.positions.temporary)
        while not self.work():
            pass
        self._held, self._coming = self._coming, None

    def _lane(self, index: int, contract: Contract) -> Lane:
        p, draws = self.parameters, Draws(self.parameters.seed, contract.symbol)
        positions = Positions(contract, p.mechanics(), draws, STEPS)
        return Lane(index, contract, draws, positions, Quotes(index, contract, Draws(p.seed, contract.symbol + " tape"), STEP_NS))

    @property
    def now_ns(self) -> int:
        """Start of the block that `block` hands out next."""
        return self._handed

    def _profile(self) -> float:
        hour = self._now / NS / 3600.0 % 24.0
        return 1.0 + self.parameters.swing * float(on_grid(np.cos(np.array((hour - 15.0) * np.pi / 12.0))))

    def _variance(self, bursts: list[tuple[int, float]], rate_per_hour: float, smallest_bps: float, draws: Draws) -> Floats:
        """Extra variance at each step of this block, from bursts already running and bursts that begin in it."""
        p, out = self.parameters, np.zeros(STEPS)
        running, bursts[:] = list(bursts), []
        starts = [0] * len(running)
        for _ in range(draws.poisson(rate_per_hour * BLOCK_NS / NS / 3600.0)):
            u = draws.uniform(3)
            size = smallest_bps * min(float(on_grid((1.0 - u[:1]) ** (-1.0 / p.burst_index))[0]), p.burst_range) * 1e-4
            length = int((p.burst_s[0] + (p.burst_s[1] - p.burst_s[0]) * u[1]) * NS) // STEP_NS
            running.append((length, size * size / length))
            starts.append(int(u[2] * STEPS))
        for (length, variance), begin in zip(running, starts, strict=True):
            out[begin : begin + length] += variance
            if (left := begin + length - STEPS) > 0:
                bursts.append((left, variance))
        return out

    def begin(self) -> None:
        """Draws the parts of the coming block that all symbols share."""
        p, step_s = self.parameters, STEP_NS / NS
        rho = 0.4 ** (BLOCK_NS / NS / 3600.0)
        self._regime = rho * self._regime + (1.0 - rho * rho) ** 0.5 * p.regime_sigma * float(self._shared.normal(1)[0])
        quick = float(on_grid(np.exp(np.array(-np.log(2.0) / p.pulse_half_life_s * BLOCK_NS / NS))))
        self._pulse = quick * self._pulse + (1.0 - quick * quick) ** 0.5 * p.pulse_sigma * float(self._shared.normal(1)[0])
        regime = float(on_grid(np.exp(np.array(np.clip(self._regime + self._pulse, -1.2, 1.6)))))
        profile = self._profile()
        variance = (p.market_bps * 1e-4 * regime) ** 2 * step_s + self._variance(
            self._burst_left, p.bursts_per_hour * profile / (1.0 + p.swing), p.burst_bps, self._shared
        )
        self._shape = (on_grid(np.sqrt(variance) * self._shared.normal(STEPS)), regime, profile)

    def step(self, lane: Lane, emit: bool) -> NDArray[np.void]:
        """One symbol through the coming block."""
        assert self._shape is not None, "begin() first"
        (common, regime, profile), p, c = self._shape, self.parameters, lane.contract
        rate = p.own_bursts_per_hour * profile / (1.0 + p.swing)
        own = (c.volatility_bps * 1e-4 * regime) ** 2 * (STEP_NS / NS) + self._variance(
            self._own_bursts[lane.index], rate, p.own_burst * c.volatility_bps, lane.draws
        )
        moves = on_grid(c.beta * common + np.sqrt(own) * lane.draws.normal(STEPS)) * (1.0 + max(lane.price, -0.9))
        exogenous = lane.price + on_grid(np.cumsum(on_grid(moves)))
        positions = lane.positions
        here = lane.price + positions.permanent + positions.temporary
        positions.open(self._now, here, BLOCK_NS / NS / 3600.0)
        price, forced = positions.advance(exogenous, self._now)
        lane.price = float(exogenous[-1])
        if self._now // BLOCK_NS % 10 == sum(c.symbol.encode()) % 10:  # spread over blocks; the same whichever symbols there are
            positions.purge(self._now)
        if not emit:
            return np.zeros(0, RECORD_DTYPE)
        index = exogenous + positions.permanent
        records = lane.quotes.block(self._now, price, index, forced, positions.open_lots, profile, p.funding_rate)
        self._label(lane, records, forced)
        return records

    def work(self, emit: bool = True) -> bool:
        """Run the next symbol through the coming block; True when `block` has nothing left to simulate. For callers in a hurry."""
        if self._coming is not None:
            return True
        if self._shape is None:
            self.begin()
        lane = self._lanes[len(self._parts)]
        self._parts.append(self.step(lane, emit))
        if len(self._parts) < len(self._lanes):
            return False
        made, self._parts, self._shape = self._parts, [], None
        self._now += BLOCK_NS
        if emit:
            merged = np.concatenate(made)
            self._coming = merged[np.lexsort((merged["symbol"], merged["t"]))]
        return True

    def _label(self, lane: Lane, records: NDArray[np.void], forced: list[Forced]) -> None:
        """Give each liquidation the id of its cascade."""
        gap = int(self.parameters.cascade_gap_s * NS)
        rows = np.flatnonzero(records["kind"] == KIND_LIQUIDATION)
        usd = lane.contract.price / lane.contract.lot_power
        for row, order in zip(rows.tolist(), forced, strict=True):
            cascade = lane.current.get(order.side)
            if cascade is None or order.ts - cascade.end_ns >= gap:
                cascade = Cascade(self._next_id, lane.contract.symbol, order.side, order.ts, order.ts, 0, 0.0, 0)
                self._next_id += 1
                lane.current[order.side] = self._open[cascade.id] = cascade
            cascade.end_ns = order.ts
            cascade.count += 1
            cascade.notional += order.lots * usd * (1.0 + order.after)
            cascade.caused += order.caused
            records["cascade"][row] = cascade.id

    def block(self) -> NDArray[np.void]:
        """The next 30 s of records."""
        self._handed += BLOCK_NS
        while not self.work():
            pass
        out, self._held, self._coming = self._held, self._coming, None
        assert out is not None
        # the block simulated just now was long enough to join every cascade of `out` that goes on
        rows = np.flatnonzero((out["kind"] == KIND_LIQUIDATION) & (out["cascade"] > 0))
        for row in rows.tolist():
            cascade = self._open.get(int(out["cascade"][row]))
            if cascade is not None and cascade.count == 1:
                out["cascade"][row] = 0
        horizon = self._handed - int(self.parameters.cascade_gap_s * NS)
        for key in [key for key, cascade in self._open.items() if cascade.end_ns < horizon]:
            cascade = self._open.pop(key)
            if cascade.count > 1:
                self.truth.append(cascade)
        return out

    def blocks(self, hours: float) -> Iterator[NDArray[np.void]]:
        """The next `hours` of the market."""
        for _ in range(round(hours * 3600 * NS / BLOCK_NS)):
            yield self.block()

    def take(self, hours: float) -> NDArray[np.void]:
        """The next `hours` as one array: about 90 B x 30 records x 3600 an hour, for five symbols."""
        return np.concatenate(list(self.blocks(hours)) or [np.zeros(0, RECORD_DTYPE)])


__all__ = ["BLOCK_NS", "LONG", "SHORT", "START_NS", "Cascade", "Market", "Parameters"]
