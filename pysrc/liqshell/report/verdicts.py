"""The verdict on a result: the only module that turns a number with its n and its 95 % interval into a word.

Run report, sweep, comparison, maps and gate, on the page, in the terminal and as JSON, ask here. No verdict is given without an interval, none on
fewer observations than `least`, and a tick and the sentence beside it are made by the same function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from liqshell.pages import signed
from liqshell.report.labels import LOWERED, OF_ACCOUNT
from liqshell.report.luck import DAYS_MIN, KNOWN
from liqshell.report.statistics import CLUSTERS_MIN, FEW, Z
from liqshell.report.text import count, interval, money, number, percent, plural, seconds, when

GAIN, LOSS, ZERO, THIN = "gain", "loss", "zero", "too few"
UNKNOWN, BELOW, ABOVE, CLAIMED, OVERLAPS = "cannot tell", "below", "above", "as claimed", "not contradicted"
CONTAMINATED = "CONTAMINATED"
WHY = "A live model answered questions about the past, and may know what happened next. No number of this run shows what it would have earned."
SLOW_S = 1.0  # a gain that is gone by then is one of latency
Show = Callable[[float | None], str]


def bps(value: float | None) -> str:
    return number(value, 1, True)


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and what stands behind it. low, high: its 95 % interval, None where n allows none. n: how many `unit` were seen; least: of them, below
    which nothing is concluded. why: why there is no number or no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: float = 0
    unit: str = "trade"
    least: float = FEW
    why: str = ""

    @property
    def count(self) -> str:
        """How many of what."""
        return plural(int(self.n), self.unit) if self.n == int(self.n) else f"{number(self.n)} {self.unit}s"

    @property
    def missing(self) -> str:
        """Why nothing may be concluded, "" where something may."""
        if self.value is None:
            return self.why or "nothing was measured"
        if self.n < self.least:
            return f"{self.count}; {self.least:g} are needed"
        return (self.why or "no interval") if self.low is None or self.high is None else ""

    @property
    def sign(self) -> str:
        """GAIN or LOSS beyond chance, ZERO where the interval holds 0, THIN where nothing may be concluded."""
        if self.missing or self.low is None or self.high is None:
            return THIN
        return GAIN if self.low > 0 else LOSS if self.high < 0 else ZERO

    def against(self, least: float | None, most: float | None) -> str:
        """The number beside a promise (None = open on that side): BELOW or ABOVE where the whole interval lies outside, CLAIMED where all of it lies
        inside, else OVERLAPS; UNKNOWN without a number, THIN where nothing may be concluded."""
        if self.value is None:
            return UNKNOWN
        if self.missing or self.low is None or self.high is None:
            return THIN
        if least is not None and self.high < least:
            return BELOW
        if most is not None and self.low > most:
            return ABOVE
        return CLAIMED if (least is None or self.low >= least) and (most is None or self.high <= most) else OVERLAPS

    def describe(self, show: Show = number, unit: str = "") -> str:
        """The number with its unit, interval and n, or with the reason why it has none."""
        if self.value is None:
            return self.missing
        count = f"n = {self.n:,.0f}" if self.unit == "trade" else self.count
        if self.low is None or self.high is None:
            return f"{show(self.value)}{unit} ({count}, no interval" + (f": {self.why})" if self.why else ")")
        return f"{show(self.value)}{unit} (95 % {interval(self.low, self.high, show)}, {count})"


def coloured(found: Measured, text: str) -> Markup:
    """The text as HTML, green or red only where the number is a gain or a loss beyond chance."""
    return signed(found.value if found.sign in (GAIN, LOSS) else None, text)


def of_mean(t: Mapping[str, Any]) -> Measured:
    """Of a mean with its interval: per_trade of a report, statistics.spaced_mean."""
    return Measured(t["mean"], t["low"], t["high"], t["n"], why=clustered(t) if t["n"] and t["low"] is None and "cluster_s" in t else "")


def of_delay(row: Mapping[str, Any]) -> Measured:
    """Of a row of the delays."""
    return Measured(row["mean_bps"], row["low_bps"], row["high_bps"], row["trades"])


def of_median(values: Sequence[float]) -> Measured:
    """The median, with its interval by the ranks of the values (a binomial count lies on each side of it)."""
    ordered, n = sorted(values), len(values)
    if not n:
        return Measured(None)
    first, last = math.floor(n / 2 - Z * math.sqrt(n) / 2) - 1, math.ceil(n / 2 + Z * math.sqrt(n) / 2)
    inside = first >= 0 and last < n
    return Measured(ordered[(n - 1) // 2], ordered[first] if inside else None, ordered[last] if inside else None, n)


def clustered(t: Mapping[str, Any]) -> str:
    """The grouping of the interval of per_trade, or the reason why there is no interval."""
    by_day = t["cluster_s"] == 86_400
    if t["low"] is not None:
        return "clustered by day" if by_day else f"clustered by stretches of {seconds(t['cluster_s'])}"
    count = plural(t["clusters"], "day") if by_day else f"{t['clusters']} stretch{'es' * (t['clusters'] != 1)} of {seconds(t['cluster_s'])}"
    return f"trades in {count}; an interval needs {CLUSTERS_MIN}"


def warned(contaminated: object) -> str:
    """The first words of a verdict if a live model answered questions about the past."""
    return f"{CONTAMINATED}: a live model answered questions about the past. " if contaminated else ""


def damaged(s: Mapping[str, Any]) -> str:
    """Of a report.json: what must be known of its audit stream before any number is read; "" = nothing."""
    return f"{s['damage']}. Every number below may be wrong." if s.get("damage") else ""


def contaminated(s: Mapping[str, Any]) -> bool:
    """Of a report.json."""
    asked = s.get("judge")
    return bool(asked and asked["contaminated"])


def verdict(s: Mapping[str, Any]) -> str:
    """The result of a run in a sentence or two that claim no more than n allows. A walk-forward leads with what was left out of sample."""
    f = s.get("forward")
    if f is None:
        return warned(contaminated(s)) + _of_run(s)
    return f"{f['verdict']} The run itself, with the configured setting over all days: {_of_run(s)}"


def _of_run(s: Mapping[str, Any]) -> str:
    t = s["per_trade"]
    if not t["n"]:
        return "No trade was closed, so the run says nothing about the policy."
    trades, found = plural(t["n"], "closed trade"), of_mean(t)
    if t["low"] is None:
        why = clustered(t)
        return f"{trades}, mean net {bps(t['mean'])} bps of notional. There are too few for more. {why[0].upper()}{why[1:]}."
    head = (
        f"{trades}, mean net {bps(t['mean'])} bps of notional per trade "
        f"(95 % interval {interval(t['low'], t['high'], bps)}, t = {number(t['t'], 2)}, {clustered(t)}): "
    )
    return (
        head
        + {
            GAIN: "a gain beyond chance at this level, on this run only.",
            LOSS: "a loss beyond chance at this level, on this run only.",
            ZERO: "not distinguishable from zero.",
            THIN: f"n is below {FEW}: too few for a verdict.",
        }[found.sign]
    )


def delays(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """(state, sentence) of the result at each reaction delay, shortest first. good: a gain beyond chance at every delay. bad: a loss beyond chance,
    and no gain at SLOW_S or later."""
    traded = [r for r in rows if r["mean_bps"] is not None]
    if not traded:
        return "open", "No delay has a closed trade."
    found = [(r["delay_s"], of_delay(r)) for r in traded]
    gains, losses = ([at for at, m in found if m.sign == sign] for sign in (GAIN, LOSS))
    state = "good" if len(gains) == len(found) else "bad" if losses and max(gains, default=0.0) < SLOW_S else "open"
    first, last = traded[0], traded[-1]
    text = f"Net per trade {bps(first['mean_bps'])} bps at {seconds(first['delay_s'])}, {bps(last['mean_bps'])} bps at {seconds(last['delay_s'])}"
    if gains:
        text += f": a gain beyond chance at {len(gains)} of {len(found)} delays, the slowest {seconds(gains[-1])}."
    elif all(m.sign == THIN for _, m in found):
        text += ": every delay has too few trades to tell a result from chance."
    elif max(r["mean_bps"] for r in traded) <= 0:
        text += ": no delay covers its costs."
    else:
        best = max(traded, key=lambda r: r["mean_bps"])
        text += f": at no delay is the gain beyond chance (best {bps(best['mean_bps'])} bps at {seconds(best['delay_s'])})."
    return state, text


def belief(s: Mapping[str, Any]) -> list[dict[str, str]]:
    """Checks of a backtest: question, state, answer. state is good, bad, open (the numbers cannot tell) or none (it was not tried). Nothing is
    good where quotes do not cover the traded time: what a taker would have paid is then not known; nor where a live model was asked about the
    past."""
    t, d, f, c = s["per_trade"], s["delays"], s["forward"], s["controls"]
    by_sign = {GAIN: "good", LOSS: "bad", ZERO: "open", THIN: "open"}
    earned = of_mean(t)
    text = _of_run(s) if t["low"] is None else f"{earned.describe(bps, ' bps a trade net')}, {clustered(t)}."
    text += f" Too few: {earned.missing}." if earned.missing and t["low"] is not None else ""
    rows = [("Does it cover its costs?", by_sign[earned.sign], text)]
    edge = None if c is None or t["n"] < FEW else c["edge"]
    rows.append(
        (
            "Is it better than chance entries?",
            "none" if c is None else "open" if edge is None else "good" if edge else "bad",
            "No controls were run." if c is None else c["verdict"],
        )
    )
    rows.append(("Does it survive a slower reaction?", *(("none", "No other delays were run.") if d is None else delays(d["rows"]))))
    state = "none" if f is None else by_sign[Measured(f["out_of_sample_bps"], f["low_bps"], f["high_bps"], f["trades"]).sign]
    rows.append(("Does it work on days not used to choose it?", state, "No walk-forward was run." if f is None else f["verdict"]))
    rows += [_luck(s["trials"]), _data(s)]
    why = "a live model answered questions about the past" if contaminated(s) else s["quotes"]["weakness"]
    return [
        {"question": q, "state": "open", "answer": f"{text} Not passed: {why}."}
        if why and state == "good"
        else {"question": q, "state": state, "answer": text}
        for q, state, text in rows
    ]


def _data(s: Mapping[str, Any]) -> tuple[str, str, str]:
    parts = s["data"]["parts"]
    weak = [f"{p['symbol']} {p['completeness']}" for p in parts if p["completeness"] != "FULL"]
    weak += ["modelled time of receipt"] if any(p["receipt"] == "modelled" for p in parts) else []
    covered = [p["covered"] for p in parts if p["covered"] is not None]
    share, quoted = sum(covered) / len(covered) if covered else 0.0, s["quotes"]["quoted"]
    held = percent(quoted) if quoted is not None else "an unknown part"
    text = f"data cover {percent(share, 0)} of the time, live quotes {held} of the traded time"
    text += f"; {', '.join(weak)}." if weak else "; every feed is FULL."
    if s["synthetic"]:
        text = "SYNTHETIC: no evidence about a real market. " + text
    bad = s["synthetic"] or share < 0.5 or quoted is not None and quoted < 0.5
    return "Is the data good enough?", "bad" if bad else "open" if weak or share < 0.9 else "good", text


def _luck(t: Mapping[str, Any]) -> tuple[str, str, str]:
    question = "Is it better than the best of many tries?"
    o = t["overfitting"]
    walked = (
        ""
        if o is None or o["pbo"] is None
        else (f" Walk-forward: probability of overfitting {percent(o['pbo'])}, probability that the chosen setting loses {percent(o['loss'])}.")
    )
    if t["p_superior"] is None:
        text = f"{plural(t['days'], 'whole day')} of results: too few; {DAYS_MIN} with trades are needed."
        state = "open" if t["logged"] else "none"
    else:
        best = plural(t["trials"], "setting without an edge", "settings without an edge")
        text = (
            f"The best of {best} on these data does as well in {percent(t['p_superior'])} of resamples of its days and in "
            f"{percent(t['p_shape'])} of draws of their shape; deflated Sharpe {percent(t['deflated'])}."
        )
        state = "good" if t["edge"] else "bad" if max(t["p_superior"], t["p_shape"]) >= 0.5 else "open"
        text += "" if t["logged"] else " There is no trial log, so one trial is assumed."
        if t["settings"] < KNOWN * t["trials"]:
            text += f" Daily results exist for only {t['settings']:,} of them, so an edge cannot be confirmed."
    text += " No trade of this setting met a move far beyond its stop; these numbers do not include the cost of one." if t["unmet"] else ""
    text += f" {t['problem']}." if t["problem"] else ""
    state = "bad" if walked and o["pbo"] >= 0.5 else state
    return question, state if t["logged"] or state == "bad" else min(state, "open", key=("none", "open", "good").index), text + walked


def stopped(s: Mapping[str, Any]) -> list[str]:
    """Streams of liquidations that stopped while their market went on, in a sentence each."""
    out = []
    for one in s["feed"]["suspect"]:
        until = f"until {when(one['until'])} ({one['ended']})" if one["until"] is not None else "to the end of the run"
        out.append(
            f"{one['venue']}: liquidations of {', '.join(one['symbols'])} are missing from {when(one['since'])} {until}. Trades continued, "
            f"and such a silence is improbable for this stream. It counts as a gap; from its discovery ({when(one['at'])}) there were no "
            "entries on it."
        )
    return out


def bars_only(s: Mapping[str, Any]) -> bool:
    """Whether nothing looked for cascades: that none was seen says nothing then."""
    return {one["kind"] for one in s["detectors"]} == {"bars"}


def of_row(s: Mapping[str, Any]) -> str:
    """The row of a sweep that this backtest repeats, and what acted here that the sweep's kernel does not have; '' for a run of its own."""
    row = s["sweep"]
    if not row:
        return ""
    acted = ["smaller entries after few fills ([limits] fill_rate_min)"] if any(one["what"] == LOWERED for one in s["feed"]["limits"]) else []
    acted += [f"{one['reason']} ({plural(one['n'], 'refusal')})" for one in s["why_not"] if one["reason"] in OF_ACCOUNT]
    acted += [f"funding ({money(s['money']['funding'], True)})"] if s["money"]["funding"] else []
    why = f" The kernel of the sweep has no account. Here acted: {', '.join(acted)}." if acted and row.get("by") == "kernel" else ""
    return f"which has it at {money(row['net'], True)} in {count(row['trades'])} trades.{why}"


def halted(s: Mapping[str, Any]) -> str:
    """Since when nothing may be entered, and why; '' where the run ended free to trade. Results of days on which nothing could happen are no calm."""
    bans = [limit for limit in s["feed"]["limits"] if limit["what"] != LOWERED]
    last = max(bans, key=lambda limit: limit["ts"], default=None)
    if last is None or last["what"] == "resumed":
        return ""
    share = (s["ended_ns"] - last["ts"]) / max(1, s["ended_ns"] - s["started_ns"])
    return f"No entry was allowed from {when(last['ts'])} UTC on ({last['reason']}): {percent(share, 0)} of the run."
