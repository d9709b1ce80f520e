"""The server's own temporary files: events of past hours, results of jobs. They are removed with the server, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from liqshell import private

PREFIX = "scratch-"
EARLIER = ("events", "jobs-*")  # what servers of earlier versions left


class Scratch:
    """A folder of its own for each server of a state folder, locked for as long as the process lives; a start removes folders that no process
    holds."""

    def __init__(self, state: Path):
        with _Held(private.folder(state)):  # no other process looks between the creation of a folder and its lock
            for old in state.glob(PREFIX + "*"):
                _remove_dead(old)
            for pattern in EARLIER:
                for old in state.glob(pattern):
                    shutil.rmtree(old, ignore_errors=True)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=state))
            self._held = _Held(self.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._held.close()


class _Held:
    """The lock of a folder: the operating system gives it back at the end of the process."""

    def __init__(self, folder: Path, wait: bool = True):
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _remove_dead(folder: Path) -> None:
    try:
        with _Held(folder, wait=False):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # of a live server, or gone meanwhile
        return
