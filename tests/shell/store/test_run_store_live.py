"""A feature of a run, of the store that is made of it and of the live engine is the same number: over seven hour files of a run whose
tickers say funding, index and open interest once, in the first hour."""

import contextlib
import gzip
import json
import shutil
from collections import Counter

import numpy as np
import pytest

import liqcore as lc
import said_once
from captures import DATA, needs_data
from liqcore.event import Stream
from liqshell import formats, store
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.run import recorded_events
from liqshell.store import importer
from recorder_lines import member, own, unpacked
from said_once import HOUR, NAMES, SYMBOLS, T0

HOURS = 7
MOMENTS = np.sort(np.concatenate([T0 + np.arange(1, HOURS * 6) * HOUR // 6, T0 + np.arange(1, HOURS) * HOUR + 7_000_000]))


@pytest.fixture(scope="module")
def frames():
    return said_once.frames(HOURS)


@pytest.fixture(scope="module")
def run(frames, tmp_path_factory):
    return said_once.record(tmp_path_factory.mktemp("once") / "run", frames, T0 + HOURS * HOUR)


@pytest.fixture(scope="module")
def live(frames):
    return said_once.live(frames, MOMENTS)


def stored(files, folder, jobs=1) -> np.ndarray:
    outcome = store.fill(folder, files, jobs=jobs)
    assert not outcome.broken
    return store.open(folder).tape(list(SYMBOLS)).events()


def test_every_feature_is_the_same_number_live_in_the_run_and_in_its_store(run, live, tmp_path):
    files = formats.files_of(run)
    assert len(files) >= HOURS and len(NAMES) > 40
    with formats.read(run) as reading:
        recorded = np.concatenate(list(reading.ordered()))
    from_run = said_once.of_events(recorded, MOMENTS)
    assert said_once.differ(live, from_run) == []
    assert said_once.differ(live, said_once.of_events(stored(files, tmp_path / "s"), MOMENTS)) == []
    known = ~np.isnan(live).all((0, 1))
    rates = live[:, :, NAMES.index("funding.funding")]
    assert set(rates[:, 0]) == {0.0001} and set(rates[:, 1]) == {0.0} and known.mean() > 0.9, [n for n, k in zip(NAMES, known, strict=True) if not k]


@pytest.mark.slow  # 10 s of processor time
def test_the_files_may_come_in_any_order_by_any_number_of_processes_and_in_several_imports(run, tmp_path):
    files = formats.files_of(run)
    assert not list(formats.read(files[-1]).ordered())  # the run ended with the hour: its last file holds nothing but that
    whole = stored(files, tmp_path / "whole").tobytes()
    assert stored(files[::-1], tmp_path / "backwards").tobytes() == whole
    assert stored(files, tmp_path / "jobs", jobs=3).tobytes() == whole
    for n in (5, 2, 0, 1, 3, 4, 6, *range(7, len(files))):
        importer.fill(tmp_path / "single", [files[n]])
    assert store.open(tmp_path / "single").tape(list(SYMBOLS)).events().tobytes() == whole
    alone = np.concatenate([part for file in files for part in formats.read(file).ordered()])
    with formats.read(run / journal.FRAMES) as reading:
        assert alone.tobytes() == np.concatenate(list(reading.ordered())).tobytes()


@pytest.mark.slow
def test_a_new_connection_and_a_silence_are_alike_in_all_three(frames, tmp_path):
    """Funding is said again after the third hour's reconnection, index and open interest are not: unknown from there on, in all three."""
    cut, back = T0 + 3 * HOUR + HOUR // 2, T0 + 3 * HOUR + HOUR // 2 + 40_000_000_000
    quiet = T0 + 5 * HOUR - 8_000_000_000, T0 + 5 * HOUR + 8_000_000_000  # over a change of files
    kept = [(ts, frame) for ts, frame in frames if not cut <= ts < back and not quiet[0] <= ts < quiet[1]]
    kept += [
        (
            back + 1000 * k,
            said_once.ticker(symbol, back, 40_000 + k, {"markPrice": "71000.0" if k == 0 else "151.00", "fundingRate": "-0.0003"}, True),
        )
        for k, symbol in enumerate(SYMBOLS)
    ]
    marks = [(cut, lc.FeedState.FEED_DOWN, cut - 1), (back - 1, lc.FeedState.FEED_UP, back - 1)]
    kept.sort(key=lambda f: f[0])
    run = said_once.record(tmp_path / "run", kept, T0 + HOURS * HOUR, marks)
    expected = said_once.live(kept, MOMENTS, marks)
    with formats.read(run) as reading:
        assert said_once.differ(expected, said_once.of_events(np.concatenate(list(reading.ordered())), MOMENTS)) == []
    files = formats.files_of(run)
    assert said_once.differ(expected, said_once.of_events(stored(files, tmp_path / "s"), MOMENTS)) == []
    tickers = stored(files[::-1], tmp_path / "backwards", jobs=2)
    tickers = tickers[(tickers["kind"] == lc.Kind.TICKER) & (tickers["ts_recv"] >= back)]
    assert len(tickers) and (tickers["aux_qty"] == -0.0003).all() and (tickers["flags"] == Stream.STREAM_INDEX | Stream.STREAM_OPEN_INTEREST).all()


def tickers_of(files, folder) -> np.ndarray:
    events = stored(files, folder)
    return events[events["kind"] == lc.Kind.TICKER]


@pytest.mark.slow
def test_behind_a_lost_hour_or_a_damaged_place_values_are_unknown_until_they_are_said(run, tmp_path):
    """No guess stands for what was in between: mark is said again at once, the others never are."""
    whole = tickers_of(formats.files_of(run), tmp_path / "whole")
    lost = tmp_path / "lost" / journal.FRAMES
    shutil.copytree(run / journal.FRAMES, lost)
    gone = next(lost.glob("*_03*"))
    gone.unlink()
    found = tickers_of(formats.files_of(lost.parent), tmp_path / "a")
    before, after = found["ts_recv"] < T0 + 3 * HOUR, found["ts_recv"] >= T0 + 4 * HOUR
    assert (found[before] == whole[whole["ts_recv"] < T0 + 3 * HOUR]).all()
    only_mark = Stream.STREAM_INDEX | Stream.STREAM_OPEN_INTEREST | Stream.STREAM_FUNDING
    assert after.any() and (found["flags"][after] == only_mark).all() and not found["aux_qty"][after].any()
    marks = store.open(tmp_path / "a").tape(list(SYMBOLS)).rare
    gaps = marks[(marks["kind"] == lc.Kind.FEED) & (marks["code"] == lc.FeedState.FEED_GAP)]
    assert len(gaps) == 1 and gaps["ts_recv"][0] >= T0 + 4 * HOUR
    whole_folder = np.concatenate(list(formats.read(lost).ordered()))
    one_by_one = np.concatenate([part for file in formats.files_of(lost.parent) for part in formats.read(file).ordered()])
    assert whole_folder.tobytes() == one_by_one.tobytes()

    for where, name in ((1, "torn"), (2, "cut")):  # in the middle of a file, and at its end
        torn = tmp_path / name / journal.FRAMES
        shutil.copytree(run / journal.FRAMES, torn)
        file = next(torn.glob("*_02*"))
        lines = unpacked(file).splitlines(keepends=True)
        third = len(lines) // 3
        members = [member(b"".join(lines[n * third : (n + 1) * third])) for n in range(3)]
        cut = members[where][: len(members[where]) // 2]
        file.write_bytes(b"".join([*members[:where], cut, *members[where + 1 :]]))
        whole_folder = np.concatenate(list(formats.read(torn).ordered()))
        one_by_one = np.concatenate([part for file in formats.files_of(torn.parent) for part in formats.read(file).ordered()])
        assert whole_folder.tobytes() == one_by_one.tobytes(), name
        events = stored(formats.files_of(torn.parent), tmp_path / f"{name}-store")
        gaps = events[events["kind"] == lc.Kind.FEED]
        assert gaps["code"].tolist() == [lc.FeedState.FEED_DOWN, lc.FeedState.FEED_UP, lc.FeedState.FEED_GAP], name  # and the silence that it leaves
        said = events["ts_recv"][events["kind"] != lc.Kind.FEED]
        assert gaps["ts_recv"][0] == said[said < gaps["ts_recv"][1]].max() + 1, name  # it begins with the last that was said
        tickers = events[events["kind"] == lc.Kind.TICKER]
        late = tickers[tickers["ts_recv"] >= gaps["ts_recv"][0]]
        assert len(late) and not late["aux_qty"].any() and (late["flags"] == only_mark).all(), name
        early = tickers[tickers["ts_recv"] < gaps["ts_recv"][0]]
        assert (early == whole[: len(early)]).all() and len(early) > len(whole) // 5


def test_hours_of_somebody_elses_recording_go_on_from_one_another(frames, tmp_path):
    """The research plan's hourly files, named by what they hold, without the settings of a run."""
    folder = tmp_path / "s4"
    folder.mkdir()
    for hour in range(4):
        for symbol in SYMBOLS:
            rows = [(ts, json.loads(frame)) for ts, frame in frames if T0 + hour * HOUR <= ts < T0 + (hour + 1) * HOUR and symbol in frame.decode()]
            lines = [
                json.dumps({"ts": ts // 10**6, "exchange": "bybit", "source": "ws", "stream": message["topic"], "symbol": symbol, "result": message})
                for ts, message in rows
            ]
            (folder / f"{symbol}_2026-02-09_{hour:02}.jsonl").write_text("\n".join(lines) + "\n")
    files = formats.files_of(folder)
    assert len(files) == 8
    first = tickers_of(files, tmp_path / "a")
    assert (first["flags"] == 0).all() and {0.0001, 0.0} == set(first["aux_qty"])
    assert tickers_of(files[::-1], tmp_path / "b").tobytes() == first.tobytes()


def differences(events: np.ndarray, found: np.ndarray, contracts: int) -> dict[str, int]:
    """In how many events of each contract and kind a field is another one."""
    out: Counter[str] = Counter()
    for n in range(-1, contracts):
        for kind in lc.Kind:
            mine, theirs = (rows[(rows["instrument"] == n) & (rows["kind"] == int(kind))] for rows in (events, found))
            assert len(mine) == len(theirs), (n, kind)
            out.update(
                {f"{kind.name} {name}": int((mine[name] != theirs[name]).sum()) for name in events.dtype.names if (mine[name] != theirs[name]).any()}
            )
    return dict(out)


def read_and_stored(file, folder, **options) -> dict[str, int]:
    opened = store.open(folder) if not store.fill(folder, [file], formats.Options(**options)).broken else None
    contracts, parts = [(c.venue, c.symbol) for c in opened.contracts], []
    with formats.read(file, formats.Options(**options)) as reading:
        for venue, symbol, rows in reading:
            parts.append(rows.copy())
            parts[-1]["instrument"] = -1 if symbol == formats.ALL else contracts.index((venue, symbol))
    events = np.concatenate(parts)
    return differences(events[np.argsort(events["ts_recv"], kind="stable")], opened.tape().events(), len(contracts))


def test_a_store_loses_nothing_but_the_venues_time_and_number_of_trades_and_quotes(run, tmp_path):
    """A tape keeps 17 bytes a trade. Nothing is decided by what it leaves out."""
    only = {"TRADE ts_event", "TRADE id", "BBO ts_event", "BBO id"}
    assert set(read_and_stored(formats.files_of(run)[2], tmp_path / "run")) <= only


@needs_data
def test_so_it_is_with_captures(tmp_path):
    only = {"TRADE ts_event", "TRADE id", "BBO ts_event", "BBO id"}
    lines = gzip.decompress(next((DATA / "market-bybit-v5-rawws-2026-08").glob("*.gz")).read_bytes()).decode().splitlines()
    frames = sorted((line for line in lines if '"t":"recv"' in line), key=lambda line: json.loads(line)["ts"])
    (tmp_path / "bybit.jsonl").write_text("\n".join(frames) + "\n")
    assert set(read_and_stored(tmp_path / "bybit.jsonl", tmp_path / "a")) == only
    forced = DATA / "liq-binance-btcusdt-2024-12" / "forceOrder_reconstructed.jsonl.gz"  # with the limit of each order
    assert read_and_stored(forced, tmp_path / "b") == {}
    rare = store.open(tmp_path / "b").tape().rare
    assert (rare["aux_qty"] > 0).mean() > 0.9 and len(rare) > 1000


@pytest.mark.slow
def test_any_damage_gives_what_is_left_or_an_error_and_file_by_file_the_same_as_in_one(run, tmp_path):
    """Bytes turned, files cut and hours gone, by seed."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed) / journal.FRAMES
        shutil.copytree(run / journal.FRAMES, folder)
        for file in formats.files_of(folder.parent)[1:-1]:
            raw, what = bytearray(file.read_bytes()), rng.random()
            if what < 0.15:
                file.unlink()
            elif what < 0.3:
                file.write_bytes(raw[: int(rng.integers(20, len(raw)))])
            elif what < 0.45:
                at = int(rng.integers(0, len(raw)))
                raw[at] ^= 1 << int(rng.integers(0, 8))
                file.write_bytes(raw)
        try:
            whole = np.concatenate(list(formats.read(folder).ordered()))
        except DataError:
            continue
        parts = []
        for file in formats.files_of(folder.parent):
            with contextlib.suppress(DataError):  # nothing of that file could be read
                parts += list(formats.read(file).ordered())
        assert whole.tobytes() == np.concatenate(parts).tobytes(), seed
        assert (np.diff(whole["ts_recv"]) >= 0).all() and len(whole) > 5000


def test_what_was_down_before_a_tear_is_down_behind_it(run, tmp_path):
    """A tear between DOWN and UP of the liquidations gives back the other streams alone; the backtest's reader says the same."""
    torn = tmp_path / "run" / journal.FRAMES
    shutil.copytree(run / journal.FRAMES, torn)
    file = next(torn.glob("*_02*"))
    lines = unpacked(file).splitlines(keepends=True)
    third, only = len(lines) // 3, {"venue": "bybit", "parts": [{"streams": int(Stream.STREAM_LIQUIDATION)}]}
    times = [json.loads(lines[k * third])["ts_recv"] for k in range(3)]
    down = own(times[1] - 1, "liqcore.feed", {"state": 2, "ts_event": times[1] - 1} | only)
    up = own(times[2] + 60 * 10**9, "liqcore.feed", {"state": 1, "ts_event": times[2] + 60 * 10**9} | only)
    behind = [one for one in lines[2 * third :] if json.loads(one)["ts_recv"] > times[2] + 60 * 10**9]
    middle = lines[2 * third : len(lines) - len(behind)]
    members = [
        member(b"".join([*lines[:third], down, *lines[third : third + 9]])),
        member(b"".join(lines[third + 9 : 2 * third])),
        member(b"".join([*middle, up, *behind])),
    ]
    file.write_bytes(members[0] + members[1][:30] + members[2])
    with formats.read(torn.parent) as reading:
        found = np.concatenate(list(reading.ordered()))
    marks = found[(found["kind"] == lc.Kind.FEED) & (found["ts_recv"] > times[0]) & (found["code"] != lc.FeedState.FEED_GAP)]
    rest = 127 & ~int(Stream.STREAM_LIQUIDATION)
    said = [(int(mark["code"]), int(mark["flags"])) for mark in marks]
    assert set(said[1:-1]) == {(2, rest), (1, rest)} and said[0] == (2, 127 - rest) and said[-1] == (1, 127 - rest), said
    read = recorded_events.read_events(torn.parent).events
    assert read[read["kind"] == lc.Kind.FEED].tobytes() == found[found["kind"] == lc.Kind.FEED].tobytes()
    features = lc.Features(["liquidations.liq_volume@1s", "flow.volume@10s"], said_once.INSTRUMENTS)
    at = int(np.searchsorted(found["ts_recv"], times[2] + 30 * 10**9))
    features.push(found[:at])
    volume = features.table(times[2] + 30 * 10**9)
    assert np.isnan(volume[:, 0]).all() and not np.isnan(volume[:, 1]).any()
