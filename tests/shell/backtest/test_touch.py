"""What a taker would have dealt at, over columns: a plain reading of the rule event by event, and no bias of what is priced without quotes."""

import numpy as np
import pytest

import liqcore as lc
from liqshell.backtest.history import History, described
from liqshell.backtest.touch import STALE_NS, inside, touch
from liqshell.recording.streams import shared_ns

TICK = 0.01
T0 = 1_772_452_800 * lc.SECOND
S = lc.SECOND


def rows_of(trades=(), quotes=(), marks=()):
    """trades: (ts, ticks, side); quotes: (ts, bid, ask); marks: (ts, FeedState, streams)."""
    out = [(ts, ts, p * TICK, 1.0, 0.0, 0.0, 0, 0, int(lc.Kind.TRADE), side, 0, 0) for ts, p, side in trades]
    out += [(ts, ts, b * TICK, 1.0, a * TICK, 1.0, 0, 0, int(lc.Kind.BBO), 0, 0, 0) for ts, b, a in quotes]
    out += [(ts, ts, 0.0, 0.0, 0.0, 0.0, 0, -1, int(lc.Kind.FEED), 0, flags, int(state)) for ts, state, flags in marks]
    return np.array(sorted(out, key=lambda r: r[1]), lc.EVENT_DTYPE)


def history_of(*parts, end=None):
    events = rows_of(*parts)
    tape = lc.Tape.of([lc.Instrument("X", tick_size="0.01", lot_size="0.001")], events)
    return described(History(tape, T0, end or int(events["ts_recv"][-1]) + 60 * S, "f", "x"))


