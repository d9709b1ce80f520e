"""The cascade detector over whole arrays, in Numba: the same signals as liqcore.Cascade and Engine.run, bit for bit.

It shares no code with them: thresholds come from a sorted array, the rolling notional from two 64-bit words, the z-score from arrays.
`import liqcore` does not import this module (Numba takes half a second).
"""

import numpy as np
from numba import njit

from liqcore.detect import CascadeConfig
from liqcore.event import EVENT_DTYPE, SIGNAL_DTYPE, Kind

DECAY_CAPACITY = 2048        # as in detect.pyx
SEGMENTS_MIN = 30
NEVER = 0x7FFFFFFFFFFFFFFF
IDLE, BUILDING, ACTIVE, DECELERATING, EXHAUSTED = range(5)
STALE, CENSORED, MARK_NOTIONAL = 2, 4, 8
U0, U1, U64 = np.uint64(0), np.uint64(1), np.uint64(64)
TOP = np.uint64(1 << 63)


# ---- which events are large ----

@njit(cache=True)
def _quantile(ordered, count, q):
    """NumPy's linear interpolation of a sorted array, operation for operation."""
    index = (count - 1) * q
    low = int(index)
    if index >= count - 1:
        return ordered[count - 1]
    share = index - low
    a, b = ordered[low], ordered[low + 1]
    if share == 0.0:
        return a
    return b - (b - a) * (1.0 - share) if share >= 0.5 else a + (b - a) * share


@njit(cache=True)
def _slide(ordered, count, old, new, full):
    """Keep the array sorted while `new` enters and, if it is full, one `old` leaves."""
    if full:
        at = np.searchsorted(ordered[:count], old)
        count -= 1
        for k in range(at, count):
            ordered[k] = ordered[k + 1]
    at = np.searchsorted(ordered[:count], new)
    for k in range(count, at, -1):
        ordered[k] = ordered[k - 1]
    ordered[at] = new
    return count + 1


@njit(cache=True)
def _thresholds(ts, notional, q, window, warmup, refresh, floor):
    """The threshold that each event is compared with, read before it enters; inf during warm-up."""
    out = np.full(len(ts), np.inf)
    ordered = np.empty(window)
    count, refreshed, learnt = 0, -1, 0.0
    for i in range(len(ts)):
        if i >= warmup:
            if refresh == 0 or refreshed < 0 or ts[i] - refreshed >= refresh:
                learnt = _quantile(ordered, count, q)
                refreshed = ts[i]
            out[i] = max(learnt, floor)
        full = count == window
        count = _slide(ordered, count, notional[i - window] if full else 0.0, notional[i], full)
    return out


# ---- the rolling notional: a 128-bit sum of multiples of 2**-64 in two words, rounded once when it is read ----

@njit(cache=True)
def _split(x):
    x = min(x, 1099511627776.0)
    whole = np.uint64(x)
    return whole, np.uint64((x - np.float64(whole)) * 18446744073709551616.0)


@njit(cache=True)
def _joined(high, low):
    if high == U0:
        return np.float64(low) * 5.421010862427522e-20
    shift = U0
    while (high << shift) & TOP == U0:
        shift += U1
    if shift > U0:
        rest = low << shift
        high = (high << shift) | (low >> (U64 - shift))
    else:
        rest = low
    if rest != U0:
        high |= U1                                          # sticky: the conversion below rounds to nearest even, once
    return np.float64(high) * 2.0 ** -np.float64(shift)


@njit(cache=True)
def _expire(ts, notional, first, now, decay, high, low):
    """Entries older than the decay window leave; `first` is the oldest one inside."""
    while first < len(ts) and ts[first] < now - decay:
        h, l = _split(notional[first])
        high = high - h - (U1 if low < l else U0)
        low = low - l
        first += 1
    return first, high, low


# ---- the z-score of segments: two stacks, as in zscore.pxd ----

@njit(cache=True)
def _inverse(n):
    return 1.0 / n if n > 0 else 0.0


