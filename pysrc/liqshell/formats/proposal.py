"""A proposed column map of a table, to be checked by a person who knows the table. It is made from names and from the values of the first rows; its
assumptions are stated."""

from __future__ import annotations

import csv
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liqshell.errors import ConfigError, DataError
from liqshell.formats import delimited, known_columns
from liqshell.formats.column_map import UNITS, Column, ColumnMap, made
from liqshell.formats.columns import TIME_LIKELY
from liqshell.formats.compression import as_text, head
from liqshell.formats.table_rows import at, names_of, objects_of, parquet_rows, shape_of, timestamps_of
from liqshell.formats.validate import TIME_MIN
from liqshell.iso import written_ns

ROWS = 500
#: names of columns, by what they are, the surest first; compared without case and signs
NAMES: dict[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "recv": "tsrecv localtimestamp localts localtime recvtime received receivedat receivedts receivedtime receivetime receipttimestamp "
        "insertedts insertedat recv",
        "time": "tsevent exchts exchangets exchangetime exchangetimestamp venuets venuetime tradetime tradetimeist transacttime transactiontime "
        "fundingtime eventts eventtime eventtimeist blocktime opentime timestamp tsms time ts datetime date ot t e",
        "side": "positionside posside position islong isshort isbuyermaker side liquidationside liquidationtype direction takerside aggressor os m s",
        "price": "averageprice avgprice oap ap fillprice price px bkpx lastprice op p",
        "size": "filledquantity accumulatedfillquantity executedqty filledqty qtybase oz z size sz qty quantity amount volume oq q v",
        "notional": "notionalusd notional sizeusd amountusd usd usdvalue valueusd liqamount value quoteqty quotequantity",
        "symbol": "symbol instid instrument instrumentname contract coin market pair os ticker s",
        "venue": "venue exchange",
        "id": "tradeid aggtradeid trdmatchid execid tid id a",
        "bid": "bidprice bestbidprice bestbid bid bids00 bids00px b",
        "ask": "askprice bestaskprice bestask ask asks00 a",
        "bid_size": "bidsize bidqty bestbidqty bidamount bids01 b2",
        "ask_size": "asksize askqty bestaskqty askamount asks01 a2",
        "mark": "markprice mark",
        "index": "indexprice index oracle oracleprice",
        "open_interest": "openinterest oi sumopeninterest",
        "funding": "fundingrate funding lastfundingrate rate",
    }.items()
}
# words in the name of a file or of a column that say what its rows are
_FORCED, _TRADED = ("liq", "force"), ("trade", "taker", "aggress", "maker", "exec")
_ORDERED = {"timeinforce", "ordertype", "orderstatus"}  # a table with such a column is one of orders
_BARS = ({"open", "high", "low", "close"}, {"o", "h", "l", "c"})
_BUY_SELL = {"buy", "sell", "b", "a", "bid", "ask", "s", "1", "-1"}
_FLAGS = {"true", "false", "1", "0"}
_IS: dict[str, tuple[str, str, str]] = {  # columns of yes and no: whose side, what yes means, what no means
    "islong": ("position", "long", "short"),
    "isshort": ("position", "short", "long"),
    "isbuy": ("", "buy", "sell"),
    "isbuyer": ("", "buy", "sell"),
    "isbid": ("", "buy", "sell"),
    "issell": ("", "sell", "buy"),
    "isseller": ("", "sell", "buy"),
    "isask": ("", "sell", "buy"),
}


@dataclass
class Proposal:
    """tables: of the TOML file. lacking: what a person must add. asked: the questions for the user that the table does not answer. said: the
    assumptions. map: None while the map cannot be made. unused: columns that mean nothing here, with some of their values."""

    tables: dict[str, Any]
    unused: dict[str, list[str]] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    map: ColumnMap | None = None


