"""The data of the page's drawing as one small JSON object: times in ms since the start of the run, prices in quote currency."""

from collections.abc import Callable
from typing import Any

import numpy as np

from liqcore import Reason
from liqshell.report.coverage import gaps
from liqshell.report.labels import FILLS, ROLES, liquidated, position, reason
from liqshell.report.origin import detectors, kind_of, levels, unit
from liqshell.report.prices import MS, Paths, drawn
from liqshell.report.run import Run
from liqshell.report.stories import Bracket, Cascade, Ledger, Order
from liqshell.report.text import number

LARGES_DRAWN = 400
WHOLE, KEPT = 600, 4000  # brackets drawn with every order; brackets drawn at all
At = Callable[[int], float | None]  # ns UTC -> the page's time


def _kept(ledger: Ledger, shown: list[Cascade]) -> list[Bracket]:
    """The brackets that are drawn: those of the drawn cascades first, then those with fills, in order of time."""
    first = {id(c.bracket): c.bracket for c in shown if c.bracket is not None}
    order = np.lexsort((ledger.bracket_rows["opened"], ledger.bracket_rows["fills"] == 0))[:KEPT]
    rest = [b for b in map(ledger.bracket, order.tolist()) if id(b) not in first]
    return (list(first.values()) + rest)[:KEPT]


def _order(o: Order, at: At) -> dict[str, Any]:
    return {
        "role": ROLES.get(o.role, "?"),
        "side": o.side,
        "steps": [[at(ts), price] for ts, price in o.steps],
        "created": at(o.created),
        "acked": at(o.acked),
        "triggered": at(o.triggered),
        "ended": at(o.ended),
        "reason": reason(o.reason) if o.reason else "",
        "rejected": o.rejected,
        "filled": o.filled,
        "qty": o.qty,
    }


def _bracket(b: Bracket, at: At, whole: bool) -> dict[str, Any]:
    trade = b.closed
    return {
        "n": b.instrument,
        "side": position(b.side),
        "opened": at(b.opened),
        "flat": at(b.flat),
        "end": reason(b.end) if b.flat else "",
        "net": trade.net if trade else None,
        "bps": trade.bps if trade else None,
        "gross": trade.gross if trade else None,
        "fees": trade.fees if trade else None,
        "hold": trade.hold_s if trade else None,
        "slip": trade.slippage if trade else None,
        "qty": b.qty,
        "position": b.position,
        "orders": [_order(o, at) for o in b.orders.values()] if whole else [],
        "fills": [
            {
                "t": at(f.ts),
                "p": f.price,
                "q": f.qty,
                "role": ROLES.get(f.role, "?"),
                "side": f.side,
                "maker": f.maker,
                "how": FILLS.get(f.reason, ""),
                "fee": f.fee,
            }
            for f in b.fills
        ],
    }


def outcome(c: Cascade) -> tuple[str, str]:
    """(group, text) of a cascade's end, the most important fact first."""
    b = c.bracket
    if b is None:
        return "none", "no trade: " + (c.unmet or c.awaited or reason(c.verdicts[0][1]) if c.verdicts else "policy silent")
    if b.closed is not None:
        return ("won" if b.closed.net > 0 else "lost"), f"{reason(b.closed.reason)} {number(b.closed.bps, 1, True)} bps"
    if b.position:
        return "open", "position still open"
    return ("open", "entry still working") if not b.flat else ("unfilled", f"not filled: {reason(b.end)}")


def _cascade(number: int, c: Cascade, brackets: dict[int, int], at: At, kind: str) -> dict[str, Any]:
    group, text = outcome(c)
    return {
        "id": number,
        "n": c.instrument,
        "start": at(c.start),
        "active": at(c.active),
        "last": at(c.last_large),
        "end": at(c.ended),
        "side": c.side,
        "label": liquidated(c.side),
        "long": c.long_notional,
        "short": c.short_notional,
        "count": c.count,
        "unit": f"{unit(kind)}s",
        "threshold": c.threshold,
        "levels": levels(kind, c.threshold, c.z, c.score, bool(c.ended)),
        "interrupted": c.interrupted,
        "group": group,
        "outcome": text,
        "phases": [[at(ts), phase] for ts, phase in c.phases],
        "verdicts": [
            [at(ts), "agreed" if not code else "wanted nothing" if c.unmet and code == Reason.NO_TRADE else reason(code)] for ts, code in c.verdicts
        ],
        "larges": [[at(ts), price, round(notional), side] for ts, _, side, price, notional in c.larges[:LARGES_DRAWN].tolist()],
        "bracket": brackets.get(id(c.bracket)) if c.bracket is not None else None,
    }


def drawing(run: Run, ledger: Ledger, paths: Paths) -> dict[str, Any]:
    """Everything that report.js needs."""
    origin = run.started_ns

    def at(ts: int) -> float | None:
        return round((ts - origin) / MS, 3) if ts else None

    shown, specs = drawn(ledger), detectors(run)
    kept = _kept(ledger, shown)
    brackets = {id(b): n for n, b in enumerate(kept)}
    instruments = []
    for n, instrument in enumerate(run.instruments):
        overview, *windows = paths.series[n]
        decimals = len(instrument.tick_size.partition(".")[2].rstrip("0"))
        instruments.append(
            {
                "symbol": instrument.symbol,
                "tick": float(instrument.tick_size),
                "decimals": decimals,
                "overview": overview.as_dict(origin),
                "windows": [w for w in (s.as_dict(origin) for s in windows) if w],
                "gaps": [[at(a), at(b)] for a, b in gaps(run, ledger, n)],
                "truth": [
                    [at(t.start_ns), at(t.end_ns), t.side, t.count, round(t.notional)] for t in run.truth or () if t.symbol == instrument.symbol
                ],
            }
        )
    entries, trades = len(ledger.bracket_rows), ledger.trade_rows
    left_out = "" if len(kept) == entries else f"{len(kept):,} of {entries:,} entries are drawn."
    if len(kept) > WHOLE:
        left_out = f"{left_out} Orders are drawn for the first {WHOLE} of them and of the cascades below; the rest show fills only.".strip()
    return {
        "origin": origin // MS,
        "end": (run.ended_ns - origin) / MS,
        "instruments": instruments,
        "total": len(ledger.seen_at),
        "cascades": [_cascade(k, c, brackets, at, kind_of(specs, c.detector)) for k, c in enumerate(shown, 1)],
        "brackets": [_bracket(b, at, whole=n < WHOLE) for n, b in enumerate(kept)],
        "left_out": left_out,
        "equity": [
            [at(flat), decided, net]
            for flat, decided, net in zip(
                ledger.of_trades("flat").tolist(), (trades["gross"] + trades["slippage"]).tolist(), trades["net"].tolist(), strict=True
            )
        ],
    }
