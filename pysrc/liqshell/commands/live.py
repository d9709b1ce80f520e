"""`liqcore live`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError, of_file


def live(
    config: Path,
    /,
    *,
    live_: Annotated[bool, Parameter(name="--live", negative=())] = False,
    yes_i_accept_real_orders: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
    flatten_on_exit: Annotated[bool, Parameter(negative=())] = False,
    adopt: list[str] | None = None,
    start_patience: Annotated[float, Parameter(validator=Number(gte=0))] = 300.0,
    warm_from: list[Path] | None = None,
    cold: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    for_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
) -> int:
    """Run a configuration on a live feed: paper trading, or with --live real orders. A report is written at the end.

    It begins with the learnt state of earlier runs of its name (docs/operate.md).

    Ctrl-C or SIGTERM ends it in an orderly way: entries are cancelled, positions keep their stops at the venue. SIGUSR1 is the kill switch, SIGHUP
    reads the configuration again and lowers limits.

    Parameters
    ----------
    config
        TOML file; errors name file, key, allowed range and the nearest right name.
    live_
        Send real orders. The configuration must say mode = "live" too, and a person must confirm at the prompt.
    yes_i_accept_real_orders
        Start without the prompt, for a service. Only with --live.
    resume
        Lift a halt of the last run (a loss limit, an alarm).
    flatten_on_exit
        Close positions at market when the run ends, instead of leaving them with their stops.
    adopt
        Take over the position of this contract, which we did not open: places a stop first, then treats it as our trade. SYMBOL, or SYMBOL=PRICE of
        the stop; without a price the tighter of its own and the policy's stop_loss from the mark. May be given several times. Only with --live.
    start_patience
        Seconds for which a start repeats its queries of an unavailable venue. Our open trades are supervised meanwhile.
    warm_from
        Learn from this first, instead of the kept state: the folder of a run, a recording, a store, or a file of market data. May be given several
        times, oldest first.
    cold
        Begin without learnt state. The kept state of the last run is replaced.
    out
        New folder for the run; by default [run] out / name-time.
    for_s
        Stop after so many seconds.
    """
    from liqshell.config.load import load
    from liqshell.live import Session
    from liqshell.live.venue_clock import venue_clock
    from liqshell.report import make_report, print_report
    from liqshell.transport import tls_context

    loaded = load(config)
    _refuse_mixed(loaded, config, live_, yes_i_accept_real_orders or resume or flatten_on_exit or bool(adopt))
    loaded = dataclasses.replace(loaded, run=dataclasses.replace(loaded.run, name=loaded.run.name or config.stem))
    folder = out or Path(loaded.run.out) / f"{loaded.run.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    account = _account(loaded, resume, flatten_on_exit, yes_i_accept_real_orders, adopt or []) if live_ else None
    keeper = _keeper(loaded, warm_from or [], cold)
    clock, labels = asyncio.run(venue_clock(loaded.feed.rest_url, tls_context(loaded.feed.ca, loaded.feed.rest_url)))
    with of_file(config), _reported(folder):
        run_session(Session(loaded, folder, clock, labels, account=account, keeper=keeper, start_patience_s=start_patience), for_s, config)
    report = make_report(folder)
    print_report(report.summary)
    print(f"Report: {report.html}")
    return 0


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """A run that an error ends leaves a report of what was recorded until then, if there is anything; the error is what counts."""
    from liqshell.report import make_report

    try:
        yield
    except Exception:
        with contextlib.suppress(Exception):
            print(f"Report: {make_report(folder).html}")
        raise


def _refuse_mixed(loaded: Any, config: Path, live_: bool, real: bool) -> None:
    """Real orders need the file and the line. real: an option of real runs was given."""
    if live_ != (loaded.run.mode == "live"):
        found = "given, but run.mode is 'paper'" if live_ else "'live', but --live is missing"
        raise ConfigError("--live" if live_ else f"{config}: run.mode", found, "both for real orders, none for paper trading")
    if not live_ and real:
        raise ConfigError("--live", "missing", "it only with --yes-i-accept-real-orders, --resume, --flatten-on-exit and --adopt")


def _keeper(config: Any, warm_from: list[Path], cold: bool) -> Any:
    """With what the run begins, and where it keeps what it learns; None where it does neither."""
    from liqshell.live.learnt_keeper import Keeper
    from liqshell.state.learnt import learnt_file
    from liqshell.warm_up_sources import material_of

    if cold and warm_from:
        raise ConfigError("--cold", "given together with --warm-from", "one of the two")
    if not config.warm.keep:
        if warm_from or config.warm.sources:
            raise ConfigError("[warm] keep", "false, to learn from earlier data", "true", "Leave it out")
        return None
    paths = warm_from or [Path(one) for one in config.warm.sources]
    symbols = [f"{one.venue}:{symbol}" for one in config.all_feeds() for symbol in one.symbols]
    return Keeper(
        config.warm,
        learnt_file(config.run.out, config.run.name),
        name=config.run.name,
        out=Path(config.run.out),
        materials=[material_of(path, symbols) for path in paths],
        first=bool(warm_from),
        cold=cold,
    )


def _account(config: Any, resume: bool, flatten: bool, agreed: bool, adopt: list[str]) -> Any:
    """The account's side, with whatever must be there before anything is connected; what happens to it is logged."""
    from liqshell.live.account import LiveAccount
    from liqshell.live.adoption import adoptions
    from liqshell.live.keys import load_keys
    from liqshell.live.opening import refuse_unsafe
    from liqshell.log import setup
    from liqshell.transport import is_loopback

    refuse_unsafe(config)
    make: Any = LiveAccount
    if config.live.via == "ccxt":
        from liqshell.live.ccxt_account import CcxtAccount, refuse_without_consent

        refuse_without_consent(config)
        make = CcxtAccount
    keys = load_keys(config.feed.environment)
    confirm = None if agreed or is_loopback(config.feed.rest_url) else _confirm
    account = make(config, keys, confirm=confirm, resume=resume, flatten=flatten, adopt=adoptions(adopt))
    setup()
    return account


def _confirm(terms: str, word: str) -> bool:
    """At the prompt. Without a terminal there is nobody to ask."""
    print(terms)
    if not sys.stdin.isatty():
        print("There is no terminal to ask for confirmation. Give --yes-i-accept-real-orders to a service.")
        return False
    try:
        return input(f"Type {word} to send real orders: ").strip() == word
    except EOFError:
        return False


def run_session(session: Any, for_s: float | None, config: Path | None = None) -> None:
    """Until `for_s` has passed, Ctrl-C or SIGTERM."""
    from liqshell.live.limits_reload import LimitsFile
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
        await session.run(until, lambda s: progress.show_session(s, 0.0))

    with Progress("paper" if session.account is None else "LIVE") as progress:
        try:
            import uvloop
        except ImportError:
            asyncio.run(main(progress))
        else:
            uvloop.run(main(progress))
