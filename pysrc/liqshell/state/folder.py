"""The content of a configuration's state folder: read only, also while a live process uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from liqshell.config.load import Config
from liqshell.errors import DataError
from liqshell.input_file import odd_there
from liqshell.state.image import IMAGE
from liqshell.state.image_file import inspect
from liqshell.state.lock import LOCK, holder, is_locked
from liqshell.state.sheet import SHEET, state_folder
from liqshell.state.store import STORE, fault_of, halt_reason, set_aside
from liqshell.state.switch import PAGES, Found, Kill, alone, look

# how the files begin that a live run opens; the file KILL kills, whatever it is
FILES = (IMAGE, STORE, LOCK, *PAGES, SHEET, "rescue.", "contracts.json", "watchdog.log")


def odd_file(folder: Path) -> DataError | None:
    """A FIFO, a device, a socket or a folder in the place of a file of a state folder: a start refuses it before it opens any."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(FILES) and (what := odd_there(path)):  # (SQLite takes its side files away while they are looked at)
            return DataError(str(path), what, "", "Look at the account at the venue, then move it out of the folder")
    return None


@dataclass(frozen=True, slots=True)
class Trade:
    """An open trade that the image has: number of its contract among the engine's, tick and lot as exact decimal texts."""

    symbol: str
    number: int
    tick: str
    lot: str


@dataclass(frozen=True, slots=True)
class StateFolder:
    """path: of the folder. exists: whether a live run has made it. name: by which our orders are recognised. believed: signed position of each
    contract held by the last run. entering: contracts with an entry of ours that may still fill or may have filled. killed: why and by whom, "" =
    not. running: the process that holds the folder, "" = none. halted: a latched reason, "" = none. fault: what cannot be read. damaged: parts of the
    kill switch. run: prefix of the orders that the image knows, "" = none. imaged: it has a state image. trades: contracts with an open trade."""

    path: str
    name: str
    exists: bool = False
    believed: Mapping[str, float] = field(default_factory=dict)
    killed: str = ""
    running: str = ""
    halted: str = ""
    fault: str = ""
    damaged: tuple[str, ...] = ()
    entering: frozenset[str] = frozenset()
    run: str = ""
    imaged: bool = True
    trades: tuple[Trade, ...] = ()


def read_state(config: Config, deep: bool = True) -> StateFolder:
    """Raises nothing for what may be in the folder. deep: the store, too, as a start looks at it when it opens it."""
    name = config.run.name or "live"
    folder = state_folder(config.run.out, name)
    if not folder.is_dir():
        return StateFolder(str(folder), name)
    fault, halted, run, believed, entering = "", "", "", {}, frozenset[str]()
    trades: tuple[Trade, ...] = ()
    try:
        with alone(folder):
            switch = look(folder)
        odd = odd_file(folder)
    except OSError as why:
        return StateFolder(str(folder), name, True, fault=f"cannot be read: {why.strerror}")
    try:
        if (folder / IMAGE).exists():
            found = inspect(folder / IMAGE)
            if found["damaged"]:
                fault = f"{folder / IMAGE}: damaged: {', '.join(found['damaged'])}"
            believed = {trade["symbol"]: float(trade["net"]) for trade in found["trades"] if float(trade["net"])}
            entering = frozenset(
                trade["symbol"]
                for trade in found["trades"]
                if any(
                    order["role"] == "entry" and (order["status"] in ("sent", "live") or float(order["executed"]) > float(order["filled"]))
                    for order in trade["orders"]
                )
            )
            trades = tuple(Trade(one["symbol"], one["index"], one["tick"], one["lot"]) for one in found["trades"] if one["state"] != "flat")
            halted = found["halted"].name if found["halted"] else ""
            reason = halt_reason(folder / STORE) if halted else ""
            halted += f" ({reason})" if reason else ""
            run = found["run"]
    except (DataError, OSError) as why:
        fault = str(why)
    fault = fault or (fault_of(folder / STORE) if deep else "")
    if aside := set_aside(folder / IMAGE):
        fault = f"{aside}: a damaged state image, so the state of open trades is lost"
    if odd is not None:
        fault = str(odd)
    running = holder(folder) if is_locked(folder) else ""
    return StateFolder(
        str(folder), name, True, believed, _killed(switch), running, halted, fault, switch.damaged, entering, run, (folder / IMAGE).exists(), trades
    )


def _killed(found: Found) -> str:
    claim = found.claim
    return f"{claim.reason or 'no reason given'}, by {claim.by or 'a file'}" if claim.kill != Kill.NO else ""
