"""doctor constructs what a start would: what cannot be made is said before."""

import json
import os
import subprocess
import sys

import pytest
from test_doctor import CONFIG, ROOT, healthy

from liqshell import cli
from liqshell.config.load import loads, presets
from liqshell.doctor import examine
from liqshell.doctor.construct import construct


@pytest.mark.parametrize(
    ("text", "what", "says"),
    [
        ("[features]\nnames = ['BTC/flow.volume@1m']\n", "paper", "it looks at BTC, and no instrument here is of that asset"),
        ("[policy]\nrule = 'absent.py:Mine'\n", "paper", "absent.py cannot be read"),
        ("[paper]\nlatency = 'empirical'\nlatency_samples = 'absent.csv'\n", "paper", "absent.csv: cannot be read"),
        ("[data]\nfiles = ['absent']\n", "backtest", "absent: no such file or folder"),
        ("[data]\nstore = 'absent'\n", "backtest", "absent: no such folder"),
        ("[warm]\nsources = ['absent']\n", "warm", "absent: no such file or folder"),
        ("[run]\nmode = 'live'\n[features]\nnames = ['BTC/flow.volume@1m']\n", "live", "it looks at BTC"),
    ],
)
def test_what_cannot_be_constructed_fails_before_a_start(text, what, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = construct(loads(CONFIG + text), healthy().instruments)
    (failed,) = [one for one in made if one.fault is not None and one.what == what]
    assert says in str(failed.fault)
    checks = examine(loads(CONFIG + text), healthy(made=made))
    assert any(c.id == "construct" and c.verdict == "fail" and says in c.text for c in checks)


def test_every_preset_can_be_constructed_for_paper_and_live():
    for name in presets():
        made = construct(loads(f"[run]\nmode = 'live'\n{CONFIG}[policy]\npreset = '{name}'\n"), {})
        assert [(one.what, one.fault) for one in made] == [("paper", None), ("live", None)], name


def test_offline_asks_nobody_and_still_constructs(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(
        "[feed]\nsymbols = ['ETHUSDT']\nrest = 'http://127.0.0.1:9'\nws = 'ws://127.0.0.1:9'\n[features]\nnames = ['BTC/flow.volume@1m']\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", "doctor", str(file), "--offline", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])},
    )
    told = {check["id"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1 and told["construct"] == "fail" and told["venue"] == "ok" and "clock" not in told
    file.write_text("[feed]\nsymbols = ['ETHUSDT']\n")
    assert cli.main(["doctor", str(file), "--offline"]) == 0
