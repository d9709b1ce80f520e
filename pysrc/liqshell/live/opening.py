"""What has to hold before a run may trade: one process per state folder, no kill, whole state, a key that may trade only, a person's word.

Everything here happens once, before the first frame; whatever does not hold is an error that says what to do.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import liqcore as lc
from liqcore.event import Reason
from liqshell.config import Config
from liqshell.errors import ConfigError, VenueError
from liqshell.gateway.effects import Call
from liqshell.live.rest import Rest
from liqshell.state.control import Control, Kill
from liqshell.state.image import IMAGE, Image
from liqshell.state.lock import Lock
from liqshell.state.prefix import make_prefix
from liqshell.state.sheet import Sheet, state_folder
from liqshell.state.store import Store
from liqshell.toml import SCALE
from liqshell.venues import bybit_answers, bybit_rest
from liqshell.venues.bybit_codes import Asked, Outcome, outcome

ENTRIES_MAX = 256               # a minute: the ring of liqcore.Guard
_log = logging.getLogger("liqshell.live")


@dataclass
class State:
    """An opened state folder. found: what the image held (Image.restore)."""

    folder: Path
    lock: Lock
    control: Control
    store: Store
    image: Image
    prefix: str                  # first part of every client order id
    found: dict[str, Any] = field(default_factory=dict)

    def close(self) -> bool:
        """False where not everything could be written."""
        self.image.flush()
        self.image.close()
        whole = self.store.close()
        self.control.close()
        self.lock.close()
        return whole


def open_state(config: Config, instruments: tuple[lc.Instrument, ...]) -> State:
    """Lock, control page, store and image. ConfigError where the folder is in use or killed, DataError where something in it is damaged."""
    folder = state_folder(config.run.out, config.run.name or "live")
    with contextlib.ExitStack() as undo:
        lock = undo.enter_context(Lock(folder))
        control = Control(folder)
        undo.callback(control.close)
        control.heed_kill_file()
        if control.kill != Kill.NO:
            raise ConfigError(str(folder), f"the kill switch is on ({control.reason or 'no reason given'}, by {control.by or 'unknown'})",
                              "a folder that is not killed", "Look at the account at the venue; then lift it: liqcore kill --lift")
        store = Store(folder, durable=config.live.durable)
        undo.callback(store.close)
        now = time.time_ns()
        image = Image(folder / IMAGE, instruments, make_prefix(config.run.name or "live", now), now)
        stop = max(config.policy_for(symbol).stop_loss for symbol in config.feed.symbols) / SCALE
        rest = config.feed.rest_url if config.feed.venue == "bybit" else ""        # a rescue speaks its language only
        sheet = Sheet(rest, config.feed.environment, config.run.name or "live", config.feed.symbols, stop,
                      config.live.recv_window_ms, config.feed.ca)
        sheet.save(folder)
        undo.pop_all()
    return State(folder, lock, control, store, image, str(image.run))


def restore(state: State, engine: lc.Engine) -> bytes:
    """The trades that the image holds, as a snapshot for the engine of the run; b"" where nothing was ever saved. engine: a new one of the same
    settings, for this purpose only; its equity is the account's."""
    state.found = state.image.restore(engine, engine.account.equity)
    if state.found["torn"]:
        _log.warning("state image: the last write of %s did not end; what was believed one write before counts", ", ".join(state.found["torn"]))
    return b"" if state.found["fresh"] else engine.trade_snapshot()


@dataclass(frozen=True)
class Account:
    """What the venue says of the key and its account. ips: addresses that the key is bound to, "" = none. days_left: of the key."""

    equity: float
    available: float
    ips: str
    expires: str
    unified: bool


async def check_account(rest: Rest) -> Account:
    """Ask for the key's rights and the wallet. VenueError with the exact reason where the key may not be used for trading."""
    answer = await _ask(rest, 1, bybit_rest.key_info())
    info = bybit_answers.parse_key_info(answer)
    if not info.ok or info.value is None:
        told, said = outcome(info.code, Asked.QUERY), f"{info.code} {info.message or info.reason}"
        if told == Outcome.CLOCK:
            raise VenueError(rest.base, f"our clock is not the venue's: {said}", "a time stamp within a second of the venue's",
                             "Set this machine's clock (NTP), then start again", info.code)
        if told == Outcome.LATER:
            raise VenueError(rest.base, f"the venue cannot say what the key may do: {said}", "an answer", "Start again in a while", info.code)
        raise VenueError(rest.base, f"the key is not accepted: {said}", "a valid API key", "Check the key, its address list and the environment",
                         info.code)
    key = info.value
    if key.may_withdraw:
        raise VenueError(rest.base, "this key may withdraw money", "a key without that right", "Remove the right at the venue: a bot never needs it")
    if not key.may_trade:
        raise VenueError(rest.base, "this key may not trade" + (" (it is read-only)" if key.read_only else ""),
                         "a key with the rights to orders and positions of contracts", "Give it these rights at the venue")
    wallet = bybit_answers.parse_wallet(await _ask(rest, 2, bybit_rest.wallet()))
    if not wallet.ok or wallet.value is None:
        raise VenueError(rest.base, f"the wallet cannot be read: {wallet.code} {wallet.message or wallet.reason}", "a unified account in USDT", "",
                         wallet.code)
    if wallet.value.equity <= 0.0:
        raise VenueError(rest.base, f"the account holds {wallet.value.equity:g} USDT", "money to trade with", "Fund the account, or choose another")
    return Account(wallet.value.equity, wallet.value.available, ", ".join(key.ips), key.expires, key.unified)


