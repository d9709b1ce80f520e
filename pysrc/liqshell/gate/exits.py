"""Take-profits, stops and limits, computed again from the audit records of a run: the announced exits against the actual ones.

The engine's arithmetic is not used: prices come from the fills and from the policy's fractions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from liqcore import AuditKind, Control, Reason, Role
from liqcore.event import Action, RequestFlag
from liqshell.report.run import Run
from liqshell.report.stories import Bracket, Ledger, Order

PROTECT_S = 2.0
NS = 1_000_000_000
EXITS = (int(Role.ROLE_TARGET), int(Role.ROLE_CLOSE), int(Role.ROLE_STOP))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that should not be. ts: ns UTC; what: in words."""

    ts: int
    symbol: str
    what: str


def _terms(run: Run, b: Bracket) -> Mapping[str, Any]:
    """The configured bracket of this instrument; {} if the run does not state it."""
    found = run.table("settings").get("brackets")
    terms = found.get(run.symbols[b.instrument]) if isinstance(found, dict) else None
    return terms if isinstance(terms, dict) else {}


def exit_faults(run: Run, b: Bracket) -> Iterator[Fault]:
    """Of one bracket that was filled: where target and stop stood, for what quantity, at what they were executed."""
    symbol, side, entry = run.symbols[b.instrument], b.side, b.entry_price
    tick = float(run.instruments[b.instrument].tick_size)
    # the average of several fills is rounded to a tick before a fraction is taken of it
    slack = tick * (1.0 if len({f.price for f in b.entry_fills}) == 1 else 1.5) + 1e-9 * entry
    entered = sum(f.qty for f in b.entry_fills)

    def fault(ts: int, what: str) -> Fault:
        return Fault(ts or b.opened, symbol, f"{'long' if side > 0 else 'short'} from {entry:g}: {what}")

    for o in b.orders.values():
        if o.role == Role.ROLE_TARGET:
            wanted = entry * (1 + side * b.take_profit)
            if o.side != -side:
                yield fault(o.created, "the take-profit is on the side of the entry")
            if o.steps and all(abs(o.price - price) > slack for price in _targets(b, o)):
                yield fault(o.created, f"take-profit at {o.price:g}, expected {wanted:.8g}")
            if o.qty > entered * (1 + 1e-9):
                yield fault(o.created, f"take-profit for {o.qty:g}, but {entered:g} were filled")
    yield from _stop_faults(run, b, slack, fault)
    for f in b.fills:
        if f.role == Role.ROLE_TARGET:
            limit = b.orders[f.order].price if f.order in b.orders else 0.0
            if limit and (f.price - limit) * side < -1e-9 * limit:
                yield fault(f.ts, f"the take-profit was executed at {f.price:g}, worse than its limit {limit:g}")
        if f.role != Role.ROLE_ENTRY and f.side != -side:
            yield fault(f.ts, "an exit on the side of the entry")


def _targets(b: Bracket, o: Order) -> list[float]:
    """Where a take-profit may stand: at the fraction from what had been paid on average when it was set. In the end that is the average of all, if it
    lived long enough to follow."""
    fills = sorted(b.entry_fills, key=lambda f: f.ts)
    averages = [sum(f.price * f.qty for f in fills[:n]) / sum(f.qty for f in fills[:n]) for n in range(1, len(fills) + 1)]
    followed = not o.ended or o.ended - fills[-1].ts > PROTECT_S * NS
    return [average * (1 + b.side * b.take_profit) for average in (averages[-1:] if followed else averages)]


def _stop_faults(run: Run, b: Bracket, slack: float, fault: Any) -> Iterator[Fault]:
    side, entry = b.side, b.entry_price
    wanted = entry * (1 - side * b.stop_loss)
    stop = b.first(Role.ROLE_STOP)
    steps = [price for _, price in stop.steps] if stop is not None else []
    # the bracket says where its stop is wanted when its state changes, the venue where it is: of a trade that is still open only the latter is new
    stood = [price for price in (b.stop_price, *steps[-1:]) if price]
    price = steps[0] if steps and b.entry_limit else max(stood, key=lambda at: at * side, default=0.0)
    trails = float(_terms(run, b).get("trail") or 0.0) > 0.0
    if not price:
        yield fault(b.opened, "no stop was placed")
        return
    if not trails and (entry - price) * side <= 0:
        yield fault(b.opened, f"stop at {price:g} on the wrong side of the entry")
    # an order that fills at its limit has its stop at the stated distance; a market order's stop moves there after the fill, but never looser
    if (wanted - price) * side > slack:
        yield fault(b.opened, f"stop at {price:g}, further away than {wanted:.8g}")
    elif b.entry_limit and not trails and (price - wanted) * side > slack:
        yield fault(b.opened, f"stop at {price:g}, nearer than {wanted:.8g}")
    first = min(f.ts for f in b.entry_fills)
    known = stop.acked or stop.triggered if stop is not None else 0
    over = b.flat or run.ended_ns
    naked_ns = max(0, (min(known, over) if known else over) - first)
    patience = float(run.table("settings").get("patience") or 1.0)  # above 1 in rehearsals only
    if naked_ns > PROTECT_S * patience * NS:
        yield fault(first, f"without a confirmed stop for {naked_ns / NS:.1f} s")
    loosened = [a for (_, a), (_, c) in zip(stop.steps, stop.steps[1:], strict=False) if (c - a) * side < 0] if stop is not None else []
    if loosened:
        yield fault(b.opened, f"the stop was loosened from {loosened[0]:g}")


