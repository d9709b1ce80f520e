"""The meaning of the columns of a user's table: a TOML file for CSV, JSON lines and Parquet (see docs/formats.md).

kind = "liquidation"                                      # trade, liquidation, quote or ticker
time = {column = "T", unit = "ms"}                        # s, ms, us, ns, iso; recv = likewise, when it was received
side = {column = "side", of = "order"}                    # of a trade taker or maker (true: the buyer); of a liquidation also position or order
price = "average"                                         # a column by its name; of a file without header by its number; "o.ap" inside an object
size = "filled"
symbol = {column = "coin", suffix = "USDT"}               # or {value = "BTCUSDT"}
where = {column = "crossed", value = "true"}              # only these rows
venue = {column = "exchange", names = {binance = "binance_um"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from liqcore.event import Kind
from liqshell.errors import ConfigError
from liqshell.input_file import toml

KINDS = {"trade": Kind.TRADE, "liquidation": Kind.LIQUIDATION, "quote": Kind.BBO, "ticker": Kind.TICKER}
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
SIDES_OF = ("taker", "maker", "position", "order")
TIMES, NAME_FIELDS = ("time", "recv"), ("symbol", "venue")
#: columns of numbers by kind, and the field of an event that each becomes
NUMBERS: Mapping[str, Mapping[str, str]] = {
    "trade": {"price": "price", "size": "qty", "notional": ""},
    "liquidation": {"price": "price", "size": "qty", "notional": "aux_price", "limit": "aux_qty"},
    "quote": {"bid": "price", "bid_size": "qty", "ask": "aux_price", "ask_size": "aux_qty"},
    "ticker": {"mark": "price", "open_interest": "qty", "index": "aux_price", "funding": "aux_qty"},
}


@dataclass(frozen=True)
class Column:
    """One entry. column: its name, '' = `value` holds for every row. unit, zone: of a time. of, words: of a side; words says what each word is of
    buy, sell, long, short. names, suffix: what a word is called here, and what is put behind it where it is not there."""

    column: str = ""
    value: str = ""
    unit: str = ""
    zone: str = ""
    of: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True)
class ColumnMap:
    """columns: by what they are. header: whether the first line of a CSV names them. sort: rows are in no order of time. contract_size: base units of
    one unit of size, of all contracts ('') or by symbol."""

    kind: str
    columns: Mapping[str, Column]
    header: bool = True
    sort: bool = False
    delimiter: str = ","
    contract_size: Mapping[str, float] = field(default_factory=dict)

    @property
    def read(self) -> dict[str, Column]:
        """The entries that are columns of the file."""
        return {name: entry for name, entry in self.columns.items() if entry.column}

    def text(self) -> str:
        """As the TOML file that says it."""
        out: dict[str, Any] = {"kind": self.kind}
        out |= ({} if self.header else {"header": False}) | ({"sort": True} if self.sort else {})
        out |= {"delimiter": self.delimiter} if self.delimiter != "," else {}
        for name, entry in self.columns.items():
            given = {one.name: getattr(entry, one.name) for one in fields(entry) if getattr(entry, one.name)}
            out[name] = entry.column if set(given) == {"column"} else given
        if self.contract_size:
            out["contract_size"] = self.contract_size.get("", self.contract_size)
        return as_toml(out)


def as_toml(tables: Mapping[str, Any]) -> str:
    """A map, or what is known of one, a line each."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in tables.items())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _table(values: Mapping[str, Any]) -> str:
    return (
        "{"
        + ", ".join(
            f"{name if name.replace('_', '').isalnum() and name.isascii() else _quoted(name)} = {_value(value)}" for name, value in values.items()
        )
        + "}"
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _table(value) if isinstance(value, Mapping) else repr(value) if isinstance(value, float) else _quoted(value)


def load(path: Path) -> ColumnMap:
    """A map from its file. ConfigError with every fault."""
    return made(toml(path, "a TOML file with the meaning of the columns"), str(path))


def made(found: Mapping[str, Any], where: str) -> ColumnMap:
    """The same from its tables. ConfigError with every fault."""
    problems: list[ConfigError] = []
    kind = found.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"{where}: kind", repr(kind) if kind is not None else "is missing", ", ".join(KINDS))
    known = (*TIMES, *NAME_FIELDS, "id", "where", *NUMBERS[kind], *(("side",) if kind in ("trade", "liquidation") else ()))
    columns: dict[str, Column] = {}
    for name, value in found.items():
        if name in ("kind", "header", "sort", "delimiter", "contract_size"):
            continue
        if name not in known:
            problems.append(ConfigError(f"{where}: {name}", f"no such column of a {kind}", ", ".join(known)))
            continue
        try:
            columns[name] = _entry(name, value)
        except ValueError as why:
            problems.append(ConfigError(f"{where}: {name}", str(why)))
    if kind == "trade" and "side" in columns and columns["side"].of in ("position", "order"):
        problems.append(
            ConfigError(
                f"{where}: side",
                f"of: {columns['side'].of}, which is for liquidations; a trade has the side of its taker",
                'of = "taker", or of = "maker" (true: the buyer was the maker)',
                'For forced orders set kind = "liquidation"',
            )
        )
    problems += [ConfigError(f"{where}: {name}", "is missing", expected) for name, expected in _lacking(kind, columns)]
    header, sort, delimiter = found.get("header", True), found.get("sort", False), found.get("delimiter", ",")
    problems += [
        ConfigError(f"{where}: {name}", repr(value), "true or false")
        for name, value in (("header", header), ("sort", sort))
        if type(value) is not bool
    ]
    if not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        problems.append(ConfigError(f"{where}: delimiter", repr(delimiter), "one character, such as ; or a tab"))
    size = found.get("contract_size", {})
    sizes = size if isinstance(size, dict) else {"": size}
    if not all(type(value) in (int, float) and 0.0 < value < 1e12 for value in sizes.values()):
        problems.append(ConfigError(f"{where}: contract_size", repr(size), "base units of one contract, above 0, or a table of them by symbol"))
    if problems:
        raise ConfigError(where, problems=problems)
    return ColumnMap(kind, columns, header, sort, delimiter, {str(name): float(value) for name, value in sizes.items()})


