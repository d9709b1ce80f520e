"""Coverage by stream against a plain walk over the events by the rule of market.pxd: a quote ends by age, by a mark of the feed, and by a trade beyond it by
more than the mean spread of the last 16 quotes."""

import numpy as np
import pytest

import liqcore as lc
from liqcore.event import Stream
from liqshell.backtest import history
from liqshell.recording import streams
from liqshell.report import quotes
from store_files import HOUR, SECOND, T0, by_hour

TICK = 0.1
INSTRUMENTS = [
    lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.1", lot_size="0.001"),
    lc.Instrument("SOLUSDT", venue="bybit", tick_size="0.1", lot_size="0.001"),
]


def row(ts, kind, price=0.0, ask=0.0, instrument=0, code=0, flags=0, funding=0.0, ts_event=None, oi=0.0):
    side = 1 if kind in (lc.Kind.TRADE, lc.Kind.LIQUIDATION) else 0
    qty = oi if kind == lc.Kind.TICKER else 0.0 if kind == lc.Kind.FEED else 1.0
    return (
        ts if ts_event is None else ts_event,
        ts,
        price,
        qty,
        ask,
        funding if kind == lc.Kind.TICKER else 1.0 if kind == lc.Kind.BBO else 0.0,
        0,
        instrument,
        int(kind),
        side,
        flags,
        code,
    )


def tape_of(rows):
    return lc.Tape.of(INSTRUMENTS, np.array(sorted(rows, key=lambda r: r[1]), lc.EVENT_DTYPE))


