"""The compiled matcher: each order fares as if it were alone, and what it skips could not have mattered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore.simulation.matcher import Matcher, Watch
from markets import instruments, market

pytestmark = pytest.mark.core


class Host:
    """Fills, triggers and capped takers, as told; orders of a limited size."""

    def __init__(self):
        self.left, self.name, self.told, self.matcher = {}, {}, [], None

    def on_fill(self, slot, price, lots, maker, ts):
        done = min(lots, self.left[slot])
        self.left[slot] -= done
        self.told.append((ts, self.name[slot], price, done, maker))
        if self.name[slot] == "watcher":
            return 0
        if self.left[slot] == 0:
            self.matcher.remove(slot)
        return done

    def on_trigger(self, slot, ts):
        self.told.append((ts, self.name[slot], self.matcher.trigger(slot), "triggered"))
        self.matcher.take(slot, 0)

    def on_capped(self, slot, ts):
        self.told.append((ts, self.name[slot], "capped"))
        self.matcher.remove(slot)

    def on_mark(self, instrument, ts):
        self.told.append((ts, "mark", instrument))

    def on_time(self, ts):
        self.matcher.wake = ts + 1000 * lc.SECOND


def run(events, orders, model, taker, *, every=False):
    """What is told of orders (name, at event, instrument, side, price, lots, watch, direction, trail)."""
    host = Host()
    host.matcher = m = Matcher(instruments(), host, fills=model, taker=taker)
    if every:  # an order that every trade and quote would fill, and that never takes any
        for n in range(2):
            watcher = m.place(n, 1, 10**9)
            host.left[watcher], host.name[watcher] = 0, "watcher"
    start = 0
    for name, at, n, side, price, lots, watch, direction, trail in orders:
        m.on_events(events[start:at])
        start = at
        slot = m.place(n, side, price, watch=watch, direction=direction, trail=trail)
        host.left[slot], host.name[slot] = lots, name
        if watch >= 0 and m.reached(slot):
            host.on_trigger(slot, m.now)
        elif watch < 0 and (price == 0 or m.touch(n, side) > 0 and (m.touch(n, side) - price) * side <= 0):
            m.arrive(slot, m.now)
    m.on_events(events[start:])
    return host.told


def some_orders(events, r, count):
    out = []
    for name in range(count):
        at = int(r.integers(50, len(events) - 100))
        n, side = int(r.integers(0, 2)), int(r.choice([1, -1]))
        trades = events[:at][(events[:at]["kind"] == lc.Kind.TRADE) & (events[:at]["instrument"] == n)]
        last = round(float(trades["price"][-1]) * 100) if len(trades) else 100_000
        price, what = last - side * int(r.integers(-20, 200)), r.random()
        watch, direction, trail = -1, 0, 0
        if what < 0.3:
            watch, direction = int(r.integers(0, 3)), int(r.choice([1, -1]))
            trail = int(r.integers(20, 200)) if what < 0.1 and watch == Watch.WATCH_LAST else 0
            price = last + direction * (trail or int(r.integers(1, 200)))
        elif what < 0.4:
            price = 0
        out.append((name, at, n, side, price, int(r.integers(1, 4000)), watch, direction, trail))
    return sorted(out, key=lambda o: o[1])


@pytest.mark.parametrize(("model", "taker"), [("through", "next"), ("touch", "next"), ("queue", "next")])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_many_orders_fare_as_each_alone(model, taker, seed):
    events = market(seed % 50, 1200, feed=True, spread=(0.01, 2.0)[seed % 2], masks=True)
    events["aux_price"] = np.where(events["kind"] == lc.Kind.TICKER, events["price"] + 0.5, events["aux_price"])
    orders = some_orders(events, np.random.default_rng(seed), 12)
    together = run(events, orders, model, taker)
    assert sorted(map(str, together)) == sorted(str(told) for order in orders for told in run(events, [order], model, taker))


@pytest.mark.parametrize(("model", "taker"), [("through", "next"), ("touch", "walk"), ("queue", "walk")])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_what_is_skipped_could_not_have_mattered(model, taker, seed):
    events = market(seed % 50, 1200, feed=True, spread=(0.01, 2.0)[seed % 2], masks=True)
    events["aux_price"] = np.where(events["kind"] == lc.Kind.TICKER, events["price"] + 0.5, events["aux_price"])
    orders = some_orders(events, np.random.default_rng(seed), 12)
    looked_at = run(events, orders, model, taker, every=True)
    assert sum(told[1] == "watcher" for told in looked_at) > 300
    assert run(events, orders, model, taker) == [told for told in looked_at if told[1] != "watcher"]


def test_orders_may_come_and_go_in_a_callback():
    """A fill that removes its neighbours and puts others into their places: the new ones wait for the next event."""

    class Busy(Host):
        def on_fill(self, slot, price, lots, maker, ts):
            self.told.append(self.name[slot])
            for one in [s for s in list(self.left) if self.name[s] != "new"]:
                del self.left[one]
                self.matcher.remove(one)
            if "new" not in self.name.values():
                for _ in range(3):
                    fresh = self.matcher.place(0, 1, 99_000)
                    self.left[fresh], self.name[fresh] = 1, "new"
            else:
                self.matcher.remove(slot)
                self.left.pop(slot, None)
            return 1

    host = Busy()
    host.matcher = m = Matcher(instruments(), host)
    for name in "abc":
        slot = m.place(0, 1, 100_000)
        host.left[slot], host.name[slot] = 1, name
    row = np.zeros(1, lc.EVENT_DTYPE)
    row["ts_recv"], row["kind"], row["price"], row["qty"], row["side"] = 1, lc.Kind.TRADE, 900.0, 1.0, -1
    m.on_events(row)
    assert host.told == ["a"] and m.waiting(0) == 3
    row["ts_recv"] = 2
    m.on_events(row)
    assert host.told == ["a", "new", "new", "new"] and m.waiting(0) == 0


def test_room_and_names():
    host = Host()
    m = Matcher(instruments(), host, capacity=2)
    assert [m.place(0, 1, 100) for _ in range(3)] == [0, 1, -1]
    m.remove(0)
    assert m.place(1, -1, 100) == 0
    for call in (lambda: m.remove(7), lambda: m.take(-1), lambda: m.trigger(2), lambda: m.place(9, 1, 100)):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(ValueError, match="fills"):
        Matcher(instruments(), host, fills="always")
    with pytest.raises(ValueError, match="print_wait_s"):
        Matcher(instruments(), host, print_wait_s=0.0)
    with pytest.raises(ValueError, match="capacity"):
        Matcher(instruments(), host, capacity=0)


def test_a_host_that_raises_is_heard():
    class Broken(Host):
        def on_fill(self, *args):
            raise RuntimeError("broken")

    host = Broken()
    host.matcher = m = Matcher(instruments(), host)
    m.place(0, 1, 100_000)
    row = np.zeros(1, lc.EVENT_DTYPE)
    row["ts_recv"], row["kind"], row["price"], row["qty"], row["side"] = 1, lc.Kind.TRADE, 900.0, 1.0, -1
    with pytest.raises(RuntimeError, match="broken"):
        m.on_events(row)
