"""The policy of a run: a built-in one, or a class in a user's Python file.

    make_policy("fade", brackets)
    make_policy("folder/my_policy.py:MyPolicy", brackets, digest)      # runs that file's code, with your rights

A class of your own derives from liqcore.Policy. Where it (or a base of it below Policy) defines __init__, that is called as (default, brackets): the
keyword arguments of liqcore.Bracket from [policy], and the same per symbol; with [policy.parameters], as (default, brackets, parameters): those per
symbol too. Else it is made without arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import liqcore as lc
from liqcore.user_error import method_problems
from liqshell.config.policy_memory import remembering
from liqshell.errors import ConfigError
from liqshell.plugins import POLICY, fault, is_file, load
from liqshell.policies import RULES

#: what the engine calls, with the arguments behind self
CALLS = {"on_signal": "signal, market", "question": "signal, market", "snapshot": "", "restore": "data"}


def make_policy(
    rule: str,
    brackets: dict[str, dict[str, Any]],
    digest: str | None = None,
    parameters: dict[str, dict[str, Any]] | None = None,
    only: Sequence[str] = (),
) -> lc.Policy:
    """The policy of a rule. digest: what the file must be, None = whatever it is now. parameters: the rule's own numbers by symbol. only: symbols
    that it trades, () = all. ConfigError where there is no such policy."""
    default = next(iter(brackets.values()))
    if not is_file(rule):
        if rule not in RULES:
            raise ConfigError("policy rule", f"found {rule!r}", f"one of {', '.join(RULES)}, or 'file.py:Class'")
        shipped = RULES[rule](default, brackets, parameters)
        shipped.symbols = tuple(only)
        return shipped
    own = load(rule, POLICY, "policy.rule", digest)
    below = own.__mro__[: own.__mro__.index(lc.Policy)]
    compiled = any("__pyx_vtable__" in vars(base) for base in below)  # one in Cython answers by on_signal_c
    if wrong := method_problems(own, lc.Policy, CALLS, "on_signal", not compiled):
        raise ConfigError(rule, "; ".join(wrong), "the methods of liqcore.Policy, with its arguments")
    made: Callable[..., lc.Policy] = remembering(own)
    given: list[Any] = [default, brackets]
    if any((parameters or {}).values()):
        given.append(parameters)
    wanted = f"({', '.join(('default', 'brackets', 'parameters')[: len(given)])})"
    initialised = any("__init__" in vars(base) for base in below)
    if len(given) > 2 and not initialised:
        raise ConfigError(
            "policy.parameters", f"{rule} has no __init__ that receives them", f"__init__(self, {wanted[1:]}, or no [policy.parameters]"
        )
    try:
        return made(*given) if initialised else made()
    except BaseException as why:
        raise ConfigError(rule, f"cannot be made: {fault(why, rule.rpartition(':')[0])}", f"a class that is made as {wanted}") from why
