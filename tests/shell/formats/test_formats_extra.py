"""Without pyarrow: recordings are read all the same, and what needs pyarrow says how to get it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from format_files import MS, T0, TARDIS_PRINTS, write

ROOT = Path(__file__).parents[3]


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process in which pyarrow is not there."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['pyarrow'] = None\n" + program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])},
    )


def test_recordings_and_event_tables_need_no_pyarrow(tmp_path):
    ms = T0 // MS
    result = {"topic": "allLiquidation.X", "type": "snapshot", "ts": ms, "data": [{"T": ms, "s": "X", "S": "Buy", "v": "2", "p": "5"}]}
    write(
        tmp_path / "x.jsonl",
        json.dumps({"ts": ms, "exchange": "bybit", "source": "ws", "stream": "allLiquidation.X", "symbol": "X", "result": result}),
    )
    write(tmp_path / "t.csv", "ts_ms,symbol,position,price,qty_base,notional_usd", f"{ms},X,long,5,1,5")
    done = run("from liqshell import formats\nfor name in ('x.jsonl', 't.csv'): print(sum(len(e) for _, _, e in formats.read(name)))", tmp_path)
    assert (done.returncode, done.stdout) == (0, "1\n1\n"), done.stderr


def test_what_needs_pyarrow_says_how_to_get_it(tmp_path):
    write(tmp_path / "trades.csv", TARDIS_PRINTS, f"bybit,X,{T0 // 1000},{T0 // 1000},,buy,5,1")
    done = run("from liqshell import errors, formats\ntry: list(formats.read('trades.csv'))\nexcept errors.ConfigError as why: print(why)", tmp_path)
    assert done.returncode == 0 and "pip install pyarrow" in done.stdout, done.stderr
