"""The emulated venue over real sockets: protocol, pace, faults, recordings, real clients."""

import asyncio
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from liqshell.clock import Clock
from liqshell.emulator.bybit import liquidation_frame
from liqshell.emulator.faults import Fault
from liqshell.emulator.market import Market, Parameters
from liqshell.emulator.server import Config, Emulator, serve
from liqshell.emulator.sockets import message
from liqshell.emulator.synthetic import SyntheticFeed
from liqshell.errors import DataError

ROOT = Path(__file__).parents[1]
SYMBOLS = ("BTCUSDT", "SOLUSDT")
ALL = [f"{kind}.{symbol}" for kind in ("allLiquidation", "publicTrade", "orderbook.1", "tickers") for symbol in SYMBOLS]


class Client:
    """A plain websocket client that keeps what it was sent."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session, self.emulator = session, emulator
        self.frames: list[dict] = []

    async def connect(self, **options: object) -> "Client":
        self.ws = await self.session.ws_connect(self.emulator.ws + "/v5/public/linear", **options)
        return self

    async def request(self, body: object) -> dict:
        await self.ws.send_str(body if isinstance(body, str) else json.dumps(body))
        return await self.next(lambda frame: "topic" not in frame)

    async def subscribe(self, topics: list[str]) -> None:
        assert (await self.request({"op": "subscribe", "args": topics}))["success"]

    async def next(self, wanted: Callable[[dict], bool] = lambda frame: True, timeout: float = 20.0) -> dict:
        async with asyncio.timeout(timeout):
            while True:
                received = await self.ws.receive()
                if received.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(received.type)
                frame = json.loads(received.data)
                self.frames.append(frame)
                if wanted(frame):
                    return frame

    async def rest(self, path: str) -> dict:
        async with self.session.get(self.emulator.rest + path) as response:
            assert response.status == 200 and response.headers["X-Liqcore-Market"] == self.emulator.label
            return await response.json()


def talk(conversation: Callable[[Client], Awaitable[None]], **options: object) -> None:
    """Run a conversation with a fresh emulator of two symbols."""
    async def run() -> None:
        config = Config(**{"seed": 3, "speed": 200.0, "symbols": SYMBOLS, "parameters": {"warmup_hours": 0.5}, **options})
        async with await serve(config) as emulator, aiohttp.ClientSession() as session:
            await conversation(await Client(session, emulator).connect())
    asyncio.run(run())


async def drain(client: Client) -> None:
    """Read until the market has ended and nothing more comes."""
    while True:
        try:
            await client.next(timeout=0.3)
        except TimeoutError:
            if client.emulator.finished.is_set() and not client.emulator.faults.next_ns:
                return


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
        await client.ws.ping(b"hello")               # RFC 6455: answered below the JSON, so the connection must simply live on
        assert (await client.request({"op": "ping"}))["success"]
    talk(conversation)


def test_one_bad_topic_fails_the_whole_batch() -> None:
    async def conversation(client: Client) -> None:
        refused = await client.request({"op": "subscribe", "req_id": 1, "args": ["publicTrade.BTCUSDT", "allLiquidation.PEPEUSDT"]})
        assert refused["success"] is False and refused["req_id"] == 1
        assert refused["ret_msg"] == "error:handler not found,topic:allLiquidation.PEPEUSDT"
        await asyncio.sleep(0.2)                     # 40 s of market time
        assert client.emulator.hub.frames_sent == 0
        await client.subscribe(["publicTrade.BTCUSDT"])
        assert (await client.next())["topic"] == "publicTrade.BTCUSDT"
    talk(conversation)


def test_frames_are_the_venues() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        while sum(frame.get("topic", "").startswith("allLiquidation") for frame in client.frames) < 12:
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
        assert sum(b < a - 2 for a, b in zip(times, times[1:], strict=False)) <= len(ALL)      # first frames carry the time of the subscribe
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
    assert any(len(frame["data"]) < len(frames[0]["data"]) for frame in frames[1:])       # a delta leaves out what has not changed
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
        for path in ("tickers?category=spot", "orderbook?category=linear&symbol=NOSUCH", "kline?category=linear&symbol=BTCUSDT&interval=7",
                     "instruments-info?category=linear&limit=x", "instruments-info?category=nosuch"):
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
    slow, fast = collect(3, 600.0), collect(3, 2000.0)
    assert len(slow) > 10
    assert [f for f in slow if "BTC" in f] == [f for f in fast if "BTC" in f]
    assert [f for f in slow if "SOL" in f] == [f for f in fast if "SOL" in f]


def test_every_generated_liquidation_reaches_the_client() -> None:
    frames = [json.loads(text) for text in collect(3, 1000.0)]
    sent = sorted((row["T"], row["s"], row["S"], row["v"], row["p"]) for frame in frames for row in frame["data"])
    market = Market(Parameters(seed=3, symbols=SYMBOLS, warmup_hours=0.5))
    records = market.take(0.2)
    made = []
    for row in records[records["kind"] == 1]:
        c = market.contracts[row["symbol"]]
        made.append((int(row["t"]) // 1_000_000, c.symbol, "Buy" if row["side"] == 1 else "Sell",
                     f"{row['qty'] / c.lot_power:.{c.lot_decimals}f}", f"{row['price'] / c.tick_power:.{c.price_decimals}f}"))
    last = records["t"][-1] // 1_000_000 - 500       # the batch that is open at the end is not sent by the last record
    assert [row for row in sent if row[0] < last] == [row for row in sorted(made) if row[0] < last] and len(sent) > 20


def test_quote_is_sent_again_after_three_silent_seconds() -> None:
    feed = SyntheticFeed(Market(Parameters(seed=1, symbols=("BTCUSDT",), warmup_hours=0.1)))
    feed.wanted.add("orderbook.1.BTCUSDT")
    lane, out = feed._lanes[0], []                   # the generator quotes far more often: silence has to be made
    second = 1_000_000_000
    lane.quote((100 * second, 10, 1, 11, 1, 0, 0, 3, 0), out)
    for at in range(101, 108):
        lane.ticker((at * second, 10, 5, 10, 1, 0, 0, 4, 0), out)
    books = [json.loads(frame.payload) for frame in out]
    assert [frame["ts"] for frame in books] == [100_000, 103_000, 106_000] and len({frame["data"]["u"] for frame in books}) == 1


# ---- faults

def test_drop_and_refuse() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        for fault in ({"kind": "refuse", "duration_s": 100}, {"kind": "drop"}):
            client.emulator.faults.add(fault)
        client.emulator.wake()
        with pytest.raises(ConnectionError):
            while True:
                await client.next()
        with pytest.raises(aiohttp.ClientError):
            await client.connect()
        while client.emulator.hub.refusing:
            await asyncio.sleep(0.01)
        await client.connect()
        await client.subscribe(ALL)
        assert client.emulator.hub.refused >= 1 and client.emulator.hub.connected == 2
    talk(conversation, speed=500.0)


def test_half_open_is_silent_but_connected() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        async with client.session.post(client.emulator.rest + "/emulator/fault", json={"kind": "half_open", "duration_s": 0}) as response:
            assert response.status == 200
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            while True:                              # what was on its way, then silence
                await client.next(timeout=0.4)
        await client.ws.send_str('{"op":"ping"}')
        with pytest.raises(TimeoutError):
            await client.next(timeout=0.2)
        assert not client.ws.closed and client.emulator.hub.connections
        other = await Client(client.session, client.emulator).connect()
        await other.subscribe(ALL)
        assert "topic" in await other.next()         # new connections are well
    talk(conversation)


def test_stall_delivers_late_but_everything() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(["publicTrade.BTCUSDT"])
        await client.next(lambda frame: "topic" in frame)
        client.emulator.faults.add({"kind": "stall", "duration_s": 60})
        client.emulator.wake()
        held = []
        while len(held) < 150:
            frame = await client.next(lambda frame: "topic" in frame)
            held.append((client.emulator.clock.now_ns() / 1e6 - frame["ts"], frame["data"][0]["seq"]))
        assert max(age for age, _ in held) > 30_000                  # ms of market time: some were held back long
        assert [seq for _, seq in held] == sorted(seq for _, seq in held)
    talk(conversation, speed=100.0)


@pytest.mark.parametrize("kind", ["duplicate_liquidations", "invert_side", "delay_liquidations", "lose_liquidations"])
def test_faults_of_liquidation_frames(kind: str) -> None:
    def frames(script: tuple[dict, ...]) -> list[dict]:
        out: list[dict] = []

        async def conversation(client: Client) -> None:
            await client.subscribe(["allLiquidation.SOLUSDT", "allLiquidation.BTCUSDT"])
            await drain(client)
            out.extend(frame for frame in client.frames if "topic" in frame)
        talk(conversation, speed=2000.0, hours=0.2, wait_for_client=True, faults=script)
        return out
    clean, faulty = frames(()), frames(({"kind": kind, "at_s": 0, "duration_s": 700, "delay_s": 1, "jitter_s": 20},))

    def key(frame: dict) -> str:
        return json.dumps(frame)
    assert len(clean) > 10
    if kind == "duplicate_liquidations":
        assert sorted(map(key, faulty)) == sorted(map(key, clean * 2))
    elif kind == "lose_liquidations":
        assert len(faulty) < len(clean)
    elif kind == "delay_liquidations":
        assert sorted(map(key, faulty)) == sorted(map(key, clean)) and faulty != clean
    else:
        swap = {"Buy": "Sell", "Sell": "Buy"}
        assert [[swap[row["S"]] for row in frame["data"]] for frame in faulty if frame["ts"] < clean[0]["ts"] + 400_000] == [
            [row["S"] for row in frame["data"]] for frame in clean if frame["ts"] < clean[0]["ts"] + 400_000]


def test_a_fault_in_the_middle_of_a_cascade() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        with pytest.raises(ConnectionError):
            while True:
                await client.next()
        fired = client.emulator.faults.fired[0]
        assert fired["kind"] == "drop"
        await client.emulator.clock.sleep(180.0)     # until the cascade has ended and is in the ground truth
        truth = (await client.rest("/emulator/truth"))["cascades"]
        assert any(c["count"] >= 5 and c["start_ns"] <= fired["at_ns"] <= c["end_ns"] + 2_000_000_000 for c in truth)
    talk(conversation, speed=1000.0, faults=({"kind": "drop", "on_cascade": 5},))


def test_book_restart() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(["orderbook.1.BTCUSDT"])
        await client.next(lambda frame: "topic" in frame)
        client.emulator.faults.add({"kind": "book_restart"})
        client.emulator.wake()
        assert (await client.next(lambda frame: "topic" in frame and frame["data"]["u"] == 1))["type"] == "snapshot"
    talk(conversation)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def run() -> None:
        config = Config(seed=3, speed=5000.0, symbols=SYMBOLS, parameters={"warmup_hours": 0.1}, buffer_max=100_000)
        async with await serve(config) as emulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port, limit=1024)
            writer.write(b"GET /v5/public/linear HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            body = json.dumps({"op": "subscribe", "args": ALL}).encode()
            writer.write(b"\x81\xfe" + len(body).to_bytes(2, "big") + b"\0\0\0\0" + body)
            async with asyncio.timeout(60.0):
                while not emulator.hub.slow_consumers:
                    await asyncio.sleep(0.02)
            assert not emulator.hub.connections or emulator.hub.slow_consumers == 1
            writer.close()
    asyncio.run(run())


def test_bad_faults_and_configurations() -> None:
    for spec, words in (({"kind": "explode"}, "unknown fault"), ({"at_s": 1}, "needs a kind"), ({"kind": "drop", "when": 1}, "a fault is an object"),
                        ({"kind": "drop", "at_s": 1, "on_cascade": 2}, "not both"), ({"kind": "drop", "at_s": "x"}, "must be a number")):
        with pytest.raises(ValueError, match=words):
            Fault.of(spec)
    with pytest.raises(ValueError, match="loopback"):
        Config(host="0.0.0.0")
    with pytest.raises(ValueError, match="hours"):
        Config(hours=0.0)


def test_websocket_lengths() -> None:
    assert message(b"x" * 125)[:2] == b"\x81\x7d"
    assert message(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e" and message(b"x" * 65_535)[:4] == b"\x81\x7e\xff\xff"
    assert message(b"x" * 65_536)[:10] == b"\x81\x7f" + (65_536).to_bytes(8, "big")


def test_a_frame_of_five_hundred_rows() -> None:
    rows = [(1_700_000_000_000 + k, 1 if k % 2 else -1, "0.001", "100.00") for k in range(500)]
    data = json.loads(liquidation_frame("BTCUSDT", 1_700_000_000_600, rows))["data"]
    assert [(row["T"], row["S"]) for row in data] == [(t, "Buy" if side == 1 else "Sell") for t, side, _, _ in rows]


# ---- recordings

def recording(folder: Path) -> tuple[Path, list[dict]]:
    """Half a minute of a generated market as an hourly collector file."""
    feed = SyntheticFeed(Market(Parameters(seed=4, symbols=SYMBOLS, warmup_hours=0.3)))
    feed.wanted.update(ALL)
    rows, frames, start = [], [], feed.start_ns
    for tick in range(300):
        now = start + tick * 100_000_000
        for frame in feed.until(now):
            body = json.loads(frame.payload)
            frames.append(body)
            rows.append({"ts": now // 1_000_000, "ts_recv": now, "exchange": "bybit", "source": "ws", "stream": frame.topic,
                         "symbol": frame.topic.rsplit(".", 1)[1], "result": body})
    path = folder / "2026-03-04_13.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    return path, frames


@pytest.mark.parametrize("start_ns", [None, 1_800_000_000_000_000_000])
def test_a_recording_is_sent_again(tmp_path: Path, start_ns: int | None) -> None:
    path, frames = recording(tmp_path)

    async def conversation(client: Client) -> None:
        assert client.emulator.label == "RECORDING" and client.emulator.ready()["synthetic"] is False
        await client.subscribe(ALL)
        await drain(client)
        got = [frame for frame in client.frames if "topic" in frame]
        shift = got[0]["ts"] - frames[0]["ts"]
        assert (shift == 0) == (start_ns is None)
        if start_ns is None:
            assert got == frames
        else:
            assert [frame["ts"] - shift for frame in got] == [frame["ts"] for frame in frames]
            trades = [(row["T"] - shift, row["p"]) for frame in got if frame["topic"].startswith("publicTrade") for row in frame["data"]]
            assert trades == [(row["T"], row["p"]) for frame in frames if frame["topic"].startswith("publicTrade") for row in frame["data"]]
        info = (await client.rest("/v5/market/instruments-info?category=linear"))["result"]["list"]
        assert [one["symbol"] for one in info] == list(SYMBOLS)
        assert (await client.rest("/v5/market/tickers?category=linear&symbol=SOLUSDT"))["result"]["list"][0]["markPrice"]
    talk(conversation, from_=(str(path),), start_ns=start_ns, wait_for_client=True, speed=20.0)


def test_a_recording_without_market_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"success":true,"ret_msg":"","op":"subscribe"}\n')

    async def run() -> None:
        await serve(Config(from_=(str(path),)))
    with pytest.raises(DataError, match="no market-data frame"):
        asyncio.run(run())


# ---- the command, and real clients

async def hear_one_frame(ws: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(ws + "/v5/public/linear") as socket:
        await socket.send_str('{"op":"subscribe","args":["publicTrade.BTCUSDT"]}')
        async with asyncio.timeout(20.0):
            assert (await socket.receive_json())["success"]
            assert (await socket.receive_json())["topic"] == "publicTrade.BTCUSDT"


def test_command_prints_one_json_line_and_ends_on_sigterm() -> None:
    code = "import sys; from liqshell.emulator.server import run; sys.exit(run(seed=5, speed=10.0, symbols=('BTCUSDT',)))"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'pysrc'}:{ROOT}"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["synthetic"] is True and line["market"] == "SYNTHETIC" and line["seed"] == 5
        assert line["rest"].startswith("http://127.0.0.1:") and line["ws"].startswith("ws://127.0.0.1:")
        assert Clock.from_dict(line["clock"]).now_ns() > line["clock"]["market_ns"]
        asyncio.run(hear_one_frame(line["ws"]))
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=30)
        assert process.returncode == 0 and rest == "" and errors == ""
    finally:
        process.kill()
        process.wait()


def run_client(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A client library in a process of its own: they start threads and print warnings."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'pysrc'}:{ROOT}"}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=90, env=environment)


def with_client(code: str) -> dict:
    """Run the client against an emulator; the client prints one JSON line last."""
    result: dict = {}

    async def run() -> None:
        async with await serve(Config(seed=3, speed=100.0, symbols=SYMBOLS, parameters={"warmup_hours": 0.5})) as emulator:
            done = await asyncio.to_thread(run_client, code, emulator.rest, emulator.ws)
            assert done.returncode == 0, done.stderr[-2000:]
            result.update(json.loads(done.stdout.splitlines()[-1]))
    asyncio.run(run())
    return result


PYBIT = """
import json, sys, threading
import pybit.unified_trading as unified
rest, ws = sys.argv[1:]
unified.PUBLIC_WSS = ws + "/v5/public/{CHANNEL_TYPE}"
seen, done = {}, threading.Event()
def on(frame):
    seen.setdefault(frame["topic"].split(".")[0], frame)
    if len(seen) == 4: done.set()
