"""Quality of detectors against the generator's labelled cascades, full and throttled, and the cost of a throttle on real tapes.

Binance shows the largest liquidation of a symbol and second only. `throttled` applies that rule to any feed: what is kept, how much of the detectors'
episodes survives, and what precision and recall are left on cascades that are known because a generator made them (SYNTHETIC).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.emulator.market import Cascade, Market
from liqshell.event_columns import joined
from liqshell.report.coverage import share
from liqshell.research.detector_agreement import Data, DetectorSpec, Episode, episodes_of, make_detectors, matched

BURST_EVENTS, BURST_S = 20, 10.0  # a burst: at least 20 liquidations in 10 s
LEAST_COUNT = 5  # prints of a labelled cascade that a detector should find (clusters of at least five)
TOLERANCE_S = 5.0  # a detector may become ACTIVE that long after the last print
LEAD_H = 1.0  # of a generated market in which detectors learn and nothing is judged


def notional_of(events: np.ndarray, instruments: Sequence[lc.Instrument]) -> np.ndarray:
    """Of liquidations, as the engine takes it."""
    multiplier = np.array([i.multiplier for i in instruments])[events["instrument"]]
    return np.where(events["aux_price"] > 0.0, events["aux_price"], events["qty"] * multiplier * events["price"])


def kept_by_throttle(events: np.ndarray, instruments: Sequence[lc.Instrument]) -> np.ndarray:
    """Which liquidations Binance's rule shows: the largest of each instrument and second of ts_event; the first of equals."""
    second = events["ts_event"] // lc.SECOND
    order = np.lexsort((np.arange(len(events)), -notional_of(events, instruments), second, events["instrument"]))
    first = np.ones(len(events), bool)
    first[1:] = (np.diff(second[order]) != 0) | (np.diff(events["instrument"][order]) != 0)
    out = np.zeros(len(events), bool)
    out[order[first]] = True
    return out


