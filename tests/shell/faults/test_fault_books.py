"""The second judge of the fault simulation: books from frames written by hand, as the venue's documentation shows them."""

import pytest
from faults.agreement import disagreement
from faults.books import NS, Books, role
from faults.truth import Violation

ENTRY, CLOSE = "sim1-10000001001", "sim1-10000001004"
START = 1_000 * NS


def books(exposure: float = 2_000.0, positions: int = 2) -> Books:
    made = Books(exposure, positions, START)
    made.line(START, "private", True)
    made.line(START, "trade", True)
    return made


def order(number: str, link: str = "", **changed) -> dict:
    return {
        "orderId": number,
        "orderLinkId": link,
        "symbol": "ETHUSDT",
        "side": "Buy",
        "positionIdx": 0,
        "orderStatus": "New",
        "orderType": "Limit",
        "price": "2000",
        "qty": "0.5",
        "leavesQty": "0.5",
        "stopOrderType": "",
        "stopLoss": "1990",
        "tpslMode": "Full",
        "reduceOnly": False,
        "closeOnTrigger": False,
        "rejectReason": "EC_NoError",
        **changed,
    }


def stop(number: str = "s1", **changed) -> dict:
    return order(
        number,
        side="Sell",
        orderStatus="Untriggered",
        orderType="Market",
        stopOrderType="StopLoss",
        reduceOnly=True,
        closeOnTrigger=True,
        stopLoss="",
        price="0",
        **changed,
    )


def execution(link: str = ENTRY, side: str = "Buy", qty: str = "0.5", **changed) -> dict:
    return {
        "orderId": "o1",
        "orderLinkId": link,
        "symbol": "ETHUSDT",
        "side": side,
        "positionIdx": 0,
        "execQty": qty,
        "execPrice": "2000",
        "execType": "Trade",
        "createType": "CreateByUser",
        **changed,
    }


def position(size: str, side: str = "Buy", **changed) -> dict:
    return {"symbol": "ETHUSDT", "positionIdx": 0, "size": size, "side": side, "markPrice": "2000", "stopLoss": "0", "trailingStop": "0", **changed}


def filled(judge: Books, *, with_stop: bool = True) -> None:
    """An entry is asked for, booked and executed, 10 s after the start."""
    now = START + 10 * NS
    judge.sent(now, "order.create", {"orderLinkId": ENTRY, "stopLoss": "1990"})
    judge.asked(now, "order.create", {"orderLinkId": ENTRY}, 0)
    judge.said(now, "order", order("o1", ENTRY, orderStatus="Filled", leavesQty="0"))
    if with_stop:
        judge.said(now, "order", stop())
    judge.said(now, "execution", execution())
    judge.said(now, "position", position("0.5"))
    judge.settle(now)


def laws(judge: Books) -> list[str]:
    return [one.law for one in judge.findings]


def test_roles_are_the_last_four_bits_of_the_number():
    assert (role(ENTRY), role(CLOSE), role("a-person"), role(""), role("9")) == (1, 4, 0, 0, 0)


def test_a_position_with_its_stop_is_covered_and_one_without_is_naked_after_two_seconds():
    judge = books()
    filled(judge)
    judge.look(START + 100 * NS)
    assert not judge.findings and judge.held() and not judge.resting() and judge.covered
    bare = books()
    filled(bare, with_stop=False)
    bare.look(START + 12 * NS)
    assert not bare.findings
    bare.look(START + 12 * NS + 1)
    bare.look(START + 20 * NS)
    assert laws(bare) == ["naked"] and bare.findings[0].at_ns == START + 12 * NS + 1


@pytest.mark.parametrize(
    "row",
    [
        order("c1", CLOSE, side="Sell", orderType="Market", reduceOnly=True, stopLoss=""),
        stop(tpslMode="Partial"),
        order("c1", side="Sell", orderType="Market", orderStatus="Untriggered", stopOrderType="Stop", reduceOnly=True, tpslMode=""),
    ],
)
def test_a_market_close_or_a_stop_for_the_whole_quantity_covers(row):
    judge = books()
    filled(judge, with_stop=False)
    judge.said(START + 11 * NS, "order", row)
    judge.settle(START + 11 * NS)
    judge.look(START + 60 * NS)
    assert not judge.findings


