"""Captures of collectors: several connections, the market that an address names, hours that are missing, pages of REST answers."""

import gzip
import json

import numpy as np
import pytest

import liqcore as lc
from captures import DATA, needs_data
from format_files import MS, T0, events, write
from liqshell import formats, store
from liqshell.backtest.trial_log import Market, TrialLog, Trials
from liqshell.cli import main
from liqshell.errors import DataError
from liqshell.report import make_report
from run_folder import make_run

LINEAR, SPOT, OPTION = (f"wss://stream.bybit.com/v5/public/{name}" for name in ("linear", "spot", "option"))


def trade(ms: int, symbol: str = "ETHUSDT", price: str = "2400.5", size: str = "1", side: str = "Sell") -> str:
    return json.dumps(
        {
            "topic": f"publicTrade.{symbol}",
            "type": "snapshot",
            "ts": ms,
            "data": [{"T": ms, "s": symbol, "S": side, "v": size, "p": price, "L": "PlusTick", "i": f"id{ms}", "BT": False}],
        }
    )


def connect(conn: str, address: str) -> str:
    return json.dumps({"t": "connect", "conn": conn, "ts": T0 / 1e9, "addr": address})


def recv(conn: str, ms: int, frame: str) -> str:
    return json.dumps({"t": "recv", "conn": conn, "ts": ms / 1e3, "data": frame})


def by_contract(path, **options) -> dict:
    with formats.read(path, formats.Options(**options)) as reading:
        out: dict = {}
        for venue, symbol, part in reading:
            out.setdefault((venue, symbol), []).append(part)
    return {name: np.concatenate(parts) for name, parts in out.items()}


# ---- markets


def test_spot_and_linear_of_one_name_are_two_contracts_and_options_are_counted(tmp_path):
    """Issue: 32 trades = 23 + 9 spot became one contract. The address of each connection says whose they are."""
    ms = T0 // MS
    lines = [connect("BYBIT.ws.1", LINEAR), connect("BYBIT.ws.2", SPOT), connect("BYBIT.ws.3", OPTION)]
    lines += [recv("BYBIT.ws.1", ms + 10 * n, trade(ms + 10 * n)) for n in range(23)]
    lines += [recv("BYBIT.ws.2", ms + 10 * n + 5, trade(ms + 10 * n, price="2401")) for n in range(9)]
    lines += [recv("BYBIT.ws.3", ms + 500, trade(ms + 500, "ETH-26DEC26-3000-C"))]
    seen: list = []
    found = by_contract(write(tmp_path / "x.jsonl", *lines))
    assert {name: len(rows) for name, rows in found.items()} == {("bybit", "ETHUSDT"): 23, ("bybit_spot", "ETHUSDT"): 9}
    assert set(found["bybit_spot", "ETHUSDT"]["price"]) == {2401.0}
    events(tmp_path / "x.jsonl", seen)
    assert seen[0].counts["frame not used: Bybit's options"] == 1
    assert seen[0].rules["bybit", "ETHUSDT"]["completeness"] == "FULL" and seen[0].rules["bybit_spot", "ETHUSDT"]["completeness"] == "UNKNOWN"


def test_connections_one_behind_the_other_are_merged_by_receipt(tmp_path):
    """One connection's minute stands behind that of another, as cryptofeed 3 writes it: the contract's rows come in order of receipt."""
    ms = T0 // MS
    lines = [connect("BYBIT.ws.1", LINEAR)] + [recv("BYBIT.ws.1", ms + 1000 * n, trade(ms + 1000 * n)) for n in range(60)]
    lines += [connect("BYBIT.ws.2", LINEAR)] + [recv("BYBIT.ws.2", ms + 1000 * n + 500, trade(ms + 1000 * n, price="2399")) for n in range(60)]
    found = events(write(tmp_path / "x.jsonl.gz", *lines))
    assert found["price"].tolist() == [2400.5, 2399.0] * 60 and (np.diff(found["ts_recv"]) == 500 * MS).all()


