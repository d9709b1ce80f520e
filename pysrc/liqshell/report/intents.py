"""Intents that gave way to another one, each with the one that won: netted, weaker, refused because a trade was open, or replacing one."""

from typing import Any

import numpy as np
from markupsafe import Markup

from liqcore import AuditKind
from liqcore.audit import GAVE_WAY, GAVE_WAY_DTYPE
from liqshell.pages import section, table
from liqshell.report.labels import position, reason
from liqshell.report.run import Run
from liqshell.report.text import when

SHOWN = 50


def gave_way(run: Run) -> list[dict[str, Any]]:
    """One row for each intent, in order: sequence (of its AUDIT_RISK record), ts, symbol, side, reason, and what won (REPLACING: what
    it takes the place of): won ("wish" or "trade"), won_rule,
    won_confidence, won_side (0 = not known), won_sequence (of its AUDIT_POLICY record, or of the bracket on the contract)."""
    asked = run.of_kind(AuditKind.AUDIT_RISK)
    answers = run.of_kind(AuditKind.AUDIT_POLICY)
    rules = [policy.get("rule", "") for policy in run.table("settings").get("policies") or []]
    out = []
    for row in asked[np.isin(asked["reason"], list(GAVE_WAY))].view(GAVE_WAY_DTYPE):
        intent, bracket, place = row["other_wish"], row["other_bracket"], int(row["other_policy"])
        if not intent and not bracket:
            continue  # of a run from before the winner was written down
        at = int(np.searchsorted(answers["seq"], intent)) if intent else len(answers)
        known = at < len(answers) and answers["seq"][at] == intent
        out.append(
            {
                "sequence": int(row["seq"]),
                "ts": int(row["ts"]),
                "symbol": run.symbols[row["instrument"]],
                "side": position(row["side"]),
                "reason": reason(int(row["reason"])),
                "won": "wish" if intent else "trade",
                "won_rule": rules[place - 1] if place <= len(rules) else "",
                "won_confidence": int(row["other_confidence"]),
                "won_side": position(answers["side"][at]) if known else "",
                "won_sequence": int(intent or bracket),
            }
        )
    return out


def winner(row: dict[str, Any]) -> str:
    """Which one won, in words."""
    what = f"intent {row['won_sequence']}" if row["won"] == "wish" else f"open trade {row['won_sequence']}"
    by = f" of {row['won_rule']}" if row["won_rule"] else ""
    return f"the {row['won_side']}{' ' if row['won_side'] else ''}{what}{by}, confidence {row['won_confidence']}"


def html(s: dict[str, Any]) -> Markup:
    """A section of the page, "" where no intent gave way."""
    rows = s["gave_way"]
    if not rows:
        return Markup()
    shown = [(when(row["ts"]), row["symbol"], row["side"], row["reason"], winner(row)) for row in rows[:SHOWN]]
    more = f" The first {SHOWN} of {len(rows):,}; all are in report.json." if len(rows) > SHOWN else ""
    return section(
        "Intents that gave way",
        table(("time", "contract", "intent", "why", "what won"), shown),
        f"An intent is named by its number in the audit stream, an open trade by its number on the contract.{more}",
        "wishes",
    )
