"""What a recording costs while it is written, and how fast it is read; and the live process under a flood, for as long as one likes.

    python -m benches.recording                         cost of a frame, events a second of zstandard and gzip
    python -m benches.recording --flood 300             the flood for so many seconds: 500 contracts at each of three emulated venues over loopback
                                                        sockets, through listener, decoder, engine and recorder, on paper

Times are processor time of the thread at work.
"""

import argparse
import asyncio
import gc
import gzip
import multiprocessing
import os
import resource
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np

from benches import venue_streams
from benches.streams import BASE_MS

VENUES = ("bybit", "binance_um", "okx")
CONTRACTS, RATE, DISTINCT = 500, 50_000, 200_000
MEMBER_FRAMES = 5_000  # of a flush: a run of 10,000 frames a second
T0 = BASE_MS * 1_000_000
TICK_S = 0.002  # of a venue: it sends what has become due


def symbols(venue: str) -> list[str]:
    return [venue_streams.SYMBOL[venue].format(f"C{n:03d}") for n in range(CONTRACTS)]


def settings_of() -> dict:
    """What a run on paper of all contracts begins with."""
    import liqcore as lc
    from liqshell.config.load import loads
    from liqshell.run import pipeline
    from liqshell.venues.adapters import adapter_of

    def names(venue: str) -> str:
        return ",".join(f'"{name}"' for name in symbols(venue))

    others = "".join(f"[feeds.{venue}]\nsymbols=[{names(venue)}]\n" for venue in VENUES[1:])
    config = loads(
        f'[feed]\nvenue="{VENUES[0]}"\nsymbols=[{names(VENUES[0])}]\n{others}[detector]\nwarmup=30\nrefresh_s=0\n'
        "[limits]\ndata_age_max_s=12\nevent_age_max_s=12\npositions_max=1500\norders_per_minute_max=1024\nexposure_max=1e11\n"
        "daily_loss_max=1.0\nweekly_loss_max=1.0\nleverage_max=1000.0\n[paper]\nequity=1e9\n"
    )
    return pipeline.settings(
        config,
        [
            lc.Instrument(name, venue=venue, tick_size="0.01", lot_size="0.001", completeness=adapter_of(venue).completeness)
            for venue in VENUES
            for name in symbols(venue)
        ],
    )


def spread(values: list[float], scale: float = 1.0) -> str:
    return f"{np.median(values) * scale:.3f} ({min(values) * scale:.3f} to {max(values) * scale:.3f})"


def write(frames: list[tuple[int, bytes]], folder: Path, values: dict, rounds: int) -> list[tuple[float, float]]:
    """Seconds a frame of keeping it and of writing it, round by round, with one recording of all of them left behind."""
    from liqcore.event import FeedState
    from liqshell.recording.recorder import END, FEED, META, Recorder

    out, ts, step = [], T0, 10**9 // RATE
    with Recorder(folder, flush_s=3600.0) as recorder:
        recorder.mark(T0, META, values)
        taps = [recorder.tap(venue) for venue in VENUES]
        for _ in range(rounds):
            kept = written = 0.0
            for state in (FeedState.FEED_DOWN, FeedState.FEED_UP):  # a new connection: the numbers of tickers begin again
                recorder.mark(ts, FEED, {"state": int(state), "ts_event": ts})
            for n in range(0, len(frames), MEMBER_FRAMES):
                part = [(ts + k * step, taps[v], raw) for k, (v, raw) in enumerate(frames[n : n + MEMBER_FRAMES])]
                ts += len(part) * step
                began = time.thread_time()
                for at, tap, raw in part:
                    tap.keep(raw, at)
                kept += time.thread_time() - began
                began = time.thread_time()
                recorder.flush()
                written += time.thread_time() - began
            out.append((kept / len(frames), written / len(frames)))
        recorder.mark(ts, END, {})
    return out


def read(path: Path, how: str) -> float:
    """Events a second. how: "stated" as they are read, "ordered" also validated."""
    from liqshell import formats

    began, count = time.thread_time(), 0
    for block in getattr(formats.read(path), how)():
        count += len(block) if how == "ordered" else len(block.events)
    return count / (time.thread_time() - began)


