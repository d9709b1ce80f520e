"""Recordings: byte for byte what came, whatever happens to the process, the disk or the file."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqshell.errors import DataError
from liqshell.recording import packing
from liqshell.recording import recorder as record_module
from liqshell.recording.frames import RECORD_BYTES
from liqshell.recording.reader import Damage, merge, read
from liqshell.recording.recorder import END, GAP, META, Recorder

HOUR = 3_600_000_000_000
T0 = 1_770_595_200_000_000_000  # 2026-02-09 00:00 UTC
LIQUIDATION = (
    b'{"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,'
    b'"data":[{"T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}'
)
ODD = [
    LIQUIDATION,
    b'{ "a" : 1.50 }',
    b" [1]\t",
    b"",
    b"pong",
    b'{"a":\n1}',
    b"{}\r",
    b"\xff\x00\x80",
    b'"text"',
    b"null",
    "é\u2028".encode(),
    b'{"result":1}',
    b'{"a":"\\"result\\":"}',
    b'{"topic":"liqcore.end"}',
    b"\x1f\x8b\x08",
    b'{"x":NaN}',
    b"}",
    b'{"topic":"a\\"b"}',
    b'{"a":"\\ud800"}',
    b"[" * 5000,
]


def frames_of(path: Path) -> list[bytes]:
    return [r.frame for r in read(path)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_every_frame_comes_back_byte_for_byte(tmp_path):
    with Recorder(tmp_path) as recorder:
        for n, frame in enumerate(ODD):
            recorder.append(T0 + n, frame)
    back = list(read(tmp_path))
    assert [r.frame for r in back] == ODD
    assert [r.ts_recv for r in back] == [T0 + n for n in range(len(ODD))]
    assert (back[0].stream, back[0].symbol, back[0].exchange) == ("allLiquidation.ROSEUSDT", "ROSEUSDT", "bybit")


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3 * HOUR), st.binary(max_size=60) | st.sampled_from(ODD)), max_size=20), st.integers(1, 400))
def test_any_bytes_any_times_any_member_size(tmp_path_factory, frames, member_bytes):
    folder = tmp_path_factory.mktemp("r")
    before = record_module.MEMBER_BYTES_MAX
    record_module.MEMBER_BYTES_MAX = member_bytes
    try:
        with Recorder(folder) as recorder:
            for ts, frame in frames:
                recorder.append(T0 + ts, frame)
    finally:
        record_module.MEMBER_BYTES_MAX = before
    if frames:
        assert [(r.ts_recv - T0, r.frame) for r in read(folder)] == frames  # also where ts_recv goes back


def test_lines_are_json_in_the_shared_schema(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.append(T0 + 1_234_567, LIQUIDATION)
    line = b"".join(packing.pieces(tmp_path / "2026-02-09_00.jsonl.zst"))
    assert line.endswith(b'"result":' + LIQUIDATION + b"}\n")
    assert json.loads(line) == {
        "ts": T0 // 10**6 + 1,
        "ts_recv": T0 + 1_234_567,
        "exchange": "bybit",
        "source": "ws",
        "stream": "allLiquidation.ROSEUSDT",
        "symbol": "ROSEUSDT",
        "result": json.loads(LIQUIDATION),
    }


def test_files_by_hour_and_manifest(tmp_path):
    with Recorder(tmp_path, meta={"run": "x"}) as recorder:
        assert json.loads((tmp_path / "manifest.json").read_text())["closed"] is False
        for n in range(5):
            recorder.append(T0 + n * HOUR // 2, b"{}")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "2026-02-09_00.jsonl.zst",
        "2026-02-09_01.jsonl.zst",
        "2026-02-09_02.jsonl.zst",
        "manifest.json",
    ]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["closed"] and manifest["lines"] == 5 and manifest["meta"] == {"run": "x"} and manifest["dropped"] == 0
    assert [file["lines"] for file in manifest["files"].values()] == [2, 2, 1]


def test_own_lines_keep_their_place_and_cannot_be_forged(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.mark(T0, META, {"seed": 1})
        recorder.append(T0 + 1, b'{"topic":"liqcore.end","data":[]}')
        recorder.mark(T0 + 2, END, {"ts": 5})
        with pytest.raises(ValueError, match=r"liqcore\."):
            recorder.mark(T0, "publicTrade.X", {})
    assert [(r.stream, r.exchange) for r in read(tmp_path)] == [(META, "liqcore"), ("", "bybit"), (END, "liqcore")]


def test_the_folder_of_a_run_is_read_as_that_of_its_frames(tmp_path):
    with Recorder(tmp_path / "frames") as recorder:
        recorder.append(T0, b"[1]")
    assert frames_of(tmp_path) == frames_of(tmp_path / "frames") == [b"[1]"]


def test_a_second_recorder_appends(tmp_path):
    for frame in (b"[1]", b"[2]"):
        with Recorder(tmp_path) as recorder:
            recorder.append(T0, frame)
    assert frames_of(tmp_path) == [b"[1]", b"[2]"]


WRITER = textwrap.dedent("""
    import sys, time
    from liqshell.recording.recorder import Recorder
    recorder = Recorder(sys.argv[1], flush_s=float(sys.argv[2]))
    n = 0
    while True:
        for _ in range(200):
            recorder.append({t0} + n * 1_000_000, b'{{"n":%d}}' % n)
            n += 1
        if n % 5000 == 0 and recorder.flush():
            print(n, flush=True)
        time.sleep(0.0005)
