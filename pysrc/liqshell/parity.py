"""A recorded run, backtested: the same events as a tape, the same settings, and the first record in which the two audit streams differ, in words.

    verdict = prove_as_backtest("runs/demo")
    print(verdict.text)                          # "identical: 412 audit records" or both sides of the first difference

A replay (replay.py) goes frame by frame through the live pipeline. This goes the way of a backtest: frames -> events -> tape -> walk.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore import event, slot
from liqshell import journal, recording, replay
from liqshell.drive import Stepper, drive
from liqshell.errors import DataError
from liqshell.marks import concerns_of
from liqshell.pipeline import make_paper
from liqshell.record import END, FEED, GAP, META, REPORT, REST
from liqshell.source import Source, sources_of
from liqshell.venues.adapters import gap_s_of

BLOCK = 1 << 16


@dataclass(frozen=True)
class Recorded:
    """What a recording held. values: the settings of the run, None where it is not one of ours. events: market events and feed marks in the order
    of receipt, as the sink of the run handed them to its engine. ended_ns: its end mark, 0 = cut off."""

    values: dict[str, Any] | None
    events: np.ndarray
    ended_ns: int
    damage: str
    frames: int
    unread: Counter[str] = field(default_factory=Counter)


class _Collector:
    """Events of frames in one growing array, in the order in which the run's sink stepped them, with the marks that it made itself."""

    def __init__(self) -> None:
        self.rows = np.zeros(BLOCK, lc.EVENT_DTYPE)
        self.count = 0
        self.now = 0

    def keep(self, events: np.ndarray) -> None:
        """The next ones."""
        need = self.count + len(events)
        if need > len(self.rows):
            rows = np.zeros(max(2 * len(self.rows), need), lc.EVENT_DTYPE)
            rows[:self.count] = self.rows[:self.count]
            self.rows = rows
        self.rows[self.count:need] = events
        self.count = need

    def mark(self, kind: lc.Kind, code: int, ts_event: int, ts_recv: int, instruments: tuple[int, ...], flags: int = 0) -> None:
        """One event without a price for each of these instruments."""
        self.now = max(self.now, ts_recv)
        self.keep(np.array([(ts_event, self.now, 0.0, 0.0, 0.0, 0.0, 0, n, int(kind), 0, flags, code) for n in instruments],
                           lc.EVENT_DTYPE))

    def verdict(self, told: dict[str, Any]) -> None:
        """Of what a run was told beside its feeds, the judge's word: the rest was the account's, which a backtest has of its own."""
        row = np.frombuffer(bytes.fromhex(told["row"]), lc.EVENT_DTYPE)
        if row["kind"][0] == int(lc.Kind.VERDICT):
            self.now = max(self.now, int(row["ts_recv"][0]))
            self.keep(row)


class _Heard:
    """What liqshell.sink.VenueSink does with the frames of one venue."""

    def __init__(self, source: Source, collector: _Collector):
        self.source, self.collector = source, collector
        self.last_recv = 0           # of the last frame with events, 0 = none since the feed came up
        self.watched = source.watched

    def begin(self, ts_recv: int) -> None:
        """A venue that is watched only: its gates close before anything else."""
        if self.watched:
            self.watched = False
            first = self.source.first
            self.collector.mark(lc.Kind.CONTROL, int(lc.Control.CONTROL_PAUSE), ts_recv, ts_recv,
                                tuple(range(first, first + len(self.source.symbols))), int(lc.Gate.GATE_SYMBOL))

    def feed(self, mark: dict[str, Any], ts_recv: int) -> None:
        self.begin(ts_recv)
        concerns = concerns_of(mark, self.source.instruments, self.source.symbols, self.source.first)
        if mark["state"] == lc.FeedState.FEED_DOWN:
            self.last_recv = 0
            self.source.forget(concerns)
        for n, streams in concerns:
            self.collector.mark(lc.Kind.FEED, mark["state"], mark["ts_event"], ts_recv, (n,), streams)

    def take(self, frame: bytes, ts_recv: int, polled: bool) -> bool:
        """One frame; False where it held no event."""
        events = self.source.events(frame, ts_recv)
        if not len(events):
            return False
        self.begin(ts_recv)
        if not polled:
            if self.last_recv and ts_recv - self.last_recv > self.source.gap_ns:
                self.collector.mark(lc.Kind.FEED, int(lc.FeedState.FEED_GAP), self.last_recv, ts_recv, self.source.instruments)
            self.last_recv = ts_recv
        self.collector.keep(events)
        self.collector.now = max(self.collector.now, ts_recv)
        return True


