"""The emulator fed by a recording, and as a command. Client libraries: test_foreign_clients."""

import asyncio
import gzip
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from account_client import AccountClient, trade
from emulator_client import ALL, SYMBOLS, Client, drain, talk
from liqshell import demo
from liqshell.clock import Clock
from liqshell.emulator.api.faults import damaged
from liqshell.emulator.market import Market, Parameters
from liqshell.emulator.market.candles import Candles
from liqshell.emulator.market.contracts import contracts_of
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.recording_feed import TapeFeed
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.emulator.server import Config, serve, server
from liqshell.emulator.server.options import feed_of
from liqshell.errors import DataError

ROOT = Path(__file__).parents[3]


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
            rows.append(
                {
                    "ts": now // 1_000_000,
                    "ts_recv": now,
                    "exchange": "bybit",
                    "source": "ws",
                    "stream": frame.topic,
                    "symbol": frame.topic.rsplit(".", 1)[1],
                    "result": body,
                }
            )
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


def test_an_account_trades_on_a_recording(tmp_path: Path) -> None:
    path, _ = recording(tmp_path)

    async def conversation(client: AccountClient) -> None:
        private = await client.private("execution", "position")
        public = await Client(client.session, client.emulator).connect()
        await public.subscribe(["publicTrade.BTCUSDT"])  # market time begins
        last = float((await public.next(lambda frame: "topic" in frame))["data"][0]["p"])
        for side, size in (("Buy", "0.01"), ("Sell", "0")):
            made = await client.rest(
                "POST", "/v5/order/create", {"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Market", "qty": "0.010"}
            )
            assert made["retCode"] == 0, made
            filled = await private.row("execution", symbol="BTCUSDT", side=side)
            assert abs(float(filled["execPrice"]) / last - 1.0) < 0.01
            await private.row("position", symbol="BTCUSDT", size=size)
        assert client.emulator.status()["unread"] == 0

    trade(conversation, from_=(str(path),), wait_for_client=True, speed=2.0)


def test_a_recording_without_market_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"success":true,"ret_msg":"","op":"subscribe"}\n')

    async def run() -> None:
        await serve(Config(from_=(str(path),)))

    with pytest.raises(DataError, match="no market-data frame"):
        asyncio.run(run())


# ---- the command


async def hear_one_frame(ws: str) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(ws + "/v5/public/linear") as socket:
        await socket.send_str('{"op":"subscribe","args":["publicTrade.BTCUSDT"]}')
        async with asyncio.timeout(120.0):
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
        rest, errors = process.communicate(timeout=120)
        assert process.returncode == 0 and rest == "" and errors == ""
    finally:
        process.kill()
        process.wait()


def damaged_recording(folder: Path) -> Path:
    """The half minute again, as it is recorded while a fault damages frames."""
    path, frames = recording(folder)
    random_ = random.Random(2)
    out = []
    for number, frame in enumerate(frames):
        raw = json.dumps(frame, separators=(",", ":")).encode()
        found = [
            raw,
            damaged(raw, random_),
            raw.replace(b'"v":"', b'"v":"NaN'),
            raw.replace(b'"p":"', b'"p":"-'),
            raw.replace(b'"data":{', b'"data":{"b":5,"u":"x",'),
            raw.replace(b'Price":"', b'Price":"6x'),
            raw.replace(b'"S":"Buy"', b'"S":null').replace(b'"seq":', b'"seq":"",'),
            raw.replace(b'"data":', b'"data":0,"was":'),
        ]
        for one in found:
            try:
                body = json.loads(one)
            except (json.JSONDecodeError, RecursionError):
                continue
            stamp = 1_772_629_200_000 + number
            out.append(
                json.dumps(
                    {
                        "ts": stamp,
                        "ts_recv": stamp * 1_000_000,
                        "exchange": "bybit",
                        "source": "ws",
                        "stream": frame["topic"],
                        "symbol": "",
                        "result": body,
                    },
                    separators=(",", ":"),
                )
            )
    with gzip.open(path, "wt") as file:
        file.write("\n".join(out) + "\n")
    return path


def test_damaged_frames_of_a_recording_are_sent_but_teach_nothing(tmp_path: Path) -> None:
    """They used to end the market: the emulator stood still for ever."""
    feed = TapeFeed([damaged_recording(tmp_path)])
    assert set(feed.states) == set(SYMBOLS)
    feed.wanted.update(ALL)
    feed.taps.append(lambda rows: None)
    sent = feed.until(feed.start_ns + 3_600 * 10**9)
    assert feed.next_ns is None and feed.damaged > 100 and len(sent) > feed.damaged
    for state in feed.states.values():
        assert len(state.trades) > 10 and all(float(p) > 0.0 < float(v) for _, _, v, p, _, _ in state.trades)
        assert float(state.ticker["markPrice"]) > 0.0 and float(state.bid[0]) < float(state.ask[0])


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    path, _ = recording(tmp_path)
    feed = feed_of(Config(from_=(str(path),), symbols=("SOLUSDT",), hours=10 / 3600))
    feed.wanted.update(set(ALL) & feed.topics)
    sent = feed.until(feed.start_ns + 3_600 * 10**9)
    assert list(feed.states) == ["SOLUSDT"] and {frame.topic.rpartition(".")[2] for frame in sent} == {"SOLUSDT"} and feed.next_ns is None
    stamps = [json.loads(frame.payload)["ts"] for frame in sent]
    assert 8_000 < stamps[-1] - feed.start_ns / 1e6 < 10_100
    with pytest.raises(ValueError, match="the recording has BTCUSDT, SOLUSDT; asked for XRPUSDT"):
        feed_of(Config(from_=(str(path),), symbols=("XRPUSDT",)))


