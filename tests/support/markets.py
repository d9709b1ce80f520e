"""Markets for the laws: seeded events of every kind with cascades in them, and the plainest fade policy."""

import numpy as np

from liqcore import (
    EVENT_DTYPE,
    SECOND,
    Bracket,
    CascadeConfig,
    Engine,
    Instrument,
    Paper,
    Phase,
    Policy,
    Risk,
    SimVenue,
)
from liqcore.event import FeedState, Kind, Stream
from liqcore.snapshot import unpack

ALL_INSTRUMENTS = -1
LIQUIDATION, TRADE, QUOTE, MARK, FUNDING = (int(bit) for bit in list(Stream)[:4] + [Stream.STREAM_FUNDING])
START = 1_772_452_800 * SECOND  # a Monday, 12:00 UTC
EAGER = CascadeConfig(warmup=10, quantile=0.6, window_events=50, window_s=20.0, decay_s=5.0)


class Fade(Policy):
    """Longs closed by force -> buy below; shorts -> sell above."""

    def __init__(self, **options):
        self.bracket = {
            "stop_loss": 0.0025,
            "take_profit": 0.0015,
            "entry_offset": 0.0005,
            "notional": 1000.0,
            "cooldown_s": 5,
            "entry_ttl_s": 20,
            "max_hold_s": 30,
        } | options
        self.seen = []

    def on_signal(self, signal, market):
        self.seen.append((signal, market.last))
        return Bracket(signal.side, **self.bracket) if signal.phase == Phase.ACTIVE else None


def instruments(count: int = 2) -> list[Instrument]:
    return [Instrument(name, tick_size="0.01", lot_size="0.001", min_qty="0.001") for name in ("ETHUSDT", "SOLUSDT", "XRPUSDT")[:count]]


def market(seed: int, count: int, size: int = 2, rubbish: float = 0.0, feed: bool = False, spread: float = 0.01, masks: bool = False) -> np.ndarray:
    """`count` events over some hours: trades and quotes on a random walk that liquidations push, bursts of same-sided liquidations. spread: of the
    quotes; where it is small, most trades contradict them. feed: connections that break; masks: some of them for some streams, and tickers that do
    not state all."""
    r = np.random.default_rng(seed)
    e = np.zeros(count, EVENT_DTYPE)
    calm = np.where(r.random(count) < 0.02, r.integers(0, 100 * SECOND, count), r.integers(0, 2 * SECOND, count))
    burst = np.repeat(r.random(count // 25 + 1) < 0.35, 25)[:count]
    side = np.repeat(r.choice([1, -1], count // 25 + 1), 25)[:count]
    which = r.integers(0, size, count)
    step = np.where(burst, -side * 0.0004 + r.normal(0, 0.0003, count), r.normal(0, 0.0004, count))
    price = 2000.0 / (1 + which) * np.exp(sum(np.cumsum(np.where(which == n, step, 0.0)) * (which == n) for n in range(size)))
    price = np.round(price, 2)
    kinds = np.where(
        burst,
        r.choice([Kind.LIQUIDATION, Kind.TRADE, Kind.BBO], count, p=[0.5, 0.3, 0.2]),
        r.choice([Kind.LIQUIDATION, Kind.TRADE, Kind.BBO, Kind.TICKER], count, p=[0.1, 0.5, 0.3, 0.1]),
    )
    e["ts_recv"] = START + np.cumsum(np.where(burst, calm // 20, calm))
    e["ts_event"] = e["ts_recv"] - r.integers(-SECOND // 10, SECOND, count)
    e["kind"], e["instrument"], e["price"] = kinds, which, price
    e["side"] = np.where(burst, side, r.choice([1, -1], count))
    e["qty"] = np.round(np.exp(r.normal(0, 1.5, count)) + 0.001, 3)
    quote = kinds == Kind.BBO
    e["aux_price"] = np.where(quote, np.round(price + spread, 2), 0.0)
    e["aux_qty"] = np.where(quote, 1.0, 0.0)
    beyond = kinds == Kind.LIQUIDATION
    e["price"] = np.where(beyond, np.round(price * (1 - 0.003 * e["side"]), 2), e["price"])
    if rubbish:
        bad = r.random(count) < rubbish
        e["price"] = np.where(bad & (r.random(count) < 0.5), r.choice([np.nan, np.inf, 0.0, -1.0, 1e7], count), e["price"])
        e["kind"] = np.where(bad & (r.random(count) < 0.2), 77, e["kind"])
        e["instrument"] = np.where(bad & (r.random(count) < 0.2), 99, e["instrument"])
        e["side"] = np.where(bad & (r.random(count) < 0.2), 0, e["side"])
    if feed:
        for at in r.integers(0, count, max(1, count // 300)):
            ts = e[max(at - 1, 0)]["ts_recv"]
            e[at] = 0
            e[at]["ts_recv"] = e[at]["ts_event"] = ts
            e[at]["kind"], e[at]["code"] = Kind.FEED, r.choice([FeedState.FEED_UP, FeedState.FEED_DOWN, FeedState.FEED_GAP, FeedState.FEED_UP])
            e[at]["instrument"] = r.choice([ALL_INSTRUMENTS, 0])
        e["ts_recv"] = np.maximum.accumulate(e["ts_recv"])
    if masks:
        about, unstated = r.choice([0, 0, QUOTE, QUOTE | TRADE, MARK, LIQUIDATION], count), r.choice([0, 0, MARK, FUNDING], count)
        e["flags"] = np.where(e["kind"] == Kind.FEED, about, np.where(e["kind"] == Kind.TICKER, unstated, 0))
    return e


def paper(policy=None, *, size: int = 2, risk: dict | None = None, config: CascadeConfig = EAGER, quote_age_s: float = 10.0, **venue) -> Paper:
    limits = {"data_age_max_s": 60.0, "orders_per_minute_max": 1000, "daily_loss_max": 0.5, "weekly_loss_max": 0.5} | (risk or {})
    names = instruments(size)
    engine = Engine(names, config, Fade() if policy is None else policy, Risk(**limits), audit_capacity=1 << 17, quote_age_s=quote_age_s)
    return Paper(engine, SimVenue(engine.instruments, **venue))


def state(engine: Engine) -> tuple:
    """What decides the engine's future: its snapshot without counters, audit sequence, and the door's memory of implausible prices."""
    _, clock, _, market, *rest = unpack(b"liqcore-engine-5\n", engine.snapshot(), "engine")
    size = len(market) // len(engine.instruments)
    return clock[:16], tuple(market[n : n + size - 16] for n in range(0, len(market), size)), tuple(rest)
