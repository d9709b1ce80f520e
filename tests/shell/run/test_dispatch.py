"""The last hop: what the engine asks for reaches the wire as it was decided, and what became of it is said once, in order."""

import asyncio
import json

import picows
import pytest

from liqcore import LONG, Control, FeedState, FillReason, Guard, OrderStatus, Reason
from liqcore.event import Action, Role, Stream
from liqshell.run.dispatch import Dispatch, Fate, PicowsWire, Why, Wire
from liqshell.venues.bybit.orders import order_encoder, parse_order_link_id, parse_request_id
from markets import Fade
from scene import PRICE, SIDES, Scene

TIMEOUT_S = 10
WALL_MS = 1_772_452_800_123


class Line(Wire):
    """Keeps what it is given; may be down, or break while sending."""

    def __init__(self):
        self.frames, self.up, self.breaks = [], True, False

    def send(self, frame):
        if self.breaks:
            raise OSError("the socket broke")
        if self.up:
            self.frames.append(json.loads(bytes(frame)))
        return self.up


class Hop:
    """A scene whose requests go through the last hop."""

    def __init__(self, **options):
        self.scene = Scene(**options)
        self.wire = Line()
        self.told = 0
        self.dispatch = Dispatch(self.scene.engine, None, order_encoder("run1", self.scene.engine.instruments), None, self.wire, lambda: WALL_MS)
        self.dispatch.on_waiting = self.tell

    def tell(self):
        self.told += 1

    def pump(self):
        return self.dispatch.pump(self.scene.now)


@SIDES
def test_an_entry_reaches_the_wire_as_it_was_decided(side):
    hop = Hop()
    hop.scene.cascade(side)
    assert hop.pump() == 1 and hop.told == 1 and hop.pump() == 0 and hop.told == 1
    (frame,) = hop.wire.frames
    (sent,) = hop.dispatch.take()
    assert (sent.fate, sent.why, sent.action, sent.side, sent.ts) == (Fate.SENT, Why.NOTHING, Action.ACTION_CREATE, side, hop.scene.now)
    order = frame["args"][0]
    instrument = hop.scene.engine.instruments[0]
    assert parse_order_link_id(order["orderLinkId"]) == ("run1", sent.id) and sent.id & 15 == Role.ROLE_ENTRY
    assert parse_request_id(frame["reqId"]) == (Action.ACTION_CREATE, sent.cause, sent.id)
    assert frame["header"]["X-BAPI-TIMESTAMP"] == str(WALL_MS)
    assert order["side"] == ("Buy" if side == LONG else "Sell") and order["timeInForce"] == "PostOnly"
    assert (order["price"], order["qty"], order["stopLoss"]) == (
        instrument.price_text(sent.price),
        instrument.qty_text(sent.qty),
        instrument.price_text(sent.stop),
    )
    assert hop.dispatch.take() == [] and hop.dispatch.waiting == 0


@SIDES
@pytest.mark.parametrize(("mark", "reason"), [(PRICE, Reason.OK), (PRICE * 1.05, Reason.RISK_COLLAR), (0.0, Reason.NO_PRICE)])
def test_the_guard_measures_by_a_price_that_holds(side, mark, reason):
    """Trades were lost between the decision and the last hop: what holds then is the mark, and without one nothing is entered."""
    hop = Hop(mark=False)
    engine, now = hop.scene.engine, hop.scene.now
    dispatch = Dispatch(
        engine, Guard(engine.instruments, order_notional_max=1e9, total_notional_max=1e9), hop.dispatch.encoder, None, hop.wire, lambda: WALL_MS
    )
    hop.scene.cascade(side)
    now = hop.scene.now
    engine.on_feed(now, now, FeedState.FEED_DOWN, 0, Stream.STREAM_TRADE)
    if mark:
        engine.on_ticker(now, now, 0, mark)
    assert dispatch.pump(now) == 1
    (sent,) = dispatch.take()
    assert (sent.fate, sent.reason) == (Fate.SENT if reason == Reason.OK else Fate.REFUSED, reason)


def test_the_offset_of_the_venues_clock_is_in_every_time_stamp():
    hop = Hop()
    hop.dispatch.offset_ms = -75
    hop.scene.cascade(LONG)
    hop.pump()
    assert hop.wire.frames[0]["header"]["X-BAPI-TIMESTAMP"] == str(WALL_MS - 75)