def plain(events, t, side, wait=5 * S, age=10 * S, share=None):
    """The simulated venue's rule for one taker who asks at t, event by event: (ticks, live)."""
    bid = ask = last = until = last_ts = last_side = 0
    spreads = []

    def half():
        if share is not None:
            return -(-last * round(share * 1e8) // 10**8)
        few = spreads[-16:]
        return -(-sum(few) // (2 * len(few))) if few else 1

    asked = False
    for e in events:
        ts = int(e["ts_recv"])
        if ts > t and not asked:
            asked = True
            if t < until:
                return (ask if side > 0 else bid), True
        if asked and ts > t + wait:
            break
        if e["kind"] == lc.Kind.BBO:
            bid, ask, until = round(e["price"] / TICK), round(e["aux_price"] / TICK), ts + age
            spreads.append(ask - bid)
            if asked:
                return (ask if side > 0 else bid), False
        elif e["kind"] == lc.Kind.TRADE:
            last, last_ts, last_side = round(e["price"] / TICK), ts, int(e["side"])
            few = spreads[-16:]
            if until and max(last - ask, bid - last) * len(few) > sum(few):
                until = 0
            if asked and e["side"] == side:
                return last, False
        elif e["kind"] == lc.Kind.FEED and e["code"] != lc.FeedState.FEED_UP and (e["flags"] == 0 or e["flags"] & 4):
            until = 0
    if not asked and t < until:
        return (ask if side > 0 else bid), True
    return (
        (max(1, last + side * (1 if last_side == side else max(1, 2 * half()))), False) if last and t + wait - last_ts <= STALE_NS else (None, False)
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [None, 0.0004])
def test_prices_are_those_of_a_plain_reading_of_the_rule(seed, share):
    r = np.random.default_rng(seed)
    price = 10_000 + np.cumsum(r.integers(-4, 5, 400)) + np.where(r.random(400) < 0.03, r.integers(-90, 90, 400), 0)
    at = T0 + np.sort(r.integers(0, 1800, 400)) * S + r.integers(0, 400, 400) * 1000
    at = np.sort(at)
    kind = r.random(400)
    trades = [(int(t), int(p), int(r.choice([-1, 1]))) for t, p, k in zip(at, price, kind, strict=True) if k < 0.6]
    quotes = [
        (int(t), int(p) - 3, int(p) + int(r.integers(0, 5)))
        for t, p, k in zip(at, price, kind, strict=True)
        if 0.6 <= k < (0.95 if seed % 2 else 0.7)
    ]
    marks = [(int(t), lc.FeedState.FEED_GAP, int(r.choice([0, 4, 2]))) for t, k in zip(at, kind, strict=True) if k >= 0.97]
    history = history_of(trades, quotes, marks)
    events = [dict(zip(lc.EVENT_DTYPE.names, e, strict=True)) for e in rows_of(trades, quotes, marks).tolist()]
    times = np.sort(T0 + r.integers(0, 1_900_000, 300) * 1_000_000 + 7)
    found = touch(history, 0, times, share)
    for side, got in ((1, found.ask), (-1, found.bid)):
        for t, price_, live in zip(times.tolist(), got.tolist(), found.live.tolist(), strict=True):
            ticks, alive = plain(events, t, side, share=share)
            assert live == alive and (np.isnan(price_) if ticks is None else price_ == pytest.approx(ticks * TICK)), (seed, t - T0, side)
    assert 0.02 < found.live.mean() < 0.98


def test_a_quote_that_has_ended_is_no_price():
    """By age, by a trade beyond it, by a gap of its own stream: then the next print of that side, else the last one moved."""
    quotes = [(T0, 9_990, 10_010)]
    late = touch(history_of([(T0 + 12 * S, 10_050, 1), (T0 + 13 * S, 10_040, -1)], quotes), 0, np.array([T0 + 5 * S, T0 + 11 * S]))
    assert late.live.tolist() == [True, False] and late.ask == pytest.approx([100.1, 100.5]) and late.bid == pytest.approx([99.9, 100.4])
    beyond = touch(history_of([(T0 + S, 10_031, 1), (T0 + 3 * S, 10_020, -1)], quotes), 0, np.array([T0 + 2 * S]))
    assert (
        not beyond.live[0] and beyond.bid[0] == pytest.approx(100.2) and beyond.ask[0] == pytest.approx(100.2 + 0.2)
    )  # the usual spread above a seller's
    near = touch(history_of([(T0 + S, 10_030, 1)], quotes), 0, np.array([T0 + 2 * S]))
    assert near.live[0] and near.ask[0] == pytest.approx(100.1)  # by no more than the usual spread
    for flags, live in ((0, False), (4, False), (2, True)):
        cut = touch(history_of([(T0, 10_000, 1)], quotes, [(T0 + S, lc.FeedState.FEED_GAP, flags)]), 0, np.array([T0 + 2 * S]))
        assert cut.live[0] == live
    nothing = touch(history_of([(T0, 10_000, 1)], end=T0 + 1000 * S), 0, np.array([T0 + 200 * S]))
    assert not nothing.known[0]
    never = touch(history_of([(T0, 10_000, 1)]), 0, np.array([T0 + S]))
    assert (never.bid[0], never.ask[0]) == (
        pytest.approx(99.98),
        pytest.approx(100.01),
    )  # a buyer's print has passed: a tick; a seller gets a spread of two less


@pytest.mark.parametrize("half_bps", [1.0, 8.0])
def test_without_quotes_nothing_is_won_or_lost_on_a_martingale(half_bps):
    """Bought and sold at moments that follow a burst of sellers, as a fade does, the mean is that of the same with quotes within 1 bp: the last print
    is then at the bid, and to buy there would be a gift of half a spread."""
    with_, without = [], []
    for seed in range(12):
        r = np.random.default_rng(seed)
        count = 8_000
        at = T0 + np.cumsum(r.exponential(1.5, count) * S).astype(np.int64)
        middle = 100_000 * np.exp(np.cumsum(r.normal(0, 1e-4, count)))
        side = np.where(r.random(count) < 0.5, 1, -1)
        burst = np.arange(400, count - 400, 200)
        for k in burst:
            side[k - 5 : k + 1] = -1  # longs are sold out: six prints at the bid
        half = half_bps * 1e-4
        trades = [(int(t), int(np.rint(m * (1 + s * half))), int(s)) for t, m, s in zip(at, middle, side, strict=True)]
        quotes = [(int(t) - 1, int(np.rint(m * (1 - half))), int(np.rint(m * (1 + half)))) for t, m in zip(at, middle, strict=True)]
        asked = at[burst] + 50_000_000
        for parts, out in (((trades, quotes), with_), ((trades,), without)):
            history = history_of(*parts)
            share = None if parts[1:] else history.spreads[0].share
            now, then = (touch(history, 0, asked + wait, share) for wait in (0, 60 * S))
            out += ((then.bid - now.ask) / now.ask * 1e4).tolist()
    assert np.nanmean(with_) == pytest.approx(np.nanmean(without), abs=1.0)
    assert np.nanmean(without) == pytest.approx(-2.0 * half_bps, abs=1.0)


def test_spans():
    spans = np.array([[10, 20], [30, 35]])
    assert inside(spans, np.array([9, 10, 19, 20, 30, 35])).tolist() == [False, True, True, False, True, False]
    assert shared_ns(spans, np.array([[0, 12], [15, 32], [34, 99]])) == 2 + 5 + 2 + 1
    assert shared_ns(spans, spans) == 15 and shared_ns(spans, np.zeros((0, 2), np.int64)) == 0