def read_events(path: str | Path, symbols: tuple[str, ...] = (), tell: Callable[[int], None] | None = None) -> Recorded:
    """Events of a recording: one of a run of ours, or raw frames of one venue (then `symbols` says which contracts are which index).

    tell(ts_recv) is called now and then. DataError where it is neither.
    """
    reader = recording.read(path)
    values: dict[str, Any] | None = None
    collector = _Collector()
    heard: dict[str, _Heard] = {}
    ended = frames = 0
    for number, record in enumerate(reader):
        if record.stream == META:
            if values is not None:
                raise DataError(str(path), "two runs in one recording", "one", "Name the folders of the runs one by one")
            values = _object(record.frame, path)
            heard = {venue: _Heard(source, collector) for venue, source in sources_of(values, None).items()}
        elif not heard:
            if not symbols:
                raise DataError(str(path), "does not begin with the settings of a run", "a recording made by liqcore", "Name [data] symbols")
            venue = record.exchange or "bybit"
            told = {"venue": venue, "first": 0, "count": len(symbols), "gap_ns": int(gap_s_of(venue) * lc.SECOND), "watched": False}
            heard = {venue: _Heard(Source(told, symbols, None, True), collector)}
        if record.stream == FEED:
            mark = _object(record.frame, path)
            _of(heard, mark.get("venue", ""), path).feed(mark, record.ts_recv)
        elif record.stream == END:
            ended = record.ts_recv
        elif record.stream == REPORT:
            collector.verdict(_object(record.frame, path))
        elif record.stream not in (META, GAP, recording.SKIP):
            frames += 1
            _of(heard, record.exchange, path).take(record.frame, record.ts_recv, record.source == REST)
        if number % 4096 == 0 and tell is not None:
            tell(record.ts_recv)
    if not heard:
        raise DataError(str(path), "the recording is empty", "a recording made by liqcore")
    unread: Counter[str] = sum((one.source.unread for one in heard.values()), Counter())
    return Recorded(values, collector.rows[:collector.count], ended, reader.damage_text(), frames, unread)


def _of(heard: dict[str, _Heard], venue: str, path: str | Path) -> _Heard:
    """The venue's; '' = the only one."""
    found = heard.get(venue) or (next(iter(heard.values())) if len(heard) == 1 else None)
    if found is None:
        raise DataError(str(path), f"a frame of {venue or 'no venue'!r}", f"frames of {', '.join(heard)}")
    return found


def _object(text: bytes, where: str | Path) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise DataError(str(where), "a mark of the recorder is not an object", "what a run wrote")
    return found


@dataclass(frozen=True)
class Parity:
    """What came of it. how: as a tape, or why it had to be stepped in the recorded order. difference: the first one in words, '' where
    there is none."""

    verdict: replay.Verdict
    how: str
    difference: str

    @property
    def identical(self) -> bool:
        return self.verdict.identical

    def as_dict(self) -> dict[str, Any]:
        return self.verdict.as_dict() | {"how": self.how, "difference": self.difference}


