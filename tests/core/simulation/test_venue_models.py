"""Every model of the simulated venue, on random markets, equal to the plain-Python oracle to the last bit; and laws that need no oracle."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_paper import Floor, both
from test_simulate import INSTRUMENTS, LONG, SHORT, S, contrast, draw, market, paper, rows, share, table

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import FillFlag, FillReason, Reason, Role

pytestmark = pytest.mark.core

MINIMUM = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", min_qty="0.01", max_qty="1.5", min_notional=998.0)
MS = 10**6


def samples(rng: random.Random) -> list[int]:
    """Measured latencies, ns: mostly short, some long enough to overtake everything if they were allowed to."""
    return [rng.choice([0, MS, 40 * MS, rng.randrange(200 * MS), rng.randrange(1500 * MS)]) for _ in range(rng.randrange(1, 9))]


def with_tickers(rng: random.Random, instrument: lc.Instrument, events: list[tuple], marks: bool) -> list[tuple]:
    """Tickers between the events: a mark near the last trade (or none) and a funding rate; and at the end enough trading to let everybody out."""
    out, last, often = [], events[0][2], rng.choice([0.1, 0.1, 0.01])
    for event in events:
        out.append(event)
        if event[1] == "trade":
            last = event[2]
        if rng.random() < often:
            mark = instrument.price(last) * (1 + rng.gauss(0, 0.0003)) if marks and rng.random() < 0.8 else 0.0
            out.append((event[0], "ticker", mark, rng.choice([0.0, 0.0001, -0.0003, 0.001]), rng.choice([0, 0, 0, 8, 32])))
    for n in range(1, 12):
        out.append((events[-1][0] + n * 100 * S, "trade", last + n % 3, 10**7, rng.choice([LONG, SHORT])))
    return out


def draw_models(seed: int, **fixed):
    g, instrument, _ = draw(seed)
    rng = random.Random(seed)
    g.fills, g.walk, g.hidden = rng.choice(["through", "touch", "queue", "queue"]), rng.random() < 0.5, rng.random() < 0.5
    g.seed = rng.randrange(-10, 10**12)
    if rng.random() < 0.5:
        g.order_latency, g.ack_latency = samples(rng), rng.choice([samples(rng), 10 * MS])
    g.funding = rng.choice([0, 60 * S, 61 * S])
    g.leverage = rng.choice([0, 20, 150, 190])
    if rng.random() < 0.4:
        g.loss, g.trail = share(rng, 8_000, 90_000), Fraction(0)  # the venue is quicker than our own stop
    if rng.random() < 0.2:
        instrument, g.notional = MINIMUM, rng.choice([1000.0, 998.1, 5000.0])
    for name, value in fixed.items():
        setattr(g, name, value)
    coarse = g.fills != "through" and rng.random() < 0.6
    if coarse:
        instrument, g.offset = INSTRUMENTS[3], Fraction(0) if g.market else share(rng, 1, 400)
    events = market(rng, instrument, 700, 0.0003 if coarse else rng.choice([0.0002, 0.0006, 0.0015]))
    return g, instrument, with_tickers(rng, instrument, events, rng.random() < 0.6)


#: what must be met: a quote ends in each way, and every kind of order in each state of it
WITHOUT_QUOTES = [
    "refused: age",
    "refused: print",
    "refused: feed",
    "post-only by estimate: refused",
    "post-only by estimate: rests",
    "market order without a quote",
    "limit without a quote",
    "waits for a live quote",
    "funding at the mark",
    "funding at the last trade",
    *(
        (role, flag)
        for role in (Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_CLOSE, Role.ROLE_LIQUIDATION)
        for flag in (FillFlag.FILL_PRINT, FillFlag.FILL_MOVED)
    ),
]


@pytest.mark.parametrize("walk", [False, True], ids=["next", "walk"])
@pytest.mark.parametrize("fills", ["through", "touch", "queue"])
def test_paper_equals_oracle_in_every_model(fills, walk):
    """Fills, trades, funding and alarms: time, price, lots, role, reason, fee and result, to the last bit."""
    seen: Counter = Counter()
    for seed in range(20_000, 20_090):
        oracle, _ = contrast(seed, *draw_models(seed, fills=fills, walk=walk))
        seen.update((role, reason) for _, role, _, _, _, _, reason in oracle.fills)
        seen.update((role, FillFlag(flags)) for _, role, _, _, _, flags, _ in oracle.fills if flags)
        seen.update(oracle.venue.met)
        seen.update(("end", reason) for _, reason, *_ in oracle.trades)
        seen.update(("funded", np.sign(paid)) for *_, paid, _ in oracle.funded)
    maker = {"through": FillReason.FILL_THROUGH, "touch": FillReason.FILL_TOUCH, "queue": FillReason.FILL_QUEUE}[fills]
    for what in (
        ("funded", 1.0),
        ("funded", -1.0),
        (Role.ROLE_ENTRY, maker),
        (Role.ROLE_TARGET, maker),
        (Role.ROLE_STOP, FillReason.FILL_STOP),
        (Role.ROLE_LIQUIDATION, FillReason.FILL_LIQUIDATED),
        (Role.ROLE_CLOSE, FillReason.FILL_TIMEOUT),
        (Role.ROLE_CLOSE, FillReason.FILL_CLOSE),
        ("end", Reason.END_LIQUIDATED),
        ("end", Reason.END_STOP),
        ("end", Reason.END_TARGET),
        *WITHOUT_QUOTES,
        f"moved: {'walk' if walk else 'next'}",
    ):
        assert seen[what], f"the comparison was about something: {what} in {seen}"


@settings(max_examples=60, deadline=None)
@given(st.integers(10**6, 2**40))
def test_paper_equals_oracle_whatever_the_seed(seed):
    contrast(seed, *draw_models(seed))


@pytest.mark.parametrize("seed", range(21_000, 21_024))
def test_snapshot_anywhere_continues_byte_for_byte(seed):
    g, instrument, events = draw_models(seed)
    rows_, rng = table(instrument, events), random.Random(seed)
    whole, desk, got, at = paper(g, instrument), paper(g, instrument), b"", 0
    whole.run(rows_)
    while at < len(rows_):
        step = rng.randrange(1, 60)
        desk.run(rows_[at : at + step])
        at += step
        got += desk.engine.audit.drain().tobytes()
        data, desk = desk.snapshot(), paper(g, instrument)
        desk.restore(data)
    assert got == whole.engine.audit.drain().tobytes() and desk.snapshot() == whole.snapshot()


@pytest.mark.parametrize("seed", range(22_000, 22_012))
def test_cutting_and_waking_change_nothing(seed):
    g, instrument, events = draw_models(seed)
    rows_ = table(instrument, events)
    whole, cut, rng = paper(g, instrument), paper(g, instrument), random.Random(seed)
    whole.run(rows_)
    for n in range(len(rows_)):
        before, after = int(rows_["ts_recv"][max(n - 1, 0)]), int(rows_["ts_recv"][n])
        if after > before and rng.random() < 0.5:
            cut.advance(rng.randrange(before, after))
        cut.run(rows_[n : n + 1])
    assert whole.engine.audit.drain().tobytes() == cut.engine.audit.drain().tobytes()


@pytest.mark.parametrize("fills", ["through", "touch", "queue"])
def test_what_is_out_of_reach_changes_nothing(fills):
    """The promise that a driver skips by: a trade or quote outside reach() leaves orders and position as they are."""
    skipped = met = 0
    for seed in range(23_000, 23_030):
        g, instrument, events = draw_models(seed, fills=fills)
        desk, rows_ = paper(g, instrument), table(instrument, events)
        for n, event in enumerate(events):
            desk.advance(event[0])
            due, (low, high, every) = desk.next_deadline, desk.venue.reach(0)
            before = desk.venue.position(0), desk.venue.orders(0)
            row = rows_[n]
            down, up = (row["price"],) * 2 if event[1] == "trade" else (row["aux_price"], row["price"])
            desk.run(rows_[n : n + 1])
            after = desk.venue.position(0), desk.venue.orders(0)
            if event[1] in ("signal", "ticker") or due is not None and due <= event[0]:
                continue  # no event of the market, or requests that take no time arrive with it
            if not every and down > low and up < high:
                assert after == before, (seed, n, event, low, high)
                skipped += bool(before[1])
            met += after != before
    assert skipped > 500 and met > 100, (skipped, met)


@pytest.mark.parametrize("seed", range(24_000, 24_060))
def test_laws_of_every_model(seed):
    """Sum of fills = position after every fill (hftbacktest #316); a maker fills at its price; exits never turn the position; funding has the sign of
    side x rate and is for the position that is held."""
    g, instrument, events = draw_models(seed)
    desk, rows_ = paper(g, instrument), table(instrument, events)
    desk.run(rows_)
    desk.advance(events[-1][0] + 3600 * S)
    records = desk.engine.audit.drain()
    asked, held = {}, 0
    for r in records:
        role = int(r["id"]) & 15
        if r["kind"] == AuditKind.AUDIT_ORDER and r["phase"] in (lc.OrderStatus.ORDER_NEW, lc.OrderStatus.ORDER_TRIGGERED):
            asked[int(r["id"])] = r["x"][0]
        elif r["kind"] == AuditKind.AUDIT_FILL:
            side = int(r["side"])
            before, held = held, held + side * instrument.lots(r["x"][1] + 1e-12)
            assert r["x"][4] == instrument.qty(abs(held)) * np.sign(held)
            if role != Role.ROLE_ENTRY:
                assert before * held >= 0 and abs(held) < abs(before)
            if int(r["x"][3]) & FillFlag.FILL_MAKER:
                assert r["x"][0] == asked[int(r["id"])]
        elif r["kind"] == AuditKind.AUDIT_FUNDING:
            mark, qty, paid, rate = r["x"][:4]
            assert paid == pytest.approx(mark * qty * rate * int(r["side"]) * instrument.multiplier)
    assert held == 0 and desk.venue.position(0) == 0.0


def near_prices(events: list[tuple]) -> dict[int, list[tuple]]:
    """Per time: what the quoted market was at each of its events: (bid, ask), or the trade where that is worse."""
    out, bid, ask = {}, 0, 0
    for ts, kind, a, b, *_ in events:
        if kind == "quote":
            bid, ask = a, b
        out.setdefault(ts, []).append((min(bid, a), max(ask, a)) if kind == "trade" else (bid, ask))
    return out


@pytest.mark.parametrize("walk", [False, True], ids=["next", "walk"])
def test_takers_never_fill_better_than_the_market_was(walk):
    """A stop through a jump, a forced close: sells at most at the bid of an event of that moment, or at its trade where that is lower. Without a live
    quote: at a trade of that moment that a seller made; or, between events, no better than the last trade before."""
    count = Counter()
    for seed in range(25_000, 25_060):
        g, instrument, events = draw_models(seed, walk=walk, order_latency=3 * MS, ack_latency=7 * MS)
        desk, market_at = paper(g, instrument), near_prices(events)
        trades = [event for event in events if event[1] == "trade"]
        desk.run(table(instrument, events))
        desk.advance(events[-1][0] + 3600 * S)
        for r in rows(desk.engine.audit.drain(), AuditKind.AUDIT_FILL):
            if int(r["x"][7]) not in (Role.ROLE_STOP, Role.ROLE_LIQUIDATION):
                continue
            price, side, at, flags = instrument.ticks(r["x"][0]), int(r["side"]), int(r["ts"]) - 7 * MS, int(r["x"][3])
            if flags == FillFlag.FILL_PRINT:
                assert (price, side) in [(a, aggressor) for ts, _, a, _, aggressor in trades if ts == at], (seed, price)
            elif flags == FillFlag.FILL_MOVED:
                last = trades[bisect_left(trades, at, key=lambda event: event[0]) - 1][2]
                assert (price - last) * side >= 1, (seed, price, last)
            else:
                seen = market_at[at]
                best = max(low for low, _ in seen) if side < 0 else min(high for _, high in seen)
                assert flags == 0 and (price - best) * side >= 0, (seed, price, seen)
            count[int(r["x"][7]), side, flags] += 1
    assert len(count) == 12 and min(n for (_, _, flags), n in count.items() if not flags) > 3, count


# ---- by hand: the entry of either side rests at 2496.25, 0.40 (as for a long) ----


def resting(side: int, **options) -> Floor:
    """An entry on its way; the venue's arguments in `venue`."""
    floor = Floor(side, options.pop("fills", "queue"), **options)
    floor.liquidate()
    floor.wait(1.0)
    return floor


def ahead(floor: Floor):
    (order,) = floor.paper.venue.orders(0)
    return order["ahead"]


def entered(floor: Floor) -> list:
    floor.wait(1.0)
    return [(price, qty, reason) for role, price, qty, _, reason in floor.fills() if role == Role.ROLE_ENTRY]


@both
def test_queue_is_joined_consumed_and_then_fills_piece_by_piece(side):
    floor = resting(side)
    assert ahead(floor) is None  # behind the best: nobody shows us
    floor.trade(2496.25, 5.0)
    assert entered(floor) == []
    floor.quote(2496.25, 2496.27, bid_qty=2.0)
    assert ahead(floor) == 2.0
    floor.quote(2496.25, 2496.27, bid_qty=9.0)  # those who come later stand behind us
    assert ahead(floor) == 2.0
    floor.trade(2496.25, 0.5)
    assert ahead(floor) == 1.5
    floor.trade(2496.25, 0.5, aggressor=+1)  # from our own side: it takes from the other book
    assert ahead(floor) == 1.5
    floor.quote(2496.25, 2496.27, bid_qty=0.7)  # some have left
    assert ahead(floor) == 0.7
    floor.trade(2496.25, 0.7)
    assert ahead(floor) == 0.0 and entered(floor) == []
    floor.trade(2496.25, 0.1)
    assert entered(floor) == [(2496.25, 0.1, FillReason.FILL_QUEUE)] and floor.paper.venue.position(0) == pytest.approx(0.1 * side)
    floor.trade(2496.24, 0.01)
    assert entered(floor)[1:] == [(2496.25, 0.3, FillReason.FILL_THROUGH)]


@both
def test_one_trade_consumes_the_queue_and_fills_with_what_is_left(side):
    floor = resting(side)
    floor.quote(2496.25, 2496.27, bid_qty=2.0)
    floor.trade(2496.25, 2.15)
    assert entered(floor) == [(2496.25, 0.15, FillReason.FILL_QUEUE)]


@both
def test_where_nobody_stands_before_us(side):
    floor = resting(side)
    floor.quote(2496.20, 2496.27)  # the best is worse than our price: we are it
    assert ahead(floor) == 0.0
    floor.quote(2496.20, 2496.25)  # nobody can offer at our price while we stand there
    assert entered(floor) == [(2496.25, 0.4, FillReason.FILL_QUEUE)]
    empty = resting(side, venue={"hidden": "none"})  # a book made of best quotes: deeper levels are empty
    assert ahead(empty) == 0.0
    empty.trade(2496.25, 0.25)
    assert entered(empty) == [(2496.25, 0.25, FillReason.FILL_QUEUE)]


@both
def test_queue_of_a_market_without_quotes_is_touch(side):
    floor = resting(side, quotes=False)
    assert ahead(floor) == 0.0
    floor.trade(2496.25, 0.1)
    assert entered(floor) == [(2496.25, 0.1, FillReason.FILL_QUEUE)]


@both
def test_more_quantity_goes_to_the_end_of_the_queue(side):
    """The target grows with the entry: it loses its place, as at a venue."""
    floor = resting(side)
    floor.quote(2496.25, 2496.27, bid_qty=0.0)
    floor.trade(2496.25, 0.1)
    floor.wait(1.0)
    floor.quote(2499.90, 2500.0, ask_qty=3.0)
    floor.trade(2500.0, 1.0, aggressor=+1)
    assert [o["ahead"] for o in floor.paper.venue.orders(0) if o["id"] & 15 == 3] == [2.0]
    floor.trade(2496.25, 0.1)
    floor.quote(2499.90, 2500.0, ask_qty=3.0)
    floor.wait(1.0)
    assert [(o["ahead"], o["qty"]) for o in floor.paper.venue.orders(0) if o["id"] & 15 == 3] == [(3.0, pytest.approx(0.2))]


@both
def test_a_taker_walks_through_what_is_shown_and_traded(side):
    """Stop of 0.40 into a thin market: 0.1 shown, 0.05 traded worse than the quote, the rest at what comes next; the mean is worse than 'next'."""
    floor = resting(side, fills="through", venue={"taker": "walk"}, take_profit=0)
    floor.trade(2496.0)
    floor.wait(1.0)
    floor.quote(2480.0, 2486.0, bid_qty=0.1)  # so wide that no print contradicts it
    floor.trade(2485.0, 0.01)  # triggers (2490.01); never in the same event
    assert len(floor.fills()) == 1
    floor.trade(2479.0, 0.05)
    floor.quote(2478.0, 2484.0, bid_qty=0.2)
    floor.quote(2477.0, 2483.0, bid_qty=0.0)
    floor.trade(2478.5, 3.0)  # worse of the two: the quote
    floor.wait(1.0)
    out = [(price, qty, reason) for role, price, qty, _, reason in floor.fills() if role == Role.ROLE_STOP]
    assert out == [(price, qty, FillReason.FILL_STOP) for price, qty in ((2479.0, 0.05), (2478.0, 0.2), (2477.0, 0.15))]
    (trade,) = floor.trades
    assert trade["reason"] == Reason.END_STOP and not floor.kinds(AuditKind.AUDIT_ALARM)


@both
def test_a_stop_that_finds_nobody_for_a_second_is_helped_by_a_close(side):
    """A position whose stop has fired and does not get filled is closed at market; together they never sell more than is held."""
    floor = resting(side, fills="through", venue={"taker": "walk"}, take_profit=0)
    floor.trade(2496.0)
    floor.wait(1.0)
    floor.trade(2485.0, 0.01)
    floor.trade(2484.0, 0.05)
    floor.wait(1.5)
    assert [int(r["phase"]) for r in floor.kinds(AuditKind.AUDIT_ALARM)] == [lc.Alarm.ALARM_UNPROTECTED]
    floor.trade(2483.0, 0.05)
    floor.quote(2482.0, 2482.02, bid_qty=5.0)
    floor.wait(1.0)
    assert floor.paper.venue.position(0) == 0.0 and floor.paper.venue.orders(0) == []
    assert sum(qty for role, _, qty, *_ in floor.fills() if role != Role.ROLE_ENTRY) == pytest.approx(0.4)


@both
def test_a_market_entry_takes_what_is_shown_and_its_stop_counts_from_the_mean(side):
    floor = Floor(side, entry="market", entry_offset=0, take_profit=0, venue={"taker": "walk"})
    floor.quote(2499.99, 2500.01, ask_qty=0.1)
    floor.liquidate()
    floor.wait(0.2)
    floor.quote(2500.9, 2501.0, ask_qty=0.2)
    floor.quote(2501.9, 2502.0, ask_qty=7.0)
    floor.wait(1.0)
    assert entered(floor) == [(2500.01, 0.1, FillReason.FILL_CROSS), (2501.0, 0.2, FillReason.FILL_CROSS), (2502.0, 0.1, FillReason.FILL_CROSS)]
    mean, stop = 2501.0025, floor.paper.venue.orders(0)[0]
    assert floor.price(stop["price"]) == pytest.approx(mean * (1 - side * 0.0025) if side > 0 else 5000 - (5000 - mean) * 1.0025, abs=0.02)


@both
@pytest.mark.parametrize(
    ("rules", "reason"), [({"max_qty": "0.39"}, None), ({"min_notional": 1100.0}, Reason.RISK_QTY), ({"min_qty": "0.5"}, Reason.RISK_QTY)]
)
def test_size_rules(side, rules, reason):
    """Risk keeps an entry from leaving that the venue would refuse; what is too large is cut."""
    floor = Floor(side, instrument=lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.01", **rules))
    floor.liquidate()
    floor.wait(1.0)
    if reason is None:
        assert [o["qty"] for o in floor.paper.venue.orders(0)] == [0.39]
    else:
        assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == reason and floor.paper.venue.orders(0) == []


def test_the_venue_judges_the_smallest_order_on_arrival_and_lets_everyone_out():
    """A market entry whose notional has fallen below the minimum while it was under way is rejected; a reduce-only rest below both minima is not."""
    instrument = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.01", min_qty="0.3", min_notional=990.0)
    floor = Floor(LONG, entry="market", entry_offset=0, instrument=instrument)
    floor.liquidate()
    floor.quote(2450.0, 2450.02)
    floor.wait(1.0)
    rejected = [r for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["phase"] == lc.OrderStatus.ORDER_REJECTED]
    assert [int(r["reason"]) for r in rejected] == [Reason.END_VENUE] and floor.fills() == []
    for side in (LONG, SHORT):
        floor = Floor(side, "touch", instrument=instrument, max_hold_s=5)
        floor.liquidate()
        floor.wait(1.0)
        floor.trade(2496.25, 0.01)
        floor.wait(10.0)
        floor.trade(2496.30, 0.01)
        floor.wait(1.0)
        assert floor.paper.venue.position(0) == 0.0 and [(role, qty) for role, _, qty, *_ in floor.fills()] == [(1, 0.01), (4, 0.01)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fills": "magic"}, "fills: expected 'through' or 'touch' or 'queue'"),
        ({"taker": "x"}, "taker: expected"),
        ({"hidden": "x"}, "hidden: expected"),
        ({"funding_interval_s": 1.0}, "funding_interval_s"),
        ({"funding_interval_s": float("nan")}, "funding_interval_s"),
        ({"leverage": 0.5}, "leverage"),
        ({"leverage": float("nan")}, "leverage"),
        ({"leverage": 100.0, "maintenance_margin": 0.01}, "maintenance_margin"),
        ({"maintenance_margin": -0.1}, "maintenance_margin"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        lc.SimVenue([INSTRUMENTS[0]], **options)
