"""The venues whose public data we read, by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from liqshell import plugins
from liqshell.errors import ConfigError, DataError
from liqshell.venues.adapter import GAP_S, Adapter
from liqshell.venues.binance import decoder as binance
from liqshell.venues.bybit import adapter as bybit_public
from liqshell.venues.hyperliquid import decoder as hyperliquid
from liqshell.venues.okx import decoder as okx

ADAPTERS: Mapping[str, Adapter] = {one.venue: one for one in (bybit_public.ADAPTER, binance.ADAPTER, okx.ADAPTER, hyperliquid.ADAPTER)}
#: the same by every name that a configuration or a capture has for them
BY_NAME: Mapping[str, Adapter] = {name: one for one in ADAPTERS.values() for name in (one.venue, *one.aliases, *one.captured_as)}
#: what a configuration may call them
NAMES = (*ADAPTERS, *(name for one in ADAPTERS.values() for name in one.aliases))
ENVIRONMENTS = tuple(dict.fromkeys(name for one in ADAPTERS.values() for name in one.environments))


VENUE_NAME = r"[a-z][a-z0-9_]{1,29}"
OPTION = "--adapter"  # of every command: names the adapter of a venue of the user's


@dataclass(frozen=True)
class OwnVenue:
    """A venue of the user's: its adapter, where it was named, and the SHA-256 of its file."""

    adapter: Adapter
    code: str
    sha256: str


class UnknownVenue(DataError, ValueError):
    """No adapter has this name."""


OWN_VENUES: dict[str, OwnVenue] = {}  # of this process, by name; use_venue adds to it


def use_venue(name: str, code: str, sha256: str | None = None) -> OwnVenue:
    """Make a venue of the user's known to this process. code: file.py:ADAPTER, which is run, or an entry point of the group liqcore.venues.
    sha256: what its file must be. ConfigError where there is no such adapter, where it is of another name, or where the name is taken."""
    key, found = f"venues.{name}", OWN_VENUES.get(name)
    digest = plugins.digest_of(code, plugins.VENUE, key)
    if found is not None and found.code == code and found.sha256 == digest and sha256 in (None, digest):
        return found
    adapter = plugins.load(code, plugins.VENUE, key, sha256)
    if adapter.venue != name or not re.fullmatch(VENUE_NAME, name):
        raise ConfigError(key, f"the adapter in {code} names its venue {adapter.venue!r}", f"{name!r}, small letters, digits and '_'")
    if name in BY_NAME:
        raise ConfigError(key, "liqcore ships a venue of this name", "another name")
    OWN_VENUES[name] = OwnVenue(adapter, code, digest)
    return OWN_VENUES[name]


def own_venues() -> list[tuple[str, str, str]]:
    """Name, code and SHA-256 of each venue of the user's that this process knows: for a worker of it, see use_own."""
    return [(name, one.code, one.sha256) for name, one in OWN_VENUES.items()]


def use_own(found: Sequence[tuple[str, str, str]]) -> None:
    """Make the venues known that another process knows."""
    for name, code, sha256 in found:
        use_venue(name, code, sha256)


def _known(name: str) -> Adapter | None:
    """One that ships; else one of the user's: named in [venues], or an entry point."""
    found = BY_NAME.get(name.lower())
    if found is not None:
        plugins.warn_hidden(plugins.VENUE, name)
        return found
    if name not in OWN_VENUES and name in plugins.names(plugins.VENUE):
        use_venue(name, name)
    own = OWN_VENUES.get(name)
    return own.adapter if own is not None else None


def is_known(name: str) -> bool:
    """Whether there is an adapter for this venue."""
    return _known(name) is not None


def gap_s_of(name: str) -> float:
    """Silence of a venue that means missing data, s; of one that we cannot read (a recorded run of somebody's own), a cautious one."""
    found = _known(name)
    return GAP_S if found is None else found.gap_s


def adapter_of(name: str, where: object = "") -> Adapter:
    """The adapter of a venue, also under other names that it goes by in recordings. where: what names it, for the message. UnknownVenue where there
    is none."""
    found = _known(name)
    if found is None:
        option = f"{OPTION} {name if re.fullmatch(VENUE_NAME, name) else 'NAME'}=FILE.py:ADAPTER"
        raise UnknownVenue(
            str(where),
            f"venue: expected one of {', '.join(ADAPTERS)}, got {name!r}",
            "",
            f"If it is a venue of yours, name its adapter: {option}, or [venues] of the configuration. Frames of other venues can be "
            "imported as an event table",
        )
    return found
