"""The watchdog: a process of its own, `python -m liqshell.live.watchdog STATE…`, that acts when the live process cannot.

A heartbeat older than 2 s (times patience): no more entries, until it has been back for 5 s. Older than 10 s, or the process gone without a goodbye:
entries are cancelled at the venue, stops are kept, missing ones placed (liqshell.live.emergency). It ends by itself after a goodbye.

Heartbeats are read on CLOCK_MONOTONIC, which stands still while the machine sleeps, as does the process that beats: waking up is not a missing
heartbeat. Where the watchdog itself stood still (a stopped virtual machine, a debugger), it grants the live process the same time again.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import IO

from liqshell import log, private
from liqshell.errors import LiqshellError
from liqshell.live.emergency import Rescue, Result
from liqshell.live.keys import find_keys
from liqshell.state.control import Control, Life
from liqshell.state.sheet import Sheet
from liqshell.state.store import note_kill

NS = 1_000_000_000
ENTRIES_OFF_S, RESCUE_S, BACK_S = 2.0, 10.0, 5.0
STARTING_FACTOR = 6.0  # a start may be busy with reading and asking for longer
PERIOD_S = 0.1
UNSEEN_S = 60.0  # no process has begun: there is nothing to watch
STOOD_S = 1.0  # a longer pause between two looks is the watchdog's, not the live process's
PAUSE_S = 5.0  # between two watchdogs that end at once
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # between rescues that did not come through
RESCUES_MAX = 200
LOG = "watchdog.log"
_log = logging.getLogger("liqshell.live.watchdog")


class Verdict(IntEnum):
    """The findings of one look."""

    WELL = 0
    ENTRIES_OFF = 1
    RESCUE = 2  # now
    OVER = 3  # nothing more to watch


class Watch:
    """One state folder. Times are given, so that a test can be years long."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.control = Control(folder)
        self.pid = self.control.pid
        self.seen = self.control.life != Life.NONE
        self.rescues = 0
        self.rescued = False  # the venue is as it should be
        self.next_rescue_ns = 0
        self._since_ns = 0  # heartbeats before this do not count against the process
        self._last_ns = 0
        self._slept_ns: int | None = None
        self._back_ns = 0
        self._gone = 0
        self._first_ns = 0
        self._repairs = 0

    def look(self, now_ns: int, boot_ns: int) -> Verdict:
        """now_ns: CLOCK_MONOTONIC; boot_ns: CLOCK_BOOTTIME (the same where there is none), which goes on while the machine sleeps."""
        control = self.control
        control.watched(now_ns)
        self._mind_the_gap(now_ns, boot_ns)
        if control.refresh():
            _log.warning("%s: %s: entries are blocked from now on", self.folder, control.reason or "killed")
        if control.repairs != self._repairs:
            self._repairs, self._since_ns = control.repairs, now_ns  # the last heartbeat may be lost with the page
        if control.life == Life.NONE or control.pid != self.pid:
            self._first_ns = self._first_ns or now_ns
            return Verdict.OVER if self.seen or now_ns - self._first_ns > UNSEEN_S * NS else Verdict.WELL
        self.seen = True
        if not control.process_alive():
            self._gone += 1  # twice in a row: a process number is read from a file system that is not one
            if self._gone >= 2:
                self._off("the live process ended without an orderly stop")
                return self._rescue_due(now_ns)
            return Verdict.WELL
        self._gone = 0
        scale = control.patience * (STARTING_FACTOR if control.life == Life.STARTING else 1.0)
        age_s = (now_ns - max(control.heartbeat_ns, self._since_ns)) / NS
        if age_s > RESCUE_S * scale:
            return self._rescue_due(now_ns)
        if age_s > ENTRIES_OFF_S * scale:
            self._off(f"no heartbeat for {age_s:.1f} s")
            self._back_ns = 0
            return Verdict.ENTRIES_OFF
        if control.watchdog and not self.rescues:
            self._back_ns = self._back_ns or now_ns
            if (now_ns - self._back_ns) / NS > BACK_S * control.patience:
                control.watchdog = False
                _log.warning("%s: the heartbeat has been back for %.0f s: entries are allowed again", self.folder, BACK_S * control.patience)
        return Verdict.WELL

    def done(self, result: Result, now_ns: int) -> None:
        """A rescue has ended."""
        self.rescued = result.clean
        self.next_rescue_ns = now_ns + int(PAUSES_S[min(self.rescues, len(PAUSES_S)) - 1] * NS)
        if result.reached:
            self.control.rescued()

    def _rescue_due(self, now_ns: int) -> Verdict:
        if self.rescued or self.rescues >= RESCUES_MAX:
            # nothing more to do for a process that is gone; one that is stuck may come back and be watched on
            return Verdict.WELL if self.control.process_alive() else Verdict.OVER
        if now_ns < self.next_rescue_ns:
            return Verdict.ENTRIES_OFF
        self._off("the live process does not answer")
        self.rescues += 1
        return Verdict.RESCUE

    def _off(self, why: str) -> None:
        if not self.control.watchdog:
            self.control.watchdog = True
            _log.error("%s: %s: entries are blocked from now on", self.folder, why)

    def _mind_the_gap(self, now_ns: int, boot_ns: int) -> None:
        slept = boot_ns - now_ns
        if self._slept_ns is not None and slept - self._slept_ns > NS:
            _log.error(
                "%s: the machine slept for %.1f s without supervision; stops at the venue stayed in force", self.folder, (slept - self._slept_ns) / NS
            )
            self._since_ns = now_ns
        elif self._last_ns and now_ns - self._last_ns > STOOD_S * NS:
            _log.warning(
                "%s: the watchdog itself did not run for %.1f s; it gives the live process the same time again",
                self.folder,
                (now_ns - self._last_ns) / NS,
            )
            self._since_ns = now_ns
        self._slept_ns, self._last_ns = slept, now_ns


