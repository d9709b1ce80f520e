"""The store: what goes in comes out, from any files, in any cut, however the range is chosen."""

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore.event import EVENT_DTYPE, FeedState, Kind
from liqshell import formats, store
from liqshell.errors import ConfigError, DataError
from liqshell.formats import column_map
from liqshell.store import assemble, importer, merge, strip
from liqshell.store.grid import Grid
from liqshell.store.merge import Overlap
from liqshell.store.rows import LAYOUT, LAYOUTS, canonical, from_arrow, to_arrow
from store_files import (
    DAY,
    HOUR,
    SECOND,
    T0,
    entering,
    market,
    opener,
    partitions,
    save,
)

DENSE = (Kind.TRADE, Kind.BBO)


def fill(root: Path, *files: Path, **options) -> importer.Outcome:
    return importer.run(root, list(files), opener, **options)


def same_but_event_time(found: np.ndarray, expected: np.ndarray) -> bool:
    """A tape keeps ts_event and id of rare events only."""
    expected = expected.copy()
    dense = np.isin(expected["kind"], DENSE)
    expected["ts_event"][dense] = expected["ts_recv"][dense]
    expected["id"][dense] = 0
    found = found.copy()
    found["instrument"] = 0
    return found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_rows_become_columns_and_rows_again(layout):
    events = np.zeros(300, EVENT_DTYPE)
    rng = np.random.default_rng(3)
    events["kind"] = layout.kind
    for field in layout.fields:
        whole = {"ts_event": 1 << 40, "ts_recv": 1 << 40, "id": 1 << 40, "flags": 256}.get(field)
        events[field] = rng.integers(0, whole, 300) if whole else rng.normal(size=300)
    for number in layout.numbers:
        if number.nullable:
            events[number.field][:50] = 0.0
    if layout.label:
        events[layout.label_field] = rng.choice([value for value, _ in layout.labels], 300)
    said = canonical(layout, events)
    assert from_arrow(layout, to_arrow(layout, said)).rows().tobytes() == said.tobytes() == canonical(layout, said).tobytes()
    for number in layout.numbers:
        mine = events["code"] == number.only if number.only else np.ones(300, bool)
        stated = events["flags"] & number.bit == 0 if number.bit else np.ones(300, bool)
        stated &= ~((events[number.field] == 0.0) & number.nullable)
        assert (said[number.field] == np.where(stated, events[number.field], 0.0))[mine].all()
        assert not number.bit or ((said["flags"] & number.bit == 0) == stated)[mine].all()
        column = to_arrow(layout, said).column(number.column)
        assert number.may_be_null or not column.null_count
        assert not number.only or not column.filter(pa.array(~mine)).drop_null()  # null where the row is of another word


def test_events_in_are_events_out(tmp_path):
    events = market(20_000, span=3 * DAY, step_ns=20_000_000)
    fill(tmp_path / "s", save(tmp_path / "a.npz", {"bybit~ETHUSDT": events}))
    tape = store.open(tmp_path / "s").tape("ETHUSDT")
    assert same_but_event_time(tape.events(), entering(events))
    again = store.open(tmp_path / "s").tape("ETHUSDT")  # from the strip that is there
    assert again.events().tobytes() == tape.events().tobytes()


