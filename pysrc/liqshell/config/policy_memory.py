"""The memory of a user's policy is restored after a restart, also if it has no snapshot(): its attributes with plain values."""

from __future__ import annotations

import ast
import logging
from typing import Any

import liqcore as lc
from liqcore.user_state import attributes, set_attributes

_log = logging.getLogger("liqshell.policy")


def remembering(kind: type[lc.Policy]) -> type[lc.Policy]:
    """The class itself where it has snapshot() of its own. Else the same class with one: it keeps the attributes that changed since the policy was
    made and are plain (numbers, text, None, and lists, tuples, sets and dicts of them). Others are lost, which is logged once by name."""
    if kind.snapshot is not lc.Policy.snapshot or kind.restore is not lc.Policy.restore:
        return kind

    class Remembering(kind):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **named)
            self.__made = {name: _text(value) for name, value in attributes(self).items()}
            self.__warned: set[str] = set()

        def snapshot(self) -> bytes:
            kept: dict[str, Any] = {}
            for name, value in sorted(attributes(self).items()):
                text = _text(value)
                if name in (_MADE, _WARNED) or name in self.__made and self.__made[name] == text is not None:
                    continue
                if text is not None:
                    kept[name] = value
                elif name not in self.__made and name not in self.__warned:
                    self.__warned.add(name)
                    _log.warning(
                        "%s.%s is a %s: its content is lost at a restart. Use plain values, or define snapshot() and restore() in the policy",
                        kind.__name__,
                        name,
                        type(value).__name__,
                    )
            return repr(kept).encode() if kept else b""

        def restore(self, data: bytes) -> None:
            try:
                found = ast.literal_eval(data.decode()) if data else {}
                named = {str(name): value for name, value in found.items()}
            except (ValueError, SyntaxError, AttributeError, UnicodeDecodeError, MemoryError, RecursionError) as why:
                raise ValueError(f"{kind.__name__}: not its own snapshot: {why}") from None
            set_attributes(self, named)

    _MADE, _WARNED = "_Remembering__made", "_Remembering__warned"
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(Remembering, name, getattr(kind, name))
    return Remembering


def _text(value: Any) -> str | None:
    """The value as text that gives the same value again; None where it is not plain."""
    text = repr(value)
    try:
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
