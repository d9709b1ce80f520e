"""The reports of an account without a stream: orders, executions and positions are polled, and changes are reported."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from liqshell.live.ccxt_client import Exchange
from liqshell.log import redact
from liqshell.venues.ccxt.mapping import outcome_of
from liqshell.venues.effects import Channel
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import ENDED, Standing

POLL_S = 0.3  # wall, between two rounds
HOT_MS = 10_000  # so long after something rested, was held or was sent a contract is looked at every round; of the others one
FAILURES_MAX = 3  # rounds in a row, then the channel counts as down
RECONNECT_S = (0.5, 30.0)
OVERLAP_MS = 60_000
SEEN_MAX = 10_000
_log = logging.getLogger("liqshell.live")


class PollLink:
    """In the place of live.channel.Link for Channel.PRIVATE. on_frame(channel, raw), on_channel(channel, up): told what happens."""

    def __init__(self, exchange: Exchange, on_frame: Callable[[Channel, bytes], None], on_channel: Callable[[Channel, bool], None]):
        self.channel = Channel.PRIVATE
        self.transport = None
        self.connects = self.rounds = 0
        self._exchange = exchange
        self._on_frame, self._on_channel = on_frame, on_channel
        self._wanted = asyncio.Event()
        self._up = self._polling = False
        self._last_rows: dict[str, str] = {}  # what was said last of each order and position
        self._open: dict[str, str] = {}  # order id -> symbol, of those that may still do something
        self._seen: dict[str, None] = {}  # executions
        self._since: dict[str, int] = {}  # symbol -> ms of its newest execution
        self._active: dict[str, int] = {}  # symbol -> ms, when something last rested or was held there
        self._whole = True  # the next round looks at every contract
        self._failures = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        """Begin anew; on_channel(channel, True) follows."""
        if self._up:
            self._down()
        self._wanted.set()

    def send(self, frame: bytes) -> bool:
        """auth, subscribe, ping."""
        if not self._up:
            return False
        if frame == b"auth":
            task = asyncio.get_running_loop().create_task(self._login())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif frame == b"subscribe":
            self._polling = True
            self._emit_notice("SUBSCRIBED")
        elif frame == b"ping" and not self._failures:
            self._emit_notice("PONG")
        return True

    def _emit_notice(self, kind: str, text: str = "", fatal: bool = False) -> None:
        """Later: the gateway is not to be called back from within its own call."""
        raw = json.dumps({"said": kind, "text": text, "fatal": fatal}).encode()
        asyncio.get_running_loop().call_soon(lambda: self._on_frame(self.channel, raw) if self._up else None)

    async def _login(self) -> None:
        try:
            await self._exchange.balance()
        except Exception as why:  # whatever ccxt makes of it
            outcome = outcome_of(why, Asked.AUTH)
            self._emit_notice("REFUSED", redact(f"{type(why).__name__}: {why}"[:200]), outcome == Outcome.FATAL)
        else:
            self._emit_notice("AUTHENTICATED")

    def _down(self) -> None:
        self._up = self._polling = False
        self._on_channel(self.channel, False)

    async def run(self) -> None:
        """Serve connect() until cancelled."""
        attempt = 0
        try:
            while True:
                await self._wanted.wait()
                if attempt:
                    await asyncio.sleep(min(RECONNECT_S[1], RECONNECT_S[0] * 2 ** min(attempt, 8)))
                self._wanted.clear()
                self._up, self._failures = True, 0
                self._last_rows.clear()
                self._whole = True
                self.connects += 1
                self._on_channel(self.channel, True)
                while self._up and not self._wanted.is_set():
                    await asyncio.sleep(POLL_S)
                    if self._polling and await self._round():
                        attempt = 0
                attempt += 1
        finally:
            self._up = False  # its end is ours: not reported
            for task in self._tasks:
                task.cancel()

    async def _round(self) -> bool:
        """Every contract that something may happen to, and one of the others. False where it failed."""
        x = self._exchange
        hot_ms = x.now_ms() - HOT_MS
        hot = [symbol for symbol in x.unified if self._whole or max(self._active.get(symbol, 0), x.sent.get(symbol, 0)) > hot_ms]
        cold = [symbol for symbol in x.unified if symbol not in hot]
        try:
            for symbol in [*hot, *(cold[self.rounds % len(cold) :][:1] if cold else ())]:
                await self._report_changes(symbol)
        except Exception as why:  # whatever ccxt makes of it
            self._failures += 1
            if self._failures == FAILURES_MAX and self._up:
                _log.warning("account: %d polls failed: %s", FAILURES_MAX, redact(f"{type(why).__name__}: {why}"[:200]))
                self._down()
                self._wanted.set()
            return False
        self._failures = 0
        self._whole = False
        self.rounds += 1
        return True

    async def _report_changes(self, symbol: str) -> None:
        """Reports the changes of a contract. Nothing counts as told before all of its questions are answered."""
        x = self._exchange
        orders, position = await x.look(symbol)
        gone = {order_id for order_id, owner in self._open.items() if owner == symbol} - {row["order_id"] for row in orders}
        if gone:  # ended since the last round: how?
            orders += [row for row in await x.past_orders(symbol) if row["order_id"] in gone]
        found = await x.trades(symbol, self._since.get(symbol, x.now_ms()) - OVERLAP_MS)
        if not self._up:
            return
        changes: dict[str, list[dict[str, Any]]] = {"executions": [row for row in found if self._is_new(row)], "orders": [], "positions": []}
        for row in orders:
            if Standing(row["standing"]) in ENDED:
                self._open.pop(row["order_id"], None)
            else:
                self._open[row["order_id"]] = symbol
            if self._changed(row["order_id"], {key: value for key, value in row.items() if key != "updated_ms"}):
                changes["orders"].append(row)
        if position["qty"] or symbol in self._open.values():
            self._active[symbol] = x.now_ms()
        if self._changed(f"position {symbol}", {key: position[key] for key in ("side", "qty", "entry", "stop_loss")}):
            changes["positions"].append(position)
        if any(changes.values()):
            self._on_frame(self.channel, json.dumps(changes).encode())

    def _is_new(self, row: dict[str, Any]) -> bool:
        key = f"{row['symbol']} {row['id']}"
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.pop(next(iter(self._seen)))
        self._since[row["symbol"]] = max(self._since.get(row["symbol"], 0), row["ts_ms"])
        return True

    def _changed(self, key: str, value: dict[str, Any]) -> bool:
        text = json.dumps(value, sort_keys=True)
        before, self._last_rows[key] = self._last_rows.get(key), text
        return before != text
