"""Control page, lock, run prefix and store."""

import contextlib
import ctypes
import fcntl
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqshell.errors import ConfigError, DataError
from liqshell.state import control as control_module
from liqshell.state import store as store_module
from liqshell.state.control import Control, Kill, Life, boot_id, process_start
from liqshell.state.lock import Lock, holder, is_locked
from liqshell.state.prefix import is_ours, make_prefix, short_name
from liqshell.state.sheet import Sheet, state_folder
from liqshell.state.store import Store
from liqshell.state.switch import last_kill
from liqshell.venues.bybit.orders import order_link_id, parse_order_link_id

ROOT = Path(__file__).parents[3]
ENV = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"}


def word(control: Control) -> int:
    """What the last hop reads."""
    return ctypes.c_int64.from_address(control.address).value


# ---- control page ----


def test_a_word_set_by_one_process_is_read_by_another_and_stays(tmp_path):
    live = Control(tmp_path)
    assert word(live) == 0 and live.kill == Kill.NO and live.address % 8 == 0
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from liqshell.state.control import *; Control(sys.argv[1]).set_kill(Kill.KILLED, 'é' * 300, 'somebody')",
            str(tmp_path),
        ],
        env=ENV,
        check=True,
        timeout=120,
    )
    assert word(live) != 0 and live.kill == Kill.KILLED and live.reason == "é" * 127 and live.by == "somebody"
    live.close()
    again = Control(tmp_path)
    again.begin("fade00000001")
    assert again.kill == Kill.KILLED and word(again) != 0  # over a restart
    again.set_kill(Kill.FLATTEN, "more", "else")
    again.set_kill(Kill.KILLED, "less", "else")
    assert again.kill == Kill.FLATTEN and again.by == "somebody"  # not weakened, and who was first is kept
    again.lift()
    assert again.kill == Kill.NO and word(again) == 0 and again.reason == ""


def test_kill_and_watchdog_are_two_words_that_do_not_undo_each_other(tmp_path):
    one, other = Control(tmp_path), Control(tmp_path)
    one.watchdog = True
    assert word(other) != 0 and other.kill == Kill.NO
    other.set_kill(Kill.KILLED, "", "")
    one.watchdog = False
    assert word(one) != 0 and one.kill == Kill.KILLED
    one.watchdog = True
    other.lift()
    assert one.watchdog and word(one) != 0


def test_the_file_kill_counts_and_is_lifted_with_the_word(tmp_path):
    control = Control(tmp_path)
    (tmp_path / "KILL").touch()
    assert control.kill == Kill.KILLED and word(control) == 0 and control.reason == "file KILL"
    assert control.refresh() and not control.refresh() and word(control) != 0
    control.lift()
    assert control.kill == Kill.NO and not (tmp_path / "KILL").exists()