def throttled(data: Data) -> Data:
    """The feed as Binance would show it: of each instrument and second the largest liquidation, known when the second is over. All else stays."""
    forced = data.events["kind"] == lc.Kind.LIQUIDATION
    own = data.events.compress(forced)
    kept = own.compress(kept_by_throttle(own, data.instruments))
    kept["ts_recv"] = np.maximum(kept["ts_recv"], (kept["ts_event"] // lc.SECOND + 1) * lc.SECOND)
    events = joined([data.events.compress(~forced), kept])
    instruments = tuple(lc.Instrument(**{**i.as_dict(), "completeness": lc.Completeness.COMPLETENESS_CENSORED}) for i in data.instruments)
    return dataclasses.replace(
        data,
        events=events.take(np.argsort(events["ts_recv"], kind="stable")),
        instruments=instruments,
        end_ns=max(data.end_ns, int(events["ts_recv"].max(initial=0)) + 1),
    )


def kept_shares(events: np.ndarray, instruments: Sequence[lc.Instrument]) -> dict[str, Any]:
    """Share of events and of value that the throttle keeps, of all liquidations and of those inside bursts. events: of one instrument, by time."""
    kept, value, burst = kept_by_throttle(events, instruments), notional_of(events, instruments), in_bursts(events["ts_event"])

    def of(which: np.ndarray) -> dict[str, Any]:
        count, total = int(which.sum()), float(value[which].sum())
        return {
            "events": count,
            "events_kept": float(kept[which].mean()) if count else None,
            "value_kept": float(value[which & kept].sum() / total) if total > 0 else None,
        }

    return {"all": of(np.ones(len(events), bool)), "bursts": of(burst)}


def in_bursts(ts: np.ndarray) -> np.ndarray:
    """Which events have at least BURST_EVENTS of them within the BURST_S around them."""
    half, ordered = int(BURST_S * lc.SECOND) // 2, np.sort(ts)  # events come by receipt, and venues do not send them in order
    inside: np.ndarray = np.searchsorted(ordered, ts + half, "right") - np.searchsorted(ordered, ts - half, "left") >= BURST_EVENTS
    return inside


def throttle_report(data: Data, specs: Sequence[DetectorSpec], tolerance_s: float) -> dict[str, Any]:
    """What the throttle keeps of each instrument, and of the detectors' episodes: found = episodes of the full feed that the throttled one also has
    (an overlap within the tolerance), new = episodes of the throttled feed that the full one has not."""
    view = throttled(data)
    full, few = episodes_of(data, specs)[0], episodes_of(view, specs)[0]
    tolerance = round(tolerance_s * lc.SECOND)
    forced = data.events[data.events["kind"] == lc.Kind.LIQUIDATION]
    already = [i.key for i in data.instruments if i.completeness == lc.Completeness.COMPLETENESS_CENSORED]
    kept = [{"instrument": i.key, **kept_shares(forced[forced["instrument"] == n], data.instruments)} for n, i in enumerate(data.instruments)]
    rows = [
        {
            "detector": one["name"],
            "kind": one["kind"],
            "full": len(a),
            "throttled": len(b),
            "found": share(matched(a, b, tolerance)[0], len(a)),
            "new": share(len(b) - matched(b, a, tolerance)[0], len(b)),
        }
        for one, a, b in zip(specs, full, few, strict=True)
    ]
    return {"kept": kept, "detectors": rows, "already_censored": already}


# ---- labelled cascades ----


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A generated market: its liquidations as a feed, the cascades in it, and the time from which they are judged (before, detectors learn)."""

    data: Data
    truth: list[Cascade]
    scored_from_ns: int


def labelled(hours: float, seed: int = 1, lead_h: float = LEAD_H, **parameters: Any) -> Labelled:
    """`hours` to be judged after `lead_h` to learn in. parameters: of emulator.market.Parameters, such as symbols and scale."""
    market = Market(seed=seed, **parameters)
    instruments = tuple(
        lc.Instrument(
            c.symbol,
            venue="bybit",
            tick_size=f"{10.0**-c.tick_decimals:.{c.tick_decimals}f}",
            lot_size=f"{10.0**-c.lot_decimals:.{c.lot_decimals}f}",
            completeness=lc.Completeness.COMPLETENESS_FULL,
        )
        for c in market.contracts
    )
    tick, lot = np.array([float(i.tick_size) for i in instruments]), np.array([float(i.lot_size) for i in instruments])
    parts = []
    for records in market.blocks(lead_h + hours):
        r = records[records["kind"] == int(lc.Kind.LIQUIDATION)]
        out = np.zeros(len(r), lc.EVENT_DTYPE)
        out["ts_event"] = out["ts_recv"] = r["t"]
        out["instrument"], out["kind"], out["side"] = r["symbol"], r["kind"], r["side"]
        out["price"], out["qty"] = r["price"] * tick[r["symbol"]], r["qty"] * lot[r["symbol"]]
        parts.append(out)
    start, scored_from_ns = market.parameters.start_ns, market.parameters.start_ns + round(lead_h * 3600) * lc.SECOND
    data = Data(np.concatenate(parts), instruments, start, market.now_ns, f"generator, seed {seed}", synthetic=True)
    return Labelled(data, [c for c in market.truth if c.start_ns >= scored_from_ns], scored_from_ns)


def quality(market: Labelled, data: Data, specs: Sequence[DetectorSpec], least_count: int = LEAST_COUNT) -> list[dict[str, Any]]:
    """Of each detector on `data`, a view of the market. A cascade is found by an episode of its side that becomes ACTIVE while it lasts or
    TOLERANCE_S later (a detector that judges at the end of time segments: one segment later).

    recall: share of the cascades of at least `least_count` prints that are found. precision: share of the episodes that find one; in_any: one of any
    size from two prints on. delay_s: median from a found cascade's first print.
    """
    place = {i.symbol: n for n, i in enumerate(data.instruments)}
    targets, out = [c for c in market.truth if c.count >= least_count], []
    for detector, found in zip(make_detectors(specs), episodes_of(data, specs)[0], strict=True):
        one = detector.as_dict()
        slack = round((TOLERANCE_S + one.get("segment_s", 0.0) * (one["kind"] == "anomaly")) * lc.SECOND)
        episodes = [e for e in found if e.ts >= market.scored_from_ns]
        hits = [next((e for e in episodes if _during(e, c, place, slack)), None) for c in targets]
        delays = [(e.ts - c.start_ns) / lc.SECOND for c, e in zip(targets, hits, strict=True) if e is not None]
        right = sum(any(_during(e, c, place, slack) for c in targets) for e in episodes)
        any_size = sum(any(_during(e, c, place, slack) for c in market.truth) for e in episodes)
        out.append(
            {
                "detector": one["name"],
                "kind": one["kind"],
                "episodes": len(episodes),
                "recall": share(len(delays), len(targets)),
                "precision": share(right, len(episodes)),
                "in_any": share(any_size, len(episodes)),
                "delay_s": float(np.median(delays)) if delays else None,
            }
        )
    return out


def _during(e: Episode, c: Cascade, place: Mapping[str, int], slack: int) -> bool:
    return e.instrument == place[c.symbol] and e.side == c.side and c.start_ns <= e.ts <= c.end_ns + slack


def quality_report(hours: float, specs: Sequence[DetectorSpec], seed: int = 1, least_count: int = LEAST_COUNT, **parameters: Any) -> dict[str, Any]:
    """Quality on the full feed and on the throttled view of the same generated market."""
    market = labelled(hours, seed, **parameters)
    return {
        "synthetic": True,
        "hours": hours,
        "lead_h": LEAD_H,
        "seed": seed,
        "parameters": parameters,
        "least_count": least_count,
        "tolerance_s": TOLERANCE_S,
        "settings": [d.as_dict() for d in make_detectors(specs)],
        "cascades": sum(c.count >= least_count for c in market.truth),
        "cascades_any": len(market.truth),
        "full": quality(market, market.data, specs, least_count),
        "throttled": quality(market, throttled(market.data), specs, least_count),
    }
