"""The evidence of a run for each requirement: counts and lists, without verdicts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from liqcore import Phase, Role
from liqshell.errors import DataError, LiqshellError
from liqshell.gate.exits import NS, Fault, exit_faults, limit_faults, reduce_only_faults
from liqshell.recording.marks import union, without
from liqshell.report.coverage import gaps
from liqshell.report.ledger import read_ledger
from liqshell.report.run import Run, load_run
from liqshell.report.stories import ORDER_MARKET, Bracket, Ledger

HOUR_NS = 3600 * NS
FAULTS_KEPT = 20


@dataclass(slots=True)
class Evidence:
    """Of the runs of one mode, added up. Durations in hours of the wall clock; lists one value a case; symbol -> value in mappings.

    stretches: lengths of feed without a gap. detection_s: from the venue's time of the event that made a cascade to the decision. answer_s: from
    the decision to the venue's acknowledgement. reaction_s: both. fees_bps: of maker fills. stop_bps: what stops lost against their trigger. trips:
    closed round trips. exits: filled brackets by side. sizes: (notional, smallest possible) of each entry. Of the contracts that could be traded:
    spans: when the feed covered them, ns UTC; covered: hours of it; cascades: of those hours; beside: (hours, cascades) of it that were counted
    elsewhere already. Time that several runs cover is there once. by: (contract, preset) -> [placed, filled, trips, won]. results: of closed trades
    (closed ns, held ns, net, bps), and decided: of resting entries (ended ns, whether filled), both in order of time.
    """

    runs: int = 0
    stretches: list[float] = field(default_factory=list)
    hours: float = 0.0
    reconnects: int = 0
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    covered: dict[str, float] = field(default_factory=dict)
    cascades: dict[str, int] = field(default_factory=dict)
    beside: dict[str, tuple[float, int]] = field(default_factory=dict)
    detection_s: list[float] = field(default_factory=list)
    answer_s: list[float] = field(default_factory=list)
    reaction_s: list[float] = field(default_factory=list)
    placed: int = 0
    filled: int = 0
    trips: int = 0
    won: int = 0
    brackets: int = 0
    pairs: int = 0  # brackets that followed another on the same contract
    exits: dict[int, int] = field(default_factory=lambda: {1: 0, -1: 0})
    exit_faults: dict[int, list[Fault]] = field(default_factory=lambda: {1: [], -1: []})
    exit_orders: int = 0
    reduce_faults: list[Fault] = field(default_factory=list)
    limit_faults: list[Fault] = field(default_factory=list)
    replays: list[tuple[str, bool | None, str]] = field(default_factory=list)  # None: could not be tried
    fees_bps: list[float] = field(default_factory=list)
    stop_bps: list[float] = field(default_factory=list)
    targets: int = 0
    targets_maker: int = 0
    sizes: list[tuple[float, float]] = field(default_factory=list)
    by: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    results: list[tuple[int, int, float, float]] = field(default_factory=list)
    decided: list[tuple[int, bool]] = field(default_factory=list)

    @property
    def days(self) -> dict[str, float]:
        """Covered days of each contract."""
        return {symbol: hours / 24.0 for symbol, hours in self.covered.items()}


@dataclass(frozen=True, slots=True)
class Opened:
    """A run with its stories. use: "paper", "live", or why it counts for neither."""

    run: Run
    ledger: Ledger
    use: str

    @property
    def name(self) -> str:
        return self.run.folder.name

    @property
    def counts(self) -> bool:
        """Whether it is evidence of anything."""
        return self.use in ("paper", "live")


def open_run(folder: str | Path, *, rehearsal: bool = False) -> Opened:
    """Load a run and say what it may be evidence of. rehearsal: take generated and accelerated markets too, for trying the gate itself."""
    run = load_run(folder)
    mode = str(run.meta.get("mode") or "")
    if mode not in ("paper", "live"):
        raise DataError(str(folder), f"a run of mode {mode!r}", "a paper or a live run", "A backtest does not show how the live parts behave")
    use = mode
    if not rehearsal and run.synthetic:
        use = "a generated market"
    elif not rehearsal and run.speed != 1.0:
        use = f"a market at {run.speed:g} times real time"
    elif not rehearsal:
        use = _excluded_use(mode, str(run.meta.get("environment") or "")) or mode
    return Opened(run, read_ledger(run), use)


def _excluded_use(mode: str, environment: str) -> str:
    """The reason why a run does not count by its venue: a test environment, "loopback", or an address of the user's."""
    if environment == "loopback":
        return "a market on this machine"
    if "testnet" in environment:
        return "a market of the testnet"
    return "orders of a demo account, whose fills are the venue's model" if mode == "live" and "demo" in environment else ""


def once(opened: Iterable[Opened], known: set[bytes]) -> list[Opened]:
    """The same runs; one whose records are known, or come twice, counts for nothing."""
    out = []
    for one in opened:
        digest = hashlib.sha256(one.run.audit.tobytes()).digest()
        out.append(replace(one, use="a run already given") if one.counts and digest in known else one)
        known.add(digest)
    return out


