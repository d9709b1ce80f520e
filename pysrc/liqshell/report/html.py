"""The page: one self-contained HTML file. Everything that came from outside is escaped here, at the last moment, and nowhere else."""

import json
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import Any

from liqshell.report import svg
from liqshell.report.text import (ASSUMPTIONS, NONE, compact, evidence, interval, millis, money, number, percent, price, seconds, verdict,
                                  when)


def esc(value: Any) -> str:
    return escape(str(value), quote=True)


def _signed(value: float | None, text: str) -> str:
    return f'<span class="{"pos" if value > 0 else "neg"}">{esc(text)}</span>' if value else esc(text)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]], tall: bool = False) -> str:
    """Columns that begin with '>' hold numbers. Cells are HTML already: the caller has escaped them."""
    columns = list(columns)
    kind = ["n" if c.startswith(">") else "" for c in columns]
    head = "".join(f'<th class="{k}">{esc(c.lstrip(">"))}</th>' for c, k in zip(columns, kind, strict=True))
    body = "".join("<tr>" + "".join(f'<td class="{k}">{cell}</td>' for cell, k in zip(row, kind, strict=True)) + "</tr>" for row in rows)
    return f'<div class="scroll{" tall" if tall else ""}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _section(title: str, body: str, sub: str = "", anchor: str = "") -> str:
    identity = f' id="{anchor}"' if anchor else ""
    return f'<section{identity}><h2>{esc(title)}</h2>' + (f'<p class="sub">{esc(sub)}</p>' if sub else "") + body + "</section>"


def _empty(text: str) -> str:
    return f'<p class="empty">{esc(text)}</p>'


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


def _tile(key: str, value: str, detail: str, tone: float | None = None) -> str:
    colour = "" if not tone else " pos" if tone > 0 else " neg"
    parts = (("k", key), ("v" + colour, value), ("d", detail))
    return '<div class="tile">' + "".join(f'<div class="{name}">{esc(text)}</div>' for name, text in parts) + "</div>"


def _tiles(s: dict[str, Any]) -> str:
    m, w, c, e = s["money"], s["win_rate"], s["cascades"], s["entries"]
    traded = bool(s["trades"])
    held = [row["unrealised"] for row in s["left_open"] if row["what"] == "position"]
    nothing = "no trade was closed" + (f"; open positions {money(sum(held), sign=True)}" if held else "")
    out = [_tile("Net result", money(m["net"], sign=True) if traded else NONE,
                 f"{percent(m['net_on_account'], 3, True)} of the account, {number(m['net_on_notional_bps'], 1, True)} bps of notional"
                 if traded
                 else nothing, m["net"] if traded else None),
           _tile("Win rate", percent(w["share"]), f"{w['k']} of {w['n']}; break-even needs "
                 f"{percent(w['break_even_realised'] if w['break_even_realised'] is not None else w['break_even_planned'])}" if traded
                 else "no trade was closed"),
           _tile("Cascades", str(c["n"]), f"{number(c['rate']['per_hour'])} per covered instrument hour "
                 f"({interval(c['rate']['low'], c['rate']['high'])})" if c["rate"]["hours"] else "no covered time"),
           _tile("Entries filled", percent(e["filled"]["share"]),
                 f"{e['filled']['k']} of {e['placed']} orders" if e["placed"] else "no order was placed")]
    if s["truth"] is not None:
        t = s["truth"]
        out.append(_tile("Detection", f"{percent(t['precision']['share'], 0)} / {percent(t['recall']['share'], 0)}",
                         f"precision / recall on {t['cascades']} true cascades; recall by notional {percent(t['recall_by_notional'], 0)}"))
    out.append(_tile("Drawdown", percent(m["max_drawdown_on_account"], 3) if traded else NONE,
                     "largest fall of the account, closed trades"))
    return f'<div class="tiles">{"".join(out)}</div>'


