"""`liqcore runs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import ConfigError, DataError
from liqshell.research.run_index import Entry


def runs(
    folder: Path = Path("runs"),
    /,
    *words: str,
    compare: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    delete: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    yes: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """List, search, compare and delete the runs, sweeps and comparisons under a folder.

    Parameters
    ----------
    folder
        Where to look, four folders deep.
    words
        Only those that contain every word, in name, mode, preset, symbols or verdict; or KEY=VALUE of the settings, such as
        policy.take_profit=0.002.
    compare
        Names of two or more: their results with intervals, and the settings in which they differ.
    delete
        Names of those to delete, after a prompt. Counted trials stay counted.
    yes
        Do not ask.
    json_
        Print JSON.
    """
    from liqshell.research import run_index as index

    found = index.index(folder)
    if compare:
        return _compare([index.named(found, name) for name in compare], json_)
    if delete:
        return _delete([index.named(found, name) for name in delete], yes)
    found = index.search(found, words)
    if json_:
        print(json.dumps([entry.as_dict() for entry in found], ensure_ascii=False))
    else:
        for entry in found:
            _print(entry)
        outer = [entry for entry in found if not any(other.folder in entry.folder.parents for other in found)]
        print(f"{len(found)} found, {index.size(sum(entry.bytes for entry in outer))}.")
    return 0 if found or not words else 1


def _print(entry: Entry) -> None:
    from liqshell.report.text import when
    from liqshell.research.run_index import page_of, size

    span = f"{when(entry.started_ns)[:16]} to {when(entry.ended_ns)[:16]}" if entry.started_ns and entry.ended_ns else ""
    symbols = ", ".join(entry.symbols[:3]) + (f" and {len(entry.symbols) - 3} more" if len(entry.symbols) > 3 else "")
    about = entry.what, entry.preset, symbols, span, "SYNTHETIC" if entry.synthetic else "", size(entry.bytes)
    print(f"{entry.name}: {', '.join(filter(None, about))}")
    print(f"    {entry.verdict}")
    if page_of(entry):
        print(f"    {page_of(entry)}")


def _compare(found: Sequence[Entry], json_: bool) -> int:
    from liqshell.research.run_index import beside, damage, differences

    if len(found) < 2:
        raise ConfigError("--compare", "one name", "two or more")
    wrong = damage(found)
    status = DataError.exit_code if wrong else 0
    for name, text in wrong.items():
        print(f"liqcore: {name}: {text}. Its results below may not be those of its records.", file=sys.stderr)
    other, comparison = differences(found), beside(found)
    if json_:
        print(json.dumps({"damage": wrong, "runs": [entry.as_dict() for entry in found], "differ": other, "told": comparison}, ensure_ascii=False))
        return status
    for name, text in wrong.items():
        print(f"DAMAGED: {name}: {text}.")
    print(comparison)
    print("They differ in:" if other else "They do not differ in any setting.")
    for name, values in other.items():
        print(f"    {name}: " + " | ".join(values))
    return status


def _delete(found: Sequence[Entry], yes: bool) -> int:
    from liqshell.research.run_index import delete, size

    for entry in found:
        recorded = "; a recording cannot be repeated" if (entry.folder / "frames").is_dir() else ""
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigError("--delete", "no terminal for the prompt", "--yes")
            if input(f"Delete {entry.name} ({entry.what}, {size(entry.bytes)}{recorded})? [y/N] ").strip().lower() != "y":
                print(f"{entry.name} stays.")
                continue
        delete(entry)
        print(f"Deleted {entry.name} ({size(entry.bytes)}).")
    return 0
