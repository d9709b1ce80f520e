"""`liqcore demo`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError
from liqshell.input_file import existing
from liqshell.name_lists import Names


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """The traded preset and the market.

    Parameters
    ----------
    policy
        A preset: see `liqcore presets`. Its numbers are its own.
    judge
        Judge that is asked before each entry: stub = a model and news on loopback, generated like the market.
    scale
        How many times the real market's size the generated one has; by default 1, or what the preset waits for ($5M in 90 s comes at 40).
    funding
        Funding rate of the generated market, a share per eight hours; by default 0.0001, or what the preset waits for.
    long_share
        Share of the generated market's positions that are long; by default 0.55, or what the preset waits for.
    """

    policy: Annotated[str, Parameter(name=("--policy", "--preset"))] = "fade"
    judge: Literal["", "stub"] = ""
    scale: Annotated[float | None, Parameter(validator=Number(gt=0, lte=1000))] = None
    funding: Annotated[float | None, Parameter(validator=Number(gte=-0.005, lte=0.005))] = None
    long_share: Annotated[float | None, Parameter(validator=Number(gt=0, lt=1))] = None


DEFAULT = Options()


def demo(
    *,
    seed: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    speed: Annotated[float, Parameter(validator=Number(gt=0, lte=1000))] = 120.0,
    hours: Annotated[float | None, Parameter(validator=Number(gt=0, lte=240))] = None,
    options: Options = DEFAULT,
    from_: Annotated[tuple[Path, ...], Parameter(name="--from", consume_multiple=True, negative=())] = (),
    paper: Annotated[bool, Parameter(negative=())] = False,
    venues: Names = (),
    out: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run the whole live path on a loopback market: feed, detection, orders, protection, report. No keys, no internet, no money.

    A separate process is the venue: Bybit's websockets and REST on loopback, with a funded test account. This process connects to it as it would to
    the venue, recognises cascades, sends orders, receives fills and writes a report. At the end it replays its own recording; exit status 1 if a
    decision differs.

    Parameters
    ----------
    seed
        Of the generated market; default: 9, or as the preset needs. The first cascade of 9 comes after eleven minutes, 6 s at the default speed.
    speed
        Market seconds in a second. Real latencies are multiplied by it.
    hours
        Market hours to run; default: 2, or as the preset needs.
    from_
        Recordings to trade on instead of a generated market.
    paper
        Trade at the simulated venue of this process instead of the account: such a run can also be compared with a backtest.
    venues
        Further venues with feeds: binance, okx. Their contracts are watched; with --paper they are traded as well.
    out
        New folder for the run; a temporary one if not given.
    json_
        Print the summary as one JSON object instead of the report.
    """
    from liqshell import demo as show
    from liqshell.report import make_report, print_report

    existing(from_, "a recording", "--from")
    folder = out or Path(tempfile.mkdtemp(prefix="liqcore-demo-")) / "run"
    needs = _needs(options.policy)
    plan = show.Plan(
        folder,
        needs.seed if seed is None else seed,
        speed,
        hours or needs.hours,
        tuple(path.resolve() for path in from_),
        preset=options.policy,
        paper=paper,
        scale=needs.scale if options.scale is None else options.scale,
        funding=needs.funding if options.funding is None else options.funding,
        judge=options.judge,
        long_share=needs.long_share if options.long_share is None else options.long_share,
        venues=venues,
    )
    _run(plan, quiet=json_)
    verdict = show.prove(folder)
    report = make_report(folder)
    if json_:
        print(json.dumps(report.figures | {"replay": verdict.as_dict(), "folder": str(folder), "report": str(report.html)}, default=str))
    else:
        print_report(report.summary)
        if not plan.from_ and (plan.scale, plan.funding, plan.long_share) != (1.0, 1e-4, 0.55):
            print(_about_market(plan, needs.why if options == Options(policy=options.policy, judge=options.judge) else ""))
        print(f"Report: {report.html}")
        found = "identical" if verdict.identical else f"DIFFERENT, first at record {verdict.first_difference}"
        print(f"Replay of this run's own recording: {found} ({verdict.records} audit records).")
    return 0 if verdict.identical else 1


def _about_market(plan: Any, why: str) -> str:
    """What the generated market has that a real one does not."""
    return (
        f"The generated market has {plan.scale:g} times the real size, a funding rate of {plan.funding:g} and {plan.long_share:.0%} of its "
        f"positions long{f', because {why}' if why else ''}. The numbers of {plan.preset} are unchanged."
    )


def _needs(policy: str) -> Any:
    """The conditions of a preset; ConfigError for an unknown preset."""
    from liqshell.config.load import presets
    from liqshell.demo import NEEDS, Needs

    known = presets()
    if policy not in known:
        raise ConfigError(f"--policy {policy}", "no preset of this name", f"of {', '.join(known)}", "`liqcore presets` prints them")
    return NEEDS.get(policy, Needs())


def _run(plan: Any, quiet: bool) -> None:
    """Run it under uvloop where there is one, with a progress bar on a terminal or a line now and then elsewhere."""
    from liqshell.demo import run
    from liqshell.progress import Progress

    with Progress("SYNTHETIC market" if not plan.from_ else "recorded market", quiet) as progress:
        main = run(plan, progress.show_session)
        try:
            import uvloop
        except ImportError:
            asyncio.run(main)
        else:
            uvloop.run(main)
