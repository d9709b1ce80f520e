"""The numbers of each preset, taken from the report of its run, so that both agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from liqshell.config.load import Config
from liqshell.report.coverage import rate
from liqshell.report.quotes import ENOUGH
from liqshell.report.text import percent, plural, seconds
from liqshell.report.verdicts import CONTAMINATED, GAIN, LOSS, WHY, Measured, bps, of_delay, of_mean

CONTROLS = ("inverted_side", "random_side", "random_time", "every_30_min")


def _of(table: str, *keys: str) -> list[str]:
    return [f"{table}.{key}" for key in keys]


#: columns of compare.csv: keys of a row, "a.b" = key b of its table a
COLUMNS = [
    *("preset", "rule", "grade", "asked", "wanted", "fade", "follow"),
    *_of("wanted_rate", "per_hour", "low", "high"),
    *("entries", "filled", "trades"),
    *_of("trades_rate", "per_hour", "low", "high"),
    "open",
    *_of("win", "share", "low", "high", "break_even_realised", "break_even_planned"),
    *_of("money", "gross_decided", "slippage", "gross", "fees", "funding", "net", "notional"),
    *_of("money", "net_on_notional_bps", "net_on_account", "max_drawdown_on_account"),
    *_of("trade", "mean", "low", "high", "t", "sharpe_per_trade"),
    *_of("sharpe", "value", "low", "high", "days"),
    *_of("deflated", "edge", "p_superior", "p_shape", "deflated", "trials"),
    *("exposure_hours", "exposure_share"),
    "controls.inverted_side.median_bps",
    *_of("controls.random_side", "median_bps", "p"),
    *_of("controls.random_time", "median_bps", "p"),
    *("quoted", "fills.n", "fills.without_quote.k", "refused_quote_ended.k", "contaminated", "state"),
]


def row_of(name: str, config: Config, s: dict[str, Any], signs: dict[str, int], hours: float, report: str) -> dict[str, Any]:
    """One preset. s: the summary of its report; signs: events.signs; hours: covered instrument hours; report: where its own report is."""
    preset = config.preset_of()
    t, q = s["per_trade"], s["quotes"]
    held = math.fsum(s["trades"].columns["hold_s"].tolist()) + math.fsum(r["age_s"] for r in s["left_open"] if r["what"] == "position")
    found = {
        r["kind"]: {key: r[key] for key in ("draws", "trades_per_draw", "p05_bps", "median_bps", "p95_bps", "p")}
        for r in (s["controls"] or {"rows": []})["rows"]
        if r["kind"] in CONTROLS
    }
    row: dict[str, Any] = {
        "preset": name,
        "rule": preset.rule,
        "grade": preset.grade,
        "source": preset.source,
        "summary": preset.summary,
        "evidence": " ".join(preset.evidence.split()),
        **signs,
        "wanted_rate": rate(signs["wanted"], hours),
        "entries": s["entries"]["placed"],
        "filled": s["entries"]["filled"]["share"],
        "trades": t["n"],
        "trades_rate": rate(t["n"], hours),
        "open": sum(r["what"] == "position" for r in s["left_open"]),
        "unrealised": math.fsum(r["unrealised"] for r in s["left_open"]),
        "win": s["win_rate"],
        "money": s["money"],
        "trade": {key: t[key] for key in ("n", "mean", "sd", "low", "high", "t", "clusters", "cluster_s", "sharpe_per_trade", "few")},
        "fills": q["fills"],
        "refused_quote_ended": q["refused"],
        "quoted": q["quoted"],
        "sharpe": s["daily_sharpe"],
        "deflated": s["trials"],
        "exposure_hours": held / 3600.0,
        "exposure_share": held / 3600.0 / hours if hours else None,
        "hold_s": s["hold_s"],
        "exits": s["exits"],
        "why_not": s["why_not"],
        "delays": s["delays"],
        "controls": found,
        "controls_verdict": (s["controls"] or {"verdict": "No controls were run."})["verdict"],
        "contaminated": bool(s["judge"] and s["judge"]["contaminated"]),
        "edge": (s["controls"] or {"edge": None})["edge"],
        "verdict": s["verdict"],
        "report": report,
    }
    return row | {"state": state(row)}


def state(row: dict[str, Any]) -> str:
    """pays: a gain beyond chance (verdicts.Measured), beyond its controls too where they were run, not what the best of all tries would show, and
    after a spread that is known, because quotes cover the traded time and the fills; nobody was asked who may know what came. loses: a loss beyond
    chance; open: the numbers cannot tell; idle: no trade was closed."""
    if not row["trades"]:
        return "idle"
    sign = of_mean(row["trade"]).sign
    if sign == GAIN and row["edge"] is not False and row["deflated"].get("edge") is not False and known_spread(row) and not row["contaminated"]:
        return "pays"
    return "loses" if sign == LOSS else "open"


def known_spread(row: dict[str, Any]) -> bool:
    """True if quotes give the price of its takers: they cover the traded time, and nearly every fill met one or rested."""
    bare = row["fills"]["without_quote"]
    return row["quoted"] is not None and row["quoted"] >= ENOUGH and bare["k"] <= (1.0 - ENOUGH) * bare["n"]


def conclusion(
    rows: list[dict[str, Any]],
    failed: dict[str, str],
    tried: int,
    synthetic: bool,
    blind: Sequence[str] = (),
    liquidations: int | None = None,
    quoted: float | None = 1.0,
) -> str:
    """The conclusion of a comparison, no more than the numbers allow. blind: contracts without quotes; liquidations: how many the data has;
    quoted: share of the traded time in which quotes held."""
    if not rows:
        return "No preset could be run on this data."
    pays = [r for r in rows if r["state"] == "pays"]
    traded = [r for r in rows if r["trades"]]
    asked = [r["preset"] for r in rows if r["contaminated"]]
    text = f"{CONTAMINATED}: {', '.join(asked)}. {WHY} " if asked else ""
    text += f"{plural(len(rows), 'preset')}, {plural(sum(r['trades'] for r in rows), 'closed trade')}. "
    if not traded and liquidations == 0:
        text += "No trades: the data hold no liquidation, and these presets trade on liquidations."
    elif not traded and (wanted := sum(r["wanted"] for r in rows)):
        text += (
            f"No trades: {'an entry was' if wanted == 1 else f'{wanted:,} entries were'} wanted and {sum(r['entries'] for r in rows):,} placed, "
            "but none became a closed trade. The report of each preset has the reasons."
        )
    elif not traded:
        text += "No trades: the market never met the presets' conditions, or the data are too short for them."
    elif not pays:
        rated = [r for r in traded if not of_mean(r["trade"]).missing]
        lost = sum(r["state"] == "loses" for r in rows)
        if not rated:
            text += f"No verdict is possible: none of the {len(traded)} with trades has enough of them. "
        else:
            text += (
                f"No profit is shown: of {plural(len(rated), 'preset')} that {'rests' if len(rated) == 1 else 'rest'} on enough trades, no "
                "gain is beyond chance, beyond its controls and after a known spread. "
            )
        text += f"{lost} of {len(traded)} with trades lose beyond chance. " if lost else ""
        best = max(traded, key=lambda r: r["trade"]["mean"])
        text += f"The best mean is {best['preset']}'s {_mean_of(best)}."
        thin = len(traded) - len(rated)
        if thin and rated:
            text += f" {thin} of {len(traded)} closed too few trades, or in too few separate stretches of time, for a verdict."
    else:
        text += "; ".join(f"{r['preset']} gains {_mean_of(r)}" for r in pays)
        bare = [r["preset"] for r in pays if r["edge"] is None]
        text += f"; no control supports {', '.join(bare)}" if bare else ""
        text += f"; {plural(len(traded), 'preset')} traded, and the best of several overstates what will follow" if len(traded) > 1 else ""
        sure = [r["preset"] for r in pays if r["deflated"].get("edge")]
        known = any(r["deflated"].get("p_superior") is not None for r in pays)
        text += f". After {plural(tried, 'trial')} on this data " + (
            f"{', '.join(sure)} {'is' if len(sure) == 1 else 'are'} better than the best of so many by chance."
            if sure
            else "none is shown to be better than the best of so many by chance."
            if known
            else "there are too few days for a test: the best of so many is no evidence."
        )
    if blind and traded:
        text += (
            f" No quotes of {', '.join(blind[:6])}{' and more' if len(blind) > 6 else ''}: the spread that market orders paid is an estimate, "
            "and no gain is claimed."
        )
    elif traded and (quoted is None or quoted < ENOUGH):
        text += f" Quotes are live for {percent(quoted)} of the traded time, {percent(ENOUGH, 0)} are needed: no gain is claimed."
    if failed:
        text += f" {plural(len(failed), 'preset')} could not be run: {', '.join(failed)}."
    return text + (" SYNTHETIC market: this shows how the rules behave, not what they earn." if synthetic else "")


def _mean_of(row: dict[str, Any]) -> str:
    return of_mean(row["trade"]).describe(bps, " bps a trade")


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of compare.csv."""
    out: dict[str, Any] = {}
    for column in COLUMNS:
        value: Any = row
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        out[column] = value
    return out


def means_by_delay(row: dict[str, Any]) -> dict[str, Measured]:
    """Mean net bps of a trade by delay, in words."""
    return {seconds(r["delay_s"]): of_delay(r) for r in (row["delays"] or {"rows": []})["rows"]}
