"""Orders at the venue. The id of an order is its hash, which is stored before the order is sent. An order of unknown outcome is queried, never sent
again.

A bet is one FAK order. Its fate is read from the account's trades: MATCHED may still fail, CONFIRMED is a position. Heartbeats run as long as this
does, so that the venue cancels what could rest when we are gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

import orjson

from liqshell.binary.book import ZERO
from liqshell.binary.desk import CONFIRMED, DELAYED, FAILED, KILLED, MATCHED, OUT, Bet, Request
from liqshell.errors import VenueError
from liqshell.venues.polymarket import signing
from liqshell.venues.polymarket.market import taker_fee
from liqshell.web import AGENT, Reply, Web

ASK_S, BEAT_S, LOOK_S = 5.0, 5.0, 0.5  # wall seconds
GONE_LOOKS, GONE_S = 5, 60.0  # a FAK that is not open and has no trade counts as absent after this many answers over this long
PAGES_MAX, LAST_PAGE = 50, "LTE="  # of a market's trades, 100 a page; the cursor behind the last one
_log = logging.getLogger("liqshell.binary")


def fate(bet: Bet, trades: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The state of a bet by the account's trades, for Desk.report; None if no trade belongs to its order. Trades that failed are no shares."""
    mine = [one for one in trades if isinstance(one, Mapping) and bet.order and bet.order in _orders_of(one)]
    rows = []
    for one in mine:
        try:
            shares, price = Decimal(str(one["size"])), Decimal(str(one["price"]))
            if not (0 < price < 1 and shares > 0):
                raise ValueError
        except (KeyError, InvalidOperation, ValueError):
            return None  # half an answer is none
        rows.append((str(one.get("status", "")).upper().removeprefix("TRADE_STATUS_"), shares, price))
    if not rows:
        return None
    left = [row for row in rows if row[0] != "FAILED"]
    state = FAILED if not left else CONFIRMED if all(row[0] == "CONFIRMED" for row in left) else MATCHED
    if state == CONFIRMED and len(left) < len(rows):
        _log.error("bet %d: %d of its %d trades failed", bet.number, len(rows) - len(left), len(rows))
    return {
        "bet": bet.number,
        "state": state,
        "filled": str(sum((row[1] for row in left), ZERO)),
        "cost": str(sum((row[1] * row[2] for row in left), ZERO)),
        "fee": str(sum((taker_fee(row[1], row[2], bet.rate) for row in left), ZERO)),
    }


def _orders_of(trade: Mapping[str, Any]) -> set[str]:
    makers = trade.get("maker_orders")
    rows = [one for one in makers if isinstance(one, Mapping)] if isinstance(makers, list) else []
    return {str(trade.get("taker_order_id", "")), *(str(one.get("order_id", "")) for one in rows)}


