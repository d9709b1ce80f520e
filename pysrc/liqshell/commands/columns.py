"""`liqcore columns`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

import liqcore as lc
from liqshell import formats
from liqshell.errors import DataError
from liqshell.event_columns import rows_of
from liqshell.formats import column_map, proposal
from liqshell.formats.proposal import Proposal
from liqshell.recording.streams import BITS, FIELDS

SHOWN = 10
_SIDES = {int(lc.Kind.TRADE): {1: "BUY", -1: "SELL"}, int(lc.Kind.LIQUIDATION): {1: "LONG", -1: "SHORT"}}


def columns(
    file: Annotated[Path, Parameter(negative=())],
    /,
    *,
    columns: Path | None = None,
    venue: str = "",
    symbol: str = "",
) -> int:
    """Propose the meaning of a table's columns: a map, and ten rows decoded with it. Exit status 1 if something must be added or decided.

    The output is a TOML file for `liqcore import --columns`; everything else is in comments (#). Check the ten rows before you import: times,
    sides, and price x size against the notional.

    Parameters
    ----------
    file
        CSV, JSON lines, one JSON array, or Parquet; packed or not.
    columns
        A map of your own: its rows are shown instead.
    venue
        Of tables that do not say: it is written into the map.
    symbol
        Of tables that do not say: it is written into the map.
    """
    if columns is not None:
        found = Proposal({}, map=column_map.load(columns))
    else:
        found = proposal.propose(file)
        _without(file)
    proposal.complete(found, venue, symbol)
    if found.map is None:
        sys.stdout.write(column_map.as_toml(found.tables))
        _remarks(found)
        return 1
    sys.stdout.write(found.map.text())
    _remarks(found)
    _rows(
        file,
        formats.Options(
            columns=found.map,
            venue=venue or ("" if "venue" in found.map.columns else "VENUE"),
            symbol=symbol or ("" if "symbol" in found.map.columns else "SYMBOL"),
        ),
    )
    return 1 if found.lacking or found.asked else 0


def _remarks(found: Proposal) -> None:
    for text, some in (("", found.said), ("to be decided: ", found.asked), ("to be added: ", found.lacking)):
        for one in some:
            print(f"# {text}{one}")
    for name, values in found.unused.items():
        print(f"# not used: {name}, such as {', '.join(values)[:100] or 'nothing'}")


def _without(file: Path) -> None:
    """Say where no map is needed."""
    try:
        name = formats.sniff(file)
    except DataError:
        return
    if name not in ("columns", "recording"):
        print(f"# the file is read without a map, as {name}: {formats.FORMATS[name]}")


def _rows(file: Path, options: formats.Options) -> None:
    with formats.read(file, options) as reading:
        block = next(iter(reading.stated()), None)
        rows = rows_of(block.events[:SHOWN]) if block is not None else np.zeros(0, lc.EVENT_DTYPE)
        for n, event in enumerate(rows):
            kind = int(event["kind"])
            side = _SIDES.get(kind, {}).get(int(event["side"]), "NO SIDE" if kind in _SIDES else "")
            name = ":".join(reading.contracts[int(event["instrument"])])
            values = (
                {"price": event["price"], "size": event["qty"], "notional": event["aux_price"]}
                if kind in _SIDES
                else {"bid": event["price"], "size": event["qty"], "ask": event["aux_price"], "ask size": event["aux_qty"]}
                if kind == lc.Kind.BBO
                else {name: event[FIELDS[name]] for name in FIELDS if not event["flags"] & BITS[name]}
            )
            line = block.line(n) if block is not None else 0
            print(
                f"# {file.name}:{line} {_when(event['ts_event'])} received {_when(event['ts_recv'])} {name} {side} "
                + " ".join(f"{what} {float(value):.10g}" for what, value in values.items())
            )
        for note in reading.notes:
            print(f"# {note}")


def _when(ns: int) -> str:
    return str(np.datetime64(int(ns), "ns")).rstrip("0").rstrip(".") if ns > 0 else "NO TIME"
