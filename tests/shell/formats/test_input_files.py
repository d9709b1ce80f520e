"""Files that others made: odd names, bad lines, packings that unpack to gigabytes, and things that are no file."""

import gzip
import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from liqshell import formats, input_file
from liqshell.cli import main
from liqshell.errors import DataError
from liqshell.formats.event_tables import read_tables
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.report import load_run
from liqshell.state import learnt

T0 = 1_772_452_800_000
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
SHELL = [sys.executable, "-P", "-m", "liqshell"]
# what a person may find in a file: control characters, quotes, a name without an end, half of a UTF-16 pair, nothing, a line within a name
ODD = {
    "tab": "ETH\tUSDT",
    "nul": "E\0T",
    "quote": 'E"T',
    "backslash": "E\\T",
    "long": "A" * 65,
    "longer": "A" * 5000,
    "line": "A\nB",
    "escape": "\x1b[31mX",
}


def bybit(symbol, count=150, start=0):
    return "".join(
        json.dumps(
            {
                "topic": f"allLiquidation.{symbol}",
                "type": "snapshot",
                "ts": T0 + (start + i) * 1000,
                "data": [{"T": T0 + (start + i) * 1000, "s": symbol, "S": "Sell", "v": str(2 + (i > 120) * 50), "p": "20"}],
            },
            ensure_ascii=False,
        )
        + "\n"
        for i in range(count)
    )


