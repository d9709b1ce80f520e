"""The compiled feed listener against a picows server on loopback: what reaches the sink, what reaches Python, and what the tap has seen."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import numpy as np
import picows
import pytest
from picows import WSCloseCode, WSMsgType

from liqcore.codec.decode import Decoder
from liqcore.codec.shape import Shape, decimal, integer, literal, millis, rows, side, symbol, topic
from liqcore.event import EVENT_DTYPE, Kind, Side
from liqshell.recording.frames import FrameBuffer, FrameTap
from liqshell.run.feed_listener import EventSink, FeedListener, WireClock

TIMEOUT_S = 10


def frame(*liquidations, ts=1739502303204):
    data = ",".join(f'{{"T":{t},"s":"ROSEUSDT","S":"{s}","v":"{v}","p":"{p}"}}' for t, s, v, p in liquidations)
    return f'{{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":{ts},"data":[{data}]}}'.encode()


GOLDEN = frame((1739502302929, "Sell", "20000", "0.04499"))  # the sample of Bybit's documentation
BATCH = frame((1739502302929, "Buy", "1.5", "0.045"), (1739502303000, "Sell", "2", "0.046"))
ACK = b'{"success":true,"ret_msg":"","conn_id":"1","req_id":"","op":"subscribe"}'


def decoder():
    return Decoder(
        [
            Shape(
                Kind.LIQUIDATION,
                {
                    "topic": topic("allLiquidation."),
                    "type": literal("snapshot"),
                    "ts": integer(),
                    "data": rows(
                        {
                            "T": millis("ts_event"),
                            "s": symbol(),
                            "S": side({"Buy": Side.LONG, "Sell": Side.SHORT}),
                            "v": decimal("qty"),
                            "p": decimal("price"),
                        }
                    ),
                },
            )
        ],
        ["BTCUSDT", "ROSEUSDT"],
    )


class Sink(EventSink):
    """Keeps everything; raises at a marked price."""

    def __init__(self, log, raise_at=None):
        self.log, self.raise_at = log, raise_at

    def on_events(self, events, raw, ts_recv):
        self.log.append(("events", events, raw, ts_recv))
        if self.raise_at in events["price"]:
            raise RuntimeError("sink said no")


class Tap(FrameTap):
    def __init__(self, log):
        self.log = log

    def on_frame(self, raw, ts_recv):
        self.log.append(("tap", raw, ts_recv))


def conversation(sends, *, raise_at=None, finish=True, **options):
    """Let a loopback server do `sends(transport)` when the client has connected; returns the log of what the listener passed on, and the
    listener.

    The server then closes, unless `finish` is False because the client is expected to hang up by itself."""
    log = []
    held = SimpleNamespace(listener=None, error=None)

    class Server(picows.WSListener):
        def on_ws_frame(self, transport, frame):
            if frame.msg_type == WSMsgType.CLOSE:
                log.append(("client close", int(frame.get_close_code())))
                transport.disconnect()
            else:
                sends(transport)
                if finish:
                    transport.send_close(WSCloseCode.OK)

    async def main():
        server = await picows.ws_create_server(lambda request: Server(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        held.listener = FeedListener(
            decoder(),
            Sink(log, raise_at),
            lambda raw, ts: log.append(("other", raw, ts)),
            tap=Tap(log),
            on_connected=lambda transport: log.append(("connected",)),
            on_disconnected=lambda transport: log.append(("disconnected",)),
            **options,
        )
        transport, _ = await picows.ws_connect(lambda: held.listener, f"ws://127.0.0.1:{port}/", enable_auto_pong=False)
        assert held.listener.transport is transport
        transport.send(WSMsgType.TEXT, b"go")
        with contextlib.suppress(picows.WSError, RuntimeError):
            await asyncio.wait_for(transport.wait_disconnected(), TIMEOUT_S)
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))
    assert held.listener.transport is None
    return log, held.listener


def kinds(log):
    """What the listener did, in order; what the server saw of the end comes before or after "disconnected" as the loop has it."""
    return [entry[0] for entry in log if entry[0] != "client close"]


def test_frames_reach_the_sink_as_the_decoder_reads_them():
    def sends(transport):
        for raw in (GOLDEN, ACK, BATCH, b"", b"{"):
            transport.send(WSMsgType.TEXT, raw)

    before = time.time_ns()
    log, listener = conversation(sends)
    after = time.time_ns()
    assert kinds(log) == ["connected", "events", "tap", "other", "tap", "events", "tap", "other", "tap", "other", "tap", "disconnected"]
    assert [e[1] for e in log if e[0] == "tap"] == [GOLDEN, ACK, BATCH, b"", b"{"]
    assert [e[1] for e in log if e[0] == "other"] == [ACK, b"", b"{"]
    assert (listener.frames, listener.events, listener.others) == (5, 3, 3)
    first, second = [e for e in log if e[0] == "events"]
    event = first[1][0]
    assert first[1].dtype == EVENT_DTYPE
    assert (event["ts_event"], event["price"], event["qty"], event["side"], event["kind"]) == (
        1739502302929 * 10**6,
        0.04499,
        20000.0,
        Side.SHORT,
        Kind.LIQUIDATION,
    )
    assert event["instrument"] == 1
    assert second[1]["side"].tolist() == [Side.LONG, Side.SHORT]
    for _, events, raw, ts_recv in (first, second):
        out = np.zeros(16, EVENT_DTYPE)
        n = decoder().decode(raw, ts_recv, out)
        np.testing.assert_array_equal(out[:n], events)
    times = [e[-1] for e in log if e[0] == "tap"]
    assert times == sorted(times) and before <= times[0] and times[-1] <= after


def test_messages_in_fragments_and_binary():
    def sends(transport):
        transport.send(WSMsgType.TEXT, GOLDEN[:40], fin=False)
        transport.send_ping(b"between")  # control frames may come between fragments
        transport.send(WSMsgType.CONTINUATION, GOLDEN[40:90], fin=False)
        transport.send(WSMsgType.CONTINUATION, GOLDEN[90:])
        transport.send(WSMsgType.BINARY, BATCH)
        transport.send(WSMsgType.TEXT, BATCH)

    control = []
    log, listener = conversation(
        sends,
        on_control=lambda transport, kind, payload: (control.append((kind, payload)), transport.disconnect() if kind == WSMsgType.CLOSE else None),
    )
    assert [e[2] for e in log if e[0] == "events"] == [GOLDEN, BATCH, BATCH]
    assert control[0] == (WSMsgType.PING, b"between")
    assert control[1][0] == WSMsgType.CLOSE
    assert listener.frames == 3


@pytest.mark.parametrize("first", [WSMsgType.CONTINUATION, WSMsgType.TEXT])
def test_fragments_out_of_place_end_the_connection(first):
    def sends(transport):
        transport.send(first, GOLDEN[:40], fin=False)
        transport.send(WSMsgType.TEXT, GOLDEN)  # a new message inside an unfinished one

    log, listener = conversation(sends, finish=False)
    assert listener.broken and "events" not in kinds(log)
    assert ("client close", int(WSCloseCode.PROTOCOL_ERROR)) in log


def test_close_is_answered_without_a_control_hook():
    log, _ = conversation(lambda transport: transport.send(WSMsgType.TEXT, GOLDEN))
    assert kinds(log) == ["connected", "events", "tap", "disconnected"]
    assert ("client close", int(WSCloseCode.OK)) in log


def test_a_sink_that_raises_ends_the_connection_after_the_tap_has_the_frame():
    def sends(transport):
        transport.send(WSMsgType.TEXT, GOLDEN)

    log, _ = conversation(sends, raise_at=0.04499, finish=False)
    assert kinds(log)[:3] == ["connected", "events", "tap"]
    assert ("client close", int(WSCloseCode.INTERNAL_ERROR)) in log


def test_replaying_by_feed_equals_the_wire():
    def sends(transport):
        for raw in (GOLDEN, ACK, BATCH):
            transport.send(WSMsgType.TEXT, raw)

    log, _ = conversation(sends)
    again = []
    listener = FeedListener(decoder(), Sink(again), lambda raw, ts: again.append(("other", raw, ts)), tap=Tap(again))
    counts = [listener.feed(bytearray(e[1]), e[2]) for e in log if e[0] == "tap"]
    assert counts == [1, -1, 2]
    live = [e for e in log if e[0] in ("events", "other", "tap")]
    assert kinds(live) == kinds(again)
    for a, b in zip(live, again, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_wire_clock_equals_the_formula_of_the_shared_clock():
    anchor = time.monotonic_ns()
    for speed in (1.0, 0.25, 60.0, 777.7):
        clock = WireClock(speed=speed, market_ns=10**18, wall_ns=anchor)
        low = 10**18 + int((time.monotonic_ns() - anchor) * speed)
        now = clock.now_ns()
        high = 10**18 + int((time.monotonic_ns() - anchor) * speed)
        assert low <= now <= high
    real = WireClock()
    low = time.time_ns()
    assert low <= real.now_ns() <= time.time_ns()
    assert real.backsteps == 0


def test_wire_clock_after_a_backward_step_neither_goes_back_nor_stands_still():
    """15 s back: deadlines go on at nine tenths of the pace, until the system clock has caught up; then it is the system clock again."""
    clock, s = WireClock(), 10**9
    assert clock.read(100 * s, 7 * s) == 100 * s and clock.monotonic_at(101 * s) is None
    assert clock.read(85 * s, 7 * s) == 100 * s and clock.backsteps == 1
    assert clock.read(95 * s, 17 * s) == 109 * s  # ten seconds later
    due = clock.monotonic_at(118 * s)
    assert 118 * s <= clock.read(due - 7 * s + 85 * s, due) <= 118 * s + 2
    assert clock.read(235 * s, 157 * s) == 235 * s and clock.backsteps == 1  # after 150 s both say the same: 85 + 150, 100 + 135
    assert clock.read(236 * s, 158 * s) == 236 * s and clock.monotonic_at(237 * s) is None
    said = [clock.read(236 * s + n - 10**6 * (n > 500), 158 * s + n) for n in range(0, 20_000_000, 1000)]
    assert said == sorted(said) and clock.backsteps == 2


@pytest.mark.parametrize("bad", [{"speed": -1.0}, {"speed": float("nan")}, {"speed": 1e7}, {"market_ns": 5}])
def test_wire_clock_refuses_nonsense(bad):
    with pytest.raises(ValueError, match="WireClock"):
        WireClock(**bad)


def test_frame_buffer_counts_what_it_must_drop():
    small = FrameBuffer(4096)
    listener = FeedListener(decoder(), Sink([]), lambda raw, ts: None, tap=small)
    for _ in range(10):
        listener.feed(b"z" * 1000)
    assert (small.frames, small.dropped) == (4, 6)


def test_default_sink_and_tap_say_what_to_override():
    with pytest.raises(NotImplementedError, match="on_events"):
        FeedListener(decoder(), EventSink(), lambda raw, ts: None).feed(GOLDEN)
    with pytest.raises(NotImplementedError, match="on_frame"):
        FeedListener(decoder(), Sink([]), lambda raw, ts: None, tap=FrameTap()).feed(GOLDEN)
