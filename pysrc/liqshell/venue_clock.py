"""The clock of an emulated venue: its market time is not the wall's, and a run against it that used the wall's would call every event stale."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from liqshell.clock import Clock

TIMEOUT_S = 5.0


def is_loopback(url: str) -> bool:
    """Whether an address names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def venue_clock(rest: str, tls: ssl.SSLContext | None = None) -> tuple[Clock | None, dict[str, Any]]:
    """Clock and labels of the emulator at `rest`; (None, {}) = real time, for an address that is not loopback (which is not asked) or that is no
    emulator's. The monotonic clock is one per machine, so that the three numbers hold here too."""
    if not is_loopback(rest):
        return None, {}
    try:
        async with (aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http,
                    http.get(rest + "/emulator/status", ssl=tls or True) as answer):
            if answer.status != 200:
                return None, {}
            status = await answer.json()
            clock = Clock.from_dict(status["clock"])
            return clock, {"synthetic": status["market"] == "SYNTHETIC", "market": status["market"], "seed": status["seed"]}
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return None, {}
