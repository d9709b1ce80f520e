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
    sent: list = field(default_factory=list)            # times of everything that passed
    entries: list = field(default_factory=list)         # (time, instrument, sequence, id, notional), each id once
    asked: dict = field(default_factory=dict)           # (instrument, sequence) -> requests, counted from its first entry on
    released: set = field(default_factory=set)          # positions in `entries` that are over
    started: dict = field(default_factory=dict)         # instrument -> latest sequence that entered

    def check(self, r, now: int, last: float):
        opening = r["action"] != Action.ACTION_CANCEL and not r["flags"] & RequestFlag.REDUCE_ONLY
        instrument, sequence = int(r["instrument"]), int(r["id"]) >> 12 & 0xFFFFFFF
        if not 0 <= instrument < self.count or int(r["id"]) >> 40 != instrument or not 1 <= r["action"] <= 3:
            return Reason.RISK_GUARD
        mine = [e for n, e in enumerate(self.entries) if e[1] == instrument and e[2] == sequence]
        latest = self.started.get(instrument)
        if latest == sequence and self.asked[instrument, sequence] >= self.limits["requests_per_bracket_max"]:
            self.latch(Reason.RISK_PER_SIGNAL)
        price = float(r["price"]) if r["price"] else last
        notional = float(r["qty"]) * price * self.unit
        if not self.sane(r, opening, last, price):
            self.latch(Reason.RISK_GUARD)
            return Reason.RISK_GUARD
        known = any(e[3] == r["id"] for e in [e for e in self.entries if e[1] == instrument][-1:])
        if opening:
            if self.killed:
                return Reason.HALTED
            if self.latched:
                return self.latched
            if self.entries_off:
                return Reason.HALTED
            if now - int(r["ts"]) > self.limits["entry_age"]:
                return Reason.STALE_EVENT
            if not last > 0:
                return Reason.NO_PRICE
            if r["price"] and not last * (1 - self.limits["collar"]) <= price <= last * (1 + self.limits["collar"]):
                return Reason.RISK_COLLAR
            breach = self.breach(now, instrument, sequence, mine, notional, known, latest)
            if breach:
                self.latch(breach)
                return breach
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

    def sane(self, r, opening, last, price) -> bool:
        role = int(r["id"]) & 15
        if r["action"] == Action.ACTION_CANCEL:
            return True
        if r["qty"] <= 0 or r["price"] < 0 or r["side"] not in (1, -1):
            return False
        if not opening:
            return role in (Role.ROLE_STOP, Role.ROLE_TARGET, Role.ROLE_CLOSE)
        if role != Role.ROLE_ENTRY or r["action"] != Action.ACTION_CREATE or r["stop"] <= 0:
            return False
        if (r["type"] == OrderType.ORDER_MARKET) != (r["price"] == 0):
            return False
        return price <= 0 or (price - float(r["stop"])) * int(r["side"]) > 0

    def breach(self, now, instrument, sequence, mine, notional, known, latest):
        if notional > self.limits["order_notional_max"]:
            return Reason.RISK_NOTIONAL
        if known:
            return None
        if latest is not None and sequence < latest:
            return Reason.RISK_GUARD
        if len(mine) >= self.limits["orders_per_signal_max"]:
            return Reason.RISK_PER_SIGNAL
        if sum(now - t < 60 * 10 ** 9 for t, *_ in self.entries) >= self.limits["orders_per_minute_max"]:
            return Reason.RISK_RATE
        open_now = [e for n, e in enumerate(self.entries) if n not in self.released and (e[1] != instrument or e[2] == sequence)]
        return Reason.RISK_EXPOSURE if sum(e[4] for e in open_now) + notional > self.limits["total_notional_max"] else None

    def latch(self, reason) -> None:
        self.latched = self.latched or reason

    def release(self, instrument: int, but: int = -1) -> None:
        self.released |= {n for n, e in enumerate(self.entries) if e[1] == instrument and e[2] != but}
