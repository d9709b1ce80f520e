"""A user's code by name: a class or function in a Python file, or an entry point of an installed package.

    load("folder/mine.py:Streak", DETECTOR, "detectors.mine.kind")        # runs that file's code, with your rights
    load("streak", DETECTOR, "detectors.mine.kind")                       # entry point "streak" of the group liqcore.detectors

What is loaded is known by the SHA-256 of its file and of those beside it that it imports (beside.py): a run writes it down, and a replay refuses
another one. Of an installed package it is that of the one file.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import traceback
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import liqcore as lc
from liqcore.user_error import told
from liqshell import beside
from liqshell.errors import ConfigError

Fits = Callable[[Any], bool]
_log = logging.getLogger("liqshell.plugins")
_LOOKED: set[tuple[str, str]] = set()  # groups and names of which warn_hidden has said what there is to say


@dataclass(frozen=True)
class Sort:
    """One sort of thing that can be named. noun: in messages; group: of entry points, "" = none; fits: whether an object is one; expected: in
    words."""

    noun: str
    group: str
    fits: Fits
    expected: str


def _derives(base: type) -> Fits:
    return lambda found: isinstance(found, type) and issubclass(found, base) and found is not base


POLICY = Sort("policy", "", _derives(lc.Policy), "a class that derives from liqcore.Policy")
DETECTOR = Sort("detector", "liqcore.detectors", _derives(lc.CustomDetector), "a class that derives from liqcore.CustomDetector")

FEATURE = Sort(
    "feature", "liqcore.features", lambda found: callable(found) and hasattr(found, "needs"), "a function that @liqcore.needs(...) has marked"
)

VENUE = Sort(
    "venue",
    "liqcore.venues",
    lambda found: all(hasattr(found, name) for name in ("venue", "environments", "decoder", "plan")),
    "a liqshell.venues.adapter.Adapter",
)


def is_file(name: str) -> bool:
    """Whether a name is that of something in a file of the user's."""
    return ".py:" in name


def names(sort: Sort) -> tuple[str, ...]:
    """What installed packages offer, by name."""
    return tuple(sorted(point.name for point in _points(sort)))


def hidden(sort: Sort, shipped: Iterable[str]) -> list[str]:
    """In a sentence each: what installed packages offer under a name that liqcore ships, so that it is never used."""
    taken = set(shipped)
    return [
        f"entry point {point.name!r} ({point.value}) of the group {sort.group} is not used: liqcore ships a {sort.noun} of this name"
        for point in sorted(_points(sort), key=lambda point: (point.name, point.value))
        if point.name in taken
    ]


def warn_hidden(sort: Sort, name: str) -> None:
    """Say once, when a name that liqcore ships is used, that an installed package offers something by it."""
    if (sort.group, name) not in _LOOKED:
        _LOOKED.add((sort.group, name))
        for text in hidden(sort, (name,)):
            _log.warning("%s", text)


def digest_of(name: str, sort: Sort = POLICY, key: str = "policy.rule") -> str:
    """SHA-256 of the file that holds it, and of those beside it that it imports. ConfigError where there is none."""
    if is_file(name):
        return _read(name, sort, key).sha256
    made = _of_package(name, sort, key)
    found = inspect.getsourcefile(made if inspect.isroutine(made) or isinstance(made, type) else made.decoder)
    return hashlib.sha256(Path(found).read_bytes()).hexdigest() if found else ""


def load(name: str, sort: Sort, key: str, digest: str | None = None) -> Any:
    """What the name stands for. key: where the name was found, for messages. digest: what its file must be, None = whatever it is now. ConfigError
    where the file cannot be read or run, has changed, or has nothing of this name and sort."""
    if not is_file(name):
        made = _of_package(name, sort, key)
        if digest is not None and digest != digest_of(name, sort, key):
            raise ConfigError(
                f"{key} = {name!r}",
                "the installed package has changed since the run",
                f"SHA-256 {digest} of its file",
                "Install the version of the run",
            )
        return made
    code = _read(name, sort, key)
    if digest is not None and code.sha256 != digest:
        changed = f"this file, or one of {', '.join(f'{one}.py' for one in sorted(code.helpers))} beside it," if code.helpers else "this file"
        raise ConfigError(
            str(code.path), f"{changed} has changed since the run", f"SHA-256 {digest}, found {code.sha256}", "Restore the file of the run"
        )
    return _taken(_run(code, sort), code.path, name.rpartition(":")[2], sort)


