"""What the authors of a preset promised, beside what was observed. Claims carry their ids in the written system; a study may bring others."""

from collections.abc import Callable
from typing import Any

from liqcore import Reason

from liqshell.report.coverage import share
from liqshell.report.run import Run
from liqshell.report.study import Claim, Study
from liqshell.report.words import reason

SHARE, PER_DAY, BPS, SECONDS, RATIO = "share", "per day", "bps", "s", "ratio"

#: (value, low, high) as observed; low and high are None where there is no interval
Seen = tuple[float | None, float | None, float | None]


def _exit(*names: str) -> Callable[[dict[str, Any]], Seen]:
    def seen(s: dict[str, Any]) -> Seen:
        n = len(s["trades"])
        found = share(sum(r["n"] for r in s["exits"] if r["reason"] in names), n)
        return found["share"], found["low"], found["high"]
    return seen


def _share(key: str, inner: str | None = None) -> Callable[[dict[str, Any]], Seen]:
    def seen(s: dict[str, Any]) -> Seen:
        found = s[key][inner] if inner else s[key]
        return found["share"], found["low"], found["high"]
    return seen


def _per_symbol_day(key: str) -> Callable[[dict[str, Any]], Seen]:
    def seen(s: dict[str, Any]) -> Seen:
        found = s["cascades"]["rate"] if key == "cascades" else s["trades_rate"]
        if found["per_hour"] is None:
            return None, None, None
        return found["per_hour"] * 24, found["low"] * 24, found["high"] * 24
    return seen


def _bps(s: dict[str, Any]) -> Seen:
    t = s["per_trade"]
    return t["mean"], t["low"], t["high"]


def _day_on_notional(s: dict[str, Any]) -> Seen:
    """Net of a covered day over the notional of one trade: the denominator of the written system (C18)."""
    n, days = len(s["trades"]), s["covered_instrument_hours"] / 24
    if not n or days <= 0:
        return None, None, None
    return s["money"]["net"] / (s["money"]["notional"] / n) / days, None, None


def _drawdown(s: dict[str, Any]) -> Seen:
    return (s["money"]["max_drawdown_on_account"] if s["trades"] else None), None, None


def _sharpe(s: dict[str, Any]) -> Seen:
    d = s["daily_sharpe"]
    return d["value"], d["low"], d["high"]


def _hold(s: dict[str, Any]) -> Seen:
    return s["hold_s"]["p50"], None, None


#: measure -> (what it is, unit, how it is read from the report)
MEASURES: dict[str, tuple[str, str, Callable[[dict[str, Any]], Seen]]] = {
    "exits.target": ("trades that end at the target", SHARE, _exit(reason(Reason.END_TARGET))),
    "exits.stop": ("trades that end at the stop", SHARE, _exit(reason(Reason.END_STOP))),
    "exits.timeout": ("trades that end by time", SHARE, _exit(reason(Reason.END_MAX_HOLD))),
    "hold_s": ("time held, median", SECONDS, _hold),
    "win_rate": ("win rate", SHARE, _share("win_rate")),
    "fill_share": ("entries that are filled", SHARE, _share("entries", "filled")),
    "cascades_per_day": ("cascades a covered day and symbol", PER_DAY, _per_symbol_day("cascades")),
    "trades_per_day": ("trades a covered day and symbol", PER_DAY, _per_symbol_day("trades")),
    "net_bps": ("net per trade, on notional", BPS, _bps),
    "net_per_day": ("net a covered day and symbol, on the notional of a trade", SHARE, _day_on_notional),
    "max_drawdown": ("largest drawdown of the account", SHARE, _drawdown),
    "daily_sharpe": ("Sharpe of daily returns × √365", RATIO, _sharpe),
}

#: of these more is better, of those less; the rest only differs
HIGHER = ("exits.target", "win_rate", "fill_share", "net_bps", "net_per_day", "daily_sharpe")
LOWER = ("exits.stop", "exits.timeout", "max_drawdown")

_FADE: tuple[Claim, ...] = (
    {"id": "S2-13", "measure": "exits.target", "low": 0.70, "high": 0.76, "note": "about 73 %"},
    {"id": "S2-13", "measure": "exits.stop", "low": 0.22, "high": 0.28, "note": "about 25 %"},
    {"id": "S2-13", "measure": "exits.timeout", "low": 0.0, "high": 0.04, "note": "about 2 %"},
    {"id": "S2-13", "measure": "hold_s", "low": 60.0, "high": 180.0, "note": "1 to 3 minutes"},
    {"id": "S2-22", "measure": "cascades_per_day", "low": 5.0, "high": 9.0, "note": "counted over 282 days that hold about 81 days of data (C12)"},
    {"id": "S2-22", "measure": "fill_share", "low": 0.5, "high": 0.8},
    {"id": "S2-19", "measure": "trades_per_day", "low": 2.0, "high": 4.0},
    {"id": "S2-19", "measure": "win_rate", "low": 0.70, "high": 0.75, "note": "break-even with fees on every leg is 74.7 % (C10)"},
    {"id": "S2-19", "measure": "net_bps", "low": 2.0, "high": 3.0, "note": "one maker leg of 2 bps was charged"},
    {"id": "S2-19", "measure": "net_per_day", "low": 0.0004, "high": 0.0012, "note": "on notional, not on the account (C18)"},
)
_ONE: tuple[Claim, ...] = ({"id": "S2-19", "measure": "max_drawdown", "low": 0.02, "high": 0.04},
                           {"id": "S2-19", "measure": "daily_sharpe", "low": 2.0, "high": 5.0,
                            "note": "S2-02's 46 to 172 are per-trade ratios annualised (C9)"})
_FOUR: tuple[Claim, ...] = ({"id": "S2-19", "measure": "max_drawdown", "low": 0.03, "high": 0.06, "note": "four symbols"},
                            {"id": "S2-19", "measure": "daily_sharpe", "low": 3.0, "high": 8.0,
                             "note": "four symbols; S2-02's 46 to 172 are per-trade ratios annualised (C9)"})


def claims_of(run: Run, study: Study) -> tuple[Claim, ...]:
    """The claims for a run: its study's own, else those that are known of its preset."""
    if study.get("expected"):
        return tuple(study["expected"])
    if run.meta.get("preset") in ("fade", "fade-btc"):
        return _FADE + (_ONE if len(run.instruments) == 1 else _FOUR)
    return ()


def compare(run: Run, study: Study, s: dict[str, Any]) -> list[dict[str, Any]]:
    """Each claim beside what was observed. verdict: as claimed, below, above (the observed interval lies outside), cannot tell (nothing observed)."""
    rows = []
    for claim in claims_of(run, study):
        what, unit, read = MEASURES.get(claim["measure"], (claim["measure"], "", None))
        value, low, high = read(s) if read else (None, None, None)
        rows.append({"id": claim["id"], "measure": claim["measure"], "what": what, "unit": unit, "claimed_low": claim["low"],
                     "claimed_high": claim["high"],
                     "observed": value, "observed_low": low, "observed_high": high, "note": claim.get("note", ""),
                     "verdict": _verdict(claim, value, low, high)})
    return rows


def _verdict(claim: Claim, value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "cannot tell"
    bottom, top = value if low is None else low, value if high is None else high
    if claim["low"] is not None and top < claim["low"]:
        return "below"
    if claim["high"] is not None and bottom > claim["high"]:
        return "above"
    inside = (claim["low"] is None or bottom >= claim["low"]) and (claim["high"] is None or top <= claim["high"])
    return "as claimed" if inside else "not contradicted"
