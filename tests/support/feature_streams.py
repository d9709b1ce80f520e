"""Random streams of market events for the features, and their plain-Python twin fed with the same."""

import math

import numpy as np

import liqcore as lc
from liqcore.event import Kind
from liqcore.features.spec import parse, room
from tests.oracle import feature as oracle
from tests.oracle.feature_log import FORCED, OPEN, TRADED

T0 = 1_700_000_000_000_000_000
SECOND = lc.SECOND
FULL = lc.Completeness.COMPLETENESS_FULL
INSTRUMENTS = (
    lc.Instrument("BTCUSDT", venue="bybit", completeness=FULL),
    lc.Instrument("ETHUSDT", venue="bybit", completeness=FULL),
    lc.Instrument("BTC-USDT-SWAP", venue="okx", multiplier=0.01),
    lc.Instrument("ETH-USDT-SWAP", venue="okx", multiplier=0.1),
)
WINDOWED = (
    "liquidations.liq_volume",
    "liquidations.liq_buy_volume",
    "liquidations.liq_sell_volume",
    "liquidations.liq_count",
    "liquidations.liq_rate",
    "liquidations.liq_max",
    "liquidations.liq_imbalance",
    "liquidations.liq_long_share",
    "liquidations.liq_cascade_flag",
    "liquidations.liq_cascade_size",
    "liquidations.liq_correlation",
    "flow.ofi",
    "flow.trade_imbalance",
    "flow.volume",
    "flow.buy_volume",
    "flow.sell_volume",
    "flow.trade_count",
    "price.return",
    "price.range",
    "price.open",
    "price.high",
    "price.low",
    "price.close",
    "volatility.realised",
    "volatility.atr",
    "volatility.natr",
    "funding.funding_avg",
    "oi.oi_change",
    "risk.deleveraged",
)
LATEST = (
    "flow.spread_bps",
    "price.last",
    "price.mark",
    "price.basis",
    "funding.funding",
    "oi.oi",
    "oi.oi_value",
    "risk.adl_distance",
    "risk.pool",
    "risk.pool_drawdown",
    "risk.limit_up_bps",
    "risk.limit_down_bps",
)
TRANSFORMED = (
    "liquidations.liq_imbalance@6s:zscore(40s,min=4)",
    "flow.ofi@2s:zscore(80s)",
    "liquidations.liq_volume@1s:mean(12s)",
    "liquidations.liq_volume@1s:std(12s)",
    "liquidations.liq_volume@1s:max(12s)",
    "flow.volume@1s:min(5s)",
    "flow.trade_imbalance@1s:rank(35s)",
    "liquidations.liq_btc_lead",
    "liquidations.liq_volume@500ms:lag(1700ms)",
    "BTC/flow.volume@3s:change(7s)",
    "price.last:lag(3s)",
    "price.return@2s:zscore(60s)",
    "funding.funding_avg@6s:rank(2m)",
    "liquidations.liq_correlation@3s:mean(6s)",
    "volatility.realised@4s:max(8s)",
    "ETH/price.close@1s:change(4s)",
    "funding.funding_avg@2s:change(30s)",
    "liquidations.liq_imbalance@6s:n(2m)",
    "liquidations.liq_imbalance@6s:n_eff(2m)",
    "price.last:n_eff(2m)",
    "price.mark:zscore(10m,min=3)",
    "volatility.atr@1s:n_eff(2m)",
    "flow.spread_bps:mean(3m)",
    "price.last:max(2m)",
    "risk.deleveraged@6s:max(12s)",
    "risk.limit_up_bps:min(2m)",
    "risk.pool:zscore(10m,min=3)",
)
#: one of every kind that is remembered in its own way
LAGGED = (
    "liquidations.liq_volume@2s:lag(7s)",
    "liquidations.liq_max@1s:lag(1300ms)",
    "liquidations.liq_cascade_size@20s:lag(9s)",
    "liquidations.liq_correlation@3s:lag(11s)",
    "flow.ofi@2s:lag(4s)",
    "flow.trade_count@1s:change(2s)",
    "flow.spread_bps:lag(15s)",
    "price.last:lag(3s)",
    "price.mark:change(20s)",
    "price.basis:lag(9s)",
    "price.return@2s:lag(7s)",
    "price.range@4s:lag(9s)",
    "price.open@1s:lag(4s)",
    "price.high@6s:lag(13s)",
    "price.close@2s:lag(7s)",
    "volatility.realised@2s:lag(7s)",
    "volatility.atr@1s:lag(5s)",
    "volatility.natr@500ms:change(3s)",
    "funding.funding:lag(30s)",
    "funding.funding_avg@6s:lag(7s)",
    "oi.oi:change(10s)",
    "oi.oi_value:lag(4s)",
    "oi.oi_change@6s:lag(7s)",
    "BTC/liquidations.liq_imbalance@6s:lag(7s)",
    "risk.deleveraged@6s:lag(7s)",
    "risk.limit_down_bps:lag(3s)",
    "risk.adl_distance:change(9s)",
)


