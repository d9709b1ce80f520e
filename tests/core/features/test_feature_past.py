"""What features say of the past: lags are what was known exactly then, z-scores say on how many samples they stand, and what was not said is unknown."""

import gzip
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_feature_meaning import liquidation, rows_of

import liqcore as lc
from captures import DATA, needs_data
from feature_streams import INSTRUMENTS, LAGGED, SECOND, T0, Twin, events, same
from liqcore.event import FeedState, Kind, Stream
from liqcore.features import spec as feature_spec

MINUTE = 60 * SECOND
MAPS = ("map.pending_below@3pct:lag(9s)", "map.realised_above@1.5pct:change(7s)", "hawkes.intensity_long:lag(9s)", "hawkes.next_large:lag(4s)")


def compare(names, rows, rng, asked=1.0, pace=0.85):
    """Stream and definition, at events and between them; the definition, which is slow, at a share `asked` of the moments. How many values were known."""
    features, twin, known, at = lc.Features(names, INSTRUMENTS), Twin(names), np.zeros(len(names), int), 0
    ts = rows["ts_recv"].astype(int)
    for stop in range(1, len(rows) + 1):
        if (stop < len(rows) and ts[stop] == ts[stop - 1]) or rng.random() < pace:
            continue
        features.push(rows[at:stop])
        for e in rows[at:stop]:
            twin.push(e)
        at = stop
        now = int(ts[stop - 1]) + int(rng.random() * (int(ts[stop]) - int(ts[stop - 1]) if stop < len(rows) else 20 * SECOND))
        got = features.table(now)
        known += (~np.isnan(got)).sum(0)
        for r in rng.choice(len(names), 3) if rng.random() < asked else ():
            n = int(rng.integers(0, len(INSTRUMENTS)))
            expected = twin.read(r, n, now)
            # their definition is a fresh stream, which forgets nothing
            forgot = (features.lost or feature_spec.ROOM_MAX < 10) and names[r] in MAPS and np.isnan(got[n, r])
            assert same(got[n, r], expected) or forgot, (names[r], n, now, got[n, r], expected)
    assert features.refused == {}
    return known, features


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_a_lag_is_what_was_known_then(seed):
    """In stream and definition, for every kind of feature, with gaps of some streams and tickers that do not say everything."""
    rng = np.random.default_rng(seed)
    compare(list(LAGGED), events(rng, 500, feed=float(rng.choice([0.0, 0.004]))), rng)


@pytest.mark.parametrize("seed", range(3))
def test_every_lag_is_known_at_last(seed):
    rng = np.random.default_rng(500 + seed)
    names = [*LAGGED, *MAPS]
    known, features = compare(names, events(rng, 4000, feed=0.001), rng, asked=0.1)
    assert (known > 0).all(), [name for name, many in zip(names, known, strict=True) if not many]
    assert features.lost == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_rows_are_what_pushes_and_reads_give(seed):
    """Events in one call: before the first time, between times, at that very ns, after the last; none at all; broken ones among them."""
    rng = np.random.default_rng(seed)
    names, rows = [*LAGGED, *MAPS], events(rng, int(rng.integers(0, 400)), feed=0.004)
    rows["price"][rng.random(len(rows)) < 0.03] = -1.0
    span = rows["ts_recv"].astype(int).tolist() or [T0]
    times = np.sort(np.concatenate([rng.integers(span[0], span[-1] + 20 * SECOND, 40), rng.choice(span, 10)]))
    whose, asked = rng.integers(0, len(INSTRUMENTS), len(times)), rng.permutation(names)[:7].tolist()
    one, other, low = lc.Features(names, INSTRUMENTS), lc.Features(names, INSTRUMENTS), 0
    found = one.rows(rows, times, whose, asked)
    for k, ts in enumerate(times.tolist()):
        high = int(np.searchsorted(rows["ts_recv"], ts, "right"))
        other.push(rows[low:high])
        low = high
        assert all(same(found[k, c], other.read(name, int(whose[k]), ts)) for c, name in enumerate(asked))
    other.push(rows[low:])
    assert one.snapshot() == other.snapshot() and one.refused == other.refused


