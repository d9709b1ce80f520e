"""Runs of which the tickers say funding, index and open interest once, in the first hour: seeded frames as Bybit sends them, one a moment, as a clock
in ns gives them."""

from pathlib import Path

import numpy as np
import orjson

import liqcore as lc
from liqcore.features.table import TABLE
from liqshell.config.load import loads
from liqshell.recording import journal
from liqshell.recording.recorder import END, FEED, META, Recorder
from liqshell.run.pipeline import Pipeline, settings

HOUR = 3600 * lc.SECOND
T0 = 1_770_595_200_000_000_000  # 2026-02-09 00:00 UTC
SYMBOLS = ("BTCUSDT", "SOLUSDT")
FUNDING = {"BTCUSDT": "0.0001", "SOLUSDT": "0"}  # a rate of 0 is a rate
OPEN_INTEREST = {"BTCUSDT": "51234.567", "SOLUSDT": "812345.6"}
# those of the table with their default windows; where a window must be given, of what its kernel takes
NAMES = tuple(entry.key if entry.window != 0 else f"{entry.key}@{'1pct' if entry.group == 'map' else '5m'}" for entry in TABLE)
INSTRUMENTS = tuple(
    lc.Instrument(symbol, venue="bybit", tick_size=tick, lot_size="0.001", completeness=lc.Completeness.COMPLETENESS_FULL)
    for symbol, tick in zip(SYMBOLS, ("0.10", "0.010"), strict=True)
)


