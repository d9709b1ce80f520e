"""Features in plain Python: the whole past is kept, and each answer is worked out anew from the definition.

A feature is (asset, key, window_ns, transform, time_ns, step_ns, samples, least, room); an instrument is (venue, asset, multiplier, tick, whether
its liquidations are known to be published). Times:
`entries(n, t, before)` are the log of instrument n up to t, or strictly before t for a sample of a history.
"""

import math
from bisect import bisect_left
from fractions import Fraction

from tests.oracle import quantile
from tests.oracle.feature_log import (
    BBO,
    DELEVERAGE,
    DELEVERAGED,
    FEED,
    FORCED,
    FUNDED,
    INDEXED,
    LIQUIDATION,
    MARKED,
    OPEN,
    QUOTED,
    STATED,
    TICKER,
    TRADE,
    TRADED,
    UP,
    VENUE,
    Log,
)

NAN = math.nan
QUOTE_AGE = 10 * 10**9
TURNS = 254  # of a stream between known and unknown: a lag over more of them is not known
COURSES = {"price": TRADED, "oi": OPEN, "funding": FUNDED}
FLOWS = {"liquidations": FORCED, "trades": TRADED, "ofi": QUOTED, "deleveraged": DELEVERAGED}
LATEST = {
    "flow.spread_bps": [QUOTED],
    "price.last": [TRADED],
    "price.mark": [MARKED],
    "price.basis": [MARKED, INDEXED],
    "funding.funding": [FUNDED],
    "oi.oi": [OPEN],
    "oi.oi_value": [OPEN, MARKED],
    "risk.adl_distance": [STATED],
    "risk.pool": [STATED],
    "risk.pool_drawdown": [STATED],
    "risk.limit_up_bps": [STATED, TRADED],
    "risk.limit_down_bps": [STATED, TRADED],
}
CANDLES = ("open", "high", "low", "close", "atr", "natr")
COURSED = ("return", "range", "realised", "oi_change", "funding_avg")
SIDES = {"deleveraged": 0, "liq_volume": 0, "volume": 0, "liq_long_volume": 1, "buy_volume": 1, "liq_short_volume": -1, "sell_volume": -1}


def units(x):
    """In 2**-64, the rest cut off; 2**40 at most."""
    return int(min(Fraction(x), Fraction(2**40)) * 2**64)


def total(values):
    """The exact sum, rounded once."""
    count = sum(map(units, values)) if not isinstance(values, int) else values
    return count / 2**64


def alike(a, b):
    return a == b or math.isnan(a) and math.isnan(b)


def source_of(key):
    group, entry = key.split(".")
    return entry if entry in ("ofi", "deleveraged") else "trades" if group == "flow" else "liquidations"


