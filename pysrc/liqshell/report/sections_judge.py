"""The judge on the page and in the terminal: its value, and the tables of the published system."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from rich.text import Text

from liqshell.fitted import Table, table_of
from liqshell.pages import empty, part, section, signed, sub, table
from liqshell.report.text import NONE, interval, money, number, percent, plural, price, seconds, when
from liqshell.report.verdicts import bps

WORDS = {3: "high", 2: "medium", 1: "low"}


def html(s: dict[str, Any]) -> Markup:
    """The sections of a run that asked a judge; "" for a run without a judge."""
    return _worth(s) + _desk(s)


def _worth(s: dict[str, Any]) -> Markup:
    found = s["judge"]
    if found is None:
        return Markup()
    e = found["evaluation"]
    if e is None:
        told = ", ".join(f"{n:,} {name}" for name, n in found["answered"].items()) or "nothing was asked"
        return section(
            "The judge",
            empty(f"Questions: {told}. A backtest of this recording with [judge] kind = 'recorded' shows what its answers were worth."),
            "",
            "judge",
        )
    groups = [
        (
            r["what"],
            f"{r['questions']:,}",
            f"{r['n']:,}",
            f"{r['won']:,}",
            signed(r["net"], money(r["net"], True)),
            bps(r["mean_bps"]),
            interval(r["low_bps"], r["high_bps"], bps),
        )
        for r in e["groups"]
    ]
    others = [
        (
            r["who"],
            f"{r['entered']:,}",
            f"{r['n']:,}",
            signed(r["net"], money(r["net"], True)),
            bps(r["mean_bps"]),
            interval(r["low_bps"], r["high_bps"], bps),
            percent(r["agrees"], 0),
            interval(r["agrees_low"], r["agrees_high"], lambda v: percent(v, 0)),
        )
        for r in e["controls"]
    ]
    body = table(("the judge", ">questions", ">with a result", ">won", ">net", ">bps", ">95 %"), groups)
    body += part("Other judges, same questions", table(("who", ">enters", ">with a result", ">net", ">bps", ">95 %", ">agrees", ">95 %"), others))
    body += sub(" ".join(sentences(e)))
    how = (
        "Each question as a shadow bracket, entered at the time of the verdict whatever the verdict was, without limits or cooldown. Money and "
        "bps after fees and funding."
    )
    return section("The judge", body, how, "judge", e["verdict"])


def sentences(e: dict[str, Any]) -> list[str]:
    """The numbers beside the tables, in words."""
    b, d, w = e["brier"], e["drift_bps"], e["waited_s"]
    out = [f"Answers: {', '.join(f'{n:,} {name}' for name, n in e['statuses'].items()) or 'none'}."]
    if e["only_held"]:
        out.append(f"{plural(e['only_held'], 'question')} allowed no answer but hold.")
    if b["n"]:
        out.append(
            f"Brier score of the confidence {b['score']:.3f}, of the base rate alone {b['base']:.3f} (n = {b['n']}; high, medium and low "
            "count as probabilities of 2/3, 1/2 and 1/3)."
        )
    if d["n"]:
        out.append(
            f"While the judge answered, the price moved {bps(d['mean'])} bps in our favour (95 %: {interval(d['low'], d['high'], bps)}); an "
            "entry after the verdict misses that."
        )
    if w["n"]:
        out.append(f"Verdicts after p50 {seconds(w['p50'])}, p99 {seconds(w['p99'])}.")
    if e["cost"]:
        each = f", {e['cost_per_entry']:.4f} an entry" if e["cost_per_entry"] is not None else ""
        out.append(f"Cost {e['cost']:.4f} US dollars{each}.")
    out.append(f"The refusals saved {money(e['saved'], True)}.")
    return out


def _desk(s: dict[str, Any]) -> Markup:
    found = s.get("desk")
    if found is None:
        return Markup()
    a = found["account"]
    of = f"{a['positions']} / {a['positions_max']}" if a["positions_max"] else str(a["positions"])
    basis = "" if a["trail_basis"] == "price" else " of profit"
    body = part(
        "Account",
        table(
            (">balance", ">positions", ">result of closed trades", ">unrealised", ">stop", ">trail"),
            [
                (
                    money(a["balance"]),
                    of,
                    signed(a["net"], money(a["net"], True)),
                    money(a["unrealised"], True),
                    percent(a["stop_loss"], 2),
                    percent(a["trail"], 2) + basis if a["trail"] else NONE,
                )
            ],
        ),
    )
    rows = [
        (
            p["symbol"],
            p["side"],
            "open" if p["open"] else when(p["ts"]),
            price(p["entry"]),
            price(p["price"]),
            signed(p["gain"], percent(p["gain"], 2, True)),
            percent(p["gain_max"], 2, True),
            percent(p["given_back"], 2),
            price(p["stop"]) if p["stop"] else NONE,
        )
        for p in found["positions"]
    ]
    columns = ("position", "side", "until", ">entry", ">price", ">result", ">at best", ">given back", ">stop")
    body += part("Positions", table(columns, rows) if rows else empty("No position was opened."))
    return section(
        "Account, positions, signals", body + part("Latest signals", _signals(found["signals"])), "The tables of the document of `trend`.", "desk"
    )


def decision(row: dict[str, Any]) -> str:
    """The decision on a signal: the action, for an entry with its confidence; without a valid answer, the reason."""
    if row["action"] is None:
        return f"no entry: {row['status']}"
    return f"enter, {WORDS.get(row['confidence'], row['confidence'])}" if row["action"] == "enter" else str(row["action"])


def _candles(row: dict[str, Any]) -> str:
    aligned = {True: "agree", False: "disagree", None: ""}[row["candles_aligned"]]
    return " ".join(filter(None, (aligned, percent(row["change_5m"], 2, True) if row["change_5m"] is not None else "")))


def _signals(rows: list[dict[str, Any]]) -> Markup:
    if not rows:
        return empty("The judge was not asked.")
    shown = [
        (
            when(r["ts"]),
            r["contract"],
            r["direction"],
            " ".join(filter(None, (r["anomaly"] or "", f"z {number(r['z'], 1)}"))),
            percent(r["purity"], 0),
            _candles(r),
            f"{r['news'] or NONE} ({r['items']})",
            decision(r),
            r.get("action_reason", ""),
        )
        for r in rows
    ]
    return table(("UTC", "contract", "wanted", "liquidations", ">one side", "candles", "news (items)", "decision", "why"), shown, tall=True)


def terminal(s: dict[str, Any]) -> list[Any]:
    """Tables and sentences for print_report."""
    found = s["judge"]
    if found is None:
        return []
    out: list[Any] = []
    e = found["evaluation"]
    if e is not None:
        rows = [(r["what"], r["questions"], r["n"], f"{r['won']:,}", r) for r in e["groups"]]
        rows += [(Text(r["who"], style="dim"), r["entered"], r["n"], "", r) for r in e["controls"][1:]]
        groups = table_of(
            "The judge",
            "",
            ">questions",
            ">with a result",
            ">won",
            ">net",
            ">bps",
            ">95 %",
            rows=[
                (who, f"{asked:,}", f"{n:,}", won, money(r["net"], True), bps(r["mean_bps"]), interval(r["low_bps"], r["high_bps"], bps))
                for who, asked, n, won, r in rows
            ],
        )
        out += [groups, Text(e["verdict"], style="bold"), Text(" ".join(sentences(e)), style="dim")]
    desk = s.get("desk")
    return [*out, _latest(desk["signals"])] if desk and desk["signals"] else out


def _latest(rows: list[dict[str, Any]]) -> Table:
    return table_of(
        "Latest signals",
        "UTC",
        "contract",
        "wanted",
        ">z",
        ">one side",
        "candles",
        "news",
        "decision",
        rows=[
            (
                when(r["ts"], date=False),
                str(r["contract"]),
                str(r["direction"]),
                number(r["z"], 1),
                percent(r["purity"], 0),
                _candles(r),
                str(r["news"] or NONE),
                decision(r),
            )
            for r in rows[:10]
        ],
    )
