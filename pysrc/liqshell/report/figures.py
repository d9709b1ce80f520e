"""The numbers of the report as one dict for JSON, shown by terminal, page and report.json. Money in quote currency, returns in bps."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liqcore import Alarm, AuditKind, Control, Gate, Phase, Reason, Role
from liqcore.event import Stream
from liqshell.recording.journal import AUDIT, digest_of
from liqshell.recording.marks import union
from liqshell.report import breakdown, expected, intents, judging, origin, quotes, robust, timetable, unmet, verdicts, warmth
from liqshell.report.coverage import covered_hours, liquidation_hours, rate, share
from liqshell.report.labels import ALARMS, CONTROLS, FEEDS, GATES, gate, meaning, reason
from liqshell.report.ledger import UNASKED
from liqshell.report.results import daily, entries, exits, left_open, longest, marked, money, per_trade, total, winning
from liqshell.report.run import COMPLETENESS, Run
from liqshell.report.statistics import spread
from liqshell.report.stories import Ledger
from liqshell.report.study import Study
from liqshell.report.trades import Trades, trades_of

REPORT_VERSION = 3  # raised when a key of report.json changes its meaning or goes
MATCH_SLACK_NS = 1_000_000_000  # a forced order is reported within a second of its execution


def funnel(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """From what the detectors saw to closed trades, each step with what it lost. Large liquidations and candidates are the cascade detector's; a
    policy that is asked at other moments too is counted by them."""
    kinds = {one["kind"] for one in origin.detectors(run)} or {"cascade"}
    steps = {"large liquidations": ledger.larges, "candidates": len(ledger.cascade_rows)} if "cascade" in kinds else {}
    steps["cascades"] = len(ledger.seen_at)
    if kinds == {"cascade"}:
        answers, codes = ledger.verdict_rows, ledger.verdict_rows["reason"]
        asked, agreed = (
            np.bincount(answers["cascade"][which], minlength=len(ledger.cascade_rows))[ledger.seen_at] > 0
            for which in (~np.isin(codes, UNASKED), codes == Reason.OK)
        )
        steps |= {"policy wanted a trade": int(asked.sum()), "risk agreed": int(agreed.sum())}
    else:
        verdicts = run.of_kind(AuditKind.AUDIT_RISK)["reason"]
        steps |= {
            "moments asked": len(run.of_kind(AuditKind.AUDIT_POLICY)),
            "policy wanted a trade": len(verdicts),
            "risk agreed": int((verdicts == Reason.OK).sum()),
        }
    steps |= {
        "entries placed": len(ledger.bracket_rows),
        "entries filled": int((ledger.bracket_rows["fills"] > 0).sum()),
        "trades closed": len(ledger.trade_rows),
    }
    declined = "; ".join(f"{row['reason']} {row['n']:,}" for row in unmet.reasons(run)[:4])
    return [{"step": name, "n": n} | ({"declined": declined} if name == "policy wanted a trade" else {}) for name, n in steps.items()]


SIDES_HALTED = "the side check stopped entries: most liquidation prices were on the wrong side of the mark price or the fill"


def why_not(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Every reason for which no order was placed, and how often. asked: policy or risk was asked and refused; share: of all entries that risk was
    asked for, if risk refused."""
    verdicts = np.bincount(run.of_kind(AuditKind.AUDIT_RISK)["reason"], minlength=256)
    alarms = run.of_kind(AuditKind.AUDIT_ALARM)
    inverted = bool(((alarms["phase"] == int(Alarm.ALARM_SIDE)) & (alarms["value"] < 0.5)).any())
    rows = [
        {
            "reason": reason(code),
            "meaning": SIDES_HALTED if inverted and code == Reason.HALTED else meaning(code),
            "n": n,
            "asked": True,
            "share": n / int(verdicts.sum()) if verdicts[code] == n else None,
        }
        for code, n in (ledger.refusals - ledger.named).most_common()
    ]
    reasons = unmet.reasons(run)
    aside = [row for row in reasons if unmet.aside(row["condition"]["condition"])]
    rows = sorted(rows + [row for row in reasons if row not in aside], key=lambda row: -row["n"]) + aside
    silent = int((np.bincount(ledger.verdict_rows["cascade"], minlength=len(ledger.cascade_rows))[ledger.seen_at] == 0).sum())
    cut = int((ledger.cascade_rows["interrupted"] & (ledger.cascade_rows["active"] == 0)).sum())
    unasked = (
        ("policy silent", "the cascade became ACTIVE and the policy wanted no trade", silent),
        ("not a cascade", "no second large liquidation followed within the window", ledger.lapsed),
        ("feed gap", "a possible cascade was dropped because the feed had a gap", cut),
    )
    return rows + [{"reason": name, "meaning": meant, "n": n, "asked": False, "share": None} for name, meant, n in unasked if n]


