"""The closed trades of a run as columns: trades.csv, trades.parquet, and the rows that the page shows. docs/report.md defines each column."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from liqcore import Role
from liqshell import private
from liqshell.arrow_column import arrow_column
from liqshell.report.labels import ROLES, liquidated, position, reason
from liqshell.report.results import is_maker
from liqshell.report.run import Run
from liqshell.report.statistics import sums_of
from liqshell.report.stories import Ledger

PIECE = 1 << 13  # rows that are text at one time


class Trades(Sequence[dict[str, Any]]):
    """One row a closed trade, in the order in which their brackets ended. columns: names in the order of the file, and values."""

    def __init__(self, columns: dict[str, np.ndarray]):
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return list(Trades({name: values[k] for name, values in self.columns.items()}))
        return {name: values[k].item() if isinstance(values[k], np.generic) else values[k] for name, values in self.columns.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for piece in self.pieces():
            yield from (dict(zip(self.columns, row, strict=True)) for row in piece)

    def pieces(self) -> Iterator[Iterator[tuple[Any, ...]]]:
        """The rows as tuples of plain values, some thousands at a time."""
        for first in range(0, len(self), PIECE):
            yield zip(*(values[first : first + PIECE].tolist() for values in self.columns.values()), strict=True)

    def texts(self) -> Iterator[Iterator[tuple[Any, ...]]]:
        """The same with numbers as Python writes them."""
        for first in range(0, len(self), PIECE):
            yield zip(
                *(
                    floats(part) if part.dtype == np.float64 else part.tolist()
                    for part in (values[first : first + PIECE] for values in self.columns.values())
                ),
                strict=True,
            )

    def write_csv(self, path: Path) -> None:
        with private.opened(path, newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(self.columns)
            for piece in self.texts():
                writer.writerows(piece)

    def write_parquet(self, path: Path) -> None:
        """The same without the columns that say a time again as text."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays = {name: arrow_column(values) for name, values in self.columns.items() if name not in TIMES}
        arrays |= {name: array.dictionary_encode() for name, array in arrays.items() if pa.types.is_string(array.type)}
        with private.opened(path, "wb") as out:
            pq.write_table(pa.table(arrays), out, compression="zstd")


TIMES = ("signal", "decided", "opened", "closed")  # each beside its column in ns


def floats(values: np.ndarray) -> list[str]:
    """repr() of each. orjson is much faster and writes the same digits; what repr() gives an exponent, and what is no number, is left to it."""
    out = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")
    size = np.abs(values)
    for k in np.flatnonzero(~((size >= 1e-4) & (size < 1e16) | (size == 0.0))).tolist():
        out[k] = repr(values[k].item())
    return out


def isos(ns: np.ndarray) -> np.ndarray:
    """UTC to the microsecond, '' for never: text.iso of each."""
    out: np.ndarray = np.char.add(np.datetime_as_string(ns.astype("M8[ns]").astype("M8[us]")), "Z")
    out[ns == 0] = ""
    return out


def words(codes: np.ndarray, word: Callable[[int], str]) -> np.ndarray:
    """The word of each code."""
    known, which = np.unique(codes, return_inverse=True)
    return np.array([word(code) for code in known.tolist()], object)[which]


def trades_of(run: Run, ledger: Ledger) -> Trades:
    """The closed trades of a run."""
    t, b = ledger.trade_rows, ledger.bracket_rows[ledger.trade_rows["bracket"]]
    fills, count, presets = ledger.fill_rows, len(ledger.bracket_rows), [contract["preset"] for contract in run.contracts]
    entry = fills["role"] == Role.ROLE_ENTRY
    fee_all, fee_entry = (sums_of(found["bracket"], found["fee"], count)[t["bracket"]] for found in (fills, fills[entry]))
    last = np.full(count, -1)
    last[fills["bracket"][~entry]] = np.flatnonzero(~entry)
    last = last[t["bracket"]]
    # one row more for those that have no exit
    leg = np.where(last >= 0, np.append(fills["role"], 0)[last], -1)
    role = np.where(last >= 0, np.append(is_maker(fills), False)[last], -1)
    closed = np.where(last >= 0, np.append(fills["ts"], 0)[last], b["flat"])
    caused = b["cascade"] >= 0
    signal = np.where(caused, np.append(ledger.cascade_rows["active"], 0)[b["cascade"]], 0)
    made = {
        "n": np.arange(1, len(t) + 1),
        "symbol": words(b["instrument"], run.symbols.__getitem__),
        "side": words(np.sign(b["side"]), position),
        "cascade": words(np.where(caused, b["cascade_side"], 9), lambda side: "unknown" if side == 9 else liquidated(side)),
        "signal_ns": signal,
        "decided_ns": b["opened"],
        "opened_ns": b["entered"],
        "closed_ns": closed,
        "signal": isos(signal),
        "decided": isos(b["opened"]),
        "opened": isos(b["entered"]),
        "closed": isos(closed),
        "qty": t["qty"],
        "entry": t["entry"],
        "exit": t["exit"],
        "notional": t["entry_notional"],
        "gross": t["gross"],
        "fees": t["fees"],
        "fee_entry": fee_entry,
        "fee_exit": fee_all - fee_entry,
        "slippage": t["slippage"],
        "funding": t["funding"],
        "net": t["net"],
        "net_bps": t["bps"],
        "hold_s": t["hold_s"],
        "wait_s": (b["entered"] - b["opened"]) / 1e9,
        "exit_reason": words(t["reason"], reason),
        "entry_role": words(t["entry_maker"], lambda maker: "maker" if maker else "taker"),
        "exit_role": words(role, lambda maker: {1: "maker", 0: "taker"}.get(maker, "")),
        "exit_leg": words(leg, lambda role: ROLES.get(role, "")),
        "take_profit": b["take_profit"],
        "stop_loss": b["stop_loss"],
        "threshold": b["threshold"],
        "score": b["score"],
        "z": b["z"],
        "cascade_notional": b["cascade_notional"],
        "preset": words(b["instrument"], presets.__getitem__),
    }
    return Trades({name: np.ascontiguousarray(values) for name, values in made.items()})
