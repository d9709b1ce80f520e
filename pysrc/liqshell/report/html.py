"""The page of a run. Its words and tables are in sections.py, its pictures in svg.py and plots.py, its frame in pages/report.html."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from markupsafe import Markup

from liqcore import Reason
from liqshell.pages import data_badge, document, script, two
from liqshell.report import sections, sections_judge, sections_quotes, timetable, warmth, intents
from liqshell.report.coverage import gaps
from liqshell.report.labels import FILLS, ROLES, liquidated, position, reason
from liqshell.report.origin import detectors, kind_of, levels, unit
from liqshell.report.prices import MS, Paths, drawn
from liqshell.report.run import Run
from liqshell.report.stories import Bracket, Cascade, Ledger, Order
from liqshell.report.text import NONE, evidence, interval, money, number, percent, seconds, when
from liqshell.report.verdicts import CONTAMINATED, WHY, bars_only, contaminated, halted, stopped

# What the page draws, as one small JSON object: times in ms since the start of the run, prices in quote currency.
LARGES_DRAWN = 400
WHOLE, KEPT = 600, 4000              # brackets drawn with every order; brackets drawn at all
At = Callable[[int], float | None]      # ns UTC -> the page's time


def _kept(ledger: Ledger, shown: list[Cascade]) -> list[Bracket]:
    """The brackets that are drawn: those of the drawn cascades first, then those with fills, in order of time."""
    first = {id(c.bracket): c.bracket for c in shown if c.bracket is not None}
    order = np.lexsort((ledger.bracket_rows["opened"], ledger.bracket_rows["fills"] == 0))[:KEPT]
    rest = [b for b in map(ledger.bracket, order.tolist()) if id(b) not in first]
    return (list(first.values()) + rest)[:KEPT]


def _order(o: Order, at: At) -> dict[str, Any]:
    return {"role": ROLES.get(o.role, "?"), "side": o.side, "steps": [[at(ts), price] for ts, price in o.steps], "created": at(o.created),
            "acked": at(o.acked), "triggered": at(o.triggered), "ended": at(o.ended), "reason": reason(o.reason) if o.reason else "",
            "rejected": o.rejected, "filled": o.filled, "qty": o.qty}


def _bracket(b: Bracket, at: At, whole: bool) -> dict[str, Any]:
    trade = b.closed
    return {"n": b.instrument, "side": position(b.side), "opened": at(b.opened), "flat": at(b.flat), "end": reason(b.end) if b.flat else "",
            "net": trade.net if trade else None, "bps": trade.bps if trade else None,
            "gross": trade.gross if trade else None, "fees": trade.fees if trade else None, "hold": trade.hold_s if trade else None,
            "slip": trade.slippage if trade else None, "qty": b.qty, "position": b.position,
            "orders": [_order(o, at) for o in b.orders.values()] if whole else [],
            "fills": [{"t": at(f.ts), "p": f.price, "q": f.qty, "role": ROLES.get(f.role, "?"), "side": f.side, "maker": f.maker,
                       "how": FILLS.get(f.reason, ""), "fee": f.fee} for f in b.fills]}


def outcome(c: Cascade) -> tuple[str, str]:
    """(group, text) of a cascade's end: what a person wants to know of it first."""
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
    return {"id": number, "n": c.instrument, "start": at(c.start), "active": at(c.active), "last": at(c.last_large), "end": at(c.ended),
            "side": c.side, "label": liquidated(c.side), "long": c.long_notional, "short": c.short_notional, "count": c.count,
            "unit": f"{unit(kind)}s", "threshold": c.threshold, "levels": levels(kind, c.threshold, c.z, c.score, bool(c.ended)),
            "interrupted": c.interrupted, "group": group, "outcome": text,
            "phases": [[at(ts), phase] for ts, phase in c.phases],
            "verdicts": [[at(ts), "agreed" if not code else "wanted nothing" if c.unmet and code == Reason.NO_TRADE else reason(code)]
                         for ts, code in c.verdicts],
            "larges": [[at(ts), price, round(notional), side] for ts, _, side, price, notional in c.larges[:LARGES_DRAWN].tolist()],
            "bracket": brackets.get(id(c.bracket)) if c.bracket is not None else None}


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
        instruments.append({"symbol": instrument.symbol, "tick": float(instrument.tick_size), "decimals": decimals,
                            "overview": overview.as_dict(origin), "windows": [w for w in (s.as_dict(origin) for s in windows) if w],
                            "gaps": [[at(a), at(b)] for a, b in gaps(run, ledger, n)],
                            "truth": [[at(t.start_ns), at(t.end_ns), t.side, t.count, round(t.notional)] for t in run.truth or ()
                                      if t.symbol == instrument.symbol]})
    entries, trades = len(ledger.bracket_rows), ledger.trade_rows
    left_out = "" if len(kept) == entries else f"{len(kept):,} of {entries:,} entries are drawn."
    if len(kept) > WHOLE:
        left_out = f"{left_out} Orders are drawn for the first {WHOLE} of them and of the cascades below; the rest show fills only.".strip()
    return {"origin": origin // MS, "end": (run.ended_ns - origin) / MS, "instruments": instruments, "total": len(ledger.seen_at),
            "cascades": [_cascade(k, c, brackets, at, kind_of(specs, c.detector)) for k, c in enumerate(shown, 1)],
            "brackets": [_bracket(b, at, whole=n < WHOLE) for n, b in enumerate(kept)], "left_out": left_out,
            "equity": [[at(flat), decided, net] for flat, decided, net in zip(
                ledger.of_trades("flat").tolist(), (trades["gross"] + trades["slippage"]).tolist(), trades["net"].tolist(), strict=True)]}


