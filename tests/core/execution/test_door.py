"""The door: what is wrong with an event is said once, counted, and changes nothing; what is merely unusual comes in."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns import cases
from campaigns import seed as campaign_seed
from liqcore import EVENT_DTYPE, LONG, SECOND, AuditKind, Engine, Reason
from liqcore.event import Kind
from markets import EAGER, START, Fade, market, paper, state

pytestmark = pytest.mark.core

NOW = START + 100 * SECOND


def engine(**options) -> Engine:
    """One with a past: markets seen, a cascade begun, one refusal counted."""
    out = Engine(["ETHUSDT", "SOLUSDT"], EAGER, Fade(), **options)
    for n in range(12):
        out.on_liquidation(START, START + n, 0, LONG, 2000.0, 1.0 + n)
    for index in (0, 1):
        out.on_trade(NOW, NOW, index, LONG, 2000.0, 1.0)
        out.on_bbo(NOW, NOW, index, 1999.0, 1.0, 2001.0, 1.0)
        out.on_ticker(NOW, NOW, index, 2000.0)
    out.on_liquidation(NOW, NOW, 0, LONG, 2000.0, 50.0)
    out.on_trade(NOW, NOW, 0, LONG, math.nan, 1.0)
    out.audit.drain()
    return out


def one(kind, **fields) -> np.ndarray:
    e = np.zeros(1, EVENT_DTYPE)
    e["ts_event"] = e["ts_recv"] = NOW
    e["kind"], e["price"], e["qty"], e["side"] = kind, 2000.0, 1.0, 1
    if kind == Kind.BBO:
        e["aux_price"], e["aux_qty"] = 2001.0, 1.0
    for name, value in fields.items():
        e[name] = value
    return e


PRICED = (Kind.LIQUIDATION, Kind.TRADE, Kind.BBO, Kind.FILL, Kind.FUNDING)
BAD = [(kind, {"price": price}, Reason.BAD_PRICE) for kind in PRICED for price in (math.nan, math.inf, -math.inf, 0.0, -1.0)]
BAD += [(kind, {"price": price}, Reason.BAD_PRICE) for kind in PRICED[1:] for price in (1e-9, 1e300)]
BAD += [(Kind.TICKER, {"price": price}, Reason.BAD_PRICE) for price in (math.nan, math.inf, -1.0)]
BAD += [
    (kind, {"qty": qty}, reason)
    for kind in (Kind.LIQUIDATION, Kind.TRADE)
    for qty, reason in (
        (math.nan, Reason.BAD_PRICE),
        (math.inf, Reason.BAD_PRICE),
        (0.0, Reason.BAD_QTY),
        (-1.0, Reason.BAD_QTY),
        (1e16, Reason.BAD_QTY),
    )
]
BAD += [(kind, {"price": price}, Reason.BAD_BAND) for kind in (Kind.LIQUIDATION, Kind.TRADE) for price in (2_000_000.0, 20_001.0, 199.0, 2.0)]
BAD += [(kind, {"side": side}, Reason.BAD_SIDE) for kind in (Kind.LIQUIDATION, Kind.TRADE, Kind.FUNDING) for side in (0, 2, -2, 127)]
BAD += [(kind, {"instrument": n}, Reason.BAD_INSTRUMENT) for kind in (*PRICED, Kind.TICKER, Kind.ORDER) for n in (2, -1, -2, 2**31 - 1)]
BAD += [(kind, {"instrument": n, "code": 1}, Reason.BAD_INSTRUMENT) for kind in (Kind.FEED, Kind.CONTROL) for n in (2, -2, 2**31 - 1)]
BAD += [(kind, {"code": code, "instrument": 0}, Reason.BAD_CODE) for kind in (Kind.FEED, Kind.CONTROL, Kind.ORDER) for code in (0, 99, 255)]
BAD += [(kind, {}, Reason.BAD_KIND) for kind in (0, 14, 200, 255)]
BAD += [
    (Kind.VERDICT, {"id": 5, "code": 1}, Reason.BAD_INSTRUMENT),
    (Kind.VERDICT, {"instrument": -1, "id": 5, "code": 5}, Reason.BAD_CODE),
    (Kind.VERDICT, {"instrument": -1, "id": 0, "code": 1}, Reason.BAD_CODE),
]
BAD += [(kind, {"ts_recv": ts, "code": 1}, Reason.BAD_TIME) for kind in Kind for ts in (NOW - 1, 0, -1, -(2**63), 2**62, 2**63 - 1)]
BAD += [(kind, {"ts_event": ts, "code": 1}, Reason.BAD_TIME) for kind in Kind for ts in (-1, -(2**63), 2**62, 2**63 - 1)]
BAD += [(Kind.BBO, {"aux_price": ask}, Reason.BAD_BOOK) for ask in (2000.0, 1999.0, 0.0, -1.0)]
BAD += [
    (Kind.BBO, {"aux_price": 1e300}, Reason.BAD_PRICE),
    (Kind.BBO, {"aux_price": math.nan}, Reason.BAD_PRICE),
    (Kind.BBO, {"aux_price": 2_000_000.0}, Reason.BAD_BAND),
    (Kind.BBO, {"price": 2_000_000.0, "aux_price": 2_000_001.0}, Reason.BAD_BAND),
    (Kind.BBO, {"qty": -1.0}, Reason.BAD_QTY),
    (Kind.BBO, {"aux_qty": -1.0}, Reason.BAD_QTY),
]
BAD += [
    (Kind.TICKER, {"price": 2_000_000.0}, Reason.BAD_BAND),
    (Kind.TICKER, {"qty": -1.0}, Reason.BAD_QTY),
    (Kind.TICKER, {"aux_price": -1.0}, Reason.BAD_PRICE),
    (Kind.TICKER, {"aux_qty": math.nan}, Reason.BAD_PRICE),
]
BAD += [(Kind.LIQUIDATION, {"aux_price": x}, Reason.BAD_QTY) for x in (-1.0, 2.0**41)]
BAD += [(Kind.LIQUIDATION, {"qty": 1e12}, Reason.BAD_QTY)]
BAD += [(Kind.FILL, {"aux_qty": x}, Reason.BAD_QTY) for x in (-1.0, 2.0**53)]
BAD += [(kind, {"aux_price": math.nan}, Reason.BAD_PRICE) for kind in (Kind.FILL, Kind.FUNDING)]
# what a venue says of itself: a winner's position, price limits (code 1), a pool (code 2)
BAD += [
    (kind, {"code": code, field: x}, Reason.BAD_PRICE)
    for kind, code in ((Kind.DELEVERAGE, 0), (Kind.VENUE_STATE, 1), (Kind.VENUE_STATE, 2))
    for field in ("price", "qty", "aux_price", "aux_qty")
    for x in (math.nan, math.inf, -math.inf)
]
BAD += [(kind, {"code": 1, "instrument": n}, Reason.BAD_INSTRUMENT) for kind in (Kind.DELEVERAGE, Kind.VENUE_STATE) for n in (2, -1, -2, 2**31 - 1)]
BAD += [(Kind.DELEVERAGE, {"price": x}, Reason.BAD_PRICE) for x in (0.0, -1.0)] + [
    (Kind.DELEVERAGE, {"side": x}, Reason.BAD_SIDE) for x in (0, 2, -2, 127)
]
BAD += [(Kind.DELEVERAGE, {"qty": x}, Reason.BAD_QTY) for x in (0.0, -1.0, 1e16, 1e12)]
BAD += [(Kind.DELEVERAGE, {"aux_price": x}, Reason.BAD_QTY) for x in (-1.0, 2.0**41)]
BAD += [(Kind.VENUE_STATE, {"code": code}, Reason.BAD_CODE) for code in (0, 3, 255)]
BAD += [(Kind.VENUE_STATE, {"code": 1, field: -1.0}, Reason.BAD_PRICE) for field in ("price", "aux_price")]
BAD += [(Kind.VENUE_STATE, {"code": 1, "aux_price": 2000.01}, Reason.BAD_BOOK)]
BAD += [(Kind.VENUE_STATE, {"code": 2, "flags": bits}, Reason.BAD_CODE) for bits in (7, 8, 255)]
BAD += [(Kind.VENUE_STATE, {"code": 2, "aux_price": x}, Reason.BAD_QTY) for x in (-0.01, 1.01)] + [
    (Kind.VENUE_STATE, {"code": 2, "aux_qty": -0.1}, Reason.BAD_QTY)
]
BAD += [(Kind.FUNDING, {"qty": qty}, Reason.BAD_QTY) for qty in (0.0, -1.0)] + [(Kind.FUNDING, {"aux_qty": math.inf}, Reason.BAD_PRICE)]


@pytest.mark.parametrize(("kind", "fields", "reason"), BAD, ids=lambda x: getattr(x, "name", None) or str(x))
def test_rubbish_is_refused_counted_audited_and_changes_nothing(kind, fields, reason):
    """But for a quote that nobody could trade against: it ends the one before."""
    e = engine()
    row = one(kind, **fields)
    if kind == Kind.BBO and not 0 < row["price"][0] < row["aux_price"][0]:
        e.run(one(Kind.FEED, code=3, flags=4, instrument=0))
        e.audit.drain()
    before, counted, events = state(e), e.refused, e.events
    assert e.run(row) == [] and e.drain() == []
    assert state(e) == before
    assert e.events == events
    assert e.refused == counted | {reason: counted.get(reason, 0) + 1}
    (record,) = e.audit.drain()
    assert (record["kind"], record["reason"], record["phase"], record["ts"]) == (AuditKind.AUDIT_REFUSED, reason, int(kind), NOW)
    assert (record["instrument"], record["id"], record["side"]) == (row["instrument"][0], row["ts_event"][0], row["side"][0])
    x = record["x"]
    np.testing.assert_array_equal(x[:4], [row[name][0] for name in ("price", "qty", "aux_price", "aux_qty")])
    assert x[4] == (2000.0 if row["instrument"][0] == 0 else 0.0) or row["instrument"][0] == 1
    assert x[7] == e.refused[reason]
    e.run(one(Kind.TRADE, price=2010.0))
    assert e.events == events + 1


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Kind.LIQUIDATION, {"ts_event": NOW + 3600 * SECOND}),
        (Kind.LIQUIDATION, {"ts_event": 0}),
        (Kind.TRADE, {"ts_event": NOW - 500 * SECOND}),
        (Kind.LIQUIDATION, {"price": 19_999.0}),
        (Kind.TRADE, {"price": 200.0}),
        (Kind.TICKER, {"price": 0.0}),
        (Kind.BBO, {"qty": 0.0}),
        (Kind.LIQUIDATION, {"aux_price": 1e9}),
        (Kind.LIQUIDATION, {"ts_recv": NOW}),
        (Kind.FEED, {"code": 3, "flags": 255, "instrument": 0}),
        (Kind.DELEVERAGE, {}),
        (Kind.DELEVERAGE, {"price": 2e7, "qty": 0.001}),
        (Kind.VENUE_STATE, {"code": 1, "price": 0.0}),
        (Kind.VENUE_STATE, {"code": 1, "price": 0.0, "aux_price": 5e6}),
        (Kind.VENUE_STATE, {"code": 2, "qty": -5421.3, "aux_qty": 1.5}),
        (Kind.VENUE_STATE, {"code": 2, "flags": 6}),
        (Kind.TIMER, {"instrument": 77, "price": math.nan}),
    ],
)
def test_what_is_only_unusual_comes_in(kind, fields):
    e = engine()
    events = e.events
    e.run(one(kind, **fields))
    assert e.events == events + 1


def test_a_name_nobody_knows_and_sides_that_are_none_are_refused_by_the_calls_too():
    e = engine()
    assert e.on_liquidation(NOW, NOW, "NOPE", LONG, 2000.0, 1.0) == ()
    assert e.on_liquidation(NOW, NOW, 2**40, LONG, 2000.0, 1.0) == ()
    assert e.on_liquidation(NOW, NOW, -5, LONG, 2000.0, 1.0) == ()
    assert e.on_liquidation(NOW, NOW, 0, 1000, 2000.0, 1.0) == ()
    assert e.refused == {Reason.BAD_PRICE: 1, Reason.BAD_INSTRUMENT: 3, Reason.BAD_SIDE: 1}


@pytest.mark.parametrize("price", [2_000_000.0, 2.0])
def test_five_implausible_prices_that_agree_are_a_relisting(price):
    e = engine()
    for _ in range(4):
        e.run(one(Kind.TRADE, price=price))
    assert e.refused[Reason.BAD_BAND] == 4
    e.run(one(Kind.TRADE, price=price * 1.1))
    assert e.refused[Reason.BAD_BAND] == 4
    e.run(one(Kind.TRADE, price=2000.0))
    assert e.refused[Reason.BAD_BAND] == 5, "the old price is the implausible one now"


def test_implausible_prices_that_disagree_or_are_interrupted_never_get_in():
    e = engine()
    for n in range(40):
        e.run(one(Kind.TRADE, price=20_001.0 * 2 ** (n % 3)))
    assert e.refused[Reason.BAD_BAND] == 40
    for _ in range(10):
        for _ in range(4):
            e.run(one(Kind.TRADE, price=1_000_000.0))
        e.run(one(Kind.TRADE, price=2000.0))
    assert e.refused[Reason.BAD_BAND] == 80


def test_time_passes_with_a_refused_event_so_that_the_audit_stream_does_not_depend_on_who_woke_the_engine():
    rows = np.concatenate([one(Kind.LIQUIDATION, qty=90.0), one(Kind.TRADE, ts_recv=NOW + 60 * SECOND, price=math.nan)])
    plain, woken = engine(), engine()
    plain.run(rows)
    woken.run(rows[:1])
    woken.advance(NOW + 40 * SECOND)
    woken.run(rows[1:])
    assert plain.audit.drain().tobytes() == woken.audit.drain().tobytes()
    assert plain.now == woken.now == NOW + 60 * SECOND


def test_an_absurd_ask_fills_nothing():
    """An ask beyond what ticks can hold once became -1 ticks, and a resting buy was filled by it."""
    p = paper(size=1)
    p.run(market(1, 400, 1))
    p.engine.audit.drain()
    now = p.engine.now
    p.run(one(Kind.BBO, price=1900.0, aux_price=1e300, ts_recv=now, ts_event=now))
    assert [record["kind"] for record in p.engine.audit.drain()] == [AuditKind.AUDIT_REFUSED]


def test_a_refused_event_never_reaches_the_simulated_venue():
    """A report delivered in the same step once made a refused event look accepted: the venue matched rubbish prices, or crashed."""
    p = paper(size=1, order_latency_s=0.0, ack_latency_s=1.0)
    rows = market(5, 600, 1)  # a market in which a buy of an entry rests while a report is on its way
    for n in range(len(rows)):
        p.run(rows[n : n + 1])
        resting = [o for o in p.venue.orders(0) if o["side"] == 1 and o["type"] == 1]
        if resting and p.next_deadline is not None and p.next_deadline <= p.engine.now + SECOND:
            break
    assert resting
    p.engine.audit.drain()
    for _ in range(3):
        ts = p.engine.now + SECOND
        p.run(one(Kind.TRADE, price=1.0, ts_recv=ts, ts_event=ts))
        p.run(one(Kind.TRADE, instrument=2**30, ts_recv=ts, ts_event=ts))
    assert p.engine.refused == {Reason.BAD_BAND: 3, Reason.BAD_INSTRUMENT: 3}
    assert AuditKind.AUDIT_FILL not in p.engine.audit.drain()["kind"]
    assert p.venue.position(0) == 0.0


# ---- fuzz ----


def garbage(r: np.random.Generator, count: int, now: int) -> np.ndarray:
    """Random bytes in every field, some fields of every second row made sensible so that all depths are reached."""
    e = np.frombuffer(r.bytes(count * EVENT_DTYPE.itemsize), EVENT_DTYPE).copy()
    sane = r.random(count) < 0.5
    specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 5e-324, 1e-310, 1.7e308, 2.0**53, 2.0**63, 2000.0, 1999.99, 0.01])
    for name, typical in (("price", 2000.0), ("qty", 1.0), ("aux_price", 2001.0), ("aux_qty", 1.0)):
        e[name] = np.where(r.random(count) < 0.6, typical * np.exp(r.normal(0, 0.02, count)), np.where(sane, r.choice(specials, count), e[name]))
    e["kind"] = np.where(r.random(count) < 0.95, r.integers(0, 14, count), e["kind"])
    e["instrument"] = np.where(r.random(count) < 0.95, r.integers(-1, 2, count), e["instrument"])
    e["side"] = np.where(r.random(count) < 0.9, r.choice([1, -1], count), e["side"])
    e["code"] = np.where(r.random(count) < 0.9, r.integers(0, 9, count), e["code"])
    e["ts_recv"] = np.where(r.random(count) < 0.98, now + np.cumsum(r.integers(0, SECOND, count)), e["ts_recv"])
    e["ts_event"] = np.where(r.random(count) < 0.9, e["ts_recv"], e["ts_event"])
    ours = (r.integers(0, 2, count) << 40) | (r.integers(0, 40, count) << 12) | (r.integers(0, 3, count) << 4) | r.integers(0, 6, count)
    e["id"] = np.where(r.random(count) < 0.9, ours, e["id"])
    control = (e["kind"] == Kind.CONTROL) & (r.random(count) < 0.9)
    e["code"] = np.where(control, 2, e["code"])
    # a time near the end of time is possible, and would end the test: everything after it is late
    e["ts_recv"] = np.where((e["ts_recv"] > now + 10**6 * SECOND) & (e["ts_recv"] < 2**62), -1, e["ts_recv"])
    return e


def feed_garbage(seed: int, count: int, through_paper: bool) -> int:
    r = np.random.default_rng(seed)
    p = paper(risk={"order_notional_max": 1e9, "exposure_max": 1e12, "leverage_max": 1000.0, "positions_max": 1000})
    target = p if through_paper else p.engine
    target.run(market(seed, 300))
    engine = p.engine
    accepted, refused = engine.events, sum(engine.refused.values())
    rows = garbage(r, count, engine.now)
    reports = np.isin(rows["kind"], (Kind.ORDER, Kind.FILL))
    if through_paper:  # the simulated venue makes the reports itself
        rows = rows[~reports]
    target.run(rows)
    engine.drain()
    if not through_paper:
        assert engine.events - accepted + sum(engine.refused.values()) - refused == len(rows)
    for n in range(2):
        assert math.isfinite(engine.account.position(n)["qty"])
    engine.snapshot()
    return len(rows)


@pytest.mark.parametrize("through_paper", [False, True])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_random_bytes_never_crash_and_every_event_is_accounted_for(through_paper, seed):
    feed_garbage(seed, 5000, through_paper)


@pytest.mark.campaign
def test_a_million_events_of_random_bytes():
    first = campaign_seed()
    for seed in (first + case for case in cases(20.0, gate=20)):
        try:
            feed_garbage(seed, 50_000, bool(seed & 1))
        except Exception as error:
            raise AssertionError(f"seed={seed}") from error
