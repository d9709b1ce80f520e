"""What one connection carries, and whom its loss and its silence concern: live, in a recording, in its replay and in a backtest of it."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore.event import Gate, Stream
from liqshell import formats
from liqshell.config.load import loads
from liqshell.errors import DataError
from liqshell.live.session import Session
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.marks import concerns_of, outages, parts_of
from liqshell.recording.recorder import FEED, META, Recorder
from liqshell.run import backtest_parity as parity
from liqshell.run import replay
from liqshell.run.pipeline import settings
from liqshell.run.recorded_events import read_events
from liqshell.run.sink import ConnectionSink, LiveSink, PaperSink, VenueSink
from liqshell.run.venue_source import Source, feeds_of
from liqshell.venues.adapters import ADAPTERS, adapter_of
from venue_frames import OKX

S = lc.SECOND
START = 1_700_000_000 * S
UP, DOWN, GAP = (int(state) for state in lc.FeedState)
LIQUIDATION, TRADE, QUOTE, MARK, INDEX, FUNDING, INTEREST, VENUE = (int(bit) for bit in Stream)


def source_of(venue, symbols, first=0, sink=None, alone=True):
    return Source(
        {"venue": venue, "first": first, "count": len(symbols), "gap_ns": 5 * S, "watched": False}, [""] * first + list(symbols), sink, alone
    )


# ---- who carries what ------------------------------------------------------------------------------------------------------------------------


def test_every_subscription_says_what_comes_by_it():
    """Together the connections of a venue carry every stream that it has, of every contract; no arg is for a contract that was not asked for."""
    whole = {"bybit": 255, "binance_um": 127 - INTEREST, "okx": 255, "hyperliquid": 127 - LIQUIDATION}  # open interest of Binance is polled
    for name, adapter in ADAPTERS.items():
        symbols = [f"S{n}USDT" if name != "okx" else f"S{n}-USDT-SWAP" if n % 3 else f"S{n}-USD-261225" for n in range(250)]
        carried = [adapter.carries(one, symbols) for one in adapter.plan(symbols, "ws://x")]
        assert all(set(one) <= set(symbols) for one in carried)
        for symbol in symbols:
            bits = 0
            for one in carried:
                bits |= one.get(symbol, 0)
            assert bits == whole[name], (name, symbol)


def test_binance_has_a_route_for_quotes_and_one_for_the_rest():
    source = source_of("binance_um", ["AUSDT", "BUSDT"])
    plan = source.adapter.plan(source.symbols, "ws://x")
    assert [one.name for one in plan] == ["public-1", "market-1"]
    assert source.concerns(plan) == [((-1, QUOTE),), ((-1, LIQUIDATION | TRADE | MARK | INDEX | FUNDING),)]
    beside = source_of("binance_um", ["AUSDT", "BUSDT"], 3, alone=False)
    assert beside.concerns(plan)[0] == ((3, QUOTE), (4, QUOTE))


def test_okx_liquidations_of_the_whole_market_come_by_the_first_connection():
    symbols = [f"S{n}-USDT-SWAP" for n in range(120)]
    source = source_of("okx", symbols)
    first, second = source.concerns(source.adapter.plan(symbols, "ws://x"))
    assert first == (*((n, 0) for n in range(64)), *((n, LIQUIDATION | VENUE) for n in range(64, 120)))
    assert second == tuple((n, 255 - LIQUIDATION) for n in range(64, 120))


def test_what_carries_no_liquidations_does_not_say_that_they_are_up():
    """Of a venue without a feed of them, or where nobody asks for them: an engine would count them as received, and silence as none."""
    symbols = ["AUSDT", "BUSDT"]
    alone = source_of("hyperliquid", symbols)
    assert alone.concerns(alone.adapter.plan(symbols, "ws://x")) == [((-1, 127 - LIQUIDATION),)]
    bybit = source_of("bybit", symbols)
    ((whom,),) = bybit.concerns(bybit.adapter.plan(symbols, "ws://x", 127 - LIQUIDATION))
    assert whom[0] == -1 and whom[1] & 6 == 6 and not whom[1] & LIQUIDATION


@pytest.mark.parametrize("venue", ["bybit", "okx"])
def test_a_connection_that_carries_everything_is_marked_as_ever(venue):
    """0 = all streams; -1 = all instruments: a recording and an audit of such a run are what they were."""
    symbols = ["AUSDT", "BUSDT"] if venue != "okx" else ["A-USDT-SWAP", "B-USD-SWAP"]
    source = source_of(venue, symbols)
    assert source.concerns(source.adapter.plan(symbols, "ws://x")) == [((-1, 0),)]


def test_what_a_venue_refuses_is_not_up_with_the_rest():
    symbols = ["AUSDT", "BUSDT"]
    source = source_of("binance_um", symbols)
    quotes, rest = source.concerns(source.adapter.plan(symbols, "ws://x"))
    assert source.split(rest, ()) == ((), rest) and source.split(quotes, ("ausdt@forceOrder",)) == ((), tuple((n, 4) for n in (0, 1)))
    missing, left = source.split(rest, ("ausdt@forceOrder", "busdt@aggTrade"))
    assert missing == ((0, LIQUIDATION), (1, 2)) and left == ((0, rest[0][1] & ~LIQUIDATION), (1, rest[0][1] & ~2))


# ---- what a recording says -------------------------------------------------------------------------------------------------------------------


def test_marks_name_contracts_and_streams():
    symbols = ("A", "B", "C")
    for concerns in (((-1, 4),), ((7, 4), (8, 4), (9, 4)), ((7, 0), (8, 1), (9, 1)), ((8, 126),)):
        said = json.loads(json.dumps({"parts": parts_of(concerns, symbols, 7)}))
        whole = (-1,) if concerns[0][0] < 0 else (7, 8, 9)
        assert sorted(concerns_of(said, whole, symbols, 7)) == sorted(concerns)
    assert parts_of(((7, 4), (8, 4), (9, 4)), symbols, 7) == [{"streams": 4}]
    assert parts_of(((7, 0), (9, 1)), symbols, 7) == [{"streams": 0, "symbols": ["A"]}, {"streams": 1, "symbols": ["C"]}]
    assert concerns_of({}, (7, 8), symbols, 7) == ((7, 0), (8, 0))  # recorded before connections had marks of their own
    assert concerns_of({"parts": [{"streams": 1, "symbols": ["B", "Z"]}]}, (7, 8), symbols, 7) == ((8, 1),)  # not among those that are read
    for bad in ([3], [{"symbols": ["A"]}], [{"streams": "4"}], [{"streams": 128}], 7, [{"streams": 4, "symbols": 3}]):
        with pytest.raises(DataError, match="parts"):
            concerns_of({"parts": bad}, (7, 8), symbols, 7)


def test_what_was_missing_of_which_stream():
    marks = [(0, 10, DOWN, 4), (15, 20, DOWN, 59), (20, 30, UP, 4), (38, 40, GAP, 4), (40, 50, UP, 59), (60, 60, DOWN, 0), (70, 70, UP, 4)]
    assert outages(marks, 100) == [(0, 30), (15, 50), (38, 40), (60, 70), (60, 100)]
    assert outages(marks, 100, QUOTE) == [(0, 30), (38, 40), (60, 70)]
    assert outages(marks, 100, INTEREST) == [(60, 100)]


# ---- silence ---------------------------------------------------------------------------------------------------------------------------------


class Wires:
    """A Binance-like venue of two contracts behind two others, by its two connections."""

    def __init__(self):
        self.engine = lc.Engine([lc.Instrument(f"S{n}", venue="bybit" if n < 2 else "binance_um") for n in range(4)])
        self.engine_sink = LiveSink(self.engine, 5 * S)
        self.venue = VenueSink(self.engine_sink, 5 * S, 2, 2)
        self.told = []
        self.quotes = ConnectionSink(self.venue, 0, self.gap("quotes", QUOTE))  # nothing is sure to come
        self.market = ConnectionSink(self.venue, 5 * S, self.gap("market", 59))

    def gap(self, name, streams):
        def on_gap(ts_event, ts_recv):
            self.told.append((name, (ts_event - START) / S, (ts_recv - START) / S, self.engine.events))
            self.venue.feed(GAP, ts_event, ts_recv, ((2, streams), (3, streams)))

        return on_gap

    def rows(self, sink, at_s, kind=lc.Kind.BBO, instrument=2):
        at = START + round(at_s * S)
        sink.rows(np.array([(at, at, 100.0, 1.0, 100.01, 1.0, 0, instrument, int(kind), 1, 0, 0)], lc.EVENT_DTYPE))

    @property
    def marks(self):
        audit = self.engine.audit.drain()
        return [(int(r["instrument"]), int(r["phase"]), int(r["x"][2])) for r in audit[audit["kind"] == int(lc.AuditKind.AUDIT_FEED)]]


def test_silence_of_one_connection_is_its_own_gap():
    """Quotes go on while liquidations, trades and marks do not: the gap is theirs, and it comes before the first of them."""
    w = Wires()
    w.rows(w.market, 0, lc.Kind.TRADE)
    for k in range(8):
        w.rows(w.quotes, k + 0.5)
    before = w.engine.events
    w.rows(w.market, 7.6, lc.Kind.TRADE)
    assert w.told == [("market", 0.0, 7.6, before)]
    assert w.marks == [(2, GAP, 59), (3, GAP, 59)] and w.venue.gaps == w.engine_sink.gaps == 1
    w.rows(w.market, 12.0, lc.Kind.TRADE)
    w.rows(w.quotes, 12.5)  # 5 s: quotes come when they change
    assert w.marks == []


def test_silence_of_the_whole_venue_is_one_gap_of_everything():
    w = Wires()
    w.rows(w.market, 0, lc.Kind.TRADE)
    w.rows(w.quotes, 1)
    w.rows(w.market, 9, lc.Kind.TRADE)
    assert w.told == [] and w.marks == [(2, GAP, 0), (3, GAP, 0)]
    w.rows(w.quotes, 9.5)
    w.rows(w.market, 10, lc.Kind.TRADE)
    assert w.told == [] and w.marks == []
    w.rows(w.quotes, 20)  # the one that ends it was not the one that is sure
    w.rows(w.market, 21, lc.Kind.TRADE)
    assert w.told == [] and w.marks == [(2, GAP, 0), (3, GAP, 0)]
    for k in range(6):
        w.rows(w.quotes, 22 + k)
    w.rows(w.market, 26.5, lc.Kind.TRADE)
    assert w.told[-1][:3] == ("market", 21.0, 26.5)


def test_a_poll_is_no_sign_of_life():
    w = Wires()
    w.rows(w.market, 0, lc.Kind.TRADE)
    for k in range(1, 9):
        at = START + k * S
        w.venue.polled(np.array([(at, at, 0.0, 7.0, 0.0, 0.0, 0, 2, int(lc.Kind.TICKER), 0, MARK | INDEX | FUNDING, 0)], lc.EVENT_DTYPE))
    w.rows(w.market, 8.5, lc.Kind.TRADE)
    assert w.marks == [(2, GAP, 0), (3, GAP, 0)]


def test_what_was_lost_says_more_than_its_silence():
    w = Wires()
    w.rows(w.market, 0, lc.Kind.TRADE)
    for k in range(9):
        w.rows(w.quotes, k)
    w.market.down()
    w.venue.feed(DOWN, START, START + 9 * S, ((2, 59), (3, 59)))
    w.rows(w.market, 9.5, lc.Kind.TRADE)
    assert w.told == [] and w.marks == [(2, DOWN, 59), (3, DOWN, 59)]


# ---- a run -----------------------------------------------------------------------------------------------------------------------------------


def frames_of(ts: int, stream: str) -> bytes:
    ms = ts // 1_000_000
    return {
        "market": b'{"e":"markPriceUpdate","E":%d,"s":"BTCUSDT","p":"82794.15","P":"82784.25","i":"82784.62","r":"0.0001","T":1}' % ms,
        "public": b'{"e":"bookTicker","u":4,"s":"BTCUSDT","b":"82100.1","B":"3","a":"82100.2","A":"4","T":%d,"E":%d}' % (ms, ms),
    }[stream]


def test_a_gap_of_one_connection_live_in_replay_and_in_a_backtest(tmp_path):
    """Through the compiled listeners of a session, which records: the quotes go on, the marks are away for 7 s, then a connection is lost."""
    config = loads('[run]\nname = "t"\n[feed]\nvenue = "binance"\nsymbols = ["BTCUSDT"]\n')
    session = Session(config, tmp_path / "run")
    session._open(settings(config, [lc.Instrument("BTCUSDT", venue="binance_um", tick_size="0.1", lot_size="0.001")]))
    (feed,) = session._feeds
    listeners = {stream.name.partition("-")[0]: stream._make_listener() for stream in feed.streams}
    start = session.wire_clock.now_ns() - 60 * S
    for at_ms in range(0, 20_000, 250):
        ts = start + at_ms * 1_000_000
        if at_ms % 1000 == 0 and not 5000 < at_ms < 12_000:
            assert listeners["market"].feed(frames_of(ts, "market"), ts) == 1
        assert listeners["public"].feed(frames_of(ts, "public"), ts + 1) == 1
        if at_ms == 15_000:
            feed.streams[0].ts_last = ts
            feed._mark(lc.FeedState.FEED_DOWN, ts, ts + 2, feed._concerns[0], "public-1")
    assert [one.gaps for one in feed.streams] == [0, 1] and feed.health()["gaps"] == 1
    session._finish(True)
    audit = journal.load_audit(tmp_path / "run")
    marks = [(int(r["phase"]), int(r["x"][2]), round(float(r["x"][0]), 3)) for r in audit[audit["kind"] == int(lc.AuditKind.AUDIT_FEED)]]
    assert marks == [(GAP, 59, 7.0), (DOWN, QUOTE, 0.0)]
    assert replay.prove(tmp_path / "run").identical
    proof = parity.prove_as_backtest(tmp_path / "run")
    assert proof.identical, proof.difference
    said = [json.loads(record.frame) for record in recording.read(tmp_path / "run" / "frames") if record.stream == FEED]
    assert [(one["state"], one["connection"], one["parts"]) for one in said] == [
        (GAP, "market-1", [{"streams": 59}]),
        (DOWN, "public-1", [{"streams": QUOTE}]),
    ]


# ---- decoders --------------------------------------------------------------------------------------------------------------------------------

SNAPSHOT = '{"topic":"tickers.%s","type":"snapshot","data":{"symbol":"%s","markPrice":"1.5","fundingRate":"-0.0001"},"cs":3,"ts":1786310818684}'
DELTA = '{"topic":"tickers.%s","type":"delta","data":{"symbol":"%s","markPrice":"1.6"},"cs":4,"ts":1786310818784}'


@pytest.mark.parametrize(
    ("concerns", "known"),
    [
        ((), {"A": True, "B": True}),
        (((0, QUOTE), (1, QUOTE)), {"A": True, "B": True}),
        (((1, 0),), {"A": True, "B": False}),
        (((0, 126),), {"A": False, "B": True}),
        (((-1, 0),), {"A": False, "B": False}),
        (None, {"A": False, "B": False}),
    ],
)
def test_the_break_of_a_connection_loses_what_it_carried_and_no_more(concerns, known):
    """A venue has several connections; the others go on saying what changes, which for hours may not be the funding rate."""
    engine = lc.Engine([lc.Instrument(name, venue="bybit") for name in "AB"])
    source = source_of("bybit", ["A", "B"], sink=PaperSink(lc.Paper(engine, lc.SimVenue(engine.instruments)), 5 * S))
    at = 1_786_310_819 * S
    for name in "AB":
        source.frame((SNAPSHOT % (name, name)).encode(), at)
    source.feed(lc.FeedState.FEED_DOWN, at, at + 1, concerns)
    found = {name: source.events((DELTA % (name, name)).encode(), at + S)[0].copy() for name in "AB"}
    assert {name: not row["flags"] & FUNDING and float(row["aux_qty"]) == -0.0001 for name, row in found.items()} == known


# ---- recordings ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path):
    """Two venues, of which OKX has marks of one connection: its quotes are gone for a while, then everything of one contract is."""
    instruments = [lc.Instrument("BTCUSDT", venue="bybit"), lc.Instrument("BTC-USDT-SWAP", venue="okx"), lc.Instrument("ETH-USDT-SWAP", venue="okx")]
    with Recorder(tmp_path / "frames") as recorder:
        recorder.mark(START, META, {"instruments": [i.as_dict() for i in instruments], "feeds": feeds_of(instruments), "gap_ns": 5 * S})
        recorder.append(START, OKX["quote"], "okx")
        for at, state, parts in (
            (1, DOWN, [{"streams": 4}]),
            (2, UP, [{"streams": 4}]),
            (3, GAP, [{"streams": 0, "symbols": ["ETH-USDT-SWAP"]}]),
            (4, DOWN, None),
        ):
            recorder.mark(START + at * S, FEED, {"state": state, "ts_event": START, "venue": "okx", **({} if parts is None else {"parts": parts})})
    return tmp_path / "frames"


EXPECTED = [(1, DOWN, 4), (2, DOWN, 4), (1, UP, 4), (2, UP, 4), (2, GAP, 0), (1, DOWN, 0), (2, DOWN, 0)]


def test_every_reader_of_a_recording_hears_the_same_marks(recorded):
    def seen(rows):
        return [(int(row["instrument"]), int(row["code"]), int(row["flags"])) for row in rows if row["kind"] == lc.Kind.FEED]

    assert seen(read_events(recorded).events) == EXPECTED
    reading = formats.read(recorded)
    by_contract = {(symbol, *mark[1:]) for _, symbol, events in reading for mark in seen(events)}
    names = ("BTCUSDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP")
    assert by_contract == {(names[n], state, streams) for n, state, streams in EXPECTED}


def test_a_recording_that_names_no_streams_means_all(tmp_path):
    instruments = [lc.Instrument("AUSDT", venue="bybit"), lc.Instrument("BUSDT", venue="bybit")]
    with Recorder(tmp_path / "frames") as recorder:
        recorder.mark(START, META, {"instruments": [i.as_dict() for i in instruments], "gap_ns": 5 * S})
        recorder.mark(START + S, FEED, {"state": DOWN, "ts_event": START})
    found = read_events(tmp_path / "frames").events
    assert [(int(row["instrument"]), int(row["flags"])) for row in found] == [(-1, 0)]


def test_a_mark_that_cannot_be_read_is_an_error(recorded):
    with Recorder(recorded) as recorder:
        recorder.mark(START + 5 * S, FEED, {"state": DOWN, "ts_event": START, "venue": "okx", "parts": [{"streams": "quotes"}]})
    with pytest.raises(DataError, match="parts"):
        read_events(recorded)


def test_adapters_of_others_carry_everything_unless_they_say():
    from dataclasses import replace

    adapter = replace(adapter_of("bybit"), streams=type(adapter_of("bybit")).__dataclass_fields__["streams"].default)
    assert set(adapter.carries(adapter.plan(["A"], "ws://x")[0], ["A", "B"]).values()) == {255}
    assert orjson.loads(adapter.plan(["A"], "ws://x")[0].subscriptions[0].frame)["op"] == "subscribe"


# ---- trades that come late ------------------------------------------------------------------------------------------------------------------


class Street:
    """Trades of one venue (instruments 2 and 3 of four, or all) with a way of their own from the venue to us."""

    def __init__(self, late_s=1.0, alone=False):
        self.engine = lc.Engine([lc.Instrument(f"S{n}", venue="bybit" if n < 2 else "binance_um") for n in range(4)])
        self.venue = VenueSink(LiveSink(self.engine, 5 * S), 5 * S, 0 if alone else 2, -1 if alone else 2, late_ns=round(late_s * S))

    def trade(self, at_s, way_s, kind=lc.Kind.TRADE, also=()):
        """Received at at_s, way_s after the venue's time; also: ways of other trades of the same frame."""
        at = START + round(at_s * S)
        self.venue.rows(
            np.array([(at - round(way * S), at, 100.0, 1.0, 100.01, 1.0, 0, 2, int(kind), 1, 0, 0) for way in (way_s, *also)], lc.EVENT_DTYPE)
        )

    @property
    def closed(self):
        """(instrument, closed?) of every word about the gate since the last look."""
        audit = self.engine.audit.drain()
        shut = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_LIMIT)) & (audit["x"][:, 3] == int(Gate.GATE_LATE))]
        return [(int(r["instrument"]), int(r["phase"]) == int(lc.Control.CONTROL_PAUSE)) for r in shut]