def spot_trade(ms: int, price: str = "2401") -> str:
    """As the spot market sends it: the id is a number, and there is no tick direction."""
    return json.dumps(
        {
            "topic": "publicTrade.ETHUSDT",
            "ts": ms,
            "type": "snapshot",
            "data": [
                {
                    "i": str(2_290_000_001_189_048_101 + ms),
                    "T": ms,
                    "p": price,
                    "v": "1",
                    "S": "Buy",
                    "seq": ms,
                    "s": "ETHUSDT",
                    "BT": False,
                    "RPI": False,
                }
            ],
        }
    )


def book(ms: int, bid: str) -> str:
    return json.dumps(
        {
            "topic": "orderbook.1.ETHUSDT",
            "type": "snapshot",
            "ts": ms,
            "cts": ms,
            "data": {"s": "ETHUSDT", "b": [[bid, "1"]], "a": [[f"{bid}5", "2"]], "u": ms, "seq": ms},
        }
    )


def collected(*frames: str) -> list[str]:
    """Lines as hftbacktest's collector writes them: one connection a file, and no address."""
    return [f"{T0 + n * MS} {frame}" for n, frame in enumerate(frames)]


@pytest.mark.parametrize(
    ("frames", "venue"),
    [
        ((spot_trade, spot_trade), "bybit_spot"),
        ((trade, trade), "bybit"),
        ((lambda t: book(t, "2400.0"), spot_trade), "bybit_spot"),
        ((lambda t: book(t, "2400.0"), trade), "bybit"),
    ],
    ids=["spot", "contract", "spot with books", "contract with books"],
)
def test_a_collectors_file_says_by_its_trades_of_which_market_it_is(tmp_path, frames, venue):
    ms = T0 // MS
    found = by_contract(write(tmp_path / "x.gz", *collected(*(one(ms + n) for n, one in enumerate(frames * 3)))))
    assert {name: len(rows) for name, rows in found.items()} == {(venue, "ETHUSDT"): 6}
    assert by_contract(tmp_path / "x.gz", venue="bybit" if venue == "bybit_spot" else "bybit_spot").keys() == found.keys(), (
        "what the file says counts"
    )


def test_a_collectors_file_that_does_not_say_its_market_is_asked_for(tmp_path):
    ms = T0 // MS
    path = write(tmp_path / "x.gz", *collected(QUOTE, *(book(ms + n, "2400.0") for n in range(4))))
    with pytest.raises(
        DataError,
        match=r"x\.gz:2: orderbook\.1\.ETHUSDT, and no line shows whether it is of Bybit's spot market or of a contract.*"
        "`--venue bybit` \\(contracts\\) or `--venue bybit_spot`",
    ):
        by_contract(path)
    for venue in ("bybit", "bybit_spot"):
        assert len(by_contract(path, venue=venue)[venue, "ETHUSDT"]) == 4
    with pytest.raises(DataError, match="frames of two markets: line 1 is of contracts and line 2 is of spot"):
        by_contract(write(tmp_path / "y.gz", *collected(trade(ms), spot_trade(ms))))


QUOTE = '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5,"E":1722816000000,"T":1722816000000,"s":"BTCUSDT","b":"5","B":"1","a":"6","A":"1"}}'


def test_frames_of_an_exchange_without_a_decoder_are_refused_by_its_name(tmp_path):
    """However they are ordered: a time that goes back is not what is wrong with them."""
    lines = [
        {"time": 1_631_824_310 - n, "channel": "futures.trades", "event": "update", "result": [{"size": -19, "price": "53560.5"}]} for n in range(9)
    ]
    with pytest.raises(DataError, match=r"9 x frame not used: the exchange gate\.io, which has no decoder here"):
        events(write(tmp_path / "gate.jsonl", *map(json.dumps, lines), '{"method": "trades.update"}'))


