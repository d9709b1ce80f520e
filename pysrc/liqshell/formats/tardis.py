"""Tardis.dev's downloadable CSV files: trades, liquidations, quotes, book_ticker, book_snapshot_N, incremental_book_L2, derivative_ticker.

timestamp and local_timestamp are microseconds; local_timestamp is when Tardis received the message, so ts_recv is real. `side` of a liquidation is
the side of the forced ORDER: sell = a long was liquidated. Tardis's converter turns Bybit's position side round to say so (tardis-node,
mappers/bybit.ts); Binance, OKX and BitMEX state the order side themselves. For other venues this is UNCERTAIN; a note states it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from liqcore.event import EVENT_DTYPE, Kind, Side
from liqshell.errors import DataError
from liqshell.event_columns import EventColumns
from liqshell.formats import delimited
from liqshell.formats.book import ASK, BID, REPEAT_NS, Top
from liqshell.formats.delimited import INTEGER, LABEL, NUMBER, TEXT, Columns, Layout
from liqshell.formats.inverse import dollars
from liqshell.formats.reading import CENSORED, UNKNOWN, Reading, blank
from liqshell.formats.validate import Block
from liqshell.recording.streams import BITS

VENUES = {
    "binance-futures": "binance_um",
    "binance-delivery": "binance_cm",
    "okex-swap": "okx",
    "okex-futures": "okx",
    "huobi-dm-linear-swap": "htx",
    "huobi-dm-swap": "htx",
    "gate-io-futures": "gateio",
    "bitget-futures": "bitget",
    "aster-futures": "aster",
    "bybit": "bybit",
    "binance": "binance",
    "hyperliquid": "hyperliquid",
}
SIDES_KNOWN = ("binance-futures", "binance-delivery", "bybit", "okex-swap", "okex-futures", "bitmex")
IN_CONTRACTS = ("okex-swap", "okex-futures", "binance-delivery", "gate-io-futures", "huobi-dm-linear-swap", "huobi-dm-swap", "bitmex", "deribit")
BYBIT_COMPLETE_US = 1_740_441_600_000_000  # 2025-02-25: before it Bybit showed one liquidation a second
_COMMON = ("exchange", "symbol", "timestamp", "local_timestamp")
_KEYS: dict[str, tuple[str, ...]] = {  # what a header must hold, most telling first
    "book_snapshot": ("asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount"),
    "incremental_book_L2": ("is_snapshot", "side", "price", "amount"),
    "derivative_ticker": ("funding_rate", "open_interest", "index_price", "mark_price"),
    "quotes": ("ask_amount", "ask_price", "bid_price", "bid_amount"),
    "prints": ("id", "side", "price", "amount"),
}
_TYPES = {"exchange": LABEL, "symbol": LABEL, "timestamp": INTEGER, "local_timestamp": INTEGER, "id": TEXT, "side": LABEL, "is_snapshot": LABEL}
TAKER = {"buy": int(Side.LONG), "sell": int(Side.SHORT)}
FORCED_ORDER = {"buy": int(Side.SHORT), "sell": int(Side.LONG)}


def sniff(path: Path, first: str) -> bool:
    names = delimited.columns_of(first)
    return not delimited.missing(_COMMON, names) and _kind(names) is not None


def _kind(names: tuple[str, ...]) -> str | None:
    return next((kind for kind, keys in _KEYS.items() if not delimited.missing(keys, names)), None)


class Tardis(Reading):
    """One file of one data type; possibly of many symbols (Tardis's grouped symbols)."""

    format = "tardis"

    def prepare(self) -> None:
        names = delimited.columns_of(delimited.first_line(self.path))
        kind = _kind(names)
        if kind is None or delimited.missing(_COMMON, names):
            raise DataError(f"{self.path}:1", f"columns {','.join(names)[:120]!r}", "the header of a CSV file of tardis.dev")
        self.type = self._print_kind() if kind == "prints" else kind
        keys = _KEYS[kind]
        self.layout = Layout(names, {name: _TYPES.get(name, NUMBER) for name in (*_COMMON, *keys)})
        self._tops: dict[int, tuple[float, ...]] = {}
        self._books: dict[int, tuple[Top, list[bool]]] = {}

    def _print_kind(self) -> str:
        """Trades and liquidations have the same columns: the name of the file or of its folders decides, or the caller."""
        if self.options.kind in ("trades", "liquidations"):
            return self.options.kind
        words = {"trades", "liquidations"}
        folders = (words & {folder.name} for folder in list(self.path.absolute().parents)[:6])
        for found in (words & set(re.split(r"[_.\s-]", self.path.name)), *folders):
            if len(found) == 1:
                return found.pop()
        raise DataError(
            str(self.path),
            "trades or liquidations? Both have these columns",
            "a name with 'trades' or 'liquidations', as Tardis gives it",
            "Rename the file, or give kind=...",
        )

    def blocks(self) -> Iterator[Block]:
        make = {
            "trades": self._prints,
            "liquidations": self._prints,
            "quotes": self._quotes,
            "book_snapshot": self._snapshots,
            "derivative_ticker": self._tickers,
            "incremental_book_L2": self._changes,
        }[self.type]
        for columns in delimited.read(self.path, self.layout):
            yield make(columns, self._instruments(columns))

    def _instruments(self, columns: Columns) -> np.ndarray:
        """Index of the contract of each row."""
        exchange, exchanges = columns.labels("exchange")
        symbol, symbols = columns.labels("symbol")
        pair = exchange.astype(np.int64) * len(symbols) + symbol
        table = np.zeros(len(exchanges) * len(symbols), np.int32)
        for code in [int(pair[0])] if (pair == pair[0]).all() else np.unique(pair).tolist():
            name = exchanges[code // len(symbols)]
            rules = {}
            if self.type == "liquidations":
                if name == "bybit":
                    rules["completeness"] = CENSORED if int(columns.integers("timestamp")[0]) < BYBIT_COMPLETE_US else UNKNOWN
                if name not in SIDES_KNOWN:
                    self.note(
                        f"{name}: side of liquidations taken as that of the forced order (sell = a long); Tardis does not document it for this "
                        "venue: UNCERTAIN"
                    )
            venue = self.options.venue or VENUES.get(name, name)
            table[code] = n = self.instrument(venue, self.options.symbol or symbols[code % len(symbols)], **rules)
            if name in IN_CONTRACTS and "multiplier" not in self.rules[self.contracts[n]] and not dollars(*self.contracts[n]):
                self.note(f"{name}: quantities are contracts; notional needs the contract's value: give its multiplier")
        return table[pair]

    def _common(self, columns: Columns, instruments: np.ndarray, kind: int) -> EventColumns:
        events = blank(columns.rows, kind)
        for field, name in (("ts_recv", "local_timestamp"), ("ts_event", "timestamp")):
            us = columns.integers(name)
            events[field] = np.where((us >= 0) & (us < 1 << 53), us, 0) * 1000  # of another unit: 0 is refused, an overflow might pass
        events["instrument"] = instruments
        return events

    def _prints(self, columns: Columns, instruments: np.ndarray) -> Block:
        liquidations = self.type == "liquidations"
        events = self._common(columns, instruments, int(Kind.LIQUIDATION if liquidations else Kind.TRADE))
        events["price"], events["qty"] = columns.numbers("price"), columns.numbers("amount")
        events["side"] = columns.mapped("side", FORCED_ORDER if liquidations else TAKER)
        numbers, ids = columns.ids("id")
        events["id"] = self.kept_ids(numbers)
        return Block(events, columns.line, ids)

    def _book(self, columns: Columns, instruments: np.ndarray, names: tuple[str, str, str, str]) -> EventColumns:
        events = self._common(columns, instruments, int(Kind.BBO))
        for field, name in zip(("price", "qty", "aux_price", "aux_qty"), names, strict=True):
            events[field] = columns.numbers(name)
        return events

    def _quotes(self, columns: Columns, instruments: np.ndarray) -> Block:
        return self._half(Block(self._book(columns, instruments, ("bid_price", "bid_amount", "ask_price", "ask_amount")), columns.line))

    def _snapshots(self, columns: Columns, instruments: np.ndarray) -> Block:
        """The best level of each snapshot, if it differs from the one before or must be sent again."""
        names = ("bids[0].price", "bids[0].amount", "asks[0].price", "asks[0].amount")
        block = self._half(Block(self._book(columns, instruments, names), columns.line))
        events = block.events
        keep = np.ones(len(events), bool)
        values = np.stack([*(events[name] for name in ("price", "qty", "aux_price", "aux_qty")), events["ts_recv"] // REPEAT_NS], axis=1)
        for n in np.unique(events["instrument"]).tolist():
            rows = np.flatnonzero(events["instrument"] == n)
            keep[rows[1:]] = (values[rows[1:]] != values[rows[:-1]]).any(axis=1)
            keep[rows[0]] = self._tops.get(n) != tuple(values[rows[0]].tolist())
            self._tops[n] = tuple(values[rows[-1]].tolist())
        if same := int(len(events) - np.count_nonzero(keep)):
            self.counts["snapshots whose best levels are those before"] += same
        lines = block.lines + np.arange(len(events)) if isinstance(block.lines, int) else block.lines
        return Block(events.compress(keep), lines[keep])

    def _half(self, block: Block) -> Block:
        """Without the rows of which a side is empty: a thin or halted market, no fault of the file."""
        events = block.events
        whole = ~(np.isnan(events["price"]) | np.isnan(events["aux_price"]))
        if whole.all():
            return block
        self.counts["quotes with an empty side"] += int(len(whole) - np.count_nonzero(whole))
        return Block(events.compress(whole), (np.arange(len(whole)) + block.lines)[whole])

    def _tickers(self, columns: Columns, instruments: np.ndarray) -> Block:
        events = self._common(columns, instruments, int(Kind.TICKER))
        for field, name in (("price", "mark_price"), ("aux_price", "index_price"), ("qty", "open_interest"), ("aux_qty", "funding_rate")):
            events[field] = columns.numbers(name, missing=0.0)
        unstated = np.isnan(columns.numbers("funding_rate"))
        events["flags"] = np.where(unstated, BITS["funding"], 0)
        return Block(events, columns.line)

    def _changes(self, columns: Columns, instruments: np.ndarray) -> Block:
        """Best bid and ask after each message (rows of one contract and local_timestamp) that moved them."""
        received, stamps = columns.integers("local_timestamp").tolist(), columns.integers("timestamp").tolist()
        snapshot = columns.mapped("is_snapshot", {"true": 1}).tolist()
        sides = columns.mapped("side", {"bid": BID, "ask": ASK}, -1).tolist()
        prices, sizes, owners = columns.numbers("price").tolist(), columns.numbers("amount").tolist(), instruments.tolist()
        out: list[tuple[int, ...] | tuple] = []
        lines: list[int] = []
        counts, last, refused = self.counts, len(received) - 1, 0
        for row, (n, side, price, size) in enumerate(zip(owners, sides, prices, sizes, strict=True)):
            book, state = self._books.get(n) or self._books.setdefault(n, (Top(), [False, False]))
            if snapshot[row]:
                if not state[0]:  # after changes, a snapshot begins the book anew
                    book.clear()
                state[0] = state[1] = True
            elif not state[1]:
                counts["changes before the first snapshot"] += 1
                continue
            else:
                state[0] = False
            if side < 0 or not price > 0.0 or not size >= 0.0:
                refused += 1
                self.findings.refuse("level without side, price or amount", columns.line + row)
                continue
            book.set(side, price, size)
            if row == last or received[row + 1] != received[row] or owners[row + 1] != n:
                best = book.best()
                top = () if best is None else (*best, received[row] * 1000 // REPEAT_NS)
                if best is not None and top != self._tops.get(n):
                    self._tops[n] = top
                    out.append((_nanoseconds(stamps[row]), _nanoseconds(received[row]), *best, 0, n, int(Kind.BBO), 0, 0, 0))
                    lines.append(columns.line + row)
        self.findings.rows += refused
        return Block(np.array(out, EVENT_DTYPE), np.array(lines, np.int64))


def _nanoseconds(us: int) -> int:
    return us * 1000 if 0 <= us < 1 << 53 else 0