@pytest.mark.parametrize("offset", [0.0, 0.4, -3.0])
def test_a_burst_after_a_silence_closes_the_gate_before_anything_is_decided(offset):
    """Four seconds of silence, then all of it at once: receipt says it is new, the venue's times say how old it is. The difference of the clocks,
    here `offset`, is in the usual way and makes nothing late."""
    w = Street()
    for k in range(20):
        w.trade(k, 0.1 + offset)
    assert w.closed == [] and w.venue.late.count == 0
    for k, way in enumerate((4.0, 3.0, 2.0, 1.2)):
        w.trade(24 + k * 0.001, way + offset)
    assert w.closed == [(2, True), (3, True)] and w.venue.late.count == 1
    w.trade(24.1, 0.9 + offset)  # in time, but it was late a moment ago
    assert w.closed == []
    w.trade(25.1, 0.2 + offset)
    assert w.closed == [(2, False), (3, False)] and w.venue.late.count == 1


def test_how_late_is_late():
    w = Street()
    w.trade(0, 0.1)
    w.trade(1, 1.1)
    assert w.closed == []  # exactly a second longer than usual
    w.trade(2, 1.100001)
    assert w.closed == [(2, True), (3, True)]


def test_who_is_late_from_the_first_trade_on_is_late():
    """The usual way counts as one second at most: a burst that is the first thing heard does not make itself usual."""
    w = Street()
    w.trade(0, 2.5)
    assert w.closed == [(2, True), (3, True)]
    w = Street()
    w.trade(0, 1.9)
    assert w.closed == []


