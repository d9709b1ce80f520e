"""The schema: sizes, offsets and meanings that recordings and other people's binaries rely on, and Signal as a value."""

import numpy as np
import pytest

import liqcore
from liqcore import (
    AUDIT_DTYPE,
    EVENT_DTYPE,
    SIGNAL_DTYPE,
    Engine,
    Phase,
    Reason,
    Side,
    event,
)
from liqcore.event import REQUEST_DTYPE

pytestmark = pytest.mark.core


def test_records_have_their_published_sizes_and_no_hidden_padding():
    for dtype, size in ((EVENT_DTYPE, 64), (SIGNAL_DTYPE, 88), (REQUEST_DTYPE, 64), (AUDIT_DTYPE, 96)):
        assert dtype.itemsize == size == sum(dtype[name].itemsize for name in dtype.names)


def test_the_event_record_is_frozen():
    """Recordings hold these bytes: a change needs a new ABI number and a reader for the old one."""
    assert liqcore.abi_version() == 8
    assert [(name, dtype.str, offset) for name, (dtype, offset) in EVENT_DTYPE.fields.items()] == [
        ("ts_event", "<i8", 0),
        ("ts_recv", "<i8", 8),
        ("price", "<f8", 16),
        ("qty", "<f8", 24),
        ("aux_price", "<f8", 32),
        ("aux_qty", "<f8", 40),
        ("id", "<i8", 48),
        ("instrument", "<i4", 56),
        ("kind", "|u1", 60),
        ("side", "|i1", 61),
        ("flags", "|u1", 62),
        ("code", "|u1", 63),
    ]


def test_enum_values_are_frozen():
    assert {s.name: int(s) for s in Side} == {"LONG": 1, "SHORT": -1}
    assert [k.name for k in event.Kind] == [
        "LIQUIDATION",
        "TRADE",
        "BBO",
        "TICKER",
        "TIMER",
        "FEED",
        "ORDER",
        "FILL",
        "CONTROL",
        "FUNDING",
        "VERDICT",
        "DELEVERAGE",
        "VENUE_STATE",
    ]
    assert [int(k) for k in event.Kind] == list(range(1, 14))
    assert [p.name for p in Phase] == ["IDLE", "BUILDING", "ACTIVE", "DECELERATING", "EXHAUSTED"]
    assert (
        [int(s) for s in event.FeedState] == [1, 2, 3]
        and [int(c) for c in event.Control] == [1, 2, 3, 4, 5, 6]
        and [int(g) for g in event.Gate] == list(range(1, 15))
    )
    assert (Reason.OK, Reason.BAD_BAND, Reason.HALTED, Reason.END_TTL) == (0, 7, 40, 60)
    for enum in (Reason, event.Kind, Phase, event.OrderStatus, event.FillReason, event.Role):
        assert len({int(m) for m in enum}) == len(enum), f"two names of {enum.__name__} share a value"


def signals():
    engine = Engine(["BTCUSDT"], liqcore.CascadeConfig(warmup=1, quantile=0.5, min_events=1))
    out = []
    for n in range(20):
        out += engine.on_liquidation(n, n, 0, 1 - 2 * (n % 2), 100.0, 1.0 + n)
    return out


def test_a_signal_is_a_value():
    one, other = signals()[0], signals()[0]
    assert one is not other and one == other and hash(one) == hash(other) and repr(one) == repr(other)
    assert one != signals()[0].as_dict() and one != 1
    assert one.notional == one.long_notional + one.short_notional and one.side in (Side.LONG, Side.SHORT)
    assert isinstance(one.phase, Phase) and "phase=ACTIVE" in repr(one)
    with pytest.raises(AttributeError):
        one.ts = 5


def test_a_signal_as_dict_holds_every_field_of_the_record():
    assert set(signals()[0].as_dict()) == set(SIGNAL_DTYPE.names)


def test_an_array_of_events_round_trips_through_bytes():
    rows = np.zeros(3, EVENT_DTYPE)
    rows["price"] = [1.5, np.nan, np.inf]
    again = np.frombuffer(rows.tobytes(), EVENT_DTYPE)
    assert again.tobytes() == rows.tobytes()
