"""Whose an execution is: of an order of ours, of the attached stop, of the venue's own liquidation, or of somebody else."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from liqcore.event import Kind, Role
from liqshell.gateway.context import Context
from liqshell.gateway.effects import Level
from liqshell.gateway.epochs import Epochs
from liqshell.gateway.inquiry import Inquiries
from liqshell.gateway.recent import Recent
from liqshell.gateway.translate import fill_event, funding_event, instrument_of, order_number, role_of, sequence_of
from liqshell.venues.reports import Execution

SEEN_MAX = 16_384
ORDERS_MAX = 8_192
STRAYS_MAX = 256
STRAY_S = 120.0                 # a fill of ours that explains it may be heard of so much later
FUNDING = "Funding"
LIQUIDATION = ("BustTrade",)
# the venue reduces in steps before it takes over: such an execution may be a plain Trade
BY_LIQUIDATION = ("CreateByLiq", "CreateByTakeOver_PassThrough")
BY_STOP = ("StopLoss",)
BY_STOP_CREATOR = ("CreateByStopLoss",)
# not trades of a position: nothing that the engine keeps changes
NOT_TRADES = ("SessionSettlePnL", "MovePosition", "FutureSpread", "UNKNOWN")


def _by_stop(x: Execution) -> bool:
    return x.stop_kind in BY_STOP or x.creator in BY_STOP_CREATOR


class Executions:
    """The engine counts an execution once by (id, role); this table sees to it that the same one never comes under two roles."""

    def __init__(self, context: Context, epochs: Epochs, inquiries: Inquiries) -> None:
        self.c = context
        self.epochs = epochs
        self.inquiries = inquiries
        self._seen = Recent(SEEN_MAX)
        self._orders = Recent(ORDERS_MAX)               # the venue's order id -> ours
        self.strays: OrderedDict[str, Execution] = OrderedDict()
        self.latest_ms = 0
        self.baseline_ms = 0            # what others did before is history
        self.funds_from_ms = 0          # the equity of a first start is what funding before it has left

    def learn(self, order_id: str, number: int) -> None:
        """The venue's id of an order of ours."""
        if order_id and order_id not in self._orders:
            self._orders.put(order_id, number)

    def known_as(self, order_id: str) -> int | None:
        return self._orders.get(order_id)

    def on_execution(self, x: Execution) -> None:
        """One execution, from the stream or from an answer, however often."""
        c = self.c
        n = c.index.get(x.symbol)
        if n is None:
            c.counters["executions elsewhere"] += 1
            return
        if f"{x.symbol} {x.id}" in self._seen:
            c.counters["executions repeated"] += 1
            return
        if x.qty <= 0.0 or x.kind in NOT_TRADES:
            return
        if x.kind == FUNDING:
            self._fund(n, x)
            return
        number = self._whose(n, x)
        current = c.bracket(n)["sequence"] & 0xFFFFFFF
        if number is not None and x.ts_ms < self.baseline_ms and sequence_of(number) != current:
            c.counters["executions of history"] += 1        # of a bracket that was over when this life began: the positions agreed since
        elif number is None:
            self._stray(n, x)
        else:
            self._report(n, x, number)

    def _remember(self, x: Execution) -> None:
        self._seen.put(f"{x.symbol} {x.id}")
        self.strays.pop(x.id, None)
        self.latest_ms = max(self.latest_ms, x.ts_ms)

    def _fund(self, n: int, x: Execution) -> None:
        c = self.c
        self._remember(x)
        if x.ts_ms < self.funds_from_ms:
            c.counters["executions of history"] += 1
            return
        held = c.held(n)
        side = (1 if held > 0 else -1) if held else x.side
        if side and x.price > 0.0:
            c.report(funding_event(c.stamp(), n, side, x))
        self._keep(x, 0, int(Kind.FUNDING))

    def _whose(self, n: int, x: Execution) -> int | None:
        """The engine's id of the order that was executed; None where it is nobody's that the engine knows."""
        number = self._order_of(n, x)
        if number is not None and role_of(number) == Role.ROLE_STOP and self._is_over(n, number):
            return None                         # it closed what somebody else had added: our part is closed and counted
        return number

    def _is_over(self, n: int, number: int) -> bool:
        """Whether nothing is held of a bracket, and no fill of its entry can be missing."""
        c = self.c
        if c.held(n) * c.bracket(n)["side"] > 0 or sequence_of(number) != c.bracket(n)["sequence"] & 0xFFFFFFF:
            return False
        entry = next((b for b in c.beliefs().values() if b["instrument"] == n and b["role"] == Role.ROLE_ENTRY), None)
        return entry is None or (entry["status"] == "ended" and entry["executed"] <= entry["filled"])

    def _order_of(self, n: int, x: Execution) -> int | None:
        c = self.c
        mine, number = c.ours(x.link_id)
        if number >= 0:
            return number if instrument_of(number) == n else None
        if mine:
            return None                         # of a state folder that was lost: its bracket is nobody's
        known = self._orders.get(x.order_id)
        if known is not None:
            return known
        current = c.bracket(n)["sequence"]
        if not current:
            return None
        if _by_stop(x):
            if x.side == c.bracket(n)["side"] or (not self.epochs.first_ms(n) and not c.is_open(n)):
                return None                     # the stop of somebody else's position, or of a bracket before all that this life knows
            sequence = self.epochs.at(n, x.ts_ms, current)
            return order_number(n, sequence, Role.ROLE_STOP) if sequence > 0 else None
        held = c.held(n)
        # a belief of the wrong sign (more exits than entries) is nothing that somebody else could have reduced
        if held * c.bracket(n)["side"] <= 0 or held * x.side >= 0 or x.ts_ms < self.epochs.first_ms(n):
            return None
        taken = x.kind in LIQUIDATION or x.creator in BY_LIQUIDATION
        return order_number(n, current, Role.ROLE_LIQUIDATION if taken else Role.ROLE_OUTSIDE)

    def _report(self, n: int, x: Execution, number: int) -> None:
        c = self.c
        role = role_of(number)
        bracket = c.bracket(n)
        outside = role in (Role.ROLE_OUTSIDE, Role.ROLE_LIQUIDATION)
        held = max(0, c.held(n) * bracket["side"])
        # the attached stop is the whole position's, also of what somebody else has added to ours
        shared = role == Role.ROLE_STOP and held > 0 and sequence_of(number) == bracket["sequence"] & 0xFFFFFFF
        rest = c.lots(n, x.qty) - held if outside or shared else 0
        whole = x
        if rest > 0:
            x = replace(x, qty=c.engine.instruments[n].qty(held))
        c.touch(n)
        self._remember(x)
        if not outside:
            self.learn(x.order_id, number)
        self.epochs.executed(n, sequence_of(number), x.ts_ms, bracket["sequence"] & 0xFFFFFFF)
        c.counters["executions"] += 1
        self._keep(x, number, int(Kind.FILL))
        c.report(fill_event(c.stamp(), number, x, int(bracket["end"])))
        counted = max(0, c.held(n) * bracket["side"]) != held
        if outside and not counted:
            c.counters["executions of another life"] += 1       # the engine had counted it, all of it that there was to count
        elif outside:
            c.counters["outside executions"] += 1
            c.notice(Level.ALARM, "outside", f"{x.kind}: {x.qty:g} of our position was closed at {x.price:g}, not by us", x.symbol)
        if rest > 0 and counted:
            # an entry of which we have not heard, or somebody opened a position: the comparison of positions will say
            self._stray(n, replace(whole, id=x.id + "+", qty=c.engine.instruments[n].qty(rest), fee=0.0))
        if self.strays:
            self.judge_again(n)

    def _stray(self, n: int, x: Execution) -> None:
        """Nobody's that the engine knows. The entry that it closes may be reported later, or it is foreign: the comparison of positions decides."""
        c = self.c
        if x.id not in self.strays and x.ts_ms >= self.baseline_ms:
            c.counters["executions of others"] += 1
            c.touch(n)
            c.notice(Level.WARNING, "foreign execution", f"{x.kind} of {x.qty:g} at {x.price:g}, order {x.link_id or x.order_id}: not ours", x.symbol)
            self.strays[x.id] = x
            if len(self.strays) > STRAYS_MAX:
                self.strays.popitem(last=False)
            self.inquiries.doubt_position(n)

    def judge_again(self, n: int) -> None:
        """After something was learnt about an instrument's position."""
        for x in sorted((x for x in self.strays.values() if self.c.index.get(x.symbol) == n), key=lambda x: x.ts_ms):
            number = self._whose(n, x) if x.id in self.strays else None         # what one explains may explain others, too
            if number is not None and sequence_of(number) == self.c.bracket(n)["sequence"] & 0xFFFFFFF:
                self.strays.pop(x.id, None)
                self._report(n, x, number)

    def force(self, n: int, x: Execution, number: int) -> None:
        """An execution that the venue does not list, though its position says that it took place."""
        self._report(n, x, number)

    def forget_strays(self, n: int) -> None:
        """The positions agree, and have had time to: what others did has cancelled itself out."""
        old_ms = (self.c.venue_ns() - self.c.settings.ns(STRAY_S)) // 1_000_000
        for key in [key for key, x in self.strays.items() if self.c.index.get(x.symbol) == n and x.ts_ms < old_ms]:
            x = self.strays.pop(key)
            self._remember(x)

    def _keep(self, x: Execution, number: int, code: int) -> None:
        if self.c.store is not None:
            self.c.store.put("executions", id=x.id, ts_ms=x.ts_ms, prefix=self.c.settings.run, order_id=number, venue_order=x.order_id,
                             symbol=x.symbol, side=x.side,
                             price=repr(x.price), qty=repr(x.qty), fee=repr(x.fee), maker=int(x.maker), kind=x.kind, code=code)
