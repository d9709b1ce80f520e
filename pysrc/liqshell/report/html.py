"""The page of a run. Its words and tables are in sections*.py, its pictures in svg.py and plots.py, its frame in pages/report.html."""

import json
import re
from typing import Any

from markupsafe import Markup

from liqshell.pages import data_badge, document, script, two
from liqshell.report import intents, sections, sections_judge, sections_quotes, sections_run, sections_study, timetable, warmth
from liqshell.report.text import NONE, evidence, interval, money, number, percent, seconds, when
from liqshell.report.verdicts import CONTAMINATED, WHY, bars_only, contaminated, damaged, halted, of_row, stopped


def _badges(s: dict[str, Any]) -> list[tuple[str, str]]:
    out = [data_badge(s["synthetic"], s["stamp"]["market_seeds"] or ()), ("", str(s["mode"])), ("", str(s["venue"]) or "no venue")]
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
    """Name, value and note. None is coloured: the verdict above has the conclusion."""
    m, w, c, e = s["money"], s["win_rate"], s["cascades"], s["entries"]
    traded = bool(s["trades"])
    held = [row["unrealised"] for row in s["left_open"] if row["what"] == "position"]
    nothing = "no trade was closed" + (f"; open positions {money(sum(held), sign=True)}" if held else "")
    out = [
        (
            "Net result",
            money(m["net"], sign=True),
            f"{percent(m['net_on_account'], 3, True)} of the account, {number(m['net_on_notional_bps'], 1, True)} bps of notional",
        )
        if traded
        else ("Net result", NONE, nothing),
        (
            "Win rate",
            percent(w["share"]),
            f"{w['k']} of {w['n']} (95 %: {interval(w['low'], w['high'], _whole)}); break-even needs "
            f"{percent(w['break_even_realised'] if w['break_even_realised'] is not None else w['break_even_planned'])}"
            if traded
            else "no trade was closed",
        ),
        ("Cascades", NONE, "no detector of cascades ran")
        if bars_only(s)
        else (
            "Cascades",
            str(c["n"]),
            f"{number(c['rate']['per_hour'])} per covered instrument hour ({interval(c['rate']['low'], c['rate']['high'])})"
            if c["rate"]["hours"]
            else "no rate: the data cover no time with liquidations",
        ),
        ("Entries filled", percent(e["filled"]["share"]), f"{e['filled']['k']} of {e['placed']} orders" if e["placed"] else "no order was placed"),
    ]
    if s["truth"] is not None:
        t = s["truth"]
        p, r = t["precision"], t["recall"]
        out.append(
            (
                "Detection",
                f"{percent(p['share'], 0).removesuffix(' %')} / {percent(r['share'], 0)}",
                f"precision {p['k']} of {p['n']} (95 %: {interval(p['low'], p['high'], _whole)}), recall {r['k']} of {r['n']} "
                f"({interval(r['low'], r['high'], _whole)}); by notional {percent(t['recall_by_notional'], 0)}",
            )
        )
    return [*out, ("Drawdown", percent(m["max_drawdown_on_account"], 3) if traded else NONE, "largest drawdown of the account, closed trades only")]


def _notices(s: dict[str, Any]) -> list[tuple[str, str]]:
    """Notices that the reader needs before the numbers."""
    out = []
    if damaged(s):
        out.append(("DAMAGED.", damaged(s)))
    if contaminated(s):
        out.append((CONTAMINATED + ".", WHY))
    if s["stamp"]["audit_lost"]:
        out.append(("INCOMPLETE.", f"{s['stamp']['audit_lost']:,} audit records are missing. Every sum below may be wrong."))
    if not s["stamp"]["finished"]:
        out.append(("UNFINISHED.", f"The run was cut off. The report covers only a part of it. {s['stamp']['problem'] or ''}"))
    if "CENSORED" in s["completeness"]:
        out.append(
            (
                "CENSORED feed.",
                "The venue publishes only a sample of its liquidations. Volumes are lower bounds, and are never added to those of a FULL feed.",
            )
        )
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
    lead = sections_study.belief(s) + sections.result(s, drawn["equity"], drawn["end"])
    body = Markup().join(
        (
            sections_study.all_of(s),
            sections_judge.html(s),
            sections.exits(s),
            sections_quotes.fills(s),
            two(sections.statistics(s), sections.funnel(s) + sections.why(s) + aside),
            timetable.html(s),
            intents.html(s),
            sections.pieces(s),
            below,
            sections.instruments(s),
            sections.trades(s),
            sections_run.data(s),
            sections_run.assumptions(s),
            sections_run.truth(s),
            warmth.page(s),
            sections_run.latency(s),
            two(sections_run.feed(s), sections_run.stamp(s)),
        )
    )
    contents = [(anchor, Markup(title)) for anchor, title in re.findall(r'<section id="([a-z]+)"><h2>([^<]*)</h2>', lead + body)]
    return document(
        f"{s['name']}: liqcore report",
        body,
        "report.html",
        s=s,
        lead=lead,
        contents=contents,
        span=span + (f" in {seconds(s['wall_s'])} of wall time" if s["wall_s"] is not None else ""),
        marks=_badges(s),
        seeds=f" (seed {', '.join(map(str, seeds))})" if seeds else "",
        evidence=evidence(str(s["evidence"])),
        of_row=of_row(s),
        notices=_notices(s),
        verdict=s["verdict"],
        tiles=_tiles(s),
        problem=s.get("drawing", {}).get("problem") or "",
        cards=cards if total else "No cascade was seen",
        data=_data(drawn),
        script=script("chart.js", "report.js"),
    )
