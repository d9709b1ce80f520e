"""The laws of docs/architecture.md that concern the core: prefix, replay, one engine however it is driven, no I/O, no allocation, build flags."""

import json
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore
from captures import large_streams, needs_data
from liqcore import AuditKind, CascadeConfig, Engine
from liqcore.event import FillFlag, Kind, Reason
from markets import EAGER, Fade, instruments, market, paper

pytestmark = pytest.mark.core

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for p in (ROOT / "liqcore").rglob("*") if p.suffix in (".py", ".pyi", ".pyx", ".pxd"))
SEEDS = st.integers(0, 2**32 - 1)
BINARIES = sorted(Path(liqcore.__file__).parent.glob("*.so"))


def driven(target, pieces) -> bytes:
    engine = getattr(target, "engine", target)
    for piece in pieces:
        target.run(piece)
        engine.drain()
    return engine.audit.drain().tobytes()


def broken(seed: int, count: int, rubbish: float = 0.02) -> np.ndarray:
    """A market with rubbish in it and connections that break; of every second seed the quotes are wide, so that few trades contradict them."""
    return market(seed, count, rubbish=rubbish, feed=True, spread=(0.01, 2.0)[seed % 2], masks=True)


@pytest.mark.parametrize("spread", [0.01, 2.0])
def test_the_random_market_trades_both_sides_and_every_way_out(spread):
    """The laws below would be empty if nothing happened in it."""
    streams = [driven(paper(), [market(seed, 4000, spread=spread)]) for seed in range(3)]
    records = np.concatenate([np.frombuffer(stream, liqcore.AUDIT_DTYPE) for stream in streams])
    trades = records[records["kind"] == AuditKind.AUDIT_TRADE]
    assert {(int(t["side"]), int(t["reason"])) for t in trades} >= {(s, r) for s in (1, -1) for r in (61, 62, 63)}
    assert {1, 2, 3, 4} <= set(records[records["kind"] == AuditKind.AUDIT_SIGNAL]["phase"])


def test_in_the_broken_market_orders_are_filled_in_every_way_and_quotes_end():
    records = np.concatenate([np.frombuffer(driven(paper(), [broken(seed, 4000)]), liqcore.AUDIT_DTYPE) for seed in range(4)])
    fills = records[records["kind"] == AuditKind.AUDIT_FILL]
    assert {int(flags) for flags in fills["x"][:, 3]} == {0, FillFlag.FILL_MAKER, FillFlag.FILL_PRINT, FillFlag.FILL_MOVED}
    assert int(Reason.QUOTE_ENDED) in records[records["kind"] == AuditKind.AUDIT_RISK]["reason"]


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(0, 1500))
def test_prefix_law_what_is_said_of_the_first_events_never_depends_on_the_rest(seed, k):
    rows = broken(seed, 1500)
    changed = rows.copy()
    changed[k:] = broken(seed + 1, 1500)[k:]
    changed["ts_recv"][k:] = np.maximum(changed["ts_recv"][k:], rows["ts_recv"][k - 1] if k else 0)
    whole, other = paper(), paper()
    assert driven(whole, [rows[:k]]) == driven(other, [changed[:k]])
    whole, half = paper(), paper()
    said, half_said = whole.run(rows), half.run(rows[:k])
    assert said[: len(half_said)] == half_said
    records, half_records = whole.engine.audit.drain(), half.engine.audit.drain()
    assert records[: len(half_records)].tobytes() == half_records.tobytes()


