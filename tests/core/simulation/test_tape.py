"""Tapes: nothing of the market is lost or invented, whatever is cut, joined or saved, and what contradicts itself is refused by name."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore import EVENT_DTYPE, SECOND, SIGNAL_DTYPE, CascadeConfig, Engine, Instrument, Tape, TapeBuilder
from liqcore.event import FeedState, Kind, Reason, Stream
from markets import EAGER, START, instruments, market

pytestmark = pytest.mark.core

MARKETS = st.tuples(st.integers(0, 10_000), st.integers(0, 1500), st.integers(1, 3), st.sampled_from([0.0, 0.05]), st.booleans())


def events_of(case, ties: bool = True) -> np.ndarray:
    seed, count, size, rubbish, feed = case
    events = market(seed, count, size, rubbish=rubbish, feed=feed and count > 0)
    if ties:  # several events of one moment, also of different instruments
        events["ts_recv"] -= events["ts_recv"] % (SECOND // 4)
    return events


def canonical(events: np.ndarray, count: int, band: float = 10.0) -> np.ndarray:
    """What a tape must give back, by way of an engine and a sort: what the door lets in, by time, ALL_INSTRUMENTS first, then by instrument. In the place
    of a quote without a market stands a mark that the quotes were interrupted."""
    engine, kept = Engine(instruments(count), band=band), []
    for n in range(len(events)):
        before, now = engine.events, engine.now
        engine.run(events[n : n + 1])
        e = events[n].copy()
        if engine.events > before:
            kept.append(e)
        elif (
            e["kind"] == Kind.BBO
            and 0 <= e["instrument"] < count
            and now <= e["ts_recv"] < 2**62
            and 0 <= e["ts_event"] < 2**62
            and not 0 < e["price"] < e["aux_price"]
        ):
            mark = np.zeros(1, EVENT_DTYPE)[0]
            mark["ts_event"], mark["ts_recv"], mark["instrument"] = e["ts_event"], e["ts_recv"], e["instrument"]
            mark["kind"], mark["code"], mark["flags"] = Kind.FEED, FeedState.FEED_GAP, Stream.STREAM_QUOTE
            kept.append(mark)
    out = np.array(kept, EVENT_DTYPE)
    dense = np.isin(out["kind"], (Kind.TRADE, Kind.BBO))
    out["ts_event"][dense] = out["ts_recv"][dense]
    for name, digits in (("price", 2), ("aux_price", 2), ("qty", 3), ("aux_qty", 3)):
        out[name][dense] = np.round(out[name][dense], digits)
    out["aux_price"][out["kind"] == Kind.TRADE] = 0.0
    out["aux_qty"][out["kind"] == Kind.TRADE] = 0.0
    out["side"][out["kind"] == Kind.BBO] = 0
    return out[np.lexsort((out["instrument"], out["ts_recv"]))]


def same(a, b) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@settings(deadline=None, max_examples=60)
@given(MARKETS)
def test_a_tape_gives_back_what_the_door_let_in(case):
    events = events_of(case)
    tape = Tape.of(instruments(case[2]), events)
    expected = canonical(events, case[2])
    assert same(tape.events(), expected) and len(tape) == len(expected)
    for n in range(case[2]):
        assert same(tape.events(n), expected[expected["instrument"] == n])
    if len(expected):
        assert (tape.start, tape.end) == (expected["ts_recv"][0], expected["ts_recv"][-1])


@settings(deadline=None, max_examples=60)
@given(MARKETS, st.lists(st.integers(0, 1500), max_size=4), st.booleans())
def test_parts_make_the_same_tape_as_the_whole(case, cuts, taking):
    """However the events are cut into pushes and takes: the door's memory goes on, the places are counted on."""
    events = events_of(case)
    builder, parts = TapeBuilder(instruments(case[2])), []
    for piece in np.split(events, sorted(min(cut, len(events)) for cut in cuts)):
        builder.push(piece)
        if taking:
            parts.append(builder.take())
    parts.append(builder.take())
    whole = Tape.of(instruments(case[2]), events)
    assert same(Tape(instruments(case[2]), parts).events(), whole.events())


