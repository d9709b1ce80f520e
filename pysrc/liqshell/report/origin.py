"""The origin of the numbers: the market data, the assumptions of the simulated venue, and the reason if nothing was traded."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from liqcore import AuditKind, Phase
from liqcore.detectors.registry import KINDS, parameters
from liqshell.config.components import recorded_detectors
from liqshell.report.coverage import HOUR_NS, covered_hours, gaps
from liqshell.report.results import by_account, funding_modelled, venue_settings
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.stories import Ledger
from liqshell.report.study import Part, Study
from liqshell.report.text import money, number, percent, plural, seconds
from liqshell.report.verdicts import stopped

FILLS = {
    "through": "a resting order fills completely when a trade or the opposite quote goes strictly beyond its price",
    "touch": "a resting order fills by the quantity of every trade at its price; optimistic, because there is no queue",
    "queue": "a resting order waits behind the size shown at its price; trades at that price consume the size",
}
TAKERS = {
    "next": "a taker order fills at the next price, never better than the quote, whatever its size",
    "walk": "a taker order takes the size that the next trades and quotes show, and waits for more if that is too little",
}


def data(run: Run, ledger: Ledger, study: Study) -> dict[str, Any]:
    """One row an instrument. Missing parts of the study are read from the audit stream; receipt is None if the source of ts_recv is unknown."""
    given = study.get("data")
    parts: dict[str, Part] = {p.get("symbol", ""): p for p in given["parts"]} if given else {}
    rows = []
    live = run.meta.get("mode") != "backtest"
    for n, instrument in enumerate(run.instruments):
        part = parts.get(instrument.symbol) or _sampled(run, instrument.key)
        found = gaps(run, ledger, n)
        span = (run.ended_ns - run.started_ns) / HOUR_NS
        hours = part.get("covered_hours", covered_hours(run, ledger, n))
        rows.append(
            {
                "symbol": instrument.symbol,
                "source": part.get("source") or ("live feed" if live else None),
                "completeness": part.get("completeness") or COMPLETENESS[instrument.completeness],
                "covered_hours": hours,
                "covered": hours / span if span > 0 else None,
                "gaps": [list(g) for g in part.get("gaps", found)],
                "trades": part.get("trades"),
                "quotes": part.get("quotes"),
                "liquidations": part.get("liquidations"),
                "traded_hours": part.get("traded_hours", hours),
                "quoted": part.get("quoted", 0.0 if part.get("quotes") == 0 else None),
                "streams": part.get("streams"),
                "said": part.get("said", []),
                "receipt": part.get("receipt") or ("recorded" if live else None),
                "receipt_model": part.get("receipt_model"),
                "refused": part.get("refused", {}),
                "off_grid": part.get("off_grid"),
                "fingerprint": part.get("fingerprint"),
            }
        )
    return {
        "parts": rows,
        "store": given.get("store") if given else None,
        "fingerprint": given["fingerprint"] if given else run.meta.get("data_hash"),
    }


def _sampled(run: Run, key: str) -> Part:
    """The quote statistics that a live or paper run counted."""
    counted = (run.table("counters").get("quotes") or {}).get(key)
    if not isinstance(counted, dict) or not isinstance(counted.get("traded_hours"), float | int):
        return Part()
    quoted = counted.get("quoted")
    found = Part(traded_hours=float(counted["traded_hours"]))
    return found | Part(quoted=float(quoted)) if isinstance(quoted, float | int) else found


def assumptions(run: Run, ledger: Ledger, study: Study) -> list[dict[str, str]]:
    """The simulation: rows of (about, what). The study's own words (models) win over those made from the settings; values that neither has are not
    shown."""
    if by_account(run):
        return _account(run)
    venue, models = venue_settings(run), dict(study.get("models", {}))
    rows = []

    def add_row(about: str, made: str | None, name: str = "") -> None:
        what = models.pop(about, None) or made
        if what is not None:
            rows.append({"about": about + (f": {name}" if name else ""), "what": what})

    fills, taker = venue.get("fills"), venue.get("taker", "next") if venue else None
    add_row("fills", FILLS.get(str(fills)), str(fills or ""))
    add_row("taker", TAKERS.get(str(taker)), str(taker or ""))
    order, ack = (_seconds(venue, run.table("config").get("paper"), name) for name in ("order", "ack"))
    add_row(
        "latency",
        None
        if order is None or ack is None
        else f"every order reaches the venue after {order * 1e3:g} ms; every answer comes back after {ack * 1e3:g} ms",
    )
    fees = [float(fee) * 1e4 for fee in (venue.get("maker_fee"), venue.get("taker_fee")) if isinstance(fee, float)]
    add_row("fees", f"maker {fees[0]:g} bps, taker {fees[1]:g} bps of notional, on every leg by its role" if len(fees) == 2 else None)
    interval = venue.get("funding_interval_s")
    if funding_modelled(run, ledger):
        add_row(
            "funding",
            f"settled every {interval / 3600:g} h at mark, at the rate that the feed showed" if interval else "settled as the venue reported it",
        )
    else:
        add_row("funding", "not charged; the report counts the trades held across 00:00, 08:00 or 16:00 UTC")
    leverage = venue.get("leverage")
    add_row(
        "own liquidation",
        (
            f"at {leverage:g} x leverage, maintenance margin {venue.get('maintenance_margin', 0.005):.2%}"
            if leverage
            else "never: the account is assumed to be large enough"
        )
        if venue
        else None,
    )
    models.pop("half-spread", None)
    for one in study.get("half_spread", []):
        what = one["told"][:1].upper() + one["told"][1:] + (f". WARNING: {one['warning']}" if one["warning"] else "")
        rows.append({"about": f"half-spread: {one['symbol']}", "what": what})
    if "half_spread" not in study and venue.get("half_spread") is not None:
        rows.append({"about": "half-spread", "what": f"{_bps(venue['half_spread'])} of price where no quote is live, as configured"})
    for about in list(models):
        add_row(about, None)
    absent = "our own impact on the market, outages of order entry, rejects other than post-only and reduce-only, auto-deleveraging"
    if fills != "queue":
        absent = "the queue ahead of a resting order, " + absent
    if taker == "next":
        absent = "depth beyond the best price, " + absent
    add_row("not simulated", absent + ". Large fills are therefore optimistic." if venue else None)
    return rows


def _account(run: Run) -> list[dict[str, str]]:
    """Of a run whose orders went to a venue: nothing was simulated here, and what the venue did is in the records."""
    where = "the emulated venue on this machine, which models the fills" if run.meta.get("environment") == "loopback" else "the venue"
    return [
        {"about": about, "what": what}
        for about, what in (
            ("fills", f"as {where} executed them"),
            ("latency", "measured: see the latencies of this run"),
            ("fees", "as charged, fill by fill"),
            ("funding", "as settled"),
            ("own liquidation", "by the rules of the venue, at the margin of the account"),
            (
                "not simulated",
                "nothing: impact, queues, outages and rejects are real"
                + ("in the emulated venue, which has only the impact and the outages that were configured" if "model" in where else ""),
            ),
        )
    ]


def _bps(value: Any) -> str:
    return ", ".join("by the last quotes" if v is None else f"{v * 1e4:g} bps" for v in (value if isinstance(value, list) else [value]))


def _seconds(venue: dict[str, Any], config: Any, name: str) -> float | None:
    value = venue.get(f"{name}_latency_s")
    if value is None and venue.get(f"{name}_latency_ms") is not None:
        value = venue[f"{name}_latency_ms"] / 1e3
    if value is None and isinstance(config, dict) and config.get(f"{name}_latency_ms") is not None:
        value = config[f"{name}_latency_ms"] / 1e3
    return float(value) if isinstance(value, int | float) else None


def silence(run: Run, s: dict[str, Any]) -> list[str]:
    """Why no trade was closed, in sentences from the first step that came to nothing; empty where one was."""
    if s["trades"]:
        return []
    steps = {row["step"]: row["n"] for row in s["funnel"]}
    ran = detectors(run)
    cascade = next((one for one in ran if one["kind"] == "cascade"), {})
    out = [f"Stream suspect: {text}" for text in stopped(s)]
    if not len(run.audit):
        seen = sum(part[name] or 0 for part in s["data"]["parts"] for name in ("trades", "liquidations"))
        out.append(
            f"None of the {seen:,} trades and liquidations led to a decision." if seen else "The audit stream is empty: no event reached a decision."
        )
    out += idle(run)
    if not steps.get("large liquidations", 1) and not ran:
        out.append("No liquidation was large.")
    elif cascade and not steps["large liquidations"]:
        warmup = cascade.get("warmup")
        why = "A liquidation counts as large only after " + (f"{warmup} liquidations of its instrument" if warmup else "the warm-up")
        low = [
            f"{p['symbol']} had {p['liquidations']}"
            for p in s["data"]["parts"]
            if p["liquidations"] is not None and warmup and p["liquidations"] <= warmup
        ]
        out.append(
            f"No liquidation was large. {why}, and only if it reaches the {_ordinal(cascade.get('quantile'))} of the last "
            f"{cascade.get('window_events', 'many')}." + (f" {', '.join(low)}." if low else "")
        )
    if not steps["cascades"] and not steps.get("moments asked"):
        if cascade and steps["large liquidations"]:
            out.append(f"{steps['large liquidations']:,} liquidations were large, but no other large one followed within the window: no cascade.")
    elif not steps["policy wanted a trade"]:
        unmet = ", ".join(f"{r['reason']} ({r['n']:,})" for r in [r for r in s["why_not"] if r.get("condition")][:3])
        asked = steps.get("moments asked")
        text = (
            f"{plural(steps['cascades'], 'cascade')} seen; the policy wanted no trade"
            if asked is None
            else f"The policy was asked {plural(asked, 'time')} and wanted no trade"
        )
        out.append(text + (f"; conditions not met: {unmet}." if unmet else "."))
    elif not steps["risk agreed"]:
        reasons = ", ".join(f"{r['reason']} ({r['n']:,})" for r in [r for r in s["why_not"] if r["asked"]][:3])
        out.append(f"The policy wanted {steps['policy wanted a trade']:,} trades; risk refused all of them: {reasons}.")
    elif not steps["entries filled"]:
        reasons = ", ".join(f"{r['reason']} ({r['n']:,})" for r in s["entries"]["unfilled"][:3])
        out.append(f"{steps['entries placed']:,} entries were placed; none was filled" + (f": {reasons}." if reasons else "."))
    else:
        out.append(
            "1 entry was filled and is still open."
            if steps["entries filled"] == 1
            else f"{steps['entries filled']:,} entries were filled and are still open."
        )
    refused = s["feed"]["refused"]
    total = sum(n for n in refused.values() if isinstance(n, int))
    if total and not steps["cascades"]:
        out.append(f"Validation refused {total:,} events: " + ", ".join(f"{name} ({n})" for name, n in list(refused.items())[:3]) + ".")
    if not s["covered_instrument_hours"]:
        out.append("The data cover no time.")
    return out


#: what a detector that was never active waits for, by kind
WAITS = {
    "anomaly": "a segment of {segment_s:g} s with liquidations {z_min:g} standard deviations above the earlier segments, and of "
    "${floor_usd:,.0f} or more",
    "dollar": "${trigger_usd:,.0f} of one side within {window_s:g} s, each liquidation of ${min_usd:,.0f} or more",
    "imbalance": "liquidations of ${floor_usd:,.0f} or more within {window_s:g} s, {share:.0%} of them on one side",
    "rate": "a rate of liquidations {sigma:g} standard deviations above its mean, and of {floor_per_minute:g} a minute or more",
    "zone": "a return of the price, after {away_s:g} s away, to levels of large earlier liquidations, once {occupied_min} price levels of a "
    "contract have liquidations",
    "hawkes": "liquidations {times:g} times as frequent as usual",
}


def _known(value: float, show: Callable[[float], str]) -> str:
    return show(value) if math.isfinite(value) else "not known"


def _segments(z: float) -> str:
    """z of a cascade's segment: 0 stands where too few segments are complete."""
    return number(z, 1) if z else "not known yet"


