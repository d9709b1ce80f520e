"""The page of a comparison, self-contained, and its files: compare.html, compare.json, compare.csv, events.csv."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup

import liqcore as lc
from liqshell import private
from liqshell.pages import bold, data_badge, document, empty, figure, lines, link, muted, part, section, span, sub, table
from liqshell.report.quotes import ENOUGH, coverage
from liqshell.report.text import NONE, compact, interval, money, number, percent, plural, seconds, when
from liqshell.report.verdicts import CONTAMINATED, GAIN, WHY, Measured, bps, coloured, of_mean
from liqshell.research.compare.events import measured
from liqshell.research.compare.figures import COLUMNS, CONTROLS, conclusion, flat, known_spread, means_by_delay
from liqshell.research.compare.picture import forest
from liqshell.research.compare.run import Compared
from liqshell.research.compare.sections_quotes import contracts, fills
from liqshell.research.compare.sections_quotes import head as quotes_first

#: of the data of a contract, in compare.json
CONTRACT = ("symbol", "completeness", "trades", "quotes", "liquidations", "covered_hours", "traded_hours", "quoted", "streams", "said")
MARKS = {"pays": ("✓", "good"), "loses": ("✕", "bad"), "open": ("?", "open"), "idle": ("–", "none")}


def as_dict(c: Compared) -> dict[str, Any]:
    """compare.json: stable keys, no NaN."""
    history = c.history
    blind, quoted = [p["symbol"] for p in history.parts if not p["quotes"]], coverage(history.parts)
    liquidations = sum(p["liquidations"] for p in history.parts)
    text = conclusion(c.rows, c.failed, c.tried, history.synthetic, blind, liquidations, quoted)
    return {
        "version": lc.__version__,
        "label": "SYNTHETIC" if history.synthetic else "REAL MARKET",
        "synthetic": history.synthetic,
        "market_seeds": list(history.market_seeds),
        "data": history.fingerprint,
        "source": history.source,
        "symbols": [i.symbol for i in history.instruments],
        "completeness": sorted({p["completeness"] for p in history.parts}),
        "started_ns": history.start_ns,
        "ended_ns": history.end_ns,
        "covered_instrument_hours": c.hours,
        "trials": c.tried,
        "liquidations": liquidations,
        "without_quotes": blind,
        "quoted": quoted,
        "contracts": [{key: part[key] for key in CONTRACT} for part in history.parts],
        "half_spread": c.half_spread,
        "conclusion": text,
        "presets": c.rows,
        "failed": c.failed,
        "fade_and_follow": c.signs,
        "together": c.together,
        "base_rates": c.base_rates,
    }


def write(c: Compared) -> dict[str, Any]:
    """All files of the comparison; what compare.json holds."""
    found = as_dict(c)
    private.write(c.folder / "compare.json", json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    private.write(c.folder / "compare.html", page(found))
    _csv(c.folder / "compare.csv", COLUMNS, (flat(row) for row in c.rows))
    _csv(
        c.folder / "events.csv",
        ["name", "horizon_s", "n", "without_quote", *(f"{sign}_{key}" for sign in ("move", "fade", "follow") for key in ("bps", "low", "high", "t"))],
        (
            {"name": s["name"], "horizon_s": h["horizon_s"], "n": h["n"], "without_quote": h["without_quote"]}
            | {
                f"{sign}_{'bps' if key == 'mean' else key}": h[f"{sign}_bps"][key]
                for sign in ("move", "fade", "follow")
                for key in ("mean", "low", "high", "t")
            }
            for s in c.signs
            for h in s["horizons"]
        ),
    )
    return found


def _csv(path: Path, columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> None:
    with private.opened(path, newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def page(s: dict[str, Any]) -> str:
    """One HTML file without external resources."""
    days = (s["ended_ns"] - s["started_ns"]) / 86_400e9
    about = (
        f"{when(s['started_ns'])} – {when(s['ended_ns'])} UTC · {number(days, 2)} days · {', '.join(s['symbols'][:8])}"
        + (f" and {len(s['symbols']) - 8} more" if len(s["symbols"]) > 8 else "")
        + f" · {number(s['covered_instrument_hours'], 1)} covered instrument hours · feed {'/'.join(s['completeness'])}"
    )
    notices = []
    if s["synthetic"]:
        notices.append(
            ("SYNTHETIC.", "Prices and liquidations are generated. They show how the rules behave, and are no evidence about a real market.")
        )
    if asked := [r["preset"] for r in s["presets"] if r["contaminated"]]:
        notices.append((f"{CONTAMINATED}: {', '.join(asked)}.", WHY))
    if "CENSORED" in s["completeness"]:
        notices.append(
            ("CENSORED feed.", "The venue publishes only a sample of its liquidations, so triggers in dollars are reached later or never.")
        )
    notices += quotes_first(s)
    if not s["liquidations"]:
        notices.append(("NO LIQUIDATIONS.", "The data hold none, so presets that wait for them cannot trade."))
    body = Markup().join(
        (beside(s), waterfalls(s), fills(s), controls(s), delays(s), both(s), shared(s), base_rates(s), rates(s), silent(s), contracts(s), notes(s))
    )
    marks = [data_badge(s["synthetic"], s["market_seeds"]), ("", "backtest"), ("", f"{plural(s['trials'], 'trial')} on this data")]
    return document("Presets compared", body, span=about, marks=marks, notices=notices, verdict=s["conclusion"])


def _name(r: dict[str, Any]) -> Markup:
    return link(r["report"], bold(r["preset"]), r["summary"])


def _mean(found: Measured, known: bool) -> Markup:
    """In colour where it may be called a gain or a loss beyond chance. known: quotes give the price of takers; without them nothing counts as a
    gain."""
    return coloured(found, bps(found.value)) if not found.missing and (known or found.sign != GAIN) else muted(bps(found.value))


def _mark(state: str) -> Markup:
    sign, kind = MARKS[state]
    return span(sign, f"mark {kind}", state)


def beside(s: dict[str, Any]) -> Markup:
    """The main table, and its picture."""
    rows = []
    for r in s["presets"]:
        w, t, d, m = r["win"], r["trade"], r["sharpe"], r["money"]
        need = w["break_even_realised"] if w["break_even_realised"] is not None else w["break_even_planned"]
        deflated = r["deflated"]["deflated"]
        rows.append(
            (
                _mark(r["state"]),
                _name(r),
                r["grade"],
                f"{r['wanted']:,}",
                f"{r['trades']:,}",
                f"{percent(w['share'], 0)} ({interval(w['low'], w['high'], lambda v: percent(v, 0).removesuffix(' %'))})" if r["trades"] else NONE,
                percent(need, 0),
                _mean(of_mean(t), known_spread(r)),
                interval(t["low"], t["high"], bps),
                number(t["t"]),
                money(m["net"], True) if r["trades"] else NONE,
                number(d["value"], 1) + (f" ({interval(d['low'], d['high'], lambda v: number(v, 1))})" if d["value"] is not None else "")
                if d["value"] is not None
                else f"n/a ({d['days']} d)",
                percent(deflated, 0) if deflated is not None else "n/a",
                f"{number(r['exposure_hours'], 1)} h",
            )
        )
    columns = (
        "",
        "preset",
        "evidence",
        ">wanted",
        ">trades",
        ">won (95 %)",
        ">needed",
        ">bps a trade",
        ">95 %",
        ">t",
        ">net",
        ">Sharpe, daily (95 %)",
        ">deflated",
        ">exposure",
    )
    note = (
        "Dot and bar: mean net return of a trade and its 95 % interval, clustered by day, on few days by stretches of at least an hour and "
        "twice the longest time held; no bar where those are fewer than five. Hollow: the other side of the same "
        "trades. Line: the middle 90 % of random sides; dashed: of random times."
    )
    legend = (
        "✓ a gain beyond chance and its controls, ✕ a loss beyond chance, ? cannot tell, – no trade. needed: win rate at which it would "
        "break even. t: of the mean of a trade, clustered like its interval. Sharpe: daily returns on the account × √365, from two "
        "whole days on; deflated by all trials on this data."
    )
    picture = figure(forest(s["presets"]), "scroll lanes")
    return section("Side by side", picture + table(columns, rows) + sub(legend), note, "beside")


def waterfalls(s: dict[str, Any]) -> Markup:
    rows = []
    for r in s["presets"]:
        m = r["money"]
        if not r["trades"]:
            continue
        rows.append(
            (
                _name(r),
                money(m["gross_decided"], True),
                money(-m["slippage"], True),
                money(m["gross"], True),
                money(-m["fees_maker"], True),
                money(-m["fees_taker"], True),
                money(-m["funding"], True) if m["funding_modelled"] else muted("not modelled"),
                money(m["net"], True),
                compact(m["notional"]),
                bps(m["net_on_notional_bps"]),
                percent(m["net_on_account"], 3, True),
                percent(m["max_drawdown_on_account"], 2),
            )
        )
    if not rows:
        return section("From gross to net", empty("No trade was closed."))
    columns = (
        "preset",
        ">gross as decided",
        ">slippage",
        ">gross",
        ">maker fees",
        ">taker fees",
        ">funding",
        ">net",
        ">notional traded",
        ">net on notional, bps",
        ">net on account",
        ">drawdown",
    )
    return section(
        "From gross to net",
        table(columns, rows),
        "Both denominators: a trade uses a part of the account only, so a return on notional is not one on the account.",
        "waterfall",
    )


def controls(s: dict[str, Any]) -> Markup:
    rows = []
    for r in s["presets"]:
        found = [r["controls"].get(kind) for kind in CONTROLS]
        if not r["trades"] or not any(found):
            continue
        cells: list[str] = [_name(r), _mean(of_mean(r["trade"]), known_spread(r))]
        for c in found:
            if c is None:
                cells.append(NONE)
                continue
            text = bps(c["median_bps"]) + (f" (p = {number(c['p'], 3)})" if c["p"] is not None else "")
            cells.append(text)
        rows.append((*cells, r["controls_verdict"]))
    columns = ("preset", ">as it is", ">inverted side", ">random side", ">random time", ">every 30 min", "~")
    body = table(columns, rows) if rows else empty("No controls were run.")
    return section(
        "Controls",
        body,
        "Median net bps of a trade. The same rule on the other side, on a random side, on liquidations moved in time, "
        "and an entry every half hour. p: share of draws at least as good.",
        "controls",
    )


def delays(s: dict[str, Any]) -> Markup:
    traded = [(r, means_by_delay(r)) for r in s["presets"] if r["delays"]]
    names = list(dict.fromkeys(name for _, found in traded for name in found))
    rows = [
        (_name(r), *(_mean(found[name], known_spread(r)) if name in found else NONE for name in names))
        for r, found in traded
        if any(one.value is not None for one in found.values())
    ]
    body = table(("preset", *(">" + name for name in names)), rows) if names else empty("No other delays were run.")
    return section(
        "Reaction delay",
        body,
        "Mean net bps of a trade if every liquidation is received later by this delay. In colour: a gain or a "
        "loss beyond chance. Grey: too few trades, or a gain after an unknown spread.",
        "delays",
    )


def both(s: dict[str, Any]) -> Markup:
    """Fade and follow on the same events."""
    rows, text = [], []
    for e in s["fade_and_follow"]:
        text.append(e["told"])
        for k, h in enumerate(e["horizons"]):
            lead = bold(e["name"]) if k == 0 else ""
            move, fade, follow = h["move_bps"], h["fade_bps"], h["follow_bps"]
            met = h["without_quote"] <= (1.0 - ENOUGH) * h["n"]
            rows.append(
                (
                    lead,
                    f"{e['longs_liquidated']:,} / {e['shorts_liquidated']:,}" if k == 0 else "",
                    seconds(h["horizon_s"]),
                    f"{h['n']:,}",
                    percent(h["without_quote"] / h["n"], 0) if h["n"] else NONE,
                    bps(move["mean"]),
                    interval(move["low"], move["high"], bps),
                    number(move["t"]),
                    _mean(measured(h, "fade"), met),
                    interval(fade["low"], fade["high"], bps),
                    _mean(measured(h, "follow"), met),
                    interval(follow["low"], follow["high"], bps),
                )
            )
    if not rows:
        return section("Fade and follow on identical events", empty("No detector became ACTIVE and no preset wanted a trade."), anchor="signs")
    columns = (
        "~events of",
        ">longs / shorts liquidated",
        ">held",
        ">n",
        ">no quote",
        ">move, bps",
        ">95 %",
        ">t",
        ">fade, net",
        ">95 %",
        ">follow, net",
        ">95 %",
    )
    note = (
        "Both signs bought and sold at the market at the same two moments, with the same fees; only the sign differs, without brackets. Move: "
        "where the price went, up counts after longs were liquidated and down after shorts. Each event counts, so held times overlap: intervals "
        "are clustered by day, on few days by stretches of at least an hour and twice the time held, and left out where those are fewer than "
        "five."
    )
    if any(h["without_quote"] for e in s["fade_and_follow"] for h in e["horizons"]):
        note += (
            " Without a live quote, prices are those of the simulated venue: the next quote or trade of that side within the waiting time, "
            "else the last trade and the half-spread. A gain that depends on them is not claimed. No quote: their share."
        )
    return section("Fade and follow on identical events", lines(text) + table(columns, rows, tall=len(rows) > 40), note, "signs")


def shared(s: dict[str, Any]) -> Markup:
    """Which presets want the same moments."""
    names = [r["preset"] for r in s["presets"] if r["wanted"]]
    found = {(r["preset"], r["other"]): r for r in s["together"]}
    if len(names) < 2:
        return Markup()
    rows = []
    for r in s["presets"]:
        if r["preset"] not in names:
            continue
        cells = []
        for other in names:
            pair = found.get((r["preset"], other))
            cells.append(
                NONE
                if pair is None
                else muted("0")
                if not pair["shared"]
                else f"{pair['shared']:,} " + span(f"({pair['opposite']:,} opposite)", "neg")
                if pair["opposite"]
                else f"{pair['shared']:,}"
            )
        rows.append((_name(r), f"{r['wanted']:,}", f"{r['fade']:,}", f"{r['follow']:,}", f"{r['neither']:,}", *cells))
    return section(
        "Entries at the same moment",
        table(("preset", ">wanted", ">fades", ">follows", ">neither", *(">" + n for n in names)), rows),
        "Intents of the row's preset with one of the column's preset on the same contract within a minute. On one account, opposite "
        "intents would cancel each other.",
        "together",
    )


def base_rates(s: dict[str, Any]) -> Markup:
    """How often the conditions of a rule hold."""
    rows = []
    for b in s["base_rates"]:
        each = "; ".join(f"{c['name']}: {percent(c['held'] / c['known'] if c['known'] else None, 2)}" for c in b["conditions"])
        lift = b["share"] / b["independent"] if b["share"] is not None and b["independent"] else None
        wanted = next((r["wanted"] for r in s["presets"] if r["preset"] == b["preset"]), 0)
        rows.append(
            (
                bold(b["preset"]),
                f"{b['asked']:,}",
                f"{b['known']:,}",
                each,
                percent(b["share"], 3),
                percent(b["independent"], 3),
                number(lift) + " ×" if lift is not None else NONE,
                _rate(b["rate"]),
                f"{wanted:,}",
            )
        )
    columns = (
        "preset",
        ">asked",
        ">all known",
        "~each condition holds",
        ">all hold",
        ">if independent",
        ">ratio",
        ">per h (95 %)",
        ">wanted a trade",
    )
    body = table(columns, rows) if rows else empty("None of these presets reports its conditions.")
    return section("Base rates", body, "How often each condition of a rule was met when it was evaluated, and how often all were.", "base")


def _rate(r: dict[str, Any]) -> str:
    return f"{number(r['per_hour'])} ({interval(r['low'], r['high'])})" if r["per_hour"] is not None else NONE


def rates(s: dict[str, Any]) -> Markup:
    rows = [
        (
            _name(r),
            f"{r['wanted']:,}",
            _rate(r["wanted_rate"]),
            f"{r['entries']:,}",
            f"{r['trades']:,}",
            _rate(r["trades_rate"]),
            number(r["trades_rate"]["per_hour"] * 24, 1) if r["trades_rate"]["per_hour"] is not None else NONE,
            percent(r["filled"], 0),
            seconds(r["hold_s"]["p50"]),
            percent(r["exposure_share"], 2),
            ", ".join(f"{e['reason']} {e['n']}" for e in r["exits"]) or NONE,
        )
        for r in s["presets"]
    ]
    columns = (
        "preset",
        ">wanted",
        ">per h (95 %)",
        ">entries",
        ">trades",
        ">per h (95 %)",
        ">per day",
        ">entries filled",
        ">held, median",
        ">time in a position",
        "~how trades ended",
    )
    return section("Rates per covered hour", table(columns, rows), "Per covered hour of one contract, Poisson interval; gaps do not count.", "rates")


def silent(s: dict[str, Any]) -> Markup:
    """Why presets did not trade, and what could not be run."""
    rows = [
        (
            _name(r),
            f"{r['asked']:,}",
            f"{r['wanted']:,}",
            "; ".join(f"{w['reason']} {w['n']:,}" for w in r["why_not"][:4]) or "never asked, or wanted no trade",
        )
        for r in s["presets"]
        if not r["trades"]
    ]
    body = table(("preset", ">asked", ">wanted", "~why not"), rows) if rows else Markup()
    if s["failed"]:
        body += part("Not run", lines(bold(n) + f": {why}" for n, why in s["failed"].items()))
    return section("Without a trade", body, anchor="silent") if body else Markup()


def notes(s: dict[str, Any]) -> Markup:
    grades = table(("preset", "evidence", "~why"), [(_name(r), r["grade"], r["evidence"]) for r in s["presets"]], tall=True)
    text = (
        "Each preset runs with its own numbers through the same engine and the same simulated venue as live; of the configuration's [policy] "
        "only the size of a trade applies to all.",
        "A preset shows a profit if the lower end of its interval is above zero with 30 trades or more, its controls do worse, and the spread "
        "is known: live quotes cover 95 % of the traded time, and 95 % of the fills rested or had one.",
        "The best of several presets overstates what will follow: the deflated Sharpe ratio counts all trials on these data, also those of "
        "other runs.",
        f"Data {s['data'][:16]} ({s['source']}); liqcore {s['version']}.",
    )
    return section("How to read it", grades + part("Notes", lines(text)), anchor="notes")
