"""Errors of code that a user handed in. Whose it is goes with them, so that nobody takes them for a fault of liqcore."""

from contextlib import suppress


def user_error(why: BaseException, owner: str, module: str = "") -> BaseException:
    """The exception, with `owner` as its attribute `liqcore_owner`: what raised ("detector streak, on_event"). The first one stays. An exit becomes a
    RuntimeError: a detector does not end the process. module: of the code; liqcore's own is nobody else's."""
    if isinstance(why, SystemExit):
        exit_, why = why, RuntimeError(f"it called for an exit ({why.code!r})")
        why.__cause__ = exit_
    if isinstance(why, Exception) and not hasattr(why, "liqcore_owner") and module.partition(".")[0] not in ("liqcore", "liqshell"):
        with suppress(AttributeError, TypeError):
            why.liqcore_owner = owner  # type: ignore[attr-defined]
    return why
