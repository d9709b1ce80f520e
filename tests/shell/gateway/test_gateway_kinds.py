"""Executions by a white list of kinds: what is no trade changes no position by itself; it is counted, told, and the venue is asked."""

import orjson
import pytest
from test_gateway_restart import reborn

from gateway_rig import PRICE, SYMBOL, MemoryStore, Rig, S, VenueSettings, at_rest, take_profit
from liqcore import Kind
from liqshell.venues.bybit.rows import execution
from liqshell.venues.effects import Channel

# venues.md 4.2 and part 7: the first three are of 2026-08-20, the fourth is the one that they replace, the last one nobody has heard of
NO_TRADES = (
    "Dividend",
    "ForwardSplitSettle",
    "ReverseSplitSettle",
    "CorporateAction",
    "Settle",
    "Delivery",
    "SessionSettlePnL",
    "MovePosition",
    "FutureSpread",
    "UNKNOWN",
    "MoonSettle",
)
both = pytest.mark.parametrize("side", [1, -1])


def row(rig: Rig, kind: str, qty: str, name: str = "div-1") -> dict:
    """As the venue lists it: no order, the side that would close what is held."""
    return {
        "category": "linear",
        "symbol": SYMBOL,
        "execId": name,
        "orderId": "",
        "orderLinkId": "",
        "side": "Sell" if rig.side > 0 else "Buy",
        "execPrice": f"{PRICE}",
        "execQty": qty,
        "execFee": "0",
        "isMaker": False,
        "execType": kind,
        "stopOrderType": "UNKNOWN",
        "createType": "",
        "seq": 7,
        "execTime": str(rig.venue_now // 1_000_000),
    }


def tell(rig: Rig, one: dict) -> None:
    rig.frame(Channel.PRIVATE, {"topic": "execution", "creationTime": rig.venue_now // 1_000_000, "data": [one]})


def opened(side: int) -> Rig:
    rig = Rig(side)
    rig.enter()
    rig.fill_entry()
    assert rig.held() == rig.truth()[0] != 0.0
    return rig


@both
@pytest.mark.parametrize("kind", NO_TRADES)
def test_what_is_no_trade_changes_no_position(side, kind):
    """The whole quantity that we hold, in a row of the stream: the engine still holds it, its target still ends the trade."""
    rig = opened(side)
    qty, fills, asked = rig.truth()[0], len(rig.reports(Kind.FILL)), rig.counts["/v5/position/list"]
    one = row(rig, kind, f"{abs(qty)}")
    tell(rig, one)
    assert rig.held() == rig.truth()[0] == qty and len(rig.reports(Kind.FILL)) == fills
    assert rig.gateway.context.counters["executions that are no trades"] == 1
    told = [n for n in rig.notices if n.kind == "no trade"]
    assert len(told) == 1 and kind in told[0].text and told[0].symbol == SYMBOL and rig.alarms() == {"no trade"}
    rig.wait(1.5)
    assert rig.counts["/v5/position/list"] > asked, "the venue is asked at once, not at the end of the period"
    tell(rig, one)
    assert rig.gateway.context.counters["executions that are no trades"] == 1, "the same row again is not another"
    assert rig.held() == qty and not rig.gates()
    take_profit(rig)
    at_rest(rig)
    assert rig.alarms() == {"no trade"} and not rig.gateway.context.counters["outside executions"]


@both
@pytest.mark.parametrize("qty", ["0", ""])
def test_a_row_without_a_quantity_is_told_too(side, qty):
    rig = opened(side)
    held = rig.held()
    tell(rig, row(rig, "Dividend", qty))
    assert rig.held() == held and rig.gateway.context.counters["executions that are no trades"] == 1


@both
def test_a_list_of_executions_counts_no_dividend_either(side):
    """The same row in the answer to a question, at the venue's side of the time line, again and again."""
    rig = opened(side)
    qty = rig.truth()[0]
    one = row(rig, "Dividend", f"{abs(qty)}")

    def add(call, answer):
        if "execution/list" in call.path:
            answer["result"]["list"].insert(0, one)
        return answer

    rig.alter_answer = add
    rig.wait(40.0)
    assert rig.held() == rig.truth()[0] == qty and rig.gateway.context.counters["executions that are no trades"] == 1


@both
def test_a_position_that_went_with_it_is_found_by_asking(side):
    """Settled: the venue holds nothing afterwards. That is learnt from its positions, not from the row."""
    rig = opened(side)
    tell(rig, row(rig, "Settle", f"{abs(rig.truth()[0])}"))
    assert rig.held() == rig.truth()[0] != 0.0

    def hide(call, answer):
        if "execution/list" in call.path:
            answer["result"]["list"] = [one for one in answer["result"]["list"] if one["orderLinkId"]]
        return answer

    rig.alter_answer, rig.on_push = hide, lambda topic, rows: False
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if side > 0 else "Buy", f"{abs(rig.truth()[0])}", rig.venue_now)
    rig.trade(round(PRICE * (1 - 0.001 * side), 2))
    rig.wait(60.0)
    assert rig.held() == rig.truth()[0] == 0.0 and {"no trade", "outside"} <= rig.alarms()


def deliver(rig: Rig, price: float, fee: float) -> dict:
    """The venue ends the contract: what is held is gone at a price of its own, and so is the stop. The row that says so, as yet unsaid."""
    holding = next(h for h in rig.account.holdings.values() if h.size)
    rig.on_push = lambda topic, rows: False
    one = row(rig, "Delivery", f"{abs(rig.truth()[0])}", "dlv-1") | {"execPrice": f"{price}", "execFee": f"{fee}", "createType": "CreateByDelivery"}
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if holding.size > 0 else "Buy", f"{abs(rig.truth()[0])}", rig.venue_now, reduce=True)
    rig.trade(PRICE)
    rig.account.executions.pop()
    return one


def listed(rig: Rig, *rows: dict) -> None:
    """Rows that the venue's list of executions has from now on."""

    def add(call, answer):
        if "execution/list" in call.path:
            answer["result"]["list"] = [*rows, *answer["result"]["list"]]
        return answer

    rig.alter_answer = add


@both
@pytest.mark.parametrize("way", ["stream", "list"])
def test_a_delivery_is_booked_at_its_price_as_soon_as_the_position_is_gone(side, way):
    rig = opened(side)
    qty, before = rig.truth()[0], rig.engine.account.position(0)
    one = deliver(rig, 2100.0, 0.75)
    listed(rig, one) if way == "list" else tell(rig, one)
    rig.wait(8.0)
    after = rig.engine.account.position(0)
    assert rig.held() == 0.0 and after["qty"] == 0.0
    assert after["realized"] - before["realized"] == pytest.approx((2100.0 - before["entry_price"]) * qty)
    assert after["fees"] - before["fees"] == pytest.approx(0.75) and not rig.gateway.context.counters["reductions without execution"]
    rig.wait(200.0)
    assert rig.engine.account.position(0) == after and not rig.gates()


@both
def test_a_delivery_while_no_process_lived_and_the_store_was_lost_is_booked_at_its_price(side):
    rig = opened(side)
    qty, before, image = rig.truth()[0], rig.engine.account.position(0), rig.engine.trade_snapshot()
    one = deliver(rig, 2100.0, 0.75)
    rig.now += 25 * S
    new = reborn(rig, image=image, store=MemoryStore(), wait_s=0.0)
    listed(new, one)
    new.wait(8.0)
    after = new.engine.account.position(0)
    assert new.held() == 0.0 and after["realized"] - before["realized"] == pytest.approx((2100.0 - before["entry_price"]) * qty)


@both
@pytest.mark.parametrize("way", ["stream", "list"])
@pytest.mark.parametrize("kind", ["Delivery", "Trade"])
def test_what_was_booked_at_the_mark_is_put_right_when_its_record_turns_up(side, way, kind):
    """The position is gone, nobody says why for three minutes; then the venue does, and says it again and again."""
    rig = opened(side)
    qty, equity, entry = rig.truth()[0], rig.engine.account.equity, rig.engine.account.position(0)
    one = deliver(rig, 2100.0, 0.75) | {"execType": kind}
    rig.wait(180.0)
    assert rig.held() == 0.0 and rig.gateway.context.counters["reductions without execution"] == 1
    listed(rig, one) if way == "list" else tell(rig, one)
    rig.wait(120.0)
    if way == "stream":
        tell(rig, one)
    due = equity - entry["unrealized"] + (2100.0 - entry["entry_price"]) * qty - 0.75
    assert rig.engine.account.equity == pytest.approx(due) and rig.gateway.context.counters["guesses put right"] == 1
    assert rig.held() == 0.0 and not rig.gates() and [n.kind for n in rig.notices].count("put right") == 1


@both
def test_a_part_that_was_booked_at_the_mark_is_not_counted_again_when_its_record_turns_up(side):
    """Half of it: the rest is still held, and the late record seemed to close that, too."""
    rig = opened(side)
    rig.on_push = lambda topic, rows: False
    rig.exchange.manual_trade(rig.account, SYMBOL, "Sell" if side > 0 else "Buy", f"{abs(rig.truth()[0]) / 2:.2f}", rig.venue_now, reduce=True)
    rig.trade(PRICE)
    late = rig.account.executions.pop()
    rig.wait(180.0)
    assert rig.held() == rig.truth()[0] and rig.gateway.context.counters["reductions without execution"] == 1
    rig.account.executions.append(late)
    rig.wait(60.0)
    assert rig.held() == rig.truth()[0] and not rig.gates() and "foreign position" not in rig.alarms()
    rig.on_push = lambda topic, rows: True
    take_profit(rig)
    at_rest(rig)
    assert abs(rig.engine.account.equity - rig.exchange.truth(rig.account)["equity"]) < 1e-6


@both
@pytest.mark.parametrize(("lost", "said"), [(("execFee",), True), (("execFee", "feeRate"), True), (("execFee", "feeRate"), False)])
def test_a_fee_that_is_left_out_is_not_lost(side, lost, said):
    """By the stream, which says its rate or does not; by the list of executions, too. said: whether the list still says it."""
    rig = Rig(side)
    raw, answered = rig.raw, []

    def without(rows):
        return [{name: value for name, value in one.items() if name not in lost} for one in rows]

    def stripped(channel, frame):
        message = orjson.loads(frame)
        raw(channel, orjson.dumps(message | {"data": without(message["data"])} if message.get("topic") == "execution" else message))

    def strip(call, answer):
        if "execution/list" in call.path and not said:
            answered.append(call)
            answer["result"]["list"] = without(answer["result"]["list"])
        return answer

    rig.raw, rig.alter_answer = stripped, strip
    rig.enter()
    rig.fill_entry()
    rig.wait(2.0)
    assert rig.held() == rig.truth()[0] != 0.0
    take_profit(rig)
    rig.wait(5.0)
    at_rest(rig)
    assert rig.exchange.truth(rig.account)["equity"] != 100_000.0
    assert abs(rig.engine.account.equity - rig.exchange.truth(rig.account)["equity"]) < 1e-6
    assert ("fee" in rig.alarms()) == (lost == ("execFee",) or not said)
    fees = [row["fee"] for table, row in rig.store.kept if table == "executions"]
    assert len(fees) == 2 and all(fee.startswith("~") == ("fee" in rig.alarms()) for fee in fees)


@pytest.mark.parametrize("kind", ["Trade", "AdlTrade", "BustTrade", "BlockTrade"])
def test_what_is_a_trade_still_is(kind):
    """Somebody sold half of it: each of these closes it in our books too."""
    rig = opened(1)
    qty = rig.truth()[0]
    tell(rig, row(rig, kind, f"{round(qty / 2, 2)}") | {"orderId": "a-persons"})
    assert rig.held() == pytest.approx(qty - round(qty / 2, 2)) and "no trade" not in rig.alarms()
    assert execution(row(rig, kind, "1")).kind == kind


@both
def test_a_resting_entry_that_is_partly_filled_in_words_that_nobody_knows_stays_ours(side):
    """Stream and REST call each execution something new. The entry's own row says how much of it was executed, and the position is just that."""
    rig = Rig(side, venue=VenueSettings(fills="queue"), entry_ttl_s=60)

    def rename(rows):
        for one in rows:
            one["execType"] = "MoonTrade"
        return True

    def listed_so(call, answer):
        if "execution/list" in call.path:
            rename(answer["result"]["list"])
        return answer

    rig.on_push, rig.alter_answer = lambda topic, rows: rename(rows) if topic == "execution" else True, listed_so
    entry = rig.enter()
    rig.trade(entry["price"], qty=0.2)
    rig.wait(12.0)
    assert rig.order_of(1)["status"] == "live" and rig.held() == rig.truth()[0] == 0.2 * side
    assert not rig.gateway.reconciler.foreign and not rig.gates() and "foreign position" not in rig.alarms() and rig.worst_naked_ns == 0
    rig.fill_entry(wait_s=20.0)
    assert rig.held() == rig.truth()[0] == entry["qty"] * side and not rig.gates() and "foreign position" not in rig.alarms()
    rig.alter_answer, rig.on_push = lambda call, answer: answer, lambda topic, rows: True
    rig.wait(60.0)
    assert rig.held() == rig.truth()[0] and not rig.gates() and "outside" not in rig.alarms()
