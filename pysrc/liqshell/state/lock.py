"""One live process per state folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from liqshell import private
from liqshell.errors import ConfigError
from liqshell.input_file import content, opened

LOCK = "lock"
_PROBES_S = 0.2  # a process that only looks holds the lock for microseconds


class Lock:
    """Held from construction to close(), or to the end of the process however it ends: the operating system gives it back.

    ConfigError, saying who holds it, where another process does. Content that an earlier process left in the file has no meaning.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / LOCK
        try:
            private.folder(self.path.parent)
            self._fd = private.descriptor(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as why:
            raise ConfigError(str(self.path), f"cannot be opened: {why.strerror}", "a writable folder") from None
        until = time.monotonic() + _PROBES_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    held_by = holder(folder)
                    os.close(self._fd)
                    raise ConfigError(
                        str(self.path),
                        f"another live process uses this state folder ({held_by})",
                        "one process per folder",
                        "Stop that one first (Ctrl-C or SIGTERM), or choose another [run] name",
                    ) from None
                time.sleep(0.01)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"pid {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC\n".encode(), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_locked(folder: str | Path) -> bool:
    """Whether a live process holds the folder now."""
    try:
        fd = opened(Path(folder) / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def holder(folder: str | Path) -> str:
    """The lock file's record of the process that holds, or last held, the folder."""
    try:
        return content(Path(folder) / LOCK).decode(errors="replace").strip()[:100] or "unknown"
    except OSError:
        return "unknown"
