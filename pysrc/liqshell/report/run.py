"""The folder of a run: run.json, audit.bin, frames/, sometimes truth.json. `load_run` is the only reader of it in this package."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from liqcore import AUDIT_DTYPE, AuditKind, Completeness, Instrument
from liqcore.audit import VIEWS
from liqshell.errors import DataError
from liqshell.input_file import regular
from liqshell.recording.journal import RESTORE, check_abi, current, damage_of
from liqshell.recording.packing import frame_files

COMPLETENESS = {Completeness.COMPLETENESS_FULL: "FULL", Completeness.COMPLETENESS_CENSORED: "CENSORED", Completeness.COMPLETENESS_UNKNOWN: "UNKNOWN"}


@dataclass(frozen=True)
class Truth:
    """One cascade as the generator made it (times: market ns; notional: quote currency)."""

    id: int
    symbol: str
    side: int
    start_ns: int
    end_ns: int
    count: int
    notional: float


@dataclass(frozen=True)
class Run:
    """A loaded run. `meta` is run.json as it stands; `audit` an array of liqcore.AUDIT_DTYPE in order of sequence."""

    folder: Path
    meta: dict[str, Any]
    audit: np.ndarray
    instruments: tuple[Instrument, ...]
    truth: tuple[Truth, ...] | None = None
    started_ns: int = 0
    ended_ns: int = 0
    speed: float = 1.0
    symbols: tuple[str, ...] = field(default=())
    damage: str = ""  # in what its audit.bin differs from what run.json says of it; "" = in nothing

    @property
    def duration_s(self) -> float:
        """Market time from start to end."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def synthetic(self) -> bool:
        return bool(self.meta.get("synthetic"))

    @property
    def frames(self) -> list[Path]:
        """The recorded frames, oldest first; empty where the run did not record."""
        return frame_files(self.folder / "frames")

    @property
    def contracts(self) -> list[dict[str, str]]:
        """What traded each instrument, and the grade of its evidence: preset, rule, grade, evidence, each "" where it was watched only. A run from
        before this was written down has one preset for all."""
        found = self.meta.get("contracts")
        if isinstance(found, list) and len(found) == len(self.instruments) and all(isinstance(row, dict) for row in found):
            return [{key: str(row.get(key) or "") for key in ("preset", "rule", "grade", "evidence")} for row in found]
        whole = {
            "preset": self.meta.get("preset"),
            "rule": self.table("settings").get("rule"),
            "grade": self.meta.get("grade"),
            "evidence": self.meta.get("evidence"),
        }
        return [{key: str(value or "") for key, value in whole.items()} for _ in self.instruments]

    @cached_property
    def kinds(self) -> np.ndarray:
        """The kind of each record."""
        return np.ascontiguousarray(self.audit["kind"])

    def of_kind(self, kind: int) -> np.ndarray:
        """The records of one kind, with its fields by name (liqcore.audit.view)."""
        return self.audit[self.kinds == kind].view(VIEWS[AuditKind(kind)])

    def is_named(self, instrument: int, name: str) -> bool:
        """Whether a name means an instrument: its symbol, venue:symbol, or "" for all."""
        return name in ("", self.symbols[instrument], self.instruments[instrument].key)

    def table(self, name: str) -> dict[str, Any]:
        """A sub-table of run.json, {} where it is missing or null."""
        value = self.meta.get(name)
        return value if isinstance(value, dict) else {}


def _json(path: Path) -> Any:
    if path.exists():
        regular(path, "what a run wrote")
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "the folder of a run", "Give the folder that `liqcore live` or `liqcore demo` printed") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(str(path), f"not JSON ({error})", "the JSON that a run writes") from None


