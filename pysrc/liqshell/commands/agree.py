"""`liqcore agree`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from liqshell import fitted
from liqshell.errors import ConfigError, check_output
from liqshell.fitted import Table


def agree(
    data: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    /,
    *,
    detector: Annotated[tuple[str, ...], Parameter(name=("--detector", "-d"), negative=())] = (),
    tolerance_s: float = 60.0,
    throttle: Annotated[bool, Parameter(negative=())] = False,
    labelled: float = 0.0,
    seed: int = 1,
    symbols: str = "",
    scale: float = 1.0,
    least_count: int = 5,
    csv: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Compare detectors on the same data in one engine. Prints for each venue the signals of each detector per covered hour, and for each pair the
    share of
    episodes of one that overlap an episode of the other.

    DATA: event tables (CSV with ts_ms, symbol, position, price, qty_base, notional_usd), a store, the folder of a run, or a recording.

    Parameters
    ----------
    data
        The input; not needed with --labelled.
    detector
        NAME=KIND,param=value,... or KIND; may be given several times. Default: every kind but bars and zone. docs/detectors.md lists them.
    tolerance_s
        Largest distance between episodes that agree.
    throttle
        Also show the data as Binance would (the largest liquidation of a symbol and second): what is kept, and which episodes are lost.
    labelled
        Instead of DATA: this many hours of a generated market (SYNTHETIC) with known cascades; prints precision and recall on the full feed and on
        the throttled view.
    seed
        Of the generated market.
    symbols
        Of the generated market, separated by commas; default: all.
    scale
        Factor on quantities in the generated market; thresholds in dollars need it.
    least_count
        Liquidations of a labelled cascade that should be found.
    csv
        Also write the pairs as CSV.
    json_
        Print everything as one JSON object.
    """
    from liqshell.research import detector_agreement as found_by
    from liqshell.research.detector_quality import throttle_report

    if not 0.0 <= tolerance_s <= 86_400.0:
        raise ConfigError("--tolerance-s", f"{tolerance_s}", "0 to 86400 seconds")
    check_output("--csv", csv)
    specs = found_by.parse(detector)
    if labelled:
        if data:
            raise ConfigError("--labelled", "data together with it", "no DATA with a generated market")
        return _labelled(specs, labelled, seed, symbols, scale, least_count, json_)
    if not data:
        raise ConfigError("agree", "no data", "event tables, a store, a run or a recording; or --labelled HOURS", "See `liqcore agree --help`")
    feed = found_by.read_data(data, found_by.wants_dense(specs))
    report = found_by.agreement(feed, specs, tolerance_s)
    if throttle:
        report["throttle"] = throttle_report(feed, specs, tolerance_s)
    if csv is not None:
        csv.write_text(found_by.as_csv(report), encoding="utf-8")
    print(json.dumps(report)) if json_ else show(report)
    return 0


def _labelled(specs: list[dict[str, Any]], hours: float, seed: int, symbols: str, scale: float, least_count: int, json_: bool) -> int:
    from liqshell.research.detector_quality import quality_report

    if not 0.0 < hours <= 1000.0:
        raise ConfigError("--labelled", f"{hours:g}", "0 to 1000 hours")
    chosen = {"symbols": tuple(name.strip() for name in symbols.split(","))} if symbols else {}
    try:
        report = quality_report(hours, specs, seed, least_count, scale=scale, **chosen)
    except (ValueError, KeyError) as why:
        raise ConfigError("--labelled", str(why)) from why
    print(json.dumps(report)) if json_ else show_quality(report)
    return 0


def _table(console: Console, title: str, columns: Sequence[str]) -> Table:
    """Under its title; the first column is text, the others are numbers."""
    console.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for n, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if n else "left", overflow="fold")
    return table


def _print(console: Console, table: Table, note: str) -> None:
    console.print(table)
    console.print(Text(note, style="dim"), soft_wrap=True)
    console.print()


def _share(found: Mapping[str, Any]) -> str:
    """Share, its 95 % interval and the count behind it."""
    if found["share"] is None:
        return "–"
    return f"{found['share']:.0%} ({found['low']:.0%}-{found['high']:.0%}) of {found['n']}"


