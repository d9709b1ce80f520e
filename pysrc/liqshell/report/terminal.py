"""The report in a terminal (rich)."""

from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from liqshell.fitted import Table, table_of
from liqshell.pages import data_badge
from liqshell.report import sections_judge, terminal_study, timetable, warmth
from liqshell.report.sections_quotes import label
from liqshell.report.terminal_study import coloured
from liqshell.report.text import NONE, compact, count, evidence, interval, millis, money, number, percent, plural, seconds, when
from liqshell.report.verdicts import WHY, bars_only, bps, clustered, contaminated, damaged, halted, of_row, stopped


def _head(s: dict[str, Any]) -> Panel:
    badge = Text()
    badge.append(
        f" {data_badge(s['synthetic'], s['stamp']['market_seeds'] or ())[1].upper()} ", style="black on yellow" if s["synthetic"] else "black on cyan"
    )
    badge.append(f"  {s['mode']}  {s['venue']}  feed {'/'.join(s['completeness'])}")
    if s["preset"]:
        grade, first, _ = evidence(s["evidence"])
        badge.append(f"  preset {s['preset']}, evidence {grade or 'not stated'}" + (f": {first}" if first else ""))
    speed = f", {s['speed']:g} x real time" if s["speed"] != 1 else ""
    wall = f" in {seconds(s['wall_s'])} of wall time" if s["wall_s"] is not None else ""
    span = Text(f"{when(s['started_ns'])} to {when(s['ended_ns'])} UTC: {seconds(s['duration_s'])} of market{wall}{speed}", style="dim")
    lines = [Text(f"DAMAGED: {damaged(s)}", style="bold red")] if damaged(s) else []
    lines += [badge, span, Text(s["verdict"], style="bold"), *(Text(line) for line in s["silence"])]
    if contaminated(s):
        lines.append(Text(WHY, style="bold red"))
    if label(s):
        lines.append(Text(" ".join([label(s), *s["quotes"]["told"], "No result below gets a ✓."]), style="bold red"))
    if s["sweep"]:
        lines.append(Text(f"Row {s['sweep']['row']:,} of a sweep, {of_row(s)}"))
    if halted(s):
        lines.append(Text(halted(s), style="red"))
    if warmth.sentence(s):
        lines.append(Text(warmth.sentence(s), style="dim"))
    if s["synthetic"]:
        lines.append(Text("Prices and liquidations are generated. They are no evidence about a real market.", style="yellow"))
    return Panel(Group(*lines), title=escape(str(s["name"])), title_align="left", border_style="dim")


def _money(s: dict[str, Any]) -> Table:
    m = s["money"]
    table = table_of("Profit and loss of closed trades", "", ">amount", "")
    table.add_row("gross", coloured(m["gross_decided"], money(m["gross_decided"], sign=True)), "at decision prices")
    table.add_row("− fees", money(-m["fees"]), f"maker {money(m['fees_maker'])}, taker {money(m['fees_taker'])}")
    table.add_row("− slippage", money(-m["slippage"]), "stops against their trigger, market orders against the last trade")
    across = f"{m['held_across_funding']} trades open at a funding time" if m["held_across_funding"] else ""
    table.add_row("− funding", money(-m["funding"]), across if m["funding_modelled"] else "not modelled" + (f"; {across}" if across else ""))
    table.add_row(
        Text("net", style="bold"),
        coloured(m["net"], money(m["net"], sign=True)),
        f"{number(m['net_on_notional_bps'], 1, True)} bps of notional, {percent(m['net_on_account'], 3, True)} of the account",
    )
    return table


