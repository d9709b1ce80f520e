"""The comparison in the terminal: one row a preset."""

from __future__ import annotations

from typing import Any

from liqshell.pages import data_badge
from liqshell.report.text import NONE, interval, money, number, percent
from liqshell.report.verdicts import bps


def show(s: dict[str, Any]) -> None:
    """Print the table of compare.json's dict."""
    from rich.console import Console
    from rich.text import Text

    from liqshell.fitted import Table

    console = Console()
    made = f" ({data_badge(True, s['market_seeds'])[1]})" if s["synthetic"] else ""
    title = f"{len(s['presets'])} presets on {', '.join(s['symbols'][:6])}{made}"
    rich = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    rich.add_column("preset")
    for name in ("evidence", "wanted", "trades", "won", "needed", "bps a trade", "95 %", "t", "net", "other side", "p", "Sharpe", "exposure"):
        rich.add_column(name, justify="left" if name == "evidence" else "right")
    for r in s["presets"]:
        w, t = r["win"], r["trade"]
        need = w["break_even_realised"] if w["break_even_realised"] is not None else w["break_even_planned"]
        other, drawn = r["controls"].get("inverted_side"), r["controls"].get("random_side")
        rich.add_row(
            r["preset"],
            r["grade"],
            f"{r['wanted']:,}",
            f"{r['trades']:,}",
            percent(w["share"], 0),
            percent(need, 0),
            number(t["mean"], 1, True),
            interval(t["low"], t["high"], bps),
            number(t["t"]),
            money(r["money"]["net"], True) if r["trades"] else NONE,
            number(other["median_bps"], 1, True) if other else NONE,
            number(drawn["p"], 3) if drawn and drawn["p"] is not None else NONE,
            number(r["sharpe"]["value"], 1),
            f"{number(r['exposure_hours'], 1)} h",
        )
    console.print(rich)
    text = [f"Quotes are live for {percent(s['quoted'])} of the traded time"]
    text += [f"{one['symbol']} half-spread {one['told']}" for one in s["half_spread"] if one["source"] != "quotes"]
    bare, every = sum(r["fills"]["without_quote"]["k"] for r in s["presets"]), sum(r["fills"]["n"] for r in s["presets"])
    text += [f"{bare:,} of {every:,} fills had no live quote"] if bare else []
    console.print(Text("; ".join(text) + ".", style="dim"))
    for one in s["half_spread"]:
        if one["warning"]:
            console.print(Text(f"WARNING: {one['warning']}", style="yellow"))
    console.print(Text(s["conclusion"]))
