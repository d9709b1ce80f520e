"""The table of all features: meaning, unit and kernel. docs/features.md shows it."""

from typing import NamedTuple

MILLISECOND, SECOND, MINUTE, HOUR, DAY = 1_000_000, 1_000_000_000, 60_000_000_000, 3_600_000_000_000, 86_400_000_000_000
LIQUIDATION, TRADE, BBO, TICKER = 1, 2, 3, 4  # event.Kind
DELEVERAGE, VENUE_STATE = 12, 13
FORCED, TRADED, QUOTED, MARKED, INDEXED, FUNDED, OPEN, STATED = 1, 2, 4, 8, 16, 32, 64, 128  # event.Stream
DELEVERAGED = 256  # deleveragings: they come with the liquidations, but not every venue reports them


class Entry(NamedTuple):
    """One row. source: the kernel. window: the default in ns, 0 = required, None = it has none. kind: of its input events. across: it reads other
    instruments, too."""

    group: str
    name: str
    source: str
    unit: str
    meaning: str
    window: int | None = 0
    kind: int = LIQUIDATION
    across: bool = False

    @property
    def key(self) -> str:
        return f"{self.group}.{self.name}"

    @property
    def kinds(self) -> tuple[int, ...]:
        """event.Kind of all its inputs."""
        return (self.kind, *MORE_KINDS.get(self.key if self.source == "state" else self.source, ()))

    @property
    def streams(self) -> int:
        """Bits of event.Stream: the feature is unknown while one of them is interrupted."""
        return STREAMS[self.key if self.source == "state" else self.source]


def _rows(group: str, source: str, kind: int, *rows: tuple[str, str, str], window: int | None = 0, across: bool = False) -> list[Entry]:
    return [Entry(group, name, source, unit, meaning, window, kind, across) for name, unit, meaning in rows]