def events(rng: np.random.Generator, count: int, instruments: int = 4, pace_s: float = 0.2, feed: float = 0.002) -> np.ndarray:
    """Ties, silences, equal prices and sizes, gaps and times when a feed is down, of all streams or some, tickers that do not say everything."""
    out = np.zeros(count, lc.EVENT_DTYPE)
    grain = int(rng.choice([1, 1_000_000, 100_000_000]))
    steps = rng.exponential(pace_s * 1e9, count) * rng.choice([0, 1, 5, 100], count, p=[0.4, 0.5, 0.099, 0.001])
    out["ts_recv"] = T0 + int(rng.integers(0, 60)) * SECOND + np.cumsum(np.round(steps / grain).astype(np.int64)) * grain
    out["ts_event"] = out["ts_recv"] - rng.integers(0, 500_000_000, count)
    out["kind"] = rng.choice([1, 2, 3, 4], count, p=[0.3, 0.3, 0.3, 0.1])
    out["instrument"] = rng.choice(instruments, count, p=np.array([0.55, 0.25, 0.1, 0.1][:instruments]) / sum([0.55, 0.25, 0.1, 0.1][:instruments]))
    out["side"] = rng.choice([-1, 1], count)
    price = np.round(100 + np.cumsum(rng.normal(0, 0.02, count)).clip(-50, 50), 2)
    out["price"] = price
    out["qty"] = np.round(rng.lognormal(0, 2, count), 3) + 0.001
    quote, ticker = out["kind"] == 3, out["kind"] == 4
    out["aux_price"] = np.where(quote, np.round(price + rng.integers(1, 4, count) * 0.01, 2), np.where(ticker, np.round(price * 1.001, 3), 0))
    out["aux_qty"] = np.where(quote, rng.integers(0, 5, count), np.where(ticker, rng.choice([1e-4, -3e-4, 0, 2.5e-5], count), 0))
    out["qty"] = np.where(ticker, rng.choice([0.0, 1000.5, 990.25, 1010.0], count), np.where(quote, rng.integers(0, 5, count), out["qty"]))
    down = rng.random(count) < feed
    out["kind"][down] = Kind.FEED
    out["code"][down] = rng.integers(1, 4, down.sum())
    out["instrument"][down] = rng.choice([-1, *range(instruments)], down.sum())
    out["flags"][ticker] = rng.choice([0, 32, 8 | 32, 64, 16], ticker.sum())
    out["flags"][down] = np.where(rng.random(down.sum()) < 0.5, 0, rng.integers(1, 256, down.sum()))
    told = (rng.random(count) < 0.08) & ~down
    out["kind"][told & (out["kind"] == 1)] = Kind.DELEVERAGE
    told &= np.isin(out["kind"], (2, 3, 4))
    limits = told & (rng.random(count) < 0.5)
    out["kind"][told], out["code"][told], out["flags"][told] = (
        Kind.VENUE_STATE,
        np.where(limits, 1, 2)[told],
        np.where(limits, 0, rng.integers(0, 7, count))[told],
    )
    out["price"][told] = np.where(limits, np.round(price * 1.05, 2) * (rng.random(count) < 0.8), 0.0)[told]
    out["aux_price"][told] = np.where(limits, np.where(out["price"] > 0, np.round(price * 0.95, 2), 0.0), rng.choice([0.0, 0.25, 0.9, 1.0], count))[
        told
    ]
    out["qty"][told] = np.where(limits, 0.0, rng.choice([-5421.25, 0.0, 1e6], count))[told]
    out["aux_qty"][told] = np.where(limits, 0.0, rng.choice([0.0, 0.3, 1.5], count))[told]
    return out


