"""A progress bar for runs: a live line on a terminal, occasional plain lines elsewhere, and nothing in output for a machine."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

import liqcore as lc

if TYPE_CHECKING:
    from rich.console import Console

    from liqshell.live import Session

PLAIN_EVERY_S = 10.0
BAR_WIDTH = 16
COMPILING = "compiles for this machine: up to a minute, the first time only"


class Bar:
    """One line of progress with what is being done now. Bar, percentage and time left come first: a narrow terminal shortens the words."""

    def __init__(self, title: str, quiet: bool = False, console: Console | None = None):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self.title = title
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._plain = not self._console.is_terminal
        self._last_line = time.monotonic()
        text = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.percentage:3.0f}%"),
            TimeRemainingColumn(compact=True),
            text,
            console=self._console,
            transient=True,
            disable=quiet or self._plain,
            expand=True,
        )
        self._task = self._bar.add_task(title, total=1.0)
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._dead(self._bar.start)
        if not self._quiet:
            threading.Thread(target=self._watch_compiler, name="compiler", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._dead(self._bar.stop)

    def _watch_compiler(self) -> None:
        """Numba says when it compiles; it is loaded long after we have begun, if at all."""
        while not self._over.wait(0.1):
            events: Any = sys.modules.get("numba.core.event")
            if events is not None and hasattr(events, "install_listener"):
                compiling: list[object] = []

                def starts(listener: object, event: object, compiling: list[object] = compiling) -> None:
                    if not compiling:
                        compiling.append(event)
                        self._last_line = 0.0  # said at once, also where lines come now and then
                        self.show(COMPILING, None)

                recorder = type("Heard", (events.Listener,), {"on_start": starts, "on_end": lambda listener, event: None})
                with events.install_listener("numba:compile", recorder()):
                    self._over.wait()

    def _dead(self, act: Callable[[], object]) -> None:
        """A terminal that has gone away ends the showing, not what is shown."""
        try:
            act()
        except OSError:
            self._quiet = True

    def show(self, what: str, done: float | None) -> None:
        """done: share of the whole, 0..1; None = as before."""
        if self._quiet:
            return
        text = f"{self.title}: {what}"
        share = self._bar.tasks[0].completed if done is None else done
        if self._plain:
            self._bar.tasks[0].completed = share
            if time.monotonic() - self._last_line >= PLAIN_EVERY_S:
                self._last_line = time.monotonic()
                self._dead(lambda: print(f"{share:4.0%} {text}", file=sys.stderr, flush=True))
            return
        self._dead(lambda: self._bar.update(self._task, completed=share, description=text))


class Progress(Bar):
    """Shows what a Session has done so far."""

    def show_session(self, session: Session, done: float) -> None:
        """Called by the session's housekeeping. done: share of the run, 0..1."""
        if not self._quiet:
            self.show(describe(session), done)


def describe(session: Session) -> str:
    """One line: market time, frames, cascades seen, equity."""
    pipeline = session.pipeline
    if pipeline is None:
        return "connecting"
    now = np.datetime64(session.wire_clock.now_ns(), "ns").astype("datetime64[s]")
    account = pipeline.engine.account
    open_brackets = sum(pipeline.engine.bracket(n)["state"] != lc.BracketState.BRACKET_FLAT for n in range(len(pipeline.instruments)))
    warm = session.warmth.line() if session.warmth is not None else ""
    down = f"  FEED DOWN{': ' + ', '.join(session.down) if len(pipeline.sources) > 1 else ''}"
    suspect = session.suspect
    stopped = f"  LIQUIDATIONS STOPPED: {', '.join(suspect[:3])}{' ...' if len(suspect) > 3 else ''}" if suspect else ""
    halt = pipeline.engine.risk.halted
    halted = f"  ENTRIES HALTED: {session.halted_by or halt.name}" if halt else ""
    return (
        f"{now} UTC  {pipeline.sink.frames:,} frames  {session.signals} signals  {open_brackets} brackets open  "
        f"equity {account.equity:,.2f}{f'  {warm}' if warm else ''}{'' if session.up else down}{stopped}{halted}"
    )
