"""What the state folder of a configuration says: read only, also while a live process uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from liqshell.config import Config
from liqshell.errors import DataError
from liqshell.state.control import CONTROL, Control, Kill
from liqshell.state.image import IMAGE
from liqshell.state.image_file import inspect
from liqshell.state.lock import holder, is_locked
from liqshell.state.sheet import state_folder


@dataclass(frozen=True, slots=True)
class StateFolder:
    """path: of the folder. exists: whether a live run has made it. name: by which our orders are recognised. believed: signed position of each
    contract that the last run held. killed: why and by whom, "" = not. running: who holds the folder, "" = nobody. halted: a latched reason,
    "" = none. fault: what cannot be read."""

    path: str
    name: str
    exists: bool = False
    believed: Mapping[str, float] = field(default_factory=dict)
    killed: str = ""
    running: str = ""
    halted: str = ""
    fault: str = ""


def read_state(config: Config) -> StateFolder:
    """Raises nothing for what may be in the folder."""
    name = config.run.name or "live"
    folder = state_folder(config.run.out, name)
    if not folder.is_dir():
        return StateFolder(str(folder), name)
    fault, killed, halted, believed = "", "", "", {}
    try:
        killed = _killed(folder)
        if (folder / IMAGE).exists():
            found = inspect(folder / IMAGE)
            if found["damaged"]:
                fault = f"{folder / IMAGE}: damaged: {', '.join(found['damaged'])}"
            believed = {trade["symbol"]: float(trade["net"]) for trade in found["trades"] if float(trade["net"])}
            halted = found["halted"].name if found["halted"] else ""
    except (DataError, OSError) as why:
        fault = str(why)
    running = holder(folder) if is_locked(folder) else ""
    return StateFolder(str(folder), name, True, believed, killed, running, halted, fault)


def _killed(folder: Path) -> str:
    if not (folder / CONTROL).exists():              # opening it would make it
        return ""
    control = Control(folder)
    try:
        return f"{control.reason or 'no reason given'}, by {control.by or 'a file'}" if control.kill != Kill.NO else ""
    finally:
        control.close()
