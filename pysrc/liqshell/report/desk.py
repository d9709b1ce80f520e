"""The three tables of the document of `trend`: the account, the positions, and the latest signals with the answers to each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from liqshell.judge.asked import FILE, rows_of
from liqshell.report.labels import position
from liqshell.report.prices import Paths
from liqshell.report.run import Run
from liqshell.report.stories import Ledger

LATEST = 50
MONITORED = 20


def tables(run: Run, ledger: Ledger, paths: Paths, summary: dict[str, Any]) -> dict[str, Any] | None:
    """report.json's "desk"; None where a run asked no judge. account: one row; positions: those that are open, then the latest that are closed;
    signals: the latest questions to the judge, newest first."""
    if not run.meta.get("judge"):
        return None
    return {"account": account(run, summary), "positions": positions(run, ledger, paths), "signals": signals(run)}


def account(run: Run, summary: dict[str, Any]) -> dict[str, Any]:
    """Balance (of closed trades), positions of how many, result so far, and the terms of the stops."""
    brackets = run.table("settings").get("brackets") or {}
    terms: dict[str, Any] = next(iter(brackets.values()), {})
    start, net = summary["money"]["equity_start"], summary["money"]["net"]
    return {
        "balance": None if start is None else start + net,
        "positions": sum(row["what"] == "position" for row in summary["left_open"]),
        "positions_max": (run.table("settings").get("limits") or {}).get("positions_max"),
        "net": net,
        "unrealised": sum(row["unrealised"] for row in summary["left_open"] if row["what"] == "position"),
        "stop_loss": _share(terms, "stop_loss"),
        "trail": _share(terms, "trail"),
        "trail_basis": terms.get("trail_basis", "price"),
    }


def _share(terms: dict[str, Any], name: str) -> float | None:
    return float(terms[name]) if terms.get(name) else None


def positions(run: Run, ledger: Ledger, paths: Paths) -> list[dict[str, Any]]:
    """Entry, price now (of a closed one its exit), result in %, the largest it was, and how far it has fallen from there; the stop at the venue. The
    largest is of the drawn price path, whose buckets may miss a tick's moment."""
    rows = ledger.bracket_rows
    held = np.flatnonzero(rows["fills"] > 0)
    order = [*held[rows["flat"][held] == 0].tolist(), *sorted(held[rows["flat"][held] > 0].tolist(), key=lambda k: -int(rows["flat"][k]))]
    out = []
    for k in order[:MONITORED]:
        b = ledger.bracket(k)
        if not b.entry_price:
            continue
        now = b.closed.exit if b.closed is not None else ledger.marks.get(b.instrument, (0, 0.0))[1]
        entered = min((fill.ts for fill in b.fills), default=b.opened)
        best = _best(
            run,
            paths,
            b.instrument,
            b.side,
            entered,
            b.flat or run.ended_ns,
            max(b.entry_price, now) if b.side > 0 else min(x for x in (b.entry_price, now) if x > 0.0),
        )
        gain, most = (b.side * (price / b.entry_price - 1.0) for price in (now or b.entry_price, best))
        out.append(
            {
                "symbol": run.symbols[b.instrument],
                "side": position(b.side),
                "open": b.closed is None,
                "entry": b.entry_price,
                "price": now,
                "gain": gain,
                "gain_max": most,
                "given_back": most - gain,
                "stop": b.stop_price or None,
                "ts": b.flat or run.ended_ns,
            }
        )
    return out


def _best(run: Run, paths: Paths, n: int, side: int, start: int, end: int, known: float) -> float:
    """The best price of a span as far as it was drawn; `known` is one that was there."""
    tick = float(run.instruments[n].tick_size)
    best = known
    for series in paths.series[n] if n < len(paths.series) else ():
        width = (series.end - series.start) / series.count
        first = max(0, int(np.ceil((start - series.start) / width))) if width else 0
        last = min(series.count, int((end - series.start) / width)) if width else 0
        high = series.high[first:last]
        if (high >= 0).any():
            seen = high >= 0
            best = max(best, float(high[seen].max()) * tick) if side > 0 else min(best, float(series.low[first:last][seen].min()) * tick)
    return best


def signals(run: Run) -> list[dict[str, Any]]:
    """Of each question: the liquidations, the candles, the news, and the outcome."""
    if not (run.folder / FILE).is_file():
        return []
    out = []
    for row in list(rows_of([str(run.folder)]))[-LATEST:][::-1]:
        facts = row.get("question") or {}
        signal = facts.get("signal") or {}
        out.append(
            {
                "ts": row.get("asked_ns"),
                "contract": row.get("contract"),
                "direction": row.get("direction"),
                "z": signal.get("z"),
                "purity": facts.get("purity"),
                "anomaly": facts.get("anomaly"),
                "long_notional": signal.get("long_notional"),
                "short_notional": signal.get("short_notional"),
                "candles_aligned": facts.get("candles_aligned"),
                "change_5m": facts.get("change_5m"),
                "news": row.get("news_grade"),
                "items": len(row.get("news") or ()),
                "status": row.get("status"),
                "action": row.get("action"),
                "confidence": row.get("confidence"),
                **_notes(row.get("response")),
            }
        )
    return out


def _notes(response: Any) -> dict[str, str]:
    """The notes of a model's answer, where it gave them as asked."""
    for text in _texts(response):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return {name: str(found.get(name, ""))[:240] for name in ("liq_note", "trend_note", "news_note", "action_reason")}
    return {}


def _texts(response: Any) -> list[str]:
    if isinstance(response, str):
        return [response]
    if not isinstance(response, dict):
        return []
    choices, content = response.get("choices"), response.get("content")
    found = [choice.get("message", {}).get("content") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    found += [piece.get("text") for piece in content if isinstance(piece, dict)] if isinstance(content, list) else []
    return [text for text in found if isinstance(text, str)] or [json.dumps(response)]
