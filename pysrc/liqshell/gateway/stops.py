"""The stop that is attached to an entry and then to its position: confirmed, lost, put back, moved.

At the venue it is an order (StopLoss) and a field of the position. Either confirms it; only the answer to a query can show that it is absent. Setting
the stop of a position is idempotent and can open nothing, so it may be tried while the machine's own deadline runs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from liqcore.event import OrderStatus, Reason, Role
from liqshell.gateway.budget import Urgency
from liqshell.gateway.context import Context
from liqshell.gateway.events import MS, order_event, order_number
from liqshell.gateway.executions import Epochs
from liqshell.venues.effects import Answer, Level
from liqshell.venues.order_port import Page
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import ENDED, OrderState, Position, Standing

ENDED_MAX = 2_048
LONGEST_S = 4.0  # between two tries for a position without a stop
AT_WORK_S = 1.0  # a stop that was triggered longer ago and has not closed the position does not protect it: its end was not reported
AGAIN_S = 1.0  # between two tries to cancel an entry that rests without its stop
STOP_KINDS = ("StopLoss",)


@dataclass(slots=True)
class Move:
    """A stop on its way to another price. expires: when the request can no longer be taken."""

    order: int
    ticks: int
    expires: int
    tries: int = 0


@dataclass(slots=True)
class Watch:
    """A position whose stop is not confirmed. tries: readings made; put: stops set; asking: a question or a request is out; refused: the venue does
    not take the stop where it belongs, because the market is beyond it."""

    since: int
    due: int
    tries: int = 0
    put: int = 0
    asking: bool = False
    refused: bool = False


class Stops:
    """One per gateway; by instrument."""

    def __init__(self, context: Context, epochs: Epochs) -> None:
        self.c = context
        self.epochs = epochs
        self._live: dict[int, dict[str, OrderState]] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self.positions: dict[int, Position] = {}
        self._moves: dict[int, Move] = {}
        self._watched: dict[int, Watch] = {}
        self._shown = False  # the venue has once shown the stop of an entry that rests: not every one does
        self._bare: dict[int, tuple[int, int]] = {}  # instrument -> entry that rests without its stop, when its cancel was last asked for

    # ---- belief ----

    def stop_of(self, n: int) -> dict[str, Any] | None:
        """The engine's state of the stop of the instrument's bracket; None before the first report about it."""
        return self.c.belief(self.c.number(n, Role.ROLE_STOP))

    def wanted_ticks(self, n: int) -> int:
        """The stop price of the bracket; 0 = no bracket."""
        for belief in self.c.beliefs().values():
            if belief["instrument"] == n and belief["role"] == Role.ROLE_ENTRY:
                return int(self.c.engine.instruments[n].ticks(belief["stop_price"]))
        return 0

    def is_protected(self, n: int) -> bool:
        stop = self.stop_of(n)
        return stop is not None and stop["status"] == "live"

    # ---- what the venue says ----

    def on_order(self, n: int, state: OrderState) -> None:
        """A StopLoss order without one of our ids."""
        c = self.c
        live = self._live.setdefault(n, {})
        if state.standing in ENDED:
            live.pop(state.order_id, None)
            if state.order_id in self._ended:
                return
            self._ended[state.order_id] = state.updated_ms
            if len(self._ended) > ENDED_MAX:
                self._ended.popitem(last=False)
        elif state.order_id in self._ended:
            return  # an older word than the one that it has ended
        else:
            before = live.get(state.order_id)
            if before is not None and before.updated_ms > state.updated_ms:
                return
            if len(live) >= 64:
                live.pop(next(iter(live)))
            live[state.order_id] = state
        current = c.bracket(n)["sequence"]
        if not c.is_open(n) or self.epochs.at(n, state.created_ms or state.updated_ms, current) & 0xFFFFFFF != current & 0xFFFFFFF:
            c.counters["stops of another bracket"] += 1
            return
        number = order_number(n, current, Role.ROLE_STOP)
        ts_ns = state.updated_ms * MS
        if state.standing == Standing.WAITING and state.trigger <= 0.0:
            self.hurry(n)  # at no price: the position will say
        elif state.standing == Standing.WAITING:
            self._confirm(n, state.trigger, state.updated_ms)
        elif state.standing == Standing.FILLED:
            c.report(order_event(c.stamp(), ts_ns, number, OrderStatus.ORDER_DONE, executed=state.executed))
        elif state.standing in ENDED:
            if not any(other.standing == Standing.WAITING for other in self._alive(n)):
                reason = c.port.reason(state)
                c.report(order_event(c.stamp(), ts_ns, number, OrderStatus.ORDER_CANCELLED, reason, executed=state.executed))
            self.hurry(n)  # even where another seems to take its place: the end of that one may have been lost
        else:
            c.report(order_event(c.stamp(), ts_ns, number, OrderStatus.ORDER_TRIGGERED, executed=state.executed))

    def on_entry(self, order: int, state: OrderState) -> None:
        """An entry of ours as the venue shows it. An entry that rests without its attached stop would fill unprotected, perhaps while the venue is
        unreachable: it is cancelled."""
        c = self.c
        if state.stop_loss > 0.0:
            self._shown = True
            return
        n, (known, asked) = c.index[state.symbol], self._bare.get(c.index[state.symbol], (0, 0))
        if not self._shown or state.standing in ENDED or state.executed > 0.0 or (known == order and c.now - asked < c.settings.ns(AGAIN_S)):
            return
        if known != order:
            c.counters["entries without their stop"] += 1
            c.notice(Level.ALARM, "entry without stop", f"entry {state.link_id} rests without its stop: cancelled", state.symbol)
        self._bare[n] = order, c.now
        c.cancel_entry(order, state.link_id, f"cancel entry {state.link_id}")

    def on_position(self, position: Position) -> None:
        """A position as the stream or an answer has it. Only what is not older than what we know."""
        c = self.c
        n = c.index.get(position.symbol)
        if n is None or position.index != 0:
            return
        before = self.positions.get(n)
        if before is not None and before.updated_ms > position.updated_ms:
            c.counters["positions out of date"] += 1
            return
        self.positions[n] = position
        if (
            position.qty > 0.0
            and position.stop_loss > 0.0
            and c.is_open(n)
            and position.updated_ms >= self.epochs.first_ms(n)
            and position.side == c.bracket(n)["side"]
        ):
            self._confirm(n, position.stop_loss, position.updated_ms)

    def _confirm(self, n: int, price: float, ts_ms: int) -> None:
        """A stop rests at this price."""
        c = self.c
        ticks = c.engine.instruments[n].ticks(price)
        stop = self.stop_of(n)
        wanted = self.wanted_ticks(n)
        as_wanted = ticks == wanted
        if stop is not None and stop["status"] == "live" and stop["asked"] == "amend" and not as_wanted:
            return  # where it was before the move: the move is not confirmed by that
        if as_wanted:
            self._moves.pop(n, None)
        elif (wanted - ticks) * c.bracket(n)["side"] > 0:
            self.hurry(n)  # further away than it should be: it is set again
            if stop is None or stop["status"] != "live":
                return  # better than none, but not what the engine may rely on: its deadline runs
        if stop is None or stop["status"] != "live" or stop["asked"] or stop["unknown"]:
            number = order_number(n, c.bracket(n)["sequence"], Role.ROLE_STOP)
            c.report(order_event(c.stamp(), ts_ms * MS, number, OrderStatus.ORDER_NEW, price=price))

    def _alive(self, n: int) -> list[OrderState]:
        """Stops of the present bracket whose end was not reported. A stop of an earlier bracket has ended with its position, reported or not."""
        current = self.c.bracket(n)["sequence"] & 0xFFFFFFF
        return [
            order
            for order in self._live.get(n, {}).values()
            if self.epochs.at(n, order.created_ms or order.updated_ms, current) & 0xFFFFFFF == current
        ]

    # ---- moving ----

    def move(self, sent: Any) -> None:
        """The engine moves the stop: the venue's only message for it is trading-stop."""
        n = sent.instrument
        self._moves[n] = move = Move(sent.id, sent.price, self.c.expiry(self.c.now))
        self._send_move(n, move)

    def _send_move(self, n: int, move: Move) -> None:
        c = self.c
        text = c.engine.instruments[n].price_text(move.ticks)

        def current() -> bool:
            stop = c.belief(move.order)
            return self._moves.get(n) is move and stop is not None and stop["asked"] == "amend"

        def answered(answer: Answer) -> None:
            page = c.port.result_of(answer, Asked.STOP)
            c.note_answer(page, "setting")
            if not current():
                return
            if page.outcome in (Outcome.DONE, Outcome.ACCEPTED, Outcome.UNKNOWN):
                self.hurry(n)  # read it back: what counts is the position
            elif page.outcome == Outcome.LATER and move.tries < 3:
                move.tries += 1
                self._send_move(n, move)
            else:
                self._moves.pop(n, None)
                c.notice(Level.INFO, "stop not moved", f"{page.code} {page.text}", c.symbols[n])
                c.report(order_event(c.stamp(), c.venue_ns(), move.order, OrderStatus.ORDER_REFUSED, Reason.END_VENUE))

        def on_sent(now: int) -> None:
            move.expires = c.expiry(c.now)

        c.counters["stop moves"] += 1
        c.ask(c.port.set_stop(c.symbols[n], text), answered, Urgency.SAVE, f"move stop of {c.symbols[n]}", wanted=current, on_sent=on_sent)

    # ---- verifying ----

    def hurry(self, n: int) -> None:
        """Read the stop of an instrument's position now."""
        watch = self._watched.setdefault(n, Watch(self.c.now, self.c.now))
        watch.due = min(watch.due, self.c.now)

    def sweep(self) -> None:
        """Each of our positions must have a confirmed stop: query it, and place it again if it is missing."""
        c, s = self.c, self.c.settings
        for n in {belief["instrument"] for belief in c.beliefs().values()}:
            stop = self.stop_of(n)
            held = c.held(n) != 0
            moving = stop is not None and stop["asked"] == "amend"
            if held and (not self.is_protected(n) or moving or self._is_bare(n)) and n not in self._watched:
                wait_s = s.confirm_s if moving else s.verify_s if c.port.attaches_stops else 0.0
                self._watched[n] = Watch(c.now, c.now + s.ns(wait_s))
        for n, watch in list(self._watched.items()):
            stop = self.stop_of(n)
            moving = stop is not None and stop["asked"] == "amend"
            if (
                not c.is_open(n)
                or (not watch.asking and watch.tries and c.held(n) == 0 and not self._shows(n))
                or (watch.tries and not watch.asking and self.is_protected(n) and not moving and not self._is_looser(n) and not self._is_bare(n))
            ):
                del self._watched[n]
            elif not watch.asking and c.now >= watch.due:
                if c.port.attaches_stops or watch.tries or stop is not None:
                    self._read(n, watch)
                else:  # there is no report of a stop, because none was sent with the entry
                    watch.tries += 1
                    self._put(n, watch, self.positions.get(n))

    def due(self) -> int | None:
        return min((watch.due for watch in self._watched.values() if not watch.asking), default=None)

    def ask_soon(self) -> None:
        """A way to the venue is back."""
        for watch in self._watched.values():
            watch.due = min(watch.due, self.c.now)

    def verify_all(self) -> None:
        """Ask for the stop of everything that is held: after a start or a reconnect."""
        for n in {belief["instrument"] for belief in self.c.beliefs().values()}:
            if self.c.held(n):
                self.hurry(n)

    def _shows(self, n: int) -> bool:
        """True if the bracket holds a position by the venue's last report, regardless of the engine's state."""
        position = self.positions.get(n)
        return position is not None and position.qty > 0.0 and position.side == self.c.bracket(n)["side"]

    def _is_bare(self, n: int) -> bool:
        """Whether the last word on the bracket's position shows it without a stop. It may be a report that is too early, or the only sign of a lost
        stop: it must be queried."""
        position = self.positions.get(n)
        return position is not None and self._shows(n) and position.stop_loss <= 0.0 and position.updated_ms >= self.epochs.first_ms(n)

    def _is_looser(self, n: int) -> bool:
        position = self.positions.get(n)
        if position is None or not position.qty or not position.stop_loss:
            return False
        return (self.wanted_ticks(n) - self.c.engine.instruments[n].ticks(position.stop_loss)) * self.c.bracket(n)["side"] > 0

    def _read(self, n: int, watch: Watch) -> None:
        """What stop does the position have?"""
        c = self.c
        watch.asking = True
        watch.tries += 1
        began = c.now

        def finish() -> None:
            watch.asking = False
            watch.due = c.now + c.settings.ns(min(LONGEST_S, 0.2 * 1.7 ** min(watch.tries, 16)))

        def answered(answer: Answer) -> None:
            finish()
            page = c.port.positions_of(answer)
            c.note_answer(page, "query")
            if page.ok:
                self._check_stop(n, watch, page, began)

        c.ask(
            c.port.ask_positions(c.symbols[n]),
            answered,
            Urgency.ASK,
            f"stop of {c.symbols[n]}",
            on_dropped=finish,
            timeout_s=c.timeout_s(watch.tries),
        )

    def _check_stop(self, n: int, watch: Watch, page: Page, began: int) -> None:
        c = self.c
        rows = [p for p in page.items if isinstance(p, Position) and p.symbol == c.symbols[n] and p.index == 0]
        position = rows[0] if rows else None
        if position is not None:
            due = watch.due
            self.on_position(position)
            watch.due = due  # what an answer shows is judged here; a stop that stays too far away is not asked for without end
        if not c.is_open(n):
            return
        known = self.positions.get(n)
        if position is None or (known is not None and known is not position and known.updated_ms > position.updated_ms):
            return  # an answer that is behind the stream says nothing
        stop = self.stop_of(n)
        move = self._moves.get(n)
        if position.qty > 0.0 and stop is not None and stop["status"] == "live" and stop["asked"] == "amend":
            here = c.engine.instruments[n].ticks(position.stop_loss) if position.stop_loss else 0
            if here != self.wanted_ticks(n) and (move is None or began > move.expires):
                self._moves.pop(n, None)
                c.report(order_event(c.stamp(), c.venue_ns(), stop["id"], OrderStatus.ORDER_REFUSED, Reason.END_VENUE))
        if position.qty <= 0.0 or position.side != c.bracket(n)["side"]:
            return
        if position.stop_loss <= 0.0:
            self._naked(n, watch, position, began)
        elif self._is_looser(n) and (stop is None or stop["asked"] != "amend"):
            if not self._is_beyond(n, position):
                self._put(n, watch, position)
            elif stop is not None and stop["status"] == "live" and c.touched_at.get(n, 0) <= began:
                # the market has passed the price at which we wanted out, and what rests is further away
                c.notice(Level.ALARM, "stop moved away", f"a stop is at {position.stop_loss:g}, not where it was placed", c.symbols[n])
                c.report(order_event(c.stamp(), c.venue_ns(), stop["id"], OrderStatus.ORDER_CANCELLED, Reason.END_VENUE))

    def _naked(self, n: int, watch: Watch, position: Position, began: int) -> None:
        """An answer says that the position has no stop."""
        c = self.c
        stop = self.stop_of(n)
        if stop is not None and stop["status"] == "live":
            if c.touched_at.get(n, 0) > began:
                return  # a report came in the meantime: read again
            recent_ms = (c.venue_ns() - c.settings.ns(AT_WORK_S)) // MS
            if any(order.standing != Standing.WAITING and order.updated_ms > recent_ms for order in self._alive(n)):
                return  # it has been triggered and is at work
            c.notice(Level.ALARM, "stop lost", f"the venue shows {position.qty:g} without a stop", c.symbols[n])
            self._live.pop(n, None)
            c.report(order_event(c.stamp(), max(c.venue_ns(), position.updated_ms * MS), stop["id"], OrderStatus.ORDER_CANCELLED, Reason.END_VENUE))
        self._put(n, watch, position)

    def _is_beyond(self, n: int, position: Position) -> bool:
        """True if the mark of the position is beyond the wanted stop."""
        ticks = self.c.engine.instruments[n].ticks(position.mark) if position.mark else 0
        return bool(ticks) and (ticks - self.wanted_ticks(n)) * position.side <= 0

    def _put(self, n: int, watch: Watch, position: Position | None) -> None:
        """Set the stop of the position at the bracket's price. Where the market is beyond that, one further away: the engine closes at market
        meanwhile, but that may fail, too, and any stop is better than none."""
        c = self.c
        ticks = self.wanted_ticks(n)
        if ticks <= 0 or watch.asking:
            return
        if position is not None and position.stop_loss <= 0.0 and position.mark > 0.0 and (watch.refused or self._is_beyond(n, position)):
            away = c.engine.instruments[n].ticks(position.mark * (1.0 - position.side * c.settings.rescue_stop))
            ticks = min(ticks, away) if position.side > 0 else max(ticks, away)
        watch.asking = True
        watch.put += 1
        c.counters["stops put back"] += 1
        order = c.number(n, Role.ROLE_STOP)

        def answered(answer: Answer) -> None:
            page = c.port.result_of(answer, Asked.STOP)
            c.note_answer(page, "setting")
            watch.asking = False
            watch.due = c.now if page.ok else c.now + c.settings.ns(min(LONGEST_S, 0.2 * 2 ** min(watch.put, 16)))
            watch.refused = page.outcome == Outcome.REJECTED
            if watch.refused and watch.put == 1:
                watch.due = c.now
            if not page.ok:
                c.notice(Level.WARNING, "stop not placed", f"stop {c.engine.instruments[n].price_text(ticks)}: {page.code} {page.text}", c.symbols[n])

        def on_dropped() -> None:
            watch.asking = False

        c.ask(
            c.port.set_stop(c.symbols[n], c.engine.instruments[n].price_text(ticks)),
            answered,
            Urgency.SAVE,
            f"stop of {c.symbols[n]}",
            wanted=lambda: c.is_open(n) and c.number(n, Role.ROLE_STOP) == order,
            on_dropped=on_dropped,
        )
