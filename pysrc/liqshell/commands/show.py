"""`liqcore show`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import ConfigError, DataError


def show(
    run: Path,
    /,
    *,
    from_: Annotated[str, Parameter(name="--from")] = "",
    to: str = "",
    symbol: str = "",
    why: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Tell in sentences what happened in a run, or in any minute of it: event, threshold, signal, answer of the policy, risk, order, fill, exit.

    Where audit.bin is not what run.json says of it, that is said first, and the exit status is 2.

    Parameters
    ----------
    run
        The folder of a run: demo, paper, live or backtest.
    from_
        UTC, such as 2026-03-04T13:05 or, of the run's first day, 13:05; from the beginning if not given.
    to
        Likewise, not included; a minute after --from, or the end.
    symbol
        One contract, by its symbol or venue:symbol.
    why
        Also every moment at which a policy wanted no trade, and the liquidations that no detector counts as large.
    json_
        One JSON object a line.
    """
    from liqshell.report.narrative import Line, state_before, story
    from liqshell.report.origin import idle
    from liqshell.report.run import load_run
    from liqshell.report.text import when

    found = load_run(run)
    if symbol and not any(found.is_named(n, symbol) for n in range(len(found.symbols))):
        raise ConfigError(f"--symbol {symbol}", "no contract of this run", f"one of {', '.join(i.key for i in found.instruments)}")
    start = _time("--from", from_, found.started_ns) if from_ else 0
    end = _time("--to", to, found.started_ns) if to else start + 60_000_000_000 if from_ else 1 << 62
    if end <= start:
        raise ConfigError(f"--to {to}", "not after --from", "a later time")
    status, damage = 0, f"{run}: {found.damage}. What is told here may be wrong or incomplete."
    if found.damage:
        print(f"liqcore: {damage}", file=sys.stderr)
        status = DataError.exit_code
    lines = story(found, start, end, symbol, why)
    if json_:
        for line in [*([Line(found.started_ns, -1, "", "DAMAGE", damage)] if found.damage else []), *lines]:
            print(json.dumps(line.as_dict(), ensure_ascii=False))
        return status
    if found.damage:
        print(f"DAMAGED: {damage}")
    if from_:
        print(f"At {when(start)} UTC. " + " ".join(state_before(found, start, symbol)))
    for line in lines:
        print(f"{when(line.ts, date=False)}.{line.ts % 1_000_000_000 // 1_000_000:03d}  {line.symbol or 'all'}  {line.text}")
    if not lines:
        print("There was no decision in this time." + ("" if why else " --why also shows the moments at which a policy wanted no trade."))
        for sentence in idle(found):
            print(sentence)
    return status


def _time(option: str, text: str, first_ns: int) -> int:
    from liqshell.iso import written_ns
    from liqshell.report.text import when

    try:
        return written_ns(f"{when(first_ns)[:10]}T{text}" if len(text) <= 12 and text[2:3] == ":" else text)
    except ValueError:
        raise ConfigError(f"{option} {text}", "not a time", "UTC such as 2026-03-04T13:05 or 13:05:30") from None
