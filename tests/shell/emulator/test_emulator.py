"""The emulated venue over real sockets: requests, frames, REST, pace."""

import asyncio
import json

from emulator_client import ALL, SYMBOLS, Client, drain, talk
from liqshell.emulator.market import Market, Parameters
from liqshell.emulator.market.bybit_frames import liquidation_frame
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.emulator.server.public_sockets import message


def test_requests_are_answered_as_the_venue_does() -> None:
    async def conversation(client: Client) -> None:
        for req_id in ("a-uuid", 7):
            ack = await client.request({"op": "subscribe", "req_id": req_id, "args": ["publicTrade.BTCUSDT"]})
            assert ack == {"success": True, "ret_msg": "", "conn_id": ack["conn_id"], "req_id": req_id, "op": "subscribe"}
        assert (await client.request({"op": "subscribe", "args": ["tickers.SOLUSDT"]}))["req_id"] == ""
        pong = await client.request({"op": "ping", "req_id": "p"})
        assert pong == {"success": True, "ret_msg": "pong", "conn_id": pong["conn_id"], "req_id": "p", "op": "ping"}
        assert (await client.request({"op": "unsubscribe", "args": ["tickers.SOLUSDT"]}))["success"]
        assert not (await client.request("{not json"))["success"]
        assert not (await client.request({"op": "dance"}))["success"]
        assert not (await client.request([1, 2]))["success"]
        await client.ws.ping(b"hello")  # RFC 6455: answered below the JSON, so the connection must simply live on
        assert (await client.request({"op": "ping"}))["success"]

    talk(conversation)


def test_one_bad_topic_fails_the_whole_batch() -> None:
    async def conversation(client: Client) -> None:
        refused = await client.request({"op": "subscribe", "req_id": 1, "args": ["publicTrade.BTCUSDT", "allLiquidation.PEPEUSDT"]})
        assert refused["success"] is False and refused["req_id"] == 1
        assert refused["ret_msg"] == "error:handler not found,topic:allLiquidation.PEPEUSDT"
        await asyncio.sleep(0.2)  # 40 s of market time
        assert client.emulator.hub.frames_sent == 0
        await client.subscribe(["publicTrade.BTCUSDT"])
        assert (await client.next())["topic"] == "publicTrade.BTCUSDT"

    talk(conversation)


def test_frames_are_the_venues() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        while sum(frame.get("topic", "").startswith("allLiquidation") for frame in client.frames) < 12 or not {
            frame.get("topic") for frame in client.frames
        }.issuperset(ALL):
            await client.next(lambda frame: frame.get("topic", "").startswith("allLiquidation"))
        by_topic: dict[str, list[dict]] = {}
        for frame in client.frames[1:]:
            by_topic.setdefault(frame["topic"], []).append(frame)
        assert set(by_topic) == set(ALL)
        for symbol in SYMBOLS:
            check_liquidations(by_topic[f"allLiquidation.{symbol}"], symbol)
            check_trades(by_topic[f"publicTrade.{symbol}"], symbol)
            check_books(by_topic[f"orderbook.1.{symbol}"], symbol)
            check_tickers(by_topic[f"tickers.{symbol}"], symbol)
        times = [frame["ts"] for frame in client.frames[1:]]
        assert sum(b < a - 2 for a, b in zip(times, times[1:], strict=False)) <= len(ALL)  # first frames: time of the subscribe

    talk(conversation)


def check_liquidations(frames: list[dict], symbol: str) -> None:
    for frame in frames:
        assert list(frame) == ["topic", "type", "ts", "data"] and frame["type"] == "snapshot"
        for row in frame["data"]:
            assert list(row) == ["T", "s", "S", "v", "p"] and row["s"] == symbol and row["S"] in ("Buy", "Sell")
            assert 0 <= frame["ts"] - row["T"] <= 500
            assert float(row["v"]) > 0 and float(row["p"]) > 0
    assert all(b["ts"] - a["ts"] >= 500 for a, b in zip(frames, frames[1:], strict=False))


