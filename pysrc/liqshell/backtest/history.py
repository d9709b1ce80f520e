"""The market data of a study: loaded once, then run unchanged, with moved liquidations, or with other liquidations."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.simulation.columns import PLACE_DTYPE, QUOTE_COLUMNS, TRADE_COLUMNS
from liqshell.backtest.past_judge import asks_anew, contaminated
from liqshell.backtest.trade_spread import Measured, measure
from liqshell.config.load import Config
from liqshell.config.study_sections import DataConfig
from liqshell.errors import DataError
from liqshell.event_columns import joined
from liqshell.recording import journal, streams
from liqshell.recording.marks import outages, union
from liqshell.report.coverage import DAY_NS
from liqshell.report.run import COMPLETENESS
from liqshell.report.text import plural

HOUR_NS = 3_600 * lc.SECOND
HALF_HOUR_NS = HOUR_NS // 2
EMPTY: dict[str, Any] = {
    "trades": {name: np.zeros(0, dtype) for name, dtype in TRADE_COLUMNS.items()},
    "quotes": {name: np.zeros(0, dtype) for name, dtype in QUOTE_COLUMNS.items()},
}
SILENCE_NS = HALF_HOUR_NS
KINDS = 256  # values that a kind may have
SILENCES = 100  # longest silences of a stream that are told one by one
EVERY_LEAD = 2  # liquidations before the first that can open a trade: the detector's shortest warm-up


@dataclass(frozen=True)
class History:
    """Events received of some contracts in [start_ns, end_ns). source: the name of where it is from; parts: as study.json describes them; spreads:
    the half-spread that the trades of each show, held: over which time each stream of each held, of the whole that this may be a part of.
    market_seeds: of the generators that made it, where that is known."""

    tape: lc.Tape
    start_ns: int
    end_ns: int
    fingerprint: str
    source: str
    synthetic: bool = False
    parts: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    spreads: tuple[Measured, ...] = ()
    held: tuple[Mapping[str, streams.Held], ...] = ()
    market_seeds: tuple[int, ...] = ()

    @property
    def instruments(self) -> tuple[lc.Instrument, ...]:
        return self.tape.instruments

    @property
    def multipliers(self) -> np.ndarray:
        return np.array([i.multiplier for i in self.instruments])

    def rare(self, kind: lc.Kind) -> np.ndarray:
        """The liquidations, tickers or feed marks."""
        rare = self.tape.rare
        return rare.compress(rare["kind"] == int(kind))

    @cached_property
    def liquidations(self) -> np.ndarray:
        return self.rare(lc.Kind.LIQUIDATION)

    @cached_property
    def prices_at_liquidations(self) -> np.ndarray:
        """last_trade of the liquidations."""
        return self.last_trade(self.liquidations)

    def count(self, dense: str) -> int:
        """Rows of 'trades' or 'quotes'."""
        return sum(len(getattr(self.tape, dense)(n)["ts"]) for n in range(len(self.instruments)))

    def with_liquidations(self, rows: np.ndarray) -> History:
        """The same market with other liquidations (rows of EVENT_DTYPE)."""
        return replace(self, tape=self.tape.with_liquidations(rows))

    def between(self, start_ns: int, end_ns: int) -> History:
        """The part in [start_ns, end_ns); a feed that was down at its start is down, each of its streams by itself."""
        marks = self.rare(lc.Kind.FEED)
        tape = self.tape.between(start_ns, end_ns)
        before = marks[marks["ts_recv"] < start_ns]
        down = [
            own[-1:]
            for n in range(-1, len(self.instruments))
            for bits in np.unique(before["flags"])
            if len(own := before[(before["instrument"] == n) & (before["flags"] == bits)]) and own["code"][-1] == int(lc.FeedState.FEED_DOWN)
        ]
        if down:
            events = np.concatenate(down)
            events["ts_recv"] = start_ns
            tape = lc.Tape(
                self.instruments, [{"strips": [EMPTY] * len(self.instruments), "rare": events, "place": np.zeros(len(events), PLACE_DTYPE)}, tape]
            )
        return replace(self, tape=tape, start_ns=start_ns, end_ns=end_ns)

    def without_verdicts(self) -> History:
        """The same data without the verdicts in the recording."""
        stays = self.tape.rare["kind"] != int(lc.Kind.VERDICT)
        if stays.all():
            return self
        parts = self.tape.parts()
        return replace(self, tape=lc.Tape(self.instruments, parts | {"rare": parts["rare"][stays], "place": parts["place"][stays]}))

    def delayed(self, delay_ns: int) -> History:
        """Every liquidation becomes known delay_ns later. Its own time moves with it: it is our reaction that is slow, not the feed that is stale."""
        rows = self.liquidations.copy()
        rows["ts_recv"] += delay_ns
        rows["ts_event"] += delay_ns
        return self.with_liquidations(rows[rows["ts_recv"] < self.end_ns])

    def shifted(self, offset_ns: int) -> History:
        """All liquidations moved together by offset_ns around the span as around a clock: their clustering, sizes and sides stay, their link to the
        price is gone. The price of each keeps its distance from the last trade (so that the check of sides against mark keeps its meaning);
        its notional is what it was."""
        rows = self.liquidations.copy()
        if not len(rows):
            return self
        before = self.prices_at_liquidations
        notional = rows["price"] * rows["qty"] * self.multipliers[rows["instrument"]]
        rows["aux_price"] = np.where(rows["aux_price"] > 0, rows["aux_price"], notional)
        span = self.end_ns - self.start_ns
        moved = self.start_ns + (rows["ts_recv"] - self.start_ns + offset_ns) % span
        rows["ts_event"] += moved - rows["ts_recv"]
        rows["ts_recv"] = moved
        after = self.last_trade(rows)
        known = (before > 0) & (after > 0)
        ratio = np.clip(np.divide(rows["price"], before, out=np.ones(len(rows)), where=known), 0.8, 1.25)
        rows["price"] = np.where(known, after * ratio, rows["price"])
        return self.with_liquidations(rows)

    def every_half_hour(self, phase: int) -> History:
        """No liquidations but one every 30 minutes on each contract, of alternating sides: entries that know nothing. phase: 0 begins with
        LONG, 1 with SHORT. To be run with `EVERY_DETECTOR`."""
        parts = []
        for n in range(len(self.instruments)):
            known = self.tape.trades(n)["ts"][:1]
            if not len(known):
                continue
            first = -(-(int(known[0]) + (EVERY_LEAD + 1) * lc.SECOND) // HALF_HOUR_NS) * HALF_HOUR_NS
            times = np.arange(first, self.end_ns, HALF_HOUR_NS)
            rows = np.zeros(EVERY_LEAD + len(times), lc.EVENT_DTYPE)
            rows["ts_event"] = rows["ts_recv"] = np.concatenate([first - np.arange(EVERY_LEAD, 0, -1) * lc.SECOND, times])
            rows["kind"], rows["instrument"], rows["qty"], rows["aux_price"] = int(lc.Kind.LIQUIDATION), n, 1.0, 1.0
            rows["aux_price"][:EVERY_LEAD] = 0.5
            rows["side"] = np.where((rows["ts_recv"] // HALF_HOUR_NS + n + phase) % 2 == 0, 1, -1)
            parts.append(rows[rows["ts_recv"] < self.end_ns])
        made = np.concatenate([*parts, np.zeros(0, lc.EVENT_DTYPE)])
        made["price"] = self.last_trade(made) * (1.0 - 0.002 * made["side"])  # on the side of mark where a real one would be
        return self.with_liquidations(made)

    def last_trade(self, rows: np.ndarray) -> np.ndarray:
        """Price of the last trade of the contract before each row is received; 0 = none yet."""
        out = np.zeros(len(rows))
        for n, instrument in enumerate(self.instruments):
            trades, mine = self.tape.trades(n), rows["instrument"] == n
            at = np.searchsorted(trades["ts"], rows["ts_recv"][mine], side="right") - 1
            if len(trades["ts"]):
                out[mine] = np.where(at >= 0, trades["price"][np.maximum(at, 0)] * float(instrument.tick_size), 0.0)
        return out


#: the detector for History.every_half_hour: each liquidation is a cascade of its own
EVERY_DETECTOR = {
    "quantile": 0.5,
    "window_events": 2,
    "min_events": 1,
    "warmup": EVERY_LEAD,
    "refresh_s": 0.0,
    "floor": 0.75,
    "window_s": 60.0,
    "notional": "reported",
}


def load_history(config: Config, trades: bool = True) -> History:
    """The data that [data] names. trades: they are needed, as there is no price to fill at without them. ConfigError or DataError says what is
    missing or wrong."""
    data = config.data
    wanted = data.symbols or config.feed.named
    if data.store:
        found = _stored(data.store, wanted, data.start, data.end)
    elif data.files:
        if not own_runs(data.files):
            return _checked(_imported(config, wanted), config, trades)
        found = recorded(data.files, wanted)
        start, end = max(data.start, found.start_ns), min(data.end or found.end_ns, found.end_ns)
        if start >= end:
            asked = f"{_iso(data.start) if data.start else 'its beginning'} and {_iso(data.end) if data.end else 'its end'}"
            raise DataError(found.source, f"nothing between {asked}", f"a span inside {_iso(found.start_ns)} to {_iso(found.end_ns)}")
        found = found.between(start, end) if (start, end) != (found.start_ns, found.end_ns) else found
    else:
        raise DataError("[data]", "neither store nor files", "store = a folder made by `liqcore import`, or files = [folders of runs]")
    return _checked(found, config, trades)


def _checked(found: History, config: Config, trades: bool) -> History:
    """Described, and, where they are needed, with trades to fill at."""
    config.refuse_unknown_symbols([i.symbol for i in found.instruments])
    silent = [i.symbol for n, i in enumerate(found.instruments) if not len(found.tape.trades(n)["ts"])]
    if trades and len(silent) == len(found.instruments):
        raise DataError(found.source, "no trades", "trades and liquidations of the contracts", "Fills need the prices of trades")
    lost = "no orders fill there" if trades else "detectors and features of trades have no data there"
    problems = [*found.problems, *([f"no trades of {', '.join(silent)}: {lost}"] if silent else []), *days_without(found, config.data)]
    if asks_anew(config, [i.symbol for i in found.instruments]):
        found = found.without_verdicts()
        problems += ["CONTAMINATED: some answers in [judge] recordings are of a live model that answered questions about the past"] * contaminated(
            config
        )
    return described(replace(found, problems=problems), config.engine.quote_age_s)


def days_without(found: History, asked: DataConfig) -> list[str]:
    """UTC days of the span that was asked for that lie before the first event or after the last, in sentences: no other number says that they are
    missing."""
    first, last = (found.tape.start, found.tape.end) if len(found.tape) else (found.end_ns, found.start_ns)
    before = first // DAY_NS - (asked.start or found.start_ns) // DAY_NS
    after = ((asked.end or found.end_ns) - 1) // DAY_NS - last // DAY_NS
    sides = (("first", first, before, "before"), ("last", last, after, "after"))
    return [
        f"the {which} event is of {_iso(at)}: {plural(days, 'day')} of the requested span {side} it have no data"
        for which, at, days, side in sides
        if days > 0
    ]


def _stored(folder: str, symbols: Sequence[str], start: int, end: int) -> History:
    from liqshell import store  # pyarrow: not for those who run a recording

    opened = store.open(folder)
    try:
        selection = opened.select(symbols, start or None, end or None, missing="gap")
        tape = opened.tape_of(selection)
    finally:
        opened.close()
    parts: list[dict[str, Any]] = [{"receipt": "recorded" if selection.received == ("recorded",) else "modelled"} for _ in selection.contracts]
    # a store answers in whole days: what lies before the first event and after the last was not received
    first, last = (max(selection.start, tape.start), min(selection.end, tape.end + 1)) if len(tape) else (selection.start, selection.end)
    return with_gaps(
        History(
            tape,
            first,
            last,
            selection.fingerprint,
            Path(folder.partition("?")[0]).name,
            selection.synthetic,
            parts=parts,
            market_seeds=selection.market_seeds,
        )
    )


def own_runs(files: Sequence[str]) -> bool:
    """True if they are folders of runs of liqcore."""
    return all((Path(file) / journal.MANIFEST).is_file() for file in files)


def imported_into(config: Config) -> tuple[Path, list[Path]]:
    """The store that files of any kind go through, which is kept for the next time beside the runs; and the files."""
    from liqshell import formats

    data = config.data
    files: list[Path] = []
    for path in map(Path, data.files):
        if not path.exists():
            raise DataError(str(path), "no such file or folder", "market data", "A relative path counts from the folder of the configuration file")
        files += formats.files_of(path) if path.is_dir() else [path]
    named = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return Path(config.run.out) / f".imported-{hashlib.sha256(repr((named, data.venue)).encode()).hexdigest()[:12]}", files


def _imported(config: Config, symbols: Sequence[str]) -> History:
    """Files of any kind that `liqcore import` reads."""
    from liqshell import formats
    from liqshell.store import importer

    data, (folder, files) = config.data, imported_into(config)
    options = formats.Options(venue=data.venue)

    def opener(path: Path) -> Any:
        return formats.read(path, options)

    outcome = importer.run(folder, files, opener)
    if outcome.broken:
        raise DataError(
            "[data] files",
            f"{len(outcome.broken)} of {len(files)} cannot be imported. Remove them, or `liqcore import` the others\n" + outcome.refusals(),
        )
    found = _stored(str(folder), symbols, data.start, data.end)
    return replace(found, source=", ".join(Path(file).resolve().name for file in data.files))


def recorded(files: Sequence[str], symbols: Sequence[str]) -> History:
    """Recordings of runs of liqcore, joined in time."""
    from liqshell.run.recorded_events import read_events

    instruments: dict[str, lc.Instrument] = {}
    parts, digest, made_by, ends, problems = [], hashlib.sha256(), [], [], []
    for file in files:
        found = read_events(file)
        if found.values is None:
            raise DataError(
                file,
                "its recording does not name its contracts",
                "the folder of a run made by liqcore",
                f"Import it: liqcore import {file} --store STORE",
            )
        if found.damage:
            problems.append(found.damage)
        index = []
        for fields in found.values["instruments"]:
            known = instruments.setdefault(fields["symbol"], lc.Instrument(**fields))
            if known != lc.Instrument(**fields):
                raise DataError(
                    file,
                    f"the trading rules of {fields['symbol']} differ from those in the files before",
                    "the same tick and lot sizes",
                    "Backtest the spans separately",
                )
            index.append(list(instruments).index(fields["symbol"]))
        events = found.events.copy()
        own = events["instrument"] >= 0
        events["instrument"][own] = np.array(index, np.int32)[events["instrument"][own]]
        digest.update(events.tobytes())
        parts.append(events)
        ends.append(found.ended_ns)
        made_by.append(_made_by(Path(file)))
    parts.sort(key=lambda rows: int(rows["ts_recv"][0]) if len(rows) else 0)
    for a, b in itertools.pairwise(rows for rows in parts if len(rows)):
        if a["ts_recv"][-1] > b["ts_recv"][0]:
            raise DataError(", ".join(files), "two recordings overlap in time", "spans in sequence", "Import them into a store, which merges them")
    events = np.concatenate(parts)
    if not len(events):
        raise DataError(", ".join(files), "no events", "the recording of a run")
    for n, i in enumerate(instruments.values()):
        digest.update(f"{n}{i.as_dict()}".encode())
    chosen, events = _only(tuple(instruments.values()), events, symbols)
    builder = lc.TapeBuilder(chosen)
    builder.push(events)
    if builder.refused:
        problems.append("refused by validation: " + ", ".join(f"{n} x {reason.name}" for reason, n in builder.refused.items()))
    end = max(int(events["ts_recv"].max()) + 1, *ends)
    return History(
        lc.Tape(chosen, builder.take()),
        int(events["ts_recv"].min()),
        end,
        digest.hexdigest(),
        ", ".join(Path(f).resolve().name for f in files),
        any(m.get("synthetic") for m in made_by),
        problems=problems,
        market_seeds=tuple(dict.fromkeys(seed for m in made_by for seed in m.get("market_seeds", ()))),
    )


def _made_by(folder: Path) -> dict[str, Any]:
    """The description of the run that belongs to a recording; {} without one."""
    try:
        return journal.load_manifest(folder)
    except DataError:
        return {}


def _only(instruments: tuple[lc.Instrument, ...], events: np.ndarray, symbols: Sequence[str]) -> tuple[tuple[lc.Instrument, ...], np.ndarray]:
    """These contracts in this order, () = all."""
    known = {i.symbol: n for n, i in enumerate(instruments)}
    missing = [s for s in symbols if s not in known]
    if missing:
        raise DataError("[data] symbols", f"no data of {', '.join(missing)}", f"of {', '.join(known)}")
    if not symbols or list(symbols) == list(known):
        return instruments, events
    place = np.full(len(known) + 1, -2, np.int32)
    place[-1] = -1  # ALL_INSTRUMENTS
    for n, symbol in enumerate(symbols):
        place[known[symbol]] = n
    events = events.copy()
    events["instrument"] = place[events["instrument"]]
    return tuple(instruments[known[s]] for s in symbols), events[events["instrument"] != -2]


def described(history: History, quote_age_s: float = 10.0) -> History:
    """With `parts`, `spreads`, `held`, and a fingerprint of just this span and these contracts. quote_age_s: of the engine."""
    parts = []
    held = streams.of_tape(history.tape, history.start_ns, history.end_ns, quote_age_ns=round(quote_age_s * lc.SECOND))
    feeds, silences = history.rare(lc.Kind.FEED), _silences(history)
    each = (history.tape.rare["instrument"].astype(np.int64) + 1) * KINDS + history.tape.rare["kind"]
    counts = np.bincount(each, minlength=(len(history.instruments) + 1) * KINDS).reshape(-1, KINDS)
    for n, instrument in enumerate(history.instruments):
        kinds = counts[n + 1]
        gaps = union(_gaps(feeds[(feeds["instrument"] == -1) | (feeds["instrument"] == n)], history) + silences[n])
        covered = history.end_ns - history.start_ns - sum(b - a for a, b in gaps)
        part = {
            "symbol": instrument.symbol,
            "source": history.source,
            "completeness": COMPLETENESS[instrument.completeness],
            "start_ns": history.start_ns,
            "end_ns": history.end_ns,
            "trades": len(history.tape.trades(n)["ts"]),
            "quotes": len(history.tape.quotes(n)["ts"]),
            "liquidations": int(kinds[lc.Kind.LIQUIDATION]),
            "tickers": int(kinds[lc.Kind.TICKER]),
            "covered_hours": covered / HOUR_NS,
            "gaps": gaps,
            "receipt": "recorded",
        }
        parts.append(part | by_stream(instrument.symbol, held[n]) | (history.parts[n] if history.parts else {}))
    name = fingerprint_of(history.fingerprint, (history.start_ns, history.end_ns), [i.symbol for i in history.instruments])
    return replace(history, parts=parts, fingerprint=name, spreads=measure(history.tape), held=tuple(held))


def fingerprint_of(source: str, span: tuple[int, int], symbols: list[str]) -> str:
    """Of a span of some contracts. source: the fingerprint of what it was opened from."""
    return hashlib.sha256(f"{source} {span[0]} {span[1]} {symbols}".encode()).hexdigest()


def by_stream(symbol: str, held: Mapping[str, streams.Held]) -> dict[str, Any]:
    """Of a part: each stream by itself, with the longest of its silences; the share of the traded time with live quotes; the warnings."""
    streams_ = {}
    for name, one in held.items():
        gaps = one.gaps() if one.judged else []
        longest = sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[:SILENCES])
        streams_[name] = one.as_dict() | {"gaps": longest, "silences": len(gaps), "longest_s": max((b - a for a, b in gaps), default=0) / 1e9}
    return {
        "streams": streams_,
        "traded_hours": held["trades"].covered_hours,
        "quoted": streams.quoted(held),
        "said": streams.sentences(held, symbol),
    }


def with_gaps(history: History) -> History:
    """A feed mark at the end of every long silence of a contract: the engine then trusts no cascade that began before it, as it would have live."""
    marks = []
    for n, silences in enumerate(_silences(history)):
        inner = [(start, end) for start, end in silences if end < history.end_ns]
        rows = np.zeros(len(inner), lc.EVENT_DTYPE)
        rows["ts_recv"], rows["ts_event"] = [end for _, end in inner], [start for start, _ in inner]
        rows["kind"], rows["code"], rows["instrument"] = int(lc.Kind.FEED), int(lc.FeedState.FEED_GAP), n
        marks.append(rows)
    new = np.concatenate(marks)
    if not len(new):
        return history
    place = np.zeros(len(new), PLACE_DTYPE)
    for n in range(len(history.instruments)):
        mine = new["instrument"] == n
        for name, dense in (("trades_before", history.tape.trades(n)), ("quotes_before", history.tape.quotes(n))):
            place[name][mine] = np.searchsorted(dense["ts"], new["ts_recv"][mine])
    parts = history.tape.parts()
    rare, where = joined([parts["rare"], new]), np.concatenate([parts["place"], place])
    order = np.lexsort((rare["kind"] != int(lc.Kind.FEED), rare["instrument"], rare["ts_recv"]))
    return replace(history, tape=lc.Tape(history.instruments, parts | {"rare": rare.take(order), "place": where.take(order)}))


def _silences(history: History) -> list[list[tuple[int, int]]]:
    """Of each contract, spans longer than SILENCE_NS without a trade or quote; of one that has none, without any event of its venue. A recorder that
    was off leaves no other mark in vendor files."""
    tape, venues = history.tape, np.array([i.venue for i in history.instruments])
    whole: dict[str, np.ndarray] = {}
    out = []
    for n, instrument in enumerate(history.instruments):
        parts = [tape.trades(n)["ts"], tape.quotes(n)["ts"]]
        if not len(parts[0]) and not len(parts[1]):
            if instrument.venue not in whole:
                own = np.flatnonzero(venues == instrument.venue)
                rare = tape.rare[(tape.rare["kind"] != int(lc.Kind.FEED)) & np.isin(tape.rare["instrument"], own)]
                dense = [of(int(k))["ts"] for k in own for of in (tape.trades, tape.quotes)]
                whole[instrument.venue] = np.unique(np.concatenate([rare["ts_recv"], *dense]))
            parts = [whole[instrument.venue]]
        out.append(_without(parts, history))
    return out


def _without(parts: Sequence[np.ndarray], history: History) -> list[tuple[int, int]]:
    """Spans longer than SILENCE_NS in which none of these times lies."""
    out: list[tuple[int, int]] = []
    for k, ts in enumerate(parts):
        edges = np.concatenate([[history.start_ns], ts, [history.end_ns]])
        at = np.flatnonzero(np.diff(edges) > SILENCE_NS)
        found = list(zip(edges[at].tolist(), edges[at + 1].tolist(), strict=True))
        out = found if k == 0 else [(max(a, c), min(b, d)) for a, b in out for c, d in found if min(b, d) - max(a, c) > SILENCE_NS]
    return out


def _gaps(marks: np.ndarray, history: History) -> list[tuple[int, int]]:
    """Spans in which data is known to be missing."""
    columns = (np.maximum(marks["ts_event"], history.start_ns), marks["ts_recv"], marks["code"], marks["flags"])
    return outages(zip(*(column.tolist() for column in columns), strict=True), history.end_ns)


def _iso(ts: int) -> str:
    return f"{np.datetime64(ts, 'ns').astype('datetime64[s]')}Z"
