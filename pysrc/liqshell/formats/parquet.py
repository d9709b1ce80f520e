"""Parquet with our column names. Two layouts, told by their columns:

    long    ts_recv, kind, price, qty [, ts_event, symbol, venue, side, aux_price, aux_qty, id, flags, code]: one row an event, fields as in event_t
    kind    as a partition of the store holds: ts_event, ts_recv, id and side, price, qty [notional, limit] | bid, bid_qty, ask, ask_qty | mark,
            index, open_interest, funding_rate (null = not stated) | state [streams]

Times are timestamps, or integers of ns. kind is a name (TRADE) or its number; side BUY / SELL for trades, LONG / SHORT for liquidations, or +1 / -1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from liqcore.event import FeedState, Kind, Side
from liqshell.arrow_column import nulls_of, numpy_column
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns, kinds_in
from liqshell.formats.compression import PARQUET, arrow
from liqshell.formats.reading import Reading
from liqshell.formats.validate import Block
from liqshell.recording.streams import BITS

BLOCK_ROWS = 1 << 18
_FIELDS = {
    "price": "price",
    "qty": "qty",
    "aux_price": "aux_price",
    "aux_qty": "aux_qty",
    "notional": "aux_price",
    "limit": "aux_qty",
    "bid": "price",
    "bid_qty": "qty",
    "ask": "aux_price",
    "ask_qty": "aux_qty",
    "mark": "price",
    "index": "aux_price",
    "open_interest": "qty",
    "funding_rate": "aux_qty",
    "id": "id",
    "flags": "flags",
    "streams": "flags",
    "code": "code",
}
_SIDES = {
    "buy": int(Side.LONG),
    "long": int(Side.LONG),
    "1": int(Side.LONG),
    "+1": int(Side.LONG),
    "sell": int(Side.SHORT),
    "short": int(Side.SHORT),
    "-1": int(Side.SHORT),
}
_KINDS = {kind.name.lower(): int(kind) for kind in Kind} | {str(int(kind)): int(kind) for kind in Kind}
_STATES = {"up": int(FeedState.FEED_UP), "down": int(FeedState.FEED_DOWN), "gap": int(FeedState.FEED_GAP)}
MARKET = (int(Kind.LIQUIDATION), int(Kind.TRADE), int(Kind.BBO), int(Kind.TICKER), int(Kind.FEED), int(Kind.DELEVERAGE))


def sniff(path: Path, first: str) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == PARQUET


class Parquet(Reading):
    format = "parquet"

    def prepare(self) -> None:
        pa = arrow(str(self.path))
        import pyarrow.parquet as pq

        try:
            self._file = pq.ParquetFile(str(self.path))
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as why:
            raise DataError(
                str(self.path), f"not a Parquet file ({str(why)[:100]})", "a complete Parquet file", "Fetch it or create it again"
            ) from None
        self._errors = (pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError, ValueError)  # a text that is no number
        names = set(self._file.schema_arrow.names)
        self._kind = _kind(names)
        if "ts_recv" not in names and "ts_event" not in names or self._kind is None and "kind" not in names:
            raise DataError(
                str(self.path),
                f"columns {', '.join(sorted(names))[:120]}",
                "ts_recv (or ts_event), and kind or the columns of one kind",
                "See docs/formats.md",
            )
        if "ts_recv" not in names:
            self.received = "modelled"
            self.note(f"no column ts_recv: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")
        meta = {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in (self._file.schema_arrow.metadata or {}).items()}
        self._venue = self.options.venue or meta.get("liqcore.venue", "")
        if meta.get("liqcore.synthetic") == "1":
            self.synthetic()
        self._symbol = self.options.symbol or meta.get("liqcore.symbol", "")
        if "symbol" not in names and not self._symbol:
            raise DataError(str(self.path), "no column symbol", "the contract of the rows", "Give it: symbol=...")
        self._columns = [
            name for name in self._file.schema_arrow.names if name in {*_FIELDS, "ts_event", "ts_recv", "side", "kind", "symbol", "venue", "state"}
        ]

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[Block]:
        start = 0
        try:
            for batch in self._file.iter_batches(BLOCK_ROWS, columns=self._columns):
                if batch.num_rows:
                    yield self._events(batch, start)
                start += batch.num_rows
        except self._errors as why:
            raise DataError(
                f"{self.path}:row {start}",
                f"cannot be read on ({str(why)[:100]})",
                "a complete Parquet file of our columns",
                "Fetch it or create it again",
            ) from None
        finally:
            self._file.close()

    def _events(self, batch: Any, start: int) -> Block:
        events = EventColumns(batch.num_rows)
        names = set(batch.schema.names)
        for name in ("ts_event", "ts_recv"):
            if name in names:
                events[name] = _times(batch.column(name))
        if "ts_recv" not in names:
            events["ts_recv"] = events["ts_event"] + self.options.feed_latency_ns
        elif "ts_event" not in names:
            events["ts_event"] = events["ts_recv"]
        for name, field in _FIELDS.items():
            if name in names:
                numbers = _numbers(batch.column(name))
                events[field] = self.kept_ids(numbers) if name == "id" and numbers.dtype == np.uint64 else numbers
        if "funding_rate" in names:
            unstated = nulls_of(batch.column("funding_rate"))
            events["flags"] = events["flags"] | np.where(unstated, BITS["funding"], 0).astype(np.uint8)
        elif self._kind == int(Kind.TICKER):
            events["flags"] = events["flags"] | np.uint8(BITS["funding"])
        if self._kind is not None:
            events["kind"] = self._kind
        else:
            events["kind"] = _label_codes(batch.column("kind"), _KINDS)
        if "side" in names:
            events["side"] = _label_codes(batch.column("side"), _SIDES)
        if "state" in names:
            events["code"] = _label_codes(batch.column("state"), _STATES)
        events["instrument"] = self._instruments(batch, names)
        if set(kinds_in(events)) <= set(MARKET):
            return Block(events, start)
        market = np.isin(events["kind"], MARKET)
        lines = np.arange(start, start + len(events))
        self.findings.rows += int(np.count_nonzero(~market))
        self.findings.refuse("kind that is no market data", int(lines[np.argmax(~market)]), rows=int(np.count_nonzero(~market)))
        return Block(events.compress(market), lines[market])

    def _instruments(self, batch: Any, names: set[str]) -> np.ndarray | int:
        if "symbol" not in names:
            return self.instrument(self._venue, self._symbol)
        symbol, symbols = _coded(batch.column("symbol"))
        venue, venues = _coded(batch.column("venue")) if "venue" in names else (0, [self._venue])
        pair = venue * len(symbols) + symbol.astype(np.int64)
        table = np.zeros(len(venues) * len(symbols), np.int32)
        for code in np.unique(pair).tolist():
            table[code] = self.instrument(venues[code // len(symbols)], symbols[code % len(symbols)])
        return table[pair]


def _kind(names: set[str]) -> int | None:
    """The kind of rows without a column `kind`."""
    if "kind" in names:
        return None
    if {"bid", "ask"} <= names:
        return int(Kind.BBO)
    if {"mark", "funding_rate"} & names:
        return int(Kind.TICKER)
    if "state" in names:
        return int(Kind.FEED)
    if {"side", "price", "qty"} <= names:
        return int(Kind.LIQUIDATION if "notional" in names else Kind.TRADE)
    return None


def _times(column: Any) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return numpy_column(column if column.type.unit == "ns" else column.cast(pa.timestamp("ns", tz=column.type.tz)))
    return _numbers(column if column.type == pa.int64() else column.cast(pa.int64()))


def _numbers(column: Any) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return numpy_column(column)
    return (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)  # decimals, texts


def _coded(column: Any) -> tuple[np.ndarray, list[str]]:
    """(index of the word of each row, words); nothing is the word ''."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    labels = ["" if word is None else str(word).strip() for word in column.dictionary.to_pylist()]
    return numpy_column(column.indices, len(labels)), [*labels, ""]


def _label_codes(column: Any, meaning: dict[str, int]) -> np.ndarray:
    """The meaning of each word or number; 0 where it has none."""
    indices, labels = _coded(column)
    return np.array([meaning.get(word.lower(), 0) for word in labels], np.int8)[indices]
