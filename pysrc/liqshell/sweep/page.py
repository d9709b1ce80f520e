"""What a sweep says: the best rows with their neighbours, how many settings gain at all, and pictures in which a stable region looks unlike a
lucky cell.

Writes sweep.html and summary.json beside the table sweep.parquet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.report.elements import notice
from liqshell.report.heatmap import heatmaps
from liqshell.report.overfit import expected_maximum
from liqshell.report.quotes import ENOUGH
from liqshell.report.text import NONE, money, number, percent, seconds
from liqshell.sweep.run import KERNEL, Swept
from liqshell.sweep.table import OBJECTIVES, best, neighbours, shown

PICTURES = 6                             # pairs of parameters drawn
Column = tuple[str, str, Callable[[Any], str]]          # key, title, how it is shown
SHOWN: tuple[Column, ...] = (
    ("net", "net", money), ("mean_bps", "bps a trade", number), ("trades", "trades", lambda v: f"{v:,.0f}"), ("win_rate", "won", percent),
    ("gross", "gross", money), ("fees", "fees", money), ("drawdown_max", "drawdown", money), ("sharpe", "Sharpe (daily)", number),
    ("net_t", "t", number), ("hold_s", "held", seconds))


def summarise(swept: Swept) -> dict[str, Any]:
    """Plain values, no NaN: best rows, their neighbours, and what chance alone would have shown."""
    table, total, axes = swept.table, swept.total, swept.config.sweep.axes
    objective = swept.config.sweep.objective
    if objective == "sharpe" and total not in swept.symbols:
        objective = "net"                # a sum over symbols has no Sharpe ratio here
    rows = best(table, objective, total)
    offset = int(np.flatnonzero(table["symbol"] == total)[0])
    value = table[OBJECTIVES[objective]]
    traded = table["trades"][rows] > 0
    top = []
    for row in rows[:swept.config.sweep.top].tolist():
        near = [offset + n for n in neighbours(swept.settings, axes, row - offset)]
        around = [float(value[n]) for n in near if math.isfinite(value[n])]
        top.append({"setting": {name: _plain(table[name][row]) for name in axes}} | {name: _plain(table[name][row]) for name, _, _ in SHOWN}
                   | {"row": row, "neighbours_median": float(np.median(around)) if around else None,
                      "neighbours_worst": min(around) if around else None})
    gains = int((table["net"][rows] > 0).sum())
    out = {"objective": objective, "symbol": total, "settings": len(rows), "traded": int(traded.sum()), "gains": gains, "best": top,
           "signals": int(table["signals"][rows].max(initial=0)), "median_net": _plain(np.median(table["net"][rows])),
           "luck": luck(swept), "per_symbol": [_of_symbol(swept, symbol, objective) for symbol in swept.symbols]}
    return out | {"verdict": verdict(out, swept)}


def _of_symbol(swept: Swept, symbol: str, objective: str) -> dict[str, Any]:
    rows = best(swept.table, objective, symbol)
    first = rows[0]
    return {"symbol": symbol, "setting": {name: _plain(swept.table[name][first]) for name in swept.config.sweep.axes},
            "gains": int((swept.table["net"][rows] > 0).sum())} | {name: _plain(swept.table[name][first]) for name, _, _ in SHOWN}


def luck(swept: Swept) -> dict[str, Any]:
    """The yearly Sharpe ratio that the best of so many settings would show if none had an edge, from the scatter of the settings themselves."""
    ratios = swept.table["sharpe"][np.isin(swept.table["symbol"], swept.symbols[:1])]
    known = ratios[np.isfinite(ratios)]
    if len(known) < 2:
        return {"trials": swept.tried, "sharpe_expected_best": None, "sharpe_best": None}
    return {"trials": swept.tried, "sharpe_expected_best": float(expected_maximum(max(swept.tried, len(known)), float(known.std(ddof=1)))),
            "sharpe_best": float(known.max())}


def verdict(s: dict[str, Any], swept: Swept) -> str:
    """One paragraph that claims no more than the table allows."""
    if not s["traded"]:
        return f"No setting closed a trade: {s['signals']} signals. Longer data, a lower detector quantile or a smaller entry offset would give some."
    top = s["best"][0]
    told = f"{s['gains']:,} of {s['settings']:,} settings end above zero after fees; the median setting makes {money(s['median_net'], True)}. "
    told += f"The best makes {money(top['net'], True)} in {top['trades']:,} trades"
    near = top["neighbours_median"]
    if near is not None and s["objective"] == "net":
        told += f", its neighbours {money(near, True)} (worst {money(top['neighbours_worst'], True)})"
    told += ". "
    if top["net"] <= 0:
        told += "Nothing here earns its costs."
    elif s["gains"] < 0.05 * s["settings"]:
        told += "So few gainers among so many settings are what luck leaves: do not trade the best cell."
    elif near is not None and near <= 0:
        told += "The best cell stands alone among losers: it is luck until shown otherwise."
    else:
        told += f"It was chosen after looking at {swept.tried:,} settings: judge it by `liqcore forward`, on days that did not choose it."
    return told


def _plain(value: Any) -> Any:
    """A NumPy value as JSON has it; what is not a number is None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_sweep(swept: Swept) -> dict[str, Any]:
    """sweep.html and summary.json; the summary."""
    summary = summarise(swept)
    stamp = {"version": lc.__version__, "data": swept.fingerprint, "symbols": list(swept.symbols), "days": swept.days, "trials": swept.tried,
             "synthetic": swept.synthetic, "seconds": swept.seconds,
             "axes": {k: [_plain(shown(k, v)) for v in vs] for k, vs in swept.config.sweep.axes.items()}, "by": swept.by, "why": swept.why,
             "quoted": swept.quoted, "half_spread": swept.half_spread}
    text = json.dumps(stamp | summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    (swept.folder / "summary.json").write_text(text, encoding="utf-8")
    (swept.folder / "sweep.html").write_text(page(swept, summary), encoding="utf-8")
    return summary


def page(swept: Swept, summary: dict[str, Any]) -> str:
    """One self-contained page."""
    css = resources.files("liqshell.report").joinpath("page.css").read_text(encoding="utf-8")
    days = f"{swept.days} day{'s' if swept.days != 1 else ''}"
    span = f"{len(swept.symbols)} symbols, {days}" if len(swept.symbols) > 1 else f"{swept.symbols[0]}, {days}"
    label = '<div class=badges><span class="badge synthetic">SYNTHETIC MARKET</span></div>' if swept.synthetic else ""
    hint = summary["luck"]
    chance = "" if hint["sharpe_expected_best"] is None else (
        f"<p class=sub>{hint['trials']:,} settings were looked at on this data. If none had an edge, the best daily Sharpe ratio of "
        f"{escape(swept.symbols[0])} would be about {number(hint['sharpe_expected_best'])} by chance alone; "
        f"the best seen is {number(hint['sharpe_best'])}.</p>")
    body = [f"<header><div><h1>Sweep: {summary['settings']:,} settings</h1><p class=sub>{escape(span)}; {summary['signals']:,} signals; fills "
            f"{escape(swept.config.paper.fills)}</p>{label}</div></header>",
            f"<p class=verdict>{escape(summary['verdict'])}</p>",
            *([notice(*weak)] if (weak := unquoted(swept)) else []),
            f"<p class=sub>{escape(way(swept))}</p>", f"<p class=sub>{escape(spreads(swept))}</p>",
            "<section><h2>Best rows and their neighbours</h2><p class=sub>A neighbour differs by one step of one parameter. A row worth trusting has "
            f"neighbours like itself.</p>{chance}<div class=scroll>{_top_table(swept, summary)}</div></section>",
            _pictures(swept, summary["objective"])]
    if len(swept.symbols) > 1:
        body.append(f"<section><h2>Best row of each symbol</h2><div class=scroll>{_symbol_table(swept, summary)}</div></section>")
    body.append(f"<footer>liqcore {lc.__version__}, data {swept.fingerprint[:16]}; "
                + ", ".join(f"{name} {seconds(value)}" for name, value in swept.seconds.items()) + ". Every row: sweep.parquet.</footer>")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>Sweep</title>"
            f"<style>{css}</style></head><body><main>{''.join(body)}</main></body></html>\n")


