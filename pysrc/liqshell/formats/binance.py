"""Binance's public archives (data.binance.vision): aggTrades, trades, bookTicker and liquidationSnapshot, spot and futures, with and without header,
in milliseconds and (spot since 2025) microseconds. They have no time of receipt: ts_recv = ts_event + feed latency.

The archives of liquidations are the stream's: at most one order a second and contract (CENSORED), and every row stands twice in them. `side` is that
of the forced order: SELL = a long was liquidated. price is the average fill, qty what was filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from liqcore.event import Kind, Side
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns
from liqshell.formats import compression, delimited
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, Columns, Layout
from liqshell.formats.reading import CENSORED, SYMBOL, Reading, blank
from liqshell.formats.validate import Block

_AGG = ("id", "price", "qty", "first_id", "last_id", "time", "is_buyer_maker")
_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")
_QUOTES = ("id", "bid", "bid_qty", "ask", "ask_qty", "time", "event_time")
_LIQUIDATIONS = ("time", "side", "order_type", "time_in_force", "original_qty", "price", "average_price", "status", "last_fill_qty", "filled_qty")
# (data set, columns by our names, spot): told by the number of columns and by what stands in them
LAYOUTS = {
    "aggTrades": ((_AGG, False), ((*_AGG, "is_best_match"), True)),
    "trades": ((_TRADES, False), ((*_TRADES, "is_best_match"), True)),
    "bookTicker": ((_QUOTES, False),),
    "liquidationSnapshot": ((_LIQUIDATIONS, False), (("symbol", *_LIQUIDATIONS), False)),
}
# header word -> our name, for the headers that Binance has used
_ALIASES = {
    "agg_trade_id": "id",
    "quantity": "qty",
    "first_trade_id": "first_id",
    "last_trade_id": "last_id",
    "transact_time": "time",
    "timestamp": "time",
    "base_qty": "qty",
    "update_id": "id",
    "best_bid_price": "bid",
    "best_bid_qty": "bid_qty",
    "best_ask_price": "ask",
    "best_ask_qty": "ask_qty",
    "transaction_time": "time",
    "original_quantity": "original_qty",
    "last_fill_quantity": "last_fill_qty",
    "order_status": "status",
    "accumulated_fill_quantity": "filled_qty",
    "buyer_is_market_maker": "is_buyer_maker",
    "best_price_match": "is_best_match",
    "isbuyermaker": "is_buyer_maker",
    "isbestmatch": "is_best_match",
    "quoteqty": "quote_qty",
}
_READ = {
    "id": INTEGER,
    "price": NUMBER,
    "qty": NUMBER,
    "time": INTEGER,
    "is_buyer_maker": LABEL,
    "bid": NUMBER,
    "bid_qty": NUMBER,
    "ask": NUMBER,
    "ask_qty": NUMBER,
    "side": LABEL,
    "original_qty": NUMBER,
    "average_price": NUMBER,
    "filled_qty": NUMBER,
    "symbol": LABEL,
}
_NAME = re.compile(rf"({SYMBOL})-(aggTrades|trades|bookTicker|liquidationSnapshot)\b")
_FLAG = {"true", "false", "0", "1"}
_SIDE = {"buy", "sell"}
FORCED_ORDER = {"buy": int(Side.SHORT), "sell": int(Side.LONG)}
TAKER = {"true": int(Side.SHORT), "1": int(Side.SHORT), "false": int(Side.LONG), "0": int(Side.LONG)}  # the buyer was the maker: the taker sold
MICROSECONDS_FROM = 10_000_000_000_000  # of a time: milliseconds reach it in 2286


def layout_of(first: str) -> tuple[str, Layout, bool] | None:
    """(data set, layout, spot) of a file that begins with this line; None where it is none of Binance's."""
    cells = delimited.columns_of(first)
    named = tuple(_ALIASES.get(cell.lower(), cell.lower()) for cell in cells)
    header = "time" in named and ("price" in named or "bid" in named)
    for name, choices in LAYOUTS.items():
        for columns, spot in choices:
            if len(columns) == len(cells) and (named == columns if header else _row_fits(columns, cells)):
                read = {column: kind for column, kind in _READ.items() if column in columns}
                if name == "liquidationSnapshot":
                    read["price"] = NUMBER
                return name, Layout(columns, read, header), spot
    return None


