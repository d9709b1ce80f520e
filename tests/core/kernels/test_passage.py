"""First passage: plain Python == Cython, on columns of any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import passage as oracle

from liqcore import Passage
from liqcore.kernels.first_passage import offsets_of, rows_before_ts

pytestmark = pytest.mark.core

TOP = 2**31 - 1


SIZES = st.one_of(st.integers(0, 200), st.sampled_from([63, 64, 65, 4095, 4096, 4097, 5000]))


@st.composite
def walks(draw):
    """A column that jumps or wanders, another one above it, a range of rows and two levels near the prices."""
    size, seed = draw(SIZES), draw(st.integers(0, 2**32 - 1))
    r = np.random.default_rng(seed)
    scale = draw(st.sampled_from([1, 5, 1000]))
    low = 10_000 + np.cumsum(r.integers(-scale, scale + 1, size))
    high = low + r.integers(0, 3, size)
    start = draw(st.integers(0, size))
    stop = draw(st.integers(start, size))
    around = st.sampled_from([int(low.min()), int(high.max())]) if size else st.just(0)
    levels = [draw(around) + draw(st.integers(-3, 3)) * scale for _ in range(2)]
    return low.astype(np.int32), high.astype(np.int32), start, stop, levels


@settings(deadline=None)
@given(walks())
def test_oracle_equals_cython(case):
    low, high, start, stop, (below, above) = case
    p = Passage(low, high)
    assert p.first_below(start, stop, below) == oracle.first_below(low, start, stop, below)
    assert p.first_above(start, stop, above) == oracle.first_above(high, start, stop, above)
    assert p.first_outside(start, stop, below, above) == oracle.first_outside(low, high, start, stop, below, above)


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), max_size=150), st.data())
def test_rows_before(steps, data):
    ts = np.cumsum(np.array(steps, np.int64))
    start = data.draw(st.integers(0, len(ts)))
    stop = data.draw(st.integers(start, len(ts)))
    t = data.draw(st.integers(-1, int(ts[-1]) + 2 if len(ts) else 1))
    expected = oracle.rows_before(ts, start, stop, t)
    assert rows_before_ts(ts, start, stop, t) == expected


@settings(deadline=None)
@given(walks())
def test_the_index_is_the_oracles_pyramid(case):
    low, high, *_ = case
    index = Passage(low, high).index
    lows, offsets = oracle.pyramid(low, min)
    highs, _ = oracle.pyramid(high, max)
    assert index["offsets"].tolist() == offsets == offsets_of(len(low)).tolist()
    assert index["low"].tolist() == lows and index["high"].tolist() == highs


def test_a_large_column_has_every_level():
    """More rows than 64**3: four levels, each boundary crossed."""
    column = np.full(300_000, 500, np.int32)
    p = Passage(column)
    for row in (0, 63, 64, 4095, 4096, 262_143, 262_144, 299_999):
        column[row] = 400
        q = Passage(column)
        assert q.first_below(0, len(column), 499) == row and q.first_below(0, row, 499) == row and q.first_above(0, row, 501) == row
        assert q.first_below(row + 1, len(column), 499) == len(column)
        column[row] = 500
    assert p.first_outside(0, len(column), 499, 501) == len(column)


@pytest.mark.parametrize("level", [-(2**40), -(2**31) - 1, -(2**31), TOP, TOP + 1, 2**40])
def test_levels_beyond_int32(level):
    column = np.array([-(2**31), 0, TOP], np.int32)
    p = Passage(column)
    assert p.first_below(0, 3, level) == oracle.first_below(column.tolist(), 0, 3, level)
    assert p.first_above(0, 3, level) == oracle.first_above(column.tolist(), 0, 3, level)
    for other in (-(2**40), 5, 2**40):
        assert p.first_outside(0, 3, level, other) == oracle.first_outside(column.tolist(), column.tolist(), 0, 3, level, other)
        assert p.first_outside(0, 3, other, level) == oracle.first_outside(column.tolist(), column.tolist(), 0, 3, other, level)


def test_a_saved_index_is_used_and_checked():
    column = np.arange(10_000, dtype=np.int32)[::-1].copy()
    built = Passage(column)
    assert Passage(column, index=built.index).first_below(0, 10_000, 17) == built.first_below(0, 10_000, 17) == 9982
    damaged = built.index | {"low": built.index["low"] + np.int32(1)}
    with pytest.raises(ValueError, match="does not fit the column"):
        Passage(column, index=damaged)
    with pytest.raises(ValueError, match="not one of a column of 9999 rows"):
        Passage(column[1:].copy(), index={name: a[:5] for name, a in built.index.items()})
    with pytest.raises(ValueError, match="without offsets"):
        Passage(column, index={"low": built.index["low"], "high": built.index["high"]})


@pytest.mark.parametrize(
    ("column", "error"),
    [(np.zeros(3), TypeError), (np.zeros((2, 2), np.int32), TypeError), ([1, 2], TypeError), (np.zeros(9, np.int32)[::2], TypeError)],
)
def test_columns_of_another_kind_are_refused(column, error):
    with pytest.raises(error, match="int32"):
        Passage(column)


def test_rows_outside_the_column_are_refused():
    p = Passage(np.arange(5, dtype=np.int32))
    for start, stop in ((-1, 3), (3, 2), (0, 6)):
        with pytest.raises(IndexError, match="expected 0 <= start <= stop <= 5"):
            p.first_below(start, stop, 0)
    with pytest.raises(ValueError, match="as many rows"):
        Passage(np.arange(5, dtype=np.int32), np.arange(4, dtype=np.int32))
