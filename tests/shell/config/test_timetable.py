"""Hours and blackout windows: by the clock of the data, entries only, the same on every path; and the files that they come from."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_walk import same_run

import liqcore as lc
from liqcore.event import Control, Gate
from liqshell.backtest import load_history, run_backtest
from liqshell.config.load import load, loads
from liqshell.config.timetable import Span, make_timetable, places, read_windows, timetable_settings
from liqshell.errors import ConfigError, DataError
from liqshell.report import make_report
from liqshell.sweep.run import run_sweep
from markets import EAGER, START, Fade, instruments, market
from recorded_run import SETTINGS, record_run

S = lc.SECOND
HOUR = 3600 * S


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


# ---- the kernel against the calendar of Python ----


@settings(deadline=None, max_examples=200)
@given(
    st.sets(st.integers(0, 23)),
    st.sets(st.integers(0, 6)),
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 50)), max_size=6),
    st.integers(0, 60_000),
    st.integers(0, 3599),
)
def test_what_is_allowed_is_what_the_calendar_says(hours, weekdays, spans, at_hour, second):
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=at_hour * 8, seconds=second)
    now = int(at.timestamp()) * S
    base = now - 100 * HOUR if now > 100 * HOUR else 0
    windows = [(base + start * HOUR, base + (start + length) * HOUR) for start, length in spans]
    timetable = lc.Timetable(hours=tuple(hours), weekdays=tuple(weekdays), windows=windows)
    expected = (
        (not hours or at.hour in hours) and (not weekdays or at.weekday() in weekdays) and not any(start <= now < end for start, end in windows)
    )
    assert timetable.allows(now) == expected
    # the spans say the same as each of their moments
    closed = timetable.closed(-1, now, now + 200 * HOUR)
    for probe in range(now, now + 200 * HOUR, 37 * 60 * S):
        assert bool(np.searchsorted(closed, probe, "right") & 1) != timetable.allows(probe)


def test_an_instrument_of_its_own():
    timetable = lc.Timetable(windows=[(100, 200, 1)])
    assert [timetable.allows(150, n) for n in range(3)] == [True, False, True]
    assert timetable.closed(1, 0, 1000).tolist() == [100, 200] and not len(timetable.closed(0, 0, 1000))


@pytest.mark.parametrize("wrong", [{"hours": (24,)}, {"hours": (1, 1)}, {"weekdays": (7,)}, {"windows": [(5, 5)]}, {"windows": [(-1, 5)]}])
def test_what_makes_no_timetable_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        lc.Timetable(**wrong)


# ---- the engine ----


def desk(timetable: lc.Timetable | None, size: int = 2, **bracket) -> lc.Paper:
    engine = lc.Engine(
        instruments(size), EAGER, Fade(**bracket), lc.Risk(data_age_max_s=1e6, event_age_max_s=1e6, collar=1.0), equity=1e6, timetable=timetable
    )
    return lc.Paper(engine, lc.SimVenue(engine.instruments))


def drawn(seed: int, events: np.ndarray, size: int) -> lc.Timetable:
    """Windows whose edges are moments of the market or lie between them, of all or of one."""
    rng = random.Random(seed)
    first, last = int(events["ts_recv"][0]), int(events["ts_recv"][-1])
    windows = []
    for _ in range(rng.randrange(1, 7)):
        start = int(rng.choice(events["ts_recv"].tolist())) + rng.choice([0, 1, -1])
        windows.append((max(start, 0), start + rng.randrange(1, max(2, (last - first) // 4)), rng.randrange(-1, size)))
    return lc.Timetable(windows=windows, hours=rng.choice([(), (12, 13), (13,)]))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.booleans())
def test_a_walk_closes_the_same_gates_at_the_same_moments(seed, size, requotes):
    events = market(seed, 1200, size)
    tape = lc.Tape.of(instruments(size), events)
    stream, _ = same_run(tape, lambda: desk(drawn(seed, events, size), size, requotes=int(requotes)))
    records = np.frombuffer(stream, lc.AUDIT_DTYPE)
    limits = records[(records["kind"] == lc.AuditKind.AUDIT_LIMIT) & np.isin(records["x"][:, 3], (Gate.GATE_HOURS, Gate.GATE_BLACKOUT))]
    asked = records[(records["kind"] == lc.AuditKind.AUDIT_RISK)]
    timetable = drawn(seed, events, size)
    for r in asked:
        assert timetable.allows(int(r["ts"]), int(r["instrument"])) or r["reason"] != lc.Reason.OK
        assert not timetable.allows(int(r["ts"]), int(r["instrument"])) or r["reason"] != lc.Reason.NOT_READY
    assert set(limits["phase"].tolist()) <= {int(Control.CONTROL_PAUSE), int(Control.CONTROL_READY)}


def test_the_gates_stand_in_the_stream_with_their_window():
    """Monday noon is START. The second window lies inside the first hours that the day allows."""
    timetable = lc.Timetable(hours=(13, 14), windows=[(START + 90 * 60 * S, START + 100 * 60 * S), (START + 95 * 60 * S, START + 110 * 60 * S)])
    engine = lc.Engine(["ETHUSDT"], timetable=timetable)
    engine.on_trade(START, START, 0, lc.LONG, 2000.0, 1.0)
    assert engine.gates(0) == (Gate.GATE_HOURS,)
    assert engine.next_deadline == START + 60 * 60 * S
    engine.advance(START + 4 * HOUR)
    told = [
        ((int(r["ts"]) - START) // (60 * S), int(r["phase"]), int(r["x"][3]), int(r["x"][5]))
        for r in engine.audit.drain()
        if r["kind"] == lc.AuditKind.AUDIT_LIMIT
    ]
    pause, ready = int(Control.CONTROL_PAUSE), int(Control.CONTROL_READY)
    assert told == [
        (0, pause, Gate.GATE_HOURS, 0),
        (60, ready, Gate.GATE_HOURS, 0),
        (90, pause, Gate.GATE_BLACKOUT, 1),
        (110, ready, Gate.GATE_BLACKOUT, 0),
        (180, pause, Gate.GATE_HOURS, 0),
    ]


def test_entries_only_what_is_held_goes_its_way():
    """Entered just before a window: the exit of the same bracket happens inside of it, and no other entry."""
    events = market(5, 1500, 1)
    free = desk(None, 1)
    free.run(events)
    records = free.engine.audit.drain()
    trade = records[records["kind"] == lc.AuditKind.AUDIT_TRADE][0]
    entered = records[(records["kind"] == lc.AuditKind.AUDIT_FILL) & (records["id"] == trade["id"])][0]
    shut = desk(lc.Timetable(windows=[(int(entered["ts"]) + 1, int(events["ts_recv"][-1]) + 1)]), 1)
    shut.run(events)
    after = shut.engine.audit.drain()
    same = after[after["kind"] == lc.AuditKind.AUDIT_TRADE]
    assert len(same) == 1 and same[0]["ts"] == trade["ts"] and same[0]["x"].tobytes() == trade["x"].tobytes()
    refused = after[(after["kind"] == lc.AuditKind.AUDIT_RISK) & (after["ts"] > entered["ts"])]
    assert len(refused) and not (refused["reason"] == lc.Reason.OK).any()
    assert (refused["x"][refused["reason"] == lc.Reason.NOT_READY, 1] == Gate.GATE_BLACKOUT).all()


def test_a_restored_engine_keeps_its_own_timetable():
    window = [(START + 10 * S, START + 60 * S)]
    one = lc.Engine(["ETHUSDT"], timetable=lc.Timetable(windows=window))
    one.on_trade(START, START, 0, lc.LONG, 2000.0, 1.0)
    one.advance(START + 20 * S)
    assert one.gates(0) == (Gate.GATE_BLACKOUT,)
    same = lc.Engine(["ETHUSDT"], timetable=lc.Timetable(windows=window))
    same.restore(one.snapshot())
    assert same.next_deadline == one.next_deadline == START + 60 * S
    other = lc.Engine(["ETHUSDT"])
    other.restore(one.snapshot())
    other.advance(START + 21 * S)
    assert other.gates(0) == ()
    traded = lc.Engine(["ETHUSDT"], timetable=lc.Timetable(windows=window))
    traded.trade_restore(one.trade_snapshot())  # gates are not among the trades: closed at once by the clock
    traded.resume(START + 22 * S)
    traded.advance(START + 22 * S)
    assert traded.gates(0) == (Gate.GATE_BLACKOUT,)


def test_no_event_may_set_these_gates():
    engine = lc.Engine(["ETHUSDT"])
    engine.on_control(START, Control.CONTROL_PAUSE, Gate.GATE_HOURS)
    assert engine.gates(0) == () and engine.refused == {lc.Reason.BAD_CODE: 1}


# ---- what the configuration says ----


def test_hours_and_days_as_people_write_them():
    hours = [str(n) for n in range(24)]
    assert places("13-18", hours, closed=False) == (13, 14, 15, 16, 17)  # 13:00 to 18:00 UTC
    assert places("22-2,8", hours, closed=False) == (0, 1, 8, 22, 23)
    assert places("0-24", hours, closed=False) == places("all", hours, closed=False) == ()
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    assert places("mon-fri", days, closed=True) == (0, 1, 2, 3, 4)
    assert places("sat-mon", days, closed=True) == (0, 5, 6)


CONFIG = """
[feed]
symbols = ["ETHUSDT"]
[hours]
utc = "13-18"
weekdays = "mon-fri"
[blackout]
lead_s = 60
windows = [{start = 2026-03-18T18:00:00Z, end = "2026-03-18T20:00", reason = "rate decision"},
           {start = 2026-04-01, end = 2026-04-02, venue = "binance"}]
