"""The requirements of the paper gate and of the go-live gate, and the verdicts. Those of the scale gate: scale.py."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from liqshell.gate.evidence import Evidence, Opened, gather, once
from liqshell.gate.exits import PROTECT_S, Fault
from liqshell.gate.items import FAIL, PASS, THIN, Item, counted, flawless, inside, of_share, share_inside
from liqshell.gate.scale import SCALE, scale_items
from liqshell.report.coverage import rate
from liqshell.report.statistics import mean_test, wilson
from liqshell.report.text import millis, number, percent, plural, when

PAPER, LIVE = "paper", "live"
STABLE_H = 24.0
DAYS_LEAST = 7.0  # "1-2 weeks"
CASCADES = (5.0, 9.0)  # a day and contract: claimed. It is a rate of days without data, too, and no measure
SAME = (0.5, 2.0)  # so many times the rate of the user's own record
ORDER_S, ORDER_SHARE = 3.0, 0.95
FILLS = (0.5, 0.8)
FADES = ("fade", "fade-btc")
WINS = 0.65  # more than the claimed 75 % is no fault
CASES = 30  # of each kind that has to be flawless
FEE_BPS = 2.0
STOP_BPS = 5.0  # no written number: a third of the take-profit
SIZE_FACTOR = 2.0  # "minimum size": one step of rounding above the smallest order


@dataclass(frozen=True, slots=True)
class Gate:
    """The items of the gates, and what they come to. excluded: runs that count for nothing, and why. own: cascades against the user's other runs."""

    items: tuple[Item, ...]
    runs: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]
    rehearsal: bool = False

    def verdict(self, source: str) -> str:
        """PASS only where every item of the source passed; FAIL where one failed."""
        found = [item.verdict for item in self.items if item.source == source]
        return FAIL if FAIL in found else PASS if found and set(found) == {PASS} else THIN

    def as_dict(self) -> dict[str, Any]:
        return {
            "paper": self.verdict(PAPER),
            "live": self.verdict(LIVE),
            "scale": {item.id.partition(".")[2]: item.verdict for item in self.items if item.source == SCALE},
            "rehearsal": self.rehearsal,
            "runs": list(self.runs),
            "excluded": [{"run": name, "why": why} for name, why in self.excluded],
            "items": [asdict(item) for item in self.items],
        }


def evaluate(runs: Sequence[Opened], *, against: Sequence[Opened] = (), prove: Any = None, rehearsal: bool = False) -> Gate:
    """Fill in both gates. against: runs of the user's own record, whose rate of cascades the others are compared with. prove: see gather()."""
    known: set[bytes] = set()
    runs = once(runs, known)
    ours = [one for one in runs if one.counts]
    detectors = [one.run.table("settings").get("cascade") for one in ours]
    against = [
        replace(one, use="a record by another cascade detector")
        if one.counts and detectors and one.run.table("settings").get("cascade") not in detectors
        else one
        for one in once(against, known)
    ]
    paper = gather([one for one in ours if one.use == "paper"], prove)
    live = gather([one for one in ours if one.use == "live"], prove, paper)
    record = gather([one for one in against if one.counts], None, paper, live)
    excluded = [(one.name, one.use) for one in [*runs, *against] if not one.counts]
    return Gate((*fill_in(paper, live, record), *scale_items(live)), tuple(one.name for one in ours), tuple(excluded), rehearsal)


def fill_in(paper: Evidence, live: Evidence, record: Evidence) -> tuple[Item, ...]:
    """Every item of the paper and the go-live gate. The feed is the same whatever took the orders: paper and live runs count together there."""
    return (
        *_feed_items(paper, live),
        *_cascades(paper, live, record),
        _latency(paper, PAPER),
        *_orders(paper),
        *_exit_items(paper, PAPER),
        *_machinery(paper, PAPER),
        *_go_live(paper, live),
        _latency(live, LIVE),
        *_exit_items(live, LIVE),
        *_machinery(live, LIVE),
    )


