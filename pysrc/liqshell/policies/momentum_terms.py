"""The terms of momentum: its numbers, its score, and the resulting size and stop. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

from liqshell.fields import choice, integer, number
from liqshell.policies.ruled import feature

PARTS = ("speed", "size", "fuel", "stretch")


@dataclass(frozen=True)
class Parameters:
    feature_speed: str = feature("hawkes.next_large@15s")
    feature_size: str = feature("liquidations.liq_volume@90s:rank")
    feature_fuel_below: str = feature("map.pending_below@3pct:rank")
    feature_fuel_above: str = feature("map.pending_above@3pct:rank")
    feature_obstacle_below: str = feature("map.realised_short_below@3pct:rank", "")
    feature_obstacle_above: str = feature("map.realised_long_above@3pct:rank", "")
    feature_stretch: str = feature("funding.funding:rank")
    feature_funding: str = feature("funding.funding_avg@1h")
    feature_count: str = feature("liquidations.liq_count@90s")
    feature_long_follow: str = feature("liquidations.liq_long_volume@4s")
    feature_short_follow: str = feature("liquidations.liq_short_volume@4s")
    feature_volatility: str = feature("volatility.realised@5m")
    weight_speed: float = number(None, 0.0, 1.0, "weight")
    weight_size: float = number(None, 0.0, 1.0, "weight")
    weight_fuel: float = number(None, 0.0, 1.0, "weight")
    weight_stretch: float = number(None, 0.0, 1.0, "weight")
    known_min: float = number(None, 0.0, 1.0, "share of the weights whose parts must be known")
    score_min: float = number(None, 0.0, 10.0, "of 10")
    several: int = integer(None, 1, 1000, "liquidations within the window")
    funding_min: float = number(None, -1.0, 1.0, "funding rate that is elevated, on the crowd's side")
    funding_unknown: str = choice("refuse", "refuse", "ignore", "half")
    cluster_use: str = choice(None, "obstacle", "fuel", "ignore")
    cluster_rank: float = number(None, 0.0, 1.0, "percentile of its own history from which a cluster is large")
    entry_from: str = choice(None, "first", "trigger")
    entry_after_s: float = number(None, 0.0, 600.0, "seconds")
    entry_until_s: float = number(None, 0.0, 600.0, "seconds")
    recheck_s: float = number(None, 0.01, 600.0, "seconds between two checks")
    look_again: str = choice("followers", "followers", "all")
    size: float = number(None, 0.0, 1e9, "base units at full confidence and a volume factor of 1", above=True)
    volume_unit: float = number(None, 1.0, 1e12, "quote currency of liquidations for a volume factor of 1")
    volume_factor_max: float = number(None, 0.0, 100.0, "times")
    size_decimals: int = integer(None, 0, 8, "decimals")
    size_min: float = number(None, 0.0, 1e9, "base units")
    stop_min: float = number(None, 0.0001, 0.5, "share of price")
    stop_volatility: float = number(None, 0.0, 100.0, "stop / volatility, between stop_min and [policy] stop_loss")
    target: str = choice(None, "fixed", "ratio")
    ratio: float = number(None, 0.0, 100.0, "target / stop, where target = 'ratio'")
    quiet_s: float = number(None, 1.0, 86_400.0, "seconds after which a trade without a significant move is left")
    move_min: float = number(None, 0.0, 0.5, "share of price: a significant move")
    trades_per_day: int = integer(None, 1, 1000, "entries requested per UTC day and market")


def score_of(parts: Mapping[str, float], weights: Mapping[str, float], known_min: float) -> float:
    """0 to 10: ten times the weighted mean of the parts (each 0 to 1) that are known; nan where too little weight is known. Uncalibrated."""
    known = {name: value for name, value in parts.items() if not isnan(value)}
    weight = sum(weights[name] for name in known)
    if weight <= 0.0 or weight < known_min * sum(weights.values()):
        return float("nan")
    return 10.0 * sum(weights[name] * min(max(value, 0.0), 1.0) for name, value in known.items()) / weight


def size_of(n: Parameters, score: float, volume: float, weight: float = 1.0) -> float:
    """Base units; 0 = less than size_min, skip. volume: liquidated in the window, quote currency; weight: share of the size that is asked for."""
    size = round(weight * n.size * (score / 10.0) * min(volume / n.volume_unit, n.volume_factor_max), n.size_decimals)
    return size if size >= n.size_min else 0.0


def stop_of(n: Parameters, volatility: float, widest: float) -> float:
    """The hard stop as a share of price, wider in a wilder market; the tightest where volatility is not known yet."""
    return min(n.stop_min if isnan(volatility) else round(max(n.stop_volatility * volatility, n.stop_min), 6), widest)
