"""The HTTP of the API: requests and responses over ASGI, access, and the form of a failure.

Written on ASGI itself: a framework between the server and five handlers costs more than they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from liqshell.errors import ConfigError, LiqshellError
from liqshell.service.keys import Keyring
from liqshell.service.problems import Problem, without_paths
from liqshell.service.quota import Bucket

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
BODY_BYTES_MAX = 16 << 20
JSON, PROBLEM = "application/json", "application/problem+json"
LOCAL = ("127.0.0.1", "localhost", "[::1]")
BUCKETS_MAX = 10_000
FULL = "liqcore.full"  # in the scope of a request: there are too many connections for it
DROPPED_BYTES_MAX = 256 << 20  # of a body that is too long: then the connection ends
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ALWAYS: Headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin")]
_log = logging.getLogger("liqshell.service")


class Request(NamedTuple):
    """One of HTTP. query, headers: the latter by lower-case name. who: id of the key, "" = none was needed. sent: headers that its
    answer will have, whatever it is."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    receive: Receive
    who: str
    sent: Headers

    async def body(self) -> bytes:
        """All of it. Problem where it is too long: the rest is read and dropped, because a client that still sends does not read the answer."""
        out, size = bytearray(), 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client has disconnected")
            piece = message.get("body", b"")
            size += len(piece)
            if size <= BODY_BYTES_MAX:
                out += piece
            if size > BODY_BYTES_MAX and (size > DROPPED_BYTES_MAX or not message.get("more_body")):
                raise Problem("too-large", f"a body of more than {BODY_BYTES_MAX} bytes", hint="POST /v1/jobs, or several requests")
            if not message.get("more_body"):
                return bytes(out)

    async def json(self) -> Any:
        """The JSON value of the body. Problem where it is no JSON, or has a key twice in one object."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise Problem("no-json", f"content-type {kind or 'missing'!r}: expected {JSON}")
        packed = self.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity"):
            raise Problem("packed", f"content-encoding {packed[:40]!r}: expected identity, a body as it is", ((b"accept-encoding", b"identity"),))
        body = await self.body()
        try:
            found = orjson.loads(body)
            _KEYS.decode(body.decode())  # orjson takes the last of two
        except orjson.JSONDecodeError as why:
            raise Problem("bad-request", f"the body is not JSON: {str(why)[:120]}") from None
        except RecursionError:
            raise Problem("bad-request", "the body is nested too deeply") from None
        return found


@dataclass
class Response:
    """body: bytes, or pieces of a stream."""

    body: bytes | AsyncIterator[bytes] = b""
    status: int = 200
    kind: str = JSON
    headers: Headers = field(default_factory=list)


Handler = Callable[[Request], Awaitable[Response]]


class Route(NamedTuple):
    """scope: that a key must have, "" = open to all. limit: the bucket, "" = none; the handler states the cost of a request (Site.charge)."""

    handler: Handler
    scope: str = ""
    limit: str = ""


@dataclass
class Site:
    """Routes behind the guard. hosts: names that a Host header may say; keyring: None = everybody may ask (on loopback). limits: bucket -> amount a
    minute, 0 = without limit."""

    routes: Mapping[tuple[str, str], Route]
    hosts: frozenset[str] = frozenset(LOCAL)
    keyring: Keyring | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    run: Callable[[], contextlib.AbstractAsyncContextManager[None]] | None = None
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        async with self.run() if self.run is not None else contextlib.nullcontext():
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        ident = given if _ID.fullmatch(given) else os.urandom(8).hex()
        sent: Headers = [(b"x-request-id", ident.encode()), *_ALWAYS]
        path = scope["path"]
        try:
            response = await self._answer(scope, headers, receive, sent)
        except ConnectionError:
            return
        except Problem as why:
            response = _problem(why, path, ident)
        except ConfigError as why:
            response = _problem(Problem("bad-value", str(why).replace(str(why.where) + ": ", "", 1)), path, ident)
        except (LiqshellError, OSError) as why:  # of the files that are served, or of the keys: who asks has done nothing wrong
            _log.warning("request %s %s %s: %s", ident, scope["method"], path, why)
            response = _problem(Problem("not-ready", without_paths(why)), path, ident)
        except Exception:
            _log.exception("request %s %s %s", ident, scope["method"], path)
            response = _problem(Problem("fault", "The server failed on this request; its log has the error by request id"), path, ident)
        await _send(response, sent, scope["method"] == "HEAD", receive, send)

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive, sent: Headers) -> Response:
        if scope.get(FULL):
            raise Problem("not-ready", "too many connections at once", ((b"retry-after", b"1"),))
        self._check_origin(headers)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route, path = self._route(method, scope["path"])
        who = self._check_key(headers, route.scope)
        request = Request(method, path, _query(scope["query_string"]), headers, receive, who, sent)
        if route.limit:
            self.charge(request, route.limit, 1)
        return await route.handler(request)

    def _check_origin(self, headers: dict[str, str]) -> None:
        """A page of another site must not reach us by a name that it has bound to our address (DNS rebinding), nor at all."""
        if _host(headers.get("host", "")) not in self.hosts:
            raise Problem("bad-host", "the Host header names a host that is not served; --host-name NAME adds one")
        origin = headers.get("origin", "")
        if origin and _host(origin.partition("://")[2]) not in self.hosts:
            raise Problem("cross-site", "the request comes from a page of another site")

    def _route(self, method: str, path: str) -> tuple[Route, str]:
        found = self.routes.get((method, path))
        if found is not None:
            return found, path
        head, _, _ = path.rpartition("/")
        if (found := self.routes.get((method, f"{head}/*"))) is not None:
            return found, path
        there = {verb for verb, at in self.routes if at in (path, f"{head}/*")}
        if there:
            there |= {"HEAD"} if "GET" in there else set()
            raise Problem("no-method", f"{method} is not allowed here", ((b"allow", ", ".join(sorted(there)).encode()),))
        raise Problem("not-found", "no such address; GET /v1/openapi.json lists all")

    def _check_key(self, headers: dict[str, str], scope: str) -> str:
        if not scope or self.keyring is None:
            return ""
        kind, _, token = headers.get("authorization", "").partition(" ")
        key = self.keyring.find(token.strip()) if kind.lower() == "bearer" else None
        if key is None:
            raise Problem(
                "no-key", "expected Authorization: Bearer KEY; `liqcore serve key new --scope` creates a key", ((b"www-authenticate", b"Bearer"),)
            )
        if scope not in key.scopes:
            raise Problem("no-scope", f"this key has {', '.join(key.scopes)}; this request needs {scope}", needed=scope)
        return key.id

    def holds(self, who: str) -> bool:
        """Whether a key that was let in is still valid."""
        return self.keyring is None or self.keyring.has(who)

    def charge(self, request: Request, limit: str, cost: int) -> None:
        """Take from a key's bucket; the answer says what is left. Problem where there is too little."""
        key = (request.who, limit)
        if key not in self._buckets and len(self._buckets) >= BUCKETS_MAX:
            self._buckets.clear()
        bucket = self._buckets.setdefault(key, Bucket(limit, self.limits.get(limit, 0)))
        good, headers = bucket.take(cost, self.clock())
        told = {name for name, _ in headers}
        request.sent[:] = [*(one for one in request.sent if one[0] not in told), *headers]
        if not good:
            raise Problem("quota-exceeded", f"more than {bucket.amount} a minute", (), **{"violated-policies": [limit]})


