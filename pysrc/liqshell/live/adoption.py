"""Adoption of a position that we did not open: a protective stop is placed and confirmed at the venue, then the position is booked as our trade.

It is booked at the mark of this moment, with the time limit from now: its earlier result is already in the equity and does not count as ours. Its
take-profit, trail, time limit and cooldown are those of the contract's policy. Its stop is the price given, or else the tighter of the position's own
stop and the policy's stop_loss from the mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.engine import Engine
from liqcore.snapshot import pack, unpack
from liqshell.errors import ConfigError, VenueError
from liqshell.gateway.events import MS, order_event, order_number
from liqshell.venues.reports import Position

TRADE_NAME = b"liqcore-trade-1\n"  # of Engine.trade_snapshot()
WIDE: dict[str, Any] = {
    "order_notional_max": 1e12,
    "exposure_max": 1e12,
    "leverage_max": 1000.0,
    "positions_max": 1000,
    "orders_per_minute_max": 1000,
    "orders_per_signal_max": 4,
    "daily_loss_max": 1.0,
    "weekly_loss_max": 1.0,
    "collar": 1.0,
    "data_age_max_s": 1e6,
    "event_age_max_s": 1e6,
}
STOP_MAX = Decimal("0.5")  # share of the price: further away is no stop
SHARE = Decimal("1e-8")  # unit of a share
# of a policy's bracket: what an open position of it still has
EXITS = ("take_profit", "trail", "trail_basis", "max_hold_s", "cooldown_s", "exit_phase")


@dataclass(frozen=True, slots=True)
class Adoption:
    """From the command line: take over the position of a contract; stop: at this price, None = see the module."""

    symbol: str
    stop: float | None = None


def adoptions(texts: Sequence[str]) -> tuple[Adoption, ...]:
    """--adopt SYMBOL or SYMBOL=PRICE; ConfigError for anything else."""
    out = []
    for text in texts:
        found = re.fullmatch(r"([^=\s]+)(?:=([0-9]+(?:\.[0-9]+)?))?", text)
        if found is None or (found[2] and float(found[2]) <= 0.0):
            raise ConfigError(f"--adopt {text}", "not a contract", "SYMBOL, or SYMBOL=PRICE of its stop, such as ETHUSDT=1890.5")
        out.append(Adoption(found[1], float(found[2]) if found[2] else None))
    return tuple(out)


def stop_of(adoption: Adoption, position: Position, stop_loss: Decimal, instrument: lc.Instrument) -> int:
    """Ticks of its protective stop. VenueError where the price given protects nothing."""
    side, mark = position.side, position.mark or position.entry
    usual = instrument.ticks(mark * (1.0 - side * float(stop_loss)))
    if adoption.stop is not None:
        ticks = instrument.ticks(adoption.stop)
    elif position.stop_loss > 0.0:
        ticks = max(usual, instrument.ticks(position.stop_loss)) if side > 0 else min(usual, instrument.ticks(position.stop_loss))
    else:
        ticks = usual
    here = instrument.ticks(mark)
    if (here - ticks) * side <= 0 or abs(here - ticks) > here * float(STOP_MAX):
        held = "long" if side > 0 else "short"
        raise VenueError(
            f"--adopt {adoption.symbol}",
            f"a stop at {instrument.price_text(ticks)} does not protect a {held} at {mark:g}",
            f"a price {'below' if side > 0 else 'above'} that, and at most half of it away",
            f"Give --adopt {adoption.symbol}=PRICE",
        )
    return ticks


class _Taken(lc.Policy):
    """A policy with one answer, given once."""

    def __init__(self, bracket: lc.Bracket):
        self.bracket = bracket

    def on_signal(self, signal: lc.Signal, market: Any) -> Any:
        return self.bracket if signal.phase == lc.Phase.ACTIVE else None


def book(snapshot: bytes, instruments: Sequence[lc.Instrument], n: int, position: Position, stop: int, exits: dict[str, Any], now: int) -> bytes:
    """A trade snapshot (Engine.trade_snapshot) with the position as an open, protected trade of instrument n, beside all that is in it already.

    The engine's own code makes the trade: in an engine of its own, an entry is asked for, filled and protected, and that trade's slot is taken over.
    stop: ticks, at the venue already. ValueError where it cannot be a trade of ours: one is open, or the contract cools down.
    """
    unit = instruments[n]
    price = unit.ticks(position.mark or position.entry)
    share = min(STOP_MAX, (Decimal(abs(price - stop)) / price).quantize(SHARE, ROUND_UP))
    lots, value = unit.lots(position.qty), unit.price(price)
    bracket = lc.Bracket(
        position.side,
        stop_loss=share,
        entry="market",
        reference=price,
        notional=position.qty * value * unit.multiplier * (1.0 + 1e-9),
        **{key: exits[key] for key in EXITS if key in exits},
    )
    # as the contract is, but for the size of one order: what is too large for one is closed by several
    whole = [lc.Instrument(**(one.as_dict() | {"max_qty": None, "min_notional": 0.0})) for one in instruments]
    quick = lc.CascadeConfig(warmup=1, min_events=1, window_events=2, decay_s=0.001, window_s=0.001)
    maker = lc.Engine(whole, quick, _Taken(bracket), lc.Risk(**WIDE), equity=1e12)
    parts, blank = unpack(TRADE_NAME, snapshot, "trade"), unpack(TRADE_NAME, maker.trade_snapshot(), "trade")
    # slots and account as they are; the clock and the latches are not this engine's business
    maker.trade_restore(pack(TRADE_NAME, [blank[0], blank[1], parts[2], parts[3], blank[4]]))
    if int(maker.bracket(n)["state"]):
        raise ValueError("our own trade is open on it")
    if maker.bracket(n)["cooldown_until"] > now:
        raise ValueError(f"its cooldown after our last trade lasts another {(maker.bracket(n)['cooldown_until'] - now) / 1e9:.0f} s")
    _fill(maker, n, position, value, stop, now)
    made = maker.bracket(n)
    if unit.lots(abs(made["held"])) != lots or made["side"] != position.side:
        raise ValueError(f"it cannot be booked: {made}")
    slots = unpack(TRADE_NAME, maker.trade_snapshot(), "trade")
    size = len(parts[2]) // len(instruments)
    slot = slots[2][n * size : (n + 1) * size]
    return pack(TRADE_NAME, [parts[0], parts[1], parts[2][: n * size] + slot + parts[2][(n + 1) * size :], slots[3], parts[4]])


def _fill(maker: Engine, n: int, position: Position, price: float, stop: int, now: int) -> None:
    """A trade, two liquidations, an entry, its fill, its stop: all at one moment."""
    side, unit = position.side, maker.instruments[n]
    maker.on_feed(now, now, lc.FeedState.FEED_UP)
    maker.on_trade(now, now, n, 1, price, 1.0)
    for size in (1.0, 2.0):
        maker.on_liquidation(now, now, n, side, price, size * max(1.0, 1e6 / price))
    entry = next((order for order in maker.orders() if order["instrument"] == n), None)
    if entry is None:
        return
    row = np.zeros(2, lc.EVENT_DTYPE)
    row[0] = (now, now, price, position.qty, 0.0, float(now >> 11), entry["id"], n, int(lc.Kind.FILL), 0, 0, int(lc.FillReason.FILL_CROSS))
    number = order_number(n, maker.bracket(n)["sequence"], lc.Role.ROLE_STOP)
    row[1] = order_event(now, position.updated_ms * MS, number, lc.OrderStatus.ORDER_NEW, price=unit.price(stop))
    maker.run(row)
    # its immediate requests are not sent: the engine of the run repeats them
    for order in maker.orders():
        if order["instrument"] == n and order["role"] == lc.Role.ROLE_TARGET:
            row[0] = order_event(now, now, order["id"], lc.OrderStatus.ORDER_REJECTED, lc.Reason.END_VENUE)
            maker.run(row[:1])
