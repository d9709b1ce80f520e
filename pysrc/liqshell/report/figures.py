"""The numbers of the report as one dict for JSON, shown by terminal, page and report.json. Money in quote currency, returns in bps."""

import hashlib
import math
from collections import Counter
from typing import Any

from liqcore import FeedState, Phase, Reason, Role

from liqshell.report.ledger import Bracket, Cascade, Ledger
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.statistics import daily_sharpe, mean_test, poisson, spread, wilson
from liqshell.report.words import ALARMS, CONTROLS, FEEDS, liquidated, meaning, position, reason

HOUR_NS, DAY_NS = 3_600_000_000_000, 86_400_000_000_000
FUNDING_NS = 8 * HOUR_NS
MATCH_SLACK_NS = 1_000_000_000       # a forced order is reported within a second of its execution


def union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping spans of time merged."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(s for s in spans if s[1] > s[0]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def gaps(run: Run, ledger: Ledger, instrument: int) -> list[tuple[int, int]]:
    """Spans (ns) in which the instrument's feed is known to have been incomplete."""
    spans, down = [], None
    for ts, n, state, missed_s in ledger.feed:
        if n not in (-1, instrument):
            continue
        begun = max(run.started_ns, ts - round(max(0.0, missed_s) * 1e9))
        if state == FeedState.FEED_DOWN:
            down = begun if down is None else down
        elif state == FeedState.FEED_GAP:
            spans.append((begun, ts))
        elif down is not None:
            spans.append((down, ts))
            down = None
    if down is not None:
        spans.append((down, run.ended_ns))
    return union(spans)


def covered_hours(run: Run, ledger: Ledger, instrument: int) -> float:
    """Market time that the feed covered."""
    missing = sum(end - start for start, end in gaps(run, ledger, instrument))
    return max(0.0, (run.ended_ns - run.started_ns - missing) / HOUR_NS)


def rate(count: int, hours: float) -> dict[str, float | int | None]:
    """Events per covered hour with the 95 % Poisson interval."""
    if hours <= 0:
        return {"n": count, "hours": hours, "per_hour": None, "low": None, "high": None}
    low, high = poisson(count)
    return {"n": count, "hours": hours, "per_hour": count / hours, "low": low / hours, "high": high / hours}


def share(count: int, n: int) -> dict[str, float | int | None]:
    low, high = wilson(count, n)
    return {"k": count, "n": n, "share": count / n if n else None, "low": low if n else None, "high": high if n else None}


def money(run: Run, ledger: Ledger) -> dict[str, Any]:
    """The waterfall of the closed trades, and what belongs to positions still open."""
    trades = [b.closed for b in ledger.trades if b.closed]
    gross, fees = math.fsum(t.gross for t in trades), math.fsum(t.fees for t in trades)
    slip = math.fsum(t.slippage for t in trades)
    notional = math.fsum(t.entry_notional for t in trades)
    maker = math.fsum(f.fee for b in ledger.trades for f in b.fills if f.maker)
    net = math.fsum(t.net for t in trades)
    equity = equity_of(run, ledger)
    return {"gross_decided": gross + slip, "slippage": slip, "gross": gross, "fees": fees, "fees_maker": maker, "fees_taker": fees - maker,
            "funding": 0.0, "funding_modelled": False, "held_across_funding": sum(crosses_funding(b) for b in ledger.trades), "net": net,
            "notional": notional, "equity_start": equity, "net_on_notional_bps": net / notional * 1e4 if notional else None,
            "net_on_account": net / equity if equity and trades else None, "max_drawdown_on_account": drawdown(ledger, equity)}


def equity_of(run: Run, ledger: Ledger) -> float | None:
    """Starting equity: as configured, else as risk saw it at its first verdict."""
    config = run.table("config")
    for table in (run.meta, config, config.get("paper"), config.get("account")):
        if isinstance(table, dict):
            value = table.get("equity")
            if isinstance(value, int | float) and value > 0:
                return float(value)
    return ledger.equity_start or None


def crosses_funding(b: Bracket) -> bool:
    """Held at 00:00, 08:00 or 16:00 UTC, when most perpetuals charge funding."""
    opened = b.entry_fills[0].ts if b.entry_fills else b.opened
    return b.flat // FUNDING_NS > opened // FUNDING_NS


