"""Sections of the page about the run itself: data, assumptions, delays of the wire, the generator's truth, the feed, and how to reproduce it."""

from typing import Any

from markupsafe import Markup

from liqshell.pages import bold, code, empty, folded, lines, muted, part, section, slim, sub, table
from liqshell.report import sections_quotes
from liqshell.report.labels import LOWERED
from liqshell.report.text import ASSUMPTIONS, NONE, count, interval, millis, number, percent, seconds, when


def data(s: dict[str, Any]) -> Markup:
    """The market data: completeness, coverage, gaps, source of ts_recv."""
    rows, holes = [], []
    for p in s["data"]["parts"]:
        receipt = {"recorded": "measured", "modelled": "MODELLED"}.get(p["receipt"] or "", "not stated")
        receipt = receipt + (" " + muted(p["receipt_model"]) if p["receipt_model"] else "")
        kind = bold(p["completeness"], "neg") if p["completeness"] == "CENSORED" else p["completeness"]
        rows.append(
            (
                bold(p["symbol"]),
                kind,
                p["source"] or NONE,
                count(p["trades"]),
                count(p["quotes"]),
                count(p["liquidations"]),
                number(p["covered_hours"], 1),
                percent(p["covered"], 1),
                percent(p["quoted"]),
                f"{len(p['gaps']):,}",
                receipt,
            )
        )
        holes += [(when(a), p["symbol"], seconds((b - a) / 1e9)) for a, b in p["gaps"]]
    body = table(
        (
            "symbol",
            "liquidations are",
            "source",
            ">trades",
            ">quotes",
            ">liquidations",
            ">covered h",
            ">covered",
            ">quotes held",
            ">gaps",
            "time of receipt",
        ),
        rows,
    )
    body = sections_quotes.notes(s) + body + sections_quotes.streams(s)
    if holes:
        longest = sorted(holes, key=lambda row: row[0])[:200]
        body += folded(f"{len(holes):,} gaps", table(("from (UTC)", "symbol", ">length"), longest, tall=True))
    refused = [(p["symbol"], name, n) for p in s["data"]["parts"] for name, n in (p["refused"] or {}).items()]
    if refused:
        body += sub("Refused while reading: " + ", ".join(f"{symbol} {name} {n:,}" for symbol, name, n in refused[:12]) + ".")
    classes = {p["completeness"] for p in s["data"]["parts"]}
    note = (
        "Quotes live: share of the traded time, by the engine's rule. FULL: the feed has every liquidation. CENSORED: it has a sample, and "
        "volumes are lower bounds."
    )
    if len(classes) > 1:
        note += " This run mixes the classes; their volumes are counted separately and never added."
    if any(p["receipt"] == "modelled" for p in s["data"]["parts"]):
        note += " Where the time of receipt is modelled, the reaction time is the model's, not a measured one."
    return section("Data", body, note, "origin")


def assumptions(s: dict[str, Any]) -> Markup:
    """The behaviour and limits of the simulated venue, and how to read the numbers."""
    rows = [(bold(r["about"].replace("_", " ")), r["what"]) for r in s["assumptions"]]
    body = table(("", ""), rows) if rows else empty("The run does not state how its venue was simulated.")
    return section("Assumptions", body + part("How to read these numbers", lines(ASSUMPTIONS)), anchor="assumptions")


def latency(s: dict[str, Any]) -> Markup:
    """Measured delays; nothing for a backtest, where delays are settings."""
    if s["mode"] == "backtest":
        return Markup()
    if not s["latency"]:
        return section("Latency", empty("Nothing was measured."))
    fast = s["speed"] != 1
    columns = ["", ">n", ">p50", ">p99", ">max"] + ([">p50, market", ">p99, market", ">max, market"] if fast else [])
    rows = []
    for r in s["latency"]:
        cells = [r["name"], f"{r['n']:,}" if isinstance(r["n"], int) else NONE] + [millis(r["wall_ms"][k]) for k in ("p50", "p99", "max")]
        rows.append(cells + ([millis(r["market_ms"][k]) for k in ("p50", "p99", "max")] if fast else []))
    note = (
        f"Wall time and market time: at {s['speed']:g} × real time, a real delay is {s['speed']:g} times as long in market time."
        if fast
        else "Real time: wall time and market time are the same."
    )
    return section("Latency", table(columns, rows), note)