CANDLE = "of the last complete candle of this length (grid of UTC time; a candle without a trade has the close before it)"
TABLE = (
    *_rows(
        "liquidations",
        "liquidations",
        LIQUIDATION,
        ("liq_volume", "quote", "liquidated notional, both sides"),
        ("liq_long_volume", "quote", "notional of liquidated longs"),
        ("liq_short_volume", "quote", "notional of liquidated shorts"),
        ("liq_count", "events", "number of liquidations"),
        ("liq_rate", "events/min", "liquidations a minute: count / window"),
        ("liq_max", "quote", "largest notional of one liquidation; 0 = there was none"),
        ("liq_imbalance", "-1..1", "(short - long) / total notional: -1 = only longs were liquidated; 0 where nothing was"),
        ("liq_long_share", "0..1", "long / total notional; 0.5 where nothing was liquidated"),
    ),
    *_rows(
        "liquidations",
        "cascade",
        LIQUIDATION,
        (
            "liq_cascade_flag",
            "0 or 1",
            (
                "1 while a cascade runs: at least 2 liquidations at or above the P95 of the contract's last 1000 (known "
                "after 100), each within the window of the one before"
            ),
        ),
        ("liq_cascade_size", "quote", "notional of the large liquidations of the running cascade; 0 where none runs"),
        window=MINUTE,
    ),
    *_rows(
        "liquidations",
        "liquidations",
        LIQUIDATION,
        (
            "liq_correlation",
            "-1..1",
            (
                "Pearson correlation with BTC of the notional liquidated per slot (a 120th of the window), complete slots "
                "only; not known where one of the two does not vary"
            ),
        ),
        window=5 * MINUTE,
        across=True,
    ),
    *_rows(
        "flow",
        "ofi",
        BBO,
        (
            "ofi",
            "base",
            ("order-flow imbalance of the best quotes: size that came to the bid or left the ask, minus the reverse (Cont, Kukanov, Stoikov 2014)"),
        ),
    ),
    *_rows(
        "flow",
        "trades",
        TRADE,
        ("trade_imbalance", "-1..1", "(bought - sold) / total notional, by aggressor; 0 without trades"),
        ("volume", "quote", "traded notional"),
        ("buy_volume", "quote", "notional of aggressive buys"),
        ("sell_volume", "quote", "notional of aggressive sells"),
        ("trade_count", "trades", "number of trades"),
    ),
    *_rows("flow", "state", BBO, ("spread_bps", "bps", "(ask - bid) / mid; not known while the quote has expired"), window=None),
    *_rows("price", "state", TRADE, ("last", "quote", "price of the last trade"), window=None),
    *_rows("price", "state", TICKER, ("mark", "quote", "mark price"), ("basis", "fraction", "mark / index - 1"), window=None),
    *_rows(
        "price",
        "price",
        TRADE,
        ("return", "fraction", "last trade / last trade before the window - 1"),
        ("range", "fraction", "(highest - lowest price in the window) / last trade"),
    ),
    *_rows(
        "price",
        "candles",
        TRADE,
        ("open", "quote", f"first price {CANDLE}"),
        ("high", "quote", f"highest price {CANDLE}"),
        ("low", "quote", f"lowest price {CANDLE}"),
        ("close", "quote", f"last price {CANDLE}"),
    ),
    *_rows(
        "volatility",
        "price",
        TRADE,
        (
            "realised",
            "fraction",
            ("square root of the summed squared log returns from slot to slot (a 120th of the window), complete slots only; not annualised"),
        ),
    ),
    *_rows(
        "volatility",
        "candles",
        TRADE,
        ("atr", "quote", "average true range: plain mean of the true ranges of the last 14 complete candles of this length"),
        ("natr", "fraction", "atr / close of the last complete candle"),
    ),
    *_rows("funding", "state", TICKER, ("funding", "fraction", "funding rate of the running interval, as the venue states it"), window=None),
    *_rows(
        "funding",
        "funding",
        TICKER,
        (
            "funding_avg",
            "fraction",
            ("funding rate, averaged over time (at the 120 slot ends of the window), then over those venues of the asset where it is known"),
        ),
        across=True,
    ),
    *_rows("oi", "state", TICKER, ("oi", "base", "open interest"), ("oi_value", "quote", "open interest x mark price"), window=None),
    *_rows("oi", "oi", TICKER, ("oi_change", "fraction", "open interest / open interest before the window - 1")),
    *_rows(
        "hawkes",
        "hawkes",
        LIQUIDATION,
        ("intensity_long", "events/min", "expected rate of liquidations of longs at this moment, by self-excitation (Hawkes)"),
        ("intensity_short", "events/min", "expected rate of liquidations of shorts at this moment, by self-excitation (Hawkes)"),
        (
            "branching",
            "0..1",
            (
                "share of liquidations that others caused (fitted branching ratio), as a percentile of its own last 30 days; "
                "not known in the first 6 hours"
            ),
        ),
        window=None,
        across=True,
    ),
    *_rows(
        "hawkes",
        "hawkes",
        LIQUIDATION,
        ("next_large", "0..1", "probability of a liquidation among the largest 5 % within the window, of either side"),
        window=15 * SECOND,
        across=True,
    ),
    *_rows(
        "map",
        "pending",
        TRADE,
        ("pending_below", "quote", "ESTIMATED notional of open longs that would be liquidated if the price fell by so many percent"),
        ("pending_above", "quote", "ESTIMATED notional of open shorts that would be liquidated if the price rose by so many percent"),
    ),
    *_rows(
        "map",
        "density",
        LIQUIDATION,
        ("realised_below", "quote", "notional of earlier liquidations at market prices up to so many percent below the last trade; half-life a week"),
        ("realised_above", "quote", "the same above the last trade"),
        ("realised_long_below", "quote", "the same below, liquidated longs only"),
        ("realised_long_above", "quote", "the same above, liquidated longs only"),
        ("realised_short_below", "quote", "the same below, liquidated shorts only"),
        ("realised_short_above", "quote", "the same above, liquidated shorts only"),
    ),
    *_rows(
        "risk",
        "state",
        VENUE_STATE,
        (
            "adl_distance",
            "0..1",
            "distance of auto-deleveraging, as the venue states it: 1 = far, 0 = it runs or may run; between them the "
            "remaining share of the way to its trigger",
        ),
        ("pool", "coin", "balance of the insurance pool behind the contract, in its coin; may be negative"),
        ("pool_drawdown", "fraction", "share of the pool lost within 8 hours"),
        ("limit_up_bps", "bps", "how far the highest price of a buy order is above the last trade; below 0: trading beyond it"),
        ("limit_down_bps", "bps", "how far the lowest price of a sell order is below the last trade; below 0: trading beyond it"),
        window=None,
    ),
    *_rows(
        "risk",
        "deleveraged",
        DELEVERAGE,
        (
            "deleveraged",
            "quote",
            ("notional of winners' positions that the venue closed by auto-deleveraging, both sides; known from the first such event on"),
        ),
    ),
)
LARGE_SHARE = 0.05  # of the liquidations: the large ones of hawkes.next_large
#: further inputs of a kernel beside its own kind of event; trades can end a quote
MORE_KINDS: dict[str, tuple[int, ...]] = {
    "pending": (TICKER,),
    "density": (TRADE,),
    "flow.spread_bps": (TRADE,),
    "risk.limit_up_bps": (TRADE,),
    "risk.limit_down_bps": (TRADE,),
}
#: by source; of present values, by name
STREAMS = {
    "liquidations": FORCED,
    "cascade": FORCED,
    "hawkes": FORCED,
    "trades": TRADED,
    "price": TRADED,
    "candles": TRADED,
    "ofi": QUOTED,
    "funding": FUNDED,
    "oi": OPEN,
    "pending": TRADED | OPEN,
    "density": FORCED | TRADED,
    "flow.spread_bps": QUOTED,
    "price.last": TRADED,
    "price.mark": MARKED,
    "price.basis": MARKED | INDEXED,
    "funding.funding": FUNDED,
    "oi.oi": OPEN,
    "oi.oi_value": OPEN | MARKED,
    "risk.adl_distance": STATED,
    "risk.pool": STATED,
    "risk.pool_drawdown": STATED,
    "risk.limit_up_bps": STATED | TRADED,
    "risk.limit_down_bps": STATED | TRADED,
    "deleveraged": DELEVERAGED,
}
#: every feature by 'group.name'
ENTRIES: dict[str, Entry] = {entry.key: entry for entry in TABLE}