def _statistics(s: dict[str, Any]) -> Table:
    w, t, d, h, e = s["win_rate"], s["per_trade"], s["daily_sharpe"], s["hold_s"], s["entries"]
    table = table_of("Statistics", "", ">value", "95 % interval / note")
    table.add_row("win rate", percent(w["share"]), f"{interval(w['low'], w['high'], percent)}, n = {w['n']}")
    table.add_row(
        "break-even win rate", percent(w["break_even_realised"]), f"as realised; {percent(w['break_even_planned'])} as planned with the fees paid"
    )
    x, fall = s["trials"], s["money"]["drawdown"]
    table.add_row(
        "net per trade",
        number(t["mean"], 1, True) + " bps",
        (f"{interval(t['low'], t['high'], bps)}, t = {number(t['t'])}, " if t["low"] is not None else "")
        + (f"{clustered(t)}, " if t["n"] else "")
        + f"n = {t['n']}"
        + (": below 30, only a hint" if t["few"] else ""),
    )
    table.add_row("Sharpe per trade", number(t["sharpe_per_trade"], 3), "never annualised")
    table.add_row(
        "Sharpe, daily x √365",
        number(d["value"]) if d["value"] is not None else "not enough days",
        f"{interval(d['low'], d['high'])}, {d['days']} days" if d["value"] is not None else f"{plural(d['days'], 'whole day')}, 2 are needed",
    )
    if x["logged"] or s["mode"] == "backtest":
        table.add_row(
            "deflated Sharpe",
            percent(x["deflated"]) if x["deflated"] is not None else "not enough days",
            f"after {x['trials']:,} tries: {x['source']}" + (f"; {x['problem']}" if x["problem"] else ""),
        )
    if fall and fall["share"] > 0:
        back = f"made good {when(fall['recovered_ns'])}" if fall["recovered_ns"] else "not made good"
        table.add_row("largest drawdown", percent(fall["share"], 2), f"{when(fall['peak_ns'])} to {when(fall['trough_ns'])}, {back}")
    table.add_row("entries filled", percent(e["filled"]["share"]), f"{e['filled']['k']} of {e['placed']}, wait p50 {seconds(e['wait_s']['p50'])}")
    table.add_row("hold", seconds(h["p50"]), f"p99 {seconds(h['p99'])}, longest {seconds(h['max'])}")
    return table


def _exits(s: dict[str, Any]) -> Table:
    table = table_of("Exits", "reason", ">n", ">won", ">gross", ">fees", ">slippage", ">net", ">hold p50")
    for row in s["exits"]:
        table.add_row(
            row["reason"],
            str(row["n"]),
            str(row["wins"]),
            money(row["gross"], sign=True),
            money(row["fees"]),
            money(row["slippage"]),
            coloured(row["net"], money(row["net"], sign=True)),
            seconds(row["hold_s"]),
        )
    for row in s["entries"]["unfilled"]:
        table.add_row(Text(f"not filled: {row['reason']}", style="dim"), str(row["n"]))
    return table


def _fills(s: dict[str, Any]) -> Table:
    found = s["quotes"]["fills"]
    table = table_of("At which prices orders filled", "", ">entries", ">exits", ">all fills", "")
    for row in found["rules"]:
        if not found["modelled"] and row["rule"] not in ("maker", "quote"):
            continue
        name, meaning = (row["name"], row["meaning"]) if found["modelled"] or row["rule"] == "maker" else ("taker", "as the venue executed it")
        table.add_row(
            name,
            *(f"{row[leg]['k']:,} ({percent(row[leg]['share'], 0)})" if row[leg]["n"] else NONE for leg in ("entry", "exit", "all")),
            Text(meaning, style="dim"),
        )
    return table


def _instruments(s: dict[str, Any]) -> Table:
    table = table_of(
        "Instruments", "symbol", "feed", ">cascades", ">per covered hour", ">longs liq.", ">shorts liq.", ">trades", ">won", ">net", ">bps a trade"
    )
    several = len({row["preset"] for row in s["instruments"] if row["preset"]}) > 1
    for row in s["instruments"]:
        c = row["cascades"]
        by = f"\n{row['preset']} ({row['grade']})" if several and row["preset"] else ""
        table.add_row(
            escape(row["symbol"] + by),
            row["completeness"],
            str(c["n"]),
            f"{number(c['per_hour'], 1)} ({number(c['low'], 1)}–{number(c['high'], 1)})",
            str(row["longs_liquidated"]),
            str(row["shorts_liquidated"]),
            str(row["trades"]),
            str(row["wins"]),
            coloured(row["net"], money(row["net"], sign=True)),
            number(row["mean_bps"], 1, True),
        )
    p, c = s["portfolio"], s["cascades"]
    if len(s["instruments"]) > 1:
        table.add_row(
            "together",
            "/".join(s["completeness"]),
            str(c["n"]),
            "",
            str(c["longs_liquidated"]),
            str(c["shorts_liquidated"]),
            str(p["n"]),
            str(p["wins"]),
            coloured(p["net"], money(p["net"], sign=True)),
            number(p["mean_bps"], 1, True),
            style="bold",
        )
    return table


