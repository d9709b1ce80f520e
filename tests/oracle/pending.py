"""The estimated map in plain Python: every level on its own, in a dictionary by price cell; time and open interest change each of them."""

import math


class EstimatedPending:
    """Settings as liqcore.kernels.estimated_map.PendingConfig.as_dict()."""

    def __init__(self, **config):
        self.__dict__.update(config)
        total = math.fsum(share for _, share in self.tiers)
        self.shares = [share / total for _, share in self.tiers]
        self.step = math.log1p(self.bin_bps / 1e4)
        self.levels = {1: {}, -1: {}}
        self.taken = {side: {"added": 0.0, "consumed": 0.0, "decayed": 0.0, "forgotten": 0.0} for side in (1, -1)}
        self.low = {1: None, -1: None}
        self.flow = {1: [0.0, 0.0], -1: [0.0, 0.0]}
        self.last = self.open = self.credit = 0.0
        self.ts = self.ts_credit = None

    def centre(self, index):
        return math.exp((index + 0.5) * self.step)

    def fade(self, keep, why):
        for side, cells in self.levels.items():
            self.taken[side][why] += math.fsum(cells.values()) * (1 - keep)
            for index in cells:
                cells[index] *= keep

    def advance(self, ts):
        if self.ts is not None and self.half_life_s and ts > self.ts:
            self.fade(0.5 ** ((ts - self.ts) * 1e-9 / self.half_life_s), "forgotten")
        self.ts = ts

    def settle(self, ts):
        if self.ts_credit is not None:
            self.credit *= 0.5 ** ((ts - self.ts_credit) * 1e-9 / self.credit_half_life_s)
        self.ts_credit = ts

    def trade(self, ts, price, qty, side):
        self.flow[side][0] += qty
        self.flow[side][1] += price * qty
        self.price(ts, price)

    def reached(self, side, index, price):
        return self.centre(index) >= price if side > 0 else self.centre(index) <= price

    def price(self, ts, price):
        self.last = price
        gone = {(side, i) for side, cells in self.levels.items() for i in cells if self.reached(side, i, price)}
        if gone:
            self.settle(ts)
        for side, index in gone:
            qty = self.levels[side].pop(index)
            self.taken[side]["consumed"] += qty
            self.credit += qty

    def place(self, side, qty):
        volume, value = self.flow[side]
        entry = value / volume if volume else self.last
        rates = self.maintenance
        for (leverage, _), share, rate in zip(self.tiers, self.shares, rates, strict=True):
            if qty * share <= 0.0:
                continue
            self.taken[side]["added"] += qty * share
            index = math.floor(math.log(entry * (1 - side / leverage) / (1 - side * rate)) / self.step)
            if self.reached(side, index, self.last):
                self.taken[side]["consumed"] += qty * share
                continue
            self.keep_inside(side, index)
            self.levels[side][index] = self.levels[side].get(index, 0.0) + qty * share

    def keep_inside(self, side, index):
        """The map has `cells` cells; it moves as little as it must."""
        low = self.low[side]
        low = index - self.cells // 2 if low is None else min(low, index) if index < low else max(low, index - self.cells + 1)
        self.low[side] = low
        for i in [i for i in self.levels[side] if not low <= i < low + self.cells]:
            self.taken[side]["forgotten"] += self.levels[side].pop(i)

    def interest(self, ts, interest):
        self.advance(ts)
        self.settle(ts)
        change = interest - self.open
        if self.open and self.last:
            if change > 0:
                bought, sold = self.flow[1][0], self.flow[-1][0]
                longs = 0.5 if self.split == "even" or bought + sold == 0 else bought / (bought + sold)
                self.place(1, change * longs)
                self.place(-1, change * (1 - longs))
            elif change < 0:
                explained = min(self.credit, -change)
                self.credit -= explained
                self.fade(interest / (self.open - explained), "decayed")
        self.open = interest
        self.flow = {1: [0.0, 0.0], -1: [0.0, 0.0]}

    def between(self, low, high, side=0):
        return math.fsum(
            qty * self.centre(i) for s, cells in self.levels.items() if side in (0, s) for i, qty in cells.items() if low <= self.centre(i) <= high
        )

    def totals(self, side):
        return self.taken[side] | {"present": math.fsum(self.levels[side].values())}