@settings(max_examples=80, deadline=None)
@given(SEEDS, SEEDS)
def test_replay_law_splitting_waking_and_restoring_change_nothing(seed, how):
    rows = broken(seed, 1500)
    choose = random.Random(how)
    expected = driven(paper(), [rows])
    assert driven(paper(), [rows]) == expected
    edges = sorted({0, len(rows), *choose.choices(range(len(rows)), k=20)})
    pieces = [rows[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert driven(paper(), pieces) == expected
    woken, restored, stream = paper(), paper(), b""
    for piece, end in zip(pieces, edges[1:], strict=True):
        woken.run(piece)
        until = int(rows["ts_recv"][min(end, len(rows) - 1)])
        for _ in range(choose.randrange(4)):
            if woken.engine.now:
                woken.advance(choose.randint(woken.engine.now, until))
        snapshot = restored.snapshot()
        restored = paper()
        restored.restore(snapshot)
        restored.run(piece)
        stream += restored.engine.audit.drain().tobytes()
    assert stream == expected
    end = int(rows["ts_recv"].max()) + 10**12
    woken.advance(end)
    plain = paper()
    plain.run(rows)
    plain.advance(end)
    assert woken.engine.audit.drain().tobytes() == plain.engine.audit.drain().tobytes()
    assert woken.snapshot() == plain.snapshot()


@settings(max_examples=40, deadline=None)
@given(SEEDS, SEEDS)
def test_the_engine_alone_does_not_depend_on_when_it_is_woken(seed, how):
    rows = broken(seed, 1200, rubbish=0.05)
    choose = random.Random(how)
    streams = []
    for woken in (False, True):
        engine = Engine(instruments(), EAGER, Fade())
        for n in range(len(rows)):
            engine.run(rows[n : n + 1])
            engine.drain()
            # a time that an embedder may name: not the one of a row of rubbish
            if woken and n + 1 < len(rows) and 0 < engine.now < rows["ts_recv"][n + 1] and choose.random() < 0.5:
                engine.advance(choose.randrange(engine.now, int(rows["ts_recv"][n + 1])) + 1)
                engine.drain()
        streams.append(engine.audit.drain().tobytes())
    assert streams[0] == streams[1]


@needs_data
def test_replay_law_on_a_capture():
    stream = max(large_streams(), key=lambda stream: len(stream.ts))
    rows = stream.events()
    runs = []
    for cuts in ([0, len(rows)], [0, 7, 500, 501, len(rows)]):
        engine = Engine([stream.instrument()], CascadeConfig(), Fade())
        runs.append(driven(engine, [rows[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]))
    assert runs[0] == runs[1] and len(runs[0]) > 96 * 300


# ---- no I/O ----


def test_importing_the_core_imports_numpy_and_nothing_of_the_shell():
    code = "import sys; before = set(sys.modules); import liqcore; import json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    found = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60).stdout))
    third_party = {name for name in found if name not in sys.stdlib_module_names and not name.startswith(("_", "cython_runtime"))}
    assert third_party <= {"liqcore", "numpy"} | {name for name in third_party if name.startswith("__")}
    assert not found & {"numba", "orjson", "asyncio", "uvloop", "picows", "aiohttp", "socket", "ssl", "sqlite3", "logging", "liqshell", "scipy"}


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
@pytest.mark.parametrize("binary", BINARIES, ids=lambda path: path.name.partition(".")[0])
def test_the_compiled_core_knows_no_clock_file_socket_or_chance(binary):
    listing = subprocess.run(["nm", "-D", "--undefined-only", str(binary)], capture_output=True, text=True, check=True).stdout
    wanted = {line.split()[-1].partition("@")[0] for line in listing.splitlines() if line.strip()}
    forbidden = re.compile(
        r"(clock|time|times|gettimeofday|clock_gettime|localtime.*|gmtime.*|nanosleep|usleep|sleep|rand|rand_r|srand|random|srandom|"
        r"drand48|getrandom|getentropy|open|open64|openat|fopen|fopen64|read|write|socket|connect|send|sendto|recv|getenv|"
        r"system|fork|exec.*|pthread_create|printf|puts|syslog|_?PyTime_.*|PySys_WriteStd.*)$"
    )
    assert not {name for name in wanted if forbidden.match(name)}


def test_no_source_of_the_core_names_a_clock_or_a_door_to_the_world():
    banned = re.compile(
        r"^\s*(c?import|from)\s+(time|datetime|random|logging|socket|asyncio|os\b(?!\.path)|secrets|threading|subprocess|posix|libc\.time|"
        r"libc\.stdio|liqshell)\b|\b(time\.time|perf_counter|monotonic|datetime\.now|print)\s*\("
    )
    for path in SOURCES:
        text = path.read_text()
        if path.name == "parallel.py":  # processors and threads decide how soon work ends, not what it says
            assert set(re.findall(r"\b(?:os|_?thread(?:ing)?)\.(\w+)", text)) == {"sched_getaffinity", "cpu_count", "Event", "start_new_thread"}
            text = re.sub(r"import (os|threading)\b", "", text)
        for number, line in enumerate(text.splitlines(), 1):
            assert not banned.search(line), f"{path.name}:{number}: {line.strip()}"


def allocations(run) -> int:
    """Bytes that remain, and the peak above the start, of what run() does."""
    tracemalloc.start()
    try:
        run()  # first time: whatever Python caches
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return max(after, peak) - before


def test_a_hundred_thousand_events_allocate_nothing_in_python():
    rows = market(7, 20_000)
    rows = rows[rows["kind"] != Kind.LIQUIDATION]
    engine = Engine(instruments())
    shift = int(rows["ts_recv"].max() - rows["ts_recv"].min()) + 1

    def run():
        for _ in range(4):
            engine.run(rows)
            rows["ts_recv"] += shift
            rows["ts_event"] += shift

    assert allocations(run) < 4000, "constant: the views and lists of four calls, whatever the number of events"


MALLOC_PROBE = r"""
import ctypes, sys, numpy as np
sys.path[:0] = sys.argv[1:3]
from markets import EAGER, instruments, market
import liqcore
class Info(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
rows = market(11, 30000)
engine = liqcore.Engine(instruments(), EAGER, audit_capacity=1024)
engine.run(rows[:10000])
used = []
for part in (rows[10000:10010], rows[10010:29000]):
    before = mallinfo2()
    engine.run(part)
    after = mallinfo2()
    used.append(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd)
print(used[0], used[1], engine.events)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallinfo2 is of glibc")
def test_the_heap_of_c_does_not_grow_with_events():
    out = subprocess.run(
        [sys.executable, "-c", MALLOC_PROBE, str(ROOT), str(ROOT / "tests" / "support")], capture_output=True, text=True, timeout=120
    )
    if "mallinfo2" in out.stderr:
        pytest.skip("this C library has no mallinfo2")
    assert out.returncode == 0, out.stderr
    few, many, events = map(int, out.stdout.split())
    assert events > 28_000
    assert many - few < 65_536, "19,000 events may leave the garbage of their signals, and nothing that grows with events"


# ---- implementations agree: the build ----


def test_the_build_never_contracts_or_reorders_floating_point():
    text = (ROOT / "setup.py").read_text()
    assert '"-ffp-contract=off"' in text
    for path in [ROOT / "setup.py", *SOURCES, *sorted((ROOT / "liqcore").rglob("*.h"))]:
        code = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
        for banned in ("-ffast-math", "-Ofast", "funsafe-math", "fassociative-math", "fastmath=True", "-march=native"):
            assert banned not in code, f"{path.name}: {banned}"
