"""Run a recording again and compare: the proof that the decisions follow from the received data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.recorder import END, FEED, GAP, IMAGE, META, REPORT, REST
from liqshell.run.pipeline import Pipeline


@dataclass(frozen=True)
class Verdict:
    """identical: byte for byte, or where the run was killed (cut) as far as both reach. records: of the recorded run; replayed: of this one.
    first_difference: index of the first unequal record."""

    identical: bool
    records: int
    replayed: int
    first_difference: int | None
    damage: str
    cut: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run(frames: str | Path, on_frame: Callable[[int], None] | None = None, *, trust: bool = False) -> tuple[Pipeline, np.ndarray, str, bool]:
    """Feed a recording of liqcore to a new pipeline: (pipeline, its audit records, damage text, whether the recording has its end).
    on_frame(ts_recv) is called now and then; trust: see pipeline.make_paper."""
    reader = recording.read(frames)
    pipeline: Pipeline | None = None
    parts: list[np.ndarray] = []
    ended = False
    for number, record in enumerate(reader):
        if record.stream == META:
            if pipeline is not None:
                raise DataError(str(frames), "two runs in one recording", "one", "Replay the folder of one run")
            pipeline = Pipeline(object_of(record.frame, frames), trust=trust)
        elif pipeline is None:
            raise DataError(
                str(frames),
                "does not begin with the settings of a run",
                "a recording made by liqcore live or demo",
                "Use `liqcore detect` for other recordings",
            )
        else:
            enter(pipeline, record, frames)
            ended = ended or record.stream == END
        if number % 4096 == 0 and pipeline is not None:
            parts.append(pipeline.drain_audit())
            if on_frame is not None:
                on_frame(record.ts_recv)
    if pipeline is None:
        raise DataError(str(frames), "the recording is empty", "a recording made by liqcore live or demo")
    parts.append(pipeline.drain_audit())
    return pipeline, np.concatenate(parts), reader.damage_text(), ended


def enter(pipeline: Pipeline, record: recording.Record, where: str | Path) -> None:
    """One record of a recording of ours, but for its first line: as it entered then."""
    if record.stream == FEED:
        pipeline.mark(object_of(record.frame, where), record.ts_recv)
    elif record.stream == REPORT:
        pipeline.report(_row(object_of(record.frame, where), where))
    elif record.stream == END:
        pipeline.advance(record.ts_recv)
    elif record.stream not in (GAP, IMAGE, recording.SKIP):
        pipeline.frame(record.frame, record.ts_recv, record.exchange, record.source == REST)


def prove(folder: str | Path, on_frame: Callable[[int], None] | None = None, *, trust: bool = False) -> Verdict:
    """Replay the run in a folder and compare the audit streams byte for byte."""
    recorded = journal.load_audit(folder)
    _, replayed, damage, ended = run(Path(folder) / journal.FRAMES, on_frame, trust=trust)
    return compare(recorded, replayed, damage, ended)


def compare(recorded: np.ndarray, replayed: np.ndarray, damage: str = "", ended: bool = True) -> Verdict:
    """A killed run has no end mark, and its audit and its frames reached the disk at different moments: one is then longer than the other."""
    shorter = min(len(recorded), len(replayed))
    if recorded.tobytes() == replayed.tobytes() or (not ended and recorded[:shorter].tobytes() == replayed[:shorter].tobytes()):
        return Verdict(True, len(recorded), len(replayed), None, damage, not ended)
    rows = lc.AUDIT_DTYPE.itemsize
    unequal = (
        np.frombuffer(recorded[:shorter].tobytes(), np.uint8).reshape(-1, rows)
        != np.frombuffer(replayed[:shorter].tobytes(), np.uint8).reshape(-1, rows)
    ).any(axis=1)
    first = int(np.argmax(unequal)) if unequal.any() else shorter
    return Verdict(False, len(recorded), len(replayed), first, damage, not ended)


def _row(mark: dict[str, Any], where: str | Path) -> bytes:
    """The event of a REPORT mark, as it was stepped."""
    try:
        row = bytes.fromhex(mark["row"])
    except (KeyError, TypeError, ValueError):
        raise DataError(str(where), "an unreadable report of the venue", "the bytes of one event in hexadecimal") from None
    return row


def object_of(text: bytes, where: str | Path) -> dict[str, Any]:
    """The object in a mark of the recorder."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise DataError(str(where), "a mark of the recorder is not an object", "the form that a run writes")
    return found