def test_files_of_a_run_that_are_no_market_data_are_refused_by_what_they_are(tmp_path):
    folder = make_run(tmp_path / "run", hours=0.05)
    make_report(folder)
    TrialLog(folder / "trials.jsonl").add(Trials("sweep", Market("d", "s", ("X",), 0, 1), np.arange(3, dtype=np.uint64), 3))
    named = {
        "run.json": "the settings of a run",
        "audit.bin": "the audit of a run",
        "report.json": "the report of a run",
        "report.html": "the report of a run",
        "trades.csv": "the positions of a run",
        "trials.jsonl": "the trial log",
    }
    for name, what in named.items():
        with pytest.raises(DataError, match=rf"{name}: {what}, an output of liqcore; expected market data\. The recording is in the folder frames"):
            events(folder / name)
        (tmp_path / name).write_text("ts,price\n")  # of another program: judged by what is in it
        if not name.endswith(".bin"):
            with pytest.raises(DataError, match="no known format"):
                events(tmp_path / name)
    assert len(events(folder / "frames"))


@pytest.mark.parametrize("order", ["sorted", "behind"])
def test_without_addresses_the_frames_say_which_market_a_connection_is_of(tmp_path, order):
    """Issue: with the connect lines missing, spot and linear became one contract. The books of a connection go with its trades."""
    ms = T0 // MS
    linear = [(ms + 10 * n, recv("BYBIT.ws.1", ms + 10 * n, frame(ms + 10 * n))) for n, frame in enumerate([trade, lambda t: book(t, "2400.0")] * 10)]
    spot = [
        (ms + 10 * n + 5, recv("BYBIT.ws.2", ms + 10 * n + 5, frame(ms + 10 * n + 5)))
        for n, frame in enumerate([lambda t: book(t, "2401.0"), spot_trade] * 5)
    ]
    lines = linear + spot if order == "behind" else sorted(linear + spot)
    found = by_contract(write(tmp_path / "x.jsonl", *(line for _, line in lines)))
    assert {name: len(rows) for name, rows in found.items()} == {("bybit", "ETHUSDT"): 20, ("bybit_spot", "ETHUSDT"): 10}
    assert set(found["bybit_spot", "ETHUSDT"]["price"]) == {2401.0} and set(found["bybit", "ETHUSDT"]["price"]) == {2400.5, 2400.0}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            [("BYBIT.ws.1", trade), ("BYBIT.ws.1", lambda t: book(t, "1.0")), ("BYBIT.ws.2", lambda t: book(t, "2.0"))],
            r"x\.jsonl: orderbook\.1\.ETHUSDT is in the connections BYBIT\.ws\.1 \(line 2\), BYBIT\.ws\.2 \(line 3\), and no line shows the market of BYBIT\.ws\.2",
        ),
        (
            [("BYBIT.ws.1", trade), ("BYBIT.ws.1", spot_trade)],
            r"x\.jsonl: connection BYBIT\.ws\.1 without an address has frames of two markets: line 1 is of contracts and line 2 is of spot",
        ),
    ],
)
def test_connections_that_nothing_tells_apart_are_refused_by_name(tmp_path, lines, says):
    ms = T0 // MS
    path = write(tmp_path / "x.jsonl", *(recv(conn, ms + n, frame(ms + n)) for n, (conn, frame) in enumerate(lines)))
    with pytest.raises(DataError, match=says) as why:
        events(path)
    assert '"t": "connect"' in str(why.value)
    if "BYBIT.ws.2" in says.replace("\\", ""):
        write(path, connect("BYBIT.ws.2", SPOT), connect("BYBIT.ws.1", LINEAR), *path.read_text().splitlines())
        assert {name: len(rows) for name, rows in by_contract(path).items()} == {("bybit", "ETHUSDT"): 2, ("bybit_spot", "ETHUSDT"): 1}


