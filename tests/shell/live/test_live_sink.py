"""The sink of a live run: the same engine, requests out through the last hop, reports in; and what a replay makes of the same rows."""

import numpy as np
import pytest

from liqcore import EVENT_DTYPE, SECOND, Control, Engine, FillReason, OrderStatus, Reason, Risk
from liqcore.event import Action, FeedState, Kind, Role
from liqshell.run.dispatch import Dispatch, Fate, Wire
from liqshell.run.sink import LiveSink
from liqshell.venues.bybit.orders import order_encoder
from markets import EAGER, Fade, instruments, market

GAP_NS = 5 * SECOND


class Nowhere(Wire):
    def send(self, frame):
        return True


def engine(policy=None):
    limits = Risk(data_age_max_s=60.0, orders_per_minute_max=1000, daily_loss_max=0.5, weekly_loss_max=0.5)
    return Engine(instruments(2), EAGER, policy or Fade(), limits, audit_capacity=1 << 17)


def row(kind, ts, **fields):
    event = np.zeros(1, EVENT_DTYPE)
    event["kind"], event["ts_event"], event["ts_recv"] = kind, ts, ts
    for name, value in fields.items():
        event[name] = value
    return event


def reports_of(sent, sink, execution):
    """A venue that takes every order, and fills entries and closes in full at once."""
    now, i = sink.engine.now, sink.engine.instruments[sent.instrument]
    about = {"id": sent.id, "instrument": sent.instrument}
    if sent.action == Action.ACTION_CANCEL:
        yield row(Kind.ORDER, now, code=OrderStatus.ORDER_CANCELLED, **about)
        return
    yield row(Kind.ORDER, now, code=OrderStatus.ORDER_NEW, qty=i.qty(sent.qty), price=i.price(sent.price) if sent.price else 0.0, **about)
    if sent.id & 15 in (Role.ROLE_ENTRY, Role.ROLE_CLOSE):
        price = i.price(sent.price) if sent.price else 2000.0
        yield row(Kind.FILL, now, price=price, qty=i.qty(sent.qty), aux_qty=execution, code=FillReason.FILL_CROSS, **about)
    if sent.id & 15 == Role.ROLE_ENTRY:
        yield row(Kind.ORDER, now, id=(sent.id & ~0xFFF) | Role.ROLE_STOP, instrument=sent.instrument, code=OrderStatus.ORDER_NEW)


def live(seed, count=4000):
    """Play a market against that venue; (audit, what a recording would hold: rows of frames, reports, feed marks in order)."""
    sink = LiveSink(engine(), GAP_NS)
    sink.dispatch = Dispatch(sink.engine, None, order_encoder("run1", sink.engine.instruments), None, Nowhere(), lambda: 0)
    tape, told, execution = [], [], 0
    rng = np.random.default_rng(seed)
    events = market(seed, count)
    at = 0
    while at < count:
        size = int(rng.integers(1, 20))
        rows = events[at : at + size].copy()
        at += size
        if rng.random() < 0.02:
            tape.append(("feed", FeedState.FEED_DOWN, sink.last_ts_recv, int(rows["ts_recv"][0])))
            sink.feed(*tape[-1][1:])
            tape.append(("feed", FeedState.FEED_UP, int(rows["ts_recv"][0]), int(rows["ts_recv"][0])))
            sink.feed(*tape[-1][1:])
        sink.rows(rows)
        tape.append(("rows", rows))
        if rng.random() < 0.5:
            sink.advance(int(rows["ts_recv"][-1]) + int(rng.integers(0, 1000)))  # a timer of the live loop: leaves no mark
        while sink.dispatch.waiting:
            for sent in sink.dispatch.take():
                told.append(sent)
                for report in reports_of(sent, sink, execution := execution + 1):
                    tape.append(("report", sink.report(report)))
        if rng.random() < 0.002:
            tape.append(("report", sink.report(row(Kind.CONTROL, sink.engine.now, instrument=-1, code=Control.CONTROL_HALT))))
            tape.append(("report", sink.report(row(Kind.CONTROL, sink.engine.now, instrument=-1, code=Control.CONTROL_RESUME))))
    return sink, tape, told


@pytest.mark.parametrize("seed", range(4))
def test_a_replay_without_a_venue_leaves_the_same_audit(seed):
    sink, tape, told = live(seed)
    assert any(s.id & 15 == Role.ROLE_ENTRY for s in told) and any(s.id & 15 == Role.ROLE_TARGET for s in told), (
        "nothing was traded: choose another seed"
    )
    assert all(s.fate == Fate.SENT for s in told if s.id & 15 != Role.ROLE_STOP) and sink.reports > 0
    again = LiveSink(engine(), GAP_NS)
    for what, *values in tape:
        if what == "rows":
            again.rows(*values)
        elif what == "feed":
            again.feed(*values)
        else:
            assert again.report(np.frombuffer(values[0], EVENT_DTYPE)) == values[0], "a report is replayed as it was stepped"
    assert again.engine.audit.drain().tobytes() == sink.engine.audit.drain().tobytes()
    assert again.engine.drain() == [] and again.gaps == sink.gaps
    assert again.engine.account.equity == sink.engine.account.equity != 10_000.0


def test_a_report_from_before_the_engines_time_is_raised_to_it_and_kept_as_stepped():
    sink = LiveSink(engine(), GAP_NS)
    sink.advance(100 * SECOND)
    kept = np.frombuffer(sink.report(row(Kind.CONTROL, 99 * SECOND, instrument=-1, code=Control.CONTROL_HALT)), EVENT_DTYPE)
    assert kept["ts_recv"] == 100 * SECOND and kept["ts_event"] == 99 * SECOND
    assert sink.engine.refused == {}
    with pytest.raises(ValueError, match="one event"):
        sink.report(np.zeros(2, EVENT_DTYPE))


def test_refused_reports_are_counted_at_the_door_like_any_event():
    sink = LiveSink(engine(), GAP_NS)
    sink.report(row(99, SECOND))
    assert sink.engine.refused == {Reason.BAD_KIND: 1}


def test_only_prices_that_hold_diverge():
    """A mark that nobody states any more, or a last trade from before a break of its connection, says nothing of the market (market.pxd)."""
    sink, at = LiveSink(engine(), GAP_NS), 1_700_000_000 * SECOND
    e = sink.engine
    assert not sink.diverges(0, 0.01, at)
    e.on_trade(at, at, 0, 1, 2000.0, 1.0)
    e.on_ticker(at, at, 0, 1900.0)
    assert sink.diverges(0, 0.01, at) and not sink.diverges(0, 0.06, at) and not sink.diverges(1, 0.01, at)
    assert sink.diverges(0, 0.01, at + 60 * SECOND) and not sink.diverges(0, 0.01, at + 61 * SECOND)  # the mark is too old
    sink.feed(FeedState.FEED_DOWN, at, at + SECOND)
    assert not sink.diverges(0, 0.01, at + SECOND)
    e.on_ticker(at, at + 2 * SECOND, 0, 1900.0)
    assert not sink.diverges(0, 0.01, at + 2 * SECOND), "trades may have been missed"
    e.on_trade(at, at + 3 * SECOND, 0, 1, 2000.0, 1.0)
    assert sink.diverges(0, 0.01, at + 3 * SECOND)
    with pytest.raises(IndexError):
        sink.diverges(2, 0.01, at)
