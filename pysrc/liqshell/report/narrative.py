"""The story of any minute of a run in sentences, from its audit stream: event, threshold, signal, answer of the policy, risk, order, acknowledgement,
fill, exit. Smaller liquidations of the run's recording are included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqcore import AuditKind, Control, FeedState, Gate, OrderStatus, Phase, Reason, Role
from liqcore.audit import GAVE_WAY, declined, rows
from liqcore.event import Action, Judgment, Limit, OrderType, RequestFlag, Stream
from liqcore.execution.order_state import BracketState
from liqcore.execution.risk import LIMIT_NAMES
from liqshell.report.intents import gave_way, winner
from liqshell.report.labels import ALARMS, CONTROLS, FEEDS, FILLS, ROLES, gate, liquidated, meaning, position, reason
from liqshell.report.ledger import UNASKED, Row, latest
from liqshell.report.origin import detectors, kind_of, levels, threshold, unit
from liqshell.report.run import Run
from liqshell.report.text import compact, money, number, plural, price, seconds
from liqshell.report.unmet import sentence

STATE = ("exposure", "open_brackets", "orders_last_minute", "equity", "day_loss", "week_loss")  # all 0: refused before risk asked for them
#: what is open, by the state of the last bracket
HELD = {
    int(BracketState.BRACKET_FLAT): "nothing open",
    int(BracketState.BRACKET_ENTERING): "an entry is working",
    int(BracketState.BRACKET_HOLDING): "a position is open",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence. ts: ns UTC, of receipt. seq: of the audit record, -1 where it is none's. symbol: "" = all. what: kind of the record."""

    ts: int
    seq: int
    symbol: str
    what: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Narrator:
    """Describes the records of one run in sentences."""

    def __init__(self, run: Run):
        self.run = run
        self.detectors = detectors(run)
        self.won = {row["sequence"]: winner(row) for row in gave_way(run)}
        limits = run.of_kind(AuditKind.AUDIT_LIMIT)
        opened = limits["seq"][(limits["phase"] == Control.CONTROL_READY) & (limits["gate"] == Gate.GATE_START)]
        self.opened = int(opened[0]) if len(opened) else 1 << 62  # the record by which the gate of the start opened
        self.entry_types, self.entry_stated = entry_types(run), entry_stated(run)
        self.tellers: dict[int, Callable[[Row], str]] = {
            AuditKind.AUDIT_REFUSED: self.refused,
            AuditKind.AUDIT_LARGE: self.large,
            AuditKind.AUDIT_SIGNAL: self.signal,
            AuditKind.AUDIT_LAPSED: self.lapsed,
            AuditKind.AUDIT_POLICY: self.policy,
            AuditKind.AUDIT_RISK: self.risk,
            AuditKind.AUDIT_REQUEST: self.request,
            AuditKind.AUDIT_ORDER: self.order,
            AuditKind.AUDIT_FILL: self.fill,
            AuditKind.AUDIT_BRACKET: self.bracket,
            AuditKind.AUDIT_TRADE: self.trade,
            AuditKind.AUDIT_FEED: self.feed,
            AuditKind.AUDIT_LIMIT: self.limit,
            AuditKind.AUDIT_ALARM: self.alarm,
            AuditKind.AUDIT_FUNDING: self.funding,
            AuditKind.AUDIT_JUDGE: self.judge,
        }

    def lines(self, start_ns: int, end_ns: int, symbol: str = "", why: bool = False) -> Iterator[Line]:
        """Of [start_ns, end_ns) and a symbol or venue:symbol ("" = all). why: also each time at which a policy makes no trade."""
        audit = self.run.audit
        found = audit[(audit["ts"] >= start_ns) & (audit["ts"] < end_ns)]
        if not why:
            found = found[~((found["kind"] == AuditKind.AUDIT_POLICY) & (found["phase"] != Phase.ACTIVE) & np.isin(found["reason"], UNASKED))]
        for r in rows(found):
            name = self.run.symbols[r.instrument] if r.instrument >= 0 else ""
            if r.instrument < 0 or self.run.is_named(r.instrument, symbol):
                text = self.tellers[r.kind](r)
                if text:
                    yield Line(r.ts, r.seq, name, AuditKind(r.kind).name.removeprefix("AUDIT_").lower(), text)

    def base(self, r: Row) -> str:
        """The unit of a quantity: the symbol says it."""
        return "contracts" if self.run.instruments[r.instrument].multiplier != 1.0 else ""

    def qty(self, r: Row, value: float) -> str:
        return f"{abs(value):g} {self.base(r)}".strip()

    def detector(self, place: int) -> str:
        return str(self.detectors[place - 1]["name"]) if place <= len(self.detectors) else f"detector {place}"

    def kind(self, place: int) -> str:
        return kind_of(self.detectors, place)

    def refused(self, r: Row) -> str:
        kind = lc.Kind(r.phase).name.lower()
        return f"Validation refused a {kind} at {price(r.price)}: {reason(r.reason)}, {meaning(r.reason)}."

    def large(self, r: Row) -> str:
        side = liquidated(r.side).removesuffix("s liquidated")
        return (
            f"A {side} of {money(r.notional)} is liquidated at {price(r.price)}: large for {self.detector(r.detector)} (threshold "
            f"{money(r.threshold)}), number {r.count} of its cascade ({money(r.long_notional)} of longs, {money(r.short_notional)} of shorts)."
        )

    def signal(self, r: Row) -> str:
        if not r.side:
            return ""
        doubt = f" It causes no entry: {meaning(r.reason)}." if r.reason else ""
        values = levels(self.kind(r.detector), r.threshold, r.z, r.score, r.phase == Phase.EXHAUSTED)
        text = ", ".join(f"{name} {value}" for name, value in values)
        return (
            f"{self.detector(r.detector)} is {Phase(r.phase).name}: {liquidated(r.side)}, {money(r.long_notional)} of longs and "
            f"{money(r.short_notional)} of shorts in {plural(r.count, unit(self.kind(r.detector)))}; {text}"
            f", price {price(r.price)}.{doubt}"
        )

    def lapsed(self, r: Row) -> str:
        return (
            f"{self.detector(r.detector)} reports no cascade: after {r.count} large of {money(r.long_notional + r.short_notional)}, no other "
            "followed within the window."
        )

    def policy(self, r: Row) -> str:
        phase = Phase(r.phase).name
        if r.reason != Reason.OK:
            winner = {
                int(Reason.NO_TRADE): "wants no trade",
                int(Reason.ASK_LATER): f"is asked again after {seconds(r.later_s)}",
                int(Reason.POLICY_LEAVE): "wants to close the position",
            }.get(r.reason, "")
            return f"The policy, asked at {phase}, " + (
                f"{winner}: {text}." if (text := condition(r)) else f"answered: {reason(r.reason)} ({meaning(r.reason)})."
            )

        def bps(share: float) -> str:
            return f"{share * 1e4:g} bps"

        ends = f"target {bps(r.take_profit)}, stop {bps(r.stop_loss)}" if r.take_profit else f"no target, stop {bps(r.stop_loss)}"
        size = money(r.notional) if r.notional else "a share of the account"
        market = self.entry_types.get(r.seq, self.entry_stated.get(r.instrument)) == OrderType.ORDER_MARKET
        entry = f"at market, after {price(r.reference_price)}" if market else f"{bps(r.entry_offset)} from {price(r.reference_price)}"
        return (
            f"The policy, asked at {phase}, wants to go {position(r.side)} with {size}: entry {entry}, {ends}, "
            f"up to {seconds(r.entry_ttl_s)} for the fill, up to {seconds(r.max_hold_s)} in the position."
        )

    def risk(self, r: Row) -> str:
        why = f"{reason(r.reason)}, {meaning(r.reason)}"
        if r.seq in self.won:
            return f"The intent {'takes the place of' if r.reason == Reason.REPLACING else 'gives way to'} {self.won[r.seq]}: {why}."
        if r.reason in GAVE_WAY or r.reason != Reason.OK and not any(getattr(r, name) for name in STATE):
            return f"No entry: {why}."
        state = (
            f"exposure {money(r.exposure)}, {r.open_brackets:g} open, {r.orders_last_minute:g} orders in the last minute, "
            f"equity {money(r.equity) if r.equity > 0 else 'not known'}, day {money(-r.day_loss, True)}, week {money(-r.week_loss, True)}"
        )
        if r.reason == Reason.OK:
            return f"Risk approves {money(r.notional)}: {state}."
        limit = f" (limit {number(r.limit, 4)})" if r.limit else ""
        return f"Risk refuses {money(r.notional)}: {reason(r.reason)}{limit}, {meaning(r.reason)}; {state}."

    def request(self, r: Row) -> str:
        action, role = Action(r.phase), ROLES.get(int(r.role), "order")
        if action == Action.ACTION_CANCEL:
            return f"We ask the venue to cancel the {role}."
        kind = OrderType(int(r.order_type)).name.removeprefix("ORDER_").lower().replace("_", " ") if r.order_type else "order"
        flags = "".join(f", {flag.name.lower().replace('_', '-')}" for flag in RequestFlag if int(r.request_flags) & flag and flag.name)
        at = f" at {price(r.price)}" if r.price else ""
        stop = f", stop {'at' if int(r.role) == Role.ROLE_STOP else 'attached at'} {price(r.stop_price)}" if r.stop_price else ""
        done = "send the" if action == Action.ACTION_CREATE else "change the"
        return f"We {done} {role}: {'buy' if r.side > 0 else 'sell'} {self.qty(r, r.qty)}{at}, {kind}{flags}{stop}."

    def order(self, r: Row) -> str:
        status, role = OrderStatus(r.phase), ROLES.get(int(r.role), "order")
        wait = f" after {seconds(r.latency_ms / 1e3)}" if r.latency_ms > 0 else ""
        because = f": {reason(r.reason)}" if r.reason else ""
        winner = {
            OrderStatus.ORDER_NEW: f"acknowledges the {role}{wait}" + (f", at {price(r.price)}" if r.price else ""),
            OrderStatus.ORDER_REJECTED: f"rejects the {role}{because}",
            OrderStatus.ORDER_CANCELLED: f"cancels the {role}{because}",
            OrderStatus.ORDER_TRIGGERED: f"triggers the {role}",
            OrderStatus.ORDER_DONE: f"ends the {role}",
            OrderStatus.ORDER_UNKNOWN: f"has not answered about the {role}; it counts as exposure until its outcome is known",
            OrderStatus.ORDER_REFUSED: f"refuses the {role}{because}",
        }
        return f"The venue {winner[status]}."

    def fill(self, r: Row) -> str:
        held = f"{position(r.position)} {self.qty(r, r.position)}" if r.position else "flat"
        return (
            f"Fill of the {ROLES.get(int(r.role), 'order')}: {'bought' if r.side > 0 else 'sold'} {self.qty(r, r.qty)} at {price(r.price)} "
            f"({FILLS.get(r.phase, 'filled')}), fee {money(r.fee)}; position {held}."
        )

    def bracket(self, r: Row) -> str:
        state = BracketState(r.phase)
        if state == BracketState.BRACKET_HOLDING:
            target = f", target {price(r.target_price)}" if r.target_price else ""
            return f"In position: entry {price(r.entry_price)}, stop {price(r.stop_price)}{target}."
        if state == BracketState.BRACKET_LEAVING:
            return f"Leaving: {reason(r.reason)} ({meaning(r.reason)})."
        return f"Over: {reason(r.reason)} ({meaning(r.reason)})." if state == BracketState.BRACKET_FLAT else ""

    def trade(self, r: Row) -> str:
        return (
            f"The {position(r.side)} is closed: {price(r.entry_price)} to {price(r.exit_price)}, {money(r.gross, True)} gross, "
            f"{money(r.fees)} fees, {money(r.net, True)} net after {seconds(r.hold_s)}: {reason(r.reason)} ({meaning(r.reason)})."
        )

    def feed(self, r: Row) -> str:
        streams = [bit.name.removeprefix("STREAM_").lower() for bit in Stream if int(r.streams) & bit and bit.name] or ["all streams"]
        gap = f", {seconds(r.gap_s)} are missing" if r.phase != FeedState.FEED_UP and r.gap_s > 0 else ""
        return f"The feed is {FEEDS.get(r.phase, str(r.phase))} ({', '.join(streams)}){gap}."

    def limit(self, r: Row) -> str:
        control = Control(r.phase)
        if control in (Control.CONTROL_PAUSE, Control.CONTROL_READY):
            head = "Entries are blocked" if control == Control.CONTROL_PAUSE else "No longer blocking entries"
            return f"{head}: {gate(int(r.gate), control, r.seq > self.opened)}."
        if control == Control.CONTROL_LOWER and r.which == Limit.LIMIT_SIZE:
            return f"The size of entries is multiplied by {r.limit:g} from here on (before: by {r.value:g})."
        if control == Control.CONTROL_LOWER:
            return f"A limit is lowered: {LIMIT_NAMES[Limit(int(r.which))]} from {r.value:g} to {r.limit:g}."
        why = f": {reason(r.reason)}, {r.value:,.2f} of {r.limit:,.2f}" if r.reason and r.limit else ""
        return f"Trading is {CONTROLS.get(int(control), str(control))}{why}."

    def alarm(self, r: Row) -> str:
        values = f" (value {r.value:g}, limit {r.limit:g})" if r.value or r.limit else ""
        return f"ALARM: {ALARMS.get(r.phase, str(r.phase))}{values}."

    def funding(self, r: Row) -> str:
        return f"Funding {'paid' if r.paid >= 0 else 'received'}: {money(abs(r.paid))} on {self.qty(r, r.qty)} at mark {price(r.mark_price)}."

    def judge(self, r: Row) -> str:
        if r.reason == Reason.JUDGING:
            return f"The judge is asked about {money(r.notional)}; it has {seconds(r.judge_s)}."
        word = {
            Judgment.JUDGE_CONFIRM: f"confirms with confidence {r.confidence}",
            Judgment.JUDGE_VETO: "refuses",
            Judgment.JUDGE_HOLD: "answers hold",
            Judgment.JUDGE_FAILED: "gives no valid answer",
        }.get(r.phase, "gives no answer")
        return f"The judge {word} after {seconds(r.waited_s)}" + (f": {reason(r.reason)}." if r.reason else ".")