def _head(s: dict[str, Any]) -> str:
    span = f"{when(s['started_ns'])} – {when(s['ended_ns'])} UTC · {seconds(s['duration_s'])} of market"
    if s["wall_s"] is not None:
        span += f" in {seconds(s['wall_s'])} of wall time"
    out = [f'<header><div><h1>{esc(s["name"])}</h1><div class="muted">{esc(span)}</div><div class="badges">{_badges(s)}</div></div>'
           '<button id="theme" title="light or dark">◐ theme</button></header>']
    if s["synthetic"]:
        out.append('<p class="notice"><b>SYNTHETIC.</b> Prices and liquidations were made by a generator'
                   + (f' (seed {esc(s["stamp"]["seed"])})' if s["stamp"]["seed"] is not None else "")
                   + ": they show that the machinery works and are no evidence about a real market.</p>")
    if s["evidence"]:
        grade, first, rest = evidence(str(s["evidence"]))
        more = f"<details><summary>why</summary>{esc(rest)}</details>" if rest else ""
        out.append(f'<div class="sub"><b>Evidence for the preset: {esc(grade)}.</b> {esc(first)}{more}</div>')
    if s["stamp"]["audit_lost"]:
        out.append(f'<p class="notice"><b>INCOMPLETE.</b> {s["stamp"]["audit_lost"]:,} audit records are missing: '
                   "no sum below can be trusted.</p>")
    if "CENSORED" in s["completeness"]:
        out.append('<p class="notice"><b>CENSORED feed.</b> The venue shows only a sample of its liquidations: volumes are lower bounds '
                   "and must not be added to those of a full feed.</p>")
    for alarm in s["feed"]["alarms"][:3]:
        out.append(f'<p class="notice"><b>ALARM</b> {esc(when(alarm["ts"]))} {esc(alarm["instrument"])}: {esc(alarm["what"])}</p>')
    out.append(f'<p class="verdict">{esc(verdict(s))}</p>')
    return "".join(out) + _tiles(s)


def _result(s: dict[str, Any], points: list, end_ms: float) -> str:
    m = s["money"]
    if not s["trades"]:
        return _section("Result", _empty("No round trip was closed. What happened to the cascades is told below."))
    across = m["held_across_funding"]
    sub = f"{money(m['net'], True)} net on {money(m['notional'])} of entry notional; account {money(m['equity_start'])}."
    sub += f" {across} trades were held across a funding time." if across else ""
    left = _section("From gross to net", svg.waterfall(m), sub)
    right = _section("Account after each trade", svg.equity([tuple(p) for p in points], end_ms),
                     "Solid: net. Dashed: before fees and slippage.")
    return f'<div class="two">{left}{right}</div>'


def _statistics(s: dict[str, Any]) -> str:
    w, t, d, h, m, e = s["win_rate"], s["per_trade"], s["daily_sharpe"], s["hold_s"], s["money"], s["entries"]
    signed = lambda v: number(v, 1, True)  # noqa: E731
    rows = [("win rate", percent(w["share"]), f"{interval(w['low'], w['high'], percent)}, n = {w['n']}"),
            ("break-even win rate, realised", percent(w["break_even_realised"]),
             f"mean win {money(w['mean_win'])}, mean loss {money(w['mean_loss'])}"),
            ("break-even win rate, planned", percent(w["break_even_planned"]),
             f"fees paid: maker {number(w['fee_maker'] * 1e4 if w['fee_maker'] is not None else None, 2)} bps, "
             f"taker {number(w['fee_taker'] * 1e4 if w['fee_taker'] is not None else None, 2)} bps a leg"),
            ("net per trade, on notional", signed(t["mean"]) + " bps" if t["mean"] is not None else NONE,
             f"{interval(t['low'], t['high'], signed)}; sd {number(t['sd'], 1)}"),
            ("t statistic", number(t["t"]), f"n = {t['n']}"),
            ("Sharpe per trade", number(t["sharpe_per_trade"], 3), "never annualised"),
            ("Sharpe of daily returns × √365", number(d["value"]) if d["value"] is not None else "not enough days",
             interval(d["low"], d["high"]) if d["value"] is not None else f"{d['days']} whole days, at least 2 are needed"),
            ("return on the account", percent(m["net_on_account"], 3, True), f"of {money(m['equity_start'])}"),
            ("return on notional", (signed(m["net_on_notional_bps"]) + " bps") if m["net_on_notional_bps"] is not None else NONE,
             f"of {money(m['notional'])}"),
            ("hold", seconds(h["p50"]), f"p99 {seconds(h['p99'])}, longest {seconds(h['max'])}"),
            ("wait for the fill", seconds(e["wait_s"]["p50"]), f"p99 {seconds(e['wait_s']['p99'])}"),
            ("trades per covered instrument hour", number(s["trades_rate"]["per_hour"]),
             interval(s["trades_rate"]["low"], s["trades_rate"]["high"]))]
    return _section("Statistics", _table(("", ">value", "95 % interval, note"),
                                         [(esc(a), esc(b), f'<span class="muted">{esc(c)}</span>') for a, b, c in rows]))


