"""History over HTTP: rows in any order, each as it was known then, to the last bit; checkpoints change nothing; later data change nothing."""

import asyncio
import csv
import io
import os
import random
import sqlite3
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import store_files
from api_rig import DAY, HOUR, NAMES, SECOND, T0, Oracle, asked, bits, fill, market
from liqshell import cli
from liqshell.research import feature_rows
from liqshell.research.feature_walk import Walk
from liqshell.service import answers, ledger, openapi
from liqshell.service.problems import Problem
from liqshell.service.questions import history_of, in_order
from liqshell.service.series import series_of

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    return fill(folder / "store", *(market(folder / f"{day}", day) for day in (0, 1)))


@pytest.fixture(scope="module")
def oracle(store):
    return Oracle(store)


@pytest.fixture(scope="module")
def api(store, tmp_path_factory):
    with asked(store, tmp_path_factory.mktemp("state")) as one:
        yield one


times = st.integers(T0 - HOUR, T0 + 2 * DAY + HOUR) | st.integers(0, 192).map(lambda k: T0 + k * ledger.STEP_NS)


@given(st.lists(st.tuples(times, st.sampled_from(SYMBOLS)), max_size=30), st.permutations(NAMES))
@settings(max_examples=40)
def test_any_rows_are_what_was_known_then(api, oracle, rows, names):
    """Order and duplicates are kept; every bit is that of Features which saw nothing later."""
    rows = rows + rows[:3]
    answer = api.history(features=names, rows=[{"contract": symbol, "at": ts} for ts, symbol in rows])
    assert answer.status == 200, answer.body
    found, there = answer.json, {i.symbol: n for n, i in enumerate(oracle.instruments)}
    assert found["columns"]["at"] == [ts for ts, _ in rows] and found["columns"]["contract"] == [f"bybit:{symbol}" for _, symbol in rows]
    inside = [ts for ts, _ in rows if oracle.events["ts_recv"][0] <= ts <= oracle.events["ts_recv"][-1]]
    known = oracle.at(inside)
    for name in names:
        unknown = {n: reason for reason, places in found["unknown"].get(name, {}).items() for n in places}
        for n, (ts, symbol) in enumerate(rows):
            value = found["columns"][name][n]
            assert (value is None) == (n in unknown)
            if ts in known:
                assert bits(value) == bits(known[ts][there[symbol], NAMES.index(name)]), (name, ts, symbol)
            else:
                assert unknown[n] == "outside"