def truth(run: Run, ledger: Ledger) -> dict[str, Any] | None:
    """Detected cascades against those the generator made: same symbol, overlapping in time (1 s of slack); the side is judged apart."""
    if run.truth is None:
        return None
    real = [t for t in run.truth if t.count >= 2 and t.end_ns >= run.started_ns and t.start_ns <= run.ended_ns]
    matched = right = 0
    hit = np.zeros(len(real), bool)
    for n, symbol in enumerate(run.symbols):
        mine = np.array([k for k, t in enumerate(real) if t.symbol == symbol], np.int64)
        starts, ends, sides = (np.array([getattr(real[k], name) for k in mine.tolist()], np.int64) for name in ("start_ns", "end_ns", "side"))
        for c in ledger.seen:
            if c.instrument != n:
                continue
            # in the venue's time: how late the feed was is another question
            times = c.larges["ts_event"] if len(c.larges) else np.array([c.start])
            found = (starts <= times.max() + MATCH_SLACK_NS) & (ends >= times.min() - MATCH_SLACK_NS)
            hit[mine[found]] = True
            matched += bool(found.any())
            right += bool((sides[found] == c.side).any())
    total = math.fsum(t.notional for t in real)
    caught = [t for t, was in zip(real, hit.tolist(), strict=True) if was]
    return {
        "cascades": len(real),
        "precision": share(matched, len(ledger.seen_at)),
        "recall": share(len(caught), len(real)),
        "recall_by_notional": math.fsum(t.notional for t in caught) / total if total else None,
        "side_right": share(right, matched),
    }


