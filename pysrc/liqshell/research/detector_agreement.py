"""Agreement of detectors: episodes of any number of them on one data set, their rates, and the cascades they share.

An episode goes from the first ACTIVE signal of a sequence to its EXHAUSTED one. One of A agrees where an episode of B on the same instrument, widened
by a tolerance, overlaps it. What chance would give is measured: the same with A's episodes shifted around the time that the feed covered (in a gap
neither can have any). Venues are never added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.detectors.registry import KINDS
from liqshell.config.components import make_detector, parameters_of
from liqshell.errors import ConfigError, DataError
from liqshell.formats.event_tables import is_table, read_tables
from liqshell.formats.reading import COMPLETENESS, UNKNOWN, tick_for
from liqshell.plugins import DETECTOR, is_file
from liqshell.plugins import names as plugin_names
from liqshell.recording.marks import outages, union
from liqshell.report.coverage import rate, share
from liqshell.research.compare.plan import read as read_config

TOLERANCE_S = 60.0
SHIFTS = 7  # what chance gives: the mean over A shifted by eighths of the covered time
HOUR_NS = 3600 * lc.SECOND
#: what a throttled feed spoils: counts and sums saturate exactly when a cascade begins (venues.md 0.3)
COUNTING = ("cascade", "anomaly", "dollar", "imbalance", "rate", "hawkes")
QUIET = ("bars", "zone")  # not about how much is liquidated now: they take no part unless asked for

DetectorSpec = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """A feed to detect on: events in order of receipt, and the time that they cover."""

    events: np.ndarray
    instruments: tuple[lc.Instrument, ...]
    start_ns: int
    end_ns: int
    source: str
    synthetic: bool = False
    notes: list[str] = field(default_factory=list)

    def gaps(self, n: int) -> list[tuple[int, int]]:
        """Spans (ns) that the feed of an instrument did not cover."""
        marks = self.events[(self.events["kind"] == lc.Kind.FEED) & np.isin(self.events["instrument"], (-1, n))]
        return union(
            outages(((max(self.start_ns, int(e["ts_event"])), int(e["ts_recv"]), int(e["code"]), int(e["flags"])) for e in marks), self.end_ns)
        )

    def hours(self, n: int) -> float:
        """Hours that the feed of an instrument covered."""
        return max(0.0, (self.end_ns - self.start_ns - sum(b - a for a, b in self.gaps(n))) / HOUR_NS)


@dataclass(frozen=True)
class Episode:
    instrument: int
    side: int
    ts: int  # when it became ACTIVE
    end: int
    threshold: float


# ---- what is read ----


def read_data(paths: Sequence[Path], dense: bool = True) -> Data:
    """Event tables (several are merged), or one store, folder of a run, recording, or file that `liqcore import` reads. dense: with trades and
    quotes, which are nearly all of the rows; see wants_dense."""
    for path in paths:
        if not path.exists():
            raise ConfigError(str(path), "no such file or folder", "event tables, a store, a run, or a recording")
    tables = [path for path in paths if path.is_file() and is_table(path) and _has_columns(path)]
    if tables and len(tables) == len(paths):
        return _of_tables(tables)
    if len(paths) != 1:
        raise DataError(
            ", ".join(map(str, paths)),
            f"{len(paths)} paths of which {len(tables)} are event tables",
            "one store, run or recording; or event tables only",
            "Import several recordings into a store first: liqcore import FILES --store DIR",
        )
    from liqshell.backtest.history import load_history

    history = load_history(read_config(paths[0]), trades=False)
    rare = history.tape.rare
    events = history.tape.events() if dense else rare.take(np.lexsort((rare["instrument"], rare["ts_recv"])))
    return Data(events, history.instruments, history.start_ns, history.end_ns, history.source, history.synthetic, notes=list(history.problems))


def wants_dense(specs: Sequence[DetectorSpec]) -> bool:
    """Whether one of these detectors looks at trades or quotes, or takes notionals at the last trade."""
    return any(d.wants & (1 << lc.Kind.TRADE | 1 << lc.Kind.BBO) or d.as_dict().get("notional") == "last" for d in make_detectors(specs))


def _has_columns(path: Path) -> bool:
    try:
        read_tables([path])
    except DataError as why:
        return "missing column" not in why.found
    return True


def _of_tables(paths: Sequence[Path]) -> Data:
    """Silences as in a store made of them."""
    from liqshell.backtest.history import History, with_gaps

    table = read_tables(list(paths))
    events = table.events
    _, first = np.unique(events["instrument"], return_index=True)
    classes = [lc.Completeness["COMPLETENESS_" + COMPLETENESS.get(venue, UNKNOWN)] for venue in table.venues]
    instruments = tuple(
        lc.Instrument(symbol, venue=venue, tick_size=tick_for(float(price)), completeness=completeness)
        for symbol, venue, price, completeness in zip(table.symbols, table.venues, events["price"][first], classes, strict=True)
    )
    notes = [f"skipped rows: {count} of {table.rows}: {reason}" for reason, count in table.skipped.most_common()]
    builder = lc.TapeBuilder(instruments)
    builder.push(events)
    notes += [f"refused events: {count}: {reason.name}" for reason, count in builder.refused.items()]
    history = with_gaps(History(lc.Tape(instruments, builder.take()), int(events["ts_recv"][0]), int(events["ts_recv"][-1]) + 1, "", ""))
    return Data(history.tape.events(), instruments, history.start_ns, history.end_ns, ", ".join(p.name for p in paths), notes=notes)


def parse(texts: Iterable[str]) -> list[DetectorSpec]:
    """--detector NAME=KIND,param=value,... (or KIND,...: the kind is the name) -> arguments of make_detector. None given: all kinds but bars and
    zone."""
    out: list[DetectorSpec] = []
    for text in texts:
        head, *rest = text.split(",")
        name, _, kind = head.rpartition("=")
        spec: DetectorSpec = {"kind": kind.strip(), "name": name.strip() or kind.strip()}
        if spec["kind"] not in KINDS and not is_file(spec["kind"]) and spec["kind"] not in plugin_names(DETECTOR):
            raise ConfigError(
                f"--detector {text}", f"no detector kind {spec['kind']!r}", f"NAME=KIND,param=value; KIND one of {', '.join(KINDS)}, or file.py:Class"
            )
        table = {p.name: p for p in parameters_of(spec["kind"], f"--detector {text}")}
        for part in rest:
            key, eq, value = (item.strip() for item in part.partition("="))
            if not eq or key not in table:
                raise ConfigError(f"--detector {text}", f"{part!r}", f"param=value; {spec['kind']} has {', '.join(table) or 'no parameters'}")
            spec[key] = value if table[key].choices else _number(value, text)
        out.append(spec)
    names = [spec["name"] for spec in out]
    if len(set(names)) != len(names):
        raise ConfigError("--detector", f"the same name twice: {', '.join(names)}", "each its own: NAME=KIND,param=value")
    out = out or [{"kind": kind, "name": kind} for kind in KINDS if kind not in QUIET]
    make_detectors(out)
    return out


def _number(value: str, text: str) -> float:
    try:
        return int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        raise ConfigError(f"--detector {text}", f"{value!r}", "a number such as 5000000 or 5e6") from None


def make_detectors(specs: Sequence[DetectorSpec]) -> list[Any]:
    try:
        return [make_detector(**one) for one in specs]
    except (ValueError, TypeError) as why:
        raise ConfigError("--detector", str(why)) from why


# ---- episodes ----


def episodes_of(data: Data, specs: Sequence[DetectorSpec]) -> tuple[list[list[Episode]], lc.Engine]:
    """The episodes of each detector, all in one engine, in the order of `specs`; and the engine, which counts refused events."""
    engine = lc.Engine(data.instruments, detectors=make_detectors(specs))
    out: list[list[Episode]] = [[] for _ in specs]
    running: dict[tuple[int, int, int], lc.Signal] = {}
    bars = [one["kind"] == "bars" for one in specs]

    def close(key: tuple[int, int, int], end: int) -> None:
        s = running.pop(key)
        out[key[0]].append(Episode(s.instrument, int(s.side), s.ts, end, s.threshold))

    for s in [*engine.run(data.events), *engine.advance(max(data.end_ns, engine.now))]:
        key = (s.detector - 1, s.instrument, s.sequence)
        if s.phase == lc.Phase.ACTIVE:
            running.setdefault(key, s)
            if bars[s.detector - 1]:
                close(key, s.ts)
        elif s.phase == lc.Phase.EXHAUSTED and key in running:
            close(key, s.ts)
    for key in list(running):  # still running at the end, or forgotten in a gap
        later = [s.ts for k, s in running.items() if k[:2] == key[:2] and k[2] > key[2]]
        close(key, min([data.end_ns, running[key].ts + HOUR_NS, *later]))
    return [sorted(found, key=lambda e: (e.ts, e.instrument)) for found in out], engine


def matched(a: Sequence[Episode], b: Sequence[Episode], tolerance_ns: int, shift: int = 0, span: tuple[int, int] = (0, 1)) -> tuple[int, int]:
    """How many episodes of A overlap one of B on their instrument, and how many of those one of the same side. shift: A moved, around the end of
    span."""
    starts: dict[int, np.ndarray] = {}
    ends: dict[int, np.ndarray] = {}
    sides: dict[int, np.ndarray] = {}
    for n in {e.instrument for e in b}:
        own = [e for e in b if e.instrument == n]
        starts[n], ends[n] = np.array([e.ts for e in own]) - tolerance_ns, np.array([e.end for e in own]) + tolerance_ns
        sides[n] = np.array([e.side for e in own])
    hit = same = 0
    for e in a:
        if e.instrument not in starts:
            continue
        at = span[0] + (e.ts - span[0] + shift) % (span[1] - span[0]) if shift else e.ts
        touch = (starts[e.instrument] <= at + e.end - e.ts) & (ends[e.instrument] >= at)
        hit += bool(touch.any())
        same += bool((touch & (sides[e.instrument] == e.side)).any())
    return hit, same


def agreement(data: Data, specs: Sequence[DetectorSpec], tolerance_s: float = TOLERANCE_S) -> dict[str, Any]:
    """Rates and agreement matrix of each venue, as plain data (what --json prints)."""
    found, engine = episodes_of(data, specs)
    tolerance = round(tolerance_s * lc.SECOND)
    spans, packed = packed_of(data, found)
    venues = []
    for venue in sorted({i.venue for i in data.instruments}):
        inside = {n for n, i in enumerate(data.instruments) if i.venue == venue}
        hours = sum(data.hours(n) for n in inside)
        classes = sorted({data.instruments[n].completeness.name.removeprefix("COMPLETENESS_") for n in inside})
        own = [[e for e in episodes if e.instrument in inside] for episodes in found]
        rows = [
            {
                "detector": one["name"],
                "kind": one["kind"],
                **rate(len(es), hours),
                "active_share": sum(e.end - e.ts for e in es) / (hours * HOUR_NS) if hours else None,
            }
            for one, es in zip(specs, own, strict=True)
        ]
        close = [[e for e in episodes if e.instrument in inside] for episodes in packed]
        pairs = [
            _pair(specs[i]["name"], specs[j]["name"], own[i], own[j], tolerance) | {"by_chance": _by_chance(close[i], close[j], tolerance, spans)}
            for i in range(len(specs))
            for j in range(len(specs))
            if i != j
        ]
        events = data.events[np.isin(data.events["instrument"], list(inside)) & (data.events["kind"] == lc.Kind.LIQUIDATION)]
        venues.append(
            {
                "venue": venue,
                "completeness": classes,
                "instruments": len(inside),
                "liquidations": len(events),
                "covered_hours": hours,
                "detectors": rows,
                "pairs": pairs,
            }
        )
    return {
        "source": data.source,
        "synthetic": data.synthetic,
        "start_ns": data.start_ns,
        "end_ns": data.end_ns,
        "tolerance_s": tolerance_s,
        "settings": [d.as_dict() for d in engine.detectors],
        "venues": venues,
        "warnings": warnings(data, specs),
        "notes": [*data.notes, *(f"refused events: {count}: {reason.name}" for reason, count in engine.refused.items()), *full_windows(engine)],
    }


def full_windows(engine: lc.Engine) -> list[str]:
    """Which detectors knew a burst from below only."""
    return [
        f"detector {d.name}: its window was full and dropped {d.dropped:,} liquidations early; give it more window_events"
        for d in engine.detectors
        if d.dropped
    ]


def packed_of(data: Data, found: Sequence[Sequence[Episode]]) -> tuple[dict[int, int], list[list[Episode]]]:
    """Covered ns of each instrument, and the episodes with times in ns of covered time."""
    spans, gaps = {}, {}
    for n in range(len(data.instruments)):
        missing = np.array(data.gaps(n), np.int64).reshape(-1, 2)
        gaps[n] = missing, np.concatenate([[0], np.cumsum(missing[:, 1] - missing[:, 0])])
        spans[n] = max(1, data.end_ns - data.start_ns - int(gaps[n][1][-1]))

    def packed(n: int, ts: int) -> int:
        missing, before = gaps[n]
        k = int(np.searchsorted(missing[:, 0], ts, "right"))  # gaps that begin before
        inside = max(0, int(missing[k - 1, 1]) - ts) if k else 0  # of the last one, what is still to come
        return ts - data.start_ns - int(before[k]) + inside

    return spans, [
        [Episode(e.instrument, e.side, packed(e.instrument, e.ts), packed(e.instrument, e.end), e.threshold) for e in episodes] for episodes in found
    ]


def _pair(one: str, other: str, a: Sequence[Episode], b: Sequence[Episode], tolerance: int) -> dict[str, Any]:
    hit, same = matched(a, b, tolerance)
    alike = share(same, hit)
    return {
        "a": one,
        "b": other,
        **share(hit, len(a)),
        "same_side": alike["share"],
        "same_side_n": hit,
        "same_side_low": alike["low"],
        "same_side_high": alike["high"],
    }


def _by_chance(a: Sequence[Episode], b: Sequence[Episode], tolerance: int, spans: Mapping[int, int]) -> float | None:
    """Share of A that would agree if it were independent of B. Episodes in covered time; spans: how much of that an instrument has."""
    if not a:
        return None
    moved = 0
    for n in {e.instrument for e in a}:
        own, other, span = [e for e in a if e.instrument == n], [e for e in b if e.instrument == n], (0, spans[n])
        moved += sum(matched(own, other, tolerance, k * spans[n] // (SHIFTS + 1), span)[0] for k in range(1, SHIFTS + 1))
    return moved / (SHIFTS * len(a))


def warnings(data: Data, specs: Sequence[DetectorSpec]) -> list[str]:
    """Where a detector that counts or sums runs on a feed that shows only a sample."""
    out = []
    counting = [one["name"] for one in specs if one["kind"] in COUNTING]
    for completeness, text in (
        (
            lc.Completeness.COMPLETENESS_CENSORED,
            "is CENSORED (at most one liquidation a symbol and second), so counts and sums saturate at the begin of a cascade",
        ),
        (lc.Completeness.COMPLETENESS_UNKNOWN, "is of UNKNOWN completeness: its counts and sums are lower bounds"),
    ):
        venues = sorted({i.venue or "(no venue)" for i in data.instruments if i.completeness == completeness})
        out += [f"{venue} {text}; affected: {', '.join(counting)}" for venue in venues if counting]
    if data.synthetic:
        out.append("SYNTHETIC: a generated market")
    return out


def as_csv(found: Mapping[str, Any]) -> str:
    """The pairs of every venue, one a line."""
    lines = ["venue,completeness,a,b,episodes,agreeing,share,low,high,by_chance,same_side,same_side_low,same_side_high"]
    for venue in found["venues"]:
        for p in venue["pairs"]:
            numbers = (
                "" if p[key] is None else f"{p[key]:.6g}"
                for key in ("share", "low", "high", "by_chance", "same_side", "same_side_low", "same_side_high")
            )
            lines.append(",".join([venue["venue"], "+".join(venue["completeness"]), p["a"], p["b"], str(p["n"]), str(p["k"]), *numbers]))
    return "\n".join(lines) + "\n"
