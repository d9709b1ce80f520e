"""A canary: the keys of a live run are in no file that it leaves, in nothing that it prints, in no process argument, whatever goes wrong."""

import gzip
import os
import subprocess
import time
from pathlib import Path

import pytest

from liqshell.recording import packing
from live_process import COMMAND, Live, Venue, environment, write_config
from recorder_lines import unpacked

WRONG = "cAnArYwRoNg0123456789abcdefABCDEF77"


def hits(root: Path, needles: dict[str, str]) -> list[str]:
    """file: which needle, for every file below root; what is compressed is looked into. Also their hexadecimal form, and each text from its middle on: a
    cut secret is one, too."""
    forms = {name: (text.encode(), text.encode().hex().encode(), text[len(text) // 3 :].encode()) for name, text in needles.items()}
    out = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        raw = file.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw += gzip.decompress(raw)
        elif file.name.endswith(packing.SUFFIX):
            raw += unpacked(file)
        out += [f"{file.relative_to(root)}: {name}" for name, texts in forms.items() if any(text in raw for text in texts)]
    return out


def arguments_of(parent: int) -> list[str]:
    """The command lines of a process and of all its descendants."""
    seen, out = [parent], []
    for pid in seen:
        try:
            out.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
            for task in Path(f"/proc/{pid}/task").iterdir():
                seen += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return out


def run(tmp_path: Path, keys: dict[str, str], *arguments: object) -> int:
    """A command whose whole output is kept as a file among the others."""
    with open(tmp_path / "said.log", "ab") as sink:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment(**keys), timeout=300
        ).returncode


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 50 + WRONG.encode()))
    (tmp_path / "b.bin").write_bytes(b"\0\1" + WRONG[11:].encode())
    (tmp_path / "c.txt").write_text(WRONG.encode().hex())
    (tmp_path / "d.txt").write_text(WRONG[:9])
    assert hits(tmp_path, {"wrong": WRONG}) == ["a.gz: wrong", "b.bin: wrong", "c.txt: wrong"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="process arguments are read from /proc")
def test_the_keys_are_nowhere(tmp_path):
    with Venue("--speed", 60, "--seed", 5, "--hours", 2) as venue:
        keys = venue.keys()
        needles = {"key": keys["LIQCORE_API_KEY"], "secret": keys["LIQCORE_API_SECRET"], "wrong": WRONG}
        config = write_config(tmp_path, venue, watchdog=True)
        with Live(config, keys, out=tmp_path / "run") as live:
            live.wait_reconciled()
            arguments = arguments_of(live.process.pid)
            time.sleep(4.0)
            assert live.end() == 0, live.words()
        assert len(arguments) >= 2 and not [
            line for line in arguments if any(needle in line for needle in needles.values())
        ]  # itself and its watchdog

        # what goes wrong at the start: a wrong secret, a secret that cannot be one, one in the configuration
        for bad in (WRONG, f"two words {WRONG}"):
            with Live(config, keys | {"LIQCORE_API_SECRET": bad}, out=tmp_path / f"bad{time.monotonic_ns()}") as live:
                assert live.process.wait(180) != 0
        assert run(tmp_path, keys | {"LIQCORE_API_SECRET": WRONG}, "doctor", config, "--live", "--samples", 3) != 0
        planted = tmp_path.with_name(f"{tmp_path.name}-planted.toml")
        try:
            planted.write_text(f'api_secret = "{WRONG}"\n' + config.read_text())
            assert run(tmp_path, keys, "live", planted, "--live") == 2
        finally:
            planted.unlink()
        run(tmp_path, keys, "doctor", config, "--live", "--json")
        run(tmp_path, keys, "gate", tmp_path / "run", "--rehearsal")
    left = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert {"run.json", "audit.bin", "report.html", "store.sqlite", "image.bin", "rescue.json", "live.log", "said.log", "gate.html"} <= left
    assert (tmp_path / "said.log").stat().st_size > 5000 and os.path.getsize(tmp_path / "live.log") > 500
    assert hits(tmp_path, needles) == []
