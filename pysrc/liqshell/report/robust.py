"""The robustness of a result: at other delays, against controls without information, on days that did not choose the parameters, and given the number
of tried settings. It reads study.json; every answer has a plain sentence that claims no more than the numbers allow."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liqshell.errors import DataError
from liqshell.report import verdicts
from liqshell.report.coverage import DAY_NS, calendar, gaps, whole
from liqshell.report.luck import assess
from liqshell.report.overfit import NORMAL, overfitting
from liqshell.report.results import daily_returns
from liqshell.report.run import Run
from liqshell.report.statistics import FEW, daily_sharpe, spaced_mean
from liqshell.report.stories import Ledger
from liqshell.report.study import Control, Study, Trades
from liqshell.report.text import number, plural

CONTROLS = {
    "random_side": ("random side", "the same entries, each long or short at random"),
    "inverted_side": ("inverted side", "the same entries on the other side"),
    "random_time": ("random time", "the same number of entries, at random moments"),
    "every_30_min": ("every 30 minutes", "entries at fixed times, whatever the market does"),
}
FIXED = ("inverted_side", "every_30_min")  # nothing is drawn: their few runs are no distribution
LIKELY = 0.05
BEYOND = 1.5  # a loss of more than so many times the stop is a move through it


def mean_of(found: Sequence[Trades], held_s: float) -> dict[str, Any]:
    """Mean net bps of trades and its interval (spaced_mean). held_s: the holding time of the run's own trades, for a study that does not state it."""
    held = max((s for trades in found for s in trades.get("held_s", [held_s])), default=0.0)
    return spaced_mean(
        [v for trades in found for v in trades["return_bps"]], [ts for trades in found for ts in trades["closed_ns"]], round(held * 1e9)
    )


def delays(study: Study, held_s: float = 0.0) -> dict[str, Any] | None:
    """The result at each reaction delay, shortest first, and what it says. held_s: see mean_of."""
    found = study.get("delays")
    if not found:
        return None
    rows = []
    for d in sorted(found, key=lambda d: d["delay_s"]):
        o, mean = d["outcome"], mean_of([d["trades"]], held_s)
        rows.append(
            {
                "delay_s": d["delay_s"],
                "entries": o["entries"],
                "trades": o["trades"],
                "win_rate": o["wins"] / o["trades"] if o["trades"] else None,
                "net": o["net"],
                "mean_bps": mean["mean"],
                "low_bps": mean["low"],
                "high_bps": mean["high"],
                "gross_bps": o["gross"] / o["notional"] * 1e4 if o["notional"] else None,
            }
        )
    state, text = verdicts.delays(rows)
    return {"rows": rows, "state": state, "verdict": text}


def controls(study: Study, real: dict[str, Any], tried: float = 1.0) -> dict[str, Any] | None:
    """The run's mean net return of a trade among those of its controls. p: share of draws that did at least as well, the run itself counted
    (Phipson, Smyth 2010); None for a control that is not drawn. A control explains the run, too, where its median lies inside the run's own 95 %
    interval: draws that trade more often than the run scatter less, so beating all of them is easier than 1 in (draws + 1). Without an interval no
    edge is claimed. tried: of how many independent settings the run is the best; p_selected is p after that choice (selected)."""
    found = study.get("controls")
    if not found:
        return None
    mean = real["mean"]
    rows = [_control(c, mean, tried) for c in found]
    drawn, fixed = [r for r in rows if r["p"] is not None], [r for r in rows if r["p"] is None and r["median_bps"] is not None]
    out: dict[str, Any] = {"rows": rows, "tried": tried, "mean_bps": mean, "edge": None}
    if mean is None:
        return out | {"verdict": "The run closed no trade, so there is nothing to compare."}
    if not drawn and not fixed:
        return out | {"verdict": "No control closed a trade, so there is nothing to compare with."}
    low = real["low"]
    lost = [
        r["name"]
        for r in rows
        if r["p"] is not None and r["p_selected"] > LIKELY or r["median_bps"] is not None and r["median_bps"] >= (mean if low is None else low)
    ]
    if real["n"] < FEW:
        text = f"{plural(real['n'], 'trade')}; a comparison with the controls needs {FEW}. So far: " + (
            f"{_list(lost)} did as well as the policy's {number(mean, 1, True)} bps, or the difference may be chance."
            if lost
            else f"the policy's {number(mean, 1, True)} bps a trade is above the controls."
        )
        return out | {"verdict": text}
    if lost:
        text = f"No edge over the controls: {_list(lost)} did as well as the policy's {number(mean, 1, True)} bps, or the difference may be chance."
    elif low is None and mean > 0:
        text = (
            f"No edge is shown: {number(mean, 1, True)} bps a trade is above the controls, but the trades cover too few separate stretches of "
            "time for an interval."
        )
    elif mean > 0:
        text = f"An edge over the controls: {number(mean, 1, True)} bps a trade is more than {_list([r['name'] for r in rows])} explain."
    else:
        text = (
            f"Better than the controls, but a loss: {number(mean, 1, True)} bps a trade. The entries are better than chance and do not cover "
            "their costs."
        )
    edge = None if not lost and low is None and mean > 0 else not lost and mean > 0
    few = f" It is the best of {tried:,.0f} independent settings, so the test is stricter than for a single one." if tried > 1.5 and lost else ""
    return out | {"edge": edge, "verdict": text + few}


