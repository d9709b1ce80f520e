"""The other venues: what their frames cost to read, and 500 contracts at each of three venues through decode, features and detection on one core.

The flood runs in a process of its own, so that its memory is its own: `python -m benches.venues` prints one JSON line.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benches import build, venue_streams
from benches.streams import BASE_MS
from benches.timing import Case, Contestant, measure, per_item

FRAMES = 256
FLOOD_VENUES = ("bybit", "binance_um", "okx")
CONTRACTS, RATE, DISTINCT = 500, 50_000, 200_000
FEATURES = (
    "liquidations.liq_imbalance@1m:zscore",
    "liquidations.liq_volume@1m",
    "flow.ofi@10s",
    "flow.trade_imbalance@1m",
    "price.return@1m",
    "volatility.realised@5m",
    "oi.oi_change@5m",
    "funding.funding",
)
CASCADE = {"kind": "cascade", "name": "cascade", "window_events": 200}
DETECTORS = (CASCADE, {"kind": "rate", "name": "rate"}, {"kind": "dollar", "name": "dollar"})


def kinds() -> list[tuple[str, str]]:
    return [
        (venue, kind)
        for venue in ("binance_um", "okx", "hyperliquid")
        for kind in venue_streams.KINDS
        if not (venue == "hyperliquid" and kind == "liquidation")
    ]


def typed(venue: str, kind: str):
    """msgspec with typed structs, numbers in quotes turned into floats while parsing: the fastest general way we know. None: not installed."""
    try:
        import msgspec
    except ImportError:
        return None
    shapes = {
        ("binance_um", "quote"): {"s": str, "b": float, "B": float, "a": float, "A": float, "T": int},
        ("binance_um", "trade"): {"s": str, "p": float, "q": float, "T": int, "m": bool},
        ("binance_um", "ticker"): {"s": str, "p": float, "i": float, "r": float, "E": int},
        ("binance_um", "liquidation"): {"o": {"s": str, "S": str, "ap": float, "z": float, "X": str, "T": int}},
        ("okx", "quote"): {
            "arg": {"instId": str},
            "data": [{"asks": list[tuple[float, float, str, str]], "bids": list[tuple[float, float, str, str]], "ts": int}],
        },
        ("okx", "trade"): {"data": [{"instId": str, "px": float, "sz": float, "side": str, "ts": int}]},
        ("okx", "ticker"): {"data": [{"instId": str, "markPx": float, "ts": int}]},
        ("okx", "liquidation"): {"data": [{"instId": str, "details": [{"side": str, "bkPx": float, "sz": float, "ts": int}]}]},
        ("hyperliquid", "quote"): {"data": {"coin": str, "time": int, "bbo": [{"px": float, "sz": float}]}},
        ("hyperliquid", "trade"): {"data": [{"coin": str, "side": str, "px": float, "sz": float, "time": int}]},
        ("hyperliquid", "ticker"): {"data": {"coin": str, "ctx": {"funding": float, "openInterest": float, "markPx": float, "oraclePx": float}}},
    }

    def struct(keys):
        if isinstance(keys, list):
            return list[struct(keys[0])]
        if isinstance(keys, dict):
            return msgspec.defstruct("Row", [(name, struct(inner)) for name, inner in keys.items()])
        return keys

    return msgspec.json.Decoder(struct(shapes[venue, kind]), strict=False).decode


def decode_cases(repeats: int, target_ms: float) -> list[dict]:
    from liqcore.event import EVENT_DTYPE
    from liqshell.venues.adapters import adapter_of

    out = []
    for venue, kind in kinds():
        frames = venue_streams.frames(venue, kind, FRAMES)
        decoder, room = adapter_of(venue).decoder([venue_streams.SYMBOL[venue].format("C000")]), np.zeros(64, EVENT_DTYPE)
        for frame in frames:
            found = decoder.decode(frame, 1, room)
            if (found if isinstance(found, int) else len(found.events)) != 1:
                raise AssertionError(f"{venue} {kind}: {found} from {frame!r}")
        entries = [
            Contestant("ours", per_item(lambda frame, d=decoder, r=room: d.decode(frame, 1, r), frames)),
            Contestant("ours, general path", per_item(lambda frame, d=decoder: d.read(frame, 1), frames), note="orjson; the oracle"),
        ]
        rival = typed(venue, kind)
        if rival is not None:
            entries.append(Contestant("msgspec", per_item(rival, frames), note="typed, no check of the other keys"))
        skipped = {} if rival is not None else {"msgspec": "not installed here"}
        out.append(
            measure(
                Case(f"decode.{venue}.{kind}", f"decode {venue} {kind} ({len(frames[0])} B): one Python call a frame", "frame", entries, skipped),
                repeats,
                target_ms,
            )
        )
        if decoder.scan.decode(frames[0], 1, room) == 1:
            loop = build.probe().DecodeLoop(decoder.scan, frames)
            out.append(
                measure(
                    Case(
                        f"decode.{venue}.{kind}.c",
                        f"decode {venue} {kind} inside C",
                        "frame",
                        [Contestant("ours", lambda n, loop=loop: lambda: loop.run(n))],
                    ),
                    repeats,
                    target_ms,
                )
            )
    return out


def own_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(float(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("RssAnon"))


def loop_of(frames, features, detectors, contracts=CONTRACTS):
    """A VenuesLoop over an engine with all contracts of all venues."""
    import liqcore as lc
    from liqcore.detectors.registry import make_detector
    from liqshell.venues.adapters import adapter_of

    instruments, decoders = [], []
    for venue in FLOOD_VENUES:
        symbols = [venue_streams.SYMBOL[venue].format(f"C{n:03d}") for n in range(contracts)]
        adapter = adapter_of(venue)
        decoders.append(adapter.decoder(symbols, len(instruments)))
        instruments += [lc.Instrument(name, venue=venue, tick_size="0.01", lot_size="0.001", completeness=adapter.completeness) for name in symbols]
    engine = lc.Engine(instruments, detectors=[make_detector(**one) for one in detectors], features=list(features)) if detectors else None

    def general(venue: int, frame: bytes, ts_recv: int):
        return np.array(decoders[venue].read(frame, ts_recv).events, lc.EVENT_DTYPE)

    return build.probe("flood").VenuesLoop([one.scan for one in decoders], frames, engine, general, BASE_MS * 10**6, 10**9 // RATE), engine


def flood(total: int, distinct: int, contracts: int = CONTRACTS) -> dict:
    """Frames a second, and memory, of decode + cascade, and of that with features and two more detectors."""
    frames = venue_streams.mixed(list(FLOOD_VENUES), contracts, distinct, RATE)
    out: dict = {"contracts": contracts, "venues": len(FLOOD_VENUES), "bytes_a_frame": sum(len(frame) for _, frame in frames) / len(frames)}
    for name, features, detectors in (
        ("decode", (), ()),
        ("decode and cascade", (), (CASCADE,)),
        ("decode, features and three detectors", FEATURES, DETECTORS),
    ):
        before = own_mb()
        loop, engine = loop_of(frames, features, detectors, contracts)
        loop.run(distinct)  # the first time every contract is seen
        ready, rates = own_mb(), []
        for _ in range(max(3, total // distinct)):
            began = time.process_time()
            loop.run(distinct)
            rates.append(distinct / (time.process_time() - began))
        after = own_mb()
        out[name] = {
            "rates": rates,
            "share_by_shape": loop.by_shape / (loop.by_shape + loop.by_general),
            "events": loop.events,
            "signals": loop.signals,
            "refused": {key.name: count for key, count in engine.refused.items()} if engine is not None else {},
            "bytes_a_symbol": (ready - before) * 2**20 / (contracts * len(FLOOD_VENUES)),
            "grown_mb": after - ready,
        }
        del loop, engine
    return out


def flood_cases(quick: bool) -> list[dict]:
    command = [sys.executable, "-m", "benches.venues", *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=build.ROOT, env=build.environment(), timeout=1800)
    if done.returncode:
        raise RuntimeError(f"benches.venues failed:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    ways = [name for name in found if isinstance(found[name], dict)]

    def case(label: str, title: str, unit: str, values) -> dict:
        return {
            "id": f"venues.flood.{label}",
            "title": title,
            "unit": unit,
            "skipped": {},
            "contestants": {
                name: {
                    "min": min(values(found[name])),
                    "median": float(np.median(values(found[name]))),
                    "max": max(values(found[name])),
                    "samples": len(values(found[name])),
                    "items": DISTINCT,
                    "note": "",
                }
                for name in ways
            },
        }

    what = f"{found['contracts']} contracts at each of {found['venues']} venues, one core"
    return [
        case("rate", f"{what}: processor time, frames of {found['bytes_a_frame']:.0f} B", "frames/s", lambda one: one["rates"]),
        case("memory", f"{what}: memory a contract", "B", lambda one: [one["bytes_a_symbol"]]),
        case("growth", f"{what}: memory that it grew by in the measured rounds", "MB", lambda one: [max(0.0, one["grown_mb"])]),
    ]


def run(quick: bool) -> list[dict]:
    repeats, target_ms = (3, 1.0) if quick else (40, 3.0)
    return decode_cases(repeats, target_ms) + flood_cases(quick)


if __name__ == "__main__":
    small = "--quick" in sys.argv
    print(json.dumps(flood(60_000 if small else 2_000_000, 20_000 if small else DISTINCT, 50 if small else CONTRACTS)))
