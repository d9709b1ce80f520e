"""What a backtest can be given: stores, recordings of raw frames, vendor files; and the same events wherever they come from."""

import csv
import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest

import liqcore as lc
from liqshell.backtest import load_history, run_backtest, variants
from liqshell.backtest.history import described, with_gaps
from liqshell.config.load import load, loads
from liqshell.errors import ConfigError, DataError
from liqshell.report import make_report
from liqshell.report.study import load_study
from liqshell.run.pipeline import settings
from recorded_run import SETTINGS, audit_of, of_kind, record_run, study_of


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("data") / "market", hours=1.5, seed=11)


@pytest.fixture(scope="module")
def store(market):
    folder = market.parent / "store"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", "import", str(market), "--store", str(folder), "--quiet"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


def write(folder, data, name="c.toml", more=""):
    file = folder / name
    file.write_text(f'[run]\nname = "x"\nout = "runs"\n{SETTINGS}\n[backtest]\nstudy = false\n[data]\n{data}\n{more}')
    return load(file, [f"run.out={folder / 'runs'}"])


def decided(audit):
    """Brackets asked for and fills, without what depends on the tick sizes that a store infers."""
    asked = of_kind(audit, lc.AuditKind.AUDIT_POLICY)
    return asked[asked["reason"] == 0][["ts", "instrument", "side"]].tolist()


@pytest.mark.slow
def test_a_store_gives_the_backtest_of_the_recording(market, store):
    direct = load_history(write(market.parent, 'files = ["market"]'))
    stored = load_history(
        write(
            market.parent,
            'store = "store"\nsymbols = ["SOLUSDT", "DOGEUSDT"]\nstart = 2026-03-04T13:00:00Z\nend = 2026-03-04T14:30:00.010Z',
            "s.toml",
        )
    )
    assert [i.symbol for i in stored.instruments] == [i.symbol for i in direct.instruments]
    for n in range(2):
        assert (stored.tape.trades(n)["ts"] == direct.tape.trades(n)["ts"]).all()
        assert np.allclose(
            stored.tape.trades(n)["price"] * float(stored.instruments[n].tick_size),
            direct.tape.trades(n)["price"] * float(direct.instruments[n].tick_size),
            rtol=1e-12,
        )
    assert (stored.liquidations["ts_recv"] == direct.liquidations["ts_recv"]).all()
    whole = load_history(write(market.parent, 'store = "store"', "w.toml"))
    assert whole.start_ns == direct.tape.start and abs(whole.parts[0]["covered_hours"] - 1.5) < 0.01  # not the whole day of the partition
    folders = [
        run_backtest(write(market.parent, text, name))
        for text, name in (('files = ["market"]', "c.toml"), ('store = "store"\nsymbols = ["SOLUSDT", "DOGEUSDT"]', "s.toml"))
    ]
    assert decided(audit_of(folders[0])) == decided(audit_of(folders[1])) != []
    part = study_of(folders[1])["data"]["parts"][0]
    assert part["symbol"] == "SOLUSDT" and part["receipt"] == "recorded" and part["completeness"] == "FULL" and part["liquidations"] > 100