def topic(name: str, symbol: str, ts: int, data, kind: str = "snapshot", **more) -> bytes:
    return orjson.dumps({"topic": f"{name}.{symbol}", "type": kind, **more, "data": data, "ts": ts // 10**6})


def ticker(symbol: str, ts: int, number: int, values: dict[str, str], fresh: bool = False) -> bytes:
    message = {
        "topic": f"tickers.{symbol}",
        "type": "snapshot" if fresh else "delta",
        "data": {"symbol": symbol, **values},
        "cs": number,
        "ts": ts // 10**6,
    }
    return orjson.dumps(message)


def frames(hours: float, seed: int = 3, quotes: bool = True):
    """(ts_recv, frame): a walk of both contracts; the first ticker of each is the only one that says more than the mark."""
    rng = np.random.default_rng(seed)
    out, price = [], {"BTCUSDT": 700_000, "SOLUSDT": 15_000}
    for k, symbol in enumerate(SYMBOLS):
        tick = float(INSTRUMENTS[k].tick_size)
        digits = 1 if k == 0 else 2
        number = 100 * k
        for step in range(round(hours * 1200)):
            ts = T0 + step * 3 * lc.SECOND + 250_000_000 * k + int(rng.integers(0, 1000))
            price[symbol] += int(rng.integers(-4, 5))
            at, size = price[symbol], lambda: f"{rng.integers(1, 90_000) / 1000:.3f}"

            def text(ticks, tick=tick, digits=digits):
                return f"{ticks * tick:.{digits}f}"

            number += 1
            if step == 0 or step % 7 == 3:
                values = {"markPrice": text(at)}
                if step == 0:
                    values |= {"indexPrice": text(at - 3), "openInterest": OPEN_INTEREST[symbol], "fundingRate": FUNDING[symbol]}
                out.append((ts + 10_000, ticker(symbol, ts - 30_000_000, number, values, step == 0)))
            if quotes:
                book = {"s": symbol, "b": [[text(at), size()]], "a": [[text(at + 1), size()]], "u": number}
                out.append((ts + 20_000, topic("orderbook.1", symbol, ts - 20_000_000, book, cts=ts // 10**6 - 25)))
            if step % 2 == 1:
                rows = [
                    {
                        "T": ts // 10**6 - 40,
                        "s": symbol,
                        "S": str(rng.choice(["Buy", "Sell"])),
                        "v": size(),
                        "p": text(at + int(rng.integers(0, 2))),
                        "i": f"{number}-{n}",
                        "BT": False,
                    }
                    for n in range(int(rng.integers(1, 4)))
                ]
                out.append((ts + 30_000, topic("publicTrade", symbol, ts - 40_000_000, rows)))
            if rng.random() < 0.08:
                rows = [
                    {"T": ts // 10**6 - 90 + n, "s": symbol, "S": str(rng.choice(["Buy", "Sell"])), "v": size(), "p": text(at - 40 + n)}
                    for n in range(int(rng.integers(1, 4)))
                ]
                out.append((ts + 40_000, topic("allLiquidation", symbol, ts - 80_000_000, rows)))
            if step % 50 == 1:
                said = (
                    {"symbol": symbol, "buyLmt": text(at + 500), "sellLmt": text(at - 500)}
                    if step < 2000 or k
                    else {"symbol": symbol, "buyLmt": "", "sellLmt": ""}
                )
                out.append((ts + 50_000, orjson.dumps({"topic": f"priceLimit.{symbol}", "data": said, "ts": ts // 10**6})))
            if step % 200 == 3 and k == 0:
                rows = [
                    {"c": "USDT", "s": name, "b": 20_000.5 - step, "mb": "", "i_pr": -0.3, "pr": -0.00005 * step, "adl_tt": 10_000, "adl_sr": -0.25}
                    for name in ("FWOGUSDT", *SYMBOLS)
                ]
                out.append((ts + 60_000, orjson.dumps({"topic": "adlAlert.USDT", "type": "snapshot", "data": rows, "ts": ts // 10**6})))
    return sorted(out, key=lambda f: f[0])


def values_of() -> dict:
    found = settings(loads(""), list(INSTRUMENTS))
    return {**found, "features": list(NAMES)}


def record(folder: Path, found, end: int, marks=()) -> Path:
    """The run that would have received these frames. marks: (ts, FeedState, ts_event) of the feed."""
    values = values_of()
    (folder / journal.FRAMES).mkdir(parents=True)
    with Recorder(folder / journal.FRAMES) as recorder:
        recorder.mark(T0 - 2, META, values)
        recorder.mark(T0 - 1, FEED, {"state": int(lc.FeedState.FEED_UP), "ts_event": T0 - 1})
        for ts, what, more in sorted([(ts, frame, None) for ts, frame in found] + list(marks), key=lambda r: r[0]):
            if more is None:
                recorder.append(ts, what)
            else:
                recorder.mark(ts, FEED, {"state": int(what), "ts_event": more})
        recorder.mark(end, END, {})
    return folder


def live(found, moments, marks=()) -> np.ndarray:
    """The engine of a run, fed frame by frame by the pipeline of the live shell: its features at these moments, [moment, contract, feature]."""
    pipeline = Pipeline(values_of(), trust=True)
    pipeline.feed(lc.FeedState.FEED_UP, T0 - 1, T0 - 1)
    out, at = np.empty((len(moments), len(SYMBOLS), len(NAMES))), 0
    for ts, what, more in [*sorted([(ts, frame, None) for ts, frame in found] + list(marks), key=lambda r: r[0]), (1 << 61, b"", None)]:
        while at < len(moments) and moments[at] < ts:
            pipeline.advance(int(moments[at]))
            out[at] = [[pipeline.engine.feature(name, n) for name in NAMES] for n in range(len(SYMBOLS))]
            at += 1
        if at == len(moments):
            return out
        if more is None:
            pipeline.frame(what, ts)
        else:
            pipeline.feed(what, more, ts)
    return out


def of_events(events: np.ndarray, moments) -> np.ndarray:
    """The same of events in order of receipt."""
    features, at = lc.Features(list(NAMES), INSTRUMENTS), 0
    out = np.empty((len(moments), len(SYMBOLS), len(NAMES)))
    for k, moment in enumerate(moments):
        stop = int(np.searchsorted(events["ts_recv"], moment, "right"))
        features.push(events[at:stop])
        out[k], at = features.table(int(moment)), stop
    assert not features.refused
    return out


def differ(a: np.ndarray, b: np.ndarray) -> list[str]:
    """The features that are not equal to the bit, with the first moment and contract of each."""
    wrong = ~((a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b)))
    return [
        f"{name}: {a[t, n, r]!r} and {b[t, n, r]!r} at moment {t} of {SYMBOLS[n]}"
        for r, name in enumerate(NAMES)
        for t, n in np.argwhere(wrong[:, :, r])[:1]
    ]
