"""The page: one self-contained HTML file that asks nobody for anything. Its sections are in sections*.py, its pictures in svg.py and plots.py."""

import json
import re
from importlib.resources import files
from typing import Any

from liqshell.report import sections, sections_quotes, sections_run, sections_study
from liqshell.report.elements import esc, notice, tile
from liqshell.report.text import NONE, evidence, halted, interval, money, number, percent, seconds, verdict, when


def _badges(s: dict[str, Any]) -> str:
    out = [("synthetic", "SYNTHETIC MARKET") if s["synthetic"] else ("", "real market"), ("", str(s["mode"])),
           ("", str(s["venue"]) or "no venue")]
    out += [("", f"feed {name}") for name in s["completeness"]]
    if s["preset"]:
        out.append(("", f"preset {s['preset']}"))
    if s["speed"] != 1:
        out.append(("", f"{s['speed']:g} × real time"))
    replay = s["stamp"]["replay"]
    if isinstance(replay, dict):
        out.append(("good", "replay identical") if replay.get("identical") else ("bad", "REPLAY DIFFERS"))
    return "".join(f'<span class="badge {kind}">{esc(text)}</span>' for kind, text in out)


def _tiles(s: dict[str, Any]) -> str:
    m, w, c, e = s["money"], s["win_rate"], s["cascades"], s["entries"]
    traded = bool(s["trades"])
    held = [row["unrealised"] for row in s["left_open"] if row["what"] == "position"]
    nothing = "no trade was closed" + (f"; open positions {money(sum(held), sign=True)}" if held else "")
    out = [tile("Net result", money(m["net"], sign=True) if traded else NONE,
                 f"{percent(m['net_on_account'], 3, True)} of the account, {number(m['net_on_notional_bps'], 1, True)} bps of notional"
                 if traded
                 else nothing, m["net"] if traded else None),
           tile("Win rate", percent(w["share"]), f"{w['k']} of {w['n']}; break-even needs "
                 f"{percent(w['break_even_realised'] if w['break_even_realised'] is not None else w['break_even_planned'])}" if traded
                 else "no trade was closed"),
           tile("Cascades", str(c["n"]), f"{number(c['rate']['per_hour'])} per covered instrument hour "
                 f"({interval(c['rate']['low'], c['rate']['high'])})" if c["rate"]["hours"] else "no covered time"),
           tile("Entries filled", percent(e["filled"]["share"]),
                 f"{e['filled']['k']} of {e['placed']} orders" if e["placed"] else "no order was placed")]
    if s["truth"] is not None:
        t = s["truth"]
        out.append(tile("Detection", f"{percent(t['precision']['share'], 0).removesuffix(' %')} / {percent(t['recall']['share'], 0)}",
                         f"precision / recall on {t['cascades']} true cascades; recall by notional {percent(t['recall_by_notional'], 0)}"))
    out.append(tile("Drawdown", percent(m["max_drawdown_on_account"], 3) if traded else NONE,
                     "largest fall of the account, closed trades"))
    return f'<div class="tiles">{"".join(out)}</div>'


def _head(s: dict[str, Any]) -> str:
    span = f"{when(s['started_ns'])} – {when(s['ended_ns'])} UTC · {seconds(s['duration_s'])} of market"
    if s["wall_s"] is not None:
        span += f" in {seconds(s['wall_s'])} of wall time"
    out = [f'<header><div><h1>{esc(s["name"])}</h1><div class="muted">{esc(span)}</div><div class="badges">{_badges(s)}</div></div>'
           '<button id="theme" title="light or dark">◐ theme</button></header>']
    if s["synthetic"]:
        seed = f" (seed {s['stamp']['seed']})" if s["stamp"]["seed"] is not None else ""
        out.append(notice("SYNTHETIC.", f"Prices and liquidations were made by a generator{seed}: they show that the machinery works and are no "
                          "evidence about a real market."))
    if s["evidence"]:
        grade, first, rest = evidence(str(s["evidence"]))
        more = f"<details><summary>why</summary>{esc(rest)}</details>" if rest else ""
        out.append(f'<div class="sub"><b>Evidence for the preset: {esc(grade)}.</b> {esc(first)}{more}</div>')
    if s["stamp"]["audit_lost"]:
        out.append(notice("INCOMPLETE.", f"{s['stamp']['audit_lost']:,} audit records are missing: no sum below can be trusted."))
    if not s["stamp"]["finished"]:
        out.append(notice("UNFINISHED.", f"The run was cut off: what follows is of a part of it. {s['stamp']['problem'] or ''}"))
    if "CENSORED" in s["completeness"]:
        out.append(notice("CENSORED feed.", "The venue shows only a sample of its liquidations: volumes are lower bounds and are never added to "
                          "those of a full feed."))
    out.append(sections_quotes.head(s))
    if halted(s):
        out.append(notice("HALTED.", halted(s)))
    for alarm in s["feed"]["alarms"][:3]:
        out.append(notice("ALARM", f"{when(alarm['ts'])} {alarm['instrument']}: {alarm['what']}"))
    out.append(f'<p class="verdict">{esc(verdict(s))}</p>')
    return "".join(out) + _tiles(s)


