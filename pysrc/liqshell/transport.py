"""The rule for signed requests: a signature or a login is sent only over verified TLS, or to this machine.

`Keys.sign` takes an Endpoint and signs for no other. An Endpoint is TLS whose context checks the certificate and the host name, or a loopback
address in digits: a name is resolved once, all that it means has to be loopback, and what was judged is what is connected to.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from liqshell.errors import ConfigError

PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
SAFE = "https:// or wss:// with a verified certificate, or an address of this machine such as 127.0.0.1"
CHANGE = (
    "No request was signed. Set [feed] rest to an https:// and ws to a wss:// address, or remove both. Your own relay needs TLS (its "
    "authority in [feed] ca), or must listen on 127.0.0.1"
)
PROBE_S = 0.2  # for a loopback connection, which is taken or refused at once


def tls_context(ca: str, *urls: str) -> ssl.SSLContext | None:
    """The TLS context that checks certificates; None if no address uses TLS. ca: a PEM file that alone is trusted, "" = the system's authorities."""
    if not any(url.startswith(("https:", "wss:")) for url in urls):
        return None
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as why:
        raise ConfigError(f"feed.ca: {ca}", f"cannot be used: {why}", "a PEM file of an authority") from None


class Endpoint:
    """An address that may get something signed. ConfigError where `given` is none; it says what to change.

    given: http, https, ws or wss. tls: for https and wss, as of tls_context. url: what to connect to: `given`, its host in digits where there is no
    TLS. host: what the Host header has to say then, "" = what the client makes of `url`.
    """

    __slots__ = ("_address", "given", "host", "tls", "url")

    def __init__(self, given: str, tls: ssl.SSLContext | None = None):
        self.given, self.url, self.host = given, given, ""
        self.tls: ssl.SSLContext | None = None
        self._address: IPv4Address | IPv6Address | None = None
        parts = _parts(given)
        host, port = parts.hostname or "", parts.port
        if parts.scheme in ("https", "wss"):
            self.tls = tls
        else:
            self._address = _pinned(given, host, port or PORTS[parts.scheme])
            digits = f"[{self._address}]" if self._address.version == 6 else str(self._address)
            self.url = f"{parts.scheme}://{digits}" + (f":{port}" if port else "") + given.partition("://")[2][len(parts.netloc) :]
            self.host = "" if host == str(self._address) else host + (f":{port}" if port else "")
        self.vouch()

    def vouch(self) -> None:
        """Asked at every signature: whether this still holds."""
        if self._address is not None:
            if self._address.is_loopback:
                return
        elif self.tls is not None and self.tls.verify_mode == ssl.CERT_REQUIRED and self.tls.check_hostname:
            return
        raise ConfigError(self.given, "the certificate or the host name would not be checked", SAFE, CHANGE)

    def covers(self, url: str) -> bool:
        """Whether a request to this address goes to this endpoint: the same scheme, host and port."""
        own, other = urlsplit(self.url), urlsplit(url)
        return (own.scheme, own.netloc) == (other.scheme, other.netloc)

    def headers(self) -> dict[str, str]:
        """The headers that a client must add when it connects to `url`."""
        return {"Host": self.host} if self.host else {}

    def __repr__(self) -> str:
        return f"Endpoint({self.given!r})"


def endpoints(urls: Iterable[str], ca: str) -> list[Endpoint]:
    """The endpoint of each address. ConfigError for the first that is none. ca: as of tls_context."""
    return [Endpoint(url, tls_context(ca, url)) for url in urls]


def _parts(given: str) -> SplitResult:
    try:
        parts = urlsplit(given)
        if parts.hostname and parts.scheme in PORTS and (parts.port is None or parts.port):
            return parts
    except ValueError:  # a port that is no number, brackets that do not close
        pass
    raise ConfigError(given, "not an address", "such as https://api.bybit.com")


def _pinned(given: str, host: str, port: int) -> IPv4Address | IPv6Address:
    """The loopback address that a host means; of several the first that takes a connection."""
    found = addresses(host, port)
    if not found:
        raise ConfigError(given, f"not encrypted, and {host} resolves to nothing", SAFE, CHANGE)
    if odd := [str(one) for one in found if not one.is_loopback]:
        means = "is not this machine" if odd == [host] else f"resolves to {', '.join(odd)}, which is not this machine"
        raise ConfigError(given, f"not encrypted, and {host} {means}: keys and signatures would pass over the network in plain text", SAFE, CHANGE)
    if len(found) > 1:
        for one in found:
            with contextlib.suppress(OSError), socket.create_connection((str(one), port), PROBE_S):
                return one
    return found[0]


def addresses(host: str, port: int = 0) -> list[IPv4Address | IPv6Address]:
    """All that a host resolves to now; [] = nothing."""
    try:
        return list(dict.fromkeys(ip_address(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except (OSError, ValueError):  # UnicodeError is a ValueError: a label that no resolver takes
        return []


def is_loopback(url: str) -> bool:
    """Whether an address names this machine: digits, or "localhost" where that resolves to loopback only. Other names are not looked up."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    found = addresses(host) if host == "localhost" else []
    return bool(found) and all(one.is_loopback for one in found)
