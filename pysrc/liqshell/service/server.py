"""The process of `liqcore serve`: its address, and its access rules."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liqshell.errors import ConfigError
from liqshell.service.api import Api, site_of
from liqshell.service.keys import Keyring
from liqshell.service.questions import names_of
from liqshell.service.sources import Library
from liqshell.service.web import LOCAL, Site
from liqshell.transport import is_loopback

LIVE_A_MINUTE, HISTORY_A_MINUTE = 600, 60
NICE = 10  # of its process: on a machine with few processors a run that trades comes first


@dataclass(frozen=True)
class Options:
    """hosts: names beside those of this machine. cert, key: TLS. proxy: a proxy in front ends TLS. auth False: everybody may ask. limits: a minute,
    0 = without limit. features: names that are made ready at the start."""

    bind: str = "127.0.0.1"
    port: int = 8710
    hosts: Sequence[str] = ()
    cert: Path | None = None
    key: Path | None = None
    proxy: bool = False
    auth: bool = True
    live_limit: int = LIVE_A_MINUTE
    history_limit: int = HISTORY_A_MINUTE
    features: Sequence[str] = ()

    @property
    def host(self) -> str:
        """The address in the form of a URL."""
        return f"[{self.bind}]" if ":" in self.bind else self.bind

    def check(self) -> None:
        """ConfigError for what would be unsafe."""
        local = is_loopback(f"http://{self.host}")
        if not local and not self.proxy and not (self.cert and self.key):
            raise ConfigError(
                f"--bind {self.bind}",
                "keys would pass over the network in plain text",
                "--tls-cert and --tls-key, or --behind-proxy",
                "Without them it listens on 127.0.0.1 only",
            )
        if not self.auth and (not local or self.proxy):
            raise ConfigError("--no-auth", f"given with {'--behind-proxy' if local else f'--bind {self.bind}'}", "an address of this machine only")
        if bool(self.cert) != bool(self.key):
            raise ConfigError("--tls-cert, --tls-key", "one of the two", "both")
        for name, path in (("--tls-cert", self.cert), ("--tls-key", self.key)):
            if path is not None and not path.is_file():
                raise ConfigError(f"{name} {path}", "no such file", "a PEM file")
        if (not local or self.proxy) and not self.hosts:
            raise ConfigError("--host-name", "none", "the name by which clients reach this server", "Requests for other names are refused")
        if not 0 <= self.port < 1 << 16:
            raise ConfigError(f"--port {self.port}", "no port", "0 to 65535")


def application(library: Library, state: Path, options: Options) -> Site:
    """The ASGI application. ConfigError for features that are none."""
    features = tuple(names_of(list(options.features))) if options.features else ()
    return site_of(
        Api(library, features),
        hosts=frozenset([*LOCAL, *(name.lower() for name in options.hosts)]),
        keyring=Keyring(state) if options.auth else None,
        limits={"live": options.live_limit, "history": options.history_limit},
    )


def serve(path: Path, state: Path, options: Options) -> None:
    """Until SIGINT or SIGTERM. ConfigError where the extra is not installed, or the options are unsafe."""
    options.check()
    if options.auth and not len(Keyring(state)):
        raise ConfigError(
            "serve",
            "no key, so no client would have access",
            f"`liqcore serve key new --scope features:read,history:read --state {shlex.quote(str(state))}`",
            "On this machine only, --no-auth serves without keys",
        )
    uvicorn()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    signal.signal(signal.SIGTERM, _end)  # the server hands it on when it has stopped: what it wrote for itself goes, as after SIGINT
    library = Library(path, state)
    try:
        server = server_of(library, state, options)
        announce(server, options)
        server.run(listening(options))
    finally:
        library.close()


def listening(options: Options) -> list[socket.socket]:
    """Sockets at every address of its name. ConfigError where it cannot be had: uvicorn says only the number of the error."""
    out: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(options.bind, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            out.append(socket.create_server(address, family=family, backlog=2048))
    except OSError as why:
        for one in out:
            one.close()
        raise ConfigError(
            f"{options.host}:{options.port}",
            f"cannot listen there: {why.strerror or why}",
            "--bind with an address of this machine, and --port with a free port; 0 = any",
        ) from None
    return out


def _end(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


def server_of(library: Library, state: Path, options: Options) -> Any:
    """A uvicorn.Server."""
    package = uvicorn()
    from liqshell.service.connection import Connection

    tls: dict[str, Any] = {"ssl_certfile": options.cert, "ssl_keyfile": options.key} if options.cert else {}
    config = package.Config(
        application(library, state, options),
        options.bind,
        options.port,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        **tls,
    )
    return package.Server(config)


def announce(server: Any, options: Options) -> None:
    """Say the address once it is known: --port 0 lets the system choose."""
    begin = server.startup

    async def startup(sockets: Any = None) -> None:
        await begin(sockets)
        for one in server.servers[:1] if server.started else ():
            port = one.sockets[0].getsockname()[1]
            print(f"{'https' if options.cert else 'http'}://{options.host}:{port}", flush=True)
            if not options.auth:
                print("no keys: every process of this machine has access", file=sys.stderr, flush=True)

    server.startup = startup


def uvicorn() -> Any:
    """The package. ConfigError where it is not installed."""
    try:
        import httptools  # noqa: F401
        import uvicorn as found
    except ImportError as why:
        raise ConfigError("liqcore serve", f"needs {why.name}, which is not installed", "pip install 'liqcore[api]'") from None
    return found