def test_a_capture_packed_with_zstandard_and_one_that_is_torn(tmp_path):
    """As cryptofeed 3 packs it."""
    pa = pytest.importorskip("pyarrow")
    ms = T0 // MS
    lines = (
        "\n".join([connect("BYBIT.ws.1", SPOT), *(recv("BYBIT.ws.1", ms + n, trade(ms + n, price=f"{2400 + n % 97}.{n % 10}")) for n in range(3000))])
        + "\n"
    )
    path = tmp_path / "BYBIT.jsonl.zst"
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(lines.encode())
    assert {name: len(rows) for name, rows in by_contract(path).items()} == {("bybit_spot", "ETHUSDT"): 3000}
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        with formats.read(path) as reading:
            count = sum(len(part) for _, _, part in reading)
        assert count < 3000 and any("frame is cut" in note for note in reading.notes)
    except DataError as why:
        assert "BYBIT.jsonl.zst" in str(why)


def test_a_last_line_that_is_cut_is_said_with_what_it_lost(tmp_path, capsys):
    """Issue: "0 bytes and 1 lines dropped", where 40 bytes of one line were."""
    ms = T0 // MS
    whole = [connect("BYBIT.ws.1", LINEAR), *(recv("BYBIT.ws.1", ms + n, trade(ms + n)) for n in range(3))]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(whole) + "\n" + whole[-1][:40])
    seen: list = []
    assert len(events(path, seen)) == 3
    assert "x.jsonl: the last line is cut: 40 bytes and 1 line dropped" in seen[0].notes
    assert main(["detect", str(path)]) in (0, None)
    assert f"damaged: {path}: the last line is cut: 40 bytes and 1 line dropped" in capsys.readouterr().err
    path.write_text("\n".join([*whole, "{", whole[-1]]) + "\n")
    seen.clear()
    events(path, seen)
    assert any(note.startswith("x.jsonl: line 5 cannot be read: ") and note.endswith(": 1 line dropped") for note in seen[0].notes)


