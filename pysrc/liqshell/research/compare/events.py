"""Fade and follow on identical events, overlap of the rules' entries, and how often each condition of a rule is met.

An event here is a moment, a contract and the side that was liquidated. Both signs are bought and sold at the same two moments, at the market, with
the same fees: nothing but the sign differs, no bracket and no limit stands between. Each event counts, also where a position would still be open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History
from liqshell.backtest.policy_log import Listened
from liqshell.backtest.touch import touch
from liqshell.config.components import recorded_detectors
from liqshell.report.coverage import rate
from liqshell.report.quotes import ENOUGH
from liqshell.report.statistics import CLUSTERS_MIN, FEW, spaced_mean
from liqshell.report.text import number, percent, seconds
from liqshell.report.verdicts import GAIN, Measured, bps

HORIZONS_S = (10.0, 60.0, 300.0, 900.0, 3600.0)
TOGETHER_NS = 60 * lc.SECOND


def of_detectors(by_preset: Mapping[str, Listened], values: Mapping[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """The ACTIVE signals of each detector that any preset listens to, each moment once: {words: rows of HEARD_DTYPE}. A detector with the same
    settings in two presets is one; two of one name with different settings are distinguished by the preset."""
    found: dict[str, tuple[str, str, list[np.ndarray]]] = {}
    for preset, listened in by_preset.items():
        for place, spec in enumerate(recorded_detectors(values[preset]), 1):
            rows = listened.rows
            mine = rows[(rows["detector"] == place) & (rows["phase"] == int(lc.Phase.ACTIVE)) & (rows["liquidated"] != 0)]
            key = json.dumps(spec, sort_keys=True, default=str)
            found.setdefault(key, (str(spec["name"]), preset, []))[2].append(mine)
    names = [name for name, _, _ in found.values()]
    out = {}
    for name, preset, parts in found.values():
        rows = np.concatenate(parts)
        _, first = np.unique(np.stack([rows["signal_ts"], rows["instrument"]]), axis=1, return_index=True)
        rows = rows[np.sort(first)]
        if len(rows):
            out[name if names.count(name) == 1 else f"{name} ({preset})"] = rows
    return out


def named(detectors: Mapping[str, np.ndarray], by_preset: Mapping[str, Listened]) -> list[tuple[str, np.ndarray]]:
    """The sets of events to look at: ACTIVE signals of each detector, and the times at which each preset asked for a trade. Equal sets are one, under
    all of their names."""
    sets: dict[bytes, tuple[list[str], np.ndarray]] = {}
    text = [(f"signals of {name}", rows) for name, rows in detectors.items()]
    text += [(f"moments of {name}", listened.wanted[listened.wanted["liquidated"] != 0]) for name, listened in by_preset.items()]
    for name, rows in text:
        if len(rows):
            what = np.stack([rows["ts"], rows["instrument"], rows["liquidated"]])
            sets.setdefault(what[:, np.lexsort(what)].tobytes(), ([], rows))[0].append(name)
    return [(", ".join(names), rows) for names, rows in sets.values()]


def both_signs(
    history: History, rows: np.ndarray, latency_s: float, taker_fee: float, half_spread: Any = None, print_wait_s: float = 5.0
) -> list[dict[str, Any]]:
    """One row a horizon: what the price did after the events, and what fading and following them came to after spread and fees. half_spread,
    print_wait_s: as of lc.SimVenue, by whose rule prices are taken where no quote holds (backtest.touch).

    rows: HEARD_DTYPE. move_bps > 0: the price went the fade's way (up after longs were liquidated), middle to middle. Events of one cascade share
    their price path, and so do the contracts: intervals are clustered by day, on few days by stretches that are longer than the horizon, and there is
    none where even those are too few. without_quote: how many events met no live quote at one of their two moments: what they pay for the spread is
    of prints and estimated, and a gain that rests on them is not claimed.
    """
    out = []
    for horizon_s in HORIZONS_S:
        bare = 0
        moves: list[tuple[float, int]] = []
        fades: list[tuple[float, int]] = []
        follows: list[tuple[float, int]] = []
        for n in range(len(history.instruments)):
            mine = rows[(rows["instrument"] == n) & (rows["liquidated"] != 0)]
            begin = mine["ts"] + round(latency_s * lc.SECOND)
            end = begin + round(horizon_s * lc.SECOND)
            now, then = (touch(history, n, times, half_spread, print_wait_s) for times in (begin, end))
            known = now.known & then.known & (end < history.end_ns)
            side, at = mine["liquidated"][known].astype(np.int64), mine["ts"][known].tolist()
            bid, ask, bid_then, ask_then = now.bid[known], now.ask[known], then.bid[known], then.ask[known]
            bought, sold = (bid_then - ask) / ask * 1e4, (bid - ask_then) / bid * 1e4
            fees = 2.0 * taker_fee * 1e4
            bare += int((~(now.live & then.live))[known].sum())
            moves += zip((side * ((bid_then + ask_then) / (bid + ask) - 1.0) * 1e4).tolist(), at, strict=True)
            fades += zip((np.where(side > 0, bought, sold) - fees).tolist(), at, strict=True)
            follows += zip((np.where(side > 0, sold, bought) - fees).tolist(), at, strict=True)
        out.append(
            {
                "horizon_s": horizon_s,
                "n": len(moves),
                "without_quote": bare,
                "move_bps": _interval(moves, horizon_s),
                "fade_bps": _interval(fades, horizon_s),
                "follow_bps": _interval(follows, horizon_s),
            }
        )
    return out


def _interval(found: list[tuple[float, int]], horizon_s: float) -> dict[str, Any]:
    """mean, low, high, t of (value, ns)."""
    text = spaced_mean([value for value, _ in found], [ts for _, ts in found], round(horizon_s * lc.SECOND))
    return {key: text[key] for key in ("mean", "low", "high", "t")}


def conclusion_of(name: str, horizons: Sequence[dict[str, Any]]) -> str:
    """The result over an event's horizons, as a sentence."""
    counted = [h for h in horizons if h["n"] and h["move_bps"]["mean"] is not None]
    if not counted:
        return f"{name}: no event with a price before and after."
    looks = [(h, sign) for h in counted for sign in ("fade", "follow")]
    beyond = [(h, sign) for h, sign in looks if measured(h, sign).sign == GAIN]
    if beyond:
        h, sign = max(beyond, key=lambda found: found[0][f"{found[1]}_bps"]["mean"])
        found = measured(h, sign).describe(bps, " bps net")
        if h["without_quote"] > (1.0 - ENOUGH) * h["n"]:
            bare = percent(h["without_quote"] / h["n"], 0)
            return (
                f"{name}: to {sign} comes to {found} at {seconds(h['horizon_s'])}, but {bare} of these events "
                "had no live quote: the spread there is an estimate, and no gain is claimed."
            )
        return (
            f"{name}: to {sign} earns {found} at {seconds(h['horizon_s'])}, above zero at 95 %; one of {len(looks)} looks (2 signs, "
            f"{len(counted)} horizons), of which one in forty is above zero by chance."
        )
    best, sign = max(looks, key=lambda found: found[0][f"{found[1]}_bps"]["mean"])
    costs = -(best["fade_bps"]["mean"] + best["follow_bps"]["mean"]) / 2
    net = best[f"{sign}_bps"]["mean"]
    thin = all(measured(h, one).missing for h, one in looks)
    if net <= 0 and not thin:
        text = "neither sign covers its costs at any horizon"
    elif not thin and not measured(best, sign).missing:
        text = "no gain of either sign is beyond chance"
    else:
        text = (
            f"too few for a test against chance ({FEW} events are needed, on {CLUSTERS_MIN} days or in as many stretches of an hour or twice "
            "the time held)"
        )
    cost = f"a round trip costs {number(costs, 1)}"
    if best["without_quote"]:
        cost += f", its spread estimated from prints in {percent(best['without_quote'] / best['n'], 0)} of the events"
    return f"{name}: {text}; the best mean is to {sign} for {seconds(best['horizon_s'])}, {measured(best, sign).describe(bps, ' bps net')}; {cost}."