def test_a_market_that_fails_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not stand still, looking alive."""

    def broken(self: SyntheticFeed, now_ns: int) -> list:
        raise ZeroDivisionError("broken on purpose")

    monkeypatch.setattr(SyntheticFeed, "until", broken)

    async def run() -> None:
        async with asyncio.timeout(120.0):
            await server._main(Config(symbols=("BTCUSDT",), parameters={"warmup_hours": 0.1}))

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        asyncio.run(run())


def test_candles() -> None:
    """One frame a second, and the whole candle once its time is over: what was traded in it."""

    async def conversation(client: Client) -> None:
        await client.subscribe(["kline.1.BTCUSDT", "publicTrade.BTCUSDT"])
        done = await client.next(lambda frame: frame.get("topic") == "kline.1.BTCUSDT" and frame["data"][0]["confirm"])
        first = done["data"][0]["end"]
        done = await client.next(lambda frame: frame.get("topic") == "kline.1.BTCUSDT" and frame["data"][0]["confirm"])
        bar = done["data"][0]
        assert set(bar) == {"start", "end", "interval", "open", "close", "high", "low", "volume", "turnover", "confirm", "timestamp"}
        assert done["type"] == "snapshot" and bar["start"] == first + 1 and bar["end"] == bar["start"] + 59_999 and bar["interval"] == "1"
        rows = [
            row
            for frame in client.frames
            if frame.get("topic") == "publicTrade.BTCUSDT"
            for row in frame["data"]
            if bar["start"] <= row["T"] <= bar["end"]
        ]
        prices = [float(row["p"]) for row in rows]
        assert [float(bar[name]) for name in ("open", "high", "low", "close")] == [prices[0], max(prices), min(prices), prices[-1]]
        assert abs(float(bar["volume"]) - sum(float(row["v"]) for row in rows)) < 1e-6
        unconfirmed = [frame["data"][0] for frame in client.frames if frame.get("topic") == "kline.1.BTCUSDT" and not frame["data"][0]["confirm"]]
        assert 10 < sum(one["start"] == bar["start"] for one in unconfirmed) <= 62
        assert not (await client.request({"op": "subscribe", "args": ["kline.7.BTCUSDT"]}))["success"]

    talk(conversation, speed=20.0)


def test_a_minute_without_trades_has_a_flat_candle() -> None:
    state = SymbolState(contracts_of(("BTCUSDT",))[0])
    candles, topic, start = Candles({"BTCUSDT": state}), "kline.1.BTCUSDT", 1_772_629_200_000
    assert candles.frames({topic}, start) == [] and candles.first_frame(topic, start) is None
    state.on_trade(start + 10, "Buy", "0.500", "68000.00", "u", 1)
    seen = [json.loads(frame.payload)["data"][0] for now in range(start + 500, start + 180_500, 500) for frame in candles.frames({topic}, now)]
    assert [(bar["start"], bar["open"], bar["close"], bar["volume"]) for bar in seen if bar["confirm"]] == [
        (start, "68000.00", "68000.00", "0.500"),
        (start + 60_000, "68000.00", "68000.00", "0.000"),
        (start + 120_000, "68000.00", "68000.00", "0.000"),
    ]


@pytest.mark.parametrize("recorded", [False, True])
def test_the_lead_in_is_no_silence(recorded: bool, tmp_path: Path) -> None:
    """A market that begins later than its clock: the books stand, and are said every three seconds of market time. It used to be silent, and a live
    process took the connection for lost."""
    more: dict = {"from_": (str(recording(tmp_path)[0]),)} if recorded else {}

    async def conversation(client: Client) -> None:
        begins, silences, last = client.emulator.feed.start_ns, [], 0
        await client.subscribe([f"orderbook.1.{symbol}" for symbol in SYMBOLS])
        stands: dict[str, list] = {}
        while True:
            frame = await client.next(lambda frame: "topic" in frame)
            now, data = frame["ts"], frame["data"]
            silences.append(now - last if last else 0)
            last = now
            if now >= begins // 1_000_000:
                break
            assert stands.setdefault(data["s"], [data["b"], data["a"]]) == [data["b"], data["a"]]  # nothing moves before it begins
        assert set(stands) == set(SYMBOLS) and len(silences) > 30 and max(silences) < 30_000

    talk(conversation, lead_s=2.0, speed=100.0, **more)


@pytest.mark.slow
def test_a_long_lead_in_is_no_lost_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with twelve seconds before its market: "linear-1 lost (silent for more than 120.0 s of market time)"."""
    monkeypatch.setattr(demo, "LEAD_S", 12.0)
    manifest = asyncio.run(demo.run(demo.Plan(tmp_path / "run", hours=0.05, speed=120.0)))
    feed = manifest["counters"]["venues"]["bybit"]
    assert feed["drops"] == [] and feed["reconnects"] == 0 and feed["frames"] > 100
