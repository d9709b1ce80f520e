"""The kernels over whole arrays, for research and sweeps (Numba; importing this module imports numba, importing liqcore does not).

`rolling_quantile`, `rolling_threshold` and `window_sums` call the functions that the live engine runs, so replay and live cannot differ. Numba finds
them by the symbols that the compiled modules export, at 1-2 ns a call, and can cache the result. `segment_z` has the same arithmetic in the same
order, in Numba. Compiled code is cached on disk (cache=True); every function releases the GIL.

Arrays are one-dimensional: ts int64 ns, not decreasing; side int8, +1 or -1; values float64, positive and finite (finite for segment_z).
Anything else is a ValueError that names the first bad element.
"""

import llvmlite.binding
import numpy as np
from numba import njit, types
from numba.extending import get_cython_function_address
from numpy.typing import ArrayLike, NDArray

from liqcore.kernels.window import Window
from liqcore.kernels.zscore import SegmentZ

Floats = NDArray[np.float64]


def _symbol(module: str, function: str, signature: object) -> types.ExternalFunction:
    """A compiled function that Numba can call by name. Numba can cache a name, but not a pointer."""
    name = f"liqcore_{function}"
    llvmlite.binding.add_symbol(name, get_cython_function_address(f"liqcore.{module}", function))
    return types.ExternalFunction(name, signature)


_quantile_new = _symbol("kernels.quantile", "quantile_new", types.intp(types.float64, types.int32))
_quantile_delete = _symbol("kernels.quantile", "quantile_delete", types.void(types.intp))
_quantile_push = _symbol("kernels.quantile", "quantile_push_address", types.void(types.intp, types.float64))
_quantile_value = _symbol("kernels.quantile", "quantile_value_address", types.float64(types.intp))
_window_new = _symbol("kernels.window", "window_new", types.intp(types.int64, types.int32))
_window_delete = _symbol("kernels.window", "window_delete", types.void(types.intp))
_window_push = _symbol("kernels.window", "window_push_address", types.void(types.intp, types.int64, types.int32, types.float64))
_window_read = _symbol("kernels.window", "window_read_address", types.void(types.intp, types.CPointer(types.float64)))

#: columns of window_sums
WINDOW_COLUMNS = ("long", "short", "total", "long_count", "short_count", "long_max", "short_max", "dropped")


@njit("UniTuple(float64[::1], 2)(float64[::1], float64, int32)", cache=True, nogil=True)
def _rolling_quantile(values, quantile, window):
    before = np.empty(values.size)
    after = np.empty(values.size)
    state = _quantile_new(quantile, window)
    if state == 0:
        raise MemoryError("no memory for a rolling quantile")
    last = np.nan
    for i in range(values.size):
        before[i] = last
        _quantile_push(state, values[i])
        last = _quantile_value(state)
        after[i] = last
    _quantile_delete(state)
    return before, after


@njit("float64[::1](int64[::1], float64[::1], float64, int32, int64, int64)", cache=True, nogil=True)
def _rolling_threshold(ts, values, quantile, window, warmup, refresh_ns):
    out = np.empty(values.size)
    state = _quantile_new(quantile, window)
    if state == 0:
        raise MemoryError("no memory for a rolling quantile")
    threshold = np.nan
    refreshed = np.int64(0)
    for i in range(values.size):
        if i >= warmup and (refresh_ns == 0 or np.isnan(threshold) or ts[i] - refreshed >= refresh_ns):
            threshold = _quantile_value(state)
            refreshed = ts[i]
        out[i] = threshold
        _quantile_push(state, values[i])
    _quantile_delete(state)
    return out


@njit("float64[:, ::1](int64[::1], int8[::1], float64[::1], int64, int32)", cache=True, nogil=True)
def _window_sums(ts, side, notional, horizon_ns, capacity):
    out = np.empty((ts.size, 8))
    state = _window_new(horizon_ns, capacity)
    if state == 0:
        raise MemoryError("no memory for a window")
    for i in range(ts.size):
        _window_push(state, ts[i], side[i], notional[i])
        _window_read(state, out[i].ctypes)
    _window_delete(state)
    return out


@njit("void(float64[::1], float64[::1], float64[::1], float64[::1], int64, int64)", cache=True, nogil=True)
def _flip(values, suffix_sum, suffix_square, inverse, start, count):
    """zscore.moments_flip."""
    total = square = 0.0
    slot = (start + count - 1) % values.size
    pivot = values[slot]
    for i in range(1, count + 1):
        x = values[slot] - pivot
        total += x
        d = i * x - total
        square += d * d * (inverse[i] * inverse[i - 1])
        suffix_sum[slot] = total
        suffix_square[slot] = square
        slot = slot - 1 if slot > 0 else values.size - 1