def test_half_a_stop_does_not_cover():
    judge = books()
    filled(judge, with_stop=False)
    judge.said(START + 11 * NS, "order", stop(tpslMode="Partial", qty="0.25", leavesQty="0.25"))
    judge.settle(START + 11 * NS)
    judge.look(START + 60 * NS)
    assert laws(judge) == ["naked"]


def test_what_the_venue_left_out_is_to_be_mended_from_when_the_program_can_act():
    """The frame that left had a stop, the order that was booked has none: ten seconds from the moment at which both lines are up and read."""
    judge = books()
    judge.line(START + 9 * NS, "private", False)
    now = START + 10 * NS
    judge.sent(now, "order.create", {"orderLinkId": ENTRY, "stopLoss": "1990"})
    judge.said(now, "order", order("o1", ENTRY, orderStatus="Filled", leavesQty="0", stopLoss=""))
    judge.said(now, "execution", execution())
    judge.settle(now)
    judge.line(START + 100 * NS, "private", True)
    judge.look(START + 115 * NS)
    assert not judge.findings
    judge.look(START + 116 * NS)
    assert laws(judge) == ["naked"]


def test_one_id_is_booked_once_also_where_the_venue_has_forgotten_it():
    for code in (110072, 0):
        judge = books()
        filled(judge)
        judge.asked(START + 20 * NS, "order.create", {"orderLinkId": ENTRY}, code)
        assert laws(judge) == ["duplicate"]


def test_two_entries_of_one_contract_and_a_close_that_opens_are_duplicates():
    judge = books(9_999.0)
    for number, link in (("a", ENTRY), ("b", "sim1-10000002001")):
        judge.said(START, "order", order(number, link))
    judge.settle(START)
    assert laws(judge) == ["duplicate"]
    turned = books()
    filled(turned)
    turned.said(START + 20 * NS, "execution", execution(CLOSE, "Sell", "0.7"))
    assert laws(turned) == ["duplicate"]


def test_nothing_enters_after_a_kill_and_exits_do():
    judge = books()
    judge.killed(START, True)
    judge.sent(START + 1, "order.create", {"orderLinkId": CLOSE})
    judge.sent(START + 1, "order.cancel", {"orderLinkId": ENTRY})
    assert not judge.findings
    judge.sent(START + 2, "order.create", {"orderLinkId": ENTRY, "stopLoss": "1990"})
    assert laws(judge) == ["killed"]
    judge.killed(START + 3, False)
    judge.sent(START + 4, "order.create", {"orderLinkId": ENTRY, "stopLoss": "1990"})
    assert laws(judge) == ["killed"]


def test_positions_and_entries_count_as_exposure_and_those_of_others_do_not():
    judge = books(1_500.0)
    filled(judge)
    assert not judge.findings
    judge.asked(START + 20 * NS, "order.create", {"orderLinkId": "sim1-20000001001"}, 0)
    judge.said(START + 20 * NS, "order", order("o2", "sim1-20000001001", symbol="SOLUSDT", price="100", qty="6", leavesQty="6"))
    judge.settle(START + 20 * NS)
    assert laws(judge) == ["exposure"]
    theirs = books(1_500.0)
    theirs.said(START, "execution", execution("", qty="5"))
    theirs.settle(START)
    theirs.look(START + 99 * NS)
    assert not theirs.findings and not theirs.held()


def test_frames_of_the_venue_that_contradict_each_other_are_told():
    judge = books()
    filled(judge)
    judge.said(START + 20 * NS, "position", position("0.4"))
    judge.settle(START + 20 * NS)
    assert laws(judge) == ["books"]
    split = books()
    filled(split)
    split.said(START + 20 * NS, "execution", execution("", "Sell", execType="ForwardSplitSettle"))
    split.said(START + 20 * NS, "position", position("1"))
    split.settle(START + 20 * NS)
    assert not split.findings


def test_the_judges_are_compared_both_ways():
    silent, naked = books(), books()
    filled(naked, with_stop=False)
    naked.look(START + 60 * NS)
    broken = Violation("protected", 12.0, "ETHUSDT: a position has been without a stop for 2.000 s")
    assert disagreement(None, silent, START) == "" == disagreement(broken, naked, START) == disagreement(Violation("money", 1.0, ""), silent, START)
    assert "second judge alone" in disagreement(None, naked, START) and "first judge" in disagreement(broken, silent, START)
