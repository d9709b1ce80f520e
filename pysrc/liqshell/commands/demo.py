"""`liqcore demo`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError


def demo(
    *,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 1,
    speed: Annotated[float, Parameter(validator=Number(gt=0, lte=1000))] = 120.0,
    hours: Annotated[float | None, Parameter(validator=Number(gt=0, lte=240))] = None,
    policy: Annotated[str, Parameter(name=("--policy", "--preset"))] = "fade",
    scale: Annotated[float | None, Parameter(validator=Number(gt=0, lte=1000))] = None,
    funding: Annotated[float | None, Parameter(validator=Number(gte=-0.005, lte=0.005))] = None,
    from_: Annotated[tuple[Path, ...], Parameter(name="--from", consume_multiple=True, negative=())] = (),
    paper: Annotated[bool, Parameter(negative=())] = False,
    venues: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    out: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """The whole live path on a loopback market: feed, detection, orders, protection, report. No keys, no internet, no money.

    A process of its own is the venue: Bybit's websockets and REST on loopback, with a funded test account. This process connects to it as it would
    to the venue, recognises cascades, sends orders, hears of fills and writes a report. At the end it replays its own recording; exit status 1 if
    that decided anything differently.

    Parameters
    ----------
    seed
        Of the generated market.
    speed
        Market seconds in a second. Real latencies are multiplied by it.
    hours
        Market hours to run; 2, or what the preset needs.
    policy
        A preset: see `liqcore presets`. Its numbers are its own.
    scale
        How many times the real market's size the generated one has; by default 1, or what the preset waits for ($5M in 90 s comes at 40).
    funding
        Funding rate of the generated market, a share per eight hours; by default 0.0001, or what the preset waits for.
    from_
        Recordings to trade on instead of a generated market.
    paper
        Trade at the simulated venue of this process instead of the account: such a run can be proven as a backtest too.
    venues
        Further venues whose feeds are read, too: binance, okx. Their contracts are watched; with --paper they are traded as well.
    out
        New folder for the run; a temporary one if not given.
    json_
        Print the summary as one JSON object instead of the report.
    """
    from liqshell import demo as show
    from liqshell.config import presets
    from liqshell.report import make_report

    _there(from_)
    folder = out or Path(tempfile.mkdtemp(prefix="liqcore-demo-")) / "run"
    known = presets()
    if policy not in known:
        raise ConfigError(f"--policy {policy}", "no preset of this name", f"of {', '.join(known)}", "`liqcore presets` prints them")
    needs = show.NEEDS.get(policy, show.Needs())
    plan = show.Plan(folder, seed, speed, hours or needs.hours, tuple(path.resolve() for path in from_), preset=policy,
                     scale=needs.scale if scale is None else scale, funding=needs.funding if funding is None else funding, paper=paper,
                     venues=tuple(name for one in venues for name in one.split(",") if name))
    _run(plan, quiet=json_)
    verdict = show.prove(folder)
    report = make_report(folder)
    _tell(folder, verdict, report, json_, _made_how(plan, needs.why if scale is None and funding is None else ""))
    return 0 if verdict.identical else 1


def _there(paths: tuple[Path, ...]) -> None:
    for path in paths:
        if not path.exists():
            raise ConfigError(f"--from {path}", "no such file or folder", "a recording")


def _made_how(plan: Any, why: str) -> str:
    """What a generated market is that is not as large as the real one."""
    if plan.from_ or (plan.scale, plan.funding) == (1.0, 1e-4):
        return ""
    return (f"The market was made with {plan.scale:g} times the real one's size and a funding rate of {plan.funding:g}"
            f"{', because ' + why if why else ''}. "
            f"The numbers of {plan.preset} are unchanged.")


def _tell(folder: Path, verdict: Any, report: Any, json_: bool, how: str) -> None:
    """The summary, and what the replay of the run's own recording said."""
    from liqshell.report import print_report

    if json_:
        print(json.dumps(report.summary | {"replay": verdict.as_dict(), "folder": str(folder), "report": str(report.html)}, default=str))
    else:
        print_report(report.summary)
        if how:
            print(how)
        print(f"Report: {report.html}")
        print(f"Replay of this run's own recording: {'identical' if verdict.identical else 'DIFFERENT'} "
              f"({verdict.records} audit records{'' if verdict.identical else f', first difference at {verdict.first_difference}'}).")


def _run(plan: Any, quiet: bool) -> None:
    """Run it under uvloop where there is one, with a progress bar on a terminal or a line now and then elsewhere."""
    from liqshell.demo import run
    from liqshell.progress import Progress

    with Progress("SYNTHETIC market" if not plan.from_ else "recorded market", quiet) as progress:
        main = run(plan, progress.tell)
        try:
            import uvloop
        except ImportError:
            asyncio.run(main)
        else:
            uvloop.run(main)
