"""liqcore's side of the comparison: the task as events, instruments, policies and venues of the package as it ships."""

import numpy as np

import liqcore as lc
from benches import market

NOTIONAL = 3000.0  # one lot as long as the price lies between 1,500 and 3,000


class Rule(lc.Policy):
    """The task's rule as a user would write it."""

    def __init__(self, setting: market.Setting):
        self.long, self.short = (bracket(setting, side) for side in (1, -1))

    def on_signal(self, signal, market):
        if signal.phase == lc.Phase.ACTIVE:
            return self.long if signal.side > 0 else self.short
        return None


def bracket(s: market.Setting, side: int, notional: float = NOTIONAL, reference: int = 0) -> lc.Bracket:
    """reference: ticks that the offset counts from, 0 = the last trade."""
    fraction = "{:.8f}".format
    return lc.Bracket(
        side,
        entry_offset=fraction(s.offset / 1e8),
        take_profit=fraction(s.take_profit / 1e8),
        stop_loss=fraction(s.stop_loss / 1e8),
        entry_ttl_s=s.ttl_s,
        max_hold_s=s.hold_s,
        cooldown_s=s.cooldown_s,
        notional=notional,
        reference=reference,
    )


def instrument() -> lc.Instrument:
    return lc.Instrument("TASKUSDT", tick_size=str(market.TICK), lot_size=str(market.LOT), min_qty=str(market.LOT))


def config(d: market.Detector) -> lc.CascadeConfig:
    """fall=1: a cascade ends by silence only, as in rule.py."""
    return lc.CascadeConfig(quantile=d.quantile, window_events=d.window_events, window_s=d.window_s, warmup=d.warmup, fall=1.0)


def risk() -> lc.Risk:
    """Limits are on, and wide enough that the task never meets one: the other engines have none."""
    return lc.Risk(data_age_max_s=3600.0, daily_loss_max=0.5, weekly_loss_max=0.5, orders_per_minute_max=60)


def engine(s: market.Setting, d: market.Detector, policy=None) -> lc.Engine:
    return lc.Engine([instrument()], config(d), policy or Rule(s), risk(), equity=1e6, audit_capacity=4096)


def events(day: market.Day) -> np.ndarray:
    """The whole day as engine events, in order of receipt."""
    q, t, f = day.quotes, day.trades, day.forced
    parts = [np.zeros(len(x["ts"]), lc.EVENT_DTYPE) for x in (q, t, f)]
    for part, x, kind in zip(parts, (q, t, f), (lc.Kind.BBO, lc.Kind.TRADE, lc.Kind.LIQUIDATION), strict=True):
        part["ts_event"] = part["ts_recv"] = x["ts"]
        part["kind"] = kind
    quotes, trades, forced = parts
    quotes["price"], quotes["aux_price"] = q["bid"] * day.tick, q["ask"] * day.tick
    quotes["qty"], quotes["aux_qty"] = q["bid_lots"] * day.lot, q["ask_lots"] * day.lot
    trades["price"], trades["qty"], trades["side"] = t["price"] * day.tick, t["lots"] * day.lot, t["side"]
    forced["price"], forced["side"], forced["aux_price"] = f["price"], f["side"], f["notional"]
    forced["qty"] = f["notional"] / f["price"]
    out = np.concatenate(parts)
    return out[np.argsort(out["ts_recv"], kind="stable")]


def result(audit: np.ndarray) -> tuple[int, float]:
    """Number of trades and their net in the audit stream."""
    trades = audit[audit["kind"] == lc.AuditKind.AUDIT_TRADE]
    return len(trades), float(trades["x"][:, 5].sum())
