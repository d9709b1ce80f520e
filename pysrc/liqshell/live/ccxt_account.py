"""The venue side of a run that trades through ccxt: LiveAccount with other requests, another stream, and other conditions for its start."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence
from typing import Any

from liqshell.config.load import Config
from liqshell.errors import ConfigError, VenueError
from liqshell.live.account import LiveAccount
from liqshell.live.admission import Admission
from liqshell.live.ccxt_client import EXCHANGES, OKX, Exchange, make_exchange
from liqshell.live.ccxt_poller import PollLink
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
from liqshell.venues.reports import Execution

_log = logging.getLogger("liqshell.live")
WARNING = (
    "ccxt cannot attach a stop to an entry. From a fill until the stop order rests, the position has NO stop at the venue: one to two "
    "seconds, longer with several busy contracts. If this machine fails in that time, nothing protects the position. Fills are polled."
)


def refuse_without_consent(config: Config) -> None:
    """Refuses a start if the user has not accepted the missing functions of ccxt."""
    live = config.live
    problems = []
    if not live.accept_watched_stop:
        problems.append(
            ConfigError(
                "live.accept_watched_stop",
                "not set",
                "true",
                "With ccxt the stop is a separate order, placed right after the fill. Read docs/live.md, and set this key if you accept that",
            )
        )
    if live.watchdog:
        problems.append(
            ConfigError("live.watchdog", "true", 'false with via = "ccxt"', "The watchdog supports Bybit only; no second process cancels orders here")
        )
    if _name_of(config) in OKX and not short_name(config.run.name or "live").isalnum():
        problems.append(
            ConfigError(
                "run.name",
                f"found {config.run.name!r}",
                "letters and digits",
                "Every client order id begins with it, and OKX accepts only these characters",
            )
        )
    if problems:
        raise ConfigError('[live] via = "ccxt"', problems=problems)


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
        except Exception as why:  # whatever ccxt makes of it
            page = redact(f"{type(why).__name__}: {why}"[:200])
            passing = outcome_of(why, Asked.QUERY) in (Outcome.LATER, Outcome.UNKNOWN, Outcome.CLOCK)
            return [
                Finding(
                    "keys",
                    Effect.WAIT if passing else Effect.END,
                    f"the venue does not accept the key, or the wallet cannot be read: {page}",
                    "Give a key that may trade and may not withdraw",
                )
            ]
        if equity <= 0.0:
            return [Finding("wallet", Effect.END, f"the account holds {equity:g}, too little to trade", "Fund the account, or choose another")]
        self.money = Account(equity, available, "(unknown through ccxt)", "", True)
        return []

    def _account(self) -> Account | None:
        return self.money


class _Books:
    """The account by ccxt, as equity.Books."""

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
        except Exception as why:  # whatever ccxt makes of it
            _log.warning("the account could not be read: %s", redact(f"{type(why).__name__}: {why}"[:200]))
            return None


class CcxtAccount(LiveAccount):
    """As LiveAccount. exchange: a ccxt exchange to use, for tests; by default the one that the configuration names is made."""

    _equity_s = 10.0  # each contract is asked about alone
    _patience = 2.0  # a stop takes up to ten requests of 100 ms, with the questions that confirm it
    _first_timeout_s = 5.0  # likewise: one question is several requests

    def __init__(self, config: Config, keys: Keys, *, exchange: Any = None, **options: Any):
        refuse_without_consent(config)
        super().__init__(config, keys, **options)
        if self.adopt:
            raise ConfigError(
                "--adopt",
                'given with [live] via = "ccxt"',
                "an account with a built-in connection",
                "Close the position, or set its stop: liqcore does not trade its contract",
            )
        self._made = exchange
        self.exchange: Exchange

    def _connect(self) -> None:
        feed = self.config.feed
        made = self._made if self._made is not None else make_exchange(_name_of(self.config), self._keys, feed.rest_url if feed.rest else "", feed.ca)
        venue = self.instruments[0].venue
        own = [i for i in self.instruments if i.venue == venue]
        # the prefix of an existing state folder is known only once it is open: bind() sets it
        self.exchange = Exchange(made, own, make_prefix(self.config.run.name or "live", 0), self._market_ms)
        self.rest = self.exchange  # type: ignore[assignment]
        self.links = {Channel.PRIVATE: PollLink(self.exchange, self._on_frame, self._on_channel)}  # type: ignore[dict-item]
        _log.warning(WARNING)

    def _make_admission(self) -> Admission:
        return _Admission(self.config, self.instruments, self.rest, self.run.patience, self.now, self.run.stopping)

    def _books(self) -> Books:
        self.exchange.prefix = self.state.prefix
        return _Books(self.exchange)

    def _port(self, real: bool) -> Port:
        self.exchange.prefix = self.state.prefix
        return CcxtPort(self.state.prefix, self.engine.instruments, self.exchange.separator)