def reduce_only_faults(run: Run) -> tuple[int, list[Fault]]:
    """(exit orders created, those without the reduce-only flag)."""
    requests = run.of_kind(AuditKind.AUDIT_REQUEST)
    made = requests[(requests["phase"] == Action.ACTION_CREATE) & np.isin(requests["id"] & 15, EXITS)]
    bad = made[(made["request_flags"].astype(np.int64) & int(RequestFlag.REDUCE_ONLY)) == 0]
    return len(made), [Fault(int(r["ts"]), run.symbols[r["instrument"]], "an exit order that is not reduce-only") for r in bad]


def limit_faults(run: Run, ledger: Ledger) -> Iterator[Fault]:
    """Cooldown, one position a contract, positions, entries a minute and a signal, order notional, and no entry while halted."""
    limits = run.table("settings").get("limits")
    limits = limits if isinstance(limits, dict) else {}
    entries = sorted(((o.created, b) for b in ledger.brackets for o in b.orders.values() if o.role == Role.ROLE_ENTRY), key=lambda entry: entry[0])
    yield from _cooldown_faults(run, ledger)
    yield from _crowding_faults(run, ledger, int(limits.get("positions_max") or 0))
    times = [ts for ts, _ in entries]
    most = int(limits.get("orders_per_minute_max") or 0)
    for n, (ts, b) in enumerate(entries):
        count = n + 1 - bisect_left(times, ts - 60 * NS + 1)
        if most and count > most:
            yield Fault(ts, run.symbols[b.instrument], f"{count} entries within a minute, at most {most}")
    for b in ledger.brackets:
        asked = [o for o in b.orders.values() if o.role == Role.ROLE_ENTRY]
        most = int(limits.get("orders_per_signal_max") or 0)
        if most and len(asked) > most:
            yield Fault(b.opened, run.symbols[b.instrument], f"{len(asked)} entry orders for one signal, at most {most}")
        for o in asked:
            notional = (o.price or o.last_price) * o.qty * run.instruments[b.instrument].multiplier
            if notional > float(limits.get("order_notional_max") or float("inf")) * (1 + 1e-9):
                yield Fault(o.created, run.symbols[b.instrument], f"an order of {notional:,.0f}, at most {limits['order_notional_max']:,.0f}")
    halted = 0
    marks: list[tuple[int, int, int]] = [(ts, 0, phase) for ts, phase, *_ in ledger.limits] + [(ts, 1, b.instrument) for ts, b in entries]
    for ts, kind, what in sorted(marks):
        if kind:
            if halted and ts > halted:
                yield Fault(ts, run.symbols[what], "an entry while trading was halted")
        elif what == Control.CONTROL_HALT:
            halted = halted or ts
        elif what == Control.CONTROL_RESUME:
            halted = 0


def _cooldown_faults(run: Run, ledger: Ledger) -> Iterator[Fault]:
    last: dict[int, Bracket] = {}
    for b in sorted(ledger.brackets, key=lambda b: b.opened):
        before = last.get(b.instrument)
        if before is not None:
            wait = float(_terms(run, before).get("cooldown_s") or 0.0) if before.fills else 0.0
            if not before.flat or b.opened < before.flat:
                yield Fault(b.opened, run.symbols[b.instrument], "a second bracket while one was open")
            elif before.end == Reason.END_REPLACED and b.opened == before.flat:
                pass  # closed to make room for it: a stronger signal has no cooldown to wait for
            elif b.opened - before.flat < wait * NS:
                yield Fault(b.opened, run.symbols[b.instrument], f"{(b.opened - before.flat) / NS:.1f} s after a trade, the cooldown is {wait:g} s")
        last[b.instrument] = b


def _crowding_faults(run: Run, ledger: Ledger, most: int) -> Iterator[Fault]:
    steps = sorted([(b.opened, 1, b) for b in ledger.brackets] + [(b.flat, 0, b) for b in ledger.brackets if b.flat], key=lambda step: step[:2])
    held = 0
    for ts, kind, b in steps:
        held += 1 if kind else -1
        if most and kind and held > most:
            yield Fault(ts, run.symbols[b.instrument], f"{held} brackets at once, at most {most}")
