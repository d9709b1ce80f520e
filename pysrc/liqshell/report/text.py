"""Numbers and times as a person reads them; the same in the terminal and on the page."""

import math
from datetime import UTC, datetime
from typing import Any

from liqshell.report.statistics import CLUSTERS_MIN, FEW

NONE = "–"


def money(value: float | None, sign: bool = False) -> str:
    """Quote currency, two decimals below ten thousand, none above."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    text = f"${size:,.2f}" if size < 10_000 else f"${size:,.0f}"
    if text in ("$0.00", "$0"):
        return "$0.00"
    return ("−" if value < 0 else "+" if sign else "") + text


def short_money(value: float) -> str:
    """For axes and labels of pictures, where there is little room: cents only below a hundred, thousands as k from a hundred thousand."""
    size = abs(value)
    cents = f"${size:.2f}".removesuffix(".00")
    text = "$0" if size < 0.005 else cents if size < 100 else f"${size:,.0f}" if size < 100_000 else f"${size / 1e3:,.0f}k"
    return ("−" if value < 0 and text != "$0" else "") + text


def compact(value: float | None) -> str:
    """A notional in a glance: $412k."""
    if value is None or not math.isfinite(value):
        return NONE
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / {"B": 1e9, "M": 1e6, "k": 1e3}[unit]
            return f"${scaled:,.0f}{unit}" if unit == "k" else f"${scaled:,.2f}{unit}"
    return f"${value:,.0f}"


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 1, sign: bool = False) -> str:
    return NONE if value is None else number(value * 100, digits, sign) + " %"


def price(value: float | None) -> str:
    """A price without the noise of floating point."""
    return NONE if not value else f"{value:.10g}"


def seconds(value: float | None) -> str:
    """A duration with the unit that suits it."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def millis(value: float | None) -> str:
    """A latency given in ms, from microseconds to seconds, three significant digits."""
    if value is None:
        return NONE
    scaled, unit = (value * 1e3, "µs") if value < 0.9995 else (value, "ms") if value < 999.5 else (value / 1e3, "s")
    return f"{scaled:.3g} {unit}" if scaled < 1000 else f"{scaled:,.0f} {unit}"


def when(ns: int, date: bool = True) -> str:
    """UTC, to the second."""
    if not ns:
        return NONE
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def iso(ns: int) -> str:
    """UTC to the microsecond, for files; '' for never."""
    if not ns:
        return ""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 1_000_000_000 // 1000:06d}Z"


def plural(n: int, word: str, many: str = "") -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {many or word + 's'}"


def interval(low: float | None, high: float | None, show: Any = number) -> str:
    return NONE if low is None or high is None else f"{show(low)} to {show(high)}"


def evidence(text: str | None) -> tuple[str, str, str]:
    """(grade, first sentence, the rest) of a preset's evidence, '' where there is none."""
    grade, _, why = (text or "").strip().partition(":")
    if not why:
        grade, _, why = grade.partition(" ")
    first, stop, rest = " ".join(why.split()).partition(". ")
    return grade.strip(), first + ("." if stop else ""), rest


def clustered(t: dict[str, Any]) -> str:
    """What the interval of per_trade takes together, or why there is none."""
    by_day = t["cluster_s"] == 86_400
    if t["low"] is not None:
        return "clustered by day" if by_day else f"clustered by stretches of {seconds(t['cluster_s'])}"
    count = plural(t["clusters"], "day") if by_day else f"{t['clusters']} stretch{'es' * (t['clusters'] != 1)} of {seconds(t['cluster_s'])}"
    return f"trades in {count}, an interval needs {CLUSTERS_MIN}"


def verdict(s: dict[str, Any]) -> str:
    """The result of a run in a sentence that claims no more than its n allows."""
    t = s["per_trade"]
    if not t["n"]:
        return "No trade was closed, so nothing can be said about the policy."
    trades = plural(t["n"], "closed trade")
    if t["low"] is None:
        return f"{trades}, mean net {number(t['mean'], 1, True)} bps of notional: too few to say more. {clustered(t)[0].upper()}{clustered(t)[1:]}."
    head = (f"{trades}, mean net {number(t['mean'], 1, True)} bps of notional per trade "
            f"(95 % interval {number(t['low'], 1, True)} to {number(t['high'], 1, True)}, t = {number(t['t'], 2)}, {clustered(t)}): ")
    if t["few"]:
        head = head[:-2] + f"; n below {FEW}, a hint at most): "
    if t["low"] <= 0 <= t["high"]:
        return head + "not distinguishable from zero."
    return head + ("a gain" if t["mean"] > 0 else "a loss") + " beyond chance at this level, on this run only."


