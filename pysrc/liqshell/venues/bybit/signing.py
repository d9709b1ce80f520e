"""Bybit V5 authentication: REST headers and the auth frames of the private and the order-entry socket.

    sign = hex(HMAC_SHA256(secret, timestamp + key + receive window + payload))        payload: the query, or the body, exactly as sent
    sign = hex(HMAC_SHA256(secret, "GET/realtime" + expiry))                            of a websocket

The venue takes a time stamp from `server - window` to `server + 1000` ms: a clock one second ahead is refused whatever the window.
"""

import hmac
import re
from typing import Any, NoReturn

import orjson

from liqshell.transport import Endpoint

AUTH_EXPIRY_MS = 10_000
RECV_WINDOW_MS = 5_000
_KEY = re.compile(r"[\x21-\x7e]{6,128}", re.ASCII)


class Keys:
    """An API key and its secret. The secret is kept as a keyed hash state only, so that no text of it exists in this object; no form of printing,
    pickling, copying or looking inside shows either.

    ValueError where a text cannot be a key; the message says what is wrong with it, not what it is.
    """

    __slots__ = ("_key", "_state")

    def __init__(self, key: str, secret: str):
        fault = _fault("key", key) or _fault("secret", secret)
        if not fault:
            self._key = key
            self._state = hmac.new(secret.encode("ascii"), digestmod="sha256")
        # before anything is raised: a traceback that shows local variables must not show these
        del key, secret
        if fault:
            raise ValueError(fault)

    @property
    def key(self) -> str:
        """The public half, for a header. Not to be logged."""
        return self._key

    def sign(self, text: bytes, endpoint: Endpoint) -> str:
        """hex(HMAC_SHA256(secret, text)), for what leaves over this endpoint and no other. ConfigError where nothing signed may."""
        endpoint.vouch()
        state = self._state.copy()
        state.update(text)
        return state.hexdigest()

    def __repr__(self) -> str:
        return "Keys([redacted])"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("Keys cannot be pickled or copied: read them again where they are needed (liqshell.live.keys)")


def _fault(name: str, value: Any) -> str:
    if type(value) is not str or not value:
        return f"API {name}: found {'nothing' if value is None or value == '' else type(value).__name__}; expected text"
    if value.startswith("-----BEGIN"):
        return f"API {name}: an RSA key; expected the secret of a system-generated (HMAC) key. Create such a key at the venue"
    if not _KEY.fullmatch(value):
        return f"API {name}: {len(value)} characters that cannot be a key; expected 6 to 128 visible ASCII characters without spaces"
    return ""


def rest_headers(keys: Keys, endpoint: Endpoint, now_ms: int, payload: str | bytes, recv_window_ms: int = RECV_WINDOW_MS) -> dict[str, str]:
    """Headers of one REST request sent at now_ms (UTC, by the venue's clock). payload: the query as sent, without '?', or the body of a POST.
    endpoint: the one that it leaves over."""
    raw = payload.encode() if isinstance(payload, str) else payload
    sign = keys.sign(b"%d%b%d%b" % (now_ms, keys.key.encode(), recv_window_ms, raw), endpoint)
    return {
        "X-BAPI-API-KEY": keys.key,
        "X-BAPI-TIMESTAMP": str(now_ms),
        "X-BAPI-RECV-WINDOW": str(recv_window_ms),
        "X-BAPI-SIGN": sign,
        "Content-Type": "application/json",
    }


def private_auth_frame(keys: Keys, endpoint: Endpoint, now_ms: int, req_id: str = "auth", expiry_ms: int = AUTH_EXPIRY_MS) -> bytes:
    """The first message on /v5/private."""
    return orjson.dumps({"req_id": req_id, "op": "auth", "args": _auth(keys, endpoint, now_ms + expiry_ms)})


def trade_auth_frame(keys: Keys, endpoint: Endpoint, now_ms: int, req_id: str = "auth", expiry_ms: int = AUTH_EXPIRY_MS) -> bytes:
    """The first message on /v5/trade, whose requests and replies spell `reqId`."""
    return orjson.dumps({"reqId": req_id, "op": "auth", "args": _auth(keys, endpoint, now_ms + expiry_ms)})


def _auth(keys: Keys, endpoint: Endpoint, expires_ms: int) -> list[str | int]:
    return [keys.key, expires_ms, keys.sign(b"GET/realtime%d" % expires_ms, endpoint)]
