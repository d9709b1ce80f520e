"""`liqcore detect`: detectors of any kind over recordings or event tables."""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

import liqcore as lc
from liqcore.event import SignalFlag
from liqshell import formats
from liqshell.config.components import recorded_detectors
from liqshell.config.load import loads
from liqshell.errors import ConfigError, DataError
from liqshell.formats import inverse
from liqshell.formats.event_tables import Table, is_table, read_tables
from liqshell.formats.reading import COMPLETENESS, UNKNOWN, tick_for
from liqshell.formats.validate import Sizes
from liqshell.input_file import existing, regular
from liqshell.recording import reader as recording
from liqshell.research.detector_agreement import make_detectors, parse
from liqshell.research.feature_rows import open_data
from liqshell.research.maps.load import CATALOGUE
from liqshell.run.pipeline import wires
from liqshell.run.recorded_streams import BLOCK_EVENTS, Blocks, contracts_of, refused_names
from liqshell.store.rules import load_file
from liqshell.venues.adapters import adapter_of


def detect(
    files: Annotated[tuple[Path, ...], Parameter(negative=())],
    /,
    *,
    quantile: float | None = None,
    window_events: int | None = None,
    window_s: float | None = None,
    min_events: int | None = None,
    warmup: int | None = None,
    refresh_s: float | None = None,
    mode: Literal["chain", "anchored"] | None = None,
    floor: float | None = None,
    detector: Annotated[tuple[str, ...], Parameter(name=("--detector", "-d"), negative=())] = (),
    preset: str = "",
    instruments: Path | None = None,
) -> int:
    """Print the signals of recordings, event tables or a store: one JSON line a phase change on stdout, a summary on stderr.

    Recordings are folders or files of raw frames (`liqcore record`, hourly files, JSON lines of frames). Event tables are CSV files, plain
    or gzip, with the columns ts_ms, symbol, position (long or short: the liquidated side), price, qty_base, notional_usd. Several files are merged
    by time. A store is a folder made by `liqcore import`. Liquidations are enough for every detector but zone, which needs trades.

    Parameters
    ----------
    files
        Recordings, or event tables; not both at once.
    quantile
        A liquidation is large if it reaches this quantile of the contract's last ones.
    window_events
        Number of these last liquidations.
    window_s
        Largest distance between the large events of a cascade.
    min_events
        Number of large events from which a cascade is ACTIVE.
    warmup
        Liquidations of a contract before its first can be large.
    refresh_s
        Update the threshold after this time; 0 = at every event.
    mode
        chain: within window-s of the last large event; anchored: of the first.
    floor
        Least notional of a large event, quote currency.
    detector
        NAME=KIND,param=value,... or KIND instead of the cascade; may be given several times. docs/detectors.md lists them.
    preset
        The detectors of a preset, with its numbers, instead of the cascade.
    instruments
        TOML file of contracts as `liqcore import` takes it: the multiplier of raw OKX frames, which count in contracts. A run has its own.
    """
    if not files:
        raise ConfigError("detect", "no files", "at least one recording or event table", "See `liqcore detect --help`")
    try:
        cascade = {
            "quantile": quantile,
            "window_events": window_events,
            "window_s": window_s,
            "min_events": min_events,
            "warmup": warmup,
            "refresh_s": refresh_s,
            "mode": mode,
            "floor": floor,
        }
        detectors = _detectors_of(detector, preset, {name: value for name, value in cascade.items() if value is not None})
    except ValueError as why:
        raise ConfigError("detect", str(why)) from why
    expected = "a recording, an event table or a store"
    existing(files, expected)
    for path in (one for one in files if not one.is_dir()):
        formats.refuse_own(regular(path, expected))
    return _run(files, detectors, instruments)


def _run(files: tuple[Path, ...], detectors: list[lc.Detector], instruments: Path | None) -> int:
    stores = [path for path in files if (path / CATALOGUE).is_file()]
    if stores:
        if len(files) > 1:
            raise ConfigError("detect", f"{len(files)} paths, of which {stores[0]} is a store", "one store alone")
        return _store(stores[0], detectors)
    tables = [path for path in files if path.is_file() and is_table(path)]
    if tables and len(tables) != len(files):
        other = next(path for path in files if path not in tables)
        raise DataError(str(other), "a recording among event tables", "recordings only, or tables only", "Run detect once for each kind")
    if tables and instruments is not None:
        raise ConfigError("--instruments", "given for event tables", "recordings", "Tables have base units")
    return _tables(tables, detectors) if tables else _recordings(list(files), detectors, load_file(instruments) if instruments is not None else {})