def gather(opened: Iterable[Opened], prove: Callable[[Opened], tuple[bool, str]] | None, *further: Evidence) -> Evidence:
    """Add up. prove: whether a run replays identically, and what it found; None = not to be tried. further: what has been gathered already."""
    out = Evidence()
    for one in opened:
        run, ledger = one.run, one.ledger
        out.runs += 1
        _feed(out, run, ledger, further)
        names, contracts = traded(run), run.contracts
        for b in ledger.brackets:
            _bracket(out, run, b)
            _labelled(out, b, (names.get(b.instrument, ""), contracts[b.instrument]["preset"]))
        last: set[int] = set()
        for b in ledger.brackets:
            out.pairs += b.instrument in last
            last.add(b.instrument)
        for c in ledger.seen:
            _latency(out, run, c)
        made, faults = reduce_only_faults(run)
        out.exit_orders += made
        out.reduce_faults += faults[:FAULTS_KEPT]
        out.limit_faults += list(limit_faults(run, ledger))[:FAULTS_KEPT]
        if prove is not None:
            try:
                identical, what = prove(one)
            except (LiqshellError, OSError, ValueError) as why:
                out.replays.append((one.name, None, f"cannot be replayed: {why}"))
            else:
                out.replays.append((one.name, identical, what))
    out.results.sort()
    out.decided.sort()
    return out


def traded(run: Run) -> dict[int, str]:
    """The contracts of a run that could be traded, by index: their symbols, with the venue where two have the same."""
    feeds = run.table("settings").get("feeds") or []
    watched = {n for one in feeds if one.get("watched") for n in range(one["first"], one["first"] + one["count"])}
    ours = {n: i for n, i in enumerate(run.instruments) if n not in watched}
    symbols = Counter(i.symbol for i in ours.values())
    return {n: i.symbol if symbols[i.symbol] == 1 else i.key for n, i in ours.items()}


def _feed(out: Evidence, run: Run, ledger: Ledger, further: Iterable[Evidence]) -> None:
    contracts = traded(run)
    missing = {n: gaps(run, ledger, n) for n in contracts}
    whole = without([(run.started_ns, run.ended_ns)], union([hole for holes in missing.values() for hole in holes]))
    out.stretches += [(end - start) / HOUR_NS / run.speed for start, end in whole]
    out.hours += run.duration_s / 3600 / run.speed
    out.reconnects += int(run.table("counters").get("reconnects") or 0)
    # bars and rates have phases, too: where there is a cascade detector, its cascades are those that are meant
    seen = [c for c in ledger.seen if len(c.larges)] or ledger.seen
    for n, symbol in contracts.items():
        known = out.spans.setdefault(symbol, [])
        fresh = without(without([(run.started_ns, run.ended_ns)], missing[n]), known)
        others = union([span for one in further for span in one.spans.get(symbol, [])])
        active = [c.active for c in seen if c.instrument == n]
        hours, cascades = _within(fresh, active)
        own_hours, own_cascades = _within(without(fresh, others), active)
        before = out.beside.get(symbol, (0.0, 0))
        out.covered[symbol] = out.covered.get(symbol, 0.0) + hours
        out.cascades[symbol] = out.cascades.get(symbol, 0) + cascades
        out.beside[symbol] = before[0] + hours - own_hours, before[1] + cascades - own_cascades
        out.spans[symbol] = union(known + fresh)


def _within(spans: list[tuple[int, int]], times: list[int]) -> tuple[float, int]:
    """Hours of the spans, and how many of the times fall into them."""
    return sum(end - start for start, end in spans) / HOUR_NS, sum(any(start <= ts <= end for start, end in spans) for ts in times)


def _latency(out: Evidence, run: Run, c: Any) -> None:
    """The large event at which the cascade became active carries the venue's own time."""
    at = int(np.searchsorted(c.larges["ts"], c.active, side="right")) - 1
    if at < 0 or not any(phase == Phase.ACTIVE for _, phase in c.phases):
        return
    detection = (c.active - int(c.larges["ts_event"][at])) / NS / run.speed
    out.detection_s.append(detection)
    entry = c.bracket.first(Role.ROLE_ENTRY) if c.bracket is not None else None
    if entry is not None and entry.acked:
        answer = (entry.acked - c.active) / NS / run.speed
        out.answer_s.append(answer)
        out.reaction_s.append(detection + answer)


def _labelled(out: Evidence, b: Bracket, whose: tuple[str, str]) -> None:
    """Counts a bracket's outcome by contract and preset."""
    found = out.by.setdefault(whose, [0, 0, 0, 0])
    if b.flat or b.fills:
        found[0] += 1
        found[1] += bool(b.entry_fills)
        entry = b.first(Role.ROLE_ENTRY)
        if entry is not None and entry.type != ORDER_MARKET:
            out.decided.append((b.flat or b.entry_fills[0].ts, bool(b.entry_fills)))
    if b.closed is not None:
        found[2] += 1
        found[3] += b.closed.net > 0
        out.results.append((b.flat, round(b.closed.hold_s * NS), b.closed.net, b.closed.bps))


def _bracket(out: Evidence, run: Run, b: Bracket) -> None:
    instrument = run.instruments[b.instrument]
    out.brackets += 1
    if b.flat or b.fills:  # an entry that still rests has not been decided
        out.placed += 1
        out.filled += bool(b.entry_fills)
    if b.closed is not None:
        out.trips += 1
        out.won += b.closed.net > 0
    for f in b.fills:
        notional = f.price * f.qty * instrument.multiplier
        if f.maker and notional > 0:
            out.fees_bps.append(f.fee / notional * 1e4)
        o = b.orders.get(f.order)
        if f.role == Role.ROLE_TARGET:
            out.targets += 1
            out.targets_maker += f.maker
        elif f.role == Role.ROLE_STOP and (trigger := (o.price if o is not None else 0.0) or b.stop_price):
            out.stop_bps.append((trigger - f.price) / trigger * b.side * 1e4)
    if b.entry_fills:
        least = max(instrument.qty(instrument.min_lots) * b.entry_price * instrument.multiplier, instrument.min_notional)
        out.sizes.append((sum(f.price * f.qty for f in b.entry_fills) * instrument.multiplier, least))
        out.exits[b.side] += 1
        out.exit_faults[b.side] += list(exit_faults(run, b))[:FAULTS_KEPT]