def unpack(path: Path) -> float:
    """Seconds of unpacking alone."""
    from liqshell.recording import packing

    began = time.thread_time()
    for file in packing.frame_files(path):
        for _ in packing.pieces(file):
            pass
    return time.thread_time() - began


def costs(rounds: int, contracts: int) -> None:
    from liqshell.recording import packing

    frames = venue_streams.mixed(list(VENUES), contracts, DISTINCT, RATE)
    with tempfile.TemporaryDirectory() as folder:
        run, before = Path(folder) / "run", Path(folder) / "gzip"
        found = write(frames, run, settings_of(), rounds)
        before.mkdir()
        for file in packing.frame_files(run):
            with (before / file.name.replace(packing.SUFFIX, ".jsonl.gz")).open("wb") as out:
                for piece in packing.pieces(file):
                    out.write(gzip.compress(piece, 3))
        mean = sum(len(raw) for _, raw in frames) / len(frames)
        print(
            f"load {os.getloadavg()[0]:.1f}; {rounds} x {DISTINCT} frames of {mean:.0f} B, {contracts} contracts a venue; median (least to most) of {rounds}"
        )
        print(f"keep a frame   {spread([one[0] for one in found], 1e6)} us, under the interpreter's lock")
        print(f"write a frame  {spread([one[1] for one in found], 1e6)} us, nearly all of it without")
        for name, path in (("zstandard", run), ("gzip", before)):
            size = sum(file.stat().st_size for file in packing.frame_files(path))
            decoded, events = [read(path, "stated") for _ in range(rounds)], [read(path, "ordered") for _ in range(rounds)]
            alone = [rounds * DISTINCT / unpack(path) for _ in range(rounds)]
            print(
                f"{name:<10} {size / 1e6:.1f} MB; M events/s: read {spread(decoded, 1e-6)}, and validated {spread(events, 1e-6)}, "
                f"unpacked alone {spread(alone, 1e-6)}"
            )


# ---- the flood


def venue_process(address, seconds: float) -> None:
    """Three venues that send their share of the flood, each to whoever connects to its path, in the time of now."""
    import picows

    frames: list[list[bytes]] = [[], [], []]
    for v, raw in venue_streams.mixed(list(VENUES), CONTRACTS, DISTINCT, 1e15):  # all in the same second
        frames[v].append(raw)

    async def send(transport, own: list[bytes]) -> None:
        began, sent, old = time.monotonic(), 0, str(BASE_MS // 1000).encode()
        while (passed := time.monotonic() - began) < seconds and not transport.is_disconnected:
            now = str(int(time.time())).encode()
            due = min(int(passed * RATE / len(VENUES)), sent + 2000)
            for n in range(sent, due):
                transport.send(picows.WSMsgType.TEXT, own[n % len(own)].replace(old, now))
            sent = due
            await asyncio.sleep(TICK_S)
        transport.disconnect()

    class Listener(picows.WSListener):
        def __init__(self, number: int):
            self.number = number

        def on_ws_connected(self, transport):
            self.task = asyncio.get_running_loop().create_task(send(transport, frames[self.number]))

    async def run() -> None:
        server = await picows.ws_create_server(lambda request: Listener(int(request.path.rpartition(b"/")[2])), "127.0.0.1", 0)
        address.send(server.sockets[0].getsockname()[1])
        await asyncio.sleep(seconds + 10.0)

    asyncio.run(run())


def thread_seconds() -> dict[int, float]:
    """Processor seconds of each thread of this process."""
    tick, out = os.sysconf("SC_CLK_TCK"), {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        out[int(task.name)] = (int(fields[11]) + int(fields[12])) / tick
    return out


def own_mb() -> float:
    return next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))


