"""Plain-Python oracle of paper trading on one instrument: a venue of trades and quotes, and the life of a bracket, told as a story of queues.

Queues are served in order of time, at equal times in this order: requests that reach the venue, funding, taking orders that have waited long enough,
the engine's own deadlines, reports that reach the engine. A market event comes after everything that was due by then; it is known of the market
(oracle/market.py) first, then the engine sees it, then the venue (oracle/venue.py) matches it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from oracle.bracket import entry_ticks, profit_trail_ticks, stop_ticks, target_ticks
from oracle.market import GAP, LIQUIDATION, QUOTE, UP, concerns
from oracle.orders import Belief, Resting
from oracle.venue import CLOSE, END_LIQUIDATED, END_MAX_HOLD, END_POST_ONLY, END_VENUE, ENTRY, FORCED, NEVER, STOP, TARGET, VenueOracle

END_TTL, END_TARGET, END_STOP, END_PHASE, END_UNPROTECTED = 60, 61, 62, 64, 67
SECOND = 10**9
UNCERTAIN = 1  # flag of a signal: the feed has not been whole


@dataclass
class Settings:
    side_of: int = 0
    notional: float = 1000.0
    offset: Fraction = Fraction(0)
    profit: Fraction = Fraction(0)
    loss: Fraction = Fraction(1, 400)
    trail: Fraction = Fraction(0)
    basis: str = "price"
    market: bool = False
    ttl: int = 0
    hold: int = 0
    cooldown: int = 0
    requotes: int = 0
    exit_phase: int = 0
    fills: str = "through"
    walk: bool = False
    hidden: bool = True  # levels behind the best are full until they are shown
    order_latency: int | list[int] = 0  # ns, or samples of it
    ack_latency: int | list[int] = 0
    seed: int = 0
    maker_fee: float = 0.0002
    taker_fee: float = 0.00055
    funding: int = 0  # ns, 0 = never
    leverage: int = 0
    maintenance: Fraction = Fraction(1, 200)
    quote_age: int = 10 * SECOND
    print_wait: int = 5 * SECOND
    half_spread: Fraction | None = None  # share of the price; None = as the quotes show it


@dataclass
class PaperOracle:
    instrument: object
    g: Settings
    tick: float
    lot: float
    fills: list = field(default_factory=list)  # (ts known, role, price, lots, fee, flags, reason)
    trades: list = field(default_factory=list)  # (ts, reason, gross, fees, net, hold_s)
    skipped: list = field(default_factory=list)  # (ts, reason) brackets that ended without a fill
    funded: list = field(default_factory=list)  # (ts, bracket, side, price, qty, paid, rate)
    alarms: list = field(default_factory=list)  # (ts, what)

    def __post_init__(self):
        self.venue, self.number = VenueOracle(self.instrument, self.g), 0
        self.market = self.venue.market  # the engine and its simulated venue hear the same
        self.state, self.flat_until, self.now, self.interrupted = "flat", 0, 0, 0

    # ---- the engine ----

    def ask_for(self, ts, action, role, order=None):
        b = self.belief[role]
        if order is None:
            order = Resting(role, b.attempt, self.side if role == ENTRY else -self.side, b.price, b.lots)
        order.number = self.number
        if action == "create":
            b.state, b.asked, b.filled = "sent", "", 0
        else:
            b.asked = action
        self.venue.submit(ts, action, order)

    def open_bracket(self, ts, side, sequence):
        if self.may_enter(ts):
            self.enter(ts, side, sequence)

    def may_enter(self, ts):
        """Not against a quote that has ended. Where there never was one, trades are all there is."""
        if self.market.forbids_entries(ts):
            self.venue.met["refused: " + (self.market.ended_by or "age")] += 1
        elif self.market.ended(ts):
            self.venue.met["in doubt"] += 1
        return not self.market.forbids_entries(ts)

    def enter(self, ts, side, sequence):
        g = self.g
        price = entry_ticks(side, self.market.last, g.offset, g.market)
        lots = floor(g.notional / (self.instrument.price(price) * self.instrument.multiplier) / self.lot * (1 + 1e-12))
        lots = min(lots, self.instrument.max_lots)
        if lots < self.instrument.min_lots or (
            self.instrument.qty(lots) * self.instrument.multiplier * self.instrument.price(price) < self.instrument.min_notional
        ):
            return
        self.number += 1
        self.side, self.sequence, self.reference, self.state = side, sequence, self.market.last, "entering"
        self.belief = {role: Belief() for role in (ENTRY, STOP, TARGET, CLOSE)}
        self.belief[ENTRY].lots, self.belief[STOP].attempt = lots, 0
        self.entered = self.exited = 0
        self.entry_value = self.exit_value = self.paid = 0.0
        self.reason = self.entry_reason = self.tried = 0
        self.taker_target = False
        self.ttl_at, self.hold_at, self.protect_at = ts + g.ttl, NEVER, 0
        self.last_exit = self.best = self.opened = self.exit_ts = 0
        self.place_entry(ts)

    def place_entry(self, ts):
        b, self.entry_asked = self.belief[ENTRY], ts
        b.attempt += 1
        b.price = entry_ticks(self.side, self.reference, self.g.offset, self.g.market)
        self.belief[STOP].price = stop_ticks(self.side, b.price, self.g.loss)
        self.ask_for(
            ts, "create", ENTRY, Resting(ENTRY, b.attempt, self.side, b.price, b.lots, self.g.market, not self.g.market, stop=self.belief[STOP].price)
        )

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
                    if close.attempt == 5:
                        self.alarms.append((ts, "stuck"))
                    close.attempt, close.lots, close.price = close.attempt + 1, self.held, 0
                    self.ask_for(
                        ts, "create", CLOSE, Resting(CLOSE, close.attempt, -self.side, 0, self.held, True, reduce_only=True, why=self.reason)
                    )
            elif self.g.profit:
                self.keep_target(ts, target)
        elif self.entered or entry.state == "ended":
            self.cancel(ts, TARGET)
            self.state = "winding"
            if not (entry.open or target.open or close.open):
                self.finish(ts)

    def keep_target(self, ts, target):
        wanted = target_ticks(self.side, floor(self.entry_value / self.entered + 0.5), self.g.profit, self.reference)
        if not target.open:
            if ts >= target.not_before and target.attempt < 5:
                target.attempt, target.lots, target.price = target.attempt + 1, self.held, wanted
                self.ask_for(
                    ts, "create", TARGET, Resting(TARGET, target.attempt, -self.side, target.price, target.lots, False, not self.taker_target, True)
                )
        elif target.state == "live" and not target.asked and (target.lots - target.filled != self.held or target.price != wanted):
            target.lots, target.price = target.filled + self.held, wanted  # the average of the fills, not the first of them
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
        if (price - stop.price) * self.side > 0 and stop.state == "live" and not stop.asked and not stop.fired:
            stop.price, stop.lots = price, self.held
            self.ask_for(ts, "amend", STOP)

    def anchor(self, ts):
        """A market entry's stop counts from the price that it was filled at."""
        if self.g.market and self.entered and not self.reason:
            self.tighten(ts, stop_ticks(self.side, floor(self.entry_value / self.entered + 0.5), self.g.loss))

    def hear(self, ts, kind, number, role, attempt, more):
        if kind == "funding":
            self.funded.append((ts, number, more["side"], more["price"], more["qty"], more["paid"], more["rate"]))
        if kind == "funding" or self.state == "flat":
            return None
        if number != self.number:  # late news of the bracket before
            assert kind != "fill"
            return None
        if role == FORCED:
            self.hear_fill(ts, None, role, more)
            return self.settle(ts)
        b = self.belief[role]
        mine = role == STOP or attempt == b.attempt
        if kind == "fill":
            self.hear_fill(ts, b if mine else None, role, more)
        elif mine and kind in ("new", "fired") and (b.state != "ended" or role == STOP and kind == "new"):
            if b.state == "ended":  # the attached stop of another position: where the entry put it
                b.asked, b.price = "", more["price"]
            b.fired = kind == "fired" or b.fired and b.state == "live"
            b.state = "live"
            b.asked = "" if b.asked == "amend" else b.asked
            if role == STOP:
                self.protect_at = 0
                self.anchor(ts)
        elif mine and kind in ("rejected", "cancelled") and b.state != "ended":
            self.hear_end(ts, b, role, more["reason"])
            if more["reason"] == END_LIQUIDATED:
                self.lose(ts)
        elif kind == "refused" and mine and b.state != "ended":
            assert role == STOP, "a refused cancel always comes after the report of what ended the order"
            b.asked = ""
        self.settle(ts)
        return None

    def hear_fill(self, ts, b, role, more):
        self.paid += more["fee"]
        self.fills.append(
            (ts, role, self.instrument.price(more["price"]), self.instrument.qty(more["lots"]), more["fee"], more["flags"], more["reason"])
        )
        if b is not None:
            b.filled += more["lots"]
            b.state = "ended" if role == STOP or b.filled >= b.lots else "live"
        if role == STOP and self.held > more["lots"]:  # in pieces: it has as long as they keep coming
            assert b.fired, "a venue says that a stop has fired before it says what it got"
            b.state = "live"
            self.protect_at = 0 if self.reason else ts + SECOND
        value = float(more["price"]) * float(more["lots"])
        if role != ENTRY:
            self.exited += more["lots"]
            self.exit_value += value
            self.exit_ts, self.last_exit = ts, role
            if role == FORCED:
                self.lose(ts)
            return
        if not self.entered:
            self.opened, self.hold_at, self.best = ts, ts + self.g.hold, more["price"]
        if self.state != "holding" and not self.reason and self.belief[STOP].state != "live":
            self.protect_at = ts + SECOND
        self.state = "holding"
        self.entered += more["lots"]
        self.entry_value += value
        self.anchor(ts)

    def lose(self, ts):
        """The venue takes the position."""
        if self.reason != END_LIQUIDATED:
            self.alarms.append((ts, "liquidated"))
            self.protect_at = 0
        self.reason = END_LIQUIDATED
        self.belief[CLOSE].not_before = max(self.belief[CLOSE].not_before, ts + SECOND)

    def hear_end(self, ts, b, role, reason):
        asked, b.state = b.asked, "ended"
        if role == STOP:
            self.protect_at = ts + SECOND if self.held > 0 and not self.reason else 0
        elif role == TARGET and reason == END_POST_ONLY:
            self.taker_target = True
        elif role in (TARGET, CLOSE) and not b.filled and asked != "cancel":
            b.not_before = ts + min(10**8 << b.attempt, 30 * 10**9)
        elif role == ENTRY:
            self.entry_reason = reason
            if (
                reason == END_POST_ONLY
                and self.tried < self.g.requotes
                and not self.entered
                and not self.reason
                and asked != "cancel"
                and ts < self.ttl_at
                and self.interrupted < self.entry_asked
                and self.may_enter(ts)
            ):
                self.tried += 1
                self.reference = self.market.last
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
        if self.protect_at:
            out = min(out, self.protect_at)
        if self.held > 0 and self.reason and not close.open:
            out = min(out, close.not_before)
        return out

    def hear_signal(self, ts, signal):
        ended = self.state != "flat" and self.sequence == signal.sequence and self.g.exit_phase and signal.phase >= self.g.exit_phase
        if ended and not self.reason:
            self.reason = END_PHASE
            self.settle(ts)
        certain = not signal.flags & UNCERTAIN
        if signal.phase == 2 and certain and self.state == "flat" and ts >= self.flat_until and self.market.last:
            self.open_bracket(ts, int(signal.side), signal.sequence)

    def follow(self, ts, trade):
        """The trail follows a trade; an amend must be worth a tenth of the trail."""
        if self.state == "flat" or not self.g.trail or self.held <= 0 or self.reason:
            return
        self.best = max(self.best, trade) if self.side > 0 else min(self.best, trade)
        distance = -floor(-self.best * (1 + self.g.trail)) - self.best
        price = stop_ticks(self.side, self.best, self.g.trail)
        if self.g.basis == "profit":
            entry = floor(self.entry_value / self.entered + 0.5)
            price = profit_trail_ticks(self.side, entry, self.best, self.g.trail)
            distance = max((self.best - price) * self.side, 1)
            if (self.best - entry) * self.side <= 0:
                return
        if (price - self.belief[STOP].price) * self.side * 10 >= distance:
            self.tighten(ts, price)

    # ---- time ----

    def advance(self, now, signals):
        """`signals`: those that the engine's own clock causes, in order; the due ones are taken out."""
        while True:
            arrivals, reports = self.venue.arrivals, self.venue.reports
            times = (
                arrivals[0][0] if arrivals else NEVER,
                self.venue.next_funding,
                self.venue.next_wait,
                min(signals[0].ts if signals else NEVER, self.deadline()),
                reports[0][0] if reports else NEVER,
            )
            ts = min(times)
            if ts > now:
                return
            self.now = max(self.now, ts)  # a deadline that a late report brings up may lie in the past: it is served now
            if ts == times[0]:
                self.venue.arrive(*arrivals.pop(0))
            elif ts == times[1]:
                self.venue.fund()
            elif ts == times[2]:
                self.venue.serve()
            elif ts != times[3]:
                self.hear(*reports.pop(0))
            else:
                while signals and signals[0].ts <= self.now:
                    self.hear_signal(self.now, signals.pop(0))
                if self.deadline() <= self.now:
                    if self.protect_at and self.now >= self.protect_at:
                        self.protect_at = 0
                        if not self.reason and self.held > 0:
                            self.alarms.append((self.now, "unprotected"))
                            self.reason = END_UNPROTECTED
                    if self.held > 0 and not self.reason and self.now >= self.hold_at:
                        self.reason = END_MAX_HOLD
                    self.settle(self.now)

    def step(self, ts, kind, *what, timed, caused):
        """One market event: ('trade', ticks, lots, aggressor), ('quote', bid, ask, their lots), ('ticker', mark or 0, rate, unstated),
        ('feed', state, streams, instrument) or ('signal', ...); `timed` and `caused`: signals by time and by it."""
        self.advance(ts, timed)
        if kind == "quote" and not 0 < what[0] < what[1]:  # nobody can trade against it, and the one before has been taken back
            kind, what = "feed", (GAP, QUOTE, 0)
        if kind != "signal":
            getattr(self.market, kind)(ts, *what)
        if kind == "trade":
            self.follow(ts, what[0])
        if kind == "feed" and what[0] != UP and concerns(what[1], LIQUIDATION):
            self.interrupted = ts
        for signal in caused:
            self.hear_signal(ts, signal)
        if kind in ("trade", "quote", "ticker"):
            getattr(self.venue, kind)(ts, *what)
