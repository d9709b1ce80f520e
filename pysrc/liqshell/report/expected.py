"""The results promised by the authors of a preset, beside the observed ones.

The id of a claim is the heading under which the document makes it. A study may bring others."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from liqcore import Reason
from liqshell.report.coverage import is_whole, share
from liqshell.report.labels import reason
from liqshell.report.run import Run
from liqshell.report.statistics import CLUSTERS_MIN, DAYS_MIN, mean_test, stationary_bootstrap
from liqshell.report.study import Claim, Study
from liqshell.report.verdicts import Measured, of_mean, of_median

SHARE, PER_DAY, BPS, SECONDS, RATIO = "share", "per day", "bps", "s", "ratio"

Read = Callable[[dict[str, Any]], Measured]


def _exit(*names: str) -> Read:
    def seen(s: dict[str, Any]) -> Measured:
        n = len(s["trades"])
        found = share(sum(r["n"] for r in s["exits"] if r["reason"] in names), n)
        return Measured(found["share"], found["low"], found["high"], n)

    return seen


def _share(key: str, inner: str | None = None, unit: str = "trade") -> Read:
    def seen(s: dict[str, Any]) -> Measured:
        found = s[key][inner] if inner else s[key]
        return Measured(found["share"], found["low"], found["high"], found["n"], unit)

    return seen


def _per_symbol_day(*keys: str) -> Read:
    """A count of few events in many days says much, one of many in a few hours little: n is days."""

    def seen(s: dict[str, Any]) -> Measured:
        found = s[keys[0]][keys[1]] if len(keys) > 1 else s[keys[0]]
        value, low, high = (None if found[key] is None else found[key] * 24 for key in ("per_hour", "low", "high"))
        return Measured(value, low, high, found["hours"] / 24, "covered day", CLUSTERS_MIN)

    return seen


def _days(s: dict[str, Any]) -> list[float]:
    """Net of each whole UTC day that the data covered enough of."""
    return [r["net"] for r in s["days"] if is_whole(r["covered"], r["hours"])]


def _day_on_notional(s: dict[str, Any]) -> Measured:
    """Net of a covered day over the notional of one trade: the denominator of the published system."""
    n, days = len(s["trades"]), s["covered_instrument_hours"] / 24
    nets: dict[str, Any] = dict(mean_test(_days(s)))
    if not n or days <= 0:
        return Measured(None)
    one = s["money"]["notional"] / n
    value = s["money"]["net"] / one / days
    half = (nets["high"] - nets["mean"]) / one / len(s["instruments"]) if nets["low"] is not None else None
    return Measured(value, None if half is None else value - half, None if half is None else value + half, nets["n"], "whole day", DAYS_MIN)


def _drawdown(s: dict[str, Any]) -> Measured:
    """Its interval: that of as many days drawn anew, in runs."""
    value, start, nets = s["money"]["max_drawdown_on_account"], s["money"]["equity_start"], _days(s)
    drawn = stationary_bootstrap(nets) if start and s["trades"] else None
    if drawn is None:
        return Measured(value if s["trades"] else None, n=len(nets), unit="whole day", least=DAYS_MIN)
    account = np.concatenate([np.full((len(drawn), 1), start), start + np.cumsum(drawn, axis=1)], axis=1)
    peak = np.maximum.accumulate(account, axis=1)
    low, high = np.quantile(((peak - account) / peak).max(axis=1), [0.025, 0.975]).tolist()
    return Measured(value, min(low, value), max(high, value), len(nets), "whole day", DAYS_MIN)


def _sharpe(s: dict[str, Any]) -> Measured:
    d = s["daily_sharpe"]
    return Measured(d["value"], d["low"], d["high"], d["days"], "whole day", DAYS_MIN)


#: measure -> (what it is, unit, how it is read from the report)
MEASURES: dict[str, tuple[str, str, Read]] = {
    "exits.target": ("trades that end at the target", SHARE, _exit(reason(Reason.END_TARGET))),
    "exits.stop": ("trades that end at the stop", SHARE, _exit(reason(Reason.END_STOP))),
    "exits.timeout": ("trades that end by time", SHARE, _exit(reason(Reason.END_MAX_HOLD))),
    "hold_s": ("time held, median", SECONDS, lambda s: of_median(s["trades"].columns["hold_s"].tolist())),
    "win_rate": ("win rate", SHARE, _share("win_rate")),
    "fill_share": ("entries that are filled", SHARE, _share("entries", "filled", "order")),
    "cascades_per_day": ("cascades a covered day and symbol", PER_DAY, _per_symbol_day("cascades", "rate")),
    "trades_per_day": ("trades a covered day and symbol", PER_DAY, _per_symbol_day("trades_rate")),
    "net_bps": ("net per trade, on notional", BPS, lambda s: of_mean(s["per_trade"])),
    "net_per_day": ("net a covered day and symbol, on the notional of a trade", SHARE, _day_on_notional),
    "max_drawdown": ("largest drawdown of the account", SHARE, _drawdown),
    "daily_sharpe": ("Sharpe of daily returns × √365", RATIO, _sharpe),
}

#: of these more is better, of those less; the rest only differs
HIGHER = ("exits.target", "win_rate", "fill_share", "net_bps", "net_per_day", "daily_sharpe")
LOWER = ("exits.stop", "exits.timeout", "max_drawdown")

_FADE: tuple[Claim, ...] = (
    {"id": "expected outcomes", "measure": "exits.target", "low": 0.70, "high": 0.76, "note": "about 73 %"},
    {"id": "expected outcomes", "measure": "exits.stop", "low": 0.22, "high": 0.28, "note": "about 25 %"},
    {"id": "expected outcomes", "measure": "exits.timeout", "low": 0.0, "high": 0.04, "note": "about 2 %"},
    {"id": "expected outcomes", "measure": "hold_s", "low": 60.0, "high": 180.0, "note": "1 to 3 minutes"},
    {"id": "paper trading", "measure": "cascades_per_day", "low": 5.0, "high": 9.0, "note": "counted over 282 days that hold about 81 days of data"},
    {"id": "paper trading", "measure": "fill_share", "low": 0.5, "high": 0.8},
    {"id": "expected performance", "measure": "trades_per_day", "low": 2.0, "high": 4.0},
    {"id": "expected performance", "measure": "win_rate", "low": 0.70, "high": 0.75, "note": "break-even with fees on every leg is 74.7 %"},
    {"id": "expected performance", "measure": "net_bps", "low": 2.0, "high": 3.0, "note": "one maker leg of 2 bps was charged"},
    {"id": "expected performance", "measure": "net_per_day", "low": 0.0004, "high": 0.0012, "note": "on notional, not on the account"},
)
_ONE: tuple[Claim, ...] = (
    {"id": "expected performance", "measure": "max_drawdown", "low": 0.02, "high": 0.04},
    {
        "id": "expected performance",
        "measure": "daily_sharpe",
        "low": 2.0,
        "high": 5.0,
        "note": "the document's 46 to 172 are per-trade ratios, annualised",
    },
)
_FOUR: tuple[Claim, ...] = (
    {"id": "expected performance", "measure": "max_drawdown", "low": 0.03, "high": 0.06, "note": "four symbols"},
    {
        "id": "expected performance",
        "measure": "daily_sharpe",
        "low": 3.0,
        "high": 8.0,
        "note": "four symbols; the document's 46 to 172 are per-trade ratios, annualised",
    },
)


def claims_of(preset: str, contracts: int) -> tuple[Claim, ...]:
    """The claims that are known of a preset on so many contracts."""
    if preset in ("fade", "fade-btc"):
        return _FADE + (_ONE if contracts == 1 else _FOUR)
    return ()


def compare(run: Run, study: Study, s: dict[str, Any], presets: dict[str, tuple[int, dict[str, Any]]] | None = None) -> list[dict[str, Any]]:
    """Each claim beside what was observed: those of the study on the whole run; else those of each preset on the contracts that it traded. presets:
    where there are several, of each the number of its contracts and their numbers alone. verdict: of Measured.against; why: what is
    missing for one."""
    if study.get("expected"):
        return _beside("", study["expected"], s)
    if presets:
        return [row for name, (count, own) in presets.items() for row in _beside(name, claims_of(name, count), own)]
    name = str(run.meta.get("preset") or "")
    return _beside(name, claims_of(name, len(run.instruments)), s)


def _beside(preset: str, claims: Iterable[Claim], s: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for claim in claims:
        what, unit, read = MEASURES.get(claim["measure"], (claim["measure"], "", None))
        seen = read(s) if read else Measured(None, why="not measured by the report")
        rows.append(
            {
                "preset": preset,
                "id": claim["id"],
                "measure": claim["measure"],
                "what": what,
                "unit": unit,
                "claimed_low": claim["low"],
                "claimed_high": claim["high"],
                "observed": seen.value,
                "observed_low": seen.low,
                "observed_high": seen.high,
                "n": seen.n,
                "counted": seen.unit,
                "note": claim.get("note", ""),
                "verdict": seen.against(claim["low"], claim["high"]),
                "why": seen.missing,
            }
        )
    return rows
