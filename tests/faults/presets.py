"""The presets that ship, as engines of the simulation: their rules, detectors and entries; sizes and times cut to what a run of hours can show."""

from __future__ import annotations

from functools import cache
from typing import Any

import liqcore as lc
from liqshell.config.load import Config, loads, presets
from liqshell.run.pipeline import LiveStart, make_engine, settings

NAMES = tuple(presets())
HOLD_S, TTL_S, COOLDOWN_S = 60.0, 20.0, 5.0
# The market of a run is small: what asks for millions of dollars, for days of baseline or for hours between two trades asks for less here.
SMALLER: dict[str, tuple[str, ...]] = {
    "breakout": ("detectors.breakout.sigma=2.0", "detectors.breakout.min_segments=10", "policy.parameters.move_min=0.0002"),
    "cascade-fade": ("detectors.cascade-fade.trigger_usd=300000", "detectors.cascade-fade-more.trigger_usd=100000"),
    "fade": ("detector.warmup=20", "detector.quantile=0.9", "detector.window_events=100", "detector.refresh_s=0"),
    "fade-btc": ("detector.warmup=20", "detector.quantile=0.9", "detector.window_events=100", "detector.refresh_s=0"),
    "momentum": (
        "detectors.momentum.trigger_usd=200000",
        "detectors.momentum.min_usd=1000",
        "policy.parameters.score_min=0.1",
        "policy.parameters.known_min=0.0",
        "policy.parameters.funding_min=-1.0",
        "policy.parameters.trades_per_day=1000",
        "policy.parameters.cluster_use=ignore",
        "policy.parameters.entry_after_s=0",
        "policy.parameters.entry_until_s=90",
        "policy.parameters.feature_size=liquidations.liq_count@90s",
        "policy.parameters.feature_funding=liquidations.liq_imbalance@90s",
        "policy.parameters.size=100000.0",
        "policy.parameters.volume_unit=1000.0",
        "policy.parameters.several=2",
    ),
    "reversal": (
        "policy.parameters.liq_z=0.1",
        "policy.parameters.flow_z=0.0",
        "policy.parameters.funding_max=1.0",
        "policy.parameters.feature_liquidations=liquidations.liq_imbalance@15m",
        "policy.parameters.feature_flow=flow.ofi@1m",
        "policy.parameters.feature_funding=liquidations.liq_imbalance@15m",
        "policy.parameters.mirror=true",
    ),
    "trend": (
        "detectors.anomaly.segment_s=60",
        "detectors.anomaly.baseline=60",
        "detectors.anomaly.z_min=1.5",
        "policy.parameters.trend_min=0.01",
        "policy.parameters.confidence_min=low",
        "policy.parameters.z_strong=2.0",
    ),
    "zone": ("detectors.zone.quantile=0.5", "detectors.zone.occupied_min=3", "detectors.zone.away_s=10", "detectors.zone.leave_bps=5"),
}


@cache
def config_of(name: str, notional: float, symbols: tuple[str, ...]) -> Config:
    """What a user's file would say."""
    changes = [f"policy.notional={notional}", f"policy.max_hold_s={HOLD_S}", f"policy.entry_ttl_s={TTL_S}", f"policy.cooldown_s={COOLDOWN_S}"]
    text = f'[feed]\nsymbols = {list(symbols)}\n[policy]\npreset = "{name}"\n'
    return loads(text, f"<{name}>", [*changes, *SMALLER.get(name, ())])


def engine_of(name: str, instruments: tuple[lc.Instrument, ...], notional: float, limits: dict[str, Any], equity: float) -> lc.Engine:
    """The engine of a run of one preset, as the live session makes it; limits: keyword arguments of liqcore.Risk."""
    values = settings(config_of(name, notional, tuple(i.symbol for i in instruments)), instruments, live=LiveStart(equity))
    return make_engine(values | {"limits": limits})