def prove_as_backtest(folder: str | Path, *, trust: bool = False) -> Parity:
    """Backtest the recording of the run in a folder with the run's own settings and compare the audit streams byte for byte."""
    recorded = journal.load_audit(folder)
    found = read_events(Path(folder) / journal.FRAMES)
    if found.values is None:
        raise DataError(str(folder), "its recording does not say with which settings it was made", "the folder of a run made by liqcore live or demo")
    paper = make_paper(found.values, trust=trust)          # of a live run it says why that cannot be
    builder = lc.TapeBuilder(paper.engine.instruments)
    builder.push(found.events)
    tape = lc.Tape(builder.instruments, builder.take())
    end_ns = found.ended_ns or (int(found.events["ts_recv"].max()) if len(found.events) else 0)
    how, audit = "walked as a tape", drive(lc.Walk(paper, tape), end_ns)
    verdict = replay.compare(recorded, audit, found.damage, bool(found.ended_ns))
    why = "" if verdict.identical else _unlike(found.events, tape, builder.refused)
    if why:
        how = f"stepped in the recorded order, because {why}"
        audit = drive(Stepper(make_paper(found.values, trust=trust), found.events), end_ns)
        verdict = replay.compare(recorded, audit, found.damage, bool(found.ended_ns))
    symbols = [i.symbol for i in paper.engine.instruments]
    return Parity(verdict, how, "" if verdict.identical else first_difference(recorded, audit, verdict.first_difference or 0, symbols))


def _unlike(events: np.ndarray, tape: lc.Tape, refused: dict[lc.Reason, int]) -> str:
    """Why a tape of these events is not the same feed, '' where it is."""
    if refused:
        names = ", ".join(reason.name for reason in refused)
        return f"{sum(refused.values())} of its events are refused at the door ({names}), which a tape leaves out"
    ordered = tape.events()
    if len(ordered) != len(events) or any((ordered[name] != events[name]).any() for name in ("ts_recv", "instrument", "kind")):
        return "events of different contracts at one moment came in another order than the one that a tape keeps"
    rounded = int((ordered["price"] != events["price"]).sum())
    return f"{rounded} prices are not on the grid of their contract" if rounded else ""


# ---- records in words ----

_NAMES: dict[str, Any] = {"Kind": lc.Kind, "Phase": lc.Phase, "Action": event.Action, "OrderStatus": event.OrderStatus,
                          "FillReason": event.FillReason, "BracketState": lc.BracketState, "FeedState": lc.FeedState, "Control": lc.Control,
                          "Alarm": slot.Alarm}


def as_words(record: np.void, symbols: list[str]) -> dict[str, str]:
    """One audit record as named fields."""
    kind = lc.AuditKind(int(record["kind"]))
    phase_kind, names = lc.AUDIT_FIELDS[kind]
    n = int(record["instrument"])
    out = {"kind": kind.name.removeprefix("AUDIT_"), "time": f"{np.datetime64(int(record['ts']), 'ns')}Z",
           "instrument": symbols[n] if 0 <= n < len(symbols) else "all"}
    phase = int(record["phase"])
    try:
        out[phase_kind] = _NAMES[phase_kind](phase).name if phase_kind != "Side" else ("LONG" if phase else "SHORT")
    except (KeyError, ValueError):
        out[phase_kind] = str(phase)
    out |= {"reason": lc.Reason(int(record["reason"])).name, "side": {1: "LONG", -1: "SHORT"}.get(int(record["side"]), "none"),
            "id": str(int(record["id"])), "seq": str(int(record["seq"]))}
    return out | {name: repr(float(value)) for name, value in zip(names, record["x"], strict=True) if not name.startswith("unused")}


def first_difference(recorded: np.ndarray, made: np.ndarray, at: int, symbols: list[str]) -> str:
    """Both sides of the first unequal record, and which fields differ."""
    left = as_words(recorded[at], symbols) if at < len(recorded) else None
    right = as_words(made[at], symbols) if at < len(made) else None
    if left is None or right is None:
        longer, words = ("run", left) if right is None else ("backtest", right)
        return f"record {at}: only the {longer} has it: " + (_line(words) if words else "")
    differ = [key for key in left | right if left.get(key) != right.get(key)]
    if not differ:                      # bits that print alike, such as the sign of a zero
        differ = [name for name in recorded.dtype.names or () if recorded[at][name].tobytes() != made[at][name].tobytes()]
    return "\n".join([f"record {at} differs in {', '.join(differ)}", f"  run:      {_line(left)}", f"  backtest: {_line(right)}"])


def _line(words: dict[str, str]) -> str:
    return "  ".join(f"{key}={value}" for key, value in words.items())


__all__ = ["Parity", "Recorded", "as_words", "first_difference", "prove_as_backtest", "read_events"]
