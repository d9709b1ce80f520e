"""The end of a command: an exit status, one sentence, and the path of a log with the details.

0    done
1    done, and the answer is no: a check failed, something differs, the venue refused or could not be reached
2    wrong use: the command line, the configuration, the files, the folder or the disk that were handed in, or a policy, detector or feature of
     the user's that raises (or a venue's adapter)
70   a fault of liqcore
130  interrupted
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liqcore._version import __version__
from liqcore.user_error import told
from liqshell.errors import LiqshellError

DONE, NO, WRONG_USE, OUR_FAULT, INTERRUPTED = 0, 1, 2, 70, 130
LOGS_MAX = 100
_OF_USER = re.compile(r"liqshell_([a-z]+)_")  # modules that hold policies, detectors, features and venues of the user's (plugins.py)
_PLACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is too large for this disk",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "this disk is read-only",
    errno.ENOENT: "no such file or folder",
    errno.EEXIST: "the file exists",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "a folder, not a file",
    errno.ENOTEMPTY: "this folder is not empty",
    errno.ENAMETOOLONG: "this name is too long",
    errno.ELOOP: "its links form a loop",
    errno.EMFILE: "too many open files (see `ulimit -n`)",
    errno.ENFILE: "too many open files on this machine",
    errno.EIO: "the disk cannot be read or written",
    errno.ENOMEM: "not enough memory",
}
_SQLITE = {
    3: "no permission",
    8: "this disk is read-only",
    10: "the disk cannot be read or written",
    13: "the disk is full",
    14: "a database cannot be opened",
}  # SQLITE_PERM, READONLY, IOERR, FULL, CANTOPEN


def outcome_of(why: BaseException) -> tuple[int, str]:
    """The exit status and the sentence of what ended a command."""
    while isinstance(why, BaseExceptionGroup):
        why = why.exceptions[0]
    if isinstance(why, LiqshellError):
        return why.exit_code, str(why)
    if (user := of_user(why)) is not None:
        others = "".join(f". {note}" for note in getattr(why, "__notes__", ()))
        return WRONG_USE, f"{user[0]}: the {user[1]} raised {_named(why)}{others}. The {user[1]} is yours: repair it there"
    if isinstance(why, MemoryError):
        return WRONG_USE, "not enough memory for this. Take fewer days, contracts or settings"
    if (code := getattr(why, "sqlite_errorcode", 0) & 0xFF) in _SQLITE:
        return WRONG_USE, f"{_SQLITE[code]} ({why})"
    if isinstance(why, OSError):
        number = why.errno or _number_in(str(why))
        if number in _PLACE:
            file = os.fsdecode(why.filename) if isinstance(why.filename, str | bytes | os.PathLike) else ""
            return WRONG_USE, (f"{file}: " if file else "") + _PLACE[number] + ("" if file else f" ({why})")
        if isinstance(why, ConnectionError | TimeoutError):
            return NO, f"the connection ended: {str(why) or type(why).__name__}"
    frames = traceback.extract_tb(why.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return OUR_FAULT, f"a fault of liqcore: {_named(why)}{where}. Please report it with the log"


def _named(why: BaseException) -> str:
    return " ".join(told(why).split())


def _number_in(text: str) -> int:
    """The error number that a library wrote into its message (Arrow does)."""
    found = re.search(r"\[errno (\d+)\]", text, re.I)
    return int(found[1]) if found else 0


def of_user(why: BaseException) -> tuple[str, str] | None:
    """Of an error in the user's code: where (file:line), and what this is (policy, detector, feature, venue). None of another one."""
    if owner := getattr(why, "liqcore_owner", ""):
        return getattr(why, "liqcore_source", owner), owner.partition(" ")[0]
    trace, found = why.__traceback__, None
    while trace is not None:
        if name := _OF_USER.match(str(trace.tb_frame.f_globals.get("__name__", ""))):
            code = trace.tb_frame.f_code
            found = f"{code.co_filename}:{trace.tb_lineno}, {code.co_name}", name[1]
        trace = trace.tb_next
    return found


def log_folder() -> Path:
    """Where logs of commands that failed go: LIQCORE_LOG_DIR, or liqcore/log in the user's state folder."""
    if told := os.environ.get("LIQCORE_LOG_DIR"):
        return Path(told)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "liqcore" / "log"


def write_log(status: int, sentence: str, why: BaseException | None, argv: Sequence[str]) -> str:
    """Leave a log of a command that failed; its path, or why there is none. At most LOGS_MAX are kept."""
    from liqshell.log import redact

    trace = "".join(traceback.format_exception(why)) if why is not None else ""
    text = redact(
        f"time: {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\ncommand: liqcore {' '.join(argv)}\nfolder: {_here()}\n"
        f"versions: liqcore {__version__}, Python {sys.version.split()[0]}, {sys.platform}\nstatus: {status}\n\n{sentence}\n\n{trace}"
    )
    command = re.sub(r"[^a-z0-9-]", "", argv[0].lower())[:20] if argv else ""
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{command or 'liqcore'}-{os.getpid()}.log"
    problem = ""
    for folder in (log_folder, lambda: Path(tempfile.gettempdir()) / f"liqcore-log-{os.getuid()}"):
        try:
            at = folder()
            at.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(at / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8", errors="replace") as out:
                out.write(text)
            for old in sorted(at.glob("*.log"))[:-LOGS_MAX]:
                old.unlink(missing_ok=True)
        except (OSError, RuntimeError) as failed:  # RuntimeError: there is no home
            problem = problem or f"none could be written ({failed})"
        else:
            return str(at / name)
    return problem


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "(gone)"


def print_error(text: str) -> None:
    """A line on stderr, where there is one."""
    from liqshell.log import redact

    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(redact(text), file=sys.stderr, flush=True)


def end(why: BaseException, argv: Sequence[str], debug: bool) -> int:
    """Say how a command ended that did not get to its end; the exit status."""
    status, sentence = outcome_of(why)
    print_error(f"liqcore: {sentence}")
    print_error(f"log: {write_log(status, sentence, why, argv)}" + ("" if debug or status != OUR_FAULT else " (--debug shows the traceback here)"))
    if debug:
        print_error("".join(traceback.format_exception(why)))
    return status


def open_missing_streams() -> None:
    """Where standard input, output or error is closed, the next file would take its number and be written into: /dev/null takes the place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def reader_gone() -> bool:
    """True if standard output has no reader any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False


def abandon_stdout() -> None:
    """Discards the output that a closed stdout can no longer take: the interpreter must not complain again when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def quiet_hooks(argv: Sequence[str]) -> None:
    """Turns Python's stderr output of errors in threads and destructors into one line and a log."""

    def thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            end(args.exc_value, argv, False)

    def unraisable(args: Any) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, BrokenPipeError):
            end(args.exc_value, argv, False)

    threading.excepthook, sys.unraisablehook = thread, unraisable
