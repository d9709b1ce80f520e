"""`liqcore replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def replay(run: Path, /, *, json_: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """Run a recorded run again and compare every audit record, byte for byte. Exit status 1 where anything differs.

    Parameters
    ----------
    run
        Folder of a run (it holds run.json, audit.bin and frames/).
    json_
        Print the verdict as one JSON object.
    """
    import liqcore as lc
    from liqshell import journal
    from liqshell.replay import prove

    verdict = prove(run)
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
