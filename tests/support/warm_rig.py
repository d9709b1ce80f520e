"""A market that is run through in one piece, and in pieces: sessions as the live shell has them (recorder, keeper, pipeline) without sockets, in this
process or in one that is killed. Run as a program it is such a session: `python warm_rig.py FILE`."""

import functools
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import liqcore as lc
from liqcore.engine import SNAPSHOT_NAME
from liqcore.features.table import TABLE
from liqcore.snapshot import unpack
from liqshell.config.load import load
from liqshell.config.sections import WarmConfig
from liqshell.emulator.market import Market
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.live import learnt_keeper
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.journal import Journal
from liqshell.recording.recorder import END, FEED, META, REPORT, Recorder
from liqshell.run import replay
from liqshell.run.pipeline import Pipeline, settings
from liqshell.state import learnt
from liqshell.state.learnt import learnt_file
from liqshell.venues.bybit.decoder import TOPICS
from run_folder import instruments_of

MS = 1_000_000
FLUSHED = 50  # frames before a kill, what has been recorded is on the disk; of the rest perhaps a part
SYMBOLS = ("SOLUSDT", "DOGEUSDT")
NAMES = tuple(
    entry.key if entry.window != 0 else f"{entry.key}@{'1pct' if entry.group == 'map' else '5m'}" for entry in TABLE if "correlation" not in entry.key
)
MORE = ("liquidations.liq_volume@90s:rank", "map.pending_below@3pct:rank", "liquidations.liq_imbalance@15m:zscore", "price.return@5m:lag(1h)")
POLICY = '''
import json
import liqcore as lc

class Memory(lc.Policy):
    """Remembers every signal, asks to be asked again, and wants to trade both sides alike."""
    features = ("liquidations.liq_volume@90s:rank",)

    def __init__(self, default, brackets, parameters=None):
        self.seen, self.later, self.sums, self.default = 0, 0, {}, default

    def on_signal(self, signal, market):
        if market.now != signal.ts:
            self.later += 1
            return None
        self.seen += 1
        key = f"{signal.instrument} {int(signal.side)}"
        rank = market.feature(self.features[0])
        self.sums[key] = self.sums.get(key, 0.0) * 0.9 + rank if rank == rank else 0.0
        if signal.phase == lc.Phase.ACTIVE and self.seen % 3 == 0:
            return lc.Bracket(-signal.side, **self.default)
        return lc.Later(market.now + 1_800_000_000_000)

    def snapshot(self):
        return json.dumps([self.seen, self.later, self.sums], sort_keys=True).encode()

    def restore(self, data):
        self.seen, self.later, self.sums = json.loads(data) if data else (0, 0, {})
'''
DETECTOR = '''
import liqcore as lc

class Sums(lc.CustomDetector):
    """Remembers a fading sum of each side, and says when one is twice the other."""

    def start(self):
        self.sums, self.at = {-1: 0.0, 1: 0.0}, None

    def on_event(self, event):
        self.sums = {side: 0.9 * value + event.notional * (side == event.side) for side, value in self.sums.items()}
        self.at = event.ts + 5_000_000_000
        if self.sums[event.side] > 2.0 * self.sums[-event.side]:
            return lc.PhaseChange(lc.Phase.ACTIVE, event.side, z=self.sums[event.side])

    def deadline(self):
        return self.at

    def on_timer(self, now):
        self.at = None
        return lc.PhaseChange(lc.Phase.EXHAUSTED, 0)
'''
DETECTORS = ("anomaly", "dollar", "imbalance", "rate", "hawkes", "zone")


