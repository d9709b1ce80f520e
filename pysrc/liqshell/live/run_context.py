"""The data about a run that its venue side uses."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liqshell.live.patience import Patience
from liqshell.run.feed_listener import WireClock


@dataclass(frozen=True)
class RunContext:
    """folder: of the run. speed: market seconds a second of the wall. patience: for how long a start asks on. stop(): end the run in good order;
    stopping(): whether that was asked for. report(event): one event into the engine, and into the recording in order with the frames."""

    folder: Path
    clock: WireClock
    speed: float
    tls: ssl.SSLContext | None
    patience: Patience
    stop: Callable[[], None]
    stopping: Callable[[], bool]
    report: Callable[[tuple[Any, ...]], None]
