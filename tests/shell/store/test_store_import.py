"""Import: skipped, broken, contradicting and doubled files; a process that dies at any moment; two at once; damage found later."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import campaigns
from liqcore.event import EVENT_DTYPE, Kind
from liqshell import store
from liqshell.errors import DataError
from liqshell.store import importer, repair, spill
from liqshell.store.catalogue import Catalogue
from store_files import (
    DAY,
    HOUR,
    SECOND,
    T0,
    Reading,
    digest,
    market,
    opener,
    partitions,
    save,
)


def fill(root: Path, *files: Path, **options) -> importer.Outcome:
    return importer.run(root, list(files), opener, **options)


def hourly(folder: Path, hours: int = 6, rows: int = 300, overlap_ns: int = 0) -> list[Path]:
    """Files of one recorder, an hour each, which may share their ends."""
    events = market(rows, 5, span=hours * HOUR, step_ns=SECOND)
    ts = events["ts_recv"]
    return [
        save(folder / f"h{n}.npz", {"bybit~ETHUSDT": events[(ts >= T0 + n * HOUR - overlap_ns) & (ts < T0 + (n + 1) * HOUR)]}) for n in range(hours)
    ]


def test_a_file_is_imported_once_whatever_its_name(tmp_path):
    first = save(tmp_path / "a.npz", {"bybit~ETHUSDT": market(500)})
    twin = tmp_path / "b.npz"
    twin.write_bytes(first.read_bytes())
    outcome = fill(tmp_path / "s", first, twin)
    assert [Path(s.name).name for s in outcome.imported] == ["a.npz"] and outcome.known == {str(twin): str(first)}
    before = digest(tmp_path / "s")
    outcome = fill(tmp_path / "s", twin, first)
    assert not outcome.imported and set(outcome.known) == {str(first), str(twin)} and digest(tmp_path / "s") == before
    assert sum(c.rows for c in store.open(tmp_path / "s").catalogue.partitions().values()) == 500


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_are_known_by_their_bytes_whether_they_are_read_before_or_meanwhile(tmp_path, jobs):
    alone = save(tmp_path / "alone.npz", {"bybit~ETHUSDT": market(300)})
    one = save(tmp_path / "one.npz", {"bybit~BTCUSDT": market(400)})
    other = save(tmp_path / "other.npz", {"bybit~XRPUSDT": market(200)})
    with other.open("ab") as stream:  # a file of the size of another
        stream.write(bytes(one.stat().st_size - other.stat().st_size))
    outcome = fill(tmp_path / "s", alone, one, alone, other, jobs=jobs)
    assert outcome.known == {str(alone): str(alone)} and {s.name for s in outcome.imported} | set(outcome.broken) == {
        str(alone),
        str(one),
        str(other),
    }
    assert all(s.fingerprint == hashlib.sha256(Path(s.name).read_bytes()).hexdigest()[:32] for s in outcome.imported)
    again = fill(tmp_path / "s", alone, jobs=jobs)
    assert not again.imported and again.known == {str(alone): str(alone)}


def test_files_that_overlap_do_not_double_events(tmp_path):
    fill(tmp_path / "whole", *hourly(tmp_path))
    (tmp_path / "o").mkdir()
    files = hourly(tmp_path / "o", overlap_ns=7 * 60 * SECOND)
    outcome = fill(tmp_path / "s", *files)
    assert not outcome.broken and sum(s.duplicates for s in outcome.imported) == sum(s.rows for s in outcome.imported) - 300 > 0
    backwards = fill(tmp_path / "backwards", *files[::-1])
    assert not backwards.broken and partitions(tmp_path / "s") == partitions(tmp_path / "backwards") == partitions(tmp_path / "whole")
    contained = fill(tmp_path / "s", save(tmp_path / "part.npz", {"bybit~ETHUSDT": market(300, 5, span=6 * HOUR, step_ns=SECOND)[50:200]}))
    assert contained.imported[0].duplicates == 150 and not contained.written


@pytest.mark.parametrize("slice_rows", [1, 7, spill.SLICE_ROWS])
def test_another_record_of_the_same_time_is_refused_unless_wanted(tmp_path, monkeypatch, slice_rows):
    monkeypatch.setattr(spill, "SLICE_ROWS", slice_rows)
    one = market(2000, 1, span=HOUR)
    other = one.copy()
    other["ts_recv"] += 3_000_000  # a second recorder: the same trades, received elsewhere
    fill(tmp_path / "s", save(tmp_path / "one.npz", {"bybit~ETHUSDT": one}))
    before = digest(tmp_path / "s")
    second, fine = save(tmp_path / "two.npz", {"bybit~ETHUSDT": other}), save(tmp_path / "z.npz", {"bybit~ETHUSDT": market(100, 3, T0 + DAY)})
    outcome = fill(tmp_path / "s", second, fine)
    assert [Path(s.name).name for s in outcome.imported] == ["z.npz"]
    assert "holds another record of ETHUSDT" in outcome.broken[str(second)] and "one.npz" in outcome.broken[str(second)]
    assert {k: v for k, v in digest(tmp_path / "s").items() if "2026-02-09" in k} == {k: v for k, v in before.items() if "2026-02-09" in k}
    assert fill(tmp_path / "s", second, overlap=True).imported[0].duplicates == 0
    assert len(store.open(tmp_path / "s").tape(start="2026-02-09", end="2026-02-09").rare) > 0
    assert not store.open(tmp_path / "s").catalogue.refused()


class Torn(Reading):
    def __iter__(self):
        for n, chunk in enumerate(super().__iter__()):
            if n == 3 and "broken" in self._path.name:
                raise DataError(f"{self._path}:77", "not a number: 'x'", "a price")
            if n == 2 and "odd" in self._path.name:
                raise ZeroDivisionError("reader")
            yield chunk


def test_a_broken_file_is_named_and_harms_no_other(tmp_path):
    good = [save(tmp_path / f"{n}.npz", {"bybit~ETHUSDT": market(3000, n, T0 + n * HOUR, HOUR)}) for n in range(2)]
    bad = [save(tmp_path / f"{name}.npz", {"bybit~ETHUSDT": market(3000, 8 + n, T0 + 5 * HOUR, HOUR)}) for n, name in enumerate(("broken", "odd"))]
    empty = save(tmp_path / "empty.npz", {"bybit~ETHUSDT": np.zeros(0, EVENT_DTYPE)})
    missing = tmp_path / "missing.npz"
    outcome = importer.run(tmp_path / "s", [good[0], *bad, empty, missing, good[1]], Torn)
    assert [s.name for s in outcome.imported] == [str(f) for f in good]
    assert f"{bad[0]}:77: not a number" in outcome.broken[str(bad[0])] and "ZeroDivisionError" in outcome.broken[str(bad[1])]
    assert "no market events" in outcome.broken[str(empty)] and "No such file" in outcome.broken[str(missing)]
    assert set(store.open(tmp_path / "s").catalogue.refused()) == set(outcome.broken)
    fill(tmp_path / "clean", *good)
    assert partitions(tmp_path / "s") == partitions(tmp_path / "clean")
    importer.run(tmp_path / "s", [bad[0]], opener)  # mended: no longer among the refused
    assert str(bad[0]) not in store.open(tmp_path / "s").catalogue.refused()


def test_rows_that_cannot_be_kept_are_counted(tmp_path):
    events = market(100)
    events["side"][events["kind"] == Kind.TRADE] = 0
    events["ts_recv"][0], events["kind"][1] = -5, Kind.FILL
    source = fill(tmp_path / "s", save(tmp_path / "a.npz", {"bybit~ETHUSDT": events})).imported[0]
    assert source.counts["events of another kind"] == 1 and source.counts["trades without a side or with an impossible time"] > 20
    assert source.rows + sum(source.counts.values()) == 100


@pytest.mark.slow
def test_unordered_files_are_put_in_order_and_processes_change_nothing(tmp_path):
    events = market(3000, span=2 * DAY, step_ns=SECOND)
    shuffled = events[np.argsort(events["ts_recv"] // (10 * SECOND) + np.random.default_rng(0).integers(0, 3, 3000), kind="stable")]
    files = [
        save(tmp_path / "a.npz", {"bybit~ETHUSDT": shuffled}),
        *hourly(tmp_path)[:0],
        save(tmp_path / "b.npz", {"bybit~XRPUSDT": market(500, 4)}),
        save(tmp_path / "c.npz", {"okx~XRP": market(500, 6)}),
    ]
    fill(tmp_path / "s", *files)
    fill(tmp_path / "j", *files, tmp_path / "none.npz", jobs=2)
    assert partitions(tmp_path / "s") == partitions(tmp_path / "j")
    assert store.open(tmp_path / "s").make_columns() == store.open(tmp_path / "j").make_columns(2) == 4
    assert store.open(tmp_path / "j").make_columns(2) == 0
    assert [path.read_bytes() for path in strips(tmp_path / "s")] == [path.read_bytes() for path in strips(tmp_path / "j")]
    ts = store.open(tmp_path / "s").tape("ETHUSDT").events()["ts_recv"]
    assert ts.tolist() == events["ts_recv"].tolist()


def test_two_imports_at_once_are_told_apart(tmp_path):
    program = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from liqshell.store.catalogue import Lock
        Path({str(tmp_path)!r}, "s").mkdir()
        with Lock(Path({str(tmp_path)!r}, "s")):
            print("held", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment()) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(DataError, match=rf"another import is running in this store \(process {other.pid}\)"):
                fill(tmp_path / "s", save(tmp_path / "a.npz", {"bybit~ETHUSDT": market(50)}))
        finally:
            other.kill()
    assert fill(tmp_path / "s", tmp_path / "a.npz").imported  # the lock died with its holder


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# A process that has imported everything forks a child for each attempt; the child kills itself at its n-th open, rename, remove, mkdir or SQLite call,
# or is killed from outside after a time.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
from store_files import opener
from liqshell import store
from liqshell.store import importer
importer.BATCH_BYTES = 64 * 150
os.fsync = lambda handle: None          # a killed process loses nothing that it has handed to the system; waiting for the disk only costs time
files = [Path(name) for name in json.loads(sys.argv[1])]
POINTS = ("open", "os.", "sqlite3.", "shutil.")

def attempt(root, point=None):
    seen = 0
    def hook(name, args):
        nonlocal seen
        if name.startswith(POINTS):
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child:
        return child
    sys.addaudithook(hook)
    importer.run(Path(root), files, opener)
    at = store.open(root)
    for contract in at.contracts:
        for day in contract.days():
            contract.day_strip(day)
    with open(root + ".points", "w") as out:
        out.write(str(seen))
    os._exit(0)

for line in sys.stdin:
    order = json.loads(line)
    child = attempt(order["root"], order.get("point"))
    if order.get("after_s") is not None:
        time.sleep(order["after_s"])
        os.kill(child, signal.SIGKILL)
    print(json.dumps(os.waitpid(child, 0)[1]), flush=True)
"""


