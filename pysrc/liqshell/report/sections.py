"""Sections of the page about the result: money, statistics, how trades ended, why there were none, and the result cut in pieces."""

from collections.abc import Callable
from typing import Any

import numpy as np
from markupsafe import Markup

from liqshell.pages import bar, below, bold, code, empty, figure, folded, lines, muted, part, section, signed, slim, span, sub, table, two
from liqshell.report import plots, sections_quotes, svg
from liqshell.report.expected import BPS, HIGHER, LOWER, PER_DAY, RATIO, SECONDS, SHARE
from liqshell.report.text import ASSUMPTIONS, NONE, between, compact, count, interval, millis, money, number, percent, plural, price, seconds, when
from liqshell.report.verdicts import ABOVE, BELOW, CLAIMED, THIN, UNKNOWN, bps, clustered, coloured, of_delay

# Sections of the page about what a backtest tried besides the run: whether the result can be believed.
def belief(s: dict[str, Any]) -> Markup:
    """The questions that a result must stand, each with its answer in a sentence. Only for backtests: a live run is one draw of the world."""
    if s["mode"] != "backtest":
        return Markup()
    marks = {"good": "✓", "bad": "✕", "open": "?", "none": "–"}
    rows = [(span(marks[r["state"]], f"mark {r['state']}"), bold(r['question']), r["answer"]) for r in s["belief"]]
    body = table(("", "question", "answer"), rows)
    if s["problems"]:
        body += part("Not done", lines(s["problems"]))
    return section("Can it be believed?", body, "✓ supports the result, ✕ speaks against it, ? cannot tell, – not tested.", "belief")


def delays(s: dict[str, Any]) -> Markup:
    found = s["delays"]
    if found is None:
        return Markup()
    rows = [(seconds(r["delay_s"]), f"{r['entries']:,}", f"{r['trades']:,}", percent(r["win_rate"], 0), number(r["gross_bps"], 1, True),
             coloured(of_delay(r), number(r["mean_bps"], 1, True)), interval(r["low_bps"], r["high_bps"], bps)) for r in found["rows"]]
    body = figure(plots.delays(found["rows"])) + table((">delay", ">entries", ">trades", ">won", ">gross bps", ">net bps", ">95 %"), rows)
    return section("Reaction delay", body, "Net per trade in bps if each entry comes later by this delay. Bars: 95 % interval.", "delays",
                   found["verdict"])


def controls(s: dict[str, Any]) -> Markup:
    found = s["controls"]
    if found is None:
        return Markup()
    rows = [(span(r["name"], title=r["meaning"]), f"{r['draws']:,}", number(r["trades_per_draw"], 1),
             bps(r["p05_bps"]), bps(r["median_bps"]), bps(r["p95_bps"]), number(r["p"], 3),
             number(r["p_selected"], 3)) for r in found["rows"]]
    body = figure(plots.controls(found["rows"], found["mean_bps"]))
    body += table(("control", ">draws", ">trades a draw", ">5 %", ">median", ">95 %", ">p", ">p, chosen"), rows)
    return section("Controls", body, "Net per trade in bps of trades on the same data without the policy's knowledge. p: share of draws at least "
                   "as good as this run, which counts as a draw. p, chosen: corrected for the choice among "
                   f"{plural(round(found['tried']), 'independent setting')}.", "controls", found["verdict"])


def _chosen(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.rsplit('.', 1)[-1]} {value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else f"{name} {value}"
                     for name, value in values.items())