def _chart_note(s: dict[str, Any]) -> str:
    note = ("Choose a cascade below, or zoom with the wheel and drag. Bubbles are large liquidations at the price of that moment; "
            "bars are all forced volume.")
    problem = s.get("drawing", {}).get("problem")
    return esc(f"{note} {problem}" if problem else note)


def _contents(body: str) -> str:
    """Links to the sections that have an anchor."""
    found = re.findall(r'<section id="([a-z]+)"><h2>([^<]*)</h2>', body)
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in [("charts", "Price and orders"), *found])
    return f'<nav class="contents">{links}</nav>'


def document(title: str, body: str) -> str:
    """A self-contained page in the same clothes around HTML that is already safe: sections (elements.section), tables, heatmaps."""
    css = files("liqshell.report").joinpath("page.css").read_text("utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return ('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<title>{esc(title)}</title>\n<style>{css}</style>\n</head>\n'
            f"<body>\n<main>\n<header><h1>{esc(title)}</h1></header>\n{body}\n</main>\n</body>\n</html>\n")


def page(summary: dict[str, Any], drawn: dict[str, Any]) -> str:
    """The whole HTML file. `drawn` is drawing.drawing()'s dict."""
    s = summary
    shown, total = len(drawn["cascades"]), drawn["total"]
    here = files("liqshell.report")
    css, chart, script, template = (here.joinpath(name).read_text("utf-8") for name in ("page.css", "chart.js", "page.js", "page.html"))
    # a '<' inside JSON could end the script element; escaped it is the same JSON
    data = json.dumps(drawn, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    title = "No cascade was seen" if not total else "Each cascade"
    if shown < total:
        title = f"{shown} of {total} cascades: those that were traded first, then the largest"
    # a table needs the width, an empty state does not
    aside, below = ("", sections.left_open(s)) if s["left_open"] else (sections.left_open(s), "")
    study = sections_study.all_of(s)
    lead = sections_study.belief(s) + sections.result(s, drawn["equity"], drawn["end"])
    body = [study, sections.exits(s), sections_quotes.fills(s),
            f'<div class="two"><div>{sections.statistics(s)}</div><div>{sections.funnel(s)}{sections.why(s)}{aside}</div></div>',
            sections.pieces(s), below, sections.instruments(s), sections.trades(s), sections_run.data(s), sections_run.assumptions(s),
            sections_run.truth(s), sections_run.latency(s),
            f'<div class="two">{sections_run.feed(s)}{sections_run.stamp(s)}</div>']
    contents = _contents(lead + "".join(body))
    parts = {"title": esc(f"{s['name']}: liqcore report"), "css": css, "js": f'(() => {{\n"use strict";\n{chart}{script}}})();',
             "head": _head(s), "contents": contents, "lead": lead,
             "chart_note": _chart_note(s), "data": data, "cards_title": title, "body": "".join(body), "truth_legend": ""}
    if s["truth"] is not None:
        parts["truth_legend"] = '<span><i style="color:var(--longs)"></i>top edge: a true cascade of the generator</span>'
    return re.sub(r"@([a-z_]+)@", lambda found: parts[found.group(1)], template)
