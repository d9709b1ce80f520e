"""The day as one stream of rows, for engines that are loops."""

import numpy as np

from benches import market

QUOTE, SOLD, BOUGHT, FORCED = range(4)


def merged(day: market.Day) -> dict[str, np.ndarray]:
    """ts, kind, a, b: bid and ask of a quote, price of a trade, side and notional of a liquidation; in order of time."""
    q, t, f = day.quotes, day.trades, day.forced
    ts = np.concatenate([q["ts"], t["ts"], f["ts"]])
    kind = np.concatenate(
        [np.full(len(q["ts"]), QUOTE, np.int8), np.where(t["side"] > 0, BOUGHT, SOLD).astype(np.int8), np.full(len(f["ts"]), FORCED, np.int8)]
    )
    a = np.concatenate([q["bid"], t["price"], f["side"].astype(np.int32)])
    b = np.concatenate([q["ask"].astype(float), np.zeros(len(t["ts"])), f["notional"]])
    order = np.argsort(ts, kind="stable")
    return {"ts": ts[order], "kind": kind[order], "a": a[order].astype(np.int32), "b": b[order]}
