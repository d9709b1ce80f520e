"""A scene to play out event by event: an engine that has learnt, a clock that moves when told, a venue that says what the test says."""

import pytest

from liqcore import (
    LONG,
    SECOND,
    SHORT,
    AuditKind,
    BracketState,
    CascadeConfig,
    Engine,
    OrderStatus,
    Reason,
    Risk,
)
from liqcore.event import Role
from markets import START, Fade, instruments

CONFIG = CascadeConfig(warmup=10)
SIDES = pytest.mark.parametrize("side", [LONG, SHORT], ids=["long", "short"])
PRICE = 2000.0


class Scene:
    """An engine that has learnt small liquidations, with fresh prices; `now` moves by what is asked."""

    def __init__(self, policy=None, risk=None, names=None, config=CONFIG, equity=10_000.0, mark=True):
        self.engine = Engine(names or instruments(2), config, Fade() if policy is None else policy, risk or Risk(), equity=equity)
        self.now = START
        self.fill_id = 0
        for index in range(len(self.engine.instruments)):
            for _ in range(12):
                self.liquidation(LONG, index=index, qty=0.01, after=0.1)
        self.pass_time(600)
        self.trade(mark=mark)
        self.records()

    def pass_time(self, seconds):
        self.now += round(seconds * SECOND)
        self.engine.advance(self.now)

    def trade(self, price=PRICE, mark=False):
        for index in range(len(self.engine.instruments)):
            self.engine.on_trade(self.now, self.now, index, LONG, price, 1.0)
            if mark:
                self.engine.on_ticker(self.now, self.now, index, price)

    def liquidation(self, side, *, index=0, qty=50.0, after=0.0, age=0.0, price=None):
        self.now += round(after * SECOND)
        return self.engine.on_liquidation(self.now - round(age * SECOND), self.now, index, side, price or PRICE * (1 - 0.003 * side), qty)

    def cascade(self, side, **options):
        """Two large liquidations of one side, on a fresh price: ACTIVE at the second."""
        self.trade()
        self.liquidation(side, **options)
        return self.liquidation(side, after=0.5, **options)

    def records(self):
        return self.engine.audit.drain()

    def only(self, kind):
        return [r for r in self.records() if r["kind"] == kind]

    def verdict(self):
        """Reason of the only verdict of risk since the last look; OK means that an order left, else none did."""
        (record,) = self.only(AuditKind.AUDIT_RISK)
        requests = self.engine.drain()
        assert [r.role for r in requests] == ([Role.ROLE_ENTRY] if record["reason"] == Reason.OK else [])
        return Reason(record["reason"])

    def fill(self, request, price=None, qty=None, maker=True, fee=0.0):
        self.fill_id += 1
        price = request.price or price if price is None else price
        self.engine.on_fill(self.now, self.now, request.id, price, request.qty if qty is None else qty, fee, self.fill_id, maker)

    def enter(self, side, **options):
        """A cascade answered, the entry filled and its stop confirmed; returns the entry."""
        self.cascade(side, **options)
        (entry,) = self.engine.drain()
        self.engine.on_order(self.now, self.now, entry.id, OrderStatus.ORDER_NEW)
        self.fill(entry)
        self.engine.on_order(self.now, self.now, entry.stop_id, OrderStatus.ORDER_NEW)
        return entry

    def lose(self, side, price, **options):
        """A round trip that ends at its stop, at `price`."""
        entry = self.enter(side, **options)
        (target,) = self.engine.drain()
        self.fill_id += 1
        self.engine.on_fill(self.now, self.now, entry.stop_id, price, entry.qty, 0.0, self.fill_id)
        for request in [target, *self.engine.drain()]:
            self.engine.on_order(self.now, self.now, request.id, OrderStatus.ORDER_CANCELLED, Reason.END_REDUCE_ONLY)
        assert self.engine.bracket(options.get("index", 0))["state"] == BracketState.BRACKET_FLAT
