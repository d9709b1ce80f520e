"""Every model of the simulated venue, on random markets, equal to the plain-Python oracle to the last bit; and laws that need no oracle."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulate import INSTRUMENTS, LONG, PRICES, SHORT, S, contrast, draw, market, paper, rows, share, table

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import FillReason, Reason, Role

MINIMUM = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", min_qty="0.01", max_qty="1.5", min_notional=998.0)
MS = 10 ** 6


def samples(rng: random.Random) -> list[int]:
    """Measured latencies, ns: mostly short, some long enough to overtake everything if they were allowed to."""
    return [rng.choice([0, MS, 40 * MS, rng.randrange(200 * MS), rng.randrange(1500 * MS)]) for _ in range(rng.randrange(1, 9))]


def with_tickers(rng: random.Random, instrument: lc.Instrument, events: list[tuple], marks: bool) -> list[tuple]:
    """Tickers between the events: a mark near the last trade (or none) and a funding rate; and at the end enough trading to let everybody out."""
    out, last = [], events[0][2]
    for event in events:
        out.append(event)
        if event[1] == "trade":
            last = event[2]
        if rng.random() < 0.1:
            mark = instrument.price(last) * (1 + rng.gauss(0, 0.0003)) if marks and rng.random() < 0.8 else 0.0
            out.append((event[0], "ticker", mark, rng.choice([0.0, 0.0001, -0.0003, 0.001])))
    for n in range(1, 12):
        out.append((events[-1][0] + n * 100 * S, "trade", last + n % 3, 10 ** 7, rng.choice([LONG, SHORT])))
    return out


def draw_models(seed: int, **fixed):
    g, instrument, _ = draw(seed)
    rng = random.Random(seed)
    g.fills, g.walk, g.hidden = rng.choice(["through", "touch", "queue", "queue"]), rng.random() < 0.5, rng.random() < 0.5
    g.seed = rng.randrange(-10, 10 ** 12)
    if rng.random() < 0.5:
        g.order_latency, g.ack_latency = samples(rng), rng.choice([samples(rng), 10 * MS])
    g.funding = rng.choice([0, 60 * S, 61 * S])
    g.leverage = rng.choice([0, 20, 150, 190])
    if rng.random() < 0.4:
        g.loss, g.trail = share(rng, 8_000, 90_000), Fraction(0)      # the venue is quicker than our own stop
    if rng.random() < 0.2:
        instrument, g.notional = MINIMUM, rng.choice([1000.0, 998.1, 5000.0])
    for name, value in fixed.items():
        setattr(g, name, value)
    coarse = g.fills != "through" and rng.random() < 0.6
    if coarse:
        instrument, g.offset = INSTRUMENTS[3], Fraction(0) if g.market else share(rng, 1, 400)
    events = market(rng, instrument, 700, 0.0003 if coarse else rng.choice([0.0002, 0.0006, 0.0015]))
    return g, instrument, with_tickers(rng, instrument, events, rng.random() < 0.6)


@pytest.mark.parametrize("walk", [False, True], ids=["next", "walk"])
@pytest.mark.parametrize("fills", ["through", "touch", "queue"])
def test_paper_equals_oracle_in_every_model(fills, walk):
    """Fills, trades, funding and alarms: time, price, lots, role, reason, fee and result, to the last bit."""
    seen: Counter = Counter()
    for seed in range(20_000, 20_090):
        oracle, _ = contrast(seed, *draw_models(seed, fills=fills, walk=walk))
        seen.update((role, reason) for _, role, _, _, _, _, reason in oracle.fills)
        seen.update(("end", reason) for _, reason, *_ in oracle.trades)
        seen.update(("funded", np.sign(paid)) for *_, paid, _ in oracle.funded)
    maker = {"through": FillReason.FILL_THROUGH, "touch": FillReason.FILL_TOUCH, "queue": FillReason.FILL_QUEUE}[fills]
    for what in (("funded", 1.0), ("funded", -1.0), (Role.ROLE_ENTRY, maker), (Role.ROLE_TARGET, maker), (Role.ROLE_STOP, FillReason.FILL_STOP),
                 (Role.ROLE_LIQUIDATION, FillReason.FILL_LIQUIDATED), (Role.ROLE_CLOSE, FillReason.FILL_TIMEOUT), (Role.ROLE_CLOSE, FillReason.FILL_CLOSE),
                 ("end", Reason.END_LIQUIDATED), ("end", Reason.END_STOP), ("end", Reason.END_TARGET)):
        assert seen[what], f"the comparison was about something: {what} in {seen}"


@settings(max_examples=60, deadline=None)
@given(st.integers(10 ** 6, 2 ** 40))
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
        desk.run(rows_[at:at + step])
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
        cut.run(rows_[n:n + 1])
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
            desk.run(rows_[n:n + 1])
            after = desk.venue.position(0), desk.venue.orders(0)
            if event[1] in ("signal", "ticker") or due is not None and due <= event[0]:
                continue                # no event of the market, or requests that take no time arrive with it
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
            if r["x"][3]:
                assert r["x"][0] == asked[int(r["id"])]
        elif r["kind"] == AuditKind.AUDIT_FUNDING:
            mark, qty, paid, rate = r["x"][:4]
            assert paid == pytest.approx(mark * qty * rate * int(r["side"]) * instrument.multiplier)
    assert held == 0 and desk.venue.position(0) == 0.0
