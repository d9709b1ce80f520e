"""The control page: 4 KiB of memory shared by the live process, its watchdog and `liqcore kill`, and kept in a file.

A word written by one process is read by the last hop of another at its next order: no message, no event loop, no file system call in between. The
page stays when all processes are gone, so a killed folder stays killed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from enum import IntEnum
from pathlib import Path
from typing import Any

from liqshell.errors import DataError

CONTROL, KILL_FILE = "control", "KILL"
SIZE = 4096
MAGIC = 0x31_4C_52_54_4E_4F_43_4C       # "LCONTRL1"


class Kill(IntEnum):
    """The kill word."""

    NO = 0
    KILLED = 1                      # no entries; working entries are cancelled; stops and targets stay
    FLATTEN = 2                     # and positions are closed


class Life(IntEnum):
    """What the live process says of itself."""

    NONE = 0                        # never started, or said goodbye
    STARTING = 1                    # before the first heartbeat counts: reconciling may take a while
    RUNNING = 2


class _Page(ctypes.Structure):
    # kill and watchdog are one aligned 64-bit word for who only asks "may an entry pass?", and two words for the two who write
    _fields_ = [
        ("magic", ctypes.c_int64), ("version", ctypes.c_int64),
        ("kill", ctypes.c_int32), ("watchdog", ctypes.c_int32),
        ("killed_at_ns", ctypes.c_int64), ("reason", ctypes.c_char * 256), ("by", ctypes.c_char * 64),
        ("heartbeat_ns", ctypes.c_int64), ("pid", ctypes.c_int64), ("pid_started", ctypes.c_int64), ("life", ctypes.c_int64),
        ("entries", ctypes.c_int64), ("watchdog_pid", ctypes.c_int64), ("watchdog_at_ns", ctypes.c_int64), ("patience", ctypes.c_double),
        ("prefix", ctypes.c_char * 32), ("boot", ctypes.c_char * 64), ("rescued_at_ns", ctypes.c_int64),
    ]


class Control:
    """The control page of a state folder, made if there is none. DataError where the file is not one (it is left as it is)."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / CONTROL
        self._map = _open(self.path)
        self._page = _Page.from_buffer(self._map)
        if self._page.magic == 0 and self._page.version == 0:
            self._page.version, self._page.magic = 1, MAGIC
        if self._page.magic != MAGIC or self._page.version != 1:
            found = self._page.magic
            self.close()
            raise DataError(str(self.path), f"not a control page of this version (it starts with {found:#x})", "what liqcore wrote",
                            "Look at the account at the venue, then move the file out of the folder")

    def close(self) -> None:
        """The address handed out is invalid afterwards."""
        if self._map is not None:
            del self._page
            self._map.close()
            self._map = None

    # ---- the switch ----

    @property
    def address(self) -> int:
        """Of the 64-bit word that the last hop reads: non-zero = no entry may pass (killed, or held by the watchdog). Valid until close()."""
        return ctypes.addressof(self._page) + _Page.kill.offset

    @property
    def kill(self) -> Kill:
        """KILL in the folder counts as the word does."""
        word = self._page.kill
        if word == 0 and self.kill_file.exists():
            return Kill.KILLED
        return Kill.FLATTEN if word == Kill.FLATTEN else Kill.KILLED if word else Kill.NO

    @property
    def kill_file(self) -> Path:
        return self.path.with_name(KILL_FILE)

    def set_kill(self, kill: Kill, reason: str, by: str) -> None:
        """The word first, then the reason: what counts takes effect at once. A flatten is not weakened to a kill."""
        first = self._page.kill == Kill.NO
        self._page.kill = max(int(kill), self._page.kill)
        if first:
            self._page.killed_at_ns = time.time_ns()
            self._page.reason, self._page.by = _clip(reason, 255), _clip(by, 63)
        self.flush()

    def lift(self) -> None:
        """Allow trading again. The caller has asked a person."""
        self.kill_file.unlink(missing_ok=True)
        self._page.killed_at_ns = 0
        self._page.reason = self._page.by = b""
        self._page.kill = Kill.NO
        self.flush()

    @property
    def reason(self) -> str:
        return bytes(self._page.reason).decode(errors="replace") or ("file KILL" if self.kill_file.exists() else "")

    @property
    def by(self) -> str:
        return bytes(self._page.by).decode(errors="replace")

    @property
    def killed_at_ns(self) -> int:
        """Wall clock, ns UTC; 0 = not killed, or by the file alone."""
        return self._page.killed_at_ns

    def heed_kill_file(self) -> bool:
        """Turn a file KILL into the word; the live process and the watchdog look a few times a second. True if the word was not set before."""
        if self._page.kill == Kill.NO and self.kill_file.exists():
            self.set_kill(Kill.KILLED, "file KILL", "file")
            return True
        return False

    # ---- the watchdog's word ----

    @property
    def watchdog(self) -> bool:
        """The watchdog holds entries back."""
        return self._page.watchdog != 0

    @watchdog.setter
    def watchdog(self, on: bool) -> None:
        self._page.watchdog = 1 if on else 0

    def watched(self, now_ns: int) -> None:
        """The watchdog is here."""
        self._page.watchdog_pid, self._page.watchdog_at_ns = os.getpid(), now_ns

    @property
    def watched_age_s(self) -> float:
        """How long ago the watchdog looked last; inf = never. A live process that is not watched any more starts another one."""
        return (time.monotonic_ns() - self._page.watchdog_at_ns) / 1e9 if self._page.watchdog_at_ns else float("inf")

    # ---- who runs ----

    def begin(self, prefix: str, patience: float = 1.0) -> None:
        """The live process is here. Called once, after the lock is held."""
        page = self._page
        page.life = Life.STARTING
        page.pid, page.pid_started, page.boot = os.getpid(), process_start(os.getpid()), _clip(boot_id(), 63)
        page.prefix, page.patience, page.entries = _clip(prefix, 31), patience, 0
        page.watchdog = 0
        page.rescued_at_ns = page.watchdog_at_ns = 0
        self.beat()

    def beat(self) -> None:
        """I am alive and serve my timers: called by the event loop itself, at least five times a second."""
        self._page.heartbeat_ns = time.monotonic_ns()

    def running(self) -> None:
        """Reconciled: from now on a missing heartbeat counts."""
        self._page.life = Life.RUNNING

    def goodbye(self) -> None:
        """An orderly end: the watchdog ends too and does nothing."""
        self._page.life = Life.NONE
        self.flush()

    @property
    def life(self) -> Life:
        return Life(self._page.life) if self._page.life in (0, 1, 2) else Life.NONE

    @property
    def heartbeat_ns(self) -> int:
        """CLOCK_MONOTONIC of the last beat."""
        return self._page.heartbeat_ns

    @property
    def pid(self) -> int:
        return self._page.pid

    @property
    def prefix(self) -> str:
        return bytes(self._page.prefix).decode(errors="replace")

    @property
    def patience(self) -> float:
        return self._page.patience if self._page.patience > 0.0 else 1.0

    @property
    def entries(self) -> int:
        """Entries sent by this process so far."""
        return self._page.entries

    @entries.setter
    def entries(self, count: int) -> None:
        self._page.entries = count

    @property
    def rescued_at_ns(self) -> int:
        """When a watchdog or `liqcore kill` last acted at the venue without this process, wall clock; 0 = not since it began."""
        return self._page.rescued_at_ns

    def rescued(self) -> None:
        self._page.rescued_at_ns = time.time_ns()

    def process_alive(self) -> bool:
        """Whether the process that called begin() still exists (a zombie, another process of that number or an earlier boot do not count)."""
        page = self._page
        return page.pid > 0 and bytes(page.boot).decode(errors="replace") == boot_id() and process_start(page.pid) == page.pid_started

    def as_dict(self) -> dict[str, Any]:
        """For people and reports."""
        return {"kill": self.kill.name, "reason": self.reason, "by": self.by, "killed_at_ns": self.killed_at_ns, "watchdog": self.watchdog,
                "life": self.life.name, "pid": self.pid, "prefix": self.prefix, "entries": self.entries,
                "heartbeat_age_s": round((time.monotonic_ns() - self.heartbeat_ns) / 1e9, 3) if self.life else None,
                "rescued_at_ns": self.rescued_at_ns}

    def flush(self) -> None:
        """To the disk: a kill outlives a power cut."""
        self._map.flush()


def _open(path: Path) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size not in (0, SIZE):
                raise DataError(str(path), f"{size} bytes", f"a control page of {SIZE}",
                                "Look at the account at the venue, then move the file out of the folder")
            if size == 0:
                os.posix_fallocate(fd, 0, SIZE)
            return mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)
    except OSError as why:
        raise DataError(str(path), f"cannot be opened: {why.strerror}", "a folder that can be written, on a disk with room") from None


def _clip(text: str, most: int) -> bytes:
    return text.encode()[:most].decode(errors="ignore").encode()


def boot_id() -> str:
    """Of the running system; "" where it has none (then a process number alone must do)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_start(pid: int) -> int:
    """A number that tells two processes of one pid apart; -1 = no such process (or one that has ended and waits for its parent)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return -1 if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        if Path("/proc/self/stat").exists():
            return -1
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return -1
    except PermissionError:
        return 0
    return 0