def truth(s: dict[str, Any]) -> Markup:
    """Against the generator."""
    t = s["truth"]
    if t is None:
        return Markup()
    rows = [
        (name, percent(v["share"]), interval(v["low"], v["high"], percent), f"{v['k']} of {v['n']}")
        for name, v in (
            ("precision: detected cascades that are real", t["precision"]),
            ("recall: real cascades that were detected", t["recall"]),
            ("liquidated side right", t["side_right"]),
        )
    ]
    rows.append(("recall by notional", percent(t["recall_by_notional"]), NONE, ""))
    return section(
        "Against the generator's truth",
        slim(table(("", ">share", "95 % interval", "count"), rows)),
        f"{t['cascades']} cascades of two or more liquidations. A detected cascade is a hit if it overlaps one of the same symbol in "
        "the venue's time (1 s tolerance). The detector counts large liquidations only, so it misses small cascades on purpose.",
    )


def feed(s: dict[str, Any]) -> Markup:
    """Counters and incidents."""
    f = s["feed"]
    rows = [(k, count(f[k])) for k in ("frames", "events", "reconnects")]
    rows += [(f"refused: {name}", count(n)) for name, n in f["refused"].items()]
    for group in ("decode", "record"):
        if isinstance(f[group], dict):
            rows += [(f"{group}: {key}", count(v)) for key, v in f[group].items() if isinstance(v, int | float | str) and not isinstance(v, bool)]
    body = table(("", ">count"), rows)
    if len(f["venues"]) > 1:
        body += part(
            "Venues",
            table(
                ("", "liquidations", ">contracts", ">frames", ">gaps", ">reconnects", ">polls"),
                [
                    (
                        name + (" (watched)" if one.get("watched") else ""),
                        str(one.get("completeness")),
                        *(count(one.get(key)) for key in ("symbols", "frames", "gaps", "reconnects", "polled")),
                    )
                    for name, one in f["venues"].items()
                ],
            ),
        )
    if f["held_back"]:
        body += part(
            "Entries blocked",
            table(
                ("", ">of the run"),
                [(gate, f"{seconds(s_held)}, {percent(s_held / max(1e-9, s['duration_s']), 1)}") for gate, s_held in f["held_back"].items()],
            ),
        )
    events: list[tuple[str, ...]] = [
        (
            when(i["ts"]),
            i["instrument"],
            "feed " + f"{i['state']}: {', '.join(i['streams'])}",
            f"{number(i['missed_s'], 1)} s missing" if i["state"] != "up" else "",
        )
        for i in f["incidents"]
    ]
    events += [(when(a["ts"]), a["instrument"], "ALARM: " + a["what"], f"value {a['value']:g}, limit {a['limit']:g}") for a in f["alarms"]]
    events += [
        (
            when(i["ts"]),
            "all",
            f"{i['what']}: {i['reason']}" if i["reason"] != "none" else i["what"],
            f"{i['value']:,.2f} {'to' if i['what'] == LOWERED else 'of'} {i['limit']:,.2f}" if i["limit"] else "",
        )
        for i in f["limits"]
    ]
    events += [
        (when(g["ts"]), g["instrument"], ("entries blocked: " if g["what"] == "paused" else "no longer blocking entries: ") + g["gate"], "")
        for g in f["gates"]
    ]
    body += part(
        "Incidents",
        table(("UTC", "instrument", "what", ""), sorted(events)[:200], tall=True) if events else empty("None: no gap, no alarm, no limit reached."),
    )
    return section("Feed and incidents", body)


def stamp(s: dict[str, Any]) -> Markup:
    """The data needed to repeat this run."""
    t = s["stamp"]
    replay = t["replay"]
    state = "not replayed"
    if isinstance(replay, dict):
        state = "identical" if replay.get("identical") else f"DIFFERENT, first at {replay.get('first_difference')}"
        state += f" ({replay.get('records', NONE)} records)"
    rows = [
        ("liqcore", f"{t['version']}, abi {t['abi']}"),
        ("seed of the run", t["seed"]),
        ("seed of the generated market", (", ".join(map(str, t["market_seeds"] or ())) or "not in the data") if s["synthetic"] else None),
        ("code", t["code_hash"]),
        ("speed", f"{t['speed']:g}"),
        ("configuration", t["config_hash"]),
        ("data", s["data"]["fingerprint"]),
        ("audit stream", f"{t['audit_records']:,} records, sha256 {t['audit_sha256']}"),
        ("replay", state),
    ]
    listed = table(("", ""), [(a, code(b if b is not None else NONE)) for a, b in rows if b is not None or a == "data"])
    return section(
        "Reproduce it", listed + _timing(s), "The same version, configuration, data and seed give this audit stream byte for byte.", "stamp"
    )


def _timing(s: dict[str, Any]) -> Markup:
    if not s["timing_s"]:
        return Markup()
    rows = [(name.replace("_", " "), seconds(value)) for name, value in s["timing_s"].items() if isinstance(value, int | float)]
    return part("Where the time went", slim(table(("", ">wall time"), rows)))
