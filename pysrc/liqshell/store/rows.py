"""The content of a partition: rows of one kind, as Arrow columns on disk and as EVENT_DTYPE in memory.

| kind | columns besides ts_event, ts_recv and id |
|---|---|
| trades | price, qty, side (BUY, SELL: the aggressor) |
| quotes | bid, bid_qty, ask, ask_qty |
| liquidations | side (LONG, SHORT: the position that was closed by force), price, qty, notional, limit (of the forced order); null = not stated |
| backstops | as liquidations, without limit; no tape has them (liqshell.backstops) |
| tickers | mark, index, open_interest, funding_rate; null = not stated |
| feed | state (UP, DOWN, GAP), streams (bits of liqcore.event.Stream; null = all) |
| deleveraged | side (LONG, SHORT: the winner's position that the venue closed), price, qty, notional; null = not stated |
| venue | states (LIMITS, POOL), buy_max, sell_min (of LIMITS; null = no limit), pool, drawdown, adl_distance (of POOL; null = not stated) |

Times are timestamp[ns, UTC]; `id` is the venue's sequence or trade number, 0 where it has none. Quantities are as the venue states them: contracts
stay contracts.

Format 1 had no `limit` and no `streams`, and 0 for a funding rate that was not stated: such a 0 is read as not stated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from liqcore.event import FeedState, Kind, PoolFlag, Side, Statement
from liqshell import backstops
from liqshell.arrow_column import arrow_column, nulls_of, numpy_column
from liqshell.event_columns import EventColumns, Events
from liqshell.recording.streams import BITS

FORMAT = 2  # of the partitions; a reader refuses what is newer
DAY_NS = 86_400_000_000_000
HOUR_NS = 3_600_000_000_000
VENUE_WIDE = "_all"  # stands where a symbol stands, for feed marks that concern every contract of a venue
_TIME = pa.timestamp("ns", tz="UTC")
_SIDES = {"trades": {int(Side.SHORT): "SELL", int(Side.LONG): "BUY"}, "liquidations": {int(Side.SHORT): "SHORT", int(Side.LONG): "LONG"}}
_LIMITS, _POOL = int(Statement.STATES_LIMITS), int(Statement.STATES_POOL)
_STATES = {int(FeedState.FEED_UP): "UP", int(FeedState.FEED_DOWN): "DOWN", int(FeedState.FEED_GAP): "GAP"}


@dataclass(frozen=True)
class Number:
    """A column of numbers. field: of event_t. nullable: 0 means not stated. bit: of event_t.flags, set where it is not stated; then a 0 is a number
    unless `nullable`, too."""

    column: str
    field: str
    nullable: bool = False
    bit: int = 0
    only: int = 0  # of the word's values: the rows that have it; in the others it is null. 0 = all rows

    @property
    def may_be_null(self) -> bool:
        return self.nullable or bool(self.bit or self.only)


@dataclass(frozen=True)
class Layout:
    """One kind of rows."""

    name: str
    kind: int
    numbers: tuple[Number, ...]
    label: str = ""  # column of words, if any
    label_field: str = ""  # field of event_t that it stands for
    labels: tuple[tuple[int, str], ...] = ()
    prices: tuple[str, ...] = ()  # fields of event_t that stand on the tick grid
    quantities: tuple[str, ...] = ()  # ... on the lot grid
    bits: str = ""  # column of event_t.flags as they are, null = 0
    format: int = 1  # the first format that has it like this

    @property
    def schema(self) -> pa.Schema:
        fields = [pa.field("ts_event", _TIME, False), pa.field("ts_recv", _TIME, False)]
        if self.label:
            fields.append(pa.field(self.label, pa.dictionary(pa.int8(), pa.string()), False))
        fields += [pa.field(number.column, pa.float64(), number.may_be_null) for number in self.numbers]
        fields += [pa.field(self.bits, pa.uint8(), True)] if self.bits else []
        return pa.schema([*fields, pa.field("id", pa.int64(), False)])

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of event_t that a row of this kind carries; all others are 0, but for kind and instrument."""
        flags = ("flags",) if self.bits or any(number.bit for number in self.numbers) else ()
        return tuple(
            dict.fromkeys(
                ("ts_event", "ts_recv", *((self.label_field,) if self.label else ()), *(number.field for number in self.numbers), *flags, "id")
            )
        )

    def having(self, number: Number, events: Events) -> np.ndarray:
        """The rows that a column is of."""
        return np.asarray(events[self.label_field] == number.only) if number.only else np.ones(len(events), bool)


