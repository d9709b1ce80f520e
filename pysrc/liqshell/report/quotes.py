"""The quotes behind a result: the share of the traded time with live quotes, the rule that priced each fill, and the entries lost without quotes.

A result shows a taker's real price only where quotes give the spread. So no answer about a backtest is given a tick where they cover less than
`ENOUGH` of the traded time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from liqcore import AuditKind, Reason, Role
from liqcore.event import FillFlag
from liqshell.recording.streams import SHORT
from liqshell.report.coverage import share
from liqshell.report.labels import RULES
from liqshell.report.results import is_maker, notionals, total
from liqshell.report.run import Run
from liqshell.report.stories import Ledger
from liqshell.report.text import percent, plural

ENOUGH = 0.95  # of the traded time; of the fills of a result that may be called a gain


def fills(run: Run, ledger: Ledger) -> dict[str, Any]:
    """Which rule filled what share of the fills, of entries, exits and all. without_quote: fills at a print because no quote held. modelled: whether
    a simulated venue chose the rule; of an account's fills it is known only whether the order rested."""
    found, rows = ledger.fill_rows, []
    entry, maker, flags = found["role"] == Role.ROLE_ENTRY, is_maker(found), found["flags"]
    printed = flags & FillFlag.FILL_PRINT != 0
    moved = ~printed & (flags & FillFlag.FILL_MOVED != 0)
    by = {"maker": maker, "print": ~maker & printed, "moved": ~maker & moved, "quote": ~maker & ~printed & ~moved}
    for rule, (name, meaning) in RULES.items():
        rows.append(
            {
                "rule": rule,
                "name": name,
                "meaning": meaning,
                "all": share(int(by[rule].sum()), len(found)),
                "notional": total(notionals(run, ledger, found[by[rule]])),
                **{leg: share(int((by[rule] & of).sum()), int(of.sum())) for leg, of in (("entry", entry), ("exit", ~entry))},
            }
        )
    return {
        "n": len(found),
        "rules": rows,
        "without_quote": share(int((by["print"] | by["moved"]).sum()), len(found)),
        "modelled": run.table("settings").get("venue", "simulated") == "simulated",
    }


def refused(run: Run) -> dict[str, Any]:
    """Entries that risk was asked for and refused because the last quote had ended, of all that it was asked for."""
    verdicts = run.of_kind(AuditKind.AUDIT_RISK)["reason"]
    return share(int((verdicts == Reason.QUOTE_ENDED).sum()), len(verdicts))


def coverage(parts: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of the traded time in which a quote held, over all contracts that traded; None where it was not measured."""
    known = [p for p in parts if p["quoted"] is not None]
    hours = math.fsum(p["traded_hours"] for p in known)
    if not known or any(p["quoted"] is None and p["traded_hours"] for p in parts):
        return None
    return math.fsum(p["quoted"] * p["traded_hours"] for p in known) / hours if hours > 0 else 0.0


def cover(quoted: float) -> str:
    """The warning at the top of every page if quotes cover too little."""
    return f"QUOTES COVER {percent(quoted)}."


def by_contract(parts: Sequence[Mapping[str, Any]]) -> str:
    """The contracts of several in which quotes are short, each with its own share; '' of one alone."""
    weak = [f"{p['symbol']} {percent(p['quoted'])}" for p in parts if p["quoted"] is not None and p["quoted"] < 1.0 - SHORT]
    return ", ".join(weak[:6]) + (" and more" if len(weak) > 6 else "") if len(parts) > 1 else ""


def summarise(run: Run, ledger: Ledger, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The key `quotes` of report.json. enough: whether they allow a tick; weakness: why not, or "". told: warnings about them, as sentences, the
    worst first."""
    quoted, filled = coverage(parts), fills(run, ledger)
    weak = weakness(quoted, filled["without_quote"])
    found: dict[str, Any] = {"quoted": quoted, "refused": refused(run), "fills": filled}
    return found | {"enough": not weak, "weakness": weak, "told": sentences(found, parts)}


def unquoted(part: Mapping[str, Any]) -> bool:
    """It traded, and had no quote. A run that is live counts when quotes held, and not how many there were."""
    return part["quoted"] is not None and not (part["quoted"] if part["quotes"] is None else part["quotes"])


def sentences(found: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """[] where quotes held whenever there were trades, and every taker met one."""
    out, quoted = [], found["quoted"]
    none = [p["symbol"] for p in parts if unquoted(p)]
    if quoted is not None and quoted < 1.0 - SHORT:
        if len(none) == len(parts):
            out.append("The data have trades and no quotes. The spread that a taker pays is an estimate, so no result here can show a profit.")
        else:
            of_each = f" ({sentences})" if (sentences := by_contract(parts)) else ""
            out.append(f"Quotes are live for {percent(quoted)} of the traded time{of_each}.")
    out += [f"{sentence}." for p in parts for sentence in p["said"]][:6]
    bare, no = found["fills"]["without_quote"], found["refused"]
    if bare["k"]:
        out.append(
            f"{percent(bare['share'], 0 if bare['share'] >= 0.01 else 1)} of {plural(bare['n'], 'fill')} had no live quote: "
            + ", ".join(f"{r['all']['k']:,} at the {r['name']}" for r in found["fills"]["rules"] if r["rule"] in ("print", "moved"))
            + "."
        )
    if no["k"]:
        out.append(
            f"{no['k']:,} of {plural(no['n'], 'entry', 'entries')} wanted ({percent(no['share'], 0)}) were refused because the last quote had ended."
        )
    return out


def weakness(quoted: float | None, bare: Mapping[str, Any]) -> str:
    """Why no tick is given, '' where one may be. bare: fills that had no live quote; few moments without quotes may be the very ones traded in."""
    if quoted is None:
        return "the share of time with live quotes was not measured"
    if quoted < ENOUGH:
        return f"quotes are live for {percent(quoted)} of the traded time, {percent(ENOUGH, 0)} are needed"
    if bare["k"] > (1.0 - ENOUGH) * bare["n"]:
        return f"{bare['k']:,} of {plural(bare['n'], 'fill')} had no live quote, at most {percent(1.0 - ENOUGH, 0)} may"
    return ""
