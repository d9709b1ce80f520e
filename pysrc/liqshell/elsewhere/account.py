"""The venue side of a run that trades through ccxt: LiveAccount with another language, another stream, and what has to hold before it may begin."""

from __future__ import annotations

import logging
from typing import Any

from liqshell.config import Config
from liqshell.elsewhere.exchange import EXCHANGES, OKX, Exchange, make_exchange
from liqshell.elsewhere.link import PollLink
from liqshell.elsewhere.port import CcxtPort
from liqshell.errors import ConfigError, VenueError
from liqshell.gateway.effects import Channel
from liqshell.gateway.port import Port
from liqshell.live.account import LiveAccount
from liqshell.live.opening import Account
from liqshell.log import redact
from liqshell.state.prefix import make_prefix, short_name
from liqshell.venues.bybit_signing import Keys

_log = logging.getLogger("liqshell.live")
WARNING = ("This venue is reached through ccxt, which cannot attach a stop to an entry. From a fill until its stop order rests, the position has NO "
           "stop at the venue, and nothing protects it if this machine dies in between: one to two seconds, longer with several contracts busy at "
           "once. Fills are polled for.")


def refuse_without_consent(config: Config) -> None:
    """What ccxt cannot do, and the user has not accepted."""
    live = config.live
    problems = []
    if not live.accept_watched_stop:
        problems.append(ConfigError("live.accept_watched_stop", "not set", "true", "Through ccxt no stop travels with an entry: it is placed as an "
                                    "order of its own right after the fill, and watched. Read docs/live.md, then set it if that will do"))
    if live.watchdog:
        problems.append(ConfigError("live.watchdog", "true", "false with via = \"ccxt\"", "It speaks to Bybit only; there is no second process that "
                                    "withdraws orders here"))
    if _name_of(config) in OKX and not short_name(config.run.name or "live").isalnum():
        problems.append(ConfigError("run.name", f"found {config.run.name!r}", "letters and digits", "It begins every client order id, and OKX takes "
                                    "nothing else in one"))
    if problems:
        raise ConfigError("[live] via = \"ccxt\"", problems=problems)


def _name_of(config: Config) -> str:
    """ccxt's name of the exchange."""
    return config.live.exchange or EXCHANGES.get(config.feed.venue, "")


class ElsewhereAccount(LiveAccount):
    """As LiveAccount. exchange: a ccxt exchange to use, for tests; by default the one that the configuration names is made."""

    def __init__(self, config: Config, keys: Keys, *, exchange: Any = None, **options: Any):
        refuse_without_consent(config)
        super().__init__(config, keys, **options)
        self._made = exchange
        self.exchange: Exchange

    def _connect(self) -> None:
        feed = self.config.feed
        made = self._made if self._made is not None else make_exchange(_name_of(self.config), self._keys, feed.rest_url if feed.rest else "")
        venue = self.instruments[0].venue
        own = [i for i in self.instruments if i.venue == venue]
        # the prefix of an existing state folder is known only once it is open: bind() sets it
        self.exchange = Exchange(made, own, make_prefix(self.config.run.name or "live", 0), self._market_ms)
        self.rest = self.exchange                    # type: ignore[assignment]
        self.links = {Channel.PRIVATE: PollLink(self.exchange, self._on_frame, self._on_channel)}      # type: ignore[dict-item]
        _log.warning(WARNING)

    async def _check(self) -> Account:
        await self.exchange.open()
        try:
            equity, available = await self.exchange.balance()
        except Exception as why:                     # whatever ccxt makes of it
            told = redact(f"{type(why).__name__}: {why}"[:200])
            raise VenueError(self.exchange.base, f"the key is not accepted, or the wallet cannot be read: {told}",
                             "a key that may trade and may not withdraw") from None
        if equity <= 0.0:
            raise VenueError(self.exchange.base, f"the account holds {equity:g}", "money to trade with", "Fund the account, or choose another")
        return Account(equity, available, "(ccxt cannot say)", "", True)

    def _port(self, real: bool) -> Port:
        self.exchange.prefix = self.state.prefix
        return CcxtPort(self.state.prefix, self.session.pipeline.instruments, self.exchange.separator)       # type: ignore[union-attr]