def test_partitions_are_plain_parquet_with_typed_columns(tmp_path):
    events = market(2000)
    fill(tmp_path / "s", save(tmp_path / "a.npz", {"bybit~BTC/USDT": events}))
    folder = tmp_path / "s" / "bybit" / "BTC%2FUSDT"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet")) == [
        f"{kind}/2026-02-09.parquet" for kind in ("liquidations", "quotes", "tickers", "trades")
    ]
    for reader in ("polars", "pandas"):
        frame = pytest.importorskip(reader).read_parquet(folder / "liquidations" / "2026-02-09.parquet")
        assert list(frame.columns) == ["ts_event", "ts_recv", "side", "price", "qty", "notional", "limit", "id"]
        assert {str(side) for side in frame["side"]} == {"LONG", "SHORT"}
        forced = events[events["kind"] == Kind.LIQUIDATION]
        assert [str(side) for side in frame["side"]] == ["LONG" if side > 0 else "SHORT" for side in forced["side"]]
        assert np.asarray(frame["price"]).tolist() == forced["price"].tolist()
        assert "ns" in str(frame["ts_recv"].dtype) and "UTC" in str(frame["ts_recv"].dtype)
        missing = frame["notional"].is_null().sum() if reader == "polars" else frame["notional"].isna().sum()
        assert missing == (forced["aux_price"] == 0).sum() > 0
    assert store.open(tmp_path / "s").contract("BTC/USDT").rules.instrument.tick_size == "0.01"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_cut_into_files_in_any_order_gives_the_same_store(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cuts")
    rows = data.draw(st.integers(20, 400))
    moment = data.draw(st.sampled_from([1_000_000, SECOND, HOUR]))  # coarse: many rows share a moment
    events = market(rows, seed=data.draw(st.integers(0, 99)), start=T0 + DAY - HOUR * 3, span=6 * HOUR, step_ns=moment)
    fill(folder / "whole", save(folder / "whole.npz", {"bybit~ETHUSDT": events}))
    cuts = sorted({0, rows, *data.draw(st.lists(st.integers(0, rows), max_size=6))})
    overlap = data.draw(st.sampled_from([0, 0, 7]))
    files = [
        save(folder / f"{n}.npz", {"bybit~ETHUSDT": events[max(0, a - overlap) : b]}) for n, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False))
    ]
    order = data.draw(st.permutations(files))
    for batch in data.draw(st.sampled_from([[order], [[file] for file in order]])):
        outcome = fill(folder / "cut", *batch)
        assert not outcome.broken
    assert partitions(folder / "cut") == partitions(folder / "whole")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 2)), max_size=12),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 2)), max_size=12),
)
def test_merge_is_the_larger_multiset_and_does_not_depend_on_who_came_first(a, b):
    layout = LAYOUT["trades"]

    def rows(spec):
        out = np.zeros(len(spec), EVENT_DTYPE)
        for n, (ts, price, qty) in enumerate(sorted(spec, key=lambda row: row[0])):
            out[n]["ts_recv"], out[n]["price"], out[n]["qty"], out[n]["side"], out[n]["kind"] = ts, price, qty, 1, Kind.TRADE
        return out

    def span(events):
        return (int(events["ts_recv"][0]), int(events["ts_recv"][-1])) if len(events) else (0, 0)

    first, second = rows(a), rows(b)
    overlap = Overlap()
    both = merge.merge(layout, first, second, span(first), span(second), overlap)
    for row in set(a) | set(b):
        assert both.tolist().count(rows([row]).tolist()[0]) == max(a.count(row), b.count(row))
    assert (np.diff(both["ts_recv"]) >= 0).all()
    assert overlap.duplicates == sum(min(a.count(row), b.count(row)) for row in set(a))
    assert merge.merge(layout, both, second, span(both), span(second), Overlap()).tobytes() == both.tobytes()
    other = merge.merge(layout, second, first, span(second), span(first), Overlap())
    assert sorted(other.tolist()) == sorted(both.tolist())
    assert embedded(first, both) and embedded(second, other)
    ends = {span(first)[0], span(first)[1], span(second)[0], span(second)[1]}
    torn = [ts for ts in ends if any(r[0] == ts for r in a) and any(r[0] == ts for r in b)]
    if embedded(first, other) and embedded(second, both) and not torn:  # they do not contradict each other
        assert other.tobytes() == both.tobytes()


def embedded(some, rows):
    """Whether rows stand in others in their own order."""
    left = iter(rows.tolist())
    return all(row in left for row in some.tolist())


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=16), st.data())
def test_pieces_of_one_record_give_it_back_wherever_its_rows_repeat(spec, data):
    layout = LAYOUT["trades"]
    whole = np.zeros(len(spec), EVENT_DTYPE)
    whole["ts_recv"], whole["price"] = zip(*sorted(spec, key=lambda row: row[0]), strict=True)
    whole["qty"], whole["side"], whole["kind"] = 1, 1, Kind.TRADE

    def merged(one, two):
        return merge.merge(layout, one, two, *((int(part["ts_recv"][0]), int(part["ts_recv"][-1])) for part in (one, two)), Overlap())

    begin, end = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=2, max_size=2, unique=True)))
    assert merged(whole, whole[begin:end]).tobytes() == merged(whole[begin:end], whole).tobytes() == whole.tobytes()
    before, behind = whole[:end], whole[begin:]  # they overlap; what they have in common must show how often rows stand in the whole
    count = [Counter(part.tolist()) for part in (whole, before, behind)]
    if count[0] == count[1] | count[2] and len(np.unique(before["ts_recv"])) > 1 < len(np.unique(behind["ts_recv"])):
        assert merged(before, behind).tobytes() == merged(behind, before).tobytes() == whole.tobytes()


