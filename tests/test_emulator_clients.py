"""The emulator fed by a recording, as a command, and seen by the client libraries that people use."""

import asyncio
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
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
        print(json.dumps({"symbol": rows[0]["symbol"], "contracts": rows[0]["contracts"], "trade": trades[0]["price"],
                          "last": ticker["last"],
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
