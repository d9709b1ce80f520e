"""The state machines of the detectors beside the cascade over whole arrays, in Numba; batch_detectors is their front.

Written apart from the compiled ones: a window is two indices into the arrays with a 128-bit sum a side in two words (as in batch_cascade), segments
are closed with the arithmetic of zscore.pxd in the same order.
"""

import math

import numpy as np
from numba import njit

from liqcore import batch_excitation as excitation
from liqcore import batch_maps as maps
from liqcore.batch_cascade import _close, both, enter, leave, of

NEVER = 0x7FFFFFFFFFFFFFFF
IDLE, BUILDING, ACTIVE, DECELERATING, EXHAUSTED = range(5)


# ---- windows: acc = [long high, long low, short high, short low], bounds = [oldest, newest] ----

@njit(cache=True)
def pass_time(ts, side, x, acc, bounds, now, window):
    while bounds[0] < bounds[1] and now - ts[bounds[0]] > window:
        leave(acc, side[bounds[0]], x[bounds[0]])
        bounds[0] += 1


@njit(cache=True)
def take(ts, side, x, acc, bounds, i, window, capacity):
    pass_time(ts, side, x, acc, bounds, ts[i], window)
    if bounds[1] - bounds[0] >= capacity:
        leave(acc, side[bounds[0]], x[bounds[0]])
        bounds[0] += 1
    enter(acc, side[i], x[i])
    bounds[1] = i + 1


@njit(cache=True)
def say(out, cause, n, i, now, first, phase, side, count, longs, shorts, threshold, z, rolling, sequence):
    s = out[n]
    s["ts"], s["ts_start"], s["phase"], s["side"], s["count"], s["sequence"] = now, first, phase, side, count, sequence
    s["long_notional"], s["short_notional"], s["threshold"], s["z"], s["rolling"] = longs, shorts, threshold, z, rolling
    cause[n] = i
    return n + 1


# ---- dollar: lanes are the rows of `n` = [phase, spent, first, last, count, sequence] and `v` = [peak, own longs, own shorts] ----

@njit(cache=True)
def _lane_due(phase, last, window, silence):
    if phase == IDLE:
        return NEVER
    return last + (window if phase == BUILDING else silence) + 1


@njit(cache=True)
def _lane_say(out, cause, made, i, now, n, v, k, phase, trigger, volume):
    n[k, 0] = phase
    return say(out, cause, made, i, now, n[k, 2], phase, 1 - 2 * k, n[k, 4], v[k, 1], v[k, 2], trigger, volume / trigger, volume, n[k, 5])


@njit(cache=True)
def _dollar_time(ts, side, x, acc, bounds, n, v, now, window, silence, trigger, fall, rearm, out, cause, made):
    """What became true up to now, each at its own moment."""
    while True:
        due = min(_lane_due(n[0, 0], n[0, 3], window, silence), _lane_due(n[1, 0], n[1, 3], window, silence))
        if (n[0, 0] >= ACTIVE or n[1, 0] >= ACTIVE) and bounds[0] < bounds[1]:
            due = min(due, ts[bounds[0]] + window + 1)
        if due > now:
            return made
        pass_time(ts, side, x, acc, bounds, due, window)
        for k in range(2):
            volume = of(acc, 1 - 2 * k)
            if n[k, 0] == BUILDING and due - n[k, 3] > window:
                n[k, 0] = IDLE
            elif n[k, 0] >= ACTIVE and due - n[k, 3] > silence:
                made = _lane_say(out, cause, made, -1, due, n, v, k, EXHAUSTED, trigger, volume)
                n[k, 0], n[k, 1] = IDLE, 1
            else:
                if n[k, 0] == ACTIVE and volume < (1.0 - fall) * v[k, 0]:
                    made = _lane_say(out, cause, made, -1, due, n, v, k, DECELERATING, trigger, volume)
                if n[k, 0] == DECELERATING and volume < rearm * trigger:
                    made = _lane_say(out, cause, made, -1, due, n, v, k, EXHAUSTED, trigger, volume)
                    n[k, 0], n[k, 1] = IDLE, 1


@njit(cache=True)
def _since(ts, side, x, i, first, after):
    """Of the side of print i: what the window holds from after a time, the newest first."""
    total, own = 0.0, side[i]
    while i >= first and ts[i] > after:
        if side[i] == own:
            total += x[i]
        i -= 1
    return total


