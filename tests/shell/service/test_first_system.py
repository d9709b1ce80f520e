"""docs/first-system.md, step by step as a reader types it: on a small store by default, and word for word on the demo's market."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import store_files
from api_rig import fill

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "first-system.md").read_text()
STEPS = dict(re.findall(r"<!-- step: ([\w.]+) -->\n```\w+\n(.*?)^```$", PAGE, re.S | re.M))
WAIT = "for _ in $(seq 200); do curl -sf http://127.0.0.1:8710/v1/health > /dev/null && break; sleep 0.1; done\n"


def work_through(place: Path, data: str) -> str:
    """What the steps print, after the step `data` or what stands for it."""
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (place / "bin").mkdir()
    for name, module in (("liqcore", "-m liqshell"), ("python", "")):
        command = place / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -P {module} "$@"\n')
        command.chmod(0o755)
    (place / "rule.py").write_text(STEPS["rule.py"].replace("8710", port))
    script = "set -e\n" + data + STEPS["server"] + "trap 'kill %1' EXIT\n" + WAIT + STEPS["live"] + "echo\n" + STEPS["history"] + STEPS["verdict"]
    environment = os.environ | {
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}",
        "LIQCORE_LOG_DIR": str(place / "log"),
    }
    done = subprocess.run(["bash", "-c", script.replace("8710", port)], cwd=place, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def check(said: str) -> None:
    assert '"liquidations.liq_imbalance@15m:zscore":{"value":' in said and "time,ts,contract,completeness,liquidations" in said
    assert said.strip().splitlines()[-1].startswith(("this idea does not clear its hurdle", "this idea clears its hurdle"))


def test_the_steps_work_on_a_store(tmp_path):
    """Three days, so that the z-scores are known and the rule fires."""
    assert set(STEPS) == {"data", "server", "live", "history", "rule.py", "verdict"}
    files = [store_files.save(tmp_path / f"{n}", {"bybit~BTCUSDT": _market(n)}) for n in range(3)]
    fill(tmp_path / "RUNS", *files)
    said = work_through(tmp_path, "")
    check(said)
    assert int(re.search(r"(\d+) settled bets", said)[1]) >= 1 and re.search(r"right \d+ of \d+ times", said)


def _market(day: int):
    """Longs are flushed now and then, and funding is negative."""
    import numpy as np

    rows = store_files.market(6000, day + 1, store_files.T0 + day * store_files.DAY, price=60_000.0)
    rows["kind"][(rows["kind"] == 2) & (rows["id"] % 2 == 0)] = 1
    forced, ticker = rows["kind"] == 1, rows["kind"] == 4
    rows["aux_qty"][ticker] = -1e-4
    flush = (rows["ts_recv"] // (20 * 60 * store_files.SECOND)) % 15 == 0
    rows["side"][forced & flush] = 1
    rows["aux_price"][forced] = np.where(flush[forced], 1e6, 1e4)
    return rows


@pytest.mark.slow  # a minute: the demo runs twelve hours at a thousand times their pace
def test_the_page_word_for_word(tmp_path):
    install, _, data = STEPS["data"].partition("\n")
    assert install == "pip install 'liqcore[api]'"
    check(work_through(tmp_path, data))
