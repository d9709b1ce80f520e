"""The data report as JSON and as a page."""

from __future__ import annotations

import json
import math
import os
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from liqshell import private
from liqshell.backstops import NAME
from liqshell.formats.reading import SEED, SYNTHETIC
from liqshell.pages import badges, bold, data_badge, document, figure, key, maps, muted, part, section, span, sub, table
from liqshell.recording.streams import when
from liqshell.store.rows import day_number, day_text

CONTRACTS_MAX = 40  # drawn hour by hour: those with most rows
REFUSED_SHOWN = 5
WARNINGS_MAX = 5  # contracts
CONTRACTS_NAMED = 8
GAPS_MAX = 200
SOURCES_MAX = 500
TALL_DAYS = 35  # from here on days run to the right
_COVERED = (("none", "no data"), ("c1", "under half"), ("c2", "under 95 %"), ("c3", "under 99.9 %"), ("c4", "whole hour"))


def save(report: dict[str, Any], folder: Path) -> None:
    """report.json and report.html, each replaced in one step."""
    for name, text in (("report.json", json.dumps(report, indent=1)), ("report.html", html(report))):
        aside = folder / f".{name}.{os.getpid()}"
        private.write(aside, text)
        try:
            os.replace(aside, folder / name)
        except OSError:
            aside.unlink(missing_ok=True)
            raise


def html(report: dict[str, Any]) -> str:
    """The page."""
    contracts = report["contracts"]
    shown = sorted(contracts, key=lambda c: -sum(k["rows"] for k in c["kinds"].values()))[:CONTRACTS_MAX]
    body = _contracts(contracts) + Markup().join(_contract(c) for c in contracts if c in shown)
    if len(shown) < len(contracts):
        body += sub(f"Maps of the {len(shown)} contracts with most rows; report.json has all.")
    body += _gaps(contracts) + _refused(report) + _sources(report)
    spans = [(k["first"], k["last"]) for c in contracts for k in c["kinds"].values()]
    span = f"{when(min(a for a, _ in spans))} – {when(max(b for _, b in spans))} UTC, time of receipt" if spans else "empty"
    notes = [note for source in report["sources"] for note in source["notes"]]
    seeds = dict.fromkeys(note.removeprefix(SEED) for note in notes if note.startswith(SEED))
    return document(
        "Data report",
        body,
        marks=[data_badge(SYNTHETIC in notes, seeds)],
        span=f"{report['store']} · {span}",
        notices=_notices(report),
        tiles=_tiles(report),
    )


def _name(c: dict[str, Any]) -> str:
    return f"{c['venue']}:{c['symbol']}"


def _notices(report: dict[str, Any]) -> list[tuple[str, str]]:
    out = []
    refused = report["refused_files"]
    for file in refused[:REFUSED_SHOWN]:
        out.append(("NOT IMPORTED", f"{file['name']}: {str(file['reason']).removeprefix(file['name']).lstrip(': ')}"))
    if len(refused) > REFUSED_SHOWN:
        out.append(("NOT IMPORTED", f"{len(refused) - REFUSED_SHOWN} more files; report.json has all"))
    swapped = [_name(c) for c in report["contracts"] if c["side"]["verdict"].startswith("SWAPPED")]
    if swapped:
        out.append(
            ("SIDES LOOK SWAPPED", f"{', '.join(swapped)}: prices rise before liquidations of longs. Check the meaning of a side in the source.")
        )
    for text in first_warnings(report):
        out.append(("QUOTES", text))
    before = [_name(c) for c in report["contracts"] if c["before"]]
    if before:
        out.append(
            (
                "EARLIER VERSION",
                f"{', '.join(before)}: an earlier version wrote this store, so a funding rate of 0 is read as not stated. "
                "Import the files again, into a new store.",
            )
        )
    censored = [_name(c) for c in report["contracts"] if c["completeness"] == "CENSORED"]
    if censored:
        out.append(
            (
                "CENSORED",
                f"{', '.join(censored)}: a sample of the liquidations; volumes are lower bounds and must not be added to those of a full feed.",
            )
        )
    modelled = [_name(c) for c in report["contracts"] if "modelled" in c["received"]]
    if modelled:
        out.append(("MODELLED RECEIPT", f"{', '.join(modelled)}: the source has no time of receipt; ts_recv is the venue's time plus a constant."))
    return [(f"{head}.", text) for head, text in out]