def _read(name: str, sort: Sort, key: str) -> beside.Code:
    """The file of a name, and what is in it and in those beside it."""
    path = Path(name.rpartition(":")[0])
    try:
        return beside.read(path)
    except OSError as why:
        raise ConfigError(
            key,
            f"{path} cannot be read: {why.strerror or why}",
            f"a Python file with a {sort.noun}",
            "A relative path counts from the folder of the configuration file; on the command line from the working folder",
        ) from None


def fault(why: BaseException, path: str | Path = "") -> str:
    """What code of the user's raised, with its line in that file, for a message: also an exit and what else is no Exception. An interrupt goes on."""
    if isinstance(why, KeyboardInterrupt):
        raise why
    return (f"{type(why).__name__}: {why.msg}" if isinstance(why, SyntaxError) else told(why)) + _place(why, path)


def _place(why: BaseException, path: str | Path) -> str:
    if isinstance(why, SyntaxError) and why.lineno is not None:
        other = f"{Path(why.filename).name}, " if why.filename and why.filename != str(path) else ""
        return f" ({other}line {why.lineno})"
    lines = [frame.lineno for frame in traceback.extract_tb(why.__traceback__) if frame.filename == str(path)]
    return f" (line {lines[-1]})" if lines else ""


def _run(code: beside.Code, sort: Sort) -> types.ModuleType:
    """Run the file, each time anew: what it keeps outside of its classes is not shared."""
    try:
        return beside.run(code, f"liqshell_{sort.noun}_{code.sha256[:16]}")
    except BaseException as why:
        raise ConfigError(
            str(code.path), f"cannot be run: {fault(why, code.path)}", f"a Python file with a {sort.noun}", beside.hint(why, code.path)
        ) from why


def _taken(module: types.ModuleType, path: Path, name: str, sort: Sort) -> Any:
    made = getattr(module, name, None)
    if not sort.fits(made):
        known = [n for n, value in vars(module).items() if sort.fits(value) and getattr(value, "__module__", module.__name__) == module.__name__]
        subclass = sort.expected.replace("class that derives from", "subclass of")
        found = f"no {sort.noun} of this name" if made is None else f"{_kind_of(made)}, not {subclass}"
        raise ConfigError(f"{path}:{name}", found, f"one of {', '.join(known)}" if known else sort.expected)
    return made


def _kind_of(made: object) -> str:
    return "a class" if isinstance(made, type) else f"a value of type {type(made).__name__}"


def _points(sort: Sort) -> list[Any]:
    from importlib.metadata import entry_points  # few runs name one

    return list(entry_points(group=sort.group)) if sort.group else []


def _of_package(name: str, sort: Sort, key: str) -> Any:
    found = [point for point in _points(sort) if point.name == name]
    if not found:
        offered = names(sort)
        raise ConfigError(
            key,
            f"found {name!r}",
            "'file.py:Name'" + (f" or an entry point: {', '.join(map(repr, offered))}" if offered else ""),
            "" if offered or not sort.group else f"No installed package offers an entry point of the group {sort.group}",
        )
    if len(offers := sorted({point.value for point in found})) > 1:
        raise ConfigError(key, f"several installed packages offer {name!r}: {', '.join(offers)}", "one of this name", "Uninstall the others")
    try:
        made = found[0].load()
    except BaseException as why:
        raise ConfigError(key, f"entry point {name!r} ({found[0].value}) cannot be loaded: {fault(why)}", sort.expected) from why
    if not sort.fits(made):
        raise ConfigError(key, f"entry point {name!r} ({found[0].value}) is {_kind_of(made)}", sort.expected)
    return made
