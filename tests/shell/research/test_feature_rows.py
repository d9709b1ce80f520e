"""`liqcore features`: rows as a live engine would have had them, from files and stores; errors that say what to do."""

import csv
import io
import json

import numpy as np
import pytest

import liqcore as lc
from feature_streams import SECOND, T0, events
from liqshell import cli
from liqshell.errors import ConfigError, DataError
from liqshell.research import feature_rows

NAMES = ("liquidations.liq_volume@5s", "liquidations.liq_imbalance@6s:zscore(40s,min=4)", "price.last", "BTC/flow.volume@3s:change(7s)")
INSTRUMENTS = [
    lc.Instrument("BTCUSDT", venue="binance_um", completeness=lc.Completeness.COMPLETENESS_CENSORED),
    lc.Instrument("ETHUSDT", venue="binance_um", completeness=lc.Completeness.COMPLETENESS_CENSORED),
]


@pytest.fixture(scope="module")
def stream():
    rows = events(np.random.default_rng(3), 3000, instruments=2, feed=0.0)
    return rows[(rows["kind"] != int(lc.Kind.BBO)) & (rows["qty"] > 0)]


@pytest.fixture(scope="module")
def table(stream, tmp_path_factory):
    """The liquidations as an event table."""
    path = tmp_path_factory.mktemp("features") / "liquidations.csv"
    rows = stream[stream["kind"] == int(lc.Kind.LIQUIDATION)]
    with path.open("w") as file:
        file.write("ts_ms,venue,symbol,position,price,qty_base,notional_usd\n")
        for e in rows:
            file.write(
                f"{e['ts_recv'] // 1_000_000},binance_um,{INSTRUMENTS[e['instrument']].symbol},{'long' if e['side'] > 0 else 'short'},{float(e['price'])!r},"
                f"{float(e['qty'])!r},{float(e['price'] * e['qty'])!r}\n"
            )
    return path


def test_parts_and_ties_do_not_matter(stream):
    """However the data is cut into parts, every row is what a stream read at that time knows."""
    times = np.unique(np.concatenate([stream["ts_recv"][::37], stream["ts_recv"][::53] + 1]))
    times = times[times <= stream["ts_recv"][-1]]
    whole = feature_rows.rows_of(NAMES, feature_rows.Data(tuple(INSTRUMENTS), [stream], int(stream["ts_recv"][0]), int(stream["ts_recv"][-1])), times)
    cuts = np.array_split(stream, 29)
    parts = feature_rows.rows_of(NAMES, feature_rows.Data(tuple(INSTRUMENTS), cuts, whole.times[0], whole.times[-1]), times)
    assert np.array_equal(whole.values, parts.values, equal_nan=True) and not np.isnan(whole.values).all((0, 1)).any()
    features, at = lc.Features(NAMES, INSTRUMENTS), 0
    for k, ts in enumerate(times):
        stop = int(np.searchsorted(stream["ts_recv"], ts, "right"))
        features.push(stream[at:stop])
        at = stop
        assert np.array_equal(features.table(int(ts)), whole.values[k], equal_nan=True)