def test_the_newest_trade_of_a_frame_counts_and_quotes_do_not():
    """A venue may send the last trades anew when it is subscribed to, and repeats the quote of a quiet contract with its old time."""
    w = Street()
    w.trade(0, 0.1)
    w.trade(1, 0.1, also=(3600.0, 9.0))
    w.trade(2, 60.0, kind=lc.Kind.BBO)
    w.trade(3, 60.0, kind=lc.Kind.LIQUIDATION)  # that one is SIGNAL_STALE by its own rule
    assert w.closed == []


def test_what_is_usual_is_forgotten_after_some_minutes():
    """Our clock was set forward by two seconds: trades seem late for ten minutes at most, then that is the usual way (and as far as it is above a
    second, they stay late: no such clock is good enough to trade by)."""
    w = Street()
    w.trade(0, -1.9)
    for k in range(1, 700):
        w.trade(k, 0.1)
    assert w.closed == [(2, True), (3, True), (2, False), (3, False)]
    w.trade(700, 1.0)
    assert w.closed == []


def test_one_venue_alone_says_it_once_for_all_and_a_gate_of_before_is_opened():
    w = Street(alone=True)
    w.trade(0, 5.0)
    assert w.closed == [(-1, True)]
    w = Street(alone=True)
    w.engine.on_control(START - S, lc.Control.CONTROL_PAUSE, Gate.GATE_LATE)  # as a restored engine remembers it
    w.closed.clear()
    w.trade(0, 0.1)
    assert w.closed == [(-1, False)]


def test_lateness_is_not_watched_where_it_was_not_when_the_run_was_recorded():
    w = Street(late_s=0.0)
    w.trade(0, 0.1)
    w.trade(5, 60.0)
    assert w.closed == []
    assert w.venue.late is None
    with pytest.raises(ValueError, match="late_ns: expected a positive time"):
        Street(late_s=-1.0)


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 30.0), st.floats(0.0, 8.0)), min_size=1, max_size=60), st.floats(-20.0, 1.0))
def test_the_gate_is_what_its_rule_says(steps, offset):
    """Against a definition that looks everything up anew; ways in ms, so that nothing is rounded."""
    w, at, shut, until, ways = Street(), 0, False, None, []
    for step, way in steps:
        at, way = at + round(step * 1000), round((way + offset) * 1000)
        w.trade(at / 1000, way / 1000)
        ways.append((at, way))
        usual = min([1000] + [before for _, before in ways[:-1]])
        late = way - usual > 1000
        was = shut
        if late:
            shut, until = True, at + 1000
        elif shut and at > until:
            shut = False
        if at > 300_000:
            break  # beyond the first period what is usual begins to be forgotten
        assert w.closed == ([] if was == shut else [(2, shut), (3, shut)]), (at, way, usual)