""").format(t0=T0)


@pytest.mark.parametrize("flush_s", [0.01, 3600.0])
def test_a_killed_process_loses_nothing_that_was_flushed(tmp_path, flush_s):
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(flush_s)], stdout=subprocess.PIPE, env=environment())
    try:
        flushed = [int(child.stdout.readline()) for _ in range(3)][-1]
        time.sleep(random.random() * 0.02)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        child.stdout.close()
    back = frames_of(tmp_path)
    assert len(back) >= flushed
    assert back == [b'{"n":%d}' % n for n in range(len(back))]


def three_members(folder: Path) -> tuple[Path, list[bytes], list[int]]:
    """A file of three members, its frames, and the offsets at which members end."""
    frames, ends = [], []
    path = folder / "2026-02-09_00.jsonl.zst"
    with Recorder(folder, flush_s=3600) as recorder:
        for m in range(3):
            for n in range(4):
                frames.append(b'{"m":%d,"n":%d}' % (m, n))
                recorder.append(T0 + n, frames[-1])
            assert recorder.flush()
            ends.append(path.stat().st_size)
    return path, frames, ends


def test_a_tail_cut_at_any_byte_costs_only_the_last_member(tmp_path):
    path, frames, ends = three_members(tmp_path)
    raw = path.read_bytes()
    for cut in range(ends[1], ends[2]):
        path.write_bytes(raw[:cut])
        reader = read(path)
        back = [r.frame for r in reader]
        assert frames[:8] == back[:8] and back == frames[: len(back)], cut
        if cut == ends[1]:
            assert not reader.damage and len(back) == 8
        else:
            # the last few bytes are the checksum: the lines are there, the cut is still reported
            assert [d.file for d in reader.damage] == [str(path)] and reader.damage[0].bytes_dropped == cut - ends[1], cut
            assert "is cut" in reader.damage_text()


def test_of_a_cut_frame_everything_up_to_its_last_complete_block_is_read(tmp_path):
    """RFC 8878: a block has three bytes of head (bit 0 = the last one, 2 bits of type, 21 of size) and at most 128 KB of content."""
    path, block = tmp_path / "a.jsonl.zst", 1 << 17
    with Recorder(tmp_path, flush_s=3600) as recorder:
        for n in range(4000):
            recorder.append(T0 + n, b'{"x":"%s"}' % random.randbytes(60).hex().encode())
    (own,) = tmp_path.glob("2026*.zst")
    raw, text = own.read_bytes(), b"".join(packing.pieces(own))
    own.unlink()
    at = 5 + (0 if raw[4] >> 5 & 1 else 1) + ((1 if raw[4] >> 5 & 1 else 0), 2, 4, 8)[raw[4] >> 6]
    ends, last = [at], 0
    while not last:
        last, size = raw[at] & 1, int.from_bytes(raw[at : at + 3], "little") >> 3
        assert raw[at] >> 1 & 3 in (0, 2), "no run of one byte"
        ends.append(at := at + 3 + size)
    assert len(ends) > 3 and len(raw) == ends[-1] + 4 and (len(ends) - 2) * block < len(text) <= (len(ends) - 1) * block
    for cut in sorted({*(end + n for end in ends[1:] for n in (-1, 0, 1)), len(raw) - 1, len(raw) - 2, ends[1] + 2000} - {len(raw)}):
        path.write_bytes(raw[:cut])
        found = list(packing.pieces(path))
        whole = sum(end <= cut for end in ends[1:])
        assert b"".join(found[:-1]) == text[: whole * block] and found[-1].reason == "the zstandard frame is cut", cut


def test_members_after_a_torn_one_are_still_read(tmp_path):
    path, frames, ends = three_members(tmp_path)
    raw = path.read_bytes()
    for cut in range(ends[0] + 1, ends[1]):
        path.write_bytes(raw[:cut] + raw[ends[1] :])  # a crash in the second member, then the recorder was started again
        reader = read(path)
        back = [r.frame for r in reader]
        assert back[:4] == frames[:4] and back[-4:] == frames[8:], cut
        assert [f for f in back if f in frames] == back and len(reader.damage) == 1


def test_any_flipped_byte_is_survived_or_named(tmp_path):
    path, frames, _ = three_members(tmp_path)
    raw = path.read_bytes()
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :])
        try:
            reader = read(path)
            back = [r.frame for r in reader]
        except DataError:
            continue  # e.g. the first bytes: then it is no gzip file at all
        # header bytes like the time stamp may change without harm; anything else must be seen
        assert back == frames or reader.damage, at


def test_plain_lines_with_a_cut_tail(tmp_path):
    path = tmp_path / "a.jsonl"
    line = json.dumps({"ts": T0 // 10**6, "exchange": "bybit", "stream": "publicTrade.X", "symbol": "X", "result": {"topic": "publicTrade.X"}})
    path.write_text(f"{line}\n{line}\n{line[:-10]}")
    reader = read(path)
    assert len(list(reader)) == 2 and reader.damage == [Damage(str(path), len(line) - 10, 1, "the last line is cut")]
    path.write_text(f"{line}\n{line}")  # no newline at the end, but whole
    reader = read(path)
    assert len(list(reader)) == 2 and not reader.damage


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"ts_ms,symbol\n1,A\n", "x.jsonl:1: not JSON"),
        (b"[1,2]\n", "x.jsonl:1: found list"),
        (b'{"id":1,"name":"x"}\n', "x.jsonl:1: an object with the keys 'id', 'name'"),
        (b'{"stream":"a","result":{}}\n', "x.jsonl:1: no 'ts' with 'result'"),
        (b'{"ts":"yesterday","result":{}}\n', "'yesterday' is not a time"),
        (b'{"ts":true,"result":{}}\n', "True is not a time"),
        (b"\x00\x01\x02\n", "x.jsonl:1: not JSON"),
    ],
)
def test_what_is_no_recording_is_named_by_file_and_line(tmp_path, raw, part):
    path = tmp_path / "x.jsonl"
    path.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        list(read(path))
    assert part in str(caught.value)


def test_absent_and_empty(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match="no recording in this folder"):
        read(tmp_path)
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    assert list(read(tmp_path)) == []


S4 = {
    "ts": 1770595200555,
    "exchange": "bybit",
    "source": "ws",
    "stream": "liquidation",
    "symbol": "BTCUSDT",
    "result": {
        "ts": 1770595200123,
        "data": [
            {"T": 1770595199900, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "70000.1"},
            {"T": 1770595199950, "s": "BTCUSDT", "S": "Sell", "v": "0.1", "p": "70010"},
        ],
    },
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stream": "allLiquidation.BTCUSDT"},
        {"stream": "allLiquidation"},
        {"ts": 1770595200.555},
        {"ts": "2026-02-09T00:00:00.555Z"},
        {"ts": 1770595200555000000},
        {"symbol": ""},
        {"result": {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", **S4["result"]}},
        {"result": json.dumps({"topic": "allLiquidation.BTCUSDT", "type": "snapshot", **S4["result"]})},
    ],
)
def test_foreign_hourly_files_become_frames_that_the_decoder_reads(tmp_path, change):
    import numpy as np

    import liqcore as lc
    from liqshell.venues.bybit.decoder import PublicDecoder

    with gzip.open(tmp_path / "BTC_2026-02-09_00.jsonl.gz", "wt") as out:
        out.write(json.dumps({**S4, **change}) + "\n")
    (found,) = read(tmp_path)
    assert found.ts_recv == 1_770_595_200_555_000_000 and found.symbol == "BTCUSDT" and found.stream == "allLiquidation.BTCUSDT"
    events = np.zeros(8, lc.EVENT_DTYPE)
    decoded = PublicDecoder(("BTCUSDT",)).decode(found.frame, found.ts_recv, events)
    assert (decoded if isinstance(decoded, int) else len(decoded.events)) == 2
    assert list(events["side"][:2]) == [lc.LONG, lc.SHORT]  # venue: Buy = a long was liquidated
    assert list(events["ts_event"][:2]) == [1_770_595_199_900_000_000, 1_770_595_199_950_000_000]
    assert list(events["price"][:2]) == [70000.1, 70010.0]


def test_raw_frames_take_the_venues_time(tmp_path):
    (tmp_path / "frames.jsonl").write_bytes(LIQUIDATION + b"\n" + b'{"success":true,"op":"subscribe"}\n')
    first, second = read(tmp_path / "frames.jsonl")
    assert first.frame == LIQUIDATION and first.ts_recv == 1_739_502_303_204_000_000 and first.symbol == "ROSEUSDT"
    assert second.ts_recv == 0


def test_what_finds_no_room_is_counted_and_marked_in_place(tmp_path):
    with Recorder(tmp_path, flush_s=3600, pending_bytes_max=10 * (2 + RECORD_BYTES)) as recorder:
        for n in range(25):
            recorder.append(T0 + n, b"%02d" % (n + 10))
        assert recorder.dropped == 15
        assert recorder.flush()
        recorder.append(T0 + 30, b"99")
    back = list(read(tmp_path))
    assert [r.frame for r in back] == [*(b"%02d" % (n + 10) for n in range(10)), b'{"dropped":15}', b"99"]
    assert back[10].stream == GAP
    assert json.loads((tmp_path / "manifest.json").read_text())["dropped"] == 15


FULL = textwrap.dedent("""
    import json, os, resource, signal, sys
    from pathlib import Path
    from liqshell.recording.recorder import Recorder
    from liqshell.recording.reader import read
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)            # as on a full disk: write() fails half-way
    alarms = []
    recorder = Recorder(sys.argv[1], flush_s=3600, on_alarm=alarms.append)
    for n in range(100):
        recorder.append({t0} + n, os.urandom(100))
    assert recorder.flush()
    size = Path(sys.argv[1], "2026-02-09_00.jsonl.zst").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, hard))
    for n in range(200):
        recorder.append({t0} + n, os.urandom(100))
    results = [recorder.flush(), recorder.flush()]
    left = Path(sys.argv[1], "2026-02-09_00.jsonl.zst").stat().st_size
    seen = len(list(read(sys.argv[1])))
    state = (recorder.alarms, recorder.error, len(alarms), str(alarms[0]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    results.append(recorder.flush())
    closed = recorder.close()
    print(json.dumps([results, left == size, seen, state, recorder.error, closed, len(list(read(sys.argv[1])))]))
""").format(t0=T0)


def test_a_full_disk_is_an_alarm_and_the_frames_wait(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    results, untouched, seen, (alarms, error, called, text), after, closed, lines = json.loads(done.stdout)
    assert results == [False, False, True] and untouched and seen == 100
    assert alarms == 2 and called == 1 and "File too large" in error and "recording stopped" in text
    assert after == "" and closed and lines == 300


def test_a_folder_that_vanishes_is_an_alarm_not_a_crash(tmp_path):
    folder = tmp_path / "run"
    recorder = Recorder(folder, flush_s=3600)
    recorder.append(T0, b"{}")
    (folder / "manifest.json").unlink()
    folder.rmdir()
    assert not recorder.flush() and recorder.alarms == 1
    folder.mkdir()
    assert recorder.flush() and recorder.close() and frames_of(folder) == [b"{}"]


def test_what_is_not_bytes_costs_nothing_but_itself(tmp_path):
    alarms: list[DataError] = []
    recorder = Recorder(tmp_path, flush_s=3600, on_alarm=alarms.append)
    for frame in (b"[1]", "text", b"[2]"):
        recorder.append(T0, frame)  # type: ignore[arg-type]
    recorder.flush()
    assert recorder.unusable == 1 and "TypeError" in str(alarms[0])
    assert not recorder.close() and frames_of(tmp_path) == [b"[1]", b"[2]"]


def test_appending_while_the_flusher_runs_loses_nothing(tmp_path):
    with Recorder(tmp_path, flush_s=0.001) as recorder:
        for n in range(20_000):
            recorder.append(T0 + n, b"%d" % n)
    assert recorder.dropped == 0
    assert frames_of(tmp_path) == [b"%d" % n for n in range(20_000)]
    assert not [t for t in threading.enumerate() if t.name == "liqcore-record"]


def test_merge_is_by_time_over_files(tmp_path):
    frames: dict[int, bytes] = {}
    for name in ("a", "b", "c"):
        with Recorder(tmp_path / name) as recorder:
            for n in range(40):
                ts = T0 + (n * 7 + ord(name)) * HOUR // 10
                frames[ts] = b'{"%b":%d}' % (name.encode(), n)
                recorder.append(ts, frames[ts])
    damage: list[Damage] = []
    back = list(merge([tmp_path / "c", tmp_path / "a", tmp_path / "b"], damage))
    assert [(r.ts_recv, r.frame) for r in back] == sorted(frames.items())
    assert not damage


@given(st.binary(max_size=300), st.booleans())
def test_the_reader_never_raises_anything_but_data_error(tmp_path_factory, raw, packed):
    path = tmp_path_factory.mktemp("f") / "x.jsonl"
    path.write_bytes(gzip.compress(raw)[:-1] if packed else raw)
    try:
        list(read(path))
    except DataError as why:
        assert str(path) in str(why)
