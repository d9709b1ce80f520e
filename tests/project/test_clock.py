"""The shared clock."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liqshell.clock import NS, Clock

ROOT = Path(__file__).parents[2]


def test_linear_in_the_monotonic_clock() -> None:
    clock = Clock(240.0, 1_000 * NS, 5 * NS)
    assert clock.at_wall(5 * NS) == 1_000 * NS
    assert clock.at_wall(6 * NS) == 1_240 * NS
    assert clock.to_wall(240 * NS) == NS
    # exact at speed 1, also where a double would round
    real = Clock(1.0, 1_772_629_200_123_456_789, 11)
    assert real.at_wall(11 + 7) == 1_772_629_200_123_456_796


def test_default_is_utc_now() -> None:
    before = time.time_ns()
    clock = Clock()
    assert before <= clock.now_ns() <= time.time_ns() + NS
    assert clock.now_ns() <= clock.now_ns()


def test_another_process_reads_the_same_time() -> None:
    clock = Clock(100.0, 1_700_000_000 * NS)
    code = "import json, sys; from liqshell.clock import Clock; print(Clock.from_dict(json.loads(sys.argv[1])).now_ns())"
    before = clock.now_ns()
    out = subprocess.run(
        [sys.executable, "-c", code, json.dumps(clock.as_dict())],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'pysrc'}:{ROOT}"},
    )
    assert before <= int(out.stdout) <= clock.now_ns()
    assert Clock.from_dict(clock.as_dict()) == clock


def test_sleep_until_never_returns_early() -> None:
    async def sleep() -> None:
        clock = Clock(1_000.0, 0)
        for target in (clock.now_ns() + 20 * NS, clock.now_ns() - NS, clock.now_ns() + 3 * NS):
            await clock.sleep_until(target)
            assert clock.now_ns() >= target
        start = clock.now_ns()
        await clock.sleep(5.0)
        assert clock.now_ns() - start >= 5 * NS

    asyncio.run(sleep())


def test_bad_anchors() -> None:
    for speed in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="clock speed"):
            Clock(speed)
    with pytest.raises(ValueError, match="market_ns"):
        Clock(1.0, 1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="exactly"):
        Clock.from_dict({"speed": 1.0, "market_ns": 0})
