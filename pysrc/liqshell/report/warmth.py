"""The learnt state of a live run at its start and end: as numbers, as a section of the page, as a sentence."""

from typing import Any

from markupsafe import Markup

from liqshell.pages import bold, empty, section, table
from liqshell.report.run import Run
from liqshell.report.text import NONE, seconds, when


def summarise(run: Run) -> dict[str, Any] | None:
    """Of run.json; None where the run kept nothing (backtests, demos). began: warm or cold. contracts: liquidations that each cascade detector had
    seen at the start and at the end, of those wanted before any can be large, and since when its threshold is known."""
    warm = run.table("warm")
    if not warm:
        return None
    start = {(row["contract"], row["detector"]): row for row in warm.get("contracts") or ()}
    rows = [
        {
            "contract": row["contract"],
            "detector": row["detector"],
            "seen_start": start.get((row["contract"], row["detector"]), {}).get("seen", 0),
            "seen_end": row["seen"],
            "wanted": row["wanted"],
            "known_ns": row["known_ns"],
        }
        for row in warm.get("ended") or ()
    ]
    holes = warm.get("holes") or []
    return {
        "began": warm.get("began", "cold"),
        "from": warm.get("from", []),
        "refused": warm.get("refused", []),
        "notes": warm.get("notes", []),
        "since_ns": warm.get("since_ns"),
        "until_ns": warm.get("until_ns"),
        "holes": len(holes),
        "missing_s": sum(b - a for a, b in holes) / 1e9,
        "contracts": rows,
    }


def sentence(s: dict[str, Any]) -> str:
    """How the run began, "" if unknown."""
    w = s["warm"]
    if not w:
        return ""
    if w["began"] == "cold":
        return "The run began cold: it used no learnt state" + (f" ({len(w['refused'])} refused)" if w["refused"] else "") + "."
    ready = sum(row["seen_start"] >= row["wanted"] for row in w["contracts"])
    of = f"; {ready} of {len(w['contracts'])} thresholds were known" if w["contracts"] else ""
    return f"The run began warm, with what was learnt from {when(w['since_ns'])} to {when(w['until_ns'])} UTC{of}."


def page(s: dict[str, Any]) -> Markup:
    """The section; empty if unknown."""
    w = s["warm"]
    if not w:
        return Markup()
    rows = [
        (
            bold(r["contract"]),
            r["detector"],
            f"{r['seen_start']:,}",
            f"{r['seen_end']:,}",
            f"{r['wanted']:,}",
            when(r["known_ns"]) if r["known_ns"] else NONE,
        )
        for r in w["contracts"]
    ]
    body = (
        table(("contract", "detector", ">seen at the start", ">at the end", ">wanted", "threshold known since (UTC)"), rows)
        if rows
        else empty("No detector of this run has a warm-up.")
    )
    warm = [("learnt from", one) for one in w["from"]] + [("not used", one) for one in w["refused"]] + [("note", one) for one in w["notes"]]
    if warm:
        body += table(("", ""), [(a, b) for a, b in warm])
    missing = f" Spans without data in between: {w['holes']}, {seconds(w['missing_s'])}." if w["holes"] else ""
    return section("What was learnt before", body, sentence(s) + missing, "warm")