def boottime_ns() -> int:
    """CLOCK_BOOTTIME; CLOCK_MONOTONIC where there is none."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


def rescue(folder: Path, log_line: Callable[[str], None]) -> Result:
    """One rescue with what the folder and the environment give. Never raises for them."""
    try:
        sheet = Sheet.load(folder)
        keys = find_keys(sheet.environment)
        if keys is None:
            log_line(f"no keys for {sheet.environment}: the watchdog cannot act at the venue")
            return Result(remains=["no keys"])
        result = Rescue(folder, sheet, keys, log_line=log_line).act()
    except LiqshellError as why:
        log_line(str(why))
        return Result(remains=[str(why)])
    note_kill(folder, "rescue", "watchdog", "watchdog", "; ".join(result.lines()), log_line)
    return result


def watch(folders: Sequence[str | Path]) -> int:
    """Until every folder is over. Exit status 0: each ended well, or was rescued."""
    watches = [Watch(folder) for folder in folders]
    good = True
    while watches:
        for one in watches[:]:
            verdict = one.look(time.monotonic_ns(), boottime_ns())
            if verdict == Verdict.RESCUE:
                _log.error("%s: rescue number %d starts", one.folder, one.rescues)
                result = rescue(one.folder, lambda line, one=one: _log.warning("%s: %s", one.folder, line))  # type: ignore[misc]
                one.done(result, time.monotonic_ns())
                for line in result.lines():
                    _log.log(logging.ERROR if line.startswith("REMAINS") else logging.WARNING, "%s: %s", one.folder, line)
                one.look(time.monotonic_ns(), boottime_ns())  # the rescue was our own pause
            elif verdict == Verdict.OVER:
                good = good and (one.rescues == 0 or one.rescued)
                _log.info("%s: %s", one.folder, "nothing more to watch" if good else "gives up: a person must look at the account")
                one.control.close()
                watches.remove(one)
        time.sleep(PERIOD_S)
    return 0 if good else 1


def start(folders: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """Start a watchdog for these state folders, after Control.begin() and Sheet.save(): in a session of its own, so that a Ctrl-C meant for the live
    process does not end it before its work; keys come to it as they came to us. Its output goes to watchdog.log in the first folder."""
    path = Path(folders[0]) / LOG
    with _log_file(path) as out:
        return subprocess.Popen(
            [sys.executable, "-m", "liqshell.live.watchdog", *map(str, folders)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


def _log_file(path: Path) -> IO[bytes]:
    """The log of the watchdog; none, with a message, if it cannot be opened: the watchdog runs without a log."""
    try:
        return private.opened(path, "ab")
    except OSError as why:
        _log.error("%s: %s: the log of the watchdog is not written", path, why.strerror)
        return open(os.devnull, "wb")


class Keeper:
    """The watchdog of a live process, kept: one that has ended before its time (killed, out of memory) or looks no more is replaced."""

    def __init__(self, folder: str | Path, control: Control):
        self._folder, self._control = folder, control
        self._process = start([folder])
        self._since = time.monotonic()

    def look(self) -> str:
        """What was wrong with it, another one has been started; "" = nothing. Cheap; ask a few times a second."""
        ended, age_s = self._process.poll() is not None, time.monotonic() - self._since
        if age_s < (PAUSE_S if ended else UNSEEN_S) or not ended and self._control.watched_age_s < UNSEEN_S:
            return ""
        why = f"had ended (status {self._process.returncode})" if ended else f"had not reported for {UNSEEN_S:g} s"
        self._since = time.monotonic()
        self._process.kill()
        self._process.wait()
        try:
            self._process = start([self._folder])
        except OSError as failed:
            return f"{why}, and another one cannot be started: {failed.strerror}"
        return f"{why}; another one was started"

    def end(self) -> None:
        """After a goodbye: it ends by itself, within seconds; or it came up after the goodbye, and would wait."""
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(folders: Sequence[str]) -> int:
    log.setup()
    if not folders:
        print("usage: python -m liqshell.live.watchdog STATE…", file=sys.stderr)
        return 2
    # a signal to the whole group that ends the live process must not end the watchdog before it has seen the outcome
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        for folder in folders:  # registers the keys with the log, and finds a locked keyring while the operator is present
            environment = Sheet.load(folder).environment
            if find_keys(environment) is None:
                _log.error("%s: no keys for %s: the watchdog can block entries, but cannot act at the venue", folder, environment)
        return watch(folders)
    except LiqshellError as why:
        _log.error("%s", why)
        return why.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
