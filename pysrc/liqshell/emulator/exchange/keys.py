"""Keys of the emulated venue: the signer of a request, whether the signature and its time are valid, and the rights of the key.

Written against the venue's documentation and not with the client's own signing code, so that the two check one another. Times are the clock of
`Times`: the time stamps of a client in UTC are checked against UTC at every speed of the market; those on the market's clock (liqcore's rehearsals)
against that clock.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from liqshell.emulator.exchange.accounts import Account

MS = 1_000_000
RECV_WINDOW_MS = 5_000
AHEAD_MS = 1_000  # a client's clock may be ahead by less than this, whatever its window
KEY_INVALID, SIGN_INVALID, PERMISSION, OUTSIDE_WINDOW, IP_INVALID, BAD_PARAMETER = 10003, 10004, 10005, 10002, 10010, 10001


@dataclass(slots=True)
class Key:
    """An API key of one account. The secret is never shown."""

    key: str
    secret: str = field(repr=False)
    account: Account = field(repr=False)  # what the exchange's open_account gave
    uid: int = 0
    trade: bool = True  # may place orders
    withdraw: bool = False
    ips: tuple[str, ...] = ()  # allowed addresses; empty = any
    valid: bool = True  # False: expired or deleted

    def describe(self, now_ms: int) -> dict[str, object]:
        """The result of /v5/user/query-api."""
        contract = ["Order", "Position"] if self.trade else []
        return {
            "id": str(self.uid),
            "note": "liqcore emulator",
            "apiKey": self.key,
            "readOnly": 0 if self.trade else 1,
            "secret": "",
            "permissions": {
                "ContractTrade": contract,
                "Spot": ["SpotTrade"] if self.trade else [],
                "Wallet": ["Withdraw"] if self.withdraw else [],
                "Options": [],
                "Derivatives": ["DerivativesTrade"] if self.trade else [],
                "Exchange": [],
                "NFT": [],
                "CopyTrading": [],
                "BlockTrade": [],
                "Affiliate": [],
                "Earn": [],
            },
            "ips": list(self.ips) or ["*"],
            "type": 1,
            "deadlineDay": 90,
            "expiredAt": _day(now_ms + 90 * 86_400_000),
            "createdAt": _day(now_ms),
            "unified": 0,
            "uta": 1,
            "userID": self.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }


def _day(ms: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Times:
    """UTC as a function of market time: utc_ns is UTC at market_ns; speed market seconds pass in a second. skew_ns: the venue's clock is wrong."""

    market_ns: int = 0
    utc_ns: int = 0
    speed: float = 1.0
    skew_ns: int = 0

    def utc(self, now_ns: int) -> int:
        """The venue's UTC clock, ns, at a market time."""
        return self.utc_ns + int((now_ns - self.market_ns) / self.speed) + self.skew_ns

    def wall(self, seconds: float) -> int:
        """So many wall seconds in market ns."""
        return int(seconds * 1e9 * self.speed)

    def stamp(self, now_ns: int, utc: bool) -> int:
        """Milliseconds for an answer: in the clock that the client stamps with."""
        return self.utc(now_ns) // MS if utc else (now_ns + self.skew_ns) // MS

    def within(self, stamp_ms: int, window_ms: int, now_ns: int) -> tuple[bool, bool]:
        """(in time, by UTC) of a request stamped stamp_ms: server - window <= stamp < server + 1000. The window is wall time for either clock."""
        if -AHEAD_MS < self.utc(now_ns) // MS - stamp_ms <= window_ms:
            return True, True
        late_ms = ((now_ns + self.skew_ns) // MS - stamp_ms) / self.speed
        if -AHEAD_MS < late_ms <= window_ms:
            return True, False
        return False, abs(self.utc(now_ns) // MS - stamp_ms) <= abs((now_ns + self.skew_ns) // MS - stamp_ms)


class Refusal(Exception):
    """A request that is refused before the exchange sees it: args = (retCode, retMsg); status: of HTTP; utc: the clock the client stamps with."""

    def __init__(self, code: int, message: str, status: int = 200, utc: bool = False) -> None:
        super().__init__(code, message)
        self.code, self.message, self.status, self.utc = code, message, status, utc


def signature(secret: str, text: str) -> str:
    """hex(HMAC-SHA256) of a text as it came, bytes that are no text included."""
    return hmac.new(secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def signed(secret: str, text: str, given: object) -> bool:
    """Whether `given` is the signature of the text; upper-case hex is accepted."""
    return hmac.compare_digest(signature(secret, text).encode(), str(given).lower().encode("utf-8", "surrogateescape"))


def whole(value: object) -> int | None:
    """A count of milliseconds as clients write it: a number or its text."""
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and not isinstance(value, bool) else None


def check_window(stamp: object, window: object, times: Times, now_ns: int) -> bool:
    """Whether the client stamps UTC; Refusal where the stamp is missing, not a number, or outside its window."""
    stamp_ms = whole(stamp)
    window_ms = RECV_WINDOW_MS if window in (None, "") else whole(window)
    if stamp_ms is None or window_ms is None:
        raise Refusal(BAD_PARAMETER, "invalid request, please check your timestamp and recv_window param.")
    ok, utc = times.within(stamp_ms, window_ms, now_ns)
    if not ok:
        raise Refusal(
            OUTSIDE_WINDOW,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp_ms}],server_timestamp[{times.stamp(now_ns, utc)}],recv_window[{window_ms}]",
            utc=utc,
        )
    return utc


def check_rest(keys: Mapping[str, Key], headers: Mapping[str, str], text: str, ip: str, times: Times, now_ns: int) -> tuple[Key, bool]:
    """(key, whether it stamps UTC) of a signed REST request. text: the raw query of a GET, the raw body of a POST. headers: keys in lower case."""
    name, sign, stamp = (headers.get(f"x-bapi-{part}", "") for part in ("api-key", "sign", "timestamp"))
    if not (name and sign and stamp):
        raise Refusal(KEY_INVALID, "API key is invalid.", 401)
    key = keys.get(name)
    if key is None or not key.valid:
        raise Refusal(KEY_INVALID, "API key is invalid.")
    window = headers.get("x-bapi-recv-window", "")
    utc = check_window(stamp, window, times, now_ns)
    origin = f"{stamp}{name}{window}{text}"
    if not signed(key.secret, origin, sign):
        raise Refusal(SIGN_INVALID, f"error sign! origin_string[{origin}]", utc=utc)
    if key.ips and ip not in key.ips:
        raise Refusal(IP_INVALID, "Unmatched IP, please check your API key's bound IP addresses.", utc=utc)
    return key, utc


def check_auth(keys: Mapping[str, Key], args: object, times: Times, now_ns: int) -> tuple[Key, bool]:
    """(key, whether it stamps UTC) of a websocket `auth`: args = [key, expires ms (number or text), signature of GET/realtime + expires]."""
    if not isinstance(args, list) or len(args) != 3 or whole(args[1]) is None:
        raise Refusal(BAD_PARAMETER, "Params Error")
    name, expires, sign = args
    key = keys.get(str(name))
    if key is None or not key.valid:
        raise Refusal(KEY_INVALID, "API key is invalid.")
    if not signed(key.secret, f"GET/realtime{expires}", sign):
        raise Refusal(SIGN_INVALID, "Invalid sign")
    expires_ms = int(expires)
    utc_ms, market_ms = times.stamp(now_ns, True), times.stamp(now_ns, False)
    utc = abs(expires_ms - utc_ms) <= abs(expires_ms - market_ms)
    if expires_ms <= (utc_ms if utc else market_ms):
        raise Refusal(SIGN_INVALID, "Params Error: expires is in the past", utc=utc)
    return key, utc
