"""Sections of the page about the result: money, statistics, how trades ended, why there were none, and the result cut in pieces."""

from typing import Any

import numpy as np
from markupsafe import Markup

from liqshell.pages import bar, below, bold, empty, figure, lines, muted, part, section, signed, span, sub, table, two
from liqshell.report import plots, svg
from liqshell.report.text import NONE, compact, interval, money, number, percent, plural, price, seconds, when
from liqshell.report.verdicts import bps, clustered

TRADES_SHOWN = 500


def result(s: dict[str, Any], points: list, end_ms: float) -> Markup:
    """Waterfall and account."""
    m = s["money"]
    if not s["trades"]:
        return section(
            "Result",
            empty("No round trip was closed. The tables below show what became of the cascades.")
            + (part("Why", lines(s["silence"])) if s["silence"] else ""),
            anchor="result",
        )
    across = m["held_across_funding"]
    note = f"{money(m['net'], True)} net on {money(m['notional'])} of entry notional; account {money(m['equity_start'])}."
    note += f" {across} trades were open at a funding time." if across else ""
    legs = table(
        ("leg", "role", ">fills", ">notional", ">fees", ">bps"),
        [(r["leg"], r["role"], f"{r['fills']:,}", compact(r["notional"]), money(r["fees"]), number(r["bps"], 2)) for r in m["fees_by_leg"]],
    )
    left = section("From gross to net", figure(svg.waterfall(m)) + part("Fees by leg", legs), note, "result")
    d = m["drawdown"]
    note = "Solid: net. Dashed: before fees, slippage and funding. Below: the drawdown from the last peak of the account."
    fall = ""
    if d and d["share"] > 0:
        fall = (
            f"Largest drawdown {percent(d['share'], 2)} ({money(d['value'])}): from {when(d['peak_ns'])} to {when(d['trough_ns'])}, "
            + (f"made good {when(d['recovered_ns'])}" if d["recovered_ns"] else "not recovered by the end")
            + f". Longest time from a peak to its recovery, or to the end: {seconds(d['longest_ns'] / 1e9)}."
        )
    ends = (when(s["started_ns"])[:16], when(s["ended_ns"])[:16])
    at_mark = m["drawdown_marked"]
    if at_mark and at_mark["share"] > 0:
        fall += f" With open positions at mark, sampled by the hour: {percent(at_mark['share'], 2)}."
    right = section(
        "Account after each trade",
        figure(svg.account([tuple(p) for p in points], end_ms, m["equity_start"], ends)) + (sub(fall) if fall else "") + _days(s),
        note,
    )
    return two(left, right)