def _sides(s: dict[str, Any]) -> Table:
    return table_of(
        "Long and short",
        "positions",
        ">n",
        ">won",
        ">gross",
        ">fees",
        ">net",
        ">bps a trade",
        ">95 %",
        rows=[
            (
                row["side"],
                str(row["n"]),
                str(row["wins"]),
                money(row["gross"], sign=True),
                money(row["fees"]),
                coloured(row["net"], money(row["net"], sign=True)),
                bps(row["mean_bps"]),
                interval(row["low_bps"], row["high_bps"], bps),
            )
            for row in s["sides"]
        ],
    )


def _rows(title: str, rows: list[dict[str, Any]]) -> Table:
    return table_of(title, "reason", ">n", "", rows=[(row["reason"], str(row["n"]), Text(row["meaning"], style="dim")) for row in rows])


def _open(s: dict[str, Any]) -> Table:
    return table_of(
        "Left open",
        "symbol",
        "side",
        "what",
        ">quantity",
        ">entry",
        ">last",
        ">unrealised",
        ">age",
        ">stop",
        rows=[
            (
                escape(row["symbol"]),
                row["side"],
                row["what"],
                f"{row['qty']:g}",
                f"{row['entry']:.8g}",
                f"{row['last']:.8g}",
                money(row["unrealised"], sign=True),
                seconds(row["age_s"]),
                f"{row['stop']:.8g}" if row["stop"] else "NONE" if row["what"] == "position" else NONE,
            )
            for row in s["left_open"]
        ],
    )


def _latency(s: dict[str, Any]) -> Table:
    fast = s["speed"] != 1
    note = f"At {s['speed']:g} x real time, a real delay is {s['speed']:g} times as long in market time." if fast else ""
    table = table_of("Latency", "", ">n", ">p50", ">p99", ">max", *([">p50 market", ">p99 market"] if fast else []), note=note)
    for row in s["latency"]:
        wall, market = row["wall_ms"], row["market_ms"]
        table.add_row(
            escape(row["name"]),
            str(row["n"] or ""),
            millis(wall["p50"]),
            millis(wall["p99"]),
            millis(wall["max"]),
            *([millis(market["p50"]), millis(market["p99"])] if fast else []),
        )
    return table


def _truth(s: dict[str, Any]) -> Text:
    t = s["truth"]
    p, r = t["precision"], t["recall"]
    return Text.assemble(
        ("Against the generator's truth  ", "bold"),
        f"precision {percent(p['share'])} ({p['k']} of {p['n']}, 95 % "
        f"{interval(p['low'], p['high'], percent)}), recall {percent(r['share'])} ({r['k']} of {r['n']}, "
        f"{interval(r['low'], r['high'], percent)}; {percent(t['recall_by_notional'])} by notional), side right "
        f"{percent(t['side_right']['share'])}",
    )


def _volumes(c: dict[str, Any]) -> str:
    """Volumes by class of feed: a CENSORED one is a lower bound and is not added to a FULL one."""
    return " + ".join(f"{compact(v)} ({name})" if name != "FULL" else compact(v) for name, v in c["notional_by_class"].items())