"""


def test_the_configuration_becomes_settings_and_a_timetable():
    config = loads(CONFIG)
    traded = [lc.Instrument("ETHUSDT", venue="bybit"), lc.Instrument("ETHUSDT", venue="binance_um")]
    found = timetable_settings(config.hours, config.blackout, traded)
    assert found == {
        "hours": [13, 14, 15, 16, 17],
        "weekdays": [0, 1, 2, 3, 4],
        "windows": [
            [ns("2026-03-18T17:59:00"), ns("2026-03-18T20:00:00"), -1, "rate decision"],
            [ns("2026-03-31T23:59:00"), ns("2026-04-02T00:00:00"), 1, ""],
        ],
    }
    timetable = make_timetable(found)
    assert timetable.allows(ns("2026-03-18T17:58:59"), 0) and not timetable.allows(ns("2026-03-18T17:59:00"), 0)
    assert timetable.allows(ns("2026-04-01T13:00:00"), 0) and not timetable.allows(ns("2026-04-01T13:00:00"), 1)
    assert timetable_settings(loads("").hours, loads("").blackout, traded) == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[hours]\nutc = "13-25"', "hours.utc"),
        ("[hours]\nutc = 13", "hours.utc"),
        ('[hours]\nweekdays = "monday"', "hours.weekdays"),
        ("[blackout]\nwindows = [{start = 2026-03-18}]", "blackout.windows"),
        ("[blackout]\nwindows = [{start = 2026-03-18, end = 2026-03-17}]", "after"),
        ('[blackout]\nwindows = [{start = "soon", end = 2026-03-17}]', "soon"),
        ('[blackout]\nwindows = [{start = 2026-03-18, end = 2026-03-19, venue = "x"}]', "venue"),
    ],
)
def test_what_is_wrong_is_said_by_key(text, named):
    with pytest.raises(ConfigError, match=named):
        loads(text, "a.toml")


CALENDAR = """BEGIN:VCALENDAR\r
BEGIN:VEVENT\r
DTSTART:20260318T180000Z\r
DTEND:20260318T200000Z\r
SUMMARY:Rate decision\\, press\r
  conference\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20260401\r
