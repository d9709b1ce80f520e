"""The study of a backtest in a terminal: whether the result can be believed, at which delays, against which controls, and on other days."""

from typing import Any

from rich.markup import escape
from liqshell.fitted import Table
from rich.text import Text

from liqshell.report.text import NONE, between, interval, number, percent, seconds
from liqshell.report.verdicts import GAIN, LOSS, of_delay

MARKS = {"good": ("✓", "green"), "bad": ("✕", "red"), "open": ("?", "yellow"), "none": (NONE, "dim")}


def table_of(title: str, *columns: str, note: str = "") -> Table:
    """Columns that begin with '>' hold numbers."""
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim",
                  caption=Text(note, style="dim") if note else None, caption_justify="left")
    for column in columns:
        table.add_column(Text(column.lstrip(">")), justify="right" if column.startswith(">") else "left", overflow="fold", no_wrap=column == "symbol")
    return table


def coloured(value: float, text: str) -> Text:
    return Text(text, style="green" if value > 0 else "red" if value < 0 else "")


def _bps(value: float | None) -> str:
    return number(value, 1, True)


def _delays(s: dict[str, Any]) -> Table:
    table = table_of("Reaction delay", ">delay", ">entries", ">trades", ">won", ">net bps a trade", ">95 %")
    for r in s["delays"]["rows"]:
        table.add_row(seconds(r["delay_s"]), f"{r['entries']:,}", f"{r['trades']:,}", percent(r["win_rate"], 0),
                      coloured(r["mean_bps"] if of_delay(r).sign in (GAIN, LOSS) else 0.0, _bps(r["mean_bps"])),
                      interval(r["low_bps"], r["high_bps"], _bps))
    return table


def _controls(s: dict[str, Any]) -> Table:
    found = s["controls"]
    table = table_of(f"Controls (this run {_bps(found['mean_bps'])} bps a trade)", "control", ">draws", ">5 %", ">median", ">95 %", ">p")
    for r in found["rows"]:
        table.add_row(escape(r["name"]), f"{r['draws']:,}", _bps(r["p05_bps"]), _bps(r["median_bps"]), _bps(r["p95_bps"]),
                      number(r["p"], 3) if r["p"] is not None else NONE)
    return table


def _forward(s: dict[str, Any]) -> Table:
    f = s["forward"]
    table = table_of("Walk-forward", "fold", "judged on", ">settings", ">trades", ">bps in sample", ">bps out of sample", ">beat")
    for r in f["rows"]:
        table.add_row(str(r["fold"]), between(r["test_start_ns"], r["test_end_ns"]), f"{r['settings']:,}", f"{r['test_trades']:,}",
                      _bps(r["train_bps"]), _bps(r["test_bps"]), percent(r["test_rank"], 0))
    table.add_row("", "all", "", f"{f['trades']:,}", _bps(f["in_sample_bps"]), _bps(f["out_of_sample_bps"]), percent(f["mean_rank"], 0), style="bold")
    return table


def _data(s: dict[str, Any]) -> Table:
    table = table_of("Data", "symbol", "liquidations", ">trades", ">quotes", ">liq.", ">covered", ">quotes held", ">gaps", "time of receipt")
    for p in s["data"]["parts"]:
        count = [f"{p[k]:,}" if p[k] is not None else NONE for k in ("trades", "quotes", "liquidations")]
        table.add_row(escape(p["symbol"]), Text(p["completeness"], style="bold red" if p["completeness"] == "CENSORED" else ""), *count,
                      percent(p["covered"], 0), percent(p["quoted"]), f"{len(p['gaps']):,}", p["receipt"] or NONE)
    return table


def _spreads(s: dict[str, Any]) -> list[Text]:
    """What takers paid where no quote held, and where that number is from: what was measured or must be warned of."""
    out = [Text.assemble(("Half-spread  ", "bold"), f"{one['symbol']}: {one['told']}") for one in s["half_spread"] if one["source"] != "quotes"]
    return out + [Text(f"WARNING: {one['warning']}", style="yellow") for one in s["half_spread"] if one["warning"]]


def _belief(s: dict[str, Any]) -> Table:
    table = table_of("Can it be believed?", "", "", "")
    table.show_header = False
    for row in s["belief"]:
        mark, style = MARKS[row["state"]]
        table.add_row(Text(mark, style=f"bold {style}"), Text(row["question"]), Text(row["answer"], style="dim"))
    return table


def parts(s: dict[str, Any]) -> list[Any]:
    """What a backtest adds to the terminal report; nothing for a live run."""
    if s["mode"] != "backtest":
        return []
    out: list[Any] = [build(s) for key, build in (("delays", _delays), ("controls", _controls), ("forward", _forward)) if s[key] is not None]
    out += [_data(s), *_spreads(s), _belief(s)]
    if s["problems"]:
        out.append(Text("Not done: " + "; ".join(s["problems"]), style="yellow"))
    return out
