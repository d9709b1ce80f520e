"""What a reading refuses, sorts or only notes; and that it always says so."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from format_files import MS, SNAPSHOT, T0, TARDIS_PRINTS, TARDIS_QUOTES, events, tuples, write
from liqshell import formats
from liqshell.errors import DataError
from liqshell.formats import delimited
from liqshell.formats.validate import Block, Findings, Limits, Validator

SECOND = 1_000_000_000


def rows(*given: tuple, kind=lc.Kind.TRADE) -> np.ndarray:
    """(ts_recv after T0 in s, price [, instrument]) as events."""
    out = np.zeros(len(given), lc.EVENT_DTYPE)
    out["kind"], out["side"], out["qty"] = kind, 1, 1.0
    for n, row in enumerate(given):
        out["ts_event"][n] = out["ts_recv"][n] = T0 + round(row[0] * SECOND)
        out["price"][n] = row[1]
        out["instrument"][n] = row[2] if len(row) > 2 else 0
    return out


def run(*blocks: np.ndarray | Block, faithful=False, **limits) -> tuple[np.ndarray, Findings]:
    findings = Findings("f.csv")
    validator = Validator(findings, Limits(**limits), faithful)
    out: list[np.ndarray] = []
    for block in blocks:
        out += validator.push(block if isinstance(block, Block) else Block(block, 2))
    out += validator.finish()
    return np.concatenate(out) if out else rows(), findings


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (f"bybit,X,{T0 // 1000},{T0 // 1000},,hold,5,1", "no side"),
        (f"bybit,X,{T0 // 1000},{T0 // 1000},,buy,0,1", "price not above 0"),
        (f"bybit,X,{T0 // 1000},{T0 // 1000},,buy,5,-1", "quantity not above 0"),
        (f"bybit,X,{T0 // 1000},{T0 // 1000},,buy,,1", "not a number"),
        (f"bybit,X,{T0 // 1000},{T0 // 1000},,buy,5,nan", "not a number"),
        (f"bybit,X,{T0 // MS},{T0 // MS},,buy,5,1", "time before 2009: another unit?"),
        (f"bybit,X,{T0},{T0},,buy,5,1", "time before 2009: another unit?"),
    ],
)
def test_a_row_that_cannot_be_is_refused_counted_and_named_by_its_line(tmp_path, cells, reason):
    good = [f"bybit,X,{T0 // 1000 + n},{T0 // 1000 + n},,buy,5,1" for n in range(9)]
    path = write(tmp_path / "trades.csv", TARDIS_PRINTS, *good[:4], cells, *good[4:])
    seen = []
    got = events(path, seen)
    reasons = {key: n for key, n in seen[0].counts.items() if not key.startswith(("kept", "sorted"))}
    assert len(got) == 9 and reasons == {reason: 1}
    assert seen[0].shown[0].startswith(f"{path}:6: ")


def test_a_file_of_which_most_is_refused_is_not_what_it_seemed(tmp_path):
    path = write(tmp_path / "trades.csv", TARDIS_PRINTS, *(f"bybit,X,{T0 // MS},{T0 // MS},,buy,5,1" for _ in range(30)))
    with pytest.raises(DataError, match="30 of 30 rows are invalid: 30 x time before 2009"):
        events(path)


def test_a_lone_price_far_from_its_neighbours_is_refused_and_a_new_level_is_not():
    got, findings = run(rows((0, 100), (1, 101), (2, 1e6), (3, 100), (4, 99), (5, 0.5), (6, 100)))
    assert got["price"].tolist() == [100, 101, 100, 99, 100] and findings.refused == 2 and ":4: " in findings.shown[0]
    got, findings = run(rows(*((n, 100) for n in range(5)), *((n, 1) for n in range(5, 9))))
    assert len(got) == 9 and not findings.counts  # LUNA: it stays down there
    got, findings = run(rows((0, 100), (1, 100)), rows((2, 1e6), (3, 100), (4, 100)))
    assert got["price"].tolist() == [100] * 4  # the neighbour before is in the block before
    got, findings = run(rows((0, 100, 0), (1, 1e5, 1), (2, 100, 0), (3, 1e5, 1)))
    assert len(got) == 4  # neighbours are of the same contract


def test_late_rows_are_put_in_their_place_within_the_window_across_blocks():
    got, findings = run(rows((10, 1), (12, 1), (11, 1)), rows((9, 1), (13, 1), (30, 1)), rows((29, 1)))
    assert ((got["ts_recv"] - T0) / SECOND).tolist() == [9, 10, 11, 12, 13, 29, 30]
    assert findings.counts == {"sorted: ts_recv went back": 3} and findings.late == 3


def test_a_row_that_comes_later_than_the_window_is_an_error_with_its_line():
    with pytest.raises(DataError, match=r"f\.csv:4: the time goes back by 20\.000 s"):
        run(rows((0, 1), (30, 1), (10, 1)))
    got, _ = run(rows((0, 1), (30, 1), (10, 1)), window_s=60.0)
    assert ((got["ts_recv"] - T0) / SECOND).tolist() == [0, 10, 30]


def test_contracts_one_after_the_other_in_a_file_are_each_in_order():
    got, findings = run(rows((0, 1, 0), (100, 1, 0), (0, 1, 1), (50, 1, 1)))
    assert not findings.counts and len(got) == 4
    assert all((np.diff(got["ts_recv"][got["instrument"] == n]) > 0).all() for n in (0, 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 4.9), st.integers(0, 2)), min_size=1, max_size=80), st.lists(st.integers(1, 30), max_size=10)
)
def test_sorting_in_a_window_is_a_stable_sort(given_rows, cuts):
    # true order by second, delivered with a delay below half the window
    delivered = sorted(range(len(given_rows)), key=lambda n: given_rows[n][0] + given_rows[n][1])
    all_rows = rows(*((given_rows[n][0], 100 + n, given_rows[n][2]) for n in delivered))
    blocks, start = [], 0
    for cut in [*cuts, len(all_rows)]:
        blocks.append(all_rows[start : start + cut])
        start += cut
    got, findings = run(*blocks, all_rows[start:])
    for n in np.unique(all_rows["instrument"]):
        mine = all_rows[all_rows["instrument"] == n]
        assert got[got["instrument"] == n].tobytes() == mine[np.argsort(mine["ts_recv"], kind="stable")].tobytes()
    assert findings.rows == findings.passed == len(all_rows) and findings.refused == 0


def test_an_id_that_comes_again_is_dropped_also_in_the_next_block(tmp_path):
    ids = np.array([5, 6, 6], np.uint64)
    got, findings = run(Block(rows((0, 1), (1, 2), (1, 2)), 2, ids), Block(rows((2, 3), (3, 9)), 5, np.array([7, 5], np.uint64)))
    assert got["price"].tolist() == [1, 2, 3] and findings.counts == {"the same id again": 2}
    path = write(
        tmp_path / "trades.csv",
        TARDIS_PRINTS,
        *(f"bybit,X,{T0 // 1000 + n},{T0 // 1000 + n},{'ab'[n % 2]}-{'x' * (n // 2)},buy,5,1" for n in range(8)),
        f"bybit,X,{T0 // 1000 + 9},{T0 // 1000 + 9},a-xx,buy,5,1",
    )
    seen = []
    assert len(events(path, seen)) == 8 and seen[0].counts["the same id again"] == 1
    assert events(path)["id"].tolist() == [0] * 8  # words are no number for the event


def test_alike_rows_without_an_id_are_kept_but_for_a_feed_with_one_a_second(tmp_path):
    got, findings = run(rows((0, 1), (0, 1), (1, 1)))
    assert len(got) == 3 and findings.counts == {"kept: a row like another, without an id": 1}
    row = f"{T0 // MS},SELL,LIMIT,IOC,7,57900,58000.5,FILLED,6,7"
    seen = []
    assert len(events(write(tmp_path / "BTCUSDT-liquidationSnapshot-2024-01-01.zip", SNAPSHOT, row, row), seen)) == 1
    assert sum(seen[0].counts.values()) == 1


def test_silence_is_noted_per_contract_and_kind():
    quotes = rows((0, 1), (50, 1), (200, 1), (201, 1), (400, 1, 1), (401, 1, 1), kind=lc.Kind.BBO)
    quotes["aux_price"], quotes["aux_qty"] = 2.0, 1.0
    got, findings = run(quotes[:2], quotes[2:])
    assert len(got) == 6 and findings.gaps_all == 1
    assert findings.gaps == [(0, int(lc.Kind.BBO), T0 + 50 * SECOND, T0 + 200 * SECOND)]


def test_a_quote_without_a_market_is_refused_and_ends_the_one_before():
    """A mark stands in its place: nothing may go on being traded against what the venue has taken back."""
    quotes = rows((0, 5), (1, 5), (2, 5), (3, 5), (4, 5), (5, 0), kind=lc.Kind.BBO)
    quotes["aux_price"], quotes["aux_qty"] = [6, 5, 4, 60, 0, 6], 1.0
    got, findings = run(quotes)
    assert findings.counts == {"crossed book": 2, "an ask more than 10 times the bid": 1, "a side of the book without a price": 2}
    assert findings.refused == 5
    assert got["kind"].tolist() == [lc.Kind.BBO] + 4 * [lc.Kind.FEED] and got["flags"].tolist() == [0] + 4 * [lc.Stream.STREAM_QUOTE]
    assert (got["ts_recv"] - T0).tolist() == [n * SECOND for n in (0, 1, 2, 4, 5)]
    engine = lc.Engine([lc.Instrument("AUSDT", tick_size="1", lot_size="1"), lc.Instrument("BUSDT", tick_size="1", lot_size="1")])
    engine.run(got)
    assert engine.refused == {}
    faithful, _ = run(quotes, faithful=True)
    assert faithful.tobytes() == quotes.tobytes()


def test_faithful_readings_change_nothing_and_count_everything():
    given_rows = rows((0, 100), (1, 1e9), (0.5, 100), (2, -1))
    got, findings = run(given_rows, faithful=True)
    assert got.tobytes() == given_rows.tobytes() and findings.refused == 0
    assert {key.split(":")[0] for key in findings.counts} == {"kept"} and sum(findings.counts.values()) >= 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "0", "-3", "1e9", "nan", "", "2"]),
            st.sampled_from(["1", "0", "-1", "inf", ""]),
            st.sampled_from(["buy", "sell", "Buy", "", "x"]),
            st.sampled_from(["", "1", "2", "3"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_rows_in_are_rows_out_and_rows_refused(tmp_path_factory, cells):
    path = write(
        tmp_path_factory.mktemp("v") / "trades.csv",
        TARDIS_PRINTS,
        *(f"bybit,X,{T0 // 1000 + n},{T0 // 1000 + n},{i},{s},{p},{q}" for n, (p, q, s, i) in enumerate(cells)),
    )
    reading = formats.read(path)
    try:
        got = sum(len(part) for _, _, part in reading)
    except DataError as why:
        assert "are invalid" in str(why)
        return
    found = reading.findings
    assert found.rows == len(cells) == got + found.refused and got == found.passed
    assert found.refused == sum(count for reason, count in found.counts.items() if not reason.startswith(("kept", "sorted")))
    assert len(found.shown) == min(found.refused, 5)


def test_delay_between_event_and_receipt_that_cannot_be_is_noted(tmp_path):
    path = write(tmp_path / "trades.csv", TARDIS_PRINTS, f"bybit,X,{T0 // 1000},{T0 // 1000 + 7_200_000_000},,buy,5,1")
    seen = []
    assert [t[1:3] for t in tuples(events(path, seen))] == [(T0, T0 + 7200 * SECOND)]
    assert seen[0].counts == {"kept: received more than an hour from the event": 1}


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 15)
    path = write(
        tmp_path / "q.csv.gz", TARDIS_QUOTES, *(f"bybit,X,{T0 // 1000 + 10_000 * n},{T0 // 1000 + 10_000 * n},1,6,5,1" for n in range(60_000))
    )
    events(write(tmp_path / "warm.csv.gz", TARDIS_QUOTES, f"bybit,X,{T0 // 1000},{T0 // 1000},1,6,5,1"))
    tracemalloc.start()
    try:
        count = sum(len(part) for _, _, part in formats.read(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 60_000 and peak < 2_000_000  # the events alone are 3.8 MB, the text is 3.4 MB


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="feed_latency_ms"):
        formats.Options(feed_latency_ms=-1)
