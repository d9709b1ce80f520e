"""Whole markets without an edge through the command line: import, sweep, and the report of a backtest of the setting that looked best.

    python -m tests.null_markets --markets 200 --seconds 3600

The price is a random walk, spread and fees are next to nothing and entries and exits are at the market, so that every setting is worth nothing and
none loses for its costs. Each market has a
store and runs of its own; all share one trial log.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

DAYS, CASCADES = 25, 12  # a day
START_US = 1_772_409_600_000_000  # a midnight
EVERY_S, CASCADE_S, VOLATILITY = 30.0, 80.0, 1.2e-4  # a quote and a trade; about a cascade one a second; of the price, by the square root of a second
HALF_SPREAD, TICK = 0.1, 0.01
CONFIG = """
[detector]
quantile = 0.8
window_events = 200
warmup = 20
window_s = 30
min_events = 2
[policy]
entry = "market"
entry_offset = 0
take_profit = 0
cooldown_s = 0
notional = 1000
requotes = 0
[limits]
daily_loss_max = 0.9
weekly_loss_max = 0.9
data_age_max_s = 60
[engine]
quote_age_s = 60
[paper]
equity = 10000
maker_fee = 0
taker_fee = 0
funding_interval_s = 0
[backtest]
study = false
[sweep]
workers = 1
[sweep.policy]
max_hold_s = [15, 30, 45, 60]
stop_loss = [0.001, 0.002, 0.01]
[sweep.detector]
min_events = [2, 4]
quantile = [0.7, 0.9]
"""


@dataclass(frozen=True)
class Said:
    """What was said of one market. trials: settings that the sweep and the backtest knew of."""

    seed: int
    days: int
    trades: int
    swept: bool | None
    reported: bool | None
    trials: tuple[int, int]
    p: tuple[float, float]


def write(folder: Path, seed: int) -> None:
    """Trades, quotes and liquidations as Tardis has them."""
    r = np.random.default_rng([seed, 16])
    span = DAYS * 86_400.0
    begun = np.sort(r.uniform(600, span - 600, DAYS * CASCADES))
    size = r.integers(4, 12, len(begun))
    forced_at = np.repeat(begun, size) + np.concatenate([np.sort(r.uniform(0, 8, n)) for n in size])
    busy = (begun[:, None] - 5.0 + np.arange(0.0, CASCADE_S)).ravel()
    seconds = np.sort(np.concatenate([np.arange(0.0, span, EVERY_S), busy, forced_at]) % span)
    seconds = seconds[np.diff(seconds, prepend=-1.0) > 1e-3]
    mid = 10_000.0 * np.exp(np.cumsum(r.normal(0.0, VOLATILITY, len(seconds)) * np.sqrt(np.diff(seconds, prepend=0.0))))
    mid = np.round(mid / TICK) * TICK
    quoted = START_US + (seconds * 1e6).astype(np.int64)
    buys = r.random(len(seconds)) < 0.5
    at = np.searchsorted(seconds, forced_at, side="right") - 1
    which = np.repeat(r.random(len(begun)) < 0.5, size)  # longs are closed: a forced sale
    names, side = {"exchange": "bybit", "symbol": "BTCUSDT"}, ["sell", "buy"]
    half = np.full(len(mid), HALF_SPREAD)

    def table(kind: str, ts: np.ndarray, **columns: object) -> None:
        fixed = {name: pa.array(np.full(len(ts), value)) for name, value in names.items()}
        pa.csv.write_csv(pa.table({**fixed, "timestamp": ts, "local_timestamp": ts + 20_000, **columns}), folder / f"bybit_{kind}_BTCUSDT.csv")

    table("quotes", quoted, ask_amount=half + 1, ask_price=np.round(mid + half, 2), bid_price=np.round(mid - half, 2), bid_amount=half + 1)
    table(
        "trades",
        quoted + 200,
        id=np.arange(len(mid)).astype(str),
        side=np.take(side, buys),
        price=np.round(mid + np.where(buys, half, -half), 2),
        amount=r.uniform(0.01, 2.0, len(mid)).round(4),
    )
    table(
        "liquidations",
        quoted[at] + 400 + np.arange(len(at)) % 7,
        id=np.arange(len(at)).astype(str),
        side=np.take(side, ~which),
        price=np.round(mid[at], 2),
        amount=np.exp(r.normal(0.0, 1.0, len(at))).round(4),
    )


def told(folder: Path, seed: int, store: str = "store") -> Said:
    """One market, from its files to its report."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "csv").exists():
        (folder / "csv").mkdir()
        write(folder / "csv", seed)
    (folder / "c.toml").write_text(f'[run]\nout = "{folder / "runs"}"\n[data]\nstore = "{store}"\n{CONFIG}')
    _liqcore("import", folder / "csv", "--store", folder / store, "--quiet")
    swept = json.loads(_liqcore("sweep", folder / "c.toml", "--out", folder / f"sweep-{store}", "--json"))
    best = swept["luck"]["setting"] or {}
    said = json.loads(
        _liqcore("backtest", folder / "c.toml", "--out", folder / f"run-{store}", "--json", *(f"--set={k}={v}" for k, v in best.items()))
    )
    report = json.loads((folder / f"run-{store}" / "report.json").read_text()) if "trials" not in said else said
    found = report["trials"]
    return Said(
        seed,
        swept["luck"]["days"],
        report["per_trade"]["n"],
        swept["luck"]["edge"],
        found["edge"],
        (swept["luck"]["trials"], found["trials"]),
        (swept["luck"]["p_superior"], swept["luck"]["p_shape"]),
    )


def _liqcore(*arguments: object) -> str:
    done = subprocess.run([sys.executable, "-P", "-m", "liqshell", *map(str, arguments)], capture_output=True, text=True, timeout=600)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"liqcore {arguments[0]}: {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def campaign(markets: int, seconds: float, workers: int = 1, first: int = 0) -> Iterator[Said]:
    """As many markets as there is time for, each in a folder that is gone afterwards."""
    until = time.monotonic() + seconds

    def one(seed: int) -> Said | None:
        if time.monotonic() > until and seed > first:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return told(Path(folder) / "market", seed)

    with ThreadPoolExecutor(workers) as pool:
        yield from (said for said in pool.map(one, range(first, first + markets)) if said is not None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0)
    arguments = parser.parse_args()
    os.environ["LIQCORE_TRIALS"] = f"{tempfile.mkdtemp()}/trials.jsonl"
    every = []
    for said in campaign(arguments.markets, arguments.seconds, first=arguments.first):
        every.append(said)
        print(said, flush=True)
    print(
        f"{len(every)} markets: an edge is called of {sum(bool(s.swept) for s in every)} by the sweep, of {sum(bool(s.reported) for s in every)} "
        "by the report of its best setting"
    )


if __name__ == "__main__":
    main()
