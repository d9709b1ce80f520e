"""Whether a result would stand elsewhere: at other delays, against trading without knowledge, on days that did not choose the parameters, and
after the number of settings that were tried. Reads study.json; every answer has a plain sentence that claims no more than the numbers allow."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liqshell.errors import DataError
from liqshell.report.coverage import DAY_NS
from liqshell.report.stories import Ledger
from liqshell.report.overfit import deflated_sharpe, overfitting
from liqshell.report.results import daily_returns
from liqshell.report.run import Run
from liqshell.report.statistics import FEW, sharpe, spaced_mean
from liqshell.report.study import Control, Study, Trades
from liqshell.report.text import number, seconds

CONTROLS = {"random_side": ("random side", "the same entries, each long or short by the toss of a coin"),
            "inverted_side": ("inverted side", "the same entries on the other side"),
            "random_time": ("random time", "as many entries, at moments drawn at random"),
            "every_30_min": ("every 30 minutes", "an entry by the clock, whatever the market does")}
FIXED = ("inverted_side", "every_30_min")        # nothing is drawn: their few runs are no distribution
LIKELY = 0.05


def mean_of(found: Sequence[Trades], held_s: float) -> dict[str, Any]:
    """Mean net bps of trades and its interval (spaced_mean). held_s: how long the run's own were held, for a study that does not tell."""
    held = max((s for trades in found for s in trades.get("held_s", [held_s])), default=0.0)
    return spaced_mean([v for trades in found for v in trades["return_bps"]], [ts for trades in found for ts in trades["closed_ns"]],
                       round(held * 1e9))


def delays(study: Study, held_s: float = 0.0) -> dict[str, Any] | None:
    """The result at each reaction delay, shortest first, and what it says. held_s: see mean_of."""
    found = study.get("delays")
    if not found:
        return None
    rows = []
    for d in sorted(found, key=lambda d: d["delay_s"]):
        o, mean = d["outcome"], mean_of([d["trades"]], held_s)
        rows.append({"delay_s": d["delay_s"], "entries": o["entries"], "trades": o["trades"],
                     "win_rate": o["wins"] / o["trades"] if o["trades"] else None,
                     "net": o["net"], "mean_bps": mean["mean"], "low_bps": mean["low"], "high_bps": mean["high"],
                     "gross_bps": o["gross"] / o["notional"] * 1e4 if o["notional"] else None})
    traded = [r for r in rows if r["mean_bps"] is not None]
    if not traded:
        return {"rows": rows, "verdict": "No trade was closed at any delay."}
    best, first, last = max(traded, key=lambda r: r["mean_bps"]), traded[0], traded[-1]
    gains = [r for r in traded if r["low_bps"] is not None and r["low_bps"] > 0]
    told = (f"Net per trade {number(first['mean_bps'], 1, True)} bps at {seconds(first['delay_s'])}, {number(last['mean_bps'], 1, True)} bps at "
            f"{seconds(last['delay_s'])}")
    if gains:
        told += f": a gain beyond chance at {len(gains)} of {len(traded)} delays, the slowest {seconds(gains[-1]['delay_s'])}."
    elif best["mean_bps"] > 0:
        told += f": at no delay is the gain beyond chance (best {number(best['mean_bps'], 1, True)} bps at {seconds(best['delay_s'])})."
    else:
        told += ": no delay earns its costs."
    return {"rows": rows, "verdict": told}


def controls(study: Study, real: dict[str, Any]) -> dict[str, Any] | None:
    """The run's mean net return of a trade among those of its controls. p: share of draws that did at least as well, the run itself counted
    (Phipson, Smyth 2010); None for a control that is not drawn."""
    found = study.get("controls")
    if not found:
        return None
    mean = real["mean"]
    rows = [_control(c, mean) for c in found]
    drawn, fixed = [r for r in rows if r["p"] is not None], [r for r in rows if r["p"] is None and r["median_bps"] is not None]
    if mean is None:
        return {"rows": rows, "mean_bps": None, "edge": None, "verdict": "The run closed no trade, so there is nothing to compare."}
    if not drawn and not fixed:
        return {"rows": rows, "mean_bps": mean, "edge": None, "verdict": "No control closed a trade, so there is nothing to compare with."}
    lost = [r["name"] for r in drawn if r["p"] > LIKELY] + [r["name"] for r in fixed if r["median_bps"] >= mean]
    if lost:
        told = f"No edge beyond its controls: {_list(lost)} did as well as the policy's {number(mean, 1, True)} bps, or could have by chance."
    elif mean > 0:
        told = f"An edge beyond its controls: {number(mean, 1, True)} bps a trade is more than {_list([r['name'] for r in rows])} explain."
    else:
        told = (f"Better than its controls and still a loss: {number(mean, 1, True)} bps a trade. It knows something, and it does not pay for its "
                "costs.")
    few = f" With n = {real['n']} this is a hint, not a proof." if real["n"] < FEW else ""
    return {"rows": rows, "mean_bps": mean, "edge": not lost and mean > 0, "verdict": told + few}