@njit(cache=True)
def dollar(ts, side, x, until, window, capacity, silence, trigger, fall, rearm, out, cause):
    """Prints of at least min_usd only."""
    acc, bounds = np.zeros(4, np.uint64), np.zeros(2, np.int64)
    n, v = np.zeros((2, 6), np.int64), np.zeros((2, 3))
    made = sequence = 0
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        made = _dollar_time(ts, side, x, acc, bounds, n, v, now, window, silence, trigger, fall, rearm, out, cause, made)
        if i == len(ts):
            break
        k = 0 if side[i] > 0 else 1
        pass_time(ts, side, x, acc, bounds, now, window)
        if n[k, 1] == 1 and of(acc, side[i]) < rearm * trigger:
            n[k, 1] = 0
        take(ts, side, x, acc, bounds, i, window, capacity)
        if n[1 - k, 0] != IDLE:
            v[1 - k, 1 + k] += x[i]
        if n[k, 1] == 1:
            if _since(ts, side, x, i, bounds[0], n[k, 3]) <= trigger:
                continue
            n[k, 1] = 0
        volume, fresh = of(acc, side[i]), n[k, 0] == IDLE
        if fresh:
            sequence += 1
            n[k, 2], n[k, 4], n[k, 5] = now, 0, sequence
            v[k, 1:] = 0.0
        n[k, 3] = now
        n[k, 4] += 1
        v[k, 1 + k] += x[i]
        if fresh:
            made = _lane_say(out, cause, made, i, now, n, v, k, BUILDING, trigger, volume)
        if n[k, 0] == BUILDING and volume > trigger:
            if now - n[k, 2] > window:                       # what built up too slowly is forgotten
                j = bounds[0]
                while side[j] != side[i]:
                    j += 1
                n[k, 2], n[k, 4] = ts[j], 0
                v[k, 1:] = 0.0
                for j in range(j, i + 1):
                    v[k, 1 if side[j] > 0 else 2] += x[j]
                    n[k, 4] += side[j] == side[i]
            v[k, 0] = volume
            made = _lane_say(out, cause, made, i, now, n, v, k, ACTIVE, trigger, volume)
        elif n[k, 0] == DECELERATING and volume > v[k, 0]:
            made = _lane_say(out, cause, made, i, now, n, v, k, ACTIVE, trigger, volume)
        if n[k, 0] >= ACTIVE:
            v[k, 0] = max(v[k, 0], volume)
    return made


# ---- imbalance ----

@njit(cache=True)
def _share(acc, side):
    total = both(acc)
    return of(acc, side) / total if total > 0.0 else 0.5


@njit(cache=True)
def imbalance(ts, side, x, until, window, capacity, share, normal, floor, min_events, out, cause):
    acc, bounds = np.zeros(4, np.uint64), np.zeros(2, np.int64)
    n = sequence = first = 0
    active = 0                                               # side of the running episode
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        while active != 0:
            due = ts[bounds[0]] + window + 1
            if due > now:
                break
            pass_time(ts, side, x, acc, bounds, due, window)
            if bounds[0] == bounds[1] or _share(acc, active) <= normal:
                n = say(out, cause, n, -1, due, first, EXHAUSTED, active, bounds[1] - bounds[0], of(acc, 1), of(acc, -1), share,
                         _share(acc, active), both(acc), sequence)
                active = 0
        if i == len(ts):
            break
        take(ts, side, x, acc, bounds, i, window, capacity)
        inside, total = bounds[1] - bounds[0], both(acc)
        if active != 0 and _share(acc, active) <= normal:
            n = say(out, cause, n, i, now, first, EXHAUSTED, active, inside, of(acc, 1), of(acc, -1), share, _share(acc, active), total, sequence)
            active = 0
        if active == 0 and inside >= min_events and total >= floor:
            dominant = 1 if of(acc, 1) >= of(acc, -1) else -1
            if _share(acc, dominant) > share:
                active, first = dominant, ts[bounds[0]]
                sequence += 1
                n = say(out, cause, n, i, now, first, ACTIVE, active, inside, of(acc, 1), of(acc, -1), share, _share(acc, active), total, sequence)
    return n


# ---- rate ----