def forward(s: dict[str, Any]) -> Markup:
    f = s["forward"]
    if f is None:
        return Markup()
    rows = [(str(r["fold"]), between(r["train_start_ns"], r["train_end_ns"]), between(r["test_start_ns"], r["test_end_ns"]),
             f"{r['settings']:,}", _chosen(r["chosen"]), f"{r['train_trades']:,}", number(r["train_bps"], 1, True), f"{r['test_trades']:,}",
             number(r["test_bps"], 1, True), percent(r["test_rank"], 0)) for r in f["rows"]]
    rows.append(("", "all test spans", "", "", "", "", bps(f["in_sample_bps"]), f"{f['trades']:,}", bps(f["out_of_sample_bps"]),
                 percent(f["mean_rank"], 0)))
    note = [f"95 % {interval(f['low_bps'], f['high_bps'], bps)} bps"] if f["low_bps"] is not None else []
    if f["kept"] is not None:
        note.append(f"{percent(f['kept'], 0)} of the in-sample result remains")
    if f["daily_sharpe"] is not None:
        note.append(f"daily Sharpe × √365 over {f['days']} whole test days: {number(f['daily_sharpe'])} "
                    f"(95 % {interval(f['sharpe_low'], f['sharpe_high'])})")
    if f["mean_rank"] is not None:
        note.append(f"the chosen setting beat {percent(f['mean_rank'], 0)} of all settings on {plural(f['ranked'], 'test span')} (50 % = luck)")
    columns = ("fold", "chosen on", "judged on", ">settings", "chosen", ">trades in", ">bps in", ">trades out", ">bps out", ">rank out")
    body = figure(plots.folds(f["rows"]), "picture") + table(columns, rows, foot=1) + sub("; ".join(note))
    how = (f"Parameters with the best {f['objective']} on one span, tested on the next ({f['scheme']}, {seconds(f['embargo_s'])} left out between). "
           "Hollow: in sample. Filled: out of sample.")
    return section("Walk-forward", body, how, "forward", f["verdict"])


def trials(s: dict[str, Any]) -> Markup:
    """What the number of settings tried does to the result."""
    t = s["trials"]
    if s["mode"] != "backtest" and not t["logged"]:
        return Markup()
    daily = lambda v: number(v, 3)  # noqa: E731
    rows = [("settings looked at", f"{t['trials']:,}", t["source"]),
            ("Sharpe of a day", daily(t["sharpe_daily"]), plural(t["days"], "day")
             + (f", skewness {number(t['skew'])}, kurtosis {number(t['kurtosis'])}" if t["skew"] is not None else "")),
            ("Hansen's SPA, p", percent(t["p_superior"]) if t["p_superior"] is not None else "not enough days",
             f"{t['settings']:,} settings with daily results: how often the best of them does as well if none has an edge"),
            ("shape of all days, p", percent(t["p_shape"]), "the same for the best of all settings tried, with days drawn from all of them"),
            ("expected by luck alone", daily(t["hurdle_daily"]), "the best of as many settings without an edge; their spread is the sampling error"),
            ("deflated Sharpe", percent(t["deflated"]), "probability that the true Sharpe ratio is above that"
             + (f"; {t['days_needed']:,.0f} days are needed to show it" if t["days_needed"] else ""))]
    if t["unmet"]:
        rows.append(("moves beyond the stop", "none met", "no trade of this setting lost more than 1.5 times its stop; these numbers do not include "
                     "the cost of one that does"))
    o = t["overfitting"]
    if o is not None:
        rows.append(("probability of overfitting", percent(o["pbo"]) if o["pbo"] is not None else "not enough days",
                     f"{o['ways']:,} cuts of {o['days']} days into two halves, {o['settings']:,} settings with trades: how often the best of one "
                     "half ranks in the lower half of the other, before costs and among settings with the same entries (50 % = luck)"))
        rows.append(("loses out of sample", percent(o["loss"]), "share of those cuts in which the best setting lost money on the other half"))
    if t["problem"]:
        rows.append(("problem", NONE, t["problem"]))
    return section("Trials", slim(table(("", ">value", ""), [(a, v, muted(n)) for a, v, n in rows])),
                   "A result chosen among many overstates what will follow.", "trials")


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    show: dict[str, Callable[[float], str]] = {SHARE: lambda v: percent(v, 2 if 5e-5 < abs(v) < 0.02 else 0), PER_DAY: lambda v: number(v, 1),
                                               BPS: bps, SECONDS: seconds, RATIO: number}
    return show.get(unit, lambda v: f"{v:g}")(value)