def test_a_moment_with_more_rows_than_are_compared_keeps_the_order_of_the_store(monkeypatch):
    monkeypatch.setattr(merge, "CELLS_MAX", 3)
    whole = np.zeros(10, EVENT_DTYPE)
    whole["ts_recv"], whole["price"], whole["qty"], whole["kind"] = 5, [1, 2, 3, 1, 2, 3, 1, 2, 3, 1], 1, Kind.TRADE
    assert merge.merge(LAYOUT["trades"], whole, whole[5:], (5, 5), (5, 5), Overlap()).tobytes() == whole.tobytes()


def test_a_file_that_begins_in_the_middle_of_a_second_leaves_its_rows_as_they_are(tmp_path):
    prices = [100, 101, 102, 100, 101, 102, 100, 101, 102, 100]
    rows = [f"{price + second},0.1,{T0 // 1_000_000 + second * 1000},Buy" for second in range(20) for price in prices]
    for name, some in (("whole", rows), ("a", rows[:130]), ("b", rows[125:])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["p,v,T,S", *some]) + "\n")
    table = column_map.made(
        {
            "kind": "trade",
            "time": {"column": "T", "unit": "ms"},
            "side": {"column": "S", "of": "taker"},
            "price": "p",
            "size": "v",
            "symbol": {"value": "BTCUSDT"},
            "venue": {"value": "bybit"},
        },
        "map",
    )
    for names in (("whole",), ("a", "b"), ("b", "a"), ("whole", "b"), ("b", "whole")):
        for name in names:
            assert not store.fill(tmp_path / "-".join(names), [tmp_path / f"{name}.csv"], options=formats.Options(columns=table)).broken
        assert partitions(tmp_path / "-".join(names)) == partitions(tmp_path / "whole")


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 3 * DAY // SECOND), min_size=2, max_size=2, unique=True))
def test_a_range_is_a_piece_of_the_whole_wherever_it_is_cut(tmp_path_factory, seed, cut):
    folder = tmp_path_factory.mktemp("range")
    events = market(600, seed, span=3 * DAY, step_ns=SECOND)
    rng = np.random.default_rng(seed)
    wild = rng.choice(600, 12, replace=False)
    events["price"][wild] *= 50  # what the door refuses, also at borders of days
    fill(folder / "s", save(folder / "a.npz", {"bybit~ETHUSDT": events}))
    start, end = (T0 + s * SECOND for s in sorted(cut))
    at = store.open(folder / "s")
    whole = at.tape("ETHUSDT").events()
    piece = at.tape("ETHUSDT", start, end).events()
    assert piece.tobytes() == whole[(whole["ts_recv"] >= start) & (whole["ts_recv"] < end)].tobytes()


def test_several_contracts_share_a_tape(tmp_path):
    a, b = market(3000, 1, step_ns=SECOND), market(3000, 2, step_ns=SECOND, price=0.5)
    fill(tmp_path / "s", save(tmp_path / "a.npz", {"bybit~ETHUSDT": a, "bybit~DOGEUSDT": b}))
    at = store.open(tmp_path / "s")
    tape = at.tape(["DOGEUSDT", "ETHUSDT"])
    assert [i.symbol for i in tape.instruments] == ["DOGEUSDT", "ETHUSDT"]
    events = tape.events()
    assert (np.diff(events["ts_recv"]) >= 0).all()
    assert same_but_event_time(events[events["instrument"] == 1], entering(a))
    assert same_but_event_time(events[events["instrument"] == 0], entering(b))
    assert at.select(["DOGEUSDT"]).fingerprint != at.select(["ETHUSDT"]).fingerprint