def drawdown(ledger: Ledger, equity: float | None) -> float | None:
    """Largest fall of the account from a peak, on closed trades, as a share of that peak."""
    if not equity:
        return None
    total = peak = equity
    worst = 0.0
    for b in ledger.trades:
        total += b.closed.net if b.closed else 0.0
        peak = max(peak, total)
        worst = max(worst, (peak - total) / peak)
    return worst


def fee_rates(ledger: Ledger, run: Run) -> dict[str, float | None]:
    """What was charged per leg and role, as a share of the fill's notional."""
    out: dict[str, float | None] = {}
    for name, is_maker in (("maker", True), ("taker", False)):
        legs = [(f.fee, f.price * f.qty * run.instruments[b.instrument].multiplier) for b in ledger.brackets for f in b.fills
                if f.maker is is_maker]
        total = math.fsum(n for _, n in legs)
        out[name] = math.fsum(fee for fee, _ in legs) / total if total else None
    return out


def winning(run: Run, ledger: Ledger) -> dict[str, Any]:
    """Win rate against what is needed to break even: from the realised averages, and from the bracket's own distances and fees."""
    nets = [b.closed.net for b in ledger.trades if b.closed]
    wins, losses = [v for v in nets if v > 0], [-v for v in nets if v <= 0]
    mean_win = math.fsum(wins) / len(wins) if wins else None
    mean_loss = math.fsum(losses) / len(losses) if losses else None
    realised = mean_loss / (mean_win + mean_loss) if mean_win and mean_loss else None
    planned = None
    spec = next((b for b in ledger.brackets if b.take_profit > 0 and b.stop_loss > 0), None)
    rates = fee_rates(ledger, run)
    if spec is not None and rates["maker"] is not None:
        taker = rates["taker"] if rates["taker"] is not None else rates["maker"]
        win, loss = spec.take_profit - 2 * rates["maker"], spec.stop_loss + rates["maker"] + taker
        planned = loss / (win + loss) if win > 0 else 1.0
    return {**share(len(wins), len(nets)), "mean_win": mean_win, "mean_loss": mean_loss, "break_even_realised": realised,
            "break_even_planned": planned, "fee_maker": rates["maker"], "fee_taker": rates["taker"]}


def per_trade(ledger: Ledger) -> dict[str, Any]:
    """Net return per trade on its notional, in bps. The Sharpe here is per trade and is never annualised (C9)."""
    test = mean_test([b.closed.net / b.closed.entry_notional * 1e4 for b in ledger.trades if b.closed and b.closed.entry_notional > 0])
    mean, sd = test["mean"], test["sd"]
    return {**test, "sharpe_per_trade": mean / sd if mean is not None and sd else None}