def condition(r: Row) -> str:
    """The condition of a policy's answer that is no bracket, with value and threshold; '' where it named none."""
    found = declined(r) if r.reason in (Reason.NO_TRADE, Reason.ASK_LATER, Reason.POLICY_LEAVE) else None
    return "" if found is None else sentence(*found)


def entry_types(run: Run) -> dict[int, int]:
    """The OrderType of the entry that followed a wish of the policy, by the number of its record."""
    wishes, asked = run.of_kind(AuditKind.AUDIT_POLICY), run.of_kind(AuditKind.AUDIT_REQUEST)
    wishes = wishes[wishes["reason"] == Reason.OK]
    entries = asked[(asked["role"] == Role.ROLE_ENTRY) & (asked["phase"] == Action.ACTION_CREATE)]
    found = latest(entries["instrument"].astype(np.int64), entries["seq"], wishes["instrument"].astype(np.int64), wishes["seq"])
    return dict(zip(wishes["seq"][found[found >= 0]].tolist(), entries["order_type"][found >= 0].astype(int).tolist(), strict=True))


def entry_stated(run: Run) -> dict[int, int]:
    """What the settings say of each instrument, for wishes that came to no entry."""
    terms = run.table("settings").get("brackets") or {}
    market = [(terms.get(i.key) or terms.get(i.symbol) or {}).get("entry") == "market" for i in run.instruments]
    return {n: int(OrderType.ORDER_MARKET) for n, of in enumerate(market) if of}


