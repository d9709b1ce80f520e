"""The grade of the evidence for each traded contract: that of its preset, or "verified", which only `liqcore verify` gives.

    rows = contracts_of(config, values)             # one a contract of the run, for run.json: preset, rule, grade, evidence, numbers
    names, grade, evidence = together(rows)         # the same in one line, the worst grade first

A verification is of a preset's exact numbers on one contract. It is in [run] out / verified.json; it does not count for other numbers.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liqshell import private
from liqshell.config.load import Config
from liqshell.errors import DataError

VERIFIED_FILE = "verified.json"
CLAIMED, CONTRADICTED, VERIFIED = "claimed", "contradicted", "verified"
WORST_FIRST = (CONTRADICTED, CLAIMED, VERIFIED)
OWN = "your own policy: this report is its only evidence"
Key = tuple[str, str, str]  # digest of the numbers, venue, symbol


def numbers_of(values: Mapping[str, Any], symbol: str) -> str:
    """A digest of everything that decides what is done on a contract, but for the money: rule, its parameters, bracket, detectors, hours."""
    mine = [spec for spec in values["policies"] if symbol in spec["symbols"]]
    bracket = {key: value for key, value in values["brackets"][symbol].items() if key not in ("notional", "equity_share")}
    # the inputs: another contract's detector changes nothing here, but cannot be distinguished from one that does
    spec = [
        [one["rule"] for one in mine],
        [one["parameters"].get(symbol) for one in mine],
        bracket,
        values["cascade"],
        values["detectors"],
        values.get("rule_sha256"),
        {key: values.get("timetable", {}).get(key) for key in ("hours", "weekdays")},
    ]
    return hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()


def contracts_of(config: Config, values: Mapping[str, Any]) -> list[dict[str, str]]:
    """run.json's "contracts": of each instrument of settings `values`, in their order: symbol, venue, preset, rule, grade, evidence, numbers. The
    last five are "" where it is watched only."""
    known = verified(config.run.out)
    watched = {n for one in values.get("feeds") or [] if one.get("watched") for n in range(one["first"], one["first"] + one["count"])}
    out = []
    for n, spec in enumerate(values["instruments"]):
        symbol, venue = spec["symbol"], spec.get("venue", "")
        row = {"symbol": symbol, "venue": venue, "preset": "", "rule": "", "grade": "", "evidence": "", "numbers": ""}
        if n not in watched and any(symbol in one["symbols"] for one in values["policies"]):
            preset, numbers = config.preset_of(symbol), numbers_of(values, symbol)
            found = known.get((numbers, venue, symbol))
            row |= {
                "rule": config.rule_for(symbol),
                "numbers": numbers,
                "grade": VERIFIED if found else preset.grade,
                "preset": preset.name,
                "evidence": preset.evidence.strip(),
            }
            if config.policy.rule:
                row |= {"preset": config.policy.rule, "grade": VERIFIED if found else CLAIMED, "evidence": OWN}
            if found:
                row["evidence"] = f"{describe(found)} Before that: {row['evidence']}"
        out.append(row)
    return out


def together(contracts: Sequence[Mapping[str, str]]) -> tuple[str, str, str]:
    """(presets, grade, evidence) of a run: the names joined by '+'; the worst grade; what speaks for it, preset by preset."""
    rows = list({(row["preset"], row["grade"]): row for row in contracts if row["preset"]}.values())
    if not rows:
        return "", CLAIMED, f"{CLAIMED}: no trades"
    rows.sort(key=lambda row: WORST_FIRST.index(row["grade"]))
    names = "+".join(dict.fromkeys(row["preset"] for row in contracts if row["preset"]))
    if len(rows) == 1:
        return names, rows[0]["grade"], f"{rows[0]['grade']}: {rows[0]['evidence']}"
    return names, rows[0]["grade"], f"{rows[0]['grade']}: " + " ".join(f"{row['preset']} ({row['grade']}): {row['evidence']}" for row in rows)


def verified(folder: str | Path) -> dict[Key, dict[str, Any]]:
    """The verifications in a folder of runs. DataError where the file is damaged: a grade is not guessed."""
    path = Path(folder) / VERIFIED_FILE
    try:
        rows = json.loads(path.read_bytes())
        return {(row["numbers"], row["venue"], row["symbol"]): row for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as why:
        raise DataError(str(path), f"cannot be read: {why}", "what `liqcore verify` wrote", "Remove it and verify again") from None


def describe(row: Mapping[str, Any]) -> str:
    """A verification in a sentence."""
    return (
        f"Verified on {row['when']} by the backtest {row['run']} of your own recording: {row['trades']:,} trades, "
        f"{row['mean_bps']:+.1f} bps each (95 % {row['low_bps']:+.1f} to {row['high_bps']:+.1f})."
    )


def keep(folder: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Add verifications; the same numbers on the same contract again take the place of the earlier ones."""
    known = verified(folder)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    for row in rows:
        known[row["numbers"], row["venue"], row["symbol"]] = {**row, "when": today}
    path = Path(folder) / VERIFIED_FILE
    private.write(path, json.dumps(list(known.values()), indent=1, allow_nan=False) + "\n")
    return path
