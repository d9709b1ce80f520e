"""Recordings of Binance USD-M, OKX and Hyperliquid, of one venue and of several: read back, imported, detected."""

import json

import numpy as np
import orjson
import pytest

import liqcore as lc
from liqshell import formats
from liqshell.cli import main
from liqshell.errors import DataError
from liqshell.recording import reader as recording
from liqshell.recording.recorder import FEED, META, REST, Recorder, label
from liqshell.venues.adapters import adapter_of
from venue_frames import BINANCE, FRAMES, OKX, SYMBOLS, TS

SECOND = 10**9


def recorded(folder, venue, frames, **arguments):
    with Recorder(folder, exchange=venue, **arguments) as recorder:
        for n, frame in enumerate(frames):
            recorder.append(TS + n * SECOND, frame)
    return folder


def read(path, **options):
    """({(venue, symbol): rows}, the reading)."""
    out: dict = {}
    with formats.read(path, formats.Options(**options)) as reading:
        for venue, symbol, events in reading:
            out.setdefault((venue, symbol), []).extend(events.tolist())
    return out, reading


def expected(venue, frames, ts=lambda n: TS + n * SECOND):
    decoder, out = adapter_of(venue).decoder(SYMBOLS[venue]), {}
    for n, frame in enumerate(frames):
        for event in decoder.read(frame, ts(n)).events:
            out.setdefault((venue, SYMBOLS[venue][event[7]]), []).append(event)
    return out


def without_place(rows):
    return {key: [row[:7] + row[8:] for row in found] for key, found in rows.items()}


@pytest.mark.parametrize(
    ("venue", "frame", "names"),
    [
        ("binance_um", BINANCE["long"], ("forceOrder", "BTCUSDT")),
        ("binance_um", BINANCE["sold"], ("aggTrade", "1000PEPEUSDT")),
        ("binance_um", b'{"openInterest":"1","symbol":"BTCUSDT","time":1}', ("", "BTCUSDT")),
        ("binance_um", b'{"result":null,"id":1}', ("", "")),
        ("okx", OKX["long"], ("liquidation-orders", "BTC-USDT-SWAP")),
        ("okx", b"pong", ("", "")),
        ("okx", OKX["quote"], ("bbo-tbt", "BTC-USDT-SWAP")),
        ("hyperliquid", FRAMES["hyperliquid"]["sold"], ("trades", "kPEPE")),
        ("hyperliquid", b'{"channel":"liqcore.meta"}', ("", "")),
        ("bybit", b'{"topic":"tickers.BTCUSDT"}', ("tickers.BTCUSDT", "BTCUSDT")),
        ("bybit", b'{"topic":"liqcore.meta"}', ("", "")),
    ],
)
def test_lines_say_what_a_frame_is(venue, frame, names):
    assert tuple(map(bytes.decode, label(venue, frame))) == names


@pytest.mark.parametrize("venue", FRAMES)
def test_a_recording_is_read_like_the_frames_were(tmp_path, venue):
    frames = [*FRAMES[venue].values()]
    rows, reading = read(recorded(tmp_path / "run", venue, frames))
    assert without_place(rows) == without_place(expected(venue, frames))
    want = {"binance_um": "CENSORED"}.get(venue, "UNKNOWN")
    assert {rule["completeness"] for rule in reading.rules.values()} == {want} and reading.received == "recorded"


@pytest.mark.parametrize("venue", FRAMES)
def test_raw_frames_by_themselves_are_told_apart(tmp_path, venue):
    """Lines that are nothing but frames: the venue is seen in them, and the time of receipt is modelled."""
    frames = [frame for frame in FRAMES[venue].values() if b"activeAssetCtx" not in frame]  # which has no time at all
    frames.sort(key=lambda frame: expected(venue, [frame]).popitem()[1][0][0])
    (tmp_path / "raw.jsonl").write_bytes(b"".join(frame + b"\n" for frame in frames))
    assert formats.sniff(tmp_path / "raw.jsonl") == "recording"
    rows, reading = read(tmp_path / "raw.jsonl", feed_latency_ms=0)
    assert reading.received == "modelled"
    plain = {key: [row[0] for row in found] for key, found in expected(venue, frames).items()}
    assert {key: [row[0] for row in found] for key, found in rows.items()} == plain