def small(run: Run, start_ns: int, end_ns: int, symbol: str = "") -> list[Line]:
    """Liquidations of the run's recording that no detector named large; [] where there is no recording."""
    from liqshell.run.recorded_events import read_events

    if not (run.folder / "frames").is_dir():
        return []
    found = read_events(run.folder).events
    found = found[(found["kind"] == lc.Kind.LIQUIDATION) & (found["ts_recv"] >= start_ns) & (found["ts_recv"] < end_ns)]
    larges = run.of_kind(AuditKind.AUDIT_LARGE)
    known = set(zip(larges["instrument"].tolist(), larges["ts"].tolist(), larges["id"].tolist(), larges["qty"].tolist(), strict=True))
    out = []
    for e in found:
        n, name = int(e["instrument"]), run.symbols[e["instrument"]]
        if run.is_named(n, symbol) and (n, int(e["ts_recv"]), int(e["ts_event"]), float(e["qty"])) not in known:
            side = liquidated(e["side"]).removesuffix("s liquidated")
            value = e["price"] * e["qty"] * run.instruments[n].multiplier
            out.append(
                Line(
                    int(e["ts_recv"]),
                    -1,
                    name,
                    "liquidation",
                    f"A {side} of {compact(value)} is liquidated at {price(e['price'])}; no detector counts it as large.",
                )
            )
    return out


