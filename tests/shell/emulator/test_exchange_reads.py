"""REST answers of the emulated venue: pages, filters, what is stale, what the venue has no answer to; and that everything follows from the seed."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import orjson
import pytest

import liqcore as lc
from exchange_floor import T0, Floor
from liqshell.emulator.exchange.exchange import READS, WRITES, Exchange, Settings
from liqshell.emulator.market.contracts import CONTRACTS

LINEAR = "category=linear&symbol=ETHUSDT"


def pages(floor: Floor, path: str, query: str) -> list[list[dict]]:
    out, cursor = [], ""
    while True:
        result = floor.get(path, query + (f"&cursor={cursor}" if cursor else ""))
        out.append(result["list"])
        cursor = result["nextPageCursor"]
        if not cursor:
            return out


def test_open_orders_are_paged_newest_first():
    floor = Floor(equity=1e6)
    links = [floor.limit(2490.0 - k)[1] for k in range(25)]
    found = pages(floor, "/v5/order/realtime", LINEAR + "&limit=10")
    assert [len(page) for page in found] == [10, 10, 5]
    assert [row["orderLinkId"] for page in found for row in page] == links[::-1]
    assert len(floor.get("/v5/order/realtime")["list"]) == 20
    assert len(floor.get("/v5/order/realtime", "category=linear&settleCoin=USDT&limit=50")["list"]) == 25
    assert floor.get("/v5/order/realtime", "category=linear&symbol=BTCUSDT")["list"] == []
    assert floor.get("/v5/order/realtime", "category=inverse&settleCoin=BTC")["list"] == []
    for query in ("category=linear", "category=linear&symbol=X", LINEAR + "&limit=51", LINEAR + "&limit=x", LINEAR + "&cursor=x", "category=futures"):
        assert floor.exchange.rest("GET", "/v5/order/realtime", query, b"", floor.account, floor.now)[0] == 10001


def test_an_order_is_found_by_its_id_whatever_has_become_of_it():
    floor = Floor(equity=1e6)
    filled, (_, live), (_, gone) = floor.enter(), floor.limit(2490.0), floor.limit(2489.0)
    floor.cancel(gone)
    for link, status in ((filled, "Filled"), (live, "New"), (gone, "Cancelled")):
        for symbol in ("ETHUSDT", "ETHUSDT-LINEAR"):
            rows = floor.get("/v5/order/realtime", f"category=linear&symbol={symbol}&orderLinkId={link}")["list"]
            assert [row["orderStatus"] for row in rows] == [status]
        by_id = floor.get("/v5/order/realtime", f"category=linear&orderId={rows[0]['orderId']}")["list"]
        assert by_id == rows
        in_history = floor.get("/v5/order/history", f"category=linear&orderLinkId={link}")["list"]
        assert in_history == ([] if status == "New" else rows)
    assert floor.get("/v5/order/realtime", "category=linear&orderLinkId=nobody")["list"] == []
    ended = floor.get("/v5/order/realtime", LINEAR + "&openOnly=1")["list"]
    assert [row["orderLinkId"] for row in ended] == [gone, filled]
    assert [row["orderLinkId"] for row in floor.get("/v5/order/history", LINEAR)["list"]] == [gone, filled]
    assert [row["orderLinkId"] for row in floor.get("/v5/order/history", LINEAR + "&orderStatus=Filled")["list"]] == [filled]


def test_executions():
    floor = Floor(equity=1e6)
    links = []
    for _k in range(7):
        links.append(floor.create(qty="0.1")[1])
        floor.now += lc.SECOND
    found = pages(floor, "/v5/execution/list", LINEAR + "&limit=3")
    assert [len(page) for page in found] == [3, 3, 1]
    rows = [row for page in found for row in page]
    assert [row["orderLinkId"] for row in rows] == links[::-1] and len({row["execId"] for row in rows}) == 7
    third = int(rows[4]["execTime"])
    assert len(floor.get("/v5/execution/list", LINEAR + f"&startTime={third}")["list"]) == 5
    assert len(floor.get("/v5/execution/list", LINEAR + f"&startTime={third}&endTime={third}")["list"]) == 1
    assert len(floor.get("/v5/execution/list", LINEAR + f"&orderLinkId={links[0]}")["list"]) == 1
    assert floor.get("/v5/execution/list", LINEAR + "&execType=Funding")["list"] == []
    week = 7 * 86_400_000
    assert floor.exchange.rest("GET", "/v5/execution/list", LINEAR + f"&startTime=0&endTime={week + 1}", b"", floor.account, floor.now)[0] == 10001


@pytest.mark.parametrize("side", [1, -1])
def test_closed_profit(side):
    floor = Floor(side, equity=1e6)
    floor.enter("2")
    floor.create(floor.close, qty="0.5", reduceOnly=True)
    floor.create(floor.close, qty="3")  # closes 1.5 and opens the other way
    rows = floor.get("/v5/position/closed-pnl")["list"]
    assert [row["closedSize"] for row in rows] == ["1.5", "0.5"] and rows[0]["side"] == floor.close
    assert {float(row["avgEntryPrice"]) for row in rows} == {floor.price(2499.5)}
    opening, closing = floor.price(2499.5) * 0.0002, floor.price(2499.99) * 0.00055  # of each ETH
    for row, qty in zip(rows, (1.5, 0.5), strict=True):
        assert float(row["openFee"]) == pytest.approx(qty * opening) and float(row["closeFee"]) == pytest.approx(qty * closing)
        assert float(row["closedPnl"]) == pytest.approx(qty * (0.49 - opening - closing))
    told = [row for row in floor.rows["order"] if row["orderStatus"] == "Filled"]
    assert [row["closedPnl"] for row in told] == ["0", rows[1]["closedPnl"], rows[0]["closedPnl"]], "the order says the same"
    # what has turned the position opens with its own fee, and that is what the next close pays
    assert float(floor.rows["position"][-1]["curRealisedPnl"]) == pytest.approx(-1.5 * closing)
    floor.create(floor.open, qty="1.5", reduceOnly=True)
    last = floor.get("/v5/position/closed-pnl")["list"][0]
    assert float(last["openFee"]) == pytest.approx(1.5 * closing) and last["side"] == floor.open
    assert sum(float(row["closedPnl"]) for row in floor.get("/v5/position/closed-pnl")["list"]) == pytest.approx(floor.truth["balance"] - 1e6)


def test_closed_profit_is_what_the_venue_says_it_is():
    """Numbers of real orders: bought at 64809.6, sold at 64627.3, fees 0.03564528 and 0.03554502: closedPnl -0.2534903."""
    from liqshell.emulator.exchange.accounts import Account, Holding
    from liqshell.emulator.market.contracts import CONTRACTS

    held = Holding(Account("k", "s", 1, "n", 1.0, 10), 0, CONTRACTS[0], 0, 10.0)
    held.move(1, 64809.6, 1)
    assert held.charge(0.03564528, 1, 0) == (0.0, 0.0)
    profit, closed = held.move(-1, 64627.3, 1)
    opening, closing = held.charge(0.03554502, 1, closed)
    assert round(profit - opening - closing, 7) == -0.2534903 and held.fees == 0.0


def test_what_is_long_over_is_forgotten():
    floor = Floor(equity=1e6, history_max=600)
    links = []
    for _ in range(650):
        links.append(floor.limit(2490.0)[1])
        floor.amend(links[-1], qty="2")
        floor.cancel(links[-1])
    assert len(floor.account.ended) == 600 and len(floor.truth["ended"]) == 600 and links[0] not in floor.truth["ended"]
    assert {len(o.versions) for o in list(floor.account.ended)[:100]} == {1} and len(floor.account.ended[-1].versions) == 3
    assert floor.limit(2490.0, orderLinkId=links[0])[0] == 110072 and floor.amend(links[0], qty="1") == 110001


def test_positions_and_money():
    floor = Floor()
    flat = floor.get("/v5/position/list")["list"]
    assert len(flat) == 1 and flat[0]["size"] == "0" and flat[0]["side"] == "" and flat[0]["avgPrice"] == "0" and flat[0]["liqPrice"] == ""
    assert floor.get("/v5/position/list", "category=linear&settleCoin=USDT")["list"] == []
    floor.enter("1", stopLoss="2400")
    held = floor.get("/v5/position/list", "category=linear&settleCoin=USDT")["list"]
    assert [(row["side"], row["size"], row["avgPrice"], row["stopLoss"]) for row in held] == [("Buy", "1", "2499.5", "2400")]
    assert floor.exchange.rest("GET", "/v5/position/list", "category=linear", b"", floor.account, floor.now)[0] == 10001
    floor.ticker(2600.0)
    assert floor.get("/v5/position/list")["list"][0]["unrealisedPnl"] == "100.5"
    wallet = floor.get("/v5/account/wallet-balance", "accountType=UNIFIED")["list"][0]
    assert wallet["accountType"] == "UNIFIED" and float(wallet["totalEquity"]) == pytest.approx(floor.truth["equity"])
    assert floor.exchange.rest("GET", "/v5/account/wallet-balance", "accountType=SPOT", b"", floor.account, floor.now)[0] == 10001


def test_the_account():
    floor = Floor(maker_fee=0.0001)
    assert floor.get("/v5/account/info")["unifiedMarginStatus"] in (5, 6)
    rates = floor.get("/v5/account/fee-rate", "category=linear")["list"]
    assert {row["symbol"] for row in rates} == {c.symbol for c in CONTRACTS} and {(r["makerFeeRate"], r["takerFeeRate"]) for r in rates} == {
        ("0.0001", "0.00055")
    }
    assert "USDT" in {row["coin"] for row in floor.get("/v5/asset/coin/query-info")["rows"]}
    assert floor.get("/v5/account/query-dcp-info") == {"dcpInfos": []}
    assert floor.post("/v5/order/disconnected-cancel-all", timeWindow=10)[0] == 10005, "a retail account has no dead-man switch"
    assert "secret" not in repr(floor.account)


def test_what_is_not_there():
    floor = Floor()
    x, now = floor.exchange, floor.now
    assert (
        x.rest("GET", "/v5/nowhere", "", b"", floor.account, now)[0] == 10017
        and x.rest("PUT", "/v5/order/create", "", b"", floor.account, now)[0] == 10017
    )
    assert (
        x.rest("POST", "/v5/order/create", "", b"{", floor.account, now)[0] == 10001
        and x.rest("POST", "/v5/order/create", "", b"[]", floor.account, now)[0] == 10001
    )
    for path in [*READS, *WRITES]:
        assert x.rest("GET" if path in READS else "POST", path, LINEAR, b"{}", None, now)[0] == 10005
    with pytest.raises(ValueError, match="key"):
        x.open_account("key", "s")
    with pytest.raises(ValueError, match="equity"):
        x.open_account("other", "s", 0.0)


def test_stale_answers_know_what_was_known_then():
    floor = Floor(equity=1e6)
    _, link = floor.limit(2499.5, stopLoss="2400")
    floor.now += lc.SECOND
    floor.trade(2499.0)
    order, position, fills = ("/v5/order/realtime", LINEAR), ("/v5/position/list", LINEAR), ("/v5/execution/list", LINEAR)
    assert [row["stopOrderType"] for row in floor.get(*order)["list"]] == ["StopLoss"] and floor.get(*position)["list"][0]["size"] == "1"
    floor.exchange.stale_ns = lc.SECOND // 2
    assert [(row["orderLinkId"], row["orderStatus"]) for row in floor.get(*order)["list"]] == [(link, "New")]
    assert floor.get(*position)["list"][0]["size"] == "0" and floor.get(*fills)["list"] == [] and floor.get("/v5/order/history", LINEAR)["list"] == []
    assert floor.get("/v5/order/realtime", f"category=linear&orderLinkId={link}")["list"][0]["orderStatus"] == "New"
    floor.exchange.stale_ns = 2 * lc.SECOND
    assert floor.get(*order)["list"] == [] and floor.get("/v5/order/realtime", f"category=linear&orderLinkId={link}")["list"] == []
    assert floor.get("/v5/account/wallet-balance", "accountType=UNIFIED")["list"][0]["totalEquity"] == "1000000"
    floor.now += 3 * lc.SECOND
    assert [row["stopOrderType"] for row in floor.get(*order)["list"]] == ["StopLoss"] and len(floor.get(*fills)["list"]) == 1


def test_everything_said_is_json_with_the_fields_that_clients_read():
    floor = Floor(equity=1e6)
    floor.enter("1", stopLoss="2400", takeProfit="2600")
    floor.create("Sell", qty="0.5", reduceOnly=True)
    for topic, names in {
        "order": "category symbol orderId orderLinkId side positionIdx orderStatus cancelType rejectReason createType stopOrderType price qty leavesQty "
        "cumExecQty cumExecValue avgPrice cumFeeDetail timeInForce orderType triggerPrice takeProfit stopLoss reduceOnly closeOnTrigger closedPnl "
        "createdTime updatedTime triggerDirection triggerBy tpslMode parentOrderLinkId",
        "execution": "category symbol execId orderId orderLinkId side execPrice execQty execValue execFee feeRate execPnl execType isMaker leavesQty closedSize "
        "execTime seq createType orderType stopOrderType orderPrice orderQty markPrice feeCoin",
        "position": "category symbol side size positionIdx entryPrice leverage liqPrice markPrice unrealisedPnl curRealisedPnl cumRealisedPnl positionStatus "
        "adlRankIndicator seq createdTime updatedTime positionValue takeProfit stopLoss trailingStop positionIM positionMM tradeMode",
        "wallet": "accountType totalEquity totalWalletBalance totalMarginBalance totalAvailableBalance totalPerpUPL totalInitialMargin "
        "totalMaintenanceMargin accountIMRate accountMMRate coin",
    }.items():
        for row in floor.rows[topic]:
            assert not set(names.split()) - set(row), topic
            assert topic != "execution" or "positionIdx" not in row, "the venue does not say it there: a bot must not learn to read it"
            assert json.loads(orjson.dumps(row)) == row


def story(seed: int) -> bytes:
    """A day at the venue, as bytes."""
    r = np.random.default_rng(5)
    floor = Floor(equity=1e6, seed=seed, fills="queue", taker="walk")
    said = []
    for _k in range(300):
        price = 2500.0 + float(r.integers(-40, 40)) / 4
        choice = int(r.integers(0, 6))
        if choice == 0:
            floor.limit(price, "Buy" if r.random() < 0.5 else "Sell", qty="0.3", timeInForce="GTC")
        elif choice == 1:
            floor.create(qty="0.2", stopLoss="2400")
        elif choice == 2:
            floor.cancel(f"L{int(r.integers(1, 50))}")
        elif choice == 3:
            floor.quote(price, price + 0.5)
        else:
            floor.trade(price)
        floor.hear()
        said.append(orjson.dumps(floor.last))
    return b"".join(said)


def test_the_seed_decides_every_byte():
    assert story(1) == story(1) != story(2)


def test_time_runs_forwards():
    exchange = Exchange(CONTRACTS, Settings())
    rows = np.zeros(2, lc.EVENT_DTYPE)
    rows["ts_recv"], rows["kind"], rows["price"] = [T0, T0 - 1], lc.Kind.TRADE, 2500.0
    with pytest.raises(ValueError, match=r"events\[1\].ts_recv"):
        exchange.on_events(rows)
    rows["ts_recv"], rows["instrument"] = T0 + 1, 99
    with pytest.raises(ValueError, match="instrument"):
        exchange.on_events(rows)
    with pytest.raises(TypeError, match="EVENT_DTYPE"):
        exchange.on_events(np.zeros(1))


def test_the_page_about_the_model_names_every_setting():
    page = (Path(__file__).parents[3] / "docs" / "venue-model.md").read_text()
    table = {name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert table == {f.name for f in fields(Settings)}


@pytest.mark.parametrize("side", [1, -1])
def test_the_log_of_the_account_adds_up(side):
    floor = Floor(side, equity=1e6)
    floor.ticker(2500.0, rate=1e-4)
    floor.enter("2")
    floor.exchange.advance(floor.now + 4 * 3600 * lc.SECOND)  # a funding
    floor.now += 4 * 3600 * lc.SECOND
    floor.quote(2499.99, 2500.01)  # the one before has ended
    floor.create(floor.close, qty="3")  # closes and turns
    floor.exchange.deleverage(floor.account, "ETHUSDT", floor.now)
    rows = floor.get("/v5/account/transaction-log", "accountType=UNIFIED&category=linear&currency=USDT")["list"]
    assert [row["type"] for row in rows] == ["ADL", "TRADE", "SETTLEMENT", "TRADE"]
    assert [float(row["size"]) for row in rows] == [0.0, -1.0 * side, 2.0 * side, 2.0 * side]
    balance = 1e6
    for row in reversed(rows):
        change = float(row["cashFlow"]) + float(row["funding"] or 0) - float(row["fee"])
        assert float(row["change"]) == pytest.approx(change, abs=1e-7)
        balance += float(row["change"])
        assert float(row["cashBalance"]) == pytest.approx(balance, abs=1e-6)
    assert balance == pytest.approx(floor.truth["balance"], abs=1e-6)
    assert float(rows[2]["funding"]) == pytest.approx(-side * 2 * 2500.0 * 1e-4) and float(rows[2]["feeRate"]) == pytest.approx(side * 1e-4)
    assert [row["type"] for row in floor.get("/v5/account/transaction-log", "type=SETTLEMENT&limit=1")["list"]] == ["SETTLEMENT"]
    assert floor.get("/v5/account/transaction-log", "currency=BTC")["list"] == []
    found = pages(floor, "/v5/account/transaction-log", "category=linear&limit=3")
    assert [row for page in found for row in page] == rows


def test_margin_modes_that_a_unified_account_has_not():
    floor = Floor()
    assert floor.post("/v5/account/set-margin-mode", setMarginMode="REGULAR_MARGIN") == (0, {"reasons": []})
    assert floor.post("/v5/account/set-margin-mode", setMarginMode="ISOLATED_MARGIN")[0] == 3400045
    assert floor.post("/v5/account/set-margin-mode", setMarginMode="x")[0] == 10001
    assert floor.post("/v5/position/switch-isolated", tradeMode=1)[0] == 100028


def test_the_page_names_every_path():
    from pathlib import Path

    from liqshell.emulator.exchange.exchange import ORDERS, READS, WRITES
    from liqshell.emulator.market.bybit_frames import SERVED
    from liqshell.emulator.server.market_queries import MarketQueries

    page = (Path(__file__).parents[3] / "docs/emulator.md").read_text()
    said = set(page[page.index("| REST, market |") : page.index("Not emulated: spot")].replace("|", " ").replace(",", " ").replace(";", " ").split())
    wanted = {path.removeprefix("/v5/") for path in (*READS, *WRITES, *ORDERS)} | set(MarketQueries({})._answers) | set(SERVED) | {"kline"}
    assert not wanted - said


def test_open_interest():
    from liqshell.emulator.market.market_state import SymbolState
    from liqshell.emulator.server.market_queries import MarketQueries

    state = SymbolState(CONTRACTS[0])
    ask = MarketQueries({"BTCUSDT": state})
    query = "category=linear&symbol=BTCUSDT&intervalTime=1h"
    assert ask("/v5/market/open-interest", query, T0)[2]["list"] == []
    state.ticker["openInterest"] = "52000.5"
    assert ask("/v5/market/open-interest", query, T0 + 5 * lc.SECOND)[2]["list"] == [{"openInterest": "52000.5", "timestamp": str(T0 // 1_000_000)}]
    assert ask("/v5/market/open-interest", "symbol=BTCUSDT&intervalTime=2h", T0)[0] == 10001
