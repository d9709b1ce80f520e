"""Sections of the page about what a backtest tried besides the run: whether the result can be believed."""

from typing import Any

from liqshell.report import plots
from liqshell.report.elements import empty, esc, muted, section, signed, slim, table, two
from liqshell.report.expected import BPS, HIGHER, LOWER, PER_DAY, RATIO, SECONDS, SHARE
from liqshell.report.text import NONE, believe, interval, number, percent, plural, seconds, when

bps = lambda v: number(v, 1, True)  # noqa: E731


def belief(s: dict[str, Any]) -> str:
    """The questions that a result must stand, each with its answer in a sentence. Only for backtests: a live run is one draw of the world."""
    if s["mode"] != "backtest":
        return ""
    marks = {"good": "✓", "bad": "✕", "open": "?", "none": "–"}
    rows = [(f'<span class="mark {state}">{marks[state]}</span>', f"<b>{esc(question)}</b>", esc(answer)) for question, state, answer in believe(s)]
    body = table(("", "question", "answer"), rows)
    if s["problems"]:
        body += "<h3>Not done</h3><ul class='plain'>" + "".join(f"<li>{esc(p)}</li>" for p in s["problems"]) + "</ul>"
    return section("Can it be believed?", body, "✓ speaks for the result, ✕ against it, ? cannot tell, – was not tried.", "belief")


def delays(s: dict[str, Any]) -> str:
    found = s["delays"]
    if found is None:
        return ""
    rows = [(seconds(r["delay_s"]), f"{r['entries']:,}", f"{r['trades']:,}", percent(r["win_rate"], 0), number(r["gross_bps"], 1, True),
             signed(r["mean_bps"], number(r["mean_bps"], 1, True)), esc(interval(r["low_bps"], r["high_bps"], bps))) for r in found["rows"]]
    body = plots.delays(found["rows"]) + table((">delay", ">entries", ">trades", ">won", ">gross bps", ">net bps", ">95 %"), rows)
    return section("Reaction delay", body, "Net per trade in bps when each signal is acted upon so much later. Bars: 95 % interval.", "delays",
                   found["verdict"])


def controls(s: dict[str, Any]) -> str:
    found = s["controls"]
    if found is None:
        return ""
    rows = [(f'<span title="{esc(r["meaning"])}">{esc(r["name"])}</span>', f"{r['draws']:,}", number(r["trades_per_draw"], 1),
             bps(r["p05_bps"]), bps(r["median_bps"]), bps(r["p95_bps"]), number(r["p"], 3) if r["p"] is not None else NONE) for r in found["rows"]]
    body = plots.controls(found["rows"], found["mean_bps"]) + table(("control", ">draws", ">trades a draw", ">5 %", ">median", ">95 %", ">p"), rows)
    return section("Controls", body, "Net per trade in bps of trading the same data without knowledge. p: share of draws that did at least as well "
                   "as this run, which counts as one of them.", "controls", found["verdict"])


def _chosen(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.rsplit('.', 1)[-1]} {value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else f"{name} {value}"
                     for name, value in values.items())


def _days(start_ns: int, end_ns: int) -> str:
    return f"{when(start_ns)[:10]} – {when(end_ns)[:10]}"


def forward(s: dict[str, Any]) -> str:
    f = s["forward"]
    if f is None:
        return ""
    rows = [(str(r["fold"]), _days(r["train_start_ns"], r["train_end_ns"]), _days(r["test_start_ns"], r["test_end_ns"]),
             f"{r['settings']:,}", esc(_chosen(r["chosen"])), f"{r['train_trades']:,}", number(r["train_bps"], 1, True), f"{r['test_trades']:,}",
             signed(r["test_bps"], number(r["test_bps"], 1, True)), percent(r["test_rank"], 0)) for r in f["rows"]]
    rows.append(("", "all test spans", "", "", "", "", bps(f["in_sample_bps"]), f"{f['trades']:,}", bps(f["out_of_sample_bps"]),
                 percent(f["mean_rank"], 0)))
    note = [f"95 % {interval(f['low_bps'], f['high_bps'], bps)} bps"] if f["low_bps"] is not None else []
    if f["kept"] is not None:
        note.append(f"{percent(f['kept'], 0)} of the in-sample result was kept")
    if f["daily_sharpe"] is not None:
        note.append(f"daily Sharpe × √365 over {f['days']} test days: {number(f['daily_sharpe'])}")
    if f["mean_rank"] is not None:
        note.append(f"the chosen setting beat {percent(f['mean_rank'], 0)} of all settings on the test spans (50 % = luck)")
    columns = ("fold", "chosen on", "judged on", ">settings", "chosen", ">trades in", ">bps in", ">trades out", ">bps out", ">rank out")
    body = '<div class="picture">' + plots.folds(f["rows"]) + "</div>" + table(columns, rows, foot=1) + f'<p class="sub">{esc("; ".join(note))}</p>'
    sub = (f"Parameters with the best {f['objective']} on one span, judged on the next ({f['scheme']}, {seconds(f['embargo_s'])} left out between). "
           "Hollow: in sample. Full: out of sample.")
    return section("Walk-forward", body, sub, "forward", f["verdict"])