def _exits(s: dict[str, Any]) -> str:
    if not s["exits"]:
        body = _empty("No trade was closed.")
    else:
        rows = [(f'<span title="{esc(r["meaning"])}">{esc(r["reason"])}</span>', str(r["n"]), str(r["wins"]),
                 _signed(r["gross"], money(r["gross"], True)), money(r["fees"]),
                 money(r["slippage"]), _signed(r["net"], money(r["net"], True)), seconds(r["hold_s"])) for r in s["exits"]]
        body = _table(("reason", ">n", ">won", ">gross", ">fees", ">slippage", ">net", ">hold p50"), rows)
    e = s["entries"]
    fate = [("filled", str(e["filled"]["k"]), f"{e['partial']} of them only in part" if e["partial"] else "")]
    fate += [(esc(f"not filled: {r['reason']}"), str(r["n"]), esc(r["meaning"])) for r in e["unfilled"]]
    if e["working"]:
        fate.append(("still working at the end", str(e["working"]), ""))
    if e["post_only_rejects"]:
        fate.append(("post-only refusals", str(e["post_only_rejects"]), "orders, some were quoted again"))
    return _section("How trades ended", body + "<h3>What became of the entry orders</h3>"
                    + (_table(("", ">n", ""), [(a, b, f'<span class="muted">{c}</span>') for a, b, c in fate]) if e["placed"]
                       else _empty("No entry order was placed.")))


def _funnel(s: dict[str, Any]) -> str:
    most = max((r["n"] for r in s["funnel"]), default=0) or 1
    steps = _table(("", ">n", ""), [(esc(r["step"]), f"{r['n']:,}",
                                     f'<span class="bar" style="width:{max(2, round(200 * r["n"] / most))}px"></span>' if r["n"] else "")
                                    for r in s["funnel"]])
    return _section("From liquidations to trades", steps)


def _why(s: dict[str, Any]) -> str:
    why = (_table(("reason", ">n", ""), [(esc(r["reason"]), str(r["n"]), f'<span class="muted">{esc(r["meaning"])}</span>')
                                         for r in s["why_not"]])
           if s["why_not"] else _empty("Nothing was refused."))
    return _section("Why it did not trade", why, "Answers of policy and risk; one cascade can ask more than once.")


def _open(s: dict[str, Any]) -> str:
    if not s["left_open"]:
        return _section("Left open", _empty("Nothing: no position and no order was alive at the end."))
    rows = [(esc(r["symbol"]), esc(r["side"]), esc(r["what"]), f"{r['qty']:g}", price(r["entry"]), price(r["last"]),
             _signed(r["unrealised"], money(r["unrealised"], True)),
             money(r["fees"]), seconds(r["age_s"]), price(r["stop"]) if r["stop"]
             else ("<b class='neg'>none</b>" if r["what"] == "position" else NONE)) for r in s["left_open"]]
    return _section("Left open", _table(("symbol", "side", "what", ">quantity", ">entry", ">last", ">unrealised, before fees", ">fees",
                                         ">age", ">stop at the venue"), rows),
                    "Not part of the result above.")