class Killer:
    def __init__(self, files: list[Path]):
        self._process = subprocess.Popen(
            [sys.executable, "-c", KILLER, json.dumps(list(map(str, files)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def run(self, root: Path, **how) -> bool:
        """Did the attempt die of a kill?"""
        self._process.stdin.write(json.dumps({"root": str(root), **how}) + "\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        assert status in (0, signal.SIGKILL), status
        return status == signal.SIGKILL

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def killed_and_resumed(tmp_path: Path, rng: random.Random, kills: int, seconds: float) -> int:
    """Attempts that died, all of which ended in the same store."""
    files = hourly(tmp_path, 4, 200, overlap_ns=5 * 60 * SECOND)
    done, until = 0, time.monotonic() + seconds
    with Killer(files) as killer:
        began = time.monotonic()
        assert not killer.run(tmp_path / "calm")
        took = time.monotonic() - began
        points = int((tmp_path / "calm.points").read_text())
        expected = digest(tmp_path / "calm")
        assert points > 100
        trial = 0
        while done < kills and time.monotonic() < until:
            root = tmp_path / f"t{trial}"
            trial += 1
            while killer.run(root, point=rng.randrange(1, points)) if rng.random() < 0.7 else killer.run(root, after_s=rng.uniform(0, took)):
                done += 1
                if rng.random() < 0.5:
                    break
            assert not killer.run(root)
            assert digest(root) == expected, f"trial {trial}"
    return done


@pytest.mark.slow
def test_killed_at_any_point_and_run_again_it_is_the_same_store(tmp_path):
    assert killed_and_resumed(tmp_path, random.Random(20260209), 40, 300.0) >= 40


@pytest.mark.campaign
def test_campaign_of_kills(tmp_path):
    seed = campaigns.seed()
    print(f"seed={seed}")
    assert killed_and_resumed(tmp_path, random.Random(seed), campaigns.most(200), campaigns.seconds(60.0)) > 10


def test_a_store_read_in_the_middle_of_a_commit_finishes_it(tmp_path, monkeypatch):
    files = hourly(tmp_path)
    fill(tmp_path / "calm", *files)
    with monkeypatch.context() as cut:  # as if it had died between the booking and the moving of files
        cut.setattr(Catalogue, "finish", lambda self: None)
        cut.setattr(Catalogue, "clear", lambda self: None)
        fill(tmp_path / "s", *files)
    assert Catalogue(tmp_path / "s").moving() and not (tmp_path / "s" / "bybit").exists()
    assert len(store.open(tmp_path / "s").tape()) == 300
    assert partitions(tmp_path / "s") == partitions(tmp_path / "calm")


# ---- damage


def strips(root: Path) -> list[Path]:
    return sorted((root / ".cache").rglob("*.strip"))


def test_a_damaged_strip_is_made_again(tmp_path):
    root = tmp_path / "s"
    fill(root, save(tmp_path / "a.npz", {"bybit~ETHUSDT": market(3000, span=2 * DAY)}))
    whole = store.open(root).tape().events().tobytes()
    for path in strips(root):
        good = path.read_bytes()
        for bad in (b"", good[:-1], good[:100], b"x" + good[1:], good[:40] + b"\xff" + good[41:]):
            path.write_bytes(bad)
            at = store.open(root)
            assert at.tape().events().tobytes() == whole and len(at.contract("ETHUSDT").day_strip(path.name[:10]).trades["ts"])
            assert path.read_bytes() == good
    flipped = strips(root)[0]
    raw = bytearray(flipped.read_bytes())
    raw[8192 + 100] ^= 1
    flipped.write_bytes(raw)
    assert "column trades.ts was damaged" in repair.verify(store.open(root))[0]
    assert store.open(root).tape().events().tobytes() == whole and not repair.verify(store.open(root))


def test_a_damaged_partition_is_named_with_what_to_do(tmp_path):
    root = tmp_path / "s"
    file = save(tmp_path / "a.npz", {"bybit~ETHUSDT": market(3000)})
    fill(root, file)
    path = root / "bybit" / "ETHUSDT" / "trades" / "2026-02-09.parquet"
    good = path.read_bytes()
    for bad in (good[:-9], good[:4000], b"no parquet at all", b""):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=rf"{path}: cannot be read as a partition .*--rebuild"):
            store.open(root).tape()
    other = save(tmp_path / "o.npz", {"bybit~ETHUSDT": market(2000, 9)})
    fill(tmp_path / "o", other)
    path.write_bytes((tmp_path / "o" / path.relative_to(root)).read_bytes())
    assert "its rows differ from those of the import" in repair.verify(store.open(root))[0]
    path.unlink()
    assert repair.rebuild(root) == 3
    assert fill(root, file).imported[0].duplicates > 0
    assert path.read_bytes() == good and not repair.verify(store.open(root))


def test_a_lost_catalogue_is_made_from_the_partitions(tmp_path):
    root, files = tmp_path / "s", hourly(tmp_path, overlap_ns=60 * SECOND)
    fill(root, *files, given={("bybit", "ETHUSDT"): {"tick_size": "0.05"}})
    before = digest(root)
    (root / "catalogue.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(DataError, match="catalogue cannot be read .*--rebuild"):
        store.open(root)
    repair.rebuild(root)
    assert list(root.glob("catalogue.sqlite.damaged-*"))
    assert fill(root, *files, given={("bybit", "ETHUSDT"): {"tick_size": "0.05"}}).imported[0].name == str(files[0])
    after = digest(root)
    assert {k: v for k, v in after.items() if k.endswith(".parquet")} == {k: v for k, v in before.items() if k.endswith(".parquet")}
    assert after["partitions"] == before["partitions"] and after["rules"] == before["rules"]


def test_what_the_user_says_of_a_contract_stands_above_all(tmp_path):
    root = tmp_path / "s"
    fill(root, save(tmp_path / "a.npz", {"bybit~ETHUSDT": market(3000)}))
    first = store.open(root)
    inferred = first.contract("ETHUSDT").rules
    assert inferred.instrument.tick_size == "0.01" and inferred.origin["tick_size"].startswith("inferred from")
    before, coarse = first.select().fingerprint, first.tape().trades(0)["price"]
    fill(root, given={("bybit", "ETHUSDT"): {"tick_size": "0.1", "completeness": "CENSORED"}})
    now = store.open(root)
    rules = now.contract("ETHUSDT").rules
    assert (rules.instrument.tick_size, rules.origin["tick_size"]) == ("0.1", "given")
    assert now.select().fingerprint != before
    assert now.tape().instruments[0].tick_size == "0.1" and not np.array_equal(now.tape().trades(0)["price"], coarse)


class Growing:
    """An opener of files that somebody still writes to: each becomes longer, or another one of the same length, while it is read."""

    def __init__(self, change):
        self.change = change

    def __call__(self, path):
        reading = opener(path)
        self.change(path)
        return reading


def grow(path):
    with path.open("ab") as stream:
        stream.write(b"more")


def touch(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("change", [grow, touch])
def test_a_file_that_changes_while_it_is_read_is_read_again_at_the_next_import(tmp_path, change, jobs):
    """Its rows would be of one state and its fingerprint of another: what came later would be taken for known."""
    moving = save(tmp_path / "moving.npz", {"bybit~ETHUSDT": market(300)})
    bytes_before = moving.read_bytes()
    first = importer.run(tmp_path / "s", [moving], GROWING[change], jobs=jobs)
    assert not first.broken and any("changed while it was read" in note for note in first.imported[0].notes)
    moving.write_bytes(bytes_before)
    again = fill(tmp_path / "s", moving)
    assert not again.known and again.imported[0].duplicates == 300 and not any("changed" in note for note in again.imported[0].notes)
    assert fill(tmp_path / "s", moving).known == {str(moving): str(moving)}
    assert sum(c.rows for c in store.open(tmp_path / "s").catalogue.partitions().values()) == 300


GROWING = {grow: Growing(grow), touch: Growing(touch)}  # goes to other processes
