"""Sections of the page about the run itself: data, assumptions, delays of the wire, the generator's truth, the feed, and how to make it again."""

from typing import Any

from liqshell.report import sections_quotes
from liqshell.report.elements import count, empty, esc, muted, section, slim, table
from liqshell.report.text import ASSUMPTIONS, NONE, interval, millis, number, percent, seconds, when


def data(s: dict[str, Any]) -> str:
    """What the market data was: completeness, coverage, gaps, where ts_recv comes from."""
    rows, holes = [], []
    for p in s["data"]["parts"]:
        receipt = {"recorded": "measured", "modelled": "MODELLED"}.get(p["receipt"] or "", "not stated")
        receipt = esc(receipt) + (" " + muted(p["receipt_model"]) if p["receipt_model"] else "")
        kind = f'<b class="neg">{esc(p["completeness"])}</b>' if p["completeness"] == "CENSORED" else esc(p["completeness"])
        rows.append((f"<b>{esc(p['symbol'])}</b>", kind, esc(p["source"] or NONE), count(p["trades"]), count(p["quotes"]), count(p["liquidations"]),
                     number(p["covered_hours"], 1), percent(p["covered"], 1), percent(p["quoted"], 1), f"{len(p['gaps']):,}", receipt))
        holes += [(when(a), p["symbol"], seconds((b - a) / 1e9)) for a, b in p["gaps"]]
    body = table(("symbol", "liquidations are", "source", ">trades", ">quotes", ">liquidations", ">covered h", ">covered", ">quotes held", ">gaps",
                  "time of receipt"), rows)
    body = sections_quotes.told(s) + body + sections_quotes.streams(s)
    if holes:
        longest = sorted(holes, key=lambda row: row[0])[:200]
        body += (f"<details class='block'><summary>{len(holes):,} gaps</summary>"
                 + table(("from (UTC)", "symbol", ">length"), [(a, esc(b), c) for a, b, c in longest], tall=True) + "</details>")
    refused = [(p["symbol"], name, n) for p in s["data"]["parts"] for name, n in (p["refused"] or {}).items()]
    if refused:
        body += "<p class='sub'>Refused while reading: " + esc(", ".join(f"{symbol} {name} {n:,}" for symbol, name, n in refused[:12])) + ".</p>"
    classes = {p["completeness"] for p in s["data"]["parts"]}
    sub = ("Quotes held: of the traded time, by the engine's rule. FULL: every liquidation that the venue closed by force. CENSORED: a sample; its "
           "volumes are lower bounds.")
    if len(classes) > 1:
        sub += " This run mixes classes: volumes are counted apart and never added."
    if any(p["receipt"] == "modelled" for p in s["data"]["parts"]):
        sub += " Where the time of receipt is modelled, the reaction is as fast as the model says, not as it would have been."
    return section("Data", body, sub, "origin")


def assumptions(s: dict[str, Any]) -> str:
    """What the simulated venue does and does not do, and how to read the numbers."""
    rows = [(f"<b>{esc(r['about'].replace('_', ' '))}</b>", esc(r["what"])) for r in s["assumptions"]]
    body = table(("", ""), rows) if rows else empty("The run does not say how its venue was simulated.")
    notes = "".join(f"<li>{esc(a)}</li>" for a in ASSUMPTIONS)
    return section("Assumptions", body + f'<h3>How to read these numbers</h3><ul class="plain">{notes}</ul>',
                   anchor="assumptions")


def latency(s: dict[str, Any]) -> str:
    """Measured delays; nothing for a backtest, where delays are settings."""
    if s["mode"] == "backtest":
        return ""
    if not s["latency"]:
        return section("Latency", empty("Nothing was measured."))
    fast = s["speed"] != 1
    columns = ["", ">n", ">p50", ">p99", ">max"] + ([">p50, market", ">p99, market", ">max, market"] if fast else [])
    rows = []
    for r in s["latency"]:
        cells = [esc(r["name"]), f"{r['n']:,}" if isinstance(r["n"], int) else NONE] + [millis(r["wall_ms"][k])
                                                                                        for k in ("p50", "p99", "max")]
        rows.append(cells + ([millis(r["market_ms"][k]) for k in ("p50", "p99", "max")] if fast else []))
    sub = (f"Wall time, and market time beside it: at {s['speed']:g} × real time a real delay counts {s['speed']:g}-fold for the market."
           if fast
           else "Real time: wall time and market time are the same.")
    return section("Latency", table(columns, rows), sub)


