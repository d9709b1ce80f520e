"""`liqcore detect`: the cascade detector over recordings or event tables."""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

import liqcore as lc
from liqshell import recording
from liqshell.errors import ConfigError, DataError
from liqshell.formats.reading import COMPLETENESS, UNKNOWN
from liqshell.formats.venue_frames import NAMED
from liqshell.marks import concerns_of
from liqshell.record import FEED, GAP, META, label
from liqshell.recording import Record
from liqshell.store.rules import load_file
from liqshell.tables import Table, is_table, read_tables
from liqshell.venues.adapters import adapter_of
from liqshell.venues.frames import FrameDecoder, FrameKind

BLOCK_EVENTS = 65_536
FRAME_EVENTS_MAX = 4096
STREAMS = {                      # what is read: the beginning of a topic, or a channel
    "bybit": ("allLiquidation.", "liquidation.", "publicTrade.", "orderbook.1.", "tickers."),
    "binance_um": ("forceOrder", "aggTrade", "trade", "bookTicker", "markPriceUpdate"),
    "okx": ("liquidation-orders", "trades", "bbo-tbt", "mark-price", "open-interest", "funding-rate"),
    "hyperliquid": ("trades", "bbo", "activeAssetCtx"),
}
_PRICE = re.compile(rb'"(?:p|ap|px|bkPx|markPx)"\s*:\s*"([0-9]{1,12}(?:\.[0-9]{1,12})?)"')


def detect(
    files: Annotated[tuple[Path, ...], Parameter(negative=())],
    /,
    *,
    quantile: float = 0.95,
    window_events: int = 1000,
    window_s: float = 60.0,
    min_events: int = 2,
    warmup: int = 100,
    refresh_s: float = 0.0,
    mode: Literal["chain", "anchored"] = "chain",
    floor: float = 0.0,
    instruments: Path | None = None,
) -> int:
    """Signals of recordings or event tables: one JSON line a phase change on stdout, a summary on stderr.

    Recordings are folders or files of raw frames (liqcore record, S4's hourly files, JSON lines of frames). Event tables are CSV files, plain
    or gzip, with the columns ts_ms, symbol, position (long or short: the side closed by force), price, qty_base, notional_usd. Several files
    are merged by time.

    Parameters
    ----------
    files
        Recordings, or event tables; not both at once.
    quantile
        A liquidation is large from this quantile of the contract's last ones on.
    window_events
        How many last ones.
    window_s
        Large events this close together make a cascade.
    min_events
        How many of them.
    warmup
        Liquidations of a contract before its first can be large.
    refresh_s
        Learn the threshold anew after this time; 0 = at every event.
    mode
        chain: within window-s of the last large event; anchored: of the first.
    floor
        Least notional of a large event, quote currency.
    instruments
        TOML file of contracts as `liqcore import` takes it: the multiplier of raw OKX frames, which count in contracts. A run says its own.
    """
    if not files:
        raise ConfigError("detect", "no files", "at least one recording or event table", "See `liqcore detect --help`")
    try:
        config = lc.CascadeConfig(quantile=quantile, window_events=window_events, window_s=window_s, min_events=min_events, warmup=warmup,
                                  refresh_s=refresh_s, mode=mode, floor=floor)
    except (ValueError, OverflowError) as why:
        raise ConfigError("detect", str(why)) from why
    for path in files:
        if not path.exists():
            raise ConfigError(str(path), "no such file or folder", "a recording or an event table")
    tables = [path for path in files if path.is_file() and is_table(path)]
    if tables and len(tables) != len(files):
        other = next(path for path in files if path not in tables)
        raise DataError(str(other), "a recording among event tables", "recordings only, or tables only", "Run detect once for each kind")
    if tables and instruments is not None:
        raise ConfigError("--instruments", "given with event tables", "recordings", "Tables have base units")
    return _tables(tables, config) if tables else _recordings(list(files), config, load_file(instruments) if instruments is not None else {})