def _audit(path: Path) -> np.ndarray:
    """All records. A cut tail is an error, not a guess: half of a stream would give a report that looks whole."""
    if path.exists():
        regular(path, "the audit records of the run")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(str(path), "no such file", "the audit records of the run", RESTORE) from None
    rest = size % AUDIT_DTYPE.itemsize
    if rest:
        raise DataError(
            str(path),
            f"{size} bytes, {rest} more than {size // AUDIT_DTYPE.itemsize} whole records",
            f"a multiple of {AUDIT_DTYPE.itemsize}",
            f"The file was cut. {RESTORE}. Of a run that was killed, `truncate --size={size - rest} FILE` leaves the whole records",
        )
    # mapped: the records of a long run are larger than everything that is made from them
    audit = np.memmap(path, AUDIT_DTYPE, "r").view(np.ndarray) if size else np.zeros(0, AUDIT_DTYPE)
    if len(audit):
        kinds = audit["kind"]
        bad = np.flatnonzero((kinds < min(AuditKind)) | (kinds > max(AuditKind)))
        if len(bad):
            raise DataError(
                f"{path}: record {bad[0]}",
                f"kind {kinds[bad[0]]}",
                f"a kind from {min(AuditKind):d} to {max(AuditKind):d}",
                "The file is not an audit stream, or another version of liqcore wrote it",
            )
        back = np.flatnonzero(np.diff(audit["seq"]) <= 0)
        if len(back):
            raise DataError(
                f"{path}: record {back[0] + 1}",
                f"sequence {audit['seq'][back[0] + 1]} after {audit['seq'][back[0]]}",
                "rising sequence numbers",
                "Did two runs write into one file?",
            )
    return audit


def _instruments(path: Path, rows: Any) -> tuple[Instrument, ...]:
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: instruments", "none", "the instruments of the run, in the order of their index")
    out = []
    for n, row in enumerate(rows):
        try:
            out.append(Instrument(**row))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: instruments[{n}]", str(error), "what Instrument.as_dict() gives") from None
    return tuple(out)


def _truth(path: Path) -> tuple[Truth, ...] | None:
    if not path.exists():
        return None
    rows = _json(path)
    if not isinstance(rows, list):
        raise DataError(str(path), f"found {type(rows).__name__}", "a list of cascades")
    out = []
    for n, row in enumerate(rows):
        try:
            out.append(Truth(**{key: row[key] for key in Truth.__dataclass_fields__}))
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: [{n}]", f"missing or wrong: {error}", "id, symbol, side, start_ns, end_ns, count, notional") from None
    return tuple(out)


def _number(path: Path, meta: dict[str, Any], key: str) -> float:
    """A number of run.json, 0 where it has none."""
    found = meta.get(key) or 0
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 1e19:
        raise DataError(str(path), f"{key}: {found!r}", "a number, 0 or more")
    return found


def load_run(folder: str | Path) -> Run:
    """Read a run's folder. DataError says what is wrong where; `damage` of what is returned says whether audit.bin is another one than run.json
    speaks of. Unknown keys of run.json are kept, missing ones allowed."""
    folder = Path(folder)
    meta = _json(folder / "run.json")
    if not isinstance(meta, dict):
        raise DataError(str(folder / "run.json"), f"found {type(meta).__name__}", "an object")
    instruments = _instruments(folder / "run.json", meta.get("instruments"))
    check_abi(meta, folder / "run.json")
    audit = current(_audit(folder / "audit.bin"), meta.get("abi"))
    if len(audit) and int(audit["instrument"].max()) >= len(instruments):
        raise DataError(
            str(folder / "audit.bin"),
            f"instrument {audit['instrument'].max()}",
            f"0 to {len(instruments) - 1}, as run.json lists {len(instruments)} instruments",
            "run.json and audit.bin are of different runs",
        )
    first, last = (int(audit["ts"].min()), int(audit["ts"].max())) if len(audit) else (0, 0)
    started_ns, ended_ns, speed = (_number(folder / "run.json", meta, key) for key in ("started_ns", "ended_ns", "speed"))
    started = int(started_ns or first)
    return Run(
        folder=folder,
        meta=meta,
        audit=audit,
        instruments=instruments,
        truth=_truth(folder / "truth.json"),
        damage=damage_of(folder, meta),
        started_ns=started,
        ended_ns=max(int(ended_ns), last, started),
        speed=speed or 1.0,
        symbols=tuple(i.symbol for i in instruments),
    )
