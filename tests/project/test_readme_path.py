"""README, line by line, from an empty folder: every shell line that can be run on this machine, in its order, word for word."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
INSTALL = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/"  # what it installs is tested by test_packaging.py


def lines() -> list[str]:
    """The shell lines but the one that runs this test suite; installation is left out."""
    blocks = re.findall(r"(<!-- [^\n]* -->\n)?```sh\n((?:(?!```)[^\n]*\n)*)```$", README, re.M)
    found = [line.partition("  #")[0].strip() for about, block in blocks if "command: test" not in about for line in block.splitlines()]
    return [line.removeprefix(INSTALL) for line in found if line and not line.startswith("#")]


def test_every_shell_line_is_known():
    """A line that does not begin with our command would not be run as a user runs it."""
    assert len(lines()) >= 9 and all(line.startswith("liqcore ") for line in lines())
    assert INSTALL + "liqcore demo" in README


@pytest.mark.slow  # minutes: the demos run at the README's own pace
def test_the_readme_works_word_for_word(tmp_path):
    home, place = tmp_path / "bin", tmp_path / "empty"
    home.mkdir()
    place.mkdir()
    command = home / "liqcore"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m liqshell "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pysrc")]),
        "PATH": f"{home}:{os.environ['PATH']}",
        "COLUMNS": "80",
        "LIQCORE_LOG_DIR": str(tmp_path / "log"),
    }
    for line in lines():
        done = subprocess.run(["bash", "-c", line], cwd=place, capture_output=True, text=True, env=environment, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, line
        if "--as backtest" in line or line == "liqcore replay RUNS/demo":
            assert done.stdout.startswith("identical: ")
    assert (place / "FADE.toml").is_file() and (place / "RUNS" / "demo" / "report.html").is_file()
