"""Plain-Python oracle of paper trading on one instrument: a venue of trades and quotes, and the life of a bracket, told as a story of queues.

Three queues are served in order of time, at equal times in this order: requests that reach the venue, reports that reach the engine, the engine's own
deadlines. A market event comes after everything that was due by then; the engine sees it first, the venue matches it next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from oracle.bracket import entry_ticks, stop_ticks, target_ticks
from oracle.orders import Belief, Resting

ENTRY, STOP, TARGET, CLOSE = 1, 2, 3, 4
CROSS, THROUGH, TOUCH, FIRED, TIMED, CLOSED = 1, 2, 3, 5, 6, 8
END_TTL, END_TARGET, END_STOP, END_MAX_HOLD, END_PHASE, END_POST_ONLY, END_VENUE, END_REDUCE = 60, 61, 62, 63, 64, 65, 69, 70
NEVER = 1 << 62


@dataclass
class Settings:
    side_of: int = 0
    notional: float = 1000.0
    offset: Fraction = Fraction(0)
    profit: Fraction = Fraction(0)
    loss: Fraction = Fraction(1, 400)
    trail: Fraction = Fraction(0)
    market: bool = False
    ttl: int = 0
    hold: int = 0
    cooldown: int = 0
    requotes: int = 0
    exit_phase: int = 0
    touch: bool = False
    order_latency: int = 0
    ack_latency: int = 0
    maker_fee: float = 0.0002
    taker_fee: float = 0.00055


@dataclass
class PaperOracle:
    instrument: object
    g: Settings
    tick: float
    lot: float
    arrivals: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    resting: list = field(default_factory=list)
    fills: list = field(default_factory=list)       # (ts known, role, price, lots, fee, maker, reason)
    trades: list = field(default_factory=list)      # (ts, reason, gross, fees, net, hold_s)
    skipped: list = field(default_factory=list)     # (ts, reason) brackets that ended without a fill

    def __post_init__(self):
        self.bid = self.ask = self.last = self.position = self.serial = 0
        self.state, self.flat_until, self.seen_last, self.now = "flat", 0, 0, 0

    # ---- the venue ----

    def say(self, ts, kind, order, **more):
        self.reports.append((ts + self.g.ack_latency, kind, order.role, order.attempt, more))

    def reject(self, ts, order, reason):
        self.say(ts, "rejected", order, reason=reason)

    def end(self, ts, order, reason=0):
        self.resting.remove(order)
        self.say(ts, "cancelled", order, reason=reason)

    def arrive(self, ts, action, order):
        if action == "create":
            self.create(ts, order)
            return
        known = next((o for o in self.resting if (o.role, o.attempt) == (order.role, order.attempt)), None)
        if known is None:
            self.say(ts, "refused", order)
        elif action == "cancel":
            self.end(ts, known)
        else:
            known.price, known.lots = order.price, max(order.lots, known.filled)
            if known.role != STOP and known.lots == known.filled:
                self.end(ts, known)
                return
            self.say(ts, "new", known)
            if known.role == STOP:
                self.fire(known)

    def create(self, ts, order):
        near = (self.ask if order.side > 0 else self.bid) or self.last
        crosses = near > 0 and (near - order.price) * order.side <= 0
        if order.market and not near:
            return self.reject(ts, order, END_VENUE)
        if order.reduce_only and self.position * order.side >= 0:
            return self.reject(ts, order, END_REDUCE)
        if order.post_only and crosses:
            return self.reject(ts, order, END_POST_ONLY)
        self.resting.append(order)
        order.born = self.serial
        self.say(ts, "new", order)
        if order.market:
            self.execute(ts, order, near, order.lots, (TIMED if order.why == END_MAX_HOLD else CLOSED) if order.role == CLOSE else CROSS, False)
            if order in self.resting:
                self.end(ts, order, END_REDUCE)
        elif crosses:
            self.execute(ts, order, near, order.lots, CROSS, False)

    def execute(self, ts, order, price, lots, reason, maker):
        held = abs(self.position)
        lots = held if order.role == STOP else min(lots, order.lots - order.filled)
        if order.reduce_only:
            lots = min(lots, held)
        if lots <= 0:
            return
        order.filled += lots
        self.position += order.side * lots
        text, qty = self.instrument.price(price), self.instrument.qty(lots)
        fee = text * qty * self.instrument.multiplier * (self.g.maker_fee if maker else self.g.taker_fee)
        self.say(ts, "fill", order, price=price, lots=lots, fee=fee, maker=maker, reason=reason)
        if order.role == STOP or order.filled >= order.lots:
            self.end(ts, order)
        if self.position == 0:
            for other in [o for o in self.resting if o.reduce_only]:
                self.end(ts, other, END_REDUCE)
        elif order.stop and not any(o.role == STOP for o in self.resting):
            stop = Resting(STOP, 0, -order.side, order.stop, order.lots, reduce_only=True, born=self.serial)
            self.resting.append(stop)
            self.say(ts, "new", stop)
            self.fire(stop)

    def fire(self, stop):
        if not stop.fired and self.last and (self.last - stop.price) * stop.side >= 0:
            stop.fired, stop.born = True, self.serial

    def meet(self, ts, trade, lots):
        """The resting orders meet a trade (or, trade = 0, a new quote)."""
        self.serial += 1
        for stop in [o for o in self.resting if o.fired]:
            near = (self.ask if stop.side > 0 else self.bid) or self.last
            worse = max(near, trade) if stop.side > 0 else min(near, trade or near)
            self.execute(ts, stop, worse, stop.lots, FIRED, False)
        for order in list(self.resting):
            if order not in self.resting or order.born == self.serial or order.fired:
                continue
            opposite = self.ask if order.side > 0 else self.bid
            if order.role == STOP:
                if trade:
                    self.fire(order)
            elif trade and (trade - order.price) * order.side < 0 or not trade and opposite and (opposite - order.price) * order.side < 0:
                self.execute(ts, order, order.price, order.lots, THROUGH, True)
            elif trade == order.price and self.g.touch:
                self.execute(ts, order, order.price, lots, TOUCH, True)

    # ---- the engine ----

    def ask_for(self, ts, action, role, order=None):
        b = self.belief[role]
        if order is None:
            order = Resting(role, b.attempt, -self.side, b.price, b.lots)
        if action == "create":
            b.state, b.asked, b.filled = "sent", "", 0
        else:
            b.asked = action
        self.arrivals.append((ts + self.g.order_latency, action, order))

    def open_bracket(self, ts, side, sequence):
        g = self.g
        price = entry_ticks(side, self.seen_last, g.offset, g.market)
        lots = floor(g.notional / (self.instrument.price(price) * self.instrument.multiplier) / self.lot * (1 + 1e-12))
        if lots < 1:
            return
        self.side, self.sequence, self.reference, self.state = side, sequence, self.seen_last, "entering"
        self.belief = {role: Belief() for role in (ENTRY, STOP, TARGET, CLOSE)}
        self.belief[ENTRY].lots, self.belief[STOP].attempt = lots, 0
        self.entered = self.exited = 0
        self.entry_value = self.exit_value = self.paid = 0.0
        self.reason = self.entry_reason = self.tried = 0
        self.taker_target = False
        self.ttl_at, self.hold_at = ts + g.ttl, NEVER
        self.last_exit = self.best = self.opened = self.exit_ts = 0
        self.place_entry(ts)

    def place_entry(self, ts):
        b = self.belief[ENTRY]
        b.attempt += 1
        b.price = entry_ticks(self.side, self.reference, self.g.offset, self.g.market)
        self.belief[STOP].price = stop_ticks(self.side, b.price, self.g.loss)
        self.ask_for(ts, "create", ENTRY, Resting(ENTRY, b.attempt, self.side, b.price, b.lots, self.g.market, not self.g.market,
                                                  stop=self.belief[STOP].price))

    @property
    def held(self):
        return self.entered - self.exited

    def cancel(self, ts, role):
        b = self.belief[role]
        if b.open and b.asked != "cancel":
            self.ask_for(ts, "cancel", role)

    def settle(self, ts):
        if self.state == "flat":
            return
        entry, target, close = (self.belief[r] for r in (ENTRY, TARGET, CLOSE))
        if self.reason or self.exited > 0 or ts >= self.ttl_at:
            self.cancel(ts, ENTRY)
        if self.held > 0:
            if self.reason:
                self.cancel(ts, TARGET)
                if not close.open and ts >= close.not_before:
                    close.attempt, close.lots, close.price = close.attempt + 1, self.held, 0
                    self.ask_for(ts, "create", CLOSE, Resting(CLOSE, close.attempt, -self.side, 0, self.held, True, reduce_only=True, why=self.reason))
            elif self.g.profit:
                self.keep_target(ts, target)
        elif self.entered or entry.state == "ended":
            self.cancel(ts, TARGET)
            if not (entry.open or target.open or close.open):
                self.finish(ts)

    def keep_target(self, ts, target):
        if not target.open:
            if ts >= target.not_before and target.attempt < 5:
                target.attempt, target.lots = target.attempt + 1, self.held
                target.price = target_ticks(self.side, floor(self.entry_value / self.entered + 0.5), self.g.profit, self.reference)
                self.ask_for(ts, "create", TARGET, Resting(TARGET, target.attempt, -self.side, target.price, target.lots, False,
                                                           not self.taker_target, True))
        elif target.state == "live" and not target.asked and target.lots - target.filled != self.held:
            target.lots = target.filled + self.held
            self.ask_for(ts, "amend", TARGET)

    def finish(self, ts):
        if not self.reason:
            if self.entered:
                self.reason = {TARGET: END_TARGET, STOP: END_STOP}[self.last_exit]
            else:
                self.reason = END_TTL if ts >= self.ttl_at and self.entry_reason != END_POST_ONLY else self.entry_reason or END_VENUE
        if self.entered:
            gross = (self.exit_value - self.entry_value) * self.side * self.tick * self.lot * self.instrument.multiplier
            self.trades.append((ts, self.reason, gross, self.paid, gross - self.paid, (self.exit_ts - self.opened) / 1e9))
            self.flat_until = ts + self.g.cooldown
        else:
            self.skipped.append((ts, self.reason))
        self.state = "flat"

    def tighten(self, ts, price):
        stop = self.belief[STOP]
        if (price - stop.price) * self.side > 0 and stop.state == "live" and not stop.asked:
            stop.price, stop.lots = price, self.held
            self.ask_for(ts, "amend", STOP)

    def anchor(self, ts):
        """A market entry's stop counts from the price that it was filled at."""
        if self.g.market and self.entered and not self.reason:
            self.tighten(ts, stop_ticks(self.side, floor(self.entry_value / self.entered + 0.5), self.g.loss))

    def hear(self, ts, kind, role, attempt, more):
        if self.state == "flat":
            return
        b = self.belief[role]
        mine = role == STOP or attempt == b.attempt
        if kind == "fill":
            self.hear_fill(ts, b if mine else None, role, more)
        elif mine and kind == "new" and (b.state != "ended" or role == STOP):
            b.state = "live"
            b.asked = "" if b.asked == "amend" else b.asked
            if role == STOP:
                self.anchor(ts)
        elif mine and kind in ("rejected", "cancelled") and b.state != "ended":
            self.hear_end(ts, b, role, more["reason"])
        elif kind == "refused" and mine and b.state != "ended":
            assert role == STOP, "a refused cancel always comes after the report of what ended the order"
            b.asked = ""
        self.settle(ts)

    def hear_fill(self, ts, b, role, more):
        self.paid += more["fee"]
        self.fills.append((ts, role, self.instrument.price(more["price"]), self.instrument.qty(more["lots"]), more["fee"], more["maker"],
                           more["reason"]))
        if b is not None:
            b.filled += more["lots"]
            b.state = "ended" if role == STOP or b.filled >= b.lots else "live"
        value = float(more["price"]) * float(more["lots"])
        if role != ENTRY:
            self.exited += more["lots"]
            self.exit_value += value
            self.exit_ts, self.last_exit = ts, role
            return
        if not self.entered:
            self.opened, self.hold_at, self.best = ts, ts + self.g.hold, more["price"]
        self.entered += more["lots"]
        self.entry_value += value
        self.anchor(ts)

    def hear_end(self, ts, b, role, reason):
        asked, b.state = b.asked, "ended"
        if role == TARGET and reason == END_POST_ONLY:
            self.taker_target = True
        elif role in (TARGET, CLOSE) and not b.filled and asked != "cancel":
            b.not_before = ts + min(10 ** 8 << b.attempt, 30 * 10 ** 9)
        elif role == ENTRY:
            self.entry_reason = reason
            if (reason == END_POST_ONLY and self.tried < self.g.requotes and not self.entered and not self.reason and asked != "cancel"
                    and ts < self.ttl_at):
                self.tried += 1
                self.reference = self.seen_last
                self.place_entry(ts)

    def deadline(self):
        if self.state == "flat":
            return NEVER
        out, entry, target, close = NEVER, *(self.belief[r] for r in (ENTRY, TARGET, CLOSE))
        if entry.open and entry.asked != "cancel":
            out = self.ttl_at
        if self.held > 0 and not self.reason:
            out = min(out, self.hold_at)
            if self.g.profit and not target.open and target.attempt < 5:
                out = min(out, target.not_before)
        if self.held > 0 and self.reason and not close.open:
            out = min(out, close.not_before)
        return out

    def hear_signal(self, ts, signal):
        if self.state != "flat" and self.sequence == signal.sequence and self.g.exit_phase and signal.phase >= self.g.exit_phase:
            if not self.reason:
                self.reason = END_PHASE
                self.settle(ts)
        if signal.phase == 2 and self.state == "flat" and ts >= self.flat_until and self.seen_last:
            self.open_bracket(ts, int(signal.side), signal.sequence)

    def follow(self, ts, trade):
        """The trail follows a trade; an amend must be worth a tenth of the trail."""
        self.seen_last = trade
        if self.state == "flat" or not self.g.trail or self.held <= 0 or self.reason:
            return
        self.best = max(self.best, trade) if self.side > 0 else min(self.best, trade)
        price = stop_ticks(self.side, self.best, self.g.trail)
        if (price - self.belief[STOP].price) * self.side * 10 >= -floor(-self.best * (1 + self.g.trail)) - self.best:
            self.tighten(ts, price)

    # ---- time ----

    def advance(self, now, signals):
        """`signals`: those that the engine's own clock causes, in order; the due ones are taken out."""
        while True:
            times = (self.arrivals[0][0] if self.arrivals else NEVER, self.reports[0][0] if self.reports else NEVER,
                     min(signals[0].ts if signals else NEVER, self.deadline()))
            ts = min(times)
            if ts > now:
                return
            self.now = max(self.now, ts)        # a deadline that a late report brings up may lie in the past: it is served now
            if ts == times[0]:
                self.arrive(*self.arrivals.pop(0))
            elif ts == times[1]:
                self.hear(*self.reports.pop(0))
            else:
                while signals and signals[0].ts <= self.now:
                    self.hear_signal(self.now, signals.pop(0))
                if self.deadline() <= self.now:
                    if self.held > 0 and not self.reason and self.now >= self.hold_at:
                        self.reason = END_MAX_HOLD
                    self.settle(self.now)

    def step(self, ts, kind, a, b, timed, caused):
        """One market event: ('trade', ticks, lots), ('quote', bid, ask) or ('signal', ...); `timed` and `caused`: signals by time and by it."""
        self.advance(ts, timed)
        if kind == "trade":
            self.follow(ts, a)
        for signal in caused:
            self.hear_signal(ts, signal)
        if kind == "trade":
            self.last = a
            self.meet(ts, a, b)
        elif kind == "quote":
            self.bid, self.ask = a, b
            self.meet(ts, 0, 0)
