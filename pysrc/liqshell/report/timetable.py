"""The entries that [hours] and [blackout] of a run refused, and the result of the same run without them."""

from collections import Counter
from typing import Any

import numpy as np
from markupsafe import Markup

from liqcore import AuditKind, Gate, Reason
from liqshell.config.timetable import describe_hours
from liqshell.pages import paragraphs, section
from liqshell.report.run import Run
from liqshell.report.study import Study
from liqshell.report.text import money, number, plural


def summarise(run: Run, study: Study) -> dict[str, Any] | None:
    """None where the run had no timetable. refused: entries that were wanted, by gate; by_reason: of the blackout, by the window's reason; open and
    without: trades, net and mean of the run and of the same one without a timetable (None where it was not made)."""
    values = run.table("settings").get("timetable")
    if not isinstance(values, dict) or not values:
        return None
    asked = run.of_kind(AuditKind.AUDIT_RISK)
    shut = asked[asked["reason"] == Reason.NOT_READY]
    blackout = shut[shut["limit"] == Gate.GATE_BLACKOUT]
    reasons: Counter[str] = Counter()
    for row in blackout:
        reasons[
            next(
                (
                    window[3] or "no reason given"
                    for window in values.get("windows", [])
                    if window[0] <= row["ts"] < window[1] and window[2] in (-1, row["instrument"])
                ),
                "no reason given",
            )
        ] += 1
    return {
        "said": describe_hours(values),
        "asked": len(asked),
        "hours": int(np.sum(shut["limit"] == Gate.GATE_HOURS)),
        "blackout": len(blackout),
        "by_reason": dict(reasons.most_common()),
        "without": study.get("without_timetable"),
    }


def sentences(s: dict[str, Any]) -> list[str]:
    """The same in sentences; [] where the run had no timetable."""
    found = s["timetable"]
    if found is None:
        return []
    why = ", ".join(f"{reason} ({n})" for reason, n in list(found["by_reason"].items())[:5])
    out = [
        f"{found['said'][0].upper()}{found['said'][1:]}. Of {plural(found['asked'], 'entry', 'entries')} wanted, {found['hours']:,} were refused "
        f"by [hours] and {found['blackout']:,} by [blackout]" + (f": {why}." if why else ".")
    ]
    other, money_now, t = found["without"], s["money"], s["per_trade"]
    if other is not None:
        each = f", {number(other['mean_bps'], 1, True)} bps of notional" if other["mean_bps"] is not None else ""
        out.append(
            f"The same run without them: {plural(other['trades'], 'closed trade')}, net {money(other['net'], True)}{each}; with them: "
            f"{t['n']:,}, net {money(money_now['net'], True)}. Hours chosen by this difference are fitted to the data; `liqcore forward` "
            "chooses them on one span and tests them on the next."
        )
    return out


def html(s: dict[str, Any]) -> Markup:
    """A section of the page, "" where there is nothing to say."""
    lines = sentences(s)
    return (
        section("Hours and blackouts", paragraphs(lines), "They stop entries only. Exits of open positions continue.", "timetable")
        if lines
        else Markup()
    )
