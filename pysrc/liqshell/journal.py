"""What a run leaves besides its recording: audit.bin (the raw audit stream) and run.json (what it was, what it counted)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.errors import ConfigError, DataError

AUDIT, MANIFEST, TRUTH, FRAMES = "audit.bin", "run.json", "truth.json", "frames"


class Journal:
    """Writes a run's folder. The folder must be new or empty: two runs in one would be neither."""

    def __init__(self, folder: str | Path, manifest: dict[str, Any]):
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise ConfigError(str(self.folder), "this folder is not empty", "a new folder for the run", "Choose another [run] name or remove it")
            self._audit = open(self.folder / AUDIT, "wb")
        except OSError as why:
            raise ConfigError(str(self.folder), f"cannot be written: {why.strerror or why}", "a folder for the run") from None
        self.manifest = manifest
        self.records = 0
        self._hash = hashlib.sha256()
        self.save()

    def audit(self, records: np.ndarray) -> None:
        """Append records to audit.bin."""
        if len(records):
            data = records.tobytes()
            self._hash.update(data)
            self._audit.write(data)
            self._audit.flush()
            self.records += len(records)

    def save(self, **changes: Any) -> None:
        """Write run.json anew, whole or not at all."""
        self.manifest |= changes
        _write(self.folder, self.manifest)

    def close(self, **changes: Any) -> None:
        self._audit.close()
        self.save(audit_records=self.records, audit_sha256=self._hash.hexdigest(), **changes)


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    temporary = folder / (MANIFEST + ".new")
    temporary.write_text(json.dumps(manifest, indent=1, default=str) + "\n")
    os.replace(temporary, folder / MANIFEST)


def update(folder: str | Path, **changes: Any) -> None:
    """Add to the run.json of a run that has ended."""
    _write(Path(folder), load_manifest(folder) | changes)


def load_manifest(folder: str | Path) -> dict[str, Any]:
    """run.json of a run's folder; DataError where there is none."""
    path = Path(folder) / MANIFEST
    try:
        found = json.loads(path.read_text())
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "the folder of a run") from None
    except ValueError as why:
        raise DataError(str(path), f"not JSON: {why}", "what a run wrote") from None
    if not isinstance(found, dict):
        raise DataError(str(path), "not an object", "what a run wrote")
    return found


def load_audit(folder: str | Path) -> np.ndarray:
    """The audit stream of a run as AUDIT_DTYPE. A torn last record (a killed run) is left out."""
    path = Path(folder) / AUDIT
    try:
        data = path.read_bytes()
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "the audit stream of a run") from None
    return np.frombuffer(data[:len(data) // lc.AUDIT_DTYPE.itemsize * lc.AUDIT_DTYPE.itemsize], lc.AUDIT_DTYPE)
