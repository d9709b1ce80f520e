"""`liqcore doctor`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

if TYPE_CHECKING:
    from liqshell.doctor import Check

WIDTH = 130


def doctor(
    config: Path,
    /,
    *,
    live: Annotated[bool, Parameter(name="--live", negative=())] = False,
    offline: Annotated[bool, Parameter(negative=())] = False,
    samples: Annotated[int, Parameter(validator=Number(gte=3, lte=200))] = 10,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Check whether it is safe to start. Queries the configured venue by REST; sends no order and changes nothing. Exit status 1 if a check fails.

    The code of the live start decides the predicted outcome: it begins, it begins with a contract read-only, it waits, it ends.

    Creates the policies, detectors, features and the simulated venue as `live` and `backtest` do. Checks the clock, the network, the key's rights,
    contracts and filters, fees, position mode, leverage, open positions and orders, the disk, and prints the effect of the limits in sentences.
    Keys come from LIQCORE_API_KEY and LIQCORE_API_SECRET, or from the keyring; without them the account is not checked.

    Parameters
    ----------
    config
        TOML file.
    live
        Apply the rules for real orders: problems of the account fail instead of warning.
    offline
        Contact no venue: check construction, disk and limits only.
    samples
        Readings of the venue's clock.
    set_
        section.key=value, instead of the value in the file. May be given several times.
    json_
        One JSON object.
    """
    from liqshell.config.load import load
    from liqshell.doctor import examine, gather
    from liqshell.doctor.checks import FAIL, WARN, config_hash, would
    from liqshell.live.keys import find_keys

    loaded = load(config, set_ or [])
    named = dataclasses.replace(loaded, run=dataclasses.replace(loaded.run, name=loaded.run.name or config.stem))  # as `liqcore live` calls it
    facts = asyncio.run(gather(named, find_keys(loaded.feed.environment), samples=samples, offline=offline))
    real = live or loaded.run.mode == "live"
    checks = examine(loaded, facts, live=real)
    effect, start = would(loaded, facts)
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in (FAIL, WARN)}
    if json_:
        print(
            json.dumps(
                {
                    "venue": facts.rest,
                    "environment": loaded.feed.environment,
                    "emulator": facts.emulator,
                    "live": live,
                    "config": config_hash(loaded),
                    "time": int(time.time()),
                    "start": {"effect": effect.name.lower(), "text": start},
                    "checks": [*map(dataclasses.asdict, checks)],
                    **counts,
                }
            )
        )
    else:
        _show(checks)
        fine = "It may start. Read the warnings." if counts[WARN] else "All checks passed. It may start."
        safe = start if real and not offline else "It is not safe to start." if counts[FAIL] else fine
        print(f"\n{len(checks)} checks, {counts[FAIL]} failed, {counts[WARN]} warnings. {safe}")
    return 1 if counts[FAIL] else 0


def _show(checks: list[Check]) -> None:
    from liqshell.fitted import width
    from liqshell.log import redact

    indent = " " * 24
    for check in checks:
        head = f"{check.verdict:<5} {check.id:<17} "
        for line in redact(check.text).split("\n"):
            print("\n".join(textwrap.wrap(line, width(WIDTH), initial_indent=head, subsequent_indent=indent)))
            head = indent
        if check.action:
            action = redact(f"-> {check.action}.")
            print("\n".join(textwrap.wrap(action, width(WIDTH), initial_indent=indent, subsequent_indent=indent + "   ")))
