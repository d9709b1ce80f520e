"""Bybit V5 linear REST: answers to venues/reports.py and to the few facts that are asked of an account. Pure functions, no sockets.

A parser never raises: it returns a Parsed, whose `ok` says whether its value may be used. One row that cannot be read makes the whole answer
unusable: a list from which something is missing is not an account's list.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from liqshell.venues.bybit import rows
from liqshell.venues.bybit.decoder import shown
from liqshell.venues.bybit.error_codes import http_outcome, meaning, outcome
from liqshell.venues.bybit.rest_requests import CATEGORY, SETTLE
from liqshell.venues.bybit.rows import Refused
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Execution, OrderState, Position, Wallet

T = TypeVar("T")
BODY_BYTES_MAX = 8 << 20
NO_CODE = -1
CURSOR_MAX = 4096


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A REST answer. ok: value may be used. code: the venue's, NO_CODE where there was none; message: the venue's; reason: why the value may not be
    used, for people. cursor: of the next page, "" at the last. ts_ms: the venue's time of the answer."""

    ok: bool
    value: T | None = None
    code: int = NO_CODE
    message: str = ""
    reason: str = ""
    cursor: str = ""
    ts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a request that changes something."""

    outcome: Outcome
    code: int
    message: str
    order_id: str = ""
    link_id: str = ""


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """margin: the venue's word (REGULAR_MARGIN = cross, ISOLATED_MARGIN, PORTFOLIO_MARGIN). unified: its account status, 1 = classic."""

    margin: str
    unified: int


@dataclass(frozen=True, slots=True)
class FeeRate:
    """Shares of the notional; negative = paid to us."""

    symbol: str
    maker: float
    taker: float


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """The rights of a key, without the key itself. ips: empty = bound to none. expires: the venue's text, "" = never."""

    read_only: bool
    permissions: Mapping[str, tuple[str, ...]]
    ips: tuple[str, ...]
    expires: str
    days_left: int
    note: str
    vip: str
    unified: bool
    master: bool

    @property
    def may_trade(self) -> bool:
        """Orders on linear contracts, and what belongs to their positions."""
        contract = self.permissions.get("ContractTrade", ())
        return not self.read_only and ({"Order", "Position"} <= set(contract) or "DerivativesTrade" in self.permissions.get("Derivatives", ()))

    @property
    def may_withdraw(self) -> bool:
        """Whether money can leave through this key. Any word with 'withdraw' in it counts."""
        return any("withdraw" in right.lower() for given in self.permissions.values() for right in given)

    @property
    def may_transfer(self) -> tuple[str, ...]:
        """Rights over the wallet other than withdrawing."""
        return tuple(right for right in self.permissions.get("Wallet", ()) if "withdraw" not in right.lower())


def envelope(body: bytes) -> Parsed[dict[str, Any]]:
    """The envelope of every answer. ok: retCode 0 and a result."""
    if len(body) > BODY_BYTES_MAX:
        return Parsed(False, reason=f"an answer of {len(body)} bytes, at most {BODY_BYTES_MAX} is read")
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Parsed(False, reason=f"not JSON: {shown(bytes(body[:60]))}")
    if type(message) is not dict or type(message.get("retCode")) is not int:
        return Parsed(False, reason=f"no retCode: {shown(bytes(body[:60]))}")
    code, message_text, ts_ms = message["retCode"], rows.message_text(message.get("retMsg")), message.get("time")
    ts_ms = ts_ms if type(ts_ms) is int else 0
    result = message.get("result")
    if code != 0:
        return Parsed(False, None, code, message_text, f"the venue answered {code}: {message_text or 'no message'}", ts_ms=ts_ms)
    if type(result) is not dict:
        return Parsed(False, None, code, message_text, f"result: expected an object, got {shown(result)}", ts_ms=ts_ms)
    return Parsed(True, result, code, message_text, ts_ms=ts_ms)


def _read(body: bytes, reader: Callable[[dict[str, Any]], T]) -> Parsed[T]:
    answer = envelope(body)
    if not answer.ok or answer.value is None:
        return Parsed(False, None, answer.code, answer.message, answer.reason, ts_ms=answer.ts_ms)
    try:
        value, cursor = reader(answer.value), rows.text(answer.value, "nextPageCursor", CURSOR_MAX)
    except Refused as why:
        return Parsed(False, None, answer.code, answer.message, f"{why.args[0]}: {why.args[1]}", ts_ms=answer.ts_ms)
    return Parsed(True, value, answer.code, answer.message, cursor=cursor, ts_ms=answer.ts_ms)


def _rows(result: dict[str, Any], reader: Callable[[dict[str, Any]], T], key: str = "list") -> tuple[T, ...]:
    if result.get("category", CATEGORY) not in (CATEGORY, ""):
        raise Refused("wrong category", f"expected {CATEGORY}, got {shown(result['category'])}")
    found = result.get(key)
    if found is None:
        found = ()  # an account that never had one
    if type(found) not in (list, tuple) or not all(type(row) is dict for row in found):
        raise Refused("bad structure", f"{key}: expected an array of objects, got {shown(found)}")
    return tuple(map(reader, found))


def parse_orders(body: bytes) -> Parsed[tuple[OrderState, ...]]:
    """order/realtime and order/history."""
    return _read(body, lambda result: _rows(result, rows.order_state))


