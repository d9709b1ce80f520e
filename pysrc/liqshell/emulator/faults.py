"""What can go wrong with a public feed, on demand: scripted, or posted to the running emulator.

A fault is a dict such as {"kind": "stall", "at_s": 600, "duration_s": 10} or {"kind": "drop", "on_cascade": 5}: at a market time after the
start, or when a cascade has reached so many prints (known from the generator's ground truth), else at once. Durations are market seconds.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from heapq import heappop, heappush

from . import bybit
from .state import SymbolState
from .synthetic import Frame

NS = 1_000_000_000
KINDS = {
    "drop": "every websocket is reset (TCP RST)",
    "refuse": "new websocket connections are reset for duration_s",
    "half_open": "the connections stay but nothing is sent on them for duration_s (0 = ever again), pongs included; what was due is lost",
    "stall": "nothing is sent for duration_s, then everything at once",
    "delay_liquidations": "liquidation frames come delay_s + up to jitter_s late, for duration_s: out of order when jitter_s is large",
    "duplicate_liquidations": "liquidation frames come twice with the given probability, for duration_s",
    "invert_side": "Buy and Sell swapped in liquidation frames for duration_s",
    "lose_liquidations": "liquidation frames are dropped with the given probability, for duration_s",
    "book_restart": "an orderbook.1 snapshot with u = 1 for every symbol, as after a restart of the venue's service",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; see KINDS."""

    kind: str
    at_s: float | None = None
    on_cascade: int | None = None
    duration_s: float = 10.0
    delay_s: float = 2.0
    jitter_s: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}: expected one of {', '.join(KINDS)}")
        if self.at_s is not None and self.on_cascade is not None:
            raise ValueError("a fault begins at_s or on_cascade, not both")
        for name in ("at_s", "on_cascade", "duration_s", "delay_s", "jitter_s", "probability"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9):
                raise ValueError(f"fault {self.kind}: {name} must be a number in [0, 1e9), got {value!r}")

    @classmethod
    def of(cls, spec: Mapping[str, object]) -> "Fault":
        """From a decoded JSON object; ValueError names what is unknown."""
        names = [f.name for f in fields(cls)]
        if not isinstance(spec, Mapping) or set(spec) - set(names):
            raise ValueError(f"a fault is an object with {', '.join(names)}; got {spec!r}")
        if "kind" not in spec:
            raise ValueError(f"a fault needs a kind: one of {', '.join(KINDS)}")
        return cls(**spec)                                            # type: ignore[arg-type]


class Faults:
    """The faults that wait and the faults that act. Seeded: the same script on the same feed does the same."""

    def __init__(self, seed: int, start_ns: int, script: Iterable[Mapping[str, object]] = ()) -> None:
        self._random = random.Random(seed)
        self._start = start_ns
        self._waiting = [Fault.of(spec) for spec in script]
        self._active: list[tuple[int, Fault]] = []                    # (end, fault)
        self._late: list[tuple[int, int, Frame]] = []
        self._count = 0
        self.fired: list[dict[str, object]] = []

    def add(self, spec: Mapping[str, object]) -> None:
        """One more; without at_s and on_cascade it begins with the next frames."""
        self._waiting.append(Fault.of(spec))

    def begin(self, now_ns: int, frames: list[Frame]) -> list[Fault]:
        """The faults that begin now."""
        if not self._waiting:
            return []
        cascade = max((frame.cascade for frame in frames), default=0)
        out: list[Fault] = []
        rest: list[Fault] = []
        for fault in self._waiting:
            due = cascade >= fault.on_cascade if fault.on_cascade is not None else now_ns >= self._start + int((fault.at_s or 0.0) * NS)
            (out if due else rest).append(fault)
        self._waiting = rest
        for fault in out:
            self._active.append((now_ns + int(fault.duration_s * NS), fault))
            self.fired.append({"kind": fault.kind, "at_ns": now_ns, "duration_s": fault.duration_s})
        return out

    def active(self, kind: str, now_ns: int) -> Fault | None:
        """The fault of that kind that acts now, if any."""
        return next((fault for end, fault in self._active if fault.kind == kind and now_ns < end), None)

    @property
    def next_ns(self) -> int | None:
        """When a delayed frame is due or something that waits or acts may change."""
        times = [self._late[0][0]] if self._late else []
        times += [end for end, _ in self._active]
        times += [self._start + int((fault.at_s or 0.0) * NS) for fault in self._waiting if fault.on_cascade is None]
        return min(times, default=None)

    def apply(self, now_ns: int, frames: list[Frame]) -> list[Frame]:
        """Frames as they leave: delayed, doubled, lost or inverted."""
        if not self._active and not self._late:
            return frames
        self._active = [(end, fault) for end, fault in self._active if now_ns < end]
        out = []
        for frame in frames:
            out += self._liquidations(now_ns, frame) if frame.topic.startswith("allLiquidation.") else [frame]
        while self._late and self._late[0][0] <= now_ns:
            out.append(heappop(self._late)[2])
        return out

    def _liquidations(self, now_ns: int, frame: Frame) -> list[Frame]:
        if self.active("invert_side", now_ns):
            buys = frame.payload.split(b'"S":"Buy"')
            frame = frame._replace(payload=b'"S":"Sell"'.join(part.replace(b'"S":"Sell"', b'"S":"Buy"') for part in buys))
        if (fault := self.active("lose_liquidations", now_ns)) and self._random.random() < fault.probability:
            return []
        frames = [frame]
        if (fault := self.active("duplicate_liquidations", now_ns)) and self._random.random() < fault.probability:
            frames.append(frame)
        if fault := self.active("delay_liquidations", now_ns):
            for late in frames:
                self._count += 1
                wait = fault.delay_s + fault.jitter_s * self._random.random()
                heappush(self._late, (now_ns + int(wait * NS), self._count, late))
            return []
        return frames


def restart_frames(states: Iterable[SymbolState], ts_ms: int) -> list[Frame]:
    """orderbook.1 snapshots with u = 1."""
    out = []
    for state in states:
        if state.bid and state.ask:
            state.u = 1
            symbol = state.contract.symbol
            out.append(Frame(f"orderbook.1.{symbol}", bybit.book1_frame(symbol, ts_ms, *state.bid, *state.ask, 1, state.seq, ts_ms)))
    return out
