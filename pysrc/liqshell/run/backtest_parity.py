"""A recorded run, backtested: the same events as a tape, the same settings, and the first record in which the two audit streams differ, in words.

    verdict = prove_as_backtest("runs/demo")
    print(verdict.text)                          # "identical: 412 audit records" or both sides of the first difference

A replay (replay.py) goes frame by frame through the live pipeline. This goes the way of a backtest: frames -> events -> tape -> walk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore import event
from liqcore.execution import order_state as slot
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.run import replay
from liqshell.run.pipeline import make_paper
from liqshell.run.recorded_events import read_events
from liqshell.run.tape_driver import Stepper, drive


@dataclass(frozen=True)
class Parity:
    """The result of the check. how: as a tape, or why it had to be stepped in the recorded order. difference: the first one in words, '' where
    there is none."""

    verdict: replay.Verdict
    how: str
    difference: str

    @property
    def identical(self) -> bool:
        return self.verdict.identical

    def as_dict(self) -> dict[str, Any]:
        return self.verdict.as_dict() | {"how": self.how, "difference": self.difference}


def prove_as_backtest(folder: str | Path, *, trust: bool = False) -> Parity:
    """Backtest the recording of the run in a folder with the run's own settings and compare the audit streams byte for byte."""
    recorded = journal.load_audit(folder)
    found = read_events(Path(folder) / journal.FRAMES, trust=trust)
    if found.values is None:
        raise DataError(str(folder), "its recording lacks the settings of the run", "the folder of a run made by liqcore live or demo")
    paper = make_paper(found.values, trust=trust)  # of a live run it says why that cannot be
    builder = lc.TapeBuilder(paper.engine.instruments)
    builder.push(found.events)
    tape = lc.Tape(builder.instruments, builder.take())
    end_ns = found.ended_ns or (int(found.events["ts_recv"].max()) if len(found.events) else 0)
    how, audit = "processed as a tape", drive(lc.Walk(paper, tape), end_ns)
    verdict = replay.compare(recorded, audit, found.damage, bool(found.ended_ns))
    why = "" if verdict.identical else _unlike(found.events, tape, builder.refused)
    if why:
        how = f"processed event by event in the recorded order, because {why}"
        audit = drive(Stepper(make_paper(found.values, trust=trust), found.events), end_ns)
        verdict = replay.compare(recorded, audit, found.damage, bool(found.ended_ns))
    symbols = [i.symbol for i in paper.engine.instruments]
    return Parity(verdict, how, "" if verdict.identical else first_difference(recorded, audit, verdict.first_difference or 0, symbols))


def _unlike(events: np.ndarray, tape: lc.Tape, refused: dict[lc.Reason, int]) -> str:
    """Why a tape of these events is not the same feed, '' where it is."""
    if refused:
        names = ", ".join(reason.name for reason in refused)
        return f"validation refuses {sum(refused.values())} of its events ({names}), and a tape leaves those out"
    ordered = tape.events()
    if len(ordered) != len(events) or any((ordered[name] != events[name]).any() for name in ("ts_recv", "instrument", "kind")):
        return "events of different contracts at one moment came in another order than in a tape"
    rounded = int((ordered["price"] != events["price"]).sum())
    return f"{rounded} prices are not on the grid of their contract" if rounded else ""


# ---- records in words ----

_NAMES: dict[str, Any] = {
    "Kind": lc.Kind,
    "Phase": lc.Phase,
    "Action": event.Action,
    "OrderStatus": event.OrderStatus,
    "FillReason": event.FillReason,
    "BracketState": lc.BracketState,
    "FeedState": lc.FeedState,
    "Control": lc.Control,
    "Alarm": slot.Alarm,
}


def as_texts(record: np.void, symbols: list[str]) -> dict[str, str]:
    """One audit record as named fields."""
    kind = lc.AuditKind(int(record["kind"]))
    own, phase_kind = lc.audit.named(record), lc.AUDIT_FIELDS[kind][0]
    n = int(record["instrument"])
    out = {
        "kind": kind.name.removeprefix("AUDIT_"),
        "time": f"{np.datetime64(int(record['ts']), 'ns')}Z",
        "instrument": symbols[n] if 0 <= n < len(symbols) else "all",
    }
    phase = int(record["phase"])
    try:
        out[phase_kind] = _NAMES[phase_kind](phase).name if phase_kind != "Side" else ("LONG" if phase else "SHORT")
    except (KeyError, ValueError):
        out[phase_kind] = str(phase)
    out |= {
        "reason": lc.Reason(int(record["reason"])).name,
        "side": {1: "LONG", -1: "SHORT"}.get(int(record["side"]), "none"),
        "id": str(int(record["id"])),
        "seq": str(int(record["seq"])),
    }
    return out | {name: repr(own[name].item()) for name in own.dtype.names or () if name not in (lc.AUDIT_DTYPE.names or ())}


def first_difference(recorded: np.ndarray, made: np.ndarray, at: int, symbols: list[str]) -> str:
    """Both sides of the first unequal record, and which fields differ."""
    left = as_texts(recorded[at], symbols) if at < len(recorded) else None
    right = as_texts(made[at], symbols) if at < len(made) else None
    if left is None or right is None:
        longer, texts = ("run", left) if right is None else ("backtest", right)
        return f"record {at} exists only in the {longer}: " + (_line(texts) if texts else "")
    differ = [key for key in left | right if left.get(key) != right.get(key)]
    if not differ:  # bits that print alike, such as the sign of a zero
        differ = [name for name in recorded.dtype.names or () if recorded[at][name].tobytes() != made[at][name].tobytes()]
    return "\n".join([f"record {at} differs in {', '.join(differ)}", f"  run:      {_line(left)}", f"  backtest: {_line(right)}"])


def _line(texts: dict[str, str]) -> str:
    return "  ".join(f"{key}={value}" for key, value in texts.items())
