"""Times as text (ISO 8601) to nanoseconds. Python's datetime ends at microseconds, so the fraction of the second is read here. Also local times of a
time zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

_FRACTION = re.compile(r"(.{8,19}:?\d\d)[.,](\d+)(.*)", re.S)
_SHAPE = [(4, "-"), (7, "-"), (13, ":"), (16, ":")]  # of 2024-08-05T00:00:00
_PLACES = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]
_YEARS = b"1971", b"2200"  # numpy turns years beyond 2262 over without a word


def written_ns(text: str, zone: str = "") -> int:
    """A time as text, ns since 1970; without an offset it is that of `zone` (such as +05:30), else UTC. Digits below the ns are cut. ValueError where
    it is none."""
    text = text.strip()
    fraction = 0
    if (cut := _FRACTION.fullmatch(text)) is not None:
        text, fraction = cut[1] + cut[3], int(cut[2][:9].ljust(9, "0"))
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        when = datetime.fromisoformat(when.isoformat() + (zone or "+00:00"))
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + fraction


def wall_clock(ns: int, place: str) -> tuple[int, int, int, int]:
    """(year, month, day, hour) at a place such as America/New_York. KeyError where this machine does not know the place's time."""
    at = datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone(ZoneInfo(place))
    return at.year, at.month, at.day, at.hour


def all_ns(texts: Sequence[str], zone: str = "") -> np.ndarray | None:
    """The same of many at once; None where not all are written 2024-08-05T00:00:00.123456789, with Z or without, all alike."""
    try:
        table = np.array(texts, dtype="S") if len(texts) else np.zeros(0, "S1")
    except UnicodeEncodeError:
        return None
    width = table.dtype.itemsize
    if not len(table) or not 19 <= width <= 30:
        return None
    signs = table.view(np.uint8).reshape(len(table), width)
    zulu = signs == ord("Z")
    stated = zulu.any(axis=1)
    if stated.any():
        if not stated.all():
            return None
        signs = np.where(zulu, 0, signs).astype(np.uint8)
    blank = signs == 0
    if (blank[:, :-1] & ~blank[:, 1:]).any():
        return None
    digit = (signs - ord("0")) < 10  # of bytes: what is below 0 is large
    good = all((signs[:, at] == ord(sign)).all() for at, sign in _SHAPE) and digit[:, _PLACES].all()
    good = good and ((signs[:, 10] == ord("T")) | (signs[:, 10] == ord(" "))).all()
    years = table.astype("S4")
    if not good or (years < _YEARS[0]).any() or (years >= _YEARS[1]).any():
        return None
    if width > 19:
        dot = signs[:, 19] == ord(".")
        if not ((dot | (signs[:, 19] == 0)).all() and (digit[:, 20:] | blank[:, 20:]).all() and digit[dot, 20:21].any(axis=1).all()):
            return None
    try:
        found = signs.view(table.dtype).reshape(-1).astype("M8[ns]").astype(np.int64)
    except ValueError:
        return None
    shift = 0 if stated.any() else written_ns("1971-01-01T00:00:00", zone) - written_ns("1971-01-01T00:00:00")
    return np.asarray(found + shift)