def expected(s: dict[str, Any]) -> Markup:
    """Promised and observed, side by side."""
    if not s["expected"]:
        return Markup()
    def tone(r: dict[str, Any]) -> str:
        bad = {BELOW: r["measure"] in HIGHER, ABOVE: r["measure"] in LOWER}.get(r["verdict"], False)
        return "bad" if bad else "good" if r["verdict"] == CLAIMED else "open"

    rows, several = [], len({r["preset"] for r in s["expected"]}) > 1
    for r in s["expected"]:
        low, high = _amount(r["claimed_low"], r["unit"]), _amount(r["claimed_high"], r["unit"])
        seen = _amount(r["observed"], r["unit"])
        if r["observed_low"] is not None:
            seen += f" ({_amount(r['observed_low'], r['unit'])} to {_amount(r['observed_high'], r['unit'])})"
        note = "; ".join(filter(None, (r["why"] if r["verdict"] in (THIN, UNKNOWN) else "", r["note"])))
        whose = f"{r['preset']} " if several else ""
        rows.append((span(f"{whose}{r['id']}", "nowrap"), r["what"], low if low == high else f"{low} to {high}", seen,
                     span(r["verdict"], f"verdict-{tone(r)}"), muted(note)))
    return section("Promised and observed", table(("claim", "~", ">promised", ">observed (95 %)", "", "~note"), rows),
                   "The claims of each preset's authors, and what was observed on the contracts that it traded. below, above: the observed interval "
                   "lies outside the claim. as claimed: inside. not contradicted: it overlaps. too few: no interval, or too few observations.",
                   "expected")


def all_of(s: dict[str, Any]) -> Markup:
    """Everything of the study in its order; empty for a run without one."""
    out = two(delays(s), controls(s)) + forward(s) + two(trials(s), "") + expected(s)
    if s["mode"] == "backtest" and not any(s[key] for key in ("delays", "controls", "forward")):
        none = empty("This backtest ran without delays, controls and walk-forward, so it has no test of its result.")
        out = section("Robustness", none) + out
    return out


# Sections of the page about the run itself: data, assumptions, delays of the wire, the generator's truth, the feed, and how to make it again.
def data(s: dict[str, Any]) -> Markup:
    """What the market data was: completeness, coverage, gaps, where ts_recv comes from."""
    rows, holes = [], []
    for p in s["data"]["parts"]:
        receipt = {"recorded": "measured", "modelled": "MODELLED"}.get(p["receipt"] or "", "not stated")
        receipt = receipt + (" " + muted(p["receipt_model"]) if p["receipt_model"] else "")
        kind = bold(p["completeness"], "neg") if p["completeness"] == "CENSORED" else p["completeness"]
        rows.append((bold(p['symbol']), kind, p["source"] or NONE, count(p["trades"]), count(p["quotes"]), count(p["liquidations"]),
                     number(p["covered_hours"], 1), percent(p["covered"], 1), percent(p["quoted"]), f"{len(p['gaps']):,}", receipt))
        holes += [(when(a), p["symbol"], seconds((b - a) / 1e9)) for a, b in p["gaps"]]
    body = table(("symbol", "liquidations are", "source", ">trades", ">quotes", ">liquidations", ">covered h", ">covered", ">quotes held", ">gaps",
                  "time of receipt"), rows)
    body = sections_quotes.notes(s) + body + sections_quotes.streams(s)
    if holes:
        longest = sorted(holes, key=lambda row: row[0])[:200]
        body += folded(f"{len(holes):,} gaps", table(("from (UTC)", "symbol", ">length"), longest, tall=True))
    refused = [(p["symbol"], name, n) for p in s["data"]["parts"] for name, n in (p["refused"] or {}).items()]
    if refused:
        body += sub("Refused while reading: " + ", ".join(f"{symbol} {name} {n:,}" for symbol, name, n in refused[:12]) + ".")
    classes = {p["completeness"] for p in s["data"]["parts"]}
    note = ("Quotes live: share of the traded time, by the engine's rule. FULL: the feed has every liquidation. CENSORED: it has a sample, and "
           "volumes are lower bounds.")
    if len(classes) > 1:
        note += " This run mixes the classes; their volumes are counted separately and never added."
    if any(p["receipt"] == "modelled" for p in s["data"]["parts"]):
        note += " Where the time of receipt is modelled, the reaction time is the model's, not a measured one."
    return section("Data", body, note, "origin")


def assumptions(s: dict[str, Any]) -> Markup:
    """What the simulated venue does and does not do, and how to read the numbers."""
    rows = [(bold(r['about'].replace('_', ' ')), r["what"]) for r in s["assumptions"]]
    body = table(("", ""), rows) if rows else empty("The run does not state how its venue was simulated.")
    return section("Assumptions", body + part("How to read these numbers", lines(ASSUMPTIONS)), anchor="assumptions")


