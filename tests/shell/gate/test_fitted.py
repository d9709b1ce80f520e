"""Tables at 80 and 60 columns, and the progress bar there: no word is broken, no number is lost, bar, percentage and time left stay."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from liqshell import progress
from liqshell.fitted import Table

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])}
ROWS = [
    ("BTCUSDT", "FULL", "3", "1.5 (0.3–4.3)", "16,275", "19,433", "−$6.32", "not filled: operator"),
    ("ETHUSDT", "CENSORED", "1", "0.5", "", "1", "$0.00", ""),
]
HEADS = ("symbol", "feed", "cascades", "per covered hour", "liquidations", "trades", "net", "reason")


def shown(width: int, *, rows=ROWS, heads=HEADS) -> str:
    made = Table(title=Text("Instruments"), box=None, pad_edge=False)
    for head in heads:
        made.add_column(Text(head), overflow="fold", no_wrap=head == "symbol")
    for row in rows:
        made.add_row(*(Text(cell, style="red") if n % 2 else cell for n, cell in enumerate(row)))
    out = io.StringIO()
    Console(file=out, width=width).print(made)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 130])
def test_no_word_is_broken_and_nothing_is_lost(width):
    text = shown(width)
    assert all(len(line) <= width for line in text.splitlines())
    words = {word for row in [*ROWS, HEADS] for cell in row for word in cell.split()}
    assert words <= set(re.split(r"[\s:]+", text)) | {w for w in words if f"{w}:" in text or w in text.split()}


def test_a_table_that_fits_is_a_table():
    assert "symbol   feed" in shown(130) and "symbol BTCUSDT" in shown(50) and "  feed: FULL" in shown(50)
    assert "net: −$6.32" in shown(50) and "liquidations:" in shown(50).split("ETHUSDT")[0] and "liquidations:" not in shown(50).split("ETHUSDT")[1]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_bar_percentage_and_time_left_stay(width, monkeypatch):
    out = io.StringIO()
    with progress.Bar("SYNTHETIC market", console=Console(file=out, width=width, force_terminal=True)) as bar:
        bar.show(
            "2026-03-04T13:15:53 UTC  21,196 frames  0 signals  [brackets] open  equity 10,000.00  warm 0/5: BTCUSDT 34/100, ETHUSDT 58/100", 0.42
        )
        bar._bar.refresh()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", out.getvalue())]
    line = next(line for line in reversed(lines) if "42%" in line)
    assert len(line) <= width and re.search(r"━+.* 42% +\S*-*:\S+ +SYNTHETIC market: 2026", line)
    assert ("…" in line) == (width < 200) and (width < 200 or "[brackets]" in line)


def test_compilation_is_said_at_once(tmp_path):
    code = (
        "import sys, time\n"
        "from liqshell.progress import Bar\n"
        "with Bar('sweep') as bar:\n"
        "    import numba\n"
        "    time.sleep(0.5)\n"
        "    numba.njit(lambda x: x + 1)(1)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0 and done.stderr.count(progress.COMPILING) == 1, done.stderr
