"""A run's recording read a block at a time in C gives what the reading line by line gives: events, their lines, gaps, counts, notes, damage."""

import contextlib
import random

import numpy as np
import pytest

import liqcore as lc
from captures import DATA, needs_data
from liqshell import formats
from liqshell.errors import DataError
from liqshell.formats.recordings import Recordings
from liqshell.recording import packing
from liqshell.recording.recorder import END, FEED, META, REST, Recorder
from recorder_lines import member, unpacked
from said_once import SYMBOLS as BYBIT
from said_once import T0 as BYBIT_T0
from said_once import frames as bybit_frames
from venue_frames import FRAMES, SYMBOLS

S = lc.SECOND


def told(path, scan: bool, monkeypatch):
    """All that a reading says of a recording; scan False: every line by itself."""
    with monkeypatch.context() as patch:
        taken = [0]
        plain = Recordings._scan

        def counted(self, text, at):
            found = plain(self, text, at) if scan else (at, 0)
            taken[0] += found[1]
            return found

        patch.setattr(Recordings, "_scan", counted)
        parts, error = [], ""
        reading = formats.read(path)
        try:
            parts += reading.blocks()
        except DataError as why:
            error = str(why)
    events = np.concatenate([part.events for part in parts]) if parts else np.zeros(0, lc.EVENT_DTYPE)
    lines = np.concatenate([part.lines for part in parts]) if parts else np.zeros(0, np.int64)
    carried = reading.carried if not error else None
    reader = reading._reader
    return (
        {
            "events": events.tobytes(),
            "lines": lines.tolist(),
            "error": error,
            "counts": dict(reading.counts),
            "notes": reading.notes,
            "damage": reader.damage,
            "tears": reader.tears,
            "read": reader.lines,
            "sent": reading.send_delay_ms,
            "contracts": reading.contracts,
            "rules": reading.rules,
            "carried": carried and (carried.last, carried.torn, carried.frames, {key: row.tobytes() for key, row in carried.tickers.items()}),
        },
        len(events),
        taken[0],
    )


