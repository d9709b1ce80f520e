"""How commands end: 0 done, 1 the answer is no, 2 wrong use, 70 our fault; one sentence, the path of a log, and no traceback without --debug."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import frame, rows, table

from liqshell import cli, ending
from liqshell.errors import ConfigError, VenueError

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])}
POLICY = """import liqcore as lc


class Bad(lc.Policy):
    def on_signal(self, signal, market):
        raise ValueError("my own\\nmistake")
"""


def spawn(line: str, folder: Path, **others: str) -> subprocess.CompletedProcess:
    """A shell line in which `liqcore` is ours; its status is that of liqcore."""
    line = line.replace("liqcore ", f"{sys.executable} -P -m liqshell ")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT | {"LIQCORE_LOG_DIR": str(folder / "log")} | others,
    )


def log_of(err: str) -> str:
    (path,) = [line.removeprefix("log: ").partition(" (")[0] for line in err.splitlines() if line.startswith("log: ")]
    return Path(path).read_text()


def market(path: Path) -> None:
    """A burst of liquidations as raw frames, each after a trade."""
    lines = []
    for n, (ts, symbol, position, price, qty, _) in enumerate(rows()):
        trade = {"T": ts, "s": symbol, "S": "Buy", "v": "1", "p": f"{price:.2f}", "L": "PlusTick", "i": f"t{n}", "BT": False}
        lines += [
            json.dumps({"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": ts, "data": [trade]}).encode(),
            frame(ts, symbol, position, price, qty),
        ]
    path.write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("liqcore nosuch", 2, 'Unknown command "nosuch"'),
        ("liqcore emulate --port x", 2, 'unable to convert "x" into int'),
        ("liqcore data absent", 2, "absent: no such folder; expected a store"),
        ("liqcore data absent --adapter x=f.py:A", 2, "a name has 2 to 30 small letters, digits and '_', the first a letter"),
        ("liqcore data absent --adapter mine=f.py:A", 2, "f.py cannot be read: No such file or directory; expected a Python file with a venue"),
        ("liqcore detect a.csv -d s=f.py:X", 2, "on the command line from the working folder"),
        ("liqcore import a.csv --store /proc/liqcore", 2, "/proc/liqcore: no such file or folder"),
        ("liqcore import a.csv --store a.csv", 2, "a.csv: the file exists"),
        ("liqcore import a.csv --store /sys/liqcore", 2, "/sys/liqcore: "),
        ("liqcore presets > /dev/full", 2, "the disk is full"),
        ("liqcore version --json > /dev/full", 2, "the disk is full"),
    ],
)
def test_one_sentence_a_log_and_no_traceback(tmp_path, line, status, says):
    table(tmp_path / "a.csv", rows())
    done = spawn(line, tmp_path)
    sentence, log = done.stderr.splitlines()
    assert done.returncode == status and sentence.startswith("liqcore: ") and says in sentence
    text = log_of(done.stderr)
    assert says in text and f"status: {status}" in text and f"command: {line.partition(' >')[0]}" in text


@pytest.mark.parametrize(
    "line", ["liqcore presets | true", "liqcore presets | head -1 >/dev/null", "liqcore presets >&-", "liqcore version >&- 2>&-"]
)
def test_a_reader_that_goes_away_is_no_fault(tmp_path, line):
    done = spawn(line, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not (tmp_path / "log").exists()


def test_debug_shows_the_traceback_and_is_no_option_of_the_command(tmp_path):
    quiet, loud = spawn("liqcore data absent", tmp_path), spawn("liqcore data --debug absent", tmp_path)
    assert "Traceback" not in quiet.stderr and "Traceback" in loud.stderr and loud.returncode == 2


def test_a_policy_that_raises_is_named_by_file_and_line(tmp_path):
    market(tmp_path / "a.jsonl")
    (tmp_path / "bad.py").write_text(POLICY)
    (tmp_path / "c.toml").write_text('[data]\nfiles = ["a.jsonl"]\n[policy]\nrule = "bad.py:Bad"\n[backtest]\nstudy = false\n')
    done = spawn("liqcore backtest c.toml", tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{tmp_path}/bad.py:6, on_signal: the policy raised ValueError: my own mistake" in done.stderr
    assert 'raise ValueError("my own\\nmistake")' in log_of(done.stderr)


@pytest.mark.parametrize(
    "answer, place, says",
    [
        ("'x'", "bad.py:5, policy Bad, on_signal", "the policy raised TypeError: Bad.on_signal: expected a liqcore.Bracket"),
        ("lc.Later(market.now)", "bad.py:5, policy Bad, on_signal", "the policy raised ValueError: Bad: Later: expected a time after market.now"),
        ("lc.Bracket(0, stop_loss=0.1, notional=1000)", "bad.py:6, on_signal", "the policy raised ValueError: side: expected LONG"),
        ("self.decline('x' * 40)", "bad.py:6, on_signal", "the policy raised ValueError: condition: expected a name of 1 to 32"),
        ("market.feature('flow.volume@1m')", "bad.py:6, on_signal", "the policy raised KeyError: \"feature 'flow.volume@1m'"),
    ],
)
def test_an_answer_that_liqcore_refuses_is_named_by_file_and_line(tmp_path, answer, place, says):
    market(tmp_path / "a.jsonl")
    (tmp_path / "bad.py").write_text(POLICY.replace('raise ValueError("my own\\nmistake")', f"return {answer}"))
    (tmp_path / "c.toml").write_text('[data]\nfiles = ["a.jsonl"]\n[policy]\nrule = "bad.py:Bad"\n[backtest]\nstudy = false\n')
    done = spawn("liqcore backtest c.toml", tmp_path)
    assert done.returncode == 2 and f"{tmp_path}/{place}: {says}" in done.stderr, done.stderr


USED = {
    "policy": ("liqcore backtest c.toml", '[policy]\nrule = "bad.py:Bad"\n'),
    "detector": ("liqcore backtest c.toml", '[detectors.mine]\nkind = "bad.py:Bad"\n'),
    "feature": ("liqcore doctor c.toml --offline", '[features.own]\nmine = "bad.py:Bad"\n'),
    "venue": ("liqcore backtest c.toml", '[venues]\nmine = "bad.py:Bad"\n'),
    "of the command line": ("liqcore detect a.jsonl -d mine=bad.py:Bad", ""),
    "adapter": ("liqcore data a.jsonl --adapter mine=bad.py:Bad", ""),
}


@pytest.mark.parametrize("used", USED)
def test_a_file_that_exits_when_it_is_read_is_an_error_of_the_file(tmp_path, used):
    market(tmp_path / "a.jsonl")
    line, section = USED[used]
    (tmp_path / "bad.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "c.toml").write_text(f'[data]\nfiles = ["a.jsonl"]\n{section}')
    done = spawn(line, tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "bad.py: cannot be run: SystemExit: it called for an exit (0) (line 2); expected a Python file with a" in done.stderr


@pytest.mark.parametrize(
    "raised, status, says",
    [
        ("KeyboardInterrupt", 130, "liqcore: interrupted\n"),
        ("type('Odd', (BaseException,), {})('words')", 2, "bad.py: cannot be run: Odd: words (line 1); expected a Python file with a detector"),
        (
            "type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
            2,
            "cannot be run: Mute: (its text cannot be read: __str__ raised) (line 1)",
        ),
    ],
)
def test_so_is_whatever_it_raises_but_for_an_interrupt(tmp_path, raised, status, says):
    (tmp_path / "bad.py").write_text(f"raise {raised}\n")
    (tmp_path / "c.toml").write_text('[detectors.mine]\nkind = "bad.py:Bad"\n')
    done = spawn("liqcore doctor c.toml --offline", tmp_path)
    assert done.returncode == status and says in done.stderr and "Traceback" not in done.stderr, done.stderr


DETECTOR = """import sys

