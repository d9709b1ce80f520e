"""The bot of a run: its settings, drawn from the seed, and a policy that asks for every kind of bracket there is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import liqcore as lc
from liqshell.emulator.market.contracts import Contract

from . import presets
from .script import LOSING, Script, has_later
from .truth import Caps

EQUITY = 50_000.0
DETECTOR = {"warmup": 20, "quantile": 0.9, "window_events": 100, "window_s": 20.0, "decay_s": 5.0}
NOTIONAL = (300.0, 1_400.0)
DAILY_LOSS = (1.0, 0.0005, 0.0012)
WEEKLY_LOSS = (0.0008, 0.0015)
LOW_LOSS = 0.0002  # of a script of the profile that is to lose
USUAL_LOSS = (0.01, 0.02)  # of the limits that ship: on in every run of the second campaign
AUDIT_CAPACITY = 1 << 14
PRESET_USD = (300.0, 1_100.0)


class Anything(lc.Policy):
    """A bracket that is a function of (seed, instrument, number of the cascade): both entry types, with and without target, trail and requotes.
    features: what of that there is, see script.FEATURES; None = all."""

    def __init__(self, seed: int, features: frozenset[str] | None = None):
        self._seed, self._features = seed, features

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        if signal.phase not in (lc.Phase.ACTIVE, lc.Phase.DECELERATING):
            return None
        r = Random(f"{self._seed}/{signal.instrument}/{signal.sequence}/{int(signal.phase)}")
        if r.random() < 0.15:
            return None
        terms: dict[str, Any] = {"entry": "market"} if r.random() < 0.35 else {"entry_offset": r.choice(("0", "0.0002", "0.0008", "0.002"))}
        if r.random() < 0.25:
            terms["trail"] = r.choice(("0.002", "0.004"))
        if r.random() < 0.2:
            terms["exit_phase"] = int(r.choice((lc.Phase.DECELERATING, lc.Phase.EXHAUSTED)))
        terms |= {
            "stop_loss": r.choice(("0.002", "0.004", "0.008")),
            "take_profit": r.choice(("0", "0.0008", "0.002", "0.004")),
            "entry_ttl_s": r.choice((2, 6, 20)),
            "max_hold_s": r.choice((3, 15, 60)),
            "cooldown_s": r.choice((0, 1, 5)),
            "notional": round(r.uniform(*NOTIONAL), 2),
            "requotes": r.randint(0, 2),
        }
        return lc.Bracket(signal.side, **(terms if self._features is None else _without(terms, self._features)))


def _without(terms: dict[str, Any], features: frozenset[str]) -> dict[str, Any]:
    """The terms of a bracket without the features that this run leaves out."""
    out = dict(terms)
    if "entry" in out and "market" not in features:
        del out["entry"]
        out["entry_offset"] = "0.0002"
    elif "entry" not in out and "limit" not in features:
        del out["entry_offset"]
        out["entry"] = "market"
    for name in ("trail", "exit_phase"):
        if name not in features:
            out.pop(name, None)
    return out | {"take_profit": out["take_profit"] if "target" in features else "0", "requotes": out["requotes"] if "requotes" in features else 0}


@dataclass(frozen=True, slots=True)
class Bot:
    """What one configuration file would say."""

    seed: int
    instruments: tuple[lc.Instrument, ...]
    limits: dict[str, Any]
    daily_loss: float = 1.0  # share of the equity; 1 = no limit that could be reached
    weekly_loss: float = 1.0
    features: frozenset[str] | None = None
    preset: str = ""
    preset_usd: float = 0.0

    @property
    def late_ns(self) -> int:
        """From when on a trade comes late (data_age_max_s of the limits)."""
        return lc.SECOND

    def risk(self) -> lc.Risk:
        return lc.Risk(**self.limits, daily_loss_max=self.daily_loss, weekly_loss_max=self.weekly_loss)

    def engine(self, equity: float) -> lc.Engine:
        """As a process makes it at its start."""
        if self.preset:
            losses = {"daily_loss_max": self.daily_loss, "weekly_loss_max": self.weekly_loss}
            return presets.engine_of(self.preset, self.instruments, self.preset_usd, self.limits | losses, equity)
        return lc.Engine(self.instruments, lc.CascadeConfig(**DETECTOR), self.policy(), self.risk(), equity=equity, audit_capacity=AUDIT_CAPACITY)

    def guard(self) -> dict[str, Any]:
        """Keyword arguments of liqcore.Guard, as the live session takes them from the limits."""
        limits = self.limits
        return {
            "order_notional_max": limits["order_notional_max"],
            "total_notional_max": limits["exposure_max"],
            "orders_per_minute_max": limits["orders_per_minute_max"],
            "orders_per_signal_max": limits["orders_per_signal_max"],
        }

    def policy(self) -> Anything:
        return Anything(self.seed, self.features)

    def caps(self) -> Caps:
        limits = self.limits
        return Caps(
            limits["order_notional_max"],
            limits["exposure_max"],
            limits["positions_max"],
            limits["orders_per_minute_max"],
            limits["orders_per_signal_max"],
        )


def bot_of(script: Script, contracts: tuple[Contract, ...]) -> Bot:
    seed = script.seed
    r = Random(f"bot/{seed}")
    instruments = tuple(
        lc.Instrument(
            c.symbol,
            venue="bybit",
            tick_size=f"{10.0**-c.tick_decimals:.{c.tick_decimals}f}",
            lot_size=f"{10.0**-c.lot_decimals:.{c.lot_decimals}f}",
            min_notional=5.0,
        )
        for c in contracts
    )
    limits = {
        "order_notional_max": 1_200.0,
        "exposure_max": r.choice((1_500.0, 2_500.0, 4_000.0)),
        "leverage_max": 5.0,
        "positions_max": r.randint(1, 3),
        "orders_per_minute_max": r.choice((3, 6, 20)),
        "orders_per_signal_max": r.randint(1, 3),
    }
    loss = Random(f"loss/{seed}")
    if script.features is None:
        return Bot(seed, instruments, limits, loss.choice(DAILY_LOSS) if has_later(seed) else 1.0)
    features = frozenset(script.features)
    losing = script.profile == LOSING
    day = loss.choice((LOW_LOSS,) if losing else DAILY_LOSS[1:]) if "day_loss" in features else USUAL_LOSS[0]
    week = loss.choice((LOW_LOSS,) if losing else WEEKLY_LOSS) if "week_loss" in features else USUAL_LOSS[1]
    return Bot(seed, instruments, limits, day, week, features, script.preset, round(r.uniform(*PRESET_USD), 2))