def test_lines_of_somebody_else(tmp_path):
    """{ts, exchange, result}, as the research plan's collector wrote: a frame in `result` is not rebuilt as one of Bybit's."""
    lines = [
        {
            "ts": TS // 10**6,
            "exchange": "binance",
            "source": "ws",
            "stream": "!forceOrder@arr",
            "symbol": "BTCUSDT",
            "result": orjson.loads(BINANCE["long"]),
        },
        {"ts": TS // 10**6 + 1, "exchange": "okx", "source": "ws", "stream": "liquidation", "symbol": "", "result": orjson.loads(OKX["long"])},
    ]
    (tmp_path / "s4.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows, _ = read(tmp_path / "s4.jsonl")
    assert {key: [(row[9], row[2], row[3]) for row in found] for key, found in rows.items()} == {
        ("binance_um", "BTCUSDT"): [(lc.LONG, 82651.90, 0.190)],
        ("okx", "BTC-USDT-SWAP"): [(lc.LONG, 82655.7, 8.55)],
    }


def test_whole_markets_bring_contracts_that_nobody_named(tmp_path):
    """Every contract of a frame of liquidations is one of the reading; spot, options and coin-margined contracts are not."""
    entry = orjson.loads(OKX["long"])["data"][0]
    frame = orjson.loads(OKX["long"])
    frame["data"] = [entry | {"instId": name} for name in ("IOST-USDT-SWAP", "BTC-USDT-SWAP", "BTC-USDT", "BTC-USD-SWAP", "BTC-USD-261225-80000-C")]
    rows, reading = read(recorded(tmp_path / "run", "okx", [orjson.dumps(frame), OKX["bought"], orjson.dumps(frame)]))
    assert {key: len(found) for key, found in rows.items()} == {("okx", "IOST-USDT-SWAP"): 2, ("okx", "BTC-USDT-SWAP"): 3, ("okx", "BTC-USD-SWAP"): 2}
    assert rows["okx", "BTC-USD-SWAP"][0][4] == pytest.approx(855.0)  # 8.55 contracts of 100 dollars
    assert reading.counts["row not used: other contract"] == 4
    coin = BINANCE["long"].replace(b"BTCUSDT", b"BTCUSD_PERP").replace(b'"st":1', b'"st":2')
    rows, reading = read(recorded(tmp_path / "coin", "binance_um", [coin, BINANCE["short"]]))
    assert list(rows) == [("binance_um", "BTCUSDT")] and reading.counts["frame other: coin-margined"] == 1


def several(folder, feeds, frames):
    """A run of several venues: its settings, marks, and frames as (seconds, venue, frame, source)."""
    instruments = [lc.Instrument(symbol, venue=venue).as_dict() for venue, symbols in feeds.items() for symbol in symbols]
    told, first = [], 0
    for venue, symbols in feeds.items():
        told.append({"venue": venue, "first": first, "count": len(symbols), "gap_ns": 5 * SECOND, "watched": False})
        first += len(symbols)
    with Recorder(folder, exchange="bybit") as recorder:
        recorder.mark(TS, META, {"instruments": instruments, "feeds": told, "gap_ns": 5 * SECOND})
        for venue in feeds:
            recorder.mark(TS, FEED, {"state": 1, "ts_event": TS, "venue": venue})
        for seconds, venue, frame, *source in frames:
            recorder.append(TS + seconds * SECOND, frame, venue, *source)
    return folder


def test_a_run_of_several_venues(tmp_path):
    """Each frame goes to its venue's decoder, and the silence of one venue is a gap of its contracts only. The answer to a poll breaks no silence."""
    feeds = {"okx": ("BTC-USDT-SWAP",), "binance_um": ("1000PEPEUSDT", "BTCUSDT")}
    run = several(
        tmp_path / "run",
        feeds,
        [
            (1, "binance_um", BINANCE["quote"]),
            (2, "okx", OKX["long"]),
            (5, "binance_um", b'{"openInterest":"7","symbol":"BTCUSDT","time":1589437530011}', REST),
            (6, "okx", OKX["long"]),
            (9, "binance_um", BINANCE["ticker"]),
            (10, "okx", OKX["short"]),
        ],
    )
    rows, reading = read(run)
    assert reading.contracts == [("okx", "BTC-USDT-SWAP"), ("binance_um", "1000PEPEUSDT"), ("binance_um", "BTCUSDT")]
    kinds = {key: [(row[8], row[11]) for row in found] for key, found in rows.items()}
    feed, gap = (lc.Kind.FEED, 1), (lc.Kind.FEED, 3)
    assert kinds == {
        ("okx", "BTC-USDT-SWAP"): [feed, (1, 0), (1, 0), (1, 0)],
        ("binance_um", "1000PEPEUSDT"): [feed, gap],
        ("binance_um", "BTCUSDT"): [feed, (3, 0), (4, 0), gap, (4, 0)],
    }
    assert rows["binance_um", "BTCUSDT"][-1][2:6] == (82794.15, 0.0, 82784.62, -0.00038167)  # a mark says nothing of open interest


def test_detect_over_several_venues(tmp_path, capsys):
    rng = np.random.default_rng(5)
    with Recorder(tmp_path / "run") as recorder:
        for n in range(300):
            ts = TS + n * SECOND
            burst = n > 280
            qty = f"{rng.uniform(1, 2) * (50 if burst else 1):.3f}"
            recorder.append(ts, BINANCE["long"].replace(b'"z":"0.190"', f'"z":"{qty}"'.encode()), "binance_um")
            recorder.append(ts, OKX["short"].replace(b'"sz":"13"', f'"sz":"{qty}"'.encode()), "okx")
    assert main(["detect", str(tmp_path / "run")]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    active = {(one["venue"], one["instrument"], one["side"], one["completeness"]) for one in found if one["phase"] == "ACTIVE"}
    assert active == {("binance_um", "BTCUSDT", "long", "censored"), ("okx", "BTC-USDT-SWAP", "short", "unknown")}


def test_import_of_several_venues(tmp_path, capsys):
    with Recorder(tmp_path / "run") as recorder:
        for n in range(50):
            for venue, frames in FRAMES.items():
                for frame in frames.values():
                    recorder.append(TS + n * SECOND, frame, venue)
    assert main(["import", str(tmp_path / "run"), "--store", str(tmp_path / "store"), "--quiet"]) == 0
    out = capsys.readouterr()
    assert "imported 1 files" in out.out and "multiplier" in out.err
    from liqshell.store.load import Store

    assert {("binance_um", "BTCUSDT"), ("okx", "BTC-USDT-SWAP"), ("hyperliquid", "BTC")} <= {
        (one.venue, one.symbol) for one in Store(tmp_path / "store").contracts
    }


def test_frames_of_a_venue_that_the_run_did_not_have(tmp_path):
    run = several(tmp_path / "run", {"okx": ("BTC-USDT-SWAP",), "binance_um": ("BTCUSDT",)}, [(1, "hyperliquid", FRAMES["hyperliquid"]["bought"])])
    with pytest.raises(DataError, match="a frame of 'hyperliquid'; expected frames of okx, binance_um"):
        read(run)
    (tmp_path / "x.jsonl").write_text('{"ts":1,"exchange":"ftx","stream":"x","symbol":"X","result":{"a":1}}\n')
    with pytest.raises(DataError, match="the exchange ftx, which has no decoder here"):
        read(tmp_path / "x.jsonl")
    assert next(iter(recording.read(tmp_path / "x.jsonl"))).exchange == "ftx"