def show(report: Mapping[str, Any]) -> None:
    console = fitted.console()
    for text in report["warnings"]:
        console.print(Text(f"warning: {text}", style="yellow"), soft_wrap=True)
    for text in report["notes"]:
        console.print(text)
    for venue in report["venues"]:
        _rates(console, venue)
        _matrix(console, venue, report["tolerance_s"])
    if "throttle" in report:
        _throttle(console, report["throttle"])


def _rates(console: Console, venue: Mapping[str, Any]) -> None:
    table = _table(
        console,
        f"{venue['venue'] or 'no venue'} [{'+'.join(venue['completeness'])}]: {venue['liquidations']:,} liquidations of "
        f"{venue['instruments']} instruments in {venue['covered_hours']:,.1f} covered hours",
        ("detector", "kind", "episodes", "per hour", "95 %", "active"),
    )
    for row in venue["detectors"]:
        rates = ["–"] * 3
        if row["per_hour"] is not None:
            rates = [f"{row['per_hour']:.3g}", f"{row['low']:.3g}-{row['high']:.3g}", f"{row['active_share']:.1%}"]
        table.add_row(row["detector"], row["kind"], str(row["n"]), *rates)
    _print(console, table, "per covered hour of an instrument, with the Poisson interval; active: share of that time")


def _matrix(console: Console, venue: Mapping[str, Any], tolerance_s: float) -> None:
    names = [row["detector"] for row in venue["detectors"]]
    pairs = {(p["a"], p["b"]): p for p in venue["pairs"]}
    table = _table(console, f"Episodes of the row that overlap one of the column within {tolerance_s:g} s", ("", "n", *names))
    for a, row in zip(names, venue["detectors"], strict=True):
        cells = []
        for b in names:
            p = pairs.get((a, b))
            cells.append(
                "" if p is None else "–" if p["share"] is None else f"{p['share']:.0%} ({p['low']:.0%}-{p['high']:.0%}) {p['by_chance']:.0%}"
            )
        table.add_row(a, str(row["n"]), *cells)
    _print(console, table, "share (95 % Wilson interval); chance: the same with the row's episodes shifted in time")


def _throttle(console: Console, found: Mapping[str, Any]) -> None:
    for name in found["already_censored"]:
        console.print(Text(f"warning: {name} is CENSORED already, so the throttle removes little", style="yellow"), soft_wrap=True)
    table = _table(
        console,
        "Kept by a throttled feed: the largest liquidation of a symbol and second (Binance's rule)",
        ("instrument", "events", "kept", "of value", "in bursts", "kept", "of value"),
    )
    for row in found["kept"]:
        cells = [
            text
            for part in (row["all"], row["bursts"])
            for text in (f"{part['events']:,}", *("–" if part[key] is None else f"{part[key]:.0%}" for key in ("events_kept", "value_kept")))
        ]
        table.add_row(row["instrument"], *cells)
    _print(console, table, "burst: at least 20 liquidations in the 10 s around")
    table = _table(console, "Effect on the detectors", ("detector", "full", "throttled", "found again", "new"))
    for row in found["detectors"]:
        table.add_row(row["detector"], str(row["full"]), str(row["throttled"]), _share(row["found"]), _share(row["new"]))
    _print(console, table, "found again: episodes of the full feed also in the throttled one; new: in the throttled one only")


def show_quality(report: Mapping[str, Any]) -> None:
    console = fitted.console()
    console.print(
        Text(
            f"SYNTHETIC: {report['hours']:g} hours of a generated market, seed {report['seed']}: {report['cascades']} cascades of at "
            f"least {report['least_count']} liquidations, {report['cascades_any']} of at least two",
            style="yellow",
        ),
        soft_wrap=True,
    )
    for view, title in (("full", "The full feed"), ("throttled", "Throttled: the largest liquidation of a symbol and second")):
        table = _table(console, title, ("detector", "episodes", "recall", "precision", "in any cascade", "delay"))
        for row in report[view]:
            table.add_row(
                row["detector"],
                str(row["episodes"]),
                _share(row["recall"]),
                _share(row["precision"]),
                _share(row["in_any"]),
                "–" if row["delay_s"] is None else f"{row['delay_s']:.1f}",
            )
        _print(console, table, "95 % Wilson intervals; delay: median seconds")
