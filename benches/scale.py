"""The whole way at a size that hurts: months of generated ticks -> import -> cascades -> a large sweep -> a backtest with its report.

    python -m benches.scale FOLDER [--days 90] [--settings 10000] [--seed 1]

Each step is the command that a user types, in a process of its own; the table says what it took and its peak memory. A step that is done is not done
again, so an interrupted run goes on. What it needs: about 30 MB of disk a day for five symbols.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

DAY_NS = 86_400 * 10**9
FIRST_DAY_NS = 1_767_225_600 * 10**9  # 2026-01-01
SPANS = 2  # generated side by side, each a market of its own seed
GRIDS = {
    10_000: (
        "[0.0005, 0.00075, 0.001, 0.00125, 0.0015, 0.00175, 0.002, 0.0025, 0.003, 0.004]",
        "{from = 0.0005, to = 0.005, step = 0.0005}",
        "{from = 0.001, to = 0.0055, step = 0.0005}",
        "[60, 180, 300, 600, 900, 1200, 1800, 2700, 3600, 7200]",
    ),
    16: ("[0.001, 0.0015]", "[0.001, 0.002]", "[0.0025, 0.004]", "[600, 1800]"),
}


def generate(folder: Path, first: int, last: int, seed: int) -> int:
    """Days first to last (excluded) of a market, a Parquet file each: what somebody's recorder would have left."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import liqcore as lc
    from liqshell.emulator.market import Market, Parameters
    from liqshell.emulator.market.contracts import contracts_of
    from liqshell.emulator.market.quotes import KIND_BBO, KIND_LIQUIDATION, KIND_TRADE

    done = first
    while done < last and (folder / f"day{done:04d}.parquet").exists():
        done += 1
    if done == last:
        return 0
    parameters = Parameters(seed=seed, start_ns=FIRST_DAY_NS + done * DAY_NS)
    market, rows = Market(parameters), 0
    contracts = contracts_of(parameters.symbols)
    symbols = pa.array([c.symbol for c in contracts])
    ticks = np.array([10.0**c.price_decimals for c in contracts])
    lots = np.array([10.0**c.lot_decimals for c in contracts])
    kinds = {KIND_BBO: int(lc.Kind.BBO), KIND_LIQUIDATION: int(lc.Kind.LIQUIDATION), KIND_TRADE: int(lc.Kind.TRADE)}
    for day in range(done, last):
        made = market.take(24.0)
        price_unit, lot_unit = ticks[made["symbol"]], lots[made["symbol"]]
        quote, rare = made["kind"] == KIND_BBO, ~np.isin(made["kind"], list(kinds))
        table = pa.table(
            {
                "ts_event": made["t"],
                "ts_recv": made["t"] + 60_000_000,
                "kind": pa.array(np.select([made["kind"] == k for k in kinds], list(kinds.values()), int(lc.Kind.TICKER)).astype(np.int8)),
                "symbol": pa.DictionaryArray.from_arrays(made["symbol"].astype(np.int16), symbols),
                "side": made["side"],
                "price": made["price"] / price_unit,
                "qty": made["qty"] / lot_unit,
                "aux_price": np.where(quote | rare, made["aux_price"] / price_unit, 0.0),
                "aux_qty": np.where(quote, made["aux_qty"] / lot_unit, np.where(rare, made["aux_qty"] / 1e8, 0.0)),
            }
        )
        table = table.replace_schema_metadata({"liqcore.venue": "bybit", "liqcore.synthetic": "1"})
        temporary = folder / f"day{day:04d}.new"
        pq.write_table(table, temporary, compression="zstd")
        temporary.rename(folder / f"day{day:04d}.parquet")
        rows += len(made)
        print(f"day {day + 1}: {len(made):,} events", file=sys.stderr, flush=True)
    return rows


def own_mb(process: int) -> float:
    """Memory of a process and its children that no file stands behind: mapped columns are the system's to take back. What forked processes share is
    counted once."""
    total = 0.0
    try:
        shares = Path(f"/proc/{process}/smaps_rollup").read_text()
        total = next((float(line.split()[1]) / 1024 for line in shares.splitlines() if line.startswith("Pss_Anon")), 0.0)
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            total += own_mb(int(child))
    except OSError:
        pass  # it ended, or this is no Linux
    return total


def timed(name: str, command: list[str], folder: Path, log: dict) -> None:
    """Run a command once; remember wall time, processor time and peak memory of it and its children."""
    if name in log:
        return
    print(f"== {name}: {' '.join(command)}", file=sys.stderr, flush=True)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        done, own = 0, 0.0
        while not done:
            own = max(own, own_mb(process.pid))
            time.sleep(0.2)
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
    if status:
        raise SystemExit(f"{name} failed: see {folder / name}.log")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    log[name] = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "own_mb": own,
    }
    (folder / "scale.json").write_text(json.dumps(log, indent=1) + "\n")


def config(folder: Path, settings: int) -> Path:
    offset, profit, stop, hold = GRIDS[settings]
    file = folder / "scale.toml"
    file.write_text(f"""[run]
name = "scale"
[data]
store = "store"
[policy]
preset = "fade"
[backtest]
random_draws = 20
[sweep.policy]
entry_offset = {offset}
take_profit = {profit}
stop_loss = {stop}
max_hold_s = {hold}
""")
    return file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--settings", type=int, default=10_000, choices=sorted(GRIDS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ticks = options.folder / "ticks"
    ticks.mkdir(parents=True, exist_ok=True)
    state = options.folder / "scale.json"
    log = json.loads(state.read_text()) if state.exists() else {}
    if "generate" not in log:
        began = time.perf_counter()
        cuts = np.linspace(0, options.days, SPANS + 1).astype(int).tolist()
        with ProcessPoolExecutor(SPANS) as pool:
            list(pool.map(generate, [ticks] * SPANS, cuts[:-1], cuts[1:], [options.seed + n for n in range(SPANS)]))
        log["generate"] = {"wall_s": time.perf_counter() - began, "cpu_s": 0.0, "peak_mb": 0.0, "own_mb": 0.0}
        state.write_text(json.dumps(log, indent=1) + "\n")
    shell = [sys.executable, "-m", "liqshell"]
    file = config(options.folder, options.settings).name
    timed("import", [*shell, "import", "ticks", "--store", "store", "--jobs", "2"], options.folder, log)
    timed("sweep", [*shell, "sweep", file], options.folder, log)
    timed("backtest", [*shell, "backtest", file], options.folder, log)
    print(f"{'step':<12}{'wall':>10}{'cpu':>10}{'resident':>12}{'of its own':>12}        (resident: one process, mapped files included)")
    for name, found in log.items():
        print(f"{name:<12}{found['wall_s']:>8.1f} s{found['cpu_s']:>8.1f} s{found['peak_mb']:>9,.0f} MB{found.get('own_mb', 0.0):>9,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