def unquoted(swept: Swept) -> tuple[str, str] | None:
    """What must be said first where quotes do not cover the traded time."""
    if swept.quoted is None or swept.quoted >= ENOUGH:
        return None
    if all(one["source"] != "quotes" for one in swept.half_spread) and not swept.quoted:
        return "NO QUOTES.", "What takers pay for the spread is estimated: no row here can show that something pays."
    return (f"QUOTES COVER {percent(swept.quoted, 0)}.", f"Of the traded time, where {percent(ENOUGH, 0)} are needed: no row here can show that "
            "something pays. " + " ".join(f"{line}." for line in swept.said[:3]))


def spreads(swept: Swept) -> str:
    """What takers pay where no quote holds."""
    told = "; ".join(f"{one['symbol']} {one['told']}" for one in swept.half_spread[:4]) + (" and more" if len(swept.half_spread) > 4 else "")
    warned = " ".join(f"WARNING: {one['warning']}." for one in swept.half_spread if one["warning"])
    return f"Half-spread where no quote holds: {told}. {warned}".strip()


def way(swept: Swept) -> str:
    """How the rows were computed, and what that leaves out."""
    if swept.by == KERNEL:
        return ("Computed by the sweep kernel: every answer of the policy is the bracket of [policy]. Every symbol stands for itself, without "
                "funding and without the account's limits (exposure, leverage, positions, losses, orders a minute).")
    why = f" because the kernel knows nothing of {swept.why}" if swept.why else " as asked ([sweep] by)"
    return f"Computed by a whole backtest a setting,{why}: the symbols share an account with all its limits, and net is after funding."


