"""Busy polling: for those who give the process a core. It is worth more than every other saving on the way from a frame to its order.

The loop never sleeps, and between two of its turns the sockets are read without asking the system first whether they have something: a read that
finds nothing costs what the question would have cost, and one that finds a frame has it already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

READS = 8               # of each socket in one turn of the loop; timers and everything else wait that long, some microseconds


class Spin:
    """Keeps the running loop awake from start() to stop(). watch(transport) after a connection stands, forget(transport) when it is lost; a transport
    that cannot be read so (TLS) is served by the loop, which does not sleep for it either."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readers: dict[Any, Callable[[], None]] = {}

    def start(self) -> None:
        """Only once connections stand: a spinning loop starves the threads that resolve names."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._loop = None

    def watch(self, transport: Any) -> None:
        """transport: of picows. Its read callback is the one that the loop itself would call."""
        reader = getattr(getattr(transport, "underlying_transport", None), "_read_ready", None)
        if reader is not None:
            self._readers[transport] = reader

    def forget(self, transport: Any) -> None:
        self._readers.pop(transport, None)

    def _turn(self) -> None:
        if self._loop is None:
            return
        self._loop.call_soon(self._turn)
        readers = tuple(self._readers.values())
        for _ in range(READS):
            for reader in readers:
                reader()
