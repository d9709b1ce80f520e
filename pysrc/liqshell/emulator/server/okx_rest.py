"""Candles and funding of the emulated OKX by REST. Fields as the venue's pages "Get candlesticks", "Get mark price candlesticks" and "Get funding
rate history" have them, 2026-07."""

from collections.abc import Mapping

from liqshell.emulator.market import okx_frames as okx
from liqshell.emulator.server.okx_public import OkxLane

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
FUNDING_MS = 8 * HOUR_MS
DAY_BEGINS_MS = 16 * HOUR_MS  # bars of six hours and more begin at midnight in Hong Kong, unless their name ends with utc
BARS = {**{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)}, **{f"{n}H": n * HOUR_MS for n in (1, 2, 4)}}
LONG_BARS = {"6H": 6 * HOUR_MS, "12H": 12 * HOUR_MS, "1D": 24 * HOUR_MS}
MOST = {"candles": 300, "history-candles": 300, "mark-price-candles": 100, "history-mark-price-candles": 100}
Query = Mapping[str, str]


class Refused(Exception):
    """A request that the venue refuses; args = (code, msg)."""


def _number(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused("51000", f"Parameter {name} error")
    return int(text)


def candles(lane: OkxLane, name: str, query: Query, now_ms: int) -> list[list[str]]:
    """Newest first: start, open, high, low, close, of trades also the volume in contracts, in the coin and in USDT, and whether it is over. Earlier
    than `after`, later than `before`."""
    bar = query.get("bar") or "1m"
    interval = BARS.get(bar) or LONG_BARS.get(bar.removesuffix("utc"))
    if interval is None:
        raise Refused("51000", "Parameter bar error")
    after, before, limit = (_number(query, one) for one in ("after", "before", "limit"))
    offset = DAY_BEGINS_MS % interval if bar in LONG_BARS else 0
    bars = lane.marks if "mark" in name else lane.bars
    last = now_ms if after is None else min(after - 1, now_ms)
    c, out = lane.contract, []
    for row in bars.rows(interval, now_ms, end=last, limit=min(limit or 100, MOST[name]), offset_ms=offset)[::-1].tolist():
        if before is None or row[0] > before:
            prices = [f"{x:.{c.tick_decimals}f}" for x in row[1:5]]
            traded = [okx.size_text(c, round(row[5] * c.lot_power)), f"{row[5]:.{c.lot_decimals}f}", f"{row[6]:.4f}"] if bars is lane.bars else []
            out.append([str(int(row[0])), *prices, *traded, "1" if row[0] + interval <= now_ms else "0"])
    return out


def funding(lane: OkxLane, query: Query, now_ms: int) -> list[dict[str, str]]:
    """funding-rate-history: at the rate in force, newest first, as far back as there are candles."""
    after, before, limit = (_number(query, one) for one in ("after", "before", "limit"))
    times = [int(row[0]) for row in lane.bars.rows(FUNDING_MS, now_ms, limit=1_000).tolist()][::-1]
    rate = f"{lane.funding / 1e8:.10f}"
    return [
        {"instType": "SWAP", "instId": lane.inst, "fundingRate": rate, "realizedRate": rate, "fundingTime": str(ts), "method": "current_period"}
        for ts in times
        if (after is None or ts < after) and (before is None or ts > before)
    ][: min(limit or 100, 100)]