def test_a_range_is_stored_nowhere_and_is_the_same_in_memory_and_aside(tmp_path, monkeypatch):
    contracts = {f"bybit~C{n}USDT": market(2000, n, span=2 * DAY, step_ns=SECOND * 10) for n in range(3)}
    fill(tmp_path / "s", save(tmp_path / "a.npz", contracts))
    cache = tmp_path / "s" / ".cache"
    for left in (cache / "_merged", cache / "bybit" / "C0USDT" / "ranges"):  # of an earlier version
        left.mkdir(parents=True)
        (left / "old.strip").write_bytes(b"old")
    store.open(tmp_path / "s").make_columns()
    days = sorted(cache.rglob("*.strip"))
    chosen = ["C2USDT", "C0USDT", "C1USDT"]
    plain = store.open(tmp_path / "s").tape(chosen)
    moments = plain.rare["ts_recv"].astype(object) * 8 + plain.rare["instrument"]  # as one number: by time, then by instrument
    assert (moments[1:] >= moments[:-1]).all()
    for n, name in enumerate(chosen):
        alone, mine = store.open(tmp_path / "s").tape([name]), plain.rare["instrument"] == n
        assert np.array_equal(alone.place, plain.place[mine]) and len(alone.rare) > 100
        assert all(np.array_equal(alone.rare[field], plain.rare[field][mine]) for field in EVENT_DTYPE.names if field != "instrument")
    monkeypatch.setattr(assemble, "MEMORY_BYTES", 0)
    monkeypatch.setattr(assemble, "free_memory", lambda: 0)
    kept = store.open(tmp_path / "s").tape(chosen)
    assert kept.events().tobytes() == plain.events().tobytes() and kept.place.tobytes() == plain.place.tobytes()
    for n in range(3):
        for one, other in zip((kept.trades(n), kept.quotes(n)), (plain.trades(n), plain.quotes(n)), strict=True):
            assert {name: column.tobytes() for name, column in one.items()} == {name: column.tobytes() for name, column in other.items()}
    assert len(days) == 6 and sorted(path for path in cache.rglob("*") if path.is_file()) == days
    cut = store.open(tmp_path / "s").tape(chosen, T0 + 5 * HOUR, T0 + 30 * HOUR).rare
    assert cut.tobytes() == plain.rare[(plain.rare["ts_recv"] >= T0 + 5 * HOUR) & (plain.rare["ts_recv"] < T0 + 30 * HOUR)].tobytes()


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "9000\n", "memory.current": "2000\n"}, 7000),
        ({"memory.max": "max\n", "memory.current": "1\n"}, None),
        ({"memory/memory.limit_in_bytes": "500\n", "memory/memory.usage_in_bytes": "900\n"}, 0),
        ({}, None),
    ],
)
def test_free_memory_is_that_of_the_machine_or_of_its_container(tmp_path, monkeypatch, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(strip, "CGROUP", tmp_path)
    found = strip.free_memory()
    assert found == limit if limit is not None else found == 0 or found > 1 << 25


def test_marks_of_the_whole_venue_reach_every_contract(tmp_path):
    marks = np.zeros(2, EVENT_DTYPE)
    marks["kind"], marks["instrument"] = Kind.FEED, -1
    marks["ts_event"] = marks["ts_recv"] = [T0 + HOUR, T0 + 2 * HOUR]
    marks["code"] = [FeedState.FEED_DOWN, FeedState.FEED_UP]
    a = market(500, 1, step_ns=HOUR // 4)
    fill(
        tmp_path / "s",
        save(tmp_path / "a.npz", {"bybit~ETHUSDT": a, "bybit~DOGEUSDT": market(500, 2), "bybit~_all": marks, "okx~BTC": market(50, 3)}),
    )
    tape = store.open(tmp_path / "s").tape(["ETHUSDT", "BTC", "DOGEUSDT"])
    feed = tape.rare[tape.rare["kind"] == Kind.FEED]
    assert feed["instrument"].tolist() == [0, 2, 0, 2] and feed["code"].tolist() == [2, 2, 1, 1]
    one = store.open(tmp_path / "s").tape(["ETHUSDT", "DOGEUSDT"])
    assert one.rare[one.rare["kind"] == Kind.FEED]["instrument"].tolist() == [-1, -1]  # of one venue: one event for all
    lc.Tape(one.instruments, {"strips": [{"trades": one.trades(n), "quotes": one.quotes(n)} for n in range(2)], "rare": one.rare, "place": one.place})
    events = tape.events(0)
    at = int(np.flatnonzero(events["ts_recv"] == T0 + HOUR)[0])
    assert events["kind"][at] == Kind.FEED and (events["ts_recv"] == T0 + HOUR).sum() > 1  # before all else of its moment
    strips = [{"trades": tape.trades(n), "quotes": tape.quotes(n)} for n in range(3)]
    assert len(lc.Tape(tape.instruments, {"strips": strips, "rare": tape.rare, "place": tape.place})) == len(tape)  # checks every place


def test_what_is_missing_is_named(tmp_path):
    for day in (0, 1, 4):
        save(tmp_path / f"{day}.npz", {"bybit~ETHUSDT": market(50, day, T0 + day * DAY)})
    fill(tmp_path / "s", *sorted(tmp_path.glob("*.npz")), save(tmp_path / "o.npz", {"okx~ETHUSDT": market(50), "okx~SOLUSDT": market(50)}))
    at = store.open(tmp_path / "s")
    with pytest.raises(DataError, match=r"bybit:ETHUSDT has no 2026-02-11 to 2026-02-12; the store has 2026-02-09 to 2026-02-10, 2026-02-13"):
        at.tape("bybit:ETHUSDT")
    with pytest.raises(DataError, match="okx:SOLUSDT has no 2026-02-10"):
        at.tape("SOLUSDT", "2026-02-09", "2026-02-10")
    assert len(at.tape("bybit:ETHUSDT", "2026-02-09", "2026-02-10")) == 100  # a date as end means all of it
    assert at.select("bybit:ETHUSDT", "2026-02-09T12:00", "2026-02-09T12:30+00:00").end == T0 + 12 * HOUR + HOUR // 2
    gap = at.tape("bybit:ETHUSDT", missing="gap").rare
    assert gap[gap["kind"] == Kind.FEED]["ts_recv"].tolist() == [T0 + 4 * DAY]
    with pytest.raises(ConfigError, match="more than one venue; expected bybit:ETHUSDT or okx:ETHUSDT"):
        at.tape("ETHUSDT")
    with pytest.raises(ConfigError, match=r"no contract 'ETHUDST'; expected bybit:ETHUSDT, okx:ETHUSDT"):
        at.tape("ETHUDST")
    with pytest.raises(ConfigError, match="a start before the end"):
        at.tape("SOLUSDT", "2026-02-10", "2026-02-09")
    with pytest.raises(ConfigError, match="is not a time"):
        at.tape("SOLUSDT", "yesterday")
    with pytest.raises(DataError, match="no store"):
        store.open(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        store.open(tmp_path / "nowhere")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1, 2, 5, 10, 25, 50]), st.integers(0, 8), st.integers(300, 600), st.integers(0, 999))
