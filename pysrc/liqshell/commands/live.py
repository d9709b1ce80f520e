"""`liqcore live`."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError


def live(
    config: Path,
    /,
    *,
    live_: Annotated[bool, Parameter(name="--live", negative=())] = False,
    out: Path | None = None,
    for_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
) -> int:
    """Run a configuration on a live feed: paper trading. Ctrl-C or SIGTERM ends it in good order, and a report is written.

    Parameters
    ----------
    config
        TOML file; errors name file, key, allowed range and the nearest right name.
    live_
        Trade with real money. Refused in this version: there is no order entry yet.
    out
        New folder for the run; by default [run] out / name-time.
    for_s
        Stop after so many seconds.
    """
    from liqshell.config import load
    from liqshell.live import Session
    from liqshell.report import make_report, print_report
    from liqshell.venue_clock import venue_clock

    if live_:
        raise ConfigError("--live", "this version cannot send orders to a venue", "paper trading (leave --live out)")
    loaded = load(config)
    name = f"{loaded.run.name or config.stem}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    folder = out or Path(loaded.run.out) / name
    clock, labels = asyncio.run(venue_clock(loaded.feed.rest_url))
    run_session(Session(loaded, folder, clock, labels), for_s)
    report = make_report(folder)
    print_report(report.summary)
    print(f"Report: {report.html}")
    return 0


def run_session(session: Any, for_s: float | None) -> None:
    """Until `for_s` has passed, Ctrl-C or SIGTERM."""
    from liqshell.progress import Progress

    async def main(progress: Progress) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, session.stop)
        until = None if for_s is None else session.wire_clock.now_ns() + int(for_s * session.speed * 1e9)
        await session.run(until, lambda s: progress.tell(s, 0.0))

    with Progress("paper") as progress:
        try:
            import uvloop
        except ImportError:
            asyncio.run(main(progress))
        else:
            uvloop.run(main(progress))