#: what z says where the price has left a zone
LEFT = {1.0: "bounced", -1.0: "went through"}


#: per kind what (threshold, z, score) of its signals are: name and how it is written, None where the kind gives none
LEVELS: dict[str, tuple[tuple[str, Callable[[float], str]] | None, ...]] = {
    "cascade": (("threshold", money), ("z-score of the segment", _segments), ("score (uncalibrated)", lambda v: f"{number(v, 1)} of 10")),
    "anomaly": (("threshold", lambda v: f"z {number(v)}"), ("z-score of the segment", number), None),
    "dollar": (("threshold", money), ("volume of the side", lambda v: f"{number(v)} times the threshold"), None),
    "imbalance": (("threshold", lambda v: f"{percent(v)} of one side"), ("share of the side", percent), None),
    "rate": (("threshold", lambda v: f"{number(v, 1)} liquidations a minute"), ("z-score of the rate", number), None),
    "zone": (("threshold", lambda v: f"{money(v)} a cell"), ("in the zone", lambda v: f"{number(v)} times the threshold of its cells"), None),
    "hawkes": (
        ("threshold", lambda v: f"{v:g} times usual"),
        ("excitement", lambda v: f"{v:.3g} times usual"),
        ("score (uncalibrated)", lambda v: f"{number(v, 1)} of 10"),
    ),
    "bars": (None, None, None),
}
#: of a run whose detectors are not known: the numbers alone
PLAIN = (("threshold", lambda v: f"{v:g}"), ("z", number), ("score", number))