def _control(c: Control, mean: float | None) -> dict[str, Any]:
    name, meaning = CONTROLS.get(c["kind"], (c.get("name") or c["kind"].replace("_", " "), ""))
    values = sorted(d["mean_bps"] for d in c["draws"] if d["mean_bps"] is not None)
    count = len(values)
    p = (1 + sum(v >= mean for v in values)) / (1 + count) if mean is not None and count > 1 and c["kind"] not in FIXED else None
    quantile = [float(q) for q in np.quantile(values, [0.05, 0.5, 0.95])] if values else [None, None, None]
    return {"kind": c["kind"], "name": name, "meaning": meaning, "draws": count, "seed": c["seed"], "trades": sum(d["trades"] for d in c["draws"]),
            "trades_per_draw": sum(d["trades"] for d in c["draws"]) / len(c["draws"]) if c["draws"] else 0.0, "p05_bps": quantile[0],
            "median_bps": quantile[1], "p95_bps": quantile[2], "p": p, "values_bps": values}


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def forward(study: Study, held_s: float = 0.0) -> dict[str, Any] | None:
    """The walk: each fold in and out of sample, and all test spans together. held_s: see mean_of."""
    walk = study.get("forward")
    if not walk or not walk["folds"]:
        return None
    rows: list[dict[str, Any]] = []
    returns: list[float] = []
    for k, f in enumerate(walk["folds"], 1):
        inside, outside = f["train_outcome"], f["test_outcome"]
        rows.append({"fold": k, "train_start_ns": f["train"][0], "train_end_ns": f["train"][1], "test_start_ns": f["test"][0],
                     "test_end_ns": f["test"][1],
                     "settings": f["settings"], "chosen": f["chosen"], "train_value": f["train_value"], "test_value": f["test_value"],
                     "train_trades": inside["trades"], "test_trades": outside["trades"], "train_bps": inside["mean_bps"],
                     "test_bps": outside["mean_bps"], "train_net": inside["net"], "test_net": outside["net"], "test_rank": f.get("test_rank")})
        returns += _daily_nets(f["test_trades"], f["test"])
    mean = mean_of([f["test_trades"] for f in walk["folds"]], held_s)
    inside_bps = _weighted([(r["train_bps"], r["train_trades"]) for r in rows])
    ranks = [r["test_rank"] for r in rows if r["test_rank"] is not None]
    daily = sharpe(returns)
    out = {"objective": walk["objective"], "scheme": walk["scheme"], "embargo_s": walk["embargo_s"], "rows": rows, "in_sample_bps": inside_bps,
           "out_of_sample_bps": mean["mean"], "low_bps": mean["low"], "high_bps": mean["high"], "trades": mean["n"],
           "net": math.fsum(r["test_net"] for r in rows), "positive_folds": sum(r["test_net"] > 0 for r in rows),
           "mean_rank": sum(ranks) / len(ranks) if ranks else None, "days": len(returns),
           "daily_sharpe": daily * math.sqrt(365) if daily is not None else None,
           "kept": mean["mean"] / inside_bps if mean["mean"] is not None and inside_bps and inside_bps > 0 else None}
    return out | {"verdict": _forward_verdict(out)}


def _daily_nets(trades: Trades, span: tuple[int, int]) -> list[float]:
    """Net of each whole day of a test span, in money: with one account size the Sharpe ratio is that of returns."""
    days = [0.0] * int((span[1] - span[0]) // DAY_NS)
    for ts, net in zip(trades["closed_ns"], trades["net"], strict=True):
        day = (ts - span[0]) // DAY_NS
        if 0 <= day < len(days):
            days[day] += net
    return days


def _weighted(pairs: list[tuple[float | None, int]]) -> float | None:
    total = sum(n for v, n in pairs if v is not None)
    return math.fsum(v * n for v, n in pairs if v is not None) / total if total else None


def _forward_verdict(f: dict[str, Any]) -> str:
    inside, outside, folds = f["in_sample_bps"], f["out_of_sample_bps"], len(f["rows"])
    if outside is None:
        return "No trade was closed on any test span."
    told = f"Chosen on the past, judged on the next span: {number(outside, 1, True)} bps a trade out of sample"
    told += f" against {number(inside, 1, True)} in sample" if inside is not None else ""
    told += f"; {f['positive_folds']} of {folds} folds earned money. "
    if f["low_bps"] is not None and f["low_bps"] > 0:
        return told + "The gain out of sample is beyond chance."
    if f["high_bps"] is not None and f["high_bps"] < 0:
        return told + "Out of sample it is a loss beyond chance."
    if f["low_bps"] is None:
        return told + "The trades out of sample lie in too few stretches of time to tell it from chance."
    return told + "Out of sample it is not distinguishable from zero."


def trials(run: Run, ledger: Ledger, study: Study) -> dict[str, Any]:
    """Deflated Sharpe ratio of the run's days, and the probability of overfitting where the days of all settings are at hand. Without a trial log one
    trial is assumed, and said."""
    logged = study.get("trials")
    returns, _ = daily_returns(run, ledger)
    out = deflated_sharpe(returns, logged["n"] if logged else 1, logged["sharpe_daily_sd"] if logged else None)
    out |= {"source": logged["source"] if logged else "no trial log: one trial is assumed", "logged": bool(logged), "overfitting": None,
            "problem": ""}
    name = logged.get("matrix") if logged else None
    if name:
        try:
            out["overfitting"] = overfitting(_matrix(run.folder, name))
        except DataError as error:
            out["problem"] = str(error)
    return out


def _matrix(folder: Path, name: str) -> np.ndarray:
    path = folder / name
    if path.parent != folder:
        raise DataError(str(path), "lies outside the run", "a file in the run's folder")
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({error})", "an .npy of (days, settings)") from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not np.isfinite(matrix).all():
        raise DataError(str(path), f"{getattr(matrix, 'dtype', '?')} of shape {getattr(matrix, 'shape', '?')}", "finite numbers (days, settings)")
    return matrix