DTEND;VALUE=DATE:20260402\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_files_of_windows(tmp_path):
    table = tmp_path / "maintenance.csv"
    table.write_text("start,end,reason,venue\n2026-03-18T18:00,2026-03-18T20:00:00Z,upgrade,bybit\n\n2026-04-01,2026-04-02,,\n")
    assert read_windows(table) == [Span(ns("2026-03-18T18:00"), ns("2026-03-18T20:00"), "upgrade", "bybit"), Span(ns("2026-04-01"), ns("2026-04-02"))]
    events = tmp_path / "news.ics"
    events.write_bytes(CALENDAR.encode())
    assert read_windows(events) == [
        Span(ns("2026-03-18T18:00"), ns("2026-03-18T20:00"), "Rate decision, press conference"),
        Span(ns("2026-04-01"), ns("2026-04-02")),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "a.csv:1"),
        ("start,end\n2026-03-18\n", "a.csv:2"),
        ("start,end\n2026-03-18,2026-03-18\n", "after the start"),
        ("", "empty"),
        (CALENDAR.replace("18T180000Z", "18T180000"), "UTC"),
        (CALENDAR.replace("SUMMARY", "RRULE"), "a repeated event"),
        (CALENDAR.replace("DTEND;VALUE=DATE:20260402\r\n", ""), "DTEND"),
    ],
)
def test_a_file_that_is_wrong_is_refused_as_a_whole(tmp_path, text, said):
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode())
    with pytest.raises(DataError, match=said):
        read_windows(file)


