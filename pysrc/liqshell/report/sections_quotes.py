"""Sections of the page about what a result owes to live quotes: what must be said first, which rule filled the orders, and each stream by itself."""

from typing import Any

from liqshell.report.elements import count, esc, muted, notice, section, table
from liqshell.report.quotes import ENOUGH
from liqshell.report.text import NONE, compact, number, percent, seconds

SHOWN_OPEN = 12                      # rows of the table of streams; a longer one is folded


def label(s: dict[str, Any]) -> str:
    """In two words, for the top of page and terminal; '' where quotes cover a backtest's traded time."""
    q = s["quotes"]
    if s["mode"] != "backtest" or q["enough"] or q["quoted"] is None:
        return ""
    if q["quoted"] >= ENOUGH:
        return f"NO QUOTE AT {percent(q['fills']['without_quote']['share'], 0)} OF THE FILLS."
    return f"QUOTES COVER {percent(q['quoted'], 0)}." if any(p["quotes"] for p in s["data"]["parts"]) else "NO QUOTES."


def head(s: dict[str, Any]) -> str:
    """The notice above everything else."""
    return notice(label(s), " ".join(s["quotes"]["told"]) + " No tick is given below.") if label(s) else ""


def fills(s: dict[str, Any]) -> str:
    """Which rule made the price of what share of the fills."""
    found = s["quotes"]["fills"]
    if not found["n"]:
        return ""

    def cell(share: dict[str, Any]) -> str:
        return f"{share['k']:,} {muted(percent(share['share'], 0))}" if share["n"] else NONE

    shown = [r for r in found["rules"] if found["modelled"] or r["rule"] in ("maker", "quote")]
    names = {r["rule"]: (r["name"], r["meaning"]) for r in shown}
    if not found["modelled"]:
        names["quote"] = ("taker", "as the venue executed it")
    rows = [(f"<b>{esc(names[r['rule']][0])}</b>", cell(r["entry"]), cell(r["exit"]), cell(r["all"]), compact(r["notional"]),
             f'<div class="words muted">{esc(names[r["rule"]][1])}</div>') for r in shown]
    told = [line for line in s["quotes"]["told"] if "met no live quote" in line]
    return section("At which prices orders filled", table(("", ">entries", ">exits", ">all fills", ">notional", ""), rows), anchor="fills",
                   verdict=" ".join(told))


def streams(s: dict[str, Any]) -> str:
    """Each stream of each contract by itself, with its silences; nothing where that was not measured."""
    rows = []
    for p in s["data"]["parts"]:
        for name, one in (p["streams"] or {}).items():
            held = (number(one["covered_hours"], 1), percent(one["share"], 1), f"{one['silences']:,}",
                    seconds(one["longest_s"]) if one["silences"] else NONE) if one["judged"] else (NONE, muted("rare by nature"), NONE, NONE)
            rows.append((f"<b>{esc(p['symbol'])}</b>" if name == "trades" else "", esc(name.replace("_", " ")), count(one["rows"]), *held))
    if not rows:
        return ""
    body = table(("symbol", "stream", ">rows", ">held, h", ">of the time", ">silences", ">longest"), rows, tall=len(rows) > SHOWN_OPEN)
    sub = muted("Held: a row vouches for a trade stream for a minute, for a best bid and ask as long as the engine trades against it, for marks a "
                "minute, for funding and open interest a quarter of an hour; not while the feed was down. Silences: of a minute and more.")
    return f"<h3>Streams</h3><p class='sub'>{sub}</p>{body}"


def told(s: dict[str, Any]) -> str:
    """What must be said of the quotes, as a list."""
    lines = s["quotes"]["told"]
    return "<ul class='plain'>" + "".join(f"<li>{esc(line)}</li>" for line in lines) + "</ul>" if lines else ""


__all__ = ["fills", "head", "label", "streams", "told"]
