"""The line of each key in a TOML file. The standard parser gives no lines, so it is called once per statement."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

STATEMENT_LINES_MAX = 2000  # a longer value is not looked for: each of its lines costs one attempt


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Path of every key and table -> its line, from 1; text: a TOML file that can be read. Keys that are not found are left out."""
    out: dict[tuple[str, ...], int] = {}
    rows = text.replace("\r\n", "\n").split("\n")
    above: tuple[str, ...] = ()
    at = 0
    while at < len(rows):
        first, found = at, None
        while at < len(rows) and found is None and at - first < STATEMENT_LINES_MAX:
            at += 1
            found = _read("\n".join(rows[first:at]))
        for path, header in _paths(found or {}, rows[first].lstrip().startswith("[")):
            here = path if header else above + path
            for n in range(1, len(here) + 1):
                out.setdefault(here[:n], first + 1)
            if header:
                out[here] = first + 1
                above = here
    return out


def _read(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _paths(found: Mapping[str, Any], header: bool) -> list[tuple[tuple[str, ...], bool]]:
    """The keys that one statement sets, with those inside a table on the line; of a header, the table's own."""
    out: list[tuple[tuple[str, ...], bool]] = []
    for key, value in found.items():
        inner = value[0] if header and isinstance(value, list) else value
        deeper = _paths(inner, header) if isinstance(inner, Mapping) else []
        out += [((key, *path), header) for path, _ in deeper] if deeper else [((key,), header)]
    return out


def line_of(lines: Mapping[tuple[str, ...], int], path: str) -> int:
    """The line of a path such as policy.symbols.ETHUSDT.preset, or of the nearest table around it; 0 if none of it is in the file."""
    parts = tuple(path.split("."))
    for n in range(len(parts), 0, -1):
        if parts[:n] in lines:
            return lines[parts[:n]]
    return 0