@settings(deadline=None, max_examples=60)
@given(MARKETS, st.integers(-5, 2000), st.integers(-5, 2000))
def test_between(case, first, last):
    events = events_of(case)
    tape = Tape.of(instruments(case[2]), events)
    start, end = START + first * SECOND, START + max(first, last) * SECOND
    whole = tape.events()
    piece = tape.between(start, end)
    assert same(piece.events(), whole[(whole["ts_recv"] >= start) & (whole["ts_recv"] < end)])
    assert same(Tape(instruments(case[2]), [tape.between(0, start), piece, tape.between(end, 2**61)]).events(), whole)
    if len(piece.trades(0)["ts"]):
        assert np.shares_memory(piece.trades(0)["price"], tape.trades(0)["price"])
    # it also stands the checks that it was spared, with the indexes that it made
    parts = {
        "strips": [
            {"trades": piece.trades(n) | {"index": piece.index(n)["trades"]}, "quotes": piece.quotes(n) | {"index": piece.index(n)["quotes"]}}
            for n in range(case[2])
        ],
        "rare": piece.rare,
        "place": piece.place,
    }
    assert same(Tape(instruments(case[2]), parts).events(), piece.events())


CONFIGS = st.sampled_from(
    [
        EAGER,
        CascadeConfig(warmup=5, min_events=1, window_events=20, quantile=0.3, window_s=3.0, decay_s=1.0, notional="last"),
        CascadeConfig(warmup=20, refresh_s=30.0, mode="anchored", quantile=0.5, window_s=10.0, notional="mark", floor=100.0),
    ]
)


def as_array(signals) -> np.ndarray:
    return np.array([tuple(getattr(s, name) for name in SIGNAL_DTYPE.names) for s in signals], SIGNAL_DTYPE)