def same(path, monkeypatch) -> tuple[int, int]:
    """Events, and lines that the scan took."""
    wanted, _, none = told(path, False, monkeypatch)
    found, events, taken = told(path, True, monkeypatch)
    assert found == wanted and none == 0
    return events, taken


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four venues over three hours, with silences, lost connections, polls, frames of no use and frames that are no JSON."""
    rng = random.Random(11)
    folder = tmp_path_factory.mktemp("several") / "run"
    feeds = {"bybit": BYBIT, **SYMBOLS}
    told, first = [], 0
    for venue, symbols in feeds.items():
        told.append({"venue": venue, "first": first, "count": len(symbols), "gap_ns": 5 * S, "watched": False})
        first += len(symbols)
    instruments = [lc.Instrument(symbol, venue=venue).as_dict() for venue, symbols in feeds.items() for symbol in symbols]
    liquidation = b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":%d,"data":[{"T":%d,"s":"BTCUSDT","S":"Sell","v":"1.5","p":"70000.1"}]}'
    with Recorder(folder, exchange="bybit") as recorder:
        recorder.mark(BYBIT_T0, META, {"instruments": instruments, "feeds": told, "gap_ns": 5 * S})
        for venue in feeds:
            recorder.mark(BYBIT_T0, FEED, {"state": 1, "ts_event": BYBIT_T0, "venue": venue})
        for n, (ts, frame) in enumerate(bybit_frames(3.0)):
            recorder.append(ts, frame)
            for venue in SYMBOLS:
                if rng.random() < 0.7:
                    recorder.append(ts + 1, rng.choice(list(FRAMES[venue].values())), venue)
            if rng.random() < 0.02:
                recorder.append(ts + 2, liquidation % (ts // 10**6, ts // 10**6 - 30))
            if rng.random() < 0.01:
                recorder.append(ts + 3, rng.choice([b"pong", b'{"op":"pong"}', b"", b"\xff\x00", b'{"topic":"kline.1.BTCUSDT","data":[]}', b"{\n}"]))
            if rng.random() < 0.01:
                recorder.append(ts + 4, b'{"openInterest":"7","symbol":"BTCUSDT","time":1589437530011}', "binance_um", REST)
            if n % 900 == 500:
                recorder.mark(ts + 5, FEED, {"state": 2, "ts_event": ts, "venue": rng.choice(list(feeds))})
                recorder.flush()
            if n % 1100 == 600:
                recorder.mark(ts + 6, "liqcore.gap", {"dropped": 3})
        recorder.mark(ts + 7, END, {})
    return folder


@pytest.mark.slow
def test_a_run_of_several_venues(run, monkeypatch):
    events, taken = same(run, monkeypatch)
    lines = sum(unpacked(file).count(b"\n") for file in packing.frame_files(run))
    assert events > 10_000 and taken > 0.9 * lines, (events, taken, lines)
    for file in packing.frame_files(run):  # hours by themselves, which begin where the one before has ended
        same(file, monkeypatch)


def test_small_buffers_end_where_they_may(run, monkeypatch):
    """Blocks end in the midst of texts: nothing is lost between them."""
    whole, _, _ = told(run, True, monkeypatch)
    from liqshell.formats import recordings

    monkeypatch.setattr(recordings, "BLOCK_EVENTS", 2 * recordings.FRAME_EVENTS_MAX + 7)
    assert told(run, True, monkeypatch)[0] == whole


LINES = [
    b"",
    b"   ",
    b"{",
    b"null",
    b'{"ts":1}',
    b"\xff\xfe",
    b'{"ts":1,"ts_recv":1,"exchange":"bybit","source":"ws","stream":"","symbol":"","result":{}}',
    b'{"ts":-1,"ts_recv":-1,"exchange":"bybit","source":"ws","stream":"","symbol":"","result":{}}',
    b'{"ts":1,"ts_recv":9223372036854775807,"exchange":"bybit","source":"ws","stream":"","symbol":"","result":{}}',
    b'{"ts":1,"ts_recv":1770595201000000000,"exchange":"nobody","source":"ws","stream":"","symbol":"","result":{}}',
    b'{"ts":1,"ts_recv":1770595201000000000,"exchange":"bybit","source":"ws","stream":"liqcore.gap","symbol":"","result":{}}',
    b'{"ts":1,"ts_recv":1770595201000000000,"exchange":"bybit","source":"ws","stream":"\xff","symbol":"","result":{}}',
    b'{"ts":1234567890123456789,"ts_recv":1770595201000000000,"exchange":"bybit","source":"ws","stream":"","symbol":"","result":{}}',
    b'{"ts":1,"ts_recv":1770595201000000000,"exchange":"bybit","source":"ws","stream":"","symbol":"","result":',
]


@pytest.mark.parametrize("seed", range(25))
def test_damaged_lines_are_lost_counted_and_marked_alike(run, tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    for file in packing.frame_files(run):
        lines = unpacked(file).splitlines(keepends=True)[:900]
        for _ in range(rng.randrange(1, 12)):
            at = rng.randrange(1, len(lines))
            line = lines[at]
            what = rng.randrange(6)
            if what == 0:
                k = rng.randrange(len(line) - 1)
                lines[at] = line[:k] + bytes([rng.randrange(256)]) + line[k + 1 :]
            elif what == 1:
                lines[at] = line[: rng.randrange(len(line))]
            elif what == 2:
                lines.insert(at, rng.choice(LINES) + b"\n")
            elif what == 3:
                lines[at : at + 2] = lines[at : at + 2][::-1]
            elif what == 4:
                lines[at] = b" " + line
            else:
                k = rng.randrange(110)  # in the envelope
                lines[at] = line[:k] + rng.choice([b'"', b"\\", b"0", b"", b",", b"}", b"\x80"]) + line[k + rng.randrange(2) :]
        third = len(lines) // 3
        members = [member(b"".join(part)) for part in (lines[:third], lines[third : 2 * third], lines[2 * third :])]
        if seed % 3 == 0:  # and a tear
            members[1] = members[1][: rng.randrange(1, len(members[1]))]
        data = b"".join(members) if seed % 4 else b"".join(lines)[: -rng.randrange(1, 50)]
        (tmp_path / file.name).write_bytes(data)
    same(tmp_path, monkeypatch)


@needs_data
@pytest.mark.parametrize(
    "name",
    ["market-bybit-v5-rawws-2026-08", "market-cryptofeed-rawws-2021", pytest.param("market-hftbacktest-binance-2024-08", marks=pytest.mark.slow)],
)
def test_captures_of_others_are_read_as_before(name, monkeypatch):
    """Nothing of them is ours: the scan takes no line, and the texts of many lines are cut where the lines are."""
    for file in sorted((DATA / name).glob("*.gz"))[:6]:
        with contextlib.suppress(DataError):
            assert same(file, monkeypatch)[1] == 0