def levels(kind: str, threshold: float, z: float, score: float, ended: bool = False) -> list[tuple[str, str]]:
    """(name, value in its own unit) of what the signals of a detector kind carry, threshold first; unknown as unknown. ended: of an EXHAUSTED one."""
    if kind == "zone" and ended:
        return [("threshold", f"{money(threshold)} a cell"), ("the price", LEFT.get(z, "neither bounced nor went through"))]
    return [(how[0], _known(value, how[1])) for how, value in zip(LEVELS.get(kind, PLAIN), (threshold, z, score), strict=True) if how is not None]


def threshold(kind: str, value: float) -> str:
    """The threshold alone; "" where the kind has none."""
    return dict(levels(kind, value, 0.0, 0.0)).get("threshold", "")


def unit(kind: str) -> str:
    """The unit of a signal's count: liquidations, or the price cells of a zone."""
    return "cell" if kind == "zone" else "event"


def kind_of(specs: Sequence[dict[str, Any]], place: int) -> str:
    """Kind of the detector at a place from 1; '' if run.json does not state it."""
    return str(specs[place - 1]["kind"]) if place <= len(specs) else ""


def detectors(run: Run) -> list[dict[str, Any]]:
    """The detectors that ran, with all their numbers; [] if run.json does not state them."""
    return [
        ({p.name: p.default for p in parameters(one["kind"])} if one["kind"] in KINDS else {}) | one
        for one in recorded_detectors(run.table("settings"))
    ]


def listened(run: Run) -> list[dict[str, Any]]:
    """The detectors that ran: name, kind, and whether each was active at any time."""
    signals = run.of_kind(AuditKind.AUDIT_SIGNAL)
    places = set(signals["detector"][signals["phase"] == Phase.ACTIVE].tolist())
    return [{"name": one["name"], "kind": one["kind"], "active": place in places} for place, one in enumerate(detectors(run), 1)]


def idle(run: Run) -> list[str]:
    """The condition that each never active detector waits for; for the cascade, the sizes that it took for large."""
    return [_quiet(one) for one, heard in zip(detectors(run), listened(run), strict=True) if one["kind"] != "cascade" and not heard["active"]]


def _quiet(one: dict[str, Any]) -> str:
    if one["kind"] == "bars":
        return f"No bar of {seconds(one['period_s'])} had trades."
    return f"The detector {one['name']} was never ACTIVE. It waits for {WAITS.get(one['kind'], 'a condition that was not met').format(**one)}."


def _ordinal(quantile: Any) -> str:
    return f"{quantile * 100:g} % quantile" if isinstance(quantile, int | float) else "quantile"
