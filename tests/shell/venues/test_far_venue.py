"""The three seconds from event to order over real sockets at real speed: the venue is 200 ms away in each direction and loses 1 % of the packets, and the order is there in time."""

import asyncio
import json
import random
import time
from contextlib import closing
from typing import NamedTuple

import numpy as np
import pytest

import liqcore as lc
from liqcore.event import Role
from liqshell.config.load import loads
from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.contracts import CONTRACTS
from liqshell.emulator.market.synthetic_feed import BATCH_MS
from liqshell.emulator.server import Config, serve
from liqshell.live import Session
from liqshell.live.account import LiveAccount
from liqshell.recording import journal
from liqshell.run import replay
from liqshell.state.store import Store
from liqshell.venues.bybit.orders import parse_order_link_id
from liqshell.venues.bybit.signing import Keys

LATENCY_S, LOSS = 0.2, 0.01  # one way; of every connection
SEED = 56  # of the losses: some hit frames with liquidations, some orders
DETECT_S, ORDER_S, TOTAL_S = 2.0, 1.0, 3.0
CALM_S, CASCADES_S, AFTER_S = 7.0, 30.0, 4.0
CYCLE_S, WINDOW_S = 5.0, 2.0  # of one symbol: a cascade, its order, its silence
SPAN_S = 3.5  # an entry within so much of a second liquidation is its own: the next one is further away
CLOCK_S = 0.002  # the venue's times are whole milliseconds
SMALL, LARGE, FLOOR = 100.0, 50_000.0, 10_000.0
NS, MS = 1_000_000_000, 1_000_000
BASE_MS = 1_772_629_200_000  # of the recording

CONFIG = """
[run]
name = "far"
mode = "live"
out = {out}
[feed]
rest = "{rest}"
ws = "{ws}"
symbols = {symbols}
[detector]                  # as in the preset, but that it must learn within seconds and the symbols must be silent between two cascades
warmup = 5
floor = {floor}
window_s = {window}
refresh_s = 0
quantile = 0.5
[policy]
entry_ttl_s = 1
cooldown_s = 0
[limits]                    # ages, collar and losses as they are by default; one entry after the other is what this test wants
positions_max = 5
orders_per_minute_max = 120
[live]
watchdog = false
"""


class Second(NamedTuple):
    """The liquidation that makes a cascade: when it was at the venue and when its frame left, milliseconds of the recording."""

    symbol: str
    side: int
    at_ms: int
    left_ms: int


def market(seed):
    """(frames in order of time, what makes cascades): quotes ten times a second, trades, tickers, and liquidations that leave in batches up to
    half a second late, as the venue sends them."""
    draw, frames, seconds = random.Random(seed), [], []
    for n, c in enumerate(CONTRACTS):
        tick = 1.0 / c.tick_power
        for sequence, t in enumerate(range(BASE_MS + n * 7, BASE_MS + int((CALM_S + CASCADES_S + AFTER_S) * 1000), 100), 1):
            shift = draw.randint(-2, 2) * tick
            bid, ask = (f"{c.price + shift + way * tick:.{c.price_decimals}f}" for way in (-1, 1))
            size = f"{1e5 / c.price:.{c.lot_decimals}f}"
            frames.append((t, bybit.book1_frame(c.symbol, t, bid, size, ask, size, sequence, sequence, t)))
            if sequence % 3 == 1:
                row = bybit.trade_row(
                    c.symbol, t, draw.choice(("Buy", "Sell")), size, f"{c.price + shift:.{c.price_decimals}f}", "PlusTick", f"{n}-{t}", sequence
                )
                frames.append((t, bybit.trade_frame(c.symbol, t, [row])))
            if sequence % 10 == 1:
                last = f"{c.price:.{c.price_decimals}f}"
                fields = {"lastPrice": last, "markPrice": last, "indexPrice": last, "fundingRate": "0.0001", "openInterest": "1000"}
                frames.append((t, bybit.ticker_frame(c.symbol, t, "snapshot" if sequence == 1 else "delta", fields, sequence)))

        def forced(leaves, side, notional, *at, c=c):
            price = c.price * (1.0 - side * 0.01)  # the bankruptcy price of a long lies below the market
            rows = [(t, side, f"{notional / price:.{c.lot_decimals}f}", f"{price:.{c.price_decimals}f}") for t in at]
            frames.append((leaves, bybit.liquidation_frame(c.symbol, leaves, rows)))

        for t in range(BASE_MS + 3_000 + 37 * n, BASE_MS + int(CALM_S * 1000) - 500, 300):
            forced(t + draw.randint(0, BATCH_MS), draw.choice((1, -1)), SMALL, t)
        begin = CALM_S + n * CYCLE_S / len(CONTRACTS)
        for k in range(int(CASCADES_S / CYCLE_S)):
            side = 1 if (k + n) % 2 else -1
            first = BASE_MS + int((begin + k * CYCLE_S) * 1000)
            second = first + draw.randint(100, 900)
            left = first + draw.randint(0, BATCH_MS)
            if left >= second:  # both in one batch
                forced(left, side, LARGE, first, second)
            else:
                forced(left, side, LARGE, first)
                left = second + draw.randint(0, BATCH_MS)
                forced(left, side, LARGE, second)
            seconds.append(Second(c.symbol, side, second, left))
    return sorted(frames, key=lambda frame: frame[0]), seconds


