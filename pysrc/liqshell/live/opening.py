"""The conditions before a run may trade: one process per state folder, no kill, complete state, a key that may only trade, a person's confirmation.

Everything here happens once, before the first frame. Each failed check is an error that names the action.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import liqcore as lc
from liqcore.event import Reason
from liqshell import private
from liqshell.config.load import Config
from liqshell.config.sections import venue_named
from liqshell.errors import ConfigError, DataError
from liqshell.fields import SCALE
from liqshell.input_file import content
from liqshell.live.instruments import named_by
from liqshell.state.control import Control, Kill
from liqshell.state.folder import odd_file, read_state
from liqshell.state.image import IMAGE, Image
from liqshell.state.lock import Lock
from liqshell.state.prefix import make_prefix
from liqshell.state.sheet import Sheet, state_folder
from liqshell.state.store import Store
from liqshell.venues.adapters import ADAPTERS

ENTRIES_MAX = 256  # a minute: the ring of liqcore.Guard
CONTRACTS = "contracts.json"  # in the state folder: those of the latest start
_log = logging.getLogger("liqshell.live")


@dataclass
class State:
    """An opened state folder. found: what the image held (Image.restore)."""

    folder: Path
    lock: Lock
    control: Control
    store: Store
    image: Image
    prefix: str  # first part of every client order id
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
    if folder.is_dir() and (odd := odd_file(folder)) is not None:
        raise odd
    with contextlib.ExitStack() as undo:
        lock = undo.enter_context(Lock(folder))
        control = Control(folder)
        undo.callback(control.close)
        control.refresh()
        if control.kill != Kill.NO:
            damaged = f"; damaged: {', '.join(control.damaged)}" if control.damaged else ""
            raise ConfigError(
                str(folder),
                f"the kill switch is on ({control.reason or 'no reason given'}, by {control.by or 'unknown'}{damaged})",
                "a folder without the kill switch",
                "Look at the account at the venue; then lift it: liqcore kill --lift",
            )
        store = Store(folder, durable=config.live.durable)
        undo.callback(store.close)
        control.note = store.note_kill
        now = time.time_ns()
        image = Image(folder / IMAGE, instruments, make_prefix(config.run.name or "live", now), now)
        stop = max(config.policy_for(symbol).stop_loss for symbol in config.feed.symbols) / SCALE
        rest = config.feed.rest_url if config.feed.own_account else ""  # a rescue speaks its language only
        sheet = Sheet(rest, config.feed.environment, config.run.name or "live", config.feed.symbols, stop, config.live.recv_window_ms, config.feed.ca)
        try:
            sheet.save(folder)
            keep_contracts(folder, instruments)
        except OSError as why:
            raise DataError(
                str(why.filename or folder), f"cannot be written: {why.strerror}", "a writable folder on a disk with free space"
            ) from None
        undo.pop_all()
    return State(folder, lock, control, store, image, str(image.run))


def keep_contracts(folder: Path, instruments: Sequence[lc.Instrument]) -> None:
    """For a start that finds trades open and cannot ask the venue for its list; whole or not at all."""
    new = folder / (CONTRACTS + ".new")
    private.write(new, json.dumps([one.as_dict() for one in instruments]) + "\n")
    os.replace(new, folder / CONTRACTS)


def kept_contracts(config: Config) -> tuple[Config, tuple[lc.Instrument, ...]] | None:
    """The configuration with the contracts of the run before, where that left trades open; None where it did not, or they cannot be told. The gateway
    lets nothing enter before the venue's list says the same."""
    found = read_state(config, deep=False)
    if not (found.believed or found.entering):
        return None
    try:
        rows = json.loads(content(Path(found.path) / CONTRACTS))
        instruments = [lc.Instrument(**fields) for fields in rows]
        return named_by(config, {feed.venue: [one for one in instruments if one.venue == venue_named(feed.venue)] for feed in config.all_feeds()})
    except (OSError, ValueError, TypeError, KeyError, ConfigError):
        return None


