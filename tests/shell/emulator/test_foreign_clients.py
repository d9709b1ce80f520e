"""Client libraries that people use, unchanged but for the address, against the emulated venue: market data and a full trade round trip each."""

import asyncio
import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from client_interpreters import needed
from liqshell.emulator.server import Config, serve

ROOT = Path(__file__).parents[3]
CLIENTS = Path(__file__).parents[2] / "foreign_clients"
SYMBOLS = ("BTCUSDT", "SOLUSDT")


def with_client(name: str, python: str, timeout_s: float = 400.0, **options: Any) -> dict[str, Any]:
    """Run a client in a process of its own, as they start threads and print warnings; it is given the ready line and prints one JSON line last. The
    market begins now, as with `liqcore emulate --at now`; faster than the wall where a client waits for liquidations, which are rare."""
    result: dict[str, Any] = {}

    def run_client(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run([python, str(CLIENTS / f"{name}.py"), line], capture_output=True, text=True, timeout=timeout_s, env=environment)

    async def run() -> None:
        config = Config(**{"seed": 3, "at_now": True, "speed": 20.0, "symbols": SYMBOLS, "parameters": {"warmup_hours": 0.5}, **options})
        async with await serve(config) as emulator:
            line: Any = emulator.ready()
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            if "tls" in line:
                environment |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "WEBSOCKET_CLIENT_CA_BUNDLE"), line["tls"]["ca"])
            done = await asyncio.to_thread(run_client, json.dumps(line), environment)
            assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
            result.update(
                json.loads(done.stdout.splitlines()[-1]), status=emulator.status(), truth=emulator.desk.exchange.truth(emulator.keys[0].account)
            )

    asyncio.run(run())
    return result


def flat(result: dict[str, Any]) -> bool:
    """Whether the venue knows of nothing open any more."""
    truth = result["truth"]
    return not truth["orders"] and not any(one["qty"] for one in truth["positions"].values())


@pytest.mark.slow
def test_pybit() -> None:
    result = with_client("with_pybit", needed("pybit"))
    assert result["public"] == ["allLiquidation", "orderbook", "publicTrade", "tickers"] and result["infos"] == 2
    assert result["rest"] == ["New", "Amended", "Cancelled"]
    assert result["acks"] == [0, 0, 0, 110001]
    assert {"New", "Filled", "Cancelled"} <= set(result["statuses"]) and result["executions"] >= 2 and result["position"] == [0.01, 0.0]
    assert 0.0 < abs(10_000.0 - result["equity"]) < 50.0 and flat(result)


@pytest.mark.slow
def test_ccxt_pro() -> None:
    result = with_client("with_ccxt", needed("ccxt"))
    assert result["liquidation"] == "SOL/USDT:USDT" and abs(result["trade"] / result["last"] - 1.0) < 0.05 and result["tick"] == 0.1
    assert result["book"][0] < result["book"][1]
    assert result["statuses"] == ["open", "open", "canceled"] and result["ws"] == ["open", "canceled"]
    assert result["position"] == [0.01, "long"] and result["open"] == ["closed"] and flat(result)
    assert 0.0 < abs(10_000.0 - result["equity"]) < 50.0


@pytest.mark.slow
def test_ccxt_pro_at_binance_and_okx() -> None:
    """The venues beside Bybit: one market, each in its own units; ccxt hands the side of the order through."""
    result = with_client("with_ccxt_venues", needed("ccxt"), venues=("bybit", "binance", "okx"))
    for name, size in (("binance", 1.0), ("okx", 1.0)):
        one = result[name]
        assert one["markets"] == ["BTC/USDT:USDT", "SOL/USDT:USDT"] and one["size"] == size and one["tick"] == 0.01
        assert one["bid"] < one["ask"] and abs(one["trade"] / one["bid"] - 1.0) < 0.05 and one["interest"] > 1e6
        assert one["liquidation"]["symbol"] == "SOL/USDT:USDT" and one["liquidation"]["side"] in ("buy", "sell")
    assert result["binance"]["book"][0] < result["binance"]["book"][1]
    assert abs(result["binance"]["trade"] / result["okx"]["trade"] - 1.0) < 0.05


@pytest.mark.slow
@pytest.mark.skipif(find_spec("trustme") is None, reason="trustme is not installed")
def test_cryptofeed_over_tls() -> None:
    result = with_client("with_cryptofeed", needed("cryptofeed"), tls=True)
    assert result["trades"] > 20 and result["books"] > 20 and result["crossed"] == 0


@pytest.mark.slow
def test_nautilus_trader() -> None:
    result = with_client("with_nautilus", needed("nautilus_trader.adapters.bybit"), orderbook_500=True, speed=1.0)
    assert result["reconciled"] and result["trades"] > 0
    assert result["filled"] == [["BUY", 0.01], ["SELL", 0.01]] and flat(result)
