"""Whether the hourly bet clears its hurdle: fires of the reversal's rule, their hours, the asks at the time, the probability in the book.

The first fire of an hour counts. A bet costs its ask and fee; over n bets the hurdle is the mean of that, and the idea clears it where the whole 95 %
interval (Wilson) of the hit rate lies above it, n is at least 30, and the value of a share, with errors by day, lies above 0. With asks that differ
Wilson's interval is wider than need be, never narrower: the variance of a sum of unequal shares is below that of equal ones. Bets of one day may win
and lose together, which it does not see. Without recorded asks there is no statement.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import floor, inf, isnan, log, nan, sqrt
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.event import Kind, Phase
from liqshell.binary.desk import Desk
from liqshell.binary.replay import replay
from liqshell.config.load import loads
from liqshell.errors import DataError
from liqshell.input_file import regular
from liqshell.pages import document, paragraphs, section, table
from liqshell.policies.hourly import HOUR, fee_per_share, hour_of, measured_shift, probability_up, settled_up
from liqshell.policies.reversal import Parameters
from liqshell.policies.reversal import fires as rule_fires
from liqshell.report.statistics import DAY_NS, FEW, Z, clustered_mean, mean_test, wilson
from liqshell.research import feature_rows
from liqshell.research.feature_walk import Data

NS = 1_000_000_000
MINUTE = 60 * NS
SAMPLE_NS = 100_000_000
LATE_NS = 5 * NS  # a book that is first known so long after the end of a flush says nothing of its repricing
CANDLES, CANDLES_MIN = 24, 12
Candles = Mapping[int, tuple[float, float]]
UNITS_NS = {13: 1_000_000, 16: 1_000}  # of an open time, by its digits: ms or us
REFUSED_SHOWN = 3  # markets that were refused, by name
CLEARS, BELOW, OPEN, UNKNOWN = "clears", "below", "not shown", "unknown"


@dataclass(frozen=True)
class Fire:
    """One fire. side: 1 = UP is bought. probability: ours, of the side; ask, mid: of its token; nan = not known then. rate: of the fee. price, open,
    volatility: of the market that settles, behind the probability."""

    ts: int
    side: int = 1
    probability: float = nan
    ask: float = nan
    mid: float = nan
    rate: float = 0.07
    price: float = nan
    open: float = nan
    volatility: float = nan

    @property
    def cost(self) -> float:
        """Of one share, fee included."""
        return self.ask + fee_per_share(self.ask, self.rate)


@dataclass
class Watch:
    """The book after the forced selling has ended (or after a fire, if its end is unknown): how long until half of the gap between the fair
    price and the book's mid was closed."""

    ts: int
    side: int
    of: str
    gap: float = nan
    seconds: float = nan
    over: bool = False
    _last: int = field(default=0, repr=False)

    def look(self, now: int, fair: float | None, mid: float | None, tick: float) -> None:
        if self.over or now < self.ts:
            return
        if now >= hour_of(self.ts) + HOUR:
            self.over = True
            return
        if isnan(self.gap) and now - self.ts > LATE_NS:
            self.over = True
            return
        if fair is None or mid is None:
            return
        gap = (fair - mid) * self.side
        if isnan(self.gap):
            self.gap = gap
            if gap <= tick:
                self.seconds, self.over = 0.0, True
        elif gap <= self.gap / 2.0:
            self.seconds, self.over = (now - self.ts) / NS, True


# ---- what the data have ----