def _entry(name: str, value: Any) -> Column:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # the number of a column
    table = {"column": value} if isinstance(value, str) else value
    allowed = {"column"} | (
        {"unit", "zone"}
        if name in TIMES
        else {"of", "words"}
        if name == "side"
        else {"value"}
        if name == "where"
        else {"value", "names", "suffix"}
        if name in NAME_FIELDS
        else set()
    )
    if not isinstance(table, dict) or table.keys() - allowed:
        raise ValueError(f"found {value!r}, expected the name of a column, or a table of {', '.join(sorted(allowed))}")
    table = {key: str(one) if key == "column" and type(one) is int else one for key, one in table.items()}
    if not all(isinstance(one, dict) if key in ("words", "names") else isinstance(one, str) and one for key, one in table.items()):
        raise ValueError(f"found {value!r}, expected texts; words and names are tables")
    if name == "where" and table.keys() != {"column", "value"}:
        raise ValueError(f"found {value!r}, expected the column and the value of the rows that count")
    if name != "where" and bool(table.get("column")) == bool(table.get("value")):
        raise ValueError("expected a column" + ("or a value for all rows, but not both" if name in NAME_FIELDS else ""))
    entry = Column(**table)  # type: ignore[arg-type]
    if name in TIMES and entry.unit not in (*UNITS, "iso"):
        raise ValueError(f"unit: {entry.unit or 'missing'}, expected one of {', '.join(UNITS)} since 1970, or iso")
    if entry.zone and (entry.unit != "iso" or not _is_zone(entry.zone)):
        raise ValueError(f"zone: {entry.zone!r}, expected an offset such as +05:30, of times in text that state none")
    if name == "side" and entry.of not in SIDES_OF:
        raise ValueError(f"of: {entry.of or 'missing'}, expected the owner of the side: {', '.join(SIDES_OF)}")
    if any(word not in ("buy", "sell", "long", "short") for word in entry.words.values()):
        raise ValueError(f"words: {dict(entry.words)!r}, expected buy, sell, long or short for each")
    if not all(isinstance(one, str) for one in entry.names.values()):
        raise ValueError(f"names: {dict(entry.names)!r}, expected text for each")
    return entry


def _is_zone(text: str) -> bool:
    return len(text) == 6 and text[0] in "+-" and text[3] == ":" and (text[1:3] + text[4:]).isdigit() and int(text[1:3]) < 24 and int(text[4:]) < 60


def _lacking(kind: str, columns: Mapping[str, Column]) -> list[tuple[str, str]]:
    out = [] if set(TIMES) & columns.keys() else [("time", 'when it happened: {column = "...", unit = "ms"}, or recv = when it was received')]
    if kind in ("trade", "liquidation"):
        out += [("side", 'the owner of the side: {column = "...", of = "taker"}')] if "side" not in columns else []
        out += [("price", "a column")] if "price" not in columns else []
        out += [("size", "a column, or notional")] if not {"size", "notional"} & columns.keys() else []
    elif kind == "quote":
        out += [(name, "a column") for name in NUMBERS[kind] if name not in columns]
    elif not NUMBERS[kind].keys() & columns.keys():
        out.append(("mark", f"one of {', '.join(NUMBERS[kind])}"))
    return out
