"""Why a policy declined: the conditions that were not met, with the values found and the values required."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from liqcore import AuditKind, Phase, Reason, Side
from liqcore.audit import DECLINED_DTYPE, declined
from liqshell.policies.ruled import LEAVE, PHASE_IS, SIDE_IS
from liqshell.report.run import Run

ENUMS: dict[str, type[Phase] | type[Side]] = {PHASE_IS: Phase, SIDE_IS: Side}  # conditions whose numbers have names
REASONS = (int(Reason.NO_TRADE), int(Reason.ASK_LATER))
#: words of recorded conditions, which must stay as they are for replays -> words of reports
WORDS = {"own wishes out": "own open intents", "crowd's funding": "funding of the liquidated side"}


def named(run: Run) -> np.ndarray:
    """The answers of a policy without an entry, or without one yet, that name a condition."""
    at = np.flatnonzero(run.kinds == AuditKind.AUDIT_POLICY)
    found = run.audit[at[np.isin(run.audit["reason"][at], REASONS)]].view(DECLINED_DTYPE)
    return found[found["condition"] != b""]


def aside(condition: str) -> bool:
    """Whether the policy was asked at no moment to enter: it says nothing about the market."""
    return condition.startswith((PHASE_IS, LEAVE))


def aside_names(conditions: np.ndarray) -> np.ndarray:
    """Which of them are such a condition."""
    out: np.ndarray = np.char.startswith(conditions, PHASE_IS.encode()) | np.char.startswith(conditions, LEAVE.encode())
    return out


def sentence(condition: str, value: float, threshold: float) -> str:
    """One answer in words, such as 'score at least 7: it was 6.21'."""
    return f"{_asked(condition, threshold)}: {'it was not known' if math.isnan(value) else f'it was {_number(condition, value)}'}"


def _asked(condition: str, threshold: float) -> str:
    shown = condition
    for recorded, words in WORDS.items():
        shown = shown.replace(recorded, words)
    return shown if math.isnan(threshold) else f"{shown} {_number(condition, threshold)}"


def _number(condition: str, value: float, digits: int = 6) -> str:
    """A value of a condition: its name where it has one."""
    enum = ENUMS.get(condition.removeprefix(LEAVE))
    return enum(int(value)).name if enum is not None and value in list(enum) else f"{value:.{digits}g}"


def unmet(run: Run) -> list[dict[str, Any]]:
    """Each condition that kept a policy from an entry, the most frequent first; after them those of times at which it was not to enter.

    n: questions; later: of these, how often it put its answer off; condition, policy: their names; threshold: nan where it was not always the same
    (or there is none); low, median, high: of the values found, nan where none was known; unknown: how often it was not.
    """
    rows = named(run)
    policies = run.table("settings").get("policies")
    rules = [str(policy["rule"]).rpartition(":")[2] for policy in policies] if isinstance(policies, list) else []
    keys = np.empty(len(rows), [("condition", "S32"), ("policy", "<i4")])
    keys["condition"], keys["policy"] = rows["condition"], rows["policy"]
    kinds, first, which = np.unique(keys, return_index=True, return_inverse=True)
    out = []
    for k in range(len(kinds)):
        mine = rows[which == k]
        found = declined(rows[first[k]])
        assert found is not None
        place, known = int(mine["policy"][0]), mine["value"][~np.isnan(mine["value"])]
        threshold = float(mine["threshold"][0]) if (mine["threshold"] == mine["threshold"][0]).all() else math.nan
        low, median, high = (float(v) for v in np.quantile(known, (0.0, 0.5, 1.0))) if len(known) else (math.nan,) * 3
        out.append(
            {
                "policy": rules[place - 1] if place <= len(rules) else "policy",
                "condition": found[0],
                "threshold": threshold,
                "n": len(mine),
                "later": int((mine["reason"] == Reason.ASK_LATER).sum()),
                "low": low,
                "median": median,
                "high": high,
                "unknown": len(mine) - len(known),
            }
        )
    return sorted(out, key=lambda row: (aside(row["condition"]), -row["n"]))


def reasons(run: Run) -> list[dict[str, Any]]:
    """The same as rows of `why_not`."""
    found, out = unmet(run), []
    several = len({row["policy"] for row in found}) > 1
    for row in found:
        asked = _asked(row["condition"], row["threshold"])
        low, middle, high = (_number(row["condition"], row[name], 4) for name in ("low", "median", "high"))
        was = "" if math.isnan(row["median"]) else f"it was {low} to {high}, median {middle}" if low != high else f"it was {low}"
        unknown = f"not known {row['unknown']:,} times" if row["unknown"] else ""
        later = f"{row['later']:,} times it was asked again later" if row["later"] else ""
        out.append(
            {
                "reason": f"{row['policy']}: {asked}" if several else asked,
                "n": row["n"],
                "asked": True,
                "share": None,
                "meaning": "the policy's condition was not met: " + "; ".join(filter(None, (was, unknown, later))),
                "condition": {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()},
            }
        )
    return out
