"""Features in plain Python: the whole past is kept, and each answer is worked out anew from the definition.

A feature is (asset, key, window_ns, transform, time_ns, step_ns, samples); an instrument is (venue, asset, multiplier). Times: `entries(n, t, before)`
are the log of instrument n up to t, or strictly before t for a sample of a history.
"""

import math
from bisect import bisect_left, bisect_right
from fractions import Fraction

from tests.oracle import quantile

NAN = math.nan
NEVER = 2 ** 63 - 1
LIQUIDATION, TRADE, BBO, TICKER, GAP, DOWN = 1, 2, 3, 4, 100, 101
SIDES = {"liq_volume": 0, "volume": 0, "liq_long_volume": 1, "buy_volume": 1, "liq_short_volume": -1, "sell_volume": -1}


def units(x):
    """In 2**-64, the rest cut off; 2**40 at most."""
    return int(min(Fraction(x), Fraction(2 ** 40)) * 2 ** 64)


def total(values):
    """The exact sum, rounded once."""
    count = sum(map(units, values)) if not isinstance(values, int) else values
    return count / 2 ** 64


class Features:
    def __init__(self, features, instruments):
        self.features, self.instruments, self.start = features, instruments, None
        self.log = [[] for _ in instruments]     # rows (ts, kind, fields...)
        self.times = [[] for _ in instruments]
        self.kinds = {LIQUIDATION: set(), TRADE: set(), BBO: set(), TICKER: set()}

    def push(self, n, ts, kind, *fields, wanted=True):
        if not wanted:
            return
        self.start = ts if self.start is None else self.start
        self.log[n].append((ts, kind, *fields))
        self.times[n].append(ts)

    def entries(self, n, t, before):
        return self.log[n][:(bisect_left if before else bisect_right)(self.times[n], t)]

    def since(self, n, t, before):
        """From when on nothing is missing."""
        if self.start is None or (self.start >= t if before else self.start > t):
            return NEVER
        marks = [row for row in self.entries(n, t, before) if row[1] in (GAP, DOWN)]
        return self.start if not marks else NEVER if marks[-1][1] == DOWN else marks[-1][0]

    def place(self, asset, n):
        same = [k for k, i in enumerate(self.instruments) if i[1] == asset]
        return next((k for k in same if self.instruments[k][0] == self.instruments[n][0]), same[0])

    # ---- windows ----

    def window(self, n, window_ns, t, before, stands=0):
        """(slots, slot length, running slot) where the whole window is known (stands = 1: and what stood when it began), else None."""
        slots = 120 if window_ns % 120_000_000 == 0 else 125
        step = window_ns // slots
        slot = t // step
        return (slots, step, slot) if slot >= slots and (slot - slots) * step >= self.since(n, t, before) + stands else None

    def sided(self, source, n, t, before):
        """(ts, side, x) of all entries of a stream."""
        multiplier = self.instruments[n][2]
        rows = self.entries(n, t, before)
        if source == "liquidations":
            return [(ts, side, notional) for ts, kind, *f in rows if kind == LIQUIDATION for side, notional in [f]]
        if source == "trades":
            return [(ts, f[0], f[2] * multiplier * f[1]) for ts, kind, *f in rows if kind == TRADE]
        out, last = [], None
        for ts, kind, *f in rows:
            if kind in (GAP, DOWN):
                last = None
            elif kind == BBO:
                if last is not None:
                    bid, bid_qty, ask, ask_qty = f
                    bid0, bid_qty0, ask0, ask_qty0 = last
                    more = (bid_qty if bid >= bid0 else 0.0) - (bid_qty0 if bid <= bid0 else 0.0)
                    less = (ask_qty if ask <= ask0 else 0.0) - (ask_qty0 if ask >= ask0 else 0.0)
                    out += [(ts, 1 if x > 0 else -1, abs(x) * multiplier) for x in (more, -less) if x]
                last = f
        return out

    def sums(self, entry, n, w, t, before, source):
        found = self.window(n, w, t, before)
        if found is None:
            return NAN
        slots, step, slot = found
        inside = [(side, x) for ts, side, x in self.sided(source, n, t, before) if slot - slots <= ts // step <= slot]
        long, short = total(x for side, x in inside if side > 0), total(x for side, x in inside if side < 0)
        both = total(x for _, x in inside)
        if entry in SIDES:
            return (both, long, short)[SIDES[entry]]
        return {
            "liq_count": lambda: float(len(inside)), "trade_count": lambda: float(len(inside)), "liq_rate": lambda: len(inside) * 6e10 / w,
            "liq_max": lambda: max((min(x, 2.0 ** 40) for _, x in inside), default=0.0),
            "liq_imbalance": lambda: (short - long) / both if both > 0 else 0.0, "liq_long_share": lambda: long / both if both > 0 else 0.5,
            "trade_imbalance": lambda: (long - short) / both if both > 0 else 0.0,
            "ofi": lambda: total(sum(side * units(x) for side, x in inside)),
        }[entry]()

    def slot_sums(self, n, found, t, before):
        slots, step, slot = found
        cells = dict.fromkeys(range(slot - slots, slot), 0)
        for ts, _, x in self.sided("liquidations", n, t, before):
            if ts // step in cells:
                cells[ts // step] += units(x)
        return [total(x) for x in cells.values()]

    def correlation(self, n, w, t, before):
        other = self.place("BTC", n)
        found = self.window(n, w, t, before)
        if found is None or self.window(other, w, t, before) is None:
            return NAN
        a, b = self.slot_sums(n, found, t, before), self.slot_sums(other, found, t, before)
        mean_a = mean_b = aa = bb = ab = 0.0
        for x, y in zip(a, b, strict=True):
            mean_a, mean_b = mean_a + x, mean_b + y
        mean_a, mean_b = mean_a / len(a), mean_b / len(b)
        for x, y in zip(a, b, strict=True):
            x, y = x - mean_a, y - mean_b
            aa, bb, ab = aa + x * x, bb + y * y, ab + x * y
        return ab / math.sqrt(aa * bb) if aa > 0 and bb > 0 else NAN

    # ---- what stands ----

    def course(self, source, n, t, before):
        """(ts, value) each time that it is said; nan after a gap."""
        out = []
        for ts, kind, *f in self.entries(n, t, before):
            if kind in (GAP, DOWN):
                out.append((ts, NAN))
            elif source == "price" and kind == TRADE:
                out.append((ts, f[1]))
            elif source == "oi" and kind == TICKER and f[2] > 0:
                out.append((ts, f[2] * self.instruments[n][2]))
            elif source == "funding" and kind == TICKER and (f[3] != 0 or (out and not math.isnan(out[-1][1]))):
                out.append((ts, f[3]))
        return out

    def stood(self, course, ts):
        """The value just before ts."""
        k = bisect_left(course, ts, key=lambda row: row[0])
        return course[k - 1][1] if k else NAN

    def standing(self, entry, source, n, w, t, before):
        found = self.window(n, w, t, before, 1)
        course = self.course(source, n, t, before)
        now = course[-1][1] if course else NAN
        if found is None or entry != "funding_avg" and math.isnan(now):
            return NAN
        slots, step, slot = found
        start = self.stood(course, (slot - slots) * step)
        ends = [self.stood(course, (k + 1) * step) for k in range(slot - slots, slot)]
        if entry == "funding_avg":
            mean = 0.0
            for x in ends:
                mean += x
            return mean / slots
        if entry in ("return", "oi_change"):
            return now / start - 1.0
        if entry == "range":
            inside = [x for ts, x in course if ts >= (slot - slots) * step]
            return (max(inside + [start]) - min(inside + [start])) / now if not math.isnan(start) else NAN
        square = 0.0
        for a, b in zip([start, *ends], ends, strict=False):
            r = math.log(b / a)
            square += r * r
        return math.sqrt(square)

    def funding_avg(self, n, w, t, before):
        known = [x for k, i in enumerate(self.instruments) if i[1] == self.instruments[n][1]
                 for x in [self.standing("funding_avg", "funding", k, w, t, before)] if not math.isnan(x)]
        out = 0.0
        for x in known:
            out += x
        return out / len(known) if known else NAN

    def latest(self, key, n, t, before):
        mark = index = oi = funding = last = NAN
        quote = None
        for _, kind, *f in self.entries(n, t, before):
            if kind in (GAP, DOWN):
                mark = index = oi = funding = last = NAN
                quote = None
            elif kind == TRADE:
                last = f[1]
            elif kind == BBO:
                quote = f
            elif kind == TICKER:
                mark, index, oi = f[0] or mark, f[1] or index, f[2] * self.instruments[n][2] or oi
                funding = f[3] if f[3] != 0 or not math.isnan(funding) else funding
        if key == "flow.spread_bps":
            return (quote[2] - quote[0]) / ((quote[2] + quote[0]) * 0.5) * 1e4 if quote else NAN
        return {"price.last": last, "price.mark": mark, "price.basis": mark / index - 1.0, "funding.funding": funding, "oi.oi": oi,
                "oi.oi_value": oi * mark}[key]

    # ---- candles and cascades ----

    def candle(self, entry, n, w, t, before):
        bar, since = t // w, self.since(n, t, before)
        back = 15 if "atr" in entry else 1
        if since > t or bar < back or (bar - back) * w < since:
            return NAN
        course = self.course("price", n, t, before)
        course = course[max((k + 1 for k, (_, x) in enumerate(course) if math.isnan(x)), default=0):]

        def ohlc(k):
            close = self.stood(course, k * w)
            inside = [x for ts, x in course if ts // w == k] or [close] * 4
            return inside[0], max(inside), min(inside), inside[-1]

        if back == 1:
            return ohlc(bar - 1)[("open", "high", "low", "close").index(entry)]
        spread = 0.0
        for k in range(bar - 14, bar):
            _, high, low, _ = ohlc(k)
            before_it = ohlc(k - 1)[3]
            spread += NAN if math.isnan(before_it) else max(high - low, abs(high - before_it), abs(low - before_it))
        return spread / 14 if entry == "atr" else spread / 14 / ohlc(bar - 1)[3]

    def cascade(self, entry, n, w, t, before):
        since = self.since(n, t, before)
        rule, seen, count, size, last = quantile.RollingQuantile(0.95, 1000), 0, 0, 0.0, 0
        for ts, kind, *f in self.entries(n, t, before):
            if kind in (GAP, DOWN):
                count, size = 0, 0.0
            elif kind == LIQUIDATION:
                large = seen >= 100 and f[1] >= rule.value
                rule.push(f[1])
                seen += 1
                if large:
                    if count and ts - last > w:
                        count, size = 0, 0.0
                    count, size, last = count + 1, size + f[1], ts
        if seen < 100 or since > t or t - w < since:
            return NAN
        if count < 2 or t - last > w:
            return 0.0
        return 1.0 if entry == "liq_cascade_flag" else size

    # ---- answers ----

    def base(self, key, w, n, t, before=False):
        group, entry = key.split(".")
        if entry == "liq_correlation":
            return self.correlation(n, w, t, before)
        if entry == "funding_avg":
            return self.funding_avg(n, w, t, before)
        if not w:
            return self.latest(key, n, t, before) if self.since(n, t, before) <= t else NAN
        if entry in ("open", "high", "low", "close", "atr", "natr"):
            return self.candle(entry, n, w, t, before)
        if "cascade" in entry:
            return self.cascade(entry, n, w, t, before)
        if entry in ("return", "range", "realised", "oi_change"):
            return self.standing(entry, "oi" if group == "oi" else "price", n, w, t, before)
        return self.sums(entry, n, w, t, before, "ofi" if entry == "ofi" else "trades" if group == "flow" else "liquidations")

    def read(self, feature, n, t):
        asset, key, w, transform, time, step, samples = feature
        n = self.place(asset, n) if asset else n
        if not transform:
            return self.base(key, w, n, t)
        if self.start is None or self.start > t:
            return NAN
        now = self.base(key, w, n, t)
        if transform in ("lag", "change"):
            index = (t - time) // step
            then = self.base(key, w, n, index * step, True) if index * step > self.start else NAN
            return then if transform == "lag" else now - then
        last = t // step
        if transform in ("mean", "std", "max", "min") and (last - samples + 1) * step - w < self.since(n, t, False):
            return NAN
        history = [self.base(key, w, n, k * step, True) for k in range(last - samples + 1, last + 1) if k * step > self.start]
        history = [x for x in history if not math.isnan(x)]
        if len(history) < (min(30, samples) if transform in ("zscore", "rank") else samples):
            return NAN
        if transform in ("max", "min"):
            return {"max": max, "min": min}[transform](history)
        if transform == "rank":
            return NAN if math.isnan(now) else (2 * sum(x < now for x in history) + sum(x == now for x in history)) / (2.0 * len(history))
        mean = square = 0.0
        for x in history:
            mean += x
        mean /= len(history)
        for x in history:
            square += (x - mean) * (x - mean)
        std = math.sqrt(square / len(history))
        if transform == "zscore":
            return NAN if math.isnan(now) else (now - mean) / std if std > 0 else 0.0
        return mean if transform == "mean" else std
