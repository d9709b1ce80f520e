"""Classes and functions of a user: whether liqcore can call them, and the owner of an exception they raise."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any


def user_error(why: BaseException, owner: str, module: str = "", *functions: object) -> BaseException:
    """The exception, with its source as attribute `liqcore_owner` ("detector streak, on_event"). The first owner stays. A BaseException that is no
    Exception (an exit) becomes a RuntimeError, so that user code does not end the process; an interrupt does. module: of the code; liqcore's own code
    has no owner. functions: the called function, then other functions of the user. The attribute `liqcore_source` has the file and line that raised,
    or of the first of these functions if liqcore found the error in a return value."""
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
    """The class of an exception and its text, or a note that the text cannot be read."""
    text = text_of(why)
    return f"{type(why).__name__}: {text}" if text else type(why).__name__


def text_of(why: BaseException) -> str:
    """The text of an exception, or a note that it cannot be read. An exit is described."""
    if isinstance(why, SystemExit):
        return f"it called for an exit ({why.code!r})"
    try:
        return str(why)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "(its text cannot be read: __str__ raised)"


def raised_at(why: BaseException) -> str:
    """ "file.py:12, function" of the first frame of the traceback outside of liqcore; "" if there is none."""
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
    """ "file.py:12" of a user's function or method written in Python; "" for any other."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None and not _is_ours(getattr(function, "__module__", "") or "") else ""


def call_problem(function: Callable[..., Any], *names: str) -> str:
    """Why `function` cannot be called with one positional argument for each of these names; "" if it can, or its signature is not known."""
    import inspect  # only needed for code of a user

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
    """The faults of the methods that a user's class overrides. calls: the arguments of each method that liqcore calls, as text. main: its main
    method. It is a fault not to override it if it is required, or if another method has nearly its name."""
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
