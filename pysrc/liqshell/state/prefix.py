"""The run prefix: the first part of every client order id, by which our orders are recognised after any loss of state."""

import re
import zlib

NAME_CHARS_MAX, HASH_CHARS = 10, 4
TIME_CHARS = 8  # base 36, milliseconds: enough until 2059
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def short_name(name: str) -> str:
    """The name in the form used in a prefix: letters, digits and underscores, at most 10. A longer one ends in four digits of its own: two runs of
    one account called cascade-fade-eth and cascade-fade-sol must not take each other's orders for theirs."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name) or "run"
    if len(plain) <= NAME_CHARS_MAX:
        return plain
    return plain[: NAME_CHARS_MAX - HASH_CHARS] + _base36(zlib.crc32(name.encode(errors="replace")), HASH_CHARS)


def make_prefix(name: str, created_ns: int) -> str:
    """Prefix of a new state folder: its name and when its image was made. Never the same twice for one name, because a clock that stood still for a
    millisecond between two creations of one folder does not happen."""
    return short_name(name) + _base36(created_ns // 1_000_000, TIME_CHARS)


def _base36(number: int, chars: int) -> str:
    """The last digits of it."""
    digits = ""
    for _ in range(chars):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def is_ours(prefix: str, name: str) -> bool:
    """Whether a prefix was made for this name, by this state folder or by one that was lost."""
    ours = short_name(name)
    return len(prefix) == len(ours) + TIME_CHARS and prefix.startswith(ours) and all(c in _DIGITS for c in prefix[len(ours) :])