@njit("float64[::1](int64[::1], float64[::1], int64, int64, int64)", cache=True, nogil=True)
def _segment_z(ts, x, segment_ns, baseline, min_segments):
    out = np.empty(x.size)
    values = np.empty(baseline)
    suffix_sum = np.empty(baseline)
    suffix_square = np.empty(baseline)
    inverse = np.zeros(baseline + 1)
    for i in range(1, baseline + 1):
        inverse[i] = 1.0 / i
    start = count = older = younger = segment = np.int64(0)
    older_pivot = younger_pivot = younger_sum = younger_square = mean = std = current = 0.0
    for i in range(x.size):
        now = ts[i] // segment_ns
        if i == 0:
            segment = now
        if now > segment:
            for j in range(min(now - segment, baseline + 1)):
                closed = current if j == 0 else 0.0
                if count == baseline:
                    if older == 0:
                        _flip(values, suffix_sum, suffix_square, inverse, start, count)
                        older_pivot = values[(start + count - 1) % baseline]
                        older, younger, younger_sum, younger_square = count, np.int64(0), 0.0, 0.0
                    start = start + 1 if start + 1 < baseline else np.int64(0)
                    older -= 1
                    count -= 1
                values[(start + count) % baseline] = closed
                if younger == 0:
                    younger_pivot = closed
                count += 1
                younger += 1
                closed -= younger_pivot
                younger_sum += closed
                d = younger * closed - younger_sum
                younger_square += d * d * (inverse[younger] * inverse[younger - 1])
            mean = younger_pivot + younger_sum * inverse[younger]
            square = younger_square
            if older > 0:
                delta = mean - (older_pivot + suffix_sum[start] * inverse[older])
                share = younger * inverse[count]
                mean = older_pivot + suffix_sum[start] * inverse[older] + delta * share
                square = suffix_square[start] + (younger_square + delta * delta * (share * older))
            std = np.sqrt(square * inverse[count])
            segment = now
            current = 0.0
        current += x[i]
        out[i] = (current - mean) / std if count >= min_segments and std > 0.0 else 0.0
    return out


def _column(name: str, values: ArrayLike, dtype: type, size: int | None = None) -> NDArray:
    out = np.ascontiguousarray(values, dtype=dtype)
    if out.ndim != 1 or (size is not None and out.size != size):
        raise ValueError(f"{name}: expected one dimension{'' if size is None else f' of {size} elements'}, got shape {out.shape}")
    return out


def _refuse(name: str, bad: NDArray[np.bool_], values: NDArray, expected: str) -> None:
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"{name}[{i}]: expected {expected}, got {values[i]!r}")


def _positive(name: str, values: ArrayLike, size: int | None = None, most: float = np.inf) -> Floats:
    out = _column(name, values, np.float64, size)
    _refuse(name, ~((out > 0.0) & (out <= most) & np.isfinite(out)), out, f"a positive finite number{'' if most == np.inf else f' up to {most:.0f}'}")
    return out


def _times(ts: ArrayLike) -> NDArray[np.int64]:
    out = _column("ts", ts, np.int64)
    _refuse("ts", np.concatenate(([False], out[1:] < out[:-1])), out, "times that do not go back")
    return out


def rolling_quantile(values: ArrayLike, quantile: float = 0.95, window: int = 1000) -> tuple[Floats, Floats]:
    """(before, after): the exact quantile of the last `window` values, before each value enters (NaN for the first) and after it entered."""
    from liqcore.kernels.quantile import RollingQuantile

    RollingQuantile(quantile, 2 if 2 <= window <= 1_000_000 else window)  # the constructor raises the error for a wrong configuration
    return _rolling_quantile(_positive("values", values), quantile, window)


def rolling_threshold(ts: ArrayLike, values: ArrayLike, quantile: float = 0.95, window: int = 1000, warmup: int = 100, refresh_ns: int = 0) -> Floats:
    """The threshold in force when each value arrives, NaN during the first `warmup` values.

    refresh_ns = 0: the quantile of the last `window` values before it. Otherwise that quantile is taken when warm-up ends and again at the first
    value at least `refresh_ns` after it was last taken, and is constant in between.
    """
    from liqcore.kernels.quantile import RollingQuantile

    RollingQuantile(quantile, 2 if 2 <= window <= 1_000_000 else window)
    if warmup < 1 or refresh_ns < 0:
        raise ValueError(f"expected warmup >= 1 and refresh_ns >= 0, got {warmup} and {refresh_ns}")
    t = _times(ts)
    return _rolling_threshold(t, _positive("values", values, t.size), quantile, window, warmup, refresh_ns)


def window_sums(ts: ArrayLike, side: ArrayLike, notional: ArrayLike, horizon_ns: int, capacity: int = 4096) -> Floats:
    """Shape (n, 8), columns WINDOW_COLUMNS: the content of a Window after each entry. If `dropped` is above 0, use a larger capacity."""
    Window(horizon_ns, capacity)
    t = _times(ts)
    s = _column("side", side, np.int8, t.size)
    _refuse("side", (s != 1) & (s != -1), s, "1 (long) or -1 (short)")
    return _window_sums(t, s, _positive("notional", notional, t.size, 2.0**40), horizon_ns, capacity)


def segment_z(ts: ArrayLike, values: ArrayLike, segment_ns: int, baseline: int = 288, min_segments: int | None = None) -> Floats:
    """z of the running segment's sum after each value: what SegmentZ.push returns, to the bit."""
    least = SegmentZ(segment_ns, baseline, min_segments).min_segments
    t = _times(ts)
    x = _column("values", values, np.float64, t.size)
    _refuse("values", ~np.isfinite(x), x, "a finite number")
    return _segment_z(t, x, segment_ns, baseline, least)
