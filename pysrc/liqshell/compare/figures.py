"""The numbers of one preset beside the others: taken from the report of its run, so that both say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from liqshell.config import Config
from liqshell.report.coverage import rate
from liqshell.report.quotes import ENOUGH
from liqshell.report.statistics import FEW
from liqshell.report.text import number, percent, plural, seconds, verdict

CONTROLS = ("inverted_side", "random_side", "random_time", "every_30_min")
#: columns of compare.csv: keys of a row, "a.b" = key b of its table a
COLUMNS = ("preset rule grade asked wanted fade follow wanted_rate.per_hour wanted_rate.low wanted_rate.high entries filled trades "
           "trades_rate.per_hour trades_rate.low trades_rate.high open win.share win.low win.high win.break_even_realised "
           "win.break_even_planned money.gross_decided money.slippage money.gross money.fees money.funding money.net money.notional "
           "money.net_on_notional_bps money.net_on_account money.max_drawdown_on_account trade.mean trade.low trade.high trade.t "
           "trade.sharpe_per_trade sharpe.value sharpe.low sharpe.high sharpe.days deflated.deflated deflated.trials exposure_hours "
           "exposure_share controls.inverted_side.median_bps controls.random_side.median_bps controls.random_side.p "
           "controls.random_time.median_bps controls.random_time.p quoted fills.n fills.without_quote.k refused_quote_ended.k state").split()


def row_of(name: str, config: Config, s: dict[str, Any], signs: dict[str, int], hours: float, report: str) -> dict[str, Any]:
    """One preset. s: the summary of its report; signs: events.signs; hours: covered instrument hours; report: where its own report is."""
    preset = config.preset_of()
    t, q = s["per_trade"], s["quotes"]
    held = math.fsum(r["hold_s"] for r in s["trades"]) + math.fsum(r["age_s"] for r in s["left_open"] if r["what"] == "position")
    found = {r["kind"]: {key: r[key] for key in ("draws", "trades_per_draw", "p05_bps", "median_bps", "p95_bps", "p")}
             for r in (s["controls"] or {"rows": []})["rows"] if r["kind"] in CONTROLS}
    row: dict[str, Any] = {
        "preset": name, "rule": preset.rule, "grade": preset.grade, "source": preset.source, "summary": preset.summary,
        "evidence": " ".join(preset.evidence.split()), **signs, "wanted_rate": rate(signs["wanted"], hours), "entries": s["entries"]["placed"],
        "filled": s["entries"]["filled"]["share"], "trades": t["n"], "trades_rate": rate(t["n"], hours),
        "open": sum(r["what"] == "position" for r in s["left_open"]), "unrealised": math.fsum(r["unrealised"] for r in s["left_open"]),
        "win": s["win_rate"], "money": s["money"],
        "trade": {key: t[key] for key in ("n", "mean", "sd", "low", "high", "t", "clusters", "cluster_s", "sharpe_per_trade", "few")},
        "fills": q["fills"], "refused_quote_ended": q["refused"], "quoted": q["quoted"],
        "sharpe": s["daily_sharpe"], "deflated": s["trials"], "exposure_hours": held / 3600.0,
        "exposure_share": held / 3600.0 / hours if hours else None, "hold_s": s["hold_s"], "exits": s["exits"], "why_not": s["why_not"],
        "delays": s["delays"], "controls": found, "controls_verdict": (s["controls"] or {"verdict": "No controls were run."})["verdict"],
        "edge": (s["controls"] or {"edge": None})["edge"], "verdict": verdict(s), "report": report}
    return row | {"state": state(row)}


def state(row: dict[str, Any]) -> str:
    """pays: a gain beyond chance, beyond its controls too where they were run, and after a spread that is known, because quotes cover the traded time
    and the fills; loses: a loss beyond chance; open: the numbers cannot tell; idle: no trade was closed."""
    t = row["trade"]
    if not row["trades"]:
        return "idle"
    if t["low"] is None:
        return "open"
    if t["low"] > 0 and row["edge"] is not False:
        return "pays" if t["n"] >= FEW and known_spread(row) else "open"
    return "loses" if t["high"] < 0 else "open"


def known_spread(row: dict[str, Any]) -> bool:
    """Whether quotes tell what its takers paid: they cover the traded time, and nearly every fill met one or rested."""
    bare = row["fills"]["without_quote"]
    return row["quoted"] is not None and row["quoted"] >= ENOUGH and bare["k"] <= (1.0 - ENOUGH) * bare["n"]


def conclusion(rows: list[dict[str, Any]], failed: dict[str, str], tried: int, synthetic: bool, blind: Sequence[str] = (),
               liquidations: int | None = None, quoted: float | None = 1.0) -> str:
    """What the comparison comes to, claiming no more than the numbers allow. blind: contracts without quotes; liquidations: how many the data has;
    quoted: share of the traded time in which quotes held."""
    if not rows:
        return "No preset could be run on this data."
    pays = [r for r in rows if r["state"] == "pays"]
    traded = [r for r in rows if r["trades"]]
    told = f"{plural(len(rows), 'preset')}, {plural(sum(r['trades'] for r in rows), 'closed trade')}. "
    if not traded and liquidations == 0:
        told += "Nothing traded: the data holds no liquidation, and these presets trade on liquidations."
    elif not traded:
        told += "Nothing traded: the market of this data never reached what the presets wait for, or the data is too short for them to know."
    elif not pays:
        told += "Nothing pays: no preset's gain is beyond chance and beyond its controls. "
        best = max(traded, key=lambda r: r["trade"]["mean"])
        lost = sum(r["state"] == "loses" for r in rows)
        told += f"{lost} of {len(traded)} that traded lose beyond chance. " if lost else ""
        told += f"The best mean is {best['preset']}'s {number(best['trade']['mean'], 1, True)} bps a trade (n = {best['trades']})."
        untold = sum(r["trade"]["low"] is None for r in traded)
        told += f" {untold} of {len(traded)} that traded did so in too few separate stretches of time for an interval." if untold else ""
    else:
        told += "; ".join(f"{r['preset']} gains {number(r['trade']['mean'], 1, True)} bps a trade (n = {r['trades']}, t = {number(r['trade']['t'])})"
                          for r in pays)
        deflated = [r["deflated"]["deflated"] for r in pays if r["deflated"]["deflated"] is not None]
        told += (f". After {plural(tried, 'trial')} on this data the best deflated Sharpe is {percent(max(deflated))}." if deflated else
                 f". {plural(tried, 'trial')} on this data, and too few whole days for a deflated Sharpe: the best of so many is no proof.")
    if blind and traded:
        told += (f" No quotes of {', '.join(blind[:6])}{' and more' if len(blind) > 6 else ''}: what market orders there paid for the spread is "
                 "estimated, and no gain is claimed.")
    elif traded and (quoted is None or quoted < ENOUGH):
        told += f" Quotes hold for {percent(quoted, 0)} of the traded time, {percent(ENOUGH, 0)} are needed: no gain is claimed."
    if failed:
        told += f" {plural(len(failed), 'preset')} could not be run: {', '.join(failed)}."
    return told + (" SYNTHETIC market: this shows how the rules behave, not what they earn." if synthetic else "")


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of compare.csv."""
    out: dict[str, Any] = {}
    for column in COLUMNS:
        value: Any = row
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        out[column] = value
    return out


def delay_words(row: dict[str, Any]) -> dict[str, float | None]:
    """Mean net bps of a trade by delay, in words."""
    return {seconds(r["delay_s"]): r["mean_bps"] for r in (row["delays"] or {"rows": []})["rows"]}