def tell(pipe, recorder, writer: int, listeners: list, measured: tuple[float, dict[int, float], int]) -> None:
    """Of the first part of a flood. writer: the recorder's thread; measured: seconds, processor seconds of each thread, frames."""
    passed, spent, frames = measured
    others = sum(one.others for one in listeners)
    print(
        f"load {os.getloadavg()[0]:.1f}; {frames / passed:,.0f} frames/s, {others} by the general parser, {recorder.dropped} dropped, "
        f"{recorder.written} lines written, {recorder.alarms} failed writes"
    )
    main = threading.main_thread().native_id
    print(
        f"processor: sockets, decoder, engine {spent[main] / passed:.1%} of a core, recorder's thread {spent.get(writer, 0.0) / passed:.1%}, "
        f"others {sum(value for name, value in spent.items() if name not in (main, writer)) / passed:.1%}"
    )
    for name, found in pipe.sink.latency().items():
        print(
            f"in the engine, {name}: "
            + ", ".join(f"{key} {value / (1 if key == 'n' else 1000):,.1f}{'' if key == 'n' else ' us'}" for key, value in found.items())
        )


async def flood(seconds: float, folder: Path) -> None:
    import picows

    from liqshell.recording.recorder import META, Recorder
    from liqshell.run.feed_listener import FeedListener, WireClock
    from liqshell.run.pipeline import Pipeline

    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    venues = multiprocessing.get_context("spawn").Process(target=venue_process, args=(theirs, seconds), daemon=True)
    venues.start()
    port = await asyncio.get_running_loop().run_in_executor(None, ours.recv)
    values, clock = settings_of(), WireClock()
    pipe = Pipeline(values, trust=True)
    late, looks = np.zeros(round(seconds * 1000) + 1), 0
    with Recorder(folder, flush_s=0.5) as recorder:
        recorder.mark(clock.now_ns(), META, values)
        writer = next(one.native_id for one in threading.enumerate() if one.name == "liqcore-record")
        listeners = [
            FeedListener(one.decoder.scan, one.sink, one.other, tap=recorder.tap(one.venue), clock=clock)
            for one in (pipe.sources[venue] for venue in VENUES)
        ]
        for n, listener in enumerate(listeners):
            await picows.ws_connect(lambda listener=listener: listener, f"ws://127.0.0.1:{port}/{n}")
        began, cpu, blocks, seen, step = time.monotonic(), thread_seconds(), 0, 0, 0
        tracemalloc_from = seconds * 0.8  # it slows what it counts, so the figures are taken before
        measured = None
        while (passed := time.monotonic() - began) < seconds - 1.0:
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            if not tracemalloc.is_tracing():
                late[looks] = time.perf_counter() - asked - 0.001
                looks += 1
            if passed >= step * seconds / 10:
                step += 1
                pipe.advance(clock.now_ns())
                pipe.drain_audit()
                print(f"{passed:6.0f} s  {sum(one.frames for one in listeners):>10} frames  {own_mb():7.1f} MB of its own", flush=True)
            if passed > tracemalloc_from and measured is None:
                now = thread_seconds()
                measured = passed, {name: now[name] - cpu.get(name, 0.0) for name in now}, sum(one.frames for one in listeners)
                gc.collect()
                tracemalloc.start()
                blocks, seen = sum(one.count for one in tracemalloc.take_snapshot().statistics("filename")), sum(one.events for one in listeners)
        gained = sum(one.count for one in tracemalloc.take_snapshot().statistics("filename")) - blocks if tracemalloc.is_tracing() else 0
        counted = sum(one.events for one in listeners) - seen
        tracemalloc.stop()
    assert measured is not None
    tell(pipe, recorder, writer, listeners, measured)
    quantiles = np.quantile(late[:looks], [0.5, 0.99, 0.999, 1.0]) * 1e6
    print("a timer of 1 ms is late by p50 {:.0f}, p99 {:.0f}, p99.9 {:.0f}, at most {:.0f} us".format(*quantiles))
    print(f"{gained} blocks more after {counted} events; most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.recording", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flood", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not options.flood:
        for contracts in (2, CONTRACTS):
            costs(options.rounds, contracts)
        return 0
    import uvloop

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(flood(options.flood, Path(folder) / "frames"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
