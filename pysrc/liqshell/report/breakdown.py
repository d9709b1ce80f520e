"""The result cut in pieces: by side, by instrument and together, by hour of day, by day, by time held."""

import math
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any

from liqshell.report.coverage import DAY_NS, HOUR_NS, calendar, covered_hours, gaps, rate, share
from liqshell.report.origin import detectors, kind_of, threshold
from liqshell.report.stories import Bracket, Ledger
from liqshell.report.results import equity_of, longest
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.statistics import histogram, spaced_mean, spread

HOLD_EDGES_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


def sums(found: Iterable[Bracket]) -> dict[str, Any]:
    """What a group of closed trades came to. mean_bps: net return of a trade, with its interval (spaced_mean)."""
    brackets = [b for b in found if b.closed is not None]
    trades = [b.closed for b in brackets if b.closed is not None]
    notional, net = math.fsum(t.entry_notional for t in trades), math.fsum(t.net for t in trades)
    mean = spaced_mean([t.bps for t in trades], [b.flat for b in brackets], longest(trades))
    wins = share(sum(t.net > 0 for t in trades), len(trades))
    return {"n": len(trades), "wins": wins["k"], "win_rate": wins, "gross": math.fsum(t.gross for t in trades),
            "fees": math.fsum(t.fees for t in trades), "slippage": math.fsum(t.slippage for t in trades),
            "funding": math.fsum(t.funding for t in trades), "net": net, "notional": notional, "net_bps": net / notional * 1e4 if notional else None,
            "mean_bps": mean["mean"], "low_bps": mean["low"], "high_bps": mean["high"], "hold_s": spread([t.hold_s for t in trades])["p50"]}


def grouped(ledger: Ledger, key: Callable[[Bracket], Hashable]) -> dict[Hashable, list[Bracket]]:
    out: dict[Hashable, list[Bracket]] = {}
    for b in ledger.trades:
        out.setdefault(key(b), []).append(b)
    return out


def opened(b: Bracket) -> int:
    """ns of the first entry fill."""
    return b.entry_fills[0].ts if b.entry_fills else b.opened


def sides(ledger: Ledger) -> list[dict[str, Any]]:
    """Positions that were long, and short."""
    found = grouped(ledger, lambda b: b.side > 0)
    return [{"side": name, **sums(found.get(key, []))} for name, key in (("long", True), ("short", False))]


def hours(ledger: Ledger) -> list[dict[str, Any]]:
    """24 rows: trades by the UTC hour of the first entry fill."""
    found = grouped(ledger, lambda b: opened(b) // HOUR_NS % 24)
    return [{"hour": hour, **sums(found.get(hour, []))} for hour in range(24)]


def days(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """One row a UTC calendar day of the run, booked when closed; covered: share of the day that the data covered, over all instruments."""
    found = grouped(ledger, lambda b: b.flat // DAY_NS)
    equity = equity_of(run, ledger)
    rows: list[dict[str, Any]] = []
    for day, covered, hours in calendar(run.started_ns, run.ended_ns, [gaps(run, ledger, n) for n in range(len(run.instruments))]):
        trades = [b.closed for b in found.get(day, []) if b.closed]
        net = math.fsum(t.net for t in trades)
        rows.append({"day": datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d"), "trades": len(trades),
                     "wins": sum(t.net > 0 for t in trades),
                     "gross": math.fsum(t.gross for t in trades), "fees": math.fsum(t.fees for t in trades), "net": net,
                     "return": net / equity if equity else None, "covered": covered, "hours": hours})
        equity = equity + net if equity else equity
    return rows


def holds(ledger: Ledger) -> list[dict[str, Any]]:
    """Time held, in bins of growing width, and how the trades of a bin ended up."""
    trades = [b.closed for b in ledger.trades if b.closed]
    rows = histogram([t.hold_s for t in trades], HOLD_EDGES_S)
    for row in rows:
        inside = [t for t in trades if (row["low"] is None or t.hold_s >= row["low"]) and (row["high"] is None or t.hold_s < row["high"])]
        row |= {"wins": sum(t.net > 0 for t in inside), "net": math.fsum(t.net for t in inside)}
    return rows


def instruments(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """One row an instrument."""
    rows, contracts = [], run.contracts
    specs = detectors(run)
    trades, entries = grouped(ledger, lambda b: b.instrument), [0] * len(run.instruments)
    for b in ledger.brackets:
        entries[b.instrument] += 1
    for n, instrument in enumerate(run.instruments):
        seen = [c for c in ledger.seen if c.instrument == n]
        found = sums(trades.get(n, []))
        rows.append({"symbol": instrument.symbol, "venue": instrument.venue, "preset": contracts[n]["preset"], "grade": contracts[n]["grade"],
                     "completeness": COMPLETENESS[instrument.completeness],
                     "cascades": rate(len(seen), covered_hours(run, ledger, n)), "longs_liquidated": sum(c.side > 0 for c in seen),
                     "shorts_liquidated": sum(c.side < 0 for c in seen), "threshold": seen[-1].threshold if seen else None,
                     "threshold_said": threshold(kind_of(specs, seen[-1].detector), seen[-1].threshold) if seen else None,
                     "entries": entries[n], "trades": found.pop("n"), **found, "gap_s": sum(e - s for s, e in gaps(run, ledger, n)) / 1e9})
    return rows


def portfolio(run: Run, ledger: Ledger) -> dict[str, Any]:
    """All instruments together: how many positions were open at once, and the largest exposure against the account."""
    changes: list[tuple[int, int, float]] = []
    for b in ledger.brackets:
        notional = math.fsum(f.price * f.qty for f in b.entry_fills) * run.instruments[b.instrument].multiplier
        if notional:
            changes.append((opened(b), 1, notional))
            if b.flat:
                changes.append((b.flat, -1, -notional))
    count = most = 0
    exposure = peak = 0.0
    for _, step, notional in sorted(changes):        # at one moment a close (-1) comes before an open
        count, exposure = count + step, exposure + notional
        most, peak = max(most, count), max(peak, exposure)
    equity = equity_of(run, ledger)
    return {**sums(ledger.trades), "positions_max": most, "exposure_max": peak, "exposure_max_on_account": peak / equity if equity else None}