@njit(cache=True)
def _flip(values, totals, squares, m, pivots):
    """m = [count, start, older, younger]; all values become the older part."""
    size, total, square = len(values), 0.0, 0.0
    slot = (m[1] + m[0] - 1) % size
    pivots[0] = values[slot]
    for n in range(1, m[0] + 1):
        x = values[slot] - pivots[0]
        total += x
        d = n * x - total
        square += d * d * ((1.0 / n) * _inverse(n - 1))
        totals[slot], squares[slot] = total, square
        slot = slot - 1 if slot > 0 else size - 1
    m[2], m[3] = m[0], 0


@njit(cache=True)
def _add(values, totals, squares, m, young, pivots, x):
    size = len(values)
    if m[0] == size:
        if m[2] == 0:
            _flip(values, totals, squares, m, pivots)
            young[:] = 0.0
        m[1] = (m[1] + 1) % size
        m[2] -= 1
        m[0] -= 1
    values[(m[1] + m[0]) % size] = x
    if m[3] == 0:
        pivots[1] = x
    m[0] += 1
    m[3] += 1
    x -= pivots[1]
    young[0] += x
    d = m[3] * x - young[0]
    young[1] += d * d * ((1.0 / m[3]) * _inverse(m[3] - 1))


@njit(cache=True)
def _mean_std(totals, squares, m, young, pivots):
    mean, square = pivots[1] + young[0] * (1.0 / m[3]), young[1]
    if m[2] > 0:
        older = pivots[0] + totals[m[1]] * (1.0 / m[2])
        delta = mean - older
        share = m[3] * (1.0 / m[0])
        mean = older + delta * share
        square = squares[m[1]] + (young[1] + delta * delta * (share * m[2]))
    return mean, np.sqrt(square * (1.0 / m[0]))


# ---- sums of both sides: acc = [long high, long low, short high, short low] ----

@njit(cache=True)
def enter(acc, side, x):
    k = 0 if side > 0 else 2
    h, l = _split(x)
    acc[k + 1] += l
    acc[k] += h + (U1 if acc[k + 1] < l else U0)


@njit(cache=True)
def leave(acc, side, x):
    k = 0 if side > 0 else 2
    h, l = _split(x)
    acc[k] = acc[k] - h - (U1 if acc[k + 1] < l else U0)
    acc[k + 1] -= l


@njit(cache=True)
def of(acc, side):
    return _joined(acc[0], acc[1]) if side > 0 else _joined(acc[2], acc[3])


@njit(cache=True)
def both(acc):
    low = acc[1] + acc[3]
    return _joined(acc[0] + acc[2] + (U1 if low < acc[1] else U0), low)


@njit(cache=True)
def _close(values, totals, squares, m, young, pivots, z, now, segment_ns):
    """Close the segments that ended; z = [segment or -1, current sum, mean, std]."""
    segment = now // segment_ns
    if segment == z[0]:
        return
    if z[0] >= 0:
        _add(values, totals, squares, m, young, pivots, z[1])
        for _ in range(min(int(segment - z[0]) - 1, len(values))):
            _add(values, totals, squares, m, young, pivots, 0.0)
        z[2], z[3] = _mean_std(totals, squares, m, young, pivots)
    z[0], z[1] = segment, 0.0


# ---- phases ----

@njit(cache=True)
def _speak(out, n, now, phase, first, sums, threshold, count, sequence, last_side, price, rolling, z, done, enough, flags):
    total = sums[0] + sums[1]
    s = out[n]
    s["ts"], s["ts_start"], s["long_notional"], s["short_notional"], s["threshold"] = now, first, sums[0], sums[1], threshold
    s["z"] = (z[1] - z[2]) / z[3] if done >= enough and z[3] > 0.0 else 0.0
    s["score"] = 10.0 * (1.0 - threshold / total) if total > threshold else 0.0
    s["price"], s["rolling"], s["count"], s["sequence"], s["phase"] = price, rolling, count, sequence, phase
    s["side"] = 1 if sums[0] > sums[1] else -1 if sums[1] > sums[0] else last_side
    s["flags"], s["detector"] = flags, 1
    return n + 1