def test_who_runs(tmp_path, monkeypatch):
    control = Control(tmp_path)
    assert control.life == Life.NONE and not control.process_alive() and control.watched_age_s == float("inf")
    control.begin("fade00000001", 3.0)
    assert (control.life, control.pid, control.prefix, control.patience) == (Life.STARTING, os.getpid(), "fade00000001", 3.0)
    assert control.process_alive() and time.monotonic_ns() - control.heartbeat_ns < 5e9
    control.running()
    control.entries = 7
    assert control.as_dict()["life"] == "RUNNING" and control.as_dict()["entries"] == 7
    monkeypatch.setattr(control_module, "boot_id", lambda: "another boot")
    assert not control.process_alive()
    control.goodbye()
    assert control.life == Life.NONE


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this system")
def test_a_zombie_and_another_process_of_the_same_number_are_not_the_live_process(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    while process_start(child.pid) >= 0:
        time.sleep(0.01)  # ended, not waited for
    child.wait()
    control = Control(tmp_path)
    control.begin("x")
    control._page.pid_started += 1
    assert not control.process_alive() and boot_id()


def test_pages_of_a_version_to_come_are_refused_and_left(tmp_path):
    Control(tmp_path).close()
    page = bytearray((tmp_path / "control").read_bytes())
    page[8] = 3
    for name in ("control", "control.twin"):
        (tmp_path / name).write_bytes(page)
    with pytest.raises(DataError, match="of a later version"):
        Control(tmp_path)
    assert (tmp_path / "control").read_bytes() == (tmp_path / "control.twin").read_bytes() == page


def test_a_pipe_in_the_place_of_the_page_is_refused(tmp_path):
    os.mkfifo(tmp_path / "control")
    with pytest.raises(DataError, match="control: cannot be opened: a FIFO in place of a regular file"):
        Control(tmp_path)


# ---- lock ----


def test_one_live_process_per_folder(tmp_path):
    with Lock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(ConfigError, match=f"another live process .*pid {os.getpid()} since"):
            Lock(tmp_path)
    assert not is_locked(tmp_path)
    Lock(tmp_path).close()


def test_a_killed_process_leaves_no_lock_but_says_who_it_was(tmp_path):
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from liqshell.state.lock import Lock; x = Lock(sys.argv[1]); print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        env=ENV,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"held\n" and is_locked(tmp_path)
    child.kill()
    child.wait()
    child.stdout.close()
    assert not is_locked(tmp_path) and f"pid {child.pid}" in holder(tmp_path)
    Lock(tmp_path).close()


def test_somebody_who_only_looks_does_not_refuse_a_start(tmp_path):
    (tmp_path / "lock").touch()
    fd = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_SH)
    import threading

    threading.Timer(0.05, os.close, (fd,)).start()
    Lock(tmp_path).close()


# ---- prefix, sheet ----


@given(name=st.text(max_size=30), now=st.integers(10**18, 3 * 10**18), later=st.integers(10**6, 10**17))
def test_prefixes_are_ours_by_name_and_never_the_same_twice(name, now, later):
    prefix = make_prefix(name, now)
    assert is_ours(prefix, name) and make_prefix(name, now + later) != prefix
    assert parse_order_link_id(order_link_id(prefix, 2**63 - 1)) == (prefix, 2**63 - 1)
    assert not is_ours(prefix, name[:9] + "_other") or make_prefix(name[:9] + "_other", now) == prefix


def test_a_longer_name_is_not_a_shorter_one():
    assert not is_ours(make_prefix("fade", 10**18), "fad") and not is_ours(make_prefix("fad", 10**18), "fade") and not is_ours("fade", "fade")


def test_long_names_that_begin_alike_are_not_each_other(tmp_path):
    """Two runs of one account cancelled each other's entries: the prefix knew ten letters."""
    names = [f"cascade-fade-{asset}" for asset in ("eth", "sol", "btc", "xrp", "doge")]
    assert len({short_name(name) for name in names}) == 5 and all(len(short_name(name)) == 10 for name in names)
    for name in names:
        assert [is_ours(make_prefix(name, 10**18), other) for other in names] == [other == name for other in names]
        assert short_name(short_name(name)) == short_name(name)
    assert short_name("eth-one") == "eth_one" and short_name("") == "run"


def test_the_sheet_comes_back_and_a_broken_one_is_refused(tmp_path):
    sheet = Sheet("http://127.0.0.1:1", "testnet", "a name.of-mine", ("ETHUSDT", "SOLUSDT"), 0.01)
    sheet.save(tmp_path)
    assert Sheet.load(tmp_path) == sheet and sheet.name == short_name("a name.of-mine") and is_ours(make_prefix("a name.of-mine", 10**18), sheet.name)
    for text in ("", "[]", "{}", '{"rest": 1, "environment": "x", "name": "y", "symbols": []}'):
        (tmp_path / "rescue.json").write_text(text)
        with pytest.raises(DataError, match=r"rescue\.json"):
            Sheet.load(tmp_path)
    assert state_folder("runs", "fade") == Path("runs/state/fade")