def latency(s: dict[str, Any]) -> Markup:
    """Measured delays; nothing for a backtest, where delays are settings."""
    if s["mode"] == "backtest":
        return Markup()
    if not s["latency"]:
        return section("Latency", empty("Nothing was measured."))
    fast = s["speed"] != 1
    columns = ["", ">n", ">p50", ">p99", ">max"] + ([">p50, market", ">p99, market", ">max, market"] if fast else [])
    rows = []
    for r in s["latency"]:
        cells = [r["name"], f"{r['n']:,}" if isinstance(r["n"], int) else NONE] + [millis(r["wall_ms"][k])
                                                                                        for k in ("p50", "p99", "max")]
        rows.append(cells + ([millis(r["market_ms"][k]) for k in ("p50", "p99", "max")] if fast else []))
    note = (f"Wall time and market time: at {s['speed']:g} × real time, a real delay is {s['speed']:g} times as long in market time."
           if fast
           else "Real time: wall time and market time are the same.")
    return section("Latency", table(columns, rows), note)


def truth(s: dict[str, Any]) -> Markup:
    """Against the generator."""
    t = s["truth"]
    if t is None:
        return Markup()
    rows = [(name, percent(v["share"]), interval(v["low"], v["high"], percent), f"{v['k']} of {v['n']}") for name, v in
            (("precision: detected cascades that are real", t["precision"]), ("recall: real cascades that were detected", t["recall"]),
             ("liquidated side right", t["side_right"]))]
    rows.append(("recall by notional", percent(t["recall_by_notional"]), NONE, ""))
    return section("Against the generator's truth", slim(table(("", ">share", "95 % interval", "count"), rows)),
                    f"{t['cascades']} cascades of two or more liquidations. A detected cascade is a hit if it overlaps one of the same symbol in "
                    "the venue's time (1 s tolerance). The detector counts large liquidations only, so it misses small cascades on purpose.")


def feed(s: dict[str, Any]) -> Markup:
    """Counters and incidents."""
    f = s["feed"]
    rows = [(k, count(f[k])) for k in ("frames", "events", "reconnects")]
    rows += [(f"refused: {name}", count(n)) for name, n in f["refused"].items()]
    for group in ("decode", "record"):
        if isinstance(f[group], dict):
            rows += [(f"{group}: {key}", count(v)) for key,
                     v in f[group].items() if isinstance(v, int | float | str) and not isinstance(v, bool)]
    body = table(("", ">count"), rows)
    if len(f["venues"]) > 1:
        body += part("Venues", table(("", "liquidations", ">contracts", ">frames", ">gaps", ">reconnects", ">polls"), [
            (name + (" (watched)" if one.get("watched") else ""), str(one.get("completeness")),
             *(count(one.get(key)) for key in ("symbols", "frames", "gaps", "reconnects", "polled"))) for name, one in f["venues"].items()]))
    if f["held_back"]:
        body += part("Entries blocked", table(("", ">of the run"), [
            (gate, f"{seconds(s_held)}, {percent(s_held / max(1e-9, s['duration_s']), 1)}") for gate, s_held in f["held_back"].items()]))
    events: list[tuple[str, ...]] = [(when(i["ts"]), i["instrument"], "feed " + f"{i['state']}: {', '.join(i['streams'])}",
                                      f"{number(i['missed_s'], 1)} s missing" if i["state"] != "up" else "") for i in f["incidents"]]
    events += [(when(a["ts"]), a["instrument"], "ALARM: " + a["what"], f"value {a['value']:g}, limit {a['limit']:g}")
               for a in f["alarms"]]
    events += [(when(i["ts"]), "all", f"{i['what']}: {i['reason']}" if i["reason"] != "none" else i["what"],
                f"{i['value']:,.2f} of {i['limit']:,.2f}" if i["limit"] else "") for i in f["limits"]]
    events += [(when(g["ts"]), g["instrument"],
                ("entries blocked: " if g["what"] == "paused" else "no longer blocking entries: ") + g["gate"], "")
               for g in f["gates"]]
    body += part("Incidents", table(("UTC", "instrument", "what", ""), sorted(events)[:200], tall=True) if events
                 else empty("None: no gap, no alarm, no limit reached."))
    return section("Feed and incidents", body)


