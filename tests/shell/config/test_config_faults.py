"""All faults of a configuration at once, each once, with its line: also of files that it names and of what a sweep tries."""

import subprocess
import sys

import pytest

from liqshell.config.load import load
from liqshell.errors import ConfigError

TEXT = """[feed]
venue = "bybit"
symbols = ["ETHUSDT"]
[hours]
utc = "25-30"
[blackout]
files = ["gone.csv", "bad.csv", "good.csv"]
[policy]
rule = "gone.py:Mine"
[limits]
collarr = 0.1
[sweep.parameters]
nope = [1, 2]
"""


def faults(tmp_path, text, changes=()):
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, changes)
    return [str(why).removeprefix(f"{file}:") for why in caught.value.problems]


def test_files_that_are_missing_stand_beside_all_else(tmp_path):
    (tmp_path / "bad.csv").write_text("begin,end\n")
    (tmp_path / "good.csv").write_text("start,end\n2026-03-18T17:30:00Z,2026-03-18T20:00:00Z\n")
    found = faults(tmp_path, TEXT)
    assert [why.partition(": ")[0] for why in found] == ["5", "7", "7", "9", "11"]
    assert found[0].count("25-30") == 1, found[0]
    assert "gone.csv: cannot be read: No such file" in found[1] and "bad.csv:1: the columns begin, end" in found[2]
    assert found[3].startswith(f"9: policy.rule: {tmp_path}/gone.py does not exist; expected a Python file with a policy")


@pytest.mark.parametrize(
    "beside",
    ["", "[policy.parameters]\nwrong = 1\n", "[limits]\ncollarr = 0.1\n", '[blackout]\nfiles = ["gone.csv"]\n', '[detectors.x]\nkind = "nix"\n'],
)
def test_unknown_parameters_of_a_sweep_are_said_once_whatever_else_is_wrong(tmp_path, beside):
    found = faults(tmp_path, f"[sweep.parameters]\nnope = [1, 2, 3]\nskip_unless_free = [true, false]\n{beside}")
    assert [why for why in found if "nope" in why] == [found[0]] and found[0].startswith("2: sweep.parameters.nope: unknown key. Known here: ")
    assert len(found) == (2 if beside else 1), found


OWN = "import liqcore as lc\nclass M(lc.CustomDetector):\n    PARAMETERS = (lc.Parameter('least', 1.0, 0.0, 9.0, '', ''),)\n    def on_event(self, event): pass\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[detectors.mine]\nkind = ["m.py:M"]\n', "2: detectors.mine.kind: found ['m.py:M']; expected one of 'cascade', "),
        ("[detectors.mine]\nkind = 5\n", "2: detectors.mine.kind: found 5; expected one of 'cascade', "),
        ('[policy]\nrule = ["m.py:M"]\n', "2: policy.rule: found ['m.py:M']; expected a class in a Python file"),
        ('[features.own]\nx = ["m.py:M"]\n', "2: features.own.x: found ['m.py:M']; expected 'file.py:function'"),
        ('[venues]\nx = ["m.py:M"]\n', "2: venues.x: found ['m.py:M']; expected 'file.py:ADAPTER'"),
        ("[detectors.mine]\nleast = 5\n", "1: detectors.mine.kind: not set, and no preset of this run has a detector of this name; expected one of"),
        ('[detector.mine]\nkind = "m.py:M"\n', "1: detector.mine: a table. Did you mean [detectors.mine]?"),
        ("[sweep.detector.mine]\nleast = [1, 2]\n", "1: sweep.detector.mine: a table. Did you mean [sweep.detectors.mine]?"),
        (
            '[detectors.mine]\nkind = "m.py:M"\n[sweep.detectors.mine]\nleest = [1, 2, 3]\n',
            "4: sweep.detectors.mine.leest: unknown key. Did you mean 'least'?",
        ),
        ('[detectors.mine]\nkind = "gone.py:M"\n', "2: detectors.mine.kind: "),
    ],
)
def test_each_fault_of_a_users_code_is_said_once_by_its_key(tmp_path, text, fault):
    (tmp_path / "m.py").write_text(OWN)
    (found,) = faults(tmp_path, text)
    assert found.startswith(fault) and ("Did you mean" in found) == ("Did you mean" in fault)


def test_a_table_of_the_command_line_below_detector_is_said_too(tmp_path):
    (found,) = faults(tmp_path, "[run]\nseed = 1\n", ["detector.mine.kind=rate"])
    assert found.strip() == "detector.mine: a table. Did you mean [detectors.mine]?"


def test_a_mark_of_the_byte_order_before_the_text_is_no_fault(tmp_path):
    text = "\ufeff[policy]\nnotional = 7\n"
    (tmp_path / "c.toml").write_text(text)
    assert load(tmp_path / "c.toml").policy.notional == 7.0
    assert faults(tmp_path, text + "notionel = 5\n")[0].startswith("3: policy.notionel: unknown key")
    assert faults(tmp_path, text.replace("notional", "notionel"))[0].startswith("2: policy.notionel: unknown key")


def test_what_stops_a_run_does_not_need_its_files(tmp_path):
    (tmp_path / "c.toml").write_text('[blackout]\nfiles = ["gone.csv"]\n[policy]\nrule = "gone.py:Mine"\n')
    assert load(tmp_path / "c.toml", files=False).policy.rule == f"{tmp_path}/gone.py:Mine"


@pytest.mark.parametrize("command", ["backtest", "sweep", "forward", "live"])
def test_an_empty_file_is_named(tmp_path, command):
    (tmp_path / "empty.toml").touch()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", command, str(tmp_path / "empty.toml")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode in (1, 2) and f"{tmp_path}/empty.toml: [" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "expected" in done.stderr
