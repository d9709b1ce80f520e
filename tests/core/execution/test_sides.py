"""The engine's own check that sides are read rightly: on what venues really sent a healthy feed never alarms, and a misread one always halts."""

import csv
import gzip
from itertools import cycle, islice

import numpy as np
import pytest

import liqcore as lc
from captures import DATA, needs_data
from liqcore import Engine, Instrument
from liqcore.event import EVENT_DTYPE, Kind, Reason
from liqcore.execution.order_state import Alarm
from liqshell.venues.adapters import adapter_of

SECOND = 1_000_000_000
START = 1_775_207_919 * SECOND
SAMPLE = 128
VENUES = {"binance": "binance_um", "bybit": "bybit", "okx": "okx"}


def told(venue, prints):
    """(shares that the alarms told of, halted) of an engine that hears prints of (side, price, limit or 0, mark or 0), one a second."""
    events = np.zeros(2 * len(prints), EVENT_DTYPE)
    for n, (side, price, limit, mark) in enumerate(prints):
        ts = START + n * SECOND
        events[2 * n] = (ts, ts, mark, 0.0, 0.0, 0.0, 0, 0, int(Kind.TICKER), 0, 0, 0)
        events[2 * n + 1] = (ts, ts, price, 1.0, 0.0, limit, 0, 0, int(Kind.LIQUIDATION), side, 0, 0)
    engine = Engine([Instrument("X", venue=venue)])
    engine.run(events)
    assert engine.refused == {}
    records = engine.audit.drain()
    alarms = records[(records["kind"] == int(lc.AuditKind.AUDIT_ALARM)) & (records["phase"] == int(Alarm.ALARM_SIDE))]
    return alarms["x"][:, 0].tolist(), engine.risk.halted == Reason.HALTED


def misread(prints):
    return [(-side, *rest) for side, *rest in prints]


def of_three_venues(name):
    """(side, price, 0, mark) as a collector of three venues had them."""
    with open(DATA / "liq-3venue-ethusdt-2026-04" / "liquidation_events.csv", newline="") as file:
        return [
            (1 if row["side"] == "long" else -1, float(row["price"]), 0.0, float(row["mark_price"]))
            for row in csv.DictReader(file)
            if row["exchange"] == name
        ]


@needs_data
def test_binance_as_it_was_recorded():
    """1,097 real orders of both sides through the decoder: each limit lies on its side of its fill, so a misread side is found with the first sample."""
    frames = gzip.decompress((DATA / "liq-binance-btcusdt-2024-12" / "forceOrder_reconstructed.jsonl.gz").read_bytes()).splitlines()
    decoder, out = adapter_of("binance").decoder(["BTCUSDT"]), np.zeros(1, EVENT_DTYPE)
    prints = []
    for frame in frames:
        decoder.decode(frame, START, out)
        prints.append((int(out["side"][0]), float(out["price"][0]), float(out["aux_qty"][0]), float(out["price"][0])))
    assert len(prints) > 1000 and {side for side, *_ in prints} == {1, -1}
    assert told("binance_um", prints) == ([], False)
    shares, halted = told("binance_um", misread(prints))
    assert halted and len(shares) == len(prints) // SAMPLE and set(shares) == {0.0}
    assert told("binance_um", misread(prints)[: SAMPLE - 1]) == ([], False) and told("binance_um", misread(prints)[:SAMPLE])[1]


@needs_data
@pytest.mark.parametrize("file", ["binance_source_a.csv", "binance_source_b.csv"])
def test_binance_over_the_whole_market(file):
    """Small contracts too, where a tick is coarse: an order filled at its limit says nothing."""
    with open(DATA / "liq-binance-allmarket-2024-08" / file, newline="") as rows:
        prints = [(1 if row[1] == "SELL" else -1, 1.0, float(row[5]) / float(row[6]), 0.0) for row in csv.reader(rows)]
    assert len(prints) > 300 and told("binance_um", prints) == ([], False)
    assert told("binance_um", misread(prints))[1]


@needs_data
@pytest.mark.parametrize("name", VENUES)
def test_marks_of_three_venues(name):
    """Fills (Binance, part of OKX) lie a few bps about the mark on either side: they must not count. Bankruptcy prices lie on their side of it."""
    prints = list(islice(cycle(of_three_venues(name)), 1000))
    assert told(VENUES[name], prints) == ([], False)
    assert told(VENUES[name], misread(prints))[1] == (name != "binance")


@needs_data
def test_the_limit_of_a_recorded_frame_comes_with_it():
    frame = next(line for line in (DATA / "frames-tardis-node" / "binance_um.jsonl").read_bytes().splitlines() if b"forceOrder" in line)
    decoder, out = adapter_of("binance").decoder(["BTCUSDT"]), np.zeros(1, EVENT_DTYPE)
    assert decoder.decode(frame, START, out) == 1
    assert out[["side", "price", "aux_qty"]][0].tolist() == (-1, 4706.04, 4793.91)
    (event,) = decoder.read(frame, START).events
    assert event == out[0].tolist()


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("stated", [True, False], ids=["limit", "mark"])
def test_what_counts_and_what_does_not(side, stated):
    def of(bps, mark_bps=0.0):
        bad = 2000.0 * (1 - side * bps * 1e-4)
        return (side, 2000.0, bad, 2000.0 * (1 + side * mark_bps * 1e-4)) if stated else (side, bad, 0.0, 2000.0)

    right, wrong, near = of(35.0), of(-35.0), of(-9.0)
    assert told("okx", [right] * 500) == ([], False)
    assert told("okx", [near] * 500) == ([], False)
    assert told("okx", [wrong] * SAMPLE) == ([0.0], True)
    assert told("okx", ([right] * 7 + [wrong]) * 16) == ([0.875], False), "fewer than 90 %: an alarm; a halt below 50 %"
    assert told("okx", [wrong, near] * (SAMPLE - 1)) == ([], False) and told("okx", [wrong, near] * SAMPLE) == ([0.0], True)
    if stated:  # the mark has no say where the order's own limit is known
        assert told("okx", [of(35.0, -80.0)] * 500) == ([], False)
        assert told("okx", [(side, price, limit, 0.0) for side, price, limit, _ in [wrong] * SAMPLE])[1]
    else:
        assert told("okx", [(side, price, 0.0, 0.0) for side, price, *_ in [wrong] * 500]) == ([], False), "no mark, no verdict"


def test_a_limit_below_zero_is_refused():
    engine = Engine([Instrument("X", venue="binance_um")])
    event = np.zeros(1, EVENT_DTYPE)
    event[0] = (START, START, 2000.0, 1.0, 0.0, -1.0, 0, 0, int(Kind.LIQUIDATION), 1, 0, 0)
    engine.run(event)
    assert engine.refused == {Reason.BAD_PRICE: 1}
