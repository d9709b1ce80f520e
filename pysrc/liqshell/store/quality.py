"""The data report: the data present, hour by hour, the missing data, the refused rows, and whether the content is plausible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from liqcore.event import Kind
from liqshell.recording.marks import union
from liqshell.store.cache import Contract
from liqshell.store.held import by_stream, down, feed_of, stream_warnings
from liqshell.store.load import Store
from liqshell.store.partition import SILENCE_NS, Content, Key
from liqshell.store.rows import DAY_NS, HOUR_NS, KINDS, LAYOUT, VENUE_WIDE, day_number
from liqshell.store.strip import Strip

DENSE = ("trades", "quotes", "tickers")  # kinds that never rest while a contract trades
GAP_NS = 300_000_000_000  # a silence of every dense kind that is listed
RARE_GAP_NS = 6 * HOUR_NS  # ... where a contract has liquidations only, and at least so many of its usual pauses
RARE_GAP_PAUSES = 20
GAPS_MAX = 500  # listed of one contract; the longest
LOOK_BACK_NS = 10_000_000_000  # over which the price is compared with a liquidation's side
CLUSTER_NS = 10_000_000_000
SIDE_MIN = 30  # comparisons from which on a verdict is given
Interval = tuple[int, int]


def data_report(store: Store) -> dict[str, Any]:
    """Everything as plain values for JSON. Makes strips that are missing; times are ns UTC."""
    catalogue = store.catalogue
    sources = catalogue.sources()
    marks = {c.venue: feed_of(c) for c in store._contracts.values() if c.symbol == VENUE_WIDE}
    counts: Counter[str] = Counter()
    for source in sources.values():
        counts.update(source.counts)
    return {
        "store": str(store.root),
        "contracts": [_contract(c, marks.get(c.venue, feed_of(None)), sources, catalogue) for c in store.contracts],
        "sources": [vars(source) for source in sources.values()],
        "refused_files": [{"name": name, **about} for name, about in catalogue.refused().items()],
        "refused_rows": dict(sorted(counts.items())),
        "duplicates": sum(source.duplicates for source in sources.values()),
        "bytes": sum(content.bytes for c in store.contracts for content in c.contents.values()),
    }


def _contract(contract: Contract, marks: np.ndarray, sources: Any, catalogue: Any) -> dict[str, Any]:
    kinds = {}
    for kind in KINDS:
        held = [content for key, content in contract.contents.items() if key.kind == kind]
        if held:
            kinds[kind] = {
                "rows": sum(c.rows for c in held),
                "days": len(held),
                "bytes": sum(c.bytes for c in held),
                "first": min(c.first for c in held),
                "last": max(c.last for c in held),
                "busiest_second": max(c.busiest for c in held),
            }
    origins = {source for key in contract.contents for source in catalogue.origins(key)}
    received = sorted({sources[o].received for o in origins if o in sources and sources[o].received})
    dense = any(kind in kinds for kind in DENSE)
    dark = _dark(contract, dense)
    feed = feed_of(contract)
    lost, lost_all = down(feed), down(marks)
    hours = coverage(contract, dark + lost + lost_all, dense)
    totals, shares = by_stream(contract, (feed, marks))
    found = _measured(contract)
    gaps: list[dict[str, Any]] = [
        {"from": a, "to": b, "what": f"feed down or rows lost{of}"}
        for found_down, of in ((lost, ""), (lost_all, ", all contracts"))
        for a, b in found_down
    ]
    least = GAP_NS if dense else _rare_gap(contract)
    ends = day_number(contract.days()[0]) * DAY_NS, (day_number(contract.days()[-1]) + 1) * DAY_NS  # outside the record there are no gaps
    gaps += [
        {"from": a, "to": b, "what": "silence of every kind" if dense else "no liquidation"}
        for a, b in dark
        if b - a >= least and a != ends[0] and b != ends[1]
    ]
    return {
        "venue": contract.venue,
        "symbol": contract.symbol,
        "rules": contract.rules.as_dict(),
        "completeness": contract.rules.instrument.completeness.name.removeprefix("COMPLETENESS_"),
        "received": received or ["unknown"],
        "kinds": kinds,
        "sources": len(origins),
        "days": contract.days(),
        "hours": hours,
        "streams": totals,
        "stream_hours": shares,
        "said_first": stream_warnings(f"{contract.venue}:{contract.symbol}", totals),
        "before": any(content.format < LAYOUT["tickers"].format for key, content in contract.contents.items() if key.kind == "tickers"),
        "covered_hours": round(sum(sum(h["covered"] for h in day) for day in hours.values()), 3) if dense else None,
        "gaps": sorted(sorted(gaps, key=lambda g: g["from"] - g["to"])[:GAPS_MAX], key=lambda g: g["from"]),
        "gap_count": len(gaps),
        "gap_hours": round(sum(b - a for a, b in union((g["from"], g["to"]) for g in gaps)) / HOUR_NS, 3),
        **found,
    }


def coverage(contract: Contract, dark: Sequence[Interval], dense: bool) -> dict[str, list[dict[str, Any]]]:
    """day -> 24 hours of {covered: share of the hour, rows of each kind}. Of a contract with liquidations only nothing is covered (None): they are
    rare, and an hour without one may have been recorded."""
    out: dict[str, list[dict[str, Any]]] = {}
    for key, content in sorted(contract.contents.items()):
        day = out.setdefault(key.day, [{"covered": None} for _ in range(24)])
        for hour, rows in enumerate(content.hours):
            if rows:
                day[hour][key.kind] = rows
    united = union(dark)
    for text, day in out.items():
        start = day_number(text) * DAY_NS
        lost = [0] * 24
        for a, b in united:
            for hour in range(max(0, (a - start) // HOUR_NS), min(24, (b - start - 1) // HOUR_NS + 1)):
                lost[hour] += min(b, start + (hour + 1) * HOUR_NS) - max(a, start + hour * HOUR_NS)
        for hour, found in enumerate(day if dense else ()):
            found["covered"] = round(1.0 - lost[hour] / HOUR_NS, 4)
    return out


def _dark(contract: Contract, dense: bool) -> list[Interval]:
    """Times at which no row of any dense kind came for at least a minute, from the first to the last row, missing days included."""
    held: dict[str, list[tuple[Key, Content]]] = {}
    for key, content in sorted(contract.contents.items()):
        if key.kind in DENSE if dense else key.kind == "liquidations":
            held.setdefault(key.kind, []).append((key, content))
    dark: list[Interval] | None = None
    days = [day_number(day) for day in contract.days()]
    edges = (days[0] * DAY_NS, (days[-1] + 1) * DAY_NS)
    for parts in held.values():
        silent: list[Interval] = []
        last = edges[0]
        for _, content in parts:
            if content.first - last >= SILENCE_NS:
                silent.append((last, content.first))
            silent += [(int(a), int(b)) for a, b in content.silences]
            last = content.last
        if edges[1] - last >= SILENCE_NS:
            silent.append((last, edges[1]))
        dark = silent if dark is None else _both(dark, silent)
    return [(a, b) for a, b in dark or () if b - a >= SILENCE_NS]


def _rare_gap(contract: Contract) -> int:
    """What is a long silence of a contract that has liquidations only: they are rare by nature."""
    held = [content for key, content in contract.contents.items() if key.kind == "liquidations"]
    rows = sum(content.rows for content in held)
    span = max((c.last for c in held), default=0) - min((c.first for c in held), default=0)
    return max(RARE_GAP_NS, RARE_GAP_PAUSES * span // max(rows, 1))


def _measured(contract: Contract) -> dict[str, Any]:
    """Measures that need the rows: read from the strips, a day at a time."""
    refused: Counter[str] = Counter()
    off_grid: Counter[str] = Counter()
    totals = {"longs": 0, "shorts": 0, "long_notional": 0.0, "short_notional": 0.0}
    moves: list[np.ndarray] = []
    clusters: list[int] = []
    for day in contract.days():
        strip = contract.day_strip(day)
        refused.update(strip.about["refused"])
        off_grid.update(strip.about["off_grid"])
        events = strip.rare[strip.rare["kind"] == Kind.LIQUIDATION]
        for side, name in ((1, "long"), (-1, "short")):
            mine = events[events["side"] == side]
            stated = np.where(mine["aux_price"] > 0.0, mine["aux_price"], mine["qty"] * contract.rules.instrument.multiplier * mine["price"])
            totals[name + "s"] += len(mine)
            totals[f"{name}_notional"] += float(stated.sum())
        moves.append(_moves(strip, events))
        clusters += _clusters(events)
    return {
        "loading": {"refused": dict(sorted(refused.items())), "rounded": dict(sorted(off_grid.items()))},
        "liquidations": totals,
        "side": _side_verdict(np.concatenate(moves) if moves else np.zeros(0), clusters),
    }


def _moves(strip: Strip, events: np.ndarray) -> np.ndarray:
    """For each cascade (liquidations with pauses below 10 s) how far the trade price moved with it in the 10 s before its liquidations, in bps: the
    mean over them; positive where it fell before LONGs. Those of one cascade share one price path, so they are one observation."""
    ts, price = strip.trades["ts"], strip.trades["price"]
    if not len(ts) or not len(events):
        return np.zeros(0)
    events = events.take(np.argsort(events["ts_recv"], kind="stable"))
    now = np.searchsorted(ts, events["ts_recv"], "right") - 1
    then = np.searchsorted(ts, events["ts_recv"] - LOOK_BACK_NS, "right") - 1
    good = (then >= 0) & (now > then)
    if not good.any():
        return np.zeros(0)
    before, after = price[then[good]].astype(np.float64), price[now[good]].astype(np.float64)
    moved = -events["side"][good] * (after - before) / before * 1e4
    starts = np.flatnonzero(np.diff(events["ts_recv"][good], prepend=-CLUSTER_NS) >= CLUSTER_NS)
    found: np.ndarray = np.add.reduceat(moved, starts) / np.diff(np.append(starts, len(moved)))
    return found


def _clusters(events: np.ndarray) -> list[int]:
    """For runs of at least 5 liquidations of one side with pauses below 10 s: did their own prices move with them (+1) or against (-1)?"""
    if len(events) < 5:
        return []
    order = np.argsort(events["ts_recv"], kind="stable")
    ts, side, price = events["ts_recv"][order], events["side"][order], events["price"][order]
    starts = np.flatnonzero(np.r_[True, (np.diff(ts) >= CLUSTER_NS) | (side[1:] != side[:-1])])
    ends = np.r_[starts[1:], len(ts)]
    return [int(np.sign(-side[a] * (price[b - 1] - price[a]))) for a, b in zip(starts, ends, strict=True) if b - a >= 5 and price[b - 1] != price[a]]


def _side_verdict(moves: np.ndarray, clusters: Sequence[int]) -> dict[str, Any]:
    """Do the sides agree with the price? A swapped side map shows here before it costs money."""
    moved = moves[moves != 0.0]
    if len(moved) >= SIDE_MIN or len(moved) >= len(clusters):
        n, agree, what = len(moved), int((moved > 0).sum()), "trade price in the 10 s before, by cascade"
    else:
        n, agree, what = len(clusters), sum(c > 0 for c in clusters), "price within clusters of one side"
    out = {"compared": n, "agree": agree, "with": what, "mean_bps": round(float(moves.mean()), 3) if len(moves) else None}
    if n < SIDE_MIN:
        return {**out, "verdict": "too few to say"}
    # three standard deviations of a fair coin
    margin = 1.5 * n**0.5
    return {**out, "verdict": "agrees" if agree > n / 2 + margin else "SWAPPED?" if agree < n / 2 - margin else "undecided"}


def _both(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """Where both are."""
    out, n, m = [], 0, 0
    while n < len(a) and m < len(b):
        low, high = max(a[n][0], b[m][0]), min(a[n][1], b[m][1])
        if low < high:
            out.append((low, high))
        n, m = (n + 1, m) if a[n][1] < b[m][1] else (n, m + 1)
    return out
