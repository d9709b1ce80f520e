"""The data report, the commands, and the files of others on their way into a store."""

import gzip
import hashlib
import json
import re
import shutil
import sqlite3
import types
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import liqcore as lc
from captures import DATA, needs_data
from liqcore.event import EVENT_DTYPE, FeedState, Kind
from liqshell import cli, store
from liqshell.recording import streams
from liqshell.run.recorded_events import read_events
from liqshell.store import importer, page, partition, quality
from liqshell.store.rows import BEFORE, to_arrow
from recorded_run import record_run
from store_files import DAY, HOUR, SECOND, T0, by_hour, market, opener, save

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
    assert [gap["what"] for gap in contract["gaps"]] == ["silence of every kind"]  # two minutes are not listed, the ends are no gaps
    assert contract["gaps"][0]["to"] - contract["gaps"][0]["from"] == pytest.approx(70 * MINUTE, abs=10 * SECOND)
    assert contract["covered_hours"] == pytest.approx(22.5 - 72 / 60, abs=0.05)


def test_of_liquidations_alone_no_coverage_is_stated(tmp_path, capsys):
    """docs/store.md: liquidations have no coverage. Two of them, a second apart, across a full hour."""
    events = np.zeros(2, EVENT_DTYPE)
    events["kind"], events["side"], events["price"], events["qty"] = Kind.LIQUIDATION, 1, 100.0, 1.0
    events["ts_event"] = events["ts_recv"] = [T0 + HOUR - SECOND // 2, T0 + HOUR + SECOND // 2]
    report = report_of(tmp_path / "s", ETHUSDT=events)
    (contract,) = report["contracts"]
    assert contract["covered_hours"] is None and {hour["covered"] for hour in contract["hours"]["2026-02-09"]} == {None}
    assert [hour.get("liquidations", 0) for hour in contract["hours"]["2026-02-09"]][:3] == [1, 1, 0]
    text = page.html(report)
    assert "Coverage by hour" not in text and "Liquidations by hour" in text
    assert cli.main(["data", str(tmp_path / "s")]) == 0
    told = capsys.readouterr().out
    assert "covered h" in " ".join(told.split()) and not re.search(r"\b[12]\.0\b", told)


def test_rows_that_are_refused_at_loading_are_in_the_store(tmp_path, capsys):
    """42 rows are imported; the engine's door refuses the first four at ten times the price. A remark of the importer is no refusal."""
    table = tmp_path / "r.csv"
    prices = [100] * 30 + [1001] * 12
    rows = [f"{T0 // 10**6 + 1000 * n},bybit,BTCUSDT,long,{price},1,100" for n, price in enumerate(prices)]
    table.write_text("\n".join(["ts_ms,venue,symbol,position,price,qty_base,notional_usd", *rows, rows[-1]]) + "\n")
    assert cli.main(["import", str(table), "--store", str(tmp_path / "s")]) == 0
    told = capsys.readouterr().out
    held = store.open(tmp_path / "s")
    assert sum(pq.read_metadata(path).num_rows for path in (tmp_path / "s").rglob("*.parquet")) == 43 and "43 rows" in told
    assert page.remarks(quality.data_report(held)) == [
        ("files", "1", "kept: a row like another, without an id"),
        ("bybit:BTCUSDT", "4", "in the store, refused at loading: BAD_BAND"),
    ]
    assert "Rows not imported" not in told and page.REMARKS in told and "refused at loading" in told
    assert {title: value for title, value, _ in page._tiles(quality.data_report(held))}["Refused"] == "4"
    held.close()


def test_feed_marks_are_gaps(tmp_path):
    marks = np.zeros(3, EVENT_DTYPE)
    marks["kind"] = Kind.FEED
    marks["ts_event"] = marks["ts_recv"] = [T0 + HOUR, T0 + HOUR + 30 * SECOND, T0 + 2 * HOUR]
    marks["ts_event"][2] -= 25 * SECOND  # silent since
    marks["code"] = [FeedState.FEED_DOWN, FeedState.FEED_UP, FeedState.FEED_GAP]
    contract = report_of(tmp_path / "s", ETHUSDT=market(9000), _all=marks)["contracts"][0]
    found = [(g["from"], g["to"]) for g in contract["gaps"] if g["what"] == "feed down or rows lost, all contracts"]
    assert found == [(T0 + HOUR, T0 + HOUR + 30 * SECOND), (T0 + 2 * HOUR - 25 * SECOND, T0 + 2 * HOUR)]
    assert contract["hours"]["2026-02-09"][1]["covered"] <= 1 - 55 / 3600 + 1e-4


@pytest.mark.parametrize(("swapped", "verdict"), [(False, "agrees"), (True, "SWAPPED?")])
def test_a_swapped_side_map_is_seen(tmp_path, swapped, verdict):
    report = report_of(tmp_path / "s", ETHUSDT=pressed(60, swapped))
    side = report["contracts"][0]["side"]
    assert side["verdict"] == verdict and side["compared"] == 60 and side["with"] == "trade price in the 10 s before, by cascade"
    assert ("SIDES LOOK SWAPPED" in page.html(report)) is swapped
    only = pressed(300, swapped)
    only = only[only["kind"] == Kind.LIQUIDATION]
    only["ts_recv"] = T0 + np.arange(300) // 6 * MINUTE + np.arange(300) % 6 * SECOND  # clusters of six, prices as they move
    only["side"] = np.where(np.arange(300) // 6 % 2, 1, -1) * (-1 if swapped else 1)
    only["price"] = 1000 - np.where(np.arange(300) // 6 % 2, 1, -1) * (np.arange(300) % 6)
    alone = report_of(tmp_path / "o", SOLUSDT=only)["contracts"][0]["side"]
    assert (alone["verdict"], alone["compared"], alone["with"]) == (verdict, 50, "price within clusters of one side")


def verdict_of(seed: int, pressure: float) -> str:
    """Sixty cascades of up to forty liquidations within 8 s, over a random walk of a trade a second; pressure: bps a second that a cascade adds."""
    r = np.random.default_rng(seed)
    starts = np.arange(60) * 300 + r.integers(20, 200, 60)
    sides, sizes = r.choice([1, -1], 60), r.integers(5, 40, 60)
    steps = r.normal(0.0, 2.0, 60 * 300)
    for start, side in zip(starts, sides, strict=True):
        steps[start - 5 : start + 8] -= side * pressure
    events = np.zeros(sizes.sum(), EVENT_DTYPE)
    events["ts_recv"] = T0 + np.sort((np.repeat(starts, sizes) + r.uniform(0, 8, len(events))) * SECOND).astype(np.int64)
    events["side"] = np.repeat(sides, sizes)
    prices = np.round(1e6 * np.exp(np.cumsum(steps) / 1e4)).astype(np.int64)
    strip = types.SimpleNamespace(trades={"ts": T0 + np.arange(len(steps), dtype=np.int64) * SECOND, "price": prices})
    return quality._side_verdict(quality._moves(strip, events), [])["verdict"]


def test_one_cascade_is_one_observation_of_the_side():
    """Liquidations that have nothing to do with the market: forty of one cascade share one price path and are no forty coins. Three standard deviations
    err in one of 370."""
    unrelated = Counter(verdict_of(seed, 0.0) for seed in range(300))
    assert unrelated["undecided"] >= 295, unrelated
    assert Counter(verdict_of(seed, 1.5) for seed in range(40))["agrees"] >= 38
    assert Counter(verdict_of(seed, -1.5) for seed in range(40))["SWAPPED?"] >= 38


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
    assert not re.search(r"(src|href)=|url\(|@import|https?://", text)
    assert text.count("<rect") > 24 * 3 and "2026-02-09 13:00: " in text
    page.save(report, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))


def lines(hour: int, count: int = 400) -> bytes:
    """An hourly file of the research plan's schema: {ts, exchange, source, stream, symbol, result{ts, data[{T, s, S, v, p}]}}."""
    out = []
    for n in range(count):
        ts = T0 // 10**6 + hour * 3_600_000 + n * 8000
        rows = [
            {"T": ts - 500 + k, "s": "BTCUSDT", "S": "Buy" if n % 3 else "Sell", "v": f"0.{n % 9 + 1:03}", "p": f"{70000 - n}.5"}
            for k in range(1 + n % 2)
        ]
        out.append(
            json.dumps(
                {
                    "ts": ts,
                    "exchange": "bybit",
                    "source": "ws",
                    "stream": "allLiquidation",
                    "symbol": "BTCUSDT",
                    "result": {"ts": ts - 20, "data": rows},
                }
            )
        )
    return gzip.compress(("\n".join(out) + "\n").encode())


def test_the_commands_import_show_and_verify(tmp_path, capsys):
    for hour in range(3):
        (tmp_path / f"bybit_liq_BTCUSDT_2026-02-09_{hour:02}.jsonl.gz").write_bytes(lines(hour))
    (tmp_path / "broken.csv").write_text("what,is,this\n1,2,3\n")
    at = str(tmp_path / "s")
    assert cli.main(["import", str(tmp_path), "--store", at]) == 1
    said = capsys.readouterr()
    assert "imported 3 files, 1,800 rows" in said.out and "bybit:BTCUSDT" in said.out and "1 not imported because of errors" in said.out
    assert f"NOT IMPORTED:\n{tmp_path / 'broken.csv'}" in said.err
    assert (tmp_path / "s" / "report.html").stat().st_size > 5000
    tape = store.open(at).tape(["BTCUSDT"])
    forced = tape.rare[tape.rare["kind"] == Kind.LIQUIDATION]
    assert len(forced) == 1800 and (forced["side"] == 1).sum() == 3 * sum(1 + n % 2 for n in range(400) if n % 3)
    assert (forced["ts_recv"] > forced["ts_event"]).all()
    assert cli.main(["import", *(str(p) for p in tmp_path.glob("*.gz")), "--store", at, "--quiet"]) == 0
    assert "imported 0 files, 0 rows; 3 files already imported" in capsys.readouterr().out
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


@pytest.mark.parametrize("json_", [True, False])
def test_a_store_that_cannot_take_its_report_has_it_printed(tmp_path, capsys, json_):
    (tmp_path / "BTCUSDT-aggTrades-2024-08-05.csv").write_text("".join(f"{n},58000.5,0.25,{n},{n},{1722816000000 + n},true\n" for n in range(30)))
    at = tmp_path / "s"
    assert cli.main(["import", str(tmp_path / "BTCUSDT-aggTrades-2024-08-05.csv"), "--store", str(at), "--quiet"]) == 0
    (at / "report.json").unlink()
    (at / "report.json").mkdir()  # as where the folder may only be read, which root may write nevertheless
    capsys.readouterr()
    assert cli.main(["data", str(at), *(["--json"] if json_ else [])]) == 0
    said = capsys.readouterr()
    assert "BTCUSDT" in said.out and f"report: not written into {at}: " in said.err
    assert not json_ or json.loads(said.out)["contracts"][0]["symbol"] == "BTCUSDT"
    assert not list(at.glob(".report*"))


def test_rules_from_a_file(tmp_path, capsys):
    (tmp_path / "a.jsonl.gz").write_bytes(lines(0))
    rules = tmp_path / "rules.toml"
    rules.write_text('["bybit:BTCUSDT"]\ntick_size = "0.10"\nlot_size = "0.001"\nmin_notional = 5\n')
    assert cli.main(["import", str(tmp_path / "a.jsonl.gz"), "--store", str(tmp_path / "s"), "--instruments", str(rules), "--quiet"]) == 0
    instrument = store.open(tmp_path / "s").contract("BTCUSDT").rules.instrument
    assert (instrument.tick_size, instrument.lot_size, instrument.min_notional) == ("0.10", "0.001", 5.0)
    capsys.readouterr()
    for text, said in (
        ("[BTCUSDT]\ntick_size='1'", 'a table named like \\["bybit:BTCUSDT"\\]'),
        ('["a:B"]\ntik=1', "no such field"),
        ('["a:B"]\ntick_size="-1"', "tick_size"),
        ("x", "is not TOML"),
        ('["a:B"]\ncompleteness="some"', "FULL, CENSORED or UNKNOWN"),
    ):
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
    files = [
        DATA / "liq-okx-hyperliquid" / "liquidations_okx_normalized.csv.gz",
        DATA / "liq-binance-btcusdt-2024-12" / "liquidations_normalized.csv.gz",
    ]
    assert cli.main(["import", *map(str, files), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    contracts = {c["symbol"]: c for c in quality.data_report(store.open(tmp_path / "s"))["contracts"]}
    assert contracts["BTC-USDT-SWAP"]["kinds"]["liquidations"]["rows"] == 1611 and contracts["BTC-USDT-SWAP"]["received"] == ["modelled"]
    assert contracts["BTCUSDT"]["completeness"] == "CENSORED" and contracts["BTCUSDT"]["kinds"]["liquidations"]["busiest_second"] == 1
    assert contracts["BTC-USDT-SWAP"]["kinds"]["liquidations"]["busiest_second"] == 25
    assert not any(c["side"]["verdict"].startswith("SWAPPED") for c in contracts.values()) and contracts["BTCUSDT"]["side"]["verdict"] == "agrees"


def flat(every: int, until: int, kind: Kind, offset: int = 0) -> np.ndarray:
    """Rows of one kind every so many seconds."""
    out = np.zeros(until // every, EVENT_DTYPE)
    out["ts_recv"] = out["ts_event"] = T0 + np.arange(len(out)) * every * SECOND + offset
    out["kind"], out["price"], out["qty"], out["side"] = kind, 2000.0, 1.0, 1 if kind == Kind.TRADE else 0
    if kind == Kind.BBO:
        out["aux_price"], out["aux_qty"] = 2000.5, 1.0
    return out


def test_a_book_that_ends_at_noon_is_said_in_the_first_lines(tmp_path, capsys):
    """The day of ETH whose book file ends at 13:27 while its trades go on: the page, the commands and the JSON say so before anything else."""
    ends = 13 * 3600 + 27 * 60
    events = np.concatenate([flat(5, 86_400, Kind.TRADE), flat(3, ends, Kind.BBO, 7)])
    report = report_of(tmp_path / "s", ETHUSDT=events[np.argsort(events["ts_recv"], kind="stable")])
    contract = report["contracts"][0]
    said = contract["said_first"]
    assert said[0] == (
        "bybit:ETHUSDT: quotes end at 2026-02-09 13:26:57 while trades continue to 2026-02-09 23:59:55: 10.5 h without a quote to trade against"
    )
    assert said[1] == "bybit:ETHUSDT: quotes are valid for 13.5 h, trades for 24.0 h"
    held = contract["stream_hours"]["2026-02-09"]
    assert held["trades"] == [1.0] * 24
    assert held["quotes"][:13] == [1.0] * 13 and held["quotes"][13] == pytest.approx((27 * 60 + 7) / 3600, abs=1e-3) and not any(held["quotes"][14:])
    assert contract["streams"]["quotes"]["gaps"] == [(T0 + (ends + 7) * SECOND + 7, T0 + 86_395 * SECOND)]
    assert contract["hours"]["2026-02-09"][20]["covered"] == 1.0  # as before: something came
    text = page.html(report)
    assert not re.search(r"[0-9]%", re.sub(r"<style.*?</style>|<[a-z][^>]*>", "", text, flags=re.S)) and "held for 100.0 %" in text
    assert text.index("quotes end at 2026-02-09 13:26:57") < text.index('class="tiles"')
    assert cli.main(["data", str(tmp_path / "s")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("QUOTES bybit:ETHUSDT: quotes end at 2026-02-09 13:26:57")
    assert cli.main(["data", str(tmp_path / "s"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["contracts"][0]["said_first"] == said


def test_streams_of_a_store_are_those_of_its_tape_but_for_contradictions(tmp_path):
    """By age and the marks of the feed, over midnight, with marks of one stream and of all."""
    rng = np.random.default_rng(4)
    parts = [flat(4, 2 * 86_400, Kind.TRADE), flat(7, 2 * 86_400, Kind.BBO, 11)]
    events = np.concatenate([part[rng.random(len(part)) < 0.7] for part in parts])
    events = events[(events["ts_recv"] < T0 + 30 * HOUR) | (events["ts_recv"] > T0 + 31 * HOUR)]
    marks = np.zeros(5, EVENT_DTYPE)
    marks["kind"] = Kind.FEED
    marks["ts_recv"] = [T0 + HOUR, T0 + HOUR + 50 * SECOND, T0 + 5 * HOUR + 1, T0 + 30 * HOUR + 5 * SECOND, T0 + 31 * HOUR]
    marks["ts_event"] = marks["ts_recv"] - np.array([0, 0, 20 * SECOND, 3 * SECOND, 0])
    marks["code"] = [FeedState.FEED_DOWN, FeedState.FEED_UP, FeedState.FEED_GAP, FeedState.FEED_DOWN, FeedState.FEED_UP]
    marks["flags"] = [4, 4, 0, 0, 0]
    events = events[~((events["kind"] == Kind.BBO) & (events["ts_recv"] > T0 + HOUR) & (events["ts_recv"] < T0 + HOUR + 50 * SECOND))]
    events = events[(events["ts_recv"] <= T0 + 5 * HOUR - 20 * SECOND) | (events["ts_recv"] > T0 + 5 * HOUR + 1)]
    together = np.concatenate([marks, events])
    found = report_of(tmp_path / "s", ETHUSDT=together[np.argsort(together["ts_recv"], kind="stable")])["contracts"][0]
    tape = store.open(tmp_path / "s").tape("ETHUSDT")
    assert set(tape.rare["flags"].tolist()) == {0, 4}
    exact = streams.of_tape(tape, T0, T0 + 2 * DAY)[0]
    for name in ("trades", "quotes"):
        shares = [share for day in sorted(found["stream_hours"]) for share in found["stream_hours"][day][name]]
        a_mark = streams.AGE_NS[name] / HOUR  # what a mark of the feed can be off by: the age of a row
        assert shares == pytest.approx(by_hour(exact[name]), abs=a_mark), name
        assert sum(a != pytest.approx(b, abs=1e-4) for a, b in zip(shares, by_hour(exact[name]), strict=True)) <= 3
        assert found["streams"][name]["covered_hours"] == pytest.approx(exact[name].covered_hours, abs=3 * a_mark)
        assert found["streams"][name]["rows"] == exact[name].rows


def test_a_store_of_an_earlier_version_is_read_and_says_what_it_could_not(tmp_path, capsys):
    """Format 1: no limit of a liquidation, and 0 for a funding rate that was not stated."""
    root = tmp_path / "s"
    events = market(4000)
    ticker = events["kind"] == Kind.TICKER
    events["aux_qty"][np.flatnonzero(ticker)[::2]] = 0.0
    fill_earlier(root, events)
    at = store.open(root)
    tape = at.tape("ETHUSDT")
    tickers = tape.rare[tape.rare["kind"] == Kind.TICKER]
    assert len(tickers) == ticker.sum() and ((tickers["flags"] & 32 != 0) == (tickers["aux_qty"] == 0.0)).all() and (tickers["aux_qty"] != 0).any()
    assert cli.main(["data", str(root), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "EARLIER VERSION bybit:ETHUSDT" in out and "verified" in out
    at.close()
    assert cli.main(["data", str(root), "--rebuild"]) == 0 and "EARLIER VERSION" in capsys.readouterr().out
    assert (store.open(root).tape("ETHUSDT").rare == tape.rare).all()
    importer.run(root, [save(tmp_path / "more.npz", {"bybit~ETHUSDT": market(500, 9, T0 + DAY)})], opener)  # what is new is of the new format
    found = quality.data_report(store.open(root))["contracts"][0]
    assert found["before"] and found["kinds"]["tickers"]["rows"] > ticker.sum()


def fill_earlier(root: Path, events: np.ndarray) -> None:
    """The store that the version before would have made: its partitions and its catalogue."""
    importer.run(root, [save(root.with_suffix(".npz"), {"bybit~ETHUSDT": events})], opener)
    with sqlite3.connect(root / "catalogue.sqlite") as base:
        for key, content in store.open(root).catalogue.partitions().items():
            layout = BEFORE.get(key.kind, key.layout)
            path = key.file(root)
            rows = np.concatenate(list(partition.read(path, key)))
            digest = hashlib.sha256(json.dumps([1, key.venue, key.symbol, key.kind, key.day]).encode())
            for name in layout.fields:
                digest.update(np.ascontiguousarray(rows[name]).data)
            said = {"format": 1, **vars(key), "rows": len(rows), "fingerprint": digest.hexdigest()[:32], "sources": []}
            batch = to_arrow(layout, rows)
            pq.write_table(pa.Table.from_batches([batch]).replace_schema_metadata({b"liqcore": json.dumps(said).encode()}), path)
            about = {name: value for name, value in content.as_dict().items() if name not in ("streams", "format")} | {
                "fingerprint": said["fingerprint"]
            }
            base.execute("update partitions set about = ? where kind = ?", (json.dumps(about), key.kind))
        base.execute("update about set value = '1' where name = 'version'")
    base.close()
    shutil.rmtree(root / ".cache", ignore_errors=True)
