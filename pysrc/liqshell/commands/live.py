"""`liqcore live`."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
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
    yes_i_accept_real_orders: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
    flatten_on_exit: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    for_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
) -> int:
    """Run a configuration on a live feed: paper trading, or with --live real orders. A report is written at the end.

    Ctrl-C or SIGTERM ends it in good order: entries are withdrawn, positions keep their stops at the venue. SIGUSR1 is the kill switch, SIGHUP reads
    the configuration again and lowers limits.

    Parameters
    ----------
    config
        TOML file; errors name file, key, allowed range and the nearest right name.
    live_
        Send real orders. The configuration must say mode = "live" too, and a person must confirm at the prompt.
    yes_i_accept_real_orders
        Do not ask at the prompt: for a service that a person has set up. Only with --live.
    resume
        Lift a halt that latched in the run before (a loss limit, an alarm).
    flatten_on_exit
        Close positions at market when the run ends, instead of leaving them with their stops.
    out
        New folder for the run; by default [run] out / name-time.
    for_s
        Stop after so many seconds.
    """
    from liqshell.config import load
    from liqshell.live import Session
    from liqshell.live.rest import tls_context
    from liqshell.log import setup
    from liqshell.report import make_report, print_report
    from liqshell.venue_clock import venue_clock

    loaded = load(config)
    if live_ != (loaded.run.mode == "live"):
        found = "given, but run.mode is 'paper'" if live_ else "'live', but --live is missing"
        raise ConfigError("--live" if live_ else f"{config}: run.mode", found,
                          "both for real orders, none for paper trading")
    if not live_ and (yes_i_accept_real_orders or resume or flatten_on_exit):
        raise ConfigError("--live", "missing", "it beside --yes-i-accept-real-orders, --resume and --flatten-on-exit")
    loaded = dataclasses.replace(loaded, run=dataclasses.replace(loaded.run, name=loaded.run.name or config.stem))
    folder = out or Path(loaded.run.out) / f"{loaded.run.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    account = _account(loaded, resume, flatten_on_exit, yes_i_accept_real_orders) if live_ else None
    if account is not None:
        setup()
    clock, labels = asyncio.run(venue_clock(loaded.feed.rest_url, tls_context(loaded.feed.ca, loaded.feed.rest_url)))
    run_session(Session(loaded, folder, clock, labels, account=account), for_s, config)
    report = make_report(folder)
    print_report(report.summary)
    print(f"Report: {report.html}")
    return 0


def _account(config: Any, resume: bool, flatten: bool, agreed: bool) -> Any:
    """The account's side, with whatever must be there before anything is connected."""
    from liqshell.keys import load_keys
    from liqshell.live.account import LiveAccount
    from liqshell.live.opening import refuse_unsafe
    from liqshell.venue_clock import is_loopback

    refuse_unsafe(config)
    make: Any = LiveAccount
    if config.live.via == "ccxt":
        from liqshell.elsewhere.account import ElsewhereAccount, refuse_without_consent
        refuse_without_consent(config)
        make = ElsewhereAccount
    keys = load_keys(config.feed.environment)
    return make(config, keys, confirm=None if agreed or is_loopback(config.feed.rest_url) else _confirm, resume=resume, flatten=flatten)


def _confirm(terms: str, word: str) -> bool:
    """At the prompt. Without a terminal there is nobody to ask."""
    print(terms)
    if not sys.stdin.isatty():
        print("Nobody can be asked here (no terminal). A service says --yes-i-accept-real-orders.")
        return False
    try:
        return input(f"Type {word} to send real orders: ").strip() == word
    except EOFError:
        return False


def run_session(session: Any, for_s: float | None, config: Path | None = None) -> None:
    """Until `for_s` has passed, Ctrl-C or SIGTERM."""
    from liqshell.limits import LimitsFile
    from liqshell.progress import Progress

    async def main(progress: Progress) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, session.stop)
        if session.account is not None:
            loop.add_signal_handler(signal.SIGUSR1, session.account.kill, "SIGUSR1", "a signal")
            session.account.limits_file = None if config is None else LimitsFile(config)
            loop.add_signal_handler(signal.SIGHUP, session.account.reload)
        until = None if for_s is None else session.wire_clock.now_ns() + int(for_s * session.speed * 1e9)
        await session.run(until, lambda s: progress.tell(s, 0.0))

    with Progress("paper" if session.account is None else "LIVE") as progress:
        try:
            import uvloop
        except ImportError:
            asyncio.run(main(progress))
        else:
            uvloop.run(main(progress))
