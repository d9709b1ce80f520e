"""The two websockets of the account, from connected to ready and back: authentication, subscription, liveness. The driver owns the sockets."""

from __future__ import annotations

import random
from enum import IntEnum

from liqcore.event import Gate
from liqshell.gateway.context import Context
from liqshell.venues.effects import Channel, Level
from liqshell.venues.order_port import ChannelNotice, NoticeKind

PINGS_MISSED_MAX = 2
REPEAT_S = 2.0  # an unanswered ping is repeated after
PAUSE_S = (0.2, 30.0)  # before a reconnect that we ask for: first and longest, with jitter


class Stage(IntEnum):
    DOWN = 0
    AUTHENTICATING = 1
    SUBSCRIBING = 2
    READY = 3


class Link:
    """One channel. Liveness is by ping and pong, never by data: a quiet account is not a fault."""

    def __init__(self, context: Context, channel: Channel, jitter: random.Random) -> None:
        self.c = context
        self.channel = channel
        self.stage = Stage.DOWN
        self.gate = Gate.GATE_PRIVATE if channel == Channel.PRIVATE else Gate.GATE_ORDERS
        self.reconnects = 0
        self.failures = 0  # in a row
        self.fatal = ""  # why trying again does not help
        self._jitter = jitter
        self._deadline: int | None = None  # of the handshake
        self._ping_due: int | None = None
        self._missed = 0
        self._connect_due: int | None = None

    @property
    def ready(self) -> bool:
        return self.stage == Stage.READY

    def wanted(self) -> None:
        """Connect, for the first time."""
        if self.stage == Stage.DOWN:
            self._connect_due = self.c.now

    def on_channel(self, up: bool) -> bool:
        """Connected or lost. True where it was ready before."""
        c = self.c
        was = self.ready
        self._ping_due = self._deadline = None
        if not up:
            self.stage = Stage.DOWN
            c.gates.close(self.gate, "the connection is down", c.now)
            c.counters[f"{self.channel.name.lower()} lost"] += 1
            return was
        self._connect_due = None
        self.reconnects += 1
        self.stage = Stage.AUTHENTICATING
        self._missed = 0
        self._deadline = c.now + c.settings.ns(c.settings.handshake_s)
        c.gates.close(self.gate, "not authenticated", c.now)
        self._send(c.port.auth(self.channel, (c.venue_ns()) // 1_000_000))
        return was

    def on_notice(self, notice: ChannelNotice) -> bool:
        """A control message. True where the channel has just become ready."""
        c = self.c
        if notice.kind == NoticeKind.PONG:
            self._missed = 0  # only this shows that the venue receives our requests
            if self.ready:
                self._ping_due = c.now + c.settings.ns(c.settings.ping_s)
        if notice.kind == NoticeKind.AUTHENTICATED and self.stage == Stage.AUTHENTICATING:
            if self.channel == Channel.PRIVATE:
                self.stage = Stage.SUBSCRIBING
                self._send(c.port.subscribe())
                return False
            return self._become_ready()
        if notice.kind == NoticeKind.SUBSCRIBED and self.stage == Stage.SUBSCRIBING:
            return self._become_ready()
        if notice.kind == NoticeKind.REFUSED:
            c.notice(Level.ALARM, "refused", f"{self.channel.name.lower()} channel: {notice.text}")
            if notice.fatal:
                self.fatal = notice.text
                c.halt("rights", f"the venue rejects our key permanently: {notice.text}. Entries are halted")
            self._again()
        return False

    def renew(self) -> None:
        """The venue is about to close this connection."""
        if self.ready:
            self.c.counters[f"{self.channel.name.lower()} renewed"] += 1
            self._again()

    def _become_ready(self) -> bool:
        c = self.c
        self.stage = Stage.READY
        self.failures = 0
        self.fatal = ""  # it did help: the key was put right, or the other sessions are gone
        self._deadline = None
        self._ping_due = c.now + c.settings.ns(c.settings.ping_s)
        c.gates.open(self.gate)
        return True

    def _send(self, frame: bytes) -> None:
        if not self.c.effects.send(self.channel, frame):
            self._again()

    def _again(self) -> None:
        """Ask for a new connection, after a pause that grows with every failure."""
        c = self.c
        self.stage = Stage.DOWN
        self._deadline = self._ping_due = None
        c.gates.close(self.gate, "reconnecting", c.now)
        self.failures += 1
        longest = min(PAUSE_S[1] * (10.0 if self.fatal else 1.0), PAUSE_S[0] * 2.0 ** min(self.failures, 12))
        self._connect_due = c.now + c.settings.ns(longest * (0.5 + 0.5 * self._jitter.random()))

    def sweep(self) -> bool:
        """Serve what is due. True where the channel was given up as dead."""
        c = self.c
        if self._connect_due is not None and c.now >= self._connect_due:
            # if the driver never reports back, ask again
            self._connect_due = c.now + c.settings.ns(c.settings.handshake_s * 6)
            c.effects.connect(self.channel)
            return False
        if self._deadline is not None and c.now >= self._deadline:
            c.notice(Level.WARNING, "handshake", f"{self.channel.name.lower()} channel: no answer to authentication or subscription")
            self._again()
            return True
        if self._ping_due is not None and c.now >= self._ping_due:
            if self._missed >= PINGS_MISSED_MAX:
                c.notice(Level.WARNING, "dead channel", f"{self.channel.name.lower()} channel: {self._missed} pings without an answer")
                self._again()
                return True
            # one that was not answered is repeated soon: two misses must not take longer than 25 s
            self._missed += 1
            self._ping_due = c.now + c.settings.ns(REPEAT_S)
            if not c.effects.send(self.channel, c.port.ping(self.channel)):
                self._again()
                return True
        return False

    def due(self) -> int | None:
        return min((t for t in (self._connect_due, self._deadline, self._ping_due) if t is not None), default=None)


def make_links(context: Context) -> dict[Channel, Link]:
    """Both channels; the jitter of each from the seed of the settings."""
    return {channel: Link(context, channel, random.Random(context.settings.seed * 2 + int(channel))) for channel in Channel}
