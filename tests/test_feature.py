"""Features: stream and oracle agree to the bit, reading disturbs nothing, and nothing that comes later changes what was known."""

import numpy as np
import pytest
from feature_streams import INSTRUMENTS, LATEST, SECOND, TRANSFORMED, WINDOWED, Twin, events, same

import liqcore as lc

WINDOWS = ("1s", "6s", "2s", "500ms")


def names_of(seed: int) -> list[str]:
    return [f"{name}@{WINDOWS[(seed + n) % 4]}" for n, name in enumerate(WINDOWED)] + [*LATEST, *TRANSFORMED]


@pytest.mark.parametrize("seed", range(6))
def test_stream_equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    names = names_of(seed)
    rows = events(rng, 1000, feed=0.002 if seed % 2 else 0.0)
    features, idle, twin = lc.Features(names, INSTRUMENTS), lc.Features(names, INSTRUMENTS), Twin(names)
    at = 0
    for stop in np.sort(rng.choice(np.arange(300, len(rows)), 12, replace=False)):
        features.push(rows[at:stop])
        idle.push(rows[at:stop])
        for e in rows[at:stop]:
            twin.push(e)
        at = stop
        ts = int(rows["ts_recv"][stop - 1])
        if stop < len(rows):
            ts += int(rng.choice([0, int(rng.random() * (int(rows["ts_recv"][stop]) - ts))]))
        got = features.table(ts)
        for r in range(len(names)):
            n = int(rng.integers(0, len(INSTRUMENTS)))
            expected = twin.read(r, n, ts)
            assert same(got[n, r], expected), (names[r], n, ts, got[n, r], expected)
    assert features.refused == {}
    assert np.array_equal(features.table(ts), idle.table(ts), equal_nan=True)      # reading on the way changed nothing


@pytest.mark.parametrize("seed", range(6))
def test_batch_equals_stream(seed):
    """At every event of a longer stream, and between them; the batch is asked in random order."""
    from liqcore import batch_feature

    rng = np.random.default_rng(100 + seed)
    names = names_of(seed)
    rows = events(rng, 4000, feed=0.001 if seed % 2 else 0.0)
    features = lc.Features(names, INSTRUMENTS)
    times, got, at = [], [], 0
    ts = rows["ts_recv"].astype(int)
    for stop in range(1, len(rows) + 1):
        if stop < len(rows) and ts[stop] == ts[stop - 1] or rng.random() < 0.8:
            continue
        features.push(rows[at:stop])
        at = stop
        room = int(ts[stop]) - int(ts[stop - 1]) if stop < len(rows) else 10 * SECOND
        for moment in {int(ts[stop - 1]), int(ts[stop - 1]) + int(rng.random() * room)}:
            if stop == len(rows) or moment < ts[stop]:
                times.append(moment)
        for moment in sorted(times[len(got):]):
            times[len(got)] = moment
            got.append(features.table(moment))
    order = rng.permutation(len(times))
    batch = batch_feature.features(names, rows[:at], INSTRUMENTS, np.array(times)[order])
    for row, k in zip(batch, order, strict=True):
        wrong = ~((row == got[k]) | (np.isnan(row) & np.isnan(got[k])))
        assert not wrong.any(), [(names[r], n, times[k], row[n, r], got[k][n, r]) for n, r in np.argwhere(wrong)[:3]]
    assert not np.isnan(batch).all((0, 1)).any(), [n for n, unknown in zip(names, np.isnan(batch).all((0, 1)), strict=True) if unknown]
