"""The known data of a contract: tick, lot, multiplier, completeness of its liquidation feed; stated by a file or inferred from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import liqcore as lc
from liqshell.errors import ConfigError
from liqshell.formats.reading import COMPLETENESS, UNKNOWN
from liqshell.input_file import toml
from liqshell.store.grid import STEPS_MIN, Grid
from liqshell.store.partition import Content, Key

FIELDS = ("tick_size", "lot_size", "multiplier", "min_qty", "max_qty", "min_notional", "completeness")
THROTTLED_MIN = 200  # liquidations from which on "never two in a second" means a throttle


@dataclass(frozen=True)
class Rules:
    """A contract, and where its numbers are from: field -> "given", "said by its files", "inferred from ..."."""

    instrument: lc.Instrument
    origin: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return {**self.instrument.as_dict(), "origin": self.origin}


def effective(venue: str, symbol: str, stated: Mapping[str, Any], contents: Mapping[Key, Content]) -> Rules:
    """The rules that loading uses. stated: as Catalogue.rules() has it; contents: the partitions of this contract, and the marks of its whole
    venue."""
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for who, text in (("files", "said by its files"), ("given", "given")):
        for field in FIELDS:
            if stated.get(who, {}).get(field) is not None:
                values[field], origin[field] = stated[who][field], text
    for field, of in (("tick_size", "price"), ("lot_size", "qty")):
        if field not in values:
            step, text = _infer(contents, of)
            values[field], origin[field] = f"{step:f}", text
    heard = any(key.kind in ("liquidations", "feed") for key in contents)
    if origin.get("completeness") != "given" and (not heard or str(values.get("completeness", UNKNOWN)).upper() == UNKNOWN):
        values["completeness"], origin["completeness"] = _completeness(venue, contents) if heard else (UNKNOWN, "there are no liquidations")
    values["completeness"] = lc.Completeness["COMPLETENESS_" + str(values["completeness"]).upper()]
    return Rules(lc.Instrument(symbol, venue=venue, **values), origin)


def _infer(contents: Mapping[Key, Content], of: str) -> tuple[Decimal, str]:
    """Prices: quotes and trades tell the grid, and liquidations where these are few, because bankruptcy and average prices stand beside it.
    Quantities: the finest of all three, because a liquidation has the lots of trades and may be smaller than all of them."""
    market, forced = (
        Grid.sum(Grid.load(getattr(content, of)) for key, content in contents.items() if key.kind in kinds)
        for kinds in (("quotes", "trades"), ("liquidations",))
    )
    what, whose = ("prices" if of == "price" else "quantities"), "quotes and trades"
    if of == "qty":
        step = market.step()
        finer = forced.step() if not forced.noisy or step is None else None
        if finer is not None and (step is None or finer < step):
            return finer, f"inferred from {forced.total} {what} of liquidations"
    else:
        if market.total < STEPS_MIN and not (market.total and forced.noisy):
            whose = "liquidations" if not market.total else f"{whose}, and liquidations" if forced.total else whose
            market = Grid.sum((market, forced))
        step = market.step()
    if step is not None:
        return step, f"inferred from {market.total} {what} of {whose}"
    return Decimal("0.01" if of == "price" else "0.001"), "assumed: there are no data to infer it"


def _completeness(venue: str, contents: Mapping[Key, Content]) -> tuple[str, str]:
    if venue in COMPLETENESS:
        return COMPLETENESS[venue], "known of the venue"
    liquidations = [content for key, content in contents.items() if key.kind == "liquidations"]
    rows = sum(content.rows for content in liquidations)
    if rows >= THROTTLED_MIN and max(content.busiest for content in liquidations) == 1:
        return "CENSORED", f"measured: never two of {rows} liquidations in one second"
    return UNKNOWN, "not known of the venue"


def load_file(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """A TOML file with a table a contract: ["bybit:BTCUSDT"] tick_size = "0.1", lot_size = "0.001", multiplier, completeness = "FULL" ..."""
    problems: list[ConfigError] = []
    out: dict[tuple[str, str], dict[str, Any]] = {}
    for name, table in toml(path, "a TOML file of contracts").items():
        venue, colon, symbol = name.partition(":")
        if not colon or not venue or not symbol or not isinstance(table, dict):
            problems.append(ConfigError(f"{path}: [{name}]", "no contract", 'a table named like ["bybit:BTCUSDT"]'))
            continue
        problems += _problems(f"{path}: {name}", table)
        try:
            lc.Instrument(symbol, venue=venue, **{k: v for k, v in table.items() if k != "completeness"})
        except (ValueError, TypeError, OverflowError, InvalidOperation) as why:
            problems.append(ConfigError(f"{path}: {name}", str(why)))
        out[venue, symbol] = table
    if problems:
        raise ConfigError(str(path), problems=problems)
    return out


def _problems(where: str, table: Mapping[str, Any]) -> Iterable[ConfigError]:
    for field in table.keys() - set(FIELDS):
        yield ConfigError(f"{where}.{field}", "no such field", ", ".join(FIELDS))
    if str(table.get("completeness", "FULL")).upper() not in ("FULL", "CENSORED", "UNKNOWN"):
        yield ConfigError(f"{where}.completeness", repr(table["completeness"]), "FULL, CENSORED or UNKNOWN")