class Account:
    """clob: the address that takes orders. private_key: of the wallet, whose own address holds the money (signature type 0).
    bets(): those of the desk. report: into the desk and its recording."""

    def __init__(self, clob: str, private_key: str, bets: Callable[[], Iterable[Bet]], report: Callable[[dict[str, Any]], None]):
        self._web = Web(clob, AGENT, secret=True)
        self._private = private_key
        self.address = signing.address_of(private_key)
        self._bets, self._report = bets, report
        self._key: signing.ApiKey | None = None
        self._offset = 0.0
        self._missed: dict[int, tuple[int, float]] = {}  # bet -> looks without a trace, since when
        self._beat_id = ""
        self.balance = ZERO

    def __repr__(self) -> str:
        return f"Account({self.address})"

    async def open(self) -> None:
        """The venue's clock, the API key of the wallet, the balance; everything that is open is cancelled. VenueError where one of them fails."""
        reply = await self._ask("GET", "/time")
        try:
            self._offset = float(orjson.loads(reply.body)) - time.time()
        except (ValueError, TypeError):
            raise VenueError(self._web.base, f"no time: {reply.why or reply.status}", "the venue's clock", passing=True) from None
        self._key = await self._api_key()
        found = self._object(await self._call("GET", "/balance-allowance", query="?asset_type=COLLATERAL&signature_type=0"), "the balance")
        self.balance = Decimal(str(found.get("balance", "0"))) / signing.UNIT
        self._object(await self._call("DELETE", "/cancel-all"), "cancelled orders")

    async def close(self) -> None:
        await self._web.close()

    async def run(self) -> None:
        """Heartbeats and news of open bets, until cancelled. A bet of the run before that has no order was never sent: its id is kept first."""
        for bet in [one for one in self._bets() if one.state in OUT and not one.order]:
            self._report({"bet": bet.number, "state": KILLED})
        await asyncio.gather(self._beats(), self._looks())

    async def send(self, request: Request) -> None:
        """One order, once."""
        bet = next(one for one in self._bets() if one.number == request.bet)
        try:
            order = self.order_of(request, bet.made_ns)
        except ValueError as fault:
            _log.error("bet %d is not sent: %s", bet.number, fault)
            self._report({"bet": bet.number, "state": KILLED})
            return
        contract = signing.NEG_RISK_EXCHANGE if request.market.neg_risk else signing.EXCHANGE
        order_id = signing.order_hash(order, contract=contract)
        self._report({"bet": bet.number, "order": order_id})  # kept before it is sent
        signature = signing.sign_order(order, self._private, contract=contract)
        assert self._key is not None
        body = json.dumps(signing.body_of(order, signature, self._key.key, "FAK"), separators=(",", ":"))
        verdict, why = answer_of(await self._call("POST", "/order", body), order_id)
        if verdict == KILLED:
            _log.error("bet %d was refused: %s", bet.number, why)
        if verdict:
            self._report({"bet": bet.number, "state": verdict})
        else:
            _log.warning("bet %d: no answer (%s): its state is queried, and it is not sent again", bet.number, why)

    def order_of(self, request: Request, made_ns: int) -> signing.Order:
        """The order of a bet: the same bet has the same salt, so every process builds the same order. ValueError where it cannot be one."""
        maker, taker = signing.amounts(True, request.shares, request.limit, request.tick, marketable=True)
        digest = hashlib.blake2b(f"{self.address} {request.bet} {made_ns}".encode(), digest_size=8).digest()
        return signing.Order(int.from_bytes(digest, "big") >> 11, self.address, self.address, request.token, maker, taker, True, made_ns // 1_000_000)

    # ---- inside ----

    async def _api_key(self) -> signing.ApiKey:
        reply = await self._ask("GET", "/auth/derive-api-key", headers=signing.l1_headers(self._private, self._seconds()))
        if reply.status == 400:  # it has none yet
            reply = await self._ask("POST", "/auth/api-key", headers=signing.l1_headers(self._private, self._seconds()))
        if reply.status == 200:
            found = self._object(reply, "an API key")
            if all(isinstance(found.get(name), str) for name in ("apiKey", "secret", "passphrase")):
                return signing.ApiKey(found["apiKey"], found["secret"], found["passphrase"])
        raise VenueError(self._web.base, f"no API key for {self.address}: {reply.why or f'HTTP {reply.status}'}", "a wallet known to the venue")

    def _seconds(self) -> int:
        return int(time.time() + self._offset)

    async def _ask(self, method: str, target: str, body: str = "", headers: Mapping[str, str] | None = None) -> Reply:
        kind = {"Content-Type": "application/json"} if body else {}
        until = asyncio.get_running_loop().time() + ASK_S
        return await self._web.ask(method, target, until, body.encode() if body else None, {**(headers or {}), **kind})

    async def _call(self, method: str, path: str, body: str = "", query: str = "") -> Reply:
        """A signed request."""
        assert self._key is not None
        return await self._ask(method, path + query, body, signing.l2_headers(self._key, self.address, self._seconds(), method, path, body))

    def _object(self, reply: Reply, what: str) -> dict[str, Any]:
        try:
            found = orjson.loads(reply.body) if reply.status == 200 else None
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            passing = reply.status in (0, 429) or reply.status >= 500
            raise VenueError(self._web.base, f"{what}: {reply.why or f'HTTP {reply.status}'}", what, passing=passing)
        return found

    async def _beats(self) -> None:
        while True:
            reply = await self._call("POST", "/v1/heartbeats", json.dumps({"heartbeat_id": self._beat_id}))
            try:
                self._beat_id = str(orjson.loads(reply.body).get("heartbeat_id") or "")  # a stale id is answered with the one that is expected
            except (orjson.JSONDecodeError, AttributeError):
                _log.warning("no answer to a heartbeat (%s)", reply.why or reply.status)
            await asyncio.sleep(BEAT_S if reply.status == 200 else 0.5)

    async def _looks(self) -> None:
        while True:
            bets = list(self._bets())
            # also the latest that counts as gone: a delayed trade may be reported late
            for bet in [one for one in bets if one.order and (one.state in (*OUT, MATCHED) or one.state == KILLED and one is bets[-1])]:
                await self._look(bet)
            await asyncio.sleep(LOOK_S)

    async def _look(self, bet: Bet) -> None:
        """Asks for the state of a bet. The bet counts as absent only after several answers without it."""
        rows = await self._trades(bet.condition)
        if rows is None:
            return
        found = fate(bet, rows)
        if found is not None:
            self._missed.pop(bet.number, None)
            if bet.state == KILLED and found["state"] == FAILED:
                return  # nothing of it is left, either way
            if found["state"] != bet.state or Decimal(found["filled"]) != bet.filled:
                self._report(found)
            return
        if bet.state in (MATCHED, KILLED):
            return  # it was there: a list without it is not the whole list
        reply = await self._call("GET", f"/data/order/{bet.order}")
        if reply.status != 200 or reply.body.strip() not in (b"null", b""):
            return
        looks, since = self._missed.get(bet.number, (0, time.monotonic()))
        self._missed[bet.number] = (looks + 1, since)
        if looks + 1 >= GONE_LOOKS and time.monotonic() - since >= GONE_S:
            self._missed.pop(bet.number)
            self._report({"bet": bet.number, "state": KILLED})

    async def _trades(self, condition: str) -> list[Any] | None:
        """The account's trades in a market, each once; None where the list is not whole."""
        found: dict[Any, Any] = {}
        cursors = {""}
        query = {"market": condition}
        while len(cursors) <= PAGES_MAX:
            reply = await self._call("GET", "/data/trades", query="?" + urlencode(query))
            try:
                page: Any = orjson.loads(reply.body) if reply.status == 200 else None
                rows, cursor = page["data"], page.get("next_cursor") or LAST_PAGE
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
                return None
            if not isinstance(rows, list) or not isinstance(cursor, str) or cursor in cursors:
                return None
            for row in rows:  # one that comes between two questions is on both pages; its later state counts
                found[str(row["id"]) if isinstance(row, dict) and row.get("id") else len(found)] = row
            if cursor == LAST_PAGE:
                return list(found.values())
            cursors.add(cursor)
            query["next_cursor"] = cursor
        _log.error("the trades of %s have more than %d pages: the result of a bet there is not known", condition, PAGES_MAX)
        return None


def answer_of(reply: Reply, order_id: str) -> tuple[str, str]:
    """(state, why) of the answer to POST /order; "" = the outcome is unknown."""
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        return "", reply.why or f"HTTP {reply.status}"
    why = str(found.get("errorMsg") or found.get("error") or "")
    if reply.status == 200 and found.get("success") is True and found.get("orderID") == order_id:
        return DELAYED, ""  # also what is matched: its trades say the sizes
    if reply.status in (400, 401, 403) and why and "already exists" not in why:
        return KILLED, why
    if reply.status == 200 and found.get("success") is False and why:
        return KILLED, why
    return "", why or f"HTTP {reply.status}, id {str(found.get('orderID'))[:20]!r}"
