"""Plain-Python oracle of the guard: lists of what was sent, looked through anew for every request."""

from __future__ import annotations

from dataclasses import dataclass, field

from liqcore.event import Action, OrderType, Reason, RequestFlag, Role

LATER = "later"


@dataclass
class Guard:
    """unit: quote currency of one tick times one lot. limits as in liqcore.Guard, window and entry_age in ns."""

    count: int
    unit: float
    limits: dict
    killed: bool = False
    entries_off: bool = False
    latched: Reason = Reason.OK
    breach: str = "NONE"
    lowered: int = -1  # when a limit became stricter last
    sent: list = field(default_factory=list)  # times of everything that passed
    entries: list = field(default_factory=list)  # (time, instrument, sequence, id, notional), each id once
    asked: dict = field(default_factory=dict)  # (instrument, sequence) -> requests, counted from its first entry on
    released: set = field(default_factory=set)  # positions in `entries` that are over
    started: dict = field(default_factory=dict)  # instrument -> latest sequence that entered

    def check(self, r, now: int, last: float):
        opening = r["action"] != Action.ACTION_CANCEL and not r["flags"] & RequestFlag.REDUCE_ONLY
        instrument, sequence = int(r["instrument"]), int(r["id"]) >> 12 & 0xFFFFFFF
        if not 0 <= instrument < self.count or int(r["id"]) >> 40 != instrument or not 1 <= r["action"] <= 3:
            return self.latch("ADDRESS", Reason.RISK_GUARD)
        latest = self.started.get(instrument)
        if latest == sequence and self.asked[instrument, sequence] >= self.limits["requests_per_bracket_max"]:
            self.latch("REQUESTS", Reason.RISK_PER_SIGNAL)
        if opening:
            if self.killed:
                return Reason.HALTED
            if self.latched:
                return self.latched
            if self.entries_off:
                return Reason.HALTED
            if now - int(r["ts"]) > self.limits["entry_age"]:
                return Reason.STALE_EVENT
        if wrong := self.form(r, opening):
            return self.latch(wrong, Reason.RISK_GUARD)
        price = float(r["price"]) or float(r["reserved"]) or last
        notional = float(r["qty"]) * price * self.unit
        known = any(e[3] == r["id"] for e in [e for e in self.entries if e[1] == instrument][-1:])
        if opening and (refusal := self.market(r, last, price) or self.limit(r, now, instrument, sequence, notional, known, latest)):
            return refusal
        room = self.limits["rate_max"] - (self.limits["rate_reserve"] if opening else 0)
        if sum(now - t < self.limits["window"] for t in self.sent) >= room:
            return LATER
        self.sent.append(now)
        if opening and not known:
            self.entries.append((now, instrument, sequence, int(r["id"]), notional))
            if latest != sequence:
                self.release(instrument, sequence)
                self.started[instrument] = sequence
                self.asked[instrument, sequence] = 0
        if self.started.get(instrument) == sequence:
            self.asked[instrument, sequence] += 1
        return Reason.OK

    def form(self, r, opening) -> str | None:
        role = int(r["id"]) & 15
        if r["action"] == Action.ACTION_CANCEL:
            return None
        if r["qty"] <= 0 or r["price"] < 0 or r["side"] not in (1, -1):
            return "QTY"
        if not opening:
            return None if role in (Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE) else "EXIT"
        if role != Role.ROLE_ENTRY or r["action"] != Action.ACTION_CREATE or (r["type"] == OrderType.ORDER_MARKET) != (r["price"] == 0):
            return "ENTRY"
        if r["stop"] <= 0:
            return "NO_STOP"
        price = int(r["price"]) or int(r["reserved"])
        return "STOP_SIDE" if price > 0 and (price - int(r["stop"])) * int(r["side"]) <= 0 else None

    def market(self, r, last, price):
        """What the market has done meanwhile is nobody's fault: refused, and no more."""
        if not last > 0:
            return Reason.NO_PRICE
        if not last * (1 - self.limits["collar"]) <= price <= last * (1 + self.limits["collar"]):
            return Reason.RISK_COLLAR
        return Reason.STOP_PASSED if (last - float(r["stop"])) * int(r["side"]) <= 0 else None

    def limit(self, r, now, instrument, sequence, notional, known, latest):
        mine = [e for e in self.entries if e[1] == instrument and e[2] == sequence]
        decided = int(r["ts"]) > self.lowered
        if notional > self.limits["order_notional_max"]:
            sized = decided and (r["price"] > 0 or r["reserved"] > 0)
            return self.latch("NOTIONAL", Reason.RISK_NOTIONAL) if sized else Reason.RISK_NOTIONAL
        if known:
            return None
        if latest is not None and sequence < latest:
            began = min(e[0] for e in self.entries if e[1] == instrument and e[2] == latest)
            return Reason.STALE_EVENT if int(r["ts"]) <= began else self.latch("OLD_BRACKET", Reason.RISK_GUARD)
        if len(mine) >= self.limits["orders_per_signal_max"]:
            return self.latch("PER_SIGNAL", Reason.RISK_PER_SIGNAL) if decided else Reason.RISK_PER_SIGNAL
        if sum(now - t < 60 * 10**9 for t, *_ in self.entries) >= self.limits["orders_per_minute_max"]:
            return Reason.RISK_RATE
        open_now = [e for n, e in enumerate(self.entries) if n not in self.released and (e[1] != instrument or e[2] == sequence)]
        return Reason.RISK_EXPOSURE if sum(e[4] for e in open_now) + notional > self.limits["total_notional_max"] else None

    def latch(self, breach: str, reason: Reason) -> Reason:
        if not self.latched:
            self.latched, self.breach = reason, breach
        return reason

    def release(self, instrument: int, but: int = -1) -> None:
        self.released |= {n for n, e in enumerate(self.entries) if e[1] == instrument and e[2] != but}