def _feet(s: dict[str, Any]) -> list[Text]:
    out, f, stamp = [], s["feed"], s["stamp"]
    gaps = [i for i in f["incidents"] if i["state"] != "up"]
    refused = ", ".join(f"{n} {name}" for name, n in f["refused"].items()) or "none"
    if s["mode"] != "backtest":
        out.append(
            Text.assemble(
                ("Feed  ", "bold"),
                f"{count(f['frames'])} frames, {count(f['events'])} events, {len(gaps)} gaps, reconnects {f['reconnects'] or 0}; refused: {refused}",
            )
        )
    if len(f["venues"]) > 1:
        text = ", ".join(
            f"{name} {one.get('completeness')}{' (watched)' if one.get('watched') else ''} {one.get('reconnects')} reconnects"
            for name, one in f["venues"].items()
        )
        out.append(Text.assemble(("Venues  ", "bold"), text))
    out += [Text(line) for line in timetable.sentences(s)]
    if f["held_back"]:
        out.append(Text("Entries were blocked: " + ", ".join(f"{seconds(span)} {gate}" for gate, span in f["held_back"].items())))
    if not stamp["finished"]:
        out.append(Text(f"UNFINISHED: the run was cut off. The report covers only a part of it. {stamp['problem'] or ''}", style="bold red"))
    if stamp["audit_lost"]:
        out.append(Text(f"INCOMPLETE: {stamp['audit_lost']:,} audit records are missing. Every sum above may be wrong", style="bold red"))
    if s["mode"] != "backtest":
        out += [Text(line) for line in s["quotes"]["told"]]
    for text in stopped(s)[:5]:
        out.append(Text(f"STREAM SUSPECT: {text}", style="bold red"))
    for alarm in f["alarms"][:5]:
        out.append(Text(f"ALARM {when(alarm['ts'], date=False)} {alarm['instrument']}: {alarm['what']}", style="bold red"))
    replay = stamp["replay"]
    if isinstance(replay, dict):
        good = replay.get("identical")
        out.append(
            Text(
                f"Replay of the recording: {'identical' if good else 'DIFFERENT'}, {replay.get('records', '–')} audit records"
                + ("" if good else f", first difference at {replay.get('first_difference')}"),
                style="green" if good else "bold red",
            )
        )
    out.append(
        Text(
            f"liqcore {stamp['version']} abi {stamp['abi']}  seed {stamp['seed']}  config {str(stamp['config_hash'] or NONE)[:12]}  "
            f"data {str(s['data']['fingerprint'] or NONE)[:12]}  audit {stamp['audit_sha256'][:12]}",
            style="dim",
        )
    )
    return out


def print_report(summary: dict[str, Any], console: Console | None = None) -> None:
    """Print a summary (figures.summarise). Sections without content are left out."""
    console = console or Console()
    s = summary
    console.print(_head(s))
    steps = "  →  ".join(f"{row['n']} {row['step']}" for row in s["funnel"])
    c = s["cascades"]
    console.print(Text(steps))
    text = (
        f"{c['n']} cascades ({c['longs_liquidated']} longs liquidated, {c['shorts_liquidated']} shorts liquidated), {_volumes(c)} in them, "
        f"{number(c['rate']['per_hour'], 2)} per covered instrument hour ({interval(c['rate']['low'], c['rate']['high'])}), p50 "
        f"{seconds(c['duration_s']['p50'])}"
    )
    console.print(Text("No detector of cascades ran." if bars_only(s) else text, style="dim"))
    parts: list[Any] = []
    if s["money"]["notional"] or s["exits"]:
        parts += [_money(s), _statistics(s)]
    if s["exits"] or s["entries"]["unfilled"]:
        parts.append(_exits(s))
    if s["quotes"]["fills"]["n"]:
        parts.append(_fills(s))
    if s["left_open"]:
        parts.append(_open(s))
    if s["exits"]:
        parts.append(_sides(s))
    parts.append(_instruments(s))
    if s["why_not"]:
        parts.append(_rows("Why it did not trade", s["why_not"]))
    if s["truth"] is not None:
        parts.append(_truth(s))
    if s["latency"] and s["mode"] != "backtest":
        parts.append(_latency(s))
    for part in [*parts, *terminal_study.parts(s), *sections_judge.terminal(s), *_feet(s)]:
        console.print()
        console.print(part)
