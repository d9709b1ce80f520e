"""A market that begins now: times and candles of today, statistics of 24 hours that follow from the candles, and the paths that clients ask for."""

import asyncio
import json
import random
import time
from typing import Any

import pytest

from account_client import AccountClient, trade
from emulator_client import Client, talk
from liqshell.clock import STANDSTILL, Clock
from liqshell.commands.emulate import emulate
from liqshell.emulator.market.agents import BLOCK_NS, START_NS
from liqshell.emulator.market.bars import DAY_MINUTES, KEPT, MINUTE_MS, PAST_MINUTES, Bars, MadePast
from liqshell.emulator.market.contracts import CONTRACTS
from liqshell.emulator.server import Config
from liqshell.emulator.server.options import feed_of
from liqshell.errors import ConfigError

DAY_MS = DAY_MINUTES * MINUTE_MS


def stand_still(client: Client) -> None:
    """The market stops while it is asked."""
    client.emulator.pump.cancel()
    client.emulator._set_clock(Clock(STANDSTILL, client.emulator.now_ns()))


# ---- candles


def naive(prints: list[tuple[int, float, float]], until: int) -> list[list[float]]:
    """Minutes from the first print to `until`, flat where nothing was traded."""
    out: list[list[float]] = []
    for start in range(prints[0][0] // MINUTE_MS * MINUTE_MS, until + 1, MINUTE_MS):
        mine = [(price, qty) for t, price, qty in prints if start <= t < start + MINUTE_MS]
        prices = [price for price, _ in mine] or [out[-1][4]]
        out.append([start, prices[0], max(prices), min(prices), prices[-1], sum(q for _, q in mine), sum(p * q for p, q in mine)])
    return out


def longer(minutes: list[list[float]], step: int) -> list[list[float]]:
    """Minutes as longer candles."""
    out: dict[float, list[float]] = {}
    for t, o, h, low, c, v, turnover in minutes:
        start = t - t % step
        if start not in out:
            out[start] = [start, o, h, low, c, v, turnover]
        else:
            bar = out[start]
            bar[2:7] = [max(bar[2], h), min(bar[3], low), c, bar[5] + v, bar[6] + turnover]
    return list(out.values())


def close(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(x == pytest.approx(y, rel=1e-9) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_candles_are_those_of_the_prints(seed: int) -> None:
    """Against a plain count, with minutes without trades, questions in between, and more days than are kept."""
    draw, bars, t, price = random.Random(seed), Bars(2, 3), 1_772_629_200_000, 100.0
    prints: list[tuple[int, float, float]] = []
    for _ in range(1_500):
        t += draw.choice((200, 3_000, 40_000, 61_000, 400_000)) * draw.randint(1, 3)
        price = round(price + draw.uniform(-1.0, 1.0), 2)
        prints.append((t, price, draw.randint(1, 900) / 1_000))
        bars.push(*prints[-1])
        if draw.random() < 0.2:  # who asks changes nothing
            bars.rows(5 * MINUTE_MS, t + draw.randint(0, 50), limit=3)
    now = t + draw.choice((0, 10, 200_000))
    minutes = naive(prints, now)
    for step in (MINUTE_MS, 5 * MINUTE_MS, 60 * MINUTE_MS):
        want = longer(minutes, step)
        assert all(close(a, b) for a, b in zip(bars.rows(step, now, limit=50).tolist(), want[-50:], strict=True))
        middle = want[len(want) // 2]
        after = bars.rows(step, now, start=int(middle[0]) + 7, limit=5).tolist()
        assert [row[0] for row in after] == [row[0] for row in want if row[0] >= middle[0]][:5]
        within = bars.rows(step, now, start=int(middle[0]), end=int(middle[0]) + 2 * step, limit=100).tolist()
        assert [row[0] for row in within] == [middle[0], middle[0] + step, middle[0] + 2 * step]
        assert [row[0] for row in bars.rows(step, now, end=int(middle[0]) + 1, limit=2).tolist()] == [middle[0] - step, middle[0]]
    last = minutes[-DAY_MINUTES:]
    day = bars.day(now)
    assert close(
        (day.high, day.low, day.before, day.hour, day.volume, day.turnover),
        (
            max(row[2] for row in last),
            min(row[3] for row in last),
            last[0][1],
            last[-60][1],
            sum(row[5] for row in last),
            sum(row[6] for row in last),
        ),
    )


def test_the_oldest_day_goes() -> None:
    bars, start = Bars(2, 3), 1_772_629_200_000
    for k in range(KEPT + 5 * DAY_MINUTES):
        bars.push(start + k * MINUTE_MS, 100.0 + k % 7, 1.0)
    now = start + (KEPT + 5 * DAY_MINUTES - 1) * MINUTE_MS
    rows = bars.rows(MINUTE_MS, now, limit=10 * KEPT)
    assert KEPT - DAY_MINUTES <= len(rows) <= KEPT + 1 and rows[-1, 0] == now and set((rows[1:, 0] - rows[:-1, 0]).tolist()) == {MINUTE_MS}
    assert bars.day(now).volume == DAY_MINUTES


def test_the_made_up_past_ends_where_the_market_begins() -> None:
    for contract in CONTRACTS:
        price, start = contract.price, 1_772_629_200_000
        rows, again = MadePast(contract, 3)(price, start), MadePast(contract, 3)(price, start)
        assert (rows == again).all() and (rows != MadePast(contract, 4)(price, start)).any()
        assert len(rows) == PAST_MINUTES and rows[-1, 0] == start - MINUTE_MS and rows[-1, 4] == pytest.approx(price, abs=1.0 / contract.tick_power)
        o, h, low, c, volume, turnover = rows[:, 1:].T
        assert (h >= o).all() and (h >= c).all() and (low <= o).all() and (low <= c).all() and (low > 0.0).all() and (volume > 0.0).all()
        assert (o[1:] == c[:-1]).all() and (turnover <= volume * h * (1 + 1e-9)).all() and (turnover >= volume * low * (1 - 1e-9)).all()
        daily = abs(c[DAY_MINUTES - 1 :: DAY_MINUTES] / o[::DAY_MINUTES] - 1.0)
        assert 0.003 < daily.mean() < 0.15


# ---- today


def test_the_market_of_today() -> None:
    async def conversation(client: Client) -> None:
        for _ in range(2):
            now = await client.rest("/v5/market/time")
            assert abs(int(now["result"]["timeNano"]) / 1e9 - time.time()) < 0.5
        bars = (await client.rest("/v5/market/kline?category=linear&symbol=SOLUSDT&interval=5&limit=1000"))["result"]["list"]
        starts = [int(bar[0]) for bar in bars]
        assert len(bars) == 1000 and starts == list(range(starts[0], starts[0] - 1000 * 300_000, -300_000))
        assert 0 <= time.time() * 1e3 - starts[0] < 301_000 and all(float(bar[5]) >= 0.0 for bar in bars)
        trades = (await client.rest("/v5/market/recent-trade?category=linear&symbol=SOLUSDT&limit=5"))["result"]["list"]
        assert time.time() * 1e3 - float(trades[0]["time"]) < 40_000
        funding = (await client.rest("/v5/market/funding/history?category=linear&symbol=SOLUSDT&limit=9"))["result"]["list"]
        assert len(funding) == 9 and all(int(row["fundingRateTimestamp"]) % 28_800_000 == 0 for row in funding)
        assert (await client.rest("/v5/market/funding/history?category=linear&symbol=SOLUSDT&startTime=1"))["retCode"] == 10001
        await client.subscribe(["kline.1.BTCUSDT"])
        frame = await client.next(lambda frame: frame.get("topic") == "kline.1.BTCUSDT")
        assert abs(frame["ts"] / 1e3 - time.time()) < 2.0

    talk(conversation, at_now=True, speed=1.0)


@pytest.mark.parametrize("into_s", [0.0, 0.001, 30.0, 59.9])
def test_every_contract_has_traded_when_the_first_client_asks(monkeypatch: pytest.MonkeyPatch, into_s: float) -> None:
    """A market that began with its first block had no candles where that block had just begun."""
    now = START_NS // BLOCK_NS * BLOCK_NS + 7 * BLOCK_NS + int(into_s * 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: now)
    feed = feed_of(Config(at_now=True, symbols=("BTCUSDT", "SOLUSDT")))
    feed.prepare()
    feed.until(now)
    assert feed.start_ns <= now - BLOCK_NS and all(state.bars.known and state.mark.known for state in feed.states.values())


def test_a_market_of_today_waits_for_nobody() -> None:
    for other in ({"wait_for_client": True}, {"lead_s": 1.0}, {"start_ns": 1}):
        with pytest.raises(ValueError, match="already runs"):
            Config(at_now=True, **other)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not a time"):
        emulate(at="yesterday")


# ---- statistics of 24 hours


async def pages(client: Client, symbol: str) -> list[list[float]]:
    """The minutes of 24 hours, the running one included."""
    out: list[list[float]] = []
    end = ""
    while len(out) < DAY_MINUTES:
        path = f"/v5/market/kline?category=linear&symbol={symbol}&interval=1&limit=1000{end}"
        rows = (await client.rest(path))["result"]["list"]
        out += [[float(x) for x in row] for row in rows]
        end = f"&end={int(rows[-1][0]) - 1}"
    return out[:DAY_MINUTES]


def test_statistics_of_24_hours_follow_from_the_candles() -> None:
    async def conversation(client: Client) -> None:
        await asyncio.sleep(0.5)
        stand_still(client)
        for symbol in ("BTCUSDT", "SOLUSDT"):
            one = (await client.rest(f"/v5/market/tickers?category=linear&symbol={symbol}"))["result"]["list"][0]
            minutes = await pages(client, symbol)
            last, high, low, before = (float(one[name]) for name in ("lastPrice", "highPrice24h", "lowPrice24h", "prevPrice24h"))
            assert high == max(row[2] for row in minutes) and low == min(row[3] for row in minutes)
            assert high >= last >= low > 0.0 and high >= before >= low
            assert before == minutes[-1][1] and float(one["prevPrice1h"]) == minutes[59][1]
            assert float(one["price24hPcnt"]) == pytest.approx(last / before - 1.0, abs=1e-6)
            assert float(one["volume24h"]) == pytest.approx(sum(row[5] for row in minutes), rel=1e-6)
            assert float(one["turnover24h"]) == pytest.approx(sum(row[6] for row in minutes), rel=1e-6)
            assert low <= float(one["turnover24h"]) / float(one["volume24h"]) <= high
            assert float(one["singleOpenInterest"]) == pytest.approx(float(one["openInterest"]) / 2.0, rel=1e-3)

    talk(conversation, speed=100.0)


def test_the_ticker_stream_never_says_what_cannot_be() -> None:
    """High and low are of the moment, not of the minute before."""

    async def conversation(client: Client) -> None:
        await client.subscribe(["tickers.SOLUSDT"])
        known: dict[str, str] = {}
        for _ in range(200):
            known |= (await client.next(lambda frame: frame.get("topic") == "tickers.SOLUSDT"))["data"]
            last, high, low = (float(known[name]) for name in ("lastPrice", "highPrice24h", "lowPrice24h"))
            assert high >= last >= low and float(known["price24hPcnt"]) == pytest.approx(last / float(known["prevPrice24h"]) - 1.0, abs=2e-6)

    talk(conversation, speed=100.0)


# ---- paths of Bybit


def test_candles_of_mark_index_and_premium() -> None:
    async def conversation(client: Client) -> None:
        await asyncio.sleep(0.5)
        stand_still(client)
        found = {}
        for name in ("mark", "index", "premium-index"):
            path = f"/v5/market/{name}-price-kline?symbol=BTCUSDT&interval=1&limit=400"
            result = (await client.rest(path))["result"]
            assert result["symbol"] == "BTCUSDT" and result["category"] == "linear" and all(len(row) == 5 for row in result["list"])
            found[name] = {int(row[0]): [float(x) for x in row[1:]] for row in result["list"]}
            assert len(found[name]) == 400 and all(low <= min(o, c) <= max(o, c) <= high for o, high, low, c in found[name].values())
        ticker = (await client.rest("/v5/market/tickers?category=linear&symbol=BTCUSDT"))["result"]["list"][0]
        newest = max(found["mark"])
        assert found["mark"][newest][3] == pytest.approx(float(ticker["markPrice"]), rel=2e-3)
        for start in sorted(found["mark"])[:-2]:
            mark, index, premium = found["mark"][start][3], found["index"][start][3], found["premium-index"][start][3]
            assert premium == pytest.approx(mark / index - 1.0, abs=2e-6)
        assert (await client.rest("/v5/market/mark-price-kline?symbol=BTCUSDT&interval=7"))["retCode"] == 10001

    talk(conversation, speed=100.0)


def test_account_ratio_and_insurance() -> None:
    async def conversation(client: Client) -> None:
        await asyncio.sleep(0.2)
        path = "/v5/market/account-ratio?category=linear&symbol=BTCUSDT&period=1h&limit=3"
        first = (await client.rest(path))["result"]
        second = (await client.rest(path + "&cursor=" + first["nextPageCursor"]))["result"]["list"]
        rows = first["list"] + second
        assert [set(row) for row in rows] == [{"symbol", "buyRatio", "sellRatio", "timestamp"}] * 6
        times = [int(row["timestamp"]) for row in rows]
        assert times == list(range(times[0], times[0] - 6 * 3_600_000, -3_600_000))
        assert all(abs(float(row["buyRatio"]) + float(row["sellRatio"]) - 1.0) < 1e-9 for row in rows)
        assert (await client.rest("/v5/market/account-ratio?category=linear&symbol=BTCUSDT&period=2h"))["retCode"] == 10001
        pools = (await client.rest("/v5/market/insurance?coin=USDT"))["result"]
        assert set(pools) == {"updatedTime", "list"} and set(pools["list"][0]) == {"coin", "symbols", "balance", "value"}
        assert pools["list"][0]["symbols"] == "BTCUSDT,SOLUSDT" and (await client.rest("/v5/market/insurance?coin=BTC"))["result"]["list"] == []

    talk(conversation)


def test_collateral_and_greeks() -> None:
    async def conversation(client: AccountClient) -> None:
        row = (await client.rest("GET", "/v5/account/collateral-info", "currency=USDT"))["result"]["list"][0]
        assert (
            row.keys()
            == {
                "availableToBorrow",
                "freeBorrowingAmount",
                "freeBorrowAmount",
                "maxBorrowingAmount",
                "hourlyBorrowRate",
                "borrowUsageRate",
                "collateralSwitch",
                "borrowAmount",
                "borrowable",
                "currency",
                "otherBorrowAmount",
                "marginCollateral",
                "freeBorrowingLimit",
                "collateralRatio",
            }
            and row["currency"] == "USDT"
            and row["collateralSwitch"] is True
        )
        rows = (await client.rest("GET", "/v5/asset/coin-greeks", "baseCoin=BTC"))["result"]["list"]
        assert rows == [{"baseCoin": "BTC", "totalDelta": "0", "totalGamma": "0", "totalVega": "0", "totalTheta": "0"}]
        wallet = (await client.rest("GET", "/v5/account/wallet-balance", "accountType=UNIFIED"))["result"]["list"][0]
        assert {"accountIMRateByMp", "totalInitialMarginByMp", "accountMMRateByMp", "totalMaintenanceMarginByMp"} <= wallet.keys()
        while not client.emulator.states["BTCUSDT"].ticker:
            await asyncio.sleep(0.01)
        ticker = (await client.rest("GET", "/v5/market/tickers", "category=linear&symbol=BTCUSDT"))["result"]["list"][0]
        assert {
            "predictedDeliveryPrice",
            "basisRate",
            "deliveryFeeRate",
            "deliveryTime",
            "basis",
            "preOpenPrice",
            "preQty",
            "curPreListingPhase",
            "basisRateYear",
            "fundingCap",
            "singleOpenInterest",
        } <= ticker.keys()

    trade(conversation)


# ---- the venues beside it


def test_statistics_and_candles_of_binance() -> None:
    async def conversation(client: Client) -> None:
        await asyncio.sleep(0.5)
        emulator = client.emulator
        stand_still(client)
        rest = emulator.ready()["venues"]["binance"]["rest"]

        async def get(path: str, status: int = 200) -> Any:
            async with client.session.get(rest + path) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()

        day = await get("/fapi/v1/ticker/24hr?symbol=SOLUSDT")
        assert set(day) == {
            "symbol",
            "priceChange",
            "priceChangePercent",
            "weightedAvgPrice",
            "lastPrice",
            "lastQty",
            "openPrice",
            "highPrice",
            "lowPrice",
            "volume",
            "quoteVolume",
            "openTime",
            "closeTime",
            "firstId",
            "lastId",
            "count",
        }
        minutes = await get("/fapi/v1/klines?symbol=SOLUSDT&interval=1m&limit=1440")
        last, high, low, first = (float(day[name]) for name in ("lastPrice", "highPrice", "lowPrice", "openPrice"))
        assert len(minutes) == 1440 and minutes[0][0] == day["openTime"] and all(len(row) == 12 for row in minutes)
        assert high == max(float(row[2]) for row in minutes) and low == min(float(row[3]) for row in minutes) and first == float(minutes[0][1])
        assert high >= last >= low and float(day["priceChange"]) == pytest.approx(last - first, abs=1e-3)
        assert float(day["volume"]) == pytest.approx(sum(float(row[5]) for row in minutes), rel=1e-6)
        assert float(day["quoteVolume"]) == pytest.approx(sum(float(row[7]) for row in minutes), rel=1e-6)
        assert low <= float(day["weightedAvgPrice"]) <= high and day["count"] == day["lastId"] - day["firstId"] + 1 > 0
        assert {one["symbol"] for one in await get("/fapi/v1/ticker/24hr")} == {"BTCUSDT", "SOLUSDT"}
        price = await get("/fapi/v2/ticker/price?symbol=SOLUSDT")
        assert set(price) == {"symbol", "price", "time"} and price["price"] == day["lastPrice"]
        hour = minutes[-60][0] // 3_600_000 * 3_600_000
        some = await get(f"/fapi/v1/klines?symbol=SOLUSDT&interval=15m&startTime={hour - 1}&limit=3")
        assert [row[0] for row in some] == [hour, hour + 900_000, hour + 1_800_000] and some[0][6] == hour + 899_999
        marks = await get(f"/fapi/v1/markPriceKlines?symbol=SOLUSDT&interval=1h&startTime={hour}&endTime={hour}")
        assert [row[0] for row in marks] == [hour]
        found = await get("/fapi/v1/aggTrades?symbol=SOLUSDT&limit=20")
        assert [set(row) for row in found] == [{"a", "p", "q", "f", "l", "T", "m"}] * 20 and found[-1]["T"] >= found[0]["T"]
        assert [row["a"] for row in found] == list(range(found[0]["a"], found[0]["a"] + 20))
        assert (await get(f"/fapi/v1/aggTrades?symbol=SOLUSDT&fromId={found[3]['a']}&limit=2")) == found[3:5]
        funding = await get("/fapi/v1/fundingRate?symbol=SOLUSDT&limit=5")
        assert [set(row) for row in funding] == [{"symbol", "fundingRate", "fundingTime", "markPrice"}] * 5
        times = [row["fundingTime"] for row in funding]
        assert times == list(range(times[0], times[0] + 5 * 28_800_000, 28_800_000)) and all(float(row["markPrice"]) > 0.0 for row in funding)
        assert (await get("/fapi/v1/klines?symbol=SOLUSDT&interval=7m", 400))["code"] == -1120
        assert (await get("/fapi/v1/klines?symbol=SOLUSDT", 400))["code"] == -1102
        assert (await get("/fapi/v1/aggTrades?symbol=SOLUSDT&limit=x", 400))["code"] == -1102

    talk(conversation, speed=100.0, venues=("bybit", "binance"))


def test_statistics_and_candles_of_okx() -> None:
    async def conversation(client: Client) -> None:
        await asyncio.sleep(0.5)
        emulator = client.emulator
        stand_still(client)
        rest = emulator.ready()["venues"]["okx"]["rest"]

        async def get(path: str) -> Any:
            async with client.session.get(rest + path) as answer:
                return await answer.json()

        rows: list[list[str]] = []
        after = ""
        while len(rows) < DAY_MINUTES:
            page = (await get(f"/api/v5/market/history-candles?instId=BTC-USDT-SWAP&bar=1m&limit=300{after}"))["data"]
            assert all(len(row) == 9 for row in page)
            rows += page
            after = f"&after={page[-1][0]}"
        rows = rows[:DAY_MINUTES]
        assert [int(row[0]) for row in rows] == list(range(int(rows[0][0]), int(rows[0][0]) - DAY_MS, -MINUTE_MS))
        assert rows[0][8] == "0" and rows[1][8] == "1"
        one = (await get("/api/v5/market/ticker?instId=BTC-USDT-SWAP"))["data"][0]
        assert float(one["high24h"]) == max(float(row[2]) for row in rows) and float(one["low24h"]) == min(float(row[3]) for row in rows)
        assert float(one["high24h"]) >= float(one["last"]) >= float(one["low24h"]) and float(one["open24h"]) == float(rows[-1][1])
        assert float(one["volCcy24h"]) == pytest.approx(sum(float(row[6]) for row in rows), rel=1e-4)
        assert float(one["vol24h"]) * 0.01 == pytest.approx(float(one["volCcy24h"]), rel=1e-3)
        row = rows[5]
        assert float(row[5]) * 0.01 == pytest.approx(float(row[6]), abs=1e-3) and float(row[7]) == pytest.approx(
            float(row[6]) * float(row[1]), rel=5e-3
        )
        utc, local = [(await get(f"/api/v5/market/candles?instId=BTC-USDT-SWAP&bar={bar}&limit=2"))["data"] for bar in ("1Dutc", "1D")]
        assert int(utc[1][0]) % DAY_MS == 0 and int(local[1][0]) % DAY_MS == 16 * 3_600_000
        assert one["sodUtc0"] == utc[0][1] and one["sodUtc8"] == local[0][1]
        newer = (await get(f"/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=1m&before={rows[3][0]}"))["data"]
        assert [row[0] for row in newer] == [row[0] for row in rows[:3]]
        marks = (await get("/api/v5/market/mark-price-candles?instId=BTC-USDT-SWAP&bar=1H&limit=3"))["data"]
        assert [len(row) for row in marks] == [6, 6, 6]
        past = (await get("/api/v5/public/funding-rate-history?instId=BTC-USDT-SWAP&limit=3"))["data"]
        assert [int(a["fundingTime"]) - int(b["fundingTime"]) for a, b in zip(past, past[1:], strict=False)] == [28_800_000] * 2
        assert (await get("/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=7m"))["code"] == "51000"
        assert (await get("/api/v5/market/candles"))["code"] == "50014"
        limits = (await get("/api/v5/public/price-limit?instId=BTC-USDT-SWAP"))["data"][0]
        assert float(limits["sellLmt"]) < float(one["last"]) < float(limits["buyLmt"])

    talk(conversation, speed=100.0, venues=("bybit", "okx"))


def test_a_stop_order_of_binance_is_refused_as_the_venue_does() -> None:
    """Conditional orders have a path of their own since 2025-12-09 (venues.md 3.8); a trigger is mandatory there."""

    async def conversation(client: Client) -> None:
        rest = client.emulator.ready()["venues"]["binance"]["rest"]

        async def post(path: str, **fields: str) -> tuple[int, Any]:
            async with client.session.post(rest + path, data=fields) as answer:
                return answer.status, json.loads(await answer.text())

        stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01", "algoType": "CONDITIONAL"}
        assert await post("/fapi/v1/order", **stop) == (
            400,
            {"code": -4120, "msg": "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."},
        )
        assert await post("/fapi/v1/algoOrder", **stop) == (
            400,
            {"code": -1102, "msg": "Mandatory parameter 'triggerPrice' was not sent, was empty/null, or malformed."},
        )
        assert (await post("/fapi/v1/algoOrder", **stop, triggerPrice="60000"))[1]["code"] == -2015  # nobody has a key here
        assert (await post("/fapi/v1/order", **{**stop, "type": "MARKET"}))[1]["code"] == -2015
        assert (await post("/fapi/v1/order", side="BUY"))[1]["code"] == -1102

    talk(conversation, venues=("bybit", "binance"))


def test_a_stop_without_a_trigger_is_no_market_order() -> None:
    async def conversation(client: AccountClient) -> None:
        order = {"category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Market", "qty": "0.01"}
        for more, name in (
            ({"orderType": "STOP_MARKET"}, "orderType"),
            ({"triggerDirection": 2}, "TriggerPrice"),
            ({"triggerBy": "MarkPrice"}, "TriggerPrice"),
            ({"orderFilter": "StopOrder"}, "TriggerPrice"),
        ):
            refused = await client.rest("POST", "/v5/order/create", {**order, **more})
            assert (refused["retCode"], refused["retMsg"]) == (10001, f"params error: {name} invalid")
        taken = await client.rest("POST", "/v5/order/create", {**order, "triggerDirection": 2, "triggerPrice": "10000", "orderFilter": "StopOrder"})
        assert taken["retCode"] == 0

    trade(conversation)