def selected(mean: float, draws: Sequence[float], tried: float) -> float:
    """p of the best of `tried` independent settings against draws of its own control: how often the best of so many worthless ones would do as well.

    One draw of the control does as well with a probability that a few draws cannot show, so their mean and spread extend them by Student's t, of a
    further draw; where more draws did as well than that says, they decide. The best of `tried` then counts by Sidak.
    """
    n, above = len(draws), sum(v >= mean for v in draws)
    plain = (1 + above) / (1 + n)
    if tried <= 1.0 or n < 3:
        return plain if tried <= 1.0 else 1.0
    middle, spread = math.fsum(draws) / n, float(np.std(draws, ddof=1))
    if spread <= 0.0:
        return 1.0
    t, df = (mean - middle) / (spread * math.sqrt(1 + 1 / n)), n - 1
    # Wallace (1959): a normal deviate with the tail of Student's t
    normal = math.copysign((8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log1p(t * t / df)), t)
    return max(plain, 1.0 - (1.0 - max(NORMAL.cdf(-normal), above / (1 + n))) ** tried)


def _control(c: Control, mean: float | None, tried: float) -> dict[str, Any]:
    name, meaning = CONTROLS.get(c["kind"], (c.get("name") or c["kind"].replace("_", " "), ""))
    values = sorted(d["mean_bps"] for d in c["draws"] if d["mean_bps"] is not None)
    count = len(values)
    p = (1 + sum(v >= mean for v in values)) / (1 + count) if mean is not None and count > 1 and c["kind"] not in FIXED else None
    quantile = [float(q) for q in np.quantile(values, [0.05, 0.5, 0.95])] if values else [None, None, None]
    return {
        "kind": c["kind"],
        "name": name,
        "meaning": meaning,
        "draws": count,
        "seed": c["seed"],
        "trades": sum(d["trades"] for d in c["draws"]),
        "trades_per_draw": sum(d["trades"] for d in c["draws"]) / len(c["draws"]) if c["draws"] else 0.0,
        "p05_bps": quantile[0],
        "median_bps": quantile[1],
        "p95_bps": quantile[2],
        "p": p,
        "p_selected": selected(mean, values, tried) if p is not None and mean is not None else None,
        "values_bps": values,
    }


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def forward(study: Study, held_s: float = 0.0, contaminated: bool = False) -> dict[str, Any] | None:
    """The walk: each fold in and out of sample, and all test spans together. held_s: see mean_of. contaminated: see verdicts.warned."""
    walk = study.get("forward")
    if not walk or not walk["folds"]:
        return None
    rows: list[dict[str, Any]] = []
    returns: list[float] = []
    for k, f in enumerate(walk["folds"], 1):
        inside, outside = f["train_outcome"], f["test_outcome"]
        rows.append(
            {
                "fold": k,
                "train_start_ns": f["train"][0],
                "train_end_ns": f["train"][1],
                "test_start_ns": f["test"][0],
                "test_end_ns": f["test"][1],
                "settings": f["settings"],
                "chosen": f["chosen"],
                "train_value": f["train_value"],
                "test_value": f["test_value"],
                "train_trades": inside["trades"],
                "test_trades": outside["trades"],
                "train_bps": inside["mean_bps"],
                "test_bps": outside["mean_bps"],
                "train_net": inside["net"],
                "test_net": outside["net"],
                "test_rank": f.get("test_rank"),
            }
        )
        returns += _daily_nets(f["test_trades"], f["test"])
    mean = mean_of([f["test_trades"] for f in walk["folds"]], held_s)
    inside_bps = _weighted([(r["train_bps"], r["train_trades"]) for r in rows])
    ranks = [r["test_rank"] for r in rows if r["test_rank"] is not None and mean["n"]]
    daily = daily_sharpe(returns)
    out = {
        "objective": walk["objective"],
        "scheme": walk["scheme"],
        "embargo_s": walk["embargo_s"],
        "rows": rows,
        "in_sample_bps": inside_bps,
        "out_of_sample_bps": mean["mean"],
        "low_bps": mean["low"],
        "high_bps": mean["high"],
        "trades": mean["n"],
        "net": math.fsum(r["test_net"] for r in rows),
        "positive_folds": sum(r["test_net"] > 0 for r in rows),
        "mean_rank": sum(ranks) / len(ranks) if ranks else None,
        "ranked": len(ranks),
        "days": len(returns),
        "daily_sharpe": daily["value"],
        "sharpe_low": daily["low"],
        "sharpe_high": daily["high"],
        "kept": mean["mean"] / inside_bps if mean["mean"] is not None and inside_bps and inside_bps > 0 else None,
    }
    return out | {"verdict": verdicts.warned(contaminated) + _forward_verdict(out)}


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
        return "No test span has a closed trade."
    text = f"Out of sample {number(outside, 1, True)} bps a trade (n = {f['trades']:,}), with parameters chosen on the span before"
    text += f", against {number(inside, 1, True)} in sample" if inside is not None else ""
    text += f"; {f['positive_folds']} of {folds} folds made a profit. "
    if f["low_bps"] is None:
        return text + "The trades out of sample cover too few separate stretches of time for a test against chance."
    found = verdicts.Measured(outside, f["low_bps"], f["high_bps"], f["trades"])
    return text + {
        verdicts.GAIN: "The gain out of sample is beyond chance.",
        verdicts.LOSS: "The loss out of sample is beyond chance.",
        verdicts.ZERO: "The result out of sample is not distinguishable from zero.",
    }.get(found.sign, f"There are too few for more: {found.missing}.")


