"""Client libraries call by call against `liqcore emulate --at now`: which calls work stands in docs/emulator.md, made of foreign_clients/calls.json.

LIQCORE_WRITE_CALLS=1 pytest -m slow tests/project/test_client_calls.py && python tests/support/doc_tables.py
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client_interpreters import needed

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parents[1] / "foreign_clients"
KEPT = CLIENTS / "calls.json"
MODULES = {
    "pybit": "pybit",
    "ccxt bybit": "ccxt",
    "ccxt binanceusdm": "ccxt",
    "ccxt okx": "ccxt",
    "python-okx": "okx",
    "binance-futures-connector": "binance.um_futures",
}


@contextlib.contextmanager
def today(*options: str) -> Iterator[str]:
    """The ready line of the command, as a user starts it."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'pysrc'}:{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "liqshell", "emulate", "--at", "now", "--seed", "3", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=120)


def run(python: str, script: str, *given: str, timeout_s: float = 180.0) -> Any:
    """What a script prints last. Its own environment: none of ours."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, str(CLIENTS / script), *given], capture_output=True, text=True, timeout=timeout_s, env=environment)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("client", MODULES)
def test_calls(client: str) -> None:
    """Every call does what the page says that it does."""
    python = needed(MODULES[client])
    with today("--venues", "bybit,binance,okx") as line:
        found = run(python, "calls_of.py", client, line)
    kept = json.loads(KEPT.read_text())
    if os.environ.get("LIQCORE_WRITE_CALLS"):
        KEPT.write_text(json.dumps(dict(sorted((kept | {client: found}).items())), indent=1) + "\n")
    else:
        assert found["calls"] == kept[client]["calls"], f"{client} {found['version']}, the page tells of {kept[client]['version']}"


def test_the_page_hides_nothing() -> None:
    """What is known not to work is what the venue documents, or what is not emulated; the calls that trading needs work."""
    kept = json.loads(KEPT.read_text())
    assert set(kept) == set(MODULES)
    for client, found in kept.items():
        failing = {name for name, why in found["calls"].items() if why}
        assert len(failing) < 0.3 * len(found["calls"]), client
        wanted = (
            "fetch_ohlcv",
            "fetch_ticker",
            "create_order",
            "get_kline",
            "place_order",
            "ticker_24hr",
            "ticker_price",
            "agg_trades",
            "funding_rate",
            "get_candlesticks",
            "klines",
            "get_mark_price_kline",
            "get_index_price_kline",
            "get_insurance",
            "get_long_short_ratio",
            "get_collateral_info",
            "get_coin_greeks",
        )
        assert not {name for name in failing if name.startswith(wanted)} - {"fetch_ohlcv (index)"}, client
    assert kept["binance-futures-connector"]["calls"]["new_order (STOP_MARKET)"] == "-4120"


@pytest.mark.slow
def test_freqtrade_trades() -> None:
    """Dry-run: candles of today, entries and exits at the emulated prices; it used to say "Outdated history" and do nothing."""
    python = needed("freqtrade")
    with today() as line:
        found = run(python, "with_freqtrade.py", line, timeout_s=240.0)
    assert len(found["trades"]) >= 2 and found["outdated"] == 0 and found["errors"] == [], found
    for pair, entry, exit_ in found["trades"]:
        assert pair in ("BTC/USDT:USDT", "SOL/USDT:USDT") and entry > 0.0 and abs(exit_ / entry - 1.0) < 0.05
