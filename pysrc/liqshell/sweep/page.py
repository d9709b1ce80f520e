"""The page of a sweep: the best rows with their neighbours, the number of settings with a gain, and pictures that distinguish a stable region from a
lucky cell.

Writes sweep.html and summary.json beside the table sweep.parquet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

import liqcore as lc
from liqshell import private
from liqshell.pages import code, data_badge, document, section, slim, sub, table
from liqshell.report.heatmap import HOVER, heatmaps
from liqshell.report.luck import DAYS_MIN, LEVEL, assess_best
from liqshell.report.quotes import ENOUGH, cover
from liqshell.report.statistics import CLUSTERS_MIN, FEW
from liqshell.report.text import NONE, interval, money, number, percent, plural, seconds
from liqshell.report.verdicts import CONTAMINATED, WHY, Measured, coloured, warned
from liqshell.sweep.rows import command, place
from liqshell.sweep.run import KERNEL, Swept
from liqshell.sweep.table import best, neighbours, shown

PICTURES = 6  # pairs of parameters drawn
LINES = 60  # values of one parameter that are shown
NUMBERS = ("net", "net_low", "net_high", "mean_bps", "trades", "win_rate", "gross", "fees", "drawdown_max", "sharpe", "hold_s")
SPAN = ">95 %"
Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]  # title, a cell of it


def of_net(row: Row) -> Measured:
    """The net result of a row."""
    return Measured(
        row["net"],
        row["net_low"],
        row["net_high"],
        row["trades"],
        why=f"{FEW} trades on {CLUSTERS_MIN} days are needed" if row["net_low"] is None else "",
    )


def _shown(key: str, show: Callable[[Any], str]) -> Callable[[Row], str]:
    return lambda row: show(row[key]) if row[key] is not None else NONE


SHOWN: tuple[Column, ...] = (
    (">net", lambda row: coloured(of_net(row), money(row["net"], True))),
    (SPAN, lambda row: interval(row["net_low"], row["net_high"], money)),
    (">bps a trade", _shown("mean_bps", number)),
    (">trades", _shown("trades", lambda v: f"{v:,}")),
    (">won", _shown("win_rate", percent)),
    (">gross", _shown("gross", money)),
    (">fees", _shown("fees", money)),
    (">drawdown", _shown("drawdown_max", money)),
    (">Sharpe (daily)", _shown("sharpe", number)),
    (">held", _shown("hold_s", seconds)),
)


def summarise(swept: Swept) -> dict[str, Any]:
    """Plain values, no NaN: best rows, their neighbours, what rests on enough to be judged, and what chance alone would have shown."""
    columns, total, axes = swept.table, swept.total, swept.config.sweep.axes
    objective = swept.config.sweep.objective
    rows = best(columns, objective, total)
    offset = int(np.flatnonzero(columns["symbol"] == total)[0])
    value = columns[objective]
    top = []
    for row in rows[: swept.config.sweep.top].tolist():
        around = [float(value[n]) for n in (offset + k for k in neighbours(swept.settings, axes, row - offset)) if math.isfinite(value[n])]
        top.append(
            _of_row(swept, row)
            | {
                "row": row - offset,
                "neighbours_median": float(np.median(around)) if around else None,
                "neighbours_worst": min(around) if around else None,
            }
        )
    low, high = columns["net_low"][rows], columns["net_high"][rows]
    out: dict[str, Any] = {
        "objective": objective,
        "symbol": total,
        "settings": len(rows),
        "traded": int((columns["trades"][rows] > 0).sum()),
        "gains": int((columns["net"][rows] > 0).sum()),
        "judged": int(np.isfinite(low).sum()),
        "gains_beyond_chance": int((low > 0).sum()),
        "losses_beyond_chance": int((high < 0).sum()),
        "trades_max": int(columns["trades"][rows].max(initial=0)),
        "best": top,
        "signals": int(columns["signals"][rows].max(initial=0)),
        "median_net": _plain(np.median(columns["net"][rows])),
        "luck": luck(swept),
        "per_symbol": [_of_row(swept, best(columns, objective, symbol)[0]) | {"symbol": symbol} for symbol in swept.symbols],
    }
    return out | {"contaminated": swept.contaminated, "verdict": warned(swept.contaminated) + verdict(out, swept)}


def _of_row(swept: Swept, row: int) -> dict[str, Any]:
    return {"setting": {name: _plain(swept.table[name][row]) for name in swept.config.sweep.axes}} | {
        name: _plain(swept.table[name][row]) for name in NUMBERS
    }


def luck(swept: Swept) -> dict[str, Any]:
    """liqshell.report.luck.assess of the daily results of all settings, the best one named. `trials` counts what was ever tried on these data."""
    others = swept.others[swept.whole] if len(swept.others) == len(swept.whole) else swept.others
    found = assess_best(swept.daily[swept.whole], others, swept.tried)
    offset = int(np.flatnonzero(swept.table["symbol"] == swept.total)[0])
    setting = None if found["best"] is None else {name: _plain(swept.table[name][offset + found["best"]]) for name in swept.config.sweep.axes}
    # a log that lost lines counts too few; a model that knows what happened needs no luck
    unknown = found["edge"] and (swept.problems or swept.contaminated)
    return found | {"edge": None if unknown else found["edge"], "trials": found["tried"], "setting": setting, "problem": " ".join(swept.problems)}


def luck_sentence(found: dict[str, Any]) -> str:
    """The same in sentences."""
    if found["p_superior"] is None:
        return (
            f"The data cannot show whether the best row is more than luck: {plural(found['days'], 'whole day')} of results, at least {DAYS_MIN} "
            "are needed."
        )
    where = ", ".join(f"{name.partition('.')[2]} {value}" for name, value in found["setting"].items())
    text = f"More than luck: {where}." if found["edge"] else "No row is shown to be more than luck."
    text += f" {found['problem']}." if found["problem"] else ""
    if found["worst"] > found["worst_all"]:
        text += " No day of this row was as bad as the worst of others, so the cost of such a day is not known."
    return (
        f"{text} The largest t of a mean day is {number(found['t'])} ({where}). If no setting had an edge, the best of {found['settings']:,} "
        f"settings over {found['days']} whole days would do as well in {percent(found['p_superior'], 1)} of resamples of these (Hansen's SPA), "
        f"and the best of {found['tried']:,} settings with the shape of all days in {percent(found['p_shape'], 1)} of draws; an edge needs both "
        f"below {percent(LEVEL, 0)}. Deflated Sharpe {percent(found['deflated'], 1)} over {found['independent']:,} independent trials"
        + (f"; such a ratio needs {math.ceil(found['days_needed']):,} days to be significant." if found["days_needed"] else ".")
    )


def verdict(s: dict[str, Any], swept: Swept) -> str:
    """One paragraph that claims no more than the table allows."""
    if not s["traded"]:
        return f"No setting closed a trade: {plural(s['signals'], 'signal')}. Use longer data, or conditions that are met more often."
    top = s["best"][0]
    gains = f"{s['gains']:,} of {s['settings']:,} settings end above zero after fees"
    if not s["judged"]:
        text = (
            f"No setting has enough trades for a verdict: the most active one closed {plural(s['trades_max'], 'trade')} in {span(swept)}; {FEW} "
            f"on {CLUSTERS_MIN} days are needed. {gains}, all after the same few events, which is no evidence for or against any. "
        )
    else:
        text = (
            f"{s['judged']:,} of {s['settings']:,} settings have {FEW} trades or more on {CLUSTERS_MIN} days or more. Taken one by one, "
            f"{s['gains_beyond_chance']:,} of these gain beyond chance and {s['losses_beyond_chance']:,} lose beyond chance; without an edge, "
            f"2.5 % would do each. {gains}; the median setting makes {money(s['median_net'], True)}. "
        )
    text += f"The best makes {of_net(top).describe(lambda v: money(v, True))}"
    near = top["neighbours_median"]
    if near is not None and s["objective"] == "net":
        text += f", its neighbours {money(near, True)} (worst {money(top['neighbours_worst'], True)})"
    text += ". "
    if not s["judged"]:
        text += "This needs longer data, not a finer grid."
    elif top["net"] <= 0:
        text += "No setting covers its costs."
    elif s["gains"] < 0.05 * s["settings"]:
        text += "So few gains among so many settings are consistent with luck: do not trade the best cell."
    elif near is not None and near <= 0:
        text += "The best cell is surrounded by losses: assume luck."
    else:
        text += f"It is the choice among {swept.tried:,} settings: test it with `liqcore forward`, on days not used for the choice. "
        text += luck_sentence(s["luck"])
    return text


def span(swept: Swept) -> str:
    """How long the data are, in days that count."""
    return plural(swept.days, "whole day") if swept.days else "less than a whole day"


def _plain(value: Any) -> Any:
    """A NumPy value as JSON has it; what is not a number is None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_sweep(swept: Swept) -> dict[str, Any]:
    """sweep.html and summary.json; the summary."""
    summary = summarise(swept)
    stamp = {
        "version": lc.__version__,
        "data": swept.fingerprint,
        "symbols": list(swept.symbols),
        "days": swept.days,
        "trials": swept.tried,
        "synthetic": swept.synthetic,
        "market_seeds": list(swept.market_seeds),
        "seconds": swept.seconds,
        "axes": {k: [_plain(shown(k, v)) for v in vs] for k, vs in swept.config.sweep.axes.items()},
        "by": swept.by,
        "why": swept.why,
        "data_problems": list(swept.lacking),
        "quoted": swept.quoted,
        "half_spread": swept.half_spread,
    }
    text = json.dumps(stamp | summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    private.write(swept.folder / "summary.json", text)
    private.write(swept.folder / "sweep.html", page(swept, summary))
    return summary


def page(swept: Swept, summary: dict[str, Any]) -> str:
    """One self-contained page."""
    what = f"{len(swept.symbols)} symbols" if len(swept.symbols) > 1 else swept.symbols[0]
    badges = [data_badge(swept.synthetic, swept.market_seeds)]
    badges += [("", "sweep"), ("", plural(swept.tried, "trial") + " on this data")]
    body = sub(way(swept)) + sub(spreads(swept)) + Markup().join(sub(line) for line in lacking(swept))
    body += section(
        "Best rows and their neighbours",
        _top_table(swept, summary) + sub(luck_sentence(summary["luck"])),
        "A neighbour differs by one step of one parameter. A reliable row has similar neighbours. 95 %: of the net result, by "
        f"day; none below {FEW} trades or {CLUSTERS_MIN} days with a result.",
        "best",
    )
    body += _pictures(swept, summary["objective"])
    if len(swept.symbols) > 1:
        lead: list[Column] = [("symbol", lambda row: row["symbol"]), *_axes(swept)]
        body += section(
            "Best row of each symbol",
            table(*_cells(summary["per_symbol"], [*lead, *SHOWN])),
            "Each is the best of all settings for its symbol: the more symbols, the better the luckiest one looks.",
            "symbols",
        )
    took = ", ".join(f"{name} {seconds(value)}" for name, value in swept.seconds.items())
    return document(
        f"Sweep: {summary['settings']:,} settings",
        body,
        marks=badges,
        verdict=summary["verdict"],
        script=Markup(HOVER),
        span=f"{what}, {span(swept)}; {plural(summary['signals'], 'signal')}; fills {swept.config.paper.fills}",
        notices=[(f"{CONTAMINATED}.", WHY)] * swept.contaminated + ([weak] if (weak := unquoted(swept)) else []),
        foot=f"liqcore {lc.__version__}, data {swept.fingerprint[:16]}; {took}. Every row: sweep.parquet.",
    )


def unquoted(swept: Swept) -> tuple[str, str] | None:
    """The first notice if quotes do not cover the traded time."""
    if swept.quoted is None or swept.quoted >= ENOUGH:
        return None
    if all(one["source"] != "quotes" for one in swept.half_spread) and not swept.quoted:
        return "NO QUOTES.", "The spread that takers pay is an estimate, so no row can show a profit."
    return (
        cover(swept.quoted),
        f"Of the traded time, where {percent(ENOUGH, 0)} are needed: no row can show a profit. " + " ".join(f"{line}." for line in swept.said[:3]),
    )


def lacking(swept: Swept) -> list[str]:
    """Streams that the data lacks, one line each."""
    return [f"Data: {line}." for line in swept.lacking]


def spreads(swept: Swept) -> str:
    """The price of takers without a live quote."""
    text = "; ".join(f"{one['symbol']} {one['told']}" for one in swept.half_spread[:4]) + (" and more" if len(swept.half_spread) > 4 else "")
    warned = " ".join(f"WARNING: {one['warning']}." for one in swept.half_spread if one["warning"])
    return f"Half-spread where no quote is live: {text}. {warned}".strip()


def way(swept: Swept) -> str:
    """How the rows were computed, and what that leaves out."""
    if swept.by == KERNEL:
        return (
            "Computed by the sweep kernel: every answer of the policy is the bracket of [policy]. Every symbol is computed alone, without "
            "funding and without the account's limits (exposure, leverage, positions, losses, orders a minute, smaller entries after few fills). "
            "Where one of them acts, the backtest of a row differs from the row; its report names what acted."
        )
    why = f" because the kernel does not support {swept.why}" if swept.why else " as asked ([sweep] by)"
    return f"Computed by one backtest for each setting,{why}: the symbols share an account with all its limits, and net is after funding."


def _cells(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    """Titles and cells, without the columns that say nothing; the interval stands there also where no row has one."""
    found = [(title, [cell(row) for row in rows]) for title, cell in columns]
    found = [one for one in found if one[0] == SPAN or set(one[1]) != {NONE}]
    return [title for title, _ in found], [list(row) for row in zip(*(cells for _, cells in found), strict=True)]


def _axes(swept: Swept) -> list[Column]:
    def cell(name: str) -> Callable[[Row], str]:
        return lambda row: row["setting"][name]

    return [(name.partition(".")[2], cell(name)) for name in swept.config.sweep.axes]


def _top_table(swept: Swept, summary: dict[str, Any]) -> Markup:
    show = money if summary["objective"] == "net" else number
    near: list[Column] = [(">neighbours", _shown("neighbours_median", show)), (">worst of them", _shown("neighbours_worst", show))]
    lead: list[Column] = [(">row", lambda row: place(swept.folder, row["row"])), *_axes(swept)]
    rows = table(*_cells(summary["best"], [*lead, SHOWN[0], SHOWN[1], *near, *SHOWN[2:]]))
    return rows + sub("The backtest of a row: " + code(command(swept.folder, "ROW")) + ". Its number is then a link.")


def _pictures(swept: Swept, objective: str) -> Markup:
    """Heatmaps over pairs of parameters, those of [sweep] heatmap first."""
    varied = [name for name, values in swept.config.sweep.axes.items() if len(values) > 1 and not isinstance(values[0], str)]
    wanted = [tuple(swept.config.sweep.heatmap)] if len(swept.config.sweep.heatmap) == 2 else []
    pairs = wanted + [(a, b) for k, a in enumerate(varied) for b in varied[k + 1 :] if {a, b} != set(*wanted)]
    rows = swept.table["symbol"] == swept.total
    columns = {name: column[rows] for name, column in swept.table.items()}
    if not pairs:
        return Markup() if not varied else _line(columns, varied[0], objective)
    few = int((~np.isfinite(columns["net_low"])).sum())
    note = f"{few:,} of {len(columns['trades']):,} settings behind these cells have fewer than {FEW} trades or {CLUSTERS_MIN} days." if few else ""
    if few == len(columns["trades"]):
        note += " None of them allows a verdict: colours and frames show what happened, not a region to trade in."
    conclude = few < len(columns["trades"])
    drawn = Markup().join(section(f"{x} and {y}", heatmaps(columns, x, y, objective, conclude=conclude), note) for x, y in pairs[:PICTURES])
    left = len(pairs) - PICTURES
    return drawn + (sub(f"{left} more pairs are in the table: name two parameters in [sweep] heatmap to see them.") if left > 0 else "")


def _line(columns: dict[str, np.ndarray], name: str, objective: str) -> Markup:
    """One parameter: its values and what they make, evenly spaced ones where there are many."""
    at = np.unique(np.linspace(0, len(columns[name]) - 1, LINES).round().astype(int))
    rows = [(columns[name][k], number(float(columns[objective][k])), f"{columns['trades'][k]:,}") for k in at.tolist()]
    note = f"{len(at)} of {len(columns[name]):,} values, evenly spaced." if len(at) < len(columns[name]) else ""
    return section(name, slim(table(("value", f">{objective}", ">trades"), rows, tall=True)), note)


def print_sweep(swept: Swept, summary: dict[str, Any]) -> None:
    """The best rows in the terminal."""
    from rich.console import Console

    from liqshell.fitted import Table

    console = Console(markup=False)  # names of sections and of folders have brackets
    rich = Table(
        title=f"Best of {summary['settings']:,} settings by {summary['objective']} ({summary['symbol']})",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    rich.add_column("setting")
    show = money if summary["objective"] == "net" else number
    for title in ("net", "95 %", "neighbours", "trades", "won"):
        rich.add_column(title, justify="right", no_wrap=True)
    for row in summary["best"]:
        setting = "  ".join(f"{name.partition('.')[2]} {value}" for name, value in row["setting"].items())
        rich.add_row(
            setting,
            money(row["net"]),
            interval(row["net_low"], row["net_high"], money),
            show(row["neighbours_median"]),
            f"{row['trades']:,}",
            percent(row["win_rate"]),
        )
    console.print(rich)
    if swept.contaminated:
        console.print(WHY, style="bold red")
    if weak := unquoted(swept):
        console.print(" ".join(weak), style="bold red")
    console.print(spreads(swept), style="dim", highlight=False)
    console.print(way(swept), style="dim", highlight=False)
    for line in lacking(swept):
        console.print(line, style="yellow", highlight=False)
    if swept.synthetic:
        console.print(f" {data_badge(True, swept.market_seeds)[1]} ", style="black on yellow")
    console.print("A neighbour differs by one step of one parameter; shown is their median.", style="dim")
    console.print(summary["verdict"])
    console.print(f"{swept.computed} units computed; {', '.join(f'{name} {seconds(value)}' for name, value in swept.seconds.items())}", style="dim")
    console.print(f"Page: {swept.folder / 'sweep.html'}   table: {swept.folder / 'sweep.parquet'}", soft_wrap=True)
