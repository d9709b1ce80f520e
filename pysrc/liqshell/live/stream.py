"""One websocket of a venue's public feed: connect, subscribe, watch; again after every loss, with jitter, until the run ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import picows

from liqshell.clock import NS
from liqshell.live.spin import Spin
from liqshell.recording.frames import FrameTap
from liqshell.run.feed_listener import EventSink, FeedListener, WireClock
from liqshell.run.sink import ConnectionSink
from liqshell.run.venue_source import Source
from liqshell.venues.adapter import Connection, Subscription
from liqshell.venues.frames import Frame, FrameKind

ACK_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
RECONNECT_S = (0.2, 30.0)  # first and longest pause, with full jitter
PROTOCOL_PING_S = 15.0  # where the venue has no heartbeat of its own
LIFE_SHARE = (0.9, 0.05)  # of the age at which the venue closes a connection: leave before, not all at once
ASKED_MAX = 2  # times for a subscription that is not answered while others are
TURN_S = 0.05
DOUBTS = 2  # looks in a row at which others speak and it does not: after a pause of our own some sockets are read first
_log = logging.getLogger("liqshell.live")


class Tee(EventSink):
    """Sees the events of a connection's frames on their way into its sink: `see` is called with each frame's, an array that may be kept."""

    def __init__(self, sink: ConnectionSink, see: Callable[[np.ndarray], object]):
        self.sink, self._see = sink, see

    def on_events(self, events: np.ndarray, raw: bytes, ts_recv: int) -> None:
        self.rows(events)

    def rows(self, events: np.ndarray) -> None:
        """The same of frames that needed the general parser."""
        self._see(events)
        self.sink.rows(events)

    def down(self) -> None:
        """The connection is lost."""
        self.sink.down()

    @property
    def gap_ns(self) -> int:
        """Silence that is a gap, 0 = none is."""
        return self.sink.gap_ns

    @gap_ns.setter
    def gap_ns(self, value: int) -> None:
        self.sink.gap_ns = value


@dataclass(frozen=True)
class Surroundings:
    """The shared objects of all connections of a feed. stop: the run's end. stale_after_s: market time without a sign of life after which one is
    lost. changed(stream): called when it has come up; lost(stream, why, was_up): when it has gone down, or did not come up."""

    source: Source
    clock: WireClock
    speed: float
    tls: ssl.SSLContext | None
    stop: asyncio.Event
    spin: Spin | None
    stale_after_s: float
    changed: Callable[[Stream], None]
    lost: Callable[[Stream, str, bool], None]


class Stream:
    """connection: what to open and to ask for. tap: sees every data message, or None. sink: gets its events. up: everything asked for has been
    acknowledged, or refused for good (`refused`), and where something is sure to come, it has. ts_last: receipt of its last sign of life, ns: of its
    last events where they are sure to come, as a venue that has lost our subscriptions goes on answering pings; else of anything."""

    def __init__(self, feed: Surroundings, connection: Connection, tap: FrameTap | None, number: int, sink: ConnectionSink | Tee | None = None):
        self.name, self.number = connection.name, number
        self.up = False
        self.reconnects = self.gaps = self._frames = 0
        self.ts_last = 0
        self.refused: set[str] = set()
        self._feed, self._connection, self._tap, self._sink = feed, connection, tap, sink
        self._waiting: dict[str, Subscription] = {}  # acknowledgements that have not come
        self._asked: Counter[str] = Counter()  # how often for each
        self._to_send: list[Subscription] = []
        self._lost = asyncio.Event()
        self._why = ""
        self._listener: FeedListener | None = None
        self._others = self._seen = 0  # events of the general parser; all events when it was looked at last

    @property
    def frames(self) -> int:
        """Data messages so far, over all its connections."""
        return self._frames + (self._listener.frames if self._listener is not None else 0)

    def hang_up(self) -> None:
        """Look at the end of the run now."""
        self._lost.set()

    def renew(self, why: str) -> None:
        """Open the connection again, where there is one."""
        if self._listener is not None:
            self._why = why
            self._lost.set()

    async def run(self, wait_s: float = 0.0) -> None:
        """Until the end of the run. wait_s: before the first try."""
        feed, url = self._feed, self._connection.url
        await self._pause(wait_s)
        attempt = 0
        while not feed.stop.is_set():
            self._lost.clear()
            self._why = ""
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    transport, listener = await picows.ws_connect(
                        self._make_listener, url, enable_auto_pong=True, max_redirects=0, ssl_context=feed.tls if url.startswith("wss:") else None
                    )
                if not isinstance(listener, FeedListener):
                    raise ConnectionResetError("closed right after the handshake")  # picows has dropped the listener by then
                if feed.spin is not None:
                    feed.spin.watch(transport)
                    feed.spin.start()
                attempt = 0 if await self._stay(transport, listener) else attempt + 1
                reason = self._why or "the connection ended"
            except (OSError, picows.WSError, TimeoutError) as why:
                attempt += 1
                reason = f"{type(why).__name__}: {why}"
            self._down(reason)
            if feed.stop.is_set():
                return
            self.reconnects += 1
            pause = random.uniform(0.0, min(RECONNECT_S[1], RECONNECT_S[0] * 2 ** min(attempt, 10)))
            _log.warning("%s %s lost (%s), next try in %.2f s", feed.source.venue, self.name, reason, pause)
            await self._pause(max(pause, feed.source.adapter.limits.connect_interval_s))

    async def _pause(self, seconds: float) -> None:
        if seconds > 0.0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._feed.stop.wait(), seconds)

    def _make_listener(self) -> FeedListener:
        source = self._feed.source
        assert self._sink is not None
        return FeedListener(
            source.decoder.scan,
            self._sink,
            self._on_other,
            tap=self._tap,
            clock=self._feed.clock,
            on_control=self._on_control,
            on_disconnected=lambda transport: self._lost.set(),
        )

    async def _stay(self, transport: picows.WSTransport, listener: FeedListener) -> bool:
        """Subscribe and stay until the connection is lost, silent, old, or the run ends. True if it was good for anything."""
        feed, adapter, sink = self._feed, self._feed.source.adapter, self._feed.source.sink
        assert sink is not None
        self._listener = listener
        self._to_send = list(self._connection.subscriptions)
        self._waiting = {name: one for one in self._to_send for name in one.acks}
        self._asked = Counter(self._waiting.keys())
        stale_ns, mute_ns = self._patience()
        beat_s = max((adapter.ping.interval_s if adapter.ping else PROTOCOL_PING_S) / feed.speed, 0.25)
        life_s = adapter.limits.life_s * (LIFE_SHARE[0] + LIFE_SHARE[1] * (self.number % 2)) or float("inf")
        opened = pinged = asked = sent = time.monotonic()
        sent -= adapter.limits.send_interval_s
        self.ts_last = feed.clock.now_ns()
        self._others = self._seen = sequence = doubts = 0
        good = received = False
        while not feed.stop.is_set() and not self._lost.is_set():
            now = time.monotonic()
            while self._to_send and now - sent >= adapter.limits.send_interval_s:
                transport.send(picows.WSMsgType.TEXT, self._to_send.pop(0).frame)
                sent = asked = now
            received = self._look(listener) or received
            if not self.up and not self._waiting and not self._to_send:
                good, self.up = True, received or not self._sure
                if self.up:
                    if self._sink is not None and not self._sure:
                        self._sink.gap_ns = 0  # all that was sure has been refused: silence says nothing
                    feed.changed(self)
            elif self._waiting and not self._to_send and now - asked > ACK_TIMEOUT_S:
                asked = now
                if not self._ask_unanswered(received):
                    self._why = f"no answer to {', '.join(sorted(self._waiting))[:200]}"
                    break
            if now - pinged >= beat_s:
                sequence, pinged = sequence + 1, now
                self._ping(transport, sequence)
            if feed.clock.now_ns() - self.ts_last > stale_ns:
                self._why = f"silent for more than {stale_ns / NS:.1f} s of market time" + (", not even a pong" if not self._must_send else "")
                break
            doubts = doubts + 1 if self._must_send and sink.last_ts_recv - self.ts_last > mute_ns else 0
            if doubts >= DOUBTS:
                self._why = f"silent for more than {mute_ns / NS:.1f} s of market time while other connections send data"
                break
            if now - opened > life_s:
                self._why = "near its age limit, reopened"
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), TURN_S)
        if not self._why:
            self._look(listener)  # not after a silence: what came while we hang up would hide it
        if feed.spin is not None:
            feed.spin.forget(transport)
        transport.disconnect()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(transport.wait_disconnected(), 1.0)
        self._frames, self._listener = self._frames + listener.frames, None
        return good

    @property
    def _sure(self) -> bool:
        """Whether something that the venue has not refused is sure to come."""
        return not self.refused.issuperset(self._connection.sure)

    @property
    def _must_send(self) -> bool:
        """Whether only events are a sign of life: not while we are asking for them."""
        return not self._waiting and not self._to_send and self._sure

    def _patience(self) -> tuple[int, int]:
        """Market time without a sign of life after which it is lost; and without events that are sure, while other connections of the venue have
        some. At least a second of the wall each. A silence of the whole venue between the two is found by the sink when it ends: until then a lost
        connection looks like a stall, which delivers everything later."""
        feed = self._feed
        mute_ns = max(feed.source.gap_ns, int(feed.speed * NS))
        return max(int(max(feed.stale_after_s, feed.speed) * NS), mute_ns if self._connection.sure else 0), mute_ns

    def _look(self, listener: FeedListener) -> bool:
        """Note signs of life; True where events have come since the last look."""
        seen = listener.events + self._others
        new, self._seen = seen > self._seen, seen
        if new or not self._must_send:
            self.ts_last = max(self.ts_last, listener.ts_last)
        return new

    def _ping(self, transport: picows.WSTransport, sequence: int) -> None:
        ping = self._feed.source.adapter.ping
        if ping is None:
            transport.send_ping(b"%d" % sequence)
        else:
            transport.send(picows.WSMsgType.TEXT, ping.make(sequence))

    def _on_control(self, transport: picows.WSTransport, kind: picows.WSMsgType, payload: bytes) -> None:
        """A pong of the protocol is a sign of life where no event is sure; a close is answered."""
        if kind == picows.WSMsgType.PONG and not self._must_send:
            self.ts_last = self._feed.clock.now_ns()
        elif kind == picows.WSMsgType.CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1000
            self._why = f"closed by the venue ({code} {payload[2:80].decode(errors='replace')})".replace(" )", ")")
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def _on_other(self, raw: bytes, ts_recv: int) -> None:
        """Acknowledgements, pongs, and what the scanner does not know."""
        source = self._feed.source
        frame = source.other(raw, ts_recv, into=self._sink)
        self._others += len(frame.events)
        if frame.kind == FrameKind.ACK:
            for name in frame.acks:
                self._waiting.pop(name, None)
        elif frame.kind == FrameKind.ACK_FAILED:
            _log.error("%s: subscription refused: %s", source.venue, frame.detail or frame.reason)
            self._ask_again(frame)
        elif frame.kind == FrameKind.RECONNECT:
            self._why = frame.reason or "the venue asks to reconnect"
            self._lost.set()
        elif frame.kind == FrameKind.MALFORMED and source.counters["malformed"] <= 10:
            _log.warning("%s: malformed frame: %s: %s", source.venue, frame.reason, frame.detail)

    def _ask_again(self, refused: Frame) -> None:
        """What a refusal leaves: the venue may refuse a whole request for one unknown name in it."""
        named = [name for name in refused.acks if name in self._waiting]  # the venue may spell what it refuses in a way of its own
        hit = {id(one): one for name, one in self._waiting.items() if (name in named if named else one.id and one.id == refused.req_id)}
        for name in named or [name for one in hit.values() for name in one.acks]:
            self._waiting.pop(name, None)
        for one in hit.values():
            rest = self._feed.source.adapter.retry(one, refused)
            left = {arg for again in rest for arg in again.args}
            self.refused.update(set(one.args).intersection(named) or set(one.args) - left)
            for again in rest:
                self._to_send.append(again)
                self._waiting |= dict.fromkeys(again.acks, again)

    def _ask_unanswered(self, received: bool) -> bool:
        """Ask once more for what the venue has not answered, then do without it: the connection carries others' data. False if it has sent nothing:
        then the connection is dead."""
        if not received and len(self._waiting) == len(self._asked):
            return False
        for one in {id(one): one for one in self._waiting.values()}.values():
            names = [name for name in one.acks if name in self._waiting]
            self._asked.update(names)
            if self._asked[names[0]] <= ASKED_MAX:
                self._to_send.append(one)
                continue
            for name in names:
                del self._waiting[name]
            left_out = set(names) & set(one.args) or set(one.args)
            self.refused |= left_out
            _log.error("%s: no answer to %s, which is left out", self._feed.source.venue, ", ".join(sorted(left_out))[:200])
        return True

    def _down(self, why: str) -> None:
        was, self.up = self.up, False
        if self._sink is not None:
            self._sink.down()
        self._feed.lost(self, why, was)