def _badges(s: dict[str, Any]) -> list[tuple[str, str]]:
    out = [data_badge(s["synthetic"], s["stamp"]["market_seeds"] or ()), ("", str(s["mode"])),
           ("", str(s["venue"]) or "no venue")]
    out += [("", f"feed {name}") for name in s["completeness"]]
    if contaminated(s):
        out.append(("bad", CONTAMINATED))
    if s["preset"]:
        out.append(("", f"preset {s['preset']}"))
    if s["speed"] != 1:
        out.append(("", f"{s['speed']:g} × real time"))
    replay = s["stamp"]["replay"]
    if isinstance(replay, dict):
        out.append(("good", "replay identical") if replay.get("identical") else ("bad", "REPLAY DIFFERS"))
    return out


def _whole(share: float | None) -> str:
    return percent(share, 0)


def _tiles(s: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and note. None is coloured: what may be concluded stands in the verdict above."""
    m, w, c, e = s["money"], s["win_rate"], s["cascades"], s["entries"]
    traded = bool(s["trades"])
    held = [row["unrealised"] for row in s["left_open"] if row["what"] == "position"]
    nothing = "no trade was closed" + (f"; open positions {money(sum(held), sign=True)}" if held else "")
    out = [("Net result", money(m["net"], sign=True), f"{percent(m['net_on_account'], 3, True)} of the account, "
            f"{number(m['net_on_notional_bps'], 1, True)} bps of notional") if traded else ("Net result", NONE, nothing),
           ("Win rate", percent(w["share"]), f"{w['k']} of {w['n']} (95 %: {interval(w['low'], w['high'], _whole)}); break-even needs "
            f"{percent(w['break_even_realised'] if w['break_even_realised'] is not None else w['break_even_planned'])}" if traded
            else "no trade was closed"),
           ("Cascades", NONE, "no detector of cascades ran") if bars_only(s) else
           ("Cascades", str(c["n"]), f"{number(c['rate']['per_hour'])} per covered instrument hour "
            f"({interval(c['rate']['low'], c['rate']['high'])})" if c["rate"]["hours"] else "no rate: the data cover no time with liquidations"),
           ("Entries filled", percent(e["filled"]["share"]), f"{e['filled']['k']} of {e['placed']} orders" if e["placed"] else "no order was placed")]
    if s["truth"] is not None:
        t = s["truth"]
        p, r = t["precision"], t["recall"]
        out.append(("Detection", f"{percent(p['share'], 0).removesuffix(' %')} / {percent(r['share'], 0)}",
                    f"precision {p['k']} of {p['n']} (95 %: {interval(p['low'], p['high'], _whole)}), recall {r['k']} of {r['n']} "
                    f"({interval(r['low'], r['high'], _whole)}); by notional {percent(t['recall_by_notional'], 0)}"))
    return [*out, ("Drawdown", percent(m["max_drawdown_on_account"], 3) if traded else NONE, "largest drawdown of the account, closed trades only")]


def _notices(s: dict[str, Any]) -> list[tuple[str, str]]:
    """What must be known before any number is read."""
    out = []
    if contaminated(s):
        out.append((CONTAMINATED + ".", WHY))
    if s["stamp"]["audit_lost"]:
        out.append(("INCOMPLETE.", f"{s['stamp']['audit_lost']:,} audit records are missing. Every sum below may be wrong."))
    if not s["stamp"]["finished"]:
        out.append(("UNFINISHED.", f"The run was cut off. The report covers only a part of it. {s['stamp']['problem'] or ''}"))
    if "CENSORED" in s["completeness"]:
        out.append(("CENSORED feed.", "The venue publishes only a sample of its liquidations. Volumes are lower bounds, and are never added to "
                    "those of a FULL feed."))
    if label := sections_quotes.label(s):
        out.append((label, " ".join(s["quotes"]["told"]) + " No result below gets a ✓."))
    if halted(s):
        out.append(("HALTED.", halted(s)))
    out += [("STREAM SUSPECT.", reason) for reason in stopped(s)[:3]]
    return out + [("ALARM", f"{when(alarm['ts'])} {alarm['instrument']}: {alarm['what']}") for alarm in s["feed"]["alarms"][:3]]


def _data(drawn: dict[str, Any]) -> Markup:
    """JSON inside a script element. A '<' could end the element; escaped it is the same JSON."""
    text = json.dumps(drawn, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def page(summary: dict[str, Any], drawn: dict[str, Any]) -> str:
    """The whole HTML file. `drawn` is drawing.drawing()'s dict."""
    s = summary
    shown, total = len(drawn["cascades"]), drawn["total"]
    cards = f"{shown} of {total} cascades: first the traded ones, then the largest" if shown < total else "Each cascade"
    span = f"{when(s['started_ns'])} – {when(s['ended_ns'])} UTC · {seconds(s['duration_s'])} of market"
    seeds = s["stamp"]["market_seeds"]
    # a table needs the width, an empty state does not
    aside, below = (Markup(), sections.left_open(s)) if s["left_open"] else (sections.left_open(s), Markup())
    lead = sections.belief(s) + sections.result(s, drawn["equity"], drawn["end"])
    body = Markup().join((
        sections.all_of(s), sections_judge.html(s), sections.exits(s), sections_quotes.fills(s),
        two(sections.statistics(s), sections.funnel(s) + sections.why(s) + aside), timetable.html(s), intents.html(s), sections.pieces(s), below,
        sections.instruments(s), sections.trades(s), sections.data(s), sections.assumptions(s), sections.truth(s), warmth.page(s),
        sections.latency(s), two(sections.feed(s), sections.stamp(s))))
    contents = [(anchor, Markup(title)) for anchor, title in re.findall(r'<section id="([a-z]+)"><h2>([^<]*)</h2>', lead + body)]
    return document(f"{s['name']}: liqcore report", body, "report.html", s=s, lead=lead, contents=contents,
                    span=span + (f" in {seconds(s['wall_s'])} of wall time" if s["wall_s"] is not None else ""), marks=_badges(s),
                    seeds=f" (seed {', '.join(map(str, seeds))})" if seeds else "", evidence=evidence(str(s["evidence"])),
                    sweep_net=money(s["sweep"]["net"], True) if s["sweep"] else "", notices=_notices(s), verdict=s["verdict"], tiles=_tiles(s),
                    problem=s.get("drawing", {}).get("problem") or "", cards=cards if total else "No cascade was seen", data=_data(drawn),
                    script=script("chart.js", "report.js"))