def test_the_command(table, tmp_path, capsys):
    at = [feature_rows.iso(T0 + k * 60 * SECOND) for k in (2, 3)]
    assert cli.main(["features", str(table), "--features", "liq_volume_5s,liq_imbalance_zscore", "--at", ",".join(at)]) == 0
    out, err = capsys.readouterr()
    found = list(csv.DictReader(io.StringIO(out)))
    assert [row["time"] for row in found] == [at[0], at[0], at[1], at[1]] and {row["contract"] for row in found} == {i.key for i in INSTRUMENTS}
    assert {row["completeness"] for row in found} == {"censored"} and "CENSORED binance_um:BTCUSDT" in err
    assert float(found[2]["liquidations.liq_volume@5s"]) >= 0 and found[0]["liquidations.liq_imbalance@15m:zscore"] == ""
    # the same at many times into files
    for name in ("rows.csv", "rows.parquet"):
        assert cli.main(["features", str(table), "-f", "liq_volume_5s", "--every", "30s", "--symbols", "BTCUSDT", "--out", str(tmp_path / name)]) == 0
    import pyarrow.parquet as pq

    written = pq.read_table(tmp_path / "rows.parquet")
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == written.num_rows > 3 and {row["contract"] for row in rows} == {"binance_um:BTCUSDT"}
    values = [float(row["liquidations.liq_volume@5s"] or "nan") for row in rows]
    assert np.array_equal(values, written["liquidations.liq_volume@5s"].to_numpy(), equal_nan=True)
    about = json.loads(written.schema.metadata[b"liqcore.features"])
    assert about[0]["instruments"]["binance_um:BTCUSDT"]["completeness"] == "censored"
    moments = tmp_path / "moments.txt"
    moments.write_text("# moments\n" + "\n".join(row["ts"] for row in rows[:3]) + "\n")
    assert cli.main(["features", str(table), "-f", "liq_volume_5s", "--at", f"@{moments}", "--symbols", "BTCUSDT"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out.split("\n", 2)[2]))) == rows[:3]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["-f", "liq_volum_5s", "--every", "1m"], "feature 'liq_volum_5s'"),
        (["-f", "liq_rate", "--at", "2020-01-01"], "outside the data"),
        (["-f", "liq_rate", "--at", "yesterday"], "not a time"),
        (["-f", "liq_rate", "--at", "12345"], "a number of 5 digits"),
        (["-f", "liq_rate"], "no time"),
        (["-f", "liq_rate", "--every", "1m", "--at", "2020-01-01"], "both --at and --every"),
        (["--every", "1m"], "no names"),
        (["-f", "liq_rate", "--every", "1x"], "got '1x'"),
        (["-f", "liq_rate", "--every", "1m", "--symbols", "DOGEUSDT"], "no data of DOGEUSDT"),
        (["-f", "SOL/price.last", "--every", "1m"], "no instrument here is of that asset"),
        (["-f", "liq_rate", "--every", "1m", "--out", "x.xls"], ".csv or .parquet"),
        (["-f", "liq_rate", "--at", "@nowhere.txt"], "cannot be read"),
        (["-f", "liq_rate", "--every", "1ms", "--start", "2020-01-01"], "more than"),
    ],
)
def test_what_is_wrong_is_said(table, arguments, said, capsys):
    assert cli.main(["features", str(table), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_names_that_need_what_the_data_have_not_are_said(table, stream, capsys):
    """Liquidations alone: which of the names need trades or quotes, and no word about those that do not."""
    assert cli.main(["features", str(table), "-f", "price.last,liquidations.liq_volume@5s,flow.ofi@5s,BTC/flow.volume@5s", "--every", "1m"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "needs" in line]
    assert said == [
        "price.last, BTC/flow.volume@5s: needs trades, and the data have none: known less often, or never",
        "flow.ofi@5s: needs quotes, and the data have none: known less often, or never",
    ]
    part = stream[(stream["kind"] == int(lc.Kind.LIQUIDATION)) | (stream["instrument"] == 0)]
    data = feature_rows.Data(tuple(INSTRUMENTS), [part], int(part["ts_recv"][0]), int(part["ts_recv"][-1]))
    rows = feature_rows.rows_of(("price.last", "liquidations.liq_volume@5s", "BTC/flow.volume@5s"), data, np.array([data.end]))
    assert feature_rows.lacking(rows) == ["price.last: needs trades, and there are none of ETHUSDT: known less often, or never"]


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        feature_rows.open_data([tmp_path / "nothing"])
    empty = tmp_path / "empty.csv"
    empty.write_text("ts_ms,symbol,position,price,qty_base,notional_usd\n")
    with pytest.raises(DataError, match="no usable row"):
        feature_rows.open_data([empty])


def test_names_alone_are_written_in_full(capsys):
    assert cli.main(["features", "--features", "liq_btc_lead,flow.ofi@300s:zscore(1d)"]) == 0
    assert capsys.readouterr().out.split() == ["BTC/liquidations.liq_volume@1s:lag(30s)", "flow.ofi@5m:zscore"]
    assert cli.main(["features", "--features", "flow.ofi@5m:zscore(2d,min=10),flow.ofi@15m:zscore(4h),flow.ofi@15m:n_eff"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["flow.ofi@5m:zscore(2d,min=10)", "flow.ofi@15m:zscore(4h)", "flow.ofi@15m:n_eff"]
    assert "flow.ofi@15m:zscore(4h) is never known: its history holds at most 16 independent samples of 30" in err and "zscore(4h,min=16)" in err


def test_times():
    assert (
        feature_rows.parse_time("2026-02-09T13:00:00Z")
        == feature_rows.parse_time("1770642000")
        == feature_rows.parse_time("1770642000000")
        == 1770642000 * SECOND
    )
    assert feature_rows.parse_time("2026-02-09 14:00:00.123456789+01:00") == 1770642000 * SECOND + 123456789
    assert feature_rows.parse_time("2026-02-09T13:00:00.1234567899Z") == 1770642000 * SECOND + 123456789  # digits below the ns are cut
    assert feature_rows.iso(1770642000 * SECOND + 120_000_000) == "2026-02-09T13:00:00.12Z"
    for ns in (0, 1, 1770642000 * SECOND + 123456789):
        assert feature_rows.parse_time(feature_rows.iso(ns)) == ns


def test_a_store_gives_the_rows_of_its_files(table, tmp_path):
    from liqshell import store

    assert not store.fill(tmp_path / "store", [table]).broken
    names = ["liq_volume_5s", "liq_rate"]
    from_files, from_store = feature_rows.open_data([table]), feature_rows.open_data([tmp_path / "store"])
    times = feature_rows.times_of((), "20s", "", "", from_files)
    a, b = (feature_rows.rows_of(names, data, times) for data in (from_files, from_store))
    order = [[i.key for i in b.instruments].index(i.key) for i in a.instruments]
    assert np.array_equal(a.values, b.values[:, order], equal_nan=True) and (a.values > 0).any()


def test_a_day_that_a_contract_lacks_is_a_gap_as_on_a_tape_of_all_days(tmp_path):
    """Windows do not bridge a missing day: the rows of a store, read day by day, are those of its whole tape."""
    import store_files
    from liqshell import store
    from liqshell.store import importer

    day = store_files.DAY
    files = [
        store_files.save(
            tmp_path / f"{n}",
            {
                f"bybit~{symbol}": store_files.market(400, seed, store_files.T0 + n * day)
                for symbol, seed, days in (("BTCUSDT", 10 + n, (0, 1, 2)), ("ETHUSDT", 20 + n, (0, 2)))
                if n in days
            },
        )
        for n in range(3)
    ]
    assert not importer.run(tmp_path / "store", files, store_files.opener).broken
    names = ("price.return@12h", "liquidations.liq_volume@1d", "price.last")
    data = feature_rows.open_data([tmp_path / "store"])
    times = np.array([store_files.T0 + 2 * day + k * day // 12 for k in range(12)])
    rows = feature_rows.rows_of(names, data, times)
    events = store.open(tmp_path / "store").tape(missing="gap").events()
    features, at = lc.Features(names, data.instruments), 0
    for k, ts in enumerate(times.tolist()):
        stop = int(np.searchsorted(events["ts_recv"], ts, "right"))
        features.push(events[at:stop])
        at = stop
        assert np.array_equal(features.table(ts), rows.values[k], equal_nan=True)
    assert np.isnan(rows.values[0, 1]).all() and not np.isnan(rows.values[0, 0]).any()


def test_files_of_trades_say_nothing_of_liquidations(tmp_path, capsys):
    """Of a venue that publishes all of them: nobody has received them here. With a file of liquidations beside it, or where --instruments says so,
    they are known."""
    path = tmp_path / "BTCUSDT2026-02-09.csv"
    lines = [f"{1770595200 + k}.5,BTCUSDT,{'Buy' if k % 3 else 'Sell'},0.01,{60000 + k % 7},PlusTick,m-{k},6e10,0.01,600.0" for k in range(300)]
    path.write_text("timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n" + "\n".join(lines) + "\n")
    forced = tmp_path / "liquidations.csv"
    forced.write_text("ts_ms,venue,symbol,position,price,qty_base,notional_usd\n1770595260000,bybit,BTCUSDT,long,60000,0.1,6000\n")
    rules = tmp_path / "rules.toml"
    rules.write_text('["bybit:BTCUSDT"]\ncompleteness = "FULL"\n')

    def said(*more):
        assert cli.main(["features", *map(str, more), "-f", "liq_volume_1m,price.last", "--at", "2026-02-09T00:04:00"]) == 0
        out, err = capsys.readouterr()
        (row,) = csv.DictReader(io.StringIO(out))
        return row["completeness"], row["liquidations.liq_volume@1m"], row["price.last"] != "", "needs liquidations" in err

    assert said(path) == ("unknown", "", True, True)
    assert said(path, forced) == said(path, "--instruments", rules) == ("full", "0.0", True, False)