def stamp(s: dict[str, Any]) -> Markup:
    """What it takes to make this run again."""
    t = s["stamp"]
    replay = t["replay"]
    state = "not replayed"
    if isinstance(replay, dict):
        state = "identical" if replay.get("identical") else f"DIFFERENT, first at {replay.get('first_difference')}"
        state += f" ({replay.get('records', NONE)} records)"
    rows = [("liqcore", f"{t['version']}, abi {t['abi']}"), ("seed of the run", t["seed"]),
            ("seed of the generated market", (", ".join(map(str, t["market_seeds"] or ())) or "not in the data") if s["synthetic"] else None),
            ("code", t["code_hash"]), ("speed", f"{t['speed']:g}"),
            ("configuration", t["config_hash"]), ("data", s["data"]["fingerprint"]),
            ("audit stream", f"{t['audit_records']:,} records, sha256 {t['audit_sha256']}"), ("replay", state)]
    listed = table(("", ""), [(a, code(b if b is not None else NONE)) for a, b in rows if b is not None or a == "data"])
    return section("Reproduce it", listed + _timing(s), "The same version, configuration, data and seed give this audit stream byte for byte.",
                   "stamp")


def _timing(s: dict[str, Any]) -> Markup:
    if not s["timing_s"]:
        return Markup()
    rows = [(name.replace("_", " "), seconds(value)) for name, value in s["timing_s"].items() if isinstance(value, int | float)]
    return part("Where the time went", slim(table(("", ">wall time"), rows)))


TRADES_SHOWN = 500


def result(s: dict[str, Any], points: list, end_ms: float) -> Markup:
    """Waterfall and account."""
    m = s["money"]
    if not s["trades"]:
        return section("Result", empty("No round trip was closed. The tables below show what became of the cascades.")
                       + (part("Why", lines(s["silence"])) if s["silence"] else ""), anchor="result")
    across = m["held_across_funding"]
    note = f"{money(m['net'], True)} net on {money(m['notional'])} of entry notional; account {money(m['equity_start'])}."
    note += f" {across} trades were open at a funding time." if across else ""
    legs = table(("leg", "role", ">fills", ">notional", ">fees", ">bps"),
                 [(r["leg"], r["role"], f"{r['fills']:,}", compact(r["notional"]), money(r["fees"]), number(r["bps"], 2))
                  for r in m["fees_by_leg"]])
    left = section("From gross to net", figure(svg.waterfall(m)) + part("Fees by leg", legs), note, "result")
    d = m["drawdown"]
    note = "Solid: net. Dashed: before fees, slippage and funding. Below: the drawdown from the last peak of the account."
    fall = ""
    if d and d["share"] > 0:
        fall = (f"Largest drawdown {percent(d['share'], 2)} ({money(d['value'])}): from {when(d['peak_ns'])} to {when(d['trough_ns'])}, "
                + (f"made good {when(d['recovered_ns'])}" if d["recovered_ns"] else "not recovered by the end")
                + f". Longest time from a peak to its recovery, or to the end: {seconds(d['longest_ns'] / 1e9)}.")
    ends = (when(s["started_ns"])[:16], when(s["ended_ns"])[:16])
    at_mark = m["drawdown_marked"]
    if at_mark and at_mark["share"] > 0:
        fall += f" With open positions at mark, sampled by the hour: {percent(at_mark['share'], 2)}."
    right = section("Account after each trade", figure(svg.account([tuple(p) for p in points], end_ms, m["equity_start"], ends))
                    + (sub(fall) if fall else "") + _days(s), note)
    return two(left, right)


