"""The commands together, each a process: an emulated venue, a recorder, a better that follows a run, the report and the replay of both."""

import json
import os
import subprocess
import sys

import pytest

import liqcore as lc
from liqshell import cli
from liqshell.config.load import loads
from liqshell.recording.journal import Journal
from liqshell.run.pipeline import settings


def spawn(*arguments: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    return subprocess.Popen([sys.executable, "-m", "liqshell", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


@pytest.fixture(scope="module")
def venue():
    """Ten hours of market time in a minute, and the line that says where it is."""
    process = spawn(
        "emulate",
        "--binary",
        "--seed",
        5,
        "--speed",
        300,
        "--symbols",
        "BTCUSDT",
        "--binary-lag-s",
        60,
        "--binary-faults",
        '{"kind": "drop", "after_s": 900, "seconds": 1}',
    )
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_record_report_and_replay(venue, tmp_path, capsys):
    folder = tmp_path / "rec"
    assert cli.main(["record", "--binary", "btc-1h", "--binary-url", venue["binary"], "--out", str(folder), "--for-s", "5"]) == 0
    assert "markets" in capsys.readouterr().out
    assert cli.main(["replay", str(folder)]) == 0
    assert "identical" in capsys.readouterr().out
    assert cli.main(["hourly", "--binary", str(folder)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("This idea does not clear its hurdle: its rule never fired.")
    (folder / "bets.log").write_text("{}\n")
    assert cli.main(["replay", str(folder)]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_bet_follows_a_run(venue, tmp_path, capsys):
    values = settings(loads("[policy]\npreset = 'reversal'"), [lc.Instrument("BTCUSDT", venue="bybit")])
    Journal(tmp_path / "run", {"settings": values, "instruments": values["instruments"], "abi": lc.abi_version()}).close()
    arguments = [
        "bet",
        str(tmp_path / "run"),
        "--url",
        venue["binary"],
        "--out",
        str(tmp_path / "bets"),
        "--state",
        str(tmp_path / "s.json"),
        "--for-s",
        "3",
    ]
    assert cli.main(arguments) == 0
    assert "0 bets" in capsys.readouterr().out and not [p for p in tmp_path.rglob("lock") if p.read_text()], "the state is free again"
    assert cli.main(arguments) == 2
    assert "not empty" in capsys.readouterr().err
    assert cli.main(["bet", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["record"], "--binary btc-1h"),
        (["record", "--binary", "eth-5m"], "btc-1h alone"),
        (["record", "--binary", "btc-1h", "--symbols", "BTCUSDT"], "btc-1h alone"),
        (["emulate", "--binary", "--wait"], "excludes wait"),
        (["emulate", "--binary-faults", '{"kind": "x"}'], "faults of the binary venue"),
        (["bet", "nowhere", "--kelly", "2"], "kelly"),
        (["bet", "nowhere", "--url", "file:///etc/passwd"], "the address of the venue: file:///etc/passwd;"),
        (["bet", "nowhere", "--url", "127.0.0.1:80"], "such as http://"),
    ],
)
def test_wrong_usage_is_named(arguments, word, capsys):
    assert cli.main(arguments) == 2
    assert word in capsys.readouterr().err


def test_the_message_of_a_venue_that_does_not_answer_is_whole(tmp_path, capsys):
    """An address that ends like the name of a secret does not have the next word masked."""
    assert cli.main(["record", "--binary", "btc-1h", "--binary-url", "http://127.0.0.1:9/token", "--out", str(tmp_path / "a"), "--for-s", "1"]) == 1
    assert "no answer from http://127.0.0.1:9/token; expected the list of markets" in capsys.readouterr().err


@pytest.mark.slow
def test_real_orders_at_an_emulated_venue_need_evidence_key_and_money(venue, tmp_path, capsys, monkeypatch):
    pytest.importorskip("eth_account", reason="orders need the extra liqcore[binary]")
    from test_binary_account import KEY, paper

    values = settings(loads("[policy]\npreset = 'reversal'"), [lc.Instrument("BTCUSDT", venue="bybit")])
    Journal(tmp_path / "run", {"settings": values, "instruments": values["instruments"], "abi": lc.abi_version()}).close()
    evidence = paper(tmp_path / "paper", 200)
    monkeypatch.setenv("LIQCORE_POLYMARKET_KEY", KEY)

    def bet(name: str, *more: str) -> tuple[int, str]:
        status = cli.main(
            [
                "bet",
                str(tmp_path / "run"),
                "--url",
                venue["binary"],
                "--out",
                str(tmp_path / name),
                "--state",
                str(tmp_path / f"{name}.json"),
                "--for-s",
                "2",
                "--live",
                "--paper-runs",
                str(evidence),
                *more,
            ]
        )
        captured = capsys.readouterr()
        assert KEY[2:] not in captured.out + captured.err
        return status, captured.out + captured.err

    status, said = bet("a")
    assert status == 0 and "1000.00 pUSD at the venue" in said and "0 bets" in said
    status, said = bet("b", "--equity", "1001")
    assert status == 2 and "the wallet has 1000.00 pUSD" in said
