"""Folders of recorded runs without sockets: frames of the generated market through the live pipeline, recorded as the live shell records them."""

import json
import time
from pathlib import Path

import numpy as np

import liqcore as lc
from liqshell.config.load import Config, loads
from liqshell.emulator.market import Market
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.recording import journal
from liqshell.recording.journal import Journal
from liqshell.recording.recorder import END, FEED, META, Recorder
from liqshell.run.pipeline import Pipeline, settings
from liqshell.venues.bybit.decoder import TOPICS
from run_folder import instruments_of

MS = 1_000_000
SETTINGS = """
[detector]
refresh_s = 0
warmup = 30
[limits]
data_age_max_s = 12
event_age_max_s = 12
"""


def record_run(
    folder: Path,
    *,
    hours: float = 1.0,
    seed: int = 7,
    symbols=("SOLUSDT", "DOGEUSDT"),
    config: Config | None = None,
    cut_s: float = 0.0,
    topics=TOPICS,
    market: dict | None = None,
) -> Path:
    """Trade `hours` of a generated market on paper. cut_s: the feed is down for so long in the middle."""
    config = config or loads(SETTINGS)
    source = Market(seed=seed, symbols=tuple(symbols), **(market or {}))
    instruments = instruments_of(source)
    start = source.parameters.start_ns
    end = start + round(hours * 3600 * lc.SECOND)
    feed = SyntheticFeed(source, end)
    feed.wanted.update(f"{topic}.{symbol}" for topic in topics for symbol in symbols)
    values = settings(config, instruments)
    pipeline = Pipeline(values, trust=True)
    book = Journal(
        folder,
        {
            "version": lc.__version__,
            "abi": lc.abi_version(),
            "mode": "paper",
            "synthetic": True,
            "venue": "bybit",
            "speed": 1.0,
            "config": config.as_dict(),
            "settings": values,
            "instruments": values["instruments"],
            "started_ns": start,
        },
    )
    middle = start + (end - start) // 2
    with Recorder(folder / "frames") as recorder:
        recorder.mark(start, META, values)
        mark(recorder, pipeline, lc.FeedState.FEED_UP, start, start)
        now, down = start, False
        while now < end:
            now += 50 * MS
            missing = middle <= now < middle + cut_s * lc.SECOND
            if missing != down:
                down = missing
                mark(recorder, pipeline, lc.FeedState.FEED_DOWN if down else lc.FeedState.FEED_UP, now, now + MS)
            for frame in feed.until(now):
                if not missing:
                    recorder.append(now + 3 * MS, frame.payload)
                    pipeline.frame(frame.payload, now + 3 * MS)
            if now % (10 * lc.SECOND) < 50 * MS:
                pipeline.advance(now)  # as the timers of the live shell do, whenever they look
                book.audit(pipeline.drain_audit())
        last = end + 10 * MS
        pipeline.advance(last)
        recorder.mark(last, END, {})
    book.audit(pipeline.drain_audit())
    book.close(ended_ns=last, wall_ended_ns=time.time_ns(), counters={})
    return folder


def mark(recorder: Recorder, pipeline: Pipeline, state: lc.FeedState, ts_event: int, ts_recv: int) -> None:
    recorder.mark(ts_recv, FEED, {"state": int(state), "ts_event": ts_event})
    pipeline.feed(state, ts_event, ts_recv)


def of_kind(audit: np.ndarray, kind: lc.AuditKind) -> np.ndarray:
    return audit[audit["kind"] == int(kind)]


def study_of(folder: Path) -> dict:
    return json.loads((folder / "study.json").read_text())


def audit_of(folder: Path) -> np.ndarray:
    return journal.load_audit(folder)
