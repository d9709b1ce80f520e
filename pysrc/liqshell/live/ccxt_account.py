"""The venue side of a run that trades through ccxt: LiveAccount with another language, another stream, and what has to hold before it may begin."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from liqshell.config.load import Config
from liqshell.errors import ConfigError, VenueError
from liqshell.live.account import LiveAccount
from liqshell.live.admission import Admission
from liqshell.live.ccxt_client import EXCHANGES, OKX, Exchange, make_exchange
from liqshell.live.equity import Books
from liqshell.live.opening import Account
from liqshell.live.start import Effect, Finding
from liqshell.log import redact
from liqshell.state.prefix import make_prefix, short_name
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.ccxt.mapping import outcome_of
from liqshell.venues.ccxt.port import CcxtPort
from liqshell.venues.effects import Channel
from liqshell.venues.order_port import Port
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import ENDED, Execution, Standing

# The stream of an account that has none for us: orders, executions and positions are asked for again and again, and what has changed is told.
POLL_S = 0.3                    # wall, between two rounds
HOT_MS = 10_000                 # so long after something rested, was held or was sent a contract is looked at every round; of the others one
FAILURES_MAX = 3                # rounds in a row, then the channel counts as down
RECONNECT_S = (0.5, 30.0)
OVERLAP_MS = 60_000
SEEN_MAX = 10_000


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
        self._last_rows: dict[str, str] = {}                 # what was said last of each order and position
        self._open: dict[str, str] = {}                 # order id -> symbol, of those that may still do something
        self._seen: dict[str, None] = {}                # executions
        self._since: dict[str, int] = {}                # symbol -> ms of its newest execution
        self._active: dict[str, int] = {}               # symbol -> ms, when something last rested or was held there
        self._whole = True                              # the next round looks at every contract
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
        except Exception as why:            # whatever ccxt makes of it
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
            self._up = False                # its end is ours: nobody is told
            for task in self._tasks:
                task.cancel()

    async def _round(self) -> bool:
        """Every contract that something may happen to, and one of the others. False where it failed."""
        x = self._exchange
        hot_ms = x.now_ms() - HOT_MS
        hot = [symbol for symbol in x.unified if self._whole or max(self._active.get(symbol, 0), x.sent.get(symbol, 0)) > hot_ms]
        cold = [symbol for symbol in x.unified if symbol not in hot]
        try:
            for symbol in [*hot, *(cold[self.rounds % len(cold):][:1] if cold else ())]:
                await self._report_changes(symbol)
        except Exception as why:            # whatever ccxt makes of it
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
        """What has changed of a contract. Nothing counts as told before all of its questions are answered."""
        x = self._exchange
        orders, position = await x.look(symbol)
        gone = {order_id for order_id, owner in self._open.items() if owner == symbol} - {row["order_id"] for row in orders}
        if gone:                            # ended since the last round: how?
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


_log = logging.getLogger("liqshell.live")
WARNING = ("ccxt cannot attach a stop to an entry. From a fill until the stop order rests, the position has NO stop at the venue: one to two "
           "seconds, longer with several busy contracts. If this machine fails in that time, nothing protects the position. Fills are polled.")


def refuse_without_consent(config: Config) -> None:
    """What ccxt cannot do, and the user has not accepted."""
    live = config.live
    problems = []
    if not live.accept_watched_stop:
        problems.append(ConfigError("live.accept_watched_stop", "not set", "true", "With ccxt the stop is a separate order, placed right after the "
                                    "fill. Read docs/live.md, and set this key if you accept that"))
    if live.watchdog:
        problems.append(ConfigError("live.watchdog", "true", "false with via = \"ccxt\"", "The watchdog supports Bybit only; no second process "
                                    "cancels orders here"))
    if _name_of(config) in OKX and not short_name(config.run.name or "live").isalnum():
        problems.append(ConfigError("run.name", f"found {config.run.name!r}", "letters and digits", "Every client order id begins with it, and OKX "
                                    "accepts only these characters"))
    if problems:
        raise ConfigError("[live] via = \"ccxt\"", problems=problems)


def _name_of(config: Config) -> str:
    """ccxt's name of the exchange."""
    return config.live.exchange or EXCHANGES.get(config.feed.venue, "")


