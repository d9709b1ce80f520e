"""The zone detector in plain Python, on the plain map (oracle/density.py)."""

import math

from oracle import density
from oracle.said import NS, Said

CELLS = ("step", "bin_bps", "cells", "half_life_s", "quantile", "refresh_s", "occupied_min")


class ZoneOracle:
    """Takes all parameters of the kind, as Detector.as_dict() has them. at = (ts, price, side, notional); liquidation() and trade() return what is said."""

    def __init__(self, **parameters):
        self.p = parameters
        self.map = density.RealisedDensity(floor=parameters["floor_usd"], **{k: parameters[k] for k in CELLS})
        self.away_ns, self.stay_ns = round(parameters["away_s"] * NS), round(parameters["stay_s"] * NS)
        self.active = self.previous = self.inside = self.zone = self.last = None
        self.first = self.sequence = self.until = self.side = 0

    def say(self, ts, phase, z):
        self.active = phase == "ACTIVE"
        return Said(
            ts,
            self.first,
            phase,
            self.side,
            self.zone["cells"],
            self.zone["long_notional"],
            self.zone["short_notional"],
            self.threshold,
            z,
            self.price,
            self.through,
            self.sequence,
            ts < self.until,
        )

    def end(self, ts, z):
        self.inside = ts
        return [self.say(ts, "EXHAUSTED", z)]

    def advance(self, ts):
        return self.end(self.first + self.stay_ns, 0.0) if self.active and ts >= self.first + self.stay_ns else []

    def liquidation(self, ts, side, price, notional):
        out = self.advance(ts)
        self.price = self.last or price
        self.map.push(ts, side, self.price, notional)
        if self.active and side == self.side:
            self.through += notional
            if self.through >= self.p["cascade_share"] * self.held:
                out += self.end(ts, -1.0)
        return out

    def trade(self, ts, price):
        out = self.advance(ts)
        self.price = self.last = price
        if self.active:
            ratio = 1.0 + self.p["leave_bps"] / 1e4
            if price > self.zone["high"] * ratio:
                out += self.end(ts, float(self.side))
            elif price < self.zone["low"] / ratio:
                out += self.end(ts, float(-self.side))
        else:
            out += self.enter(ts, price)
        self.previous = price
        return out

    def enter(self, ts, price):
        zone = self.map.zone(price)
        if zone is None:
            return []
        away = self.inside is None or ts - self.inside >= self.away_ns
        self.inside = ts
        if not away or self.previous is None or zone["low"] <= self.previous < zone["high"]:
            return []
        side = 1 if self.previous >= zone["high"] else -1
        longs, shorts = zone["long_notional"], zone["short_notional"]
        if longs + shorts < self.p["zone_usd"] or self.p["sides"] == "matching" and (shorts - longs) * side > 0:
            return []
        self.sequence += 1
        self.zone, self.held, self.through, self.side, self.first, self.threshold = zone, longs + shorts, 0.0, side, ts, self.map.threshold
        return [self.say(ts, "ACTIVE", self.held / (self.threshold * zone["cells"]))] if not math.isnan(self.threshold) else []
