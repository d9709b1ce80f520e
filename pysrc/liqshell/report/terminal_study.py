"""The checks of a backtest in a terminal: the result at delays, against controls, and on other days."""

from typing import Any

from rich.markup import escape
from rich.text import Text

from liqshell.fitted import Table, table_of
from liqshell.report.text import NONE, between, interval, number, percent, seconds
from liqshell.report.verdicts import GAIN, LOSS, bps, of_delay

MARKS = {"good": ("✓", "green"), "bad": ("✕", "red"), "open": ("?", "yellow"), "none": (NONE, "dim")}


def coloured(value: float, text: str) -> Text:
    return Text(text, style="green" if value > 0 else "red" if value < 0 else "")


def _delays(s: dict[str, Any]) -> Table:
    return table_of(
        "Reaction delay",
        ">delay",
        ">entries",
        ">trades",
        ">won",
        ">net bps a trade",
        ">95 %",
        rows=[
            (
                seconds(r["delay_s"]),
                f"{r['entries']:,}",
                f"{r['trades']:,}",
                percent(r["win_rate"], 0),
                coloured(r["mean_bps"] if of_delay(r).sign in (GAIN, LOSS) else 0.0, bps(r["mean_bps"])),
                interval(r["low_bps"], r["high_bps"], bps),
            )
            for r in s["delays"]["rows"]
        ],
    )


def _controls(s: dict[str, Any]) -> Table:
    found = s["controls"]
    return table_of(
        f"Controls (this run {bps(found['mean_bps'])} bps a trade)",
        "control",
        ">draws",
        ">5 %",
        ">median",
        ">95 %",
        ">p",
        rows=[
            (escape(r["name"]), f"{r['draws']:,}", bps(r["p05_bps"]), bps(r["median_bps"]), bps(r["p95_bps"]), number(r["p"], 3))
            for r in found["rows"]
        ],
    )


def _forward(s: dict[str, Any]) -> Table:
    f = s["forward"]
    table = table_of("Walk-forward", "fold", "judged on", ">settings", ">trades", ">bps in sample", ">bps out of sample", ">beat")
    for r in f["rows"]:
        table.add_row(
            str(r["fold"]),
            between(r["test_start_ns"], r["test_end_ns"]),
            f"{r['settings']:,}",
            f"{r['test_trades']:,}",
            bps(r["train_bps"]),
            bps(r["test_bps"]),
            percent(r["test_rank"], 0),
        )
    table.add_row("", "all", "", f"{f['trades']:,}", bps(f["in_sample_bps"]), bps(f["out_of_sample_bps"]), percent(f["mean_rank"], 0), style="bold")
    return table


def _data(s: dict[str, Any]) -> Table:
    table = table_of("Data", "symbol", "liquidations", ">trades", ">quotes", ">liq.", ">covered", ">quotes held", ">gaps", "time of receipt")
    for p in s["data"]["parts"]:
        count = [f"{p[k]:,}" if p[k] is not None else NONE for k in ("trades", "quotes", "liquidations")]
        table.add_row(
            escape(p["symbol"]),
            Text(p["completeness"], style="bold red" if p["completeness"] == "CENSORED" else ""),
            *count,
            percent(p["covered"], 0),
            percent(p["quoted"]),
            f"{len(p['gaps']):,}",
            p["receipt"] or NONE,
        )
    return table


def _spreads(s: dict[str, Any]) -> list[Text]:
    """The price of takers without a live quote and its source; only measured values and warnings."""
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
    """The backtest's parts of the terminal report; none for a live run."""
    if s["mode"] != "backtest":
        return []
    out: list[Any] = [build(s) for key, build in (("delays", _delays), ("controls", _controls), ("forward", _forward)) if s[key] is not None]
    out += [_data(s), *_spreads(s), _belief(s)]
    if s["problems"]:
        out.append(Text("Not done: " + "; ".join(s["problems"]), style="yellow"))
    return out
