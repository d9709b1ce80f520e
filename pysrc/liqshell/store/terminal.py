"""The content of a store as tables in a terminal."""

from __future__ import annotations

from functools import partial
from typing import Any

from rich.text import Text

from liqshell import fitted
from liqshell.fitted import Table, table_of
from liqshell.recording.streams import when
from liqshell.store.page import REMARKS, apart_text, covered, duration, first_warnings, held_hours, longest_gaps, remarks

CONTRACTS_SHOWN = 40
_table = partial(table_of, whole="why".__ne__)
GAPS_SHOWN = 10


def show(report: dict[str, Any]) -> None:
    """The report as tables."""
    console = fitted.console()
    if not report["contracts"]:
        console.print("the store is empty")
        return
    for text in first_warnings(report):
        console.print(Text(f"QUOTES {text}", style="yellow"), soft_wrap=True)
    for c in report["contracts"]:
        if c["before"]:
            console.print(
                Text(
                    f"EARLIER VERSION {c['venue']}:{c['symbol']}: a funding rate of 0 is read as not stated; import its files again, "
                    "into a new store",
                    style="yellow",
                ),
                soft_wrap=True,
            )
    console.print(_contracts(report))
    for c in report["contracts"][:CONTRACTS_SHOWN]:
        if text := apart_text(c):
            console.print(Text(f"{c['venue']}:{c['symbol']}: {text.strip()}", style="dim"), soft_wrap=True)
    gaps = longest_gaps(report["contracts"])
    if gaps:
        console.print(_gaps(gaps))
    rows = remarks(report)
    if rows:
        console.print(_table(REMARKS, "where", ">rows", "why", rows=rows))


def _contracts(report: dict[str, Any]) -> Table:
    modelled = sum("modelled" in c["received"] for c in report["contracts"])
    table = _table(
        "Contracts",
        "contract",
        "feed",
        "days",
        ">trades",
        ">quotes",
        ">liq.",
        ">covered h",
        ">quotes h",
        ">gaps",
        ">tick",
        ">lot",
        "sides",
        note="* inferred from the data. sides: do liquidations agree with the price move"
        + (f". The {CONTRACTS_SHOWN} with most rows of {len(report['contracts'])}" if len(report["contracts"]) > CONTRACTS_SHOWN else "")
        + (f". ~ {modelled} without a time of receipt: ts_recv is modelled" if modelled else ""),
    )
    most = sorted(report["contracts"], key=lambda c: -sum(k["rows"] for k in c["kinds"].values()))[:CONTRACTS_SHOWN]
    for c in (c for c in report["contracts"] if c in most):
        days, rules, side = c["days"], c["rules"], c["side"]
        steps = (f"{rules[f]}{'' if rules['origin'][f] in ('given', 'said by its files') else '*'}" for f in ("tick_size", "lot_size"))
        verdict = f"{side['verdict']} {side['agree']}/{side['compared']}" if side["compared"] else "–"
        table.add_row(
            f"{c['venue']}:{c['symbol']}{'~' if 'modelled' in c['received'] else ''}",
            Text(c["completeness"], style="yellow" if c["completeness"] == "CENSORED" else ""),
            days[0] if len(days) == 1 else f"{days[0]} + {len(days) - 1}",
            *(_compact(c["kinds"][k]["rows"]) if k in c["kinds"] else "–" for k in ("trades", "quotes", "liquidations")),
            covered(c),
            held_hours(c, "quotes"),
            str(c["gap_count"]),
            *steps,
            Text(verdict, style="bold red" if side["verdict"].startswith("SWAPPED") else ""),
        )
    return table


def _compact(rows: int) -> str:
    return f"{rows:,}" if rows < 1_000_000 else f"{rows / 1e6:,.2f} M"


def _gaps(gaps: list[tuple[int, str, dict[str, Any]]]) -> Table:
    table = _table(f"Longest gaps ({min(GAPS_SHOWN, len(gaps))} of {len(gaps)})", "contract", "from (UTC)", "to", ">length", "what")
    for length, name, gap in gaps[:GAPS_SHOWN]:
        table.add_row(name, when(gap["from"]), when(gap["to"]), duration(length), gap["what"])
    return table