class _Admission(Admission):
    """The wallet is all that ccxt can tell of an account."""

    rest: Any
    money: Account | None = None

    async def decide(self, tries: int = 1) -> list[Finding]:
        """Ask for it, and judge."""
        try:
            await self.rest.open()
            equity, available = await self.rest.balance()
        except VenueError as why:
            return [Finding("keys", Effect.WAIT if why.passing else Effect.END, why.found, why.action)]
        except Exception as why:                     # whatever ccxt makes of it
            page = redact(f"{type(why).__name__}: {why}"[:200])
            passing = outcome_of(why, Asked.QUERY) in (Outcome.LATER, Outcome.UNKNOWN, Outcome.CLOCK)
            return [Finding("keys", Effect.WAIT if passing else Effect.END, "the venue does not accept the key, or the wallet cannot be read: "
                                                                            f"{page}",
                            "Give a key that may trade and may not withdraw")]
        if equity <= 0.0:
            return [Finding("wallet", Effect.END, f"the account holds {equity:g}, too little to trade", "Fund the account, or choose another")]
        self.money = Account(equity, available, "(unknown through ccxt)", "", True)
        return []

    def _account(self) -> Account | None:
        return self.money


class _Books:
    """What ccxt says of the account, as equity.Books."""

    def __init__(self, exchange: Exchange):
        self._exchange = exchange

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[Execution] | None:
        page = await self._whole(self._exchange.do_executions(since_ms))
        return None if page is None else [Execution(**row) for row in page["items"]]

    async def held(self) -> dict[str, float] | None:
        page = await self._whole(self._exchange.do_positions())
        return None if page is None else {row["symbol"]: row["qty"] * row["side"] for row in page["items"] if row["qty"]}

    async def cash(self) -> float | None:
        found: float | None = await self._whole(self._exchange.cash())
        return found

    def ours(self, link_id: str) -> bool:
        run, found, _ = link_id.rpartition(self._exchange.separator)
        return bool(found) and run == self._exchange.prefix

    async def _whole(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except Exception as why:                     # whatever ccxt makes of it
            _log.warning("the account could not be read: %s", redact(f"{type(why).__name__}: {why}"[:200]))
            return None


class CcxtAccount(LiveAccount):
    """As LiveAccount. exchange: a ccxt exchange to use, for tests; by default the one that the configuration names is made."""

    _equity_s = 10.0                # each contract is asked about alone
    _patience = 2.0                 # a stop takes up to ten requests of 100 ms, with the questions that confirm it
    _first_timeout_s = 5.0          # likewise: one question is several requests

    def __init__(self, config: Config, keys: Keys, *, exchange: Any = None, **options: Any):
        refuse_without_consent(config)
        super().__init__(config, keys, **options)
        if self.adopt:
            raise ConfigError("--adopt", "given with [live] via = \"ccxt\"", "an account with a built-in connection", "Close the position, or set "
                              "its stop: liqcore does not trade its contract")
        self._made = exchange
        self.exchange: Exchange

    def _connect(self) -> None:
        feed = self.config.feed
        made = self._made if self._made is not None else make_exchange(_name_of(self.config), self._keys, feed.rest_url if feed.rest else "", feed.ca)
        venue = self.instruments[0].venue
        own = [i for i in self.instruments if i.venue == venue]
        # the prefix of an existing state folder is known only once it is open: bind() sets it
        self.exchange = Exchange(made, own, make_prefix(self.config.run.name or "live", 0), self._market_ms)
        self.rest = self.exchange                    # type: ignore[assignment]
        self.links = {Channel.PRIVATE: PollLink(self.exchange, self._on_frame, self._on_channel)}      # type: ignore[dict-item]
        _log.warning(WARNING)

    def _make_admission(self) -> Admission:
        return _Admission(self.config, self.instruments, self.rest, self.run.patience, self.now, self.run.stopping)

    def _books(self) -> Books:
        self.exchange.prefix = self.state.prefix
        return _Books(self.exchange)

    def _port(self, real: bool) -> Port:
        self.exchange.prefix = self.state.prefix
        return CcxtPort(self.state.prefix, self.engine.instruments, self.exchange.separator)