@njit(cache=True)
def _phases(ts, side, notional, price, flags, thresholds, until, window, decay, fall, min_events, anchored, segment_ns, baseline, out, cause):
    values, totals, squares = np.empty(baseline), np.empty(baseline), np.empty(baseline)
    m, young, pivots = np.zeros(4, np.int64), np.zeros(2), np.zeros(2)
    z = np.array([-1.0, 0.0, 0.0, 0.0])
    enough = min(SEGMENTS_MIN, baseline)
    high, low, oldest, newest = U0, U0, 0, 0
    sums, peak, threshold, last_price = np.zeros(2), 0.0, 0.0, 0.0
    phase, count, sequence, last_side, first, last, n = IDLE, 0, 0, 0, 0, 0, 0
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        while phase != IDLE:                                 # what became true before this event, each at its own moment
            due = (first if anchored else last) + window + 1
            if phase == ACTIVE and oldest < newest:
                due = min(due, ts[oldest] + decay + 1)
            if due > now:
                break
            oldest, high, low = _expire(ts[:newest], notional, oldest, due, decay, high, low)
            rolling = _joined(high, low)
            after = IDLE if due > (first if anchored else last) + window else DECELERATING
            if after == DECELERATING and not rolling < (1.0 - fall) * peak:
                continue
            _close(values, totals, squares, m, young, pivots, z, due, segment_ns)
            if phase != BUILDING:
                cause[n] = -1
                n = _speak(out, n, due, EXHAUSTED if after == IDLE else after, first, sums, threshold, count, sequence, last_side, last_price,
                           rolling, z, m[0], enough, flags[len(ts)])
            phase = after
        if i == len(ts):
            break
        oldest, high, low = _expire(ts[:newest], notional, oldest, now, decay, high, low)
        if newest - oldest >= DECAY_CAPACITY:
            h, l = _split(notional[oldest])
            high = high - h - (U1 if low < l else U0)
            low = low - l
            oldest += 1
        h, l = _split(notional[i])
        low = low + l
        high = high + h + (U1 if low < l else U0)
        newest = i + 1
        rolling = _joined(high, low)
        _close(values, totals, squares, m, young, pivots, z, now, segment_ns)
        z[1] += notional[i]
        last_price = price[i]
        if notional[i] >= thresholds[i]:
            threshold = thresholds[i]
            if phase == IDLE:
                sequence, count, first = sequence + 1, 0, now
                sums[:] = 0.0
            last, last_side = now, side[i]
            count += 1
            sums[0 if side[i] > 0 else 1] += notional[i]
            after = IDLE
            if phase == IDLE and min_events > 1:
                after = BUILDING
            elif phase <= BUILDING and count >= min_events:
                after, peak = ACTIVE, rolling
            elif phase == DECELERATING and rolling >= (1.0 - fall) * peak:
                after = ACTIVE
            if after != IDLE:
                phase, cause[n] = after, i
                n = _speak(out, n, now, phase, first, sums, threshold, count, sequence, last_side, last_price, rolling, z, m[0], enough, flags[i])
        if phase >= ACTIVE:
            peak = max(peak, rolling)
    return n


def _run(ts, side, notional, price, flags, config, until):
    o = config.as_dict()
    ns = {name: round(o[name + "_s"] * 1e9) for name in ("window", "decay", "refresh", "segment")}
    thresholds = _thresholds(ts, notional, o["quantile"], o["window_events"], o["warmup"], ns["refresh"], o["floor"])
    room = 3 * int(np.count_nonzero(notional >= thresholds)) + 1
    out, cause = np.zeros(room, SIGNAL_DTYPE), np.empty(room, np.int64)
    n = _phases(ts, side, notional, price, flags, thresholds, until, ns["window"], ns["decay"], o["fall"], o["min_events"],
                o["mode"] == "anchored", ns["segment"], o["baseline"], out, cause)
    return out[:n], cause[:n]