def _days(s: dict[str, Any]) -> Markup:
    rows = s["days"]
    if len(rows) < 2:
        return Markup()
    bars = [(r["day"][5:], r["net"], f"{r['day']}: {money(r['net'], True)}, {r['trades']} trades, {percent(r['covered'], 0)} covered")
            for r in rows]
    out = figure(plots.bars(bars, "Net result of each day", every=-(-len(rows) // 6)))
    blind = [r["day"] for r in rows if r["covered"] < 0.5]
    if blind:
        text = f"{len(blind)} of {len(rows)} days had data for less than half of their time; the Sharpe ratio leaves them out."
        out += sub(text)
    return part("Net by day (UTC)", out)


def statistics(s: dict[str, Any]) -> Markup:
    """Every figure with its interval or its reason for having none."""
    w, t, d, h, m, e, x = s["win_rate"], s["per_trade"], s["daily_sharpe"], s["hold_s"], s["money"], s["entries"], s["trials"]
    b, alone = t["bootstrap"], t["independent"]
    rows = [("win rate", percent(w["share"]), f"{interval(w['low'], w['high'], percent)}, n = {w['n']}"),
            ("break-even win rate, realised", percent(w["break_even_realised"]),
             f"mean win {money(w['mean_win'])}, mean loss {money(w['mean_loss'])}"),
            ("break-even win rate, planned", percent(w["break_even_planned"]),
             f"fees paid: maker {number(w['fee_maker'] * 1e4 if w['fee_maker'] is not None else None, 2)} bps, "
             f"taker {number(w['fee_taker'] * 1e4 if w['fee_taker'] is not None else None, 2)} bps a leg"),
            ("net per trade, on notional", bps(t["mean"]) + " bps" if t["mean"] is not None else NONE,
             (f"{interval(t['low'], t['high'], bps)}, " if t["low"] is not None else "") + (clustered(t) if t["n"] else "no trade")
             + (f"; sd {number(t['sd'], 1)}" if t["sd"] is not None else "")),
            ("t statistic", number(t["t"]), f"n = {t['n']}, {t['clusters']} clusters"),
            ("t statistic, trades taken as independent", number(alone["t"]),
             f"{interval(alone['low'], alone['high'], bps)} bps: too narrow, trades of one cascade share one price path"),
            ("net per trade, days resampled", bps(t["mean"]) + " bps" if b["low"] is not None else NONE,
             interval(b["low"], b["high"], bps) + f" (bootstrap over {b['days']} days)" if b["low"] is not None else b["why"]),
            ("expected shortfall, worst 5 %", bps(m["shortfall_bps"]) + " bps" if m["shortfall_bps"] is not None else NONE,
             "mean of the worst trades" if m["shortfall_bps"] is not None else "fewer than 20 trades"),
            ("Sharpe per trade", number(t["sharpe_per_trade"], 3), "never annualised"),
            ("Sharpe of daily returns × √365", number(d["value"]) if d["value"] is not None else "not enough days", _sharpe_note(d))]
    if x["deflated"] is not None:
        rows.append(("deflated Sharpe (probability)", percent(x["deflated"]), f"{x['trials']:,} trials: {x['source']}"))
    rows += [("return on the account", percent(m["net_on_account"], 3, True), f"of {money(m['equity_start'])}"),
             ("return on notional", (bps(m["net_on_notional_bps"]) + " bps") if m["net_on_notional_bps"] is not None else NONE,
              f"of {money(m['notional'])}"),
             ("hold", seconds(h["p50"]), f"p99 {seconds(h['p99'])}, longest {seconds(h['max'])}"),
             ("wait for the fill", seconds(e["wait_s"]["p50"]), f"p99 {seconds(e['wait_s']['p99'])}"),
             ("trades per covered instrument hour", number(s["trades_rate"]["per_hour"]),
              interval(s["trades_rate"]["low"], s["trades_rate"]["high"]))]
    few = f"n = {t['n']}: with fewer than 30 trades every figure here is only a hint." if t["n"] and t["few"] else ""
    shown = [(a, v, muted(note)) for a, v, note in rows]
    return section("Statistics", table(("", ">value", "95 % interval, note"), shown), few, "statistics")


def _sharpe_note(d: dict[str, Any]) -> str:
    if d["value"] is None:
        return f"{plural(d['days'], 'whole day')}, at least 2 are needed" if d["days"] < 2 else f"{d['days']} whole days, all with the same result"
    text = f"{interval(d['low'], d['high'])} (Lo), {d['days']} days"
    if d["bootstrap_low"] is not None:
        text = f"{interval(d['low'], d['high'])} (Lo), {interval(d['bootstrap_low'], d['bootstrap_high'])} (bootstrap), {d['days']} days"
    return text + (f"; {d['days_without_data']} days without data left out" if d["days_without_data"] else "")


def exits(s: dict[str, Any]) -> Markup:
    """Exit reasons, and what became of the entry orders."""
    if not s["exits"]:
        body = empty("No trade was closed.")
    else:
        rows = [(span(r["reason"], title=r["meaning"]), f"{r['n']:,}", percent(r["share"]["share"], 0), f"{r['wins']:,}",
                 signed(r["gross"], money(r["gross"], True)), money(r["fees"]),
                 money(r["slippage"]), money(r["funding"]), signed(r["net"], money(r["net"], True)), seconds(r["hold_s"])) for r in s["exits"]]
        body = table(("reason", ">n", ">share", ">won", ">gross", ">fees", ">slippage", ">funding", ">net", ">hold p50"), rows)
    e = s["entries"]
    fate = [("filled", str(e["filled"]["k"]), f"{e['partial']} of them partially" if e["partial"] else "")]
    fate += [(f"not filled: {r['reason']}", str(r["n"]), r["meaning"]) for r in e["unfilled"]]
    for r in e["months"]:
        f = r["filled"]
        few = "; below 40 % reduce the size ([limits] fill_rate_min)" if f["n"] >= 20 and f["share"] < 0.4 else ""
        fate.append((f"resting entries filled in {r['month']}", f"{f['k']:,} of {f['n']:,}",
                     f"{percent(f['share'], 0)} ({interval(f['low'], f['high'], lambda v: percent(v, 0))}){few}"))
    if e["working"]:
        fate.append(("still working at the end", str(e["working"]), ""))
    if e["post_only_rejects"]:
        fate.append(("post-only refusals", str(e["post_only_rejects"]), "orders, some of them at a changed price"))
    text = (table(("", ">n", ""), [(a, b, muted(c)) for a, b, c in fate]) if e["placed"]
            else empty("No entry order was placed."))
    orders = part("What became of the entry orders", text)
    return section("How trades ended", body + (two(_holds(s), orders) if s["trades"] else orders), anchor="exits")


def _holds(s: dict[str, Any]) -> Markup:
    if not s["trades"]:
        return Markup()
    return part("Time held (green: won)", figure(plots.holds(s["holds"])))


def funnel(s: dict[str, Any]) -> Markup:
    """What each step left over."""
    most = max((r["n"] for r in s["funnel"]), default=0) or 1
    steps = table(("", ">n", ""), [(r["step"], f"{r['n']:,}",
                                     (bar(max(2, round(200 * r["n"] / most))) if r["n"] else Markup())
                                     + (" " + muted(f"not met: {r['declined']}") if r.get("declined") else ""))
                                    for r in s["funnel"]])
    return section("From liquidations to trades", steps)


def why(s: dict[str, Any]) -> Markup:
    """Refusals by reason."""
    why = (table(("reason", ">n", ">of entries", ""), [(r["reason"], f"{r['n']:,}", percent(r["share"], 0),
                                                        muted(r["meaning"])) for r in s["why_not"]])
           if s["why_not"] else empty("Nothing was refused."))
    return section("Why it did not trade", why, "Answers of policy and risk; one cascade can cause several. Of entries: the share of all entries "
                   "that reached risk.", "refused")


def left_open(s: dict[str, Any]) -> Markup:
    """Positions and orders that were alive at the end."""
    if not s["left_open"]:
        return section("Left open", empty("Nothing: no position and no order was open at the end."))
    rows = [(r["symbol"], r["side"], r["what"], f"{r['qty']:g}", price(r["entry"]), price(r["last"]),
             signed(r["unrealised"], money(r["unrealised"], True)), money(r["fees"]), seconds(r["age_s"]), price(r["stop"]) if r["stop"]
             else (bold("none", "neg") if r["what"] == "position" else NONE)) for r in s["left_open"]]
    return section("Left open", table(("symbol", "side", "what", ">quantity", ">entry", ">last", ">unrealised, before fees", ">fees",
                                         ">age", ">stop at the venue"), rows),
                    "Not part of the result above.")


def instruments(s: dict[str, Any]) -> Markup:
    """One row an instrument, and all together."""
    rows: list[tuple[object, ...]] = []
    for r in s["instruments"]:
        c = r["cascades"]
        name = bold(r["symbol"])
        rows.append((below(name, " ".join(filter(None, (r["preset"], r["grade"])))) if r["preset"] else name, r["completeness"], f"{c['n']:,}",
                     f"{number(c['per_hour'], 1)} ({number(c['low'], 1)}–{number(c['high'], 1)})",
                     span(r["longs_liquidated"], "longs"), span(r["shorts_liquidated"], "shorts"), r["threshold_said"] or NONE, f"{r['entries']:,}",
                     f"{r['trades']:,}",
                     percent(r["win_rate"]["share"], 0), money(r["fees"]), signed(r["net"], money(r["net"], True)), number(r["mean_bps"], 1, True),
                     interval(r["low_bps"], r["high_bps"], bps)))
    p = s["portfolio"]
    if len(rows) > 1:
        e = s["entries"]
        rate = s["cascades"]["rate"]
        rows.append(("together", "/".join(s["completeness"]), f"{rate['n']:,}",
                     f"{number(rate['per_hour'], 1)} ({number(rate['low'], 1)}–{number(rate['high'], 1)})",
                     f"{s['cascades']['longs_liquidated']:,}",
                     f"{s['cascades']['shorts_liquidated']:,}", NONE, f"{e['placed']:,}", f"{p['n']:,}", percent(p["win_rate"]["share"], 0),
                     money(p["fees"]), signed(p["net"], money(p["net"], True)), number(p["mean_bps"], 1, True),
                     interval(p["low_bps"], p["high_bps"], bps)))
    against = f" ({percent(p['exposure_max_on_account'], 0)} of the account)" if p["exposure_max_on_account"] is not None else ""
    note = (f"Threshold: that of the detector of the last cascade. Together: at most {p['positions_max']} positions at once, largest "
           f"exposure {money(p['exposure_max'])}{against}.")
    return section("Instruments and portfolio", table(("symbol", "feed", ">cascades", ">per h (95 %)", ">longs liq.", ">shorts liq.", ">threshold",
                                                       ">entries", ">trades", ">won", ">fees", ">net", ">bps a trade", ">95 %"), rows,
                                                      foot=int(len(rows) > 1)), note, "instruments")


def pieces(s: dict[str, Any]) -> Markup:
    """By side and by hour of day."""
    if not s["trades"]:
        return Markup()
    columns = ("", ">n", ">won", ">gross", ">fees", ">slippage", ">funding", ">net", ">bps a trade", ">95 %")

    def row(name: str, r: dict[str, Any]) -> tuple[str, ...]:
        return (name, f"{r['n']:,}", percent(r["win_rate"]["share"], 0), money(r["gross"], True), money(r["fees"]), money(r["slippage"]),
                money(r["funding"]), signed(r["net"], money(r["net"], True)), number(r["mean_bps"], 1, True),
                interval(r["low_bps"], r["high_bps"], bps))
    body = table(columns, [row(r["side"] + " positions", r) for r in s["sides"]])
    traded = [r for r in s["hours"] if r["n"]]
    bars = [(f"{r['hour']:02d}", r["net"], f"{r['hour']:02d}:00 UTC: {money(r['net'], True)}, {r['n']} trades") for r in s["hours"]]
    best = sum(r["low_bps"] is not None and r["low_bps"] > 0 for r in traded)
    note = (f"{len(traded)} hours have trades. Of so many hours, one in twenty lies outside its 95 % interval by chance ({best} lie above zero "
            "here).")
    hours = part("By hour of the entry (UTC)", figure(plots.bars(bars, "Net result by hour of day (UTC)", every=4)) + sub(note))
    numbers = part("In numbers", table(("hour", ">n", ">won", ">net", ">bps a trade", ">95 %"),
                                                 [tuple(row(f"{r['hour']:02d}:00", r)[k] for k in (0, 1, 2, 7, 8, 9))
                                                                                for r in traded], tall=True))
    return section("Long and short, hour by hour", body + two(hours, numbers), anchor="pieces")


def trades(s: dict[str, Any]) -> Markup:
    """The trades, or the largest gains and losses where there are too many to read."""
    if not s["trades"]:
        return Markup()
    shown, note = s["trades"], "The same rows, with more columns, are in trades.csv."
    if len(shown) > TRADES_SHOWN:
        ranked = np.argsort(shown.columns["net_bps"], kind="stable")
        shown = [shown[k] for k in np.sort(np.append(ranked[:TRADES_SHOWN // 2], ranked[-TRADES_SHOWN // 2:])).tolist()]
        note = f"The {TRADES_SHOWN // 2} largest losses and gains of {len(s['trades']):,}; all are in trades.csv."
    rows = [(str(r["n"]), r["symbol"], r["side"], span(r["cascade"], r["cascade"].split()[0]),
             when(r["opened_ns"], date=s["duration_s"] > 86_400), price(r["entry"]), price(r["exit"]), f"{r['qty']:g}",
             r["exit_reason"], seconds(r["hold_s"]),
             money(r["gross"], True), money(r["fees"]), money(r["slippage"]), money(r["funding"]), signed(r["net"], money(r["net"], True)),
             signed(r["net_bps"], number(r["net_bps"], 1, True)))
            for r in shown]
    return section(f"Trades ({len(s['trades']):,})", table((">#", "symbol", "side", "after", "filled (UTC)", ">entry", ">exit", ">quantity",
                                                     "exit", ">hold", ">gross", ">fees",
                                                     ">slippage", ">funding", ">net", ">bps"), rows, tall=True), note, "trades")