def parse_executions(body: bytes) -> Parsed[tuple[Execution, ...]]:
    """execution/list."""
    return _read(body, lambda result: _rows(result, rows.execution))


def parse_positions(body: bytes) -> Parsed[tuple[Position, ...]]:
    """position/list; flat rows included."""
    return _read(body, lambda result: _rows(result, rows.position))


def parse_wallet(body: bytes, coin: str = SETTLE) -> Parsed[Wallet]:
    """wallet-balance of the unified account."""
    ts_ms = envelope(body).ts_ms

    def one(result: dict[str, Any]) -> Wallet:
        found = _rows(result, lambda row: rows.wallet(row, ts_ms, coin))
        if len(found) != 1:
            raise Refused("bad structure", f"list: expected one account, got {len(found)}")
        return found[0]

    return _read(body, one)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if type(value) is not list or not all(type(one) is str for one in value):
        raise Refused("bad structure", f"{where}: expected an array of texts, got {shown(value)}")
    return tuple(value)


def _key_info(result: dict[str, Any]) -> KeyInfo:
    given = result.get("permissions")
    if type(given) is not dict:
        raise Refused("bad structure", f"permissions: expected an object, got {shown(type(given).__name__)}")
    if result.get("readOnly") not in (0, 1):
        raise Refused("bad integer", "readOnly: expected 0 or 1")
    expires = rows.text(result, "expiredAt")
    return KeyInfo(
        read_only=result["readOnly"] == 1,
        permissions={name: _texts(rights, f"permissions.{name}") for name, rights in given.items()},
        ips=tuple(ip for ip in _texts(result.get("ips"), "ips") if ip not in ("*", "")),
        expires="" if expires.startswith("1970-") else expires,
        days_left=rows.integer(result, "deadlineDay", low=-100_000),
        note=rows.text(result, "note"),
        vip=rows.text(result, "vipLevel"),
        unified=rows.integer(result, "uta") != 0 or rows.integer(result, "unified") != 0,
        master=rows.flag(result, "isMaster") if "isMaster" in result else True,
    )


def parse_key_info(body: bytes) -> Parsed[KeyInfo]:
    """query-api. Neither key nor secret is taken out of the answer."""
    return _read(body, _key_info)


def parse_account_info(body: bytes) -> Parsed[AccountInfo]:
    """account/info."""
    return _read(body, lambda result: AccountInfo(rows.text(result, "marginMode"), rows.integer(result, "unifiedMarginStatus")))


def _fee_rate(row: dict[str, Any]) -> FeeRate:
    for key in ("makerFeeRate", "takerFeeRate"):
        if row.get(key) in (None, ""):  # no rate is not a rate of zero
            raise Refused("bad number", f"{key}: empty or absent")
    return FeeRate(rows.named(row), rows.number(row, "makerFeeRate", signed=True), rows.number(row, "takerFeeRate", signed=True))


def parse_fee_rates(body: bytes) -> Parsed[tuple[FeeRate, ...]]:
    """fee-rate."""
    return _read(body, lambda result: _rows(result, _fee_rate))


def parse_dcp_info(body: bytes) -> Parsed[Mapping[str, float]]:
    """query-dcp-info: seconds of disconnection after which the venue cancels, by product; empty where the account has no such switch."""

    def switch(row: dict[str, Any]) -> tuple[str, str, float]:
        return rows.text(row, "product"), rows.text(row, "dcpStatus"), rows.number(row, "timeWindow")

    return _read(body, lambda result: {product: seconds for product, status, seconds in _rows(result, switch, "dcpInfos") if status == "ON"})


def parse_server_time(body: bytes) -> Parsed[int]:
    """market/time, ns UTC."""

    def ns(result: dict[str, Any]) -> int:
        found = rows.integer(result, "timeNano") or rows.integer(result, "timeSecond") * 1_000_000_000
        if found <= 0:
            raise Refused("bad integer", "timeNano and timeSecond: empty or absent")
        return found

    return _read(body, ns)


def parse_last_price(body: bytes) -> Parsed[float]:
    """market/tickers of one symbol: its last trade's price."""

    def price(result: dict[str, Any]) -> float:
        found = _rows(result, lambda row: rows.number(row, "lastPrice"))
        if len(found) != 1 or found[0] <= 0.0:
            raise Refused("bad number", "lastPrice: expected one price above 0")
        return found[0]

    return _read(body, price)


def interpret_reply(status: int, body: bytes, asked: Asked) -> Verdict:
    """The outcome of a REST request, by its HTTP status (0 = no answer) and its body. A body with a result code wins over the status; what cannot be
    read is UNKNOWN."""
    answer = envelope(body)
    if answer.code == NO_CODE:
        outcome_ = http_outcome(status, asked)
        message_text = f"HTTP {status}" if status else "no answer"
        return Verdict(outcome_, NO_CODE, f"{message_text}: {answer.reason}" if body else message_text)
    verdict = outcome(answer.code, asked)
    result = answer.value or {}
    ids = [result.get(key) if type(result.get(key)) is str else "" for key in ("orderId", "orderLinkId")]
    return Verdict(verdict, answer.code, answer.message or meaning(answer.code), str(ids[0]), str(ids[1]))


def reset_ms(headers: Mapping[str, str]) -> int:
    """When the rate limit of an endpoint begins anew, by an answer's headers, whatever their case; 0 = not said."""
    return rows.digits({name.lower(): value for name, value in headers.items()}.get("x-bapi-limit-reset-timestamp"))