def check_trades(frames: list[dict], symbol: str) -> None:
    rows = [row for frame in frames for row in frame["data"]]
    assert len({row["i"] for row in rows}) == len(rows)
    assert all(len(frame["data"]) <= 1024 and len({row["T"] for row in frame["data"]}) == 1 for frame in frames)
    assert all(list(row) == ["T", "s", "S", "v", "p", "L", "i", "BT", "RPI", "seq"] and row["s"] == symbol for row in rows)
    assert all(a["seq"] < b["seq"] and a["T"] <= b["T"] for a, b in zip(rows, rows[1:], strict=False))
    moves = {"PlusTick": 1, "MinusTick": -1, "ZeroPlusTick": 0, "ZeroMinusTick": 0}
    for a, b in zip(rows, rows[1:], strict=False):
        step = float(b["p"]) - float(a["p"])
        assert moves[b["L"]] == (step > 0) - (step < 0)


def check_books(frames: list[dict], symbol: str) -> None:
    for frame in frames:
        data = frame["data"]
        assert frame["type"] == "snapshot" and data["s"] == symbol and frame["cts"] <= frame["ts"]
        assert len(data["b"]) == len(data["a"]) == 1 and float(data["b"][0][0]) < float(data["a"][0][0])
    live = frames[1:]
    assert all(b["data"]["u"] >= a["data"]["u"] and b["ts"] - a["ts"] >= 10 for a, b in zip(live, live[1:], strict=False))


def check_tickers(frames: list[dict], symbol: str) -> None:
    assert sum(frame["type"] == "snapshot" for frame in frames) == 1 and frames[0]["type"] == "snapshot"
    full = {"symbol", "lastPrice", "markPrice", "indexPrice", "openInterest", "openInterestValue", "fundingRate", "nextFundingTime"}
    assert full <= set(frames[0]["data"])
    assert any(len(frame["data"]) < len(frames[0]["data"]) for frame in frames[1:])  # a delta leaves out what has not changed
    assert all(frame["data"]["symbol"] == symbol for frame in frames)


def test_rest() -> None:
    async def conversation(client: Client) -> None:
        await asyncio.sleep(0.5)
        before = client.emulator.clock.now_ns()
        now = await client.rest("/v5/market/time")
        assert before <= int(now["result"]["timeNano"]) <= client.emulator.clock.now_ns() and now["retCode"] == 0
        first = (await client.rest("/v5/market/instruments-info?category=linear&limit=1"))["result"]
        second = (await client.rest(f"/v5/market/instruments-info?category=linear&limit=1&cursor={first['nextPageCursor']}"))["result"]
        assert [first["list"][0]["symbol"], second["list"][0]["symbol"]] == list(SYMBOLS) and second["nextPageCursor"] == ""
        info = first["list"][0]
        assert info["priceFilter"]["tickSize"] == "0.10" and info["lotSizeFilter"]["qtyStep"] == "0.001"
        assert info["lotSizeFilter"]["minNotionalValue"] == "5"
        ticker = (await client.rest("/v5/market/tickers?category=linear&symbol=SOLUSDT"))["result"]["list"][0]
        book = (await client.rest("/v5/market/orderbook?category=linear&symbol=SOLUSDT"))["result"]
        assert abs(float(ticker["markPrice"]) / float(book["b"][0][0]) - 1.0) < 0.02
        assert len((await client.rest("/v5/market/tickers?category=linear"))["result"]["list"]) == 2
        trades = (await client.rest("/v5/market/recent-trade?category=linear&symbol=BTCUSDT&limit=5"))["result"]["list"]
        assert len(trades) == 5 and [t["time"] for t in trades] == sorted((t["time"] for t in trades), reverse=True)
        bars = (await client.rest("/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1"))["result"]["list"]
        assert len(bars) >= 1 and all(float(low) <= min(float(o), float(c)) <= float(h) for _, o, h, low, c, _, _ in bars)
        for path in (
            "tickers?category=spot",
            "orderbook?category=linear&symbol=NOSUCH",
            "kline?category=linear&symbol=BTCUSDT&interval=7",
            "instruments-info?category=linear&limit=x",
            "instruments-info?category=nosuch",
        ):
            assert (await client.rest("/v5/market/" + path))["retCode"] == 10001, path

    talk(conversation)