def _detectors_of(detector: tuple[str, ...], preset: str, cascade: dict[str, Any]) -> list[lc.Detector]:
    """The detectors that were asked for: of --detector, of a preset, or the cascade with the parameters that were given."""
    if detector and preset:
        raise ConfigError("--preset", "given with --detector", "one of the two")
    if cascade and (detector or preset):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in cascade)
        raise ConfigError(
            named,
            f"given with {'--detector' if detector else '--preset'}",
            "neither together with the options of the cascade",
            f"A cascade with these numbers is --detector cascade,{','.join(f'{name}={value}' for name, value in cascade.items())}",
        )
    if detector:
        return make_detectors(parse(detector))
    if preset:
        values = wires(loads(f"[policy]\npreset = {json.dumps(preset)}\n", f"--preset {preset}"), ("DETECT",))
        return [lc.make_detector(**one) for one in recorded_detectors(values)]
    return [lc.make_detector("cascade", **cascade)]


def _store(path: Path, detectors: list[lc.Detector]) -> int:
    """Day by day, all that it has: a signal says the last trade, and notionals may be taken at it."""
    data = open_data([path])
    for note in data.notes:
        _note(note)
    printer = _SignalPrinter(lc.Engine(data.instruments, detectors=detectors))
    for part in data.parts:
        printer.run(part)
    return printer.end()


def _tables(paths: list[Path], detectors: list[lc.Detector]) -> int:
    table = read_tables(paths)
    names = _names(table)
    _, first = np.unique(table.events["instrument"], return_index=True)
    engine = lc.Engine(
        [
            lc.Instrument(name, venue=venue, completeness=_completeness(venue), tick_size=tick_for(float(price)))
            for name, venue, price in zip(names, table.venues, table.events["price"][first], strict=True)
        ],
        detectors=detectors,
    )
    for d in detectors:
        if d.wants & 1 << lc.Kind.TRADE:
            _note(f"{d.name} needs trades, and event tables have none: it has fewer signals, or none")
    printer, sizes = _SignalPrinter(engine), _Sizes(engine)
    for start in range(0, len(table.events), BLOCK_EVENTS):
        printer.run(sizes.usual(table.events[start : start + BLOCK_EVENTS]))
    sizes.report()
    for text in table.shown:
        _note(f"skipped {text}")
    for reason, count in table.skipped.most_common():
        _note(f"skipped rows: {count} of {table.rows}: {reason}")
    return printer.end()


def _names(table: Table) -> list[str]:
    """Symbols as they are, with their venue in front where two venues share one."""
    counts = Counter(table.symbols)
    return [f"{venue}:{symbol}" if counts[symbol] > 1 else symbol for symbol, venue in zip(table.symbols, table.venues, strict=True)]


def _completeness(venue: str) -> lc.Completeness:
    return lc.Completeness["COMPLETENESS_" + COMPLETENESS.get(venue, UNKNOWN)]


def _recordings(paths: list[Path], detectors: list[lc.Detector], given: Mapping[tuple[str, str], Mapping[str, Any]]) -> int:
    strange = Counter[str]()
    contracts, recorded, runs = contracts_of(paths, strange)
    sized = {key: float(about["multiplier"]) for key, about in {**recorded, **given}.items() if about.get("multiplier")}
    silent = [symbol for symbol in contracts.get("okx", ()) if ("okx", symbol) not in sized]
    if silent:
        _note(
            f"OKX counts in contracts: notionals of {', '.join(silent)} are contracts x price, not dollars, unless --instruments gives the "
            "multiplier (ctVal x ctMult)"
        )
    instruments = [
        _instrument(venue, symbol, price, recorded.get((venue, symbol), {}), sized.get((venue, symbol), 1.0))
        for venue, symbols in contracts.items()
        for symbol, price in symbols.items()
    ]
    engine = lc.Engine(instruments, detectors=detectors)
    blocks = Blocks(contracts)
    damage: list[recording.Damage] = []
    printer, sizes = _SignalPrinter(engine), _Sizes(engine)
    names = [(one.venue, one.symbol) for one in instruments]
    if not runs and any(inverse.dollars(*name) for name in names):
        _note(inverse.NOTE)
    for block in blocks.blocks(recording.merge(paths, damage)):
        if not runs:
            inverse.state_notional(block, names)
        printer.run(block if runs else sizes.usual(block))
    sizes.report()
    for place in damage:
        _note(f"damaged: {place.file}: {place.text}")
    for reason, count in blocks.unread.most_common():
        _note(f"frames without events: {count}: {reason}")
    if strange:
        _note(refused_names(strange))
    return printer.end(blocks.ended_ns)


def _instrument(venue: str, symbol: str, price: float, fields: Mapping[str, Any], multiplier: float) -> lc.Instrument:
    """As the run had it, where the settings of one say all of it."""
    if "tick_size" in fields:
        return lc.Instrument(**{**fields, "multiplier": multiplier})
    return lc.Instrument(symbol, venue=venue, completeness=adapter_of(venue).completeness, tick_size=tick_for(price), multiplier=multiplier)