def write_config(folder: Path, more: str = "") -> Path:
    """Every kind of detector and of feature, and a policy that remembers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.py").write_text(POLICY)
    (folder / "sums.py").write_text(DETECTOR)
    path = folder / "warm.toml"
    detectors = "".join(f'[detectors.{kind}]\nkind = "{kind}"\n' + ("trigger_usd = 60000\n" if kind == "dollar" else "") for kind in DETECTORS)
    detectors += '[detectors.sums]\nkind = "sums.py:Sums"\n'
    path.write_text(
        f'[run]\nname = "warm"\nout = {json.dumps(str(folder / "runs"))}\n[detector]\nrefresh_s = 0\nwarmup = 60\n[policy]\nrule = "memory.py:Memory"\n'
        f"[features]\nnames = {json.dumps([*NAMES, *MORE])}\n[limits]\ndata_age_max_s = 12\nevent_age_max_s = 12\n{detectors}{more}"
    )
    return path


@functools.cache
def market(hours: float, seed: int = 7) -> tuple[tuple[lc.Instrument, ...], list[tuple[int, bytes]]]:
    """Contracts, and every frame with its time of receipt: no two alike, as a clock in ns gives them."""
    source = Market(seed=seed, symbols=SYMBOLS)
    end = source.parameters.start_ns + round(hours * 3600 * lc.SECOND)
    feed = SyntheticFeed(source, end)
    feed.wanted.update(f"{topic}.{symbol}" for topic in TOPICS for symbol in SYMBOLS)
    out, now = [], source.parameters.start_ns
    while now < end:
        now += 200 * MS
        out += [(now + 3 * MS + n, frame.payload) for n, frame in enumerate(feed.until(now))]
    return instruments_of(source), out


def cut(frames, at: int) -> int:
    """The first frame after a pause of 100 ms, from place `at` on: so long a process takes at least to end and begin again."""
    while 0 < at < len(frames) and frames[at][0] - frames[at - 1][0] < 100 * MS:
        at += 1
    return at


@pytest.fixture(scope="module")
def hour():
    """Contracts and frames of an hour in which both contracts are liquidated, on both sides."""
    return market(1.0, seed=5)


@pytest.fixture
def run(hour, tmp_path):
    """(configuration, folder of one session over the first half of the hour, with two images, where the second half begins)."""
    instruments, frames = hour
    config = write_config(tmp_path)
    half = cut(frames, len(frames) // 2)
    session(config, tmp_path / "runs" / "one", frames[:half], instruments, images=(10, half // 2))
    return config, tmp_path / "runs" / "one", half


def image_of(config: Path) -> learnt.Learnt:
    """What is kept."""
    found = learnt.load(learnt_file(load(config).run.out, "warm"))
    assert found is not None
    return found


def keeper_of(config, **more) -> learnt_keeper.Keeper:
    learnt_keeper.COST = 0.0
    more = {"name": config.run.name, "out": Path(config.run.out)} | more
    return learnt_keeper.Keeper(more.pop("warm", WarmConfig(every_s=0.0)), learnt_file(config.run.out, config.run.name), **more)


def session(config_file: Path, folder: Path, frames, instruments, *, images=(), kill: int = -1, mode: str = "paper", **more) -> learnt_keeper.Keeper:
    """One run of the live shell over these frames. images: at which frames the keeper is asked for one; kill: the frame after which the process dies.
    The feed is connected anew at the beginning; the run ends in good order 10 ms after the last frame."""
    config = load(config_file)
    keeper, start = keeper_of(config, **more), frames[0][0] - 2 * MS
    values = settings(config, instruments)
    begun = keeper.open(values, start, folder)
    values |= {"learnt": begun.text} if begun.text else {}
    pipeline = Pipeline(values, trust=True)
    book = Journal(
        folder,
        {
            "version": lc.__version__,
            "abi": lc.abi_version(),
            "mode": mode,
            "name": config.run.name,
            "synthetic": True,
            "venue": "bybit",
            "speed": 1.0,
            "settings": {**values, "learnt": ""},
            "instruments": values["instruments"],
            "started_ns": start,
            "warm": begun.as_dict(),
        },
    )
    keeper.bind(values, folder, start)
    recorder = Recorder(folder / "frames", flush_s=0.05)
    recorder.mark(start, META, values)
    recorder.mark(start + MS, FEED, {"state": int(lc.FeedState.FEED_UP), "ts_event": start + MS, "venue": "bybit"})
    pipeline.feed(lc.FeedState.FEED_UP, start + MS, start + MS, "bybit")
    for n, (ts, raw) in enumerate(frames):
        pipeline.frame(raw, ts, "bybit")
        recorder.append(ts, raw, "bybit")
        if n in images:
            book.audit(pipeline.drain_audit())
            keeper.turn(pipeline, recorder, ts)
            keeper._pool.submit(int).result()  # in this market no wall clock passes between two images
        if n == kill - FLUSHED:
            recorder.flush()
        if n == kill:
            os.kill(os.getpid(), signal.SIGKILL)
    last = frames[-1][0] + 10 * MS
    pipeline.advance(last)
    recorder.mark(last, END, {})
    assert recorder.close()
    book.audit(pipeline.drain_audit())
    keeper.end(pipeline)
    book.close(ended_ns=last, wall_ended_ns=1, counters={}, warm=keeper.as_dict())
    return keeper


def killed(config_file: Path, folder: Path, frames, instruments, images, kill: int) -> None:
    """The same in a process of its own that is killed with SIGKILL after frame `kill`."""
    told = folder.parent / f"{folder.name}.pickle"
    told.write_bytes(pickle.dumps((config_file, folder, frames, [i.as_dict() for i in instruments], images, kill)))
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(told)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    told.unlink()


def through(config_file: Path, instruments, folders, **more) -> Pipeline:
    """The recordings of runs by one engine that never ended; see run_through."""
    return run_through(settings(load(config_file), instruments), folders, **more)


def run_through(values, folders, stop: bool = True, ends: bool = True) -> Pipeline:
    """At the end of each the feed is lost. stop: also at the end of the last one. ends: False = nobody says when the first run ended, it is lost at the
    last thing that is known of it."""
    pipeline = Pipeline(values, trust=True)
    for k, folder in enumerate(folders):
        last = 0
        for record in recording.read(folder / journal.FRAMES):
            if record.stream in (META, REPORT) or (record.stream == END and not ends and k == 0):
                continue
            replay.enter(pipeline, record, folder)
            last = record.ts_recv
            pipeline.engine.audit.drain()
        if stop or k + 1 < len(folders):
            pipeline.feed(lc.FeedState.FEED_DOWN, last, max(last, pipeline.engine.now), "bybit")
    return pipeline


def learnt_parts(snapshot: bytes, count: int = len(SYMBOLS)) -> dict[str, bytes]:
    """What is learnt, by what it is: market, side checks, features with maps and ranks, what policies remember and wait for, and each detector of each
    contract; of the clock, the time."""
    parts = unpack(SNAPSHOT_NAME, snapshot, "engine")
    names = [one["name"] for one in json.loads(parts[0])["detectors"]]
    out = {
        "now": parts[1][:8],
        "market": parts[3],
        "sides": parts[5],
        "features": parts[8],
        "policies": parts[9],
        "whole since": parts[10],
        "phases": parts[11],
    }
    return out | {f"{name} {n}": parts[12 + k * count + n] for k, name in enumerate(names) for n in range(count)}


def differing(a: bytes, b: bytes, count: int = len(SYMBOLS)) -> list[str]:
    left, right = learnt_parts(a, count), learnt_parts(b, count)
    return [name for name in left if left[name] != right[name]]


def main(told: str) -> None:
    config, folder, frames, fields, images, kill = pickle.loads(Path(told).read_bytes())
    session(config, folder, frames, tuple(lc.Instrument(**one) for one in fields), images=images, kill=kill)


if __name__ == "__main__":
    main(sys.argv[1])
