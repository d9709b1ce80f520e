"""Busy polling, which needs a core for the process. It saves more than any other measure between a frame and its order.

The loop never sleeps, and between two of its turns the sockets are read without asking the system first whether they have something: a read that
finds nothing costs what the question would have cost, and one that finds a frame has it already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

READS = 8  # of each socket in one turn of the loop; timers and everything else wait that long, some microseconds


class Spin:
    """Keeps the running loop awake from start() to stop(). watch(transport) after a connection stands, forget(transport) when it is lost; a transport
    that cannot be read so (TLS) is served by the loop, which does not sleep for it either.

    While it spins, a watched socket is off the loop's selector: the sender need not wake a loop that never sleeps.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readers: dict[Any, tuple[Any, Callable[[], None]]] = {}  # by transport: its socket, what the loop itself would call

    def start(self) -> None:
        """Only once connections stand: a spinning loop starves the threads that resolve names."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            for socket, _ in self._readers.values():
                self._loop.remove_reader(socket)
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        for transport in tuple(self._readers):
            self._give_back(transport)
        self._loop = None

    def watch(self, transport: Any) -> None:
        """transport: of picows. Its read callback is the one that the loop itself would call."""
        inner = getattr(transport, "underlying_transport", None)
        reader, socket = getattr(inner, "_read_ready", None), inner.get_extra_info("socket") if inner is not None else None
        if reader is None or socket is None or socket.fileno() < 0:
            return
        self._readers[transport] = socket, reader
        if self._loop is not None:
            self._loop.remove_reader(socket)

    def forget(self, transport: Any) -> None:
        """The loop serves it again, to its end."""
        if transport in self._readers:
            self._give_back(transport)
            del self._readers[transport]

    def _give_back(self, transport: Any) -> None:
        socket, reader = self._readers[transport]
        if self._loop is not None and socket.fileno() >= 0 and not transport.underlying_transport.is_closing():
            self._loop.add_reader(socket, reader)

    def _turn(self) -> None:
        if self._loop is None:
            return
        self._loop.call_soon(self._turn)
        readers = [reader for _, reader in self._readers.values()]
        for _ in range(READS):
            for reader in readers:
                reader()
