"""The control page: 4 KiB of memory shared by the live process, its watchdog and `liqcore kill`, and kept in a file.

A word written by one process is read by the last hop of another at its next order: no message, no event loop, no file system call in between. The
page stays when all processes are gone, so a killed folder stays killed. Its twin, the store and the file KILL hold the same value (switch.py), so the
loss of one of them does not lift a kill.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import mmap
import os
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

from liqshell import private
from liqshell.errors import DataError
from liqshell.input_file import content, opened
from liqshell.state.switch import (
    CONTROL,
    KILL_FILE,
    MAGIC,
    PAGES,
    SIZE,
    SPANS,
    TWIN,
    UNKNOWN,
    VERSION,
    Found,
    Kill,
    Page,
    alone,
    checksum,
    fault,
    kill_of,
    kill_of_page,
    look,
    sealed,
)

_log = logging.getLogger("liqshell.state")


class Life(IntEnum):
    """The live process's state."""

    NONE = 0  # never started, or said goodbye
    STARTING = 1  # before the first heartbeat counts: reconciling may take a while
    RUNNING = 2


class Control:
    """The control page of a state folder and its twin, made if there is none, repaired where they are damaged (`damaged` says what was). DataError
    where the folder cannot be used or the pages are of a version to come (they are left as they are).

    note(action, reason, by, at_ns): writes a row of the store's `kills`; returns why it cannot, "" = it is written. By default at once, where there
    is a store.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / CONTROL
        self.damaged: tuple[str, ...] = ()
        self.repairs = 0  # since it was opened
        self.note: Callable[[str, str, str, int], str] = self._note
        self._maps: dict[str, mmap.mmap] = {}
        self._pages: dict[str, Page] = {}
        self._old: list[tuple[mmap.mmap, Page]] = []  # mapped before a repair: the last hop may still read there
        self._files: dict[str, tuple[int, int]] = {}
        self._known = b""  # the page as it was last whole
        try:
            private.folder(self.path.parent)
            with alone(self.path.parent):
                self._restore(look(self.path.parent))
        except OSError as why:
            self.close()
            raise DataError(str(self.path), f"cannot be opened: {why.strerror}", "a writable folder on a disk with free space") from None
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        """The address handed out is invalid afterwards."""
        maps = [*self._maps.values(), *(one for one, _ in self._old)]
        self._pages, self._maps, self._old = {}, {}, []
        vars(self).pop("_page", None)
        for one in maps:
            one.close()

    # ---- the switch ----

    @property
    def address(self) -> int:
        """Of the 64-bit word that the last hop reads: non-zero = no entry may pass (killed, or held by the watchdog). Valid until close(); after a
        repair (refresh()) another one is the page's."""
        return ctypes.addressof(self._page) + Page.kill.offset

    @property
    def kill(self) -> Kill:
        """The most cautious of both words and of the file KILL. See refresh() for damage that came after the start."""
        word = max(kill_of_page(page) for page in self._pages.values())
        return Kill.KILLED if word == Kill.NO and self.kill_file.exists() else word

    @property
    def kill_file(self) -> Path:
        return self.path.with_name(KILL_FILE)

    def set_kill(self, kill: Kill, reason: str, by: str) -> int:
        """The word first, then the rest: what counts takes effect at once. A flatten is not weakened to a kill. Returns the time of the store's
        row."""
        first = self.kill == Kill.NO or self.by in ("", UNKNOWN)
        for page in self._pages.values():
            page.kill = max(int(kill), page.kill)
        level = kill_of(self._page.kill)
        at_ns = time.time_ns()
        with alone(self.path.parent):
            self._seal(level=int(level), **({"killed_at_ns": at_ns, "reason": _clip(reason, 255), "by": _clip(by, 63)} if first else {}))
            self._leave_file(level)
        if why := self.note("flatten" if kill == Kill.FLATTEN else "kill", reason, by, at_ns):
            _log.warning("%s: the kill is not recorded in the store: %s", self.path.parent, why)
        return at_ns

    def lift(self, by: str = "") -> None:
        """Allow trading again: every part of the switch says so afterwards. The caller has asked a person. DataError, and nothing is lifted, where
        the store cannot be written."""
        if why := self.note("lift", "", by, time.time_ns()):
            raise DataError(str(self.path.parent), f"the lift cannot be recorded in the store: {why}", "a writable store", "Nothing was lifted")
        with alone(self.path.parent):
            self._seal(level=int(Kill.NO), killed_at_ns=0, reason=b"", by=b"")
            self.kill_file.unlink(missing_ok=True)  # before the words, or who looks meanwhile would set them again
            for page in self._pages.values():
                page.kill = Kill.NO
            self.flush()

    @property
    def reason(self) -> str:
        return self._text_of("reason") or ("file KILL" if self.kill_file.exists() else "")

    @property
    def by(self) -> str:
        return self._text_of("by")

    def _text_of(self, field: str) -> str:
        return bytes(getattr(self._page, field)).decode(errors="replace")

    @property
    def killed_at_ns(self) -> int:
        """Wall clock, ns UTC; 0 = not killed, or by the file alone."""
        return self._page.killed_at_ns

    def refresh(self) -> bool:
        """Turn a file KILL into the word, and repair what was damaged, by the most cautious of all that is known; the live process and the watchdog
        look a few times a second. True if the word was not set before. Read `address` again afterwards."""
        was = self._page.kill
        if self._whole():
            if was == Kill.NO and self.kill_file.exists():
                found = look(self.path.parent).claim
                self.set_kill(found.kill, found.reason, found.by)
        else:
            was_at = self.address
            with alone(self.path.parent):
                if not self._whole(1):  # no writer is at work
                    self._restore(look(self.path.parent, self._known), self._known)
                    self.repairs += bool(self.damaged) or self.address != was_at
        return was == Kill.NO and self._page.kill != Kill.NO

    # ---- the two pages ----

    def _whole(self, tries: int = 3) -> bool:
        """Whether both pages are the files of this folder, whole, and say the same."""
        for _ in range(tries):
            raws = {}
            for name, one in self._maps.items():
                try:
                    found = os.stat(self.path.with_name(name))
                except OSError:
                    return False
                if (found.st_ino, found.st_dev, found.st_size) != (*self._files[name], SIZE):
                    return False
                raws[name] = bytes(one)
            level = [page.level for page in self._pages.values()]
            if (
                len(raws) == len(PAGES)
                and not any(map(fault, raws.values()))
                and len({sealed(raw) for raw in raws.values()}) == 1
                and level == [page.kill for page in self._pages.values()]
            ):
                self._known = raws[CONTROL]
                return True
            time.sleep(0.001)  # another process writes it now
        return False

    def _restore(self, found: Found, own: bytes = b"") -> None:
        """Make both pages say what was found, in new files where there are none. own: the page as this process knows it, better than a found one."""
        if found.newer:
            raise DataError(str(self.path), "of a later version", f"version {VERSION}", "Use the version of liqcore that wrote it")
        if found.damaged:
            _log.error(
                "%s: parts of the kill switch are damaged: %s; %s",
                self.path.parent,
                "; ".join(found.damaged),
                f"the most cautious part applies: {found.claim.kill.name}",
            )
        self.damaged = found.damaged
        base = own or max((raw for raw in found.pages.values()), key=lambda raw: kill_of_page(Page.from_buffer_copy(raw)), default=bytes(SIZE))
        page = Page.from_buffer_copy(base)
        page.magic, page.version = MAGIC, VERSION
        claim = found.claim
        page.kill = page.level = int(claim.kill)
        page.killed_at_ns, page.reason, page.by = claim.at_ns, _clip(claim.reason, 255), _clip(claim.by, 63)
        page.checksum = checksum(bytes(page) + bytes(SIZE - ctypes.sizeof(Page)))
        image = bytes(page) + bytes(SIZE - ctypes.sizeof(Page))
        for name in PAGES:
            try:
                self._put(name, image)
            except OSError as why:
                if name == CONTROL:
                    raise
                self.damaged += (f"{TWIN}: cannot be repaired: {why.strerror}",)
        if claim.kill and (found.stored is not None and found.stored.kill < claim.kill):
            self.note("flatten" if claim.kill == Kill.FLATTEN else "kill", claim.reason, claim.by, time.time_ns())
        if claim.kill:
            self._leave_file(claim.kill)
        self._known = image

    def _put(self, name: str, image: bytes) -> None:
        """Map a page with the content of `image`; the other content of an existing page is kept."""
        path = self.path.with_name(name)
        if not path.exists():
            fresh = path.with_name(f".{name}.{os.getpid()}")
            with open(private.descriptor(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                file.write(image)
                file.flush()
                os.fsync(file.fileno())
            os.rename(fresh, path)
        try:
            fd = opened(path, os.O_RDWR)
        except PermissionError:
            os.chmod(path, 0o600)
            fd = opened(path, os.O_RDWR)
        try:
            state = os.fstat(fd)
            mine = name in self._maps and self._files[name] == (state.st_ino, state.st_dev) and state.st_size == SIZE
            if not mine:
                os.ftruncate(fd, 0 if state.st_size > SIZE else state.st_size)
                os.posix_fallocate(fd, 0, SIZE)
                if name in self._maps:
                    self._old.append((self._maps[name], self._pages[name]))
                self._maps[name] = mmap.mmap(fd, SIZE)
                self._pages[name] = Page.from_buffer(self._maps[name])
                if name == CONTROL:
                    self._page = self._pages[name]
                self._files[name] = (state.st_ino, state.st_dev)
        finally:
            os.close(fd)
        one, page = self._maps[name], self._pages[name]
        was = bytes(one)
        if not any(was):
            one[:] = image
        elif fault(was) or sealed(was) != sealed(image):
            for first, end in SPANS:
                one[first:end] = image[first:end]
            page.checksum = Page.from_buffer_copy(image).checksum
        page.kill = Page.from_buffer_copy(image).kill
        if bytes(one) != was:
            one.flush()

    def _seal(self, **changes: Any) -> None:
        """Change fields that the checksum covers, in one page after the other: at any time one of them is whole."""
        for name, page in self._pages.items():
            for field, value in changes.items():
                setattr(page, field, value)
            page.checksum = checksum(bytes(self._maps[name]))
            self._maps[name].flush()
        self._known = bytes(self._maps[CONTROL])

    def _leave_file(self, level: Kill) -> None:
        """The file KILL, for people and as one more part; what cannot be written is no reason to stop."""
        with contextlib.suppress(OSError):
            if not self.kill_file.exists() or level == Kill.FLATTEN and content(self.kill_file)[:7] != b"FLATTEN":
                private.write(self.kill_file, f"{level.name}: lift it with `liqcore kill --lift`; removing this file lifts nothing\n")

    def _note(self, action: str, reason: str, by: str, at_ns: int) -> str:
        from liqshell.state.store import note_kill

        return note_kill(self.path.parent, action, reason, by, "", at_ns=at_ns)

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
        page.entries = page.watchdog = page.rescued_at_ns = page.watchdog_at_ns = 0
        self.beat()
        with alone(self.path.parent):
            self._seal(
                life=Life.STARTING,
                pid=os.getpid(),
                pid_started=process_start(os.getpid()),
                boot=_clip(boot_id(), 63),
                prefix=_clip(prefix, 31),
                patience=patience,
            )

    def beat(self) -> None:
        """I am alive and serve my timers: called by the event loop itself, at least five times a second."""
        self._page.heartbeat_ns = time.monotonic_ns()

    def running(self) -> None:
        """Reconciled: from now on a missing heartbeat counts."""
        with alone(self.path.parent):
            self._seal(life=Life.RUNNING)

    def goodbye(self) -> None:
        """An orderly end: the watchdog ends too and does nothing."""
        with alone(self.path.parent):
            self._seal(life=Life.NONE)

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
        return {
            "kill": self.kill.name,
            "reason": self.reason,
            "by": self.by,
            "killed_at_ns": self.killed_at_ns,
            "watchdog": self.watchdog,
            "life": self.life.name,
            "pid": self.pid,
            "prefix": self.prefix,
            "entries": self.entries,
            "heartbeat_age_s": round((time.monotonic_ns() - self.heartbeat_ns) / 1e9, 3) if self.life else None,
            "rescued_at_ns": self.rescued_at_ns,
        }

    def flush(self) -> None:
        """To the disk: a kill outlives a power cut."""
        for one in self._maps.values():
            one.flush()


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
