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