class Features(Log):
    def __init__(self, features, instruments):
        super().__init__([published for *_, published in instruments])
        self.features, self.instruments = features, instruments

    def place(self, asset, n):
        same = [k for k, i in enumerate(self.instruments) if i[1] == asset]
        return next((k for k in same if self.instruments[k][0] == self.instruments[n][0]), same[0])

    # ---- windows ----

    def window(self, n, window_ns, t, before, stream, stands=0):
        """(slots, slot length, running slot) where the whole window is known (stands = 1: and what stood when it began), else None."""
        slots = 120 if window_ns % 120_000_000 == 0 else 125
        step = window_ns // slots
        slot = t // step
        return (slots, step, slot) if slot >= slots and (slot - slots) * step >= self.since(n, t, before, stream) + stands else None

    def sided(self, source, n, t, before):
        """(ts, side, x) of all entries of a stream."""
        multiplier = self.instruments[n][2]
        rows = self.entries(n, t, before)
        if source in ("liquidations", "deleveraged"):
            wanted = LIQUIDATION if source == "liquidations" else DELEVERAGE
            return [(ts, side, notional) for ts, kind, *f in rows if kind == wanted for side, notional in [f]]
        if source == "trades":
            return [(ts, f[0], f[2] * multiplier * f[1]) for ts, kind, *f in rows if kind == TRADE]
        out, last, breaks = [], None, set(self.breaks(n, t, before, QUOTED))
        for k, (ts, kind, *f) in enumerate(rows):
            if k in breaks:
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
        found = self.window(n, w, t, before, FLOWS[source])
        if found is None:
            return NAN
        slots, step, slot = found
        inside = [(side, x) for ts, side, x in self.sided(source, n, t, before) if slot - slots <= ts // step <= slot]
        long, short = total(x for side, x in inside if side > 0), total(x for side, x in inside if side < 0)
        both = total(x for _, x in inside)
        if entry in SIDES:
            return (both, long, short)[SIDES[entry]]
        return {
            "liq_count": lambda: float(len(inside)),
            "trade_count": lambda: float(len(inside)),
            "liq_rate": lambda: len(inside) * 6e10 / w,
            "liq_max": lambda: max((min(x, 2.0**40) for _, x in inside), default=0.0),
            "liq_imbalance": lambda: (short - long) / both if both > 0 else 0.0,
            "liq_long_share": lambda: long / both if both > 0 else 0.5,
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
        found = self.window(n, w, t, before, FORCED)
        if found is None or self.window(other, w, t, before, FORCED) is None:
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
        """(ts, value) each time that it is said; nan where something was lost."""
        out, stream = [], COURSES[source]
        breaks = set(self.breaks(n, t, before, stream))
        for k, row in enumerate(self.entries(n, t, before)):
            ts, _, *f = row
            if k in breaks:
                out.append((ts, NAN))
            elif self.says(row) & stream:
                out.append((ts, {"price": lambda f=f: f[1], "oi": lambda f=f: f[2] * self.instruments[n][2], "funding": lambda f=f: f[3]}[source]()))
        return out

    def stood(self, course, ts):
        """The value just before ts."""
        k = bisect_left(course, ts, key=lambda row: row[0])
        return course[k - 1][1] if k else NAN

    def standing(self, entry, source, n, w, t, before):
        found = self.window(n, w, t, before, COURSES[source], 1)
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
        known = [
            x
            for k, i in enumerate(self.instruments)
            if i[1] == self.instruments[n][1]
            for x in [self.standing("funding_avg", "funding", k, w, t, before)]
            if not math.isnan(x)
        ]
        out = 0.0
        for x in known:
            out += x
        return out / len(known) if known else NAN

    def latest(self, key, n, t, before):
        """What holds of what was said last: until its stream is interrupted, and of a quote until it ends."""
        said, spreads, until, tick = {}, [], 0, self.instruments[n][3]
        for row in self.entries(n, t, before):
            ts, kind, *f = row
            if kind == FEED and f[0] != UP:
                said = {stream: x for stream, x in said.items() if f[1] and not f[1] & stream}
                until = until if f[1] and not f[1] & QUOTED else 0
            elif kind == TRADE:
                said[TRADED] = f[1]
                bid, _, ask, _ = said.get(QUOTED, (0.0,) * 4)
                if ts <= until and not bid <= f[1] <= ask:
                    beyond = round((f[1] - ask if f[1] > ask else bid - f[1]) / tick)
                    until = 0 if beyond * len(spreads) > sum(spreads) else until
            elif kind == BBO:
                said[QUOTED], until = f, ts + QUOTE_AGE
                spreads = [*spreads, round((f[2] - f[0]) / tick)][-16:]
            elif kind == TICKER:
                told = {MARKED: f[0], INDEXED: f[1], OPEN: f[2] * self.instruments[n][2], FUNDED: f[3]}
                said |= {stream: x for stream, x in told.items() if self.says(row) & stream}
            elif kind == VENUE:
                said[STATED] = said.get(STATED, {}) | f[0]
        if key == "flow.spread_bps":
            quote = said.get(QUOTED)
            return (quote[2] - quote[0]) / ((quote[2] + quote[0]) * 0.5) * 1e4 if quote and t <= until else NAN
        if key.startswith("risk."):
            stated, last = said.get(STATED, {}), said.get(TRADED, NAN)
            high, low = stated.get("buy_max") or NAN, stated.get("sell_min") or NAN
            return {
                "adl_distance": stated.get("distance", NAN),
                "pool": stated.get("pool", NAN),
                "pool_drawdown": stated.get("drawdown", NAN),
                "limit_up_bps": (high / last - 1.0) * 1e4,
                "limit_down_bps": (1.0 - low / last) * 1e4,
            }[key[5:]]
        last, mark, index, funding, oi = (said.get(stream, NAN) for stream in (TRADED, MARKED, INDEXED, FUNDED, OPEN))
        return {
            "price.last": last,
            "price.mark": mark,
            "price.basis": mark / index - 1.0,
            "funding.funding": funding,
            "oi.oi": oi,
            "oi.oi_value": oi * mark,
        }[key]

    # ---- candles and cascades ----

    def candle(self, entry, n, w, t, before):
        bar, since = t // w, self.since(n, t, before, TRADED)
        back = 15 if "atr" in entry else 1
        if since > t or bar < back or (bar - back) * w < since:
            return NAN
        course = self.course("price", n, t, before)
        course = course[max((k + 1 for k, (_, x) in enumerate(course) if math.isnan(x)), default=0) :]

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
        since, breaks = self.since(n, t, before, FORCED), set(self.breaks(n, t, before, FORCED))
        rule, seen, count, size, last = quantile.RollingQuantile(0.95, 1000), 0, 0, 0.0, 0
        for k, (ts, kind, *f) in enumerate(self.entries(n, t, before)):
            if k in breaks:
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
            return self.latest(key, n, t, before)
        if entry in CANDLES:
            return self.candle(entry, n, w, t, before)
        if "cascade" in entry:
            return self.cascade(entry, n, w, t, before)
        if entry in COURSED:
            return self.standing(entry, "oi" if group == "oi" else "price", n, w, t, before)
        return self.sums(entry, n, w, t, before, source_of(key))

    def streams(self, key):
        """Those that a feature is made of."""
        if key in LATEST:
            return LATEST[key]
        group, entry = key.split(".")
        return [
            DELEVERAGED
            if entry == "deleveraged"
            else FORCED
            if group == "liquidations"
            else FUNDED
            if group == "funding"
            else OPEN
            if group == "oi"
            else QUOTED
            if entry == "ofi"
            else TRADED
        ]

    # ---- what is remembered for a lag ----

    def forgotten(self, key, w, n, then, t, room):
        """Whether more than `room` things were told between `then` and t that change what the feature is made of: so much is remembered."""
        entry = key.split(".")[1]
        if entry in CANDLES:
            return False
        if key in LATEST:
            moments = sorted({x for ts in self.times[n] for x in (ts, ts + QUOTE_AGE + 1) if then < x <= t})
            values = [self.latest(key, n, x, False) for x in [then, *moments]]
            return sum(not alike(a, b) for a, b in zip(values, values[1:], strict=False)) > room
        whose = [n]
        if entry == "liq_correlation":
            whose.append(self.place("BTC", n))
        if entry == "funding_avg":
            whose = [k for k, i in enumerate(self.instruments) if i[1] == self.instruments[n][1]]
        stream = self.streams(key)[0]
        for k in whose:
            moments = sorted({ts for ts in self.times[k] if then < ts <= t})
            turns = [self.since(k, x, False, stream) for x in [then, *moments]]
            told = (
                [x for x, *_ in self.told(key, k, t)]
                if entry in COURSED
                else [ts for ts, *_ in self.sided(source_of(key), k, t, False)]
                + [self.times[k][b] for b in self.breaks(k, t, False, stream) if stream == FORCED]
            )
            if sum(a != b for a, b in zip(turns, turns[1:], strict=False)) > TURNS or sum(x > then for x in told) > room:
                return True
        return False

    def told(self, key, n, t):
        """The changes of a value's course."""
        course = [(-1, NAN), *self.course({"o": "oi", "f": "funding"}.get(key[0], "price"), n, t, False)]
        return [b for a, b in zip(course, course[1:], strict=False) if not alike(a[1], b[1])]

    def lagged(self, feature, n, t):
        """What a reader at that time would have read, of everything that had come until then, that ns included."""
        _, key, w, _, time, _, _, _, room = feature
        return NAN if t < time or self.forgotten(key, w, n, t - time, t, room) else self.base(key, w, n, t - time)

    def apart(self, key, w, history):
        """How many samples (moment, value) are independent: no two of their windows overlap; of what has no window, those that say something new."""
        reach, count, last = (15 * w if "atr" in key else w), 0, None
        for moment, x in history:
            if last is None or (moment - last[0] >= reach if w else x != last[1]):
                count, last = count + 1, (moment, x)
        return count

    def read(self, feature, n, t):
        asset, key, w, transform, time, step, samples, least, _ = feature
        n = self.place(asset, n) if asset else n
        if not transform:
            return self.base(key, w, n, t)
        if self.start is None or self.start > t:
            return NAN
        if transform == "lag":
            return self.lagged(feature, n, t)
        now = self.base(key, w, n, t)
        if transform == "change":
            return now - self.lagged(feature, n, t)
        last = t // step
        since = max(self.since(n, t, False, stream) for stream in self.streams(key))
        if transform in ("mean", "std", "max", "min") and (last - samples + 1) * step - w < since:
            return NAN
        history = [(k * step, self.base(key, w, n, k * step, True)) for k in range(last - samples + 1, last + 1) if k * step > self.start]
        history = [(moment, x) for moment, x in history if not math.isnan(x)]
        apart, history = self.apart(key, w, history), [x for _, x in history]
        if not history or transform in ("n", "n_eff"):
            return NAN if not history else float(len(history) if transform == "n" else apart)
        if transform in ("zscore", "rank"):
            if apart < (least or 30) if transform == "zscore" or least else len(history) < min(30, samples):
                return NAN
        elif len(history) < samples:
            return NAN
        return self.judged(transform, history, now)

    def judged(self, transform, history, now):
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
