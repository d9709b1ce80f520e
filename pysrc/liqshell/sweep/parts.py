"""The finished parts of a sweep on disk: one file per unit of work, written atomically, so that a killed sweep continues.

folder/sweep.json      what is computed (plan) and its fingerprint
folder/parts/N.npy     results of unit N
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from liqshell import private
from liqshell.errors import ConfigError, DataError

PLAN, PARTS = "sweep.json", "parts"


def fingerprint(plan: dict[str, Any]) -> str:
    """Of everything that decides the results."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, default=str).encode()).hexdigest()


class Parts:
    """The finished units of one plan in a folder. A folder of another plan is refused, unless `restart`: then it is emptied first."""

    def __init__(self, folder: str | Path, plan: dict[str, Any], units: int, restart: bool = False):
        self.folder = Path(folder)
        self.units = units
        self.fingerprint = fingerprint(plan)
        try:
            before = self._plan_of_before()
            if before is not None and (restart or before != self.fingerprint):
                if not restart:
                    raise ConfigError(
                        str(self.folder),
                        "holds another sweep (other settings, data or version)",
                        "the same sweep, or a new folder",
                        "Choose another --out, or give --restart to replace it",
                    )
                shutil.rmtree(self.folder / PARTS, ignore_errors=True)
            elif before is None and self.folder.exists() and any(self.folder.iterdir()):
                raise ConfigError(str(self.folder), "not empty, and not a sweep", "a new folder, or one with an unfinished sweep")
            private.folder(self.folder / PARTS)
            for torn in (self.folder / PARTS).glob("*.new"):  # a write that a kill cut short
                torn.unlink()
            _replace(self.folder / PLAN, json.dumps({"fingerprint": self.fingerprint, "units": units, "plan": plan}, default=str).encode())
        except OSError as why:
            raise ConfigError(str(self.folder), f"cannot be written: {why.strerror or why}", "a folder for the sweep") from None

    def _plan_of_before(self) -> str | None:
        try:
            return str(json.loads((self.folder / PLAN).read_text())["fingerprint"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return ""  # something that is not a plan: only --restart may replace it

    def path(self, unit: int) -> Path:
        return self.folder / PARTS / f"{unit:06d}.npy"

    def missing(self) -> list[int]:
        """Units that are still to be computed."""
        return [unit for unit in range(self.units) if not self.path(unit).exists()]

    def save(self, unit: int, rows: np.ndarray) -> None:
        """Keep the results of a unit."""
        target = self.path(unit)
        temporary = target.with_suffix(".new")
        try:
            with private.opened(temporary, "wb") as stream:
                np.save(stream, rows, allow_pickle=False)
            os.replace(temporary, target)
        except OSError as why:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise DataError(
                str(target),
                f"cannot be written: {why.strerror or why}",
                "free space for the results",
                "Finished results are kept: free some space and run the same command again",
            ) from None

    def load(self, unit: int, dtype: np.dtype[Any], rows: int) -> np.ndarray:
        """The results of a unit; DataError names the file where it is damaged."""
        path = self.path(unit)
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as why:
            raise DataError(str(path), f"cannot be read ({why})", "results of this sweep", "Remove the file and run the same command again") from None
        if found.dtype != dtype or found.shape != (rows,):
            raise DataError(str(path), f"{found.shape} of {found.dtype}", f"{rows} rows of results", "Remove the file and run the same command again")
        return found


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(path.suffix + ".new")
    with private.opened(temporary, "wb") as out:
        out.write(data)
    os.replace(temporary, path)
