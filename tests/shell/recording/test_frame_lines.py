"""Lines of a recording built in C equal those of plain Python, byte for byte, for whatever a frame holds; and packed they are plain zstandard."""

import json
import random
import shutil
import subprocess
import tempfile
from itertools import islice
from pathlib import Path

import orjson
import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captures import DATA, needs_data
from liqshell.recording import packing
from liqshell.recording import recorder as recorder_module
from liqshell.recording.frames import RECORD_BYTES, FrameBuffer, LineWriter
from liqshell.recording.reader import read
from liqshell.recording.recorder import Recorder
from recorder_lines import label, line, own

T0 = 1_770_595_200_000_000_000
VENUES = ("bybit", "binance_um", "okx", "hyperliquid", "polymarket")
WORDS = [
    b'"topic"',
    b'"topic" : "',
    b'"publicTrade.BTCUSDT"',
    b'"liqcore.end"',
    b'"channel"',
    b'"e":"aggTrade"',
    b'"s":"BTCUSDT"',
    b'"instId"',
    b'"coin":"kPEPE"',
    b'"a\\u00e9"',
    b'"\\ud83d\\ude00"',
    b'"\\ud800"',
    b'"\\x"',
    b'"\\n\\/\\""',
    '"é漢😀"'.encode(),
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\xaf"',
    b'"\xf4\x90\x80\x80"',
    b'"\xe2\x82"',
    b'"\t"',
    b'"\x7f"',
    b'"\x00"',
    b"-0",
    b"-",
    b"01",
    b"1.",
    b".5",
    b"1e5",
    b"1e999",
    b"-1E-7",
    b"9" * 39,
    b"9" * 41,
    b"0." + b"1" * 41,
    b"9" * 400,
    b"true",
    b"falsey",
    b"null",
    b"nul",
    b"NaN",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"\x0b",
    b"{}",
    b"[]",
    b"[" * 70 + b"]" * 70,
    b"[" * 1100 + b"]" * 1100,
    b"x" * 130,
    b'"' + b"y" * 70_000 + b'"',
    b"\xef\xbb\xbf",
]
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=40)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["topic", "e", "s", "channel", "instId", "coin"]), inner, max_size=4)
    ),
    max_leaves=12,
)
documents = st.builds(
    lambda value, ascii, space: json.dumps(value, ensure_ascii=ascii, separators=space).encode("utf-8", "surrogatepass"),
    values,
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", " : "), ("\t,", ":\t")]),
)
hostile = st.binary(max_size=80) | st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join) | documents


def texts(folder) -> bytes:
    """All lines that were written, in order of the files."""
    return b"".join(piece for file in packing.frame_files(folder) for piece in packing.pieces(file))


