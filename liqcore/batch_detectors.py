"""The detectors over whole arrays: the same signals as liqcore.Standalone and Engine.run, bit for bit, by Numba code written apart (batch_phases).

`detect` takes one instrument's liquidations, `detect_events` a feed. A feed with gaps (FEED events) needs the engine. `import liqcore` does not
import this module (Numba takes half a second).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from liqcore import batch_phases as phases
from liqcore.batch_cascade import cascade
from liqcore.batch_excitation import COUNTS, FIT, plan_of, shape_of, state_of
from liqcore.batch_maps import realised_of
from liqcore.density import DensityConfig
from liqcore.detect import CascadeConfig
from liqcore.detector import Detector
from liqcore.event import EVENT_DTYPE, SIGNAL_DTYPE, Kind
from liqcore.instrument import Instrument
from liqcore.registry import make_detector

ACTIVE = 2
STALE, CENSORED = 2, 4

Signals = NDArray[np.void]
Found = tuple[Signals, NDArray[np.int64]]    # and the event behind each; -1 = time


def _run_dollar(o: Mapping[str, Any], ts: Any, side: Any, x: Any, until: int) -> Found:
    large = np.flatnonzero(x >= o["min_usd"])
    out, cause = _room(4 * len(large) + 4)
    n = phases.dollar(ts[large], side[large], x[large], until, _ns(o["window_s"]), o["window_events"], _ns(o["silence_s"]), o["trigger_usd"],
                      o["fall"], o["rearm"], out, cause)
    by_time = cause[:n] < 0
    return out[:n], np.where(by_time, -1, large[np.where(by_time, 0, cause[:n])] if len(large) else -1)


def _run_imbalance(o: Mapping[str, Any], ts: Any, side: Any, x: Any, until: int) -> Found:
    out, cause = _room(3 * len(ts) + 2)
    n = phases.imbalance(ts, side, x, until, _ns(o["window_s"]), o["window_events"], o["share"], o["normal"], o["floor_usd"], o["min_events"],
                         out, cause)
    return out[:n], cause[:n]


def _run_rate(o: Mapping[str, Any], ts: Any, side: Any, x: Any, until: int) -> Found:
    out, cause = _room(2 * len(ts) + 2)
    n = phases.rate(ts, side, x, until, _ns(o["window_s"]), o["window_events"], o["sigma"], o["sigma_normal"], 60.0 / o["window_s"],
                    o["floor_per_minute"], o["baseline"], o["min_segments"], out, cause)
    return out[:n], cause[:n]


def _run_anomaly(o: Mapping[str, Any], ts: Any, side: Any, x: Any, until: int) -> Found:
    out, cause = _room(4 * len(ts) + 4)
    n = phases.anomaly(ts, side, x, until, _ns(o["segment_s"]), o["z_min"], o["z_normal"], o["purity"], o["floor_usd"], o["baseline"],
                       o["min_segments"], out, cause)
    return out[:n], cause[:n]


# ---- bars ----

def _run_bars(o: Mapping[str, Any], ts: Any, side: Any, x: Any, until: int) -> Found:
    period = _ns(o["period_s"])
    if not len(ts) or until // period <= ts[0] // period:
        return _room(0)
    count = int(until // period - ts[0] // period)
    place = ts // period - ts[0] // period
    own = place < count
    out, cause = _room(count)
    out["ts_start"] = (ts[0] // period + np.arange(count)) * period
    out["ts"] = out["ts_start"] + period
    out["count"] = np.bincount(place[own], minlength=count)
    for name, sign in (("long_notional", 1), ("short_notional", -1)):
        out[name] = np.bincount(place[own], np.where(side[own] == sign, x[own], 0.0), count)       # in order, as a running sum
    out["rolling"] = out["long_notional"] + out["short_notional"]
    some = out["rolling"] > 0.0
    out["z"][some] = (out["short_notional"][some] - out["long_notional"][some]) / out["rolling"][some]
    out["phase"], out["sequence"], cause[:] = ACTIVE, np.arange(1, count + 1), -1
    return out, cause


# ---- those that need more than one instrument's liquidations ----

def _run_hawkes(o: Mapping[str, Any], ts: Any, side: Any, x: Any, until: int) -> Found:
    return _run_group(o, ts, np.zeros(len(ts), np.int64), side, x, until, 1)


def _run_group(o: Mapping[str, Any], ts: Any, who: Any, side: Any, x: Any, until: int, members: int) -> Found:
    """Instruments that excite each other."""
    g = shape_of(o)
    out, cause = _room(2 * len(ts) + 2)
    n = phases.excited(ts, who, side, x, until, state_of([0] * members, g), g, plan_of(g, o["horizon_s"], -1.0),
                       plan_of(g, o["horizon_s"], 1.0 - o["large_share"]), o["horizon_s"], o["times"], o["back"], o["percentile"],
                       FIT if o["estimate"] == "fit" else COUNTS, o["floor_usd"], _ns(o["check_s"]), out, cause)
    return out[:n], cause[:n]


def _run_zone(o: Mapping[str, Any], ts: Any, forced: Any, side: Any, price: Any, x: Any, until: int) -> Found:
    cells = DensityConfig(step=o["step"], bin_bps=o["bin_bps"], cells=o["cells"], half_life_s=o["half_life_s"], quantile=o["quantile"],
                          floor=o["floor_usd"], refresh_s=o["refresh_s"], occupied_min=o["occupied_min"])
    out, cause = _room(2 * len(ts) + 2)
    n = phases.zone(ts, forced, side, price, x, until, realised_of(cells.as_dict()), 1.0 + o["leave_bps"] / 1e4, o["cascade_share"], o["zone_usd"],
                    _ns(o["away_s"]), _ns(o["stay_s"]), o["sides"] == "any", out, cause)
    return out[:n], cause[:n]


# ---- the front ----

_RUNS: dict[str, Callable[..., Found]] = {
    "anomaly": _run_anomaly, "bars": _run_bars, "dollar": _run_dollar, "hawkes": _run_hawkes, "imbalance": _run_imbalance, "rate": _run_rate}


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _room(count: int) -> Found:
    return np.zeros(count, SIGNAL_DTYPE), np.full(count, -1, np.int64)


def _settings(detector: Detector | Mapping[str, Any]) -> dict[str, Any]:
    return make_detector(**(detector.as_dict() if isinstance(detector, Detector) else detector)).as_dict()


def _priced(found: Found, ts: Any, price: Any, flags: Any) -> Found:
    """The price is that of the event behind a signal; where time made it, of the latest event before. flags: of each event."""
    signals, cause = found
    at = np.where(cause >= 0, cause, np.searchsorted(ts, signals["ts"], "left") - 1)
    signals["price"], signals["detector"] = price[at], 1
    signals["flags"] |= np.where(cause >= 0, flags[cause], 0).astype(np.uint8)
    return signals, cause


def detect(detector: Detector | Mapping[str, Any], ts: ArrayLike, side: ArrayLike, notional: ArrayLike, *, price: ArrayLike | None = None,
           until: int | None = None) -> Signals:
    """The signals of one instrument's liquidations as an array of SIGNAL_DTYPE: what Standalone.push says of each, and advance(until) after the last.

    detector: a Detector (its settings are taken, not its state) or a dict for make_detector. ts: ns, not decreasing. side: +1 LONG, -1 SHORT.
    notional: quote currency, above 0 and at most 2**40. price: of the signals; 0 if left out. until: default: the last event. ValueError names the
    first bad element, and for kind zone, which looks at trades too, says to use detect_events.
    """
    o = _settings(detector)
    if o["kind"] == "zone":
        raise ValueError("detect: a detector of kind zone looks at trades too; give detect_events liquidations and trades")
    t, s, x = np.ascontiguousarray(ts, np.int64), np.ascontiguousarray(side, np.int8), np.ascontiguousarray(notional, np.float64)
    p = np.zeros(len(t)) if price is None else np.ascontiguousarray(price, np.float64)
    if not t.ndim == s.ndim == x.ndim == p.ndim == 1 or not len(t) == len(s) == len(x) == len(p):
        raise ValueError(f"ts, side, notional, price: expected one-dimensional arrays of one length, got {t.shape}, {s.shape}, {x.shape}, {p.shape}")
    for name, bad in (("ts: decreases", np.flatnonzero(np.diff(t) < 0) + 1), ("ts: negative", np.flatnonzero(t < 0)),
                      ("side: expected +1 or -1", np.flatnonzero(np.abs(s) != 1)),
                      ("notional: expected numbers above 0 and at most 2**40", np.flatnonzero(~((x > 0.0) & (x <= 2.0 ** 40))))):
        if len(bad):
            raise ValueError(f"{name}, at index {bad[0]}")
    end = (int(t[-1]) if len(t) else 0) if until is None else until
    if o["kind"] == "cascade":
        return cascade(t, s, x, _cascade_config(o), price=p, until=end)
    return _priced(_RUNS[o["kind"]](o, t, s, x, end), t, p, np.zeros(len(t) + 1, np.uint8))[0]


def _cascade_config(o: Mapping[str, Any]) -> CascadeConfig:
    return CascadeConfig(**{name: value for name, value in o.items() if name not in ("kind", "name")})


def detect_events(detector: Detector | Mapping[str, Any], events: NDArray[np.void], instruments: Sequence[Instrument], *,
                  event_age_max_s: float = 2.0) -> Signals:
    """The signals of a feed (EVENT_DTYPE in order of receipt, all of it acceptable to the engine's door) in order of time, up to the last event.

    Liquidations are detected on, trades give the price of the signals; a feed with gaps (FEED) needs the engine. Bars begin with the first
    liquidation here: where tickers come before it, use the engine.
    """
    o = _settings(detector)
    if events.dtype != EVENT_DTYPE or np.isin(events["kind"], (Kind.FEED,)).any() or o.get("notional", "reported") != "reported":
        raise ValueError("detect_events: expected an array of EVENT_DTYPE without FEED events, and a detector with notional='reported'")
    until, parts = int(events["ts_recv"].max()) if len(events) else 0, [np.zeros(0, SIGNAL_DTYPE)]
    feeds = [_feed_of(events, n, i, int(event_age_max_s * 1e9), o["kind"] == "zone") for n, i in enumerate(instruments)]
    together = _together(o, feeds, instruments, until) if o["kind"] == "hawkes" else {}
    for n, (f, instrument) in enumerate(zip(feeds, instruments, strict=True)):
        if not f.forced.any():
            continue
        if o["kind"] == "cascade":
            signals = cascade(f.ts, f.side, f.notional, _cascade_config(o), price=f.price, until=until)
        elif o["kind"] == "zone":
            signals = _priced(_run_zone(o, f.ts, f.forced, f.side, f.price, f.notional, until), f.ts, f.price, f.flags)[0]
        else:
            found = together[n] if n in together else _RUNS[o["kind"]](o, f.ts, f.side, f.notional, until)
            signals = _priced(found, f.ts, f.price, f.flags)[0]
        signals["instrument"] = n
        signals["flags"] |= np.uint8(CENSORED if int(instrument.completeness) == 2 else 0)
        parts.append(signals)
    out = np.concatenate(parts)
    return out[np.argsort(out["ts"], kind="stable")]


class _Feed(NamedTuple):
    """What a detector sees of one instrument."""

    place: NDArray[np.int64]     # in the whole feed
    ts: NDArray[np.int64]
    forced: NDArray[np.bool_]    # a liquidation, not a trade
    side: NDArray[np.int8]
    notional: NDArray[np.float64]
    price: NDArray[np.float64]   # where the market stands: last traded, or the liquidation's own
    flags: NDArray[np.uint8]     # and one more, of time


def _feed_of(events: NDArray[np.void], n: int, instrument: Instrument, age_max_ns: int, trades: bool) -> _Feed:
    place = np.flatnonzero((events["instrument"] == n) & np.isin(events["kind"], (Kind.LIQUIDATION, Kind.TRADE)))
    own = events[place]
    forced = own["kind"] == Kind.LIQUIDATION
    traded = np.maximum.accumulate(np.where(forced, -1, np.arange(len(own)))) if len(own) else np.zeros(0, np.int64)
    price = np.where(traded >= 0, own["price"][traded], own["price"])
    if not trades:
        place, own, price, forced = place[forced], own[forced], price[forced], forced[forced]
    stale = np.append(np.where(own["ts_recv"] - own["ts_event"] > age_max_ns, STALE, 0), 0).astype(np.uint8)
    notional = np.where(own["aux_price"] > 0.0, own["aux_price"], own["qty"] * instrument.multiplier * own["price"])
    return _Feed(place, np.ascontiguousarray(own["ts_recv"], np.int64), forced, np.ascontiguousarray(own["side"], np.int8), notional, price, stale)


def _together(o: Mapping[str, Any], feeds: Sequence[_Feed], instruments: Sequence[Instrument], until: int) -> dict[int, Found]:
    """The signals of instruments that excite each other, those of one venue, by instrument."""
    out: dict[int, Found] = {}
    for venue in dict.fromkeys(i.venue for i in instruments):
        members = [n for n, i in enumerate(instruments) if i.venue == venue]
        order = np.argsort(np.concatenate([feeds[n].place for n in members]), kind="stable")
        ts, side, x = (np.concatenate([getattr(feeds[n], name) for n in members])[order] for name in ("ts", "side", "notional"))
        who = np.concatenate([np.full(len(feeds[n].ts), k, np.int64) for k, n in enumerate(members)])[order]
        found, cause = _run_group(o, ts, who, side, x, until, len(members))
        for k, n in enumerate(members):
            mine = found["instrument"] == k
            out[n] = found[mine], np.where(cause[mine] >= 0, np.searchsorted(np.flatnonzero(who == k), cause[mine]), -1)
    return out
