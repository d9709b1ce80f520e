"""The policy of a run: one that ships, or a class in a Python file of the user's.

    make_policy("fade", brackets)
    make_policy("folder/my_policy.py:MyPolicy", brackets, digest)      # runs that file's code, with your rights

A class of your own derives from liqcore.Policy. Where it (or a base of it below Policy) defines __init__, that is called as (default, brackets): the
keyword arguments of liqcore.Bracket from [policy], and the same per symbol; with [policy.parameters], as (default, brackets, parameters): those per
symbol too. Else it is made without arguments.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import liqcore as lc
from liqshell.errors import ConfigError
from liqshell.policies import RULES


def is_file(rule: str) -> bool:
    """Whether a rule names a file of the user's and not a policy that ships."""
    return ".py:" in rule


def digest_of(rule: str) -> str:
    """SHA-256 of the file that holds a policy."""
    return hashlib.sha256(_read(rule)[1]).hexdigest()


def make_policy(rule: str, brackets: dict[str, dict[str, Any]], digest: str | None = None, parameters: dict[str, dict[str, Any]] | None = None,
                only: Sequence[str] = ()) -> lc.Policy:
    """The policy of a rule. digest: what the file must be, None = whatever it is now. parameters: the rule's own numbers by symbol. only: symbols
    that it trades, () = all. ConfigError where there is no such policy."""
    default = next(iter(brackets.values()))
    if not is_file(rule):
        if rule not in RULES:
            raise ConfigError("policy rule", f"found {rule!r}", f"one of {', '.join(RULES)}, or 'file.py:Class'")
        shipped = RULES[rule](default, brackets, parameters)
        shipped.symbols = tuple(only)
        return shipped
    path, source = _read(rule)
    name = rule.rpartition(":")[2]
    found = hashlib.sha256(source).hexdigest()
    if digest is not None and found != digest:
        raise ConfigError(str(path), "this file has changed since the run was made", f"SHA-256 {digest}, found {found}", "Restore it to run the same")
    made: Callable[..., lc.Policy] = _class(path, source, name)
    try:
        numbers = [parameters] if any((parameters or {}).values()) else []
        return made(default, brackets, *numbers) if _own_init(made) else made()
    except Exception as why:
        raise ConfigError(rule, f"cannot be made: {type(why).__name__}: {why}{_place(why, path)}",
                          "a class that is made as (default, brackets)") from why


def _read(rule: str) -> tuple[Path, bytes]:
    path = Path(rule.rpartition(":")[0])
    try:
        return path, path.read_bytes()
    except OSError as why:
        raise ConfigError("policy.rule", f"{path} cannot be read: {why.strerror or why}", "a Python file with a policy",
                          "A relative path counts from the folder of the configuration file") from None


def _class(path: Path, source: bytes, name: str) -> type[lc.Policy]:
    """Run the file and take the class out of it."""
    module_name = f"liqshell_policy_{hashlib.sha256(source).hexdigest()[:16]}"
    module = types.ModuleType(module_name)
    module.__file__ = str(path)
    sys.modules[module_name] = module            # dataclasses and pickle look their module up
    try:
        exec(compile(source, str(path), "exec"), vars(module))      # of the bytes that were hashed, not of what the file may hold by now
    except Exception as why:
        raise ConfigError(str(path), f"cannot be run: {type(why).__name__}: {why}{_place(why, path)}", "a Python file with a policy") from why
    made = getattr(module, name, None)
    if not isinstance(made, type) or not issubclass(made, lc.Policy):
        known = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, lc.Policy) and v is not lc.Policy]
        found = "no policy of this name" if made is None else f"a {type(made).__name__}, not a subclass of liqcore.Policy"
        raise ConfigError(f"{path}:{name}", found,
                          f"one of {', '.join(known)}" if known else "a class that derives from liqcore.Policy")
    return made


def _own_init(made: Any) -> bool:
    return any("__init__" in vars(base) for base in made.__mro__[:made.__mro__.index(lc.Policy)])


def _place(why: Exception, path: Path) -> str:
    """Line of the user's file at which it went wrong."""
    lines = [frame.lineno for frame in traceback.extract_tb(why.__traceback__) if frame.filename == str(path)]
    return f" (line {lines[-1]})" if lines else ""