@njit(cache=True)
def rate(ts, side, x, until, window, capacity, sigma, sigma_normal, per_minute, floor, baseline, enough, out, cause):
    acc, bounds = np.zeros(4, np.uint64), np.zeros(2, np.int64)
    values, totals, squares = np.empty(baseline), np.empty(baseline), np.empty(baseline)
    m, young, pivots, z = np.zeros(4, np.int64), np.zeros(2), np.zeros(2), np.array([-1.0, 0.0, 0.0, 0.0])
    n = sequence = first = dominant = 0
    active, bound, normal = False, 0.0, 0.0
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        while active:
            due, ends = ts[bounds[0]] + window + 1, (np.int64(z[0]) + 1) * window
            if bounds[1] - bounds[0] == capacity:            # how many are inside is known when a segment ends
                due = min(due, ends)
            if due > now:
                break
            pass_time(ts, side, x, acc, bounds, due, window)
            full = bounds[1] - bounds[0] == capacity
            inside = z[1] if full else float(bounds[1] - bounds[0])
            if inside == 0.0 or inside <= normal:
                _close(values, totals, squares, m, young, pivots, z, due, window)
                longs, shorts = of(acc, 1), of(acc, -1)
                dominant = 1 if longs > shorts else -1 if shorts > longs else dominant
                n = say(out, cause, n, -1, due, first, EXHAUSTED, dominant, inside, longs, shorts, bound * per_minute,
                         (inside - z[2]) / z[3] if z[3] > 0.0 else 0.0, both(acc), sequence)
                active = False
            elif full:
                _close(values, totals, squares, m, young, pivots, z, due, window)
        if i == len(ts):
            break
        take(ts, side, x, acc, bounds, i, window, capacity)
        if i == 0:
            z[0] = now // window + 1                         # the first segment is not whole
        if now // window >= z[0]:
            _close(values, totals, squares, m, young, pivots, z, now, window)
            z[1] += 1.0
        inside = float(bounds[1] - bounds[0])
        if inside == capacity:                               # at least; and all of the running segment is inside
            inside = max(inside, z[1])
        if active or m[0] < enough or not z[3] > 0.0:
            continue
        limit = z[2] + sigma * z[3]
        if inside > limit and inside * per_minute >= floor:
            active, bound, normal, first = True, limit, z[2] + sigma_normal * z[3], ts[bounds[0]]
            sequence += 1
            longs, shorts = of(acc, 1), of(acc, -1)
            dominant = 1 if longs > shorts else -1 if shorts > longs else side[i]
            n = say(out, cause, n, i, now, first, ACTIVE, dominant, inside, longs, shorts, bound * per_minute, (inside - z[2]) / z[3], both(acc),
                     sequence)
    return n


# ---- anomaly ----

@njit(cache=True)
def anomaly(ts, side, x, until, segment_ns, z_min, z_normal, purity, floor, baseline, enough, out, cause):
    values, totals, squares = np.empty(baseline), np.empty(baseline), np.empty(baseline)
    m, young, pivots, z = np.zeros(4, np.int64), np.zeros(2), np.zeros(2), np.array([-1.0, 0.0, 0.0, 0.0])
    sums = np.zeros(2)
    n = sequence = first = active = count = 0
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        while count > 0 or active != 0:
            due = (np.int64(z[0]) + 1) * segment_ns
            if due > now:
                break
            score = (z[1] - z[2]) / z[3] if m[0] >= enough and z[3] > 0.0 else 0.0
            total, dominant = sums[0] + sums[1], 1 if sums[0] >= sums[1] else -1
            pure = total > 0.0 and (sums[0] if dominant > 0 else sums[1]) / total > purity
            if active != 0 and not (score >= z_normal and pure and dominant == active):
                n = say(out, cause, n, -1, due, first, EXHAUSTED, active, count, sums[0], sums[1], z_min, score, z[1], sequence)
                active = 0
            if active == 0 and score >= z_min and score > 0.0 and pure and total >= floor:
                active, first = dominant, due - segment_ns
                sequence += 1
                n = say(out, cause, n, -1, due, first, ACTIVE, active, count, sums[0], sums[1], z_min, score, z[1], sequence)
            _close(values, totals, squares, m, young, pivots, z, due, segment_ns)
            sums[:] = 0.0
            count = 0
        if i == len(ts):
            break
        if i == 0:
            z[0] = now // segment_ns + 1                     # the first segment is not whole
        if now // segment_ns < z[0]:
            continue
        _close(values, totals, squares, m, young, pivots, z, now, segment_ns)
        z[1] += x[i]
        sums[0 if side[i] > 0 else 1] += x[i]
        count += 1
    return n


# ---- hawkes: lanes are rows of `n` = [phase, next look, first, count, sequence] and `v` = [own longs, own shorts], two an instrument ----

@njit(cache=True)
def _lane_speak(s, g, plan, quiet, horizon_s, out, cause, made, i, now, n, v, lane, phase, times, value):
    who, k = lane // 2, lane % 2
    n[lane, 0] = phase if phase == ACTIVE else IDLE
    rolling = excitation.project(s, g, plan, who, k, now) * s.learnt[who]["size_mean"]
    said = say(out, cause, made, i, now, n[lane, 2], phase, 1 - 2 * k, n[lane, 3], v[lane, 0], v[lane, 1], times, value, rolling, n[lane, 4])
    out[made]["instrument"] = who
    out[made]["score"] = 10.0 * -math.expm1(excitation.project(s, g, quiet, who, k, now))
    return said


@njit(cache=True)
def _times_usual(s, g, plan, horizon_s, who, k, now):
    return excitation.project(s, g, plan, who, k, now) / (excitation.rate(s, g, who, k, now) * horizon_s)


