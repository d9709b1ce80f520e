"""What the program owes in time: that nothing is kept for ever, that doubt is said, that a kill cancels, that old market data enters nothing.

Each is judged from the moment at which it could be done: nothing disturbed, wires up, nobody called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liqcore.event import Role
from liqshell.venues.bybit.orders import parse_order_link_id

from .account_acts import close_foreign
from .clock import NS
from .end import believed

if TYPE_CHECKING:
    from .process import Process
    from .world import World

HELD_MAX_NS = (60 + 60) * NS  # the bot's longest max_hold_s, and what closing it may take
RESTS_MAX_NS = (20 + 60) * NS  # its longest entry_ttl_s
UNKNOWN_MAX_NS = 40 * NS  # the alarm comes after thirty seconds
# Of the newest row at an entry, by the venue's clock: received within a second, as late as a second above the usual way, which counts as a second at
# most (docs/uncertainty.md), and two seconds between the decision and the wire.
MARKET_AGE_NS = 5 * NS
CANCELS_NS = 1 * NS  # after the word has been heard
LOSS_SLACK_USD = 20.0  # what may be lost between a fill and its report
DISK_KNOWN_NS = NS  # it is looked at five times a second
FOREIGN_SHUT_NS = 60 * NS
LEFT_OVER_NS = 60 * NS  # after which somebody has looked
FOREIGN_KNOWN_NS = 40 * NS  # a period of reconciliation and its second look


class Duties:
    """Of one world."""

    def __init__(self, world: World):
        self.world = world
        self.unknown: dict[tuple[int, int], int] = {}  # (life, order) -> since when it is seen to be of unknown outcome
        self.day = self.week = -1
        self.day_equity = self.week_equity = 0.0

    def look(self) -> None:
        """Now and then."""
        truth, process = self.world.truth, self.world.process
        truth.ask("latched", "bounded")
        if process is not None and process.guard.latched:
            self.world.seen("guard latched")
            truth.fail("latched", f"the last hop has latched: {process.guard.breach}")
        self._left_over()
        self._nothing_for_ever()
        self._doubt_is_said()
        self._foreign_is_no_end()
        self._new_day()

    def _left_over(self) -> None:
        """What a split has left when ours was closed is nobody's order. Once the program has said that it is there, a person closes it."""
        world, truth, process = self.world, self.world.truth, self.world.process
        if process is None or not process.alive:
            return
        for symbol in sorted(truth.resized - truth.foreign):
            if process.says_foreign(symbol) and not believed(process)[symbol]:
                truth.foreign.add(symbol)
                world.opened_ns[symbol] = world.clock.now
                world.clock.after(LEFT_OVER_NS, close_foreign, world, symbol, world.clock.now)

    def _nothing_for_ever(self) -> None:
        """A position is closed by its time limit, an unfilled entry withdrawn by its own, whatever was missed meanwhile."""
        world, truth = self.world, self.world.truth
        able_since = world.able_since()
        if able_since is None or world.troubled or world.image_lost or world.person.busy or world.process is None or world.process.refused:
            return
        truth.ask("forgotten")
        for (symbol, what), since in truth.since.items():
            limit = HELD_MAX_NS if what in ("long", "short") else RESTS_MAX_NS
            if symbol not in truth.foreign and world.clock.now - max(since, able_since, world.trouble_ended_ns) > limit:
                truth.fail("forgotten", f"{symbol}: {what} for {(world.clock.now - since) / NS:.1f} s")

    def _doubt_is_said(self) -> None:
        """An outcome that stays unknown is an alarm."""
        process = self.world.process
        if process is None or not process.alive or process.frozen_until > self.world.clock.now:
            return
        now = self.world.clock.now
        unknown = {(process.number, order["id"]) for order in process.engine.orders() if order["unknown"] and order["role"] != Role.ROLE_STOP}
        self.unknown = {key: self.unknown.get(key, now) for key in sorted(unknown)}
        truth = self.world.truth
        for (_, order), since in self.unknown.items():
            truth.ask("alarmed")
            if now - since > UNKNOWN_MAX_NS and order not in process.unresolved:
                self.world.truth.fail("alarmed", f"order {order:#x} is of unknown outcome for {(now - since) / NS:.1f} s, and nobody was told")

    def _foreign_is_no_end(self) -> None:
        """A position of somebody else's ends no start, and keeps nothing shut but its own contract."""
        world, truth, process = self.world, self.world.truth, self.world.process
        since = world.able_since()
        if not truth.foreign or since is None or world.troubled or world.image_lost or world.person.busy or process is None or process.stopping:
            return
        opened = max(world.opened_ns.get(symbol, world.clock.now) for symbol in truth.foreign)
        if process.engine.risk.halted or world.killed_word or world.venue.hedged or process.disk_closed or world.offset_ns:
            return
        truth.ask("foreign start")
        if world.clock.now - max(since, opened, world.trouble_ended_ns, world.clock_right_ns) > FOREIGN_SHUT_NS and not process.gateway.ready:
            truth.fail(
                "foreign start", f"{', '.join(sorted(truth.foreign))} is somebody else's, and nothing can be entered: {process.gateway.status()}"
            )

    # ---- the loss of a day ----

    def _new_day(self) -> None:
        day = self.world.clock.now // (86_400 * NS)
        if day != self.day:
            self.day, self.day_equity = day, self._equity()
        week = (day + 3) // 7  # 1970-01-01 was a Thursday, a week begins on Monday
        if week != self.week:
            self.week, self.week_equity = week, self.day_equity

    def _equity(self) -> float:
        return float(self.world.venue.books()["equity"])

    def count_from_here(self) -> None:
        """A person has lifted a loss limit, or what was known of the losses is lost."""
        self.day_equity = self.week_equity = self._equity()

    # ---- at an entry ----

    def entry_leaves(self, process: Process, instrument: int) -> tuple[str, str]:
        """(law, why it must not); ("", "") = it may."""
        world, truth = self.world, self.world.truth
        now = world.clock.now
        symbol = world.venue.contracts[instrument].symbol
        truth.ask("burst", "disk", "stopping")
        if process.feed is None:
            return "certain", "market data is known to be down"
        age = now - process.told_ns.get(instrument, 0)
        if age > MARKET_AGE_NS and not world.offset_ns and now > world.clock_right_ns:
            return "burst", f"the newest market data is {age / NS:.3f} s old"
        if process.stopping:
            return "stopping", "the process has been asked to stop"
        if world.disk_is_full() and now - max(world.disk_full_ns, process.begun_ns) > DISK_KNOWN_NS:
            return "disk", "the disk is full"
        since = world.able_since()
        theirs = symbol in truth.foreign and any(p["qty"] for (name, _), p in world.venue.books()["positions"].items() if name == symbol)
        if truth.foreign:
            truth.ask("foreign contract")
        if theirs and since is not None and now - max(since, world.opened_ns.get(symbol, now)) > FOREIGN_KNOWN_NS:
            return "foreign contract", f"somebody else holds {symbol}"
        return self._losses()

    def _losses(self) -> tuple[str, str]:
        if self.world.truth.split:  # what was added earns and loses for nobody's account: the program's losses are not the venue's
            return "", ""
        bot, equity = self.world.bot, self._equity()
        for word, limit, before in (("day", bot.daily_loss, self.day_equity), ("week", bot.weekly_loss, self.week_equity)):
            if limit < 1.0:
                self.world.truth.ask(f"{word} loss")
                if before - equity > limit * before + LOSS_SLACK_USD:
                    return f"{word} loss", f"{before - equity:.2f} have been lost in this {word}, {limit * before:.2f} are allowed"
        return "", ""

    # ---- the kill switch ----

    def killed(self, process: Process) -> None:
        """It has heard the word: a second later every entry that rests has been asked back."""
        self.world.truth.ask("killed")
        self.world.clock.after(CANCELS_NS, self._asked_back, process, self.world.clock.now)

    def _asked_back(self, process: Process, heard_ns: int) -> None:
        world = self.world
        able_since = world.able_since()
        if world.process is not process or not process.alive or able_since is None or able_since > heard_ns:
            return
        known: dict[int, Any] = {order["id"]: order for order in process.engine.orders() if order["role"] == Role.ROLE_ENTRY}
        for order in world.venue.books()["orders"]:
            found = parse_order_link_id(order["link_id"])
            belief = known.get(found[1]) if found is not None else None
            if found is not None and belief is not None and belief["status"] == "live" and found[1] not in process.asked_back:
                world.truth.fail("killed", f"{order['symbol']}: an entry rests a second after the kill, and no cancel has left: {order['link_id']}")
        world.counts["kills heeded"] += 1
