"""The data report, the commands, and the files of others on their way into a store."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from captures import DATA, needs_data
import liqcore as lc
from liqshell import cli, store
from liqshell.parity import read_events
from liqshell.store import importer, page, quality
from recorded_run import record_run
from store_files import DAY, HOUR, SECOND, T0, market, opener, save

from liqcore.event import EVENT_DTYPE, FeedState, Kind

MINUTE = 60 * SECOND


def report_of(root: Path, **contracts: np.ndarray) -> dict:
    file = save(root.with_suffix(".npz"), {f"bybit~{name}": events for name, events in contracts.items()})
    importer.run(root, [file], opener)
    return quality.data_report(store.open(root))


def pressed(count: int, swapped: bool = False) -> np.ndarray:
    """A market in which the price falls 0.5 before every liquidation of longs and rises before every one of shorts."""
    rows = []
    price = 1000.0
    for n in range(count):
        side = 1 if n % 3 else -1
        rows.append((T0 + (n + 1) * MINUTE - 5 * SECOND, Kind.TRADE, price, 1))
        for step in range(5):
            rows.append((T0 + (n + 1) * MINUTE + step * SECOND, Kind.TRADE, price, 1))
            price -= side * 0.1
        rows.append((T0 + (n + 1) * MINUTE + 5 * SECOND, Kind.LIQUIDATION, price, -side if swapped else side))
        price = 1000.0
    out = np.zeros(len(rows), EVENT_DTYPE)
    out["ts_recv"], out["kind"], out["price"], out["side"] = (np.array(column) for column in zip(*rows, strict=True))
    out["ts_event"], out["qty"] = out["ts_recv"], 1.0
    out["price"] = np.round(out["price"], 1)
    return out


def test_coverage_and_gaps_are_those_of_the_record(tmp_path):
    """Checked against a walk over every second of the day."""
    events = market(40_000, 3, span=DAY)
    ts = events["ts_recv"] - T0
    lost = [(2 * HOUR + 10 * MINUTE, 3 * HOUR + 20 * MINUTE), (20 * HOUR, 20 * HOUR + 2 * MINUTE)]
    keep = (ts >= HOUR // 2) & (ts < 23 * HOUR)
    for a, b in lost:
        keep &= (ts < a) | (ts >= b)
    contract = report_of(tmp_path / "s", ETHUSDT=events[keep])["contracts"][0]
    dense = np.sort(events["ts_recv"][keep & (events["kind"] != Kind.LIQUIDATION)] - T0)
    silent = [(int(a), int(b)) for a, b in zip([0, *dense], [*dense, DAY], strict=True) if b - a >= MINUTE]
    for hour, found in enumerate(contract["hours"]["2026-02-09"]):
        dark = sum(max(0, min(b, (hour + 1) * HOUR) - max(a, hour * HOUR)) for a, b in silent)
        assert found["covered"] == pytest.approx(1 - dark / HOUR, abs=1e-4)
        for kind, name in ((Kind.TRADE, "trades"), (Kind.LIQUIDATION, "liquidations")):
            inside = keep & (events["kind"] == kind) & (ts >= hour * HOUR) & (ts < (hour + 1) * HOUR)
            assert found.get(name, 0) == inside.sum()
    assert [gap["what"] for gap in contract["gaps"]] == ["silence of every kind"]          # two minutes are not listed, the ends are no gaps
    assert contract["gaps"][0]["to"] - contract["gaps"][0]["from"] == pytest.approx(70 * MINUTE, abs=10 * SECOND)
    assert contract["covered_hours"] == pytest.approx(22.5 - 72 / 60, abs=0.05)


def test_feed_marks_are_gaps(tmp_path):
    marks = np.zeros(3, EVENT_DTYPE)
    marks["kind"] = Kind.FEED
    marks["ts_event"] = marks["ts_recv"] = [T0 + HOUR, T0 + HOUR + 30 * SECOND, T0 + 2 * HOUR]
    marks["ts_event"][2] -= 25 * SECOND                # silent since
    marks["code"] = [FeedState.FEED_DOWN, FeedState.FEED_UP, FeedState.FEED_GAP]
    contract = report_of(tmp_path / "s", ETHUSDT=market(9000), _all=marks)["contracts"][0]
    found = [(g["from"], g["to"]) for g in contract["gaps"] if g["what"] == "feed down or rows lost, all contracts"]
    assert found == [(T0 + HOUR, T0 + HOUR + 30 * SECOND), (T0 + 2 * HOUR - 25 * SECOND, T0 + 2 * HOUR)]
    assert contract["hours"]["2026-02-09"][1]["covered"] <= 1 - 55 / 3600 + 1e-4


@pytest.mark.parametrize(("swapped", "verdict"), [(False, "agrees"), (True, "SWAPPED?")])
def test_a_swapped_side_map_is_seen(tmp_path, swapped, verdict):
    report = report_of(tmp_path / "s", ETHUSDT=pressed(60, swapped))
    side = report["contracts"][0]["side"]
    assert side["verdict"] == verdict and side["compared"] == 60 and side["with"] == "trade price in the 10 s before"
    assert ("SIDES LOOK SWAPPED" in page.html(report)) is swapped
    only = pressed(300, swapped)
    only = only[only["kind"] == Kind.LIQUIDATION]
    only["ts_recv"] = T0 + np.arange(300) // 6 * MINUTE + np.arange(300) % 6 * SECOND     # clusters of six, prices as they move
    only["side"] = np.where(np.arange(300) // 6 % 2, 1, -1) * (-1 if swapped else 1)
    only["price"] = 1000 - np.where(np.arange(300) // 6 % 2, 1, -1) * (np.arange(300) % 6)
    alone = report_of(tmp_path / "o", SOLUSDT=only)["contracts"][0]["side"]
    assert (alone["verdict"], alone["compared"], alone["with"]) == (verdict, 50, "price within clusters of one side")


def test_a_throttle_is_measured(tmp_path):
    events = market(300)
    events["kind"], events["side"] = Kind.LIQUIDATION, 1
    events["ts_recv"] = events["ts_event"] = T0 + np.arange(300) * 2 * SECOND
    importer.run(tmp_path / "s", [save(tmp_path / "a.npz", {"somewhere~X": events})], opener)
    rules = store.open(tmp_path / "s").contract("X").rules
    assert rules.instrument.completeness.name == "COMPLETENESS_CENSORED" and rules.origin["completeness"].startswith("measured: never two of 300")


def test_the_page_stands_alone_and_escapes_what_came_from_outside(tmp_path):
    evil = '"><script>alert(1)</script>'
    report = report_of(tmp_path / "s", ETHUSDT=market(3000, span=2 * DAY), DOGEUSDT=market(500, 2, T0 + 40 * DAY))
    report["contracts"][0]["symbol"] = report["sources"][0]["notes"] = evil
    report["refused_files"].append({"name": evil, "bytes": 1, "reason": evil})
    text = page.html(report)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r'(src|href)=|url\(|@import|https?://', text)
    assert text.count("<rect") > 24 * 3 and "2026-02-09 13:00: " in text
    page.save(report, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))


def lines(hour: int, count: int = 400) -> bytes:
    """An hourly file of S4's schema: {ts, exchange, source, stream, symbol, result{ts, data[{T, s, S, v, p}]}}."""
    out = []
    for n in range(count):
        ts = T0 // 10**6 + hour * 3_600_000 + n * 8000
        rows = [{"T": ts - 500 + k, "s": "BTCUSDT", "S": "Buy" if n % 3 else "Sell", "v": f"0.{n % 9 + 1:03}", "p": f"{70000 - n}.5"} for k in range(1 + n % 2)]
        out.append(json.dumps({"ts": ts, "exchange": "bybit", "source": "ws", "stream": "allLiquidation", "symbol": "BTCUSDT",
                               "result": {"ts": ts - 20, "data": rows}}))
    return gzip.compress(("\n".join(out) + "\n").encode())


