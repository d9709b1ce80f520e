"""The gateway's two websockets: what a venue says at the door, and what became of the orders that a channel kept waiting."""

from __future__ import annotations

import pytest

import liqcore as lc
from desk import both
from gateway_rig import PRICE, Rig, at_rest
from liqcore.event import Action
from liqshell.gateway.channels import Stage
from liqshell.gateway.inflight import Flight
from liqshell.gateway.inflight import Stage as Known
from liqshell.venues.bybit.port import BybitPort
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.effects import Answer, Channel
from liqshell.venues.order_port import NoticeKind


def first_login(rig, channel, refusal):
    """The first login on a channel is refused with this frame."""
    seen = []

    def on_request(op, message):
        if op == "auth" and ("reqId" in message) == (channel == Channel.ORDERS) and not seen:
            seen.append(message)
            rig.frame(channel, refusal)
            return False
        return True

    rig.on_request = on_request
    return seen


@pytest.mark.parametrize(
    "refusal",
    [
        {"success": False, "ret_msg": "Params Error", "op": "auth", "conn_id": "c"},
        {"success": False, "ret_msg": "error:USVC1111", "conn_id": "c", "request": {"op": "auth", "args": ["canaryKey01", "1653405853543", "sign"]}},
        {"retCode": 10004, "retMsg": "Invalid sign", "op": "auth", "connId": "c"},
    ],
)
def test_a_refused_login_is_no_login(refusal):
    """The private stream refuses without a result code, which was taken for code 0."""
    rig = Rig(start=False)
    seen = first_login(rig, Channel.PRIVATE, refusal)
    asked = []
    rig.on_push = lambda topic, rows: True
    send = rig.send
    rig.send = lambda channel, frame: asked.append(frame) or send(channel, frame)
    rig.gateway.start(rig.now)
    rig.wait(0.1)
    link = rig.gateway.links[Channel.PRIVATE]
    assert seen and link.stage == Stage.DOWN and "GATE_PRIVATE" in rig.gates()
    assert not any(b'"subscribe"' in frame for frame in asked), "it went on as if it were logged in"
    refused = [notice for notice in rig.notices if notice.kind == "refused"]
    assert refused and refused[0].text.startswith("private channel: auth") and "canaryKey01" not in repr(rig.notices)
    rig.wait(60.0)
    assert link.ready  # it was tried again


def test_a_second_login_is_one():
    port = BybitPort(Keys("rigkey00", "rigsecret0"), "r", (), {})
    assert [said.kind for said in port.read(Channel.ORDERS, b'{"retCode":20001,"retMsg":"Repeat auth","op":"auth"}')] == [NoticeKind.AUTHENTICATED]


def test_a_refusal_for_good_is_forgotten_once_the_login_is_accepted():
    rig = Rig(start=False)
    first_login(rig, Channel.ORDERS, {"retCode": 10003, "retMsg": "Too many sessions", "op": "auth", "connId": "c"})
    rig.gateway.start(rig.now)
    rig.wait(0.1)
    assert any("Too many sessions" in text for text in rig.gateway.problems())
    rig.wait(60.0)
    assert rig.gateway.orders_ready and not rig.gateway.problems()


@both
@pytest.mark.parametrize("op", [None, ""])
def test_a_reply_that_does_not_even_name_the_operation_is_heard(side, op):
    rig = Rig(side)
    rig.on_request = lambda what, message: (
        not what.startswith("order.")
        or bool(
            rig.after(
                rig.latency,
                lambda: rig.frame(
                    Channel.ORDERS, {"retCode": 10404, "retMsg": "op type is not found", "connId": "c"} | ({} if op is None else {"op": op})
                ),
            )
        )
    )
    rig.enter(wait_s=0.1)
    assert "rights" in rig.alarms(), "nobody was told until the reply was overdue"


def exit_without_a_way(side):
    """A position that is to be closed: REST is banned, the order socket down."""
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    rig.reachable[Channel.ORDERS] = False
    rig.drop(Channel.ORDERS)
    rig.alter_answer = lambda call, answer: Answer(403, b"access too frequent", {}, "")
    rig.wait(31.0)  # a reading is refused: REST is left alone for half a minute, then for a whole one, ...
    assert "GATE_RATE" in rig.gates() and rig.held()
    rig.engine.on_control(rig.now, lc.Control.CONTROL_FLATTEN)
    rig.dispatch.pump(rig.now)
    rig.gateway.collect(rig.now)
    return rig


@both
def test_an_exit_does_not_wait_behind_a_ban_while_the_order_socket_is_up(side):
    rig = exit_without_a_way(side)
    sent = len(rig.orders)
    rig.reachable[Channel.ORDERS] = True
    rig.wait(3.0)
    assert rig.gateway.orders_ready and "GATE_RATE" in rig.gates()
    assert {"order.cancel", "order.create"} >= {m["op"] for m in rig.orders[sent:]} != set(), "it waits for the end of the ban"
    rig.trade(PRICE)
    rig.wait(2.0)
    assert rig.held() == rig.truth()[0] == 0.0 and rig.live() == []
    rig.alter_answer = lambda call, answer: answer
    rig.wait(700.0)
    at_rest(rig)
    creates = [m["args"][0]["orderLinkId"] for m in rig.orders if m["op"] == "order.create"]
    assert len(creates) == len(set(creates)) and not rig.counts["/v5/order/create"], "sent twice"


@both
def test_an_exit_that_cannot_be_sent_is_an_alarm(side):
    """It waits for REST behind a ban, and the order socket stays down: nobody was told before it could be asked for (fault seed 502)."""
    rig = exit_without_a_way(side)
    rig.wait(9.0)
    assert "unresolved" not in rig.alarms()
    rig.wait(4.0)
    assert [n.text for n in rig.notices if n.kind == "unresolved" and "has waited for more than 10 s" in n.text]
    assert "unresolved" in rig.alarms()


@both
@pytest.mark.parametrize("earlier", [False, True])
def test_a_reply_that_names_nothing_may_be_that_of_an_earlier_request(side, earlier):
    """It was taken for the refusal of the only order that waited, though the reply to another was overdue."""
    rig = Rig(side)
    rig.on_request = lambda op, message: not op.startswith("order.")
    rig.enter(wait_s=0.05)
    if earlier:
        rig.gateway.requests.flights.add(Flight(7 << 12 | 4, int(Action.ACTION_CANCEL), 5, None, rig.now, rig.now + lc.SECOND, Known.UNKNOWN))
    rig.frame(Channel.ORDERS, {"retCode": 10001, "retMsg": "?", "op": "order.create", "connId": "c"})
    assert (rig.state() == lc.BracketState.BRACKET_FLAT) != earlier and bool(rig.order_of(1) and rig.order_of(1)["unknown"]) == earlier
