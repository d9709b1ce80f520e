"""The command: what people type, what they get, and what the exit status says."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from liqshell import cli
from liqshell.recording.recorder import Recorder

DATA = Path(os.environ.get("LIQCORE_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
OKX = DATA / "liq-okx-hyperliquid" / "liquidations_okx_normalized.csv.gz"
MINUTE = 60_000
T0 = 1_770_595_200_000


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def spawn(*arguments: object, **keywords) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "liqshell", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, **keywords
    )


def size(n: int) -> float:
    """Small, and in no order: a growing size would make each event larger than nearly all before it. None is large after warm-up."""
    return 0.1 + (n * 37 % 120 / 1000 if n < 100 else 0.0)


def rows(cheap: float = 1.0) -> list[tuple]:
    """120 small liquidations, then a burst of three large ones of longs, then quiet: one cascade, by construction."""
    price = 2500.0 * cheap
    out = [(T0 + n * MINUTE, "ETHUSDT", "long" if n % 3 else "short", price, size(n), "") for n in range(120)]
    out += [(T0 + 120 * MINUTE + n * 5000, "ETHUSDT", "long", price, 50.0 + n, "") for n in range(3)]
    return [*out, (T0 + 130 * MINUTE, "ETHUSDT", "short", price, 0.1, "")]


def table(path: Path, what: list[tuple]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("ts_ms", "symbol", "position", "price", "qty_base", "notional_usd"), *what])
    return path


def frame(ts: int, symbol: str, position: str, price: float, qty: float) -> bytes:
    side = {"long": "Buy", "short": "Sell"}[position]
    return json.dumps(
        {
            "topic": f"allLiquidation.{symbol}",
            "type": "snapshot",
            "ts": ts,
            "data": [{"T": ts, "s": symbol, "S": side, "v": repr(qty), "p": f"{price:.9f}"}],
        },
        separators=(",", ":"),
    ).encode()


def test_detect_finds_the_cascade_in_a_table(tmp_path, capsys):
    status, out, err = run(capsys, "detect", table(tmp_path / "a.csv", rows()))
    signals = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [s["phase"] for s in signals] == ["BUILDING", "ACTIVE", "DECELERATING", "EXHAUSTED"]
    assert all(s["flags"] == 0 for s in signals)
    active = signals[1]
    assert (active["ts"], active["instrument"], active["detector"], active["side"]) == (
        (T0 + 120 * MINUTE + 5050) * 10**6,
        "ETHUSDT",
        "cascade",
        "long",
    )
    assert active["long_notional"] == 2500.0 * (50 + 51) and active["short_notional"] == 0.0 and active["count"] == 2
    notionals = [2500.0 * size(n) for n in range(120)] + [2500.0 * 50]
    assert active["threshold"] == pytest.approx(np.quantile(notionals, 0.95), rel=1e-12)
    assert "124 events of 1 instruments, 4 signals" in err


@pytest.mark.parametrize("cheap", [1.0, 1e-7, 40.0])
def test_recording_raw_frames_foreign_file_and_table_say_the_same(tmp_path, capsys, cheap):
    what = rows(cheap)
    with Recorder(tmp_path / "run") as recorder:
        recorder.mark(T0 * 10**6, "liqcore.meta", {})
        for ts, symbol, position, price, qty, _ in what:
            recorder.append((ts + 50) * 10**6, frame(ts, symbol, position, price, qty))  # what has one time only is taken to come 50 ms later
        recorder.append((ts + 50) * 10**6, b'{"success":true,"ret_msg":"","op":"subscribe"}')
    with gzip.open(tmp_path / "s4.jsonl.gz", "wt") as out:
        for ts, symbol, position, price, qty, _ in what:
            body = json.loads(frame(ts, symbol, position, price, qty))
            out.write(
                json.dumps(
                    {
                        "ts": ts + 50,
                        "exchange": "bybit",
                        "source": "ws",
                        "stream": "liquidation",
                        "symbol": symbol,
                        "result": {"ts": ts, "data": body["data"]},
                    }
                )
                + "\n"
            )
    (tmp_path / "raw.jsonl").write_bytes(b"".join(frame(*row[:5]) + b"\n" for row in what))
    from_table = [json.loads(line) for line in run(capsys, "detect", table(tmp_path / "a.csv", what))[1].splitlines()]
    assert len(from_table) == 4
    for path in ("run", "s4.jsonl.gz", "raw.jsonl"):
        status, out, err = run(capsys, "detect", tmp_path / path)
        found = [json.loads(line) for line in out.splitlines()]
        assert status == 0 and "refused" not in err
        assert [s | {"completeness": "unknown", "venue": ""} for s in found] == from_table, path
        assert {s["completeness"] for s in found} == {"full"}


@pytest.mark.parametrize("mark", [("liqcore.feed", {"state": int(lc.FeedState.FEED_DOWN)}), ("liqcore.gap", {"dropped": 3})])
def test_a_gap_in_the_recording_makes_the_signals_uncertain(tmp_path, capsys, mark):
    what = rows()
    with Recorder(tmp_path / "run") as recorder:
        for n, (ts, symbol, position, price, qty, _) in enumerate(what):
            if n == 120:  # just before the burst
                recorder.mark(ts * 10**6, *mark)
            recorder.append(ts * 10**6, frame(ts, symbol, position, price, qty))
    _, out, _ = run(capsys, "detect", tmp_path / "run")
    flags = [json.loads(line)["flags"] for line in out.splitlines()]
    assert [f & 1 for f in flags[:2]] == [1, 1]  # SIGNAL_UNCERTAIN; without the mark they are 0 (test above)


def test_detect_options_reach_the_detector(tmp_path, capsys):
    path = table(tmp_path / "a.csv", rows())
    assert run(capsys, "detect", path, "--warmup", 500)[1] == ""
    assert run(capsys, "detect", path, "--floor", 1e6)[1] == ""
    assert "ACTIVE" not in run(capsys, "detect", path, "--min-events", 4)[1]
    assert "ACTIVE" not in run(capsys, "detect", path, "--window-s", 3)[1]
    anchored = [json.loads(line) for line in run(capsys, "detect", path, "--mode", "anchored", "--window-s", 7)[1].splitlines()]
    assert [s["phase"] for s in anchored if s["phase"] == "ACTIVE"] == ["ACTIVE"]
    thresholds = {json.loads(line)["threshold"] for line in run(capsys, "detect", path, "--quantile", 0.5, "--window-events", 50)[1].splitlines()}
    assert thresholds and all(t < 2500 * 0.25 for t in thresholds if t < 1000)


def test_detect_reports_what_it_did_not_use(tmp_path, capsys):
    path = table(tmp_path / "a.csv", [*rows(), (T0, "ETHUSDT", "unknown", 1, 1, 1)])
    status, _, err = run(capsys, "detect", path)
    assert status == 0 and f"skipped {path}:126: position is neither long nor short: 'unknown'" in err and "skipped rows: 1 of 125" in err
    path = table(tmp_path / "b.csv", [*rows(), (T0 + 121 * MINUTE, "ETHUSDT", "long", 50_000.0, 1, "")])
    assert "refused events: 1: BAD_BAND" in run(capsys, "detect", path)[2]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("detect",), "requires an argument"),
        (("detekt",), "Did you mean"),
        (("detect", "x.csv", "--quantil", "1"), "Did you mean --quantile"),
        (("detect", "absent.csv"), "absent.csv: no such file or folder; expected a recording, an event table or a store"),
        (("detect", "{table}", "--quantile", "1.5"), "quantile: expected 1e-09 to 0.999999999 (share), got 1.5"),
        (("detect", "{table}", "--window-events", "99999999999999999999"), "detect: "),
        (("detect", "{table}", "--mode", "both"), "both"),
        (
            ("detect", "{table}", "-d", "cascade", "--quantile", "0.5", "--min-events", "2"),
            "--quantile, --min-events: given with --detector; expected neither "
            "together with the options of the cascade. A cascade with these numbers is --detector cascade,quantile=0.5,min_events=2",
        ),
        (("detect", "{table}", "--preset", "cascade-fade", "--floor", "5"), "--floor: given with --preset"),
        (("detect", "{other}"), "missing columns"),
        (("detect", "{table}", "{lines}"), "a recording among event tables"),
        (("detect", "{lines}"), "the exchange ftx, which has no decoder here"),
        (("presets", "fadee"), "no preset is called 'fadee'; expected one of breakout, cascade-fade, fade, fade-btc, "),
        (("emulate", "--host", "192.0.2.1"), "loopback"),
        (("emulate", "--from", "absent"), "--from absent: no such file"),
        (("emulate", "--speed", "0"), "speed"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_to_do(tmp_path, capsys, arguments, part):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "lines.jsonl").write_text('{"ts":1,"exchange":"ftx","stream":"forceOrder","result":{}}\n')
    places = {"table": table(tmp_path / "a.csv", rows()), "other": tmp_path / "other.csv", "lines": tmp_path / "lines.jsonl"}
    status, out, err = run(capsys, *(str(a).format(**places) for a in arguments))
    assert status == 2 and out == "" and part in " ".join(err.replace("│", " ").split())


def test_presets_and_version(capsys):
    status, out, _ = run(capsys, "presets", "--json")
    told = {preset["name"]: preset for preset in map(json.loads, out.splitlines())}
    assert sorted(told) == ["breakout", "cascade-fade", "fade", "fade-btc", "imbalance", "momentum", "reversal", "trend", "zone"]
    fade, btc = told["fade"], told["fade-btc"]
    assert status == 0 and fade["grade"] == btc["grade"] == "contradicted"
    assert fade["policy"]["entry_offset"] == 0.0015 and fade["policy"]["entry_ttl_s"] == 1800 and fade["detector"]["quantile"] == 0.95
    assert btc["policy"] == {"entry_offset": 0.001, "take_profit": 0.005, "stop_loss": 0.0025}
    assert told["momentum"]["detectors.momentum"]["trigger_usd"] == 5_000_000 and told["momentum"]["policy.parameters"]["score_min"] == 7.0
    assert told["trend"]["limits"] == {"positions_max": 5}
    assert "CONTRADICTED" in run(capsys, "presets", "fade")[1] and "CLAIMED" in run(capsys, "presets", "zone")[1]
    assert json.loads(run(capsys, "version", "--json")[1])["liqcore"] == lc.__version__
    assert run(capsys, "--version")[1].strip() == lc.__version__


def test_overview_lists_what_exists_without_importing_it(capsys):
    before = set(sys.modules)
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for name in cli.COMMANDS:
        exists = (Path(cli.__file__).parent / "commands" / f"{cli.module_of(name)}.py").exists()
        assert (f"│ {name}" in out) == exists
    assert not [m for m in set(sys.modules) - before if m.startswith("liqshell.commands.")]
    assert run(capsys)[1] == out


def test_every_command_file_is_registered():
    files = {p.stem for p in (Path(cli.__file__).parent / "commands").glob("*.py")} - {"__init__"}
    assert files <= set(map(cli.module_of, cli.COMMANDS))


def test_help_of_every_command_documents_every_option(capsys):
    for name in cli.COMMANDS:
        if (Path(cli.__file__).parent / "commands" / f"{cli.module_of(name)}.py").exists():
            status, out, _ = run(capsys, name, "--help")
            assert status == 0 and "Usage: liqcore " + name in out


def test_a_closed_pipe_is_no_error(tmp_path):
    path = table(tmp_path / "a.csv", [row for n in range(400) for row in ((T0 + n * 1000, "ETHUSDT", "long", 2500.0, 1.0 + n % 7 * 100, ""),)])
    child = spawn("detect", path, "--warmup", 2, "--quantile", "0.01", "--window-s", "0.5", "--min-events", 1)
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(30) == 0 and child.stderr.read().count(b"Traceback") == 0
    child.stderr.close()


@pytest.mark.parametrize("symbols", [("ETHUSDT,BTCUSDT",), ("ETHUSDT,", "BTCUSDT"), ("ETHUSDT", "BTCUSDT")])
def test_contracts_are_separated_by_commas_or_spaces(symbols):
    child = spawn("emulate", "--symbols", *symbols)
    try:
        assert json.loads(child.stdout.readline())["symbols"] == ["ETHUSDT", "BTCUSDT"]
    finally:
        child.kill()
        child.communicate()


def test_emulate_says_where_it_is_and_ends_on_ctrl_c():
    child = spawn("emulate", "--seed", 3, "--speed", 10, "--symbols", "ETHUSDT")
    try:
        ready = json.loads(child.stdout.readline())
        assert ready["rest"].startswith("http://127.0.0.1:") and ready["ws"].startswith("ws://127.0.0.1:")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) in (0, 130)
        assert b"Traceback" not in child.stderr.read()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def test_ctrl_c_is_130(tmp_path, capsys, monkeypatch):
    from liqshell.commands import detect

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(detect, "read_tables", interrupted)
    assert run(capsys, "detect", table(tmp_path / "a.csv", rows()))[::2] == (130, "liqcore: interrupted\n")


@pytest.mark.skipif(not OKX.exists(), reason=f"no OKX capture at {OKX} (set LIQCORE_DATA)")
def test_real_capture_equals_the_engine_fed_row_by_row(capsys):
    status, out, err = run(capsys, "detect", OKX)
    with gzip.open(OKX, "rt") as stream:
        rows_ = sorted(csv.DictReader(stream), key=lambda row: int(row["ts_ms"]))
    engine = lc.Engine([lc.Instrument(s, tick_size="0.0001") for s in dict.fromkeys(r["symbol"] for r in rows_)])
    expected = []
    for row in rows_:
        ts = int(row["ts_ms"]) * 10**6
        expected += [
            (s.ts, engine.instruments[s.instrument].symbol, s.phase.name, s.count, s.threshold, s.long_notional, s.short_notional)
            for s in engine.on_liquidation(
                ts,
                ts + 50_000_000,
                row["symbol"],
                1 if row["position"] == "long" else -1,
                float(row["price"]),
                float(row["qty_base"]),
                float(row["notional_usd"]),
            )
        ]
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and "refused" not in err and len(found) > 100
    assert [(s["ts"], s["instrument"], s["phase"], s["count"], s["threshold"], s["long_notional"], s["short_notional"]) for s in found] == expected
