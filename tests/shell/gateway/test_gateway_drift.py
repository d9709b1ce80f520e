"""The private stream changes its words without notice: an execution of ours whose kind nobody knows, or that names no order of ours. It is learnt by asking;
where the venue lists it in the same words, the order's own report counts. The trade goes on under supervision, for longs and for shorts."""

import orjson
import pytest

from desk import both
from gateway_rig import PRICE, Rig, at_rest, take_profit
from liqcore import Kind
from liqcore.event import Role
from liqshell.venues.effects import Channel


def retyped(row: dict) -> dict:
    """A word that is not in the list of kinds (venues.md part 7: they come without notice)."""
    return row | {"execType": "TradeV2"} if row["execType"] == "Trade" else row


def nameless(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "orderLinkId"}


def drifted(rig: Rig, change, topics=("execution",), *, listed: bool = False) -> None:
    """From now on the stream's rows of these topics are changed; listed: those of the list of executions, too."""
    raw = type(rig).raw

    def told(channel, frame):
        message = orjson.loads(frame)
        if channel == Channel.PRIVATE and message.get("topic") in topics:
            frame = orjson.dumps(message | {"data": [change(row) for row in message["data"]]})
        raw(rig, channel, frame)

    def answered(call, answer):
        if listed and "execution/list" in call.path:
            answer["result"]["list"] = [change(row) for row in answer["result"]["list"]]
        return answer

    rig.raw, rig.alter_answer = told, answered


def straight(rig: Rig) -> None:
    """The venue speaks as ever."""
    rig.raw, rig.alter_answer = type(rig).raw.__get__(rig), lambda call, answer: answer


def money(rig: Rig) -> float:
    return abs(rig.engine.account.equity - rig.exchange.truth(rig.account)["equity"])


@both
@pytest.mark.parametrize("change", [retyped, nameless])
def test_an_entry_that_the_stream_tells_in_other_words_is_learnt_by_asking(side, change):
    rig = Rig(side)
    drifted(rig, change)
    rig.enter()
    rig.fill_entry()
    rig.wait(1.5)
    assert rig.held() == rig.truth()[0] != 0.0 and rig.order_of(Role.ROLE_TARGET)
    take_profit(rig)
    rig.wait(5.0)
    at_rest(rig)
    assert money(rig) < 1e-6 and not rig.gates() and not {"outside", "foreign position", "unresolved"} & rig.alarms()


@both
@pytest.mark.parametrize("change", [retyped, nameless])
@pytest.mark.parametrize("hurried", [False, True])
def test_an_exit_that_the_stream_tells_in_other_words_is_ours(side, change, hurried):
    """By time limit, at market; hurried: the execution is told before the reply to the order, which names it."""
    rig = Rig(side, max_hold_s=8.0, cooldown_s=1.0)
    rig.enter()
    rig.fill_entry()
    drifted(rig, change, ("execution", "order") if change is nameless else ("execution",))
    rig.on_reply = lambda message: not hurried
    while not any(int(order["link_id"].rpartition("-")[2], 16) & 15 == Role.ROLE_CLOSE for order in rig.live()):
        rig.wait(0.005)
    rig.trade(PRICE)
    rig.wait(10.0)
    at_rest(rig)
    fills = [fill.id & 15 for fill in rig.reports(Kind.FILL)]
    assert fills == [Role.ROLE_ENTRY, Role.ROLE_CLOSE]
    assert money(rig) < 1e-6 and "outside" not in rig.alarms()
    straight(rig)
    rig.on_reply = lambda message: True
    rig.wait(40.0)
    assert not rig.gates() and rig.enter(), "the contract can be entered again"


@both
def test_an_entry_that_is_listed_in_other_words_too_is_booked_by_its_own_report_and_put_right(side):
    """Nothing but the order itself says what was executed. Later the venue lists it as ever."""
    rig = Rig(side, max_hold_s=60.0)
    drifted(rig, retyped, listed=True)
    rig.enter()
    rig.fill_entry()
    rig.wait(6.0)
    assert rig.held() == rig.truth()[0] != 0.0 and rig.order_of(Role.ROLE_TARGET), "some seconds, not half a minute"
    assert {"no trade", "fill by report", "fee"} == rig.alarms() and rig.gateway.context.counters["fills by report"] == 1
    kept = [row for table, row in rig.store.kept if table == "executions"]
    assert [row["kind"] for row in kept] == ["Reported"] and kept[0]["fee"].startswith("~")
    straight(rig)
    rig.wait(12.0)
    assert rig.held() == rig.truth()[0] and rig.gateway.context.counters["guesses put right"] == 1
    take_profit(rig)
    rig.wait(5.0)
    at_rest(rig)
    assert money(rig) < 1e-6 and not rig.gates() and "foreign position" not in rig.alarms()


@both
def test_nothing_is_booked_by_report_while_the_venue_does_not_answer(side):
    """Silence says nothing about what is listed."""
    rig = Rig(side)
    rig.on_push = lambda topic, rows: topic != "execution"
    rig.on_rest = lambda call: "execution/list" not in call.path
    rig.enter()
    rig.fill_entry()
    rig.wait(25.0)
    assert not rig.held() and not rig.gateway.context.counters["fills by report"]
    rig.on_rest = lambda call: True
    rig.wait(6.0)
    assert rig.held() == rig.truth()[0] != 0.0 and not rig.gateway.context.counters["fills by report"]


@both
def test_an_exit_that_is_listed_in_other_words_too_is_closed_and_the_money_is_put_right(side):
    rig = Rig(side, max_hold_s=8.0)
    rig.enter()
    rig.fill_entry()
    drifted(rig, retyped, listed=True)
    rig.wait(9.0)
    rig.trade(PRICE)
    rig.wait(60.0)
    at_rest(rig)
    straight(rig)
    rig.wait(60.0)
    at_rest(rig)
    assert money(rig) < 1e-6 and not rig.gates()


@both
def test_a_dividend_in_the_name_of_our_order_moves_nothing(side):
    """A kind that is no trade never moves the position, whosever order it names, and does not hide the trade of the same id."""
    rig = Rig(side)
    kept = []
    rig.on_push = lambda topic, rows: topic != "execution" or kept.extend(rows) or False
    rig.on_rest = lambda call: "execution/list" not in call.path
    rig.enter()
    rig.fill_entry(0.2)
    for kind in ("Dividend", "Dividend", "Trade", "Dividend", "Trade"):
        held = rig.held()
        rig.frame(Channel.PRIVATE, {"topic": "execution", "creationTime": 1, "data": [kept[0] | {"execType": kind}]})
        assert kind == "Trade" or rig.held() == held
    assert rig.held() == rig.truth()[0] != 0.0 and len(rig.reports(Kind.FILL)) == 1
    assert rig.gateway.context.counters["executions that are no trades"] == 1