def test_rows_say_what_is_wrong_and_change_nothing():
    features, rows = lc.Features(["price.last", "oi.oi"], INSTRUMENTS), events(np.random.default_rng(1), 50)
    last = int(rows["ts_recv"][-1])
    features.push(rows)
    before = features.snapshot()
    for times, whose, names, why in (
        ([last - 1], [0], ["price.last"], f"ts: expected rising times from {last} ns on"),
        ([last + 9, last + 8], [0, 0], [], "ts: expected rising"),
        ([last], [4], ["price.last"], "instruments: expected 0 to 3, got 4 to 4"),
        ([last], [0, 0], ["oi.oi"], "one of each for a row"),
    ):
        with pytest.raises(ValueError, match=why):
            features.rows(rows[:0], times, whose, names)
    with pytest.raises(KeyError, match="price.mark"):
        features.rows(rows[:0], [last], [0], ["price.mark"])
    assert features.snapshot() == before and features.rows(rows[:0], [], [], ["oi.oi"]).shape == (0, 1)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_forgotten_is_unknown_never_wrong(seed):
    """More has come since than is remembered: nan in both, and known again once it is quiet."""
    rng, before = np.random.default_rng(seed), (feature_spec.ROOM_MIN, feature_spec.ROOM_MAX)
    feature_spec.ROOM_MIN = feature_spec.ROOM_MAX = int(rng.choice([1, 3, 6]))
    try:
        rows = events(rng, 700, feed=0.003)
        compare(list(LAGGED), rows[:400], rng)
        known, features = compare([*LAGGED, *MAPS], rows, rng, asked=0.1)
        assert features.lost > 0 and known.any()
    finally:
        feature_spec.ROOM_MIN, feature_spec.ROOM_MAX = before


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 6, 12]))
@example(8524, 3)
def test_no_lag_is_unknown_for_what_was_forgotten_and_not_counted(seed, many):
    """Beside a stream that remembers everything."""
    rng, before = np.random.default_rng(seed), (feature_spec.ROOM_MIN, feature_spec.ROOM_MAX)
    rows, whole = events(rng, 60, feed=0.01), lc.Features(list(LAGGED), INSTRUMENTS)
    feature_spec.ROOM_MIN = feature_spec.ROOM_MAX = many
    try:
        short = lc.Features(list(LAGGED), INSTRUMENTS)
    finally:
        feature_spec.ROOM_MIN, feature_spec.ROOM_MAX = before
    for at in range(len(rows)):
        whole.push(rows[at : at + 1])
        short.push(rows[at : at + 1])
        if at + 1 == len(rows) or rows["ts_recv"][at + 1] > rows["ts_recv"][at]:
            unknown = np.isnan(short.table()) & ~np.isnan(whole.table())
            assert short.lost > 0 or not unknown.any(), at
    assert whole.lost == 0


def test_a_change_is_forgotten_once_more_have_come_than_are_remembered():
    """A lag of a minute remembers 4000 changes: of 4100 within it, the first 100 are counted, and each once, whatever was said at its own ns before."""
    features, ts = lc.Features(["price.last:lag(1m)"], "BTCUSDT"), T0 + 100 * SECOND
    rows = np.zeros(1 + 2 * 4100, lc.EVENT_DTYPE)
    rows["kind"], rows["side"], rows["qty"] = Kind.TRADE, 1, 1.0
    rows["ts_recv"][0], rows["ts_recv"][1:] = T0, ts + np.repeat(np.arange(4100), 2) * SECOND // 100
    rows["ts_event"], rows["price"] = rows["ts_recv"], 100.0 + np.arange(len(rows))
    for part, lost, known in ((rows[: 1 + 2 * 4000], 0, True), (rows[1 + 2 * 4000 :], 100, False)):
        features.push(part)
        assert features.lost == lost and np.isfinite(features.read("price.last:lag(1m)", 0)) == known


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 500))
def test_a_snapshot_holds_the_past(seed, cut):
    rng = np.random.default_rng(seed)
    names, rows = [*LAGGED, *MAPS], events(rng, 500, feed=0.004)
    whole, first, second = (lc.Features(names, INSTRUMENTS) for _ in range(3))
    whole.push(rows)
    first.push(rows[:cut])
    image = first.snapshot()
    second.restore(image)
    assert second.snapshot() == image
    second.push(rows[cut:])
    for k in range(4):
        end = int(rows["ts_recv"].max()) + k * 3 * SECOND
        assert np.array_equal(second.table(end), whole.table(end), equal_nan=True)
    with pytest.raises(ValueError, match="features snapshot"):
        second.restore(image[:-9])


