"""The realised map in plain Python: every liquidation kept, every cell summed anew when asked."""

import math


class RealisedDensity:
    """Settings as liqcore.kernels.realised_map.DensityConfig.as_dict()."""

    def __init__(self, **config):
        self.__dict__.update(config)
        self.seen, self.low, self.now, self.refreshed, self.hot, self.threshold = [], None, None, None, set(), math.nan
        self.added, self.dropped = {1: 0.0, -1: 0.0}, {1: 0.0, -1: 0.0}
        self.ambiguous = False  # which cells are hot has once hung on the last bits of sums that are made in another order here

    def index(self, price):
        return math.floor((price if self.step else math.log(price)) / self.width)

    @property
    def width(self):
        return self.step or math.log1p(self.bin_bps / 1e4)

    def edge(self, index):
        return index * self.width if self.step else math.exp(index * self.width)

    def centre(self, index):
        return (index + 0.5) * self.width if self.step else math.exp((index + 0.5) * self.width)

    def weight(self, ts):
        return 0.5 ** ((self.now - ts) * 1e-9 / self.half_life_s) if self.half_life_s else 1.0

    def push(self, ts, side, price, notional):
        self.now = ts
        self.refreshed = ts if self.refreshed is None else self.refreshed
        index, moved = self.index(price), False
        if self.low is None:
            self.low, moved = index - self.cells // 2, True
        elif not self.low <= index < self.low + self.cells:
            self.low, moved = index if index < self.low else index - self.cells + 1, True
            for row in [row for row in self.seen if not self.low <= row[2] < self.low + self.cells]:
                self.dropped[row[1]] += row[3] * self.weight(row[0])
                self.seen.remove(row)
        self.added[side] += notional
        self.seen.append((ts, side, index, notional))
        if moved or ts - self.refreshed >= round(self.refresh_s * 1e9):
            self.refresh()

    def amounts(self, side):
        cells = {}
        for ts, s, index, notional in self.seen:
            if side in (0, s):
                cells.setdefault(index, []).append(notional * self.weight(ts))
        return {index: math.fsum(parts) for index, parts in cells.items()}

    def refresh(self):
        self.refreshed, self.hot, self.threshold = self.now, set(), math.nan
        amounts = self.amounts(0)
        self.ambiguous |= any(abs(x - 1.0) <= 1e-9 for x in amounts.values()) and self.half_life_s > 0.0
        held = {i: x for i, x in amounts.items() if x >= 1.0}
        if len(held) < self.occupied_min:
            return
        self.threshold = max(sorted(held.values())[int(self.quantile * (len(held) - 1))], self.floor)
        near = [x for x in held.values() if abs(x - self.threshold) <= 1e-9 * self.threshold]
        self.ambiguous |= len(near) > 1 and (min(near) != max(near) or self.half_life_s > 0.0)
        self.hot = {i for i, x in held.items() if x >= self.threshold}

    def between(self, low, high, side=0):
        return math.fsum(x for i, x in self.amounts(side).items() if low <= self.centre(i) <= high)

    def describe(self, index):
        first = last = index
        while first - 1 in self.hot:
            first -= 1
        while last + 1 in self.hot:
            last += 1
        longs, shorts = (math.fsum(x for i, x in self.amounts(s).items() if first <= i <= last) for s in (1, -1))
        return {"low": self.edge(first), "high": self.edge(last + 1), "long_notional": longs, "short_notional": shorts, "cells": last - first + 1}

    def zone(self, price):
        return self.describe(self.index(price)) if self.index(price) in self.hot else None

    def beside(self, price, up):
        index, step = self.index(price), 1 if up else -1
        while index in self.hot:
            index += step
        beyond = [i for i in self.hot if (i - index) * step > 0]
        return self.describe(min(beyond, key=lambda i: abs(i - index))) if beyond else None