@pytest.mark.parametrize(
    "line",
    [
        collected,
        lambda *frames: [f"172281600{n}.5: {one}" for n, one in enumerate(frames)],
        lambda *frames: [recv("BYBIT.ws.1", T0 // MS + n, one) for n, one in enumerate(frames)],
    ],
    ids=["hftbacktest's collector", "cryptofeed 2", "cryptofeed 3"],
)
def test_a_last_line_may_lack_its_newline_whatever_stands_in_front_of_the_frame(tmp_path, line):
    ms, path, seen = T0 // MS, tmp_path / "BYBIT.ws.1.0", []
    lines = [f"{LINEAR} <-> 1722815999.0"] * (line(*"a")[0][:1] == "1" and line is not collected) + line(*(trade(ms + n) for n in range(4)))
    for end, count, damaged in (("\n", 4, False), ("", 4, False), (None, 3, True)):
        text = "\n".join(lines)
        path.write_text(text[:-9] if end is None else text + end)
        seen.clear()
        assert len(events(path, seen, venue="bybit")) == count
        assert any("the last line is cut" in note for note in seen[0].notes) == damaged


def test_one_connection_that_goes_back_is_still_refused(tmp_path):
    ms = T0 // MS
    lines = [connect("BYBIT.ws.1", LINEAR), recv("BYBIT.ws.1", ms + 60_000, trade(ms)), recv("BYBIT.ws.1", ms, trade(ms))]
    with pytest.raises(DataError, match=r"x\.jsonl:3: the time goes back by 60\.000 s"):
        events(write(tmp_path / "x.jsonl", *lines))


def test_the_older_lines_of_cryptofeed(tmp_path):
    """Received lines have their time of receipt to the digit; the address of the connection stands above them, or in each."""
    lines = [
        f"{SPOT} <-> 1722816000.5",
        f"{SPOT} <- 1722816000.6: " + '{"op":"subscribe"}',
        f"1722816001.123456: {trade(1722816001000)}",
        f"{LINEAR} <-> 1722816002.0",
        f"1722816002.25: {trade(1722816002000)}",
        f"{LINEAR} -> 1722816003.5: {trade(1722816003000)}",
    ]
    found = by_contract(write(tmp_path / "BYBIT.ws.1.0.gz", *lines))
    assert formats.sniff(tmp_path / "BYBIT.ws.1.0.gz") == "recording"
    assert {name: rows["ts_recv"].tolist() for name, rows in found.items()} == {
        ("bybit_spot", "ETHUSDT"): [1_722_816_001_123_456_000],
        ("bybit", "ETHUSDT"): [1_722_816_002_250_000_000, 1_722_816_003_500_000_000],
    }


@pytest.mark.parametrize(
    ("frame", "contract", "notional"),
    [
        (
            '{"e":"forceOrder","E":1722816000001,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"2","p":"58000","ap":"58100","X":"FILLED","l":"2","z":"2","T":1722816000000}}',
            ("binance_um", "BTCUSDT"),
            0.0,
        ),
        (
            '{"e":"forceOrder","E":1722816000001,"o":{"s":"BTCUSD_PERP","ps":"BTCUSD","S":"SELL","o":"LIMIT","f":"IOC","q":"2","p":"58000","ap":"58100","X":"FILLED","l":"2","z":"2",'
            '"T":1722816000000}}',
            ("binance_cm", "BTCUSD_PERP"),
            200.0,
        ),
        (
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1722816000001,"s":"BTCUSDT","t":7,"p":"58100","q":"2","T":1722816000000,"m":true,"M":true}}',
            ("binance", "BTCUSDT"),
            0.0,
        ),
    ],
)
def test_markets_of_binance_are_told_by_the_frame_where_no_address_is(tmp_path, frame, contract, notional):
    """hftbacktest's collector: the time of receipt in ns, and the frame. A contract of BTCUSD_PERP is worth 100 USD."""
    found = by_contract(write(tmp_path / "x.gz", f"1722816000123456789 {frame}"))
    assert list(found) == [contract]
    (row,) = found[contract]
    assert (row["ts_recv"], row["ts_event"], row["price"], row["qty"]) == (1_722_816_000_123_456_789, 1_722_816_000_000_000_000, 58100.0, 2.0)
    if row["kind"] == lc.Kind.LIQUIDATION:
        assert row["side"] == lc.Side.LONG and row["aux_price"] == notional


def test_a_page_of_a_rest_answer_of_one_row_and_of_several(tmp_path):
    row = {"execId": "a", "symbol": "ETHUSDT", "price": "2400.5", "size": "3", "side": "Buy", "time": "1722816000000", "isBlockTrade": False}
    rows = [row | {"time": "1722816001000", "side": "Sell"}, row]
    for category, venue in (("linear", "bybit"), ("spot", "bybit_spot")):
        for some in ([row], rows):
            (tmp_path / "x.json").write_text(json.dumps({"retCode": 0, "retMsg": "OK", "result": {"category": category, "list": some}}, indent=1))
            found = by_contract(tmp_path / "x.json", feed_latency_ms=0)
            assert list(found) == [(venue, "ETHUSDT")]
            expected = [(1_722_816_000_000_000_000, lc.Side.LONG, 3.0), (1_722_816_001_000_000_000, lc.Side.SHORT, 3.0)][: len(some)]
            assert [(e["ts_event"], e["side"], e["qty"]) for e in found[venue, "ETHUSDT"]] == expected
    okx = {
        "code": "0",
        "msg": "",
        "data": [
            {
                "instType": "SWAP",
                "instId": "BTC-USDT-SWAP",
                "uly": "BTC-USDT",
                "instFamily": "BTC-USDT",
                "details": [{"side": "sell", "posSide": "long", "bkPx": "58000", "sz": "13", "bkLoss": "0", "ccy": "", "ts": "1722816000000"}],
            }
        ],
    }
    found = by_contract(write(tmp_path / "okx.jsonl", json.dumps(okx)))
    assert [(e["kind"], e["side"], e["price"], e["qty"]) for e in found["okx", "BTC-USDT-SWAP"]] == [
        (lc.Kind.LIQUIDATION, lc.Side.LONG, 58000.0, 13.0)
    ]
    own = {"retCode": 0, "result": {"category": "linear", "list": [row | {"orderId": "1"}]}}
    with pytest.raises(DataError, match="an object with the keys 'retCode', 'result'"):
        events(write(tmp_path / "own.jsonl", json.dumps(own)))


