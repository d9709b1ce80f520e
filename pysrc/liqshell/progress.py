"""A progress bar for runs: on a terminal a live line, elsewhere a plain line now and then, and nothing where the output is for a machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

import liqcore as lc

if TYPE_CHECKING:
    from liqshell.live import Session

PLAIN_EVERY_S = 10.0


class Bar:
    """One line of progress with what is being done now."""

    def __init__(self, title: str, quiet: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self.title = title
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._plain = not self._console.is_terminal
        self._said = time.monotonic()
        self._bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"),
                             TimeRemainingColumn(), console=self._console, transient=True, disable=quiet or self._plain)
        self._task = self._bar.add_task(title, total=1.0)

    def __enter__(self) -> Self:
        self._dead(self._bar.start)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._dead(self._bar.stop)

    def _dead(self, act: Callable[[], object]) -> None:
        """A terminal that has gone away ends the showing, not what is shown."""
        try:
            act()
        except OSError:
            self._quiet = True

    def show(self, what: str, done: float) -> None:
        """done: share of the whole, 0..1."""
        if self._quiet:
            return
        text = f"{self.title}: {what}"
        if self._plain:
            if time.monotonic() - self._said >= PLAIN_EVERY_S:
                self._said = time.monotonic()
                self._dead(lambda: print(f"{done:4.0%} {text}", file=sys.stderr, flush=True))
            return
        self._dead(lambda: self._bar.update(self._task, completed=done, description=text))


class Progress(Bar):
    """Shows what a Session has done so far."""

    def tell(self, session: Session, done: float) -> None:
        """Called by the session's housekeeping. done: share of the run, 0..1."""
        if not self._quiet:
            self.show(describe(session), done)


def describe(session: Session) -> str:
    """One line: market time, frames, cascades seen, equity."""
    pipeline = session.pipeline
    if pipeline is None:
        return "connecting"
    moment = np.datetime64(session.wire_clock.now_ns(), "ns").astype("datetime64[s]")
    account = pipeline.engine.account
    open_brackets = sum(pipeline.engine.bracket(n)["state"] != lc.BracketState.BRACKET_FLAT for n in range(len(pipeline.instruments)))
    down = f"  FEED DOWN{': ' + ', '.join(session.down) if len(pipeline.sources) > 1 else ''}"
    return (f"{moment} UTC  {pipeline.sink.frames:,} frames  {session.signals} signals  {open_brackets} brackets open  "
            f"equity {account.equity:,.2f}{'' if session.up else down}")