async def trade(folder, frames, seed):
    """(manifest, entries that the venue has booked: (link id, symbol, side, ms), ms that the recording was moved by)."""
    file = folder / "market.jsonl"
    file.write_bytes(b"".join(frame + b"\n" for _, frame in frames))
    start = (time.time_ns() // MS + 500) * MS
    async with await serve(Config(seed=seed, from_=(str(file),), start_ns=start, lead_s=0.5, latency_s=LATENCY_S, loss=LOSS)) as emulator:
        symbols = [c.symbol for c in CONTRACTS]
        config = loads(
            CONFIG.format(out=json.dumps(str(folder)), rest=emulator.rest, ws=emulator.ws, symbols=json.dumps(symbols), floor=FLOOR, window=WINDOW_S)
        )
        key = emulator.keys[0]
        session = Session(config, folder / "run", emulator.clock, account=LiveAccount(config, Keys(key.key, key.secret)))
        manifest = await session.run(start + int((CALM_S + CASCADES_S + AFTER_S) * NS))
        orders = [*key.account.ended, *key.account.open.values()]
        booked = [(order.link_id, order.contract.symbol, order.side, order.created_ms) for order in orders if not order.reduce and not order.kind]
        assert emulator.feeder.unread == 0
    return manifest, booked, start // MS - BASE_MS


def spread(name, values):
    p50, p90 = np.percentile(values, (50, 90))
    return f"{name} min {min(values):.3f} p50 {p50:.3f} p90 {p90:.3f} max {max(values):.3f} s"


def measured(folder, seed):
    """Seconds of every entry, and the run: {"detect", "order", "total", "feed" (frame left -> decided), "sides", "missed", ...}."""
    frames, seconds = market(seed)
    manifest, booked, moved_ms = asyncio.run(trade(folder, frames, seed))
    audit = journal.load_audit(folder / "run")
    asked = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)) & (audit["phase"] == 1) & (audit["x"][:, 7] == int(Role.ROLE_ENTRY))]
    decided = {int(row["id"]): int(row["ts"]) for row in asked}
    rows, missed = [], []
    for second in seconds:
        at_ms, left_ms = second.at_ms + moved_ms, second.left_ms + moved_ms
        here = [entry for entry in booked if entry[1] == second.symbol and at_ms <= entry[3] < at_ms + SPAN_S * 1000]
        assert len(here) <= 1, "a cascade was entered twice"
        if not here:
            missed.append(second)
            continue
        link_id, _, side, booked_ms = here[0]
        assert side == second.side, "an entry on the wrong side"
        decided_ms = decided[parse_order_link_id(link_id)[1]] / MS
        rows.append((decided_ms - at_ms, booked_ms - decided_ms, booked_ms - at_ms, decided_ms - left_ms))
    detect, order, total, feed = np.array(rows).reshape(-1, 4).T / 1e3
    judged = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_RISK)) & (audit["reason"] == int(lc.Reason.OK))]
    assert len(judged) == len(asked), "risk was not asked about every entry"
    return {
        "manifest": manifest,
        "seconds": seconds,
        "missed": missed,
        "booked": booked,
        "sides": [entry[2] for entry in booked],
        "detect": detect,
        "order": order,
        "total": total,
        "feed": feed,
    }


@pytest.mark.slow
def test_an_order_is_at_a_far_venue_in_time(tmp_path, capsys):
    """From the second large liquidation, at the venue's time, over the batch that it waits for, to the order in the venue's book."""
    found = measured(tmp_path, SEED)
    detect, order, total, sides = found["detect"], found["order"], found["total"], found["sides"]
    with capsys.disabled():
        print(
            f"\n{len(total)} entries of {len(found['seconds'])} cascades, {sides.count(1)} long, {sides.count(-1)} short; "
            + "; ".join(spread(name, found[name]) for name in ("detect", "order", "total", "feed"))
        )
    manifest = found["manifest"]
    assert replay.prove(tmp_path / "run").identical and manifest["counters"]["record"]["whole"] and manifest["account"]["alarms"] == []
    with closing(Store(tmp_path / "state" / "far")) as store:
        assert len(store.rows("orders")) == manifest["account"]["sent"] >= 2 * len(total), "an entry and its withdrawal each, all in the store"
    assert manifest["counters"]["gaps"] == manifest["counters"]["reconnects"] == 0
    assert len(found["booked"]) == len(total), "an entry that no cascade explains"
    assert len(found["missed"]) <= 0.1 * len(found["seconds"]), found["missed"]
    assert min(sides.count(1), sides.count(-1)) >= 5
    assert min(found["feed"]) >= LATENCY_S - CLOCK_S and min(order) >= LATENCY_S - CLOCK_S, "the venue was not far away"
    assert min(max(found["feed"]), max(order)) > LATENCY_S + 0.1, "no liquidation or no order waited for a lost packet: choose another seed"
    assert max(detect) < DETECT_S and max(order) < ORDER_S and max(total) < TOTAL_S