# ---- hours that are missing


def hour(folder, name: str, seconds: list[int], *symbols: str) -> None:
    lines = [
        json.dumps(
            {
                "ts": T0 // MS + s * 1000,
                "exchange": "bybit",
                "source": "ws",
                "stream": f"publicTrade.{symbol}",
                "symbol": symbol,
                "result": json.loads(trade(T0 // MS + s * 1000, symbol)),
            }
        )
        for s in seconds
        for symbol in symbols
    ]
    write(folder / f"{name}.jsonl.gz", *lines)


def gaps(found) -> list[tuple[int, int]]:
    """(from, to) in s after T0 of each span in which the feed is down."""
    marks = found[found["kind"] == lc.Kind.FEED]
    down, up = marks[::2], marks[1::2]
    assert (down["code"] == int(lc.FeedState.FEED_DOWN)).all() and (up["code"] == int(lc.FeedState.FEED_UP)).all()
    assert (down["instrument"] == up["instrument"]).all()
    return list(zip((down["ts_recv"] - T0) // 10**9, (up["ts_recv"] - T0) // 10**9, strict=True))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_missing_hour_of_somebody_elses_recording_is_a_gap_of_its_contracts(tmp_path, jobs):
    """Hour 2 is missing for both, hour 1 for ETHUSDT alone, which is in a recording of its own."""
    folder = tmp_path / "in"
    for n, seconds in ((0, [0, 3599]), (1, [3600, 7199]), (3, [10_900, 10_950])):
        hour(folder, f"BTC_2024-08-05_{n:02}", seconds, "BTCUSDT")
    for n, seconds in ((0, [5]), (2, [7300]), (3, [10_900])):
        hour(folder, f"ETH_2024-08-05_{n:02}", seconds, "ETHUSDT")
    outcome = store.fill(tmp_path / "s", sorted(folder.iterdir()), jobs=jobs)
    assert not outcome.broken
    at = store.open(tmp_path / "s")
    assert gaps(at.tape("bybit:BTCUSDT", missing="gap").events()) == [(7199, 10_900)]
    assert gaps(at.tape("bybit:ETHUSDT", missing="gap").events()) == [(5, 7300)]


def test_a_missing_hour_is_the_same_gap_however_the_files_are_read(tmp_path):
    for n, seconds in ((0, [0, 3599]), (1, [3600]), (4, [14_400, 14_401])):
        hour(tmp_path, f"2024-08-05_{n:02}", seconds, "BTCUSDT", "ETHUSDT")
    files = sorted(tmp_path.iterdir())
    alone = np.concatenate([np.concatenate(list(formats.read(file).ordered())) for file in files])
    before, chained = None, []
    for file in files:
        with formats.read(file, before=before) as reading:
            chained.append(np.concatenate(list(reading.ordered())))
        before = reading.carried
    folder = np.concatenate(list(formats.read(tmp_path).ordered()))
    order = ["ts_recv", "instrument", "kind"]
    for rows in (alone, np.concatenate(chained), folder):
        for n in range(2):
            assert gaps(rows[rows["instrument"] == n]) == [(3600, 14_400)]
    assert np.sort(alone, order=order).tobytes() == np.sort(np.concatenate(chained), order=order).tobytes() == np.sort(folder, order=order).tobytes()


def test_hours_in_a_row_leave_no_gap(tmp_path):
    for n in range(3):
        hour(tmp_path, f"2024-08-05_{n:02}", [3600 * n + 1], "BTCUSDT")
    assert not any(gaps(events(file)) for file in sorted(tmp_path.iterdir()))


# ---- the real ones


@needs_data
def test_the_capture_of_bybit_keeps_its_two_markets_apart():
    """Counted in the file, frame by frame: trades of each connection, whose addresses stand in it."""
    path = next((DATA / "market-bybit-v5-rawws-2026-08").glob("*.gz"))
    counts: dict = {}
    for line in gzip.decompress(path.read_bytes()).splitlines():
        line = json.loads(line)
        if line["t"] == "recv" and '"publicTrade.' in line["data"]:
            for row in json.loads(line["data"])["data"]:
                name = ({"BYBIT.ws.2": "bybit", "BYBIT.ws.3": "bybit_spot"}[line["conn"]], row["s"])
                counts[name] = counts.get(name, 0) + 1
    found = by_contract(path)
    assert {name: int((rows["kind"] == lc.Kind.TRADE).sum()) for name, rows in found.items()} == counts and ("bybit_spot", "BTCUSDT") in counts
    for rows in found.values():
        assert (np.diff(rows["ts_recv"]) >= 0).all() and (rows["kind"] == lc.Kind.BBO).sum() > 50


def test_detect_counts_the_frames_of_other_markets(tmp_path, capsys):
    """A raw recording of Binance's whole market holds coin-margined contracts too: the detector goes on beside them."""
    lines = [
        f'{{"e":"forceOrder","E":{T0 // MS + 1 + n},"o":{{"s":"{("BTCUSDT", "BTCUSD_PERP")[n % 2]}","S":"SELL","o":"LIMIT","f":"IOC","q":"2",'
        f'"p":"58000","ap":"58100","X":"FILLED","l":"2","z":"2","T":{T0 // MS + n}}}}}'
        for n in range(6)
    ]
    assert main(["detect", str(write(tmp_path / "x.jsonl", *lines))]) == 0
    assert "frames without events: 3: of binance_cm" in capsys.readouterr().err


# ---- stores


def test_a_missing_file_makes_no_store(tmp_path, capsys):
    assert main(["import", str(tmp_path / "absent.csv"), "--store", str(tmp_path / "s"), "--quiet"]) == 2
    assert not (tmp_path / "s").exists() and "absent.csv: no such file or folder" in capsys.readouterr().err
    hour(tmp_path, "2024-08-05_00", [1, 2], "BTCUSDT")
    assert main(["import", str(tmp_path / "absent.csv"), str(tmp_path / "2024-08-05_00.jsonl.gz"), "--store", str(tmp_path / "s"), "--quiet"]) == 1
    assert store.open(tmp_path / "s").contract("BTCUSDT")  # what is there is taken, and the rest is named


def table(path, rows):
    return write(path, "ts_ms,venue,symbol,position,price,qty_base,notional_usd", *rows)


def test_lots_and_ticks_are_inferred_from_liquidations_too(tmp_path):
    """Trades in lots of 0.1 and one liquidation of 0.005: the lot is no coarser than it. Five trades at whole prices say little of the tick."""
    ms = T0 // MS
    few = [
        json.dumps(
            {
                "topic": "publicTrade.X",
                "type": "snapshot",
                "ts": ms + n,
                "data": [{"T": ms + n, "s": "X", "S": "Buy", "v": f"{0.1 * (n + 1):.1f}", "p": f"{100 + n}", "i": f"{n}", "BT": False}],
            }
        )
        for n in range(5)
    ]
    forced = [f"{ms + n},bybit,X,long,{100 + n % 7 + 0.25},{0.005 * (n % 9 + 1):.3f},0" for n in range(300)]
    store.fill(tmp_path / "s", [write(tmp_path / "t.jsonl", *few), table(tmp_path / "l.csv", forced)])
    contract = store.open(tmp_path / "s").contract("X")
    found = contract.rules.instrument
    assert (float(found.lot_size), float(found.tick_size)) == (0.005, 0.25)
