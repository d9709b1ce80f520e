"""Recordings as market data: a run of ours gives back what live was given; recordings of others are read like every other file."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from captures import DATA, needs_data
from format_files import MS, T0, events, tuples, write
from liqshell import formats
from liqshell.emulator.market import Market
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.recording.recorder import END, FEED, META, Recorder
from liqshell.run import replay
from liqshell.run.pipeline import Pipeline
from run_folder import instruments_of

TOPICS = ("allLiquidation", "publicTrade", "orderbook.1", "tickers")
SYMBOLS = ("SOLUSDT", "DOGEUSDT")
BRACKET = {"entry_offset": "0.0015", "take_profit": "0.0015", "stop_loss": "0.0025", "notional": 2000.0}


def values(instruments) -> dict:
    """What a run keeps of its settings; gap_ns so short that quiet moments of the market are gaps."""
    return {
        "version": lc.__version__,
        "abi": lc.abi_version(),
        "instruments": [i.as_dict() for i in instruments],
        "cascade": lc.CascadeConfig(warmup=20, window_events=200).as_dict()
        if hasattr(lc.CascadeConfig, "as_dict")
        else {"warmup": 20, "window_events": 200},
        "rule": None,
        "brackets": dict.fromkeys(SYMBOLS, BRACKET),
        "limits": {},
        "equity": 10_000.0,
        "paper": {"fills": "through", "maker_fee": 0.0002, "taker_fee": 0.00055, "order_latency_s": 0.05, "ack_latency_s": 0.05},
        "gap_ns": 900 * MS,
    }


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """Ninety minutes of the generated market over three hourly files, with a cut in the middle, as live would have recorded them."""
    folder = tmp_path_factory.mktemp("run")
    source = Market(seed=11, symbols=SYMBOLS)
    instruments = instruments_of(source)
    start = source.parameters.start_ns // 3_600_000_000_000 * 3_600_000_000_000 + 3_600_000_000_000
    start = max(start, source.parameters.start_ns)
    feed = SyntheticFeed(source, source.parameters.start_ns + 9_000_000_000_000)
    feed.wanted.update(f"{topic}.{symbol}" for topic in TOPICS for symbol in SYMBOLS)
    now = source.parameters.start_ns
    with Recorder(folder / journal.FRAMES) as recorder:
        recorder.mark(now, META, values(instruments))
        recorder.mark(now, FEED, {"state": int(lc.FeedState.FEED_UP), "ts_event": now})
        cut = now + 2_000_000_000_000
        end = now + 5_400_000_000_000
        down = False
        while now < end:
            now += 50 * MS
            frames = feed.until(now)
            if cut <= now < cut + 20_000_000_000:
                if not down:
                    recorder.mark(now, FEED, {"state": int(lc.FeedState.FEED_DOWN), "ts_event": now - 50 * MS})
                    down = True
                continue
            if down:
                recorder.mark(now, FEED, {"state": int(lc.FeedState.FEED_UP), "ts_event": now})
                down = False
            for frame in frames:
                recorder.append(now + 3 * MS, frame.payload)
        recorder.mark(now + 5 * MS, END, {})
    return folder


def backtested(folder: Path, found: np.ndarray) -> tuple[bytes, Pipeline]:
    """The audit stream of a fresh engine that is given these events and the end of the run."""
    meta = next(r for r in __import__("liqshell.recording.reader", fromlist=["read"]).read(folder) if r.stream == META)
    pipeline = Pipeline(json.loads(meta.frame))
    parts = []
    for start in range(0, len(found), 10_000):
        pipeline.paper.run(np.ascontiguousarray(found[start : start + 10_000]))
        parts.append(pipeline.drain_audit())
    last = [r for r in __import__("liqshell.recording.reader", fromlist=["read"]).read(folder) if r.stream == END]
    pipeline.advance(last[0].ts_recv)
    parts.append(pipeline.drain_audit())
    return np.concatenate(parts).tobytes(), pipeline


def test_a_backtest_of_a_recording_is_the_live_run(run_folder):
    live, audit, damage, ended = replay.run(run_folder / journal.FRAMES)
    assert ended and not damage and live.sink.gaps > 0
    with formats.read(run_folder) as reading:
        found = np.concatenate(list(reading.ordered()))
    assert formats.sniff(run_folder) == "recording" and reading.received == "recorded"
    assert reading.contracts == [("bybit", symbol) for symbol in SYMBOLS]
    assert {lc.Kind.LIQUIDATION, lc.Kind.TRADE, lc.Kind.BBO, lc.Kind.TICKER, lc.Kind.FEED} == set(reading.kinds)
    mine, pipeline = backtested(run_folder / journal.FRAMES, found)
    assert pipeline.engine.events == live.engine.events
    assert mine == audit.tobytes()
    gaps = found[(found["kind"] == lc.Kind.FEED) & (found["code"] == lc.FeedState.FEED_GAP)]
    assert len(gaps) == live.sink.gaps
    assert reading.rules["bybit", "SOLUSDT"]["tick_size"] and reading.rules["bybit", "SOLUSDT"]["completeness"] == "FULL"


def test_hour_by_hour_it_is_the_same_as_in_one(run_folder):
    files = formats.files_of(run_folder)
    assert len(files) >= 2
    with formats.read(run_folder) as reading:
        whole = np.concatenate(list(reading.ordered()))
    hours = [np.concatenate(list(formats.read(file).ordered())) for file in files]
    assert np.concatenate(hours).tobytes() == whole.tobytes()


def test_a_file_of_a_run_of_many_contracts_is_known_though_its_first_line_is_long(tmp_path):
    instruments = [lc.Instrument(f"N{n}USDT", venue="bybit", tick_size="0.01", lot_size="0.001") for n in range(600)]
    with Recorder(tmp_path / journal.FRAMES) as recorder:
        settings = values(instruments) | {"brackets": {}}
        assert len(json.dumps(settings)) > 1 << 16
        recorder.mark(T0, META, settings)
        recorder.append(
            T0 + MS,
            json.dumps(
                {
                    "topic": "publicTrade.N7USDT",
                    "type": "snapshot",
                    "ts": T0 // MS,
                    "data": [{"T": T0 // MS, "s": "N7USDT", "S": "Buy", "v": "0.5", "p": "58000.5", "L": "PlusTick", "i": "1", "BT": False}],
                }
            ).encode(),
        )
        recorder.mark(T0 + 2 * MS, END, {})
    (file,) = formats.files_of(tmp_path)
    with formats.read(file) as reading:
        assert [(symbol, len(rows)) for _, symbol, rows in reading] == [("N7USDT", 1)]


def test_chunks_are_of_one_contract_and_marks_of_the_feed_concern_all(run_folder):
    with formats.read(run_folder) as reading:
        parts = [(venue, symbol, part["instrument"]) for venue, symbol, part in reading]
    assert {symbol for _, symbol, _ in parts} == {*SYMBOLS, formats.ALL}
    assert {venue for venue, _, _ in parts} == {"bybit"}
    for _, symbol, instruments in parts:
        assert set(instruments.tolist()) == ({-1} if symbol == formats.ALL else {SYMBOLS.index(symbol)})


def s4(ts: int, stream: str, symbol: str, result: dict) -> str:
    return json.dumps({"ts": ts, "exchange": "bybit", "source": "ws", "stream": stream, "symbol": symbol, "result": result})


def test_s4_lines_give_several_liquidations_a_message_and_three_times(tmp_path):
    ms = T0 // MS
    path = write(
        tmp_path / "BTCUSDT_2024-08-05_00.jsonl.gz",
        s4(
            ms + 250,
            "liquidation",
            "BTCUSDT",
            {
                "ts": ms + 200,
                "data": [
                    {"T": ms + 10, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "58000.5"},
                    {"T": ms + 90, "s": "BTCUSDT", "S": "Sell", "v": "2", "p": "58100"},
                ],
            },
        ),
        s4(
            ms + 700,
            "tickers.ETHUSDT",
            "ETHUSDT",
            {
                "topic": "tickers.ETHUSDT",
                "type": "snapshot",
                "ts": ms + 600,
                "data": {"symbol": "ETHUSDT", "markPrice": "2400.5", "indexPrice": "2401", "openInterest": "1000", "fundingRate": "-0.0001"},
            },
        ),
        s4(
            ms + 900,
            "publicTrade.BTCUSDT",
            "BTCUSDT",
            {
                "topic": "publicTrade.BTCUSDT",
                "type": "snapshot",
                "ts": ms + 850,
                "data": [{"T": ms + 840, "s": "BTCUSDT", "S": "Sell", "v": "1", "p": "57999", "i": "x", "BT": False}],
            },
        ),
    )
    seen = []
    assert formats.sniff(path) == "recording"
    L, S, at = int(lc.Side.LONG), int(lc.Side.SHORT), T0
    assert tuples(events(path, seen)) == [
        (lc.Kind.LIQUIDATION, at + 10 * MS, at + 250 * MS, L, 58000.5, 0.5, 0, 0),
        (lc.Kind.LIQUIDATION, at + 90 * MS, at + 250 * MS, S, 58100, 2, 0, 0),
        (lc.Kind.TICKER, at + 600 * MS, at + 700 * MS, 0, 2400.5, 1000, 2401, -0.0001),
        (lc.Kind.TRADE, at + 840 * MS, at + 900 * MS, S, 57999, 1, 0, 0),
    ]
    assert seen[0].contracts == [("bybit", "BTCUSDT"), ("bybit", "ETHUSDT")] and seen[0].send_delay_ms == (1, 190.0, 190)
    assert seen[0].rules["bybit", "BTCUSDT"]["completeness"] == "FULL"


def test_a_deeper_book_gives_the_quotes_where_no_shallow_one_was_recorded(tmp_path):
    ms = T0 // MS

    def book(n, update, kind, bids, asks):
        return s4(
            ms + n + 5,
            "orderbook.50.X",
            "X",
            {
                "topic": "orderbook.50.X",
                "type": kind,
                "ts": ms + n,
                "cts": ms + n - 1,
                "data": {"s": "X", "b": bids, "a": asks, "u": update, "seq": update},
            },
        )

    path = write(
        tmp_path / "x.jsonl",
        book(0, 7, "delta", [["9", "1"]], []),
        book(10, 10, "snapshot", [["5", "1"], ["4", "2"]], [["6", "3"]]),
        book(20, 11, "delta", [["5", "0"]], [["7", "1"]]),
        book(30, 12, "delta", [["3", "1"]], []),  # 12: below the best
        book(40, 14, "delta", [["5.5", "9"]], []),
        book(50, 15, "delta", [["5.5", "8"]], []),  # 13 is missing
        book(60, 20, "snapshot", [["5", "1"]], [["6", "1"]]),
        book(70, 21, "delta", [["x", "1"]], []),
    )
    seen = []
    got = [((t[1] - T0) // MS, (t[2] - T0) // MS, *t[4:]) for t in tuples(events(path, seen))]
    assert got == [(9, 15, 5, 1, 6, 3), (19, 25, 4, 2, 6, 3), (59, 65, 5, 1, 6, 1)]
    assert seen[0].counts == {"frame not used: change of a book of which one before is missing": 3, "frame malformed: deeper book": 1}
    quote = s4(
        ms + 1,
        "orderbook.1.X",
        "X",
        {"topic": "orderbook.1.X", "type": "snapshot", "ts": ms, "data": {"s": "X", "b": [["5", "1"]], "a": [["6", "1"]], "u": 1}},
    )
    path = write(tmp_path / "y.jsonl", quote, book(10, 10, "snapshot", [["5.5", "1"]], [["6", "3"]]))
    assert len(events(path)) == 1


def test_frames_of_another_venue_are_refused(tmp_path):
    line = json.dumps({"ts": T0 // MS, "exchange": "ftx", "stream": "trades", "symbol": "X", "result": {"data": []}})
    with pytest.raises(DataError, match="1 x frame not used: the exchange ftx, which has no decoder here"):
        events(write(tmp_path / "x.jsonl", line))


def test_a_torn_member_is_counted_and_the_feed_is_down_in_its_place(tmp_path):
    ms = T0 // MS

    def line(n):
        return (
            s4(
                ms + n,
                "publicTrade.X",
                "X",
                {
                    "topic": "publicTrade.X",
                    "type": "snapshot",
                    "ts": ms + n,
                    "data": [{"T": ms + n, "s": "X", "S": "Sell", "v": "1", "p": "5", "i": str(n), "BT": False}],
                },
            )
            + "\n"
        ).encode()

    members = [gzip.compress(b"".join(line(100 * m + n) for n in range(20))) for m in range(3)]
    members[1] = members[1][: len(members[1]) // 2]
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(b"".join(members))
    seen = []
    found = events(path, seen)
    marks = found[found["kind"] == lc.Kind.FEED]
    assert marks["code"].tolist() == [lc.FeedState.FEED_DOWN, lc.FeedState.FEED_UP] and marks["instrument"].tolist() == [-1, -1]
    place = int(np.flatnonzero(found["kind"] == lc.Kind.FEED)[0])
    assert marks["ts_recv"].tolist() == [found["ts_recv"][place - 1] + 1, T0 + 200 * MS] and (found["kind"][place + 1] == lc.Kind.FEED)
    assert {100 * m + n for m in (0, 2) for n in range(20)} <= set(((found["ts_event"] - T0) // MS).tolist())
    assert any("damaged" in note or "cut" in note for note in seen[0].notes)


@needs_data
def test_the_stored_bybit_capture_is_read_with_its_times_of_receipt(tmp_path):
    lines = gzip.decompress(next((DATA / "market-bybit-v5-rawws-2026-08").glob("*.gz")).read_bytes()).decode().splitlines()
    # the capture holds two markets of one symbol one after the other; in order of receipt it is as a recorder would have written it
    frames = sorted((line for line in lines if '"t":"recv"' in line), key=lambda line: json.loads(line)["ts"])
    seen = []
    found = events(write(tmp_path / "x.jsonl.gz", *frames), seen)
    assert set(found["kind"].tolist()) == {lc.Kind.TRADE, lc.Kind.BBO, lc.Kind.TICKER}
    assert len(found) > 100 and seen[0].received == "recorded" and {("bybit", "BTCUSDT"), ("bybit", "SOLUSDT")} <= set(seen[0].contracts)
    delay = np.median(found["ts_recv"] - found["ts_event"]) / MS
    assert 50 < delay < 400  # the source measured a median of 108 ms
