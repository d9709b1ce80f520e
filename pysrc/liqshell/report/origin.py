"""Where the numbers come from: what the market data was, what the simulated venue does and does not do, and why nothing was traded."""

from typing import Any

from liqshell.report.coverage import HOUR_NS, covered_hours, gaps
from liqshell.report.stories import Ledger
from liqshell.report.results import funding_modelled, venue_settings
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.study import Part, Study

FILLS = {"through": "a resting order is filled, completely, when a trade or the opposite quote goes strictly beyond its price",
         "touch": "a resting order is filled by any trade at its price, by that trade's quantity: optimistic, there is no queue",
         "queue": "a resting order waits behind the size that was shown at its price; trades there consume it"}
TAKERS = {"next": "a taker order fills at the next price, never better than the quote, whatever its size",
          "walk": "a taker order takes what the next trades and quotes show, and waits for more where that is too little"}


def data(run: Run, ledger: Ledger, study: Study) -> dict[str, Any]:
    """One row an instrument. What the study does not tell is read from the audit stream; receipt is None where nobody says how ts_recv came to be."""
    given = study.get("data")
    parts: dict[str, Part] = {p.get("symbol", ""): p for p in given["parts"]} if given else {}
    rows = []
    live = run.meta.get("mode") != "backtest"
    for n, instrument in enumerate(run.instruments):
        part = parts.get(instrument.symbol, Part())
        found = gaps(run, ledger, n)
        span = (run.ended_ns - run.started_ns) / HOUR_NS
        hours = part.get("covered_hours", covered_hours(run, ledger, n))
        rows.append({"symbol": instrument.symbol, "source": part.get("source") or ("live feed" if live else None),
                     "completeness": part.get("completeness") or COMPLETENESS[instrument.completeness], "covered_hours": hours,
                     "covered": hours / span if span > 0 else None, "gaps": [list(g) for g in part.get("gaps", found)],
                     "trades": part.get("trades"), "quotes": part.get("quotes"), "liquidations": part.get("liquidations"),
                     "traded_hours": part.get("traded_hours", hours), "quoted": part.get("quoted", 0.0 if part.get("quotes") == 0 else None),
                     "streams": part.get("streams"), "said": part.get("said", []),
                     "receipt": part.get("receipt") or ("recorded" if live else None), "receipt_model": part.get("receipt_model"),
                     "refused": part.get("refused", {}), "off_grid": part.get("off_grid"), "fingerprint": part.get("fingerprint")})
    return {"parts": rows, "store": given.get("store") if given else None,
            "fingerprint": given["fingerprint"] if given else run.meta.get("data_hash")}


def assumptions(run: Run, ledger: Ledger, study: Study) -> list[dict[str, str]]:
    """What is simulated and how: rows of (about, what). The study's own words (models) win over those made from the settings; what neither tells is
    not shown."""
    venue, words = venue_settings(run), dict(study.get("models", {}))
    rows = []

    def say(about: str, made: str | None, name: str = "") -> None:
        what = words.pop(about, None) or made
        if what is not None:
            rows.append({"about": about + (f": {name}" if name else ""), "what": what})

    fills, taker = venue.get("fills"), venue.get("taker", "next") if venue else None
    say("fills", FILLS.get(str(fills)), str(fills or ""))
    say("taker", TAKERS.get(str(taker)), str(taker or ""))
    order, ack = (_seconds(venue, run.table("config").get("paper"), name) for name in ("order", "ack"))
    say("latency", None if order is None or ack is None
        else f"orders reach the venue after {order * 1e3:g} ms, its answers come back after {ack * 1e3:g} ms, always")
    fees = [float(fee) * 1e4 for fee in (venue.get("maker_fee"), venue.get("taker_fee")) if isinstance(fee, float)]
    say("fees", f"maker {fees[0]:g} bps, taker {fees[1]:g} bps of notional, on every leg by its role" if len(fees) == 2 else None)
    interval = venue.get("funding_interval_s")
    if funding_modelled(run, ledger):
        say("funding", f"settled every {interval / 3600:g} h at mark, at the rate that the feed showed" if interval
            else "settled as the venue reported it")
    else:
        say("funding", "not charged: trades held across 00:00, 08:00 or 16:00 UTC are counted instead")
    leverage = venue.get("leverage")
    say("own liquidation", (f"at {leverage:g} x leverage, maintenance margin {venue.get('maintenance_margin', 0.005):.2%}" if leverage
                            else "never: the account is taken to be large enough") if venue else None)
    words.pop("half-spread", None)
    for one in study.get("half_spread", []):
        what = one["told"][:1].upper() + one["told"][1:] + (f". WARNING: {one['warning']}" if one["warning"] else "")
        rows.append({"about": f"half-spread: {one['symbol']}", "what": what})
    if "half_spread" not in study and venue.get("half_spread") is not None:
        rows.append({"about": "half-spread", "what": f"{_bps(venue['half_spread'])} of price where no quote holds, as configured"})
    for about in list(words):
        say(about, None)
    absent = "our own impact on the market, outages of order entry, rejects other than post-only and reduce-only, auto-deleveraging"
    if fills != "queue":
        absent = "the queue ahead of a resting order, " + absent
    if taker == "next":
        absent = "depth beyond the best price, " + absent
    say("not simulated", absent + ". Fills at size are therefore optimistic." if venue else None)
    return rows


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
    cascade = run.table("settings").get("cascade")
    cascade = cascade if isinstance(cascade, dict) else {}
    out = []
    if not len(run.audit):
        out.append("The audit stream is empty: no event reached a decision.")
    if not steps["large liquidations"]:
        warmup = cascade.get("warmup")
        why = f"Nothing is large before {warmup} liquidations of an instrument were seen" if warmup else "Nothing is large during the warm-up"
        low = [f"{p['symbol']} had {p['liquidations']}" for p in s["data"]["parts"]
               if p["liquidations"] is not None and warmup and p["liquidations"] <= warmup]
        out.append(f"No liquidation was large. {why}; after that it must reach the "
                   f"{_ordinal(cascade.get('quantile'))} of the last {cascade.get('window_events', 'many')}."
                   + (f" {', '.join(low)}." if low else ""))
    elif not steps["cascades"]:
        out.append(f"{steps['large liquidations']:,} liquidations were large, none was followed by another one inside the window: no cascade.")
    elif not steps["policy wanted a trade"]:
        out.append(f"{steps['cascades']:,} cascades were seen and the policy wanted to trade none of them.")
    elif not steps["risk agreed"]:
        reasons = ", ".join(f"{r['reason']} ({r['n']:,})" for r in [r for r in s["why_not"] if r["asked"]][:3])
        out.append(f"{steps['policy wanted a trade']:,} trades were wanted and risk refused every one: {reasons}.")
    elif not steps["entries filled"]:
        reasons = ", ".join(f"{r['reason']} ({r['n']:,})" for r in s["entries"]["unfilled"][:3])
        out.append(f"{steps['entries placed']:,} entries were placed and none was filled" + (f": {reasons}." if reasons else "."))
    else:
        out.append(f"{steps['entries filled']:,} entries were filled and are still open.")
    refused = s["feed"]["refused"]
    total = sum(n for n in refused.values() if isinstance(n, int))
    if total and not steps["large liquidations"]:
        out.append(f"{total:,} events were refused at the door: " + ", ".join(f"{name} ({n})" for name, n in list(refused.items())[:3]) + ".")
    if not s["covered_instrument_hours"]:
        out.append("The data covered no time at all.")
    return out


def _ordinal(quantile: Any) -> str:
    return f"{quantile * 100:g} % quantile" if isinstance(quantile, int | float) else "quantile"