def restore(state: State, engine: lc.Engine) -> bytes:
    """The trades that the image holds, as a snapshot for the engine of the run; b"" where nothing was ever saved. engine: a new one of the same
    settings, for this purpose only; its equity is the account's."""
    state.found = state.image.restore(engine, engine.account.equity)
    if state.found["torn"]:
        _log.warning("state image: the last write of %s is incomplete; the state of the write before is used", ", ".join(state.found["torn"]))
    return b"" if state.found["fresh"] else engine.trade_snapshot()


@dataclass(frozen=True)
class Account:
    """The venue's data of the key and its account. ips: addresses that the key is bound to, "" = none."""

    equity: float
    available: float
    ips: str
    expires: str
    unified: bool


def terms(config: Config, account: Account | None, state: State, config_hash: str, adopted: Sequence[str] = ()) -> str:
    """The terms that a person agrees to, in plain words. account: None = it could not be asked yet. adopted: what will be taken over."""
    limits, sizes = config.limits, []
    for symbol in config.feed.symbols:
        policy = config.policy_for(symbol)
        size = f"{policy.equity_share:g} x equity" if policy.equity_share else f"{policy.notional:g} USDT"
        numbers = "" if policy.preset == config.preset_of().name else f", numbers of {policy.preset}"
        sizes.append(f"{symbol} {size}, stop {policy.stop_loss / SCALE:.2%}{numbers}")
    still = f"open trades resumed: {', '.join(state.found['open'])}" if state.found.get("open") else "no open trades of earlier runs"
    return "\n".join(
        [
            f"REAL ORDERS at {config.feed.rest_url} ({config.feed.environment}).",
            f"  account     {account.equity:,.2f} USDT equity, {account.available:,.2f} available; key bound to {account.ips or 'NO address'}"
            if account
            else "  account     does not answer yet: open trades are supervised, entries wait",
            f"  contracts   {'; '.join(sizes)}",
            f"  limits      one order {limits.order_notional_max:,.0f} USDT, all {limits.exposure_max:,.0f} USDT, leverage {limits.leverage_max:g}, "
            f"positions {limits.positions_max}, entries a minute {limits.orders_per_minute_max}, "
            f"loss a day {limits.daily_loss_max / SCALE:.2%}, a week {limits.weekly_loss_max / SCALE:.2%}",
            f"  evidence    {'; '.join(dict.fromkeys(f'{preset.name}: {preset.grade}' for preset in map(config.preset_of, config.feed.symbols)))}",
            f"  state       {state.folder} (orders {state.prefix}-...; {still})",
            *(f"  adopted     {one}" for one in adopted),
            f"  settings    {config_hash[:16]}",
        ]
    )


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
    """Refuses settings that are allowed on paper only."""
    if not config.feed.own_account and config.live.via != "ccxt":
        ours = ", ".join(name for name, one in ADAPTERS.items() if one.private_path)
        raise ConfigError(
            "[feed] venue",
            f"found {config.feed.venue!r}",
            f'{ours}, with a built-in account connection; or [live] via = "ccxt"',
            "Or trade it on paper",
        )
    foreign = [symbol for symbol in config.feed.symbols if not re.search(r"[^-]USDT(-|$)", symbol)] if config.feed.own_account else []
    if foreign:  # positions, orders and the wallet are asked for by this coin: of another one none would be seen
        raise ConfigError(
            "[feed] symbols",
            f"not settled in USDT: {', '.join(foreign)}",
            "contracts such as 'ETHUSDT', where real orders are sent",
            "Or trade them on paper",
        )
    if config.limits.orders_per_minute_max > ENTRIES_MAX:
        raise ConfigError(
            "[limits] orders_per_minute_max",
            f"{config.limits.orders_per_minute_max}",
            f"at most {ENTRIES_MAX} where real orders are sent",
            "The guard cannot count more and would halt the run",
        )
    if not config.record.enabled:
        raise ConfigError(
            "[record] enabled", "false", "true where real orders are sent", "Without a recording the run cannot be replayed or explained"
        )
