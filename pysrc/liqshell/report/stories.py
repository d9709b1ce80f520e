"""The stories that a run tells: cascades, brackets with their orders and fills, trades. The reader of the audit stream (ledger.py) fills them."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from liqcore import Role
from liqcore.event import FillFlag

ORDER_MARKET = 2
#: one large liquidation: `price` is the reported one, on most venues the bankruptcy price
LARGE_DTYPE = np.dtype([("ts", "i8"), ("ts_event", "i8"), ("side", "i1"), ("price", "f8"), ("notional", "f8")])


@dataclass(slots=True)
class Order:
    """One order of ours. `steps`: (ts, price) whenever its price changed. Times in ns, 0 = never."""

    id: int
    role: int
    side: int
    created: int
    qty: float = 0.0
    type: int = 0
    last_price: float = 0.0          # the market when it was asked for
    steps: list[tuple[int, float]] = field(default_factory=list)
    acked: int = 0
    triggered: int = 0
    ended: int = 0
    reason: int = 0
    filled: float = 0.0
    rejected: bool = False
    ack_ms: float = 0.0

    @property
    def price(self) -> float:
        return self.steps[-1][1] if self.steps else 0.0


@dataclass(slots=True)
class Fill:
    """One execution. flags: FillFlag bits."""

    ts: int
    order: int
    role: int
    side: int
    price: float
    qty: float
    fee: float
    flags: int
    reason: int

    @property
    def maker(self) -> bool:
        return bool(self.flags & FillFlag.FILL_MAKER)

    @property
    def rule(self) -> str:
        """What decided the price: see words.RULES."""
        if self.maker:
            return "maker"
        return "print" if self.flags & FillFlag.FILL_PRINT else "moved" if self.flags & FillFlag.FILL_MOVED else "quote"


@dataclass(slots=True)
class Cascade:
    """One cascade that the detector saw. active: ns, 0 where it never had a second large event. larges: LARGE_DTYPE."""

    instrument: int
    start: int
    larges: np.ndarray
    phases: list[tuple[int, int]] = field(default_factory=list)
    side: int = 0
    long_notional: float = 0.0
    short_notional: float = 0.0
    count: int = 0
    threshold: float = 0.0
    score: float = 0.0
    z: float = 0.0
    price: float = 0.0
    active: int = 0
    ended: int = 0
    interrupted: bool = False
    verdicts: list[tuple[int, int]] = field(default_factory=list)      # (ts, Reason) of every answer by policy and risk
    unmet: str = ""                  # the first condition for which a policy wanted nothing, in words
    awaited: str = ""                # likewise, the last for which it put its answer off
    bracket: "Bracket | None" = None
    detector: int = 1                # place of the detector, from 1

    @property
    def last_large(self) -> int:
        return int(self.larges["ts"][-1]) if len(self.larges) else self.start

    @property
    def notional(self) -> float:
        return self.long_notional + self.short_notional


@dataclass(slots=True)
class Bracket:
    """One attempt at a trade, from the entry request to flat. `closed` is None until an AUDIT_TRADE ended it."""

    instrument: int
    sequence: int
    side: int
    opened: int
    cascade: Cascade | None = None
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    state: int = 1
    flat: int = 0                    # ns at which it was over, 0 = still open
    end: int = 0                     # Reason
    position: float = 0.0            # signed
    qty: float = 0.0
    stop_price: float = 0.0
    target_price: float = 0.0
    take_profit: float = 0.0
    stop_loss: float = 0.0
    threshold: float = 0.0           # of the signal behind it, as they stood when the entry was decided
    score: float = 0.0
    z: float = 0.0
    cascade_notional: float = 0.0
    cascade_side: int = 0            # the side that was liquidated by then; the cascade may turn later
    funding: float = 0.0             # paid > 0
    closed: "Trade | None" = None

    def first(self, role: int) -> Order | None:
        return next((o for o in self.orders.values() if o.role == role), None)

    @property
    def entry_limit(self) -> bool:
        """Whether the entry is a limit order (else: market)."""
        return next((o.type != ORDER_MARKET for o in self.orders.values() if o.role == Role.ROLE_ENTRY), True)

    @property
    def entry_fills(self) -> list[Fill]:
        return [f for f in self.fills if f.role == Role.ROLE_ENTRY]

    @property
    def entry_price(self) -> float:
        """Average price of the entry fills, 0 before the first."""
        fills = self.entry_fills
        return sum(f.price * f.qty for f in fills) / sum(f.qty for f in fills) if fills else 0.0


@dataclass(slots=True)
class Trade:
    """A closed round trip as the engine booked it (AUDIT_TRADE), plus the slippage inside its gross, and the funding that is paid beside it."""

    ts: int
    reason: int
    side: int
    entry: float
    exit: float
    qty: float
    gross: float
    fees: float
    hold_s: float
    entry_maker: bool
    entry_notional: float
    funding: float = 0.0             # paid > 0
    slippage: float = 0.0            # cost (> 0) of stop and market orders against the price they were decided at

    @property
    def net(self) -> float:
        """gross - fees - funding; slippage is inside gross."""
        return self.gross - self.fees - self.funding

    @property
    def bps(self) -> float:
        """Net return on the entry's notional."""
        return self.net / self.entry_notional * 1e4 if self.entry_notional else 0.0


@dataclass
class Ledger:
    """All stories of a run, and the counts of what was not done."""

    cascades: list[Cascade] = field(default_factory=list)
    brackets: list[Bracket] = field(default_factory=list)
    refusals: Counter = field(default_factory=Counter)                  # Reason -> verdicts of policy and risk against an entry
    named: Counter = field(default_factory=Counter)                     # of these, those with the policy's condition: see unmet.py
    refused_events: Counter = field(default_factory=Counter)                      # Reason -> events refused
    lapsed: int = 0
    larges: int = 0
    funding: float = 0.0                                                # of all positions, closed or not; paid > 0
    alarms: list[tuple[int, int, int, float, float]] = field(default_factory=list)   # ts, instrument, Alarm, value, limit
    limits: list[tuple[int, int, int, float, float]] = field(default_factory=list)   # ts, Control, Reason, value, limit
    gates: list[tuple[int, int, int, int]] = field(default_factory=list)             # ts, instrument, PAUSE or READY, Gate
    feed: list[tuple[int, int, int, float, int]] = field(default_factory=list)       # ts, instrument, FeedState, seconds missed, Stream bits
    equity_start: float = 0.0
    marks: dict[int, tuple[int, float]] = field(default_factory=dict)   # instrument -> (ts, last market price that the audit mentions)

    @cached_property
    def trades(self) -> list[Bracket]:
        """Closed round trips in the order in which they ended."""
        return sorted((b for b in self.brackets if b.closed is not None), key=lambda b: (b.flat, b.instrument))

    @cached_property
    def seen(self) -> list[Cascade]:
        """Cascades that became ACTIVE."""
        return [c for c in self.cascades if c.active]