def test_while_the_wire_is_down_nothing_is_said_to_be_sent_and_it_can_be_tried_again():
    hop = Hop()
    hop.wire.up = False
    hop.scene.cascade(LONG)
    hop.pump()
    (sent,) = hop.dispatch.take()
    assert (sent.fate, sent.why) == (Fate.LATER, Why.DOWN) and hop.wire.frames == []
    assert hop.dispatch.again(sent, hop.scene.now + 5).why == Why.DOWN
    hop.wire.up = True
    again = hop.dispatch.again(sent, hop.scene.now + 7)
    assert again == sent._replace(ts=hop.scene.now + 7, fate=Fate.SENT, why=Why.NOTHING)
    assert len(hop.wire.frames) == 1 and hop.dispatch.take() == [] and hop.dispatch.sent == 1 and hop.dispatch.later == 2


def test_a_socket_that_breaks_while_sending_leaves_a_doubt_and_does_not_stop_the_requests_behind_it():
    hop = Hop()
    hop.wire.breaks = True
    hop.scene.cascade(LONG)
    hop.scene.cascade(LONG, index=1)
    assert hop.pump() == 2
    assert [(s.fate, s.why, s.instrument) for s in hop.dispatch.take()] == [(Fate.SENT, Why.DOUBT, 0), (Fate.SENT, Why.DOUBT, 1)]


@SIDES
def test_moving_the_attached_stop_has_no_websocket_message(side):
    """A partial fill, then the trail asks for another stop price: the venue takes that over REST only."""
    hop = Hop(policy=Fade(trail=0.002, max_hold_s=3600, entry_ttl_s=3600))
    hop.scene.cascade(side)
    hop.pump()
    (entry,) = hop.dispatch.take()
    engine, now, i = hop.scene.engine, hop.scene.now, hop.scene.engine.instruments[0]
    engine.on_order(now, now, entry.id, OrderStatus.ORDER_NEW)
    engine.on_fill(now, now, entry.id, i.price(entry.price), i.qty(entry.qty), 0.0, 1, True, FillReason.FILL_THROUGH)
    engine.on_order(now, now, (entry.id & ~0xFFF) | Role.ROLE_STOP, OrderStatus.ORDER_NEW)
    hop.pump()
    hop.scene.trade(price=round(2000.0 * (1 + 0.01 * side), 2))
    hop.pump()
    moved = [s for s in hop.dispatch.take() if s.id & 15 == Role.ROLE_STOP]
    assert moved and all((s.action, s.fate) == (Action.ACTION_AMEND, Fate.LATER) and s.why == Why.NO_FORM for s in moved), moved
    assert not any(f["op"] == "order.amend" for f in hop.wire.frames)


def test_requests_keep_their_order_and_nothing_is_lost_when_nobody_takes():
    hop = Hop()
    hop.scene.cascade(LONG)
    hop.scene.cascade(LONG, index=1)
    hop.scene.engine.on_control(hop.scene.now, Control.CONTROL_FLATTEN)
    hop.pump()
    ids = [parse_request_id(f["reqId"])[2] for f in hop.wire.frames]
    assert [s.id for s in hop.dispatch.take()] == ids and len(ids) >= 2
    assert hop.told == 1


def test_other_instruments_are_refused():
    scene = Scene()
    with pytest.raises(ValueError, match="same instruments"):
        Dispatch(scene.engine, None, order_encoder("run1", scene.engine.instruments[:1]), None, Line())


def test_a_picows_wire_sends_what_it_is_given_and_says_when_it_cannot():
    got = []

    class Server(picows.WSListener):
        def on_ws_frame(self, transport, frame):
            got.append(frame.get_payload_as_bytes())

    async def main():
        server = await picows.ws_create_server(lambda request: Server(), "127.0.0.1", 0)
        wire = PicowsWire()
        assert wire.send(b"early") is False, "not logged in yet"
        transport, _ = await picows.ws_connect(picows.WSListener, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        wire.transport = transport
        source = b"frame of an order"
        assert wire.send(source) is True and wire.send(b"x" * 10_000) is True
        assert source == b"frame of an order", "the caller's bytes were masked in place"
        while len(got) < 2:
            await asyncio.sleep(0.01)
        transport.disconnect()
        await transport.wait_disconnected()
        assert wire.send(b"late") is False
        server.close()
        await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))
    assert got == [b"frame of an order", b"x" * 10_000]