def cascade(ts, side, notional, config: CascadeConfig | None = None, *, price=None, until: int | None = None) -> np.ndarray:
    """The signals of one instrument's liquidations as an array of SIGNAL_DTYPE.

    ts: ns, not decreasing. side: +1 LONG, -1 SHORT. notional: quote currency, positive and finite. price: of the signals; 0 if left out.
    until: let time pass up to this moment after the last event (Cascade.advance); default: it stops with the last event.
    """
    ts, side = np.ascontiguousarray(ts, np.int64), np.ascontiguousarray(side, np.int8)
    notional = np.ascontiguousarray(notional, np.float64)
    price = np.zeros(len(ts)) if price is None else np.ascontiguousarray(price, np.float64)
    if not ts.ndim == side.ndim == notional.ndim == price.ndim == 1 or not len(ts) == len(side) == len(notional) == len(price):
        raise ValueError(f"ts, side, notional, price: expected one-dimensional arrays of one length, got {ts.shape}, {side.shape}, "
                         f"{notional.shape}, {price.shape}")
    for name, bad in (("ts: decreases", np.flatnonzero(np.diff(ts) < 0) + 1), ("ts: negative", np.flatnonzero(ts < 0)),
                      ("side: expected +1 or -1", np.flatnonzero(np.abs(side) != 1)),
                      ("notional: expected numbers above 0 and at most 2**40", np.flatnonzero(~((notional > 0.0) & (notional <= 2.0 ** 40))))):
        if len(bad):
            raise ValueError(f"{name}, at index {bad[0]}")
    end = (int(ts[-1]) if len(ts) else 0) if until is None else until
    return _run(ts, side, notional, price, np.zeros(len(ts) + 1, np.uint8), CascadeConfig() if config is None else config, end)[0]


def cascades(events, instruments, config: CascadeConfig | None = None, *, event_age_max_s: float = 2.0) -> np.ndarray:
    """The signals of a whole feed (EVENT_DTYPE, all of it acceptable to the engine's door) in the engine's order, as SIGNAL_DTYPE.

    Liquidations are detected on; trades give the price of the signals; other kinds are passed over, so a feed with gaps (FEED) needs the engine,
    and so does a notional at mark or last price.
    """
    config = CascadeConfig() if config is None else config
    if events.dtype != EVENT_DTYPE or np.isin(events["kind"], (Kind.FEED,)).any() or config.as_dict()["notional"] != "reported":
        raise ValueError("cascades: expected an array of EVENT_DTYPE without FEED events, and a config with notional='reported'")
    until, parts, order = int(events["ts_recv"].max()) if len(events) else 0, [], []
    for index, instrument in enumerate(instruments):
        at = np.flatnonzero((events["instrument"] == index) & np.isin(events["kind"], (Kind.LIQUIDATION, Kind.TRADE)))
        own, is_liquidation = events[at], events["kind"][at] == Kind.LIQUIDATION
        traded = np.maximum.accumulate(np.where(is_liquidation, -1, np.arange(len(at)))) if len(at) else at
        price = np.where(traded >= 0, own["price"][traded], own["price"])[is_liquidation]
        at, e = at[is_liquidation], own[is_liquidation]
        notional = np.where(e["aux_price"] > 0.0, e["aux_price"], e["qty"] * instrument.multiplier * e["price"])
        always = CENSORED if int(instrument.completeness) == 2 else 0
        stale = e["ts_recv"] - e["ts_event"] > int(event_age_max_s * 1e9)
        flags = np.append(np.where(stale, STALE, 0), 0).astype(np.uint8) | np.uint8(always)
        signals, cause = _run(e["ts_recv"].astype(np.int64), e["side"].astype(np.int8), notional, price, flags, config, until)
        signals["instrument"] = index
        parts.append(signals)
        order.append(np.where(cause < 0, -1, at[cause]) if len(cause) else cause)
    signals, order = np.concatenate(parts), np.concatenate(order)
    return signals[np.lexsort((signals["instrument"], order, signals["ts"]))]