@settings(max_examples=1500, deadline=None)
@given(hostile, st.sampled_from(VENUES), st.integers(-(2**63), 2**63 - 1))
@example(b"", "bybit", -1)
@example(b"1 ", "bybit", 0)
@example(b'{"topic":"a.b"} ', "bybit", 999_999)
@example(b'{"a":[1,{"b":[]},{}],"c":{}}', "okx", 1)
@example(b'{"a":[1,]}', "okx", 1)
@example(b'{"a":1,}', "okx", 1)
@example(b'{"a":1]', "okx", 1)
@example(b"[1}", "okx", 1)
@example(b'{"a" "b"}', "okx", 1)
@example(b'"' + b"a" * 15 + b'"', "okx", 1)
def test_a_line_is_that_of_plain_python(frame, venue, ts):
    buffer = FrameBuffer()
    writer = LineWriter(buffer)
    adapter = recorder_module.ADAPTERS.get(venue)
    keys = (adapter.kind_key, adapter.symbol_keys) if adapter is not None else ()
    tap = writer.source(b',"exchange":"%b","source":"ws","stream":"' % venue.encode(), *keys)
    tap.keep(frame, ts)
    hour = writer.begin(-(1 << 40))
    assert hour == ts // recorder_module.HOUR_NS
    odd = writer.run(hour, 1 << 20)
    if odd is not None:
        assert odd == frame
        writer.end(recorder_module._result(frame))
    assert bytes(memoryview(writer)) == line(ts, frame, venue) and writer.lines == 1 and writer.last == ts
    assert writer.begin(hour) == -1 and buffer.used == 0


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3 * recorder_module.HOUR_NS), hostile, st.sampled_from(VENUES), st.sampled_from(("ws", "rest"))), max_size=30)
)
def test_a_recording_is_that_of_plain_python(tmp_path_factory, frames):
    folder = tmp_path_factory.mktemp("r")
    with Recorder(folder) as recorder:
        recorder.mark(T0, "liqcore.meta", {"é": [1, "x"]})
        for ts, frame, venue, source in frames:
            recorder.append(T0 + ts, frame, venue, source)
        recorder.mark(T0, "liqcore.end", {})
    wanted = [
        own(T0, "liqcore.meta", {"é": [1, "x"]}),
        *(line(T0 + ts, frame, venue, source) for ts, frame, venue, source in frames),
        own(T0, "liqcore.end", {}),
    ]
    assert texts(folder) == b"".join(wanted)


@needs_data
def test_captured_frames_are_not_handed_back(tmp_path):
    """What venues send is plain, nearly always: the way through Python is for the odd frame."""
    buffer = FrameBuffer()
    writer = LineWriter(buffer)
    tap = writer.source(b',"exchange":"bybit","source":"ws","stream":"')
    files = [
        *DATA.glob("market-bybit-v5-rawws-2026-08/*.gz"),
        *DATA.glob("market-cryptofeed-rawws-2021/*.gz"),
        *DATA.glob("market-hftbacktest-binance-2024-08/*.gz"),
    ]
    frames = [record.frame for file in files for record in islice(read(file), 5000)]
    for n, frame in enumerate(frames):
        tap.keep(frame, T0 + n)
    hour, odd = writer.begin(-1), 0
    while (frame := writer.run(hour, 1 << 30)) is not None:
        odd += 1
        writer.end(recorder_module._result(frame))
    assert bytes(memoryview(writer)) == b"".join(line(T0 + n, frame, "bybit") for n, frame in enumerate(frames))
    assert len(frames) > 1000 and odd < len(frames) / 50, (odd, len(frames))


def test_frames_larger_than_a_block_and_many_blocks_keep_their_order():
    rng = random.Random(7)
    buffer = FrameBuffer()
    writer = LineWriter(buffer)
    tap = writer.source(b',"exchange":"bybit","source":"ws","stream":"')
    wanted, sizes = b"", [3 << 20, 0, 1, 1 << 20, (1 << 20) - 16, 5000, *(rng.randrange(200_000) for _ in range(60))]
    for _turn in range(3):
        wanted = b""
        for n, size in enumerate(sizes):
            frame = b'"' + b"z" * size + b'"'
            tap.keep(frame, T0 + n)
            wanted += line(T0 + n, frame, "bybit")
        got, hour = b"", writer.begin(-1)
        while hour >= 0:
            assert writer.run(hour, 1 << 20) is None
            got += bytes(memoryview(writer))
            hour = writer.begin(hour)
        assert got == wanted and buffer.used == 0


def test_what_does_not_fit_is_counted_and_its_room_comes_back():
    buffer = FrameBuffer(4 * (100 + RECORD_BYTES))
    writer = LineWriter(buffer)
    tap = writer.source(b',"exchange":"bybit","source":"ws","stream":"')
    for turn in range(3):
        for n in range(10):
            tap.keep(b"1" * 100, n)
        assert buffer.dropped == 6 * (turn + 1) and buffer.used == buffer.capacity
        assert writer.run(writer.begin(0), 1 << 20) is not None  # so many digits are handed back
        writer.end(b'"result":0')
        while writer.run(0, 1 << 20) is not None:
            writer.end(b'"result":0')
        assert writer.lines == 4 and writer.begin(0) == -1 and buffer.used == 0


