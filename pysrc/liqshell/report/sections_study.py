"""Sections of the page about the checks of a backtest beside the run: delays, controls, other days, number of trials."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from liqshell.pages import bold, empty, figure, lines, muted, part, section, slim, span, sub, table, two
from liqshell.report import plots
from liqshell.report.expected import BPS, HIGHER, LOWER, PER_DAY, RATIO, SECONDS, SHARE
from liqshell.report.text import NONE, between, interval, number, percent, plural, seconds
from liqshell.report.verdicts import ABOVE, BELOW, CLAIMED, THIN, UNKNOWN, bps, coloured, of_delay


def belief(s: dict[str, Any]) -> Markup:
    """The questions that a result must stand, each with its answer in a sentence. Only for backtests: a live run is one draw of the world."""
    if s["mode"] != "backtest":
        return Markup()
    marks = {"good": "✓", "bad": "✕", "open": "?", "none": "–"}
    rows = [(span(marks[r["state"]], f"mark {r['state']}"), bold(r["question"]), r["answer"]) for r in s["belief"]]
    body = table(("", "question", "answer"), rows)
    if s["problems"]:
        body += part("Not done", lines(s["problems"]))
    return section("Can it be believed?", body, "✓ supports the result, ✕ speaks against it, ? cannot tell, – not tested.", "belief")


def delays(s: dict[str, Any]) -> Markup:
    found = s["delays"]
    if found is None:
        return Markup()
    rows = [
        (
            seconds(r["delay_s"]),
            f"{r['entries']:,}",
            f"{r['trades']:,}",
            percent(r["win_rate"], 0),
            number(r["gross_bps"], 1, True),
            coloured(of_delay(r), number(r["mean_bps"], 1, True)),
            interval(r["low_bps"], r["high_bps"], bps),
        )
        for r in found["rows"]
    ]
    body = figure(plots.delays(found["rows"])) + table((">delay", ">entries", ">trades", ">won", ">gross bps", ">net bps", ">95 %"), rows)
    return section(
        "Reaction delay", body, "Net per trade in bps if each entry comes later by this delay. Bars: 95 % interval.", "delays", found["verdict"]
    )


def controls(s: dict[str, Any]) -> Markup:
    found = s["controls"]
    if found is None:
        return Markup()
    rows = [
        (
            span(r["name"], title=r["meaning"]),
            f"{r['draws']:,}",
            number(r["trades_per_draw"], 1),
            bps(r["p05_bps"]),
            bps(r["median_bps"]),
            bps(r["p95_bps"]),
            number(r["p"], 3),
            number(r["p_selected"], 3),
        )
        for r in found["rows"]
    ]
    body = figure(plots.controls(found["rows"], found["mean_bps"]))
    body += table(("control", ">draws", ">trades a draw", ">5 %", ">median", ">95 %", ">p", ">p, chosen"), rows)
    return section(
        "Controls",
        body,
        "Net per trade in bps of trades on the same data without the policy's knowledge. p: share of draws at least "
        "as good as this run, which counts as a draw. p, chosen: corrected for the choice among "
        f"{plural(round(found['tried']), 'independent setting')}.",
        "controls",
        found["verdict"],
    )


def _chosen(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.rsplit('.', 1)[-1]} {value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else f"{name} {value}"
        for name, value in values.items()
    )


def forward(s: dict[str, Any]) -> Markup:
    f = s["forward"]
    if f is None:
        return Markup()
    rows = [
        (
            str(r["fold"]),
            between(r["train_start_ns"], r["train_end_ns"]),
            between(r["test_start_ns"], r["test_end_ns"]),
            f"{r['settings']:,}",
            _chosen(r["chosen"]),
            f"{r['train_trades']:,}",
            number(r["train_bps"], 1, True),
            f"{r['test_trades']:,}",
            number(r["test_bps"], 1, True),
            percent(r["test_rank"], 0),
        )
        for r in f["rows"]
    ]
    rows.append(
        ("", "all test spans", "", "", "", "", bps(f["in_sample_bps"]), f"{f['trades']:,}", bps(f["out_of_sample_bps"]), percent(f["mean_rank"], 0))
    )
    note = [f"95 % {interval(f['low_bps'], f['high_bps'], bps)} bps"] if f["low_bps"] is not None else []
    if f["kept"] is not None:
        note.append(f"{percent(f['kept'], 0)} of the in-sample result remains")
    if f["daily_sharpe"] is not None:
        within = interval(f["sharpe_low"], f["sharpe_high"])
        note.append(f"daily Sharpe × √365 over {f['days']} whole test days: {number(f['daily_sharpe'])} (95 % {within})")
    if f["mean_rank"] is not None:
        note.append(f"the chosen setting beat {percent(f['mean_rank'], 0)} of all settings on {plural(f['ranked'], 'test span')} (50 % = luck)")
    columns = ("fold", "chosen on", "judged on", ">settings", "chosen", ">trades in", ">bps in", ">trades out", ">bps out", ">rank out")
    body = figure(plots.folds(f["rows"]), "picture") + table(columns, rows, foot=1) + sub("; ".join(note))
    how = (
        f"Parameters with the best {f['objective']} on one span, tested on the next ({f['scheme']}, {seconds(f['embargo_s'])} left out between). "
        "Hollow: in sample. Filled: out of sample."
    )
    return section("Walk-forward", body, how, "forward", f["verdict"])


def trials(s: dict[str, Any]) -> Markup:
    """The effect of the number of settings tried on the result."""
    t = s["trials"]
    if s["mode"] != "backtest" and not t["logged"]:
        return Markup()
    daily = lambda v: number(v, 3)  # noqa: E731
    rows = [
        ("settings looked at", f"{t['trials']:,}", t["source"]),
        (
            "Sharpe of a day",
            daily(t["sharpe_daily"]),
            plural(t["days"], "day") + (f", skewness {number(t['skew'])}, kurtosis {number(t['kurtosis'])}" if t["skew"] is not None else ""),
        ),
        (
            "Hansen's SPA, p",
            percent(t["p_superior"]) if t["p_superior"] is not None else "not enough days",
            f"{t['settings']:,} settings with daily results: how often the best of them does as well if none has an edge",
        ),
        ("shape of all days, p", percent(t["p_shape"]), "the same for the best of all settings tried, with days drawn from all of them"),
        ("expected by luck alone", daily(t["hurdle_daily"]), "the best of as many settings without an edge; their spread is the sampling error"),
        (
            "deflated Sharpe",
            percent(t["deflated"]),
            "probability that the true Sharpe ratio is above that"
            + (f"; {t['days_needed']:,.0f} days are needed to show it" if t["days_needed"] else ""),
        ),
    ]
    if t["unmet"]:
        rows.append(
            (
                "moves beyond the stop",
                "none met",
                "no trade of this setting lost more than 1.5 times its stop; these numbers do not include the cost of one that does",
            )
        )
    o = t["overfitting"]
    if o is not None:
        rows.append(
            (
                "probability of overfitting",
                percent(o["pbo"]) if o["pbo"] is not None else "not enough days",
                f"{o['ways']:,} cuts of {o['days']} days into two halves, {o['settings']:,} settings with trades: how often the best of one "
                "half ranks in the lower half of the other, before costs and among settings with the same entries (50 % = luck)",
            )
        )
        rows.append(("loses out of sample", percent(o["loss"]), "share of those cuts in which the best setting lost money on the other half"))
    if t["problem"]:
        rows.append(("problem", NONE, t["problem"]))
    return section(
        "Trials",
        slim(table(("", ">value", ""), [(a, v, muted(n)) for a, v, n in rows])),
        "A result chosen among many overstates what will follow.",
        "trials",
    )


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    show: dict[str, Callable[[float], str]] = {
        SHARE: lambda v: percent(v, 2 if 5e-5 < abs(v) < 0.02 else 0),
        PER_DAY: lambda v: number(v, 1),
        BPS: bps,
        SECONDS: seconds,
        RATIO: number,
    }
    return show.get(unit, lambda v: f"{v:g}")(value)


def expected(s: dict[str, Any]) -> Markup:
    """Promised and observed, side by side."""
    if not s["expected"]:
        return Markup()

    def tone(r: dict[str, Any]) -> str:
        bad = {BELOW: r["measure"] in HIGHER, ABOVE: r["measure"] in LOWER}.get(r["verdict"], False)
        return "bad" if bad else "good" if r["verdict"] == CLAIMED else "open"

    rows, several = [], len({r["preset"] for r in s["expected"]}) > 1
    for r in s["expected"]:
        low, high = _amount(r["claimed_low"], r["unit"]), _amount(r["claimed_high"], r["unit"])
        seen = _amount(r["observed"], r["unit"])
        if r["observed_low"] is not None:
            seen += f" ({_amount(r['observed_low'], r['unit'])} to {_amount(r['observed_high'], r['unit'])})"
        note = "; ".join(filter(None, (r["why"] if r["verdict"] in (THIN, UNKNOWN) else "", r["note"])))
        whose = f"{r['preset']} " if several else ""
        rows.append(
            (
                span(f"{whose}{r['id']}", "nowrap"),
                r["what"],
                low if low == high else f"{low} to {high}",
                seen,
                span(r["verdict"], f"verdict-{tone(r)}"),
                muted(note),
            )
        )
    return section(
        "Promised and observed",
        table(("claim", "~", ">promised", ">observed (95 %)", "", "~note"), rows),
        "The claims of each preset's authors, and what was observed on the contracts that it traded. below, above: the observed interval "
        "lies outside the claim. as claimed: inside. not contradicted: it overlaps. too few: no interval, or too few observations.",
        "expected",
    )


def all_of(s: dict[str, Any]) -> Markup:
    """Everything of the study in its order; empty for a run without one."""
    out = two(delays(s), controls(s)) + forward(s) + two(trials(s), "") + expected(s)
    if s["mode"] == "backtest" and not any(s[key] for key in ("delays", "controls", "forward")):
        none = empty("This backtest ran without delays, controls and walk-forward, so it has no test of its result.")
        out = section("Robustness", none) + out
    return out
