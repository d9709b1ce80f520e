"""Import of a CSV of trades into a store, against polars reading, sorting and writing the same file, in turn and in one run.

    python -m benches.imports [FILE] [--rows 10000000] [--runs 5]

Each pass is a process of its own, pinned to nothing: both use every core. Ours also checks every row, takes the file's SHA-256, the partition's
fingerprint and the report's measures. Without FILE one is generated in a temporary folder: a random walk in Binance's layout, times in ms. It prints
both, with spread, and the ratio of the medians; the load of the machine stands beside it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benches import build

START_MS, DAY_MS = 1_748_736_000_000, 86_400_000
OURS = "from liqshell import store; outcome = store.fill({out!r} + '/store', [{file!r}]); assert not outcome.broken, outcome.broken"
POLARS = "import polars; polars.read_csv({file!r}).sort('time').write_parquet({out!r} + '/polars.parquet')"
TIMED = "import time; began = time.perf_counter(); {work}; print(time.perf_counter() - began)"


def generate(file: Path, rows: int) -> None:
    import pyarrow as pa
    from pyarrow import csv

    random = np.random.default_rng(1)
    price = (1_040_000 + np.cumsum(random.integers(-2, 3, rows))) / 10
    qty = np.clip(random.pareto(1.5, rows) * 20, 1, 100_000).astype(np.int64) / 1000
    csv.write_csv(
        pa.table(
            {
                "id": np.arange(6_000_000_000, 6_000_000_000 + rows),
                "price": price,
                "qty": qty,
                "quote_qty": np.round(price * qty, 4),
                "time": START_MS + np.sort(random.integers(0, DAY_MS - 100_000, rows)),
                "is_buyer_maker": pa.array(np.where(random.random(rows) < 0.5, "true", "false")),
            }
        ),
        file,
        csv.WriteOptions(quoting_style="none"),
    )


def measure(file: Path, runs: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"polars": [], "ours": []}
    for _ in range(runs):
        for name, work in (("polars", POLARS), ("ours", OURS)):
            with tempfile.TemporaryDirectory(dir=file.parent) as out:
                script = TIMED.format(work=work.format(file=str(file), out=out))
                took[name].append(
                    float(
                        subprocess.run(
                            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=build.ROOT, env=build.environment()
                        ).stdout
                    )
                )
    return took


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.imports", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = options.file
        if file is None:
            file = Path(folder) / "BTCUSDT-trades-2025-06-01.csv"
            generate(file, options.rows)
        load = os.getloadavg()[0]
        took = measure(file.resolve(), options.runs)
    for name, seconds in took.items():
        print(f"{name:<8}median {statistics.median(seconds):6.2f} s    {min(seconds):.2f} to {max(seconds):.2f}")
    print(
        f"ratio   {statistics.median(took['ours']) / statistics.median(took['polars']):.2f}      load before {load:.1f}, after {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
