"""What the parts of the server ask of the whole: time, faults, the account side, and what belongs to all of them."""

import random
import ssl
import tempfile
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from liqshell.clock import Clock
from liqshell.emulator.api.account_api import AccountApi
from liqshell.emulator.api.faults import Faults
from liqshell.emulator.market.agents import Cascade
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.server.options import Config

# Who may use the emulator's own paths (/emulator/...): programs of this machine, and no page of a browser that was not served from here. They
# break things and show what is really so of an account; a web page somewhere must not be able to, by a name that resolves to this machine or
# otherwise.
PREFIX = "/emulator/"


def _loopback(host: str) -> bool:
    """Whether the host of a Host header is this machine by its address or the one name that needs no resolver."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def objection(host: str | None, origin: str | None) -> str:
    """What speaks against a request with these headers; "" = nothing. A program sends no Origin; a page sends the one that it was served from."""
    try:
        if not host or not _loopback(host):
            return f"Host: got {host!r}, expected a loopback address or localhost; use the address of the ready line"
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"Origin: got {origin!r}, expected none, or http://{host}; pages of other origins may not use this path"
    except ValueError:
        return f"Host {host!r} or Origin {origin!r} cannot be read"
    return ""


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The check before every path of the emulator's own."""
    why = objection(request.headers.get("Host"), request.headers.get("Origin")) if request.path.startswith(PREFIX) else ""
    if why:
        return web.Response(body=orjson.dumps({"error": why}), status=403, content_type="application/json")
    return await handler(request)


# How far away the venue is: one direction of one connection, with the delay and the losses of a network as a TCP stream shows them.
RETRANSMIT_S = 0.2                                   # the shortest time-out after which a lost segment is sent again


class Link:
    """latency_s: one way, wall seconds. loss: share of messages whose packet is lost once or more; what follows such a message waits behind it,
    unless each has a connection of its own (ordered False)."""

    def __init__(self, latency_s: float, loss: float, wall: Callable[[float], int], seed: str, ordered: bool = True) -> None:
        self.latency_s, self.loss, self.wall, self.ordered = latency_s, loss, wall, ordered
        self._random = random.Random(seed)
        self._last = 0

    def due(self, now_ns: int) -> int:
        """Market time at which a message sent now arrives."""
        if not self.latency_s and not self.loss:
            return now_ns
        wait = self.latency_s
        while self.loss and self._random.random() < self.loss:
            wait += max(RETRANSMIT_S, 3.0 * self.latency_s)
        due = now_ns + self.wall(wait)
        if self.ordered:
            due = self._last = max(self._last, due)
        return due


# A certificate for the emulator's TLS port, made on the spot and trusted by nobody but who is told of its authority's file.
NAMES = ("localhost", "127.0.0.1", "::1")


class Certificate:
    """context: for the server. ca: PEM file of the authority, for the client (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, ...); removed by close()."""

    def __init__(self) -> None:
        try:
            import trustme
        except ImportError as error:
            raise ValueError("a TLS port needs the package trustme: pip install 'liqcore[tls]'") from error
        authority = trustme.CA(organization_name="liqcore emulator", organization_unit_name="for tests on this machine only")
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*NAMES).configure_cert(self.context)
        self._folder = tempfile.TemporaryDirectory(prefix="liqcore-emulator-")
        self.ca = str(Path(self._folder.name) / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)

    def close(self) -> None:
        """Remove the file."""
        self._folder.cleanup()


class Host(Protocol):
    """The running emulator as its parts see it. label: SYNTHETIC or RECORDING, on every answer. certificate: of the TLS port, None without one."""

    config: Config
    states: dict[str, SymbolState]
    synthetic: bool
    label: str
    clock: Clock
    faults: Faults
    desk: AccountApi
    certificate: Certificate | None

    def now_ns(self) -> int:
        """Market time; it never runs back."""

    def link(self, name: str, ordered: bool = True) -> Link:
        """One direction of one connection."""

    def enter(self, link: Link | None, act: Callable[[int], None], attend: bool = True) -> None:
        """Something comes in, over a link (None: that of REST): act(market time) when it has arrived. attend: it is about an account."""

    def wake(self) -> None:
        """Look at the clock and the faults now."""

    def truth(self) -> list[Cascade]:
        """The cascades that have ended by now; empty for a recording."""

    def status(self) -> Mapping[str, object]:
        """Counters."""