def propose(path: Path) -> Proposal:
    """DataError where the file is no table, or one of bars and sums, which hold no events."""
    known = known_columns.find(path)
    if known is not None:
        return Proposal(tomllib.loads(known.map.text()), said=["the layout is known: it is read so without a map", *known.notes], map=known.map)
    header, delimiter, names, rows = _sample(path)
    plain = [_plain(name) for name in names]
    if any(bars <= set(plain) for bars in _BARS):
        raise DataError(
            str(path),
            f"bars: {', '.join(names)[:100]}",
            "events: a bar has no single trade with its time and side",
            "Trades, quotes, liquidations or tickers can be imported",
        )
    out = Proposal({})
    values = {name: [row[n] for row in rows if n < len(row) and row[n] not in (None, "")] for n, name in enumerate(names)}
    found = _by_name(names, plain) if header else {}
    _by_value([name for name in names if name not in found.values()], values, found, out)
    if "side" in plain and _plain_values(values.get(found.get("side", ""), [])) & {"net", "both"}:
        found["side"] = names[plain.index("side")]  # one-way mode: the position has no side there
    kind = _kind(path, names, plain, found, values, out)
    out.tables |= {"kind": kind} | ({} if header else {"header": False}) | ({} if delimiter == "," else {"delimiter": delimiter})
    times = [name for name in ("time", "recv") if name in found]
    typed = timestamps_of(path)
    for name in times:
        unit = "ns" if found[name] in typed else _unit(values[found[name]])
        if unit:
            out.asked += _strange_times(found[name], unit, values[found[name]]) if found[name] not in typed else []
            out.tables[name] = {"column": found[name], "unit": unit}
            if unit == "iso" and not _stated(values[found[name]]):
                out.said.append(f'{found[name]}: times without an offset are taken as UTC; zone = "+05:30" says another one')
        else:
            first = str(next(iter(values[found[name]]), "none"))[:40]
            out.said.append(f"{found[name]}: its values, such as {first}, are no times from 2009 to 2100 in s, ms, us or ns, and no ISO 8601")
    _fill(kind, found, values, out, bool(_ORDERED & set(plain)))
    order = [_order(dict(out.tables[name]), values) for name in ("recv", "time") if name in out.tables][:1]
    if order == [False]:
        out.tables["sort"] = True
        out.said.append("the rows are in no order of time: they are sorted")
    out.unused = {name: [str(value) for value in values[name][:3]] for name in names if name not in _used(out.tables)}
    try:
        out.map = made(out.tables, str(path))
    except ConfigError as why:
        out.lacking = [f"{str(one).partition(': ')[2] or one}" for one in (why.problems or [why])]
    return out


def _used(tables: Mapping[str, Any]) -> set[str]:
    """The columns that a map names."""
    return {str(entry.get("column", "")) if isinstance(entry, Mapping) else str(entry) for name, entry in tables.items() if name != "kind"}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _sample(path: Path) -> tuple[bool, str, tuple[str, ...], list[list[Any]]]:
    """(header, delimiter, columns, first rows)"""
    shape = shape_of(path)
    if shape == "json":
        names = names_of(path)
        return True, ",", names, [[at(row, name, name.split(".")) for name in names] for _, row in itertools.islice(objects_of(path), ROWS)]
    if shape == "parquet":
        return True, ",", names_of(path), parquet_rows(path, ROWS)
    first = delimited.first_line(path)
    delimiter = max(",;\t|", key=first.count)
    data = head(path)
    try:
        rows = [row for row in csv.reader(as_text(data[: data.rfind(b"\n") + 1] or data), delimiter=delimiter) if row][: ROWS + 1]
    except csv.Error as why:
        raise DataError(str(path), f"no CSV ({why})", "rows of CSV, JSON lines or Parquet") from None
    header = not any(_number(cell) is not None for cell in rows[0]) if rows else True
    return header, delimiter, names_of(path, header, delimiter), rows[1:] if header else rows


def _by_name(names: Sequence[str], plain: Sequence[str]) -> dict[str, str]:
    """The meaning of each column by its name; a column has one meaning."""
    out: dict[str, str] = {}
    for what, known in NAMES.items():
        for one in known:
            place = next((n for n, name in enumerate(plain) if name == one and names[n] not in out.values()), None)
            if place is not None:
                out[what] = names[place]
                break
    return out