@njit(cache=True)
def excited(ts, who, side, x, until, s, g, plan, quiet, horizon_s, times, back, share, estimate, floor, check, out, cause):
    """Instruments of one group together; the signals carry their places."""
    lanes = 2 * s.learnt.size
    n, v, sequence = np.zeros((lanes, 5), np.int64), np.zeros((lanes, 2)), np.zeros(s.learnt.size, np.int64)
    made = active = 0
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        while active > 0:
            due = NEVER
            for lane in range(lanes):
                if n[lane, 0] == ACTIVE:
                    due = min(due, n[lane, 1])
            if due > now:
                break
            for lane in range(lanes):
                if n[lane, 0] != ACTIVE or n[lane, 1] > due:
                    continue
                n[lane, 1] = due + check
                value = _times_usual(s, g, plan, horizon_s, lane // 2, lane % 2, due)
                if value < back:
                    made = _lane_speak(s, g, plan, quiet, horizon_s, out, cause, made, -1, due, n, v, lane, EXHAUSTED, times, value)
                    active -= 1
        if i == len(ts):
            break
        k = 0 if side[i] > 0 else 1
        lane = 2 * who[i] + k
        excitation.push(s, g, who[i], now, side[i], x[i])
        n[lane, 1] = now + check
        if n[lane, 0] != ACTIVE and x[i] < floor:
            continue
        value = _times_usual(s, g, plan, horizon_s, who[i], k, now)
        if n[lane, 0] == ACTIVE:
            n[lane, 3] += 1
            v[lane, k] += x[i]
            if value < back:
                made = _lane_speak(s, g, plan, quiet, horizon_s, out, cause, made, i, now, n, v, lane, EXHAUSTED, times, value)
                active -= 1
        elif value >= times and (not share > 0.0 or excitation.percentile(s, g, who[i], estimate) >= share):
            sequence[who[i]] += 1
            active += 1
            n[lane, 2:] = now, 1, sequence[who[i]]
            v[lane], v[lane, k] = 0.0, x[i]
            made = _lane_speak(s, g, plan, quiet, horizon_s, out, cause, made, i, now, n, v, lane, ACTIVE, times, value)
    return made


# ---- zone ----

@njit(cache=True)
def zone(ts, forced, side, price, x, until, d, leave, share, least, away, stay, any_side, out, cause):
    """Liquidations (forced) and trades of one instrument; price: where the market stands after each."""
    sequence = entered = approach = cells = version = made = 0
    low = high = longs = shorts = through = bound = previous = free_low = free_high = 0.0
    inside_at, active, inside = np.int64(maps.NONE), False, False
    for i in range(len(ts) + 1):
        now = ts[i] if i < len(ts) else until
        over, verdict, at = active and now >= entered + stay, 0.0, entered + stay
        for step in range(2):                        # what time ends, then what the event does
            if over:
                made = say(out, cause, made, -1 if step == 0 else i, at, entered, EXHAUSTED, approach, cells, longs, shorts, bound, verdict, through,
                           sequence)
                active, version, inside_at = False, 0, at
            if step == 1 or i == len(ts):
                break
            over, at = False, now
            if forced[i]:
                maps.realise(d, now, side[i], price[i], x[i])
                if active and side[i] == approach:
                    through += x[i]
                    over, verdict = through >= share * (longs + shorts), -1.0
            elif active and (price[i] > high * leave or price[i] < low / leave):
                over, verdict = True, float(approach) if price[i] > high * leave else -float(approach)
        if i == len(ts) or forced[i]:
            continue
        was, previous = previous, price[i]
        if active or over:
            continue
        if version == d.t[3] and free_low <= price[i] < free_high:
            inside_at = now if inside else inside_at
            continue
        version, index = d.t[3], maps.place(d, price[i])
        inside = maps.hot(d, index)
        if not inside:
            free_low, free_high = maps.free_around(d, price[i])
            continue
        rested = inside_at == maps.NONE or now - inside_at >= away
        free_low, free_high, long_part, short_part, wide = maps.zone_at(d, index)
        inside_at = now
        if not rested or not (was >= free_high or 0.0 < was < free_low):
            continue
        ahead = 1 if was >= free_high else -1
        if long_part + short_part < least or (not any_side and (short_part - long_part) * ahead > 0.0):
            continue
        sequence += 1
        low, high, longs, shorts, cells, through, bound = free_low, free_high, long_part, short_part, wide, 0.0, d.threshold[0]
        active, entered, approach = True, now, ahead
        made = say(out, cause, made, i, now, now, ACTIVE, ahead, cells, longs, shorts, bound, (longs + shorts) / (bound * cells), 0.0, sequence)
    return made