# the order is that in which events of one contract at one ts_recv enter the engine: what is known of the feed first; a trade before the quote that
# it leaves behind; liquidations last, so that a decision at that moment knows the prices of that moment
LAYOUTS = (
    Layout("feed", int(Kind.FEED), (), "state", "code", tuple(_STATES.items()), bits="streams", format=2),
    Layout(
        "venue",
        int(Kind.VENUE_STATE),
        (
            Number("buy_max", "price", True, only=_LIMITS),
            Number("sell_min", "aux_price", True, only=_LIMITS),
            Number("pool", "qty", bit=int(PoolFlag.POOL_NO_BALANCE), only=_POOL),
            Number("drawdown", "aux_qty", bit=int(PoolFlag.POOL_NO_DRAWDOWN), only=_POOL),
            Number("adl_distance", "aux_price", bit=int(PoolFlag.POOL_NO_DISTANCE), only=_POOL),
        ),
        "states",
        "code",
        ((_LIMITS, "LIMITS"), (_POOL, "POOL")),
        format=2,
    ),
    Layout(
        "trades",
        int(Kind.TRADE),
        (Number("price", "price"), Number("qty", "qty")),
        "side",
        "side",
        tuple(_SIDES["trades"].items()),
        ("price",),
        ("qty",),
    ),
    Layout(
        "quotes",
        int(Kind.BBO),
        (Number("bid", "price"), Number("bid_qty", "qty"), Number("ask", "aux_price"), Number("ask_qty", "aux_qty")),
        prices=("price", "aux_price"),
        quantities=("qty", "aux_qty"),
    ),
    Layout(
        "tickers",
        int(Kind.TICKER),
        (
            Number("mark", "price", True, BITS["mark"]),
            Number("index", "aux_price", True, BITS["index"]),
            Number("open_interest", "qty", True, BITS["open_interest"]),
            Number("funding_rate", "aux_qty", False, BITS["funding"]),
        ),
        format=2,
    ),
    Layout(
        "deleveraged",
        int(Kind.DELEVERAGE),
        (Number("price", "price"), Number("qty", "qty"), Number("notional", "aux_price", True)),
        "side",
        "side",
        tuple(_SIDES["liquidations"].items()),
        ("price",),
        ("qty",),
        format=2,
    ),
    Layout(
        "liquidations",
        int(Kind.LIQUIDATION),
        (Number("price", "price"), Number("qty", "qty"), Number("notional", "aux_price", True), Number("limit", "aux_qty", True)),
        "side",
        "side",
        tuple(_SIDES["liquidations"].items()),
        ("price",),
        ("qty",),
        format=2,
    ),
)
# as partitions of format 1 have them
_NOW = {layout.name: layout for layout in LAYOUTS}
BEFORE = {
    "feed": replace(_NOW["feed"], bits="", format=1),
    "tickers": replace(_NOW["tickers"], numbers=tuple(replace(one, bit=0) for one in _NOW["tickers"].numbers), format=1),
    "liquidations": replace(_NOW["liquidations"], numbers=_NOW["deleveraged"].numbers, format=1),
}
# what no tape has, because it is no event of an engine; a store keeps it
BACKSTOPS = replace(_NOW["deleveraged"], name=backstops.NAME, kind=backstops.BACKSTOP)
LAYOUT = {layout.name: layout for layout in (*LAYOUTS, BACKSTOPS)}
OF_KIND = {layout.kind: layout for layout in LAYOUT.values()}
KINDS = tuple(LAYOUT)


def storable(layout: Layout, events: Events) -> np.ndarray:
    """Which rows a partition can hold: times of this and the next century, a known side or state. The engine's validation checks prices."""
    good = (events["ts_recv"] >= 0) & (events["ts_recv"] < 1 << 62) & (events["ts_event"] >= 0) & (events["ts_event"] < 1 << 62)
    if layout.label:
        known = np.zeros(256, bool)
        known[[value for value, _ in layout.labels]] = True
        good &= known[events[layout.label_field].view(np.uint8)]
    return good


