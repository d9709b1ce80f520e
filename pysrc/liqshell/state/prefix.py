"""The run prefix: the first part of every client order id, by which our orders are recognised whatever was lost."""

import re

NAME_CHARS_MAX = 10
TIME_CHARS = 8                      # base 36, milliseconds: enough until 2059
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def short_name(name: str) -> str:
    """The name as it stands in a prefix: letters, digits and underscores, at most 10."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)[:NAME_CHARS_MAX] or "run"


def make_prefix(name: str, created_ns: int) -> str:
    """Prefix of a new state folder: its name and when its image was made. Never the same twice for one name, because a clock that stood still for a
    millisecond between two creations of one folder does not happen."""
    digits, left = "", created_ns // 1_000_000
    for _ in range(TIME_CHARS):
        left, digit = divmod(left, 36)
        digits = _DIGITS[digit] + digits
    return short_name(name) + digits


def is_ours(prefix: str, name: str) -> bool:
    """Whether a prefix was made for this name, by this state folder or by one that was lost."""
    ours = short_name(name)
    return len(prefix) == len(ours) + TIME_CHARS and prefix.startswith(ours) and all(c in _DIGITS for c in prefix[len(ours):])
