"""Money at the emulated venue: fees, profit, funding, liquidation, deleveraging; and whatever is done to an account, its books agree."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import liqcore as lc
from exchange_floor import ETH, LONG, SHORT, T0, Floor
from liqcore.event import Kind
from liqshell.emulator.exchange import Exchange, Settings
from liqshell.emulator.exchange.orders import OPEN
from liqshell.emulator.market.contracts import CONTRACTS

both = pytest.mark.parametrize("side", [LONG, SHORT])
HOUR = 3600 * lc.SECOND


@both
def test_profit_and_fees(side):
    floor = Floor(side)
    floor.enter("2")
    floor.create(floor.close, qty="0.5")
    entry, out = floor.price(2499.5), floor.price(2499.99)
    fees = 2 * entry * 0.0002 + 0.5 * out * 0.00055
    assert floor.truth["balance"] == pytest.approx(10_000.0 + 0.5 * (2499.99 - 2499.5) - fees)
    row = floor.rows["execution"][-1]
    assert float(row["execPnl"]) == pytest.approx(0.5 * 0.49) and row["closedSize"] == "0.5" and not row["isMaker"] and row["feeRate"] == "0.00055"
    position, wallet = floor.rows["position"][-1], floor.rows["wallet"][-1]
    assert float(position["cumRealisedPnl"]) == pytest.approx(floor.truth["balance"] - 10_000.0)
    assert float(position["unrealisedPnl"]) == pytest.approx(1.5 * 0.5) and float(wallet["totalEquity"]) == pytest.approx(floor.truth["equity"])
    assert float(wallet["coin"][0]["cumRealisedPnl"]) == pytest.approx(floor.truth["balance"] - 10_000.0)
    assert floor.get("/v5/account/wallet-balance", "accountType=UNIFIED")["list"][0] == floor.exchange.positions.wallet_row(floor.account)


@both
def test_the_average_entry(side):
    floor = Floor(side, equity=100_000.0)
    floor.enter("1")
    floor.create(qty="3", price=floor.text(2510.0), orderType="Limit")
    assert floor.truth["positions"]["ETHUSDT", 0]["entry"] == pytest.approx((floor.price(2499.5) + 3 * floor.price(2500.01)) / 4)
    floor.create(floor.close, qty="6")  # through zero: what is open then has the new price
    assert floor.held == -2.0 and floor.truth["positions"]["ETHUSDT", 0]["entry"] == floor.price(2499.99)


@both
@pytest.mark.parametrize("rate", [0.0001, -0.0003])
def test_funding(side, rate):
    floor = Floor(side)
    floor.enter("2")
    floor.ticker(2510.0, rate=rate)
    assert floor.exchange.next_ns == T0 + 4 * HOUR
    before = floor.truth["balance"]
    floor.exchange.advance(T0 + 4 * HOUR - 1)
    assert floor.truth["balance"] == before
    floor.exchange.advance(T0 + 4 * HOUR)
    paid = 2 * floor.price(2510.0) * rate * side
    assert floor.truth["balance"] == pytest.approx(before - paid)
    floor.hear()
    row = floor.rows["execution"][-1]
    assert row["execType"] == "Funding" and float(row["execFee"]) == pytest.approx(paid) and row["execQty"] == "2" and row["orderLinkId"] == ""
    assert float(row["feeRate"]) * float(row["execValue"]) == pytest.approx(paid) and row["side"] == floor.open
    floor.exchange.advance(T0 + 21 * HOUR)  # two more are due
    assert floor.truth["balance"] == pytest.approx(before - 3 * paid)
    floor.now = T0 + 21 * HOUR
    floor.quote(2499.99, 2500.01)  # the one of the morning has ended
    floor.create(floor.close, qty="2")
    assert floor.held == 0.0 and floor.exchange.next_ns is None
    after = floor.truth["balance"]
    floor.exchange.advance(T0 + 60 * HOUR)
    assert floor.truth["balance"] == after


@both
def test_liquidation(side):
    floor = Floor(side, equity=1000.0)
    floor.enter("3.5", stopLoss=floor.text(2000.0))
    floor.limit(2490.0, qty="0.1")
    level = float(floor.rows["position"][-1]["liqPrice"])
    long_level = level if side == LONG else 5000.0 - level
    assert 2200.0 < long_level < 2260.0
    floor.ticker(long_level + 0.5)
    floor.hear()
    assert floor.held == 3.5 and len(floor.truth["orders"]) == 2
    floor.ticker(long_level - 0.5)
    floor.hear()
    assert sorted(row["cancelType"] for row in floor.last["order"] if row["orderStatus"] != "New") == ["CancelAllBeforeLiq", "CancelByTpSlTsClear"]
    assert floor.rows["position"][-1]["positionStatus"] == "Liq" and floor.limit(2200.0, timeInForce="GTC")[0] == 110011
    floor.quote(long_level - 2, long_level - 1)
    floor.hear()
    row = floor.rows["execution"][-1]
    assert floor.held == 0.0 and row["execType"] == "BustTrade" and row["createType"] == "CreateByLiq" and row["orderLinkId"] == ""
    assert floor.rows["position"][-1]["positionStatus"] == "Normal" and 0.0 < floor.truth["balance"] < 200.0
    floor.quote(2499.99, 2500.01)
    floor.ticker(2500.0)
    assert floor.limit(2490.0, qty="0.01")[0] == 0  # trading goes on


@both
def test_the_state_of_another_position_decides_when_one_is_liquidated(side):
    """Cross margin: profit of one position keeps the other alive."""
    floor = Floor(side, equity=1000.0)
    floor.enter("3")
    n = 0  # BTC
    floor.put(kind=Kind.TICKER, instrument=n, price=68_000.0)
    floor.put(kind=Kind.BBO, instrument=n, price=68_000.0, qty=5.0, aux_price=68_000.1, aux_qty=5.0)
    assert floor.ask("order.create", symbol="BTCUSDT", side=floor.open, orderType="Market", qty="0.02")[0] == 0

    def mark(m, p):
        return floor.put(kind=Kind.TICKER, instrument=m, price=p)

    gone = 320.0 * side
    mark(n, 68_000.0 + 20_000.0 * side)  # 400 earned
    mark(ETH, 2500.0 - gone)  # 960 lost
    assert floor.truth["positions"]["ETHUSDT", 0]["qty"] == 3.0 * side and not floor.account.liquidating
    mark(n, 68_000.0)  # and the profit is gone, too
    assert floor.account.liquidating


@both
def test_deleveraging(side):
    floor = Floor(side)
    assert not floor.exchange.deleverage(floor.account, "ETHUSDT", floor.now)
    floor.enter("2", stopLoss=floor.text(2450.0))
    _, target = floor.limit(2510.0, floor.close, qty="2", reduceOnly=True)
    assert floor.exchange.deleverage(floor.account, "ETHUSDT", floor.now, share=0.5)
    floor.hear()
    row = floor.rows["execution"][-1]
    assert floor.held == 1.0 and row["execType"] == "AdlTrade" and row["side"] == floor.close and row["orderLinkId"] == ""
    assert floor.states(target)[-1] == "Cancelled" and floor.truth["positions"]["ETHUSDT", 0]["stop_qty"] == 1.0
    assert floor.exchange.deleverage(floor.account, "ETHUSDT", floor.now) and floor.held == 0.0 and floor.truth["orders"] == []


@both
def test_a_person_trades_by_hand(side):
    floor = Floor(side)
    floor.enter("2", stopLoss=floor.text(2450.0))
    order = floor.exchange.manual_trade(floor.account, "ETHUSDT", floor.close, "0.5", floor.now)
    floor.hear()
    assert floor.held == 1.5 and floor.rows["execution"][-1]["orderId"] == order and floor.rows["execution"][-1]["orderLinkId"] == ""
    assert floor.exchange.liquidate(floor.account, floor.now) and not floor.exchange.liquidate(floor.account, floor.now)


@both
def test_accounts_do_not_touch_each_other(side):
    floor = Floor(side, equity=1000.0)
    other = floor.exchange.open_account("other", "secret", 1000.0)
    floor.enter("3.5")
    against = {"category": "linear", "symbol": "ETHUSDT", "side": floor.close, "orderType": "Market", "qty": "3", "orderLinkId": "L1"}
    assert floor.exchange.order("order.create", [against], other, floor.now)[0] == 0, "link ids are unique within an account only"
    assert {account.name for account, *_ in floor.exchange.take()} == {"account2"}
    floor.ticker(2210.0)
    floor.quote(2209.0, 2210.0)
    said = floor.exchange.take()
    assert floor.held == 0.0 and {account.name for account, *_ in said} == {"account1"}
    assert floor.exchange.truth(other)["positions"]["ETHUSDT", 0]["qty"] == -3.0 * side and floor.exchange.truth(other)["equity"] > 1800.0
    floor.ticker(2850.0)
    assert other.liquidating


class Books(RuleBasedStateMachine):
    """Anything may be done to an account, in any order: positions are the sum of executions, the wallet is what executions say, nothing is lost."""

    @initialize(
        fills=st.sampled_from(["through", "touch", "queue"]),
        taker=st.sampled_from(["next", "walk"]),
        hedge=st.booleans(),
        total=st.booleans(),
        replaced=st.booleans(),
        equity=st.sampled_from([300.0, 3000.0, 1e6]),
    )
    def begin(self, fills, taker, hedge, total, replaced, equity):
        self.exchange = Exchange(
            CONTRACTS, Settings(fills=fills, taker=taker, reduce_only_total=total, stops_replace=replaced, conditional_survives=not replaced), seed=3
        )
        self.account = self.exchange.open_account("k", "s", equity)
        self.equity, self.now, self.last, self.count, self.hedge = equity, T0, 2500.0, 0, hedge
        if hedge:
            self.exchange.rest("POST", "/v5/position/switch-mode", "", b'{"category":"linear","symbol":"ETHUSDT","mode":3}', self.account, self.now)
        self.executions, self.orders, self.acked = [], {}, set()
        self.put(Kind.TICKER, 2500.0, aux_qty=1e-4)
        self.put(Kind.BBO, 2499.5, aux_price=2500.5)
        self.put(Kind.TRADE, 2500.0)

    def put(self, kind, price, qty=2.0, side=1, aux_price=0.0, aux_qty=2.0):
        row = np.zeros(1, lc.EVENT_DTYPE)
        self.now += 1_000_000
        row["ts_event"] = row["ts_recv"] = self.now
        row["instrument"], row["kind"], row["price"], row["qty"], row["side"], row["aux_price"], row["aux_qty"] = (
            ETH,
            kind,
            price,
            qty,
            side,
            aux_price,
            aux_qty,
        )
        self.exchange.on_events(row)

    def order(self, operation, fields):
        self.now += 1_000_000
        fields = {"category": "linear", "symbol": "ETHUSDT"} | fields
        code, text, data, _ = self.exchange.order(operation, [fields], self.account, self.now)
        if code == 0 and operation == "order.create":
            self.acked.add(data["orderId"])
        return code, text

    @rule(step=st.integers(-30, 30), qty=st.sampled_from([0.1, 1.0, 5.0]), side=st.sampled_from([1, -1]))
    def trade(self, step, qty, side):
        self.last = round(self.last + step * 0.5, 2)
        self.put(Kind.TRADE, self.last, qty, side)

    @rule(gap=st.integers(1, 5), qty=st.sampled_from([0.2, 3.0]))
    def quote(self, gap, qty):
        self.put(Kind.BBO, round(self.last - gap * 0.5, 2), qty, aux_price=round(self.last + gap * 0.5, 2), aux_qty=qty)

    @rule(step=st.integers(-60, 60), rate=st.sampled_from([1e-4, -2e-4]))
    def mark(self, step, rate):
        self.put(Kind.TICKER, round(self.last + step, 2), aux_qty=rate)

    @rule(hours=st.integers(1, 30))
    def wait(self, hours):
        self.now += hours * HOUR
        self.exchange.advance(self.now)

    @rule(
        buy=st.booleans(),
        qty=st.sampled_from(["0.1", "0.7", "3"]),
        away=st.one_of(st.none(), st.integers(-20, 20)),
        tif=st.sampled_from(["GTC", "PostOnly", "IOC", "FOK"]),
        reduce=st.booleans(),
        stops=st.sampled_from(["", "Full", "Partial"]),
        trigger=st.one_of(st.none(), st.integers(-10, 10)),
        idx=st.integers(1, 2),
    )
    def create(self, buy, qty, away, tif, reduce, stops, trigger, idx):
        self.count += 1
        side = 1 if buy else -1
        fields = {
            "side": "Buy" if buy else "Sell",
            "qty": qty,
            "orderLinkId": f"o{self.count}",
            "positionIdx": idx if self.hedge else 0,
            "orderType": "Market" if away is None else "Limit",
            "timeInForce": tif,
        }
        base = self.last if away is None else round(self.last + away * 0.5, 2)
        if away is not None:
            fields["price"] = f"{base:.2f}"
        if reduce:
            fields["reduceOnly"] = True
        elif stops:
            fields |= {"stopLoss": f"{base - side * 5.0:.2f}", "takeProfit": f"{base + side * 5.0:.2f}", "tpslMode": stops}
        if trigger:
            fields |= {"triggerPrice": f"{self.last + trigger:.2f}", "triggerDirection": 1 if trigger > 0 else 2}
        before, exposed = self.size(), self.margin()[1]
        closing = reduce or self.hedge and (idx == 1) != buy
        code, _ = self.order("order.create", fields)
        available, now_exposed = self.margin()
        # an order that is filled at once pays its fee, and may fill better than it reserved for
        assert code or available > -0.01 * self.equity or now_exposed <= exposed + 1e-6, "taken without the margin for it"
        if closing:
            assert abs(self.size().get(fields["positionIdx"], 0.0)) <= abs(before.get(fields["positionIdx"], 0.0)), "reduce-only has opened"

    def margin(self):
        """(what may be used for new orders, value at risk), worked out from what is open."""
        truth, mark, fee = self.exchange.truth(self.account), self.exchange.positions.mark(ETH), 0.00055
        needed, equity, exposed = 0.0, truth["balance"], 0.0
        for idx in (0, 1, 2):
            p = truth["positions"].get(("ETHUSDT", idx), {"qty": 0.0, "entry": 0.0})
            orders = [o for o in truth["orders"] if o["idx"] == idx and not o["reduce_only"] and o["status"] != "Untriggered"]
            caps = {o.id: o.cap / 100 for o in self.account.open.values()}
            worth = {side: sum(o["left"] * (o["price"] or caps[o["order_id"]]) for o in orders if o["side"] == side) for side in (1, -1)}
            held = p["qty"] * mark
            most = max(abs(held), abs(held + worth[1]), abs(held - worth[-1]))
            needed += most / 10.0 + abs(held) * fee + (most - abs(held)) * 2 * fee
            equity += (mark - p["entry"]) * p["qty"]
            exposed += most
        assert truth["equity"] == pytest.approx(equity, abs=1e-6) and truth["available"] == pytest.approx(equity - needed, abs=1e-2)
        return equity - needed, exposed

    def size(self):
        return {idx: p["qty"] for (_, idx), p in self.exchange.truth(self.account)["positions"].items()}

    @rule(which=st.integers(0, 50), price=st.one_of(st.none(), st.integers(-20, 20)), qty=st.one_of(st.none(), st.sampled_from(["0.3", "2"])))
    def amend(self, which, price, qty):
        found = self.exchange.truth(self.account)["orders"]
        if found:
            fields = {"orderId": found[which % len(found)]["order_id"]} | ({"qty": qty} if qty else {})
            name = "triggerPrice" if found[which % len(found)]["status"] == "Untriggered" else "price"
            self.order("order.amend", fields | ({name: f"{self.last + price * 0.5:.2f}"} if price else {}))

    @rule(which=st.integers(0, 50))
    def cancel(self, which):
        found = self.exchange.truth(self.account)["orders"]
        if found:
            code, text = self.order("order.cancel", {"orderId": found[which % len(found)]["order_id"]})
            assert code == 0, text

    @rule(stop=st.integers(-10, 10), trail=st.sampled_from(["", "0", "3"]), idx=st.integers(1, 2))
    def protect(self, stop, trail, idx):
        body = {
            "category": "linear",
            "symbol": "ETHUSDT",
            "positionIdx": idx if self.hedge else 0,
            "trailingStop": trail,
            "stopLoss": f"{self.last + stop:.2f}",
        }
        self.exchange.rest("POST", "/v5/position/trading-stop", "", orjson.dumps(body), self.account, self.now)

    @rule(kind=st.sampled_from(["adl", "cancel-all", "liquidate"]), idx=st.integers(1, 2))
    def force(self, kind, idx):
        if kind == "adl":
            self.exchange.deleverage(self.account, "ETHUSDT", self.now, share=0.4, position_idx=idx if self.hedge else 0)
        elif kind == "cancel-all":
            self.exchange.rest("POST", "/v5/order/cancel-all", "", b'{"category":"linear","symbol":"ETHUSDT"}', self.account, self.now)
        elif self.count % 7 == 0:
            self.exchange.liquidate(self.account, self.now)

    @invariant()
    def the_books_agree(self):
        if not hasattr(self, "exchange"):
            return
        self.hear()
        truth = self.exchange.truth(self.account)
        lots: dict[int, float] = {}
        money = 0.0
        for row in self.executions:
            money += float(row["execPnl"]) - float(row["execFee"])
            if row["execType"] != "Funding":
                idx = self.account.orders[row["orderId"]].idx
                lots[idx] = lots.get(idx, 0.0) + float(row["execQty"]) * (1 if row["side"] == "Buy" else -1)
        assert {k: round(v, 6) for k, v in lots.items() if abs(v) > 1e-9} == {k: round(v, 6) for k, v in self.size().items()}
        assert abs(self.equity + money - truth["balance"]) < 1e-6 * (1 + len(self.executions))
        if self.hedge:
            assert all((qty > 0) == (idx == 1) for idx, qty in self.size().items())

    def hear(self):
        for _, topic, _, rows in self.exchange.take():
            if topic == "execution":
                self.executions += rows
            elif topic == "order":
                for row in rows:
                    before = self.orders.get(row["orderId"])
                    assert before is None or before["orderStatus"] in OPEN, "said of an order that has ended"
                    assert before is None or float(row["cumExecQty"]) >= float(before["cumExecQty"])
                    self.orders[row["orderId"]] = row

    @invariant()
    def the_margin_is_right(self):
        if hasattr(self, "exchange"):
            self.margin()

    @invariant()
    def no_order_is_lost(self):
        if not hasattr(self, "exchange"):
            return
        self.hear()
        truth = self.exchange.truth(self.account)
        opened = {key for key, row in self.orders.items() if row["orderStatus"] in OPEN}
        assert opened == {o["order_id"] for o in truth["orders"]} and self.acked <= set(self.orders)
        done: dict[str, float] = {}
        for row in self.executions:
            done[row["orderId"]] = done.get(row["orderId"], 0.0) + float(row["execQty"])
        for key, row in self.orders.items():
            assert abs(done.get(key, 0.0) - float(row["cumExecQty"])) < 1e-9
        slots = sum(self.exchange.matcher.waiting(n) for n in range(len(CONTRACTS)))
        assert slots == len(truth["orders"]), "an order rests that nobody knows, or one is known that cannot fill"

    @invariant()
    def stops_fit_their_position(self):
        if not hasattr(self, "exchange"):
            return
        assert self.exchange.positions.held_now == {h for h in self.account.holdings.values() if h.size}
        for h in self.account.holdings.values():
            for stop in [*h.stops.values(), *h.partial]:
                assert h.size and stop.open and stop.side * h.size < 0
            for stop in h.stops.values():
                assert stop.left == abs(h.size)
        for h in self.account.holdings.values():
            owed = [o for o in self.account.open.values() if (o.n, o.idx) == (h.n, h.idx) and not o.reduce and not o.waiting]
            assert h.buys == pytest.approx(sum(o.value() for o in owed if o.side > 0), abs=1e-3)
            assert h.sells == pytest.approx(sum(o.value() for o in owed if o.side < 0), abs=1e-3)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


@both
def test_the_liquidation_price_of_a_hedge(side):
    """Both sides move with one mark; "" where no mark within the contract's prices liquidates."""
    floor = Floor(side, equity=2000.0)
    floor.post("/v5/position/switch-mode", mode=3)
    mine, other = (1, 2) if side == LONG else (2, 1)
    floor.create(qty="3", positionIdx=mine)
    alone = float(floor.rows["position"][-1]["liqPrice"])
    assert floor.create(floor.close, qty="1", positionIdx=other)[0] == 0
    rows = {row["positionIdx"]: row for row in floor.get("/v5/position/list")["list"]}
    level = float(rows[mine]["liqPrice"])
    assert (alone - level) * side > 200.0 and rows[other]["liqPrice"] == "", "a third of it is hedged; the hedge itself gains by that move"
    for mark in (level + 1.0 * side, level - 1.0 * side):
        floor.put(kind=Kind.TICKER, price=mark)
        assert floor.account.liquidating == (mark == level - 1.0 * side)


def test_a_liquidation_price_beyond_the_highest_price_is_none():
    floor = Floor(SHORT, equity=100_000.0)
    floor.enter("1")
    assert floor.rows["position"][-1]["liqPrice"] == "" and floor.rows["position"][-1]["size"] == "1"
