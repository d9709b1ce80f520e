"""Column maps of known table layouts. A user's map overrides them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from liqshell.errors import DataError
from liqshell.formats import compression, delimited
from liqshell.formats.column_map import Column, ColumnMap, made


@dataclass(frozen=True)
class Known:
    """A map, and notes about its assumptions."""

    map: ColumnMap
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layout:
    """header: the first line of a CSV to the letter; keys: of every row of JSON lines; line: a pattern of the first line of a CSV without header.
    name: a pattern of the name of the file that says the symbol."""

    map: Mapping[str, Any]
    header: str = ""
    keys: frozenset[str] = frozenset()
    line: str = ""
    name: str = ""
    notes: tuple[str, ...] = ()


_TIME = {"column": "ts", "unit": "ms"}
_HL: dict[str, Any] = {"sort": True, "time": _TIME, "venue": {"value": "hyperliquid"}}
_COIN = r"(?:trades|l2|ctx)_([A-Za-z0-9:]{1,30})_\d{8}"
_NUMBER = r"\s*[0-9]+(?:\.[0-9]+)?"
LAYOUTS = (
    # recorders of Hyperliquid: A = the taker sold, B = bought; the best of 20 levels every 2 s; the context of the asset every minute
    _Layout(
        {"kind": "trade", "side": {"column": "side", "of": "taker"}, "price": "px", "size": "sz", **_HL},
        keys=frozenset(("ts", "px", "sz", "side")),
        name=_COIN,
    ),
    _Layout(
        {"kind": "quote", "bid": "bids.0.0", "bid_size": "bids.0.1", "ask": "asks.0.0", "ask_size": "asks.0.1", **_HL},
        keys=frozenset(("ts", "bids", "asks")),
        name=_COIN,
        notes=("quotes are samples of the book, not its changes",),
    ),
    _Layout(
        {"kind": "ticker", "mark": "mark", "index": "oracle", "open_interest": "oi", "funding": "funding", **_HL},
        keys=frozenset(("ts", "funding", "oi", "mark", "oracle")),
        name=_COIN,
    ),
    # Hyperliquid's own sample of 2023: a row is a fill of a user; those that crossed the book are the tape
    _Layout(
        {
            "kind": "trade",
            "time": {"column": "time", "unit": "iso"},
            "side": {"column": "side", "of": "taker"},
            "price": "px",
            "size": "sz",
            "symbol": {"column": "coin"},
            "where": {"column": "crossed", "value": "true"},
            "venue": {"value": "hyperliquid"},
        },
        header="time,user,coin,side,px,sz,crossed",
        notes=("fills of takers; those of market makers are not in the file",),
    ),
    _Layout(
        {
            "kind": "liquidation",
            "time": {"column": "event_ts", "unit": "ms"},
            "recv": {"column": "inserted_ts", "unit": "ms"},
            "side": {"column": "side", "of": "position"},
            "price": "price",
            "size": "qty",
            "notional": "notional_usd",
            "symbol": "symbol",
            "venue": {"column": "exchange", "names": {"binance": "binance_um"}},
        },
        header="exchange,symbol,side,raw_side,qty,price,mark_price,notional_usd,event_ts,inserted_ts",
    ),
    _Layout(
        {
            "kind": "liquidation",
            "recv": {"column": "timestamp", "unit": "iso"},
            "side": {"column": "side", "of": "order"},
            "price": "price",
            "size": "quantity",
            "notional": "value",
            "symbol": "symbol",
        },
        header="id,timestamp,symbol,side,price,quantity,value,time",
    ),
    _Layout(
        {
            "kind": "trade",
            "time": {"column": "timestamp", "unit": "ms"},
            "side": {"column": "side", "of": "taker"},
            "price": "price",
            "size": "quantity",
            "id": "tradeId",
        },
        header="timestamp,price,quantity,side,tradeId",
        name=r"([A-Z0-9]{2,30})_\d{4}-\d\d-\d\d",
    ),
    # orders of forceOrder frames: symbol, S, o, f, q, p, ap, X, l, z, T and what somebody made of them
    _Layout(
        {
            "kind": "liquidation",
            "header": False,
            "time": {"column": "11", "unit": "ms"},
            "side": {"column": "2", "of": "order"},
            "price": "7",
            "size": "10",
            "limit": "6",
            "symbol": {"column": "1", "suffix": "USDT"},
        },
        line=rf"[A-Z0-9]{{1,30}},(?:BUY|SELL),LIMIT,IOC,{_NUMBER},{_NUMBER},{_NUMBER},[A-Z_]+,{_NUMBER},{_NUMBER},\d{{13}}(?:,[^,]*)?",
        notes=("USDT is appended to names without a quote currency; contracts in another currency get a wrong name",),
    ),
    # aggTrade frames written as rows: E, s, a, p, q, T, m
    _Layout(
        {
            "kind": "trade",
            "header": False,
            "time": {"column": "6", "unit": "ms"},
            "side": {"column": "7", "of": "maker"},
            "price": "4",
            "size": "5",
            "symbol": {"column": "2"},
            "id": "3",
        },
        line=rf"\d{{13}},\s*[A-Z0-9]*[A-Z][A-Z0-9]*,\s*\d+,{_NUMBER},{_NUMBER},\s*\d{{13}},\s*(?:[Tt]rue|[Ff]alse)\s*",
        notes=("rows of aggTrade frames; small trades may have been left out by the recorder",),
    ),
)
_MADE = [(layout, made(layout.map, "known_columns")) for layout in LAYOUTS]


def find(path: Path, first: str | None = None) -> Known | None:
    """The map of a file whose layout is known, None of others. first: its first line, where that is read already."""
    line = _first(path) if first is None else first
    keys: frozenset[str] = frozenset()
    if line.startswith("{"):
        try:
            keys = frozenset(orjson.loads(line))
        except orjson.JSONDecodeError:
            return None
    for layout, found in _MADE:
        if line == layout.header if layout.header else keys == layout.keys if layout.keys else re.fullmatch(layout.line, line):
            named = re.match(layout.name, path.name) if layout.name else None
            return Known(found if named is None else replace(found, columns={**found.columns, "symbol": Column(value=named[1])}), layout.notes)
    return None


def _first(path: Path) -> str:
    if len(compression.members(path)) > 1:
        raise DataError(str(path), "a zip of several files", "one table", "Unpack it, then import the files")
    return delimited.first_line(path)
