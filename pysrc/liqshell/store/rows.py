"""What a partition holds: rows of one kind, as Arrow columns on disk and as EVENT_DTYPE in memory.

| kind | columns besides ts_event, ts_recv and id |
|---|---|
| trades | price, qty, side (BUY, SELL: the aggressor) |
| quotes | bid, bid_qty, ask, ask_qty |
| liquidations | side (LONG, SHORT: the position that was closed by force), price, qty, notional (null where the source states none) |
| tickers | mark, index, open_interest (null where unknown), funding_rate |
| feed | state (UP, DOWN, GAP) |

Times are timestamp[ns, UTC]; `id` is the venue's sequence or trade number, 0 where it has none. Quantities are as the venue states them: contracts
stay contracts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from liqcore.event import EVENT_DTYPE, FeedState, Kind, Side

FORMAT = 1                      # of the partitions; a reader refuses what is newer
DAY_NS = 86_400_000_000_000
HOUR_NS = 3_600_000_000_000
VENUE_WIDE = "_all"             # stands where a symbol stands, for feed marks that concern every contract of a venue
_TIME = pa.timestamp("ns", tz="UTC")
_SIDES = {"trades": {int(Side.SHORT): "SELL", int(Side.LONG): "BUY"}, "liquidations": {int(Side.SHORT): "SHORT", int(Side.LONG): "LONG"}}
_STATES = {int(FeedState.FEED_UP): "UP", int(FeedState.FEED_DOWN): "DOWN", int(FeedState.FEED_GAP): "GAP"}


@dataclass(frozen=True)
class Layout:
    """One kind of rows. numbers: (column, field of event_t, does 0 mean unknown)."""

    name: str
    kind: int
    numbers: tuple[tuple[str, str, bool], ...]
    word: str = ""              # column of words, if any
    word_field: str = ""        # field of event_t that it stands for
    words: tuple[tuple[int, str], ...] = ()
    prices: tuple[str, ...] = ()        # fields of event_t that stand on the tick grid
    quantities: tuple[str, ...] = ()    # ... on the lot grid

    @property
    def schema(self) -> pa.Schema:
        fields = [pa.field("ts_event", _TIME, False), pa.field("ts_recv", _TIME, False)]
        if self.word:
            fields.append(pa.field(self.word, pa.dictionary(pa.int8(), pa.string()), False))
        fields += [pa.field(column, pa.float64(), unknown) for column, _, unknown in self.numbers]
        return pa.schema([*fields, pa.field("id", pa.int64(), False)])

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of event_t that a row of this kind carries; all others are 0, but for kind and instrument."""
        return ("ts_event", "ts_recv", *((self.word_field,) if self.word else ()), *(field for _, field, _ in self.numbers), "id")


# the order is that in which events of one contract at one ts_recv enter the engine: what is known of the feed first; a trade before the quote that
# it leaves behind; liquidations last, so that a decision at that moment knows the prices of that moment
LAYOUTS = (
    Layout("feed", int(Kind.FEED), (), "state", "code", tuple(_STATES.items())),
    Layout("trades", int(Kind.TRADE), (("price", "price", False), ("qty", "qty", False)), "side", "side", tuple(_SIDES["trades"].items()),
           ("price",), ("qty",)),
    Layout("quotes", int(Kind.BBO),
           (("bid", "price", False), ("bid_qty", "qty", False), ("ask", "aux_price", False), ("ask_qty", "aux_qty", False)),
           prices=("price", "aux_price"), quantities=("qty", "aux_qty")),
    Layout("tickers", int(Kind.TICKER),
           (("mark", "price", True), ("index", "aux_price", True), ("open_interest", "qty", True), ("funding_rate", "aux_qty", False))),
    Layout("liquidations", int(Kind.LIQUIDATION), (("price", "price", False), ("qty", "qty", False), ("notional", "aux_price", True)),
           "side", "side", tuple(_SIDES["liquidations"].items()), ("price",), ("qty",)),
)
LAYOUT = {layout.name: layout for layout in LAYOUTS}
OF_KIND = {layout.kind: layout for layout in LAYOUTS}
KINDS = tuple(LAYOUT)


def storable(layout: Layout, events: np.ndarray) -> np.ndarray:
    """Which rows a partition can hold: times of this and the next century, a known side or state. Prices are the engine's door's business."""
    good = (events["ts_recv"] >= 0) & (events["ts_recv"] < 1 << 62) & (events["ts_event"] >= 0) & (events["ts_event"] < 1 << 62)
    if layout.word:
        known = np.zeros(256, bool)
        known[[value for value, _ in layout.words]] = True
        good &= known[events[layout.word_field].view(np.uint8)]
    return good


def to_arrow(layout: Layout, events: np.ndarray) -> pa.RecordBatch:
    """EVENT_DTYPE rows of one kind -> columns. Every row must be `storable`."""
    columns: list[Any] = [pa.array(np.ascontiguousarray(events[name]), pa.int64()).cast(_TIME) for name in ("ts_event", "ts_recv")]
    if layout.word:
        index = np.zeros(256, np.int8)
        for n, (value, _) in enumerate(layout.words):
            index[value] = n
        columns.append(pa.DictionaryArray.from_arrays(index[events[layout.word_field].view(np.uint8)], [word for _, word in layout.words]))
    for _, field, unknown in layout.numbers:
        values = np.ascontiguousarray(events[field])
        columns.append(pa.array(values, mask=values == 0.0) if unknown else pa.array(values))
    columns.append(pa.array(np.ascontiguousarray(events["id"])))
    return pa.RecordBatch.from_arrays(columns, schema=layout.schema)


def from_arrow(layout: Layout, table: pa.RecordBatch | pa.Table) -> np.ndarray:
    """Columns -> EVENT_DTYPE rows; instrument is 0."""
    events = np.zeros(table.num_rows, EVENT_DTYPE)
    events["kind"] = layout.kind
    for name in ("ts_event", "ts_recv", "id"):
        events[name] = _numpy(table.column(name).cast(pa.int64()))
    if layout.word:
        values = {word: value for value, word in layout.words}
        column = table.column(layout.word)
        start = 0
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            # the dictionary of a file need not be in our order, nor hold every word
            if not pa.types.is_dictionary(chunk.type):
                chunk = chunk.dictionary_encode()
            meaning = np.array([values[word] for word in chunk.dictionary.to_pylist()] or [0], np.int8)
            events[layout.word_field][start:start + len(chunk)] = meaning[_numpy(chunk.indices)]
            start += len(chunk)
    for column_name, field, unknown in layout.numbers:
        column = table.column(column_name)
        events[field] = _numpy(column.fill_null(0.0) if unknown else column)
    return events


def _numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)


def day_text(day: int) -> str:
    """Days since 1970 -> YYYY-MM-DD."""
    return str(np.datetime64(day, "D"))


def day_number(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))
