"""The result by side, by instrument and together, by hour of day, by day, by time held."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from liqcore import Role
from liqshell.report.coverage import DAY_NS, HOUR_NS, calendar, gaps, rate, share
from liqshell.report.origin import detectors, kind_of, threshold
from liqshell.report.results import equity_of, longest, total
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.statistics import histogram, spaced_mean, spread, sums_of
from liqshell.report.stories import Ledger

HOLD_EDGES_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


def sums(ledger: Ledger, at: np.ndarray | None = None) -> dict[str, Any]:
    """The sums of a group of closed trades. at: their rows, all without it. mean_bps: net return of a trade, with its interval (spaced_mean)."""
    trades = ledger.trade_rows if at is None else ledger.trade_rows[at]
    gross, fees, slippage, funding, net, notional = (total(trades[k]) for k in ("gross", "fees", "slippage", "funding", "net", "entry_notional"))
    mean = spaced_mean(trades["bps"].tolist(), ledger.bracket_rows["flat"][trades["bracket"]], longest(trades["hold_s"]))
    wins = share(int((trades["net"] > 0).sum()), len(trades))
    return {
        "n": len(trades),
        "wins": wins["k"],
        "win_rate": wins,
        "gross": gross,
        "fees": fees,
        "slippage": slippage,
        "funding": funding,
        "net": net,
        "notional": notional,
        "net_bps": net / notional * 1e4 if notional else None,
        "mean_bps": mean["mean"],
        "low_bps": mean["low"],
        "high_bps": mean["high"],
        "hold_s": spread(trades["hold_s"].tolist())["p50"],
    }


def sides(ledger: Ledger) -> list[dict[str, Any]]:
    """Positions that were long, and short."""
    long = ledger.of_trades("side") > 0
    return [{"side": name, **sums(ledger, np.flatnonzero(which))} for name, which in (("long", long), ("short", ~long))]


def hours(ledger: Ledger) -> list[dict[str, Any]]:
    """24 rows: trades by the UTC hour of the first entry fill."""
    found = ledger.of_trades("entered") // HOUR_NS % 24
    return [{"hour": hour, **sums(ledger, np.flatnonzero(found == hour))} for hour in range(24)]


def days(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """One row a UTC calendar day of the run, booked when closed; covered: share of the day that the data covered, over all instruments."""
    trades = ledger.trade_rows
    order = np.argsort(ledger.of_trades("flat") // DAY_NS, kind="stable")
    booked = (ledger.of_trades("flat") // DAY_NS)[order]
    equity = equity_of(run, ledger)
    rows: list[dict[str, Any]] = []
    for day, covered, hours in calendar(run.started_ns, run.ended_ns, [gaps(run, ledger, n) for n in range(len(run.instruments))]):
        found = trades[order[slice(*np.searchsorted(booked, (day, day + 1)).tolist())]]
        net = total(found["net"])
        rows.append(
            {
                "day": datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d"),
                "trades": len(found),
                "wins": int((found["net"] > 0).sum()),
                "gross": total(found["gross"]),
                "fees": total(found["fees"]),
                "net": net,
                "return": net / equity if equity else None,
                "covered": covered,
                "hours": hours,
            }
        )
        equity = equity + net if equity else equity
    return rows


def holds(ledger: Ledger) -> list[dict[str, Any]]:
    """Time held, in bins of growing width, and how the trades of a bin ended up."""
    hold, net = ledger.trade_rows["hold_s"], ledger.trade_rows["net"]
    rows = histogram(hold, HOLD_EDGES_S)
    for row in rows:
        inside = net[(hold >= (-np.inf if row["low"] is None else row["low"])) & (hold < (np.inf if row["high"] is None else row["high"]))]
        row |= {"wins": int((inside > 0).sum()), "net": total(inside)}
    return rows


def instruments(run: Run, ledger: Ledger, heard: Sequence[float]) -> list[dict[str, Any]]:
    """One row an instrument. heard: liquidation_hours."""
    rows, contracts = [], run.contracts
    specs = detectors(run)
    of_trade, entries = ledger.of_trades("instrument"), np.bincount(ledger.bracket_rows["instrument"], minlength=len(run.instruments)).tolist()
    cascades = ledger.cascade_rows[ledger.seen_at]
    for n, instrument in enumerate(run.instruments):
        seen = cascades[cascades["instrument"] == n]
        found, last = sums(ledger, np.flatnonzero(of_trade == n)), float(seen["threshold"][-1]) if len(seen) else None
        rows.append(
            {
                "symbol": instrument.symbol,
                "venue": instrument.venue,
                "preset": contracts[n]["preset"],
                "grade": contracts[n]["grade"],
                "completeness": COMPLETENESS[instrument.completeness],
                "cascades": rate(len(seen), heard[n]),
                "longs_liquidated": int((seen["side"] > 0).sum()),
                "shorts_liquidated": int((seen["side"] < 0).sum()),
                "threshold": last,
                "threshold_said": threshold(kind_of(specs, int(seen["detector"][-1])), last) if last is not None else None,
                "entries": entries[n],
                "trades": found.pop("n"),
                **found,
                "gap_s": sum(e - s for s, e in gaps(run, ledger, n)) / 1e9,
            }
        )
    return rows


def portfolio(run: Run, ledger: Ledger) -> dict[str, Any]:
    """All instruments together: how many positions were open at once, and the largest exposure against the account."""
    brackets, fills = ledger.bracket_rows, ledger.fill_rows
    fills = fills[fills["role"] == Role.ROLE_ENTRY]
    notional = sums_of(fills["bracket"], fills["price"] * fills["qty"], len(brackets))
    notional *= np.array([i.multiplier for i in run.instruments], float)[brackets["instrument"]]
    held, over = notional != 0, (notional != 0) & (brackets["flat"] != 0)
    ts = np.concatenate([brackets["entered"][held], brackets["flat"][over]])
    step, change = np.repeat([1, -1], (held.sum(), over.sum())), np.concatenate([notional[held], -notional[over]])
    order = np.lexsort((change, step, ts))  # at one moment a close (-1) comes before an open
    most, peak = int(np.cumsum(step[order]).max(initial=0)), float(np.cumsum(change[order]).max(initial=0.0))
    equity = equity_of(run, ledger)
    return {**sums(ledger), "positions_max": most, "exposure_max": peak, "exposure_max_on_account": peak / equity if equity else None}
