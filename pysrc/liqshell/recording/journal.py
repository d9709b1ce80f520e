"""What a run leaves besides its recording: audit.bin (the raw audit stream) and run.json (what it was, what it counted)."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell import private
from liqshell.errors import ConfigError, DataError
from liqshell.input_file import regular

PENDING_MAX = 64 << 20  # bytes of records that wait for a disk
_log = logging.getLogger("liqshell.recording.journal")
AUDIT_ABI = 7  # struct version of the first liqcore that writes its audit records as this one does
AUDIT, MANIFEST, TRUTH, FRAMES = "audit.bin", "run.json", "truth.json", "frames"


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
    return current(records, load_manifest(folder).get("abi") if (Path(folder) / MANIFEST).exists() else None)


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