def binance(symbol, at=0):
    return (
        json.dumps(
            {
                "e": "forceOrder",
                "E": T0 + at,
                "o": {
                    "s": symbol,
                    "S": "SELL",
                    "o": "LIMIT",
                    "f": "IOC",
                    "q": "2",
                    "p": "20",
                    "ap": "20",
                    "X": "FILLED",
                    "l": "2",
                    "z": "2",
                    "T": T0 + at,
                },
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
        + "\n"
    )


def detect(capsys, *arguments):
    status = main(["detect", *map(str, arguments)])
    found = capsys.readouterr()
    return status, [json.loads(line) for line in found.out.splitlines()], found.err


# ---- names


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_name_is_a_counted_refusal(tmp_path, capsys, odd):
    file = tmp_path / "frames.jsonl"
    file.write_text(bybit("ETHUSDT"))
    clean = detect(capsys, file)
    file.write_text(bybit("ETHUSDT") + bybit(ODD[odd], 3, 150))
    status, signals, said = detect(capsys, file)
    assert status == 0 and signals == clean[1] != [], "what the other contract did is not touched"
    assert "refused names: 1 in 3 frames" in said and ascii(ODD[odd][:40]) in said and "\x1b" not in said


def test_only_odd_names(tmp_path, capsys):
    (tmp_path / "frames.jsonl").write_text(bybit("E\tT", 4) + bybit('E"T', 2, 4))
    status, signals, said = detect(capsys, tmp_path / "frames.jsonl")
    assert status != 0 and not signals and "refused names: 2 in 6 frames" in said and "frames.jsonl" in said


def test_a_real_name_that_is_not_ascii(tmp_path, capsys):
    """Binance lists such contracts (venues.md part 7): they are read, and one odd name beside them breaks nothing."""
    (tmp_path / "frames.jsonl").write_text("".join(binance("币安人生USDT", i) + binance("BTCUSDT_260925", i) + binance("A B", i) for i in range(5)))
    status, _, said = detect(capsys, tmp_path / "frames.jsonl")
    assert status == 0 and "10 events of 2 instruments" in said and "refused names: 1 in 5 frames, such as 'A B'" in said
    with formats.read(tmp_path / "frames.jsonl") as reading:
        rows = sum(len(events) for *_, events in reading)
    assert reading.symbols == ["币安人生USDT", "BTCUSDT_260925"] and rows == 10


@pytest.mark.parametrize("odd", ["nul", "long", "line", "escape"])
def test_odd_names_in_an_event_table(tmp_path, capsys, odd):
    text = "ts_ms,symbol,position,price,qty_base,notional_usd\n"
    (tmp_path / "t.csv").write_text(text + f'{T0},ETHUSDT,long,20,1,20\n{T0 + 1},"{ODD[odd]}",long,20,1,20\n{T0 + 2},币安人生USDT,long,20,1,20\n')
    table = read_tables([tmp_path / "t.csv"])
    assert table.symbols == ["ETHUSDT", "币安人生USDT"] and table.skipped == {"symbol is no name of a contract": 1}
    status, _, said = detect(capsys, tmp_path / "t.csv")
    assert status == 0 and "skipped rows: 1 of 3" in said and "\x1b" not in said and "\0" not in said


# ---- lines


BAD = {
    "no JSON": b"{not json",
    "cut": b'{"topic":"allLiquidation.ETHUSDT","type":"snap',
    "bytes": b"\x00\xff\xfe",
    "array": b"[1,2",
    "number": b"17",
    "another object": b'{"a":1}',
    "no UTF-8": b'{"topic":"allLiquidation.\xff\xfe","ts":1772452800000,"data":[]}',
    "no time": b'{"ts":"soon","data":[]}',
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_loses_the_line(tmp_path, capsys, bad, packed):
    before, after = bybit("ETHUSDT", 100).encode(), bybit("ETHUSDT", 50, 100).encode()
    file = tmp_path / ("frames.jsonl.gz" if packed else "frames.jsonl")
    pack = gzip.compress if packed else bytes
    file.write_bytes(pack(before + after))
    clean = detect(capsys, file)
    file.write_bytes(pack(before + BAD[bad] + b"\n" + after))
    status, signals, said = detect(capsys, file)
    assert status == 0 and signals == clean[1] != [] and "150 events of 1 instruments" in said
    assert "frames.jsonl" in said and "line 101 cannot be read" in said and "1 line dropped" in said
    reader = recording.read(file)
    assert sum(1 for _ in reader) == 150 and [d.lines_dropped for d in reader.damage] == [1]
    with formats.read(file) as reading:
        kinds = [int(kind) for *_, events in reading for kind in events["kind"]]
    assert kinds.count(1) == 150 and any("line 101" in note for note in reading.notes) and reading.counts["damaged places, lines lost"] == 1


def test_a_first_line_may_be_bad(tmp_path):
    (tmp_path / "frames.jsonl").write_text("{oh no\n" + bybit("ETHUSDT", 3))
    assert len(list(recording.read(tmp_path / "frames.jsonl"))) == 3


@pytest.mark.parametrize("bad", [1, 30, 5000])
def test_a_file_of_bad_lines_is_no_recording(tmp_path, bad):
    """The refusal names the first of them; a file that is something else is not read to its end."""
    file = tmp_path / "notes.jsonl"
    file.write_text("{no json\n" * bad)
    with pytest.raises(DataError, match=r"notes.jsonl:1: not JSON.*recording"):
        list(recording.read(file))
    file.write_text(bybit("ETHUSDT", 5) + "{no json\n" * max(bad, 20))
    with pytest.raises(DataError, match=r"notes.jsonl:6: not JSON"):
        list(recording.read(file))


def test_many_bad_lines_are_counted_and_few_are_named(tmp_path):
    file = tmp_path / "frames.jsonl"
    file.write_text("".join(bybit("ETHUSDT", 1, i) + ("{no\n" if i % 2 else "") for i in range(400)))
    reader = recording.read(file)
    assert len(list(reader)) == 400 and len(reader.damage) == recording.DAMAGE_SHOWN + 1
    assert sum(d.lines_dropped for d in reader.damage) == 200 == reader.tears


# ---- sizes


def packed(path: Path, how: str, block: bytes, times: int = 1) -> Path:
    """A block over and over, packed."""
    if how == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("trades.csv", "w") as out:
            for _ in range(times):
                out.write(block)
        return path
    one = gzip.compress(block) if how == "gz" else pytest.importorskip("pyarrow").compress(block, {"zst": "zstd", "lz4": "lz4"}[how], asbytes=True)
    path.write_bytes(one * times)  # one member, or frame, behind the other
    return path


#: the child of a large process begins with its memory, as far as ru_maxrss knows: so a small one stands between
MEASURED = (
    "import resource, subprocess, sys; code = subprocess.call(sys.argv[2:]); "
    "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); sys.exit(code)"
)


def child(folder, *arguments):
    """(exit status, what it said, most memory in MB) of a command in a process of its own."""
    with (folder / "said").open("wb") as said:
        status = subprocess.call(
            [sys.executable, "-S", "-c", MEASURED, folder / "memory", *SHELL, *map(str, arguments)], stdout=said, stderr=said, env=ENV
        )
    return status, (folder / "said").read_text(), int((folder / "memory").read_text()) >> 10


FRAME = bybit("ETHUSDT", 1).encode()
BOMBS = {"zeros": b"\0" * (1 << 20), "one line": b"1" * (1 << 20)}


@pytest.mark.slow
@pytest.mark.parametrize(("what", "command"), [("zeros", "detect"), ("one line", "import")])
@pytest.mark.parametrize("how", ["zip", "gz", "zst", "lz4"])
def test_what_unpacks_to_gigabytes_is_refused(tmp_path, how, what, command):
    """A gigabyte in a small file. It ends soon, within a bounded memory, with a clear error; no command leaves a traceback."""
    file = packed(tmp_path / f"bomb.{how}", how, BOMBS[what], 1000)
    assert file.stat().st_size < 8 << 20
    status, said, megabytes = child(tmp_path, command, file, *(("--store", tmp_path / "store") if command == "import" else ()))
    assert status in (1, 2) and "Traceback" not in said and str(file) in said, said[-600:]
    assert megabytes < 700, megabytes


@pytest.mark.parametrize("how", ["zip", "gz", "zst", "lz4"])
def test_the_bound_is_said(tmp_path, monkeypatch, how):
    """What any file may unpack to is read, however small it was; beyond that and beyond the share the error says both numbers and what to do."""
    monkeypatch.setattr(input_file, "UNPACKED_FREE", 1 << 20)
    file = packed(tmp_path / f"trades.{how}", how, FRAME * 40_000)
    honest = packed(tmp_path / f"honest.{how}", how, FRAME * ((1 << 20) // len(FRAME)))
    with formats.compression.opened(honest) as stream:
        assert len(stream.read()) % len(FRAME) == 0
    monkeypatch.setattr(input_file, "UNPACKED_RATIO", 2)
    told = rf"{file.stat().st_size} bytes that unpack to more than \d+; expected.*2 times.*unpack it and give"
    with pytest.raises(DataError, match=told), formats.compression.opened(file) as stream:
        stream.read()
    if how != "lz4":
        with pytest.raises(DataError, match="that unpack to more than"):
            list(recording.read(file))


def test_an_event_table_is_bounded_too(tmp_path, monkeypatch):
    monkeypatch.setattr(input_file, "UNPACKED_FREE", 1 << 16)
    row = f"{T0},ETHUSDT,long,20,1,20\n".encode()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"ts_ms,symbol,position,price,qty_base,notional_usd\n" + row * 200_000))
    with pytest.raises(DataError, match="that unpack to more than"):
        read_tables([tmp_path / "t.csv.gz"])
    monkeypatch.setattr(input_file, "LINE_BYTES_MAX", 1 << 12)
    (tmp_path / "t.csv").write_bytes(b"ts_ms,symbol,position,price,qty_base,notional_usd\n" + b"x" * 10_000)
    with pytest.raises(DataError, match="a line longer than 4096"):
        read_tables([tmp_path / "t.csv"])


# ---- no files


@pytest.fixture
def odd_places(tmp_path):
    """A FIFO that nobody writes to, a device that never ends, a socket, a folder where a file is expected."""
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "folder.toml").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.jsonl"))
    yield {
        "a FIFO": tmp_path / "fifo.jsonl",
        "a device": Path("/dev/zero"),
        "a socket": tmp_path / "socket.jsonl",
        "a folder": tmp_path / "folder.toml",
    }
    listener.close()


def commands(tmp_path, place):
    data = tmp_path / "good.jsonl"
    data.write_text(bybit("ETHUSDT"))
    return {
        "detect": ["detect", place],
        "import": ["import", place, "--store", tmp_path / "store"],
        "columns": ["columns", place],
        "features": ["features", place, "-f", "liquidations.liq_volume@1m", "--every", "1m"],
        "instruments": ["detect", data, "--instruments", place],
        "live": ["live", place],
        "doctor": ["doctor", place],
        "kill": ["kill", place],
        "emulate": ["emulate", "--state", place, "--hours", "0.001"],
        "faults": ["emulate", "--faults", place, "--hours", "0.001"],
        "backtest": ["backtest", place],
        "maps": ["maps", data, "--interest", f"ETHUSDT={place}"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a FIFO", "a device", "a socket", "a folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path, odd_places, what):
    place = odd_places[what]
    taken = {"detect", "import", "features"} if what == "a folder" else set()  # a folder of recordings, here an empty one
    for name, command in commands(tmp_path, place).items():
        done = subprocess.run([*SHELL, *map(str, command)], capture_output=True, text=True, env=ENV, timeout=120, check=False)
        said = done.stdout + done.stderr
        assert done.returncode in (1, 2) and "Traceback" not in said and str(place) in said, (name, done.returncode, said[-500:])
        if name not in taken:
            assert what in said, (name, said[-500:])


@pytest.mark.parametrize("what", ["a FIFO", "a folder"])
def test_in_the_folder_of_a_run_too(tmp_path, odd_places, what):
    run = tmp_path / "run"
    run.mkdir()
    for name, read in (
        ("run.json", journal.load_manifest),
        ("audit.bin", journal.load_audit),
        ("run.json", load_run),
        ("learnt.bin", lambda folder: learnt.load(folder / "learnt.bin")),
    ):
        odd_places[what].rename(run / name)
        with pytest.raises(DataError, match=f"{name}: (cannot be read: )?{what}( in place of a regular file)?; expected"):
            read(run)
        (run / name).rename(odd_places[what])