def measured(h: dict[str, Any], sign: str) -> Measured:
    found = h[f"{sign}_bps"]
    return Measured(found["mean"], found["low"], found["high"], h["n"], "event")


def signs(listened: Listened) -> dict[str, int]:
    """How many of its wishes fade the liquidated side, follow it, or have none to go by; and what else it answered."""
    wanted = listened.wanted
    same = wanted["side"] == wanted["liquidated"]
    none = wanted["liquidated"] == 0
    answers = np.bincount(listened.rows["answer"], minlength=4)
    return {
        "asked": len(listened.rows),
        "wanted": len(wanted),
        "fade": int((same & ~none).sum()),
        "follow": int((~same & ~none).sum()),
        "neither": int(none.sum()),
        "leave": int(answers[2]),
        "later": int(answers[3]),
    }


def together(by_preset: Mapping[str, Listened]) -> list[dict[str, Any]]:
    """For each pair of presets: wishes of the first with one of the second on the same contract within a minute, and how many of those want the
    other side."""
    out = []
    names = list(by_preset)
    for a in names:
        for b in names:
            if a == b:
                continue
            shared = opposite = 0
            first, second = by_preset[a].wanted, by_preset[b].wanted
            for n in np.unique(first["instrument"]):
                mine, other = first[first["instrument"] == n], second[second["instrument"] == n]
                if not len(other):
                    continue
                other = other[np.argsort(other["ts"], kind="stable")]
                after = np.minimum(np.searchsorted(other["ts"], mine["ts"]), len(other) - 1)
                before = np.maximum(after - 1, 0)
                apart = np.abs(other["ts"][after] - mine["ts"]), np.abs(other["ts"][before] - mine["ts"])
                near = np.where(apart[0] <= apart[1], after, before)
                close = np.minimum(*apart) <= TOGETHER_NS
                shared += int(close.sum())
                opposite += int((close & (other["side"][near] != mine["side"])).sum())
            out.append({"preset": a, "other": b, "wanted": len(first), "shared": shared, "opposite": opposite})
    return out


def base_rates(by_preset: Mapping[str, Listened], hours: float) -> list[dict[str, Any]]:
    """For each rule with named conditions: how often each was met, how often all were, and how often all would be if they were independent."""
    out = []
    for preset, listened in by_preset.items():
        for found in listened.conditions.values():
            text = found.as_dict()
            shares = [c["held"] / c["known"] for c in text["conditions"] if c["known"]]
            expected = float(np.prod(shares)) if shares else None
            out.append(
                {
                    "preset": preset,
                    **text,
                    "share": text["together"] / text["known"] if text["known"] else None,
                    "independent": expected,
                    "rate": rate(text["together"], hours),
                }
            )
    return out