# ---- candles ----


def test_an_open_of_some_minutes_ago_is_that_candle_whenever_it_is_read():
    """At 12:05:00 and until 12:06, four minutes ago the last complete candle was that of 12:00."""
    features = lc.Features(["price.open@1m:lag(4m)"], "BTCUSDT")
    start = T0 // MINUTE * MINUTE
    rows = np.zeros(80, lc.EVENT_DTYPE)
    rows["kind"], rows["side"], rows["qty"], rows["price"] = Kind.TRADE, 1, 1.0, 100.0 + np.arange(80)
    rows["ts_recv"] = rows["ts_event"] = start + 7 * SECOND * np.arange(80)
    for k, row in enumerate(rows):
        features.push(rows[k : k + 1])
        minute = (int(row["ts_recv"]) - start) // MINUTE - 5
        opened = rows["price"][np.searchsorted(rows["ts_recv"], start + minute * MINUTE)] if minute >= 0 else np.nan
        assert same(features.read("price.open@1m:lag(4m)"), float(opened)), k


@needs_data
@pytest.mark.parametrize("day", ["BTC_20260618", "BTC_20260621", "SOL_20260620", "AVAX_20260619", "DOGE_20260612"])
def test_the_candles_of_trend_begin_with_its_segments(day):
    """The candles of the five minutes that a segment lasts, on real days: first price of its first minute, last price of its last."""
    with gzip.open(DATA / "market-hyperliquid-ticks-2026-06" / f"trades_{day}.jsonl.gz", "rt") as lines:
        told = sorted((row["ts"] * 10**6, row["px"], row["sz"], 1 if row["side"] == "B" else -1) for row in map(json.loads, lines))
    rows = np.zeros(len(told), lc.EVENT_DTYPE)
    for name, column in zip(("ts_recv", "price", "qty", "side"), zip(*told, strict=True), strict=True):
        rows[name] = column
    rows["ts_event"], rows["kind"] = rows["ts_recv"], Kind.TRADE
    preset = tomllib.loads((Path(__file__).parents[3] / "pysrc/liqshell/policies/trend.toml").read_text())["policy"]["parameters"]
    names = [preset["feature_open"], preset["feature_close"]]
    features, ts, segment, at, wrong, seen = (
        lc.Features(names, [lc.Instrument("X", tick_size="0.1" if day.startswith("BTC") else "0.000001")]),
        rows["ts_recv"],
        300 * SECOND,
        0,
        [],
        0,
    )
    for end in range((int(ts[0]) // segment + 2) * segment, int(ts[-1]), segment):
        stop = int(np.searchsorted(ts, end))  # a deadline is served before what comes at its very moment
        features.push(rows[at:stop])
        at = stop
        first, last = np.searchsorted(ts, (end - segment, end - segment + MINUTE))
        expected = float(rows["price"][first if first < last else first - 1]), float(rows["price"][stop - 1])
        found = tuple(features.table(end)[0])
        seen += 1
        wrong += [(end, found, expected)] if found != expected else []
    assert features.refused == {} and seen > 100 and not wrong, (len(wrong), seen, wrong[:3])


# ---- how many samples ----


def test_a_z_score_stands_on_windows_that_do_not_overlap():
    """After two hours a window of 15 minutes, looked at every minute, is known 106 times, 8 of them anew."""
    names = [
        "liquidations.liq_volume@15m:n",
        "liquidations.liq_volume@15m:n_eff",
        "liquidations.liq_volume@15m:zscore",
        "liquidations.liq_volume@15m:zscore(min=7)",
        "liquidations.liq_volume@15m:zscore(min=8)",
    ]
    features = lc.Features(names, "BTCUSDT")
    start = 1000 * MINUTE
    features.push(rows_of(*(liquidation((start + k * 7 * SECOND) / SECOND, 1 if k % 3 else -1, 5.0 + k % 11) for k in range(1028))))
    n, n_eff, plain, seven, eight = features.table(start + 120 * MINUTE)[0]
    assert (n, n_eff) == (106, 8) and np.isnan(plain) and np.isfinite(seven) and np.isfinite(eight)
    assert feature_spec.parse(names[2]).independent_max == 96
    for minutes, known in ((29 * 15, False), (31 * 15, True)):
        end = start + minutes * MINUTE
        features.push(rows_of(liquidation(end / SECOND - 30, 1, 5.0)))
        assert np.isfinite(features.read(names[2], 0, end)) == known, minutes


def test_what_repeats_itself_is_one_sample():
    """A funding rate that stands for hours was said once, however often it is looked at."""
    features = lc.Features(["funding.funding:n", "funding.funding:n_eff", "funding.funding:zscore", "funding.funding:zscore(min=3)"], "BTCUSDT")
    features.push(rows_of(*((60 * k + 1, Kind.TICKER, 0, 0, 100.0, 0.0, 0.0, 1e-4 * (1 + k // 100)) for k in range(300))))
    n, n_eff, plain, asked = features.table(300 * MINUTE)[0]
    assert (n, n_eff) == (300, 3) and np.isnan(plain) and asked > 0


# ---- what was not said ----

ALONE = [
    "liquidations.liq_volume@1m",
    "liquidations.liq_rate@1m",
    "liquidations.liq_imbalance@1m",
    "flow.volume@1m",
    "flow.trade_imbalance@1m",
    "flow.ofi@1m",
    "price.last",
    "price.mark",
    "price.basis",
    "funding.funding",
    "oi.oi",
    "oi.oi_value",
    "flow.spread_bps",
    "price.close@1m",
    "hawkes.intensity_long",
    "map.realised_below@2pct",
    "liquidations.liq_volume@1m:lag(5s)",
    "liquidations.liq_rate@1m:n",
]


def test_nothing_is_known_before_a_contract_speaks():
    """Contracts that come late are unknown until then, not 0; and each stream until it has spoken, but for liquidations, which may be silent."""
    features = lc.Features(ALONE, INSTRUMENTS[:3])
    features.push(rows_of((600, Kind.TRADE, 0, 1, 100.0, 1.0, 0.0, 0.0)))
    for second in (601, 700, 5000):
        assert np.isnan(features.table(second * SECOND)[1:]).all(), second
    features.push(rows_of((6000, Kind.BBO, 1, 0, 100.0, 1.0, 100.1, 1.0), (6100, Kind.TRADE, 0, 1, 100.0, 1.0, 0.0, 0.0)))
    now = dict(zip(ALONE, features.table(6120 * SECOND)[1].tolist(), strict=True))
    assert now["liquidations.liq_volume@1m"] == now["liquidations.liq_imbalance@1m"] == now["flow.ofi@1m"] == 0.0  # quiet, and listened to for 2 min
    assert all(np.isnan(now[name]) for name in ("flow.volume@1m", "flow.trade_imbalance@1m", "price.last", "price.mark", "oi.oi", "flow.spread_bps"))
    assert features.read("flow.volume@1m", 0) == 100.0
    assert np.isnan(features.table(6120 * SECOND)[2]).all()


def feed(second, code, streams=0, n=-1):
    row = rows_of((second, Kind.FEED, n, 0, 0.0, 0.0, 0.0, 0.0))
    row["code"], row["flags"] = int(code), int(streams)
    return row


def test_a_feed_that_is_up_is_listened_to():
    """From then on silence is a fact about liquidations; of trades it is none until the first one has come."""
    features = lc.Features(["liquidations.liq_volume@1m", "flow.volume@1m"], "BTCUSDT")
    features.push(feed(600, FeedState.FEED_UP))
    assert (
        np.isnan(features.read("liquidations.liq_volume@1m", 0, 659 * SECOND)) and features.read("liquidations.liq_volume@1m", 0, 660 * SECOND) == 0.0
    )
    assert np.isnan(features.read("flow.volume@1m", 0, 700 * SECOND))
    features.push(rows_of((700, Kind.TRADE, 0, 1, 100.0, 2.0, 0.0, 0.0)))
    assert features.read("flow.volume@1m", 0) == 200.0  # it was up for the minute before


def test_a_gap_of_some_streams_concerns_what_is_made_of_them():
    names = ["liquidations.liq_volume@1m", "flow.volume@1m", "price.last", "price.mark", "funding.funding", "flow.spread_bps"]
    features = lc.Features(names, "BTCUSDT")
    features.push(
        rows_of(
            *(
                (second, kind, 0, 1 if kind < 3 else 0, 100.0, 1.0, 100.1 if kind > 2 else 0.0, 1.0 if kind == 3 else 1e-4 if kind == 4 else 0.0)
                for second in range(600, 700)
                for kind in (1, 2, 3, 4)
            )
        )
    )
    assert not np.isnan(features.table()[0]).any()
    features.push(feed(700, FeedState.FEED_GAP, Stream.STREAM_TRADE | Stream.STREAM_MARK, 0))
    unknown = dict(zip(names, np.isnan(features.table()[0]).tolist(), strict=True))
    assert {name for name, is_nan in unknown.items() if is_nan} == {"flow.volume@1m", "price.last", "price.mark"}
    features.push(feed(701, FeedState.FEED_DOWN, Stream.STREAM_QUOTE))
    assert np.isnan(features.read("flow.spread_bps")) and features.read("funding.funding") == 1e-4


def test_a_ticker_says_what_it_says():
    """A rate of 0 is a rate; what its flags leave out is not said, and stays what it was."""
    features = lc.Features(["funding.funding", "price.mark", "oi.oi"], "BTCUSDT")
    first, second, third = (rows_of((600 + k, Kind.TICKER, 0, 0, 100.0, 5.0, 0.0, 0.0)) for k in range(3))
    first["flags"] = int(Stream.STREAM_FUNDING | Stream.STREAM_OPEN_INTEREST)
    third["flags"], third["price"] = int(Stream.STREAM_MARK), 200.0
    features.push(first)
    assert np.isnan(features.read("funding.funding")) and features.read("price.mark") == 100.0 and np.isnan(features.read("oi.oi"))
    features.push(second)
    assert features.read("funding.funding") == 0.0 and features.read("oi.oi") == 5.0
    features.push(third)
    assert features.read("price.mark") == 100.0


def test_a_quote_that_has_ended_has_no_spread():
    features = lc.Features(["flow.spread_bps", "flow.spread_bps:lag(5s)"], "BTCUSDT")
    quote = (600, Kind.BBO, 0, 0, 100.0, 1.0, 100.02, 1.0)
    features.push(rows_of(quote))
    assert features.read("flow.spread_bps", 0, 610 * SECOND) == 0.02 / 100.01 * 1e4 or abs(features.read("flow.spread_bps") - 2.0) < 0.01
    assert np.isnan(features.read("flow.spread_bps", 0, 610 * SECOND + 1))  # 10 s old
    assert np.isfinite(features.read("flow.spread_bps:lag(5s)", 0, 615 * SECOND)) and np.isnan(
        features.read("flow.spread_bps:lag(5s)", 0, 615 * SECOND + 1)
    )
    features.push(rows_of((620, *quote[1:]), (621, Kind.TRADE, 0, 1, 100.04, 1.0, 0.0, 0.0)))
    assert np.isfinite(features.read("flow.spread_bps"))  # as far beyond as the spread is usual
    features.push(rows_of((622, Kind.TRADE, 0, 1, 100.05, 1.0, 0.0, 0.0)))
    assert np.isnan(features.read("flow.spread_bps"))


def test_an_engine_listens_as_a_stream_of_ones_own():
    """The engine shows its features the first word of each contract, of kinds that they do not look at too."""
    names = ["liquidations.liq_volume@1s", "liquidations.liq_rate@2s:n", "hawkes.intensity_long", "liquidations.liq_volume@1s:lag(3s)"]
    instruments = [lc.Instrument(i.symbol, venue=i.venue, multiplier=i.multiplier, tick_size="0.01") for i in INSTRUMENTS]
    rng = np.random.default_rng(5)
    rows = events(rng, 600, feed=0.01)
    rows = rows[(rows["kind"] != Kind.LIQUIDATION) | (np.arange(len(rows)) > 300)]
    engine, features, half = lc.Engine(instruments, features=names), lc.Features(names, instruments), len(rows) // 2
    for k in range(0, len(rows), 10):
        if k // 10 == half // 10:
            image, twin = engine.snapshot(), lc.Engine(instruments, features=names)
            twin.restore(image)
            engine = twin
        engine.run(rows[k : k + 10])
        features.push(rows[k : k + 10])
        for name in names:
            for n in range(4):
                assert same(engine.feature(name, instruments[n].key), features.read(name, n)), (k, name, n)
