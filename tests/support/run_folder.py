"""Run folders for tests of what reads them: frames of the synthetic market, recorded, decoded, and traded on paper by the engine."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

import liqcore as lc
from liqshell.emulator.market import Market
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.recording.recorder import Recorder
from liqshell.venues.bybit.decoder import PublicDecoder

HOUR_NS = 3_600_000_000_000
MS = 1_000_000
TOPICS = ("allLiquidation", "publicTrade", "orderbook.1")  # no tickers: without a mark price the side check stays silent


class Fade(lc.Policy):
    """The bracket of fade at every ACTIVE cascade."""

    def __init__(self, **settings):
        settings = {
            "entry_offset": 0.0015,
            "take_profit": 0.0015,
            "stop_loss": 0.0025,
            "notional": 2000.0,
            "entry_ttl_s": 1800.0,
            "max_hold_s": 1800.0,
            "cooldown_s": 300.0,
        } | settings
        self.brackets = {side: lc.Bracket(side, **settings) for side in (lc.LONG, lc.SHORT)}

    def on_signal(self, signal, market):
        return self.brackets[int(signal.side)] if signal.phase == lc.Phase.ACTIVE else None


def instruments_of(market: Market) -> tuple[lc.Instrument, ...]:
    out = []
    for c in market.contracts:
        out.append(
            lc.Instrument(
                c.symbol,
                venue="bybit",
                tick_size=f"{10.0**-c.tick_decimals:.{c.tick_decimals}f}",
                lot_size=f"{10.0**-c.lot_decimals:.{c.lot_decimals}f}",
                completeness=lc.Completeness.COMPLETENESS_FULL,
            )
        )
    return tuple(out)


def feed_event(ts: int, state: lc.FeedState) -> np.ndarray:
    """The feed of every instrument changed its state."""
    event = np.zeros(1, lc.EVENT_DTYPE)
    event["ts_event"] = event["ts_recv"] = ts
    event["instrument"], event["kind"], event["code"] = -1, lc.Kind.FEED, state
    return event


def make_run(
    folder: Path,
    *,
    hours: float = 1.0,
    seed: int = 7,
    speed: float = 60.0,
    symbols=("SOLUSDT", "DOGEUSDT"),
    market: dict | None = None,
    policy: lc.Policy | None = None,
    gap_s: float = 0.0,
    delay_ms: int = 3,
    fees=(0.0002, 0.00055),
) -> Path:
    """Trade `hours` of a generated market and leave the folder that the live shell would leave. gap_s: cut the feed in the middle."""
    source = Market(seed=seed, symbols=tuple(symbols), **(market or {}))
    instruments = instruments_of(source)
    start = source.parameters.start_ns
    end = start + round(hours * HOUR_NS)
    feed = SyntheticFeed(source, end)
    feed.wanted.update(f"{topic}.{symbol}" for topic in TOPICS for symbol in symbols)
    engine = lc.Engine(
        instruments, lc.CascadeConfig(warmup=30, window_events=500), policy or Fade(), lc.Risk(data_age_max_s=30.0), audit_capacity=1 << 20
    )
    paper = lc.Paper(engine, lc.SimVenue(instruments, maker_fee=fees[0], taker_fee=fees[1]))
    decoder = PublicDecoder(symbols)
    out = np.zeros(2048, lc.EVENT_DTYPE)
    frames, cut = 0, (start + (end - start) // 2, start + (end - start) // 2 + round(gap_s * 1e9))
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with Recorder(folder / "frames", meta={"synthetic": True}) as recorder:
        now, down = start, False
        while now < end:
            now += 20 * MS
            ts = now + delay_ms * MS
            if gap_s and cut[0] <= now < cut[1]:
                if not down:
                    paper.run(feed_event(ts, lc.FeedState.FEED_DOWN))
                    down = True
                feed.until(now)
                continue
            if down:
                paper.run(feed_event(ts, lc.FeedState.FEED_UP))
                down = False
            for frame in feed.until(now):
                recorder.append(ts, frame.payload)
                digest.update(frame.payload)
                frames += 1
                count = decoder.decode(frame.payload, ts, out)
                if isinstance(count, int) and count:
                    paper.run(out[:count])
        if hours:
            paper.advance(end)
    audit = engine.audit.drain()
    (folder / "audit.bin").write_bytes(audit.tobytes())
    (folder / "truth.json").write_text(json.dumps([dataclasses.asdict(c) for c in source.truth]))
    write_meta(
        folder, instruments, seed=seed, speed=speed, started_ns=start, ended_ns=end, frames=frames, events=engine.events, data_hash=digest.hexdigest()
    )
    return folder


def write_meta(folder: Path, instruments, **changes) -> None:
    """run.json as the live shell writes it."""
    meta = {
        "version": lc.__version__,
        "abi": lc.abi_version(),
        "mode": "paper",
        "synthetic": True,
        "speed": 60.0,
        "venue": "bybit",
        "name": "demo",
        "preset": "fade",
        "evidence": "contradicted: the published results do not survive checking",
        "instruments": [i.as_dict() for i in instruments],
        "wall_started_ns": 1_000_000_000,
        "wall_ended_ns": 61_000_000_000,
        "config": {"paper": {"equity": 10_000.0, "maker_fee": 20_000, "taker_fee": 55_000}},
        "config_hash": "0f" * 32,
        "counters": {"frames": changes.pop("frames", 0), "events": changes.pop("events", 0), "refused": {"BAD_TIME": 3}, "reconnects": 1},
        "latency": {"frame_to_step_us": {"p50": 3.1, "p99": 11.8, "max": 420.0, "n": 100_000}},
        "replay": {"identical": True, "records": 1234, "first_difference": None},
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(meta))