def _feed_items(paper: Evidence, live: Evidence) -> Iterator[Item]:
    stretches = sorted([*paper.stretches, *live.stretches])
    longest, hours, reconnects = (stretches[-1] if stretches else 0.0), paper.hours + live.hours, paper.reconnects + live.reconnects
    verdict = PASS if longest >= STABLE_H else FAIL if hours >= 3 * STABLE_H else THIN
    yield Item(
        "feed",
        PAPER,
        "The feed is stable",
        f"{STABLE_H:g} h without a gap",
        f"longest {longest:.1f} h of {hours:.1f} h; {plural(reconnects, 'reconnect')}",
        verdict,
        len(stretches),
        longest,
        unit="h",
        note="A reconnect is a gap: the venue does not send the missed events again.",
    )


def _cascades(paper: Evidence, live: Evidence, record: Evidence) -> Iterator[Item]:
    required = f"{SAME[0]:g} to {SAME[1]:g} times the rate of your own record, over {DAYS_LEAST:g} days at least"
    symbols = sorted({*paper.covered, *live.covered})
    if not symbols:
        yield Item("cascades", PAPER, "Cascades a day", required, "", THIN)
    for symbol in symbols:
        twice = live.beside.get(symbol, (0.0, 0))
        hours = paper.covered.get(symbol, 0.0) + live.covered.get(symbol, 0.0) - twice[0]
        k = paper.cascades.get(symbol, 0) + live.cascades.get(symbol, 0) - twice[1]
        found = rate(k, hours)
        a_day, low, high = ((value * 24 if value is not None else None) for value in (found["per_hour"], found["low"], found["high"]))
        numbers, verdict = _against(symbol, k, hours, record)
        yield Item(
            f"cascades.{symbol}",
            PAPER,
            f"Cascades of {symbol} a day",
            required,
            f"{number(a_day)} a day, {k} in {hours / 24:.1f} days; {numbers}",
            verdict if hours >= 24 * DAYS_LEAST else THIN,
            k,
            a_day,
            low,
            high,
            f"The documented system claims {CASCADES[0]:g} to {CASCADES[1]:g} for its own feed and days. This row compares "
            "your feed with your own record.",
            "a day",
        )


def _against(symbol: str, k: int, hours: float, record: Evidence) -> tuple[str, str]:
    """The rate against that of the record, where that covers other hours: the share of all cascades that fell into ours is binomial for two Poisson
    rates."""
    apart = record.beside.get(symbol, (0.0, 0))
    before, then = record.cascades.get(symbol, 0) - apart[1], record.covered.get(symbol, 0.0) - apart[0]
    if then <= 0.0 or hours <= 0.0 or not k + before:
        return "no own record of other days to compare with (--against)", THIN
    low, high = (share / (1.0 - share) * then / hours if share < 1.0 else math.inf for share in wilson(k, k + before))
    return (
        f"{number(low)} to {number(high)} times your record ({before / then * 24:.2f} a day, {before} in {then / 24:.1f} days)",
        inside(low, high, *SAME),
    )


