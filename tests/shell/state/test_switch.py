"""The kill switch survives the loss of what it stands on: whatever happens to its pages and to the store, no reader is less cautious than before."""

import contextlib
import ctypes
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from liqshell.config.load import loads
from liqshell.errors import DataError
from liqshell.live.watchdog import Watch
from liqshell.state.control import Control, Kill, Life
from liqshell.state.folder import read_state
from liqshell.state.store import STORE, Store
from liqshell.state.switch import SIZE, Page, look

ROOT = Path(__file__).parents[3]
ENV = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"}
PARTS = ("control", "control.twin", STORE)
INJURIES = (
    "delete",
    "truncate",
    "zero",
    "zero a span",
    "flip a bit",
    "clear a byte",
    "flip bytes",
    "garbage",
    "longer",
    "older copy",
    "no permission",
)
NOBODY = 65534
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of files that wait for no disk
SEED, COUNT = 20261122, 1000


def word(control):
    """What the last hop reads."""
    return ctypes.c_int64.from_address(control.address).value


def used_folder(path):
    """A folder that a run has left: pages, store and image."""
    Control(path).close()
    Store(path).close()
    (path / "image.bin").write_bytes(b"an image")
    return path


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Folders that were not killed, killed, to be flattened; and copies of all of their parts from before."""
    out = {}
    for kill in Kill:
        folder = used_folder(tmp_path_factory.mktemp(kill.name))
        before = folder.with_name(folder.name + "-before")
        shutil.copytree(folder, before)
        if kill:
            control = Control(folder)
            control.set_kill(kill, "somebody said so", "a person")
            control.close()
        out[kill] = (folder, before)
    warm = tmp_path_factory.mktemp("warm") / "state" / "x"
    shutil.copytree(out[Kill.NO][0], warm)
    assert [found for _, found in readers(warm)] == [Kill.NO] * 6  # imports everything: another user may not be allowed to
    return out


def injure(r, path, injury, older):
    """One injury of one part, as a disk, a backup or a hand does it; what it did."""
    data = bytearray(path.read_bytes())
    used = max(1, min(len(data), ctypes.sizeof(Page) if len(data) == SIZE else len(data)))  # not in what has no meaning
    at = r.randrange(used)
    if injury == "delete":
        path.unlink()
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        return
    if injury == "no permission":
        path.chmod(0)
        return
    if injury == "older copy":
        temporary = path.with_name("older")
        shutil.copyfile(older / path.name, temporary)
        os.rename(temporary, path)
        return
    if injury == "truncate":
        data = data[: r.randrange(len(data))]
    elif injury == "zero":
        data = bytearray(len(data))
    elif injury == "zero a span":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif injury == "flip a bit":
        data[at] ^= 1 << r.randrange(8)
    elif injury == "clear a byte":
        data[at] = 0
    elif injury == "flip bytes":
        for _ in range(r.randrange(1, 50)):
            data[r.randrange(used)] = r.randrange(256)
    elif injury == "garbage":
        data = bytearray(r.randbytes(len(data)))
    else:
        data += r.randbytes(r.randrange(1, 5000))
    path.write_bytes(data)


@pytest.fixture
def arena():
    """A folder that everybody may enter; pytest's own are the user's."""
    with tempfile.TemporaryDirectory(prefix="liqcore-switch-", dir=MEMORY) as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "state").mkdir()
        yield Path(folder)


@contextlib.contextmanager
def somebody(folder):
    """As a user whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    for one in (folder, *folder.iterdir()):
        os.chown(one, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def readers(folder):
    """The kill as each reader has it: doctor, who changes nothing, first."""
    yield "look", look(folder).claim.kill
    config = loads(f'[run]\nname = "{folder.name}"\nout = "{folder.parent.parent}"\n[feed]\nsymbols = ["ETHUSDT"]\n')
    yield "doctor", Kill.KILLED if read_state(config).killed else Kill.NO
    try:
        control = Control(folder)
    except DataError:  # refused: nothing starts
        yield "start", Kill.FLATTEN
        return
    yield "start", control.kill
    yield "last hop", kill_in(word(control))
    control.close()
    watch = Watch(folder)
    watch.look(1, 1)
    yield "watchdog", watch.control.kill
    watch.control.close()
    yield "start after the repair", Control(folder).kill


def kill_in(word):
    return Kill(min(word & 0xFFFF_FFFF, 2))


@pytest.mark.slow
def test_a_thousand_injuries_lift_nothing(states, arena):
    """To any subset of the three parts. A reader may be more cautious than before, never less; and the pages are whole again after a start."""
    r, seen, more = random.Random(SEED), set(), 0
    for n in range(COUNT):
        kill = r.choice(list(Kill))
        whole, older = states[kill]
        folder = arena / "state" / f"n{n}"
        shutil.copytree(whole, folder)
        injuries = {part: r.choice(INJURIES) for part in r.sample(PARTS, r.randint(1, 3))}
        for part, injury in injuries.items():
            injure(r, folder / part, injury, older)
            seen.add((part, injury))
        with somebody(folder):
            what = f"seed {SEED}, injury {n}: {kill.name} and then {injuries}"
            for reader, found in readers(folder):
                least = kill if reader != "doctor" else min(kill, Kill.KILLED)
                assert found >= least, f"{what}: {reader} says {found.name}"
            more += look(folder).claim.kill > kill
            if not any(part.startswith("store") for part in injuries):
                assert look(folder).damaged == (), what
        shutil.rmtree(folder)
    assert seen == {(part, injury) for part in PARTS for injury in INJURIES}
    assert more < COUNT / 4  # it does not simply always say "killed"


@pytest.mark.parametrize("kill", Kill)
@pytest.mark.parametrize("gone", [0, 1])
def test_without_the_file_kill_two_of_three_are_enough(states, arena, kill, gone):
    """Whoever removes it lifts nothing, and one more part may be lost in any way."""
    r = random.Random(SEED + 1)
    for n, injury in enumerate(INJURIES * 3):
        folder = arena / "state" / f"n{n}"
        shutil.copytree(states[kill][0], folder)
        (folder / "KILL").unlink(missing_ok=True)
        if gone:
            injure(r, folder / PARTS[n % 3], injury, states[kill][1])
        with somebody(folder):
            for reader, found in readers(folder):
                assert found >= min(kill, Kill.KILLED if reader == "doctor" else kill), f"{PARTS[n % 3]}: {injury}: {reader} says {found.name}"


@pytest.mark.parametrize("kill", [Kill.KILLED, Kill.FLATTEN])
@pytest.mark.parametrize("witness", [*PARTS, "KILL"])
def test_one_part_that_says_killed_is_enough(states, tmp_path, witness, kill):
    """All others are copies of before the kill."""
    folder = tmp_path / "state" / "x"
    shutil.copytree(states[kill][1], folder)
    shutil.copyfile(states[kill][0] / witness, folder / witness)
    found = look(folder)
    assert found.claim.kill == kill and found.damaged == ()
    control = Control(folder)
    assert control.kill == kill and word(control) and control.reason == ("somebody said so" if witness != "KILL" else "file KILL")
    (folder / witness).unlink()  # by now the others say so too
    assert look(folder).claim.kill == kill


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        (("kill",), "its kill word was cleared"),
        (("kill", "level"), "its checksum does not hold"),
        (("reason",), "its checksum does not hold"),
        (("pid",), "its checksum does not hold"),
    ],
)
def test_a_cleared_field_is_seen(states, tmp_path, fields, what):
    """In both pages at once, with nothing else to ask: the page itself shows that it was touched."""
    folder = tmp_path / "state" / "x"
    folder.mkdir(parents=True)
    live = Control(folder)
    live.begin("fade00000001")
    live.set_kill(Kill.KILLED, "somebody said so", "a person")
    live.close()
    (folder / "KILL").unlink()
    for name in PARTS[:2]:
        page = bytearray((folder / name).read_bytes())
        for field in fields:
            place = getattr(Page, field)
            page[place.offset : place.offset + place.size] = bytes(place.size)
        (folder / name).write_bytes(page)
    assert look(folder).claim.kill == Kill.KILLED and look(folder).damaged == tuple(f"{name}: {what}" for name in PARTS[:2])
    assert Control(folder).kill == Kill.KILLED and look(folder).damaged == ()