def _instruments(s: dict[str, Any]) -> str:
    rows = []
    for r in s["instruments"]:
        c = r["cascades"]
        rows.append((f"<b>{esc(r['symbol'])}</b>", r["completeness"], number(c["hours"], 2), str(c["n"]),
                     esc(f"{number(c['per_hour'], 1)} ({number(c['low'], 1)}–{number(c['high'], 1)})"),
                     f'<span class="longs">{r["longs_liquidated"]}</span>',
                     f'<span class="shorts">{r["shorts_liquidated"]}</span>', compact(r["threshold"]), str(r["entries"]), str(r["trades"]),
                     str(r["wins"]),
                     money(r["fees"]), _signed(r["net"], money(r["net"], True)), number(r["net_bps"], 1, True)))
    return _section("Instruments", _table(("symbol", "feed", ">covered h", ">cascades", ">per h (95 %)", ">longs liq.", ">shorts liq.",
                                           ">threshold", ">entries", ">trades",
                                           ">won", ">fees", ">net", ">net bps"), rows),
                    "Threshold: notional that made the last large liquidation large.")


def _trades(s: dict[str, Any]) -> str:
    if not s["trades"]:
        return ""
    rows = [(str(r["n"]), esc(r["symbol"]), esc(r["side"]), f'<span class="{esc(r["cascade"].split()[0])}">{esc(r["cascade"])}</span>',
             when(r["opened_ns"], date=s["duration_s"] > 86_400), price(r["entry"]), price(r["exit"]), f"{r['qty']:g}",
             esc(r["exit_reason"]), seconds(r["hold_s"]),
             money(r["gross"], True), money(r["fees"]), money(r["slippage"]), _signed(r["net"], money(r["net"], True)),
             _signed(r["net_bps"], number(r["net_bps"], 1, True)))
            for r in s["trades"]]
    return _section(f"Trades ({len(rows)})", _table((">#", "symbol", "side", "after", "filled (UTC)", ">entry", ">exit", ">quantity",
                                                     "exit", ">hold", ">gross", ">fees",
                                                     ">slippage", ">net", ">bps"), rows, tall=True), "The same rows are in trades.csv.")


def _latency(s: dict[str, Any]) -> str:
    if not s["latency"]:
        return _section("Latency", _empty("Nothing was measured."))
    fast = s["speed"] != 1
    columns = ["", ">n", ">p50", ">p99", ">max"] + ([">p50, market", ">p99, market", ">max, market"] if fast else [])
    rows = []
    for r in s["latency"]:
        cells = [esc(r["name"]), f"{r['n']:,}" if isinstance(r["n"], int) else NONE] + [millis(r["wall_ms"][k])
                                                                                        for k in ("p50", "p99", "max")]
        rows.append(cells + ([millis(r["market_ms"][k]) for k in ("p50", "p99", "max")] if fast else []))
    sub = (f"Wall time, and market time beside it: at {s['speed']:g} × real time a real delay counts {s['speed']:g}-fold for the market."
           if fast
           else "Real time: wall time and market time are the same.")
    return _section("Latency", _table(columns, rows), sub)


def _truth(s: dict[str, Any]) -> str:
    t = s["truth"]
    if t is None:
        return ""
    rows = [(name, percent(v["share"]), interval(v["low"], v["high"], percent), f"{v['k']} of {v['n']}") for name, v in
            (("precision: detected cascades that are real", t["precision"]), ("recall: real cascades that were detected", t["recall"]),
             ("liquidated side right", t["side_right"]))]
    rows.append(("recall by notional", percent(t["recall_by_notional"]), NONE, ""))
    return _section("Against the generator's truth", '<div class="slim">' + _table(("", ">share", "95 % interval", "count"),
                                                                                   rows) + "</div>",
                    f"{t['cascades']} chains of two or more forced orders. Same symbol and overlapping in the venue's time "
                    "(1 s of slack) is a hit. The detector looks for large ones only, so small chains are missed on purpose.")


