"""Whether a preset has covered its costs on the user's own recording, contract by contract: the requirements for the grade "verified"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liqshell.errors import DataError
from liqshell.recording.journal import refuse_damaged
from liqshell.report.figures import summarise
from liqshell.report.ledger import read_ledger
from liqshell.report.quotes import ENOUGH
from liqshell.report.run import load_run
from liqshell.report.statistics import FEW
from liqshell.report.study import load_study
from liqshell.report.text import percent

DEFLATED = 0.95


def assess(folder: str | Path) -> list[dict[str, Any]]:
    """One row a traded contract: numbers, venue, symbol, preset, run, data, trades, mean_bps, low_bps, high_bps, and `missing`: what speaks against
    it, in words; empty = it is verified."""
    run = load_run(folder)
    refuse_damaged(folder, run.damage, "others earn no grade")
    if run.meta.get("mode") != "backtest" or not run.meta.get("finished"):
        raise DataError(
            str(folder),
            f"a run of mode {run.meta.get('mode')!r}" if run.meta.get("mode") != "backtest" else "an unfinished backtest",
            "a finished backtest",
            "`liqcore backtest CONFIG` makes one",
        )
    contracts = run.meta.get("contracts")
    if not isinstance(contracts, list) or len(contracts) != len(run.instruments):
        raise DataError(str(folder), "no contracts in run.json", "a backtest of this version", "Run it again")
    study = load_study(run.folder)
    s = summarise(run, read_ledger(run), study)
    common = _of_the_run(s)
    parts = {part["symbol"]: part for part in s["data"]["parts"]}
    return [
        _row(run.folder.name, contract, s["instruments"][n], parts.get(contract["symbol"], {}), common, s["data"]["fingerprint"])
        for n, contract in enumerate(contracts)
        if contract.get("numbers")
    ]


def _of_the_run(s: dict[str, Any]) -> list[str]:
    """Reasons against the grade that concern all contracts."""
    out = []
    if s["synthetic"]:
        out.append("a generated market")
    if s["judge"] and s["judge"]["contaminated"]:
        out.append("a live model answered questions about the past")
    if s["controls"] is None:
        out.append("no controls were run")
    elif not s["controls"]["edge"]:
        out.append("chance entries do as well")
    bare = s["quotes"]["fills"]["without_quote"]
    if bare["n"] and bare["k"] > (1.0 - ENOUGH) * bare["n"]:
        out.append(f"{bare['k']:,} of {bare['n']:,} fills had no live quote")
    deflated = (s["trials"] or {}).get("deflated")
    if deflated is None:
        out.append("too few days for a correction for the settings tried")
    elif deflated < DEFLATED:
        out.append(f"corrected for the settings tried, the probability of a gain is {percent(deflated, 0)}; {percent(DEFLATED, 0)} are needed")
    return out


def _row(name: str, contract: dict[str, str], found: dict[str, Any], part: dict[str, Any], common: list[str], data: str) -> dict[str, Any]:
    missing = list(common)
    if part.get("receipt") != "recorded":
        missing.append("the times of receipt were not measured")
    if part.get("quoted") is None or part["quoted"] < ENOUGH:
        missing.append(f"quotes are live for less than {percent(ENOUGH, 0)} of the traded time")
    if found["trades"] < FEW:
        missing.append(f"{found['trades']} trades, {FEW} are needed")
    elif found["low_bps"] is None or found["low_bps"] <= 0.0:
        missing.append("no gain beyond chance after all costs")
    return {
        "numbers": contract["numbers"],
        "venue": contract["venue"],
        "symbol": contract["symbol"],
        "preset": contract["preset"],
        "run": name,
        "data": data,
        "trades": found["trades"],
        "mean_bps": found["mean_bps"],
        "low_bps": found["low_bps"],
        "high_bps": found["high_bps"],
        "missing": missing,
    }
