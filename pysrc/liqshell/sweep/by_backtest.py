"""A sweep by whole backtests: for policies whose answers are more than a side, and for venue settings that the kernel does not support.

Each setting is one walk of the engine over the tape, all symbols and the account's limits together; its row has the same fields as the kernel's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import liqcore as lc
from liqcore import AuditKind, Reason
from liqcore.audit import view
from liqshell.backtest.past_judge import asker
from liqshell.backtest.sweep_kernel import days_of
from liqshell.report.coverage import DAY_NS
from liqshell.report.study import funding_of
from liqshell.run.pipeline import make_paper
from liqshell.run.tape_driver import drive
from liqshell.sweep.work import kept_dtype

DATA = tuple(int(r) for r in (Reason.UNCERTAIN, Reason.STALE_EVENT, Reason.NO_PRICE, Reason.RISK_STALE_DATA, Reason.QUOTE_ENDED))
NO_ENTRY = tuple(int(r) for r in (Reason.NO_TRADE, Reason.PHASE, Reason.ASK_LATER, Reason.POLICY_LEAVE))
ENDS = {int(Reason.END_TARGET): "targets", int(Reason.END_STOP): "stops", int(Reason.END_MAX_HOLD): "max_holds", int(Reason.END_PHASE): "phases"}
UNFILLED = {int(Reason.END_TTL): "unfilled_ttl", int(Reason.END_POST_ONLY): "unfilled_post_only"}
FLAT = 0  # BracketState


def rows_of(audit: np.ndarray, instruments: Sequence[lc.Instrument], dtype: np.dtype[Any], start_ns: int, end_ns: int) -> np.ndarray:
    """RESULT_DTYPE, or kept_dtype(), one row an instrument, from the audit stream of one backtest. net and what is made of it is after funding."""
    out = np.zeros(len(instruments), dtype)
    out["days"] = max(0, end_ns // DAY_NS - start_ns // DAY_NS + 1)
    trades = view(audit, AuditKind.AUDIT_TRADE)
    funding = funding_of(audit, trades)
    for n, instrument in enumerate(instruments):
        mine = audit[audit["instrument"] == n]
        own = trades["instrument"] == n
        _asked(out[n], mine)
        _traded(out[n], trades[own], trades["net"][own] - funding[own], instrument.multiplier)
        _unfinished(out[n], mine, instrument)
        if "daily" in (dtype.names or ()):
            day = np.clip(trades["ts"][own] // DAY_NS - start_ns // DAY_NS, 0, int(out["days"][0]) - 1)
            np.add.at(out["daily"][n], day, trades["net"][own] - funding[own])
    return out


def _asked(row: np.void, mine: np.ndarray) -> None:
    """Counts signals, entries and refusals of the row."""
    asked = mine[mine["kind"] == AuditKind.AUDIT_POLICY]
    row["signals"] = int((~np.isin(asked["reason"], NO_ENTRY)).sum())
    risk = mine[mine["kind"] == AuditKind.AUDIT_RISK]
    again = np.isin(risk["id"], mine["id"][mine["kind"] == AuditKind.AUDIT_REQUEST])  # a requote names the entry that was rejected: no new bracket
    verdicts = np.bincount(risk["reason"][~again], minlength=256)
    row["entries"], row["refused_open"], row["refused_cooldown"] = verdicts[0], verdicts[Reason.BRACKET_OPEN], verdicts[Reason.COOLDOWN]
    row["refused_data"] = sum(verdicts[r] for r in DATA)
    row["refused_risk"] = verdicts.sum() - row["entries"] - row["refused_open"] - row["refused_cooldown"] - row["refused_data"]


def _traded(row: np.void, trades: np.ndarray, net: np.ndarray, multiplier: float) -> None:
    row["trades"] = row["filled"] = len(trades)
    row["wins"], row["entry_makers"] = int((net > 0.0).sum()), int(trades["entry_is_maker"].sum())
    for reason in trades["reason"].tolist():
        row[ENDS.get(reason, "others")] += 1
    hold = np.rint(trades["hold_s"] * 1e9).astype(np.int64)
    row["hold_ns"], row["hold_ns_max"] = hold.sum(), hold.max(initial=0)
    # added up one by one, in order: as the kernel does it, to the last bit
    row["gross"], row["fees"], row["net"] = sum(trades["gross"].tolist()), sum(trades["fees"].tolist()), sum(net.tolist())
    row["net_squares"] = sum((net * net).tolist())
    row["notional"] = float(((trades["entry_price"] + trades["exit_price"]) * trades["qty"]).sum() * multiplier)
    total = np.cumsum(np.concatenate([[0.0], net]))
    row["drawdown_max"] = float((np.maximum.accumulate(total) - total).max())
    days = trades["ts"] // DAY_NS
    row["daily_squares"] = sum(float(net[days == day].sum()) ** 2 for day in np.unique(days))


def _unfinished(row: np.void, mine: np.ndarray, instrument: lc.Instrument) -> None:
    """Entries that were never filled, and what is open at the end. Fills belong to a bracket by the upper part of their order's id."""
    of = mine["id"] >> 12
    states, fills = mine["kind"] == AuditKind.AUDIT_BRACKET, mine["kind"] == AuditKind.AUDIT_FILL
    filled = set(of[fills].tolist())
    last: dict[int, np.void] = {}
    for key, record in zip(of[states].tolist(), mine[states], strict=True):
        last[key] = record
    for key, record in last.items():
        if record["phase"] == FLAT:
            if key not in filled:
                row[UNFILLED.get(int(record["reason"]), "unfilled_other")] += 1
        elif key in filled:
            held = view(mine[of == key], AuditKind.AUDIT_FILL)
            position = float(held["position"][-1])
            row["filled"] += 1
            row["open_side"], row["open_price"], row["open_fees"] = int(np.sign(position)), float(held["entry_price"][-1]), float(held["fee"].sum())
            row["open_lots"] = round(abs(position) / float(instrument.lot_size))


class Walks:
    """Everything that the units share, and the settings (pipeline.settings) of each cell. tape: None if the worker opens it."""

    def __init__(self, tape: lc.Tape | None, cells: list[dict[str, Any]], span: tuple[int, int]):
        self.tape, self.cells, self.span = tape, cells, span

    def compute(self, unit: Any, threads: int | None = None) -> np.ndarray:
        """Rows of the unit's cells, of kept_dtype(), cell by cell, every instrument of a cell."""
        assert self.tape is not None
        dtype = kept_dtype(days_of(*self.span))
        parts = []
        for cell in self.cells[unit.first : unit.last]:
            audit = drive(lc.Walk(make_paper(cell, trust=True), self.tape, asker(cell, self.tape.instruments)), self.span[1])
            parts.append(rows_of(audit, self.tape.instruments, dtype, *self.span))
        return np.concatenate(parts)