def story(run: Run, start_ns: int = 0, end_ns: int = 1 << 62, symbol: str = "", why: bool = False) -> list[Line]:
    """Everything of [start_ns, end_ns) in order of time."""
    text = list(Narrator(run).lines(start_ns, end_ns, symbol, why))
    return sorted(text + (small(run, start_ns, end_ns, symbol) if why else []), key=lambda line: line.ts)


def state_before(run: Run, ts: int, symbol: str = "") -> list[str]:
    """How things stood at a moment: what was open, whether the feed was whole, the last thresholds. For a minute in which nothing was decided."""
    audit, narrator = run.audit[run.audit["ts"] < ts], Narrator(run)
    out = []
    for n, symbol_ in enumerate(run.symbols):
        if not run.is_named(n, symbol):
            continue
        mine = audit[audit["instrument"] == n]
        brackets = mine[mine["kind"] == AuditKind.AUDIT_BRACKET]
        seen = mine[np.isin(mine["kind"], (AuditKind.AUDIT_LARGE, AuditKind.AUDIT_SIGNAL))]
        last: dict[int, tuple[str, str]] = {}  # of each detector
        for r in rows(seen):
            if value := threshold(narrator.kind(r.detector), r.threshold):
                last[r.detector] = narrator.detector(r.detector), value
        text = ", ".join(f"the last threshold of {name} {value}" for _, (name, value) in sorted(last.items())) or "no threshold yet"
        held = HELD.get(int(brackets[-1]["phase"]), "a position is being closed") if len(brackets) else "nothing open"
        out.append(f"{symbol_}: {held}, {text}.")
    feeds = audit[audit["kind"] == AuditKind.AUDIT_FEED]
    if len(feeds) and feeds[-1]["phase"] != FeedState.FEED_UP:
        out.append(f"The feed is {FEEDS[int(feeds[-1]['phase'])]}.")
    return out