def latencies(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Every measured delay on both clocks. A run at speed s squeezes s market seconds into one: real delays count s-fold in market time."""
    rows = []
    brackets, cascades, orders, larges = ledger.bracket_rows, ledger.cascade_rows, ledger.order_rows, ledger.large_rows
    sizes = cascades["last"] - cascades["first"]
    listed = np.repeat(cascades["first"] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    feed = ((larges["ts"] - larges["ts_event"]) / 1e6)[listed].tolist()
    reaction: list[float] = []
    caused = brackets[brackets["cascade"] >= 0]
    for n in range(len(run.instruments)):
        opened, mine = (column[caused["instrument"] == n] for column in (caused["opened"], cascades[caused["cascade"]]))
        begin, end = int(mine["first"].min(initial=len(larges))), int(mine["last"].max(initial=0))
        at = np.minimum(begin + np.searchsorted(larges["ts"][begin:end], opened, "right"), mine["last"]) - 1
        at, opened = at[at >= mine["first"]], opened[at >= mine["first"]]
        reaction += ((opened - larges["ts_event"][at])[larges["ts"][at] == opened] / 1e6).tolist()
    acks = orders["ack_ms"][(orders["acked"] != 0) & (orders["role"] != Role.ROLE_STOP) & (orders["ack_ms"] > 0)].tolist()
    for name, values in (
        ("liquidation at the venue → received", feed),
        ("liquidation at the venue → entry decided", reaction),
        ("order sent → acknowledged", acks),
    ):
        if values:
            rows.append({"name": name, "clock": "market", "source": "audit", **both_clocks(spread(values), "market", run.speed)})
    for key, value in run.table("latency").items():
        if not isinstance(value, dict) or not any(isinstance(value.get(k), int | float) for k in ("p50", "p99", "max")):
            continue
        scale = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}.get(key.rsplit("_", 1)[-1], 1.0)
        clock = value.get("clock") or ("market" if key.startswith("feed_delay") else "wall")
        numbers = {k: value[k] * scale if isinstance(value.get(k), int | float) else None for k in ("p50", "p99", "max")}
        rows.append(
            {
                "name": key.rsplit("_", 1)[0].replace("_", " "),
                "clock": clock,
                "source": "run",
                **both_clocks({"n": value.get("n"), **numbers}, clock, run.speed),
            }
        )
    return rows


def both_clocks(found: dict[str, Any], clock: str, speed: float) -> dict[str, Any]:
    wall = {k: None if found[k] is None else found[k] / (speed if clock == "market" else 1.0) for k in ("p50", "p99", "max")}
    market = {k: None if v is None else v * speed for k, v in wall.items()}
    return {"n": found["n"], "wall_ms": wall, "market_ms": market}


def held_back(run: Run, ledger: Ledger) -> dict[str, float]:
    """Seconds in which each gate was closed for one instrument at least, by the words of the gate."""
    closed: dict[str, dict[int, int]] = {}  # word -> instrument -> since
    spans: dict[str, list[tuple[int, int]]] = {}
    for (ts, n, control, _), word in zip(ledger.gates, gate_labels(ledger), strict=True):
        which = range(len(run.symbols)) if n < 0 else (n,)
        since = closed.setdefault(word, {})
        for k in which:
            if control == Control.CONTROL_PAUSE:
                since.setdefault(k, ts)
            elif k in since:
                spans.setdefault(word, []).append((since.pop(k), ts))
    for word, since in closed.items():
        spans.setdefault(word, []).extend((ts, max(ts, run.ended_ns)) for ts in since.values())
    return {word: sum(end - start for start, end in union(spans[word])) / 1e9 for word in (*GATES.values(), *spans) if word in spans}


def gate_labels(ledger: Ledger) -> list[str]:
    """The words of each of ledger.gates."""
    out, opened = [], False
    for _, _, control, code in ledger.gates:
        out.append(gate(code, control, opened))
        opened = opened or code == Gate.GATE_START and control == Control.CONTROL_READY
    return out


def feed_health(run: Run, ledger: Ledger) -> dict[str, Any]:
    counters = run.table("counters")
    refused = {reason(int(code)): n for code, n in ledger.refused_events.most_common()}
    counted = counters.get("refused")
    if isinstance(counted, dict):  # the run counts every one, the audit ring keeps one record for many
        for key, n in counted.items():
            code = getattr(Reason, str(key).rsplit(".", 1)[-1], None)
            name = reason(int(key)) if str(key).isdigit() else reason(int(code)) if code is not None else str(key)
            refused[name] = max(n, refused.get(name, 0)) if isinstance(n, int) else refused.get(name, 0)
    venues = {name: one for name, one in (counters.get("venues") or {}).items() if isinstance(one, dict)}
    return {
        "venues": venues,
        "suspect": [reasons for one in venues.values() for reasons in one.get("suspect") or () if isinstance(reasons, dict)],
        "frames": counters.get("frames"),
        "events": counters.get("events"),
        "reconnects": counters.get("reconnects"),
        "refused": refused,
        "decode": counters.get("decode"),
        "record": counters.get("record"),
        "incidents": [
            {
                "ts": ts,
                "instrument": run.symbols[n] if n >= 0 else "all",
                "state": FEEDS.get(s, str(s)),
                "missed_s": missed,
                "streams": [bit.name.removeprefix("STREAM_").lower() for bit in Stream if streams & bit] or ["all"],
            }
            for ts, n, s, missed, streams in ledger.feed
        ],
        "alarms": [
            {"ts": ts, "instrument": run.symbols[n] if n >= 0 else "all", "what": ALARMS.get(a, str(a)), "value": v, "limit": limit}
            for ts, n, a, v, limit in ledger.alarms
        ],
        "limits": [
            {"ts": ts, "what": CONTROLS.get(c, str(c)), "reason": reason(r), "value": v, "limit": limit} for ts, c, r, v, limit in ledger.limits
        ],
        "gates": [
            {"ts": ts, "instrument": run.symbols[n] if n >= 0 else "all", "what": CONTROLS.get(c, str(c)), "gate": word}
            for (ts, n, c, _), word in zip(ledger.gates, gate_labels(ledger), strict=True)
        ],
        "held_back": held_back(run, ledger),
    }


def cascades(run: Run, ledger: Ledger) -> dict[str, Any]:
    """notional: None where a FULL and a CENSORED feed are in one run, because their volumes are not added; see notional_by_class."""
    at = ledger.seen_at
    rows = ledger.cascade_rows[at]
    ends = np.where(rows["last"] > rows["first"], np.append(ledger.large_rows["ts"], 0)[rows["last"] - 1], rows["start"])
    notional, of = rows["long_notional"] + rows["short_notional"], np.array([i.completeness for i in run.instruments])[rows["instrument"]]
    classes = {COMPLETENESS[code]: code for code in {i.completeness for i in run.instruments}}
    by_class = {name: total(notional[of == code]) for name, code in sorted(classes.items())}
    phases = ledger.phase_rows
    slowed = np.bincount(phases["cascade"][phases["phase"] == Phase.DECELERATING], minlength=len(ledger.cascade_rows))[at] > 0
    return {
        "n": len(rows),
        "longs_liquidated": int((rows["side"] > 0).sum()),
        "shorts_liquidated": int((rows["side"] < 0).sum()),
        "notional": next(iter(by_class.values())) if len(by_class) == 1 else None,
        "notional_by_class": by_class,
        "duration_s": spread(((ends - rows["start"]) / 1e9).tolist()),
        "interrupted": int(rows["interrupted"].sum()),
        "decelerated": int(slowed.sum()),
    }


def stamp(run: Run) -> dict[str, Any]:
    """The data that another person needs to repeat the run."""
    meta, sequence = run.meta, run.audit["seq"]
    lost = int(sequence[-1] - sequence[0]) + 1 - len(sequence) if len(sequence) else 0
    return {
        **{key: meta.get(key) for key in ("version", "abi", "config_hash", "code_hash", "data_hash", "seed", "market_seeds")},
        "speed": run.speed,
        "audit_records": len(run.audit),
        "audit_lost": lost,
        "audit_sha256": _audit_sha256(run),
        "replay": None if run.damage else meta.get("replay"),  # it was proved of other records
        "finished": meta.get("finished", True),
        "problem": meta.get("problem"),
    }


def _audit_sha256(run: Run) -> str:
    """Of the records; of a file that holds them as they are its own, which is not taken twice."""
    path = Path(run.folder) / AUDIT if run.folder is not None else None
    if isinstance(run.audit.base, np.memmap) and path is not None and path.exists():
        return digest_of(path)
    return hashlib.sha256(np.ascontiguousarray(run.audit).view(np.uint8).data).hexdigest()


def _mode(run: Run) -> str:
    """How it traded, in words: real orders to a venue on this machine must not look like money made."""
    mode = str(run.meta.get("mode", "paper"))
    return "LIVE AGAINST THE LOOPBACK VENUE" if mode == "live" and run.meta.get("environment") == "loopback" else mode


def summarise(run: Run, ledger: Ledger, study: Study | None = None) -> dict[str, Any]:
    """All numbers of a run. Keys are stable: programs may rely on report.json (docs/report.md), which has all of them but the list `trades`.
    study: what a backtest tried besides the run."""
    study = study or {}
    hours = sum(covered_hours(run, ledger, n) for n in range(len(run.instruments)))
    classes = sorted({COMPLETENESS[i.completeness] for i in run.instruments})
    data, tried = origin.data(run, ledger, study), robust.trials(run, ledger, study)
    heard = liquidation_hours(run, ledger, data["parts"])
    asked = judging.of_run(run.meta, study.get("judge"))
    trades, held = per_trade(ledger), longest(ledger.trade_rows["hold_s"]) / 1e9
    out: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "damage": run.damage,
        "name": run.meta.get("name") or run.folder.name,
        "mode": _mode(run),
        "venue": run.meta.get("venue", ""),
        "synthetic": run.synthetic,
        "label": "SYNTHETIC" if run.synthetic else "REAL MARKET",
        "preset": run.meta.get("preset"),
        "sweep": run.meta.get("sweep"),
        "evidence": run.meta.get("evidence"),
        "completeness": classes,
        "started_ns": run.started_ns,
        "ended_ns": run.ended_ns,
        "duration_s": run.duration_s,
        "wall_s": wall_seconds(run),
        "speed": run.speed,
        "covered_instrument_hours": hours,
        "money": money(run, ledger) | {"drawdown_marked": marked(study)},
        "win_rate": winning(run, ledger),
        "per_trade": trades,
        "daily_sharpe": daily(run, ledger),
        "hold_s": spread(ledger.trade_rows["hold_s"].tolist()),
        "exits": exits(ledger),
        "entries": entries(ledger),
        "left_open": left_open(run, ledger),
        "funnel": funnel(run, ledger),
        "why_not": why_not(run, ledger),
        "cascades": {**cascades(run, ledger), "rate": rate(len(ledger.seen_at), sum(heard))},
        "trades_rate": rate(len(ledger.trade_rows), hours),
        "instruments": breakdown.instruments(run, ledger, heard),
        "portfolio": breakdown.portfolio(run, ledger),
        "sides": breakdown.sides(ledger),
        "hours": breakdown.hours(ledger),
        "days": breakdown.days(run, ledger),
        "holds": breakdown.holds(ledger),
        "truth": truth(run, ledger),
        "latency": latencies(run, ledger),
        "feed": feed_health(run, ledger),
        "warm": warmth.summarise(run),
        "timetable": timetable.summarise(run, study),
        "gave_way": intents.gave_way(run),
        "judge": asked,
        "data": data,
        "quotes": quotes.summarise(run, ledger, data["parts"]),
        "half_spread": study.get("half_spread", []),
        "assumptions": origin.assumptions(run, ledger, study),
        "stamp": stamp(run),
        "detectors": origin.listened(run),
        "delays": robust.delays(study, held),
        "controls": robust.controls(study, trades, tried["independent"] or tried["trials"]),
        "forward": robust.forward(study, held, bool(asked and asked["contaminated"])),
        "trials": tried,
        "timing_s": study.get("timing_s", {}),
        "problems": study.get("problems", []),
        "trades": trades_of(run, ledger),
    }
    out["expected"] = expected.compare(run, study, out, by_preset(run, ledger, heard))
    out["silence"] = origin.silence(run, out)
    return out | {"verdict": verdicts.verdict(out), "belief": verdicts.belief(out) if out["mode"] == "backtest" else []}


def by_preset(run: Run, of_all: Ledger, heard: Sequence[float]) -> dict[str, tuple[int, dict[str, Any]]]:
    """Where several presets traded: of each how many contracts it had, and of these alone what its claims are compared with; else {}."""
    members: dict[str, list[int]] = {}
    for n, contract in enumerate(run.contracts):
        if contract["preset"]:
            members.setdefault(contract["preset"], []).append(n)
    if len(members) < 2:
        return {}
    out = {}
    for name, own in members.items():
        ledger = of_all.of_instruments(own)
        hours = sum(covered_hours(run, ledger, n) for n in own)
        out[name] = (
            len(own),
            {
                "trades": Trades({"hold_s": ledger.trade_rows["hold_s"]}),
                "win_rate": winning(run, ledger),
                "entries": entries(ledger),
                "exits": exits(ledger),
                "days": breakdown.days(run, ledger),
                "instruments": own,
                "per_trade": per_trade(ledger),
                "covered_instrument_hours": hours,
                "trades_rate": rate(len(ledger.trade_rows), hours),
                "cascades": {"rate": rate(len(ledger.seen_at), sum(heard[n] for n in own))},
                "money": money(run, ledger),
                "daily_sharpe": daily(run, ledger),
                "hold_s": spread(ledger.trade_rows["hold_s"].tolist()),
            },
        )
    return out


def wall_seconds(run: Run) -> float | None:
    start, end = run.meta.get("wall_started_ns"), run.meta.get("wall_ended_ns")
    return (end - start) / 1e9 if isinstance(start, int) and isinstance(end, int) and end >= start else None