def followed(data: bytes) -> tuple[bytes, list[str], int]:
    """Of a file that is still being written: what it holds, what is damaged, and where the reading stands."""
    place = packing.Place(ended=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.jsonl.zst"
        file.write_bytes(data)
        found = list(packing.pieces(file, place))
    return b"".join(one for one in found if isinstance(one, bytes)), [one.reason for one in found if not isinstance(one, bytes)], place.offset


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=0, max_size=300), min_size=1, max_size=9))
def test_a_member_is_a_zstandard_frame_whose_sum_the_library_checks(frames):
    buffer = FrameBuffer()
    writer = LineWriter(buffer)
    for n, frame in enumerate(frames):
        writer.source(b"").keep(frame, n)
    writer.begin(0)
    while (frame := writer.run(0, 1 << 20)) is not None:
        writer.end(recorder_module._result(frame))
    text, packer = bytes(memoryview(writer)), packing.Packer()
    member = packer.member(writer)
    assert pyarrow.input_stream(pyarrow.py_buffer(member * 2), compression="zstd").read() == text * 2
    assert followed(member + b"(\xb5/") == (text, [], len(member))
    assert all(followed(member[:cut]) == (b"", [], 0) for cut in range(4, len(member)))
    for n in range(1, 5):  # each byte of the sum counts
        wrong = member[:-n] + bytes([member[-n] ^ 1]) + (member[1 - n :] if n > 1 else b"")
        with pytest.raises(OSError, match="checksum"):
            pyarrow.input_stream(pyarrow.py_buffer(wrong), compression="zstd").read()
        given, torn, end = followed(wrong)
        assert (given, end) == (b"", len(wrong)) and len(torn) == 1 and "checksum" in torn[0]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd command")
def test_the_zstd_command_reads_a_recording(tmp_path):
    with Recorder(tmp_path) as recorder:
        for n in range(500):
            recorder.append(T0 + n, b'{"n":%d}' % n)
            if n % 100 == 0:
                recorder.flush()
    (file,) = packing.frame_files(tmp_path)
    out = subprocess.run(["zstd", "-dc", str(file)], capture_output=True, check=True).stdout
    assert [json.loads(one)["result"]["n"] for one in out.splitlines()] == list(range(500))


@given(st.lists(st.sampled_from(WORDS), max_size=9).map(b"".join), st.sampled_from(VENUES))
def test_the_readers_label_is_that_of_the_line(frame, venue):
    assert recorder_module.label(venue, frame) == label(venue, frame)


def test_orjson_takes_what_is_called_plain():
    """The reader of JSON in C may refuse, never accept, more than the parser does: single changes of frames that it accepts."""
    rng = random.Random(3)
    frame = b'{"topic":"a.B","data":[{"p":"1.5","q":-12.25,"ok":true,"no":false,"nil":null,"e":[],"o":{},"t":"\\"x\\\\y\xc3\xa9"},[0, 1]]}'
    seen = [0, 0]
    for _ in range(20_000):
        at = rng.randrange(len(frame))
        changed = frame[:at] + bytes([rng.choice(b'{}[]",:\\ 0129.-+eEtfnu\t\x00\x1f\x80\xc3\xff')]) + frame[at + rng.randrange(2) :]
        buffer = FrameBuffer()
        writer = LineWriter(buffer)
        writer.source(b"").keep(changed, 0)
        plain = writer.run(writer.begin(0), 1 << 20) is None
        try:
            orjson.loads(changed)
            parsed = True
        except orjson.JSONDecodeError:
            parsed = False
        assert parsed or not plain, changed
        seen[0] += plain
        seen[1] += parsed
    assert seen[0] > 0.9 * seen[1] > 100  # and it refuses little that the parser takes
