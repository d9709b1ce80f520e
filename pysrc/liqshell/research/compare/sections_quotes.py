"""Sections of the comparison about live quotes: the warnings, the rule that priced each preset's fills, and the data of each contract."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from liqshell.pages import bold, empty, lines, muted, section, sub, table
from liqshell.report.quotes import ENOUGH, cover
from liqshell.report.text import NONE, count, number, percent, seconds


def head(s: dict[str, Any]) -> list[tuple[str, str]]:
    """The notice above everything else; none where quotes cover the traded time."""
    if s["quoted"] is not None and s["quoted"] >= ENOUGH:
        return []
    said = " ".join(f"{line}." for c in s["contracts"] for line in c["said"][:1])
    if len(s["without_quotes"]) == len(s["symbols"]):
        return [
            (
                "NO QUOTES.",
                "The data have trades and no quotes. The spread that a taker pays is an estimate (see the data), so no result here "
                "can show a profit.",
            )
        ]
    return [
        (
            cover(s["quoted"]),
            f"Of the traded time, where {percent(ENOUGH, 0)} are needed. Elsewhere entries are refused and takers fill at "
            f"prints, so no result here can show a profit. {said}",
        )
    ]


def fills(s: dict[str, Any]) -> Markup:
    """Which rule made the price of what share of each preset's fills."""
    rows = []
    for r in s["presets"]:
        if not r["fills"]["n"]:
            continue
        refused = r["refused_quote_ended"]
        for leg, name in (("entry", "entries"), ("exit", "exits")):
            first = leg == "entry"
            rows.append(
                (
                    bold(r["preset"], "nowrap") if first else "",
                    name,
                    f"{r['fills']['rules'][0][leg]['n']:,}",
                    *(percent(rule[leg]["share"], 0) if rule[leg]["n"] else NONE for rule in r["fills"]["rules"]),
                    (f"{refused['k']:,} " + muted(percent(refused["share"], 0)) if refused["k"] else "0") if first else "",
                )
            )
    if not rows:
        return section("At which prices orders filled", empty("No order was filled."))
    names = [rule["name"] for rule in s["presets"][0]["fills"]["rules"]]
    columns = ("preset", "", ">fills", *(">" + name for name in names), ">refused: quote had ended")
    meanings = "; ".join(f"{rule['name']}: {rule['meaning']}" for rule in s["presets"][0]["fills"]["rules"])
    return section("At which prices orders filled", table(columns, rows), f"Shares of the fills of entries and of exits. {meanings}.", "fills")


def contracts(s: dict[str, Any]) -> Markup:
    """The quote coverage of each contract, and what its takers pay without a live quote."""
    spreads = {one["symbol"]: one for one in s["half_spread"]}
    rows = []
    for c in s["contracts"]:
        one, quotes = spreads.get(c["symbol"]), c["streams"]["quotes"]
        rows.append(
            (
                bold(c["symbol"]),
                c["completeness"],
                count(c["trades"]),
                count(c["quotes"]),
                count(c["liquidations"]),
                number(c["covered_hours"], 1),
                number(c["traded_hours"], 1),
                percent(c["quoted"]),
                f"{quotes['silences']:,}",
                seconds(quotes["longest_s"]) if quotes["silences"] else NONE,
                number(one["bps"], 2) if one and one["bps"] is not None else NONE,
                one["source"] if one else NONE,
            )
        )
    columns = (
        "symbol",
        "liquidations are",
        ">trades",
        ">quotes",
        ">liquidations",
        ">covered h",
        ">traded h",
        ">quotes held",
        ">silences of quotes",
        ">longest",
        ">half-spread, bps",
        "from",
    )
    body = table(columns, rows) + lines(f"{one['symbol']}: half-spread: {one['told']}" for one in s["half_spread"][:20])
    body += Markup().join(sub(bold("WARNING") + f" {one['warning']}") for one in s["half_spread"] if one["warning"])
    return section(
        "Data",
        body,
        "Quotes live: share of the traded time (a minute after each trade), by the engine's rule for a best bid and ask. "
        "Half-spread: what a taker pays without a live quote.",
        "data",
    )
