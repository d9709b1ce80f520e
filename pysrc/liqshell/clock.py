"""The clock of market time, shared by the live path, the emulator, and every process of a rehearsal.

Market time is `market_ns + (monotonic now - wall_ns) * speed`. The monotonic clock of Linux and macOS is one per machine, so two processes
that hold the same three numbers read the same market time; at speed 240 a day passes in six minutes on both sides of a socket.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

NS = 1_000_000_000
STANDSTILL = 1e-6  # speed of market time while an emulator waits for a client


class MarketTime(Protocol):
    """A source of market time and its speed: market seconds per second of wall time."""

    @property
    def speed(self) -> float: ...

    def now_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Clock:
    """Market time as a linear function of this machine's monotonic clock.

    speed      market seconds per wall second, > 0
    market_ns  market time at the anchor, ns UTC; None = the system's UTC now (read once: later steps of the system clock do not show)
    wall_ns    monotonic time at the anchor, ns; None = now
    """

    speed: float
    market_ns: int
    wall_ns: int

    def __init__(self, speed: float = 1.0, market_ns: int | None = None, wall_ns: int | None = None) -> None:
        if not 0.0 < speed < 1e6:
            raise ValueError(f"clock speed must lie in (0, 1e6), got {speed!r}")
        object.__setattr__(self, "speed", speed)
        for name, value, now in (("market_ns", market_ns, time.time_ns), ("wall_ns", wall_ns, time.monotonic_ns)):
            if value is None:
                value = now()
            elif not isinstance(value, int) or isinstance(value, bool):
                raise ValueError(f"clock {name} must be an integer number of nanoseconds, got {value!r}")
            object.__setattr__(self, name, value)

    def at_wall(self, wall_ns: int) -> int:
        """Market time, ns, at a reading of time.monotonic_ns()."""
        elapsed = wall_ns - self.wall_ns
        return self.market_ns + (elapsed if self.speed == 1.0 else int(elapsed * self.speed))

    def now_ns(self) -> int:
        """Market time now, ns UTC; never runs back."""
        return self.at_wall(time.monotonic_ns())

    def to_wall(self, delta_ns: int) -> int:
        """The wall duration, ns, of a market duration."""
        return delta_ns if self.speed == 1.0 else int(delta_ns / self.speed)

    async def sleep_until(self, market_ns: int) -> None:
        """Return at `market_ns` or as soon after as the event loop allows; at once (but yielding once) where that is past."""
        while (left := market_ns - self.now_ns()) > 0:
            await asyncio.sleep(max(left / self.speed / NS, 1e-6))
        await asyncio.sleep(0)

    async def sleep(self, market_s: float) -> None:
        """Sleep a duration in market seconds."""
        await self.sleep_until(self.now_ns() + int(market_s * NS))

    def as_dict(self) -> dict[str, float | int]:
        """The three numbers another process on this machine needs."""
        return {"speed": self.speed, "market_ns": self.market_ns, "wall_ns": self.wall_ns}

    @classmethod
    def from_dict(cls, anchors: Mapping[str, Any]) -> "Clock":
        """The clock of another process on this machine; ValueError for missing or unknown keys."""
        keys = {"speed", "market_ns", "wall_ns"}
        if set(anchors) != keys:
            raise ValueError(f"a clock is described by exactly {sorted(keys)}, got {sorted(anchors)}")
        return cls(float(anchors["speed"]), anchors["market_ns"], anchors["wall_ns"])