def canonical(layout: Layout, events: Events) -> Events:
    """The same rows, each in the one way of saying what it says: a value that is not stated is 0 and has its bit, one that rows of its word do not
    have is 0. A copy where that changes them."""
    for field in dict.fromkeys(number.field for number in layout.numbers if number.only):
        foreign = ~np.any([layout.having(number, events) for number in layout.numbers if number.field == field], axis=0) & (events[field] != 0.0)
        if foreign.any():
            events = events.copy()
            events[field] = np.where(foreign, 0.0, events[field])
    wanted = np.zeros(len(events), np.uint8) if not layout.bits else events["flags"].copy()
    for number in layout.numbers:
        if number.bit:
            unstated = events["flags"] & number.bit != 0
            if number.nullable:
                unstated |= events[number.field] == 0.0
            unstated &= layout.having(number, events)
            wanted |= np.where(unstated, number.bit, 0).astype(np.uint8)
            if (unstated & (events[number.field] != 0.0)).any():
                events = events.copy()
                events[number.field] = np.where(unstated, 0.0, events[number.field])
    if (events["flags"] != wanted).any():
        events = events.copy()
        events["flags"] = wanted
    return events


def to_arrow(layout: Layout, events: Events) -> pa.RecordBatch:
    """EVENT_DTYPE rows of one kind -> columns. Every row must be `storable`, and `canonical`."""
    columns: list[Any] = [arrow_column(events[name]).view(_TIME) for name in ("ts_event", "ts_recv")]
    flags = np.ascontiguousarray(events["flags"])
    if layout.label:
        index = np.zeros(256, np.int8)
        for n, (value, _) in enumerate(layout.labels):
            index[value] = n
        words = arrow_column(np.array([word for _, word in layout.labels]))
        columns.append(pa.DictionaryArray.from_arrays(arrow_column(index[events[layout.label_field].view(np.uint8)]), words))
    for number in layout.numbers:
        values = np.ascontiguousarray(events[number.field])
        mask = flags & number.bit != 0 if number.bit else values == 0.0 if number.nullable else None
        if number.only:
            mask = ~layout.having(number, events) | mask
        columns.append(arrow_column(values, mask))
    if layout.bits:
        columns.append(arrow_column(flags, flags == 0))
    columns.append(arrow_column(events["id"]))
    return pa.RecordBatch.from_arrays(columns, schema=layout.schema)


def from_arrow(layout: Layout, table: pa.RecordBatch | pa.Table) -> EventColumns:
    """Columns -> events; instrument is 0."""
    events = EventColumns(table.num_rows, kind=layout.kind)
    for name in ("ts_event", "ts_recv", "id"):
        events[name] = numpy_column(table.column(name))
    if layout.label:
        values = {word: value for value, word in layout.labels}
        column = table.column(layout.label)
        said: list[np.ndarray] = [np.zeros(0, np.int8)]
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            # the dictionary of a file need not be in our order, nor hold every word
            if not pa.types.is_dictionary(chunk.type):
                chunk = chunk.dictionary_encode()
            meaning = np.array([values[word] for word in chunk.dictionary.to_pylist()] or [0], np.int8)
            said.append(meaning[numpy_column(chunk.indices)])
        events[layout.label_field] = np.concatenate(said)
    for number in layout.numbers:
        column = table.column(number.column)
        found, mine = numpy_column(column), layout.having(number, events)
        events[number.field] = np.where(mine, found, events[number.field]) if number.only else found
        if number.bit:
            events["flags"] = events["flags"] | np.where(nulls_of(column) & mine, number.bit, 0).astype(np.uint8)
    if layout.bits:
        events["flags"] = numpy_column(table.column(layout.bits))
    if layout is BEFORE["tickers"]:
        for number in LAYOUT["tickers"].numbers:
            events["flags"] = events["flags"] | np.where(events[number.field] == 0.0, number.bit, 0).astype(np.uint8)
    return events


def day_text(day: int) -> str:
    """Days since 1970 -> YYYY-MM-DD."""
    return str(np.datetime64(day, "D"))


def day_number(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))