class Definition(oracle.Features):
    """Excitation and maps, whose classes have oracles of their own, are what a new stream says that was told only what had come until then."""

    def __init__(self, features, described, instruments):
        super().__init__(features, described)
        self.listed, self.rows, self.known = instruments, [], {}

    def base(self, key, w, n, t, before=False):
        if not key.startswith(("hawkes.", "map.")):
            return super().base(key, w, n, t, before)
        place = key, w, t, before or len(self.rows)  # what is strictly before t is whole when t is asked for
        if place not in self.known:
            name = f"{key}@{w / 10_000:g}pct" if key.startswith("map.") else f"{key}@{w // 1_000_000}ms" if w else key
            stream = lc.Features([name], self.listed)
            stream.push(np.array([e for e in self.rows if e["ts_recv"] < t or e["ts_recv"] == t and not before], lc.EVENT_DTYPE))
            self.known[place] = stream.table(t)[:, 0].tolist()
        return self.known[place][n]

    def streams(self, key):
        group = key.split("_")[0]
        return {"map.pending": [TRADED, OPEN], "map.realised": [FORCED, TRADED]}.get(group) or (
            [FORCED] if group.startswith("hawkes.") else super().streams(key)
        )

    def forgotten(self, key, *more):
        return not key.startswith(("hawkes.", "map.")) and super().forgotten(key, *more)


class Twin:
    """The oracle, fed with rows of EVENT_DTYPE that a door has accepted."""

    def __init__(self, names, instruments=INSTRUMENTS):
        parsed = [parse(name) for name in names]
        self.features = [(f.asset, f.entry.key, f.window_ns, f.transform, f.time_ns, f.step_ns, f.samples, f.least, room(f.time_ns)) for f in parsed]
        self.oracle = Definition(
            self.features,
            [(i.venue, i.asset, i.multiplier, float(i.tick_size), i.completeness != lc.Completeness.COMPLETENESS_UNKNOWN) for i in instruments],
            instruments,
        )

    def push(self, e):
        self.oracle.rows.append(e)
        ts, n, kind = int(e["ts_recv"]), int(e["instrument"]), int(e["kind"])
        price, qty, aux_price, aux_qty = (float(e[k]) for k in ("price", "qty", "aux_price", "aux_qty"))
        if kind == Kind.FEED:
            for k in range(len(self.oracle.instruments)) if n < 0 else [n]:
                self.oracle.push(k, ts, kind, int(e["code"]), int(e["flags"]))
            return
        if kind == Kind.VENUE_STATE:
            stated = (
                {"buy_max": price, "sell_min": aux_price}
                if e["code"] == 1
                else {
                    name: x for bit, name, x in ((1, "pool", qty), (2, "drawdown", aux_qty), (4, "distance", aux_price)) if not int(e["flags"]) & bit
                }
            )
            self.oracle.push(n, ts, kind, stated)
            return
        forced = int(e["side"]), aux_price or qty * self.oracle.instruments[n][2] * price
        fields = {
            Kind.LIQUIDATION: forced,
            Kind.DELEVERAGE: forced,
            Kind.TRADE: (int(e["side"]), price, qty),
            Kind.BBO: (price, qty, aux_price, aux_qty),
            Kind.TICKER: (price, aux_price, qty, aux_qty, int(e["flags"])),
        }[Kind(kind)]
        self.oracle.push(n, ts, kind, *fields)

    def read(self, place, n, ts):
        return self.oracle.read(self.features[place], n, ts)


def same(a: float, b: float) -> bool:
    """To the bit; any nan is nan."""
    return a == b and math.copysign(1, a) == math.copysign(1, b) or math.isnan(a) and math.isnan(b)