def _seconds(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return (
        "p50 {}, p95 {}, largest {}".format(
            *(millis(v * 1e3) for v in (ordered[(len(ordered) - 1) // 2], ordered[math.ceil(0.95 * len(ordered)) - 1], ordered[-1]))
        )
        if ordered
        else ""
    )


def _latency(found: Evidence, source: str) -> Item:
    n, fast = len(found.reaction_s), sum(value <= ORDER_S for value in found.reaction_s)
    verdict, value, low, high = share_inside(fast, n, ORDER_SHARE)
    measured = f"{percent(value)} of {n}; {_seconds(found.reaction_s)}" if n else ""
    note = f"Detection {_seconds(found.detection_s) or 'not measured'}; then to the acknowledgement {_seconds(found.answer_s) or 'not measured'}" + (
        ": the model's latency ([paper] order_latency_ms), not the venue's." if source == PAPER else "."
    )
    return Item(
        "live.latency" if source == LIVE else "latency",
        source,
        "Orders are fast",
        f"within {ORDER_S:g} s of the venue's second large liquidation, {percent(ORDER_SHARE, 0)} of them",
        measured,
        verdict,
        n,
        value,
        low,
        high,
        note,
        "share",
    )


def _orders(paper: Evidence) -> Iterator[Item]:
    """The written ranges are those of the fade: where several presets traded, each contract is judged by its own preset's, or by none."""
    if len({preset for _, preset in paper.by}) < 2:
        yield from _shares("", "", [paper.placed, paper.filled, paper.trips, paper.won])
        return
    for (symbol, preset), counts in sorted(paper.by.items()):
        if preset in FADES:
            yield from _shares(f".{symbol}", f" ({symbol}, {preset})", counts)


def _shares(where: str, whose: str, counts: Sequence[int]) -> Iterator[Item]:
    placed, filled, trips, won = counts
    yield of_share(
        f"fills{where}",
        PAPER,
        f"Entries are filled{whose}",
        f"{percent(FILLS[0], 0)} to {percent(FILLS[1], 0)}",
        filled,
        placed,
        *FILLS,
        "On paper, by the fill model of the run. Compare with live fills before you rely on it.",
    )
    yield of_share(
        f"wins{where}",
        PAPER,
        f"Trades are won{whose}",
        f"{percent(WINS, 0)} at least (75 % is claimed), after fees",
        won,
        trips,
        WINS,
        note="The win rate alone does not show the result: a stop loses more than a target gains.",
    )


def _faults(faults: Sequence[Fault]) -> str:
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return "; ".join(f"{fault.symbol} {when(fault.ts)}: {fault.what}" for fault in faults[:3]) + more


def _exit_items(found: Evidence, source: str) -> Iterator[Item]:
    prefix = "live.exits" if source == LIVE else "exits"
    for side, name in ((1, "long"), (-1, "short")):
        faults, n = found.exit_faults[side], found.exits[side]
        yield Item(
            f"{prefix}.{name}",
            source,
            f"Take-profit and stop are right for {name} trades",
            f"both at the right price and quantity, and a stop within {PROTECT_S:g} s: no fault in {CASES}",
            (_faults(faults) or f"no fault in {n}") if n else "",
            flawless(len(faults), n, CASES),
            n,
            *counted(len(faults), n),
            "Recomputed from the fills and the configured fractions, independently of the engine.",
            "faults",
        )
    yield Item(
        f"{prefix}.reduce_only",
        source,
        "Exits can only reduce",
        f"every exit order reduce-only: no fault in {CASES}",
        (_faults(found.reduce_faults) or f"no fault in {found.exit_orders}") if found.exit_orders else "",
        flawless(len(found.reduce_faults), found.exit_orders, CASES),
        found.exit_orders,
        *counted(len(found.reduce_faults), found.exit_orders),
        unit="faults",
    )


def _machinery(found: Evidence, source: str) -> Iterator[Item]:
    prefix = "live." if source == LIVE else ""
    yield Item(
        f"{prefix}limits",
        source,
        "Cooldown and limits work",
        f"no breach in {CASES} brackets, {CASES // 3} of them consecutive",
        (_faults(found.limit_faults) or f"no breach in {found.brackets} brackets, {found.pairs} of them consecutive on the contract")
        if found.brackets
        else "",
        flawless(len(found.limit_faults), min(found.brackets, 3 * found.pairs), CASES),
        found.brackets,
        *counted(len(found.limit_faults), found.brackets),
        "Recomputed from the records: one bracket a contract, cooldown, number, rate, size, halts.",
        "faults",
    )
    bad = [f"{name}: {what}" for name, identical, what in found.replays if not identical]
    same = sum(identical is True for _, identical, _ in found.replays)
    verdict = FAIL if any(identical is False for _, identical, _ in found.replays) else PASS if same and same == found.runs else THIN
    yield Item(
        f"{prefix}log",
        source,
        "Every event is logged",
        "every run replays to the same records, byte for byte",
        "; ".join(bad) if bad else f"{plural(same, 'run')} identical" if same else "",
        verdict,
        same,
    )


def _go_live(paper: Evidence, live: Evidence) -> Iterator[Item]:
    symbols, days = sorted(live.covered), max(live.days.values(), default=0.0)
    small = [size <= SIZE_FACTOR * least for size, least in live.sizes]
    wrong = len(symbols) > 1 or not all(small)
    measured = f"{', '.join(symbols)}: {days:.1f} days, {sum(small)} of {plural(len(small), 'trade')} at minimum size" if live.runs else ""
    yield Item(
        "live.week",
        LIVE,
        "One contract at minimum size",
        f"1 contract, {DAYS_LEAST:g} days, no trade above {SIZE_FACTOR:g} times the smallest order",
        measured,
        FAIL if wrong else PASS if days >= DAYS_LEAST and small else THIN,
        len(small),
        days,
        unit="d",
    )
    yield _live_fills(paper, live)
    fees = live.fees_bps
    test = mean_test(fees) if fees else None
    over = [fee for fee in fees if fee > FEE_BPS * 1.02]  # rounding of the fee itself
    yield Item(
        "live.maker_fee",
        LIVE,
        "The maker fee is as expected",
        f"0 to {FEE_BPS:g} bps on every maker fill, {CASES} at least",
        f"{number(test['mean'])} bps on average, largest {number(max(fees))}, {plural(len(fees), 'fill')}" if test else "",
        FAIL if over else PASS if len(fees) >= CASES else THIN,
        len(fees),
        *((test["mean"], test["low"], test["high"]) if test else (None,) * 3),
        "As paid, by the venue's executions.",
        "bps",
    )
    yield of_share("live.targets", LIVE, "Take-profits are filled as maker", "90 % at least", live.targets_maker, live.targets, 0.9)
    lost = live.stop_bps
    test = mean_test(lost) if lost else None
    low, high = (test["low"], test["high"]) if test else (None, None)
    verdict = inside(low, high, -math.inf, STOP_BPS) if len(lost) >= CASES else THIN
    yield Item(
        "live.stops",
        LIVE,
        "Stops do not slip",
        f"at most {STOP_BPS:g} bps beyond the trigger on average, {CASES} at least",
        f"{number(test['mean'])} bps, worst {number(max(lost))}, {plural(len(lost), 'stop')}" if test else "",
        verdict,
        len(lost),
        test["mean"] if test else None,
        low,
        high,
        "The documented system gives no number; this limit is a third of its take-profit.",
        "bps",
    )


def _live_fills(paper: Evidence, live: Evidence) -> Item:
    """The difference of two shares with Newcombe's interval (1998, method 10): each share's own Wilson limits."""
    required = f"the same share as on paper, within 20 points, {CASES} entries each"
    if not live.placed or not paper.placed:
        return Item("live.fills", LIVE, "Live fills are as on paper", required, "", THIN, live.placed)
    p, q = live.filled / live.placed, paper.filled / paper.placed
    (p_low, p_high), (q_low, q_high) = wilson(live.filled, live.placed), wilson(paper.filled, paper.placed)
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    enough = min(live.placed, paper.placed) >= CASES
    return Item(
        "live.fills",
        LIVE,
        "Live fills are as on paper",
        required,
        f"{percent(p)} of {live.placed} live, {percent(q)} of {paper.placed} on paper: {percent(p - q, sign=True)}",
        inside(low, high, -0.2, 0.2) if enough else THIN,
        live.placed,
        p - q,
        low,
        high,
        unit="share",
    )
