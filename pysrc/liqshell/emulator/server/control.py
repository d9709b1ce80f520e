"""Access to the emulator's own paths (/emulator/...): only programs of this machine, and browser pages served from here. The paths cause faults and
show the true state of an account, so no foreign web page may use them, also not by a name that resolves to this machine."""

from ipaddress import ip_address
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

PREFIX = "/emulator/"


def _loopback(host: str) -> bool:
    """Whether the host of a Host header is this machine by its address or the one name that needs no resolver."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def objection(host: str | None, origin: str | None) -> str:
    """The objection to a request with these headers; "" = none. A program sends no Origin; a page sends the one that it was served from."""
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
