"""`liqcore bet`."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError

if TYPE_CHECKING:
    from liqshell.binary.desk import Settings


def bet(
    follow: Path,
    /,
    *,
    url: str = "",
    out: Path | None = None,
    state: Path | None = None,
    equity: Annotated[float, Parameter(validator=Number(gte=1, lte=1e9))] = 1000.0,
    value_min: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.02,
    kelly: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.25,
    cap: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.02,
    day_loss_max: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.05,
    deviations: float = 0.0,
    hours: int = 0,
    for_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    live_: Annotated[bool, Parameter(name="--live", negative=())] = False,
    paper_runs: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())] = (),
    yes_i_accept_real_orders: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Buy the hourly binary when the `reversal` of a run signals: on paper unless --live.

    At most one bet an hour. It buys UP (DOWN with the preset's mirror) if our probability minus the ask minus the fee is above --value-min. The stake
    is a fraction of Kelly's, with
    an upper bound. Everything is recorded in a folder that `liqcore hourly --binary` reads and `liqcore replay` checks.

    Parameters
    ----------
    follow
        Folder of a run of `liqcore live` with the preset reversal, running or not. Only its signals from now on count.
    url
        Another address of the venue, such as `binary` of `liqcore emulate --binary`.
    out
        New folder; by default runs/bet-TIME.
    state
        File that keeps bets, hours and money over restarts; by default runs/bets-paper.json, runs/bets-live.json with --live.
    equity
        pUSD at the very first start.
    value_min
        Least expected value of a share.
    kelly
        Share of Kelly's stake.
    cap
        Largest share of the equity in one bet.
    day_loss_max
        Share of the equity; after such a loss there are no more bets on that UTC day.
    deviations
        Measured correction of the probability, in standard deviations.
    hours
        Number of hours of that measurement; it is not used below 100.
    for_s
        Stop after so many seconds; else Ctrl-C.
    live_
        Real orders. Needs the extra liqcore[binary], LIQCORE_POLYMARKET_KEY and 200 settled paper bets.
    paper_runs
        Folders of paper runs of this command, for --live.
    yes_i_accept_real_orders
        Start without a prompt, for a service.
    """
    from liqshell.binary.desk import Settings

    settings = Settings(
        equity=equity, value_min=value_min, kelly=kelly, cap=cap, day_loss_max=day_loss_max, deviations=deviations, hours=hours, paper=not live_
    )
    if not live_ and (paper_runs or yes_i_accept_real_orders):
        raise ConfigError("--live", "missing", "it only with --paper-runs and --yes-i-accept-real-orders")
    folder = out or Path("runs") / f"bet-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    kept = state or Path("runs") / f"bets-{'live' if live_ else 'paper'}.json"
    found = run_bets(settings, url, folder, state=kept, follow=follow, for_s=for_s, paper_runs=paper_runs, agreed=yes_i_accept_real_orders)
    print(f"{folder}: {found['bets']} bets in {found['markets']} markets, equity {found['equity']:.2f} pUSD, {found['reconnects']} reconnects")
    return 0


def run_bets(
    settings: Settings,
    url: str,
    folder: Path,
    *,
    state: Path | None = None,
    follow: Path | None = None,
    for_s: float | None = None,
    paper_runs: Sequence[Path] = (),
    agreed: bool = False,
) -> dict[str, Any]:
    """Until `for_s` has passed, Ctrl-C or SIGTERM."""
    from liqshell.binary.account import Account
    from liqshell.binary.fires import Follower
    from liqshell.binary.run import BinaryRun, Places
    from liqshell.live.venue_clock import venue_clock

    places = Places.at(url)
    private_key = "" if settings.paper else _may_be_real(url, paper_runs, agreed)
    follower = Follower(follow) if follow is not None else None
    if follower is not None:
        follower.news()  # what has fired before is over

    async def main() -> dict[str, Any]:
        clock, _ = await venue_clock(url) if url else (None, {})
        account: Account | None = None
        try:
            if private_key:
                account = Account(places.clob, private_key, lambda: run.desk.bets, lambda found: run.report(found))
                await account.open()
                print(f"{account.address}: {account.balance:.2f} pUSD at the venue")
            run = BinaryRun(settings, places, folder, state=state, follow=follower, clock=clock, account=account)
            if account is not None and account.balance < run.desk.cash:
                run.release()
                raise ConfigError(
                    "--equity",
                    f"the wallet has {account.balance:.2f} pUSD, the bets need {run.desk.cash:.2f}",
                    "at most the balance of the wallet",
                    "Redeem the winnings, or start with another --equity and --state",
                )
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, run.stop)
            return await run.run(None if for_s is None else run.clock.now_ns() + int(for_s * run.clock.speed * 1e9))
        finally:
            if account is not None:
                await account.close()

    return asyncio.run(main())


def _may_be_real(url: str, paper_runs: Sequence[Path], agreed: bool) -> str:
    """The wallet's key, where everything that real orders need is there; ConfigError else."""
    from liqshell.commands.live import _confirm
    from liqshell.gate.hourly import refuse_early
    from liqshell.transport import is_loopback
    from liqshell.vault import find_token
    from liqshell.venues.polymarket.signing import address_of

    count = refuse_early(paper_runs, rehearsal=bool(url) and is_loopback(url))
    key = find_token("polymarket_key")
    if not key:
        raise ConfigError("LIQCORE_POLYMARKET_KEY", "not set", "the wallet's private key, in the environment or in the keyring as polymarket_key")
    address = address_of(key)
    terms = f"Real orders of {address} at Polymarket, after {count} settled paper bets. liqcore does not check whether you may trade there."
    if not agreed and not (url and is_loopback(url)) and not _confirm(terms, "BET"):
        raise ConfigError("--live", "not confirmed", "BET, or --yes-i-accept-real-orders")
    return key