def truth(s: dict[str, Any]) -> str:
    """Against the generator."""
    t = s["truth"]
    if t is None:
        return ""
    rows = [(name, percent(v["share"]), interval(v["low"], v["high"], percent), f"{v['k']} of {v['n']}") for name, v in
            (("precision: detected cascades that are real", t["precision"]), ("recall: real cascades that were detected", t["recall"]),
             ("liquidated side right", t["side_right"]))]
    rows.append(("recall by notional", percent(t["recall_by_notional"]), NONE, ""))
    return section("Against the generator's truth", slim(table(("", ">share", "95 % interval", "count"), rows)),
                    f"{t['cascades']} chains of two or more forced orders. Same symbol and overlapping in the venue's time "
                    "(1 s of slack) is a hit. The detector looks for large ones only, so small chains are missed on purpose.")


def feed(s: dict[str, Any]) -> str:
    """Counters and incidents."""
    f = s["feed"]
    rows = [(esc(k), count(f[k])) for k in ("frames", "events", "reconnects")]
    rows += [(esc(f"refused: {name}"), count(n)) for name, n in f["refused"].items()]
    for group in ("decode", "record"):
        if isinstance(f[group], dict):
            rows += [(esc(f"{group}: {key}"), count(v)) for key,
                     v in f[group].items() if isinstance(v, int | float | str) and not isinstance(v, bool)]
    body = table(("", ">count"), rows)
    if len(f["venues"]) > 1:
        body += "<h3>Venues</h3>" + table(("", "liquidations", ">contracts", ">frames", ">gaps", ">reconnects", ">polls"), [
            (esc(name + (" (watched)" if one.get("watched") else "")), esc(str(one.get("completeness"))),
             *(count(one.get(key)) for key in ("symbols", "frames", "gaps", "reconnects", "polled"))) for name, one in f["venues"].items()])
    if f["held_back"]:
        body += "<h3>Entries held back</h3>" + table(("", ">of the run"), [
            (esc(gate), f"{seconds(s_held)}, {percent(s_held / max(1e-9, s['duration_s']), 1)}") for gate, s_held in f["held_back"].items()])
    events: list[tuple[str, ...]] = [(when(i["ts"]), esc(i["instrument"]), "feed " + esc(f"{i['state']}: {', '.join(i['streams'])}"),
                                      f"{number(i['missed_s'], 1)} s missing" if i["state"] != "up" else "") for i in f["incidents"]]
    events += [(when(a["ts"]), esc(a["instrument"]), "ALARM: " + esc(a["what"]), f"value {a['value']:g}, limit {a['limit']:g}")
               for a in f["alarms"]]
    events += [(when(i["ts"]), "all", esc(f"{i['what']}: {i['reason']}" if i["reason"] != "none" else i["what"]),
                f"{i['value']:,.2f} of {i['limit']:,.2f}" if i["limit"] else "") for i in f["limits"]]
    events += [(when(g["ts"]), esc(g["instrument"]),
                ("entries held back: " if g["what"] == "paused" else "no longer held back: ") + esc(g["gate"]), "")
               for g in f["gates"]]
    body += "<h3>Incidents</h3>" + (table(("UTC", "instrument", "what", ""), sorted(events)[:200], tall=True) if events
                                    else empty("None: no gap, no alarm, no limit was reached."))
    return section("Feed and incidents", body)


def stamp(s: dict[str, Any]) -> str:
    """What it takes to make this run again."""
    t = s["stamp"]
    replay = t["replay"]
    told = "not replayed"
    if isinstance(replay, dict):
        told = "identical" if replay.get("identical") else f"DIFFERENT, first at {replay.get('first_difference')}"
        told += f" ({replay.get('records', NONE)} records)"
    rows = [("liqcore", f"{t['version']}, abi {t['abi']}"), ("seed", t["seed"]), ("code", t["code_hash"]), ("speed", f"{t['speed']:g}"),
            ("configuration", t["config_hash"]), ("data", s["data"]["fingerprint"]),
            ("audit stream", f"{t['audit_records']:,} records, sha256 {t['audit_sha256']}"), ("replay", told)]
    told_by = table(("", ""), [(esc(a), f"<code>{esc(b) if b is not None else NONE}</code>") for a, b in rows])
    return section("Reproduce it", told_by + _timing(s), "The same version, configuration, data and seed give this audit stream byte for byte.",
                   "stamp")


def _timing(s: dict[str, Any]) -> str:
    if not s["timing_s"]:
        return ""
    rows = [(esc(name.replace("_", " ")), seconds(value)) for name, value in s["timing_s"].items() if isinstance(value, int | float)]
    return "<h3>Where the time went</h3>" + slim(table(("", ">wall time"), rows))