client = unified.WebSocket(testnet=False, channel_type="linear")
client.all_liquidation_stream(["BTCUSDT", "SOLUSDT"], on)
client.trade_stream("BTCUSDT", on)
client.orderbook_stream(1, "SOLUSDT", on)
client.ticker_stream("BTCUSDT", on)
done.wait(60)
session = unified.HTTP(testnet=False)
session.endpoint = rest
time = session.get_server_time()["result"]["timeNano"]
infos = session.get_instruments_info(category="linear")["result"]["list"]
print(json.dumps({"topics": sorted(seen), "time": time, "infos": len(infos), "S": seen["allLiquidation"]["data"][0]["S"]}), flush=True)
import os; os._exit(0)
"""

CCXT = """
import asyncio, json, sys
import ccxt.pro
rest, ws = sys.argv[1:]
async def main():
    ex = ccxt.pro.bybit({"options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}}})
    for key in list(ex.urls["api"]):
        if key != "ws": ex.urls["api"][key] = rest
    ex.urls["api"]["ws"]["public"] = {k: f"{ws}/v5/public/{k}" for k in ("spot", "linear", "inverse", "option")}
    try:
        await ex.load_markets()
        rows = await ex.watch_liquidations("SOL/USDT:USDT")
        trades = await ex.watch_trades("BTC/USDT:USDT")
        ticker = await ex.fetch_ticker("BTC/USDT:USDT")
        print(json.dumps({"symbol": rows[0]["symbol"], "contracts": rows[0]["contracts"], "trade": trades[0]["price"], "last": ticker["last"],
                          "tick": ex.market("BTC/USDT:USDT")["precision"]["price"]}), flush=True)
    finally:
        await ex.close()
asyncio.run(asyncio.wait_for(main(), 80))
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pybit") is None, reason="pybit is not installed")
def test_pybit_works_unchanged() -> None:
    result = with_client(PYBIT)
    assert result["topics"] == ["allLiquidation", "orderbook", "publicTrade", "tickers"]
    assert result["infos"] == 2 and int(result["time"]) > 0 and result["S"] in ("Buy", "Sell")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ccxt") is None, reason="ccxt is not installed")
def test_ccxt_pro_works_unchanged() -> None:
    result = with_client(CCXT)
    assert result["symbol"] == "SOL/USDT:USDT" and result["contracts"] > 0
    assert abs(result["trade"] / result["last"] - 1.0) < 0.05 and result["tick"] == 0.1