def _told(rows: list[dict[str, Any]], columns: Sequence[Column]) -> list[Column]:
    """Without columns that say nothing: sums over symbols have no Sharpe ratio."""
    return [c for c in columns if any(row[c[0]] is not None for row in rows)]


def _rows(rows: list[dict[str, Any]], names: list[str], lead: Callable[[dict[str, Any]], list[str]], columns: Sequence[Column]) -> str:
    head = "".join(f"<th>{escape(n)}</th>" for n in names) + "".join(f"<th class=n>{escape(title)}</th>" for _, title, _ in columns)
    lines = [f"<tr>{head}</tr>"]
    for row in rows:
        numbers = "".join(f"<td class=n>{escape(show(row[key]) if row[key] is not None else NONE)}</td>" for key, _, show in columns)
        lines.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in lead(row)) + numbers + "</tr>")
    return f"<table>{''.join(lines)}</table>"


def _top_table(swept: Swept, summary: dict[str, Any]) -> str:
    axes = list(swept.config.sweep.axes)
    shown = money if summary["objective"] == "net" else number
    near: list[Column] = [("neighbours_median", "neighbours", shown), ("neighbours_worst", "worst of them", shown)]
    return _rows(summary["best"], [a.partition(".")[2] for a in axes], lambda row: [str(row["setting"][a]) for a in axes],
                 _told(summary["best"], [SHOWN[0], *near, *SHOWN[1:]]))


def _symbol_table(swept: Swept, summary: dict[str, Any]) -> str:
    axes = list(swept.config.sweep.axes)
    return _rows(summary["per_symbol"], ["symbol", *[a.partition(".")[2] for a in axes]],
                 lambda row: [row["symbol"], *[str(row["setting"][a]) for a in axes]], _told(summary["per_symbol"], SHOWN))


def _pictures(swept: Swept, objective: str) -> str:
    """Heatmaps over pairs of parameters, those of [sweep] heatmap first."""
    varied = [name for name, values in swept.config.sweep.axes.items() if len(values) > 1 and not isinstance(values[0], str)]
    wanted = [tuple(swept.config.sweep.heatmap)] if len(swept.config.sweep.heatmap) == 2 else []
    pairs = wanted + [(a, b) for k, a in enumerate(varied) for b in varied[k + 1:] if {a, b} != set(*wanted)]
    rows = swept.table["symbol"] == swept.total
    table = {name: column[rows] for name, column in swept.table.items()}
    if not pairs:
        return "" if not varied else _line(table, varied[0], objective)
    drawn = "".join(f"<section>{heatmaps(table, x, y, objective)}</section>" for x, y in pairs[:PICTURES])
    left = len(pairs) - PICTURES
    return drawn + (f"<p class=sub>{left} more pairs are in the table: name two parameters in [sweep] heatmap to see them.</p>" if left > 0 else "")


def _line(table: dict[str, np.ndarray], name: str, objective: str) -> str:
    """One parameter: its values and what they make."""
    lines = "".join(f"<tr><td>{escape(str(v))}</td><td class=n>{escape(number(float(m)))}</td></tr>"
                    for v, m in zip(table[name].tolist(), table[OBJECTIVES[objective]].tolist(), strict=True))
    return f"<section class=slim><h2>{escape(name)}</h2><table><tr><th>value</th><th class=n>{escape(objective)}</th></tr>{lines}</table></section>"


def print_sweep(swept: Swept, summary: dict[str, Any]) -> None:
    """The best rows in the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    rich = Table(title=f"Best of {summary['settings']:,} settings by {summary['objective']} ({summary['symbol']})", title_justify="left", box=None,
                 pad_edge=False)
    rich.add_column("setting")
    shown = money if summary["objective"] == "net" else number
    numbers: list[Column] = [SHOWN[0], ("neighbours_median", "neighbours", shown), *SHOWN[2:4]]
    for _, title, _ in numbers:
        rich.add_column(title, justify="right", no_wrap=True)
    for row in summary["best"]:
        setting = "  ".join(f"{name.partition('.')[2]} {value}" for name, value in row["setting"].items())
        rich.add_row(setting, *[show(row[key]) if row[key] is not None else NONE for key, _, show in numbers])
    console.print(rich)
    if weak := unquoted(swept):
        console.print(" ".join(weak), style="bold red")
    console.print(spreads(swept), style="dim", highlight=False)
    if swept.synthetic:
        console.print(" SYNTHETIC MARKET ", style="black on yellow")
    console.print("A neighbour differs by one step of one parameter; shown is their median.", style="dim")
    console.print(summary["verdict"])
    console.print(f"{swept.computed} units computed; {', '.join(f'{name} {seconds(value)}' for name, value in swept.seconds.items())}", style="dim")
    console.print(f"Page: {swept.folder / 'sweep.html'}   table: {swept.folder / 'sweep.parquet'}", soft_wrap=True)