import liqcore as lc


class Bad(lc.CustomDetector):
    def on_event(self, event):
        {line}
"""


@pytest.mark.parametrize(
    "line, place, says",
    [
        ('raise ValueError("my own\\nmistake")', "{folder}/bad.py:8, on_event", "the detector raised ValueError: my own mistake"),
        (
            "return 7",
            "{folder}/bad.py:7, detector mine (Bad), on_event",
            "the detector raised TypeError: detector mine: expected None, a PhaseChange",
        ),
        ("sys.exit(3)", "{folder}/bad.py:8, on_event", "the detector raised RuntimeError: it called for an exit (3)"),
        (
            "raise type('Odd', (BaseException,), {})('words')",
            "{folder}/bad.py:8, on_event",
            "the detector raised RuntimeError: it raised Odd: words (no Exception)",
        ),
        (
            "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
            "{folder}/bad.py:8, on_event",
            "the detector raised Mute: (its text cannot be read: __str__ raised)",
        ),
        ("lc.Later('x')", "{folder}/bad.py:8, on_event", "the detector raised TypeError: at_ns: expected a whole number"),
    ],
)
def test_so_is_a_detector(tmp_path, line, place, says):
    market(tmp_path / "a.jsonl")
    (tmp_path / "bad.py").write_text(DETECTOR.format(line=line))
    (tmp_path / "c.toml").write_text(
        '[data]\nfiles = ["a.jsonl"]\n[detectors.mine]\nkind = "bad.py:Bad"\n[policy]\npreset = "fade"\n[backtest]\nstudy = false\n'
    )
    done = spawn("liqcore backtest c.toml", tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"{place.format(folder=tmp_path)}: {says}" in done.stderr and "The detector is yours: repair it there" in done.stderr


def test_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (not root)")
    try:
        (disk / "filled").write_bytes(bytes(60_000))
        table(tmp_path / "a.csv", rows())
        done = spawn(f"liqcore import a.csv --store {disk}/store", tmp_path)
        assert done.returncode == 2 and "the disk is full" in done.stderr and len(done.stderr.splitlines()) == 2
        lost = spawn("liqcore data absent", tmp_path, LIQCORE_LOG_DIR=f"{disk}/" + "x" * 300)
        assert lost.returncode == 2 and "liqcore-log-" in lost.stderr, "the log goes to the folder of temporary files"
    finally:
        subprocess.run(["umount", disk], check=True)


def fault() -> None:
    raise KeyError("that cannot be")


def test_our_fault_is_70_and_asks_for_a_report(monkeypatch, capsys):
    from liqshell.commands import version

    monkeypatch.setattr(version, "version", lambda **_: fault())
    assert cli.main(["version"]) == 70
    err = capsys.readouterr().err
    assert "a fault of liqcore: KeyError: 'that cannot be' (test_ending.py:" in err and "Traceback" not in err and "report it with the log" in err
    assert "fault()" in log_of(err)


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (VenueError("a", "b"), 1),
        (ConfigError("a", "b"), 2),
        (RuntimeError(), 70),
        (MemoryError(), 2),
        (ConnectionResetError(errno.ECONNRESET, "reset"), 1),
        (PermissionError(errno.EACCES, "no", "/f"), 2),
        (OSError(errno.EBADF, "bad"), 70),
        (OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"), 2),
        (TimeoutError(), 1),
        (ExceptionGroup("several", [ExceptionGroup("inner", [VenueError("a", "b")])]), 1),
    ],
)
def test_whose_fault_it_is(why, status):
    found, sentence = ending.outcome_of(why)
    assert found == status and "\n" not in sentence and sentence


def test_secrets_do_not_get_into_the_log(monkeypatch, tmp_path):
    monkeypatch.setenv("LIQCORE_LOG_DIR", str(tmp_path))
    path = ending.write_log(70, "x", ValueError("api_key=abcdefgh12345"), ["live", "--set", "api_secret=abcdefgh99999"])
    text = Path(path).read_text()
    assert "abcdefgh" not in text and "[redacted]" in text and Path(path).stat().st_mode & 0o077 == 0


def test_old_logs_go(monkeypatch, tmp_path):
    monkeypatch.setenv("LIQCORE_LOG_DIR", str(tmp_path))
    for n in range(ending.LOGS_MAX + 5):
        (tmp_path / f"20200101-000000-a-{n:04}.log").write_text("")
    newest = Path(ending.write_log(2, "x", None, []))
    left = sorted(path.name for path in tmp_path.glob("*.log"))
    assert newest.exists() and len(left) == ending.LOGS_MAX and "20200101-000000-a-0000.log" not in left
