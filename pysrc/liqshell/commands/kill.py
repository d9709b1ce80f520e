"""`liqcore kill`."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from liqshell import private
from liqshell.errors import ConfigError, DataError, LiqshellError


def kill(
    config: Path | None = None,
    /,
    *,
    state: Path | None = None,
    flatten: Annotated[bool, Parameter(negative=())] = False,
    reason: str = "",
    lift: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Stop trading now: no more entries are sent, working entries are cancelled, every position of ours keeps or gets a stop.

    Works with a live process that runs, is stuck or has ended, and without one. The kill lasts over restarts until --lift. Exit status 0: nothing
    remains to be done; 1: something remains, and is printed.

    Parameters
    ----------
    config
        The configuration of the live run. Without it and --state: the only state folder under runs/state.
    state
        The state folder itself, without the configuration.
    flatten
        Also close every position of the configured contracts at market, reduce-only, also foreign ones.
    reason
        Why; kept with the switch.
    lift
        Allow trading again, after a typed confirmation. A running process stays halted until you restart it.
    """
    from liqshell.state.control import CONTROL, Control, Kill

    folder = _folder(config, state)
    if lift:
        return _lift(folder)
    level = Kill.FLATTEN if flatten else Kill.KILLED
    by = f"{_user()}, liqcore kill, pid {os.getpid()}"
    used, switched, at_ns = (folder / CONTROL).exists(), True, 0
    try:
        control = Control(folder)
        at_ns = control.set_kill(level, reason or "liqcore kill", by)
        control.close()
        print(f"{folder}: killed. Entries are blocked until `liqcore kill --lift`.", flush=True)
        _print_damage(folder, control)
    except LiqshellError as why:  # a page that is damaged or not ours to write must not keep us from the rest
        print(f"{why}", file=sys.stderr, flush=True)
        switched = _touch(folder)
    if not used:
        print(
            f"No live run has used {folder.absolute()}. A process started in another folder or with another name continues to trade: give its "
            "state folder with --state.",
            file=sys.stderr,
            flush=True,
        )
    return _act(folder, config, flatten, reason, by, at_ns) or (0 if switched else 1)


def _print_damage(folder: Path, control: Any) -> None:
    for part in control.damaged:
        print(f"{folder}: a part of the kill switch is damaged: {part}", file=sys.stderr, flush=True)


def _touch(folder: Path) -> bool:
    """The file KILL, where the control page cannot be used. False, with a message, if even that fails."""
    try:
        private.folder(folder)
        private.opened(folder / "KILL", "a").close()
    except OSError as why:
        if (folder / "KILL").exists():  # whatever it is, it kills
            return True
        print(
            f"THE SWITCH IS NOT SET: {folder / 'KILL'}: {why.strerror}. A live process continues to trade: end it, or run this command as its user.",
            file=sys.stderr,
            flush=True,
        )
        return False
    return True


def _act(folder: Path, config: Path | None, flatten: bool, reason: str, by: str, at_ns: int) -> int:
    """At the venue, over a connection of our own."""
    from liqshell.live.emergency import Rescue
    from liqshell.live.keys import load_keys
    from liqshell.state.control import Control
    from liqshell.state.store import note_kill

    try:
        sheet = _sheet(folder, config)
        if not sheet.rest:
            raise ConfigError(str(folder), "its orders go through ccxt, and this command supports Bybit only")
        keys = load_keys(sheet.environment)
        rescue = Rescue(folder, sheet, keys, flatten=flatten, log_line=lambda line: print(f"  {line}", flush=True))
    except LiqshellError as why:
        print(f"Nothing was done at the venue: {why}", file=sys.stderr)
        print("A running live process cancels its entries itself. Look at the account at the venue.", file=sys.stderr)
        return 1
    result = rescue.act()
    print(f"After {result.seconds:.2f} s, according to the venue:" if result.reached else "The venue did not answer:")
    for line in result.lines():
        print(f"  {line}")
    note_kill(folder, "flatten" if flatten else "kill", reason, by, "; ".join(result.lines()), lambda line: print(line, file=sys.stderr), at_ns)
    if result.reached:
        with contextlib.suppress(DataError):  # it has been said above
            control = Control(folder)
            control.rescued()
            control.close()
    return 0 if result.clean else 1


def _lift(folder: Path) -> int:
    from liqshell.state.control import Control, Kill

    control = Control(folder)
    _print_damage(folder, control)
    if control.kill == Kill.NO:
        print(f"{folder}: not killed")
        return 0
    print(f"{folder}: killed ({control.kill.name.lower()}): {control.reason or 'no reason given'}; by {control.by or 'the file KILL'}")
    print(f"Type the name of the folder ({folder.name}) to allow trading again: ", end="", flush=True)
    if sys.stdin.readline().strip() != folder.name:
        print("\nNot lifted.")
        return 1
    control.lift(_user())
    control.close()
    print("\nLifted. A running process stays halted until you restart it.")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _run_section(config: Path) -> tuple[str, str]:
    """[run] out and name, read with as little as possible: a fault elsewhere in the file must not stop a kill."""
    import tomllib

    from liqshell import input_file

    try:
        found: Any = tomllib.loads(input_file.content(config).decode()).get("run", {})
        return str(found.get("out", "runs")), str(found.get("name") or config.stem)
    except (OSError, ValueError, AttributeError) as why:
        raise ConfigError(str(config), f"cannot be read: {why}", "the configuration of the live run", "Give its state folder with --state") from None


def _folder(config: Path | None, state: Path | None) -> Path:
    from liqshell.state.control import CONTROL
    from liqshell.state.sheet import state_folder

    if state is not None:
        if not state.is_dir():
            raise ConfigError("--state", f"{state} is not a folder", "the state folder of a live run")
        return state
    if config is not None:
        return state_folder(*_run_section(config))
    found = sorted(path.parent for path in Path("runs/state").glob(f"*/{CONTROL}"))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise ConfigError("kill", f"several state folders under runs/state: {names}", "a configuration, or --state FOLDER")
    return found[0]


def _sheet(folder: Path, config: Path | None) -> Any:
    """The contracts that the live run left; if there was none or it is unreadable, those of the configuration."""
    from liqshell.state.sheet import SHEET, Sheet

    if config is None or (folder / SHEET).exists():
        try:
            return Sheet.load(folder)
        except DataError as why:
            if config is None:
                raise
            print(f"{LiqshellError(why.where, why.found, why.expected)}; {config} is used instead", file=sys.stderr, flush=True)
    from liqshell.config.load import load

    loaded = load(config, files=False)
    rest = loaded.feed.rest_url if loaded.feed.own_account else ""
    return Sheet(rest, loaded.feed.environment, _run_section(config)[1], loaded.feed.named, ca=loaded.feed.ca)