def test_every_form_says_the_same(api, oracle):
    rows = [{"asset": "BTC", "at": T0 + DAY + k * 37 * 60 * SECOND} for k in (5, 1, 1, 9)] + [
        {"asset": "eth", "venue": "bybit", "at": "2026-02-09T00:00:30Z"}
    ]
    question = {"features": list(NAMES), "rows": rows, "label": {"feature": "price.last", "after": "30m"}}
    columns = api.history(**question).json["columns"]
    import orjson
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = api.history(**question, headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    for n, line in enumerate(map(orjson.loads, lines.body.splitlines())):
        assert all(bits(line[name]) == bits(columns[name][n]) for name in (*NAMES, "label")) and line["at"] == columns["at"][n]
        assert set(line.get("unknown", ())) == {name for name in (*NAMES, "label") if columns[name][n] is None}
    table = list(csv.DictReader(io.StringIO(api.history(**question, headers={"accept": "text/csv;q=0.9, image/png"}).body.decode())))
    assert [row["contract"] for row in table] == columns["contract"]
    arrow = pa.ipc.open_stream(api.history(**question, headers={"accept": "application/vnd.apache.arrow.stream"}).body).read_all()
    parquet = pq.read_table(io.BytesIO(api.history(**question, headers={"accept": "application/vnd.apache.parquet"}).body))
    for name in (*NAMES, "label"):
        expected = [bits(value) for value in columns[name]]
        assert [bits(float(row[name]) if row[name] else None) for row in table] == expected
        assert [bits(value) for value in arrow[name].to_pylist()] == [bits(value) for value in parquet[name].to_pylist()] == expected
    assert parquet.schema.metadata[b"liqcore.data_hash"] == arrow.schema.metadata[b"liqcore.data_hash"]
    assert columns["label"][0] is not None and bits(columns["label"][0]) == bits(
        Oracle(api.library.path, ("price.last",)).at([rows[0]["at"] + HOUR // 2])[rows[0]["at"] + HOUR // 2][0, 0]
    )


def test_compact_forms_are_the_rows_written_out(api):
    at = [T0 + k * HOUR for k in range(3, 9)]
    long = api.history(features=["price.last"], rows=[{"asset": "BTC", "at": ts} for ts in at]).json["columns"]
    assert api.history(features=["price.last"], asset="BTC", at=at).json["columns"] == long
    assert (
        api.history(features=["price.last"], contract="bybit:BTCUSDT", every="1h", start=at[0], end=feature_rows.iso(at[-1])).json["columns"] == long
    )


def test_the_command_prints_the_same_bits(api, store, capsys):
    """`liqcore features` and the API, byte for byte."""
    at = [feature_rows.iso(T0 + k * 7 * HOUR + 123_456_789) for k in range(1, 6)]
    assert cli.main(["features", str(store), "-f", ",".join(NAMES), "--at", ",".join(at)]) == 0
    printed = capsys.readouterr().out.splitlines()
    rows = [{"contract": symbol, "at": ts} for ts in at for symbol in SYMBOLS]
    assert api.history(features=list(NAMES), rows=rows, headers={"accept": "text/csv"}).body.decode().splitlines() == printed


def test_the_newest_values_are_those_of_their_time(api):
    live = api.ask("GET", "/v1/features/live", f"asset=ETH&features={','.join(NAMES)}").json
    past = api.history(features=list(NAMES), asset="ETH", at=[live["as_of_ns"]]).json
    assert {name: bits(one["value"]) for name, one in live["features"].items()} == {name: bits(past["columns"][name][0]) for name in NAMES}
    assert live["data_hash"] == past["data_hash"] and live["received_through_ns"] == past["received_through_ns"]
    z = live["features"][NAMES[0]]
    assert (z["n"], z["n_eff"]) == (past["samples"][NAMES[0]]["n"][0], past["samples"][NAMES[0]]["n_eff"][0]) and z["n_eff"] >= 4
    assert z["completeness"] == "full" and live["receive_time"] == "recorded" and live["contract"] == "bybit:ETHUSDT"


def test_a_value_does_not_depend_on_what_else_is_asked(api, store):
    """One name alone, read from the states of a longer list."""
    at = [T0 + 5 * HOUR + k * 3 * HOUR for k in range(12)]
    api.history(features=list(NAMES), asset="ETH", at=at)
    for name in NAMES:
        alone = Oracle(store, (name,)).at(at)
        assert [bits(x) for x in api.history(features=[name], asset="ETH", at=at).json["columns"][name]] == [bits(alone[ts][1, 0]) for ts in at]


def test_states_are_kept_and_change_nothing(store, tmp_path):
    """A second server reads from the states of the first, and says the same; one moment then pushes a quarter of an hour of events at most."""
    rows = [{"asset": asset, "at": T0 + k * 2_791 * SECOND} for k in range(60) for asset in ("BTC", "ETH")]
    random.Random(4).shuffle(rows)
    with asked(store, tmp_path / "state") as first:
        expected = first.history(features=list(NAMES), rows=rows).body
    with asked(store, tmp_path / "state") as second:
        series = second.history(features=list(NAMES), asset="BTC", at=[T0 + DAY + 7 * HOUR + 1])
        assert series.status == 200
        one = next(iter(second.library.get().series.values()))
        kept = np.array(one._times)
        assert len(kept) > 150 and (kept % ledger.STEP_NS == 0).all()
        before = T0 + DAY + 7 * HOUR
        assert one._walks[0].features.refused == {} and max(t for t in kept if t <= before) == before
        assert second.history(features=list(NAMES), rows=rows).body == expected
    with asked(store, tmp_path / "other") as third:
        assert third.history(features=list(NAMES), rows=rows).body == expected


@pytest.mark.parametrize("walks", (1, 4))
def test_moments_beside_the_newest_values_and_behind_damaged_states_are_the_same(store, oracle, tmp_path, monkeypatch, walks):
    """Many moments before there is any state, with all of them, and with most of them damaged, while others ask for the newest values."""
    monkeypatch.setattr("liqshell.service.series.WALKS", walks)
    drawn = random.Random(1)
    with asked(store, tmp_path / "state") as api, ThreadPoolExecutor(1) as other:
        for _turn in range(4):
            at = sorted(drawn.sample(range(T0 + HOUR, T0 + 2 * DAY - HOUR), 300))
            beside = [other.submit(one.now, 0) for one in api.library.get().series.values()]
            found = api.history(features=list(NAMES), contract="BTCUSDT", at=at).json["columns"]
            known = oracle.at(at)
            assert all(bits(found[name][n]) == bits(known[ts][0, k]) for k, name in enumerate(NAMES) for n, ts in enumerate(at))
            assert all(len(newest.result()[1]) >= len(NAMES) for newest in beside)
            one = next(iter(api.library.get().series.values()))
            assert one._times == sorted(set(one._times))
            api.library.saved._all("update states set state = x'00' where ts % 3 != 0")
            one._states.clear()
            one._head = Walk(one._asked, one.dataset.data)  # the newest values come from kept states, too
        assert len(one._walks) == walks


def test_the_states_of_names_that_were_used_least_recently_go_first(store, tmp_path, monkeypatch):
    from liqshell.service import checkpoints

    def keys_of(api):
        return {key for (key,) in api.library.saved._all("select distinct key from states")}

    with asked(store, tmp_path / "state") as api:
        at, expected = [T0 + DAY + 5 * HOUR], {}
        for name in NAMES[:3]:
            expected[name] = api.history(features=[name], asset="BTC", at=at).body
        old, *_, new = [one._key for one in api.library.get().series.values()]
        assert keys_of(api) >= {old, new}
        monkeypatch.setattr(checkpoints, "BYTES_MAX", 1 << 20)
        api.history(features=[NAMES[3]], asset="BTC", at=at)
        assert old not in keys_of(api) and len(keys_of(api)) >= 1
        assert all(api.history(features=[name], asset="BTC", at=at).body == expected[name] for name in expected)


@pytest.mark.parametrize("damage", ["a bit", "cut", "of another time", "other columns", "pages"])
def test_damaged_states_change_no_answer(store, tmp_path, damage):
    """The checkpoints are a cache: whatever stands in the file, the answer is 200 with the same bytes."""
    body = {"features": list(NAMES[:4]), "asset": "BTC", "at": [T0 + DAY + 5 * HOUR, T0 + 3 * HOUR]}
    with asked(store, tmp_path / "state") as api:
        expected = api.history(**body).body
    file = tmp_path / "state" / "checkpoints.sqlite"
    base = sqlite3.connect(file, isolation_level=None)
    base.execute("pragma wal_checkpoint(truncate)")
    if damage == "other columns":
        base.executescript("drop table states; drop table ledgers; create table states (x); create table ledgers (x)")
    for table, column in (("states", "state"), ("ledgers", "about")) if damage not in ("other columns", "pages") else ():
        kept = base.execute(f"select rowid, {column} from {table} order by rowid").fetchall()
        assert kept
        for n, (row, blob) in enumerate(kept):
            middle = len(blob) // 2
            new = {"a bit": blob[:middle] + bytes([blob[middle] ^ 4]) + blob[middle + 1 :], "cut": blob[:middle], "of another time": kept[n - 1][1]}[
                damage
            ]
            base.execute(f"update {table} set {column} = ? where rowid = ?", (new, row))
    base.close()
    if damage == "pages":
        whole = bytearray(file.read_bytes())
        for at in range(4096 + 50, len(whole), 4096):
            whole[at : at + 400] = bytes(400)
        file.write_bytes(whole)
    for _ in range(2):
        with asked(store, tmp_path / "state") as api:
            answer = api.history(**body)
        assert answer.status == 200 and answer.body == expected


def test_a_stream_keeps_to_its_contract_and_ends_with_its_key(store, tmp_path):
    from liqshell.service.stream import stream

    fill(tmp_path / "more", market(tmp_path / "0", 0, symbols=("AAVEUSDT", *SYMBOLS)))
    with asked(store, tmp_path / "state") as one, asked(tmp_path / "more", tmp_path / "state2") as other:
        there, may = [one.library.get(), other.library.get()], [True]
        assert [i.key for i in there[0].data.instruments].index("bybit:BTCUSDT") != [i.key for i in there[1].data.instruments].index("bybit:BTCUSDT")

        async def read():
            found = stream(lambda: there[0], one.library.saved, {"price.last": "price.last"}, "bybit:BTCUSDT", HOUR, T0 + 2 * HOUR, lambda: may[0])
            await anext(found)  # how long to wait before coming back
            there[0] = there[1]
            pieces = [await asyncio.wait_for(anext(found), 30)]
            may[0] = False
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(anext(found), 30)
            return pieces

        assert all(piece.count(b'"contract":"bybit:BTCUSDT"') == piece.count(b"event: features") > 0 for piece in asyncio.run(read()))


def test_a_time_that_is_reached_later_has_another_etag(tmp_path):
    """The data end, and begin again after a while in which nothing was received: their hash at a time in between is the same before and after, but
    what stood there was not known before."""
    store = fill(tmp_path / "store", market(tmp_path / "0", 0))
    last = int(Oracle(store).events["ts_recv"][-1])
    with asked(store, tmp_path / "state") as api:
        questions = [
            {"features": ["price.last"], "asset": "BTC", "at": [last + 60 * SECOND]},
            {"features": ["price.last"], "asset": "BTC", "at": [last - HOUR], "label": {"feature": "price.last", "after": "61m"}},
        ]
        before = [api.history(**question) for question in questions]
        assert before[0].json["columns"]["price.last"] == [None] == before[1].json["columns"]["label"]
        fill(store, market(tmp_path / "1", 1, start=HOUR))
        for question, old in zip(questions, before, strict=True):
            now = api.history(**question, headers={"if-none-match": old.headers["etag"]})
            assert now.status == 200 and now.json["data_hash"] == old.json["data_hash"] and now.headers["etag"] != old.headers["etag"]
            assert now.json["columns"]["label" if "label" in question else "price.last"] != [None]


def test_an_answer_looks_no_further_than_the_data_went_when_it_was_asked(store, tmp_path):
    """A run goes on while it is answered: values, reasons and ETag are of one time."""
    with asked(store, tmp_path) as api:
        dataset, saved = api.library.get(), api.library.saved
        whole, dataset.complete = dataset.complete, T0 + DAY
        body = {
            "features": ["price.last"],
            "asset": "BTC",
            "at": [T0 + DAY - HOUR, T0 + DAY + HOUR],
            "label": {"feature": "price.last", "after": "2h"},
        }
        question = history_of(dataset, body)
        tag = answers.etag_of(dataset, question, answers.JSON)
        dataset.complete = whole
        table = answers.table_of(dataset, question, saved)
        assert (
            len(table.rows) == 2
            and not np.isnan(table.values["price.last"][0])
            and np.isnan(table.values["price.last"][1])
            and np.isnan(table.values["label"]).all()
        )
        assert {why.reason for why in table.reasons.values()} == {"outside"} and len(table.reasons) == 3
        assert tag == answers.etag_of(dataset, question, answers.JSON) != answers.etag_of(dataset, history_of(dataset, body), answers.JSON)


def test_an_answer_over_which_an_import_changes_a_day_says_so(tmp_path):
    """It was a ValueError about rows, hence a fault of the server; asked again, it is answered."""
    store = fill(tmp_path / "store", *(market(tmp_path / f"{day}", day) for day in (0, 1, 2)))
    with asked(store, tmp_path / "state") as api:
        dataset, saved = api.library.get(), api.library.saved
        body = {"features": ["price.last"], "asset": "BTC", "every": "1h"}
        question = history_of(dataset, body)
        fill(store, store_files.save(tmp_path / "late", {"bybit~BTCUSDT": store_files.market(300, 77, T0 + DAY + HOUR, 6 * HOUR)}))
        with pytest.raises(Problem, match="an import has changed the data meanwhile"):
            answers.table_of(dataset, question, saved)
        assert api.history(**body).status == 200


@given(st.lists(st.tuples(st.integers(0, 1 << 62) | st.integers(0, 5), st.integers(0, 3)), max_size=60))
def test_rows_in_order_are_each_once_and_found_again(rows):
    found, back = in_order(rows)
    assert [tuple(row) for row in found.tolist()] == sorted(set(rows)) and [tuple(found[k].tolist()) for k in back] == rows


def test_names_that_several_ask_for_at_once_are_found(store, tmp_path):
    class Slow(dict):
        def pop(self, *key):
            found = super().pop(*key)
            time.sleep(0.002)  # another thread looks now
            return found

    with asked(store, tmp_path) as api, ThreadPoolExecutor(4) as threads:
        dataset = api.library.get()
        series_of(dataset, ["price.last"], api.library.saved)
        dataset.series = Slow(dataset.series)
        found = list(threads.map(lambda _: series_of(dataset, ["price.last"], api.library.saved), range(100)))
        assert all(one is found[0] for one in found)


@pytest.mark.parametrize("cut", ["day", "part of a day"])
def test_later_and_late_data_change_no_answer(tmp_path, cut):
    """1,000 random (asset, time): after an import of data received later, some of it of earlier events, the same bytes and ETag. After an import of
    earlier data another ETag, and what a new walk over all of it says."""
    whole = store_files.market(1500, 3, T0 + DAY)
    late = whole[-200:].copy()
    late["ts_event"] = T0 + DAY + HOUR  # happened long ago, received now
    if cut == "day":
        late["ts_recv"] += DAY
        first = whole
    else:
        first = whole[:-200]
    store = fill(tmp_path / "store", market(tmp_path / "0", 0, symbols=SYMBOLS), store_files.save(tmp_path / "1", {"bybit~BTCUSDT": first}))
    draw = random.Random(5)
    last = int(first["ts_recv"][-1])
    rows = [{"asset": draw.choice(("BTC", "ETH")), "at": draw.randrange(T0, last)} for _ in range(1000)]
    names = list(NAMES[:5])
    with asked(store, tmp_path / "state") as api:
        before = api.history(features=names, rows=rows)
        fill(store, store_files.save(tmp_path / "late", {"bybit~BTCUSDT": late}))
        after = api.history(features=names, rows=rows)
        assert (after.status, after.body, after.headers["etag"]) == (200, before.body, before.headers["etag"])
        again = api.history(features=names, rows=rows, headers={"if-none-match": before.headers["etag"]})
        assert again.status == 304 and not again.body and again.headers["etag"] == before.headers["etag"]
        assert api.history(features=names, rows=rows, headers={"if-none-match": before.headers["etag"], "accept": "text/csv"}).status == 200
        newest = api.history(features=names, asset="BTC", at=[int(late["ts_recv"][-1])]).json
        assert newest["received_through_ns"] == int(late["ts_recv"][-1])

        early = store_files.market(300, 77, T0 + HOUR, 6 * HOUR)
        fill(store, store_files.save(tmp_path / "early", {"bybit~ETHUSDT": early}))
        changed = api.history(features=names, rows=rows)
        assert changed.headers["etag"] != before.headers["etag"] and changed.json["data_hash"] != before.json["data_hash"]
        oracle = Oracle(store, names)
        known, columns = oracle.at([row["at"] for row in rows]), changed.json["columns"]
        place = {i.asset: n for n, i in enumerate(oracle.instruments)}
        for n, row in enumerate(rows):
            for k, name in enumerate(names):
                if row["at"] >= oracle.events["ts_recv"][0]:
                    assert bits(columns[name][n]) == bits(known[row["at"]][place[row["asset"]], k])


def test_a_contract_that_is_imported_later_does_not_answer_for_its_asset(tmp_path):
    """Another venue's contract of the same asset, whose name stands before: what was asked of the asset is answered with the same numbers."""
    store = fill(tmp_path / "store", market(tmp_path / "0", 0, symbols=SYMBOLS))
    names, at = list(NAMES[:5]), [T0 + n * HOUR for n in range(1, 12)]
    with asked(store, tmp_path / "state") as api:
        before = api.history(features=names, asset="BTC", at=at).json
        fill(store, store_files.save(tmp_path / "late", {"binance~BTCUSDT": store_files.market(200, 8, T0 + 3 * DAY)}))
        assert api.library.get().data.instruments[0].key == "binance:BTCUSDT"
        after = api.history(features=names, asset="BTC", at=at).json
        assert after["columns"] == before["columns"] and after["received_through_ns"] == before["received_through_ns"]


def test_why_a_value_is_not_known(tmp_path):
    """Warming up, a gap of the feed, nothing received, outside."""
    events = store_files.market(4000, 9)
    events = events[events["kind"] != 4]  # no tickers
    down, up = T0 + 6 * HOUR, T0 + 6 * HOUR + 600 * SECOND
    marks = np.zeros(2, events.dtype)
    marks["ts_event"] = marks["ts_recv"] = down, up
    marks["kind"], marks["code"] = 5, (2, 1)
    from liqcore import FeedState, Kind

    marks["kind"], marks["code"] = int(Kind.FEED), (int(FeedState.FEED_DOWN), int(FeedState.FEED_UP))
    events = events[(events["ts_recv"] < down) | (events["ts_recv"] >= up)]
    events = np.concatenate([events, marks])
    events = events[np.argsort(events["ts_recv"], kind="stable")]
    store = fill(tmp_path / "store", store_files.save(tmp_path / "a", {"bybit~BTCUSDT": events}))
    names = ["liquidations.liq_volume@1h", "funding.funding", "liquidations.liq_imbalance@15m:zscore(4h,min=4)"]
    with asked(store, tmp_path / "state") as api:
        at = [T0 + 600 * SECOND, down + SECOND, up + 1800 * SECOND, up + 2 * HOUR, T0 - HOUR]
        found = api.history(features=names, asset="BTC", at=at).json
        assert found["unknown"][names[0]] == {"warming": [0], "gap": [1, 2], "outside": [4]}
        assert found["unknown"][names[1]] == {"no_data": [0, 1, 2, 3], "outside": [4]}
        assert found["columns"][names[0]][3] is not None
        assert api.history(features=names, asset="BTC", at=at, on_outside="error").status == 404
        live = api.ask("GET", "/v1/features/live", f"features={','.join(names)}").json["features"]
        assert live["funding.funding"] == {"value": None, "unit": "fraction", "unknown": "no_data"} and live[names[0]]["value"] is not None
        assert api.ask("GET", "/v1/features/live", f"features={names[1]}&strict=1").status == 409


@pytest.mark.parametrize(("venue", "of"), [("somewhere", "trades"), ("somewhere", "late"), ("bybit", "trades")])
def test_liquidations_that_nobody_was_heard_to_publish_are_unknown(tmp_path, venue, of, capsys):
    """A venue of which nobody knows, whose first liquidation comes late, and files of trades of any: null and why, over HTTP, with states and
    without, and by the command; what the plain-Python definition says."""
    from feature_streams import Twin, same

    events = store_files.market(3000, 9)
    first = T0 + DAY // 2
    events = events[(events["kind"] != 1) | (events["ts_recv"] >= first) & (of == "late")]
    assert (events["kind"] == 1).any() == (of == "late")
    store = fill(tmp_path / "store", store_files.save(tmp_path / "a", {f"{venue}~BTCUSDT": events}))
    names = ["liquidations.liq_volume@1h", "liquidations.liq_imbalance@15m:n", "liquidations.liq_count@1h:lag(30m)", "hawkes.intensity_long"]
    at = [T0 + k * HOUR + 123 for k in (2, 5, 9, 11, 13, 16, 21)]
    with asked(store, tmp_path / "state") as api:
        found = [api.history(features=names, asset="BTC", at=at).json for _ in range(2)]
        live = api.ask("GET", "/v1/features/live", f"features={','.join(names)}").json["features"]
    assert found[0] == found[1] and live[names[0]]["completeness"] == "unknown"
    data = feature_rows.open_data([store])
    twin = Twin(names[:3], data.instruments)
    for ts, k in zip(at, range(len(at)), strict=True):
        for e in data.parts[0][: np.searchsorted(data.parts[0]["ts_recv"], ts, "right")][len(twin.oracle.rows) :]:
            twin.push(e)
        for n, name in enumerate(names[:3]):
            value = found[0]["columns"][name][k]
            assert same(float("nan") if value is None else value, twin.read(n, 0, ts)), (name, ts)
    early = [k for k, ts in enumerate(at) if of == "trades" or ts < first]
    known = [k for k, ts in enumerate(at) if of == "late" and ts > first + 2 * HOUR]
    for name in names:
        assert set(found[0]["unknown"][name]["no_data"]) >= set(early) and all(found[0]["columns"][name][k] is not None for k in known)
        assert live[name].get("unknown") == ("no_data" if of == "trades" else None)
    assert cli.main(["features", str(store), "-f", ",".join(names), "--at", f"{at[0]},{at[-1]}"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].endswith(f"{venue}:BTCUSDT,unknown,,,,")
    assert ("needs liquidations, and the data have none" in err) == (of == "trades")


def over(api, location):
    """The state of a job that is no longer worked on."""
    until = time.monotonic() + 60
    while (state := api.ask("GET", location).json)["state"] not in ("done", "failed") and time.monotonic() < until:
        time.sleep(0.02)
    return state


def test_a_large_question_is_a_job(api):
    body = {"features": ["price.last"], "asset": "BTC", "every": "500ms"}
    assert api.history(**body).status == 409  # of what is sent none is too large: 413
    body["every"] = "1s"
    body["end"] = T0 + 30_000 * SECOND
    begun = api.ask("POST", "/v1/jobs", body=body, headers={"accept": "text/csv"})
    assert begun.status == 202
    state = over(api, begun.headers["location"])
    assert state["state"] == "done", state
    result = api.ask("GET", begun.headers["location"], "result=1")
    assert result.headers["content-type"] == "text/csv" and result.body == api.history(**body, headers={"accept": "text/csv"}).body
    assert api.ask("GET", "/v1/jobs/" + "0" * 16).status == 404


def in_pieces(api, monkeypatch, kind, pieces, **body):
    """The bytes of an answer of which so many rows are in memory at a time; how many rows were said to be done."""
    monkeypatch.setattr(answers, "PIECE_ROWS", pieces)
    dataset, out, done = api.library.get(), io.BytesIO(), []
    answers.write(dataset, history_of(dataset, body), api.library.saved, kind, out, done.append)
    return out.getvalue(), done


@pytest.mark.parametrize("order", ["rising", "any"])
def test_an_answer_in_pieces_is_the_whole_one(api, oracle, monkeypatch, order):
    """Nulls for every reason, a label, z-scores with their samples: byte for byte, and what columns hold."""
    import orjson
    import pyarrow as pa
    import pyarrow.parquet as pq

    times = [T0 - HOUR + k * 613 * SECOND for k in range(500)]
    if order == "any":
        random.Random(3).shuffle(times)
    rows = [{"contract": SYMBOLS[k % 3 % 2], "at": ts} for k, ts in enumerate(times)]
    first, last = oracle.events["ts_recv"][[0, -1]]
    body = {"features": [*NAMES, "risk.pool"], "rows": rows, "label": {"feature": "price.return@1h", "after": "2h"}}
    for kind in (answers.JSON, answers.NDJSON, answers.CSV):
        whole, done = in_pieces(api, monkeypatch, kind, 1000, **body)
        assert max(done) == len({(row["contract"], row["at"]) for row in rows if first <= row["at"] <= last})  # of those that have data
        assert in_pieces(api, monkeypatch, kind, 7, **body)[0] == in_pieces(api, monkeypatch, kind, 499, **body)[0] == whole
        if kind == answers.JSON:
            assert orjson.dumps(orjson.loads(whole)) == whole == api.history(**body).body  # as orjson writes it in one
    opened = {answers.ARROW: lambda data: pa.ipc.open_stream(data).read_all(), answers.PARQUET: lambda data: pq.read_table(io.BytesIO(data))}
    for kind, read in opened.items():
        whole, part = (read(in_pieces(api, monkeypatch, kind, pieces, **body)[0]) for pieces in (1000, 7))
        assert part.schema.equals(whole.schema, check_metadata=True) and part.combine_chunks().equals(whole.combine_chunks())
    assert in_pieces(api, monkeypatch, answers.CSV, 7, features=["price.last"], rows=[])[0].count(b"\n") == 1
    assert orjson.loads(in_pieces(api, monkeypatch, answers.JSON, 7, features=["price.last"], rows=[])[0])["columns"] == {
        "at": [],
        "contract": [],
        "price.last": [],
    }


@pytest.mark.parametrize(("kind", "most"), [(answers.CSV, 20), (answers.NDJSON, 20), (answers.ARROW, 20), (answers.PARQUET, 20), (answers.JSON, 60)])
def test_a_long_answer_is_not_held_in_memory(api, monkeypatch, kind, most):
    """Bytes a row that it takes beside the rows that were asked for: of JSON, which is by columns, its numbers."""
    monkeypatch.setattr(answers, "PIECE_ROWS", 2000)
    dataset, saved, peaks = api.library.get(), api.library.saved, []
    for count in (4_000, 4_000, 44_000):  # the first one makes what stays
        question = history_of(
            dataset,
            {
                "features": ["price.last", "risk.pool", "flow.volume@1m"],
                "asset": "BTC",
                "every": "1s",
                "start": T0 + HOUR,
                "end": T0 + HOUR + (count - 1) * SECOND,
            },
        )
        assert len(question.rows) == count
        tracemalloc.start()
        with open(os.devnull, "wb") as out:
            answers.write(dataset, question, saved, kind, out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[2] - peaks[1]) / 40_000 < most, peaks


def test_a_job_does_not_keep_a_server_alive_that_ends(store, tmp_path):
    """Its walk and the reasons of its nulls would take minutes."""
    with asked(store, tmp_path) as api:
        names = [f"risk.deleveraged@{n}m" for n in range(1, 41)]  # never known here: a reason for each of 40 x 100,000
        begun = api.ask("POST", "/v1/jobs", body={"features": names, "asset": "BTC", "every": "1s", "end": T0 + 100_000 * SECOND})
        jobs = api.site.run.__self__.jobs
        while not api.ask("GET", begun.headers["location"]).json["rows_done"]:
            time.sleep(0.01)
        stopped = time.monotonic()
    jobs._worker.shutdown(wait=True)  # what the interpreter does at its end
    assert time.monotonic() - stopped < 3.0
    (job,) = jobs._jobs.values()
    assert (job.state, job.why) == ("failed", "the server ends")
    with pytest.raises(Problem, match="the server ends"):
        series_of(api.library.get(), ["price.last"], api.library.saved).rows([(T0 + DAY, 0)])


def test_a_job_that_breaks_says_so(api, monkeypatch):
    from liqshell.service import jobs

    def broken(*given):
        raise RuntimeError("a secret of the program")

    monkeypatch.setattr(jobs.answers, "write", broken)
    begun = api.ask("POST", "/v1/jobs", body={"features": ["price.last"], "asset": "BTC", "at": [T0 + HOUR]})
    state = over(api, begun.headers["location"])
    assert state["state"] == "failed" and "secret" not in str(state), state
    result = api.ask("GET", begun.headers["location"], "result=1")
    assert result.status == 409 and "retry-after" not in result.headers  # a client that obeys it would ask for ever


def test_what_the_schema_says_of_a_question_is_what_is_taken(api):
    """Also of null, member by member; and the result of a job is of the form that is said of it."""
    jsonschema = pytest.importorskip("jsonschema")
    paths = openapi.document()["paths"]
    asked, begun = (paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"] for path in ("/v1/features/historical", "/v1/jobs"))
    body = {"features": ["price.last"], "asset": "BTC", "at": [T0 + HOUR]}
    given = {"contract": "bybit:BTCUSDT", "venue": "bybit", "label": {"feature": "price.last", "after": "1h"}, "on_outside": "null", "run": ""}
    bodies = [{**body, name: null} for name in (*body, *given) for null in (None, given.get(name, body.get(name)), 5.5, {}, [])]
    bodies += [
        {"features": ["price.last"], "rows": [{"asset": "BTC", "at": T0 + HOUR} | {name: null}]}
        for name in ("asset", "contract", "venue", "at")
        for null in (None, 5.5, {}, [])
    ]
    for one in bodies:
        said = jsonschema.Draft202012Validator(asked).is_valid(one)
        if one.get("at") == [] or one.get("asset", "") is None or (one.get("rows") or [{"asset": ""}])[0]["asset"] is None:
            continue  # no row; of two contracts neither is named: no schema can say it
        assert (api.history(**one).status == 200) == said, one
        assert (api.ask("POST", "/v1/jobs", body=one).status in (202, 429)) == said, one
    assert jsonschema.Draft202012Validator(begun).is_valid({**body, "at": [T0] * 100_001})
    while (job := api.ask("POST", "/v1/jobs", body=body)).status == 429:
        time.sleep(0.05)
    assert over(api, job.headers["location"])["state"] == "done"
    told = paths["/v1/jobs/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    for query in ("", "result=1"):
        jsonschema.validate(api.ask("GET", job.headers["location"], query).json, told)
    assert [api.ask("GET", job.headers["location"], f"result={other}").status for other in ("0", "null", "")] == [422, 422, 422]
