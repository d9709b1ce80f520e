"""Classes and functions that a user handed in: whether liqcore can call them, and whose an exception of theirs is."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any


def user_error(why: BaseException, owner: str, module: str = "", function: object = None) -> BaseException:
    """The exception, with `owner` as its attribute `liqcore_owner`: what raised ("detector streak, on_event"). The first one stays. An exit becomes a
    RuntimeError: a detector does not end the process. module: of the code; liqcore's own is nobody else's. function: what was called; where it stands
    is the attribute `liqcore_source`, for an error that liqcore found in its answer."""
    if isinstance(why, SystemExit):
        exit_, why = why, RuntimeError(f"it called for an exit ({why.code!r})")
        why.__cause__ = exit_
    if isinstance(why, Exception) and not hasattr(why, "liqcore_owner") and module.partition(".")[0] not in ("liqcore", "liqshell"):
        with suppress(AttributeError, TypeError):
            why.liqcore_owner = owner  # type: ignore[attr-defined]
            why.liqcore_source = source_of(function)  # type: ignore[attr-defined]
    return why


def source_of(function: object) -> str:
    """ "file.py:12" of a function or method written in Python; "" of another one."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def call_problem(function: Callable[..., Any], *names: str) -> str:
    """Why `function` cannot be called with one positional argument for each of these names; "" where it can, or where it does not tell."""
    import inspect  # nobody needs it who hands in no code

    if not callable(function):
        return f"is a value of type {type(function).__name__}, expected a function"
    if inspect.iscoroutinefunction(function):
        return "is an async function, expected a plain one"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*names)
    except TypeError:
        return f"is defined with the arguments {signature}, expected ({', '.join(names)})"
    return ""


def method_problems(own: type, base: type, calls: Mapping[str, str], main: str, required: bool) -> list[str]:
    """What is wrong with the methods that a class of the user's overrides. calls: the arguments of each method that liqcore calls, as text.
    main: the method that it is made for. Where it is not overridden, that is wrong if it is required, or if another method has nearly its name."""
    import difflib
    import inspect

    out = []
    for name, arguments in calls.items():
        static = inspect.getattr_static(own, name)
        if static is inspect.getattr_static(base, name):
            if name == main:
                near = difflib.get_close_matches(name, [one for one in vars(own) if one not in calls], 1)
                if required or near:
                    out.append(f"{name}({arguments}) is missing" + (f"; {near[0]} is never called" if near else ""))
            continue
        bound = isinstance(static, staticmethod | classmethod)
        if wrong := call_problem(getattr(own, name), *([] if bound else ["self"]), *filter(None, arguments.split(", "))):
            out.append(f"{name} {wrong}" + (f" ({where})" if (where := source_of(getattr(own, name))) else ""))
    return out