def test_the_commands_import_show_and_verify(tmp_path, capsys):
    for hour in range(3):
        (tmp_path / f"bybit_liq_BTCUSDT_2026-02-09_{hour:02}.jsonl.gz").write_bytes(lines(hour))
    (tmp_path / "broken.csv").write_text("what,is,this\n1,2,3\n")
    at = str(tmp_path / "s")
    assert cli.main(["import", str(tmp_path), "--store", at]) == 1
    said = capsys.readouterr()
    assert "imported 3 files, 1,800 rows" in said.out and "bybit:BTCUSDT" in said.out and "1 could not be imported" in said.out
    assert f"NOT IMPORTED {tmp_path / 'broken.csv'}" in said.err
    assert (tmp_path / "s" / "report.html").stat().st_size > 5000
    tape = store.open(at).tape(["BTCUSDT"])
    forced = tape.rare[tape.rare["kind"] == Kind.LIQUIDATION]
    assert len(forced) == 1800 and (forced["side"] == 1).sum() == 3 * sum(1 + n % 2 for n in range(400) if n % 3)
    assert (forced["ts_recv"] > forced["ts_event"]).all()
    assert cli.main(["import", *(str(p) for p in tmp_path.glob("*.gz")), "--store", at, "--quiet"]) == 0
    assert "imported 0 files, 0 rows; 3 files were known" in capsys.readouterr().out
    assert cli.main(["data", at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["contracts"][0]["kinds"]["liquidations"]["rows"] == 1800
    assert cli.main(["data", at, "--verify"]) == 0 and "verified" in capsys.readouterr().out
    partition = next((tmp_path / "s").rglob("*.parquet"))
    partition.write_bytes(partition.read_bytes()[:-20])
    for strip in (tmp_path / "s" / ".cache").rglob("*.strip"):
        strip.unlink()
    assert cli.main(["data", at]) == 2 and "--rebuild" in capsys.readouterr().err
    assert cli.main(["import", "--store", at]) == 2 and "FILES" in capsys.readouterr().err
    assert cli.main(["data", str(tmp_path / "nothing")]) == 2


def test_rules_from_a_file(tmp_path, capsys):
    (tmp_path / "a.jsonl.gz").write_bytes(lines(0))
    rules = tmp_path / "rules.toml"
    rules.write_text('["bybit:BTCUSDT"]\ntick_size = "0.10"\nlot_size = "0.001"\nmin_notional = 5\n')
    assert cli.main(["import", str(tmp_path / "a.jsonl.gz"), "--store", str(tmp_path / "s"), "--instruments", str(rules), "--quiet"]) == 0
    instrument = store.open(tmp_path / "s").contract("BTCUSDT").rules.instrument
    assert (instrument.tick_size, instrument.lot_size, instrument.min_notional) == ("0.10", "0.001", 5.0)
    capsys.readouterr()
    for text, said in (("[BTCUSDT]\ntick_size='1'", 'a table named like \\["bybit:BTCUSDT"\\]'), ('["a:B"]\ntik=1', "no such field"),
                       ('["a:B"]\ntick_size="-1"', "tick_size"), ("x", "is not TOML"), ('["a:B"]\ncompleteness="some"', "FULL, CENSORED or UNKNOWN")):
        rules.write_text(text)
        assert cli.main(["import", str(tmp_path / "a.jsonl.gz"), "--store", str(tmp_path / "s"), "--instruments", str(rules)]) == 2
        assert re.search(said, capsys.readouterr().err), text


def test_a_run_of_ours_comes_out_of_the_store_as_it_was_recorded(tmp_path):
    """Of several kinds received at one moment the store has an order of its own; within a kind nothing moves."""
    run = record_run(tmp_path / "run", hours=1.5, cut_s=40.0)
    recorded = read_events(run)
    instruments = [lc.Instrument(**fields) for fields in recorded.values["instruments"]]
    assert cli.main(["import", str(run), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    at = store.open(tmp_path / "s")
    tape, direct = at.tape([i.symbol for i in instruments]), lc.Tape.of(instruments, recorded.events)
    assert tape.instruments == direct.instruments and len(tape) == len(direct) > 10_000
    for n in range(len(instruments)):
        found, expected = tape.trades(n) | tape.quotes(n), direct.trades(n) | direct.quotes(n)
        assert all((found[name] == expected[name]).all() for name in expected if name != "trades_before")
    for kind in (Kind.LIQUIDATION, Kind.TICKER, Kind.FEED):
        assert (tape.rare[tape.rare["kind"] == kind] == direct.rare[direct.rare["kind"] == kind]).all()
    assert at.select().received == ("recorded",)
    assert any(g["what"].startswith("feed down") for g in quality.data_report(at)["contracts"][0]["gaps"])


@needs_data
def test_real_liquidations_go_in_with_sides_that_agree_with_the_price(tmp_path):
    files = [DATA / "liq-okx-hyperliquid" / "liquidations_okx_normalized.csv.gz", DATA / "liq-binance-btcusdt-2024-12" / "liquidations_normalized.csv.gz"]
    assert cli.main(["import", *map(str, files), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    contracts = {c["symbol"]: c for c in quality.data_report(store.open(tmp_path / "s"))["contracts"]}
    assert contracts["BTC-USDT-SWAP"]["kinds"]["liquidations"]["rows"] == 1611 and contracts["BTC-USDT-SWAP"]["received"] == ["modelled"]
    assert contracts["BTCUSDT"]["completeness"] == "CENSORED" and contracts["BTCUSDT"]["kinds"]["liquidations"]["busiest_second"] == 1
    assert contracts["BTC-USDT-SWAP"]["kinds"]["liquidations"]["busiest_second"] == 25
    assert not any(c["side"]["verdict"].startswith("SWAPPED") for c in contracts.values()) and contracts["BTCUSDT"]["side"]["verdict"] == "agrees"