def _by_value(names: Sequence[str], values: dict[str, list[Any]], out: dict[str, str], told: Proposal) -> None:
    """The meaning by the values: times, sides and symbols can be recognised; prices and sizes cannot. Beside a time of receipt another column that is
    called a time is the venue's."""
    named = set(out)
    for name in names:
        some = [str(value).strip() for value in values[name][:50]]
        low = {value.lower() for value in some}
        if _unit(some):
            if not named & {"time", "recv"}:
                out["time"] = name  # of several the last: frames are written with the time of sending first
            elif "time" not in out and (_plain(name).endswith("ts") or any(word in _plain(name) for word in ("time", "stamp", "date"))):
                out["time"] = name
                told.said.append(f"{name}: taken as the venue's time of the event")
        elif some and low <= {"true", "false", "buy", "sell", "long", "short"}:
            out.setdefault("side", name)
        elif some and all(value.isupper() and value.isalnum() and not value.isdigit() for value in some):
            out.setdefault("symbol", name)


def _kind(path: Path, names: Sequence[str], plain: Sequence[str], found: dict[str, str], values: dict[str, list[Any]], out: Proposal) -> str:
    if {"bid", "ask"} <= found.keys() and "side" not in found:
        return "quote"
    if "side" not in found and "size" not in found and {"mark", "index", "open_interest", "funding"} & found.keys():
        return "ticker"
    called = (path.name.lower(), *plain)
    traded = any(word in name and "time" not in name for name in called for word in _TRADED)
    if any(word in name for name in called for word in _FORCED):
        return "liquidation"
    side = found.get("side", "")
    if side and (_plain_values(values[side]) <= {"long", "short"} or _whose("", side, _plain_values(values[side]))[0] == "position"):
        out.asked.append(
            f'kind: taken as liquidations because {side} is of positions; where the rows are trades, say kind = "trade" and their taker\'s side'
        )
        return "liquidation"
    if not traded:
        out.asked.append(
            "kind: trades or liquidations? Neither the name of the file nor a column says it: taken as trades; of forced orders say "
            'kind = "liquidation", and in side whose side it is'
        )
    return "trade"


def _plain_values(values: Sequence[Any]) -> set[str]:
    return {str(value).strip().lower() for value in values}


def _whose(kind: str, name: str, words: set[str]) -> tuple[str, dict[str, str], bool]:
    """(whose side a column states, words that need a meaning, whether that is sure)"""
    plain = _plain(name.rpartition(".")[2])
    if plain in _IS and words <= _FLAGS:
        of, yes, no = _IS[plain]
        meaning = {word: yes if word in ("true", "1") else no for word in sorted(words)}
        return of or ("order" if kind == "liquidation" else "taker"), meaning, bool(of) or kind == "trade"
    if words and words <= {"long", "short"} or plain.startswith("pos") or plain == "islong":
        return "position", {}, True
    if "maker" in plain or plain == "m" and words <= _FLAGS:
        return "maker", {}, True
    if kind == "trade":
        return ("maker", {}, False) if words and words <= {"true", "false"} else ("taker", {}, True)
    return ("taker", {}, True) if "taker" in plain or "aggress" in plain else ("order", {}, False)


def _fill(kind: str, found: dict[str, str], values: dict[str, list[Any]], out: Proposal, ordered: bool) -> None:
    numbers = {
        "trade": ("price", "size", "notional"),
        "liquidation": ("price", "size", "notional"),
        "quote": ("bid", "bid_size", "ask", "ask_size"),
        "ticker": ("mark", "index", "open_interest", "funding"),
    }[kind]
    if kind in ("trade", "liquidation") and "side" in found:
        words = _plain_values(values[found["side"]])
        of, meaning, sure = _whose(kind, found["side"], words)
        out.tables["side"] = {"column": found["side"], "of": of} | ({"words": meaning} if meaning else {})
        if not sure and of == "order" and not (ordered and words <= _BUY_SELL):
            out.asked.append(
                f"{found['side']}: taken as the side of the forced ORDER (sell = a long was closed), as Binance and OKX say it; "
                'of = "position" where it is the position\'s, as Bybit says it (buy = a long was closed)'
            )
        elif not sure and of == "maker":
            out.asked.append(f"{found['side']}: taken as whether the BUYER was the maker (true: the taker sold)")
        if not meaning and (words - _BUY_SELL - _FLAGS - {"long", "short"} or "s" in words):
            out.lacking.append(f"side: what its words mean, such as words = {{{', '.join(f'{word!r} = ...' for word in sorted(words)[:4])}}}")
    for name in numbers:
        if name in found and _numeric(values[found[name]]) and not (name == "notional" and kind == "trade" and "size" in found):
            out.tables[name] = found[name]
    for name in ("symbol", "venue"):
        if name in found and values[found[name]] and not _numeric(values[found[name]]):
            out.tables[name] = found[name]
    if kind == "trade" and "id" in found:
        out.tables["id"] = found["id"]


