"""What the program owes in time: that nothing is kept for ever, that doubt is said, that a kill cancels, that old market data enters nothing.

Each is judged from the moment at which it could be done: nothing disturbed, wires up, nobody called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liqshell.venues.bybit_orders import parse_order_link_id

from liqcore.event import Role

from .clock import NS

if TYPE_CHECKING:
    from .process import Process
    from .world import World

HELD_MAX_NS = (60 + 60) * NS            # the bot's longest max_hold_s, and what closing it may take
RESTS_MAX_NS = (20 + 60) * NS           # its longest entry_ttl_s
UNKNOWN_MAX_NS = 40 * NS                # the alarm comes after thirty seconds
# Of the newest row at an entry, by the venue's clock. A silence of up to five seconds is no gap, and what then comes in a burst counts as new (age is
# counted from receipt: docs/uncertainty.md); one second more is allowed, and two on the way to the wire.
MARKET_AGE_NS = 8 * NS
CANCELS_NS = 1 * NS                     # after the word has been heard
LOSS_SLACK_USD = 20.0                   # what may be lost between a fill and its report


class Duties:
    """Of one world."""

    def __init__(self, world: World):
        self.world = world
        self.unknown: dict[tuple[int, int], int] = {}       # (life, order) -> since when it is seen to be of unknown outcome
        self.day = -1
        self.day_equity = 0.0

    def look(self) -> None:
        """Now and then."""
        self._nothing_for_ever()
        self._doubt_is_said()
        self._new_day()

    def _nothing_for_ever(self) -> None:
        """A position is closed by its time limit, an unfilled entry withdrawn by its own, whatever was missed meanwhile."""
        world, truth = self.world, self.world.truth
        able_since = world.able_since()
        if able_since is None or world.troubled or world.image_lost or world.person.busy or world.process is None or world.process.refused:
            return
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
        for (_, order), since in self.unknown.items():
            if now - since > UNKNOWN_MAX_NS and order not in process.unresolved:
                self.world.truth.fail("alarmed", f"order {order:#x} is of unknown outcome for {(now - since) / NS:.1f} s, and nobody was told")

    # ---- the loss of a day ----

    def _new_day(self) -> None:
        day = self.world.clock.now // (86_400 * NS)
        if day != self.day:
            self.day = day
            self.count_from_here()

    def count_from_here(self) -> None:
        """A day begins, or a person has lifted a loss limit."""
        self.day_equity = self.world.venue.books()["equity"]

    # ---- at an entry ----

    def entry_leaves(self, process: Process, instrument: int) -> str:
        """Why it must not; "" = it may."""
        world = self.world
        now = world.clock.now
        if process.feed is None:
            return "market data is known to be down"
        age = now - process.told_ns.get(instrument, 0)
        if age > MARKET_AGE_NS and not world.offset_ns and now > world.clock_right_ns:
            return f"the newest market data is {age / NS:.3f} s old"
        limit = world.bot.daily_loss
        lost = self.day_equity - world.venue.books()["equity"]
        if limit < 1.0 and lost > limit * self.day_equity + LOSS_SLACK_USD:
            return f"{lost:.2f} have been lost today, {limit * self.day_equity:.2f} are allowed"
        return ""

    # ---- the kill switch ----

    def killed(self, process: Process) -> None:
        """It has heard the word: a second later every entry that rests has been asked back."""
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
