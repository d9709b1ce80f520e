"""Fade and follow on identical events (C1), who wants the same moments, and how often the conditions of a rule hold (C20).

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
from liqshell.backtest.listen import Listened
from liqshell.backtest.touch import touch
from liqshell.report.coverage import rate
from liqshell.report.quotes import ENOUGH
from liqshell.report.statistics import CLUSTERS_MIN, spaced_mean
from liqshell.report.text import number, percent, seconds

HORIZONS_S = (10.0, 60.0, 300.0, 900.0, 3600.0)
TOGETHER_NS = 60 * lc.SECOND


def of_detectors(heard: Mapping[str, Listened], values: Mapping[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """The ACTIVE signals of each detector that any preset listens to, each moment once: {words: rows of HEARD_DTYPE}. A detector with the same
    settings in two presets is one; two of one name with different settings are told apart by the preset."""
    found: dict[str, tuple[str, str, list[np.ndarray]]] = {}
    for preset, listened in heard.items():
        told = values[preset]
        specs = ([{"name": "cascade", **told["cascade"]}] if told.get("cascade") else []) + list(told.get("detectors") or ())
        for place, spec in enumerate(specs, 1):
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


def named(detectors: Mapping[str, np.ndarray], heard: Mapping[str, Listened]) -> list[tuple[str, np.ndarray]]:
    """The sets of events to look at: ACTIVE signals of each detector, and moments at which each preset wanted a trade. Equal sets are one, under all
    of their names."""
    sets: dict[bytes, tuple[list[str], np.ndarray]] = {}
    told = [(f"signals of {name}", rows) for name, rows in detectors.items()]
    told += [(f"moments of {name}", listened.wanted[listened.wanted["liquidated"] != 0]) for name, listened in heard.items()]
    for name, rows in told:
        if len(rows):
            what = np.stack([rows["ts"], rows["instrument"], rows["liquidated"]])
            sets.setdefault(what[:, np.lexsort(what)].tobytes(), ([], rows))[0].append(name)
    return [(", ".join(names), rows) for names, rows in sets.values()]


def both_signs(history: History, rows: np.ndarray, latency_s: float, taker_fee: float, half_spread: Any = None,
               print_wait_s: float = 5.0) -> list[dict[str, Any]]:
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
        out.append({"horizon_s": horizon_s, "n": len(moves), "without_quote": bare,
                    "move_bps": _interval(moves, horizon_s), "fade_bps": _interval(fades, horizon_s), "follow_bps": _interval(follows, horizon_s)})
    return out


def _interval(found: list[tuple[float, int]], horizon_s: float) -> dict[str, Any]:
    """mean, low, high, t of (value, ns)."""
    told = spaced_mean([value for value, _ in found], [ts for _, ts in found], round(horizon_s * lc.SECOND))
    return {key: told[key] for key in ("mean", "low", "high", "t")}


def told_of(name: str, horizons: Sequence[dict[str, Any]]) -> str:
    """What an event's horizons come to, in a sentence."""
    counted = [h for h in horizons if h["n"] and h["move_bps"]["mean"] is not None]
    if not counted:
        return f"{name}: no event with a price before and after."
    beyond = [(h, sign) for h in counted for sign in ("fade", "follow") if (h[f"{sign}_bps"]["low"] or 0.0) > 0.0]
    if beyond:
        h, sign = max(beyond, key=lambda found: found[0][f"{found[1]}_bps"]["mean"])
        if h["without_quote"] > (1.0 - ENOUGH) * h["n"]:
            return (f"{name}: to {sign} comes to {number(h[f'{sign}_bps']['mean'], 1, True)} bps after fees at {seconds(h['horizon_s'])} "
                    f"(n = {h['n']:,}), above zero at 95 %, but {percent(h['without_quote'] / h['n'], 0)} of these events met no live quote: the "
                    "spread is estimated there, and no gain is claimed.")
        return (f"{name}: to {sign} earns {number(h[f'{sign}_bps']['mean'], 1, True)} bps net at {seconds(h['horizon_s'])} "
                f"(n = {h['n']:,}), above zero at 95 %; one horizon of {len(counted)}.")
    best, sign = max(((h, sign) for h in counted for sign in ("fade", "follow")), key=lambda found: found[0][f"{found[1]}_bps"]["mean"])
    costs = -(best["fade_bps"]["mean"] + best["follow_bps"]["mean"]) / 2
    net = best[f"{sign}_bps"]["mean"]
    if net <= 0:
        told = "neither sign earns its costs at any horizon"
    elif best[f"{sign}_bps"]["low"] is not None:
        told = "no gain of either sign is beyond chance"
    else:
        told = f"too few to tell the best from chance (an interval needs {CLUSTERS_MIN} days, or as many stretches of an hour or twice the time held)"
    cost = f"a round trip costs {number(costs, 1)}"
    if best["without_quote"]:
        cost += f", its spread estimated from prints in {percent(best['without_quote'] / best['n'], 0)} of the events"
    return (f"{name}: {told}; the best mean is to {sign} for {seconds(best['horizon_s'])}, {number(net, 1, True)} bps net "
            f"(n = {best['n']:,}; {cost}).")


def signs(listened: Listened) -> dict[str, int]:
    """How many of its wishes fade the liquidated side, follow it, or have none to go by; and what else it answered."""
    wanted = listened.wanted
    same = wanted["side"] == wanted["liquidated"]
    none = wanted["liquidated"] == 0
    answers = np.bincount(listened.rows["answer"], minlength=4)
    return {"asked": len(listened.rows), "wanted": len(wanted), "fade": int((same & ~none).sum()), "follow": int((~same & ~none).sum()),
            "neither": int(none.sum()), "leave": int(answers[2]), "later": int(answers[3])}


def together(heard: Mapping[str, Listened]) -> list[dict[str, Any]]:
    """For each pair of presets: wishes of the first with one of the second on the same contract within a minute, and how many of those want the
    other side."""
    out = []
    names = list(heard)
    for a in names:
        for b in names:
            if a == b:
                continue
            shared = opposite = 0
            first, second = heard[a].wanted, heard[b].wanted
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


def base_rates(heard: Mapping[str, Listened], hours: float) -> list[dict[str, Any]]:
    """Of each rule that tells its conditions: how often each held when it was asked, how often all did, and how often all would if they knew nothing
    of each other."""
    out = []
    for preset, listened in heard.items():
        for found in listened.conditions.values():
            told = found.as_dict()
            shares = [c["held"] / c["known"] for c in told["conditions"] if c["known"]]
            expected = float(np.prod(shares)) if shares else None
            out.append({"preset": preset, **told, "share": told["together"] / told["known"] if told["known"] else None,
                        "independent": expected, "rate": rate(told["together"], hours)})
    return out