def believe(s: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(question, state, answer): state is good, bad, open (the numbers cannot tell) or none (it was not tried). Nothing is good where quotes do not
    cover the traded time: what a taker would have paid is then not known."""
    t, d = s["per_trade"], s["delays"]
    if t["low"] is None:
        rows = [("Does it earn its costs?", "open", verdict(s))]
    else:
        state = "good" if t["low"] > 0 else "bad" if t["high"] < 0 else "open"
        told = f"{number(t['mean'], 1, True)} bps a trade net, 95 % {interval(t['low'], t['high'], lambda v: number(v, 1, True))}"
        rows = [("Does it earn its costs?", state, f"{told}, {clustered(t)}; n = {t['n']:,}.")]
    found = s["controls"]
    state = "none" if found is None else "open" if found["edge"] is None else "good" if found["edge"] else "bad"
    rows.append(("Is it more than chance entries?", state,
                 "No controls were run." if found is None else found["verdict"]))
    late = [r for r in d["rows"] if r["mean_bps"] is not None] if d else []
    gains = [r["delay_s"] for r in late if r["mean_bps"] > 0]
    state = "none" if d is None else "open" if not late else "good" if len(gains) == len(late) else "open" if gains and max(gains) >= 1 else "bad"
    rows.append(("Does it survive a slower reaction?", state, "No other delays were run." if d is None else d["verdict"]))
    f = s["forward"]
    state = "none" if f is None else "open" if f["low_bps"] is None or f["low_bps"] <= 0 <= f["high_bps"] else "good" if f["low_bps"] > 0 else "bad"
    rows.append(("Does it work on days that did not choose it?", state, "No walk-forward was run." if f is None else f["verdict"]))
    rows.append(_luck(s["trials"]))
    parts = s["data"]["parts"]
    weak = [f"{p['symbol']} {p['completeness']}" for p in parts if p["completeness"] != "FULL"]
    weak += ["time of receipt is modelled"] if any(p["receipt"] == "modelled" for p in parts) else []
    covered = [p["covered"] for p in parts if p["covered"] is not None]
    share = sum(covered) / len(covered) if covered else 0.0
    quoted, why = s["quotes"]["quoted"], s["quotes"]["weakness"]
    held = percent(quoted, 0) if quoted is not None else "an unknown part"
    told = f"{percent(share, 0)} of the time is covered, quotes hold for {held} of the traded time"
    told += f"; {', '.join(weak)}." if weak else "; every feed is FULL."
    if s["synthetic"]:
        told = "SYNTHETIC: no evidence about a real market. " + told
    bad = s["synthetic"] or share < 0.5 or quoted is not None and quoted < 0.5
    rows.append(("Is the data good enough?", "bad" if bad else "open" if weak or share < 0.9 else "good", told))
    return [(q, "open", f"{told} No tick: {why}.") if why and state == "good" else (q, state, told) for q, state, told in rows]


def _luck(t: dict[str, Any]) -> tuple[str, str, str]:
    question = "Is it more than the best of many tries?"
    if t["deflated"] is None:
        return question, "open" if t["logged"] else "none", f"{plural(t['days'], 'whole day')} of results: too few for a deflated Sharpe ratio."
    told = f"Deflated Sharpe {percent(t['deflated'])} after {plural(t['trials'], 'trial')}"
    told += "" if t["logged"] else " (no trial log, so one is assumed)"
    o, state = t["overfitting"], "good" if t["deflated"] >= 0.95 else "bad" if t["deflated"] < 0.5 else "open"
    if o is not None and o["pbo"] is not None:
        told += f"; probability of overfitting {percent(o['pbo'])}"
        state = "bad" if o["pbo"] >= 0.5 else state
    return question, state if t["logged"] or state == "bad" else "open", told + "."


ASSUMPTIONS = (
    "Gross in the waterfall is at the prices at which each exit was decided; slippage is what stops lost against their trigger and "
    "market orders against the last trade. Resting limit orders fill at their price and have none.",
    "Net = gross − fees − slippage − funding. Returns are shown on notional and on the account: a trade uses only a part of the account.",
    "Break-even win rate = mean loss / (mean win + mean loss), after costs. The planned one uses the bracket's own distances with the fees of "
    "its entry, a maker target and a taker stop.",
    "Rates are per hour that the feed covered; gaps do not count. Intervals are 95 %: Poisson for rates, Wilson for shares, Student's t "
    "for means. Trades of one cascade share one price path: means are clustered by day, on fewer than five days by stretches of at least an hour and "
    "twice the longest time held, and have no interval where those are fewer than five. Rates and shares take each trade as one observation: their "
    "intervals are too narrow where trades come in bursts.",
    "The per-trade Sharpe ratio is never annualised. A yearly figure needs whole days of returns on the account, at least two.",
    "Deflated Sharpe: the probability that the true ratio exceeds what the best of so many worthless settings would have shown (Bailey, Lopez de "
    "Prado).",
    "Times are UTC and are those of receipt. Sides are of the positions that were closed by force.",
    "Prices of liquidations are those the venue reports, on most venues the bankruptcy price; the price path is made of trades.",
)


def halted(s: dict[str, Any]) -> str:
    """Since when nothing may be entered, and why; '' where the run ended free to trade. Results of days on which nothing could happen are no calm."""
    last = max(s["feed"]["limits"], key=lambda limit: limit["ts"], default=None)
    if last is None or last["what"] == "resumed":
        return ""
    share = (s["ended_ns"] - last["ts"]) / max(1, s["ended_ns"] - s["started_ns"])
    return f"No entry was allowed from {when(last['ts'])} UTC on ({last['reason']}): {percent(share, 0)} of the run."