def _row_fits(columns: tuple[str, ...], cells: tuple[str, ...]) -> bool:
    for column, cell in zip(columns, cells, strict=True):
        kind = _READ.get(column)
        if column in ("is_buyer_maker", "is_best_match"):
            fits = cell.lower() in _FLAG
        elif column == "side":
            fits = cell.lower() in _SIDE
        elif column in ("time", "event_time"):
            fits = cell.isdigit() and len(cell) in (13, 16)
        elif kind == INTEGER or column in ("first_id", "last_id"):
            fits = cell.isdigit()
        else:
            fits = kind != NUMBER or re.fullmatch(r"[0-9]+(\.[0-9]*)?", cell) is not None
        if not fits:
            return False
    return True


def sniff(path: Path, first: str) -> bool:
    return layout_of(first) is not None


class Binance(Reading):
    """One file of one contract; the contract's name is in that of the file."""

    format = "binance"
    received = "modelled"

    def prepare(self) -> None:
        first = delimited.first_line(self.path)
        found = layout_of(first)
        if found is None:
            raise DataError(f"{self.path}:1", f"columns {first[:100]!r}", f"an archive of Binance: {', '.join(LAYOUTS)}")
        self.type, self.layout, spot = found
        name = next((m for text in (self.path.name, *compression.members(self.path)) if (m := _NAME.match(Path(text).name))), None)
        symbol = self.options.symbol or (name[1] if name else "")
        if not symbol and "symbol" not in self.layout.columns:
            raise DataError(
                str(self.path),
                "neither the file nor its name gives the contract",
                "a name such as BTCUSDT-aggTrades-2024-08-05.zip",
                "Rename it, or give symbol=...",
            )
        self._venue = self.options.venue or self._guess(symbol, spot)
        self._symbol = symbol
        self._mine = self.instrument(self._venue, symbol) if symbol else -1
        self.note(f"no time of receipt: ts_recv = ts_event + {self.options.feed_latency_ms:g} ms")
        if self._venue == "binance_cm":
            self.note(
                "quantities are contracts of 100 USD (BTC) or 10 USD (others), each worth less coin the higher the price; the notional of "
                "liquidations is stated, that of trades is quantity x that value"
            )

    def _guess(self, symbol: str, spot: bool) -> str:
        """Spot by the number of columns, coin-margined by the name; folders of the archive, where kept, say it outright."""
        parts = set(self.path.absolute().parts)
        if spot or "spot" in parts:
            return "binance"
        if "cm" in parts or "_" in symbol and re.search(r"USD_(PERP|\d{6})$", symbol):
            return "binance_cm"
        if "um" not in parts:
            self.note("taken as USD-M futures: neither name nor columns say another market")
        return "binance_um"

    def blocks(self) -> Iterator[Block]:
        make = {"bookTicker": self._quotes, "liquidationSnapshot": self._liquidations}.get(self.type, self._trades)
        for columns in delimited.read(self.path, self.layout):
            yield make(columns)

    def _times(self, columns: Columns, kind: int) -> EventColumns:
        events = blank(columns.rows, kind)
        ts = columns.integers("time")
        ts = np.where((ts >= 0) & (ts < 1 << 53), ts, 0)  # what is refused must not overflow first
        events["ts_event"] = ts * np.where(ts >= MICROSECONDS_FROM, 1000, 1_000_000)
        events["ts_recv"] = events["ts_event"] + self.options.feed_latency_ns
        events["instrument"] = self._mine
        return events

    def _trades(self, columns: Columns) -> Block:
        events = self._times(columns, int(Kind.TRADE))
        events["price"], events["qty"] = columns.numbers("price"), columns.numbers("qty")
        events["side"] = columns.mapped("is_buyer_maker", TAKER)
        events["id"] = columns.integers("id")
        return Block(events, columns.line, events["id"].astype(np.uint64))

    def _quotes(self, columns: Columns) -> Block:
        events = self._times(columns, int(Kind.BBO))
        for field, name in (("price", "bid"), ("qty", "bid_qty"), ("aux_price", "ask"), ("aux_qty", "ask_qty")):
            events[field] = columns.numbers(name)
        events["id"] = columns.integers("id")
        return Block(events, columns.line)

    def _liquidations(self, columns: Columns) -> Block:
        events = self._times(columns, int(Kind.LIQUIDATION))
        average, filled = columns.numbers("average_price"), columns.numbers("filled_qty")
        events["price"] = np.where(average > 0, average, columns.numbers("price"))
        events["qty"] = np.where(filled > 0, filled, columns.numbers("original_qty"))
        events["side"] = columns.mapped("side", FORCED_ORDER)
        if self._mine < 0:
            index, symbols = columns.labels("symbol")
            table = np.array([self.instrument(self._venue, word, completeness=CENSORED) if word else -1 for word in symbols[:-1]] + [-1], np.int32)
            events["instrument"] = table[index]
        return Block(events, columns.line)
