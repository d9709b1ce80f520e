"""Replay of a binary recording: the desk receives the same input in the same order and must write the same lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from liqshell.binary.desk import RULES, SPOT, VENUE, Desk, Settings
from liqshell.binary.run import BINARY, FRAMES, LINES
from liqshell.errors import DataError
from liqshell.recording.reader import Reader, read
from liqshell.recording.recorder import END, GAP, META

See = Callable[[int, Desk], None]
Facts = Callable[[int, dict[str, Any]], None]


def replay(
    folder: str | Path,
    see: See | None = None,
    facts: Facts | None = None,
    damage: list[str] | None = None,
) -> tuple[Desk, list[dict[str, Any]]]:
    """(the desk at the end, its lines). see: called with (receipt, desk) before the desk takes a line: its state until then; facts: with
    (receipt, fire or end of a flush). damage: receives unreadable places; after such a place each value is unknown until it is received again.
    DataError where the folder holds no binary recording."""
    desk: Desk | None = None
    lines: list[dict[str, Any]] = []
    reader, tears = read(folder), 0
    for record in reader:
        if record.stream == META:
            about = json.loads(record.frame)
            if "binary" not in about:
                break
            desk = Desk(Settings(**about["settings"]), about.get("state"))
            continue
        if desk is None:
            break
        if reader.tears != tears:
            tears = reader.tears
            for what in (VENUE, SPOT):
                desk.down(record.ts_recv, what)
        if see is not None:
            see(record.ts_recv, desk)
        if record.stream == BINARY:
            value = json.loads(record.frame)
            if "fire" in value:
                desk.fire(record.ts_recv, value["fire"])
                if facts is not None:
                    facts(record.ts_recv, value["fire"])
            elif "down" in value:
                desk.down(record.ts_recv, value["down"])
            else:
                desk.report(record.ts_recv, value["report"])
        elif record.stream == END:
            desk.advance(record.ts_recv)
        elif record.stream == GAP:
            raise DataError(str(folder), "frames were dropped during the recording", "a whole recording", "It cannot be replayed")
        else:
            desk.frame(record.ts_recv, record.exchange, record.source, record.frame)
        lines += desk.lines
        desk.lines, desk.requests = [], []
    if desk is None:
        raise DataError(str(folder), "no binary recording", "the output of `liqcore record --binary` or `liqcore bet`")
    if damage is not None:
        damage += [*reader.damage_text().splitlines(), *_missing(reader)]
    return desk, lines


def _missing(reader: Reader) -> list[str]:
    """Files that the recording says to have and has not."""
    path = reader.files[0].parent / "manifest.json"
    if not path.exists():
        return []
    files = json.loads(path.read_text()).get("files", {})
    return [f"{path.parent / name}: is missing" for name in sorted(set(files) - {one.name for one in reader.files})]


def said_by(folder: str | Path) -> list[str]:
    """The whole lines of the run's log; a process that was killed may leave half of one."""
    text = (Path(folder) / LINES).read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def difference(folder: str | Path, lines: list[dict[str, Any]]) -> str:
    """The first line at which a replay and the run differ, in words; "" where they are the same. If the run had other rules, the text says so. Inputs
    are recorded before they are answered, so the log of a killed run may end before its recording."""
    found = _difference(folder, lines)
    made: dict[str, Any] = next((json.loads(one.frame) for one in read(folder) if one.stream == META), {}) if found else {}
    if found and made.get("binary") != RULES:
        return (
            f"these bets were decided by rules {made.get('binary')} of another version of liqcore; this one has rules {RULES} and cannot prove "
            "them. Replay them with the version that made them; for real orders bet on paper anew. `liqcore hourly --binary` reads the "
            f"recording ({found})"
        )
    return found


def _difference(folder: str | Path, lines: list[dict[str, Any]]) -> str:
    said = said_by(folder)
    again = [json.dumps(line, sort_keys=True) for line in lines]
    for n, (one, other) in enumerate(zip(said, again, strict=False), 1):
        if one != other:
            return f"line {n}: the run has {one[:200]}, the replay {other[:200]}"
    if len(said) == len(again) or len(said) < len(again) and not _ended(Path(folder) / FRAMES):
        return ""
    return f"the run has {len(said)} lines, the replay {len(again)}"


def _ended(frames: Path) -> bool:
    """Whether the recorder came to its end."""
    try:
        return json.loads((frames / "manifest.json").read_text()).get("closed") is not False
    except (OSError, ValueError, AttributeError):
        return True
