"""A run against the emulator takes its clock; an emulator that a demo started ends with it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError
from liqshell.live.venue_clock import venue_clock


def test_the_clock_and_the_label_of_an_emulator() -> None:
    async def main() -> None:
        async with await serve(Config(speed=60.0, seed=7, symbols=("ETHUSDT",))) as emulator:
            clock, labels = await venue_clock(emulator.rest)
            assert clock == emulator.clock
            assert labels == {"synthetic": True, "market": "SYNTHETIC", "seed": 7, "market_seeds": [7]}
        assert await venue_clock(emulator.rest) == (None, {})

    asyncio.run(main())


def test_a_clock_that_has_not_begun_is_refused() -> None:
    """A run with it would take the hours of the market for microseconds, and say 40 million cascades an hour."""

    async def main() -> None:
        async with await serve(Config(speed=60.0, seed=7, symbols=("ETHUSDT",), wait_for_client=True)) as emulator:
            await asyncio.sleep(0.05)
            with pytest.raises(ConfigError, match="starts its clock only when a client connects"):
                await venue_clock(emulator.rest)
            assert (await venue_clock(emulator.rest, waiting=True))[0] == emulator.clock

    asyncio.run(main())


def test_other_addresses_are_real_time() -> None:
    assert asyncio.run(venue_clock("https://venue.invalid")) == (None, {})


def test_an_emulator_ends_with_the_process_that_started_it() -> None:
    starter = (
        "import os, subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-m', 'liqshell', 'emulate', '--symbols', 'ETHUSDT', '--parent', str(os.getpid())], "
        "stdout=subprocess.PIPE, text=True); child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(json.loads(parent.stdout.readline()))
    assert _alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not _alive(child):
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the emulator outlived its parent")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
