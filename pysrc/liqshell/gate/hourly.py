"""Whether enough paper bets have been settled for the first real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liqshell.binary.desk import SENT, SETTLED
from liqshell.binary.replay import difference, replay, said_by
from liqshell.binary.run import Places
from liqshell.errors import ConfigError, LiqshellError
from liqshell.recording.reader import read
from liqshell.recording.recorder import META

BETS_MIN = 200


def settled_bets(folders: Sequence[Path], rehearsal: bool = False) -> tuple[int, list[str]]:
    """(settled paper bets, one an hour, of recordings whose replay is identical; what does not count and why). A bet that a restart found in its
    state counts where the recording of its making is there, too. rehearsal: emulated markets count."""
    made: set[tuple[int, int, str]] = set()
    settled: set[tuple[int, int, str]] = set()
    left_out = []
    for folder in folders:
        lines: list[dict[str, Any]] = []
        try:
            about: dict[str, Any] = next((json.loads(one.frame) for one in read(folder) if one.stream == META), {})
            desk, lines = replay(folder)
            why = (
                "of real orders"
                if not desk.settings.paper
                else "of an emulated or accelerated market"
                if not rehearsal and (about.get("place") != Places().clob or about.get("speed") != 1.0)
                else difference(folder, lines)
            )
        except (LiqshellError, OSError) as error:
            why = str(error)
        if why:
            left_out.append(f"{folder}: {why}")
            continue
        lines = lines[: len(said_by(folder))]  # what run and replay both say
        for state, found in ((SENT, made), (SETTLED, settled)):
            found |= {(line["hour"], line["made_ns"], line["token"]) for line in lines if line["kind"] == "bet" and line["state"] == state}
    strange = {hour for hour, *_ in settled - made} - {hour for hour, *_ in settled & made}
    if strange:
        left_out.append(f"{len(strange)} settled bets: no folder shows how they were made")
    return len({hour for hour, *_ in settled & made}), left_out


def refuse_early(folders: Sequence[Path], rehearsal: bool = False) -> int:
    """How many there are; ConfigError below 200."""
    count, left_out = settled_bets(folders, rehearsal)
    if count < BETS_MIN:
        raise ConfigError(
            "--paper-runs",
            f"{count} settled paper bets" + (f"; not counted: {'; '.join(left_out)[:600]}" if left_out else ""),
            f"{BETS_MIN} or more",
            "Continue on paper",
        )
    return count