def test_the_tick_size_is_found_again(step, decimals, count, seed):
    if step == 25 and decimals == 0:
        step = 2
    rng = np.random.default_rng(seed)
    ticks = rng.integers(1, 5000, count) * step
    assert float(Grid.of(ticks / 10.0**decimals).step()) == step / 10.0**decimals


@pytest.mark.parametrize(
    ("step", "price", "found"),
    [
        ("0.0005", 58_000, "0.0005"),
        ("0.00025", 58_000, "0.00025"),
        ("0.0005", 250_000, "0.0005"),  # as many ticks as of 0.001 and less than 2^31
        ("0.0001", 58_000, "0.001"),
        ("0.0005", 300_000, "0.001"),
    ],
)  # too many: as fine as there is room for
def test_a_step_of_many_decimals_is_kept_as_long_as_its_ticks_fit(step, price, found):
    ticks = np.random.default_rng(1).integers(-3000, 3000, 700) + int(Decimal(price) / Decimal(step))
    assert Grid.of(np.array([float(int(n) * Decimal(step)) for n in ticks])).step() == Decimal(found)


def test_a_few_prices_off_the_grid_do_not_spoil_it_and_few_prices_do_not_make_it_coarse():
    prices = np.arange(1, 10_001) * 0.5
    prices[:5] += 0.123456789
    assert float(Grid.of(prices).step()) == 0.5
    assert float(Grid.of(np.array([100.0, 200.0, 300.0])).step()) == 1.0
    assert Grid.of(np.array([0.1 + 0.2])).step() is not None  # noise of a float: as fine as int32 allows
    lots = np.append(np.arange(1, 400) / 1000, [0.1 + 0.2] * 2)  # as text without the zeros of the noise, which an Instrument refuses
    assert str(Grid.of(lots).step()) == "0.001"
    assert Grid.of(np.zeros(0)).step() is None
    halves = Grid.sum([Grid.of(prices[:100]), Grid.of(prices[100:])])
    assert halves.as_dict() == Grid.load(halves.as_dict()).as_dict() and halves.step() == Grid.of(prices).step()


def test_the_live_process_does_not_import_the_store_nor_pyarrow():
    program = (
        "import sys, liqshell.live, liqshell.run.pipeline; "
        "print([m for m in sys.modules if m.startswith(('pyarrow', 'liqshell.store', 'liqshell.formats'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
