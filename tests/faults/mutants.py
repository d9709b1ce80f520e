"""Classic bugs of trading programs, planted one at a time into the real gateway, last hop and state. A campaign that does not find each of them
proves nothing when it finds none in the program itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import orjson

import liqcore as lc
from liqcore.event import Action, OrderStatus, Reason, Role
from liqshell.gateway import context, events, executions, inquiry, reconcile, requests, stops
from liqshell.venues.bybit.port import BybitPort
from liqshell.venues.order_port import Page
from liqshell.venues.outcome import Outcome
from liqshell.venues.reports import ENDED

from . import bot, life
from . import script as scripts
from .process import Process
from .world import Outcome as Run
from .world import run

HOURS = 1.0
FIRST_SEED = 5_000


@dataclass(frozen=True, slots=True)
class Mutant:
    """plant(): a context in which the bug lives. provoke: the kinds of faults that bring it out (alone, so that it is found soon)."""

    name: str
    what: str
    plant: Callable[[], AbstractContextManager[Any]]
    provoke: tuple[str, ...]
    exactly: scripts.Options | None = None  # options of those faults, which then come `on` orders or fills and last `duration_s`
    on: str = "order"
    duration_s: float = 7.0
    hours: float = HOURS

    def script(self, seed: int) -> scripts.Script:
        """What it is looked for with."""
        made = scripts.draw(seed, self.hours, only=self.provoke)
        if self.exactly is not None:
            for fault in made.faults:
                fault.on, fault.after_ms, fault.duration_s, fault.options = self.on, 0.0, self.duration_s, self.exactly
        return made


def _replace(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> AbstractContextManager[Any]:
    """owner.name becomes make(the original)."""
    return patch.object(owner, name, make(getattr(owner, name)))


def _ack_is_fill() -> AbstractContextManager[Any]:
    def make(judge: Any) -> Any:
        def judged(self: Any, flight: Any, outcome: Any, *rest: Any) -> None:
            judge(self, flight, outcome, *rest)
            if outcome == Outcome.ACCEPTED and flight.is_entry and flight.sent is not None:
                unit = self.c.engine.instruments[flight.instrument]
                number = float(flight.id & 0xFFFFFFFFFFF)
                self.c.report(
                    (
                        self.c.now,
                        self.c.stamp(),
                        unit.price(flight.sent.price),
                        unit.qty(flight.sent.qty),
                        0.0,
                        number,
                        flight.id,
                        flight.instrument,
                        8,
                        0,
                        0,
                        1,
                    )
                )

        return judged

    return _replace(requests.Requests, "interpret_reply", make)


def _retry_on_timeout() -> AbstractContextManager[Any]:
    def make(lose: Any) -> Any:
        def again(self: Any, flight: Any, why: str) -> None:
            if flight.sent is None or flight.tries >= 3:
                lose(self, flight, why)
                return
            flight.tries += 1
            flight.ts = self.c.now
            self.dispatch.again(flight.sent._replace(decided=self.c.now), self.c.now)  # as if it were news: the guard refuses an old entry

        return again

    return _replace(requests.Requests, "lose", make)


def _stop_assumed() -> AbstractContextManager[Any]:
    """The entry carried a stop, so there is one: told with the fill, and never looked at."""

    @contextmanager
    def planted() -> Iterator[None]:
        def make(report: Any) -> Any:
            def reported(self: Any, n: int, x: Any, number: int) -> None:
                if number & 15 == Role.ROLE_ENTRY:
                    stop = events.order_number(n, events.sequence_of(number), Role.ROLE_STOP)
                    self.c.report(events.order_event(self.c.stamp(), self.c.venue_ns(), stop, OrderStatus.ORDER_NEW))
                report(self, n, x, number)

            return reported

        with (
            _replace(executions.Executions, "report", make),
            patch.object(stops.Stops, "sweep", lambda self: None),
            patch.object(stops.Stops, "due", lambda self: None),
        ):
            yield

    return planted()


def _fill_is_order() -> AbstractContextManager[Any]:
    """A partial fill is taken for the whole order: exits are sized to what was ordered."""

    def make(report: Any) -> Any:
        def reported(self: Any, n: int, x: Any, number: int) -> None:
            belief = self.c.belief(number)
            if number & 15 == Role.ROLE_ENTRY and belief is not None and not belief["filled"]:
                x = executions.replace(x, qty=belief["qty"])
            report(self, n, x, number)

        return reported

    return _replace(executions.Executions, "report", make)


def _cancel_assumed() -> AbstractContextManager[Any]:
    def make(on_sent: Any) -> Any:
        def sent_is_done(self: Any, sent: Any) -> None:
            on_sent(self, sent)
            if sent.action == Action.ACTION_CANCEL:
                self.c.report(events.order_event(self.c.stamp(), self.c.venue_ns(), sent.id, OrderStatus.ORDER_CANCELLED))

        return sent_is_done

    return _replace(requests.Requests, "on_sent", make)


def _no_dedupe() -> AbstractContextManager[Any]:
    """Each report of an execution counts."""

    @contextmanager
    def planted() -> Iterator[None]:
        count = iter(range(1, 1 << 50))

        def make(on_execution: Any) -> Any:
            def fresh(self: Any, x: Any, **how: Any) -> None:
                self._seen = executions.Recent(1)
                on_execution(self, x, **how)

            return fresh

        with _replace(executions.Executions, "on_execution", make), patch.object(events, "execution_number", lambda text: next(count)):
            yield

    return planted()


def _not_found_believed() -> AbstractContextManager[Any]:
    def believed(self: Any, found: Any) -> None:
        self.end(found.order)
        self.on_absent(found.order, self.c.venue_ns(), 0.0)

    return patch.object(inquiry.Inquiries, "_absent", believed)


def _failed_is_flat() -> AbstractContextManager[Any]:
    """A question about positions that fails is read as: none."""

    def make(positions_of: Any) -> Any:
        def read(self: Any, answer: Any) -> Any:
            page = positions_of(self, answer)
            return page if page.ok else Page(True, Outcome.DONE)

        return read

    def compared(self: Any, n: int, row: Any, reading: Any) -> bool:
        c = self.c
        if row is None and c.held(n):
            self._reduced(n, reconcile.Difference(0, c.held(n), 1, c.now), None)
        return True

    @contextmanager
    def planted() -> Iterator[None]:
        with _replace(BybitPort, "positions_of", make), patch.object(reconcile.Reconciler, "_compare", compared):
            yield

    return planted()


def _no_reconcile() -> AbstractContextManager[Any]:
    @contextmanager
    def planted() -> Iterator[None]:
        with (
            patch.object(reconcile.Reconciler, "reconnected", lambda self: None),
            patch.object(reconcile.Reconciler, "soon", lambda self, pause_s=0.0: None),
        ):
            yield

    return planted()


def _sequence_restarts() -> AbstractContextManager[Any]:
    """The image is there, but the numbers of the brackets begin at 1 again."""
    return patch.object(life, "restore", lambda image, engine: {"fresh": True, "now_ns": 0, "open": [], "torn": []})


def _unknown_is_rejected() -> AbstractContextManager[Any]:
    def failed(self: Any, flight: Any, why: str) -> None:
        self.flights.drop(flight)
        self._refuse(flight.id, flight.action, Reason.END_VENUE)

    return patch.object(requests.Requests, "lose", failed)


def _gates_ignored() -> AbstractContextManager[Any]:
    """The gates are kept and shown; only the engine never hears of them."""

    def make(init: Any) -> Any:
        def deaf(self: Any, report: Any) -> None:
            init(self, lambda code, gate, instrument: None)

        return deaf

    return _replace(context.Gates, "__init__", make)


def _image_not_written() -> AbstractContextManager[Any]:
    return patch.object(life, "WRITES_IMAGE", False)


def _fill_after_cancel() -> AbstractContextManager[Any]:
    """An order that was cancelled is over: what it had filled and was told later is dropped."""

    @contextmanager
    def planted() -> Iterator[None]:
        def on_execution(original: Any) -> Any:
            def dropped(self: Any, x: Any, **how: Any) -> None:
                _, number = self.c.ours(x.link_id)
                belief = self.c.belief(number) if number >= 0 else None
                if belief is None or belief["status"] != "ended":
                    original(self, x, **how)

            return dropped

        def event(original: Any) -> Any:
            def never_filled(now: int, order: int, status: int, *rest: Any, **more: Any) -> Any:
                return original(now, order, status, *rest, **(more | {"executed": 0.0}))

            return never_filled

        with _replace(executions.Executions, "on_execution", on_execution), _replace(events, "order_event", event):
            yield

    return planted()


def _foreign_ignored() -> AbstractContextManager[Any]:
    """What the engine does not believe in is no business of ours."""

    @contextmanager
    def planted() -> Iterator[None]:
        with (
            patch.object(reconcile.Reconciler, "_compare", lambda self, n, row, reading: True),
            patch.object(reconcile.Reconciler, "_act", lambda self, n, found, row, reading: None),
        ):
            yield

    return planted()


def _kill_word_ignored() -> AbstractContextManager[Any]:
    @contextmanager
    def planted() -> Iterator[None]:
        with patch.object(life, "WATCHES_KILL_WORD", False), patch.object(Process, "heed_kill", lambda self: None):
            yield

    return planted()


def _cancels_blocked() -> AbstractContextManager[Any]:
    """The kill switch stops everything that leaves, the cancels too."""

    def make(send_order: Any) -> Any:
        def blocked(self: Any, frame: bytes) -> bool:
            return True if self.control.kill and b"order.cancel" in frame else bool(send_order(self, frame))

        return blocked

    return _replace(Process, "send_order", make)


def _old_market_traded() -> AbstractContextManager[Any]:
    """However old an event and the market are, they are traded on."""

    @contextmanager
    def planted() -> Iterator[None]:
        old = {"data_age_max_s": 3600.0, "event_age_max_s": 3600.0}
        with (
            patch.object(bot.Bot, "risk", lambda self: lc.Risk(**self.limits, daily_loss_max=self.daily_loss, weekly_loss_max=1.0, **old)),
            patch.object(bot.Bot, "late_ns", 3600 * lc.SECOND),
        ):
            yield

    return planted()


def _close_not_sent() -> AbstractContextManager[Any]:
    """What closes a position at its time limit never leaves, and nobody notices."""

    def make(send_order: Any) -> Any:
        def forgetful(self: Any, frame: bytes) -> bool:
            one = orjson.loads(frame)
            closes = one["op"] == "order.create" and one["args"][0]["orderLinkId"].endswith(f"{int(Role.ROLE_CLOSE):x}")
            return True if closes else bool(send_order(self, frame))

        return forgetful

    return _replace(Process, "send_order", make)


def _doubt_not_said() -> AbstractContextManager[Any]:
    return patch.object(life, "Settings", partial(life.Settings, alarm_s=1e9))


def _end_not_believed() -> AbstractContextManager[Any]:
    """An order that the venue ended without being asked is believed to rest on."""

    def make(on_state: Any) -> Any:
        def deaf(self: Any, order: int, state: Any, *, asked_at: int = 0) -> None:
            belief = self.c.belief(order)
            if belief is None or belief["asked"] or belief["status"] != "live" or state.standing not in ENDED:
                on_state(self, order, state, asked_at=asked_at)

        return deaf

    return _replace(requests.Requests, "on_state", make)


def _loss_limit_ignored() -> AbstractContextManager[Any]:
    @contextmanager
    def planted() -> Iterator[None]:
        # in every seed, and so little that some hours are enough
        with (
            patch.object(bot, "DAILY_LOSS", (0.0002,)),
            patch.object(bot, "has_later", lambda seed: True),
            patch.object(bot.Bot, "risk", lambda self: lc.Risk(**self.limits, daily_loss_max=1.0, weekly_loss_max=1.0)),
        ):
            yield

    return planted()


MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Mutant("ack_is_fill", "the acknowledgement of an order is taken for its execution", _ack_is_fill, ("reset",)),
        Mutant("retry_on_timeout", "a request without an answer is sent again", _retry_on_timeout, ("lose_ack", "late_ack", "reset")),
        Mutant("stop_assumed", "the attached stop is believed without looking", _stop_assumed, ("drop_stop", "cancel_stops")),
        Mutant("fill_is_order", "a partial fill is taken for the whole order", _fill_is_order, ("reset", "cancel_rest")),
        Mutant(
            "cancel_assumed",
            "a cancel that was sent is taken for done",
            _cancel_assumed,
            ("lose_request",),
            {"channel": "trade", "operation": "cancel", "probability": 1.0, "count": 1},
        ),
        Mutant("no_dedupe", "an execution that is told twice counts twice", _no_dedupe, ("duplicate_private", "reset")),
        Mutant(
            "not_found_believed",
            "the first 'not found' is believed",
            _not_found_believed,
            ("slow_server",),
            {"channel": "trade", "operation": "create", "delay_s": 3.0, "probability": 1.0, "count": 1},
            "fill",
            3.0,
        ),
        Mutant(
            "failed_is_flat",
            "a failed question about positions is read as flat",
            _failed_is_flat,
            ("http_error",),
            {"channel": "rest", "operation": "query", "code": 500, "booked": 0.0, "probability": 0.4},
            "fill",
            40.0,
        ),
        Mutant("no_reconcile", "nothing is read after a reconnect", _no_reconcile, ("reset", "half_open", "lose_private")),
        Mutant("sequence_restarts", "order ids begin anew after a crash", _sequence_restarts, ("kill",)),
        Mutant(
            "unknown_is_rejected",
            "an unknown outcome is taken for a refusal",
            _unknown_is_rejected,
            ("slow_server",),
            {"channel": "trade", "operation": "create", "delay_s": 3.0, "probability": 1.0, "count": 1},
            "fill",
            3.0,
        ),
        Mutant(
            "gates_ignored", "entries leave before the account is reconciled", _gates_ignored, ("reset", "refuse", "kill", "half_open", "http_error")
        ),
        Mutant("image_not_written", "orders are sent before they are noted", _image_not_written, ("kill",)),
        Mutant(
            "fill_after_cancel",
            "fills that are told after a cancel are dropped",
            _fill_after_cancel,
            ("reorder_private",),
            {"delay_s": 0.0, "jitter_s": 3.0},
            "order",
            30.0,
        ),
        Mutant("foreign_ignored", "positions of others are ignored", _foreign_ignored, ("manual_open",)),
        Mutant("kill_word_ignored", "the kill switch is not heeded", _kill_word_ignored, ("kill_word",)),
        Mutant("cancels_blocked", "the kill switch stops the cancels, too", _cancels_blocked, ("kill_word",), {}, "order", 60.0),
        Mutant("old_market_traded", "old market data is traded on", _old_market_traded, ("stall",), {"channel": "public"}, "fill", 9.0),
        Mutant("close_not_sent", "the order that closes is not sent", _close_not_sent, ("reset",)),
        Mutant("doubt_not_said", "an unknown outcome is no alarm", _doubt_not_said, ("maintenance",), {}, "order", 90.0),
        Mutant(
            "end_not_believed",
            "an order ended by the venue is believed to rest",
            _end_not_believed,
            ("delisted",),
            {"share": 1.0, "size": 0.0},
            "order",
            1.0,
        ),
        Mutant("loss_limit_ignored", "the loss of a day is not limited", _loss_limit_ignored, ("reset",), hours=3.0),
    )
}


def hunt(mutant: Mutant, *, seeds_max: int = 40, seconds_max: float = 120.0, all_faults: bool = False) -> tuple[Run | None, int]:
    """The first run that finds the bug, and how many runs it took; None: it was not found."""
    began = time.perf_counter()
    with mutant.plant():
        for n in range(seeds_max):
            found = run(scripts.draw(FIRST_SEED + n, HOURS) if all_faults else mutant.script(FIRST_SEED + n))
            if found.violation is not None and found.violation.law != "no exception":  # a bug that only trips over itself is not found
                return found, n + 1
            if time.perf_counter() - began > seconds_max:
                return None, n + 1
    return None, seeds_max


def judge(names: list[str], seconds: float) -> int:
    """Hunt all of them, or those named, and say what came of it. The number of those that got away."""
    away = 0
    for name in names or list(MUTANTS):
        mutant = MUTANTS[name]
        began = time.perf_counter()
        found, runs = hunt(mutant, seeds_max=1_000, seconds_max=seconds)
        verdict = f"found in {runs} runs ({found.violation})" if found is not None else f"NOT FOUND in {runs} runs"
        print(f"{name:<20} {mutant.what}: {verdict} {time.perf_counter() - began:.1f} s"[:300], flush=True)
        away += found is None
    print(f"{len(names or MUTANTS) - away} of {len(names or MUTANTS)} found", file=sys.stderr)
    return away
