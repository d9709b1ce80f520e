"""Plain-Python oracle of the simulated venue on one instrument: sixteen places for orders, a position, a line for requests and a line for reports.

Told order by order and in exact fractions. What a test needs of the venue is public: `market`, `arrivals`, `reports`, `position`, `next_funding`,
`next_wait`.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil, floor

from oracle.market import MarketOracle
from oracle.orders import Resting

ENTRY, STOP, TARGET, CLOSE, FORCED = 1, 2, 3, 4, 5
CROSS, THROUGH, TOUCH, QUEUE, FIRED, TIMED, LIQUIDATED, CLOSED = range(1, 9)
END_MAX_HOLD, END_POST_ONLY, END_VENUE, END_REDUCE, END_LIQUIDATED = 63, 65, 69, 70, 71
NEVER = 1 << 62
CREATE, AMEND, CANCEL = 1, 2, 3
MILLIONTH = Fraction(1, 10**6)
MAKER, PRINT, MOVED = 1, 2, 4  # how a fill was priced; a taker's 0 = by a live quote


def scrambled(x: int) -> int:
    """splitmix64."""
    word = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & word
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & word
    x = (x ^ x >> 27) * 0x94D049BB133111EB & word
    return x ^ x >> 31


def delay(model: int | list[int], seed: int, order: int, what: int, way: int) -> int:
    """A constant, or the sample that an order id and what it is about decide."""
    if isinstance(model, int):
        return model
    luck = scrambled(scrambled(scrambled(seed ^ way << 56) ^ order) ^ what)
    return model[(luck >> 32) * len(model) >> 32]


class VenueOracle:
    def __init__(self, instrument, g):
        self.instrument, self.g = instrument, g
        self.market = MarketOracle(g.quote_age, g.half_spread)
        self.arrivals, self.reports = [], []
        self.places: list[Resting | None] = [None] * 16
        self.position = self.serial = 0
        self.met: Counter[str] = Counter()  # which branches were reached
        self.cost, self.bracket, self.paid_until, self.forcing = Fraction(0), 0, 0, False
        self.last_arrival = self.last_report = 0

    # ---- the two lines: nothing overtakes ----

    def submit(self, ts, action, order):
        number = {"create": CREATE, "amend": AMEND, "cancel": CANCEL}[action]
        self.last_arrival = max(self.last_arrival, ts + delay(self.g.order_latency, self.g.seed, order.id, number, 1))
        self.arrivals.append((self.last_arrival, action, order))

    def post(self, ts, about, number, *what):
        self.last_report = max(self.last_report, ts + delay(self.g.ack_latency, self.g.seed, about, number, 2))
        self.reports.append((self.last_report, *what))

    def say(self, ts, kind, order, **more):
        self.post(ts, order.id, order.said, kind, order.number, order.role, order.attempt, more)
        order.said += 1

    # ---- orders ----

    def put(self, order):
        self.places[self.places.index(None)] = order
        order.born = self.serial

    def end(self, ts, order, reason=0):
        self.places[self.places.index(order)] = None
        if order.role != FORCED:
            self.say(ts, "cancelled", order, reason=reason)

    def arrive(self, ts, action, order):
        if action == "create":
            return self.create(ts, order)
        known = next((o for o in self.places if o and (o.role, o.attempt) == (order.role, order.attempt)), None)
        if known is None:
            return self.say(ts, "refused", order)
        if action == "cancel":
            return self.end(ts, known)
        farther = order.price != known.price or order.lots > known.lots
        known.price, known.lots = order.price, max(order.lots, known.filled)
        if known.role != STOP and known.lots == known.filled:
            return self.end(ts, known)
        if farther and known.role != STOP:
            known.ahead = self.before(ts, known)
        self.say(ts, "new", known)
        if known.role == STOP:
            self.fire(ts, known)
        return None

    def complaint(self, ts, order):
        if self.forcing:
            return END_LIQUIDATED
        near = self.market.estimate(order.side, ts)
        if None not in self.places or order.market and not near:
            return END_VENUE
        if order.reduce_only and self.position * order.side >= 0:
            return END_REDUCE
        crosses = near and (near - order.price) * order.side <= 0
        if order.post_only and not self.market.touch(order.side, ts):
            self.met[f"post-only by estimate: {'refused' if crosses else 'rests'}"] += 1
        if order.post_only and crosses:
            return END_POST_ONLY
        i = self.instrument
        if order.lots > i.max_lots:
            return END_VENUE
        small = i.qty(order.lots) * i.multiplier * i.price(near if order.market else order.price) < i.min_notional
        return END_VENUE if not order.reduce_only and (small or order.lots < i.min_lots) else 0

    def create(self, ts, order):
        trouble = self.complaint(ts, order)
        if trouble:
            return self.say(ts, "rejected", order, reason=trouble)
        touch = self.market.touch(order.side, ts)
        if not touch and not order.post_only:
            self.met["market order without a quote" if order.market else "limit without a quote"] += 1
        self.put(order)
        if order.market and (self.g.walk or not touch):
            self.start_taking(ts, order)
        order.ahead = 0 if order.market else self.before(ts, order)
        self.say(ts, "new", order)
        if touch and (order.market or (touch - order.price) * order.side <= 0):
            shown = self.market.ask_lots if order.side > 0 else self.market.bid_lots
            self.take(ts, order, touch, shown if self.g.walk else order.lots, 0)
        return None

    def start_taking(self, ts, order):
        """It meets what comes from now on; if that is nothing for so long, it is served by `serve`."""
        order.taking, order.born, order.wait = True, self.serial, ts + self.g.print_wait

    def take(self, ts, order, price, lots, flags):
        """A market order that does not walk is done after its execution, whatever that left."""
        done = self.execute(ts, order, price, lots, self.why(order), flags)
        if done and order.market and not self.g.walk and order in self.places:
            self.end(ts, order, END_REDUCE)
        return done

    @staticmethod
    def why(order):
        if order.role == CLOSE:
            return TIMED if order.why == END_MAX_HOLD else CLOSED
        return {STOP: FIRED, FORCED: LIQUIDATED}.get(order.role, CROSS)

    def execute(self, ts, order, price, lots, reason, flags):
        """At most `lots`; what was done."""
        held = abs(self.position)
        lots = min(lots, held if order.role in (STOP, FORCED) else order.lots - order.filled)
        if order.reduce_only:
            lots = min(lots, held)
        if lots <= 0:
            return 0
        order.filled += lots
        self.move(ts, order, price, lots)
        value = self.instrument.price(price) * self.instrument.qty(lots) * self.instrument.multiplier
        fee = value * (self.g.maker_fee if flags & MAKER else self.g.taker_fee)
        self.say(ts, "fill", order, price=price, lots=lots, fee=fee, flags=flags, reason=reason)
        if lots == held if order.role in (STOP, FORCED) else order.filled >= order.lots:
            self.end(ts, order)
        if self.position == 0:
            for other in [o for o in self.places if o and o.reduce_only]:
                self.end(ts, other, END_REDUCE)
        elif order.stop and not any(o and o.role == STOP for o in self.places):
            stop = Resting(STOP, 0, -order.side, order.stop, order.lots, reduce_only=True, number=order.number)
            self.put(stop)
            self.say(ts, "new", stop, price=stop.price)
            self.fire(ts, stop)
        return lots

    def move(self, ts, order, price, lots):
        before, self.position = self.position, self.position + order.side * lots
        if before == 0:
            self.paid_until, self.bracket = ts, order.number
        if before * order.side >= 0:
            self.cost += price * lots
        elif self.position:
            assert before * self.position > 0, "no order of a bracket turns its position"
            self.cost *= Fraction(self.position, before)
        else:
            self.cost, self.forcing = Fraction(0), False

    def fire(self, ts, stop):
        if not stop.taking and self.market.last and (self.market.last - stop.price) * stop.side >= 0:
            self.start_taking(ts, stop)
            self.say(ts, "fired", stop)

    def before(self, ts, order):
        """The queue that the quote shows; None = not to be seen from here."""
        m, unseen = self.market, None if self.g.hidden else 0
        if m.ended(ts):
            return unseen
        best = m.bid if order.side > 0 else m.ask
        if not best or (order.price - best) * order.side > 0:
            return 0
        if best == order.price:
            return m.bid_lots if order.side > 0 else m.ask_lots
        return unseen

    # ---- the market: it has been told before ----

    def trade(self, ts, ticks, lots, aggressor):
        self.serial += 1
        rest = lots
        for order in self.taking():
            near = self.market.touch(order.side, ts)
            there = rest if self.g.walk else NEVER
            if near:
                rest -= self.take(ts, order, max(near, ticks) if order.side > 0 else min(near, ticks), there, 0)
            elif aggressor == order.side:
                rest -= self.take(ts, order, ticks, there, PRINT)
        for order in self.resting():
            gap = (ticks - order.price) * order.side
            if order.role == STOP:
                self.fire(ts, order)
            elif gap < 0:
                self.execute(ts, order, order.price, order.lots, THROUGH, MAKER)
            elif gap == 0 and self.g.fills == "touch":
                self.execute(ts, order, order.price, lots, TOUCH, MAKER)
            elif gap == 0 and self.g.fills == "queue" and aggressor == -order.side and order.ahead is not None:
                left = lots - order.ahead
                order.ahead = max(0, -left)
                self.execute(ts, order, order.price, left, QUEUE, MAKER)
        if not self.market.mark_alive(ts):
            self.judge(ts, self.instrument.price(ticks))

    def quote(self, ts, bid, ask, bid_lots, ask_lots):
        self.serial += 1
        for order in self.taking():
            there = ask_lots if order.side > 0 else bid_lots
            self.take(ts, order, ask if order.side > 0 else bid, there if self.g.walk else NEVER, 0)
        for order in self.resting():
            gap = ((ask if order.side > 0 else bid) - order.price) * order.side
            if order.role == STOP:
                continue
            if gap < 0:
                self.execute(ts, order, order.price, order.lots, THROUGH, MAKER)
            elif self.g.fills == "queue" and gap == 0:
                self.execute(ts, order, order.price, order.lots, QUEUE, MAKER)
            elif self.g.fills == "queue":
                seen = self.before(ts, order)
                if seen is not None:
                    order.ahead = seen if order.ahead is None else min(order.ahead, seen)

    def ticker(self, ts, mark, rate, unstated=0):
        if self.market.states_mark(mark, unstated):
            self.judge(ts, mark)

    def resting(self):
        """Orders that were there before this event; place by place, because one execution may end or make others."""
        for n in range(16):
            order = self.places[n]
            if order and not order.taking and order.born != self.serial:
                yield order

    def taking(self):
        for n in range(16):
            order = self.places[n]
            if order and order.taking and order.born != self.serial:
                yield order

    # ---- without a live quote: nobody of the order's own side has traded for so long ----

    @property
    def next_wait(self):
        return min((order.wait for order in self.places if order and order.taking), default=NEVER)

    def serve(self):
        """One order: of those that are due together, the one in the first place."""
        ts = self.next_wait
        order = next(order for order in self.places if order and order.taking and order.wait == ts)
        if self.market.alive(ts):
            order.wait = self.market.quote_until + 1
            self.met["waits for a live quote"] += 1
        elif self.market.stopped:
            order.wait = ts + max(self.g.print_wait, 10**9)
            self.met["waits for trades to come back"] += 1
        elif self.market.last:
            self.met[f"moved: {'walk' if self.g.walk else 'next'}"] += 1
            self.take(ts, order, self.market.moved(order.side), NEVER, MOVED)
        else:
            order.wait = ts + max(self.g.print_wait, 10**9)

    # ---- the venue itself ----

    @property
    def next_funding(self):
        every = self.g.funding
        return (self.paid_until // every + 1) * every if every and self.position else NEVER

    def fund(self):
        ts = self.paid_until = self.next_funding
        side = 1 if self.position > 0 else -1
        m = self.market
        known = self.instrument.price(m.last) if m.last else m.mark or self.instrument.price(m.bid if side > 0 else m.ask)
        by_mark = m.mark_alive(ts) or m.mark and m.mark_at >= m.last_at
        price = m.mark if by_mark else known
        self.met["funding at the " + ("mark" if by_mark else "last trade" if m.last else "stale mark" if m.mark else "quote")] += 1
        qty = self.instrument.qty(abs(self.position))
        self.post(
            ts,
            ts,
            0,
            "funding",
            self.bracket,
            0,
            0,
            {"price": price, "qty": qty, "rate": m.rate, "side": side, "paid": price * qty * self.instrument.multiplier * m.rate * side},
        )

    @property
    def forced_at(self):
        """Ticks at which the position is taken; 0 = never."""
        if not self.g.leverage or not self.position:
            return 0
        average, loss = self.cost / abs(self.position), Fraction(1, self.g.leverage) - self.g.maintenance
        if self.position > 0:
            return max(1, ceil(average * (1 - loss) - MILLIONTH))
        return floor(average * (1 + loss) + MILLIONTH)

    def judge(self, ts, price):
        level = self.forced_at
        if not level or self.forcing or (price - self.instrument.price(level)) * self.position > 0:
            return
        if any(o and o.taking and o.reduce_only for o in self.places):
            return
        for order in list(filter(None, self.places)):
            self.end(ts, order, END_LIQUIDATED)
        self.forcing = True
        forced = Resting(FORCED, 0, -1 if self.position > 0 else 1, level, abs(self.position), reduce_only=True, number=self.bracket)
        self.put(forced)
        self.start_taking(ts, forced)