def _host(text: str) -> str:
    """Without its port; "" for what is none."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?", text)
    return found[1].lower() if found else ""


def _keys(pairs: list[tuple[str, Any]]) -> None:
    """Of an object. Problem for a key that stands there twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for n, name in enumerate(names) if name in names[:n])[:40]
        raise Problem("bad-request", f"{twice!r} twice in an object of the body", name=twice)


_KEYS = json.JSONDecoder(object_pairs_hook=_keys, parse_int=str, parse_float=str)


def _query(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), errors="strict", max_num_fields=50)
    except ValueError as why:
        raise Problem("bad-request", f"the query is malformed: {str(why)[:80]}") from None
    out: dict[str, str] = {}
    for name, value in pairs:
        if name in out:
            raise Problem("bad-request", f"{name[:40]} twice in the query")
        out[name] = value
    return out


def only(query: dict[str, str], *names: str) -> None:
    """Problem for a parameter that would be passed over."""
    if strange := sorted(query.keys() - set(names)):
        raise Problem("bad-value", f"no such parameter: {strange[0][:40]}; there are {', '.join(names)}", name=strange[0][:40])


def accepted(header: str, kinds: tuple[str, ...]) -> str:
    """The kind of answer that a client likes best; kinds: ours, the usual one first."""
    if not header.strip():
        return kinds[0]
    wishes = []
    for n, part in enumerate(header.split(",")):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            wishes.append((-float(weight), n, kind))
        except ValueError:
            continue
    refused = {kind for weight_below, _, kind in wishes if weight_below == 0}
    for weight_below, _, kind in sorted(wishes):
        for one in kinds:
            if weight_below < 0 and one not in refused and (kind in ("*/*", one) or kind.endswith("/*") and one.startswith(kind[:-1])):
                return one
    raise Problem("not-acceptable", f"none of {header[:100]!r}", there=list(kinds))


def same(tag: str, header: str) -> bool:
    """Whether If-None-Match names this ETag."""
    return header.strip() == "*" or f'"{tag}"' in (part.strip().removeprefix("W/") for part in header.split(","))


def unread(why: Problem) -> tuple[Headers, bytes]:
    """Headers and body of the answer to what could not be read as a request."""
    ident = os.urandom(8).hex()
    response = _problem(why, "/", ident)
    assert isinstance(response.body, bytes)
    return [(b"content-type", response.kind.encode()), *response.headers, (b"x-request-id", ident.encode()), *_ALWAYS], response.body


def _problem(why: Problem, path: str, ident: str) -> Response:
    return Response(orjson.dumps(why.body(path, ident)), why.status, PROBLEM, [(b"cache-control", b"no-store"), *why.headers])


async def _send(response: Response, more: Headers, bodiless: bool, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", response.kind.encode()), *response.headers, *more]
    if isinstance(response.body, bytes):
        headers.append((b"content-length", str(len(response.body)).encode()))
        if response.status == 304:  # a length would be that of the answer that is not sent
            headers = headers[1:-1]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if bodiless else response.body})
        return
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    pieces, gone = response.body, asyncio.ensure_future(_gone(receive))
    try:
        if not bodiless:
            async for piece in pieces:
                if gone.done():  # data without a receiver is dropped without an error: the stream would never end
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass  # the client has gone
    except LiqshellError as why:
        _log.warning("a stream ends: %s", why)
    finally:
        gone.cancel()
        await pieces.aclose()  # type: ignore[attr-defined]


async def _gone(receive: Receive) -> None:
    """Until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