def random_market(rng, count=400, span=HOUR):
    rows, price = [], 1000
    for _n, at in enumerate(np.sort(rng.integers(0, span // SECOND, count)) * SECOND + rng.integers(0, 3, count)):
        ts = T0 + int(at)
        price += int(rng.integers(-3, 4)) + (int(rng.integers(-80, 80)) if rng.random() < 0.05 else 0)
        what = rng.random()
        if what < 0.5:
            rows.append(row(ts, lc.Kind.TRADE, round(price * TICK, 1)))
        elif what < 0.9:
            rows.append(row(ts, lc.Kind.BBO, round(price * TICK, 1), round((price + int(rng.integers(1, 9))) * TICK, 1)))
        elif what < 0.95:
            rows.append(row(ts, lc.Kind.TICKER, price * TICK * (rng.random() < 0.5), price * TICK, flags=int(rng.choice([0, 32])), funding=0.0))
        else:
            rows.append(
                row(
                    ts,
                    lc.Kind.FEED,
                    instrument=int(rng.choice([-1, 0])),
                    code=int(rng.integers(1, 4)),
                    flags=int(rng.choice([0, 4, 2, 32])),
                    ts_event=ts - int(rng.integers(0, 20)) * SECOND,
                )
            )
    return rows


def quote_holds(events, moments, age=10 * SECOND):
    """The definition, event by event: whether a quote can be traded against at each moment; marks that reach back are left to the caller."""
    out, at, until, spreads = [], 0, 0, []
    bid = ask = 0
    for moment in moments:
        while at < len(events) and events["ts_recv"][at] <= moment:
            e = events[at]
            at += 1
            if e["instrument"] > 0:
                continue
            if e["kind"] == lc.Kind.BBO:
                bid, ask, until = round(e["price"] / TICK), round(e["aux_price"] / TICK), int(e["ts_recv"]) + age
                spreads = [*spreads, ask - bid][-16:]
            elif e["kind"] == lc.Kind.TRADE and until:
                price = round(e["price"] / TICK)
                if max(price - ask, bid - price) * len(spreads) > sum(spreads):
                    until = 0
            elif e["kind"] == lc.Kind.FEED and e["code"] != lc.FeedState.FEED_UP and (e["flags"] == 0 or e["flags"] & 4):
                until = 0
        out.append(moment < until)
    return np.array(out)


def missing(events, moments, bit):
    """The times that a mark of the feed says nothing is known of, looking back."""
    out, down = np.zeros(len(moments), bool), None
    for e in events[(events["kind"] == lc.Kind.FEED)]:
        if e["flags"] and not e["flags"] & bit:
            continue
        since = max(T0, min(int(e["ts_event"]), int(e["ts_recv"])))
        if e["code"] == lc.FeedState.FEED_DOWN:
            down = since if down is None else down
        else:
            start = since if e["code"] == lc.FeedState.FEED_GAP else down
            if start is not None:
                out |= (moments >= start) & (moments < e["ts_recv"])
            if e["code"] == lc.FeedState.FEED_UP:
                down = None
    return out | ((moments >= down) if down is not None else False)


@pytest.mark.parametrize("seed", range(12))
def test_quotes_hold_by_age_by_the_feed_and_until_a_trade_contradicts_them(seed):
    tape = tape_of(random_market(np.random.default_rng(seed)))
    common = tape.rare[tape.rare["instrument"] < 0]
    events = np.concatenate([common, tape.events(0)])
    events = events[np.argsort(events["ts_recv"], kind="stable")]
    found = streams.of_tape(tape, T0, T0 + HOUR)[0]
    rng = np.random.default_rng(seed + 100)
    moments = np.sort(np.concatenate([T0 + rng.integers(0, HOUR, 4000), events["ts_recv"], events["ts_recv"] - 1, events["ts_recv"] + 10 * SECOND]))
    moments = moments[(moments >= T0) & (moments < T0 + HOUR)]
    expected = quote_holds(events, moments) & ~missing(events, moments, 4)
    held = found["quotes"].held
    at = np.searchsorted(held[:, 0], moments, "right")
    got = (at > 0) & (moments < held[np.maximum(at, 1) - 1, 1])
    assert (got == expected).all(), (moments[got != expected][:5] - T0, got[got != expected][:5])
    assert 0.02 < expected.mean() < 0.999
    for name, age in (("trades", 60), ("mark", 60), ("funding", 900)):
        kind = lc.Kind.TRADE if name == "trades" else lc.Kind.TICKER
        rows = events[events["kind"] == kind]
        rows = rows[(rows["price"] > 0) if name == "mark" else (rows["flags"] & 32 == 0) if name == "funding" else slice(None)]
        assert found[name].rows == len(rows)
        marks = events[(events["kind"] == lc.Kind.FEED) & (events["code"] != lc.FeedState.FEED_UP)]
        marks = marks[(marks["flags"] == 0) | (marks["flags"] & streams.BITS[name] != 0)]["ts_recv"]
        last = np.searchsorted(rows["ts_recv"], moments, "right") - 1
        spoke = np.where(last >= 0, rows["ts_recv"][np.maximum(last, 0)], -HOUR * 1000)
        broken = np.array([((marks > s) & (marks <= m)).any() for s, m in zip(spoke, moments, strict=True)])
        expected = (moments - spoke < age * SECOND) & ~broken & ~missing(events, moments, streams.BITS[name])
        held = found[name].held
        at = np.searchsorted(held[:, 0], moments, "right")
        got = (at > 0) & (moments < held[np.maximum(at, 1) - 1, 1]) if len(held) else np.zeros(len(moments), bool)
        assert (got == expected).all(), name


def test_gaps_hours_and_the_covered_time_are_one_thing():
    tape = tape_of(random_market(np.random.default_rng(5), 3000, 5 * HOUR))
    start, end = T0 + HOUR // 3, T0 + 4 * HOUR + HOUR // 4
    for found in streams.of_tape(tape, start, end)[0].values():
        dark = sum(b - a for a, b in found.gaps(0))
        assert found.covered_ns + dark == end - start and found.share == pytest.approx(found.covered_ns / (end - start))
        hours = by_hour(found)
        assert len(hours) == 5 and all(0 <= share <= 1 for share in hours)
        widths = [HOUR * 2 // 3, HOUR, HOUR, HOUR, HOUR // 4]
        assert sum(share * width for share, width in zip(hours, widths, strict=True)) == pytest.approx(found.covered_ns, abs=1e4)
        assert found.as_dict()["gaps"] == found.gaps(streams.MINUTE_NS)


def test_a_book_that_ends_at_noon_is_said_first():
    """The day of the issue: quotes until 13:27, trades until the end of the day."""
    rows = [row(T0 + n * SECOND, lc.Kind.TRADE, 100.0) for n in range(0, 86_400, 5)]
    rows += [row(T0 + n * SECOND + 1, lc.Kind.BBO, 99.9, 100.1) for n in range(0, 13 * 3600 + 27 * 60, 3)]
    found, other = streams.of_tape(tape_of(rows), T0, T0 + 24 * HOUR)
    said = streams.sentences(found, "bybit:ETHUSDT")
    assert said[0].startswith("bybit:ETHUSDT: quotes end at 2026-02-09 13:26:57 while trades continue to 2026-02-09 23:59:55: 10.5 h without a quote")
    assert len(said) == 1 and streams.quoted(found) == pytest.approx(0.5604, abs=1e-3) and streams.quoted(other) == 0.0
    assert found["quotes"].gaps()[0][0] == T0 + (13 * 3600 + 26 * 60 + 57 + 10) * SECOND + 1
    assert found["trades"].share == 1.0 and not found["liquidations"].judged
    assert streams.sentences(other) == [] and other["quotes"].rows == 0 and other["quotes"].share == 0.0
    whole = [r for r in rows if r[8] == lc.Kind.TRADE] + [row(T0 + n * SECOND + 1, lc.Kind.BBO, 99.9, 100.1) for n in range(0, 86_400, 3)]
    assert streams.sentences(streams.of_tape(tape_of(whole), T0, T0 + 24 * HOUR)[0]) == []


def test_quotes_where_nothing_trades_cover_none_of_the_traded_time():
    """Both hold for about half of the day, in other halves of it but for an hour: no page makes a share of the two lengths."""
    rows = [row(T0 + n * SECOND, lc.Kind.TRADE, 100.0) for n in range(0, 12 * 3600, 5)]
    rows += [row(T0 + n * SECOND + 1, lc.Kind.BBO, 99.9, 100.1) for n in range(11 * 3600, 23 * 3600, 3)]
    found = streams.of_tape(tape_of(rows), T0, T0 + 24 * HOUR)[0]
    assert streams.quoted(found) == pytest.approx(1 / 12, abs=2e-3)
    part = {"symbol": "ETHUSDT"} | history.by_stream("bybit:ETHUSDT", found)
    assert part["quoted"] == streams.quoted(found) and part["traded_hours"] == pytest.approx(12.0, abs=0.02)
    assert len(part["said"]) == 1 and "quotes begin at" in part["said"][0] and not [line for line in part["said"] if "%" in line]
    assert quotes.coverage([part]) == pytest.approx(part["quoted"])
    beside = part | {"quoted": 1.0}
    assert (
        quotes.by_contract([part, beside]) == "ETHUSDT 8.4 %"
        and quotes.by_contract([part]) == ""
        and quotes.cover(part["quoted"]) == "QUOTES COVER 8.4 %."
    )


def test_the_bits_are_those_of_the_core():
    assert {
        name: int(getattr(Stream, f"STREAM_{key}"))
        for name, key in (
            ("liquidations", "LIQUIDATION"),
            ("trades", "TRADE"),
            ("quotes", "QUOTE"),
            ("mark", "MARK"),
            ("index", "INDEX"),
            ("funding", "FUNDING"),
            ("open_interest", "OPEN_INTEREST"),
        )
    } == streams.BITS


@pytest.mark.parametrize("seed", range(6))
def test_age_over_blocks_of_a_day_is_the_same_as_over_the_whole(seed):
    """By age alone: rows of one day, however they are cut."""
    rng = np.random.default_rng(seed)
    ts = T0 + np.sort(rng.integers(0, 24 * HOUR, 4000 if seed % 2 else 200))
    ts[seed::7] = ts[seed::7] // HOUR * HOUR  # on the hour
    ts = np.sort(ts)
    for name, age in (("quotes", 10), ("trades", 60), ("funding", 900)):
        found = streams.Age(name, T0)
        for part in np.split(ts, np.sort(rng.integers(0, len(ts), 5))):
            found.push(part)
        out = found.as_dict()
        spans = streams.union(np.stack([ts, np.minimum(np.append(ts[1:], 1 << 62), ts + age * SECOND)], axis=1))
        whole = streams.Held(name, T0, T0 + 24 * HOUR, len(ts), int(ts[0]), int(ts[-1]), np.clip(spans, T0, T0 + 24 * HOUR))
        assert np.array(out["held"]) / HOUR == pytest.approx(by_hour(whole), abs=1e-9)
        assert out["rows"] == len(ts) and (out["first"], out["last"]) == (ts[0], ts[-1])
        between = [(a, b) for a, b in whole.gaps() if a > ts[0] and b <= ts[-1]]
        assert out["dark"] == between