def _number(text: Any) -> float | None:
    try:
        value = float(text)
        return value if not isinstance(text, bool) and math.isfinite(value) else None
    except (TypeError, ValueError):
        return None


def _numeric(values: Sequence[Any]) -> bool:
    return bool(values) and all(_number(value) is not None for value in values)


def _unit(values: Sequence[Any]) -> str:
    """The unit that times of these values are in; '' where they are none."""
    numbers = [_number(value) for value in values[:50]]
    if numbers and all(number is not None for number in numbers):
        middle = sorted(number for number in numbers if number is not None)[len(numbers) // 2]
        return next((unit for unit, ns in UNITS.items() if TIME_MIN <= middle * ns < TIME_LIKELY), "")
    try:
        return "iso" if values and all(written_ns(str(value)) > 0 for value in values[:50]) else ""
    except (ValueError, OverflowError):
        return ""


def _strange_times(name: str, unit: str, values: Sequence[Any]) -> list[str]:
    """Faults of a column of times: rows in another unit, or before 2009."""
    if unit == "iso":
        early = [str(value) for value in values if _safe(value) and written_ns(str(value)) < TIME_MIN]
    else:
        numbers = [number for number in map(_number, values) if number is not None]
        outside = [number for number in numbers if not TIME_MIN <= number * UNITS[unit] < TIME_LIKELY]
        other = [(number, _unit([number])) for number in outside]
        if mixed := sorted({of for _, of in other if of}):
            first = next(number for number, of in other if of)
            count = sum(bool(of) for _, of in other)
            return [
                f"{name}: most rows are in {unit}, {count} of the first {len(numbers)} in {' or '.join(mixed)}, such as {first:.0f}: bring all "
                "to one unit"
            ]
        early = [f"{number:.0f}" for number in outside]
    if not early:
        return []
    return [f"{name}: {len(early)} of the first {len(values)} rows, such as {early[0][:40]}, are not from 2009 to 2100: they are refused"]


def complete(found: Proposal, venue: str, symbol: str) -> None:
    """Adds the caller's data of the contract to the map; the rest stays missing."""
    for name, said in (("venue", venue), ("symbol", symbol)):
        if said:
            found.tables[name] = {"value": said}
            if found.map is not None:
                found.map = replace(found.map, columns={**found.map.columns, name: Column(value=said)})
        elif name not in (found.map.columns if found.map is not None else found.tables):
            found.lacking.append(f'{name}: no column says it: {name} = {{value = "..."}} in the map, or --{name}')


def _stated(values: Sequence[Any]) -> bool:
    """Whether times in text have an offset."""
    text = str(values[0]).strip()
    return text.endswith(("Z", "z")) or "+" in text or text.count("-") > 2


def _order(entry: dict[str, str], values: dict[str, list[Any]]) -> bool:
    """Whether the first rows are in order of time, or late by what is sorted anyway."""
    some = values[entry["column"]]
    if entry["unit"] == "iso":
        ns = [written_ns(str(value)) for value in some if _safe(value)]
    else:
        ns = [int((_number(value) or 0.0) * UNITS[entry["unit"]]) for value in some if _number(value) is not None]
    return all(after > before - 10_000_000_000 for before, after in itertools.pairwise(ns))


def _safe(value: Any) -> bool:
    try:
        return written_ns(str(value)) > 0
    except (ValueError, OverflowError):
        return False
