"""The files of a run besides its recording: audit.bin (the raw audit stream) and run.json (its settings and counters)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.event import reads_abi
from liqshell import private
from liqshell.errors import ConfigError, DataError
from liqshell.input_file import regular

PENDING_MAX = 64 << 20  # bytes of records that wait for a disk
_log = logging.getLogger("liqshell.recording.journal")
AUDIT_ABI = 7  # struct version of the first liqcore that writes its audit records as this one does
AUDIT, MANIFEST, TRUTH, FRAMES = "audit.bin", "run.json", "truth.json", "frames"
RESTORE = (
    "Restore the file from a copy: no command writes it again. Where the run has its frames, `liqcore replay RUN` compares it with what they "
    "give, and `liqcore backtest` with the run as [data] files makes a new run of them"
)


class Journal:
    """Writes a run's folder. The folder must be new or empty: two runs in one would be neither."""

    def __init__(self, folder: str | Path, manifest: dict[str, Any]):
        self.folder = Path(folder)
        try:
            private.folder(self.folder)
            if any(self.folder.iterdir()):
                raise ConfigError(str(self.folder), "this folder is not empty", "a new folder for the run", "Choose another [run] name or remove it")
            self._audit = private.opened(self.folder / AUDIT, "wb", buffering=0)
        except OSError as why:
            raise ConfigError(str(self.folder), f"cannot be written: {why.strerror or why}", "a folder for the run") from None
        self.manifest = manifest
        self.records = 0  # written, or waiting to be
        self.dropped = 0  # that found PENDING_MAX bytes waiting already
        self.trouble = ""  # why audit.bin cannot be written now; "" = it can
        self._pending = bytearray()
        self._hash = hashlib.sha256()
        try:
            self.save()
        except OSError as why:
            self._audit.close()
            raise ConfigError(
                str(self.folder), f"cannot be written: {why.strerror or why}", "a folder for the run, on a disk with free space"
            ) from None

    def audit(self, records: np.ndarray) -> None:
        """Append records to audit.bin. Never raises for the disk: what cannot be written waits in memory for the next call, up to PENDING_MAX."""
        if len(records) and (self.dropped or len(self._pending) > PENDING_MAX):
            self.dropped += len(records)  # and all that follow: a stream with a hole in it proves nothing
        elif len(records):
            data = records.tobytes()
            self._hash.update(data)
            self._pending += data
            self.records += len(records)
        try:
            while self._pending:
                del self._pending[: self._audit.write(self._pending)]
            self.trouble = ""
        except OSError as why:
            if not self.trouble:
                _log.error("%s cannot be written: %s; the run continues and tries again", self.folder / AUDIT, why.strerror)
            self.trouble = why.strerror or str(why)

    def save(self, **changes: Any) -> None:
        """Write run.json anew, whole or not at all."""
        self.manifest |= changes
        _write(self.folder, self.manifest)

    def close(self, **changes: Any) -> None:
        """DataError where the last of it cannot be written."""
        self.audit(np.zeros(0, lc.AUDIT_DTYPE))
        try:
            self._audit.close()
            lost = {"audit_dropped": self.dropped} if self.dropped else {}
            self.save(audit_records=self.records, audit_sha256=self._hash.hexdigest(), **lost, **changes)
        except OSError as why:
            raise DataError(
                str(self.folder / MANIFEST), f"cannot be written: {why.strerror or why}", "a disk with free space", "The run itself ended normally"
            ) from None


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    temporary = folder / (MANIFEST + ".new")
    private.write(temporary, json.dumps(manifest, indent=1, default=str) + "\n")
    os.replace(temporary, folder / MANIFEST)


def update(folder: str | Path, **changes: Any) -> None:
    """Add to the run.json of a run that has ended."""
    _write(Path(folder), load_manifest(folder) | changes)


