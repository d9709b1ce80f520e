"""A FIFO, a device, a socket or a folder in the place of a file of a state folder: nobody waits for it, a start refuses or replaces it, and
`liqcore kill` acts at the venue all the same."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_rescue import ROOT, command, hold, image_of, link, rest_entry, venue  # noqa: F401

from desk import LONG, SHORT
from liqshell.state.control import Control, Kill
from liqshell.state.image import IMAGE
from liqshell.state.sheet import Sheet
from liqshell.state.store import Store

FILES = (
    IMAGE,
    "store.sqlite",
    "store.sqlite-wal",
    "store.sqlite-shm",
    "contracts.json",
    "contracts.json.new",
    "rescue.json",
    "rescue.new",
    "lock",
    "control",
    "control.twin",
    "KILL",
    "watchdog.log",
)
KINDS = ("a FIFO", "a device", "a socket", "a folder")
CONFIG = '[run]\nname = "fade"\nout = "runs"\nmode = "live"\n[feed]\nrest = "{}"\nws = "ws://127.0.0.1:9"\nsymbols = ["ETHUSDT"]\n[policy]\npreset = "fade"\n'
# what a start and doctor do with a state folder, as one line each
LOOK = """
import sys
import liqcore as lc
from liqshell.live import watchdog
from liqshell.config.load import load
from liqshell.errors import LiqshellError
from liqshell.live.opening import kept_contracts, open_state
from liqshell.live.start import AccountFacts, decide
from liqshell.state.folder import read_state
config = load(sys.argv[1])
print("DOCTOR", max(f.effect for f in decide(config, AccountFacts(state=read_state(config))) if f.id == "state").name, flush=True)
kept_contracts(config)
try:
    state = open_state(config, (lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.01"),))
    process = watchdog.start([state.folder])
    process.kill()
    process.wait()
    state.close()
    print("START GO", flush=True)
except LiqshellError as why:
    print("START END", why, flush=True)
"""


def odd(path: Path, kind: str) -> None:
    """Such a thing in the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as one:
            os.chdir(path.parent)  # the name of a socket is short
            one.bind(path.name)


def used(tmp_path, url, side):
    """A configuration whose run has left an open trade, and an entry that rests at the venue."""
    (tmp_path / "my.toml").write_text(CONFIG.format(url))
    folder = tmp_path / "runs" / "state" / "fade"
    Sheet(url, "testnet", "fade", ("ETHUSDT",)).save(folder)
    Control(folder).close()
    Store(folder).close()
    image_of(folder, side, "held")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "a FIFO") for name in FILES),
        *((IMAGE, kind) for kind in KINDS[1:]),
        ("store.sqlite", "a device"),
        ("contracts.json", "a device"),
        ("control.twin", "a folder"),
        ("lock", "a socket"),
    ],
)
def test_a_start_and_doctor_wait_for_nothing_and_say_the_same(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    folder = used(tmp_path, "http://127.0.0.1:9", LONG)
    odd(folder / name, kind)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, "my.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"},
    )
    said, did = [line for line in done.stdout.splitlines() if line.startswith(("DOCTOR", "START"))]
    assert done.returncode == 0, done.stderr
    assert said.split()[1] == did.split()[1], (said, did)
    if did.startswith("START END") and name != "KILL":
        assert name in did and kind in did, did


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "side"),
    [
        *((name, "a FIFO", SHORT if n % 2 else LONG) for n, name in enumerate(FILES) if ".new" not in name and name != "lock"),
        (IMAGE, "a FIFO", SHORT),
        (IMAGE, "a device", LONG),
        (IMAGE, "a folder", SHORT),
        ("store.sqlite", "a device", LONG),
        ("control", "a folder", SHORT),
        ("rescue.json", "a socket", LONG),
    ],
)
def test_a_kill_acts_at_the_venue_whatever_the_files_are(venue, tmp_path, monkeypatch, name, kind, side):
    monkeypatch.chdir(tmp_path)
    folder = used(tmp_path, venue.url, side)
    rest_entry(venue, side, link(1, 5))
    hold(venue, side)
    odd(folder / name, kind)
    done = command("my.toml", cwd=tmp_path)
    assert "Traceback" not in done.stderr and "cancelled: ETHUSDT entry" in done.stdout and not any(one == link(1, 5) for one in venue.links), (
        done.stderr
    )
    assert venue.position()[1] > 0.0 and (folder / "KILL").exists()
    if name not in ("control", "KILL"):
        control = Control(folder)
        assert control.kill == Kill.KILLED
        control.close()