@pytest.mark.parametrize("part", PARTS)
def test_one_lost_part_of_a_folder_that_was_not_killed_kills_nothing(states, tmp_path, part):
    folder = tmp_path / "state" / "x"
    shutil.copytree(states[Kill.NO][0], folder)
    (folder / part).unlink()
    found = look(folder)
    assert found.claim.kill == Kill.NO and found.damaged == (() if part == STORE else (f"{part}: missing",))
    control = Control(folder)
    assert control.kill == Kill.NO and word(control) == 0 and control.damaged == found.damaged
    assert look(folder).damaged == ()


def test_two_lost_parts_kill_and_it_is_said_why(states, tmp_path):
    folder = tmp_path / "state" / "x"
    shutil.copytree(states[Kill.NO][0], folder)
    (folder / "control").write_bytes(bytes(SIZE))
    (folder / "control.twin").write_bytes(b"?" * SIZE)
    control = Control(folder)
    assert control.kill == Kill.KILLED and word(control) and control.by == "liqcore"
    assert control.reason == "the kill switch is damaged: control: empty; control.twin: not a control page"
    control.set_kill(Kill.KILLED, "I have looked", "a person")  # who knows replaces what nobody knew
    assert (control.reason, control.by) == ("I have looked", "a person")


def test_only_the_lift_lifts_and_it_lifts_every_part(states, tmp_path):
    folder = tmp_path / "state" / "x"
    shutil.copytree(states[Kill.FLATTEN][0], folder)
    for _ in range(2):  # what people try: remove the file, remove the page, start again
        (folder / "KILL").unlink(missing_ok=True)
        (folder / "control").unlink()
        assert Control(folder).kill == Kill.FLATTEN
    done = subprocess.run(
        [sys.executable, "-m", "liqshell", "kill", "--state", str(folder), "--lift"], input="x\n", env=ENV, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "somebody said so" in done.stdout, done.stderr
    found = look(folder)
    assert found.claim.kill == Kill.NO and found.stored.kill == Kill.NO and found.damaged == () and not (folder / "KILL").exists()
    (folder / "control").unlink()
    assert Control(folder).kill == Kill.NO


def test_a_lift_that_the_store_does_not_take_lifts_nothing(states, tmp_path):
    folder = tmp_path / "state" / "x"
    shutil.copytree(states[Kill.KILLED][0], folder)
    (folder / STORE).write_bytes(b"?" * 8192)
    control = Control(folder)
    with pytest.raises(DataError, match="Nothing was lifted"):
        control.lift()
    assert control.kill == Kill.KILLED and word(control) and (folder / "KILL").exists()


# ---- while a process runs ----


@pytest.mark.parametrize("injury", ["delete", "zero", "zero a span", "clear a byte", "garbage", "flip bytes", "older copy"])
@pytest.mark.parametrize("parts", [PARTS[:1], PARTS[1:2], PARTS[:2], PARTS])
def test_a_running_process_and_its_watchdog_keep_what_they_know(states, tmp_path, injury, parts):
    """In place or by a new file: the word is set again within a look, at the address that the last hop is told; the watchdog takes no start for an end."""
    r, folder = random.Random(SEED), tmp_path / "state" / "x"
    shutil.copytree(states[Kill.NO][0], folder)
    shutil.copytree(folder, tmp_path / "before")
    live = Control(folder)
    live.begin("fade00000001")
    live.running()
    watch = Watch(folder)
    live.set_kill(Kill.KILLED, "somebody said so", "a person")
    assert not live.refresh() and not watch.control.refresh()
    for part in parts:
        if injury in ("delete", "older copy") or part == STORE:
            injure(r, folder / part, injury, tmp_path / "before")
        else:
            with open(folder / part, "r+b") as file:  # in place: the pages are mapped, and a shorter file would end the process
                data = bytearray(file.read())
                if injury == "clear a byte":
                    data[16] = 0  # the kill word
                elif injury == "zero a span":
                    data[0:400] = bytes(400)
                else:
                    data[:] = bytes(SIZE) if injury == "zero" else r.randbytes(SIZE)
                file.seek(0)
                file.write(data)
    for one in (watch.control, live) if injury == "zero" else (live, watch.control):
        one.refresh()
        assert one.kill == Kill.KILLED and word(one) & 0xFFFF_FFFF
    live.beat()
    watch.look(time.monotonic_ns(), time.monotonic_ns())
    assert watch.control.life == Life.RUNNING and watch.control.pid == live.pid == os.getpid() and watch.control.prefix == "fade00000001"
    assert look(folder).claim.kill == Kill.KILLED and not [text for text in look(folder).damaged if "control" in text]
    Control(folder).set_kill(Kill.FLATTEN, "again", "another")  # and they still share one page
    assert word(live) & 0xFFFF_FFFF == Kill.FLATTEN == word(watch.control) & 0xFFFF_FFFF


def test_a_page_that_is_deleted_beside_a_running_process_hides_no_later_kill(states, tmp_path):
    folder = tmp_path / "state" / "x"
    shutil.copytree(states[Kill.NO][0], folder)
    live = Control(folder)
    live.begin("fade00000001")
    (folder / "control").unlink()
    other = Control(folder)  # `liqcore kill` makes a new file, which `live` has not mapped
    other.set_kill(Kill.KILLED, "now", "a person")
    assert live.kill == Kill.KILLED  # by the twin, at once
    assert live.refresh() and word(live) and live.reason == "now" and live.repairs == 1


# ---- upgrades ----


def old_page(kill, reason=b""):
    """As liqcore wrote it before pages had a twin: version 1, no checksum."""
    page = Page.from_buffer_copy(bytes(SIZE))
    page.magic, page.version, page.kill, page.reason, page.by = 0x314C52544E4F434C, 1, kill, reason, b"a person" * bool(reason)
    return bytes(page).ljust(SIZE, b"\0")


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("kill", Kill)
def test_an_old_page_is_still_believed(tmp_path, kill, store):
    (tmp_path / "control").write_bytes(old_page(kill, b"before the upgrade" if kill else b""))
    if store:
        Store(tmp_path).close()
    assert look(tmp_path).claim.kill == kill and look(tmp_path).damaged == ()
    control = Control(tmp_path)
    assert control.kill == kill and control.damaged == () and control.reason == ("before the upgrade" if kill else "")
    control.close()
    assert Control(tmp_path).kill == kill and (tmp_path / "control.twin").exists()
    (tmp_path / "control").write_bytes(old_page(Kill.NO))  # a backup of before the upgrade, put beside the twin
    assert Control(tmp_path).kill == kill