def _tables(paths: list[Path], config: lc.CascadeConfig) -> int:
    table = read_tables(paths)
    names = _names(table)
    _, first = np.unique(table.events["instrument"], return_index=True)
    engine = lc.Engine([lc.Instrument(name, venue=venue, completeness=_completeness(venue), tick_size=_tick(float(price)))
                        for name, venue, price in zip(names, table.venues, table.events["price"][first], strict=True)], config)
    signals = 0
    for start in range(0, len(table.events), BLOCK_EVENTS):
        signals += _write(engine, engine.run(table.events[start:start + BLOCK_EVENTS]))
    for text in table.shown:
        _note(f"skipped {text}")
    for reason, count in table.skipped.most_common():
        _note(f"skipped rows: {count} of {table.rows}: {reason}")
    _summary(engine, signals)
    return 0


def _names(table: Table) -> list[str]:
    """Symbols as they are, with their venue in front where two venues share one."""
    counts = Counter(table.symbols)
    return [f"{venue}:{symbol}" if counts[symbol] > 1 else symbol for symbol, venue in zip(table.symbols, table.venues, strict=True)]


def _completeness(venue: str) -> lc.Completeness:
    return lc.Completeness["COMPLETENESS_" + COMPLETENESS.get(venue, UNKNOWN)]


def _tick(price: float) -> str:
    """A tick size for a contract of which only a price is known: 9 significant digits, with room for 100 times the price.

    Detection needs no exact ticks, but the engine's door refuses prices that are less than half a tick.
    """
    decimals = min(12, max(0, 8 - math.floor(math.log10(price)))) if price > 0 else 8
    return f"0.{'1':0>{decimals}}" if decimals else "1"


def _recordings(paths: list[Path], config: lc.CascadeConfig, given: Mapping[tuple[str, str], Mapping[str, Any]]) -> int:
    contracts, said = _contracts(paths)
    said |= {key: float(about["multiplier"]) for key, about in given.items() if "multiplier" in about}
    silent = [symbol for symbol in contracts.get("okx", ()) if ("okx", symbol) not in said]
    if silent:
        _note(f"OKX counts in contracts: notionals of {', '.join(silent)} are contracts x price, not dollars, until --instruments says the "
              "multiplier (ctVal x ctMult)")
    instruments = [lc.Instrument(symbol, venue=venue, completeness=adapter_of(venue).completeness, tick_size=_tick(price),
                                 multiplier=said.get((venue, symbol), 1.0))
                   for venue, symbols in contracts.items() for symbol, price in symbols.items()]
    engine = lc.Engine(instruments, config)
    decoders: dict[str, FrameDecoder] = {}
    for venue, symbols in contracts.items():
        decoders[venue] = adapter_of(venue).decoder(tuple(symbols), sum(len(decoder.symbols) for decoder in decoders.values()))
    damage: list[recording.Damage] = []
    unread: Counter[str] = Counter()
    signals = 0
    for block in _decoded(recording.merge(paths, damage), decoders, unread):
        signals += _write(engine, engine.run(block))
    for place in damage:
        _note(f"damaged: {place.file}: {place.reason}: {place.bytes_dropped} bytes, {place.lines_dropped} unfinished lines dropped")
    for reason, count in unread.most_common():
        _note(f"frames without events: {count}: {reason}")
    _summary(engine, signals)
    return 0


def _venue(record: Record) -> str:
    """Of a frame; "" = one of our own lines."""
    if record.exchange == "liqcore" or record.stream == recording.SKIP:
        return ""
    try:
        return adapter_of(record.exchange or "bybit").venue
    except ValueError as why:
        raise DataError(f"a frame at {record.ts_recv}", str(why), "frames of a venue that has a decoder", "Make an event table of them") from None


def _contracts(paths: list[Path]) -> tuple[dict[str, dict[str, float]], dict[tuple[str, str], float]]:
    """Venue -> symbol -> a first price, 0 where none was seen; and the multipliers that runs say."""
    out: dict[str, dict[str, float]] = {}
    said: dict[tuple[str, str], float] = {}
    for record in recording.merge(paths, []):
        if record.stream == META:
            said |= _multipliers(record)
        venue = _venue(record)
        stream = record.stream if venue in ("", "bybit") else label(venue, record.frame)[0].decode()
        if not venue or not stream.startswith(STREAMS[venue]):
            continue
        named = NAMED[venue].findall(record.frame) if venue in NAMED else [record.symbol.encode()]
        price = _PRICE.search(record.frame)
        for symbol in {raw.decode() for raw in named if raw}:
            if venue in NAMED and not re.fullmatch(adapter_of(venue).symbol, symbol):
                continue
            found = out.setdefault(venue, {})
            found[symbol] = found.get(symbol) or (float(price[1]) if price and len(named) == 1 else 0.0)
    if not out:
        raise DataError(", ".join(map(str, paths)), "no frame with a topic that the detector reads",
                        "; ".join(f"of {venue} {', '.join(streams)}" for venue, streams in STREAMS.items()))
    return out, said