# ---- studies ----

STUDY = (
    '[run]\nout = "{out}"\n' + SETTINGS + '[data]\nfiles = ["market"]\n[backtest]\nrandom_draws = 1\ncontrols = ["inverted_side"]\ndelays_s = [0]\n'
)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hours")
    record_run(folder / "market", hours=2, seed=11)
    (folder / "study.toml").write_text(STUDY.format(out=folder / "runs"))
    first = load_history(load(folder / "study.toml"))
    return folder, first


@pytest.mark.slow
def test_a_backtest_says_what_was_refused_and_what_it_would_have_done(studied):
    """The first of the two hours is a blackout: nothing is entered in it, and the run without it is the run that knows no blackout."""
    folder, history = studied
    middle = history.start_ns + HOUR
    start, end = (datetime.fromtimestamp(ts // S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for ts in (history.start_ns - 60 * S, middle))
    window = f'{{start = {start}, end = {end}, reason = "upgrade"}}'
    free = load(folder / "study.toml")
    shut = load(folder / "study.toml", [f"blackout.windows=[{window}]"])
    report = make_report(run_backtest(shut, folder / "shut", history=history), tape=history.tape)
    told = report.summary["timetable"]
    assert told["blackout"] > 0 and told["hours"] == 0 and told["by_reason"] == {"upgrade": told["blackout"]}
    assert all(trade["decided_ns"] >= middle // S * S for trade in report.summary["trades"])
    whole = make_report(run_backtest(free, folder / "free", history=history), tape=history.tape).summary
    assert told["without"]["trades"] == len(whole["trades"]) and told["without"]["net"] == pytest.approx(whole["money"]["net"])
    assert whole["timetable"] is None and "Hours and blackouts" in report.html.read_text() and "upgrade" in report.html.read_text()


def test_hours_are_an_axis_and_both_ways_of_a_sweep_agree(studied):
    folder, history = studied
    first = datetime.fromtimestamp(history.start_ns // S, UTC).hour
    axis = f'sweep.hours.utc=["all", "{first}", "{(first + 1) % 24}-{(first + 2) % 24 or 24}"]'
    wide = [
        "limits.positions_max=100",
        "limits.exposure_max=1e9",
        "limits.daily_loss_max=1",
        "limits.weekly_loss_max=1",
        "limits.leverage_max=1000",
        "limits.fill_rate_min=0",
        "paper.funding_interval_s=0",
        "limits.orders_per_minute_max=1024",
    ]
    tables = {by: run_sweep(load(folder / "study.toml", [axis, f"sweep.by={by}", *wide]), folder / by).table for by in ("kernel", "backtest")}
    for name in ("symbol", "hours.utc", "trades", "entries", "refused_risk", "net", "fees"):
        assert tables["kernel"][name].tolist() == tables["backtest"][name].tolist(), name
    rows = {(s, h): t for s, h, t in zip(*(tables["kernel"][name].tolist() for name in ("symbol", "hours.utc", "entries")), strict=True)}
    assert any(rows[s, "all"] > rows[s, str(first)] for s, h in rows if h == "all")


def test_a_second_venue_goes_on_with_its_signals_when_the_first_falls_silent():
    """The same contract at two venues: while the feed of one is down its contract gets no entry, the other's signals are as they would be alone."""
    both = [
        lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.001"),
        lc.Instrument("ETHUSDT", venue="binance_um", tick_size="0.01", lot_size="0.001"),
    ]
    events = market(5, 1500, 2)
    engine = lc.Engine(both, EAGER)
    alone = [signal for signal in engine.run(events) if signal.instrument == 1]
    half = len(events) // 2
    cut = lc.Engine(both, EAGER)
    heard = list(cut.run(events[:half]))
    now = int(events["ts_recv"][half - 1])
    cut.on_feed(now, now, lc.FeedState.FEED_DOWN, 0)
    heard += list(cut.run(events[half:]))
    assert [(s.ts, s.phase, s.notional) for s in heard if s.instrument == 1] == [(s.ts, s.phase, s.notional) for s in alone] and len(alone) > 10
    late = [s for s in heard if s.instrument == 0 and s.ts > now]
    assert all(s.flags & lc.event.SignalFlag.SIGNAL_UNCERTAIN for s in late)
