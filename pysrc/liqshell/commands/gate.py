"""`liqcore gate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import ConfigError


def gate(
    *runs: Path,
    against: Annotated[tuple[Path, ...], Parameter(name="--against")] = (),
    replay: bool = True,
    trust_policy: Annotated[bool, Parameter(negative=())] = False,
    rehearsal: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Check whether paper runs, and then live runs, meet the requirements for the next step, and whether live results allow a second contract or
    more size. Exit status 1 unless the gate of the given runs passes; the scale gate does not count.

    Each requirement is measured with its number of cases and its 95 % interval and gets pass, fail, or "not enough data". Writes gate.json and
    gate.html.

    Parameters
    ----------
    runs
        Run folders of `liqcore live`, paper and live ones. The paper gate is filled in from the paper runs, the go-live gate from the live ones.
    against
        Run folders of your own record, of other days (of `liqcore record`, or earlier runs): the rate of cascades is compared with theirs.
    replay
        Replay every run and compare it byte for byte; without it that requirement has no data.
    trust_policy
        Run the Python file of the policy that a recording names. It runs with your rights: read it first.
    rehearsal
        Admit generated and accelerated markets, to see the gate. The page says so.
    out
        Folder for gate.json and gate.html; by default the first run's.
    json_
        Print gate.json instead of the tables.
    """
    from liqshell.gate import evaluate, open_run, print_gate, save
    from liqshell.gate.evaluation import LIVE, PAPER
    from liqshell.gate.evidence import Opened
    from liqshell.recording.journal import refuse_damaged
    from liqshell.run.replay import prove

    if not runs:
        raise ConfigError("gate", "no run folder", "at least one", "Give the folders that `liqcore live` printed")

    def replays(one: Opened) -> tuple[bool, str]:
        verdict = prove(one.run.folder, trust=trust_policy)
        return verdict.identical, verdict.damage or ("" if verdict.identical else f"first difference at record {verdict.first_difference}")

    opened, others = ([open_run(run, rehearsal=rehearsal) for run in some] for some in (runs, against))
    for one in (*opened, *others):
        refuse_damaged(one.run.folder, one.run.damage, "others are no evidence")
    found = evaluate(opened, against=others, prove=replays if replay else None, rehearsal=rehearsal)
    if json_:
        print(json.dumps(found.as_dict()), flush=True)
    else:
        print_gate(found)
    page = save(found, out or runs[0])  # after what was found has been said: replays take their time, and a folder may be read-only
    if not json_:
        print(f"Page: {page}")
    # live runs are judged by the go-live gate, with the paper runs as what they are compared with
    wanted = LIVE if any(one.use == "live" for one in opened) else PAPER
    return 0 if found.verdict(wanted) == "pass" else 1