def collect(seed: int, speed: float) -> list[str]:
    """Liquidation frames of the first four minutes."""
    got: list[str] = []

    async def conversation(client: Client) -> None:
        await client.subscribe([topic for topic in ALL if topic.startswith("allLiq")])
        await drain(client)
        got.extend(json.dumps(frame) for frame in client.frames if "topic" in frame)

    talk(conversation, seed=seed, speed=speed, hours=0.2, wait_for_client=True)
    return got


def test_same_frames_at_any_speed() -> None:
    slow, fast = collect(1, 600.0), collect(1, 2000.0)
    assert len(slow) > 10
    assert [f for f in slow if "BTC" in f] == [f for f in fast if "BTC" in f]
    assert [f for f in slow if "SOL" in f] == [f for f in fast if "SOL" in f]


def test_every_generated_liquidation_reaches_the_client() -> None:
    frames = [json.loads(text) for text in collect(1, 1000.0)]
    sent = sorted((row["T"], row["s"], row["S"], row["v"], row["p"]) for frame in frames for row in frame["data"])
    market = Market(Parameters(seed=1, symbols=SYMBOLS, warmup_hours=0.5))
    records = market.take(0.2)
    made = []
    for row in records[records["kind"] == 1]:
        c = market.contracts[row["symbol"]]
        made.append(
            (
                int(row["t"]) // 1_000_000,
                c.symbol,
                "Buy" if row["side"] == 1 else "Sell",
                f"{row['qty'] / c.lot_power:.{c.lot_decimals}f}",
                f"{row['price'] / c.tick_power:.{c.price_decimals}f}",
            )
        )
    last = records["t"][-1] // 1_000_000 - 500  # the batch that is open at the end is not sent by the last record
    assert [row for row in sent if row[0] < last] == [row for row in sorted(made) if row[0] < last] and len(sent) > 20


def test_quote_is_sent_again_after_three_silent_seconds() -> None:
    feed = SyntheticFeed(Market(Parameters(seed=1, symbols=("BTCUSDT",), warmup_hours=0.1)))
    feed.wanted.add("orderbook.1.BTCUSDT")
    lane, out = feed._lanes[0], []  # the generator quotes far more often: silence has to be made
    second = 1_000_000_000
    lane.quote((100 * second, 10, 1, 11, 1, 0, 0, 3, 0), out)
    for at in range(101, 108):
        lane.ticker((at * second, 10, 5, 10, 1, 0, 0, 4, 0), out)
    books = [json.loads(frame.payload) for frame in out]
    assert [frame["ts"] for frame in books] == [100_000, 103_000, 106_000] and len({frame["data"]["u"] for frame in books}) == 1


def test_websocket_lengths() -> None:
    assert message(b"x" * 125)[:2] == b"\x81\x7d"
    assert message(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e" and message(b"x" * 65_535)[:4] == b"\x81\x7e\xff\xff"
    assert message(b"x" * 65_536)[:10] == b"\x81\x7f" + (65_536).to_bytes(8, "big")


def test_a_frame_of_five_hundred_rows() -> None:
    rows = [(1_700_000_000_000 + k, 1 if k % 2 else -1, "0.001", "100.00") for k in range(500)]
    data = json.loads(liquidation_frame("BTCUSDT", 1_700_000_000_600, rows))["data"]
    assert [(row["T"], row["S"]) for row in data] == [(t, "Buy" if side == 1 else "Sell") for t, side, _, _ in rows]