def _days(s: dict[str, Any]) -> Markup:
    rows = s["days"]
    if len(rows) < 2:
        return Markup()
    bars = [(r["day"][5:], r["net"], f"{r['day']}: {money(r['net'], True)}, {r['trades']} trades, {percent(r['covered'], 0)} covered") for r in rows]
    out = figure(plots.bars(bars, "Net result of each day", every=-(-len(rows) // 6)))
    blind = [r["day"] for r in rows if r["covered"] < 0.5]
    if blind:
        text = f"{len(blind)} of {len(rows)} days had data for less than half of their time; the Sharpe ratio leaves them out."
        out += sub(text)
    return part("Net by day (UTC)", out)


def statistics(s: dict[str, Any]) -> Markup:
    """Every figure with its interval or its reason for having none."""
    w, t, d, h, m, e, x = s["win_rate"], s["per_trade"], s["daily_sharpe"], s["hold_s"], s["money"], s["entries"], s["trials"]
    b, alone = t["bootstrap"], t["independent"]
    rows = [
        ("win rate", percent(w["share"]), f"{interval(w['low'], w['high'], percent)}, n = {w['n']}"),
        ("break-even win rate, realised", percent(w["break_even_realised"]), f"mean win {money(w['mean_win'])}, mean loss {money(w['mean_loss'])}"),
        (
            "break-even win rate, planned",
            percent(w["break_even_planned"]),
            f"fees paid: maker {number(w['fee_maker'] * 1e4 if w['fee_maker'] is not None else None, 2)} bps, "
            f"taker {number(w['fee_taker'] * 1e4 if w['fee_taker'] is not None else None, 2)} bps a leg",
        ),
        (
            "net per trade, on notional",
            bps(t["mean"]) + " bps" if t["mean"] is not None else NONE,
            (f"{interval(t['low'], t['high'], bps)}, " if t["low"] is not None else "")
            + (clustered(t) if t["n"] else "no trade")
            + (f"; sd {number(t['sd'], 1)}" if t["sd"] is not None else ""),
        ),
        ("t statistic", number(t["t"]), f"n = {t['n']}, {t['clusters']} clusters"),
        (
            "t statistic, trades taken as independent",
            number(alone["t"]),
            f"{interval(alone['low'], alone['high'], bps)} bps: too narrow, trades of one cascade share one price path",
        ),
        (
            "net per trade, days resampled",
            bps(t["mean"]) + " bps" if b["low"] is not None else NONE,
            interval(b["low"], b["high"], bps) + f" (bootstrap over {b['days']} days)" if b["low"] is not None else b["why"],
        ),
        (
            "expected shortfall, worst 5 %",
            bps(m["shortfall_bps"]) + " bps" if m["shortfall_bps"] is not None else NONE,
            "mean of the worst trades" if m["shortfall_bps"] is not None else "fewer than 20 trades",
        ),
        ("Sharpe per trade", number(t["sharpe_per_trade"], 3), "never annualised"),
        ("Sharpe of daily returns × √365", number(d["value"]) if d["value"] is not None else "not enough days", _sharpe_note(d)),
    ]
    if x["deflated"] is not None:
        rows.append(("deflated Sharpe (probability)", percent(x["deflated"]), f"{x['trials']:,} trials: {x['source']}"))
    rows += [
        ("return on the account", percent(m["net_on_account"], 3, True), f"of {money(m['equity_start'])}"),
        (
            "return on notional",
            (bps(m["net_on_notional_bps"]) + " bps") if m["net_on_notional_bps"] is not None else NONE,
            f"of {money(m['notional'])}",
        ),
        ("hold", seconds(h["p50"]), f"p99 {seconds(h['p99'])}, longest {seconds(h['max'])}"),
        ("wait for the fill", seconds(e["wait_s"]["p50"]), f"p99 {seconds(e['wait_s']['p99'])}"),
        ("trades per covered instrument hour", number(s["trades_rate"]["per_hour"]), interval(s["trades_rate"]["low"], s["trades_rate"]["high"])),
    ]
    few = f"n = {t['n']}: with fewer than 30 trades every figure here is only a hint." if t["n"] and t["few"] else ""
    shown = [(a, v, muted(note)) for a, v, note in rows]
    return section("Statistics", table(("", ">value", "95 % interval, note"), shown), few, "statistics")


def _sharpe_note(d: dict[str, Any]) -> str:
    if d["value"] is None:
        return f"{plural(d['days'], 'whole day')}, at least 2 are needed" if d["days"] < 2 else f"{d['days']} whole days, all with the same result"
    text = f"{interval(d['low'], d['high'])} (Lo), {d['days']} days"
    if d["bootstrap_low"] is not None:
        text = f"{interval(d['low'], d['high'])} (Lo), {interval(d['bootstrap_low'], d['bootstrap_high'])} (bootstrap), {d['days']} days"
    return text + (f"; {d['days_without_data']} days without data left out" if d["days_without_data"] else "")


def exits(s: dict[str, Any]) -> Markup:
    """Exit reasons, and the outcomes of the entry orders."""
    if not s["exits"]:
        body = empty("No trade was closed.")
    else:
        rows = [
            (
                span(r["reason"], title=r["meaning"]),
                f"{r['n']:,}",
                percent(r["share"]["share"], 0),
                f"{r['wins']:,}",
                signed(r["gross"], money(r["gross"], True)),
                money(r["fees"]),
                money(r["slippage"]),
                money(r["funding"]),
                signed(r["net"], money(r["net"], True)),
                seconds(r["hold_s"]),
            )
            for r in s["exits"]
        ]
        body = table(("reason", ">n", ">share", ">won", ">gross", ">fees", ">slippage", ">funding", ">net", ">hold p50"), rows)
    e = s["entries"]
    fate = [("filled", str(e["filled"]["k"]), f"{e['partial']} of them partially" if e["partial"] else "")]
    fate += [(f"not filled: {r['reason']}", str(r["n"]), r["meaning"]) for r in e["unfilled"]]
    for r in e["months"]:
        f = r["filled"]
        few = "; below 40 % reduce the size ([limits] fill_rate_min)" if f["n"] >= 20 and f["share"] < 0.4 else ""
        fate.append(
            (
                f"resting entries filled in {r['month']}",
                f"{f['k']:,} of {f['n']:,}",
                f"{percent(f['share'], 0)} ({interval(f['low'], f['high'], lambda v: percent(v, 0))}){few}",
            )
        )
    if e["working"]:
        fate.append(("still working at the end", str(e["working"]), ""))
    if e["post_only_rejects"]:
        fate.append(("post-only refusals", str(e["post_only_rejects"]), "orders, some of them at a changed price"))
    text = table(("", ">n", ""), [(a, b, muted(c)) for a, b, c in fate]) if e["placed"] else empty("No entry order was placed.")
    orders = part("What became of the entry orders", text)
    return section(
        "How trades ended",
        body + (two(part("Time held (green: won)", figure(plots.holds(s["holds"]))), orders) if s["trades"] else orders),
        anchor="exits",
    )


def funnel(s: dict[str, Any]) -> Markup:
    """The number of signals left after each step."""
    most = max((r["n"] for r in s["funnel"]), default=0) or 1
    steps = table(
        ("", ">n", ""),
        [
            (
                r["step"],
                f"{r['n']:,}",
                (bar(max(2, round(200 * r["n"] / most))) if r["n"] else Markup())
                + (" " + muted(f"not met: {r['declined']}") if r.get("declined") else ""),
            )
            for r in s["funnel"]
        ],
    )
    return section("From liquidations to trades", steps)


def why(s: dict[str, Any]) -> Markup:
    """Refusals by reason."""
    why = (
        table(("reason", ">n", ">of entries", ""), [(r["reason"], f"{r['n']:,}", percent(r["share"], 0), muted(r["meaning"])) for r in s["why_not"]])
        if s["why_not"]
        else empty("Nothing was refused.")
    )
    return section(
        "Why it did not trade",
        why,
        "Answers of policy and risk; one cascade can cause several. Of entries: the share of all entries that reached risk.",
        "refused",
    )


def left_open(s: dict[str, Any]) -> Markup:
    """Positions and orders that were alive at the end."""
    if not s["left_open"]:
        return section("Left open", empty("Nothing: no position and no order was open at the end."))
    rows = [
        (
            r["symbol"],
            r["side"],
            r["what"],
            f"{r['qty']:g}",
            price(r["entry"]),
            price(r["last"]),
            signed(r["unrealised"], money(r["unrealised"], True)),
            money(r["fees"]),
            seconds(r["age_s"]),
            price(r["stop"]) if r["stop"] else (bold("none", "neg") if r["what"] == "position" else NONE),
        )
        for r in s["left_open"]
    ]
    return section(
        "Left open",
        table(("symbol", "side", "what", ">quantity", ">entry", ">last", ">unrealised, before fees", ">fees", ">age", ">stop at the venue"), rows),
        "Not part of the result above.",
    )


def _traded(count: int, of: dict[str, Any]) -> tuple[object, ...]:
    """Cells of the trades of one contract, or of all."""
    return (
        f"{count:,}",
        percent(of["win_rate"]["share"], 0),
        money(of["fees"]),
        signed(of["net"], money(of["net"], True)),
        number(of["mean_bps"], 1, True),
        interval(of["low_bps"], of["high_bps"], bps),
    )


def instruments(s: dict[str, Any]) -> Markup:
    """One row an instrument, and all together."""
    rows: list[tuple[object, ...]] = []
    for r in s["instruments"]:
        c = r["cascades"]
        name = bold(r["symbol"])
        rows.append(
            (
                below(name, " ".join(filter(None, (r["preset"], r["grade"])))) if r["preset"] else name,
                r["completeness"],
                f"{c['n']:,}",
                f"{number(c['per_hour'], 1)} ({number(c['low'], 1)}–{number(c['high'], 1)})",
                span(r["longs_liquidated"], "longs"),
                span(r["shorts_liquidated"], "shorts"),
                r["threshold_said"] or NONE,
                f"{r['entries']:,}",
                *_traded(r["trades"], r),
            )
        )
    p = s["portfolio"]
    if len(rows) > 1:
        e = s["entries"]
        rate = s["cascades"]["rate"]
        rows.append(
            (
                "together",
                "/".join(s["completeness"]),
                f"{rate['n']:,}",
                f"{number(rate['per_hour'], 1)} ({number(rate['low'], 1)}–{number(rate['high'], 1)})",
                f"{s['cascades']['longs_liquidated']:,}",
                f"{s['cascades']['shorts_liquidated']:,}",
                NONE,
                f"{e['placed']:,}",
                *_traded(p["n"], p),
            )
        )
    against = f" ({percent(p['exposure_max_on_account'], 0)} of the account)" if p["exposure_max_on_account"] is not None else ""
    note = (
        f"Threshold: that of the detector of the last cascade. Together: at most {p['positions_max']} positions at once, largest "
        f"exposure {money(p['exposure_max'])}{against}."
    )
    return section(
        "Instruments and portfolio",
        table(
            (
                "symbol",
                "feed",
                ">cascades",
                ">per h (95 %)",
                ">longs liq.",
                ">shorts liq.",
                ">threshold",
                ">entries",
                ">trades",
                ">won",
                ">fees",
                ">net",
                ">bps a trade",
                ">95 %",
            ),
            rows,
            foot=int(len(rows) > 1),
        ),
        note,
        "instruments",
    )


def pieces(s: dict[str, Any]) -> Markup:
    """By side and by hour of day."""
    if not s["trades"]:
        return Markup()
    columns = ("", ">n", ">won", ">gross", ">fees", ">slippage", ">funding", ">net", ">bps a trade", ">95 %")

    def row(name: str, r: dict[str, Any]) -> tuple[str, ...]:
        return (
            name,
            f"{r['n']:,}",
            percent(r["win_rate"]["share"], 0),
            money(r["gross"], True),
            money(r["fees"]),
            money(r["slippage"]),
            money(r["funding"]),
            signed(r["net"], money(r["net"], True)),
            number(r["mean_bps"], 1, True),
            interval(r["low_bps"], r["high_bps"], bps),
        )

    body = table(columns, [row(r["side"] + " positions", r) for r in s["sides"]])
    traded = [r for r in s["hours"] if r["n"]]
    bars = [(f"{r['hour']:02d}", r["net"], f"{r['hour']:02d}:00 UTC: {money(r['net'], True)}, {r['n']} trades") for r in s["hours"]]
    best = sum(r["low_bps"] is not None and r["low_bps"] > 0 for r in traded)
    note = f"{len(traded)} hours have trades. Of so many hours, one in twenty lies outside its 95 % interval by chance ({best} lie above zero here)."
    hours = part("By hour of the entry (UTC)", figure(plots.bars(bars, "Net result by hour of day (UTC)", every=4)) + sub(note))
    numbers = part(
        "In numbers",
        table(
            ("hour", ">n", ">won", ">net", ">bps a trade", ">95 %"),
            [tuple(row(f"{r['hour']:02d}:00", r)[k] for k in (0, 1, 2, 7, 8, 9)) for r in traded],
            tall=True,
        ),
    )
    return section("Long and short, hour by hour", body + two(hours, numbers), anchor="pieces")


def trades(s: dict[str, Any]) -> Markup:
    """The trades, or the largest gains and losses where there are too many to read."""
    if not s["trades"]:
        return Markup()
    shown, note = s["trades"], "The same rows, with more columns, are in trades.csv."
    if len(shown) > TRADES_SHOWN:
        ranked = np.argsort(shown.columns["net_bps"], kind="stable")
        shown = [shown[k] for k in np.sort(np.append(ranked[: TRADES_SHOWN // 2], ranked[-TRADES_SHOWN // 2 :])).tolist()]
        note = f"The {TRADES_SHOWN // 2} largest losses and gains of {len(s['trades']):,}; all are in trades.csv."
    rows = [
        (
            str(r["n"]),
            r["symbol"],
            r["side"],
            span(r["cascade"], r["cascade"].split()[0]),
            when(r["opened_ns"], date=s["duration_s"] > 86_400),
            price(r["entry"]),
            price(r["exit"]),
            f"{r['qty']:g}",
            r["exit_reason"],
            seconds(r["hold_s"]),
            money(r["gross"], True),
            money(r["fees"]),
            money(r["slippage"]),
            money(r["funding"]),
            signed(r["net"], money(r["net"], True)),
            signed(r["net_bps"], number(r["net_bps"], 1, True)),
        )
        for r in shown
    ]
    return section(
        f"Trades ({len(s['trades']):,})",
        table(
            (
                ">#",
                "symbol",
                "side",
                "after",
                "filled (UTC)",
                ">entry",
                ">exit",
                ">quantity",
                "exit",
                ">hold",
                ">gross",
                ">fees",
                ">slippage",
                ">funding",
                ">net",
                ">bps",
            ),
            rows,
            tall=True,
        ),
        note,
        "trades",
    )
