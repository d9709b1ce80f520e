"""The feeds of a run from its settings, with the user's own venues that they name."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from liqshell import plugins
from liqshell.errors import ConfigError, DataError
from liqshell.venues.adapters import OPTION, OWN_VENUES, VENUE_NAME, OwnVenue, is_known, use_venue

_log = logging.getLogger("liqshell.venues")
_CHANGED: set[tuple[str, str]] = set()  # venues and digests of which it was said that they are not those of a recording


class NoConsent(ConfigError, DataError):
    """Nobody has named the user's code that decodes a recording: a matter of the command line for who types it, of the data for who serves them."""


def recorded_feeds(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The feeds of recorded settings; a run from before there were several has one."""
    instruments = values["instruments"]
    found: list[dict[str, Any]] = values.get("feeds") or [
        {"venue": instruments[0].get("venue") or "bybit", "first": 0, "count": len(instruments), "gap_ns": values["gap_ns"], "watched": False}
    ]
    return found


def use_venues(values: Mapping[str, Any], where: str | Path, *, trust: bool = False) -> list[dict[str, Any]]:
    """The feeds, when the venues of the user's among them are known to this process (use_recorded). where: what has these settings, for
    messages."""
    feeds = recorded_feeds(values)
    if not isinstance(feeds, list) or not all(isinstance(spec, dict) for spec in feeds):
        raise DataError(f"{where}: feeds", ascii(feeds)[:80], "a list of tables, as a run of liqcore writes it")
    for spec in feeds:
        if "adapter" in spec:
            if not all(isinstance(text := spec.get(key), str) and text.isprintable() for key in ("venue", "adapter", "sha256")):
                raise DataError(f"{where}: feeds", ascii(spec), "venue, adapter and sha256, each a text, as a run of liqcore writes them")
            use_recorded(spec["venue"], spec["adapter"], spec["sha256"], where, trust=trust)
    return feeds


def use_named(text: str) -> OwnVenue:
    """The same for NAME=FILE.py:ADAPTER of the command line; a relative path counts from the working folder."""
    name, equals, code = text.partition("=")
    if not equals or not re.fullmatch(VENUE_NAME, name) or not code:
        raise ConfigError(
            f"{OPTION} {text}",
            "not NAME=FILE.py:ADAPTER",
            f"such as {OPTION} mine=venues/mine.py:ADAPTER; a name has 2 to 30 small letters, digits and '_', the first a letter",
        )
    return use_venue(name, str(Path(code).absolute()) if plugins.is_file(code) else code)


def use_recorded(name: str, code: str, sha256: str, where: str | Path, *, trust: bool) -> None:
    """Make the venue known whose adapter decoded a recording, as its settings name it: that runs the code. Without trust it must be known already,
    by [venues] of a configuration, by the option of the command line or as an entry point of an installed package: a recording may be somebody
    else's, so it cannot give this consent itself. Another code than that of the run is said once. NoConsent where it must not be run, ConfigError
    where it cannot."""
    own = OWN_VENUES.get(name)
    if trust and (own is None or own.code == code or own.sha256 != sha256):  # else the user has named the same code at another place
        use_venue(name, code, sha256)
    elif not is_known(name) and not plugins.is_file(code) and code in plugins.names(plugins.VENUE):
        use_venue(name, code)  # of an installed package, by another name than that of the venue
    elif not is_known(name):
        raise _without_consent(name, code, sha256, where)
    own = OWN_VENUES.get(name)
    if own is not None and own.sha256 != sha256 and (name, own.sha256) not in _CHANGED:
        _CHANGED.add((name, own.sha256))
        _log.warning(
            "%s: decoded by %s (SHA-256 %s), which is not the code that recorded it: %s (SHA-256 %s)",
            where,
            own.code,
            own.sha256[:12],
            code,
            sha256[:12],
        )


def _without_consent(name: str, code: str, sha256: str, where: str | Path) -> NoConsent:
    """Why a recording of a venue of the user's cannot be read yet, and what to add."""
    what, of_file = f"{where}: venues.{name}", plugins.is_file(code)
    try:
        found = plugins.digest_of(code, plugins.VENUE, what) if not of_file or Path(code.rpartition(":")[0]).is_file() else ""
    except ConfigError:
        found = ""
    if not found:
        missing = "which is not there" if of_file else "an entry point that no installed package offers"
        return NoConsent(
            what,
            f"the Python code in {code}, {missing}, decoded this recording",
            f"it there, with SHA-256 {sha256}",
            f"Name the code where it is now: {OPTION} {name}=FILE.py:ADAPTER, or [venues] of the configuration",
        )
    if found != sha256:
        return NoConsent(
            what,
            f"the Python code in {code} decoded this recording, and has changed since the run",
            f"SHA-256 {sha256}, found {found}",
            f"Restore it, or name code that reads these frames: {OPTION} {name}=FILE.py:ADAPTER, or [venues] of the configuration",
        )
    option = f"{OPTION} {quote(name + '=' + code)}"
    return NoConsent(
        what,
        f"the Python code in {code} decodes this recording",
        "your consent to run that code on this machine",
        f"Read the file; then add {option}, name it in [venues] of the configuration, or add --trust-policy to a replay",
    )