# ---- store ----


def test_rows_come_back_and_an_execution_counts_once(tmp_path):
    store = Store(tmp_path)
    store.put("runs", prefix="fade1", started_ns=1)
    for k in (1, 2, 1):
        store.put("executions", id=f"e{k}", ts_ms=1000 + k, prefix="fade1", symbol="ETHUSDT", price="2000.01", code=k)
    store.put("reconciled", ts_ns=1, prefix="fade1", venue_ms=5000, execution_ms=1002, differences=0)
    assert store.close()
    store = Store(tmp_path, durable=True)
    assert store.execution_ids(1002) == {"e2"} and store.execution_ids(0) == {"e1", "e2"}
    assert store.reconciled_ms() == (5000, 1002) and store.prefixes() == ["fade1"] and not store.entries_off()
    assert [row["price"] for row in store.rows("executions", "symbol = ?", ("ETHUSDT",), last=1)] == ["2000.01"]
    assert oct(store.path.stat().st_mode & 0o777) == "0o600"
    with pytest.raises(ValueError, match="no table"):
        store.put("order")
    with pytest.raises(ValueError, match="no column colour"):
        store.put("orders", colour=1)
    store.close()


def test_old_rows_go_at_a_start(tmp_path, monkeypatch):
    store = Store(tmp_path)
    for k in range(100):
        store.put("notices", ts_ns=k)
    store.close()
    monkeypatch.setattr(store_module, "ROWS_MAX", 10)
    store = Store(tmp_path)
    assert [row["ts_ns"] for row in store.rows("notices")] == list(range(90, 100))
    store.close()


KILLED = """
import sys
from liqshell.state.store import Store
store = Store(sys.argv[1])
for k in range(10**9):
    store.put("executions", id=str(k), ts_ms=k)
    if k % 50 == 49:
        store.flush()
        print(k + 1, flush=True)
"""


def test_kill_9_loses_nothing_that_was_flushed(tmp_path):
    rng = random.Random(3)
    for turn in range(6):
        folder = tmp_path / str(turn)
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=ENV, stdout=subprocess.PIPE)
        first = child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        flushed = int((first + child.stdout.read()).split()[-1])
        child.wait()
        child.stdout.close()
        store = Store(folder)
        ids = store.execution_ids(0)
        assert ids >= {str(k) for k in range(flushed)} and ids == {str(k) for k in range(len(ids))}
        store.close()


def test_a_full_disk_delays_nothing_loses_nothing_and_takes_entries_away(tmp_path, monkeypatch):
    store = Store(tmp_path)
    full, real = [True], store_module.write_rows

    def write(database, rows):
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        real(database, rows)

    monkeypatch.setattr(store_module, "write_rows", write)
    monkeypatch.setattr(store_module, "_RETRY_S", 0.01)
    for k in range(10):
        store.put("notices", ts_ns=k)
    assert not store.flush(0.2) and "disk is full" in store.entries_off()
    full[0] = False
    assert store.flush(10.0) and not store.entries_off() and len(store.rows("notices")) == 10
    monkeypatch.setattr(store_module, "free_bytes", lambda _: 499 * 2**20)
    assert "499 MiB free on the disk, at least 500" in store.entries_off()
    store.close()


@pytest.mark.parametrize("row", [{"ts_ns": 2**63}, {"text": "\ud83d"}, {"text": object()}])
def test_a_row_that_cannot_be_written_does_not_keep_the_others_from_the_disk(tmp_path, caplog, row):
    """It ended the writing thread, and nobody heard of it until 65,536 rows later."""
    store = Store(tmp_path)
    store.put("notices", kind="before")
    store.put("notices", kind="bad", **row)
    store.put("notices", kind="after")
    assert store.flush(10.0) and not store.entries_off()
    assert [found["kind"] for found in store.rows("notices")] == ["before", "after"] and "a row of notices cannot be written" in caplog.text
    assert store.close()