def load_manifest(folder: str | Path) -> dict[str, Any]:
    """run.json of a run's folder; DataError where there is none."""
    path = Path(folder) / MANIFEST
    if path.exists():
        regular(path, "the form that a run writes")
    try:
        found = json.loads(path.read_text())
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "the folder of a run") from None
    except ValueError as why:
        raise DataError(str(path), f"not JSON: {why}", "the form that a run writes") from None
    if not isinstance(found, dict):
        raise DataError(str(path), "not an object", "the form that a run writes")
    return found


def load_audit(folder: str | Path) -> np.ndarray:
    """The audit stream of a run as AUDIT_DTYPE, converted where an older liqcore wrote it. A torn last record (a killed run) is left out."""
    path = Path(folder) / AUDIT
    if path.exists():
        regular(path, "the audit stream of a run")
    try:
        data = path.read_bytes()
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "the audit stream of a run") from None
    records = np.frombuffer(data[: len(data) // lc.AUDIT_DTYPE.itemsize * lc.AUDIT_DTYPE.itemsize], lc.AUDIT_DTYPE)
    manifest = load_manifest(folder) if (Path(folder) / MANIFEST).exists() else {}
    check_abi(manifest, Path(folder) / MANIFEST)
    return current(records, manifest.get("abi"))


def damage_of(folder: str | Path, manifest: Mapping[str, Any], *, whole: bool = True) -> str:
    """In what the audit stream of a run differs from what its run.json says of it; "" = in nothing, or it says nothing (a run that goes on, or was
    killed). whole: look at every byte; else at its length alone."""
    path, records, said = Path(folder) / AUDIT, manifest.get("audit_records"), manifest.get("audit_sha256")
    try:
        size = regular(path, "the audit stream of a run").stat().st_size if path.exists() else -1
    except (OSError, DataError) as why:
        return f"{AUDIT} cannot be read: {why}"
    if records is None and said is None:
        return ""
    if size < 0:
        return f"{AUDIT} is missing, and run.json says {records} records"
    if isinstance(records, int) and size != records * lc.AUDIT_DTYPE.itemsize:
        return f"{AUDIT} holds {size / lc.AUDIT_DTYPE.itemsize:.10g} records, and run.json says {records}"
    if not whole or said is None or (found := digest_of(path)) == said:
        return ""
    return f"{AUDIT} has SHA-256 {found}, and run.json says {said}: its records are not those that the run wrote"


def digest_of(path: Path) -> str:
    """SHA-256 of a file; taken once by a process while the file stays as it is."""
    about = path.stat()
    return _digest(path.absolute(), about.st_ino, about.st_size, about.st_mtime_ns)


@lru_cache(256)
def _digest(path: Path, *_about: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_damaged(folder: str | Path, damage: str, what: str) -> None:
    """DataError where the audit stream of a run that is to be evidence is not what the run wrote. damage: of damage_of."""
    if damage:
        raise DataError(str(folder), damage, f"the records that the run wrote: {what}", RESTORE)


def check_abi(manifest: Mapping[str, Any], where: str | Path) -> None:
    """DataError where the run was made with a struct version that this liqcore does not know. A manifest without one is of this version."""
    abi = manifest.get("abi")
    if abi is not None and not reads_abi(abi):
        raise DataError(
            str(where),
            f"abi {abi!r}: made with a struct version that this liqcore does not know",
            f"at most {lc.abi_version()}",
            f"Read it with the version of liqcore that made it: {manifest.get('version')}",
        )


def current(records: np.ndarray, abi: object) -> np.ndarray:
    """Audit records of a run made with struct version `abi` (None = not known: this one) as this liqcore writes them."""
    return lc.audit.converted(records) if isinstance(abi, int) and abi < AUDIT_ABI else records


@cache
def code_hash() -> str:
    """One fingerprint of the code that decides: every module of liqcore and liqshell as it is installed."""
    digest = hashlib.sha256()
    for package in (lc, sys.modules["liqshell"]):
        root = Path(next(iter(package.__path__)))
        for file in sorted(root.rglob("*")):
            if file.suffix in (".py", ".so", ".pyd", ".toml") and file.is_file():
                digest.update(file.relative_to(root).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()