def first_warnings(report: dict[str, Any]) -> list[str]:
    """Where quotes do not go as far as trades do: of a few contracts, and how many more."""
    found = [c["said_first"] for c in report["contracts"] if c["said_first"]]
    out = [text for warnings in found[:WARNINGS_MAX] for text in warnings]
    if len(found) > WARNINGS_MAX:
        out.append(f"and {len(found) - WARNINGS_MAX} more contracts; report.json has all")
    none = [_name(c) for c in report["contracts"] if "trades" in c["kinds"] and "quotes" not in c["kinds"]]
    if none:
        out.append(
            f"none of {', '.join(none[:CONTRACTS_NAMED])}{f' and {len(none) - CONTRACTS_NAMED} more' if len(none) > CONTRACTS_NAMED else ''}: "
            "orders other than post-only fill at later trades"
        )
    return out


def _tiles(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    contracts = report["contracts"]
    rows = sum(k["rows"] for c in contracts for k in c["kinds"].values())
    venues = len({c["venue"] for c in contracts})
    refused = sum(n for reason, n in report["refused_rows"].items() if not reason.startswith(KEPT)) + sum(
        sum(c["loading"]["refused"].values()) for c in contracts
    )
    return [
        ("Contracts", f"{len(contracts)}", f"of {venues} venue{'s' * (venues != 1)}"),
        ("Rows", _compact(rows), f"{report['bytes'] / 1e6:,.1f} MB on disk"),
        ("Covered", f"{sum(c['covered_hours'] or 0.0 for c in contracts):,.0f} h", "contract hours with data"),
        ("Quotes held", f"{_held(contracts, 'quotes'):,.0f} h", f"trades {_held(contracts, 'trades'):,.0f} contract hours"),
        ("Gaps", f"{sum(c['gap_count'] for c in contracts):,}", f"{sum(c['gap_hours'] for c in contracts):,.1f} contract hours"),
        ("Refused", _compact(refused), f"rows; {_compact(report['duplicates'])} duplicates dropped"),
        ("Files", f"{len(report['sources']):,}", f"{len(report['refused_files'])} could not be imported"),
    ]


def _contracts(contracts: list[dict[str, Any]]) -> Markup:
    rows = []
    for c in contracts:
        kinds = c["kinds"]
        rows.append(
            (
                bold(_name(c)),
                c["completeness"],
                ", ".join(c["received"]),
                f"{len(c['days'])}",
                *(f"{kinds[k]['rows']:,}" if k in kinds else "–" for k in ("trades", "quotes", "liquidations", "tickers")),
                covered(c),
                held_hours(c, "trades"),
                held_hours(c, "quotes"),
                f"{c['gap_count']}",
                _rule(c, "tick_size"),
                _rule(c, "lot_size"),
                f"{c['rules']['multiplier']:g}",
            )
        )
    columns = (
        "|contract",
        "|feed",
        "|ts_recv",
        ">days",
        ">trades",
        ">quotes",
        ">liquidations",
        ">tickers",
        ">covered h",
        ">trades h",
        ">quotes h",
        ">gaps",
        ">tick",
        ">lot",
        ">multiplier",
    )
    return section(
        "Contracts",
        table(columns, rows, tall=len(rows) > 12),
        "Covered: hours in which something came at least every minute; – of contracts with liquidations only: they are rare. "
        "Trades h, quotes h: hours in which a trade was at most a minute old, a quote at most 10 s, and their feed not interrupted.",
    )


def covered(c: dict[str, Any]) -> str:
    """Hours; – of a contract with liquidations only."""
    return "–" if c["covered_hours"] is None else f"{c['covered_hours']:,.1f}"


def _held(contracts: list[dict[str, Any]], stream: str) -> float:
    return sum(c["streams"][stream]["covered_hours"] for c in contracts if stream in c["streams"])


def held_hours(c: dict[str, Any], stream: str) -> str:
    """For how long a stream held; – where there is none, or an earlier version did not measure it."""
    return f"{c['streams'][stream]['covered_hours']:,.1f}" if stream in c["streams"] else "–"


def _rule(c: dict[str, Any], field: str) -> Markup:
    """Its value, and where it is from on hovering."""
    return span(c["rules"][field], title=c["rules"]["origin"][field])


def _contract(c: dict[str, Any]) -> Markup:
    side, totals = c["side"], c["liquidations"]
    tone = {"agrees": "good", "SWAPPED?": "bad"}.get(side["verdict"], "")
    marks = [
        ("warn" if c["completeness"] == "CENSORED" else "", f"feed {c['completeness']}"),
        ("warn" if "modelled" in c["received"] else "", "ts_recv " + ", ".join(c["received"])),
        (tone, f"sides: {side['verdict']}" + (f" ({side['agree']} of {side['compared']})" if side["compared"] else "")),
    ]
    origin = c["rules"]["origin"]
    text = (
        f"{totals['longs']:,} longs liquidated for {_compact(totals['long_notional'])}, {totals['shorts']:,} shorts for "
        f"{_compact(totals['short_notional'])}. "
        if totals["longs"] or totals["shorts"]
        else "No liquidations. "
    )
    text += apart_text(c)
    text += f"Sides compared with the {side['with']}. " if side["compared"] else ""
    text += f"Tick {c['rules']['tick_size']} {origin['tick_size']}; lot {c['rules']['lot_size']} {origin['lot_size']}; "
    text += f"feed {c['completeness']}: {origin.get('completeness', 'said')}."
    most = max((h.get("liquidations", 0) for day in c["hours"].values() for h in day), default=0)
    drawn = [
        part(f"{stream.title()} held, by hour (UTC)", figure(_map(c, _coverage_class, True, stream)) + key(_COVERED))
        for stream in ("trades", "quotes")
        if stream in c["streams"]
    ]
    if not drawn and c["covered_hours"] is not None:
        drawn = [part("Coverage by hour (UTC)", figure(_map(c, _coverage_class, True)) + key(_COVERED))]
    if most:
        steps = [math.ceil(most ** (n / 5)) for n in range(6)]
        legend = [("none", "none")] + [(f"l{n}", f"to {steps[n]:,}") for n in range(1, 6) if steps[n] > steps[n - 1] or n == 1]
        drawn.append(part("Liquidations by hour (UTC)", figure(_map(c, lambda h: _heat_class(h.get("liquidations", 0), most), False)) + key(legend)))
    return section(_name(c), badges(marks) + sub(text) + maps(drawn) + _streams(c))


def apart_text(c: dict[str, Any]) -> str:
    """Forced closings outside the book, in words; '' if there are none."""
    return f"Kept apart, in no tape and no cascade: {c['kinds'][NAME]['rows']:,} {NAME}. " if NAME in c["kinds"] else ""


def _streams(c: dict[str, Any]) -> Markup:
    """A row a stream."""
    rows = []
    for name, found in c["streams"].items():
        longest = max(found["gaps"], key=lambda g: g[1] - g[0], default=None)
        rows.append(
            (
                name.replace("_", " "),
                f"{found['rows']:,}",
                when(found["first"]),
                when(found["last"]),
                f"{found['covered_hours']:,.1f}" if found["judged"] else "not judged",
                str(found["gap_count"]) if found["judged"] else "–",
                f"{duration(longest[1] - longest[0])} from {when(longest[0])}" if longest else "–",
            )
        )
    columns = ("|stream", ">rows", "|first (UTC)", "|last", ">held h", ">silences", "|longest silence")
    return part("Streams", table(columns, rows)) if rows else Markup()


def _coverage_class(hour: dict[str, Any]) -> str:
    share = hour["held"] if "held" in hour else hour["covered"]
    if share <= 0.0:
        return "none"
    return "c1" if share < 0.5 else "c2" if share < 0.95 else "c3" if share < 0.999 else "c4"


def _heat_class(count: int, most: int) -> str:
    return "none" if count == 0 else f"l{min(5, max(1, math.ceil(5 * math.log(count) / math.log(most)))) if most > 1 else 5}"


def _map(c: dict[str, Any], class_of: Any, titled: bool, stream: str = "") -> str:
    """Hours by days; days run down where they are few and to the right where they are many. stream: when it held, '' = anything."""
    first, last = day_number(c["days"][0]), day_number(c["days"][-1])
    count = last - first + 1
    across = count > TALL_DAYS
    width, height = (max(3, min(12, 1130 // count)), 8) if across else (18, 12 if count > 12 else 16)
    left, top = (34, 4) if across else (74, 16)
    cells, labels = [], []
    for n in range(count):
        day = day_text(first + n)
        shares = c["stream_hours"].get(day, {}).get(stream, [0.0] * 24)
        for hour, found in enumerate(c["hours"].get(day) or [{"covered": 0.0}] * 24):
            found = found | {"held": shares[hour]} if stream else found
            x, y = (n, hour) if across else (hour, n)
            title = f"<title>{escape(_hour_title(day, hour, found))}</title>" if titled else ""
            cells.append(
                f'<rect class="{class_of(found)}" x="{left + x * width}" y="{top + y * height}" width="{width - 1}" height="{height - 1}">'
                f"{title}</rect>"
            )
        every = max(1, math.ceil(count * width / 1130 * count / 14)) if across else 1
        if across and n % every == 0:
            labels.append(f'<text x="{left + n * width}" y="{top + 24 * height + 11}">{day[5:]}</text>')
        elif not across:
            labels.append(f'<text x="{left - 6}" y="{top + n * height + height - 4}" text-anchor="end">{day}</text>')
    for hour in range(0, 24, 6 if across else 3):
        labels.append(
            f'<text x="{left - 6}" y="{top + hour * height + 8}" text-anchor="end">{hour:02}:00</text>'
            if across
            else f'<text x="{left + hour * width}" y="{top - 5}">{hour:02}</text>'
        )
    w, h = (left + count * width + 30, top + 24 * height + 14) if across else (left + 24 * width, top + count * height)
    fits = "" if across else ' class="fit"'
    return f'<svg{fits} width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">{"".join(cells)}{"".join(labels)}</svg>'


def _hour_title(day: str, hour: int, found: dict[str, Any]) -> str:
    rows = ", ".join(f"{n:,} {kind}" for kind, n in found.items() if kind not in ("covered", "held"))
    share = f"held for {found['held'] * 100:.1f} %" if "held" in found else f"{found['covered'] * 100:.1f} % covered"
    return f"{day} {hour:02}:00: {share}" + (f", {rows}" if rows else "")


def longest_gaps(contracts: list[dict[str, Any]]) -> list[tuple[int, str, dict[str, Any]]]:
    """(length, whose, gap), longest first; those of all contracts of a venue once."""
    found: dict[tuple[str, int, int], tuple[int, str, dict[str, Any]]] = {}
    for c in contracts:
        listed = [(gap["from"], gap["to"]) for gap in c["gaps"]]
        alone = [
            {"from": a, "to": b, "what": "no quote"}
            for a, b in c["streams"].get("quotes", {"gaps": ()})["gaps"]
            if not any(low <= b and high >= b for low, high in listed)
        ]
        for gap in [*c["gaps"], *alone]:
            name = c["venue"] if gap["what"].endswith("all contracts") else _name(c)
            found[name, gap["from"], gap["to"]] = gap["to"] - gap["from"], name, gap
    return sorted(found.values(), key=lambda g: (-g[0], g[2]["from"], g[1]))


def _gaps(contracts: list[dict[str, Any]]) -> Markup:
    gaps = longest_gaps(contracts)
    if not gaps:
        return section("Gaps", muted("None."))
    rows = [(name, when(g["from"]), when(g["to"]), duration(length), g["what"]) for length, name, g in gaps[:GAPS_MAX]]
    return section(
        "Gaps",
        table(("|contract", "|from (UTC)", "|to", ">length", "~what"), rows, tall=True),
        f"The longest {len(rows)} of {len(gaps)}." if len(gaps) > len(rows) else "Longest first.",
    )


REMARKS = "Rows that were refused, changed, or kept with a remark"
KEPT = ("kept", "sorted")  # so begins what a file says of rows that are in the store


def remarks(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(where, rows, why) of files, when they were imported, and of contracts, whenever their rows are loaded: those stay in the store."""
    rows = [("files", f"{n:,}", reason) for reason, n in report["refused_rows"].items() if n]
    if report["duplicates"]:
        rows.append(("files", f"{report['duplicates']:,}", "duplicates of rows from another file"))
    for c in report["contracts"]:
        for what, text in (("refused", "in the store, refused at loading: "), ("rounded", "in the store, rounded to the grid at loading: ")):
            rows += [(_name(c), f"{n:,}", text + reason) for reason, n in c["loading"][what].items()]
    return rows


def _refused(report: dict[str, Any]) -> Markup:
    rows = remarks(report)
    return section(REMARKS, table(("|where", ">rows", "~why"), rows) if rows else muted("None."))


def _sources(report: dict[str, Any]) -> Markup:
    rows = [
        (
            Path(s["name"]).name,
            s["format"],
            f"{s['rows']:,}",
            f"{s['duplicates']:,}",
            *(when(s[end]) if s["rows"] else "–" for end in ("first", "last")),
            s["received"],
            muted(s["fingerprint"][:12]),
            "; ".join(s["notes"]),
        )
        for s in report["sources"][:SOURCES_MAX]
    ]
    more = f"The first {len(rows)} of {len(report['sources'])}." if len(report["sources"]) > len(rows) else ""
    columns = ("~file", "|format", ">rows", ">duplicates", "|first (UTC)", "|last", "|ts_recv", "|fingerprint", "~notes")
    return section("Files", table(columns, rows, tall=True), more)


def duration(ns: int) -> str:
    seconds = ns / 1e9
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _compact(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:,.0f}"
