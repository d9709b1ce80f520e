"""The clock of an emulated venue: its market time differs from wall time, and a run with wall time would treat every event as stale."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp

from liqshell.clock import STANDSTILL, Clock
from liqshell.errors import ConfigError
from liqshell.transport import is_loopback

TIMEOUT_S = 5.0


async def venue_clock(rest: str, tls: ssl.SSLContext | None = None, waiting: bool = False) -> tuple[Clock | None, dict[str, Any]]:
    """Clock and labels of the emulator at `rest`; (None, {}) = real time, for an address that is not loopback (which is not asked) or that is no
    emulator's. The monotonic clock is one per machine, so that the three numbers hold here too. ConfigError if its market stands still until the
    first subscription (`emulate --wait`), because its clock is not known yet; waiting: accept that clock."""
    if not is_loopback(rest):
        return None, {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http,
            http.get(rest + "/emulator/status", ssl=tls or True, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                return None, {}
            status = await answer.json()
            clock = Clock.from_dict(status["clock"])
            if clock.speed == STANDSTILL and not waiting:
                raise ConfigError(
                    rest,
                    "this emulator starts its clock only when a client connects (--wait)",
                    "a running clock",
                    "Start `liqcore emulate` without --wait: a run with this clock counts hours as microseconds",
                )
            return clock, {
                "synthetic": status["market"] == "SYNTHETIC",
                "market": status["market"],
                "seed": status["seed"],
                "market_seeds": [status["seed"]] if status["market"] == "SYNTHETIC" else [],
            }
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return None, {}
