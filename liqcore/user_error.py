"""Classes and functions that a user handed in: whether liqcore can call them, and whose an exception of theirs is."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any


def user_error(why: BaseException, owner: str, module: str = "", *functions: object) -> BaseException:
    """The exception, with `owner` as its attribute `liqcore_owner`: what raised ("detector streak, on_event"). The first one stays. What is no
    Exception (an exit) becomes a RuntimeError: user code does not end the process; an interrupt does. module: of the code; liqcore's own is nobody
    else's. functions: what was called, then what else of the user's has a place: that is named where liqcore found the error in an answer. The
    attribute `liqcore_source` says where it was raised, or else where that function stands."""
    if not isinstance(why, Exception | KeyboardInterrupt):
        ended, why = why, RuntimeError(text_of(why) if isinstance(why, SystemExit) else f"it raised {told(why)} (no Exception)")
        why.__cause__, why.__traceback__ = ended, ended.__traceback__
    if isinstance(why, Exception) and not _is_ours(module):
        with suppress(Exception):  # its class may refuse attributes
            if not hasattr(why, "liqcore_owner"):
                place = next((place for function in functions if (place := source_of(function))), "")
                source = raised_at(why) or (f"{place}, {owner}" if place else owner)
                why.liqcore_source, why.liqcore_owner = source, owner  # type: ignore[attr-defined]
    return why


def told(why: BaseException) -> str:
    """The class of an exception and its text; of one whose text cannot be read, that."""
    text = text_of(why)
    return f"{type(why).__name__}: {text}" if text else type(why).__name__


def text_of(why: BaseException) -> str:
    """The text of an exception; of one whose text cannot be read, that. Of an exit, what it is."""
    if isinstance(why, SystemExit):
        return f"it called for an exit ({why.code!r})"
    try:
        return str(why)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "(its text cannot be read: __str__ raised)"


def raised_at(why: BaseException) -> str:
    """ "file.py:12, function" of the first code on its way that is not liqcore's; "" where liqcore alone raised it."""
    trace = why.__traceback__
    while trace is not None:
        if not _is_ours(str(trace.tb_frame.f_globals.get("__name__", ""))):
            code = trace.tb_frame.f_code
            return f"{code.co_filename}:{trace.tb_lineno}, {code.co_name}"
        trace = trace.tb_next
    return ""


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("liqcore", "liqshell")


def source_of(function: object) -> str:
    """ "file.py:12" of a function or method of the user's that is written in Python; "" of another one."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None and not _is_ours(getattr(function, "__module__", "") or "") else ""


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
