"""Rare events of several origins merged into one table, against a sort of all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore.event import EVENT_DTYPE
from liqcore.simulation.columns import PLACE_DTYPE, merge_rare

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 2)), max_size=12)


def table_of(rows, tag):
    """Events in the order of a tape; id tells where each is from."""
    events, place = np.zeros(len(rows), EVENT_DTYPE), np.zeros(len(rows), PLACE_DTYPE)
    for n, (ts, instrument) in enumerate(sorted(rows)):
        events[n]["ts_recv"], events[n]["instrument"], events[n]["price"] = ts, instrument, tag + n
        place[n] = (10 * tag + n, 20 * tag + n)
    return events, place


@given(st.lists(st.tuples(ROWS, st.none() | st.integers(-1, 3), st.integers(0, 9), st.integers(0, 9)), max_size=9))
def test_the_merge_is_a_stable_sort_by_time_and_instrument(given_runs):
    runs, expected = [], []
    for k, (rows, instrument, trades, quotes) in enumerate(given_runs):
        events, place = table_of(rows, 100.0 * k)
        runs.append((events, place, instrument, trades, quotes))
        for event, at in zip(events, place, strict=True):
            own = int(event["instrument"]) if instrument is None else instrument
            expected.append(
                (int(event["ts_recv"]), own, k, float(event["price"]), int(at["trades_before"]) + trades, int(at["quotes_before"]) + quotes)
            )
    rare, place = np.zeros(len(expected), EVENT_DTYPE), np.zeros(len(expected), PLACE_DTYPE)
    merge_rare(runs, rare, place)
    found = list(
        zip(
            rare["ts_recv"].tolist(),
            rare["instrument"].tolist(),
            rare["price"].tolist(),
            place["trades_before"].tolist(),
            place["quotes_before"].tolist(),
            strict=True,
        )
    )
    assert found == [(ts, own, price, trades, quotes) for ts, own, _, price, trades, quotes in sorted(expected, key=lambda row: row[:3])]


def test_room_and_places_of_another_size_are_refused():
    events, place = table_of([(1, 0), (2, 0)], 0.0)
    with pytest.raises(ValueError, match="expected room for 2 events and places, got 1 and 2"):
        merge_rare([(events, place, 0, 0, 0)], np.zeros(1, EVENT_DTYPE), np.zeros(2, PLACE_DTYPE))
    with pytest.raises(ValueError, match="expected 2 places"):
        merge_rare([(events, place[:1], 0, 0, 0)], np.zeros(2, EVENT_DTYPE), np.zeros(2, PLACE_DTYPE))