def _feed(s: dict[str, Any]) -> str:
    f = s["feed"]
    rows = [(esc(k), f"{f[k]:,}" if isinstance(f[k], int) else NONE) for k in ("frames", "events", "reconnects")]
    rows += [(esc(f"refused: {name}"), f"{n:,}" if isinstance(n, int) else esc(n)) for name, n in f["refused"].items()]
    for group in ("decode", "record"):
        if isinstance(f[group], dict):
            rows += [(esc(f"{group}: {key}"), f"{v:,}" if isinstance(v, int) else esc(v)) for key,
                     v in f[group].items() if isinstance(v, int | float | str) and not isinstance(v, bool)]
    body = _table(("", ">count"), rows)
    events: list[tuple[str, ...]] = [(when(i["ts"]), esc(i["instrument"]), "feed " + esc(i["state"]),
                                      f"{number(i['missed_s'], 1)} s missing" if i["state"] != "up" else "") for i in f["incidents"]]
    events += [(when(a["ts"]), esc(a["instrument"]), "ALARM: " + esc(a["what"]), f"value {a['value']:g}, limit {a['limit']:g}")
               for a in f["alarms"]]
    events += [(when(i["ts"]), "all", esc(f"{i['what']}: {i['reason']}" if i["reason"] != "none" else i["what"]),
                f"{i['value']:,.2f} of {i['limit']:,.2f}" if i["limit"] else "") for i in f["limits"]]
    body += "<h3>Incidents</h3>" + (_table(("UTC", "instrument", "what", ""), sorted(events)[:200], tall=True) if events
                                    else _empty("None: no gap, no alarm, no limit was reached."))
    return _section("Feed and incidents", body)


def _stamp(s: dict[str, Any]) -> str:
    t = s["stamp"]
    replay = t["replay"]
    told = "not replayed"
    if isinstance(replay, dict):
        told = "identical" if replay.get("identical") else f"DIFFERENT, first at {replay.get('first_difference')}"
        told += f" ({replay.get('records', NONE)} records)"
    rows = [("liqcore", f"{t['version']}, abi {t['abi']}"), ("seed", t["seed"]), ("speed", f"{t['speed']:g}"),
            ("configuration", t["config_hash"]), ("data", t["data_hash"]),
            ("audit stream", f"{t['audit_records']:,} records, sha256 {t['audit_sha256']}"), ("replay", told)]
    table = _table(("", ""), [(esc(a), f"<code>{esc(b) if b is not None else NONE}</code>") for a, b in rows])
    return _section("Reproduce it", table, "The same version, configuration, data and seed give this audit stream byte for byte.")


def _notes() -> str:
    return _section("How to read these numbers", f'<ul class="plain">{"".join(f"<li>{esc(a)}</li>" for a in ASSUMPTIONS)}</ul>')


def _chart_note(s: dict[str, Any]) -> str:
    note = ("Choose a cascade below, or zoom with the wheel and drag. Bubbles are large liquidations at the price of that moment; "
            "bars are all forced volume.")
    problem = s.get("drawing", {}).get("problem")
    return esc(f"{note} {problem}" if problem else note)


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
        title = f"{shown} of {total} cascades: all that were traded, then the largest"
    aside, below = ("", _open(s)) if s["left_open"] else (_open(s), "")      # a table needs the width, an empty state does not
    body = [_result(s, drawn["equity"], drawn["end"]),
            f'<div class="two"><div>{_exits(s)}{_funnel(s)}{aside}</div><div>{_statistics(s)}{_why(s)}</div></div>',
            _trades(s), below, _instruments(s), _truth(s), _latency(s),
            f'<div class="two">{_feed(s)}{_stamp(s)}</div>', _notes()]
    parts = {"title": esc(f"{s['name']}: liqcore report"), "css": css, "js": f'(() => {{\n"use strict";\n{chart}{script}}})();',
             "head": _head(s),
             "chart_note": _chart_note(s), "data": data, "cards_title": title, "body": "".join(body), "truth_legend": ""}
    if s["truth"] is not None:
        parts["truth_legend"] = '<span><i style="color:var(--longs)"></i>top edge: a true cascade of the generator</span>'
    return re.sub(r"@([a-z_]+)@", lambda found: parts[found.group(1)], template)