def trials(run: Run, ledger: Ledger, study: Study) -> dict[str, Any]:
    """What luck.assess says of the run among all that was tried on its data, and the probability of overfitting where a walk left the days of all its
    settings. Without a trial log one trial is assumed and stated. unmet: no trade of this setting lost more than BEYOND times its stop; None where
    there is no trade with a stop."""
    logged = study.get("trials")
    daily, own, wrong = np.array(daily_returns(run, ledger)[0], float)[:, None], None, list(logged.get("problems", []) if logged else [])
    if logged and logged.get("daily"):
        try:
            daily, own = _matrix(run.folder, str(logged["daily"])), int(logged.get("own", 0))
            if not own < daily.shape[1]:
                raise DataError(f"{run.folder}: trials.own", str(own), f"a column of {daily.shape[1]}")
            days_of = calendar(run.started_ns, run.ended_ns, [gaps(run, ledger, n) for n in range(len(run.instruments))])
            daily = daily[whole(days_of, run.started_ns // DAY_NS, len(daily))]
        except DataError as error:
            daily, own = np.array(daily_returns(run, ledger)[0], float)[:, None], None
            wrong.append(str(error))
    found = assess(daily, logged["n"] if logged else 1, of=own)
    stop = ledger.of_trades("stop_loss")
    known = (stop > 0) & (ledger.trade_rows["entry_notional"] > 0)
    losses = (-ledger.trade_rows["gross"] / ledger.trade_rows["entry_notional"])[known]
    unmet = bool((losses <= BEYOND * stop[known]).all()) if len(losses) else None
    # a log that lost lines counts too few, and data unseen by a lone setting are unknown
    edge = None if found["edge"] and (wrong or unmet and found["settings"] == 1) else found["edge"]
    out = found | {
        "edge": edge,
        "unmet": unmet,
        "trials": found["tried"],
        "logged": bool(logged),
        "overfitting": None,
        "source": logged["source"] if logged else "no trial log: one trial is assumed",
    }
    try:
        walk = study.get("forward")
        traded = walk is None or any(fold["test_outcome"]["trades"] for fold in walk["folds"])
        out["overfitting"] = _overfitting(run.folder, logged) if logged and logged.get("matrix") and traded else None
    except DataError as error:
        wrong.append(str(error))
    return out | {"problem": " ".join(wrong)}


def _overfitting(folder: Path, logged: Any) -> dict[str, Any]:
    """Of the walk's settings that traded. The rank is by results before fees and funding, and among settings that enter alike, the worst of such
    groups: else it would find again and again who pays less. The loss is that of the net results."""
    net = _matrix(folder, str(logged["matrix"]))
    gross = _matrix(folder, str(logged["gross"])) if logged.get("gross") else net
    groups = np.array(logged.get("groups") or [""] * net.shape[1])
    if gross.shape != net.shape or groups.shape != net.shape[1:]:
        raise DataError(f"{folder}: {logged['gross']}", f"{gross.shape}, {groups.shape}", f"the shape of {logged['matrix']}, {net.shape}")
    whole = overfitting(net)
    parts = [found["pbo"] for group in np.unique(groups) if (found := overfitting(gross[:, groups == group]))["pbo"] is not None]
    return whole | {"pbo": max(parts, default=None)}


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