def test_a_queue_that_overflows_is_counted_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "QUEUE_MAX", 5)
    monkeypatch.setattr(store_module, "write_rows", lambda *_: time.sleep(0.5))
    store = Store(tmp_path)
    for k in range(50):
        store.put("notices", ts_ns=k)
    assert store.dropped >= 40 and "rows were dropped" in store.entries_off()
    store.close()


@pytest.mark.parametrize("damage", ["head", "middle", "truncated", "text"])
def test_a_damaged_store_is_set_aside_and_stays_refused(tmp_path, damage):
    store = Store(tmp_path)
    for k in range(3000):
        store.put("executions", id=f"execution {k}", ts_ms=k, symbol="ETHUSDT")
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(store.path.read_bytes())
    match damage:
        case "head":
            data[:32] = bytes(32)
        case "middle":
            data[len(data) // 2 : len(data) // 2 + 8192] = b"\xff" * 8192
        case "truncated":
            del data[len(data) // 2 + 100 :]
        case "text":
            data = bytearray(b"not a database at all" * 400)
    store.path.write_bytes(data)
    with pytest.raises(DataError, match="renamed to store.sqlite.damaged-"):
        Store(tmp_path)
    assert not store.path.exists() and len(list(tmp_path.glob("store.sqlite.damaged-*[0-9]"))) == 1
    with pytest.raises(DataError, match="a damaged store"):
        Store(tmp_path)


def killed_at_line(folder, number):
    """Make a store in a process that ends, as by kill -9, at its line `number` of the module; whether there were as many."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    left = [number]

    def line(frame, event, arg):
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
        return line

    sys.settrace(lambda frame, event, arg: line if frame.f_code.co_filename == store_module.__file__ else None)
    try:
        store_module.prepare(folder / store_module.STORE)
    finally:
        os._exit(0)


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_the_store_leaves_none_or_a_whole_one(tmp_path):
    """At each of its lines: the kill switch finds nothing damaged, and the next start makes the store."""
    number = kept = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        cut = killed_at_line(folder, number)
        claim, fault = last_kill(folder / store_module.STORE)
        assert fault == "" and not store_module.fault_of(folder / store_module.STORE), number
        kept += claim is not None
        store = Store(folder)
        store.note_kill("kill", "why", "me", 5)
        assert store.close() and last_kill(folder / store_module.STORE)[0].reason == "why"
        assert [one.name for one in folder.iterdir()] == [store_module.STORE], number
        if not cut:
            break
    assert number > 20 and 0 < kept < number


def test_another_version_of_the_store_is_refused_and_left(tmp_path):
    Store(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(DataError, match="version 99"):
        Store(tmp_path)
    assert (tmp_path / "store.sqlite").exists()


@pytest.mark.slow
def test_processes_that_make_a_store_at_once_do_not_refuse_each_other(tmp_path):
    """The start, its watchdog and a doctor: SQLite refuses one of two that switch a new file to its log at the same time, without waiting."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from liqshell.state import store\n"
        "for n in range(60):\n"
        "    at = float(sys.argv[2]) + n * 0.03\n"
        "    while time.time() < at: pass\n"
        "    store.connect(Path(sys.argv[1]) / f'{n}.sqlite').close()\n"
    )
    start = time.time() + 3.0
    running = [subprocess.Popen([sys.executable, "-P", "-c", program, tmp_path, str(start)], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [one.communicate(timeout=120)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0, 0], told


def test_connections_come_and_go_while_another_is_made(tmp_path):
    """SQLite takes its side files away with the last connection: a start that looked at one just then ended as a fault of ours."""
    path, refused, until = tmp_path / "store.sqlite", [], time.monotonic() + 1.5
    store_module.prepare(path)

    def come_and_go():
        while time.monotonic() < until:
            try:
                store_module.connect(path).close()
            except sqlite3.OperationalError as why:
                refused.append(str(why))

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