@settings(deadline=None, max_examples=80)
@given(MARKETS, CONFIGS, st.sampled_from([1.5, 10.0]), st.booleans(), st.sampled_from([0.25, 2.0, 10.0]), st.integers(-600, 60))
def test_signals_are_the_engines(case, config, band, jump, age, later):
    events = events_of(case)
    if jump:  # a relisting: the door of a band of 1.5 doubts what one of 10 lets in
        events["price"][len(events) // 2 :] *= 3.0
        events["aux_price"][len(events) // 2 :] *= 3.0
    tape = Tape.of(instruments(case[2]), events)
    engine, end = Engine(instruments(case[2]), config, None, lc.Risk(event_age_max_s=age), band=band), tape.end + later * SECOND
    told, expected = told_with_places(engine, tape.events(), end)
    signals, places = tape.signals(config, band, event_age_max_s=age, end=end, places=True)
    assert same(signals, as_array(told)) and places.tolist() == expected
    assert same(tape.signals(config, band, event_age_max_s=age, end=end), signals)


def told_with_places(engine, events, end):
    """What an engine says until `end`, event by event, and how many trades, quotes and interruptions of the quotes of the instrument came before each
    signal: -1 for those of the passing of time."""
    signals, places, rows = [], [], {n: [0, 0, 0] for n in range(-1, len(engine.instruments))}
    for n in np.flatnonzero(events["ts_recv"] <= end):
        e = events[n]
        late = list(engine.advance(int(e["ts_recv"])))
        caused = list(engine.run(events[n : n + 1]))
        own = rows[int(e["instrument"])]
        signals += late + caused
        places += [(-1, -1, -1)] * len(late) + [tuple(own)] * len(caused)
        own[0] += int(e["kind"] == Kind.TRADE)
        own[1] += int(e["kind"] == Kind.BBO)
        if e["kind"] == Kind.FEED and e["code"] != FeedState.FEED_UP and (e["flags"] == 0 or e["flags"] & Stream.STREAM_QUOTE):
            for k in range(len(engine.instruments)) if e["instrument"] < 0 else [int(e["instrument"])]:
                rows[k][2] += 1
    late = list(engine.advance(end)) if end >= START else []
    return signals + late, places + [(-1, -1, -1)] * len(late)


def test_the_age_of_events_is_the_runs():
    """Events 3 s old: too old by a limit of 2 s, fresh by one of 10 s."""
    events = market(5, 2000, 1)
    events["ts_event"] = events["ts_recv"] - 3 * SECOND
    tape = Tape.of(instruments(1), events)
    caused = [tape.signals(EAGER, event_age_max_s=age) for age in (2.0, 10.0)]
    caused = [s["flags"][np.isin(s["phase"], (lc.Phase.BUILDING, lc.Phase.ACTIVE))] for s in caused]
    assert len(caused[0]) and set(caused[0]) == {2} and set(caused[1]) == {0}
    for wrong in (0.0, -1.0, float("nan"), 2e6):
        with pytest.raises(ValueError, match="event_age_max_s: expected a number above 0"):
            tape.signals(EAGER, event_age_max_s=wrong)


def test_more_signals_than_a_chunk():
    events = market(5, 60_000, 2, feed=True)
    config = CascadeConfig(warmup=1, min_events=1, window_events=2, quantile=0.01, window_s=0.2, decay_s=0.1)
    tape = Tape.of(instruments(2), events)
    signals = tape.signals(config)
    assert len(signals) > 8192 and same(signals, as_array(Engine(instruments(2), config).run(tape.events())))


@settings(deadline=None, max_examples=60)
@given(MARKETS, st.integers(0, 2**32 - 1))
def test_other_liquidations_on_the_same_market(case, seed):
    tape = Tape.of(instruments(case[2]), events_of(case))
    r = np.random.default_rng(seed)
    own = tape.rare[tape.rare["kind"] == Kind.LIQUIDATION]
    moved = own.copy()
    moved["ts_recv"] = moved["ts_event"] = START + r.integers(-10, 2000, len(own)) * (SECOND // 4)
    moved["side"] = r.choice([1, -1], len(own))
    placebo = tape.with_liquidations(moved)
    whole, others = placebo.events(), tape.events()
    rest = whole["kind"] != Kind.LIQUIDATION
    assert same(whole[rest], others[others["kind"] != Kind.LIQUIDATION])
    assert sorted(map(bytes, whole[~rest])) == sorted(map(bytes, moved))
    assert (np.diff(whole["ts_recv"]) >= 0).all()
    for n in np.flatnonzero(~rest):  # it comes before what was received at its own time
        same_time = (whole["ts_recv"] == whole["ts_recv"][n]) & (whole["instrument"] == whole["instrument"][n]) & rest
        assert n < np.flatnonzero(same_time).min(initial=len(whole))
    if len(tape.trades(0)["ts"]):
        assert np.shares_memory(placebo.trades(0)["price"], tape.trades(0)["price"])


def test_the_columns_are_views_that_cannot_be_written():
    tape = Tape.of(instruments(1), market(1, 500, 1))
    for table in (tape.trades(0), tape.quotes(0)):
        for column in table.values():
            with pytest.raises(ValueError, match="read-only"):
                column[0] = 1


def test_memory_a_row():
    """17 bytes a trade, 32 a quote and the pyramids above them."""
    events = market(2, 40_000, 1)
    tape = Tape.of(instruments(1), events)
    trades, quotes, rare = len(tape.trades(0)["ts"]), len(tape.quotes(0)["ts"]), len(tape.rare)
    assert tape.nbytes - 80 * rare <= 17 * trades + 32 * quotes + (trades + quotes) * 8 / 62 + 200


def test_mapped_files_are_used_as_they_are(tmp_path):
    tape = Tape.of(instruments(1), market(3, 5000, 1))
    tables = {"trades": tape.trades(0) | {"index": tape.index(0)["trades"]}, "quotes": tape.quotes(0) | {"index": tape.index(0)["quotes"]}}

    def mapped(name, column):
        if isinstance(column, dict):
            return {inner: mapped(f"{name}-{inner}", c) for inner, c in column.items()}
        np.save(tmp_path / f"{name}.npy", column)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r")

    strips = [{table: {name: mapped(f"{table}-{name}", c) for name, c in columns.items()} for table, columns in tables.items()}]
    again = Tape(instruments(1), {"strips": strips, "rare": tape.rare, "place": tape.place}, trusted=True)
    assert same(again.events(), tape.events()) and np.shares_memory(again.trades(0)["price"], strips[0]["trades"]["price"])


# ---- the builder ----


def table(*rows) -> np.ndarray:
    """Rows of (seconds, kind, fields...)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for n, (seconds, kind, fields) in enumerate(rows):
        out[n]["ts_event"] = out[n]["ts_recv"] = START + round(seconds * SECOND)
        out[n]["kind"] = kind
        for name, value in fields.items():
            out[n][name] = value
    return out


ONE = [Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001")]


def trade(seconds, price, qty=1.0, **fields):
    return seconds, Kind.TRADE, {"price": price, "qty": qty, "side": 1} | fields


def quote(seconds, bid, ask, bid_qty=1.0, ask_qty=1.0, **fields):
    return seconds, Kind.BBO, {"price": bid, "aux_price": ask, "qty": bid_qty, "aux_qty": ask_qty} | fields


def test_what_is_not_on_the_grid_is_rounded_and_counted():
    builder = TapeBuilder(ONE)
    builder.push(
        table(
            trade(0, 2000.004, 0.0014),
            trade(1, 2000.006, 0.0001),
            trade(2, 2000.01, 0.001),
            trade(3, 0.1 + 0.2 + 1999.7, 0.1 * 3),
            quote(4, 1999.996, 2000.016, 0.0, 3e9),
            trade(5, 2000.0, 1e12),
        )
    )
    tape = Tape(ONE, builder.take())
    assert tape.trades(0)["price"].tolist() == [200000, 200001, 200001, 200000, 200000]
    assert tape.trades(0)["lots"].tolist() == [1, 1, 1, 300, 2**31 - 1]
    assert [tape.quotes(0)[name].tolist() for name in ("bid", "ask", "bid_lots", "ask_lots")] == [[200000], [200002], [0], [2**31 - 1]]
    assert builder.off_grid == {"price": 4, "qty": 2, "cut": 2}


def test_what_the_door_refuses_is_counted():
    builder = TapeBuilder(ONE)
    builder.push(
        table(
            trade(0, 2000.0),
            trade(1, float("nan")),
            trade(2, 2000.0, 0.0),
            trade(3, 2000.0, side=0),
            trade(4, 90_000.0),
            trade(5, 0.004),
            quote(6, 2000.0, 2000.004),
            quote(7, 2000.0, 30_000.0),
            trade(3, 2000.0),
            trade(8, 2000.0, instrument=7),
            (9, 77, {}),
            trade(10, 2000.0),
        )
    )
    assert builder.refused == {
        Reason.BAD_PRICE: 2,
        Reason.BAD_QTY: 1,
        Reason.BAD_SIDE: 1,
        Reason.BAD_BAND: 2,
        Reason.BAD_BOOK: 1,
        Reason.BAD_TIME: 1,
        Reason.BAD_INSTRUMENT: 1,
        Reason.BAD_KIND: 1,
    }
    assert Tape(ONE, builder.take()).trades(0)["ts"].tolist() == [START, START + 10 * SECOND]


def test_the_doors_memory_goes_on_over_take():
    builder = TapeBuilder(ONE)
    builder.push(table(trade(0, 2000.0)))
    builder.take()
    builder.push(table(trade(1, 90_000.0)))
    assert builder.refused == {Reason.BAD_BAND: 1}
    builder.push(table(*(trade(2 + n, 90_000.0) for n in range(4))))  # five that agree are the new truth
    assert builder.refused == {Reason.BAD_BAND: 4}
    # the four are on the tape, because an engine must refuse them, too, to accept the fifth
    assert Tape(ONE, builder.take()).trades(0)["ts"].tolist() == [START + n * SECOND for n in range(1, 6)]


def accepted(instruments, events) -> list[int]:
    """Times of what an engine accepts."""
    engine, out = Engine(instruments, EAGER), []
    for n in range(len(events)):
        before = engine.events
        engine.run(events[n : n + 1])
        out += [int(events["ts_recv"][n])] * (engine.events - before)
    return out


LEVELS = st.sampled_from([2000.0, 2001.0, 40_000.0, 40_500.0, 130.0])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["trade", "quote", "liquidation", "ticker"]), st.integers(0, 1), LEVELS, st.integers(1, 6)), max_size=12),
    st.integers(1, 9),
)
@example([("trade", 0, 2000.0, 1), ("trade", 0, 40_000.0, 3), ("ticker", 0, 40_000.0, 2), ("trade", 0, 2000.0, 1)], 1)
@example([("liquidation", 0, 2000.0, 6), ("liquidation", 0, 40_000.0, 6), ("trade", 0, 40_000.0, 2)], 3)
@example([("trade", 0, 2000.0, 1), ("trade", 0, 40_000.0, 4), ("quote", 0, 130.0, 5)], 2)
def test_an_engine_accepts_the_same_of_a_tape_as_of_the_events(runs, cut):
    """Also where a contract is listed anew at another price, and wherever the events are cut into parts."""
    rows = []
    for kind, instrument, price, times in runs:
        for _ in range(times):
            at = len(rows)
            rows.append(
                {
                    "trade": trade(at, price, instrument=instrument),
                    "quote": quote(at, price, price + 0.5, instrument=instrument),
                    "liquidation": (at, Kind.LIQUIDATION, {"price": price, "qty": 1.0, "side": 1, "instrument": instrument}),
                    "ticker": (at, Kind.TICKER, {"price": price, "instrument": instrument}),
                }[kind]
            )
    if not rows:
        return
    two, events = [*ONE, Instrument("B", tick_size="0.01", lot_size="0.001")], table(*rows)
    builder, parts = TapeBuilder(two), []
    for first in range(0, len(events), cut):
        builder.push(events[first : first + cut])
        parts.append(builder.take())
    for tape in (Tape.of(two, events), Tape(two, parts)):
        assert accepted(two, tape.events()) == accepted(two, events)
        last = int(events["ts_recv"][-1])  # what is refused at the end lets time pass, too
        assert same(tape.signals(EAGER, end=last), as_array(Engine(two, EAGER).run(events)))


def test_reports_of_a_venue_do_not_belong_to_a_market():
    for kind in (Kind.ORDER, Kind.FILL, Kind.FUNDING):
        with pytest.raises(ValueError, match=f"row 1: expected market events, got a {kind.name}"):
            TapeBuilder(ONE).push(table(trade(0, 2000.0), (1, kind, {})))
    builder = TapeBuilder(ONE)
    builder.push(table(trade(0, 2000.0), (5, Kind.TIMER, {}), trade(1, 2000.0)))
    assert builder.refused == {Reason.BAD_TIME: 1}  # a timer moves the time, and leaves nothing


def test_a_tick_size_that_cannot_be_right():
    fine = [Instrument("BTCUSDT", tick_size="0.00001", lot_size="0.001")]
    with pytest.raises(ValueError, match=r"row 0: BTCUSDT: price 60000.0 is 2\*\*31 ticks of 0.00001 or more"):
        TapeBuilder(fine).push(table(trade(0, 60_000.0)))


# ---- refusals of Tape ----


def parts_of(**over) -> dict:
    tape = Tape.of(ONE, table(trade(0, 2000.0), quote(1, 1999.99, 2000.0), trade(2, 2000.01), (3, Kind.TICKER, {"price": 2000.0}), trade(4, 2000.0)))
    trades, quotes = dict(tape.trades(0)), dict(tape.quotes(0))
    for name, value in over.items():
        table_, column = name.split("__") if "__" in name else (name, "")
        for columns in (trades,) if table_ == "trades" else (quotes,) if table_ == "quotes" else ():
            columns[column] = np.asarray(value, columns[column].dtype) if isinstance(value, list) else value
    return {"strips": [{"trades": trades, "quotes": quotes}], "rare": over.get("rare", tape.rare), "place": over.get("place", tape.place)}


NOWHERE = np.zeros(1, [("trades_before", "<i8"), ("quotes_before", "<i8")])


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"trades__ts": [START, START - 1, START + SECOND * 9]}, "trades, row 1: ts: expected ns since 1970 that do not fall"),
        ({"trades__ts": [-1, START, START]}, "trades, row 0: ts"),
        ({"trades__ts": [START, START, 2**62]}, "trades, row 2: ts"),
        ({"trades__price": [200000, 0, 200000]}, "trades, row 1: price"),
        ({"trades__lots": [1, 1, -5]}, "trades, row 2: lots"),
        ({"trades__side": [1, 1, 0]}, "trades, row 2: side"),
        ({"trades__side": [1, 1]}, "columns of different lengths"),
        ({"trades__price": np.array([1.0, 2.0, 3.0])}, "column price: expected a one-dimensional NumPy array of int32, got float64"),
        ({"quotes__ask": [199999]}, "quotes, row 0: expected a bid of at least one tick and an ask above it"),
        ({"quotes__bid_lots": [-1]}, "quotes, row 0: expected quantities"),
        ({"quotes__trades_before": [4]}, "quotes, row 0: trades_before: expected counts from 0 to 3"),
        ({"quotes__trades_before": [-1]}, "quotes, row 0: trades_before: expected counts"),
        ({"quotes__trades_before": [0]}, "quotes, row 0: trades_before: the trades at that place"),
        ({"quotes__trades_before": [2]}, "quotes, row 0: trades_before: the trades at that place"),
        ({"place": np.array([(1, 1)], [("trades_before", "<i8"), ("quotes_before", "<i8")])}, "rare events, row 0"),
        ({"place": np.array([(2, 0)], [("trades_before", "<i8"), ("quotes_before", "<i8")])}, "rare events, row 0"),
        ({"place": np.zeros(0, [("trades_before", "<i8"), ("quotes_before", "<i8")])}, "place: expected 1 rows"),
        ({"rare": table(trade(3, 2000.0))}, "rare events, row 0"),
        ({"rare": table((3, Kind.TICKER, {"price": 1.0, "instrument": 1}))}, "rare events, row 0"),
        ({"rare": table((3, Kind.TICKER, {"price": 1.0, "instrument": -1})), "place": NOWHERE}, "rare events, row 0"),
        ({"rare": table((3, Kind.LIQUIDATION, {"price": 1.0, "qty": 1.0, "side": 1, "instrument": -1})), "place": NOWHERE}, "rare events, row 0"),
        ({"rare": table((3, Kind.DELEVERAGE, {"price": 1.0, "qty": 1.0, "side": 1, "instrument": -1})), "place": NOWHERE}, "rare events, row 0"),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_columns_that_contradict_each_other_are_refused_by_name(over, message, threads):
    with pytest.raises((ValueError, TypeError), match=message.replace("+", r"\+")):
        Tape(ONE, parts_of(**over), threads=threads)


WILD = st.one_of(st.integers(-2, 6), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**62, 2**63 - 1, -(2**63), -(2**63) + 5, -1]))


@given(
    times=st.lists(st.integers(0, 20), min_size=0, max_size=6).map(sorted),
    before=st.lists(WILD, min_size=1, max_size=6),
    spread=st.lists(st.integers(0, 3), max_size=6),
    threads=st.integers(1, 3),
)
@example(times=[], before=[0, 2**62, -(2**63) + 5, -1, 0], spread=[], threads=1)
@example(times=[3, 3, 4], before=[0, 2**62, 2**63 - 1, -(2**63), -1, 2], spread=[0, 3], threads=1)
@example(times=[3, 3, 4], before=[0, 3, 1, 2, 0, 3], spread=[0, 3], threads=2)
def test_places_of_quotes_among_trades_are_checked_as_their_definition_says(times, before, spread, threads):
    """A quote stands behind `before` trades: counts do not fall, none of the trades behind it is earlier, none of those before it is later."""
    ts = np.cumsum([*spread, *[1] * len(before)][: len(before)])
    parts = parts_of()
    trades, quotes = parts["strips"][0]["trades"], parts["strips"][0]["quotes"]
    parts["strips"][0]["trades"] = {name: np.resize(column[:1], len(times)) for name, column in trades.items()} | {"ts": np.array(times, np.int64)}
    parts["strips"][0]["quotes"] = {name: np.resize(column[:1], len(before)) for name, column in quotes.items()} | {
        "ts": ts.astype(np.int64),
        "trades_before": np.array(before, np.int64),
    }
    counts = all(0 <= k <= len(times) for k in before) and before == sorted(before)
    sound = counts and all((k == 0 or times[k - 1] <= t) and (k == len(times) or times[k] >= t) for k, t in zip(before, ts.tolist(), strict=True))
    parts["rare"], parts["place"] = parts["rare"][:0], parts["place"][:0]
    if sound:
        Tape(ONE, parts, threads=threads)
    else:
        with pytest.raises(ValueError, match="trades_before: the trades at that place" if counts else "trades_before: expected counts"):
            Tape(ONE, parts, threads=threads)


LONG = 3 * 16_384 + 100  # trades: columns are checked block by block


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("trades", "ts", -1, "ts: expected ns"),
        ("trades", "price", 0, "price: expected"),
        ("trades", "price", -(2**31), "price: expected"),
        ("trades", "lots", 0, "lots: expected"),
        ("trades", "lots", -(2**31), "lots: expected"),
        ("trades", "side", 3, "side: expected"),
        ("quotes", "ts", -1, "ts: expected ns"),
        ("quotes", "ask", 1, "expected a bid of at least one tick"),
        ("quotes", "bid", -(2**31), "expected a bid of at least one tick"),
        ("quotes", "ask_lots", -1, "expected quantities"),
        ("quotes", "trades_before", -1, "trades_before: expected counts"),
        ("quotes", "trades_before", LONG + 1, "trades_before: expected counts"),
        ("quotes", "trades_before", None, "trades_before: the trades at that place"),
    ],
)
def test_one_flaw_in_many_rows_is_found(table, column, value, message, threads):
    """At every border of a block or of a thread's part, and in between. None: the quote stands one trade too early."""
    ts = np.arange(10, 10 + 2 * LONG, 2)
    before = np.concatenate([[0, 0], np.arange(1, LONG + 1, 3), [LONG, LONG]])
    trades = {"ts": ts, "price": np.full(LONG, 7, "i4"), "lots": np.full(LONG, 1, "i4"), "side": np.full(LONG, -1, "i1")}
    at = np.concatenate([[8], ts])[before] + 1
    quotes = {"ts": at, "trades_before": before} | {name: np.full(len(at), n, "i4") for name, n in (("bid", 6), ("ask", 8))}
    quotes |= {"bid_lots": np.zeros(len(at), "i4"), "ask_lots": np.ones(len(at), "i4")}
    empty = parts_of()
    parts = {"strips": [{"trades": trades, "quotes": quotes}], "rare": empty["rare"][:0], "place": empty["place"][:0]}
    assert len(Tape(ONE, parts, threads=threads)) == LONG + len(at)
    rows = len(at) if table == "quotes" else LONG
    edges = [edge for block in (16_384, LONG // 8, LONG // 12) for edge in range(0, LONG + block, block)]
    if table == "quotes":
        edges = np.searchsorted(before, edges).tolist()
    changed = {"trades": trades, "quotes": quotes}[table][column]
    for row in sorted({edge + near for edge in edges for near in (-1, 0, 1)} | {5, rows - 1}):
        if not 0 <= row < rows or (value is None and (row == 0 or before[row] == before[row - 1])):
            continue
        kept = changed[row]
        changed[row] = kept - 1 if value is None else value
        with pytest.raises(ValueError, match=f"{table}, row {row}: .*{message}"):
            Tape(ONE, parts, threads=threads)
        changed[row] = kept


def test_the_order_of_rare_events_is_checked():
    rare = table((3, Kind.TICKER, {"price": 2000.0}), (3, Kind.FEED, {"instrument": -1, "code": 3}))
    place = np.array([(2, 1), (0, 0)], [("trades_before", "<i8"), ("quotes_before", "<i8")])
    with pytest.raises(ValueError, match="row 1"):
        Tape(ONE, parts_of(rare=rare, place=place))
    assert len(Tape(ONE, parts_of(rare=rare[::-1].copy(), place=place[::-1].copy()))) == 6


def test_other_refusals():
    with pytest.raises(ValueError, match="one strip for each of 2 instruments"):
        Tape(["A", "B"], parts_of())
    with pytest.raises(ValueError, match="no column lots"):
        Tape(ONE, {"strips": [{"trades": {"ts": np.zeros(0, np.int64), "price": np.zeros(0, np.int32)}, "quotes": {}}]})
    tape = Tape(ONE, parts_of())
    with pytest.raises(ValueError, match="kind LIQUIDATION"):
        tape.with_liquidations(table(trade(0, 2000.0)))
    with pytest.raises(IndexError, match="instrument 1"):
        tape.trades(1)
    with pytest.raises(ValueError, match="at least one"):
        Tape([], parts_of())
    assert lc.Tape.of(ONE, np.zeros(0, EVENT_DTYPE)).events().tolist() == []