def test_hours_without_data_are_not_covered(market):
    history = load_history(write(market.parent, 'files = ["market"]'))
    hour = 3600 * lc.SECOND
    events = history.tape.events()
    hole = (events["ts_recv"] > history.start_ns + hour // 4) & (events["ts_recv"] < history.start_ns + hour)
    one = hole & (events["instrument"] == 0)
    made = described(dataclasses.replace(history, tape=lc.Tape.of(history.instruments, events[~one]), parts=[]))
    assert [round(p["covered_hours"], 2) for p in made.parts] == [0.75, 1.5]
    ((start, end),) = made.parts[0]["gaps"]
    assert abs(start - history.start_ns - hour // 4) < 10 * lc.SECOND and abs(end - history.start_ns - hour) < 10 * lc.SECOND


def test_a_long_silence_of_a_store_is_a_gap_of_the_feed(market):
    """No cascade reaches across it, and the engine says so: one mark, at the first event after the silence, before that event."""
    history = load_history(write(market.parent, 'files = ["market"]'))
    hour = 3600 * lc.SECOND
    events = history.tape.events()
    events = events[(events["ts_recv"] < history.start_ns + hour // 4) | (events["ts_recv"] > history.start_ns + hour)]
    bare = dataclasses.replace(history, tape=lc.Tape.of(history.instruments, events))
    made = with_gaps(bare)
    marks = made.tape.rare[(made.tape.rare["kind"] == int(lc.Kind.FEED)) & (made.tape.rare["instrument"] >= 0)]
    assert marks["instrument"].tolist() == [0, 1] and (marks["code"] == int(lc.FeedState.FEED_GAP)).all()
    ordered = made.tape.events()
    for mark in marks:
        own = ordered[ordered["instrument"] == mark["instrument"]]
        at = int(np.flatnonzero(own["kind"] == int(lc.Kind.FEED))[0])
        assert own["ts_recv"][at - 1] <= history.start_ns + hour // 4 and own["ts_recv"][at + 1] >= mark["ts_recv"]
    assert with_gaps(history).tape is history.tape
    audit = variants.trade(settings(load(market.parent / "c.toml"), history.instruments), made)
    assert len(of_kind(audit, lc.AuditKind.AUDIT_FEED)) == 3


def test_a_new_store_of_the_same_data_resets_no_count(market, store, tmp_path, monkeypatch):
    monkeypatch.setenv("LIQCORE_TRIALS", str(tmp_path / "trials.jsonl"))
    for folder in (store, market.parent / "runs"):
        (folder / "trials.head.json").unlink(missing_ok=True)  # of other tests, which have logs of their own
    config = write(market.parent, 'store = "store"', "t.toml")
    first = load_study(run_backtest(config, tmp_path / "one"))["trials"]
    shutil.copytree(store, market.parent / "again")
    again = load_study(run_backtest(write(market.parent, 'store = "again"', "t.toml"), tmp_path / "two"))["trials"]
    other = load_study(
        run_backtest(write(market.parent, 'store = "again"', "t.toml", "[policy.symbols.SOLUSDT]\ntake_profit = 0.0042\n"), tmp_path / "three")
    )["trials"]
    assert (first["n"], again["n"], other["n"]) == (1, 1, 2) and other["problems"] == []
    assert np.load(tmp_path / "three" / "tried.npy").shape[1] == 2 and other["own"] in (0, 1)
    (tmp_path / "trials.jsonl").unlink()
    gone = load_study(run_backtest(config, tmp_path / "four"))["trials"]
    assert gone["n"] == 1 and "lacks lines" in gone["problems"][0], "its first line is another one"
    later = load_study(run_backtest(config, tmp_path / "five"))["trials"]
    assert later["problems"] == gone["problems"], "until somebody removes the note"
    for folder in (store, market.parent / "runs"):
        (folder / "trials.head.json").unlink(missing_ok=True)  # later tests go on with the other log


def test_frames_without_a_run_are_imported_first_and_once(market, tmp_path):
    (tmp_path / "raw").mkdir()
    for file in (market / "frames").iterdir():
        if file.name.endswith(".jsonl.zst"):
            (tmp_path / "raw" / file.name).write_bytes(file.read_bytes())
    config = write(tmp_path, 'files = ["raw"]\nsymbols = ["DOGEUSDT"]')
    history = load_history(config)
    assert history.source == "raw" and [i.symbol for i in history.instruments] == ["DOGEUSDT"] and len(history.liquidations)
    kept = sorted(p.name for p in (tmp_path / "runs").iterdir())
    assert len(kept) == 1 and load_history(config).fingerprint == history.fingerprint
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == kept


def test_tables_of_trades_and_liquidations_are_backtested(market, tmp_path):
    """Tardis files made of the market's own trades and liquidations: the same decisions, without quotes and tickers."""
    history = load_history(write(market.parent, 'files = ["market"]'))
    events = history.tape.events(0)
    with (tmp_path / "trades.csv").open("w", newline="") as trades, (tmp_path / "liquidations.csv").open("w", newline="") as liquidations:
        head = ["exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount"]
        writers = {int(lc.Kind.TRADE): csv.writer(trades), int(lc.Kind.LIQUIDATION): csv.writer(liquidations)}
        for writer in writers.values():
            writer.writerow(head)
        for n, e in enumerate(events):
            if int(e["kind"]) in writers:
                # of a liquidation the side of the order: a long is closed by a sell
                sell = e["side"] < 0 if e["kind"] == int(lc.Kind.TRADE) else e["side"] > 0
                writers[int(e["kind"])].writerow(
                    [
                        "bybit",
                        "SOLUSDT",
                        e["ts_event"] // 1000,
                        e["ts_recv"] // 1000,
                        n,
                        "sell" if sell else "buy",
                        f"{e['price']:.2f}",
                        f"{e['qty']:.1f}",
                    ]
                )
    config = write(tmp_path, 'files = ["trades.csv", "liquidations.csv"]')
    found = load_history(config)
    assert found.count("quotes") == 0 and len(found.liquidations) == (events["kind"] == int(lc.Kind.LIQUIDATION)).sum()
    assert found.count("trades") == (events["kind"] == int(lc.Kind.TRADE)).sum()
    folder = run_backtest(config)
    assert len(of_kind(audit_of(folder), lc.AuditKind.AUDIT_SIGNAL))
    assert {"no quotes", "no tickers"} <= study_of(folder)["models"].keys()


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ('store = "nowhere"', DataError, "no such folder"),
        ('store = "store"\nsymbols = ["SOLUSD"]', ConfigError, "no contract 'SOLUSD'"),
        ('store = "store"\nstart = 2020-01-01\nend = 2020-01-02', DataError, "no trades"),
        ('files = ["gone.csv"]', DataError, "no such file or folder"),
        ('files = ["broken.csv"]', DataError, "broken.csv"),
    ],
)
def test_data_that_is_not_there(market, store, data, error, says):
    (market.parent / "broken.csv").write_text("this is, not\na table\n")
    with pytest.raises(error, match=says):
        load_history(write(market.parent, data, "e.toml"))


def test_what_a_generator_made_stays_labelled_through_a_store(market, store):
    """No report of a generated market may call it real, however it came here."""
    config = write(market.parent, 'store = "store"', "label.toml")
    assert load_history(config).synthetic
    assert make_report(run_backtest(config)).summary["label"] == "SYNTHETIC"


def test_files_that_cannot_be_imported_are_named_and_what_is_known_is_said_once(tmp_path):
    (tmp_path / "market").mkdir()
    for name in ("one.csv", "two.csv"):
        (tmp_path / "market" / name).write_text("When,How much\n1,2\n")
    config = loads(f'[data]\nfiles = ["{tmp_path}/market"]\n[run]\nout = "{tmp_path}/runs"\n')
    with pytest.raises(DataError) as why:
        load_history(config)
    lines = str(why.value).splitlines()
    assert "2 of 2 cannot be imported" in lines[0] and [line.partition(":")[0] for line in lines[1:3]] == [
        f"{tmp_path}/market/{n}.csv" for n in ("one", "two")
    ]
    assert len(lines) == 4 and str(why.value).count("tardis.dev") == 1
