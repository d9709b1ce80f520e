"""A run whose audit.bin is not what its run.json says: whoever reads it says so before any number, and what takes it for evidence refuses."""

import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console
from test_cli import run

import liqcore as lc
from liqshell.backtest import run_backtest
from liqshell.config.load import loads
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.report import load_run, make_report, print_report
from liqshell.research import run_index
from liqshell.research.compare.run import _right
from liqshell.run.replay import prove
from liqshell.service.problems import Problem
from liqshell.service.signals import answer
from liqshell.service.sources import Library
from recorded_run import SETTINGS, record_run

SIZE = lc.AUDIT_DTYPE.itemsize
TS = lc.AUDIT_DTYPE.fields["ts"][1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A paper run, and a backtest of it, each with its report."""
    root = tmp_path_factory.mktemp("whole")
    make_report(record_run(root / "paper", hours=1, seed=12, cut_s=60.0))
    config = loads(f'[run]\nout = "{root}"\n{SETTINGS}[data]\nfiles = ["{root / "paper"}"]\n[backtest]\nstudy = false\n')
    make_report(run_backtest(config, root / "backtest"))
    return root


def flipped(data):
    """One bit of the time of a record in the middle: the stream stays in order."""
    out = bytearray(data)
    out[len(data) // SIZE // 2 * SIZE + TS] ^= 1
    return bytes(out)


def longer(data):
    """One more record, as a whole stream would go on."""
    last = np.frombuffer(data[-SIZE:], lc.AUDIT_DTYPE).copy()
    last["seq"] += 1
    return data + last.tobytes()


DAMAGE = {"one bit": flipped, "cut by two records": lambda data: data[: -2 * SIZE], "empty": lambda data: b"", "one record more": longer}


@pytest.fixture(params=DAMAGE)
def damaged(whole, tmp_path, request):
    """The same, with another audit.bin; and the number of its records."""
    root = shutil.copytree(whole, tmp_path / "root")
    for name in ("paper", "backtest"):
        data = (root / name / "audit.bin").read_bytes()
        (root / name / "audit.bin").write_bytes(DAMAGE[request.param](data))
    return root


def test_nothing_is_said_of_a_run_that_is_whole(whole, capsys):
    for name in ("paper", "backtest"):
        assert load_run(whole / name).damage == ""
        status, out, err = run(capsys, "show", whole / name)
        assert (status, err) == (0, "") and "DAMAGE" not in out
        assert json.loads((whole / name / "report.json").read_text())["damage"] == ""
        assert "DAMAGED" not in (whole / name / "report.html").read_text("utf-8")
    status, out, err = run(capsys, "runs", whole)
    assert "DAMAGED" not in out + err
    status, out, err = run(capsys, "runs", whole, "--compare", "paper", "backtest")
    assert status == 0 and "DAMAGED" not in out + err
    killed = json.loads((whole / "paper" / "run.json").read_text())
    del killed["audit_records"], killed["audit_sha256"]
    assert journal.damage_of(whole / "paper", killed) == ""  # a run that was killed says nothing of its records


def test_show(damaged, capsys):
    for name in ("paper", "backtest"):
        found = load_run(damaged / name)
        records = found.meta["audit_records"]
        assert found.damage.startswith("audit.bin ") and (str(records) in found.damage or found.meta["audit_sha256"] in found.damage)
        status, out, err = run(capsys, "show", damaged / name)
        assert status == 2 and out.startswith(f"DAMAGED: {damaged / name}: audit.bin ") and "and run.json says" in err
        status, out, _ = run(capsys, "show", damaged / name, "--json")
        first = json.loads(out.splitlines()[0])
        assert status == 2 and first["what"] == "DAMAGE" and found.damage in first["text"]


def test_report(damaged, tmp_path):
    found = json.loads((damaged / "paper" / "run.json").read_text())
    (damaged / "paper" / "run.json").write_text(json.dumps(found | {"replay": {"identical": True, "records": 5}}))
    out = make_report(damaged / "paper", out=tmp_path / "report")
    page = out.html.read_text("utf-8")
    assert page.index("DAMAGED.") < page.index('class="verdict"') and "Every number below may be wrong" in page
    assert "replay identical" not in page  # it was proved of other records
    figures = json.loads(out.json.read_text())
    assert list(figures)[:2] == ["report_version", "damage"] and "audit.bin" in figures["damage"]
    text = io.StringIO()
    print_report(out.summary, Console(file=text, width=200))
    assert text.getvalue().splitlines()[1].strip(" │").startswith("DAMAGED: audit.bin")


def test_runs_side_by_side(damaged, capsys):
    status, out, err = run(capsys, "runs", damaged, "--compare", "paper", "backtest")
    assert status == 2 and [line.split(":")[:2] for line in out.splitlines()[:2]] == [["DAMAGED", " paper"], ["DAMAGED", " backtest"]]
    assert err.count("audit.bin") == 2
    status, out, _ = run(capsys, "runs", damaged, "--compare", "paper", "backtest", "--json")
    assert status == 2 and set(json.loads(out)["damage"]) == {"paper", "backtest"}
    size = (damaged / "paper" / "audit.bin").stat().st_size // SIZE
    records = json.loads((damaged / "paper" / "run.json").read_text())["audit_records"]
    listed = {entry.name: entry.verdict for entry in run_index.index(damaged)}
    assert listed["paper"].startswith("DAMAGED: ") == (size != records)  # the list looks at lengths only


def test_gate_and_verify_refuse(damaged, capsys, tmp_path):
    for command in (
        ("gate", damaged / "paper", "--rehearsal", "--no-replay", "--out", tmp_path / "gate"),
        ("verify", damaged / "backtest"),
        ("gate", damaged / "paper", "--rehearsal", "--out", tmp_path / "gate"),
    ):
        status, out, err = run(capsys, *command)
        assert (status, out) == (2, "") and "audit.bin" in err and "run.json says" in err and "Restore the file" in err
    assert not (tmp_path / "gate").exists()


def test_a_run_on_record_that_is_damaged_is_refused_by_gate(whole, damaged, capsys):
    status, out, err = run(capsys, "gate", whole / "paper", "--rehearsal", "--no-replay", "--against", damaged / "paper")
    assert (status, out) == (2, "") and str(damaged / "paper") in err


def test_replay_finds_it(damaged):
    assert prove(damaged / "paper").identical is False


def test_signals_are_not_served(whole, damaged, tmp_path):
    library = Library(damaged / "paper", tmp_path / "state")
    try:
        with pytest.raises(Problem, match="cannot be trusted: audit.bin"):
            answer(library.get(), 0, -1, 10)
    finally:
        library.close()


def test_a_comparison_does_not_take_a_damaged_run_for_its_own(whole, damaged):
    from liqshell.backtest import load_history
    from liqshell.backtest.run import settings_of

    config = loads(f'[run]\nout = "{whole}"\n{SETTINGS}[data]\nfiles = ["{whole / "paper"}"]\n[backtest]\nstudy = false\n')
    history = load_history(config)
    values = settings_of(config, history)
    assert _right(whole / "backtest", config, history, values) and not _right(damaged / "backtest", config, history, values)


def test_files_that_are_no_whole_records_say_what_can_be_done(whole, tmp_path, capsys):
    root = shutil.copytree(whole, tmp_path / "root")
    path = root / "paper" / "audit.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    for command in (("show", root / "paper"), ("gate", root / "paper")):
        status, _, err = run(capsys, *command)
        text = " ".join(err.split())
        assert status == 2 and f"{len(data) - 5} bytes" in text and "no command writes it again" in text
        assert f"truncate --size={len(data) - SIZE} FILE" in text
    path.unlink()
    status, _, err = run(capsys, "show", root / "paper")
    assert status == 2 and "no such file" in err and "no command writes it again" in " ".join(err.split())
    assert not prove_writes(root / "paper")
    listed = {entry.name: entry.verdict for entry in run_index.index(root)}
    assert listed["paper"].startswith("DAMAGED: audit.bin is missing")


def prove_writes(folder):
    """Whether a replay makes audit.bin again."""
    with pytest.raises(DataError):
        prove(folder)
    return (folder / "audit.bin").exists()


@pytest.mark.parametrize("abi", [0, 5, lc.abi_version() + 1, 99, "8", True, 8.0])
def test_a_struct_version_that_is_not_known_is_refused_by_name(whole, tmp_path, capsys, abi):
    root = shutil.copytree(whole, tmp_path / "root")
    for name in ("paper", "backtest"):
        journal.update(root / name, abi=abi, version="9.9.9")
    for command in (("show", root / "paper"), ("gate", root / "paper"), ("verify", root / "backtest"), ("replay", root / "paper")):
        status, out, err = run(capsys, *command)
        text = " ".join(err.split())
        assert (status, out) == (2, "") and f"run.json: abi {abi!r}: made with a struct version that this liqcore does not know" in text
        assert "9.9.9" in text
    with pytest.raises(DataError, match="abi"):
        make_report(root / "paper")
