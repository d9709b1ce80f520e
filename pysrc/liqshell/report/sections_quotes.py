"""Sections of the page about quotes: the warnings, the rule that priced each fill, and each stream by itself."""

from typing import Any

from markupsafe import Markup

from liqshell.pages import bold, lines, muted, part, section, sub, table
from liqshell.report.quotes import ENOUGH, cover, unquoted
from liqshell.report.text import NONE, compact, count, number, percent, seconds

SHOWN_OPEN = 12  # rows of the table of streams; a longer one is folded


def label(s: dict[str, Any]) -> str:
    """In two words, for the top of page and terminal; '' where quotes cover the traded time, and of a live run, whose fills are the venue's."""
    q = s["quotes"]
    if s["mode"] == "live" or q["enough"] or q["quoted"] is None:
        return ""
    if q["quoted"] >= ENOUGH:
        return f"NO QUOTE AT {percent(q['fills']['without_quote']['share'], 0)} OF THE FILLS."
    return cover(q["quoted"]) if not all(unquoted(p) for p in s["data"]["parts"]) else "NO QUOTES."


def fills(s: dict[str, Any]) -> Markup:
    """Which rule made the price of what share of the fills."""
    found = s["quotes"]["fills"]
    if not found["n"]:
        return Markup()

    def cell(share: dict[str, Any]) -> str:
        return f"{share['k']:,} " + muted(percent(share["share"], 0)) if share["n"] else NONE

    shown = [r for r in found["rules"] if found["modelled"] or r["rule"] in ("maker", "quote")]
    names = {r["rule"]: (r["name"], r["meaning"]) for r in shown}
    if not found["modelled"]:
        names["quote"] = ("taker", "as the venue executed it")
    rows = [
        (bold(names[r["rule"]][0]), cell(r["entry"]), cell(r["exit"]), cell(r["all"]), compact(r["notional"]), muted(names[r["rule"]][1]))
        for r in shown
    ]
    unmet = [line for line in s["quotes"]["told"] if "had no live quote" in line]
    return section(
        "At which prices orders filled",
        table(("", ">entries", ">exits", ">all fills", ">notional", "~"), rows),
        anchor="fills",
        verdict=" ".join(unmet),
    )


def streams(s: dict[str, Any]) -> Markup:
    """Each stream of each contract by itself, with its silences; nothing where that was not measured."""
    rows = []
    for p in s["data"]["parts"]:
        for name, one in (p["streams"] or {}).items():
            held = (
                (
                    number(one["covered_hours"], 1),
                    percent(one["share"], 1),
                    f"{one['silences']:,}",
                    seconds(one["longest_s"]) if one["silences"] else NONE,
                )
                if one["judged"]
                else (NONE, muted("rare by nature"), NONE, NONE)
            )
            rows.append((bold(p["symbol"]) if name == "trades" else "", name.replace("_", " "), count(one["rows"]), *held))
    if not rows:
        return Markup()
    body = table(("symbol", "stream", ">rows", ">held, h", ">of the time", ">silences", ">longest"), rows, tall=len(rows) > SHOWN_OPEN)
    note = (
        "Live: a trade or a mark counts for a minute, a best bid and ask as long as the engine trades against it, funding and open interest for "
        "15 minutes; nothing counts while the feed is down. Silences: of a minute and more."
    )
    return part("Streams", sub(note) + body)


def notes(s: dict[str, Any]) -> Markup:
    """The notes about the quotes, as a list."""
    return lines(s["quotes"]["told"]) if s["quotes"]["told"] else Markup()