def daily(run: Run, ledger: Ledger) -> dict[str, Any]:
    """Sharpe of whole days of 24 h from the start, returns on the account; None below two whole days."""
    days, equity = int((run.ended_ns - run.started_ns) // DAY_NS), equity_of(run, ledger)
    if not equity:
        return daily_sharpe([]) | {"days": days}
    nets = [0.0] * days
    for b in ledger.trades:
        day = (b.flat - run.started_ns) // DAY_NS
        if b.closed and 0 <= day < days:
            nets[day] += b.closed.net
    returns = []
    for net in nets:
        returns.append(net / equity)
        equity += net
    return daily_sharpe(returns)


def exits(ledger: Ledger) -> list[dict[str, Any]]:
    """One row an exit reason."""
    groups: dict[int, list[Bracket]] = {}
    for b in ledger.trades:
        groups.setdefault(b.closed.reason if b.closed else 0, []).append(b)
    rows = []
    for code, found in sorted(groups.items(), key=lambda item: -len(item[1])):
        trades = [b.closed for b in found if b.closed]
        rows.append({"reason": reason(code), "meaning": meaning(code), "n": len(trades), "wins": sum(t.net > 0 for t in trades),
                     "gross": math.fsum(t.gross for t in trades), "fees": math.fsum(t.fees for t in trades),
                     "slippage": math.fsum(t.slippage for t in trades), "net": math.fsum(t.net for t in trades),
                     "hold_s": spread([t.hold_s for t in trades])["p50"], "hold_max_s": max(t.hold_s for t in trades)})
    return rows


def entries(ledger: Ledger) -> dict[str, Any]:
    """What became of the entry orders."""
    placed = len(ledger.brackets)
    filled = [b for b in ledger.brackets if b.fills]
    partial = [b for b in filled if b.flat and sum(f.qty for f in b.entry_fills) < b.qty * (1 - 1e-9)]
    ended = Counter(b.end for b in ledger.brackets if b.flat and not b.fills)
    waits = [(b.fills[0].ts - b.opened) / 1e9 for b in filled]
    rejects = sum(o.rejected and o.reason == Reason.END_POST_ONLY for b in ledger.brackets for o in b.orders.values()
                  if o.role == Role.ROLE_ENTRY)
    return {"placed": placed, "filled": share(len(filled), placed), "partial": len(partial),
            "working": sum(not b.flat and not b.fills for b in ledger.brackets),
            "post_only_rejects": rejects, "wait_s": spread(waits),
            "unfilled": [{"reason": reason(code), "meaning": meaning(code), "n": n} for code, n in ended.most_common()]}


def left_open(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Positions and entries still alive at the end."""
    rows = []
    for b in ledger.brackets:
        if b.flat:
            continue
        stop, order = b.first(Role.ROLE_STOP), b.first(Role.ROLE_ENTRY)
        mark = ledger.marks.get(b.instrument, (0, 0.0))[1]
        entry, multiplier = b.entry_price, run.instruments[b.instrument].multiplier
        rows.append({"symbol": run.symbols[b.instrument], "side": position(b.side), "what": "position" if b.position else "entry order",
                     "qty": abs(b.position) or b.qty, "entry": entry or (order.price if order else 0.0), "last": mark,
                     "unrealised": (mark - entry) * b.position * multiplier if b.position and mark else 0.0,
                     "fees": math.fsum(f.fee for f in b.fills), "age_s": (run.ended_ns - b.opened) / 1e9,
                     "stop": stop.price if stop and not stop.ended else None})
    return rows


def funnel(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """From large liquidations to closed trades, each step with what it lost."""
    asked = [c for c in ledger.seen if any(code not in (Reason.NO_TRADE, Reason.PHASE) for _, code in c.verdicts)]
    accepted = [c for c in asked if any(code == Reason.OK for _, code in c.verdicts)]
    filled = [b for b in ledger.brackets if b.fills]
    return [{"step": "large liquidations", "n": ledger.larges}, {"step": "candidates", "n": len(ledger.cascades)},
            {"step": "cascades", "n": len(ledger.seen)}, {"step": "policy wanted a trade", "n": len(asked)},
            {"step": "risk agreed", "n": len(accepted)}, {"step": "entries placed", "n": len(ledger.brackets)},
            {"step": "entries filled", "n": len(filled)}, {"step": "trades closed", "n": len(ledger.trades)}]


def why_not(ledger: Ledger) -> list[dict[str, Any]]:
    """Every reason for which no order was placed, and how often."""
    rows = [{"reason": reason(code), "meaning": meaning(code), "n": n} for code, n in ledger.refusals.most_common()]
    silent = sum(not c.verdicts for c in ledger.seen)
    if silent:
        rows.append({"reason": "policy silent", "meaning": "the cascade became active and the policy asked for nothing", "n": silent})
    if ledger.lapsed:
        rows.append({"reason": "not a cascade", "meaning": "a large liquidation that no second one followed inside the window",
                     "n": ledger.lapsed})
    cut = sum(c.interrupted and not c.active for c in ledger.cascades)
    if cut:
        rows.append({"reason": "feed gap", "meaning": "a candidate was forgotten because the feed had a gap", "n": cut})
    return rows


def instruments(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    rows = []
    for n, instrument in enumerate(run.instruments):
        seen = [c for c in ledger.seen if c.instrument == n]
        trades = [b.closed for b in ledger.trades if b.instrument == n and b.closed]
        notional = math.fsum(t.entry_notional for t in trades)
        net = math.fsum(t.net for t in trades)
        rows.append({"symbol": instrument.symbol, "venue": instrument.venue, "completeness": COMPLETENESS[instrument.completeness],
                     "cascades": rate(len(seen), covered_hours(run, ledger, n)), "longs_liquidated": sum(c.side > 0 for c in seen),
                     "shorts_liquidated": sum(c.side < 0 for c in seen), "threshold": seen[-1].threshold if seen else None,
                     "entries": sum(b.instrument == n for b in ledger.brackets), "trades": len(trades),
                     "wins": sum(t.net > 0 for t in trades),
                     "gross": math.fsum(t.gross for t in trades), "fees": math.fsum(t.fees for t in trades), "net": net,
                     "net_bps": net / notional * 1e4 if notional else None, "gap_s": sum(e - s for s, e in gaps(run, ledger, n)) / 1e9})
    return rows


def truth(run: Run, ledger: Ledger) -> dict[str, Any] | None:
    """Detected cascades against those the generator made: same symbol, overlapping in time (1 s of slack); the side is judged apart."""
    if run.truth is None:
        return None
    real = [t for t in run.truth if t.count >= 2 and t.end_ns >= run.started_ns and t.start_ns <= run.ended_ns]
    hit: set[int] = set()
    matched = right = 0
    for c in ledger.seen:
        # in the venue's time: how late the feed was is another question
        times = [e.ts_event for e in c.larges] or [c.start]
        found = [t for t in real if t.symbol == run.symbols[c.instrument] and t.start_ns <= max(times) + MATCH_SLACK_NS
                 and t.end_ns >= min(times) - MATCH_SLACK_NS]
        hit.update(t.id for t in found)
        matched += bool(found)
        right += any(t.side == c.side for t in found)
    total = math.fsum(t.notional for t in real)
    return {"cascades": len(real), "precision": share(matched, len(ledger.seen)),
            "recall": share(len([t for t in real if t.id in hit]), len(real)),
            "recall_by_notional": math.fsum(t.notional for t in real if t.id in hit) / total if total else None,
            "side_right": share(right, matched)}


def latencies(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Every measured delay on both clocks. A run at speed s squeezes s market seconds into one: real delays count s-fold in market time."""
    rows = []
    large = {(c.instrument, e.ts): e for c in ledger.cascades for e in c.larges}
    reaction = [(b.opened - large[b.instrument, b.opened].ts_event) / 1e6 for b in ledger.brackets if (b.instrument, b.opened) in large]
    acks = [o.ack_ms for b in ledger.brackets for o in b.orders.values() if o.acked and o.role != Role.ROLE_STOP and o.ack_ms > 0]
    feed = [(e.ts - e.ts_event) / 1e6 for c in ledger.cascades for e in c.larges]
    for name, values in (("forced close at the venue → received", feed), ("forced close at the venue → entry decided", reaction),
                         ("order sent → acknowledged", acks)):
        if values:
            rows.append({"name": name, "clock": "market", "source": "audit", **both_clocks(spread(values), "market", run.speed)})
    for key, value in run.table("latency").items():
        if not isinstance(value, dict) or not any(isinstance(value.get(k), int | float) for k in ("p50", "p99", "max")):
            continue
        scale = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}.get(key.rsplit("_", 1)[-1], 1.0)
        clock = value.get("clock") or ("market" if key.startswith("feed_delay") else "wall")
        numbers = {k: value[k] * scale if isinstance(value.get(k), int | float) else None for k in ("p50", "p99", "max")}
        rows.append({"name": key.rsplit("_", 1)[0].replace("_", " "), "clock": clock, "source": "run",
                     **both_clocks({"n": value.get("n"), **numbers}, clock, run.speed)})
    return rows


def both_clocks(found: dict[str, Any], clock: str, speed: float) -> dict[str, Any]:
    wall = {k: None if found[k] is None else found[k] / (speed if clock == "market" else 1.0) for k in ("p50", "p99", "max")}
    market = {k: None if v is None else v * speed for k, v in wall.items()}
    return {"n": found["n"], "wall_ms": wall, "market_ms": market}


def feed_health(run: Run, ledger: Ledger) -> dict[str, Any]:
    counters = run.table("counters")
    refused = {reason(int(code)): n for code, n in ledger.door.most_common()}
    counted = counters.get("refused")
    if isinstance(counted, dict):        # the run counts every one, the audit ring keeps one record for many
        for key, n in counted.items():
            code = getattr(Reason, str(key).rsplit(".", 1)[-1], None)
            name = reason(int(key)) if str(key).isdigit() else reason(int(code)) if code is not None else str(key)
            refused[name] = max(n, refused.get(name, 0)) if isinstance(n, int) else refused.get(name, 0)
    return {"frames": counters.get("frames"), "events": counters.get("events"), "reconnects": counters.get("reconnects"),
            "refused": refused,
            "decode": counters.get("decode"), "record": counters.get("record"),
            "incidents": [{"ts": ts, "instrument": run.symbols[n] if n >= 0 else "all", "state": FEEDS.get(s, str(s)), "missed_s": missed}
                          for ts, n, s, missed in ledger.feed],
            "alarms": [{"ts": ts, "instrument": run.symbols[n] if n >= 0 else "all", "what": ALARMS.get(a, str(a)), "value": v,
                        "limit": limit}
                       for ts, n, a, v, limit in ledger.alarms],
            "limits": [{"ts": ts, "what": CONTROLS.get(c, str(c)), "reason": reason(r), "value": v, "limit": limit}
                       for ts, c, r, v, limit in ledger.limits]}


def trade_rows(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    rows = []
    for n, b in enumerate(ledger.trades, 1):
        t = b.closed
        if t is None:
            continue
        rows.append({"n": n, "symbol": run.symbols[b.instrument], "side": position(b.side),
                     "cascade": liquidated(b.cascade.side) if b.cascade else "unknown",
                     "opened_ns": b.entry_fills[0].ts if b.entry_fills else b.opened,
                     "closed_ns": b.flat, "qty": t.qty, "entry": t.entry, "exit": t.exit, "notional": t.entry_notional, "gross": t.gross,
                     "fees": t.fees, "slippage": t.slippage, "net": t.net,
                     "net_bps": t.net / t.entry_notional * 1e4 if t.entry_notional else 0.0,
                     "hold_s": t.hold_s, "exit_reason": reason(t.reason), "entry_role": "maker" if t.entry_maker else "taker"})
    return rows


def cascade_rows(run: Run, cascades: list[Cascade]) -> dict[str, Any]:
    durations = [(c.last_large - c.start) / 1e9 for c in cascades]
    return {"n": len(cascades), "longs_liquidated": sum(c.side > 0 for c in cascades),
            "shorts_liquidated": sum(c.side < 0 for c in cascades),
            "notional": math.fsum(c.notional for c in cascades), "duration_s": spread(durations),
            "interrupted": sum(c.interrupted for c in cascades),
            "decelerated": sum(any(p == Phase.DECELERATING for _, p in c.phases) for c in cascades)}


def stamp(run: Run) -> dict[str, Any]:
    """What somebody else needs to get the same run."""
    meta, sequence = run.meta, run.audit["seq"]
    lost = int(sequence[-1] - sequence[0]) + 1 - len(sequence) if len(sequence) else 0
    return {"version": meta.get("version"), "abi": meta.get("abi"), "config_hash": meta.get("config_hash"),
            "data_hash": meta.get("data_hash"),
            "seed": meta.get("seed"), "speed": run.speed, "audit_records": len(run.audit), "audit_lost": lost,
            "audit_sha256": hashlib.sha256(run.audit.tobytes()).hexdigest(), "replay": meta.get("replay")}


def summarise(run: Run, ledger: Ledger) -> dict[str, Any]:
    """All numbers of a run. Keys are stable: programs may rely on report.json."""
    hours = sum(covered_hours(run, ledger, n) for n in range(len(run.instruments)))
    classes = sorted({COMPLETENESS[i.completeness] for i in run.instruments})
    return {"name": run.meta.get("name") or run.folder.name, "mode": run.meta.get("mode", "paper"), "venue": run.meta.get("venue", ""),
            "synthetic": run.synthetic, "label": "SYNTHETIC" if run.synthetic else "REAL MARKET", "preset": run.meta.get("preset"),
            "evidence": run.meta.get("evidence"), "completeness": classes, "started_ns": run.started_ns, "ended_ns": run.ended_ns,
            "duration_s": run.duration_s, "wall_s": wall_seconds(run), "speed": run.speed, "covered_instrument_hours": hours,
            "money": money(run, ledger), "win_rate": winning(run, ledger), "per_trade": per_trade(ledger),
            "daily_sharpe": daily(run, ledger),
            "hold_s": spread([b.closed.hold_s for b in ledger.trades if b.closed]), "exits": exits(ledger), "entries": entries(ledger),
            "left_open": left_open(run, ledger), "funnel": funnel(run, ledger), "why_not": why_not(ledger),
            "cascades": {**cascade_rows(run, ledger.seen), "rate": rate(len(ledger.seen), hours)},
            "trades_rate": rate(len(ledger.trades), hours),
            "instruments": instruments(run, ledger), "truth": truth(run, ledger), "latency": latencies(run, ledger),
            "feed": feed_health(run, ledger), "stamp": stamp(run), "trades": trade_rows(run, ledger)}


def wall_seconds(run: Run) -> float | None:
    start, end = run.meta.get("wall_started_ns"), run.meta.get("wall_ended_ns")
    return (end - start) / 1e9 if isinstance(start, int) and isinstance(end, int) and end >= start else None