async def _ask(rest: Rest, number: int, request: bybit_rest.Request) -> bytes:
    answer = await rest.call(Call(number, request.method, request.path, request.query, request.body, 10.0, request.weight))
    if not answer.status:
        raise VenueError(rest.base, f"no answer to {request.path} ({answer.why})", "an answer", "Check [feed] and the network")
    if answer.status >= 500 or answer.status in (401, 403, 404, 429):
        raise VenueError(rest.base, f"HTTP {answer.status} to {request.path}", "200", code=answer.status)
    return answer.body


def terms(config: Config, account: Account, state: State, config_hash: str) -> str:
    """What a person agrees to, in plain words."""
    limits, sizes = config.limits, []
    for symbol in config.feed.symbols:
        policy = config.policy_for(symbol)
        size = f"{policy.equity_share:g} x equity" if policy.equity_share else f"{policy.notional:g} USDT"
        sizes.append(f"{symbol} {size}, stop {policy.stop_loss / SCALE:.2%}")
    still = f"open trades taken up: {', '.join(state.found['open'])}" if state.found.get("open") else "no open trades from before"
    return "\n".join([
        f"REAL ORDERS at {config.feed.rest_url} ({config.feed.environment}).",
        f"  account     {account.equity:,.2f} USDT equity, {account.available:,.2f} available; key bound to {account.ips or 'NO address'}",
        f"  contracts   {'; '.join(sizes)}",
        f"  limits      one order {limits.order_notional_max:,.0f} USDT, all {limits.exposure_max:,.0f} USDT, leverage {limits.leverage_max:g}, "
        f"positions {limits.positions_max}, entries a minute {limits.orders_per_minute_max}, "
        f"loss a day {limits.daily_loss_max / SCALE:.2%}, a week {limits.weekly_loss_max / SCALE:.2%}",
        f"  evidence    {config.preset_of().name}: {config.preset_of().grade}",
        f"  state       {state.folder} (orders {state.prefix}-...; {still})",
        f"  settings    {config_hash[:16]}",
    ])


def confirm_or_refuse(config: Config, text: str, confirm: Callable[[str, str], bool] | None) -> None:
    """confirm(terms, word): whether a person typed the word. None = was agreed to on the command line, or the venue is on this machine."""
    if confirm is not None and not confirm(text, config.feed.environment.upper()):
        raise ConfigError("--live", "not confirmed", f"{config.feed.environment.upper()} typed at the prompt", "Nothing was sent")


def halted_before(state: State) -> Reason:
    """The halt that latched in the run before and that nobody has lifted since; OK = none."""
    halted = Reason(state.found.get("halted", Reason.OK))
    lifts = state.store.rows("kills", last=1)
    begun = state.store.rows("runs", "started_ns IS NOT NULL", last=1)
    if halted == Reason.HALTED and lifts and lifts[0]["action"] == "lift" and lifts[0]["ts_ns"] > (begun[0]["started_ns"] if begun else 0):
        state.found["lifted"] = True
    return halted


def refuse_unsafe(config: Config) -> None:
    """What a configuration may say on paper, and not where money is real."""
    if config.feed.venue != "bybit" and config.live.via != "ccxt":
        raise ConfigError("[feed] venue", f"found {config.feed.venue!r}", "bybit, whose account we speak to ourselves; or [live] via = \"ccxt\"",
                          "Or trade it on paper")
    foreign = [symbol for symbol in config.feed.symbols if not re.search(r"[^-]USDT(-|$)", symbol)] if config.feed.venue == "bybit" else []
    if foreign:             # positions, orders and the wallet are asked for by this coin: of another one none would be seen
        raise ConfigError("[feed] symbols", f"not settled in USDT: {', '.join(foreign)}", "contracts such as 'ETHUSDT', where real orders are sent",
                          "Or trade them on paper")
    if config.limits.orders_per_minute_max > ENTRIES_MAX:
        raise ConfigError("[limits] orders_per_minute_max", f"{config.limits.orders_per_minute_max}",
                          f"at most {ENTRIES_MAX} where real orders are sent", "The last hop counts no further, and would halt the run there")
    if not config.record.enabled:
        raise ConfigError("[record] enabled", "false", "true where real orders are sent", "A run that cannot be replayed cannot be explained")