def fires_by_contract(data: Data, asset: str = "BTC") -> dict[str, list[tuple[int, int]]]:
    """(time, side) of the fires of the preset `reversal` in each contract of the asset, minute by minute, each with what was known then, as a run
    that watches all of them fires. DataError without a contract of the asset."""
    places = _places(data, asset)
    if not places:
        raise DataError("hourly", f"no contract of {asset}: {', '.join(one.key for one in data.instruments)}", f"data of {asset}")
    rule = loads('[policy]\npreset = "reversal"\n', "hourly")
    numbers = {n: Parameters(**rule.parameters_for(data.instruments[n].symbol)) for n in places}
    names = {n: (one.feature_liquidations, one.feature_flow, one.feature_funding) for n, one in numbers.items()}
    times = np.arange(-(-data.start // MINUTE) * MINUTE, data.end + 1, MINUTE, dtype=np.int64)
    # a bar is closed by the first event after it, which is not part of it
    rows = feature_rows.rows_of(tuple(dict.fromkeys(name for some in names.values() for name in some)), data, times - 1)
    out: dict[str, list[tuple[int, int]]] = {}
    for n in places:
        columns = [rows.names.index(name) for name in names[n]]
        memory: dict[str, Any] = {}
        sides = [
            (ts, rule_fires(numbers[n], memory, ts, *(float(row[column]) for column in columns)))
            for ts, row in zip(times.tolist(), rows.values[:, n, :], strict=True)
        ]
        out[data.instruments[n].key] = [(ts, int(side)) for ts, side in sides if side is not None]
    return out


def _places(data: Data, asset: str) -> list[int]:
    return [n for n, one in enumerate(data.instruments) if one.asset == asset]


def exhaustions_of(data: Data, asset: str = "BTC") -> list[tuple[int, int]]:
    """(time, side whose positions had been closed by force) of the ends of cascades."""
    engine = lc.Engine(data.instruments, detectors=[lc.make_detector("cascade")])
    return [
        (s.ts, int(s.side))
        for part in data.parts
        for s in engine.run(part)
        if s.phase == Phase.EXHAUSTED and data.instruments[s.instrument].asset == asset
    ]


def traded_hours(data: Data, asset: str = "BTC") -> dict[int, tuple[float, float]]:
    """Open and close of each whole hour by the own trades of the asset's first contract: a stand-in for the spot candle, to be named as such. An hour
    without trades in its first or its last minute has none: the price after a gap is not the open."""
    places = _places(data, asset)
    out: dict[int, tuple[float, float]] = {}
    seen: dict[int, tuple[int, int]] = {}
    for part in data.parts:
        mine = part[(part["kind"] == int(Kind.TRADE)) & np.isin(part["instrument"], places[:1])]
        hours = mine["ts_recv"] // HOUR * HOUR
        for hour in np.unique(hours).tolist():
            prices, times = mine["price"][hours == hour], mine["ts_recv"][hours == hour]
            out[hour] = (out.get(hour, (float(prices[0]), 0.0))[0], float(prices[-1]))
            seen[hour] = (seen.get(hour, (int(times[0]), 0))[0], int(times[-1]))
    return {
        hour: row
        for hour, row in out.items()
        if data.start <= hour and hour + HOUR <= data.end and seen[hour][0] < hour + MINUTE and seen[hour][1] >= hour + HOUR - MINUTE
    }


def prices_at(data: Data, times: Sequence[int], asset: str = "BTC") -> list[float]:
    """The last trade of the asset's first contract at each time; nan before the first."""
    places = _places(data, asset)
    trades = [part[(part["kind"] == int(Kind.TRADE)) & np.isin(part["instrument"], places[:1])] for part in data.parts]
    ts, price = (np.concatenate([rows[name] for rows in trades]) for name in ("ts_recv", "price"))
    at = np.searchsorted(ts, times, "right") - 1
    return [float(price[k]) if k >= 0 else nan for k in at]


def read_candles(path: Path) -> dict[int, tuple[float, float]]:
    """Spot candles of one hour: a CSV of Binance's klines (open time in ms or us, open, high, low, close, ...), with or without a header."""
    out: dict[int, tuple[float, float]] = {}
    with regular(path, "a CSV file of one-hour klines").open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            try:
                time, open_, close = int(row[0]), float(row[1]), float(row[4])
            except (ValueError, IndexError):
                if number == 1 and not (row and row[0].strip().isdigit()):
                    continue  # the header
                raise DataError(f"{path}:{number}", f"found {row[:5]!r}", "open time, open, high, low, close") from None
            start = time * UNITS_NS.get(len(str(time)), 0)
            if not start or start % HOUR or not (0.0 < open_ < inf and 0.0 < close < inf):
                raise DataError(f"{path}:{number}", f"found {row[:5]!r}", "candles of whole hours (open time in ms or us) with prices above 0")
            out[start] = (open_, close)
    if not out:
        raise DataError(str(path), "no candles", "a CSV file of one-hour klines")
    return out


@dataclass
class Books:
    """The content of binary recordings: their fires (or the given ones) with asks, candles, watches and bets. paid: hour -> whether the venue paid
    UP, if known. refused: why markets are not bet on, so their books count for nothing."""

    fires: list[Fire] = field(default_factory=list)
    candles: dict[int, tuple[float, float]] = field(default_factory=dict)
    watches: list[Watch] = field(default_factory=list)
    settled: list[dict[str, Any]] = field(default_factory=list)
    paid: dict[int, bool] = field(default_factory=dict)
    alarms: int = 0
    damage: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def read_books(folder: Path, given: Sequence[tuple[int, int]] | None = None, ended: Sequence[tuple[int, int]] = ()) -> Books:
    """One binary recording again. given: fires that are not in it; ended: ends of flushes that are not in it."""
    out = Books()
    waiting = sorted(given or ())
    ends = sorted(ended)
    watches: list[Watch] = []

    def sample(desk: Desk, ts: int, side: int) -> None:
        hour = hour_of(ts)
        market = desk.markets.get(hour)
        # what is not bet on has no ask
        book = desk.book_of(market.token("up" if side > 0 else "down"), ts) if market is not None and not market.withdrawn else None
        fair = desk.fair_up(hour, ts, side)
        out.fires.append(
            Fire(
                ts,
                side,
                nan if fair is None else fair if side > 0 else 1.0 - fair,
                float(book.ask) if book is not None and book.ask is not None else nan,
                book.mid if book is not None and book.mid is not None else nan,
                float(market.fee_rate) if market is not None else 0.07,
                *desk.known_of(hour),
            )
        )
        watches.append(Watch(ts, side, "fire"))

    def keep_candles(desk: Desk) -> None:
        out.candles |= {start: (one.open, one.close) for start, one in desk.candles.items() if one.final}

    hour_seen = -1

    def see(ts: int, desk: Desk) -> None:
        nonlocal hour_seen
        if hour_of(ts) != hour_seen:  # the desk forgets candles after some days
            hour_seen = hour_of(ts)
            keep_candles(desk)
        if "desk" not in state:  # what was before the recording is not its to answer
            waiting[:] = [one for one in waiting if one[0] >= ts]
            ends[:] = [one for one in ends if one[0] >= ts]
        while waiting and waiting[0][0] <= ts:
            sample(desk, *waiting.pop(0))
        while ends and ends[0][0] <= ts:
            watches.append(Watch(ends[0][0], ends.pop(0)[1], "exhausted"))
        for one in watches:
            if not one.over and ts - one._last >= SAMPLE_NS:
                one._last = ts
                hour = hour_of(one.ts)
                market = desk.markets.get(hour)
                one.look(ts, desk.fair_up(hour, ts, one.side), desk.mid_up(hour, ts), float(market.tick) if market else 0.01)
        state["desk"] = desk

    def facts(ts: int, found: dict[str, Any]) -> None:
        if int(found.get("side", 0)):
            if given is None:
                sample(state["desk"], ts, int(found["side"]))
        elif found.get("exhausted"):
            watches.append(Watch(ts, int(found["exhausted"]), "exhausted"))

    state: dict[str, Desk] = {}
    desk, lines = replay(folder, see, facts, out.damage)
    keep_candles(desk)
    # the end of the flush is what the idea speaks of; a fire stands for it only where no end is known
    of = "exhausted" if any(one.of == "exhausted" for one in watches) else "fire"
    out.watches = [one for one in watches if one.of == of]
    last = {line["number"]: line for line in lines if line["kind"] == "bet" and line["state"] == "settled"}
    out.paid = {line["hour"]: line["winner"] == "up" for line in lines if line["kind"] == "settled" and line["venue"]}
    out.refused = [line["why"] for line in lines if line["kind"] == "refused"]
    out.settled, out.alarms = list(last.values()), sum(line["kind"] == "alarm" for line in lines)
    return out


def with_probability(fires: Iterable[tuple[int, int, float]], candles: Candles) -> list[Fire]:
    """Fires of data without books: ours from (time, side, price) and candles of the same market."""
    out = []
    for ts, side, price in fires:
        hour, p, volatility = hour_of(ts), nan, nan
        past = [candles[h] for h in range(hour - CANDLES * HOUR, hour, HOUR) if h in candles]
        if hour in candles and price > 0.0 and len(past) >= CANDLES_MIN:
            volatility = sqrt(sum(log(c / o) ** 2 for o, c in past) / len(past))
            p = probability_up(price, candles[hour][0], volatility, (hour + HOUR - ts) / NS)
        out.append(Fire(ts, side, p if side > 0 else 1.0 - p, price=price, open=candles.get(hour, (nan, nan))[0], volatility=volatility))
    return out


# ---- what follows from it ----


def evaluate(
    fires: Iterable[Fire],
    candles: Candles,
    watches: Sequence[Watch] = (),
    settled_on: str = "spot candles",
    bets: Sequence[Mapping[str, Any]] = (),
    paid: Mapping[int, bool] | None = None,
) -> dict[str, Any]:
    """Everything as plain values. candles: hour -> (open, close) of the market that settles, or of what stands in for it: settled_on says which.
    paid: hour -> whether the venue paid UP, which counts where it differs."""
    every = sorted(fires, key=lambda one: one.ts)
    first: dict[int, Fire] = {}
    for one in every:
        first.setdefault(hour_of(one.ts), one)
    own = {hour: settled_up(*row) for hour, row in candles.items()}
    known = own | dict(paid or {})
    judged = [(one, known[hour] == (one.side > 0)) for hour, one in first.items() if hour in known]
    hits = sum(won for _, won in judged)
    low, high = wilson(hits, len(judged))
    ups, all_hours = sum(known.values()), len(known)
    # what all hours would have given the same sides
    same = [(ups if one.side > 0 else all_hours - ups) / all_hours for one, _ in judged] if all_hours else []
    offered = [(one, won) for one, won in judged if not isnan(one.ask)]
    out: dict[str, Any] = {
        "fires": len(every),
        "hours_with_fire": len(first),
        "unsettled": len(first) - len(judged),
        "settled_on": settled_on,
        "hit_rate": {"n": len(judged), "hits": hits, "share": hits / len(judged) if judged else None, "low": low, "high": high},
        "all_hours": {"n": all_hours, "share": sum(same) / len(same) if same else ups / all_hours if all_hours else None},
        "against_ask": _against_ask(offered),
        "brier": _brier(judged),
        "repricing": _repricing(watches),
        "bets": _bets(bets),
    }
    out["venue_differs"] = sum(own[hour] != up for hour, up in (paid or {}).items() if hour in own)
    out["shift"] = _shift(judged)
    out["verdict"], out["sentence"] = _verdict(out)
    out["not_known"] = _not_known(out, len(judged) - len(offered))
    return out


def _against_ask(paid: Sequence[tuple[Fire, bool]]) -> dict[str, Any]:
    costs = [one.cost for one, _ in paid]
    hits = sum(won for _, won in paid)
    low, high = wilson(hits, len(paid))
    # what is won of one day may hang together, which Wilson's interval does not see
    days = clustered_mean([won - cost for (_, won), cost in zip(paid, costs, strict=True)], [one.ts // DAY_NS for one, _ in paid])
    return {
        "n": len(paid),
        "hits": hits,
        "share": hits / len(paid) if paid else None,
        "low": low,
        "high": high,
        "days": days["clusters"],
        "value_low": days["low"],
        "value_high": days["high"],
        "hurdle": sum(costs) / len(costs) if costs else None,
        "ask": sum(one.ask for one, _ in paid) / len(paid) if paid else None,
        "value": sum(won - cost for (_, won), cost in zip(paid, costs, strict=True)) / len(paid) if paid else None,
    }


def _brier(judged: Sequence[tuple[Fire, bool]]) -> dict[str, Any]:
    """Of our probability and of the book's mid, over the same fires: does the book know already?"""
    both = [(one, won) for one, won in judged if not isnan(one.mid) and not isnan(one.probability)]
    ours = [(one.probability - won) ** 2 for one, won in judged if not isnan(one.probability)]
    pairs = [((one.probability - won) ** 2, (one.mid - won) ** 2) for one, won in both]
    test = mean_test([mine - theirs for mine, theirs in pairs])
    return {
        "n": len(pairs),
        "ours": sum(a for a, _ in pairs) / len(pairs) if pairs else sum(ours) / len(ours) if ours else None,
        "n_ours": len(ours),
        "book": sum(b for _, b in pairs) / len(pairs) if pairs else None,
        "difference": test.get("mean"),
        "low": test.get("low"),
        "high": test.get("high"),
    }


def _repricing(watches: Sequence[Watch]) -> dict[str, Any]:
    seen = [one for one in watches if not isnan(one.gap)]
    late = [one.seconds for one in seen if one.seconds > 0.0]
    return {
        "n": len(seen),
        "of": watches[0].of if watches else "",
        "at_once": sum(one.seconds == 0.0 for one in seen),
        "later": len(late),
        "never": sum(isnan(one.seconds) for one in seen),
        "median_s": median(late) if late else None,
        "gap": sum(one.gap for one in seen) / len(seen) if seen else None,
    }


def _shift(judged: Sequence[tuple[Fire, bool]]) -> dict[str, Any]:
    """The correction of the probability that these hours would give, for `liqcore bet --deviations --hours` on LATER hours: it has seen these."""
    rows = [
        {
            "price": one.price,
            "open": one.open,
            "side": one.side,
            "won": won,
            "volatility": one.volatility,
            "left_s": (hour_of(one.ts) + HOUR - one.ts) / NS,
        }
        for one, won in judged
        if one.price > 0.0 and one.open > 0.0
    ]
    found = measured_shift(rows)
    return {"deviations": found.deviations, "hours": found.hours, "calibrated": found.calibrated}


def _bets(bets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "settled": len(bets),
        "won": sum(bool(one["won"]) for one in bets),
        "profit": sum(float(one["profit"]) for one in bets),
        "fees": sum(float(one["fee"]) for one in bets),
    }


def _verdict(out: Mapping[str, Any]) -> tuple[str, str]:
    a, h, base = out["against_ask"], out["hit_rate"], out["all_hours"]["share"]
    if not out["fires"]:
        return UNKNOWN, "This idea does not clear its hurdle: its rule never fired."
    if not h["n"]:
        return UNKNOWN, "This idea does not clear its hurdle: no fire is in an hour with a known candle."
    if not a["n"]:
        worse = base is not None and h["high"] < base
        return (BELOW if worse else UNKNOWN), (
            "This idea does not clear its hurdle: its hit rate is below that of all hours."
            if worse
            else "It is not known whether this idea clears its hurdle: the hurdle is the ask with its fee, and no asks were recorded at its fires."
            + (" It is not shown to be better than all hours either." if base is not None and h["low"] <= base else "")
        )
    text = f"{a['hits']} of {a['n']} bets were right (95 %: {a['low']:.1%} to {a['high']:.1%}); ask and fee cost {a['hurdle']:.1%}"
    if a["low"] > a["hurdle"] and a["n"] >= FEW and a["value_low"] is not None and a["value_low"] > 0.0:
        return CLEARS, f"This idea clears its hurdle: {text}."
    if a["high"] < a["hurdle"]:
        return BELOW, f"This idea does not clear its hurdle: {text}."
    if a["low"] > a["hurdle"] and a["n"] >= FEW:
        by_day = "that is too few" if a["value_low"] is None else f"the value of a share is {a['value_low']:+.3f} to {a['value_high']:+.3f}"
        return OPEN, (
            f"This idea does not clear its hurdle: an advantage is not shown. {text}; but these are bets of {a['days']} days, and with "
            f"errors by day {by_day}."
        )
    edge = (a["share"] or 0.0) - a["hurdle"]
    more = f" At the same rate, about {bets_to_show(a['share'], a['hurdle']):,} bets would show it." if edge > 0.0 else ""
    return OPEN, f"This idea does not clear its hurdle: an advantage is not shown. {text}.{more}"


def bets_to_show(share: float, hurdle: float) -> int:
    """The fewest bets of which this share of hits, above the hurdle, has Wilson's whole interval above it."""
    # Wilson's lower end is the rate at which such a share would be Z standard errors away: the errors of that rate, not of the share
    return max(FEW, floor(Z * Z * hurdle * (1.0 - hurdle) / (share - hurdle) ** 2) + 1)


def _not_known(out: Mapping[str, Any], without_ask: int) -> list[str]:
    said = []
    if out["settled_on"] != "spot candles":
        said.append(f"the spot candles that the market settles on: {out['settled_on']} stand in for them")
    if without_ask:
        said.append(f"the ask at {without_ask} of {out['hit_rate']['n']} fires: no book was recorded then")
    if not out["brier"]["n"]:
        said.append("whether the book had already moved: no mid was recorded at a fire with a probability")
    if not out["repricing"]["n"]:
        said.append("how late the book reprices: no book was recorded after the end of a flush")
    return said


def text_of(found: Mapping[str, Any]) -> str:
    """For a terminal."""
    lines = [found["sentence"], *(f"  {name:<16} {value}" for name, value in _lines(found))]
    return "\n".join([*lines, *(f"  not known: {one}" for one in found["not_known"])])


def page(found: Mapping[str, Any]) -> str:
    """As a page."""
    body = section("What was measured", table(("what", "found"), _lines(found)))
    if found["not_known"]:
        body += section("What is not known", paragraphs(found["not_known"]))
    return document("The hourly bet", body, verdict=found["sentence"])


def _lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    h, a, b, r, p = (found[key] for key in ("hit_rate", "against_ask", "brier", "repricing", "bets"))

    def share(x: float | None) -> str:
        return "–" if x is None else f"{x:.1%}"

    def number(x: float | None) -> str:
        return "–" if x is None else f"{x:.4f}"

    rows = [
        ("fires", f"{found['fires']} in {found['hours_with_fire']} hours; {found['unsettled']} hours without a candle"),
        ("hit rate", f"{share(h['share'])} of {h['n']} (95 %: {h['low']:.1%} to {h['high']:.1%})"),
        ("all hours", f"{share(found['all_hours']['share'])} of {found['all_hours']['n']}, the same side"),
        (
            "against the ask",
            f"{share(a['share'])} of {a['n']} (95 %: {a['low']:.1%} to {a['high']:.1%}); mean ask {share(a['ask'])}, with fee "
            f"{share(a['hurdle'])}; value a share {number(a['value'])}"
            if a["n"]
            else "–",
        ),
        (
            "Brier",
            f"ours {number(b['ours'])}, the book's mid {number(b['book'])} over {b['n']} fires; difference {number(b['difference'])} "
            f"(95 %: {number(b['low'])} to {number(b['high'])})"
            if b["n"]
            else f"ours {number(b['ours'])} over {b['n_ours']} fires",
        ),
        (
            "repricing",
            f"{r['n']} ends of flushes ({r['of']}): {r['at_once']} priced at once, {r['later']} later "
            f"(median {'–' if r['median_s'] is None else format(r['median_s'], '.1f')} s), {r['never']} never; mean gap {number(r['gap'])}"
            if r["n"]
            else "–",
        ),
        (
            "shift",
            f"{found['shift']['deviations']:+.3f} standard deviations over {found['shift']['hours']} hours, for later hours"
            + ("" if found["shift"]["calibrated"] else "; fewer than 100: no evidence"),
        ),
        ("bets", f"{p['settled']} settled, {p['won']} won, {p['profit']:+.2f} pUSD after {p['fees']:.2f} of fees" if p["settled"] else "none"),
    ]
    if found["venue_differs"]:
        rows.append(("settlement", f"the venue paid a side other than the candle's in {found['venue_differs']} hours; its payment counts"))
    return rows


def report(paths: Sequence[Path], books: Sequence[Path], candles: Path | None, asset: str, symbols: Sequence[str]) -> dict[str, Any]:
    """The evaluation of data (fires) and binary recordings (asks, candles); either may be missing."""
    data = feature_rows.open_data(paths, symbols) if paths else None
    each = fires_by_contract(data, asset) if data is not None else {}
    given = sorted({fire for found in each.values() for fire in found}) if data is not None else None
    ended = exhaustions_of(data, asset) if data is not None else []
    found = [read_books(folder, given, ended) for folder in books]
    spot = {hour: row for one in found for hour, row in one.candles.items()} | (read_candles(candles) if candles is not None else {})
    settled_on = "spot candles"
    # recordings of the same time have seen the same: each counts once, where it was seen best
    seen_fires = sorted((one for book in found for one in book.fires), key=lambda one: not isnan(one.ask))
    fires = list({(one.ts, one.side): one for one in seen_fires}.values())
    if data is not None and given is not None:
        own = traded_hours(data, asset)
        if not spot:
            spot, settled_on = own, "hours of the contract's own trades"
        rest = unseen(given, found)
        prices = prices_at(data, [ts for ts, _ in rest], asset)
        fires += with_probability([(ts, side, price) for (ts, side), price in zip(rest, prices, strict=True)], own)
    notes = [
        *(data.notes if data is not None else ()),
        *_contracts_note(each),
        *(f"damaged: {one}" for book in found for one in book.damage),
        *_refused_notes(dict.fromkeys(why for book in found for why in book.refused)),
    ]
    watches = list(
        {(one.ts, one.side): one for one in sorted((one for book in found for one in book.watches), key=lambda one: not isnan(one.gap))}.values()
    )
    paid = {hour: up for book in found for hour, up in book.paid.items()}
    bets = {(one["made_ns"], one["number"]): one for book in found for one in book.settled}
    return evaluate(fires, spot, watches, settled_on, list(bets.values()), paid) | {
        "notes": notes,
        "alarms": sum(book.alarms for book in found),
        "fired": [_row(one) for one in fires],
    }


def unseen(given: Iterable[tuple[int, int]], books: Iterable[Books]) -> list[tuple[int, int]]:
    """Fires that no recording has seen: also one before a recording that began in its hour, which was the first of that hour all the same."""
    seen = {(one.ts, one.side) for book in books for one in book.fires}
    return [one for one in given if one not in seen]


def _refused_notes(refused: Collection[str]) -> list[str]:
    more = len(refused) - REFUSED_SHOWN
    return [f"not bet on, and without asks here: {why}" for why in list(refused)[:REFUSED_SHOWN]] + ([f"and {more} more"] if more > 0 else [])


def _contracts_note(each: Mapping[str, Sequence[tuple[int, int]]]) -> list[str]:
    """Whose fires these are."""
    if len(each) < 2:
        return []
    counts = ", ".join(f"{key} {len(found)}" for key, found in each.items())
    return [f"fires of all contracts count: {counts}; prices and hours, where no spot candle has them, are those of {next(iter(each))}"]


def _row(one: Fire) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and isnan(value) else value for key, value in asdict(one).items()}