def trials(s: dict[str, Any]) -> str:
    """What the number of settings tried does to the result."""
    t = s["trials"]
    if s["mode"] != "backtest" and not t["logged"]:
        return ""
    daily = lambda v: number(v, 3)  # noqa: E731
    rows = [("settings looked at", f"{t['trials']:,}", t["source"]),
            ("Sharpe of a day", daily(t["sharpe_daily"]), plural(t["days"], "day")
             + (f", skewness {number(t['skew'])}, kurtosis {number(t['kurtosis'])}" if t["skew"] is not None else "")),
            ("what luck alone would give", daily(t["hurdle_daily"]), "the best of so many worthless settings; their scatter "
             + ("from the trial log" if t["sd_source"] == "trials" else "estimated from this run")),
            ("deflated Sharpe", percent(t["deflated"]) if t["deflated"] is not None else "not enough days",
             "probability that the true Sharpe ratio is above that")]
    o = t["overfitting"]
    if o is not None:
        rows.append(("probability of overfitting", percent(o["pbo"]) if o["pbo"] is not None else "not enough days",
                     f"{o['ways']:,} ways to cut {o['days']} days in two, {o['settings']:,} settings: how often the best of one half is in the "
                     "lower half of the other (50 % = luck)"))
        rows.append(("loses out of sample", percent(o["loss"]), "share of those ways in which the best setting lost money on the other half"))
    if t["problem"]:
        rows.append(("problem", NONE, t["problem"]))
    return section("Trials", slim(table(("", ">value", ""), [(esc(a), esc(v), muted(n)) for a, v, n in rows])),
                   "A result that was chosen among many is better than it will be.", "trials")


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    show = {SHARE: lambda v: percent(v, 2 if 5e-5 < abs(v) < 0.02 else 0), PER_DAY: lambda v: number(v, 1), BPS: bps, SECONDS: seconds,
            RATIO: number}.get(unit, lambda v: f"{v:g}")
    return show(value)


def expected(s: dict[str, Any]) -> str:
    """Promised and observed, side by side."""
    if not s["expected"]:
        return ""
    def tone(r: dict[str, Any]) -> str:
        bad = {"below": r["measure"] in HIGHER, "above": r["measure"] in LOWER}.get(r["verdict"], False)
        return "bad" if bad else "good" if r["verdict"] == "as claimed" else "open"

    rows = []
    for r in s["expected"]:
        low, high = _amount(r["claimed_low"], r["unit"]), _amount(r["claimed_high"], r["unit"])
        seen = _amount(r["observed"], r["unit"])
        if r["observed_low"] is not None:
            seen += f" ({_amount(r['observed_low'], r['unit'])} to {_amount(r['observed_high'], r['unit'])})"
        rows.append((f"<span class='nowrap'>{esc(r['id'])}</span>", esc(r["what"]), esc(low if low == high else f"{low} to {high}"), esc(seen),
                     f'<span class="verdict-{tone(r)}">{esc(r["verdict"])}</span>', muted(r["note"])))
    return section("Promised and observed", table(("claim", "", ">promised", ">observed (95 %)", "", "note"), rows),
                   "What the authors of the preset expect beside this run. below, above: the observed interval lies outside. not contradicted: "
                   "it overlaps.",
                   "expected")


def all_of(s: dict[str, Any]) -> str:
    """Everything of the study in its order; empty for a run without one."""
    out = two(delays(s), controls(s)) + forward(s) + two(trials(s), "") + expected(s)
    if s["mode"] == "backtest" and not any(s[key] for key in ("delays", "controls", "forward")):
        none = empty("This backtest was run without delays, controls and walk-forward: nothing here speaks for or against it.")
        out = section("Robustness", none) + out
    return out