def _multipliers(record: Record) -> dict[tuple[str, str], float]:
    """Of the contracts of a run, from its settings."""
    try:
        told = json.loads(record.frame).get("instruments", ())
        return {(str(i["venue"]), str(i["symbol"])): float(i["multiplier"]) for i in told if i.get("multiplier")}
    except (ValueError, KeyError, TypeError, AttributeError) as why:
        raise DataError(f"the settings of a run at {record.ts_recv}", f"{record.frame[:60]!r}", "what a run of liqcore wrote") from why


def _decoded(records: Iterable[Record], decoders: dict[str, FrameDecoder], unread: Counter[str]) -> Iterator[np.ndarray]:
    """Events of the frames, in blocks; each block is overwritten by the next."""
    out = np.zeros(BLOCK_EVENTS, lc.EVENT_DTYPE)
    room = BLOCK_EVENTS - FRAME_EVENTS_MAX
    count = last = 0
    for record in records:
        last = max(last, record.ts_recv)        # raw frames without a time of their own take that of the one before
        if record.stream in (FEED, GAP) and record.exchange == "liqcore":
            count += _feed(record, decoders, out[count:])
        elif (venue := _venue(record)) in decoders:
            found = decoders[venue].decode(record.frame, record.ts_recv or last, out[count:])
            if isinstance(found, int):
                count += found
            elif found.kind == FrameKind.EVENTS:
                count += len(found.events)
            else:
                unread[found.kind.name.lower() + (f": {found.reason}" if found.reason else "")] += 1
        if count > room:
            yield out[:count]
            count = 0
    if count:
        yield out[:count]


def _feed(record: Record, decoders: dict[str, FrameDecoder], out: np.ndarray) -> int:
    """A feed mark of the recorder, or frames that it had to drop, as an event for all instruments (of the venue): then the detector is uncertain."""
    try:
        found: dict = {"state": int(lc.FeedState.FEED_GAP)} if record.stream == GAP else json.loads(record.frame)
        state, decoder = int(lc.FeedState(found["state"])), decoders.get(found.get("venue", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as why:
        raise DataError(f"feed mark at {record.ts_recv}", f"{record.frame[:60]!r}", '{"state": 1, 2 or 3}') from why
    whole = range(decoder.first, decoder.first + len(decoder.symbols)) if decoder is not None and len(decoders) > 1 else (-1,)
    marked = concerns_of(found, whole, decoder.symbols, decoder.first) if decoder is not None else ((-1, 0),)
    for n, (instrument, streams) in enumerate(marked):
        out[n] = (record.ts_recv, record.ts_recv, 0.0, 0.0, 0.0, 0.0, 0, instrument, int(lc.Kind.FEED), 0, streams, state)
    return len(marked)


def _write(engine: lc.Engine, signals: list[lc.Signal]) -> int:
    """One JSON line a signal."""
    instruments = engine.instruments
    sys.stdout.writelines(json.dumps({
        "ts": s.ts, "instrument": instruments[s.instrument].symbol, "venue": instruments[s.instrument].venue, "detector": "cascade",
        "phase": s.phase.name, "side": s.side.name.lower(), "long_notional": s.long_notional, "short_notional": s.short_notional, "count": s.count,
        "threshold": s.threshold, "price": s.price, "z": s.z, "sequence": s.sequence, "ts_start": s.ts_start,
        "completeness": instruments[s.instrument].completeness.name.removeprefix("COMPLETENESS_").lower(), "flags": s.flags}) + "\n"
        for s in signals)
    return len(signals)


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _summary(engine: lc.Engine, signals: int) -> None:
    sys.stdout.flush()
    for reason, count in engine.refused.items():
        _note(f"refused events: {count}: {getattr(reason, 'name', reason)}")
    _note(f"{engine.events} events of {len(engine.instruments)} instruments, {signals} signals")
