"""`liqcore replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def replay(
    run: Path,
    /,
    *,
    as_: Annotated[Literal["live", "backtest"], Parameter(name="--as")] = "live",
    trust_policy: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Run a recorded run again and compare every audit record, byte for byte. Exit status 1 if a record differs.

    Parameters
    ----------
    run
        Folder of a run (it holds run.json, audit.bin and frames/), or of bets on the hourly binary (bets.log and frames/).
    as_
        live: frame by frame through the live path. backtest: as a tape, as in a backtest; the first difference is shown in words.
    trust_policy
        Run the Python file of the policy that the recording names. It runs with your rights: read it first.
    json_
        Print the verdict as one JSON object.
    """
    import liqcore as lc
    from liqshell.binary.run import LINES
    from liqshell.recording import journal
    from liqshell.run.replay import prove

    if (run / LINES).is_file():
        return _bets(run, json_)
    if as_ == "backtest":
        return _as_backtest(run, trust_policy, json_)
    verdict = prove(run, trust=trust_policy)
    if json_:
        print(json.dumps(verdict.as_dict()))
    elif verdict.identical:
        cut = f" (the run was cut off: its recording reaches {verdict.replayed} records)" if verdict.cut else ""
        print(f"identical: {min(verdict.records, verdict.replayed)} audit records{cut}")
    else:
        print(f"DIFFERENT: {verdict.records} records in the run, {verdict.replayed} in the replay, first difference at {verdict.first_difference}")
        if verdict.first_difference is not None and verdict.first_difference < verdict.records:
            record = journal.load_audit(run)[verdict.first_difference]
            print(f"  recorded: {lc.AuditKind(record['kind']).name} at {record['ts']} ns, instrument {record['instrument']}")
    if verdict.damage and not json_:
        print(verdict.damage)
    return 0 if verdict.identical else 1


def _bets(run: Path, as_json: bool) -> int:
    from liqshell.binary.replay import difference
    from liqshell.binary.replay import replay as again

    lines = again(run)[1]
    why = difference(run, lines)
    if as_json:
        print(json.dumps({"identical": not why, "lines": len(lines), "difference": why}))
    else:
        print(f"DIFFERENT: {why}" if why else f"identical: {len(lines)} decisions")
    return 1 if why else 0


def _as_backtest(run: Path, trust: bool, as_json: bool) -> int:
    from liqshell.run.backtest_parity import prove_as_backtest

    found = prove_as_backtest(run, trust=trust)
    verdict = found.verdict
    if as_json:
        print(json.dumps(found.as_dict()))
        return 0 if found.identical else 1
    if found.identical:
        cut = " (the run was cut off: compared as far as both reach)" if verdict.cut else ""
        print(f"identical: {min(verdict.records, verdict.replayed)} audit records{cut}; {found.how}")
    else:
        print(f"DIFFERENT: {verdict.records} records in the run, {verdict.replayed} in the backtest; {found.how}")
        print(found.difference)
    if verdict.damage:
        print(verdict.damage)
    return 0 if found.identical else 1