class _Sizes:
    """The band of quantities for foreign data; the data of a run of liqcore was validated by its engine."""

    def __init__(self, engine: lc.Engine):
        self._engine = engine
        self._sizes = Sizes()
        self._refused = 0
        self._first = ""

    def usual(self, events: np.ndarray) -> np.ndarray:
        """The events without prints that are larger than can be."""
        bad = self._sizes.absurd(events)
        if not bad.any():
            return events
        self._refused += int(np.count_nonzero(bad))
        e = events[int(np.argmax(bad))]
        self._first = self._first or f"{self._engine.instruments[int(e['instrument'])].symbol} {e['qty']:g} at {e['price']:g}, {e['ts_event']} ns"
        return events.compress(~bad)

    def report(self) -> None:
        if self._refused:
            _note(
                f"refused quantities: {self._refused}: more than {self._sizes.band:g} times the largest of their contract, the first: {self._first}"
            )


class _SignalPrinter:
    """The signals of an engine, one JSON line each on stdout, and at the end what there is to say of them on stderr."""

    def __init__(self, engine: lc.Engine):
        self.engine, self._seen = engine, Counter[str]()
        basis = [d.as_dict().get("notional", "reported") for d in engine.detectors]
        self._needs = [{"last": lc.Kind.TRADE, "mark": lc.Kind.TICKER}.get(one) for one in basis]
        self._known: dict[tuple[lc.Kind, int], int] = {}  # ns: the first price of this kind of an instrument
        self._lacking: dict[int, set[int]] = {}  # detector -> instruments whose notionals are at the reported price all the same

    def run(self, events: np.ndarray) -> None:
        for kind in {need for need in self._needs if need is not None}:
            own = events[(events["kind"] == int(kind)) & (events["price"] > 0.0)]
            for n, at in zip(*np.unique(own["instrument"], return_index=True), strict=True):
                self._known.setdefault((kind, int(n)), int(own["ts_recv"][at]))
        self._write(self.engine.run(events))

    def end(self, ended_ns: int = 0) -> int:
        """To the end of a run, where one is known."""
        engine = self.engine
        if ended_ns > engine.now:
            self._write(engine.advance(ended_ns))
        sys.stdout.flush()
        for reason, count in engine.refused.items():
            _note(f"refused events: {count}: {getattr(reason, 'name', reason)}")
        _note(f"{engine.events} events of {len(engine.instruments)} instruments, {self._seen.total()} signals")
        for n, detector in enumerate(engine.detectors, 1):
            if len(engine.detectors) > 1:
                _note(f"{detector.name}: {self._seen[detector.name]} signals")
            if names := ", ".join(engine.instruments[k].symbol for k in sorted(self._lacking.get(n, ()))):
                at, what = ("last trade", "trade") if self._needs[n - 1] == lc.Kind.TRADE else ("mark", "mark")
                _note(f"{detector.name} values notionals at the {at}. Before some signals there was no {what} of {names}; those use reported prices")
            if detector.kind == "cascade" and all(math.isnan(engine.threshold(k, n)) for k in range(len(engine.instruments))):
                _note(
                    f"{detector.name}: no contract has enough liquidations for its warm-up, so it has no signals: give more data, or a smaller "
                    "--warmup"
                )
        return 0

    def _flags(self, s: lc.Signal) -> int:
        """Without the word that the notional is at mark or last where no such price was known."""
        need = self._needs[s.detector - 1]
        if need is None or self._known.get((need, s.instrument), s.ts + 1) <= s.ts_start:
            return s.flags
        self._lacking.setdefault(s.detector, set()).add(s.instrument)
        return s.flags & ~int(SignalFlag.SIGNAL_MARK_NOTIONAL)

    def _write(self, signals: Iterable[lc.Signal]) -> None:
        instruments, detectors = self.engine.instruments, self.engine.detectors
        signals = list(signals)
        self._seen.update(detectors[s.detector - 1].name for s in signals)
        sys.stdout.writelines(
            json.dumps(
                {
                    "ts": s.ts,
                    "instrument": instruments[s.instrument].symbol,
                    "venue": instruments[s.instrument].venue,
                    "detector": detectors[s.detector - 1].name,
                    "kind": detectors[s.detector - 1].kind,
                    "phase": s.phase.name,
                    "side": s.side.name.lower(),
                    "long_notional": s.long_notional,
                    "short_notional": s.short_notional,
                    "count": s.count,
                    "threshold": s.threshold,
                    "price": s.price,
                    "z": s.z,
                    "sequence": s.sequence,
                    "ts_start": s.ts_start,
                    "completeness": instruments[s.instrument].completeness.name.removeprefix("COMPLETENESS_").lower(),
                    "flags": self._flags(s),
                }
            )
            + "\n"
            for s in signals
        )


def _note(text: str) -> None:
    print(text, file=sys.stderr)
