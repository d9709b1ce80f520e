"""freqtrade in dry-run: it downloads candles, enters, exits, and enters again, at the prices of the emulated venue. The address is all that is changed.
Run by the interpreter that has it."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAIT_S = 150.0
STRATEGY = '''
from freqtrade.strategy import IStrategy


class EveryMinute(IStrategy):
    """In when the mean of 100 candles is known, out after five seconds."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi = {"0": 10}
    stoploss = -0.5
    startup_candle_count = 100

    def populate_indicators(self, dataframe, metadata):
        dataframe["mean"] = dataframe["close"].rolling(100).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[(dataframe["mean"] > 0) & (dataframe["volume"] > 0), "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe

    def custom_exit(self, pair, trade, current_time, current_rate, current_profit, **kwargs):
        return "seen" if (current_time - trade.open_date_utc).total_seconds() > 5 else None
'''


def configuration(line):
    """Futures on Bybit, every address the emulator's."""
    places = dict.fromkeys(("spot", "futures", "v2", "public", "private"), line["rest"])
    pricing = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    return {
        "dry_run": True,
        "dry_run_wallet": 1000,
        "stake_currency": "USDT",
        "stake_amount": 100,
        "max_open_trades": 2,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "timeframe": "1m",
        "initial_state": "running",
        "entry_pricing": pricing,
        "exit_pricing": pricing,
        "exchange": {
            "name": "bybit",
            "key": "",
            "secret": "",
            "pair_whitelist": ["BTC/USDT:USDT", "SOL/USDT:USDT"],
            "enable_ws": False,
            "ccxt_config": {"urls": {"api": places}, "options": {"fetchMarkets": {"types": ["linear"]}}},
        },
        "pairlists": [{"method": "StaticPairList"}],
        "internals": {"process_throttle_secs": 1},
        "unfilledtimeout": {"entry": 1, "exit": 1},
    }


def closed(database):
    """Trades that are over: pair, price in, price out."""
    if not database.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store, contextlib.suppress(sqlite3.OperationalError):
        return store.execute("SELECT pair, open_rate, close_rate FROM trades WHERE is_open = 0").fetchall()
    return []


def main(line):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "user_data" / "strategies").mkdir(parents=True)
        (folder / "user_data" / "strategies" / "every_minute.py").write_text(STRATEGY)
        (folder / "config.json").write_text(json.dumps(configuration(line)))
        said = (folder / "said").open("w")
        bot = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "freqtrade",
                "trade",
                "-c",
                "config.json",
                "--userdir",
                "user_data",
                "-s",
                "EveryMinute",
                "--db-url",
                "sqlite:///trades.sqlite",
            ],
            cwd=folder,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            end = time.monotonic() + WAIT_S
            while len(closed(folder / "trades.sqlite")) < 2 and time.monotonic() < end and bot.poll() is None:
                time.sleep(0.5)
            found, lines = closed(folder / "trades.sqlite"), (folder / "said").read_text().splitlines()  # before it is told to stop
        finally:
            bot.terminate()
            try:
                bot.wait(15)
            except subprocess.TimeoutExpired:
                bot.kill()
                bot.wait()
        said.close()
        if not found:
            sys.exit("\n".join(one[:300] for one in lines[-60:]))
    print(
        json.dumps(
            {"trades": found, "outdated": sum("Outdated history" in one for one in lines), "errors": [one[:300] for one in lines if " ERROR " in one]}
        ),
        flush=True,
    )


main(json.loads(sys.argv[1]))
