"""The emulator fed by a recording, and as a command. Client libraries: test_foreign_clients."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from account_client import AccountClient, trade
from emulator_client import ALL, SYMBOLS, Client, drain, talk

from liqshell.clock import Clock
from liqshell.emulator.market import Market, Parameters
from liqshell.emulator.server import Config, serve
from liqshell.emulator.synthetic import SyntheticFeed
from liqshell.errors import DataError

ROOT = Path(__file__).parents[1]


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


def test_an_account_trades_on_a_recording(tmp_path: Path) -> None:
    path, _ = recording(tmp_path)

    async def conversation(client: AccountClient) -> None:
        private = await client.private("execution", "position")
        public = await Client(client.session, client.emulator).connect()
        await public.subscribe(["publicTrade.BTCUSDT"])                      # market time begins
        last = float((await public.next(lambda frame: "topic" in frame))["data"][0]["p"])
        for side, size in (("Buy", "0.01"), ("Sell", "0")):
            made = await client.rest("POST", "/v5/order/create", {"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Market",
                                                                  "qty": "0.010"})
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
